"""What all JSON documents of the commands have in common; imports nothing that takes long."""

from __future__ import annotations

import msgspec

SCHEMA = 1
"""The form of a document that has had no other one."""


def to_json(document: msgspec.Struct | dict[str, object]) -> str:
    """A document as indented JSON with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
