"""`spte_format_agrees`: do EPT, VT-d and KVM take every value that KVM can write for the same?

One question a class of values, a level, a place of SPTE_MMU_PRESENT, and a kind of hardware. And what the move of that bit costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import z3

from ..core.sorts import Word
from .questions import Clause, Finding, Question, Step, ask, plain
from .readers import Hardware, Reading, ept, vtd
from .written import CLASSES, ENTRY, LAYOUTS, Written, assumed, inputs, kernel, making, reading

MACHINES = {
    "usual": Hardware(),
    "no-snoop-control": Hardware(snoop_control=False),
    "refuses-write-only": Hardware(write_only=False),
    "narrow-haw": Hardware(haw=39),
    "bit-62-reserved": Hardware(bit_62_reserved=True),
}
"""Hardware that differs from the usual one in one switch."""


@dataclass(frozen=True)
class Case:
    """One question of `spte_format_agrees`: which values, at which level, with SPTE_MMU_PRESENT where, on which hardware."""

    written: str
    level: int
    layout: str
    machine: str

    @property
    def name(self) -> str:
        return f"spte_format_agrees/{self.written}/level-{self.level}/{self.layout}/{self.machine}"

    @property
    def readings(self) -> tuple[Reading, Reading]:
        """EPT's and VT-d's of `entry`."""
        hardware = MACHINES[self.machine]
        return ept(ENTRY, self.level, hardware), vtd(ENTRY, self.level, hardware)


def cases() -> Iterator[Case]:
    """Every case."""
    for machine in MACHINES:
        for layout in LAYOUTS:
            for each in CLASSES.values():
                for level in each.levels:
                    yield Case(each.name, level, layout, machine)


@cache
def question(case: Case) -> Question:
    """The question of one case."""
    each: Written = CLASSES[case.written]
    held, words = assumed(each, case.layout, case.level, MACHINES[case.machine])
    cpu, iommu = case.readings
    return Question(
        name=case.name,
        sentence=f"EPT, VT-d and KVM take {each.sentence} for the same (level {case.level}, MMU-present at {case.layout}, {case.machine})",
        source=each.source,
        inputs=inputs(each, case.layout),
        steps=(making(each, case.layout), *reading(each, case.layout, case.level)),
        assumed=held,
        clauses=tuple(_clauses(each, cpu, iommu)),
        assumption=words,
        least=("ept.l1tf_mask", "entry"),
    )


def _clauses(each: Written, cpu: Reading, iommu: Reading) -> Iterator[Clause]:
    present, last, address, writable = (z3.BitVec(name, 64) for name in ("kvm_present", "kvm_last", "kvm_address", "kvm_writable"))
    yield Clause("vtd-implies-kvm", "what VT-d walks or translates by, KVM calls present", present != 0, iommu.taken)
    yield Clause("ept-implies-kvm", "what EPT walks or translates by, KVM calls present", present != 0, cpu.taken)
    same = z3.And(cpu.table == iommu.table, z3.And(cpu.leaf, z3.Or(cpu.read, cpu.write)) == iommu.leaf)
    yield Clause("same-kind", "EPT and VT-d both go on with a table, both translate, or neither does", same)
    alike = z3.And(cpu.address == iommu.address, cpu.read == iommu.read, cpu.write == iommu.write)
    both = z3.And(cpu.taken, iommu.taken)
    yield Clause("same-translation", "where both take it, they come to the same address with the same R and W", alike, both)
    kvm = z3.And((last != 0) == cpu.last, address == cpu.address, (writable != 0) == cpu.write)
    yield Clause("kvm-agrees", "where EPT takes it, KVM reads the same address, kind and W", kvm, cpu.taken)
    own = "where VT-d translates by it, it finds no meaning of its own in a bit of KVM's (bit 11: SNP)"
    yield Clause("no-second-meaning", own, z3.Not(iommu.snoops), iommu.leaf)
    if each.name in ("write-protected", "dirty-cleared"):
        logged = z3.Not(z3.Or(z3.And(cpu.leaf, cpu.write), z3.And(iommu.leaf, iommu.write)))
        yield Clause("nobody-writes", "neither EPT nor VT-d writes through it", logged)
    if each.name == "mmio":
        gpa = z3.BitVec("gfn", 64) << 12
        yield Clause("not-at-gpa", "where VT-d translates by it, the host address is not the guest's", iommu.address != gpa, iommu.leaf)
    yield Clause("kvm-knows-it", "KVM takes its own value for what it wrote", _known(each))


def _known(each: Written) -> z3.BoolRef:
    present, mmio, frozen, tracked, generation = (
        z3.BitVec(name, 64) for name in ("kvm_present", "kvm_mmio", "kvm_frozen", "kvm_tracked", "kvm_generation")
    )
    match each.name:
        case "mmio":
            return z3.And(mmio != 0, present == 0, frozen == 0, generation == z3.BitVec("gen", 64) & ((1 << GENERATION_BITS) - 1))
        case "frozen":
            return z3.And(frozen != 0, present == 0, mmio == 0)
        case "empty":
            return z3.And(frozen == 0, present == 0, mmio == 0)
        case "access-tracked":
            return z3.And(tracked != 0, present != 0, mmio == 0, frozen == 0)
        case _:
            return z3.And(present != 0, mmio == 0, frozen == 0)


GENERATION_BITS = 19
"""How much of the memslots' generation an MMIO entry holds, as arch/x86/kvm/mmu/spte.h, Linux 6.1, says; `generation_bits` computes it."""


def blamed(case: Case, finding: Finding) -> Iterator[str]:
    """Of a refutation, in words: who refuses the value by which bits, and who has a meaning of its own for which."""
    for who, each in zip(("EPT", "VT-d"), case.readings, strict=True):
        if not plain(each.present, finding.values):
            yield f"{who}: not present"
            continue
        broken = [rule for rule in each.rules if plain(rule.broken, finding.values)]
        for rule in broken:
            bits = ", ".join(str(n) for n in rule.bits) if len(rule.bits) < 4 else f"{rule.bits[0]} to {rule.bits[-1]}"
            yield f"{who} refuses it by bit {bits}: {rule.sentence}"
        if not broken:
            what = "a page" if plain(each.last, finding.values) else "a table"
            allowed = "".join(letter for letter, term in (("R", each.read), ("W", each.write)) if plain(term, finding.values))
            snoops = ", and reads bit 11 as SNP" if plain(each.last, finding.values) and plain(each.snoops, finding.values) else ""
            yield f"{who} takes it for {what} at {plain(each.address, finding.values):#x} with {allowed or 'neither R nor W'}{snoops}"
    bit = case.layout.removeprefix("bit-")
    yield f"KVM: {'' if finding.values['kvm_present'] else 'not '}MMU-present (bit {bit})"


# What the bit costs


@cache
def generation_bits(layout: str) -> int:
    """How many low bits of the generation come back from an MMIO entry, whatever its page; asked of the solvers bit by bit."""
    gen = z3.BitVec("gen", 64)
    each = CLASSES["mmio"]
    held, words = assumed(each, layout, 1, MACHINES["usual"])
    back = z3.BitVec("kvm_generation", 64)
    clauses = tuple(
        Clause(f"bit-{n}", f"bit {n} of the generation comes back", z3.Extract(n, n, back) == z3.Extract(n, n, gen)) for n in range(24)
    )
    steps = (making(each, layout), Step("kvm_generation", kernel("get_mmio_spte_generation", layout), {"spte": ENTRY}))
    asked = Question("generation_bits", "", "", inputs(each, layout), steps, held, clauses, words)
    found = ask(asked)
    return next((n for n, finding in enumerate(found) if finding.answer != "proved"), len(found))


@cache
def generation_places(layout: str) -> tuple[int, ...]:
    """The bits of an MMIO entry that depend on the generation, lowest first."""
    made = kernel("generation_mmio_spte_mask", layout)
    steps = (Step("one", made, {"gen": z3.BitVec("a", 64)}), Step("other", made, {"gen": z3.BitVec("b", 64)}))
    one, other = z3.BitVec("one", 64), z3.BitVec("other", 64)
    clauses = tuple(Clause(str(n), f"bit {n} does not depend on it", z3.Extract(n, n, one) == z3.Extract(n, n, other)) for n in range(64))
    words: Mapping[str, Word] = {"a": Word(64), "b": Word(64)}
    found = ask(Question("generation_places", "", "", words, steps, z3.BoolVal(True), clauses))
    return tuple(n for n, finding in enumerate(found) if finding.answer == "refuted")
