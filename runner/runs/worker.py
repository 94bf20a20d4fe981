"""One scenario of a run: its models are built, in all versions, and every question about them is answered.

Nothing heavy happens in this process after that: each survey and each question runs in a process forked from it, which begins with
the model that it needs. One that is killed, crashes or runs out of memory costs its own answer and no other. A worker's process takes
scenario after scenario, so that what they have in common is built once; that it was built before changes nothing about a model. So the
answers do not depend on how many run at once, nor on who took which scenario.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from ...checker.clock import Clock
from ...checker.processes import Answered, Child, Died, Failed, Failure, News, Said, Say, listen, reason_of
from ...core.errors import EngineError, TdpcheckError
from ...core.plain import PlainRun, PlainViolated, plain_verdict, violation
from ...core.verdict import TIME_IS_UP, HoldsUpTo, Proved, Reason, ReasonKind, Unknown, Verdict, Violated
from ...model.change.account import Ran, ran
from ...model.change.waivers import Waiver
from ..asking import results
from ..asking.asked import Asked, PlainAnswer, carry, ended, fault, same_model
from ..asking.coverage import Coverage, with_coverage
from ..asking.proofs import PlainProof
from ..asking.question import Subject
from ..asking.results import Result
from ..asking.survey import Survey, surveyed
from ..asking.traces import Circle, StuckStates, deadlock, livelock
from ..inputs.changes import touched
from ..inputs.sources import built, code_for
from ..inputs.terms import goals_of, property_of
from ..inputs.waivers import before_change, leaned_on, waivers_in
from .cache import Known
from .plan import Plan
from .slots import Slots

GRACE = 3.0
"""Seconds that questions have to answer with what they know after Control-C."""


@dataclass(frozen=True)
class Turn:
    """What is said from now on is about the scenario at that place of the plan."""

    place: int


@dataclass(frozen=True)
class Working:
    """Something begins that may take long."""

    what: str


@dataclass(frozen=True)
class Until:
    """This worker does something itself, and must be done with it within so many seconds; None when it is."""

    seconds: float | None
    what: str = ""


@dataclass(frozen=True)
class Begun:
    """A survey or a question has its slot, for which it waited so many seconds, and begins."""

    waited: float


@dataclass(frozen=True)
class Told:
    """An answer: its record, the run of a violation, what the cache may keep of it, and how many seconds of its limit are gone."""

    number: int
    name: str
    record: Result
    run: PlainRun | None
    known: Known | None = None
    certificate: str = ""
    spent: float = 0.0


@dataclass(frozen=True)
class Seen:
    """What accounting needs to know of one version: its model, how deep its questions were asked, and how long that took."""

    number: int
    ran: Ran
    asked: int
    spent: float = 0.0


@dataclass(frozen=True)
class Unbuilt:
    """A version of which there is no model in this scenario, and why.

    Args:
        refused: its code is outside the subset, or the scenario cannot run it.
        gone: the change took an entry function away; else, if it is not refused, one is not there yet.
    """

    number: int
    why: str
    refused: bool = False
    gone: bool = False


@dataclass(frozen=True)
class _Task:
    """Something for a process of its own: a survey, or a question if a property is named."""

    version: Asked
    name: str = ""
    explore: bool = True


class Worker:
    """Answers every question about one scenario.

    Args:
        known: answers from the cache, by version and property.
        started: when, by `time.monotonic`, whoever wanted it began to start it.
        say: tells the run what happens: `Working`, `Told`, `Seen` and `Unbuilt`.
    """

    def __init__(self, plan: Plan, place: int, known: Mapping[tuple[int, str], Known], slots: Slots, started: float, say: Say) -> None:
        self._plan = plan
        self._started = started
        self._scenario = plan.scenarios[place]
        self._known = dict(known)
        self._slots = slots
        self._say = say
        self._versions: dict[int, Asked] = {}
        self._waivers: dict[int, tuple[Waiver, ...]] = {}
        self._unbuilt: dict[int, Unbuilt] = {}
        self._tasks: list[_Task] = []
        self._running: dict[Child, tuple[_Task, dict[str, int]]] = {}
        self._begun: dict[Child, float] = {}
        self._so_far: dict[Child, Survey] = {}
        self._spent: dict[tuple[int, str], float] = {}

    def work(self) -> bool:
        """Do all of it; whether it came to its end without an interrupt.

        Raises:
            TdpcheckError: the scenario cannot be built.
        """
        try:
            self._build()
            for version in self._versions.values():
                self._telling(version)
                self._begin(version)
            while self._tasks or self._running:
                self._start_some()
                self._say(Until(None))
                for child, news in listen(self._running):
                    self._telling(self._running[child][0].version)
                    self._hear(child, news)
            self._say_what_was_seen()
        except KeyboardInterrupt:
            self._stop()
            return False
        return True

    # Building

    def _build(self) -> None:
        plan = self._plan
        self._say(Until(plan.limits.until_killed(plan.spent), f"reading the code of {self._scenario.name}"))
        missing = [self._missing(number) for number in range(len(plan.versions))]
        entered = [not why for why in missing]
        spent = plan.spent + time.monotonic() - self._started
        self._say(Until(None))
        for number in range(len(plan.versions)):
            named = plan.name_of(self._scenario, number)
            self._say(Working(f"{named}: building the model"))
            if any(entered) and not entered[number]:
                self._leave_out(Unbuilt(number, missing[number], gone=any(entered[:number])))
                continue
            try:
                with self._slots.one():
                    self._say(Until(plan.limits.until_killed(spent), f"building the model of {named}"))
                    self._versions[number] = self._built(number, spent)
            except TdpcheckError as error:
                if number == 0 or isinstance(error, EngineError):
                    raise
                self._leave_out(Unbuilt(number, str(error), refused=True))
            self._say(Until(None))

    def _built(self, number: int, spent: float) -> Asked:
        plan, version, started = self._plan, self._plan.versions[number], time.monotonic()
        made = built(version.scenario(self._scenario), plan.kernel, version.files, touched(plan.versions, number))
        subject = Subject(made.model, plan.asked_in(self._scenario), plan.limits, plan.engines)
        goals_of(made.model)
        before = self._versions.get(number - 1)
        same = before if before is not None and same_model(before.made.model, made.model) else None
        subject.spent = spent + time.monotonic() - started
        return Asked(number, made, subject, same)

    def _missing(self, number: int) -> str:
        """Which entry function of the scenario no file of a version defines; empty if all are there."""
        version = self._plan.versions[number]
        own = version.scenario(self._scenario)
        code = code_for(own, self._plan.kernel, version.files)
        gone = [t for t in own.thread if t.entry not in code.functions and t.entry not in code.broken]
        return f"thread {gone[0].role} enters at {gone[0].entry}(), which no file defines" if gone else ""

    def _leave_out(self, unbuilt: Unbuilt) -> None:
        self._unbuilt[unbuilt.number] = unbuilt
        self._say(unbuilt)

    def _telling(self, version: Asked) -> None:
        """From now on this process itself judges what was found, and tells it."""
        self._say(Until(self._plan.limits.until_told(version.subject.spent), f"judging what was found of {self._scenario.name}"))

    # What there is to do, and what it came to

    def _begin(self, version: Asked) -> None:
        if version.same_as is not None:
            return
        for name in version.subject.properties:
            known = self._known.get((version.number, name))
            if known is not None:
                self._from_cache(version, name, known)
        if len(version.answers) < len(version.subject.properties):
            self._tasks.append(_Task(version))
        self._settle(version)

    def _from_cache(self, version: Asked, name: str, known: Known) -> None:
        answer = PlainAnswer(known.verdict, known.asked, 0.0, None, False, known.premise, known.fired, True, known.certificate)
        try:
            answer.answer(version.subject, name)
        except EngineError:
            return  # it is no run of this model: ask
        version.subject.survey = known.survey
        version.answers[name] = answer

    def _start_some(self) -> None:
        while self._tasks and len(self._running) < max(1, self._plan.jobs):
            task = self._tasks.pop(0)
            self._running[Child(self._function(task), memory=self._plan.memory)] = task, {}
            what = task.name or ("looking at every state" if task.explore else "walking at random")
            self._say(Working(f"{self._plan.name_of(self._scenario, task.version.number)}: {what}"))

    def _function(self, task: _Task) -> Callable[[Say], object]:
        subject, slots = task.version.subject, self._slots

        def survey(say: Say) -> Survey:
            with slots.one() as waited:
                say(Begun(waited))
                subject.begin()
                return surveyed(subject, explore=task.explore, so_far=say)

        def ask(say: Say) -> PlainAnswer:
            with slots.one() as waited:
                say(Begun(waited))
                subject.begin()
                return PlainAnswer.of(subject.ask(task.name, say))

        return ask if task.name else survey

    def _hear(self, child: Child, news: News) -> None:
        task, reached = self._running[child]
        version = task.version
        if isinstance(news, Said) and isinstance(news.value, Begun):
            self._begun[child] = child.started + news.value.waited  # to be started is part of its time
            child.end_within(self._plan.limits.until_killed(version.subject.spent + time.monotonic() - self._begun[child]))
            return
        if isinstance(news, Said) and isinstance(news.value, Survey):
            self._so_far[child] = news.value
            return
        if isinstance(news, Said):
            reached["depth"] = max(reached.get("depth", -1), int(news.value))
            named = self._plan.name_of(self._scenario, version.number)
            self._say(Working(f"{named}: {task.name}, nothing up to depth {news.value}"))
            return
        del self._running[child]
        if isinstance(news, Failed) and news.kind is Failure.INTERRUPTED:
            raise KeyboardInterrupt
        spent = time.monotonic() - self._begun.pop(child, child.started)
        survey = self._so_far.pop(child, None)
        if task.name:
            self._spent[version.number, task.name] = version.subject.spent + spent
            answer = ended(news, version.subject, reached.get("depth", -1), spent)
            self._answered(version, task.name, self._found_before(version, task.name, answer))
        else:
            version.subject.spent += spent
            self._surveyed(task, news if survey is None or isinstance(news, Answered) else _without_proof(survey, news))

    def _late(self, version: Asked, name: str) -> None:
        """Nothing of its time is left to ask a question: what the survey found is all that is known."""
        answer = ended(Died(TIME_IS_UP.text, late=True), version.subject, -1, 0.0)
        self._answered(version, name, self._found_before(version, name, answer))

    def _found_before(self, version: Asked, name: str, answer: PlainAnswer) -> PlainAnswer:
        """The answer, unless it is none, and the survey has a run into a violation of which a shorter one was looked for."""
        subject = version.subject
        known = subject.survey.violations.get(name)
        if known is None or not isinstance(answer.verdict, Unknown) or answer.interrupted or answer.verdict.why.kind not in _LOST:
            return answer
        try:
            trace = violation(known, subject.properties[name], subject.evaluator)
        except EngineError as error:
            return fault(subject, error)
        found = plain_verdict(Violated(trace, "walk", None, answer.seconds))
        return replace(answer, verdict=found, first=subject.survey.computing, fired=frozenset(trace.actions) - subject.survey.fired)

    def _surveyed(self, task: _Task, news: News) -> None:
        version = task.version
        match news:
            case Answered(value=survey):
                version.subject.survey = survey
                version.subject.survey.gave_way = survey.gave_way or ("" if task.explore else "exploration ended without an answer")
                self._ask_all(version)
            case Died(late=True):
                self._lost(version, news)
            case Died() | Failed(kind=Failure.MEMORY | Failure.MODEL) if task.explore and self._plan.limits.states:
                self._tasks.insert(0, _Task(version, explore=False))  # too large: that is what walks are for
            case _:
                self._lost(version, news)

    def _lost(self, version: Asked, news: News) -> None:
        """The survey ended without an answer, and so do the questions."""
        version.subject.survey = Survey()
        for name in version.subject.properties:
            if name not in version.answers:
                self._answered(version, name, ended(news, version.subject, -1, 0.0))

    def _ask_all(self, version: Asked) -> None:
        """Answer what the survey decides, and let the rest be asked."""
        for name in version.subject.properties:
            if name in version.answers:
                continue
            if version.subject.is_known:
                try:
                    answer = PlainAnswer.of(version.subject.ask(name))
                except EngineError as error:
                    answer = fault(version.subject, error)
                self._answered(version, name, answer)
            elif self._plan.limits.are_gone(version.subject.spent):
                self._late(version, name)
            else:
                self._tasks.append(_Task(version, name))

    def _answered(self, version: Asked, name: str, answer: PlainAnswer) -> None:
        if answer.interrupted and isinstance(answer.verdict, Unknown) and answer.verdict.depth < 0:
            raise KeyboardInterrupt
        version.answers[name] = answer
        self._settle(version)
        if answer.interrupted:
            raise KeyboardInterrupt

    # Telling

    def _settle(self, version: Asked) -> None:
        """Tell what can be told now of this version and of those after it."""
        for later in [v for n, v in self._versions.items() if n >= version.number]:
            before = self._versions.get(later.number - 1)
            if later.same_as is not None:
                carry(later.same_as, later)
            for name in later.subject.properties:
                known = name in later.answers and (before is None or name in before.answers)
                if known and name not in later.told:
                    later.told.add(name)
                    self._tell(later, name, before)

    def _tell(self, version: Asked, name: str, before: Asked | None) -> None:
        plain, plan = version.answers[name], self._plan
        coverage = version.coverage(name, before, plan.versions[version.number])
        answer = plain.answer(version.subject, name)
        judged = replace(answer, verdict=_judged(answer.verdict, version.subject, coverage))
        expected = self._scenario.expect.get(name)
        change = plan.versions[version.number].name or None
        was = None if before is None else results.before_of(before.answers[name].verdict)
        skipped = self._unbuilt.get(version.number - 1)
        alone = "" if skipped is None else skipped.why
        leaning = self._leaning(version, name) if isinstance(judged.verdict, HoldsUpTo | Proved) else ()
        record = results.result(version.subject, judged, coverage, expected, change, was, cached=plain.cached, alone=alone, waivers=leaning)
        run = plain.verdict.run if isinstance(plain.verdict, PlainViolated) else None
        certificate = plain.certificate if record.verdict == "proved" else ""
        spent = self._spent.get((version.number, name), version.subject.spent)
        self._say(Told(version.number, name, record, run, self._kept(version, plain, record), certificate, spent))

    def _leaning(self, version: Asked, name: str) -> tuple[Waiver, ...]:
        """The waivers on which what holds of a property leans."""
        made, plan = version.made, self._plan
        if version.number not in self._waivers:
            first = self._versions.get(0)
            before = before_change(None if first is None else first.made.model) if version.number else None
            self._waivers[version.number] = waivers_in(made.model, made.code, plan.versions[version.number].files, before)
        return leaned_on(self._waivers[version.number], made.model, [property_of(made.model, name)])

    def _kept(self, version: Asked, plain: PlainAnswer, record: Result) -> Known | None:
        """What the cache may keep: answers that would be the same again, whatever the clock and the machine say."""
        survey = version.subject.survey
        sure = not isinstance(plain.verdict, Unknown) or survey.states is not None
        late = survey.proof is not None and survey.proof.kind is ReasonKind.TIME_OUT
        if plain.cached or plain.interrupted or survey.interrupted or not sure or late:
            return None
        shown = results.in_context(record, None)
        return Known(shown, plain.verdict, plain.asked, plain.premise, plain.fired, replace(survey, proof=None), plain.certificate)

    def _say_what_was_seen(self) -> None:
        if len(self._plan.versions) < 2:
            return
        for version in self._versions.values():
            self._telling(version)
            fired = version.subject.survey.fired.union(*(a.fired for a in version.answers.values()))
            name, made = version.made.model.scenario.name, version.made
            exact = version.subject.survey.states is not None
            seen = ran(name, made.model.software, made.code.functions, frozenset(fired), exact=exact)
            spent = max((self._spent.get((version.number, n), 0.0) for n in version.subject.properties), default=0.0)
            self._say(Seen(version.number, seen, version.subject.asked, max(spent, version.subject.spent)))

    # An end before its time

    def _stop(self) -> None:
        """Pass Control-C on, and tell what is known by then."""
        self._tasks.clear()
        for child in self._running:
            child.interrupt()
        clock = Clock(GRACE)
        while self._running and not clock.is_up:
            for child, news in listen(self._running, clock.left):
                task, _ = self._running[child]
                if isinstance(news, Said):
                    continue
                del self._running[child]
                if isinstance(news, Answered) and isinstance(news.value, PlainAnswer):
                    verdict = news.value.verdict
                    if not (isinstance(verdict, Unknown) and verdict.depth < 0):
                        task.version.answers[task.name] = news.value
                        self._settle(task.version)
        for child in self._running:
            child.kill()


_LOST = (ReasonKind.TIME_OUT, ReasonKind.MEMORY, ReasonKind.DIED)
"""Why a process may have no answer although some of it is known."""


def _without_proof(survey: Survey, news: News) -> News:
    """A complete survey of which the proof was not to be had, because its process ended like this."""
    if not isinstance(news, Died | Failed) or (why := reason_of(news)).kind not in _LOST:
        return news
    return Answered(replace(survey, proof=PlainProof((), given_up=str(why), kind=why.kind)))


def _judged(verdict: Verdict, subject: Subject, coverage: Coverage) -> Verdict:
    """The verdict, unless threads never come to their end, or statements are never executed, and the scenario does not say so."""
    why = _endless(subject) if isinstance(verdict, HoldsUpTo | Proved) else None
    if why is None:
        return with_coverage(verdict, coverage)
    return Unknown(why, verdict.engine, verdict.depth if isinstance(verdict, HoldsUpTo) else -1, seconds=verdict.seconds)


def _endless(subject: Subject) -> Reason | None:
    """How threads never come to their end, if the scenario does not say that they need not."""
    stuck = [s for s in deadlock(subject).stuck if not s.declared]
    if stuck:
        places = ", ".join(f"{name} at {place}" for name, place in stuck[0].threads.items())
        where = f"in {_states(stuck)} no thread can ever go on; the nearest is {len(stuck[0].trace)} steps away: {places}"
        return Reason(ReasonKind.DEADLOCK, f"deadlock: {where}")
    circles = [c for c in livelock(subject).circles if not c.declared]
    if circles:
        where = f"among {_states(circles)} threads go round for ever; the nearest is {circles[0].loop} steps away: {circles[0].words}"
        return Reason(ReasonKind.LIVELOCK, f"livelock: {where}")
    return None


def _states(of: Iterable[StuckStates | Circle]) -> str:
    number = sum(each.states for each in of)
    return f"{number} state{'s' if number > 1 else ''}"
