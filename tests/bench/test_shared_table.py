"""The common benchmark is the one that other checkers agreed on: the same number of states, the same depths of the seeded bugs."""

from __future__ import annotations

import pytest

from tdpcheck.bench.shared_table import PROPERTIES, S1, SAFE, STATES, geometry, lemmas, skips_last, spares_huge, system
from tdpcheck.checker.bounded.bmc import bmc
from tdpcheck.checker.every_size.induction import EVERY_SIZE, check_axioms, examine, prove
from tdpcheck.checker.states.explore import explore
from tdpcheck.core.ground import ground
from tdpcheck.core.system import Property, TransitionSystem
from tdpcheck.core.verdict import HoldsUpTo, Proved, Violated

SMALL = [(2, 1, 1), (2, 2, 1), (2, 1, 2)]
DIAMETER = {(2, 1, 1): 6, (2, 2, 1): 9, (3, 2, 1): 12, (2, 1, 2): 10, (2, 2, 2): 14}


@pytest.mark.parametrize("size", [*SMALL, pytest.param((2, 2, 2), marks=pytest.mark.slow), pytest.param((3, 2, 1), marks=pytest.mark.slow)])
def test_the_reachable_states_are_as_many_as_other_checkers_count(size: tuple[int, int, int]) -> None:
    """SPIN, TLC, rumur and NuSMV counted these on copies written by hand."""
    explored = explore(system, geometry(*size), SAFE)

    assert isinstance(explored.verdict, Proved)
    assert STATES[size] == explored.stats.states
    assert DIAMETER[size] == explored.stats.depth
    assert all(explored.stats.fired.values()), "every action fires"


@pytest.mark.parametrize(("broken", "more"), [(skips_last, 4), (spares_huge, 5)], ids=["bug", "bug2"])
@pytest.mark.parametrize("devices", [1, 2])
def test_the_seeded_bugs_are_as_deep_as_they_should(broken: TransitionSystem, more: int, devices: int) -> None:
    """The last device hears nothing, or keeps its huge entry: the frame is freed behind its back."""
    size = geometry(2, devices, 1)
    explored = explore(broken, size, SAFE).verdict
    bounded = bmc(ground(broken, size), S1, devices + more + 1)

    assert isinstance(explored, Violated)
    assert isinstance(bounded, Violated)
    assert devices + more == explored.depth == bounded.depth


@pytest.mark.parametrize("prop", PROPERTIES.values(), ids=lambda prop: prop.name)
def test_the_lemmas_prove_it_for_every_size(prop: Property) -> None:
    """The proof that peers are measured against."""
    argument = examine(system, prop)

    assert isinstance(argument.verdict, Proved)
    assert EVERY_SIZE == argument.verdict.sizes
    assert not argument.cannot_fire
    assert not check_axioms(system, [geometry(2, 1, 1), geometry(3, 2, 1)])


@pytest.mark.parametrize(("broken", "kept"), [(skips_last, "a_region_zap_empties_huge"), (spares_huge, "cached_huge_is_mapped_or_owed")])
def test_the_lemmas_do_not_prove_a_seeded_bug(broken: TransitionSystem, kept: str) -> None:
    """A proof that went through whatever the table does would be worth nothing."""
    verdict = prove(broken, SAFE)

    assert isinstance(verdict, HoldsUpTo)
    assert ("invalidate", kept) in verdict.broken_lemmas


@pytest.mark.slow
@pytest.mark.parametrize("left_out", range(len(lemmas)), ids=[lemma.name for lemma in lemmas])
def test_no_lemma_is_idle(left_out: int) -> None:
    """Without any one of them the proof does not go through; an idle lemma would only cost time."""
    verdict = prove(system, SAFE, [lemma for number, lemma in enumerate(lemmas) if number != left_out])

    assert not isinstance(verdict, Proved)
