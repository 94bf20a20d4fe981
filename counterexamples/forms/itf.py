"""The run in the Informal Trace Format (Apalache, ADR-015), for the tools of the TLA+ family.

A variable without index is a value; with one index a map from it; with several a map from tuples. Whole numbers are `#bigint`, as that
format wants them. Names are made identifiers of TLA+; `#meta.names` says what they stand for where that differs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from ...model.view.naming import split_cell
from ..facts import verdict_line
from ..schema import Cex, Value, states
from ..story import story

ACTION, ACTOR, LABEL = "action_taken", "actor", "label"
Json = bool | str | dict[str, object] | list[object]


def itf(cex: Cex) -> bytes:
    """Every state of the run, with the action that led to it."""
    names = _names(cex)
    told = [("Init", "", "")] + [(s.action, s.actor, s.label) for s in cex.steps]
    found = []
    for index, (values, (action, actor, label)) in enumerate(zip(states(cex), told, strict=True)):
        variables = _variables(values)
        state: dict[str, object] = {"#meta": {"index": index}, ACTION: action, ACTOR: actor, LABEL: label}
        found.append(state | {names[var]: _value_of(cells) for var, cells in variables.items()})
    head = {
        "#meta": {
            "format": "ITF",
            "format-description": "https://apalache-mc.org/docs/adr/015adr-trace.html",
            "source": f"{cex.scenario.name} (model {cex.model})",
            "status": "violation",
            "description": f"{verdict_line(cex)}. {story(cex)}",
            "names": {name: var for var, name in names.items() if name != var},
        },
        "params": [],
        "vars": [ACTION, ACTOR, LABEL, *names.values()],
    }
    # A state a line: it can be read, and is a third as long as with each bracket on its own.
    lines = ",\n".join("  " + json.dumps(state, ensure_ascii=False, separators=(",", ":")) for state in found)
    return (json.dumps(head, indent=1, ensure_ascii=False)[:-2] + f',\n "states": [\n{lines}\n ]\n}}\n').encode()


def _variables(values: Mapping[str, Value]) -> dict[str, dict[tuple[int, ...], Value]]:
    found: dict[str, dict[tuple[int, ...], Value]] = {}
    for cell, value in values.items():
        var, index = split_cell(cell)
        found.setdefault(var, {})[index] = value
    return found


def _names(cex: Cex) -> dict[str, str]:
    """An identifier for each variable, different ones for different variables."""
    result: dict[str, str] = {}
    taken = {ACTION, ACTOR, LABEL}
    for var in _variables(cex.initial):
        name = re.sub(r"\W", "_", var.replace(".", "__"), flags=re.ASCII)
        name = name if re.match(r"[A-Za-z_]", name) else f"v_{name}"
        while name in taken:
            name += "_"
        taken.add(name)
        result[var] = name
    return result


def _value_of(cells: Mapping[tuple[int, ...], Value]) -> Json:
    if list(cells) == [()]:
        return _plain(cells[()])
    pairs: list[object] = [[_key(index), _plain(value)] for index, value in sorted(cells.items())]
    return {"#map": pairs}


def _key(index: tuple[int, ...]) -> Json:
    parts: list[object] = [_plain(n) for n in index]
    return _plain(index[0]) if len(index) == 1 else {"#tup": parts}


def _plain(value: Value) -> Json:
    return value if isinstance(value, (bool, str)) else {"#bigint": str(value)}
