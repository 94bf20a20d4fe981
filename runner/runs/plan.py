"""What a run is to ask, and how it goes about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...checker.processes import fair_share
from ...kernelc.sources.tree import KernelTree
from ...model.scenario import Scenario
from ..asking.limits import Engines, Limits
from ..inputs.changes import NotUnderstood, Version
from ..inputs.terms import ASSERTIONS
from .cache import Cache

Place = tuple[int, int, str]
"""A question: the numbers of its scenario and version in the plan, and the property."""


@dataclass(frozen=True)
class Plan:
    """What is to be asked.

    Args:
        properties: those that were selected; empty for each scenario's own, and the kernel's assertions.
        versions: the code as it is, then after each patch that is understood.
        refused: the patches that are not.
        jobs: how many processes compute at once.
        cache: where answers are kept from run to run; None asks everything anew.
        spent: seconds that it took to read what is asked: they count for every question.
    """

    scenarios: tuple[Scenario, ...]
    properties: tuple[str, ...]
    versions: tuple[Version, ...]
    refused: tuple[NotUnderstood, ...] = ()
    kernel: KernelTree | None = None
    limits: Limits = field(default_factory=Limits)
    engines: Engines = field(default_factory=Engines)
    jobs: int = 1
    cache: Cache | None = None
    spent: float = 0.0

    @property
    def memory(self) -> int:
        """Megabytes that each process may take beyond what it begins with."""
        return fair_share(self.jobs) if self.limits.memory is None else self.limits.memory

    def asked_in(self, scenario: Scenario) -> tuple[str, ...]:
        """The properties that are asked in a scenario."""
        return self.properties or tuple(dict.fromkeys((*scenario.expect, ASSERTIONS)))

    @property
    def questions(self) -> int:
        return len(self.versions) * sum(len(self.asked_in(s)) for s in self.scenarios)

    def is_told(self, number: int) -> bool:
        """Whether the answers of that version are told: with changes, the code as it is serves for comparison alone."""
        return number > 0 or len(self.versions) == 1

    def name_of(self, scenario: Scenario, number: int) -> str:
        """A scenario in a version, as progress names it."""
        version = self.versions[number]
        return f"{scenario.name} with {version.name}" if version.name else scenario.name
