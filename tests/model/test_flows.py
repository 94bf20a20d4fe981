"""The matrix of flows: every flow with every other one from every start, and every property asked in each cell."""

from __future__ import annotations

from functools import cache

import pytest
import z3

from tdpcheck.checker.states.explore import survey
from tdpcheck.core.errors import InputError
from tdpcheck.model.flows import APART, FLOWS, STARTS, known_hole
from tdpcheck.model.scenario import Scenario, shipped_scenarios
from tdpcheck.model.system import Model, build, parse_source, shipped_source
from tdpcheck.properties import REGISTRY
from tdpcheck.runner.inputs.changes import Version
from tdpcheck.runner.inputs.matrix import asked_of_a_cell, chosen_cells, every_cell
from tdpcheck.runner.inputs.sources import files_of
from tdpcheck.runner.inputs.terms import ends_of
from tdpcheck.tests.few import drawn

BY_DAY = 10
"""How many cells are visited; at night, all of them."""
CELLS = every_cell()
ASKED = asked_of_a_cell()


def violations(scenario: Scenario, edits: dict[str, tuple[str, str]] | None = None) -> dict[str, int]:
    """The properties that are violated in a cell, each with its depth, after edits of the kernel C: file to (old, new)."""
    made = model(scenario.name, tuple((file, *edit) for file, edit in (edits or {}).items()))
    terms = {name: z3.Not(REGISTRY[name].at(made).holds) for name in scenario.expect}
    found = survey(made.system, made.geometry, terms, ends=ends_of(made))
    assert found.stats.complete
    assert not found.stuck, "a thread never goes on"
    return {name: trace.depth for name, trace in found.traces.items() if trace is not None}


@cache
def model(name: str, edits: tuple[tuple[str, str, str], ...]) -> Model:
    source = shipped_source("shared")
    files = dict(source.files)
    for file, old, new in edits:
        assert 1 == files[file].count(old), f"{old!r} stands {files[file].count(old)} times in {file}"
        files[file] = files[file].replace(old, new)
    return build(CELLS[name], parse_source(type(source)(source.design, files)))


def test_every_entry_function_of_a_story_is_a_flow() -> None:
    """A story may not run what the matrix has never heard of."""
    entries = {thread.entry for s in shipped_scenarios().values() if not s.needs_kernel and s.design == "shared" for thread in s.thread}

    assert entries <= {flow.entry for flow in FLOWS}


def test_the_matrix_has_each_pair_that_the_model_can_run() -> None:
    """A pair that is left out is left out with its reason."""
    roles = [flow.role for flow in FLOWS]
    pairs = {frozenset((a, b)) for a in roles for b in roles if a != b}
    there = {frozenset(name.partition("@")[0].split("+")) for name in CELLS}
    never = {frozenset(("share", b)) for b in ("io_fault", "delete", "attach")}

    assert pairs - there == set(APART) | never, "who shares begins where nothing is shared, and these where something is"
    assert {frozenset((role,)) for role in roles} <= there


def test_flows_that_are_kept_apart_are_refused_by_the_model() -> None:
    """The list of those must not be longer than the model's."""
    for roles in APART:
        one, other = sorted(roles)
        by_role = {flow.role: flow for flow in FLOWS}
        threads = tuple(thread for role in (one, other) for thread in CELLS[f"{by_role[role].role}@pages"].thread)
        cell = CELLS["delete@pages"]
        together = Scenario(**{**{f: getattr(cell, f) for f in cell.__struct_fields__}, "thread": threads})
        with pytest.raises(InputError, match="wait for each other"):
            build(together, parse_source(shipped_source("shared")))


def test_every_start_begins_as_it_says() -> None:
    """A start that maps nothing would make half of the cells empty."""
    assert {"pages", "huge", "empty", "private"} == set(STARTS)
    for name, (start, _) in STARTS.items():
        assert bool(start.exported) == start.attached == (name != "private")


@pytest.mark.parametrize("name", drawn(CELLS, BY_DAY))
def test_a_cell_holds_all_that_it_is_asked(name: str) -> None:
    """What is violated is what is known to be: a part of a huge leaf cannot be unmapped alone."""
    roles, _, start = name.partition("@")
    expected = {"atomic_hugepage_split"} if known_hole(roles.split("+"), start) else set()

    assert expected == set(violations(CELLS[name]))


CONTINUE = "\t\t\tflush = false;\n\t\t\tcontinue;\n\t\t}\n\t\ttdp_mmu_set_spte"
GOES_ON = "\t\t\tflush = false;\n\t\t}\n\t\ttdp_mmu_set_spte"
READ = "\t\titer.min_level = PG_LEVEL_4K;\n\t\ttdp_iter_read(&iter);\n"
FREE = "\t\t\tif (!tdp_mmu_link_sp(kvm, &iter, sp)) {\n\t\t\t\ttdp_mmu_free_sp(sp);\n"
RELOAD, FLUSH = "kvm_make_all_cpus_request(kvm, KVM_REQ_MMU_FREE_OBSOLETE_ROOTS);", "kvm_make_all_cpus_request(kvm, KVM_REQ_TLB_FLUSH);"
NOTIFY = "\tkvm_tdp_fd_flush_notify(kvm)"
ENDS = "\tmmu_invalidate_in_progress_sub(kvm);\n"
LOCKED = f"\twrite_lock(&kvm->mmu_lock);\n{ENDS}\twrite_unlock(&kvm->mmu_lock);\n"
PUT = "kvm_put_tdp_root(root);\n"
OF_INVALID = f"\t\tif (root->role.invalid)\n\t\t\t{PUT}"
WINDOW = "\tmmu_invalidate_in_progress_add(kvm, start, last);\n"
ZAPS = "\t\ttdp_mmu_set_spte(kvm, &iter, 0);\n"
MARKS, SETS = "\troot->exported = true;\n", "\tkvm_tdp_set_exported(kvm);\n"
FREES = "\t\t\t\ttdp_mmu_free_sp(sp);\n"
SHORT = "\t\trcu_read_unlock();\n\t\trcu_read_lock();\n"
DROPS = "\t\twrite_unlock(&kvm->mmu_lock);\n"
REFUSES = f"\t\tnote_refused();\n{DROPS}\t\treturn -EINVAL;\n"
UNLISTS = "\t\tunlock_exported_tdplist_lock(&kvm->exported_tdplist_lock);\n"
LISTED = f"{UNLISTS}\t\tkvm_domain_attach_device(kvm, dev);\n"
RELEASES = "\tread_unlock(&kvm->mmu_lock);\n"
RECOVERS = f"\tkvm_tdp_mmu_recover_huge_pages(kvm, start, last);\n{RELEASES}"
PUTS = "\tkvm_tdp_mmu_zap_invalidated_roots(kvm);\n"
QUICK = ("leak", "no-reload", "mutex-kept")
BUGS = [
    ("stale-iterator", "notifier+recover@pages", "tdp_mmu.c", CONTINUE, GOES_ON, "no_table_use_after_free"),
    ("rcu-too-short", "fault+recover@pages", "tdp_mmu.c", READ, READ + SHORT, "no_table_use_after_free"),
    ("double-free", "fault+fault@empty", "tdp_mmu.c", FREE, FREE + FREES, "no_table_use_after_free"),
    ("leak", "fault+fault@empty", "tdp_mmu.c", FREE, FREE.replace(FREES, ""), "no_table_leak"),
    ("never-handed-to-rcu", "recover@pages", "tdp_mmu.c", "\tcall_rcu_free_sp(sp);\n", "", "no_table_leak"),
    ("no-reload", "fast_zap@private", "mmu.c", f"\t{RELOAD}\n", "", "no_stale_cpu_mapping"),
    ("no-cpu-flush", "notifier@private", "kvm_main.c", f"\t{FLUSH}\n{NOTIFY}", NOTIFY, "no_stale_cpu_mapping"),
    ("window-ends-unlocked", "notifier@pages", "kvm_main.c", LOCKED, ENDS, "kernel_assertions"),
    ("puts-a-valid-root", "fast_zap@huge", "mmu.c", OF_INVALID, f"\t\t{PUT}", "kernel_assertions"),
    ("lock-kept", "share+register@private", "tdp_fd.c", REFUSES, REFUSES.replace(DROPS, ""), "kernel_assertions"),
    ("mutex-kept", "share@private", "tdp_fd.c", LISTED, LISTED.replace(UNLISTS, ""), "kernel_assertions"),
    ("dropped-twice", "recover@pages", "mmu.c", RECOVERS, f"{RECOVERS}\tread_unlock(&kvm->mmu_lock);\n", "kernel_assertions"),
    ("roots-unlocked", "fast_zap@huge", "mmu.c", PUTS + RELEASES, RELEASES + PUTS, "kernel_assertions"),
    ("no-window", "io_fault+exit@pages", "mmu.c", WINDOW, "", "no_stale_io_mapping"),
]


@pytest.mark.parametrize(
    ("cell", "file", "old", "new", "prop"),
    [pytest.param(*bug, id=name, marks=[] if name in QUICK else pytest.mark.slow) for name, *bug in BUGS],
)
def test_a_bug_is_found_in_the_cell_where_its_flows_meet(cell: str, file: str, old: str, new: str, prop: str) -> None:
    """None of these was seen by a scenario written by hand, or by a property that one asked."""
    assert prop in violations(CELLS[cell], {file: (old, new)})


@pytest.mark.slow
def test_what_no_run_comes_to_is_no_violation() -> None:
    """One fault alone never loses the race for the entry: what stands behind that is not executed."""
    assert {} == violations(CELLS["fault@empty"], {"tdp_mmu.c": (FREE, FREE + FREES)})


TO_FLUSH, UNLESS_INVALID = f"{ZAPS}\t\tflush = true;\n", f"{ZAPS}\t\tif (!root->role.invalid)\n\t\t\tflush = true;\n"
RIGHT = [
    ("invalid-roots-need-no-flush", "notifier+fast_zap@private", "tdp_mmu.c", TO_FLUSH, UNLESS_INVALID),
    ("another-order-under-the-lock", "share+register@private", "tdp_fd.c", MARKS + SETS, SETS + MARKS),
]


@pytest.mark.slow
@pytest.mark.parametrize(("cell", "file", "old", "new"), [pytest.param(*edit, id=name) for name, *edit in RIGHT])
def test_what_is_right_stays_clean(cell: str, file: str, old: str, new: str) -> None:
    """A check that fires at everything finds everything."""
    assert {} == violations(CELLS[cell], {file: (old, new)})


def test_a_state_that_the_lock_hides_is_no_violation() -> None:
    """Exported while non-coherent DMA is registered, inside one write-locked section that rolls back: nobody can see it."""
    text = shipped_source("shared").files["tdp_fd.c"]
    old = text[
        text.index("\tif (kvm_arch_has_noncoherent_dma(kvm)) {") : text.index("\troot->exported = true;\n\tkvm_tdp_set_exported(kvm);\n")
    ]
    rolls_back = "\tkvm_tdp_set_exported(kvm);\n" + old.replace("\t\twrite_unlock", "\t\tkvm_tdp_clear_exported(kvm);\n\t\twrite_unlock")

    assert {} == violations(CELLS["share+register@private"], {"tdp_fd.c": (old, rolls_back)})
    forgets = rolls_back.replace("\t\tkvm_tdp_clear_exported(kvm);\n", "", 1)
    assert "reject_noncoherent_dma" in violations(CELLS["share+register@private"], {"tdp_fd.c": (old, forgets)})


def version(file: str, old: str, new: str) -> Version:
    files = {name: files_of(None)[name] for name in files_of(None)}
    assert old in files[file]
    return Version({**files, file: files[file].replace(old, new)}, "a")


def test_a_change_is_asked_in_the_cells_of_the_flows_that_run_it() -> None:
    """Only the VMM's exit runs kvm_mmu_zap_all(); everybody who zaps leaves runs tdp_mmu_zap_leafs()."""
    same = Version(files_of(None))
    exits = chosen_cells(versions=(same, version("mmu.c", f"{WINDOW}\tfor_each", "\tfor_each")))
    asserts = "\tlockdep_assert_held_write(&kvm->mmu_lock);\n\trcu_read_lock();\n"
    zaps = chosen_cells(versions=(same, version("tdp_mmu.c", asserts, "\trcu_read_lock();\n")))

    assert {name for name in CELLS if "exit" in name} == {s.name for s in exits}
    alone = {s.name.partition("@")[0] for s in zaps if "+" not in s.name}
    assert {"notifier", "part", "fast_zap", "delete", "exit"} == alone


def test_a_change_of_no_flow_is_said_to_be_one() -> None:
    same = Version(files_of(None))
    with pytest.raises(InputError, match="touches no function of these flows"):
        chosen_cells(versions=(same, version("mmu.c", "/* An EPT violation of a vCPU.", "/* An EPT violation of some vCPU.")))


def test_flows_and_starts_are_chosen_by_name() -> None:
    chosen = chosen_cells(("recover",), ("huge",))

    assert all("recover" in s.name and s.name.endswith("@huge") for s in chosen)
    assert len(chosen) == len([name for name in CELLS if "recover" in name and name.endswith("@huge")])
    with pytest.raises(InputError, match="there is no flow 'recovery'; did you mean recover"):
        chosen_cells(("recovery",))
    with pytest.raises(InputError, match="there is no start 'hugh'; did you mean huge"):
        chosen_cells((), ("hugh",))
