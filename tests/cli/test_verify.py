"""`verify` from the outside: verdicts, labels, exit codes, JSON, what is left behind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result
from junitparser import JUnitXml

from tdpcheck.cli.main import tdpcheck
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.runner.inputs.sources import files_of
from tdpcheck.tests.calling import QUICK, Call, diff
from tdpcheck.tests.few import drawn

Patch = Callable[..., str]
FLUSH = ("kvm_main.c", "\tkvm_tdp_fd_flush_notify(kvm);\n", "")
"""The IOTLB flush of every unbounded zap, deleted."""

RESULT = {
    "type": "object",
    "required": ["property", "scenario", "change", "kernel", "verdict", "depth", "seconds", "trace", "reason", "lifted"],
    "properties": {
        "property": {"type": "string"},
        "scenario": {"type": "string"},
        "change": {"type": ["string", "null"]},
        "kernel": {"type": "string"},
        "verdict": {"enum": ["proved", "violated", "holds_up_to", "unknown", "vacuous"]},
        "depth": {"type": ["integer", "null"]},
        "seconds": {"type": "number", "minimum": 0},
        "trace": {"type": ["array", "null"], "items": {"type": "object", "required": ["actor", "action", "text", "source"]}},
        "reason": {"type": ["string", "null"]},
        "lifted": {"type": "array", "items": {"type": "string"}},
        "label": {"enum": ["introduced", "pre-existing", "fixed", None]},
    },
}
SCHEMA = {
    "type": "object",
    "required": ["schema", "model", "results"],
    "properties": {"schema": {"const": 2}, "model": {"type": "string", "minLength": 8}, "results": {"type": "array", "items": RESULT}},
}


def document(result: Result) -> dict[str, Any]:
    """The JSON document on standard output, checked."""
    found: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(found, SCHEMA)
    return found


def only(result: Result) -> dict[str, Any]:
    """The only result of a run."""
    (found,) = document(result)["results"]
    assert isinstance(found, dict)
    return found


def test_what_holds_is_said_with_its_bound(call: Call) -> None:
    result, bounded = call("verify", "--scenario", QUICK), call("verify", "--scenario", QUICK, "--no-certify")

    assert (result.exit_code, bounded.exit_code) == (0, 0)
    assert re.search(r"reject_noncoherent_dma +Proved \(this size; certificate [0-9a-f]{12}\) +as expected", result.stdout)
    assert re.search(r"reject_noncoherent_dma +HoldsUpTo 7 +as expected", bounded.stdout)
    assert "PASS" not in result.output
    assert "assumed: threads: share (kvm_share_tdp), register" in result.stdout
    assert "\x1b" not in result.output


def test_json_has_goals_steps_and_assumptions(call: Call) -> None:
    result = call("verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma", "--no-certify", "--json")

    found = only(result)
    assert result.exit_code == 0
    assert (found["verdict"], found["depth"], found["asked"]) == ("holds_up_to", 7, 7)
    assert found["goals"] == {"refused": 2, "share finished": 2, "register finished": 1}
    assert any("kvm_arch_has_noncoherent_dma" in line for line in found["steps"]["share"]["reached"])
    assert set(found["steps"]) == {"share", "register"}
    assert found["assumptions"]


@pytest.mark.slow
def test_the_same_question_has_the_same_answer(call: Call) -> None:
    def told() -> dict[str, Any]:
        found = document(call("verify", "--scenario", QUICK, "--json"))
        for record in found["results"]:
            record.pop("seconds")
        return found

    assert told() == told()


def test_a_depth_of_its_own(call: Call) -> None:
    found = only(call("verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma", "--depth", "9", "--no-certify", "--json"))

    assert (found["verdict"], found["depth"]) == ("holds_up_to", 9)


@pytest.mark.slow
def test_a_depth_at_which_the_premise_is_out_of_reach_is_vacuous(call: Call, tmp_path: Path) -> None:
    """Nothing is violated within no steps at all: that is worth nothing, and is not said to hold."""
    result = call("verify", "--scenario", "mm-exit", "--property", "no_stale_io_mapping", "--depth", "0", "--states", "0", "--json")

    found = only(result)
    assert (found["verdict"], result.exit_code) == ("vacuous", 3)
    assert found["reason"].startswith("vacuous: no run of at most 0 steps reaches the premise")


@dataclass(frozen=True)
class Broken:
    """A run with the flush deleted: what it printed, the change and the folder of what it left."""

    result: Result
    change: str
    out: Path

    @property
    def trace(self) -> str:
        return str(self.out / "mm-exit.no_stale_io_mapping.change.cex.json")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Broken:
    """Ask once, look from several sides."""
    folder = tmp_path_factory.mktemp("broken")
    change, out = folder / "change.patch", folder / "out"
    change.write_text(diff(*FLUSH))
    arguments = ["--scenario", "mm-exit", "--property", "no_stale_io_mapping", "--change", str(change)]
    logs = ["--junit", str(folder / "junit.xml"), "--sarif", str(folder / "log.sarif")]
    return Broken(CliRunner().invoke(tdpcheck, ["verify", *arguments, "--json", "--out", str(out), *logs]), str(change), out)


@pytest.mark.slow
def test_a_deleted_flush_is_introduced_by_the_change(broken: Broken) -> None:
    """The bug that all this is for: the zap frees a page that the IOTLB still knows."""
    found = only(broken.result)
    (change,) = document(broken.result)["changes"]

    assert broken.result.exit_code == 1
    assert (found["verdict"], found["label"], found["before"]["verdict"]) == ("violated", "introduced", "proved")
    assert found["shortest"] is True
    assert len(found["trace"]) == found["depth"]
    assert [(line["kind"], line["fate"]) for line in change["lines"]] == [("removed", "reached")]


@pytest.mark.slow
def test_what_is_left_behind(broken: Broken) -> None:
    found = only(broken.result)

    assert json.loads((broken.out / "run.json").read_text()) == document(broken.result)
    assert "mm-exit.no_stale_io_mapping.change.cex.json" in found["files"]
    assert {p.name for p in broken.out.iterdir()} == {*found["files"], "run.json"}
    assert [".cex.json", ".txt", ".svg", ".html"] == [name.removeprefix("mm-exit.no_stale_io_mapping.change") for name in found["files"]]
    assert "kvm_tdp_fd_flush_notify(kvm);" in (broken.out / found["files"][3]).read_text()


@pytest.mark.slow
def test_other_tools_are_told_too(broken: Broken) -> None:
    """A failing test case with the whole report in it, and a result at the place of the deleted line."""
    (case,) = JUnitXml.fromfile(str(broken.out.parent / "junit.xml")).__iter__().__next__()
    (result,) = json.loads((broken.out.parent / "log.sarif").read_text())["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    line = files_of(None)["kvm_main.c"].replace(FLUSH[1], "").split("\n")[place["region"]["startLine"] - 1]

    assert "no_stale_io_mapping" == case.name
    assert case.result[0].message.endswith("introduced")
    assert "VIOLATED no_stale_io_mapping" in case.result[0].text
    assert "model/kernel/kvm_main.c" == place["artifactLocation"]["uri"]
    assert "}" == line


def test_what_holds_is_a_passing_case_and_no_result(call: Call, tmp_path: Path) -> None:
    """An empty log says that a run found nothing; without it nobody would know."""
    junit, sarif = tmp_path / "j.xml", tmp_path / "s.sarif"
    call("verify", "--scenario", QUICK, "--junit", str(junit), "--sarif", str(sarif))
    read = JUnitXml.fromfile(str(junit))

    assert read.tests > 0 == read.failures == read.errors
    assert [] == json.loads(sarif.read_text())["runs"][0]["results"]


@pytest.mark.slow
def test_a_trace_is_replayed_and_shown(call: Call, broken: Broken, tmp_path: Path) -> None:
    """It carries its change; without that it needs the change."""
    bare = tmp_path / "bare.cex.json"
    bare.write_text(json.dumps({name: part for name, part in json.loads(Path(broken.trace).read_text()).items() if name != "patch"}))

    missing = call("replay", str(bare))
    alone = call("replay", broken.trace)
    replayed = call("replay", broken.trace, "--change", broken.change)
    as_json = call("replay", broken.trace, "--change", broken.change, "--json")
    shown = call("show", broken.trace)

    assert missing.exit_code == 2
    assert "give that change with --change FILE" in missing.stderr
    assert (0, 0) == (alone.exit_code, replayed.exit_code), replayed.output
    assert alone.stdout == replayed.stdout
    assert "end in a violation of no_stale_io_mapping; no solver was asked" in replayed.stdout
    assert json.loads(as_json.stdout)["replays"] is True
    assert shown.stdout.startswith("VIOLATED no_stale_io_mapping")


@pytest.mark.slow
def test_a_trace_that_no_longer_fits_says_so(call: Call, patch: Patch, broken: Broken) -> None:
    """Replayed on code in which the flush is there, the run is none."""
    harmless = patch("kvm_main.c", " * MMU notifiers, remote flushes and the deletion of a memslot.\n", " * Notifiers.\n", "harmless.patch")

    result = call("replay", broken.trace, "--change", harmless)

    assert result.exit_code == 3
    assert result.stdout.startswith("does not replay: step ")


@pytest.mark.slow
def test_a_trace_is_judged_anew_whatever_it_says_of_itself(call: Call, broken: Broken, tmp_path: Path) -> None:
    """Emptied of its violation it would pass for a run in which nothing happens."""
    emptied = tmp_path / "emptied.cex.json"
    emptied.write_text(json.dumps(json.loads(Path(broken.trace).read_text()) | {"violation": []}))
    result = call("replay", str(emptied), "--change", broken.change)

    assert result.exit_code == 3
    assert "ends in a violation of no_stale_io_mapping, but the document says that nothing is violated" in result.stdout


def test_a_change_in_code_that_no_scenario_runs_is_not_waved_through(call: Call, patch: Patch) -> None:
    path = patch("tdp_fd.c", "\tnoncoherent_dma_count_dec(kvm, dev);\n", "")

    result = call("verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma", "--change", path, "--json")

    found = only(result)
    assert (found["verdict"], result.exit_code) == ("unknown", 3)
    assert found["reason"].startswith("change not modelled: tdp_fd.c:")
    assert [line["fate"] for line in document(result)["changes"][0]["lines"]] == ["outside"]


def test_a_change_that_the_model_erases_is_not_waved_through(call: Call, patch: Patch) -> None:
    path = patch("tdp_fd.c", "\troot->exported = true;\n", "\troot->exported = true;\n\tcond_resched();\n")

    result = call("verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma", "--change", path)

    assert result.exit_code == 3
    assert "Unknown (change not modelled)" in result.stdout
    assert "erased: no lock is held there" in result.stdout


def test_progress_and_answer_agree_about_a_change_that_is_not_modelled(call: Call, patch: Patch) -> None:
    """The first answer comes before the lines of the change are accounted for, and says so; the last word is that of the answer."""
    path = patch("tdp_fd.c", "\tnoncoherent_dma_count_dec(kvm, dev);\n", "")
    result = call("verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma", "--no-certify", "--change", path)
    told = [line for line in result.stderr.splitlines() if "reject_noncoherent_dma: " in line]

    assert ["HoldsUpTo 7, if the whole change is modelled", "Unknown (change not modelled)"] == [
        line.split("reject_noncoherent_dma: ")[1].rpartition("  ")[0] for line in told
    ]
    assert (
        "Unknown (change not modelled): reject_noncoherent_dma in noncoherent-export\n  change not modelled: tdp_fd.c:87" in result.stdout
    )


@pytest.mark.slow
def test_progress_promises_nothing_of_a_violation_or_of_code_without_a_change(call: Call, broken: Broken) -> None:
    """There is nothing to take back."""
    plain = call("verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma", "--no-certify")

    assert "if the whole change" not in plain.stderr + broken.result.stderr
    assert "no_stale_io_mapping: Violated in" in broken.result.stderr


def test_a_change_of_comments_alone_changes_nothing(call: Call, patch: Patch) -> None:
    path = patch("tdp_fd.c", "The importer is known before the device walks.", "In that order.")

    result = call("verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma", "--change", path, "--json")

    assert (only(result)["verdict"], result.exit_code) == ("proved", 0)
    assert document(result)["changes"][0]["lines"] == []


def test_a_patch_of_a_file_that_is_not_there_is_outside(call: Call, tmp_path: Path) -> None:
    """Nothing good is said of it: what holds is Unknown, and why is said."""
    path = tmp_path / "c.patch"
    path.write_text("--- a/nested.c\n+++ b/nested.c\n@@ -1,2 +1,1 @@\n x\n-y\n")

    result = call("verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma", "--change", str(path), "--json")

    found = only(result)
    assert (found["verdict"], found["kind"], result.exit_code) == ("unknown", "change-not-modelled", 3)
    (change,) = document(result)["changes"]
    assert (change["modelled"], [(line["file"], line["fate"]) for line in change["lines"]]) == (False, [("nested.c", "outside")])


@pytest.mark.slow
def test_a_series_is_checked_patch_by_patch(call: Call, tmp_path: Path) -> None:
    """The first breaks it, the second mends it: what the second leaves is fixed."""
    check = "\tif (kvm_arch_has_noncoherent_dma(kvm)) {\n"
    bad = diff("tdp_fd.c", check, "\tif (false) {\n")
    heads = [f"From {n} Mon Sep 17 00:00:00 2001\nFrom: A <a@b.c>\nSubject: [PATCH {n}/2] {s}\n\n" for n, s in ((1, "Break"), (2, "Mend"))]
    swapped = {"-": "+", "+": "-"}
    good = "".join(
        line if line.startswith(("---", "+++", "@@")) else swapped.get(line[0], line[0]) + line[1:]
        for line in bad.splitlines(keepends=True)
    )
    path = tmp_path / "series.mbox"
    path.write_text(heads[0] + bad + "\n" + heads[1] + good)

    result = call("verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma", "--change", str(path), "--json")

    found = document(result)["results"]
    assert [(r["change"], r["verdict"], r["label"]) for r in found] == [
        ("series.mbox: [1/2] Break", "violated", "introduced"),
        ("series.mbox: [2/2] Mend", "proved", "fixed"),
    ]
    assert result.exit_code == 1


def test_an_overlay_changes_scenarios(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "more-devices.toml"
    path.write_text("[geometry]\ndevices = 3\n")

    result = call("verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma", "--change", str(path), "--json")

    found = only(result)
    assert (found["verdict"], found["change"], result.exit_code) == ("proved", "more-devices.toml", 0)
    assert any("devices 3" in text for text in found["assumptions"])


def test_a_scenario_from_a_file_that_expects_the_wrong_thing(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        'name = "own"\nstory = "x"\n[[thread]]\nrole = "share"\nentry = "kvm_share_tdp"\n'
        '[hardware]\ncoherent = false\n[start]\nexported = []\nattached = false\n[expect]\nreject_noncoherent_dma = "violated"\n'
        '[[unreachable]]\nbecause = "nobody else runs"\nsteps = ["share: *"]\n'
    )

    result = call("verify", "--scenario", str(path), "--property", "reject_noncoherent_dma")

    assert "the scenario expects a violation and none was found" in result.stdout
    assert result.exit_code in (0, 3)


ANSWERING = {name: scenario for name, scenario in shipped_scenarios().items() if not scenario.needs_kernel}


@pytest.mark.parametrize("name", drawn(ANSWERING, 5, kind=lambda name: ANSWERING[name].design))
def test_a_scenario_answers_as_it_expects(call: Call, name: str) -> None:
    """One of each design by day; every property."""
    assert_as_expected(call("verify", "--scenario", name, "--json"), {name})


@pytest.mark.slow
@pytest.mark.nightly
def test_every_scenario_answers_as_it_expects(call: Call) -> None:
    """The shipped designs, every property, every scenario, in one run."""
    assert_as_expected(call("verify", "--json"), set(ANSWERING))


def assert_as_expected(result: Result, scenarios: set[str]) -> None:
    """What is violated is expected to be, and what holds has a certificate."""
    answers = document(result)["results"]
    open_ = [r for r in answers if r["verdict"] != "violated" and not (r["verdict"] == "proved" and r["certificate"])]

    assert result.exit_code == 0, [(r["scenario"], r["property"], r["verdict"], r["reason"]) for r in answers]
    assert [] == [(r["scenario"], r["property"], r["verdict"], r["reason"]) for r in open_]
    assert {r["scenario"] for r in answers} == scenarios
