"""`tdpcheck mutate`: small faults of the kernel C, one at a time, and whether the checker finds them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..api.mutate import STATES, TIMEOUT
from ..api.mutate import mutate as mutated
from ..core.errors import InputError
from ..kernelc.text.mutations import OPERATORS
from ..runner import documents, output
from ..runner.exit_codes import ExitCode, worst
from ..runner.mutants.asked import FOUND, MISSED, Fate, Judged
from ..runner.mutants.campaign import Mutants, Wanted, stored
from . import guard, printing
from .echo import echo
from .seconds import Seconds

FATES: tuple[Fate, ...] = (*FOUND, *MISSED, "equivalent", "refused", "not modelled")


def _operators() -> str:
    return "; ".join(f"{name}: {what}" for name, what in OPERATORS.items())


@click.command(epilog=f"Operators: {_operators()}.")
@click.option("--design", metavar="NAME|DIR", help="Of this design; without it, of the shipped kernel C that is shared.")
@click.option("--function", "functions", multiple=True, metavar="NAME", help="Faults of this function only; may be given again.")
@click.option("--operator", "operators", multiple=True, metavar="NAME", help="Faults of this kind only; may be given again.")
@click.option("--sample", type=click.IntRange(1), metavar="N", help="So many of them, drawn; without it, all.")
@click.option("--seed", type=click.IntRange(0), metavar="S", help="What the sample is drawn by (0).")
@click.option("--declared", is_flag=True, help="Ask those, too, that are declared to be no faults.")
@click.option("--json", "file", metavar="FILE", help="Write what is known as one JSON document there, after every mutant.")
@click.option("--resume", is_flag=True, help="Go on with what is in that file.")
@click.option(
    "--states", type=click.IntRange(1), default=STATES, show_default=True, metavar="N", help="Visit up to N states of a scenario."
)
@click.option("--timeout", type=Seconds(), default=TIMEOUT, show_default=True, metavar="S", help="Seconds of computing a mutant.")
@click.option("--jobs", type=click.IntRange(1, 1024), metavar="N", help="Mutants asked at once; default: one for each core.")
@click.pass_context
def mutate(
    context: click.Context,
    design: str | None,
    functions: tuple[str, ...],
    operators: tuple[str, ...],
    sample: int | None,
    seed: int | None,
    declared: bool,
    file: str | None,
    resume: bool,
    states: int,
    timeout: float,
    jobs: int | None,
) -> None:
    """Make small faults of the kernel C, and see which are found.

    Each is asked in the scenarios and cells of the matrix that run its function, nearest first, until something is violated there.

    Exit code: 0 each that could be found was; 1 one was found that is declared to be no fault;
    2 bad input; 3 one survived, or is open; 130 interrupted: what was found by then is told.
    """
    if resume and file is None:
        raise click.UsageError("--resume goes on with a file; name it with --json FILE.")
    path = output.checked(file)
    wanted = Wanted(design or "", functions, operators, sample, seed or 0)
    if path is not None and resume:
        old = stored(path).wanted
        wanted = Wanted(
            old.design if design is None else design, functions or old.functions, operators or old.operators,
            old.sample if sample is None else sample, old.seed if seed is None else seed,
        )  # fmt: skip
    elif path is not None and path.is_file():
        raise InputError(f"{path}: it is there already; go on with it by --resume, or name another file")
    if seed is not None and wanted.sample is None:
        raise click.UsageError("--seed says how a sample is drawn; give --sample N with it.")
    guard.unlimited()  # each mutant has its own limit
    with printing.Progress() as progress:
        found = mutated(
            wanted.functions, wanted.operators, design=wanted.design or None, sample=wanted.sample, seed=wanted.seed,
            resume=path if resume else None, ask_declared=declared, states=states, timeout=timeout, jobs=jobs,
            listener=_listener(progress, path),
        )  # fmt: skip
    guard.deaf()
    if path is not None:
        output.write(path, documents.to_json(found).encode())
    print_mutants(printing.console(sys.stdout), found)
    context.exit(exit_code(found))


def exit_code(found: Mutants) -> ExitCode:
    """Whether a declaration is wrong, something survived, or the user wanted no more."""
    codes = [ExitCode.INTERRUPTED] if found.interrupted else []
    codes += [ExitCode.VIOLATED for each in found.judged if each.found and each.reason]
    codes += [ExitCode.UNKNOWN for _ in found.survivors]
    return worst(codes)


def _listener(progress: printing.Progress, path: Path | None) -> Callable[[Mutants, Judged | None], None]:
    def hear(so_far: Mutants, latest: Judged | None) -> None:
        progress.working(f"{len(so_far.judged)} of {so_far.chosen} mutants, {so_far.count(*FOUND)} found, {len(so_far.survivors)} not")
        if latest is None:
            return
        if path is not None:
            output.write(path, documents.to_json(so_far).encode())
        number = f"{len(so_far.judged)}/{so_far.chosen}"
        progress.said(f"{number} {latest.file}:{latest.line} {latest.operator}: {_told(latest)}  {latest.seconds:.1f} s")

    return hear


def _told(judged: Judged) -> str:
    if judged.fate == "killed":
        return f"killed: {judged.by} in {judged.scenario}, {judged.depth} steps"
    if judged.found:
        return f"{judged.fate} in {judged.scenario}"
    if judged.fate == "goal":
        return f"the goal {judged.by!r} is out of reach in {judged.scenario}"
    return judged.fate


def print_mutants(out: Console, found: Mutants) -> None:
    """How many were found, by operator and by function, and each that was not, as a patch."""
    drawn = "" if found.wanted.sample is None else f", drawn with seed {found.wanted.seed}"
    design = f" of the design {found.wanted.design}" if found.wanted.design else ""
    out.print(
        Text(f"mutants{design}: {found.chosen} of {found.of}{drawn}", style="bold"), Text(f"   code {found.code}", style="dim"), sep=""
    )
    out.print("  " + ", ".join(f"{count} {fate}" for fate in FATES if (count := found.count(fate))))
    if found.interrupted:
        out.print(f"  interrupted: {found.chosen - len(found.judged)} were not asked")
    score = found.score
    if score is not None:
        out.print(f"  found: {found.count(*FOUND)} of {found.counted} that could be, {100 * score:.1f} %")
    for what, key in (("operator", _operator), ("function", _function)):
        _print_table(out, what, found.by(key))
    for each in (*found.survivors, *(each for each in found.judged if each.fate in ("refused", "not modelled"))):
        out.print()
        where = f"{each.file}:{each.line}, {each.function}(), {each.operator}"
        said = each.reason or f"nothing is violated in {each.asked} scenario{'s' if each.asked != 1 else ''}"
        if each.fate == "goal":
            said = f"nothing is violated, but {_told(each)}" + (f"; {each.reason}" if each.reason else "")
        out.print(Text(f"{each.fate}: {where}: {said}", style="yellow" if each.fate in MISSED else "dim"))
        echo(each.diff, nl=False)  # with its tabs, so that it is a patch
    for each in found.judged:
        if each.found and each.reason:
            out.print()
            out.print(f"{_told(each)}: {each.file}:{each.line}, {each.function}(), {each.operator}: {each.what}: {each.reason}")


def _operator(judged: Judged) -> str:
    return judged.operator


def _function(judged: Judged) -> str:
    return judged.function


def _print_table(out: Console, what: str, several: dict[str, Counter[Fate]]) -> None:
    out.print()
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(f"  {what}", no_wrap=True)
    for head in ("found", "goal lost", "survived", "open", "not counted"):
        table.add_column(head, no_wrap=True, justify="right")
    for name, fates in sorted(several.items()):
        found = sum(fates[fate] for fate in FOUND)
        missed = [fates[fate] for fate in MISSED]
        rest = sum(fates.values()) - found - sum(missed)
        table.add_row(f"  {name}", *(str(count or "") for count in (found, *missed, rest)))
    out.print(table)


__all__ = ["exit_code", "mutate", "print_mutants"]
