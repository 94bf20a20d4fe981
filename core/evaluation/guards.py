"""Why an action may not fire: the conjuncts of its guard that are false, with what they look at. No solver is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import z3

from ..ground import conjuncts
from ..sorts import Kind, Sort, Truth, Word
from ..substitution import Substitution
from ..system import Action
from .evaluate import Evaluator, State

ELEMENT = re.compile(r"\b(\w+)!(\d+)\b")
WIDTH = 120
CELLS = 4


@dataclass(frozen=True)
class Refusal:
    """Why an action may not fire.

    Args:
        needs: the first conjunct of its guard that is false, as it reads at its arguments.
        sees: the cells at which that looks, each with its value.
    """

    needs: str
    sees: tuple[str, ...]

    def __str__(self) -> str:
        more = len(self.sees) - CELLS
        told = f", but {', '.join(self.sees[:CELLS])}" if self.sees else ""
        return f"it needs {self.needs}{told}" + (f" (and {more} more)" if more > 0 else "")


def refusal(evaluator: Evaluator, action: Action, arguments: Sequence[int], state: State) -> Refusal | None:
    """Why an action may not fire with these arguments in a state; None if it may."""
    for part in conjuncts(action.guard):
        seen = _Seen(state)
        if not evaluator.compile(part, action.params)(seen, *arguments):
            return Refusal(_words(evaluator, action, arguments, part), tuple(_values(evaluator, seen)))
    return None


class _Seen(tuple[int, ...]):
    """A state that remembers which of its cells were looked at."""

    places: dict[int, None]

    def __new__(cls, state: State) -> _Seen:
        made = super().__new__(cls, state)
        made.places = {}
        return made

    def __getitem__(self, place):  # type: ignore[no-untyped-def]
        self.places[place] = None
        return tuple.__getitem__(self, place)


def _words(evaluator: Evaluator, action: Action, arguments: Sequence[int], part: z3.BoolRef) -> str:
    pairs = {p.const: p.kind.element(a) for p, a in zip(action.params, arguments, strict=True) if isinstance(p.kind, Sort)}
    text = " ".join(str(Substitution(pairs)(part)).split())

    def named(found: re.Match[str]) -> str:
        sort = evaluator.system.sort_by_name.get(found[1])
        return found[0] if sort is None else str(sort.show(int(found[2])))

    text = ELEMENT.sub(named, text)
    return text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."


def _shown(kind: Kind, value: int) -> str:
    match kind:
        case Sort():
            return kind.show(value)
        case Truth():
            return "true" if value else "false"
        case Word():
            return hex(value)


def _values(evaluator: Evaluator, seen: _Seen) -> Iterator[str]:
    for place in seen.places:
        cell = evaluator.layout.cells[place]
        yield f"{cell.name} is {_shown(cell.var.kind, tuple.__getitem__(seen, place))}"
