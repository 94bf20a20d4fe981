"""What all JSON documents of the commands have in common, and the exit code of an interrupted one; imports nothing that takes long."""

from __future__ import annotations

import msgspec

SCHEMA = 1
INTERRUPTED_CODE = 130


def to_json(document: msgspec.Struct) -> str:
    """A document as indented JSON with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
