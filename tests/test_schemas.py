"""The published JSON Schemas are those of today's types, and what the tool prints is valid by them."""

from __future__ import annotations

import json

import jsonschema
import pytest

from tdpcheck.docs.schemas.remake import FOLDER, schemas
from tdpcheck.runner.documents import to_json
from tdpcheck.tests.counterexamples.planted import GOLDEN
from tdpcheck.tests.reports.runs import series_run

MADE = schemas()


@pytest.mark.parametrize("name", MADE)
def test_a_published_schema_is_current(name: str) -> None:
    """`python -m tdpcheck.docs.schemas.remake` makes them again."""
    assert MADE[name] == (FOLDER / name).read_bytes()


def test_a_run_is_valid_and_a_run_without_its_model_is_not() -> None:
    run, schema = json.loads(to_json(series_run())), json.loads(MADE["run.schema.json"])

    jsonschema.validate(run, schema)
    del run["model"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(run, schema)


def test_a_counterexample_is_valid_and_one_without_its_scenario_is_not() -> None:
    cex, schema = json.loads((GOLDEN / "never-retry.cex.json").read_text()), json.loads(MADE["cex.schema.json"])

    jsonschema.validate(cex, schema)
    del cex["scenario"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(cex, schema)
