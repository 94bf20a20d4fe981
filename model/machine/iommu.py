"""The IOMMU's side: a paging-structure cache and an IOTLB per IOMMU, and invalidations that complete later.

Any legal fill can happen at any time, and a walk is not atomic: caching an upper entry and reading the lower one are separate
actions. An entry leaves a cache by invalidation or by a new fill of its place; spontaneous eviction only removes behaviour
(whatever a run does after one, it can do without) and is left out. So is what an IOMMU drops beyond what it was asked for.
Source: VT-d specification, chapters 3.7, 6.2 and 6.5; IVA_REG in Intel's chipset datasheets (an address mask that covers the superpage);
Linux 6.1 drivers/iommu/intel/ (qi_submit_sync, iommu_flush_iotlb_psi).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import z3

from ...core.sorts import StateVar
from ...core.system import Action, Param, Update, bool_var, reset_where, set_at
from ...kernelc.lowering.cfg import THREADS
from ..view.naming import cell, frame_name, gfns, listed
from ..view.roles import CACHE_BOX, Actor, Assumption, Cache, Flags, Link, Number, Queue, Telling, Thing, Translation, cells_of
from ..view.state_view import At, Changed, View
from .ghosts import owes_io, owes_io_huge, owes_io_pt
from .host import translated
from .sorts import (
    BLOCK,
    DESC,
    DEVICE,
    FRAME,
    GFN,
    IOMMU,
    PT,
    REGION,
    ROOT,
    block_name,
    d,
    frames_of,
    g,
    gfns_in,
    i,
    iommu_of,
    k,
    part,
    region_at,
    region_name,
    region_of,
    root_name,
    slot_at,
    slot_of,
    table_name,
)
from .tables import (
    LEAF,
    READABLE,
    TABLE,
    pmd_block,
    pmd_kind,
    pmd_pt,
    pmd_writable,
    pt_state,
    pte_frame,
    pte_kind,
    pte_writable,
    root_invalid,
)

PSC_FILL, IOTLB_FILL, IOTLB_FILL_HUGE, INV_COMPLETE = "psc_fill", "iotlb_fill", "iotlb_fill_huge", "inv_complete"
"""What it does."""

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
inv_submitted = bool_var("inv_submitted", THREADS, DESC, IOMMU, doc="this descriptor of the thread stands in the queue, not yet complete")
inv_gfn = bool_var("inv_gfn", THREADS, DESC, IOMMU, GFN, doc="the gfns that it covers")
inv_table = bool_var(
    "inv_table", THREADS, DESC, IOMMU, GFN, doc="those of which non-leaf entries go, too: its invalidation hint (IH) is clear"
)

STATE = (
    attached, domain_root, psc_valid, psc_pt, iotlb_valid, iotlb_frame, iotlb_writable, iotlb_huge, iotlb_block, iotlb_huge_writable,
    inv_submitted, inv_gfn, inv_table,
)  # fmt: skip

_UPPER, _SMALL, _HUGE = (psc_valid, psc_pt), (iotlb_valid, iotlb_frame, iotlb_writable), (iotlb_huge, iotlb_block, iotlb_huge_writable)
"""What is cached, and what it is: forgotten together."""


def active(iommu: z3.ExprRef) -> z3.BoolRef:
    """Whether some attached device makes this IOMMU walk the domain."""
    return z3.Exists([d], z3.And(attached(d), iommu_of(d) == iommu))


def reaches(iommu: z3.ExprRef, gfn: z3.ExprRef, frame: z3.ExprRef) -> z3.BoolRef:
    """Whether the IOTLB lets a device behind `iommu` reach `frame` through `gfn` without another walk."""
    small = z3.And(iotlb_valid(iommu, gfn), iotlb_frame(iommu, gfn) == frame)
    at = (iommu, region_of(gfn))
    return z3.Or(small, z3.And(iotlb_huge(*at), part(iotlb_block(*at), slot_of(gfn)) == frame))


def initial(devices_attached: bool, walked: int = 0) -> list[Update]:
    """Caches are empty; the domain points to the root of that number."""
    empty = (psc_valid, iotlb_valid, iotlb_writable, iotlb_huge, iotlb_huge_writable, inv_submitted, inv_gfn, inv_table)
    return [
        Update(attached, (d,), z3.BoolVal(devices_attached)),
        Update(domain_root, (i,), ROOT.element(walked)),
        *(Update(var, var.variables(), z3.BoolVal(False)) for var in empty),
        Update(psc_pt, psc_pt.variables(), PT.element(0)),
        Update(iotlb_frame, iotlb_frame.variables(), FRAME.element(0)),
        Update(iotlb_block, iotlb_block.variables(), BLOCK.element(0)),
    ]


def _complete(thread: z3.ExprRef, desc: z3.ExprRef, at: z3.ExprRef, part_drops_huge: bool) -> tuple[Update, ...]:
    """A descriptor is done at an IOMMU: what it covers is forgotten there, and its thread owes that flush no longer."""
    z = REGION.const("z")

    def touched(covered: StateVar) -> z3.BoolRef:
        """That it covers a part of region `z`."""
        return z3.Exists([g], z3.And(region_of(g) == z, covered(thread, desc, at, g)))

    def whole(covered: StateVar) -> z3.BoolRef:
        """That it covers all of region `z`."""
        return z3.ForAll([g], z3.Implies(region_of(g) == z, covered(thread, desc, at, g)))

    def forget(variables: Sequence[StateVar], bound: z3.ExprRef, covered: z3.BoolRef) -> tuple[Update, ...]:
        return reset_where(variables, lambda iommu, there: z3.And(iommu == at, z3.substitute(covered, (bound, there))))

    def settle(var: StateVar, bound: z3.ExprRef, covered: z3.BoolRef) -> tuple[Update, ...]:
        return reset_where((var,), lambda u, iommu, there: z3.And(u == thread, iommu == at, z3.substitute(covered, (bound, there))))

    # IVA_REG: software gives an address mask that covers the superpage; with a shorter one its entry need not go.
    large = touched(inv_gfn) if part_drops_huge else whole(inv_gfn)
    small, upper = inv_gfn(thread, desc, at, k), touched(inv_table)
    return (
        set_at(inv_submitted, (thread, desc, at), z3.BoolVal(False)),
        *reset_where((inv_gfn, inv_table), lambda u, m, iommu, gfn: z3.And(u == thread, m == desc, iommu == at)),
        *forget(_SMALL, k, small),
        *forget(_HUGE, z, large),
        *forget(_UPPER, z, upper),
        *settle(owes_io, k, small),
        *settle(owes_io_huge, z, large),
        *settle(owes_io_pt, z, upper),
    )


def actions(part_drops_huge: bool) -> tuple[Action, ...]:
    """Fills at any time, and the completion of each submitted invalidation.

    Args:
        part_drops_huge: whether an invalidation of a part of a 2 MiB translation drops that.
    """
    iommu, region, gfn, thread, desc = (Param(s.name.lower(), s) for s in (IOMMU, REGION, GFN, THREADS, DESC))
    a, b, c, e, n = iommu.const, region.const, gfn.const, thread.const, desc.const
    upper, lower = (domain_root(a), b), (psc_pt(a, region_of(c)), slot_of(c))
    true = z3.BoolVal(True)
    return (
        Action(
            PSC_FILL,
            "iommu",
            (iommu, region),
            z3.And(active(a), pmd_kind(*upper) == TABLE),
            (set_at(psc_valid, (a, b), true), set_at(psc_pt, (a, b), pmd_pt(*upper))),
            "walk: caches the table of region {region}",
        ),
        Action(
            IOTLB_FILL,
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
            IOTLB_FILL_HUGE,
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
            INV_COMPLETE,
            "iommu",
            (iommu, thread, desc),
            inv_submitted(e, n, a),
            _complete(e, n, a, part_drops_huge),
            "invalidation of thread {thread} completes",
        ),
    )


# How it is told


def devices_of(view: View, iommu: int) -> tuple[int, ...]:
    """The attached devices whose DMA this IOMMU translates in a state."""
    here = (n for n in view.each(DEVICE) if iommu_of.meaning(view.geometry, (n,)) == iommu)
    return tuple(n for n in here if view.is_set(attached, n))


def device_names(view: View, iommu: int) -> str:
    """Those devices, by name."""
    return listed([f"device {n}" for n in devices_of(view, iommu)])


def translations(view: View, iommu: int) -> Iterator[tuple[int, int, bool]]:
    """What the IOTLB holds in a state: (gfn, frame, whether by a huge page)."""
    for gfn in view.each(GFN):
        if view.is_set(iotlb_valid, iommu, gfn):
            yield gfn, view.number(iotlb_frame, iommu, gfn), False
        region = region_at(view, gfn)
        if view.is_set(iotlb_huge, iommu, region):
            yield gfn, frames_of(view, view.number(iotlb_block, iommu, region))[slot_at(view, gfn)], True


def covered(view: View, thread: int, desc: int, iommu: int) -> tuple[int, ...]:
    """The gfns that a thread's descriptor in an IOMMU's queue covers."""
    return tuple(n for n in view.each(GFN) if view.is_set(inv_gfn, thread, desc, iommu, n))


def queued(view: View, thread: int, iommu: int) -> tuple[int, ...]:
    """The gfns that a thread's descriptors in an IOMMU's queue cover together."""
    return tuple(sorted({gfn for desc in view.each(DESC) for gfn in covered(view, thread, desc, iommu)}))


def _huge_maps(view: View, at: At) -> tuple[Translation, ...]:
    found = zip(gfns_in(view, at[1]), frames_of(view, view.number(iotlb_block, *at)), strict=True)
    return tuple(translated(view, gfn, frame) for gfn, frame in found)


def _points(view: View, at: At) -> tuple[str, bool]:
    table = view.number(psc_pt, *at)
    return table_name(view, table), view.word(pt_state, table) not in READABLE


def _queued(view: View, at: At) -> Flags:
    return ("queued", gfns(covered(view, *at))) if view.is_set(inv_submitted, *at) else ()


def _headline(view: View, at: At) -> str:
    number = view.number(domain_root, *at)
    invalid = " (invalid)" if view.is_set(root_invalid, number) else ""
    devices = ", ".join(f"device {n}" for n in devices_of(view, *at))
    return f"{devices}; walks {root_name(view, number)}{invalid}" if devices else "no device attached"


def _links(view: View, at: At) -> Iterator[Link]:
    mine = f"iommu {at[0]}"
    for n in devices_of(view, *at):
        yield Link(f"device {n}", mine, "attached", cells=(cell(attached, n),))
    number = view.number(domain_root, *at)
    yield Link(mine, root_name(view, number), "points-to", cells=(cell(domain_root, *at),), stale=view.is_set(root_invalid, number))


def _words(before: View, after: View, changed: Changed) -> Iterator[str]:
    done = [at for at in changed.at(inv_submitted) if not after.is_set(inv_submitted, *at)]
    several = sum(bool(queued(before, n, done[0][-1])) for n in before.each(THREADS)) > 1 if done else False
    for at in done:
        whose = f"{after.thread(at[0])}'s " if several else ""
        yield f"completes {whose}invalidation of {gfns(covered(before, *at))}"
    yield from _queues(before, after, changed)
    yield from IOTLB.words(before, after, changed, "iommu {0} " if after.count(IOMMU) > 1 and done else "")
    yield from IOTLB_HUGE.words(before, after, changed)
    yield from PSC.words(before, after, changed)


def _queues(before: View, after: View, changed: Changed) -> Iterator[str]:
    """What threads submit. Every IOMMU is told the same, so that it is said once."""
    asked: dict[int, set[int]] = {}
    for at in changed.at(inv_gfn):
        if after.is_set(inv_gfn, *at):
            asked.setdefault(at[0], set()).add(at[-1])
    for thread, numbers in sorted(asked.items()):
        leaves = not any(thread == at[0] and after.is_set(inv_table, *at) for at in changed.at(inv_table))
        yield f"queues IOTLB invalidation of {gfns(sorted(numbers))}{' (IH: leaves only)' if leaves else ''}"


IOTLB = Cache(
    name="IOTLB",
    sorts=(IOMMU, GFN),
    key=lambda at: f"iotlb {at[0]}.{at[1]}",
    group="IOMMU",
    owner="iommu",
    valid=iotlb_valid,
    value=iotlb_frame,
    writable=iotlb_writable,
    tag=lambda n: gfns([n]),
    show=lambda view, n: frame_name(n),
    maps=lambda view, at: (translated(view, at[1], view.number(iotlb_frame, *at)),),
)
IOTLB_HUGE = Cache(
    name="IOTLB",
    size="2M",
    sorts=(IOMMU, REGION),
    key=lambda at: f"iotlb {at[0]}.huge{at[1]}",
    group="IOMMU",
    owner="iommu",
    valid=iotlb_huge,
    value=iotlb_block,
    writable=iotlb_huge_writable,
    tag=region_name,
    show=block_name,
    step_show=lambda view, n: f"huge {block_name(view, n)}",
    maps=_huge_maps,
)
PSC = Cache(
    name="PSC",
    sorts=(IOMMU, REGION),
    key=lambda at: f"psc {at[0]}.{at[1]}",
    group="IOMMU",
    owner="iommu",
    valid=psc_valid,
    value=psc_pt,
    tag=region_name,
    show=table_name,
    points=_points,
    footnote="PSC: the IOMMU's cache of non-leaf entries (paging-structure cache).",
)
INVALIDATIONS = Queue(
    (THREADS, DESC, IOMMU),
    "IOMMU",
    "iommu",
    "queue",
    inv_submitted,
    name=lambda view, at: f"invalidation {f'{at[1] + 1} ' if view.count(DESC) > 1 else ''}of {view.thread(at[0])}",
    flags=_queued,
)
TOLD = Telling(
    things=(
        Thing(
            "iommu",
            (IOMMU,),
            CACHE_BOX,
            "IOMMU",
            "#ffe0b2",
            numbers=(Number(domain_root, root_name, "walks "),),
            noted=cells_of(),
            arising=cells_of(),
            present=lambda view, at: bool(devices_of(view, *at)),
            notes=lambda view, at: (),
            headline=_headline,
            links=_links,
            row=0,
        ),
    ),
    caches=(IOTLB, IOTLB_HUGE, PSC),
    queues=(INVALIDATIONS,),
    effects=_words,
    assumed=(
        Assumption("an IOMMU may cache any non-leaf entry that a walk can reach, at any time", (PSC_FILL,)),
        Assumption("an IOMMU may cache any leaf that a walk can reach, at any time", (IOTLB_FILL,)),
        Assumption("an IOMMU caches a 2 MiB leaf as one translation", (IOTLB_FILL_HUGE,)),
        Assumption("an invalidation completes some time after it was queued", (INV_COMPLETE,)),
        Assumption(
            "a page-selective invalidation of a part of a 2 MiB translation need not drop that (part_drops_huge = false)",
            (INV_COMPLETE,),
            otherwise=tuple(action for action in actions(True) if action.name == INV_COMPLETE),
        ),
    ),
    actors=(
        Actor("iommu", "#fff3e0", "IOMMUs", does=lambda view, n: f"translates for {names}" if (names := device_names(view, n)) else ""),
    ),
    order=3,
    rank=2,
)
