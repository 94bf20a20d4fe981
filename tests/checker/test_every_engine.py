"""Every engine runs on every toy, and none contradicts another."""

from __future__ import annotations

import pytest

from tdpcheck.checker.bounded.bmc import bmc, reach
from tdpcheck.checker.bounded.unroller import check_total
from tdpcheck.checker.circuits.inductive import check_inductive
from tdpcheck.checker.circuits.kinduction import k_induction
from tdpcheck.checker.circuits.pdr import pdr
from tdpcheck.checker.every_size.induction import EVERY_SIZE, prove
from tdpcheck.checker.states.explore import explore, reachable
from tdpcheck.checker.states.walk import walk
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.ground import ground
from tdpcheck.core.trace import replays
from tdpcheck.core.verdict import HoldsUpTo, Proved, Unknown, Verdict, Violated
from tdpcheck.tests.checker.berkeley import ABC, abc_verdict
from tdpcheck.tests.few import few
from tdpcheck.tests.random_systems import GEOMETRY, random_property, random_system
from tdpcheck.tests.toys import TOYS, Toy

every_toy = pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
some_toys = pytest.mark.parametrize("toy", few(TOYS, 3), ids=lambda toy: toy.name)
DEPTH = 13


@every_toy
def test_a_toy_has_as_many_reachable_states_as_ever(toy: Toy) -> None:
    """A changed count is news."""
    states, stats = reachable(toy.system, toy.geometry)

    assert (toy.states, toy.diameter) == (len(states), max(states.values())) == (stats.states, stats.depth)
    assert stats.complete


@every_toy
def test_exploration_answers_for_its_size(toy: Toy) -> None:
    """All states were seen, or the nearest bad one."""
    verdict = explore(toy.system, toy.geometry, toy.prop).verdict

    match verdict:
        case Violated():
            assert (toy.violated, True) == (verdict.depth, verdict.shortest)
            assert replays(verdict.trace, toy.prop)
        case _:
            assert toy.violated is None
            assert isinstance(verdict, Proved)
            assert verdict.sizes == (str(toy.geometry) or "its only size")


@every_toy
def test_bounded_model_checking_finds_the_same_and_claims_no_more(toy: Toy) -> None:
    """A property that holds is HoldsUpTo, never Proved."""
    verdict = bmc((toy.system, toy.geometry), toy.prop, DEPTH)

    match verdict:
        case Violated():
            assert (toy.violated, True) == (verdict.depth, verdict.shortest)
            assert replays(verdict.trace, toy.prop)
        case _:
            assert toy.violated is None
            assert isinstance(verdict, HoldsUpTo)
            assert DEPTH == verdict.depth


@some_toys
@pytest.mark.parametrize("seeded", [True, False], ids=["with lemmas", "without"])
def test_pdr_decides_every_toy_with_lemmas_and_without(toy: Toy, seeded: bool) -> None:
    """A proof holds in every state that enumeration reaches, and is inductive."""
    verdict = pdr((toy.system, toy.geometry), toy.prop, seeds=None if seeded else ())

    match verdict:
        case Violated(depth=depth, shortest=shortest):
            assert toy.violated is not None
            assert toy.violated <= depth
            assert not shortest or toy.violated == depth
            assert replays(verdict.trace, toy.prop)
        case _:
            assert toy.violated is None
            assert_proof(verdict, toy)


@some_toys
@pytest.mark.parametrize("seeded", [True, False], ids=["with lemmas", "without"])
def test_k_induction_finds_the_shortest_run_or_a_proof_or_says_how_far_it_got(toy: Toy, seeded: bool) -> None:
    """With the lemmas k is 1; without them some k is too large."""
    verdict = k_induction((toy.system, toy.geometry), toy.prop, DEPTH, seeds=None if seeded else ())

    match verdict:
        case Violated():
            assert (toy.violated, True) == (verdict.depth, verdict.shortest)
            assert replays(verdict.trace, toy.prop)
        case HoldsUpTo():
            assert toy.violated is None
            assert DEPTH == verdict.depth
            assert not seeded
            assert toy.system.name in ("peterson", "table_cache")
        case _:
            assert toy.violated is None
            assert_proof(verdict, toy)


def assert_proof(verdict: Verdict, toy: Toy) -> None:
    """The clauses hold in every reachable state, and are inductive by themselves."""
    assert isinstance(verdict, Proved)
    assert verdict.sizes == (str(toy.geometry) or "its only size")
    evaluator = Evaluator(toy.system, toy.geometry)
    states, _ = reachable(toy.system, toy.geometry)
    assert [] == [clause for clause in verdict.invariant for state in states if not evaluator.holds(clause, state)]
    assert () == check_inductive(ground(toy.system, toy.geometry), toy.prop, verdict.invariant)


@some_toys
def test_random_walks_find_the_violation_or_say_that_they_know_nothing(toy: Toy) -> None:
    """A walk that meets nothing is Unknown: neither a proof nor a bound."""
    verdict = walk(toy.system, toy.geometry, toy.prop, walks=400, timeout=None).verdict

    match verdict:
        case Violated():
            assert toy.violated is not None
            assert toy.violated <= verdict.depth
            assert verdict.shortest is None
            assert replays(verdict.trace, toy.prop)
        case _:
            assert toy.violated is None
            assert isinstance(verdict, Unknown)
            assert -1 == verdict.depth


@every_toy
def test_the_lemmas_prove_it_at_every_size_or_name_what_breaks(toy: Toy) -> None:
    """A broken lemma is a counterexample to induction, not a violation."""
    verdict = prove(toy.system, toy.prop)

    match toy.proof:
        case "proved":
            assert isinstance(verdict, Proved)
            assert EVERY_SIZE == verdict.sizes
        case "not parametric":
            assert isinstance(verdict, Unknown)
            assert "not parametric: count" in verdict.reason
        case pairs:
            assert isinstance(verdict, HoldsUpTo)
            assert (0, pairs) == (verdict.depth, verdict.broken_lemmas)


@pytest.mark.parametrize("toy", [toy for toy in TOYS if toy.proof == "proved"], ids=lambda toy: toy.name)
def test_the_lemmas_hold_in_every_reachable_state_of_a_proved_toy(toy: Toy) -> None:
    """An unsound proof rule would show here: lemmas are checked one by one on states that no solver chose."""
    evaluator = Evaluator(toy.system, toy.geometry)
    states, _ = reachable(toy.system, toy.geometry)

    assert [] == [(lemma.name, s) for lemma in toy.prop.lemmas for s in states if not evaluator.holds(lemma.holds, s)]


@every_toy
def test_a_toy_is_total(toy: Toy) -> None:
    """Every state has a successor, and no step leads out of the geometry."""
    assert () == check_total(ground(toy.system, toy.geometry))


@some_toys
def test_the_premise_is_reached_where_exploration_reaches_it(toy: Toy) -> None:
    """Bounded search and enumeration agree on the nearest state of interest, or that there is none."""
    evaluator = Evaluator(toy.system, toy.geometry)
    states, _ = reachable(toy.system, toy.geometry)
    nearest = min((depth for state, depth in states.items() if evaluator.holds(toy.prop.premise, state)), default=None)

    found = reach((toy.system, toy.geometry), {"premise": toy.prop.premise}, DEPTH)["premise"]

    assert nearest == found.depth
    assert (nearest is not None) == bool(found.shortest)
    assert DEPTH == found.refuted or nearest == found.refuted + 1


@pytest.mark.parametrize("seed", few(range(100), 4))
def test_exploration_and_bounded_model_checking_agree_on_random_systems(seed: int) -> None:
    """One uses no solver and no grounding, the other both: on systems nobody chose they must say the same."""
    system = random_system(seed)
    prop = random_property(seed, system)
    explored = explore(system, GEOMETRY, prop).verdict
    bounded = bmc((system, GEOMETRY), prop, 6)

    match explored:
        case Violated(depth=depth) if depth <= 6:
            assert isinstance(bounded, Violated)
            assert (depth, True) == (bounded.depth, bounded.shortest)
        case Proved() | Violated():
            assert isinstance(bounded, HoldsUpTo)
            assert 6 == bounded.depth
        case _:
            pytest.fail(f"exploration of a small system ended with {explored}")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_all_engines_agree_on_random_systems(seed: int) -> None:
    """Exploration, BMC, k-induction, PDR, and ABC where it is installed; also the least depth of those that look for it."""
    agree(seed)


@pytest.mark.parametrize("seed", range(100, 108))
def test_all_engines_agree_on_a_few_random_systems(seed: int) -> None:
    """The quick part of the test above, on other systems."""
    agree(seed)


def agree(seed: int) -> None:
    system = random_system(seed)
    prop = random_property(seed, system)
    grounded = ground(system, GEOMETRY)
    explored = explore(system, GEOMETRY, prop).verdict
    depth = explored.depth if isinstance(explored, Violated) else None
    searched = pdr(grounded, prop)
    induced = k_induction(grounded, prop, 40)
    bounded = bmc(grounded, prop, 8 if depth is None else depth)
    opinions = {"explore": type(explored), "pdr": type(searched), "k-induction": type(induced)}
    if ABC:
        opinions["abc"] = abc_verdict(grounded, prop)

    assert dict.fromkeys(opinions, Proved if depth is None else Violated) == opinions
    if depth is None:
        assert isinstance(bounded, HoldsUpTo)
    else:
        assert [(depth, True)] * 2 == [(v.depth, v.shortest) for v in (induced, bounded) if isinstance(v, Violated)]
        assert isinstance(searched, Violated)
        assert searched.depth == depth if searched.shortest else searched.depth >= depth


@pytest.mark.slow
def test_the_random_systems_are_worth_comparing() -> None:
    """If all of them held, or failed at once, agreement would say nothing."""
    systems = [random_system(seed) for seed in range(100)]
    verdicts = [explore(s, GEOMETRY, random_property(seed, s)).verdict for seed, s in enumerate(systems)]
    depths = [v.depth for v in verdicts if isinstance(v, Violated)]

    assert 15 <= sum(isinstance(v, Proved) for v in verdicts)
    assert 30 <= sum(depth >= 1 for depth in depths)
    assert 3 <= max(depths)


@pytest.mark.parametrize("seed", few(range(60), 3))
def test_they_agree_where_nothing_tells_elements_apart(seed: int) -> None:
    """There the solver sees only runs that use elements in order: no depth may be lost by that."""
    system = random_system(seed, alike=True)
    prop = random_property(seed, system, alike=True)
    explored = explore(system, GEOMETRY, prop).verdict
    bounded = bmc((system, GEOMETRY), prop, 6)

    assert _depth_within(explored, 6) == _depth_within(bounded, 6)


def _depth_within(verdict: Verdict, depth: int) -> int | None:
    return verdict.depth if isinstance(verdict, Violated) and verdict.depth <= depth else None
