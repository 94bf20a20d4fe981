"""`tdpcheck museum`: each known bug found again, and its good twin shown to be without it."""

from __future__ import annotations

import sys

import click

from ..api.museum import museum as visited
from ..runner import documents, output
from ..runner.asking import results
from ..runner.asking.results import MuseumDocument, MuseumItem
from ..runner.exit_codes import ExitCode, worst
from ..runner.museum.visits import chosen
from . import guard, printing
from .echo import echo
from .seconds import Seconds


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--timeout", type=Seconds(), default=300.0, show_default=True, help="Seconds a question.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--out", metavar="DIR", help=f"Leave {results.MUSEUM} there: a report of a run in that folder tells what was found again.")
@click.pass_context
def museum(context: click.Context, names: tuple[str, ...], timeout: float, as_json: bool, out: str | None) -> None:
    """Find each known bug again, and check its good twin.

    Exit code: 0 all found and all twins hold; 1 a twin is Violated;
    2 bad input; 3 something was not found or is Unknown; 130 interrupted.
    """
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


def exit_code(items: list[MuseumItem]) -> ExitCode:
    """Whether a twin is violated, or anything else is not as it should be."""
    return worst(ExitCode.VIOLATED if item.twin == "violated" else ExitCode.UNKNOWN for item in items if not item.ok)
