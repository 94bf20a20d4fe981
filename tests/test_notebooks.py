"""The notebooks in `docs/notebooks` show what they show today, and hold nothing of the machine that they were executed on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from nbclient.exceptions import CellExecutionError

from tdpcheck.docs.notebooks.refresh import executed, notebooks

NOTEBOOKS = notebooks()


def cells(text: str, kind: str) -> list[dict[str, Any]]:
    """The cells of a kind; a notebook is plain JSON."""
    return [{**cell, "source": "".join(cell["source"])} for cell in json.loads(text)["cells"] if cell["cell_type"] == kind]


def notebook(source: str) -> str:
    """One with a single cell."""
    cell: dict[str, Any] = {"cell_type": "code", "id": "cell-1", "metadata": {}, "execution_count": None, "outputs": [], "source": source}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_executed_today_is_the_stored_one(path: Path) -> None:
    """Every output, byte for byte. After a change that is meant: `python -m tdpcheck.docs.notebooks.refresh`."""
    stored = path.read_text(encoding="utf-8")

    assert stored == executed(stored)


@pytest.mark.slow
def test_a_cell_that_fails_and_an_output_that_was_forged_are_noticed() -> None:
    """Else the test above could not fail."""
    stored = executed(notebook("print(6 * 7)"))
    forged = stored.replace("42", "43")
    assert '"42\\n"' in stored
    assert forged != stored == executed(forged)

    with pytest.raises(CellExecutionError, match="AssertionError"):
        executed(notebook("assert False"))


def test_there_are_two_and_the_map_names_them() -> None:
    """A notebook that nobody finds is not read."""
    page = Path(__file__).parent.parent / "docs" / "architecture.md"

    assert ["proof", "race"] == [path.stem for path in NOTEBOOKS]
    assert [] == [p.name for p in NOTEBOOKS if f"notebooks/{p.name}" not in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_stored_notebook_is_whole_and_clean(path: Path) -> None:
    """With outputs, without errors, counts, times, paths or colours."""
    text = path.read_text(encoding="utf-8")
    code = cells(text, "code")
    outputs = [output for cell in code for output in cell["outputs"]]

    assert all(cell["outputs"] for cell in code[1:])
    assert {"stream", "execute_result"} == {output["output_type"] for output in outputs}
    assert {None, "stdout"} == {output.get("name") for output in outputs}
    assert {None} == {item["execution_count"] for item in (*code, *(o for o in outputs if o["output_type"] == "execute_result"))}
    assert [] == [cell for kind in ("code", "markdown") for cell in cells(text, kind) if cell["metadata"]]
    assert [] == re.findall(r"/(?:work|root|home|tmp|usr)\b[^\"]*|0x[0-9a-f]{6,}|\\u001b", text)
    assert "Proved" in text
    assert "Violated" in text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_in_a_notebook_lead_somewhere(path: Path) -> None:
    """As on every other page."""
    pages = cells(path.read_text(encoding="utf-8"), "markdown")
    targets = [target for page in pages for target in re.findall(r"\]\(([^)#:]+)\)", page["source"])]

    assert [] == [t for t in targets if not (path.parent / t).exists()]
