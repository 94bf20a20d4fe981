"""Clean answers on real code mean something: the steps that a scenario is about are reached, and a false assertion is seen."""

from __future__ import annotations

from functools import cache

import pytest
import z3

from tdpcheck.checker.bounded.bmc import bmc
from tdpcheck.checker.states.explore import Surveyed, survey
from tdpcheck.core.verdict import Violated
from tdpcheck.kernelc.sources.tree import KernelTree
from tdpcheck.model.lift.lift import lifted_code
from tdpcheck.model.lift.recipe import cook, read_recipe
from tdpcheck.model.machine.sorts import g, region_of, root, slot_of, t
from tdpcheck.model.machine.tables import LEAF, TABLE, pmd_kind, pmd_pt, pte_kind
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import Model, build
from tdpcheck.properties.kernel_assertions import kernel_assertions

from .tiers import lifted, violated

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

SMALL_LEAF = z3.Exists(
    [root, g],
    z3.And(pmd_kind(root, region_of(g)) == TABLE, pte_kind(pmd_pt(root, region_of(g)), slot_of(g)) == LEAF),
)
"""Some gfn is mapped by a level-1 leaf."""

VISIBLE = {
    "linux-6.1-lift-fault-split": {
        "fault": "hva_to_pfn mmu_invalidate_retry try_cmpxchg64 WRITE_ONCE tdp_mmu_alloc_sp make_spte qi_submit_iotlb qi_wait"
    },
    "linux-6.1-lift-eager-split": {"split": "try_cmpxchg64 sp->spt[]= __tdp_mmu_alloc_sp_for_split tdp_mmu_free_sp"},
    "linux-6.1-lift-collapse-vs-fault": {
        "collapse": "try_cmpxchg64 xchg list_del call_rcu WRITE_ONCE qi_submit_iotlb qi_wait",
        "fault": "try_cmpxchg64 tdp_mmu_alloc_sp make_spte list_del xchg call_rcu",
    },
    "linux-6.1-lift-notifier-vs-fault": {
        "notifier": "need_resched xchg qi_submit_iotlb_domain qi_wait host_unmap_and_free mmu_invalidate_in_progress_sub",
        "fault": "try_cmpxchg64 make_spte mmu_invalidate_retry",
    },
}
"""Operations that some step of each thread must execute in some run."""


@cache
def explored(tree: KernelTree, name: str) -> tuple[Model, Surveyed]:
    made = lifted(tree, name)
    places = {place.name: z3.Exists([t], made.software.pc(t) == made.software.at(place.name)) for place in made.software.locations}
    return made, survey(made.system, made.geometry, {**places, "small leaf": SMALL_LEAF})


@pytest.mark.parametrize(("name", "role"), [(name, role) for name, roles in VISIBLE.items() for role in roles])
def test_each_thread_does_what_its_scenario_is_about(tree: KernelTree, name: str, role: str) -> None:
    """A wrong constant could keep a thread from ever writing an entry, and every answer would be clean and mean nothing."""
    made, seen = explored(tree, name)
    steps = [step for step in made.software.steps.values() if step.role == role and seen.stats.fired[step.action]]
    nodes = made.software.graphs[role].nodes
    executed = {getattr(nodes[number], "name", "") for step in steps for number, _ in step.effects}

    assert seen.stats.complete
    assert set() == set(VISIBLE[name][role].split()) - executed


@pytest.mark.parametrize("name", ["linux-6.1-lift-fault-split", "linux-6.1-lift-eager-split"])
def test_a_split_ends_in_small_leaves(tree: KernelTree, name: str) -> None:
    """The fault links a table and maps its page in it; the eager split links a table that is full."""
    assert explored(tree, name)[1].traces["small leaf"] is not None


@pytest.mark.parametrize(
    ("name", "role"), [("linux-6.1-lift-collapse-vs-fault", "collapse"), ("linux-6.1-lift-notifier-vs-fault", "notifier")]
)
def test_where_a_thread_never_rests_is_where_this_start_cannot_lead(tree: KernelTree, name: str, role: str) -> None:
    """What is not reached is the treatment of tables that this scenario does not begin with; no function is missed as a whole."""
    made, seen = explored(tree, name)
    places = [place for place in made.software.locations if place.role == role]
    reached = {place.at.function for place in places if seen.traces[place.name] is not None}

    assert {place.at.function for place in places} == reached


HELPER = """
file = "arch/x86/kvm/mmu/tdp_mmu.c"
scenario = "linux-6.1-lift-eager-split"
property = "kernel_assertions"

[[edit]]
function = "tdp_mmu_split_huge_pages_root"
call = "tdp_mmu_split_huge_page"
argument = 4
replace = "false"
"""


def test_an_exclusive_helper_under_the_shared_lock_fails_lockdep(tree: KernelTree) -> None:
    """The kernel's own assertions are properties for free: the eager split told that it has the lock for itself."""
    recipe = read_recipe(HELPER, "helper")
    made = build(shipped_scenarios()[recipe.scenario], lifted_code(tree, {recipe.file: cook(recipe, tree)}))
    verdict = bmc((made.system, made.geometry), kernel_assertions(made.system.by_name["assertion_failed"]), 6)

    assert isinstance(verdict, Violated)
    assert 1 == verdict.trace.depth
    assert any("lockdep_assert_held_write" in label for label in made.software.assertions)


def test_only_what_is_a_huge_leaf_can_be_split(tree: KernelTree) -> None:
    """The kernel warns and makes nothing of an empty entry; a meaning that made leaves of it hid a table that stays empty."""
    edit = 'function = "tdp_mmu_split_huge_page"\ncall = "make_huge_page_split_spte"\nargument = 2\nreplace = "0"\n'
    recipe = read_recipe(HELPER.partition("[[edit]]")[0] + "[[edit]]\n" + edit, "nothing to split")
    made = build(shipped_scenarios()[recipe.scenario], lifted_code(tree, {recipe.file: cook(recipe, tree)}))

    assert {"kernel_assertions", "atomic_hugepage_split", "flush_before_release"} == violated(made)
