"""What is asked of a model, as terms: its properties, its goals, and when all of its threads are at their end."""

from __future__ import annotations

from typing import Any

from ...checker.states.stuck import Ends
from ...core.errors import InputError
from ...core.system import Property
from ...model.system import Model
from ...properties import REGISTRY
from ...properties.goals import GOALS
from ...properties.kernel_assertions import REGISTERED
from ..names import choose

ASSERTIONS = REGISTERED.prop.name


def property_names() -> tuple[str, ...]:
    """The names of all properties."""
    return tuple(REGISTRY)


def property_of(model: Model, name: str) -> Property:
    """The property of that name, as it reads in this model.

    Raises:
        InputError: there is none.
    """
    choose([name], property_names(), "property", f"scenario {model.scenario.name}")
    known = REGISTRY[name]
    return known.prop if known.of_program is None else known.of_program(model.system)


def goals_of(model: Model) -> dict[str, Any]:
    """The goals of a scenario: those that it names, and the end of every role that need not be stuck.

    Raises:
        InputError: a goal or role that does not exist.
    """
    scenario = model.scenario
    for name in scenario.goals:
        if name not in GOALS:
            raise InputError(f"scenario {scenario.name}: there is no goal {name!r}; there are {', '.join(GOALS)}")
    roles = tuple(dict.fromkeys(model.roles))
    for name in scenario.stuck:
        if name not in roles:
            raise InputError(f"scenario {scenario.name}: stuck names {name!r}, which is no role; the roles are {', '.join(roles)}")
    return {n: GOALS[n] for n in scenario.goals} | {f"{r} finished": model.finished(r) for r in roles if r not in scenario.stuck}


def ends_of(model: Model) -> Ends:
    """When all threads are at their end, which steps are theirs, and where they rest."""
    return Ends(model.all_finished(), lambda action: action.name in model.software.steps, model.software.pc)
