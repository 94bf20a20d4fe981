"""Splitting and recovering huge pages is invisible: what was mapped and is not being unmapped stays mapped, to the same frame."""

from __future__ import annotations

import z3

from ..core.system import Property
from ..model.machine.ghosts import promised
from ..model.machine.host import being_unmapped, host_frame
from ..model.machine.sorts import g, root
from ..model.machine.tables import root_invalid, same_walk

PROPERTY = Property(
    name="atomic_hugepage_split",
    sentence="A gfn that has been mapped and is not being unmapped is never seen non-present or with another frame, by either walker.",
    holds=z3.ForAll(
        [root, g],
        z3.Implies(z3.And(promised(root, g), z3.Not(being_unmapped(g)), z3.Not(root_invalid(root))), same_walk(root, g, host_frame(g))),
    ),
    premise=z3.Exists([root, g], z3.And(promised(root, g), z3.Not(being_unmapped(g)))),
    source="tdp_mmu_split_huge_page(), Linux 6.1; in-place split at fault time, Linux 6.7; not every device can wait for a refault",
)
