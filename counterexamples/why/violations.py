"""Which instances of a property are false in a state: what a reader asks first, and what the pictures mark."""

from __future__ import annotations

from ...model.scene import Scene
from ...properties import REGISTRY
from ..schema import Instance


def false_instances(prop: str, sentence: str, scene: Scene) -> tuple[Instance, ...]:
    """The false instances of the property called `prop`; one that nobody finds an instance of is said to be false as a whole."""
    known = REGISTRY.get(prop)
    found = known.find(scene) if known is not None and known.find is not None else ()
    instances = tuple(Instance(wrong.sentence, dict(wrong.at), wrong.cells) for wrong in found)
    return instances or (Instance(f"here it is false that: {sentence}"),)
