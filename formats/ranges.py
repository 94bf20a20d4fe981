"""Contracts of flush arithmetic: is every page of a range in the block that the descriptor tells the hardware to drop, for all values?

What a descriptor covers: VT-d specification, 6.5.2.3 IOTLB Invalidate (address mask) and 6.5.2.5 Device-TLB Invalidate (S bit), as
drivers/iommu/intel/dmar.c and iommu.h, Linux 6.1, use them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import z3

from ..core.ground import conjunction
from ..core.sorts import Kind, Word
from .functions import Function, Record, function
from .questions import Clause, Question, Step

FILE = "iommu_flush.c"
RECORDS = (
    Record("qi_iotlb_dsi"),
    Record("qi_iotlb_psi", (("address", "u64"), ("mask", "u64"))),
    Record("qi_dev_iotlb", (("word", "u64"),)),
)
PAGES = 52
"""Bits of a page number: what an address of 64 bits leaves."""


def word(name: str) -> z3.BitVecRef:
    return z3.BitVec(name, 64)


PAGE = word("page")


def psi_covers(page: z3.BitVecRef, address: z3.BitVecRef, mask: z3.BitVecRef) -> z3.BoolRef:
    """Whether an IOTLB invalidation drops a page: the low `mask` bits of the page number are left open."""
    return z3.LShR(page, mask) == z3.LShR(z3.LShR(address, 12), mask)


def device_covers(page: z3.BitVecRef, second: z3.BitVecRef) -> z3.BoolRef:
    """Whether a device-TLB invalidation drops a page: with S=1 the lowest address bit that is 0 is the highest one left open."""
    address = z3.LShR(second, 12)
    free = address ^ (address + 1)
    return z3.If(z3.Extract(0, 0, second) == 1, page & ~free == address & ~free, page == address)


@dataclass(frozen=True)
class Contract:
    """A function that flushes, and what is asked of it.

    Args:
        function: in `kernel/iommu_flush.c`.
        changed: which pages were changed, as a term over the function's arguments and `page`.
        assumes: what is assumed beyond that a range has pages and ends below 2^52.
        assumption: the same in words.
    """

    name: str
    function: str
    sentence: str
    source: str
    changed: Callable[[], z3.BoolRef]
    assumes: Callable[[], z3.BoolRef] = lambda: z3.BoolVal(True)
    assumption: str = ""

    def question(self) -> Question:
        """The contract as a question about every value."""
        flushes = flushing(self.function)
        inputs: dict[str, Kind] = {**flushes.parameters, "page": Word(64)}
        called = {record.name: z3.Bool(record.called.name) for record in RECORDS}
        psi = psi_covers(PAGE, word("qi_iotlb_psi.address"), word("qi_iotlb_psi.mask"))
        iotlb = z3.Or(called["qi_iotlb_dsi"], z3.And(called["qi_iotlb_psi"], psi))
        device = z3.And(called["qi_dev_iotlb"], device_covers(PAGE, word("qi_dev_iotlb.word")))
        valid = z3.Implies(called["qi_iotlb_psi"], z3.ULE(word("qi_iotlb_psi.mask"), word("iommu.max_amask")))
        return Question(
            name=self.name,
            sentence=self.sentence,
            source=self.source,
            inputs=inputs,
            steps=(Step("flush", flushes, {name: kind.const(name) for name, kind in flushes.parameters.items()}),),
            assumed=conjunction([z3.ULT(PAGE, 1 << PAGES), z3.ULE(word("iommu.max_amask"), 63), self.changed(), self.assumes()]),
            clauses=(
                Clause("iotlb", "the IOTLB drops every page that changed", iotlb),
                Clause("device-tlb", "the device TLB is told to drop every page that changed", device),
                Clause("mask-fits", "the unit takes the address mask", valid),
                Clause("no-bug", "no BUG_ON fires, no C without a value", z3.Not(z3.Bool("flush!fails"))),
            ),
            least=("pfn", "gfn", "pages", "level_shift", "page"),
            assumption="; ".join(filter(None, ("a range has a page and ends below page 2^52", self.assumption))),
        )


@cache
def flushing(name: str) -> Function:
    """A function of `kernel/iommu_flush.c` with what it hands to the queue."""
    return function(FILE, name, records=RECORDS)


def _in_range(first: str = "pfn", pages: str = "pages") -> z3.BoolRef:
    start, count = word(first), word(pages)
    fits = z3.And(z3.ULT(start, 1 << PAGES), z3.ULE(count, 1 << PAGES), z3.ULE(start + count, 1 << PAGES), count != 0)
    return z3.And(fits, z3.ULE(start, PAGE), z3.ULT(PAGE, start + count))


def _in_entry() -> z3.BoolRef:
    shift = word("level_shift")
    return z3.And(
        z3.Or([shift == n for n in (0, 9, 18)]), z3.ULT(word("gfn"), 1 << PAGES), z3.LShR(PAGE, shift) == z3.LShR(word("gfn"), shift)
    )


def _few(pages: str) -> Callable[[], z3.BoolRef]:
    return lambda: z3.ULE(word(pages), 1 << 31)


_FEW = "at most 2^31 pages"
_NO_CM = "the unit is not in caching mode"
_PSI = "iommu_flush_iotlb_psi(), drivers/iommu/intel/iommu.c, Linux 6.1"
_RFC = "kvm_domain_cache_invalidate(), patch 22 of the RFC; kvm_tdp_fd_flush_notify(), patch 8"


def _any() -> z3.BoolRef:
    return z3.BoolVal(True)


def _not_caching() -> z3.BoolRef:
    return z3.Not(z3.Bool("iommu.caching_mode"))


CONTRACTS = {
    each.name: each
    for each in (
        Contract("flush_covers/6.1", "flush_range_of_6_1", "6.1 flushes every page of any range", _PSI, _in_range),
        Contract("flush_covers/6.1-few-pages", "flush_range_of_6_1", "6.1 flushes every page of a range of few pages", _PSI, _in_range,
                 _few("pages"), _FEW),
        Contract("flush_covers/before-5.18", "flush_range_before_5_18", "before 5.18 every page of a small range was flushed",
                 "59bf3557cf2f (iommu/vt-d: Calculate mask for non-aligned flushes)", _in_range, _few("pages"), _FEW),
        Contract("flush_covers/6.12", "flush_range_of_6_12", "6.12 flushes every page of any range",
                 "calculate_psi_aligned_address(), drivers/iommu/intel/cache.c, Linux 6.12", _in_range),
        Contract("flush_covers/rfc", "kvm_tdp_fd_flush_range", "the RFC flushes every page of any range that KVM tells it", _RFC,
                 lambda: _in_range("gfn")),
        Contract("flush_covers/rfc-few-pages", "kvm_tdp_fd_flush_range", "the RFC flushes every page of a range of few pages", _RFC,
                 lambda: _in_range("gfn"), _few("pages"), _FEW),
        Contract("flush_covers/rfc-everything", "kvm_tdp_fd_flush_all", "told to flush everything, the RFC does", _RFC, _any),
        Contract("flush_covers/rfc-everything-no-cm", "kvm_tdp_fd_flush_all", "without caching mode, the RFC flushes everything", _RFC,
                 _any, _not_caching, _NO_CM),
        Contract("flush_covers/entry", "kvm_flush_remote_tlbs_sptep", "a changed entry of any level is flushed whole",
                 "kvm_flush_remote_tlbs_sptep(), arch/x86/kvm/mmu/mmu.c, Linux 6.12; the rest as in the RFC", _in_entry),
        Contract("flush_covers/entry-from-table-page", "flush_from_table_page", "counted from its table page, a changed entry is flushed",
                 "9ffe9265375c (KVM: x86/mmu: Fix wrong gfn range of tlb flushing in kvm_set_pte_rmapp())", _in_entry),
    )
}  # fmt: skip
"""Each contract by its name."""


def contracts() -> Iterator[Question]:
    """Every contract as a question."""
    for contract in CONTRACTS.values():
        yield contract.question()
