"""A lemma and the bug that its protection prevents: with the bug, the lemma no longer goes through."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tdpcheck.runner.museum.items import FOLDER, shipped_items
from tdpcheck.runner.telling.races import RACES, races_of, shown
from tdpcheck.tests.calling import Call
from tdpcheck.tests.few import drawn

SEEN = {"exported_is_valid": "share-vs-fast-zap"}
"""Where a smaller scenario than the item's own has the step: every size needs no second thread to race with."""


@pytest.mark.parametrize("lemma", drawn(RACES, 3))
def test_the_bug_breaks_the_lemma_whose_protection_it_drops(call: Call, lemma: str) -> None:
    """Otherwise the page would send the reader to a bug that has nothing to do with it."""
    item = shipped_items()[RACES[lemma]]
    asked = ("explain", item.expect.property, "--scenario", SEEN.get(lemma, item.expect.scenario), "--jobs", "1", "--json")
    sound, broken = call(*asked), call(*asked, "--change", str(Path(FOLDER) / item.name / "change.patch"))

    assert 0 == sound.exit_code, sound.stderr
    assert 3 == broken.exit_code, broken.stderr
    assert lemma in [step["name"] for step in json.loads(broken.stdout)["lemmas"] if step["broken_by"]]


@pytest.mark.slow
def test_explain_names_the_race_of_the_lemma_that_is_left_out(call: Call) -> None:
    """And says how to see it."""
    asked = ("explain", "reject_noncoherent_dma", "--scenario", "noncoherent-export", "--jobs", "1", "--race")
    dropped, whole = call(*asked, "--drop", "exporting"), call(*asked, "--json")

    assert 3 == dropped.exit_code
    assert "BROKEN" in dropped.stdout
    assert "tdpcheck museum export-check-outside-lock" in dropped.stdout
    assert dropped.stdout.endswith("\n\n    => the TDP is exported while non-coherent DMA of device 0 is registered.\n")
    assert "noncoherent-after-export" not in dropped.stdout
    assert set(RACES) == {race["lemma"] for race in json.loads(whole.stdout)["races"]}


@pytest.mark.parametrize("lemma", drawn(RACES, 3))
def test_the_race_that_is_shown_is_one_of_the_item(lemma: str) -> None:
    """Found now, replayed before it is told, as deep as the museum says, and in which nothing but the lemma's protection is missing."""
    (race,) = races_of([lemma])
    told = shown(race)

    assert f"VIOLATED {race.property} in scenario {race.scenario}" in " ".join(told.run.split())
    assert race.depth is None or f"depth {race.depth}" in told.run
    assert "=> " in told.run
    assert max(map(len, told.run.splitlines())) <= 72


def test_a_lemma_without_a_known_race_has_none() -> None:
    """Nothing is made up."""
    assert () == races_of(["one_writer"])
