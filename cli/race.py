"""`tdpcheck race`: a race that somebody claims, decided."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..api.race import Answer, Line, Race
from ..api.race import race as decided
from ..core.errors import InputError
from ..core.stored.files import MOST, read_given
from ..counterexamples.facts import where
from ..counterexamples.schema import Step
from ..model.view.naming import listed
from ..runner.exit_codes import ExitCode
from . import guard
from .echo import echo
from .printing import PLAIN_WIDTH, console


@click.command()
@click.argument("file", metavar="FILE|-")
@click.option("--column", "columns", multiple=True, metavar="HEADING=FLOW", help="Which flow a column is (`tdpcheck list flows`).")
@click.option("--scenario", metavar="NAME|FILE.toml", help="Look there; without it, in the flows that the columns are.")
@click.option("--change", metavar="FILE", help="Look in the code with this patch, mbox (all of it) or TOML overlay.")
@click.option("--kernel", metavar="DIR", help="Lift functions from this kernel tree.")
@click.option("--rev", metavar="REF", help="Read the kernel tree at this git revision.")
@click.option("--design", metavar="DIR", help="Kernel C of your own: a folder whose functions override the shipped ones.")
@click.option(
    "--timeout", type=click.FloatRange(0, 604800, min_open=True), default=120.0, show_default=True, metavar="S", help="Seconds in all."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def race(
    context: click.Context, file: str, columns: tuple[str, ...], scenario: str | None, change: str | None, kernel: str | None,
    rev: str | None, design: str | None, timeout: float, as_json: bool,
) -> None:  # fmt: skip
    """Decide whether a race that somebody claims can happen.

    FILE is a mail, or a part of one, with the diagram that people draw: a column for each CPU, what it does below, time downwards.
    The answer is a whole run that contains it and what that breaks, or what stands in its way, or what was not understood.

    Exit code: 0 impossible, or possible and nothing breaks; 1 possible, and something breaks that should not; 2 bad input or usage;
    3 unknown, or possible as far as the diagram was understood; 130 interrupted.
    """
    guard.limit(timeout, "deciding the race")
    said = dict(_column(given) for given in columns)
    text, name = _text(file)
    answer = decided(
        text,
        columns=said,
        scenario=scenario,
        change=change,
        kernel=kernel,
        rev=rev,
        design=design,
        timeout=timeout,
        name=name,
        looking=lambda where: echo(f"looking in {where} ...", err=True),
    )
    if as_json:
        echo(msgspec.json.format(msgspec.json.encode(answer)).decode())
    else:
        _print(console(), answer)
    context.exit(exit_code(answer))


def exit_code(answer: Race) -> ExitCode:
    """0, 1 or 3, as the help says."""
    if answer.answer is Answer.IMPOSSIBLE:
        return ExitCode.HOLDS
    if answer.answer is Answer.POSSIBLE and answer.breaks and not answer.expected:
        return ExitCode.VIOLATED
    return ExitCode.HOLDS if answer.answer is Answer.POSSIBLE and answer.understood else ExitCode.UNKNOWN


def _column(given: str) -> tuple[str, str]:
    heading, equals, flow = given.partition("=")
    if not (heading and equals and flow):
        raise InputError(f"--column {given}: say HEADING=FLOW, as in CPU0=notifier; `tdpcheck list flows` has the flows")
    return heading, flow


def _text(file: str) -> tuple[str, str]:
    """What is to be read, and what it is called."""
    if file != "-":
        return read_given(file, MOST["change"], "give a mail, or the part of one that has the diagram").decode(errors="replace"), file
    data = sys.stdin.buffer.read(MOST["change"] + 1)
    if len(data) > MOST["change"]:
        raise InputError(f"standard input: more than {MOST['change']} bytes; give the part of the mail that has the diagram")
    return data.decode(errors="replace"), "standard input"


def _print(out: Console, answer: Race) -> None:
    out.print(Text(_head(answer), style="bold"))
    for column in answer.columns:
        out.print(f"  {column.heading}: " + (f"{column.entry}()" if column.entry else "the machine"))
    out.print()
    if answer.steps:
        out.print(_wrapped(f"At the start: {answer.start}."))
        out.print(_run(answer))
        out.print()
    for name, sentences in answer.breaks.items():
        out.print(Text(_wrapped(f"=> {name} is violated: {'; '.join(sentences)}.", "   "), style="bold red"))
    if answer.also:
        out.print(_wrapped(f"Other runs that contain it violate {listed(answer.also)}.", "   "))
    if answer.lines:
        out.print(_lines(answer))
        out.print()
    if answer.core:
        out.print(_wrapped(_why(answer)))
        for obstacle in answer.obstacle:
            out.print(_wrapped(f"  {obstacle}.", "    "))
    for line in _open(answer):
        out.print(Text(_wrapped(line, "  "), style="yellow"))
    if answer.reason:
        out.print(_wrapped(f"Unknown: {answer.reason}."))
    searched = ", ".join(f"{name} ({number} states)" for name, number in answer.scenarios.items())
    out.print(Text(_wrapped(f"Searched whole: {searched or 'nothing'}; {answer.seconds:.1f} s. No steps were merged."), style="dim"))


def _head(answer: Race) -> str:
    match answer.answer:
        case Answer.POSSIBLE:
            holds = f"breaks nothing: {len(answer.asked)} properties hold in every state"
            what = f"breaks {', '.join(answer.breaks)}" if answer.breaks else holds
            known = ", as its scenario expects" if answer.expected else ""
            some = "" if answer.understood else ", as far as it was understood"
            return f"POSSIBLE{some}, and {what}{known}   {answer.scenario}, {len(answer.steps)} steps"
        case Answer.IMPOSSIBLE:
            return "IMPOSSIBLE   no run contains this"
        case _:
            return "UNKNOWN"


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, PLAIN_WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def _run(answer: Race) -> Table:
    """The run, a lane an actor; steps without effect are left out, but for those that the diagram names."""
    lines = {line.step: line for line in answer.lines if line.step}
    headings = {answer.threads[column.thread]: column.heading for column in answer.columns if column.thread is not None}
    shown = [step for step in answer.steps if step.effects or step.number in lines]
    lanes = tuple(dict.fromkeys((*(name for name in headings if any(s.actor == name for s in shown)), *(s.actor for s in shown))))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("")
    for lane in lanes:
        table.add_column(headings.get(lane, lane), overflow="fold")
    table.add_column("line", justify="right", no_wrap=True)
    for step in shown:
        line = lines.get(step.number)
        cells = [_said(step) if lane == step.actor else "" for lane in lanes]
        table.add_row(str(step.number), where(step), *cells, str(line.entry.line) if line else "", style="bold" if line else "")
    return table


def _said(step: Step) -> str:
    """What a step does; where that is nothing that shows, its statement."""
    return step.sources[0].text if step.sources and not step.effects and "{" in step.label else step.label


def _lines(answer: Race) -> Table:
    """Each line and how it was read; those that exclude each other stand out."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("line", justify="right", no_wrap=True)
    table.add_column("column")
    table.add_column("says", overflow="fold")
    table.add_column("which is", overflow="fold")
    if answer.steps:
        table.add_column("step", no_wrap=True)
    for number, line in enumerate(answer.lines):
        heading = answer.columns[line.entry.column].heading
        mark = number in answer.core
        step = "" if line.step is None else "at the start" if line.step == 0 else str(line.step)
        steps = [step] if answer.steps else []
        number_ = f"{'*' if mark else ''}{line.entry.line}"
        table.add_row(number_, heading, line.entry.text, line.meant or "?", *steps, style="bold" if mark else "")
    return table


def _why(answer: Race) -> str:
    numbers = [str(answer.lines[n].entry.line) for n in answer.core]
    if len(numbers) == 1:
        return f"Line {numbers[0]} alone cannot happen:"
    which = f"{', '.join(numbers[:-1])} and {numbers[-1]}"
    return f"Lines {which} exclude each other in this order (without any one of them the others can happen):"


def _open(answer: Race) -> Iterator[str]:
    for line in answer.lines:
        if not line.meant:
            yield f"Not understood: line {line.entry.line}: {line.entry.text!r}: {line.why}."
        elif line.unread:
            yield f"Not read: line {line.entry.line}: {line.unread!r} of {line.entry.text!r}: what a call gives back is not asked."


__all__ = ["Line", "exit_code", "race"]
