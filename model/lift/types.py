"""The C types of lifted code: integers are words, a `u64` is an SPTE, and a pointer to one is a table and an index.

Source of the names: arch/x86/kvm/mmu/, Linux 6.1. `struct tdp_iter`, `struct kvm_page_fault` and `struct kvm_gfn_range` are the
kernel's own, read from its headers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import z3

from ...core.sorts import Word
from ...kernelc.lowering.integers import literal, resized
from ...kernelc.lowering.library import BOOLEAN, CType, Handle, Record, Scalar, Value, record
from ..intrinsics import sync, types
from ..machine.sorts import PT, ROOT
from .words import INT_BITS, PAGE_SHIFT, ROOT_LEVEL, Words

KVM = types.KVM
SLOT_T = Handle("struct kvm_memory_slot *")
KVM_ARCH = Handle("struct kvm_arch")
PAGES_LOCK = Handle("tdp_mmu_pages_lock")
PAGES_LIST = Handle("tdp_mmu_pages")
SLOTS_T = Handle("struct kvm_memslots *")
INT = Scalar("int", Word(INT_BITS), signed=True)
U8 = Scalar("u8", Word(INT_BITS - 1))
ROLE = Record("union kvm_mmu_page_role", (("level", INT),))
MMU = Record("struct kvm_mmu *", (("vcpu", types.VCPU_T),))
HPA = Record("hpa_t", (("root", Scalar("root", ROOT)),))
RCU_HEAD = Record("struct rcu_head *", (("pt", Scalar("table page", PT)),))
LINK = Record("struct list_head *", (("pt", Scalar("table page", PT)),))

REFCOUNT = Record("refcount_t *", (("vm", BOOLEAN), ("root", Scalar("root", ROOT))))
"""Who counts references: the VM, or a root."""

CODES = (
    "RET_PF_CONTINUE", "RET_PF_RETRY", "RET_PF_EMULATE", "RET_PF_INVALID", "RET_PF_FIXED", "RET_PF_SPURIOUS",
    "RET_PF_WRITE_PROTECTED",
)  # fmt: skip
"""The kernel numbers them otherwise; that they differ is all that matters."""

ERRORS = ("EAGAIN", "EBUSY", "EFAULT", "EINVAL", "ENOMEM", "EINTR", "ENOENT", "EIO")
LEVELS = ("PG_LEVEL_NONE", "PG_LEVEL_4K", "PG_LEVEL_2M", "PG_LEVEL_1G", "PG_LEVEL_512G", "PG_LEVEL_NUM")
EMPTY = "an empty SPTE"
"""No name that C text can have: what `versions` calls the value of an SPTE that maps nothing."""
GFP_FLAGS = ("GFP_KERNEL", "GFP_KERNEL_ACCOUNT", "GFP_NOWAIT", "__GFP_ACCOUNT", "__GFP_ZERO")


@dataclass(frozen=True)
class Types:
    """The types at one geometry."""

    words: Words

    @cached_property
    def long(self) -> Scalar:
        return Scalar("unsigned long", Word(self.words.long_bits))

    @cached_property
    def gfn(self) -> Scalar:
        return Scalar("gfn_t", Word(self.words.long_bits))

    @cached_property
    def pfn(self) -> Scalar:
        return Scalar("kvm_pfn_t", Word(self.words.long_bits))

    @cached_property
    def ptep(self) -> Record:
        """A pointer to an entry: in a table page if `lower`, else in a root."""
        return Record(
            "tdp_ptep_t", self._pointer, {0: self._nowhere}, truth=_not_null, add=self._add("tdp_ptep_t"), casts={"spt": self._first}
        )

    @cached_property
    def spt(self) -> Record:
        """`sp->spt`: a page's own memory, written without care until the page is linked."""
        return Record("spt", self._pointer, {0: self._nowhere}, truth=_not_null, add=self._add("spt"))

    @cached_property
    def _pointer(self) -> tuple[tuple[str, CType], ...]:
        index = Scalar("index", Word(self.words.index_bits))
        return (("null", BOOLEAN), ("lower", BOOLEAN), ("root", Scalar("root", ROOT)), ("pt", Scalar("table page", PT)), ("index", index))

    @cached_property
    def _nowhere(self) -> dict[str, z3.ExprRef]:
        index = z3.BitVecVal(0, self.words.index_bits)
        # Only pointers into table pages are ever compared with NULL, so this one keeps what is known of them.
        return {"null": z3.BoolVal(True), "lower": z3.BoolVal(True), "root": ROOT.element(0), "pt": PT.element(0), "index": index}

    def _add(self, name: str) -> Callable[[Value, z3.ExprRef], Value]:
        def plus(pointer: Value, amount: z3.ExprRef) -> Value:
            index = pointer["index"] + resized(amount, self.words.index_bits, False)
            return Value(pointer.type, {**pointer.parts, "index": index})

        return plus

    def _first(self, memory: Value) -> Value:
        return Value(self.ptep, dict(memory.parts))

    def memory(self, page: Value) -> Value:
        """`sp->spt`."""
        return record(
            self.spt, null=page["null"], lower=z3.Not(page["is_root"]), root=page["root"], pt=page["pt"],
            index=z3.BitVecVal(0, self.words.index_bits),
        )  # fmt: skip

    @cached_property
    def table(self) -> dict[tuple[str, int], CType]:
        """All types by base spelling and number of stars."""
        longs = ("unsigned long", "gpa_t", "hva_t", "u32", "phys_addr_t")
        return {
            ("bool", 0): BOOLEAN,
            ("int", 0): INT,
            ("u8", 0): U8,
            ("gfp_t", 0): INT,
            ("enum pg_level", 0): INT,
            **{(name, 0): self.long for name in longs},
            ("gfn_t", 0): self.gfn,
            ("kvm_pfn_t", 0): self.pfn,
            ("pte_t", 0): BOOLEAN,
            ("u64", 0): types.SPTE,
            ("u64", 1): self.ptep,
            ("tdp_ptep_t", 0): self.ptep,
            ("gfn_choice_t", 0): types.GFN_T,
            ("struct kvm_mmu_page", 1): types.PAGE,
            ("struct kvm_vcpu", 1): types.VCPU_T,
            ("struct kvm_mmu", 1): MMU,
            ("struct kvm", 1): KVM,
            ("struct kvm_memory_slot", 1): SLOT_T,
            ("struct device", 1): types.DEVICE_T,
            ("rwlock_t", 1): sync.MMU_LOCK,
        }

    @cached_property
    def constants(self) -> dict[str, Value]:
        """Named numbers: the kernel's where they matter, any that differ where only that matters."""
        numbers = {
            "PAGE_SHIFT": PAGE_SHIFT,
            "SPTE_ENT_PER_PAGE": self.words.slots,
            "PT64_ROOT_MAX_LEVEL": ROOT_LEVEL,
            "KVM_MAX_HUGEPAGE_LEVEL": LEVELS.index("PG_LEVEL_1G"),
            "ACC_ALL": 7,
            **{name: number for number, name in enumerate(CODES)},
            **{name: number for number, name in enumerate(ERRORS, 1)},
            **{name: number for number, name in enumerate(LEVELS)},
            **dict.fromkeys(GFP_FLAGS, 0),
        }
        empty = Value(types.SPTE, dict(types.SPTE.literals[0]))
        requests = {name: value for name, value in types.CONSTANTS.items() if name in types.REQUESTS.elements}
        return {**{name: literal(number) for name, number in numbers.items()}, **requests, "REMOVED_SPTE": types.REMOVED_SPTE, EMPTY: empty}


def _not_null(pointer: Value) -> z3.BoolRef:
    return z3.Not(pointer["null"])
