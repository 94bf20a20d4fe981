"""`check-certificate` at the command line: exit codes, what is named, and files that are none."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import pytest

from tdpcheck.checker.certificates.certificate import grounded, parametric
from tdpcheck.core.ground import ground
from tdpcheck.core.sorts import Geometry
from tdpcheck.examples import table_cache
from tdpcheck.model.system import Model
from tdpcheck.properties import PROPERTIES
from tdpcheck.runner.inputs.changes import touched, versions
from tdpcheck.runner.inputs.sources import built, files_of
from tdpcheck.runner.museum.items import FOLDER
from tdpcheck.runner.runs.run import selected_scenarios
from tdpcheck.tests.calling import QUICK, Call, diff

GOOD = parametric(table_cache.system, table_cache.no_stale_cache, table_cache.lemmas, digest="1b77e2", scenario="toy")
BAD = parametric(table_cache.broken, table_cache.no_stale_cache, table_cache.lemmas)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "proof.smt2"
    path.write_text(GOOD, encoding="utf-8")
    return path


def test_a_proof_is_accepted(call: Call, file: Path) -> None:
    """By whom, and of what: a system of its own, whatever it calls itself."""
    result = call("check-certificate", str(file))

    assert 0 == result.exit_code
    assert f"{file}: about a system of its own, compared with none of ours\n" in result.output
    assert "  parametric: 5 clauses, 5 actions\n" in result.output
    assert "  what it calls state: " in result.output
    assert "  what it calls actions: 5: map_page, fill, zap, flush, give_back\n" in result.output
    assert "  what it calls properties: 1: no_stale_cache\n" in result.output
    assert "toy" not in result.output
    assert "1b77e2" not in result.output
    assert "Proved" not in result.output
    assert ["z3", "cvc5"] == [line.split()[0] for line in result.output.splitlines() if ": accepted (" in line]
    assert result.output.splitlines()[-2].startswith("accepted: an initial state exists")
    assert "--scenario NAME compares it with today's model" in result.output.splitlines()[-1]


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

    assert (1, "refused", "grounded", None) == (result.exit_code, told["verdict"], told["kind"], told["sizes"])
    ((answer,),) = [told["answers"]]
    assert ("bitwuzla", "refused") == (answer["solver"], answer["verdict"])
    assert {"step", "clause", "sentence", "answer", "reason", "kind"} == set(answer["failures"][0])


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
        (b"%PDF-1.7 (binary", "no word of a certificate"),
        (GOOD.encode()[:2000], "cut off"),
        (GOOD.encode() + b"(assert false)", "asks nothing"),
        (GOOD.encode().replace(b"(mapped page) (used page)", b"(mapped page) (used used)"), "has used without its 1 arguments"),
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
        (file, "it has more than 15 MB, which no certificate has"),
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


@pytest.mark.parametrize("limit", ["inf", "nan", "1e10", "-1", "0", "-inf", "1e400", "soon"])
def test_a_time_without_an_end_is_no_limit(call: Call, file: Path, limit: str) -> None:
    """One message, and what would be a limit."""
    result = call("check-certificate", str(file), "--timeout", limit)

    assert 2 == result.exit_code
    assert "Invalid value for '--timeout'" in result.stderr


@functools.cache
def of_scenario(name: str, prop: str = "no_stale_io_mapping", *, change: str | None = None) -> tuple[str, Model]:
    """A certificate of what its clauses do not prove, about a shipped scenario, and its model."""
    (scenario,) = selected_scenarios([name], ())
    known = versions(change, files_of(None))
    model = built(scenario, None, known[-1].files, touched(known, len(known) - 1)).model
    small, asked = ground(model.system, model.geometry), PROPERTIES[prop]
    return grounded(small, asked, [small.formula(asked.holds)], digest=model.digest, scenario=name), model


@pytest.mark.slow
def test_what_it_is_about_is_built_anew(call: Call, file: Path) -> None:
    """From today's model: another scenario, another property and another change are refused, and the first difference is named."""
    text, model = of_scenario("mm-exit")
    file.write_text(text, encoding="utf-8")
    about = ("check-certificate", str(file), "--solver", "z3", "--scenario")
    same = call(*about, "mm-exit", "--property", "no_stale_io_mapping")

    assert 1 == same.exit_code  # to the letter what it must be about; but its one clause is not inductive
    assert f"no_stale_io_mapping of scenario mm-exit (model {model.digest}), {model.geometry}\n" in same.output
    for arguments, complaint in (
        (("notifier-vs-fault",), "its head speaks of scenario 'mm-exit', not of notifier-vs-fault"),
        (("mm-exit", "--property", "no_stale_spte"), "the certificate says nothing of no_stale_spte"),
        (("mm-exit", "--property", "no_stale"), "no_stale"),
        (("nowhere",), "nowhere"),
    ):
        result = call(*about, *arguments)
        assert (2, 1) == (result.exit_code, len(result.stderr.strip().splitlines()))
        assert complaint in result.stderr
    alone = call("check-certificate", str(file), "--property", "no_stale_io_mapping")
    assert 2 == alone.exit_code
    assert "name it with --scenario" in alone.stderr


@pytest.mark.parametrize(
    ("pattern", "replacement", "complaint"),
    [
        (r"\(define-fun \|guard [^|]*\| \(\) Bool .*\)$", None, "where today's system says"),
        (
            r"\(define-fun (\|property [^|]*\|) \(\) Bool .*\)$",
            r"(define-fun \1 () Bool true)",
            "it says (define-fun |property reject_noncoherent_dma",
        ),
        (r"\(define-fun (\|init [^|]*\|) \(\) Bool .*\)$", r"(define-fun \1 () Bool false)", "it says (define-fun |init"),
        (r'\(set-info :sizes ".*"\)$', '(set-info :sizes "Page=1")', "its sizes is 'Page=1'"),
        (r'\(set-info :system ".*"\)$', '(set-info :system "notifier")', "its system is 'notifier'"),
    ],
)
def test_another_system_is_named(call: Call, file: Path, pattern: str, replacement: str | None, complaint: str) -> None:
    """Whatever the file calls it: an action less, a property that is true, no initial state."""
    text, _ = of_scenario(QUICK, "reject_noncoherent_dma")
    lines = text.splitlines()
    number = max(n for n, line in enumerate(lines) if re.match(pattern, line))
    if replacement is None:
        action = lines[number].split("|")[1].removeprefix("guard ")
        lines = [line for line in lines if not re.match(rf"\(define-fun \|(guard|next) {re.escape(action)}[ |]", line)]
    else:
        lines[number] = re.sub(pattern, replacement, lines[number])
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = call("check-certificate", str(file), "--scenario", QUICK)

    assert 2 == result.exit_code
    assert complaint in result.stderr


@pytest.mark.slow
def test_a_change_belongs_to_what_it_is_about(call: Call, file: Path) -> None:
    """What was proved of the changed code is not proved of the shipped one, nor the other way round."""
    patch = str(FOLDER / "mm-exit-without-flush" / "change.patch")
    for change in (None, patch):
        text, _ = of_scenario("mm-exit", change=change)
        file.write_text(text, encoding="utf-8")
        answers = [
            call("check-certificate", str(file), "--scenario", "mm-exit", "--solver", "z3", *given) for given in ((), ("--change", patch))
        ]
        assert [1, 2] == sorted(answer.exit_code for answer in answers)
        assert (1 if change is None else 2) == answers[0].exit_code


def test_what_leans_on_a_waiver_is_told(call: Call, file: Path, tmp_path: Path) -> None:
    """The certificate is of the changed system, and that says of itself that a request was refused."""
    patch = tmp_path / "c.patch"
    patch.write_text(diff("tdp_fd.c", "\troot->exported = true;\n", "\tnote_refused();\n\troot->exported = true;\n"))
    line = next(n for n, text in enumerate(files_of(None)["tdp_fd.c"].split("\n"), 1) if text == "\troot->exported = true;")
    place = f"tdp_fd.c:{line}: note_refused()"

    def arguments(change: str | None) -> tuple[str, ...]:
        return "check-certificate", str(file), "--scenario", QUICK, "--solver", "z3", *(("--change", change) if change else ())

    for change, said in ((None, []), (str(patch), [place])):
        text, _ = of_scenario(QUICK, "root_liveness", change=change)
        file.write_text(text, encoding="utf-8")
        told = json.loads(call(*arguments(change), "--json").stdout)

        assert said == [f"{w['file']}:{w['line']}: {w['text']}" for w in told["waivers"]]
    plain = call(*arguments(str(patch))).output
    assert "leans on a waiver, which nobody checks: what a proof of it gives is Waived, not Proved" in plain
    assert f"  waiver {place}: a request was refused" in plain
