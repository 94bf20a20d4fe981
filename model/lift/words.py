"""How wide the integers of lifted code are, and how they stand for the machine's elements.

Lifted code computes with frame numbers: it shifts, masks and adds them. So a `gfn_t` is a bit-vector there, and a guest frame of
the machine is the number of its element. The width is that of the largest value which the functions of `tdp_iter.c` can compute
at a geometry: a guest physical address behind the last entry of the root, or the address of the last host page. Wider words
would say the same and cost more; a geometry whose tables are no power of two is refused, since the kernel's masks need one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import z3

from ...core.errors import InputError
from ...core.rewrite import constant_index
from ...core.sorts import Geometry, Rigid, Sort, Word, element_index
from ..machine.sorts import BLOCK, FRAME, GFN, PT, REGION, SLOT
from ..scenario import Scenario

PAGE_SHIFT = 1
"""Bytes in a page do not matter, but that an address is not a frame number does."""
ROOT_LEVEL = 2
INT_BITS = 5
"""Levels, slots, return codes and small negative error numbers."""


@dataclass(frozen=True)
class Words:
    """The widths at one geometry, and the conversions between words and elements."""

    regions: int
    slots: int
    blocks: int
    frames: int
    pts: int
    roots: int

    @property
    def gfns(self) -> int:
        return self.regions * self.slots

    @property
    def index_bits(self) -> int:
        """Bits of the index of an entry in its table."""
        return max(1, (self.slots - 1).bit_length())

    @property
    def shift(self) -> int:
        """By how much a frame number is shifted to get the number of its region: 9 with the kernel's 512 entries."""
        return (self.slots - 1).bit_length()

    @property
    def long_bits(self) -> int:
        """Bits of a `gfn_t`, a `kvm_pfn_t`, an `unsigned long` and an address."""
        behind_root = self.slots * self.slots  # the first gfn that the root cannot map
        behind_host = self.frames + self.pts
        return max(INT_BITS, (max(behind_root, behind_host) << PAGE_SHIFT).bit_length())

    def pages_per_hpage(self, level: z3.ExprRef) -> z3.ExprRef:
        """KVM_PAGES_PER_HPAGE(): how many pages an entry of that level maps."""
        bits = self.long_bits
        answer = z3.BitVecVal(1, bits)
        for number in (2, 3):
            answer = z3.If(level == number, z3.BitVecVal(self.slots ** (number - 1), bits), answer)
        return answer

    def spte_index(self, address: z3.ExprRef, level: z3.ExprRef) -> z3.ExprRef:
        """SPTE_INDEX(): the index of the entry for an address in its table of that level."""
        low = PAGE_SHIFT
        small = z3.Extract(low + self.index_bits - 1, low, address) if self.shift else z3.BitVecVal(0, 1)
        low += self.shift
        large = z3.Extract(low + self.index_bits - 1, low, address)
        return z3.ZeroExt(INT_BITS - self.index_bits, z3.If(level == ROOT_LEVEL, large, small))

    # Elements

    def gfn(self, word: z3.ExprRef) -> z3.ExprRef:
        """The guest frame of that number; behind the end, the last one."""
        return self._to(GFN, self.gfns, word)

    def gfn_number(self, gfn: z3.ExprRef) -> z3.ExprRef:
        return self._from(GFN, gfn, self.long_bits)

    def slot(self, index: z3.ExprRef) -> z3.ExprRef:
        return self._to(SLOT, self.slots, index)

    def region(self, index: z3.ExprRef) -> z3.ExprRef:
        return self._to(REGION, self.regions, index)

    def region_number(self, region: z3.ExprRef) -> z3.ExprRef:
        return self._from(REGION, region, self.long_bits)

    def frame(self, pfn: z3.ExprRef) -> z3.ExprRef:
        return self._to(FRAME, self.frames, pfn)

    def frame_number(self, frame: z3.ExprRef) -> z3.ExprRef:
        return self._from(FRAME, frame, self.long_bits)

    def block(self, pfn: z3.ExprRef) -> z3.ExprRef:
        """The huge page that begins at a frame number."""
        return self._to(BLOCK, self.blocks, z3.LShR(pfn, self.shift))

    def block_number(self, block: z3.ExprRef) -> z3.ExprRef:
        """The frame number at which a huge page begins."""
        return self._from(BLOCK, block, self.long_bits) << self.shift

    def table(self, pfn: z3.ExprRef) -> z3.ExprRef:
        """The table page at a frame number: table pages follow the host's other frames."""
        return self._to(PT, self.pts, pfn - self.frames)

    def table_number(self, pt: z3.ExprRef) -> z3.ExprRef:
        return self._from(PT, pt, self.long_bits) + self.frames

    def _to(self, sort: Sort, size: int, word: z3.ExprRef) -> z3.ExprRef:
        number = constant_index(z3.simplify(word)) if z3.is_bv(word) else None
        return _to_element(sort, word.size(), size)(word) if number is None else sort.element(min(number, size - 1))

    def _from(self, sort: Sort, element: z3.ExprRef, bits: int) -> z3.ExprRef:
        number = element_index(element)
        return _from_element(sort, bits)(element) if number is None else z3.BitVecVal(number, bits)

    @property
    def rigids(self) -> tuple[Rigid, ...]:
        """The conversions, declared: they are what keeps a lifted system out of proofs of every size."""
        widths = ((GFN, self.long_bits), (FRAME, self.long_bits), (BLOCK, self.long_bits), (PT, self.long_bits))
        sizes = {GFN: self.gfns, FRAME: self.frames, BLOCK: self.blocks, PT: self.pts, SLOT: self.slots, REGION: self.regions}
        to = [_to_element(sort, bits, sizes[sort]) for sort, bits in (*widths, (SLOT, self.index_bits), (REGION, self.index_bits))]
        back = [_from_element(sort, bits) for sort, bits in (*widths, (REGION, self.long_bits))]
        return (*to, *back)


def words_of(scenario: Scenario) -> Words:
    """The words for a scenario's geometry.

    Raises:
        InputError: the geometry is one that lifted code cannot run on.
    """
    sizes = scenario.geometry
    where = f"scenario {scenario.name}: lifted code"
    if sizes.slots & (sizes.slots - 1):
        raise InputError(f"{where} masks frame numbers, so geometry.slots must be a power of two; it is {sizes.slots}")
    if sizes.slots > 2 ** (INT_BITS - 1) - 1:
        raise InputError(f"{where} counts the entries of a table with {INT_BITS} bits; geometry.slots is {sizes.slots}")
    if sizes.regions > sizes.slots:
        raise InputError(
            f"{where} has as many entries in the root as in any table: geometry.regions may be {sizes.slots} at most; it is {sizes.regions}"
        )
    return Words(sizes.regions, sizes.slots, sizes.blocks, scenario.frames, sizes.pts, sizes.roots)


def _to_element(sort: Sort, bits: int, size: int) -> Rigid:
    def term(geometry: Geometry, word: z3.ExprRef) -> z3.ExprRef:
        width = geometry.width(sort)
        cut = z3.Extract(width - 1, 0, word) if width <= bits else z3.ZeroExt(width - bits, word)
        return cut if size >= 2**bits else z3.If(z3.ULT(word, size), cut, z3.BitVecVal(size - 1, width))

    name = f"{sort.name.lower()}_at_{bits}"
    meaning: Callable[[Geometry, tuple[int, ...]], int] = lambda geometry, at: min(at[0], size - 1)  # noqa: E731
    return Rigid(name, (Word(bits),), sort, meaning, term=term, doc=f"the {sort.name} of that number")


def _from_element(sort: Sort, bits: int) -> Rigid:
    def term(geometry: Geometry, element: z3.ExprRef) -> z3.ExprRef:
        width = geometry.width(sort)
        return z3.ZeroExt(bits - width, element) if width < bits else element

    return Rigid(
        f"{sort.name.lower()}_number_{bits}", (sort,), Word(bits), lambda geometry, at: at[0], term=term, doc=f"the number of a {sort.name}"
    )
