"""Two tiers, real source and shipped kernel C, give the same verdicts: as they stand, and with the same mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tdpcheck.kernelc.sources.tree import KernelTree
from tdpcheck.runner.museum.items import shipped_items

from .tiers import MUTANTS, SCENARIOS, by_day, lifted, recipe_of, shipped, violated

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

BROKEN = {
    "notifier-drops-flush": {"flush_before_release", "no_stale_io_mapping"},
    "split-as-exclusive": {"kernel_assertions"},
    "split-by-freeze": {"atomic_hugepage_split"},
    "split-unfilled": {"atomic_hugepage_split", "flush_before_release"},
    "yield-without-flush": {"flush_before_release"},
    "zap-without-flush": {"atomic_hugepage_split", "flush_before_release", "no_stale_io_mapping"},
    "zap-without-freeze": {"atomic_hugepage_split", "flush_before_release"},
}
"""What each mistake breaks, of all properties, on both tiers. 6.1's collapse is no atomic one without a mistake, either."""
GAP = {"flush-lost-between-roots": {"flush_before_release"}, "yield-without-flush": {"flush_before_release", "no_stale_io_mapping"}}


@pytest.mark.parametrize("name", by_day(SCENARIOS))
def test_code_as_it_stands_has_the_same_verdicts_on_both_tiers(tree: KernelTree, name: str) -> None:
    """What is proved of shipped kernel C says something of a kernel only as far as the two agree."""
    expected = {prop for prop, word in SCENARIOS[name].expect.items() if word == "violated"}

    assert expected == violated(shipped(name)) == violated(lifted(tree, name))


@pytest.mark.parametrize("name", MUTANTS)
def test_the_same_mistake_breaks_the_same_properties_on_both_tiers(tree: KernelTree, name: str) -> None:
    """The abstraction of loops and positions hides none of these, and invents nothing beside them."""
    mutant = MUTANTS[name]
    scenario, broken = mutant.read.scenario, mutant.read.property

    assert broken in BROKEN[name]
    assert broken not in violated(shipped(scenario))
    assert BROKEN[name] == violated(shipped(scenario, mutant.patch))
    assert BROKEN[name] == violated(lifted(tree, scenario, mutant.recipe))


@pytest.mark.parametrize("name", by_day(GAP, lambda name: recipe_of(name).scenario))
def test_a_known_gap_shipped_kernel_c_yields_at_leaves_alone(tree: KernelTree, name: str) -> None:
    """A real walk may also yield at an empty entry, behind the last leaf or in an empty root; the shipped one is at its end there.

    So the shipped tier sees these two only where there are more leaves, or a second notifier takes one away: in the museum's own
    scenarios, in which they break the same property. The right answer of both tiers here is GAP[name].
    """
    item = shipped_items()[name]
    recipe = recipe_of(name)

    assert recipe.property == item.expect.property
    assert GAP[name] == violated(lifted(tree, recipe.scenario, Path(item.folder, "recipe.toml")))
    assert set() == violated(shipped(recipe.scenario, Path(item.folder, "change.patch")))
