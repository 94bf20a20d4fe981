"""Shapes and words of an SVG picture, and how wide words are without asking a font."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ..folding import TOGETHER
from .colours import INK

NAMESPACE = "http://www.w3.org/2000/svg"
SANS = "Helvetica,Arial,sans-serif"
NARROW, WIDE = frozenset("iljtfrI.,:;'|!()[]- "), frozenset("mwMW@%")


def written(root: ET.Element) -> bytes:
    """A whole SVG file."""
    ET.register_namespace("", NAMESPACE)
    made: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return made + b"\n"


def tag(name: str) -> str:
    """The name of an SVG element."""
    return f"{{{NAMESPACE}}}{name}"


def words(
    parent: ET.Element, x: float, y: float, said: str, *, size: int, bold: bool = False, colour: str = INK, anchor: str = "start"
) -> None:
    """One line of text, as text."""
    style = {"x": f"{x:g}", "y": f"{y:g}", "font-family": SANS, "font-size": str(size), "fill": colour, "text-anchor": anchor}
    element = ET.SubElement(parent, tag("text"), style | ({"font-weight": "bold"} if bold else {}))
    element.text = clean(said)


def clean(said: str) -> str:
    """Without what XML forbids."""
    return "".join(c if c.isprintable() else "?" for c in said)


def text_width(said: str, size: float) -> float:
    """About how wide a line is, rather more than less: no font is asked, so that the answer is the same everywhere."""
    return size * sum(0.3 if c in NARROW else 0.86 if c in WIDE else 0.7 if c.isupper() else 0.57 for c in said)


def wrapped(said: str, width: float, size: float) -> list[str]:
    """Lines that fit; a word that does not is cut. 'gfn 1 -> A' and its like stay on one line."""
    lines = [""]
    for held in TOGETHER.sub(lambda m: m[0].replace(" ", "\0"), said).split():
        word = held.replace("\0", " ")
        joined = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(joined, size) > width:
            lines.append(fitted(word, width, size))
        else:
            lines[-1] = joined if text_width(joined, size) <= width else fitted(joined, width, size)
    return lines


def fitted(said: str, width: float, size: float) -> str:
    if text_width(said, size) <= width:
        return said
    while said and text_width(said + "..", size) > width:
        said = said[:-1]
    return said + ".."
