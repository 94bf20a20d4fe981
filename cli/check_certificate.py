"""`tdpcheck check-certificate`: is the proof that a file holds one? Asked of two solvers that share no code, in fresh processes."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from ..core.errors import InputError
from ..recheck.obligations import Certificate, parse
from ..recheck.questions import Checked
from ..recheck.recheck import Rechecked, recheck, second_solver
from ..recheck.sexpr import MOST_CHARACTERS
from ..recheck.solvers import SOLVERS
from ..runner import documents

ACCEPTED, REFUSED, UNDECIDED = 0, 1, 3


class CertificateAnswer(msgspec.Struct, frozen=True):
    """What `check-certificate --json` prints."""

    schema: int
    certificate: str
    kind: str
    system: str
    property: str
    sizes: str
    scenario: str | None
    model: str | None
    clauses: int
    actions: int
    verdict: str
    answers: tuple[Checked, ...]


@click.command("check-certificate")
@click.argument("file", metavar="FILE")
@click.option(
    "--solver",
    "solvers",
    type=click.Choice(SOLVERS),
    multiple=True,
    help="Ask this one; may be given again. Without it: z3 and a second one.",
)
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True, metavar="S", help="Seconds for each solver."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def check_certificate(context: click.Context, file: str, solvers: tuple[str, ...], timeout: float, as_json: bool) -> None:
    r"""Check the proof in a certificate that `verify --out` left (*.smt2).

    \b
    Exit code: 0 every solver accepts it; 1 one of them refuses it;
    2 bad input; 3 undecided.
    """
    text = read_certificate(file)
    found = parse(text, file)
    chosen = tuple(dict.fromkeys(solvers)) or ("z3", second_solver(found.kind))
    try:
        answer = recheck(text, solvers=chosen, timeout=timeout, per_query=timeout)
    except InputError as refused:
        raise InputError(f"{file}: {refused}") from None
    verdict = "accepted" if answer.accepted else "refused" if answer.refused else "undecided"
    if as_json:
        click.echo(documents.to_json(_record(file, found, verdict, answer)), nl=False)
    else:
        click.echo("\n".join(_lines(file, found, verdict, answer)))
    context.exit({"accepted": ACCEPTED, "refused": REFUSED}.get(verdict, UNDECIDED))


def read_certificate(path: str) -> str:
    """The text of a certificate.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    advice = "give a certificate (*.smt2) that `tdpcheck verify --out DIR` left"
    try:
        if Path(path).stat().st_size > MOST_CHARACTERS:
            raise InputError(f"{path}: it has more than {MOST_CHARACTERS:,} bytes, which no certificate has; {advice}")
        data = Path(path).read_bytes()
    except OSError as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise InputError(f"{path}: {why}; {advice}") from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: it is no text; {advice}") from None


def _record(file: str, found: Certificate, verdict: str, answer: Rechecked) -> CertificateAnswer:
    header = found.header
    return CertificateAnswer(
        documents.SCHEMA, file, found.kind, header.get("system", ""), header.get("property", ""), header.get("sizes", ""),
        header.get("scenario") or None, header.get("model") or None, len(found.lemmas), len(found.steps), verdict, answer.answers,
    )  # fmt: skip


def _lines(file: str, found: Certificate, verdict: str, answer: Rechecked) -> list[str]:
    header = found.header
    about = [f"{word} {header[word]}" for word in ("scenario", "model") if header.get(word)]
    where = f" ({', '.join(about)})" if about else ""
    lines = [
        f"{file}: {header.get('property', '')} of {header.get('system', '')}{where}, {header.get('sizes', '')}",
        f"  {found.kind}: {len(found.lemmas)} clauses, {len(found.steps)} actions",
    ]
    for checked in answer.answers:
        lines.append(f"  {checked.solver} {checked.version}: {_said(checked)}")
        lines += [f"    {failure}" for failure in checked.failures]
    lines.append(f"{verdict}: {_MEANING[verdict]}")
    return lines


_MEANING = {
    "accepted": "an initial state exists, every clause holds initially, every action keeps them, and they imply what is claimed",
    "refused": "this is no proof",
    "undecided": "a solver gave no answer, so this is not accepted as a proof",
}


def _said(checked: Checked) -> str:
    if checked.verdict == "undecided" and not checked.failures:
        return f"undecided: {checked.reason}"
    return f"{checked.verdict} ({checked.queries} questions, {checked.seconds:.1f} s)"
