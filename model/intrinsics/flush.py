"""Flushes: requests to all vCPUs, and invalidations submitted to the IOMMUs and waited for."""

from __future__ import annotations

import z3

from ...core.sorts import StateVar
from ...core.system import Param, Update, set_where
from ...kernelc.lowering.library import BOOLEAN, VOID, Effect, Intrinsic, Value, boolean
from ..machine import cpu, device_tlb, devices, ghosts, iommu
from ..machine.sorts import DESC, between, d, i, n, v
from .types import GFN_T, KVM, REQUEST_T, REQUESTS

TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)
SUBMITS = frozenset(("qi_submit_iotlb", "qi_submit_iotlb_domain", "qi_submit_dev_iotlb", "qi_submit_dev_iotlb_domain"))
WAITS = frozenset(("qi_wait",))
"""What puts a descriptor into the queues, and what is not over before all of them are done."""


def _all_cpus_request(t: z3.ExprRef, kvm: Value, request: Value) -> Effect:
    """kvm_make_all_cpus_request(): sets the request and waits until every vCPU in the guest has acknowledged the kick."""
    flush = request.term == REQUESTS.element("KVM_REQ_TLB_FLUSH")
    mine, pts = ghosts.owes_cpu.variables(), ghosts.owes_cpu_pt.variables()
    return Effect(
        updates=(
            Update(cpu.flush_pending, (v,), z3.Or(cpu.flush_pending(v), flush)),
            # A vCPU whose root is invalid drops it before it enters again.
            Update(cpu.reload_pending, (v,), z3.Or(cpu.reload_pending(v), z3.Not(flush))),
            Update(cpu.in_guest, (v,), FALSE),
            set_where(ghosts.owes_cpu, mine, z3.And(mine[0] == t, flush), FALSE),
            set_where(ghosts.owes_cpu_pt, pts, z3.And(pts[0] == t, flush), FALSE),
        )
    )


def _submit(t: z3.ExprRef, start: z3.ExprRef | None, last: z3.ExprRef | None, leaf_only: z3.BoolRef) -> Effect:
    """One more descriptor in the queue of every IOMMU that walks the domain, beside those that this thread has there already.

    They complete in any order: what stands before a wait descriptor is ordered by nothing but its fence (VT-d specification, 6.5.2.8).
    """
    desc = Param("desc", DESC)

    def asked(var: StateVar, condition: z3.BoolRef) -> Update:
        xs = var.variables()
        covers = [] if len(xs) == 3 or start is None or last is None else [between(xs[3], start, last)]
        return set_where(var, xs, z3.And(xs[0] == t, xs[1] == desc.const, iommu.active(xs[2]), condition, *covers), TRUE)

    return Effect(
        choices=(desc,),
        guard=_free(t, desc.const),
        updates=(asked(iommu.inv_submitted, TRUE), asked(iommu.inv_gfn, TRUE), asked(iommu.inv_table, z3.Not(leaf_only))),
    )


def _free(t: z3.ExprRef, desc: z3.ExprRef) -> z3.BoolRef:
    """Whether a thread has a place in the queues for one more descriptor."""
    return z3.And(z3.ForAll([i], z3.Not(iommu.inv_submitted(t, desc, i))), z3.ForAll([d], z3.Not(device_tlb.dinv_submitted(t, desc, d))))


def _submit_dev(t: z3.ExprRef, start: z3.ExprRef | None = None, last: z3.ExprRef | None = None) -> Effect:
    """One more descriptor for every attached device in the queue of its IOMMU, as iommu_flush_dev_iotlb() loops over those with ATS.

    It completes as the others do, in any order: software must wait for the IOTLB invalidation first (VT-d specification, 6.5.2.5).
    """
    desc = Param("desc", DESC)

    def asked(var: StateVar) -> Update:
        xs = var.variables()
        covers = [] if len(xs) == 3 or start is None or last is None else [between(xs[3], start, last)]
        return set_where(var, xs, z3.And(xs[0] == t, xs[1] == desc.const, iommu.attached(xs[2]), *covers), TRUE)

    return Effect(choices=(desc,), guard=_free(t, desc.const), updates=(asked(device_tlb.dinv_submitted), asked(device_tlb.dinv_gfn)))


def _wait(t: z3.ExprRef) -> Effect:
    """The wait descriptor: everything that this thread submitted has completed."""
    complete = z3.ForAll([n, i], z3.Not(iommu.inv_submitted(t, n, i)))
    forgotten = z3.ForAll([n, d], z3.Not(device_tlb.dinv_submitted(t, n, d)))
    return Effect(guard=z3.And(complete, forgotten), label="what it submitted is complete", without="its IOTLB invalidation is complete")


INTRINSICS = (
    Intrinsic("kvm_make_all_cpus_request", (KVM, REQUEST_T), VOID, _all_cpus_request, doc="virt/kvm/kvm_main.c"),
    Intrinsic(
        "qi_submit_iotlb",
        (GFN_T, GFN_T, BOOLEAN),
        VOID,
        lambda t, start, last, hint: _submit(t, start.term, last.term, hint.term),
        doc="page-selective invalidations that cover the range (both ends included), to every IOMMU; the hint is IH",
    ),
    Intrinsic(
        "qi_submit_iotlb_domain", (), VOID, lambda t: _submit(t, None, None, FALSE), doc="a domain-selective invalidation, to every IOMMU"
    ),
    Intrinsic(
        "qi_submit_dev_iotlb",
        (GFN_T, GFN_T),
        VOID,
        lambda t, start, last: _submit_dev(t, start.term, last.term),
        doc="device-TLB invalidations that cover the range (both ends included), to every attached device; nothing without ATS",
    ),
    Intrinsic(
        "qi_submit_dev_iotlb_domain",
        (),
        VOID,
        _submit_dev,
        doc="device-TLB invalidations of everything, to every attached device; nothing without ATS",
    ),
    Intrinsic("qi_wait", (), VOID, _wait, "wait", doc="qi_submit_sync() spins on its wait descriptor"),
    Intrinsic(
        "kvm_tdp_fd_has_importer",
        (KVM,),
        BOOLEAN,
        lambda t, kvm: boolean(devices.importer()),
        reads=("importers",),
        doc="the importer list is not empty",
    ),
)
