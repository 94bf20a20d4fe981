"""The enabled moves of a concrete state, found fast.

Most guards ask first where a thread stands: `pc(t) == here`. Moves are filed under the value of such a cell, so that only
those whose thread stands in the right place are tried. Filing only leaves out moves whose guard is false.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import z3

from ...core.evaluation.evaluate import Evaluator, Move, State
from ...core.evaluation.layout import Layout
from ...core.evaluation.reading import Constant, Look, Name, Node, Operation
from ...core.shape import identity
from ...core.system import Action
from ..clock import Clock


class Moves:
    """Every move of a system at a geometry, indexed by a cell that its guard fixes.

    Args:
        evaluator: the plain semantics; no solver and no grounding is involved.
        clock: asked for every move, for there may be hundreds of thousands.

    Raises:
        OutOfTime: they are not built in time.
    """

    def __init__(self, evaluator: Evaluator, clock: Clock | None = None) -> None:
        clock = clock or Clock()
        self.evaluator = evaluator
        self.all: tuple[Move, ...] = tuple(clock.during(evaluator.moves()))
        self.always: list[Move] = []
        self.filed: dict[int, dict[int, list[Move]]] = {}
        asked = {action.name: _asked(evaluator, action) for action in evaluator.system.actions}
        keys = [_demands(evaluator.layout, move, asked[move.action.name]) for move in clock.during(self.all)]
        popular: dict[int, set[int]] = {}
        for demands in keys:
            for place, value in demands.items():
                popular.setdefault(place, set()).add(value)
        for move, demands in zip(clock.during(self.all), keys, strict=True):
            if not demands:
                self.always.append(move)
            else:
                # The cell that moves ask the most different things of tells most of them apart.
                place = max(demands, key=lambda p: (len(popular[p]), -p))
                self.filed.setdefault(place, {}).setdefault(demands[place], []).append(move)

    @cached_property
    def ranked(self) -> tuple[Move, ...]:
        """All moves, so that those enabled in a state come in the order in which `enabled` names them."""
        return (*self.always, *(move for by_value in self.filed.values() for moves in by_value.values() for move in moves))

    @cached_property
    def _rank(self) -> dict[int, int]:
        return {id(move): number for number, move in enumerate(self.ranked)}

    def rank(self, move: Move) -> int:
        """The number of a move in `ranked`."""
        return self._rank[id(move)]

    def candidates(self, state: State) -> list[Move]:
        """The moves that may be enabled in `state`; all enabled ones are among them."""
        found = list(self.always)
        for place, by_value in self.filed.items():
            found += by_value.get(state[place], ())
        return found

    def enabled(self, state: State) -> list[Move]:
        """The moves whose guard holds in `state`."""
        return [move for move in self.candidates(state) if move.guard(state)]


def _asked(evaluator: Evaluator, action: Action) -> list[tuple[Look, Node]]:
    """The state variables, at plain indices, that the guard of `action` requires to have one value, each with that value."""
    params = [p.const for p in action.params]
    plain = {identity(p) for p in params}

    def is_plain(node: Node) -> bool:
        return isinstance(node, Constant) or (isinstance(node, Name) and node.key in plain)

    found: list[tuple[Look, Node]] = []
    for part in _conjuncts(evaluator.reader.read(action.guard, params)):
        look: Node = part
        value: Node = Constant(1)
        if isinstance(part, Operation) and part.operator == z3.Z3_OP_NOT:
            look, value = part.parts[0], Constant(0)
        elif isinstance(part, Operation) and part.operator == z3.Z3_OP_EQ:
            sides = sorted(part.parts, key=is_plain)
            if is_plain(sides[1]):
                look, value = sides
        if isinstance(look, Look) and all(map(is_plain, look.parts)):
            found.append((look, value))
    return found


def _demands(layout: Layout, move: Move, asked: Sequence[tuple[Look, Node]]) -> dict[int, int]:
    """The cells that the guard of `move` requires to have one value, with that value."""
    known = {identity(param.const): value for param, value in zip(move.action.params, move.arguments, strict=True)}
    found: dict[int, int] = {}
    for look, value in asked:
        index = [_plain(part, known) for part in look.parts]
        place = layout.offset[look.var.name] + sum(i * s for i, s in zip(index, layout.strides(look.var), strict=True))
        found.setdefault(place, _plain(value, known))
    return found


def _conjuncts(node: Node) -> list[Node]:
    if isinstance(node, Operation) and node.operator == z3.Z3_OP_AND:
        return [inner for part in node.parts for inner in _conjuncts(part)]
    return [node]


def _plain(node: Node, known: Mapping[int, int]) -> int:
    return node.value if isinstance(node, Constant) else known[node.names[0]]


Schedule = Sequence[tuple[Action, tuple[int, ...]]]
"""Actions at plain argument values, in the order in which they fire."""

__all__ = ["Moves", "Schedule"]
