"""Threads that go round for ever cost every approval of a scenario; loops that come to an end cost none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tdpcheck import Change, Run, verify
from tdpcheck.tests.calling import Call, diff

Patch = Callable[..., str]

ONCE = "\tret = direct_page_fault(kvm, vcpu_mmu_root(vcpu), &fault);\n"
TILL_MAPPED = (
    "\tdo {\n\t\tret = direct_page_fault(kvm, vcpu_mmu_root(vcpu), &fault);\n\t} while (ret != RET_PF_FIXED && ret != RET_PF_SPURIOUS);\n"
)
GIVES_UP = "\tif (root->role.invalid) {\n\t\twrite_unlock(&kvm->mmu_lock);\n\t\treturn -EAGAIN;\n\t}\n"
YIELDS = "\t\twrite_unlock(&kvm->mmu_lock);\n\t\twrite_lock(&kvm->mmu_lock);\n\t}\n"
FROZEN = "\tif (is_removed_spte(iter.old_spte))\n\t\tgoto retry;\n\tif (iter.old_spte == new_spte) {\n"
TILL_THAWED = (
    "again:\n\tif (is_removed_spte(iter.old_spte)) {\n\t\titer.old_spte = kvm_tdp_mmu_read_spte(iter.sptep);\n\t\tgoto again;\n\t}\n"
    "\tif (iter.old_spte == new_spte) {\n"
)


def asked(scenario: str, file: str, old: str, new: str) -> Run:
    return verify(scenario, "kernel_assertions", change=Change("c.patch", diff(file, old, new).encode()), certify=False, cache=False)


@pytest.mark.slow
def test_a_fault_that_retries_while_its_memslot_goes_is_a_livelock(call: Call, patch: Patch) -> None:
    """The deletion waits for the fault to be over, the fault for the memslot to be valid: nobody stands still, so it is no deadlock."""
    path = patch("mmu.c", ONCE, TILL_MAPPED)
    ask = ("verify", "--scenario", "memslot-delete-vs-fault", "--property", "no_stale_io_mapping", "--no-certify", "--change", path)

    short, printed, result = call(*ask), call(*ask, "-v"), call(*ask, "--json")

    (found,) = json.loads(result.stdout)["results"]
    first = found["livelock"]["circles"][0]
    assert ("unknown", "livelock", 3, 3) == (found["verdict"], found["kind"], result.exit_code, printed.exit_code)
    assert found["reason"].startswith("livelock: among ")
    assert (True, False) == (found["deadlock"]["free"], found["livelock"]["free"])
    assert ["fault"] == list(first["going"])
    assert "kvm_faultin_pfn" in first["going"]["fault"]
    assert "srcu_gp_wait(&kvm->srcu)" in first["threads"]["delete"]
    assert {"fault"} == {step["actor"] for step in first["trace"][first["loop"] :]}
    assert "Unknown (livelock)" in short.stdout
    assert "delete waits at kvm_main.c:" in short.stdout
    assert "deadlock: none, but threads go round for ever:" in printed.stdout
    assert "delete waits at kvm_main.c:" in printed.stdout


@pytest.mark.parametrize(
    ("scenario", "file", "old", "new", "who"),
    [
        # It gives the lock back, and waits for what nobody does.
        ("share-vs-fast-zap", "tdp_fd.c", GIVES_UP, f"\twhile (root->role.invalid) {{\n{YIELDS}", "share goes round in kvm_create_tdp_fd"),
        # What is frozen in a table that was unlinked stays so, and whoever waits for it holds up RCU, which frees the table.
        pytest.param("collapse-vs-fault", "tdp_mmu.c", FROZEN, TILL_THAWED, "goes round in kvm_tdp_mmu_map", marks=pytest.mark.slow),
    ],
    ids=["flag", "frozen"],
)
def test_who_waits_in_a_loop_for_what_nobody_does_is_named(scenario: str, file: str, old: str, new: str, who: str) -> None:
    (found,) = asked(scenario, file, old, new).document.results

    assert ("unknown", "livelock", True) == (found.verdict, found.kind, found.deadlock.free)
    assert who in (found.reason or "")


@pytest.mark.parametrize(
    ("scenario", "file", "old", "new"),
    [
        # How often it has to reschedule is chance.
        ("share-vs-notifier", "tdp_fd.c", GIVES_UP, f"{GIVES_UP}\twhile (need_resched()) {{\n{YIELDS}"),
        # An invalidation ends, and the fault that waits for it maps.
        pytest.param("notifier-vs-fault", "mmu.c", ONCE, TILL_MAPPED, marks=pytest.mark.slow),
        # One of two faults gets its entry in, and the other one sees it; memory is found in the end.
        pytest.param("two-faults", "mmu.c", ONCE, TILL_MAPPED, marks=pytest.mark.slow),
    ],
    ids=["resched", "notifier", "two faults"],
)
def test_a_loop_that_comes_to_an_end_costs_nothing(scenario: str, file: str, old: str, new: str) -> None:
    (found,) = asked(scenario, file, old, new).document.results

    assert "holds_up_to" == found.verdict
    assert (True, True) == (found.deadlock.free, found.livelock.free)


@pytest.mark.slow
def test_a_scenario_may_say_that_a_thread_goes_round(call: Call, patch: Patch, tmp_path: Path) -> None:
    path = patch("tdp_fd.c", GIVES_UP, f"\twhile (root->role.invalid) {{\n{YIELDS}")
    lines = (Path(__file__).parents[2] / "model" / "scenarios" / "share-vs-fast-zap.toml").read_text().splitlines(keepends=True)
    declared = tmp_path / "mine.toml"
    declared.write_text("".join([*lines[:2], 'stuck = ["share"]\n', *lines[2:]]))

    result = call("verify", "--scenario", str(declared), "--property", "kernel_assertions", "--no-certify", "--change", path, "--json")

    (found,) = json.loads(result.stdout)["results"]
    assert found["livelock"]["free"] is False
    assert all(circle["declared"] for circle in found["livelock"]["circles"])
    assert "livelock" != found["kind"]
