"""Of the shortest violations the plainest is told, always the same one; every run is enumerated here to be sure of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from tdpcheck.checker.states.explore import explore
from tdpcheck.checker.states.minimal import plainest, violations
from tdpcheck.core.evaluation.evaluate import Evaluator, Move, State
from tdpcheck.core.trace import Trace, replays
from tdpcheck.core.verdict import Violated
from tdpcheck.counterexamples.document import actor_of
from tdpcheck.model.system import Model
from tdpcheck.tests.counterexamples.planted import FAULTS

EACH = pytest.mark.parametrize("name", ["register-unchecked", pytest.param("skip-invalid-roots", marks=pytest.mark.slow)])


def cost(model: Model, moves: list[tuple[str, bool]]) -> tuple[int, int]:
    names = [name for name, _ in moves]
    return sum(a != b for a, b in pairwise(names)), sum(machine for _, machine in moves)


def all_runs(evaluator: Evaluator, moves: list[Move], state: State, depth: int) -> Iterator[tuple[list[Move], State]]:
    if depth == 0:
        yield [], state
        return
    for move in moves:
        if move.guard(state):
            for rest, last in all_runs(evaluator, moves, move.apply(state), depth - 1):
                yield [move, *rest], last


@EACH
def test_no_shortest_violation_is_plainer(name: str) -> None:
    """Fewest changes of actor, then fewest steps of the machine, among all runs of that length."""
    fault = FAULTS[name]
    model = fault.model()
    prop = fault.property_of(model)
    evaluator = Evaluator(model.system, model.geometry)
    shortest = explore(model.system, model.geometry, prop).verdict
    assert isinstance(shortest, Violated)
    found = plainest(model.system, model.geometry, prop, lambda m: actor_of(model, m.action, m.arguments))
    assert found is not None
    own = cost(model, [actor_of(model, s.action, s.arguments) for s in found.steps])
    others = [
        cost(model, [actor_of(model, m.action, m.arguments) for m in moves])
        for start in evaluator.initial()
        for moves, last in all_runs(evaluator, list(evaluator.moves()), start, shortest.depth)
        if not evaluator.holds(prop.holds, last)
    ]

    assert replays(found, prop)
    assert shortest.depth == found.depth
    assert min(others) == own


@EACH
def test_every_end_of_the_runs_is_a_first_violation(name: str) -> None:
    """What comes after a violation is no violation of its own."""
    fault = FAULTS[name]
    model = fault.model()
    prop = fault.property_of(model)
    evaluator = Evaluator(model.system, model.geometry)

    def ends() -> list[Trace]:
        return list(violations(model.system, model.geometry, prop, lambda m: actor_of(model, m.action, m.arguments)))

    runs = ends()
    assert runs
    assert [t.depth for t in runs] == sorted(t.depth for t in runs)
    assert len(runs) == len({(t.states[-1], t.actions[-1]) for t in runs})
    for trace in runs:
        assert replays(trace, prop, evaluator)
        assert all(evaluator.holds(prop.holds, s) for s in trace.states[:-1])
    assert [t.states for t in runs] == [t.states for t in ends()]


def test_there_is_no_plainest_run_where_the_property_holds() -> None:
    """Nothing is made up."""
    fault = FAULTS["register-unchecked"]
    model = fault.model()
    prop = fault.property_of(model)

    assert plainest(model.system, model.geometry, prop, lambda m: actor_of(model, m.action, m.arguments), depth=2) is None
