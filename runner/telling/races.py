"""What each protection is there for: a lemma of an argument, and the item of the museum in which its protection is missing."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import structs

from ...checker.states.minimal import plainest
from ...core.errors import EngineError
from ...core.verdict import Violated
from ...counterexamples.document import actor_of, from_verdict
from ...counterexamples.forms.text import shortly
from ...kernelc.sources.patch import parse_change
from ...model.scenario import shipped_scenarios
from ..inputs.changes import patched
from ..inputs.sources import built, files_of
from ..inputs.terms import property_of
from ..museum.items import Item, shipped_items

RACES = {
    "exporting": "export-check-outside-lock",
    "no_sharing_with_noncoherent": "noncoherent-after-export",
    "joining_is_coherent": "attach-noncoherent-device",
    "exported_is_valid": "fast-zap-invalidates-exported-root",
}
"""Lemma to item: with the item's change, some step of kernel C no longer keeps the lemma (a test asks)."""


class Race(msgspec.Struct, frozen=True):
    """A lemma's protection dropped: by which change, which property breaks, and in which scenario it is seen.

    Args:
        run: the race, found again and told; '' where nobody looked for it.
    """

    lemma: str
    item: str
    title: str
    property: str
    scenario: str
    depth: int | None
    run: str = ""


def shown(race: Race) -> Race:
    """The race with a plainest of its shortest runs, found now by visiting states, replayed, and told.

    Raises:
        EngineError: it is not there any more.
    """
    item = shipped_items()[race.item]
    files = patched(parse_change(item.patch, item.change), files_of(None))[-1].files
    model = built(shipped_scenarios()[race.scenario], None, files).model
    prop = property_of(model, race.property)
    trace = plainest(model.system, model.geometry, prop, lambda move: actor_of(model, move.action, move.arguments))
    if trace is None:
        raise EngineError(f"the race of museum item {race.item} is not found any more; please report this")
    return structs.replace(race, run=shortly(from_verdict(model, prop, Violated(trace, "explore", True), item.change, budget=0)))


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
