"""Scenarios and properties, by their names."""

from __future__ import annotations

from os import PathLike, fspath

from ..core.system import Property
from ..model.scenario import Scenario, shipped_scenarios
from ..runner.every_size import properties_named
from ..runner.inputs.terms import property_names
from ..runner.runs.run import selected_scenarios


def scenario_names() -> tuple[str, ...]:
    """The names of the shipped scenarios.

    Example:
        >>> from tdpcheck import scenario_names
        >>> "notifier-vs-fault" in scenario_names()
        True
    """
    return tuple(shipped_scenarios())


def scenario(name: str | PathLike[str]) -> Scenario:
    """A shipped scenario by its name, or the one in a TOML file.

    Raises:
        InputError: there is none of that name, or the file is no scenario.

    Example:
        >>> from tdpcheck import scenario
        >>> [thread.role for thread in scenario("notifier-vs-fault").thread]
        ['notifier', 'fault']
    """
    return selected_scenarios((fspath(name),), ())[0]


def property_named(name: str) -> Property:
    """A property: its sentence, its statement, its premise, its lemmas.

    Those that speak of a program's steps (`kernel_assertions`, `no_table_leak`) are of each model, and have no statement without.

    Raises:
        InputError: there is none of that name.

    Example:
        >>> from tdpcheck import property_named
        >>> property_named("root_liveness").name
        'root_liveness'
    """
    (found,) = properties_named((name,))
    return found


__all__ = ["property_named", "property_names", "scenario", "scenario_names"]
