"""`tdpcheck prove`: properties for every size, by lemmas, with a certificate that two solvers check."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from textwrap import fill
from typing import Literal

import click
import msgspec

from ..checker.arguments.houdini import Weakened, houdini
from ..checker.arguments.lemmas import Broken
from ..checker.arguments.missing import FOUND, Missing, Race, mended, missing
from ..checker.arguments.needed import smallest
from ..checker.certificates.instantiated import InitialState, instantiated, instantiated_statement, recorded
from ..checker.clock import OutOfTime
from ..core.system import Lemma, Property
from ..core.verdict import Reason, ReasonKind
from ..model.parametric import Parametric, parametric, sizes, starts
from ..properties import PROPERTIES
from ..properties.argument.book import argument
from ..recheck.recheck import Rechecked, recheck
from ..runner import documents, output
from ..runner.asking.proofs import short_hash, why
from ..runner.asking.steps import TraceStep, trace_steps
from ..runner.every_size import EVERY_ROLE, WIDTH, any_number, files_with, scenario_for, step_text
from ..runner.exit_codes import ExitCode
from ..runner.inputs.sources import code_for
from ..runner.names import choose
from . import guard, printing
from .check_certificate import read_certificate
from .echo import echo
from .seconds import Seconds

Verdict = Literal["Proved", "Violated", "Unknown"]
_CODES: Mapping[Verdict, ExitCode] = {"Proved": ExitCode.HOLDS, "Violated": ExitCode.VIOLATED, "Unknown": ExitCode.UNKNOWN}
SEARCH = 300.0
"""So many seconds may be spent at small sizes."""
SCHEMA = 2
"""The form of the document. 2: `kind`."""
CARD = ("no_stale_io_mapping", "atomic_hugepage_split", "reject_noncoherent_dma")


class Solver(msgspec.Struct, frozen=True):
    """What a solver says of the certificate."""

    name: str
    version: str
    verdict: str
    seconds: float


class RaceTold(msgspec.Struct, frozen=True):
    """A run that violates a property, at a small size."""

    property: str
    size: str
    steps: tuple[TraceStep, ...]


class ProofTold(msgspec.Struct, frozen=True):
    """What `prove --json` prints.

    Args:
        reason: why it is not proved, for people; `kind`, the same for code, if it is Unknown.
        start: the size of the initial state that the certificate names: that of the scenario.
        searched: how many steps needed a search for instances; the others had recorded ones that suffice.
        broken: the pairs of step and lemma that did not go through while every lemma was supposed.
        dropped: the parts of lemmas that were left out therefore; proved is what the rest proves.
        found: with the name of each lemma that a search found and the proof needs, what it says.
        refuted: the lemmas that a run at a small size shows to be false.
        race: a run that violates a property.
        missed: with `--minimal`, by lemma, a pair of step and lemma that does not go through without it.
    """

    schema: int
    properties: tuple[str, ...]
    scenario: str
    change: str | None
    sizes: str
    verdict: Verdict
    reason: str
    kind: ReasonKind | None
    certificate: str
    lemmas: int
    steps: int
    searched: int
    instances: int
    seconds: float
    start: str = ""
    solvers: tuple[Solver, ...] = ()
    broken: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    found: dict[str, str] = {}
    refuted: tuple[str, ...] = ()
    race: RaceTold | None = None
    missed: dict[str, str] = {}


@click.command()
@click.argument("names", metavar="[PROPERTY]...", nargs=-1)
@click.option("--scenario", metavar="NAME", default=EVERY_ROLE, show_default=True, help="For any number of this scenario's threads.")
@click.option("--change", metavar="FILE", help="With this patch applied to the kernel C.")
@click.option("--out", metavar="FILE", help="Write the certificate there, also an unfinished one.")
@click.option("--from", "known", metavar="FILE", help="Use the instances that this certificate names, as far as they suffice.")
@click.option("--minimal", is_flag=True, help="Leave out what nothing needs, and say of each lemma that is left what misses it.")
@click.option(
    "--repair/--no-repair", default=True, show_default=True, help="If a property is lost, search small sizes for a race or missing lemmas."
)
@click.option("--jobs", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes that search.")
@click.option("--timeout", type=Seconds(), default=1800.0, show_default=True, help="Seconds for the search.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def prove(
    context: click.Context,
    names: tuple[str, ...],
    scenario: str,
    change: str | None,
    out: str | None,
    known: str | None,
    minimal: bool,
    repair: bool,
    jobs: int,
    timeout: float,
    as_json: bool,
) -> None:
    r"""Prove properties for any number of pages, tables, roots, devices and threads of a scenario.

    Without a PROPERTY: no_stale_io_mapping, atomic_hugepage_split and reject_noncoherent_dma. The lemmas are
    those that `tdpcheck explain` tells. For each step a search finds the instances of them that prove it; these are the
    certificate, and Z3 and cvc5 check it without any quantifier.

    \b
    Exit code: 0 proved, and both solvers accept the certificate; 1 a race was found; 3 not proved; 2 bad input.
    """
    guard.limit(timeout, "proving")
    properties = [PROPERTIES[name] for name in choose(names or CARD, tuple(PROPERTIES), "property")]
    asked = scenario_for(scenario, properties[0])
    files = files_with(change)
    before = recorded(read_certificate(known), known) if known else {}
    target = output.checked(out)
    with printing.Progress() as progress:
        progress.working(f"compiling {asked.name} for every size")
        model = parametric(asked, code_for(asked, None, files))
        lemmas = argument(model, *properties)
        found = houdini(
            model.system,
            properties,
            lemmas,
            known=before,
            rounds=1 if repair else None,
            timeout=timeout,
            jobs=jobs,
            progress=progress.working,
        )
        search, late = None, ""
        if repair and found.checked.broken and not found.checked.stopped:
            search, found = _repaired(model, properties, lemmas, found, timeout, jobs, progress.working)
            if search is None:
                late = f"; {min(timeout, SEARCH):.0f} s at small sizes found neither a race nor all lemmas that are missing"
        missed: Mapping[str, Broken] = {}
        if minimal and found.checked.holds:
            found, missed = smallest(model.system, properties, found, progress=progress.working)
        start = next((InitialState(*first) for first in starts(model)), None)
        text, answer = instantiated(found.theory, found.checked.uses, start, scenario=asked.name), None
        if target is not None:
            output.write(target, text.encode())
        if found.checked.holds and start is not None:
            progress.working("checking the certificate")
            answer = recheck(text, timeout=min(600.0, guard.left()), of=instantiated_statement(model.system, properties))
    told = _told(properties, asked.name, change, found, search, answer, text, start, late)
    told = msgspec.structs.replace(told, missed={name: f"{b.step}: {b.lemma}" for name, b in missed.items()})
    if as_json:
        echo(documents.to_json(told), nl=False)
    else:
        echo(_text(told, model, found, out, missed))
    context.exit(_CODES[told.verdict])


def _repaired(
    model: Parametric,
    properties: Sequence[Property],
    lemmas: Sequence[Lemma],
    broken: Weakened,
    timeout: float,
    jobs: int,
    progress: Callable[[str], None],
) -> tuple[Missing | Race | None, Weakened]:
    """What a search at small sizes found, None if its time was up; and, unless that is a race, the argument with it."""
    small, tried = sizes(model.scenario)
    search: Missing | Race | None = None
    with suppress(OutOfTime):
        search = missing(model.system, properties, lemmas, small, tried, timeout=min(timeout, SEARCH), progress=progress)
    if isinstance(search, Race):
        return search, broken
    lacking, uses = search or Missing((), (), ()), broken.checked.uses
    found = mended(model.system, properties, lemmas, lacking, uses, timeout=timeout, jobs=jobs, progress=progress)
    return search, replace(found, broken=broken.broken, searched=max(broken.searched, found.searched))


def _told(
    properties: Iterable[Property],
    scenario: str,
    change: str | None,
    found: Weakened,
    search: Missing | Race | None,
    answer: Rechecked | None,
    text: str,
    start: InitialState | None,
    late: str,
) -> ProofTold:
    checked = found.checked
    proved = checked.holds and answer is not None and answer.accepted
    reason = None if proved else _reason(scenario, found, answer, start, late)
    solvers = () if answer is None else tuple(Solver(a.solver, a.version, a.verdict, round(a.seconds, 2)) for a in answer.answers)
    race = RaceTold(search.prop.name, str(search.geometry), trace_steps(search.trace)) if isinstance(search, Race) else None
    return ProofTold(
        schema=SCHEMA,
        properties=tuple(p.name for p in properties),
        scenario=scenario,
        change=change,
        sizes="every size",
        verdict="Violated" if race is not None else "Proved" if proved else "Unknown",
        reason=str(reason or "") if race is None else f"a run of {len(race.steps)} steps violates {race.property}",
        kind=reason.kind if race is None and reason is not None else None,
        certificate=short_hash(text) if proved else "",
        start="" if start is None else str(start.geometry),
        lemmas=len(found.theory.lemmas),
        steps=len(found.theory.actions) + 1,
        searched=found.searched,
        instances=sum(map(len, checked.uses.values())),
        seconds=round(checked.seconds, 1),
        solvers=solvers,
        broken=tuple(f"{b.step}: {b.lemma}" for b in found.broken),
        dropped=tuple(name for name in found.dropped if not name.startswith(FOUND)),
        found={x.name: x.sentence for x in found.theory.lemmas if proved and x.name.startswith(FOUND)},
        refuted=search.refuted if isinstance(search, Missing) else (),
        race=race,
    )


def _reason(scenario: str, found: Weakened, answer: Rechecked | None, start: InitialState | None, late: str) -> Reason | None:
    """Why there is no proof."""
    if found.checked.stopped is not None:
        return found.checked.stopped
    if found.checked.broken:
        return Reason(ReasonKind.ARGUMENT, f"{len(found.broken)} pairs of step and lemma did not go through{late}")
    if start is None:
        nothing = f"no initial state of {scenario} at its own size is one of every size, so that nothing may be said of any run"
        return Reason(ReasonKind.VACUOUS, nothing)
    return None if answer is None else Reason(ReasonKind.SECOND_SOLVER, f"second solver: {why(answer)}")


def _text(told: ProofTold, model: Parametric, found: Weakened, out: str | None, missed: Mapping[str, Broken]) -> str:
    lines = [f"scenario {told.scenario}   change {told.change or 'none'}"]
    race = told.race
    lines += [f"  {name}: {_verdict(told, name)}" for name in told.properties]
    lines += ["", any_number(model)]
    if told.verdict == "Proved":
        lines.append(
            f"{told.lemmas} lemmas, kept by all {told.steps} steps; {told.searched} of these were searched in {told.seconds:.1f} s."
        )
        said = " and ".join(f"{s.name} {s.version} ({s.seconds:.1f} s)" for s in told.solvers)
        lines.append(f"Certificate {told.certificate}{f' in {out}' if out else ''}: accepted by {said}.")
        lines.append(fill(f"It names an initial state: that of the scenario at its own size ({told.start}).", WIDTH))
        if told.found:
            lines.append("Lemmas that the argument lacked were found at small sizes, and are part of what is proved:")
            lines += [fill(f"{name}: {says}", WIDTH, initial_indent="  ", subsequent_indent="    ") for name, says in told.found.items()]
        if told.dropped:
            lines.append(fill(f"Left out, since some step does not keep it and nothing needs it: {', '.join(told.dropped)}.", WIDTH))
        lines += [f"  {name}: without it, {b.lemma} is not kept by {step_text(b, model)}" for name, b in missed.items()]
    elif race is not None:
        lines.append(fill(f"Not proved: {told.reason}, at {race.size}:", WIDTH))
        where = [f"  ({step.source})" if step.source else "" for step in race.steps]
        lines += [f"  {n:>2} {step.actor}: {step.text}{at}" for n, (step, at) in enumerate(zip(race.steps, where, strict=True), 1)]
        lines.append("It was replayed. `tdpcheck verify` with the same scenario and change makes reports of such a run.")
    else:
        lines.append(f"Not proved: {told.reason}.")
        if out:
            lines.append(f"What was found until then is in {out}: no proof, but `--from {out}` need not search for it again.")
    if told.refuted:
        lines.append(fill(f"A run at a small size shows to be false: {', '.join(told.refuted)}.", WIDTH))
    lines += [f"  {b.lemma}: not kept by {step_text(b, model)}" for b in found.broken]
    if told.verdict == "Unknown":
        left = f" Without what is not kept ({len(told.dropped)} parts of lemmas), a property is lost." if told.dropped else ""
        lines.append(
            fill(f"That is no violation: the state before a step need not be reachable.{left} `tdpcheck verify` looks for a race.", WIDTH)
        )
    return "\n".join(lines)


def _verdict(told: ProofTold, name: str) -> str:
    """What is told of one property: a race is one of one property, and says nothing of the others."""
    if told.race is None:
        return f"{told.verdict} ({told.sizes})"
    if told.race.property != name:
        return f"Unknown ({told.sizes})"
    return f"Violated in {len(told.race.steps)} steps"
