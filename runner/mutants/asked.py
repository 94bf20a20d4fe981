"""One mutant asked: the scenarios that run its function, nearest first, until one of them shows that something is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import msgspec

from ...checker.states.explore import Surveyed
from ...core.errors import TIME_IS_UP, EngineError, InputError, TdpcheckError
from ...core.ground import negation
from ...core.verdict import ReasonKind
from ...kernelc.text.mutations import Mutation, name_of
from ...model.scenario import Scenario
from ..asking.limits import Limits
from ..asking.question import Subject
from ..asking.survey import Survey, plain_livelocks, plain_stuck
from ..asking.traces import deadlock, livelock
from ..inputs.matrix import reached
from ..inputs.sources import Files, built, code_for
from ..inputs.terms import ASSERTIONS, MERGING, ends_of, goals_of

Fate = Literal["killed", "deadlock", "livelock", "goal", "survived", "open", "equivalent", "refused", "not modelled"]
"""What became of a mutant.

`killed`: a property is violated that was not. `deadlock`, `livelock`: threads are stuck, or go round for ever, and were not.
`goal`: nothing of that kind, but the goal of some scenario is out of reach, so that `verify` says Unknown there. `survived`: all holds
wherever its function runs, every state visited. `open`: nothing was found, but not every state was visited, or steps were merged on a
condition that is not met. `equivalent`: it is declared to be no fault. `refused`: the kernel C does not compile somewhere, and where it
does nothing is violated. `not modelled`: no scenario runs its function.
"""
GOAL = "goal "
FOUND: tuple[Fate, ...] = ("killed", "deadlock", "livelock")
"""The fates of those in which something was found to be wrong."""
WAITED = 20.0
"""On a busy machine so many seconds go by for one of computing, and no more is waited."""
MISSED: tuple[Fate, ...] = ("goal", "survived", "open")
"""The fates of those in which nothing was, though it could have been."""


class Judged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mutant and what became of it.

    Args:
        function: in which the fault is; `line`, where, in its file as it was; `near`, what stands above it, where that tells it apart.
        what: the fault in a line.
        by: the property that is violated, or the goal that is out of reach; `scenario`, where; `depth`, in how many steps.
        asked: how many scenarios were asked, in so many `seconds` of computing.
        reason: why it is open or refused, or why it is equivalent.
        diff: the fault as a patch, where nothing was found.
    """

    operator: str
    file: str
    function: str
    line: int
    what: str
    near: str
    fate: Fate
    by: str = ""
    scenario: str = ""
    depth: int | None = None
    asked: int = 0
    seconds: float = 0.0
    reason: str = ""
    diff: str = ""

    @property
    def name(self) -> str:
        """The name of its mutation."""
        return name_of(self.operator, self.file, self.line, self.what)

    @property
    def found(self) -> bool:
        """Whether something was found to be wrong."""
        return self.fate in FOUND


@dataclass(frozen=True)
class Faults:
    """What one scenario finds wrong.

    Args:
        found: each fault: how a mutant with it is found, what it is called, and the steps to it; the nearest first.
        open_: why there may be more.
        lost: goals that are out of reach.
    """

    found: tuple[tuple[Fate, str, int], ...] = ()
    open_: str = ""
    lost: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for _, name, _ in self.found) | self.lost


@dataclass(frozen=True)
class Unmutated:
    """What a scenario finds wrong in the kernel C as it is."""

    scenario: str
    names: frozenset[str]


@dataclass(frozen=True)
class Asking:
    """How mutants are asked.

    Args:
        files: the kernel C without a fault.
        scenarios: where, the nearest first.
        states: how many states may be visited in each.
        timeout: seconds of computing for all scenarios of a mutant, so that a busy machine says the same.
        known: what some of them find wrong in the code as it is.
    """

    files: Files
    scenarios: Sequence[Scenario]
    states: int
    timeout: float
    known: dict[str, frozenset[str]] = field(default_factory=dict)

    def judged(self, mutation: Mutation, learned: Callable[[Unmutated], None] = lambda known: None) -> Judged:
        """What becomes of one mutant.

        Args:
            learned: is told what is known now of the code as it is.

        Raises:
            EngineError: an engine contradicts plain evaluation.
        """
        started = time.process_time()
        files = {**self.files, mutation.file: mutation.text}
        asked, open_, refused, lost = 0, "", "", ("", "")

        def told(fate: Fate, by: str = "", scenario: str = "", depth: int | None = None, reason: str = "") -> Judged:
            diff = "" if fate in FOUND else mutation.diff(self.files[mutation.file])
            return Judged(
                mutation.operator, mutation.file, mutation.function, mutation.line, mutation.what, mutation.near, fate,
                by, scenario, depth, asked, round(time.process_time() - started, 2), reason, diff,
            )  # fmt: skip

        where = self.running(mutation.function)
        for scenario in where:
            left = self.timeout - (time.process_time() - started)
            if left <= 0:
                open_ = f"{TIME_IS_UP}: nothing was found in {asked} of the {len(where)} scenarios that run the function"
                break
            asked += 1
            try:
                faults = self._faults(scenario, files, left, first=True)
                if faults.found or (faults.lost and not any(lost)):
                    # A fault that was there before is none of the mutant's; there may be another one behind it.
                    old = self._known(scenario, learned)
                    if faults.lost - old:
                        lost = sorted(faults.lost - old)[0], scenario.name
                    if not old.isdisjoint(name for _, name, _ in faults.found):
                        faults = self._faults(scenario, files, left, without=old)
            except EngineError:
                raise
            except TdpcheckError as error:
                refused = refused or f"{scenario.name}: {error}"
                continue
            if faults.found:
                fate, by, depth = faults.found[0]
                return told(fate, by, scenario.name, depth)
            open_ = open_ or (faults.open_ and f"{scenario.name}: {faults.open_}")
        if not where:
            return told("not modelled", reason="no flow and no scenario runs this function")
        if refused:
            return told("refused", reason=refused)
        if any(lost):
            return told("goal", *lost, reason=open_)
        return told("open", reason=open_) if open_ else told("survived")

    def running(self, function: str) -> list[Scenario]:
        """The scenarios in which that function may run."""
        return [scenario for scenario in self.scenarios if any(function in self._reached(scenario, t.entry) for t in scenario.thread)]

    def _reached(self, scenario: Scenario, entry: str) -> frozenset[str]:
        key = scenario.design, entry
        if key not in self._reaches:
            self._reaches[key] = frozenset(reached(entry, code_for(scenario, None, self.files).functions))
        return self._reaches[key]

    @cached_property
    def _reaches(self) -> dict[tuple[str, str], frozenset[str]]:
        return {}

    def _known(self, scenario: Scenario, learned: Callable[[Unmutated], None]) -> frozenset[str]:
        if scenario.name not in self.known:
            self.known[scenario.name] = self._faults(scenario, self.files, self.timeout).names
            learned(Unmutated(scenario.name, self.known[scenario.name]))
        return self.known[scenario.name]

    def _faults(
        self, scenario: Scenario, files: Files, timeout: float, *, first: bool = False, without: frozenset[str] = frozenset()
    ) -> Faults:
        """What one scenario finds wrong with some kernel C.

        Args:
            first: the nearest property alone that is violated.
            without: faults that do not count.
        """
        model = built(scenario, None, files).model
        wanted = dict.fromkeys((*(name for name, expected in scenario.expect.items() if expected == "holds"), ASSERTIONS))
        subject = Subject(model, [name for name in wanted if name not in without], Limits(states=self.states, timeout=timeout))
        watched = {name: negation(prop.holds) for name, prop in subject.properties.items()}
        if subject.merging is not None:
            watched[MERGING] = negation(subject.merging.holds)
        goals = goals_of(model)
        watched |= {f"{GOAL}{name}": goal for name, goal in goals.items()}
        # Only between scenarios is the processor's time counted; an engine's clock is the wall's, and the machine may be busy.
        survey = subject.engines.survey
        if survey is None:
            raise InputError("mutants are asked by exploration")
        seen = survey(
            model.system, model.geometry, watched, max_states=self.states, timeout=WAITED * timeout, ends=ends_of(model),
            until=subject.properties if first else (),
        )  # fmt: skip
        found: list[tuple[Fate, str, int]] = []
        for name, trace in seen.traces.items():
            if trace is not None and name in subject.properties:
                found.append(("killed", name, subject.replayed(trace, subject.properties[name]).depth))
        subject.survey = Survey(stuck=plain_stuck(seen), livelocks=plain_livelocks(seen))
        stuck = [each for each in deadlock(subject).stuck if not each.declared and ReasonKind.DEADLOCK not in without]
        circles = [each for each in livelock(subject).circles if not each.declared and ReasonKind.LIVELOCK not in without]
        found += [("deadlock", ReasonKind.DEADLOCK.value, len(each.trace)) for each in stuck[:1]]
        found += [("livelock", ReasonKind.LIVELOCK.value, len(each.trace)) for each in circles[:1]]
        # What is violated counts before what only never ends.
        nearest = sorted(found, key=lambda each: (FOUND.index(each[0]), each[2], each[1]))
        lost = frozenset(name for name in goals if seen.traces[f"{GOAL}{name}"] is None) if seen.stats.complete else frozenset()
        return Faults(tuple(nearest), self._open(subject, seen), lost)

    def _open(self, subject: Subject, seen: Surveyed) -> str:
        if not seen.stats.complete:
            return f"not every state was visited: {seen.stopped or f'there are more than {self.states}'}"
        if seen.livelocks is None:
            return "the time was up before livelocks were looked for"
        unmet = seen.traces.get(MERGING)
        return "" if unmet is None else f"steps were merged on a condition that is not met: {subject.unmet(unmet.states[-1])}"


def nearest(scenarios: Sequence[Scenario]) -> tuple[Scenario, ...]:
    """Scenarios of one thread first, then those written by hand, which put together what may race, then the other cells of the matrix."""

    def distance(scenario: Scenario) -> tuple[bool, bool]:
        several = sum(thread.count for thread in scenario.thread) > 1
        return several, several and scenario.matrix

    return tuple(sorted(scenarios, key=distance))


__all__ = ["FOUND", "MISSED", "WAITED", "Asking", "Fate", "Judged", "Unmutated", "nearest"]
