"""What KVM asks of the host's memory management, and what the host does around its MMU notifiers."""

from __future__ import annotations

from collections.abc import Sequence

import z3

from ...core.sorts import BOOL, StateVar
from ...core.system import Param, Update, set_at, set_where
from ...kernelc.lowering.library import BOOLEAN, VOID, Effect, Handle, Intrinsic, Meaning, Ref, Value, Waives, boolean, scalar
from ..machine import ghosts, host
from ..machine.sorts import FRAME, GFN, between, g, h, region_of, root, u
from ..machine.spaces import KVM as KVMS_OWN
from ..machine.spaces import Notifier
from .types import GFN_T, HUGE_PFN_T, KVM, LEVEL_T, LEVELS, PFN_T

TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)


def _snapshot(t: z3.ExprRef, kvm: Value) -> Effect:
    return Effect(updates=(set_at(host.seq_stale, (t,), FALSE),), label="reads mmu_invalidate_seq")


def resolving(notifiers: Sequence[Notifier]) -> Intrinsic:
    """hva_to_pfn(), where these notifiers say later whether what it found has been overtaken."""

    def resolve(t: z3.ExprRef, gfn: Value) -> tuple[Effect, ...]:
        """The frame that backs the gfn; the host finds one if there is none."""
        a, frame = gfn.term, Param("frame", FRAME)
        fresh = (*(set_at(each.pfn_stale, (t, a), FALSE) for each in notifiers), set_at(ghosts.resolved, (t,), a))
        return (
            Effect(value=scalar(PFN_T, host.host_frame(a)), guard=host.host_mapped(a), updates=fresh, label="resolves the pfn"),
            Effect(
                value=scalar(PFN_T, frame.const),
                guard=z3.And(z3.Not(host.host_mapped(a)), host.frame_free(frame.const)),
                choices=(frame,),
                updates=(
                    *fresh,
                    set_at(host.host_mapped, (a,), TRUE),
                    set_at(host.host_frame, (a,), frame.const),
                    set_at(host.frame_free, (frame.const,), FALSE),
                ),
                label="host gives frame {frame}",
            ),
        )

    return Intrinsic(
        "hva_to_pfn",
        (GFN_T,),
        PFN_T,
        resolve,
        reads=("host",),
        writes=("host",),
        doc="get_user_pages(); sleeps; takes the gfn, a gfn stands for its hva",
        blocks=True,
    )


def _retry(t: z3.ExprRef, kvm: Value, gfn: Value) -> Value:
    return boolean(z3.Or(host.in_window(gfn.term), host.seq_stale(t)))


def _begin(window: StateVar) -> Meaning:
    def meaning(t: z3.ExprRef, kvm: Value, start: Value, last: Value) -> Effect:
        xs = window.variables()
        return Effect(
            updates=(
                set_where(window, xs, z3.And(xs[0] == t, between(xs[1], start.term, last.term)), TRUE),
                set_where(host.invalidating, (g,), between(g, start.term, last.term), TRUE),
                Update(ghosts.promised, (root, g), z3.And(ghosts.promised(root, g), z3.Not(between(g, start.term, last.term)))),
            )
        )

    return meaning


def _end(var: StateVar) -> Meaning:
    def meaning(t: z3.ExprRef, kvm: Value) -> Effect:
        xs, ys = var.variables(), ghosts.pfn_stale.variables()
        still = z3.Exists([u], z3.Or([z3.And(w(u, g), z3.Or(u != t, z3.BoolVal(w is not var))) for w in (host.window, host.inner_window)]))
        return Effect(
            updates=(
                set_where(var, xs, xs[0] == t, FALSE),
                Update(host.invalidating, (g,), still),
                Update(host.seq_stale, host.seq_stale.variables(), TRUE),
                set_where(ghosts.pfn_stale, ys, var(t, ys[1]), TRUE),
            )
        )

    return meaning


def of_notifier(own: Notifier) -> tuple[Intrinsic, ...]:
    """What is asked of a notifier that a design declares, and what the host tells it: include/linux/mmu_notifier.h, Linux 6.1.

    One snapshot of its sequence is kept per thread. A window of it is one in which gfns are being unmapped on purpose.
    """
    (window,) = own.windows
    base = Handle(own.name)

    def begin(t: z3.ExprRef, _: Value) -> Effect:
        quiet = z3.ForAll([u, g], z3.Not(window(u, g)))
        return Effect(guard=quiet, updates=(set_at(own.seq_stale, (t,), FALSE),), label=f"reads the sequence of {own.name}")

    def set_seq(t: z3.ExprRef, _: Value, start: Value, last: Value) -> Effect:
        xs, stale = window.variables(), own.seq_stale.variables()
        opened = set_where(window, xs, z3.And(xs[0] == t, between(xs[1], start.term, last.term)), TRUE)
        return Effect(updates=(opened, Update(own.seq_stale, stale, TRUE), *_zap_begin(t, start, last).updates))

    def end(t: z3.ExprRef, _: Value) -> Effect:
        xs, ys = window.variables(), own.pfn_stale.variables()
        closed = set_where(window, xs, xs[0] == t, FALSE)
        return Effect(updates=(closed, set_where(own.pfn_stale, ys, window(t, ys[1]), TRUE), *_zap_end(t).updates))

    calls = (
        ("read_begin", (), VOID, begin, "mmu_interval_read_begin(): waits for an invalidation that is going on, then reads invalidate_seq"),
        ("read_retry", (), BOOLEAN, lambda t, _: boolean(own.seq_stale(t)), "mmu_interval_read_retry(): whether the sequence has moved on"),
        ("set_seq", (GFN_T, GFN_T), VOID, set_seq, "mmu_interval_set_seq(), of an invalidation of these gfns, which begins"),
        ("inv_end", (), VOID, end, "mn_itree_inv_end(): this thread's invalidation ends"),
    )
    return tuple(
        Intrinsic(f"{own.name}_{name}", (base, *more), result, meaning, doc=doc, waives=OPENS if name == "set_seq" else None)
        for name, more, result, meaning, doc in calls
    )


NOTIFIER_CALLS = {
    "mmu_interval_read_begin": "read_begin", "mmu_interval_read_retry": "read_retry", "mmu_interval_set_seq": "set_seq",
    "mn_itree_inv_end": "inv_end",
}  # fmt: skip
"""The calls by their names, each to what `of_notifier` calls it of one notifier."""


def _region_bounds(t: z3.ExprRef, gfn: Value, first: Value, last: Value) -> Effect:
    """The first and the last gfn of a region. Named, not computed: their order is all that is known of gfns."""
    low, high = Param("first", GFN), Param("last", GFN)
    ends = z3.ForAll([g], (region_of(g) == region_of(gfn.term)) == between(g, low.const, high.const))
    return Effect(choices=(low, high), guard=ends, refs=(scalar(GFN_T, low.const), scalar(GFN_T, high.const)))


def _same_region(t: z3.ExprRef, one: Value, other: Value) -> Value:
    return boolean(region_of(one.term) == region_of(other.term))


def _maps_whole(t: z3.ExprRef, start: Value, last: Value) -> Value:
    """Every huge page of the host of which the range covers a part is covered whole."""
    reaches_in = z3.And(between(g, start.term, last.term), host.host_huge(region_of(g)), region_of(h) == region_of(g))
    return boolean(z3.ForAll([g, h], z3.Implies(reaches_in, between(h, start.term, last.term))))


def _release(t: z3.ExprRef, start: Value, last: Value) -> Effect:
    covered = between(g, start.term, last.term)
    return Effect(updates=host.release(host.touches(covered), covered), label="host unmaps, frees the frames")


def _split_host(t: z3.ExprRef, gfn: Value) -> Effect:
    return Effect(updates=(set_at(host.host_huge, (region_of(gfn.term),), FALSE),), label="host splits its huge page")


def _level(t: z3.ExprRef, kvm: Value, gfn: Value) -> Value:
    return scalar(LEVEL_T, z3.If(host.host_huge(region_of(gfn.term)), LEVELS.element("PG_LEVEL_2M"), LEVELS.element("PG_LEVEL_4K")))


def _folio(t: z3.ExprRef, gfn: Value) -> Value:
    return scalar(HUGE_PFN_T, host.host_block(region_of(gfn.term)))


def _memslot_gone(t: z3.ExprRef, kvm: Value) -> Effect:
    return Effect(updates=(Update(host.memslot_invalid, (), TRUE),), label="marks the memslot invalid")


def _zap_begin(t: z3.ExprRef, start: Value, last: Value) -> Effect:
    xs = host.zap_window.variables()
    covered = between(g, start.term, last.term)
    return Effect(
        updates=(
            set_where(host.zap_window, xs, z3.And(xs[0] == t, between(xs[1], start.term, last.term)), TRUE),
            Update(ghosts.promised, (root, g), z3.And(ghosts.promised(root, g), z3.Not(covered))),
        )
    )


def _zap_end(t: z3.ExprRef) -> Effect:
    xs = host.zap_window.variables()
    return Effect(updates=(set_where(host.zap_window, xs, xs[0] == t, FALSE),))


OPENS = Waives("the host is unmapping these gfns, so nobody asks whether they are seen missing", (ghosts.promised.name,), real=True)
"""Of a notifier that is so; a flow that is none may say it, too."""

INTRINSICS = (
    Intrinsic(
        "mmu_invalidate_seq_read", (KVM,), VOID, _snapshot, reads=("seq",), doc="fault->mmu_seq = kvm->mmu_invalidate_seq; smp_rmb()"
    ),
    resolving((KVMS_OWN,)),
    Intrinsic(
        "mmu_invalidate_retry",
        (KVM, GFN_T),
        BOOLEAN,
        _retry,
        reads=("seq", "window"),
        doc="mmu_invalidate_retry_hva(), include/linux/kvm_host.h",
    ),
    Intrinsic(
        "mmu_invalidate_in_progress_add",
        (KVM, GFN_T, GFN_T),
        VOID,
        _begin(host.window),
        writes=("window",),
        doc="kvm_mmu_invalidate_begin()",
        waives=OPENS,
    ),
    Intrinsic("mmu_invalidate_in_progress_sub", (KVM,), VOID, _end(host.window), writes=("window", "seq"), doc="kvm_mmu_invalidate_end()"),
    Intrinsic(
        "mmu_invalidate_nested_add",
        (KVM, GFN_T, GFN_T),
        VOID,
        _begin(host.inner_window),
        writes=("window",),
        doc="the same, of a nested invalidation",
        waives=OPENS,
    ),
    Intrinsic(
        "mmu_invalidate_nested_sub",
        (KVM,),
        VOID,
        _end(host.inner_window),
        writes=("window", "seq"),
        doc="the same, of a nested invalidation",
    ),
    Intrinsic(
        "gfn_region_bounds",
        (GFN_T, Ref(GFN_T), Ref(GFN_T)),
        VOID,
        _region_bounds,
        "local",
        reads=("const",),
        doc="haddr & HPAGE_PMD_MASK and its end",
    ),
    Intrinsic(
        "gfn_same_region", (GFN_T, GFN_T), BOOLEAN, _same_region, "local", reads=("const",), doc="whether one level-2 entry covers both"
    ),
    Intrinsic(
        "host_maps_whole",
        (GFN_T, GFN_T),
        BOOLEAN,
        _maps_whole,
        "local",
        reads=("own",),
        doc="the range has no part of a host huge page without the rest; once true it stays so, as the host only splits",
        when=lambda t, start, last: _maps_whole(t, start, last).term,
    ),
    Intrinsic("host_unmap_and_free", (GFN_T, GFN_T), VOID, _release, writes=("host",), doc="the primary MMU's PTEs go, then the pages"),
    Intrinsic("host_split_huge_page", (GFN_T,), VOID, _split_host, writes=("host",), doc="__split_huge_pmd()"),
    Intrinsic("kvm_mmu_max_mapping_level", (KVM, GFN_T), LEVEL_T, _level, reads=("host",), doc="host_pfn_mapping_level(), mmu.c"),
    Intrinsic(
        "kvm_slot_dirty_track_enabled",
        (KVM,),
        BOOLEAN,
        lambda t, kvm: Effect(value=boolean(z3.Bool("dirty_log")), choices=(Param("dirty_log", BOOL),)),
        "local",
        reads=("own",),
        doc="dirty logging may be on or off at each fault; it forces 4 KiB mappings, kvm_mmu_hugepage_adjust(), mmu.c",
    ),
    Intrinsic(
        "kvm_memslot_is_invalid",
        (KVM,),
        BOOLEAN,
        lambda t, kvm: boolean(host.memslot_invalid()),
        reads=("memslots",),
        doc="fault->slot->flags & KVM_MEMSLOT_INVALID, kvm_faultin_pfn(), mmu.c",
    ),
    Intrinsic(
        "memslot_set_invalid",
        (KVM,),
        VOID,
        _memslot_gone,
        writes=("memslots",),
        doc="kvm_replace_memslot() and rcu_assign_pointer(kvm->memslots[as_id]), kvm_invalidate_memslot(), kvm_main.c",
    ),
    Intrinsic("gfn_to_folio", (GFN_T,), HUGE_PFN_T, _folio, reads=("host",), doc="the huge page behind a huge mapping: the aligned pfn"),
    Intrinsic(
        "zap_begin",
        (GFN_T, GFN_T),
        VOID,
        _zap_begin,
        "right",
        doc="ghost: these gfns are being unmapped on purpose",
        waives=Waives(
            "these gfns are being unmapped on purpose, so nobody asks whether they are seen missing",
            (ghosts.promised.name, host.zap_window.name),
        ),
    ),
    Intrinsic(
        "zap_end",
        (),
        VOID,
        _zap_end,
        "left",
        doc="ghost: they were",
        waives=Waives("up to here gfns are being unmapped on purpose", (host.zap_window.name,), "gfns are unmapped on purpose no longer"),
    ),
)
