"""One scenario on both tiers: functions of a real kernel tree, and shipped kernel C in their place, with or without the same mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import z3
from msgspec.structs import replace

from tdpcheck.checker.states.explore import Surveyed, survey
from tdpcheck.core.system import Property
from tdpcheck.kernelc.sources.apply import apply
from tdpcheck.kernelc.sources.patch import parse_change
from tdpcheck.kernelc.sources.tree import KernelTree
from tdpcheck.model.lift.lift import lifted_code
from tdpcheck.model.lift.recipe import Recipe, cook, read_recipe
from tdpcheck.model.scenario import Scenario, Thread, shipped_scenarios
from tdpcheck.model.system import Code, KernelSource, Model, build, parse_source, shipped_source
from tdpcheck.properties import PROPERTIES
from tdpcheck.properties.goals import GOALS
from tdpcheck.properties.kernel_assertions import kernel_assertions
from tdpcheck.runner.museum.items import shipped_items

LIFTED = {name: scenario for name, scenario in shipped_scenarios().items() if scenario.needs_kernel}
SCENARIOS = {name: scenario for name, scenario in LIFTED.items() if scenario.design == "linux-6.1-lift"}
LARGE = frozenset(
    f"linux-{version}-lift-{name}" for version in ("6.1", "6.12") for name in ("notifier-two-roots", "fast-zap", "yield-huge")
)
"""Building one of these and visiting its states takes longer than all others together: they are asked by night alone."""
DESIGN = "linux-6.1"
"""The design of shipped kernel C that does what Linux 6.1 does."""
WHOLE_SLOT = {
    "kvm_mmu_slot_try_split_huge_pages": "",
    "kvm_mmu_zap_collapsible_sptes": "kvm_mmu_recover_huge_pages",
    "kvm_mmu_zap_all_fast": "set_nx_huge_pages",
}
"""Entries that take the whole memslot on real source and a range in kernel C, which may call them otherwise."""


def by_day(names: Iterable[str], scenario: Callable[[str], str] = str) -> list[object]:
    """Parameters; what asks a large scenario is for the night."""
    return [pytest.param(name, marks=[pytest.mark.nightly] if scenario(name) in LARGE else []) for name in names]


def recipe_of(name: str) -> Recipe:
    """The recipe of a museum's item."""
    return read_recipe(Path(shipped_items()[name].folder, "recipe.toml").read_text(), name)


@dataclass(frozen=True)
class Mutant:
    """A mistake, as a recipe for real source and as a patch against shipped kernel C."""

    recipe: Path
    patch: Path

    @property
    def read(self) -> Recipe:
        return read_recipe(self.recipe.read_text(), self.recipe.name)


def _mutants() -> dict[str, Mutant]:
    here = Path(__file__).parent / "mutants"
    own = {path.stem: Mutant(path, path.with_suffix(".patch")) for path in sorted(here.glob("*.toml"))}
    # Shipped kernel C recovers huge pages in place; the same omission in the design that zaps them is a patch of its own.
    collapse = Path(shipped_items()["collapse-without-flush"].folder, "recipe.toml")
    return own | {"zap-without-flush": Mutant(collapse, here / "zap-without-flush.patch")}


MUTANTS = _mutants()


def counterpart(name: str) -> Scenario:
    """A scenario on real source, at the same size and from the same start, with shipped kernel C in the threads."""
    return replace(SCENARIOS[name], design=DESIGN, thread=tuple(map(_in_kernel_c, SCENARIOS[name].thread)))


def _in_kernel_c(thread: Thread) -> Thread:
    if thread.entry not in WHOLE_SLOT:
        return thread
    return replace(thread, entry=WHOLE_SLOT[thread.entry] or thread.entry, args={"start": "first", "last": "last"})


@cache
def lifted(tree: KernelTree, name: str, recipe: Path | None = None) -> Model:
    """A scenario on real source, with the mistake of a recipe in it."""
    if recipe is None:
        return build(LIFTED[name], _code(tree))
    read = read_recipe(recipe.read_text(), recipe.name)
    return build(LIFTED[name], lifted_code(tree, {read.file: cook(read, tree)}))


@cache
def _code(tree: KernelTree) -> Code:
    return lifted_code(tree)


@cache
def shipped(name: str, patch: Path | None = None) -> Model:
    """The same scenario in shipped kernel C, with the mistake of a patch in it."""
    files = dict(shipped_source(DESIGN).files)
    if patch is not None:
        for part in parse_change(patch.read_bytes(), patch.name):
            files |= apply(part, files).files
    return build(counterpart(name), parse_source(KernelSource(DESIGN, files)))


def properties_of(made: Model) -> dict[str, Property]:
    return {**PROPERTIES, "kernel_assertions": kernel_assertions(made.system.by_name["assertion_failed"])}


_SEEN: dict[str, Surveyed] = {}


def visited(made: Model) -> Surveyed:
    """Every state, for all properties, and for the goals and ends of the scenario; once a model."""
    if made.digest not in _SEEN:
        _SEEN[made.digest] = _visited(made)
    return _SEEN[made.digest]


def _visited(made: Model) -> Surveyed:
    terms = {name: z3.Not(prop.holds) for name, prop in properties_of(made).items()}
    terms |= {f"goal {goal}": GOALS[goal] for goal in made.scenario.goals}
    terms |= {f"goal {role} ends": made.finished(role) for role in dict.fromkeys(made.roles)}
    return survey(made.system, made.geometry, terms)


def violated(made: Model) -> set[str]:
    """The properties, of all that there are, that some run violates."""
    seen = visited(made)
    assert seen.stats.complete
    return {name for name in properties_of(made) if seen.traces[name] is not None}
