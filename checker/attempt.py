"""What every engine that searches for bad states has in common: the system that it is asked about, its clock, and how far it came.

An engine is a function from an attempt to a verdict. An end before its time, because the time is up or somebody interrupts, is the
same for all of them: Unknown, with the depth up to which nothing bad was found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..core.ground import GroundSystem, ground
from ..core.sorts import Geometry
from ..core.system import Property, TransitionSystem
from ..core.verdict import INTERRUPTED, HoldsUpTo, Reason, Unknown, Verdict
from .clock import Clock, OutOfTime

Subject = GroundSystem | tuple[TransitionSystem, Geometry]
"""What an engine checks: a grounded system, or one with the geometry to ground it at."""
Progress = Callable[[int], None]
"""Told each depth up to which nothing bad was found."""


@dataclass
class Attempt:
    """One engine's way to an answer about one property.

    Args:
        refuted: no run of at most so many steps violates the property (-1: nothing is known).
    """

    engine: str
    subject: Subject
    prop: Property
    clock: Clock = field(default_factory=Clock)
    progress: Progress | None = None
    refuted: int = -1

    def grounded(self) -> GroundSystem:
        """The system at its size.

        Raises:
            OutOfTime: it is not grounded in time.
        """
        return as_grounded(self.subject, self.clock)

    def nothing_within(self, depth: int) -> None:
        """Note that no run of at most so many steps violates the property, and tell whoever wants to know."""
        if depth > self.refuted:
            self.refuted = depth
            if self.progress is not None:
                self.progress(depth)

    def ended(self, why: Reason) -> Unknown:
        """No answer, and why; how far the search came is told."""
        return Unknown(why, self.engine, self.refuted, seconds=self.clock.spent)

    def answer(self, search: Callable[[Attempt], Verdict | None]) -> Verdict:
        """What `search` answers; None stands for nothing bad as far as it looked.

        Raises:
            EngineError: as `search` does.
        """
        try:
            verdict = search(self)
        except OutOfTime as stop:
            return self.ended(stop.why)
        except KeyboardInterrupt:
            return self.ended(INTERRUPTED)
        return HoldsUpTo(self.refuted, self.engine, seconds=self.clock.spent) if verdict is None else verdict


def at_size(subject: Subject) -> tuple[TransitionSystem, Geometry]:
    """The system of a subject, and its size."""
    return (subject.system, subject.geometry) if isinstance(subject, GroundSystem) else subject


def as_grounded(subject: Subject, clock: Clock | None = None) -> GroundSystem:
    """A subject at its size.

    Raises:
        OutOfTime: it is not grounded in time.
    """
    return subject if isinstance(subject, GroundSystem) else ground(*subject, check=(clock or Clock()).check)
