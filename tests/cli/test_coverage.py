"""`tdpcheck coverage` prints a table and the reasons; what it counts is tested on a real tree (tests/lift)."""

from __future__ import annotations

import json

import pytest

from tdpcheck.cli import coverage as command
from tdpcheck.kernelc.sources.tree import KernelTree
from tdpcheck.model.lift.coverage import File, Function
from tdpcheck.tests.calling import Call

MANY = tuple(Function(f"far_{n}", n, "not modelled", "no function of this file is lifted") for n in range(50))
FILES = (
    File("a.c", (Function("one", 1, "lifted", "runs in x"), Function("two", 5, "intrinsic", "it does nothing here: z"))),
    File("b.c", (*MANY, Function("three", 99, "ours", "c.c has it in our words"))),
)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "kernel_given", lambda *given: KernelTree("here", "6.12.1", lambda name: b""))
    monkeypatch.setattr(command, "coverage", lambda tree, working: FILES)


@pytest.mark.usefixtures("told")
def test_a_table_and_the_reasons(call: Call) -> None:
    """One row a file and one of all; functions with one reason stand together, many are counted unless they are asked for."""
    result = call("coverage", "--kernel", "x")
    rows = [line.split() for line in result.stdout.splitlines()]

    assert result.exit_code == 0
    assert ["a.c", "2", "1", "0", "1", "0"] in rows
    assert ["b.c", "51", "0", "1", "0", "50"] in rows
    assert ["all", "53", "1", "1", "1", "50"] in rows
    assert "  lifted: one\n    runs in x\n  intrinsic: two\n    it does nothing here: z\n" in result.stdout
    assert "  not modelled: 50 functions\n    no function of this file is lifted\n" in result.stdout
    assert "far_49" in call("coverage", "--kernel", "x", "--all").stdout


@pytest.mark.usefixtures("told")
def test_as_json(call: Call) -> None:
    """The same, for programs."""
    document = json.loads(call("coverage", "--kernel", "x", "--json").stdout)

    assert document["kernel"] == "6.12.1"
    assert document["files"][0]["functions"][0] == {"name": "one", "line": 1, "fate": "lifted", "why": "runs in x"}


def test_what_is_no_tree_is_refused(call: Call) -> None:
    """One clear error, and how to call it."""
    assert call("coverage", "--kernel", "/nowhere").exit_code == 2
    assert "Missing option '--kernel'" in call("coverage").stderr
