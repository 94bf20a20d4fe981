"""Who holds which lock, and who is inside an RCU read side."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ...core.ground import conjunction
from ...core.system import Lemma
from ...model.machine import locks, tables
from .setting import Setting
from .words import lemma, t, u


def chapter(here: Setting) -> Iterator[Lemma]:
    yield lemma(
        "writer_where",
        [t],
        locks.mmu_writer(t) == here.at(t, here.write),
        "A thread holds mmu_lock for writing exactly between write_lock() and write_unlock().",
        "Only these two operations change who writes, and each of them only for the thread that does it.",
    )
    yield lemma(
        "reader_where",
        [t],
        locks.mmu_reader(t) == here.at(t, here.read),
        "A thread holds mmu_lock for reading exactly between read_lock() and read_unlock().",
        "Only these two operations change who reads, and each of them only for the thread that does it.",
    )
    yield lemma(
        "rcu_where",
        [t],
        tables.rcu_reader(t) == here.at(t, here.rcu),
        "A thread is an RCU reader exactly between rcu_read_lock() and rcu_read_unlock().",
        "Only these two operations change who reads, and each of them only for the thread that does it.",
    )
    yield lemma(
        "mutex_where",
        [t],
        conjunction([holds(t) == here.at(t, places) for holds, places in here.mutexes]),
        "A thread holds a mutex or a spinlock exactly between taking it and giving it back.",
        "Only these two operations change who holds it, and each of them only for the thread that does it.",
    )
    yield lemma(
        "one_writer",
        [t, u],
        z3.Implies(z3.And(locks.mmu_writer(t), locks.mmu_writer(u)), t == u),
        "At most one thread holds mmu_lock for writing.",
        "write_lock() waits until nobody holds mmu_lock for writing.",
    )
    yield lemma(
        "writer_alone",
        [t, u],
        z3.Not(z3.And(locks.mmu_writer(t), locks.mmu_reader(u))),
        "While a thread holds mmu_lock for writing, nobody holds it for reading.",
        "write_lock() waits until there are no readers, and read_lock() until there is no writer.",
    )
