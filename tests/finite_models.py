"""A second opinion on what terms mean: uninterpreted sorts with exactly so many elements, decided by Z3 with its quantifiers left in.

Shares nothing with the grounder or the evaluator but the declarations.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import z3

from tdpcheck.core.evaluation.evaluate import Evaluator, State
from tdpcheck.core.ground import Cell, GroundSystem, value_term
from tdpcheck.core.sorts import Geometry, Sort
from tdpcheck.core.system import TransitionSystem


def world(system: TransitionSystem, geometry: Geometry) -> list[z3.BoolRef]:
    """Each sort has exactly its elements, and each rigid function its meaning."""
    facts = []
    for sort in system.sorts:
        elements = [sort.element(i) for i in range(geometry.size(sort))]
        x = sort.const("anything")
        facts += [z3.Distinct(*elements), z3.ForAll([x], z3.Or([x == e for e in elements]))]
    for rigid in system.rigids:
        for at in itertools.product(*(range(geometry.size(k)) for k in rigid.params)):
            arguments = [value_term(k, a) for k, a in zip(rigid.params, at, strict=True)]
            facts.append(rigid(*arguments) == value_term(rigid.kind, rigid.meaning(geometry, at)))
    return facts


def parametric(cell: Cell) -> z3.ExprRef:
    """A cell as the state function at its elements."""
    return cell.var(*(sort.element(i) for sort, i in zip(cell.var.params, cell.index, strict=True)))


def is_state(evaluator: Evaluator, state: State) -> list[z3.BoolRef]:
    """The state functions have the values of `state`."""
    return [parametric(c) == value_term(c.var.kind, v) for c, v in zip(evaluator.layout.cells, state, strict=True)]


def same(grounded: GroundSystem, cell: Cell, value: z3.ExprRef, term: z3.ExprRef) -> z3.BoolRef:
    """The grounded `value` of a cell and the parametric `term` are the same."""
    kind = cell.var.kind
    if not isinstance(kind, Sort):
        return value == term
    return z3.And([(value == i) == (term == kind.element(i)) for i in range(grounded.geometry.size(kind))])


def linked(grounded: GroundSystem) -> Iterator[z3.BoolRef]:
    """The grounded cells and the state functions speak of one state."""
    yield grounded.in_range
    for cell in grounded.cells:
        yield same(grounded, cell, grounded.variable(cell), parametric(cell))
