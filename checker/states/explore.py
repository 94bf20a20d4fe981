"""Explicit breadth-first exploration: exact counts, shortest runs, and an opinion that shares nothing with a solver.

A layer of states is expanded at once, in vectors (`layers.py`); every run that is told is one that plain evaluation repeats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import z3
from numpy.typing import NDArray

from ...core.errors import EngineError, InputError
from ...core.evaluation.evaluate import Evaluator, State
from ...core.sorts import Geometry
from ...core.system import Property, TransitionSystem
from ...core.trace import Trace, run
from ...core.verdict import INTERRUPTED, TIME_IS_UP, HoldsUpTo, Proved, Reason, ReasonKind, Unknown, Verdict, Violated
from ..attempt import Progress, Subject, at_size
from ..clock import Clock, OutOfTime
from .layers import Layers, OneByOne, Packed, Steps, at_best
from .livelock import Livelock, Livelocks, way_round
from .moves import Moves
from .stuck import Deadlocks, Ends, Stuck

ENGINE = "explore"


@dataclass
class Stats:
    """What an exploration counted.

    Args:
        states: distinct reachable states met.
        transitions: pairs of an expanded state and a move enabled in it.
        depth: the greatest distance from an initial state met: the diameter, if `complete`.
        fired: how often each action was enabled.
        dead_ends: expanded states without an enabled move.
        complete: nothing was left to expand.
    """

    states: int = 0
    transitions: int = 0
    depth: int = -1
    fired: Counter[str] = field(default_factory=Counter)
    dead_ends: int = 0
    complete: bool = False


@dataclass(frozen=True)
class Explored:
    """A verdict, and what was counted."""

    verdict: Verdict
    stats: Stats


def explore(
    system: TransitionSystem,
    geometry: Geometry,
    prop: Property,
    *,
    max_states: int | None = None,
    timeout: float | None = None,
) -> Explored:
    """Visit the reachable states, nearest first, until one violates `prop` or none is left.

    Returns:
        Violated with a shortest run; Proved, at this geometry only, when every state was visited; HoldsUpTo the depth that
        was fully visited when `max_states` or `timeout` (seconds) stopped it.

    >>> from tdpcheck.core.sorts import Geometry
    >>> from tdpcheck.examples.counter import broken, stays_within_the_limit, system
    >>> type(explore(system, Geometry({}), stays_within_the_limit).verdict).__name__
    'Proved'
    >>> explore(broken, Geometry({}), stays_within_the_limit).verdict.trace.depth
    11
    """
    clock = Clock(timeout)
    try:
        return at_best(Evaluator(system, geometry), lambda layers: _explored(layers, prop, max_states, clock), clock)
    except OutOfTime as stop:
        return Explored(Unknown(stop.why, ENGINE, seconds=clock.spent), Stats())


def by_exploration(
    subject: Subject, prop: Property, depth: int, *, timeout: float | None = None, progress: Progress | None = None
) -> Verdict:
    """`explore` as one engine among others: to the last state, whatever the depth that is asked for."""
    return explore(*at_size(subject), prop, timeout=timeout).verdict


def _explored(layers: Layers, prop: Property, max_states: int | None, clock: Clock) -> Explored:
    search = Breadth(layers, max_states, clock)
    done = -1
    try:
        holds = layers.test(prop.holds)
        for layer in search.layers():
            for part in search.parts(layer):
                broken = np.flatnonzero(~holds(part))
                if len(broken):
                    trace = search.run_to(part[broken[0]])
                    return Explored(Violated(trace, ENGINE, True, clock.spent), search.stats)
            done = search.stats.depth
    except KeyboardInterrupt:
        search.stopped = INTERRUPTED
    seconds = clock.spent
    if search.stats.complete:
        return Explored(Proved(str(layers.moves.evaluator.geometry) or "its only size", (), 0, ENGINE, seconds), search.stats)
    if done >= 0 or search.stopped is None:
        verdict: Verdict = HoldsUpTo(done, ENGINE, seconds=seconds)
    else:
        verdict = Unknown(search.stopped, ENGINE, seconds=seconds)
    return Explored(verdict, search.stats)


def reachable(system: TransitionSystem, geometry: Geometry, *, max_states: int | None = None) -> tuple[dict[State, int], Stats]:
    """Every reachable state with its distance from the initial states, and what was counted."""

    def found(layers: Layers) -> tuple[dict[State, int], Stats]:
        search = Breadth(layers, max_states, Clock())
        return {state: search.stats.depth for layer in search.layers() for state in layers.states(layer)}, search.stats

    return at_best(Evaluator(system, geometry), found)


@dataclass(frozen=True)
class Surveyed:
    """What one exploration says of several terms.

    Args:
        traces: for each term, a shortest run to a state in which it is true; None if no visited state is one.
        stats: what was counted; where it is `complete`, None means that no reachable state is one.
        stopped: why the search ended early, None if it did not.
        stuck: the stuck states, one for each place where threads rest; None if nobody asked, or not every state was visited.
        livelocks: the same of those in which threads go round for ever; None also where the time was up before anybody knew.
        states: every reachable state, if they were to be kept and the search is complete.
    """

    traces: dict[str, Trace | None]
    stats: Stats
    stopped: Reason | None = None
    stuck: tuple[Stuck, ...] | None = None
    livelocks: tuple[Livelock, ...] | None = None
    states: Sequence[State] = ()


def survey(
    system: TransitionSystem,
    geometry: Geometry,
    terms: Mapping[str, z3.BoolRef],
    *,
    max_states: int | None = None,
    timeout: float | None = None,
    ends: Ends | None = None,
    keep: bool = False,
    until: Collection[str] = (),
) -> Surveyed:
    """Visit the reachable states once, nearest first, and find the nearest state for each closed term.

    Args:
        until: go no further than where one of these terms is met.
        ends: find the stuck states, too, and the livelocks.
        keep: answer with the states themselves, too; `explored.py` makes a proof of them.
    """
    clock = Clock(timeout)

    def surveyed(layers: Layers) -> Surveyed:
        still = None if ends is None else Deadlocks(layers, ends)
        round_ = None if ends is None else Livelocks(layers, ends)
        search = Breadth(layers, max_states, clock, watching=[each for each in (still, round_) if each is not None])
        nearest: dict[str, Packed] = {}
        try:
            open_ = {name: layers.test(term) for name, term in terms.items()}
            for layer in search.layers():
                for part in search.parts(layer):
                    hits = {name: np.flatnonzero(test(part)) for name, test in open_.items()}
                    nearest |= {name: part[hit[0]] for name, hit in hits.items() if len(hit)}
                    open_ = {name: test for name, test in open_.items() if name not in nearest}
                if not nearest.keys().isdisjoint(until):
                    break
        except KeyboardInterrupt:
            search.stopped = INTERRUPTED
        traces = {name: search.run_to(nearest[name]) if name in nearest else None for name in terms}
        if not search.stats.complete:
            return Surveyed(traces, search.stats, search.stopped)
        met = search.met
        states = layers.states(met)
        stuck = None
        if still is not None:
            stuck = tuple(Stuck(search.run_to(met[numbers[0]]), len(numbers)) for numbers in still.stuck(states))
        livelocks = None if round_ is None else _livelocks(search, round_, clock)
        return Surveyed(traces, search.stats, search.stopped, stuck, livelocks, states if keep else ())

    try:
        return at_best(Evaluator(system, geometry), surveyed, clock)
    except OutOfTime as stop:
        return Surveyed(dict.fromkeys(terms), Stats(), stop.why)


def _livelocks(search: Breadth, gathered: Livelocks, clock: Clock) -> tuple[Livelock, ...] | None:
    met, found = search.met, []
    try:
        for components in gathered.found(met, clock):
            first, states = components[0], sum(len(each.states) for each in components)
            there = met[first.states[0]]
            turn = first.edges.moves[way_round(first)].tolist()
            trace = search.run_to(there, turn)
            found.append(Livelock(trace, trace.depth - len(turn), states, first.going))
    except OutOfTime:
        return None
    return tuple(found)


def way(
    moves: Moves, start: State, wanted: Callable[[State], bool], *, max_states: int | None = None, timeout: float | None = None
) -> Surveyed:
    """Look for a shortest run from any state, `start`, to one that is `wanted`; the only term of the answer is called 'wanted'."""
    clock = Clock(timeout)
    layers = OneByOne(moves, clock)
    search = Breadth(layers, max_states, clock, start=start)
    found = None
    for layer in search.layers():
        found = next((state for state in layers.states(layer) if wanted(state)), None)
        if found is not None:
            break
    return Surveyed({"wanted": None if found is None else search.run_to(found)}, search.stats, search.stopped)


class Watcher(Protocol):
    """Is told of every state and what follows it, while a system is explored."""

    def note(self, first: int, states: Sequence[Packed], steps: Steps, following: NDArray[np.intp]) -> None:
        """States that are expanded now, numbered from `first`, with their steps and the numbers of the states that these lead to."""


class Breadth:
    """Breadth-first search that remembers how it came to each state; from the initial states, or from `start`.

    States have numbers, in the order in which they were met.

    Args:
        watching: told of every state and what follows it.
    """

    def __init__(
        self,
        layers: Layers,
        max_states: int | None,
        clock: Clock,
        *,
        start: State | None = None,
        watching: Sequence[Watcher] = (),
    ) -> None:
        self._layers = layers
        self._evaluator = layers.moves.evaluator
        self._start = start
        self._watching = watching
        self.stats = Stats(fired=Counter({a.name: 0 for a in self._evaluator.system.actions}))
        self.stopped: Reason | None = None
        self._numbers: dict[Packed, int] = {}
        self._starts: list[State] = []
        self._before: list[int] = []
        self._moves: list[int] = []
        self._max_states = max_states
        self._clock = clock

    def layers(self) -> Iterator[Sequence[Packed]]:
        """The new states at each depth, for as long as there are any and the limits allow."""
        self._starts = list(dict.fromkeys(self._evaluator.initial() if self._start is None else [self._start]))
        layer: list[Packed] = list(map(self._layers.pack, self._starts))
        self._numbers.update({state: number for number, state in enumerate(layer)})
        while layer:
            first = self.stats.states
            self.stats.states += len(layer)
            self.stats.depth += 1
            yield layer
            following: list[Packed] = []
            for part in self.parts(layer):
                if self._exhausted():
                    return
                try:
                    following += self._after(first, part)
                except OutOfTime as stop:
                    self.stopped = stop.why
                    return
                first += len(part)
            layer = following
        self.stats.complete = True

    def parts(self, layer: Sequence[Packed]) -> Iterator[Sequence[Packed]]:
        """A layer in parts that are small enough to be asked about in one go."""
        size = self._layers.at_once
        if len(layer) <= size:
            return iter((layer,))  # itself: whoever asks again is known to ask about the same states
        return (layer[first : first + size] for first in range(0, len(layer), size))

    def _after(self, first: int, states: Sequence[Packed]) -> list[Packed]:
        """The states, none met so far, that follow these, which are numbered from `first`."""
        steps, numbers, known = self._layers.steps(states), self._numbers, len(self._numbers)
        self.stats.transitions += len(steps.after)
        self.stats.dead_ends += len(states) - len(np.unique(steps.before))
        for move, times in enumerate(np.bincount(steps.moves).tolist()):
            if times:
                self.stats.fired[self._layers.moves.ranked[move].action.name] += times
        to = np.array([numbers.setdefault(state, len(numbers)) for state in steps.after], np.intp)
        # A state that was met just now has a greater number than all before it.
        new = np.flatnonzero(np.diff(np.maximum.accumulate(np.concatenate([[known - 1], to]))))
        self._before += (steps.before[new] + first).tolist()
        self._moves += steps.moves[new].tolist()
        for each in self._watching:
            each.note(first, states, steps, to)
        return [steps.after[step] for step in new.tolist()]

    def _exhausted(self) -> bool:
        if self._max_states is not None and len(self._numbers) > self._max_states:
            self.stopped = Reason(ReasonKind.STATES, f"more than {self._max_states} states")
        elif self._clock.is_up:
            self.stopped = TIME_IS_UP
        return self.stopped is not None

    @property
    def started(self) -> int:
        """How many initial states there are: theirs are the first numbers."""
        return len(self._starts)

    @property
    def met(self) -> list[Packed]:
        """The states met so far."""
        return list(self._numbers)

    def run_to(self, state: Packed, turn: Sequence[int] = ()) -> Trace:
        """The run by which the search came to a state, and from there on by moves that lead back to it.

        Raises:
            EngineError: plain evaluation does not come there.
        """
        number, starts = self._numbers[state], len(self._starts)
        schedule = []
        while number >= starts:
            move = self._layers.moves.ranked[self._moves[number - starts]]
            schedule.append((move.action, move.arguments))
            number = self._before[number - starts]
        again = [(move.action, move.arguments) for move in map(self._layers.moves.ranked.__getitem__, turn)]
        try:
            found = run(self._evaluator, self._starts[number], [*schedule[::-1], *again])
        except InputError as error:
            raise EngineError(f"exploration: vectors and plain evaluation disagree: {error}") from error
        if any(self._layers.pack(found.states[there]) != state for there in (len(schedule), -1)):
            raise EngineError("exploration: vectors and plain evaluation disagree on where a run ends")
        return found
