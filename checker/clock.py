"""The clock of a question: started once, and asked by whoever works on it how much time is left."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from ..core.verdict import TIME_IS_UP, Reason

T = TypeVar("T")


class OutOfTime(Exception):
    """There is no answer, because the time is up or the solver gave up: why."""

    def __init__(self, why: Reason = TIME_IS_UP) -> None:
        super().__init__(why)
        self.why = why


@dataclass
class Clock:
    """Counts the seconds since it was made.

    Args:
        timeout: how many there are, None for as many as it takes.
    """

    timeout: float | None = None
    start: float = field(default_factory=lambda: time.monotonic())

    @property
    def spent(self) -> float:
        return time.monotonic() - self.start

    @property
    def left(self) -> float | None:
        """The seconds that are left, None for any number."""
        return None if self.timeout is None else max(0.0, self.timeout - self.spent)

    @property
    def is_up(self) -> bool:
        """Whether no time is left."""
        return self.timeout is not None and self.spent > self.timeout

    def longer(self, seconds: float) -> Clock:
        """A clock that began with this one and has more time."""
        return self if self.timeout is None else Clock(self.timeout + seconds, self.start)

    def check(self) -> None:
        """Do nothing while there is time.

        Raises:
            OutOfTime: there is none left.
        """
        if self.is_up:
            raise OutOfTime

    def during(self, values: Iterable[T]) -> Iterator[T]:
        """The values, for as long as there is time.

        Raises:
            OutOfTime: there is none left, and there are more of them.
        """
        for value in values:
            self.check()
            yield value

    def milliseconds(self) -> int | None:
        """What a solver may take for its next question, at least 1; None for as long as it takes.

        Raises:
            OutOfTime: there is no time left.
        """
        left = self.left
        if left is None:
            return None
        if left <= 0:
            raise OutOfTime
        return max(1, int(left * 1000))
