"""What becomes of entries: generations of MMIO entries that come again, and the parts that a huge leaf is split into."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ..core.ground import conjunction
from ..core.sorts import BOOL, Word
from .agreement import GENERATION_BITS, MACHINES
from .questions import Clause, Question, Step
from .readers import ept, page_shift, vtd
from .written import CLASSES, ENTRY, LAYOUTS, assumed, inputs, kernel, making

_CHILD = z3.BitVec("child", 64)


def entries() -> Iterator[Question]:
    """Every question of this file, with SPTE_MMU_PRESENT at either place."""
    for layout in LAYOUTS:
        yield generation(layout)
        for level in (2, 3):
            yield split(layout, level)


def generation(layout: str) -> Question:
    """Whether an MMIO entry goes before its generation comes again."""
    each = CLASSES["mmio"]
    held, words = assumed(each, layout, 1, MACHINES["usual"])
    old, new = z3.BitVec("gen", 64), z3.BitVec("new", 64)
    present, back = z3.BitVec("kvm_present", 64), z3.BitVec("kvm_generation", 64)
    steps = (
        making(each, layout),
        Step("kvm_present", kernel("is_shadow_present_pte", layout), {"spte": ENTRY}),
        Step("kvm_generation", kernel("get_mmio_spte_generation", layout), {"spte": ENTRY}),
    )
    apart = back != new & ((1 << GENERATION_BITS) - 1)
    near = z3.ULT(new - old, 1 << GENERATION_BITS)
    return Question(
        name=f"mmio_generation/{layout}",
        sentence="an MMIO entry is gone, or told from one of today",
        source="is_mmio_spte(), check_mmio_spte() and kvm_mmu_invalidate_mmio_sptes(), arch/x86/kvm/mmu, Linux 6.1; patch 36 of the RFC",
        inputs={**inputs(each, layout), "new": Word(64)},
        steps=steps,
        assumed=z3.And(held, z3.ULT(old, new)),
        clauses=(
            Clause("zapped", "the walk that zaps leaves, which passes over what is not MMU-present, takes it", present != 0),
            Clause("told-apart", "at any later generation it is seen to be an old one", apart),
            Clause("told-apart-soon", f"within 2^{GENERATION_BITS} of the generation it is seen to be an old one", apart, near),
        ),
        assumption=f"{words}; the entry is older than the generation that it is compared with",
        least=("ept.l1tf_mask", "gfn", "gen", "new"),
    )


def split(layout: str, level: int) -> Question:
    """Whether the parts of a huge leaf translate as it did, for both walkers."""
    each = CLASSES["huge"]
    held, words = assumed(each, layout, level, MACHINES["usual"])
    index, shift = z3.BitVec("index", 64), page_shift(level - 1)
    arguments = {
        "huge": ENTRY,
        "index": index,
        "child_shift": z3.BitVecVal(shift, 64),
        "small": z3.BoolVal(level == 2),
        "executable": z3.Bool("executable"),
    }
    steps = (making(each, layout), Step("child", kernel("make_huge_page_split_spte", layout), arguments))
    clauses = []
    for who, read in (("EPT", ept), ("VT-d", vtd)):
        whole, part = read(ENTRY, level, MACHINES["usual"]), read(_CHILD, level - 1, MACHINES["usual"])
        same = conjunction(
            [part.leaf, part.address == whole.address + (index << shift), part.read == whole.read, part.write == whole.write,
             part.snoops == whole.snoops]
        )  # fmt: skip
        sentence = f"where {who} translates by the whole, it translates by each part, to the same address with the same R and W"
        clauses.append(Clause(who.lower(), sentence, same, whole.leaf))
        gone = f"where {who} does not translate by the whole, it does not by a part"
        clauses.append(Clause(f"{who.lower()}-absent", gone, z3.Not(part.taken), z3.Not(whole.taken)))
    return Question(
        name=f"split_children/level-{level}/{layout}",
        sentence="the parts of a huge leaf translate as it did",
        source="make_huge_page_split_spte(), arch/x86/kvm/mmu/spte.c, Linux 6.1",
        inputs={**inputs(each, layout), "index": Word(64), "executable": BOOL},
        steps=steps,
        assumed=z3.And(held, z3.ULT(index, 512)),
        clauses=tuple(clauses),
        assumption=f"{words}; the index is below 512",
        least=("entry", "index"),
    )
