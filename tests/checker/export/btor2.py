"""An interpreter for BTOR2 that shares nothing with the writer: it reads lines and knows what the format says of each operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


def _signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> (width - 1) else value


Operator = Callable[[list[int], list[int], int], int]
OPERATORS: dict[str, Operator] = {
    "not": lambda v, w, n: ~v[0],
    "neg": lambda v, w, n: -v[0],
    "and": lambda v, w, n: v[0] & v[1],
    "or": lambda v, w, n: v[0] | v[1],
    "xor": lambda v, w, n: v[0] ^ v[1],
    "implies": lambda v, w, n: (1 - v[0]) | v[1],
    "eq": lambda v, w, n: int(v[0] == v[1]),
    "neq": lambda v, w, n: int(v[0] != v[1]),
    "ite": lambda v, w, n: v[1] if v[0] else v[2],
    "add": lambda v, w, n: v[0] + v[1],
    "sub": lambda v, w, n: v[0] - v[1],
    "mul": lambda v, w, n: v[0] * v[1],
    "udiv": lambda v, w, n: v[0] // v[1] if v[1] else -1,
    "urem": lambda v, w, n: v[0] % v[1] if v[1] else v[0],
    "sll": lambda v, w, n: v[0] << v[1] if v[1] < w[0] else 0,
    "srl": lambda v, w, n: v[0] >> v[1],
    "sra": lambda v, w, n: _signed(v[0], w[0]) >> v[1],
    "ult": lambda v, w, n: int(v[0] < v[1]),
    "ulte": lambda v, w, n: int(v[0] <= v[1]),
    "ugt": lambda v, w, n: int(v[0] > v[1]),
    "ugte": lambda v, w, n: int(v[0] >= v[1]),
    "slt": lambda v, w, n: int(_signed(v[0], w[0]) < _signed(v[1], w[1])),
    "slte": lambda v, w, n: int(_signed(v[0], w[0]) <= _signed(v[1], w[1])),
    "sgt": lambda v, w, n: int(_signed(v[0], w[0]) > _signed(v[1], w[1])),
    "sgte": lambda v, w, n: int(_signed(v[0], w[0]) >= _signed(v[1], w[1])),
    "concat": lambda v, w, n: v[0] << w[1] | v[1],
}
SAME_WIDTH = {"and", "or", "xor", "implies", "eq", "neq", "add", "sub", "mul", "udiv", "urem", "sll", "srl", "sra"}
SAME_WIDTH |= {"ult", "ulte", "ugt", "ugte", "slt", "slte", "sgt", "sgte"}
TO_BIT = {"eq", "neq", "implies", "ult", "ulte", "ugt", "ugte", "slt", "slte", "sgt", "sgte"}


@dataclass
class Btor2:
    """A BTOR2 text taken apart; values are kept by line number."""

    widths: dict[int, int] = field(default_factory=dict)
    sorts: dict[int, int] = field(default_factory=dict)
    lines: list[tuple[int, str, list[int]]] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)
    inputs: dict[str, int] = field(default_factory=dict)
    init: dict[int, int] = field(default_factory=dict)
    next: dict[int, int] = field(default_factory=dict)
    constraints: list[int] = field(default_factory=list)
    bad: dict[str, int] = field(default_factory=dict)

    def values(self, state: Mapping[str, int], inputs: Mapping[str, int]) -> dict[int, int]:
        """The value of every line, for values of states and inputs by their names."""
        found = {number: state[name] for name, number in self.states.items()}
        found |= {number: inputs[name] for name, number in self.inputs.items()}
        for number, operator, arguments in self.lines:
            found[number] = self._value(number, operator, arguments, found)
        return found

    def _value(self, number: int, operator: str, arguments: list[int], found: Mapping[int, int]) -> int:
        width = self.widths[number]
        if operator == "constd":
            return arguments[0]
        if operator == "slice":
            return found[arguments[0]] >> arguments[2] & ((1 << width) - 1)
        if operator == "uext":
            return found[arguments[0]]
        if operator == "sext":
            return _signed(found[arguments[0]], self.widths[arguments[0]]) & ((1 << width) - 1)
        values, widths = [found[a] for a in arguments], [self.widths[a] for a in arguments]
        return OPERATORS[operator](values, widths, width) & ((1 << width) - 1)

    def first(self, free: Mapping[str, int]) -> dict[str, int]:
        """The initial state; `free` gives the states that may start with any value."""
        known = self.values(dict.fromkeys(self.states, 0), dict.fromkeys(self.inputs, 0))
        return {name: known[self.init[number]] if number in self.init else free[name] for name, number in self.states.items()}

    def after(self, state: Mapping[str, int], inputs: Mapping[str, int]) -> dict[str, int]:
        found = self.values(state, inputs)
        return {name: found[self.next[number]] for name, number in self.states.items()}


def read(text: str) -> Btor2:
    """Take a text apart, and refuse what the format does not allow: a line before its parts, words of unequal widths."""
    made = Btor2()
    for line in text.splitlines():
        words = line.split(";")[0].split()
        if not words:
            continue
        number, operator = int(words[0]), words[1]
        assert number > max([0, *made.sorts, *made.widths, *[n for n, _, _ in made.lines]]) or operator in (
            "init",
            "next",
            "bad",
            "constraint",
        )
        if operator == "sort":
            assert "bitvec" == words[2]
            made.sorts[number] = int(words[3])
        elif operator in ("state", "input"):
            made.widths[number] = made.sorts[int(words[2])]
            (made.states if operator == "state" else made.inputs)[words[3]] = number
        elif operator in ("init", "next"):
            state, value = int(words[3]), int(words[4])
            assert made.widths[state] == made.widths[value] == made.sorts[int(words[2])]
            assert operator == "next" or value < state, "an initial value stands before its state"
            (made.init if operator == "init" else made.next)[state] = value
        elif operator == "constraint":
            made.constraints.append(int(words[2]))
        elif operator == "bad":
            made.bad[words[3]] = int(words[2])
        else:
            _operation(made, number, operator, [int(word) for word in words[2:]])
    assert set(made.next) == set(made.states.values()), "every state has a next value"
    return made


def _operation(made: Btor2, number: int, operator: str, numbers: list[int]) -> None:
    width, arguments = made.sorts[numbers[0]], numbers[1:]
    made.widths[number] = width
    made.lines.append((number, operator, arguments))
    parts = [] if operator == "constd" else [made.widths[a] for a in arguments[: 1 if operator in ("slice", "uext", "sext") else None]]
    if operator in SAME_WIDTH:
        assert parts[0] == parts[1]
        assert width == (1 if operator in TO_BIT else parts[0])
    elif operator == "ite":
        assert parts == [1, width, width]
    elif operator == "concat":
        assert sum(parts) == width
    elif operator == "slice":
        assert width == arguments[1] - arguments[2] + 1 <= parts[0]
    elif operator in ("uext", "sext"):
        assert width == parts[0] + arguments[1]
    elif operator != "constd":
        assert parts == [width]
