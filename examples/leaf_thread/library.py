"""What the calls mean that the kernel C does not define."""

from __future__ import annotations

import z3

from tdpcheck import BOOL, Param, Update, set_at, set_where, truth
from tdpcheck.kernelc import BOOLEAN, VOID, Effect, Handle, Intrinsic, Library, Record, Ref, Scalar, Value, boolean, record

from .machine import Page, cached, done, gathered, locked, mapped, owed, used

GFN = Scalar("gfn_t", Page)
ITER = Record("struct tdp_iter", (("gfn", GFN),))
KVM, LOCK = Handle("struct kvm *"), Handle("rwlock_t *")

_q = Page.const("q")


def _leaf_start(t: z3.ExprRef, _: Value) -> Effect:
    thread, q = done.variables()
    return Effect(updates=(set_where(done, (thread, q), thread == t, truth(False)),))


def _leaf_next(t: z3.ExprRef, _: Value) -> tuple[Effect, Effect]:
    leaf = Param("leaf", Page)
    x = leaf.const
    another = Effect(
        value=boolean(truth(True)),
        guard=z3.And(mapped(x), z3.Not(done(t, x))),
        choices=(leaf,),
        updates=(set_at(done, (t, x), truth(True)),),
        refs=(record(ITER, gfn=x),),
    )
    return another, Effect(value=boolean(truth(False)), guard=z3.ForAll([_q], z3.Or(done(t, _q), z3.Not(mapped(_q)))))


def _clear_spte(t: z3.ExprRef, gfn: Value) -> Effect:
    x = gfn.term
    return Effect(updates=(set_at(mapped, (x,), truth(False)), set_at(gathered, (t, x), truth(True)), set_at(owed, (x,), truth(True))))


def _flush_iotlb(t: z3.ExprRef, _: Value) -> Effect:
    return Effect(updates=(Update(cached, cached.variables(), truth(False)), Update(owed, owed.variables(), truth(False))))


def _give_pages_back(t: z3.ExprRef, _: Value) -> Effect:
    (q,), (thread, other) = used.variables(), gathered.variables()
    return Effect(
        updates=(
            set_where(used, (q,), gathered(t, q), truth(False)),
            set_where(gathered, (thread, other), thread == t, truth(False)),
        )
    )


def _need_resched(t: z3.ExprRef) -> Effect:
    choice = Param("contended", BOOL)
    return Effect(value=boolean(choice.const), choices=(choice,))


def _take(t: z3.ExprRef, _: Value) -> Effect:
    return Effect(guard=z3.Not(locked()), updates=(Update(locked, (), truth(True)),))


def _release(t: z3.ExprRef, _: Value) -> Effect:
    return Effect(updates=(Update(locked, (), truth(False)),))


INTRINSICS = (
    Intrinsic("leaf_start", (Ref(ITER),), VOID, _leaf_start, "local", doc="begins a walk over the leaves"),
    Intrinsic("leaf_next", (Ref(ITER),), BOOLEAN, _leaf_next, reads=("spte",), doc="any leaf that the walk has not been at"),
    Intrinsic("need_resched", (), BOOLEAN, _need_resched, "local", doc="somebody else wants the lock or the processor"),
    Intrinsic("clear_spte", (GFN,), VOID, _clear_spte, writes=("spte",), doc="the leaf is no longer there for whoever walks"),
    Intrinsic("flush_iotlb", (KVM,), VOID, _flush_iotlb, writes=("iotlb",), doc="every device forgets everything, and has done so"),
    Intrinsic("give_pages_back", (KVM,), VOID, _give_pages_back, writes=("pages",), doc="what the thread unmapped becomes free"),
    Intrinsic("write_lock", (LOCK,), VOID, _take, "right", acquires=("mmu_lock:write",)),
    Intrinsic("write_unlock", (LOCK,), VOID, _release, "left", releases=("mmu_lock:write",)),
)

LIBRARY = Library(
    types={("bool", 0): BOOLEAN, ("gfn_t", 0): GFN, ("struct kvm", 1): KVM},
    handles={("struct kvm *", "mmu_lock"): LOCK},
    intrinsics={intrinsic.name: intrinsic for intrinsic in INTRINSICS},
)
