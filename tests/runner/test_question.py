"""One question, with engines that do as they are told: order, honesty, and an interrupt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from tdpcheck.checker.bounded.bmc import Reached
from tdpcheck.checker.states.walk import Coverage, Walked
from tdpcheck.cli.main import tdpcheck
from tdpcheck.core.errors import EngineError
from tdpcheck.core.verdict import INTERRUPTED, TIME_IS_UP, HoldsUpTo, Reason, ReasonKind, Unknown, Verdict, Violated
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import Model
from tdpcheck.runner.asking.question import Engines, Limits, Subject
from tdpcheck.runner.inputs.changes import Version
from tdpcheck.runner.inputs.sources import built, files_of
from tdpcheck.runner.runs.run import Plan, run
from tdpcheck.tests.calling import QUICK

PROPERTY = "reject_noncoherent_dma"
SCENARIO = shipped_scenarios()[QUICK]


@pytest.fixture(scope="module")
def model() -> Model:
    return built(SCENARIO, None, files_of(None)).model


def never_walks(*_: Any, **__: Any) -> Walked:
    """A walk that meets nothing."""
    return Walked(Unknown(Reason(ReasonKind.WALKS, "0 random walks met no violation"), "walk"), Coverage())


def holds(_: object, __: object, depth: int, **___: Any) -> Verdict:
    return HoldsUpTo(depth, "bmc")


def subject(model: Model, limits: Limits | None = None, **engines: Any) -> Subject:
    return Subject(model, [PROPERTY], limits or Limits(), Engines(survey=None, beside={}, **engines))


def test_the_default_depth_is_that_of_the_last_goal_plus_five(model: Model) -> None:
    asked = subject(model, bmc=holds)

    assert asked.survey.goals == {"refused": 2, "share finished": 2, "register finished": 1}
    assert asked.ask(PROPERTY).verdict == HoldsUpTo(7, "bmc")


def test_goals_that_walks_miss_are_searched_for(model: Model) -> None:
    asked = subject(model, walk=never_walks, bmc=holds)

    assert asked.survey.goals == {"refused": 2, "share finished": 2, "register finished": 1}


def test_a_goal_out_of_reach_makes_every_answer_unknown(model: Model) -> None:
    def nothing(_: object, goals: dict[str, object], depth: int, **__: Any) -> dict[str, Reached]:
        return {name: Reached(None, refuted=depth) for name in goals}

    verdict = subject(model, walk=never_walks, reach=nothing, bmc=holds, limits=Limits(goal_depth=4)).ask(PROPERTY).verdict

    assert isinstance(verdict, Unknown)
    assert verdict.kind in (ReasonKind.DEPTH, ReasonKind.VACUOUS)


def test_a_premise_out_of_reach_is_vacuous(model: Model) -> None:
    def only_goals(_: object, goals: dict[str, object], depth: int, **__: Any) -> dict[str, Reached]:
        return {name: Reached(None, refuted=depth) for name in goals}

    asked = subject(model, bmc=holds, reach=only_goals)
    asked.survey.premises[PROPERTY] = None
    verdict = asked.ask(PROPERTY).verdict

    assert isinstance(verdict, Unknown)
    assert (verdict.vacuous, verdict.kind) == (True, ReasonKind.VACUOUS)


def test_a_search_that_stops_early_is_unknown_and_says_how_far_it_came(model: Model) -> None:
    verdict = subject(model, bmc=lambda *_, **__: Unknown(TIME_IS_UP, "bmc", 4)).ask(PROPERTY).verdict

    assert isinstance(verdict, Unknown)
    assert (verdict.kind, verdict.reason) == (ReasonKind.TIME_OUT, "depth: searched to 4 of 7; the time is up")


def test_a_violation_does_not_need_goals(model: Model) -> None:
    """A replayed run is a fact, whatever else is out of reach."""
    broken = built(SCENARIO, None, _without_the_check()).model

    answer = subject(broken).ask(PROPERTY)

    assert isinstance(answer.verdict, Violated)
    assert answer.verdict.shortest is True
    assert answer.first_found is not None


def _without_the_check() -> dict[str, str]:
    files = dict(files_of(None))
    files["tdp_fd.c"] = files["tdp_fd.c"].replace("if (kvm_arch_has_noncoherent_dma(kvm))", "if (false)")
    return files


def plan(bmc: Callable[..., Verdict], *properties: str, jobs: int = 1) -> Plan:
    return Plan((SCENARIO,), properties, (Version(files_of(None)),), engines=Engines(survey=None, bmc=bmc, beside={}), jobs=jobs)


@pytest.mark.parametrize("raises", [True, False])
def test_an_interrupt_keeps_what_was_found(raises: bool) -> None:
    first, second = Plan((SCENARIO,), (), (Version(files_of(None)),)).asked_in(SCENARIO)[:2]

    def stopped(subject_: object, prop: Any, depth: int, **_: Any) -> Verdict:
        if prop.name != second:
            return HoldsUpTo(depth, "bmc")
        if raises:
            raise KeyboardInterrupt
        return Unknown(INTERRUPTED, "bmc", -1)

    outcome = run(plan(stopped))

    assert outcome.interrupted
    assert [(r.property, r.verdict) for r in outcome.records] == [(first, "holds_up_to")]
    assert outcome.not_asked == 2
    assert outcome.document.exit_code == 130


def test_an_interrupt_of_the_command_prints_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Subject.ask

    def interrupted(self: Subject, name: str, progress: object = None) -> Any:
        if name == PROPERTY:
            return ask(self, name)
        raise KeyboardInterrupt

    monkeypatch.setattr(Subject, "ask", interrupted)
    result = CliRunner().invoke(tdpcheck, ["verify", "--scenario", QUICK, "--jobs", "1", "--no-certify"])

    assert result.exit_code == 130
    assert "HoldsUpTo 7" in result.stdout
    assert "interrupted, 2 not asked" in result.stdout


def test_a_fault_of_an_engine_is_no_answer_and_no_traceback() -> None:
    def faulty(*_: Any, **__: Any) -> Verdict:
        raise EngineError("the run does not replay")

    outcome = run(plan(faulty, PROPERTY))

    (record,) = outcome.records
    assert (record.verdict, record.kind) == ("unknown", ReasonKind.FAULT)
    assert record.reason == "a fault of tdpcheck itself: the run does not replay"
    assert outcome.document.exit_code == 3
