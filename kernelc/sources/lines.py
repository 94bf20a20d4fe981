"""Which lines of a file before and after a change are the same line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .apply import ChangedLine


class Alignment:
    """The lines of one file that a change leaves as they are, by their numbers (from 1) before and after it.

    Args:
        removed: the numbers before it of the lines that it takes out.
        added: the numbers after it of those that it puts in.
    """

    def __init__(self, removed: Iterable[int], added: Iterable[int]) -> None:
        self._removed = sorted(set(removed))
        self._added = sorted(set(added))

    def after(self, line: int) -> int | None:
        """The number that a line has after the change; None if it is taken out."""
        return None if line in self._removed else _nth(line - sum(r < line for r in self._removed), self._added)

    def before(self, line: int) -> int | None:
        """The number that a line had before the change; None if it is put in."""
        return None if line in self._added else self.place_before(line)

    def place_before(self, line: int) -> int:
        """Where a line stands in the file before the change: the first line left of those that follow it."""
        return _nth(line - sum(a < line for a in self._added), self._removed)


def alignments(changed: Sequence[ChangedLine]) -> dict[str, Alignment]:
    """The alignment of each file that a change touches."""
    lines: dict[tuple[str, str], list[int]] = {}
    for line in changed:
        lines.setdefault((line.file, line.kind), []).append(line.line)
    return {file: Alignment(lines.get((file, "removed"), ()), lines.get((file, "added"), ())) for file, _ in lines}


def _nth(number: int, left_out: Iterable[int]) -> int:
    """The number-th line (from 1) of those that are not left out."""
    for line in left_out:
        number += line <= number
    return number
