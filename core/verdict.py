"""The four answers. A weaker one says so, with its bound and its reason.

A reason has a kind, which code looks at, and a text, which only people do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never

import z3

from . import errors
from .notebook import block, count, line, table
from .trace import Trace


class ReasonKind(StrEnum):
    """Why there is no answer, or why a search ended early. The values are those of JSON, JUnit and the cache."""

    TIME_OUT = "time-out"
    """The seconds that it was given are over."""
    MEMORY = "memory"
    """It needed more memory than it was allowed, or than there is."""
    DEPTH = "depth"
    """The search ended above the depth that was asked for, or a goal was not reached within it."""
    STATES = "states"
    """There are more states than it was allowed to visit."""
    WALKS = "walks"
    """Random walks met nothing, which says nothing."""
    VACUOUS = "vacuous"
    """No run reaches what the property speaks of, or there is no run at all."""
    COVERAGE = "coverage"
    """Statements are never executed, and the scenario does not say so."""
    DEADLOCK = "deadlock"
    """In some states no thread can ever go on, and the scenario does not say so."""
    LIVELOCK = "livelock"
    """Some threads can go round for ever, whoever else goes on, and the scenario does not say so."""
    NOT_MODELLED = "change-not-modelled"
    """A change has lines that the model does not contain."""
    NOT_PARAMETRIC = "not-parametric"
    """The system has words of a fixed width, so that nothing can be said of every size."""
    ARGUMENT = "argument"
    """The lemmas do not hold initially, do not imply the property, or are not kept by some step."""
    SECOND_SOLVER = "second-solver"
    """A proof has no certificate that two solvers accept."""
    SOLVER_GAVE_UP = "solver-gave-up"
    """A solver said `unknown`, although it had time."""
    SEVERAL = "several"
    """Several engines were asked, and ended in several ways: the text has them one by one."""
    NO_ENGINE = "no-engine"
    """Nobody was asked."""
    REFUSED = "refused"
    """What was given cannot be asked: bad input, kernel C outside the subset, a model that contradicts itself."""
    DIED = "engine-died"
    """The process that was to answer was killed, or ended without a word."""
    FAULT = "fault"
    """A fault of tdpcheck itself: an engine contradicts plain evaluation, or an error that nobody foresaw."""
    INTERRUPTED = "interrupted"
    """Interrupted by the user."""
    MERGING = "merging"
    """Steps were taken for one on a condition that does not hold everywhere."""
    SUSPENDED = "suspended"
    """Nobody asks for now: a run.json that was made elsewhere may say so."""

    @property
    def label(self) -> str:
        """In a few words, as in `Unknown (coverage)`."""
        match self:
            case ReasonKind.TIME_OUT | ReasonKind.DEPTH | ReasonKind.VACUOUS | ReasonKind.COVERAGE:
                return self.value
            case ReasonKind.DEADLOCK | ReasonKind.LIVELOCK:
                return self.value
            case ReasonKind.INTERRUPTED | ReasonKind.SUSPENDED | ReasonKind.REFUSED | ReasonKind.MERGING:
                return self.value
            case ReasonKind.NOT_MODELLED | ReasonKind.NOT_PARAMETRIC | ReasonKind.SECOND_SOLVER:
                return self.value.replace("-", " ")
            case ReasonKind.MEMORY:
                return "out of memory"
            case ReasonKind.STATES:
                return "too many states"
            case ReasonKind.WALKS:
                return "random walks alone"
            case ReasonKind.ARGUMENT:
                return "the argument does not go through"
            case ReasonKind.SOLVER_GAVE_UP:
                return "the solver gave up"
            case ReasonKind.SEVERAL:
                return "no engine has an answer"
            case ReasonKind.NO_ENGINE:
                return "nobody was asked"
            case ReasonKind.DIED:
                return "its process died"
            case ReasonKind.FAULT:
                return "a fault of tdpcheck itself"
        assert_never(self)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why there is no answer: `kind` for code, `text` for people."""

    kind: ReasonKind
    text: str

    def __str__(self) -> str:
        return self.text

    def prefixed(self, words: str) -> Reason:
        """Of the same kind, with something said before it."""
        return Reason(self.kind, f"{words}{self.text}")


TIME_IS_UP = Reason(ReasonKind.TIME_OUT, errors.TIME_IS_UP)
INTERRUPTED = Reason(ReasonKind.INTERRUPTED, "interrupted")


def solver_reason(answer: str) -> Reason:
    """Why Z3 said `unknown`, from its own words for it (`reason_unknown`): it has no other way to tell."""
    if "interrupt" in answer:
        return INTERRUPTED
    return TIME_IS_UP if answer in ("timeout", "canceled") else Reason(ReasonKind.SOLVER_GAVE_UP, answer)


@dataclass(frozen=True)
class Proved:
    """The property holds in every reachable state, at every depth.

    `sizes` says for which sizes: "every size", or a geometry. `lemmas` are the conjuncts of the inductive invariant by name. Where an
    engine found it at one size, `invariant` are its conjuncts, over the cells of the grounded system.
    """

    sizes: str
    lemmas: tuple[str, ...]
    queries: int
    engine: str
    seconds: float = 0.0
    invariant: tuple[z3.BoolRef, ...] = field(default=(), compare=False)

    def _repr_html_(self) -> str:
        facts = ["in every reachable state, at every depth", _sizes(self.sizes), f"engine {self.engine}"]
        if self.invariant:
            facts.append(f"an inductive invariant of {count(len(self.invariant), 'clause')}")
        elif "=" in self.sizes and self.lemmas:  # the clauses of a search have numbers for names
            facts.append(f"an inductive invariant of {count(len(self.lemmas), 'clause')}")
        if not self.lemmas or "=" in self.sizes:
            return block(line("Proved", facts))
        lemmas = table(
            f"By {count(len(self.lemmas), 'lemma')}", ("number", "lemma"), ((str(n), name) for n, name in enumerate(self.lemmas, 1))
        )
        return block(line("Proved", [*facts, f"by {count(len(self.lemmas), 'lemma')}"]), lemmas)


@dataclass(frozen=True)
class Violated:
    """A replayed run ends in a state in which the property does not hold.

    `shortest` is True when no shorter run does, None when nobody established that.
    """

    trace: Trace
    engine: str
    shortest: bool | None = None
    seconds: float = 0.0

    @property
    def depth(self) -> int:
        return self.trace.depth

    def _repr_html_(self) -> str:
        shortest = "no run is shorter" if self.shortest else "whether a run is shorter is not known"
        facts = [f"after {count(self.depth, 'step')}", shortest, _sizes(str(self.trace.geometry)), f"engine {self.engine}"]
        return block(line("Violated", facts), self.trace._repr_html_())


@dataclass(frozen=True)
class HoldsUpTo:
    """No run of at most `depth` steps violates the property. Not a proof.

    `broken_lemmas` names steps of an argument that did not go through, as pairs of (action, lemma). `states` is a number when all
    reachable states of this size were visited: then it holds at every depth, for this size.
    """

    depth: int
    engine: str
    broken_lemmas: tuple[tuple[str, str], ...] = field(default=())
    states: int | None = None
    seconds: float = 0.0

    def _repr_html_(self) -> str:
        facts = [f"no run of at most {count(self.depth, 'step')} violates it"]
        if self.states is None:
            facts.append("not a proof")
        else:
            facts.append(f"nor does a longer one at this size: all reachable states, {self.states}, were visited")
        facts.append(f"engine {self.engine}")
        if not self.broken_lemmas:
            return block(line(f"Holds up to depth {self.depth}", facts))
        facts.append(f"{count(len(self.broken_lemmas), 'pair')} of action and lemma did not go through")
        broken = table("Not known to be kept", ("after the action", "the lemma"), self.broken_lemmas)
        return block(line(f"Holds up to depth {self.depth}", facts), broken)


@dataclass(frozen=True)
class Unknown:
    """No answer, and why; `depth` is how far the search got (-1: not even the initial states)."""

    why: Reason
    engine: str
    depth: int = -1
    seconds: float = 0.0

    @property
    def kind(self) -> ReasonKind:
        """For code."""
        return self.why.kind

    @property
    def reason(self) -> str:
        """For people."""
        return self.why.text

    @property
    def vacuous(self) -> bool:
        """Whether nothing was promised, because the premise is unreached."""
        return self.kind is ReasonKind.VACUOUS

    def _repr_html_(self) -> str:
        far = "no depth was searched to its end" if self.depth < 0 else f"no run of at most {count(self.depth, 'step')} violates it"
        premise = ["its premise was never reached"] if self.vacuous else []
        return block(line("Unknown", [self.reason, *premise, far, f"engine {self.engine}"]))


Verdict = Proved | Violated | HoldsUpTo | Unknown


def _sizes(sizes: str) -> str:
    return f"for the size {sizes}" if "=" in sizes else f"for {sizes or 'its only size'}"
