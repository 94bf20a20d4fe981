"""Verdicts without terms, as they cross from one process to another and into files: a run is its start and its schedule.

Whoever takes one in makes a trace of it by plain evaluation on a system of his own, so that nothing is believed on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .errors import EngineError, InputError
from .evaluation.evaluate import Evaluator, State
from .system import Property
from .trace import Trace, replays, run
from .verdict import HoldsUpTo, Proved, Unknown, Verdict, Violated


@dataclass(frozen=True)
class PlainRun:
    """A run: the values of the initial state, and each step as the name of an action with its arguments."""

    initial: State
    steps: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def depth(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class PlainViolated:
    """`Violated` with a plain run."""

    run: PlainRun
    engine: str
    shortest: bool | None = None
    seconds: float = 0.0

    @property
    def depth(self) -> int:
        return self.run.depth


PlainVerdict = Proved | PlainViolated | HoldsUpTo | Unknown


def plain_run(trace: Trace) -> PlainRun:
    """A trace without its system."""
    return PlainRun(tuple(map(int, trace.initial)), tuple((s.action.name, tuple(map(int, s.arguments))) for s in trace.steps))


def plain_verdict(verdict: Verdict) -> PlainVerdict:
    """A verdict without terms."""
    match verdict:
        case Violated(trace=trace):
            return PlainViolated(plain_run(trace), verdict.engine, verdict.shortest, verdict.seconds)
        case Proved():
            return replace(verdict, invariant=())
        case HoldsUpTo() | Unknown():
            return verdict


def trace_of(given: PlainRun, evaluator: Evaluator) -> Trace:
    """Run it again.

    Raises:
        InputError: it is no run of the evaluator's system.
    """
    actions = {action.name: action for action in evaluator.system.actions}
    for name, _ in given.steps:
        if name not in actions:
            raise InputError(f"system {evaluator.system.name} has no action {name!r}")
    if not evaluator.is_initial(given.initial):
        raise InputError(f"the first state is no initial state of {evaluator.system.name}")
    return run(evaluator, given.initial, [(actions[name], arguments) for name, arguments in given.steps])


def verdict_of(given: PlainVerdict, prop: Property, evaluator: Evaluator) -> Verdict:
    """The verdict of a plain one; a violation is replayed first.

    Raises:
        EngineError: the run does not end in a violation of `prop`.
    """
    if not isinstance(given, PlainViolated):
        return given
    return Violated(violation(given.run, prop, evaluator), given.engine, given.shortest, given.seconds)


def violation(given: PlainRun, prop: Property, evaluator: Evaluator) -> Trace:
    """The trace of a run that violates `prop`.

    Raises:
        EngineError: it does not.
    """
    try:
        trace = trace_of(given, evaluator)
    except InputError as misfit:
        raise EngineError(f"the run that violates {prop.name} does not replay by plain evaluation: {misfit}") from misfit
    if not replays(trace, prop, evaluator):
        raise EngineError(f"the run that violates {prop.name} does not replay by plain evaluation")
    return trace


def renamed(given: PlainVerdict, names: dict[str, str]) -> PlainVerdict:
    """The verdict for a system whose actions have other names."""
    if not isinstance(given, PlainViolated):
        return given
    steps = tuple((names[name], arguments) for name, arguments in given.run.steps)
    return replace(given, run=PlainRun(given.run.initial, steps))
