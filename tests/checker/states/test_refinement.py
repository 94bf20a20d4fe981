"""Refinement by following the abstract runs all at once: right on systems small enough to judge by hand."""

from __future__ import annotations

import pytest
import z3

from tdpcheck.checker.states.explore import reachable
from tdpcheck.checker.states.refinement import refines
from tdpcheck.core.errors import ModelError
from tdpcheck.core.sorts import Geometry, StateVar, Word
from tdpcheck.core.system import Action, TransitionSystem, Update, bool_var
from tdpcheck.core.verdict import Reason, ReasonKind
from tdpcheck.examples import counter
from tdpcheck.tests.toys import TOYS, Toy

NOWHERE = Geometry({})
x = StateVar("x", (), Word(2), "what is seen")
heads = bool_var("heads", doc="a choice that is not seen")


def branching(name: str, *, early: bool) -> TransitionSystem:
    """A system whose x goes from 0 to 1, and from there to 2 or 3: to which, is chosen with the first step or with the second."""

    def step(label: str, guard: z3.BoolRef, to: int, choice: bool | None = None) -> Action:
        chosen = [] if choice is None else [Update(heads, (), z3.BoolVal(choice))]
        return Action(label, "somebody", (), guard, (Update(x, (), z3.BitVecVal(to, 2)), *chosen), label)

    first = (
        (step("begin and mean heads", x() == 0, 1, True), step("begin and mean tails", x() == 0, 1, False))
        if early
        else (step("begin", x() == 0, 1),)
    )
    second = (
        step("heads", z3.And(x() == 1, heads() if early else True), 2),
        step("tails", z3.And(x() == 1, z3.Not(heads()) if early else True), 3),
    )
    start = (Update(x, (), z3.BitVecVal(0, 2)), Update(heads, (), z3.BoolVal(False)))
    return TransitionSystem(name, (), (x, heads), start, (*first, *second))


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_every_system_refines_itself(toy: Toy) -> None:
    """With everything seen, beside each state stands that state alone."""
    subject = (toy.system, toy.geometry)
    answer = refines(subject, subject, [var.name for var in toy.system.state])

    assert answer.holds is True
    assert toy.states == answer.pairs == answer.concrete == answer.abstract


def test_what_the_right_system_never_shows_is_a_shortest_run() -> None:
    """A mistake is told by the run that leads to it."""
    right, wrong = (counter.system, NOWHERE), (counter.broken, NOWHERE)
    answer = refines(wrong, right, ["count"])

    assert refines(right, wrong, ["count"]).holds is True
    assert answer.holds is False
    assert answer.trace is not None
    assert ("tick",) * 11 == answer.trace.actions


def test_choosing_earlier_or_later_makes_no_difference_to_who_looks_on() -> None:
    """No state of the early one simulates the late one at x = 1: both of its states together do."""
    early, late = (branching("early", early=True), NOWHERE), (branching("late", early=False), NOWHERE)

    assert refines(late, early, ["x"]).holds is True
    assert refines(early, late, ["x"]).holds is True
    assert refines(early, late, ["x", "heads"]).holds is False


def test_steps_that_show_nothing_are_stutters() -> None:
    """Where only a part is seen, another system may take more steps, or fewer."""
    early, late = (branching("early", early=True), NOWHERE), (branching("late", early=False), NOWHERE)

    assert refines(early, late, []).holds is True
    assert refines(late, early, ["heads"]).holds is True
    assert refines(early, late, ["heads"]).holds is False


def test_a_search_that_was_stopped_has_no_answer() -> None:
    """What was not looked at may hold anything."""
    subject = (counter.system, NOWHERE)
    answer = refines(subject, subject, ["count"], max_pairs=5)

    assert answer.holds is None
    assert Reason(ReasonKind.STATES, "more than 5 pairs") == answer.reason
    assert reachable(*subject)[1].states > answer.pairs


def test_what_cannot_be_compared_is_refused() -> None:
    """Values of different kinds look alike as numbers."""
    other = StateVar("x", (), Word(3), "the same name")
    wide = TransitionSystem("wide", (), (other,), (Update(other, (), z3.BitVecVal(0, 3)),), ())
    narrow = (branching("early", early=True), NOWHERE)

    with pytest.raises(ModelError, match="early and wide do not declare x alike"):
        refines(narrow, (wide, NOWHERE), ["x"])
    with pytest.raises(ModelError, match="wide has no state variable heads"):
        refines(narrow, (wide, NOWHERE), ["heads"])
