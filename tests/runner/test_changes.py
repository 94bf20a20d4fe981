"""A change is answered patch by patch and file by file: what is understood is answered, what is not is named, nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tdpcheck.tests.calling import QUICK, Call, diff
from tdpcheck.tests.few import few

Patch = Callable[..., str]
OTHER = "mm-exit"
ASK = ("verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma", "--no-certify", "--json")
EXPORT = "\troot->exported = true;\n"
DOCUMENT = (
    "diff --git a/Documentation/x.rst b/Documentation/x.rst\n--- a/Documentation/x.rst\n+++ b/Documentation/x.rst\n@@ -1 +1 @@\n-a\n+b\n"
)


def series(tmp_path: Path, *parts: tuple[str, str] | tuple[str, str, str]) -> str:
    """An mbox of patches: a title, a diff, and perhaps more headers."""
    mails = []
    for title, patch, *headers in parts:
        head = f"From {0:040} Mon Sep 17 00:00:00 2001\nFrom: a@example.org\nSubject: [PATCH {title}\n{''.join(headers)}\n"
        mails.append(f"{head}Why.\n---\n{patch}--\n2.39\n\n")
    path = tmp_path / "s.mbox"
    path.write_text("".join(mails))
    return str(path)


def told(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_file_that_is_not_modelled_is_outside_and_the_rest_is_answered(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "c.patch"
    path.write_text(diff("tdp_fd.c", EXPORT, EXPORT + "\tlockdep_assert_held_write(&kvm->mmu_lock);\n") + DOCUMENT)

    result = call(*ASK, "--change", str(path))

    (change,) = told(result)["changes"]
    assert 3 == result.exit_code
    assert [("tdp_fd.c", "reached")] == list({(line["file"], line["fate"]): 0 for line in change["lines"][:1]})
    assert ["outside", "outside"] == [line["fate"] for line in change["lines"][1:]]
    assert "no file Documentation/x.rst is modelled" == change["lines"][1]["why"]


@pytest.mark.parametrize("path", ["arch/arm64/kvm/tdp_fd.c", "virt/kvm/tdp_fd.c", "x/tdp_fd.c/tdp_fd.c"])
def test_a_file_of_the_same_base_name_is_not_ours(call: Call, tmp_path: Path, path: str) -> None:
    patch = tmp_path / "c.patch"
    patch.write_text(diff("tdp_fd.c", EXPORT, "").replace("/tdp_fd.c", f"/{path}"))

    result = call(*ASK, "--change", str(patch))

    assert 3 == result.exit_code
    assert ("unknown", None) == (told(result)["results"][0]["verdict"], told(result)["results"][0]["label"])
    assert [(path, "outside")] == [(line["file"], line["fate"]) for line in told(result)["changes"][0]["lines"]]


COMMENT = diff("tdp_fd.c", "/* KVM_CREATE_TDP_FD: refused", "/* KVM_CREATE_TDP_FD: it is refused")
NO_C = diff("tdp_fd.c", EXPORT, "\troot->exported = = true;\n")
NO_PLACE = "--- a/tdp_fd.c\n+++ b/tdp_fd.c\n@@ -1,2 +1,1 @@\n no such line\n-neither this\n"


@pytest.mark.parametrize(
    ("bad", "why"),
    few(
        [
            (("2/3] odd", NO_C), "this is not C that the parser understands"),
            (("2/3] odd", NO_PLACE), "hunk for tdp_fd.c does not apply"),
            (("2/3] odd", NO_C, "Content-Type: text/plain; charset=punycode\n"), "unknown character set, 'punycode'"),
            (("2/3] odd", "--- a/f\n+++ b/f\n@@ garbage @@\n a\n"), "this hunk header is malformed"),
            (("2/3] odd", "diff --git a/tdp_fd.c b/tdp_fd.c\nBinary files a/tdp_fd.c and b/tdp_fd.c differ\n"), "is a binary file"),
        ],
        5,
    ),
)
@pytest.mark.slow
def test_a_patch_that_is_not_understood_is_named_and_the_others_are_answered(
    call: Call, tmp_path: Path, bad: tuple[str, str], why: str
) -> None:
    last = diff("tdp_fd.c", EXPORT, EXPORT + "\tlockdep_assert_held_write(&kvm->mmu_lock);\n")
    path = series(tmp_path, ("1/3] words", COMMENT), bad, ("3/3] assert", last))

    result = call(*ASK, "--change", path)

    found = told(result)
    first, odd, third = found["changes"]
    assert 3 == result.exit_code
    assert ["holds_up_to", "holds_up_to"] == [r["verdict"] for r in found["results"]]
    assert [first["name"], third["name"]] == [r["change"] for r in found["results"]]
    assert "s.mbox: [3/3] assert (without [2/3])" == third["name"]
    assert ("checked on code without [2/3], which is not understood",) == tuple(third["notes"][:1])
    assert (odd["modelled"], odd["name"]) == (False, "s.mbox: [2/3] odd")
    assert why in odd["refused"]


def test_the_table_and_the_reports_name_a_patch_that_is_not_understood(call: Call, tmp_path: Path) -> None:
    path = series(tmp_path, ("1/2] words", COMMENT), ("2/2] odd", NO_C))
    out = str(tmp_path / "out")

    result = call("verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma", "--no-certify", "--change", path, "--out", out)
    reports = [call("report", out, "--as", form) for form in ("text", "md", "html")]

    assert 3 == result.exit_code
    assert "change s.mbox: [2/2] odd: not understood, so nothing was asked of it\n  tdp_fd.c:" in result.stdout
    assert all("ot understood" in r.stdout and r.exit_code in (0, 3) for r in reports)


def test_a_series_of_which_nothing_is_understood_is_one_error(call: Call, tmp_path: Path) -> None:
    result = call(*ASK, "--change", series(tmp_path, ("1/2] odd", NO_C), ("2/2] odd", NO_PLACE)))

    assert (2, "") == (result.exit_code, result.stdout)
    assert "this is not C that the parser understands" in result.stderr


@pytest.mark.slow
def test_what_one_scenario_refuses_costs_no_other_its_answer(call: Call, patch: Patch) -> None:
    path = patch("tdp_fd.c", EXPORT, EXPORT + "\tdo_magic(kvm);\n")

    result = call("verify", "--scenario", QUICK, "--scenario", OTHER, "--no-certify", "--json", "--change", path)

    found = {r["scenario"]: r for r in told(result)["results"]}
    assert 3 == result.exit_code
    assert found[QUICK]["reason"].startswith("change not understood: tdp_fd.c:")
    assert "unknown callee do_magic" in found[QUICK]["reason"]
    assert found[OTHER]["reason"] is None or not found[OTHER]["reason"].startswith("change not understood")


ENTERS = """\
name = "added"
story = "Userspace shares the table by a new way in."
[start]
exported = []
attached = false
[[thread]]
role = "share"
entry = "kvm_share_tdp_anew"
[expect]
reject_noncoherent_dma = "holds"
"""
ADDED = "\n/* A new way in. */\nvoid kvm_share_tdp_anew(struct kvm *kvm, struct device *dev)\n{\n\tkvm_share_tdp(kvm, dev);\n}\n"
END = "\treturn kvm_domain_attach_device(kvm, dev);\n}\n"


@pytest.mark.slow
def test_a_change_that_adds_an_entry_function_is_checked_where_it_is_entered(call: Call, tmp_path: Path, patch: Patch) -> None:
    (tmp_path / "own.toml").write_text(ENTERS)
    ask = ("verify", "--scenario", str(tmp_path / "own.toml"), "--property", "kernel_assertions", "--no-certify")

    result = call(*ask, "--json", "--change", patch("tdp_fd.c", END, END + ADDED))
    table = call(*ask, "--change", patch("tdp_fd.c", END, END + ADDED))

    (found,) = told(result)["results"]
    assert (None, None) == (found["before"], found["label"])
    assert found["alone"] == "thread share enters at kvm_share_tdp_anew(), which no file defines"
    assert "  not asked without the change: thread share enters at kvm_share_tdp_anew(), which no file defines" in table.stdout
    assert {"reached"} == {line["fate"] for line in told(result)["changes"][0]["lines"]}
    assert "unknown" != found["verdict"] or found["reason"].startswith("coverage")


def test_an_entry_function_that_a_change_takes_away_is_told(call: Call, patch: Patch) -> None:
    path = patch("tdp_fd.c", "void kvm_share_tdp(", "void kvm_share_tdp_no_more(")

    result = call(*ASK, "--change", path)

    (found,) = told(result)["results"]
    assert (3, "unknown") == (result.exit_code, found["verdict"])
    assert "coverage: thread share enters at kvm_share_tdp(), which no file defines any more" == found["reason"]
