"""Functions taken verbatim from Linux 6.1: what they do as they stand, and what three known bugs do to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.core.trace import replays
from tdpcheck.kernelc.sources.apply import apply
from tdpcheck.kernelc.sources.patch import parse_change
from tdpcheck.kernelc.sources.tree import KernelTree
from tdpcheck.model.lift.recipe import cook, difference, read_recipe
from tdpcheck.runner.museum.items import shipped_items

from .tiers import SCENARIOS, by_day, lifted, properties_of, recipe_of, visited

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

RECIPES = {name: Path(item.folder) / "recipe.toml" for name, item in shipped_items().items() if item.recipe}
DEPTHS = {"collapse-without-flush": 11, "flush-lost-between-roots": 11, "yield-without-flush": 11}


@pytest.mark.parametrize("name", by_day(SCENARIOS))
def test_the_kernel_as_it_stands_answers_as_the_scenario_says(tree: KernelTree, name: str) -> None:
    """6.1 splits at fault time through a hole, and splits eagerly without one; nothing else is wrong with it here."""
    seen = visited(lifted(tree, name))
    found = {p: "violated" if seen.traces[p] else "holds" for p in SCENARIOS[name].expect}

    assert seen.stats.complete
    assert dict(SCENARIOS[name].expect) == found
    assert [] == [term for term, trace in seen.traces.items() if term.startswith("goal ") and trace is None]


@pytest.mark.parametrize("name", by_day(RECIPES, lambda name: recipe_of(name).scenario))
def test_a_known_bug_cooked_into_real_source_is_found(tree: KernelTree, name: str) -> None:
    """The recipe's edit is the only difference between code that holds and code that does not."""
    recipe = recipe_of(name)
    made = lifted(tree, recipe.scenario, RECIPES[name])
    trace = visited(made).traces[recipe.property]

    assert trace is not None
    assert DEPTHS[name] == trace.depth
    assert replays(trace, properties_of(made)[recipe.property])
    assert visited(lifted(tree, recipe.scenario)).traces[recipe.property] is None
    assert made.lifted


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_the_patch_that_it_prints(tree: KernelTree, name: str) -> None:
    """What a user sees as a diff, and may apply, is what was checked."""
    recipe = recipe_of(name)
    (patch,) = parse_change(difference(recipe, tree), f"{name}.patch")

    assert cook(recipe, tree) == apply(patch, {recipe.file: tree.read(recipe.file)}).files[recipe.file]


def test_a_recipe_for_another_version_says_what_is_missing(tree: KernelTree) -> None:
    """A call that the source has not got is one clear error."""
    text = RECIPES["yield-without-flush"].read_text().replace("tdp_mmu_iter_cond_resched", "tdp_mmu_iter_flush_cond_resched")
    with pytest.raises(InputError, match="calls tdp_mmu_iter_flush_cond_resched 0 times; the recipe wants call 1"):
        cook(read_recipe(text, "old"), tree)
