"""A run as one HTML page that needs no network and no script."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .compare import TITLES, WORSE, Comparison
from .overview import Overview, Tone, also
from .stored import Key, key_of

MARKS: Mapping[Tone, str] = {"good": "✓", "known": "◇", "bad": "✗", "open": "?"}
TONES: Mapping[Tone, str] = {"good": "hold as far as asked", "known": "violated, as expected", "bad": "violated", "open": "unknown"}
FORMS = {"html": "page", "txt": "text", "svg": "picture", "png": "picture (PNG)", "md": "Markdown", "json": "document"}


def page(view: Overview, compared: Comparison | None = None) -> str:
    """The whole report."""
    # Slow to import, and nobody but this page needs it.
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup, escape

    def soft(words: str) -> Markup:
        """A long name that may break after each underscore."""
        return Markup(escape(words).replace("_", Markup("_<wbr>")))

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters["soft"] = soft
    template = environment.from_string((Path(__file__).with_name("page.html")).read_text(encoding="utf-8"))
    return template.render(
        view=view, compared=compared, marks=MARKS, tones=TONES, forms=FORMS, titles=TITLES, worse=WORSE, also=also, anchors=_anchors(view)
    )


def _anchors(view: Overview) -> dict[Key, str]:
    """Where each answer is told: a violation where its run is, any other in the table of its scenario."""
    spans = [span for s in view.scenarios for p in view.properties for span in view.spans(s, p)]
    anchors = {key_of(cell.record): span.cell.anchor for span in spans for cell in span.cells}
    for number, violation in enumerate(view.violations, 1):
        for cell in (violation.cell, *violation.others):
            anchors[key_of(cell.record)] = f"v-{number}"
    return anchors
