"""The graph under construction: nodes and their open ends, the inlined calls, the locals."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import z3

from ...core.ground import conjunction
from ...core.shape import identity, shape, subterms
from ...core.sorts import Kind
from ...core.system import Source
from ..errors import Refusal
from ..text import ast
from ..text.show import show
from .cfg import Local, Node, Nop, Refuse, Set
from .convert import Spot
from .library import Array, CType, Library, Record, Value
from .lvalues import LocalPlace, Place
from .unset import Read


class Abandoned(Exception):
    """The rest of an expression or statement cannot run: what was to come first never ends well."""


Ends = list[tuple[Node, str]]
"""Open ends: a node, and which of its edges (`next` or `other`) leads on."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One declaration of a local: two of one name, in blocks that follow each other, may share a path."""

    path: str
    type: CType
    number: int


@dataclass
class Frame:
    """One inlined call: what its names mean, and where its returns go.

    `declared` are the locals in scope. Of a label by its number, `placed` keeps those that are in scope there, and `awaited` the
    jumps to it that came before it, each with what was in scope where it jumped.
    """

    function: ast.Function
    prefix: str
    returns: CType
    end: Nop
    names: dict[str, Place] = field(default_factory=dict)
    result: LocalPlace | None = None
    labels: dict[str, Nop] = field(default_factory=dict)
    breaks: list[Nop] = field(default_factory=list)
    continues: list[Nop] = field(default_factory=list)
    taken: dict[str, CType] = field(default_factory=dict)
    in_scope: list[str] = field(default_factory=list)
    declared: list[Declared] = field(default_factory=list)
    placed: dict[int, tuple[Declared, ...]] = field(default_factory=dict)
    awaited: dict[int, list[tuple[Ends, frozenset[Declared]]]] = field(default_factory=dict)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """What is declared inside is forgotten at the end."""
        names, depth, declared = dict(self.names), len(self.in_scope), len(self.declared)
        yield
        self.names = names
        del self.in_scope[depth:]
        del self.declared[declared:]

    def path_for(self, name: str, ctype: CType) -> str:
        """A path for a new local; blocks that follow each other may share one, nested ones may not."""
        for quotes in itertools.count():
            path = f"{self.prefix}.{name}" + "'" * quotes
            if path not in self.in_scope and self.taken.setdefault(path, ctype) == ctype:
                self.in_scope.append(path)
                return path
        raise AssertionError("unreachable")


MOST_NODES = 50_000
"""Statements of a thread, with all that it calls: the longest of a real kernel has some thousands."""


def too_many(at: ast.Location, function: str) -> Refusal:
    """The refusal of calls that multiply."""
    return Refusal(
        at, f"this thread has more than {MOST_NODES:,} statements, with all that it calls", function, "look for calls that multiply"
    )


class Builder:
    """Appends nodes after the open ends. Where there are none, nothing that is lowered can run."""

    def __init__(
        self,
        role: str,
        functions: Mapping[str, ast.Function],
        structs: Mapping[str, ast.Struct],
        library: Library,
        broken: Mapping[str, Exception],
    ) -> None:
        self.role = role
        self.functions = functions
        self.structs = structs
        self.library = library
        self.broken = broken
        self.nodes: list[Node] = []
        self.here: Ends = []
        self.frames: list[Frame] = []
        self.locals: dict[str, Local] = {}
        self.erased: list[tuple[Source, str]] = []
        self.inlined: dict[str, None] = {}
        self.reads: list[Read] = []
        self.under: list[z3.BoolRef] = []
        self._by_id: dict[int, tuple[Local, z3.ExprRef]] = {}  # the term beside its identity keeps it from being used again
        self._entered: set[int] = set()
        self._fresh = itertools.count(1)
        self._prefixes: dict[str, int] = {}

    @property
    def frame(self) -> Frame:
        return self.frames[-1]

    # Nodes

    def stamp(self, spot: Spot) -> tuple[int, Source, tuple[str, ...]]:
        """Number, source and call stack of the next node."""
        stack = tuple(f.function.name for f in self.frames)
        return len(self.nodes), Source(spot.at.file, spot.at.line, stack[-1], spot.text), stack

    def check_size(self, at: Source | ast.Location) -> None:
        """Refuse calls that multiply: each call of a function is lowered anew.

        Raises:
            Refusal: the thread has more statements than any.
        """
        if len(self.nodes) > MOST_NODES:
            raise too_many(ast.Location(at.file, at.line), self.frames[0].function.name)

    def emit(self, node: Node) -> None:
        """Append `node` after the open ends, of which there must be some."""
        assert node.number == len(self.nodes)
        assert self.here, "nothing is lowered where nothing can run"
        self.check_size(node.at)
        self.nodes.append(node)
        self.jump(node)
        self.here = [(node, "next")]

    def jump(self, target: Node) -> None:
        """Lead the open ends to `target`; nothing is open afterwards."""
        for node, way in self.take():
            setattr(node, way, target.number)
            self._entered.add(target.number)

    def take(self) -> Ends:
        """The open ends, for the caller to care for."""
        ends, self.here = self.here, []
        return ends

    def nop(self, at: ast.Location) -> Nop:
        """A join, not connected yet."""
        made = Nop(*self.stamp(Spot(at, "")))
        self.nodes.append(made)
        return made

    def join(self, nop: Nop, *, more: bool = False) -> None:
        """Go on at `nop`, if something leads there by now (or, with `more`, will)."""
        self.jump(nop)
        self.here = [(nop, "next")] if more or nop.number in self._entered else []

    def assign(self, values: Mapping[Local, z3.ExprRef], spot: Spot) -> None:
        if values:
            self.emit(Set(*self.stamp(spot), values=dict(values)))

    def never(self, what: str, refusal: Refusal, spot: Spot) -> Abandoned:
        """Something that must not be reached stands here; the caller raises what this answers."""
        self.emit(Refuse(*self.stamp(spot), what=what, refusal=refusal))
        self.here = []
        return Abandoned()

    def read(self, value: Value, spot: Spot, what: str = "") -> Value:
        """Note that C reads a value here, and answer it. A struct or an array is copied, not read; what comes of it is read later."""
        if value.parts and not is_aggregate(value.type):
            self.note_read(value.parts.values(), what or spot.text, spot)
        return value

    def note_read(self, terms: Iterable[z3.ExprRef], what: str, spot: Spot) -> None:
        """Note that C reads these here, where what is evaluated just now is evaluated at all."""
        if self.here:
            _, at, stack = self.stamp(spot)
            self.reads.append(Read(tuple(self.here), tuple(terms), conjunction(self.under), what, at, stack))

    # Locals

    def local(self, path: str, kind: Kind) -> Local:
        if path not in self.locals:
            made = Local(path, kind)
            self.locals[path] = made
            const = made.const
            self._by_id[identity(const)] = (made, const)
        return self.locals[path]

    def temporary(self, ctype: CType, hint: str) -> LocalPlace:
        return LocalPlace(ctype, f"{self.frame.prefix}.{hint}~{next(self._fresh)}")

    def prefix(self, function: str) -> str:
        """What the locals of one more inlined call of `function` begin with."""
        count = self._prefixes.get(function, 0) + 1
        self._prefixes[function] = count
        return function if count == 1 else f"{function}#{count}"

    def locals_in(self, value: Value) -> set[str]:
        """The paths of the locals that a value mentions."""
        keys = {identity(node) for term in value.parts.values() for node in subterms(term)}
        return {self._by_id[key][0].path for key in keys & self._by_id.keys()}


def is_aggregate(ctype: CType) -> bool:
    """Whether C's own type is a struct, a union or an array; a pointer or a word of several parts is none."""
    return isinstance(ctype, Array) or (
        isinstance(ctype, Record) and ctype.name.startswith(("struct ", "union ")) and not ctype.name.endswith("*")
    )


def spot_of(expression: ast.Expr) -> Spot:
    return Spot(expression.at, show(expression))


def reads_state(value: Value) -> bool:
    """Whether a value mentions a function of indices, which may be shared state."""
    shapes = (shape(node) for term in value.parts.values() for node in subterms(term))
    return any(z3.is_quantifier(s.term) or (s.operator == z3.Z3_OP_UNINTERPRETED and bool(s.children)) for s in shapes)
