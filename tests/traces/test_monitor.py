"""Each promise, broken by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.tests.traces.acting import EMPTY, GFN, HOST, SECOND, UPPER, VCPU, Acting, leaf
from tdpcheck.traces.flows import flows_of
from tdpcheck.traces.monitor import PROMISES, monitor


def kept(a: Acting) -> None:
    a.taken()
    a.do(HOST, "freed", pfn=7, order=0)
    a.closes()
    a.do(VCPU, "vcpu_flush")
    a.do(VCPU, "enter", vcpu=0)


def over(a: Acting) -> None:
    a.taken()
    a.faults(VCPU)
    a.maps(VCPU, 7, a.seq)
    a.closes()


def unflushed(a: Acting) -> None:
    a.taken(flush=False)
    a.closes()


def freed(a: Acting) -> None:
    a.mapped(7)
    a.opens()
    a.write(HOST, 1, leaf(7), EMPTY)
    a.do(HOST, "freed", pfn=7, order=0)
    a.flushes()
    a.opened()
    a.closes()
    a.do(VCPU, "vcpu_flush")
    a.do(VCPU, "enter", vcpu=0)


def deaf(a: Acting) -> None:
    kept(a)
    a.do(SECOND, "enter", vcpu=1)


def table(a: Acting) -> None:
    a.mapped(7)
    a.write(HOST, 2, UPPER, EMPTY, GFN)
    a.do(99, "table_freed", pfn=UPPER >> 12)
    a.do(99, "runlock")
    a.do(VCPU, "rlocked")
    a.write(VCPU, 1, EMPTY, leaf(8))


@pytest.mark.parametrize(
    ("acted", "broken", "says"),
    [
        (kept, "", ""),
        (over, "exclusion", "gfn 0x40000 is mapped to 0x7 while task 10 invalidates 0x40000-0x40000, which has not ended"),
        (unflushed, "flush_before_release", "mmu_lock is released, and gfn 0x40000 was zapped and not flushed"),
        (freed, "freed_after_flush", "frame 0x7 is freed, no flush came since gfn 0x40000 was zapped, and a vCPU runs on"),
        (deaf, "served", "vCPU 1 runs guest code again, and has not flushed since it was requested"),
        (table, "no_write_after_free", "the entry of gfn 0x40000 is written after its table was freed"),
    ],
)
def test_a_promise_is_broken_where_it_is(acted: Callable[[Acting], None], broken: str, says: str) -> None:
    acting = Acting()
    acted(acting)

    found = {each.promise: [one.what for one in each.broken] for each in monitor(acting.trace)}

    assert found == {name: [says] if name == broken else [] for name in PROMISES}


def test_values_that_contradict_the_invalidations_are_no_trace() -> None:
    acting = Acting()
    kept(acting)
    acting.seq += 3
    acting.faults(VCPU)

    with pytest.raises(InputError, match="mmu_invalidate_seq was read 3 times, and 1 values contradict the 1 invalidations"):
        flows_of(acting.trace)
