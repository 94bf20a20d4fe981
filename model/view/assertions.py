"""How the assertions of the kernel C are told; what they are stands in the code, and `kernelc` keeps which of them has failed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...kernelc.lowering.cfg import ASSERTIONS, FAILED
from .roles import Telling
from .state_view import Changed, View

_HAPPENS = re.compile(
    r"is read before it is set|index out of bounds|signed overflow|shift by too much|changes without"
    r"|is still held when|is given back by"
)


def broken(assertion: str) -> str:
    """That an assertion does not hold: a WARN_ON or BUG_ON states what must not be, and what C leaves undefined is told as it happens."""
    if _HAPPENS.search(assertion):
        return assertion
    return f"{assertion} {'fires' if re.search('WARN|BUG', assertion) else 'fails'}"


def _words(before: View, after: View, changed: Changed) -> Iterator[str]:
    for at in changed.at(FAILED):
        yield broken(after.named(ASSERTIONS, *at))


TOLD = Telling(effects=_words, rank=6)

__all__ = ["ASSERTIONS", "FAILED", "TOLD", "broken"]
