"""`tdpcheck explain`: why a property holds, lemma by lemma, each checked for every size while it is told."""

from __future__ import annotations

from textwrap import fill

import click

from ..api.explain import Explained
from ..api.explain import explain as explained
from ..checker.arguments.lemmas import Checked
from ..model.parametric import Parametric
from ..runner import documents
from ..runner.every_size import EVERY_ROLE, WIDTH, any_number, step_text
from ..runner.exit_codes import ExitCode
from ..runner.telling.races import commands
from . import guard, printing
from .echo import echo
from .seconds import Seconds


@click.command()
@click.argument("name", metavar="PROPERTY")
@click.option(
    "--scenario",
    metavar="NAME|FILE.toml",
    help=f"For any number of this scenario's threads; '{EVERY_ROLE}': all six roles. Default: a small one.",
)
@click.option("--change", metavar="FILE", help="With this patch applied to the kernel C.")
@click.option("--design", metavar="DIR", help="Kernel C of your own: a folder whose functions override the shipped ones.")
@click.option("--drop", multiple=True, metavar="LEMMA", help="Leave a lemma out of the argument and see what misses it.")
@click.option("--race", is_flag=True, help="Show the known race that each lemma's protection prevents (of those left out, if any are).")
@click.option("--jobs", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes that ask.")
@click.option("--timeout", type=Seconds(), default=900.0, show_default=True, help="Seconds for everything.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def explain(
    context: click.Context,
    name: str,
    scenario: str | None,
    change: str | None,
    design: str | None,
    drop: tuple[str, ...],
    race: bool,
    jobs: int,
    timeout: float,
    as_json: bool,
) -> None:
    """Tell why a property holds for every size, and check each step of the argument.

    Exit code: 0 every lemma holds initially and is kept by every step, for any number of pages,
    tables, roots, devices and threads; 3 some step is not known to keep some lemma; 2 bad input.
    """
    guard.limit(timeout, "explaining")
    with printing.Progress() as progress:
        explanation = explained(
            name, scenario=scenario, change=change, design=design, drop=drop, race=race, jobs=jobs, timeout=timeout, listener=progress
        )
    told, model, checked = explanation.told, explanation.model, explanation.checked
    if as_json:
        echo(documents.to_json(told), nl=False)
    else:
        echo(_text(told, model, checked), nl=False)
        if race:
            echo(_races(told), nl=False)
    context.exit(ExitCode.HOLDS if checked.holds else ExitCode.UNKNOWN)


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
        waivers = "".join(f"Leaning on waiver {w.place}: {w.what}.\n" for w in told.waivers)
        return (
            f"Every lemma holds initially and is kept by every step: {amount}.\n{waivers}"
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
