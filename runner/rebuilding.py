"""The system and the properties that a certificate must be about, built anew from today's model: the file's word is not taken for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from ..checker.certificates.certificate import statement_of
from ..checker.certificates.instantiated import instantiated_statement
from ..core.errors import InputError
from ..core.ground import ground
from ..core.system import Property
from ..kernelc.errors import Refusal
from ..kernelc.lowering.cfg import Graph
from ..kernelc.sources.tree import KernelTree
from ..model.change.waivers import Waiver
from ..model.parametric import parametric
from ..model.scenario import Scenario
from ..properties import PROPERTIES
from ..recheck.obligations import Certificate
from ..recheck.questions import difference_from
from ..recheck.reader import EVERY_SIZE
from .asking.results import Waived, waived
from .every_size import files_with, scenario_for
from .inputs.changes import touched, versions
from .inputs.designs import Design
from .inputs.sources import Built, Files, built, code_for, files_of, kernel_given
from .inputs.terms import property_names, property_of
from .inputs.waivers import before_change, in_a_proof, leaned_on, waivers_in
from .names import choose
from .runs.run import selected_scenarios

_Candidate = tuple["Rebuilt", str, Callable[[], tuple[Waiver, ...]]]
"""What a certificate may be about, its statement, and what that leans on."""


@dataclass(frozen=True)
class Rebuilt:
    """What a certificate was compared with, and found to be about.

    Args:
        change: how an answer names the change, empty without one.
        digest: of the model; empty for every size.
        waivers: the ghost statements of the change, or of a design from outside, on which what the certificate proves leans.
    """

    scenario: str
    change: str
    digest: str
    sizes: str
    waivers: tuple[Waived, ...] = ()


def rebuilt(
    found: Certificate,
    file: str,
    scenario: str,
    *,
    prop: str | None = None,
    change: str | None = None,
    kernel: str | None = None,
    rev: str | None = None,
    design: Design | None = None,
) -> Rebuilt:
    """Compare a certificate with a scenario as today's model has it.

    Args:
        prop: a property that must be among those of the certificate.
        design: the folder of designs that the user gave.

    Raises:
        InputError: the certificate is about something else; the first difference is named.
        Refusal: kernel C that cannot be read.
    """
    names = found.property_names
    if prop is not None:
        choose([prop], property_names(), "property")
        if prop not in names:
            raise InputError(f"{file}: the certificate says nothing of {prop}; its properties are {', '.join(names)}")
    choose(names, property_names(), "property")
    claimed = found.header.get("scenario", "")
    if found.kind == "grounded":
        candidates = _of_one_size(scenario, names, change, kernel, rev, design)
    elif kernel is not None or rev is not None:
        raise InputError(f"{file}: it is about every size, and functions of a kernel tree are checked at one size; leave --kernel out")
    else:
        candidates = _of_every_size(found.kind, scenario, names, change, design)
    first = ""
    for about, statement, leaning in candidates:
        if claimed and claimed != about.scenario:
            raise InputError(f"{file}: its head speaks of scenario {claimed[:60]!r}, not of {about.scenario}")
        other = difference_from(found, statement)
        if not other:
            return replace(about, waivers=waived(leaning()))
        first = first or other
    raise InputError(f"{file}: the certificate is about something else than scenario {scenario}: {first}")


def _of_one_size(
    name: str, names: tuple[str, ...], change: str | None, kernel: str | None, rev: str | None, design: Design | None
) -> Iterator[_Candidate]:
    """The scenario at its own size; with a change, after its last patch, then after those before it."""
    tree = kernel_given(kernel, rev)
    (scenario,) = selected_scenarios([name], (), tree, design)
    known = versions(change, files_of(tree, design))
    for number in reversed(range(len(known))):
        if number == 0 and len(known) > 1:
            return
        version = known[number]
        own = version.scenario(scenario)
        made = built(own, tree, version.files, touched(known, number))
        model = made.model
        system = ground(model.system, model.geometry)
        properties = [property_of(model, each) for each in names]
        about = Rebuilt(own.name, f" with {version.name}" if version.name else "", model.digest, str(model.geometry))
        before = partial(_before, scenario, tree, known[0].files) if number else None
        yield about, statement_of(system, properties), partial(_leaning, made, version.files, properties, before)


def _before(scenario: Scenario, tree: KernelTree | None, files: Files) -> Mapping[str, Graph]:
    """The threads without the change; none where the change brings the flow itself."""
    with suppress(InputError, Refusal):
        return before_change(built(scenario, tree, files).model)
    return before_change(None)


def _leaning(made: Built, files: Files, properties: list[Property], before: Callable[[], Mapping[str, Graph]] | None) -> tuple[Waiver, ...]:
    found = waivers_in(made.model, made.code, files, None if before is None else before())
    return leaned_on(found, made.model, properties)


def _of_every_size(kind: str, name: str, names: tuple[str, ...], change: str | None, design: Design | None) -> Iterator[_Candidate]:
    """The scenario for any number of everything."""
    unknown = [each for each in names if each not in PROPERTIES]
    if unknown:
        raise InputError(f"{unknown[0]} is a property of one size alone")
    properties = [PROPERTIES[each] for each in names]
    scenario: Scenario = scenario_for(name, properties[0], design)
    files, code = files_with(change, design), None
    code = code_for(scenario, None, files)
    model = parametric(scenario, code)
    statement = instantiated_statement(model.system, properties) if kind == "instantiated" else statement_of(model.system, properties)
    shipped = None if change is None else files_of(None, design)
    about = Rebuilt(scenario.name, f" with {change}" if change else "", "", EVERY_SIZE)
    yield about, statement, partial(in_a_proof, model, code, properties, files, shipped)


__all__ = ["Rebuilt", "rebuilt"]
