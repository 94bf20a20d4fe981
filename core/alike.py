"""Names that look alike: what somebody may have meant who gave one that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def alike(name: str, known: Iterable[str], most: int = 3, cutoff: float = 0.5) -> tuple[str, ...]:
    """Those of the known names that look most like `name`, the best first.

    Args:
        cutoff: how much of two names has to agree, from 0 to 1.
    """
    return tuple(difflib.get_close_matches(name, tuple(known), n=most, cutoff=cutoff))


def did_you_mean(near: Iterable[str]) -> str:
    """The question whether one of these was meant; empty if there are none.

    >>> did_you_mean(["read_lock", "write_lock"])
    'did you mean read_lock or write_lock?'
    """
    names = " or ".join(near)
    return f"did you mean {names}?" if names else ""
