"""The examples in docstrings run: a newcomer copies them first."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import tdpcheck.core

ROOT = Path(tdpcheck.core.__file__).parent.parent
ROOMS = ("core", "kernelc", "recheck", "model", "properties", "checker", "counterexamples", "runner", "reports", "api", "cli")
WITH_EXAMPLES = sorted(
    path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py") if ">>> " in path.read_text(encoding="utf-8")
)


def test_there_are_examples() -> None:
    """Without any, the test below would test nothing, and say nothing."""
    assert {"api", "checker", "core", "model", "runner"} <= {path.parts[0] for path in WITH_EXAMPLES}


LONG = {"api/explain.py", "api/prove.py", "api/replay.py"}
"""Examples that ask a solver much."""


@pytest.mark.parametrize("path", [pytest.param(x, id=str(x), marks=pytest.mark.slow if str(x) in LONG else ()) for x in WITH_EXAMPLES])
def test_the_examples_in_docstrings_run(path: Path) -> None:
    """Each module whose docstrings show an interpreter session is run as a user would."""
    name = ".".join(("tdpcheck", *path.with_suffix("").parts)).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)

    assert result.attempted > 0
    assert 0 == result.failed
