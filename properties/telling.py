"""What a property needs to be told: which of its instances are false in a state, and what led there, in sentences about a run.

Nothing is said that is not in the run: each clause is made from a step that was looked up in the states, and an event that did not happen
leaves its clause out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Protocol

from ..model.machine.host import frame_free
from ..model.machine.tables import pmd_kind, pmd_pt, pte_kind
from ..model.scene import Scene
from ..model.view.naming import cell, listed
from ..model.view.state_view import Value

Test = Callable[[Scene], bool]


@dataclass(frozen=True)
class Wrong:
    """One way in which a property is false: a sentence, of what it speaks (`at`), and which cells show it."""

    sentence: str
    at: Mapping[str, Value] = field(default_factory=dict)
    cells: tuple[str, ...] = ()


class Source(Protocol):
    """A statement of kernel C; `callers` are the functions through which its thread came to it, the entry function first."""

    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def function(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def callers(self) -> tuple[str, ...]: ...


class Step(Protocol):
    """A step of a run as it is told: who takes it, what it is called, what it does, and the statements that it executes."""

    @property
    def number(self) -> int: ...
    @property
    def actor(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def effects(self) -> tuple[str, ...]: ...
    @property
    def sources(self) -> tuple[Source, ...]: ...


class Run:
    """A run, asked when something became so; of each state there is a scene, and steps are counted from 1."""

    def __init__(self, scenes: Sequence[Scene], steps: Sequence[Step]) -> None:
        self.scenes = scenes
        self.steps = steps

    @property
    def depth(self) -> int:
        return len(self.steps)

    @property
    def end(self) -> Scene:
        return self.scenes[-1]

    def since(self, test: Test) -> int:
        """The step since which `test` holds until the end.

        0 if it has held from the start, and one more than there are steps if it does not hold at the end.
        """
        number = len(self.scenes)
        while number and test(self.scenes[number - 1]):
            number -= 1
        return number

    def happened(self, test: Callable[[Scene, Scene], bool], after: int = 0) -> int | None:
        """The last step later than `after` between whose states `test` holds."""
        for number in range(len(self.scenes) - 1, after, -1):
            if test(self.scenes[number - 1], self.scenes[number]):
                return number
        return None

    def who(self, number: int) -> str:
        return self.steps[number - 1].actor

    def ended(self, test: Test) -> int | None:
        """The step since which `test` is false for good; None if it never held."""
        number = self.since(lambda s: not test(s))
        return number if 0 < number < len(self.scenes) else None


@dataclass(frozen=True)
class Teller:
    """Who tells of a false instance.

    Args:
        about: of what the instance must speak, by the names in its `at`; elements alone.
        tell: handed the run, the instance and these elements, in this order; says nothing ('') where the run does not bear it out.
    """

    about: tuple[str, ...]
    tell: Callable[..., str]


def chain(run: Run, events: Sequence[tuple[int | None, str]]) -> str:
    """Events in the order of their steps as one sentence, each with its actor, who is named once where it goes on acting."""
    clauses: list[str] = []
    last = ""
    for number, what in sorted((n, w) for n, w in events if n is not None and 0 < n < len(run.scenes)):
        who = run.who(number)
        clauses.append(f"{'' if who == last else who + ' '}{what} (step {number})")
        last = who
    if not clauses:
        return ""
    return (", then ".join(clauses) if len(clauses) < 3 else f"{', '.join(clauses[:-1])}, then {clauses[-1]}") + "."


def step_effect(run: Run, number: int) -> str:
    """The entry that a step changes, or what else it is called."""
    step = run.steps[number - 1]
    entries = [e for e in step.effects if "->" in e]
    return entries[0] if entries else step.label


def statement(run: Run, number: int, pattern: re.Pattern[str]) -> Source | None:
    """The statement of a step that matches."""
    return next((s for s in run.steps[number - 1].sources if pattern.search(s.text)), None)


def place(at: Source | None, *, called: bool = True) -> str:
    """' at FILE:LINE in f(), called by g()': where a statement stands, and through which functions its thread came there."""
    if at is None:
        return ""
    by = "".join(f", called by {caller}()" for caller in reversed(at.callers)) if called else ""
    return f" at {PurePosixPath(at.file).name}:{at.line} in {at.function}(){by}"


def owner_now(end: Scene, frame: int) -> str:
    """Whose a frame is in the end."""
    return ", which is free" if end.is_set(frame_free, frame) else f", which now belongs to {end.holder(frame)}"


def devices(end: Scene, iommu: int) -> str:
    """The devices whose DMA an IOMMU translates."""
    return listed([f"device {d}" for d in end.devices_of(iommu)])


def lower_cell(scene: Scene, root: int, gfn: int) -> tuple[str, ...]:
    """The cell of the level-1 entry of a walk, if there is one."""
    at = (root, scene.region_of(gfn))
    return (cell(pte_kind, scene.number(pmd_pt, *at), scene.slot_of(gfn)),) if scene.word(pmd_kind, *at) == "table" else ()
