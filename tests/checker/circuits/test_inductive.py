"""Proposed clauses are believed only when initiation, consecution and safety were checked; a deliberately wrong one is refused."""

from __future__ import annotations

import pytest
import z3

from tdpcheck.bench import shared_table
from tdpcheck.checker.circuits.circuit import circuit
from tdpcheck.checker.circuits.inductive import Failure, check_inductive, essential, grounded_lemmas, keep_inductive, proved
from tdpcheck.checker.circuits.pdr import pdr
from tdpcheck.checker.clock import Clock, OutOfTime
from tdpcheck.checker.states.explore import reachable
from tdpcheck.core.errors import EngineError
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.ground import GroundSystem, ground
from tdpcheck.core.sorts import BOOL, Geometry, Sort, StateVar
from tdpcheck.core.system import Action, Lemma, Property, TransitionSystem, Update, truth
from tdpcheck.core.verdict import Proved
from tdpcheck.examples import counter, mutex, table_cache
from tdpcheck.tests.random_systems import GEOMETRY, random_property, random_system

SIZE = Geometry({"Page": 2, "Device": 2, "Thread": 2})
STALE = table_cache.no_stale_cache


@pytest.fixture
def table() -> GroundSystem:
    return ground(table_cache.system, SIZE)


def invariant(grounded: GroundSystem, prop: Property) -> tuple[z3.BoolRef, ...]:
    verdict = pdr(grounded, prop, seeds=())
    assert isinstance(verdict, Proved)
    return verdict.invariant


def test_the_lemmas_of_a_proof_for_every_size_are_inductive_at_one(table: GroundSystem) -> None:
    """An instantiated argument is a certificate for its size, and quickly checked."""
    lemmas = grounded_lemmas(table, STALE.lemmas)

    assert 4 < len(lemmas)
    assert () == check_inductive(table, STALE, [*lemmas, table.formula(STALE.holds)])


def test_without_a_lemma_the_step_that_needs_it_is_named(table: GroundSystem) -> None:
    """With the clause that it breaks; one of the lemmas is a comfort to the reader and needed by no other."""
    steps = {}
    for left_out in STALE.lemmas:
        rest = grounded_lemmas(table, [lemma for lemma in STALE.lemmas if lemma != left_out])
        failures = check_inductive(table, STALE, [*rest, table.formula(STALE.holds)])
        assert all(failure.kind == "consecution" for failure in failures)
        steps[left_out.name] = {failure.step.partition("(")[0] for failure in failures}

    assert {
        "mapped_is_used": {"zap", "fill"},
        "cached_is_mapped_or_owed": {"give_back"},
        "owed_is_unmapped": set(),
        "target_is_unmapped": {"give_back", "zap"},
        "one_thread_a_page": {"give_back"},
    } == steps


def test_a_deliberately_wrong_clause_is_refused(table: GroundSystem) -> None:
    """One that fails at first, one that a step breaks, and clauses that say too little."""
    good = invariant(table, STALE)
    used = z3.Bool("used[0]")

    assert () == check_inductive(table, STALE, good)
    assert ["initiation", "consecution"] == [f.kind for f in check_inductive(table, STALE, [*good, used]) if f.clause is used]
    broken = [f for f in check_inductive(table, STALE, [*good, z3.Not(used)]) if f.kind == "consecution"]
    assert ["map_page(0) can break Not(used[0])"] == [str(f) for f in broken]
    assert ["safety"] == [f.kind for f in check_inductive(table, STALE, [])]


@pytest.mark.parametrize("which", range(8))
def test_a_clause_with_a_literal_flipped_or_left_out_is_refused(table: GroundSystem, which: int) -> None:
    """What is needed is not only sufficient: every clause of a trimmed invariant counts."""
    good = list(invariant(table, STALE))
    clause = good.pop(which)

    assert check_inductive(table, STALE, good)
    assert check_inductive(table, STALE, [*good, z3.Not(clause)])


def test_a_counterexample_to_induction_is_one(table: GroundSystem) -> None:
    """By plain evaluation: all clauses hold before the step, the broken one does not after it."""
    clauses = [table.formula(STALE.holds)]
    evaluator = Evaluator(table.system, table.geometry)
    failures = check_inductive(table, STALE, clauses)

    assert failures
    for failure in failures:
        state = evaluator.first(dict(failure.state))
        (move,) = [m for m in evaluator.moves() if failure.step == f"{m.action.name}({','.join(map(str, m.arguments))})"]
        assert move.guard(state)
        assert all(evaluator.holds(clause, state) for clause in clauses)
        assert failure.clause is not None
        assert not evaluator.holds(failure.clause, move.apply(state))


@pytest.mark.parametrize("seed", range(8))
def test_only_what_holds_everywhere_is_inductive(seed: int) -> None:
    """On random systems: an invariant that is accepted holds in each state that enumeration reaches."""
    system = random_system(seed)
    prop = random_property(seed, system)
    verdict = pdr((system, GEOMETRY), prop)
    evaluator = Evaluator(system, GEOMETRY)
    states, _ = reachable(system, GEOMETRY)

    if isinstance(verdict, Proved):
        assert () == check_inductive(ground(system, GEOMETRY), prop, verdict.invariant)
        assert all(evaluator.holds(z3.And(verdict.invariant), state) for state in states)
    else:
        assert check_inductive(ground(system, GEOMETRY), prop, [ground(system, GEOMETRY).formula(prop.holds)])


def test_an_engine_that_is_wrong_is_caught(table: GroundSystem) -> None:
    """The last thing before Proved is a check that shares no state with the search."""
    with pytest.raises(EngineError, match="wrong: what it found for no_stale_cache is no inductive invariant"):
        proved(table, STALE, [z3.Not(z3.Bool("used[0]"))], "wrong", 0, Clock())
    with pytest.raises(EngineError, match="no inductive invariant"):
        proved(ground(table_cache.broken, SIZE), STALE, invariant(table, STALE), "wrong", 0, Clock())


def test_values_that_do_not_exist_are_excluded_by_a_clause() -> None:
    """Three threads leave one bit pattern over; a proof that needs to know that says so."""
    holder = StateVar("holder", (), Thread := Sort("Thread"))
    t = Thread.const("t")
    stays = Action("stay", "thread", (), truth(True), (Update(holder, (), holder()),))
    system = TransitionSystem("held", (Thread,), (holder,), (), (stays,))
    prop = Property("exists", "Somebody holds it.", z3.Exists([t], holder() == t))
    verdict = pdr((system, Geometry({"Thread": 3})), prop)

    assert isinstance(verdict, Proved)
    assert () == check_inductive(ground(system, Geometry({"Thread": 3})), prop, verdict.invariant)


def test_what_is_not_needed_is_left_out(table: GroundSystem) -> None:
    """Certificates are read by people and checked by slower programs."""
    good = invariant(table, STALE)
    idle = z3.Or(z3.Bool("used[0]"), z3.Not(z3.Bool("used[0]")), z3.Bool("mapped[0]"))

    assert set(good) == set(essential(table, STALE, [*good, idle, z3.BoolVal(True)], Clock()))


def test_the_inductive_part_of_proposed_lemmas_is_found() -> None:
    """A false lemma, and one that leans on a false one, are dropped; the others stay."""
    grounded = ground(mutex.peterson, Geometry({}))
    lemmas = [*mutex.one_critical.lemmas, Lemma("false", z3.Not(mutex.one_critical.holds), "", "")]
    offered = grounded_lemmas(grounded, lemmas)
    made = circuit(grounded, mutex.one_critical, offered)
    kept = keep_inductive(made, Clock())

    assert list(range(len(offered) - 1)) == kept


def test_time_that_is_up_is_no_answer() -> None:
    """An empty list of failures would be a proof."""
    system = ground(counter.system, Geometry({}))
    with pytest.raises(OutOfTime):
        check_inductive(system, counter.stays_within_the_limit, [system.formula(counter.stays_within_the_limit.holds)], timeout=-1)


def test_a_failure_says_what_is_wrong() -> None:
    """For messages."""
    clause = z3.Bool("x")

    assert "an initial state does not satisfy x" == str(Failure("initiation", clause))
    assert "the clauses allow a state in which the property does not hold" == str(Failure("safety", None))


def test_a_reachable_violation_has_no_invariant() -> None:
    """Whatever is proposed: here, all that is true of the good system."""
    flag = StateVar("flag", (), BOOL)
    sets = Action("set", "somebody", (), truth(True), (Update(flag, (), truth(True)),))
    system = TransitionSystem("flag", (), (flag,), (Update(flag, (), truth(False)),), (sets,))
    grounded = ground(system, Geometry({}))
    prop = Property("stays_down", "It stays down.", z3.Not(flag()))

    for clauses in ([], [z3.Not(flag())], [flag()], [z3.BoolVal(False)]):
        assert check_inductive(grounded, prop, clauses)


@pytest.mark.slow
def test_a_promise_of_many_parts_is_asked_part_by_part() -> None:
    """Whether the 18 lemmas exclude every bad state of 8 pages and 4 devices was not answered in minutes while it was one question."""
    table = ground(shared_table.system, shared_table.geometry(8, 4, 1))
    lemmas = grounded_lemmas(table, shared_table.SAFE.lemmas)

    assert () == check_inductive(table, shared_table.SAFE, lemmas, timeout=60)
    assert {"safety"} == {failure.kind for failure in check_inductive(table, shared_table.SAFE, [], timeout=60)}
