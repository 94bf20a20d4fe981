"""A counterexample as graphs: one of the machine in one state, and one of the steps and what they have to do with each other.

Every node and edge has `kind` and `label`; `stale` says that it outlived what it stands for, `violating` that the property fails there.
Nodes of the machine: root, entry, table, frame, gfn (what the host maps), iommu, cache, device, vcpu, thread, lock. Its edges: owns,
points-to, maps-to, caches, backs, attached, holds, waits-for, and lost (a promised translation that is gone).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import networkx as nx

from ..core.errors import InputError
from ..model.machine import parts
from ..model.scene import Scene
from ..model.view.naming import cell, frame_name, gfns, split_cell
from ..model.view.roles import HOST_BOX, Cache, Entries, Link, Thing
from ..model.view.state_view import At, indices
from ..properties import REGISTRY
from .facts import is_noise, lock_names, where
from .scenes import scenes
from .schema import Cex, Step

Graph: TypeAlias = "nx.MultiDiGraph[str]"


def state_graph(cex: Cex, step: int | None = None) -> Graph:
    """The machine after a step: the last one unless said otherwise; 0 is the first state. Only the last one has `violating` parts."""
    number = cex.depth if step is None else step
    return _Drawing(cex, number, scenes(cex)).graph


def state_graphs(cex: Cex) -> tuple[Graph, ...]:
    """The machine in every state, the first one included."""
    views = scenes(cex)
    return tuple(_Drawing(cex, number, views).graph for number in range(cex.depth + 1))


def story_graph(cex: Cex) -> Graph:
    """The steps: each actor's in program order, and an edge wherever a step uses or overwrites what another actor has written or read."""
    graph: Graph = nx.MultiDiGraph(property=cex.prop.name, scenario=cex.scenario.name)
    last: dict[str, str] = {}
    writer: dict[str, Step] = {}
    readers: dict[str, list[Step]] = {}
    machine, excluding = {name for step in cex.steps for name in step.reads}, lock_names()
    for step in cex.steps:
        node = _step_node(step)
        graph.add_node(
            node, kind="step", label=step.label, actor=step.actor, number=step.number, where=where(step), noise=is_noise(cex, step),
            stale=False, violating=step.number == cex.depth,
        )  # fmt: skip
        if step.actor in last:
            _edge(graph, last[step.actor], node, "program-order", "")
        last[step.actor] = node
        written = [c.cell for c in step.changes if c.cell in machine]
        for kind, source, names in _conflicts(step, written, writer, readers):
            locks = all(split_cell(n)[0] in excluding for n in names)
            _edge(graph, _step_node(source), node, kind, ", ".join(names[:3]) + (" ..." if len(names) > 3 else ""), lock=locks)
        for name in step.reads:
            readers.setdefault(name, []).append(step)
        for name in written:
            writer[name] = step
            readers[name] = []
    return graph


def _conflicts(
    step: Step, written: Iterable[str], writer: Mapping[str, Step], readers: Mapping[str, list[Step]]
) -> list[tuple[str, Step, list[str]]]:
    found: dict[tuple[str, int], tuple[Step, list[str]]] = {}

    def note(kind: str, other: Step, name: str) -> None:
        if other.actor != step.actor:
            found.setdefault((kind, other.number), (other, []))[1].append(name)

    for name in step.reads:
        if name in writer:
            note("reads-from", writer[name], name)
    for name in written:
        if name in writer and name not in step.reads:
            note("overwrites", writer[name], name)
        for other in readers.get(name, ()):
            note("after-read", other, name)
    return [(kind, other, names) for (kind, _), (other, names) in sorted(found.items(), key=lambda x: (x[0][1], x[0][0]))]


def _step_node(step: Step) -> str:
    return f"step {step.number}"


def _edge(graph: Graph, a: str, b: str, kind: str, label: str, *, stale: bool = False, violating: bool = False, **more: object) -> None:
    graph.add_edge(a, b, key=kind, kind=kind, label=label, stale=stale, violating=violating, **more)


def _was(old: str, new: str) -> str:
    return new if old == new else f"{new} (was {old})"


class _Drawing:
    """The graph of one state."""

    def __init__(self, cex: Cex, number: int, views: Sequence[Scene]) -> None:
        self.scene, self._before = views[number], views[max(0, number - 1)]
        self._touched = frozenset(c.cell for step in cex.steps for c in step.changes)
        self._changed = frozenset(c.cell for c in cex.steps[number - 1].changes) if number else frozenset()
        self._wrong = frozenset(name for i in cex.violation for name in i.cells) if number == cex.depth else frozenset()
        known = REGISTRY.get(cex.prop.name)
        self._lost = [i.at for i in cex.violation if number == cex.depth] if known is not None and known.loses else []
        self.graph: Graph = nx.MultiDiGraph(property=cex.prop.name, scenario=cex.scenario.name, step=number)
        # What everything else leads to comes first.
        things = sorted(parts.things(self.scene), key=lambda thing: thing.box != HOST_BOX)
        self._known = {thing.key_of(at): (thing, at) for thing in things for at in indices(self.scene, *thing.sorts)}
        for thing in things:
            for at in indices(self.scene, *thing.sorts):
                self._thing(thing, at)

    def _node(
        self, name: str, kind: str, label: str, cells: Iterable[str] = (), *, stale: bool = False, more: Mapping[str, object] | None = None
    ) -> str:
        names = frozenset(cells)
        wrong, changed = bool(names & self._wrong), bool(names & self._changed)
        self.graph.add_node(name, kind=kind, label=label, stale=stale, violating=wrong, changed=changed, **(more or {}))
        return name

    def _link(self, a: str, b: str, kind: str, label: str = "", cells: Iterable[str] = (), *, stale: bool = False) -> None:
        wrong = bool(frozenset(cells) & self._wrong)
        _edge(self.graph, a, b, kind, label, stale=stale, violating=wrong)

    def _made(self, key: str) -> str:
        """The node of a thing to which something leads, whether or not there is another reason to draw it."""
        if key not in self.graph:
            if key not in self._known:
                raise InputError(f"the document speaks of {key}, which is not there")
            thing, at = self._known[key]
            label = "\n".join([thing.label_of(self.scene, at), *thing.notes_of(self.scene, at)])
            cells = thing.cells(self.scene, at, thing.noted)
            self._node(key, thing.kind, label, cells, more=thing.attributes_of(self.scene, at))
        return key

    def _thing(self, thing: Thing, at: At) -> None:
        scene, key = self.scene, thing.key_of(at)
        there = thing.present is None or thing.present(scene, at) or bool(thing.cells(scene, at, thing.arising) & self._touched)
        if not there and key not in self.graph:
            return
        self._made(key)
        for link in thing.links(scene, at) if thing.links is not None else ():
            self._drawn(link)
        for entry in parts.entries(scene):
            if entry.owner == thing.kind:
                for more in indices(scene, *entry.sorts[1:]):
                    self._entry(key, entry, (*at, *more))
        for cache, tag in parts.caches_of(scene, thing):
            if scene.is_set(cache.valid, *at, tag):
                self._cache(key, cache, (*at, tag))

    def _drawn(self, link: Link) -> None:
        if link.lock and link.end not in self.graph:
            self._node(link.end, "lock", link.end)
        if link.start in self.graph and link.end in self.graph:
            self._link(link.start, link.end, link.kind, link.label, link.cells, stale=link.stale)

    def _entry(self, owner: str, entry: Entries, at: At) -> None:
        scene, kind = self.scene, self.scene.word(entry.kind, *at)
        cells = tuple(cell(var, *at) for var in entry.variables)
        if kind == "none" and not self._touched & set(cells):
            return
        label = f"{entry.place(scene, at)}: {_was(entry.said(self._before, at), entry.said(scene, at))}"
        name = self._node(entry.key_of(at), "entry", label, cells, more={"level": entry.level, "entry": kind})
        self._link(owner, name, "owns")
        below = entry.below(scene, at)
        if below is not None:
            self._link(name, self._made(below), "points-to")
        for found in entry.maps(scene, at):
            of = gfns([found.gfn]) if entry.level > 1 else ""
            self._link(name, self._frame(found.frame), "maps-to", of, cells, stale=found.stale)
        for lost in self._lost:
            here = lost.get("root") == entry.root(scene, at) and lost.get("gfn") in entry.gfns(scene, at)
            if here and below is None and entry.live(scene, at):
                self._link(name, self._frame(int(lost["frame"])), "lost", gfns([int(lost["gfn"])]), cells)

    def _frame(self, number: int) -> str:
        return self._made(f"frame {frame_name(number)}")

    def _cache(self, owner: str, cache: Cache, at: At) -> None:
        """A valid entry of a cache, with what it leads to."""
        scene, cells = self.scene, (cell(cache.valid, *at), cell(cache.value, *at))
        found = cache.maps(scene, at) if cache.maps is not None else ()
        of = gfns(t.gfn for t in found) if found else cache.tag(at[1])
        label = f"{cache.title} {of}: {cache.show(scene, scene.number(cache.value, *at))}"
        name = self._node(cache.key(at), "cache", label, cells, stale=cache.stale(scene, at), more={"cache": cache.title})
        self._link(owner, name, "owns")
        for each in found:
            wrong = each.stale and bool(set(cells) & self._wrong)
            one = gfns([each.gfn]) if len(found) > 1 else ""
            _edge(self.graph, name, self._frame(each.frame), "caches", one, stale=each.stale, violating=wrong)
        if cache.points is not None:
            below, dead = cache.points(scene, at)
            self._link(name, self._made(below), "caches", "", cells, stale=dead)
