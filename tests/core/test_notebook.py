"""What a notebook shows of traces and verdicts: all that matters, as HTML that holds together and hides nothing."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tdpcheck.checker.every_size.induction import prove
from tdpcheck.checker.states.explore import explore
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.notebook import filled, table
from tdpcheck.core.sorts import Geometry, Sort, Word
from tdpcheck.core.system import Action, Param, Source, TransitionSystem, bool_var, set_at, truth
from tdpcheck.core.trace import Trace, run
from tdpcheck.core.verdict import TIME_IS_UP, HoldsUpTo, Proved, Reason, ReasonKind, Unknown, Verdict, Violated
from tdpcheck.examples import table_cache

SIZE = Geometry({"Page": 2, "Device": 2, "Thread": 1})
HOSTILE = '<script>alert("&")</script>'


class Page(HTMLParser):
    """Reads HTML strictly: every tag is closed where it must be; text is kept by cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()
        assert [] == self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "br":
            self.handle_data("\n")
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def violation() -> Violated:
    """A page that is given back before the last device forgot it."""
    verdict = explore(table_cache.broken, SIZE, table_cache.no_stale_cache).verdict
    assert isinstance(verdict, Violated)
    return verdict


def hostile() -> Trace:
    """A run whose every name would be markup if it were believed."""
    sort = Sort(HOSTILE)
    var, param = bool_var(HOSTILE, sort), Param("x", sort)
    source = Source(HOSTILE, 7, HOSTILE, HOSTILE)
    act = Action(HOSTILE, HOSTILE, (param,), truth(True), (set_at(var, (param.const,), truth(True)),), HOSTILE + " {x}", (source,))
    system = TransitionSystem(HOSTILE, (sort,), (var,), (), (act,))
    evaluator = Evaluator(system, Geometry({HOSTILE: 2}))
    return run(evaluator, evaluator.first({f"{HOSTILE}[1]": 1}), [(act, (0,))])


def test_a_trace_shows_each_step_with_its_actor_its_arguments_and_what_it_changes() -> None:
    """Whoever reads the table can execute the run by hand."""
    trace = violation().trace
    page = Page(trace._repr_html_())

    assert ["step", "actor", "what happens", "cells changed"] == page.rows[0]
    assert [str(n) for n in range(trace.depth + 1)] == [row[0] for row in page.rows[1:]]
    assert [step.action.actor for step in trace.steps] == [row[1] for row in page.rows[2:]]
    assert "cpu" == page.rows[2][1]
    assert "map page 0" == page.rows[2][2]
    assert "used[0]: false → true\nmapped[0]: false → true" == page.rows[2][3]
    assert "table_cache_without_the_last_flush (Device=2, Page=2, Thread=1): 5 steps" in page.text
    assert not [row for row in page.rows if "{" in "".join(row)]


def test_the_changes_in_the_table_lead_from_the_first_state_to_the_last() -> None:
    """A cell that changes and is not told, or is told and does not change, would show another run."""
    trace = violation().trace
    values = {cell.name: cell.var.kind.show(0) if isinstance(cell.var.kind, Sort) else "false" for cell in trace.layout.cells}
    first = dict(values)
    _, initial, *rows = Page(trace._repr_html_()).rows
    values |= dict(line.split(" = ") for line in initial[3].splitlines())
    for row in rows:
        for line in row[3].splitlines():
            name, _, change = line.partition(": ")
            before, _, after = change.partition(" → ")
            assert before == values[name]
            values[name] = after

    wanted = {cell.name: value for cell, value in zip(trace.layout.cells, trace.states[-1], strict=True)}
    assert {name for name, value in wanted.items() if value} == {name for name, value in values.items() if value != first[name]}


def test_nothing_that_is_given_becomes_markup() -> None:
    """Names come from patches and scenarios, and a notebook is a page in somebody's browser."""
    trace = hostile()
    shown = [
        trace._repr_html_(),
        Violated(trace, HOSTILE)._repr_html_(),
        Proved(HOSTILE, (HOSTILE,), 1, HOSTILE)._repr_html_(),
        HoldsUpTo(3, HOSTILE, ((HOSTILE, HOSTILE),))._repr_html_(),
        Unknown(Reason(ReasonKind.FAULT, HOSTILE), HOSTILE)._repr_html_(),
    ]

    for text in shown:
        page = Page(text)
        assert page.tags <= {"div", "p", "strong", "table", "caption", "thead", "tbody", "tr", "th", "td", "br"}
        assert page.attributes <= {"class", "scope"}
        assert HOSTILE in page.text
        assert "<script" not in text
    assert f"{HOSTILE} 0\n{HOSTILE}:7" == Page(shown[0]).rows[2][2]
    assert f"{HOSTILE}[1] = true" == Page(shown[0]).rows[1][3]


@pytest.mark.parametrize(
    ("verdict", "facts"),
    [
        (Proved("every size", ("a", "b"), 9, "induction"), ["Proved", "every depth", "for every size", "engine induction", "by 2 lemmas"]),
        (Proved("Page=2", (), 0, "explore"), ["Proved", "for the size Page=2", "engine explore"]),
        (Proved("its only size", (), 9, "pdr", invariant=(truth(True),)), ["for its only size", "engine pdr", "invariant of 1 clause"]),
        (HoldsUpTo(7, "bmc"), ["Holds up to depth 7", "at most 7 steps", "not a proof", "engine bmc"]),
        (HoldsUpTo(7, "explore", states=42), ["Holds up to depth 7", "all reachable states, 42, were visited", "engine explore"]),
        (HoldsUpTo(0, "induction", (("zap", "owed"),)), ["depth 0", "not a proof", "1 pair of action and lemma", "zap", "owed"]),
        (Unknown(TIME_IS_UP, "pdr", 4), ["Unknown: the time is up", "at most 4 steps", "engine pdr"]),
        (
            Unknown(Reason(ReasonKind.VACUOUS, "unreached"), "explore"),
            ["its premise was never reached", "no depth was searched to its end"],
        ),
    ],
)
def test_a_verdict_says_how_strong_it_is(verdict: Verdict, facts: list[str]) -> None:
    """Bound, engine, sizes and lemmas: without them a weaker answer would look like a stronger one."""
    text = Page(verdict._repr_html_()).text

    assert [] == [fact for fact in facts if fact not in text]


def test_only_a_proof_reads_as_one() -> None:
    """Whoever skims a notebook sees one word."""
    weaker: list[Verdict] = [HoldsUpTo(7, "bmc"), HoldsUpTo(7, "explore", states=42), Unknown(TIME_IS_UP, "pdr"), violation()]

    assert not [verdict for verdict in weaker if "Proved" in verdict._repr_html_()]


def test_a_violation_shows_its_run_and_whether_it_is_the_shortest() -> None:
    """None is not False: nobody looked."""
    found = violation()

    assert found.trace._repr_html_() in found._repr_html_()
    assert "after 5 steps; no run is shorter; for the size Device=2, Page=2, Thread=1; engine explore" in Page(found._repr_html_()).text
    assert "whether a run is shorter is not known" in replace(found, shortest=None)._repr_html_()


def test_the_lemmas_of_a_proof_and_the_gap_without_one_are_listed() -> None:
    """The second notebook stands on these two tables."""
    prop = table_cache.no_stale_cache
    whole = prove(table_cache.system, prop)
    gap = prove(table_cache.system, prop, [lemma for lemma in prop.lemmas if lemma.name != "one_thread_a_page"])

    assert [lemma.name for lemma in prop.lemmas] == [row[1] for row in Page(whole._repr_html_()).rows[1:]]
    assert isinstance(gap, HoldsUpTo)
    assert gap.broken_lemmas
    assert [list(pair) for pair in gap.broken_lemmas] == Page(gap._repr_html_()).rows[1:]


def test_the_same_answer_reads_the_same_however_long_it_took() -> None:
    """A stored notebook would differ at every run."""
    found = violation()

    assert found._repr_html_() == replace(found, seconds=found.seconds + 1)._repr_html_() == violation()._repr_html_()


def test_placeholders_are_filled_once_and_unknown_ones_stay() -> None:
    """A value that looks like a placeholder is a value; braces of C are not ours."""
    odd = Sort("Odd", ("{b}", "zero"))
    params = (Param("a", odd), Param("b", Word(4)), Param("gfn@3", Sort("Gfn")))

    assert "{b} 5 2 {c} {}" == filled("{a} {b} {gfn} {c} {}", params, (0, 5, 2))


def test_lines_of_a_cell_stay_lines() -> None:
    """Many cells change in one step."""
    assert "<td>a<br>&lt;b&gt;</td>" in table("caption", ("x", "y"), [("1", "a\n<b>")])
