"""Lemmas that nobody wrote: found at a small size, said of all elements, and proved for every size."""

from __future__ import annotations

import pytest
import z3

from tdpcheck.checker.arguments.generalise import Generaliser, patterns
from tdpcheck.checker.arguments.missing import Missing, Race, mended, missing
from tdpcheck.checker.certificates.instantiated import InitialState, instantiated
from tdpcheck.checker.circuits.circuit import circuit
from tdpcheck.checker.circuits.pdr import blocked
from tdpcheck.checker.clock import Clock, OutOfTime
from tdpcheck.checker.states.explore import explore
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.ground import ground
from tdpcheck.core.sorts import Geometry
from tdpcheck.core.system import Lemma, Property
from tdpcheck.core.trace import Trace, replays
from tdpcheck.core.verdict import Violated
from tdpcheck.examples import mutex, table_cache
from tdpcheck.recheck.questions import check_certificate
from tdpcheck.tests.few import few
from tdpcheck.tests.random_systems import GEOMETRY, random_property, random_system

PAGES = [Geometry({"Page": 2, "Device": 1, "Thread": 2}), Geometry({"Page": 1, "Device": 2, "Thread": 2})]
MORE = [Geometry({"Page": 3, "Device": 2, "Thread": 3})]
CACHE = table_cache.no_stale_cache


def test_an_argument_is_found_from_nothing_and_proved_for_every_size() -> None:
    """No lemma is given; what is found at two small sizes proves the property for any number of pages, devices and threads."""
    lacking = missing(table_cache.system, [CACHE], [], PAGES, MORE)
    assert isinstance(lacking, Missing)
    found = mended(table_cache.system, [CACHE], [], lacking, {})

    assert found.checked.holds
    assert any(part.lemma.startswith("found_") for part in found.theory.parts)
    start = InitialState(PAGES[0], next(Evaluator(table_cache.system, PAGES[0]).initial()))
    text = instantiated(found.theory, found.checked.uses, start)
    for solver in ("z3", "cvc5"):
        assert check_certificate(text, solver).accepted


@pytest.mark.slow
def test_what_is_left_in_the_proof_is_needed() -> None:
    """Without any one of the lemmas that were found, something does not go through."""
    lacking = missing(table_cache.system, [CACHE], [], PAGES, MORE)
    assert isinstance(lacking, Missing)
    found = mended(table_cache.system, [CACHE], [], lacking, {})
    own = [x for x in found.theory.lemmas if x.name.startswith("found_")]

    for lemma in own:
        rest = Missing(tuple(x for x in own if x is not lemma), tuple(x for x in own if x is not lemma), ())
        assert not mended(table_cache.system, [CACHE], [], rest, {}).checked.holds, lemma.sentence


@pytest.mark.parametrize("number", few(range(len(CACHE.lemmas)), 3))
def test_any_lemma_that_is_lost_is_made_good(number: int) -> None:
    """Each lemma of a written argument left out in turn: the rest goes through, or what it lacked is found."""
    rest = [lemma for n, lemma in enumerate(CACHE.lemmas) if n != number]
    lacking = missing(table_cache.system, [CACHE], rest, PAGES, MORE)

    assert isinstance(lacking, Missing)
    assert mended(table_cache.system, [CACHE], rest, lacking, {}).checked.holds


def test_a_system_that_is_wrong_gets_a_run_and_no_lemma() -> None:
    found = missing(mutex.broken, [mutex.one_inside], [], [Geometry({"Thread": 2})], [])

    assert isinstance(found, Race)
    assert mutex.one_inside == found.prop
    assert replays(found.trace, mutex.one_inside, Evaluator(mutex.broken, found.geometry))


def test_a_lemma_that_is_false_is_named_and_the_rest_proved_without_it() -> None:
    """It holds initially; a run to a state in which it does not is found."""
    page = table_cache.p
    false = Lemma("nothing_is_used", z3.ForAll([page], z3.Not(table_cache.used(page))), "No page belongs to the guest.")
    lacking = missing(table_cache.system, [CACHE], [*CACHE.lemmas, false], PAGES, MORE)

    assert isinstance(lacking, Missing)
    assert ("nothing_is_used/1",) == lacking.refuted
    assert mended(table_cache.system, [CACHE], [*CACHE.lemmas, false], lacking, {}).checked.holds


def test_without_time_nothing_is_found() -> None:
    with pytest.raises(OutOfTime):
        missing(table_cache.system, [CACHE], [], PAGES, MORE, timeout=0.0)


def test_a_lemma_that_is_wrong_is_not_believed() -> None:
    """Whatever is proposed, every step is asked: a planted lemma that is not inductive is left out, and the property is lost."""
    wrong = Lemma("found_1", z3.BoolVal(False), "Nothing is reachable.")
    found = mended(mutex.broken, [mutex.one_inside], [], Missing((wrong,), (wrong,), ()), {})

    assert not found.checked.holds


@pytest.mark.parametrize("seed", few(range(60), 3))
def test_every_candidate_is_true_at_the_size_at_which_it_was_found(seed: int) -> None:
    """Of random systems: in each state that is reachable, by plain evaluation; with little premise or with all of it."""
    system = random_system(seed)
    prop = random_property(seed, system)
    grounded = ground(system, GEOMETRY, fold=False)
    made = circuit(grounded, prop)
    cubes = blocked(made, prop, Clock(20))
    if isinstance(cubes, Trace):
        return
    found = [pattern for cube in cubes for pattern in patterns(cube, GEOMETRY)]
    sayings = [x for both in Generaliser(made, cubes, Clock(20)).candidates(found) for x in both]
    for saying in sayings:
        asked = Property("candidate", saying.words, saying.term)
        assert not isinstance(explore(system, GEOMETRY, asked, max_states=20_000).verdict, Violated), (seed, saying)
