"""What follows a layer of states: all of them at once, as vectors; or one after the other, by plain evaluation, where vectors do not fit.

A search keeps states packed, so that it can compare and store them fast without knowing which of the two it works with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, overload

import numpy as np
import z3
from numpy.typing import NDArray

from ...core.evaluation.evaluate import Evaluator, Move, State
from ...core.evaluation.vectors import Array, Batch, Part, Unfit, Vector, Vectors
from ..clock import Clock
from .moves import Moves

Packed = State | bytes
T = TypeVar("T")


@dataclass(frozen=True)
class Steps:
    """Every step from some states: by the state, and there in the order in which `Moves.enabled` names the moves.

    Args:
        before: for each step, the number of the state among those.
        moves: the number of the move in `Moves.ranked`.
        after: the state that it leads to.
    """

    before: NDArray[np.intp]
    moves: NDArray[np.intp]
    after: Sequence[Packed]


class Layers(Protocol):
    """The semantics of a system for many states.

    Args:
        at_once: how many to ask about in one go: many, where that is what makes it fast; few, so that limits are kept.
    """

    moves: Moves
    at_once: int

    def pack(self, state: State) -> Packed: ...

    def states(self, packed: Sequence[Packed]) -> Sequence[State]:
        """Plain states again."""

    def steps(self, states: Sequence[Packed]) -> Steps:
        """What follows them.

        Raises:
            OutOfTime: the time is up.
        """

    def test(self, term: z3.BoolRef) -> Callable[[Sequence[Packed]], NDArray[np.bool_]]:
        """A function that says in which states a closed term is true."""


def at_best(evaluator: Evaluator, question: Callable[[Layers], T], clock: Clock | None = None) -> T:
    """The answer by vectors, or by plain evaluation if they do not fit.

    Raises:
        OutOfTime: the moves are not built in time, or the question does not mind that `Layers.steps` has no more.
    """
    moves = Moves(evaluator, clock)
    try:
        return question(ByColumns(moves, clock))
    except Unfit:
        return question(OneByOne(moves, clock))


class OneByOne:
    """Plain evaluation, state by state."""

    at_once = 64

    def __init__(self, moves: Moves, clock: Clock | None = None) -> None:
        self.moves = moves
        self._clock = clock or Clock()

    def pack(self, state: State) -> Packed:
        return state

    def states(self, packed: Sequence[Packed]) -> Sequence[State]:
        return tuple(map(tuple, packed))

    def steps(self, states: Sequence[Packed]) -> Steps:
        plain = self.states(states)
        found = [(number, move) for number, state in enumerate(self._clock.during(plain)) for move in self.moves.enabled(state)]
        before = np.array([number for number, _ in found], np.intp)
        moves = np.array([self.moves.rank(move) for _, move in found], np.intp)
        return Steps(before, moves, [move.apply(plain[number]) for number, move in found])

    def test(self, term: z3.BoolRef) -> Callable[[Sequence[Packed]], NDArray[np.bool_]]:
        holds = self.moves.evaluator.compile(term)
        return lambda states: np.array([bool(holds(state)) for state in states], np.bool_)


class Table(Sequence[State]):
    """States as the rows of a table; what is read from it is plain."""

    def __init__(self, rows: Array) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, number: int) -> State: ...

    @overload
    def __getitem__(self, number: slice) -> Table: ...

    def __getitem__(self, number: int | slice) -> State | Table:
        return Table(self.rows[number]) if isinstance(number, slice) else tuple(self.rows[number].tolist())

    def __iter__(self) -> Iterator[State]:
        return map(tuple, self.rows.tolist())


class ByColumns:
    """All states at once. A move is folded when a state stands where it is filed, and what it changes when it first fires.

    Raises:
        Unfit: vectors cannot hold this system; so do its methods, when they meet a term that vectors cannot hold.
    """

    at_once = 4096

    def __init__(self, moves: Moves, clock: Clock | None = None) -> None:
        self.moves = moves
        self._clock = clock or Clock()
        self._columns = Vectors(moves.evaluator)
        self._width = len(moves.evaluator.layout.cells)
        self._live: dict[tuple[int, int] | None, list[tuple[int, Part]]] = {}
        self._changes: dict[int, list[tuple[int, Part]]] = {}
        self._seen: tuple[Sequence[Packed], Array, Batch] | None = None

    def pack(self, state: State) -> Packed:
        return np.array(state, self._columns.dtype).tobytes()

    def states(self, packed: Sequence[Packed]) -> Table:
        rows = b"".join(map(bytes, packed))  # `pack` and `steps` make nothing else
        return Table(np.frombuffer(rows, self._columns.dtype).reshape(len(packed), self._width))

    def test(self, term: z3.BoolRef) -> Callable[[Sequence[Packed]], NDArray[np.bool_]]:
        value = self._columns.term(term)
        if isinstance(value, Vector):
            return lambda states: self._spread(states)[1].at(value)
        return lambda states: np.full(len(states), bool(value))

    def steps(self, states: Sequence[Packed]) -> Steps:
        rows, batch = self._spread(states)
        found = list(self._fired(rows, batch))
        if not found:
            return Steps(np.array([], np.intp), np.array([], np.intp), [])
        before = np.concatenate([chosen for _, chosen, _ in found])
        moves = np.repeat([number for number, _, _ in found], [len(chosen) for _, chosen, _ in found])
        order = np.argsort(before, kind="stable")  # moves are tried in the order in which `enabled` names them
        after = np.concatenate([after for _, _, after in found])[order].tobytes()
        size = self._width * self._columns.dtype.itemsize
        return Steps(before[order], moves[order], [after[at * size : (at + 1) * size] for at in range(len(order))])

    def _spread(self, states: Sequence[Packed]) -> tuple[Array, Batch]:
        """The states as rows, and as vectors; those of the last question are kept for the next one."""
        if self._seen is None or self._seen[0] is not states:
            rows = self.states(states).rows
            self._seen = states, rows, Batch(np.ascontiguousarray(rows.T))
        return self._seen[1:]

    def _fired(self, rows: Array, everywhere: Batch) -> Iterator[tuple[int, NDArray[np.intp], Array]]:
        """Moves that are enabled somewhere: their number, in which states, and what follows."""
        for batch, live in self._candidates(everywhere):
            for number, guard in self._clock.during(live):
                chosen = batch.chosen if isinstance(guard, int) else batch.chosen[batch.at(guard)]
                if len(chosen):
                    after, here = rows[chosen], Batch(batch.cells, chosen)
                    for place, value in self._changed(number):
                        after[:, place] = value if isinstance(value, int) else here.at(value)
                    yield number, chosen, after

    def _candidates(self, everywhere: Batch) -> Iterator[tuple[Batch, list[tuple[int, Part]]]]:
        """The moves that may be enabled, with the states in which they may."""
        yield everywhere, self._guards(None, self.moves.always)
        for place, by_value in self.moves.filed.items():
            here = everywhere.cells[place]
            for value in np.unique(here).tolist():
                live = self._guards((place, value), by_value.get(value, ()))
                if live:
                    yield Batch(everywhere.cells, np.flatnonzero(here == value)), live

    def _guards(self, file: tuple[int, int] | None, moves: Sequence[Move]) -> list[tuple[int, Part]]:
        """The guards of the moves of a file that are not false everywhere."""
        if file not in self._live:
            there = self._clock.during(moves)
            guards = [(self.moves.rank(m), self._columns.term(m.action.guard, m.action.params, m.arguments)) for m in there]
            self._live[file] = [(number, guard) for number, guard in guards if isinstance(guard, Vector) or guard]
        return self._live[file]

    def _changed(self, number: int) -> list[tuple[int, Part]]:
        if number not in self._changes:
            move = self.moves.ranked[number]
            self._changes[number] = list(self._columns.changes(move.action, move.arguments))
        return self._changes[number]
