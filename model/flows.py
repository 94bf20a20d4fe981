"""The flows that there are, and the matrix of them: every flow alone, every pair, and each beside itself, from every start.

A property holds because the code keeps it, not because nobody put two flows together. A flow is an entry function of the kernel C with
the arguments that its real callers give; the others stay open. A cell is a scenario like those that are written by hand, but for two
things: it asks every property, and what it does not reach says nothing, since another cell may.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from typing import TypeAlias

from msgspec.structs import replace

from .scenario import Expected, Hardware, Scenario, Sizes, Start, Thread


@dataclass(frozen=True)
class Flow:
    """An entry function and what is known of it.

    Args:
        role: what its threads are called, and the flow in the names of cells.
        does: what it is, as the main clause of a sentence.
        source: who calls it.
        args: what every caller gives; a gfn is "first" or "last".
        vcpu: the parameter that says for which vCPU it runs: beside itself it runs for another one.
        shared: whether it may run while the table is exported; `private`, while nothing is.
    """

    role: str
    entry: str
    does: str
    source: str
    args: Mapping[str, int | bool | str] = field(default_factory=dict)
    vcpu: str = ""
    shared: bool = True
    private: bool = True


Flows: TypeAlias = tuple[Flow, ...]
_WHOLE = {"start": "first", "last": "last"}
FLOWS: Flows = (
    Flow("notifier", "mmu_notifier_unmap", "the host takes memory back", "kvm_mmu_notifier_invalidate_range_start(), kvm_main.c"),
    Flow("part", "mmu_notifier_unmap_part", "the host takes a part of a huge page back", "__split_huge_pmd(), mm/huge_memory.c"),
    Flow("fault", "kvm_tdp_page_fault", "a vCPU faults", "handle_ept_violation(), vmx.c", vcpu="vcpu"),
    Flow("io_fault", "kvm_fault_exported_tdp", "a device faults", "the RFC's patch 25", private=False),
    Flow("split", "kvm_mmu_slot_try_split_huge_pages", "dirty logging begins", "kvm_mmu_slot_apply_flags(), x86.c"),
    Flow("clear", "kvm_mmu_try_split_huge_pages", "a dirty log is cleared", "kvm_arch_mmu_enable_log_dirty_pt_masked(), mmu.c"),
    Flow("recover", "kvm_mmu_recover_huge_pages", "dirty logging ends", "kvm_mmu_slot_apply_flags(), x86.c"),
    Flow("fast_zap", "set_nx_huge_pages", "NX huge pages are switched", "set_nx_huge_pages(), mmu.c", _WHOLE),
    Flow("delete", "kvm_set_memory_region", "a memslot is deleted", "kvm_invalidate_memslot(), kvm_main.c", _WHOLE, private=False),
    Flow("exit", "kvm_mmu_zap_all", "the VMM's mm goes away", "kvm_mmu_notifier_release(), kvm_main.c", _WHOLE),
    Flow("share", "kvm_share_tdp", "the table is shared with a device", "the RFC's patches 8 and 36", shared=False),
    Flow("register", "kvm_arch_register_noncoherent_dma", "non-coherent DMA is registered", "kvm_vfio_update_coherency(), vfio.c"),
    Flow("unregister", "kvm_arch_unregister_noncoherent_dma", "non-coherent DMA is unregistered", "kvm_vfio_update_coherency(), vfio.c"),
    Flow("attach", "iommufd_attach_kvm_hwpt", "another device joins", "the RFC's patch 17", private=False),
)
"""Of the shipped kernel C, all of its entry functions."""

STARTS: Mapping[str, tuple[Start, Sizes]] = {
    "pages": (Start(tables="some", host="huge"), Sizes(pts=1)),
    "huge": (Start(tables="huge", host="huge"), Sizes(pts=1)),
    "empty": (Start(tables="nothing", host="pages"), Sizes(pts=2)),
    "private": (Start(tables="some", host="huge", exported=(), attached=False), Sizes(pts=2, roots=2)),
}
"""What the tables hold at the start of a cell.

The shared table has one page where the host has a huge one, or that huge page, or nothing; or a table has one page and nobody shares it.
"""

EVERY_START: Mapping[str, tuple[Start, Sizes]] = {
    "full": (Start(tables="pages", host="huge"), Sizes(pts=1)),
    "some": (Start(tables="some", host="pages"), Sizes(pts=1)),
    **STARTS,
}
"""Beside those of the matrix, the shared table with every page mapped, so that there is enough where two threads zap; and with one page
where the host has pages, so that who zaps and who maps may mean different ones.
"""

APART: Mapping[frozenset[str], str] = {
    frozenset((other, "delete")): "they wait for each other (mn_active_invalidate_count), which is not modelled; see model/beyond.py"
    for other in ("notifier", "part", "exit")
}
"""Flows that the model cannot run side by side, and why."""

Asked: TypeAlias = Collection[str]


def known_hole(roles: Collection[str], start: str) -> bool:
    """Whether `atomic_hugepage_split` is known to be violated.

    A part of a huge leaf cannot be unmapped alone: the leaf goes whole, so that its other pages are seen missing for a while. The leaf is
    there at the start, or a fault or a recovery makes it beside the notifier, where the host has a huge page.
    """
    makes_one = EVERY_START[start][0].host == "huge" and not {"fault", "io_fault", "recover"}.isdisjoint(roles)
    return "part" in roles and (start == "huge" or makes_one)


def cell_name(flows: Sequence[Flow], start: str) -> str:
    """The name of a cell, under which it can be asked for like any scenario: `notifier+fault@pages`."""
    return f"{'+'.join(flow.role for flow in flows)}@{start}"


def pairs() -> Iterator[Flows]:
    """Each flow alone, then each with each, itself included."""
    for count in (1, 2):
        yield from combinations_with_replacement(FLOWS, count)


def cells(asked: Asked) -> dict[str, Scenario]:
    """The cells of the matrix by name, those of one flow first.

    Args:
        asked: the properties that are asked in each.
    """
    found = {}
    for flows in pairs():
        if frozenset(flow.role for flow in flows) not in APART:
            for start in STARTS:
                if all(flow.private if start == "private" else flow.shared for flow in flows):
                    found[cell_name(flows, start)] = cell(flows, start, asked)
    return found


def cell(flows: Flows, start: str, asked: Asked) -> Scenario:
    """The scenario of some flows side by side, from a start; of the matrix, if they are one or two."""
    begins, sizes = EVERY_START[start]
    roles = [flow.role for flow in flows]
    story = " while ".join(flow.does for flow in flows)
    expect: dict[str, Expected] = dict.fromkeys(asked, "holds")
    if known_hole(roles, start) and "atomic_hugepage_split" in expect:
        expect["atomic_hugepage_split"] = "violated"
    return Scenario(
        cell_name(flows, start),
        f"{story[0].upper()}{story[1:]}.",
        tuple(_threads(flows)),
        expect,
        geometry=replace(sizes, vcpus=2) if any(flow.vcpu and flows.count(flow) == 2 for flow in flows) else sizes,
        hardware=Hardware(cpu=True),
        start=begins,
        matrix=True,
    )


def _threads(flows: Flows) -> Iterator[Thread]:
    for flow in dict.fromkeys(flow.role for flow in flows):
        own = [each for each in flows if each.role == flow]
        if len(own) == 2 and own[0].vcpu:
            for number, role in enumerate((flow, f"other_{flow}")):
                yield Thread(role, own[0].entry, {**own[0].args, own[0].vcpu: number})
        else:
            yield Thread(flow, own[0].entry, dict(own[0].args), len(own))
