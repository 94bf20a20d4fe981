"""The four answers. A weaker one says so, with its bound and its reason."""

from __future__ import annotations

from dataclasses import dataclass, field

import z3

from .trace import Trace


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


@dataclass(frozen=True)
class Unknown:
    """No answer, and why; `depth` is how far the search got (-1: not even the initial states), `vacuous` that the premise is unreached."""

    reason: str
    engine: str
    depth: int = -1
    vacuous: bool = False
    seconds: float = 0.0


Verdict = Proved | Violated | HoldsUpTo | Unknown
