"""Entries of a table as KVM writes them on AMD: arch/x86/kvm/mmu/spte.h, Linux 6.1 and 6.12."""

from __future__ import annotations

LARGEST = 2
"""The highest level of a leaf here: 2 MiB."""
_MMU_PRESENT, _LARGE = 1 << 11, 1 << 7
_REMOVED = 0x5A0
"""REMOVED_SPTE of 6.1 and FROZEN_SPTE of 6.12, below the bits that are set of an entry that is not present."""
_PFN = (1 << 40) - 1


def is_present(entry: int) -> bool:
    """is_shadow_present_pte()"""
    return bool(entry & _MMU_PRESENT)


def is_frozen(entry: int) -> bool:
    """is_removed_spte(), is_frozen_spte()"""
    return not is_present(entry) and entry & 0xFFF == _REMOVED


def is_leaf(entry: int, level: int) -> bool:
    """is_last_spte() of a present entry"""
    return is_present(entry) and (level == 1 or bool(entry & _LARGE))


def is_table(entry: int, level: int) -> bool:
    """A present entry that is no leaf."""
    return is_present(entry) and not is_leaf(entry, level)


def pfn_of(entry: int) -> int:
    """spte_to_pfn()"""
    return entry >> 12 & _PFN


def covered(level: int) -> int:
    """How many pages an entry of that level covers."""
    return 1 << 9 * (level - 1)


def frames(entry: int, level: int) -> range:
    """The frames that a leaf maps."""
    return range(pfn_of(entry), pfn_of(entry) + covered(level))
