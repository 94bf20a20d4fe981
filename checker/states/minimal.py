"""The plainest of the shortest violations: least depth, then fewest changes of actor, then fewest steps of the machine.

Breadth-first layers hold every shortest run: on one, the state after n steps lies in layer n. So the cheapest way to each state is
found layer by layer, and the answer is exact. Ties go to the move that comes first in the system: the same question has the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

from ...core.evaluation.evaluate import Evaluator, Move, State
from ...core.sorts import Geometry
from ...core.system import Property, TransitionSystem
from ...core.trace import Trace, run
from .moves import Moves

Cost = tuple[int, int]
"""How often the actor changes, and how many steps the machine takes."""


@dataclass(frozen=True)
class Way:
    """The cheapest way to a state whose last step is that actor's."""

    cost: Cost
    state: State
    move: Move | None
    before: Way | None

    def schedule(self) -> list[Move]:
        moves, way = [], self
        while way.before is not None and way.move is not None:
            moves.append(way.move)
            way = way.before
        return moves[::-1]

    def start(self) -> State:
        way = self
        while way.before is not None:
            way = way.before
        return way.state


def violations(
    system: TransitionSystem,
    geometry: Geometry,
    prop: Property,
    actor: Callable[[Move], tuple[Hashable, bool]],
    *,
    max_states: int = 120_000,
    depth: int | None = None,
) -> Iterator[Trace]:
    """Violating runs, shortest and then plainest first: one for each last state and action. None goes on after a violation.

    Args:
        actor: who makes a move, and whether that is the machine.
        max_states: no more states than these are visited.
        depth: no run is longer.
    """
    evaluator = Evaluator(system, geometry)
    moves = Moves(evaluator)
    holds = evaluator.compile(prop.holds)
    who = {id(m): actor(m) for m in moves.all}
    layer: dict[State, dict[Hashable, Way]] = {s: {None: Way((0, 0), s, None, None)} for s in evaluator.initial()}
    seen = set(layer)
    number = 0
    while layer and len(seen) <= max_states and (depth is None or number <= depth):
        bad = [s for s in layer if not holds(s)]
        ends: dict[tuple[State, str], Way] = {}
        for state in bad:
            for way in layer.pop(state).values():
                key = state, way.move.action.name if way.move else ""
                if key not in ends or way.cost < ends[key].cost:
                    ends[key] = way
        for way in sorted(ends.values(), key=lambda w: w.cost):
            yield run(evaluator, way.start(), [(m.action, m.arguments) for m in way.schedule()])
        following: dict[State, dict[Hashable, Way]] = {}
        for state, ways in layer.items():
            for move in moves.enabled(state):
                after = move.apply(state)
                if after in seen:
                    continue
                name, machine = who[id(move)]
                best = min(
                    (way.cost[0] + (last not in (None, name)), way.cost[1] + machine, n) for n, (last, way) in enumerate(ways.items())
                )
                cost = best[0], best[1]
                known = following.setdefault(after, {})
                if name not in known or cost < known[name].cost:
                    known[name] = Way(cost, after, move, list(ways.values())[best[2]])
        seen |= following.keys()
        layer = following
        number += 1


def plainest(
    system: TransitionSystem,
    geometry: Geometry,
    prop: Property,
    actor: Callable[[Move], tuple[Hashable, bool]],
    *,
    max_states: int = 120_000,
    depth: int | None = None,
) -> Trace | None:
    """The first of `violations`, or None if there is none among so many states."""
    return next(violations(system, geometry, prop, actor, max_states=max_states, depth=depth), None)
