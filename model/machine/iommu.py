"""The IOMMU's side: a paging-structure cache and an IOTLB per IOMMU, and invalidations that complete later.

Any legal fill can happen at any time, and a walk is not atomic: caching an upper entry and reading the lower one are separate
actions. An entry leaves a cache by invalidation or by a new fill of its place; spontaneous eviction only removes behaviour
(whatever a run does after one, it can do without) and is left out. Source: VT-d specification, chapters 3.7, 6.2 and 6.5; Linux 6.1
drivers/iommu/intel/ (qi_submit_sync, iommu_flush_iotlb_psi).
"""

from __future__ import annotations

import z3

from ...core.sorts import StateVar
from ...core.system import Action, Param, Update, bool_var, set_at, set_where
from ...kernelc.lowering.cfg import THREADS
from .sorts import BLOCK, DEVICE, FRAME, GFN, IOMMU, PT, REGION, ROOT, d, g, i, iommu_of, part, region_of, slot_of
from .tables import LEAF, TABLE, pmd_block, pmd_kind, pmd_pt, pmd_writable, pte_frame, pte_kind, pte_writable

attached = bool_var("attached", DEVICE, doc="the device's PASID entry points to the domain: its DMA is translated by the shared table")
domain_root = StateVar("domain_root", (IOMMU,), ROOT, "SSPTPTR: the root that the domain was given when the TDP was exported")
psc_valid = bool_var("psc_valid", IOMMU, REGION, doc="the paging-structure cache holds the region's non-leaf entry")
psc_pt = StateVar("psc_pt", (IOMMU, REGION), PT, "the table page that it points to")
iotlb_valid = bool_var("iotlb_valid", IOMMU, GFN, doc="the IOTLB holds a 4 KiB translation of the gfn")
iotlb_frame = StateVar("iotlb_frame", (IOMMU, GFN), FRAME, "its frame")
iotlb_writable = bool_var("iotlb_writable", IOMMU, GFN, doc="its write permission")
iotlb_huge = bool_var("iotlb_huge", IOMMU, REGION, doc="the IOTLB holds a 2 MiB translation of the region")
iotlb_block = StateVar("iotlb_block", (IOMMU, REGION), BLOCK, "its huge page")
iotlb_huge_writable = bool_var("iotlb_huge_writable", IOMMU, REGION, doc="its write permission")
inv_submitted = bool_var("inv_submitted", THREADS, IOMMU, doc="this thread's invalidation stands in the queue, not yet complete")
inv_gfn = bool_var("inv_gfn", THREADS, GFN, doc="the gfns that it covers")
inv_leaf_only = bool_var("inv_leaf_only", THREADS, doc="its invalidation hint (IH): only leaf entries changed")

STATE = (
    attached, domain_root, psc_valid, psc_pt, iotlb_valid, iotlb_frame, iotlb_writable, iotlb_huge, iotlb_block, iotlb_huge_writable,
    inv_submitted, inv_gfn, inv_leaf_only,
)  # fmt: skip


def active(iommu: z3.ExprRef) -> z3.BoolRef:
    """Whether some attached device makes this IOMMU walk the domain."""
    return z3.Exists([d], z3.And(attached(d), iommu_of(d) == iommu))


def reaches(iommu: z3.ExprRef, gfn: z3.ExprRef, frame: z3.ExprRef) -> z3.BoolRef:
    """Whether the IOTLB lets a device behind `iommu` reach `frame` through `gfn` without another walk."""
    small = z3.And(iotlb_valid(iommu, gfn), iotlb_frame(iommu, gfn) == frame)
    at = (iommu, region_of(gfn))
    return z3.Or(small, z3.And(iotlb_huge(*at), part(iotlb_block(*at), slot_of(gfn)) == frame))


def initial(devices_attached: bool) -> list[Update]:
    """Caches are empty; the domain points to root 0."""
    empty = (psc_valid, iotlb_valid, iotlb_writable, iotlb_huge, iotlb_huge_writable, inv_submitted, inv_gfn, inv_leaf_only)
    return [
        Update(attached, (d,), z3.BoolVal(devices_attached)),
        Update(domain_root, (i,), ROOT.element(0)),
        *(Update(var, var.variables(), z3.BoolVal(False)) for var in empty),
        Update(psc_pt, psc_pt.variables(), PT.element(0)),
        Update(iotlb_frame, iotlb_frame.variables(), FRAME.element(0)),
        Update(iotlb_block, iotlb_block.variables(), BLOCK.element(0)),
    ]


def actions() -> tuple[Action, ...]:
    """Fills at any time, and the completion of each submitted invalidation."""
    iommu, region, gfn, thread = Param("iommu", IOMMU), Param("region", REGION), Param("gfn", GFN), Param("thread", THREADS)
    a, b, c, e = iommu.const, region.const, gfn.const, thread.const
    upper, lower = (domain_root(a), b), (psc_pt(a, region_of(c)), slot_of(c))
    true = z3.BoolVal(True)
    x, y, z = iotlb_valid.variables(), iotlb_huge.variables(), psc_valid.variables()
    region_covered = z3.Exists([g], z3.And(region_of(g) == y[1], inv_gfn(e, g)))
    return (
        Action(
            "psc_fill",
            "iommu",
            (iommu, region),
            z3.And(active(a), pmd_kind(*upper) == TABLE),
            (set_at(psc_valid, (a, b), true), set_at(psc_pt, (a, b), pmd_pt(*upper))),
            "walk: caches the table of region {region}",
        ),
        Action(
            "iotlb_fill",
            "iommu",
            (iommu, gfn),
            z3.And(active(a), psc_valid(a, region_of(c)), pte_kind(*lower) == LEAF),
            (
                set_at(iotlb_valid, (a, c), true),
                set_at(iotlb_frame, (a, c), pte_frame(*lower)),
                set_at(iotlb_writable, (a, c), pte_writable(*lower)),
            ),
            "IOTLB: gfn {gfn}",
        ),
        Action(
            "iotlb_fill_huge",
            "iommu",
            (iommu, region),
            z3.And(active(a), pmd_kind(*upper) == LEAF),
            (
                set_at(iotlb_huge, (a, b), true),
                set_at(iotlb_block, (a, b), pmd_block(*upper)),
                set_at(iotlb_huge_writable, (a, b), pmd_writable(*upper)),
            ),
            "IOTLB: huge page of region {region}",
        ),
        Action(
            "inv_complete",
            "iommu",
            (iommu, thread),
            inv_submitted(e, a),
            (
                set_at(inv_submitted, (e, a), z3.BoolVal(False)),
                set_where(iotlb_valid, x, z3.And(x[0] == a, inv_gfn(e, x[1])), z3.BoolVal(False)),
                # A page-selective invalidation drops larger entries that overlap: an assumption that reports print.
                set_where(iotlb_huge, y, z3.And(y[0] == a, region_covered), z3.BoolVal(False)),
                set_where(
                    psc_valid,
                    z,
                    z3.And(z[0] == a, z3.Not(inv_leaf_only(e)), z3.Exists([g], z3.And(region_of(g) == z[1], inv_gfn(e, g)))),
                    z3.BoolVal(False),
                ),
            ),
            "invalidation of thread {thread} completes",
        ),
    )
