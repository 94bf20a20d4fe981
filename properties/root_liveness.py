"""The root that an IOMMU walks lives: it is neither invalid nor without its reference, and nothing is installed in a dead root."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ..core.system import Property
from ..model.machine.ghosts import dead_install
from ..model.machine.iommu import active, domain_root
from ..model.machine.sorts import IOMMU, i, root
from ..model.machine.tables import root_exported, root_invalid, root_ref_export
from ..model.scene import Scene
from ..model.view.naming import cell
from .registered import Registered
from .repairs import Recipe
from .telling import Run, Teller, Wrong, chain, devices

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

KEEP_THE_EXPORTED_ROOT = Recipe(
    "keep the exported root",
    "Leave an exported root valid: an IOMMU points to it",
    r"root->role\.invalid = true;",
    ("if (root->exported)", "\tcontinue;"),
    "before",
    r"if \(root->exported\)",
)
REFUSE_AN_INVALID_ROOT = Recipe(
    "refuse an invalid root",
    "Refuse to export a root that is invalid",
    r"root->exported = true;",
    ("if (root->role.invalid) {", "\twrite_unlock(&kvm->mmu_lock);", "\treturn -EAGAIN;", "}"),
    "before",
    r"role\.invalid",
)
DO_NOT_MAP_IN_AN_INVALID_ROOT = Recipe(
    "do not map in an invalid root",
    "Treat a fault in an invalid root as stale, under mmu_lock",
    r"^\tread_lock\(&kvm->mmu_lock\);",
    ("if (root->role.invalid) {", "\tread_unlock(&kvm->mmu_lock);", "\treturn RET_PF_RETRY;", "}"),
    "after",
)


def _found(scene: Scene) -> Iterator[Wrong]:
    for i in (i for i in scene.each(IOMMU) if scene.active(i)):
        root = scene.number(domain_root, i)
        faults = (
            (scene.is_set(root_invalid, root), "invalid", root_invalid),
            (not scene.is_set(root_exported, root), "not exported", root_exported),
            (not scene.is_set(root_ref_export, root), "without the export's reference", root_ref_export),
        )
        for wrong, what, var in faults:
            if wrong:
                yield Wrong(
                    f"iommu {i} walks root {root}, which is {what}", {"iommu": i, "root": root}, (cell(var, root), cell(domain_root, i))
                )
    if scene.is_set(dead_install):
        yield Wrong("a present SPTE was installed in an invalid root", {}, (cell(dead_install),))


def _dead_root(run: Run, found: Wrong, i: int, root: int) -> str:
    what = found.sentence.partition(", which is ")[2] or "dead"
    events = [
        (run.since(lambda s: s.is_set(root_invalid, root)), f"makes root {root} invalid"),
        (run.since(lambda s: not s.is_set(root_ref_export, root)), f"puts the export's reference to root {root}"),
        (run.since(lambda s: not s.is_set(root_exported, root)), f"takes the export of root {root} back"),
        (run.since(lambda s: s.active(i)), f"lets iommu {i} walk root {root}"),
    ]
    through = f"root {root}: its DMA goes through a root that is {what}"
    return f"{chain(run, events)} The domain of {devices(run.end, i)} still points to {through}."


REGISTERED = Registered(
    PROPERTY,
    _found,
    (Teller(("iommu", "root"), _dead_root),),
    (KEEP_THE_EXPORTED_ROOT, REFUSE_AN_INVALID_ROOT, DO_NOT_MAP_IN_AN_INVALID_ROOT),
)
