"""The machine in every state as one drawing whose parts never move: only what they say and which arrows are there changes.

On the left the page tables, in the middle the frames, on the right what IOMMUs and vCPUs have cached. What is drawn and what is stale
is read from `state_graph`, what an entry says from `entries`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..model.machine import parts
from ..model.scene import Scene
from ..model.view.naming import number_of
from ..model.view.roles import HOST_BOX, TABLE_BOX, THREAD_BOX, Entries, Thing
from ..model.view.state_view import At, indices
from .entries import entries
from .graph import state_graphs
from .scenes import scenes
from .schema import Cex

ROW, HEAD, GAP, TOP = 24, 26, 16, 26
LEFT, SIDE = 14, 270
MIDDLE, FRAME_WIDTH, FRAME_HEIGHT = 356, 96, 48
RIGHT = 524
WIDTH = RIGHT + SIDE + 14


@dataclass(frozen=True)
class Look:
    """What a part says in one state; `state` is '', 'gone', or of 'stale' and 'violating' those that it is."""

    text: str
    state: str = ""


@dataclass(frozen=True)
class Part:
    """A row, a box with a heading, or a frame."""

    key: str
    kind: str
    x: float
    y: float
    width: float
    height: float
    name: str
    looks: tuple[Look, ...]


@dataclass(frozen=True)
class Arrow:
    """From an entry to what it points at; a state of '' means that there is none then."""

    key: str
    kind: str
    path: str
    looks: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """What is drawn, and how big it is."""

    width: float
    height: float
    parts: tuple[Part, ...]
    arrows: tuple[Arrow, ...]


@dataclass
class _Column:
    x: float
    y: float
    parts: list[Part] = field(default_factory=list)


def picture(cex: Cex) -> Picture:
    """The drawing of a run."""
    return _Drawing(cex).picture()


_Row = tuple[str, str, tuple[Look, ...]]
"""A row of a box: its key, what it is called, and how it looks by state."""


class _Drawing:
    def __init__(self, cex: Cex) -> None:
        self._cex = cex
        self._graphs = state_graphs(cex)
        self._views = scenes(cex)
        self._wrong = {e.key for e in entries(cex) if e.violating}
        self._kinds: dict[str, str] = {}
        for graph in self._graphs:
            for name, data in graph.nodes(data=True):
                self._kinds.setdefault(name, data["kind"])

    def picture(self) -> Picture:
        left, middle, right = self._tables(), self._frames(), self._caches()
        places = {p.key: p for column in (left, middle, right) for p in column.parts}
        channel = max(c.y for c in (left, middle, right))
        arrows = self._arrows(places, channel)
        height = channel + (20 if any(a.kind == "below" for a in arrows) else 0)
        return Picture(WIDTH, height, tuple(places.values()), tuple(arrows))

    def _names(self, *kinds: str) -> list[str]:
        return sorted((n for n, kind in self._kinds.items() if kind in kinds), key=_order)

    def _looks(self, key: str, say: Callable[[Scene], str], *, always: bool = False) -> tuple[Look, ...]:
        """How a part looks by state; unless `always`, it says nothing where the graph does not have it."""
        found = []
        last = len(self._graphs) - 1
        for number, (graph, scene) in enumerate(zip(self._graphs, self._views, strict=True)):
            node = graph.nodes[key] if key in graph else None
            stale = node is not None and (node["stale"] or any(d["stale"] for _, _, d in graph.out_edges(key, data=True)))
            wrong = number == last and key in self._wrong
            states = [word for word, so in (("stale", stale), ("violating", wrong)) if so]
            found.append(Look(say(scene) if node is not None or always else "", " ".join(states)))
        return tuple(found)

    def _box(
        self, column: _Column, key: str, name: str, looks: tuple[Look, ...], rows: Sequence[tuple[str, str, tuple[Look, ...]]]
    ) -> None:
        height = HEAD + ROW * len(rows) + (6 if rows else 0)
        column.parts.append(Part(key, "box", column.x, column.y, SIDE, height, name, looks))
        for number, (row, label, states) in enumerate(rows):
            column.parts.append(Part(row, "row", column.x, column.y + HEAD + ROW * number, SIDE, ROW, label, states))
        column.y += height + GAP

    # The page tables

    def _tables(self) -> _Column:
        column = _Column(LEFT, TOP)
        end = self._views[-1]
        for thing in (t for t in parts.things(end) if t.box == TABLE_BOX):
            rows_of = {e.key_of(at): (e, at) for e in parts.entries(end) if e.owner == thing.kind for at in indices(end, *e.sorts)}
            for key, at in self._drawn(thing):
                rows = []
                for name in self._owned(key):
                    entry, place = rows_of[name]
                    rows.append((name, entry.row(end, place), self._looks(name, _short(entry, place))))
                looks = self._looks(key, _headline(thing, at)) if thing.state is None else tuple(_doing(s, thing, at) for s in self._views)
                self._box(column, key, key, looks, rows)
        return column

    def _drawn(self, thing: Thing) -> list[tuple[str, At]]:
        """The things of a kind that the graphs have."""
        known = {thing.key_of(at): at for at in indices(self._views[-1], *thing.sorts)}
        return [(key, known[key]) for key in self._names(thing.kind)]

    def _owned(self, owner: str) -> list[str]:
        found = {b for graph in self._graphs if owner in graph for _, b, d in graph.out_edges(owner, data=True) if d["kind"] == "owns"}
        return sorted((n for n in found if self._kinds[n] in ("entry", "cache")), key=_order)

    # The frames

    def _frames(self) -> _Column:
        column = _Column(MIDDLE, TOP)
        for name in self._names("frame"):
            looks = []
            for graph in self._graphs:
                free = name not in graph or graph.nodes[name]["free"]
                looks.append(Look("free" if free else graph.nodes[name]["owner"], "gone" if free else ""))
            column.parts.append(Part(name, "frame", column.x, column.y, FRAME_WIDTH, FRAME_HEIGHT, name, tuple(looks)))
            column.y += FRAME_HEIGHT + GAP
        return column

    # What is cached

    def _caches(self) -> _Column:
        """Whatever is neither a table nor memory nor a thread."""
        column = _Column(RIGHT, TOP)
        for thing in sorted(parts.things(self._views[-1]), key=lambda thing: thing.row):
            if thing.box in (TABLE_BOX, HOST_BOX, THREAD_BOX):
                continue
            for key, at in self._drawn(thing):
                plain = thing.plain
                if plain is None or key in self._wrong or self._owned(key) or not all(plain(s, at) for s in self._views):
                    rows = [(n, self._label(n), self._looks(n, self._value(n))) for n in self._owned(key)]
                    self._box(column, key, key, self._looks(key, _headline(thing, at), always=True), rows)
        return column

    def _label(self, cache: str) -> str:
        """What a cache entry is of."""
        return str(next(g.nodes[cache]["label"] for g in self._graphs if cache in g)).partition(":")[0]

    def _value(self, cache: str) -> Callable[[Scene], str]:
        """What a cache entry holds, by state."""
        by_scene = {
            id(s): str(g.nodes[cache]["label"]).partition(": ")[2]
            for s, g in zip(self._views, self._graphs, strict=True)
            if cache in g
        }  # fmt: skip
        return lambda scene: by_scene.get(id(scene), "")

    # The arrows

    def _arrows(self, places: dict[str, Part], channel: float) -> list[Arrow]:
        found: dict[tuple[str, str, str], list[str]] = {}
        total = len(self._graphs)
        for number, graph in enumerate(self._graphs):
            for a, b, data in graph.edges(data=True):
                if a in places and b in places and data["kind"] in ("points-to", "maps-to", "caches", "lost"):
                    state = "lost" if data["kind"] == "lost" else "stale" if data["stale"] else "live"
                    if number == total - 1 and data["violating"] and state == "stale":
                        state = "violating"
                    found.setdefault((a, b, data["kind"]), [""] * total)[number] = state
        arrows = []
        for number, ((a, b, _), looks) in enumerate(found.items()):
            start, end = places[a], places[b]
            if start.kind == "box":
                continue  # the heading says to which root an IOMMU or a vCPU points
            how, path = _path(start, end, channel)
            arrows.append(Arrow(f"e{number}", how, path, tuple(looks)))
        return arrows


def _path(start: Part, end: Part, channel: float) -> tuple[str, str]:
    """How an arrow runs: from table to frame, from cache to frame, down the left margin, or below everything from cache to table."""
    y = start.y + start.height / 2
    if end.kind == "frame" and start.x < end.x:
        x1, x2, y2 = start.x + start.width, end.x, end.y + end.height / 2 - 4
        return "right", _curve(x1, y, x2 - 8, y2)
    if end.kind == "frame":
        x1, x2, y2 = start.x, end.x + end.width, end.y + end.height / 2 + 4
        return "left", _curve(x1, y, x2 + 8, y2)
    y2 = end.y + HEAD / 2
    if start.x == end.x:
        x = start.x
        return "margin", f"M{x:g},{y:g} C{x - 14:g},{y:g} {x - 14:g},{y2:g} {x - 8:g},{y2:g}"
    x1, x2 = start.x, end.x + end.width
    low = channel + 2
    return "below", (
        f"M{x1:g},{y:g} C{x1 - 40:g},{y:g} {x1 - 20:g},{low:g} {x1 - 70:g},{low:g} "
        f"L{x2 + 60:g},{low:g} C{x2 + 20:g},{low:g} {x2 + 40:g},{y2:g} {x2 + 8:g},{y2:g}"
    )


def _curve(x1: float, y1: float, x2: float, y2: float) -> str:
    middle = (x1 + x2) / 2
    return f"M{x1:g},{y1:g} C{middle:g},{y1:g} {middle:g},{y2:g} {x2:g},{y2:g}"


def _order(name: str) -> tuple[str, tuple[int, ...], str]:
    """By kind, then by number."""
    kind, _, number = name.rpartition(" ")
    return kind, tuple(n for x in number.replace("huge", "").split(".") if (n := number_of(x)) is not None), number


def _headline(thing: Thing, at: At) -> Callable[[Scene], str]:
    return lambda s: thing.headline_of(s, at)


def _short(entry: Entries, at: At) -> Callable[[Scene], str]:
    return lambda s: entry.short(s, at)


def _doing(scene: Scene, thing: Thing, at: At) -> Look:
    """How a thing looks that comes and goes."""
    gone = thing.state is not None and scene.word(thing.state, *at) in thing.gone
    return Look(thing.headline_of(scene, at), "gone" if gone else "")


__all__ = ["Arrow", "Look", "Part", "Picture", "picture"]
