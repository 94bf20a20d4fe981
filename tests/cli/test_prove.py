"""`tdpcheck prove`: for every size, with a certificate that two solvers accept."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tdpcheck.cli.main import tdpcheck
from tdpcheck.core.system import Lemma, Property
from tdpcheck.model.parametric import Parametric
from tdpcheck.model.system import shipped_source
from tdpcheck.properties.argument.book import argument
from tdpcheck.runner.museum.items import FOLDER
from tdpcheck.tests.calling import Call

QUICK = ("prove", "reject_noncoherent_dma", "--scenario", "noncoherent-export", "--jobs", "1")
NEEDED = (
    "writer_where importer_is_exported shared_is_exported importer_first exporting exported_is_marked joining_is_coherent "
    "attached_is_imported"
).split()
"""Of fifty lemmas about two threads, eight say why sharing and non-coherent DMA exclude each other."""
BY_DAY_AND_BY_NIGHT = pytest.mark.parametrize(
    "whole", [pytest.param(False, id="of some lemmas"), pytest.param(True, id="of all lemmas", marks=pytest.mark.nightly)]
)
"""By day, of the lemmas that are needed, and of some that are not; with all fifty it takes minutes."""


@pytest.fixture
def lemmas(whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is argued."""
    idle = {"one_writer", "no_dead_install", "assertions_hold", "mutex_where"}

    def some(model: Parametric, *properties: Property) -> list[Lemma]:
        return [x for x in argument(model, *properties) if x.name in {*NEEDED, *idle}]

    if not whole:
        monkeypatch.setattr("tdpcheck.api.prove.argument", some)


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, str]:
    """What is said of a proof, and the file with its certificate; nobody writes into it."""
    file = str(tmp_path_factory.mktemp("proved") / "proof.smt2")
    return CliRunner().invoke(tdpcheck, [*QUICK, "--out", file]), file


@pytest.mark.slow
def test_a_property_is_proved_for_every_size_and_its_certificate_is_kept(call: Call, proved: tuple[Result, str]) -> None:
    """What is printed is what `check-certificate` says of the file; and who has it need not search again."""
    result, file = proved

    assert 0 == result.exit_code, result.output
    assert "reject_noncoherent_dma: Proved (every size)" in result.stdout
    assert "accepted by z3 " in result.stdout
    assert " and cvc5 " in result.stdout
    assert "It names an initial state: that of the scenario at its own size (Block=1, " in result.stdout
    assert 0 == call("check-certificate", file).exit_code

    again = call(*QUICK, "--from", file, "--json")
    told = json.loads(again.stdout)
    assert 0 == again.exit_code
    assert ("Proved", 0) == (told["verdict"], told["searched"])
    assert ["z3", "cvc5"] == [s["name"] for s in told["solvers"]]
    assert told["instances"] > 50


@pytest.mark.slow
def test_without_an_initial_state_nothing_is_proved(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds in every run of a system that cannot start is no news."""
    file = str(tmp_path / "proof.smt2")
    monkeypatch.setattr("tdpcheck.api.prove.starts", lambda model: iter(()))
    result = call(*QUICK, "--out", file)

    assert 3 == result.exit_code
    assert "reject_noncoherent_dma: Unknown (every size)" in result.stdout
    assert "Not proved: no initial state of noncoherent-export at its own size" in result.stdout
    told = call("check-certificate", file)
    assert 3 == told.exit_code
    assert "undecided whether there is an initial state: the file names none" in told.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("lemmas")
@BY_DAY_AND_BY_NIGHT
def test_a_change_that_breaks_a_lemma_is_told_with_the_step_and_its_line(call: Call, tmp_path: Path, proved: tuple[Result, str]) -> None:
    """No proof, no certificate that is accepted, and no claim that there is a race; and instances of another kernel do not help.

    With a search at small sizes, the race is found, and nothing is accepted either.
    """
    (_, good), bad = proved, tmp_path / "bad.smt2"
    patch = str(Path(FOLDER) / "noncoherent-after-export" / "change.patch")
    found = call(*QUICK, "--change", patch, "--from", good, "--out", str(bad))

    assert 1 == found.exit_code
    assert "reject_noncoherent_dma: Violated in 3 steps" in found.stdout
    assert "3 register: noncoherent_dma_count_inc(kvm, dev)  (tdp_fd.c:" in found.stdout
    assert "not kept by register, " in found.stdout
    assert 3 == call("check-certificate", str(bad)).exit_code

    result = call(*QUICK, "--change", patch, "--from", good, "--out", str(bad), "--no-repair")

    assert 3 == result.exit_code
    assert "reject_noncoherent_dma: Unknown" in result.stdout
    assert "not kept by register, " in result.stdout
    assert "That is no violation" in result.stdout
    assert 3 == call("check-certificate", str(bad)).exit_code


@pytest.mark.slow
def test_a_change_that_is_right_is_proved_from_the_instances_of_the_kernel_without_it(call: Call, proved: tuple[Result, str]) -> None:
    """Only the steps that it touches are searched."""
    _, file = proved
    patch = str(Path(FOLDER) / "noncoherent-after-export" / "good.patch")
    told = json.loads(call(*QUICK, "--change", patch, "--from", file, "--json").stdout)

    assert "Proved" == told["verdict"], told
    assert 0 < told["searched"] < told["steps"]


def two_stores_swapped(folder: Path) -> str:
    """A patch that says of the VM that it shares before it says so of the root: harmless, but not what the argument says."""
    before = shipped_source("shared").files["tdp_fd.c"]
    root, vm = "\troot->exported = true;\n", "\tkvm_tdp_set_exported(kvm);\n"
    after = before.replace(root + vm, vm + root)
    assert after != before
    name = "model/kernel/tdp_fd.c"
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"a/{name}", f"b/{name}")
    patch = folder / "swapped.patch"
    patch.write_text("".join(lines))
    return str(patch)


@pytest.mark.slow
@pytest.mark.usefixtures("lemmas")
@BY_DAY_AND_BY_NIGHT
def test_a_lemma_that_a_change_needs_is_found_and_proved_for_every_size(call: Call, tmp_path: Path) -> None:
    """The change makes a lemma false, and a property is lost without it; another lemma, which nobody wrote, takes its place."""
    asked = ("prove", "root_liveness", "--scenario", "noncoherent-export", "--jobs", "1", "--change", two_stores_swapped(tmp_path))
    file = str(tmp_path / "proof.smt2")
    told = json.loads(call(*asked, "--out", file, "--json").stdout)

    assert "Proved" == told["verdict"], told
    assert ["shared_is_exported/1"] == told["refuted"]
    assert told["found"]
    assert any("root_" in says for says in told["found"].values())
    assert 0 == call("check-certificate", file).exit_code

    result = call(*asked, "--no-repair")

    assert 3 == result.exit_code
    assert "root_liveness: Unknown" in result.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("lemmas")
@BY_DAY_AND_BY_NIGHT
def test_a_minimal_argument_says_of_each_lemma_what_misses_it(call: Call) -> None:
    """With the step and its line, and a counterexample to induction; and two solvers accept what is left."""
    result = call(*QUICK, "--minimal")
    missed = [line.strip() for line in result.stdout.splitlines() if ": without it, " in line]

    assert 0 == result.exit_code, result.output
    assert "9 lemmas, kept by all" in result.stdout
    assert "accepted by z3 " in result.stdout
    assert " and cvc5 " in result.stdout
    assert NEEDED == [line.partition(":")[0] for line in missed]
    assert all(re.search(r" is not kept by \w+, \w+\.c:\d+: .*\(a counterexample to induction\)$", line) for line in missed), missed
    assert "joining_is_coherent: without it, reject_noncoherent_dma is not kept by share, " in result.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("prove", "no_stale_io_maping"), "no_stale_io_mapping"),
        (("prove", "--scenario", "linux-6.1-lift-collapse-vs-fault"), "no scenario of kernel C"),
        ((*QUICK, "--from", "/nowhere/proof.smt2"), "/nowhere/proof.smt2"),
        ((*QUICK, "--out", "/nowhere/proof.smt2"), "/nowhere/proof.smt2: cannot be written (No such file or directory)"),
        ((*QUICK, "--change", "/nowhere/x.patch"), "/nowhere/x.patch"),
    ],
)
def test_bad_input_is_one_message(call: Call, arguments: tuple[str, ...], complaint: str) -> None:
    """Said before the search, which may take long."""
    result = call(*arguments)

    assert 2 == result.exit_code
    assert complaint in result.stderr
    assert result.stderr.count("\n") <= 3


def test_a_certificate_of_another_kind_has_no_instances(call: Call, tmp_path: Path) -> None:
    """It is said which file would have some."""
    file = tmp_path / "x.smt2"
    file.write_text("(set-info :tdpcheck-certificate 1)\n")
    result = call(*QUICK, "--from", str(file))

    assert 2 == result.exit_code
    assert str(file) in result.stderr


@pytest.mark.parametrize("name", ["no_table_leak", "no_stale_cpu_mapping"])
def test_a_property_that_nothing_argues_for_every_size_is_no_unknown_one(call: Call, name: str) -> None:
    done = call("prove", name)

    assert 2 == done.exit_code
    assert f"`tdpcheck verify --property {name}` asks it at a scenario's own size" in done.output
