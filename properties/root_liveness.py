"""The root that an IOMMU walks lives: it is neither invalid nor without its reference, and nothing is installed in a dead root."""

from __future__ import annotations

import z3

from ..core.system import Property
from ..model.machine.ghosts import dead_install
from ..model.machine.iommu import active, domain_root
from ..model.machine.sorts import i, root
from ..model.machine.tables import root_exported, root_invalid, root_ref_export

PROPERTY = Property(
    name="root_liveness",
    sentence="A root that an IOMMU points to is valid, exported and referenced; no mapping is installed in an invalid root.",
    holds=z3.And(
        z3.ForAll(
            [i],
            z3.Implies(
                active(i), z3.And(z3.Not(root_invalid(domain_root(i))), root_exported(domain_root(i)), root_ref_export(domain_root(i)))
            ),
        ),
        z3.Not(dead_install()),
    ),
    premise=z3.Or(z3.Exists([i], active(i)), z3.Exists([root], root_invalid(root))),
    source="the RFC's patch 36: kvm_tdp_mmu_invalidate_all_roots() skips exported roots; commit a955cad84cda, Linux 5.16",
)
