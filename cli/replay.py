"""`tdpcheck replay`: run a stored counterexample again by plain evaluation, on today's model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
import msgspec

from ..api.replay import replay as replayed
from ..runner import documents
from ..runner.exit_codes import ExitCode
from . import guard, printing
from .echo import echo

TIME = 900.0
"""Seconds: a document with repairs has them verified again."""
MOST = 12
"""So many differences are printed."""


class Replayed(msgspec.Struct, frozen=True):
    """What `replay --json` prints."""

    schema: int
    trace: str
    property: str
    scenario: str
    change: str | None
    replays: bool
    same_model: bool
    model: str
    step: int | None
    reason: str | None
    differs: tuple[str, ...] = ()


@click.command()
@click.argument("trace", metavar="TRACE")
@click.option("--change", metavar="FILE", help="The change under which the trace was found.")
@click.option("--scenario", "scenario", metavar="NAME|FILE.toml", help="The scenario, if it is not a shipped one.")
@click.option("--kernel", metavar="DIR", help="Lift functions from this kernel tree.")
@click.option("--rev", metavar="REF", help="Read the kernel tree at this git revision.")
@click.option("--design", metavar="DIR", help="Kernel C of your own: a folder whose functions override the shipped ones.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def replay(
    context: click.Context,
    trace: str,
    change: str | None,
    scenario: str | None,
    kernel: str | None,
    rev: str | None,
    design: str | None,
    as_json: bool,
) -> None:
    """Run a stored counterexample, or a run saved by explore, again without a solver.

    Exit code: 0 it is still a run, violates the property if it did, and all that is said of it
    is found again; 2 bad input; 3 it is not a run of this model, the property holds, or something
    is said of it that is not found.
    """
    guard.limit(TIME, f"replaying {trace}")
    with printing.Progress() as progress:
        done = replayed(trace, change=change, scenario=scenario, kernel=kernel, rev=rev, design=design, listener=progress)
    cex, found, same = done.cex, done.misfit, done.cex.model == done.model
    if as_json:
        told = Replayed(
            documents.SCHEMA, trace, cex.prop.name, done.scenario, cex.change, found is None, same, done.model,
            None if found is None else found.step, None if found is None else found.reason, done.differs,
        )  # fmt: skip
        echo(documents.to_json(told), nl=False)
    else:
        where = f"model {done.model}" + ("" if same else f" (found on model {cex.model})")
        if found is None:
            end = f"end in a violation of {cex.prop.name}" if cex.violation else "fit today's model; nothing is violated at their end"
            echo(f"replayed: {cex.depth} steps of {done.scenario} {end}; no solver was asked. {where}")
            echo("".join(f"{line}\n" for line in _said(done.differs)), nl=False)
        else:
            echo(f"does not replay: step {found.step}: {found.reason}. {where}")
    context.exit(ExitCode.HOLDS if done.holds_up else ExitCode.UNKNOWN)


def _said(differs: Sequence[str]) -> Iterator[str]:
    """What a document says that is not found, some of it."""
    if not differs:
        return
    what = "1 thing that it says is" if len(differs) == 1 else f"{len(differs)} things that it says are"
    yield f"but {what} not what is found; believe the steps alone, or write it again with `tdpcheck verify`:"
    yield from (f"  {line}" for line in differs[:MOST])
    if len(differs) > MOST:
        yield f"  and {len(differs) - MOST} more"
