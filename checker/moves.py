"""The enabled moves of a concrete state, found fast.

Most guards ask first where a thread stands: `pc(t) == here`. Moves are filed under the value of such a cell, so that only
those whose thread stands in the right place are tried. Filing only leaves out moves whose guard is false.
"""

from __future__ import annotations

from collections.abc import Sequence

import z3

from ..core.evaluate import Evaluator, Move, State
from ..core.sorts import element_index
from ..core.system import Action


class Moves:
    """Every move of a system at a geometry, filed by what its guard asks of one cell.

    Args:
        evaluator: the plain semantics; no solver and no grounding is involved.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.all: tuple[Move, ...] = tuple(evaluator.moves())
        self._always: list[Move] = []
        self._filed: dict[int, dict[int, list[Move]]] = {}
        keys = [_demands(evaluator, move) for move in self.all]
        popular: dict[int, set[int]] = {}
        for demands in keys:
            for place, value in demands.items():
                popular.setdefault(place, set()).add(value)
        for move, demands in zip(self.all, keys, strict=True):
            if not demands:
                self._always.append(move)
            else:
                # The cell that moves ask the most different things of tells most of them apart.
                place = max(demands, key=lambda p: (len(popular[p]), -p))
                self._filed.setdefault(place, {}).setdefault(demands[place], []).append(move)
        self._files = tuple(self._filed.items())

    def candidates(self, state: State) -> list[Move]:
        """The moves that may be enabled in `state`; all enabled ones are among them."""
        found = list(self._always)
        for place, by_value in self._files:
            found += by_value.get(state[place], ())
        return found

    def enabled(self, state: State) -> list[Move]:
        """The moves whose guard holds in `state`."""
        return [move for move in self.candidates(state) if move.guard(state)]


def _demands(evaluator: Evaluator, move: Move) -> dict[int, int]:
    """The cells that the guard of `move` requires to have one value, with that value."""
    found: dict[int, int] = {}
    for part in _conjuncts(move.action.guard):
        wanted = 1
        if z3.is_not(part):
            part, wanted = part.arg(0), 0
        sides: Sequence[z3.ExprRef] = (part,)
        if z3.is_eq(part) and not wanted:
            continue
        if z3.is_eq(part):
            known = [_plain(evaluator, move, side) for side in part.children()]
            if (known[0] is None) == (known[1] is None):
                continue
            sides, wanted = (part.arg(0 if known[0] is None else 1),), known[0] if known[1] is None else known[1]  # type: ignore[assignment]
        place = _place(evaluator, move, sides[0])
        if place is not None:
            found.setdefault(place, wanted)
    return found


def _conjuncts(term: z3.BoolRef) -> list[z3.BoolRef]:
    return [inner for part in term.children() for inner in _conjuncts(part)] if z3.is_and(term) else [term]


def _plain(evaluator: Evaluator, move: Move, term: z3.ExprRef) -> int | None:
    """The value of a term that is an element, a number or a parameter of the move."""
    for param, value in zip(move.action.params, move.arguments, strict=True):
        if term.eq(param.const):
            return value
    if z3.is_bv_value(term):
        return int(term.as_long())
    if z3.is_true(term) or z3.is_false(term):
        return int(z3.is_true(term))
    return element_index(term) if z3.is_app(term) else None


def _place(evaluator: Evaluator, move: Move, term: z3.ExprRef) -> int | None:
    """Where the cell stands that `term` is, if its indices are plain."""
    if not z3.is_app_of(term, z3.Z3_OP_UNINTERPRETED) or term.decl().name() not in evaluator.system.by_name:
        return None
    var = evaluator.system.by_name[term.decl().name()]
    index = [_plain(evaluator, move, child) for child in term.children()]
    if any(i is None for i in index):
        return None
    strides = evaluator.layout.strides(var)
    return evaluator.layout.offset[var.name] + sum(i * s for i, s in zip(index, strides, strict=True) if i is not None)


Schedule = Sequence[tuple[Action, tuple[int, ...]]]
"""Actions at plain argument values, in the order in which they fire."""

__all__ = ["Moves", "Schedule"]
