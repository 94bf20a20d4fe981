"""Explicit breadth-first exploration by plain evaluation: exact counts, shortest runs, and an opinion that shares nothing with a solver."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import z3

from ..core.evaluate import Evaluator, Move, State
from ..core.sorts import Geometry
from ..core.system import Property, TransitionSystem
from ..core.trace import Trace, run
from ..core.verdict import HoldsUpTo, Proved, Unknown, Verdict, Violated
from .moves import Moves
from .stuck import Ends, Standstill, Stuck

ENGINE = "explore"
INTERRUPTED = "interrupted"


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


Parents = dict[State, tuple[State, Move] | None]


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
    started = time.monotonic()
    search = _Breadth(Evaluator(system, geometry), max_states, None if timeout is None else started + timeout)
    holds = search.evaluator.compile(prop.holds)
    done = -1
    try:
        for layer in search.layers():
            for state in layer:
                if not holds(state):
                    return Explored(Violated(search.run_to(state), ENGINE, True, time.monotonic() - started), search.stats)
            done = search.stats.depth
    except KeyboardInterrupt:
        search.stopped = INTERRUPTED
    seconds = time.monotonic() - started
    if search.stats.complete:
        return Explored(Proved(str(geometry) or "its only size", (), 0, ENGINE, seconds), search.stats)
    verdict: Verdict = HoldsUpTo(done, ENGINE, seconds=seconds) if done >= 0 else Unknown(search.stopped, ENGINE, seconds=seconds)
    return Explored(verdict, search.stats)


def reachable(system: TransitionSystem, geometry: Geometry, *, max_states: int | None = None) -> tuple[dict[State, int], Stats]:
    """Every reachable state with its distance from the initial states, and what was counted."""
    search = _Breadth(Evaluator(system, geometry), max_states, None)
    found = {state: search.stats.depth for layer in search.layers() for state in layer}
    return found, search.stats


@dataclass(frozen=True)
class Surveyed:
    """What one exploration says of several terms.

    Args:
        traces: for each term, a shortest run to a state in which it is true; None if no visited state is one.
        stats: what was counted; where it is `complete`, None means that no reachable state is one.
        stopped: why the search ended early, empty if it did not.
        stuck: the stuck states, one for each place where threads rest; None if nobody asked, or not every state was visited.
        states: every reachable state, if they were to be kept and the search is complete.
    """

    traces: dict[str, Trace | None]
    stats: Stats
    stopped: str = ""
    stuck: tuple[Stuck, ...] | None = None
    states: tuple[State, ...] = ()


def survey(
    system: TransitionSystem,
    geometry: Geometry,
    terms: Mapping[str, z3.BoolRef],
    *,
    max_states: int | None = None,
    timeout: float | None = None,
    ends: Ends | None = None,
    keep: bool = False,
) -> Surveyed:
    """Visit the reachable states once, nearest first, and find the nearest state for each closed term.

    Args:
        ends: find the stuck states, too.
        keep: answer with the states themselves, too; `explored.py` makes a proof of them.
    """
    evaluator = Evaluator(system, geometry)
    still = None if ends is None else Standstill(evaluator, ends)
    search = _Breadth(evaluator, max_states, None if timeout is None else time.monotonic() + timeout, still=still)
    tests = {name: search.evaluator.compile(term) for name, term in terms.items()}
    nearest: dict[str, State] = {}
    try:
        for layer in search.layers():
            for name in [n for n in tests if n not in nearest]:
                test = tests[name]
                hit = next((state for state in layer if test(state)), None)
                if hit is not None:
                    nearest[name] = hit
    except KeyboardInterrupt:
        search.stopped = INTERRUPTED
    traces = {name: search.run_to(nearest[name]) if name in nearest else None for name in terms}
    stuck = None
    if still is not None and search.stats.complete:
        stuck = tuple(Stuck(search.run_to(states[0]), len(states)) for states in still.stuck().values())
    states = search.visited if keep and search.stats.complete else ()
    return Surveyed(traces, search.stats, search.stopped, stuck, states)


def way(
    moves: Moves, start: State, wanted: Callable[[State], bool], *, max_states: int | None = None, timeout: float | None = None
) -> Surveyed:
    """Look for a shortest run from any state, `start`, to one that is `wanted`; the only term of the answer is called 'wanted'."""
    search = _Breadth(moves, max_states, None if timeout is None else time.monotonic() + timeout, start=start)
    found = None
    for layer in search.layers():
        found = next((state for state in layer if wanted(state)), None)
        if found is not None:
            break
    return Surveyed({"wanted": None if found is None else search.run_to(found)}, search.stats, search.stopped)


class _Breadth:
    """Breadth-first search that remembers how it came to each state; from the initial states, or from `start`.

    Args:
        still: told of every state and what follows it.
    """

    def __init__(
        self,
        system: Evaluator | Moves,
        max_states: int | None,
        deadline: float | None,
        *,
        start: State | None = None,
        still: Standstill | None = None,
    ) -> None:
        self._moves = system if isinstance(system, Moves) else Moves(system)
        self.evaluator = evaluator = self._moves.evaluator
        self._start = start
        self._still = still
        self.stats = Stats(fired=Counter({a.name: 0 for a in evaluator.system.actions}))
        self.stopped = ""
        self._parents: Parents = {}
        self._max_states = max_states
        self._deadline = deadline

    def layers(self) -> Iterator[list[State]]:
        """The new states at each depth, for as long as there are any and the limits allow."""
        layer = list(dict.fromkeys(self.evaluator.initial() if self._start is None else [self._start]))
        self._parents.update(dict.fromkeys(layer))
        while layer:
            self.stats.states += len(layer)
            self.stats.depth += 1
            yield layer
            following = self._after(layer)
            if following is None:
                return
            layer = following
        self.stats.complete = True

    def _after(self, layer: list[State]) -> list[State] | None:
        parents, fired, enabled = self._parents, self.stats.fired, self._moves.enabled
        following: list[State] = []
        for number, state in enumerate(layer):
            if number % 64 == 0 and self._exhausted():
                return None
            moves = enabled(state)
            if not moves:
                self.stats.dead_ends += 1
            self.stats.transitions += len(moves)
            reached = []
            for move in moves:
                fired[move.action.name] += 1
                after = move.apply(state)
                reached.append(after)
                if after not in parents:
                    parents[after] = (state, move)
                    following.append(after)
            if self._still is not None:
                self._still.note(state, moves, reached)
        return following

    def _exhausted(self) -> bool:
        if self._max_states is not None and len(self._parents) > self._max_states:
            self.stopped = f"more than {self._max_states} states"
        elif self._deadline is not None and time.monotonic() > self._deadline:
            self.stopped = "the time is up"
        return bool(self.stopped)

    @property
    def visited(self) -> tuple[State, ...]:
        """The states met so far."""
        return tuple(self._parents)

    def run_to(self, state: State) -> Trace:
        """The run by which the search came to `state`."""
        schedule = []
        step = self._parents[state]
        while step is not None:
            state, move = step
            schedule.append((move.action, move.arguments))
            step = self._parents[state]
        return run(self.evaluator, state, schedule[::-1])
