"""`tdpcheck report`: a whole run as a page, as Markdown and as a mail, and what is news against an earlier one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from ..counterexamples.command import renamed
from ..counterexamples.forms.text import text
from ..reports import logs
from ..reports.compare import Comparison
from ..reports.mail import mail
from ..reports.markdown import markdown
from ..reports.overview import Overview
from ..reports.page import page
from ..reports.reply import reply
from ..reports.stored import Key, Stored, key_of, read_run
from ..runner import output
from ..runner.exit_codes import ExitCode
from .echo import echo

Form = Callable[[Overview, Comparison | None], str]
FILES: dict[str, tuple[str, Form]] = {"html": ("index.html", page), "md": ("report.md", markdown), "text": ("report.txt", mail)}
"""What a report consists of: its forms, what their files are called, and who writes them."""


@click.command()
@click.argument("out", metavar="OUT")
@click.option("--against", metavar="OLD", help="Say what is news against the run in this folder.")
@click.option("--mail", "mailed", is_flag=True, help="Print the answer to the patch as a mail of one screen; leave no files.")
@click.option("--patch", type=click.IntRange(1), metavar="N", help="With --mail, answer this patch of a series, not the first bad one.")
@click.option("--as", "form", type=click.Choice(list(FILES)), help="Print this form; leave no files.")
@click.option("--junit", metavar="FILE", help="Write the answers as JUnit XML there, too.")
@click.option("--sarif", metavar="FILE", help="Write the violations that no scenario expects as SARIF there, too.")
@click.pass_context
def report(
    context: click.Context,
    out: str,
    against: str | None,
    mailed: bool,
    patch: int | None,
    form: str | None,
    junit: str | None,
    sarif: str | None,
) -> None:
    """Make a report of the run that `verify --out OUT` left.

    Leaves index.html, report.md (for a pull request) and report.txt (the whole run as a text) there; --mail answers a patch on its list.
    Exit code: 0 it is made; 2 bad input; with --against also
    1 some answer turned red, 3 some answer is unknown now.
    """
    if patch is not None and not mailed:
        raise click.UsageError("--patch says which patch a mail answers; give --mail with it.")
    if mailed and (form is not None or against is not None):
        raise click.UsageError("--mail is a form of its own, of one run; leave out --as and --against.")
    tests, log = output.checked(junit), output.checked(sarif)
    stored = read_run(out)
    view = Overview(stored)
    compared = Comparison(Overview(read_run(against)), view) if against is not None else None
    for left in stored.left.values():
        if left.fault:
            echo(f"not told step by step: {left.fault}", err=True)
    if tests is not None:
        output.write(tests, logs.junit(stored.document, _texts(stored)))
    if log is not None:
        output.write(log, logs.sarif(stored.document, {key: left.cex for key, left in stored.left.items() if left.cex is not None}))
    if mailed:
        echo(reply(stored, patch), nl=False)
    elif form is not None:
        echo(FILES[form][1](view, compared), nl=False)
    else:
        made = {name: write(view, compared) for name, write in FILES.values()}
        for name, content in made.items():
            output.write(Path(out) / name, content.encode())
        echo(f"{view.headline} See {Path(out) / 'index.html'}, {', '.join(n for n in made if n != 'index.html')}")
        if compared is not None:
            echo(compared.headline)
    context.exit(compared.exit_code if compared is not None else ExitCode.HOLDS)


def _texts(stored: Stored) -> dict[Key, str]:
    """The counterexamples that are news as text, each with the name of its file."""
    found = {}
    for record in stored.document.results:
        left = stored.left.get(key_of(record))
        if left is not None and left.cex is not None and not record.as_expected:
            found[key_of(record)] = renamed(text(left.cex), left.cex, str(Path(stored.where) / left.links["json"]))
    return found
