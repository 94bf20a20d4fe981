"""No stale IO mapping after a zap: what an IOMMU has cached agrees with what the host backs the guest with."""

from __future__ import annotations

import z3

from ..core.system import Property
from ..model.machine.host import maps
from ..model.machine.iommu import active, psc_pt, psc_valid, reaches
from ..model.machine.sorts import f, g, i, r
from ..model.machine.tables import PT_LINKED, PT_RCU, PT_UNLINKED, pt_state

TRANSLATIONS = z3.ForAll([i, g, f], z3.Implies(z3.And(active(i), reaches(i, g, f)), maps(g, f)))
"""A cached final translation, small or huge, leads to the frame that backs the gfn now."""

TABLES = z3.ForAll(
    [i, r],
    z3.Implies(
        z3.And(active(i), psc_valid(i, r)),
        z3.Or(pt_state(psc_pt(i, r)) == PT_LINKED, pt_state(psc_pt(i, r)) == PT_UNLINKED, pt_state(psc_pt(i, r)) == PT_RCU),
    ),
)
"""A cached pointer to a table page leads to a page that is not free yet."""

PROPERTY = Property(
    name="no_stale_io_mapping",
    sentence="No IOMMU holds a translation to a frame that the host has taken back, nor a pointer to a table page that was freed.",
    holds=z3.And(TRANSLATIONS, TABLES),
    premise=z3.Exists([i, g, f], z3.And(active(i), reaches(i, g, f))),
    source="mmu_notifier contract (include/linux/mmu_notifier.h); the RFC's patches 08, 22 and 42; invariants P1 and P3 of a shared table",
)
