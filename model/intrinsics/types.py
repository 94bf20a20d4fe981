"""The C types of the shipped kernel C: what `gfn_t`, `u64` (an SPTE), `tdp_ptep_t` and `struct kvm_mmu_page *` are here."""

from __future__ import annotations

import z3

from ...core.sorts import Sort
from ...kernelc.lowering.library import BOOLEAN, CType, Handle, Record, Scalar, Value, record
from ..machine.sorts import BLOCK, DEVICE, FRAME, GFN, PT, REGION, ROOT, SLOT, VCPU, gfn_le
from ..machine.tables import ENTRY, FROZEN, LEAF, NONE, TABLE

LEVELS = Sort("Level", ("PG_LEVEL_4K", "PG_LEVEL_2M"))
CODES = Sort(
    "Code",
    ("0", "RET_PF_CONTINUE", "RET_PF_RETRY", "RET_PF_FIXED", "RET_PF_SPURIOUS", "-EINVAL", "-EBUSY", "-EFAULT", "-EAGAIN", "-ENOMEM"),
)
REQUESTS = Sort("Request", ("KVM_REQ_TLB_FLUSH", "KVM_REQ_MMU_FREE_OBSOLETE_ROOTS"))
SORTS = (LEVELS, CODES, REQUESTS)

GFN_T = Scalar("gfn_t", GFN, less_equal=gfn_le)
PFN_T = Scalar("kvm_pfn_t", FRAME, {0: FRAME.element(0)})
HUGE_PFN_T = Scalar("struct folio *", BLOCK, {0: BLOCK.element(0)})
LEVEL_T = Scalar("enum pg_level", LEVELS, {0: LEVELS.element(0)})
INT = Scalar("int", CODES, {0: CODES.element("0")})
REQUEST_T = Scalar("enum kvm_request", REQUESTS)
DEVICE_T = Scalar("struct device *", DEVICE)
KVM = Handle("struct kvm *")


def _equal_sptes(left: Value, right: Value) -> z3.BoolRef:
    """Equality of 64-bit entries: fields that a kind of entry does not have do not count."""
    leaf = z3.And(left["writable"] == right["writable"], left["frame"] == right["frame"], left["block"] == right["block"])
    return z3.And(
        left["kind"] == right["kind"],
        z3.Implies(left["kind"] == LEAF, leaf),
        z3.Implies(left["kind"] == TABLE, left["pt"] == right["pt"]),
    )


_EMPTY = {"kind": NONE, "writable": z3.BoolVal(False), "frame": FRAME.element(0), "block": BLOCK.element(0), "pt": PT.element(0)}
_KIND = Scalar("entry kind", ENTRY)
SPTE = Record(
    "u64",
    (("kind", _KIND), ("writable", BOOLEAN), ("frame", PFN_T), ("block", HUGE_PFN_T), ("pt", Scalar("table page", PT))),
    {0: _EMPTY},
    equal=_equal_sptes,
)
REMOVED_SPTE = Value(SPTE, {**_EMPTY, "kind": FROZEN})

PTEP = Record(
    "tdp_ptep_t",
    (
        ("lower", BOOLEAN),
        ("root", Scalar("root", ROOT)),
        ("region", Scalar("region", REGION)),
        ("pt", Scalar("table page", PT)),
        ("slot", Scalar("slot", SLOT)),
    ),
    {0: {"lower": z3.BoolVal(False), "root": ROOT.element(0), "region": REGION.element(0), "pt": PT.element(0), "slot": SLOT.element(0)}},
)

PAGE = Record(
    "struct kvm_mmu_page *",
    (("null", BOOLEAN), ("is_root", BOOLEAN), ("root", Scalar("root", ROOT)), ("pt", Scalar("table page", PT))),
    {0: {"null": z3.BoolVal(True), "is_root": z3.BoolVal(False), "root": ROOT.element(0), "pt": PT.element(0)}},
    truth=lambda value: z3.Not(value["null"]),
)

VCPU_T = Record(
    "struct kvm_vcpu *",
    (("null", BOOLEAN), ("vcpu", Scalar("vcpu", VCPU))),
    {0: {"null": z3.BoolVal(True), "vcpu": VCPU.element(0)}},
    truth=lambda value: z3.Not(value["null"]),
)

TYPES: dict[tuple[str, int], CType] = {
    ("bool", 0): BOOLEAN,
    ("int", 0): INT,
    ("gfn_t", 0): GFN_T,
    ("kvm_pfn_t", 0): PFN_T,
    ("struct folio", 1): HUGE_PFN_T,
    ("enum pg_level", 0): LEVEL_T,
    ("u64", 0): SPTE,
    ("tdp_ptep_t", 0): PTEP,
    ("struct kvm_mmu_page", 1): PAGE,
    ("struct kvm_vcpu", 1): VCPU_T,
    ("struct kvm", 1): KVM,
    ("struct device", 1): DEVICE_T,
}

CONSTANTS: dict[str, Value] = {
    **{name: Value(LEVEL_T, {"": LEVELS.element(name)}) for name in LEVELS.elements},
    **{name: Value(INT, {"": CODES.element(name)}) for name in CODES.elements if name != "0"},
    **{name: Value(REQUEST_T, {"": REQUESTS.element(name)}) for name in REQUESTS.elements},
    "REMOVED_SPTE": REMOVED_SPTE,
}


def root_page(term: z3.ExprRef) -> Value:
    """A root as a `struct kvm_mmu_page *`."""
    return record(PAGE, null=z3.BoolVal(False), is_root=z3.BoolVal(True), root=term, pt=PT.element(0))


def table_page(term: z3.ExprRef) -> Value:
    """A level-1 table page as a `struct kvm_mmu_page *`."""
    return record(PAGE, null=z3.BoolVal(False), is_root=z3.BoolVal(False), root=ROOT.element(0), pt=term)


def choose(condition: z3.BoolRef, then: Value, otherwise: Value) -> Value:
    """`condition ? then : otherwise` of two values of one type."""
    return Value(then.type, {path: z3.If(condition, then.parts[path], otherwise.parts[path]) for path in then.parts})
