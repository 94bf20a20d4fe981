"""What each protection is there for: a lemma of an argument, and the item of the museum in which its protection is missing."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ..museum.loader import Item, shipped_items

RACES = {
    "exporting": "export-check-outside-lock",
    "no_sharing_with_noncoherent": "noncoherent-after-export",
    "joining_is_coherent": "attach-noncoherent-device",
    "exported_is_valid": "fast-zap-invalidates-exported-root",
}
"""Lemma to item: with the item's change, some step of kernel C no longer keeps the lemma (a test asks)."""


class Race(msgspec.Struct, frozen=True):
    """A lemma's protection dropped: by which change, which property breaks, and in which scenario it is seen."""

    lemma: str
    item: str
    title: str
    property: str
    scenario: str
    depth: int | None


def commands(race: Race) -> tuple[str, ...]:
    """How to see a race."""
    change = f"museum/{race.item}/change.patch"
    verify = f"tdpcheck verify --scenario {race.scenario} --property {race.property} --change {change}"
    return f"tdpcheck museum {race.item}", verify


def races_of(lemmas: Iterable[str]) -> tuple[Race, ...]:
    """The known races that these lemmas' protections prevent."""
    items = shipped_items()
    return tuple(_race(lemma, items[RACES[lemma]]) for lemma in lemmas if lemma in RACES)


def _race(lemma: str, item: Item) -> Race:
    title = item.story.partition("\n")[0].removeprefix("# ")
    return Race(lemma, item.name, title, item.expect.property, item.expect.scenario, item.expect.depth)
