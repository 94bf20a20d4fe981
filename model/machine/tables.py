"""The shared page table: entries, level-1 table pages, roots, and how both walkers read them.

Two levels: a root's entry per region is empty, frozen (REMOVED_SPTE), a huge leaf, or points to a level-1 table page; that
page's entry per slot is empty, frozen or a leaf. Source: arch/x86/kvm/mmu/spte.h and tdp_mmu.c, Linux 6.1 to 6.7.
"""

from __future__ import annotations

from enum import StrEnum

import z3

from ...core.sorts import Sort, StateVar
from ...core.system import Update, bool_var
from ...kernelc.lowering.cfg import THREADS
from .sorts import BLOCK, FRAME, PT, REGION, ROOT, SLOT, p, part, region_of, root, slot_of

ENTRY = Sort("EntryKind", ("none", "frozen", "leaf", "table"))
NONE, FROZEN, LEAF, TABLE = (ENTRY.element(x) for x in ENTRY.elements)
PT_STATE = Sort("PtState", ("free", "private", "linked", "unlinked", "rcu"))
PT_FREE, PT_PRIVATE, PT_LINKED, PT_UNLINKED, PT_RCU = (PT_STATE.element(x) for x in PT_STATE.elements)

pmd_kind = StateVar("pmd_kind", (ROOT, REGION), ENTRY, "what the level-2 entry is")
pmd_writable = bool_var("pmd_writable", ROOT, REGION, doc="bit 1 of a huge leaf")
pmd_block = StateVar("pmd_block", (ROOT, REGION), BLOCK, "the huge page that a huge leaf maps")
pmd_pt = StateVar("pmd_pt", (ROOT, REGION), PT, "the level-1 table that a non-leaf entry points to")
pte_kind = StateVar("pte_kind", (PT, SLOT), ENTRY, "what the level-1 entry is: never table")
pte_writable = bool_var("pte_writable", PT, SLOT, doc="bit 1 of a leaf")
pte_frame = StateVar("pte_frame", (PT, SLOT), FRAME, "the frame that a leaf maps")
pt_state = StateVar(
    "pt_state", (PT,), PT_STATE, "free, private to its allocator, linked, unlinked and awaiting call_rcu(), or awaiting a grace period"
)
pt_root = StateVar("pt_root", (PT,), ROOT, "the root that the page was linked under last")
pt_region = StateVar("pt_region", (PT,), REGION, "sp->gfn: the region that the page was made for")
rcu_reader = bool_var("rcu_reader", THREADS, doc="the thread is inside rcu_read_lock()")
rcu_waits = bool_var("rcu_waits", PT, THREADS, doc="call_rcu(): the grace period of this page still waits for that reader")
root_invalid = bool_var("root_invalid", ROOT, doc="role.invalid")
root_exported = bool_var("root_exported", ROOT, doc="exported to an IOMMU through a KVM TDP fd")
root_ref_mmu = bool_var("root_ref_mmu", ROOT, doc="the reference that the TDP MMU itself holds until the root is invalidated")
root_ref_export = bool_var("root_ref_export", ROOT, doc="the reference that an exported TDP fd holds")

STATE = (
    pmd_kind, pmd_writable, pmd_block, pmd_pt, pte_kind, pte_writable, pte_frame, pt_state, pt_root, pt_region,
    rcu_reader, rcu_waits, root_invalid, root_exported, root_ref_mmu, root_ref_export,
)  # fmt: skip
SORTS = (ENTRY, PT_STATE)


def walks(table: z3.ExprRef, gfn: z3.ExprRef) -> z3.BoolRef:
    """Whether a walk from root `table` ends in a leaf for `gfn`: EPT's and VT-d's second-stage walk agree on these entries."""
    at = (table, region_of(gfn))
    return z3.Or(pmd_kind(*at) == LEAF, z3.And(pmd_kind(*at) == TABLE, pte_kind(pmd_pt(*at), slot_of(gfn)) == LEAF))


def walk_frame(table: z3.ExprRef, gfn: z3.ExprRef) -> z3.ExprRef:
    """The frame at which that walk ends; meaningless where `walks` does not hold."""
    at = (table, region_of(gfn))
    return z3.If(pmd_kind(*at) == LEAF, part(pmd_block(*at), slot_of(gfn)), pte_frame(pmd_pt(*at), slot_of(gfn)))


def same_walk(table: z3.ExprRef, gfn: z3.ExprRef, frame: z3.ExprRef) -> z3.BoolRef:
    """Whether the walk succeeds and ends at `frame`."""
    return z3.And(walks(table, gfn), walk_frame(table, gfn) == frame)


class Mapped(StrEnum):
    """What the tables hold at the start of a scenario."""

    NOTHING = "nothing"
    HUGE = "huge"
    PAGES = "pages"
    TABLES = "tables"


def holds(table: z3.ExprRef, roots: int) -> z3.BoolRef:
    """Whether `table` is one of the first `roots` roots."""
    return z3.Or([table == ROOT.element(n) for n in range(roots)])


def initial(mapped: Mapped, exported: frozenset[int], roots: int, regions: int, slots: int) -> list[Update]:
    """Initial values: `huge` maps every region by a huge leaf, `pages` by a table of leaves, `tables` links empty tables.

    Host frames are handed out as `host.initial` does: region n's gfns map to block n, so both forms translate alike. Roots beyond
    the first get tables of their own: page `root * regions + region`. `roots` counts those that hold it; others are empty.
    """
    xs = pmd_kind.variables()
    table_here = [
        (z3.And(xs[0] == ROOT.element(a), xs[1] == REGION.element(b)), a * regions + b) for a in range(roots) for b in range(regions)
    ]
    held = holds(xs[0], roots)
    tables = mapped in (Mapped.PAGES, Mapped.TABLES)
    kind = {Mapped.NOTHING: NONE, Mapped.HUGE: LEAF, Mapped.PAGES: TABLE, Mapped.TABLES: TABLE}[mapped]
    pt_of: z3.ExprRef = PT.element(0)
    if tables:
        for condition, number in table_here:
            pt_of = z3.If(condition, PT.element(number), pt_of)
    block_of: z3.ExprRef = BLOCK.element(0)
    if mapped is Mapped.HUGE:
        for n in range(regions):
            block_of = z3.If(xs[1] == REGION.element(n), BLOCK.element(n), block_of)
    linked = z3.Or([p == PT.element(n) for _, n in table_here]) if tables else z3.BoolVal(False)
    return [
        Update(pmd_kind, xs, z3.If(held, kind, NONE)),
        Update(pmd_writable, xs, z3.And(held, z3.BoolVal(mapped is Mapped.HUGE))),
        Update(pmd_block, xs, block_of),
        Update(pmd_pt, xs, pt_of),
        *_initial_leaves(mapped, tables, roots, regions, slots),
        Update(pt_state, (p,), z3.If(linked, PT_LINKED, PT_FREE)),
        *(
            Update(
                var,
                (p,),
                _choose(
                    [(p == PT.element(a * regions + b), sort.element((a, b)[which])) for a in range(roots) for b in range(regions)], sort
                ),
            )
            if tables
            else Update(var, (p,), sort.element(0))
            for which, (var, sort) in enumerate(((pt_root, ROOT), (pt_region, REGION)))
        ),
        *(Update(var, var.variables(), z3.BoolVal(False)) for var in (rcu_reader, rcu_waits, root_invalid)),
        *(
            Update(var, (root,), z3.Or([root == ROOT.element(n) for n in sorted(exported)]) if exported else z3.BoolVal(False))
            for var in (root_exported, root_ref_export)
        ),
        Update(root_ref_mmu, (root,), z3.BoolVal(True)),
    ]


def _choose(cases: list[tuple[z3.BoolRef, z3.ExprRef]], sort: Sort) -> z3.ExprRef:
    result: z3.ExprRef = sort.element(0)
    for condition, value in cases:
        result = z3.If(condition, value, result)
    return result


def _initial_leaves(mapped: Mapped, tables: bool, roots: int, regions: int, slots: int) -> list[Update]:
    xs = pte_kind.variables()
    cases = []
    if mapped is Mapped.PAGES:
        for a in range(roots):
            for b in range(regions):
                for c in range(slots):
                    cases.append((z3.And(xs[0] == PT.element(a * regions + b), xs[1] == SLOT.element(c)), FRAME.element(b * slots + c)))
    present = z3.Or([condition for condition, _ in cases]) if cases else z3.BoolVal(False)
    return [
        Update(pte_kind, xs, z3.If(present, LEAF, NONE)),
        Update(pte_writable, xs, present),
        Update(pte_frame, xs, _choose(cases, FRAME)),
    ]
