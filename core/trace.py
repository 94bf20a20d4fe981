"""Traces: states and the actions between them, and their replay by plain evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from .errors import InputError
from .evaluation.evaluate import Evaluator, Layout, State
from .evaluation.guards import refusal
from .notebook import block, count, filled, shown, table
from .sorts import Geometry
from .system import Action, Property, TransitionSystem


@dataclass(frozen=True, slots=True)
class Step:
    """One action at plain argument values, and the state after it."""

    action: Action
    arguments: tuple[int, ...]
    state: State

    @property
    def name(self) -> str:
        return f"{self.action.name}({', '.join(map(str, self.arguments))})"

    @property
    def label(self) -> str:
        """What a reader sees: the label of its action with the arguments filled in."""
        return filled(self.action.label or self.action.name, self.action.params, self.arguments)


@dataclass(frozen=True)
class Trace:
    """An initial state of `system` at `geometry`, and steps from it."""

    system: TransitionSystem
    geometry: Geometry
    initial: State
    steps: tuple[Step, ...]

    @property
    def depth(self) -> int:
        return len(self.steps)

    @property
    def actions(self) -> tuple[str, ...]:
        """The names of the actions, in order."""
        return tuple(step.action.name for step in self.steps)

    @property
    def states(self) -> tuple[State, ...]:
        """All states, the initial one first: one more than there are steps."""
        return (self.initial, *(step.state for step in self.steps))

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.system, self.geometry)

    def _repr_html_(self) -> str:
        """A table of the steps, for a notebook: who does what, and which cells it changes."""
        where = f" ({self.geometry})" if self.geometry.sizes else ""
        caption = f"{self.system.name}{where}: {count(self.depth, 'step')}"
        return block(table(caption, ("step", "actor", "what happens", "cells changed"), self._rows()))

    def _rows(self) -> Iterator[tuple[str, str, str, str]]:
        cells = self.layout.cells
        known = [f"{cell.name} = {shown(cell.var.kind, value)}" for cell, value in zip(cells, self.initial, strict=True) if value]
        yield "0", "", "the initial state; what is not named is 0, false or the first of its kind", "\n".join(known)
        before = self.initial
        for number, step in enumerate(self.steps, 1):
            changed = [
                f"{cell.name}: {shown(cell.var.kind, old)} → {shown(cell.var.kind, new)}"
                for cell, old, new in zip(cells, before, step.state, strict=True)
                if old != new
            ]
            place = f"\n{step.action.source[0]}" if step.action.source else ""
            yield str(number), step.action.actor, step.label + place, "\n".join(changed)
            before = step.state


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a trace does not fit its system: at which step (0 is the initial state), and what is wrong there."""

    step: int
    reason: str


def run(evaluator: Evaluator, initial: State, schedule: Sequence[tuple[Action, tuple[int, ...]]]) -> Trace:
    """Execute a schedule by plain evaluation.

    Raises:
        InputError: a step is not enabled where the schedule wants it.
    """
    steps, state = [], initial
    for number, (action, arguments) in enumerate(schedule, 1):
        if not evaluator.enabled(action, arguments, state):
            raise InputError(f"step {number}, {action.name}{arguments}, is not enabled there")
        state = evaluator.after(action, arguments, state)
        steps.append(Step(action, arguments, state))
    return Trace(evaluator.system, evaluator.geometry, initial, tuple(steps))


def misfit(trace: Trace, evaluator: Evaluator | None = None) -> Misfit | None:
    """Replay `trace` without a solver; None if every state follows from the one before."""
    evaluator = evaluator or Evaluator(trace.system, trace.geometry)
    if not evaluator.is_initial(trace.initial):
        return Misfit(0, "the first state is not an initial state")
    state = trace.initial
    known = {action.name: action for action in evaluator.system.actions}
    for number, step in enumerate(trace.steps, 1):
        action = known.get(step.action.name)
        if action is None:
            return Misfit(number, f"system {evaluator.system.name} has no action {step.action.name}")
        sizes = [evaluator.geometry.size(p.kind) for p in action.params]
        if len(sizes) != len(step.arguments) or not all(0 <= a < size for a, size in zip(step.arguments, sizes, strict=True)):
            return Misfit(number, f"{step.name} has arguments outside the geometry ({evaluator.geometry})")
        if not evaluator.enabled(action, step.arguments, state):
            why = refusal(evaluator, action, step.arguments, state)
            where = f" ({action.source[0]})" if action.source else ""
            return Misfit(number, f"the guard of {step.name}{where} does not hold: {why}")
        state = evaluator.after(action, step.arguments, state)
        if len(step.state) != len(state):
            return Misfit(number, f"after {step.name} the trace has {len(step.state)} values for {len(state)} cells")
        if state != step.state:
            cells = [c.name for c, a, b in zip(evaluator.layout.cells, state, step.state, strict=True) if a != b]
            return Misfit(number, f"after {step.name} the trace has another value of {', '.join(cells[:4])}")
    return None


def replays(trace: Trace, prop: Property, evaluator: Evaluator | None = None) -> bool:
    """Whether `trace` is a run of its system that ends in a violation of `prop`; no solver is asked."""
    evaluator = evaluator or Evaluator(trace.system, trace.geometry)
    return misfit(trace, evaluator) is None and not evaluator.holds(prop.holds, trace.states[-1])
