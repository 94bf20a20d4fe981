"""The matrix of flows as it is asked: which cells there are, and which of them a change is part of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

from ...core.errors import InputError
from ...kernelc.text import ast
from ...kernelc.text.same import is_same
from ...model.change.judged import calls_of
from ...model.flows import FLOWS, STARTS, cells
from ...model.scenario import Scenario
from ..names import choose
from .changes import Version
from .sources import code_for
from .terms import property_names

NOT_OF_ONE_TABLE = frozenset(("mirror_agrees",))
"""Properties that need more than one space."""


def asked_of_a_cell() -> tuple[str, ...]:
    """The properties that every cell is asked."""
    return tuple(name for name in property_names() if name not in NOT_OF_ONE_TABLE)


def every_cell() -> dict[str, Scenario]:
    """The whole matrix, by name."""
    return cells(asked_of_a_cell())


def chosen_cells(flows: Sequence[str] = (), starts: Sequence[str] = (), versions: Sequence[Version] = ()) -> tuple[Scenario, ...]:
    """The cells in which one of these flows runs, from one of these starts, and of which a change is part.

    Args:
        flows, starts: names; without any, all.
        versions: of the kernel C, before and after each patch.

    Raises:
        InputError: a name that is none; no cell is left.
        Refusal: kernel C that cannot be read.
    """
    choose(flows, tuple(flow.role for flow in FLOWS), "flow")
    choose(starts, tuple(STARTS), "start")
    found = list(every_cell().values())
    touched = _touched(found[0], versions)
    entries = {flow.entry for flow in FLOWS if not flows or flow.role in flows}
    kept = tuple(
        scenario
        for scenario in found
        if any(thread.entry in entries for thread in scenario.thread)
        and (not starts or scenario.name.partition("@")[2] in starts)
        and (touched is None or any(thread.entry in touched for thread in scenario.thread))
    )
    if not kept:
        what = "the change touches no function of these flows" if touched is not None else "there is no such cell"
        raise InputError(f"{what}; `tdpcheck list flows` has the flows and their starts")
    return kept


def _touched(any_cell: Scenario, versions: Sequence[Version]) -> frozenset[str] | None:
    """The entry functions that run something which a change touches; None if there is no change."""
    if len(versions) < 2:
        return None
    known = [code_for(any_cell, None, version.files).functions for version in versions if version.overlay is None]
    changed = {name for old, new in pairwise(known) for name in {*old, *new} if not is_same(old.get(name), new.get(name))}
    return frozenset(flow.entry for flow in FLOWS if any(not changed.isdisjoint(reached(flow.entry, functions)) for functions in known))


def reached(entry: str, functions: Mapping[str, ast.Function]) -> Collection[str]:
    """The functions and operations that a flow may come to, by name."""
    found: set[str] = set()
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += (call.function for call in calls_of(functions[name])) if name in functions else ()
    return found
