"""`tdpcheck trace`: what a running kernel did, recorded, asked of the model, and watched for broken promises."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..api.change import given
from ..core.errors import InputError
from ..model.scenario import SHARED
from ..runner import output
from ..runner.documents import to_json
from ..runner.exit_codes import ExitCode
from ..runner.inputs.designs import design_given
from ..runner.inputs.sources import code_for, files_of, kernel_given
from ..traces import recording
from ..traces.format import read, written
from ..traces.monitor import PROMISES, Kept, monitor
from . import guard, printing
from .echo import echo
from .seconds import Seconds


@click.group()
def trace() -> None:
    """Record what a running kernel's TDP MMU does, and ask whether the model has it.

    docs/running-kernel.md says what of a kernel is visible, and what an answer means.
    """


@trace.command()
@click.argument("file")
@click.option("--change", metavar="FILE", help="Ask the kernel C with this patch, mbox (all of it) or TOML overlay.")
@click.option("--kernel", metavar="DIR", help="Functions lifted from this kernel tree: not possible yet.")
@click.option("--rev", metavar="REF", help="Read the kernel tree at this git revision.")
@click.option("--design", metavar="DIR", help="Kernel C of your own: a folder whose functions override the shipped ones.")
@click.option("--timeout", type=Seconds(), default=300.0, show_default=True, help="Seconds in all.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def check(
    context: click.Context, file: str, change: str | None, kernel: str | None, rev: str | None, design: str | None, timeout: float,
    as_json: bool,
) -> None:  # fmt: skip
    """Ask whether each overlap of FILE, a recorded trace, is a run of the model.

    An overlap is an invalidation by the host beside a vCPU's attempt to map one of its pages, or two such attempts, with all that takes
    part. What was seen has to come as it was seen; what a trace cannot show may happen at any time.

    Exit code: 0 each is accepted; 1 one is refused; 2 bad input; 3 not decided in time, or nothing could be judged; 130 interrupted.
    """
    from ..runner.traces.checking import check as checked

    recorded = read(file)
    own = design_given(design)
    tree = kernel_given(kernel, rev, lambda said: echo(said, err=True))
    name = own.only if own is not None else SHARED
    if own is not None and not name:
        raise InputError(f"{own.path} holds the designs {', '.join(own.names)}; give the folder of one")
    if tree is not None:  # where lifted code gives up is not read from its steps yet, so that what is right would be refused
        raise InputError("--kernel: functions of a kernel tree cannot be asked of a trace yet; leave it out, and our kernel C is asked")
    files, patch = files_of(tree, own), given(change)
    if patch is not None:
        files = patch.versions(files)[-1].files
    guard.limit(timeout + 60, "checking the trace")
    with printing.Progress() as progress:
        answer = checked(
            recorded,
            name,
            lambda scenario: code_for(scenario, tree, files),
            change=patch.name if patch is not None else "",
            timeout=timeout,
            progress=lambda done, of: progress.working(f"{done} of {of} overlaps"),
        )
    if as_json:
        echo(to_json({"schema": 1, "checked": answer}), nl=False)
    else:
        _print(printing.console(sys.stdout), answer)
    if answer.refused:
        context.exit(ExitCode.VIOLATED)
    context.exit(ExitCode.UNKNOWN if answer.open or not answer.accepted else ExitCode.HOLDS)


@trace.command("monitor")
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def monitor_(context: click.Context, file: str, as_json: bool) -> None:
    """Ask promises of what really happened in FILE, a recorded trace. No model is needed.

    Exit code: 0 each was kept; 1 one was broken; 2 bad input; 3 one was never put to the test.
    """
    found = monitor(read(file))
    if as_json:
        echo(to_json({"schema": 1, "promises": found}), nl=False)
    else:
        _print_promises(found)
    if any(each.broken for each in found):
        context.exit(ExitCode.VIOLATED)
    context.exit(ExitCode.HOLDS if all(each.asked for each in found) else ExitCode.UNKNOWN)


@trace.command()
@click.option("--kernel-version", "version", required=True, type=click.Choice(recording.VERSIONS), help="Debian's kernel of that version.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Of the workload.")
@click.option("--rounds", type=click.IntRange(1, 5000), default=60, show_default=True, metavar="N", help="How many operations of the host.")
@click.option("--package", metavar="FILE.deb", help="The kernel's package; without it, apt downloads the newest.")
@click.option("--out", required=True, metavar="FILE", help="Where the trace goes, compressed.")
@click.pass_context
def record(context: click.Context, version: str, seed: int, rounds: int, package: str | None, out: str) -> None:
    """Boot Debian's unmodified kernel in QEMU, and record what its TDP MMU does beside a small guest.

    Neither /dev/kvm nor kernel source is used. It needs qemu-system-x86, busybox-static, gcc and a kernel's package; where one of them is
    missing it says NOT RUN, and what.

    Exit code: 0 recorded; 2 bad input; 3 not run; 130 interrupted.
    """
    given_package = None if package is None else Path(package)
    if given_package is not None and not given_package.is_file():
        raise InputError(f"{package}: there is no such file; give a Debian package linux-image-*-amd64-unsigned")
    guard.limit(2 * recording.BOOT, "recording")
    try:
        made = recording.record(recording.Wanted(version, seed, rounds, given_package), lambda said: echo(said, err=True))
    except recording.NotRun as why:
        echo(f"NOT RUN: {why}", err=True)
        context.exit(ExitCode.UNKNOWN)
    output.write(Path(out), written(made))
    echo(f"{out}: {made.header.kernel}, {len(made.events)} events, {made.header.lost} lost")
    if made.header.absent:
        echo(f"not seen there: {', '.join(made.header.absent)}")


def _print(out: Console, answer: object) -> None:
    from ..runner.traces.checking import Checked

    assert isinstance(answer, Checked)
    model = f"{answer.design}{f' with {answer.change}' if answer.change else ''}"
    head = "REFUSED" if answer.refused else "ACCEPTED" if answer.accepted and not answer.open else "NOT DECIDED"
    counts = f"{answer.acceptances} accepted, {answer.refusals} refused"
    out.print(Text(f"{head}   {answer.kernel}, seed {answer.seed}, against {model}: {counts}", style="bold"))
    for pair, number in sorted(answer.accepted.items()):
        out.print(f"  {pair}: {number} accepted, {answer.words.get(pair, 0)} different words")
    for line in _open(answer.open, answer.lost, answer.early, answer.not_judged):
        out.print(_wrapped(line, "    "))
    for each in answer.refused:
        out.print()
        out.print(
            Text(
                f"Refused{f' ({each.times} like it)' if each.times > 1 else ''}: gfn {each.gfn:#x}, {each.start} at {each.begin}",
                style="bold red",
            )
        )
        out.print(_lanes(each.lanes, each.came))
        out.print(_wrapped(f"  cannot come next: {'; or '.join(each.cannot) or 'the end'}", "    "))
        out.print(_wrapped(f"  the model allows there: {'; '.join(each.instead) or 'nothing that a trace shows'}", "    "))
        if each.guard:
            out.print(_wrapped(f"  what refused: {each.guard}", "    "))
    out.print(Text(f"{answer.seconds:.1f} s", style="dim"))


def _open(open_: int, lost: int, early: int, not_judged: object) -> Iterator[str]:
    if open_:
        yield f"  not decided in time: {open_}"
    if lost:
        yield f"  {lost} events had no room in the machine: what stands beside them may be judged wrongly"
    if early:
        yield f"  not asked: {early} attempts that gave up before they asked for mmu_lock; they change nothing"
    assert isinstance(not_judged, dict)
    for why, number in sorted(not_judged.items()):
        yield f"  not judged: {number}: {why}"


def _lanes(lanes: object, came: tuple[int, ...]) -> Table:
    """What was seen, time downwards, a lane a thread; what a run of the model has is dim."""
    assert isinstance(lanes, tuple)
    table = Table(box=None, padding=(0, 2, 0, 2), pad_edge=False, header_style="dim")
    table.add_column("between", justify="right", no_wrap=True)
    for lane in lanes:
        table.add_column(f"{lane.name} (task {lane.task})", overflow="fold")
    rows = sorted((begin, end, number, at, what) for number, lane in enumerate(lanes) for at, (what, begin, end) in enumerate(lane.seen))
    for begin, end, number, at, what in rows:
        cells = [what if number == column else "" for column in range(len(lanes))]
        table.add_row(f"{begin}-{end}", *cells, style="dim" if at < came[number] else "bold")
    return table


def _print_promises(found: tuple[Kept, ...]) -> None:
    for each in found:
        word = "BROKEN" if each.broken else "kept" if each.asked else "never put to the test"
        echo(f"{each.promise}: {word} ({each.asked} times asked, {len(each.broken)} broken). {PROMISES[each.promise][0]}")
        for broken in each.broken[:10]:
            echo(f"  at {broken.time}, task {broken.task}: {broken.what}")


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, printing.PLAIN_WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


__all__ = ["trace"]
