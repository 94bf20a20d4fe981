"""The decidable fragment: which chains of sorts are refused, and which only look alike."""

from __future__ import annotations

import pytest
import z3

from tdpcheck.checker.every_size.epr import alternations, function_arrows, refuse_outside_epr
from tdpcheck.core.errors import ModelError
from tdpcheck.core.sorts import Sort

Page, Thread, Colour = Sort("Page"), Sort("Thread"), Sort("Colour", ("red", "green"))
p, q, t = Page.const("p"), Page.const("q"), Thread.const("t")
owns = z3.Function("owns", Thread.z3, Page.z3, z3.BoolSort())
target = z3.Function("target", Thread.z3, Page.z3)
following = z3.Function("following", Page.z3, Page.z3)
colour = z3.Function("colour", Page.z3, Colour.z3)
of_colour = z3.Function("of_colour", Colour.z3, Page.z3)
flag = z3.Bool("flag")

for_each_some = z3.ForAll([p], z3.Exists([t], owns(t, p)))
some_for_each = z3.Exists([t], z3.ForAll([p], owns(t, p)))

ALTERNATIONS = {
    "for all, there is": (for_each_some, {("Page", "Thread")}),
    "there is, for all": (some_for_each, set()),
    "not for all, there is": (z3.Not(for_each_some), set()),
    "not there is, for all": (z3.Not(some_for_each), {("Thread", "Page")}),
    "as an assumption": (z3.Implies(some_for_each, flag), {("Thread", "Page")}),
    "as a conclusion": (z3.Implies(flag, for_each_some), {("Page", "Thread")}),
    "as an equivalence": (flag == for_each_some, {("Page", "Thread")}),
    "equivalence of the other kind": (flag == some_for_each, {("Thread", "Page")}),
    "as a condition": (z3.If(some_for_each, flag, z3.Not(flag)), {("Thread", "Page")}),
    "that does not depend on it": (z3.ForAll([p], z3.Or(owns(t, p), z3.Exists([q], owns(t, q)))), set()),
    "through a third variable": (
        z3.ForAll([p], z3.Exists([t], z3.And(owns(t, p), z3.Exists([q], owns(t, q))))),
        {("Page", "Thread"), ("Page", "Page")},
    ),
    "over truth values": (z3.ForAll([p], z3.Exists([flag], owns(t, p) == flag)), set()),
}


@pytest.mark.parametrize("name", ALTERNATIONS)
def test_an_alternation_is_an_arrow_where_a_witness_depends_on_a_choice(name: str) -> None:
    """Polarity and scope decide, not the order in which quantifiers are written."""
    term, arrows = ALTERNATIONS[name]

    assert arrows == set(alternations(term))


def test_a_function_is_an_arrow_and_a_relation_is_none() -> None:
    """Only terms of a sort can grow into new terms."""
    assert {("Thread", "Page"), ("Page", "Page")} == set(function_arrows(following(target(t)) == p))
    assert set() == set(function_arrows(owns(t, p)))


@pytest.mark.parametrize(
    ("terms", "chain"),
    [
        ([following(p) == q], "Page -> Page"),
        ([for_each_some, target(t) == p], "Page -> Thread -> Page"),
        ([for_each_some, z3.ForAll([t], z3.Exists([p], owns(t, p)))], "Page -> Thread -> Page"),
    ],
)
def test_a_chain_from_a_sort_to_itself_is_refused(terms: list[z3.BoolRef], chain: str) -> None:
    """Each question is judged as a whole: one arrow may come from a lemma, the other from a function."""
    with pytest.raises(ModelError, match=f"here: the question leaves the decidable fragment, since {chain}"):
        refuse_outside_epr(terms, {"Colour"}, "here")


@pytest.mark.parametrize("terms", [[for_each_some], [target(t) == p, some_for_each], [for_each_some, z3.Not(for_each_some)]])
def test_what_has_no_such_chain_is_let_through(terms: list[z3.BoolRef]) -> None:
    """Refusing too much would cost proofs."""
    refuse_outside_epr(terms, set(), "here")

    with pytest.raises(ModelError):
        refuse_outside_epr([*terms, following(p) == q], set(), "here")


def test_an_enumeration_breaks_a_chain() -> None:
    """It is finite by an axiom, so no terms can grow through it."""
    terms = [colour(p) == Colour.element("red"), of_colour(Colour.element("red")) == p]

    refuse_outside_epr(terms, {"Colour"}, "here")
    with pytest.raises(ModelError, match="Colour -> Page -> Colour"):
        refuse_outside_epr(terms, set(), "here")
