"""What is known of a model before its properties are asked: every state visited, or else random walks.

One look serves all properties of a model: goals and premises with the depth at which they were met, violations, what fired, and
where threads are stuck. Walks are counted, not timed, so that the same question has the same answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...checker.clock import OutOfTime
from ...checker.states.explore import Surveyed
from ...checker.states.walk import shorten
from ...core.evaluation.evaluate import State
from ...core.ground import negation
from ...core.plain import PlainRun, plain_run
from ...core.system import Property, truth
from ...core.trace import Trace
from ...core.verdict import Reason, ReasonKind, Unknown, Verdict
from ..inputs.terms import MERGING, ends_of, goals_of
from .prepared import Prepared
from .proofs import PlainProof


@dataclass(frozen=True)
class PlainStuck:
    """Stuck states that have their threads in the same places: a shortest run to one of them, and how many there are."""

    run: PlainRun
    states: int


@dataclass(frozen=True)
class PlainLivelock:
    """Livelocks that go through the same places: a lasso of which the circle begins at the state numbered `loop`, how many states they
    have together, and the numbers of the threads that go round.
    """

    run: PlainRun
    loop: int
    states: int
    going: tuple[int, ...]


@dataclass
class Survey:
    """What is known of one model before its properties are asked.

    Args:
        goals: the least depth met of each declared goal, None if it was not reached.
        searched: how deep goals that were not reached are excluded.
        premises: the same of each property's premise.
        fired: actions that fired in some run.
        states: how many states there are, when every one was visited.
        violations: shortened runs into a violation, by property.
        unmet: the condition, if any, on which steps were merged and which some state does not meet.
        stuck: the stuck states, when every state was visited.
        livelocks: the same of those in which threads go round for ever.
        proof: what became of them as a proof, when one was wanted.
        steps, walks: how much was walked, in so many seconds of `computing`.
        interrupted: by the user, before the end.
        gave_way: why exploration came to no end, if it was tried.
    """

    goals: dict[str, int | None] = field(default_factory=dict)
    searched: dict[str, int] = field(default_factory=dict)
    premises: dict[str, int | None] = field(default_factory=dict)
    fired: set[str] = field(default_factory=set)
    states: int | None = None
    violations: dict[str, PlainRun] = field(default_factory=dict)
    unmet: str = ""
    stuck: tuple[PlainStuck, ...] | None = None
    livelocks: tuple[PlainLivelock, ...] | None = None
    proof: PlainProof | None = None
    steps: int = 0
    walks: int = 0
    computing: float = 0.0
    interrupted: bool = False
    gave_way: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(name for name, depth in self.goals.items() if depth is None)

    @property
    def depth(self) -> int:
        """The depth at which every goal was reached, as far as they were."""
        return max((d for d in self.goals.values() if d is not None), default=0)


def surveyed(subject: Prepared, *, explore: bool = True, so_far: Callable[[Survey], None] | None = None) -> Survey:
    """What exploration teaches, or else walks; goals that they miss are searched for.

    Args:
        so_far: is given what a complete exploration teaches before a proof is made of it, which may come to no end.

    Raises:
        EngineError: a violation that does not replay.
    """
    started = time.process_time()
    found, why = _explored(subject, started, so_far) if explore else (None, "")
    if found is None:
        found = _walked(subject)
        found.gave_way = why
    found.computing = time.process_time() - started
    if not found.interrupted and found.states is None:
        _search_goals(subject, found)
    return found


_EXPLORE, _CERTIFY = 0.8, 0.9
"""Shares of the time that is left: something has to remain for who comes next, or for telling what is known."""


def _watched(subject: Prepared) -> dict[str, Any]:
    """What to look for in each state: goals, premises, violations."""
    watched = {f"goal {n}": g for n, g in goals_of(subject.model).items()}
    watched |= {f"premise {n}": p.premise for n, p in subject.properties.items()}
    watched |= {f"bad {n}": negation(p.holds) for n, p in subject.properties.items()}
    return watched if subject.merging is None else watched | {MERGING: negation(subject.merging.holds)}


def _explored(subject: Prepared, started: float, so_far: Callable[[Survey], None] | None) -> tuple[Survey | None, str]:
    """What a visit to every state teaches; None, and why, if there are too many of them."""
    engines, limits, model = subject.engines, subject.limits, subject.model
    if engines.survey is None or limits.states == 0:
        return None, ""
    seen = engines.survey(
        model.system, model.geometry, _watched(subject), max_states=limits.states, timeout=subject.left(_EXPLORE), ends=ends_of(model),
        keep=limits.certify,
    )  # fmt: skip
    interrupted = by_user(seen.stopped)
    if not seen.stats.complete and not interrupted:
        return None, str(seen.stopped or "")
    depths = {name: None if trace is None else trace.depth for name, trace in seen.traces.items()}
    violated = {n: t for n in subject.properties if (t := seen.traces[f"bad {n}"]) is not None}
    found = Survey(
        goals={n: depths[f"goal {n}"] for n in goals_of(model)},
        premises={n: depths[f"premise {n}"] for n in subject.properties},
        fired={name for name, times in seen.stats.fired.items() if times},
        violations={n: plain_run(subject.replayed(t, subject.properties[n])) for n, t in violated.items()},
        states=seen.stats.states if seen.stats.complete else None,
        stuck=plain_stuck(seen),
        livelocks=plain_livelocks(seen),
        interrupted=interrupted,
        unmet=_unmet(subject, seen.traces.get(MERGING)),
    )
    if limits.certify and seen.stats.complete:
        if so_far is not None:
            found.computing = time.process_time() - started
            so_far(found)
        holding = [prop for name, prop in subject.properties.items() if name not in found.violations]
        holding += [] if subject.merging is None or found.unmet else [subject.merging]
        found.proof = _proof(subject, holding, seen.states)
    return found, ""


def _proof(subject: Prepared, holding: Sequence[Property], states: Sequence[State]) -> PlainProof:
    try:
        grounded = subject.grounded
    except OutOfTime as stop:
        return PlainProof((), given_up=str(stop.why), kind=stop.why.kind)
    return subject.engines.certify_states(subject.model, grounded, holding, states, timeout=subject.left(_CERTIFY))


def plain_stuck(seen: Surveyed) -> tuple[PlainStuck, ...] | None:
    """The stuck states that an exploration found, as plain values; None if they were not looked for."""
    return None if seen.stuck is None else tuple(PlainStuck(plain_run(s.trace), s.states) for s in seen.stuck)


def plain_livelocks(seen: Surveyed) -> tuple[PlainLivelock, ...] | None:
    """The livelocks that an exploration found, as plain values; None if they were not looked for."""
    return None if seen.livelocks is None else tuple(PlainLivelock(plain_run(s.trace), s.loop, s.states, s.going) for s in seen.livelocks)


def _unmet(subject: Prepared, trace: Trace | None) -> str:
    return "" if trace is None else subject.unmet(trace.states[-1])


def _walked(subject: Prepared) -> Survey:
    limits, model, watched = subject.limits, subject.model, _watched(subject)
    nothing = Property("nothing", "Walks only look.", truth(True))
    seen = subject.engines.walk(
        model.system, model.geometry, nothing, goals=watched, walks=limits.walks, length=limits.walk_length,
        timeout=subject.left(), stop=False,
    )  # fmt: skip
    depths = _shortened(subject, seen.coverage.goals, watched)
    survey = Survey(
        goals={n: depths[f"goal {n}"] for n in goals_of(model)},
        premises={n: depths[f"premise {n}"] for n in subject.properties},
        fired={name for name, times in seen.coverage.fired.items() if times},
        steps=seen.coverage.steps,
        walks=seen.coverage.walks,
        interrupted=is_interrupt(seen.verdict),
        unmet=_unmet(subject, seen.coverage.goals.get(MERGING)),
    )
    for name, prop in subject.properties.items():
        trace = seen.coverage.goals.get(f"bad {name}")
        if trace is not None:
            survey.violations[name] = plain_run(subject.replayed(shorten(trace, prop, subject.evaluator), prop))
    return survey


def _shortened(subject: Prepared, traces: Mapping[str, Trace | None], terms: Mapping[str, Any]) -> dict[str, int | None]:
    depths: dict[str, int | None] = dict.fromkeys(terms)
    for name, trace in traces.items():
        if trace is not None:
            away = Property(name, "", negation(terms[name]))
            depths[name] = trace.depth if trace.depth == 0 else shorten(trace, away, subject.evaluator).depth
    return depths


def _search_goals(subject: Prepared, survey: Survey) -> None:
    missing = {n: g for n, g in goals_of(subject.model).items() if survey.goals[n] is None}
    if not missing:
        return
    limits = subject.limits
    limit = max(limits.goal_depth, limits.depth or 0)
    try:
        grounded = subject.grounded
    except OutOfTime:
        return
    for name, found in subject.engines.reach(grounded, missing, limit, timeout=subject.left(), shortest=True).items():
        survey.searched[name] = found.refuted
        survey.interrupted |= by_user(found.reason)
        if found.trace is not None:
            survey.goals[name] = found.depth
            survey.fired |= set(found.trace.actions)


def is_interrupt(verdict: Verdict) -> bool:
    """Whether the user interrupted it."""
    return isinstance(verdict, Unknown) and by_user(verdict.why)


def by_user(why: Reason | None) -> bool:
    """Whether it stopped because the user interrupted it."""
    return why is not None and why.kind is ReasonKind.INTERRUPTED
