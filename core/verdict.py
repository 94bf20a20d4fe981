"""The four answers. A weaker one says so, with its bound and its reason."""

from __future__ import annotations

from dataclasses import dataclass, field

import z3

from .notebook import block, count, line, table
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
    """No answer, and why; `depth` is how far the search got (-1: not even the initial states), `vacuous` that the premise is unreached."""

    reason: str
    engine: str
    depth: int = -1
    vacuous: bool = False
    seconds: float = 0.0

    def _repr_html_(self) -> str:
        far = "no depth was searched to its end" if self.depth < 0 else f"no run of at most {count(self.depth, 'step')} violates it"
        premise = ["its premise was never reached"] if self.vacuous else []
        return block(line("Unknown", [self.reason, *premise, far, f"engine {self.engine}"]))


Verdict = Proved | Violated | HoldsUpTo | Unknown


def _sizes(sizes: str) -> str:
    return f"for the size {sizes}" if "=" in sizes else f"for {sizes or 'its only size'}"
