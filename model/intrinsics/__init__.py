"""What the calls that kernel C does not define mean: typed, with their mover class and their source."""

from __future__ import annotations

from ...kernelc.lowering.library import Library
from . import flush, host, memory, roots, sptes, sync, types, walks
from .protected import under_its_lock

_ALL = (*sync.INTRINSICS, *sptes.INTRINSICS, *memory.INTRINSICS, *walks.INTRINSICS, *flush.INTRINSICS, *host.INTRINSICS, *roots.INTRINSICS)

LIBRARY = Library(
    types=types.TYPES,
    constants=types.CONSTANTS,
    intrinsics={intrinsic.name: under_its_lock(intrinsic) for intrinsic in _ALL},
    fields=roots.FIELDS,
    stores={name: under_its_lock(intrinsic) for name, intrinsic in roots.STORES.items()},
    handles={
        ("struct kvm *", "mmu_lock"): sync.MMU_LOCK,
        ("struct kvm *", "srcu"): sync.SRCU,
        **{("struct kvm *", lock.name): lock for lock in sync.MUTEXES},
    },
    held=sync.HELD,
    identities=frozenset({"likely", "unlikely", "READ_ONCE", "rcu_dereference"}),
    erased={
        "trace_kvm_tdp_mmu_spte_changed": "a tracepoint: it changes nothing",
        "kvm_update_page_stats": "statistics: nothing reads them here",
        "cpu_relax": "a hint to the processor",
        "cond_resched": "no lock is held there: the scheduler may run anybody anyway",
    },
)
"""The meaning of every name that the shipped kernel C uses without defining it."""
