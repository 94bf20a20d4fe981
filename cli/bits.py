"""`tdpcheck bits`: questions about every value of 64 bits, of SPTE formats and of flush ranges."""

from __future__ import annotations

import sys

import click

from ..runner.documents import to_json
from ..runner.exit_codes import ExitCode
from . import guard, printing
from .echo import echo
from .seconds import Seconds


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--machine", default="usual", show_default=True, metavar="NAME", help="What the hardware is (see docs/formats.md).")
@click.option("--timeout", type=Seconds(), default=60.0, show_default=True, help="Seconds for each solver and claim.")
@click.option("--list", "listed", is_flag=True, help="Name the questions, and ask none.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def bits(context: click.Context, names: tuple[str, ...], machine: str, timeout: float, listed: bool, as_json: bool) -> None:
    """Ask the questions about every value of 64 bits: SPTE formats, flush ranges.

    NAME is a question, or how some begin: spte_format_agrees/mmio. A proof is one of two solvers; what is refuted comes with the least
    value, checked by plain evaluation.

    Exit code: 0 each is answered; 2 bad input; 3 something is Unknown; 130 interrupted.
    """
    from ..formats import asked

    wanted = asked.chosen(names, machine)
    if listed:
        echo("".join(f"{name}\n" for name in wanted), nl=False)
        return
    guard.unlimited()  # each question has its own limit
    found: list[asked.Found] = []
    with printing.Progress() as progress:
        for name in wanted:
            progress.working(name)
            for each in asked.answers(name, seconds=timeout):
                found.append(each)
                if not as_json:
                    echo(asked.text(each))
        widths, places = asked.costs() if not names else ({}, {})
    if as_json:
        echo(to_json(asked.Answers(tuple(found), widths, places)), nl=False)
    else:
        out = printing.console(sys.stdout)
        for layout, width in widths.items():
            place, where = layout.replace("-", " "), _ranges(places[layout])
            out.print(f"MMU-present at {place}: an MMIO entry holds {width} bits of the generation, in {where}")
        counted = {word: sum(each.answer == word for each in found) for word in ("proved", "refuted", "unknown")}
        out.print(", ".join(f"{number} {word}" for word, number in counted.items()))
    context.exit(ExitCode.UNKNOWN if any(each.answer == "unknown" for each in found) else ExitCode.HOLDS)


def _ranges(places: tuple[int, ...]) -> str:
    """Numbers with neighbours joined: 62:60, 58:52."""
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return ", ".join(f"{run[-1]}:{run[0]}" if len(run) > 1 else str(run[0]) for run in reversed(runs))
