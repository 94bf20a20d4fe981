"""Proofs for every size: what is asked, what is refused, and what a broken argument is called."""

from __future__ import annotations

import time

import pytest
import z3

from tdpcheck.checker.every_size.induction import Obligation, check_axioms, examine, prove
from tdpcheck.checker.states.explore import reachable
from tdpcheck.core.errors import ModelError
from tdpcheck.core.sorts import BOOL, Geometry, Rigid, Sort, StateVar, Word
from tdpcheck.core.system import Action, Lemma, Param, Property, TransitionSystem, Update, bool_var, set_at, truth
from tdpcheck.core.verdict import HoldsUpTo, Proved, Unknown
from tdpcheck.examples import mutex, table_cache, traffic_light
from tdpcheck.recheck.obligations import INITIALLY, SAFETY

Page, Thread = Sort("Page"), Sort("Thread")
p, q, t = Page.const("p"), Page.const("q"), Thread.const("t")
held = bool_var("held", Page)
page = Param("page", Page)
take = Action("take", "any", (page,), z3.Not(held(page.const)), (set_at(held, (page.const,), truth(True)),))
nothing_held = Update(held, held.variables(), truth(False))
takers = TransitionSystem("takers", (Page,), (held,), (nothing_held,), (take,))
always = Property("always", "True is true.", truth(True))


def lemma(name: str, holds: z3.BoolRef) -> Lemma:
    return Lemma(name, holds, name)


def test_the_table_is_proved_for_every_number_of_pages_devices_and_threads() -> None:
    """The same value that is searched for faults at two pages is proved at all of them, in well under a second."""
    started = time.monotonic()
    verdict = prove(table_cache.system, table_cache.no_stale_cache)

    assert isinstance(verdict, Proved)
    assert "every size" == verdict.sizes
    assert tuple(step.name for step in table_cache.lemmas) == verdict.lemmas
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("left_out", table_cache.lemmas, ids=lambda step: step.name)
def test_every_lemma_of_the_table_is_needed(left_out: Lemma) -> None:
    """An argument with an idle step explains less than it seems to."""
    rest = [step for step in table_cache.lemmas if step is not left_out]

    assert not isinstance(prove(table_cache.system, table_cache.no_stale_cache, rest), Proved)


def test_only_pairs_in_which_the_action_changes_what_the_lemma_mentions_are_asked() -> None:
    """The rest is true by reading."""
    pairs = {(o.step, o.lemma) for o in examine(table_cache.system, table_cache.no_stale_cache).obligations}

    assert ("fill", "cached_is_mapped_or_owed") in pairs
    assert ("fill", "one_thread_a_page") not in pairs
    assert ("initially", "one_thread_a_page") in pairs
    assert (SAFETY, "no_stale_cache") in pairs


def test_a_lemma_that_does_not_hold_initially_is_no_bound_at_all() -> None:
    """Nothing is known of any depth then."""
    verdict = prove(takers, always, [lemma("all_held", z3.ForAll([p], held(p)))])

    assert isinstance(verdict, Unknown)
    assert (-1, "lemma all_held does not hold in every initial state") == (verdict.depth, verdict.reason)


def test_a_system_without_an_initial_state_proves_nothing() -> None:
    """Everything holds of nothing: that is a fault of the description."""
    nowhere = TransitionSystem("nowhere", (Page,), (held,), (nothing_held,), (take,), constraint=z3.Exists([p], held(p)))
    verdict = prove(nowhere, always)

    assert isinstance(verdict, Unknown)
    assert verdict.vacuous
    assert "no initial state" in verdict.reason


def test_lemmas_that_do_not_imply_the_property_are_no_proof_of_it() -> None:
    """However inductive they are."""
    prop = Property("none_held", "Nothing is held.", z3.ForAll([p], z3.Not(held(p))))
    verdict = prove(takers, prop, [lemma("true", truth(True))])

    assert isinstance(verdict, Unknown)
    assert "the lemmas do not imply none_held" == verdict.reason


def test_a_lemma_that_an_action_breaks_is_named_with_the_action() -> None:
    """A counterexample to induction is no violation: the depth is 0, the pair is named."""
    prop = Property("none_held", "Nothing is held.", z3.ForAll([p], z3.Not(held(p))))
    verdict = prove(takers, prop)

    assert isinstance(verdict, HoldsUpTo)
    assert (0, (("take", "none_held"),)) == (verdict.depth, verdict.broken_lemmas)


def test_every_size_means_more_than_one_element() -> None:
    """What is true at size one only must not be proved."""
    prop = Property("one_held", "All held pages are one.", z3.ForAll([p, q], z3.Implies(z3.And(held(p), held(q)), p == q)))
    _, stats = reachable(takers, Geometry({"Page": 1}))

    assert 2 == stats.states, "with one page it would hold"
    assert isinstance(prove(takers, prop), HoldsUpTo)


def test_an_enumeration_has_its_elements_and_no_others() -> None:
    """Without the axiom a light could be blue, without the other red could be green."""
    colour = traffic_light.light(traffic_light.r)
    closed = z3.ForAll([traffic_light.r], z3.Or([colour == c for c in (traffic_light.red, traffic_light.green, traffic_light.yellow)]))
    distinct = z3.And(traffic_light.red != traffic_light.green, traffic_light.green != traffic_light.yellow)

    assert isinstance(prove(traffic_light.system, Property("closed", "Three colours.", closed), []), Proved)
    assert isinstance(prove(traffic_light.system, Property("distinct", "Different colours.", distinct), []), Proved)


def test_an_action_that_the_lemmas_exclude_is_reported() -> None:
    """What is proved says nothing about it."""
    stuck = Action(
        "stuck", "any", (page,), z3.And(held(page.const), z3.Not(held(page.const))), (set_at(held, (page.const,), truth(False)),)
    )
    argument = examine(TransitionSystem("stuck", (Page,), (held,), (nothing_held,), (take, stuck)), always, [lemma("t", truth(True))])

    assert ("stuck",) == argument.cannot_fire
    assert () == examine(takers, always).cannot_fire


@pytest.mark.parametrize("where", ["state", "parameter", "rigid"])
def test_a_system_with_words_is_refused_by_their_names(where: str) -> None:
    """A width is a size: a proof of every size cannot speak of it."""
    size = StateVar("size", (), Word(8))
    grow = Action("grow", "any", (Param("by", Word(8)),), truth(True), ())
    weight = Rigid("weight", (Page,), Word(8), lambda _, at: at[0])
    system = {
        "state": TransitionSystem("s", (Page,), (size,), (), ()),
        "parameter": TransitionSystem("s", (Page,), (held,), (), (grow,)),
        "rigid": TransitionSystem("s", (Page,), (held,), (), (), (weight,)),
    }[where]
    name = {"state": "size", "parameter": "grow(by)", "rigid": "weight"}[where]
    verdict = prove(system, always)

    assert isinstance(verdict, Unknown)
    assert f"not parametric: {name} are bit-vectors of a fixed width" == verdict.reason


def test_an_argument_that_leaves_the_decidable_fragment_is_refused_with_the_chain() -> None:
    """The solver could search for ever; the message says what to change."""
    target = StateVar("target", (Thread,), Page)
    owed = lemma("somebody_takes_it", z3.ForAll([p], z3.Exists([t], target(t) == p)))
    system = TransitionSystem("owing", (Page, Thread), (held, target), (), (take,))

    with pytest.raises(ModelError, match=r"Page -> Thread -> Page is a chain.*ghost relation"):
        prove(system, Property("owing", "", truth(True)), [owed])


def test_rigid_axioms_are_assumed_and_can_be_checked_against_their_meaning() -> None:
    """An axiom is believed in a proof, so it must be true of what is searched."""
    x, y = p, q
    before = z3.Function("before", Page.z3, Page.z3, z3.BoolSort())
    total = z3.ForAll([x, y], z3.Or(x == y, before(x, y), before(y, x)))
    wrong = z3.ForAll([x], before(x, x))
    geometries = [Geometry({"Page": n}) for n in (1, 2, 3)]

    def ordered(*axioms: z3.BoolRef) -> TransitionSystem:
        rigid = Rigid("before", (Page, Page), BOOL, lambda _, at: at[0] < at[1], axioms)
        return TransitionSystem("ordered", (Page,), (held,), (nothing_held,), (take,), (rigid,))

    assert () == check_axioms(ordered(total), geometries)
    (first, *_) = check_axioms(ordered(total, wrong), geometries)
    assert first.startswith("before does not mean what its axiom 1 says at Page=1")
    assert isinstance(prove(ordered(total), Property("total", "", total), []), Proved)
    assert not isinstance(prove(ordered(), Property("total", "", total), []), Proved)
    assert () == check_axioms(mutex.peterson, [Geometry({})])


def test_a_solver_that_gives_up_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown stays unknown, with its reason."""
    monkeypatch.setattr(z3.Solver, "check", lambda self, *_: z3.unknown)
    monkeypatch.setattr(z3.Solver, "reason_unknown", lambda self: "incomplete")
    verdict = prove(takers, always)

    assert isinstance(verdict, Unknown)
    assert "incomplete" in verdict.reason


def test_no_time_proves_nothing() -> None:
    """The clock is looked at before the solver is asked."""
    verdict = prove(takers, always, timeout=0)

    assert isinstance(verdict, Unknown)
    assert "the time is up" in verdict.reason


def test_obligations_are_told_as_they_are_met() -> None:
    """A long proof shows where it is."""
    told: list[Obligation] = []
    argument = examine(takers, always, [lemma("fine", z3.ForAll([p], z3.Or(held(p), z3.Not(held(p)))))], progress=told.append)

    assert list(argument.obligations) == told
    assert [(INITIALLY, "fine"), (SAFETY, "always"), ("take", "fine")] == [(o.step, o.lemma) for o in told]
    assert {"holds"} == {o.answer for o in told}


def test_a_pair_that_the_solver_cannot_decide_is_not_called_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken lemma is a finding to look into; a tired solver is not."""
    answers = iter([z3.sat, z3.unsat, z3.unsat, z3.sat])  # a start exists, the lemma holds there, it suffices, the action can fire
    monkeypatch.setattr(z3.Solver, "check", lambda self, *_: next(answers, z3.unknown))
    monkeypatch.setattr(z3.Solver, "reason_unknown", lambda self: "incomplete")
    verdict = prove(takers, always, [lemma("some", z3.Exists([p], held(p)))])

    assert isinstance(verdict, Unknown)
    assert (0, "whether take keeps some: incomplete") == (verdict.depth, verdict.reason)
