"""What a reader calls cells, frames, gfns and lists of things."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...core.sorts import StateVar

_MOST_DIGITS = 18
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def cell(var: StateVar, *index: int) -> str:
    """The name of a cell, as a grounded system spells it."""
    return f"{var.name}[{','.join(map(str, index))}]" if index else var.name


def split_cell(name: str) -> tuple[str, tuple[int, ...]]:
    """A cell's variable and its indices.

    >>> split_cell("mark[0,1]")
    ('mark', (0, 1))
    """
    var, _, rest = name.partition("[")
    parts = rest.rstrip("]").split(",") if rest else []
    return var, tuple(number for x in parts if (number := number_of(x)) is not None)


def number_of(text: str) -> int | None:
    """The number that stands in a document, None if it is none that anything here has.

    >>> number_of("12"), number_of("²"), number_of("9" * 5000), number_of("-1")
    (12, None, None, None)
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS else None


def frame_name(frame: int) -> str:
    """Frames are A, B, C ... so that nobody takes them for gfns."""
    return LETTERS[frame] if 0 <= frame < len(LETTERS) else f"F{frame}"


def span(names: Sequence[str]) -> str:
    """The first and last of neighbours in a row."""
    return names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}"


def gfns(numbers: Iterable[int]) -> str:
    """Guest frame numbers as people write them.

    >>> gfns([1]), gfns([3, 0, 1, 2]), gfns([0, 2])
    ('gfn 1', 'gfn 0-3', 'gfn 0,2')
    """
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and runs[-1][-1] == n - 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return "gfn " + ",".join(span([str(n) for n in run]) for run in runs)


def pairs(found: Sequence[tuple[int, int]]) -> str:
    """What maps to what, neighbours together.

    >>> pairs([(0, 0), (1, 1), (3, 0)])
    'gfn 0-1 -> A-B and gfn 3 -> A'
    """
    runs: list[list[tuple[int, int]]] = []
    for gfn, frame in found:
        if runs and runs[-1][-1] == (gfn - 1, frame - 1):
            runs[-1].append((gfn, frame))
        else:
            runs.append([(gfn, frame)])
    return listed([f"{gfns(g for g, _ in run)} -> {span([frame_name(f) for _, f in run])}" for run in runs]) or "nothing"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
