"""The picture as pixels: drawn by resvg from the SVG, in a font that comes with the project, so that no machine's fonts matter."""

from __future__ import annotations

from pathlib import Path

import fontpkg_arimo
import resvg_py

from ..schema import Cex
from .svg import svg, svg_slide

FAMILY = fontpkg_arimo.FAMILY
"""Its letters are as wide as Helvetica's, by which Graphviz lays out."""
ZOOM, SLIDE = 2, 1920


def png(cex: Cex) -> bytes:
    """At the width of a mail, with twice as many pixels, so that it stays sharp."""
    return rasterised(svg(cex), zoom=ZOOM)


def png_slide(cex: Cex) -> bytes:
    """1920 pixels wide."""
    return rasterised(svg_slide(cex), width=SLIDE)


def rasterised(picture: bytes, *, zoom: float | None = None, width: int | None = None) -> bytes:
    """Any SVG of this room as PNG."""
    made = resvg_py.svg_to_bytes(
        svg_string=picture.decode(),
        zoom=zoom,
        width=width,
        background="#ffffff",
        skip_system_fonts=True,
        font_files=[str(path) for path in fonts()],
        font_family=FAMILY,
        sans_serif_family=FAMILY,
    )
    return bytes(made)


def fonts() -> tuple[Path, ...]:
    """The font's file: one for all weights."""
    return tuple(sorted(p for p in (fontpkg_arimo.ROOT / "files").glob("*.ttf") if "Italic" not in p.name))
