"""What the tests of the command line share: a way to call it, and changes to our kernel C made on the spot."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tdpcheck.cli.main import tdpcheck
from tdpcheck.runner.inputs.sources import files_of

Call = Callable[..., Result]
QUICK = "noncoherent-export"
"""A scenario that is built, walked and asked in a second."""


def diff(file: str, old: str, new: str) -> str:
    """A patch of one file of the shipped kernel C: `old`, which stands there once, becomes `new`."""
    text = files_of(None)[file]
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
    before, after = (part.splitlines(keepends=True) for part in (text, text.replace(old, new)))
    return "".join(difflib.unified_diff(before, after, f"a/{file}", f"b/{file}"))


@pytest.fixture
def call() -> Call:
    """Call the command line; no exception may come out of it."""

    def called(*arguments: str) -> Result:
        result = CliRunner().invoke(tdpcheck, list(arguments))
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        assert "Traceback" not in result.output
        return result

    return called


@pytest.fixture
def patch(tmp_path: Path) -> Callable[..., str]:
    """Write a patch and answer with its path."""

    def written(file: str, old: str, new: str, name: str = "change.patch") -> str:
        path = tmp_path / name
        path.write_text(diff(file, old, new))
        return str(path)

    return written
