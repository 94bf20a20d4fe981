"""The unrolling: a step of the solver is a step of the plain semantics, and every state has one."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import z3

from tdpcheck.checker.bounded.unroller import Unroller, check_total, read
from tdpcheck.core.evaluation.evaluate import Evaluator, State
from tdpcheck.core.ground import GroundSystem, ground
from tdpcheck.core.sorts import Geometry
from tdpcheck.examples import table_cache, traffic_light
from tdpcheck.tests.random_systems import GEOMETRY, random_state, random_system

THREE_ROADS = Geometry({"Road": 3})


def _state(grounded: GroundSystem, state: State, evaluator: Evaluator) -> list[z3.BoolRef]:
    values = dict(zip((c.name for c in evaluator.layout.cells), state, strict=True))
    return [v == (bool(values[c.name]) if z3.is_bool(v) else values[c.name]) for c in grounded.cells for v in [grounded.variable(c)]]


@pytest.mark.parametrize("seed", range(10))
def test_the_successors_of_a_state_are_those_of_plain_evaluation(seed: int) -> None:
    """All of them and no others, the state itself among them: stutter."""
    rng = random.Random(seed)
    system = random_system(seed)
    grounded, evaluator = ground(system, GEOMETRY, fold=False), Evaluator(system, GEOMETRY)
    unroller = Unroller(grounded)
    moves = list(evaluator.moves())
    for _ in range(3):
        state = random_state(rng, evaluator)
        solver = z3.Solver()
        solver.add(unroller.transition(5), *(unroller.at(fact, 5) for fact in _state(grounded, state, evaluator)))
        after = [unroller.at(grounded.variable(c), 6) for c in grounded.cells]
        found = set()
        while solver.check() == z3.sat:
            values = tuple(read(solver.model(), after))
            found.add(values)
            solver.add(z3.Or([t != (bool(v) if z3.is_bool(t) else v) for t, v in zip(after, values, strict=True)]))

        assert {move.apply(state) for move in moves if move.guard(state)} | {state} == found


def test_a_term_is_placed_at_its_step_and_nowhere_else() -> None:
    """The same term at two steps speaks of different states."""
    grounded = ground(traffic_light.system, THREE_ROADS)
    unroller = Unroller(grounded)
    light = grounded.variable(grounded.cells[0])
    solver = z3.Solver()

    assert z3.sat == solver.check(unroller.at(light == 1, 0), unroller.at(light == 2, 1))
    assert z3.unsat == solver.check(unroller.at(light == 1, 0), unroller.at(light == 2, 0))


def test_the_initial_states_of_the_unrolling_are_those_of_the_evaluator() -> None:
    """Cells without an initial value take every value that exists, and no spare bit pattern."""
    geometry = Geometry({"Page": 3, "Device": 1, "Thread": 2})
    grounded, evaluator = ground(table_cache.system, geometry), Evaluator(table_cache.system, geometry)
    unroller = Unroller(grounded)
    cells = [unroller.at(grounded.variable(c), 0) for c in grounded.cells]
    solver = z3.Solver()
    solver.add(unroller.initial())
    found = set()
    while solver.check() == z3.sat:
        values = tuple(read(solver.model(), cells))
        found.add(values)
        solver.add(z3.Or([t != (bool(v) if z3.is_bool(t) else v) for t, v in zip(cells, values, strict=True)]))

    assert set(evaluator.initial()) == found


def test_values_are_read_from_a_model_together() -> None:
    """Truth values and words of several widths keep their places."""
    a, b, c = z3.Bool("a"), z3.BitVec("b", 7), z3.BitVec("c", 64)
    solver = z3.Solver()
    solver.add(a, b == 77, c == 2**63 + 5)
    assert z3.sat == solver.check()

    assert [1, 77, 2**63 + 5, 1] == read(solver.model(), [a, b, c, a])
    assert [] == read(solver.model(), [])


def test_a_step_out_of_the_geometry_is_reported() -> None:
    """Three roads take two bits, and the fourth pattern is no road."""
    grounded = ground(traffic_light.system, THREE_ROADS)
    action = grounded.actions[0]
    wild = replace(action, after={grounded.cells[0]: z3.BitVecVal(3, 2)})

    assert ("green(0) can give a cell a value outside the geometry (Road=3)",) == check_total(
        replace(grounded, actions=(wild, *grounded.actions[1:]))
    )


def test_a_state_without_a_successor_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the stutter a dead end would make what lies beyond it look safe."""
    grounded = ground(traffic_light.broken, THREE_ROADS)
    whole = Unroller.__dict__["choice"].func
    monkeypatch.setattr(Unroller, "choice", property(lambda self: z3.And(whole(self), z3.ULT(self.selector, self.stutter))))

    assert () == check_total(grounded), "every state of the lights has a step that is no stutter"
    assert ("some state has no successor, not even the stutter",) == check_total(replace(grounded, actions=grounded.actions[:1]))
