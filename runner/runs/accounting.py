"""What became of each changed line, from what the workers saw; what no run executed is asked of a solver, in processes of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from ...checker.clock import OutOfTime
from ...checker.processes import Answered, Child, Died, Failed, Failure, Said, Say, listen, reason_of
from ...core.errors import EngineError
from ...core.verdict import TIME_IS_UP, Reason, ReasonKind
from ...model.change.account import Accounted, Ran, Side, account, beyond, can_fire, unfired, unmodelled
from ...model.change.judged import Unjudged, open_outcomes, unjudged
from ..asking.question import Subject
from ..asking.survey import by_user
from ..inputs.changes import macros, touched, uses
from ..inputs.sources import built
from .plan import Plan
from .slots import Slots
from .worker import Until

Groups = Sequence[tuple[str, ...]]
Accounting = tuple[tuple[Accounted, ...], tuple[Unjudged, ...]]
"""What became of the lines of a change, and what of it no run has judged."""
MORE_TIME = "give more with --timeout"


@dataclass
class Witnesses:
    """What was seen of each scenario in each version, by their numbers; and how deep the questions of it were asked."""

    ran: dict[tuple[int, int], Ran] = field(default_factory=dict)
    asked: dict[tuple[int, int], int] = field(default_factory=dict)
    spent: dict[tuple[int, int], float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Decided:
    """Of some groups of actions: those of which one can fire, and how deep that is excluded for others."""

    fired: frozenset[str]
    excluded: Mapping[str, int]


class Accountant:
    """Says what became of each changed line of a plan."""

    def __init__(self, plan: Plan, witnesses: Witnesses, slots: Slots, working: Callable[[str], None]) -> None:
        self._plan = plan
        self._witnesses = witnesses
        self._slots = slots
        self._working = working
        self._say: Say = lambda value: None
        self._spent = self._began = self._waited = 0.0

    def in_time(self, number: int) -> Accounting | Reason:
        """What became of a change, found in a process that has what the questions left over; or why nobody knows.

        Raises:
            KeyboardInterrupt: the user interrupts.
            EngineError: an engine contradicts plain evaluation.
        """
        spent = max((s for (_, version), s in self._witnesses.spent.items() if version in (number - 1, number)), default=0.0)

        def work(say: Say) -> Accounting:
            self._working, self._say, self._spent, self._began, self._waited = say, say, spent, time.monotonic(), 0.0
            return self.accounted(number)

        child = Child(work, memory=self._plan.memory, limit=self._plan.limits.until_told(spent))
        try:
            while True:
                for _, news in listen([child]):
                    match news:
                        case Said(value=Until() as until):
                            child.end_within(until.seconds)
                        case Said(value=what):
                            self._working(str(what))
                        case Answered(value=found):
                            return cast(Accounting, found)
                        case Failed(kind=Failure.INTERRUPTED):
                            raise KeyboardInterrupt
                        case Failed(kind=Failure.ENGINE, message=message):
                            raise EngineError(message)
                        case Died(late=True):
                            what = f"accounting for the lines of {self._plan.versions[number].name} is not done"
                            return Reason(TIME_IS_UP.kind, f"{TIME_IS_UP}: {what}; {MORE_TIME}")
                        case _:
                            return reason_of(news)
        finally:
            child.kill()

    def accounted(self, number: int) -> Accounting:
        """What became of the lines that the patch of a version adds or removes, and what of it no run has judged.

        Raises:
            KeyboardInterrupt: the user interrupts.
        """
        version = self._plan.versions[number]
        self._working(f"{version.name}: accounting for {len(version.changed)} changed lines")
        after, before = self._side(number), self._side(number - 1)
        changed = version.changed
        names = macros(self._plan.versions[number - 1], version)
        use_now, use_then = uses(after.files, names), uses(before.files, names)
        after = self._decided(after, number, _both(unfired(changed, after, "added"), open_outcomes(changed, after, "added", use_now)))
        before = self._decided(
            before, number - 1, _both(unfired(changed, before, "removed"), open_outcomes(changed, before, "removed", use_then))
        )
        lines = account(changed, before, after)
        return (*lines, *beyond(version.outside)), unjudged(changed, before, after, use_now, lines)

    def _places(self, number: int) -> list[int]:
        """The scenarios of which that version was seen."""
        return sorted(place for place, version in self._witnesses.ran if version == number)

    def _side(self, number: int) -> Side:
        return Side(self._plan.versions[number].files, [self._witnesses.ran[place, number] for place in self._places(number)])

    def _decided(self, side: Side, number: int, wanted: Mapping[int, Groups]) -> Side:
        """The side, after asking a solver whether what no run executed can be executed."""
        models, places = list(side.ran), self._places(number)
        waiting = list(wanted)
        running: dict[Child, int] = {}
        self._say(Until(None))  # whoever decides has a limit of his own
        begun = time.monotonic()
        try:
            while waiting or running:
                while waiting and len(running) < max(1, self._plan.jobs):
                    which = waiting.pop(0)
                    running[self._child(places[which], number, wanted[which])] = which
                for child, news in listen(running):
                    if isinstance(news, Said):  # it has its slot
                        child.end_within(self._left(places[running[child]], number))
                        continue
                    which = running.pop(child)
                    if isinstance(news, Answered):
                        decided: _Decided | None = news.value
                        if decided is None:
                            raise KeyboardInterrupt
                        old = models[which]
                        models[which] = replace(old, fired=old.fired | decided.fired, excluded={**old.excluded, **decided.excluded})
        finally:
            for child in running:
                child.kill()
        self._waited += time.monotonic() - begun
        own = time.monotonic() - self._began - self._waited
        self._say(Until(self._plan.limits.until_told(self._spent + own)))
        return Side(side.files, models)

    def _left(self, place: int, number: int) -> float | None:
        """Seconds until a process is killed that decides what can be executed: what the questions left over, and a little."""
        return self._plan.limits.until_killed(self._witnesses.spent.get((place, number), 0.0))

    def _child(self, place: int, number: int, groups: Groups) -> Child:
        plan, slots, asked = self._plan, self._slots, self._witnesses.asked[place, number]
        spent = self._witnesses.spent.get((place, number), 0.0)

        def decide(say: Say) -> _Decided | None:
            with slots.one():
                say("begun")
                return _decide(plan, place, number, groups, asked, spent)

        return Child(decide, memory=plan.memory)


def _both(one: Mapping[int, Groups], other: Mapping[int, Groups]) -> dict[int, Groups]:
    """The groups of either."""
    return {number: tuple(dict.fromkeys((*one.get(number, ()), *other.get(number, ())))) for number in sorted({*one, *other})}


def _decide(plan: Plan, place: int, number: int, groups: Groups, asked: int, spent: float) -> _Decided | None:
    """Whether some action of each group can fire within the depth; None if the user wants no more."""
    started = time.monotonic()
    scenario, version = plan.scenarios[place], plan.versions[number]
    model = built(version.scenario(scenario), plan.kernel, version.files, touched(plan.versions, number)).model
    subject = Subject(model, (), plan.limits, plan.engines)
    subject.spent = spent + time.monotonic() - started
    subject.begin()
    goals = {" ".join(group): can_fire(model.system.action(a) for a in group) for group in groups}
    try:
        grounded = subject.grounded
    except OutOfTime:
        return _Decided(frozenset(), {})
    answers = subject.engines.reach(grounded, goals, asked, timeout=subject.left(), shortest=False)
    fired: set[str] = set()
    excluded: dict[str, int] = {}
    for group in groups:
        found = answers[" ".join(group)]
        if by_user(found.reason):
            return None
        if found.trace is not None:
            fired |= set(group)  # one of them may fire, and each passes the line
        elif found.reason is None:
            excluded |= dict.fromkeys(group, found.refuted)
    return _Decided(frozenset(fired), excluded)


def why_not_modelled(lines: Sequence[Accounted]) -> Reason:
    """Which lines keep a change from being modelled as a whole."""
    bad = unmodelled(lines)
    first = bad[0]
    more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    where = f"{first.line.file}:{first.line.line} ({first.line.kind})" if first.line.line else first.line.file
    return not_modelled(f"{where} is {_said(first)}{more}")


def not_modelled(what: str) -> Reason:
    """Why an approval is withdrawn."""
    return Reason(ReasonKind.NOT_MODELLED, f"{ReasonKind.NOT_MODELLED.label}: {what}")


def why_not_judged(found: Sequence[Unjudged]) -> Reason:
    """What of a change no run has judged."""
    first = found[0]
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return Reason(ReasonKind.COVERAGE, f"coverage: change not judged: {first.file}:{first.line}: `{first.text}`: {first.why}{more}")


def _said(line: Accounted) -> str:
    words = {"outside": "outside what is modelled", "erased": "erased by abstraction", "undecided": "neither reached nor excluded"}
    return f"{words.get(line.fate, line.fate)}: {line.why}"
