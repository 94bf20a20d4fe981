"""Substitution and constant folding in one pass, aware that the elements of an enumeration differ."""

from __future__ import annotations

from collections.abc import Iterable

import z3

from .ground import fold, negation
from .shape import applied, identity, is_false, is_true, once_a_term, shape, subterms, with_children
from .sorts import element_index

__all__ = ["Rewriter", "conjuncts", "constant_index", "folded", "subterms"]


class Rewriter:
    """Replaces terms and folds what becomes constant. Keeps what it has seen.

    Args:
        replacements: pairs of a term and what takes its place; of equal terms the last one counts.
    """

    def __init__(self, replacements: Iterable[tuple[z3.ExprRef, z3.ExprRef]] = ()) -> None:
        # Z3 gives the identity of a term that died to the next one, so the terms are kept beside their images.
        self._kept = tuple(replacements)
        self._replacements = {identity(term): image for term, image in self._kept}
        self._seen: dict[int, tuple[z3.ExprRef, z3.ExprRef]] = {}

    def __call__(self, term: z3.ExprRef) -> z3.ExprRef:
        key = identity(term)
        if key in self._replacements:
            return self._replacements[key]
        if key not in self._seen:
            self._seen[key] = (term, self._rewrite(term))
        return self._seen[key][1]

    def _rewrite(self, term: z3.ExprRef) -> z3.ExprRef:
        if z3.is_quantifier(term):
            found = [(t, self._replacements[identity(t)]) for t in subterms(term) if identity(t) in self._replacements]
            return _of_quantifier(z3.substitute(term, *found) if found else term)
        seen = shape(term)
        if not seen.children:
            return term
        children = [self(child) for child in seen.children]
        if seen.operator == z3.Z3_OP_UNINTERPRETED:
            unchanged = all(identity(child) == key for child, key in zip(children, seen.keys, strict=True))
            return term if unchanged else with_children(term, children)
        return fold(term, children)


def _fold_quantifier(term: z3.QuantifierRef) -> z3.ExprRef:
    """A quantifier with its body folded: opened first, since the variables of a quantifier inside it count from there."""
    if term.is_lambda():
        return term
    taken = {applied(t) for t in subterms(term) if shape(t).operator >= 0 and not shape(t).children}
    bound: list[z3.ExprRef] = []
    for number in range(term.num_vars()):
        name = term.var_name(number)
        while name in taken:
            name += "'"
        taken.add(name)
        bound.append(z3.Const(name, term.var_sort(number)))
    body = z3.substitute_vars(term.body(), *reversed(bound))
    simpler = folded(body)
    if simpler.eq(body):
        return term
    if is_true(simpler) or is_false(simpler):
        return simpler
    return z3.ForAll(bound, simpler) if term.is_forall() else z3.Exists(bound, simpler)


_of_quantifier = once_a_term(_fold_quantifier, 20_000)

folded = once_a_term(lambda term: Rewriter()(term), 100_000)
"""A term with its constants folded."""


def _constant_index(term: z3.ExprRef) -> int | None:
    if is_true(term) or is_false(term):
        return int(is_true(term))
    if z3.is_bv_value(term):
        return int(term.as_long())
    return element_index(term)


constant_index = once_a_term(_constant_index, 100_000)
"""The number behind a constant term of an index sort, a word or a truth value, or None."""


def conjuncts(term: z3.BoolRef) -> list[z3.BoolRef]:
    """The terms that must all hold for `term` to hold, as far as that can be read off it."""
    if z3.is_and(term):
        return [part for child in term.children() for part in conjuncts(child)]
    if z3.is_not(term) and z3.is_or(term.arg(0)):
        return [part for child in term.arg(0).children() for part in conjuncts(negation(child))]
    if z3.is_not(term) and z3.is_not(term.arg(0)):
        return conjuncts(term.arg(0).arg(0))
    return [term]
