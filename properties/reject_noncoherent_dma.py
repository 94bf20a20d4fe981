"""A shared table and non-coherent DMA exclude each other, whichever comes first and whoever races."""

from __future__ import annotations

import z3

from ..core.system import Property
from ..model.machine.devices import coherent, noncoherent_registered, tdp_exported
from ..model.machine.ghosts import refused
from ..model.machine.iommu import attached
from ..model.machine.sorts import d

PROPERTY = Property(
    name="reject_noncoherent_dma",
    sentence="The table is never shared while non-coherent DMA is registered, and no device that does not snoop is attached to it.",
    holds=z3.And(
        z3.Not(z3.And(tdp_exported(), z3.Exists([d], noncoherent_registered(d)))),
        z3.ForAll([d], z3.Implies(attached(d), coherent(d))),
    ),
    premise=refused(),
    source="the RFC's patches 19, 20, 26 and 35: kvm_mmu_is_expoted_allowed(); kvm_arch_register_noncoherent_dma(), Linux 6.7",
)
