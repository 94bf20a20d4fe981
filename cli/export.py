"""`tdpcheck export`: a question in the language of another checker."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

from ..checker.circuits.circuit import circuit
from ..checker.export import btor2, promela, smtlib
from ..checker.export.aiger import ascii_aiger, binary_aiger
from ..core.errors import InputError
from ..core.ground import GroundSystem, bad, cone, ground
from ..core.system import Property
from ..runner import output
from ..runner.asking.question import property_of
from ..runner.inputs.changes import versions
from ..runner.inputs.designs import design_given
from ..runner.inputs.sources import built, files_of, kernel_given
from ..runner.runs.run import selected_scenarios
from . import printing
from .echo import echo

Writer = Callable[[GroundSystem, Property], str | bytes]
FORMS: dict[str, Writer] = {
    "smt2": smtlib.transition_system,
    "btor2": btor2.transition_system,
    "aiger": lambda grounded, prop: binary_aiger(circuit(grounded, prop), prop),
    "aag": lambda grounded, prop: ascii_aiger(circuit(grounded, prop), prop),
    "promela": promela.model,
}
BINARY = frozenset({"aiger"})


@click.command()
@click.argument("scenario", metavar="SCENARIO|FILE.toml")
@click.option("--property", "name", required=True, metavar="NAME", help="The property that the bad states violate.")
@click.option("--to", "form", required=True, type=click.Choice(tuple(FORMS)), help="The language to write.")
@click.option("--change", metavar="FILE", help="Export the system after this patch, mbox (all of it) or TOML overlay.")
@click.option("--kernel", metavar="DIR", help="Lift functions from this kernel tree.")
@click.option("--rev", metavar="REF", help="Read the kernel tree at this git revision.")
@click.option("--design", metavar="DIR", help="Kernel C of your own: a folder whose functions override the shipped ones.")
@click.option("--depth", type=click.IntRange(0, 1000), metavar="N", help="With --to smt2: ask whether N steps can violate it.")
@click.option("--cone", "only_cone", is_flag=True, help="Leave out what cannot influence the property.")
@click.option("--out", metavar="FILE", help="Write it there instead of standard output.")
def export(
    scenario: str,
    name: str,
    form: str,
    change: str | None,
    kernel: str | None,
    rev: str | None,
    design: str | None,
    depth: int | None,
    only_cone: bool,
    out: str | None,
) -> None:
    """Write one question for another checker: SMT-LIB, BTOR2, AIGER, Promela.

    The scenario's system at its size, with the model's own names; SPIN, ABC, nuXmv or any SMT solver may then disagree with us.
    """
    if depth is not None and form != "smt2":
        raise InputError(f"--depth makes a question of --to smt2; {form} has the whole system, and its reader chooses the depth")
    if form in BINARY and out is None and sys.stdout.isatty():
        raise InputError(f"{form} is binary; name a file with --out, or choose --to aag")
    with printing.Progress() as progress:
        grounded, prop = _question(scenario, name, change, kernel, rev, design, progress)
        progress.working(f"{scenario}: writing {form}")
        if only_cone:
            grounded = cone(grounded, [bad(grounded, prop)])
        made = smtlib.bounded(grounded, prop, depth) if depth is not None else FORMS[form](grounded, prop)
    content = made if isinstance(made, bytes) else made.encode()
    if out is not None:
        output.write(Path(out), content)
    else:
        echo(content if form in BINARY else content.decode(), nl=False)


def _question(
    name: str, prop: str, change: str | None, kernel: str | None, rev: str | None, design: str | None, progress: printing.Progress
) -> tuple[GroundSystem, Property]:
    """The grounded system of a scenario after the whole change, and the property as it reads there."""
    tree = kernel_given(kernel, rev, progress.said)
    own = design_given(design)
    (scenario,) = selected_scenarios([name], [prop], tree, own)
    version = versions(change, files_of(tree, own))[-1]
    progress.working(f"{name}: building the model")
    model = built(version.scenario(scenario), tree, version.files).model
    return ground(model.system, model.geometry), property_of(model, prop)
