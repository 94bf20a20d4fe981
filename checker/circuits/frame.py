"""The frame of a run of an engine over circuits: from a question to its circuit, and from what was found there back to a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ...core.system import Lemma
from ...core.verdict import Proved, Violated
from ..attempt import Attempt
from .circuit import Latch, clause_term, replayed
from .inductive import proved
from .reduce import prepare


class OnCircuit:
    """An attempt on the reduced circuit of its system.

    Args:
        seeds: lemmas that may be used, those of the property if None is given; what is not inductive of them is not used.

    Raises:
        OutOfTime: the time is up.
    """

    def __init__(self, attempt: Attempt, seeds: Sequence[Lemma] | None) -> None:
        self._attempt = attempt
        self._grounded = attempt.grounded()
        self._ready = prepare(self._grounded, attempt.prop, attempt.prop.lemmas if seeds is None else seeds, attempt.clock)
        self.circuit = self._ready.circuit

    def proved(self, cubes: Iterable[Iterable[tuple[Latch, bool]]], queries: int) -> Proved:
        """The verdict, if the complement of these cubes is inductive: checked once more on the system as it was given.

        Raises:
            EngineError: it is not.
            OutOfTime: the time is up.
        """
        attempt, grounded = self._attempt, self._grounded
        invariant = (*self._ready.facts, *(clause_term(grounded, cube) for cube in cubes))
        return proved(grounded, attempt.prop, invariant, attempt.engine, queries, attempt.clock)

    def violated(self, first: Mapping[int, int], inputs: Sequence[Mapping[int, int]]) -> Violated:
        """The verdict, if this run of the circuit ends in a bad state: replayed by plain evaluation.

        Raises:
            EngineError: it does not.
        """
        attempt = self._attempt
        trace = replayed(self.circuit, attempt.prop, first, inputs, attempt.engine)
        return Violated(trace, attempt.engine, trace.depth <= attempt.refuted + 1 or None, attempt.clock.spent)
