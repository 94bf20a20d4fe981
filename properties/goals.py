"""Goals that scenarios name: what must have been reached for a verdict to mean anything."""

from __future__ import annotations

import z3

from ..model.machine import device_tlb, ghosts, iommu
from ..model.machine.sorts import d, g, i, r

GOALS: dict[str, z3.BoolRef] = {
    "zapped": ghosts.zapped(),
    "split": ghosts.split_done(),
    "recovered": ghosts.recovered(),
    "refused": ghosts.refused(),
    "fast zapped": ghosts.fast_zapped(),
    "table unlinked": ghosts.pt_unlinked(),
    "attached": z3.Exists([d], iommu.attached(d)),
    "iotlb filled": z3.Exists([i, g], iommu.iotlb_valid(i, g)),
    "huge iotlb filled": z3.Exists([i, r], iommu.iotlb_huge(i, r)),
    "device tlb filled": z3.Exists([d, g], device_tlb.dtlb_valid(d, g)),
    "table cached": z3.Exists([i, r], iommu.psc_valid(i, r)),
}
"""Closed terms by the name that a scenario uses."""
