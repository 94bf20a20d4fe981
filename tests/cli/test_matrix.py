"""`verify --matrix` as it is printed and answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tdpcheck.tests.calling import Call, diff

FEW = ("--matrix", "--flow", "attach", "--start", "huge")
SMALL = ("--matrix", "--flow", "register", "--start", "private", "--property", "reject_noncoherent_dma")


@pytest.mark.slow
def test_the_table_has_a_mark_for_each_pair_and_one_line_for_what_is_known(call: Call) -> None:
    done = call("verify", *FEW, "--property", "atomic_hugepage_split", "--property", "kernel_assertions")

    assert 0 == done.exit_code, done.output
    rows = {line.split()[1]: line.split()[2:] for line in done.stdout.splitlines() if line[:3].strip().isdigit()}
    assert rows["attach"][0] == "."
    assert rows["attach"][2] == "k"
    assert "atomic_hugepage_split is known to be violated in 1 cell, the nearest in 2 steps: part+attach@huge" in done.stdout
    assert "k violated as is known" in done.stdout


@pytest.mark.slow
def test_a_bug_is_told_once_and_counted(call: Call, tmp_path: Path) -> None:
    patch = tmp_path / "a.patch"
    wrong = "\tnoncoherent_dma_count_inc(kvm, dev);\n"
    refused = "\tif (kvm_tdp_is_exported(kvm)) {\n\t\tnote_refused();\n\t\twrite_unlock(&kvm->mmu_lock);\n\t\treturn -EBUSY;\n\t}\n"
    patch.write_text(diff("tdp_fd.c", refused + wrong, wrong))

    done = call("verify", *SMALL, "--change", str(patch))

    assert 1 == done.exit_code, done.output
    assert 1 == done.stdout.count("VIOLATED reject_noncoherent_dma")
    assert "reject_noncoherent_dma is violated in 1 cell" in done.stdout
    assert "introduced: share+register@private" in done.stdout


def test_a_cell_is_a_scenario_like_any_other(call: Call, tmp_path: Path) -> None:
    done = call("verify", "--scenario", "share+register@private", "--property", "kernel_assertions", "--json")

    assert 0 == done.exit_code
    (record,) = json.loads(done.stdout)["results"]
    assert "share+register@private" == record["scenario"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--flow", "fault"), "--flow and --start choose cells of the matrix"),
        (("--matrix", "--scenario", "mm-exit"), "--matrix asks in every cell"),
        (("--matrix", "--flow", "faults"), "there is no flow 'faults'; did you mean fault"),
        (("--matrix", "--design", "examples"), "the matrix of flows is of the shipped kernel C"),
        (("--scenario", "fault+nobody@pages"), "there is no scenario 'fault+nobody@pages'"),
    ],
)
def test_what_cannot_be_asked_is_refused(call: Call, given: tuple[str, ...], said: str) -> None:
    done = call("verify", *given)

    assert 2 == done.exit_code
    assert said in done.output.replace("\n", " ")


def test_the_flows_are_listed(call: Call) -> None:
    done = call("list", "flows")

    assert 0 == done.exit_code
    assert "a vCPU faults: kvm_tdp_page_fault()" in done.stdout
    assert "@private" in done.stdout
