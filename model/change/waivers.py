"""Waivers: where kernel C that did not come with the tool says of itself what nobody checks.

A ghost statement (`zap_begin`, `assume`, `note_refused` ...) exists in the model alone. The shipped kernel C has some, each for a reason
that the project answers for. One that a change or a design from outside brings is its author's word: whatever it takes out of a
question is not asked any more. So an answer that leans on one says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import z3

from ...core.shape import names
from ...core.system import Source, TransitionSystem
from ...kernelc.lowering.cfg import Graph, Op
from ...kernelc.lowering.library import Intrinsic, Waives
from ...kernelc.stepping.steps import Software
from ..placement import Place, Thread


@dataclass(frozen=True, order=True)
class Waiver:
    """A ghost statement that is its author's word.

    Args:
        at: file, line and text of the statement; of one that a change takes out, where it stood.
        what: what it says, and so nobody asks.
        over: the state variables in which it says so; empty where it leaves out whole runs.
    """

    file: str
    line: int
    function: str
    text: str
    what: str
    over: tuple[str, ...] = ()


def waivers(
    software: Software,
    intrinsics: Mapping[str, Intrinsic],
    functions: Mapping[str, str],
    outside: Callable[[str], bool],
    before: Mapping[str, Graph] | None = None,
) -> tuple[Waiver, ...]:
    """The waivers in compiled threads.

    Args:
        functions: the file in which each function of the kernel C is defined.
        outside: whether a file did not come with the tool.
        before: the threads without the change that was made, if one was; none of those that could not be compiled.
    """
    found: list[Waiver] = []
    for role, graph in software.graphs.items():
        old = before.get(role) if before is not None else None
        kept = _Kept(old, graph, intrinsics) if before is not None else None
        for node, waives in _ghosts(graph, intrinsics):
            own = outside(node.at.file) or any(outside(functions.get(name, "")) for name in node.stack)
            if own or (kept is not None and not kept.has(node, waives)):
                found.append(_waiver(node.at, waives.what, waives))
        found += _ended_no_more(old, graph, intrinsics)
        if kept is not None:
            found += kept.ended_less()
    return tuple(sorted(set(found)))


def leaning(found: Iterable[Waiver], system: TransitionSystem, asked: Sequence[z3.ExprRef]) -> tuple[Waiver, ...]:
    """Those waivers on which an answer leans: what they speak of can make a difference to one of the terms that were asked.

    Args:
        asked: the property, its premise and the goals of the scenario.
    """
    several = tuple(found)
    if not any(w.over for w in several):
        return several
    matters = _cone(system, asked)
    return tuple(w for w in several if not w.over or matters & set(w.over))


def _cone(system: TransitionSystem, asked: Iterable[z3.ExprRef]) -> set[str]:
    """The state variables that can make a difference to some terms, in whatever steps follow."""
    known = {var.name for var in system.state}
    reads: dict[str, set[str]] = {}
    for action in system.actions:
        guard = names(action.guard) & known
        for update in action.updates:
            reads.setdefault(update.var.name, set()).update(guard, names(update.value) & known)
    found = set().union(*(names(term) & known for term in asked))
    todo = list(found)
    while todo:
        for name in reads.get(todo.pop(), set()) - found:
            found.add(name)
            todo.append(name)
    return found


def _ghosts(graph: Graph, intrinsics: Mapping[str, Intrinsic]) -> Iterator[tuple[Op, Waives]]:
    for number in sorted(graph.reachable()):
        node = graph.nodes[number]
        if isinstance(node, Op) and node.name in intrinsics and (waives := intrinsics[node.name].waives) is not None:
            yield node, waives


class _Kept:
    """Which ghosts of a thread are those that it had before a change: they say the same, where they said it."""

    def __init__(self, old: Graph | None, new: Graph, intrinsics: Mapping[str, Intrinsic]) -> None:
        ghosts = frozenset(name for name, intrinsic in intrinsics.items() if intrinsic.waives is not None)
        self._intrinsics = intrinsics
        self._had: frozenset[str] = frozenset() if old is None else frozenset(node.name for node, _ in _ghosts(old, intrinsics))
        self._kept: dict[int, tuple[Place, Place]] = {}
        if not self._had:
            return
        left = Thread(old).places(ghosts) if old is not None else []
        for place in Thread(new).places(ghosts):
            same = next((was for was in left if self._same(was, place)), None)
            if same is not None:
                left.remove(same)
                self._kept[place.node.number] = same, place

    def _same(self, was: Place, now: Place) -> bool:
        if (was.node.name, was.says) != (now.node.name, now.says):
            return False
        ends = self._waives(now).ends
        return was.same_order(now) and (bool(ends) or now.runs_only_where(was))

    def _waives(self, place: Place) -> Waives:
        waives = self._intrinsics[place.node.name].waives
        assert waives is not None
        return waives

    def has(self, node: Op, waives: Waives) -> bool:
        """Whether a ghost is no news: of one that Linux has, too, its thread had one; any other one stands where it stood."""
        return node.name in self._had if waives.real else node.number in self._kept

    def ended_less(self) -> Iterator[Waiver]:
        """What ends a waiver, and is no longer come to wherever it was."""
        for was, now in self._kept.values():
            waives = self._waives(now)
            if waives.ends and not was.runs_only_where(now):
                yield _waiver(now.node.at, f"the change leads past it, and then it is not said that {waives.ends}", waives)


def _ended_no_more(old: Graph | None, graph: Graph, intrinsics: Mapping[str, Intrinsic]) -> Iterator[Waiver]:
    """What a change took out that ended another waiver: that one goes on for longer now."""
    if old is None:
        return
    left = Counter(node.name for node, waives in _ghosts(graph, intrinsics) if waives.ends)
    for node, waives in _ghosts(old, intrinsics):
        if waives.ends:
            left[node.name] -= 1
            if left[node.name] < 0:
                yield _waiver(node.at, f"the change takes it out, and so it is not said that {waives.ends}", waives)


def _waiver(at: Source, what: str, waives: Waives) -> Waiver:
    return Waiver(at.file, at.line, at.function, at.text, what, waives.over)
