"""`tdpcheck export`: a question of a scenario in another language, and clear words where that cannot be."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import z3

from tdpcheck.checker.states.explore import explore
from tdpcheck.core.verdict import Proved
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.properties import PROPERTIES
from tdpcheck.runner.inputs.sources import built, files_of
from tdpcheck.tests.calling import QUICK, Call
from tdpcheck.tests.checker.export.test_exports import spin

from .test_errors import complaint

PROPERTY = "reject_noncoherent_dma"
Patch = Callable[..., str]
BEGINS = {"smt2": b"; system ", "btor2": b"; system ", "aiger": b"aig ", "aag": b"aag ", "promela": b"// system "}


@pytest.mark.parametrize("form", BEGINS)
def test_each_form_is_written_to_a_file_and_to_standard_output_alike(call: Call, tmp_path: Path, form: str) -> None:
    """The same question gives the same text."""
    file = tmp_path / "out"
    written = call("export", QUICK, "--property", PROPERTY, "--to", form, "--out", str(file))
    printed = call("export", QUICK, "--property", PROPERTY, "--to", form)

    assert (0, 0) == (written.exit_code, printed.exit_code)
    assert "" == written.stdout
    assert file.read_bytes() == printed.stdout_bytes
    assert file.read_bytes().startswith(BEGINS[form])


@pytest.mark.skipif(not shutil.which("berkeley-abc"), reason="berkeley-abc is not installed")
def test_abc_proves_what_it_is_given_and_refutes_it_with_a_bad_change(call: Call, tmp_path: Path) -> None:
    """The whole way: scenario, change, AIGER, and a checker of other people."""
    change = str(Path(__file__).parents[2] / "museum" / "noncoherent-after-export" / "change.patch")

    def abc(*more: str) -> str:
        file = tmp_path / "m.aig"
        done = call("export", "noncoherent-attach", "--property", PROPERTY, "--to", "aiger", "--out", str(file), *more)
        assert 0 == done.exit_code, done.output
        said = subprocess.run(
            ["berkeley-abc", "-c", f"read {file.name}; pdr"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        return said.stdout

    assert "Property proved" in abc()
    assert "was asserted" in abc("--change", change)


def test_the_bounded_question_is_complete(call: Call) -> None:
    """It can be piped into a solver as it is."""
    text = call("export", QUICK, "--property", PROPERTY, "--to", "smt2", "--depth", "3", "--cone").stdout
    solver = z3.Solver()
    solver.from_string(text.replace("(check-sat)", ""))

    assert text.rstrip().endswith("(check-sat)")
    assert z3.unsat == solver.check()


def test_the_cone_is_smaller(call: Call) -> None:
    """What cannot influence the property is left out on demand."""

    def cells(*more: str) -> int:
        found = re.search(r"; (\d+) cells", call("export", QUICK, "--property", PROPERTY, "--to", "btor2", *more).stdout)
        assert found
        return int(found[1])

    assert 0 < cells("--cone") < cells()


def test_bad_input_is_told_in_one_message(call: Call, tmp_path: Path) -> None:
    """Names, files and options that do not fit."""
    asked = ("--property", PROPERTY, "--to", "smt2")

    assert complaint(call, "export", "notifier-vs-falt", *asked).startswith("there is no scenario 'notifier-vs-falt'; did you mean")
    assert complaint(call, "export", QUICK, "--property", "x", "--to", "smt2").startswith("there is no property 'x'; there are")
    assert "there is no such file" in complaint(call, "export", QUICK, *asked, "--change", str(tmp_path / "none.patch"))
    assert "--depth makes a question of --to smt2" in complaint(
        call, "export", QUICK, "--property", PROPERTY, "--to", "aag", "--depth", "3"
    )
    assert "cannot be written" in complaint(call, "export", QUICK, *asked, "--out", str(tmp_path / "no" / "such" / "folder"))
    assert "give the tree with --kernel" in complaint(call, "export", QUICK, *asked, "--rev", "v6.1")
    assert 2 == call("export", QUICK, "--property", PROPERTY, "--to", "verilog").exit_code
    assert 2 == call("export", QUICK).exit_code


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("spin") and shutil.which("gcc")), reason="spin or gcc is not installed")
def test_spin_counts_the_states_of_a_shipped_scenario(call: Call, tmp_path: Path) -> None:
    """Kernel C and machine, through another checker: the same verdict, and as many states as our exploration visits."""
    scenario = shipped_scenarios()["notifier-vs-fault"]
    model = built(scenario, None, files_of(None)).model
    explored = explore(model.system, model.geometry, PROPERTIES["no_stale_io_mapping"])
    text = call("export", "notifier-vs-fault", "--property", "no_stale_io_mapping", "--to", "promela").stdout

    assert isinstance(explored.verdict, Proved)
    assert (False, explored.stats.states) == spin(text, tmp_path)
