"""Overlaps of a trace, each as seen from one page: who takes part, in which state it begins, and the words that were seen of each.

What is left out can be left out of a run (docs/running-kernel.md has the argument): a vCPU's attempt that writes nothing, for others
read nothing that it leaves, and mmu_lock is only more often free; an invalidation that neither covers the page nor writes what a walk to
it looks at, unless a vCPU retries because of its end; entries of other pages, flushes while nothing of the page is owed, and levels above
2 MiB, which are not in the model's state of this page. A change of bits in an entry that maps the same frame before and after is none in
the model, which has no permissions of vCPUs and no accessed and dirty bits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .entries import covered, is_frozen, is_leaf, is_table, pfn_of
from .flows import Attempt, Flow, Flows, Interval, Invalidation, Split, of_region
from .format import Event

MOST = 5
"""Threads of a window; with more it is not judged."""
REGION = 512

NONE, FROZEN, LEAF, TABLE = "none", "frozen", "leaf", "table"
NOTIFIER, PART, FAULT, SPLIT = "notifier", "part", "fault", "split"
"""What a thread may be: an invalidation, one of a part of a huge page with the one nested in it, an attempt of a vCPU, dirty logging that
begins.
"""


@dataclass(frozen=True)
class View:
    """What a walk to the page finds: the 2 MiB entry, below a table the 4 KiB entry, and the frame of the leaf."""

    upper: str
    lower: str = NONE
    pfn: int | None = None

    @property
    def mapped(self) -> bool:
        return LEAF in (self.upper, self.lower)

    def __str__(self) -> str:
        match self.upper, self.lower:
            case "table", lower:
                return f"{lower} below a table" if lower != NONE else "empty below a table"
            case "leaf", _:
                return "a 2 MiB leaf"
            case "none", _:
                return "empty"
            case upper, _:
                return upper


@dataclass(frozen=True)
class Label:
    """Something that was seen of a thread.

    Args:
        what: `lock`, `unlock`, `begin`, `sub`, `nested begin`, `nested sub` of an invalidation; `flush`; `seq`, `pfn`, `stale` of an
            attempt; `write`.
        when: in the recording's clock.
        before, after: of a write.
        event: where it stands in the trace.
    """

    what: str
    when: Interval
    before: View | None = None
    after: View | None = None
    seq: int | None = None

    def __str__(self) -> str:
        return f"{self.what}: {self.before} -> {self.after}" if self.what == "write" else self.what

    @property
    def letter(self) -> tuple[str, str, str]:
        """What it is, without when and which frame."""
        return self.what, str(self.before), str(self.after)


@dataclass(frozen=True)
class Member:
    """A thread of a window.

    Args:
        role: `NOTIFIER`, `PART` or `FAULT`.
        own, rest: whether an invalidation covers the page, and all others of its region.
    """

    role: str
    flow: Flow
    labels: tuple[Label, ...]
    own: bool = True
    rest: bool = False


@dataclass(frozen=True)
class Window:
    """An overlap, seen from a page.

    Args:
        gfn: the page.
        pair: the two flows that overlap, by their roles.
        start: what a walk finds at the beginning.
        huge: whether a 2 MiB leaf of the region is seen in it, so that the host may map it so.
        order: pairs of labels, each by member and number, of which the first came first: a value says so.
        members: who takes part; none if it is not judged, and `why` says why not.
    """

    gfn: int
    pair: tuple[str, str]
    begin: int
    end: int
    start: View
    huge: bool
    members: tuple[Member, ...]
    order: frozenset[tuple[tuple[int, int], tuple[int, int]]] = frozenset()
    why: str = ""

    @property
    def word(self) -> tuple[object, ...]:
        """What was seen, without times and frames: the roles, the start, and the labels as they were recorded."""
        labels = sorted((label.when, number, label.letter) for number, member in enumerate(self.members) for label in member.labels)
        return str(self.start), tuple((m.role, m.own, m.rest) for m in self.members), tuple((n, letter) for _, n, letter in labels)


class _Page:
    """Every write that a walk to one page could see, in order, and what it finds before and after each."""

    def __init__(self, flows: Flows, gfn: int) -> None:
        writes: list[tuple[Event, Flow | str]] = [
            (event, flow)
            for flow in (*flows.attempts, *flows.invalidations, *flows.splits)
            for event in flow.writes
            if of_region(event, gfn)
        ]
        writes += [(other.event, other.what) for other in flows.others if "level" in other.event.values and of_region(other.event, gfn)]
        writes.sort(key=lambda each: (each[0].end, each[0].begin))
        self.gfn = gfn
        self.steps: list[tuple[Event, Flow | str, View, View]] = []
        self.contradiction: list[Event] = []
        view = View(NONE)
        for event, flow in _chained(writes):
            now = _after(event, gfn, view)
            if event["level"] == 1 and view.upper != TABLE:
                if not is_leaf(event["new"], 1):
                    continue  # an entry of a table that was unlinked before
                self.contradiction.append(event)
            if not _agrees(event, gfn, view):
                self.contradiction.append(event)
                view = _before(event, view)
                now = _after(event, gfn, view)
            if now != view:
                self.steps.append((event, flow, view, now))
            view = now

    def at(self, time: int) -> View:
        """What a walk finds before anything that may happen from that time on."""
        view = View(NONE)
        for event, _, _, after in self.steps:
            if event.end >= time:
                break
            view = after
        return view


def _chained(writes: Sequence[tuple[Event, Flow | str]]) -> Iterator[tuple[Event, Flow | str]]:
    """In the order in which the values follow each other: of two whose intervals overlap the old value says which came first."""
    left = list(writes)
    value: dict[tuple[int, int], int] = {}
    while left:
        first = left[0][0]
        chosen = 0
        for number, (event, _) in enumerate(left[:6]):
            if event.begin > first.end:
                break
            key = event["level"], event["gfn"]
            if key == (first["level"], first["gfn"]) and value.get(key, event["old"]) == event["old"]:
                chosen = number
                break
        event, flow = left.pop(chosen)
        value[event["level"], event["gfn"]] = event["new"]
        yield event, flow


def _class(entry: int, level: int) -> str:
    if is_leaf(entry, level):
        return LEAF
    if is_table(entry, level):
        return TABLE
    return FROZEN if is_frozen(entry) else NONE


def _frame(entry: int, level: int, gfn: int) -> int:
    return pfn_of(entry) + gfn % covered(level)


def _after(event: Event, gfn: int, view: View) -> View:
    """What a walk finds after a write."""
    new, level = event["new"], event["level"]
    kind = _class(new, level)
    if level == 1:
        return replace(view, lower=kind, pfn=_frame(new, 1, gfn) if kind == LEAF else None)
    if kind == TABLE and view.upper == LEAF:
        return View(TABLE, LEAF, view.pfn)  # split: the table repeats what the leaf said
    if kind == TABLE and view.upper == TABLE:
        return view
    return View(kind, NONE, _frame(new, 2, gfn) if kind == LEAF else None)


def _before(event: Event, view: View) -> View:
    old, level = event["old"], event["level"]
    kind = _class(old, level)
    if level == 1:
        return View(TABLE, kind, _frame(old, 1, event["gfn"]) if kind == LEAF else None)
    return View(kind, view.lower if kind == TABLE else NONE, view.pfn if kind != NONE else None)


def _agrees(event: Event, gfn: int, view: View) -> bool:
    """Whether the old value of a write is what stood there; that frozen became empty nobody sees."""
    old, level = event["old"], event["level"]
    kind, known = _class(old, level), view.lower if level == 1 else view.upper
    if kind == known:
        return kind != LEAF or _frame(old, level, gfn) == view.pfn
    return {kind, known} == {NONE, FROZEN}


def windows_of(flows: Flows) -> tuple[Window, ...]:
    """Each overlap of an invalidation with an attempt, and of two attempts that both write, on one page.

    Attempts that gave up before they asked for mmu_lock have changed nothing and are not among them.
    """
    pages: dict[int, _Page] = {}
    found = []
    attempts = [a for a in flows.attempts if not a.early and a.stale is not None]
    invalidations = [i for i in flows.invalidations if i.pages]
    for attempt in attempts:
        for other in _beside(attempt, invalidations, attempts, flows.splits):
            if attempt.gfn not in pages:
                pages[attempt.gfn] = _Page(flows, attempt.gfn)
            found.append(_window(pages[attempt.gfn], attempt, other, invalidations))
    return tuple(found)


def _beside(
    attempt: Attempt, invalidations: Sequence[Invalidation], attempts: Sequence[Attempt], splits: Sequence[Split]
) -> Iterator[Flow]:
    yield from (each for each in splits if each.overlaps(attempt) and any(of_region(w, attempt.gfn) for w in each.writes))
    for each in invalidations:
        if each.overlaps(attempt) and (each.covers(attempt.gfn) or any(of_region(w, attempt.gfn) for w in each.writes)):
            yield each
    for other in attempts:
        later = other.first > attempt.first and other.task != attempt.task
        if later and other.writes and attempt.writes and other.gfn // REGION == attempt.gfn // REGION and other.overlaps(attempt):
            yield other


UNSEEN = "somebody in it is not seen to his end"


def _whole(flow: Flow) -> bool:
    """Whether all of a flow was seen that its labels need."""
    match flow:
        case Invalidation():
            return (
                flow.opened is not None and flow.closed is not None and flow.pages is not None and len(flow.unlocks) == len(flow.locks) == 2
            )
        case Attempt():
            return flow.stale is not None and flow.resolved is not None
        case _:
            return True


def _window(page: _Page, subject: Attempt, other: Flow, invalidations: Sequence[Invalidation]) -> Window:
    gfn = page.gfn
    members: list[Flow] = [subject, other]
    why = ""
    while True:
        begin, end = min(m.begin for m in members), max(m.end for m in members)
        more: list[Flow] = []
        if not all(map(_whole, members)):
            why = UNSEEN
        for event, flow, _, _ in page.steps:
            if event.end < begin or event.begin > end or any(flow is m for m in members):
                continue
            if isinstance(flow, str):
                why = f"beside it {flow}"
            elif not _whole(flow):
                why = UNSEEN
            elif not any(flow is m for m in more):
                more.append(flow)
        for each in invalidations:
            if any(each is m for m in (*members, *more)) or not (each.begin <= end and each.end >= begin):
                continue
            inside = any(each.outer is m or (isinstance(m, Invalidation) and m.outer is each) for m in members)
            if each.covers(gfn) or inside:
                more.append(each)
        if any(not _whole(each) and each.begin <= end and each.end >= begin and each.covers(gfn) for each in invalidations):
            why = UNSEEN
        if not more or why:
            break
        members += more
        if len(members) > MOST:
            why = f"more than {MOST} threads at once"
            break
    if not why:
        more, why = _causes(members, invalidations)
        members += more
        if len(members) > MOST:
            why = f"more than {MOST} threads at once"
    begin, end = min(m.begin for m in members), max(m.end for m in members)
    pair = (FAULT, _named(subject, other))
    if any(begin <= event.end and event.begin <= end for event in page.contradiction):
        why = why or "its entries contradict each other: something wrote that no event shows"
    start = page.at(begin)
    huge = start.upper == LEAF or any(
        LEAF in (before.upper, after.upper) for event, _, before, after in page.steps if event.end >= begin and event.begin <= end
    )
    if huge and any(isinstance(m, Invalidation) and m.collapses for m in members):
        why = why or "the host makes one huge page of small ones, for which the model has no flow"
    blank = Window(gfn, pair, begin, end, start, huge, (), why=why)
    return blank if why else _worded(blank, members, page)


def _named(subject: Attempt, other: Flow) -> str:
    """What overlaps with an attempt, in words."""
    match other:
        case Attempt():
            return "another fault on the page" if other.gfn == subject.gfn else "another fault in the region"
        case Invalidation() if other.task == subject.task:
            return "an invalidation of its own"
        case Invalidation() if other.pages and other.pages[1] - other.pages[0] == 1:
            return "an invalidation of the page"
        case Invalidation() if other.pages and other.pages[1] - other.pages[0] < REGION:
            return "an invalidation of some pages"
        case Invalidation():
            return "an invalidation of the region"
        case _:
            return "dirty logging that begins"


UNION = "a vCPU retries because KVM keeps one range for all invalidations that are open, and the model keeps them apart"


def _causes(members: Sequence[Flow], invalidations: Sequence[Invalidation]) -> tuple[list[Flow], str]:
    """Invalidations of other pages at whose end a vCPU of the window retries, where nobody else in it may be the reason.

    If the reason is one that the model does not have, it is told.
    """
    causes: list[Flow] = []
    for attempt in members:
        if not (isinstance(attempt, Attempt) and attempt.stale and attempt.judged):
            continue
        known = [*members, *causes]
        if any(isinstance(m, Invalidation) and m.opened and m.closed and _near(attempt, m) for m in known):
            continue
        after = [] if attempt.seq is None else [i for i in invalidations if i.seq == attempt.seq + 1]
        ended = [i for i in after if i.closed and i.closed[0] <= attempt.judged[1]]
        causes += ended[:1]
        if not ended and _in_union(attempt, invalidations):
            return causes, UNION
    return causes, ""


def _in_union(attempt: Attempt, invalidations: Sequence[Invalidation]) -> bool:
    """Whether a page lies in the range that spans all invalidations since the last time that none was open."""
    assert attempt.judged
    changes = [(i.opened, 1, i.pages) for i in invalidations if i.opened and i.pages]
    changes += [(i.closed, -1, i.pages) for i in invalidations if i.closed and i.pages]
    number, spans = 0, (0, 0)
    held: list[tuple[int, Interval]] = [(0, (0, 0))]
    for when, change, pages in sorted(changes):
        number += change
        if change == 1:
            spans = pages if number == 1 else (min(spans[0], pages[0]), max(spans[1], pages[1]))
        held.append((when[0], spans if number else (0, 0)))
    last = bisect_right([time for time, _ in held], attempt.judged[1])
    first = bisect_right([time for time, _ in held], attempt.judged[0])
    return any(low <= attempt.gfn < high for _, (low, high) in held[max(0, first - 1) : last])


def _near(attempt: Attempt, invalidation: Invalidation) -> bool:
    """Whether an invalidation may be why an attempt retries: open over its page, or ended since it read."""
    assert attempt.judged
    assert invalidation.opened
    assert invalidation.closed
    if invalidation.covers(attempt.gfn) and invalidation.opened[0] <= attempt.judged[1] and attempt.judged[0] <= invalidation.closed[1]:
        return True
    if invalidation.seq is not None and attempt.seq is not None and invalidation.seq <= attempt.seq:
        return False  # it read behind that end
    return invalidation.closed[0] <= attempt.judged[1]


def _worded(blank: Window, flows: Sequence[Flow], page: _Page) -> Window:
    gfn = blank.gfn
    first, last = gfn // REGION * REGION, gfn // REGION * REGION + REGION
    nested = [f for f in flows if isinstance(f, Invalidation) and f.outer is not None and any(f.outer is m for m in flows)]
    made: list[Member] = []
    for flow in sorted(flows, key=lambda f: (isinstance(f, Attempt), f.first)):
        if isinstance(flow, Attempt):
            made.append(Member(FAULT, flow, tuple(_of_attempt(flow, page)), own=flow.gfn == gfn))
            continue
        if isinstance(flow, Split):
            made.append(Member(SPLIT, flow, tuple(_writes(flow, page)), own=True, rest=True))
            continue
        assert isinstance(flow, Invalidation)
        assert flow.pages is not None
        if any(flow is n for n in nested) and _splits(flow, gfn):
            continue
        whole = flow.pages[0] <= first and last <= flow.pages[1]
        inner = [n for n in nested if n.outer is flow and _splits(n, gfn)]
        labels = list(_of_invalidation(flow, page, ""))
        for each in inner:
            at = len(labels) - 3
            labels[at:at] = list(_of_invalidation(each, page, "nested "))
        role = PART if inner and not whole else NOTIFIER
        if len(inner) > 1 or (inner and whole):
            return replace(blank, why="nested invalidations of a kind that no entry function has")
        elsewhere = flow.pages[0] < last and first < flow.pages[1]
        made.append(
            Member(role, flow, tuple(labels), own=flow.covers(gfn), rest=whole or (elsewhere and not flow.covers(gfn)) or not elsewhere)
        )
    return replace(blank, members=tuple(made), order=frozenset(_ordered(made)))


def _splits(inner: Invalidation, gfn: int) -> bool:
    """Whether a nested invalidation is the one in which the host splits its huge page."""
    outer, first = inner.outer, gfn // REGION * REGION
    if inner.pages is None or outer is None or outer.pages is None:
        return False
    return inner.pages == (first, first + REGION) and outer.pages != inner.pages


def _of_attempt(flow: Attempt, page: _Page) -> Iterator[Label]:
    yield Label("seq", flow.read, seq=flow.seq)
    if flow.resolved:
        yield Label("pfn", flow.resolved)
    if flow.stale and flow.judged:
        yield Label("stale", flow.judged)
    yield from _writes(flow, page)


def _of_invalidation(flow: Invalidation, page: _Page, prefix: str) -> Iterator[Label]:
    assert flow.opened
    assert flow.closed
    yield Label("lock", flow.locks[0])
    yield Label(f"{prefix}begin", flow.opened)
    happened = [*_writes(flow, page), *(Label("flush", when) for when in flow.flushes)]
    owed = False
    for label in sorted(happened, key=lambda each: (each.when[0], each.what == "flush")):
        if label.what == "flush" and not owed:
            continue  # for other pages
        owed = label.what == "write" and label.before is not None and label.before.mapped
        yield label
    yield Label("unlock", flow.unlocks[0])
    yield Label("lock", flow.locks[1])
    yield Label(f"{prefix}sub", flow.closed, seq=flow.seq)
    yield Label("unlock", flow.unlocks[1])


def _writes(flow: Flow, page: _Page) -> Iterator[Label]:
    for event, who, before, after in page.steps:
        if who is flow:
            yield Label("write", (event.begin, event.end), before, after)


def _ordered(members: Sequence[Member]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """What mmu_invalidate_seq says: it was read after the end that moved it there, and before the next; and ends follow each other."""
    ends = [(label.seq, (m, n)) for m, member in enumerate(members) for n, label in enumerate(member.labels) if label.what.endswith("sub")]
    for m, member in enumerate(members):
        for n, label in enumerate(member.labels):
            if label.what == "seq" and label.seq is not None:
                for seq, at in ends:
                    if seq is not None:
                        yield (at, (m, n)) if seq <= label.seq else ((m, n), at)
    for seq, at in ends:
        for later, other in ends:
            if seq is not None and later is not None and seq < later:
                yield at, other


__all__ = ["Label", "Member", "View", "Window", "windows_of"]
