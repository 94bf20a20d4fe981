"""The engines that there are: one protocol, and one registry.

A new engine is a function that follows `Engine`, in a file of its own, and an entry of `ENGINES`. It then runs beside the others
(`portfolio.py`), is listed by `tdpcheck list engines`, measured by `bench/engines.py` and tested on every toy. Nobody takes its word: a
violation is replayed by plain evaluation, and a proof told only after two solvers accepted its certificate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ..core.system import Property
from ..core.verdict import Verdict
from .attempt import Progress, Subject
from .bounded.bmc import bmc
from .circuits.kinduction import k_induction
from .circuits.pdr import pdr
from .states.explore import by_exploration
from .states.walk import by_walking


class Engine(Protocol):
    """Answers one question about one property of one system at one size, and ends its work by itself."""

    def __call__(
        self, subject: Subject, prop: Property, depth: int, /, *, timeout: float | None = None, progress: Progress | None = None
    ) -> Verdict:
        """Whether a run violates `prop`.

        An interrupt from the keyboard answers with what is known by then. Memory is limited from outside, for its whole process.

        Args:
            depth: how many steps to look at, at least; whoever proves, or sees all states, need not care.
            timeout: seconds for everything.
            progress: told each depth up to which nothing bad was found.

        Returns:
            Violated with a trace of the system; Proved with an inductive invariant of the grounded system; HoldsUpTo at least
            `depth`; or Unknown with the depth up to which nothing bad was found.

        Raises:
            EngineError: the engine contradicts itself or plain evaluation.
        """
        ...


@dataclass(frozen=True)
class Registered:
    """An engine, and what a reader should know of it.

    Args:
        sentence: how it works, and what it can answer.
        races: it is run beside others where exploration is too large.
    """

    ask: Engine
    sentence: str
    races: bool = True


ENGINES: dict[str, Registered] = {
    "bmc": Registered(bmc, "Bounded model checking with Z3: the shortest violation within a depth, or that there is none; no proof."),
    "pdr": Registered(pdr, "Property-directed reachability (IC3) with SAT, over a circuit: a proof by clauses, or a violation."),
    "k-induction": Registered(k_induction, "K-induction with SAT, over a circuit: a proof by k steps, or the shortest violation."),
    "explore": Registered(
        by_exploration, "Every state by plain evaluation, breadth first: an exact answer where there are not too many states.", races=False
    ),
    "walk": Registered(by_walking, "Random runs by plain evaluation: a violation that is easily met, or nothing.", races=False),
}
"""By name; those that race in the order in which they should have the processor."""


def racing() -> Mapping[str, Engine]:
    """The engines that are run side by side, the one that should have the processor first in front."""
    return {name: engine.ask for name, engine in ENGINES.items() if engine.races}
