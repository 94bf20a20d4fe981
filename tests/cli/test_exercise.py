"""The exercises of the lessons: each has a right answer, and a wrong one that is told why. Solutions stand here alone."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.kernelc.sources.patch import parse_change
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.runner.asking.limits import Limits
from tdpcheck.runner.exercises import broken_change, read_exercise, shipped_exercises
from tdpcheck.runner.exercises.grading import Graded, grade
from tdpcheck.runner.inputs.changes import patched
from tdpcheck.runner.inputs.sources import files_of
from tdpcheck.runner.museum.items import shipped_items
from tdpcheck.tests.calling import Call
from tdpcheck.tests.few import drawn

QUICK = "coherent-sharing"
LATE = "	if (flush && !may_block)\n		kvm_make_all_cpus_request(kvm, KVM_REQ_TLB_FLUSH);\n	else if (flush)\n"
STALE = "	if (!is_page_fault_stale(kvm, root, fault)) {\n		read_lock(&kvm->mmu_lock);\n"
FILL = "	tdp_mmu_init_split_sp(sp, iter->old_spte);\n"
EMPTY = "		kvm_tdp_mmu_write_spte(iter->sptep, 0);\n"
SET = "		tdp_mmu_set_spte(kvm, iter, make_nonleaf_spte(sp));\n"
REFUSED = "	if (kvm_tdp_is_exported(kvm)) {\n		note_refused();\n"
EARLY = REFUSED + "		return -EBUSY;\n	}\n	write_lock(&kvm->mmu_lock);\n"
LOCKED = "	write_lock(&kvm->mmu_lock);\n" + REFUSED + "		write_unlock(&kvm->mmu_lock);\n		return -EBUSY;\n	}\n"
MARKED = "		root->role.invalid = true;\n		if (root->exported)\n			continue;\n"
UNMARKED = "		if (root->exported)\n			continue;\n		root->role.invalid = true;\n"
NOTIFIED = "	kvm_tdp_mmu_unmap_gfn_range(kvm, start, last, may_block, false);\n"

Edit = tuple[str, str, str]
"""A file, what stands in it once, and what is to stand there."""


def edited(name: str, part: str, *edits: Edit) -> bytes:
    """A reader's patch: these edits, of the shipped code or of the broken one."""
    files = dict(files_of(None))
    if part == "repair":
        files = dict(patched(parse_change(broken_change(name), name), files)[-1].files)
    before = dict(files)
    for file, old, new in edits:
        assert 1 == files[file].count(old), f"{old!r} stands {files[file].count(old)} times in {file}"
        files[file] = files[file].replace(old, new)
    return "".join(
        line
        for file in files
        if files[file] != before[file]
        for line in difflib.unified_diff(before[file].splitlines(True), files[file].splitlines(True), f"a/{file}", f"b/{file}")
    ).encode()


def museum(name: str, *, good: bool = False) -> bytes:
    item = shipped_items()[name]
    patch = item.good_patch if good else item.patch
    assert patch is not None
    return patch


def graded(name: str, part: str, patch: bytes) -> Graded:
    return grade(name, part, patch, "my.patch", Limits(certify=False))


# Each is made when it is asked for: parsing C for all of them would delay every process that collects tests.
BREAKS: dict[str, Callable[[], tuple[bytes, bytes]]] = {
    "two-walkers": lambda: (museum("flush-without-iommu"), museum("flush-without-iommu", good=True)),
    "flush-and-wait": lambda: (museum("flush-after-unlock"), museum("invalidation-not-awaited", good=True)),
    "fault-and-notifier": lambda: (
        museum("sequence-read-after-pfn"),
        edited("fault-and-notifier", "break", ("mmu.c", "	int ret = RET_PF_RETRY;\n\n", "	int ret;\n\n	ret = RET_PF_RETRY;\n")),
    ),
    "split-in-place": lambda: (
        museum("split-links-before-filling"),
        edited("split-in-place", "break", ("tdp_mmu.c", SET, SET + "		kvm_flush_remote_tlbs(kvm);\n")),
    ),
    QUICK: lambda: (museum("export-check-outside-lock"), museum("export-check-outside-lock", good=True)),
    "exported-root": lambda: (
        museum("fast-zap-invalidates-exported-root"),
        edited("exported-root", "break", ("mmu.c", "	if (flush)\n		kvm_flush", "	if (true)\n		kvm_flush")),
    ),
}
"""Right and wrong."""

REPAIRS: dict[str, Callable[[], tuple[bytes, bytes, str]]] = {
    "two-walkers": lambda: (
        edited("two-walkers", "repair", ("kvm_main.c", LATE, "	if (flush)\n")),
        edited("two-walkers", "repair", ("kvm_main.c", "	if (flush && !may_block)\n", "	if (!may_block)\n")),
        "The bug is still there",
    ),
    "flush-and-wait": lambda: (
        edited(
            "flush-and-wait",
            "repair",
            ("kvm_main.c", NOTIFIED, NOTIFIED + "	kvm_flush_remote_tlbs(kvm);\n"),
        ),
        edited(
            "flush-and-wait",
            "repair",
            ("kvm_main.c", NOTIFIED, NOTIFIED + "	kvm_make_all_cpus_request(kvm, KVM_REQ_TLB_FLUSH);\n"),
        ),
        "The bug is still there",
    ),
    "fault-and-notifier": lambda: (
        edited(
            "fault-and-notifier",
            "repair",
            ("mmu.c", STALE, "	read_lock(&kvm->mmu_lock);\n	if (!is_page_fault_stale(kvm, root, fault)) {\n"),
            (
                "mmu.c",
                "		ret = kvm_tdp_mmu_map(kvm, root, fault);\n		read_unlock(&kvm->mmu_lock);\n	}\n",
                "		ret = kvm_tdp_mmu_map(kvm, root, fault);\n	}\n	read_unlock(&kvm->mmu_lock);\n",
            ),
        ),
        edited("fault-and-notifier", "repair", ("mmu.c", STALE, "	if (false) {\n		read_lock(&kvm->mmu_lock);\n")),
        "is not repaired",
    ),
    "split-in-place": lambda: (
        edited("split-in-place", "repair", ("tdp_mmu.c", EMPTY, "")),
        edited("split-in-place", "repair", ("tdp_mmu.c", EMPTY, EMPTY + "		kvm_flush_remote_tlbs(kvm);\n")),
        "The bug is still there",
    ),
    QUICK: lambda: (
        edited(QUICK, "repair", ("tdp_fd.c", EARLY, LOCKED)),
        edited(QUICK, "repair", ("tdp_fd.c", REFUSED, "	if (true) {\n		note_refused();\n")),
        "never runs now",
    ),
    "exported-root": lambda: (
        edited("exported-root", "repair", ("mmu.c", MARKED, UNMARKED)),
        edited(
            "exported-root", "repair", ("mmu.c", MARKED, UNMARKED), ("mmu.c", "	if (flush)\n		kvm_flush_remote_tlbs(kvm);\n", "")
        ),
        "But flush_before_release is violated",
    ),
}
"""Right, wrong, and what is said of the wrong one."""

SOME = [pytest.param(QUICK), *drawn([name for name in BREAKS if name != QUICK], 1)]


def test_every_exercise_has_solutions_here() -> None:
    """A new one brings its own."""
    assert set(shipped_exercises()) == set(BREAKS) == set(REPAIRS)


@pytest.mark.parametrize("name", list(BREAKS))
def test_exercises_name_what_there_is(name: str) -> None:
    """A scenario that expects the property to hold, and a lesson."""
    exercise = shipped_exercises()[name]

    assert "holds" == shipped_scenarios()[exercise.scenario].expect[exercise.property]
    assert (Path(__file__).parents[2] / exercise.lesson).is_file()


@pytest.mark.parametrize("name", SOME)
def test_a_break_is_solved_by_a_bug_and_not_by_a_good_change(name: str) -> None:
    """The race is told in words; a change that breaks nothing is told so."""
    right, wrong = BREAKS[name]()
    found, not_found = graded(name, "break", right), graded(name, "break", wrong)

    assert found.solved
    assert f"{shipped_exercises()[name].property} is violated" in found.said[0]
    assert not not_found.solved
    assert " holds" in not_found.said[0]
    assert "nothing goes wrong" in not_found.said[-1]


@pytest.mark.parametrize("name", drawn(REPAIRS, 2))
def test_a_repair_is_solved_by_a_repair_and_not_by_half_of_one(name: str) -> None:
    """Neither is it solved by code that is switched off, nor at the cost of another property."""
    right, wrong, why = REPAIRS[name]()
    found, not_found = graded(name, "repair", right), graded(name, "repair", wrong)

    assert found.solved, found.said
    assert "every goal is reached" in found.said[-1]
    assert not not_found.solved
    assert why in " ".join(not_found.said)


@pytest.mark.parametrize("name", drawn(BREAKS, 2))
def test_the_change_that_is_to_be_repaired_is_broken(name: str) -> None:
    """Else an empty patch would do."""
    assert graded(name, "break", broken_change(name)).solved


@pytest.mark.slow
def test_a_repair_that_deletes_the_work_is_none() -> None:
    """Nothing is registered any more, so nothing is registered too late: goals are reached, and every statement that is left runs."""
    found = graded(QUICK, "repair", edited(QUICK, "repair", ("tdp_fd.c", "	noncoherent_dma_count_inc(kvm, dev);\n", "")))

    assert not found.solved
    assert "register never does noncoherent_dma_count_inc" in " ".join(found.said)


def test_the_command_tells_the_task_and_keeps_the_hints_back(call: Call) -> None:
    """One can ask for them."""
    told, hinted = call("check-exercise", QUICK), call("check-exercise", QUICK, "--hints")
    hint = shipped_exercises()[QUICK].break_.hints[0]

    assert 0 == told.exit_code
    assert "noncoherent-export" in told.stdout
    assert hint not in told.stdout
    assert hint in hinted.stdout
    assert all(name in call("check-exercise").stdout for name in shipped_exercises())
    assert broken_change(QUICK).decode() == call("check-exercise", QUICK, "--broken").stdout


def test_the_exit_code_says_whether_it_is_solved(call: Call, tmp_path: Path) -> None:
    """0 solved, 1 not yet."""
    mine = tmp_path / "mine.patch"
    for code, patch in enumerate(BREAKS[QUICK]()):
        mine.write_bytes(patch)
        result = call("check-exercise", QUICK, "--change", str(mine))

        assert code == result.exit_code
        assert ("not yet" if code else "solved") in result.stdout


def test_what_is_no_answer_is_refused_with_one_message(call: Call, tmp_path: Path) -> None:
    """Bad input: exit code 2."""
    unfit, overlay, empty = tmp_path / "unfit.patch", tmp_path / "overlay.toml", tmp_path / "empty.patch"
    unfit.write_bytes(REPAIRS[QUICK]()[0])  # fits the broken code, not the shipped one
    overlay.write_text("[geometry]\niommus = 2\n")
    empty.write_text("")
    for arguments in (
        ("coherent-sharin",),
        (QUICK, "--change", str(tmp_path / "missing.patch")),
        (QUICK, "--change", str(unfit)),
        (QUICK, "--change", str(overlay)),
        (QUICK, "--change", str(empty)),
        (QUICK, "--broken", "--change", str(unfit)),
        ("--broken",),
        (QUICK, "--part", "mend"),
    ):
        result = call("check-exercise", *arguments)

        assert 2 == result.exit_code, arguments
        assert result.stderr.strip()


def test_a_file_that_is_no_exercise_is_refused() -> None:
    """Words that nobody knows are a mistake."""
    with pytest.raises(InputError, match="An exercise has"):
        read_exercise('title = "x"\nlevel = 3\n', "x.toml")
