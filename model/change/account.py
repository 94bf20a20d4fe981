"""What became of each line of a change: reached, unreachable, erased by abstraction, or outside what is modelled.

A patch that the model does not contain must not be waved through. So each line that the patch adds is looked for in the models
with it, each line that it removes in the models without it, and a line that no statement of a compiled thread comes from is
said to be outside. Lines that say nothing (blank, comments, braces, prototypes, `#include`) do not count.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from typing import Literal

import z3

from ...core.sorts import Kind, Sort, StateVar, Word
from ...core.system import Action, Source, TransitionSystem, Update
from ...kernelc.errors import Refusal
from ...kernelc.lowering.cfg import Branch, Graph, Mark, Set
from ...kernelc.sources.apply import ChangedLine, Outside
from ...kernelc.stepping.steps import Software
from ...kernelc.text import ast
from ...kernelc.text.parse import parse
from ...kernelc.text.preprocess import preprocess
from ...kernelc.text.spans import functions_at
from ...kernelc.text.tokens import Directive, lex
from ..lift.meanings import meant_calls
from ..lift.versions import config_of, is_lifted, kernel_in, macros_beside
from .marks import Outcome, outcomes_of

Fate = Literal["reached", "unreachable", "undecided", "erased", "outside"]
MODELLED: tuple[Fate, ...] = ("reached", "unreachable")
"""With only these, the verdict speaks of the whole change."""

_SAYS_NOTHING = frozenset("{};")
_ORDER = frozenset(
    {"READ_ONCE", "WRITE_ONCE", "rcu_dereference", "rcu_assign_pointer", "volatile", "smp_load_acquire", "smp_store_release"}
)
"""Words that order memory accesses: the model is sequentially consistent, so it cannot tell their absence from their presence."""


@dataclass(frozen=True, slots=True)
class Accounted:
    """A changed line, what became of it, and why one may say so."""

    line: ChangedLine
    fate: Fate
    why: str


@dataclass(frozen=True)
class Ran:
    """One built model and what was seen of it, without terms, so that it can cross from one process to another.

    Args:
        functions: the parsed kernel C that it was made from.
        inlined: the names of those that its threads contain.
        erased: the places that the model leaves out, each with the reason.
        passed: the places that each action passes.
        joins: steps stand for several ways through local code, as those of lifted functions do: these compute with words.
        fired: names of actions that fired in some run.
        excluded: for actions that did not, how deep a solver has excluded that they can.
        outcomes: how the watched conditions turned out that each action passes.
        standing: the places that some path passes, or that constants decide.
        exact: every state was visited: what did not fire cannot.
    """

    scenario: str
    functions: Mapping[str, ast.Function]
    inlined: frozenset[str]
    erased: tuple[tuple[Source, str], ...]
    passed: Mapping[str, tuple[Source, ...]]
    joins: bool
    fired: frozenset[str] = frozenset()
    excluded: Mapping[str, int] = field(default_factory=dict)
    outcomes: Mapping[str, frozenset[Outcome]] = field(default_factory=dict)
    standing: frozenset[Source] = frozenset()
    exact: bool = False


def ran(
    scenario: str,
    software: Software,
    functions: Mapping[str, ast.Function],
    fired: frozenset[str] = frozenset(),
    *,
    exact: bool = False,
) -> Ran:
    """What accounting needs to know of a model in which these actions fired."""
    graphs = software.graphs
    passed = {}
    for name, step in software.steps.items():
        nodes = (graphs[step.role].nodes[n] for n in step.nodes)
        passed[name] = tuple(dict.fromkeys(node.at for node in nodes if node.at.text or isinstance(node, Mark)))
    return Ran(
        scenario,
        functions,
        frozenset(name for graph in graphs.values() for name in graph.inlined),
        tuple(place for graph in graphs.values() for place in graph.erased),
        passed,
        any(isinstance(var.kind, Word) for var in software.state),
        fired,
        outcomes={name: seen for name, step in software.steps.items() if (seen := outcomes_of(graphs[step.role], step.nodes))},
        standing=frozenset((*(at for places in passed.values() for at in places), *_decided(graphs.values()))),
        exact=exact,
    )


def _decided(graphs: Iterable[Graph]) -> Iterator[Source]:
    """Where a branch or an assignment stands: one that constants decide is on no path and has not been taken away."""
    return (node.at for graph in graphs for node in graph.nodes if isinstance(node, Branch | Set) and node.at.text)


@dataclass(frozen=True)
class Side:
    """The code without the change, or with it: its files, and the models that were made from them."""

    files: Mapping[str, str]
    ran: Sequence[Ran]


def account(changed: Iterable[ChangedLine], before: Side, after: Side) -> tuple[Accounted, ...]:
    """Say of each changed line that means something what became of it: added ones in `after`, removed ones in `before`."""
    lines = tuple(changed)
    sides = {"added": _Side(after), "removed": _Side(before)}
    unordered = _only_order(lines)
    found = []
    for line in lines:
        side = sides[line.kind]
        if not side.counts(line.file, line.line):
            continue
        if line in unordered:
            found.append(Accounted(line, "erased", "it changes how memory accesses are ordered, and the model is sequentially consistent"))
        else:
            found.append(Accounted(line, *side.fate(line.file, line.line)))
    return tuple(found)


def beyond(outside: Iterable[Outside]) -> tuple[Accounted, ...]:
    """The lines of files that are not modelled."""
    each = ((line, why) for found in outside for line, why in zip(found.lines, found.each or repeat(found.why), strict=False))
    return tuple(Accounted(line, "outside", why) for line, why in each)


def unmodelled(accounted: Iterable[Accounted]) -> tuple[Accounted, ...]:
    """The lines on account of which nothing good can be said of the change."""
    return tuple(a for a in accounted if a.fate not in MODELLED)


def passes(model: Ran, file: str, line: int) -> tuple[str, ...]:
    """The actions that execute something of that line."""
    return tuple(name for name, places in model.passed.items() if any(at.line == line and at.file == file for at in places))


def unfired(changed: Iterable[ChangedLine], side: Side, kind: Literal["added", "removed"]) -> dict[int, tuple[tuple[str, ...], ...]]:
    """For each model (by its place in `side.ran`) groups of actions: if one of a group can fire, a changed line is reached.

    Only lines that nothing reached yet are asked for.
    """
    helper = _Side(side)
    wanted: dict[int, dict[tuple[str, ...], None]] = {}
    for line in changed:
        if line.kind != kind or not helper.counts(line.file, line.line) or helper.fate(line.file, line.line)[0] != "undecided":
            continue
        for number, ran in enumerate(side.ran):
            names = tuple(n for n in helper.actions(ran, line.file, line.line) if n not in ran.excluded)
            if names and not ran.exact:
                wanted.setdefault(number, {})[names] = None
    return {number: tuple(groups) for number, groups in wanted.items()}


def can_fire(actions: Iterable[Action]) -> z3.BoolRef:
    """Some of these actions may fire: a closed term."""
    parts = [z3.Exists([p.const for p in a.params], a.guard) if a.params else a.guard for a in actions]
    return z3.Or(parts)


def same_behaviour(left: TransitionSystem, right: TransitionSystem) -> bool:
    """Whether two systems are the same up to the names of actions and of enumerations' elements: equal part by part."""
    if [_shape(v) for v in left.state] != [_shape(v) for v in right.state] or len(left.actions) != len(right.actions):
        return False
    if [(s.name, len(s.elements)) for s in left.sorts] != [(s.name, len(s.elements)) for s in right.sorts]:
        return False
    if not left.constraint.eq(right.constraint) or not _same_updates(left.init, right.init):
        return False
    return all(_same_action(a, b) for a, b in zip(left.actions, right.actions, strict=True))


def _shape(var: StateVar) -> tuple[object, ...]:
    """A state variable without the names of its sorts' elements, in which the lines of the source stand."""
    return (var.name, *(_kind(k) for k in (*var.params, var.kind)))


def _same_updates(left: Sequence[Update], right: Sequence[Update]) -> bool:
    pairs = list(zip(left, right, strict=False))
    return len(left) == len(right) and all(u.var.name == v.var.name and u.value.eq(v.value) for u, v in pairs)


def _same_action(a: Action, b: Action) -> bool:
    named = [(p.name, _kind(p.kind)) for p in a.params] == [(p.name, _kind(p.kind)) for p in b.params]
    return named and a.actor == b.actor and a.guard.eq(b.guard) and _same_updates(a.updates, b.updates)


def _kind(kind: Kind) -> object:
    return (kind.name, len(kind.elements)) if isinstance(kind, Sort) else kind


# Lines


@dataclass(frozen=True, slots=True)
class _Item:
    """Something at file level that is no function: a struct, a directive, a declaration."""

    kind: Literal["struct", "define", "silent", "other"]
    first: int
    last: int
    name: str


class _File:
    """One file as lines of words."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.words: dict[int, list[str]] = {}
        self._directives: list[_Item] = []
        self._tokens: list[tuple[int, str]] = []
        for item in lex(text.replace("\r\n", "\n"), name):
            if isinstance(item, Directive):
                self._directive(item)
                continue
            self.words.setdefault(item.line, []).append(item.text)
            self._tokens.append((item.line, item.text))

    def _directive(self, item: Directive) -> None:
        for line in range(item.line, item.last_line + 1):
            self.words.setdefault(line, []).append("#")
        for token in item.rest:
            self.words.setdefault(token.line, []).append(token.text)
        name = item.rest[0].text if item.rest else ""
        kind: Literal["define", "silent", "other"] = "define" if item.word == "define" else "silent" if item.word == "include" else "other"
        self._directives.append(_Item(kind, item.line, item.last_line, name))

    def is_directive(self, line: int) -> bool:
        return any(d.first <= line <= d.last for d in self._directives)

    def item(self, line: int, functions: Sequence[ast.Function]) -> _Item:
        """What stands at file level at that line."""
        found = next((i for i in (*self._directives, *self._declarations(functions)) if i.first <= line <= i.last), None)
        return found or _Item("other", line, line, "")

    def _declarations(self, functions: Sequence[ast.Function]) -> Iterator[_Item]:
        inside = [(f.at.line, f.last_line) for f in functions]
        words: list[tuple[int, str]] = []
        depth = 0
        for line, text in self._tokens:
            if any(first <= line <= last for first, last in inside):
                words = []
                continue
            words.append((line, text))
            depth += (text == "{") - (text == "}")
            if text == ";" and depth == 0:
                yield _declaration(words)
                words = []


def _declaration(words: Sequence[tuple[int, str]]) -> _Item:
    texts = [text for _, text in words]
    first, last = words[0][0], words[-1][0]
    if texts[0] == "struct" and len(texts) > 2 and texts[2] == "{":
        return _Item("struct", first, last, texts[1])
    says_nothing = "(" in texts and "=" not in texts and "{" not in texts
    return _Item("silent" if says_nothing else "other", first, last, "")


class _Side:
    """A side with its files read."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._files: dict[str, _File] = {}
        self._compiled: dict[str, frozenset[int]] = {}
        self._unread: dict[str, tuple[tuple[str, int, int, str], ...]] = {}

    def file(self, name: str) -> _File:
        if name not in self._files:
            self._files[name] = _File(name, self._side.files.get(name, ""))
        return self._files[name]

    @cached_property
    def functions(self) -> dict[str, list[ast.Function]]:
        """All functions that some model was made from, by file."""
        found: dict[str, list[ast.Function]] = {}
        for ran in self._side.ran:
            for function in ran.functions.values():
                known = found.setdefault(function.at.file, [])
                if not any(f.name == function.name for f in known):
                    known.append(function)
        return found

    def compiled(self, name: str) -> frozenset[int]:
        """The lines of a file of which something is left after preprocessing."""
        if name not in self._compiled:
            files = self._side.files
            text = files[name].replace("\r\n", "\n")
            self._compiled[name] = frozenset(t.line for t in preprocess(text, name, macros_beside(files, name), config_of(files)).tokens)
        return self._compiled[name]

    def unread(self, name: str) -> tuple[tuple[str, int, int, str], ...]:
        """The functions of a file that cannot be read, with their lines and the reason."""
        if name not in self._unread:
            files = self._side.files
            try:
                unit = parse(files.get(name, ""), name, macros=macros_beside(files, name), config=config_of(files))
            except Refusal:
                self._unread[name] = ()
            else:
                self._unread[name] = tuple((n, first, last, str(unit.broken[n])) for n, (first, last) in unit.spans.items())
        return self._unread[name]

    def counts(self, file: str, line: int) -> bool:
        """Whether a line says anything."""
        words = self.file(file).words.get(line, [])
        if not [w for w in words if w not in _SAYS_NOTHING]:
            return False
        return self.function(file, line) is not None or self._item(file, line).kind != "silent"

    def _item(self, file: str, line: int) -> _Item:
        return self.file(file).item(line, self.functions.get(file, []))

    def function(self, file: str, line: int) -> ast.Function | None:
        return next((f for f in self.functions.get(file, []) if f.at.line <= line <= f.last_line), None)

    def fate(self, file: str, line: int) -> tuple[Fate, str]:
        """What became of one line of this side."""
        function = self.function(file, line)
        if function is not None:
            if self.file(file).is_directive(line):
                return "outside", "it is a line for the preprocessor; what it decides is not told from what the code says"
            if line not in self.compiled(file):
                return "outside", "the configuration that is assumed leaves it out"
            return self._in_function(function, line)
        unread = next(((n, w) for n, first, last, w in self.unread(file) if first <= line <= last), None)
        if unread is not None:
            return "outside", f"{unread[0]}() is not modelled: {unread[1]}"
        named = next((n for n, first, last in functions_at(self._side.files.get(file, ""), file) if first <= line <= last), None)
        if named is not None:
            return "outside", f"it is in {named}(), {self._not_run(named)}"
        item = self._item(file, line)
        if item.kind == "struct":
            return self._of_words(self._fields(file, item, line), f"struct {item.name}", member=True)
        if item.kind == "define":
            return self._of_words([item.name], f"macro {item.name}", member=False)
        return "outside", "it is outside of every function; only functions, structs and macros are modelled"

    def _not_run(self, name: str) -> str:
        if not is_lifted(self._side.files):
            return "which no selected scenario calls"
        meant = meant_calls(kernel_in(self._side.files))
        return f"and {meant[name]}" if name in meant else "which no selected scenario calls"

    def _in_function(self, function: ast.Function, line: int) -> tuple[Fate, str]:
        name, file = function.name, function.at.file
        inlining = [r for r in self._side.ran if _made_from(r, function)]
        if not inlining:
            return "outside", f"no selected scenario calls {name}()"
        for ran in inlining:
            for at, reason in ran.erased:
                if at.file == file and at.line in (line, self._statement(function, line)):
                    return "erased", reason
        excluded: list[int] = []
        undecided: list[str] = []
        visited = False
        for ran in inlining:
            actions = self.actions(ran, file, line)
            if any(a in ran.fired for a in actions):
                return "reached", f"a run of {ran.scenario} executes it"
            excluded += [ran.excluded[a] for a in actions if a in ran.excluded]
            visited = visited or (ran.exact and bool(actions))
            undecided += [ran.scenario for a in actions if a not in ran.excluded and not ran.exact]
        if undecided:
            return "undecided", f"nothing reached it in {', '.join(dict.fromkeys(undecided))}, and nothing excludes that something can"
        if excluded:
            return "unreachable", f"no run of at most {min(excluded)} steps comes to it"
        if visited:
            return "unreachable", "every state was visited, and no run comes to it"
        if any(ran.joins for ran in inlining):
            return (
                "undecided",
                f"{name}() is called; steps of lifted functions are joined, and which of their lines ran is not told apart there",
            )
        return "unreachable", f"{name}() is called, and no path through it comes to this line in the selected scenarios"

    def actions(self, ran: Ran, file: str, line: int) -> tuple[str, ...]:
        """The actions of a model that pass a line: something that stands at it, else the statement that it belongs to."""
        function = self.function(file, line)
        if function is None or not _made_from(ran, function):
            return ()
        if line < _first_line(function):
            return tuple(n for n, places in ran.passed.items() if any(at.function == function.name for at in places))
        return passes(ran, file, line) or passes(ran, file, self._statement(function, line))

    def _statement(self, function: ast.Function, line: int) -> int:
        """The line at which the statement begins that `line` belongs to; for a lone `else`, the statement after it."""
        starts = sorted({at.line for at in _starts(function.body)} | {function.at.line})
        words = [w for w in self.file(function.at.file).words.get(line, []) if w not in _SAYS_NOTHING]
        place = bisect_right(starts, line)
        if words in (["else"], ["do"]) and place < len(starts):
            return starts[place]
        return starts[max(place - 1, 0)]

    # What is not in a function counts by its use

    def _fields(self, file: str, item: _Item, line: int) -> list[str]:
        words = self.file(file).words.get(line, [])
        names = [words[i - 1] for i, w in enumerate(words) if w in (";", ",", "[") and i]
        return [n for n in names if n.isidentifier()] if line > item.first and names else []

    def _of_words(self, names: Sequence[str], what: str, *, member: bool) -> tuple[Fate, str]:
        """The best fate of the lines that use one of these names; without a name, of the whole thing."""
        fates = {}
        for file, functions in self.functions.items():
            words = self.file(file).words
            for function in functions:
                for line in range(function.at.line, function.last_line + 1):
                    if _uses(words.get(line, []), names, member):
                        fate, why = self._in_function(function, line)
                        fates[fate] = f"{file}:{line} uses it: {why}"
        for fate in ("reached", "undecided", "unreachable", "erased"):
            if fate in fates:
                return fate, fates[fate]
        return "outside", f"no modelled function uses this part of {what}"


def _uses(words: Sequence[str], names: Sequence[str], member: bool) -> bool:
    return any(w in names and (not member or (i and words[i - 1] in (".", "->"))) for i, w in enumerate(words))


def _made_from(ran: Ran, function: ast.Function) -> bool:
    """Whether a model contains this very function: inlined, and not overridden by another file's."""
    return function.name in ran.inlined and function.name in ran.functions and ran.functions[function.name].at.file == function.at.file


def _first_line(function: ast.Function) -> int:
    """The line of the first statement: what stands before is the head."""
    return min((at.line for at in _starts(function.body) if at.line > function.at.line), default=function.last_line)


def _starts(statement: ast.Stmt) -> Iterator[ast.Location]:
    """Where the statements inside begin."""
    match statement:
        case ast.Block(statements=statements):
            for inner in statements:
                yield inner.at
                yield from _starts(inner)
        case ast.If(then=then, otherwise=otherwise):
            for branch in (then, otherwise) if otherwise is not None else (then,):
                yield from _inner(branch)
        case ast.While(body=body) | ast.For(body=body):
            yield from _inner(body)
        case ast.Label(statement=inner):
            yield from _inner(inner)
        case _:
            return


def _inner(statement: ast.Stmt) -> Iterator[ast.Location]:
    if not isinstance(statement, ast.Block):
        yield statement.at
    yield from _starts(statement)


def _only_order(changed: Sequence[ChangedLine]) -> set[ChangedLine]:
    """Lines that differ from one that the change takes away, or puts in, only in words that order memory accesses."""
    alike: dict[tuple[str, tuple[str, ...]], list[tuple[ChangedLine, tuple[str, ...]]]] = {}
    for line in changed:
        words = _line_words(line.text)
        core = tuple(w for w in words if w not in _ORDER and w not in "(),=")
        alike.setdefault((line.file, core), []).append((line, tuple(sorted(w for w in words if w in _ORDER))))
    found: set[ChangedLine] = set()
    for group in alike.values():
        kinds = {line.kind for line, _ in group}
        if len(kinds) == 2 and len({order for _, order in group}) > 1:
            found |= {line for line, _ in group}
    return found


def _line_words(text: str) -> list[str]:
    try:
        return [item.text for item in lex(text, "line") if not isinstance(item, Directive)]
    except Refusal:  # it begins a comment that ends on another line
        return []
