"""Limits of a run: what was found by then is kept, what was not is Unknown (time-out, memory), and nothing goes on."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from typing import Any

import pytest

from tdpcheck.checker import processes
from tdpcheck.checker.processes import fair_share
from tdpcheck.core.verdict import HoldsUpTo, Reason, ReasonKind, Verdict
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.runner.asking.limits import Engines, Limits
from tdpcheck.runner.inputs.changes import Version, series_of
from tdpcheck.runner.inputs.sources import files_of
from tdpcheck.runner.museum.items import shipped_items
from tdpcheck.runner.runs.accounting import Accountant, Witnesses
from tdpcheck.runner.runs.plan import Plan
from tdpcheck.runner.runs.run import run
from tdpcheck.runner.runs.slots import Slots
from tdpcheck.tests.calling import QUICK, diff

SCENARIO = shipped_scenarios()[QUICK]
_FIRST = files_of(None)["tdp_fd.c"].partition("*/\n")[0]
HARMLESS = diff("tdp_fd.c", _FIRST, _FIRST + " * One word more.\n ").encode()


def plan(limits: Limits, change: bytes | None = None, **engines: Any) -> Plan:
    files = files_of(None)
    versions = (Version(files),) if change is None else series_of(change, "a.patch", files).versions
    return Plan((SCENARIO,), (), versions, limits=limits, engines=Engines(**{"beside": {}, **engines}))


def killed(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_every_state_showed_is_kept_where_no_proof_can_be_made_of_it() -> None:
    """A solver that hangs, or eats all memory, costs the proof and not the exploration."""
    outcome = run(plan(Limits(certify=True), certify_states=killed))

    assert {"holds_up_to"} == {r.verdict for r in outcome.records}
    assert all(r.states for r in outcome.records)


@pytest.mark.slow
def test_a_violation_that_walks_found_is_kept_where_a_shorter_one_is_looked_for_in_vain() -> None:
    """The engine that looks for it dies; the run is there, and replays."""
    bad = shipped_items()["noncoherent-after-export"].patch
    outcome = run(plan(Limits(walks=200), bad, survey=None, bmc=killed, reach=lambda *_, **__: {}))
    (found,) = [r for r in outcome.records if r.property == "reject_noncoherent_dma"]

    assert ("violated", "walk") == (found.verdict, found.engine)
    assert found.trace


def test_no_question_is_asked_when_the_time_of_the_whole_run_is_up() -> None:
    outcome = run(plan(Limits(until=time.monotonic() - 1)))

    assert not outcome.interrupted
    assert [ReasonKind.TIME_OUT] * 3 == [r.kind for r in outcome.records]
    assert all("the whole run" in (r.reason or "") for r in outcome.records)
    assert 3 == outcome.document.exit_code


@pytest.mark.slow
def test_what_is_asked_when_the_time_of_the_whole_run_ends_is_unknown_soon_after() -> None:
    """However much time a question has: here a survey that does not listen."""

    def sleeps(*_: Any, **__: Any) -> Any:
        time.sleep(60)

    begun = time.monotonic()
    outcome = run(plan(Limits(timeout=300, until=begun + 3), survey=sleeps, walk=sleeps))

    assert {ReasonKind.TIME_OUT} == {r.kind for r in outcome.records}
    assert time.monotonic() - begun < 15  # the machine may be busy; a minute it is not


def test_a_limit_of_the_run_and_of_a_question_are_both_kept() -> None:
    """The nearer one counts, with a grace that is in proportion to it."""
    now = time.monotonic()

    assert Limits(timeout=None).left(5) is None
    assert Limits(timeout=None).until_killed(5) is None
    assert Limits(timeout=100).left(40) == 60
    assert Limits(timeout=100).until_killed(40) == pytest.approx(63)
    assert Limits(timeout=100, until=now + 10).left(40) == pytest.approx(10, abs=0.2)
    assert Limits(timeout=100, until=now + 10).until_killed(40) == pytest.approx(10.3, abs=0.2)
    assert Limits(timeout=100, until=now + 1000).until_killed(200) == pytest.approx(3.1)
    assert Limits(timeout=1).are_gone(1.1)
    assert not Limits(timeout=1).are_gone(0.9)
    assert not Limits(timeout=1).are_up
    assert Limits(until=now - 1).are_up


def test_accounting_for_a_change_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said not to be done, in a moment; and nobody approves of the change."""
    asked = plan(Limits(timeout=0.5), HARMLESS)
    monkeypatch.setattr(Accountant, "accounted", lambda self, number: time.sleep(60))
    begun = time.monotonic()
    found = Accountant(asked, Witnesses(), Slots(1), lambda what: None).in_time(1)

    assert isinstance(found, Reason)
    assert found.kind is ReasonKind.TIME_OUT
    assert "a.patch" in found.text
    assert time.monotonic() - begun < 10


def test_a_change_whose_lines_nobody_accounted_for_is_not_approved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Accountant, "accounted", killed)
    outcome = run(plan(Limits(), HARMLESS))

    assert {"unknown"} == {r.verdict for r in outcome.records}
    assert not outcome.document.changes[0].modelled
    assert 3 == outcome.document.exit_code


def test_without_a_limit_a_process_has_its_share_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that wants more is Unknown for want of memory, and the others have their answers."""

    def greedy(_: object, prop: Any, depth: int, **__: Any) -> Verdict:
        return HoldsUpTo(len(bytearray(3_000_000_000)) if prop.name == "root_liveness" else depth, "bmc")

    whole, half = fair_share(1), fair_share(2)
    monkeypatch.setattr(processes, "_SHARED", 0.0)
    outcome = run(plan(Limits(walks=3), survey=None, bmc=greedy))
    kinds = {r.property: r.kind for r in outcome.records if r.verdict == "unknown"}

    assert whole >= half >= 1000 == fair_share(1)
    assert {"root_liveness": ReasonKind.MEMORY} == kinds
    assert replace(plan(Limits(memory=77))).memory == 77
