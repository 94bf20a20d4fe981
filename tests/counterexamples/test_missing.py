"""Where a flush is missing is what executing the run with one says, and nothing else. What that finds is borne out in `test_causes`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import pytest

from tdpcheck.core.evaluation.evaluate import Evaluator, State
from tdpcheck.counterexamples.document import to_trace
from tdpcheck.counterexamples.scenes import scenes
from tdpcheck.counterexamples.why.missing_flush import Gap, find
from tdpcheck.counterexamples.why.schedule import Scheduler
from tdpcheck.tests.counterexamples.planted import FAULTS, SHOWN

CEX = FAULTS[SHOWN].kept


@dataclass
class Answers:
    """A scheduler that says so."""

    good: set[int]

    def passes_with(self, place: int, more: Callable[[State], State]) -> bool:
        return place in self.good


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    model = FAULTS[SHOWN].model()
    return Evaluator(model.system, model.geometry)


@pytest.mark.parametrize(
    ("good", "gap"),
    [({4, 5, 6}, (4, 7)), ({5, 6}, (5, 7)), ({4, 5}, (4, 6)), ({4, 6}, (6, 7)), ({1, 2, 3}, None), (set(), None)],
)
@pytest.mark.slow
def test_the_window_is_where_a_flush_helps(good: set[int], gap: tuple[int, int] | None, evaluator: Evaluator) -> None:
    """The zap is step 4 of 7. Of two windows the later one counts; before the zap a flush is none, whatever it would do."""
    found = find(cast(Scheduler, Answers(good)), CEX.violation, scenes(CEX), evaluator)

    assert (None if gap is None else Gap(*gap, "a complete IOTLB invalidation of gfn 0")) == found


def test_a_run_with_nothing_put_in_still_violates_the_property(evaluator: Evaluator) -> None:
    """Else anything would be called a cause."""
    model = FAULTS[SHOWN].model()
    trace = to_trace(CEX, model, evaluator)
    scheduler = Scheduler(model, trace, FAULTS[SHOWN].property_of(model), [s.actor for s in CEX.steps], evaluator)

    assert not any(scheduler.passes_with(n, lambda state: state) for n in range(CEX.depth + 1))
