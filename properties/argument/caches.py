"""What IOMMUs remember: nothing that the table does not say, unless its flush is owed."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ...core.system import Lemma
from ...model.machine import ghosts, host, iommu, tables
from ...model.machine.sorts import part, region_of, slot_of
from ...model.program_points import Location
from .setting import Setting
from .words import EXPORTED, FREE, LEAF, PRIVATE, RCU, g, i, lemma, p, r, root, t, u

_DOMAIN = iommu.domain_root(i)


def chapter(here: Setting) -> Iterator[Lemma]:
    for var, x, what in (
        (iommu.psc_valid, r, "paging-structure cache"),
        (iommu.iotlb_huge, r, "IOTLB, of 2 MiB,"),
        (iommu.iotlb_valid, g, "IOTLB, of 4 KiB,"),
    ):
        yield lemma(
            f"{var.name}_is_active",
            [i, x],
            z3.Implies(var(i, x), iommu.active(i)),
            f"An IOMMU has an entry in its {what} only if some device behind it is attached.",
            "An IOMMU walks the domain only for an attached device, and no device is detached.",
        )
    yield from _translations()
    yield from _table_pages(here)

    def clean(x: Location) -> z3.BoolRef | None:
        covered = here.within(x, g)
        empty = z3.And(z3.Not(iommu.iotlb_valid(i, g)), z3.Not(iommu.iotlb_huge(i, region_of(g))))
        return None if covered is None else z3.Implies(covered, empty)

    yield lemma(
        "zapped_is_uncached",
        [t, i, g],
        here.each(here.flushed, clean),
        "After an invalidation has let go of mmu_lock, no IOTLB holds a translation of its range, until its window closes.",
        "It has zapped and flushed the range before, and no IOMMU finds a leaf there to fill from (zapped_is_gone).",
    )


def _translations() -> Iterator[Lemma]:
    owed = z3.Exists([u], ghosts.owes_io(u, i, g))
    agrees = tables.same_walk(_DOMAIN, g, iommu.iotlb_frame(i, g))
    yield lemma(
        "iotlb_agrees_or_owed",
        [i, g],
        z3.Implies(iommu.iotlb_valid(i, g), z3.Or(agrees, owed)),
        "A 4 KiB translation in an IOTLB is the one that the table gives, or somebody owes that IOMMU its flush.",
        "iotlb_fill takes it from the table; who changes the table then owes the flush; inv_complete drops it.",
    )
    region = region_of(g)
    owed_huge = z3.Exists([u], ghosts.owes_io_huge(u, i, region))
    block = part(iommu.iotlb_block(i, region), slot_of(g))
    yield lemma(
        "huge_iotlb_agrees_or_owed",
        [i, g],
        z3.Implies(iommu.iotlb_huge(i, region), z3.Or(tables.same_walk(_DOMAIN, g, block), owed, owed_huge)),
        "Each part of a 2 MiB translation in an IOTLB is what the table gives, or somebody owes that IOMMU a flush of it.",
        "iotlb_fill_huge takes it from the table; a split keeps it; a zap owes the flush, and flushing all of it drops it (inv_complete).",
    )
    pt_owed = z3.Exists([u], ghosts.owes_io_pt(u, i, region))
    yield lemma(
        "no_small_below_huge",
        [i, g],
        z3.Implies(z3.And(iommu.iotlb_valid(i, g), tables.pmd_kind(_DOMAIN, region) == LEAF), pt_owed),
        "An IOTLB has a 4 KiB translation below a huge leaf only while the flush for the table page that stood there is owed.",
        "A huge leaf takes the place of a table owing that flush, and iotlb_fill reads small leaves below cached tables alone.",
    )


def _table_pages(here: Setting) -> Iterator[Lemma]:
    points = z3.And(iommu.psc_valid(i, r), iommu.psc_pt(i, r) == p)
    state = tables.pt_state(p)
    belongs = z3.And(tables.pt_root(p) == EXPORTED, tables.pt_region(p) == r, state != FREE, state != PRIVATE)
    yield lemma(
        "psc_agrees_or_owed",
        [i, r, p],
        z3.Implies(points, belongs),
        "A table page in a paging-structure cache stands, or stood, in the exported root for that region, and is not freed.",
        "psc_fill takes it from the table, and its unlinker flushes before it leaves the RCU read side on which the page waits.",
    )
    unlinked = [
        z3.Implies(z3.And(here.at(u, places), iommu.psc_valid(i, r), iommu.psc_pt(i, r) == var(u)), ghosts.owes_io_pt(u, i, r))
        for var, places in here.unlinkers
    ]
    yield lemma(
        "psc_unlinking_is_owed",
        [i, r, u],
        z3.And(unlinked),
        "A thread in handle_removed_pt() owes the IOMMUs a flush if one of them still has that page in its paging-structure cache.",
        "An IOMMU with such an entry is active, and who replaces a non-leaf spte while one is active owes it.",
    )
    witness = z3.Exists([u], z3.And(ghosts.owes_io_pt(u, i, r), tables.rcu_waits(p, u)))
    yield lemma(
        "psc_unlinked_is_owed",
        [i, r, p],
        z3.Implies(z3.And(points, state == RCU), witness),
        "A cached table page that waits for its grace period waits for a thread that owes that IOMMU its flush.",
        "The unlinker calls call_rcu_free_sp() inside its own RCU read side, and flushes before it leaves that.",
    )


def promises() -> Iterator[Lemma]:
    """What a vCPU or device may count on: translations that have been there, and that nobody takes away."""
    kept = tables.same_walk(root, g, host.host_frame(g))
    yield lemma(
        "promise_kept",
        [root, g],
        z3.Implies(z3.And(ghosts.promised(root, g), z3.Not(tables.root_invalid(root))), kept),
        "Where a gfn was mapped in a valid root and nobody has begun to unmap it, a walk still ends at the frame that backs it.",
        "Splits and recovery exchange sptes in one step for sptes of the same translations; only zaps take any away, within a window.",
    )


def marks(here: Setting) -> Iterator[Lemma]:
    """What must never have happened."""
    yield lemma(
        "no_stale_install",
        [],
        z3.Not(ghosts.stale_install()),
        "No spte was ever installed from a pfn that was resolved before an overlapping invalidation ended.",
        "Faults install behind mmu_invalidate_retry() under the same mmu_lock (no_window_here), and nobody else installs from a pfn.",
    )
    yield lemma(
        "no_dead_install",
        [],
        z3.Not(ghosts.dead_install()),
        "No present spte was ever installed in an invalid root where there was none.",
        "Faults install in valid roots (fault_in_valid_root); splits and recovery replace sptes that are present.",
    )
    failed = here.model.system.by_name["assertion_failed"]
    (a,) = failed.variables()
    yield lemma(
        "assertions_hold",
        [a],
        z3.Not(failed(a)),
        "No assertion of the kernel C ever failed.",
        "lockdep assertions stand behind the lock that they ask for, and tdp_mmu_unlink_sp() only unlinks pages that are linked.",
    )
