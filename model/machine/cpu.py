"""The CPU's side: one TLB per vCPU, entered and left, with flush requests that are deferred to the next entry.

kvm_make_all_cpus_request(KVM_REQ_TLB_FLUSH) sets a request and kicks every vCPU that is in the guest; INVEPT runs at the next entry.
A vCPU outside the guest cannot use an old entry before. Source: virt/kvm/kvm_main.c and vmx_flush_tlb_all(), Linux 6.1; SDM vol. 3C, 29.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import z3

from ...core.sorts import StateVar
from ...core.system import Action, Param, Update, bool_var, reset_where, set_at
from ...kernelc.lowering.cfg import THREADS
from ..view.naming import frame_name, gfns
from ..view.roles import CACHE_BOX, Actor, Assumption, Cache, Link, Mark, Number, Telling, Thing
from ..view.state_view import Changed, View
from .host import translated
from .sorts import FRAME, GFN, ROOT, VCPU, root_name, v
from .spaces import both
from .tables import root_invalid, root_ref_export, root_ref_mmu, walk_frame, walks

VCPU_ENTER, VCPU_EXIT, VCPU_LOAD_ROOT, TLB_FILL = "vcpu_enter", "vcpu_exit", "vcpu_load_root", "tlb_fill"
"""What a vCPU does."""

vcpu_root = StateVar("vcpu_root", (VCPU,), ROOT, "the root that the vCPU has loaded")
in_guest = bool_var("in_guest", VCPU, doc="the vCPU runs guest code")
handles_fault = bool_var(
    "handles_fault", VCPU, doc="the vCPU has left the guest for a fault and is still handling it, as a reader of kvm->srcu"
)
srcu_waits = bool_var("srcu_waits", THREADS, VCPU, doc="synchronize_srcu(): this thread's grace period still waits for that vCPU")
flush_pending = bool_var("flush_pending", VCPU, doc="KVM_REQ_TLB_FLUSH is set")
reload_pending = bool_var("reload_pending", VCPU, doc="KVM_REQ_MMU_FREE_OBSOLETE_ROOTS is set")
tlb_valid = bool_var("tlb_valid", VCPU, GFN, doc="the TLB holds a translation of the gfn, 4 KiB at a time")
tlb_frame = StateVar("tlb_frame", (VCPU, GFN), FRAME, "its frame")

STATE = (vcpu_root, in_guest, handles_fault, srcu_waits, flush_pending, reload_pending, tlb_valid, tlb_frame)
_TLB = (tlb_valid, tlb_frame)
"""What is cached, and what it is: forgotten together."""


def alive(root: z3.ExprRef) -> z3.BoolRef:
    """Whether somebody holds a reference to `root`: the TDP MMU itself, an export, or a vCPU that has loaded it.

    Source: tdp_mmu_root_count, kvm_tdp_mmu_put_root(), Linux 6.1. A counter is modelled as the set of its holders.
    """
    return z3.Or(root_ref_mmu(root), root_ref_export(root), z3.Exists([v], vcpu_root(v) == root))


def initial(guest: bool, loaded: int = 0) -> list[Update]:
    """Every vCPU has loaded the root of that number and its TLB is empty."""
    clear = (handles_fault, srcu_waits, flush_pending, reload_pending, tlb_valid)
    return [
        Update(vcpu_root, (v,), ROOT.element(loaded)),
        Update(in_guest, (v,), z3.BoolVal(guest)),
        *(Update(var, var.variables(), z3.BoolVal(False)) for var in clear),
        Update(tlb_frame, tlb_frame.variables(), FRAME.element(0)),
    ]


def actions(may_load: Callable[[z3.ExprRef], z3.BoolRef] = lambda root: z3.BoolVal(True)) -> tuple[Action, ...]:
    """Entry (which flushes and reloads first), exit, and TLB fills while in the guest.

    Args:
        may_load: whether a root is one that vCPUs walk.
    """
    vcpu, gfn, new = Param("vcpu", VCPU), Param("gfn", GFN), Param("root", ROOT)
    a, b, c = vcpu.const, gfn.const, new.const
    return (
        Action(
            VCPU_ENTER,
            "vcpu",
            (vcpu,),
            # Nobody looks at the root: vcpu_enter_guest() frees obsolete roots when it is asked to, and kvm_mmu_reload() loads one where
            # there is none (x86.c and mmu.h, Linux 6.1). What is asked after that check makes the vCPU leave again.
            z3.And(z3.Not(in_guest(a)), z3.Not(handles_fault(a)), z3.Not(reload_pending(a))),
            (
                *reset_where(_TLB, lambda vcpu, gfn: z3.And(vcpu == a, flush_pending(a))),
                set_at(flush_pending, (a,), z3.BoolVal(False)),
                set_at(in_guest, (a,), z3.BoolVal(True)),
            ),
            "VM entry (pending flush first)",
        ),
        Action(VCPU_EXIT, "vcpu", (vcpu,), in_guest(a), (set_at(in_guest, (a,), z3.BoolVal(False)),), "VM exit"),
        Action(
            VCPU_LOAD_ROOT,
            "vcpu",
            (vcpu, new),
            both(z3.And(z3.Not(in_guest(a)), z3.Not(handles_fault(a)), reload_pending(a), z3.Not(root_invalid(c)), alive(c)), may_load(c)),
            (
                set_at(vcpu_root, (a,), c),
                set_at(reload_pending, (a,), z3.BoolVal(False)),
                *reset_where(_TLB, lambda vcpu, gfn: vcpu == a),
            ),
            "loads root {root}, flushes its TLB",
        ),
        Action(
            TLB_FILL,
            "vcpu",
            (vcpu, gfn),
            z3.And(in_guest(a), walks(vcpu_root(a), b)),
            (set_at(tlb_valid, (a, b), z3.BoolVal(True)), set_at(tlb_frame, (a, b), walk_frame(vcpu_root(a), b))),
            "TLB: gfn {gfn}",
        ),
    )


# How it is told


def is_alive(view: View, number: int) -> bool:
    """Whether somebody holds a reference to a root in a state."""
    loaded = any(view.number(vcpu_root, n) == number for n in view.each(VCPU))
    return loaded or view.is_set(root_ref_mmu, number) or view.is_set(root_ref_export, number)


def _words(before: View, after: View, changed: Changed) -> Iterator[str]:
    if any(after.is_set(flush_pending, *at) for at in changed.at(flush_pending)):
        yield "KVM_REQ_TLB_FLUSH to all vCPUs"
    if any(after.is_set(reload_pending, *at) for at in changed.at(reload_pending)):
        yield "KVM_REQ_MMU_FREE_OBSOLETE_ROOTS"
    for at in changed.at(vcpu_root):
        yield f"loads {root_name(after, after.number(vcpu_root, *at))}"
    for at in changed.at(in_guest):
        if after.is_set(in_guest, *at):
            yield "VM entry" + (" (flushes its TLB first)" if before.is_set(flush_pending, *at) else "")
        elif not changed.at(flush_pending) and not changed.at(reload_pending):
            yield "VM exit"
    yield from TLB.words(before, after, changed)


TLB = Cache(
    name="TLB",
    sorts=(VCPU, GFN),
    key=lambda at: f"tlb {at[0]}.{at[1]}",
    group="vCPUs",
    owner="vcpu",
    valid=tlb_valid,
    value=tlb_frame,
    tag=lambda n: gfns([n]),
    show=lambda view, n: frame_name(n),
    maps=lambda view, at: (translated(view, at[1], view.number(tlb_frame, *at)),),
    drops=False,
)
TOLD = Telling(
    things=(
        Thing(
            "vcpu",
            (VCPU,),
            CACHE_BOX,
            "vCPUs",
            "#ede7f6",
            marks=(
                Mark(in_guest, table="in guest", note="in guest"),
                Mark(flush_pending, table="KVM_REQ_TLB_FLUSH", note="flush pending"),
                Mark(reload_pending, table="KVM_REQ_MMU_FREE_OBSOLETE_ROOTS", note="reload pending"),
            ),
            numbers=(Number(vcpu_root, root_name),),
            present=lambda view, at: any(view.is_set(tlb_valid, *at, n) for n in view.each(GFN)),
            links=lambda view, at: [Link(f"vcpu {at[0]}", root_name(view, view.number(vcpu_root, *at)), "points-to")],
            row=2,
        ),
    ),
    caches=(TLB,),
    effects=_words,
    assumed=(
        Assumption("a vCPU that runs guest code may cache any translation of its root", (TLB_FILL,)),
        Assumption("a vCPU enters and leaves the guest at any time, and flushes at entry", (VCPU_ENTER, VCPU_EXIT)),
        Assumption("a vCPU loads another root when it is told to, at any time", (VCPU_LOAD_ROOT,)),
    ),
    actors=(Actor("vcpu", "#ede7f6", "vCPUs running guest code and their TLBs"),),
    order=5,
    rank=3,
)
