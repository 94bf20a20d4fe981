"""A mirror says of the table that hardware walks what is true of it: KVM decides by the mirror, so that it must not believe too much."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ..core.system import Property
from ..model.machine.sorts import GFN, ROOT, g
from ..model.machine.spaces import Spaces
from ..model.machine.tables import pmd_kind, same_walk, walk_frame, walks
from ..model.scene import Scene
from ..model.system import Model
from ..model.view.naming import cell, frame_name, gfns
from .registered import Registered
from .telling import Run, Teller, Wrong, chain, lower_cell, step_effect


def mirror_agrees(spaces: Spaces, roots: int) -> Property:
    """Of each of so many roots that repeats another: a walk that ends in a leaf (a frozen entry is none) ends in the same one there."""
    pairs = [(ROOT.element(mirror), ROOT.element(other)) for mirror, other in spaces.mirrored(roots)]
    agree = [z3.ForAll([g], z3.Implies(walks(a, g), same_walk(b, g, walk_frame(a, g)))) for a, b in pairs]
    return Property(
        name="mirror_agrees",
        sentence="What a mirror maps, the table that it repeats maps to the same frame; an entry that is frozen meanwhile says nothing.",
        holds=z3.And(agree) if agree else z3.BoolVal(True),
        premise=z3.Or([z3.Exists([g], walks(a, g)) for a, _ in pairs]) if pairs else z3.BoolVal(False),
        source="mirror and external page tables: arch/x86/kvm/mmu/tdp_mmu.c, set_external_spte_present(), Linux 6.13",
    )


def _found(scene: Scene) -> Iterator[Wrong]:
    for mirror, other in scene.mirrored():
        for gfn in scene.each(GFN):
            said, there = scene.walk(mirror, gfn), scene.walk(other, gfn)
            if said is not None and there != said:
                finds = "nothing" if there is None else f"frame {frame_name(there)}"
                yield Wrong(
                    f"root {mirror} maps {gfns([gfn])} to frame {frame_name(said)}, and root {other}, which it repeats, has {finds} there",
                    {"mirror": mirror, "root": other, "gfn": gfn, "frame": said},
                    tuple(
                        name
                        for root in (mirror, other)
                        for name in (cell(pmd_kind, root, scene.region_of(gfn)), *lower_cell(scene, root, gfn))
                    ),
                )  # fmt: skip


def _apart(run: Run, found: Wrong, mirror: int, root: int, gfn: int, frame: int) -> str:
    number = run.since(lambda s: s.walk(mirror, gfn) == frame and s.walk(root, gfn) != frame)
    if not 0 < number < len(run.scenes):
        return ""
    told = chain(run, [(number, f"changes {step_effect(run, number)}")])
    return f"{told} Whoever asks root {mirror} is told that {gfns([gfn])} is mapped, and no walk of root {root} finds it."


def _of_model(model: Model) -> Property:
    return mirror_agrees(model.spaces, model.geometry.size(ROOT))


REGISTERED = Registered(
    mirror_agrees(Spaces(()), 0), _found, (Teller(("mirror", "root", "gfn", "frame"), _apart),), of_model=_of_model, every_size=False
)
