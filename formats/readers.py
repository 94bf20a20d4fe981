"""Who reads an entry of 64 bits, and what each takes it for: EPT, VT-d's second stage, and KVM itself.

A reader is a function of the entry, of the level that it stands at, and of what the hardware is. What nobody could verify about the
hardware is a switch of `Hardware`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import z3

from ..core.ground import conjunction, disjunction

LEVELS = (1, 2, 3, 4, 5)
"""Of 4K pages, 2M, 1G, and two of tables alone."""
_ADDRESS_BITS = 52


@dataclass(frozen=True)
class Hardware:
    """What walks the table.

    Args:
        maxphyaddr: physical address bits of the CPU (CPUID.80000008H:EAX[7:0]).
        haw: host address width of the IOMMU (DMAR table, Host Address Width).
        exec_only: EPT takes entries with X alone (IA32_VMX_EPT_VPID_CAP[0]).
        snoop_control: ECAP.SC: bit 11 of a leaf is SNP; otherwise it is reserved.
        write_only: VT-d takes an entry with W and without R. No text at hand says otherwise (CAP.ZLR speaks of write-only pages); not tried
            on hardware, so it is a switch.
        bit_62_reserved: bit 62 was TM, then reserved; later revisions ignore it.
    """

    maxphyaddr: int = 46
    haw: int = 46
    exec_only: bool = True
    snoop_control: bool = True
    write_only: bool = True
    bit_62_reserved: bool = False


@dataclass(frozen=True)
class Rule:
    """Why a walker that finds an entry present refuses it all the same.

    Args:
        bits: those that it speaks of, the highest first.
        source: the document and section.
    """

    name: str
    bits: tuple[int, ...]
    sentence: str
    source: str
    broken: z3.BoolRef


@dataclass(frozen=True)
class Reading:
    """What a walker takes an entry for; exactly one of absent, `refused`, `table`, `leaf`.

    Args:
        present: it looks further than at the permission bits.
        rules: those that it refuses an entry by.
        table: it goes on with the table at `address`.
        leaf: it translates to `address`, with `read` and `write`.
        snoops: its accesses are forced to snoop by the entry itself.
    """

    present: z3.BoolRef
    rules: tuple[Rule, ...]
    last: z3.BoolRef
    address: z3.BitVecRef
    read: z3.BoolRef
    write: z3.BoolRef
    snoops: z3.BoolRef

    @property
    def refused(self) -> z3.BoolRef:
        return z3.And(self.present, disjunction([rule.broken for rule in self.rules]))

    @property
    def taken(self) -> z3.BoolRef:
        return z3.And(self.present, z3.Not(disjunction([rule.broken for rule in self.rules])))

    @property
    def table(self) -> z3.BoolRef:
        return z3.And(self.taken, z3.Not(self.last))

    @property
    def leaf(self) -> z3.BoolRef:
        return z3.And(self.taken, self.last)


def bit(entry: z3.BitVecRef, number: int) -> z3.BoolRef:
    """Whether a bit is 1."""
    return z3.Extract(number, number, entry) == 1


def some(entry: z3.BitVecRef, high: int, low: int) -> z3.BoolRef:
    """Whether any bit from `low` to `high` is 1; none is where the range is empty."""
    return z3.Extract(high, low, entry) != 0 if high >= low else z3.BoolVal(False)


def is_last(entry: z3.BitVecRef, level: int) -> z3.BoolRef:
    """Whether a walk ends there: at the lowest level always, at 2M and 1G where bit 7 is set."""
    return z3.BoolVal(True) if level == 1 else bit(entry, 7) if level <= 3 else z3.BoolVal(False)


def page_shift(level: int) -> int:
    """log2 of the bytes that an entry of a level maps."""
    return 12 + 9 * (level - 1)


def _address(entry: z3.BitVecRef, level: int) -> z3.BitVecRef:
    """Where an entry points to: a table, or a page of the level's size."""
    table, page = (z3.BitVecVal((1 << _ADDRESS_BITS) - (1 << shift), 64) for shift in (12, page_shift(level) if level <= 3 else 12))
    return z3.If(is_last(entry, level), entry & page, entry & table)


def _bits(high: int, low: int) -> tuple[int, ...]:
    return tuple(range(high, low - 1, -1))


_EPT_ENTRIES = "Intel SDM volume 3C, 29.3.2 EPT Translation Mechanism, tables of EPT entries (28.3.2 in older editions)"
_EPT_MISCONFIGURATION = "Intel SDM volume 3C, 29.3.3.1 EPT Misconfigurations (28.3.3.1 in older editions)"
_VTD_ENTRIES = "Intel VT-d specification, 3.7 Second-Stage Translation and 9.8 Second-Stage Paging Entries (as of revision 4)"


def ept(entry: z3.BitVecRef, level: int, hardware: Hardware) -> Reading:
    """EPT, without mode-based execution control and with bit 63 (suppress #VE) ignored.

    Sources: the SDM as far as arch/x86/include/asm/vmx.h and __reset_rsvds_bits_mask_ept(), arch/x86/kvm/mmu/mmu.c, Linux 6.1, quote it.
    """
    readable, writable, executable = (bit(entry, n) for n in (0, 1, 2))
    last, memory_type = is_last(entry, level), z3.Extract(5, 3, entry)
    rules = [
        Rule("write-without-read", (1, 0), "W without R is a misconfiguration", _EPT_MISCONFIGURATION, z3.And(writable, z3.Not(readable))),
        Rule(
            "reserved-memory-type",
            (5, 4, 3),
            "memory types 2, 3 and 7 are a misconfiguration in a leaf",
            _EPT_MISCONFIGURATION,
            z3.And(last, disjunction([memory_type == n for n in (2, 3, 7)])),
        ),
        Rule(
            "beyond-maxphyaddr",
            _bits(_ADDRESS_BITS - 1, hardware.maxphyaddr),
            f"address bits from {hardware.maxphyaddr} on are reserved",
            _EPT_ENTRIES,
            some(entry, _ADDRESS_BITS - 1, hardware.maxphyaddr),
        ),
    ]
    if not hardware.exec_only:
        alone = z3.And(executable, z3.Not(readable))
        rules.append(Rule("execute-only", (2, 0), "X without R is a misconfiguration on this CPU", _EPT_MISCONFIGURATION, alone))
    if level in (2, 3):
        sentence = "bits below the page's address are reserved in a huge leaf"
        low = z3.And(last, some(entry, page_shift(level) - 1, 12))
        rules.append(Rule("huge-page-offset", _bits(page_shift(level) - 1, 12), sentence, _EPT_ENTRIES, low))
    if level > 1:
        table = z3.And(z3.Not(last), some(entry, 6, 3))
        rules.append(
            Rule("table-attributes", (6, 5, 4, 3), "bits 6:3 are reserved in an entry that points to a table", _EPT_ENTRIES, table)
        )
    if level > 3:
        rules.append(Rule("page-size", (7,), "bit 7 is reserved at this level", _EPT_ENTRIES, bit(entry, 7)))
    present = z3.Or(readable, writable, executable)
    return Reading(present, tuple(rules), last, _address(entry, level), readable, writable, z3.BoolVal(False))


def vtd(entry: z3.BitVecRef, level: int, hardware: Hardware) -> Reading:
    """VT-d's second stage; there is no present bit, X is ignored, memory types are not enabled (PASIDTE.EMTE).

    Sources: the specification as far as drivers/iommu/intel/iommu.h, Linux 6.1, and QEMU's hw/i386/intel_iommu.c quote it: bit 11 is SNP in
    a leaf with snoop control, and reserved otherwise.
    """
    readable, writable = bit(entry, 0), bit(entry, 1)
    last = is_last(entry, level)
    snoop = z3.And(last, bit(entry, 11))
    rules = [
        Rule("snoop-in-table", (11,), "bit 11 is reserved in an entry that points to a table", _VTD_ENTRIES,
             z3.And(z3.Not(last), bit(entry, 11))),
        Rule("beyond-haw", _bits(_ADDRESS_BITS - 1, hardware.haw), f"address bits from {hardware.haw} on are reserved", _VTD_ENTRIES,
             some(entry, _ADDRESS_BITS - 1, hardware.haw)),
    ]  # fmt: skip
    if not hardware.snoop_control:
        rules.append(Rule("snoop-in-leaf", (11,), "bit 11 is reserved in a leaf without snoop control", _VTD_ENTRIES, snoop))
    if not hardware.write_only:
        alone = z3.And(writable, z3.Not(readable))
        rules.append(Rule("write-without-read", (1, 0), "W without R is refused (a switch: no text says so)", "no source", alone))
    if hardware.bit_62_reserved:
        rules.append(Rule("transient-mapping", (62,), "bit 62 is reserved", _VTD_ENTRIES, bit(entry, 62)))
    if level in (2, 3):
        sentence = "bits below the page's address are reserved in a huge leaf"
        low = z3.And(last, some(entry, page_shift(level) - 1, 12))
        rules.append(Rule("huge-page-offset", _bits(page_shift(level) - 1, 12), sentence, _VTD_ENTRIES, low))
    if level > 3:
        rules.append(Rule("page-size", (7,), "bit 7 is reserved at this level", _VTD_ENTRIES, bit(entry, 7)))
    return Reading(z3.Or(readable, writable), tuple(rules), last, _address(entry, level), readable, writable, snoop)


def npt(entry: z3.BitVecRef, level: int, hardware: Hardware) -> Reading:
    """AMD's nested paging: entries of ordinary long-mode tables, walked as user accesses.

    Source: AMD64 Architecture Programmer's Manual volume 2, 15.25.5 and 5.3; as KVM uses it, kvm_mmu_reset_all_pte_masks(),
    arch/x86/kvm/mmu/spte.c, Linux 6.1.
    """
    present, writable, user = (bit(entry, n) for n in (0, 1, 2))
    last = is_last(entry, level)
    source = "AMD64 APM volume 2, 5.3 Long-Mode Page Translation"
    rules = [
        Rule("beyond-maxphyaddr", _bits(_ADDRESS_BITS - 1, hardware.maxphyaddr),
             f"address bits from {hardware.maxphyaddr} on are reserved", source, some(entry, _ADDRESS_BITS - 1, hardware.maxphyaddr)),
        Rule("supervisor", (2,), "nested walks are user accesses: without U they fault", "AMD64 APM volume 2, 15.25.5", z3.Not(user)),
    ]  # fmt: skip
    if level in (2, 3):
        low = z3.And(last, some(entry, page_shift(level) - 1, 13))
        rules.append(Rule("huge-page-offset", _bits(page_shift(level) - 1, 13), "bits below the page's address are reserved", source, low))
    if level > 3:
        rules.append(Rule("page-size", (7,), "bit 7 is reserved at this level", source, bit(entry, 7)))
    return Reading(present, tuple(rules), last, _address(entry, level), present, writable, z3.BoolVal(False))


def exclusive(readings: Sequence[Reading]) -> z3.BoolRef:
    """That each reading is exactly one of absent, refused, a table, a leaf: for the tests."""
    return conjunction([z3.PbEq([(part, 1) for part in (z3.Not(r.present), r.refused, r.table, r.leaf)], 1) for r in readings])
