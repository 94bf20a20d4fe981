"""Loops: the next leaf of a range, the next root. Any order, each once, again from the start after a restart."""

from __future__ import annotations

import z3

from ...core.system import Param, set_at, set_where
from ...kernelc.lowering.library import BOOLEAN, VOID, Check, Effect, Intrinsic, Ref, Value, boolean, scalar
from ..machine.cpu import alive
from ..machine.cursors import visited, visited_root
from ..machine.locks import mmu_reader, mmu_writer
from ..machine.sorts import GFN, ROOT, between, g, region_of, root
from ..machine.tables import root_exported, root_invalid, root_ref_export, root_ref_mmu, walks
from .types import GFN_T, KVM, LEVEL_T, LEVELS, PAGE, root_page

TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)


def _restart(t: z3.ExprRef) -> Effect:
    xs = visited.variables()
    return Effect(updates=(set_where(visited, xs, xs[0] == t, FALSE),))


def _next_gfn(t: z3.ExprRef, gfn: Value, start: Value, last: Value) -> tuple[Effect, ...]:
    pick = Param("gfn", GFN)
    a = pick.const
    todo = z3.And(between(g, start.term, last.term), z3.Not(visited(t, g)))
    return (
        Effect(value=boolean(TRUE), choices=(pick,), guard=z3.substitute(todo, (g, a)), refs=(scalar(GFN_T, a),), label="visits gfn {gfn}"),
        Effect(value=boolean(FALSE), guard=z3.ForAll([g], z3.Not(todo)), refs=(None,)),
    )


def _next_leaf(t: z3.ExprRef, gfn: Value, page: Value, start: Value, last: Value) -> tuple[Effect, ...]:
    """The next present leaf. Only where the lock is held for writing: then skipping what is empty needs no step of its own."""
    pick = Param("gfn", GFN)
    a = pick.const
    todo = z3.And(between(g, start.term, last.term), z3.Not(visited(t, g)), walks(page["root"], g))
    return (
        Effect(
            value=boolean(TRUE),
            choices=(pick,),
            guard=z3.substitute(todo, (g, a)),
            refs=(scalar(GFN_T, a),),
            label="visits leaf of gfn {gfn}",
        ),
        Effect(value=boolean(FALSE), guard=z3.ForAll([g], z3.Not(todo)), refs=(None,)),
    )


def _visited(t: z3.ExprRef, gfn: Value, level: Value) -> Effect:
    xs = visited.variables()
    whole = z3.And(level.term == LEVELS.element("PG_LEVEL_2M"), region_of(xs[1]) == region_of(gfn.term))
    return Effect(updates=(set_where(visited, xs, z3.And(xs[0] == t, z3.Or(xs[1] == gfn.term, whole)), TRUE),))


def _restart_roots(t: z3.ExprRef) -> Effect:
    xs = visited_root.variables()
    return Effect(updates=(set_where(visited_root, xs, xs[0] == t, FALSE),))


def _next_root(t: z3.ExprRef, kvm: Value, page: Value, only_valid: Value) -> tuple[Effect, ...]:
    return _pick_root(t, z3.Implies(only_valid.term, z3.Not(root_invalid(root))))


def _next_exported_root(t: z3.ExprRef, kvm: Value, page: Value) -> tuple[Effect, ...]:
    return _pick_root(t, root_exported(root))


def roots_stay(t: z3.ExprRef, *_: Value) -> z3.BoolRef:
    """Where a vCPU that leaves a root for another cannot change which roots somebody holds: each is held by something else, too."""
    return z3.ForAll([root], z3.Or(root_ref_mmu(root), root_ref_export(root)))


def _pick_root(t: z3.ExprRef, eligible: z3.BoolRef) -> tuple[Effect, ...]:
    """The next root. Each macro that walks them asks for mmu_lock (for_each_tdp_mmu_root() and its relatives, tdp_mmu.c, 6.1 and 6.12)."""
    pick = Param("root", ROOT)
    a = pick.const
    todo = z3.And(z3.Not(visited_root(t, root)), alive(root), eligible)
    locked = (Check("lockdep_assert_held", z3.Or(mmu_reader(t), mmu_writer(t))),)
    return (
        Effect(
            value=boolean(TRUE), choices=(pick,), guard=z3.substitute(todo, (root, a)), refs=(root_page(a),),
            updates=(set_at(visited_root, (t, a), TRUE),), label="root {root}", checks=locked,
        ),
        Effect(value=boolean(FALSE), guard=z3.ForAll([root], z3.Not(todo)), refs=(None,), checks=locked),
    )  # fmt: skip


INTRINSICS = (
    Intrinsic("tdp_walk_restart", (), VOID, _restart, "local", writes=("own",), doc="tdp_iter_start(), tdp_iter_restart()"),
    Intrinsic(
        "tdp_walk_next",
        (Ref(GFN_T), GFN_T, GFN_T),
        BOOLEAN,
        _next_gfn,
        "local",
        reads=("own",),
        doc="the next position of the range, both ends included",
    ),
    Intrinsic("tdp_walk_next_leaf", (Ref(GFN_T), PAGE, GFN_T, GFN_T), BOOLEAN, _next_leaf, reads=("spte",), doc="the same, leaves only"),
    Intrinsic(
        "tdp_walk_visited", (GFN_T, LEVEL_T), VOID, _visited, "local", writes=("own",), doc="the entry at that level has been visited"
    ),
    Intrinsic("tdp_root_restart", (), VOID, _restart_roots, "local", writes=("own",), doc="a walk over all roots begins"),
    Intrinsic(
        "tdp_mmu_next_root",
        (KVM, Ref(PAGE), BOOLEAN),
        BOOLEAN,
        _next_root,
        reads=("roots",),
        doc="tdp_mmu_next_root(), tdp_mmu.c",
        when=roots_stay,
    ),
    Intrinsic(
        "tdp_mmu_next_exported_root",
        (KVM, Ref(PAGE)),
        BOOLEAN,
        _next_exported_root,
        reads=("roots",),
        doc="for_each_exported_tdp_mmu_root(), the RFC",
        when=roots_stay,
    ),
)
