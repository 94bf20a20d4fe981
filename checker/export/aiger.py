"""Circuits in the AIGER format, as text (`.aag`) and in binary (`.aig`), with the model's own names.

Version 1.9 of the format: a latch may start at 1, or at any value; the property is one bad literal. The symbol table names each
latch by its cell, each input as a bit of the code that chooses the action; comments say which actions a code stands for.

Biere, Heljanko, Wieringa: AIGER 1.9 And Beyond, 2011.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...core.system import Property
from ..circuit import Circuit


@dataclass(frozen=True)
class _Numbered:
    """A circuit whose nodes are numbered as AIGER wants them: inputs, latches, then gates in order."""

    header: tuple[int, int, int, int]
    latches: tuple[tuple[int, int, int | None], ...]
    gates: tuple[tuple[int, int, int], ...]
    bad: int


def ascii_aiger(made: Circuit, prop: Property) -> str:
    """The circuit as AIGER text."""
    numbered = _number(made)
    most, inputs, latches, gates = numbered.header
    lines = [f"aag {most} {inputs} {latches} 0 {gates} 1", *(str(2 * i) for i in range(1, inputs + 1))]
    lines += [f"{literal} {_latch(literal, after, reset)}" for literal, after, reset in numbered.latches]
    lines.append(str(numbered.bad))
    lines += [f"{out} {left} {right}" for out, left, right in numbered.gates]
    return "\n".join([*lines, *_symbols(made, prop)]) + "\n"


def binary_aiger(made: Circuit, prop: Property) -> bytes:
    """The circuit in AIGER's binary form, a fifth of the size."""
    numbered = _number(made)
    most, inputs, latches, gates = numbered.header
    lines = [f"aig {most} {inputs} {latches} 0 {gates} 1"]
    lines += [_latch(literal, after, reset) for literal, after, reset in numbered.latches]
    lines.append(str(numbered.bad))
    packed = b"".join(_packed(out - left) + _packed(left - right) for out, left, right in numbered.gates)
    return ("\n".join(lines) + "\n").encode() + packed + ("\n".join(_symbols(made, prop)) + "\n").encode()


def _number(made: Circuit) -> _Numbered:
    literal: dict[int, int] = {0: 0}
    for node in (*made.inputs, *(latch.node for latch in made.latches)):
        literal[node] = 2 * len(literal)
    inside = [n for n in made.aig.cone([made.bad, *(x.after for x in made.latches)]) if made.aig.fanins[n] is not None]
    gates = []
    for node in inside:
        literal[node] = 2 * len(literal)
        left, right = sorted((_put(literal, x) for x in made.aig.fanins[node] or ()), reverse=True)
        gates.append((literal[node], left, right))
    latches = tuple((literal[x.node], _put(literal, x.after), x.reset) for x in made.latches)
    header = (len(literal) - 1, len(made.inputs), len(made.latches), len(gates))
    return _Numbered(header, latches, tuple(gates), _put(literal, made.bad))


def _put(literal: Mapping[int, int], one: int) -> int:
    return literal[one >> 1] ^ one & 1


def _latch(literal: int, after: int, reset: int | None) -> str:
    """A latch's next value, and its first one: 0 need not be said, a latch that starts with any value names itself."""
    return str(after) if reset == 0 else f"{after} {literal if reset is None else reset}"


def _packed(number: int) -> bytes:
    """A number in groups of seven bits, the lowest first; all but the last have the highest bit set."""
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])


def _symbols(made: Circuit, prop: Property) -> list[str]:
    lines = [f"i{i} code.{i}" for i in range(len(made.inputs))]
    lines += [f"l{i} {latch.name}" for i, latch in enumerate(made.latches)]
    lines += [
        f"b0 not {prop.name}",
        "c",
        f"{made.grounded.system.name} at {made.grounded.geometry}",
        f"bad: not {prop.name}: {prop.sentence}",
    ]
    lines += [f"code {n}: {' or '.join(action.name for action in group) or 'nothing happens'}" for n, group in enumerate(made.codes)]
    return [" ".join(line.split()) for line in lines]
