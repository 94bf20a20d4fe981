"""Functions of a real kernel do only what shipped kernel C does in their place, as far as the state goes that both tiers share."""

from __future__ import annotations

import pytest

from tdpcheck.checker.states.refinement import Refinement, refines
from tdpcheck.kernelc.sources.tree import KernelTree
from tdpcheck.model.machine import cpu, devices, ghosts, host, iommu, locks, tables
from tdpcheck.model.system import Model

from .tiers import MUTANTS, lifted, shipped

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

EVERYTHING = frozenset(var.name for part in (tables, host, cpu, iommu, locks, devices, ghosts) for var in part.STATE)
OBSERVED = EVERYTHING - {
    "rcu_reader",  # how rcu_read_unlock() merges with what is beside it differs; what it protects is observed: rcu_waits, pt_state
    "handles_fault",  # the glue around lifted functions does not say when a vCPU has left the guest
}
LOCKS = {"mmu_writer", "mmu_reader"}
SAME = {
    "eager-split": OBSERVED,
    "fault-split": OBSERVED,
    "notifier-vs-fault": OBSERVED,
    "notifier-yield": OBSERVED - LOCKS,  # see the gap below
}
"""What is observed in each scenario: of properties, those that speak of nothing else are handed down."""


def compared(concrete: Model, abstract: Model, observed: frozenset[str] = OBSERVED) -> Refinement:
    return refines((concrete.system, concrete.geometry), (abstract.system, abstract.geometry), sorted(observed))


@pytest.mark.parametrize("name", SAME)
def test_real_source_does_only_what_shipped_kernel_c_does(tree: KernelTree, name: str) -> None:
    """So what two solvers accepted of the one holds of the other, at this size."""
    scenario = f"linux-6.1-lift-{name}"

    assert compared(lifted(tree, scenario), shipped(scenario), SAME[name]).holds is True


@pytest.mark.parametrize(
    ("name", "steps"), [("notifier-drops-flush", 5), ("yield-without-flush", 3), ("split-unfilled", 1), ("split-by-freeze", 1)]
)
def test_real_source_with_a_mistake_does_more(tree: KernelTree, name: str, steps: int) -> None:
    """A check that accepts everything would be worth nothing; this one says after which step the two part."""
    mutant = MUTANTS[name]
    answer = compared(lifted(tree, mutant.read.scenario, mutant.recipe), shipped(mutant.read.scenario))

    assert answer.holds is False
    assert answer.trace is not None
    assert steps == answer.trace.depth


@pytest.mark.parametrize("name", ["notifier-drops-flush", "yield-without-flush", "split-unfilled"])
def test_with_the_same_mistake_both_do_the_same(tree: KernelTree, name: str) -> None:
    """The correspondence is not of the right code alone."""
    mutant = MUTANTS[name]
    scenario = mutant.read.scenario

    assert compared(lifted(tree, scenario, mutant.recipe), shipped(scenario, mutant.patch)).holds is True


def test_a_known_gap_a_real_walk_yields_where_it_has_zapped_nothing(tree: KernelTree) -> None:
    """Shipped kernel C walks leaves alone, and yields at leaves alone: with the locks in view, that shows. It should not."""
    scenario = "linux-6.1-lift-notifier-yield"
    answer = compared(lifted(tree, scenario), shipped(scenario))

    assert answer.trace is not None
    assert "cond_resched_rwlock_write" in answer.trace.actions[-1]


def test_a_known_gap_a_table_that_is_taken_down_freezes_entry_by_entry(tree: KernelTree) -> None:
    """Shipped kernel C freezes all entries of an unlinked table at once, so a device that still walks it sees less there."""
    scenario = "linux-6.1-lift-collapse-vs-fault"
    answer = compared(lifted(tree, scenario), shipped(scenario), OBSERVED - {"pt_state", "rcu_waits"})

    assert answer.trace is not None
    assert "kvm_tdp_mmu_write_spte_atomic" in answer.trace.actions[-1]
