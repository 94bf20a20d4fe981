"""`tdpcheck replay`: run a stored counterexample again by plain evaluation, on today's model."""

from __future__ import annotations

from collections.abc import Iterator

import click
import msgspec

from ..core.errors import InputError
from ..counterexamples.compared import differences
from ..counterexamples.document import replay as replayed
from ..counterexamples.schema import read
from ..runner import documents
from ..runner.exit_codes import ExitCode
from ..runner.inputs.changes import Version, touched, versions
from ..runner.inputs.sources import built, files_of, kernel_given
from ..runner.inputs.statements import property_of
from ..runner.runs.plan import Plan
from ..runner.runs.run import selected_scenarios
from ..runner.telling.telling import made_again
from . import guard
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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def replay(
    context: click.Context, trace: str, change: str | None, scenario: str | None, kernel: str | None, rev: str | None, as_json: bool
) -> None:
    r"""Run a stored counterexample, or a run saved by explore, again without a solver.

    \b
    Exit code: 0 it is still a run, violates the property if it did, and all that is said of it
    is found again; 2 bad input; 3 it is not a run of this model, the property holds, or something
    is said of it that is not found.
    """
    guard.limit(TIME, f"replaying {trace}")
    cex = read(trace, violated=False)
    if cex.change is not None and change is None:
        raise InputError(f"{trace}: it was found with the change {cex.change!r}; give that change with --change FILE")
    (chosen,) = selected_scenarios([scenario or cex.scenario.name], ())
    tree = kernel_given(kernel, rev, lambda said: echo(said, err=True))
    known = versions(change, files_of(tree))
    number = _place(known, cex.change)
    version = known[number]
    made = built(version.scenario(chosen), tree, version.files, touched(known, number))
    model = made.model
    prop = property_of(model, cex.prop.name)
    found = replayed(cex, model, prop)
    same = cex.model == model.digest
    plan = Plan((chosen,), (prop.name,), known, kernel=tree)
    differs = differences(cex, made_again(cex, made, prop, plan, number)) if found is None and cex.violation else []
    if as_json:
        told = Replayed(
            documents.SCHEMA, trace, prop.name, chosen.name, cex.change, found is None, same, model.digest,
            None if found is None else found.step, None if found is None else found.reason, tuple(differs),
        )  # fmt: skip
        echo(documents.to_json(told), nl=False)
    else:
        where = f"model {model.digest}" + ("" if same else f" (found on model {cex.model})")
        if found is None:
            end = f"end in a violation of {prop.name}" if cex.violation else "fit today's model; nothing is violated at their end"
            echo(f"replayed: {cex.depth} steps of {chosen.name} {end}; no solver was asked. {where}")
            echo("".join(f"{line}\n" for line in _said(differs)), nl=False)
        else:
            echo(f"does not replay: step {found.step}: {found.reason}. {where}")
    context.exit(ExitCode.HOLDS if found is None and not differs else ExitCode.UNKNOWN)


def _said(differs: list[str]) -> Iterator[str]:
    """What a document says that is not found, some of it."""
    if not differs:
        return
    what = "1 thing that it says is" if len(differs) == 1 else f"{len(differs)} things that it says are"
    yield f"but {what} not what is found; believe the steps alone, or write it again with `tdpcheck verify`:"
    yield from (f"  {line}" for line in differs[:MOST])
    if len(differs) > MOST:
        yield f"  and {len(differs) - MOST} more"


def _place(known: tuple[Version, ...], name: str | None) -> int:
    """Which version has that name; without such a name the last one."""
    return next((n for n, v in enumerate(known) if name is not None and v.name == name), len(known) - 1)
