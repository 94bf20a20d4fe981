"""Many questions at once: one that dies costs its own answer, the order is the plan's, and nothing is left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tdpcheck.checker.processes import Answered, Child, Died, Say
from tdpcheck.checker.states.explore import Surveyed, survey
from tdpcheck.core.errors import ModelError
from tdpcheck.core.verdict import HoldsUpTo, Reason, ReasonKind, Unknown, Verdict
from tdpcheck.model.scenario import Scenario, shipped_scenarios
from tdpcheck.runner.asking.limits import Engines, Limits
from tdpcheck.runner.asking.results import Result
from tdpcheck.runner.documents import to_json
from tdpcheck.runner.inputs.changes import Version
from tdpcheck.runner.inputs.sources import files_of
from tdpcheck.runner.runs import run as run_module
from tdpcheck.runner.runs.plan import Plan
from tdpcheck.runner.runs.run import Outcome, run
from tdpcheck.runner.runs.slots import Slots, Turns
from tdpcheck.runner.runs.worker import Worker
from tdpcheck.tests.calling import QUICK
from tdpcheck.tests.few import few

ROOT = Path(__file__).parents[2]
SCENARIOS = tuple(shipped_scenarios()[name] for name in (QUICK, "mm-exit"))


FEW = Limits(walks=3)


def plan(jobs: int = 1, limits: Limits = FEW, scenarios: tuple[Scenario, ...] = SCENARIOS, **engines: Any) -> Plan:
    return Plan(scenarios, (), (Version(files_of(None)),), limits=limits, engines=Engines(**{"beside": {}, **engines}), jobs=jobs)


def holds(_: object, __: object, depth: int, **___: Any) -> Verdict:
    return HoldsUpTo(depth, "bmc")


def but(name: str, instead: Callable[[], Verdict]) -> Callable[..., Verdict]:
    """An engine that does something else when it is asked one property."""

    def engine(_: object, prop: Any, depth: int, **__: Any) -> Verdict:
        return instead() if prop.name == name else HoldsUpTo(depth, "bmc")

    return engine


def reason(outcome: Outcome, name: str) -> str:
    (found,) = [r.reason for r in outcome.records if r.verdict == "unknown" and r.property == name and r.scenario == QUICK]
    return found or ""


def killed() -> Verdict:
    os.kill(os.getpid(), signal.SIGKILL)
    return Unknown(Reason(ReasonKind.FAULT, "a dead man does not say this"), "bmc")


def exhausted() -> Verdict:
    return HoldsUpTo(len(bytearray(3_000_000_000)), "bmc")


def lost() -> Verdict:
    os._exit(3)


def confused() -> Verdict:
    raise TypeError("this engine has a bug")


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (killed, "its process was killed (SIGKILL"),
        (exhausted, "out of memory (1500 MB were allowed)"),
        (lost, "its process ended without an answer (exit code 3)"),
        (confused, "a fault of tdpcheck itself: TypeError: this engine has a bug"),
    ],
)
def test_a_question_whose_process_dies_costs_its_own_answer_and_no_other(end: Callable[[], Verdict], said: str) -> None:
    asked = plan(2, replace(FEW, memory=1_500), SCENARIOS[:1], survey=None, bmc=but("root_liveness", end))
    outcome = run(asked)

    assert not outcome.interrupted
    assert said in reason(outcome, "root_liveness")
    assert 1 == sum(r.verdict == "unknown" for r in outcome.records)
    assert asked.questions == len(outcome.records)
    assert 3 == outcome.document.exit_code


def too_many() -> Verdict:
    raise ModelError("more than 100000 initial states")


@pytest.mark.parametrize("end", [killed, too_many])
def test_an_exploration_that_dies_gives_way_to_walks(end: Callable[[], Verdict]) -> None:
    """More states than there is memory is what walks and bounded search are for."""

    def too_large(*_: Any, **__: Any) -> Surveyed:
        end()
        raise AssertionError

    outcome = run(plan(scenarios=SCENARIOS[:1], survey=too_large, bmc=holds))

    assert {"holds_up_to"} == {r.verdict for r in outcome.records}
    assert {None} == {r.states for r in outcome.records}


@pytest.mark.slow
def test_a_survey_that_cannot_be_had_at_all_leaves_its_scenario_unknown_and_the_other_answered() -> None:
    def dies(system: Any, *_: Any, **__: Any) -> Any:
        if system.name == QUICK:
            killed()
        return survey(system, *_, **__)

    outcome = run(plan(survey=dies, walk=dies))

    assert {"unknown"} == {r.verdict for r in outcome.records if r.scenario == QUICK}
    assert {"holds_up_to"} == {r.verdict for r in outcome.records if r.scenario == "mm-exit"}


def plain(outcome: Outcome) -> str:
    """The document without its times."""
    document = json.loads(to_json(outcome.document))
    for record in document["results"]:
        del record["seconds"]
    return json.dumps(document)


@pytest.mark.parametrize("engines", few([{"survey": None}, {}], 2))
@pytest.mark.slow
def test_the_answers_do_not_depend_on_how_many_run_at_once(engines: dict[str, Any]) -> None:
    asked = SCENARIOS if not engines else SCENARIOS[:1]
    alone, together = run(plan(1, scenarios=asked, **engines)), run(plan(3, scenarios=asked, **engines))

    assert plain(alone) == plain(together)


def test_answers_come_in_the_order_of_the_plan_whoever_is_first(tmp_path: Path) -> None:
    finished = tmp_path / "finished"

    def slow(*_: Any, **__: Any) -> Surveyed:
        if _[0].name == QUICK:
            while not finished.exists():  # the other one's
                time.sleep(0.01)
        return survey(*_, **__)

    heard: list[Result] = []

    class Ear:
        def working(self, what: str) -> None:
            return None

        def said(self, what: str) -> None:
            return None

        def answered(self, record: Result, *, open_: bool = False) -> None:
            heard.append(record)
            finished.touch()

    outcome = run(plan(2, survey=slow), Ear())

    assert "mm-exit" == heard[0].scenario
    assert [QUICK] * 3 + ["mm-exit"] * 2 == [r.scenario for r in outcome.records]


class Worn(Worker):
    """A worker that does not survive its second scenario."""

    scenarios = 0

    def work(self) -> bool:
        type(self).scenarios += 1  # of this process
        if type(self).scenarios == 2:
            killed()
        return super().work()


def test_a_scenario_that_a_worker_does_not_survive_after_others_is_asked_again_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "Worker", Worn)
    outcome = run(plan())
    assert {"holds_up_to"} == {r.verdict for r in outcome.records}
    assert [QUICK] * 3 + ["mm-exit"] * 2 == [r.scenario for r in outcome.records]


def test_a_scenario_that_was_taken_by_a_worker_that_says_nothing_more_is_asked_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    parent, take = os.getpid(), Turns.take

    def takes_and_dies(turns: Turns) -> int | None:
        turn = take(turns)
        if os.getpid() != parent:
            lost()
        return turn

    monkeypatch.setattr(Turns, "take", takes_and_dies)
    outcome = run(plan())
    assert {"holds_up_to"} == {r.verdict for r in outcome.records}
    assert {QUICK, "mm-exit"} == {r.scenario for r in outcome.records}


@pytest.mark.slow
def test_a_worker_that_has_grown_makes_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    workers: list[int] = []
    begun = Child.__init__

    def begin(child: Child, *given: Any, **named: Any) -> None:
        begun(child, *given, **named)
        workers.append(child.pid)

    monkeypatch.setattr(Child, "__init__", begin)
    run(plan(survey=survey, bmc=holds))
    assert len(workers) == 1  # what it starts itself, it starts in its own process
    workers.clear()
    monkeypatch.setattr(run_module, "_ROOM", -1.0)
    outcome = run(plan(survey=survey, bmc=holds))
    assert len(workers) == 2
    assert {"holds_up_to"} == {r.verdict for r in outcome.records}


def _answer(child: Child) -> Any:
    news = child.news()
    assert isinstance(news, Answered)
    return news.value


def test_each_turn_is_given_once_whoever_asks() -> None:
    turns = Turns(40)

    def takes(say: Say) -> list[int]:
        found = []
        while (turn := turns.take()) is not None:
            found.append(turn)
        return found

    children = [Child(takes) for _ in range(4)]
    given = [turn for child in children for turn in _answer(child)]
    assert sorted(given) == list(range(40))
    assert turns.take() is None


def test_a_slot_is_free_again_when_its_holder_is_killed() -> None:
    slots = Slots(1)

    def holds_on(say: Say) -> None:
        with slots.one():
            say("mine")
            time.sleep(60)

    def waits(say: Say) -> str:
        with slots.one():
            return "mine now"

    holder = Child(holds_on)
    holder.news()
    waiter = Child(waits)
    holder.kill()

    assert Answered("mine now") == waiter.news()
    assert not isinstance(holder, Died)


def _children(pid: int) -> list[int]:
    """Every process below one."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found += [int(path.parent.name), *_children(int(path.parent.name))]
    return found


def _verify(*arguments: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT / ".typing"), "TDPCHECK_CACHE": "off"}
    command = [sys.executable, "-m", "tdpcheck.cli.main", "verify", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_control_c_keeps_what_was_found_and_nobody_outlives_the_run(stop: signal.Signals) -> None:
    """`mm-exit` is answered in no time; the other one is asked of a solver and takes long."""
    quick, long = "mm-exit", "notifier-fault-split"
    with _verify("--scenario", quick, "--scenario", long, "--states", "5000", "--jobs", "2", "--depth", "60", "--json") as started:
        assert started.stderr is not None
        assert quick in started.stderr.readline()
        deadline = time.monotonic() + 60
        while len(_children(started.pid)) < 3 and time.monotonic() < deadline:  # a worker, and its questions
            time.sleep(0.1)
        below = _children(started.pid)
        started.send_signal(stop)
        out, _ = started.communicate(timeout=30)
    time.sleep(0.3)

    assert below
    assert [] == [pid for pid in below if Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]]
    if stop == signal.SIGINT:
        document = json.loads(out)
        assert 130 == started.returncode
        assert document["interrupted"]
        assert quick in {r["scenario"] for r in document["results"]}
