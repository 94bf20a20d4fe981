"""Runs and stuck states as a run tells them: each step in words, each thread with the statement that it waits for."""

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
from .survey import PlainStuck


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


def _stuck(subject: Subject, stuck: PlainStuck) -> StuckStates:
    model = subject.model
    trace = trace_of(stuck.run, subject.evaluator)
    last, pc = trace.states[-1], model.software.pc
    resting = [model.software.locations[trace.layout.value(last, pc, number)] for number in range(len(model.roles))]
    waiting = {place.role for place in resting if place.at.text != "done"}
    at = [_waits_at(model, place) for place in resting]
    return StuckStates(
        threads={
            name: "done" if place.text == "done" else f"{place}: {place.text}" for name, place in zip(thread_names(model), at, strict=True)
        },
        states=stuck.states,
        trace=trace_steps(trace),
        declared=declared_stuck(model.scenario, waiting),
    )


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
