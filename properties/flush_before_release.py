"""What was zapped is flushed before the lock is dropped, and before the RCU read side is left where tables were unlinked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import z3

from ..core.sorts import StateVar
from ..core.system import Property
from ..model.machine.ghosts import owes_cpu, owes_cpu_pt, owes_io, owes_io_huge, owes_io_pt
from ..model.machine.locks import mmu_reader, mmu_writer
from ..model.machine.sorts import THREADS, g, i, r, t
from ..model.machine.tables import rcu_reader
from ..model.naming import cell, gfns, listed
from ..model.scene import Scene
from ..model.state_view import indices
from .registered import Registered
from .repairs import FLUSHES
from .telling import Run, Teller, Wrong, chain, place, statement, step_effect

PROPERTY = Property(
    name="flush_before_release",
    sentence="A thread that owes a flush holds mmu_lock, and is in its RCU read side if it unlinked a table page.",
    holds=z3.And(
        z3.ForAll([t, i, g], z3.Implies(z3.Or(owes_cpu(t, g), owes_io(t, i, g)), z3.Or(mmu_writer(t), mmu_reader(t)))),
        z3.ForAll([t, i, r], z3.Implies(owes_io_huge(t, i, r), z3.Or(mmu_writer(t), mmu_reader(t)))),
        z3.ForAll([t, i, r], z3.Implies(z3.Or(owes_cpu_pt(t), owes_io_pt(t, i, r)), rcu_reader(t))),
    ),
    premise=z3.Or(z3.Exists([t, g], owes_cpu(t, g)), z3.Exists([t], owes_cpu_pt(t))),
    source="tdp_mmu_iter_cond_resched() and commits a835429cda91 (Linux 5.12) and bd29677952fa (Linux 5.18)",
)

UNLOCK, LEAVE = re.compile(r"\b(write|read)_unlock\b"), re.compile(r"\brcu_read_unlock\b")


def _found(scene: Scene) -> Iterator[Wrong]:
    for t in scene.each(THREADS):
        locked = scene.is_set(mmu_writer, t) or scene.is_set(mmu_reader, t)
        for whom, owed in scene.owed(t).items() if not locked else ():
            debts = (owes_io, owes_io_huge) if whom == "IOMMUs" else (owes_cpu,)
            yield Wrong(
                f"{scene.thread(t)} owes the {whom} a flush of {gfns(owed)} and does not hold mmu_lock",
                {"thread": t, "gfn": owed[0]},
                _set(scene, debts, t),
            )
        for whom in scene.owed_tables(t) if not scene.is_set(rcu_reader, t) else ():
            yield Wrong(
                f"{scene.thread(t)} owes the {whom} a flush of a table page that it unlinked and has left its RCU read side",
                {"thread": t},
                _set(scene, (owes_io_pt if whom == "IOMMUs" else owes_cpu_pt,), t),
            )


def _set(scene: Scene, debts: Sequence[StateVar], thread: int) -> tuple[str, ...]:
    """The cells of what a thread owes."""
    return tuple(cell(v, thread, *at) for v in debts for at in indices(scene, *v.params[1:]) if scene.is_set(v, thread, *at))


def _owed(run: Run, found: Wrong, thread: int) -> str:
    end = run.end
    who = end.thread(thread)
    owed, pages = end.owed(thread), end.owed_tables(thread)
    whom = listed([f"the {name}" for name in ("IOMMUs", "vCPUs") if name in owed or name in pages])
    covered = sorted({g for numbers in owed.values() for g in numbers})
    zap = run.since(lambda s: bool(s.owed(thread) or s.owed_tables(thread)))
    lock = run.ended(lambda s: s.is_set(mmu_writer, thread) or s.is_set(mmu_reader, thread))
    section = run.ended(lambda s: s.is_set(rcu_reader, thread))
    left = listed([n for n, when in (("mmu_lock", lock), ("the RCU read side", section)) if when == run.depth])
    changes = f"changes {step_effect(run, zap)}" if 0 < zap < len(run.scenes) else ""
    at = statement(run, run.depth, UNLOCK if lock == run.depth else LEAVE) if left else None
    events = [(zap, changes), (run.depth if left else None, f"drops {left}{place(at)}")]
    what = f"a flush of {gfns(covered)}" if covered else "a flush of the table page that it unlinked"
    return f"{chain(run, events)} At that moment {who} still owes {whom} {what}."


REGISTERED = Registered(PROPERTY, _found, (Teller(("thread",), _owed),), FLUSHES)
