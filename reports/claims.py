"""The tables of claims and hazards: as Markdown, as a page of HTML, and as text for a terminal."""

from __future__ import annotations

import html
from collections.abc import Iterator

from ..runner.claims import Decided, Table

TITLES = {"claims": "The claims of the thread", "hazards": "The hazards of the series"}
HEADS = {
    "claims": "What was claimed in the thread of the RFC (Sharing KVM TDP to IOMMU, December 2023), in our words, and what the tool says.",
    "hazards": "What reading the series brought to light, in our words, and what the tool says.",
}  # fmt: skip
_MARKS = {"proved": "✓", "refuted": "✗", "bounded": "◇", "not decided": "?"}
_COUNTS = {"for": "for it", "against": "against it", "condition": "on a condition", "aside": "beside it", "open": "open"}
READING = """An answer is computed from the runs below it: one outcome against a claim refutes it; what is *bounded* holds on the
condition named there; nothing is decided as long as a question has no answer, or something is missing that no question covers yet.
*Proved (this size)* means that every state of the scenario at its size was visited, and that two solvers accepted the certificate; a
violation was replayed; what is said of values of 64 bits is said of all of them, under the assumptions of `tdpcheck bits --json`."""


def summary(table: Table) -> str:
    """How many answers of each kind."""
    counted: dict[str, int] = {}
    for each in table.decided:
        counted[each.word] = counted.get(each.word, 0) + 1
    return f"{len(table.decided)}: " + ", ".join(f"{number} {word}" for word, number in sorted(counted.items()))


def markdown(table: Table) -> str:
    """The table, and below it each claim with what stands behind its answer."""
    lines = [f"# {TITLES[table.table]}", "", HEADS[table.table], "", READING, "", f"{summary(table)}.", "", *_rows(table)]
    for each in table.decided:
        lines += ["", *_markdown(each)]
    return "\n".join(lines) + "\n"


def _rows(table: Table) -> Iterator[str]:
    yield "| | what is said | answer | what decides |"
    yield "| --- | --- | --- | --- |"
    for each in table.decided:
        yield f"| [{each.id}](#{each.id.lower()}) | {_cell(each.says)} | {_MARKS[each.answer]} {each.word} | {_cell(_decides(each))} |"


def _decides(each: Decided) -> str:
    """The assumption, the sentence against it, or what is missing."""
    if each.answer == "not decided":
        return "; ".join(each.missing) or each.because
    if each.answer == "bounded":
        return "; ".join(each.assumptions)
    return each.because


def _markdown(each: Decided) -> Iterator[str]:
    yield f"## {each.id}"
    yield ""
    yield each.says
    yield ""
    yield f"**{each.word[0].upper()}{each.word[1:]}**: {each.because}."
    for assumption in each.assumptions:
        yield f"Assumed: {assumption}."
    if each.evidence:
        yield ""
        yield "| what was asked | outcome | it speaks | run |"
        yield "| --- | --- | --- | --- |"
        for found in each.evidence:
            cells = (found.means, f"{found.outcome}: {found.said}", _COUNTS[found.counts], f"`{found.command}`")
            yield f"| {' | '.join(map(_cell, cells))} |"
    for missing in each.missing:
        yield ""
        yield f"Missing: {missing}."
    if each.note:
        yield ""
        yield each.note


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def text(table: Table) -> str:
    """Each claim on a few lines, and a line that sums up."""
    lines = []
    for each in table.decided:
        lines.append(f"{each.id:4} {each.word:16} {each.says}")
        lines.append(f"     {_decides(each)}")
        for found in each.evidence:
            lines += [f"       {found.outcome:8} {found.means}", f"{'':16}{found.said}", f"{'':16}{found.command}"]
    return "\n".join([*lines, summary(table)]) + "\n"


def page(table: Table) -> str:
    """One page of HTML that needs no network and no script."""
    title = html.escape(TITLES[table.table])
    style = (
        "body{font:16px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em}table{border-collapse:collapse}"
        "td,th{border:1px solid #ccc;padding:.3em .6em;text-align:left;vertical-align:top}code{font-size:90%}"
    )
    body = [f"<h1>{title}</h1>", f"<p>{html.escape(HEADS[table.table])}</p>", f"<p>{html.escape(summary(table))}</p>"]
    body.append("<table><tr><th></th><th>what is said</th><th>answer</th><th>what decides</th></tr>")
    for each in table.decided:
        cells = (each.says, f"{_MARKS[each.answer]} {each.word}", _decides(each))
        body.append(f'<tr><td><a href="#{each.id}">{each.id}</a></td>' + "".join(f"<td>{html.escape(c)}</td>" for c in cells) + "</tr>")
    body.append("</table>")
    for each in table.decided:
        body += _section(each)
    head = f'<head><meta charset="utf-8"><title>{title}</title><style>{style}</style></head>'
    return f'<!DOCTYPE html>\n<html lang="en">{head}\n<body>\n' + "\n".join(body) + "\n</body></html>\n"


def _section(each: Decided) -> Iterator[str]:
    yield f'<h2 id="{each.id}">{each.id}</h2><p>{html.escape(each.says)}</p>'
    yield f"<p><b>{html.escape(each.word)}</b>: {html.escape(each.because)}.</p>"
    yield from (f"<p>Assumed: {html.escape(assumption)}.</p>" for assumption in each.assumptions)
    if each.evidence:
        yield "<table><tr><th>what was asked</th><th>outcome</th><th>it speaks</th><th>run</th></tr>"
        for found in each.evidence:
            cells = (found.means, f"{found.outcome}: {found.said}", _COUNTS[found.counts])
            row = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
            yield f"<tr>{row}<td><code>{html.escape(found.command)}</code></td></tr>"
        yield "</table>"
    yield from (f"<p>Missing: {html.escape(missing)}.</p>" for missing in each.missing)
    if each.note:
        yield f"<p>{html.escape(each.note)}</p>"
