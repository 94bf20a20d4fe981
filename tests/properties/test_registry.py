"""A property is one value of the registry: a toy that exists in this file alone is asked, found, told, repaired and argued."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
import z3

from tdpcheck import explain, verify
from tdpcheck.checker.arguments.lemmas import check_lemmas
from tdpcheck.core.system import Lemma, Property
from tdpcheck.counterexamples.forms.text import text
from tdpcheck.counterexamples.schema import Cex
from tdpcheck.counterexamples.story import story
from tdpcheck.counterexamples.why.repairs import verified
from tdpcheck.model.machine.ghosts import refused
from tdpcheck.model.machine.sorts import root
from tdpcheck.model.machine.tables import root_exported, root_invalid, root_ref_export
from tdpcheck.model.parametric import parametric
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.scene import Scene
from tdpcheck.model.system import parse_source, shipped_source
from tdpcheck.model.view.naming import cell
from tdpcheck.properties import PROPERTIES, REGISTRY, Registered
from tdpcheck.properties.argument.book import argument
from tdpcheck.properties.argument.setting import Setting
from tdpcheck.properties.repairs import Recipe
from tdpcheck.properties.telling import Run, Teller, Wrong
from tdpcheck.tests.calling import QUICK, Call


def _found(scene: Scene) -> Iterator[Wrong]:
    if scene.is_set(refused):
        yield Wrong("somebody was sent away", {}, (cell(refused),))


def _told(run: Run, found: Wrong) -> str:
    number = run.since(lambda scene: scene.is_set(refused))
    return f"{run.who(number)} hears a no (step {number}): {found.sentence}."


FRIENDLY = Registered(
    Property("everybody_is_welcome", "Nobody is ever refused.", z3.Not(refused()), z3.BoolVal(True), source="wishful thinking"),
    _found,
    (Teller((), _told),),
    (Recipe("say yes", "Take note of no refusal", r"note_refused\(\);", ("cond_resched();",), "instead"),),
)


def _chapter(_: Setting) -> Iterator[Lemma]:
    yield Lemma(
        "held_while_exported", z3.ForAll([root], z3.Implies(root_exported(root), root_ref_export(root))), "It is held.", "So it is."
    )


SOUND = Registered(
    Property(
        "exported_is_alive", "No exported root is invalid.", z3.ForAll([root], z3.Not(z3.And(root_exported(root), root_invalid(root))))
    ),
    chapter=_chapter,
)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for entry in (FRIENDLY, SOUND):
        monkeypatch.setitem(REGISTRY, entry.prop.name, entry)


@pytest.fixture(scope="module")
def violated() -> Cex:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(REGISTRY, FRIENDLY.prop.name, FRIENDLY)
        (found,) = verify(QUICK, FRIENDLY.prop.name, cache=False, jobs=1).violations
        return found.counterexample


def test_a_property_of_the_registry_is_asked_and_its_violation_is_told_in_its_words(violated: Cex) -> None:
    """By whom it is told, and which cell shows it, nobody else knows."""
    (instance,) = violated.violation

    assert ("somebody was sent away", ("refused",)) == (instance.sentence, instance.cells)
    assert 2 == violated.depth
    assert f"{violated.steps[1].actor} hears a no (step 2): somebody was sent away." == story(violated)
    assert story(violated) in " ".join(text(violated).split())


def test_what_may_repair_it_is_tried(violated: Cex) -> None:
    files = dict(shipped_source("shared").files)

    def check(changed: Mapping[str, str]) -> str | None:
        return "held" if any("cond_resched();" in text for text in changed.values()) else None

    (repair, *_) = verified(violated, files, check)

    assert "say yes" == repair.name
    assert "-\t\tnote_refused();\n+\t\tcond_resched();" in repair.diff


def test_it_is_listed_and_offered(call: Call) -> None:
    listed, unknown = call("list", "properties"), call("verify", "--scenario", QUICK, "--property", "everybody_is_welcom")

    assert "Nobody is ever refused." in listed.stdout
    assert "everybody_is_welcome" in unknown.stderr


def test_it_is_argued_for_every_size_with_a_chapter_of_its_own() -> None:
    """The chapter is told where it is asked, and nowhere else."""
    explanation = explain(SOUND.prop.name, scenario=QUICK, jobs=1)

    assert explanation.holds
    assert ["held_while_exported", SOUND.prop.name] == [step.name for step in explanation.told.lemmas[-2:]]
    assert "held_while_exported" not in {x.name for x in argument(explanation.model, PROPERTIES["root_liveness"])}


def test_a_chapter_that_is_wrong_proves_nothing() -> None:
    model = parametric(shipped_scenarios()[QUICK], parse_source(shipped_source("shared")))
    wrong = Lemma("nobody_exports", z3.ForAll([root], z3.Not(root_exported(root))), "", "")
    chosen = [*argument(model, SOUND.prop), wrong]

    assert not check_lemmas(model.system, [SOUND.prop], chosen, patience=3).holds


def test_a_property_that_knows_nothing_of_itself_is_told_all_the_same(violated: Cex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, FRIENDLY.prop.name, Registered(FRIENDLY.prop))
    last = violated.steps[-1]

    assert f"{last.actor}: {last.label} (step 2). After that, somebody was sent away." == story(violated)


@pytest.mark.slow
def test_every_registered_lemma_is_one_of_the_argument() -> None:
    """Else a name that was misspelled would filter nothing."""
    known = {
        x.name
        for x in argument(parametric(shipped_scenarios()["eager-split"], parse_source(shipped_source("shared"))), *PROPERTIES.values())
    }

    assert set() == {name for entry in REGISTRY.values() for name in entry.lemmas} - known
