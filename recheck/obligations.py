"""What a certificate has to keep, derived from its text alone; no solver and no model is involved here.

An inductive invariant holds initially, implies the property, and is kept by every action. The state after an action is written by
renaming: in a parametric certificate each changed function is replaced by the definition of its next value, in a grounded one
each cell has a second name for its value afterwards.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..core.errors import InputError
from .sexpr import LITERAL, OPERATORS, RESERVED, Sexpr, name_of, read, rename, symbol, tokens, unquoted, write

SCHEMA = 1
KINDS = ("parametric", "grounded", "instantiated")
INITIALLY, SAFETY = "initially", "safety"
"""What the questions are called that are about no action."""

_PARTS = ("axiom", "init", "parameter", "guard", "next", "property", "lemma", "some")


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
        header: its set-info fields.
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

    header: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    made: dict[str, Definition] = field(default_factory=dict)
    some: dict[str, Definition] = field(default_factory=dict)
    uses: dict[str, list[Sexpr]] = field(default_factory=dict)
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

    def mentions(self, definition: Definition) -> frozenset[str]:
        """The declared functions that a definition speaks of, shared subterms included."""
        if definition.name not in self._mentions:
            found: set[str] = set()
            for token in set(tokens(definition.body)):
                if token in self.functions:
                    found.add(token)
                elif token in self.shared:
                    found |= self.mentions(self.shared[token])
            self._mentions[definition.name] = frozenset(found)
        return self._mentions[definition.name]

    _mentions: dict[str, frozenset[str]] = field(default_factory=dict)


def parse(text: str, what: str = "the certificate") -> Certificate:
    """Take a certificate apart.

    Raises:
        InputError: it is none, it is cut off, or it holds something that a certificate must not hold.
    """
    if not text.strip():
        raise InputError(f"{what}: it is empty; a certificate begins with (set-info :tdpcheck-certificate {SCHEMA})")
    reader = _Reader(what)
    for command in read(text, what):
        reader.take(command)
    return reader.finish()


def kind_of(text: str) -> str:
    """The kind that the head of a certificate names, for whoever need not know more of it.

    Raises:
        InputError: there is no such head.
    """
    head, _, _ = text.partition("(set-logic")
    for command in read(head, "the certificate"):
        match command:
            case ["set-info", ":kind", value] if unquoted(value) in KINDS:
                return unquoted(value)
            case _:
                pass
    return parse(text).kind  # complains, and says of what


class _Reader:
    """Reads the commands in order; refuses what it does not know."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._found = Certificate()
        self._names: dict[str, str] = {}  # every global symbol, and which part it is
        self._bound: set[str] = set()
        self._notes: dict[str, str] = {}
        self._schema = ""

    def _refuse(self, problem: str) -> InputError:
        return InputError(f"{self._what}: {problem}")

    def take(self, command: Sexpr) -> None:
        match command:
            case ["set-info", ":tdpcheck-certificate", str(schema)]:
                self._schema = schema
            case ["set-info", ":uses", [str(step), *instances]]:
                self._uses(name_of(step), instances)
            case ["set-info", ":start-size", [str(sort), str(size)]]:
                self._behind_the_invariant(sort, self._found.start_sizes)
                self._found.start_sizes[sort] = size
            case ["set-info", ":start-value", [str(function), *values]]:
                self._behind_the_invariant(function, self._found.start_values)
                self._found.start_values[function] = [write(value) for value in values]
            case ["set-info", str(key), value] if key.startswith(":"):
                self._note(key[1:], unquoted(value))
            case _ if not self._schema:
                raise self._refuse(f"it is no certificate of tdpcheck: it does not begin with (set-info :tdpcheck-certificate {SCHEMA})")
            case ["set-logic", "UF" | "QF_BV"]:
                self._check_header()
            case ["declare-sort", str(name), "0"]:
                self._declare(name, "sort")
                self._found.sorts.append(name)
                self._command(name, f"(declare-sort {name} 0)")
            case ["declare-fun", str(name), list(arguments), sort]:
                self._function(name, arguments, sort)
            case ["define-fun", str(name), list(parameters), sort, body]:
                self._definition(
                    Definition(name, tuple(parameters), sort, body, self._notes.pop("says", ""), self._notes.pop("because", ""))
                )
            case _:
                raise self._refuse(f"a certificate holds no {write(command)[:60]!r}; it declares and defines, and asks nothing")

    def _uses(self, step: str, instances: list[Sexpr]) -> None:
        self._behind_the_invariant(step, self._found.uses)
        self._found.uses[step] = instances

    def _behind_the_invariant(self, name: str, named: Container[str]) -> None:
        if self._found.header.get("kind") != "instantiated" or not self._found.lemmas:
            raise self._refuse("instances and an initial state stand behind the invariant of an instantiated certificate, and nowhere else")
        if name in named:
            raise self._refuse(f"what is said of {name[:60]} is said twice")

    def _note(self, key: str, value: str) -> None:
        if key in ("says", "because"):
            self._notes[key] = value
        elif self._names:
            raise self._refuse(f"the field {key} stands behind the first declaration")
        else:
            self._found.header[key] = value

    def _declare(self, name: str, part: str) -> None:
        if name in self._names:
            raise self._refuse(f"{name} is declared twice")
        if not name_of(name) or symbol(name_of(name)) != name:
            raise self._refuse(f"{name[:60]} cannot be a name")
        if self._found.properties and part not in ("lemma", "shared", "property", "some"):
            raise self._refuse(f"{name} stands behind the property; only the clauses of the invariant may")
        self._names[name] = part

    def _command(self, name: str, text: str) -> None:
        self._found.names.append(name)
        self._found.commands.append(text)

    def _function(self, name: str, arguments: Sequence[Sexpr], sort: Sexpr) -> None:
        part, words = _part(name)
        if part == "parameter":
            self._declare(name, f"parameter {words[0]}")
            self._step(words[0]).parameters[name] = write(sort)
            if arguments or self._found.header.get("kind") == "grounded":
                raise self._refuse(f"{name} is no parameter of an action")
        elif part or name.startswith("$"):
            raise self._refuse(f"{name} must be defined, not declared")
        else:
            self._declare(name, "function")
            self._found.functions[name] = (write(list(arguments)), write(sort))
        self._command(name, f"(declare-fun {name} {write(list(arguments))} {write(sort)})")

    def _step(self, name: str) -> Step:
        return self._found.steps.setdefault(name, Step(name))

    def _definition(self, made: Definition) -> None:
        part, words = _part(made.name)
        found = self._found
        if not part and not made.name.startswith("$"):
            raise self._refuse(f"{made.name[:60]} is no part of a certificate")
        self._scoped(made, words[0] if part in ("guard", "next") else "")
        self._declare(made.name, part or "shared")
        if part == "some" and self._found.header.get("kind") != "instantiated":
            raise self._refuse(f"{made.name} gives a quantifier a name, which an instantiated certificate may do alone")
        if part not in ("next", "some") and (made.parameters or (part and made.sort != "Bool")):
            raise self._refuse(f"{made.name} must be a truth value without parameters")
        match part:
            case "":
                found.shared[made.name] = made
                found.mentions(made)  # its subterms are known by now, so that no chain of them is ever followed twice
            case "some":
                if made.sort != "Bool":
                    raise self._refuse(f"{made.name} must be a truth value")
                found.some[made.name] = made
            case "axiom":
                found.axioms.append(made.name)
            case "init":
                found.init.append(made.name)
            case "guard":
                self._step(words[0]).guard = made.name
            case "next":
                self._next(made, *words)
            case "property":
                if found.lemmas:
                    raise self._refuse(f"{made.name} stands behind the invariant")
                found.properties[made.name] = made
            case _:
                if not found.properties:
                    raise self._refuse(f"{made.name} stands before the property")
                found.lemmas[made.name] = made
        found.made[made.name] = made
        self._command(made.name, made.text)
        if part == "property":
            found.statement = list(found.commands)

    def _next(self, made: Definition, action: str, changed: str = "") -> None:
        function = symbol(changed)
        if function not in self._found.functions:
            raise self._refuse(f"{made.name}: {changed or 'nothing'} is not declared")
        sorts = write([p[1] if isinstance(p, list) and len(p) == 2 else "?" for p in made.parameters])
        if self._found.functions[function] != (sorts, write(made.sort)):
            raise self._refuse(f"{made.name} has not the sorts of {function}")
        self._step(action).following[function] = made.name

    def _scoped(self, made: Definition, action: str) -> None:
        """A definition speaks of the state, of subterms with names, and of its own action's parameters; it hides none of them."""
        allowed = ("sort", "function", "shared", "some", f"parameter {action}")
        bound = _bound_names(made)
        for token in set(tokens([made.body, made.sort, *made.parameters])):
            part = self._names.get(token)
            if part is None and token not in bound and token not in OPERATORS and not LITERAL.fullmatch(token):
                raise self._refuse(f"{made.name} speaks of {token[:60]}, which is neither declared before it nor a word that is known here")
            if part is not None and part not in allowed:
                raise self._refuse(f"{made.name} must not speak of {token}")
        self._bound |= bound

    def _check_header(self) -> None:
        if not self._schema:
            raise self._refuse(f"it is no certificate of tdpcheck: it does not begin with (set-info :tdpcheck-certificate {SCHEMA})")
        if self._schema != str(SCHEMA):
            raise self._refuse(f"it has schema {self._schema[:20]}, and this tdpcheck reads schema {SCHEMA}; make it again")
        if self._found.header.get("kind") not in KINDS:
            raise self._refuse(f"its kind is {self._found.header.get('kind', 'missing')!r}, expected {' or '.join(KINDS)}")

    def finish(self) -> Certificate:
        """The certificate, if it is whole."""
        found = self._found
        self._check_header()
        if not found.properties:
            raise self._refuse("it has no property; it was cut off")
        if not found.lemmas:
            raise self._refuse("it has no clause of an invariant; it was cut off")
        headless = next((s.name for s in found.steps.values() if not s.guard), None)
        if headless is not None:
            raise self._refuse(f"action {headless} has no guard")
        hidden = sorted(self._bound & self._names.keys() | self._bound & RESERVED)
        if hidden:
            raise self._refuse(f"a bound variable hides {hidden[0]}; rename it")
        if found.kind == "grounded":
            self._grounded()
        return found

    def _grounded(self) -> None:
        if self._bound or "sort" in self._names.values() or any(arguments != "()" for arguments, _ in self._found.functions.values()):
            raise self._refuse("a grounded certificate has cells alone: no sorts, no functions and no quantifiers")


def _part(name: str) -> tuple[str, list[str]]:
    """Which part of a certificate a symbol names: `|next zap held|` is ("next", ["zap", "held"])."""
    head, _, rest = name_of(name).partition(" ")
    if head not in _PARTS or not rest:
        return "", []
    return head, rest.split(" ", 1) if head in ("next", "parameter") else [rest]


def _bound_names(made: Definition) -> set[str]:
    """The variables that a definition binds."""
    found = {p[0] for p in made.parameters if isinstance(p, list) and p and isinstance(p[0], str)}
    todo = [made.body]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            if len(node) == 3 and node[0] in ("forall", "exists", "let") and isinstance(node[1], list):
                found |= {b[0] for b in node[1] if isinstance(b, list) and b and isinstance(b[0], str)}
            todo += node
    return found


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
