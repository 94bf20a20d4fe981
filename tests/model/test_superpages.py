"""2 MiB translations in an IOTLB: which invalidations drop them, on hardware that drops no more than it must and on hardware that does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import z3
from msgspec.structs import replace as with_values

from tdpcheck.checker.states.explore import explore, survey
from tdpcheck.core.errors import InputError
from tdpcheck.core.verdict import Violated
from tdpcheck.counterexamples.document import from_verdict
from tdpcheck.model.scenario import Hardware, Scenario, Start, Thread, convert_scenario, shipped_scenarios
from tdpcheck.model.system import Model, build, parse_source, shipped_source
from tdpcheck.properties import PROPERTIES
from tdpcheck.runner.asking.results import assumptions
from tdpcheck.tests.ranged import ranged

STALE, OWED = "no_stale_io_mapping", "flush_before_release"
WHOLE = Scenario(
    "whole",
    "The host takes all of a huge page back.",
    (Thread("notifier", "mmu_notifier_unmap", {"start": "first", "last": "last"}),),
    {STALE: "holds"},
    start=Start("huge", "huge"),
)
SPLIT = Scenario(
    "split",
    "Dirty logging splits a huge page, and the host takes one of its pages back: nobody flushes where a split keeps all translations.",
    (Thread("split", "kvm_mmu_slot_try_split_huge_pages"), Thread("notifier", "mmu_notifier_unmap_part", {"start": 0, "last": 0})),
    {STALE: "holds"},
    start=Start("huge", "huge"),
)
CALL = "qi_submit_iotlb(start, last, false);"


def flushing(scenario: Scenario, *calls: str, lax: bool = False) -> Model:
    """A scenario whose notifiers flush a range so."""
    source = shipped_source("shared")
    text = source.files["tdp_fd.c"]
    assert 1 == text.count(CALL)
    files = ranged({**source.files, "tdp_fd.c": text.replace(CALL, " ".join(calls))})
    return build(with_values(scenario, hardware=Hardware(part_drops_huge=lax)), parse_source(replace(source, files=files)))


def violated(model: Model) -> set[str]:
    found = survey(model.system, model.geometry, {name: z3.Not(PROPERTIES[name].holds) for name in (STALE, OWED)})
    assert found.stats.complete
    return {name for name in (STALE, OWED) if found.traces[name] is not None}


@pytest.mark.parametrize(
    ("calls", "strict", "lax"),
    [
        pytest.param((CALL,), False, False, id="all of it"),
        pytest.param(("qi_submit_iotlb_domain();",), False, False, id="everything"),
        pytest.param(("qi_submit_iotlb(start, start, false);",), True, False, id="the first page"),
        pytest.param(("qi_submit_iotlb(last, last, false);",), True, False, id="the last page"),
        pytest.param(("qi_submit_iotlb(start, start, false); qi_submit_iotlb(last, last, false);",), True, False, id="page by page"),
        pytest.param(("qi_submit_iotlb(start, start, false);", CALL), False, False, id="a page, then all"),
        pytest.param((), True, True, id="nothing"),
    ],
)
def test_a_huge_translation_goes_with_an_invalidation_of_all_of_it(calls: tuple[str, ...], strict: bool, lax: bool) -> None:
    """Two halves are no whole: each is a descriptor with an address mask that is too short."""
    assert ({STALE, OWED} if strict else set()) == violated(flushing(WHOLE, *calls))
    assert ({STALE, OWED} if lax else set()) == violated(flushing(WHOLE, *calls, lax=True))


def test_a_small_leaf_may_be_cached_as_a_part_of_what_stood_there_before() -> None:
    """Nobody flushes a split, so that who zaps one page of it owes a flush of the region."""
    assert {STALE, OWED} == violated(flushing(SPLIT, CALL))
    assert set() == violated(flushing(SPLIT, CALL, lax=True))
    assert set() == violated(flushing(SPLIT, "qi_submit_iotlb_domain();"))


def test_the_shipped_notifier_leans_on_no_lax_hardware() -> None:
    """It flushes everything, as Linux does."""
    code = parse_source(shipped_source("shared"))

    assert [set(), set()] == [violated(build(scenario, code)) for scenario in (WHOLE, SPLIT)]


@pytest.mark.parametrize(("calls", "needed"), [(("qi_submit_iotlb(start, start, false);",), True), ((), False)])
def test_a_violation_says_whether_it_needs_strict_hardware(calls: tuple[str, ...], needed: bool) -> None:
    """It is replayed with the other completion in place; where nothing was flushed, hardware is not to blame."""
    model = flushing(WHOLE, *calls)
    verdict = explore(model.system, model.geometry, PROPERTIES[STALE]).verdict
    assert isinstance(verdict, Violated)
    cex = from_verdict(model, PROPERTIES[STALE], verdict)

    assert needed == any("part_drops_huge" in sentence for sentence in cex.needs)
    assert needed == any("part_drops_huge" in sentence for sentence in cex.assumptions)


def test_lax_hardware_is_said() -> None:
    said = "an invalidation of a part of a 2 MiB translation drops that"

    assert said in " ".join(assumptions(flushing(WHOLE, CALL, lax=True)))
    assert said not in " ".join(assumptions(flushing(WHOLE, CALL)))
    assert not any(scenario.hardware.part_drops_huge for scenario in shipped_scenarios().values())


def test_a_switch_that_is_none_is_refused() -> None:
    raw = {"name": "x", "story": "x", "thread": [{"role": "n", "entry": "mmu_notifier_unmap"}], "expect": {STALE: "holds"}}

    with pytest.raises(InputError, match="Expected `bool`, got `str`"):
        convert_scenario({**raw, "hardware": {"part_drops_huge": "no"}}, "x.toml")
