"""The fields of an entry as each reader has them: which bits, what they are called, and where that stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Where = Literal["any", "leaf", "table", "mmio", "tracked"]


@dataclass(frozen=True)
class Field:
    """Some neighbouring bits that a reader has a name for.

    Args:
        where: the kind of entry in which the bits mean that.
        values: what some of their numbers mean; others are printed as they are.
    """

    high: int
    low: int
    name: str
    source: str
    where: Where = "any"
    values: tuple[tuple[int, str], ...] = ()

    def of(self, entry: int) -> int:
        """The number that the bits of an entry are."""
        return entry >> self.low & ((1 << (self.high - self.low + 1)) - 1)

    def said(self, entry: int) -> str:
        """That number in words."""
        number = self.of(entry)
        return dict(self.values).get(number, hex(number) if self.high > self.low else str(number))


_VMX_H = "arch/x86/include/asm/vmx.h, Linux 6.1; Intel SDM volume 3C, 29.3.2 (28.3.2 in older editions)"
_SPTE_H = "arch/x86/kvm/mmu/spte.h, Linux 6.1"
_VTD = "VT-d specification 9.8; drivers/iommu/generic_pt/fmt/vtdss.h names R, W, A, D, SNP and the address"
_APM = "AMD64 APM volume 2, 5.3 and 15.25.5; arch/x86/kvm/mmu/spte.c, Linux 6.1"
_TYPES = ((0, "UC"), (1, "WC"), (4, "WT"), (5, "WP"), (6, "WB"))

EPT = (
    Field(0, 0, "R", _VMX_H),
    Field(1, 1, "W", _VMX_H),
    Field(2, 2, "X", _VMX_H),
    Field(5, 3, "memory type", _VMX_H, "leaf", _TYPES),
    Field(6, 6, "IPAT", _VMX_H, "leaf"),
    Field(7, 7, "page size", _VMX_H),
    Field(8, 8, "A", _VMX_H),
    Field(9, 9, "D", _VMX_H, "leaf"),
    Field(51, 12, "page number", _VMX_H),
    Field(63, 63, "suppress #VE", _VMX_H),
)
VTD = (
    Field(0, 0, "R", _VTD),
    Field(1, 1, "W", _VTD),
    Field(7, 7, "page size", _VTD),
    Field(8, 8, "A (with PASIDTE.SSADE)", _VTD),
    Field(9, 9, "D (with PASIDTE.SSADE)", _VTD, "leaf"),
    Field(11, 11, "SNP", _VTD, "leaf"),
    Field(51, 12, "page number", _VTD),
)
NPT = (
    Field(0, 0, "P", _APM),
    Field(1, 1, "W", _APM),
    Field(2, 2, "U", _APM),
    Field(5, 5, "A", _APM),
    Field(6, 6, "D", _APM, "leaf"),
    Field(7, 7, "page size", _APM),
    Field(9, 9, "host-writable (KVM's)", _SPTE_H, "leaf"),
    Field(10, 10, "MMU-writable (KVM's)", _SPTE_H, "leaf"),
    Field(11, 11, "MMU-present (KVM's)", _SPTE_H),
    Field(51, 12, "page number", _APM),
    Field(63, 63, "NX", _APM),
)
_KVM = (
    Field(0, 0, "R", _SPTE_H),
    Field(1, 1, "W", _SPTE_H),
    Field(2, 2, "X", _SPTE_H),
    Field(5, 3, "memory type", _SPTE_H, "leaf", _TYPES),
    Field(6, 6, "IPAT", _SPTE_H, "leaf"),
    Field(7, 7, "huge", _SPTE_H),
    Field(8, 8, "A", _SPTE_H),
    Field(9, 9, "D", _SPTE_H, "leaf"),
    Field(51, 12, "page number", _SPTE_H),
    Field(53, 52, "A/D type", _SPTE_H, "any", ((0, "enabled"), (1, "disabled"), (2, "write-protect only"))),
    Field(54, 54, "saved R", _SPTE_H, "tracked"),
    Field(56, 56, "saved X", _SPTE_H, "tracked"),
    Field(57, 57, "host-writable", _SPTE_H, "leaf"),
    Field(58, 58, "MMU-writable", _SPTE_H, "leaf"),
)
KVM = {
    "bit-11": (*_KVM, Field(11, 11, "MMU-present", _SPTE_H)),
    "bit-59": (*_KVM, Field(59, 59, "MMU-present", "patch 24 of the RFC")),
}
"""KVM's own, by where it has SPTE_MMU_PRESENT."""
