"""Waivers: where kernel C that did not come with the tool says of itself what nobody checks.

A ghost statement (`zap_begin`, `assume`, `note_refused` ...) exists in the model alone. The shipped kernel C has some, each for a reason
that the project answers for. One that a change or a design from outside brings is its author's word: whatever it takes out of a
question is not asked any more. So an answer that leans on one says so.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import z3

from ..core.shape import subterms
from ..core.system import Source, TransitionSystem
from ..kernelc.lowering.cfg import Graph, Op
from ..kernelc.lowering.library import Intrinsic, Waives
from ..kernelc.stepping.steps import Software

Files = Mapping[str, str]


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


@dataclass(frozen=True)
class Before:
    """The code as it was before a change: its files, and its threads if they could be compiled."""

    files: Files
    graphs: Mapping[str, Graph]


def waivers(
    software: Software,
    files: Files,
    intrinsics: Mapping[str, Intrinsic],
    functions: Mapping[str, str],
    outside: Callable[[str], bool],
    before: Before | None = None,
) -> tuple[Waiver, ...]:
    """The waivers in compiled threads.

    Args:
        functions: the file in which each function of the kernel C is defined.
        outside: whether a file did not come with the tool.
        before: the code without the change that was made, if one was.
    """
    known = _known(before, intrinsics)
    added = _Added(before.files if before is not None else files, files)
    found: list[Waiver] = []
    for role, graph in software.graphs.items():
        seen: Counter[tuple[object, ...]] = Counter()
        for node, waives in _ghosts(graph, intrinsics):
            own = outside(node.at.file) or any(outside(functions.get(name, "")) for name in node.stack)
            key = _key(role, node, waives)
            seen[key] += 1
            new = before is not None and ((key not in known) if waives.real else (seen[key] > known[key] or added.at(node.at)))
            if own or new:
                found.append(_waiver(node.at, waives.what, waives))
        found += _ended_no_more(before, role, graph, intrinsics)
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
        guard = _names(action.guard, known)
        for update in action.updates:
            reads.setdefault(update.var.name, set()).update(guard, _names(update.value, known))
    found = set().union(*(_names(term, known) for term in asked))
    todo = list(found)
    while todo:
        for name in reads.get(todo.pop(), set()) - found:
            found.add(name)
            todo.append(name)
    return found


def _names(term: z3.ExprRef, known: set[str]) -> set[str]:
    return {name for node in subterms(term) if z3.is_app(node) and (name := node.decl().name()) in known}


def _ghosts(graph: Graph, intrinsics: Mapping[str, Intrinsic]) -> Iterator[tuple[Op, Waives]]:
    for number in sorted(graph.reachable()):
        node = graph.nodes[number]
        if isinstance(node, Op) and node.name in intrinsics and (waives := intrinsics[node.name].waives) is not None:
            yield node, waives


def _key(role: str, node: Op, waives: Waives) -> tuple[object, ...]:
    """What makes two statements the same: of one that Linux has, too, that its role has one; else its text and how one comes to it."""
    return (role, node.name) if waives.real else (role, node.stack, node.at.text)


def _known(before: Before | None, intrinsics: Mapping[str, Intrinsic]) -> Counter[tuple[object, ...]]:
    graphs = {} if before is None else before.graphs
    return Counter(_key(role, node, waives) for role, graph in graphs.items() for node, waives in _ghosts(graph, intrinsics))


def _ended_no_more(before: Before | None, role: str, graph: Graph, intrinsics: Mapping[str, Intrinsic]) -> Iterator[Waiver]:
    """What a change took out that ended another waiver: that one goes on for longer now."""
    if before is None or role not in before.graphs:
        return
    left = Counter(node.name for node, waives in _ghosts(graph, intrinsics) if waives.ends)
    for node, waives in _ghosts(before.graphs[role], intrinsics):
        if waives.ends:
            left[node.name] -= 1
            if left[node.name] < 0:
                yield _waiver(node.at, f"the change takes it out, and so it is not said that {waives.ends}", waives)


def _waiver(at: Source, what: str, waives: Waives) -> Waiver:
    return Waiver(at.file, at.line, at.function, at.text, what, waives.over)


class _Added:
    """Whether a statement has a line that stands in the files of one side alone."""

    def __init__(self, before: Files, after: Files) -> None:
        self._before = before
        self._after = after
        self._lines: dict[str, frozenset[int]] = {}

    def at(self, source: Source) -> bool:
        text = self._after.get(source.file, "")
        end = text.split("\n")[source.line - 1 :]
        last = source.line + next((n for n, line in enumerate(end) if ";" in line), 0)
        return any(number in self._added(source.file) for number in range(source.line, last + 1))

    def _added(self, file: str) -> frozenset[int]:
        if file not in self._lines:
            old, new = (side.get(file, "").split("\n") for side in (self._before, self._after))
            changes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if old != new else ()
            self._lines[file] = frozenset(n + 1 for kind, _, _, first, last in changes if kind != "equal" for n in range(first, last))
        return self._lines[file]
