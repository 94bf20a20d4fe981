"""The interleaving as a picture: one lane an actor, time downwards, the source line beside each step."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ...model.machine import parts
from ..facts import acting, folded, place
from ..schema import Cex, Step
from .colours import FAINT, GRID, INK, PAPER, RED
from .drawing import clean, fitted, tag, text_width, words, wrapped, written

THREAD, OTHER = "#e3f2fd", "#eceff1"
SIZE, LINE, PAD, HEAD, BETWEEN = 12, 15, 5, 30, 5
LEAST = 130
"""The narrowest lane in which a label can be read."""
BRACKET, MOST = 14, 5
"""How far apart the brackets of causes are, and how many are drawn."""


def lanes(cex: Cex) -> bytes:
    """The interleaving alone, as one SVG file."""
    group, width, height = drawn(cex, 760)
    root = ET.Element(tag("svg"), {"width": f"{width + 20:g}", "height": f"{height + 20:g}", "role": "img"})
    root.set("viewBox", f"0 0 {width + 20:g} {height + 20:g}")
    ET.SubElement(root, tag("title")).text = clean(f"{cex.prop.name} in {cex.scenario.name}, step by step")
    ET.SubElement(root, tag("rect"), {"width": f"{width + 20:g}", "height": f"{height + 20:g}", "fill": PAPER})
    group.set("transform", "translate(10 10)")
    root.append(group)
    return written(root)


def drawn(cex: Cex, width: float, step: int | None = None) -> tuple[ET.Element, float, float]:
    """The lanes as a group of shapes with their width (at least `width`) and height; `step` is set off from the others."""
    shown = [s for s in cex.steps if not folded(cex, s)]
    names = [n for n in acting(cex) if any(s.actor == n for s in shown)]
    kinds = {a.name: a.kind for a in cex.actors}
    fill = {"thread": THREAD} | {actor.kind: actor.colour for actor in parts.actors()}
    gutter = 30 + max((text_width(place(s.sources[0]), 11) + 14 for s in shown if s.sources), default=0)
    margin = BRACKET * min(len(cex.causes), MOST) + 4 if cex.causes else 0
    width = max(width, gutter + LEAST * len(names) + margin)
    end = width - margin
    lane = (end - gutter) / max(1, len(names))
    group = ET.Element(tag("g"), {"class": "lanes"})
    under = ET.SubElement(group, tag("g"))
    y = float(HEAD)
    places: dict[int, tuple[float, float]] = {}
    for number, name in enumerate(names):
        words(group, gutter + lane * (number + 0.5), 18, fitted(name, lane - 12, 13), size=13, bold=True, anchor="middle")
    due = cex.missing
    for each in shown:
        if due is not None and each.number >= due.before:
            y += _missing(group, due.what, (gutter + 4, y, end - gutter - 8)) + BETWEEN
            due = None
        left = gutter + lane * names.index(each.actor) + 4
        height = _step(group, cex, each, (left, y, lane - 8), fill.get(kinds[each.actor], OTHER), step)
        places[each.number] = (left + lane - 8, y + height / 2)
        y += height + BETWEEN
    for number in range(len(names) + 1):
        x = f"{gutter + lane * number:g}"
        ET.SubElement(under, tag("line"), {"x1": x, "x2": x, "y1": "4", "y2": f"{y:g}", "stroke": GRID})
    ET.SubElement(under, tag("line"), {"x1": "0", "x2": f"{end:g}", "y1": f"{HEAD - 4}", "y2": f"{HEAD - 4}", "stroke": GRID})
    _causes(under, cex, places, end)
    hidden = len(cex.steps) - len(shown)
    if hidden:
        y += 12
        words(group, 0, y, f"{hidden} step{'s' if hidden != 1 else ''} folded", size=11, colour=FAINT)
        y += 4
    return group, width, y


def _missing(parent: ET.Element, what: str, at: tuple[float, float, float]) -> float:
    """What nobody does, where it would have to be done at the latest: a box that is drawn with dashes, across all lanes."""
    x, y, width = at
    lines = wrapped(f"missing: {what}", width - 2 * PAD - 4, SIZE)
    height = LINE * len(lines) + 2 * PAD
    box = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{width:g}", "height": f"{height:g}", "rx": "4", "fill": PAPER}
    ET.SubElement(parent, tag("rect"), box | {"stroke": RED, "stroke-width": "1.5", "stroke-dasharray": "5 3", "class": "missing"})
    for number, line in enumerate(lines):
        words(parent, x + PAD + 4, y + PAD + 11 + LINE * number, line, size=SIZE, bold=True, colour=RED)
    return height


def _step(parent: ET.Element, cex: Cex, step: Step, at: tuple[float, float, float], fill: str, current: int | None) -> float:
    x, y, width = at
    lines = wrapped(step.label, width - 2 * PAD - 4, SIZE)
    height = LINE * len(lines) + 2 * PAD
    breaks, cause = step.number == cex.depth, step.mark == "cause"
    box = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{width:g}", "height": f"{height:g}", "rx": "4", "fill": fill}
    box |= {"stroke": RED if breaks else INK if step.number == current else GRID, "stroke-width": "2" if breaks or cause else "1"}
    ET.SubElement(parent, tag("rect"), box)
    if cause:
        ET.SubElement(parent, tag("rect"), {"x": f"{x:g}", "y": f"{y:g}", "width": "4", "height": f"{height:g}", "fill": RED})
    for number, line in enumerate(lines):
        words(parent, x + PAD + 4, y + PAD + 11 + LINE * number, line, size=SIZE, bold=cause or breaks)
    words(parent, 20, y + PAD + 11, str(step.number), size=SIZE, bold=True, anchor="end", colour=RED if breaks else INK)
    if step.sources:
        words(parent, 30, y + PAD + 11, place(step.sources[0]), size=11, colour=FAINT)
    return height


def _causes(parent: ET.Element, cex: Cex, places: dict[int, tuple[float, float]], end: float) -> None:
    """A bracket at the right for each order that the violation needs, with its arrow at the later step."""
    found = [c for c in cex.causes if c.before in places and c.after in places]
    for number, cause in enumerate(found[:MOST]):
        (x1, y1), (x2, y2) = places[cause.before], places[cause.after]
        x = end + BRACKET * (number + 1) - 4
        style = {"fill": "none", "stroke": RED, "stroke-width": "1.5", "stroke-dasharray": "5 3", "class": "cause"}
        ET.SubElement(parent, tag("path"), {"d": f"M{x1:g},{y1:g} H{x:g} V{y2:g} H{x2 + 7:g}", **style})
        ET.SubElement(parent, tag("path"), {"d": f"M{x2 + 9:g},{y2 - 4:g} L{x2 + 2:g},{y2:g} L{x2 + 9:g},{y2 + 4:g} z", "fill": RED})
