"""`tdpcheck check-certificate`: is the proof that a file holds one? Asked of two solvers that share no code, in fresh processes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click
import msgspec

from ..core.errors import InputError
from ..core.stored.files import read_given
from ..recheck.obligations import Certificate
from ..recheck.questions import Checked
from ..recheck.reader import EVERY_SIZE, parse
from ..recheck.recheck import Rechecked, recheck, second_solver
from ..recheck.scripts import MANIFEST, manifest, scripts
from ..recheck.sexpr import MOST_CHARACTERS, name_of
from ..recheck.solvers import SOLVERS
from ..runner import documents, output
from ..runner.asking.results import Waived
from ..runner.exit_codes import ExitCode
from ..runner.inputs.designs import design_given
from ..runner.rebuilding import Rebuilt, rebuilt
from . import guard
from .echo import echo
from .seconds import Seconds

_CODES = {"accepted": ExitCode.HOLDS, "refused": ExitCode.VIOLATED, "undecided": ExitCode.UNKNOWN}
SCHEMA = 3
"""The form of the document. 2: `kind` of an answer. 3: `waivers`."""
SHOWN = 8
"""So many names are shown."""


class CertificateAnswer(msgspec.Struct, frozen=True):
    """What `check-certificate --json` prints.

    Args:
        scenario: the one whose model, built today, the certificate was compared with; null if it was compared with nothing of ours.
        model: the digest of that model.
        sizes: null if nobody knows what sizes the file is about.
        states, actions: what the file calls them.
        waivers: the ghost statements of `change` or `design` on which the proof leans: what it proves is Waived, not Proved.
    """

    schema: int
    certificate: str
    kind: str
    property: str
    sizes: str | None
    scenario: str | None
    model: str | None
    clauses: int
    states: tuple[str, ...]
    actions: tuple[str, ...]
    verdict: str
    answers: tuple[Checked, ...]
    waivers: tuple[Waived, ...] = ()


@click.command("check-certificate")
@click.argument("file", metavar="FILE")
@click.option("--scenario", metavar="NAME|FILE.toml", help="Is it about this scenario, as today's model has it?")
@click.option("--property", "prop", metavar="NAME", help="With --scenario: does it prove this property?")
@click.option("--change", metavar="FILE", help="With --scenario: with this patch, mbox or TOML overlay.")
@click.option("--kernel", metavar="DIR", help="With --scenario: with functions lifted from this kernel tree.")
@click.option("--design", metavar="DIR", help="With --scenario: kernel C of your own, a folder whose functions override the shipped ones.")
@click.option("--rev", metavar="REF", help="Read the kernel tree at this git revision.")
@click.option("--obligations", metavar="DIR", help="Write each proof obligation as an SMT-LIB script there, with a manifest; ask nobody.")
@click.option(
    "--solver",
    "solvers",
    type=click.Choice(SOLVERS),
    multiple=True,
    help="Ask this one; may be given again. Without it: z3 and a second one.",
)
@click.option("--timeout", type=Seconds(), default=120.0, show_default=True, metavar="S", help="Seconds for everything.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def check_certificate(
    context: click.Context,
    file: str,
    scenario: str | None,
    prop: str | None,
    change: str | None,
    kernel: str | None,
    rev: str | None,
    design: str | None,
    obligations: str | None,
    solvers: tuple[str, ...],
    timeout: float,
    as_json: bool,
) -> None:
    """Check the proof in a certificate that `verify --out` or `prove --out` left (*.smt2).

    With --scenario, the system and the property are built anew from today's model, and a certificate about anything
    else is refused. Without it, the answer is about the system that the file defines, whatever that is.

    Exit code: 0 every solver accepts it; 1 one of them refuses it;
    2 bad input, or it is about something else; 3 undecided.
    """
    if scenario is None and (prop or change or kernel or design):
        given = next(
            name for name, value in (("--property", prop), ("--change", change), ("--kernel", kernel), ("--design", design)) if value
        )
        raise InputError(f"{given} says something of a scenario; name it with --scenario")
    guard.limit(timeout, f"checking {file}")
    text = read_certificate(file)
    found = parse(text, file)
    own = design_given(design)
    about = None if scenario is None else rebuilt(found, file, scenario, prop=prop, change=change, kernel=kernel, rev=rev, design=own)
    if obligations is not None:
        echo(_written(file, text, obligations, guard.left()))
        return
    chosen = tuple(dict.fromkeys(solvers)) or ("z3", second_solver(found.kind))
    try:
        answer = recheck(text, solvers=chosen, timeout=guard.left(), per_query=guard.left(), whole=guard.left())
    except InputError as refused:
        raise InputError(f"{file}: {refused}") from None
    verdict = "accepted" if answer.accepted else "refused" if answer.refused else "undecided"
    if as_json:
        echo(documents.to_json(_record(file, found, about, verdict, answer)), nl=False)
    else:
        echo("\n".join(_lines(file, found, about, verdict, answer)))
    context.exit(_CODES[verdict])


def read_certificate(path: str) -> str:
    """The text of a certificate.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    advice = "give a certificate (*.smt2) that `tdpcheck verify --out DIR` left"
    data = read_given(path, MOST_CHARACTERS, advice, "certificate")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: it is no text; {advice}") from None


def _written(file: str, text: str, folder: str, timeout: float) -> str:
    """Write the obligations of a certificate, and say what to do with them."""
    target = output.prepared(folder)
    try:
        every = list(scripts(text, timeout=timeout))
    except InputError as refused:
        raise InputError(f"{file}: {refused}") from None
    for each, content in every:
        output.write(target / each.file, content.encode())
    output.write(target / MANIFEST, manifest(text, [each for each, _ in every]).encode())
    return f"{len(every)} obligations of {file} are in {folder}, listed in {MANIFEST}; to each of them a solver must answer unsat"


def _names(symbols: Iterable[str]) -> tuple[str, ...]:
    return tuple(name_of(symbol).rpartition(" ")[2] for symbol in symbols)


def _record(file: str, found: Certificate, about: Rebuilt | None, verdict: str, answer: Rechecked) -> CertificateAnswer:
    return CertificateAnswer(
        SCHEMA, file, found.kind, ", ".join(found.property_names), _sizes(found, about),
        None if about is None else about.scenario, None if about is None else about.digest or None, len(found.lemmas),
        _names(found.functions), tuple(found.steps), verdict, answer.answers, () if about is None else about.waivers,
    )  # fmt: skip


def _sizes(found: Certificate, about: Rebuilt | None) -> str | None:
    return about.sizes if about is not None else None if found.kind == "grounded" else EVERY_SIZE


def _lines(file: str, found: Certificate, about: Rebuilt | None, verdict: str, answer: Rechecked) -> list[str]:
    parts = f"{found.kind}: {len(found.lemmas)} clauses, {len(found.steps)} actions"
    if about is not None:
        model = f" (model {about.digest})" if about.digest else ""
        lines = [f"{file}: {', '.join(found.property_names)} of scenario {about.scenario}{about.change}{model}, {about.sizes}"]
        lines.append(f"  {parts}; its system and properties are those of today's model, to the letter")
    else:
        lines = [f"{file}: about a system of its own, compared with none of ours", f"  {parts}"]
        lines.append(f"  what it calls state: {_some(_names(found.functions))}")
        lines.append(f"  what it calls actions: {_some(tuple(found.steps))}")
        lines.append(f"  what it calls properties: {_some(found.property_names)}")
    for checked in answer.answers:
        lines.append(f"  {checked.solver} {checked.version}: {_said(checked)}")
        lines += [f"    {failure}" for failure in checked.failures]
    lines.append(f"{verdict}: {_MEANING[verdict]}")
    if about is not None and about.waivers:
        leaning = "a waiver" if len(about.waivers) == 1 else f"{len(about.waivers)} waivers"
        lines.append(f"What it says leans on {leaning}, which nobody checks: what a proof of it gives is Waived, not Proved.")
        lines += [f"  waiver {waiver.place}: {waiver.what}" for waiver in about.waivers]
    if verdict == "accepted" and about is None:
        lines.append("That is said of the file's own system, and of no scenario: --scenario NAME compares it with today's model.")
    return lines


def _some(names: Sequence[str]) -> str:
    """So many, and the first of them."""
    first = ", ".join(name if len(name) <= 60 else f"{name[:60]}…" for name in names[:SHOWN])
    return f"{len(names)}: {first}{' …' if len(names) > SHOWN else ''}"


_MEANING = {
    "accepted": "an initial state exists, every clause holds initially, every action keeps them, and they imply the properties",
    "refused": "this is no proof",
    "undecided": "a solver gave no answer, so this is not accepted as a proof",
}


def _said(checked: Checked) -> str:
    if checked.verdict == "undecided" and not checked.failures:
        return f"undecided: {checked.reason}"
    return f"{checked.verdict} ({checked.queries} questions, {checked.seconds:.1f} s)"
