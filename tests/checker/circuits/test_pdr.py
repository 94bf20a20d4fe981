"""PDR and k-induction beyond the toys: bounds, time, interrupts, shared initial states, threads, and what a proof carries."""

from __future__ import annotations

import os
import subprocess

import pytest
import z3

from tdpcheck.checker.circuits import pdr as pdr_module
from tdpcheck.checker.circuits.inductive import check_inductive
from tdpcheck.checker.circuits.kinduction import k_induction
from tdpcheck.checker.circuits.pdr import pdr
from tdpcheck.checker.circuits.sat import Sat
from tdpcheck.checker.clock import Clock
from tdpcheck.checker.states.explore import explore
from tdpcheck.core.errors import EngineError
from tdpcheck.core.ground import ground
from tdpcheck.core.shape import subterms
from tdpcheck.core.sorts import BOOL, Geometry, Sort, StateVar, Word
from tdpcheck.core.system import Action, Param, Property, TransitionSystem, Update, set_at, truth
from tdpcheck.core.trace import Trace, replays
from tdpcheck.core.verdict import HoldsUpTo, Proved, Unknown, Violated
from tdpcheck.examples import counter, mutex, table_cache
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import build, parse_source, shipped_source
from tdpcheck.properties import PROPERTIES
from tdpcheck.tests.few import drawn

both = pytest.mark.parametrize("engine", [pdr, k_induction], ids=["pdr", "k-induction"])
TABLE = (table_cache.system, Geometry({"Page": 2, "Device": 2, "Thread": 2}))
LIMIT = counter.stays_within_the_limit


@both
@pytest.mark.parametrize("solver", ["minisat22", "glucose4", "cadical153"])
def test_any_solver_will_do(engine: type, solver: str) -> None:
    """Those that can be stopped in the middle of a question, and one that cannot."""
    good = engine((mutex.system, Geometry({"Thread": 3})), mutex.one_inside, 8, solver=solver)
    broken = engine((mutex.broken, Geometry({"Thread": 3})), mutex.one_inside, 8, solver=solver)

    assert isinstance(good, Proved)
    assert isinstance(broken, Violated)
    assert 4 == broken.depth


@both
def test_a_bound_that_is_too_small_is_said(engine: type) -> None:
    """The violation is at depth 11: up to 10 nothing is bad, and no more is claimed."""
    reached: list[int] = []
    verdict = engine((counter.broken, Geometry({})), LIMIT, 5, progress=reached.append)

    assert HoldsUpTo(5, verdict.engine, seconds=verdict.seconds) == verdict
    assert [1, 2, 3, 4, 5] == [depth for depth in reached if depth > 0]


@both
def test_without_time_nothing_is_claimed(engine: type) -> None:
    """Unknown keeps its reason."""
    verdict = engine(TABLE, table_cache.no_stale_cache, 50, seeds=(), timeout=0.0)

    assert isinstance(verdict, Unknown)
    assert ("the time is up", -1) == (verdict.reason, verdict.depth)


@both
def test_an_interrupt_answers_with_what_is_known(engine: type) -> None:
    """A person who stops the search keeps its bound."""

    def stop(depth: int) -> None:
        if depth >= 2:
            raise KeyboardInterrupt

    verdict = engine((counter.broken, Geometry({})), LIMIT, 50, progress=stop)

    assert isinstance(verdict, Unknown)
    assert ("interrupted", 2) == (verdict.reason, verdict.depth)


def test_an_interrupt_in_the_middle_of_a_question_arrives_and_leaves_nothing_broken() -> None:
    """Python-sat alone would raise an error of its own and swallow the next interrupt."""
    holes = 11
    clauses = [[i * holes + j + 1 for j in range(holes)] for i in range(holes + 1)]
    clauses += [[-(i * holes + j + 1), -(k * holes + j + 1)] for j in range(holes) for i in range(holes + 1) for k in range(i)]
    for _ in range(2):
        sat = Sat("glucose4", clauses, Clock(60))
        with subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -INT {os.getpid()}"]), pytest.raises(KeyboardInterrupt):
            sat.ask([])


low, high, running = StateVar("low", (), Word(3)), StateVar("high", (), Word(3)), StateVar("running", (), BOOL)
between = TransitionSystem(
    "between",
    (),
    (low, high, running),
    (Update(running, (), truth(False)),),
    (
        Action("begin", "somebody", (), truth(True), (Update(running, (), truth(True)),)),
        Action("narrow", "somebody", (), z3.And(running(), z3.ULT(low() + 1, high())), (Update(low, (), low() + 1),)),
        Action("shift", "somebody", (), z3.And(running(), z3.ULT(high(), 7)), (Update(low, (), low() + 1), Update(high, (), high() + 1))),
    ),
    constraint=z3.And(z3.ULT(low(), high()), z3.Not(z3.And(low() == 0, high() == 7))),
)
ordered = Property("ordered", "The low one stays below the high one.", z3.ULT(low(), high()))
never_far = Property("never_far", "They are never six apart.", high() - low() != 6)
never_top = Property("never_top", "Nothing reaches 6 and 7.", z3.Not(z3.And(low() == 6, high() == 7)))


@both
def test_an_initial_condition_over_several_cells_is_kept(engine: type) -> None:
    """The first step of the circuit looks for an initial state: it counts for nothing, and no clause is about it alone."""
    good = engine((between, Geometry({})), ordered, 20)
    start = engine((between, Geometry({})), never_far, 20)
    later = engine((between, Geometry({})), Property("p", "", z3.Or(z3.Not(running()), never_top.holds)), 20)

    assert isinstance(good, Proved)
    assert () == check_inductive(ground(between, Geometry({})), ordered, good.invariant)
    assert isinstance(start, Violated)
    assert (0, True) == (start.depth, start.shortest)
    assert isinstance(later, Violated)
    assert later.depth == explore(between, Geometry({}), Property("p", "", z3.Or(z3.Not(running()), never_top.holds))).verdict.depth  # type: ignore[union-attr]


@both
def test_a_run_that_does_not_replay_is_an_error(engine: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong trace is caught by plain evaluation, whatever the search believed."""
    monkeypatch.setattr("tdpcheck.checker.circuits.circuit.replays", lambda *_: False)
    with pytest.raises(EngineError, match="does not end in a violation when replayed"):
        engine((counter.broken, Geometry({})), LIMIT, 20)


def test_a_proof_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that calls everything unreachable is caught by the check of its invariant."""
    monkeypatch.setattr(pdr_module._Search, "up_to", lambda *_: ([], None))
    with pytest.raises(EngineError, match="pdr: what it found for stays_within_the_limit is no inductive invariant"):
        pdr((counter.broken, Geometry({})), LIMIT)


def test_the_invariant_speaks_of_cells_alone() -> None:
    """In the model's own names, so that a certificate stands by itself."""
    grounded = ground(*TABLE)
    verdict = pdr(grounded, table_cache.no_stale_cache, seeds=())
    names = {cell.name for cell in grounded.cells}

    assert isinstance(verdict, Proved)
    for clause in verdict.invariant:
        assert names >= {t.decl().name() for t in subterms(clause) if z3.is_const(t) and t.decl().kind() == z3.Z3_OP_UNINTERPRETED}


Thread, Place = Sort("Thread"), Sort("Place", ("outside", "asking", "inside", "leaving"))
pc, lock = StateVar("pc", (Thread,), Place), StateVar("lock", (), BOOL)
t, u = Thread.const("t"), Thread.const("u")


def moves(name: str, start: str, end: str, guard: z3.BoolRef, *updates: Update) -> Action:
    return Action(
        name,
        "thread",
        (Param("t", Thread),),
        z3.And(pc(t) == Place.element(start), guard),
        (set_at(pc, (t,), Place.element(end)), *updates),
    )


one_lock = TransitionSystem(
    "one_lock",
    (Thread, Place),
    (pc, lock),
    (Update(pc, pc.variables(), Place.element("outside")), Update(lock, (), truth(False))),
    (
        moves("ask", "outside", "asking", truth(True)),
        moves("enter", "asking", "inside", z3.Not(lock()), Update(lock, (), truth(True))),
        moves("finish", "inside", "leaving", truth(True)),
        moves("leave", "leaving", "outside", truth(True), Update(lock, (), truth(False))),
    ),
)
held = Property("held_inside", "Who is inside holds the lock.", z3.ForAll([t], z3.Implies(pc(t) == Place.element("inside"), lock())))


def test_a_clause_that_one_thread_is_enough_for_mentions_one_thread() -> None:
    """That the lock is held while anybody is inside or leaving needs the pair, but no clause needs a third thread."""
    verdict = pdr((one_lock, Geometry({"Thread": 4})), held)

    assert isinstance(verdict, Proved)
    for clause in verdict.invariant:
        owners = {t.decl().name() for t in subterms(clause) if z3.is_const(t) and t.decl().name().startswith("pc[")}
        assert len(owners) <= 2


def test_a_small_scenario_is_proved() -> None:
    """Kernel C, without a lemma."""
    scenario = shipped_scenarios()["noncoherent-export"]
    made = build(scenario, parse_source(shipped_source(scenario.design)))
    verdict = pdr(ground(made.system, made.geometry), PROPERTIES["root_liveness"])

    assert isinstance(verdict, Proved)


@pytest.mark.parametrize("name", drawn(["notifier-vs-fault", "eager-split", "two-notifiers", "linux-6.1-collapse"], 2))
def test_a_scenario_of_several_threads_is_decided(name: str) -> None:
    """Each expected verdict that the machine's properties are asked for, at every depth, in seconds."""
    scenario = shipped_scenarios()[name]
    made = build(scenario, parse_source(shipped_source(scenario.design)))
    grounded = ground(made.system, made.geometry)
    for prop, expected in scenario.expect.items():
        if prop in PROPERTIES:
            verdict = pdr(grounded, PROPERTIES[prop], timeout=600)
            assert isinstance(verdict, Proved if expected == "holds" else Violated), (prop, verdict)
            if isinstance(verdict, Violated):
                assert isinstance(verdict.trace, Trace)
                assert replays(verdict.trace, PROPERTIES[prop])
