"""Which instances of a property are false in a state: what a reader asks first, and what the pictures mark."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...model.assertions import ASSERTIONS, FAILED, broken
from ...model.machine.devices import coherent, noncoherent_registered, tdp_exported
from ...model.machine.ghosts import dead_install, owes_cpu, owes_cpu_pt, owes_io, owes_io_huge, owes_io_pt, promised, stale_install
from ...model.machine.host import frame_free, host_frame
from ...model.machine.iommu import attached, domain_root, iotlb_block, iotlb_frame, iotlb_huge, iotlb_valid, psc_pt, psc_valid
from ...model.machine.locks import mmu_reader, mmu_writer
from ...model.machine.sorts import DEVICE, GFN, IOMMU, REGION, ROOT, THREADS
from ...model.machine.tables import READABLE, pmd_kind, pmd_pt, pt_state, pte_kind, rcu_reader, root_exported, root_invalid, root_ref_export
from ...model.naming import cell, frame_name, gfns
from ..scene import Scene
from ..schema import Instance


def false_instances(prop: str, sentence: str, scene: Scene) -> tuple[Instance, ...]:
    """The false instances of the property called `prop`; a property that is unknown here is said to be false as a whole."""
    finder = FINDERS.get(prop)
    found = tuple(finder(scene)) if finder else ()
    return found or (Instance(f"here it is false that: {sentence}"),)


def _no_stale_io_mapping(scene: Scene) -> Iterator[Instance]:
    for i in (i for i in scene.each(IOMMU) if scene.active(i)):
        for g, f, huge in scene.translations(i):
            if scene.backed(g) != f:
                at = (i, scene.region_of(g) if huge else g)
                names = (iotlb_huge, iotlb_block) if huge else (iotlb_valid, iotlb_frame)
                now = "free" if scene.is_set(frame_free, f) else f"of {scene.holder(f)}"
                size = " (2 MiB entry)" if huge else ""
                yield Instance(
                    f"the IOTLB of iommu {i} translates {gfns([g])} to frame {frame_name(f)}{size}, which is {now}",
                    {"iommu": i, "gfn": g, "frame": f, "huge": huge},
                    tuple(cell(n, *at) for n in names),
                )
        for r in scene.each(REGION):
            table = scene.number(psc_pt, i, r)
            if scene.is_set(psc_valid, i, r) and scene.word(pt_state, table) not in READABLE:
                yield Instance(
                    f"the paging-structure cache of iommu {i} points to table {table}, which is {scene.word(pt_state, table)}",
                    {"iommu": i, "region": r, "table": table},
                    (cell(psc_valid, i, r), cell(psc_pt, i, r)),
                )


def _atomic_hugepage_split(scene: Scene) -> Iterator[Instance]:
    for root in scene.each(ROOT):
        for g in scene.each(GFN):
            due = scene.is_set(promised, root, g) and not scene.unmapped_by(g) and not scene.is_set(root_invalid, root)
            found, wanted = scene.walk(root, g), scene.number(host_frame, g)
            if due and found != wanted:
                finds = "nothing" if found is None else f"frame {frame_name(found)}"
                yield Instance(
                    f"a walk of root {root} for {gfns([g])} finds {finds}, and nobody is unmapping it",
                    {"root": root, "gfn": g, "frame": wanted},
                    (cell(pmd_kind, root, scene.region_of(g)), *_lower_cell(scene, root, g)),
                )


def _lower_cell(scene: Scene, root: int, gfn: int) -> tuple[str, ...]:
    at = (root, scene.region_of(gfn))
    return (cell(pte_kind, scene.number(pmd_pt, *at), scene.slot_of(gfn)),) if scene.word(pmd_kind, *at) == "table" else ()


def _no_stale_spte(scene: Scene) -> Iterator[Instance]:
    for root in (x for x in scene.each(ROOT) if scene.alive(x)):
        for g in scene.each(GFN):
            found = scene.walk(root, g)
            if found is not None and scene.backed(g) != found:
                kind = "invalid but still held" if scene.is_set(root_invalid, root) else "valid"
                yield Instance(
                    f"root {root}, {kind}, maps {gfns([g])} to frame {frame_name(found)}, which the host has taken back",
                    {"root": root, "gfn": g, "frame": found},
                    (cell(pmd_kind, root, scene.region_of(g)), *_lower_cell(scene, root, g)),
                )


def _flush_before_release(scene: Scene) -> Iterator[Instance]:
    for t in scene.each(THREADS):
        locked = scene.is_set(mmu_writer, t) or scene.is_set(mmu_reader, t)
        for whom, owed in scene.owed(t).items() if not locked else ():
            small = (owes_io if whom == "IOMMUs" else owes_cpu, owed)
            huge = (owes_io_huge, sorted({scene.region_of(g) for g in owed}) if whom == "IOMMUs" else [])
            yield Instance(
                f"{scene.thread(t)} owes the {whom} a flush of {gfns(owed)} and does not hold mmu_lock",
                {"thread": t, "gfn": owed[0]},
                tuple(cell(var, t, at) for var, places in (small, huge) for at in places if scene.is_set(var, t, at)),
            )
        for whom in scene.owed_tables(t) if not scene.is_set(rcu_reader, t) else ():
            yield Instance(
                f"{scene.thread(t)} owes the {whom} a flush of a table page that it unlinked and has left its RCU read side",
                {"thread": t},
                (cell(owes_io_pt if whom == "IOMMUs" else owes_cpu_pt, t),),
            )


def _notifier_exclusion(scene: Scene) -> Iterator[Instance]:
    if scene.is_set(stale_install):
        yield Instance("an SPTE was installed from a pfn that an invalidation has overtaken", {}, (cell(stale_install),))


def _reject_noncoherent_dma(scene: Scene) -> Iterator[Instance]:
    for d in scene.each(DEVICE):
        if scene.is_set(tdp_exported) and scene.is_set(noncoherent_registered, d):
            yield Instance(
                f"the TDP is exported while non-coherent DMA of device {d} is registered",
                {"device": d},
                (cell(tdp_exported), cell(noncoherent_registered, d)),
            )
        if scene.is_set(attached, d) and not scene.is_set(coherent, d):
            yield Instance(f"device {d}, whose DMA is non-coherent, is attached to the shared table", {"device": d}, (cell(attached, d),))


def _root_liveness(scene: Scene) -> Iterator[Instance]:
    for i in (i for i in scene.each(IOMMU) if scene.active(i)):
        root = scene.number(domain_root, i)
        faults = (
            (scene.is_set(root_invalid, root), "invalid", root_invalid),
            (not scene.is_set(root_exported, root), "not exported", root_exported),
            (not scene.is_set(root_ref_export, root), "without the export's reference", root_ref_export),
        )
        for wrong, what, var in faults:
            if wrong:
                yield Instance(
                    f"iommu {i} walks root {root}, which is {what}", {"iommu": i, "root": root}, (cell(var, root), cell(domain_root, i))
                )
    if scene.is_set(dead_install):
        yield Instance("a present SPTE was installed in an invalid root", {}, (cell(dead_install),))


def _kernel_assertions(scene: Scene) -> Iterator[Instance]:
    for number in scene.each(ASSERTIONS):
        if scene.is_set(FAILED, number):
            name = scene.named(ASSERTIONS, number)
            yield Instance(broken(name), {"assertion": name}, (cell(FAILED, number),))


FINDERS: dict[str, Callable[[Scene], Iterator[Instance]]] = {
    "no_stale_io_mapping": _no_stale_io_mapping,
    "atomic_hugepage_split": _atomic_hugepage_split,
    "no_stale_spte": _no_stale_spte,
    "flush_before_release": _flush_before_release,
    "notifier_exclusion": _notifier_exclusion,
    "reject_noncoherent_dma": _reject_noncoherent_dma,
    "root_liveness": _root_liveness,
    "kernel_assertions": _kernel_assertions,
}
"""By the name of the property: from a state in which it is false to what makes it so."""
