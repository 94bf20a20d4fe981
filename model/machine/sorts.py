"""The index sorts of the machine and what never changes about them.

A guest frame number (`Gfn`) lies in a `Region` (what one level-2 entry covers, 2 MiB) at a `Slot` (its index in the level-1
table). A `Block` is what a huge page maps: one host `Frame` per slot. `Pt` are level-1 table pages, `Root` are level-2 tables;
two levels are modelled, one sort each, so that child functions run downwards only. A thread may have several descriptors in the queues of
IOMMUs; `Desc` numbers those of each thread.
"""

from __future__ import annotations

import z3

from ...core.sorts import BOOL, Geometry, Rigid, Sort
from ...kernelc.lowering.cfg import THREADS as THREADS
from ..view.naming import frame_name, span
from ..view.state_view import View

GFN, REGION, SLOT = Sort("Gfn"), Sort("Region"), Sort("Slot")
FRAME, BLOCK = Sort("Frame"), Sort("Block")
PT, ROOT = Sort("Pt"), Sort("Root")
VCPU, IOMMU, DEVICE = Sort("Vcpu"), Sort("Iommu"), Sort("Device")
DESC = Sort("Desc")
SORTS = (GFN, REGION, SLOT, FRAME, BLOCK, PT, ROOT, VCPU, IOMMU, DEVICE, DESC)

g, h, k = GFN.const("g"), GFN.const("h"), GFN.const("k")
r, s = REGION.const("r"), SLOT.const("s")
f, b = FRAME.const("f"), BLOCK.const("b")
p, root = PT.const("p"), ROOT.const("root")
v, i, n = VCPU.const("v"), IOMMU.const("i"), DESC.const("n")
d, e = DEVICE.const("d"), DEVICE.const("e")
# Bound variables only. The free constant of the thread that acts is `t`: a bound one of that name would capture it.
t, u = THREADS.const("any_thread"), THREADS.const("other_thread")

region_of = Rigid(
    "region_of", (GFN,), REGION, lambda geometry, at: at[0] // geometry.sizes["Slot"], doc="gfn >> 9 with the kernel's 512 entries"
)
slot_of = Rigid("slot_of", (GFN,), SLOT, lambda geometry, at: at[0] % geometry.sizes["Slot"], doc="gfn & 511 with the kernel's 512 entries")
gfn_le = Rigid("gfn_le", (GFN, GFN), BOOL, lambda geometry, at: at[0] <= at[1], doc="the order of guest frame numbers")
gfn_first = Rigid("gfn_first", (), GFN, lambda geometry, at: 0, doc="the lowest guest frame number")
gfn_last = Rigid("gfn_last", (), GFN, lambda geometry, at: geometry.sizes["Gfn"] - 1, doc="the highest guest frame number")
part = Rigid(
    "part",
    (BLOCK, SLOT),
    FRAME,
    lambda geometry, at: at[0] * geometry.sizes["Slot"] + at[1],
    doc="the frame of a huge page at a slot: pfn + index",
)
iommu_of = Rigid(
    "iommu_of", (DEVICE,), IOMMU, lambda geometry, at: at[0] % geometry.sizes["Iommu"], doc="the IOMMU that translates a device's requests"
)

_b2, _s2 = BLOCK.const("b2"), SLOT.const("s2")
AXIOMS = {
    region_of.name: (z3.ForAll([g, h], z3.Implies(z3.And(region_of(g) == region_of(h), slot_of(g) == slot_of(h)), g == h)),),
    gfn_le.name: (
        z3.ForAll([g], gfn_le(g, g)),
        z3.ForAll([g, h], z3.Or(gfn_le(g, h), gfn_le(h, g))),
        z3.ForAll([g, h], z3.Implies(z3.And(gfn_le(g, h), gfn_le(h, g)), g == h)),
        z3.ForAll([g, h, k], z3.Implies(z3.And(gfn_le(g, h), gfn_le(h, k)), gfn_le(g, k))),
        # A region is an interval.
        z3.ForAll([g, h, k], z3.Implies(z3.And(gfn_le(g, h), gfn_le(h, k), region_of(g) == region_of(k)), region_of(h) == region_of(g))),
    ),
    gfn_first.name: (z3.ForAll([g], gfn_le(gfn_first(), g)),),
    gfn_last.name: (z3.ForAll([g], gfn_le(g, gfn_last())),),
    part.name: (z3.ForAll([b, s, _b2, _s2], z3.Implies(part(b, s) == part(_b2, _s2), z3.And(b == _b2, s == _s2))),),
}
# Every region has a gfn.
WITNESSES = {region_of.name: (z3.ForAll([r], z3.Exists([g], region_of(g) == r)),)}
RIGIDS = tuple(
    Rigid(x.name, x.params, x.kind, x.meaning, AXIOMS.get(x.name, ()), WITNESSES.get(x.name, ()), doc=x.doc)
    for x in (region_of, slot_of, gfn_le, gfn_first, gfn_last, part, iommu_of)
)


def between(gfn: z3.ExprRef, start: z3.ExprRef, last: z3.ExprRef) -> z3.BoolRef:
    """Whether `gfn` lies in the range from `start` to `last`, both included."""
    return z3.And(gfn_le(start, gfn), gfn_le(gfn, last))


def geometry(**sizes: int) -> Geometry:
    """A geometry of the machine, from the sizes by the sort's name in lower case; gfns are counted from regions and slots."""
    own = {sort.name: sizes[sort.name.lower()] for sort in (*SORTS[1:], THREADS) if sort != DESC}
    return Geometry(own | {DESC.name: sizes.get("desc", 1), GFN.name: sizes["region"] * sizes["slot"]})


COUNTED = {
    GFN: "gfn", FRAME: "frame", PT: "table page", ROOT: "root", IOMMU: "IOMMU", DEVICE: "device", VCPU: "vCPU", THREADS: "thread",
}  # fmt: skip
"""What a reader calls one of them, where a report says how many there are."""


def region_at(view: View, gfn: int) -> int:
    """The region of a gfn in a state."""
    return int(region_of.meaning(view.geometry, (gfn,)))


def slot_at(view: View, gfn: int) -> int:
    """The slot of a gfn in a state."""
    return int(slot_of.meaning(view.geometry, (gfn,)))


def gfns_in(view: View, region: int) -> tuple[int, ...]:
    """The gfns of a region."""
    return tuple(n for n in view.each(GFN) if region_at(view, n) == region)


def frames_of(view: View, block: int) -> tuple[int, ...]:
    """The frames of a huge page, by slot."""
    return tuple(int(part.meaning(view.geometry, (block, n))) for n in view.each(SLOT))


def block_name(view: View, block: int) -> str:
    """A huge page by its first and last frame."""
    return span([frame_name(n) for n in frames_of(view, block)])


def root_name(view: View, number: int) -> str:
    return f"root {number}"


def table_name(view: View, number: int) -> str:
    return f"table {number}"


def region_name(number: int) -> str:
    return f"region {number}"
