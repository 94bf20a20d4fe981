"""One reader for every document that is kept: each fault has one sentence, which says what to do."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.core.stored.jsonfile import Kind
from tdpcheck.counterexamples.schema import COUNTEREXAMPLE
from tdpcheck.reports.stored import BUGS, RUN_DOCUMENT
from tdpcheck.runner.runs.cache import ENTRY


class Recipe(msgspec.Struct, frozen=True):
    schema: int
    eggs: int


RECIPE = Kind("recipe", Recipe, 3, "eggs", give="give a recipe", again="cook again")


def test_a_document_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(msgspec.json.encode(Recipe(3, 2)))

    assert Recipe(3, 2) == RECIPE.read(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b" \n", "x.json: the file is empty; give a recipe, or cook again"),
        (b"{", "x.json: not a JSON document: Input data was truncated; give a recipe, or cook again"),
        (b"\xff", "x.json: not a JSON document: "),
        (b"[" * 100_000, "x.json: arrays or objects nest too deep for a recipe; give a recipe, or cook again"),
        (b"[]", "x.json: JSON, but not a recipe; give a recipe"),
        (b'{"schema": 3, "flour": 1}', "x.json: JSON, but not a recipe; give a recipe"),
        (b'{"schema": "3", "eggs": 1}', "x.json: JSON, but not a recipe; give a recipe"),
        (b'{"schema": true, "eggs": 1}', "x.json: JSON, but not a recipe; give a recipe"),
        (
            b'{"schema": 4, "eggs": 1}',
            "x.json: a newer form of recipe (schema 4); this tdpcheck reads schema 3. Use the",
        ),
        (
            b'{"schema": 2, "eggs": 1}',
            "x.json: another form of recipe (schema 2); this tdpcheck reads schema 3. Use the",
        ),
        (b'{"schema": 3, "eggs": "two"}', "x.json: not a complete recipe: Expected `int`, got `str` - at `$.eggs`; cook again"),
    ],
    ids=range(11),
)
def test_what_is_none_says_why(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.json").write_bytes(content)

    with pytest.raises(InputError) as caught:
        RECIPE.read(tmp_path / "x.json")
    assert str(caught.value).startswith(f"{tmp_path}/{message}")


@pytest.mark.parametrize(("name", "why"), [("y.json", "there is no such file"), (".", r"cannot be read \(Is a directory\)")])
def test_what_cannot_be_read_says_why(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(InputError, match=f"{why}; give a recipe"):
        RECIPE.read(tmp_path / name)


@pytest.mark.parametrize("kind", [COUNTEREXAMPLE, RUN_DOCUMENT, BUGS, ENTRY], ids=lambda kind: str(kind.name))
def test_every_kind_that_is_kept_has_its_number_and_its_mark(kind: Kind[msgspec.Struct]) -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(kind.type)}

    assert {"schema", kind.mark} <= fields
