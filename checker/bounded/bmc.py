"""Bounded model checking: is a bad state at most so many steps away?

The unrolled system may stutter before a run, so "bad after exactly K steps" asks for every depth up to K at once.
One such question costs far less than K questions, depth by depth. A model is never believed: it only supplies an initial
state and a schedule, which are run again by plain evaluation.

Biere, Cimatti, Clarke, Zhu: Symbolic Model Checking without BDDs, TACAS 1999.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import z3

from ...core.errors import EngineError, InputError
from ...core.evaluation.evaluate import Evaluator
from ...core.ground import bad, cone
from ...core.system import Property
from ...core.trace import Trace, replays, run
from ...core.verdict import INTERRUPTED, Reason, ReasonKind, Verdict, Violated, solver_reason
from ..attempt import Attempt, Progress, Subject, as_grounded
from ..clock import Clock, OutOfTime
from ..states.walk import shorten
from .symmetry import use_in_order
from .unroller import Unroller

ENGINE = "bmc"
CHUNK = 8
"""How many more steps each question covers. Asking far too deep is cheaper than asking often."""


def bmc(subject: Subject, prop: Property, depth: int, *, timeout: float | None = None, progress: Progress | None = None) -> Verdict:
    """Search for a run of at most `depth` steps that ends in a state where `prop` does not hold.

    Args:
        timeout: seconds for everything, the search for the shortest run included.

    Returns:
        Violated with a replayed trace, `shortest` if that was established in time; HoldsUpTo `depth`; or Unknown with
        the depth up to which nothing was found. An interrupt from the keyboard answers with what is known by then.

    Raises:
        EngineError: the solver's run does not replay.
    """

    def answer(attempt: Attempt) -> Violated | None:
        search = _Search(attempt)
        found = search.up_to(depth)
        return None if found is None else Violated(found, ENGINE, search.shortest, attempt.clock.spent)

    return Attempt(ENGINE, subject, prop, Clock(timeout), progress).answer(answer)


@dataclass(frozen=True, slots=True)
class Reached:
    """Whether a goal can be reached.

    Args:
        trace: a replayed run that ends in the goal, if one was found.
        shortest: no shorter run reaches it; None when nobody established that.
        refuted: no run of at most so many steps reaches it (-1: nothing is known).
        reason: why the search stopped early, if it did.
    """

    trace: Trace | None
    shortest: bool | None = None
    refuted: int = -1
    reason: Reason | None = None

    @property
    def depth(self) -> int | None:
        """The least number of steps known to reach the goal."""
        return None if self.trace is None else self.trace.depth


def reach(
    subject: Subject,
    goals: Mapping[str, z3.BoolRef],
    depth: int,
    *,
    timeout: float | None = None,
    shortest: bool = True,
    progress: Progress | None = None,
) -> dict[str, Reached]:
    """For each goal (a closed term of the system), a run of at most `depth` steps that ends in it, or how far there is none.

    Args:
        timeout: seconds for all goals together.
        shortest: look for the shortest run to each; otherwise the first one found will do.

    Raises:
        EngineError: the solver's run does not replay.
    """
    clock = Clock(timeout)
    try:
        grounded = as_grounded(subject, clock)
    except OutOfTime as stop:
        return {name: Reached(None, reason=stop.why) for name in goals}
    results: dict[str, Reached] = {}
    stopped: Reason | None = None
    for name, goal in goals.items():
        if stopped is not None and stopped.kind is ReasonKind.INTERRUPTED:
            results[name] = Reached(None, reason=stopped)
            continue
        attempt = Attempt(ENGINE, grounded, Property(name, f"{name} is out of reach", z3.Not(goal)), clock, progress)
        search = _Search(attempt)
        try:
            found = search.up_to(depth, shorten_it=shortest)
            stopped = search.stopped
        except (OutOfTime, KeyboardInterrupt) as stop:
            found, stopped = None, _why(stop)
        results[name] = Reached(found, search.shortest, attempt.refuted, stopped)
    return results


class _Search:
    """The questions about one property on one unrolling, and what the answers taught."""

    def __init__(self, attempt: Attempt) -> None:
        grounded, prop = attempt.grounded(), attempt.prop
        self._attempt = attempt
        self._prop = prop
        self._bad = bad(grounded, prop)
        self._unroller = Unroller(use_in_order(cone(grounded, [self._bad]), [prop.holds]))
        self._evaluator = Evaluator(grounded.system, grounded.geometry)
        self._unrolled: list[z3.BoolRef] = [self._unroller.initial()]
        self.shortest: bool | None = None
        self.stopped: Reason | None = None

    def up_to(self, depth: int, *, shorten_it: bool = True) -> Trace | None:
        """The shortest bad run of at most `depth` steps that could be found in time; None if there is none."""
        attempt = self._attempt
        while attempt.refuted < depth:
            ask = min(depth, attempt.refuted + CHUNK if attempt.refuted >= 0 else CHUNK)
            trace = self._ask(ask)
            if trace is not None:
                return self._shorter(trace) if shorten_it else trace
            attempt.nothing_within(ask)
        return None

    def _shorter(self, trace: Trace) -> Trace:
        trace = shorten(trace, self._prop, self._evaluator)
        try:
            while trace.depth > self._attempt.refuted + 1:
                shorter = self._ask(trace.depth - 1)
                if shorter is None:
                    self._attempt.refuted = trace.depth - 1
                    break
                trace = shorten(shorter, self._prop, self._evaluator)
        except (OutOfTime, KeyboardInterrupt) as stop:
            self.stopped = _why(stop)
            return trace
        self.shortest = True
        return trace

    def _ask(self, depth: int) -> Trace | None:
        """A run to a bad state of at most `depth` steps, or None if the solver excludes it."""
        unroller, refuted = self._unroller, self._attempt.refuted
        while len(self._unrolled) <= depth:
            self._unrolled.append(unroller.transition(len(self._unrolled) - 1))
        solver = z3.Then("simplify", "propagate-values", "bit-blast", "smt").solver()  # measured: the steadiest of nine back ends
        solver.add(self._unrolled[: depth + 1])
        # A run rests first and acts then. What is refuted already leaves it less time to rest.
        solver.add([z3.Implies(unroller.rests(step + 1), unroller.rests(step)) for step in range(depth - 1)])
        if 0 <= refuted < depth:
            solver.add(z3.Not(unroller.rests(depth - refuted - 1)))
            solver.add([z3.Not(unroller.at(self._bad, step)) for step in range(refuted + 1)])
        solver.add(unroller.at(self._bad, depth))
        answer = self._check(solver)
        if answer == z3.unsat:
            return None
        return self._run(solver.model(), depth)

    def _check(self, solver: z3.Solver) -> z3.CheckSatResult:
        limit = self._attempt.clock.milliseconds()
        if limit is not None:
            solver.set("timeout", limit)
        answer = solver.check()
        if answer == z3.unknown:
            raise _stopped(solver.reason_unknown())
        return answer

    def _run(self, model: z3.ModelRef, depth: int) -> Trace:
        initial = self._evaluator.first(self._unroller.first_values(model))
        schedule = [(a.action, a.arguments) for a in self._unroller.schedule(model, depth)]
        try:
            trace = run(self._evaluator, initial, schedule)
        except InputError as refused:
            raise EngineError(f"{ENGINE}: the run that the solver found for {self._prop.name} does not replay: {refused}") from refused
        if not replays(trace, self._prop, self._evaluator):
            raise EngineError(f"{ENGINE}: the run that the solver found for {self._prop.name} does not end in a violation when replayed")
        return trace


def _why(stop: OutOfTime | KeyboardInterrupt) -> Reason:
    return stop.why if isinstance(stop, OutOfTime) else INTERRUPTED


def _stopped(answer: str) -> OutOfTime | KeyboardInterrupt:
    """Why there is no answer, from what the solver said; it says nothing when Python itself was interrupted."""
    why = solver_reason(answer) if answer else INTERRUPTED
    if why.kind is ReasonKind.INTERRUPTED:
        return KeyboardInterrupt()
    return OutOfTime(why.prefixed("the solver gave up: ") if why.kind is ReasonKind.SOLVER_GAVE_UP else why)
