"""A way to call the command line, and changes to our kernel C made on the spot."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from click.testing import Result

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
