"""What people write in a column: a step of the kernel C, or a reason why it is none."""

from __future__ import annotations

import pytest

from tdpcheck.model.flows import FLOWS, cell
from tdpcheck.model.machine import parts
from tdpcheck.model.system import parse_source, shipped_source
from tdpcheck.runner.races.casting import read_entries
from tdpcheck.runner.races.diagram import Diagram, Entry
from tdpcheck.runner.races.reading import Meaning, Unread, all_names

EVERY = cell(FLOWS[:2], "pages", ("no_stale_spte",))
CODE = parse_source(shipped_source("shared"))


def read(text: str) -> Meaning | Unread:
    return several(text)[0]


def several(text: str) -> list[Meaning | Unread]:
    return read_entries(Diagram(("CPU0",), (Entry(1, 0, text),)), CODE)[1]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("kvm_faultin_pfn()", "kvm_faultin_pfn"),
        ("ret = kvm_faultin_pfn(vcpu, fault);", "kvm_faultin_pfn"),
        ("kvm_mmu_invalidate_begin(kvm)", "mmu_invalidate_in_progress_add"),
        ("mutex_lock(&kvm->slots_lock)", "lock_slots_lock"),
        ("mutex_unlock(&kvm->slots_lock)", "unlock_slots_lock"),
        ("write_lock(&kvm->mmu_lock)", "write_lock"),
        ("takes mmu_lock for reading", "read_lock"),
        ("fault->mmu_seq = kvm->mmu_invalidate_seq", "mmu_invalidate_seq_read"),
        ("samples the sequence", "mmu_invalidate_seq_read"),
        ("checks for a retry", "mmu_invalidate_retry"),
        ("looks up the pfn", "hva_to_pfn"),
        ("flush TLBs", "kvm_flush_remote_tlbs"),
        ("flush the IOTLB", "kvm_tdp_fd_flush_notify"),
        ("waits for the IOMMU", "qi_wait"),
        ("the page is freed", "host_unmap_and_free"),
        ("marks the root invalid", "role.invalid="),
    ],
)
def test_calls_and_phrases(text: str, name: str) -> None:
    found = read(text)

    assert isinstance(found, Meaning), found
    assert name in found.names


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("zaps the SPTE", "-> none"),
        ("installs the mapping", "-> (?!none"),
        ("splits the huge page", "table"),
        ("freezes the spte", "frozen"),
    ],
)
def test_what_a_step_does(text: str, effect: str) -> None:
    found = read(text)

    assert isinstance(found, Meaning), found
    assert effect in found.effect


def test_gfns_are_read_by_whatever_name() -> None:
    found = read("zaps the spte of gfn 0x1f")

    assert isinstance(found, Meaning)
    assert ("0x1f",) == found.gfns


@pytest.mark.parametrize("text", ["does not flush", "no flush here", "skips the retry", "never takes mmu_lock", "frees it without a flush"])
def test_what_does_not_happen_is_no_step(text: str) -> None:
    found = read(text)

    assert isinstance(found, Unread), found
    assert "leave the line out" in found.why


@pytest.mark.parametrize(
    "text",
    [
        "clears the dirty bit in the SPTE",
        "write-protects the SPTE",
        "host writes the page to swap",
        "sets the Accessed bit",
        "merges KSM pages",
    ],
)
def test_what_is_not_modelled_is_not_taken_for_something_that_is(text: str) -> None:
    found = read(text)

    assert isinstance(found, Unread), found
    assert "not modelled" in found.why


def test_what_is_still_so_is_no_step() -> None:
    found = read("the IOMMU still uses the old translation")

    assert isinstance(found, Unread)
    assert "name the step" in found.why


@pytest.mark.parametrize("text", ["read_lock(&tasklist_lock)", "mutex_lock(&kvm->lock)"])
def test_a_lock_that_the_kernel_c_has_not_is_not_taken_for_another(text: str) -> None:
    found = read(text)

    assert isinstance(found, Unread), found
    assert "no lock of the kernel C here" in found.why


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("zaps gfn 0 and flushes the IOTLB", ["tdp_mmu_zap_leafs", "kvm_tdp_fd_flush_notify"]),
        ("takes mmu_lock for writing, zaps the spte, then drops mmu_lock", ["write_lock", "tdp_mmu_zap_leafs", "write_unlock"]),
        ("direct_page_fault() -> kvm_tdp_mmu_map()", ["direct_page_fault", "kvm_tdp_mmu_map"]),
    ],
)
def test_several_things_that_a_line_says_are_several(text: str, names: list[str]) -> None:
    found = several(text)

    assert names == [m.names[0] for m in found if isinstance(m, Meaning)]
    assert [""] * len(names) == [m.unread for m in found if isinstance(m, Meaning)]


def test_what_is_left_of_a_line_that_says_several_things_is_said_to_be_unread() -> None:
    first, second = several("zaps gfn 0, tells everybody, frees the page")

    assert isinstance(first, Meaning)
    assert isinstance(second, Meaning)
    assert "tells everybody" == first.unread == second.unread


def test_arguments_part_nothing() -> None:
    assert 1 == len(several("host_unmap_and_free(start, last)"))


def test_what_a_call_gives_back_is_not_asked_and_that_is_said() -> None:
    found = read("is_page_fault_stale() returns false")

    assert isinstance(found, Meaning)
    assert "returns false" == found.unread
    assert "" == getattr(read("tdp_mmu_zap_leafs(kvm, root, false)"), "unread", None)


def test_an_unknown_function_is_named_with_what_was_perhaps_meant() -> None:
    found = read("kvm_fault_in_pfn(vcpu)")

    assert isinstance(found, Unread)
    assert "did you mean kvm_faultin_pfn" in found.why


def test_all_that_the_phrases_name_is_there() -> None:
    """Of the shipped kernel C, its machine and its flows."""
    library = CODE.library
    operations = {*library.intrinsics, *(each.name for each in (*library.fields.values(), *library.stores.values()))}
    known = {
        "name": {*operations, *CODE.functions},
        "calls": operations,
        "inside": set(CODE.functions),
        "likely": {*operations, *CODE.functions},
        "actions": {action.name for action in parts.actions(EVERY)},
        "flow": {flow.role for flow in FLOWS},
    }

    assert [] == [(kind, name) for kind, name in all_names() if name not in known[kind]]
