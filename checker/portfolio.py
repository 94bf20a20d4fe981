"""One question, several engines side by side: the first conclusive answer counts, and the others are stopped.

A run that violates the property is conclusive once it replays here; a proof, once whoever asks accepts it, and for this size alone.
That nothing bad happens within the depth that was asked for is an answer that a proof would beat: for one it is waited as long again
as the answer took. An engine that dies, runs out of memory or says what is not so costs its own answer. What was refuted by then is
kept, whoever refuted it.

Which engine answers may differ from run to run: that is what a race is. What is true does not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import z3

from ..core.errors import EngineError
from ..core.evaluation.evaluate import Evaluator
from ..core.plain import PlainVerdict, plain_verdict, verdict_of
from ..core.system import Property
from ..core.verdict import INTERRUPTED, TIME_IS_UP, HoldsUpTo, Proved, Reason, ReasonKind, Unknown, Verdict, Violated
from .attempt import Progress, Subject, at_size
from .clock import Clock
from .engines import Engine, racing
from .processes import Answered, Child, Died, Failed, Failure, News, Said, Say, fault, listen, reason_of

ENGINE = "portfolio"
Accept = Callable[[Proved], str]
"""Why a proof is not accepted; empty if it is."""

GRACE, SHARE = 2.0, 0.03
"""Seconds beyond the time that engines have, in which they may still say what they know; at most this share of that time."""
LEAST_WAIT = 1.0
"""Seconds that a proof is waited for at least."""


def portfolio(
    subject: Subject,
    prop: Property,
    depth: int,
    *,
    engines: Mapping[str, Engine] | None = None,
    timeout: float | None = None,
    progress: Progress | None = None,
    accept: Accept | None = None,
    patience: float = 1.0,
    memory: int | None = None,
) -> Verdict:
    """Put a question to several engines at once.

    Args:
        engines: by name; without them, those of the registry that race.
        timeout: seconds for everything, the waiting for a proof included.
        progress: told the greatest depth up to which some engine found nothing.
        accept: asked of each proof before it counts.
        patience: how many times as long as the search to `depth` took a proof is waited for after it.
        memory: megabytes of address space for each engine, beyond what it begins with.

    Returns:
        The first conclusive answer, which names its engine; HoldsUpTo at least `depth`; or Unknown with the greatest depth that was
        searched, and with what became of each engine.
    """
    race = _Race(subject, prop, depth, Clock(timeout), progress, accept, patience)
    try:
        race.start(racing() if engines is None else engines, memory)
        return race.run()
    except KeyboardInterrupt:
        return race.interrupted()
    finally:
        race.end()


def not_accepted(refused: str) -> Reason:
    """That a proof does not count, because whoever was asked refused it."""
    return Reason(ReasonKind.SECOND_SOLVER, f"its proof is not accepted: {refused}")


@dataclass
class _Race:
    subject: Subject
    prop: Property
    depth: int
    clock: Clock
    progress: Progress | None
    accept: Accept | None
    patience: float
    refuted: int = -1
    by: str = ENGINE
    bounded: HoldsUpTo | None = None
    proof: Clock | None = None  # for how long one is waited for
    ended: dict[str, Reason] = field(default_factory=dict)
    running: dict[Child, str] = field(default_factory=dict)

    @property
    def spent(self) -> float:
        return self.clock.spent

    def start(self, engines: Mapping[str, Engine], memory: int | None) -> None:
        for place, (name, engine) in enumerate(engines.items()):
            self.running[Child(self._function(engine, place), memory=memory)] = name

    def _function(self, engine: Engine, place: int) -> Callable[[Say], object]:
        def answer(say: Say) -> tuple[PlainVerdict, str]:
            if place:
                os.nice(5)
            verdict = engine(self.subject, self.prop, self.depth, timeout=self.clock.timeout, progress=say)
            return plain_verdict(verdict), _written(verdict)

        return answer

    def run(self) -> Verdict:
        """Hear the engines until one has a conclusive answer, or there is nobody or no time left."""
        while self.running:
            left = self._left()
            if left is not None and left <= 0:
                break
            for child, news in listen(self.running, left):
                verdict = self._hear(child, news)
                if verdict is not None:
                    return verdict
        if self.bounded is not None:
            return replace(self.bounded, seconds=self.spent)
        return Unknown(TIME_IS_UP if self.running else self._why(), self.by, self.refuted, seconds=self.spent)

    def _why(self) -> Reason:
        """Why no engine has an answer."""
        if not self.ended:
            return Reason(ReasonKind.NO_ENGINE, "nobody was asked")
        kinds = {why.kind for why in self.ended.values()}
        kind = kinds.pop() if len(kinds) == 1 else ReasonKind.SEVERAL
        return Reason(kind, "; ".join(f"{name}: {why}" for name, why in self.ended.items()))

    def _left(self) -> float | None:
        """How long there is still something to wait for."""
        grace = GRACE if self.clock.timeout is None else min(GRACE, SHARE * self.clock.timeout)
        clocks = [self.clock.longer(grace), *([] if self.proof is None else [self.proof])]
        return min((left for clock in clocks if (left := clock.left) is not None), default=None)

    def _hear(self, child: Child, news: News) -> Verdict | None:
        """The conclusive answer, if this is one."""
        name = self.running[child]
        if isinstance(news, Said):
            self._refuted(name, int(news.value))
            return None
        del self.running[child]
        match news:
            case Answered(value=(verdict, invariant)):
                return self._weigh(name, verdict, invariant)
            case Failed(kind=Failure.INTERRUPTED):
                raise KeyboardInterrupt
            case Died() | Failed(kind=Failure.MEMORY):
                self.ended[name] = reason_of(news)
            case _:
                self.ended[name] = fault(news)
        return None

    def _weigh(self, name: str, plain: PlainVerdict, invariant: str) -> Verdict | None:
        try:
            verdict = checkable(verdict_of(plain, self.prop, Evaluator(*at_size(self.subject))), self.subject)
        except EngineError as wrong:
            self.ended[name] = fault(wrong)
            return None
        match verdict:
            case Violated():
                return replace(verdict, seconds=self.spent)
            case Proved():
                verdict = replace(verdict, invariant=_read(invariant), seconds=self.spent)
                refused = self.accept(verdict) if self.accept is not None else ""
                if not refused:
                    return verdict
                self.ended[name] = not_accepted(refused)
            case HoldsUpTo(depth=depth):
                self._refuted(name, depth)
                self.ended[name] = Reason(ReasonKind.DEPTH, f"nothing within {depth} steps")
                if depth >= self.depth and self.bounded is None:
                    self.bounded = verdict
                    self.proof = Clock(max(LEAST_WAIT, self.patience * self.spent))
            case Unknown(why=why, depth=depth):
                if why.kind is ReasonKind.INTERRUPTED:
                    raise KeyboardInterrupt
                self._refuted(name, depth)
                self.ended[name] = why
        return None

    def _refuted(self, name: str, depth: int) -> None:
        if depth > self.refuted:
            self.refuted, self.by = depth, name
            if self.progress is not None:
                self.progress(depth)

    def interrupted(self) -> Verdict:
        """What is known when the user wants no more: engines are asked once what they know."""
        for child in self.running:
            child.interrupt()
        clock = Clock(GRACE)
        while self.running and not clock.is_up:
            for child, news in listen(self.running, clock.left):
                name = self.running[child]
                if isinstance(news, Said):
                    self._refuted(name, int(news.value))
                    continue
                del self.running[child]
                if isinstance(news, Answered):
                    plain, _ = news.value
                    if isinstance(plain, HoldsUpTo | Unknown):
                        self._refuted(name, plain.depth)
        if self.bounded is not None:
            return replace(self.bounded, seconds=self.spent)
        return Unknown(INTERRUPTED, self.by, self.refuted, seconds=self.spent)

    def end(self) -> None:
        """Leave no engine running."""
        for child in self.running:
            child.kill()
        self.running.clear()


def checkable(verdict: Verdict, subject: Subject) -> Verdict:
    """What an engine claims, without what nobody checks: a certificate is for this size, and only a survey can show all states."""
    match verdict:
        case Proved():
            return replace(verdict, sizes=str(at_size(subject)[1]) or "its only size", lemmas=())
        case HoldsUpTo():
            return replace(verdict, broken_lemmas=(), states=None)
        case _:
            return verdict


def _written(verdict: Verdict) -> str:
    """The invariant of a proof as SMT-LIB, since terms do not cross between processes."""
    invariant = verdict.invariant if isinstance(verdict, Proved) else ()
    if not invariant:
        return ""
    solver = z3.Solver()
    solver.add(*invariant)
    text: str = solver.to_smt2()
    return text


def _read(text: str) -> tuple[z3.BoolRef, ...]:
    return tuple(z3.parse_smt2_string(text)) if text else ()
