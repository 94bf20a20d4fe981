"""Repairs: small edits of the kernel C, in words, that a violation may call for; those that several properties share stand here.

Who tries them, and asks the same question again with each, is `counterexamples/why/repairs.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FLUSH = "kvm_flush_remote_tlbs(kvm);"
UNLOCK = r"(write|read)_unlock\(&kvm->mmu_lock\);"


@dataclass(frozen=True)
class Recipe:
    """One repair.

    Args:
        anchor: a statement by a regular expression that its line must match.
        code: lines of C, without indentation.
        place: where they go: 'before' or 'after' the anchor, or 'instead' of what `anchor` matches.
        needless: what stands in the function where the repair has been made already.
    """

    name: str
    sentence: str
    anchor: str
    code: tuple[str, ...]
    place: Literal["before", "after", "instead"] = "before"
    needless: str = ""


FLUSHES = (
    Recipe(
        "flush before unlock",
        "Flush before mmu_lock is dropped",
        UNLOCK,
        (FLUSH,),
    ),
    Recipe(
        "flush before rcu_read_unlock",
        "Flush before the RCU read side is left",
        r"rcu_read_unlock\(\);",
        (FLUSH,),
    ),
    Recipe(
        "flush before free",
        "Flush before the host frees the pages",
        r"host_unmap_and_free\(",
        (FLUSH,),
    ),
    Recipe(
        "flush the IOMMUs",
        "Flush the IOMMUs where the CPUs are flushed",
        r"kvm_make_all_cpus_request\(kvm, KVM_REQ_TLB_FLUSH\);",
        ("kvm_tdp_fd_flush_notify(kvm);",),
        "after",
        r"kvm_tdp_fd_flush_notify",
    ),
    Recipe(
        "flush the CPUs",
        "Flush the CPUs where the IOMMUs are flushed",
        r"kvm_tdp_fd_flush_notify(_range)?\(kvm",
        ("kvm_make_all_cpus_request(kvm, KVM_REQ_TLB_FLUSH);",),
        "before",
        r"kvm_make_all_cpus_request",
    ),
)
"""A flush that is owed."""
STALE = (
    Recipe(
        "notify before the host unmaps",
        "Begin an invalidation before the host unmaps",
        r"host_unmap_and_free\(start, last\);",
        ("kvm_mmu_notifier_invalidate_range_start(kvm, start, last, false);",),
        "before",
        r"kvm_mmu_notifier_invalidate_range_start",
    ),
    Recipe(
        "recheck the sequence under the lock",
        "Look again under mmu_lock whether an invalidation has overtaken the pfn, and retry",
        r"^\tread_lock\(&kvm->mmu_lock\);",
        ("if (mmu_invalidate_retry(kvm, fault->gfn)) {", "\tread_unlock(&kvm->mmu_lock);", "\treturn RET_PF_RETRY;", "}"),
        "after",
        r"mmu_invalidate_retry",
    ),
    Recipe(
        "read the sequence before the pfn",
        "Read the invalidation sequence before the pfn is resolved",
        r"hva_to_pfn\(",
        ("mmu_invalidate_seq_read(kvm);",),
        "before",
    ),
    Recipe(
        "visit invalid roots",
        "Visit invalid roots, too: somebody may still hold them",
        r"tdp_mmu_next_root\(kvm, &root, true\)",
        ("tdp_mmu_next_root(kvm, &root, false)",),
        "instead",
    ),
)
"""A pfn that is out of date."""
ANYTHING = (
    Recipe(
        "exchange instead of writing",
        "Exchange the entry atomically: another thread may have changed it",
        r"tdp_mmu_set_spte\(kvm, iter, make_nonleaf_spte\(sp\)\);",
        ("if (!tdp_mmu_set_spte_atomic(kvm, iter, make_nonleaf_spte(sp)))", "\treturn false;"),
        "instead",
        r"if \(!shared\)",
    ),
)
"""What any violation may call for."""
