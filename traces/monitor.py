"""Promises, asked of what really happened: no model is needed for them.

Each is asked so that intervals cannot mislead: it counts as broken only if it is so in whatever order, within their intervals, the events
came.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .entries import LARGEST, covered, frames, is_leaf, is_table, pfn_of
from .flows import Attempt, Flows, Invalidation, flows_of, unlinks
from .format import Event, Trace


@dataclass(frozen=True)
class Broken:
    """A promise that was not kept.

    Args:
        time: of the event at which that shows.
        task: who did it.
        what: a sentence.
    """

    time: int
    task: int
    what: str


@dataclass(frozen=True)
class Kept:
    """What came out of one promise: how often it was asked, and where it was broken."""

    promise: str
    asked: int
    broken: tuple[Broken, ...]


def monitor(trace: Trace) -> tuple[Kept, ...]:
    """Ask every promise of a trace.

    Raises:
        InputError: the trace contradicts itself.
    """
    flows = flows_of(trace)
    made = []
    for name, (_, asking) in PROMISES.items():
        asked, broken = 0, []
        for each in asking(flows):
            asked += 1
            if each is not None:
                broken.append(each)
        made.append(Kept(name, asked, tuple(broken)))
    return tuple(made)


Answers = Iterator[Broken | None]
"""One for each time that a promise was asked: None if it was kept."""


def _not_installed_over_its_own(flows: Flows) -> Answers:
    closed = [i for i in flows.invalidations if i.opened and i.closed and i.pages]
    for attempt in flows.attempts:
        for event in attempt.writes:
            if not is_leaf(event["new"], event["level"]) or is_leaf(event["old"], event["level"]):
                continue
            over = next((i for i in closed if i.covers(attempt.gfn) and _surely_open(i, event)), None)
            yield None if over is None else Broken(event.end, event.task, _installed(attempt, event, over))


def _surely_open(invalidation: Invalidation, event: Event) -> bool:
    assert invalidation.opened
    assert invalidation.closed
    return invalidation.opened[1] < event.begin and event.end < invalidation.closed[0]


def _installed(attempt: Attempt, event: Event, over: Invalidation) -> str:
    assert over.pages
    where = f"gfn {attempt.gfn:#x} is mapped to {pfn_of(event['new']):#x}"
    return f"{where} while task {over.task} invalidates {over.pages[0]:#x}-{over.pages[1] - 1:#x}, which has not ended"


def _flushed_before_release(flows: Flows) -> Answers:
    for invalidation in flows.invalidations:
        zaps = [e for e in invalidation.writes if e["as_id"] == 0 and is_leaf(e["old"], e["level"]) and not is_leaf(e["new"], e["level"])]
        if not zaps:
            continue
        for released in invalidation.released:
            before = [e for e in zaps if e.end <= released]
            if not before:
                continue
            last = before[-1]
            served = any(begin >= last.begin and end <= released for begin, end in invalidation.flushes)
            yield (
                None
                if served
                else Broken(released, invalidation.task, f"mmu_lock is released, and gfn {last['gfn']:#x} was zapped and not flushed")
            )


def _freed_after_flush(flows: Flows) -> Answers:
    """Frames of the memslot that an entry mapped until it was zapped, and that are freed."""
    flushes = sorted(_flushes(flows.trace))
    enters = max((event.begin for event in flows.trace.events if event.kind == "enter"), default=0)
    mapped: dict[int, set[tuple[int, int]]] = {}
    zapped: dict[int, Event] = {}
    for event in flows.trace.events:
        if event.kind == "spte" and event["level"] <= LARGEST and event["as_id"] == 0:
            key = event["level"], event["gfn"]
            if is_leaf(event["old"], event["level"]) and not is_leaf(event["new"], event["level"]):
                for pfn in frames(event["old"], event["level"]):
                    mapped.get(pfn, set()).discard(key)
                    zapped[pfn] = event
            if is_leaf(event["new"], event["level"]):
                for pfn in frames(event["new"], event["level"]):
                    mapped.setdefault(pfn, set()).add(key)
                    zapped.pop(pfn, None)
        elif event.kind == "freed":
            for pfn in range(event["pfn"], event["pfn"] + (1 << event["order"])):
                zap = zapped.pop(pfn, None)
                if zap is None or mapped.get(pfn):
                    continue
                flushed = any(end >= zap.begin and begin <= event.begin for begin, end in flushes)
                what = f"frame {pfn:#x} is freed, no flush came since gfn {zap['gfn']:#x} was zapped, and a vCPU runs on"
                yield None if flushed or enters < event.end else Broken(event.begin, event.task, what)


def _served(flows: Flows) -> Answers:
    """A vCPU that enters guest code after a flush was requested of all, and done, has flushed since it was requested."""
    flushes = sorted(_flushes(flows.trace), key=lambda each: each[1])
    begins = [begin for begin, _ in flushes]
    ends = [end for _, end in flushes]
    flushed: dict[int, int] = {}
    asked: dict[int, int] = {}
    seen = False
    for event in flows.trace.events:
        if event.kind == "vcpu_flush":
            flushed[event.task] = event.end
            seen = True
        elif event.kind == "enter":
            over = bisect_left(ends, event.begin)
            if over == asked.get(event.task, 0):
                continue
            asked[event.task] = over
            late = flushed.get(event.task, 0) < begins[over - 1]
            what = f"vCPU {event['vcpu']} runs guest code again, and has not flushed since it was requested"
            yield Broken(event.begin, event.task, what) if late and seen else None


def _flushes(trace: Trace) -> Iterator[tuple[int, int]]:
    """Each request that all vCPUs flush, from its beginning until it was done."""
    begun: dict[int, int] = {}
    for event in trace.events:
        if event.kind in ("flush", "flush_range"):
            begun[event.task] = event.begin
        elif event.kind in ("flush_done", "flush_range_done") and event.task in begun:
            yield begun.pop(event.task), event.end


def _no_write_after_free(flows: Flows) -> Answers:
    """A write to an entry of a 2 MiB region below which no table is linked, after the one that was there was freed."""
    linked: dict[int, int] = {}
    freed: dict[int, int] = {}
    owner: dict[int, int] = {}
    unlinking: dict[int, int] = {}
    for event in flows.trace.events:
        if event.kind == "table_freed":
            region = owner.pop(event["pfn"], None)
            if region is not None and linked.get(region) is None:
                freed[region] = event.end
        elif event.kind == "spte" and event["as_id"] == 0 and event["level"] == 2:
            region = event["gfn"]
            if is_table(event["new"], 2):
                linked[region] = pfn_of(event["new"])
                owner[pfn_of(event["new"])] = region
                freed.pop(region, None)
            elif unlinks(event):
                linked.pop(region, None)
                unlinking[event.task] = region
            yield None
        elif event.kind == "spte" and event["as_id"] == 0 and event["level"] == 1:
            region = event["gfn"] // covered(2) * covered(2)
            since = freed.get(region)
            late = since is not None and since < event.begin and unlinking.get(event.task) != region
            yield (
                Broken(event.end, event.task, f"the entry of gfn {event['gfn']:#x} is written after its table was freed") if late else None
            )


PROMISES: Mapping[str, tuple[str, Callable[[Flows], Answers]]] = {
    "exclusion": ("No entry is installed for an address while an invalidation of that address is open.", _not_installed_over_its_own),
    "flush_before_release": ("mmu_lock is not released by an invalidation while what it zapped is not flushed.", _flushed_before_release),
    "freed_after_flush": (
        "No frame is freed before a flush was requested since it was zapped, if a vCPU runs again.",
        _freed_after_flush,
    ),
    "served": ("No vCPU runs guest code after a flush was requested and done, before it has flushed.", _served),
    "no_write_after_free": ("No entry of a table is written after the table was freed.", _no_write_after_free),
}
"""Each promise with its sentence."""
