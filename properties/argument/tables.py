"""The page table's structure: which table page stands where, and how one is taken out."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ...core.system import Lemma
from ...model.machine import tables
from ...model.program_points import Location
from .setting import Setting
from .words import FALSE, FROZEN, LINKED, RCU, TABLE, UNLINKED, lemma, p, r, root, s, t, u


def chapter(here: Setting) -> Iterator[Lemma]:
    points = z3.And(tables.pmd_kind(root, r) == TABLE, tables.pmd_pt(root, r) == p)
    linked = z3.And(tables.pt_state(p) == LINKED, tables.pt_root(p) == root, tables.pt_region(p) == r)
    yield lemma(
        "table_is_linked",
        [root, r, p],
        z3.Implies(points, linked),
        "The table page to which a non-leaf spte points is linked, under the spte's root and for its region.",
        "tdp_mmu_link_sp() publishes a page and links it in one step, and only the page whose spte has just been replaced is unlinked.",
    )
    yield lemma(
        "linked_is_table",
        [root, r, p],
        z3.Implies(linked, points),
        "A linked table page stands in the spte of its root and region.",
        "The step that replaces a non-leaf spte also unlinks its page: handle_changed_spte() calls handle_removed_pt().",
    )
    yield lemma(
        "leaf_level",
        [p, s],
        tables.pte_kind(p, s) != TABLE,
        "An spte in a table page never points to another table page.",
        "Non-leaf sptes are stored through tdp_root_sptep() alone: there are two levels.",
    )
    yield lemma(
        "rcu_is_frozen",
        [p, s],
        z3.Implies(tables.pt_state(p) == RCU, tables.pte_kind(p, s) == FROZEN),
        "Every spte of a table page that waits for its grace period is frozen.",
        "tdp_mmu_freeze_children() comes before call_rcu_free_sp(), and tdp_mmu_set_spte_atomic() never replaces a frozen spte.",
    )
    yield from _unlinking(here)


def _unlinking(here: Setting) -> Iterator[Lemma]:
    def removed(x: Location) -> z3.ExprRef | None:
        return here.value(x, "sp.pt")

    by = [z3.Exists([u], z3.And(here.at(u, places), var(u) == p)) for var, places in here.unlinkers]
    yield lemma(
        "unlinked_by_somebody",
        [p],
        z3.Implies(tables.pt_state(p) == UNLINKED, z3.Or(by) if by else FALSE),
        "A table page that is unlinked and not yet handed to call_rcu() is in the hands of a thread in handle_removed_pt().",
        "tdp_mmu_unlink_sp() leaves its thread there, and call_rcu_free_sp() ends it.",
    )

    def unlinked(x: Location) -> z3.BoolRef | None:
        page = removed(x)
        return None if page is None else tables.pt_state(page) == UNLINKED

    yield lemma(
        "unlinking",
        [t],
        here.each(here.unlinking, unlinked),
        "Between tdp_mmu_unlink_sp() and call_rcu_free_sp(), the page is unlinked.",
        "Nobody else has that page to change its state: only its unlinker hands it to call_rcu().",
    )
    pairs = [
        z3.Implies(z3.And(here.at(t, places), here.at(u, there), one(t) == other(u)), t == u)
        for n, (one, places) in enumerate(here.unlinkers)
        for other, there in here.unlinkers[n:]
    ]
    yield lemma(
        "one_unlinker",
        [t, u],
        z3.And(pairs),
        "No table page is unlinked by two threads.",
        "Who unlinks it has replaced its spte, by try_cmpxchg64() or under mmu_lock for writing, and that succeeds once.",
    )

    def all_frozen(x: Location) -> z3.BoolRef | None:
        page = removed(x)
        return None if page is None else tables.pte_kind(page, s) == FROZEN

    yield lemma(
        "freezing",
        [t, s],
        here.each(here.frozen, all_frozen),
        "Between tdp_mmu_freeze_children() and call_rcu_free_sp(), every spte of the page is frozen.",
        "tdp_mmu_set_spte_atomic() never replaces a frozen spte, and a writer of mmu_lock does not reach a page that is unlinked.",
    )
