"""Where a ghost statement stands in a thread, and whether a change left it there.

What a ghost says, it says of a moment of its thread, under the conditions on which the thread comes to it. So after a change it is the
same word only if it speaks of the same values, on no other conditions, and no statement of the thread has passed from one side of
it to the other. Names of locals and functions, lines, and the form of a condition make no difference: values are those that the
thread's own terms give, as far back as what it read.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import lazy_loader
import z3

from ..core.ground import choose, conjunction, disjunction, negation
from ..core.rewrite import Rewriter, subterms
from ..core.sorts import element_index
from ..kernelc.lowering.analyse import Reads, effect_terms
from ..kernelc.lowering.cfg import Branch, Graph, Havoc, Local, Node, Op, Set

if TYPE_CHECKING:
    import networkx as nx
else:  # a fifth of a second, which most runs have no use for
    nx = lazy_loader.load("networkx")

Side = tuple[bool, bool]
"""Whether a statement may run before the ghost, and after it."""
_END = -1
_EFFORT = 2_000_000
_NUMBERED = re.compile(r"@\d+")


@dataclass(frozen=True)
class Place:
    """A ghost statement in its thread.

    Args:
        says: the terms that it is made of, over what the thread read and chose: two that say the same are equal.
        runs: the condition on which the thread comes to it.
    """

    node: Op
    says: str
    runs: z3.BoolRef
    thread: Thread

    def same_order(self, other: Place) -> bool:
        """Whether no operation of the thread stands on another side of the ghost there than here, by its text or by what it does."""
        return any(_no_move(self._around(by_text), other._around(by_text)) for by_text in (True, False))

    def runs_only_where(self, other: Place) -> bool:
        """Whether the thread comes here only on conditions on which the other one comes there, as far as can be told."""
        solver = z3.SimpleSolver()
        solver.set("rlimit", _EFFORT)
        solver.add(self.runs, negation(other.runs), *_differ(self.runs, other.runs))
        return bool(solver.check() == z3.unsat)

    def _around(self, by_text: bool) -> Mapping[Side, Counter[tuple[str, str]]]:
        thread = self.thread
        before, after = nx.ancestors(thread.ways, self.node.number), nx.descendants(thread.ways, self.node.number)
        found: dict[Side, Counter[tuple[str, str]]] = {}
        for node in thread.operations:
            if node is not self.node:
                side = node.number in before, node.number in after
                found.setdefault(side, Counter())[node.name, node.at.text if by_text else thread.says(node)] += 1
        return found


def _no_move(old: Mapping[Side, Counter[tuple[str, str]]], new: Mapping[Side, Counter[tuple[str, str]]]) -> bool:
    """Whether no kind of operation became fewer on one side and more on another one.

    What runs on neither side runs with another outcome of a condition: from there it comes as what is new does, and there it goes for good.
    """
    fewer: dict[str, set[Side]] = {}
    more: dict[str, set[Side]] = {}
    for side in (old.keys() | new.keys()) - {(False, False)}:
        before, after = old.get(side, Counter()), new.get(side, Counter())
        for (name, _), _count in (before - after).items():
            fewer.setdefault(name, set()).add(side)
        for (name, _), _count in (after - before).items():
            more.setdefault(name, set()).add(side)
    return all(len(fewer[name] | more[name]) == 1 for name in fewer.keys() & more.keys())


def _differ(*terms: z3.ExprRef) -> Iterator[z3.BoolRef]:
    """That the elements of an enumeration which terms name are different ones."""
    named: dict[str, dict[int, z3.ExprRef]] = {}
    for term in (part for whole in terms for part in subterms(whole)):
        index = element_index(term)
        if index is not None:
            named.setdefault(term.sort().name(), {})[index] = term
    return (z3.Distinct(*elements.values()) for elements in named.values() if len(elements) > 1)


class Thread:
    """The values and conditions of one thread's graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._reads = Reads(graph)
        self._values: dict[tuple[int, Local], z3.ExprRef] = {}
        self._conditions: dict[int, z3.BoolRef] = {}
        self._open: set[object] = set()
        self._says: dict[int, str] = {}

    def places(self, names: frozenset[str]) -> list[Place]:
        """The operations of these names, in the order of the text, with calls in place."""
        return [Place(node, self.says(node), self.runs(node.number), self) for node in self.operations if node.name in names]

    @cached_property
    def operations(self) -> tuple[Op, ...]:
        """What the thread does; a check that tdpcheck put in is none."""
        nodes = (self._graph.nodes[number] for number in sorted(self.ways))
        return tuple(node for node in nodes if isinstance(node, Op) and node.name != "unset")

    @cached_property
    def ways(self) -> nx.DiGraph[int]:
        """The nodes that some way leads to, and the edges between them."""
        found: nx.DiGraph[int] = nx.DiGraph()
        for number in self._graph.reachable():
            found.add_node(number)
            found.add_edges_from((number, follower) for follower in self._graph.nodes[number].successors() if follower >= 0)
        return found

    @cached_property
    def _order(self) -> Mapping[int, int]:
        """A number for each node, smaller than those of all that follow it but for loops."""
        after = list(nx.dfs_postorder_nodes(self.ways, self._graph.entry))
        return {number: place for place, number in enumerate(reversed(after))}

    @cached_property
    def _again(self) -> frozenset[int]:
        """The nodes to which a way leads back."""
        rounds = nx.strongly_connected_components(self.ways)
        return frozenset(number for together in rounds if len(together) > 1 for number in together)

    @cached_property
    def _deciders(self) -> Mapping[int, tuple[tuple[int, int], ...]]:
        """For each node, the edges on which it depends: at their start the thread may still miss it, at their end no more."""
        back: nx.DiGraph[Any] = self.ways.reverse()
        back.add_edges_from((_END, number) for number in self.ways if not self.ways.out_degree(number))
        # What leads into a loop without end comes to no end; then each way counts as one.
        for number in set(self.ways) - nx.descendants(back, _END):
            back.add_edge(_END, number)
        after = nx.immediate_dominators(back, _END)
        found: dict[int, list[tuple[int, int]]] = {number: [] for number in self.ways}
        for number in self.ways:
            followers = list(self.ways.successors(number))
            for follower in followers if len(followers) > 1 else ():
                passed = follower
                while passed != after[number] and passed != _END:
                    found[passed].append((number, follower))
                    passed = after[passed]
        return {number: tuple(sorted(edges)) for number, edges in found.items()}

    def runs(self, number: int) -> z3.BoolRef:
        """The condition on which the thread comes to a node; a loop counts as its first round."""
        if number in self._conditions:
            return self._conditions[number]
        key = ("runs", number)
        if key in self._open:
            return z3.BoolVal(False)
        self._open.add(key)
        ways = [conjunction([self._taken(*edge), self.runs(edge[0])]) for edge in self._deciders[number]]
        self._open.discard(key)
        found = disjunction(ways) if ways else z3.BoolVal(True)
        assert isinstance(found, z3.BoolRef)
        self._conditions[number] = found
        return found

    def _taken(self, number: int, follower: int) -> z3.BoolRef:
        node = self._graph.nodes[number]
        if isinstance(node, Branch):
            condition = self.term(node.condition, number)
            assert isinstance(condition, z3.BoolRef)
            return condition if node.next == follower else negation(condition)
        assert isinstance(node, Op)
        ways = [f"{which}" for which in range(len(node.effects)) if node.after(which) == follower]
        return z3.Bool(f"{self._event(node)} takes {','.join(ways)}")

    def says(self, node: Op) -> str:
        """What an operation does, in terms over what the thread read and chose before."""
        if node.number not in self._says:
            terms = (term for effect in node.effects for term in effect_terms(effect))
            told = [node.name, *(self.term(term, node.number).sexpr() for term in terms)]
            told += [update.var.name for effect in node.effects for update in effect.updates]
            self._says[node.number] = _digest(told)
        return self._says[node.number]

    def term(self, term: z3.ExprRef, number: int) -> z3.ExprRef:
        """A term of the node of that number, with the thread's locals replaced by their values there."""
        pairs = [(local.const, self.value(local, number)) for local in sorted(self._reads(term), key=lambda local: local.path)]
        chosen = [t for t in subterms(term) if z3.is_const(t) and _NUMBERED.search(t.decl().name())]
        pairs += [(t, z3.Const(_NUMBERED.sub("@", t.decl().name()), t.sort())) for t in chosen]
        return Rewriter(pairs)(term) if pairs else term

    def value(self, local: Local, number: int) -> z3.ExprRef:
        """What a local holds when the thread comes to a node: a term, or a constant that is named for all that it may be."""
        key = number, local
        if key in self._values:
            return self._values[key]
        if key in self._open:
            return local.kind.const("the round before")
        self._open.add(key)
        found = self._merged(local, number)
        self._open.discard(key)
        self._values[key] = found
        return found

    def _merged(self, local: Local, number: int) -> z3.ExprRef:
        setters = sorted(self._setters(local, number), key=lambda setter: (self._order[setter[0]], setter[1]))
        if len(setters) == 1:
            return self._set(local, *setters[0])
        if len({setter[0] for setter in setters}) == len(setters) and not self._again & {setter[0] for setter in setters}:
            # Of those that run the last one counts; where none of the others does it is the first.
            found = self._set(local, *setters[0])
            for setter in setters[1:]:
                found = choose(self.runs(setter[0]), self._set(local, *setter), found)
            return found
        told = [f"{self._set(local, *setter).sexpr()} if {self.runs(setter[0]).sexpr()}" for setter in setters]
        return local.kind.const(f"one of {_digest(told)}")

    def _setters(self, local: Local, number: int) -> set[tuple[int, int]]:
        """The nodes, and of an operation the effect, that may have set a local last; the entry, if none need have."""
        found: set[tuple[int, int]] = set()
        seen: set[int] = set()
        todo = [number]
        while todo:
            here = todo.pop()
            if here == self._graph.entry:
                found.add((here, _END))
            for before in self.ways.predecessors(here):
                node = self._graph.nodes[before]
                ways = [which for which in range(len(node.effects)) if node.after(which) == here] if isinstance(node, Op) else [0]
                for which in ways:
                    if local in _sets(node, which):
                        found.add((before, which))
                    elif before not in seen:
                        seen.add(before)
                        todo.append(before)
        return found

    def _set(self, local: Local, number: int, which: int) -> z3.ExprRef:
        node = self._graph.nodes[number]
        value = None if which == _END else _sets(node, which).get(local)
        if value is None:
            return local.kind.const("anything")
        found = self.term(value, number)
        if isinstance(node, Op):
            return local.kind.const(f"{self._event(node)} answers {_digest([str(which), found.sexpr()])}")
        return found

    def _event(self, node: Op) -> str:
        """A name for an operation: what it does, and the how many-th of those that do the same it is."""
        says = self.says(node)
        return f"{says}#{sum(1 for other in self._named(node.name) if other.number < node.number and self.says(other) == says)}"

    def _named(self, name: str) -> Iterator[Op]:
        return (node for node in self.operations if node.name == name)


def _sets(node: Node, which: int) -> Mapping[Local, z3.ExprRef | None]:
    match node:
        case Set(values=values):
            return values
        case Op(results=results):
            return results[which] if which < len(results) else {}
        case Havoc(locals=held):
            return dict.fromkeys(held)
        case _:
            return {}


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
