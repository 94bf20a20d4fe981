"""What is said of a claimed race."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from ...counterexamples.schema import Step
from .casting import Column
from .diagram import Entry


class Answer(Enum):
    """Whether it can happen."""

    POSSIBLE = "possible"
    IMPOSSIBLE = "impossible"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Line:
    """An entry of the diagram, and how it was read.

    Args:
        meant: what it is in the kernel C, in short; empty if it was not understood, and then `why` says so.
        unread: words that nothing was made of.
        step: the number of the step of the run that it is, None if there is no run; 0 if it is so at the start.
    """

    entry: Entry
    meant: str
    why: str = ""
    unread: str = ""
    step: int | None = None


@dataclass(frozen=True)
class Race:
    """The answer.

    Args:
        scenario: where the run was found, or where the search came furthest.
        scenarios: everywhere that was searched whole, with how many states there are.
        lines: each entry of the diagram and how it was read.
        steps: the run that contains the race; empty if there is none.
        breaks: what the run violates: each property with what is false at the end of the run, or where it was.
        also: what other runs that contain it violate there.
        asked: the properties that were asked.
        expected: the scenario expects that what is violated is so.
        core: numbers of entries that exclude each other in their order: without any of them the others can happen.
        obstacle: what stands in the way of the last of them.
        reason: why nothing is known, or what the answer leans on.
    """

    answer: Answer
    columns: tuple[Column, ...]
    scenario: str
    scenarios: Mapping[str, int]
    lines: tuple[Line, ...]
    steps: tuple[Step, ...] = ()
    threads: tuple[str, ...] = ()
    start: str = ""
    breaks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    expected: bool = False
    core: tuple[int, ...] = ()
    obstacle: tuple[str, ...] = ()
    reason: str = ""
    seconds: float = 0.0

    @property
    def understood(self) -> bool:
        """Whether every word that could matter was read."""
        return all(line.meant and not line.unread for line in self.lines)
