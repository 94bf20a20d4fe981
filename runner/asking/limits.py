"""How far to go with a question, and the engines that it is put to."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ...checker.bounded.bmc import Reached, bmc, reach
from ...checker.engines import Engine, racing
from ...checker.states.explore import Surveyed, survey
from ...checker.states.walk import Walked, walk
from .proofs import Certified, PlainProof, certified, certified_states

MARGIN = 5
"""How many steps beyond the last goal the default depth goes."""


GRACE, LEAST_GRACE = 0.03, 0.1
"""A process whose time is up may go on for that part of it, or so many seconds, to say what it knows; then it is killed."""
TELLING, LEAST_TELLING = 0.06, 0.6
"""The same, of a process that has the answers, and judges and tells them."""


@dataclass(frozen=True)
class Limits:
    """How far to go.

    Args:
        depth: the depth asked for; without it, the one at which every goal was reached, plus `MARGIN`.
        timeout: seconds for each question: reading, building and looking at every state count for each question of a model.
        states: how many states may be visited before exploration gives way to walks and bounded model checking.
        walks: how many random walks a model gets, and how long each may be.
        goal_depth: how deep to look for a goal that no walk met.
        certify: make a proof of every complete exploration, and have it checked by two solvers.
        memory: megabytes of address space that each process that computes may take beyond what it begins with; without it, a share of
            the machine's.
        until: when, by `time.monotonic`, the whole run is to be done; None for no such limit.
    """

    depth: int | None = None
    timeout: float | None = 300.0
    states: int = 250_000
    walks: int = 200
    walk_length: int = 60
    goal_depth: int = 32
    shortest: bool = True
    memory: int | None = None
    certify: bool = False
    until: float | None = None

    def left(self, spent: float) -> float | None:
        """Seconds that are left of a question's time, and of the run's, if the question took so many; None if there is no limit."""
        ends = [] if self.timeout is None else [self.timeout - spent]
        return min([*ends, *([] if self.until is None else [self.until - time.monotonic()])], default=None)

    @property
    def are_up(self) -> bool:
        """Whether the time of the whole run is up."""
        return self.until is not None and time.monotonic() >= self.until

    def are_gone(self, spent: float) -> bool:
        """Whether nothing is left of a question's time that took so many seconds."""
        left = self.left(spent)
        return left is not None and left <= 0

    def until_killed(self, spent: float) -> float | None:
        """Seconds after which a process is killed that should answer in the time that is left, see `left`; None if there is no limit."""
        return self._ends(spent, GRACE, LEAST_GRACE)

    def until_told(self, spent: float) -> float | None:
        """The same of a process that has the answers, and judges and tells them."""
        return self._ends(spent, TELLING, LEAST_TELLING)

    def _ends(self, spent: float, grace: float, least: float) -> float | None:
        whole = None if self.until is None else self.until - time.monotonic()
        limits = ((self.timeout, self.timeout and self.timeout - spent), (whole, whole))
        ends = [max(left, LEAST_GRACE) + max(least, grace * limit) for limit, left in limits if limit is not None and left is not None]
        return min(ends, default=None)


BOUNDED = "bmc"
"""The engine that is asked whether a violation is the shortest, too."""


def _beside() -> dict[str, Engine]:
    return {name: engine for name, engine in racing().items() if name != BOUNDED}


@dataclass(frozen=True)
class Engines:
    """The engines that questions are put to; tests put others in their place.

    Args:
        beside: what runs beside `bmc` where exploration is too large; by default, every other engine of the registry that races.
        certify: makes a certificate of a proof, and has it checked.
        certify_states: makes a proof of a complete exploration, and has it checked.
    """

    survey: Callable[..., Surveyed] | None = survey
    walk: Callable[..., Walked] = walk
    bmc: Engine = bmc
    reach: Callable[..., dict[str, Reached]] = reach
    beside: Mapping[str, Engine] = field(default_factory=_beside)
    certify: Callable[..., Certified] = certified
    certify_states: Callable[..., PlainProof] = certified_states
