"""SPTEs in memory: reading, writing, exchanging and freezing them, with the ghosts that every write moves along.

A write is one step even where the kernel's is an xchg or a cmpxchg: the entry changes at one instant. What the write means for
the arguments (who owes a flush, what has been promised, was the pfn stale) is computed here, once, from the state before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import z3

from ...core.sorts import Sort, StateVar
from ...core.system import Param, Update, set_at, set_where, substitute_updates
from ...kernelc.lowering.library import BOOLEAN, VOID, Check, CType, Effect, Intrinsic, Meaning, Need, Ref, Value, boolean, record
from ..machine import ghosts, host, iommu, tables
from ..machine.sorts import BLOCK, FRAME, PT, REGION, ROOT, SLOT, g, part, r, region_of, root, slot_of
from ..machine.spaces import SHARED, Spaces, both
from ..machine.tables import (
    FROZEN,
    LEAF,
    NONE,
    TABLE,
    pmd_block,
    pmd_kind,
    pmd_pt,
    pmd_writable,
    pt_region,
    pt_root,
    pt_state,
    pte_frame,
    pte_kind,
    pte_writable,
    root_invalid,
)
from .types import GFN_T, PAGE, PTEP, SPTE, choose, table_page

TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)
PAGES = "table pages"
"""What allocating, filling, freeing and unlinking a table page merge for: nobody else has to do with it then."""


def private(page: z3.ExprRef) -> z3.BoolRef:
    """Whether a table page belongs to whoever allocated it, and to no table."""
    return pt_state(page) == tables.PT_PRIVATE


def in_use(page: z3.ExprRef) -> z3.BoolRef:
    """Whether a table page is, or was, part of a table, and is not free yet."""
    return z3.And(pt_state(page) != tables.PT_FREE, z3.Not(private(page)))


def _unreached(page: z3.ExprRef) -> z3.BoolRef:
    return z3.ForAll([root, r], z3.Not(z3.And(pmd_kind(root, r) == TABLE, pmd_pt(root, r) == page)))


def _needs(what: str, holds: z3.BoolRef, *, relies: bool = False) -> tuple[Need, ...]:
    return (Need(PAGES, what, holds, relies),)


def uses(pointer: Value) -> tuple[Need, ...]:
    """What reading or exchanging the entry that a pointer points to needs."""
    return _needs(
        "an entry of a table page is used that is free, or still its allocator's own", z3.Implies(pointer["lower"], in_use(pointer["pt"]))
    )


def stores(pointer: Value, new: Value) -> tuple[Need, ...]:
    """What storing `new` where `pointer` points needs: the page that it lies in is in use, and one that is linked was nobody's."""
    old = read(pointer)
    again = z3.And(old["kind"] == TABLE, old["pt"] == new["pt"])
    links = z3.And(z3.Not(pointer["lower"]), new["kind"] == TABLE)
    fresh = z3.Implies(links, z3.Or(private(new["pt"]), again))
    return (*uses(pointer), *_needs("a table page is linked that is not its allocator's own", fresh))


def fills(page: z3.ExprRef) -> tuple[Need, ...]:
    """What storing into a page before it is linked needs."""
    return _needs("a table page is filled that is free", pt_state(page) != tables.PT_FREE)


def read(pointer: Value) -> Value:
    """The entry that `pointer` points to, now."""
    lower, at, below = pointer["lower"], (pointer["root"], pointer["region"]), (pointer["pt"], pointer["slot"])
    upper_entry = record(
        SPTE, kind=pmd_kind(*at), writable=z3.And(pmd_kind(*at) == LEAF, pmd_writable(*at)), frame=FRAME.element(0),
        block=_if_kind(pmd_kind(*at) == LEAF, pmd_block(*at), BLOCK), pt=_if_kind(pmd_kind(*at) == TABLE, pmd_pt(*at), PT),
    )  # fmt: skip
    lower_entry = record(
        SPTE, kind=pte_kind(*below), writable=z3.And(pte_kind(*below) == LEAF, pte_writable(*below)),
        frame=_if_kind(pte_kind(*below) == LEAF, pte_frame(*below), FRAME), block=BLOCK.element(0), pt=PT.element(0),
    )  # fmt: skip
    return choose(lower, lower_entry, upper_entry)


def _if_kind(condition: z3.BoolRef, value: z3.ExprRef, sort: Sort) -> z3.ExprRef:
    return z3.If(condition, value, sort.element(0))


def write(t: z3.ExprRef, pointer: Value, new: Value, spaces: Spaces = SHARED) -> tuple[Update, ...]:
    """Store `new` where `pointer` points, and move the ghosts along."""
    lower = pointer["lower"]
    upper = z3.Not(lower)

    def store(var: StateVar, here: bool, value: z3.ExprRef) -> Update:
        xs = var.variables()
        at = (pointer["pt"], pointer["slot"]) if here else (pointer["root"], pointer["region"])
        return set_where(var, xs, z3.And(lower if here else upper, xs[0] == at[0], xs[1] == at[1]), value)

    stores = (
        store(pmd_kind, False, new["kind"]),
        store(pmd_writable, False, new["writable"]),
        store(pmd_block, False, new["block"]),
        store(pmd_pt, False, new["pt"]),
        store(pte_kind, True, new["kind"]),
        store(pte_writable, True, new["writable"]),
        store(pte_frame, True, new["frame"]),
        # sp->gfn and sp->parent are set before the page is published; here at the same instant.
        set_where(pt_root, pt_root.variables(), z3.And(upper, new["kind"] == TABLE, pt_root.variables()[0] == new["pt"]), pointer["root"]),
        set_where(
            pt_region, pt_region.variables(), z3.And(upper, new["kind"] == TABLE, pt_region.variables()[0] == new["pt"]), pointer["region"]
        ),
        set_where(
            pt_state, pt_state.variables(), z3.And(upper, new["kind"] == TABLE, pt_state.variables()[0] == new["pt"]), tables.PT_LINKED
        ),
    )
    return (*stores, *_ghost_updates(t, pointer, new, stores, spaces))


def _ghost_updates(t: z3.ExprRef, pointer: Value, new: Value, stores: Sequence[Update], spaces: Spaces) -> tuple[Update, ...]:
    old = read(pointer)
    table = z3.If(pointer["lower"], pt_root(pointer["pt"]), pointer["root"])
    region = z3.If(pointer["lower"], pt_region(pointer["pt"]), pointer["region"])

    def covers(gfn: z3.ExprRef) -> z3.BoolRef:
        return z3.And(region_of(gfn) == region, z3.Implies(pointer["lower"], slot_of(gfn) == pointer["slot"]))

    def after(term: z3.ExprRef) -> z3.ExprRef:
        return substitute_updates(term, stores)

    x = g
    frame_before = tables.walk_frame(table, x)
    # The old translation is gone or another one took its place: whoever did it owes a flush. An invalid root owes none: a vCPU
    # that loads another root flushes then (elision E2), and an exported root is never invalid.
    lost = z3.And(covers(x), tables.walks(table, x), z3.Not(after(tables.same_walk(table, x, frame_before))), z3.Not(root_invalid(table)))
    # A page of leaves that all stay the same may be replaced without a flush only where no walker still holds the page itself.
    unlinked = z3.And(
        z3.Not(pointer["lower"]), old["kind"] == TABLE, z3.Or(new["kind"] != TABLE, new["pt"] != old["pt"]), z3.Not(root_invalid(table))
    )
    installed = z3.And(new["kind"] == LEAF, old["kind"] != LEAF, old["kind"] != TABLE)
    # The pfn that counts is the faulting gfn's. That a huge mapping also covers neighbours is the host's word, read under mmu_lock; when
    # the host splits its huge page it invalidates the whole region.
    gfn = ghosts.resolved(t)
    stale = z3.And(covers(gfn), spaces.late(t, table, gfn))
    promised = ghosts.promised.variables()
    seen = spaces.walked(("cpu", "iommu"), promised[0])
    kept = z3.Or(ghosts.promised(*promised), both(after(tables.walks(*promised)), seen))
    split = z3.And(z3.Not(pointer["lower"]), old["kind"] == LEAF, new["kind"] == TABLE)
    recovered = z3.And(z3.Not(pointer["lower"]), old["kind"] == TABLE, new["kind"] == LEAF)
    was_huge = z3.And(z3.Not(pointer["lower"]), old["kind"] == LEAF)

    def large(whom: z3.ExprRef) -> z3.BoolRef:
        """Whether an IOMMU may hold the translation as a part of a 2 MiB one: also from before a split, which nobody flushes."""
        return z3.Or(was_huge, iommu.iotlb_huge(whom, region))

    def owe(var: StateVar, condition: Callable[..., z3.BoolRef]) -> Update:
        thread, *at = var.variables()
        return set_where(var, (thread, *at), z3.And(thread == t, condition(*at)), TRUE)

    def cpus(holds: z3.BoolRef) -> z3.BoolRef:
        return both(holds, spaces.walked(("cpu",), table))

    def io(holds: z3.BoolRef) -> z3.BoolRef:
        return both(holds, spaces.walked(("iommu",), table))

    present = z3.Or(new["kind"] == LEAF, new["kind"] == TABLE)
    was_present = z3.Or(old["kind"] == LEAF, old["kind"] == TABLE)
    return (
        owe(ghosts.owes_cpu, lambda gfn: cpus(_at(lost, x, gfn))),
        owe(ghosts.owes_io, lambda whom, gfn: io(z3.And(iommu.active(whom), z3.Not(was_huge), _at(lost, x, gfn)))),
        owe(ghosts.owes_io_huge, lambda whom, there: io(z3.And(iommu.active(whom), there == region, large(whom), z3.Exists([x], lost)))),
        owe(ghosts.owes_dev, lambda whom, gfn: io(z3.And(iommu.attached(whom), _at(lost, x, gfn)))),
        owe(ghosts.owes_cpu_pt, lambda: cpus(unlinked)),
        owe(ghosts.owes_io_pt, lambda whom, there: io(z3.And(unlinked, iommu.active(whom), there == region))),
        Update(ghosts.promised, promised, z3.And(kept, z3.Not(host.being_unmapped(promised[1])))),
        _sticky(ghosts.stale_install, z3.And(installed, stale)),
        _sticky(ghosts.dead_install, z3.And(present, z3.Not(was_present), root_invalid(table))),
        _sticky(ghosts.zapped, z3.And(was_present, z3.Not(present))),
        _sticky(ghosts.split_done, split),
        _sticky(ghosts.recovered, recovered),
        _sticky(ghosts.pt_unlinked, z3.And(z3.Not(pointer["lower"]), old["kind"] == TABLE, new["kind"] != TABLE)),
    )


def _at(term: z3.BoolRef, variable: z3.ExprRef, value: z3.ExprRef) -> z3.BoolRef:
    return z3.substitute(term, (variable, value))


def _sticky(var: StateVar, condition: z3.BoolRef) -> Update:
    return Update(var, (), z3.Or(var(), condition))


def _read(t: z3.ExprRef, pointer: Value) -> Effect:
    return Effect(value=read(pointer), needs=uses(pointer))


def writing(spaces: Spaces) -> tuple[Intrinsic, ...]:
    """The calls that store an entry, where roots lie in these spaces."""

    def write_spte(t: z3.ExprRef, pointer: Value, new: Value) -> Effect:
        return Effect(updates=write(t, pointer, new, spaces), needs=stores(pointer, new))

    def xchg(t: z3.ExprRef, pointer: Value, new: Value) -> Effect:
        return Effect(value=read(pointer), updates=write(t, pointer, new, spaces), needs=stores(pointer, new))

    def cmpxchg(t: z3.ExprRef, pointer: Value, old: Value, new: Value) -> tuple[Effect, ...]:
        """try_cmpxchg64(): on failure the old value is refreshed and nothing else happens."""
        current = read(pointer)
        assert SPTE.equal is not None
        same = SPTE.equal(current, old)
        return (
            Effect(
                value=boolean(TRUE), guard=same, updates=write(t, pointer, new, spaces), refs=(None,), needs=stores(pointer, new)
            ),
            Effect(value=boolean(FALSE), guard=z3.Not(same), refs=(current,), needs=uses(pointer)),
        )  # fmt: skip

    def call(name: str, params: tuple[CType, ...], result: CType, meaning: Meaning, doc: str) -> Intrinsic:
        return Intrinsic(name, params, result, meaning, reads=("spte",), writes=("spte", "pool"), doc=doc)

    return (
        call("kvm_tdp_mmu_write_spte", (PTEP, SPTE), VOID, write_spte, "xchg() or WRITE_ONCE()"),
        call("kvm_tdp_mmu_write_spte_atomic", (PTEP, SPTE), SPTE, xchg, "xchg(); tdp_iter.h"),
        call("try_cmpxchg64", (PTEP, Ref(SPTE), SPTE), BOOLEAN, cmpxchg, "compare and exchange an entry"),
    )


def allocate(t: z3.ExprRef) -> tuple[Effect, ...]:
    pt = Param("pt", PT)
    a, xs = pt.const, pte_kind.variables()
    got = Effect(
        value=table_page(a),
        guard=pt_state(a) == tables.PT_FREE,
        choices=(pt,),
        updates=(set_at(pt_state, (a,), tables.PT_PRIVATE), set_where(pte_kind, xs, xs[0] == a, NONE)),
        label="allocates table page {pt}",
        needs=_needs("a free table page is allocated to which an entry still points", _unreached(a), relies=True),
    )
    return (got, Effect(value=Value(PAGE, dict(PAGE.literals[0])), label="no memory"))


def _free_private(t: z3.ExprRef, page: Value) -> Effect:
    return Effect(
        updates=(
            set_where(pt_state, pt_state.variables(), z3.And(z3.Not(page["null"]), pt_state.variables()[0] == page["pt"]), tables.PT_FREE),
        ),
        needs=_needs("a table page is freed that is free", z3.Or(page["null"], pt_state(page["pt"]) != tables.PT_FREE)),
    )


def _fill_split(t: z3.ExprRef, page: Value, huge: Value) -> Effect:
    """make_huge_page_split_spte() for every slot of a page that nobody can reach yet."""
    xs = pte_kind.variables()
    here = xs[0] == page["pt"]
    return Effect(
        updates=(
            set_where(pte_kind, xs, here, LEAF),
            set_where(pte_writable, xs, here, huge["writable"]),
            set_where(pte_frame, xs, here, part(huge["block"], xs[1])),
        ),
        needs=fills(page["pt"]),
    )


def mine(t: z3.ExprRef, page: Value, *_: Value) -> z3.BoolRef:
    """Where freeing or filling a page commutes: it is its allocator's own, or there is none."""
    return z3.Or(page["null"], private(page["pt"])) if "null" in page.parts else private(page["pt"])


def _unlink(t: z3.ExprRef, page: Value) -> Effect:
    xs = pt_state.variables()
    once = Check("list_del of a page that is linked", pt_state(page["pt"]) == tables.PT_LINKED)
    unlinked = z3.And(once.holds, _unreached(page["pt"]))
    needs = _needs("a table page is unlinked that is not linked, or to which an entry still points", unlinked, relies=True)
    return Effect(updates=(set_where(pt_state, xs, xs[0] == page["pt"], tables.PT_UNLINKED),), checks=(once,), needs=needs)


def _freeze_children(t: z3.ExprRef, page: Value) -> Effect:
    """handle_removed_pt(): every child entry becomes REMOVED_SPTE, in one step.

    The kernel does it entry by entry; the page is unlinked by then, each competing cmpxchg concerns one entry, and so finds itself
    before or after this step just as it would before or after that entry's turn.
    """
    xs = pte_kind.variables()
    needs = _needs("the entries of a table page are frozen that is free, or its allocator's own", in_use(page["pt"]))
    return Effect(
        updates=(set_where(pte_kind, xs, xs[0] == page["pt"], FROZEN),), label="freezes the entries of the unlinked table", needs=needs
    )


def _call_rcu(t: z3.ExprRef, page: Value) -> Effect:
    xs, ys = pt_state.variables(), tables.rcu_waits.variables()
    return Effect(
        updates=(
            set_where(pt_state, xs, xs[0] == page["pt"], tables.PT_RCU),
            set_where(tables.rcu_waits, ys, ys[0] == page["pt"], tables.rcu_reader(ys[1])),
        ),
        needs=_needs("a table page is handed to call_rcu() that is not unlinked", pt_state(page["pt"]) == tables.PT_UNLINKED),
    )


def _huge_from_child(t: z3.ExprRef, child: Value, gfn: Value) -> tuple[Effect, ...]:
    """make_huge_spte(): the huge page of which the child maps a part; if there is none, the kernel would compute some address."""
    block = Param("block", BLOCK)
    fits = part(block.const, slot_of(gfn.term)) == child["frame"]
    other = BLOCK.const("other_block")
    made = record(SPTE, kind=LEAF, writable=child["writable"], frame=FRAME.element(0), block=block.const, pt=PT.element(0))
    none_fits = z3.Not(z3.Exists([other], part(other, slot_of(gfn.term)) == child["frame"]))
    return (Effect(value=made, choices=(block,), guard=z3.Or(fits, none_fits)),)


def _root_sptep(t: z3.ExprRef, page: Value, gfn: Value) -> Value:
    return record(PTEP, lower=FALSE, root=page["root"], region=region_of(gfn.term), pt=PT.element(0), slot=SLOT.element(0))


def _pt_sptep(t: z3.ExprRef, spte: Value, gfn: Value) -> Value:
    return record(PTEP, lower=TRUE, root=ROOT.element(0), region=REGION.element(0), pt=spte["pt"], slot=slot_of(gfn.term))


INTRINSICS = (
    Intrinsic("kvm_tdp_mmu_read_spte", (PTEP,), SPTE, _read, reads=("spte",), doc="READ_ONCE() of an entry; tdp_iter.h"),
    *writing(SHARED),
    Intrinsic(
        "tdp_mmu_alloc_sp",
        (),
        PAGE,
        allocate,
        "right",
        writes=("pool",),
        doc="from the vCPU's cache: any free page; NULL where the geometry has too few",
    ),
    Intrinsic("tdp_mmu_alloc_sp_for_split", (), PAGE, allocate, "right", writes=("pool",), doc="may fail"),
    Intrinsic("tdp_mmu_free_sp", (PAGE,), VOID, _free_private, "left", writes=("pool",), doc="of a page that was never linked", when=mine),
    Intrinsic(
        "tdp_mmu_init_split_sp",
        (PAGE, SPTE),
        VOID,
        _fill_split,
        "right",
        writes=("spte",),
        doc="fills a private page from a huge SPTE",
        when=lambda t, page, huge: private(page["pt"]),
    ),
    Intrinsic("tdp_mmu_unlink_sp", (PAGE,), VOID, _unlink, "left", writes=("pool",), doc="takes the page off the lists"),
    Intrinsic("tdp_mmu_freeze_children", (PAGE,), VOID, _freeze_children, writes=("spte",), doc="the loop of handle_removed_pt()"),
    Intrinsic("call_rcu_free_sp", (PAGE,), VOID, _call_rcu, writes=("pool",), doc="call_rcu(&sp->rcu_head, tdp_mmu_free_sp_rcu_callback)"),
    Intrinsic("make_huge_spte", (SPTE, GFN_T), SPTE, _huge_from_child, "local", reads=("const",), doc="spte.c, 6.13"),
    Intrinsic("tdp_root_sptep", (PAGE, GFN_T), PTEP, _root_sptep, "local", doc="the level-2 entry of a gfn"),
    Intrinsic(
        "tdp_pt_sptep",
        (SPTE, GFN_T),
        PTEP,
        _pt_sptep,
        "local",
        doc="the level-1 entry of a gfn in the table that a non-leaf SPTE points to",
    ),
)
