"""The matrix of flows on a terminal: a table of flows by flows, then what is not good, and the nearest violation whole."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..model.flows import APART, FLOWS, STARTS
from ..runner.asking.results import Document, Result
from ..runner.telling.answers import steps_text, summary, verdict_text
from .printing import PLAIN_WIDTH, print_change

GOOD, KNOWN, BAD, OPEN, NONE, APART_ = ".", "k", "V", "?", "", "-"
"""What stands in the table, from the best to the worst: it holds, it is violated as is known, it is violated, nobody knows."""
_RANK = (GOOD, KNOWN, OPEN, BAD)
_STYLES = {GOOD: "green", KNOWN: "yellow", BAD: "bold red", OPEN: "yellow"}
_TOLD = 4


def print_matrix(out: Console, document: Document, texts: Mapping[tuple[str, str, str | None], str]) -> None:
    """A table for the code as it is, or for each patch; of what is not good a line each, of the nearest violation the whole run."""
    for change in dict.fromkeys(record.change for record in document.results):
        records = [record for record in document.results if record.change == change]
        _print_table(out, change, records)
        _print_lines(out, records)
    for text in texts.values():
        out.print(text.rstrip("\n"))
        out.print()
    for item in document.changes:
        print_change(out, item)
    out.print(summary(document))


def _print_table(out: Console, change: str | None, records: Sequence[Result]) -> None:
    cells = {record.scenario for record in records}
    states = sum({record.scenario: record.states or 0 for record in records}.values())
    asked = len({record.property for record in records})
    out.print(Text("matrix of flows" + (f"   change {change}" if change else ""), style="bold"))
    out.print(f"  {len(cells)} cells, {asked} properties in each, {states} states")
    marks: dict[str, str] = {}
    for record in records:
        roles = record.scenario.partition("@")[0]
        marks[roles] = max(marks.get(roles, GOOD), _mark(record), key=_RANK.index)
    table = Table(box=None, show_header=True, header_style="dim", padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("", no_wrap=True, justify="right")
    table.add_column("", no_wrap=True)
    table.add_column("alone", no_wrap=True, justify="center")
    for number, _ in enumerate(FLOWS, 1):
        table.add_column(str(number), no_wrap=True, justify="center")
    for number, flow in enumerate(FLOWS, 1):
        beside = [
            APART_ if frozenset((flow.role, other.role)) in APART else marks.get(f"{other.role}+{flow.role}", NONE)
            for other in FLOWS[:number]
        ]
        table.add_row(str(number), flow.role, *map(_shown, (marks.get(flow.role, NONE), *beside)))
    out.print(table)
    seen = {*marks.values()}
    words = {GOOD: "every property holds", KNOWN: "violated as is known", OPEN: "unknown", BAD: "violated"}
    legend = [f"{mark} {words[mark]}" for mark in _RANK if mark in seen]
    out.print(Text(f"  {', '.join([*legend, f'{APART_} not run side by side'])}; starts: {', '.join(STARTS)}", style="dim"))


def _mark(record: Result) -> str:
    if record.verdict == "violated":
        return KNOWN if record.as_expected else BAD
    return GOOD if record.verdict in ("proved", "holds_up_to") and record.as_expected else OPEN


def _shown(mark: str) -> Text:
    return Text(mark, style=_STYLES.get(mark, "dim"))


def _print_lines(out: Console, records: Sequence[Result]) -> None:
    """A line for each property that is not good somewhere: in how many cells, and the nearest of them."""
    for what, style in ((BAD, ""), (OPEN, ""), (KNOWN, "dim")):
        several = [record for record in records if _mark(record) == what]
        for name in dict.fromkeys(record.property for record in several):
            own = sorted((r for r in several if r.property == name), key=lambda r: (r.depth or 0, len(r.scenario)))
            first = own[0]
            where = ", ".join(record.scenario for record in own[:_TOLD]) + (", ..." if len(own) > _TOLD else "")
            label = f", {first.label}" if first.label else ""
            cells = f"{len(own)} cell{'s' if len(own) > 1 else ''}"
            said = {
                BAD: f"{name} is violated in {cells}, the nearest in {steps_text(first.depth or 0)}{label}: {where}",
                OPEN: f"{name} is open in {cells}: {where}: {_why(first)}",
                KNOWN: f"{name} is known to be violated in {cells}, the nearest in {steps_text(first.depth or 0)}: {where}",
            }[what]
            out.print(Text(textwrap.fill(said, PLAIN_WIDTH, initial_indent="  ", subsequent_indent="    "), style=style))
    out.print()


def _why(record: Result) -> str:
    if record.reason:
        return record.reason
    return f"{verdict_text(record)}, and a violation is known here: see known_hole() in model/flows.py"


__all__ = ["print_matrix"]
