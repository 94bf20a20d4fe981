"""The tables themselves agree with the host: a walk from any root that somebody holds ends in a frame that still backs the gfn."""

from __future__ import annotations

import z3

from ..core.system import Property
from ..model.machine.cpu import alive
from ..model.machine.host import maps
from ..model.machine.sorts import g, root
from ..model.machine.tables import walk_frame, walks

PROPERTY = Property(
    name="no_stale_spte",
    sentence="No root that somebody still holds, valid or not, maps a frame that the host has taken back.",
    holds=z3.ForAll([root, g], z3.Implies(z3.And(alive(root), walks(root, g)), maps(g, walk_frame(root, g)))),
    premise=z3.Exists([root, g], z3.And(alive(root), walks(root, g))),
    source="kvm_tdp_mmu_unmap_gfn_range() and commit d62007edf01f, Linux 5.18: the notifier zaps invalid roots, too",
)
