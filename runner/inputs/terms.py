"""What is asked of a model, as terms: its properties, its goals, and when all of its threads are at their end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...checker.states.stuck import Ends
from ...core.errors import EngineError, InputError
from ...core.ground import conjunction, disjunction
from ...core.system import Property
from ...model.fitted import speaks_of
from ...model.machine import parts
from ...model.parametric import Parametric
from ...model.ruled_out import ruled_out
from ...model.scenario import Scenario
from ...model.system import Model
from ...properties import REGISTRY
from ...properties.goals import GOALS
from ...properties.kernel_assertions import REGISTERED
from ..names import choose

ASSERTIONS = REGISTERED.prop.name
MERGING = "merging"
"""The name of the property that every other one is asked together with, where steps were merged on a condition."""


def property_names() -> tuple[str, ...]:
    """The names of all properties."""
    return tuple(REGISTRY)


def property_of(model: Model, name: str) -> Property:
    """The property of that name, as it reads in this model.

    Raises:
        InputError: there is none.
    """
    merging = merging_of(model)
    if name == MERGING and merging is not None:
        return merging
    choose([name], property_names(), "property", f"scenario {model.scenario.name}")
    return REGISTRY[name].at(model)


def property_in(scenario: Scenario, name: str) -> Property | None:
    """A property of any size as it reads in the models of a scenario, but for who walks which roots; None for one that needs a model."""
    known = REGISTRY[name]
    return known.among({var.name for var in parts.state(scenario)}) if known.every_size else None


def merging_of(model: Model | Parametric) -> Property | None:
    """That the conditions hold on which steps were merged, as a property; None if none was."""
    if not model.software.merging:
        return None
    return Property(
        MERGING,
        "Where steps were merged because of what a table page or a vCPU is then, it is that.",
        conjunction([condition.holds for condition in model.software.merging]),
        source="docs/merging.md",
    )


def unmet(model: Model | Parametric, holds: Callable[[Any], bool]) -> str:
    """What is wrong where a condition does not hold on which steps were merged: the first one, with its line; `holds` evaluates."""
    for condition in model.software.merging:
        if not holds(condition.holds):
            return f"{MERGING}: {condition.what} ({condition.at}: {condition.at.text}), so that steps around it are not one"
    raise EngineError("a run was said to break a condition of merging, and breaks none")


def goals_there(scenario: Scenario) -> dict[str, Any]:
    """The goals that mean something in a scenario: those that speak of no part of the machine that it has not."""
    absent = {var.name: var for var in parts.absent(scenario)}
    return {name: goal for name, goal in GOALS.items() if not speaks_of(goal, absent)}


def goals_of(model: Model) -> dict[str, Any]:
    """The goals of a scenario: those that it names, and the end of every role that need not be stuck.

    Raises:
        InputError: a goal or role that does not exist.
    """
    scenario = model.scenario
    for name in scenario.goals:
        if name not in GOALS:
            raise InputError(f"scenario {scenario.name}: there is no goal {name!r}; there are {', '.join(GOALS)}")
        if name not in goals_there(scenario):
            raise InputError(
                f"scenario {scenario.name}: the goal {name!r} is about a part of the machine that is not there; see [hardware]"
            )
    roles = tuple(dict.fromkeys(model.roles))
    for name in scenario.stuck:
        if name not in roles:
            raise InputError(f"scenario {scenario.name}: stuck names {name!r}, which is no role; the roles are {', '.join(roles)}")
    return {n: GOALS[n] for n in scenario.goals} | {f"{r} finished": model.finished(r) for r in roles if r not in scenario.stuck}


def ends_of(model: Model) -> Ends:
    """When all threads are at their end, or nobody looks at the run, which steps are theirs, and where they rest."""
    excused = ruled_out(model.software)
    return Ends(
        disjunction([model.all_finished(), excused]),
        lambda action: action.name in model.software.steps,
        model.software.pc,
        excused,
    )
