"""Locks: mmu_lock as a reader-writer lock without a counter, and the mutexes and spinlocks that the flows take.

A new lock is a name in `LOCK`: its calls and its field of struct kvm are made from that. A lock of one design is declared in its C.
"""

from __future__ import annotations

import z3

from ...core.sorts import Sort
from ...core.system import Update, bool_var
from ...kernelc.lowering.cfg import THREADS
from ..view.roles import Lock, Telling

LOCK = Sort("Lock", ("slots_lock", "exported_tdplist_lock", "mn_invalidate_lock", "dev_list_lock"))

mmu_writer = bool_var("mmu_writer", THREADS, doc="holds mmu_lock for writing")
mmu_reader = bool_var("mmu_reader", THREADS, doc="holds mmu_lock for reading")
held = bool_var("held", LOCK, THREADS, doc="holds this mutex or spinlock")

STATE = (mmu_writer, mmu_reader, held)
SORTS = (LOCK,)


def initial() -> list[Update]:
    """Nobody holds anything."""
    return [Update(var, var.variables(), z3.BoolVal(False)) for var in STATE]


TOLD = Telling(
    locks=(
        Lock(mmu_writer, "write-locks mmu_lock", "write-unlocks mmu_lock"),
        Lock(mmu_reader, "read-locks mmu_lock", "read-unlocks mmu_lock"),
        Lock(held),
    ),
    order=7,
)
