"""One clock, and one way for every engine to end before its time."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tdpcheck.checker.attempt import Attempt
from tdpcheck.checker.clock import Clock, OutOfTime
from tdpcheck.core.sorts import Geometry
from tdpcheck.core.verdict import INTERRUPTED, TIME_IS_UP, HoldsUpTo, Reason, ReasonKind, Unknown, Verdict
from tdpcheck.examples import counter


def attempted(search: Callable[[Attempt], Verdict | None], heard: list[int]) -> Verdict:
    subject = counter.system, Geometry({})
    return Attempt("toy", subject, counter.stays_within_the_limit, Clock(60), heard.append).answer(search)


def test_a_clock_without_a_limit_is_never_up() -> None:
    clock = Clock(None, time.monotonic() - 1e6)

    clock.check()

    assert (None, None, False) == (clock.left, clock.milliseconds(), clock.is_up)
    assert clock is clock.longer(3)


def test_a_clock_counts_from_when_it_was_started() -> None:
    started = time.monotonic() - 10

    assert Clock(5, started).is_up
    assert Clock(5, started).left == 0
    with pytest.raises(OutOfTime, match=TIME_IS_UP.text):
        Clock(5, started).check()
    with pytest.raises(OutOfTime, match=TIME_IS_UP.text):
        Clock(5, started).milliseconds()
    longer = Clock(5, started).longer(3600)
    assert not longer.is_up
    assert 0 < (longer.milliseconds() or 0) <= 3_595_000


GAVE_UP = Reason(ReasonKind.SOLVER_GAVE_UP, "incomplete")


@pytest.mark.parametrize(("end", "why"), [(OutOfTime(GAVE_UP), GAVE_UP), (OutOfTime(), TIME_IS_UP), (KeyboardInterrupt(), INTERRUPTED)])
def test_an_end_before_its_time_says_how_far_it_came(end: BaseException, why: Reason) -> None:
    """No depth is told twice, and none that is less than one before."""

    def search(attempt: Attempt) -> None:
        for depth in (0, 4, 4, 2):
            attempt.nothing_within(depth)
        raise end

    heard: list[int] = []
    verdict = attempted(search, heard)

    assert isinstance(verdict, Unknown)
    assert (why, "toy", 4, [0, 4]) == (verdict.why, verdict.engine, verdict.depth, heard)


def test_a_search_that_finds_nothing_holds_as_far_as_it_looked() -> None:
    verdict = attempted(lambda attempt: attempt.nothing_within(7), [])

    assert isinstance(verdict, HoldsUpTo)
    assert (7, "toy", None) == (verdict.depth, verdict.engine, verdict.states)
