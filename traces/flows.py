"""What the tasks of a trace did: attempts of vCPUs to map a page, invalidations by the host, and entries that somebody else wrote."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..core.errors import InputError
from .entries import LARGEST, covered, is_table
from .format import Event, Trace

Interval = tuple[int, int]
"""The first and the last time of the recording's clock between which something happened."""

CONTINUED = 0
"""RET_PF_CONTINUE: kvm_faultin_pfn() found a page."""


@dataclass
class Flow:
    """What one task did in one call.

    Args:
        task: who.
        begin, end: between which times it ran.
        writes: the entries that it wrote, in its order.
        first: the number in the trace of the event at which it began.
    """

    task: int
    begin: int
    end: int
    first: int
    writes: list[Event] = field(default_factory=list)

    def overlaps(self, other: Flow) -> bool:
        """Whether some of it may have happened while the other ran."""
        return self.begin <= other.end and other.begin <= self.end


@dataclass
class Attempt(Flow):
    """A vCPU's attempt to map one page.

    Args:
        read: when it read mmu_invalidate_seq; `seq` is what it read, None if it gave up before anybody could see that.
        resolved: when it found the pfn.
        judged: when is_page_fault_stale() looked; `stale` is what it said.
        ret: what kvm_faultin_pfn() returned.
    """

    gfn: int = 0
    vcpu: int = 0
    read: Interval = (0, 0)
    seq: int | None = None
    resolved: Interval | None = None
    judged: Interval | None = None
    stale: bool | None = None
    ret: int | None = None

    @property
    def early(self) -> bool:
        """Whether it gave up before it asked for mmu_lock, and so changed nothing."""
        return self.judged is None


@dataclass
class Invalidation(Flow):
    """The host takes a range of pages back.

    Args:
        pages: the gfns, as first and behind the last; None if no page of a memslot is among them, and KVM does nothing.
        opened, closed: when mmu_invalidate_in_progress was raised, and lowered with mmu_invalidate_seq moved on.
        flushes: when it requested that the CPUs drop what they hold, until that had been done.
        released: when it let mmu_lock go before it was open.
        locks, unlocks: when it got mmu_lock to open and to close, and let it go after that.
        seq: what mmu_invalidate_seq is when it has been closed.
        outer: the invalidation inside of which the same task does this.
        collapses: the host makes one huge page of small ones.
    """

    pages: Interval | None = None
    opened: Interval | None = None
    closed: Interval | None = None
    flushes: list[Interval] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    locks: list[Interval] = field(default_factory=list)
    unlocks: list[Interval] = field(default_factory=list)
    seq: int | None = None
    outer: Invalidation | None = None
    collapses: bool = False

    def covers(self, gfn: int) -> bool:
        return self.pages is not None and self.pages[0] <= gfn < self.pages[1]


@dataclass
class Split(Flow):
    """Dirty logging begins: huge leaves are split."""


@dataclass(frozen=True)
class Other:
    """An entry that neither an attempt nor an invalidation wrote; `what` wrote it."""

    event: Event
    what: str


@dataclass(frozen=True)
class Flows:
    """All of a trace."""

    trace: Trace
    attempts: tuple[Attempt, ...]
    invalidations: tuple[Invalidation, ...]
    others: tuple[Other, ...]
    splits: tuple[Split, ...] = ()


_CONTEXT = {
    "set_pte": "a change of the host's entry",
    "split": "dirty logging begins",
    "collapse": "dirty logging ends",
    "memslot": "a memslot changes",
    "zap_fast": "everything is zapped",
    "zap_invalid": "everything is zapped",
    "zap_all": "the VMM's mm goes away",
}
_ENDS = {"split_done": "split", "collapse_done": "collapse", "memslot_done": "memslot"}


class _Task:
    """Reads the events of one task, in order."""

    def __init__(self, number: int, trace: Trace) -> None:
        self.number, self.trace = number, trace
        self.attempts: list[Attempt] = []
        self.invalidations: list[Invalidation] = []
        self.others: list[Other] = []
        self.splits: list[Split] = []
        self._attempt: Attempt | None = None
        self._open: list[Invalidation] = []
        self._phase: list[str] = []
        self._fault: Event | None = None
        self._flush: Event | None = None
        self._wait: tuple[Invalidation, str] | None = None
        self._context: list[str] = []
        self._collapses = False

    def see(self, event: Event, at: int) -> None:
        time = event.begin if event.kind in ("faultin", "invalidate") else event.end
        if self._wait is not None:  # what began when the lock was got ends before the next event
            invalidation, what = self._wait
            start = getattr(invalidation, what)[0]
            setattr(invalidation, what, (start, max(start, event.begin if event.begin > start else event.end)))
            self._wait = None
        match event.kind:
            case "page_fault":
                self._ended(event.end)
                self._fault = event
            case "enter":
                self._ended(event.begin)
            case "faultin":
                self._ended(event.begin)
                begin = self._fault.end if self._fault is not None else event.begin
                vcpu = self._fault["vcpu"] if self._fault is not None else 0
                self._attempt = Attempt(self.number, begin, event.end, at, gfn=event["gfn"], vcpu=vcpu, read=(begin, event.end))
                self.attempts.append(self._attempt)
            case "faultin_done" if self._attempt:
                self._attempt.resolved, self._attempt.ret = (event.begin, event.end), event["ret"]
                self._attempt.end = event.end
                if event["ret"] != CONTINUED:
                    self._attempt = None
            case "stale" if self._attempt:
                self._attempt.judged, self._attempt.seq = (event.begin, event.end), event["seq"]
            case "stale_done" if self._attempt and self._attempt.judged:
                self._attempt.judged, self._attempt.stale = (self._attempt.judged[0], event.end), bool(event["ret"])
                self._attempt.end = event.end
            case "runlock" if self._attempt and self._attempt.stale is not None:
                self._ended(event.begin)
            case "invalidate":
                outer = self._open[-1] if self._open else None
                made = Invalidation(self.number, event.begin, event.end, at, outer=outer, collapses=self._collapses)
                self.invalidations.append(made)
                self._open.append(made)
                self._phase.append("opening")
            case "wlocked" if self._open and self._phase[-1] == "opening" and self._open[-1].opened is None:
                self._open[-1].opened = (event.end, event.end)
                self._open[-1].locks.append((event.begin, event.end))
                self._wait = (self._open[-1], "opened")
            case "wlocked" if self._open and self._phase[-1] == "closing" and self._open[-1].opened is not None:
                self._open[-1].closed = (event.end, event.end)
                self._open[-1].locks.append((event.begin, event.end))
                self._wait = (self._open[-1], "closed")
            case "wunlock" if self._open and self._phase[-1] == "opening":
                own = self._open[-1]
                own.released.append(event.begin)
                own.unlocks[:] = [(own.released[0], event.end)]  # it may have let others in before
            case "unmap" if self._open and self._phase[-1] == "opening":
                known = self._open[-1].pages
                pages = event["start"], event["end"]
                self._open[-1].pages = pages if known is None else (min(known[0], pages[0]), max(known[1], pages[1]))
            case "flush" if self._open:
                self._flush = event
                self._open[-1].flushes.append((event.begin, event.end))
            case "flush_done" if self._open and self._flush is not None and self._open[-1].flushes:
                self._open[-1].flushes[-1] = (self._flush.begin, event.end)
                self._flush = None
            case "invalidated" if self._open:
                self._phase[-1] = "open"
            case "validate" if self._open:
                self._phase[-1] = "closing"
            case "spte":
                self._wrote(event)
            case "host_collapse":
                self._collapses = True  # whoever does it once does nothing else: khugepaged
            case "fast":
                self.others.append(Other(event, "a fast page fault"))
            case _ if event.kind in _CONTEXT:
                self._context.append(event.kind)
                if event.kind == "split":
                    self.splits.append(Split(self.number, event.begin, event.end, at))
            case _ if event.kind in _ENDS and _ENDS[event.kind] in self._context:
                while self._context.pop() != _ENDS[event.kind]:
                    pass
                if event.kind == "split_done":
                    self.splits[-1].end = event.end
            case _:
                pass
        if self._attempt is not None:
            self._attempt.end = max(self._attempt.end, time)
        if self._open:
            self._open[-1].end = max(self._open[-1].end, event.end)
            for each in self._open:
                each.end = max(each.end, event.begin)
            if self._phase[-1] == "closing" and (event.kind in ("wunlock", "validated") or self._open[-1].opened is None):
                if event.kind == "wunlock":
                    self._open[-1].end = event.begin
                    self._open[-1].unlocks.append((event.begin, event.end))
                if "set_pte" in self._context:
                    self._context.remove("set_pte")
                self._open.pop()
                self._phase.pop()

    def _ended(self, time: int) -> None:
        if self._attempt is not None:
            self._attempt.end = time
        self._attempt = None

    def _wrote(self, event: Event) -> None:
        if event["level"] > LARGEST:
            return
        if "set_pte" in self._context and self._open and self._phase[-1] == "open":
            self.others.append(Other(event, _CONTEXT["set_pte"]))
        elif self._open and self._phase[-1] == "opening":
            self._open[-1].writes.append(event)
        elif self._attempt is not None and self._attempt.stale is False:
            self._attempt.writes.append(event)
        elif self._context and self._context[-1] == "split":
            self.splits[-1].writes.append(event)
            self.splits[-1].end = event.end
        else:
            self.others.append(Other(event, _CONTEXT[self._context[-1]] if self._context else "something else"))


def flows_of(trace: Trace) -> Flows:
    """What the tasks of a trace did.

    Raises:
        InputError: the values of mmu_invalidate_seq contradict the invalidations that were recorded.
    """
    tasks: dict[int, _Task] = {}
    for at, event in enumerate(trace.events):
        tasks.setdefault(event.task, _Task(event.task, trace)).see(event, at)
    attempts = sorted((a for task in tasks.values() for a in task.attempts), key=lambda a: a.first)
    invalidations = sorted((i for task in tasks.values() for i in task.invalidations), key=lambda i: i.first)
    others = sorted((o for task in tasks.values() for o in task.others), key=lambda o: o.event.begin)
    splits = sorted((s for task in tasks.values() for s in task.splits), key=lambda s: s.first)
    _number(trace, invalidations)
    return Flows(trace, tuple(attempts), tuple(invalidations), tuple(others), tuple(splits))


def _number(trace: Trace, invalidations: Sequence[Invalidation]) -> None:
    """Give each invalidation the value to which it moves mmu_invalidate_seq: the ends stand in the order of mmu_lock."""
    ends = sorted((i for i in invalidations if i.closed is not None), key=lambda i: i.closed or (0, 0))
    begun = [i.closed[0] for i in ends if i.closed]
    over = sorted(i.closed[1] for i in ends if i.closed)
    possible: Counter[int] = Counter()
    seen = 0
    for first, last, seq in _values(trace):
        least, most = bisect_left(over, first), bisect_right(begun, last)
        seen += 1
        possible.update(range(seq - most, seq - least + 1))
    if not possible:
        return
    base, times = possible.most_common(1)[0]
    if times != seen:
        raise InputError(
            f"mmu_invalidate_seq was read {seen} times, and {seen - times} values contradict the {len(ends)} invalidations that ended: "
            "events are missing; record the trace again"
        )
    for number, each in enumerate(ends, 1):
        each.seq = base + number


def _values(trace: Trace) -> Iterator[tuple[int, int, int]]:
    """When mmu_invalidate_seq was seen, and what it was: a probe reads after it has the time."""
    for event in trace.events:
        if event.kind == "faultin":
            yield event.begin, event.end, event["seq"]
        elif event.kind == "stale":
            yield event.begin, event.end, event["now"]


def of_region(event: Event, gfn: int) -> bool:
    """Whether an entry that was written is one that a walk to a page looks at, at the lowest two levels."""
    level = event["level"]
    return event["as_id"] == 0 and level <= LARGEST and event["gfn"] <= gfn < event["gfn"] + covered(level)


def unlinks(event: Event) -> bool:
    """Whether a table goes by this."""
    return is_table(event["old"], event["level"]) and not is_table(event["new"], event["level"])
