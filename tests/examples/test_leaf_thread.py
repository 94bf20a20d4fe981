"""One thread of kernel C from text to verdict: explored, searched, proved for every size, and refused when its flush is gone."""

from __future__ import annotations

import pytest

from tdpcheck.checker.bounded.bmc import bmc, reach
from tdpcheck.checker.every_size.induction import examine, prove
from tdpcheck.checker.states.explore import explore
from tdpcheck.core.sorts import Geometry
from tdpcheck.core.trace import replays
from tdpcheck.core.verdict import HoldsUpTo, Proved, Unknown, Violated
from tdpcheck.examples.leaf_thread.system import TEXT, argument, build, no_stale_cache, system

SMALL = Geometry({"Page": 2, "Device": 1, "Thread": 2})
FINAL_FLUSH = "\tif (flush)\n\t\tflush_iotlb(kvm);\n\twrite_unlock"
FLUSH_BEFORE_YIELDING = "\t\t\tif (flush)\n\t\t\t\tflush_iotlb(kvm);\n"
REMEMBER = "\t\tflush = true;\n"


def changed(text: str, old: str, new: str) -> str:
    assert 1 == text.count(old)
    return text.replace(old, new)


def test_it_is_proved_for_every_size() -> None:
    """The system that is grounded elsewhere is the very value that is proved here, for any number of pages, devices and threads."""
    result = examine(system, no_stale_cache)

    assert isinstance(result.verdict, Proved)
    assert "every size" == result.verdict.sizes
    assert tuple(lemma.name for lemma in no_stale_cache.lemmas) == result.verdict.lemmas
    assert () == result.cannot_fire


@pytest.mark.parametrize("lemma", no_stale_cache.lemmas, ids=lambda lemma: lemma.name)
def test_no_lemma_can_be_spared(lemma: object) -> None:
    """Each step of the argument carries weight: without it, the rest does not go through."""
    rest = [other for other in no_stale_cache.lemmas if other is not lemma]

    assert isinstance(prove(system, no_stale_cache, rest), (HoldsUpTo, Unknown))


@pytest.mark.parametrize(("devices", "states"), [(1, 1_162), (2, 3_070)])
def test_no_reachable_state_breaks_it(devices: int, states: int) -> None:
    """Plain evaluation, without a solver, comes to the same answer at small sizes."""
    result = explore(system, Geometry({"Page": 2, "Device": devices, "Thread": 2}), no_stale_cache)

    assert isinstance(result.verdict, Proved)
    assert states == result.stats.states


def test_its_premise_is_met() -> None:
    """Devices do remember pages that are no longer mapped, or else the promise would be empty."""
    found = reach((system, SMALL), {"stale": no_stale_cache.premise}, 8)["stale"]

    assert 3 == found.depth
    assert found.trace is not None
    assert ("map_page", "fill") == found.trace.actions[:2]


def test_no_short_run_breaks_it() -> None:
    """Bounded search agrees, as far as it looks."""
    assert isinstance(bmc((system, SMALL), no_stale_cache, 8), HoldsUpTo)


@pytest.mark.parametrize(
    ("old", "new", "lemma"),
    [
        pytest.param(FINAL_FLUSH, "\twrite_unlock", "owed_by_who_holds_the_lock", id="the final flush is gone"),
        pytest.param(REMEMBER, "", "owed_is_remembered", id="nobody remembers that a flush is owed"),
    ],
)
def test_a_lost_flush_is_refused_by_a_lemma_and_found_as_a_race(old: str, new: str, lemma: str) -> None:
    """The proof names the sentence that is no longer true, and the search shows what goes wrong then."""
    broken, software = build(changed(TEXT, old, new))
    refused = prove(broken, no_stale_cache, argument(software))
    found = bmc((broken, SMALL), no_stale_cache, 8)

    assert isinstance(refused, HoldsUpTo)
    assert {lemma} == {broken_lemma for _, broken_lemma in refused.broken_lemmas}
    assert isinstance(found, Violated)
    assert found.shortest
    assert 5 == found.depth
    assert ("map_page", "fill") == found.trace.actions[:2]
    assert ["clear_spte(iter.gfn)", "write_unlock(&kvm->mmu_lock)", "give_pages_back(kvm)"] == [
        step.action.label for step in found.trace.steps[2:]
    ]
    assert replays(found.trace, no_stale_cache)


def test_a_lost_flush_before_a_yield_breaks_the_argument_though_no_race_is_known() -> None:
    """A broken lemma is no violation: here the leaf at which the thread gave way makes sure that somebody flushes later."""
    lucky, software = build(changed(TEXT, FLUSH_BEFORE_YIELDING, ""))
    refused = prove(lucky, no_stale_cache, argument(software))

    assert isinstance(refused, HoldsUpTo)
    assert {"owed_by_who_holds_the_lock"} == {lemma for _, lemma in refused.broken_lemmas}
    assert isinstance(explore(lucky, SMALL, no_stale_cache).verdict, Proved)


@pytest.mark.parametrize(
    ("text", "verdict"), [(TEXT, Proved), (TEXT.replace(FINAL_FLUSH, "\twrite_unlock"), Violated)], ids=["good", "bad"]
)
def test_merging_steps_changes_no_verdict(text: str, verdict: type) -> None:
    """Big steps are for speed: without them every operation is a step of its own, and the answer is the same."""
    merged, single = (build(text, merge=merge)[0] for merge in (True, False))

    assert len(merged.actions) < len(single.actions)
    assert isinstance(explore(merged, SMALL, no_stale_cache).verdict, verdict)
    assert isinstance(explore(single, SMALL, no_stale_cache).verdict, verdict)
