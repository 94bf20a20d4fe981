"""What zaps have left behind them, and why recovery never puts back what they took away."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ...core.system import Lemma
from ...model.machine import cpu, host, tables
from ...model.machine.cursors import visited, visited_root
from ...model.machine.sorts import BLOCK, region_of
from ...model.program_points import Edge, Location
from .setting import Setting
from .words import TABLE, TRUE, g, lemma, root, t, u


def chapter(here: Setting) -> Iterator[Lemma]:
    """From leaf to leaf, from root to root, to the end of the range."""
    places = here.places
    # A leaf counts as visited from when it is picked; between that and its zap nothing is claimed.
    walking = places.after(Edge("tdp_walk_restart"), Edge("kvm_tdp_mmu_write_spte"), until=(Edge("tdp_walk_next_leaf"),))
    walking = tuple(x for x in walking if x in here.write and places.passes(x.role, "tdp_walk_next_leaf"))

    def behind(x: Location) -> z3.BoolRef | None:
        table = here.value(x, "iter.root.root")
        return None if table is None else z3.Implies(visited(t, g), z3.Not(tables.walks(table, g)))

    yield lemma(
        "visited_is_zapped",
        [t, g],
        here.each(walking, behind),
        "Between two leaves, tdp_mmu_zap_leafs() has zapped every gfn that it has visited in this root.",
        "It zaps each leaf before it asks for the next one, and starts again (tdp_walk_restart()) after it has let go of mmu_lock.",
    )
    roots = places.after(Edge("tdp_root_restart"), until=(Edge("tdp_mmu_next_root", 1),))

    def others(x: Location) -> z3.BoolRef | None:
        inside = here.within(x, g)
        table = here.value(x, "iter.root.root")
        table = here.value(x, "root.root") if table is None else table
        if inside is None:
            return None
        elsewhere = TRUE if table is None else root != table
        return z3.Implies(z3.And(visited_root(t, root), elsewhere, inside, cpu.alive(root)), z3.Not(tables.walks(root, g)))

    yield lemma(
        "other_roots_are_zapped",
        [t, root, g],
        here.each(tuple(x for x in roots if x in here.window), others),
        "In every root that an invalidation has left behind, no gfn of its range is mapped any more.",
        "tdp_mmu_zap_leafs() goes on until no leaf of the range is left; its window keeps faults off, and recovery finds no child there.",
    )

    def done(x: Location) -> z3.BoolRef | None:
        covered = here.within(x, g)
        return None if covered is None else z3.Implies(z3.And(covered, cpu.alive(root)), z3.Not(tables.walks(root, g)))

    yield lemma(
        "zapped_is_gone",
        [t, root, g],
        here.each(here.zapped, done),
        "After an invalidation's loop over roots, no gfn of its range is mapped in any root that is held, until its window closes.",
        "for_each_tdp_mmu_root() visits every root that is held, even invalid; in the window faults retry and recovery finds no child.",
    )


def recovering(here: Setting) -> Iterator[Lemma]:
    """What recovery knows between reading a child and exchanging the table for a huge leaf."""
    places = here.places
    reading = places.after(Edge("kvm_mmu_max_mapping_level"), until=(Edge("tdp_walk_next"), Edge("read_unlock"), Edge("try_cmpxchg64")))
    reading = tuple(x for x in reading if places.passes(x.role, "make_huge_spte") and x in here.read)
    made = places.after(Edge("make_huge_spte"), until=(Edge("try_cmpxchg64"),))

    def level(x: Location) -> z3.BoolRef | None:
        table, region, same = here.value(x, "sptep.root"), here.value(x, "sptep.region"), _unchanged(here, x)
        if table is None or region is None or same is None:
            return None
        blocks = [v(t) for v in places.locals_of(x, BLOCK) if "make_huge_spte" in v.name]
        if x in made and blocks:
            return z3.Implies(same, z3.And(host.host_huge(region), host.host_block(region) == blocks[0]))
        # Or the host has split it since: then nothing of the region is mapped, and the child will be found gone.
        gone = z3.ForAll([g], z3.Implies(region_of(g) == region, z3.And(host.invalidating(g), z3.Not(tables.walks(table, g)))))
        return z3.Implies(same, z3.Or(host.host_huge(region), gone))

    yield lemma(
        "recovered_block",
        [t],
        here.each(reading, level),
        "While the table that recovery looked at stands, the huge leaf it makes is the huge page by which the host maps the region.",
        "kvm_mmu_max_mapping_level() said 2M, and a host that splits has zapped the region before: then make_huge_spte() gets no child.",
    )
    parts = []
    for x in made:
        same, region, table = _unchanged(here, x), here.value(x, "sptep.region"), here.value(x, "sptep.root")
        if same is None or region is None or table is None:
            continue
        for y in here.finished:
            theirs = _left_alone(here, y, table, region)
            if theirs is not None:
                parts.append(z3.Implies(z3.And(here.at(t, (x,)), same, here.at(u, (y,))), theirs))
    yield lemma(
        "recovered_is_not_zapped",
        [t, u, g],
        z3.And(parts),
        "No invalidation that has let go of mmu_lock relies on the region to be empty for which recovery has made a huge leaf.",
        "Recovery found a child mapped (is_shadow_present_pte()) under mmu_lock; such an invalidation had zapped all of the region.",
    )


def _unchanged(here: Setting, x: Location) -> z3.BoolRef | None:
    """That the table which recovery found still stands where it was, in a root that is held."""
    table, region, old = here.value(x, "sptep.root"), here.value(x, "sptep.region"), here.value(x, "old_spte.pt")
    if table is None or region is None or old is None:
        return None
    return z3.And(tables.pmd_kind(table, region) == TABLE, tables.pmd_pt(table, region) == old, cpu.alive(table))


def _left_alone(here: Setting, y: Location, table: z3.ExprRef, region: z3.ExprRef) -> z3.BoolRef | None:
    """That thread `u` at `y` has not zapped `region` in `table`, if the host still maps it huge."""
    split = z3.Not(host.host_huge(region))
    inside = here.within(y, g, u)
    if y in here.zapped:
        return None if inside is None else z3.Implies(region_of(g) == region, z3.Or(z3.Not(inside), split))
    current = here.value(y, "iter.root.root", u)
    if inside is None or current is None:
        return None
    return z3.Implies(z3.And(region_of(g) == region, inside, visited_root(u, table)), z3.Or(table == current, split))
