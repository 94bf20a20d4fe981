"""Counterexamples in every form that there is a renderer for: each a function of a module of `counterexamples.forms`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from ...core.errors import InputError
from ...core.system import Property
from ...core.verdict import Violated
from ...counterexamples import document
from ...counterexamples.schema import Cex, write
from ...model.system import Model
from ..names import unknown

_ROOM = "counterexamples.forms"
FORMS = {
    "text": ("text", "text"),
    "md": ("markdown", "markdown"),
    "html": ("html", "html"),
    "svg": ("svg", "svg"),
    "svg-slide": ("svg", "svg_slide"),
    "svg-lanes": ("lanes", "lanes"),
    "png": ("png", "png"),
    "png-slide": ("png", "png_slide"),
    "mermaid": ("mermaid", "mermaid"),
    "dot": ("dot", "dot"),
    "graphml": ("graphml", "graphml"),
    "graphml-steps": ("graphml", "graphml_steps"),
    "node-link": ("jsonform", "jsonform"),
    "node-link-steps": ("jsonform", "jsonform_steps"),
    "itf": ("itf", "itf"),
    "sarif": ("sarif", "sarif"),
    "junit": ("junit", "junit"),
}
"""By what `--as` calls it: the module, and its function. A module is loaded when it is asked for: some bring large libraries along."""
LEFT = (("json", "cex.json"), ("text", "txt"), ("svg", "svg"), ("html", "html"))
"""What `verify --out` leaves, and how the files' names end."""


def formats() -> tuple[str, ...]:
    """The forms that there are."""
    return ("json", *FORMS)


def render(cex: Cex, form: str) -> bytes:
    """A counterexample in that form.

    Raises:
        InputError: there is no such form.
    """
    if form not in formats():
        raise InputError(unknown(form, formats(), "format"))
    if form == "json":
        return write(cex)
    module, name = FORMS[form]
    renderer: Callable[[Cex], str | bytes] = getattr(import_module(f"....{_ROOM}.{module}", __name__), name)
    made = renderer(cex)
    return made if isinstance(made, bytes) else made.encode()


def document_of(model: Model, prop: Property, verdict: Violated, change: str | None, goals: Mapping[str, int | None] | None = None) -> Cex:
    """The document of a violation."""
    return document.from_verdict(model, prop, verdict, change, goals=goals)


__all__ = ["Cex", "document_of", "formats", "render"]
