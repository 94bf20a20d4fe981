"""Violations by their cause: a mistake on one line is one mistake, in however many scenarios it shows, and whatever it breaks there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ...counterexamples.schema import Cex
from ..asking.results import Change, ChangedLine, Document, Result

Key = tuple[str, str, str | None]
"""Scenario, property and change of an answer."""
NAMED = 4
"""So many scenarios are named, the others are counted."""
APART = 6
"""Changed lines with more than so many others between them stand in two hunks, as git cuts them."""


@dataclass(frozen=True)
class Cause:
    """Violations that have one cause.

    Args:
        records: their answers, that of the fewest steps first.
        lines: the changed lines that stand together and of which the shortest run has one; none where no change brought it about.
        at: that one among them at which a reader should look.
    """

    records: tuple[Result, ...]
    lines: tuple[ChangedLine, ...] = ()
    at: ChangedLine | None = None

    @property
    def first(self) -> Result:
        """The one of the fewest steps."""
        return self.records[0]

    @property
    def properties(self) -> tuple[str, ...]:
        """What it breaks, the nearest first."""
        return tuple(dict.fromkeys(r.property for r in self.records))

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Where it shows, the nearest first."""
        return tuple(dict.fromkeys(r.scenario for r in self.records))


def causes(document: Document, made: Mapping[Key, Cex] | None = None) -> tuple[Cause, ...]:
    """The violations that no scenario expects, by cause; what a change brings about comes first, and then the fewest steps.

    What a change brings about has its cause in the hunk of which the run has a line; of a run that has none of the lines that were
    added, in the deleted lines that are nearest to what it executes. Any other violation is told apart by the two places that race.

    Args:
        made: counterexamples that are known; without one, runs are told apart by what is done in them.
    """
    changes = {change.name: change for change in document.changes}
    order = list(dict.fromkeys([*changes, *(r.change for r in document.results)]))
    groups: dict[object, list[tuple[Result, ChangedLine | None, tuple[ChangedLine, ...]]]] = {}
    since: dict[tuple[str, str], object] = {}
    for record in sorted(document.results, key=lambda r: order.index(r.change)):
        if record.verdict != "violated" or record.as_expected:
            continue
        change = changes.get(record.change or "")
        at, lines = _blamed(record, change) if change is not None and record.label == "introduced" else (None, ())
        key: object = (record.change, lines) if lines else (record.change, record.property, _race(record, (made or {}).get(_key(record))))
        question = record.scenario, record.property
        if record.label == "pre-existing" and question in since:
            key = since[question]  # an earlier patch of the series brought it about
        since[question] = key
        groups.setdefault(key, []).append((record, at, lines))
    found = []
    for several in groups.values():
        several.sort(key=lambda each: (order.index(each[0].change), _steps(each[0])))
        found.append(Cause(tuple(r for r, _, _ in several), several[0][2], several[0][1]))
    return tuple(sorted(found, key=lambda c: (order.index(c.first.change), not c.lines, _steps(c.first))))


def also_text(cause: Cause) -> str:
    """What else has the cause of the first violation, as a sentence; '' where nothing has."""
    first = cause.first
    others: dict[str, dict[str, None]] = {}
    for record in cause.records:
        if (record.property, record.scenario) != (first.property, first.scenario):
            others.setdefault(record.property, {})[record.scenario] = None
    if not others:
        return ""
    return f"The same cause breaks {'; '.join(f'{prop} in {_listed(list(where))}' for prop, where in others.items())}."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _blamed(record: Result, change: Change) -> tuple[ChangedLine | None, tuple[ChangedLine, ...]]:
    """The changed line at which to look, and those that stand together with it."""
    hunks = list(_hunks(change.lines))
    if not hunks:
        return None, ()
    executed = [_place(step.source) for step in reversed(record.trace or ()) if step.source]
    added = [(executed.index((x.file, x.near)), x) for x in change.lines if x.kind == "added" and (x.file, x.near) in executed]
    removed = [(_distance(x, executed), x) for x in change.lines if x.kind == "removed"]
    at = min(added or removed or [(0, change.lines[0])], key=lambda each: each[0])[1]
    return at, next(hunk for hunk in hunks if at in hunk)


def _hunks(lines: Sequence[ChangedLine]) -> Iterator[tuple[ChangedLine, ...]]:
    """Changed lines that stand together."""
    hunk: list[ChangedLine] = list(lines[:1])
    for before, line in pairwise(lines):
        if line.file != before.file or abs(line.near - before.near) > APART:
            yield tuple(hunk)
            hunk = []
        hunk.append(line)
    if hunk:
        yield tuple(hunk)


def _distance(line: ChangedLine, executed: Iterable[tuple[str, int]]) -> int:
    """How many lines there are between one and the nearest that a run executes; many where it executes none of the file."""
    return min((abs(line.near - at) for file, at in executed if file == line.file), default=1 << 30)


def _place(source: str) -> tuple[str, int]:
    file, _, line = source.rpartition(":")
    return file, int(line) if line.isdigit() else 0


def _race(record: Result, cex: Cex | None) -> object:
    """What tells runs apart that no change brings about."""
    if cex is not None and cex.signature is not None:
        return cex.signature.lines
    return tuple((s.actor, s.text) for s in record.trace or ()) or record.scenario


def _steps(record: Result) -> tuple[int, str, str]:
    return record.depth or 0, record.scenario, record.property


def _key(record: Result) -> Key:
    return record.scenario, record.property, record.change


__all__ = ["Cause", "also_text", "causes"]
