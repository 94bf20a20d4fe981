"""Counterexamples in every form that there is a renderer for: each a module of `counterexamples` with a function of its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec

from ..core.errors import InputError
from ..core.system import Property
from ..core.verdict import Violated
from ..counterexamples import document
from ..counterexamples.schema import Cex, load, write
from ..model.system import Model
from .names import unknown

_MODULES = {"text": "text", "svg": "svg", "dot": "dot", "html": "html", "md": "markdown", "png": "png", "graphml": "graphml", "itf": "itf"}
_ROOM = "counterexamples"


def formats() -> tuple[str, ...]:
    """The forms that this version can give."""
    room = __package__.rpartition(".")[0] + "." + _ROOM
    return ("json", *(name for name, module in _MODULES.items() if find_spec(f"{room}.{module}") is not None))


def render(cex: Cex, form: str) -> bytes:
    """A counterexample in that form.

    Raises:
        InputError: there is no such form.
    """
    if form not in formats():
        raise InputError(unknown(form, formats(), "format"))
    if form == "json":
        return write(cex)
    name = _MODULES[form]
    renderer: Callable[[Cex], str | bytes] | None = getattr(import_module(f"...{_ROOM}.{name}", __name__), name, None)
    if renderer is None:
        raise InputError(f"this version cannot show a counterexample as {form} yet; use --as text")
    made = renderer(cex)
    return made if isinstance(made, bytes) else made.encode()


def document_of(model: Model, prop: Property, verdict: Violated, change: str | None, goals: Mapping[str, int | None] | None = None) -> Cex:
    """The document of a violation."""
    return document.from_verdict(model, prop, verdict, change, goals=goals)


__all__ = ["Cex", "document_of", "formats", "load", "render"]
