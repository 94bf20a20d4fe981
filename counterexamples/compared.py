"""A stored document beside the one that is made of its schedule today: what it says that is not found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from .schema import Cex

UNCHECKED = ("engine", "shortest", "confidence", "model", "schema")
"""What a replay cannot find: which engines were asked, what they searched, and on which model; a reader is told so."""


def differences(stored: Cex, found: Cex) -> list[str]:
    """What a document says, and what is found, wherever these differ; a part that the document leaves out says nothing."""
    left, right = msgspec.to_builtins(stored), msgspec.to_builtins(found)
    return [line for name in left if name not in UNCHECKED for line in _differences(name, left[name], right.get(name))]


def _differences(where: str, said: Any, found: Any) -> Iterator[str]:
    if said == found or _empty(said):
        return
    if isinstance(said, dict) and isinstance(found, dict):
        for name in said:
            yield from _differences(f"{where}.{name}", said[name], found.get(name))
    elif isinstance(said, list | tuple) and isinstance(found, list | tuple) and len(said) == len(found):
        for number, (one, other) in enumerate(zip(said, found, strict=True), 1):
            yield from _differences(f"{where} {number}", one, other)
    else:
        yield f"{where}: it says {_short(said)}; found: {_short(found)}"


def _empty(said: Any) -> bool:
    return said is None or (isinstance(said, str | list | tuple | dict) and not said)


def _short(value: Any) -> str:
    """A value as it may be printed: without anything that a terminal would obey."""
    if _empty(value):
        return "nothing"
    text = ascii(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
