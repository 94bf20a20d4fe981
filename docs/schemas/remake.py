"""The JSON Schemas of what the tool prints and leaves, made from its own types: `python -m tdpcheck.docs.schemas.remake` writes them."""

from __future__ import annotations

from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

from tdpcheck.api.race import Race
from tdpcheck.counterexamples.schema import json_schema
from tdpcheck.runner.asking.results import SCHEMA, Document

FOLDER = Path(__file__).parent


def schemas() -> dict[str, bytes]:
    """Each schema by the name of its file."""
    run = _schema(Document, f"tdpcheck run, schema {SCHEMA}")
    return {"cex.schema.json": json_schema(), "run.schema.json": run, "race.schema.json": _schema(Race, "tdpcheck race --json")}


def _schema(of: type, title: str) -> bytes:
    made: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **msgspec.json.schema(of)}
    for told in made["$defs"].values():
        if "description" in told:
            told["description"] = cleandoc(told["description"])
    return msgspec.json.format(msgspec.json.encode(made, order="sorted"), indent=1) + b"\n"


if __name__ == "__main__":
    for name, content in schemas().items():
        (FOLDER / name).write_bytes(content)
