"""The CPU's side: one TLB per vCPU, entered and left, with flush requests that are deferred to the next entry.

kvm_make_all_cpus_request(KVM_REQ_TLB_FLUSH) sets a request and kicks every vCPU that is in the guest; INVEPT runs at the next entry.
A vCPU outside the guest cannot use an old entry before. Source: virt/kvm/kvm_main.c and vmx_flush_tlb_all(), Linux 6.1; SDM vol. 3C, 29.4.
"""

from __future__ import annotations

import z3

from ...core.sorts import StateVar
from ...core.system import Action, Param, Update, bool_var, set_at, set_where
from ...kernelc.lowering.cfg import THREADS
from .sorts import FRAME, GFN, ROOT, VCPU, v
from .tables import root_invalid, root_ref_export, root_ref_mmu, walk_frame, walks

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


def alive(root: z3.ExprRef) -> z3.BoolRef:
    """Whether somebody holds a reference to `root`: the TDP MMU itself, an export, or a vCPU that has loaded it.

    Source: tdp_mmu_root_count, kvm_tdp_mmu_put_root(), Linux 6.1. A counter is modelled as the set of its holders.
    """
    return z3.Or(root_ref_mmu(root), root_ref_export(root), z3.Exists([v], vcpu_root(v) == root))


def initial(guest: bool) -> list[Update]:
    """Every vCPU has loaded root 0 and its TLB is empty."""
    clear = (handles_fault, srcu_waits, flush_pending, reload_pending, tlb_valid)
    return [
        Update(vcpu_root, (v,), ROOT.element(0)),
        Update(in_guest, (v,), z3.BoolVal(guest)),
        *(Update(var, var.variables(), z3.BoolVal(False)) for var in clear),
        Update(tlb_frame, tlb_frame.variables(), FRAME.element(0)),
    ]


def actions() -> tuple[Action, ...]:
    """Entry (which flushes and reloads first), exit, and TLB fills while in the guest."""
    vcpu, gfn, new = Param("vcpu", VCPU), Param("gfn", GFN), Param("root", ROOT)
    a, b, c = vcpu.const, gfn.const, new.const
    mine = tlb_valid.variables()
    return (
        Action(
            "vcpu_enter",
            "vcpu",
            (vcpu,),
            z3.And(z3.Not(in_guest(a)), z3.Not(handles_fault(a)), z3.Not(reload_pending(a)), z3.Not(root_invalid(vcpu_root(a)))),
            (
                set_where(tlb_valid, mine, z3.And(mine[0] == a, flush_pending(a)), z3.BoolVal(False)),
                set_at(flush_pending, (a,), z3.BoolVal(False)),
                set_at(in_guest, (a,), z3.BoolVal(True)),
            ),
            "VM entry (pending flush first)",
        ),
        Action("vcpu_exit", "vcpu", (vcpu,), in_guest(a), (set_at(in_guest, (a,), z3.BoolVal(False)),), "VM exit"),
        Action(
            "vcpu_load_root",
            "vcpu",
            (vcpu, new),
            z3.And(z3.Not(in_guest(a)), z3.Not(handles_fault(a)), reload_pending(a), z3.Not(root_invalid(c)), alive(c)),
            (
                set_at(vcpu_root, (a,), c),
                set_at(reload_pending, (a,), z3.BoolVal(False)),
                set_where(tlb_valid, mine, mine[0] == a, z3.BoolVal(False)),
            ),
            "loads root {root}, flushes its TLB",
        ),
        Action(
            "tlb_fill",
            "vcpu",
            (vcpu, gfn),
            z3.And(in_guest(a), walks(vcpu_root(a), b)),
            (set_at(tlb_valid, (a, b), z3.BoolVal(True)), set_at(tlb_frame, (a, b), walk_frame(vcpu_root(a), b))),
            "TLB: gfn {gfn}",
        ),
    )
