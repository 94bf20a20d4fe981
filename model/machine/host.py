"""The host's memory management: which frame backs each gfn, and the invalidation windows of its MMU notifiers.

A frame is a guest page or free; giving one back and taking it again are steps of their own, because a translation that
outlives its frame is the harm this tool looks for. A gfn stands for its hva: there is one memslot, which may be deleted.
Source: mm/mmu_notifier.c, virt/kvm/kvm_main.c (kvm_mmu_notifier_invalidate_range_start/end), Linux 6.1.
"""

from __future__ import annotations

import z3

from ...core.sorts import StateVar
from ...core.system import Update, bool_var
from ...kernelc.lowering.cfg import THREADS
from .sorts import BLOCK, FRAME, GFN, REGION, f, g, region_of, t

host_mapped = bool_var("host_mapped", GFN, doc="the host's page table maps the gfn's hva")
host_frame = StateVar("host_frame", (GFN,), FRAME, "the frame that it maps")
host_huge = bool_var("host_huge", REGION, doc="the region's hvas are mapped by one huge page")
host_block = StateVar("host_block", (REGION,), BLOCK, "that huge page")
frame_free = bool_var("frame_free", FRAME, doc="the frame belongs to the page allocator")
window = bool_var("window", THREADS, GFN, doc="an invalidation by this thread that covers the gfn has begun and not ended")
inner_window = bool_var(
    "inner_window", THREADS, GFN, doc="the same for an invalidation nested in another: the host splits a huge page first"
)
invalidating = bool_var(
    "invalidating", GFN, doc="mmu_invalidate_in_progress is not zero and its range covers the gfn: some window is open over it"
)
zap_window = bool_var(
    "zap_window", THREADS, GFN, doc="ghost: this thread is unmapping the gfn on purpose (memslot deletion, fast zap, teardown)"
)
memslot_invalid = bool_var("memslot_invalid", doc="the memslot is being deleted, KVM_MEMSLOT_INVALID, or is gone; stays so")
seq_stale = bool_var("seq_stale", THREADS, doc="mmu_invalidate_seq has moved on since this thread read it")

STATE = (
    host_mapped, host_frame, host_huge, host_block, frame_free, window, inner_window, invalidating, zap_window, memslot_invalid, seq_stale,
)  # fmt: skip


def maps(gfn: z3.ExprRef, frame: z3.ExprRef) -> z3.BoolRef:
    """Whether the host backs `gfn` by `frame` now."""
    return z3.And(host_mapped(gfn), host_frame(gfn) == frame)


def in_window(gfn: z3.ExprRef) -> z3.BoolRef:
    """Whether some thread's invalidation covers `gfn` now (mmu_invalidate_in_progress with its range)."""
    return invalidating(gfn)


def being_unmapped(gfn: z3.ExprRef) -> z3.BoolRef:
    """Whether some thread is unmapping `gfn` on purpose now."""
    return z3.Or(invalidating(gfn), z3.Exists([t], zap_window(t, gfn)))


def initial(huge: bool, mapped: bool, regions: int, slots: int) -> list[Update]:
    """Gfn n is backed by frame n, region n by block n; the rest of the frames are free."""
    backed = [(g == GFN.element(n), FRAME.element(n)) for n in range(regions * slots)]
    frame: z3.ExprRef = FRAME.element(0)
    for condition, value in backed:
        frame = z3.If(condition, value, frame)
    r = REGION.const("r")
    block: z3.ExprRef = BLOCK.element(0)
    if huge:
        for n in range(regions):
            block = z3.If(r == REGION.element(n), BLOCK.element(n), block)
    used = z3.Or([f == FRAME.element(n) for n in range(regions * slots)]) if mapped else z3.BoolVal(False)
    closed = (window, inner_window, invalidating, zap_window, memslot_invalid, seq_stale)
    return [
        Update(host_mapped, (g,), z3.BoolVal(mapped)),
        Update(host_frame, (g,), frame if mapped else FRAME.element(0)),
        Update(host_huge, (r,), z3.BoolVal(huge and mapped)),
        Update(host_block, (r,), block),
        Update(frame_free, (f,), z3.Not(used)),
        *(Update(var, var.variables(), z3.BoolVal(False)) for var in closed),
    ]


def release(region_split: z3.BoolRef, covered: z3.BoolRef) -> tuple[Update, ...]:
    """Unmap the gfns `g` with `covered` (a term over `g`) and give their frames back.

    A huge mapping of which a part goes is no longer huge; `region_split` (a term over the region constant `r`) says which.
    """
    r = REGION.const("r")
    gone = z3.Exists([g], z3.And(covered, host_mapped(g), host_frame(g) == f))
    return (
        Update(host_mapped, (g,), z3.And(host_mapped(g), z3.Not(covered))),
        Update(frame_free, (f,), z3.Or(frame_free(f), gone)),
        Update(host_huge, (r,), z3.And(host_huge(r), z3.Not(region_split))),
    )


def touches(covered: z3.BoolRef) -> z3.BoolRef:
    """Whether region `r` has a gfn with `covered` (a term over `g`)."""
    return z3.Exists([g], z3.And(region_of(g) == REGION.const("r"), covered))
