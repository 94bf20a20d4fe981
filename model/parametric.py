"""A scenario for any number of everything: threads of each role, vCPUs, pages, frames, tables, roots, IOMMUs and devices.

The same kernel C and the same machine as `system.build` uses. Only two things are said anew: every role has any number of threads (so
nothing is merged that a second thread of the role could see), and the initial state is described by what is true of it at every size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import z3

from ..core.errors import InputError
from ..core.evaluation.evaluate import Evaluator, State
from ..core.sorts import BOOL, Geometry, Rigid
from ..core.system import TransitionSystem, Update
from ..kernelc.lowering.cfg import THREAD, THREADS
from .machine import host, parts, sorts, tables
from .machine.ghosts import promised
from .machine.sorts import ROOT, VCPU, g, p, part, r, region_of, root, s, slot_of
from .program_points import Places, Software
from .scenario import Scenario
from .system import Code, assemble, compile_software, own_size
from .view.naming import listed

vcpu_of = Rigid("vcpu_of", (THREADS,), VCPU, lambda geometry, at: 0, doc="the vCPU whose fault a thread handles")
mapped_at_start = Rigid(
    "mapped_at_start", (ROOT,), BOOL, lambda geometry, at: True, doc="whether the root holds at the start what the scenario says of tables"
)
"""As lemmas write it; `rigids` gives it the meaning that it has in a scenario."""

_UNKNOWN_AT_START = frozenset(
    v.name
    for v in (
        *(tables.pmd_kind, tables.pmd_writable, tables.pmd_block, tables.pmd_pt, tables.pte_kind, tables.pte_writable, tables.pte_frame),
        *(tables.pt_state, tables.pt_root, tables.pt_region, host.host_frame, host.host_block, host.frame_free),
    )
)
"""What `start_condition` describes, in place of the values that a scenario's own size would give."""


@dataclass(frozen=True)
class Parametric:
    """The system for every size, and the places of its threads, of which lemmas speak."""

    scenario: Scenario
    system: TransitionSystem
    software: Software
    places: Places


def parametric(scenario: Scenario, code: Code, *, merge: bool = True) -> Parametric:
    """The transition system of a scenario for any number of everything.

    Raises:
        Refusal, InputError: as `system.build`; or the machine has an optional part, of which no lemma speaks.
    """
    if scenario.space:
        raise InputError(f"scenario {scenario.name} has [[space]]s: a proof for every size speaks of one; ask `tdpcheck verify`")
    optional = [part.name for part in parts.of(scenario) if part.asked is not None]
    if optional:
        raise InputError(
            f"scenario {scenario.name} has {listed(optional)}, of which no argument for every size speaks; "
            "`tdpcheck verify` asks about them at the scenario's own size"
        )
    roles = [t.role for _ in range(2) for t in scenario.thread]  # two of a role: as far as merging goes, any number
    software = compile_software(scenario, code, roles, merge=merge, vcpu=lambda _: vcpu_of(THREAD))
    system = at_every_size(scenario, assemble(scenario, software, rigids(scenario)))
    return Parametric(scenario, system, software, Places(software))


def starts(made: Parametric) -> Iterator[tuple[Geometry, State]]:
    """The initial states of a scenario's own size, with two threads of each role, that are initial states of the system for every size."""
    geometry = own_size(made.scenario, 2 * len(made.scenario.thread))
    sized = assemble(made.scenario, made.software, rigids(made.scenario))
    every_size = Evaluator(made.system, geometry)
    yield from ((geometry, state) for state in Evaluator(sized, geometry).initial() if every_size.is_initial(state))


def rigids(scenario: Scenario) -> tuple[Rigid, ...]:
    """The functions that are needed besides the machine's, with their meaning at the scenario's own size."""
    held = scenario.start.mapped_roots or scenario.geometry.roots
    return vcpu_of, replace(mapped_at_start, meaning=lambda geometry, at: at[0] < held)


def sizes(scenario: Scenario) -> tuple[tuple[Geometry, ...], tuple[Geometry, ...]]:
    """Two small sizes at which a search takes seconds, one with pages of one region and one with regions; and those at which to try more.

    Two roles at most make the states few enough for two threads of each, and for a size that is nowhere smaller than these.
    """

    def of(regions: int, slots: int, each: int, least: int) -> Geometry:
        own = scenario.geometry
        return sorts.geometry(
            thread=each * len(scenario.thread),
            region=regions,
            slot=slots,
            block=2,
            frame=2 * slots,
            pt=2,
            root=max(least, own.roots),
            vcpu=1,
            iommu=max(least, own.iommus),
            device=max(least, own.devices),
        )

    few = len(scenario.thread) <= 2
    each = 2 if few else 1
    small = of(1, 2, each, 1), of(2, 1, 1, 2)
    return small, (of(2, 2, each, 2),) if few else small


def at_every_size(scenario: Scenario, sized: TransitionSystem) -> TransitionSystem:
    """`sized`, which starts as the scenario's own size says, from what is true at the start of every size."""
    unknown = _UNKNOWN_AT_START | ({promised.name} if scenario.start.tables == "some" else set())
    return replace(
        sized,
        init=tuple(_at_every_size(u) for u in sized.init if u.var.name not in unknown),
        constraint=z3.And(sized.constraint, start_condition(scenario)),
    )


def _at_every_size(update: Update) -> Update:
    """The initial value of a state variable where the scenario's own names roots by number."""
    held = z3.And(mapped_at_start(root), z3.BoolVal(True))
    if update.var.name == promised.name and not z3.is_false(z3.simplify(update.value)):
        return Update(promised, update.variables, z3.substitute(held, (root, update.variables[0])))
    return update


def start_condition(scenario: Scenario) -> z3.BoolRef:
    """What is true at the start of a scenario, whatever its size: a closed term.

    The initial state that every shipped scenario has at its own size satisfies it (tested).
    """
    start = scenario.start
    held, at = mapped_at_start(root), (root, r)
    pt = tables.pmd_pt(*at)
    parts: list[z3.BoolRef] = []
    mapped = start.host != "unmapped"
    if mapped:
        parts.append(z3.ForAll([g], z3.Not(host.frame_free(host.host_frame(g)))))
    if start.host == "huge":
        parts.append(z3.ForAll([g], host.host_frame(g) == part(host.host_block(region_of(g)), slot_of(g))))
    kind = {"nothing": tables.NONE, "huge": tables.LEAF}.get(start.tables, tables.TABLE)
    parts.append(z3.ForAll([root, r], tables.pmd_kind(*at) == z3.If(held, kind, tables.NONE)))
    if start.tables == "huge":
        parts.append(z3.ForAll([root, r], z3.Implies(held, tables.pmd_block(*at) == host.host_block(r))))
    if start.tables in ("pages", "some", "tables"):
        linked = tables.pt_state(p) == tables.PT_LINKED
        parts += [
            z3.ForAll([root, r], z3.Implies(held, z3.And(tables.pt_state(pt) == tables.PT_LINKED))),
            z3.ForAll([root, r, p], z3.Implies(z3.And(held, pt == p), z3.And(tables.pt_root(p) == root, tables.pt_region(p) == r))),
            z3.ForAll(
                [root, r, p],
                z3.Implies(z3.And(linked, tables.pt_root(p) == root, tables.pt_region(p) == r), z3.And(held, pt == p)),
            ),
            z3.ForAll([p], z3.Or(linked, tables.pt_state(p) == tables.PT_FREE)),
        ]
        there = z3.And(linked, tables.pt_region(p) == region_of(g))
        if start.tables == "some":  # whichever: a scenario's own size leaves one out
            parts.append(
                z3.ForAll([p, s], z3.Or(z3.And(linked, tables.pte_kind(p, s) == tables.LEAF), tables.pte_kind(p, s) == tables.NONE))
            )
            parts.append(z3.ForAll([root, g], promised(root, g) == z3.And(held, tables.walks(root, g))))
            there = z3.And(there, tables.pte_kind(p, slot_of(g)) == tables.LEAF)
        else:
            leaf = tables.LEAF if start.tables == "pages" else tables.NONE
            parts.append(z3.ForAll([p, s], tables.pte_kind(p, s) == z3.If(linked, leaf, tables.NONE)))
        if start.tables != "tables":
            parts.append(z3.ForAll([p, g], z3.Implies(there, tables.pte_frame(p, slot_of(g)) == host.host_frame(g))))
    else:
        parts.append(z3.ForAll([p, s], z3.And(tables.pt_state(p) == tables.PT_FREE, tables.pte_kind(p, s) == tables.NONE)))
    return z3.And(parts)
