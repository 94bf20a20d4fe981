"""Flushes: requests to all vCPUs, and invalidations submitted to the IOMMUs and waited for."""

from __future__ import annotations

import z3

from ...core.system import Update, set_where
from ...kernelc.lowering.library import BOOLEAN, VOID, Effect, Intrinsic, Value, boolean
from ..machine import cpu, devices, ghosts, iommu
from ..machine.sorts import between, g, i, region_of, v
from .types import GFN_T, KVM, REQUEST_T, REQUESTS

TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)


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
    xs, gs, hs = iommu.inv_submitted.variables(), iommu.inv_gfn.variables(), iommu.inv_leaf_only.variables()
    covered = TRUE if start is None or last is None else between(gs[1], start, last)
    return Effect(
        updates=(
            set_where(iommu.inv_submitted, xs, xs[0] == t, iommu.active(xs[1])),
            set_where(iommu.inv_gfn, gs, gs[0] == t, covered),
            set_where(iommu.inv_leaf_only, hs, hs[0] == t, leaf_only),
        )
    )


def _wait(t: z3.ExprRef) -> Effect:
    """The wait descriptor: everything that this thread submitted has completed."""
    mine, pts, gs = ghosts.owes_io.variables(), ghosts.owes_io_pt.variables(), iommu.inv_gfn.variables()
    hint, huge = iommu.inv_leaf_only.variables(), ghosts.owes_io_huge.variables()
    overlaps = z3.Exists([g], z3.And(region_of(g) == huge[1], iommu.inv_gfn(t, g)))
    return Effect(
        guard=z3.ForAll([i], z3.Not(iommu.inv_submitted(t, i))),
        updates=(
            set_where(ghosts.owes_io, mine, z3.And(mine[0] == t, iommu.inv_gfn(t, mine[1])), FALSE),
            set_where(ghosts.owes_io_huge, huge, z3.And(huge[0] == t, overlaps), FALSE),
            set_where(ghosts.owes_io_pt, pts, z3.And(pts[0] == t, z3.Not(iommu.inv_leaf_only(t))), FALSE),
            set_where(iommu.inv_gfn, gs, gs[0] == t, FALSE),
            set_where(iommu.inv_leaf_only, hint, hint[0] == t, FALSE),
        ),
    )


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
