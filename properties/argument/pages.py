"""Walks: what a thread's locals say of the spte at which it stands."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ...core.system import Lemma
from ...model.intrinsics.types import LEVELS
from ...model.machine import ghosts, tables
from ...model.program_points import Location
from .setting import Setting
from .words import FROZEN, TABLE, TRUE, lemma, t


def chapter(here: Setting) -> Iterator[Lemma]:
    yield from _locals(here)

    def levels(x: Location) -> z3.BoolRef | None:
        lower, level = here.value(x, "sptep.lower"), here.value(x, "iter.level")
        return None if lower is None or level is None else lower == (level == LEVELS.element("PG_LEVEL_4K"))

    yield lemma(
        "level_is_lower",
        [t],
        here.each(here.rcu, levels),
        "A walk's sptep points into a table page exactly where its level is PG_LEVEL_4K.",
        "tdp_iter_read() sets both together, at the root and again on its way down.",
    )

    def held(x: Location) -> z3.BoolRef | None:
        return _pages(here, x)

    yield lemma(
        "pages_in_use",
        [t],
        here.each(here.rcu, held),
        "A table page that a walk has come across keeps its root and region, and is not freed before the walk's rcu_read_unlock().",
        "It was linked when the walk read its spte; call_rcu_free_sp() waits for every reader of its moment, and rcu_callback() for all.",
    )

    def coherent(x: Location) -> z3.BoolRef | None:
        return _position(here, x)

    yield lemma(
        "position",
        [t],
        here.each(here.everywhere, coherent),
        "A walk's sptep has the region and slot of the gfn at which it stands; for a fault, that is the gfn that it has resolved.",
        "tdp_root_sptep() and tdp_pt_sptep() take both from iter.gfn, and a fault's gfn is never assigned to after kvm_faultin_pfn().",
    )

    def not_frozen(x: Location) -> z3.BoolRef | None:
        kind = here.value(x, "old_spte.kind") if here.places.next_operation(x) == "try_cmpxchg64" else None
        return None if kind is None else kind != FROZEN

    yield lemma(
        "never_replaces_frozen",
        [t],
        here.each(here.everywhere, not_frozen),
        "Where try_cmpxchg64() is next, the old_spte that it expects is not frozen.",
        "tdp_mmu_set_spte_atomic() gives up before it if is_removed_spte(old_spte).",
    )


def _locals(here: Setting) -> Iterator[Lemma]:
    places = here.places
    copies = []
    for x in here.everywhere:
        same = [a(t) == c(t) for a, c in places.copies[x.name]] + [a(t) == value for a, value in places.constants[x.name]]
        if same:
            copies.append(z3.Implies(here.at(t, (x,)), z3.And(same)))
    yield lemma(
        "copies",
        [t],
        z3.And(copies),
        "Arguments, results and assigned locals still equal what they were copied from, as long as neither side is assigned to.",
        "Locals are a thread's own: only its own assignments change them, and every way to the place has made the same copies.",
    )

    def decided(x: Location) -> z3.BoolRef | None:
        return z3.And(places.branches[x.name]) if places.branches[x.name] else None

    yield lemma(
        "branches",
        [t],
        here.each(here.everywhere, decided),
        "What the branches on every way to a place have found of a thread's locals is still so.",
        "Locals are a thread's own, and none of these has been assigned to since its branch.",
    )


def _pages(here: Setting, x: Location) -> z3.BoolRef | None:
    """That the page which `sptep` lies in, and the page to which `old_spte` points, are in use and stand where the walk does."""
    parts = []
    lower, below = here.value(x, "sptep.lower"), here.value(x, "sptep.pt")
    kind, old = here.value(x, "old_spte.kind"), here.value(x, "old_spte.pt")
    region, table = here.value(x, "sptep.region"), here.root_of(x)
    standing = here.standing(x)
    if below is not None and lower is not None:
        fits = [tables.pt_region(below) == standing[0]] if standing is not None else []
        fits += [tables.pt_root(below) == table] if table is not None else []
        parts.append(z3.Implies(lower, z3.And(here.in_use(below), *fits)))
    if kind is not None and old is not None:
        fits = [tables.pt_region(old) == region] if region is not None else []
        fits += [tables.pt_root(old) == table] if table is not None else []
        upper = TRUE if lower is None else z3.Not(lower)
        parts.append(z3.Implies(z3.And(kind == TABLE, upper), z3.And(here.in_use(old), *fits)))
    return z3.And(parts) if parts else None


def _position(here: Setting, x: Location) -> z3.BoolRef | None:
    """That `sptep` stands where the walk does, and the walk of a fault where its pfn belongs."""
    standing = here.standing(x)
    if standing is None:
        return None
    parts = []
    lower, gfn = here.value(x, "sptep.lower"), here.value(x, "gfn")
    region, slot = here.value(x, "sptep.region"), here.value(x, "sptep.slot")
    if region is not None:
        parts.append(z3.Implies(TRUE if lower is None else z3.Not(lower), region == standing[0]))
    if slot is not None and lower is not None:
        parts.append(z3.Implies(lower, slot == standing[1]))
    if gfn is not None and x in here.resolved:
        parts.append(gfn == ghosts.resolved(t))
    return z3.And(parts) if parts else None
