"""How a thread of the kernel is told: what it holds, is inside of, owes and waits for. What that is stands in the other parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...core.sorts import StateVar
from ...kernelc.lowering.cfg import THREADS
from ..view.naming import cell, gfns
from ..view.roles import THREAD_BOX, Flags, Link, Telling, Thing
from ..view.state_view import At, View, indices
from . import device_tlb
from .ghosts import DEBTS, TABLE_DEBTS, owed, owed_tables
from .host import WINDOWS, inner_window, unmapped_by, window
from .iommu import queued
from .locks import LOCK, held, mmu_reader, mmu_writer
from .sorts import DEVICE, GFN, IOMMU, PT, table_name
from .tables import pt_state, rcu_reader, rcu_waits

OWN = (mmu_writer, mmu_reader, rcu_reader, *DEBTS, *TABLE_DEBTS, *WINDOWS)
"""What is told of a thread, each indexed by the thread and perhaps by more."""


def _flags(view: View, at: At) -> Flags:
    (thread,) = at
    unmapped = [n for n in view.each(GFN) if thread in unmapped_by(view, n)]
    return (
        *(["mmu_lock for writing"] if view.is_set(mmu_writer, thread) else []),
        *(["mmu_lock for reading"] if view.is_set(mmu_reader, thread) else []),
        *(view.named(LOCK, n) for n in view.each(LOCK) if view.is_set(held, n, thread)),
        *(["RCU read side"] if view.is_set(rcu_reader, thread) else []),
        *([f"unmaps {gfns(unmapped)}"] if unmapped else []),
        *(f"owes {whom} a flush of {gfns(numbers)}" for whom, numbers in owed(view, thread).items()),
        *(f"owes {whom} a flush of a table" for whom in owed_tables(view, thread)),
    )


def _notes(view: View, at: At) -> Flags:
    (thread,) = at
    debts = sorted({n for numbers in owed(view, thread).values() for n in numbers})
    begun = [n for n in view.each(GFN) if view.is_set(window, thread, n) or view.is_set(inner_window, thread, n)]
    return (
        *([f"invalidates {gfns(begun)}"] if begun else []),
        *([f"owes a flush of {gfns(debts)}"] if debts else []),
        *(["owes a flush of a table"] if owed_tables(view, thread) else []),
        *(["in its RCU read side"] if view.is_set(rcu_reader, thread) else []),
    )


def _links(view: View, at: At) -> Iterator[Link]:
    (thread,) = at
    mine = f"thread {thread}"
    for var, how in ((mmu_writer, "writes"), (mmu_reader, "reads")):
        if view.is_set(var, thread):
            yield Link(mine, "mmu_lock", "holds", how, lock=True)
    for n in view.each(LOCK):
        if view.is_set(held, n, thread):
            yield Link(mine, view.named(LOCK, n), "holds", lock=True)
    for n in view.each(IOMMU):
        if queued(view, thread, n):
            yield Link(mine, f"iommu {n}", "waits-for", "invalidation")
    for n in view.each(DEVICE):
        if device_tlb.queued(view, thread, n):
            yield Link(mine, f"device {n}", "waits-for", "device-TLB invalidation")
    for n in view.each(PT):
        if view.word(pt_state, n) == "rcu" and view.is_set(rcu_waits, n, thread):
            yield Link(table_name(view, n), mine, "waits-for", "RCU")


def _cells(view: View, var: StateVar, thread: int) -> Iterable[str]:
    """The cells of a thread's variable; none of one that is not there."""
    return () if not view.has(var) else (cell(var, thread, *more) for more in indices(view, *var.params[1:]))


TOLD = Telling(
    things=(
        Thing(
            "thread",
            (THREADS,),
            THREAD_BOX,
            "threads",
            "#eceff1",
            name=lambda view, at: view.thread(*at),
            label=lambda view, at: view.thread(*at),
            touched=lambda view, at: (
                *(name for var in OWN for name in _cells(view, var, *at)),
                *(cell(held, n, *at) for n in view.each(LOCK)),
            ),
            noted=lambda view, at: (name for var in (*DEBTS, *TABLE_DEBTS) for name in _cells(view, var, *at)),
            flags=_flags,
            notes=_notes,
            links=_links,
        ),
    ),
    order=6,
)
