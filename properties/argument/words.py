"""The words that lemmas share: bound variables, what table entries and table pages can be, and how a lemma is put together."""

from __future__ import annotations

from collections.abc import Sequence

import z3

from ...core.system import Lemma
from ...model.machine import tables
from ...model.machine.sorts import DESC, GFN, IOMMU, PT, REGION, ROOT, SLOT
from ...model.program_points import THREADS, Location

t, u = THREADS.const("t"), THREADS.const("u")
g, h = GFN.const("g"), GFN.const("h")
r, s, p = REGION.const("r"), SLOT.const("s"), PT.const("p")
root, i, n = ROOT.const("root"), IOMMU.const("i"), DESC.const("n")

TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)
LEAF, TABLE, FROZEN = tables.LEAF, tables.TABLE, tables.FROZEN
FREE, PRIVATE, LINKED, UNLINKED, RCU = tables.PT_FREE, tables.PT_PRIVATE, tables.PT_LINKED, tables.PT_UNLINKED, tables.PT_RCU
EXPORTED = ROOT.element(0)
"""The root that the exported TDP fd names."""

Here = tuple[Location, ...]


def lemma(name: str, variables: Sequence[z3.ExprRef], body: z3.BoolRef, sentence: str, because: str) -> Lemma:
    """That `body` holds for all `variables`; the lemma that says nothing holds as `TRUE`."""
    if not variables:
        return Lemma(name, body, sentence, because)
    return Lemma(name, TRUE if z3.is_true(z3.simplify(body)) else z3.ForAll(list(variables), body), sentence, because)
