"""Copies of nodes by value: a thread's graph gets longer and its state smaller, and what it can do stays the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tdpcheck.examples.toy_kernel import Built, Toy, toy
from tdpcheck.kernelc.lowering.cfg import Graph, Local, Mark
from tdpcheck.kernelc.lowering.library import Value
from tdpcheck.kernelc.lowering.lower import lower
from tdpcheck.kernelc.stepping import variants
from tdpcheck.kernelc.stepping.joined import JoinedPaths
from tdpcheck.kernelc.stepping.variants import by_value
from tdpcheck.kernelc.text.parse import parse
from tdpcheck.model.change.marks import mark
from tdpcheck.tests.few import few

TEXT = (Path(__file__).parents[1] / "programs.c").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^(?!static)\w+ (\w+)\(", TEXT, re.MULTILINE)


def everything(_: Local) -> bool:
    return True


@dataclass(frozen=True, eq=False)
class Unfolded(Toy):
    """The toy kernel with a copy of each node per combination of known values."""

    wanted: Callable[[Local], bool] | None = field(default=everything)

    def graph(self, text: str, entry: str = "f", role: str = "f", arguments: Mapping[str, Value] | None = None) -> Graph:
        graph = super().graph(text, entry, role, arguments)
        by_value(graph, self.wanted)
        return graph


def outcomes(built: Built) -> set[tuple[tuple[int, ...], frozenset[str]]]:
    """Memory, locks and failed assertions in all reachable states in which both threads are done."""
    layout = built.evaluator.layout
    start = next(built.evaluator.initial())
    seen, todo, final = {start}, [start], set()
    moves = list(built.evaluator.moves())
    done = {x.index for x in built.software.locations if x.name.endswith(":done")}
    failed = {layout.offset["assertion_failed"] + i: label for i, label in enumerate(built.software.assertions)}
    while todo:
        state = todo.pop()
        if all(layout.value(state, "pc", t) in done for t in range(len(built.threads))):
            final.add((toy.shared(built, state), frozenset(label for i, label in failed.items() if state[i])))
        for move in moves:
            if move.guard(state) and (after := move.apply(state)) not in seen:
                seen.add(after)
                todo.append(after)
    return final


@pytest.mark.parametrize("name", few(PROGRAMS, 3))
def test_copies_lose_no_outcome(name: str) -> None:
    """Two threads leave behind the same, whether what they know stands in state or in the program counter, joined or not."""
    plain = toy.build(TEXT, (name,), (name, name))
    unfolded = Unfolded().build(TEXT, (name,), (name, name))
    joined = Unfolded().build(TEXT, (name,), (name, name), paths=JoinedPaths)

    assert outcomes(plain) == outcomes(unfolded) == outcomes(joined)


COUNTING = "void f(void) { int i; for (i = 0; i < 3; i++) *cell0 = *cell0 + 1; }"


def test_a_counter_with_few_values_leaves_the_state() -> None:
    """A loop of three turns becomes three copies of its body, and nobody keeps its counter."""
    text = COUNTING
    kept = {path for _, path in toy.build(text, paths=JoinedPaths).software.local_vars}
    left = {path for _, path in Unfolded(wanted=None).build(text, paths=JoinedPaths).software.local_vars}

    assert any(path.endswith(".i") for path in kept)
    assert not any(path.endswith(".i") for path in left)


def test_a_local_with_too_many_values_stays_in_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where copies would become too many, the local that makes most of them is given up: the graph stays small and means the same."""
    text = COUNTING
    monkeypatch.setattr(variants, "MOST_NODES", 12)
    built = Unfolded(wanted=None).build(text)

    assert any(path.endswith(".i") for _, path in built.software.local_vars)
    assert outcomes(built) == outcomes(toy.build(text))


def test_two_copies_on_one_path_choose_anew() -> None:
    """A loop unfolded into one step asks for a value in each turn; each answer is its own."""
    text = "void f(void) { u2 i; u2 sum = 0; for (i = 0; i < 2; i++) sum = sum + (any_bool() ? 1 : 0); *cell0 = sum; }"
    cells = {final[0][:2] for final in outcomes(Unfolded(wanted=None).build(text, paths=JoinedPaths))}

    assert {0, 1, 2} <= {cell for pair in cells for cell in pair}


@dataclass(frozen=True, eq=False)
class Marked(Toy):
    """The toy kernel with marks, as a change of the third line has them."""

    def graph(self, text: str, entry: str = "f", role: str = "f", arguments: Mapping[str, Value] | None = None) -> Graph:
        unit = parse(text, "toy.c")
        return lower(role, entry, mark(unit.functions, {"toy.c": [3]}), unit.structs, self.library, arguments, unit.broken)


@pytest.mark.parametrize("changed", ["n = 2;", "goto out;"])
def test_a_step_says_whether_it_passes_a_changed_statement(changed: str) -> None:
    """Ways that meet again are one step, but for a changed line: else a run of the other way would count as one of it."""
    text = f"void f(void)\n{{ u2 n = 1; if (any_bool())\n{changed}\nn = 3; out: *cell0 = n; }}"
    built = Marked().build(text, threads=("f",), paths=JoinedPaths)
    graph = next(iter(built.software.graphs.values()))
    marked = {number for number, node in enumerate(graph.nodes) if isinstance(node, Mark) and node.at.line == 3}

    assert {True, False} == {not marked.isdisjoint(step.nodes) for step in built.software.steps.values()}
