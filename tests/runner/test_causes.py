"""One mistake is one cause, wherever it shows and whatever it breaks there; two mistakes are two."""

from __future__ import annotations

from typing import Any

import msgspec

from tdpcheck.runner.asking.results import Change, ChangedLine, Result, document
from tdpcheck.runner.asking.traces import TraceStep
from tdpcheck.runner.telling.causes import also_text, causes
from tdpcheck.tests.reports.runs import answer

CHANGE = "x.patch"


def line(kind: str, at: int, text: str = "\tflush(kvm);", file: str = "a.c") -> ChangedLine:
    values = {"file": file, "line": at, "near": at, "kind": kind, "text": text, "fate": "reached", "why": ""}
    return msgspec.convert(values, ChangedLine)


def bad(prop: str, scenario: str, *places: str, **more: Any) -> Result:
    """A violation that a change brings about, of a run through some statements."""
    steps = tuple(TraceStep("t", "step", (), f"does {place}", place) for place in places)
    return answer(prop, scenario, "violated", change=CHANGE, label="introduced", trace=steps, depth=len(steps), **more)


def changed(*lines: ChangedLine, name: str = CHANGE) -> Change:
    return Change(name, "", True, lines)


def test_a_deleted_line_is_one_cause_of_all_that_it_breaks() -> None:
    records = [bad("p", "long", "a.c:3", "a.c:9", "b.c:1"), bad("q", "short", "b.c:7"), bad("p", "middle", "b.c:7", "b.c:8")]
    (cause,) = causes(document(records, [changed(line("removed", 9))]))

    assert [("q", "short"), ("p", "middle"), ("p", "long")] == [(r.property, r.scenario) for r in cause.records]
    assert cause.at is not None
    assert ("a.c", 9) == (cause.at.file, cause.at.near)
    assert "The same cause breaks p in middle, long." == also_text(cause)


def test_two_deleted_lines_are_two_causes_each_of_the_runs_that_pass_it() -> None:
    lines = changed(line("removed", 9), line("removed", 50), line("removed", 9, file="b.c"))
    found = causes(document([bad("p", "one", "a.c:8", "c.c:1"), bad("p", "two", "a.c:52"), bad("p", "three", "b.c:2")], [lines]))

    assert {"one": ("a.c", 9), "two": ("a.c", 50), "three": ("b.c", 9)} == {
        c.first.scenario: (c.at.file, c.at.near) for c in found if c.at is not None
    }


def test_a_line_that_was_moved_a_little_is_one_cause_and_the_line_that_ran_is_the_one_to_look_at() -> None:
    lines = changed(line("removed", 10), line("added", 13))
    (cause,) = causes(document([bad("p", "one", "a.c:11"), bad("p", "two", "a.c:11", "a.c:13")], [lines]))
    (other,) = causes(document([bad("p", "two", "a.c:11", "a.c:13")], [lines]))

    assert ("one", "removed") == (cause.first.scenario, cause.at.kind if cause.at else "")
    assert ("two", "added") == (other.first.scenario, other.at.kind if other.at else "")


def test_what_a_later_patch_of_the_series_leaves_violated_is_no_cause_of_its_own() -> None:
    later = answer("p", "one", "violated", change="y.patch", label="pre-existing", as_expected=False)
    (cause,) = causes(document([later, bad("p", "one", "a.c:9")], [changed(line("removed", 9)), changed(name="y.patch")]))

    assert [CHANGE, "y.patch"] == [r.change for r in cause.records]
    assert "" == also_text(cause)


def test_what_no_change_brings_about_is_told_apart_by_what_is_done() -> None:
    plain = [bad("p", s, *places) for s, places in (("one", ["a.c:1"]), ("two", ["a.c:1"]), ("three", ["a.c:2"]))]
    records = [msgspec.structs.replace(r, change=None, label=None) for r in plain]
    expected = answer("p", "four", "violated", expected="violated", as_expected=True)
    found = causes(document([*records, expected, answer("p", "five")]))

    assert [("one", "two"), ("three",)] == sorted(tuple(sorted(c.scenarios)) for c in found)
    assert all(c.at is None for c in found)
