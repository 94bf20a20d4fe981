"""Two runs side by side: which answers a series turns red, which it mends, which are open or slower now.

Of a run with several patches, the answer after the last one counts: what the code says once the whole series is in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ..runner.exit_codes import ExitCode, worst
from .overview import Cell, Overview

Turn = Literal["red", "open", "weaker", "gone", "fixed", "known", "answered", "stronger", "new", "other"]
WORSE: tuple[Turn, ...] = ("red", "open", "weaker")
TITLES: dict[Turn, str] = {
    "red": "turned red",
    "open": "without an answer now",
    "weaker": "good still, but less is known",
    "gone": "not asked this time",
    "fixed": "fixed",
    "known": "violated still, as expected now",
    "answered": "with an answer now",
    "stronger": "good still, and more is known",
    "new": "not asked before",
    "other": "failing in another way",
}
"""How each kind of news is headed, the worst first: words that fit one cell, and many."""
SLOWER, LEAST = 1.5, 1.0
"""An answer is slower if it takes so many times as long, and so many seconds more."""


@dataclass(frozen=True)
class News:
    """A question whose answer is another one than before; None where it was not asked."""

    scenario: str
    prop: str
    before: Cell | None
    after: Cell | None
    turn: Turn

    @property
    def sentence(self) -> str:
        was = self.before.full if self.before else "not asked"
        now = self.after.full if self.after else "not asked"
        return f"{self.prop} in {self.scenario}: {was} -> {now}"


@dataclass(frozen=True)
class Slower:
    """A question that takes longer than before."""

    scenario: str
    prop: str
    before: float
    after: float


class Comparison:
    """What a run says that an older one did not."""

    def __init__(self, old: Overview, new: Overview) -> None:
        self.old, self.new = old, new
        asked = dict.fromkeys((s, p) for view in (new, old) for s in view.scenarios for p in view.properties)
        pairs = [(s, p, old.last(s, p), new.last(s, p)) for s, p in asked]
        self.pairs = tuple(pair for pair in pairs if pair[2] is not None or pair[3] is not None)

    @cached_property
    def news(self) -> dict[Turn, tuple[News, ...]]:
        """What changed, by kind, the worst first."""
        found: dict[Turn, list[News]] = {turn: [] for turn in TITLES}
        for scenario, prop, before, after in self.pairs:
            turn = turn_of(before, after)
            if turn is not None:
                found[turn].append(News(scenario, prop, before, after, turn))
        return {turn: tuple(items) for turn, items in found.items() if items}

    @cached_property
    def slower(self) -> tuple[Slower, ...]:
        both = [
            (s, p, a.record.seconds, b.record.seconds)
            for s, p, a, b in self.pairs
            if a is not None and b is not None
        ]  # fmt: skip
        return tuple(Slower(s, p, x, y) for s, p, x, y in both if y > SLOWER * x and y >= x + LEAST)

    @property
    def unchanged(self) -> int:
        return len(self.pairs) - sum(len(items) for items in self.news.values())

    @cached_property
    def headline(self) -> str:
        """The comparison in one sentence."""
        parts = [f"turns {_cells(n)} red" for n in [len(self.news.get("red", ()))] if n]
        parts += [f"leaves {_cells(n)} without an answer" for n in [len(self.news.get("open", ()))] if n]
        parts += [f"fixes {_cells(n)}" for n in [len(self.news.get("fixed", ()))] if n]
        who = "This series" if len(self.new.patches) > 1 else "This change" if self.new.patches else "This run"
        if not parts:
            other = self.news.keys() - {"new", "gone"}
            rest = ", and changes other answers." if other else "; every answer to what both were asked is as before."
            return f"{who} turns no cell red{rest if self.news else '; every answer is as before.'}"
        return f"{who} {_and(parts)}."

    @property
    def exit_code(self) -> ExitCode:
        """Whether a cell turned red, or lost its answer."""
        return worst(code for turn, code in _CODES.items() if turn in self.news)


_CODES: dict[Turn, ExitCode] = {"red": ExitCode.VIOLATED, "open": ExitCode.UNKNOWN}


def turn_of(before: Cell | None, after: Cell | None) -> Turn | None:
    """How an answer turned; None if it says what it said."""
    match before, after:
        case None, None:
            return None
        case None, Cell(tone="bad"):
            return "red"
        case None, Cell():
            return "new"
        case Cell(), None:
            return "gone"
        case _:
            assert before is not None
            assert after is not None
            return _turn(before, after)


def _turn(old: Cell, new: Cell) -> Turn | None:
    match old.tone, new.tone:
        case "bad", "bad":
            return "other" if _run(old) != _run(new) else None
        case _, "bad":
            return "red"
        case "open", "open":
            return None
        case _, "open":
            return "open"
        case "known", "known":
            return "other" if _run(old) != _run(new) else None
        case _, "known":
            return "known"
        case "open", "good":
            return "answered"
        case (("bad" | "known"), "good"):
            return "fixed"
        case _:
            return _strength(old, new)


def _run(cell: Cell) -> object:
    return [(s.actor, s.text, s.arguments) for s in cell.record.trace or ()] or cell.record.depth


def _strength(old: Cell, new: Cell) -> Turn | None:
    """Proved is more than every state of one size, which is more than a depth; then the deeper one."""

    def rank(cell: Cell) -> tuple[int, int]:
        record = cell.record
        if record.verdict == "proved":
            return 2, 0
        if record.verdict == "waived":
            return -1, 0
        return (1, 0) if record.states is not None else (0, record.depth or 0)

    return None if rank(old) == rank(new) else "weaker" if rank(new) < rank(old) else "stronger"


def _cells(number: int) -> str:
    return "1 cell" if number == 1 else f"{number} cells"


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
