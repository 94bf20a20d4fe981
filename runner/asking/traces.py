"""Runs, stuck states and livelocks as a run tells them: each step in words, each thread with the statement that it waits for."""

from __future__ import annotations

import msgspec

from ...core.plain import trace_of
from ...core.system import Source
from ...core.trace import Trace
from ...kernelc.lowering.cfg import Op
from ...kernelc.stepping.steps import Location
from ...model.system import Model
from .coverage import declared_stuck
from .question import Subject
from .survey import PlainLivelock, PlainStuck


class TraceStep(msgspec.Struct, frozen=True):
    """One step of a violating run; `source` is `file:line` of its kernel C, if it has any."""

    actor: str
    action: str
    arguments: tuple[int, ...]
    text: str
    source: str | None


class StuckStates(msgspec.Struct, frozen=True):
    """States in which no thread will ever have a step again.

    Args:
        threads: where each thread rests, `file:line: text` or `done`.
        states: how many such states there are.
        trace: a shortest run to one of them.
        declared: the scenario says of the threads that are not done that they need not reach their end.
    """

    threads: dict[str, str]
    states: int
    trace: tuple[TraceStep, ...]
    declared: bool


class Circle(msgspec.Struct, frozen=True):
    """States among which threads can go round for ever, although every thread that can go on does.

    Args:
        threads: where each thread is when the circle begins, `file:line: text` or `done`.
        going: each thread that goes round, with the functions through which it does, in the order in which it comes to them; of the
            others, who is not done waits for ever.
        states: how many such states there are.
        trace: a shortest run to one of them, and once round.
        loop: so many steps of `trace` lead there; the others are the circle.
        declared: the scenario says of the threads that are not done that they need not reach their end.
    """

    threads: dict[str, str]
    going: dict[str, tuple[str, ...]]
    states: int
    trace: tuple[TraceStep, ...]
    loop: int
    declared: bool

    @property
    def words(self) -> str:
        """Who goes round where, and who waits for it."""
        round_ = [f"{name} goes round" + (f" in {', '.join(functions)}" if functions else "") for name, functions in self.going.items()]
        waits = [f"{name} waits at {place}" for name, place in self.threads.items() if name not in self.going and place != "done"]
        return "; ".join([*round_, *waits])


class Livelock(msgspec.Struct, frozen=True):
    """Whether threads can go round for ever: `free` is None where nobody knows, as of a deadlock."""

    free: bool | None
    circles: tuple[Circle, ...] = ()


class Deadlock(msgspec.Struct, frozen=True):
    """Whether threads can get stuck: `free` is None where not every state was visited, and nobody knows."""

    free: bool | None
    stuck: tuple[StuckStates, ...] = ()


def deadlock(subject: Subject) -> Deadlock:
    """The stuck states of a model, if all of its states were visited."""
    stuck = subject.survey.stuck
    if stuck is None:
        return Deadlock(None)
    return Deadlock(not stuck, tuple(_stuck(subject, s) for s in stuck))


def livelock(subject: Subject) -> Livelock:
    """The livelocks of a model, if all of its states were visited."""
    circles = subject.survey.livelocks
    if circles is None:
        return Livelock(None)
    return Livelock(not circles, tuple(_circle(subject, c) for c in circles))


def _stuck(subject: Subject, stuck: PlainStuck) -> StuckStates:
    trace = trace_of(stuck.run, subject.evaluator)
    threads, declared = _resting(subject.model, trace, trace.depth)
    return StuckStates(threads=threads, states=stuck.states, trace=trace_steps(trace), declared=declared)


def _circle(subject: Subject, found: PlainLivelock) -> Circle:
    model = subject.model
    trace = trace_of(found.run, subject.evaluator)
    threads, declared = _resting(model, trace, found.loop)
    names = thread_names(model)
    going: dict[str, tuple[str, ...]] = {names[number]: () for number in found.going}
    for step in trace.steps[found.loop :]:
        if step.action.name in model.software.steps:
            name = names[step.arguments[0]]
            going[name] = tuple(dict.fromkeys((*going[name], *(source.function for source in step.action.source))))
    return Circle(threads, going, found.states, trace_steps(trace), found.loop, declared)


def _resting(model: Model, trace: Trace, number: int) -> tuple[dict[str, str], bool]:
    """Where each thread is at a state of a run, and whether those that are not done need not be."""
    state, pc = trace.states[number], model.software.pc
    resting = [model.software.locations[trace.layout.value(state, pc, thread)] for thread in range(len(model.roles))]
    waiting = {place.role for place in resting if place.at.text != "done"}
    at = zip(thread_names(model), (_waits_at(model, place) for place in resting), strict=True)
    threads = {name: "done" if place.text == "done" else f"{place}: {place.text}" for name, place in at}
    return threads, declared_stuck(model.scenario, waiting)


def _waits_at(model: Model, place: Location) -> Source:
    """The statement that a thread waits to execute: the first operation of the steps that begin where it rests."""
    nodes = model.software.graphs[place.role].nodes
    steps = [s for s in model.software.steps.values() if s.role == place.role and s.start == place.node]
    operations = [node for step in steps for n in step.nodes if isinstance(node := nodes[n], Op) and node.name != "start"]
    return operations[0].at if operations else place.at


def thread_names(model: Model) -> tuple[str, ...]:
    """What each thread is called: its role, with a number where there are several of it."""
    roles = model.roles
    return tuple(r if roles.count(r) == 1 else f"{r} {roles[:i].count(r) + 1}" for i, r in enumerate(roles))


def trace_steps(trace: Trace) -> tuple[TraceStep, ...]:
    """A run, step by step."""
    return tuple(
        TraceStep(
            actor=step.action.actor,
            action=step.action.name,
            arguments=step.arguments,
            text=step.label,
            source=str(step.action.source[0]) if step.action.source else None,
        )
        for step in trace.steps
    )
