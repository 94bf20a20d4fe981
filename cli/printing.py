"""How answers look: aligned tables and calm sentences on standard output, progress on standard error."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ..core.verdict import ReasonKind
from ..runner.asking.coverage import declaration
from ..runner.asking.results import Change, Document, MuseumItem, Result
from ..runner.telling.answers import expectation_text, steps_text, summary, verdict_text, waiver_lines
from .harmless import harmless

_STYLES = {"proved": "green", "holds_up_to": "green", "violated": "bold red", "unknown": "yellow", "vacuous": "yellow", "waived": "yellow"}
_LISTED = 12
PLAIN_WIDTH = 120


class HarmlessConsole(Console):
    """A console that writes its own control sequences and nobody else's."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of something, their texts without control characters."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(harmless(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Leave it to the front door what a reader who went away means: rich would say 1, which is a violation here."""
        raise BrokenPipeError


def console(file: IO[str] | None = None, *, stderr: bool = False) -> Console:
    """A console that is plain where nobody looks at colours: no terminal, NO_COLOR, or a dumb one."""
    made = HarmlessConsole(file=file, stderr=stderr, highlight=False, emoji=False, markup=False, soft_wrap=True)
    if made.is_terminal:
        return made
    return HarmlessConsole(
        file=file, stderr=stderr, highlight=False, emoji=False, markup=False, soft_wrap=True, no_color=True, width=PLAIN_WIDTH
    )


def recorded(wide: int) -> Console:
    """A console that prints nowhere, and keeps what it is given as plain text, `wide` columns of it."""
    return HarmlessConsole(file=StringIO(), record=True, width=wide, highlight=False, emoji=False, markup=False, soft_wrap=True)


def print_document(out: Console, document: Document, texts: dict[tuple[str, str, str | None], str]) -> None:
    """A table per scenario (and change), reasons, counterexamples, changed lines and a last line that sums up."""
    groups: dict[tuple[str, str | None], list[Result]] = {}
    for record in document.results:
        groups.setdefault((record.scenario, record.change), []).append(record)
    for (scenario, change), records in groups.items():
        _print_group(out, scenario, change, records)
        for record in records:
            text = texts.get((record.scenario, record.property, record.change))
            if text is not None:
                out.print()
                out.print(text.rstrip("\n"))
        out.print()
    for item in document.changes:
        print_change(out, item)
    out.print(summary(document))


def _print_group(out: Console, scenario: str, change: str | None, records: Sequence[Result]) -> None:
    first = records[0]
    head = f"{scenario}" + (f"   change {change}" if change else "")
    out.print(Text(head, style="bold"), Text(f"   kernel {first.kernel}   model {first.model}", style="dim"), sep="")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    for r in records:
        table.add_row(
            f"  {r.property}",
            Text(verdict_text(r), style=_STYLES[r.verdict]),
            expectation_text(r),
            "cached" if r.cached else f"{r.seconds:.1f} s",
        )
    out.print(table)
    _print_reasons(out, records)
    for r in records:
        if r.verdict == "holds_up_to" and any(d is None or d > r.asked for d in r.goals.values()):
            out.print(f"  {r.property}: depth {r.asked} was asked for; not every goal is reached that early")
        if r.as_expected is False and r.expected == "violated" and r.verdict in ("holds_up_to", "proved", "waived"):
            out.print(f"  {r.property}: the scenario expects a violation and none was found; mend its [expect]")
    if first.lifted:
        for what, names in (("lifted", first.lifted), ("ours", first.ours), ("intrinsics", first.intrinsics)):
            lines = textwrap.fill(", ".join(names), min(out.width, PLAIN_WIDTH), initial_indent=f"  {what}: ", subsequent_indent=" " * 10)
            out.print(Text(lines, style="dim"))
    if first.states is not None:
        whole = f"all {first.states} states of this size were visited: what holds here holds at every depth, for this size"
        out.print(Text(f"  explored: {whole}", style="dim"))
    for line in (*_deadlock_lines(first), *_livelock_lines(first)):
        out.print(Text(f"  {line}", style="dim"))
    goals = ", ".join(f"{name} at {depth}" if depth is not None else f"{name} never" for name, depth in first.goals.items())
    if goals:
        out.print(Text(f"  goals reached: {goals}", style="dim"))
    premises = ", ".join(f"{r.property} {'not seen' if r.premise is None else f'at {r.premise}'}" for r in records)
    out.print(Text(f"  premises reached: {premises}", style="dim"))
    steps = "; ".join(f"{role} {len(s.reached)} of {len(s.reached) + len(s.never)} lines" for role, s in first.steps.items())
    if steps:
        out.print(Text(f"  steps reached: {steps}{_coverage(first)}", style="dim"))
    if first.alone:
        out.print(f"  not asked without the change: {first.alone}; there is nothing to compare with")
    if first.overdeclared:
        out.print(f"  [[unreachable]] of the scenario names what some run executes, or no thread has: {'; '.join(first.overdeclared)}")
    said = textwrap.fill(
        "; ".join(first.assumptions), min(out.width, PLAIN_WIDTH), initial_indent="  assumed: ", subsequent_indent=" " * 11
    )
    out.print(Text(said, style="dim"))


def _print_reasons(out: Console, records: Sequence[Result]) -> None:
    """Why some answers are no better; what they have in common is said once."""
    said: dict[str, list[str]] = {}
    for r in records:
        if r.reason is not None:
            said.setdefault(r.reason, []).append(r.property)
    for reason, names in said.items():
        out.print(f"  {', '.join(names)}: {reason}")
    words: dict[str, list[str]] = {}
    for r in records:
        for line in waiver_lines(r):
            words.setdefault(line, []).append(r.property)
    for line, names in words.items():
        out.print(f"  {', '.join(names)}: leaning on {line}")
    missing = next((r.undeclared for r in records if r.undeclared and r.kind is ReasonKind.COVERAGE), ())
    if missing:
        out.print(textwrap.indent(declaration(missing).rstrip(), "    "))


def _deadlock_lines(record: Result) -> list[str]:
    """Whether threads can get stuck, and how."""
    if record.deadlock.free is None:
        return ["deadlock, livelock: not every state was visited, so nobody can say"] if record.engine != "none" else []
    if record.deadlock.free:
        if record.livelock.circles:
            return ["deadlock: none, but threads go round for ever:"]
        return ["deadlock: none; from every state some thread can go on, or all are at their end"]
    lines = []
    for stuck in record.deadlock.stuck:
        places = ", ".join(f"{name} at {place}" for name, place in stuck.threads.items())
        declared = ", which the scenario declares" if stuck.declared else ""
        lines.append(f"stuck: {stuck.states} state{'s' if stuck.states != 1 else ''}{declared}: {places}; {steps_text(len(stuck.trace))}:")
        lines += [f"  {n:3} {step.actor:12} {step.source or ''}  {step.text}" for n, step in enumerate(stuck.trace, 1)]
    return lines


def _livelock_lines(record: Result) -> list[str]:
    """Whether threads can go round for ever, and how."""
    if record.livelock.free:
        return ["livelock: none; nobody goes round for ever while all who can go on do"]
    if record.livelock.free is None:
        return [] if record.deadlock.free is None else ["livelock: the time was up before anybody could say"]
    lines = []
    for circle in record.livelock.circles:
        declared = ", which the scenario declares" if circle.declared else ""
        turn = len(circle.trace) - circle.loop
        lines.append(
            f"livelock: {circle.states} state{'s' if circle.states != 1 else ''}{declared}: {circle.words}; {steps_text(circle.loop)}, "
            f"then {steps_text(turn)} that lead{'s' if turn == 1 else ''} back:"
        )
        for number, step in enumerate(circle.trace, 1):
            mark = "|" if number > circle.loop else " "
            lines.append(f"{mark} {number:3} {step.actor:12} {step.source or ''}  {step.text}")
    return lines


def _coverage(record: Result) -> str:
    """What the scenario says of the steps that no run executes."""
    never = sum(len(s.never) for s in record.steps.values())
    if not never:
        return ""
    if "@" in record.scenario:
        return "; another cell of the matrix may execute the others"
    if record.undeclared:
        return "; not all of the others are declared unreachable"
    return "; the others are declared unreachable" if record.coverage == "exact" else "; the others were not seen to be"


def print_change(out: Console, change: Change, *, listed: int = _LISTED) -> None:
    if change.refused:
        out.print(f"change {change.name}: not understood, so nothing was asked of it")
        out.print(f"  {change.refused}")
        return
    counts: dict[str, int] = {}
    for line in change.lines:
        counts[line.fate] = counts.get(line.fate, 0) + 1
    what = ", ".join(f"{number} {fate}" for fate, number in counts.items()) or "none that says anything"
    out.print(f"change {change.name}: changed lines: {what}" + ("" if change.modelled else "; the change is not modelled as a whole"))
    for note in change.notes:
        out.print(f"  note: {note}")
    bad = [line for line in change.lines if line.fate not in ("reached", "unreachable")]
    for line in bad[:listed]:
        sign = "+" if line.kind == "added" else "-"
        out.print(f"  {line.file}:{line.line}: {sign}{line.text.strip()}" if line.line else f"  {line.file}")
        out.print(f"    {line.fate}: {line.why}")
    if len(bad) > listed:
        out.print(f"  and {len(bad) - listed} more lines")
    for found in change.unjudged[:listed]:
        out.print(f"  {found.file}:{found.line}: {found.text}")
        out.print(f"    {found.why}")
    if len(change.unjudged) > listed:
        out.print(f"  and {len(change.unjudged) - listed} more of these")


def print_museum(out: Console, items: Iterable[MuseumItem]) -> None:
    """The museum as one table."""
    table = Table(box=None, show_header=True, header_style="", padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("item", "property", "found", "good twin"):
        table.add_column(name, no_wrap=True)
    table.add_column("seconds", no_wrap=True, justify="right")
    table.add_column("", no_wrap=True)
    reasons = []
    for item in items:
        found = f"Violated in {steps_text(item.depth)}" if item.got == "violated" else item.got.replace("_", " ")
        style = "green" if item.ok else "bold red"
        table.add_row(
            item.name, item.property, found, item.good_twin, f"{item.seconds:.1f}", Text("ok" if item.ok else "not ok", style=style)
        )
        if item.reason:
            reasons.append(f"{item.name}: {item.reason}")
    out.print(table)
    for reason in reasons:
        out.print(reason)


class Progress:
    """Tells on standard error what is going on: one changing line on a terminal, a line per answer elsewhere.

    Args:
        surprises: only answers that are not as expected get a line.
    """

    def __init__(self, *, surprises: bool = False) -> None:
        self._surprises = surprises
        self._console = console(stderr=True)
        live = self._console.is_terminal and os.environ.get("TERM") != "dumb"
        self._status = self._console.status("", spinner="line") if live else None

    def __enter__(self) -> Progress:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def working(self, what: str) -> None:
        if self._status is not None:
            self._status.update(Text(what))

    def answered(self, record: Result, *, open_: bool = False) -> None:
        if self._surprises and record.as_expected:
            return
        change = f" with {record.change}" if record.change else ""
        if_modelled = ", if the whole change is modelled" if open_ else ""
        self._console.print(f"{record.scenario}{change}: {record.property}: {verdict_text(record)}{if_modelled}  {record.seconds:.1f} s")

    def said(self, what: str) -> None:
        self._console.print(what)
