"""The states of a run that a document holds."""

from __future__ import annotations

from ..model.scene import Scene
from .schema import Cex, states


def scenes(cex: Cex) -> tuple[Scene, ...]:
    """Every state of a run, the first one included."""
    threads = [actor.name for actor in cex.actors if actor.kind == "thread"]
    return tuple(Scene(cex.sizes, values, threads, cex.names) for values in states(cex))
