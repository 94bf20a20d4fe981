"""Ghost state: what no machine keeps, and what an argument about it needs. Nothing in the model branches on a ghost."""

from __future__ import annotations

import z3

from ...core.sorts import StateVar
from ...core.system import Update, bool_var
from ...kernelc.lowering.cfg import THREADS
from ..view.state_view import View, indices
from .sorts import DEVICE, GFN, IOMMU, REGION, ROOT, g, region_at, root

owes_cpu = bool_var("owes_cpu", THREADS, GFN, doc="this thread changed what the gfn translates to and has not flushed the CPUs since")
owes_io = bool_var("owes_io", THREADS, IOMMU, GFN, doc="the same for that IOMMU, of a 4 KiB translation")
owes_io_huge = bool_var(
    "owes_io_huge", THREADS, IOMMU, REGION, doc="the same for that IOMMU, of a 2 MiB translation: all of its gfns are to be flushed at once"
)
owes_cpu_pt = bool_var("owes_cpu_pt", THREADS, doc="this thread unlinked a table page and has not flushed the CPUs since")
owes_io_pt = bool_var(
    "owes_io_pt", THREADS, IOMMU, REGION, doc="this thread unlinked the region's table page and has not flushed that IOMMU"
)
owes_dev = bool_var("owes_dev", THREADS, DEVICE, GFN, doc="the same for that device's own TLB: owed until its IOMMU can fill it no more")
"""In the state where devices have a TLB (`device_tlb`)."""
promised = bool_var("promised", ROOT, GFN, doc="a walk for the gfn has succeeded, and nobody has begun to unmap it since")
resolved = StateVar("resolved", (THREADS,), GFN, "the gfn whose pfn this thread resolved last")
pfn_stale = bool_var("pfn_stale", THREADS, GFN, doc="an invalidation that covers the gfn has ended since this thread resolved its pfn")
stale_install = bool_var(
    "stale_install", doc="an SPTE was installed from a pfn resolved before an overlapping invalidation ended; stays so"
)
dead_install = bool_var("dead_install", doc="a present SPTE was installed in an invalid root; stays so")
zapped = bool_var("zapped", doc="some present entry was taken away; stays so")
split_done = bool_var("split_done", doc="a huge leaf was replaced by a table of the same translations; stays so")
recovered = bool_var("recovered", doc="a table was replaced by a huge leaf of the same translations; stays so")
refused = bool_var("refused", doc="a request to share or to register was refused; stays so")
fast_zapped = bool_var("fast_zapped", doc="a fast zap ran; stays so")
pt_unlinked = bool_var("pt_unlinked", doc="a table page was unlinked; stays so")

STATE = (
    owes_cpu, owes_io, owes_io_huge, owes_cpu_pt, owes_io_pt, promised, resolved, pfn_stale, stale_install, dead_install,
    zapped, split_done, recovered, refused, fast_zapped, pt_unlinked,
)  # fmt: skip


def initial(promised_at: z3.BoolRef) -> list[Update]:
    """Nobody owes anything; what is mapped at the start below a `root` of which `promised_at` is true is promised."""
    return [
        *(Update(var, var.variables(), z3.BoolVal(False)) for var in STATE if var not in (promised, resolved)),
        Update(resolved, resolved.variables(), GFN.element(0)),
        Update(promised, (root, g), promised_at),
    ]


# How it is told

DEBTS = {owes_io: "IOMMUs", owes_io_huge: "IOMMUs", owes_dev: "devices", owes_cpu: "vCPUs"}
TABLE_DEBTS = {owes_io_pt: "IOMMUs", owes_cpu_pt: "vCPUs"}
"""What a thread owes, and to whom."""


def owed(view: View, thread: int) -> dict[str, tuple[int, ...]]:
    """The gfns of which a thread owes a flush in a state, by whose caches hold them."""

    def io(gfn: int) -> bool:
        small = any(view.is_set(owes_io, thread, n, gfn) for n in view.each(IOMMU))
        return small or any(view.is_set(owes_io_huge, thread, n, region_at(view, gfn)) for n in view.each(IOMMU))

    def dev(gfn: int) -> bool:
        return view.has(owes_dev) and any(view.is_set(owes_dev, thread, n, gfn) for n in view.each(DEVICE))

    found = {
        "IOMMUs": tuple(n for n in view.each(GFN) if io(n)),
        "devices": tuple(n for n in view.each(GFN) if dev(n)),
        "vCPUs": tuple(n for n in view.each(GFN) if view.is_set(owes_cpu, thread, n)),
    }
    return {whom: numbers for whom, numbers in found.items() if numbers}


def owed_tables(view: View, thread: int) -> tuple[str, ...]:
    """Those to whom a thread owes a flush in a state because it unlinked a table page."""
    return tuple(whom for var, whom in TABLE_DEBTS.items() if any(view.is_set(var, thread, *at) for at in indices(view, *var.params[1:])))
