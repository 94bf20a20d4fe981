"""Device TLBs (ATS): what fills them, which flush empties them for good, and that nothing of them is there where nobody asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import pytest
import z3
from msgspec.structs import replace as with_values

from tdpcheck.checker.states.explore import explore, survey
from tdpcheck.core.errors import EngineError, InputError
from tdpcheck.core.verdict import Violated
from tdpcheck.counterexamples.document import from_verdict
from tdpcheck.counterexamples.forms.dot import dot
from tdpcheck.counterexamples.forms.mermaid import mermaid
from tdpcheck.counterexamples.forms.text import text
from tdpcheck.counterexamples.graph import state_graph
from tdpcheck.counterexamples.outline import outline
from tdpcheck.counterexamples.picture import picture
from tdpcheck.counterexamples.schema import Cex
from tdpcheck.kernelc.lowering.library import VOID, Effect, Intrinsic, Library
from tdpcheck.model.catalogue import catalogue
from tdpcheck.model.fitted import fitted
from tdpcheck.model.intrinsics import LIBRARY
from tdpcheck.model.machine import device_tlb, parts
from tdpcheck.model.parametric import parametric
from tdpcheck.model.scenario import Scenario, Sizes, Start, Thread, convert_scenario, shipped_scenarios
from tdpcheck.model.system import Model, build, parse_source, shipped_source
from tdpcheck.runner.inputs.terms import goals_of, property_in, property_of
from tdpcheck.tests.ranged import ranged

SHIPPED = shipped_scenarios()
ATS = SHIPPED["notifier-vs-fault-ats"]
STALE, OWED = "no_stale_io_mapping", "flush_before_release"
IOTLB, DEVICE, WAIT = "qi_submit_iotlb(start, last, false);", "qi_submit_dev_iotlb(start, last);", "qi_wait();"
EVERYTHING, IOMMUS = "qi_submit_dev_iotlb_domain();", "qi_submit_iotlb_domain();"
LONE = with_values(ATS, name="lone", thread=ATS.thread[:1], unreachable=())
"""The notifier alone: what races with it is the machine."""
HUGE = with_values(
    LONE,
    name="lone-huge",
    thread=(Thread("notifier", "mmu_notifier_unmap", {"may_block": True, "start": "first", "last": "last"}),),
    start=Start(tables="huge", host="huge"),
    geometry=Sizes(frames=3, pts=1),
)
"""The same for a huge leaf, all of which goes."""


PLAIN = with_values(LONE, name="lone-plain", hardware=with_values(LONE.hardware, ats=False))
"""The same without ATS."""
OWN: Mapping[str, Scenario] = {scenario.name: scenario for scenario in (LONE, HUGE, PLAIN)}


@cache
def flushing(flush: tuple[str, ...], scenario: str = LONE.name) -> Model:
    """A scenario whose notifier flushes a range so."""
    source = shipped_source("ats")
    known = source.files["ats/tdp_fd.c"]
    right = "".join(f"\t\t{call}\n" for call in (IOTLB, WAIT, DEVICE, WAIT))
    assert 1 == known.count(right)
    new = known.replace(right, "".join(f"\t\t{call}\n" for call in flush))
    return build(OWN[scenario], parse_source(replace(source, files=ranged({**source.files, "ats/tdp_fd.c": new}))))


@cache
def answers(flush: tuple[str, ...], scenario: str = LONE.name) -> tuple[bool, bool]:
    """Whether a stale translation can be reached, and whether a flush can still be owed when the lock is let go."""
    model = flushing(flush, scenario)
    found = survey(model.system, model.geometry, {name: z3.Not(property_of(model, name).holds) for name in (STALE, OWED)})
    assert found.stats.complete
    return found.traces[STALE] is not None, found.traces[OWED] is not None


@pytest.mark.parametrize(
    ("flush", "wrong"),
    [
        pytest.param((IOTLB, WAIT, DEVICE, WAIT), False, id="right"),
        pytest.param((IOTLB, WAIT, EVERYTHING, WAIT), False, id="right, more than the range", marks=pytest.mark.slow),
        pytest.param((IOMMUS, WAIT, DEVICE, WAIT), False, id="right, the whole domain", marks=pytest.mark.slow),
        pytest.param((DEVICE, IOTLB, WAIT, DEVICE, WAIT), False, id="right, and once more than is needed", marks=pytest.mark.slow),
        pytest.param((DEVICE, WAIT, IOTLB, WAIT), True, id="reversed"),
        pytest.param((IOTLB, WAIT), True, id="missing"),
        pytest.param((DEVICE, WAIT), True, id="the device alone", marks=pytest.mark.slow),
        pytest.param((IOTLB, DEVICE, WAIT), True, id="one wait for both"),
        pytest.param((IOTLB, WAIT, DEVICE), True, id="not awaited", marks=pytest.mark.slow),
    ],
)
def test_a_device_forgets_for_good_only_after_the_iotlb_has(flush: tuple[str, ...], wrong: bool) -> None:
    """An IOTLB entry fills a device TLB again: a flush before it is gone is none."""
    assert (wrong, wrong) == answers(flush)


@pytest.mark.parametrize(
    ("device", "wrong"),
    [
        ("qi_submit_dev_iotlb(start, last);", False),
        pytest.param("qi_submit_dev_iotlb(start, start);", True, marks=pytest.mark.slow),
        pytest.param("qi_submit_dev_iotlb(last, last);", True, marks=pytest.mark.slow),
    ],
)
def test_each_part_of_a_huge_translation_has_to_be_forgotten(device: str, wrong: bool) -> None:
    """A device may hold a huge page as its parts: an invalidation of one does nothing to the others."""
    assert (wrong, wrong) == answers((IOTLB, WAIT, device, WAIT), HUGE.name)


@pytest.mark.parametrize(
    ("flush", "places"),
    [((IOTLB, WAIT, DEVICE, WAIT), 1), ((IOTLB, DEVICE, WAIT), 2), ((IOTLB, EVERYTHING, DEVICE, WAIT), 3)],
    ids=["a wait each", "one wait", "one wait for three"],
)
def test_each_descriptor_takes_a_place_in_the_queue(flush: tuple[str, ...], places: int) -> None:
    assert places == flushing(flush).geometry.sizes["Desc"]


@pytest.mark.parametrize("call", ["qi_submit_dev_iotlb", "qi_submit_dev_iotlb_domain"])
def test_the_calls_are_listed_with_what_they_touch(call: str) -> None:
    (entry,) = (e for e in catalogue(LIBRARY, {}) if e.name == call)

    assert {"dinv_gfn", "dinv_submitted"} == set(entry.writes)
    assert "model/intrinsics/flush.py" == entry.home


def test_nothing_of_it_is_there_where_nobody_asks() -> None:
    names = {var.name for var in device_tlb.STATE}
    for scenario in (s for s in SHIPPED.values() if not s.hardware.ats):
        assert not names & {var.name for var in parts.state(scenario)}, scenario.name
        assert not [a.name for a in parts.actions(scenario) if a.actor == "device"], scenario.name
    assert names <= {var.name for var in parts.state(ATS)}


def test_a_device_without_a_tlb_has_nothing_to_forget() -> None:
    """The design is right without ATS, too: its device flushes do nothing then, and a thread waits for none."""
    plain = PLAIN.name

    assert (False, False) == answers((IOTLB, WAIT, DEVICE, WAIT), plain)
    assert (True, True) == answers((DEVICE, WAIT), plain)
    assert not [a for a in flushing((DEVICE, WAIT), plain).system.actions if any("dinv" in u.var.name for u in a.updates)]


def test_every_call_can_do_without_the_part() -> None:
    """What a call says of it falls away, and the rest stays as it was."""
    names = {var.name for var in device_tlb.STATE}
    model = flushing((IOTLB, WAIT, DEVICE, WAIT), PLAIN.name)

    assert LIBRARY is fitted(LIBRARY, ATS)
    assert not [v for v in model.system.state if v.name in names]
    assert not [(a.name, u.var.name) for a in model.system.actions for u in a.updates if u.var.name in names]


def test_a_call_that_needs_the_part_is_none_without_it() -> None:
    """One that waits until a device has cached something would wait for ever, or for nothing."""
    asks = Intrinsic("asks", (), VOID, lambda t: Effect(guard=z3.Exists(list(device_tlb.dtlb_valid.variables()), some())))

    def some() -> z3.BoolRef:
        return device_tlb.dtlb_valid(*device_tlb.dtlb_valid.variables())

    with pytest.raises(EngineError, match="waits for what this machine has not"):
        fitted(Library(types={}, intrinsics={"asks": asks}), SHIPPED["notifier-vs-fault"]).intrinsics["asks"].meaning(None)


@pytest.mark.parametrize("prop", [STALE, OWED])
def test_a_property_asks_more_where_devices_have_a_tlb(prop: str) -> None:
    """Only there; and a stored answer rests on what was asked."""
    model, alone = flushing((IOTLB, WAIT)), property_in(SHIPPED["notifier-vs-fault"], prop)
    asked = property_in(LONE, prop)

    assert asked is not None
    assert alone is not None
    assert asked == property_of(model, prop)
    assert asked.holds.sexpr() != alone.holds.sexpr()
    assert asked.holds.children()[0].eq(alone.holds)


@cache
def told(flush: tuple[str, ...]) -> Cex:
    model = flushing(flush)
    prop = property_of(model, STALE)
    verdict = explore(model.system, model.geometry, prop).verdict
    assert isinstance(verdict, Violated)
    assert verdict.shortest
    return from_verdict(model, prop, verdict)


@pytest.mark.parametrize("flush", [(IOTLB, WAIT), (DEVICE, WAIT, IOTLB, WAIT)], ids=["missing", "reversed"])
def test_a_stale_device_tlb_is_named_in_every_form(flush: tuple[str, ...]) -> None:
    cex = told(flush)
    row = next(p for p in picture(cex).parts if p.key == "dtlb 0.0")

    assert ["the device TLB of device 0 translates gfn 0 to frame A, which is free"] == [i.sentence for i in cex.violation]
    assert "in its own TLB" in text(cex)
    assert "complete device-TLB invalidation of gfn 0 is missing" in " ".join(text(cex).split())
    assert "device TLBs (ATS)" not in text(cex)
    assert state_graph(cex).nodes["dtlb 0.0"]["violating"]
    assert 'device TLB gfn 0: A", style="filled", fillcolor="#fff3e0", color="#c62828"' in dot(cex)
    assert "device TLB: gfn 0" in mermaid(cex)
    assert [("stale", True)] == [
        ("stale" if line.stale else "", line.violating) for line in outline(state_graph(cex)) if "device TLB" in line.text
    ]
    assert "stale violating" == row.looks[-1].state


def test_a_device_that_is_flushed_too_early_is_filled_again_by_the_iotlb() -> None:
    cex = told((DEVICE, WAIT, IOTLB, WAIT))
    words = " ".join(text(cex).split())

    assert 13 == cex.depth
    assert "device 0 caches gfn 0 -> A in its own TLB, as the IOTLB of iommu 0 answers (step 10)" in words
    assert "The device-TLB invalidation of gfn 0 completed too early, in step 8, while the IOTLB still held gfn 0 -> A" in words


def test_a_device_that_is_never_flushed_is_reached_soonest() -> None:
    assert 10 == told((IOTLB, WAIT)).depth


def raw(**hardware: object) -> Mapping[str, object]:
    thread = {"role": "notifier", "entry": "mmu_notifier_unmap"}
    return {"name": "x", "story": "x", "thread": [thread], "expect": {STALE: "holds"}, "hardware": hardware}


@pytest.mark.parametrize(
    ("hardware", "message"),
    [
        ({"ats": True, "iommu": False}, "hardware.ats = true needs hardware.iommu = true"),
        ({"ats": "yes"}, "Expected `bool`, got `str`"),
    ],
)
def test_a_switch_that_cannot_be_is_refused(hardware: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        convert_scenario(raw(**hardware), "x.toml")


def test_its_goal_is_none_without_it() -> None:
    model = flushing((IOTLB, WAIT, DEVICE, WAIT), PLAIN.name)

    with pytest.raises(
        InputError, match=r"the goal 'device tlb filled' is about a part of the machine that is not there; see \[hardware\]"
    ):
        goals_of(model)


def test_no_argument_for_every_size_speaks_of_it() -> None:
    """A proof that left them out would be a proof of less than is asked."""
    with pytest.raises(InputError, match="has device TLBs, of which no argument for every size speaks"):
        parametric(ATS, parse_source(shipped_source("ats")))
