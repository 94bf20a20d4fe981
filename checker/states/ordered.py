"""Runs that contain given events in a given order: which there are, and what comes next in all of them.

The graph of a completely explored system is crossed with how far the events have come: a stage is a set of events that have happened.
In a stage a system goes on as it likes; a step that is the next event may also be taken as that event, and leads to the stage that has
it. Steps between events are free, so that a run that contains the events in order is a path to the last stage, and the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import z3
from numpy.typing import NDArray

from ...core.errors import EngineError, InputError
from ...core.evaluation.evaluate import Evaluator, Move, State
from ...core.sorts import Geometry
from ...core.system import TransitionSystem
from ...core.trace import Trace, run
from ...core.verdict import Reason
from ..clock import Clock, OutOfTime
from .explore import Breadth
from .layers import Layers, Packed, Steps, at_best

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int32]
NEVER = np.iinfo(np.int32).max
"""The distance of a state that is not reached."""

PASSED = -1
"""The event that a run is in one of the states through which it must go."""
BEGIN, STAY = -1, -2

Rows = Sequence[Sequence[int]]
"""Events by number: those of a row happen in any order, after all of the row above."""


def _downwards(rows: Rows) -> Iterator[frozenset[int]]:
    """The sets of events that may have happened at some time, each after those from which it comes."""
    before: frozenset[int] = frozenset()
    yield before
    for row in rows:
        for count in range(1, len(row) + 1):
            yield from (before | frozenset(some) for some in combinations(row, count))
        before |= frozenset(row)


def only(rows: Rows, kept: Collection[int]) -> list[list[int]]:
    """The order of some of the events."""
    return [row for row in ([event for event in row if event in kept] for row in rows) if row]


class _Steps:
    """Gathers every step while a system is explored."""

    def __init__(self) -> None:
        self.parts: list[tuple[NDArray[np.int32], ...]] = []

    def note(self, first: int, states: Sequence[Packed], steps: Steps, following: NDArray[np.intp]) -> None:
        """States that are expanded now, numbered from `first`, with their steps and the numbers of the states that these lead to."""
        self.parts.append(tuple(each.astype(np.int32) for each in (steps.before + first, following, steps.moves)))


@dataclass(frozen=True)
class Graph:
    """Every reachable state of a system, and every step.

    Args:
        before, after: of each step the states, by number, sorted by `before`.
        moves: which move of `ranked` it is.
        starts: the states of these first numbers are the initial ones.
    """

    layers: Layers
    packed: Sequence[Packed]
    before: Numbers
    after: Numbers
    moves: Numbers
    starts: int
    _first: NDArray[np.int64] = field(repr=False)

    @property
    def evaluator(self) -> Evaluator:
        return self.layers.moves.evaluator

    @property
    def ranked(self) -> tuple[Move, ...]:
        return self.layers.moves.ranked

    def __len__(self) -> int:
        return len(self.packed)

    def state(self, number: int) -> State:
        return tuple(self.layers.states([self.packed[number]])[0])

    def where(self, term: z3.BoolRef) -> Flags:
        """The states in which a closed term is true."""
        test, size = self.layers.test(term), self.layers.at_once
        parts = [test(self.packed[at : at + size]) for at in range(0, len(self), size)]
        found: Flags = np.concatenate(parts)
        return found

    def leaving(self, states: NDArray[np.intp]) -> NDArray[np.int64]:
        """The steps, by number, that are possible in any of these states."""
        first, last = self._first[states], self._first[states + 1]
        counts = last - first
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        found: NDArray[np.int64] = np.repeat(first, counts) + within
        return found


def graph_of(
    system: TransitionSystem, geometry: Geometry, *, max_states: int | None = None, timeout: float | None = None
) -> Graph | Reason:
    """Explore a system whole, and keep its steps; or the reason why that came to no end."""
    clock = Clock(timeout)

    def explored(layers: Layers) -> Graph | Reason:
        gathered = _Steps()
        search = Breadth(layers, max_states, clock, watching=(gathered,))
        for _ in search.layers():
            pass
        if not search.stats.complete:
            assert search.stopped is not None
            return search.stopped
        nothing = np.zeros(0, np.int32)
        before, after, moves = map(np.concatenate, zip((nothing, nothing, nothing), *gathered.parts, strict=True))
        order = np.argsort(before, kind="stable")
        before, after, moves = before[order], after[order], moves[order]
        first = np.searchsorted(before, np.arange(search.stats.states + 1))
        return Graph(layers, search.met, before, after, moves, search.started, first)

    try:
        return at_best(Evaluator(system, geometry), explored, clock)
    except OutOfTime as stop:
        return stop.why


@dataclass(frozen=True)
class Stage:
    """What can be so when these events have happened, and no other has been counted.

    Args:
        distance: of each state the fewest steps by which a run comes to it, `NEVER` if none does.
        step: the last step of such a run; `BEGIN` if it has none, `STAY` if the event at which it came here is no step.
        left: the stage from which that step came: this one, or the one that lacks the event that it is.
    """

    done: frozenset[int]
    distance: Numbers
    step: NDArray[np.int64]
    left: NDArray[np.int16]

    @property
    def reached(self) -> Flags:
        found: Flags = self.distance != NEVER
        return found

    @property
    def possible(self) -> bool:
        return bool(self.reached.any())


class Ordered:
    """The stages of some events in an order.

    Args:
        events: for each event the steps that are one.
        rows: the order; an event that stands in no row need not happen.
        passing: states one of which a run must be in at some time; None if it need not.
        next_one: pairs of events of which the second is the next of its kind after the first: what lets a lock go that was taken.
    """

    def __init__(
        self,
        graph: Graph,
        events: Mapping[int, Flags],
        rows: Rows,
        clock: Clock,
        passing: Flags | None = None,
        next_one: Sequence[tuple[int, int]] = (),
    ) -> None:
        self._graph, self._events, self._clock, self._passing = graph, events, clock, passing
        there = {event for row in rows for event in row}
        self._next_one = [(first, second) for first, second in next_one if {first, second} <= there]
        self.stages: list[Stage] = []
        done = list(_downwards(rows))
        for some in done:
            self._add(some)
        for some in done if passing is not None else ():
            self._add(some | {PASSED})

    @property
    def last(self) -> Stage:
        """When all of them have happened."""
        return self.stages[-1]

    def _add(self, done: frozenset[int]) -> None:
        graph, stage = self._graph, len(self.stages)
        size = len(graph)
        distance, step, left = np.full(size, NEVER, np.int32), np.full(size, BEGIN, np.int64), np.full(size, stage, np.int16)
        if not done:
            distance[: graph.starts] = 0
        for number, earlier in enumerate(self.stages):
            if len(done - earlier.done) != 1 or not earlier.done < done:
                continue
            (event,) = done - earlier.done
            if event == PASSED:
                assert self._passing is not None
                here = np.flatnonzero(self._passing & earlier.reached)
                distance[here], step[here], left[here] = earlier.distance[here], STAY, number
            else:
                _offer(graph, np.flatnonzero(self._events[event]), earlier.distance, number, distance, step, left)
        waiting = [self._events[second] for first, second in self._next_one if first in done and second not in done]
        self._spread(stage, distance, step, left, ~np.any(waiting, axis=0) if waiting else None)
        self.stages.append(Stage(done, distance, step, left))

    def _spread(self, stage: int, distance: Numbers, step: NDArray[np.int64], left: NDArray[np.int16], free: Flags | None) -> None:
        """What follows inside of a stage, by steps that are `free`: the nearest first."""
        reached = distance[distance != NEVER]
        if not len(reached):
            return
        near = int(reached.min())
        while True:
            self._clock.check()
            here = np.flatnonzero(distance == near)
            if len(here):
                steps = self._graph.leaving(here)
                _offer(self._graph, steps if free is None else steps[free[steps]], distance, stage, distance, step, left)
            further = distance[(distance > near) & (distance != NEVER)]
            if not len(further):
                return
            near = int(further.min())

    def run_to(self, stage: int, state: int) -> tuple[Trace, dict[int, int]]:
        """A shortest run to a state in a stage, and for each event the number of the step that it is, counted from 1.

        Raises:
            EngineError: plain evaluation does not come there.
        """
        taken: list[int] = []
        events: list[tuple[int, int]] = []
        while True:
            here = self.stages[stage]
            step, left = int(here.step[state]), int(here.left[state])
            if step == BEGIN:
                break
            if left != stage:
                (event,) = here.done - self.stages[left].done
                events.append((len(taken), event))
            if step != STAY:
                taken.append(step)
                state = int(self._graph.before[step])
            stage = left
        graph, last = self._graph, len(taken)
        schedule = [(move.action, move.arguments) for move in (graph.ranked[graph.moves[step]] for step in reversed(taken))]
        try:
            trace = run(graph.evaluator, graph.state(state), schedule)
        except InputError as error:
            raise EngineError(f"exploration: vectors and plain evaluation disagree: {error}") from error
        return trace, {event: last - place for place, event in events}


def _offer(
    graph: Graph, steps: NDArray[np.intp], known: Numbers, stage: int, distance: Numbers, step: NDArray[np.int64], left: NDArray[np.int16]
) -> None:
    """Take these steps from where `known` says; keep what is nearer than what there was."""
    from_ = known[graph.before[steps]]
    steps, from_ = steps[from_ != NEVER], from_[from_ != NEVER]
    order = np.argsort(-from_, kind="stable")  # of several assignments to one state the last one stays: the nearest
    steps, new = steps[order], from_[order] + 1
    to = graph.after[steps]
    better = new < distance[to]
    steps, new, to = steps[better], new[better], to[better]
    distance[to], step[to], left[to] = new, steps, stage


def least_core(possible: Callable[[Rows], bool], rows: Rows) -> list[int]:
    """Events that cannot all happen in the order, so few that without any of them the others can."""
    kept = [event for row in rows for event in row]
    for event in list(kept):
        fewer = [other for other in kept if other != event]
        if not possible(only(rows, fewer)):
            kept = fewer
    return kept
