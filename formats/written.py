"""Every value that KVM can write into an entry of a table for EPT, class by class, and what KVM itself reads there.

Each class is a function of `kernel/spte.c` on inputs of which no more is assumed than what the callers keep.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

import z3

from ..core.errors import InputError
from ..core.ground import conjunction, disjunction
from ..core.sorts import Kind
from .functions import Function, function
from .questions import Step
from .readers import Hardware, page_shift

HIGH = "CONFIG_HAVE_KVM_MMU_PRESENT_HIGH"
LAYOUTS = {"bit-11": {HIGH: False}, "bit-59": {HIGH: True}}
"""Where SPTE_MMU_PRESENT stands: as Linux has it, and as patch 24 of the RFC moves it."""
ENTRY = z3.BitVec("entry", 64)
_CACHE_BITS = range(36, 47)
"""How many bits a CPU that is open to L1TF may address its cache by; with 47 and more the mitigation is off (mmu/spte.c, Linux 6.1)."""
_MEMORY_TYPES = (0, 1, 4, 5, 6)


@dataclass(frozen=True)
class Written:
    """A class of values.

    Args:
        made_by: the function of `kernel/spte.c` that makes them.
        levels: at which KVM writes them.
        sentence: what they are.
        source: where the kernel makes them.
        fixed: parameters that have one value in this class.
    """

    name: str
    made_by: str
    levels: tuple[int, ...]
    sentence: str
    source: str
    fixed: Mapping[str, int] = field(default_factory=dict)


_SPTE_C = "arch/x86/kvm/mmu/spte.c"
CLASSES = {
    each.name: each
    for each in (
        Written("leaf", "make_spte_later", (1,), "a present 4K leaf, whatever was done to it since",
                f"make_spte(), {_SPTE_C}; age_gfn_range(), clear_dirty_gfn_range(), arch/x86/kvm/mmu/tdp_mmu.c, Linux 6.1"),
        Written("huge", "make_spte_later", (2, 3), "a present huge leaf", f"make_spte(), {_SPTE_C}, Linux 6.1"),
        Written("table", "make_nonleaf_spte", (2, 3, 4, 5), "an entry that points to a table",
                f"make_nonleaf_spte(), {_SPTE_C}, Linux 6.1"),
        Written("write-protected", "make_spte_later", (1, 2, 3), "a leaf write-protected for dirty logging",
                "wrprot_gfn_range(), arch/x86/kvm/mmu/tdp_mmu.c, Linux 6.1", {"later.wrprot_dirty": 1}),
        Written("dirty-cleared", "make_spte_later", (1,), "a leaf whose D bit was cleared for dirty logging, W kept",
                "clear_dirty_gfn_range(), arch/x86/kvm/mmu/tdp_mmu.c, Linux 6.1", {"later.clear_dirty": 1, "later.mark_dirty": 0}),
        Written("access-tracked", "make_tracked_spte", (1, 2, 3), "a leaf whose permissions are put aside to see an access",
                f"mark_spte_for_access_track(), {_SPTE_C}, Linux 6.1", {"leaf.ad_disabled": 1}),
        Written("mmio", "make_mmio_spte", (1,), "an emulated page, with any generation of the memslots",
                f"make_mmio_spte(), {_SPTE_C}, Linux 6.1"),
        Written("frozen", "frozen_value", (1, 2, 3, 4, 5), "an entry that its thread has taken out meanwhile",
                "REMOVED_SPTE, arch/x86/kvm/mmu/spte.h, Linux 6.1; FROZEN_SPTE, Linux 6.12"),
        Written("empty", "nonpresent_value", (1, 2, 3, 4, 5), "an entry of a table that was just made",
                "SHADOW_NONPRESENT_VALUE, arch/x86/kvm/mmu/spte.h, Linux 6.12; 0 in Linux 6.1"),
    )
}  # fmt: skip


def written(name: str) -> Written:
    """The class of that name.

    Raises:
        InputError: there is none.
    """
    if name not in CLASSES:
        raise InputError(f"there is no class of entries {name!r}; there are {', '.join(CLASSES)}")
    return CLASSES[name]


@cache
def kernel(name: str, layout: str) -> Function:
    """A function of `kernel/spte.c` with SPTE_MMU_PRESENT where `layout` has it."""
    return function("spte.c", name, LAYOUTS[layout])


def inputs(each: Written, layout: str) -> dict[str, Kind]:
    """What a class takes: names and kinds."""
    return {name: kind for name, kind in kernel(each.made_by, layout).parameters.items() if name not in each.fixed}


def making(each: Written, layout: str) -> Step:
    """The step that makes a value of the class, called `entry`."""
    made = kernel(each.made_by, layout)
    return Step("entry", made, {name: _number(each.fixed[name], kind) if name in each.fixed else kind.const(name)
                                for name, kind in made.parameters.items()})  # fmt: skip


def reading(each: Written, layout: str, level: int) -> tuple[Step, ...]:
    """What KVM itself says of `entry`: one step a question that it asks."""
    given: dict[str, z3.ExprRef] = {"spte": ENTRY, "level": z3.BitVecVal(level, 32)}
    steps = []
    for out, name in READ.items():
        asked = kernel(name, layout)
        own = {path: kind.const(path) if path in inputs(each, layout) else _number(0, kind)
               for path, kind in asked.parameters.items() if path not in given}  # fmt: skip
        steps.append(Step(out, asked, {**own, **{name: term for name, term in given.items() if name in asked.parameters}}))
    return tuple(steps)


READ = {
    "kvm_present": "is_shadow_present_pte",
    "kvm_mmio": "is_mmio_spte",
    "kvm_frozen": "is_frozen_spte",
    "kvm_last": "is_last_spte",
    "kvm_address": "spte_to_address",
    "kvm_writable": "is_writable_pte",
    "kvm_tracked": "is_access_track_spte",
    "kvm_generation": "get_mmio_spte_generation",
}
"""What KVM asks of an entry, by the name under which the answer is kept."""


def _number(value: int, kind: Kind) -> z3.ExprRef:
    const = kind.const("like")
    return z3.BoolVal(bool(value)) if z3.is_bool(const) else z3.BitVecVal(value, const.size())


def assumed(each: Written, layout: str, level: int, hardware: Hardware) -> tuple[z3.BoolRef, str]:
    """What the callers keep of the inputs of a class at a level, as a term and in words."""
    has = inputs(each, layout)
    terms: list[z3.BoolRef] = []
    words: list[str] = []

    def keep(term: z3.BoolRef, sentence: str) -> None:
        terms.append(term)
        words.append(sentence)

    def word(name: str, bits: int = 64) -> z3.BitVecRef:
        return z3.BitVec(name, bits)

    pages = z3.BitVecVal(1 << (hardware.maxphyaddr - 12), 64)
    for name in ("leaf.pfn", "table", "gfn"):
        if name in has:
            keep(z3.ULT(word(name), pages), f"{name} is below 2^{hardware.maxphyaddr - 12} (MAXPHYADDR {hardware.maxphyaddr})")
    if "leaf.pfn" in has:
        size = (1 << (page_shift(level) - 12)) - 1
        keep(word("leaf.pfn") & size == 0, "a huge leaf's pfn is aligned") if size else None
        keep(z3.Bool("leaf.huge") == z3.BoolVal(level > 1), f"the leaf stands at level {level}")
        keep(_any(word("leaf.memtype", 8), _MEMORY_TYPES), "the memory type is UC, WC, WT, WP or WB")
        keep(z3.Bool("ept.ad_bits") if "leaf.ad_disabled" in each.fixed and not each.fixed["leaf.ad_disabled"]
             else z3.Or(z3.Bool("ept.ad_bits"), z3.Bool("leaf.ad_disabled")) if "leaf.ad_disabled" in has
             else z3.BoolVal(True), "without A/D bits no table page counts on them")  # fmt: skip
    if "gfn" in has:
        masks = (0, *(0x1F << (bits - 5) for bits in _CACHE_BITS))
        keep(_any(word("ept.l1tf_mask"), masks), "the mask against L1TF is off, or the five highest bits of the cache's address")
    return conjunction(terms), "; ".join(words)


def _any(word: z3.BitVecRef, values: Iterable[int]) -> z3.BoolRef:
    return disjunction([word == value for value in values])
