"""What is exported says what the circuit says: read again by a reader that shares nothing with the writer, and by ABC."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from tdpcheck.checker.circuits.circuit import Circuit, circuit
from tdpcheck.checker.export.aiger import ascii_aiger, binary_aiger
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.ground import ground
from tdpcheck.core.system import Property
from tdpcheck.core.verdict import Proved, Violated
from tdpcheck.tests.checker.berkeley import ABC, abc_verdict, ask_abc
from tdpcheck.tests.random_systems import GEOMETRY, random_property, random_system
from tdpcheck.tests.toys import TOYS, Toy

every_toy = pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)


@dataclass(frozen=True)
class Read:
    """An AIGER file as read: latches with first and next values, gates, the bad literal, names by kind and number."""

    inputs: list[int]
    latches: list[tuple[int, int, int]]
    gates: list[tuple[int, int, int]]
    bad: int
    names: dict[str, str]
    comments: list[str]

    def values(self, inputs: dict[str, int], state: list[int]) -> dict[int, int]:
        value = {0: 0}
        value |= {literal: inputs[self.names[f"i{i}"]] for i, literal in enumerate(self.inputs)}
        value |= {literal: bit for (literal, _, _), bit in zip(self.latches, state, strict=True)}
        for out, left, right in self.gates:
            value[out] = self.look(value, left) & self.look(value, right)
        return value

    @staticmethod
    def look(value: dict[int, int], literal: int) -> int:
        return value[literal & ~1] ^ literal & 1


def read(data: bytes) -> Read:
    head, _, rest = data.partition(b"\n")
    kind, most, inputs, latches, outputs, gates, bads = head.decode().split()
    assert (outputs, bads) == ("0", "1")
    assert int(most) == int(inputs) + int(latches) + int(gates)

    def line() -> str:
        nonlocal rest
        first, _, rest = rest.partition(b"\n")
        return first.decode()

    text = kind == "aag"
    ins = [int(line()) if text else 2 * i for i in range(1, int(inputs) + 1)]
    found = []
    for i in range(int(latches)):
        literal, after, *first = map(int, line().split()) if text else map(int, f"{2 * (int(inputs) + i + 1)} {line()}".split())
        found.append((literal, after, first[0] if first else 0))
    bad = int(line())
    made = []
    for i in range(int(gates)):
        if text:
            out, left, right = map(int, line().split())
        else:
            out = 2 * (int(inputs) + int(latches) + i + 1)
            deltas = []
            for _ in range(2):
                number = place = 0
                while True:
                    byte, rest = rest[0], rest[1:]
                    number |= (byte & 127) << place
                    place += 7
                    if byte < 128:
                        break
                deltas.append(number)
            left = out - deltas[0]
            right = left - deltas[1]
        assert out > left >= right
        made.append((out, left, right))
    table, _, comments = rest.decode().partition("c\n") if rest.startswith(b"c\n") else rest.decode().partition("\nc\n")
    names = dict(entry.split(" ", 1) for entry in table.splitlines())
    return Read(ins, found, made, bad, names, comments.splitlines())


def both(made: Circuit, prop: Property) -> tuple[Read, Read]:
    return read(ascii_aiger(made, prop).encode()), read(binary_aiger(made, prop))


@pytest.mark.parametrize("seed", range(20))
def test_a_file_runs_as_the_system_does(seed: int) -> None:
    """Text and binary alike, from random initial states, with free first values chosen by inputs."""
    system, rng = random_system(seed), random.Random(seed)
    prop = random_property(seed, system)
    made = circuit(ground(system, GEOMETRY), prop)
    text, binary = both(made, prop)
    assert text == binary
    evaluator = Evaluator(system, GEOMETRY)
    place = evaluator.layout.position
    names = [text.names[f"l{i}"] for i in range(len(text.latches))]
    for _ in range(5):
        state = evaluator.random_initial(rng)
        bits = [first for _, _, first in text.latches]
        for step in range(5 + made.starts_late):
            code = rng.randrange(2 ** len(made.inputs))
            inputs = {f"code.{i}": code >> i & 1 for i in range(len(made.inputs))}
            inputs |= {f"first {x.name}": 0 if x.cell is None else state[place[x.cell.name]] >> x.bit & 1 for x in made.latches}
            value = text.values(inputs, bits)
            started = step > 0 or not made.starts_late
            assert text.look(value, text.bad) == (started and not evaluator.holds(prop.holds, state))
            bits = [text.look(value, after) for _, after, _ in text.latches]
            for action in made.codes[code] if started and code < len(made.codes) else ():
                if evaluator.enabled(action.action, action.arguments, state):
                    state = evaluator.after(action.action, action.arguments, state)
                    break
            expected = {x.name: 1 if x.cell is None else state[place[x.cell.name]] >> x.bit & 1 for x in made.latches}
            assert {**expected, "begun?": 1} == {"begun?": 1, **dict(zip(names, bits, strict=True))}


@every_toy
def test_names_and_comments_are_the_models(toy: Toy) -> None:
    """An outsider's counterexample can be read."""
    made = circuit(ground(toy.system, toy.geometry), toy.prop)
    text, binary = both(made, toy.prop)

    assert text == binary
    assert [latch.name for latch in made.latches] == [name for key, name in text.names.items() if key[0] == "l" and name != "begun?"]
    assert f"not {toy.prop.name}" == text.names["b0"]
    assert toy.system.name in text.comments[0]
    for number, group in enumerate(made.codes):
        (line,) = [x for x in text.comments if x.startswith(f"code {number}: ")]
        assert all(action.name in line for action in group)


@pytest.mark.skipif(ABC is None, reason="Berkeley ABC is not installed (Debian: berkeley-abc)")
@every_toy
def test_abc_decides_every_toy_as_we_do(toy: Toy) -> None:
    """Another program, by other people, on the exported file."""
    assert (Violated if toy.violated is not None else Proved) is abc_verdict(ground(toy.system, toy.geometry), toy.prop)


@pytest.mark.skipif(ABC is None, reason="Berkeley ABC is not installed (Debian: berkeley-abc)")
def test_abc_finds_the_violation_at_the_same_depth(tmp_path: Path) -> None:
    """Its bounded search counts frames as we count steps."""
    toy = next(toy for toy in TOYS if toy.name == "peterson_without_courtesy")
    file = tmp_path / "toy.aig"
    file.write_bytes(binary_aiger(circuit(ground(toy.system, toy.geometry), toy.prop), toy.prop))

    assert f"asserted in frame {toy.violated}" in ask_abc(file, "bmc3")
