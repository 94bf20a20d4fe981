"""The tables themselves agree with the host: a walk from any root that somebody holds ends in a frame that still backs the gfn."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ..core.system import Property
from ..model.machine.cpu import alive, vcpu_root
from ..model.machine.host import maps
from ..model.machine.sorts import GFN, ROOT, VCPU, g, root
from ..model.machine.tables import pmd_kind, root_invalid, walk_frame, walks
from ..model.scene import Scene
from ..model.view.naming import cell, frame_name, gfns, listed
from .registered import Registered
from .repairs import STALE
from .telling import Run, Teller, Wrong, chain, lower_cell, owner_now

PROPERTY = Property(
    name="no_stale_spte",
    sentence="No root that somebody still holds, valid or not, maps a frame that the host has taken back.",
    holds=z3.ForAll([root, g], z3.Implies(z3.And(alive(root), walks(root, g)), maps(g, walk_frame(root, g)))),
    premise=z3.Exists([root, g], z3.And(alive(root), walks(root, g))),
    source="kvm_tdp_mmu_unmap_gfn_range() and commit d62007edf01f, Linux 5.18: the notifier zaps invalid roots, too",
)


def _found(scene: Scene) -> Iterator[Wrong]:
    for root in (x for x in scene.each(ROOT) if scene.alive(x)):
        for g in scene.each(GFN):
            found = scene.walk(root, g)
            if found is not None and scene.backed(g) != found:
                kind = "invalid but still held" if scene.is_set(root_invalid, root) else "valid"
                yield Wrong(
                    f"root {root}, {kind}, maps {gfns([g])} to frame {frame_name(found)}, which the host has taken back",
                    {"root": root, "gfn": g, "frame": found},
                    (cell(pmd_kind, root, scene.region_of(g)), *lower_cell(scene, root, g)),
                )


def _stale_spte(run: Run, found: Wrong, root: int, g: int, f: int) -> str:
    mapped = run.since(lambda s: s.walk(root, g) == f)
    released = run.since(lambda s: s.backed(g) != f)
    invalid = run.since(lambda s: s.is_set(root_invalid, root))
    events = [
        (mapped, f"maps {gfns([g])} to {frame_name(f)} in root {root}"),
        (invalid, f"makes root {root} invalid"),
        (released, f"unmaps {gfns([g])} from the host"),
    ]
    holders = [f"vcpu {v}" for v in run.end.each(VCPU) if run.end.number(vcpu_root, v) == root]
    held = f", which {listed(holders)} {'has' if len(holders) == 1 else 'have'} loaded," if holders else ""
    return f"{chain(run, events)} Root {root}{held} still maps {gfns([g])} to frame {frame_name(f)}{owner_now(run.end, f)}."


REGISTERED = Registered(PROPERTY, _found, (Teller(("root", "gfn", "frame"), _stale_spte),), STALE)
