"""Words that a kernel may show, and words that no kernel may: made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tdpcheck import Change
from tdpcheck.runner.inputs.sources import code_for, files_of
from tdpcheck.runner.traces.checking import Checked, check
from tdpcheck.tests.calling import diff
from tdpcheck.tests.traces.acting import EMPTY, HOST, OTHER, SECOND, VCPU, Acting, leaf
from tdpcheck.traces.format import Trace, read

FILES = files_of(None)


def checked(acted: Callable[[Acting], None], timeout: float | None = None) -> Checked:
    acting = Acting()
    acted(acting)
    return check(acting.trace, "shared", lambda scenario: code_for(scenario, None, FILES), timeout=timeout)


def maps_before(a: Acting) -> None:
    """The host asks for the lock while a vCPU maps what it will take."""
    a.faults(VCPU)
    a.asks()
    a.maps(VCPU, 7, a.seq, table=True)
    a.gets()
    a.write(HOST, 1, leaf(7), EMPTY)
    a.flushes()
    a.opened()
    a.closes()


def retries(a: Acting) -> None:
    a.taken()
    a.faults(VCPU)
    seq = a.seq
    a.closes()
    a.retries(VCPU, seq)


def reads_after(a: Acting) -> None:
    """The event of its beginning comes before the end, and the value says that it read behind it: a mapping is right."""
    a.taken()
    a.do(VCPU, "page_fault", vcpu=0, gfn=0x40000)
    a.closes()
    a.do(VCPU, "faultin", gfn=0x40000, seq=a.seq, open=0)
    a.do(VCPU, "faultin_done", ret=0)
    a.maps(VCPU, 9, a.seq)


def both_map(a: Acting) -> None:
    """The other vCPU maps the page, so that this one finds it there."""
    a.taken()
    a.faults(VCPU)
    a.closes()
    a.faults(SECOND)
    a.maps(SECOND, 9, a.seq)
    a.retries(VCPU, a.seq - 1)


def because_of_another(a: Acting) -> None:
    """Some other page's invalidation has ended since it read."""
    a.mapped(7)
    a.opens(OTHER, 0x40009)
    a.opened(OTHER)
    a.opens()
    a.faults(VCPU)
    seq = a.seq
    a.closes(OTHER)
    a.retries(VCPU, seq)
    a.write(HOST, 1, leaf(7), EMPTY)
    a.flushes()
    a.opened()
    a.closes()


def maps_over_it(a: Acting) -> None:
    a.taken()
    a.faults(VCPU)
    a.maps(VCPU, 7, a.seq)
    a.closes()


def maps_what_it_found_before(a: Acting) -> None:
    """It read before the end, did not ask again, and maps the old frame."""
    a.taken()
    a.faults(VCPU)
    seq = a.seq
    a.closes()
    a.maps(VCPU, 7, seq)


def forgets_to_flush(a: Acting) -> None:
    a.taken(flush=False)
    a.faults(VCPU)
    seq = a.seq
    a.closes()
    a.retries(VCPU, seq)


def retries_for_nothing(a: Acting) -> None:
    a.taken()
    a.do(VCPU, "page_fault", vcpu=0, gfn=0x40000)
    a.closes()
    a.do(VCPU, "faultin", gfn=0x40000, seq=a.seq, open=0)
    a.do(VCPU, "faultin_done", ret=0)
    a.retries(VCPU, a.seq)


@pytest.mark.parametrize("acted", [maps_before, retries, reads_after, both_map, because_of_another])
def test_what_a_kernel_does_is_accepted(acted: Callable[[Acting], None]) -> None:
    answer = checked(acted)

    assert not answer.refused
    assert answer.acceptances
    assert answer.not_judged == {}


@pytest.mark.parametrize(
    ("acted", "cannot"),
    [
        (maps_over_it, "fault 1: write: empty below a table -> leaf below a table"),
        (maps_what_it_found_before, "fault 1: write: empty below a table -> leaf below a table"),
        (forgets_to_flush, "notifier 0: unlock"),
        (retries_for_nothing, "fault 1: stale"),
    ],
)
def test_what_no_kernel_may_do_is_refused(acted: Callable[[Acting], None], cannot: str) -> None:
    """The first event that cannot be explained is named, and what there is instead."""
    (refusal, *_) = checked(acted).refused

    assert any(each.startswith(cannot) for each in refusal.cannot)
    assert refusal.instead
    assert refusal.guard


def test_a_limit_of_time_leaves_windows_open() -> None:
    answer = checked(retries, timeout=1e-9)

    assert (answer.open, answer.acceptances, answer.refusals) == (1, 0, 0)


def kept(name: str, events: int | None = None) -> Trace:
    """A trace that was recorded on an unmodified kernel, or its first events."""
    trace = read(Path(__file__).parents[2] / "traces" / "recorded" / f"{name}.trace.gz")
    return Trace(trace.header, trace.events[:events])


def answered(trace: Trace) -> Checked:
    return check(trace, "shared", lambda scenario: code_for(scenario, None, FILES))


@pytest.mark.slow
def test_a_running_kernel_tells_a_wrong_model_apart() -> None:
    """A model that never retries is not what ran: it has no step at which a vCPU gives up."""
    patch = diff("mmu.c", "return mmu_invalidate_retry(kvm, fault->gfn);", "return false;")
    files = Change("no-retry.patch", patch.encode()).versions(FILES)[-1].files

    answer = check(kept("linux-6.1", 1000), "shared", lambda scenario: code_for(scenario, None, files), until_refused=True)

    assert answer.refused[0].cannot[0].startswith("fault 1: stale")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "events", "accepted"), [("linux-6.1", 1000, 11), ("linux-6.12", None, 23)])
def test_running_kernels_are_accepted(name: str, events: int | None, accepted: int) -> None:
    answer = answered(kept(name, events))

    assert (answer.acceptances, answer.refused, answer.open) == (accepted, (), 0)
