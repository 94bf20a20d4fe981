"""Names that a user gives: found, or refused with the ones that look alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..core.alike import alike, did_you_mean
from ..core.errors import InputError


def choose(given: Iterable[str], known: Sequence[str], what: str, where: str = "") -> tuple[str, ...]:
    """The names given, each of them known and each once.

    Raises:
        InputError: one of them is not known; the message has those that look alike.
    """
    chosen = tuple(dict.fromkeys(given))
    for name in chosen:
        if name not in known:
            raise InputError((f"{where}: " if where else "") + unknown(name, known, what))
    return chosen


def unknown(name: str, known: Sequence[str], what: str) -> str:
    """What to say about a name that is not known."""
    hint = did_you_mean(alike(name, known)) or f"there are {', '.join(known) or 'none'}"
    return f"there is no {what} {name!r}; {hint}"
