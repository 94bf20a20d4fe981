"""Flush arithmetic: what covers every range, and the least range that what truncates leaves out."""

from __future__ import annotations

import random

import pytest

from tdpcheck.formats.questions import Asking, ask, plain
from tdpcheck.formats.ranges import CONTRACTS, PAGE, device_covers, flushing, psi_covers, word

EXPECTED = {
    "flush_covers/6.1": {"iotlb", "device-tlb", "no-bug"},
    "flush_covers/6.1-few-pages": set(),
    "flush_covers/before-5.18": {"iotlb", "device-tlb"},
    "flush_covers/6.12": set(),
    "flush_covers/rfc": {"iotlb", "device-tlb", "no-bug"},
    "flush_covers/rfc-few-pages": set(),
    "flush_covers/rfc-everything": {"device-tlb"},
    "flush_covers/rfc-everything-no-cm": set(),
    "flush_covers/entry": set(),
    "flush_covers/entry-from-table-page": {"iotlb", "device-tlb"},
}
LONG = ("flush_covers/6.1", "flush_covers/6.1-few-pages", "flush_covers/rfc")
"""What asks the solvers the same as others do, or is asked below: it is asked by night."""
FAST = ("flush_covers/rfc-everything", "flush_covers/rfc-everything-no-cm")


def refuted(name: str) -> dict[str, dict[str, int]]:
    found = ask(CONTRACTS[name].question())
    assert all(each.answer != "unknown" for each in found)
    return {each.clause: dict(each.values) for each in found if each.answer == "refuted"}


def test_every_contract_has_an_expectation() -> None:
    assert set(CONTRACTS) == set(EXPECTED)


@pytest.mark.parametrize("name", [name for name in EXPECTED if name in FAST])
def test_what_is_refuted(name: str) -> None:
    assert set(refuted(name)) == EXPECTED[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(x, marks=[pytest.mark.nightly] if x in LONG else []) for x in EXPECTED if x not in FAST])
def test_what_is_refuted_of_the_others(name: str) -> None:
    assert set(refuted(name)) == EXPECTED[name]


@pytest.mark.slow
def test_the_least_range_that_truncation_loses() -> None:
    """One page more than 2^31 is rounded up to 2^32, and in 32 bits that is none."""
    found = refuted("flush_covers/rfc")
    assert (found["device-tlb"]["gfn"], found["device-tlb"]["pages"]) == (0, 2**31 + 1)
    assert found["iotlb"]["pages"] == 2**32 + 1
    assert found["no-bug"]["pages"] == 2**32


def test_the_range_that_kvm_zaps_when_non_coherent_dma_comes() -> None:
    """`kvm_zap_gfn_range(0, 2^52 - 1)`: the IOTLB loses the domain, the device TLB 8 KiB at address 0."""
    asking = Asking(CONTRACTS["flush_covers/rfc"].question())
    given = {"iommu.max_amask": 20, "iommu.pgsel_inv": 1, "iommu.caching_mode": 0, "gfn": 0, "pages": 2**52 - 1, "page": 2}
    seen = asking.evaluated(given)
    assert (seen["qi_iotlb_dsi_called"], seen["qi_iotlb_psi_called"]) == (1, 0)
    assert seen["qi_dev_iotlb.word"] == 1
    for page, covered in ((0, 1), (1, 1), (2, 0), (2**40, 0)):
        assert plain(device_covers(PAGE, word("w")), {"page": page, "w": 1}) == covered


def test_what_a_device_tlb_descriptor_covers() -> None:
    """Against the definition: with S=1 the lowest address bit that is 0 names the block, as large as twice that bit."""
    source = random.Random(7)
    for _ in range(300):
        second = source.getrandbits(64) & ~0xFFE
        second |= ((1 << source.randrange(12, 40)) - 1) & ~0xFFF
        page = source.choice((second >> 12, (second >> 12) ^ (1 << source.randrange(30)), source.getrandbits(52)))
        if second & 1:
            size = next((bit for bit in range(12, 64) if not second >> bit & 1), 63) + 1
            covered = page >> (size - 12) == second >> size
        else:
            covered = page == second >> 12
        assert plain(device_covers(PAGE, word("w")), {"page": page, "w": second}) == int(covered), (hex(page), hex(second))


def test_6_12_covers_drawn_ranges() -> None:
    """The proof, spot-checked by plain evaluation alone."""
    source, flushes = random.Random(9), flushing("flush_range_of_6_12")
    for _ in range(30):
        first = source.getrandbits(source.randrange(1, 52))
        pages = min(source.getrandbits(source.randrange(1, 40)) + 1, 2**52 - first)
        page = first + source.randrange(pages)
        ran = flushes.run({"iommu.max_amask": 30, "iommu.pgsel_inv": 1, "iommu.caching_mode": 0, "pfn": first, "pages": pages}).records
        values = {"page": page, "a": ran["qi_iotlb_psi.address"], "m": ran["qi_iotlb_psi.mask"], "w": ran["qi_dev_iotlb.word"]}
        assert ran["qi_iotlb_dsi_called"] or plain(psi_covers(PAGE, word("a"), word("m")), values)
        assert plain(device_covers(PAGE, word("w")), values)
