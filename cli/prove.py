"""`tdpcheck prove`: properties for every size, by lemmas, with a certificate that two solvers check."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill

import click

from ..api.prove import CARD, ProofTold, Verdict, prove_scenario
from ..checker.arguments.houdini import Weakened
from ..checker.arguments.lemmas import Broken
from ..model.parametric import Parametric
from ..runner import documents, output
from ..runner.every_size import EVERY_ROLE, WIDTH, any_number, step_text
from ..runner.exit_codes import ExitCode
from . import guard, printing
from .check_certificate import read_certificate
from .echo import echo
from .seconds import Seconds

_CODES: Mapping[Verdict, ExitCode] = {
    "Proved": ExitCode.HOLDS,
    "Violated": ExitCode.VIOLATED,
    "Unknown": ExitCode.UNKNOWN,
    "Waived": ExitCode.HOLDS,
}


@click.command()
@click.argument("names", metavar="[PROPERTY]...", nargs=-1)
@click.option(
    "--scenario", metavar="NAME|FILE.toml", default=EVERY_ROLE, show_default=True, help="For any number of this scenario's threads."
)
@click.option("--change", metavar="FILE", help="With this patch applied to the kernel C.")
@click.option("--design", metavar="DIR", help="Kernel C of your own: a folder whose functions override the shipped ones.")
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
    design: str | None,
    out: str | None,
    known: str | None,
    minimal: bool,
    repair: bool,
    jobs: int,
    timeout: float,
    as_json: bool,
) -> None:
    """Prove properties for any number of pages, tables, roots, devices and threads of a scenario.

    Without a PROPERTY: no_stale_io_mapping, atomic_hugepage_split and reject_noncoherent_dma. The lemmas are
    those that `tdpcheck explain` tells. For each step a search finds the instances of them that prove it; these are the
    certificate, and Z3 and cvc5 check it without any quantifier.

    Exit code: 0 proved, and both solvers accept the certificate; 1 a race was found; 3 not proved; 2 bad input.
    """
    guard.limit(timeout, "proving")
    before = read_certificate(known) if known else ""
    target = output.checked(out)
    with printing.Progress() as progress:
        proof = prove_scenario(
            names or CARD, scenario=scenario, change=change, design=design, known=before, known_from=known or "", minimal=minimal,
            repair=repair, jobs=jobs, timeout=timeout, listener=progress,
        )  # fmt: skip
    told, model, found, missed = proof.told, proof.model, proof.found, proof.missed
    if target is not None:
        output.write(target, proof.certificate.encode())
    if as_json:
        echo(documents.to_json(told), nl=False)
    else:
        echo(_text(told, model, found, out, missed))
    context.exit(_CODES[told.verdict])


def _text(told: ProofTold, model: Parametric, found: Weakened, out: str | None, missed: Mapping[str, Broken]) -> str:
    lines = [f"scenario {told.scenario}   change {told.change or 'none'}"]
    race = told.race
    lines += [f"  {name}: {_verdict(told, name)}" for name in told.properties]
    lines += ["", any_number(model)]
    lines += [fill(f"Leaning on waiver {w.place}: {w.what}.", WIDTH) for w in told.waivers]
    if told.verdict in ("Proved", "Waived"):
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
