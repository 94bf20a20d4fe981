"""Rewriting of terms: what is replaced, and what becomes constant."""

from __future__ import annotations

import z3

from tdpcheck.core.rewrite import Rewriter, conjuncts
from tdpcheck.core.sorts import Sort

Colour = Sort("Colour", ("red", "green"))
red, green = (Colour.element(name) for name in Colour.elements)
a, b = z3.Bools("a b")
x, y = Colour.const("x"), Colour.const("y")


def test_a_term_made_later_is_not_taken_for_one_that_is_gone() -> None:
    """Z3 gives the identity of a dead term to a new one: a replacement must not pass to a term that nobody meant."""
    rewrite = Rewriter((z3.BitVec(f"old{i}", 4), z3.BitVecVal(i % 16, 4)) for i in range(200))
    fresh = [z3.BitVec(f"new{i}", 4) for i in range(200)]

    assert all(term.eq(rewrite(term)) for term in fresh)


def test_what_becomes_constant_is_folded() -> None:
    """Branches on it are decided, so that code behind them needs no meaning."""
    assert z3.is_false(Rewriter([(x, red)])(x == green))
    assert b.eq(Rewriter([(a, z3.BoolVal(True))])(z3.If(a, b, z3.Not(b))))


def test_the_body_of_a_quantifier_is_rewritten_and_folded() -> None:
    """Guards that range over threads or pages shrink, too, and no variable is caught by another of its name."""
    every = z3.ForAll([x], z3.Or(z3.And(a, x == red), z3.And(z3.Not(a), x == y)))

    assert z3.ForAll([x], x == red).eq(Rewriter([(a, z3.BoolVal(True))])(every))
    assert "ForAll(x', x' == x)" == str(Rewriter([(a, z3.BoolVal(False)), (y, x)])(every))
    assert z3.is_true(Rewriter([(a, z3.BoolVal(True))])(z3.ForAll([x], z3.Or(a, x == red))))


def test_conjuncts_look_through_negations() -> None:
    """The false branch of `a || !b` teaches both."""
    assert [z3.Not(a), b] == conjuncts(z3.Not(z3.Or(a, z3.Not(b))))
    assert [a, b] == conjuncts(z3.And(a, z3.Not(z3.Not(b))))


def test_a_quantifier_inside_a_quantifier_keeps_its_variables() -> None:
    """Its variables count from where it stands; folded from outside in, `exists u. forall h. r(u, h)` became a term about nobody."""
    things = z3.DeclareSort("Things")
    u, h, x = (z3.Const(name, things) for name in "uhx")
    related = z3.Function("related", things, things, z3.BoolSort())
    inner = z3.ForAll([h], z3.And(related(u, h), z3.Or(related(h, u), z3.BoolVal(False))))
    folded = Rewriter([(x, u)])(z3.Exists([u], z3.And(inner, z3.Or(z3.BoolVal(False), related(u, u)))))
    solver = z3.Solver()
    solver.add(folded != z3.Exists([u], z3.And(z3.ForAll([h], z3.And(related(u, h), related(h, u))), related(u, u))))

    assert z3.unsat == solver.check()
