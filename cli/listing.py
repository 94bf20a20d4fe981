"""`tdpcheck list`: what there is to ask and to name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict

import click
import msgspec
from rich.table import Table

from ..checker.engines import ENGINES
from ..model.catalogue import Entry, catalogue
from ..model.flows import FLOWS, STARTS
from ..model.intrinsics import LIBRARY
from ..model.scenario import SHARED, shipped_scenarios
from ..model.system import designs, shipped_source
from ..properties import REGISTRY
from ..properties.goals import GOALS
from ..runner import documents
from ..runner.museum.items import shipped_items
from ..runner.telling import rendering
from . import printing
from .echo import echo

Rows = list[tuple[str, str]]
INTRINSICS = "intrinsics"


class Listed(msgspec.Struct, frozen=True):
    """One thing with what there is to say about it."""

    name: str
    text: str


class ListedName(Listed, frozen=True):
    """What kernel C may name without defining it; see `model.catalogue.Entry`."""

    kind: str
    arguments: tuple[str, ...]
    result: str
    meaning: str
    mover: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    waives: str
    home: str


class Listing(msgspec.Struct, frozen=True):
    """What `list --json` prints."""

    schema: int
    kind: str
    items: tuple[Listed, ...]


def _properties() -> Rows:
    return [(name, entry.prop.sentence) for name, entry in REGISTRY.items()]


def _scenarios() -> Rows:
    return [(s.name, s.story) for s in shipped_scenarios().values()]


def _flows() -> Rows:
    runs = [(flow.role, f"{flow.does}: {flow.entry}(); {flow.source}") for flow in FLOWS]
    begins = [
        (f"@{name}", f"a start: tables {start.tables}, {'exported' if start.exported else 'not shared'}")
        for name, (start, _) in STARTS.items()
    ]
    return [*runs, *begins]


def _changes() -> Rows:
    return [(item.name, f"{item.expect.property} in {item.expect.scenario}: {item.expect.verdict}") for item in shipped_items().values()]


def _designs() -> Rows:
    used = {d: [s.name for s in shipped_scenarios().values() if s.design == d] for d in designs()}
    return [(d, ", ".join(names) or "no scenario yet") for d, names in used.items()]


def _names() -> tuple[Entry, ...]:
    return catalogue(LIBRARY, shipped_source(SHARED).files)


def _goals() -> Rows:
    return [(name, "") for name in GOALS]


def _engines() -> Rows:
    return [(name, engine.sentence) for name, engine in ENGINES.items()]


def _formats() -> Rows:
    return [(name, "") for name in rendering.formats()]


KINDS: dict[str, Callable[[], Rows]] = {
    "properties": _properties,
    "scenarios": _scenarios,
    "changes": _changes,
    "designs": _designs,
    INTRINSICS: lambda: [(entry.name, entry.text) for entry in _names()],
    "flows": _flows,
    "goals": _goals,
    "engines": _engines,
    "formats": _formats,
}


@click.command("list")
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_(kind: str, as_json: bool) -> None:
    """List properties, scenarios, changes (the museum's), designs, intrinsics, goals, engines or formats."""
    if as_json:
        if kind == INTRINSICS:
            items: tuple[Listed, ...] = tuple(ListedName(text=entry.text, **asdict(entry)) for entry in _names())
        else:
            items = tuple(Listed(*row) for row in KINDS[kind]())
        echo(documents.to_json(Listing(documents.SCHEMA, kind, items)), nl=False)
        return
    rows = KINDS[kind]()
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for row in rows:
        table.add_row(*row)
    printing.console(sys.stdout).print(table)
