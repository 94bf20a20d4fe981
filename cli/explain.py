"""`tdpcheck explain`: why a property holds, lemma by lemma, each checked for every size while it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from textwrap import fill

import click
import msgspec

from ..checker.arguments.lemmas import Checked, check_lemmas
from ..core.errors import InputError
from ..core.system import Lemma, Property
from ..model.parametric import Parametric, parametric
from ..model.scenario import Scenario
from ..properties import PROPERTIES
from ..properties.argument.book import argument
from ..runner import documents
from ..runner.every_size import EVERY_ROLE, NOT_PROVED, WIDTH, any_number, files_with, scenario_for, step_text
from ..runner.inputs.sources import code_for
from ..runner.inputs.statements import ASSERTIONS
from ..runner.names import choose, unknown
from ..runner.telling.races import Race, commands, races_of, shown
from . import printing


class Step(msgspec.Struct, frozen=True):
    """One lemma, as `--json` tells it: `broken_by` are the steps after which it is not known to hold."""

    name: str
    sentence: str
    because: str
    holds: bool
    broken_by: tuple[str, ...]


class Explained(msgspec.Struct, frozen=True):
    """What `explain --json` prints."""

    schema: int
    property: str
    scenario: str
    change: str | None
    sizes: str
    holds: bool
    lemmas: tuple[Step, ...]
    goals: int
    queries: int
    seconds: float
    stopped: str
    races: tuple[Race, ...] = ()


@click.command()
@click.argument("name", metavar="PROPERTY")
@click.option(
    "--scenario", metavar="NAME", help=f"For any number of this scenario's threads; '{EVERY_ROLE}': all six roles. Default: a small one."
)
@click.option("--change", metavar="FILE", help="With this patch applied to the kernel C.")
@click.option("--drop", multiple=True, metavar="LEMMA", help="Leave a lemma out of the argument and see what misses it.")
@click.option("--race", is_flag=True, help="Show the known race that each lemma's protection prevents (of those left out, if any are).")
@click.option("--jobs", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes that ask.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=900.0, show_default=True, help="Seconds for everything.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def explain(
    context: click.Context,
    name: str,
    scenario: str | None,
    change: str | None,
    drop: tuple[str, ...],
    race: bool,
    jobs: int,
    timeout: float,
    as_json: bool,
) -> None:
    r"""Tell why a property holds for every size, and check each step of the argument.

    \b
    Exit code: 0 every lemma holds initially and is kept by every step, for any number of pages,
    tables, roots, devices and threads; 3 some step is not known to keep some lemma; 2 bad input.
    """
    if name == ASSERTIONS:
        raise InputError(f"{name} has no argument of its own for every size: it is the lemma assertions_hold in that of any other property")
    (chosen,) = choose([name], tuple(PROPERTIES), "property")
    prop = PROPERTIES[chosen]
    asked = scenario_for(scenario, prop)
    files = files_with(change)
    with printing.Progress() as progress:
        progress.working(f"compiling {asked.name} for every size")
        model = parametric(asked, code_for(asked, None, files))
        known_lemmas = argument(model, prop)
        lemmas = _without(known_lemmas, drop)
        checked = check_lemmas(model.system, [prop], lemmas, timeout=timeout, jobs=jobs, progress=progress.working)
        races = []
        for each in races_of(drop or tuple(lemma.name for lemma in known_lemmas)) if race else ():
            progress.working(f"{each.lemma}: looking for the race that it prevents")
            races.append(shown(each))
        told = _told(prop, asked, change, lemmas, checked, tuple(races))
    if as_json:
        click.echo(documents.to_json(told), nl=False)
    else:
        click.echo(_text(told, model, checked), nl=False)
        if race:
            click.echo(_races(told), nl=False)
    context.exit(0 if checked.holds else NOT_PROVED)


def _without(lemmas: Sequence[Lemma], drop: Sequence[str]) -> tuple[Lemma, ...]:
    names = tuple(lemma.name for lemma in lemmas)
    for name in drop:
        if name not in names:
            raise InputError(unknown(name, names, "lemma of this argument"))
    return tuple(lemma for lemma in lemmas if lemma.name not in drop)


def _told(
    prop: Property, scenario: Scenario, change: str | None, lemmas: Sequence[Lemma], checked: Checked, races: tuple[Race, ...]
) -> Explained:
    by: dict[str, list[str]] = {}
    for broken in checked.broken:
        by.setdefault(broken.lemma, []).append(broken.step)
    book = (*lemmas, replace(prop.as_lemma, because="It is one of the steps: what the others prepare."))
    steps = tuple(Step(x.name, x.sentence, x.because, x.name not in by and not checked.stopped, tuple(by.get(x.name, ()))) for x in book)
    return Explained(
        1, prop.name, scenario.name, change, "every size", checked.holds, steps, checked.asked, checked.queries,
        round(checked.seconds, 3), checked.stopped, races,
    )  # fmt: skip


def _text(told: Explained, model: Parametric, checked: Checked) -> str:
    lines = [f"{told.property}   scenario {told.scenario}   change {told.change or 'none'}", any_number(model), ""]
    for number, step in enumerate(told.lemmas, 1):
        mark = "holds" if step.holds else ("BROKEN" if step.broken_by else "not settled")
        lines.append(f"{number:3}. {step.name}: {mark}")
        lines.append(fill(step.sentence, WIDTH, initial_indent="     ", subsequent_indent="     "))
        if step.because:
            lines.append(fill(f"Because: {step.because}", WIDTH, initial_indent="     ", subsequent_indent="     "))
        lines += [f"       not kept by {step_text(b, model)}" for b in checked.broken if b.lemma == step.name]
    lines += ["", _verdict(told, model, checked)]
    return "\n".join(lines) + "\n"


def _races(told: Explained) -> str:
    if not told.races:
        return "\nNo item of the museum is known to drop the protection of one of these lemmas.\n"
    lines = ["", "Without their protection, these races are known:"]
    for race in told.races:
        steps = f", in {race.depth} step{'s' * (race.depth != 1)}" if race.depth is not None else ""
        lines.append(fill(f"{race.lemma}: {race.title} ({race.property}{steps})", WIDTH, initial_indent="  ", subsequent_indent="    "))
        lines += [f"    {command}" for command in commands(race)]
        lines += ["", *(f"    {line}".rstrip() for line in race.run.rstrip("\n").split("\n")), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _verdict(told: Explained, model: Parametric, checked: Checked) -> str:
    amount = (
        f"{len(told.lemmas)} lemmas, {len(model.system.actions)} actions, {told.goals} goals, {told.queries} queries, {told.seconds:.1f} s"
    )
    if checked.holds:
        return (
            f"Every lemma holds initially and is kept by every step: {amount}.\n"
            "Checked by Z3 alone. `tdpcheck prove` makes a certificate of it, which a second solver checks, too."
        )
    if checked.stopped:
        return f"Not finished: {checked.stopped} ({amount})."
    return fill(
        f"{len(checked.broken)} pairs of step and lemma did not go through ({amount}). That is no violation: the state before "
        f"the step need not be reachable. `tdpcheck verify --scenario {told.scenario} --property {told.property}"
        + (f" --change {told.change}" if told.change else "")
        + "` looks for a race.",
        WIDTH,
        break_on_hyphens=False,
    )
