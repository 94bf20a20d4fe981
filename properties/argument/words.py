"""The words that lemmas share: bound variables, the places of threads, and what a thread's locals are called there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import z3

from ...core.sorts import Sort
from ...core.system import Lemma
from ...model.machine.sorts import BLOCK, FRAME, GFN, IOMMU, PT, REGION, ROOT, SLOT
from ...model.parametric import Parametric
from ...model.places import Edge, Location, Places
from ...kernelc.cfg import THREADS

t, u = THREADS.const("t"), THREADS.const("u")
g, h, k = GFN.const("g"), GFN.const("h"), GFN.const("k")
r, s, p, q = REGION.const("r"), SLOT.const("s"), PT.const("p"), PT.const("q")
root, i, f, b = ROOT.const("root"), IOMMU.const("i"), FRAME.const("f"), BLOCK.const("b")

TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)
