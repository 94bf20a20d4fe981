"""Functions taken verbatim from Linux 6.12: what they do as they stand, and that a known bug among them is found.

Why the answers are what they should be, by 6.12's source: a fault below a huge leaf builds the table with all its small leaves before one
exchange links it (`kvm_tdp_mmu_map()` calls `tdp_mmu_split_huge_page()`), so nothing is missing in between, where 6.1 freezes, flushes and
empties the entry first. The collapse still zaps the table and leaves the rest to the next fault (`zap_collapsible_spte_range()`). A zap
freezes, flushes, empties, and only then takes the table below apart (`tdp_mmu_zap_spte_atomic()`).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.core.trace import replays
from tdpcheck.kernelc.sources.tree import KernelTree
from tdpcheck.model.lift.coverage import coverage
from tdpcheck.model.lift.lift import for_tree, lifted_code, scenarios_of
from tdpcheck.model.lift.recipe import cook, read_recipe
from tdpcheck.model.lift.versions import kernel_of
from tdpcheck.model.system import build
from tdpcheck.runner.museum.items import shipped_items

from .tiers import LIFTED, by_day, lifted, properties_of, visited

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

SCENARIOS = {name: scenario for name, scenario in LIFTED.items() if scenario.design == "linux-6.12-lift"}


def test_the_tree_is_known_by_what_stands_in_it(tree_6_12: KernelTree) -> None:
    """Every scenario of 6.1 has a counterpart, and no struct, helper or name is missing."""
    assert kernel_of(tree_6_12).version.name == "6.12"
    assert set(SCENARIOS) == set(scenarios_of(tree_6_12))
    assert set(SCENARIOS) == {for_tree(s, tree_6_12).name for s in LIFTED.values() if s.design == "linux-6.1-lift"}
    code = lifted_code(tree_6_12)
    assert {"kvm_flush_remote_tlbs_gfn (mmu_internal.h)", "gfn_round_for_level (mmu_internal.h)"} <= set(code.lifted)
    assert code.structs["kvm_gfn_range"].fields[0][0] == "slot"


@pytest.mark.parametrize("name", by_day(SCENARIOS))
def test_the_kernel_as_it_stands_answers_as_the_scenario_says(tree_6_12: KernelTree, name: str) -> None:
    """6.12 splits in place, at fault time and eagerly; its collapse is no atomic one; nothing else is wrong with it here."""
    made = lifted(tree_6_12, name)
    seen = visited(made)
    violated = {p for p in properties_of(made) if seen.traces[p]}

    assert seen.stats.complete
    assert {p for p, word in SCENARIOS[name].expect.items() if word == "violated"} == violated
    assert [] == [term for term, trace in seen.traces.items() if term.startswith("goal ") and trace is None]


@pytest.mark.parametrize("item", ["collapse-without-flush"])
def test_a_known_bug_cooked_into_real_source_is_found(tree_6_12: KernelTree, item: str) -> None:
    """The recipe of 6.1 fits where the code still has that shape: the edit is the only difference."""
    read = read_recipe(Path(shipped_items()[item].folder, "recipe.toml").read_text(), item)
    scenario = for_tree(LIFTED[read.scenario], tree_6_12)
    made = build(scenario, lifted_code(tree_6_12, {read.file: cook(read, tree_6_12)}))
    trace = visited(made).traces[read.property]

    assert trace is not None
    assert replays(trace, properties_of(made)[read.property])
    assert visited(lifted(tree_6_12, scenario.name)).traces[read.property] is None


@pytest.mark.nightly
def test_a_walk_that_steps_on_after_it_was_resumed_leaves_a_huge_leaf_out(tree_6_12: KernelTree) -> None:
    """The fix of Linux 5.16 that does not advance an iterator after its restart, taken back; one region has nothing to leave out."""
    file, name = "arch/x86/kvm/mmu/tdp_iter.c", "linux-6.12-lift-yield-huge"
    lines = tree_6_12.read(file).splitlines(keepends=True)
    begins = next(n for n, line in enumerate(lines) if line.startswith("void tdp_iter_next("))
    leaves = next(n for n in range(begins, len(lines)) if lines[n].strip() == "return;")
    lines[leaves] = "\n"
    made = build(SCENARIOS[name], lifted_code(tree_6_12, {file: "".join(lines)}))
    trace = visited(made).traces["no_stale_spte"]

    assert trace is not None
    assert replays(trace, properties_of(made)["no_stale_spte"])


def test_what_of_the_tree_is_in_the_model(tree_6_12: KernelTree) -> None:
    """Each function has one fate, and a reason that is true of it."""
    files = {file.path.rpartition("/")[2]: file for file in coverage(tree_6_12)}
    found = {(name, f.name): (f.fate, f.why) for name, file in files.items() for f in file.functions}

    assert found["tdp_mmu.c", "tdp_mmu_zap_spte_atomic"] == ("lifted", "runs in collapse-vs-fault")
    assert found["mmu_internal.h", "kvm_flush_remote_tlbs_gfn"][0] == "lifted"
    assert found["spte.h", "is_frozen_spte"][0] == "intrinsic"
    assert found["kvm_main.c", "kvm_flush_remote_tlbs"] == ("ours", "kvm_main.c has it in our words")
    assert found["tdp_mmu.c", "kvm_tdp_mmu_zap_all"] == ("not modelled", "no scenario calls it")
    assert found["tdp_mmu.c", "tdp_mmu_init_sp"][1].startswith("it cannot be read: ")
    assert found["vmx.c", "vmx_flush_tlb_all"] == ("not modelled", "no function of this file is lifted")
    assert len(files["tdp_iter.c"].functions) == files["tdp_iter.c"].count("lifted") == 8
    assert found["tdp_mmu.c", "tdp_mmu_zap_root"] == ("lifted", "runs in fast-zap")
    assert {(name, f.count("lifted")) for name, f in files.items() if f.count("lifted")} == told_in_the_manual("6.12")


def told_in_the_manual(version: str) -> set[tuple[str, int]]:
    """How many functions of each file are lifted by the table of docs/real-patches.md."""
    page = (Path(__file__).parents[2] / "docs" / "real-patches.md").read_text(encoding="utf-8")
    rows = re.findall(rf"^\| {re.escape(version)} \| `(?:.*/)?([\w.]+)` \| \d+ \| ([1-9]\d*) \|", page, re.MULTILINE)
    return {(name, int(count)) for name, count in rows}


def test_a_tree_of_another_kind_says_what_was_looked_for(tree_6_12: KernelTree) -> None:
    """Newer kernels recover huge pages by another function: one line says which one is not there."""
    path = "arch/x86/kvm/mmu/tdp_mmu.c"

    def read(name: str) -> bytes:
        return tree_6_12.read(name).replace("kvm_tdp_mmu_zap_collapsible_sptes", "kvm_tdp_mmu_recover_huge_pages").encode()

    newer = KernelTree("newer", "6.13.0", read)
    with pytest.raises(
        InputError, match=r"newer \(Linux 6.13.0\) has no kvm_tdp_mmu_zap_collapsible_sptes\(struct kvm \*, struct"
    ) as error:
        lifted_code(newer)
    assert path in str(error.value)
    assert "trees like Linux 6.1, 6.12" in str(error.value)
