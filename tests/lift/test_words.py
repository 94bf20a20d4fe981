"""Frame numbers of lifted code: wide enough for what the kernel computes, and the right elements."""

from __future__ import annotations

import itertools

import pytest
import z3

from tdpcheck.core.errors import InputError
from tdpcheck.core.rewrite import constant_index
from tdpcheck.core.sorts import Rigid, Sort, Word
from tdpcheck.model.lift.words import INT_BITS, PAGE_SHIFT, ROOT_LEVEL, Words, words_of
from tdpcheck.model.machine import sorts
from tdpcheck.model.scenario import convert_scenario

SIZES = [(1, 2), (2, 2), (1, 4), (3, 4), (8, 8)]


def words(regions: int, slots: int) -> Words:
    geometry = {"regions": regions, "slots": slots, "blocks": regions, "pts": 3}
    threads = [{"role": "f", "entry": "f"}]
    raw = {"name": "x", "story": "x", "geometry": geometry, "thread": threads, "expect": {"no_stale_spte": "holds"}}
    return words_of(convert_scenario(raw, "x"))


def number(term: z3.ExprRef) -> int:
    found = constant_index(z3.simplify(term))
    assert found is not None
    return found


@pytest.mark.parametrize(("regions", "slots"), SIZES)
def test_addresses_behind_everything_that_is_walked_fit(regions: int, slots: int) -> None:
    """The largest values: the address behind the root's last entry, and of the last table page."""
    sized = words(regions, slots)
    largest = max(slots * slots, sized.frames + sized.pts) << PAGE_SHIFT

    assert largest < 2**sized.long_bits
    assert slots < 2 ** (INT_BITS - 1)


@pytest.mark.parametrize(("regions", "slots"), SIZES)
def test_the_index_of_an_entry_is_that_of_the_kernels_arithmetic(regions: int, slots: int) -> None:
    """SPTE_INDEX() and KVM_PAGES_PER_HPAGE(), for every gfn below the root's end and both levels."""
    sized = words(regions, slots)
    for gfn, level in itertools.product(range(slots * slots), (1, ROOT_LEVEL)):
        address = z3.BitVecVal(gfn << PAGE_SHIFT, sized.long_bits)
        pages = number(sized.pages_per_hpage(z3.BitVecVal(level, INT_BITS)))

        assert slots ** (level - 1) == pages
        assert gfn // pages % slots == number(sized.spte_index(address, z3.BitVecVal(level, INT_BITS)))


@pytest.mark.parametrize(("regions", "slots"), SIZES)
def test_conversions_mean_the_same_to_solver_and_evaluator(regions: int, slots: int) -> None:
    """Each conversion has a term for the one and a Python function for the other."""
    sized = words(regions, slots)
    geometry = sorts.geometry(
        thread=1, region=regions, slot=slots, block=regions, frame=sized.frames, pt=sized.pts, root=1, vcpu=1, iommu=1, device=1
    )

    def values(rigid: Rigid) -> range:
        (kind,) = rigid.params
        return range(geometry.size(kind))

    def width(kind: Sort | Word) -> int:
        return kind.width if isinstance(kind, Word) else geometry.width(kind)

    for rigid in sized.rigids:
        assert rigid.term is not None
        (kind,) = rigid.params
        assert isinstance(kind, (Sort, Word))
        assert isinstance(rigid.kind, (Sort, Word))
        for value in values(rigid):
            term = rigid.term(geometry, z3.BitVecVal(value, width(kind)))
            assert width(rigid.kind) == term.size()
            assert rigid.meaning(geometry, (value,)) == number(term)


def test_constants_become_elements_at_once() -> None:
    """What is known while compiling is folded, so that branches on it can be decided."""
    sized = words(2, 2)

    assert sized.gfn(z3.BitVecVal(3, sized.long_bits)).eq(sorts.GFN.element(3))
    assert 3 == number(sized.gfn_number(sorts.GFN.element(3)))
    assert sized.table(z3.BitVecVal(sized.frames + 1, sized.long_bits)).eq(sorts.PT.element(1))


@pytest.mark.parametrize(
    ("regions", "slots", "said"), [(1, 3, "power of two"), (3, 2, "geometry.regions may be 2 at most"), (1, 16, "5 bits")]
)
def test_a_geometry_that_the_kernels_masks_cannot_have_is_refused(regions: int, slots: int, said: str) -> None:
    """Masks need powers of two, and the root is a table like any other."""
    with pytest.raises(InputError, match=said):
        words(regions, slots)
