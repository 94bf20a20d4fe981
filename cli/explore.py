"""`tdpcheck explore`: go through a scenario by hand, in the terminal or on a local web page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ..api.change import Change, carried, given
from ..core.errors import InputError
from ..counterexamples.schema import COUNTEREXAMPLE, load, read
from ..model.scenario import Scenario
from ..runner.inputs.changes import Version, touched
from ..runner.inputs.designs import design_given
from ..runner.inputs.sources import built, files_of, kernel_given
from ..runner.inputs.terms import ASSERTIONS
from ..runner.runs.run import selected_scenarios
from ..runner.telling.counterexamples import carried as carries
from .echo import echo
from .explorer.session import Session


@click.command()
@click.argument("scenario", metavar="SCENARIO|FILE.json")
@click.option("--change", metavar="FILE", help="Explore the code with this patch, mbox (all of it) or TOML overlay.")
@click.option("--kernel", metavar="DIR", help="Lift functions from this kernel tree.")
@click.option("--rev", metavar="REF", help="Read the kernel tree at this git revision.")
@click.option("--design", metavar="DIR", help="Kernel C of your own: a folder whose functions override the shipped ones.")
@click.option("--property", "properties", multiple=True, metavar="NAME", help="Watch this property; may be given again.")
@click.option("--from", "stored", metavar="FILE", help="Begin with a stored run: *.cex.json, or *.trace.json that was saved here.")
@click.option("--at", type=click.IntRange(0), metavar="STEP", help="Of the stored run, begin after so many steps; all of it can be redone.")
@click.option("--out", metavar="DIR", default=".", show_default=True, help="Where the terminal saves a run.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Of the random walks.")
@click.option("--web", is_flag=True, help="Serve a page on 127.0.0.1 instead.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, metavar="N", help="Of the page; 0: any that is free.")
def explore(
    scenario: str, change: str | None, kernel: str | None, rev: str | None, design: str | None, properties: tuple[str, ...],
    stored: str | None, at: int | None, out: str, seed: int, web: bool, port: int,
) -> None:  # fmt: skip
    """Choose each step of SCENARIO (a name, or FILE.toml) yourself.

    Of a stored run (FILE.cex.json or FILE.trace.json) it begins at the end, with the change that the file carries.

    No solver is asked: what may happen next, and what each property says, is plain evaluation.
    """
    if not web and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError("explore needs a terminal for its input and output; with --web it serves a page instead")
    if scenario.endswith(".json"):
        if stored is not None:
            raise InputError(f"--from {stored}: {scenario} is a stored run already; give one of them")
        stored, scenario = scenario, read(scenario, violated=False).scenario.name
    if at is not None and stored is None:
        raise InputError("--at says where in a stored run to begin; give one, as in `tdpcheck explore FILE.cex.json --at 3`")
    data = None if stored is None else COUNTEREXAMPLE.content(stored)
    patch = given(change)
    if data is not None and stored is not None and patch is None:
        patch = carried(load(data, stored, violated=False))
    session = begun(scenario, properties, patch, kernel, rev, design)
    if data is not None and stored is not None:
        session.load(data, stored)
        if at is not None:
            session.back_to(at)
    if web:
        # Imported where they are used: `tdpcheck --help` needs neither a server nor a terminal.
        from .explorer.web import listening, serve

        server = listening(session, port, seed)
        echo(f"Open {server.url}\nCtrl-C ends it. It listens on this machine only, and writes nothing.", err=True)
        serve(server)
        echo("The explorer has ended.", err=True)
    else:
        from .explorer.terminal import Explorer

        Explorer(session, Path(out), seed).run()


def begun(
    scenario: str, properties: Sequence[str], change: Change | str | None, kernel: str | None, rev: str | None, design: str | None = None
) -> Session:
    """A session in the model of a scenario, after every patch of the change.

    Raises:
        InputError: an unknown name, or a scenario, change or tree that cannot be used.
        Refusal: kernel C outside the subset that can be reached.
    """
    folder = design_given(design)
    (chosen,) = selected_scenarios([scenario], properties, design=folder)
    tree = kernel_given(kernel, rev, lambda said: echo(said, err=True))
    files, patch = files_of(tree, folder), given(change)
    known = (Version(files),) if patch is None else patch.versions(files)
    number = len(known) - 1
    own = known[number].scenario(chosen)
    model = built(own, tree, known[number].files, touched(known, number)).model
    return Session(model, tuple(properties) or watched(own), known[number].name or None, carries(known[number]))


def watched(scenario: Scenario) -> tuple[str, ...]:
    """The properties that `verify` asks there."""
    return tuple(dict.fromkeys((*scenario.expect, ASSERTIONS)))
