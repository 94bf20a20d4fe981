"""What a certificate has to keep, derived from its text alone; no solver and no model is involved here.

An inductive invariant holds initially, implies the property, and is kept by every action. The state after an action is written by
renaming: in a parametric certificate each changed function is replaced by the definition of its next value, in a grounded one
each cell has a second name for its value afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..core.errors import InputError
from .sexpr import Sexpr, name_of, rename, symbol, tokens, write

SCHEMA = 1
KINDS = ("parametric", "grounded", "instantiated")
MOST_MENTIONS = 1_000_000
"""Six roles have 10,339; a chain of names, each of which speaks of one more, would have no end."""
INITIALLY, SAFETY = "initially", "safety"
"""What the questions are called that are about no action."""


@dataclass(frozen=True)
class Definition:
    """A definition of the file: its symbol, parameters, sort and body."""

    name: str
    parameters: tuple[Sexpr, ...]
    sort: Sexpr
    body: Sexpr
    says: str = ""
    because: str = ""

    @property
    def text(self) -> str:
        return f"(define-fun {self.name} {write(list(self.parameters))} {write(self.sort)} {write(self.body)})"


@dataclass
class Step:
    """An action of the file: its guard, the symbols of the next values by that of what they change, and its parameters with their sorts."""

    name: str
    guard: str = ""
    following: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass
class Certificate:
    """A certificate taken apart.

    Args:
        schema: the version of the language; 0 until it is known.
        logic: the solvers' logic.
        header: what it says of itself: no more than that.
        commands: declarations and definitions in the order of the file.
        functions: what the system declares, with the texts of the argument sorts and of the result.
        shared: subterms that were given names.
        statement: the commands before the invariant, as text: which system and properties it is about.
        names: what each command declares or defines.
        made: all definitions, by what they define.
        some: definitions of quantifiers that have a name.
        uses: by step, the instances that prove it, if the file names any.
        start_sizes: of an initial state, how many elements each sort has, if the file names one.
        start_values: the values of each function there, for all its arguments in order.
    """

    schema: int = 0
    logic: str = ""
    header: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    made: dict[str, Definition] = field(default_factory=dict)
    some: dict[str, Definition] = field(default_factory=dict)
    uses: dict[str, list[list[Sexpr]]] = field(default_factory=dict)
    start_sizes: dict[str, str] = field(default_factory=dict)
    start_values: dict[str, list[str]] = field(default_factory=dict)
    sorts: list[str] = field(default_factory=list)
    functions: dict[str, tuple[str, str]] = field(default_factory=dict)
    shared: dict[str, Definition] = field(default_factory=dict)
    axioms: list[str] = field(default_factory=list)
    init: list[str] = field(default_factory=list)
    steps: dict[str, Step] = field(default_factory=dict)
    lemmas: dict[str, Definition] = field(default_factory=dict)
    properties: dict[str, Definition] = field(default_factory=dict)
    statement: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return self.header["kind"]

    @property
    def property_names(self) -> tuple[str, ...]:
        """What its properties are called."""
        return tuple(name_of(name).partition(" ")[2] for name in self.properties)

    def mentions(self, definition: Definition) -> frozenset[str]:
        """The declared functions that a definition speaks of, shared subterms and named quantifiers looked into."""
        if definition.name not in self._mentions:
            found: set[str] = set()
            for token in set(tokens(definition.body)):
                if token in self.functions:
                    found.add(token)
                elif token in self.shared:
                    found |= self.mentions(self.shared[token])
                elif token in self.some:
                    found |= self.mentions(self.some[token])
            self._mentions[definition.name] = frozenset(found)
            self._mentioned += len(found)
            if self._mentioned > MOST_MENTIONS:
                raise InputError(f"the certificate: its definitions speak of more than {MOST_MENTIONS:,} functions, counted together")
        return self._mentions[definition.name]

    _mentions: dict[str, frozenset[str]] = field(default_factory=dict)
    _mentioned: int = 0


def difference(found: Certificate, wanted: Certificate) -> str:
    """How the system and property of `found` differ from those of `wanted`; empty if they do not."""
    for key in ("kind", "system", "property", "sizes"):
        if found.header.get(key, "") != wanted.header.get(key, ""):
            return f"its {key} is {found.header.get(key, '')!r}, and today's is {wanted.header.get(key, '')!r}"
    for ours, theirs in zip(wanted.statement, found.statement, strict=False):
        if ours != theirs:
            return f"it says {_short(theirs)} where today's system says {_short(ours)}"
    if len(wanted.statement) != len(found.statement):
        return f"it has {len(found.statement)} declarations and definitions, and today's system has {len(wanted.statement)}"
    return ""


def _short(text: str) -> str:
    return text if len(text) <= 90 else f"{text[:90]} …"


def primed(symbol_text: str) -> str:
    """The second name of a cell or subterm: its value after the action."""
    return symbol(name_of(symbol_text) + "'")


def after_renaming(found: Certificate, step: Step, lemma: Definition) -> str:
    """A parametric clause as it reads after an action."""
    names: dict[str, Sexpr] = dict(step.following)
    return write(rename(lemma.body, names))


def primed_definitions(found: Certificate, changed: frozenset[str]) -> Iterator[str]:
    """The grounded cells, subterms and clauses under their second names, as far as the `changed` cells reach into them."""
    names: dict[str, Sexpr] = {cell: primed(cell) for cell in found.functions if cell in changed}
    for cell in names:
        yield f"(declare-fun {names[cell]} () {found.functions[cell][1]})"
    wanted = _below(found, found.lemmas.values())
    for name, made in found.shared.items():
        if name in wanted and found.mentions(made) & changed:
            names[name] = primed(name)
            yield Definition(primed(name), (), made.sort, rename(made.body, names)).text
    for name, made in found.lemmas.items():
        if found.mentions(made) & changed:
            yield Definition(primed(name), (), made.sort, rename(made.body, names)).text


def _below(found: Certificate, definitions: Iterable[Definition]) -> set[str]:
    """The shared subterms that some definitions need."""
    wanted: set[str] = set()
    todo = [token for made in definitions for token in tokens(made.body) if token in found.shared]
    while todo:
        name = todo.pop()
        if name not in wanted:
            wanted.add(name)
            todo += [token for token in tokens(found.shared[name].body) if token in found.shared]
    return wanted


def frame(found: Certificate, step: Step, cells: Iterable[str]) -> Mapping[str, str]:
    """What each cell is after an action: its next value, or what it was."""
    return {primed(cell): step.following.get(cell, cell) for cell in cells}
