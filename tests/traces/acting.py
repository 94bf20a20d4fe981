"""Traces made by hand: tasks that act one after the other on one memslot, each event at a time of its own."""

from __future__ import annotations

from collections.abc import Iterator

from tdpcheck.traces.format import BEFORE, Event, Header, Slot, Trace

GFN = 0x40000
HOST, OTHER, VCPU, SECOND = 10, 11, 20, 21
"""Tasks."""
EMPTY = 0
UPPER = 0x9000807
"""A level-2 entry that points to a table."""


def leaf(pfn: int) -> int:
    return pfn << 12 | 0xE67


class Acting:
    """Writes a trace down. `seq` is what mmu_invalidate_seq is."""

    def __init__(self) -> None:
        self.raw: list[tuple[int, str, dict[str, int]]] = []
        self.seq = 5

    def do(self, task: int, kind: str, **values: int) -> None:
        self.raw.append((task, kind, values))

    def write(self, task: int, level: int, old: int, new: int, gfn: int = GFN) -> None:
        self.do(task, "spte", as_id=0, gfn=gfn, level=level, old=old, new=new)

    def mapped(self, pfn: int) -> None:
        """The page is mapped at first, by a fault that is over."""
        self.faults(VCPU)
        self.maps(VCPU, pfn, self.seq, table=True)

    def taken(self, *, flush: bool = True) -> None:
        """Frame 7 was mapped, and the host takes it: up to where its page goes."""
        self.mapped(7)
        self.opens()
        self.write(HOST, 1, leaf(7), EMPTY)
        if flush:
            self.flushes()
        self.opened()

    def opens(self, task: int = HOST, gfn: int = GFN, pages: int = 1) -> None:
        self.asks(task, gfn, pages)
        self.gets(task, gfn, pages)

    def asks(self, task: int = HOST, gfn: int = GFN, pages: int = 1) -> None:
        self.do(task, "invalidate", start=0x1000 * gfn, end=0x1000 * (gfn + pages))
        self.do(task, "wlock")

    def gets(self, task: int = HOST, gfn: int = GFN, pages: int = 1) -> None:
        self.do(task, "wlocked")
        self.do(task, "unmap", start=gfn, end=gfn + pages)

    def flushes(self, task: int = HOST) -> None:
        self.do(task, "flush")
        self.do(task, "flush_done")

    def opened(self, task: int = HOST) -> None:
        self.do(task, "wunlock")
        self.do(task, "invalidated")

    def closes(self, task: int = HOST) -> None:
        self.do(task, "validate")
        self.do(task, "wlock")
        self.do(task, "wlocked")
        self.seq += 1
        self.do(task, "wunlock")
        self.do(task, "validated")

    def faults(self, task: int, gfn: int = GFN) -> None:
        self.do(task, "page_fault", vcpu=task - VCPU, gfn=gfn)
        self.do(task, "faultin", gfn=gfn, seq=self.seq, open=0)
        self.do(task, "faultin_done", ret=0)

    def judges(self, task: int, seq: int, stale: bool, gfn: int = GFN) -> None:
        self.do(task, "rlock")
        self.do(task, "rlocked")
        self.do(task, "stale", gfn=gfn, seq=seq, now=self.seq, open=0)
        self.do(task, "stale_done", ret=int(stale))

    def maps(self, task: int, pfn: int, seq: int, table: bool = False, old: int = EMPTY, gfn: int = GFN) -> None:
        self.judges(task, seq, False, gfn)
        self.do(task, "map", gfn=gfn, pfn=pfn, goal=1)
        if table:
            self.write(task, 2, EMPTY, UPPER, gfn & ~511)
        self.write(task, 1, old, leaf(pfn), gfn)
        self.do(task, "map_done", ret=0)
        self.do(task, "runlock")

    def retries(self, task: int, seq: int) -> None:
        self.judges(task, seq, True)
        self.do(task, "runlock")

    @property
    def trace(self) -> Trace:
        return Trace(Header(1, "6.1.0-made", "6.1", 0, 0, 2, Slot(GFN, 1024, 0x1000 * GFN)), tuple(self._events()))

    def _events(self) -> Iterator[Event]:
        for at, (task, kind, values) in enumerate(self.raw, 1):
            before = [n for n, (other, *_) in enumerate(self.raw[: at - 1], 1) if other == task]
            after = [n for n, (other, *_) in enumerate(self.raw, 1) if other == task and n > at]
            begin, end = (at, after[0] if after else len(self.raw) + 1) if kind in BEFORE else (before[-1] if before else 0, at)
            yield Event(begin, end, 0, task, kind, values)
