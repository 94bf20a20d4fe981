"""The machine in one state as an outline: who holds what, a line each, with what has changed or gone stale marked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..model.machine import parts
from ..model.view.roles import CACHE_BOX, HOST_BOX, TABLE_BOX, THREAD_BOX
from .graph import Graph

BOXES = (TABLE_BOX, CACHE_BOX, HOST_BOX, THREAD_BOX)
"""The order of those that readers know; others follow."""
FAR = frozenset(("maps-to", "caches", "lost"))


@dataclass(frozen=True)
class Line:
    """One thing.

    Args:
        level: how far it is indented; 0 is the heading of a part.
        stale: it outlived what it stands for.
        violating: the property fails here.
        changed: the last step changed it.
    """

    level: int
    text: str
    stale: bool = False
    violating: bool = False
    changed: bool = False


def outline(graph: Graph) -> tuple[Line, ...]:
    """The lines of a state's graph, in an order that does not depend on the run."""
    return tuple(_Walk(graph).lines())


def _parts() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each part with the kinds of node that stand at its top, the first of them first."""
    things = parts.things()
    for box in dict.fromkeys((*BOXES, *(thing.box for thing in things))):
        kinds = [thing.kind for thing in things if thing.box == box] + (["lock"] if box == THREAD_BOX else [])
        yield box.outline, tuple(sorted(kinds, key=lambda kind: kind == "frame"))  # a frame is told with the gfn that it backs


def _told_by_gfn(data: Mapping[str, object]) -> bool:
    """A frame that backs a gfn is named with it."""
    return data["kind"] == "frame" and str(data["owner"]).startswith("gfn") and not data["violating"]


class _Walk:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._told: set[str] = set()

    def lines(self) -> Iterator[Line]:
        for heading, kinds in _parts():
            tops = [n for kind in kinds for n, data in self._graph.nodes(data=True) if data["kind"] == kind and not _told_by_gfn(data)]
            below = [line for name in tops if name not in self._told for line in self._node(name, 1)]
            if below:
                yield Line(0, heading)
                yield from below

    def _node(self, name: str, level: int) -> Iterator[Line]:
        data = self._graph.nodes[name]
        again = name in self._told
        self._told.add(name)
        out = list(self._graph.out_edges(name, data=True))
        far = [edge for _, _, edge in out if edge["kind"] in FAR]
        stale = data["stale"] or any(edge["stale"] for edge in far)
        gone = any(edge["kind"] == "lost" for edge in far)
        wrong = data["violating"] or any(edge["violating"] for edge in far)
        notes = [*self._notes(name), *(["stale"] if stale else []), *(["gone"] if gone else [])]
        words = data["label"].replace("\n", ", ") + (f" ({'; '.join(notes)})" if notes else "")
        yield Line(level, words, stale, wrong, data.get("changed", False))
        if again:
            return
        for _, below, edge in out:
            # What a device's IOMMU walks is told with the table itself.
            if edge["kind"] == "owns" or (edge["kind"] == "points-to" and data["kind"] == "entry"):
                yield from self._node(below, level + 1)

    def _notes(self, name: str) -> Iterator[str]:
        """What a node has to do with others that do not stand below it."""
        data = self._graph.nodes[name]
        match data["kind"]:
            case "root":
                yield "exported" if data["exported"] else "not exported"
                if data["invalid"]:
                    yield "invalid"
            case "gfn":
                backed = [b for _, b, edge in self._graph.out_edges(name, data=True) if edge["kind"] == "backs"]
                yield backed[0] if backed else "unmapped"
            case "frame":
                yield "free" if data["free"] else f"of {data['owner']}"
            case _:
                pass
        for _, other, edge in self._graph.out_edges(name, data=True):
            match edge["kind"]:
                case "attached":
                    yield f"behind {other}"
                case "holds":
                    yield f"holds {other}" + (f" ({edge['label']})" if edge["label"] else "")
                case "waits-for":
                    yield f"waits for {edge['label']} of {other}" if data["kind"] == "thread" else f"waits for {edge['label']}: {other}"
                case "points-to" if data["kind"] != "entry":
                    yield f"walks {other}" + (", which is invalid" if edge["stale"] else "")
                case _:
                    pass
