"""Every bug in the museum is found, at its depth and no sooner; every good twin is proved to be without it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from tdpcheck.checker.bounded.bmc import bmc
from tdpcheck.checker.states.explore import explore, reachable
from tdpcheck.core.ground import GroundSystem, ground
from tdpcheck.core.system import Property
from tdpcheck.core.trace import replays
from tdpcheck.core.verdict import Violated
from tdpcheck.kernelc.sources.apply import apply
from tdpcheck.kernelc.sources.patch import parse_change
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import KernelSource, Model, build, parse_source, shipped_source
from tdpcheck.properties import REGISTRY
from tdpcheck.runner.asking.proofs import certified_states
from tdpcheck.runner.inputs.terms import property_of
from tdpcheck.runner.museum.items import Expect, Item, shipped_items
from tdpcheck.tests.few import drawn
from tdpcheck.tests.model.test_explored_certificates import SCENARIOS as CERTIFIED

from . import table

ITEMS = shipped_items()
QUICK = ("noncoherent-export", "noncoherent-attach", "mm-exit")
"""Scenarios that are built and asked in less than five seconds."""

Subject = tuple[Model, GroundSystem]


def marked(names: Iterable[str], count: int) -> list[object]:
    """Items as parameters; of those whose scenario takes its time, so many are asked by day, and one of each property."""
    quick = [name for name in names if ITEMS[name].expect.scenario in QUICK]
    return [*quick, *drawn((name for name in names if name not in quick), count, kind=lambda name: ITEMS[name].expect.property)]


def patched(patch: bytes, name: str, scenario: str) -> Mapping[str, str]:
    """The shipped kernel C of a scenario's design with a patch in it, every hunk exactly at its place."""
    files = dict(shipped_source(shipped_scenarios()[scenario].design).files)
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


def prop_of(expect: Expect, model: Model) -> Property:
    return property_of(model, expect.property)


def depth_of(item: Item) -> int:
    assert item.expect.depth is not None, f"museum/{item.name}/expect.toml says no depth"
    return item.expect.depth


@pytest.mark.parametrize("name", ITEMS)
def test_the_patches_apply_exactly(name: str) -> None:
    """A museum whose patches have drifted shows nothing."""
    item = ITEMS[name]
    files = shipped_source(shipped_scenarios()[item.expect.scenario].design).files

    assert files != patched(item.patch, item.change, item.expect.scenario)
    if item.good_patch is not None:
        good = patched(item.good_patch, name, item.expect.scenario)
        assert patched(item.patch, item.change, item.expect.scenario) != good != files


@pytest.mark.parametrize("name", marked(ITEMS, 12))
def test_the_bug_is_found_at_its_depth_and_no_sooner(name: str) -> None:
    """Two engines that share no encoding find no shorter run than the one that expect.toml promises."""
    item = ITEMS[name]
    model, grounded = subject(item.expect.scenario, patched(item.patch, item.change, item.expect.scenario))
    prop = prop_of(item.expect, model)
    depth = depth_of(item)

    visited, asked = explore(model.system, model.geometry, prop).verdict, bmc(grounded, prop, depth)

    for verdict in (visited, asked):
        assert isinstance(verdict, Violated)
        assert (depth, True) == (verdict.depth, verdict.shortest)
        assert replays(verdict.trace, prop)


@pytest.mark.parametrize("name", marked([name for name, item in ITEMS.items() if item.good_patch is not None], 8))
def test_the_good_patch_is_proved(name: str) -> None:
    """A tool that flags good changes, too, is switched off. Every state is visited, and two solvers accept the invariant of them."""
    item = ITEMS[name]
    assert item.good_patch is not None
    model, grounded = subject(item.expect.scenario, patched(item.good_patch, f"{name}/{item.expect.good}", item.expect.scenario))
    states, stats = reachable(model.system, model.geometry)

    proof = certified_states(model, grounded, [prop_of(item.expect, model)], list(states))

    assert stats.complete
    assert ("", "") == (proof.refused, proof.given_up)
    assert proof.certificate


@pytest.mark.parametrize("name", [name for name, item in ITEMS.items() if item.good_patch is None])
def test_where_the_good_twin_is_the_code_as_it_is_that_is_proved(name: str) -> None:
    """Scenario by scenario, tests/model/test_explored_certificates.py proves what each promises; here that the twin is among it."""
    expect = ITEMS[name].expect

    assert "holds" == CERTIFIED[expect.scenario].expect[expect.property]


@pytest.mark.parametrize("name", [name for name in REGISTRY if name != "mirror_agrees"])  # that one is for designs with a mirror
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
