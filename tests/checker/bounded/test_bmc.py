"""Bounded model checking: only explicit answers count, and no model is believed."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import z3

from tdpcheck.checker.bounded.bmc import bmc, reach
from tdpcheck.core.errors import EngineError
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.ground import ground
from tdpcheck.core.sorts import BOOL, Geometry, StateVar, Word
from tdpcheck.core.system import Action, Property, TransitionSystem, Update, truth
from tdpcheck.core.verdict import HoldsUpTo, Unknown, Violated
from tdpcheck.examples import counter, table_cache, traffic_light

TWO_ROADS = Geometry({"Road": 2})

# Multiplication makes every bounded question hard: a system on which the solver is still busy when the time is up.
_x, _y, _done = StateVar("x", (), Word(40)), StateVar("y", (), Word(40)), StateVar("done", (), BOOL)
_factor = z3.And(z3.ZeroExt(40, _x()) * z3.ZeroExt(40, _y()) == 1000000016000000063, z3.UGT(_x(), 1), z3.UGT(_y(), 1))
_solve = Action("solve", "any", (), _factor, (Update(_done, (), truth(True)),))
HARD = TransitionSystem("hard", (), (_x, _y, _done), (Update(_done, (), truth(False)),), (_solve,))
UNSOLVED = Property("unsolved", "Nobody factors it.", z3.Not(_done()))


def test_a_bound_below_the_violation_holds_up_to_the_bound() -> None:
    """A counter fails at eleven steps, in the second question: ten steps are fine."""
    geometry = Geometry({})
    shallow, deep = (bmc((counter.broken, geometry), counter.stays_within_the_limit, depth) for depth in (10, 11))

    assert isinstance(shallow, HoldsUpTo)
    assert 10 == shallow.depth
    assert isinstance(deep, Violated)
    assert (11, True) == (deep.depth, deep.shortest)


def test_a_violation_in_the_initial_state_is_found_at_depth_zero() -> None:
    """The shortest run has no step at all."""
    prop = Property("never_red", "No light is red.", z3.Not(traffic_light.one_road_drives.holds))
    verdict = bmc((traffic_light.system, TWO_ROADS), prop, 0)

    assert isinstance(verdict, Violated)
    assert (0, True) == (verdict.depth, verdict.shortest)


def test_a_grounded_system_is_as_good_as_a_system_and_its_geometry() -> None:
    """Who grounded already need not do so again."""
    grounded = ground(traffic_light.broken, TWO_ROADS)
    verdict = bmc(grounded, traffic_light.one_road_drives, 5)

    assert isinstance(verdict, Violated)
    assert ("green", "yellow", "green") == verdict.trace.actions


def test_progress_is_told_depth_by_depth() -> None:
    """Who waits wants to see how far it got."""
    told: list[int] = []
    bmc((traffic_light.system, TWO_ROADS), traffic_light.one_road_drives, 20, progress=told.append)

    assert [8, 16, 20] == told


def test_no_time_is_unknown_at_no_depth() -> None:
    """Nothing was asked, so nothing is known."""
    verdict = bmc((traffic_light.system, TWO_ROADS), traffic_light.one_road_drives, 5, timeout=0)

    assert isinstance(verdict, Unknown)
    assert (-1, "the time is up") == (verdict.depth, verdict.reason)


def test_the_time_is_kept() -> None:
    """A hard question ends when its time does, and says so."""
    started = time.monotonic()
    verdict = bmc((HARD, Geometry({})), UNSOLVED, 5, timeout=0.5)

    assert isinstance(verdict, Unknown)
    assert "the time is up" == verdict.reason
    assert time.monotonic() - started < 20


def test_an_interrupt_answers_with_what_is_known() -> None:
    """Control-C ends the search, not the program."""
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        verdict = bmc((HARD, Geometry({})), UNSOLVED, 5, timeout=60)
    finally:
        timer.join()

    assert isinstance(verdict, Unknown)
    assert "interrupted" == verdict.reason


def test_a_solver_that_gives_up_is_never_taken_for_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is "not sat" need not be "unsat": the depth finished before stays the answer."""
    asked = iter([z3.unsat])
    monkeypatch.setattr(z3.Solver, "check", lambda self, *_: next(asked, z3.unknown))
    monkeypatch.setattr(z3.Solver, "reason_unknown", lambda self: "incomplete")
    verdict = bmc((traffic_light.system, TWO_ROADS), traffic_light.one_road_drives, 20)

    assert isinstance(verdict, Unknown)
    assert (8, "the solver gave up: incomplete") == (verdict.depth, verdict.reason)


def test_time_that_runs_out_while_shortening_leaves_the_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found stays found; only that it is shortest is not known."""
    real, asked = z3.Solver.check, []

    def check(self: z3.Solver, *terms: z3.BoolRef) -> z3.CheckSatResult:
        asked.append(self)
        return real(self, *terms) if len(asked) == 1 else z3.unknown

    monkeypatch.setattr(z3.Solver, "check", check)
    monkeypatch.setattr(z3.Solver, "reason_unknown", lambda self: "timeout")
    verdict = bmc((traffic_light.broken, TWO_ROADS), traffic_light.one_road_drives, 8)

    assert isinstance(verdict, Violated)
    assert verdict.shortest is None


@pytest.mark.parametrize(("lie", "complaint"), [("enabled", "replay: step 1, .* is not enabled"), ("holds", "end in a violation")])
def test_a_run_that_does_not_replay_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch, lie: str, complaint: str) -> None:
    """When solver and evaluator differ, there is no answer to give."""
    monkeypatch.setattr(Evaluator, lie, lambda *_: lie == "holds")

    with pytest.raises(EngineError, match=f"bmc: the run that the solver found for one_road_drives does not {complaint}"):
        bmc((traffic_light.broken, TWO_ROADS), traffic_light.one_road_drives, 8)


def test_goals_are_reached_by_shortest_runs_or_out_of_reach_up_to_a_depth() -> None:
    """Coverage and premises ask this."""
    geometry = Geometry({"Page": 2, "Device": 1, "Thread": 1})
    stale = z3.Not(table_cache.no_stale_cache.holds)
    found = reach((table_cache.system, geometry), {"premise": table_cache.no_stale_cache.premise, "stale": stale, "start": truth(True)}, 9)

    assert {"premise": 3, "stale": None, "start": 0} == {name: goal.depth for name, goal in found.items()}
    assert ("map_page", "fill", "zap") == getattr(found["premise"].trace, "actions", ())
    assert (True, 9) == (found["premise"].shortest, found["stale"].refuted)


def test_a_goal_that_there_was_no_time_for_says_so() -> None:
    """No trace and no reason would read as "out of reach"."""
    found = reach((traffic_light.system, TWO_ROADS), {"premise": traffic_light.one_road_drives.premise}, 5, timeout=0)["premise"]

    assert (None, -1, "the time is up") == (found.trace, found.refuted, str(found.reason))


def test_an_interrupt_ends_the_search_for_all_goals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who presses Control-C does not want the next goal instead."""
    asked: list[z3.Solver] = []

    def check(self: z3.Solver) -> z3.CheckSatResult:
        asked.append(self)
        return z3.unknown

    monkeypatch.setattr(z3.Solver, "check", check)
    monkeypatch.setattr(z3.Solver, "reason_unknown", lambda self: "interrupted from keyboard")
    goals = dict.fromkeys(("first", "second"), traffic_light.one_road_drives.premise)
    found = reach((traffic_light.system, TWO_ROADS), goals, 5)

    assert {"first": "interrupted", "second": "interrupted"} == {name: str(goal.reason) for name, goal in found.items()}
    assert 1 == len(asked)


@pytest.mark.parametrize("depth", range(20))
def test_a_violation_is_found_at_its_depth_wherever_the_questions_are_cut(depth: int) -> None:
    """What the first question refuted must not hide what lies one step beyond it."""
    never = Property("never", f"The counter never reads {depth}.", counter.count() != depth)
    endless = counter.counter("endless", truth(True))
    found, missed = (bmc((endless, Geometry({})), never, bound) for bound in (20, depth - 1))

    assert isinstance(found, Violated)
    assert (depth, True) == (found.depth, found.shortest)
    assert depth == 0 or (isinstance(missed, HoldsUpTo) and missed.depth == depth - 1)
