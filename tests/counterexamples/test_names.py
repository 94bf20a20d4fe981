"""A variable of the machine is named where it is declared; who tells of it imports it, so that a misspelling is no silent omission."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tdpcheck
from tdpcheck.model.machine import parts
from tdpcheck.model.scenario import shipped_scenarios

ROOT = Path(tdpcheck.__file__).parent
MACHINE = ROOT / "model" / "machine"
PROPERTIES = sorted((ROOT / "properties").glob("*.py"))
SPEAK = [path for room in ("counterexamples", "cli", "reports", "runner") for path in (ROOT / room).rglob("*.py")]
TELLERS = sorted([*SPEAK, *PROPERTIES])
FILES = sorted(MACHINE.glob("*.py"))


def names() -> frozenset[str]:
    """What the machine calls its variables and actions; a name that is an English word, too, is no sign of either."""
    scenario = shipped_scenarios()["notifier-vs-fault"]
    found = {var.name for var in parts.state()} | {action.name for action in parts.actions(scenario)}
    return frozenset(name for name in found if "_" in name)


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Each string of a file that is no docstring, f-strings piece by piece."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.lineno, node.value


def test_no_teller_spells_a_variable_or_an_action() -> None:
    """A name in a string survives every check when it is misspelled: today's tellers have none."""
    known = names()
    spelled = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in TELLERS
        for line, text in literals(path)
        for word in re.findall(r"\w+", text)
        if word in known
    ]
    assert len(known) > 50
    assert [] == spelled


VARIABLES = frozenset(var.name for var in parts.state())


@functools.cache
def used(path: Path) -> list[str]:
    """The names that a file imports from the machine and uses as variables of a state."""
    text = path.read_text(encoding="utf-8")
    if not any(name in text for name in VARIABLES):
        return []  # every process that collects tests looks at all of these files
    tree = ast.parse(text)
    imported = {
        alias.name
        for node in (ast.walk(tree) if path.parent == MACHINE or "machine" in text else ())
        if isinstance(node, ast.ImportFrom) and node.module is not None and (path.parent == MACHINE or "machine" in node.module)
        for alias in node.names
    }
    own = {t.id for node in tree.body if isinstance(node, ast.Assign) for t in node.targets if isinstance(t, ast.Name)}
    return sorted((imported | own) & VARIABLES)


SPEAKING = [path for path in (*TELLERS, *FILES) if used(path)]
"""The files that ask a state for variables of the machine: stories, violations and the missing flush, and the parts themselves."""


def test_what_asks_for_variables_is_prose_about_them_or_declares_them() -> None:
    """A form that asked for a variable by itself would have to be edited for each new part."""
    assert ["missing_flush.py"] == [path.name for path in SPEAKING if path.parent != MACHINE and path not in PROPERTIES]


@pytest.mark.parametrize("path", SPEAKING, ids=[path.stem for path in SPEAKING])
def test_a_misspelling_cannot_be_written(path: Path) -> None:
    """Each use of each variable, misspelled: Python has no such name, and whoever looks at the file says so."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    variables = used(path)
    places = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and n.id in variables]
    assert {node.id for node in places} == set(variables)
    # All at once, each with another letter: as many complaints as there are uses.
    lines = [line.encode() for line in source.splitlines(keepends=True)]
    for node in sorted(places, key=lambda n: (n.lineno, n.col_offset), reverse=True):
        line = lines[node.lineno - 1]
        lines[node.lineno - 1] = line[: node.col_offset] + b"x" + line[node.col_offset :]
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ruff"),
            "check",
            "--isolated",
            "--select=F821",
            "--output-format=concise",
            "--stdin-filename",
            path,
            "-",
        ],
        input=b"".join(lines),
        capture_output=True,
        check=False,
    )
    found = re.findall(r"F821 Undefined name `x(\w+)`", done.stdout.decode())
    assert sorted(node.id for node in places) == sorted(found)


@pytest.mark.parametrize("path", [p for p in SPEAKING if p.parent != MACHINE], ids=[p.stem for p in SPEAKING if p.parent != MACHINE])
def test_a_misspelt_import_fails(path: Path) -> None:
    """The name is the machine's own: another one is not there."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None and ".machine." in f".{node.module}":
            module = sys.modules[f"tdpcheck.model.machine.{node.module.rpartition('.')[2]}"]
            assert all(hasattr(module, alias.name) and not hasattr(module, f"x{alias.name}") for alias in node.names)
