"""The CPU's side of the same promise: guest code reaches no frame that the host has taken back, nor walks a root that is invalid."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ..core.system import Property
from ..model.machine.cpu import in_guest, tlb_frame, tlb_valid, vcpu_root
from ..model.machine.host import maps
from ..model.machine.locks import mmu_writer
from ..model.machine.sorts import GFN, VCPU, g, u, v
from ..model.machine.tables import root_invalid
from ..model.scene import Scene
from ..model.view.naming import cell, frame_name, gfns
from .registered import Registered
from .repairs import FLUSHES, STALE, Recipe
from .telling import Run, Teller, Wrong, chain, owner_now

PROPERTY = Property(
    name="no_stale_cpu_mapping",
    sentence=(
        "No vCPU that runs guest code reaches a frame that the host has taken back, nor runs on an invalid root once mmu_lock is let go."
    ),
    holds=z3.And(
        z3.ForAll([v, g], z3.Implies(z3.And(in_guest(v), tlb_valid(v, g)), maps(g, tlb_frame(v, g)))),
        z3.ForAll([v], z3.Or(z3.Not(z3.And(in_guest(v), root_invalid(vcpu_root(v)))), z3.Exists([u], mmu_writer(u)))),
    ),
    premise=z3.Exists([v, g], z3.And(in_guest(v), tlb_valid(v, g))),
    source="kvm_make_all_cpus_request() and vcpu_enter_guest(), Linux 6.1; KVM_REQ_MMU_FREE_OBSOLETE_ROOTS, kvm_mmu_zap_all_fast()",
)

TELL_THE_VCPUS = Recipe(
    "tell the vCPUs to leave the root",
    "Tell every vCPU to leave the roots that became invalid",
    r"kvm_tdp_mmu_invalidate_all_roots\(kvm\);",
    ("kvm_make_all_cpus_request(kvm, KVM_REQ_MMU_FREE_OBSOLETE_ROOTS);",),
    "after",
    r"KVM_REQ_MMU_FREE_OBSOLETE_ROOTS",
)


def _found(scene: Scene) -> Iterator[Wrong]:
    for vcpu in (n for n in scene.each(VCPU) if scene.is_set(in_guest, n)):
        for gfn in scene.each(GFN):
            frame = scene.number(tlb_frame, vcpu, gfn)
            if scene.is_set(tlb_valid, vcpu, gfn) and scene.backed(gfn) != frame:
                yield Wrong(
                    f"vcpu {vcpu} runs guest code and reaches frame {frame_name(frame)} by {gfns([gfn])}, which the host has taken back",
                    {"vcpu": vcpu, "gfn": gfn, "frame": frame},
                    (cell(tlb_valid, vcpu, gfn), cell(tlb_frame, vcpu, gfn), cell(in_guest, vcpu)),
                )
        root = scene.number(vcpu_root, vcpu)
        if scene.is_set(root_invalid, root) and not any(scene.is_set(mmu_writer, n) for n, _ in enumerate(scene.threads)):
            said = f"vcpu {vcpu} runs guest code on root {root}, which is invalid, and nobody makes it leave"
            yield Wrong(said, {"vcpu": vcpu, "root": root}, (cell(vcpu_root, vcpu), cell(root_invalid, root), cell(in_guest, vcpu)))


def _stale(run: Run, found: Wrong, vcpu: int, gfn: int, frame: int) -> str:
    events = [
        (run.since(lambda s: s.is_set(tlb_valid, vcpu, gfn) and s.number(tlb_frame, vcpu, gfn) == frame), f"caches {gfns([gfn])}"),
        (run.since(lambda s: s.backed(gfn) != frame), f"takes frame {frame_name(frame)} back"),
        (run.since(lambda s: s.is_set(in_guest, vcpu)), "enters the guest"),
    ]
    reach = f"frame {frame_name(frame)} by {gfns([gfn])}{owner_now(run.end, frame)}"
    return f"{chain(run, events)} The TLB of vcpu {vcpu}, which runs guest code, still reaches {reach}."


def _on_an_invalid_root(run: Run, found: Wrong, vcpu: int, root: int) -> str:
    events = [
        (run.since(lambda s: s.is_set(root_invalid, root)), f"makes root {root} invalid"),
        (run.since(lambda s: s.is_set(in_guest, vcpu)), "enters the guest"),
    ]
    return f"{chain(run, events)} Now {found.sentence}: what is zapped there is not flushed, since every vCPU is to leave."


REGISTERED = Registered(
    PROPERTY,
    _found,
    (Teller(("vcpu", "gfn", "frame"), _stale), Teller(("vcpu", "root"), _on_an_invalid_root)),
    (TELL_THE_VCPUS, *FLUSHES, *STALE),
    every_size=False,
)
