"""The host's memory management: which frame backs each gfn, and the invalidation windows of its MMU notifiers.

A frame is a guest page or free; giving one back and taking it again are steps of their own, because a translation that
outlives its frame is the harm this tool looks for. A gfn stands for its hva: there is one memslot, which may be deleted.
Source: mm/mmu_notifier.c, virt/kvm/kvm_main.c (kvm_mmu_notifier_invalidate_range_start/end), Linux 6.1.
"""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ...core.sorts import StateVar
from ...core.system import Update, bool_var
from ...kernelc.lowering.cfg import THREADS
from ..view.naming import frame_name, gfns
from ..view.roles import HOST_BOX, Flags, Link, Mark, Telling, Thing, Translation, cells_of
from ..view.state_view import At, Changed, View
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


# How it is told


def backing(view: View, gfn: int) -> int | None:
    """The frame that backs `gfn` in a state."""
    return view.number(host_frame, gfn) if view.is_set(host_mapped, gfn) else None


def holder(view: View, frame: int) -> str:
    """Who has a frame: a gfn, nobody, or the host."""
    for gfn in view.each(GFN):
        if backing(view, gfn) == frame:
            return f"gfn {gfn}"
    return "free" if view.is_set(frame_free, frame) else "the host"


def translated(view: View, gfn: int, frame: int) -> Translation:
    """A translation, and whether the host still means it."""
    return Translation(gfn, frame, backing(view, gfn) != frame)


def unmapped_by(view: View, gfn: int) -> tuple[int, ...]:
    """The threads that are unmapping `gfn` on purpose now."""
    return tuple(n for n in view.each(THREADS) if any(view.is_set(var, n, gfn) for var in WINDOWS))


WINDOWS = {window: "invalidation of", inner_window: "nested invalidation of", zap_window: "zap of"}
"""What a thread begins and ends, and what that is called."""


def _words(before: View, after: View, changed: Changed) -> Iterator[str]:
    taken = [n for (n,) in changed.at(host_mapped) if not after.is_set(host_mapped, n)]
    freed = [frame_name(n) for (n,) in changed.at(frame_free) if after.is_set(frame_free, n)]
    if taken:
        yield f"host unmaps {gfns(taken)}" + (f", frees {', '.join(freed)}" if freed else "")
    for (n,) in changed.places(host_mapped, host_frame):
        if after.is_set(host_mapped, n):
            yield f"host maps {gfns([n])} to {frame_name(after.number(host_frame, n))}"
    for (region,) in changed.at(host_huge):
        if after.is_set(host_huge, region):
            yield f"host maps region {region} huge"
        elif not taken:
            yield f"host splits its huge page of region {region}"
    for var, name in WINDOWS.items():
        for begins in (True, False):
            over = [at[-1] for at in changed.at(var) if after.is_set(var, *at) == begins]
            if over:
                yield f"{name} {gfns(over)} {'begins' if begins else 'ends'}"


def _resolves(view: View, reads: Changed) -> str:
    found = [(n, backing(view, n)) for (n,) in reads.at(host_mapped)]
    return ", ".join(f"resolves the pfn of {gfns([n])}: {frame_name(frame)}" for n, frame in found if frame is not None)


def _mapping(view: View, at: At) -> Flags:
    return ("mapped", f"pfn {frame_name(view.number(host_frame, *at))}") if view.is_set(host_mapped, *at) else ()


MEMORY = "host memory"
FRAMES = Thing(
    "frame",
    (FRAME,),
    HOST_BOX,
    MEMORY,
    "#c8e6c9",
    marks=(Mark(frame_free, table="free", table_unset="in use"),),
    key=lambda at: f"frame {frame_name(*at)}",
    present=lambda view, at: holder(view, *at) != "free",
    attributes=lambda view, at: {"free": view.is_set(frame_free, *at), "owner": holder(view, *at)},
)
MAPPINGS = Thing(
    "gfn",
    (GFN,),
    HOST_BOX,
    MEMORY,
    "#e8f5e9",
    key=lambda at: f"host {gfns(at)}",
    name=lambda view, at: f"host mapping of {gfns(at)}",
    label=lambda view, at: gfns(at),
    touched=cells_of(host_mapped, host_frame),
    noted=cells_of(host_mapped, host_frame),
    arising=cells_of(host_mapped),
    flags=_mapping,
    present=lambda view, at: view.is_set(host_mapped, *at),
    attributes=lambda view, at: {"mapped": view.is_set(host_mapped, *at), "last": f"frame {frame_name(view.number(host_frame, *at))}"},
    links=lambda view, at: [
        Link(f"host {gfns(at)}", f"frame {frame_name(frame)}", "backs") for frame in (backing(view, *at),) if frame is not None
    ],
)
TOLD = Telling(
    things=(FRAMES, MAPPINGS),
    effects=_words,
    resolves=_resolves,
    looked_at=(host_mapped, host_frame),
    never_folded=("mmu_invalidate_seq",),  # where it is read decides which invalidations a fault can miss
    acted_on={("memory", "host memory"): (host_mapped, host_frame, host_huge, host_block, frame_free)},
    order=4,
    rank=1,
)
