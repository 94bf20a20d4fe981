"""`tdpcheck claims` and `tdpcheck hazards`: what was claimed, what is feared, and what the tool says of each."""

from __future__ import annotations

import click

from ..runner.documents import to_json
from ..runner.exit_codes import ExitCode
from . import guard, printing
from .echo import echo
from .seconds import Seconds

FORMS = ("text", "md", "html", "json")


def _options(command: click.Command) -> click.Command:
    for option in (
        click.option("--only", multiple=True, metavar="ID", help="Only this one; may be given again."),
        click.option("--as", "form", type=click.Choice(FORMS), default="text", show_default=True, help="In which form."),
        click.option("--timeout", type=Seconds(), default=300.0, show_default=True, help="Seconds a question."),
        click.option("--no-cache", is_flag=True, help="Ask everything anew, and keep nothing."),
    ):
        command = option(command)
    return command


@_options
@click.command()
@click.pass_context
def claims(context: click.Context, only: tuple[str, ...], form: str, timeout: float, no_cache: bool) -> None:
    """Decide the claims of the thread, each by the runs behind it.

    Exit code: 0 each has its answer, one of which may be that it is not decided yet; 2 bad input; 3 a question came to no answer; 130
    interrupted.
    """
    _tell(context, "claims", only, form, timeout, cache=not no_cache)


@_options
@click.command()
@click.pass_context
def hazards(context: click.Context, only: tuple[str, ...], form: str, timeout: float, no_cache: bool) -> None:
    """Show the hazards of the series, or rule them out, each by the runs behind it.

    Exit code: 0 each has its answer, one of which may be that it is not decided yet; 2 bad input; 3 a question came to no answer; 130
    interrupted.
    """
    _tell(context, "hazards", only, form, timeout, cache=not no_cache)


def _tell(context: click.Context, name: str, only: tuple[str, ...], form: str, timeout: float, *, cache: bool) -> None:
    from ..api.claims import claim_table
    from ..reports import claims as forms

    guard.unlimited()  # each question has its own limit
    with printing.Progress() as progress:
        table = claim_table(*only, name=name, timeout=timeout, cache=cache, progress=progress.working)
    if form == "json":
        echo(to_json(table), nl=False)
    else:
        echo({"text": forms.text, "md": forms.markdown, "html": forms.page}[form](table), nl=False)
    unanswered = any(found.counts == "open" for each in table.decided for found in each.evidence)
    context.exit(ExitCode.UNKNOWN if unanswered else ExitCode.HOLDS)
