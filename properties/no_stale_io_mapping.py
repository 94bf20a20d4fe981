"""No stale IO mapping after a zap: what an IOMMU has cached agrees with what the host backs the guest with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import z3

from ..core.system import Property
from ..model.machine import device_tlb
from ..model.machine.device_tlb import dtlb_frame, dtlb_valid, dtlb_writable
from ..model.machine.host import frame_free, maps
from ..model.machine.iommu import (
    active,
    attached,
    domain_root,
    iotlb_block,
    iotlb_frame,
    iotlb_huge,
    iotlb_huge_writable,
    iotlb_valid,
    iotlb_writable,
    psc_pt,
    psc_valid,
    queued,
    reaches,
)
from ..model.machine.sorts import DEVICE, IOMMU, REGION, THREADS, d, f, g, i, r
from ..model.machine.tables import PT_LINKED, PT_RCU, PT_UNLINKED, READABLE, pt_state
from ..model.scene import Scene
from ..model.view.naming import cell, frame_name, gfns, listed
from .registered import More, Registered
from .repairs import FLUSHES, STALE, Recipe
from .telling import Run, Teller, Wrong, chain, devices, owner_now

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

DEVICE_TLBS = More(
    dtlb_valid,
    lambda spaces: z3.ForAll([d, g], z3.Implies(z3.And(attached(d), dtlb_valid(d, g)), maps(g, dtlb_frame(d, g)))),
    "No IOMMU and no device's own TLB holds a translation to a frame that the host has taken back, "
    "nor an IOMMU a pointer to a table page that was freed.",
)
"""A translation that a device has cached itself leads to the frame that backs the gfn now: the device asks nobody before it uses it."""

WAIT_FOR_COMPLETION = Recipe(
    "wait for completion",
    "Wait until the queued invalidation is complete",
    r"qi_submit_iotlb\w*\(",
    ("qi_wait();",),
    "after",
    r"qi_wait\(",
)


def _found(scene: Scene) -> Iterator[Wrong]:
    for i in (i for i in scene.each(IOMMU) if scene.active(i)):
        for g, f, huge in scene.translations(i):
            if scene.backed(g) != f:
                at = (i, scene.region_of(g) if huge else g)
                names = (iotlb_huge, iotlb_block) if huge else (iotlb_valid, iotlb_frame)
                now = "free" if scene.is_set(frame_free, f) else f"of {scene.holder(f)}"
                size = " (2 MiB entry)" if huge else ""
                yield Wrong(
                    f"the IOTLB of iommu {i} translates {gfns([g])} to frame {frame_name(f)}{size}, which is {now}",
                    {"iommu": i, "gfn": g, "frame": f, "huge": huge},
                    tuple(cell(n, *at) for n in names),
                )
        for r in scene.each(REGION):
            table = scene.number(psc_pt, i, r)
            if scene.is_set(psc_valid, i, r) and scene.word(pt_state, table) not in READABLE:
                yield Wrong(
                    f"the paging-structure cache of iommu {i} points to table {table}, which is {scene.word(pt_state, table)}",
                    {"iommu": i, "region": r, "table": table},
                    (cell(psc_valid, i, r), cell(psc_pt, i, r)),
                )
    for d in scene.each(DEVICE) if scene.has(dtlb_valid) else ():
        for g, f in device_tlb.cached(scene, d) if scene.is_set(attached, d) else ():
            if scene.backed(g) != f:
                now = "free" if scene.is_set(frame_free, f) else f"of {scene.holder(f)}"
                yield Wrong(
                    f"the device TLB of device {d} translates {gfns([g])} to frame {frame_name(f)}, which is {now}",
                    {"device": d, "gfn": g, "frame": f},
                    (cell(dtlb_valid, d, g), cell(dtlb_frame, d, g)),
                )


def _stale_translation(run: Run, found: Wrong, i: int, g: int, f: int, big: int) -> str:
    huge, name = bool(big), frame_name(f)
    end, root = run.end, run.end.number(domain_root, i)
    cached = run.since(lambda s: (g, f, huge) in s.translations(i))
    released = run.since(lambda s: s.backed(g) != f)
    zapped = run.ended(lambda s: s.walk(root, g) == f)
    freed = released < len(run.scenes) and released > 0 and run.scenes[released].is_set(frame_free, f)
    mapped = run.since(lambda s: s.walk(root, g) == f) if zapped is None else 0
    again = mapped > 0
    events = [
        (cached, f"caches {gfns([g])} -> {name} in its IOTLB"),
        (_resolved(run, mapped, g, f) if again else None, f"resolves the pfn of {gfns([g])}: {name}"),
        (mapped if again else None, f"maps {gfns([g])} -> {name} in the table"),
        (zapped, f"takes {gfns([g])} -> {name} out of the table"),
        (released, f"{'gives frame ' + name + ' back' if freed else 'unmaps ' + gfns([g]) + ' from the host'}"),
    ]
    still = "" if again or zapped is not None or end.walk(root, g) != f else f" The table still maps {gfns([g])} to {name}, too."
    longer = "still " if cached < released else ""
    reach = f"so through {gfns([g])} {devices(end, i)} can {longer}{_reaches(end, i, g, huge)} {name}{owner_now(end, f)}"
    return f"{chain(run, events)}{still} {_no_flush(run, i, cached, [g])}, {reach}."


def _resolved(run: Run, mapped: int, gfn: int, frame: int) -> int | None:
    """Where the thread that maps a frame had learned of it."""
    said = f"resolves the pfn of {gfns([gfn])}: {frame_name(frame)}"
    own = (s for s in reversed(run.steps[: mapped - 1]) if s.actor == run.who(mapped) and said in s.label)
    return next((s.number for s in own), None) if mapped < len(run.scenes) else None


def _reaches(end: Scene, iommu: int, gfn: int, huge: bool) -> str:
    writable = end.is_set(iotlb_huge_writable, iommu, end.region_of(gfn)) if huge else end.is_set(iotlb_writable, iommu, gfn)
    return "read and write frame" if writable else "read frame"


def _no_flush(run: Run, iommu: int, since: int, covered: Sequence[int]) -> str:
    """Which invalidation did not come: one that is queued, or none at all."""
    end = run.end
    waiting = [t for t in end.each(THREADS) if set(covered) & set(queued(end, t, iommu))]
    if waiting:
        return f"The invalidation that {listed([end.thread(t) for t in waiting])} queued has not completed"

    def completes(before: Scene, after: Scene) -> bool:
        return any(set(covered) & set(queued(before, t, iommu)) - set(queued(after, t, iommu)) for t in before.each(THREADS))

    earlier = run.happened(completes)
    if earlier is None:
        return f"No IOTLB invalidation of {gfns(covered)} completes"
    if earlier > since:
        return f"The IOTLB invalidation of {gfns(covered)} in step {earlier} leaves it in place"
    return f"The IOTLB invalidation of {gfns(covered)} completed earlier, in step {earlier}"


def _stale_device(run: Run, found: Wrong, d: int, g: int, f: int) -> str:
    name, end, at = frame_name(f), run.end, device_tlb.iommu_number(run.end, d)
    root = end.number(domain_root, at)
    cached = run.since(lambda s: (g, f) in device_tlb.cached(s, d))
    released = run.since(lambda s: s.backed(g) != f)
    zapped = run.ended(lambda s: s.walk(root, g) == f)
    given = 0 < cached < len(run.scenes) and device_tlb.answers(run.scenes[cached - 1], d, g, f)
    source = f", as the IOTLB of iommu {at} answers" if given else ""
    freed = 0 < released < len(run.scenes) and run.scenes[released].is_set(frame_free, f)
    events = [
        (cached, f"caches {gfns([g])} -> {name} in its own TLB{source}"),
        (zapped, f"takes {gfns([g])} -> {name} out of the table"),
        (released, f"{'gives frame ' + name + ' back' if freed else 'unmaps ' + gfns([g]) + ' from the host'}"),
    ]
    how = "read and write" if end.is_set(dtlb_writable, d, g) else "read"
    longer = "still " if cached < released else ""
    reach = f"so through {gfns([g])} device {d} can {longer}{how} frame {name}{owner_now(end, f)}"
    still = "" if zapped is not None or end.walk(root, g) != f else f" The table still maps {gfns([g])} to {name}, too."
    return f"{chain(run, events)}{still} {_no_device_flush(run, d, cached, g)}, {reach}: it asks no IOMMU before it does."


def _no_device_flush(run: Run, device: int, since: int, gfn: int) -> str:
    """Which device-TLB invalidation did not come: one that is queued, one that came too early, or none at all."""
    waiting = [t for t in run.end.each(THREADS) if gfn in device_tlb.queued(run.end, t, device)]
    if waiting:
        return f"The device-TLB invalidation that {listed([run.end.thread(t) for t in waiting])} queued has not completed"

    def completes(before: Scene, after: Scene) -> bool:
        return any(
            gfn in set(device_tlb.queued(before, t, device)) - set(device_tlb.queued(after, t, device)) for t in before.each(THREADS)
        )

    earlier = run.happened(completes)
    if earlier is None:
        return f"No device-TLB invalidation of {gfns([gfn])} completes"
    if earlier > since:
        return f"The device-TLB invalidation of {gfns([gfn])} in step {earlier} leaves it in place"
    again = run.scenes[earlier]
    held = [f for g, f, _ in again.translations(device_tlb.iommu_number(again, device)) if g == gfn and f != run.end.backed(gfn)]
    why = f", while the IOTLB still held {gfns([gfn])} -> {frame_name(held[0])}" if held else ""
    return f"The device-TLB invalidation of {gfns([gfn])} completed too early, in step {earlier}{why}"


def _stale_table(run: Run, found: Wrong, i: int, r: int, p: int) -> str:
    cached = run.since(lambda s: s.is_set(psc_valid, i, r) and s.number(psc_pt, i, r) == p)
    unlinked = run.ended(lambda s: s.word(pt_state, p) == "linked")
    freed = run.ended(lambda s: s.word(pt_state, p) in ("linked", "unlinked", "rcu"))
    events = [
        (cached, f"caches the pointer to table {p}"),
        (unlinked, f"unlinks table {p}"),
        (freed if freed != unlinked else None, f"frees table {p}"),
    ]
    state = {"free": "a free page", "private": "a page that is allocated anew"}.get(run.end.word(pt_state, p), "a page that is no table")
    flush = _no_flush(run, i, cached, run.end.gfns_of(r))
    return f"{chain(run, events)} {flush}, so a walk of iommu {i} for {devices(run.end, i)} reads {state} as a page table."


REGISTERED = Registered(
    PROPERTY,
    _found,
    (
        Teller(("iommu", "gfn", "frame", "huge"), _stale_translation),
        Teller(("iommu", "region", "table"), _stale_table),
        Teller(("device", "gfn", "frame"), _stale_device),
    ),
    (WAIT_FOR_COMPLETION, *FLUSHES, *STALE),
    more=(DEVICE_TLBS,),
)
