"""Circuits in the AIGER format, as text (`.aag`) and in binary (`.aig`), with the model's own names.

Version 1.9 of the format: a latch may start at 1; the property is one bad literal. Readers disagree on latches that start with any
value (ABC takes them for 0 and says that this may be wrong), so an input says which, and a latch `begun?` that it was said. The symbol
table names each latch by its cell, each input as a bit of the code that chooses the action; comments say which actions a code
stands for.

Biere, Heljanko, Wieringa: AIGER 1.9 And Beyond, 2011.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...core.system import Property
from ..circuits.aig import TRUE, Aig, copy
from ..circuits.circuit import Circuit

BEGUN = "begun?"


@dataclass(frozen=True)
class _Model:
    """A circuit as the format knows it: inputs and latches with their names, latches with their first and next values."""

    aig: Aig
    inputs: tuple[tuple[int, str], ...]
    latches: tuple[tuple[int, str, int, int], ...]
    bad: int


@dataclass(frozen=True)
class _Numbered:
    """A model whose nodes are numbered as AIGER wants them: inputs, latches, then gates in order."""

    header: str
    latches: tuple[tuple[int, str], ...]
    gates: tuple[tuple[int, int, int], ...]
    bad: int
    symbols: tuple[str, ...]


def ascii_aiger(made: Circuit, prop: Property) -> str:
    """The circuit as AIGER text."""
    numbered = _number(_model(made), prop)
    inputs = int(numbered.header.split()[1])
    lines = [f"aag {numbered.header}", *(str(2 * i) for i in range(1, inputs + 1))]
    lines += [f"{literal} {rest}" for literal, rest in numbered.latches]
    lines.append(str(numbered.bad))
    lines += [f"{out} {left} {right}" for out, left, right in numbered.gates]
    return "\n".join([*lines, *numbered.symbols, *_comments(made, prop)]) + "\n"


def binary_aiger(made: Circuit, prop: Property) -> bytes:
    """The circuit in AIGER's binary form, a fifth of the size."""
    numbered = _number(_model(made), prop)
    head = [f"aig {numbered.header}", *(rest for _, rest in numbered.latches), str(numbered.bad)]
    packed = b"".join(_packed(out - left) + _packed(left - right) for out, left, right in numbered.gates)
    tail = [*numbered.symbols, *_comments(made, prop)]
    return ("\n".join(head) + "\n").encode() + packed + ("\n".join(tail) + "\n").encode()


def _model(made: Circuit) -> _Model:
    """The circuit, in which no latch starts with any value: an input says with which."""
    aig = Aig()
    inputs = [(node, f"code.{place}", aig.leaf()) for place, node in enumerate(made.inputs)]
    latches = [(latch, aig.leaf()) for latch in made.latches]
    free = [latch for latch in made.latches if latch.reset is None]
    firsts = {latch.node: aig.leaf() for latch in free}
    begun = aig.leaf() if free else TRUE
    leaves = {node: leaf for node, _, leaf in inputs}
    leaves |= {latch.node: aig.choose(begun, leaf, firsts.get(latch.node, leaf)) for latch, leaf in latches}
    bad, *after = copy(made.aig, aig, leaves, [made.bad, *(latch.after for latch in made.latches)])
    named = [(leaf >> 1, latch.name, latch.reset or 0, later) for (latch, leaf), later in zip(latches, after, strict=True)]
    return _Model(
        aig,
        (*((leaf >> 1, name) for _, name, leaf in inputs), *((firsts[latch.node] >> 1, f"first {latch.name}") for latch in free)),
        (*named, (begun >> 1, BEGUN, 0, TRUE)) if free else tuple(named),
        bad,
    )


def _number(model: _Model, prop: Property) -> _Numbered:
    literal: dict[int, int] = {0: 0}
    for node in (*(node for node, _ in model.inputs), *(node for node, *_ in model.latches)):
        literal[node] = 2 * len(literal)
    gates = []
    for node in model.aig.cone([model.bad, *(later for *_, later in model.latches)]):
        inside = model.aig.fanins[node]
        if inside is not None:
            literal[node] = 2 * len(literal)
            right, left = sorted(_put(literal, x) for x in inside)
            gates.append((literal[node], left, right))
    # A first value of 0 need not be said.
    latches = tuple((literal[node], f"{_put(literal, later)}{f' {first}' if first else ''}") for node, _, first, later in model.latches)
    names = [f"i{i} {name}" for i, (_, name) in enumerate(model.inputs)]
    names += [f"l{i} {name}" for i, (_, name, *_) in enumerate(model.latches)]
    header = f"{len(literal) - 1} {len(model.inputs)} {len(latches)} 0 {len(gates)} 1"
    return _Numbered(header, latches, tuple(gates), _put(literal, model.bad), (*names, f"b0 not {prop.name}"))


def _put(literal: Mapping[int, int], one: int) -> int:
    return literal[one >> 1] ^ one & 1


def _packed(number: int) -> bytes:
    """A number in groups of seven bits, the lowest first; all but the last have the highest bit set."""
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])


def _comments(made: Circuit, prop: Property) -> list[str]:
    lines = ["c", f"{made.grounded.system.name} at {made.grounded.geometry}", f"bad: not {prop.name}: {prop.sentence}"]
    lines += [f"code {n}: {' or '.join(action.name for action in group) or 'nothing happens'}" for n, group in enumerate(made.codes)]
    return [" ".join(line.split()) for line in lines]
