"""What the front end says when C text cannot be used: one error, one place, one thing to do next."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.errors import TdpcheckError

_SHOWN = 100


def shorten(text: str, limit: int = _SHOWN) -> str:
    """Put `text` on one line with single spaces, and cut it after `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 3].rstrip() + "..."


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a C file: `line` and `column` count from 1, in the text as the user wrote it."""

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Refusal(TdpcheckError):
    """C text outside the subset: where it is, what is wrong, the text itself, and what to do instead.

    The four parts are kept so that a report can lay them out; `str` joins them into one message:
    ``file:line:column: what is wrong: `offending text`; what to do``.
    """

    def __init__(self, at: Location, what: str, offending: str, suggestion: str) -> None:
        # All four go to Exception, so that a refusal survives pickling on its way back from another process.
        super().__init__(at, what, offending, suggestion)
        self.at = at
        self.what = what
        self.offending = shorten(offending)
        self.suggestion = suggestion

    def __str__(self) -> str:
        shown = f": `{self.offending}`" if self.offending else ""
        return f"{self.at}: {self.what}{shown}; {self.suggestion}"


class Unmodelled(Refusal):
    """A name that a file gives a meaning which the model has not: refused where it is used."""
