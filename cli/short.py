"""A run on one screen: violations by cause, the nearest told whole and the others a line each; what holds is one line."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from rich.console import Console
from rich.text import Text

from ..counterexamples.folding import WIDTH
from ..runner.asking.results import Document, Result
from ..runner.telling.answers import summary, verdict_text, waiver_lines
from ..runner.telling.causes import Cause
from .printing import print_change, recorded

SCREEN = 60
"""So many lines a run has with one mistake in it."""
LEAST, LISTED, UNKNOWN = 4, 4, 3
"""Of a list at least so many lines; so many lines that a change leaves open, and so many reasons why something is unknown."""

Key = tuple[str, str, str | None]


def print_short(out: Console, document: Document, texts: Mapping[Key, str], causes: Sequence[Cause], wide: int) -> None:
    """What is violated, what is unknown, what holds, what became of the change, and the line that sums it up.

    Args:
        texts: the first violation of each cause as text; only the nearest of all is told whole.
        wide: columns of what is no counterexample.
    """
    below = recorded(wide)
    for line in (*_unknown(document, wide), *_good(document, wide)):
        below.print(Text(line))
    for change in document.changes:
        print_change(below, change, listed=LISTED)
    below.print(Text(summary(document)))
    rest = below.export_text().rstrip("\n")
    lines = list(_violated(causes, texts, wide, SCREEN - rest.count("\n") - 3)) if causes else []
    if lines:
        out.print(Text("\n".join(lines)))
        out.print()
    out.print(Text(rest))


def _violated(causes: Sequence[Cause], texts: Mapping[Key, str], wide: int, room: int) -> Iterator[str]:
    nearest = min(causes, key=lambda c: (not c.lines, c.first.depth or 0))
    told = texts.get((nearest.first.scenario, nearest.first.property, nearest.first.change), "").rstrip("\n").split("\n")
    yield from told
    others = [cause for cause in causes if cause is not nearest]
    room -= len(told) + len(others) * 2 + 1
    more = _each(nearest)
    if more:
        yield ""
        yield from _wrapped(f"The same cause{_at(nearest)} in {_count(nearest)}:", wide)
        shown = more if len(more) <= room else more[: max(LEAST, room - 1)]
        yield from shown
        if len(more) > len(shown):
            yield f"  and {len(more) - len(shown)} more; -v tells each"
    for number, cause in enumerate(others, 2):
        yield from _wrapped(f"cause {number}{_at(cause)}: {cause.first.property} in {_count(cause)}, the nearest {_one(cause.first)}", wide)


def _at(cause: Cause) -> str:
    """The changed line, as a diff has it."""
    if cause.at is None:
        return ""
    return (
        f", {cause.at.file}:{cause.at.near or cause.at.line}: {'+' if cause.at.kind == 'added' else '-'}{' '.join(cause.at.text.split())},"
    )


def _count(cause: Cause) -> str:
    answers = len({(r.scenario, r.property) for r in cause.records})
    scenarios = len(cause.scenarios)
    return f"{answers} answer{'s' * (answers > 1)} of {scenarios} scenario{'s' * (scenarios > 1)}"


def _one(record: Result) -> str:
    return f"{verdict_text(record)} of {record.scenario}" + (f", {record.label}" if record.label else "")


def _each(cause: Cause) -> list[str]:
    """The other answers, a line each, each question once."""
    first = cause.first.scenario, cause.first.property
    questions = {(r.scenario, r.property): r for r in reversed(cause.records)}
    others = [r for question, r in reversed(questions.items()) if question != first]
    name = max((len(r.property) for r in others), default=0)
    where = max((len(r.scenario) for r in others), default=0)
    return [f"  {r.property:{name}}  {r.scenario:{where}}  {verdict_text(r)}" for r in others]


def _unknown(document: Document, wide: int) -> Iterator[str]:
    """What has no answer, by reason."""
    reasons: dict[str, list[Result]] = {}
    for record in document.results:
        if record.verdict in ("unknown", "vacuous", "waived"):
            reasons.setdefault(record.reason or "; ".join(f"leaning on {x}" for x in waiver_lines(record)), []).append(record)
    ordered = sorted(reasons.items(), key=lambda item: -len(item[1]))
    for reason, records in ordered[:UNKNOWN]:
        yield from _wrapped(f"{verdict_text(records[0])}: {_named(records)}", wide)
        yield from _wrapped(f"  {reason}", wide)
        if records[0].livelock.free is False:
            yield "  -v tells the way there, and once round"
    if len(ordered) > UNKNOWN:
        yield f"and {sum(len(records) for _, records in ordered[UNKNOWN:])} more without an answer, for other reasons; -v tells each"


def _good(document: Document, wide: int) -> Iterator[str]:
    """What is as it should be, in a line a kind."""
    known = [r for r in document.results if r.verdict == "violated" and r.as_expected]
    if known:
        yield from _wrapped(f"Violated as expected: {_named(known)}", wide)
    held = [r for r in document.results if r.verdict in ("proved", "holds_up_to")]
    if held:
        each = ", ".join(f"{len(records)} {kind}" for kind, records in _kinds(held))
        fixed = sum(r.label == "fixed" for r in held)
        said = f"{each}{f'; {fixed} of them fixed by the change' if fixed else ''}"
        yield from _wrapped(f"Good: {said}, in {_scenarios(held)}; -v tells each", wide)
    odd = [r for r in held if not r.as_expected]
    if odd:
        yield from _wrapped(f"Expected to be violated, and nothing was found; mend [expect]: {_named(odd)}", wide)


def _kinds(held: Sequence[Result]) -> Iterator[tuple[str, list[Result]]]:
    """Answers by what is known: for which size, or how deep."""
    proved: dict[str, list[Result]] = {}
    for record in held:
        if record.verdict == "proved":
            proved.setdefault(verdict_text(record).partition(";")[0].removesuffix(")") + ")", []).append(record)
    yield from sorted(proved.items())
    bounded = [record for record in held if record.verdict != "proved"]
    depths = sorted({record.depth or 0 for record in bounded})
    if depths:
        yield f"HoldsUpTo {depths[0]}" + (f" to {depths[-1]} steps" if len(depths) > 1 else ""), bounded


def _scenarios(records: Sequence[Result]) -> str:
    number = len({r.scenario for r in records})
    return f"{number} scenario{'s' * (number > 1)}"


def _named(records: Sequence[Result]) -> str:
    """Answers, counted; the first of them by name."""
    ordered = sorted(records, key=lambda r: r.property)
    parts = []
    for name, several in groupby(ordered, key=lambda r: r.property):
        where = list(dict.fromkeys(r.scenario for r in several))
        parts.append(f"{name} in {where[0]}" + (f" and {len(where) - 1} more" if len(where) > 1 else ""))
    if len(records) <= 4:
        return "; ".join(parts)
    first = f"{ordered[0].property} in {ordered[0].scenario}"
    return f"{len(records)} answers, {first} and others" if len(parts) > 3 else f"{len(records)} answers: {'; '.join(parts)}"


def _wrapped(words: str, wide: int) -> list[str]:
    return textwrap.wrap(words, max(wide, WIDTH), subsequent_indent="  ", break_on_hyphens=False)


__all__ = ["print_short"]
