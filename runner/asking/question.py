"""One question: does this property hold in this model? Exploration first; where it is too large, walks and bounded model checking."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from ...checker.clock import OutOfTime
from ...checker.portfolio import checkable, not_accepted, portfolio
from ...core.ground import conjunction
from ...core.plain import violation
from ...core.system import Property
from ...core.trace import Trace, replays
from ...core.verdict import INTERRUPTED, HoldsUpTo, Proved, Reason, ReasonKind, Unknown, Verdict, Violated
from ..inputs.terms import ASSERTIONS, goals_of, property_names, property_of
from .limits import BOUNDED, MARGIN, Engines, Limits
from .prepared import Prepared
from .survey import Survey, is_interrupt, surveyed


@dataclass(frozen=True)
class Answer:
    """A verdict as it may be told: vacuous and too shallow ones are Unknown already.

    Args:
        asked: the depth that was asked for.
        first_found: seconds of computing until the first violation was there, before a shorter one was looked for.
        premise: the least depth known of a run to the property's premise.
        fired: actions that fired in runs that were found for this answer, besides those of the survey.
        certificate: of a proof, as two solvers accepted it.
    """

    prop: Property
    verdict: Verdict
    asked: int
    seconds: float
    first_found: float | None = None
    interrupted: bool = False
    premise: int | None = None
    fired: frozenset[str] = frozenset()
    certificate: str = ""


class Subject(Prepared):
    """A model made ready for questions, with what a survey of it teaches."""

    at_least = 0
    """No question is asked to less than this depth."""

    @cached_property
    def survey(self) -> Survey:
        """What exploration teaches, or else walks."""
        return surveyed(self)

    @property
    def asked(self) -> int:
        """The depth that every question here is asked to."""
        if self.limits.depth is not None:
            return self.limits.depth
        return max(self.survey.depth + MARGIN, self.model.scenario.depth or 0, self.at_least)

    @property
    def is_known(self) -> bool:
        """Whether the survey has every answer already, so that no engine is needed."""
        return self.survey.interrupted or self.survey.states is not None

    def ask(self, name: str, progress: Callable[[int], None] | None = None) -> Answer:
        """The answer about one property.

        Raises:
            EngineError: an engine contradicts plain evaluation.
        """
        return _Question(self, name, progress).answer()


class _Question:
    """One question on its way to its answer."""

    def __init__(self, subject: Subject, name: str, progress: Callable[[int], None] | None) -> None:
        self._subject = subject
        self._survey = subject.survey
        self._prop = subject.properties[name]
        self._progress = progress
        self._premise_depth = self._survey.premises.get(name)
        self._fired: set[str] = set()
        self._certificate = ""

    def answer(self) -> Answer:
        survey, prop, asked = self._survey, self._prop, self._subject.asked
        started, computing = time.monotonic(), time.process_time()
        if survey.interrupted:
            return Answer(prop, Unknown(INTERRUPTED, "walk"), asked, 0.0, interrupted=True)
        known = survey.violations.get(prop.name)
        first = survey.computing if known is not None else None
        if known is not None:
            verdict: Verdict = self._shortest(violation(known, prop, self._subject.evaluator))
        elif survey.states is not None:
            verdict = self._explored(asked, survey.states)
        else:
            try:
                verdict = self._searched(asked)
            except OutOfTime as stop:
                verdict = Unknown(stop.why, "none", seconds=time.monotonic() - started)
            if isinstance(verdict, Violated):
                first = survey.computing + time.process_time() - computing
        if isinstance(verdict, Violated):
            self._fired |= set(self._subject.replayed(verdict.trace, prop).actions)
        interrupted = is_interrupt(verdict)
        verdict = self._honest(verdict)
        interrupted |= is_interrupt(verdict)
        # One exploration answers all questions of a model: each of them took as long as it did.
        seconds = survey.computing if survey.states is not None else time.monotonic() - started
        fired = frozenset(self._fired - survey.fired)
        certificate = self._certificate if isinstance(verdict, Proved) else ""
        return Answer(prop, verdict, asked, seconds, first, interrupted, self._premise_depth, fired, certificate)

    def _explored(self, asked: int, states: int) -> Verdict:
        """What a visit to every state says of a property that it found nothing against; a proof, if two solvers made one of it."""
        proof = self._survey.proof
        if proof is None or self._prop.name not in proof.properties or proof.given_up:
            return HoldsUpTo(asked, "explore", states=states)
        if proof.refused:
            return Unknown(Reason(ReasonKind.SECOND_SOLVER, proof.refused), "explore")
        self._certificate = proof.certificate
        return Proved(str(self._subject.model.geometry), proof.clauses, proof.queries, "explore")

    def _refused(self, proof: Proved) -> str:
        """Why two solvers do not accept a proof; empty, and its certificate is kept, if they do."""
        subject = self._subject
        made = subject.engines.certify(subject.model, subject.grounded, self._with_merging, proof, timeout=subject.left())
        self._certificate = made.text
        return made.refused

    def _searched(self, depth: int) -> Verdict:
        """What engines side by side find within `depth`, or prove.

        Raises:
            OutOfTime: the system is not grounded in time.
        """
        subject, limits = self._subject, self._subject.limits
        engines = {BOUNDED: subject.engines.bmc, **subject.engines.beside}
        if len(engines) == 1:
            verdict = checkable(self._real(self._bounded(depth, self._with_merging)), subject.grounded)
            refused = self._refused(verdict) if isinstance(verdict, Proved) else ""
            return Unknown(not_accepted(refused), verdict.engine, seconds=verdict.seconds) if refused else verdict
        return self._real(portfolio(
            subject.grounded, self._with_merging, depth, engines=engines, timeout=subject.left(), progress=self._progress,
            accept=self._refused, memory=limits.memory,
        ))  # fmt: skip

    @cached_property
    def _with_merging(self) -> Property:
        """The property, and that steps were rightly merged."""
        merging = self._subject.merging
        return self._prop if merging is None else replace(self._prop, holds=conjunction([self._prop.holds, merging.holds]))

    def _real(self, verdict: Verdict) -> Verdict:
        """The verdict, unless the run that it found breaks nothing but a condition of merging."""
        if not isinstance(verdict, Violated) or replays(verdict.trace, self._prop, self._subject.evaluator):
            return verdict
        if not replays(verdict.trace, self._with_merging, self._subject.evaluator):
            return verdict  # a fault of an engine, which the replay that follows tells
        return Unknown(Reason(ReasonKind.MERGING, self._subject.unmet(verdict.trace.states[-1])), verdict.engine, seconds=verdict.seconds)

    def _bounded(self, depth: int, prop: Property | None = None) -> Verdict:
        """What bounded model checking finds within `depth`.

        Raises:
            OutOfTime: the system is not grounded in time.
        """
        subject = self._subject
        return subject.engines.bmc(subject.grounded, prop or self._prop, depth, timeout=subject.left(), progress=self._progress)

    def _shortest(self, known: Trace) -> Verdict:
        """The shortest violation that can be had, given one."""
        if self._survey.states is not None:
            return Violated(known, "explore", True)
        if known.depth == 0:
            return Violated(known, "walk", True)
        if not self._subject.limits.shortest:
            return Violated(known, "walk", None)
        try:
            below = self._bounded(known.depth - 1)
        except OutOfTime:
            return Violated(known, "walk", None)
        match below:
            case Violated():
                return below
            case HoldsUpTo(depth=depth) if depth >= known.depth - 1:
                return Violated(known, "walk, bmc", True, below.seconds)
            case _:
                return Violated(known, "walk", None, below.seconds)

    def _honest(self, verdict: Verdict) -> Verdict:
        """A verdict that promises no more than was seen: vacuous, too shallow and goalless ones become Unknown."""
        asked = self._subject.asked
        match verdict:
            case Violated():
                return verdict
            case Unknown(depth=depth):
                if verdict.depth < 0:
                    return verdict
                return replace(verdict, why=verdict.why.prefixed(f"depth: searched to {depth} of {asked}; "))
            case HoldsUpTo(depth=depth) if depth < asked:
                why = Reason(ReasonKind.DEPTH, f"depth: searched to {depth} of {asked}")
                return Unknown(why, verdict.engine, depth, seconds=verdict.seconds)
            case HoldsUpTo() | Proved() if self._survey.unmet:
                return Unknown(Reason(ReasonKind.MERGING, self._survey.unmet), verdict.engine, seconds=verdict.seconds)
            case HoldsUpTo() | Proved():
                return self._not_empty(verdict)

    def _not_empty(self, verdict: HoldsUpTo | Proved) -> Verdict:
        survey, prop = self._survey, self._prop
        depth = verdict.depth if isinstance(verdict, HoldsUpTo) else -1
        reached, stopped = self._reaches_premise(depth)
        if stopped is not None:
            why = Reason(stopped.kind, f"{stopped}: whether a run reaches the premise of {prop.name}")
            return Unknown(why, verdict.engine, depth, seconds=verdict.seconds)
        if not reached and not self._subject.model.scenario.matrix:
            runs = "no run" if survey.states is not None else f"no run of at most {self._subject.asked} steps"
            why = Reason(ReasonKind.VACUOUS, f"vacuous: {runs} reaches the premise of {prop.name}")
            return Unknown(why, verdict.engine, depth, seconds=verdict.seconds)
        missing = survey.missing
        if missing and (self._subject.limits.depth is None or isinstance(verdict, Proved)):
            far = -1 if survey.states is not None else min((survey.searched.get(n, -1) for n in missing), default=-1)
            names = ", ".join(repr(n) for n in missing)
            within = f" within {far} steps" if far >= 0 else ""
            why = Reason(ReasonKind.DEPTH, f"depth: goal {names} was not reached{within}")
            return Unknown(why, verdict.engine, depth, seconds=verdict.seconds)
        return verdict

    def _reaches_premise(self, depth: int) -> tuple[bool, Reason | None]:
        """Whether a run, within `depth` if that is one, reaches the premise; or why nobody can say."""
        known = self._premise_depth
        if self._survey.states is not None:
            return known is not None, None
        if known is not None and not 0 <= depth < known:
            return True, None
        subject, prop = self._subject, self._prop
        within = depth if depth >= 0 else subject.asked
        limit = subject.left()
        try:
            grounded = subject.grounded
        except OutOfTime as stop:
            return False, stop.why
        found = subject.engines.reach(grounded, {prop.name: prop.premise}, within, timeout=limit, shortest=False)[prop.name]
        if found.trace is None:
            return False, found.reason
        self._premise_depth = found.depth
        self._fired |= set(found.trace.actions)
        return True, None


__all__ = ["ASSERTIONS", "MARGIN", "Answer", "Engines", "Limits", "Subject", "Survey", "goals_of", "property_names", "property_of"]
