"""A shared table and non-coherent DMA exclude each other, whichever comes first and whoever races."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ..core.system import Property
from ..model.machine.devices import coherent, noncoherent_registered, tdp_exported
from ..model.machine.ghosts import refused
from ..model.machine.iommu import attached
from ..model.machine.locks import mmu_writer
from ..model.machine.sorts import DEVICE, ROOT, d, e, root, u
from ..model.machine.tables import root_exported
from ..model.scene import Scene
from ..model.view.naming import cell
from .registered import Registered
from .repairs import Recipe
from .telling import Run, Teller, Wrong, chain

_APART = z3.Or(z3.ForAll([d], z3.Not(noncoherent_registered(d))), z3.Exists([u], mmu_writer(u)))
_SHARED = (tdp_exported(), z3.Exists([root], root_exported(root)), z3.Exists([e], attached(e)))
"""That the table is shared, whichever of its marks the kernel forgets to set: a device that walks it needs none."""

PROPERTY = Property(
    name="reject_noncoherent_dma",
    sentence="The table is never shared while non-coherent DMA is registered, and no device that does not snoop is attached to it.",
    holds=z3.And(
        *(z3.Or(z3.Not(shared), _APART) for shared in _SHARED),
        z3.ForAll([d], z3.Implies(attached(d), coherent(d))),
    ),
    premise=refused(),
    source="the RFC's patches 19, 20, 26 and 35: kvm_mmu_is_expoted_allowed(); kvm_arch_register_noncoherent_dma(), Linux 6.7",
)

REFUSE_THE_ATTACH = Recipe(
    "refuse the attach",
    "Refuse to attach a device whose DMA is non-coherent",
    r"pasid_entry_set\(dev\);",
    ("if (!iommu_is_coherent(dev)) {", "\tnote_refused();", "\treturn -EINVAL;", "}"),
    "before",
    r"iommu_is_coherent",
)
REFUSE_THE_REGISTRATION = Recipe(
    "refuse the registration",
    "Refuse to register non-coherent DMA while the table is shared",
    r"noncoherent_dma_count_inc\(",
    ("if (kvm_tdp_is_exported(kvm)) {", "\tnote_refused();", "\twrite_unlock(&kvm->mmu_lock);", "\treturn -EBUSY;", "}"),
    "before",
    r"kvm_tdp_is_exported",
)
REFUSE_THE_EXPORT = Recipe(
    "refuse the export",
    "Refuse to share the table while non-coherent DMA is registered, under mmu_lock",
    r"root->exported = true;",
    ("if (kvm_arch_has_noncoherent_dma(kvm)) {", "\tnote_refused();", "\twrite_unlock(&kvm->mmu_lock);", "\treturn -EINVAL;", "}"),
)


def _found(scene: Scene) -> Iterator[Wrong]:
    for d in scene.each(DEVICE):
        if scene.is_set(noncoherent_registered, d) and (shared := _shared(scene)) is not None:
            says, mark = shared
            yield Wrong(
                f"{says} while non-coherent DMA of device {d} is registered", {"device": d}, (mark, cell(noncoherent_registered, d))
            )
        if scene.is_set(attached, d) and not scene.is_set(coherent, d):
            yield Wrong(f"device {d}, whose DMA is non-coherent, is attached to the shared table", {"device": d}, (cell(attached, d),))


def _shared(scene: Scene) -> tuple[str, str] | None:
    """What says that the table is shared: the kernel's marks, or else a device that walks it without any."""
    if scene.is_set(tdp_exported):
        return "the TDP is exported", cell(tdp_exported)
    for root in scene.each(ROOT):
        if scene.is_set(root_exported, root):
            return f"root {root} is exported", cell(root_exported, root)
    for device in scene.each(DEVICE):
        if scene.is_set(attached, device):
            return f"device {device} is attached to the table", cell(attached, device)
    return None


def _noncoherent(run: Run, found: Wrong, d: int) -> str:
    marked = run.end.is_set(tdp_exported)
    exported = run.since(lambda s: s.is_set(tdp_exported) if marked else any(s.is_set(root_exported, root) for root in s.each(ROOT)))
    registered = run.since(lambda s: s.is_set(noncoherent_registered, d))
    joined = run.since(lambda s: s.is_set(attached, d))
    events = [
        (exported, "exports the TDP"),
        (registered, f"registers non-coherent DMA of device {d}"),
        (joined, f"attaches device {d}"),
    ]
    nobody = "" if run.end.is_set(refused) else "Nobody is refused: "
    reach = f", so DMA of device {d} to guest memory may bypass the CPU caches" if run.end.is_set(attached, d) else ""
    return f"{chain(run, events)} {nobody or 'Now '}{found.sentence}{reach}."


REGISTERED = Registered(
    PROPERTY, _found, (Teller(("device",), _noncoherent),), (REFUSE_THE_ATTACH, REFUSE_THE_REGISTRATION, REFUSE_THE_EXPORT)
)
