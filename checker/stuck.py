"""Stuck states: nobody can go on, and the machine will not change that.

A stuck state is one in which some thread is not at its end, no thread has an enabled step, and no sequence of machine steps
leads to a state in which one has. On a completely explored graph that is a matter of counting, and exact: of the states in which
no thread can step, those from which machine steps lead to another kind of state are not stuck, and all others are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import z3

from ..core.evaluate import Evaluator, Move, State
from ..core.sorts import StateVar
from ..core.system import Action
from ..core.trace import Trace


@dataclass(frozen=True)
class Ends:
    """What it takes to see that a system stands still.

    Args:
        done: a closed term: every thread is at its end.
        software: whether an action is a thread's own step; all others are the machine's.
        places: where each thread rests; stuck states that agree on it are told as one.
    """

    done: z3.BoolRef
    software: Callable[[Action], bool]
    places: StateVar


@dataclass(frozen=True)
class Stuck:
    """Stuck states in which every thread rests in the same place: a shortest run to one of them, and how many there are."""

    trace: Trace
    states: int


class Standstill:
    """Gathers, while a system is explored, the states in which no thread can step."""

    def __init__(self, evaluator: Evaluator, ends: Ends) -> None:
        self._done = evaluator.compile(ends.done)
        self._software = frozenset(a.name for a in evaluator.system.actions if ends.software(a))
        layout, places = evaluator.layout, ends.places
        self._places = [i for i, cell in enumerate(layout.cells) if cell.var.name == places.name]
        self._waiting: dict[State, tuple[State, ...]] = {}

    def note(self, state: State, moves: Sequence[Move], following: Iterable[State]) -> None:
        """A state that is expanded now, with its enabled moves and where they lead; nearest states first."""
        software = self._software
        if any(move.action.name in software for move in moves) or self._done(state):
            return
        self._waiting[state] = tuple(following)

    def stuck(self) -> dict[tuple[int, ...], list[State]]:
        """The stuck states of a completely explored system by where their threads rest, nearest first."""
        return by_place(stuck_states(self._waiting), self._places)


def stuck_states(waiting: Mapping[State, Iterable[State]]) -> list[State]:
    """Of the states in which no thread can step, those from which every sequence of machine steps (their edges) stays among them."""
    before: dict[State, list[State]] = {}
    free: list[State] = []
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


def by_place(states: Iterable[State], places: Sequence[int]) -> dict[tuple[int, ...], list[State]]:
    """States by their values at some cells, in the order in which they come."""
    found: dict[tuple[int, ...], list[State]] = {}
    for state in states:
        found.setdefault(tuple(state[i] for i in places), []).append(state)
    return found
