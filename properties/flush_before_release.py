"""What was zapped is flushed before the lock is dropped, and before the RCU read side is left where tables were unlinked."""

from __future__ import annotations

import z3

from ..core.system import Property
from ..model.machine.ghosts import owes_cpu, owes_cpu_pt, owes_io, owes_io_huge, owes_io_pt
from ..model.machine.locks import mmu_reader, mmu_writer
from ..model.machine.sorts import g, r, t
from ..model.machine.tables import rcu_reader

PROPERTY = Property(
    name="flush_before_release",
    sentence="A thread that owes a flush holds mmu_lock, and is in its RCU read side if it unlinked a table page.",
    holds=z3.And(
        z3.ForAll([t, g], z3.Implies(z3.Or(owes_cpu(t, g), owes_io(t, g)), z3.Or(mmu_writer(t), mmu_reader(t)))),
        z3.ForAll([t, r], z3.Implies(owes_io_huge(t, r), z3.Or(mmu_writer(t), mmu_reader(t)))),
        z3.ForAll([t], z3.Implies(z3.Or(owes_cpu_pt(t), owes_io_pt(t)), rcu_reader(t))),
    ),
    premise=z3.Or(z3.Exists([t, g], owes_cpu(t, g)), z3.Exists([t], owes_cpu_pt(t))),
    source="tdp_mmu_iter_cond_resched() and commits a835429cda91 (Linux 5.12) and bd29677952fa (Linux 5.18)",
)
