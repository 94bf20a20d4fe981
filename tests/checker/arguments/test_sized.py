"""What an argument misses is found at a small size, and no solver is believed: each step is taken by plain evaluation."""

from __future__ import annotations

import pytest

from tdpcheck.checker.arguments.sized import SizedArgument
from tdpcheck.checker.clock import Clock, OutOfTime
from tdpcheck.core.errors import EngineError
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.sorts import Geometry
from tdpcheck.core.system import TransitionSystem
from tdpcheck.examples import table_cache

SIZE = Geometry({"Page": 2, "Device": 2, "Thread": 2})
STALE = table_cache.no_stale_cache


def argument(system: TransitionSystem = table_cache.system) -> SizedArgument:
    return SizedArgument(system, SIZE, [STALE], STALE.lemmas, Clock())


def test_a_whole_argument_misses_nothing() -> None:
    assert [] == list(argument().without())


def test_a_step_that_lost_its_flush_is_named_with_what_it_breaks() -> None:
    """The argument is the same, the system is not."""
    found = [(m.action.name, m.lemma) for m in argument(table_cache.broken).without()]

    assert ("give_back", "cached_is_mapped_or_owed") in found


def test_each_lemma_that_is_left_out_is_missed_by_what_breaks_without_it() -> None:
    """All else holds before the step, and what is named does not hold after it; one lemma is a comfort to the reader."""
    whole = argument()
    holds = {STALE.name: STALE.holds} | {x.name: x.holds for x in STALE.lemmas}
    evaluator = Evaluator(table_cache.system, SIZE)
    missed = {}
    for left_out in whole.lemmas:
        found = list(whole.without(left_out))
        missed[left_out] = {m.lemma for m in found}
        for m in found:
            after = evaluator.after(m.action, m.arguments, m.state)
            assert evaluator.enabled(m.action, m.arguments, m.state)
            assert all(evaluator.holds(term, m.state) for name, term in holds.items() if name != left_out)
            assert not evaluator.holds(holds[m.lemma], after)

    assert {"no_stale_cache", "owed_is_unmapped", "target_is_unmapped"} == missed["mapped_is_used"]
    assert ["owed_is_unmapped"] == [name for name, each in missed.items() if not each]


def test_what_is_not_asked_is_not_answered() -> None:
    whole = argument()
    everything = [m.lemma for m in whole.without("mapped_is_used")]

    assert len(everything) > 1
    assert everything[:1] == [m.lemma for m in whole.without("mapped_is_used", asked=everything[:1])]


def test_an_answer_that_evaluation_does_not_share_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever made the mistake, it must not be told as a counterexample."""
    whole = argument()
    monkeypatch.setattr(Evaluator, "holds", lambda *_: True)

    with pytest.raises(EngineError, match="by evaluation it breaks none, and before it everything holds"):
        next(whole.without("mapped_is_used"))


def test_time_that_is_up_is_said() -> None:
    with pytest.raises(OutOfTime):
        list(SizedArgument(table_cache.system, SIZE, [STALE], STALE.lemmas, Clock(0)).without())
