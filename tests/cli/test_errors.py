"""Each bad input ends in one clear message on standard error and exit code 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.runner.output import checked
from tdpcheck.tests.calling import QUICK, Call
from tdpcheck.tests.counterexamples.planted import GOLDEN, SHOWN

SCENARIO = """\
name = "own"
story = "A test."
[[thread]]
role = "share"
entry = "kvm_share_tdp"
[expect]
reject_noncoherent_dma = "holds"
"""
Patch = Callable[..., str]


def complaint(call: Call, *arguments: str) -> str:
    """The one message that a call ends with."""
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    message = result.stderr.splitlines()[-1]
    assert message.startswith("tdpcheck: ")
    return message.removeprefix("tdpcheck: ")


def test_a_file_that_is_no_scenario_and_a_change_without_a_name(call: Call) -> None:
    """What looks like a path is taken for one: nobody needs the list of all names then."""
    ends = "a scenario in a file ends in .toml; give such a file, or the name of a shipped scenario"

    assert f"dir/bin: {ends}" == complaint(call, "verify", "--scenario", "dir/bin")
    assert "an empty name stands where a file should; give a patch, an mbox, a TOML overlay or a name of the museum" == complaint(
        call, "verify", "--scenario", QUICK, "--change", ""
    )


def test_unknown_names_come_with_those_that_look_alike(call: Call) -> None:
    assert complaint(call, "verify", "--scenario", "notifier-vs-falt").startswith(
        "there is no scenario 'notifier-vs-falt'; did you mean notifier-vs-fault"
    )
    assert complaint(call, "verify", "--property", "no_stale_io_maping").startswith(
        "there is no property 'no_stale_io_maping'; did you mean no_stale_io_mapping"
    )
    assert complaint(call, "museum", "xyzzy").startswith("there is no item in the museum 'xyzzy'; there are ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; expected a unified diff, as `git format-patch`, `git diff` or `diff -u` write it"),
        (b"\x7fELF\0\1", "this is a binary file (it has a NUL byte); expected a unified diff"),
        (b"just words\n", "there is no diff in this file; expected a unified diff"),
    ],
)
def test_a_file_that_is_no_change(call: Call, tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "c.patch"
    path.write_bytes(content)

    assert complaint(call, "verify", "--scenario", QUICK, "--change", str(path)).startswith(f"{path}: {message}")


def test_a_missing_file(call: Call) -> None:
    expected = "/nowhere/c.patch: there is no such file; give a patch, an mbox, a TOML overlay or a name of the museum"

    assert expected == complaint(call, "verify", "--scenario", QUICK, "--change", "/nowhere/c.patch")


def test_a_patch_that_does_not_apply(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "c.patch"
    path.write_text("--- a/tdp_fd.c\n+++ b/tdp_fd.c\n@@ -1,2 +1,1 @@\n no such line\n-neither this\n")

    assert "hunk for tdp_fd.c does not apply" in complaint(call, "verify", "--scenario", QUICK, "--change", str(path))


def test_c_that_does_not_parse(call: Call, patch: Patch) -> None:
    path = patch("tdp_fd.c", "\troot->exported = true;\n", "\troot->exported = = true;\n")

    message = complaint(call, "verify", "--scenario", QUICK, "--change", path)

    assert message.startswith("tdp_fd.c:")
    assert "this is not C that the parser understands" in message


def test_c_that_does_not_parse_in_a_function_that_no_scenario_calls(call: Call, patch: Patch) -> None:
    path = patch("tdp_fd.c", "\tnoncoherent_dma_count_dec(kvm, dev);\n", "\tnoncoherent_dma_count_dec(kvm, dev;\n")

    assert complaint(call, "verify", "--scenario", QUICK, "--change", path).startswith("tdp_fd.c:")


@pytest.mark.slow
def test_an_unknown_function(call: Call, patch: Patch) -> None:
    path = patch("tdp_fd.c", "\troot->exported = true;\n", "\troot->exported = true;\n\tdo_magic(kvm);\n")

    message = complaint(call, "verify", "--scenario", QUICK, "--change", path)

    assert "unknown callee do_magic: `do_magic(kvm)`; define it in kernel C" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the scenario is empty"),
        ("name = \n", "not a TOML file"),
        (SCENARIO + "\n[geometry]\npages = 3\n", "unknown field `pages`"),
        (SCENARIO.replace("story", "storey"), "unknown field `storey`"),
        (SCENARIO + "\n[geometry]\npts = 1\nregions = 2\n\n[start]\ntables = 'pages'\n", "impossible geometry"),
        (SCENARIO.replace("kvm_share_tdp", "kvm_share"), "enters at kvm_share, which no file defines"),
        (
            SCENARIO.replace("reject_noncoherent_dma", "reject_dma"),
            "there is no property 'reject_dma'; did you mean reject_noncoherent_dma",
        ),
        ("goals = ['zaped']\n" + SCENARIO, "there is no goal 'zaped'"),
        ("stuck = ['nobody']\n" + SCENARIO, "stuck names 'nobody', which is no role"),
        ("design = 'shred'\n" + SCENARIO, "there is no design 'shred'; did you mean shared?"),
    ],
)
def test_a_scenario_that_cannot_be(call: Call, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)

    assert message in complaint(call, "verify", "--scenario", str(path))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "\n[[thread]]\nrole = 'notifier'\nentry = 'mmu_notifier_unmap'\n",
            "a notifier beside share, which deletes the memslot",
        ),
        ("\n[start]\nexported = []\nattached = false\n", "root 0, which the vCPUs have loaded, is not exported"),
    ],
)
def test_what_the_model_is_not_made_for(call: Call, tmp_path: Path, more: str, message: str) -> None:
    """Better no answer than one that the kernel would not give."""
    path = tmp_path / "own.toml"
    path.write_text(SCENARIO.replace("kvm_share_tdp", "kvm_set_memory_region") + more)

    assert message in complaint(call, "verify", "--scenario", str(path))


def test_a_binary_scenario(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(b"\0\1")

    assert complaint(call, "verify", "--scenario", str(path)) == f"{path}: this is a binary file; expected a scenario in TOML"


@pytest.mark.parametrize("text", ["", "name = 'x'\n", "[geometry]\npages = 3\n", "[geometry\n"])
def test_an_overlay_that_cannot_be(call: Call, tmp_path: Path, text: str) -> None:
    path = tmp_path / "overlay.toml"
    path.write_text(text)

    assert complaint(call, "verify", "--scenario", QUICK, "--change", str(path)).startswith(str(path))


def test_a_revision_without_a_tree_and_a_tree_that_is_none(call: Call, tmp_path: Path) -> None:
    assert complaint(call, "verify", "--rev", "v6.1").startswith("--rev says which revision of a kernel tree is meant")
    assert "is not a kernel source tree" in complaint(call, "verify", "--kernel", str(tmp_path))
    assert "there is no such file or directory" in complaint(call, "verify", "--kernel", "/nowhere")


def test_a_scenario_of_a_kernel_tree_without_the_tree(call: Call) -> None:
    assert "give one with --kernel DIR" in complaint(call, "verify", "--scenario", "linux-6.1-lift-fault-split")


def test_a_place_that_cannot_be_written(call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert "cannot be written" in complaint(call, "verify", "--scenario", QUICK, "--out", str(tmp_path / "file" / "out"))


@pytest.mark.parametrize("option", ["--junit", "--sarif"])
@pytest.mark.parametrize("command", [["verify", "--scenario", QUICK], ["report", "nowhere"]])
def test_a_log_that_cannot_be_written_is_told_before_the_run(call: Call, tmp_path: Path, command: list[str], option: str) -> None:
    """After a run of an hour nobody wants to hear that its answers have no place to go."""
    for place in (tmp_path, tmp_path / "nowhere" / "log"):
        assert f"{place}: cannot be written" in complaint(call, *command, option, str(place))
        assert not list(tmp_path.iterdir())


def test_a_device_is_written_to_and_stays_one(call: Call, tmp_path: Path) -> None:
    """`--junit /dev/stdout` is what continuous integration likes; to put a file in its place would be a bad surprise."""
    place = tmp_path / "null"
    place.symlink_to("/dev/null")

    assert 0 == call("show", str(GOLDEN / f"{SHOWN}.cex.json"), "--out", str(place)).exit_code
    assert place.is_symlink()
    assert place == checked(str(place))


@pytest.mark.parametrize("where", ["--junit", "--sarif", "--out"])
def test_answers_are_printed_though_their_files_cannot_be_written(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The disk is full only at the end: what was found is told all the same, and the code still says that something is missing."""

    def full(path: Path, content: bytes) -> None:
        raise InputError(f"{path}: cannot be written (No space left on device); name another place")

    monkeypatch.setattr("tdpcheck.runner.output.write", full)
    result = call("verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma", "--no-certify", where, str(tmp_path / "x"))

    assert 2 == result.exit_code
    assert "reject_noncoherent_dma  HoldsUpTo 7" in result.stdout
    assert "1 answer: 1 HoldsUpTo" in result.stdout
    assert "No space left on device" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", ["show", "replay"])
@pytest.mark.parametrize("content", [None, b"", b"\0\0", b"{}", b'{"schema": 99, "violation": []}'])
def test_a_trace_that_is_none(call: Call, tmp_path: Path, command: str, content: bytes | None) -> None:
    path = tmp_path / "t.cex.json"
    if content is not None:
        path.write_bytes(content)

    assert complaint(call, command, str(path)).startswith(str(path))


@pytest.mark.parametrize(
    "arguments", [["verify", "--depth", "x"], ["verify", "--timeout", "0"], ["list", "things"], ["frobnicate"], ["show"]]
)
def test_wrong_usage(call: Call, arguments: list[str]) -> None:
    result = call(*arguments)

    assert result.exit_code == 2
    assert result.stdout == ""
