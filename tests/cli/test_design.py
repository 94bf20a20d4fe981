"""`--design DIR`: kernel C from outside of the package, taken by every command that takes a scenario."""

from __future__ import annotations

import difflib
import json
from pathlib import Path

import pytest

from tdpcheck.cli.explore import begun
from tdpcheck.tests.calling import QUICK, Call

UNCHECKED = """\
/* Export without asking whether somebody does non-coherent DMA. */
static int kvm_create_tdp_fd(struct kvm *kvm)
{
	struct kvm_mmu_page *root = kvm_exported_root(kvm);

	write_lock(&kvm->mmu_lock);
	root->exported = true;
	kvm_tdp_set_exported(kvm);
	write_unlock(&kvm->mmu_lock);
	return 0;
}
"""
"""It takes the place of a function of the shipped kernel C."""

LATE = """\
/* A device is taken back: first from the list, then from the IOMMU. */
static void forget(struct kvm *kvm)
{
	write_lock(&kvm->mmu_lock);
	kvm_tdp_set_exported(kvm);
	write_unlock(&kvm->mmu_lock);
}

void share_late(struct kvm *kvm)
{
	forget(kvm);
}
"""
"""A flow that the shipped kernel C has not."""

SCENARIO = """\
name = "late"
story = "The flow of this design, alone."
[start]
exported = []
attached = false
[[thread]]
role = "share"
entry = "share_late"
[expect]
root_liveness = "holds"
kernel_assertions = "holds"
"""


@pytest.fixture
def unchecked(tmp_path: Path) -> Path:
    """A design that overrides one function, and has no scenario."""
    folder = tmp_path / "unchecked"
    folder.mkdir()
    (folder / "fd.c").write_text(UNCHECKED)
    return folder


@pytest.fixture
def late(tmp_path: Path) -> Path:
    """A design with a flow of its own, and a scenario beside it that names no design."""
    folder = tmp_path / "late"
    folder.mkdir()
    (folder / "late.c").write_text(LATE)
    (folder / "alone.toml").write_text(SCENARIO)
    return folder


def edited(file: str, before: str, old: str, new: str) -> str:
    """A diff of a file, as somebody makes it who stands above its folder."""
    assert before.count(old) == 1
    after = before.replace(old, new)
    return "".join(difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"a/{file}", f"b/{file}"))


def answers(call: Call, *arguments: str) -> dict[tuple[str, str], str]:
    """The verdict of each property in each scenario."""
    done = call("verify", *arguments, "--no-certify", "--json")
    assert done.stdout, done.output
    return {(r["scenario"], r["property"]): r["verdict"] for r in json.loads(done.stdout)["results"]}


def test_a_function_of_a_design_takes_the_place_of_the_shipped_one(call: Call, unchecked: Path) -> None:
    asked = ("--scenario", QUICK, "--property", "reject_noncoherent_dma")

    assert answers(call, *asked) == {(QUICK, "reject_noncoherent_dma"): "holds_up_to"}
    assert answers(call, *asked, "--design", str(unchecked)) == {(QUICK, "reject_noncoherent_dma"): "violated"}


def test_an_answer_says_whose_design_it_is_about(call: Call, unchecked: Path) -> None:
    said = call("verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma", "--no-certify", "--design", str(unchecked)).stdout

    assert "kernel shipped with design unchecked" in said
    assert "model/kernel/*.c, and the design's, unchecked/*" in said
    assert "fd.c:7" in said
    assert "--design DIR" in said


def test_its_scenarios_are_those_beside_it(call: Call, late: Path) -> None:
    wanted = {("late", "root_liveness"): "holds_up_to", ("late", "kernel_assertions"): "unknown"}
    found = answers(call, "--design", str(late))

    assert found.keys() == wanted.keys()
    assert found["late", "root_liveness"] in ("holds_up_to", "vacuous")
    assert answers(call, "--design", str(late), "--scenario", "late") == found
    assert answers(call, "--design", str(late), "--scenario", str(late / "alone.toml")) == found


def test_a_folder_of_designs_may_be_given(call: Call, unchecked: Path, late: Path) -> None:
    both = str(late.parent)

    assert answers(call, "--design", both, "--scenario", "late").keys() == {("late", "root_liveness"), ("late", "kernel_assertions")}
    refused = call("verify", "--design", both, "--scenario", QUICK)
    assert (refused.exit_code, "holds the designs late, unchecked; name one in the scenario" in refused.stderr) == (2, True)


def test_a_shipped_scenario_is_not_asked_of_a_design_by_accident(call: Call, late: Path) -> None:
    """One that says which design it runs does not run another."""
    own = late / "other.toml"
    own.write_text(SCENARIO.replace('"late"', '"other"').replace("[start]", 'design = "linux-6.1"\n[start]', 1))
    refused = call("verify", "--design", str(late), "--scenario", "other")

    assert (refused.exit_code, "runs the design 'linux-6.1', which is not in" in refused.stderr) == (2, True)


@pytest.mark.parametrize("path", ["fd.c", "unchecked/fd.c", "designs/unchecked/fd.c"])
def test_a_change_may_touch_the_files_of_a_design(call: Call, unchecked: Path, tmp_path: Path, path: str) -> None:
    change = tmp_path / "c.patch"
    check = "\tif (kvm_arch_has_noncoherent_dma(kvm)) {\n\t\tnote_refused();\n\t\twrite_unlock(&kvm->mmu_lock);\n\t\treturn -EINVAL;\n\t}\n"
    text = edited(path, UNCHECKED, "\troot->exported = true;\n", check + "\troot->exported = true;\n")
    change.write_text(text)
    asked = ("--scenario", QUICK, "--property", "reject_noncoherent_dma", "--design", str(unchecked), "--change", str(change))
    if path == "fd.c":  # of whose design, nobody can say
        assert "no file fd.c is modelled" in call("verify", *asked, "--no-certify").output
        return

    assert answers(call, *asked) == {(QUICK, "reject_noncoherent_dma"): "waived"}  # that somebody was refused is its own word


def test_a_change_may_add_a_file_and_a_flow(call: Call, late: Path, tmp_path: Path) -> None:
    added = "void share_twice(struct kvm *kvm)\n{\n\tshare_late(kvm);\n\tshare_late(kvm);\n}\n"
    change = tmp_path / "c.patch"
    change.write_text(
        "--- /dev/null\n+++ b/late/twice.c\n@@ -0,0 +1,5 @@\n" + "".join(f"+{line}" for line in added.splitlines(keepends=True))
    )
    scenario = tmp_path / "twice.toml"
    scenario.write_text(SCENARIO.replace('"late"', '"twice"').replace("share_late", "share_twice"))
    asked = ("--design", str(late), "--scenario", str(scenario), "--change", str(change), "--no-certify", "--json")
    results = json.loads(call("verify", *asked).stdout)["results"]

    assert {r["alone"] for r in results} == {"thread share enters at share_twice(), which no file defines"}
    assert "twice.c" in json.dumps(results)


def test_what_was_found_in_a_design_is_replayed_in_it(call: Call, unchecked: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    call(
        "verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma", "--no-certify", "--design", str(unchecked), "--out", str(out)
    )
    (stored,) = out.glob("*.cex.json")

    assert call("replay", str(stored), "--design", str(unchecked)).exit_code == 0
    assert call("replay", str(stored)).exit_code == 3


@pytest.mark.slow
def test_every_command_that_takes_a_scenario_takes_a_design(call: Call, unchecked: Path, late: Path, tmp_path: Path) -> None:
    shipped = call("export", QUICK, "--property", "reject_noncoherent_dma", "--to", "smt2").stdout
    changed = call("export", QUICK, "--property", "reject_noncoherent_dma", "--to", "smt2", "--design", str(unchecked)).stdout
    assert "(define" in changed
    assert shipped != changed

    session = begun("late", (), None, None, None, str(late))
    assert session.model.scenario.design == "late"

    proof = tmp_path / "p.smt2"
    proved = call("prove", "root_liveness", "--scenario", "late", "--design", str(late), "--out", str(proof), "--json")
    assert json.loads(proved.stdout)["verdict"] == "Proved", proved.output
    checked = ("check-certificate", str(proof), "--scenario", "late", "--solver", "z3")
    assert call(*checked, "--design", str(late)).exit_code == 0
    assert "there is no scenario of kernel C 'late'" in call(*checked).stderr


@pytest.mark.slow
def test_an_argument_takes_a_design_whether_it_holds_or_not(call: Call, unchecked: Path, late: Path) -> None:
    explained = call("explain", "root_liveness", "--scenario", str(late / "alone.toml"), "--design", str(late), "--json")
    assert json.loads(explained.stdout)["scenario"] == "late", explained.output
    refuted = call("prove", "reject_noncoherent_dma", "--scenario", QUICK, "--design", str(unchecked), "--json")
    assert json.loads(refuted.stdout)["verdict"] == "Violated"


# Bad input


def complaint(call: Call, folder: Path | str, *more: str) -> str:
    done = call("verify", "--design", str(folder), *(more or ("--scenario", QUICK)))
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    return done.stderr.splitlines()[-1].removeprefix("tdpcheck: ")


def test_a_folder_that_holds_no_design(call: Call, tmp_path: Path) -> None:
    wanted = "give a folder with kernel C (*.c), or one whose folders hold some"
    file = tmp_path / "file"
    file.write_text("no folder")

    assert complaint(call, "/nowhere/at/all") == f"/nowhere/at/all: there is no such folder; {wanted}"
    assert complaint(call, file) == f"{file}: this is a file; {wanted}"
    assert complaint(call, "") == f"an empty name stands where a folder should; {wanted}"
    file.unlink()
    assert complaint(call, tmp_path) == f"{tmp_path}: there is no kernel C in this folder; {wanted}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "this file is empty; give a C source file, or take it away"),
        (b"\x7fELF\0\0\1", "this file is a binary file (it has a NUL byte); give a C source file, or take it away"),
        (b"/* caf\xe9 */\nint f(void) { return 0; }\n", "1: this is not UTF-8; give a C source file"),
        (b"int f(void) { return 0;\n", "this brace is never closed"),
        (b"int f(void)\n{\n\treturn = 0;\n}\n", "3:"),
        (b'asm("nop");\n', "`asm` is not understood"),
        (UNCHECKED.replace("/*", "//").encode() * 2, "this function is defined twice in one file"),
    ],
)
def test_a_file_that_is_no_kernel_c(call: Call, unchecked: Path, content: bytes, message: str) -> None:
    (unchecked / "other.c").write_bytes(content)
    said = complaint(call, unchecked)

    assert "other.c:" in said
    assert message in said


def test_a_file_that_cannot_be_read(call: Call, unchecked: Path) -> None:
    (unchecked / "other.c").symlink_to("/nowhere/at/all.c")

    assert "other.c: there is no such file" in complaint(call, unchecked)


def test_a_function_that_two_files_define(call: Call, unchecked: Path) -> None:
    (unchecked / "other.c").write_text(UNCHECKED)

    assert "kvm_create_tdp_fd is defined at unchecked/fd.c:2:1, too" in complaint(call, unchecked)


def test_a_name_of_the_tools_own(call: Call, unchecked: Path) -> None:
    taken = unchecked.rename(unchecked.with_name("linux-6.1"))

    assert "a design cannot be called 'linux-6.1'" in complaint(call, taken)


def test_two_scenarios_of_one_name(call: Call, late: Path) -> None:
    (late / "again.toml").write_text(SCENARIO)

    assert "another scenario in" in complaint(call, late, "--scenario", "late")


def test_a_tree_and_a_design(call: Call, unchecked: Path, tmp_path: Path) -> None:
    done = call("verify", "--design", str(unchecked), "--kernel", str(tmp_path))

    assert done.exit_code == 2


def test_a_design_that_nobody_gave(call: Call, late: Path, tmp_path: Path) -> None:
    scenario = tmp_path / "s.toml"
    scenario.write_text(SCENARIO.replace("[start]", 'design = "lat"\n[start]', 1))
    done = call("verify", "--scenario", str(scenario))

    assert (done.exit_code, "one of your own is given with --design DIR" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("mutex_lock(&kvm->slots_lock);", "did you mean lock_slots_lock? If not, define it in kernel C"),
        ("mutex_unlock(&kvm->dev_list_lock);", "did you mean unlock_dev_list_lock?"),
        ("kvm_tdp_set_export(kvm);", "did you mean kvm_tdp_set_exported"),
        ("qi_submit_piotlb(0, 0);", "give it a meaning (or erase it) in model/intrinsics/flush.py"),
        ("kvm_exported_root(kvm)->exportd = true;", "did you mean exported?"),
        ("struct kvm_mmu_pge *sp;", "did you mean struct kvm_mmu_page"),
        ("int ret = EINVA;", "did you mean EINVAL"),
        ("for_each_tdp_mmu_rot(kvm, root) { forget(kvm); }", "did you mean for_each_tdp_mmu_root?"),
    ],
)
def test_a_name_that_is_nearly_right(call: Call, late: Path, line: str, meant: str) -> None:
    (late / "late.c").write_text(LATE.replace("\tforget(kvm);\n", f"\t{line}\n\tforget(kvm);\n"))
    done = call("verify", "--design", str(late), "--no-certify")

    assert done.exit_code == 2, done.output
    assert "late/late.c:11:" in done.stderr
    assert meant in done.stderr


def test_an_entry_that_is_nearly_right(call: Call, late: Path) -> None:
    (late / "alone.toml").write_text(SCENARIO.replace("share_late", "share_lat"))

    assert "which no file defines; did you mean share_late" in complaint(call, late, "--scenario", "late")
