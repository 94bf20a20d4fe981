"""Devices whose DMA may or may not snoop, and what KVM was told of them.

A device behind an IOMMU that cannot enforce coherency makes VFIO register non-coherent DMA with KVM (kvm_vfio_update_coherency()), and
KVM must then honour guest memory types, which an exported table cannot. Source: virt/kvm/vfio.c, arch/x86/kvm/x86.c, Linux 6.1; the RFC.
"""

from __future__ import annotations

import z3

from ...core.system import Update, bool_var
from .sorts import DEVICE, d

coherent = bool_var("coherent", DEVICE, doc="the IOMMU enforces snooping for this device's DMA")
noncoherent_registered = bool_var("noncoherent_registered", DEVICE, doc="kvm_arch_register_noncoherent_dma() counts this device")
tdp_exported = bool_var("tdp_exported", doc="the VM has an exported TDP: the fd is, or is about to be, published")
importer = bool_var("importer", doc="the importer is on the list that kvm_tdp_fd_flush_notify() walks")

STATE = (coherent, noncoherent_registered, tdp_exported, importer)


def initial(coherent_devices: bool | None, exported: bool, imported: bool) -> list[Update]:
    """`coherent_devices` None leaves each device's coherency open."""
    known = [] if coherent_devices is None else [Update(coherent, (d,), z3.BoolVal(coherent_devices))]
    return [
        *known,
        Update(noncoherent_registered, (d,), z3.BoolVal(False)),
        Update(tdp_exported, (), z3.BoolVal(exported)),
        Update(importer, (), z3.BoolVal(imported)),
    ]
