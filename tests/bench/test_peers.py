"""The comparison is worth something only if it can fail: a wrong engine is found out, and one without an answer is not believed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable

import pytest

from tdpcheck.bench import peers
from tdpcheck.bench.peers import ENGINES, PROVED, VIOLATED, Engine, Row, contradictions, main, read_abc, read_horn, read_spin, run, smaller
from tdpcheck.tests.few import drawn

needs_abc = pytest.mark.skipif(not shutil.which("berkeley-abc"), reason="berkeley-abc is not installed")
BY_NAME = {engine.name: engine for engine in ENGINES}


def planted(says: str) -> Engine:
    """An engine that says the same whatever it is asked."""
    return Engine("planted", False, lambda _: [(sys.executable, "-c", f"print({says!r})")], str.strip)


@needs_abc
def test_a_wrong_engine_is_found_out(capsys: pytest.CaptureFixture[str]) -> None:
    """ABC proves what the planted engine says is violated: exit code 1, and both are named."""
    code = main(["good:2,1,1", "--limit", "20"], [BY_NAME["ABC pdr"], planted(VIOLATED)])
    told = capsys.readouterr()

    assert 1 == code
    assert "DISAGREEMENT: good:2,1,1: ABC pdr say proved, planted say violated" in told.err
    assert "| planted |" in told.out


def test_a_wrong_proof_of_a_seeded_bug_needs_no_second_opinion(capsys: pytest.CaptureFixture[str]) -> None:
    """The table's bugs are known, so that a single engine cannot err unseen."""
    assert 1 == main(["bug:2,1,1", "--limit", "20"], [planted(PROVED)])
    assert "planted is wrong: it is known to be broken" in capsys.readouterr().err


@needs_abc
@pytest.mark.parametrize(("question", "answer"), [("good:2,1,1", PROVED), ("bug:2,1,1", VIOLATED)])
def test_engines_agree_on_the_smallest_table(question: str, answer: str) -> None:
    """Ours and ABC, on one export."""
    chosen = [BY_NAME[n] for n in ("ours: pdr", "ours: explore", "ABC pdr", "ABC pdr, lemmas conjoined")]
    rows = run([question], chosen, 30, lambda _: None)

    assert [""] + [answer] * 4 == [row.answer for row in rows]
    assert all(row.seconds > 0 for row in rows)
    assert [] == contradictions(rows)


@pytest.mark.parametrize(("question", "answer"), drawn([("good:2,1,1", PROVED), ("bug:2,1,1", VIOLATED), ("bug2:2,1,1", VIOLATED)], 1))
def test_every_engine_agrees_where_it_answers(question: str, answer: str) -> None:
    """All that is installed, and nobody says the opposite."""
    rows = run([question], ENGINES, 30, lambda _: None)
    answers = {row.engine: row.answer for row in rows}

    assert [] == contradictions(rows)
    assert sum(said == answer for said in answers.values()) >= 5
    assert answers["ours: lemmas (every size)"] == (PROVED if question.startswith("good") else "broken lemmas")


@pytest.mark.slow
def test_a_shipped_scenario_can_be_asked() -> None:
    """The same export, of kernel C."""
    rows = run(["noncoherent-export:reject_noncoherent_dma"], [BY_NAME["ours: pdr"], BY_NAME["ours: explore"]], 60, lambda _: None)

    assert {PROVED} == {row.answer for row in rows[1:]}


def test_an_engine_that_takes_too_long_has_no_answer_and_is_not_asked_more() -> None:
    """Its CPU time is limited, not that of the wall."""
    busy = Engine("busy", False, lambda _: [(sys.executable, "-c", "while True: pass")], lambda _: PROVED)
    rows = run(["good:2,1,1", "good:2,2,1"], [busy], 1, lambda _: None)

    assert ["out of time", "not asked"] == [row.answer for row in rows if row.engine == "busy"]


def test_an_engine_that_is_not_there_is_told_so() -> None:
    missing = Engine("missing", False, lambda _: [("no-such-checker",)], str, ("no-such-checker",))
    rows = run(["good:2,1,1"], [missing], 1, lambda _: None)

    assert "no-such-checker is not installed" == rows[-1].answer


@pytest.mark.parametrize(
    ("reads", "text", "answer"),
    [
        (read_abc, "Property proved.  Time = 0.1 sec", PROVED),
        (read_abc, "Output 0 of miter was asserted in frame 5.", VIOLATED),
        (read_abc, "No output asserted in 21 frames. Resource limit reached", "none up to 21"),
        (read_abc, "There is no current network.", "no answer"),
        (read_spin, "State-vector 20 byte, depth reached 81, errors: 0", PROVED),
        (read_spin, "pan:1: assertion violated 0 (at depth 5)", VIOLATED),
        (read_spin, "error: max search depth too small\nState-vector 20 byte, errors: 0", "no answer"),
        (read_spin, "pan: out of memory\nerrors: 0", "no answer"),
        (read_horn, "sat", PROVED),
        (read_horn, "unsat", VIOLATED),
        (read_horn, "unknown", "no answer"),
        (read_horn, '(error "line 13 column 572: unexpected character")\nsat', "refuses its input"),
    ],
)
def test_what_others_say_is_read_with_care(reads: Callable[[str], str], text: str, answer: str) -> None:
    """`unsat` ends in `sat`, a search that was cut short has no errors, either, and half of an input may be satisfiable."""
    assert answer == reads(text)


def test_what_contradicts_what() -> None:
    """Only answers that claim something can contradict each other."""
    rows = [Row("s:p", "a", False, PROVED), Row("s:p", "b", False, "out of time"), Row("s:q", "c", False, VIOLATED)]

    assert [] == contradictions(rows)
    assert ["s:p: a say proved, d say violated"] == contradictions([*rows, Row("s:p", "d", False, VIOLATED)])
    assert smaller("good:2,2,1", "good:4,2,1")
    assert not smaller("good:2,2,2", "good:8,8,1")
    assert not smaller("good:2,1,1", "bug:2,1,1")


def test_the_table_tells_what_was_given() -> None:
    """A reader sees who was given the lemmas, who ran out of time, and what took place before the search."""
    rows = [
        Row("good:2,1,1", "A", True, PROVED, 0.5),
        Row("good:2,1,1", "B", False, "out of time", 60.0),
        Row("good:2,1,1", "C", False, VIOLATED, 1.0, 2.0),
    ]
    lines = peers.table(rows, 60).splitlines()

    assert ["| A | yes | 0.50 |", "| B |  | > 60 |", "| C |  | 1.00 (+2.0) violated |"] == lines[2:]
