"""All questions of one run: every selected scenario, without and with each change, and what became of each changed line."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..checker.bmc import INTERRUPTED
from ..core.errors import EngineError, InputError
from ..core.system import Property, TransitionSystem
from ..core.trace import Step, Trace
from ..core.verdict import Unknown, Verdict, Violated
from ..kernelc.tree import KernelTree
from ..model.account import Accounted, Ran, Side, account, can_fire, same_behaviour, unfired, unmodelled
from ..model.scenario import Scenario, read_scenario, shipped_scenarios
from ..model.system import Code, Model
from . import results
from .changes import Version, read_change, touched
from .names import choose
from .question import ASSERTIONS, Answer, Engines, Limits, Subject, Survey, property_names
from .results import Change, Document, Result
from .sources import Built, built


class Listener(Protocol):
    """Who wants to know how far a run is."""

    def working(self, what: str) -> None:
        """Something begins that may take long."""

    def answered(self, record: Result) -> None:
        """A question has its answer."""


class Nobody:
    """A listener that does not listen."""

    def working(self, what: str) -> None:
        return None

    def answered(self, record: Result) -> None:
        return None


@dataclass(frozen=True)
class Plan:
    """What is to be asked.

    Args:
        properties: those that were selected; empty for each scenario's own, and the kernel's assertions.
        versions: the code as it is, then after each patch.
    """

    scenarios: tuple[Scenario, ...]
    properties: tuple[str, ...]
    versions: tuple[Version, ...]
    kernel: KernelTree | None = None
    limits: Limits = field(default_factory=Limits)
    engines: Engines = field(default_factory=Engines)

    def asked_in(self, scenario: Scenario) -> tuple[str, ...]:
        """The properties that are asked in a scenario."""
        return self.properties or tuple(dict.fromkeys((*scenario.expect, ASSERTIONS)))

    @property
    def questions(self) -> int:
        return len(self.versions) * sum(len(self.asked_in(s)) for s in self.scenarios)


@dataclass(frozen=True)
class Found:
    """A violation with what a report about it needs: the code that ran, and the version that it belongs to."""

    record: Result
    model: Model
    prop: Property
    verdict: Violated
    code: Code
    version: Version


@dataclass
class Outcome:
    """What a run found, also if it was interrupted."""

    records: list[Result] = field(default_factory=list)
    violations: list[Found] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    interrupted: bool = False
    not_asked: int = 0

    @property
    def document(self) -> Document:
        return results.document(self.records, self.changes, interrupted=self.interrupted, not_asked=self.not_asked)


def selected_scenarios(given: Sequence[str], properties: Sequence[str], kernel: KernelTree | None = None) -> tuple[Scenario, ...]:
    """The scenarios that the user named (or files of them); without any, those for this code that ask one of the properties.

    Raises:
        InputError: an unknown name, a file that is no scenario, or nothing left to ask.
    """
    choose(properties, property_names(), "property")
    shipped = shipped_scenarios()
    if given:
        return tuple({s.name: s for s in (_scenario(name, shipped) for name in given)}.values())
    fitting = [s for s in shipped.values() if s.needs_kernel == (kernel is not None)]
    found = tuple(s for s in fitting if not properties or any(p in s.expect or p == ASSERTIONS for p in properties))
    if not found:
        raise InputError(f"no scenario asks {', '.join(properties)}; name one with --scenario")
    return found


def _scenario(name: str, shipped: Mapping[str, Scenario]) -> Scenario:
    if name.endswith(".toml"):
        data = read_change(name)
        if b"\0" in data:
            raise InputError(f"{name}: this is a binary file; expected a scenario in TOML")
        try:
            return read_scenario(data.decode(), name)
        except UnicodeDecodeError:
            raise InputError(f"{name}: not UTF-8; expected a scenario in TOML") from None
    choose([name], tuple(shipped), "scenario")
    return shipped[name]


def run(plan: Plan, listener: Listener | None = None) -> Outcome:
    """Ask every question of the plan; what was found before an interrupt is kept.

    Raises:
        InputError: a scenario that the code cannot run, an unknown property.
        Refusal: kernel C outside the subset that can be reached.
    """
    outcome = Outcome()
    going = _Run(plan, outcome, listener or Nobody())
    try:
        for scenario in plan.scenarios:
            going.scenario(scenario)
        going.account()
    except KeyboardInterrupt:
        outcome.interrupted = True
    asked = sum(1 for _ in going.asked)
    outcome.not_asked = plan.questions - asked
    if outcome.interrupted:
        going.account_for_nothing()
    return outcome


@dataclass(frozen=True)
class _Asked:
    """One scenario in one version, asked."""

    built: Built
    subject: Subject
    answers: Mapping[str, Answer]


class _Run:
    def __init__(self, plan: Plan, outcome: Outcome, listener: Listener) -> None:
        self._plan = plan
        self._outcome = outcome
        self._listener = listener
        self._by_version: list[list[_Asked]] = [[] for _ in plan.versions]
        self.asked: list[tuple[str, str, str]] = []

    def scenario(self, scenario: Scenario) -> None:
        """Ask one scenario in every version."""
        before: _Asked | None = None
        for number, version in enumerate(self._plan.versions):
            now = self._version(scenario, number, version, before)
            if len(self._plan.versions) > 1:
                self._by_version[number].append(now)
            before = now

    def _version(self, scenario: Scenario, number: int, version: Version, before: _Asked | None) -> _Asked:
        plan, alone = self._plan, len(self._plan.versions) == 1
        named = f"{scenario.name} with {version.name}" if version.name else scenario.name
        self._listener.working(f"{named}: building the model")
        own = version.scenario(scenario)
        made = built(own, plan.kernel, version.files, touched(plan.versions, number))
        subject = Subject(made.model, plan.asked_in(scenario), plan.limits, plan.engines)
        answers: dict[str, Answer] = {}
        asked = _Asked(made, subject, answers)
        reusable = before if before is not None and _same(before.built.model, made.model) else None
        if reusable is not None:
            subject.survey = _carried_survey(reusable, made.model)
        else:
            self._listener.working(f"{named}: walking at random")
        for name in subject.properties:
            self._listener.working(f"{named}: {name}")
            if reusable is not None and name in reusable.answers:
                answer = _carried(reusable.answers[name], subject.properties[name], made.model)
            else:
                answer = self._ask(subject, name, named)
            if answer.interrupted and isinstance(answer.verdict, Unknown) and answer.verdict.depth < 0:
                raise KeyboardInterrupt
            answers[name] = answer
            self.asked.append((scenario.name, name, version.name))
            if alone or number > 0:
                verdict_before = before.answers[name].verdict if before is not None else None
                self._record(own, asked, answer, version, verdict_before)
            if answer.interrupted:
                raise KeyboardInterrupt
        return asked

    def _ask(self, subject: Subject, name: str, named: str) -> Answer:
        def told(depth: int) -> None:
            self._listener.working(f"{named}: {name}, nothing up to depth {depth}")

        started = time.monotonic()
        try:
            return subject.ask(name, told)
        except EngineError as fault:
            spent = time.monotonic() - started
            subject.survey = vars(subject).get("survey", Survey())
            return Answer(subject.properties[name], Unknown(f"a fault of tdpcheck itself: {fault}", "none"), subject.asked, spent)

    def _record(self, scenario: Scenario, asked: _Asked, answer: Answer, version: Version, before: Verdict | None) -> None:
        model, name = asked.built.model, answer.prop.name
        record = results.result(model, answer, asked.subject.survey, scenario.expect.get(name), version.name or None, before)
        self._outcome.records.append(record)
        if isinstance(answer.verdict, Violated):
            self._outcome.violations.append(Found(record, model, answer.prop, answer.verdict, asked.built.code, version))
        self._listener.answered(record)

    # Changed lines

    def account(self) -> None:
        """Say what became of each changed line, and withdraw approval of what is not modelled."""
        for number, version in enumerate(self._plan.versions[1:], 1):
            lines = self._accounted(number, version)
            record = results.change_record(version.name, version.subject, lines, version.notes)
            self._outcome.changes.append(record)
            if not record.modelled:
                self._withdraw(version.name, _why(lines))

    def account_for_nothing(self) -> None:
        """After an interrupt: nobody knows what became of the changed lines, so nothing is approved."""
        done = {c.name for c in self._outcome.changes}
        for version in self._plan.versions[1:]:
            if version.name not in done and version.overlay is None:
                self._withdraw(version.name, f"{results.NOT_MODELLED}: interrupted before its lines were accounted for")

    def _withdraw(self, name: str, why: str) -> None:
        records = self._outcome.records
        records[:] = [results.without_approval(r, why) if r.change == name else r for r in records]

    def _accounted(self, number: int, version: Version) -> tuple[Accounted, ...]:
        before, after = self._side(number - 1), self._side(number)
        self._listener.working(f"{version.name}: accounting for {len(version.changed)} changed lines")
        after = self._decided(after, number, unfired(version.changed, after, "added"))
        before = self._decided(before, number - 1, unfired(version.changed, before, "removed"))
        return account(version.changed, before, after)

    def _side(self, number: int) -> Side:
        ran = []
        for asked in self._by_version[number]:
            model, fired = asked.built.model, frozenset(asked.subject.survey.fired)
            ran.append(Ran(model.scenario.name, model.software, asked.built.code.functions, fired))
        return Side(self._plan.versions[number].files, ran)

    def _decided(self, side: Side, number: int, wanted: Mapping[int, Sequence[tuple[str, ...]]]) -> Side:
        """The side, after asking a solver whether what no run executed can be executed."""
        ran = list(side.ran)
        for place, groups in wanted.items():
            subject = self._by_version[number][place].subject
            limits, system = subject.limits, subject.model.system
            goals = {" ".join(group): can_fire(system.action(a) for a in group) for group in groups}
            answers = subject.engines.reach(subject.grounded, goals, subject.asked, timeout=limits.timeout, shortest=False)
            fired, excluded = set(ran[place].fired), dict(ran[place].excluded)
            for group in groups:
                found = answers[" ".join(group)]
                if found.reason == INTERRUPTED:
                    raise KeyboardInterrupt
                if found.trace is not None:
                    fired |= set(group)  # one of them may fire, and each passes the line
                elif not found.reason:
                    excluded |= dict.fromkeys(group, found.refuted)
            ran[place] = replace(ran[place], fired=frozenset(fired), excluded=excluded)
        return Side(side.files, ran)


def _why(lines: Sequence[Accounted]) -> str:
    bad = unmodelled(lines)
    first = bad[0]
    more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    return f"{results.NOT_MODELLED}: {first.line.file}:{first.line.line} ({first.line.kind}) is {_said(first)}{more}"


def _said(line: Accounted) -> str:
    words = {"outside": "outside what is modelled", "erased": "erased by abstraction", "undecided": "neither reached nor excluded"}
    return f"{words.get(line.fate, line.fate)}: {line.why}"


# Versions that behave alike need no second search


def _same(before: Model, after: Model) -> bool:
    alike = before.scenario == after.scenario and before.geometry.sizes == after.geometry.sizes
    return alike and same_behaviour(before.system, after.system)


def _numbers(system: TransitionSystem) -> dict[str, int]:
    return {action.name: number for number, action in enumerate(system.actions)}


def _carried_survey(before: _Asked, model: Model) -> Survey:
    numbers = _numbers(before.built.model.system)
    fired = {model.system.actions[numbers[name]].name for name in before.subject.survey.fired}
    return replace(before.subject.survey, fired=fired)


def _carried(answer: Answer, prop: Property, model: Model) -> Answer:
    """The same answer, told of the later model: its actions have other lines, perhaps."""
    answer = replace(answer, prop=prop, seconds=0.0)
    if not isinstance(answer.verdict, Violated):
        return answer
    trace = answer.verdict.trace
    numbers = _numbers(trace.system)
    steps = tuple(Step(model.system.actions[numbers[s.action.name]], s.arguments, s.state) for s in trace.steps)
    moved = Trace(model.system, trace.geometry, trace.initial, steps)
    return replace(answer, verdict=replace(answer.verdict, trace=moved))


def each_violation(outcome: Outcome) -> Iterator[Found]:
    """The violations with the records as they are told in the end."""
    told: dict[tuple[str, str, str | None], Result] = {(r.scenario, r.property, r.change): r for r in outcome.records}
    for found in outcome.violations:
        record = found.record
        yield replace(found, record=told[record.scenario, record.property, record.change])
