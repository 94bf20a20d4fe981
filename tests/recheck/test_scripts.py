"""Obligations as scripts: the solvers' own readers answer what the manifest says, and something else of what is no proof."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.recheck.scripts import MANIFEST, manifest, scripts
from tdpcheck.tests.calling import Call
from tdpcheck.tests.recheck.good import bases

Z3 = Path(sysconfig.get_path("scripts")) / "z3"
CVC5 = """
import sys, cvc5
for name in sys.argv[1:]:
    solver = cvc5.Solver()
    solver.setOption("finite-model-find", "true" if "(set-logic UF)" in open(name).read() else "false")
    parser = cvc5.InputParser(solver)
    parser.setFileInput(cvc5.InputLanguage.SMT_LIB_2_6, name)
    said = []
    while not (command := parser.nextCommand()).isNull():
        said.append(str(command.invoke(solver, parser.getSymbolManager())).strip())
    print(" ".join(filter(None, said)))
"""


def by_z3(files: list[Path]) -> list[str]:
    return [subprocess.run([Z3, file], capture_output=True, text=True, timeout=60, check=False).stdout.strip() for file in files]


def by_cvc5(files: list[Path]) -> list[str]:
    done = subprocess.run([sys.executable, "-c", CVC5, *files], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.splitlines()


def left(text: str, folder: Path) -> list[Path]:
    every = list(scripts(text))
    for each, content in every:
        (folder / each.file).write_text(content, encoding="ascii")
    return [folder / each.file for each, _ in every]


@pytest.mark.parametrize("number", range(5))
def test_other_readers_answer_what_the_manifest_expects(number: int, tmp_path: Path) -> None:
    """Z3 as a command, and cvc5's reader of files, each in a process of its own, of every kind of certificate."""
    text = bases()[number]
    files = left(text, tmp_path)
    told = json.loads(manifest(text, [each for each, _ in scripts(text)]))["obligations"]

    assert [file.name for file in files] == [each["file"] for each in told]
    assert {"start", "initially", "step", "safety"} == {each["kind"] for each in told}
    assert [each["sha256"] for each in told] == [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    assert [each["expected"] for each in told] == by_z3(files) == by_cvc5(files)


@pytest.mark.parametrize("number", range(5))
def test_what_is_no_proof_is_answered_otherwise(number: int, tmp_path: Path) -> None:
    """With every guard open, some obligation is not met, whoever is asked."""
    lines = [
        line.split(" Bool ")[0] + " Bool true)" if line.startswith("(define-fun |guard") else line for line in bases()[number].splitlines()
    ]
    files = left("\n".join(lines) + "\n", tmp_path)

    assert "sat" in by_z3(files)
    assert "sat" in by_cvc5(files)


def test_a_script_stands_alone() -> None:
    """Nothing but declarations, definitions and assertions, one question, and the logic that it needs."""
    for text in bases():
        for _, content in scripts(text):
            words = [line.split()[0] for line in content.splitlines()]
            assert {"(set-info", "(set-logic", "(declare-sort", "(declare-fun", "(define-fun", "(assert", "(check-sat)", "(exit)"} >= set(
                words
            )
            assert ("(check-sat)", "(exit)") == tuple(words[-2:])
            assert (1, 1) == (words.count("(check-sat)"), words.count("(set-logic"))
            assert content.isascii()


def test_a_certificate_without_a_start_leaves_no_scripts() -> None:
    """What is said of no run need not be asked."""
    (text,) = [t for t in bases() if '"instantiated"' in t]
    with pytest.raises(InputError, match="the file names none"):
        list(scripts("\n".join(line for line in text.splitlines() if ":start-" not in line) + "\n"))
    size = next(line for line in text.splitlines() if "start-value (lock" in line)
    with pytest.raises(InputError, match="is not true of the one that the file names"):
        list(scripts(text.replace(size, size.replace("false", "true"))))


def test_the_command_leaves_them(call: Call, tmp_path: Path) -> None:
    """With a manifest, and says what to do with them."""
    file, folder = tmp_path / "proof.smt2", tmp_path / "obligations"
    file.write_text(bases()[0], encoding="utf-8")
    result = call("check-certificate", str(file), "--obligations", str(folder))
    told = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))

    assert 0 == result.exit_code
    assert f"{len(told['obligations'])} obligations of {file} are in {folder}" in result.output
    assert told["certificate_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert {MANIFEST, *(each["file"] for each in told["obligations"])} == {path.name for path in folder.iterdir()}
