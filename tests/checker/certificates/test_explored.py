"""Complete exploration becomes a proof that others can check; an incomplete one does not."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Collection

import pytest
import z3

from tdpcheck.checker.certificates.certificate import grounded, statement_of
from tdpcheck.checker.certificates.explored import explored_invariant
from tdpcheck.checker.states.explore import reachable, survey
from tdpcheck.core.errors import EngineError, InputError
from tdpcheck.core.evaluation.evaluate import Evaluator, State
from tdpcheck.core.ground import ground, value_term
from tdpcheck.core.sorts import Geometry
from tdpcheck.core.system import Property, TransitionSystem, truth
from tdpcheck.core.verdict import TIME_IS_UP
from tdpcheck.examples import table_cache
from tdpcheck.recheck.questions import check_certificate
from tdpcheck.tests.few import few
from tdpcheck.tests.random_systems import GEOMETRY, random_property, random_state, random_system
from tdpcheck.tests.toys import TOYS, Toy

TABLE = Geometry({"Page": 2, "Device": 2, "Thread": 1})


@pytest.mark.parametrize("toy", few(TOYS, 3), ids=lambda toy: toy.name)
def test_what_exploration_says_of_a_toy_is_certified(toy: Toy) -> None:
    """Two solvers find the learned clauses inductive; where the property is violated there is nothing to learn."""
    system = ground(toy.system, toy.geometry)
    states, _ = reachable(toy.system, toy.geometry)

    if toy.violated is not None:
        with pytest.raises(EngineError, match=f"{toy.prop.name} is broken in a reachable state"):
            explored_invariant(system, states, [toy.prop])
        return
    learned = explored_invariant(system, states, [toy.prop])
    text = grounded(system, toy.prop, learned.clauses)

    assert learned.complete
    for solver in ("z3", "bitwuzla"):
        assert check_certificate(text, solver, of=statement_of(system, toy.prop)).accepted


def test_every_clause_is_true_of_every_reachable_state() -> None:
    """They are learned from them, so this says that grounding and plain evaluation mean the same."""
    system = ground(table_cache.system, TABLE)
    states, _ = reachable(table_cache.system, TABLE)
    learned = explored_invariant(system, states, [table_cache.no_stale_cache])
    evaluator = Evaluator(table_cache.system, TABLE)

    assert all(evaluator.holds(clause.holds, state) for clause in learned.clauses for state in states)
    assert "If cached[0,0] holds and used[0] does not hold" not in " ".join(c.sentence for c in learned.clauses)
    assert {"If used[0] does not hold, then cached[0,0] does not hold."} & {c.sentence for c in learned.clauses}, [
        c.sentence for c in learned.clauses
    ]


@pytest.mark.parametrize("missing", [1, 20])
def test_a_state_that_was_not_visited_is_missed(missing: int) -> None:
    """An exploration that ended early and calls itself complete is an error, or does no harm: the clauses are true of the rest, too."""
    system = ground(table_cache.system, TABLE)
    states = list(reachable(table_cache.system, TABLE)[0])
    evaluator = Evaluator(table_cache.system, TABLE)
    rng = random.Random(missing)
    caught = 0
    for _ in range(6):
        left_out = set(rng.sample(range(1, len(states)), missing))
        try:
            learned = explored_invariant(system, [s for n, s in enumerate(states) if n not in left_out], [table_cache.no_stale_cache])
        except EngineError as error:
            caught += "not every state was visited" in str(error)
        else:
            assert all(evaluator.holds(clause.holds, states[n]) for clause in learned.clauses for n in left_out)

    assert missing == 1 or caught > 0


def never(system: TransitionSystem, states: Collection[State], rng: random.Random) -> Property:
    """That some states that are not reachable are not reached."""
    evaluator = Evaluator(system, GEOMETRY)
    others = [state for state in (random_state(rng, evaluator) for _ in range(60)) if state not in states][:3]
    cubes = []
    for state in others:
        cells = zip(evaluator.layout.cells, state, strict=True)
        at = [(c.var(*[s.element(i) for s, i in zip(c.var.params, c.index, strict=True)]), value_term(c.var.kind, v)) for c, v in cells]
        cubes.append(z3.And([place == value for place, value in at]))
    return Property("never", "Some states are out of reach.", z3.Not(z3.Or(cubes)))


def test_random_systems_are_certified_or_violated() -> None:
    """Plain evaluation, the learner and the solvers share no code for what a step does."""
    certified = violated = 0
    for seed in range(12):
        system = random_system(seed)
        states, stats = reachable(system, GEOMETRY, max_states=2_000)
        if not stats.complete:
            continue
        small, evaluator = ground(system, GEOMETRY), Evaluator(system, GEOMETRY)
        for prop in (random_property(seed, system), never(system, states, random.Random(seed))):
            if not all(evaluator.holds(prop.holds, state) for state in states):
                violated += 1
                with pytest.raises(EngineError, match="is broken in a reachable state"):
                    explored_invariant(small, states, [prop])
                continue
            text = grounded(small, prop, explored_invariant(small, states, [prop]).clauses)
            if "(declare-fun " not in text:  # the property reads nothing that ever changes: a certificate that says so is none
                with pytest.raises(InputError, match="it has no state"):
                    check_certificate(text, "z3")
                continue
            assert ["accepted"] * 2 == [check_certificate(text, solver).verdict for solver in ("z3", "bitwuzla")], seed
            certified += 1

    assert certified > 5
    assert violated > 3


@pytest.mark.slow
def test_a_property_alone_is_accepted_only_if_it_is_inductive() -> None:
    """Brute force over every state of small systems says what the two solvers must answer."""
    answers = []
    for seed in range(40):
        system = random_system(seed)
        evaluator = Evaluator(system, GEOMETRY)
        rng = random.Random(seed)
        prop = never(system, frozenset(), rng) if seed % 2 else random_property(seed, system)
        ranges = [range(GEOMETRY.size(cell.var.kind)) for cell in evaluator.layout.cells]
        if math.prod(map(len, ranges)) > 20_000:
            continue
        good = [state for state in itertools.product(*ranges) if evaluator.holds(prop.holds, state)]
        moves, kept = list(evaluator.moves()), set(good)
        closed = all(move.apply(state) in kept for state in good for move in moves if move.guard(state))
        inductive = closed and all(state in kept for state in evaluator.initial())
        small = ground(system, GEOMETRY, fold=False)
        text = grounded(small, prop, [small.formula(prop.holds)])
        expected = "accepted" if inductive else "refused"
        answers.append(expected)
        assert [expected] * 2 == [check_certificate(text, solver, most=1).verdict for solver in ("z3", "bitwuzla")], seed

    assert {"accepted", "refused"} == set(answers)
    assert len(answers) > 15


def test_no_time_is_said() -> None:
    """What was learned by then is no invariant."""
    system = ground(table_cache.system, TABLE)
    states, _ = reachable(table_cache.system, TABLE)
    learned = explored_invariant(system, states, [table_cache.no_stale_cache], timeout=0)

    assert (False, TIME_IS_UP) == (learned.complete, learned.reason)
    assert not check_certificate(grounded(system, table_cache.no_stale_cache, learned.clauses or [truth(True)])).accepted


def test_clauses_that_are_not_needed_are_said_to_be_so() -> None:
    """Learned clauses need not be irredundant: those without which the proof still stands are counted, the rest is refused."""
    system = ground(table_cache.system, TABLE)
    states, _ = reachable(table_cache.system, TABLE)
    learned = explored_invariant(system, states, [table_cache.no_stale_cache])
    idle = []
    for clause in learned.clauses:
        text = grounded(system, table_cache.no_stale_cache, [c for c in learned.clauses if c is not clause])
        verdicts = {check_certificate(text, solver, most=1).verdict for solver in ("z3", "bitwuzla")}
        assert 1 == len(verdicts)
        idle += [clause.name] if verdicts == {"accepted"} else []

    assert len(idle) < len(learned.clauses) / 3


def test_the_states_of_a_survey_are_kept_if_it_is_complete() -> None:
    """Whoever explored for questions has the states for the proof."""
    system, prop = table_cache.system, table_cache.no_stale_cache
    seen = survey(system, TABLE, {"bad": z3.Not(prop.holds)}, keep=True)

    assert set(reachable(system, TABLE)[0]) == set(seen.states)
    assert seen.stats.states == len(seen.states)
    assert explored_invariant(ground(system, TABLE), seen.states, [prop]).complete
    assert () == survey(system, TABLE, {}, keep=True, max_states=3).states
    assert () == survey(system, TABLE, {}).states


def test_one_invariant_serves_several_properties() -> None:
    """A scenario asks several questions of the same states."""
    system = ground(table_cache.system, TABLE)
    states, _ = reachable(table_cache.system, TABLE)
    both = [table_cache.no_stale_cache, Property("mapped_is_used", "Mapped pages are used.", table_cache.lemmas[0].holds)]

    assert check_certificate(grounded(system, both, explored_invariant(system, states, both).clauses)).accepted


def test_what_a_later_property_shares_is_named_behind_an_earlier_one() -> None:
    """Subterms get names where they are first needed, which may be between two properties."""
    system = ground(table_cache.system, TABLE)
    states, _ = reachable(table_cache.system, TABLE)
    fresh, used = table_cache.no_stale_cache.holds, table_cache.lemmas[0].holds
    twice = z3.Or(z3.And(used, fresh), z3.And(used, z3.Not(used), z3.Not(fresh)))
    properties = [Property("first", "Nothing is wrong.", z3.BoolVal(True)), Property("twice", "Two large terms, twice.", twice)]
    text = grounded(system, properties, explored_invariant(system, states, properties).clauses)
    places = [line.split()[1] for line in text.splitlines() if line.startswith("(define-fun")]

    between = places[places.index("|property") + 1 :]
    assert between[0].startswith("$")
    assert "|property" in between
    assert check_certificate(text).accepted


def test_what_else_lives_in_the_process_does_not_change_the_text() -> None:
    """Z3 orders terms by when they were made; among others, made and dropped before, they would be numbered anew."""

    def text() -> str:
        system = ground(table_cache.system, TABLE)
        states, _ = reachable(table_cache.system, TABLE)
        return grounded(system, table_cache.no_stale_cache, explored_invariant(system, states, [table_cache.no_stale_cache]).clauses)

    rng, texts, others = random.Random(1), {text()}, []
    for _ in range(4):
        made = [z3.Bool(f"other_{n}") for n in range(rng.randrange(100, 5_000))]
        rng.shuffle(made)
        others.append(made[::2])
        del made
        texts.add(text())

    assert 1 == len(texts)
