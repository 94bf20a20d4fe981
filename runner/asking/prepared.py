"""A model made ready: grounded once, evaluated by one evaluator, its properties looked up."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import cached_property

from ...checker.clock import Clock
from ...core.errors import EngineError
from ...core.evaluation.evaluate import Evaluator, State
from ...core.ground import GroundSystem, ground
from ...core.system import Property
from ...core.trace import Trace, replays
from ...model.system import Model
from ..inputs.terms import merging_of, property_of, unmet
from .limits import Engines, Limits

_MOMENT = 0.05
"""Seconds: an engine that has no more than that says at once that its time is up."""


class Prepared:
    """What a survey and every question of one model share."""

    def __init__(self, model: Model, properties: Iterable[str], limits: Limits, engines: Engines | None = None) -> None:
        self.model = model
        self.limits = limits
        self.engines = engines or Engines()
        self.spent = 0.0
        self._since: float | None = None
        self.properties = {name: property_of(model, name) for name in properties}
        self.merging = merging_of(model)

    def begin(self) -> None:
        """The time of a question, beyond what was spent for all of them, counts from here."""
        self._since = time.monotonic()

    def left(self, share: float = 1.0) -> float | None:
        """Seconds that are left for a question, or a share of them; None if there is no limit."""
        left = self.limits.left(self.spent + (time.monotonic() - self._since if self._since is not None else 0.0))
        return None if left is None else max(_MOMENT, left * share)

    @cached_property
    def grounded(self) -> GroundSystem:
        """The system at its size.

        Raises:
            OutOfTime: it is not grounded in the time that is left.
        """
        return ground(self.model.system, self.model.geometry, check=Clock(self.left()).check)

    @cached_property
    def evaluator(self) -> Evaluator:
        return Evaluator(self.model.system, self.model.geometry)

    def unmet(self, state: State) -> str:
        """Which condition of merging does not hold in a state in which one does not."""
        return unmet(self.model, lambda term: self.evaluator.compile(term)(state))

    def replayed(self, trace: Trace, prop: Property) -> Trace:
        """The trace, which ends in a violation.

        Raises:
            EngineError: it does not.
        """
        if not replays(trace, prop, self.evaluator):
            raise EngineError(f"the run that violates {prop.name} does not replay by plain evaluation")
        return trace
