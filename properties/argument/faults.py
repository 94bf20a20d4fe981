"""Leaves map what the host maps, and why faults install nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ...core.system import Lemma
from ...model.intrinsics.types import LEVELS
from ...model.machine import cpu, ghosts, host, tables
from ...model.machine.sorts import region_of, slot_of
from ...model.program_points import Location
from .setting import Setting
from .words import LEAF, TABLE, TRUE, UNLINKED, g, lemma, p, r, root, t, u


def leaves(here: Setting) -> Iterator[Lemma]:
    """What sptes map, in every root that somebody holds."""
    same = z3.And(host.host_huge(r), host.host_block(r) == tables.pmd_block(root, r))
    yield lemma(
        "huge_leaf",
        [root, r],
        z3.Implies(z3.And(cpu.alive(root), tables.pmd_kind(root, r) == LEAF), same),
        "A huge leaf in a root that is held maps the huge page by which the host maps the region.",
        "Faults and recovery install it so (folio_is_current, recovered_block), and the host changes the region only after it was zapped.",
    )
    below = (p, slot_of(g))
    points = z3.And(tables.pmd_kind(root, region_of(g)) == TABLE, tables.pmd_pt(root, region_of(g)) == p, tables.pte_kind(*below) == LEAF)
    yield lemma(
        "small_leaf",
        [root, g, p],
        z3.Implies(z3.And(cpu.alive(root), points), host.maps(g, tables.pte_frame(*below))),
        "A 4 KiB leaf in a root that is held maps the frame by which the host backs the gfn.",
        "Faults install it so (pfn_is_current), a split keeps each translation, and the host takes the frame only after it was zapped.",
    )
    gone = z3.And(tables.pt_state(p) == UNLINKED, tables.pt_root(p) == root, tables.pt_region(p) == region_of(g), cpu.alive(root))
    yield lemma(
        "unlinked_was_replaced",
        [root, g, p],
        z3.Implies(gone, tables.walks(root, g)),
        "While a table page is in handle_removed_pt(), walks from its root for its gfns succeed, if the root is held.",
        "Only a huge leaf takes the place of a table, and who put it there holds mmu_lock until call_rcu_free_sp(): nobody zaps it.",
    )
    yield lemma(
        "unlinked_leaf",
        [root, g, p],
        z3.Implies(z3.And(gone, tables.pte_kind(*below) == LEAF), host.maps(g, tables.pte_frame(*below))),
        "A leaf in a table page that is in handle_removed_pt() still maps the frame by which the host backs the gfn.",
        "It did so in the table (small_leaf), and a host that takes the frame must first have mmu_lock for writing, to zap.",
    )


def chapter(here: Setting) -> Iterator[Lemma]:
    """From hva_to_pfn() to the leaf."""
    gfn = ghosts.resolved(t)
    unchecked = tuple(x for x in here.resolved if x not in here.checked and here.value(x, "fault.pfn") is not None)

    def fresh(x: Location) -> z3.BoolRef | None:
        pfn = here.value(x, "fault.pfn")
        untouched = z3.And(z3.Not(host.seq_stale(t)), z3.Not(host.invalidating(gfn)))
        return None if pfn is None else z3.Implies(untouched, host.maps(gfn, pfn))

    yield lemma(
        "fresh_or_overtaken",
        [t],
        here.each(unchecked, fresh),
        "A resolved pfn still backs its gfn, or a window is open over the gfn, or mmu_invalidate_seq has moved on.",
        "The host takes a frame only within a window, and mmu_invalidate_in_progress_sub() moves the sequence when that one closes.",
    )
    yield lemma(
        "stale_is_counted",
        [t],
        z3.Implies(z3.And(here.at(t, unchecked), ghosts.pfn_stale(t, gfn)), host.seq_stale(t)),
        "If an invalidation over the gfn has ended since its pfn was resolved, mmu_invalidate_seq has moved on since the fault read it.",
        "kvm_faultin_pfn() reads the sequence before it resolves the pfn, and every end of a window moves the sequence.",
    )
    over = z3.And(z3.Not(host.invalidating(gfn)), z3.Not(ghosts.pfn_stale(t, gfn)))
    yield lemma(
        "no_window_here",
        [t, u],
        z3.Implies(here.at(t, here.checked), over),
        "Behind mmu_invalidate_retry(), no window is open over a fault's gfn, and none has ended since its pfn was resolved.",
        "mmu_invalidate_retry() asks just that under mmu_lock, and windows open and close only under mmu_lock for writing.",
    )

    def current(x: Location) -> z3.BoolRef | None:
        parts = []
        pfn, new, lower = here.value(x, "fault.pfn"), here.value(x, "new_spte.frame"), here.value(x, "sptep.lower")
        if pfn is not None:
            parts.append(host.maps(gfn, pfn))
        if new is not None:
            parts.append(z3.Implies(TRUE if lower is None else lower, host.maps(gfn, new)))
        return z3.And(parts) if parts else None

    yield lemma(
        "pfn_is_current",
        [t],
        here.each(here.checked, current),
        "Behind mmu_invalidate_retry(), a fault's pfn, and the 4 KiB leaf made of it, is the frame by which the host backs the gfn.",
        "It was so or the fault retries (fresh_or_overtaken), and the host takes nothing outside a window (no_window_here).",
    )

    def huge(x: Location) -> z3.BoolRef | None:
        parts = []
        goal, folio = here.value(x, "fault.goal_level"), here.value(x, "fault.folio")
        new, lower = here.value(x, "new_spte.block"), here.value(x, "sptep.lower")
        region = region_of(gfn)
        if goal is not None:
            wants = goal == LEVELS.element("PG_LEVEL_2M")
            parts.append(z3.Implies(wants, host.host_huge(region)))
            if folio is not None:
                parts.append(z3.Implies(wants, host.host_block(region) == folio))
        if new is not None and lower is not None:
            parts.append(z3.Implies(z3.Not(lower), z3.And(host.host_huge(region), host.host_block(region) == new)))
        return z3.And(parts) if parts else None

    yield lemma(
        "folio_is_current",
        [t],
        here.each(here.checked, huge),
        "Behind mmu_invalidate_retry(), a fault maps 2 MiB only where the host does, and its folio and huge leaf are the host's huge page.",
        "kvm_mmu_hugepage_adjust() asks under mmu_lock; the host splits or unmaps a huge page only within a window over its gfns.",
    )
