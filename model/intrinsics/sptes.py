"""Pure questions about SPTE values, and how to make them. Source: arch/x86/kvm/mmu/spte.h, Linux 6.1."""

from __future__ import annotations

import z3

from ...kernelc.lowering.library import BOOLEAN, Intrinsic, Value, boolean, record, scalar
from ..machine.sorts import BLOCK, FRAME, PT
from ..machine.tables import FROZEN, LEAF, TABLE
from .types import HUGE_PFN_T, LEVEL_T, PAGE, PFN_T, SPTE, table_page


def _present(t: z3.ExprRef, spte: Value) -> Value:
    return boolean(z3.Or(spte["kind"] == LEAF, spte["kind"] == TABLE))


def _leaf(frame: z3.ExprRef, block: z3.ExprRef, writable: z3.BoolRef) -> Value:
    return record(SPTE, kind=LEAF, writable=writable, frame=frame, block=block, pt=PT.element(0))


def _nonleaf(t: z3.ExprRef, page: Value) -> Value:
    return record(SPTE, kind=TABLE, writable=z3.BoolVal(False), frame=FRAME.element(0), block=BLOCK.element(0), pt=page["pt"])


INTRINSICS = (
    Intrinsic("is_shadow_present_pte", (SPTE,), BOOLEAN, _present, "local", doc="SPTE_MMU_PRESENT_MASK"),
    Intrinsic(
        "is_last_spte",
        (SPTE, LEVEL_T),
        BOOLEAN,
        lambda t, spte, level: boolean(spte["kind"] == LEAF),
        "local",
        doc="level 4K, or the PS bit",
    ),
    Intrinsic(
        "is_large_pte",
        (SPTE,),
        BOOLEAN,
        lambda t, spte: boolean(z3.And(spte["kind"] == LEAF)),
        "local",
        doc="the PS bit; asked of level-2 entries",
    ),
    Intrinsic("is_removed_spte", (SPTE,), BOOLEAN, lambda t, spte: boolean(spte["kind"] == FROZEN), "local", doc="REMOVED_SPTE"),
    Intrinsic("is_writable_pte", (SPTE,), BOOLEAN, lambda t, spte: boolean(spte["writable"]), "local", doc="PT_WRITABLE_MASK"),
    Intrinsic(
        "make_spte",
        (PFN_T,),
        SPTE,
        lambda t, pfn: _leaf(pfn.term, BLOCK.element(0), z3.BoolVal(True)),
        "local",
        doc="a writable 4 KiB leaf",
    ),
    Intrinsic(
        "make_large_spte",
        (HUGE_PFN_T,),
        SPTE,
        lambda t, pfn: _leaf(FRAME.element(0), pfn.term, z3.BoolVal(True)),
        "local",
        doc="a writable 2 MiB leaf",
    ),
    Intrinsic("make_nonleaf_spte", (PAGE,), SPTE, _nonleaf, "local", doc="points to a table page"),
    Intrinsic("spte_to_child_sp", (SPTE,), PAGE, lambda t, spte: table_page(spte["pt"]), "local", doc="the table page of a non-leaf SPTE"),
    Intrinsic("spte_to_pfn", (SPTE,), PFN_T, lambda t, spte: scalar(PFN_T, spte["frame"]), "local", doc="of a 4 KiB leaf"),
)
