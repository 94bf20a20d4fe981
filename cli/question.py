"""One question: does this property hold in this model? Exploration first; where it is too large, walks and bounded model checking.

A `Survey` is what random walks teach about a model, for all of its properties at once: goals and premises with the depth at which
they were met, violations, and what fired. Its walks are counted, not timed, so that the same question has the same answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ..checker.bmc import INTERRUPTED, Reached, bmc, reach
from ..checker.explore import Surveyed, survey
from ..checker.walk import Walked, shorten, walk
from ..core.errors import EngineError, InputError
from ..core.evaluate import Evaluator
from ..core.ground import GroundSystem, ground, negation
from ..core.sorts import StateVar
from ..core.system import Property, truth
from ..core.trace import Trace, replays
from ..core.verdict import HoldsUpTo, Proved, Unknown, Verdict, Violated
from ..model.system import Model
from ..properties import PROPERTIES
from ..properties.goals import GOALS
from ..properties.kernel_assertions import kernel_assertions
from .names import choose

Progress = Callable[[str], None]
ASSERTIONS = "kernel_assertions"
MARGIN = 5
"""How many steps beyond the last goal the default depth goes."""


@dataclass(frozen=True)
class Limits:
    """How far to go.

    Args:
        depth: the depth asked for; without it, the one at which every goal was reached, plus `MARGIN`.
        timeout: seconds for each question.
        states: how many states may be visited before exploration gives way to walks and bounded model checking.
        walks: how many random walks a model gets, and how long each may be.
        goal_depth: how deep to look for a goal that no walk met.
    """

    depth: int | None = None
    timeout: float | None = 300.0
    states: int = 120_000
    walks: int = 200
    walk_length: int = 60
    goal_depth: int = 32
    shortest: bool = True


@dataclass(frozen=True)
class Engines:
    """The engines that questions are put to; tests put others in their place."""

    survey: Callable[..., Surveyed] | None = survey
    walk: Callable[..., Walked] = walk
    bmc: Callable[..., Verdict] = bmc
    reach: Callable[..., dict[str, Reached]] = reach


@dataclass
class Survey:
    """What is known of one model before its properties are asked.

    Args:
        goals: the least depth met of each declared goal, None if it was not reached.
        searched: how deep goals that were not reached are excluded.
        premises: the same of each property's premise.
        fired: actions that fired in some run.
        violations: shortened runs into a violation, by property.
        steps, walks: how much was walked, in so many seconds of `computing`.
        interrupted: the user wanted no more.
        states: how many states there are, when every one was visited.
    """

    goals: dict[str, int | None] = field(default_factory=dict)
    searched: dict[str, int] = field(default_factory=dict)
    premises: dict[str, int | None] = field(default_factory=dict)
    fired: set[str] = field(default_factory=set)
    states: int | None = None
    violations: dict[str, Trace] = field(default_factory=dict)
    steps: int = 0
    walks: int = 0
    computing: float = 0.0
    interrupted: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(name for name, depth in self.goals.items() if depth is None)

    @property
    def depth(self) -> int:
        """The depth at which every goal was reached, as far as they were."""
        return max((d for d in self.goals.values() if d is not None), default=0)


@dataclass(frozen=True)
class Answer:
    """A verdict as it may be told: vacuous and too shallow ones are Unknown already.

    Args:
        asked: the depth that was asked for.
        first_found: seconds of computing until the first violation was there, before a shorter one was looked for.
    """

    prop: Property
    verdict: Verdict
    asked: int
    seconds: float
    first_found: float | None = None
    interrupted: bool = False


class Subject:
    """A model made ready for questions."""

    def __init__(self, model: Model, properties: Iterable[str], limits: Limits, engines: Engines | None = None) -> None:
        self.model = model
        self.limits = limits
        self.engines = engines or Engines()
        self.at_least = 0
        self.properties = {name: property_of(model, name) for name in properties}

    @cached_property
    def grounded(self) -> GroundSystem:
        return ground(self.model.system, self.model.geometry)

    @cached_property
    def evaluator(self) -> Evaluator:
        return Evaluator(self.model.system, self.model.geometry)

    @cached_property
    def survey(self) -> Survey:
        """What exploration teaches, or else walks; goals that they miss are searched for."""
        started = time.process_time()
        found = self._explored() or self._walked()
        found.computing = time.process_time() - started
        if not found.interrupted and found.states is None:
            self._search_goals(found)
        return found

    @cached_property
    def _watched(self) -> dict[str, Any]:
        """What to look for in each state: goals, premises, violations."""
        watched = {f"goal {n}": g for n, g in goals_of(self.model).items()}
        watched |= {f"premise {n}": p.premise for n, p in self.properties.items()}
        return watched | {f"bad {n}": negation(p.holds) for n, p in self.properties.items()}

    def _explored(self) -> Survey | None:
        """What a visit to every state teaches; None if there are too many of them."""
        if self.engines.survey is None or self.limits.states == 0:
            return None
        seen = self.engines.survey(
            self.model.system, self.model.geometry, self._watched, max_states=self.limits.states, timeout=self.limits.timeout
        )
        interrupted = seen.stopped == INTERRUPTED
        if not seen.stats.complete and not interrupted:
            return None
        depths = {name: None if trace is None else trace.depth for name, trace in seen.traces.items()}
        return Survey(
            goals={n: depths[f"goal {n}"] for n in goals_of(self.model)},
            premises={n: depths[f"premise {n}"] for n in self.properties},
            fired={name for name, times in seen.stats.fired.items() if times},
            violations={n: self._replayed(t, p) for n, p in self.properties.items() if (t := seen.traces[f"bad {n}"]) is not None},
            states=seen.stats.states if seen.stats.complete else None,
            interrupted=interrupted,
        )

    def _walked(self) -> Survey:
        goals, watched = goals_of(self.model), self._watched
        nothing = Property("nothing", "Walks only look.", truth(True))
        seen = self.engines.walk(
            self.model.system, self.model.geometry, nothing, goals=watched, walks=self.limits.walks, length=self.limits.walk_length,
            timeout=self.limits.timeout, stop=False,
        )  # fmt: skip
        depths = self._shortened(seen.coverage.goals, watched)
        survey = Survey(
            goals={n: depths[f"goal {n}"] for n in goals},
            premises={n: depths[f"premise {n}"] for n in self.properties},
            fired={name for name, times in seen.coverage.fired.items() if times},
            steps=seen.coverage.steps,
            walks=seen.coverage.walks,
            interrupted=_is_interrupt(seen.verdict),
        )
        for name, prop in self.properties.items():
            trace = seen.coverage.goals.get(f"bad {name}")
            if trace is not None:
                survey.violations[name] = self._replayed(shorten(trace, prop, self.evaluator), prop)
        return survey

    def _shortened(self, traces: Mapping[str, Trace | None], terms: Mapping[str, object]) -> dict[str, int | None]:
        depths: dict[str, int | None] = dict.fromkeys(terms)
        for name, trace in traces.items():
            if trace is not None:
                depths[name] = trace.depth if trace.depth == 0 else self._short(trace, name, terms[name]).depth
        return depths

    def _short(self, trace: Trace, name: str, goal: object) -> Trace:
        return shorten(trace, Property(name, "", negation(goal)), self.evaluator)

    def _search_goals(self, survey: Survey) -> None:
        missing = {n: g for n, g in goals_of(self.model).items() if survey.goals[n] is None}
        if not missing:
            return
        limit = max(self.limits.goal_depth, self.limits.depth or 0)
        for name, found in self.engines.reach(self.grounded, missing, limit, timeout=self.limits.timeout, shortest=True).items():
            survey.searched[name] = found.refuted
            survey.interrupted |= found.reason == INTERRUPTED
            if found.trace is not None:
                survey.goals[name] = found.depth
                survey.fired |= set(found.trace.actions)

    def _replayed(self, trace: Trace, prop: Property) -> Trace:
        if not replays(trace, prop, self.evaluator):
            raise EngineError(f"the run that violates {prop.name} does not replay by plain evaluation")
        return trace

    @property
    def asked(self) -> int:
        """The depth that every question here is asked to."""
        if self.limits.depth is not None:
            return self.limits.depth
        return max(self.survey.depth + MARGIN, self.model.scenario.depth or 0, self.at_least)

    def ask(self, name: str, progress: Callable[[int], None] | None = None) -> Answer:
        """The answer about one property.

        Raises:
            EngineError: an engine contradicts plain evaluation.
        """
        survey, prop = self.survey, self.properties[name]
        started, computing = time.monotonic(), time.process_time()
        if survey.interrupted:
            return Answer(prop, Unknown(INTERRUPTED, "walk"), self.asked, 0.0, interrupted=True)
        known = survey.violations.get(name)
        first = survey.computing if known is not None else None
        if known is not None:
            verdict: Verdict = self._shortest(known, prop, progress)
        elif survey.states is not None:
            verdict = HoldsUpTo(self.asked, "explore", states=survey.states)
        else:
            verdict = self._searched(prop, progress)
            if isinstance(verdict, Violated):
                first = survey.computing + time.process_time() - computing
        if isinstance(verdict, Violated):
            survey.fired |= set(self._replayed(verdict.trace, prop).actions)
        interrupted = _is_interrupt(verdict)
        verdict = self._honest(verdict, prop)
        # One exploration answers all questions of a model: each of them took as long as it did.
        seconds = survey.computing if survey.states is not None else time.monotonic() - started
        return Answer(prop, verdict, self.asked, seconds, first, interrupted)

    def _searched(self, prop: Property, progress: Callable[[int], None] | None) -> Verdict:
        return self.engines.bmc(self.grounded, prop, self.asked, timeout=self.limits.timeout, progress=progress)

    def _shortest(self, known: Trace, prop: Property, progress: Callable[[int], None] | None) -> Verdict:
        """The shortest violation that can be had, given one."""
        if self.survey.states is not None:
            return Violated(known, "explore", True)
        if known.depth == 0:
            return Violated(known, "walk", True)
        if not self.limits.shortest:
            return Violated(known, "walk", None)
        below = self.engines.bmc(self.grounded, prop, known.depth - 1, timeout=self.limits.timeout, progress=progress)
        match below:
            case Violated():
                return below
            case HoldsUpTo(depth=depth) if depth >= known.depth - 1:
                return Violated(known, "walk, bmc", True, below.seconds)
            case _:
                return Violated(known, "walk", None, below.seconds)

    def _honest(self, verdict: Verdict, prop: Property) -> Verdict:
        """A verdict that promises no more than was seen: vacuous, too shallow and goalless ones become Unknown."""
        match verdict:
            case Violated():
                return verdict
            case Unknown(depth=depth):
                if verdict.depth < 0:
                    return verdict
                return replace(verdict, reason=f"depth: searched to {depth} of {self.asked}; {verdict.reason}")
            case HoldsUpTo(depth=depth) if depth < self.asked:
                return Unknown(f"depth: searched to {depth} of {self.asked}", verdict.engine, depth, seconds=verdict.seconds)
            case HoldsUpTo() | Proved():
                return self._not_empty(verdict, prop)

    def _not_empty(self, verdict: HoldsUpTo | Proved, prop: Property) -> Verdict:
        depth = verdict.depth if isinstance(verdict, HoldsUpTo) else -1
        premise = self._premise(prop, depth)
        if premise is None:
            runs = "no run" if self.survey.states is not None else f"no run of at most {self.asked} steps"
            reason = f"vacuous: {runs} reaches the premise of {prop.name}"
            return Unknown(reason, verdict.engine, depth, vacuous=True, seconds=verdict.seconds)
        missing = self.survey.missing
        if missing and (self.limits.depth is None or isinstance(verdict, Proved)):
            far = -1 if self.survey.states is not None else min((self.survey.searched.get(n, -1) for n in missing), default=-1)
            names = ", ".join(repr(n) for n in missing)
            reason = f"depth: goal {names} was not reached" + (f" within {far} steps" if far >= 0 else "")
            return Unknown(reason, verdict.engine, depth, seconds=verdict.seconds)
        return verdict

    def _premise(self, prop: Property, depth: int) -> int | None:
        """The least depth known of a run to the premise, within `depth` if that is one."""
        known = self.survey.premises.get(prop.name)
        if self.survey.states is not None:
            return known
        if known is None or (0 <= depth < known):
            within = depth if depth >= 0 else self.asked
            found = self.engines.reach(self.grounded, {prop.name: prop.premise}, within, timeout=self.limits.timeout, shortest=False)
            reached = found[prop.name]
            known = reached.depth
            if reached.trace is not None:
                self.survey.fired |= set(reached.trace.actions)
                self.survey.premises[prop.name] = known
        return known


def _is_interrupt(verdict: Verdict) -> bool:
    return isinstance(verdict, Unknown) and verdict.reason.startswith(INTERRUPTED)


def property_names() -> tuple[str, ...]:
    """The names of all properties."""
    return (*PROPERTIES, ASSERTIONS)


def property_of(model: Model, name: str) -> Property:
    """The property of that name, as it reads in this model.

    Raises:
        InputError: there is none.
    """
    choose([name], property_names(), "property", f"scenario {model.scenario.name}")
    if name == ASSERTIONS:
        return kernel_assertions(_failed(model))
    return PROPERTIES[name]


def _failed(model: Model) -> StateVar:
    return next(v for v in model.system.state if v.name == "assertion_failed")


def goals_of(model: Model) -> dict[str, object]:
    """The goals of a scenario: those that it names, and the end of every role that need not be stuck.

    Raises:
        InputError: a goal or role that does not exist.
    """
    scenario = model.scenario
    for name in scenario.goals:
        if name not in GOALS:
            raise InputError(f"scenario {scenario.name}: there is no goal {name!r}; there are {', '.join(GOALS)}")
    roles = tuple(dict.fromkeys(model.roles))
    for name in scenario.stuck:
        if name not in roles:
            raise InputError(f"scenario {scenario.name}: stuck names {name!r}, which is no role; the roles are {', '.join(roles)}")
    return {n: GOALS[n] for n in scenario.goals} | {f"{r} finished": model.finished(r) for r in roles if r not in scenario.stuck}
