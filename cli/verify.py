"""`tdpcheck verify`: ask the questions, print the answers, leave the counterexamples."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from ..api.verify import STATES, TIMEOUT
from ..api.verify import verify as verified
from ..core.errors import InputError
from ..counterexamples.command import renamed
from ..reports import logs
from ..runner import documents, output
from ..runner.asking import results
from ..runner.runs.run import Found, Outcome, each_violation
from ..runner.telling import rendering
from ..runner.telling.telling import Telling
from . import printing
from .echo import echo

Key = tuple[str, str, str | None]
"""Scenario, property and change of an answer."""


@click.command()
@click.option("--scenario", "scenarios", multiple=True, metavar="NAME|FILE.toml", help="Ask in this scenario only; may be given again.")
@click.option("--property", "properties", multiple=True, metavar="NAME", help="Ask this property only; may be given again.")
@click.option("--change", metavar="FILE", help="Check with this patch, mbox or TOML overlay, and without it.")
@click.option("--kernel", metavar="DIR", help="Lift functions from this kernel tree.")
@click.option("--rev", metavar="REF", help="Read the kernel tree at this git revision.")
@click.option("--depth", type=click.IntRange(0, 1000), metavar="N", help="Steps to search; default: where every goal is reached, plus 5.")
@click.option(
    "--states",
    type=click.IntRange(0),
    default=STATES,
    show_default=True,
    metavar="N",
    help="Visit up to N states before asking Z3; 0: ask at once.",
)
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=TIMEOUT, show_default=True, help="Seconds a question.")
@click.option(
    "--certify/--no-certify", default=True, show_default=True, help="Make a proof of every complete exploration; two solvers check it."
)
@click.option("--all", "all_", is_flag=True, help="Tell every violation that is no variant of another, not the first alone.")
@click.option("--repair", is_flag=True, help="Look for an edit that repairs each unexpected violation, and verify it.")
@click.option("--jobs", type=click.IntRange(1, 1024), metavar="N", help="Processes that compute at once; default: one for each core.")
@click.option("--memory", type=click.IntRange(200), metavar="MB", help="What each of them may use; a question that needs more is Unknown.")
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
    change: str | None,
    kernel: str | None,
    rev: str | None,
    depth: int | None,
    states: int,
    timeout: float,
    certify: bool,
    all_: bool,
    repair: bool,
    jobs: int | None,
    memory: int | None,
    no_cache: bool,
    as_json: bool,
    out: str | None,
    junit: str | None,
    sarif: str | None,
) -> None:
    r"""Check properties in scenarios, with and without a change.

    \b
    Exit code: 0 every question is Proved, or HoldsUpTo the depth asked for;
    1 something is Violated that its scenario does not expect;
    2 bad input or usage; 3 something is Unknown; 130 interrupted.
    """
    folder = output.prepared(out) if out is not None else None
    tests, log = output.checked(junit), output.checked(sarif)
    with printing.Progress() as progress:
        outcome = verified(
            scenarios, properties, change=change, kernel=kernel, rev=rev, depth=depth, states=states, timeout=timeout, certify=certify,
            jobs=jobs, memory=memory, cache=not no_cache, listener=progress,
        ).outcome  # fmt: skip
        telling = Telling(outcome.plan if repair else None, progress.working)
        told, unwritten = _told(outcome, folder, telling, all_=all_)
    if as_json:
        echo(documents.to_json(told.document), nl=False)
    else:
        printing.print_document(printing.console(sys.stdout), told.document, told.texts)
    if unwritten is not None:
        raise unwritten
    if tests is not None:
        output.write(tests, logs.junit(told.document, told.texts))
    if log is not None:
        output.write(log, logs.sarif(told.document, told.made))
    context.exit(told.document.exit_code)


def _told(outcome: Outcome, folder: Path | None, telling: Telling, *, all_: bool) -> tuple[Told, InputError | None]:
    """The outcome told, and what kept its files from being written: a full disk is no reason to keep the answers back."""
    try:
        return tell(outcome, folder, telling, all_=all_), None
    except InputError as error:
        return tell(outcome, None, telling, all_=all_), error


@dataclass(frozen=True)
class Told:
    """An outcome as it is told: its document, the text of each counterexample that is news, and every counterexample."""

    document: results.Document
    texts: dict[Key, str]
    made: dict[Key, rendering.Cex]


def tell(outcome: Outcome, folder: Path | None, telling: Telling | None = None, *, all_: bool = False) -> Told:
    """Make the counterexamples, leave them in `folder`, and say in the records where."""
    telling = telling or Telling()
    files: dict[Key, tuple[str, ...]] = {}
    texts: dict[Key, str] = {}
    made: dict[Key, rendering.Cex] = {}
    for found in each_violation(outcome, lambda record: folder is not None or not record.as_expected):
        record = found.record
        key = _key(record)
        cex = _made(found, telling)
        if cex is not None:
            made[key] = cex
            if folder is not None:
                files[key] = leave(_name(record), cex, folder)
        if not record.as_expected:
            texts[key] = text_of(found, cex, folder)
        for number, other in enumerate(telling.others(found) if all_ and cex is not None else (), 2):
            name = f"{_name(record)}.{number}"
            if folder is not None:
                files[key] += leave(name, other, folder)
            if not record.as_expected:
                text = rendering.render(other, "text").decode()
                texts[key] += "\n" + (text if folder is None else renamed(text, other, str(folder / f"{name}.cex.json")))
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
    return Told(document, texts, made)


def _key(record: results.Result) -> Key:
    return record.scenario, record.property, record.change


def _name(record: results.Result) -> str:
    """What the files of a counterexample are called."""
    return output.slug(record.scenario, record.property, record.change)


def _made(found: Found, telling: Telling) -> rendering.Cex | None:
    """The document, or None if it cannot be made: an answer is worth more than its telling."""
    try:
        return telling.document(found)
    except Exception as error:
        echo(f"{_name(found.record)}: there is no report of it: {type(error).__name__}: {error}", err=True)
        return None


def text_of(found: Found, cex: rendering.Cex | None, folder: Path | None = None) -> str:
    """The counterexample as text, naming the file of it in `folder`; as plain steps if it has no such form."""
    if cex is not None:
        try:
            text = rendering.render(cex, "text").decode()
            return text if folder is None else renamed(text, cex, str(folder / f"{_name(found.record)}.cex.json"))
        except Exception as error:
            echo(f"the counterexample is shown as plain steps: {type(error).__name__}: {error}", err=True)
    return "\n".join(f"  {n:3} {step.actor:12} {step.text}" for n, step in enumerate(found.record.trace or (), 1)) + "\n"


def leave(name: str, cex: rendering.Cex, folder: Path) -> tuple[str, ...]:
    """Write a counterexample in each form that a reader may want, and answer with the names of the files; all begin with `name`."""
    left = []
    for form, ending in rendering.LEFT:
        try:
            content = rendering.render(cex, form)
        except Exception as error:  # an answer is worth more than its picture
            echo(f"{name}.{ending} was not written: {type(error).__name__}: {error}", err=True)
            continue
        if form != "json":
            content = renamed(content.decode(), cex, f"{name}.cex.json").encode()
        output.write(folder / f"{name}.{ending}", content)
        left.append(f"{name}.{ending}")
    return tuple(left)
