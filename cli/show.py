"""`tdpcheck show`: a stored counterexample in another form."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..core.errors import InputError
from ..counterexamples.schema import read, shipped_schema
from ..runner import output
from ..runner.telling import rendering
from .echo import echo


@click.command()
@click.argument("trace", metavar="TRACE", required=False)
@click.option(
    "--as",
    "form",
    default="text",
    show_default=True,
    metavar="FORM",
    help="text, html, md, svg, png ...: see `tdpcheck list formats`.",
)
@click.option("--schema", is_flag=True, help="Show the JSON Schema of a *.cex.json instead.")
@click.option("--out", metavar="FILE", help="Write it there instead of standard output.")
def show(trace: str | None, form: str, schema: bool, out: str | None) -> None:
    """Show a counterexample that `verify --out` left (*.cex.json)."""
    if schema == (trace is not None):
        raise InputError("give either a *.cex.json or --schema" if schema else "give a *.cex.json that `tdpcheck verify --out DIR` left")
    content = shipped_schema().read_bytes() if trace is None else rendering.render(read(trace), form)
    if out is not None:
        output.write(Path(out), content)
    elif form.startswith("png") and sys.stdout.isatty():
        raise InputError(f"{form} is no text for a terminal; say where to write it with --out FILE")
    else:
        echo(content if form.startswith("png") else content.decode(), nl=False)
