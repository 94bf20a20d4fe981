"""All questions of one run: every selected scenario, without and with each change, and what became of each changed line.

The questions are answered by workers (`worker.py`), which take scenario after scenario, as many at once as the plan has jobs. Here they
are started, heard and stopped; what they say is put in the order of the plan, whoever was first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field, replace
from typing import Protocol

from msgspec.structs import replace as replace_fields

from ...checker.clock import Clock
from ...checker.processes import MEGABYTE, Answered, Child, Died, Failed, Failure, News, Said, Say, address_space, held, listen, reason_of
from ...core.errors import EngineError, InputError, TdpcheckError
from ...core.evaluation.evaluate import Evaluator
from ...core.plain import PlainRun, violation
from ...core.system import Property
from ...core.verdict import TIME_IS_UP, Reason, ReasonKind, Violated
from ...kernelc.sources.tree import KernelTree
from ...model.lift.lift import for_tree, scenarios_of
from ...model.scenario import SHARED, Scenario, shipped_scenarios
from ...model.system import Code, Model
from ..asking import results
from ..asking.results import Change, Document, Result
from ..inputs.changes import Version, touched
from ..inputs.designs import Design, named
from ..inputs.matrix import every_cell
from ..inputs.sources import Built, built, code_for
from ..inputs.terms import ASSERTIONS, property_names, property_of
from ..names import choose
from .accounting import MORE_TIME, Accountant, Witnesses, not_modelled, why_not_judged, why_not_modelled
from .cache import Known
from .keys import lookups
from .plan import Place, Plan
from .slots import Slots, Turns
from .worker import GRACE, Seen, Told, Turn, Unbuilt, Until, Worker, Working

_ROOM = 0.3
"""How much of its memory a worker may have taken and begin with another scenario: who needs more than the rest is asked again alone."""
PATIENCE = GRACE + 2.0
"""Seconds that workers have to tell what they know after Control-C."""


_RUN_IS_UP = Reason(TIME_IS_UP.kind, f"{TIME_IS_UP}: that of the whole run; give more with --total")


class Listener(Protocol):
    """Who wants to know how far a run is."""

    def working(self, what: str) -> None:
        """Something begins that may take long."""

    def said(self, what: str) -> None:
        """Something is done that takes long once, as unpacking a tree."""

    def answered(self, record: Result, *, open_: bool = False) -> None:
        """A question has its answer; `open_` while the lines of its change may still take an approval back."""


class Nobody:
    """A listener that does not listen."""

    def working(self, what: str) -> None:
        return None

    def said(self, what: str) -> None:
        return None

    def answered(self, record: Result, *, open_: bool = False) -> None:
        return None


@dataclass(frozen=True)
class Found:
    """A violation with what a report about it needs: the code that ran, and the version that it belongs to."""

    record: Result
    model: Model
    prop: Property
    verdict: Violated
    code: Code
    version: Version
    where: Place


@dataclass
class Outcome:
    """What a run found, also if it was interrupted.

    Args:
        runs: the run of each violation, by the place of its question in the plan.
        certificates: that of each proof.
        spent: how many seconds of its limit each answer took.
    """

    plan: Plan
    told: dict[Place, Result] = field(default_factory=dict)
    runs: dict[Place, PlainRun] = field(default_factory=dict)
    certificates: dict[Place, str] = field(default_factory=dict)
    spent: dict[Place, float] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    interrupted: bool = False
    not_asked: int = 0

    @property
    def places(self) -> list[Place]:
        """The questions that are told, in the order of the plan."""
        order = {
            (s, v, name): number
            for s, scenario in enumerate(self.plan.scenarios)
            for v in range(len(self.plan.versions))
            for number, name in enumerate(self.plan.asked_in(scenario))
        }
        return sorted(self.told, key=lambda place: (place[0], place[1], order[place]))

    @property
    def records(self) -> list[Result]:
        return [self.told[place] for place in self.places]

    @property
    def document(self) -> Document:
        return results.document(self.records, self.changes, interrupted=self.interrupted, not_asked=self.not_asked)


def selected_scenarios(
    given: Sequence[str], properties: Sequence[str], kernel: KernelTree | None = None, design: Design | None = None
) -> tuple[Scenario, ...]:
    """The scenarios that the user named (or files of them); without any, those for this code that ask one of the properties.

    Args:
        kernel: of a tree, those scenarios are meant that belong to its version, by whichever version's name they were called.
        design: the folder of designs that the user gave. Without a name, its own scenarios are meant, or if it has none the shipped
            ones, which run its design.

    Raises:
        InputError: an unknown name, a file that is no scenario, or nothing left to ask.
        Refusal: kernel C of the design that cannot be read.
    """
    choose(properties, property_names(), "property")
    shipped = shipped_scenarios()
    if given:
        known = shipped if not any("@" in name for name in given) else {**shipped, **every_cell()}
        found = named(given, known, design)
        return found if kernel is None else tuple({s.name: s for s in (for_tree(scenario, kernel) for scenario in found)}.values())
    fitting = [s for s in shipped.values() if not s.needs_kernel] if kernel is None else list(scenarios_of(kernel).values())
    if design is not None:
        fitting = list(design.scenarios.values()) or [s for s in fitting if s.design == SHARED]
    found = tuple(s for s in fitting if not properties or any(p in s.expect or p == ASSERTIONS for p in properties))
    if not found:
        raise InputError(f"no scenario asks {', '.join(properties)}; name one with --scenario")
    return found if design is None else named([s.name for s in found], shipped, design)


def run(plan: Plan, listener: Listener | None = None) -> Outcome:
    """Ask every question of the plan; what was found before an interrupt is kept.

    Raises:
        InputError: a scenario that the code cannot run, an unknown property, kernel C outside the subset that can be reached.
    """
    outcome = Outcome(plan)
    going = _Run(plan, outcome, listener or Nobody())
    try:
        try:
            going.ask()
            going.account()
        except KeyboardInterrupt:
            outcome.interrupted = not plan.limits.are_up
            if outcome.interrupted:
                going.stop()
    finally:
        with held():
            going.end()
    with held():  # what was found is worth more than an answer to a signal that comes now
        outcome.not_asked = plan.questions - len(going.answered)
        if outcome.interrupted:
            going.account_for_nothing("interrupted")
        elif plan.limits.are_up:
            going.leave_unanswered()
            going.account_for_nothing(TIME_IS_UP.text)
            outcome.not_asked = 0
    return outcome


class _Run:
    def __init__(self, plan: Plan, outcome: Outcome, listener: Listener) -> None:
        self._plan = plan
        self._outcome = outcome
        self._listener = listener
        self._slots = Slots(max(1, plan.jobs))
        self._running: dict[Child, int] = {}
        self._turns: Turns | None = None
        self._again: list[int] = []
        self._begun: set[int] = set()
        self._first: set[Child] = set()
        self._doing: dict[Child, str] = {}
        self._errors: dict[int, Exception] = {}
        self._witnesses = Witnesses()
        self._questions: dict[Place, str] = {}
        self._refused: dict[tuple[int, int], str] = {}
        self.answered: set[Place] = set()

    def ask(self) -> None:
        """Start as many workers as there are jobs, and hear them until every scenario had its turn."""
        known = self._look_up()
        waiting = [place for place, answers in enumerate(known) if self._is_asked(place, answers)]
        for place in range(len(self._plan.scenarios)):
            if place not in waiting:
                self._from_cache(place, known[place])
        self._turns = turns = Turns(len(waiting))
        while True:
            while len(self._running) < max(1, self._plan.jobs) and (following := self._next(waiting, turns)) is not None:
                self._begun.add(following)
                if self._plan.limits.are_up:
                    self._unanswered(following, _RUN_IS_UP)
                else:
                    self._begin(following, waiting, known)
            if not self._running:
                break
            for child, news in listen(self._running):
                self._hear(child, news)
                if self._errors:  # those before it may have one, too: the first one of the plan is told
                    turns.end()
                    self._again = [place for place in self._again if place < min(self._errors)]
        if self._errors:
            raise self._errors[min(self._errors)]
        changed = [(s, v) for s in range(len(self._plan.scenarios)) for v in range(1, len(self._plan.versions))]
        if changed and self._plan.kernel is None and all(place in self._refused for place in changed):
            raise InputError(self._refused[changed[0]])  # nothing of the change could be asked anywhere

    def _look_up(self) -> list[dict[tuple[int, str], Known]]:
        """The answers that are kept, of each scenario; and all code is parsed before processes are forked that need it.

        How long that takes counts for every question, as reading does.
        """
        started, plan = time.monotonic(), self._plan
        known = [self._known(place) for place in range(len(plan.scenarios))]
        for version in plan.versions:
            for scenario in plan.scenarios:
                with suppress(TdpcheckError):  # its worker says so
                    code_for(version.scenario(scenario), plan.kernel, version.files)
        self._plan = replace(plan, spent=plan.spent + time.monotonic() - started)
        return known

    def _wanted(self, place: int) -> list[tuple[int, str]]:
        return [(v, n) for v in range(len(self._plan.versions)) for n in self._plan.asked_in(self._plan.scenarios[place])]

    def _is_asked(self, place: int, known: Mapping[tuple[int, str], Known]) -> bool:
        """Whether a scenario has to be built, since the cache does not have all that is to be told of it."""
        wanted = self._wanted(place)
        return len(self._plan.versions) > 1 or any(key not in known or known[key].record.trace is not None for key in wanted)

    def _next(self, waiting: Sequence[int], turns: Turns) -> int | None:
        """The next scenario for a new worker; with nobody at work, also one that was taken by a worker that died before it said so."""
        if self._again:
            return self._again.pop(0)
        turn = turns.take()
        if turn is not None:
            return waiting[turn]
        lost = [place for place in waiting if place not in self._begun]
        return lost[0] if lost and not self._running and not self._errors else None

    def _begin(self, place: int, waiting: Sequence[int], known: Sequence[Mapping[tuple[int, str], Known]]) -> None:
        """Start a worker with one scenario; when it is done with that, it takes the next one."""
        plan, slots, turns, started = self._plan, self._slots, self._turns, time.monotonic()
        assert turns is not None
        child = Child(lambda say: _work(plan, place, waiting, turns, known, slots, started, say), memory=plan.memory)
        self._running[child] = place
        self._first.add(child)

    def _from_cache(self, place: int, known: Mapping[tuple[int, str], Known]) -> None:
        """Tell what is told of a scenario of which the cache has everything."""
        for version, name in self._wanted(place):
            scenario = self._plan.scenarios[place]
            record = replace_fields(results.in_context(known[version, name].record, scenario.expect.get(name)), cached=True, seconds=0.0)
            self._told((place, version, name), record, None, known[version, name].certificate)

    def _known(self, place: int) -> dict[tuple[int, str], Known]:
        cache = self._plan.cache
        if cache is None:
            return {}
        known = {}
        for version, name, question in lookups(self._plan, place):
            self._questions[place, version, name] = question
            found = cache.look_up(question)
            if found is not None:
                known[version, name] = found
        return known

    def _hear(self, child: Child, news: News) -> None:
        place = self._running[child]
        match news:
            case Said(value=Turn(place=following)):
                self._running[child] = following
                self._begun.add(following)
                self._first.discard(child)
            case Said(value=Working(what=what)):
                self._listener.working(what)
            case Said(value=Until() as until):
                child.end_within(until.seconds)
                self._doing[child] = until.what
            case Said(value=Told() as told):
                self._take(place, told)
            case Said(value=Unbuilt() as unbuilt):
                self._left_out(place, unbuilt)
            case Said(value=Seen() as seen):
                self._witnesses.ran[place, seen.number] = seen.ran
                self._witnesses.asked[place, seen.number] = seen.asked
                self._witnesses.spent[place, seen.number] = seen.spent
            case Answered(value=finished):
                del self._running[child]
                if not finished:
                    raise KeyboardInterrupt
            case Failed() | Died():
                del self._running[child]
                if child in self._first or not _is_worth_another(news) or not self._is_untold(place):
                    self._lost(place, news, self._doing.get(child, ""))
                else:
                    self._again.append(place)  # perhaps it is what came before it that left it no room
            case Said():
                raise EngineError(f"a worker said what nobody understands: {news}")

    def _is_untold(self, place: int) -> bool:
        """Whether nothing was told yet of a scenario."""
        return not any((place, version, name) in self.answered for version, name in self._wanted(place))

    def _left_out(self, place: int, unbuilt: Unbuilt) -> None:
        """Of a version without a model nothing is asked; what is refused, or gone, is Unknown, what is not there yet no question."""
        scenario, version = self._plan.scenarios[place], self._plan.versions[unbuilt.number]
        if unbuilt.refused:
            self._refused[place, unbuilt.number] = unbuilt.why
        for name in self._plan.asked_in(scenario):
            where = (place, unbuilt.number, name)
            if unbuilt.refused or unbuilt.gone:
                refused = Reason(ReasonKind.REFUSED, f"change not understood: {unbuilt.why}")
                why = refused if unbuilt.refused else Reason(ReasonKind.COVERAGE, f"coverage: {unbuilt.why} any more")
                self._told(where, results.unanswered(scenario, name, version.name or None, why, self._kernel), None)
            self.answered.add(where)

    @property
    def _kernel(self) -> str:
        return "shipped" if self._plan.kernel is None else str(self._plan.kernel.version)

    def _take(self, place: int, told: Told) -> None:
        where = (place, told.number, told.name)
        question = self._questions.get(where)
        if told.known is not None and question is not None and self._plan.cache is not None:
            self._plan.cache.keep(question, told.known)
        self._outcome.spent[where] = told.spent
        self._told(where, told.record, told.run, told.certificate)

    def _told(self, where: Place, record: Result, found: PlainRun | None, certificate: str = "") -> None:
        self.answered.add(where)
        if not self._plan.is_told(where[1]):
            return
        self._outcome.told[where] = record
        if found is not None:
            self._outcome.runs[where] = found
        if certificate and record.verdict == "proved":
            self._outcome.certificates[where] = certificate
        version = self._plan.versions[where[1]]
        self._listener.answered(record, open_=where[1] > 0 and version.overlay is None and record.verdict in results.HOLDING)

    def _lost(self, place: int, news: Failed | Died, doing: str = "") -> None:
        """A worker ended before its time: bad input is an error of the run; anything else costs the answers that are missing."""
        if isinstance(news, Failed) and news.kind in _ERRORS:
            self._errors[place] = _ERRORS[news.kind](news.message)
            return
        if isinstance(news, Failed) and news.kind is Failure.INTERRUPTED:
            raise KeyboardInterrupt
        why = reason_of(news)
        if isinstance(news, Failed) and news.kind is Failure.UNFORESEEN:
            why = Reason(why.kind, f"{why}; set TDPCHECK_DEBUG=1 to see where, and report it")
        if isinstance(news, Died) and news.late:
            why = Reason(why.kind, f"{why}: {doing or 'what there is to do'} takes more than {self._limit}")
        self._unanswered(place, why)

    @property
    def _limit(self) -> str:
        """What there was of time, and how to give more."""
        limits = self._plan.limits
        whole = limits.timeout is None or limits.are_up
        return "the whole run may; give more with --total" if whole else f"{limits.timeout:g} s; {MORE_TIME}"

    def _unanswered(self, place: int, why: Reason) -> None:
        """Every question about a scenario that has no answer yet is Unknown."""
        scenario = self._plan.scenarios[place]
        for number, version in enumerate(self._plan.versions):
            for name in self._plan.asked_in(scenario):
                where = (place, number, name)
                if where not in self.answered:
                    self._told(where, results.unanswered(scenario, name, version.name or None, why, self._kernel), None)

    # An end before its time

    def stop(self) -> None:
        """Pass Control-C on to every worker, and take what they still tell; a second one ends that, too."""
        for child in self._running:
            child.interrupt()
        clock = Clock(PATIENCE)
        try:
            while self._running and not clock.is_up:
                for child, news in listen(self._running, clock.left):
                    if isinstance(news, Said):
                        if isinstance(news.value, Turn):
                            self._running[child] = news.value.place
                        elif isinstance(news.value, Told):
                            self._take(self._running[child], news.value)
                    else:
                        del self._running[child]
        except KeyboardInterrupt:
            return

    def end(self) -> None:
        """Leave no process behind."""
        for child in self._running:
            child.kill()
        self._running.clear()
        self._slots.close()
        if self._turns is not None:
            self._turns.close()
            self._turns = None

    # Changed lines

    def account(self) -> None:
        """Say what became of each changed line, and withdraw approval of what is not modelled."""
        accountant = Accountant(self._plan, self._witnesses, self._slots, self._listener.working)
        for number, version in enumerate(self._plan.versions[1:], 1):
            self._not_understood(number - 1)
            if self._plan.limits.are_up:
                return  # `run` withdraws what is not accounted for
            found = accountant.in_time(number)
            if isinstance(found, Reason):
                self._outcome.changes.append(results.refused_change(version.name, version.subject, str(found)))
                self._withdraw(version.name, found)
                continue
            lines, open_ = found
            posted = None if version.posted is None else results.Posted(*astuple(version.posted))
            record = results.change_record(version.name, version.subject, lines, version.notes, open_, posted=posted, diff=version.diff)
            self._outcome.changes.append(record)
            if not record.modelled:
                self._withdraw(version.name, why_not_modelled(lines))
            elif open_:
                self._withdraw(version.name, why_not_judged(open_))
        self._not_understood(len(self._plan.versions) - 1)

    def _not_understood(self, place: int) -> None:
        """Name the patches that stand between two versions."""
        found = (r for r in self._plan.refused if r.place == place)
        self._outcome.changes += [results.refused_change(r.name, r.subject, r.why) for r in found]

    def leave_unanswered(self) -> None:
        """After the time of the whole run: what is not answered is Unknown."""
        for place in range(len(self._plan.scenarios)):
            self._unanswered(place, _RUN_IS_UP)

    def account_for_nothing(self, because: str) -> None:
        """After an early end: nobody knows what became of the changed lines that are not accounted for, so nothing is approved."""
        done = {c.name for c in self._outcome.changes}
        for version in self._plan.versions[1:]:
            if version.name not in done and version.overlay is None:
                self._withdraw(version.name, not_modelled(f"{because} before its lines were accounted for"))

    def _withdraw(self, name: str, why: Reason) -> None:
        told = self._outcome.told
        for where, record in told.items():
            if record.change == name and record.verdict in results.HOLDING:
                told[where] = results.without_approval(record, why)
                self._listener.answered(told[where])


_ERRORS: Mapping[Failure, Callable[[str], Exception]] = {
    Failure.INPUT: InputError,
    Failure.MODEL: InputError,
    Failure.ENGINE: EngineError,
}
"""Errors of a worker that are errors of the run, and as what they are told."""


def _is_worth_another(news: Failed | Died) -> bool:
    """Whether a worker that begins anew may come to an end where one did not that had worked before: if it lacked memory, or was killed."""
    return not news.late if isinstance(news, Died) else news.kind is Failure.MEMORY


def _work(
    plan: Plan,
    place: int,
    waiting: Sequence[int],
    turns: Turns,
    known: Sequence[Mapping[tuple[int, str], Known]],
    slots: Slots,
    started: float,
    say: Say,
) -> bool:
    """The life of a worker: one scenario after the other, until there is none, or it has grown too large."""
    begun_with = address_space()
    while Worker(plan, place, known[place], slots, started, say).work():
        turn = None if plan.limits.are_up or address_space() - begun_with > plan.memory * MEGABYTE * _ROOM else turns.take()
        if turn is None:
            return True
        place, started = waiting[turn], time.monotonic()
        say(Turn(place))
    return False


def each_violation(
    outcome: Outcome, wanted: Callable[[Result], bool] = lambda _: True, only: tuple[int, int] | None = None
) -> Iterator[Found]:
    """The violations with the records as they are told in the end, each replayed on a model that is built for it here.

    Args:
        only: of that scenario in that version, by their numbers in the plan.

    Raises:
        EngineError: a run that does not replay.
    """
    plan = outcome.plan
    last: tuple[tuple[int, int], Built] | None = None
    for place, number, name in violated(outcome, wanted):
        if only not in (None, (place, number)):
            continue
        if last is None or last[0] != (place, number):
            version = plan.versions[number]
            own = version.scenario(plan.scenarios[place])
            last = (place, number), built(own, plan.kernel, version.files, touched(plan.versions, number))
        record, model, code = outcome.told[place, number, name], last[1].model, last[1].code
        prop = property_of(model, name)
        trace = violation(outcome.runs[place, number, name], prop, Evaluator(model.system, model.geometry))
        verdict = Violated(trace, record.engine, record.shortest, record.seconds)
        yield Found(record, model, prop, verdict, code, plan.versions[number], (place, number, name))


def violated(outcome: Outcome, wanted: Callable[[Result], bool] = lambda _: True) -> list[Place]:
    """The questions of which a violation was found, in the order of the plan."""
    return [where for where in outcome.places if where in outcome.runs and wanted(outcome.told[where])]


__all__ = ["Change", "Found", "Listener", "Nobody", "Outcome", "Plan", "each_violation", "run", "selected_scenarios", "violated"]
