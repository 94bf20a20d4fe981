"""Roots: valid, exported, imported; the devices that may walk them, and the vCPUs that have loaded them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import z3

from ...core.system import Lemma
from ...model.machine import cpu, devices, iommu, tables
from ...model.machine.sorts import d
from ...model.parametric import vcpu_of
from ...model.program_points import Edge, Location
from .setting import Setting
from .words import EXPORTED, TRUE, i, lemma, root, t, u


def exports(here: Setting) -> Iterator[Lemma]:
    """Which roots are held and exported."""
    yield lemma(
        "valid_is_held",
        [root],
        z3.Implies(z3.Not(tables.root_invalid(root)), tables.root_ref_mmu(root)),
        "The TDP MMU holds its own reference to every root that is not invalid.",
        "kvm_tdp_mmu_zap_invalidated_roots() puts the reference of invalid roots alone, and no root becomes valid again.",
    )
    held = z3.And(z3.Not(tables.root_invalid(root)), tables.root_ref_export(root))
    yield lemma(
        "exported_is_valid",
        [root],
        z3.Implies(tables.root_exported(root), held),
        "An exported root is valid, and its export holds a reference to it.",
        "kvm_create_tdp_fd() refuses an invalid root, and kvm_tdp_mmu_invalidate_all_roots() passes over exported ones.",
    )
    yield lemma(
        "domain_is_exported",
        [i],
        iommu.domain_root(i) == EXPORTED,
        "The domain of every IOMMU points to the root that the exported TDP fd names.",
        "A domain is given its root (SSPTPTR) once, when the TDP is exported.",
    )
    exported = tables.root_exported(EXPORTED)
    yield lemma(
        "importer_is_exported",
        [],
        z3.Implies(devices.importer(), exported),
        "Where there is an importer, the root is exported.",
        "kvm_share_tdp() adds the importer only after kvm_create_tdp_fd() has succeeded.",
    )
    shared = here.places.after(Edge("kvm_tdp_set_exported"))
    yield lemma(
        "shared_is_exported",
        [t],
        z3.Implies(here.at(t, shared), exported),
        "After kvm_tdp_set_exported(), the root is exported.",
        "kvm_create_tdp_fd() sets root->exported just before, under the same mmu_lock, and nobody clears it.",
    )


def given_up(here: Setting) -> Iterator[Lemma]:
    """What is known of the root that is about to be given up: where vCPUs may leave roots, finding one and giving it up are two steps."""

    def says(operation: str, known: Callable[[z3.ExprRef], z3.BoolRef]) -> z3.BoolRef:
        places = here.places.where(lambda x: here.places.next_operation(x) == operation)
        found = [(x, value) for x in places if (value := here.value(x, "root.root")) is not None]
        return z3.And([z3.Implies(here.at(t, (x,)), known(value)) for x, value in found])

    yield lemma(
        "invalidated_is_private",
        [t],
        says("role.invalid=", lambda value: z3.Not(tables.root_exported(value))),
        "A root that is about to be made invalid is not exported.",
        "kvm_tdp_mmu_invalidate_all_roots() passes over exported roots, and mmu_lock is held for writing from there on.",
    )
    yield lemma(
        "put_is_invalid",
        [t],
        says("kvm_put_tdp_root", tables.root_invalid),
        "A root whose reference is about to be put is invalid.",
        "kvm_tdp_mmu_zap_invalidated_roots() looks at root->role.invalid first, and no root becomes valid again.",
    )


def sharing(here: Setting) -> Iterator[Lemma]:
    """Who may share a table: devices that snoop, of an importer that is told of flushes."""
    next_operation = here.places.next_operation
    joining = here.places.where(lambda x: next_operation(x) == "pasid_entry_set")
    yield lemma(
        "importer_first",
        [t],
        z3.Implies(here.at(t, joining), devices.importer()),
        "Before a PASID entry is written, there is an importer on the list.",
        "kvm_share_tdp() adds it before it attaches, iommufd_attach_kvm_hwpt() asks for one, and none leaves the list.",
    )
    begun = here.places.where(lambda x: next_operation(x) == "kvm_tdp_set_exported")
    refusable = z3.And(tables.root_exported(EXPORTED), z3.Not(devices.noncoherent_registered(d)))
    yield lemma(
        "exporting",
        [t, d],
        z3.Implies(here.at(t, begun), refusable),
        "Before kvm_tdp_set_exported(), the root is exported and no non-coherent DMA is registered.",
        "kvm_create_tdp_fd() asks kvm_arch_has_noncoherent_dma() and sets root->exported without letting go of mmu_lock in between.",
    )
    yield lemma(
        "exported_is_marked",
        [root],
        z3.Implies(tables.root_exported(root), z3.Or(devices.tdp_exported(), z3.Exists([t], here.at(t, begun)))),
        "While a root is exported, the TDP counts as exported, but for who is about to say so.",
        "kvm_create_tdp_fd() sets the two under one mmu_lock, and nobody clears either.",
    )
    checked = [z3.Implies(here.at(t, (x,)), devices.coherent(dev)) for x in joining if (dev := here.device(x)) is not None]
    yield lemma(
        "joining_is_coherent",
        [t],
        z3.And(checked),
        "The device whose PASID entry is about to be written is coherent.",
        "kvm_domain_attach_device() refuses the others, and a device's coherency is a property of its hardware.",
    )
    yield lemma(
        "no_sharing_with_noncoherent",
        [d],
        z3.Not(z3.And(devices.tdp_exported(), devices.noncoherent_registered(d))),
        "Nobody has non-coherent DMA registered while the TDP is exported.",
        "kvm_create_tdp_fd() and kvm_arch_register_noncoherent_dma() each ask for the other under mmu_lock for writing.",
    )
    yield lemma(
        "attached_is_coherent",
        [d],
        z3.Implies(iommu.attached(d), devices.coherent(d)),
        "Every attached device is coherent.",
        "pasid_entry_set() is done for coherent devices alone (joining_is_coherent).",
    )
    yield lemma(
        "attached_is_imported",
        [d],
        z3.Implies(iommu.attached(d), devices.importer()),
        "While a device is attached, there is an importer, which kvm_tdp_fd_flush_notify() finds.",
        "It was there before the PASID entry was written (importer_first), and none leaves the list.",
    )


def loaded(here: Setting) -> Iterator[Lemma]:
    """The root in which a fault works."""

    def keeps(x: Location) -> z3.BoolRef | None:
        if not here.places.passes(x.role, "vcpu_fault_begin"):
            return None
        vcpu = vcpu_of(t)
        roots = [value for n in ("iter.root.root", "vcpu_mmu_root~1.root") if (value := here.value(x, n)) is not None]
        parts = [cpu.handles_fault(vcpu), *(value == cpu.vcpu_root(vcpu) for value in roots)]
        lower, table = here.value(x, "sptep.lower"), here.value(x, "sptep.root")
        if table is not None:
            parts.append(z3.Implies(TRUE if lower is None else z3.Not(lower), table == cpu.vcpu_root(vcpu)))
        return z3.And(parts)

    handling = here.places.after(Edge("vcpu_fault_begin"), until=(Edge("vcpu_fault_end"),))
    yield lemma(
        "fault_keeps_root",
        [t],
        here.each(handling, keeps),
        "Between vcpu_fault_begin() and vcpu_fault_end(), a fault works in the root that its vCPU has loaded.",
        "A vCPU that handles a fault loads no other root: vcpu_load_root waits for the end of the fault.",
    )
    both = z3.And(here.at(t, handling), here.at(u, handling), vcpu_of(t) == vcpu_of(u))
    yield lemma(
        "one_fault_a_vcpu",
        [t, u],
        z3.Implies(both, t == u),
        "A vCPU handles one fault at a time.",
        "A vCPU faults only while it runs: vcpu_fault_begin() needs that it handles none.",
    )

    def valid(x: Location) -> z3.BoolRef | None:
        table = here.root_of(x)
        return None if table is None else z3.Not(tables.root_invalid(table))

    yield lemma(
        "fault_in_valid_root",
        [t],
        here.each(here.checked, valid),
        "A fault that has passed is_page_fault_stale() works in a valid root until it lets go of mmu_lock.",
        "is_page_fault_stale() asks root->role.invalid, and roots are invalidated only under mmu_lock for writing.",
    )
