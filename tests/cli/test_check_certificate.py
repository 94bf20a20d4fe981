"""`check-certificate` at the command line: exit codes, what is named, and files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tdpcheck.checker.certificates.certificate import grounded, parametric
from tdpcheck.core.ground import ground
from tdpcheck.core.sorts import Geometry
from tdpcheck.examples import table_cache
from tdpcheck.tests.calling import Call

GOOD = parametric(table_cache.system, table_cache.no_stale_cache, table_cache.lemmas, digest="1b77e2", scenario="toy")
BAD = parametric(table_cache.broken, table_cache.no_stale_cache, table_cache.lemmas)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "proof.smt2"
    path.write_text(GOOD, encoding="utf-8")
    return path


def test_a_proof_is_accepted(call: Call, file: Path) -> None:
    """By whom, and what that means."""
    result = call("check-certificate", str(file))

    assert 0 == result.exit_code
    assert f"{file}: no_stale_cache of table_cache (scenario toy, model 1b77e2), every size\n" in result.output
    assert "  parametric: 5 clauses, 5 actions\n" in result.output
    assert ["z3", "cvc5"] == [line.split()[0] for line in result.output.splitlines() if ": accepted (" in line]
    assert result.output.splitlines()[-1].startswith("accepted: an initial state exists")


def test_what_fails_is_named(call: Call, file: Path) -> None:
    """The pair of step and clause, with the sentence."""
    file.write_text(BAD, encoding="utf-8")
    result = call("check-certificate", str(file), "--solver", "z3")

    assert 1 == result.exit_code
    assert "    give_back does not keep cached_is_mapped_or_owed (What is cached is mapped or owed.)" in result.output
    assert "refused: this is no proof" == result.output.splitlines()[-1]


def test_the_answer_as_json(call: Call, file: Path) -> None:
    """For other programs."""
    small = ground(table_cache.system, Geometry({"Page": 1, "Device": 1, "Thread": 1}))
    file.write_text(grounded(small, table_cache.no_stale_cache, [small.formula(table_cache.no_stale_cache.holds)]), encoding="utf-8")
    result = call("check-certificate", str(file), "--json", "--solver", "bitwuzla")
    told = json.loads(result.output)

    assert (1, "refused", "grounded", "Device=1, Page=1, Thread=1") == (result.exit_code, told["verdict"], told["kind"], told["sizes"])
    ((answer,),) = [told["answers"]]
    assert ("bitwuzla", "refused") == (answer["solver"], answer["verdict"])
    assert {"step", "clause", "sentence", "answer", "reason"} == set(answer["failures"][0])


def test_no_time_is_undecided(call: Call, file: Path) -> None:
    """Neither accepted nor refused."""
    result = call("check-certificate", str(file), "--timeout", "0.0001")

    assert 3 == result.exit_code
    assert "undecided: a solver gave no answer, so this is not accepted as a proof" == result.output.splitlines()[-1]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "it is empty"),
        (b"\xff\xfe\x00", "it is no text"),
        (b"%PDF-1.7 (binary", "cut off"),
        (GOOD.encode()[:2000], "cut off"),
        (GOOD.encode() + b"(assert false)", "asks nothing"),
        (GOOD.encode().replace(b"(mapped page) (used page)", b"(mapped page) (used used)"), "does not accept the certificate"),
    ],
)
def test_a_bad_file_is_one_message(call: Call, file: Path, content: bytes, complaint: str) -> None:
    """Exit code 2, and what is wrong."""
    file.write_bytes(content)
    result = call("check-certificate", str(file))

    assert 2 == result.exit_code
    assert complaint in result.stderr
    assert 1 == len(result.stderr.strip().splitlines())


def test_a_missing_a_huge_and_no_file(call: Call, file: Path, tmp_path: Path) -> None:
    """The same for what cannot be read."""
    with file.open("r+b") as sparse:
        sparse.truncate(10**11)

    for path, complaint in (
        (tmp_path / "none.smt2", "there is no such file"),
        (tmp_path, "cannot be read"),
        (file, "which no certificate has"),
    ):
        result = call("check-certificate", str(path))
        assert 2 == result.exit_code
        assert complaint in result.stderr
        assert 1 == len(result.stderr.strip().splitlines())


def test_a_solver_that_cannot_read_this_kind_is_named(call: Call, file: Path) -> None:
    """Bitwuzla knows no quantifiers over uninterpreted sorts."""
    result = call("check-certificate", str(file), "--solver", "bitwuzla")

    assert 2 == result.exit_code
    assert "check a parametric certificate with z3 and cvc5" in result.stderr
