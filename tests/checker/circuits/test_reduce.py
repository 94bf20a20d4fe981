"""Latches that never change or always equal another one go; what is known of them stays behind as facts."""

from __future__ import annotations

import pytest
import z3

from tdpcheck.checker.circuits.circuit import circuit
from tdpcheck.checker.circuits.pdr import pdr
from tdpcheck.checker.circuits.reduce import merged, prepare
from tdpcheck.checker.clock import Clock
from tdpcheck.checker.states.explore import reachable
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.ground import ground
from tdpcheck.core.sorts import BOOL, Geometry, StateVar, Word
from tdpcheck.core.system import Action, Lemma, Param, Property, TransitionSystem, Update, truth
from tdpcheck.core.verdict import Proved
from tdpcheck.examples import mutex
from tdpcheck.tests.random_systems import GEOMETRY, random_property, random_system

one, twin, mirror, never, apart = (StateVar(name, (), BOOL) for name in ("one", "twin", "mirror", "never", "apart"))
count = StateVar("count", (), Word(3))
value = Param("value", BOOL)
copies = TransitionSystem(
    "copies",
    (),
    (one, twin, mirror, never, apart, count),
    (
        *(Update(v, (), truth(False)) for v in (one, twin, never, apart)),
        Update(mirror, (), truth(True)),
        Update(count, (), z3.BitVecVal(0, 3)),
    ),
    (
        # Here nothing is equal by its form: that `twin` follows `one` needs `never`, and that needs the equality.
        Action(
            "set",
            "somebody",
            (value,),
            truth(True),
            (
                Update(one, (), value.const),
                Update(twin, (), z3.Xor(value.const, never())),
                Update(mirror, (), z3.Not(value.const)),
                Update(never, (), z3.Xor(one(), twin())),
            ),
        ),
        Action("flip", "somebody", (), one(), (Update(apart, (), z3.Not(apart())),)),
        Action("count", "somebody", (), truth(True), (Update(count, (), count() + 2),)),
    ),
)
even = Property("even", "It is even, and the twins agree.", z3.And(z3.Extract(0, 0, count()) == 0, one() == twin(), apart() == apart()))


def test_what_is_equal_by_induction_goes_although_no_formula_says_so() -> None:
    """A constant, a twin, a mirror image, and the low bit of a counter that counts by two."""
    grounded = ground(copies, Geometry({}))
    watched = [twin(), mirror(), never(), apart(), count() == 3]
    made, facts = merged(circuit(grounded, even, [grounded.formula(x) for x in watched]), Clock())

    assert ["one", "apart", "count.1", "count.2"] == [latch.name for latch in made.latches]
    assert {"twin == one", "mirror == Not(one)", "Not(never)", "Not(Extract(0, 0, count) == 1)"} == {str(fact) for fact in facts}


def test_a_property_of_what_is_equal_is_proved_by_the_facts() -> None:
    """The clauses that a proof returns speak of the system as it was, the latches that went included."""
    verdict = pdr((copies, Geometry({})), even)

    assert isinstance(verdict, Proved)
    assert {"twin == one", "Not(never)", "Not(Extract(0, 0, count) == 1)"} == {str(clause) for clause in verdict.invariant}


@pytest.mark.parametrize("seed", range(8))
def test_facts_hold_in_every_reachable_state(seed: int) -> None:
    """On random systems, by enumeration."""
    system = random_system(seed)
    ready = prepare(ground(system, GEOMETRY), random_property(seed, system), (), Clock())
    evaluator = Evaluator(system, GEOMETRY)
    states, _ = reachable(system, GEOMETRY)

    assert [] == [fact for fact in ready.facts for state in states if not evaluator.holds(fact, state)]


def test_random_systems_have_latches_that_can_go() -> None:
    """Else the test above would say nothing."""
    systems = [random_system(seed) for seed in range(8)]
    facts = [prepare(ground(s, GEOMETRY), random_property(seed, s), (), Clock()).facts for seed, s in enumerate(systems)]

    assert 2 <= sum(map(len, facts))


def test_a_lemma_is_used_if_it_is_inductive_and_otherwise_not() -> None:
    """A wrong lemma does no harm, and one that is true but leans on it is not used either."""
    grounded = ground(mutex.peterson, Geometry({}))
    lemmas = mutex.one_critical.lemmas
    false = Lemma("false", z3.Not(mutex.one_critical.holds), "")
    good = prepare(grounded, mutex.one_critical, lemmas, Clock())
    bad = prepare(grounded, mutex.one_critical, [*lemmas, false], Clock())

    assert good.seeds == bad.seeds > 0
    assert 0 == prepare(grounded, mutex.one_critical, [false], Clock()).seeds
