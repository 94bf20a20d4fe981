"""An initial state that a certificate for every size names, so that what it says of all runs is not said of none.

The state is finite: how many elements each sort has, and the value of each function at all of them. Whether it satisfies what the file
supposes of a state, and of an initial one, is evaluated from the text, by going through all elements; no solver has a part in that.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping

from .obligations import Certificate
from .sexpr import Sexpr, read, write
from .sorting import BOOL

Value = int
"""The number of an element; of truth values, 0 and 1."""

_DIGITS = 6
MOST_STEPS = 1_000_000
"""How many subterms are evaluated at most: a second or two; the initial state of six roles takes 17,474."""
_TRUTH = {"false": 0, "true": 1}


def no_start(found: Certificate) -> str:
    """Why the state that a certificate names is no initial state of its system; empty if it is one."""
    if not found.start_sizes and not found.start_values:
        return "the file names none"
    try:
        structure = _Structure(found)
        wrong = next((name for name in (*found.axioms, *found.init) if not structure.evaluate(found.made[name].body, {})), None)
    except _NoStructureError as error:
        return str(error)
    except (IndexError, TypeError, ValueError, RecursionError):
        return "its clauses are no terms, or are too deep"
    return "" if wrong is None else f"{wrong} is not true of the one that the file names"


def _number(text: str) -> int:
    """The number that a text says, -1 if it says none that is small."""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else -1


class _NoStructureError(Exception):
    """Why what a file names is no state."""


class _Structure:
    """A finite state, and the truth of terms in it."""

    def __init__(self, found: Certificate) -> None:
        self._found = found
        self._left = MOST_STEPS
        self._sizes = {BOOL: 2}
        for sort in found.sorts:
            self._sizes[sort] = _number(found.start_sizes.get(sort, ""))
            if self._sizes[sort] < 1:
                raise _NoStructureError(f"the file does not say how many of {sort} there are at the start")
        self._values = {name: self._function(name) for name in found.functions}

    def _function(self, name: str) -> dict[tuple[Value, ...], Value]:
        arguments, result = self._found.functions[name]
        (sorts,) = read(arguments)
        assert isinstance(sorts, list)
        places = [self._elements(sort) for sort in sorts]
        said = self._found.start_values.get(name, ())
        values = [_TRUTH.get(value, -1) if result == BOOL else _number(value) for value in said]
        if len(values) != math.prod(map(len, places)) or not all(value in self._elements(result) for value in values):
            raise _NoStructureError(f"the file does not say what {name} is at the start")
        return dict(zip(itertools.product(*places), values, strict=True))

    def _elements(self, sort: Sexpr) -> range:
        name = write(sort)
        if name not in self._sizes:
            raise _NoStructureError(f"there is no sort {name}")
        return range(self._sizes[name])

    def evaluate(self, term: Sexpr, values: Mapping[str, Value]) -> Value:
        """The value of a term where some variables have values."""
        self._left -= 1
        if self._left < 0:
            raise _NoStructureError(f"whether it is one takes more than {MOST_STEPS:,} steps to evaluate; name a smaller one")
        match term:
            case str():
                return values[term] if term in values else self._applied(term, ())
            case ["forall" | "exists" as word, list(binders), body]:
                every: Callable[[Iterator[Value]], bool] = all if word == "forall" else any
                names = [write(b[0]) for b in binders]
                choices = itertools.product(*(self._elements(b[1]) for b in binders))
                return every(self.evaluate(body, {**values, **dict(zip(names, choice, strict=True))}) for choice in choices)
            case ["let", list(bindings), body]:
                return self.evaluate(body, {**values, **{write(b[0]): self.evaluate(b[1], values) for b in bindings}})
            case ["and", *parts]:
                return all(self.evaluate(part, values) for part in parts)
            case ["or", *parts]:
                return any(self.evaluate(part, values) for part in parts)
            case ["not", part]:
                return not self.evaluate(part, values)
            case ["=>", part, then]:
                return not self.evaluate(part, values) or self.evaluate(then, values)
            case ["ite", condition, one, other]:
                return self.evaluate(one if self.evaluate(condition, values) else other, values)
            case ["=", one, other]:
                return self.evaluate(one, values) == self.evaluate(other, values)
            case ["xor", one, other]:
                return self.evaluate(one, values) != self.evaluate(other, values)
            case ["distinct", *parts]:
                return len({self.evaluate(part, values) for part in parts}) == len(parts)
            case [str(name), *arguments]:
                return self._applied(name, tuple(self.evaluate(x, values) for x in arguments))
            case _:
                raise _NoStructureError(f"nobody knows what {write(term)[:60]} is at the start")

    def _applied(self, name: str, arguments: tuple[Value, ...]) -> Value:
        if name in ("true", "false"):
            return name == "true"
        if name in self._found.some:
            made = self._found.some[name]
            return self.evaluate(made.body, dict(zip((write(p[0]) for p in made.parameters), arguments, strict=True)))
        found = self._values.get(name, {}).get(arguments)
        if found is None:
            raise _NoStructureError(f"nobody knows what {name} is at the start")
        return found


__all__ = ["no_start"]
