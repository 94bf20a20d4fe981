"""Each lemma of the argument is missed when it is left out, and each statement of the shipped kernel C when it is deleted.

What is missed is told by a counterexample to induction at a small size, which is one for every size; docs/lemmas.md has the tables.
`python -m tdpcheck.tests.properties.protection` makes them again.
"""

from __future__ import annotations

from functools import cache

import pytest
import z3

from tdpcheck.checker.arguments.sized import SizedArgument
from tdpcheck.checker.states.explore import survey
from tdpcheck.core.trace import replays
from tdpcheck.model.system import build
from tdpcheck.runner.inputs.terms import property_of
from tdpcheck.tests.few import drawn

from . import protection
from .protection import (
    ARGUED,
    EXPLORED,
    LEMMAS,
    NOTHING_BREAKS,
    SCENARIOS,
    SILENT,
    STATEMENTS,
    UNARGUED,
    code,
    follows,
    missing,
    rows,
    sized,
    statements,
)

LEMMA_ROWS = rows(LEMMAS)
STATEMENT_ROWS = {row.what: row for row in rows(STATEMENTS)}
LEFT_OUT = drawn(ARGUED, 5)
"""The arguments that are asked for with and without each lemma."""
WHOLE = ["mm-exit", *(pytest.param(name, marks=pytest.mark.slow) for name in SCENARIOS if name not in {"mm-exit", *ARGUED, *UNARGUED})]
"""Those that are asked for as they stand."""


@pytest.mark.parametrize("name", WHOLE)
def test_the_argument_of_a_scenario_holds_at_its_size(name: str) -> None:
    """With gfns, roots and ranges as it gives them; and each of its lemmas has a row, or says what a property says."""
    assert_whole(sized(SCENARIOS[name], code()))


def assert_whole(argument: SizedArgument) -> None:
    """Every step keeps all of it, and none of its lemmas is without a row."""
    assert [] == [(m.action.name, m.lemma) for m in argument.without()]
    assert set(argument.lemmas) - {row.what for row in LEMMA_ROWS} <= REPEATED


REPEATED = {"assertions_hold", "attached_is_coherent", "no_dead_install", "no_sharing_with_noncoherent", "no_stale_install"}
"""Lemmas that say with a reason what a property says. Nothing misses them, since the property is there; some statement protects each."""


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_lemma_that_is_left_out_is_missed_by_what_leads_to_a_property(name: str) -> None:
    """By every step and lemma of its row: so nothing of the argument is idle, and all of it is there for a property."""
    argument = sized(SCENARIOS[name], code())
    assert_whole(argument)
    missed = missing(argument)
    steps = {protection.step(action) for action in argument.system.actions}

    for row in (row for row in LEMMA_ROWS if row.scenario == name):
        assert row.breaks, row
        assert {m.lemma for m in missed.get(row.what, ())} == set(row.breaks), row
        assert row.step in steps, row


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "lemma", "props"),
    [
        ("noncoherent-attach", "attached_is_coherent", ("reject_noncoherent_dma",)),
        # Who holds mmu_lock for writing there is about to export, and has looked.
        ("noncoherent-attach", "no_sharing_with_noncoherent", ("reject_noncoherent_dma", "writer_where", "exporting")),
        ("noncoherent-attach", "no_dead_install", ("root_liveness",)),
        ("noncoherent-attach", "assertions_hold", ("kernel_assertions",)),
        ("fast-zap-vs-notifier", "no_stale_install", ("notifier_exclusion",)),
    ],
)
def test_a_lemma_that_nothing_misses_says_what_a_property_says(scenario: str, lemma: str, props: tuple[str, ...]) -> None:
    assert follows(sized(SCENARIOS[scenario], code()), lemma, *props)


def test_what_says_what_a_property_says_is_protected_by_a_statement() -> None:
    """Without it, the lemma itself fails, or one that it rests on."""
    named = {lemma for row in STATEMENT_ROWS.values() for lemma in row.breaks}

    assert {"attached_is_coherent"} == REPEATED - named
    assert "joining_is_coherent" in named
    assert ("reject_noncoherent_dma",) == next(row.breaks for row in LEMMA_ROWS if row.what == "joining_is_coherent")


def test_each_statement_is_missed_or_declared() -> None:
    """A new one must be told apart, and none stands here that is gone."""
    declared = [text for texts in NOTHING_BREAKS.values() for text in texts]

    assert sorted(text for text, _ in statements()) == sorted([*STATEMENT_ROWS, *declared])


def test_the_page_can_be_made_again() -> None:
    """Whoever makes it looks for each statement in the scenario of its row, too."""
    assert [] == [row.what for row in STATEMENT_ROWS.values() if row.scenario not in set(protection.tried(row.what))]


def test_the_page_tells_what_nothing_misses() -> None:
    assert protection.silent() == protection.PAGE.read_text().partition(SILENT[0])[2].partition(SILENT[1])[0]


@cache
def _few() -> tuple[str, ...]:
    """Statements of which some few together break every lemma and property that any statement breaks."""
    found: list[str] = []
    open_ = {lemma for row in STATEMENT_ROWS.values() for lemma in row.breaks}
    while open_:
        found.append(max(STATEMENT_ROWS, key=lambda text: len(open_.intersection(STATEMENT_ROWS[text].breaks))))
        open_ -= set(STATEMENT_ROWS[found[-1]].breaks)
    return tuple(found)


@pytest.mark.slow
@pytest.mark.parametrize("text", [pytest.param(x, marks=[] if x in _few() else pytest.mark.nightly) for x in STATEMENT_ROWS])
def test_a_statement_that_is_deleted_is_missed_by_lemmas_at_steps_with_a_line(text: str) -> None:
    """Every lemma is broken by the loss of one of those that are asked by day."""
    row = STATEMENT_ROWS[text]
    found = list(sized(SCENARIOS[row.scenario], dict(statements())[text]).without(asked=row.breaks))

    assert set(row.breaks) == {m.lemma for m in found}
    assert any(m.action.source for m in found)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPLORED)
def test_a_statement_that_no_lemma_misses_and_exploration_does_is_missed_by_a_run(name: str) -> None:
    """With all statements, every state of the scenario is good; without any one of these, a run violates a property."""
    without = {text: left for text, left in statements() if text in EXPLORED[name]}

    assert set(EXPLORED[name]) == set(without)
    for text, left in {"": code(), **without}.items():
        made = build(SCENARIOS[name], left)
        expected = [name for name, answer in made.scenario.expect.items() if answer == "holds"]
        properties = [property_of(made, name) for name in dict.fromkeys((*expected, "kernel_assertions"))]
        seen = survey(made.system, made.geometry, {prop.name: z3.Not(prop.holds) for prop in properties})
        violated = [prop for prop in properties if (trace := seen.traces[prop.name]) is not None and replays(trace, prop)]

        assert seen.stats.complete
        assert bool(text) == bool(violated), text
