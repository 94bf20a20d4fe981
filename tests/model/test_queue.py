"""The queues of IOMMUs: several descriptors of one thread, which complete in any order, and a wait for all of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import z3

from tdpcheck.checker.states.explore import survey
from tdpcheck.model.machine.iommu import inv_gfn, inv_submitted
from tdpcheck.model.machine.sorts import DESC, GFN, IOMMU, THREADS
from tdpcheck.model.program_points import Places
from tdpcheck.model.queue_depth import LOOPING, MOST
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import Model, build, parse_source, shipped_source
from tdpcheck.properties import PROPERTIES
from tdpcheck.runner.asking.results import assumptions
from tdpcheck.tests.ranged import ranged

FLUSH = "\t\tqi_submit_iotlb(start, last, false);\n\t\tqi_wait();\n"


def notifier(flush: str = FLUSH) -> Model:
    """A device fault beside a notifier that flushes a range so."""
    source = shipped_source("shared")
    text = source.files["tdp_fd.c"]
    assert 1 == text.count(FLUSH)
    files = ranged({**source.files, "tdp_fd.c": text.replace(FLUSH, flush)})
    return build(shipped_scenarios()["notifier-vs-iofault"], parse_source(replace(source, files=files)))


def lines(*calls: str) -> str:
    return "".join(f"\t\t{call};\n" for call in calls)


FIRST, LAST, BOTH = "qi_submit_iotlb(start, start, false)", "qi_submit_iotlb(last, last, false)", "qi_submit_iotlb(start, last, false)"
WAIT = "qi_wait()"


def violated(model: Model, name: str) -> bool:
    found = survey(model.system, model.geometry, {"bad": z3.Not(PROPERTIES[name].holds)})
    assert found.stats.complete
    return found.traces["bad"] is not None


@pytest.mark.parametrize(
    ("flush", "depth", "stale", "owed"),
    [
        (lines(BOTH, WAIT), 1, False, False),
        (lines(FIRST, LAST, WAIT), 2, False, False),
        pytest.param(lines(LAST, FIRST, WAIT), 2, False, False, marks=pytest.mark.slow),
        pytest.param(lines(BOTH, FIRST, WAIT), 2, False, False, marks=pytest.mark.slow),
        pytest.param(lines(FIRST, WAIT, LAST, WAIT), 1, False, False, marks=pytest.mark.slow),
        pytest.param(lines(FIRST, FIRST, WAIT), 2, True, True, marks=pytest.mark.slow),
        pytest.param(lines(FIRST, WAIT), 1, True, True, marks=pytest.mark.slow),
        pytest.param(lines(FIRST, WAIT, LAST), 1, True, True, marks=pytest.mark.slow),
        (lines(FIRST, LAST), 2, True, True),
        pytest.param(lines(WAIT, BOTH), 1, True, True, marks=pytest.mark.slow),
    ],
)
def test_what_stands_in_the_queue_is_done_when_it_was_waited_for(flush: str, depth: int, stale: bool, owed: bool) -> None:
    """Two halves and one wait are as good as the whole; a half, or no wait, is not."""
    model = notifier(flush)

    assert depth == model.geometry.size(DESC)
    assert stale == violated(model, "no_stale_io_mapping")
    assert owed == violated(model, "flush_before_release")


def test_descriptors_of_one_thread_complete_in_either_order() -> None:
    """No fence stands between them."""
    model = notifier(lines(FIRST, LAST, WAIT))
    t, n, other, i = THREADS.const("t0"), DESC.const("n0"), DESC.const("n1"), IOMMU.const("i0")

    places = Places(model.software)
    waiting = places.at(t, places.where(lambda x: places.next_operation(x) == "qi_wait"))

    def only(gfn: int) -> z3.BoolRef:
        """The thread waits: one stands there, which covers `gfn`, and the other is done."""
        gone = z3.ForAll([other], z3.Implies(other != n, z3.Not(inv_submitted(t, other, i))))
        return z3.Exists([t, n, i], z3.And(waiting, inv_submitted(t, n, i), inv_gfn(t, n, i, GFN.element(gfn)), gone))

    found = survey(model.system, model.geometry, {"first": only(0), "last": only(1)})

    assert all(found.traces.values())


def test_what_a_program_submits_one_after_the_other_has_room() -> None:
    """A stale entry that needs three descriptors under way is no less found than one that needs two."""
    model = notifier(lines(*[FIRST] * MOST, WAIT))

    assert MOST == model.geometry.size(DESC)
    assert not any("descriptors than" in said for said in assumptions(model))


@pytest.mark.parametrize(
    "flush",
    [
        lines(*[FIRST] * (MOST + 1), WAIT),
        "\t\twhile (need_resched())\n\t\t\tqi_submit_iotlb(start, last, false);\n\t\tqi_wait();\n",
    ],
)
def test_more_than_is_told_apart_is_waited_for_and_said(flush: str) -> None:
    """A thread that never waits has a bounded number in the queue, which is an assumption."""
    model = notifier(flush)

    assert LOOPING == model.geometry.size(DESC)
    assert any(f"submits more descriptors than {LOOPING} and does not wait" in said for said in assumptions(model))
