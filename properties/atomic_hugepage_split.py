"""Splitting and recovering huge pages is invisible: what was mapped and is not being unmapped stays mapped, to the same frame."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ..core.system import Property
from ..model.machine.ghosts import promised
from ..model.machine.host import being_unmapped, host_frame
from ..model.machine.iommu import domain_root
from ..model.machine.sorts import GFN, IOMMU, ROOT, g, root
from ..model.machine.tables import pmd_kind, root_invalid, same_walk
from ..model.scene import Scene
from ..model.view.naming import cell, frame_name, gfns, listed
from .registered import Registered
from .repairs import Recipe
from .telling import Run, Teller, Wrong, chain, lower_cell, step_effect

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

FILL_BEFORE_LINKING = Recipe(
    "fill before linking",
    "Fill the new table before it is linked",
    r"tdp_mmu_link_sp\(kvm, iter, sp\)",
    ("tdp_mmu_init_split_sp(sp, iter->old_spte);",),
    "before",
    r"tdp_mmu_init_split_sp",
)


def _found(scene: Scene) -> Iterator[Wrong]:
    for root in scene.each(ROOT):
        for g in scene.each(GFN):
            due = scene.is_set(promised, root, g) and not scene.unmapped_by(g) and not scene.is_set(root_invalid, root)
            found, wanted = scene.walk(root, g), scene.number(host_frame, g)
            if due and found != wanted:
                finds = "nothing" if found is None else f"frame {frame_name(found)}"
                yield Wrong(
                    f"a walk of root {root} for {gfns([g])} finds {finds}, and nobody is unmapping it",
                    {"root": root, "gfn": g, "frame": wanted},
                    (cell(pmd_kind, root, scene.region_of(g)), *lower_cell(scene, root, g)),
                )


def _hole(run: Run, found: Wrong, root: int, g: int, f: int) -> str:
    number = run.since(lambda s: s.walk(root, g) != f)
    if not 0 < number < len(run.scenes):
        return ""
    end = run.end
    others = [x for x in end.each(GFN) if end.unmapped_by(x)]
    asked = f"The invalidation that is going on covers {gfns(others)} alone" if others else f"Nobody is unmapping {gfns([g])}"
    victims = [d for i in end.each(IOMMU) if end.number(domain_root, i) == root for d in end.devices_of(i)]
    gone = [x for x in end.gfns_of(end.region_of(g)) if x not in others and end.walk(root, x) is None]
    devices = listed([f"device {d}" for d in victims])
    outcome = f": DMA of {devices} to {gfns(gone)} faults unless the IOTLB still holds it" if victims and gone else ""
    changed = chain(run, [(number, f"changes {step_effect(run, number)}")])
    return f"{changed} {asked}{outcome}."


REGISTERED = Registered(
    PROPERTY, _found, (Teller(("root", "gfn", "frame"), _hole),), (FILL_BEFORE_LINKING,), loses=True, lemmas=("promise_kept",)
)
