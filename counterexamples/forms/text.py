"""The form of a commit message: plain ASCII, 72 columns, one lane an actor, time downwards."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from ...model.machine import parts
from ...model.view.naming import listed, number_of
from ..command import replay_lines
from ..facts import acting, counted_in, how_deep, is_noise, parties, sizes, start, verdict_line, where
from ..folding import WIDTH, fold
from ..schema import Cex, Edit, Step, Turn, file_name
from ..story import story

ROWS = 20
"""At most so many lines of table; a mail with more is not read."""
LANES = 4
CAUSES, EDITS = 3, 6
"""At most so many causes and lines of the change are told; the others are in the document."""
NAME, HEADING = 12, 20

LEAST = 16
"""The narrowest cell that is still read as a phrase."""


def text(cex: Cex) -> str:
    """The whole report."""
    parts = [
        _head(cex),
        _fill(cex.prop.sentence, "Property: ", "  "),
        _changed(cex),
        _fill(story(cex)),
        _fill(f"{start(cex)}.", "At the start: ", "  "),
        _table(cex),
        _because(cex),
        _tail(cex),
    ]
    return _ascii("\n\n".join(part for part in parts if part)) + "\n"


def shortly(cex: Cex) -> str:
    """What happens, and who does what when: the heart of the report."""
    return _ascii("\n\n".join([_fill(f"{verdict_line(cex)}."), _fill(story(cex)), _table(cex)])) + "\n"


def briefly(cex: Cex, again: str) -> str:
    """The report as it stands among other answers: without who takes part, what is assumed and how big it is, which are the same for all.

    Args:
        again: what to type to see it again.
    """
    promise, begin = _fill(cex.prop.sentence, "Property: ", "  "), _fill(f"{start(cex)}.", "At the start: ", "  ")
    parts = [_head(cex), promise, _changed(cex), _fill(story(cex)), begin, _table(cex), _because(cex), again]
    return _ascii("\n\n".join(part for part in parts if part)) + "\n"


def table(cex: Cex) -> str:
    """Who does what when, and what is false at the end."""
    return _ascii(_table(cex))


def _changed(cex: Cex) -> str:
    """The lines of the change, as the report counts them."""
    if not cex.changed:
        return ""
    lines = [line for e in cex.changed[:EDITS] for line in _edit(e)]
    more = [f"  and {len(cex.changed) - EDITS} more lines"] if len(cex.changed) > EDITS else []
    return "\n".join(["The change:", *lines, *more])


def _edit(edit: Edit) -> list[str]:
    at = f"  {PurePosixPath(edit.file).name}:{edit.line}".ljust(18)
    sign = "+" if edit.kind == "added" else "-"
    lines = textwrap.wrap(" ".join(edit.text.split()), WIDTH - len(at) - 2, break_on_hyphens=False) or [""]
    return [f"{at}{sign} {lines[0]}", *(f"{' ' * len(at)}  {line}" for line in lines[1:])]


def _head(cex: Cex) -> str:
    design = "" if cex.design == "shared" else f"design {cex.design}"
    facts = [f"VIOLATED {cex.prop.name}", f"scenario {cex.scenario.name}", how_deep(cex)]
    more = [
        f"change {cex.change or 'none'}",
        design,
        f"kernel C {cex.kernel}",
        f"model {cex.model}",
        f"engine {cex.engine}",
        "replayed: yes",
    ]
    return _packed(facts) + "\n" + _packed([m for m in more if m])


def _packed(facts: list[str]) -> str:
    """Facts side by side, as many a line as fit."""
    lines = [""]
    for fact in facts:
        if lines[-1] and len(lines[-1]) + 3 + len(fact) > WIDTH:
            lines.append("")
        lines[-1] += ("   " if lines[-1] else "") + _shorten(fact, WIDTH)
    return "\n".join(lines)


def _fill(words: str, first: str = "", indent: str = "") -> str:
    return "\n".join(fold(words, WIDTH, first, indent))


@dataclass(frozen=True)
class _Lanes:
    """Where each actor's column begins and what stands above it; a column without heading is a list of who did what."""

    starts: dict[str, int]
    heads: dict[str, str]
    stacked: bool = False


def _table(cex: Cex) -> str:
    """The lanes, what is violated, and how much is not shown."""
    shown = [s for s in cex.steps if not is_noise(cex, s)]
    # What is left may still be too much: the earliest steps without effect go first, those that the story names last.
    told = {number_of(n) for n in re.findall(r"step (\d+)", story(cex))} | {cex.depth}
    droppable = sorted(shown, key=lambda s: (s.number in told or s.mark == "cause", bool(s.effects), s.number))
    lines = _lanes(cex, shown)
    while len(lines) > ROWS and len(shown) > 1:
        shown.remove(droppable.pop(0))
        lines = _lanes(cex, shown)
    lines += ["", *(_fill(f"{i.sentence}.", "=> ", "   ") for i in cex.violation[:3])]
    if len(cex.violation) > 3:
        lines.append(f"   and {len(cex.violation) - 3} more")
    folded = len(cex.steps) - len(shown)
    if folded:
        lines.append(f"({folded} step{'s' if folded != 1 else ''} folded: {_why(cex, folded)})")
    return "\n".join(lines).strip("\n")


def _why(cex: Cex, folded: int) -> str:
    noise = sum(is_noise(cex, s) for s in cex.steps)
    return "locks, loops and local values" if folded <= noise else "the table has no room for all"


def _lanes(cex: Cex, shown: Sequence[Step]) -> list[str]:
    lanes = _lay_out(cex, shown)
    lines = _headings(lanes) if shown and not lanes.stacked else []
    due = cex.missing
    for step in shown:
        if due is not None and step.number >= due.before:
            lines += fold(due.what, WIDTH, "    (+) missing: ", "        ")
            due = None
        lines += _row(step, lanes)
    return lines


def _lay_out(cex: Cex, shown: Sequence[Step]) -> _Lanes:
    """Each column begins as far to the left as its cells need, but after the heading of the one before: there is one event a line, so a
    cell may run on below the headings to its right. Too many actors for that stand in one column by name.
    """
    left = 4 + max((len(where(s)) + 2 for s in shown if s.sources), default=0)
    names = [a.name for a in cex.actors if any(s.actor == a.name for s in shown)]
    if len(names) > LANES:
        wide = min(max(map(len, names)), NAME)
        return _Lanes(dict.fromkeys(names, left), {n: _shorten(n, wide).ljust(wide) + "  " for n in names}, stacked=True)
    starts: dict[str, int] = {}
    heads: dict[str, str] = {}
    free = left
    for lane, name in enumerate(names):
        rest = len(names) - lane - 1
        need = max(len(s.label) + 4 * (s.mark == "cause") for s in shown if s.actor == name)
        starts[name] = max(free, min(left + lane * (WIDTH - left) // len(names), WIDTH - need))
        room = (WIDTH - LEAST - free) // rest - 2 if rest else WIDTH - starts[name]
        heads[name] = _shorten(name, min(HEADING, max(4, room)))
        free = starts[name] + len(heads[name]) + 2
    return _Lanes(starts, heads)


def _headings(lanes: _Lanes) -> list[str]:
    names = _placed([(lanes.starts[n], head) for n, head in lanes.heads.items()])
    return [names, _placed([(lanes.starts[n], "-" * len(head)) for n, head in lanes.heads.items()])]


def _row(step: Step, lanes: _Lanes) -> list[str]:
    left = lanes.starts[step.actor]
    who = lanes.heads[step.actor] if lanes.stacked else ""
    mark = " (*)" if step.mark == "cause" else ""
    lines = textwrap.wrap(who + step.label + mark, WIDTH - left, subsequent_indent=" " * len(who) + "  ", break_on_hyphens=False) or [who]
    if len(lines) > 2:
        rest = " ".join([lines[1], *(x.strip() for x in lines[2:])]).removesuffix(mark)
        lines = [lines[0], _shorten(rest, WIDTH - left - len(mark)) + mark]
    first = _placed([(0, f"{step.number:>2}"), (4, where(step)), (left, lines[0])])
    return [first, *(_placed([(left, more)]) for more in lines[1:])]


def _placed(pieces: Sequence[tuple[int, str]]) -> str:
    line = ""
    for at, piece in pieces:
        line = line.ljust(at) + piece
    return line


def _tail(cex: Cex) -> str:
    idle = [a.name for a in cex.actors if a.name not in acting(cex)]
    lines = [f"Actors: {'; '.join(parties(cex)) or 'none'}" + (f"; idle: {listed(idle)}" if idle else "") + "."]
    if cex.needs:
        lines.append(f"Needs: {'; '.join(cex.needs)}.")
    if cex.assumptions:
        lines.append(f"Assumed{', too' if cex.needs else ''}: {'; '.join(a for a in cex.assumptions if a not in cex.needs)}.")
    lines.append(f"Not modelled here: {', '.join(cex.absent)}.")
    lines.append(f"Size: {sizes(cex)}. Frames are named A, B, C ...")
    if any(s.sources for s in cex.steps):
        lines.append(f"Lines: {counted_in(cex)}.")
    lines += [cache.footnote for cache in parts.caches() if cache.footnote and any(cache.name in s.label for s in cex.steps)]
    return "\n".join([*map(_fill, lines), replay_lines(cex, file_name(cex))])


def _because(cex: Cex) -> str:
    """Causes, near miss and repairs; what nobody looked for is not mentioned."""
    shown = cex.causes[:CAUSES]
    lines = [_fill(_one(cause.sentence), "(*) cause: ", "    ") for cause in shown]
    if len(cex.causes) > CAUSES:
        lines.append(f"    and {len(cex.causes) - CAUSES} more")
    if cex.missing is not None:
        lines.append(_fill(_one(cex.missing.sentence), "(+) cause: ", "    "))
    if cex.near_miss is not None and _turned(cex.near_miss.steps) not in [(c.before, c.after) for c in shown]:
        lines.append(_fill(cex.near_miss.sentence, "Near miss: ", "    "))
    if cex.searched:
        lines.append(_fill(cex.searched))
    for repair in cex.repairs:
        lines.append(_fill(f"{repair.sentence} ({repair.where}); then {repair.verified}.", "Repair: ", "    "))
    return "\n".join(lines)


def _one(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _turned(steps: Sequence[Turn]) -> tuple[int, int] | None:
    """The first two steps that have changed places."""
    numbers = [t.number for t in steps if t.number]
    return next(((b, a) for a, b in pairwise(numbers) if a > b), None)


def _shorten(words: str, width: int) -> str:
    return words if len(words) <= width else words[: max(1, width - 2)] + ".."


def _ascii(words: str) -> str:
    clean = "".join(c if c == "\n" or 32 <= ord(c) < 127 else "?" for c in words)
    return "\n".join(line.rstrip() for line in clean.split("\n"))
