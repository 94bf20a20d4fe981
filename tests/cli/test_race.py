"""`tdpcheck race` as it is called: what it prints, its exit codes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tdpcheck.tests.calling import Call
from tdpcheck.tests.counterexamples.planted import GOLDEN

CHECKED = """
  VFIO                              userspace

  noncoherent_dma_count_inc(kvm, dev)
                                    kvm_tdp_set_exported(kvm)
"""
HARMLESS = """
  CPU0: kvm_arch_register_noncoherent_dma()
  CPU0:   write_lock(&kvm->mmu_lock)
  CPU1: kvm_share_tdp()
  CPU0:   write_unlock(&kvm->mmu_lock)
  CPU1:   write_lock(&kvm->mmu_lock)
"""


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    return tmp_path / "mail.txt"


def test_impossible_says_which_lines_exclude_each_other_and_what_is_in_the_way(call: Call, mail: Path) -> None:
    mail.write_text(CHECKED)

    done = call("race", str(mail))

    assert 0 == done.exit_code, done.output
    assert done.stdout.startswith("IMPOSSIBLE")
    assert "Lines 4 and 5 exclude each other in this order" in done.stdout
    assert "kvm_arch_has_noncoherent_dma(kvm)` in all 8 states in which it gets there: noncoherent_registered[0] is true" in " ".join(
        done.stdout.split()
    )


def test_possible_and_harmless_is_a_whole_run(call: Call, mail: Path) -> None:
    mail.write_text(HARMLESS)

    done = call("race", str(mail))

    assert 0 == done.exit_code, done.output
    assert done.stdout.startswith("POSSIBLE, and breaks nothing")
    rows = [line for line in done.stdout.splitlines() if ".c:" in line and line.rstrip().endswith((" 3", " 5", " 6"))]
    assert 3 == len(rows)


def test_a_line_that_is_not_understood_leaves_the_answer_open(call: Call, mail: Path) -> None:
    mail.write_text(HARMLESS + "  CPU1:   hopes for the best\n")

    done = call("race", str(mail))

    assert 3 == done.exit_code, done.output
    assert done.stdout.startswith("POSSIBLE, as far as it was understood")
    assert "Not understood: line 7: 'hopes for the best'" in done.stdout


def test_a_step_that_there_is_none_of_proves_nothing(call: Call, mail: Path) -> None:
    """Kernel C of ours says it otherwise, or has it not: that is no reason to call a race impossible."""
    mail.write_text(HARMLESS + "  CPU1:   kvm->mmu_invalidate_seq++\n")

    done = call("race", str(mail))

    assert 3 == done.exit_code, done.output
    assert "Not understood: line 7: 'kvm->mmu_invalidate_seq++': no step does this" in done.stdout


def test_who_lets_a_lock_go_is_who_took_it(call: Call, mail: Path) -> None:
    """Not the next one who has it, which the words allow, and nobody means."""
    mail.write_text("CPU0: kvm_share_tdp()\nCPU0:   write_lock(&kvm->mmu_lock)\nCPU1: kvm_arch_register_noncoherent_dma()\n"
                    "CPU1:   write_lock(&kvm->mmu_lock)\nCPU0:   write_unlock(&kvm->mmu_lock)\n")  # fmt: skip

    done = call("race", str(mail))

    assert 0 == done.exit_code, done.output
    assert done.stdout.startswith("IMPOSSIBLE")


def test_what_was_found_with_a_change_is_not_looked_for_without(call: Call) -> None:
    done = call("race", str(GOLDEN / "register-unchecked.txt"))

    assert 2 == done.exit_code
    assert "give that change with --change" in done.stderr


def test_what_is_impossible_stays_so_with_a_line_more(call: Call, mail: Path) -> None:
    mail.write_text(CHECKED + "                                    hopes for the best\n")

    assert 0 == call("race", str(mail)).exit_code


@pytest.mark.slow
def test_a_race_that_breaks_something_is_exit_code_1(call: Call, mail: Path) -> None:
    mail.write_text("userspace      VFIO\n---------      ----\n               registers non-coherent DMA\nexports the TDP\n")

    done = call("race", str(mail), "--change", "museum/export-check-outside-lock/change.patch")

    assert 1 == done.exit_code, done.output
    assert "=> reject_noncoherent_dma is violated" in done.stdout


def test_json_has_all_of_it(call: Call, mail: Path) -> None:
    mail.write_text(CHECKED)

    done = call("race", str(mail), "--json")

    found = json.loads(done.stdout)
    assert "impossible" == found["answer"]
    assert [0, 1] == found["core"]
    assert ["kvm_arch_register_noncoherent_dma", "kvm_share_tdp"] == [column["entry"] for column in found["columns"]]
    assert {"share+register@private"} == set(found["scenarios"])


@pytest.mark.parametrize(
    ("content", "options", "wrong"),
    [
        ("no diagram\n", (), "no line of headings was found"),
        (CHECKED, ("--column", "VFIO"), "say HEADING=FLOW"),
        (CHECKED, ("--column", "VFIO=nobody"), "there is no flow 'nobody'"),
        (CHECKED, ("--scenario", "nowhere"), "there is no scenario 'nowhere'"),
        (CHECKED, ("--change", "missing.patch"), "missing.patch: there is no such file"),
    ],
)
def test_what_cannot_be_asked(call: Call, mail: Path, content: str, options: tuple[str, ...], wrong: str) -> None:
    mail.write_text(content)

    done = call("race", str(mail), *options)

    assert 2 == done.exit_code, done.output
    assert wrong in done.stderr
    assert 1 == len(done.stderr.splitlines())


def test_a_file_that_is_none(call: Call, tmp_path: Path) -> None:
    done = call("race", str(tmp_path / "none"))

    assert 2 == done.exit_code
    assert "there is no such file; give a mail" in done.stderr


def test_what_a_mail_says_is_no_control_character(call: Call, mail: Path) -> None:
    mail.write_text(CHECKED + "                                    hopes \x1b[31m for the best\n")

    assert "\x1b" not in call("race", str(mail)).stdout
