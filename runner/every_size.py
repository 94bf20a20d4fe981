"""What the commands that speak of every size share: the scenario, and how a step that breaks a lemma is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill

from ..checker.arguments.lemmas import Broken
from ..core.errors import InputError
from ..core.system import Property
from ..model.parametric import Parametric
from ..model.scenario import SHARED, Expected, Hardware, Scenario, Start, Thread, shipped_scenarios
from ..properties import PROPERTIES, REGISTRY
from ..recheck.obligations import INITIALLY
from .inputs.changes import Version, versions
from .inputs.designs import Design, named
from .inputs.sources import Files, files_of
from .names import choose

EVERY_ROLE = "every-role"
WIDTH = 100


def every_role() -> Scenario:
    """Notifier, vCPU fault, device fault, eager split, in-place recovery and fast zap at once, on a table of huge leaves."""
    threads = (
        Thread("notifier", "mmu_notifier_unmap"),
        Thread("fault", "kvm_tdp_page_fault"),
        Thread("io_fault", "kvm_fault_exported_tdp"),
        Thread("split", "kvm_mmu_slot_try_split_huge_pages"),
        Thread("recover", "kvm_mmu_recover_huge_pages"),
        Thread("fast_zap", "set_nx_huge_pages", {"start": "first", "last": "last"}),
    )
    story = (
        "The host takes memory back, vCPUs and devices fault, huge pages are split and recovered, NX huge pages are switched: all at once."
    )
    expect: dict[str, Expected] = dict.fromkeys(PROPERTIES, "holds")
    return Scenario(
        EVERY_ROLE,
        story,
        threads,
        expect,
        hardware=Hardware(cpu=True),
        start=Start(tables="huge", host="huge"),
    )


def properties_named(names: Iterable[str]) -> tuple[Property, ...]:
    """Properties that speak of the machine alone, and so of any size, by name, each once.

    Raises:
        InputError: there is none of that name, or it is asked at one size alone.
    """
    chosen = tuple(dict.fromkeys(names))
    for name in chosen:
        if name in REGISTRY and name not in PROPERTIES:
            raise InputError(
                f"{name} speaks of the steps of one program, or has no lemmas: nothing argues it for every size; `tdpcheck verify "
                f"--property {name}` asks it at a scenario's own size"
            )
    return tuple(PROPERTIES[name] for name in choose(chosen, tuple(PROPERTIES), "property"))


def scenario_for(name: str | None, prop: Property, design: Design | None = None) -> Scenario:
    """The scenario of that name or in that file, or the smallest one that asks a property and expects it to hold.

    Args:
        design: the folder of designs that the user gave.

    Raises:
        InputError: there is none.
        Refusal: kernel C of the design that cannot be read.
    """
    known = {n: s for n, s in shipped_scenarios().items() if not s.needs_kernel} | {EVERY_ROLE: every_role()}
    if name is not None:
        return named([name], known, design, "scenario of kernel C")[0]
    own = [s for s in known.values() if s.design == SHARED] if design is None or not design.scenarios else design.scenarios.values()
    fitting = [s for s in own if s.expect.get(prop.name) == "holds"]
    if not fitting:
        where = "of the shared design" if design is None or not design.scenarios else f"in {design.path}"
        raise InputError(f"no scenario {where} asks {prop.name}; name one with --scenario")
    found = min(fitting, key=lambda s: (len(s.thread), s.name))
    return found if design is None else named([found.name], known, design)[0]


def files_with(change: str | None, design: Design | None = None) -> Files:
    """The kernel C with a change applied: the shipped one, and the designs that the user gave.

    Raises:
        InputError: the change is none, does not apply, or is no diff.
    """
    return files_of_versions(versions(change, files_of(None, design)), change or "")


def files_of_versions(known: Sequence[Version], change: str) -> Files:
    """The kernel C after the last patch of a change.

    Raises:
        InputError: it is an overlay of scenarios.
    """
    last = known[-1]
    if last.overlay is not None:
        raise InputError(f"{change}: an overlay of scenarios says nothing about kernel C; give a diff against model/kernel")
    return last.files


def any_number(model: Parametric) -> str:
    """Of how much of what a proof speaks."""
    roles = ", ".join(thread.role for thread in model.scenario.thread)
    said = f"For any number of pages, frames, tables, roots, vCPUs, IOMMUs, devices and threads ({roles}), compiled from kernel C."
    return fill(said, WIDTH)


def step_text(broken: Broken, model: Parametric) -> str:
    """A step that is not known to keep a lemma: whose it is, where it stands, and how far it is settled."""
    how = "a counterexample to induction" if broken.refuted else f"not settled: {broken.reason}"
    if broken.step == INITIALLY:
        return f"the initial state ({how})"
    action = model.system.action(broken.step)
    where = f"{action.source[0]}: {action.source[0].text}" if action.source else action.label
    return f"{action.actor}, {where} ({how})"
