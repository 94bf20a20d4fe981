"""Random walks: quick to find, honest about finding nothing, and the same again for the same seed."""

from __future__ import annotations

import pytest
import z3

from tdpcheck.checker.bounded.bmc import bmc
from tdpcheck.checker.states.explore import reachable
from tdpcheck.checker.states.moves import Moves
from tdpcheck.checker.states.walk import shorten, walk
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.sorts import BOOL, Geometry, Sort, StateVar
from tdpcheck.core.system import Action, Property, TransitionSystem, Update, truth
from tdpcheck.core.trace import replays, run
from tdpcheck.core.verdict import Unknown, Violated
from tdpcheck.examples import table_cache, traffic_light
from tdpcheck.tests.random_systems import GEOMETRY, random_system
from tdpcheck.tests.toys import TOYS, Toy

_colour = Sort("Colour", ("red", "green", "blue"))
_b, _c = StateVar("b", (), BOOL), StateVar("c", (), _colour)
TABLE = Geometry({"Page": 2, "Device": 2, "Thread": 2})


def test_the_same_seed_walks_the_same_way() -> None:
    """A finding that cannot be found again is no finding."""
    first, again, other = (
        walk(table_cache.broken, TABLE, table_cache.no_stale_cache, seed=seed, timeout=None, stop=False, walks=20) for seed in (3, 3, 4)
    )

    assert isinstance(first.verdict, Violated)
    assert isinstance(again.verdict, Violated)
    assert first.verdict.trace.states == again.verdict.trace.states
    assert first.coverage.fired == again.coverage.fired
    assert first.coverage.fired != other.coverage.fired


def test_walks_say_which_actions_fired_and_which_goals_were_met() -> None:
    """Coverage tells a scenario that does nothing from one that is safe."""
    goals = {"premise": table_cache.no_stale_cache.premise, "stale": z3.Not(table_cache.no_stale_cache.holds)}
    walked = walk(table_cache.system, TABLE, table_cache.no_stale_cache, goals=goals, walks=100, timeout=None)

    assert () == walked.coverage.never_fired
    assert {"premise": 3, "stale": None} == walked.coverage.depths
    assert 100 == walked.coverage.walks
    assert walked.coverage.steps == sum(walked.coverage.fired.values())
    met = walked.coverage.goals["premise"]
    assert met is not None
    assert replays(met, Property("never", "", z3.Not(goals["premise"])))


def test_an_action_that_cannot_fire_is_listed() -> None:
    """It is in the system, so it is in the coverage."""
    flag = StateVar("flag", (), BOOL)
    steps = (Action("go", "any", (), truth(True), ()), Action("never", "any", (), flag(), ()))
    system = TransitionSystem("idle", (), (flag,), (Update(flag, (), truth(False)),), steps)

    assert ("never",) == walk(system, Geometry({}), Property("true", "", truth(True)), walks=3).coverage.never_fired


def test_an_end_to_the_time_is_unknown_with_that_reason() -> None:
    """Walks have no bound to report."""
    verdict = walk(traffic_light.system, Geometry({"Road": 2}), traffic_light.one_road_drives, walks=10**9, timeout=0.05).verdict

    assert isinstance(verdict, Unknown)
    assert "the time is up" in verdict.reason


@pytest.mark.parametrize("toy", [toy for toy in TOYS if toy.violated is not None], ids=lambda toy: toy.name)
def test_shortening_leaves_a_violation_without_idle_steps(toy: Toy) -> None:
    """A run padded with other steps comes back to one in which no single step can be left out."""
    walked = walk(toy.system, toy.geometry, toy.prop, seed=1, timeout=None, walks=400).verdict
    assert isinstance(walked, Violated)
    short = walked.trace
    evaluator = Evaluator(toy.system, toy.geometry)

    assert replays(short, toy.prop)
    assert short.states == shorten(short, toy.prop).states
    for left_out in range(short.depth):
        rest = [(s.action, s.arguments) for n, s in enumerate(short.steps) if n != left_out]
        state = short.initial
        for action, arguments in rest:
            if evaluator.enabled(action, arguments, state):
                state = evaluator.after(action, arguments, state)
                assert evaluator.holds(toy.prop.holds, state), f"step {left_out + 1} was not needed"


def test_shortening_drops_what_does_not_matter() -> None:
    """A second road that drives around in between has nothing to do with the accident."""
    system, geometry = traffic_light.broken, Geometry({"Road": 3})
    evaluator = Evaluator(system, geometry)
    (initial,) = evaluator.initial()
    steps = [("green", 2), ("yellow", 2), ("red", 2), ("green", 0), ("yellow", 0), ("green", 1)]
    trace = run(evaluator, initial, [(system.action(name), (road,)) for name, road in steps])

    short = shorten(trace, traffic_light.one_road_drives)

    assert ("green(0)", "yellow(0)", "green(1)") == tuple(step.name for step in short.steps)


@pytest.mark.parametrize("seed", range(10))
def test_filing_moves_leaves_out_none_that_is_enabled(seed: int) -> None:
    """The quick way to the enabled moves of a state is also right, in every reachable state."""
    system = random_system(seed)
    moves = Moves(Evaluator(system, GEOMETRY))
    states, _ = reachable(system, GEOMETRY, max_states=300)
    for state in states:
        enabled = [(m.action.name, m.arguments) for m in moves.all if m.guard(state)]

        assert sorted(enabled) == sorted((m.action.name, m.arguments) for m in moves.enabled(state))


@pytest.mark.parametrize(
    ("guard", "enabled"),
    [
        (z3.Not(_c() == _colour.element("red")), [1, 2, 4, 5]),
        (_colour.element("red") == _c(), [0, 3]),
        (z3.And(_b(), z3.Not(_c() == _colour.element("green"))), [3, 5]),
        (z3.Not(_b()), [0, 1, 2]),
        (_b() == z3.BoolVal(False), [0, 1, 2]),
        (z3.And(_c() == _colour.element("red"), _c() == _colour.element("blue")), []),
        (_c() == _c(), [0, 1, 2, 3, 4, 5]),
    ],
    ids=str,
)
def test_what_a_guard_asks_of_a_cell_is_read_rightly(guard: z3.BoolRef, enabled: list[int]) -> None:
    """Equal, not equal, set, not set, either way round: filed under the wrong value, a move would be lost."""
    system = TransitionSystem("asks", (_colour,), (_b, _c), (), (Action("go", "any", (), guard, ()),))
    moves = Moves(Evaluator(system, Geometry({})))

    assert sorted(enabled) == [3 * b + c for b in range(2) for c in range(3) if moves.enabled((b, c))]


def test_filing_moves_by_what_their_guard_asks_spares_most_of_the_work() -> None:
    """A thread that is not where an action starts is not asked about it."""
    evaluator = Evaluator(table_cache.system, TABLE)
    moves = Moves(evaluator)
    state = next(evaluator.initial())

    assert len(moves.candidates(state)) < len(moves.all) / 2


def test_a_walk_is_never_shorter_than_the_shortest_run() -> None:
    """The walk's claim is a run; that none is shorter is for others to say."""
    shortest = bmc((table_cache.broken, TABLE), table_cache.no_stale_cache, 8)
    walked = walk(table_cache.broken, TABLE, table_cache.no_stale_cache, timeout=None).verdict

    assert isinstance(shortest, Violated)
    assert isinstance(walked, Violated)
    assert shortest.depth <= walked.depth
