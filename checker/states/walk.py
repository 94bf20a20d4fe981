"""Random walks on the concrete semantics: the cheapest way to find a common fault, and what a system can do at all.

A walk that finds nothing says nothing: its verdict is Unknown. Each walk prefers some actions over others, at random, so
that walks differ more than coin tosses would make them (Groce et al.: Swarm Testing, ISSTA 2012).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import z3

from ...core.evaluation.evaluate import Evaluator, Move, State
from ...core.sorts import Geometry
from ...core.system import Action, Property, TransitionSystem
from ...core.trace import Trace, replays, run
from ...core.verdict import INTERRUPTED, TIME_IS_UP, Reason, ReasonKind, Unknown, Verdict, Violated
from ..attempt import Progress, Subject, at_size
from ..clock import Clock, OutOfTime
from .moves import Moves, Schedule

ENGINE = "walk"
PREFERENCES = (1.0, 1.0, 0.3, 0.05)
"""How eagerly a walk takes an action that it may take: drawn anew for each action at the start of each walk."""


@dataclass
class Coverage:
    """What the walks met.

    Args:
        fired: how often each action fired; those that never did are at 0.
        goals: for each goal, a run to the nearest state in which it held, or None.
        steps: in all walks together.
        walks: how many.
    """

    fired: Counter[str] = field(default_factory=Counter)
    goals: dict[str, Trace | None] = field(default_factory=dict)
    steps: int = 0
    walks: int = 0

    @property
    def never_fired(self) -> tuple[str, ...]:
        """The actions that no walk took, in the order of the system."""
        return tuple(name for name, times in self.fired.items() if times == 0)

    @property
    def depths(self) -> dict[str, int | None]:
        """For each goal the least depth at which it was met, if it was."""
        return {name: None if trace is None else trace.depth for name, trace in self.goals.items()}


@dataclass(frozen=True)
class Walked:
    """A verdict, and what was met on the way."""

    verdict: Verdict
    coverage: Coverage


def walk(
    system: TransitionSystem,
    geometry: Geometry,
    prop: Property,
    *,
    goals: Mapping[str, z3.BoolRef] | None = None,
    seed: int = 0,
    length: int = 60,
    walks: int = 2_000,
    timeout: float | None = 5.0,
    eagerness: Callable[[Action], float] | None = None,
    stop: bool = True,
) -> Walked:
    """Walk at random until `prop` is violated, the walks are done or the time is up.

    The same seed gives the same walks, unless the time runs out.

    Args:
        goals: closed terms to watch for.
        length: steps of one walk; then it starts again.
        eagerness: between 0 and 1 for each action; by default what comes from kernel C is preferred over the machine.
        stop: end at the first violation; otherwise go on and gather coverage, and answer with the shortest run met.

    Returns:
        Violated with a shortened trace that replays (`shortest` is None: nobody established that), or Unknown.
    """
    clock = Clock(timeout)
    try:
        walker = _Walker(system, geometry, prop, goals or {}, random.Random(seed), length, eagerness or _software_first, clock)
    except OutOfTime as stop:
        return Walked(Unknown(stop.why, ENGINE, seconds=clock.spent), _unmet(system, goals or {}))
    why = Reason(ReasonKind.WALKS, f"{walks} random walks met no violation")
    try:
        for _ in range(walks):
            walker.once(clock)
            if walker.found is not None and stop:
                break
            if clock.is_up:
                why = walker.after(TIME_IS_UP)
                break
    except KeyboardInterrupt:
        why = walker.after(INTERRUPTED)
    trace = walker.trace()
    if trace is None:
        return Walked(Unknown(why, ENGINE, seconds=clock.spent), walker.coverage)
    trace = shorten(trace, prop, walker.evaluator)
    return Walked(Violated(trace, ENGINE, None, clock.spent), walker.coverage)


def by_walking(subject: Subject, prop: Property, depth: int, *, timeout: float | None = None, progress: Progress | None = None) -> Verdict:
    """`walk` as one engine among others: runs of so many steps."""
    return walk(*at_size(subject), prop, length=depth, timeout=timeout).verdict


def _software_first(action: Action) -> float:
    return 1.0 if action.source else 0.4


def _unmet(system: TransitionSystem, goals: Mapping[str, z3.BoolRef]) -> Coverage:
    return Coverage(Counter({a.name: 0 for a in system.actions}), dict.fromkeys(goals))


class _Walker:
    """One system made ready for walking, and what its walks have met so far."""

    def __init__(
        self,
        system: TransitionSystem,
        geometry: Geometry,
        prop: Property,
        goals: Mapping[str, z3.BoolRef],
        rng: random.Random,
        length: int,
        eagerness: Callable[[Action], float],
        clock: Clock,
    ) -> None:
        self.evaluator = Evaluator(system, geometry)
        self._moves = Moves(self.evaluator, clock)
        self._holds = self.evaluator.compile(prop.holds)
        self._goals = {name: self.evaluator.compile(goal) for name, goal in goals.items()}
        self._rng = rng
        self._length = length
        self._eager = {action.name: eagerness(action) for action in system.actions}
        self.coverage = _unmet(system, goals)
        self.found: tuple[State, list[Move]] | None = None

    def after(self, why: Reason) -> Reason:
        """Why the walks ended, with how many there were."""
        return Reason(why.kind, f"{why} after {self.coverage.walks} random walks without a violation")

    def once(self, clock: Clock) -> None:
        """One walk from an initial state."""
        rng = self._rng
        self.coverage.walks += 1
        eager = {name: max(1e-3, base * rng.choice(PREFERENCES)) for name, base in self._eager.items()}
        state = start = self.evaluator.random_initial(rng)
        taken: list[Move] = []
        if self._look(start, taken, state):
            return
        for _ in range(self._length):
            move = self._choose(state, eager)
            if move is None:
                return
            state = move.apply(state)
            taken.append(move)
            self.coverage.steps += 1
            self.coverage.fired[move.action.name] += 1
            if self._look(start, taken, state) or clock.is_up:
                return

    def _choose(self, state: State, eager: Mapping[str, float]) -> Move | None:
        """An enabled move, at random: candidates are drawn and tested, so that most guards are never evaluated."""
        rng = self._rng.random
        candidates = self._moves.candidates(state)
        put_off: list[Move] = []
        while candidates:
            place = int(rng() * len(candidates))
            move = candidates[place]
            candidates[place] = candidates[-1]
            candidates.pop()
            if rng() > eager[move.action.name]:
                put_off.append(move)
            elif move.guard(state):
                return move
        self._rng.shuffle(put_off)
        return next((move for move in put_off if move.guard(state)), None)

    def _look(self, start: State, taken: list[Move], state: State) -> bool:
        """Note the goals met in `state`; whether it is bad."""
        for name, goal in self._goals.items():
            known = self.coverage.goals[name]
            if (known is None or len(taken) < known.depth) and goal(state):
                self.coverage.goals[name] = run(self.evaluator, start, _schedule(taken))
        if self._holds(state):
            return False
        if self.found is None or len(taken) < len(self.found[1]):
            self.found = start, list(taken)
        return True

    def trace(self) -> Trace | None:
        """The shortest violation met, run again."""
        return None if self.found is None else run(self.evaluator, self.found[0], _schedule(self.found[1]))


def _schedule(moves: list[Move]) -> list[tuple[Action, tuple[int, ...]]]:
    return [(move.action, move.arguments) for move in moves]


def shorten(trace: Trace, prop: Property, evaluator: Evaluator | None = None) -> Trace:
    """A run with as few of the steps of `trace` as dropping steps can leave, which still ends in a violation.

    Steps that are no longer enabled once others are gone are dropped with them. No shorter run of *other* steps is looked
    for, so the result need not be the shortest.
    """
    evaluator = evaluator or Evaluator(trace.system, trace.geometry)
    holds = evaluator.compile(prop.holds)
    schedule: Schedule = [(step.action, step.arguments) for step in trace.steps]
    schedule = _tried(evaluator, trace.initial, schedule, holds) or schedule
    size = max(1, len(schedule) // 2)
    while True:
        place = len(schedule)
        changed = False
        while place > 0:
            first = max(0, place - size)
            shorter = _tried(evaluator, trace.initial, [*schedule[:first], *schedule[place:]], holds)
            if shorter is not None and len(shorter) < len(schedule):
                schedule, changed = shorter, True
                place = min(first, len(schedule))
            else:
                place = first
        if size == 1 and not changed:
            break
        size = max(1, size // 2) if not changed else min(size, max(1, len(schedule) // 2))
    result = run(evaluator, trace.initial, schedule)
    return result if replays(result, prop, evaluator) else trace


def _tried(evaluator: Evaluator, state: State, schedule: Schedule, holds: Callable[[State], bool]) -> Schedule | None:
    """The steps of `schedule` that can fire, up to the first violation; None if there is none."""
    fired: list[tuple[Action, tuple[int, ...]]] = []
    if not holds(state):
        return fired
    for action, arguments in schedule:
        if evaluator.enabled(action, arguments, state):
            state = evaluator.after(action, arguments, state)
            fired.append((action, arguments))
            if not holds(state):
                return fired
    return None
