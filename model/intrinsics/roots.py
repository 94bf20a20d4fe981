"""Roots and devices: validity, export, references, attachment, and the registration of non-coherent DMA."""

from __future__ import annotations

import z3

from ...core.sorts import StateVar
from ...core.system import Update, set_at, set_where
from ...kernelc.lowering.library import BOOLEAN, VOID, Check, Effect, Intrinsic, Meaning, Need, Value, Waives, boolean
from ..machine import cpu, devices, ghosts, iommu, tables
from ..machine.sorts import ROOT, d
from .types import DEVICE_T, KVM, PAGE, VCPU_T, root_page

TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)


FAULT = "fault:own"
"""What a thread has between the beginning and the end of its vCPU's fault. Two threads have it for two vCPUs: it excludes nobody."""


def _vcpu_root(t: z3.ExprRef, vcpu: Value) -> Value:
    return root_page(cpu.vcpu_root(vcpu["vcpu"]))


def _exported_root(t: z3.ExprRef, kvm: Value) -> Value:
    """The root that the exported TDP fd names: the first."""
    return root_page(ROOT.element(0))


def _get(var: StateVar) -> Meaning:
    def meaning(t: z3.ExprRef, page: Value) -> Value:
        return boolean(var(page["root"]))

    return meaning


def _put(t: z3.ExprRef, page: Value) -> Effect:
    """The TDP MMU's own reference goes, once: of a root that was zapped before it is gone (tdp_mmu_scheduled_root_to_zap, Linux 6.4)."""
    at = page["root"]
    return Effect(
        updates=(set_at(tables.root_ref_mmu, (at,), FALSE),),
        checks=(Check("KVM_BUG_ON: the TDP MMU puts its reference to a root that is valid", tables.root_invalid(at)),),
    )


def _flag(var: StateVar, value: bool) -> Meaning:
    def meaning(t: z3.ExprRef, *_: Value) -> Effect:
        return Effect(updates=(Update(var, (), z3.BoolVal(value)),))

    return meaning


def _register(value: bool) -> Meaning:
    def meaning(t: z3.ExprRef, kvm: Value, device: Value) -> Effect:
        return Effect(updates=(set_at(devices.noncoherent_registered, (device.term,), z3.BoolVal(value)),))

    return meaning


def _attach(t: z3.ExprRef, device: Value) -> Effect:
    return Effect(updates=(set_at(iommu.attached, (device.term,), TRUE),), label="writes the PASID entry: DMA is translated")


def _fault_begin(t: z3.ExprRef, vcpu: Value) -> Effect:
    """The VM exit that brings the fault: until it is handled, this vCPU neither enters the guest nor loads another root."""
    return Effect(
        guard=z3.Not(cpu.handles_fault(vcpu["vcpu"])),
        updates=(set_at(cpu.handles_fault, (vcpu["vcpu"],), TRUE), set_at(cpu.in_guest, (vcpu["vcpu"],), FALSE)),
        needs=(Need("fault", "", TRUE, relies=True),),
    )


def _fault_end(t: z3.ExprRef, vcpu: Value) -> Effect:
    xs = cpu.srcu_waits.variables()
    return Effect(updates=(set_at(cpu.handles_fault, (vcpu["vcpu"],), FALSE), set_where(cpu.srcu_waits, xs, xs[1] == vcpu["vcpu"], FALSE)))


INTRINSICS = (
    Intrinsic("vcpu_fault_begin", (VCPU_T,), VOID, _fault_begin, "right", acquires=(FAULT,), doc="VM exit with an EPT violation"),
    Intrinsic(
        "vcpu_fault_end",
        (VCPU_T,),
        VOID,
        _fault_end,
        "left",
        releases=(FAULT,),
        doc="the fault is handled: the vCPU may enter the guest again",
    ),
    Intrinsic(
        "vcpu_mmu_root",
        (VCPU_T,),
        PAGE,
        _vcpu_root,
        "local",
        reads=("own",),
        doc="vcpu->arch.mmu->root: a vCPU that handles a fault keeps its root",
        when=lambda t, vcpu: cpu.handles_fault(vcpu["vcpu"]),
    ),
    Intrinsic("kvm_exported_root", (KVM,), PAGE, _exported_root, "local", doc="the exported TDP's root"),
    Intrinsic(
        "kvm_put_tdp_root",
        (PAGE,),
        VOID,
        _put,
        "none",
        writes=("roots",),
        doc="kvm_tdp_mmu_put_root() of the TDP MMU's own reference, which it holds of every root that is valid",
    ),
    Intrinsic(
        "kvm_arch_has_noncoherent_dma",
        (KVM,),
        BOOLEAN,
        lambda t, kvm: boolean(z3.Exists([d], devices.noncoherent_registered(d))),
        doc="atomic_read(&kvm->arch.noncoherent_dma_count)",
        reads=("noncoherent",),
    ),
    Intrinsic(
        "noncoherent_dma_count_inc",
        (KVM, DEVICE_T),
        VOID,
        _register(True),
        writes=("noncoherent",),
        doc="atomic_inc(&kvm->arch.noncoherent_dma_count)",
    ),
    Intrinsic(
        "noncoherent_dma_count_dec",
        (KVM, DEVICE_T),
        VOID,
        _register(False),
        writes=("noncoherent",),
        doc="atomic_dec(&kvm->arch.noncoherent_dma_count)",
    ),
    Intrinsic(
        "kvm_tdp_is_exported",
        (KVM,),
        BOOLEAN,
        lambda t, kvm: boolean(devices.tdp_exported()),
        reads=("exported",),
        doc="the exported TDP is on exported_tdp_list",
    ),
    Intrinsic(
        "kvm_tdp_set_exported",
        (KVM,),
        VOID,
        _flag(devices.tdp_exported, True),
        writes=("exported",),
        doc="the exported TDP is on exported_tdp_list",
    ),
    Intrinsic(
        "kvm_tdp_clear_exported",
        (KVM,),
        VOID,
        _flag(devices.tdp_exported, False),
        writes=("exported",),
        doc="it is taken off exported_tdp_list",
    ),
    Intrinsic("importer_list_add", (KVM,), VOID, _flag(devices.importer, True), writes=("importers",), doc="kvm_tdp_fd's importer list"),
    Intrinsic(
        "iommu_is_coherent",
        (DEVICE_T,),
        BOOLEAN,
        lambda t, device: boolean(devices.coherent(device.term)),
        "local",
        reads=("const",),
        doc="ECAP.SC and PGSNP: enforce_cache_coherency()",
    ),
    Intrinsic(
        "iommu_device_attached",
        (DEVICE_T,),
        BOOLEAN,
        lambda t, device: boolean(iommu.attached(device.term)),
        reads=("attached",),
        doc="the device's PASID entry is set",
    ),
    Intrinsic("pasid_entry_set", (DEVICE_T,), VOID, _attach, writes=("attached",), doc="intel_pasid_setup_second_level()"),
    Intrinsic(
        "note_refused",
        (),
        VOID,
        _flag(ghosts.refused, True),
        "local",
        writes=("own",),
        doc="ghost: a request was refused",
        waives=Waives("a request was refused", (ghosts.refused.name,)),
    ),
    Intrinsic(
        "note_fast_zap",
        (),
        VOID,
        _flag(ghosts.fast_zapped, True),
        "local",
        writes=("own",),
        doc="ghost: a fast zap ran",
        waives=Waives("a fast zap ran", (ghosts.fast_zapped.name,)),
    ),
)

FIELDS = {
    ("struct kvm_mmu_page *", "role.invalid"): Intrinsic(
        "role.invalid", (PAGE,), BOOLEAN, _get(tables.root_invalid), reads=("roots",), doc="union kvm_mmu_page_role"
    ),
    ("struct kvm_mmu_page *", "exported"): Intrinsic(
        "exported", (PAGE,), BOOLEAN, _get(tables.root_exported), reads=("roots",), doc="the RFC: the root is exported"
    ),
}


def _invalidate(t: z3.ExprRef, page: Value, value: Value) -> Effect:
    return Effect(updates=(set_at(tables.root_invalid, (page["root"],), value.term),))


def _export(t: z3.ExprRef, page: Value, value: Value) -> Effect:
    """Marks the root, and takes or puts the reference that goes with it."""
    at = (page["root"],)
    return Effect(updates=(set_at(tables.root_exported, at, value.term), set_at(tables.root_ref_export, at, value.term)))


STORES = {
    ("struct kvm_mmu_page *", "role.invalid"): Intrinsic(
        "role.invalid=", (PAGE, BOOLEAN), VOID, _invalidate, writes=("roots",), doc="union kvm_mmu_page_role"
    ),
    ("struct kvm_mmu_page *", "exported"): Intrinsic(
        "exported=", (PAGE, BOOLEAN), VOID, _export, writes=("roots",), doc="the RFC: the root is exported, and referenced for it"
    ),
}
