# ruff: noqa: E501 (text of the kernel C, to the letter)
"""Harmless rewritings of our kernel C: what people do while they do something else, and what must not cost an answer.

Each is one patch of a series, an edit of the text as the ones before it left it, with its title.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rewriting:
    """Pieces of a file that stand there once, each with what takes its place."""

    title: str
    file: str
    edits: tuple[tuple[str, str], ...]


def edited(texts: Mapping[str, str], rewriting: Rewriting) -> dict[str, str]:
    """The files with a rewriting done."""
    text = texts[rewriting.file]
    for old, new in rewriting.edits:
        assert text.count(old) == 1, f"{rewriting.title}: {old!r} stands {text.count(old)} times"
        text = text.replace(old, new)
    return {**texts, rewriting.file: text}


def mbox(texts: Mapping[str, str], rewritings: Sequence[Rewriting]) -> bytes:
    """The series of all of them."""
    mails = []
    for number, rewriting in enumerate(rewritings, 1):
        after = edited(texts, rewriting)
        path = f"model/kernel/{rewriting.file}"
        old, new = (t[rewriting.file].splitlines(keepends=True) for t in (texts, after))
        patch = "".join(difflib.unified_diff(old, new, f"a/{path}", f"b/{path}"))
        head = (
            f"From {0:040} Mon Sep 17 00:00:00 2001\nFrom: a@example.org\nSubject: [PATCH {number}/{len(rewritings)}] {rewriting.title}\n"
        )
        mails.append(f"{head}\nNo functional change.\n---\n{patch}--\n2.39\n\n")
        texts = after
    return "".join(mails).encode()


EXPORT = (
    Rewriting(
        "comments and blank lines", "tdp_fd.c", (("\troot->exported = true;\n", "\n\t/* From now on. */\n\troot->exported = true;\n"),)
    ),
    Rewriting(
        "rename a local",
        "tdp_fd.c",
        (
            ("\tstruct kvm_mmu_page *root = kvm_exported_root(kvm);\n", "\tstruct kvm_mmu_page *shared_root = kvm_exported_root(kvm);\n"),
            ("\tif (root->role.invalid) {\n", "\tif (shared_root->role.invalid) {\n"),
            ("\troot->exported = true;\n", "\tshared_root->exported = true;\n"),
        ),
    ),
    Rewriting(
        "reorder independent statements",
        "tdp_fd.c",
        (
            (
                "\tshared_root->exported = true;\n\tkvm_tdp_set_exported(kvm);\n",
                "\tkvm_tdp_set_exported(kvm);\n\tshared_root->exported = true;\n",
            ),
        ),
    ),
    Rewriting(
        "an early return",
        "tdp_fd.c",
        (
            (
                "\tif (kvm_create_tdp_fd(kvm) == 0) {\n\t\tlock_exported_tdplist_lock(&kvm->exported_tdplist_lock);\n"
                "\t\timporter_list_add(kvm);\n\t\tunlock_exported_tdplist_lock(&kvm->exported_tdplist_lock);\n"
                "\t\tkvm_domain_attach_device(kvm, dev);\n\t}\n",
                "\tif (kvm_create_tdp_fd(kvm) != 0)\n\t\treturn;\n\n\tlock_exported_tdplist_lock(&kvm->exported_tdplist_lock);\n"
                "\timporter_list_add(kvm);\n\tunlock_exported_tdplist_lock(&kvm->exported_tdplist_lock);\n"
                "\tkvm_domain_attach_device(kvm, dev);\n",
            ),
        ),
    ),
    Rewriting(
        "a local for an expression",
        "tdp_fd.c",
        (
            (
                "\tif (kvm_create_tdp_fd(kvm) != 0)\n\t\treturn;\n",
                "\tint ret;\n\n\tret = kvm_create_tdp_fd(kvm);\n\tif (ret != 0)\n\t\treturn;\n",
            ),
        ),
    ),
    Rewriting(
        "extract a helper",
        "tdp_fd.c",
        (
            (
                "/* Userspace shares the table with a device:",
                "static void kvm_tdp_fd_register_importer(struct kvm *kvm)\n{\n"
                "\tlock_exported_tdplist_lock(&kvm->exported_tdplist_lock);\n\timporter_list_add(kvm);\n"
                "\tunlock_exported_tdplist_lock(&kvm->exported_tdplist_lock);\n}\n\n/* Userspace shares the table with a device:",
            ),
            (
                "\t\treturn;\n\n\tlock_exported_tdplist_lock(&kvm->exported_tdplist_lock);\n\timporter_list_add(kvm);\n"
                "\tunlock_exported_tdplist_lock(&kvm->exported_tdplist_lock);\n\tkvm_domain_attach_device(kvm, dev);\n",
                "\t\treturn;\n\n\tkvm_tdp_fd_register_importer(kvm);\n\tkvm_domain_attach_device(kvm, dev);\n",
            ),
        ),
    ),
    Rewriting(
        "join the unlock paths",
        "tdp_fd.c",
        (
            (
                "\t\tnote_refused();\n\t\twrite_unlock(&kvm->mmu_lock);\n\t\treturn -EINVAL;\n\t}\n\tif (shared_root->role.invalid) {\n"
                "\t\twrite_unlock(&kvm->mmu_lock);\n\t\treturn -EAGAIN;\n\t}\n",
                "\t\tnote_refused();\n\t\tret = -EINVAL;\n\t\tgoto out;\n\t}\n\tif (shared_root->role.invalid) {\n"
                "\t\tret = -EAGAIN;\n\t\tgoto out;\n\t}\n",
            ),
            (
                "\tshared_root->exported = true;\n\twrite_unlock(&kvm->mmu_lock);\n\treturn 0;\n",
                "\tshared_root->exported = true;\nout:\n\twrite_unlock(&kvm->mmu_lock);\n\treturn ret;\n",
            ),
            (
                "\tstruct kvm_mmu_page *shared_root = kvm_exported_root(kvm);\n",
                "\tstruct kvm_mmu_page *shared_root = kvm_exported_root(kvm);\n\tint ret = 0;\n",
            ),
        ),
    ),
    Rewriting(
        "a negated condition with the arms swapped",
        "tdp_fd.c",
        (
            (
                "\tif (!iommu_is_coherent(dev)) {\n\t\tnote_refused();\n\t\treturn -EINVAL;\n\t}\n\tpasid_entry_set(dev);\n\treturn 0;\n",
                "\tif (iommu_is_coherent(dev)) {\n\t\tpasid_entry_set(dev);\n\t\treturn 0;\n\t}\n\tnote_refused();\n\treturn -EINVAL;\n",
            ),
        ),
    ),
)
"""`noncoherent-export`: a table is shared while a device without snooping registers."""

FAULT = (
    Rewriting(
        "an early return for a goto",
        "tdp_mmu.c",
        (
            (
                "\tif (fault->goal_level == PG_LEVEL_4K) {\n\t\tif (is_removed_spte(iter.old_spte))\n\t\t\tgoto retry;\n",
                "\tif (fault->goal_level == PG_LEVEL_4K) {\n\t\tif (is_removed_spte(iter.old_spte)) {\n"
                "\t\t\trcu_read_unlock();\n\t\t\treturn RET_PF_RETRY;\n\t\t}\n",
            ),
        ),
    ),
    Rewriting(
        "rename a helper",
        "tdp_mmu.c",
        (
            ("static void handle_changed_spte(struct kvm *kvm,", "static void tdp_mmu_spte_changed(struct kvm *kvm,"),
            (
                "\thandle_changed_spte(kvm, iter->old_spte, new_spte, iter->level);",
                "\ttdp_mmu_spte_changed(kvm, iter->old_spte, new_spte, iter->level);",
            ),
            (
                "\thandle_changed_spte(kvm, old_spte, new_spte, iter->level);",
                "\ttdp_mmu_spte_changed(kvm, old_spte, new_spte, iter->level);",
            ),
        ),
    ),
    Rewriting(
        "an inverted success path",
        "tdp_mmu.c",
        (
            (
                "\tif (!try_cmpxchg64(iter->sptep, &iter->old_spte, new_spte))\n\t\treturn false;\n"
                "\ttdp_mmu_spte_changed(kvm, old_spte, new_spte, iter->level);\n\treturn true;\n",
                "\tif (try_cmpxchg64(iter->sptep, &iter->old_spte, new_spte)) {\n"
                "\t\ttdp_mmu_spte_changed(kvm, old_spte, new_spte, iter->level);\n\t\treturn true;\n\t}\n\treturn false;\n",
            ),
        ),
    ),
    Rewriting(
        "reorder what an iterator begins with",
        "tdp_mmu.c",
        (
            (
                "\titer.root = root;\n\titer.gfn = fault->gfn;\n\titer.min_level = PG_LEVEL_2M;\n",
                "\titer.min_level = PG_LEVEL_2M;\n\titer.gfn = fault->gfn;\n\titer.root = root;\n",
            ),
        ),
    ),
    Rewriting(
        "rename a local that never turns out otherwise",
        "tdp_mmu.c",
        (
            (
                "\t\t\tsp = tdp_mmu_alloc_sp();\n\t\t\tif (!sp)\n\t\t\t\tgoto retry;\n\t\t\tif (!tdp_mmu_link_sp(kvm, &iter, sp)) {\n"
                "\t\t\t\ttdp_mmu_free_sp(sp);\n\t\t\t\tgoto retry;\n\t\t\t}\n\t\t} else if",
                "\t\t\tchild = tdp_mmu_alloc_sp();\n\t\t\tif (child == NULL)\n\t\t\t\tgoto retry;\n\t\t\tif (!tdp_mmu_link_sp(kvm, &iter, child)) {\n"
                "\t\t\t\ttdp_mmu_free_sp(child);\n\t\t\t\tgoto retry;\n\t\t\t}\n\t\t} else if",
            ),
            (
                "\t\t\tsp = tdp_mmu_alloc_sp();\n\t\t\tif (!sp)\n\t\t\t\tgoto retry;\n\t\t\tif (!tdp_mmu_split_huge_page(kvm, &iter, sp, true)) {\n"
                "\t\t\t\ttdp_mmu_free_sp(sp);\n",
                "\t\t\tchild = tdp_mmu_alloc_sp();\n\t\t\tif (child == NULL)\n\t\t\t\tgoto retry;\n"
                "\t\t\tif (!tdp_mmu_split_huge_page(kvm, &iter, child, true)) {\n\t\t\t\ttdp_mmu_free_sp(child);\n",
            ),
            ("\tstruct kvm_mmu_page *sp;\n\tu64 new_spte;\n", "\tstruct kvm_mmu_page *child;\n\tu64 new_spte;\n"),
        ),
    ),
    Rewriting(
        "nested conditions for a conjunction",
        "tdp_mmu.c",
        (
            (
                "\tif (level == PG_LEVEL_2M && is_shadow_present_pte(old_spte) && !is_last_spte(old_spte, level) &&\n"
                "\t    (!is_shadow_present_pte(new_spte) || is_last_spte(new_spte, level)))\n\t\thandle_removed_pt(kvm, old_spte);\n",
                "\tif (level != PG_LEVEL_2M || !is_shadow_present_pte(old_spte) || is_last_spte(old_spte, level))\n\t\treturn;\n"
                "\tif (!is_shadow_present_pte(new_spte) || is_last_spte(new_spte, level))\n\t\thandle_removed_pt(kvm, old_spte);\n",
            ),
        ),
    ),
    Rewriting(
        "inline a helper",
        "tdp_mmu.c",
        (
            (
                "static bool tdp_mmu_link_sp(struct kvm *kvm, struct tdp_iter *iter, struct kvm_mmu_page *sp)\n{\n"
                "\treturn tdp_mmu_set_spte_atomic(kvm, iter, make_nonleaf_spte(sp));\n}\n\n",
                "",
            ),
            ("\treturn tdp_mmu_link_sp(kvm, iter, sp);\n", "\treturn tdp_mmu_set_spte_atomic(kvm, iter, make_nonleaf_spte(sp));\n"),
            (
                "\t\t\tif (!tdp_mmu_link_sp(kvm, &iter, child)) {\n",
                "\t\t\tif (!tdp_mmu_set_spte_atomic(kvm, &iter, make_nonleaf_spte(child))) {\n",
            ),
        ),
    ),
    Rewriting(
        "extract a predicate",
        "tdp_mmu.c",
        (
            (
                "/* A huge leaf that takes the place of a table unlinks it: flush",
                "static bool tdp_mmu_unlinked_pt(u64 spte, enum pg_level level)\n{\n"
                "\treturn is_shadow_present_pte(spte) && !is_last_spte(spte, level);\n}\n\n"
                "/* A huge leaf that takes the place of a table unlinks it: flush",
            ),
            (
                "\tif (is_shadow_present_pte(old_spte) && !is_last_spte(old_spte, iter->level))\n",
                "\tif (tdp_mmu_unlinked_pt(old_spte, iter->level))\n",
            ),
        ),
    ),
    Rewriting(
        "a redundant flush",
        "kvm_main.c",
        (
            (
                "\tflush = kvm_tdp_mmu_unmap_gfn_range(kvm, start, last, may_block, false);\n\tif (flush)\n"
                "\t\tkvm_flush_remote_tlbs(kvm);\n\twrite_unlock(&kvm->mmu_lock);\n}\n",
                "\tflush = kvm_tdp_mmu_unmap_gfn_range(kvm, start, last, may_block, false);\n\tif (flush) {\n"
                "\t\tkvm_flush_remote_tlbs(kvm);\n\t\tkvm_flush_remote_tlbs(kvm);\n\t}\n"
                "\twrite_unlock(&kvm->mmu_lock);\n}\n",
            ),
        ),
    ),
    Rewriting(
        "no local where an expression will do",
        "kvm_main.c",
        (
            (
                "\tbool flush;\n\n\twrite_lock(&kvm->mmu_lock);\n\tmmu_invalidate_in_progress_add(kvm, start, last);\n"
                "\tflush = kvm_tdp_mmu_unmap_gfn_range(kvm, start, last, may_block, false);\n\tif (flush) {\n",
                "\twrite_lock(&kvm->mmu_lock);\n\tmmu_invalidate_in_progress_add(kvm, start, last);\n"
                "\tif (kvm_tdp_mmu_unmap_gfn_range(kvm, start, last, may_block, false)) {\n",
            ),
        ),
    ),
    Rewriting(
        "while for for",
        "tdp_iter.c",
        (
            (
                "\tfor (tdp_iter_start(&iter, root, PG_LEVEL_4K); tdp_iter_next_leaf(&iter, start, last); )",
                "\ttdp_iter_start(&iter, root, PG_LEVEL_4K); \\\n\twhile (tdp_iter_next_leaf(&iter, start, last))",
            ),
        ),
    ),
    Rewriting(
        "one way out of a fault",
        "mmu.c",
        (
            (
                "\tint ret = RET_PF_RETRY;\n\n\tif (kvm_faultin_pfn(kvm, fault) != RET_PF_CONTINUE)\n\t\treturn RET_PF_RETRY;\n\tread_lock(&kvm->mmu_lock);\n",
                "\tint ret = RET_PF_RETRY;\n\n\tif (kvm_faultin_pfn(kvm, fault) != RET_PF_CONTINUE)\n\t\tgoto out;\n\tread_lock(&kvm->mmu_lock);\n",
            ),
            (
                "\t\tret = kvm_tdp_mmu_map(kvm, root, fault);\n\t}\n\tread_unlock(&kvm->mmu_lock);\n\treturn ret;\n",
                "\t\tret = kvm_tdp_mmu_map(kvm, root, fault);\n\t}\n\tread_unlock(&kvm->mmu_lock);\nout:\n\treturn ret;\n",
            ),
        ),
    ),
    Rewriting(
        "a goto for an if",
        "mmu.c",
        (
            (
                "\tif (!is_page_fault_stale(kvm, root, fault)) {\n\t\tkvm_mmu_hugepage_adjust(kvm, fault);\n"
                "\t\tret = kvm_tdp_mmu_map(kvm, root, fault);\n\t}\n\tread_unlock(&kvm->mmu_lock);\n",
                "\tif (is_page_fault_stale(kvm, root, fault))\n\t\tgoto unlock;\n\tkvm_mmu_hugepage_adjust(kvm, fault);\n"
                "\tret = kvm_tdp_mmu_map(kvm, root, fault);\nunlock:\n\tread_unlock(&kvm->mmu_lock);\n",
            ),
        ),
    ),
)
"""`notifier-vs-fault`: the host takes a page back while a vCPU faults it in."""

JOINED_RETURNS = (
    Rewriting(
        "one return for two",
        "mmu.c",
        (
            (
                "\tif (root->role.invalid)\n\t\treturn true;\n\treturn mmu_invalidate_retry(kvm, fault->gfn);\n",
                "\treturn root->role.invalid || mmu_invalidate_retry(kvm, fault->gfn);\n",
            ),
        ),
    ),
)
"""`notifier-vs-fault`, too: on each way through the joined return its value is known, so that no way passes what the caller asks of it."""

EXIT = (
    Rewriting(
        "extract the zap of all roots",
        "mmu.c",
        (
            (
                "/* The mm goes away while devices may still be attached:",
                "static void kvm_tdp_mmu_zap_all(struct kvm *kvm, gfn_t start, gfn_t last)\n{\n\tstruct kvm_mmu_page *root;\n\n"
                "\tfor_each_tdp_mmu_root(kvm, root)\n\t\ttdp_mmu_zap_leafs(kvm, root, start, last, false, false);\n}\n\n"
                "/* The mm goes away while devices may still be attached:",
            ),
            (
                "\tstruct kvm_mmu_page *root;\n\n\twrite_lock(&kvm->mmu_lock);\n\tmmu_invalidate_in_progress_add(kvm, start, last);\n"
                "\tfor_each_tdp_mmu_root(kvm, root)\n\t\ttdp_mmu_zap_leafs(kvm, root, start, last, false, false);\n",
                "\twrite_lock(&kvm->mmu_lock);\n\tmmu_invalidate_in_progress_add(kvm, start, last);\n"
                "\tkvm_tdp_mmu_zap_all(kvm, start, last);\n",
            ),
        ),
    ),
    Rewriting(
        "flush once more",
        "mmu.c",
        (
            (
                "\tkvm_flush_remote_tlbs(kvm);\n\twrite_unlock(&kvm->mmu_lock);\n\thost_unmap_and_free(",
                "\tkvm_flush_remote_tlbs(kvm);\n\tkvm_flush_remote_tlbs(kvm);\n\twrite_unlock(&kvm->mmu_lock);\n\thost_unmap_and_free(",
            ),
        ),
    ),
    Rewriting(
        "a guard in place of a block",
        "tdp_mmu.c",
        (
            (
                "\t\tif (can_yield && tdp_mmu_iter_cond_resched(kvm, flush, false)) {\n\t\t\tflush = false;\n\t\t\tcontinue;\n\t\t}\n"
                "\t\ttdp_mmu_set_spte(kvm, &iter, 0);\n\t\tflush = true;\n",
                "\t\tif (can_yield && tdp_mmu_iter_cond_resched(kvm, flush, false)) {\n\t\t\tflush = false;\n\t\t} else {\n"
                "\t\t\ttdp_mmu_set_spte(kvm, &iter, 0);\n\t\t\tflush = true;\n\t\t}\n",
            ),
        ),
    ),
)
"""`mm-exit`: the mm of a VM goes away."""
