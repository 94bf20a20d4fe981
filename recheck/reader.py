"""Taking a certificate apart: a strict grammar of the small language that our writers write (docs/certificates.md).

What is not in the grammar is refused: each symbol is declared once and before it is used, no variable hides anything, each part
stands in its place, and every term has its sort. So there is one reading of a text, whoever reads it.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

from ..core.errors import InputError
from .obligations import INITIALLY, KINDS, SAFETY, SCHEMA, Certificate, Definition, Step
from .sexpr import RESERVED, Sexpr, name_of, read, symbol, unquoted, write
from .sorting import BOOL, Sorts, well_sorted

_PARTS = ("axiom", "init", "parameter", "guard", "next", "property", "lemma", "some")
_HEAD = ("kind", "system", "property", "sizes", "scenario", "model")
EVERY_SIZE = "every size"
MOST_NAMED = 1_000
_WORD = r"[A-Za-z0-9_.:#@()\[\],!?~+*<>=/-]+"
_OWN_NAME = re.compile(_WORD)
"""What a sort or function may be called: one word. Names that the checker makes up have a blank or a quote mark."""
_ONE_WORD = re.compile(rf"(?:axiom|init|guard) {_WORD}|(?:parameter|next) {_WORD} {_WORD}|some [A-Za-z0-9_]+")
_WORDS = re.compile(rf"(?:property|lemma) {_WORD}(?: {_WORD})*")
_SHARED = re.compile(r"\$[0-9]+")
_ORDER = ("head", "sort", "function", "axiom", "init", "action", "property", "lemma", "uses", "start-size", "start-value")


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
        self._sorts = Sorts()
        self._names: dict[str, str] = {}  # every global symbol, and which part it is
        self._sorts.names = self._names
        self._notes: dict[str, str] = {}
        self._place = 0
        self._action = ""

    def _refuse(self, problem: str) -> InputError:
        return InputError(f"{self._what}: {problem}")

    def take(self, command: Sexpr) -> None:
        if not self._found.schema:
            self._begin(command)
            return
        match command:
            case ["set-info", ":says" | ":because" as key, value]:
                self._note(key, value)
                return
            case _ if self._notes and not _is_said_of(command, self._notes):
                raise self._refuse("a sentence stands before what is neither a property nor a clause")
        match command:
            case ["set-info", ":uses", [str(step), *instances]]:
                self._uses(step, instances)
            case ["set-info", ":start-size", [str(sort), str(size)]]:
                self._behind_the_invariant("start-size", sort, self._found.start_sizes, self._found.sorts)
                self._found.start_sizes[sort] = size
            case ["set-info", ":start-value", [str(function), *values]]:
                self._behind_the_invariant("start-value", function, self._found.start_values, self._found.functions)
                self._found.start_values[function] = [write(value) for value in values]
            case ["set-info", str(keyword), value] if keyword[1:] in _HEAD and keyword[0] == ":":
                self._head(keyword[1:], value)
            case ["set-logic", "UF" | "QF_BV" as logic]:
                self._logic(logic)
            case ["declare-sort", str(name), "0"]:
                self._at("sort")
                self._declare(name, "sort")
                self._found.sorts.append(name)
                self._sorts.sorts.add(name)
                self._command(name, f"(declare-sort {name} 0)")
            case ["declare-fun", str(name), list(arguments), sort]:
                self._function(name, arguments, sort)
            case ["define-fun", str(name), list(parameters), sort, body]:
                self._definition(name, parameters, sort, body)
            case _:
                raise self._refuse(f"a certificate holds no {write(command)[:60]!r}; it declares and defines, and asks nothing")

    def _begin(self, command: Sexpr) -> None:
        match command:
            case ["set-info", ":tdpcheck-certificate", str(schema)]:
                if schema != str(SCHEMA):
                    raise self._refuse(f"it has schema {schema[:20]}, and this tdpcheck reads schema {SCHEMA}; make it again")
                self._found.schema = SCHEMA
            case _:
                raise self._refuse(f"it is no certificate of tdpcheck: it does not begin with (set-info :tdpcheck-certificate {SCHEMA})")

    def _head(self, key: str, value: Sexpr) -> None:
        if self._found.logic:
            raise self._refuse(f"the field {key} stands behind the head")
        if key in self._found.header:
            raise self._refuse(f"the field {key} stands there twice")
        self._found.header[key] = self._text(value)

    def _text(self, value: Sexpr) -> str:
        try:
            return unquoted(value)
        except InputError as error:
            raise self._refuse(str(error)) from None

    def _logic(self, logic: str) -> None:
        found = self._found
        if found.logic:
            raise self._refuse("it has a second set-logic")
        if found.header.get("kind") not in KINDS:
            raise self._refuse(f"its kind is {found.header.get('kind', 'missing')!r}, expected {' or '.join(KINDS)}")
        grounded = found.kind == "grounded"
        if (logic == "QF_BV") is not grounded:
            raise self._refuse(f"its logic is {logic}, and a {found.kind} certificate has {'QF_BV' if grounded else 'UF'}")
        found.logic = logic
        self._sorts.vectors = grounded

    def _at(self, section: str, symbol_text: str = "") -> None:
        """Each section stands behind those before it."""
        place = _ORDER.index(section)
        if not self._found.logic:
            raise self._refuse("it has no set-logic before its first declaration")
        if place < self._place:
            what = symbol_text[:60] or f"a {section}"
            raise self._refuse(f"{what} stands behind the {_ORDER[self._place]} section; the order is {', '.join(_ORDER[1:])}")
        self._place = place

    def _uses(self, step: str, instances: Sequence[Sexpr]) -> None:
        name = name_of(step)
        known = {INITIALLY, *self._found.steps}
        self._behind_the_invariant("uses", name, self._found.uses, known)
        if symbol(name) != step:
            raise self._refuse(f"{step[:60]} is no name of a step")
        found: list[list[Sexpr]] = []
        for use in instances:
            match use:
                case [str(head), *_] if name_of(head):
                    found.append(use)
                case _:
                    raise self._refuse(
                        f"the proof of {name[:60]} has {write(use)[:60]}, which is no instance of a clause: (CLAUSE TERM ...)"
                    )
        self._found.uses[name] = found

    def _behind_the_invariant(self, section: str, name: str, named: Container[str], known: Container[str]) -> None:
        if self._found.header.get("kind") != "instantiated" or not self._found.lemmas:
            raise self._refuse("instances and an initial state stand behind the invariant of an instantiated certificate, and nowhere else")
        self._at(section)
        if name in named:
            raise self._refuse(f"what is said of {name[:60]} is said twice")
        if name not in known:
            raise self._refuse(f"it says something of {name[:60]}, which is not there")

    def _note(self, keyword: str, value: Sexpr) -> None:
        key = keyword[1:]
        if key in self._notes or "because" in self._notes:
            raise self._refuse(f"the field {key} stands there twice")
        self._notes[key] = self._text(value)

    def _declare(self, name: str, part: str) -> None:
        if name in self._names:
            raise self._refuse(f"{name[:60]} is declared twice")
        if name_of(name) in RESERVED:
            raise self._refuse(f"{name[:60]} cannot be a name")
        if part == "shared":
            fits = _SHARED.fullmatch(name)
        elif part in ("sort", "function"):
            fits = _OWN_NAME.fullmatch(name_of(name))
        else:
            fits = (_WORDS if part in ("property", "lemma") else _ONE_WORD).fullmatch(name_of(name))
        if fits is None or _written(name) != name:
            raise self._refuse(f"{name[:60]} cannot be a name")
        if name in self._sorts.bound:
            raise self._refuse(f"a bound variable hides {name[:60]}; rename it")
        self._names[name] = part

    def _command(self, name: str, text: str) -> None:
        self._found.names.append(name)
        self._found.commands.append(text)

    def _function(self, name: str, arguments: Sequence[Sexpr], sort: Sexpr) -> None:
        part, words = _part(name)
        if part == "parameter":
            self._at("action", name)
            if arguments or self._sorts.vectors:
                raise self._refuse(f"{name[:60]} is no parameter of an action")
            self._enter(words[0], name, "parameter")
            self._declare(name, "parameter")
            self._step(words[0]).parameters[name] = self._sorted(name, sort)
        elif part or name.startswith("$"):
            raise self._refuse(f"{name[:60]} must be defined, not declared")
        else:
            self._at("function", name)
            if arguments and self._sorts.vectors:
                raise self._refuse(f"{name[:60]} has arguments, and a grounded certificate has cells alone")
            self._declare(name, "function")
            signature = tuple(self._sorted(name, a) for a in arguments), self._sorted(name, sort)
            self._found.functions[name] = (write(list(arguments)), write(sort))
            self._sorts.known[name] = signature
        self._command(name, f"(declare-fun {name} {write(list(arguments))} {write(sort)})")

    def _sorted(self, name: str, sort: Sexpr) -> str:
        result: list[str] = []
        well_sorted(self._what, name, lambda: result.append(self._sorts.sort(sort)))
        return result[0]

    def _step(self, name: str) -> Step:
        return self._found.steps.setdefault(name, Step(name))

    def _enter(self, action: str, name: str, part: str) -> None:
        """The parts of an action stand together: its parameters, its guard, its next values."""
        if action in (INITIALLY, SAFETY):
            raise self._refuse(f"{action} cannot be the name of an action")
        if action != self._action:
            before = self._found.steps.get(self._action)
            if before is not None and not before.guard:
                raise self._refuse(f"action {before.name[:60]} has no guard")
            if action in self._found.steps or part == "next":
                raise self._refuse(f"{name[:90]} does not stand with the other parts of its action, behind the guard")
            self._action = action
        elif (part == "next") is not bool(self._step(action).guard):
            where = "before the guard of its action" if part == "next" else "behind the guard of its action"
            raise self._refuse(f"{name[:90]} stands {where}")

    def _definition(self, name: str, parameters: list[Sexpr], sort: Sexpr, body: Sexpr) -> None:
        part, words = _part(name)
        found = self._found
        made = Definition(name, tuple(parameters), sort, body, self._notes.pop("says", ""), self._notes.pop("because", ""))
        if not part and not name.startswith("$"):
            raise self._refuse(f"{name[:60]} is no part of a certificate")
        self._in_place(part, name)
        if part in ("guard", "next"):
            self._enter(words[0], name, part)
        self._sorted_definition(made, part, words)
        self._declare(name, part or "shared")
        match part:
            case "":
                found.shared[name] = made
                self._sorts.known[name] = (), write(sort)
            case "some":
                if len(found.some) >= MOST_NAMED:
                    raise self._refuse(f"more than {MOST_NAMED:,} quantifiers have names, which no certificate needs")
                found.some[name] = made
                self._sorts.known[name] = tuple(write(p[1]) for p in parameters), BOOL
            case "axiom":
                found.axioms.append(name)
            case "init":
                found.init.append(name)
            case "guard":
                self._step(words[0]).guard = name
            case "next":
                self._step(words[0]).following[symbol(words[1])] = name
            case "property":
                found.properties[name] = made
            case _:
                found.lemmas[name] = made
        found.made[name] = made
        found.mentions(made)  # what it speaks of is known by now, so that no chain of names is ever followed twice
        self._command(name, made.text)
        if part == "property":
            found.statement = list(found.commands)

    def _in_place(self, part: str, name: str) -> None:
        kind = self._found.header.get("kind")
        if not part and kind != "grounded":
            raise self._refuse(f"{name[:60]} gives a subterm a name, which a grounded certificate may do alone")
        if part == "some" and kind != "instantiated":
            raise self._refuse(f"{name[:60]} gives a quantifier a name, which an instantiated certificate may do alone")
        if part == "parameter":
            raise self._refuse(f"{name[:60]} must be declared, not defined")
        if part == "axiom" and kind == "grounded":
            raise self._refuse(f"{name[:60]} is an axiom, and a grounded certificate has none")
        if part in ("", "some"):
            behind = ("axiom", "lemma") if part else _ORDER[3:8]
            place = max(self._place, _ORDER.index("axiom"))
            if part and self._found.properties:
                place = _ORDER.index("lemma")
            if _ORDER[place] not in behind:
                raise self._refuse(f"{name[:60]} stands where nothing gets a name")
            self._at(_ORDER[place], name)
        else:
            self._at("action" if part in ("guard", "next") else part, name)
            if part == "lemma" and not self._found.properties:
                raise self._refuse(f"{name[:60]} stands before the property")

    def _sorted_definition(self, made: Definition, part: str, words: Sequence[str]) -> None:
        """A definition speaks of the state, of names that were given, and of its own action's parameters; it hides none of them."""
        self._sorts.own = {} if part not in ("guard", "next") else {x: ((), s) for x, s in self._step(words[0]).parameters.items()}
        expected = BOOL if part else write(made.sort)

        def check() -> None:
            variables = self._sorts.variables(made.parameters)
            if part == "next":
                self._fits(made, words, tuple(variables.values()))
            elif self._sorts.sort(made.sort) != expected or (made.parameters and part != "some"):
                raise self._refuse(f"{made.name[:60]} must be a truth value without parameters")
            self._sorts.check(made.body, write(made.sort), variables)

        well_sorted(self._what, made.name, check)

    def _fits(self, made: Definition, words: Sequence[str], sorts: tuple[str, ...]) -> None:
        function = _written(f"|{words[1]}|")
        if self._names.get(function) != "function":
            raise self._refuse(f"{made.name[:90]}: {words[1][:60]} is not declared")
        if self._sorts.known[function] != (sorts, write(made.sort)):
            raise self._refuse(f"{made.name[:90]} has not the sorts of {function}")

    def finish(self) -> Certificate:
        """The certificate, if it is whole."""
        found = self._found
        if not found.schema:
            raise self._refuse(f"it is no certificate of tdpcheck: it does not begin with (set-info :tdpcheck-certificate {SCHEMA})")
        if not found.logic:
            raise self._refuse("it has no set-logic; it was cut off")
        if not found.properties:
            raise self._refuse("it has no property; it was cut off")
        if not found.lemmas:
            raise self._refuse("it has no clause of an invariant; it was cut off")
        if self._notes:
            raise self._refuse("it ends behind a sentence; it was cut off")
        headless = next((s.name for s in found.steps.values() if not s.guard), None)
        if headless is not None:
            raise self._refuse(f"action {headless[:60]} has no guard")
        if not found.functions or not found.steps:
            raise self._refuse(f"it has no {'action' if found.functions else 'state'}, so that it speaks of no system")
        self._head_is_true()
        self._axioms_last()
        return found

    def _head_is_true(self) -> None:
        """What the head says must be what stands below it, as far as that can be seen."""
        found = self._found
        names = ", ".join(found.property_names)
        if found.header.get("property", "") != names:
            raise self._refuse(f"its head speaks of the property {found.header.get('property', '')[:90]!r}, and it defines {names[:90]!r}")
        sizes = found.header.get("sizes", "")
        if (sizes == EVERY_SIZE) is (found.kind == "grounded"):
            right = "one size" if found.kind == "grounded" else EVERY_SIZE
            raise self._refuse(f"its head speaks of {sizes[:60] or 'no size'!r}, and a {found.kind} certificate is of {right}")

    def _axioms_last(self) -> None:
        """An axiom is supposed in every state, so it may only speak of what no step changes."""
        found = self._found
        changed: dict[str, str] = {}
        for step in found.steps.values():
            for function in step.following:
                changed.setdefault(function, step.name)
        for axiom in found.axioms:
            moving = sorted(found.mentions(found.made[axiom]) & changed.keys())
            if moving:
                raise self._refuse(
                    f"{axiom[:60]} speaks of {moving[0][:60]}, which {changed[moving[0]][:60]} changes; axioms speak of what lasts"
                )


def _is_said_of(command: Sexpr, notes: Container[str]) -> bool:
    """Whether a command may follow a sentence about it: a property, or a clause, which alone has a reason."""
    match command:
        case ["define-fun", str(name), *_]:
            part, _ = _part(name)
            return part == "lemma" or (part == "property" and "because" not in notes)
        case _:
            return False


def _written(name: str) -> str:
    """The one way to write a symbol; empty if there is none."""
    if _SHARED.fullmatch(name):
        return name
    try:
        return symbol(name_of(name))
    except InputError:
        return ""


def _part(name: str) -> tuple[str, list[str]]:
    """Which part of a certificate a symbol names: `|next zap held|` is ("next", ["zap", "held"])."""
    head, _, rest = name_of(name).partition(" ")
    if head not in _PARTS or not rest:
        return "", []
    words = rest.split(" ")
    if head in ("next", "parameter"):
        return (head, words) if len(words) == 2 else ("", [])
    return head, [rest]


__all__ = ["EVERY_SIZE", "kind_of", "parse"]
