"""`tdpcheck museum`: each known bug found again, and its good twin shown to be without it."""

from __future__ import annotations

import sys

import click

from ..api.museum import museum as visited
from ..core.errors import InputError
from ..counterexamples.schema import read
from ..runner import documents, output
from ..runner.asking import results
from ..runner.asking.limits import Limits
from ..runner.asking.results import MuseumDocument, MuseumItem
from ..runner.exit_codes import ExitCode, worst
from ..runner.museum import adding
from ..runner.museum.adding import NOBODY, item_of
from ..runner.museum.visits import chosen, visit
from ..runner.telling.answers import steps_text
from . import guard, printing
from .echo import echo
from .seconds import Seconds


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--timeout", type=Seconds(), default=300.0, show_default=True, help="Seconds a question.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--out", metavar="DIR", help=f"Leave {results.MUSEUM} there: a report of a run in that folder tells what was found again.")
@click.option("--name", metavar="NAME", help="With `add FILE.cex.json`: what the new item is called.")
@click.option("--title", default="", metavar="WORDS", help="What goes wrong there; without it, the subject of the patch.")
@click.option("--known-by", default=NOBODY, metavar="WORDS", help="The commit or thread that the bug is known by.")
@click.pass_context
def museum(
    context: click.Context,
    names: tuple[str, ...],
    timeout: float,
    as_json: bool,
    out: str | None,
    name: str | None,
    title: str,
    known_by: str,
) -> None:
    """Find each known bug again, and check its good twin.

    `museum add FILE.cex.json --name NAME` makes an item of a counterexample that carries its patch, in a checkout; it is found again first,
    and the tests of the museum ask it from then on.

    Exit code: 0 all found and all twins hold; 1 a twin is Violated;
    2 bad input; 3 something was not found or is Unknown; 130 interrupted.
    """
    if names[:1] == ("add",):
        _add(names[1:], name, title, known_by, timeout)
        return
    if name or title or known_by != NOBODY:
        raise click.UsageError("--name, --title and --known-by are those of a new item: museum add FILE.cex.json --name NAME.")
    folder = output.prepared(out) if out is not None else None
    seen: list[MuseumItem] = []
    interrupted = False
    guard.unlimited()  # each question has its own limit
    with printing.Progress() as progress:
        try:
            for name in chosen(names):
                progress.working(f"{name}: looking for the bug")
                seen += visited(name, timeout=timeout)
                progress.said(f"{name}: {'ok' if seen[-1].ok else 'not ok'}")
        except KeyboardInterrupt:
            interrupted = True
    document = MuseumDocument(results.SCHEMA, tuple(seen), interrupted)
    if as_json:
        echo(documents.to_json(document), nl=False)
    else:
        printing.print_museum(printing.console(sys.stdout), seen)
    if folder is not None:
        output.write(folder / results.MUSEUM, documents.to_json(document).encode())
    context.exit(ExitCode.INTERRUPTED if interrupted else exit_code(seen))


def _add(files: tuple[str, ...], name: str | None, title: str, known_by: str, timeout: float) -> None:
    if len(files) != 1 or not name:
        raise click.UsageError("give one counterexample and the name of the item: museum add FILE.cex.json --name NAME.")
    item = item_of(read(files[0]), name, title, known_by)
    guard.unlimited()
    seen = visit(item, Limits(timeout=timeout))
    if not seen.ok:
        raise InputError(
            f"{files[0]}: it is not found again on today's model: {seen.reason}; make it again with `tdpcheck verify --out DIR`"
        )
    folder = adding.add(item)
    echo(f"{folder}: Violated in {steps_text(seen.depth)}, and {seen.good_twin} without the change. Its tests: tests/museum/test_museum.py")
    echo("Read story.md, write what is missing, and make docs/museum.md again: python -m tdpcheck.tests.museum.table")


def exit_code(items: list[MuseumItem]) -> ExitCode:
    """Whether a twin is violated, or anything else is not as it should be."""
    return worst(ExitCode.VIOLATED if item.twin == "violated" else ExitCode.UNKNOWN for item in items if not item.ok)
