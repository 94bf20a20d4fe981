"""Traces replay by plain evaluation, and one that was tampered with does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tdpcheck.checker.states.explore import explore
from tdpcheck.core.errors import InputError
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.system import Action, truth
from tdpcheck.core.trace import Step, Trace, misfit, replays, run
from tdpcheck.core.verdict import Violated
from tdpcheck.tests.toys import TOYS, Toy

BROKEN = [toy for toy in TOYS if toy.violated is not None]


def violation(toy: Toy) -> Trace:
    """The shortest violation of a broken toy."""
    verdict = explore(toy.system, toy.geometry, toy.prop).verdict
    assert isinstance(verdict, Violated)
    return verdict.trace


def with_last(trace: Trace, step: Step) -> Trace:
    return replace(trace, steps=(*trace.steps[:-1], step))


@pytest.mark.parametrize("toy", BROKEN, ids=lambda toy: toy.name)
def test_a_violation_replays_and_its_last_state_altered_does_not(toy: Toy) -> None:
    """A replay that accepts anything would accept a solver's mistake."""
    trace = violation(toy)
    last = trace.steps[-1]

    assert replays(trace, toy.prop)
    for place, value in enumerate(last.state):
        altered = with_last(trace, replace(last, state=(*last.state[:place], value + 1, *last.state[place + 1 :])))
        assert not replays(altered, toy.prop)
        found = misfit(altered)
        assert found is not None
        assert (trace.depth, trace.layout.cells[place].name) == (found.step, found.reason.split()[-1])


@pytest.mark.parametrize("toy", BROKEN, ids=lambda toy: toy.name)
def test_a_run_without_its_last_step_is_no_violation(toy: Toy) -> None:
    """It fits the system, but the shortest violation has no earlier one."""
    trace = violation(toy)
    shorter = replace(trace, steps=trace.steps[:-1])

    assert misfit(shorter) is None
    assert not replays(shorter, toy.prop)


def test_a_trace_of_another_start_does_not_replay() -> None:
    """The steps would fit, had the system started there."""
    trace = violation(BROKEN[0])
    elsewhere = replace(trace, initial=trace.states[1], steps=trace.steps[1:])

    found = misfit(elsewhere)
    assert found is not None
    assert (0, "the first state is not an initial state") == (found.step, found.reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"arguments": (9,)}, "arguments outside the geometry"),
        ({"arguments": (0, 0)}, "arguments outside the geometry"),
        ({"arguments": (0,)}, "the guard of green(0) does not hold: it needs "),
        ({"action": Action("teleport", "any", (), truth(True), ()), "arguments": ()}, "has no action teleport"),
        ({"state": (1,)}, "1 values for 2 cells"),
    ],
)
def test_a_forged_step_is_found_out(change: dict[str, object], reason: str) -> None:
    """Traces come from files, too: nothing in one is taken on trust, not even the guard that an action brings along."""
    trace = violation(BROKEN[0])
    found = misfit(with_last(trace, replace(trace.steps[-1], **change)))  # type: ignore[arg-type]

    assert found is not None
    assert reason in found.reason


def test_an_action_that_lies_about_its_guard_is_judged_by_the_systems_own() -> None:
    """Only the name of a step's action counts; what it does stands in the system."""
    trace = violation(BROKEN[0])
    green = trace.steps[-1].action
    liar = Action(green.name, green.actor, green.params, truth(True), ())
    stays = with_last(trace, Step(liar, trace.steps[-1].arguments, trace.states[-2]))

    assert misfit(stays) is not None


def test_a_schedule_with_a_step_that_cannot_fire_is_refused_with_its_number() -> None:
    """The number leads a user to the line."""
    toy = BROKEN[0]
    evaluator = Evaluator(toy.system, toy.geometry)
    (initial,) = evaluator.initial()
    yellow = toy.system.action("yellow")

    with pytest.raises(InputError, match="step 1, yellow"):
        run(evaluator, initial, [(yellow, (0,))])
