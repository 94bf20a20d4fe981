"""Every bug in the museum is found, at its depth and no sooner; every good twin is without it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

import pytest

from tdpcheck.checker.bmc import bmc
from tdpcheck.core.ground import GroundSystem, ground
from tdpcheck.core.system import Property
from tdpcheck.core.trace import replays
from tdpcheck.core.verdict import HoldsUpTo, Violated
from tdpcheck.kernelc.patch import apply, parse_change
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import KernelSource, Model, build, parse_source, shipped_source
from tdpcheck.museum.loader import Expect, Item, shipped_items
from tdpcheck.properties import PROPERTIES
from tdpcheck.properties.kernel_assertions import kernel_assertions

from . import table

ITEMS = shipped_items()
ASSERTIONS = "kernel_assertions"
QUICK = ("noncoherent-export", "noncoherent-attach", "mm-exit", "share-vs-fast-zap")
"""Scenarios that are built and asked in less than five seconds."""
MARGIN = 5

Subject = tuple[Model, GroundSystem]


def marked(names: Iterable[str]) -> list[object]:
    """Items as parameters; those whose scenario takes its time are slow."""
    slow = {name: [] if ITEMS[name].expect.scenario in QUICK else [pytest.mark.slow] for name in names}
    return [pytest.param(name, marks=marks) for name, marks in slow.items()]


def patched(patch: bytes, name: str) -> Mapping[str, str]:
    """The shipped kernel C with a patch in it, every hunk exactly at its place."""
    files = dict(shipped_source("shared").files)
    for part in parse_change(patch, name):
        applied = apply(part, files)
        assert () == applied.notes
        assert () == applied.deleted
        files |= applied.files
    return files


def subject(scenario: str, files: Mapping[str, str]) -> Subject:
    chosen = shipped_scenarios()[scenario]
    model = build(chosen, parse_source(KernelSource(chosen.design, files)))
    return model, ground(model.system, model.geometry)


@cache
def unpatched(scenario: str) -> Subject:
    return subject(scenario, shipped_source("shared").files)


def prop_of(expect: Expect, model: Model) -> Property:
    return kernel_assertions(model.system.by_name["assertion_failed"]) if expect.property == ASSERTIONS else PROPERTIES[expect.property]


def good_twin(item: Item) -> Subject:
    if item.good_patch is None:
        return unpatched(item.expect.scenario)
    return subject(item.expect.scenario, patched(item.good_patch, f"{item.name}/{item.expect.good}"))


def depth_of(item: Item) -> int:
    assert item.expect.depth is not None, f"museum/{item.name}/expect.toml says no depth"
    return item.expect.depth


@pytest.mark.parametrize("name", ITEMS)
def test_the_patches_apply_exactly(name: str) -> None:
    """A museum whose patches have drifted shows nothing."""
    item = ITEMS[name]
    files = shipped_source("shared").files

    assert files != patched(item.patch, item.change)
    if item.good_patch is not None:
        assert patched(item.patch, item.change) != patched(item.good_patch, name) != files


@pytest.mark.parametrize("name", marked(ITEMS))
def test_the_bug_is_found_at_its_depth_and_no_sooner(name: str) -> None:
    item = ITEMS[name]
    model, grounded = subject(item.expect.scenario, patched(item.patch, item.change))
    prop = prop_of(item.expect, model)
    depth = depth_of(item)

    sooner, verdict = bmc(grounded, prop, depth - 1), bmc(grounded, prop, depth)

    assert isinstance(sooner, HoldsUpTo)
    assert isinstance(verdict, Violated)
    assert (depth, True) == (verdict.depth, verdict.shortest)
    assert replays(verdict.trace, prop)


@pytest.mark.parametrize("name", marked(ITEMS))
def test_the_good_twin_does_not_have_the_bug(name: str) -> None:
    """A tool that flags good changes, too, is switched off."""
    item = ITEMS[name]
    model, grounded = good_twin(item)

    verdict = bmc(grounded, prop_of(item.expect, model), depth_of(item) + MARGIN)

    assert isinstance(verdict, HoldsUpTo)
    assert verdict.depth >= depth_of(item) + MARGIN


@pytest.mark.parametrize("name", [*PROPERTIES, ASSERTIONS])
def test_every_property_is_broken_by_some_item(name: str) -> None:
    """A property that no fault breaks says nothing."""
    assert name in {item.expect.property for item in ITEMS.values()}


def test_some_good_twins_are_changes_themselves() -> None:
    assert sum(item.good_patch is not None for item in ITEMS.values()) >= 3


@pytest.mark.parametrize("name", ITEMS)
def test_each_item_says_what_it_is_and_how_to_find_it_again(name: str) -> None:
    item = ITEMS[name]
    expect = item.expect
    command = f"tdpcheck verify --scenario {expect.scenario} --property {expect.property} --change museum/{name}/change.patch\n"

    assert f"scenario `{expect.scenario}`" in item.story
    assert f"`{expect.property}`" in item.story
    assert f"\ntdpcheck museum {name}\n" in item.story
    assert f"\n{command}" in item.story
    assert expect.property in shipped_scenarios()[expect.scenario].expect
    assert expect.kernel
    assert expect.ids
    assert all(part.subject for part in parse_change(item.patch, item.change))


def test_the_page_shows_the_museum_as_it_is() -> None:
    """`python -m tdpcheck.tests.museum.table` makes the table again."""
    assert table.table() == table.shown()
