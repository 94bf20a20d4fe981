"""Arguments too large for EPR: split into parts, asked by E-matching, and no weaker for it."""

from __future__ import annotations

from typing import Any

import pytest
import z3

from tdpcheck.checker.arguments.lemmas import Broken, check_lemmas
from tdpcheck.checker.every_size.ematching import Matcher
from tdpcheck.checker.every_size.induction import prove
from tdpcheck.checker.every_size.proof_obligations import Changes, Part, parts_of
from tdpcheck.core.system import Lemma, Property, substitute_updates, truth
from tdpcheck.core.verdict import TIME_IS_UP, Proved
from tdpcheck.examples import table_cache
from tdpcheck.examples.leaf_thread import system as leaf
from tdpcheck.recheck.obligations import INITIALLY
from tdpcheck.tests.few import few

EXAMPLES = {
    "table_cache": (table_cache.system, table_cache.no_stale_cache, table_cache.lemmas),
    "leaf_thread": (leaf.system, leaf.no_stale_cache, leaf.no_stale_cache.lemmas),
}


def closed(part: Part) -> z3.BoolRef:
    return z3.ForAll(list(part.variables), part.body) if part.variables else part.body


def broken_pairs(name: str, lemmas: tuple[Lemma, ...]) -> list[Broken]:
    system, prop, _ = EXAMPLES[name]
    return check_lemmas(system, [prop], lemmas, patience=2).broken


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_arguments_of_the_examples_go_through(name: str) -> None:
    """They are proved in EPR, too: two ways, one answer."""
    system, prop, lemmas = EXAMPLES[name]
    checked = check_lemmas(system, [prop], lemmas)

    assert checked.holds
    assert (*(x.name for x in lemmas), prop.name) == checked.lemmas
    assert checked.asked >= checked.queries > 0


@pytest.mark.parametrize(("name", "left_out"), few([(n, x.name) for n, (_, _, lemmas) in EXAMPLES.items() for x in lemmas], 3))
def test_an_argument_without_one_of_its_lemmas_goes_through_only_where_epr_says_so(name: str, left_out: str) -> None:
    """What is instantiated by hand must not prove what is not so. (With the property as a lemma, one of each is idle.)"""
    system, prop, lemmas = EXAMPLES[name]
    rest = tuple(x for x in lemmas if x.name != left_out)
    in_epr = prove(system, prop, (*rest, Lemma(prop.name, prop.holds, prop.sentence)))

    assert isinstance(in_epr, Proved) == (not broken_pairs(name, rest))
    assert isinstance(in_epr, Proved) == (left_out in ("owed_is_unmapped", "owed_is_used"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_parts_of_a_lemma_say_what_the_lemma_says(name: str) -> None:
    """Splitting is for the solver's sake alone."""
    _, _, lemmas = EXAMPLES[name]
    for lemma in lemmas:
        solver = z3.Solver()
        solver.set("timeout", 10_000)
        solver.add(lemma.holds != z3.And([closed(part) for part in parts_of(lemma)]))

        assert z3.unsat == solver.check(), lemma.name


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_not_asked_of_an_action_is_true_by_reading(name: str) -> None:
    """For each action and part: the goals, with the part before, imply the part after. Nothing that matters is left unasked."""
    system, _, lemmas = EXAMPLES[name]
    for action in system.actions:
        changes = Changes(action)
        for part in (p for lemma in lemmas for p in parts_of(lemma)):
            solver = z3.SimpleSolver()
            solver.set("timeout", 10_000)
            solver.add(action.guard, closed(part))
            for sort in system.sorts:
                if sort.elements:
                    solver.add(z3.Distinct([sort.element(e) for e in sort.elements]))
            for goal in changes.goals(part):
                free = [c for c in goal.constants if any(c.eq(x) for x in part.variables)]
                said = z3.Implies(z3.And(goal.assumed), goal.holds)
                solver.add(z3.ForAll(free, said) if free else said)
            solver.add(z3.Not(substitute_updates(closed(part), action.updates)))

            assert z3.unsat == solver.check(), (action.name, part.lemma)


def test_a_lemma_that_does_not_hold_at_the_start_is_named_with_the_start() -> None:
    """Induction needs its beginning."""
    wrong = Lemma("all_used", z3.ForAll([table_cache.q], table_cache.used(table_cache.q)), "Every page is used.")
    pairs = {(b.step, b.lemma, b.refuted) for b in broken_pairs("table_cache", (*table_cache.lemmas, wrong))}

    assert (INITIALLY, "all_used", True) in pairs


def test_several_processes_ask_what_one_would() -> None:
    """And their answers come in the order of the actions."""
    rest = table_cache.lemmas[1:]
    one, two = (check_lemmas(table_cache.system, [table_cache.no_stale_cache], rest, patience=2, jobs=jobs) for jobs in (1, 2))

    assert [(b.step, b.lemma) for b in one.broken] == [(b.step, b.lemma) for b in two.broken]
    assert (one.asked, one.stopped) == (two.asked, two.stopped)


@pytest.mark.parametrize("gives_up", [(0,), (0, 1)])
def test_what_is_left_open_is_asked_once_more_with_other_choices(monkeypatch: pytest.MonkeyPatch, gives_up: tuple[int, ...]) -> None:
    """What Z3 finds in its time depends on what the process did before; that it finds nothing at all stays no proof."""
    proves = Matcher.proves

    def tires(self: Matcher, *args: Any, **more: Any) -> Any:
        self.reason = "canceled"
        return None if self.seed in gives_up else proves(self, *args, **more)

    monkeypatch.setattr(Matcher, "proves", tires)
    monkeypatch.setattr(Matcher, "settles", lambda self, *_: (z3.unknown, None))
    system, prop, lemmas = EXAMPLES["leaf_thread"]
    checked = check_lemmas(system, [prop], lemmas, recording=True, actions=[action.name for action in system.actions])

    assert checked.holds == (1 not in gives_up)
    assert not any(broken.refuted for broken in checked.broken)


def test_time_that_is_up_is_no_proof() -> None:
    """An argument that was not looked at to its end has not gone through."""
    checked = check_lemmas(table_cache.system, [Property("nothing", "Nothing.", truth(True))], table_cache.lemmas, timeout=0.0)

    assert not checked.holds
    assert TIME_IS_UP == checked.stopped
