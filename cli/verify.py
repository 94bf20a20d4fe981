"""`tdpcheck verify`: ask the questions, print the answers, leave the counterexamples."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import msgspec

from ..api.verify import STATES, TIMEOUT, Cells
from ..api.verify import verify as verified
from ..checker.processes import Child, Died, Failed, Failure, Said, Say, listen
from ..core.errors import EngineError, InputError
from ..counterexamples.command import renamed
from ..counterexamples.forms.text import briefly
from ..reports import logs
from ..runner import documents, output
from ..runner.asking import results
from ..runner.runs.plan import Place
from ..runner.runs.run import Outcome, each_violation, violated
from ..runner.telling import rendering
from ..runner.telling.causes import Cause, causes
from ..runner.telling.counterexamples import Telling
from . import guard, printing
from .echo import echo
from .matrix import print_matrix
from .seconds import Seconds
from .short import print_short

LATE, LEAST_LATE = 0.07, 1.0
"""A run whose time is up may go on for that part of it, or so many seconds, to print what was found; then the watcher ends it."""
Key = tuple[str, str, str | None]
"""Scenario, property and change of an answer."""


@click.command()
@click.option("--scenario", "scenarios", multiple=True, metavar="NAME|FILE.toml", help="Ask in this scenario only; may be given again.")
@click.option("--property", "properties", multiple=True, metavar="NAME", help="Ask this property only; may be given again.")
@click.option("--matrix", is_flag=True, help="Ask every property of every pair of flows; with --change, of those that it touches.")
@click.option("--flow", "flows", multiple=True, metavar="ROLE", help="Of the matrix, the cells with this flow; may be given again.")
@click.option("--start", "starts", multiple=True, metavar="NAME", help="Of the matrix, the cells with this start; may be given again.")
@click.option(
    "--change",
    metavar="FILE",
    help="Check with this patch, mbox, TOML overlay, museum name or range A..B of --kernel, and without it; -: standard input.",
)
@click.option("--kernel", metavar="DIR", help="Lift functions from this kernel tree.")
@click.option("--rev", metavar="REF", help="Read the kernel tree at this git revision.")
@click.option("--design", metavar="DIR", help="Kernel C of your own: a folder whose functions override the shipped ones.")
@click.option("--depth", type=click.IntRange(0, 1000), metavar="N", help="Steps to search; default: where every goal is reached, plus 5.")
@click.option(
    "--states",
    type=click.IntRange(0),
    default=STATES,
    show_default=True,
    metavar="N",
    help="Visit up to N states before asking Z3; 0: ask at once.",
)
@click.option(
    "--timeout",
    type=Seconds(),
    default=TIMEOUT,
    show_default=True,
    metavar="S",
    help="Seconds a question; what is done for several counts for each. N questions end within N times S.",
)
@click.option("--total", type=Seconds(), metavar="S", help="Seconds for the whole run; what is not answered by then is Unknown.")
@click.option(
    "--certify/--no-certify",
    default=None,
    help="Make a proof of every complete exploration, which two solvers check; without a word so, but for --matrix.",
)
@click.option("--all", "all_", is_flag=True, help="Tell every violation that is no variant of another, not the first alone.")
@click.option("-v", "--verbose", is_flag=True, help="Tell each answer, with what was explored and assumed, and each violation whole.")
@click.option("--repair", is_flag=True, help="Look for an edit that repairs each unexpected violation, and verify it.")
@click.option("--jobs", type=click.IntRange(1, 1024), metavar="N", help="Processes that compute at once; default: one for each core.")
@click.option(
    "--memory",
    type=click.IntRange(200),
    metavar="MB",
    help="What each of them may take beyond what it begins with; a question that needs more is Unknown.",
)
@click.option("--no-cache", is_flag=True, help="Ask everything anew, and keep nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--out", metavar="DIR", help="Leave run.json and each counterexample there.")
@click.option("--junit", metavar="FILE", help="Write the answers as JUnit XML there.")
@click.option("--sarif", metavar="FILE", help="Write the violations that no scenario expects as SARIF there.")
@click.pass_context
def verify(
    context: click.Context,
    scenarios: tuple[str, ...],
    properties: tuple[str, ...],
    matrix: bool,
    flows: tuple[str, ...],
    starts: tuple[str, ...],
    change: str | None,
    kernel: str | None,
    rev: str | None,
    design: str | None,
    depth: int | None,
    states: int,
    timeout: float,
    total: float | None,
    certify: bool | None,
    all_: bool,
    verbose: bool,
    repair: bool,
    jobs: int | None,
    memory: int | None,
    no_cache: bool,
    as_json: bool,
    out: str | None,
    junit: str | None,
    sarif: str | None,
) -> None:
    """Check properties in scenarios, with and without a change.

    Of a run with a change, or of several scenarios, the nearest violation is told whole, the others a line each; -v tells all.

    Exit code: 0 every question is Proved, HoldsUpTo the depth asked for, or Waived (it would be, but leans on what its author says);
    1 something is Violated that its scenario does not expect;
    2 bad input or usage; 3 something is Unknown; 130 interrupted.
    """
    if (flows or starts) and not matrix:
        raise click.UsageError("--flow and --start choose cells of the matrix; give --matrix with them.")
    if matrix and scenarios:
        raise click.UsageError("--matrix asks in every cell; one of them is asked for by its name: --scenario notifier+fault@pages.")
    guard.limit(timeout if total is None else min(timeout, total), "reading what was given")
    folder = output.prepared(out) if out is not None else None
    tests, log = output.checked(junit), output.checked(sarif)
    with _Progress(total, surprises=matrix) as progress:
        wanted = Cells(flows, starts) if matrix else scenarios
        certify = not matrix if certify is None else certify
        outcome = verified(
            wanted, properties, change=change, kernel=kernel, rev=rev, design=design, depth=depth, states=states, timeout=timeout,
            certify=certify, jobs=jobs, memory=memory, cache=not no_cache, listener=progress, total=total, spent=guard.spent(),
        ).outcome  # fmt: skip
        telling = Telling(outcome.plan if repair else None, progress.working)
        # Of a run that was interrupted, or was not asked without the change, each answer is told.
        whole = verbose or all_ or matrix or outcome.interrupted or any(record.alone for record in outcome.records)
        short = not whole and (change is not None or len({place[0] for place in outcome.places}) > 1)
        again = _again(change, kernel, rev, design) if short else None
        told, unwritten = _told(outcome, folder, telling, all_=all_, every=verbose or all_, again=again)
    guard.deaf()
    if as_json:
        echo(documents.to_json(told.document), nl=False)
    else:
        out_ = printing.console(sys.stdout)
        if short:
            print_short(out_, told.document, told.brief, told.causes, min(out_.width, printing.PLAIN_WIDTH))
        else:
            shown = told.texts if verbose or all_ else _nearest(told, 1 if matrix else None)
            (print_matrix if matrix else printing.print_document)(out_, told.document, shown)
    if unwritten is not None:
        raise unwritten
    if tests is not None:
        output.write(tests, logs.junit(told.document, told.texts))
    if log is not None:
        output.write(log, logs.sarif(told.document, told.made))
    context.exit(told.document.exit_code)


def _nearest(told: Told, number: int | None) -> dict[Key, str]:
    """The whole text of the nearest violation of each cause; of so many causes, those of the fewest steps."""
    ordered = sorted((cause.first for cause in told.causes), key=lambda record: record.depth or 0)
    return {_key(record): told.texts[_key(record)] for record in ordered[:number]}


def _again(change: str | None, kernel: str | None, rev: str | None, design: str | None) -> str:
    """What to type, beside the scenario and the property, to ask one question again."""
    given = (("--change", change), ("--kernel", kernel), ("--rev", rev), ("--design", design))
    return " ".join(f"{option} {shlex.quote(value)}" for option, value in given if value is not None)


def _told(
    outcome: Outcome, folder: Path | None, telling: Telling, *, all_: bool, every: bool, again: str | None
) -> tuple[Told, InputError | None]:
    """The outcome told, and what kept its files from being written: a full disk, or a signal, is no reason to keep the answers back."""
    try:
        try:
            return tell(outcome, folder, telling, all_=all_, every=every, again=again), None
        except KeyboardInterrupt:
            outcome.interrupted = True
            return tell(outcome, folder, plainly=True, every=every, again=again), None
    except InputError as error:
        return tell(outcome, None, plainly=outcome.interrupted, all_=all_, every=every, again=again), error


class _Progress(printing.Progress):
    """Once a question is asked, the run minds its time itself; until then the watcher does, and of a whole run with a limit."""

    def __init__(self, total: float | None, *, surprises: bool) -> None:
        super().__init__(surprises=surprises)
        self._total = total
        self._reading = True

    def working(self, what: str) -> None:
        if self._reading:
            self._reading = False
            if self._total is None:
                guard.unlimited()
            else:
                guard.limit(self._total + max(LEAST_LATE, LATE * self._total), "the whole run")
        super().working(what)


@dataclass(frozen=True)
class Told:
    """An outcome as it is told: its document, the text of each violation that is news, whole and as it stands among other answers, every
    counterexample that was made, and the causes of what is news.
    """

    document: results.Document
    texts: dict[Key, str]
    brief: dict[Key, str]
    made: dict[Key, rendering.Cex]
    causes: tuple[Cause, ...]


@dataclass(frozen=True)
class _Left:
    """A counterexample, the content of each file of it by its ending, its text, and that as it stands among other answers."""

    cex: rendering.Cex
    forms: tuple[tuple[str, bytes], ...]
    text: str
    brief: str


@dataclass(frozen=True)
class _Made:
    """What was made of a violation: it and others of its kind, and what kept something from being made."""

    where: Place
    left: tuple[_Left, ...]
    complaints: tuple[str, ...]


def tell(
    outcome: Outcome,
    folder: Path | None,
    telling: Telling | None = None,
    *,
    all_: bool = False,
    plainly: bool = False,
    every: bool = False,
    again: str | None = None,
) -> Told:
    """Make the counterexamples, leave them in `folder`, and say in the records where.

    Args:
        plainly: without counterexamples: their steps alone are told.
        every: tell each violation, not the nearest of each cause alone; all are made in either case where they are left in a folder.
        again: tell them briefly, and how to ask again: with these options beside the scenario and the property.
    """
    files: dict[Key, tuple[str, ...]] = {}
    texts: dict[Key, str] = {}
    made: dict[Key, rendering.Cex] = {}
    brief: dict[Key, str] = {}
    wanted = violated(outcome, lambda record: folder is not None or not record.as_expected)
    found = causes(outcome.document)
    nearest = {_key(cause.first) for cause in found}
    if folder is None and not every:
        wanted = [where for where in wanted if _key(outcome.told[where]) in nearest]
    reports = {} if plainly else _all_made(outcome, wanted, folder, telling or Telling(), all_=all_, again=again)
    for where in wanted:
        record = outcome.told[where]
        left = reports[where].left if where in reports else ()
        if left:
            made[_key(record)] = left[0].cex
        if folder is not None and left:
            files[_key(record)] = tuple(n for number, one in enumerate(left, 1) for n in leave(_numbered(record, number), one, folder))
        if not record.as_expected:
            texts[_key(record)] = "\n".join(one.text for one in left) or _steps(record)
            brief[_key(record)] = left[0].brief if left else _steps(record)
    if folder is not None:
        for place, certificate in outcome.certificates.items():
            record = outcome.told[place]
            if record.verdict == "proved":
                name = f"{_name(record)}.smt2"
                output.write(folder / name, certificate.encode())
                files[_key(record)] = (name,)
    document = outcome.document
    if files:
        linked = tuple(msgspec.structs.replace(r, files=files.get(_key(r), ())) for r in document.results)
        document = msgspec.structs.replace(document, results=linked)
    if folder is not None:
        output.write(folder / "run.json", documents.to_json(document).encode())
    texts |= {_key(r): _steps(r) for r in document.results if r.verdict == "violated" and not r.as_expected and _key(r) not in texts}
    return Told(document, texts, brief, made, found)


def _all_made(
    outcome: Outcome, wanted: Sequence[Place], folder: Path | None, telling: Telling, *, all_: bool, again: str | None
) -> dict[Place, _Made]:
    """The counterexamples of each violation, made in processes that have what is left of its time."""
    limits, working = outcome.plan.limits, telling.working or (lambda what: None)
    reports: dict[Place, _Made] = {}
    for group in dict.fromkeys((place, number) for place, number, _ in wanted):
        waiting = [where for where in wanted if where[:2] == group]
        child = Child(
            partial(_make, outcome, frozenset(waiting), group, folder, telling, all_=all_, again=again), memory=outcome.plan.memory
        )
        try:
            while waiting:
                if child.deadline is None:
                    child.end_within(limits.until_killed(outcome.spent.get(waiting[0], 0.0)))
                for _, news in listen([child]):
                    match news:
                        case Said(value=_Made() as made):
                            waiting.remove(made.where)
                            reports[made.where] = made
                            for complaint in made.complaints:
                                echo(complaint, err=True)
                            child.deadline = None
                        case Said(value=what):
                            working(str(what))
                        case Failed(kind=Failure.ENGINE, message=message):
                            raise EngineError(message)
                        case Failed(kind=Failure.INTERRUPTED):
                            raise KeyboardInterrupt
                        case _:
                            for where in waiting:
                                why = news.reason if isinstance(news, Died) else str(news)
                                echo(f"{_name(outcome.told[where])}: there is no report of it: {why}", err=True)
                            waiting = []
        finally:
            child.kill()
    return reports


def _make(
    outcome: Outcome,
    wanted: frozenset[Place],
    group: tuple[int, int],
    folder: Path | None,
    telling: Telling,
    say: Say,
    *,
    all_: bool,
    again: str | None,
) -> None:
    """Make the counterexamples of one scenario in one version, and say each."""
    telling.working = say
    keys = {_key(outcome.told[where]) for where in wanted}
    for found in each_violation(outcome, lambda record: _key(record) in keys, group):
        complaints: list[str] = []
        left: list[_Left] = []
        try:
            first = telling.document(found)
            left.append(_rendered(_numbered(found.record, 1), first, found.record, folder, complaints, again))
            for number, other in enumerate(telling.others(found) if all_ else (), 2):
                left.append(_rendered(_numbered(found.record, number), other, found.record, folder, complaints))
        except Exception as error:
            complaints.append(f"{_name(found.record)}: there is no report of it: {type(error).__name__}: {error}")
        say(_Made(found.where, tuple(left), tuple(complaints)))


def _rendered(
    name: str, cex: rendering.Cex, record: results.Result, folder: Path | None, complaints: list[str], again: str | None = None
) -> _Left:
    """A counterexample in each form that a reader may want, and as text that names its file; as plain steps if it has no such form."""
    forms: list[tuple[str, bytes]] = []
    text = ""
    for form, ending in rendering.LEFT:
        if folder is None and form != "text":
            continue
        try:
            content = rendering.render(cex, form)
        except Exception as error:  # an answer is worth more than its picture
            complaints.append(f"{name}.{ending} was not written: {type(error).__name__}: {error}")
            continue
        if form == "text":
            text = content.decode() if folder is None else renamed(content.decode(), cex, str(folder / f"{name}.cex.json"))
        forms.append((ending, content if form == "json" else renamed(content.decode(), cex, f"{name}.cex.json").encode()))
    brief = text
    if text and again is not None:
        where = f"tdpcheck verify --scenario {shlex.quote(record.scenario)} --property {record.property}"
        brief = briefly(
            cex, f"Replay: tdpcheck replay {shlex.quote(str(folder / name))}.cex.json" if folder else f"Again: {where} {again} -v"
        )
    return _Left(cex, tuple(forms), text or _steps(record), brief or _steps(record))


def _numbered(record: results.Result, number: int) -> str:
    """What the files of a counterexample are called, the first or another one of its kind."""
    return _name(record) if number == 1 else f"{_name(record)}.{number}"


def _steps(record: results.Result) -> str:
    return "\n".join(f"  {n:3} {step.actor:12} {step.text}" for n, step in enumerate(record.trace or (), 1)) + "\n"


def leave(name: str, left: _Left, folder: Path) -> tuple[str, ...]:
    """Write a counterexample in each of its forms, and answer with the names of the files; all begin with `name`."""
    for ending, content in left.forms:
        output.write(folder / f"{name}.{ending}", content)
    return tuple(f"{name}.{ending}" for ending, _ in left.forms)


def _key(record: results.Result) -> Key:
    return record.scenario, record.property, record.change


def _name(record: results.Result) -> str:
    """What the files of a counterexample are called."""
    return output.slug(record.scenario, record.property, record.change)
