"""Exit codes, labels and files, without an engine."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tdpcheck.core.verdict import TIME_IS_UP, HoldsUpTo, Proved, Reason, ReasonKind, Unknown, Verdict, Violated
from tdpcheck.runner import output
from tdpcheck.runner.asking import results

HOLDS, PROVED, UNKNOWN = HoldsUpTo(9, "e"), Proved("every size", (), 1, "e"), Unknown(TIME_IS_UP, "e")
VIOLATED = Violated(cast(Any, SimpleNamespace(depth=3)), "e")


def record(verdict: results.Word, *, as_expected: bool = True) -> results.Result:
    kind = {"unknown": ReasonKind.TIME_OUT, "vacuous": ReasonKind.VACUOUS}.get(verdict)
    return results.Result(
        property="p", scenario="s", change=None, kernel="shipped", verdict=verdict, depth=3, seconds=0.0, trace=None, reason=None,
        lifted=(), asked=3, expected="holds", as_expected=as_expected, label=None, before=None, shortest=None, engine="e", goals={},
        steps={}, assumptions=(), model="m", kind=kind,
    )  # fmt: skip


BAD = record("violated", as_expected=False)
EXPECTED_BAD = record("violated")
GOOD, PROOF = record("holds_up_to"), record("proved")
DOUBT, EMPTY = record("unknown"), record("vacuous")


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ([], 0),
        ([GOOD, PROOF], 0),
        ([EXPECTED_BAD, GOOD], 0),
        ([DOUBT, GOOD], 3),
        ([EMPTY], 3),
        ([DOUBT, BAD, GOOD], 1),
        ([BAD, EMPTY], 1),
    ],
)
def test_a_violation_outweighs_what_is_unknown_and_that_outweighs_what_holds(records: list[results.Result], code: int) -> None:
    assert results.exit_code(records) == code


def test_an_interrupt_has_its_own_code_unless_a_violation_was_found() -> None:
    assert results.exit_code([GOOD], interrupted=True) == 130
    assert results.exit_code([GOOD, BAD], interrupted=True) == 1


def test_a_change_that_is_not_modelled_makes_even_an_expected_violation_unknown() -> None:
    change = results.Change("c.patch", "", False, ())
    why = Reason(ReasonKind.NOT_MODELLED, "change not modelled: x")

    assert results.exit_code([EXPECTED_BAD], [change]) == 3
    assert results.without_approval(GOOD, why).verdict == "unknown"
    assert results.without_approval(BAD, why).verdict == "violated"


@pytest.mark.parametrize(
    ("before", "after", "label"),
    [
        (HOLDS, VIOLATED, "introduced"),
        (PROVED, VIOLATED, "introduced"),
        (VIOLATED, VIOLATED, "pre-existing"),
        (VIOLATED, HOLDS, "fixed"),
        (VIOLATED, PROVED, "fixed"),
        (UNKNOWN, VIOLATED, None),
        (VIOLATED, UNKNOWN, None),
        (HOLDS, HOLDS, None),
    ],
)
def test_what_a_change_has_to_do_with_a_violation(before: Verdict, after: Verdict, label: str | None) -> None:
    assert results.label_of(results.word_of(before), results.word_of(after)) == label


def test_names_of_files_are_tame() -> None:
    assert output.slug("a-b", "p_q", "x.mbox: [1/2] Do ../../it") == "a-b.p_q.x-1-2-Do-it"
    assert output.slug("linux-6.1-collapse", "b", None) == "linux-6.1-collapse.b"


def _write_often(path: Path, letter: str) -> None:
    for _ in range(50):
        output.write(path, letter.encode() * 100_000)


def test_two_runs_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    writers = [threading.Thread(target=_write_often, args=(path, letter)) for letter in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert path.read_bytes() in (b"a" * 100_000, b"b" * 100_000)
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]
