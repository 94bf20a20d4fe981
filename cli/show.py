"""`tdpcheck show`: a stored counterexample in another form."""

from __future__ import annotations

from pathlib import Path

import click

from ..core.errors import InputError
from . import output, rendering


@click.command()
@click.argument("trace", metavar="TRACE")
@click.option(
    "--as", "form", default="text", show_default=True, metavar="FORM", help="text, svg, dot, json ...: see `tdpcheck list formats`."
)
@click.option("--out", metavar="FILE", help="Write it there instead of standard output.")
def show(trace: str, form: str, out: str | None) -> None:
    """Show a counterexample that `verify --out` left (*.cex.json)."""
    content = rendering.render(read_trace(trace), form)
    if out is not None:
        output.write(Path(out), content)
    else:
        click.echo(content, nl=False)


def read_trace(path: str, *, violated: bool = True) -> rendering.Cex:
    """A stored counterexample; with `violated` false also a run in which nothing is violated.

    Raises:
        InputError: it cannot be read or is none.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise InputError(f"{path}: {why}; give a *.cex.json that `tdpcheck verify --out DIR` left") from None
    if not data.strip():
        raise InputError(f"{path}: the file is empty; give a *.cex.json that `tdpcheck verify --out DIR` left")
    return rendering.load(data, path, violated=violated)
