"""Livelocks: threads that go round for ever although everybody who can go on does.

The graph of a completely explored system is read as a game of chance. At every state a scheduler chooses a thread that has a step
there; everything else is chance: which of its steps the thread takes (what memory it gets, whether it needs to reschedule), and what
the machine does before. The scheduler is fair, else it may do as it likes: a thread that can step again and again does so again and
again. Chance leaves nothing out for ever. A livelock is then a *fair end component*: a set of states in which such a scheduler can
stay for ever, whatever chance does, and in which some thread steps. Whoever steps there is not done, and never will be.

Sources: de Alfaro, Formal Verification of Probabilistic Systems (1997), section 3.3, for end components; Baier and Katoen, Principles
of Model Checking (2008), algorithm 47 for the maximal ones and section 10.6.3 for fairness.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...core.evaluation.evaluate import Move
from ...core.trace import Trace
from ..clock import Clock
from .layers import Layers, Packed, Steps
from .stuck import Ends

Numbers = NDArray[np.int32]
Integers = NDArray[Any]
"""Of whatever width."""
Flags = NDArray[np.bool_]

MACHINE = -1
"""In place of a thread: a step that is nobody's choice."""


@dataclass(frozen=True)
class Edges:
    """Every step of a system: of whom, from which state, to which.

    Args:
        before, after: states by number.
        moves: which move it is, for whoever asks.
        threads: whose step it is, `MACHINE` if it is no thread's.
    """

    before: Numbers
    after: Numbers
    moves: Integers
    threads: Numbers

    def __len__(self) -> int:
        return len(self.before)

    def only(self, kept: Flags | NDArray[np.intp]) -> Edges:
        """Some of them, or all in another order."""
        return Edges(self.before[kept], self.after[kept], self.moves[kept], self.threads[kept])


@dataclass(frozen=True)
class Component:
    """A fair end component: its states, in order, and the steps that its threads and the machine take in it."""

    states: Numbers
    edges: Edges

    @property
    def going(self) -> tuple[int, ...]:
        """The threads that step in it: those that go round."""
        return tuple(thread for thread in np.unique(self.edges.threads).tolist() if thread != MACHINE)


def livelocks(number: int, edges: Edges, excused: Flags, clock: Clock) -> list[Component]:
    """The fair end components of a graph, each as large as can be; those whose first states are nearest come first.

    Args:
        number: how many states there are.
        excused: states in which a run has come to an `assume()` that is false: nobody looks at them, and no thread chooses to go there.
            Whoever could only go there has a step nevertheless, and a fair scheduler lets him take it.

    Raises:
        OutOfTime: nobody knows.
    """
    edges = edges.only(~excused[edges.before])
    alive = _on_circles(number, edges, clock) & ~excused
    edges = edges.only(alive[edges.before])
    edges = edges.only((edges.threads == MACHINE) | ~excused[edges.after] | _only_way(edges, excused))
    game = _Game(number, edges, alive, clock)
    while game.shrinks():
        pass
    return game.components()


def _on_circles(number: int, edges: Edges, clock: Clock) -> Flags:
    """States of the strongly connected components in which a thread steps: mostly few, and all others are in no livelock."""
    label = components(number, edges.before, edges.after, clock)
    steps = np.zeros(number, np.bool_)
    steps[label[edges.before[(edges.threads != MACHINE) & (label[edges.before] == label[edges.after])]]] = True
    found: Flags = steps[label]
    return found


def _only_way(edges: Edges, excused: Flags) -> Flags:
    """Steps from where a thread has none but to states that are excused."""
    pairs, number = _pairs(edges)
    only = np.ones(number, np.bool_)
    only[pairs[~excused[edges.after]]] = False
    found: Flags = only[pairs]
    return found


def _pairs(edges: Edges) -> tuple[NDArray[np.intp], int]:
    """A number for each pair of a state and a thread that has a step there (or the machine), by edge; and how many there are."""
    width = int(edges.threads.max(initial=0)) + 2
    names, numbers = np.unique(edges.before.astype(np.int64) * width + edges.threads + 1, return_inverse=True)
    return numbers.astype(np.intp, copy=False), len(names)


class _Game:
    """What is left of the states and of the choices, while those with which nobody stays for ever are taken out."""

    def __init__(self, number: int, edges: Edges, alive: Flags, clock: Clock) -> None:
        self._alive, self._clock = alive, clock
        self._label = np.zeros(number, np.int64)
        self._keep(edges)
        # A pair of state and thread is a choice while all that may come of it stays. Its edges are here all the same when it is none.
        self._choice = np.ones(self._pairs, np.bool_)

    def _keep(self, edges: Edges) -> None:
        self._edges = edges
        self._pair, self._pairs = _pairs(edges)
        self._machine = edges.threads == MACHINE

    def shrinks(self) -> bool:
        """Take out what cannot stay; whether there was anything."""
        edges = self._edges
        inside = self._stays() & (self._machine | self._choice[self._pair])
        label = components(len(self._label), edges.before[inside], edges.after[inside], self._clock)
        split = bool(np.any(label[edges.before[inside]] != label[edges.after[inside]]))
        self._label = label
        leaves = ~self._stays()
        lost = np.zeros(self._pairs, np.bool_)
        lost[self._pair[leaves & ~self._machine]] = True
        fewer = bool(np.any(lost & self._choice))
        self._choice &= ~lost
        gone = np.zeros(len(self._alive), np.bool_)
        gone[edges.before[leaves & self._machine]] = True
        gone |= self._idle() | self._unfair()
        gone &= self._alive
        self._alive &= ~gone
        self._forget()
        return split or fewer or bool(np.any(gone))

    def _stays(self) -> Flags:
        before, after = self._edges.before, self._edges.after
        found: Flags = self._alive[before] & self._alive[after] & (self._label[before] == self._label[after])
        return found

    def _chosen(self) -> Flags:
        """The edges of the choices that are left."""
        found: Flags = ~self._machine & self._choice[self._pair] & self._alive[self._edges.before]
        return found

    def _idle(self) -> Flags:
        """States of components in which no thread steps."""
        idle = np.ones(len(self._label), np.bool_)
        idle[self._label[self._edges.before[self._chosen()]]] = False
        found: Flags = idle[self._label]
        return found

    def _unfair(self) -> Flags:
        """States in which a thread has a step, if it takes none in this component."""
        width = int(self._edges.threads.max(initial=0)) + 1
        whose = self._label[self._edges.before] * width + self._edges.threads
        steps = np.unique(whose[self._chosen()])
        starved = ~self._machine & ~np.isin(whose, steps)
        found = np.zeros(len(self._label), np.bool_)
        found[self._edges.before[starved]] = True
        return found

    def _forget(self) -> None:
        """Leave out the steps of states that are out; those that lead to them still count."""
        kept = self._alive[self._edges.before]
        if np.all(kept):
            return
        choices = self._choice[self._pair[kept]]
        self._keep(self._edges.only(kept))
        self._choice = np.zeros(self._pairs, np.bool_)
        self._choice[self._pair] = choices

    def components(self) -> list[Component]:
        """What is left, when nothing goes any more."""
        edges = self._edges.only(self._machine | self._choice[self._pair])
        states = np.flatnonzero(self._alive).astype(np.int32)
        states = states[np.argsort(self._label[states], kind="stable")]
        edges = edges.only(np.argsort(self._label[edges.before], kind="stable"))
        names, first = np.unique(self._label[states], return_index=True)
        begins = np.searchsorted(self._label[edges.before], names)
        parts = zip(np.split(states, first[1:]), np.split(np.arange(len(edges)), begins[1:]), strict=True)
        return sorted((Component(own, edges.only(steps)) for own, steps in parts), key=lambda c: int(c.states[0])) if len(names) else []


def components(number: int, before: Integers, after: Integers, clock: Clock) -> NDArray[np.int64]:
    """For each node the number of one node of its strongly connected component, the same for all of them.

    All in vectors, since a graph of objects would take more room and time than the exploration that made it: what is on no cycle goes
    first; then each node learns the greatest number from which it can be reached, and the component of that one are those of its colour
    that reach it. Numbers that grow with the distance, as ours do, leave few rounds.

    Raises:
        OutOfTime: nobody knows.

    Source:
        Orzan, On Distributed Verification and Verified Distribution (2004), chapter 5: colouring.
    """
    label = np.arange(number)
    kept = before != after
    while True:
        clock.check()
        before, after = before[kept], after[kept]
        entered, left = np.zeros(number, np.bool_), np.zeros(number, np.bool_)
        entered[after], left[before] = True, True
        kept = entered[before] & left[after]
        if not np.all(kept):
            continue
        if not len(before):
            return label
        colour = _greatest(np.arange(number), before, after, clock)
        same = colour[before] == colour[after]
        found = _greatest(colour == np.arange(number), after[same], before[same], clock) & entered
        label[found] = colour[found]
        kept = same & ~found[before] & ~found[after]


Values = TypeVar("Values", bound=NDArray[Any])


def _greatest(values: Values, before: Integers, after: Integers, clock: Clock) -> Values:
    """The greatest value of all nodes from which each can be reached."""
    while True:
        clock.check()
        more = values.copy()
        np.maximum.at(more, after, values[before])
        if np.array_equal(more, values):
            return values
        values = more


def way_round(component: Component) -> list[int]:
    """Steps from the first state of a component back to it, by their places in its edges: each thread that goes round takes one."""
    edges, start = component.edges, int(component.states[0])
    leaving: dict[int, list[int]] = {}
    for edge, state in enumerate(edges.before.tolist()):
        leaving.setdefault(state, []).append(edge)
    here, taken = start, list[int]()
    for thread in component.going:
        if thread not in edges.threads[taken]:
            taken += _shortest(edges, leaving, here, last=thread)
            here = int(edges.after[taken[-1]])
    return taken + ([] if here == start else _shortest(edges, leaving, here, to=start))


def _shortest(edges: Edges, leaving: dict[int, list[int]], start: int, *, last: int | None = None, to: int | None = None) -> list[int]:
    """A shortest way to a step of the thread `last`, or to the state `to`; there is one, for the component is strongly connected."""
    by: dict[int, int | None] = {start: None}
    waiting = deque([start])
    while True:
        for edge in leaving[waiting.popleft()]:
            after = int(edges.after[edge])
            if edges.threads[edge] == last or after == to:
                return [*_back(edges, by, int(edges.before[edge])), edge]
            if after not in by:
                by[after] = edge
                waiting.append(after)


def _back(edges: Edges, by: dict[int, int | None], state: int) -> Iterator[int]:
    found = []
    while (edge := by[state]) is not None:
        found.append(edge)
        state = int(edges.before[edge])
    return reversed(found)


@dataclass(frozen=True)
class Livelock:
    """Livelocks that go through the same places: a lasso into the nearest of them, and how many states they have together.

    Args:
        trace: a shortest run to one of its states, and from there once round.
        loop: the number of the state of the trace at which the circle begins, and to which the last step leads.
        going: the threads that go round, by number; a thread that is not done and none of them waits for ever.
    """

    trace: Trace
    loop: int
    states: int
    going: tuple[int, ...]


class Livelocks:
    """Gathers, while a system is explored, its steps: ten to twelve bytes each; states are numbers here, nearest first."""

    def __init__(self, layers: Layers, ends: Ends) -> None:
        self._layers, self._ends = layers, ends
        moves = layers.moves.ranked
        self._threads = np.array([_thread(ends, move) for move in moves], np.int32)
        self._small = np.min_scalar_type(len(moves))
        nothing = np.zeros(0, np.int32)
        self._parts: list[tuple[Numbers, Numbers, Integers]] = [(nothing, nothing, nothing.astype(self._small))]

    def note(self, first: int, states: Sequence[Packed], steps: Steps, following: NDArray[np.intp]) -> None:
        """States that are expanded now, numbered from `first`, with their steps and the numbers of the states that these lead to."""
        self._parts.append(((steps.before + first).astype(np.int32), following.astype(np.int32), steps.moves.astype(self._small)))

    def found(self, states: Sequence[Packed], clock: Clock) -> list[list[Component]]:
        """The livelocks of a completely explored system; those together that go through the same places.

        Raises:
            OutOfTime: nobody knows.
        """
        before, after, moves = map(np.concatenate, zip(*self._parts, strict=True))
        edges = Edges(before, after, moves, self._threads[moves])
        excused, size = self._layers.test(self._ends.excused), self._layers.at_once
        parts = [excused(states[at : at + size]) for at in range(0, len(states), size)]
        together: dict[tuple[object, ...], list[Component]] = {}
        for component in livelocks(len(states), edges, np.concatenate(parts), clock):
            together.setdefault(self._key(component, states), []).append(component)
        return list(together.values())

    def _key(self, component: Component, states: Sequence[Packed]) -> tuple[object, ...]:
        """Who goes round, and where each thread rests meanwhile."""
        plain = self._layers.states([states[number] for number in component.states.tolist()])
        cells = self._layers.moves.evaluator.layout.cells
        places = [place for place, cell in enumerate(cells) if cell.var.name == self._ends.places.name]
        return component.going, *(frozenset(state[place] for state in plain) for place in places)


def _thread(ends: Ends, move: Move) -> int:
    """Whose step a move is: the thread is its first parameter of the sort that places are told by; without one there is one thread."""
    if not ends.software(move.action):
        return MACHINE
    kinds = [param.kind for param in move.action.params]
    return next((value for kind, value in zip(kinds, move.arguments, strict=True) if kind in ends.places.params), 0)
