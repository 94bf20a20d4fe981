"""Stuck states: nobody can go on, and the machine will not change that.

A stuck state is one in which some thread is not at its end, no thread has an enabled step, and no sequence of machine steps
leads to a state in which one has. On a completely explored graph that is a matter of counting, and exact: of the states in which
no thread can step, those from which machine steps lead to another kind of state are not stuck, and all others are.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import z3
from numpy.typing import NDArray

from ...core.evaluation.evaluate import State
from ...core.sorts import StateVar
from ...core.system import Action
from ...core.trace import Trace
from .layers import Layers, Packed, Steps

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class Ends:
    """What it takes to see that a system stands still.

    Args:
        done: a closed term: every thread is at its end, or the run is one that nobody asks about.
        software: whether an action is a thread's own step; all others are the machine's.
        places: where each thread rests; stuck states that agree on it are told as one.
        excused: a closed term: the run is one that nobody asks about. It stays so, whoever steps.
    """

    done: z3.BoolRef
    software: Callable[[Action], bool]
    places: StateVar
    excused: z3.BoolRef = field(default_factory=lambda: z3.BoolVal(False))


@dataclass(frozen=True)
class Stuck:
    """Stuck states in which every thread rests in the same place: a shortest run to one of them, and how many there are."""

    trace: Trace
    states: int


class Deadlocks:
    """Gathers, while a system is explored, the states in which no thread can step; states are numbers here, nearest first."""

    def __init__(self, layers: Layers, ends: Ends) -> None:
        evaluator = layers.moves.evaluator
        self._done = layers.test(ends.done)
        self._software = np.array([ends.software(move.action) for move in layers.moves.ranked], np.bool_)
        self._places = [i for i, cell in enumerate(evaluator.layout.cells) if cell.var.name == ends.places.name]
        self._waiting: dict[int, tuple[int, ...]] = {}

    def note(self, first: int, states: Sequence[Packed], steps: Steps, following: NDArray[np.intp]) -> None:
        """States that are expanded now, numbered from `first`, with their steps and the numbers of the states that these lead to."""
        waits = np.ones(len(states), np.bool_)
        waits[steps.before[self._software[steps.moves]]] = False
        if waits.any():
            waits &= ~self._done(states)
        numbers = np.flatnonzero(waits)
        bounds = zip(np.searchsorted(steps.before, numbers), np.searchsorted(steps.before, numbers + 1), strict=True)
        for number, (start, stop) in zip(numbers.tolist(), bounds, strict=True):
            self._waiting[first + number] = tuple(following[start:stop].tolist())

    def stuck(self, states: Sequence[State]) -> list[list[int]]:
        """The stuck states of a completely explored system; those together in which all threads rest in the same places."""
        found: dict[tuple[int, ...], list[int]] = {}
        for number in stuck_states(self._waiting):
            state = states[number]
            found.setdefault(tuple(state[place] for place in self._places), []).append(number)
        return list(found.values())


def stuck_states(waiting: Mapping[T, Iterable[T]]) -> list[T]:
    """Of the states in which no thread can step, those from which every sequence of machine steps (their edges) stays among them."""
    before: dict[T, list[T]] = {}
    free: list[T] = []
    for state, following in waiting.items():
        for after in following:
            if after in waiting:
                before.setdefault(after, []).append(state)
            else:
                free.append(state)
    freed = set(free)
    while free:
        for state in before.get(free.pop(), ()):
            if state not in freed:
                freed.add(state)
                free.append(state)
    return [state for state in waiting if state not in freed]
