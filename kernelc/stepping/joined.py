"""Steps of long functions: paths that differ only in which way they went around some local code are joined into one.

A verbatim function of the kernel branches on every entry that it reads, so its paths are many, and most of them cannot be taken.
Where two ways meet again and nothing told them apart for others (the same visible operations, with the same effects), one step
stands for both: its values are choices between theirs. Two joined ways exclude each other, so nothing that can happen is lost.

Kuznetsov et al.: Efficient State Merging in Symbolic Execution, PLDI 2012.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from heapq import heappop, heappush

import z3

from ...core.ground import choose, conjunction, disjunction, negation
from ...core.system import Update
from ..lowering.cfg import Mark, Op
from ..lowering.library import Need
from .paths import Path, Paths, is_possible, satisfiable

_Key = tuple[object, ...]


class JoinedPaths(Paths):
    """`Paths` with ways joined where they meet."""

    def _from(self, start: int) -> Iterator[Path]:
        if start == self.graph.exit:
            return
        self.stored |= self.live(start)
        order = self._order(start)
        waiting: dict[int, dict[_Key, Path]] = {start: {}}
        begin = Path(start, start, {local: self.stored_term(local) for local in self.live(start)})
        waiting[start][self._key(begin)] = begin
        heap = [(0, start)]
        ended: dict[_Key, Path] = {}
        while heap:
            _, number = heappop(heap)
            for path in (way for joined in waiting.pop(number, {}).values() for way in self._ways(joined)):
                if self._rests(path):
                    self._join(ended, (number, *self._key(path)), path)
                    continue
                for way in self._after(path):
                    if way.node != self.graph.exit and order[way.node] <= order[number]:
                        self._join(ended, (way.node, *self._key(way)), way)  # around a loop
                        continue
                    if way.node not in waiting:
                        waiting[way.node] = {}
                        heappush(heap, (order[way.node], way.node))
                    self._join(waiting[way.node], self._key(way), way)
        yield from (path for path in ended.values() if is_possible(path))

    def _rests(self, path: Path) -> bool:
        """As ever; and a read that is local only because of locks begins a step rather than ends one: what it read is not kept then."""
        node = self.graph.nodes[path.node]
        if path.passed and isinstance(node, Op) and node.mover == "none" and path.now == "local":
            return True
        return super()._rests(path)

    def _order(self, start: int) -> dict[int, int]:
        """A number for each node that can follow `start`: smaller than its followers', but for the way back of a loop."""
        done: list[int] = []
        seen: set[int] = set()
        todo = [(start, False)]
        while todo:
            number, left = todo.pop()
            if left:
                done.append(number)
            elif number not in seen:
                seen.add(number)
                todo.append((number, True))
                todo += [(n, False) for n in self.graph.nodes[number].successors() if n >= 0 and n not in seen]
        return {number: place for place, number in enumerate(reversed(done))}

    def _key(self, path: Path) -> _Key:
        """What must agree for two ways to be joined: the operation that others see, and the values left open."""
        seen = tuple(pair for pair, mover in zip(path.ops, path.movers, strict=True) if mover in ("none", "wait"))
        met = any(mover != "local" for mover in path.movers)
        nodes = self.graph.nodes
        # How a watched condition turned out, and whether a changed statement ran, must be told of each step.
        marks = [(n, mark) for n in path.nodes if isinstance(mark := nodes[n], Mark)]
        outcomes = frozenset(n for n, mark in marks if mark.condition)
        told = frozenset(mark.at for _, mark in marks if mark.told)
        return (path.passed, bool(path.checks), met, seen, frozenset(choice.name for choice in path.choices), outcomes, told)

    def _join(self, there: dict[_Key, Path], key: _Key, path: Path) -> None:
        """Add a way, joined with one that excludes it if there is one."""
        for number in range(len(there) + 1):
            numbered = (*key, number)
            if numbered not in there:
                there[numbered] = path
                return
            shared = _shared(there[numbered], path)
            if _exclude(there[numbered].conditions[shared:], path.conditions[shared:]):
                there[numbered] = self._joined(there[numbered], path, shared)
                return

    def _joined(self, first: Path, second: Path, shared: int) -> Path:
        """One path for both, which share their first `shared` conditions."""
        one, other = (conjunction(path.conditions[shared:]) for path in (first, second))
        live = self.live(first.node)
        ops = dict(zip(first.ops, zip(first.labels, first.movers, strict=True), strict=True)) | {
            op: said for op, said in zip(second.ops, zip(second.labels, second.movers, strict=True), strict=True) if op not in first.ops
        }
        return replace(
            first,
            env={
                local: _either(one, first.env.get(local), second.env.get(local))
                for local in live
                if local in first.env or local in second.env
            },
            conditions=(*first.conditions[:shared], disjunction([one, other])),
            updates=tuple(_updates(one, first, second)),
            choices=tuple({c.name: c for c in (*first.choices, *second.choices)}.values()),
            checks=tuple(_checks(one, other, first, second)),
            nodes=tuple(dict.fromkeys((*first.nodes, *second.nodes))),
            ops=tuple(ops),
            labels=tuple(label for label, _ in ops.values()),
            movers=tuple(mover for _, mover in ops.values()),
            needs=tuple(_needs(one, other, first, second)),
            facts={key: pair for key, pair in first.facts.items() if key in second.facts and second.facts[key][1].eq(pair[1])},
        )


def _shared(first: Path, second: Path) -> int:
    """How many conditions both paths begin with."""
    count = 0
    for one, other in zip(first.conditions, second.conditions, strict=False):
        if not one.eq(other):
            break
        count += 1
    return count


def _exclude(one: Sequence[z3.BoolRef], other: Sequence[z3.BoolRef]) -> bool:
    """Whether not both can hold: two branches of one condition; else the solver says."""
    if not one or not other:
        return False
    if negation(one[0]).eq(other[0]) or negation(other[0]).eq(one[0]):
        return True
    return not satisfiable((*one, *other))


def _either(condition: z3.BoolRef, then: z3.ExprRef | None, otherwise: z3.ExprRef | None) -> z3.ExprRef:
    if then is None or otherwise is None:
        found = then if then is not None else otherwise
        assert found is not None
        return found
    return choose(condition, then, otherwise)


def _updates(condition: z3.BoolRef, first: Path, second: Path) -> Iterator[Update]:
    theirs = {update.var.name: update for update in second.updates}
    for update in first.updates:
        other = theirs.pop(update.var.name, None)
        kept = update.var(*update.variables)
        value = kept if other is None else z3.substitute(other.value, *zip(other.variables, update.variables, strict=True))
        yield replace(update, value=choose(condition, update.value, value))
    for update in theirs.values():
        yield replace(update, value=choose(condition, update.var(*update.variables), update.value))


def _needs(one: z3.BoolRef, other: z3.BoolRef, first: Path, second: Path) -> Iterator[tuple[int, Need]]:
    for condition, path in ((one, first), (other, second)):
        for number, need in path.needs:
            yield number, replace(need, holds=disjunction([negation(condition), need.holds]))


def _checks(one: z3.BoolRef, other: z3.BoolRef, first: Path, second: Path) -> Iterator[tuple[str, z3.BoolRef]]:
    both = [(label, holds) for label, holds in first.checks if any(label == x and holds.eq(y) for x, y in second.checks)]
    yield from both
    for condition, path in ((one, first), (other, second)):
        for label, holds in path.checks:
            if not any(label == x and holds.eq(y) for x, y in both):
                yield label, disjunction([negation(condition), holds])
