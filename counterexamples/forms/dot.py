"""A state as DOT text: host memory, the shared page table, what the IOMMUs and vCPUs cache, and the threads, each in its own box."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ...model.machine import parts
from ...model.view.roles import CACHE_BOX, HOST_BOX, TABLE_BOX, THREAD_BOX, Box
from ..facts import verdict_line
from ..graph import Graph, state_graph
from ..schema import Cex
from .colours import INK, PALE, PAPER, RED

AMBER = "#fff3e0"
BOXES = (THREAD_BOX, CACHE_BOX, TABLE_BOX, HOST_BOX)
"""The order of those that readers know; others follow."""

Attributes = Mapping[str, str]


def dot(cex: Cex, step: int | None = None, *, title: bool = True) -> str:
    """The state after a step (the last one unless said otherwise) as DOT; without `title` the picture alone."""
    graph = state_graph(cex, step)
    places = _places(graph)
    lines = [f"digraph {_quote(cex.prop.name)} {{", *_indent(_head(cex, title))]
    for box, kinds in _boxes().items():
        drawn = [n for n in graph if graph.nodes[n]["kind"] in kinds]
        if drawn:
            style = {
                "label": box.heading,
                "style": "filled,rounded",
                "color": "#cfd8dc",
                "fillcolor": box.colour,
                "fontcolor": "#546e7a",
                "margin": "14",
            }
            body = [f"graph {_attributes(style)};", *(line for n in drawn for line in _node(graph, n))]
            lines += _indent([f"subgraph {_quote('cluster_' + box.name)} {{", *_indent(body), "}"])
    lines += _indent(_edges(graph, places))
    return "\n".join([*lines, "}"]) + "\n"


def _boxes() -> dict[Box, frozenset[str]]:
    """Each box with the kinds of node that stand in it."""
    things = parts.things()
    more = {THREAD_BOX: {"lock"}, CACHE_BOX: {"cache"}}
    boxes = dict.fromkeys((*BOXES, *(thing.box for thing in things)))
    return {box: frozenset({t.kind for t in things if t.box == box} | more.get(box, set())) for box in boxes}


def _head(cex: Cex, title: bool) -> Iterator[str]:
    font = {"fontname": "Helvetica", "fontcolor": INK}
    whole = {"rankdir": "LR", "bgcolor": PAPER, "nodesep": "0.25", "ranksep": "0.75", **font}
    if title:
        whole |= {"label": f"{verdict_line(cex)}\nred, dashed: stale   grey, dashed: freed", "labelloc": "t", "fontsize": "16"}
    yield f"graph {_attributes(whole)};"
    yield f"node {_attributes({**font, 'fontsize': '12', 'color': INK, 'shape': 'box', 'margin': '0.14,0.07'})};"
    yield f"edge {_attributes({**font, 'fontsize': '11', 'color': INK, 'arrowsize': '0.8'})};"


def _places(graph: Graph) -> dict[str, str]:
    """How DOT refers to each node: an entry is a field of its table's record."""
    places = {n: _quote(n) for n in graph}
    for owner, entry, data in graph.edges(data=True):
        if data["kind"] == "owns" and graph.nodes[entry]["kind"] == "entry":
            places[entry] = f"{_quote(owner)}:{_port(entry)}"
    return places


def _port(entry: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in entry)


def _entries(graph: Graph, owner: str) -> list[str]:
    return [e for e in graph.successors(owner) if graph.nodes[e]["kind"] == "entry"]


def _node(graph: Graph, name: str) -> Iterator[str]:
    data = graph.nodes[name]
    things = {t.kind: t for t in parts.things()}
    thing = things.get(data["kind"])
    fill = thing.colour if thing is not None else {"cache": AMBER}.get(data["kind"], PAPER)
    style: dict[str, str] = {"label": data["label"], "style": "filled", "fillcolor": fill}
    match data["kind"]:
        case kind if kind in {e.owner for e in parts.entries()} and thing is not None:
            notes = [m.note for m in thing.marks if m.note and data.get(m.attribute)]
            heading = data["label"] + (f" ({', '.join(notes)})" if notes else "")
            fields = [f"<{_port(e)}> {_field(graph.nodes[e]['label'])}" for e in _entries(graph, name)]
            style |= {"shape": "record", "label": "|".join([_field(heading), *fields])}
            if data.get("state") in thing.gone:
                style |= {"style": "filled,dashed", "fillcolor": "#eceff1", "fontcolor": "#607d8b", "color": PALE}
            if any(graph.nodes[e]["violating"] for e in _entries(graph, name)):
                style |= {"color": RED, "penwidth": "2"}
        case "frame" if data["free"]:
            style |= {
                "style": "filled,dashed",
                "fillcolor": "#eceff1",
                "fontcolor": "#607d8b",
                "color": PALE,
                "label": f"{data['label']}\nfreed",
            }
        case "gfn" if not data["mapped"]:
            style |= {
                "style": "filled,dashed",
                "fillcolor": PAPER,
                "fontcolor": "#607d8b",
                "color": PALE,
                "label": f"{data['label']}\nunmapped",
            }
        case "gfn" | "device":
            style["style"] = "filled,rounded"
        case "lock":
            style["shape"] = "ellipse"
        case _:
            pass
    if data["violating"] or data["stale"]:
        style |= {"color": RED, "penwidth": "2.5"}
        if data["kind"] == "frame":
            style["fontcolor"] = RED
    if style.get("shape") == "record":
        yield f"{_quote(name)} {_attributes(style, raw=('label',))};"
    else:
        yield f"{_quote(name)} {_attributes(style)};"


def _edges(graph: Graph, places: Mapping[str, str]) -> Iterator[str]:
    for a, b in _beside(graph):
        yield f"{places[a]} -> {places[b]} {_attributes({'style': 'invis'})};"
    for a, b, data in graph.edges(data=True):
        kinds = graph.nodes[a]["kind"], graph.nodes[b]["kind"]
        if data["kind"] == "owns" and kinds[1] == "entry":
            continue
        style = {"label": data["label"]} if data["label"] else {}
        match data["kind"]:
            case "owns":
                style |= {"arrowhead": "none", "color": PALE}
            case "backs":
                # Drawn from right to left, so that frames stand between those who point to them.
                a, b = b, a
                style |= {"dir": "back", "color": "#2e7d32"}
            case "lost":
                style |= {"style": "dotted", "penwidth": "2.5", "color": RED, "fontcolor": RED, "label": f"{data['label']}: gone"}
            case "waits-for":
                style |= {"style": "dashed", "constraint": "false", "label": f"waits: {data['label']}"}
            case _:
                pass
        if data["stale"]:
            label = "stale" if not data["label"] else f"{data['label']}: stale"
            style |= {
                "style": "dashed",
                "color": RED,
                "fontcolor": RED,
                "penwidth": "3.5",
                "arrowsize": "1.1",
                "label": label,
                "fontsize": "14",
            }
            style["fontname"] = "Helvetica-Bold"
        yield f"{places[a]} -> {places[b]} {_attributes(style)};" if style else f"{places[a]} -> {places[b]};"


def _beside(graph: Graph) -> Iterator[tuple[str, str]]:
    """What stands side by side though nothing leads from one to the other: devices, roots, frames, gfns from left to right."""
    kinds = {name: data["kind"] for name, data in graph.nodes(data=True)}
    roots = [n for n in graph if kinds[n] == "root"]
    frames = [n for n in graph if kinds[n] == "frame"]
    for name, data in graph.nodes(data=True):
        if data["kind"] == "gfn" and not data["mapped"] and data["last"] in graph:
            yield data["last"], name
        if data["kind"] == "device" and roots and not graph.out_degree(name):
            yield name, roots[0]
        if data["kind"] == "root" and frames and not graph.out_degree(name):
            yield name, frames[0]


def _attributes(values: Attributes, raw: tuple[str, ...] = ()) -> str:
    shown = ", ".join(f"{name}={_quote(value, escaped=name in raw)}" for name, value in values.items())
    return f"[{shown}]"


def _quote(words: str, *, escaped: bool = False) -> str:
    """A quoted string of DOT; `escaped` if backslashes in it are already meant for DOT."""
    clean = "".join(c if c == "\n" or c.isprintable() else "?" for c in words)
    clean = clean if escaped else clean.replace("\\", "\\\\")
    return '"' + clean.replace('"', '\\"').replace("\n", "\\n") + '"'


def _field(words: str) -> str:
    """The text of one field of a record."""
    return "".join(f"\\{c}" if c in "{}|<>\\" else c for c in words)


def _indent(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
