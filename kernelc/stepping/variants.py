"""Variants of nodes: one copy for each combination of known values of a few locals.

Where an iterator stands and on which level it is are a handful of constants; kept in state, they make every branch on them look
open, and a step of every walk that cannot be. With a copy of the graph for each combination they are part of the program counter:
branches are decided, what is computed from them is constant, and calls that cannot happen there are gone.

Polyvariant constant propagation, as in partial evaluation (Jones, Gomard, Sestoft: Partial Evaluation, 1993, chapter 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import z3

from ...core.rewrite import Rewriter, constant_index
from ...core.sorts import Word
from ..lowering.analyse import Reads, _flow, agreed, fold_constants, live_locals, map_effect
from ..lowering.cfg import Branch, Graph, Local, Node, Op, Refuse

MOST_VALUES = 8
"""A local that takes more constants than this stays in state."""
MOST_NODES = 6000

Key = tuple[tuple[Local, int], ...]
_Facts = dict[Local, z3.ExprRef]


def by_value(graph: Graph, wanted: Callable[[Local], bool] | None = None, most: int = MOST_VALUES) -> None:
    """Give each node one copy per combination of known values of the wanted locals that matter there, in place.

    Args:
        wanted: which locals may tell copies apart; by default all words.
        most: how many constants a local may take; what takes more does not tell copies apart.
    """
    fold_constants(graph)
    chosen = {local for local in graph.locals.values() if (wanted or _is_word)(local)}
    while True:
        unfolding = _Unfolding(graph, frozenset(chosen), most)
        excess = unfolding.run()
        if not excess:
            break
        chosen -= excess
    unfolding.write_back()


def _is_word(local: Local) -> bool:
    return isinstance(local.kind, Word)


class _Unfolding:
    """One attempt, with a fixed choice of locals."""

    def __init__(self, graph: Graph, chosen: frozenset[Local], most: int) -> None:
        self._graph = graph
        self._chosen = chosen
        self._most = most
        self._live = live_locals(graph)
        self._reads = Reads(graph)
        self._numbers: dict[tuple[int, Key], int] = {}
        self._known: list[_Facts] = []
        self._origin: list[int] = []
        self._values: dict[Local, set[int]] = {}
        self._indices: dict[int, tuple[z3.ExprRef, int | None]] = {}

    def run(self) -> set[Local]:
        """Find all copies; the locals that must be given up, if it becomes too many."""
        todo = [self._copy(self._graph.entry, {})[0]]
        while todo:
            number = todo.pop()
            node = self._graph.nodes[self._origin[number]]
            for target, facts in _flow(node, self._known[number], self._reads):
                if target < 0:
                    continue
                copy, changed = self._copy(target, facts)
                if changed:
                    todo.append(copy)
            excess = {local for local, values in self._values.items() if len(values) > self._most}
            if not excess and self._values and len(self._numbers) > MOST_NODES:
                excess = {min(self._values, key=lambda local: (self._without(local), local.path))}
            if excess:
                return excess
        return set()

    def _without(self, local: Local) -> int:
        """How many copies there would be if `local` did not tell them apart."""
        return len({(target, tuple(pair for pair in key if pair[0] != local)) for target, key in self._numbers})

    def _copy(self, target: int, facts: _Facts) -> tuple[int, bool]:
        """The copy of `target` for what is known, and whether something about it is new."""
        live = self._live[target] if target != self._graph.exit else frozenset()
        facts = {local: value for local, value in facts.items() if local in live}
        pairs = ((local, self._index(value)) for local, value in facts.items() if local in self._chosen)
        key = tuple(sorted(((local, value) for local, value in pairs if value is not None), key=lambda pair: pair[0].path))
        for local, value in key:
            self._values.setdefault(local, set()).add(value)
        if (target, key) not in self._numbers:
            number = self._numbers[target, key] = len(self._known)
            self._known.append(facts)
            self._origin.append(target)
            return number, True
        number = self._numbers[target, key]
        kept = agreed(self._known[number], facts)
        changed = len(kept) != len(self._known[number])
        self._known[number] = kept
        return number, changed

    def _index(self, value: z3.ExprRef) -> int | None:
        """`constant_index`, remembered."""
        key = id(value)
        if key not in self._indices:
            self._indices[key] = value, constant_index(value)
        return self._indices[key][1]

    def write_back(self) -> None:
        """Put the copies in the place of the graph's nodes."""
        graph = self._graph
        nodes = [self._made(number, graph.nodes[origin]) for number, origin in enumerate(self._origin)]
        # What cannot be reached any more is still listed as such.
        kept = set(self._origin)
        nodes += [replace(node, number=len(nodes) + i) for i, node in enumerate(_refusals(graph, kept))]
        graph.entry = 0
        graph.exit = self._exit(nodes)
        graph.nodes = nodes

    def _made(self, number: int, node: Node) -> Node:
        """The copy of that number, led to the copies of what follows."""
        reads, facts = self._reads, self._known[number]
        follow = [self._copy(target, after)[0] if target >= 0 else -1 for target, after in _flow(node, facts, reads)]
        if isinstance(node, Branch):
            if len(follow) == 1:
                return replace(node, number=number, condition=z3.BoolVal(True), next=follow[0], other=follow[0])
            return replace(node, number=number, next=follow[0], other=follow[1])
        if isinstance(node, Op):
            return replace(_own_choices(node, number), number=number, next=follow[0] if follow else -1, targets=tuple(follow))
        return replace(node, number=number, next=follow[0] if follow else -1)

    def _exit(self, nodes: list[Node]) -> int:
        key = (self._graph.exit, ())
        if key in self._numbers:
            return self._numbers[key]
        nodes.append(replace(self._graph.nodes[self._graph.exit], number=len(nodes)))
        return len(nodes) - 1


def _own_choices(node: Op, number: int) -> Op:
    """The operation with choices of its own: two copies may lie on one path, and each chooses anew."""
    effects, results = [], []
    for effect, answers in zip(node.effects, node.results, strict=True):
        renamed = [(c, replace(c, name=f"{c.name.partition('@')[0]}@{number}")) for c in effect.choices]
        put = Rewriter((old.const, new.const) for old, new in renamed)
        label = effect.label
        for old, new in renamed:
            label = label.replace("{" + old.name + "}", "{" + new.name + "}")
        effects.append(replace(map_effect(effect, put), choices=tuple(new for _, new in renamed), label=label) if renamed else effect)
        results.append({local: put(value) for local, value in answers.items()} if renamed else answers)
    return replace(node, effects=tuple(effects), results=tuple(results))


def _refusals(graph: Graph, reached: Iterable[int]) -> list[Refuse]:
    known = set(reached)
    return [node for node in graph.nodes if isinstance(node, Refuse) and node.number not in known]
