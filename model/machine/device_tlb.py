"""Device TLBs (PCIe ATS): what an attached device has cached of translations, and their invalidations. Only where a scenario asks for them.

A device asks its IOMMU for a translation and keeps the answer; what it holds it uses without asking anybody. The IOMMU answers from its
IOTLB or from a walk, at any time. So an IOTLB entry that is out of date goes on filling device TLBs, and a device-TLB invalidation is of
use only after the IOTLB's has completed. A 2 MiB translation is cached as its 4 KiB parts, each of which has to be invalidated. A fill is
one step: an answer that is under way when an invalidation overtakes it is left out (PCI Express orders them).

Source: VT-d specification, 4.2 and 6.5.2.5; PCI Express specification, chapter 10 (ATS);
Linux 6.1 drivers/iommu/intel/ (iommu_flush_dev_iotlb).
"""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ...core.sorts import StateVar
from ...core.system import Action, Param, Update, bool_var, reset_where, set_at
from ...kernelc.lowering.cfg import THREADS
from ..view.naming import frame_name, gfns
from ..view.roles import Actor, Assumption, Cache, Flags, Queue, Telling
from ..view.state_view import At, Changed, View
from . import iommu
from .ghosts import owes_dev, owes_io, owes_io_huge, owes_io_pt
from .host import translated
from .iommu import attached
from .sorts import DESC, DEVICE, FRAME, GFN, iommu_of, part, region_of, slot_of
from .tables import LEAF, pmd_block, pmd_kind, pmd_writable, pte_frame, pte_kind, pte_writable

DTLB_FILL, DTLB_FILL_HUGE, DTLB_WALK, DTLB_WALK_HUGE = "dtlb_fill", "dtlb_fill_huge", "dtlb_walk", "dtlb_walk_huge"
DINV_COMPLETE = "dinv_complete"
"""What it does."""

dtlb_valid = bool_var("dtlb_valid", DEVICE, GFN, doc="the device's own TLB holds a translation of the gfn")
dtlb_frame = StateVar("dtlb_frame", (DEVICE, GFN), FRAME, "its frame")
dtlb_writable = bool_var("dtlb_writable", DEVICE, GFN, doc="its write permission")
dinv_submitted = bool_var(
    "dinv_submitted", THREADS, DESC, DEVICE, doc="this descriptor of the thread, for the device's TLB, is in the queue of its IOMMU"
)
dinv_gfn = bool_var("dinv_gfn", THREADS, DESC, DEVICE, GFN, doc="the gfns that it covers")

STATE = (dtlb_valid, dtlb_frame, dtlb_writable, dinv_submitted, dinv_gfn, owes_dev)

_CACHED = (dtlb_valid, dtlb_frame, dtlb_writable)
"""Whether something is cached, and what it is: forgotten together."""


def initial() -> list[Update]:
    """Caches and queues are empty, and nobody owes anything."""
    return [Update(var, var.variables(), FRAME.element(0) if var.kind == FRAME else z3.BoolVal(False)) for var in STATE]


def _complete(device: z3.ExprRef, thread: z3.ExprRef, desc: z3.ExprRef) -> tuple[Update, ...]:
    """A descriptor is done at a device: it forgets what that covers. Its thread owes the flush as long as the IOMMU can give it back."""
    at = iommu_of(device)

    def settled(u: z3.ExprRef, where: z3.ExprRef, gfn: z3.ExprRef) -> z3.BoolRef:
        region = region_of(gfn)
        again = z3.Or(owes_io(thread, at, gfn), owes_io_huge(thread, at, region), owes_io_pt(thread, at, region))
        return z3.And(u == thread, where == device, dinv_gfn(thread, desc, device, gfn), z3.Not(again))

    return (
        set_at(dinv_submitted, (thread, desc, device), z3.BoolVal(False)),
        *reset_where((dinv_gfn,), lambda u, m, where, gfn: z3.And(u == thread, m == desc, where == device)),
        *reset_where(_CACHED, lambda where, gfn: z3.And(where == device, dinv_gfn(thread, desc, device, gfn))),
        *reset_where((owes_dev,), settled),
    )


def actions() -> tuple[Action, ...]:
    """Translation requests at any time, and the completion of each submitted invalidation."""
    device, gfn, thread, desc = (Param(sort.name.lower(), sort) for sort in (DEVICE, GFN, THREADS, DESC))
    at, c = iommu_of(device.const), gfn.const
    region, slot = region_of(c), slot_of(c)
    upper, lower = (iommu.domain_root(at), region), (iommu.psc_pt(at, region), slot)

    def fill(name: str, there: z3.BoolRef, frame: z3.ExprRef, writable: z3.BoolRef) -> Action:
        values = zip(_CACHED, (z3.BoolVal(True), frame, writable), strict=True)
        updates = tuple(set_at(var, (device.const, c), value) for var, value in values)
        return Action(name, "device", (device, gfn), z3.And(attached(device.const), there), updates, "device TLB: gfn {gfn}")

    return (
        fill(DTLB_FILL, iommu.iotlb_valid(at, c), iommu.iotlb_frame(at, c), iommu.iotlb_writable(at, c)),
        fill(
            DTLB_FILL_HUGE,
            iommu.iotlb_huge(at, region),
            part(iommu.iotlb_block(at, region), slot),
            iommu.iotlb_huge_writable(at, region),
        ),
        fill(DTLB_WALK, z3.And(iommu.psc_valid(at, region), pte_kind(*lower) == LEAF), pte_frame(*lower), pte_writable(*lower)),
        fill(DTLB_WALK_HUGE, pmd_kind(*upper) == LEAF, part(pmd_block(*upper), slot), pmd_writable(*upper)),
        Action(
            DINV_COMPLETE,
            "device",
            (device, thread, desc),
            dinv_submitted(thread.const, desc.const, device.const),
            _complete(device.const, thread.const, desc.const),
            "device-TLB invalidation of thread {thread} completes",
        ),
    )


# How they are told


def cached(view: View, device: int) -> Iterator[tuple[int, int]]:
    """What a device's TLB holds in a state: (gfn, frame)."""
    for gfn in view.each(GFN):
        if view.is_set(dtlb_valid, device, gfn):
            yield gfn, view.number(dtlb_frame, device, gfn)


def iommu_number(view: View, device: int) -> int:
    """The IOMMU that translates a device's requests in a state."""
    return int(iommu_of.meaning(view.geometry, (device,)))


def answers(view: View, device: int, gfn: int, frame: int) -> bool:
    """Whether the IOTLB of its IOMMU would give a device this translation in a state."""
    return any((g, f) == (gfn, frame) for g, f, _ in iommu.translations(view, iommu_number(view, device)))


def covered(view: View, thread: int, desc: int, device: int) -> tuple[int, ...]:
    """The gfns that a thread's descriptor for a device covers."""
    return tuple(n for n in view.each(GFN) if view.is_set(dinv_gfn, thread, desc, device, n))


def queued(view: View, thread: int, device: int) -> tuple[int, ...]:
    """The gfns that a thread's descriptors for a device cover together; none where devices have no TLB."""
    if not view.has(dinv_gfn):
        return ()
    return tuple(sorted({gfn for desc in view.each(DESC) for gfn in covered(view, thread, desc, device)}))


def _queued(view: View, at: At) -> Flags:
    return ("queued", gfns(covered(view, *at))) if view.is_set(dinv_submitted, *at) else ()


def _words(before: View, after: View, changed: Changed) -> Iterator[str]:
    several = before.count(DEVICE) > 1
    for thread, desc, device in changed.at(dinv_submitted):
        if not after.is_set(dinv_submitted, thread, desc, device):
            yield f"completes device-TLB invalidation of {gfns(covered(before, thread, desc, device))}"
    asked: dict[int, set[int]] = {}
    for at in changed.at(dinv_gfn):
        if after.is_set(dinv_gfn, *at):
            asked.setdefault(at[0], set()).add(at[-1])
    for _, numbers in sorted(asked.items()):
        yield f"queues device-TLB invalidation of {gfns(sorted(numbers))}"
    for words, (device, gfn) in zip(
        DTLB.words(before, after, changed, "device {0} " if several else ""), changed.places(dtlb_valid, dtlb_frame), strict=True
    ):
        filled = after.is_set(dtlb_valid, device, gfn)
        kept = filled and answers(before, device, gfn, after.number(dtlb_frame, device, gfn))
        yield words + (f" (from the IOTLB of iommu {iommu_number(before, device)})" if kept else "")


DTLB = Cache(
    name="device TLB",
    sorts=(DEVICE, GFN),
    key=lambda at: f"dtlb {at[0]}.{at[1]}",
    group="IOMMU",
    owner="device",
    valid=dtlb_valid,
    value=dtlb_frame,
    writable=dtlb_writable,
    tag=lambda n: gfns([n]),
    show=lambda view, n: frame_name(n),
    maps=lambda view, at: (translated(view, at[1], view.number(dtlb_frame, *at)),),
    footnote="device TLB: what a device has cached itself of translations (PCIe ATS); it uses them without asking its IOMMU.",
)
INVALIDATIONS = Queue(
    (THREADS, DESC, DEVICE),
    "IOMMU",
    "device",
    "device queue",
    dinv_submitted,
    name=lambda view, at: f"device-TLB invalidation {f'{at[1] + 1} ' if view.count(DESC) > 1 else ''}of {view.thread(at[0])}",
    flags=_queued,
)
TOLD = Telling(
    caches=(DTLB,),
    queues=(INVALIDATIONS,),
    effects=_words,
    assumed=(
        Assumption("a device may cache, at any time, what the IOTLB of its IOMMU answers", (DTLB_FILL, DTLB_FILL_HUGE)),
        Assumption("a device may cache, at any time, what a walk of its IOMMU answers", (DTLB_WALK, DTLB_WALK_HUGE)),
        Assumption("a device-TLB invalidation completes some time after it was queued", (DINV_COMPLETE,)),
    ),
    actors=(
        Actor(
            "device",
            "#fff3e0",
            "device TLBs (ATS)",
            does=lambda view, n: f"has a TLB of its own, which iommu {iommu_number(view, n)} fills" if view.has(dtlb_valid) else "",
        ),
    ),
    order=8,
    rank=3,
)
