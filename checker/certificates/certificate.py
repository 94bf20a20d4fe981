"""A certificate: one file that says a system, a property and an inductive invariant, and nothing that has to be believed.

It is SMT-LIB 2: sorts, state, axioms, initial condition, guard and updates of each action, the property, and the clauses of the
invariant, each as a definition with a stable name. It holds no questions: who checks it derives them (`obligations.py`), in a fresh
process and with two solvers (`recheck.py`). Two kinds: *parametric*, over uninterpreted sorts, for every size; and *grounded*, over the
cells of one geometry.

McConnell, Mehlhorn, Näher, Schweitzer: Certifying Algorithms, Computer Science Review 2011.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import z3

from ...core.errors import ModelError
from ...core.ground import GroundSystem
from ...core.shape import children, shape, subterms
from ...core.sorts import Kind, Rigid, Sort, StateVar, Word, element_index
from ...core.system import Action, Lemma, Property, TransitionSystem, Update
from ...recheck.sexpr import quoted, symbol
from ..every_size.induction import EVERY_SIZE, axioms
from .smtlib import Writer, fresh, sort_text

SCHEMA = 1
PARAMETRIC, GROUNDED, INSTANTIATED = "parametric", "grounded", "instantiated"


def parametric(
    system: TransitionSystem, prop: Property | Sequence[Property], lemmas: Sequence[Lemma], *, digest: str = "", scenario: str = ""
) -> str:
    """The certificate that the conjunction of `lemmas` is inductive and implies `prop`, at every size.

    Args:
        digest: a hash of the model, for the reader.
        scenario: its name, for the reader.

    Raises:
        ModelError: a system with words, or a term that cannot be written.
    """
    head = Head(PARAMETRIC, system.name, several(prop), EVERY_SIZE, digest, scenario)
    writer = ParametricWriter(system)
    return text_of(
        [*head.lines(len(lemmas), len(system.actions)), *writer.statement(several(prop)), *_clauses(_some(lemmas), writer.closed)]
    )


def grounded(
    ground_system: GroundSystem,
    prop: Property | Sequence[Property],
    clauses: Sequence[Lemma | z3.BoolRef],
    *,
    digest: str = "",
    scenario: str = "",
) -> str:
    """The certificate that the conjunction of `clauses`, over the cells of `ground_system`, is inductive and implies `prop`.

    That each cell names an element that exists is added as clauses, where the geometry leaves spare bit patterns.

    Args:
        clauses: terms over the grounded cells. The property is not among them unless it is given as one.
        digest: a hash of the model, for the reader.
        scenario: its name, for the reader.

    Raises:
        ModelError: a term that cannot be written.
    """
    head = Head(GROUNDED, ground_system.system.name, several(prop), str(ground_system.geometry) or "its only size", digest, scenario)
    writer = _GroundWriter(ground_system)
    named = [c if isinstance(c, Lemma) else Lemma(str(number), c, readable(ground_system, c)) for number, c in enumerate(clauses, 1)]
    statement = writer.statement(several(prop))
    invariant = _some([*_ranges(ground_system), *named])
    return text_of([*head.lines(len(invariant), len(ground_system.actions)), *statement, *writer.clauses(invariant)])


def statement_of(system: TransitionSystem | GroundSystem, prop: Property | Sequence[Property]) -> str:
    """What a certificate about `system` and `prop` says before its invariant. One that says anything else is about something else."""
    if isinstance(system, GroundSystem):
        head = Head(GROUNDED, system.system.name, several(prop), str(system.geometry) or "its only size", "", "")
        return text_of([*head.lines(0, len(system.actions)), *_GroundWriter(system).statement(several(prop))])
    head = Head(PARAMETRIC, system.name, several(prop), EVERY_SIZE, "", "")
    return text_of([*head.lines(0, len(system.actions)), *ParametricWriter(system).statement(several(prop))])


def several(prop: Property | Sequence[Property]) -> tuple[Property, ...]:
    return (prop,) if isinstance(prop, Property) else tuple(prop)


def _some(lemmas: Sequence[Lemma]) -> Sequence[Lemma]:
    return lemmas or [Lemma("nothing", z3.BoolVal(True), "Nothing need be known of a state.")]


def text_of(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Head:
    """What a certificate is about, for people and programs."""

    kind: str
    system: str
    properties: tuple[Property, ...]
    sizes: str
    digest: str
    scenario: str

    def lines(self, clauses: int, actions: int) -> Iterator[str]:
        names = ", ".join(prop.name for prop in self.properties)
        yield f"; A certificate of tdpcheck: {comment(names)} in every reachable state of {comment(self.system)}."
        yield f"; Size: {comment(self.sizes)}. {actions} actions; the invariant is the conjunction of {clauses} clauses at the end."
        yield "; Check it: tdpcheck check-certificate FILE"
        yield f"(set-info :tdpcheck-certificate {SCHEMA})"
        for key, value in (
            ("kind", self.kind),
            ("system", self.system),
            ("property", names),
            ("sizes", self.sizes),
            ("scenario", self.scenario),
            ("model", self.digest),
        ):
            yield f"(set-info :{key} {quoted(value)})"
        yield f"(set-logic {'QF_BV' if self.kind == GROUNDED else 'UF'})"


def comment(text: str) -> str:
    return " ".join(text.split())


def part_name(*words: str) -> str:
    """The symbol of a part of the system: `|guard zap|`.

    Raises:
        ModelError: a name that would make two parts alike.
    """
    for word in words[1:-1]:
        if " " in word:
            raise ModelError(f"{word!r} has a space in its name; a certificate needs names without")
    return symbol(" ".join(words))


def definition(name: str, parameters: Sequence[tuple[str, str]], sort: str, body: str) -> str:
    return f"(define-fun {name} ({' '.join(f'({x} {s})' for x, s in parameters)}) {sort} {body})"


def says(said: Lemma | Property) -> Iterator[str]:
    """Its sentence and, of a lemma, its reason, as notes on the definition that follows."""
    yield f"(set-info :says {quoted(comment(said.sentence))})"
    if isinstance(said, Lemma) and said.because:
        yield f"(set-info :because {quoted(comment(said.because))})"


def _clauses(lemmas: Sequence[Lemma], write: Writer) -> Iterator[str]:
    yield ""
    yield "; ---- the invariant: every clause holds initially, and every action keeps their conjunction"
    for lemma in lemmas:
        yield from says(lemma)
        yield definition(part_name("lemma", lemma.name), (), "Bool", write(lemma.holds))


def property_lines(prop: Property, body: str) -> Iterator[str]:
    yield ""
    yield "; ---- what the clauses at the end imply"
    yield from says(prop)
    yield definition(part_name("property", prop.name), (), "Bool", body)


def about(action: Action, instance: str = "") -> Iterator[str]:
    yield ""
    where = f", {comment(str(action.source[0]))}: {comment(action.source[0].text)}" if action.source else ""
    yield f"; ---- {comment(instance or action.name)}: a step of {comment(action.actor)}{where}"


def parameters(action: Action) -> dict[str, str]:
    """The symbols of its parameters, by their names."""
    return {p.name: part_name("parameter", action.name, p.name) for p in action.params}


class ParametricWriter:
    """Writes a system over uninterpreted sorts."""

    def __init__(self, system: TransitionSystem) -> None:
        words = (*system.words, *(f"{a.name}({p.name})" for a in system.actions for p in a.params if isinstance(p.kind, Word)))
        if words:
            raise ModelError(f"{system.name} is not parametric: {', '.join(words[:4])} are bit-vectors of a fixed width")
        self.system = system
        self._elements = {e.decl().name(): e for e in self._constants()}
        names = [*(v.name for v in system.state), *(r.name for r in system.rigids), *self._elements]
        self.closed = Writer({name: symbol(name) for name in names})

    def _constants(self) -> Iterator[z3.ExprRef]:
        """The elements that are named: those of enumerations, and those that the system mentions."""
        for sort in self.system.sorts:
            yield from (sort.element(name) for name in sort.elements)
        terms = [u.value for u in self.system.init] + [self.system.constraint]
        for action in self.system.actions:
            terms += [action.guard, *(u.value for u in action.updates)]
        for term in terms:
            yield from (
                node for node in subterms(term) if shape(node).operator == z3.Z3_OP_UNINTERPRETED and element_index(node) is not None
            )

    @property
    def elements(self) -> dict[str, int]:
        """The constants that name elements, with the elements' numbers."""
        return {name: number for name, element in self._elements.items() if (number := element_index(element)) is not None}

    def statement(self, properties: Sequence[Property]) -> Iterator[str]:
        """Everything but the invariant."""
        system = self.system
        yield from self.declarations()
        for number, axiom in enumerate(axioms(system), 1):
            yield definition(part_name("axiom", str(number)), (), "Bool", self.closed(axiom))
        yield ""
        yield "; ---- initially"
        for update in system.init:
            equation = update.var(*update.variables) == update.value
            term = z3.ForAll(list(update.variables), equation) if update.variables else equation
            yield definition(part_name("init", update.var.name), (), "Bool", self.closed(term))
        yield definition(part_name("init", "constraint"), (), "Bool", self.closed(system.constraint))
        for action in system.actions:
            yield from self.action(action)
        for prop in properties:
            yield from property_lines(prop, self.closed(prop.holds))

    def declarations(self) -> Iterator[str]:
        """Sorts, functions and elements."""
        system = self.system
        yield ""
        yield "; ---- sorts, state, and functions that never change"
        yield from (f"(declare-sort {symbol(sort.name)} 0)" for sort in system.sorts)
        functions: tuple[StateVar | Rigid, ...] = (*system.state, *system.rigids)
        for f in functions:
            kind = "" if isinstance(f, StateVar) else "never changes; "
            sorts = " ".join(sort_text(k.z3) for k in f.params)
            yield f"(declare-fun {symbol(f.name)} ({sorts}) {sort_text(f.kind.z3)}) ; {kind}{comment(f.doc)}".rstrip("; ")
        for name, element in self._elements.items():
            yield f"(declare-fun {symbol(name)} () {sort_text(element.sort())}){self._called(element)}"

    def _called(self, element: z3.ExprRef) -> str:
        sort = self.system.sort_by_name[element.sort().name()]
        index = element_index(element)
        return f" ; {comment(sort.elements[index])}" if index is not None and sort.elements else ""

    def action(self, action: Action) -> Iterator[str]:
        """Its parameters, guard and next values."""
        yield from about(action)
        own = parameters(action)
        for param in action.params:
            yield f"(declare-fun {own[param.name]} () {sort_text(param.kind.z3)})"
        yield definition(part_name("guard", action.name), (), "Bool", self.closed(action.guard, own))
        for update in action.updates:
            yield self._next(action, update, own)

    def _next(self, action: Action, update: Update, own: Mapping[str, str]) -> str:
        taken = {*self.closed.names.values(), *own.values()}
        variables: dict[str, str] = {}
        for x in update.variables:
            variables[x.decl().name()] = fresh(x.decl().name(), {*taken, *variables.values()})
        parameters = [(variables[x.decl().name()], sort_text(x.sort())) for x in update.variables]
        body = self.closed(update.value, {**own, **variables})
        return definition(part_name("next", action.name, update.var.name), parameters, sort_text(update.var.kind.z3), body)


class _GroundWriter:
    """Writes a grounded system; what its terms share is defined once, as `$1`, `$2` ..."""

    def __init__(self, system: GroundSystem) -> None:
        self.system = system
        self._pending: list[str] = []
        self._defined = 0
        self._write = Writer({system.variable(c).decl().name(): symbol(c.name) for c in system.cells}, self._define)

    def _define(self, text: str, sort: z3.SortRef) -> str:
        self._defined += 1
        name = f"${self._defined}"
        self._pending.append(definition(name, (), sort_text(sort), text))
        return name

    def _lines(self, name: str, sort: str, term: z3.ExprRef) -> Iterator[str]:
        line = definition(name, (), sort, self._write(term))
        yield from self._pending
        self._pending.clear()
        yield line

    def statement(self, properties: Sequence[Property]) -> Iterator[str]:
        """Everything but the invariant."""
        system = self.system
        goals = [system.formula(prop.holds) for prop in properties]
        self._write.expect([system.constraint, system.in_range, *goals, *system.init.values()])
        self._write.expect(term for a in system.actions for term in (a.guard, *a.after.values()))
        yield ""
        yield f"; ---- the cells of one state; {len(system.constants)} more cells never change and are folded into the terms"
        for cell in system.cells:
            yield f"(declare-fun {symbol(cell.name)} () {sort_text(system.variable(cell).sort())})"
        yield ""
        yield "; ---- initially"
        for cell, value in system.init.items():
            yield from self._lines(part_name("init", cell.name), "Bool", system.variable(cell) == value)
        yield from self._lines(part_name("init", "constraint"), "Bool", system.constraint)
        yield from self._lines(part_name("init", "range"), "Bool", system.in_range)
        for action in system.actions:
            yield from about(action.action, action.name)
            yield from self._lines(part_name("guard", action.name), "Bool", action.guard)
            for cell, value in action.after.items():
                yield from self._lines(part_name("next", action.name, cell.name), sort_text(value.sort()), value)
        for prop, goal in zip(properties, goals, strict=True):
            body = self._write(goal)
            yield from self._pending
            self._pending.clear()
            yield from property_lines(prop, body)

    def clauses(self, lemmas: Sequence[Lemma]) -> Iterator[str]:
        """The invariant."""
        self._write.expect(lemma.holds for lemma in lemmas)
        yield ""
        yield "; ---- the invariant: every clause holds initially, and every action keeps their conjunction"
        for lemma in lemmas:
            body = self._write(lemma.holds)
            yield from self._pending
            self._pending.clear()
            yield from says(lemma)
            yield definition(part_name("lemma", lemma.name), (), "Bool", body)


def _ranges(system: GroundSystem) -> Iterator[Lemma]:
    for cell in system.cells:
        kind = cell.var.kind
        if isinstance(kind, Sort) and system.geometry.size(kind) != 2 ** system.geometry.width(kind):
            size = system.geometry.size(kind)
            yield Lemma(
                f"range of {cell.name}", z3.ULT(system.variable(cell), size), f"{cell.name} is one of the {size} elements of {kind.name}."
            )


MOST_WORDS = 60


def readable(system: GroundSystem, term: z3.BoolRef) -> str:
    """A grounded clause in the model's own names, cut off where it gets long."""
    return _Telling({cell.name: cell.var.kind for cell in system.cells}).tell(term)


class _Telling:
    """Tells a term, and gives up after `MOST_WORDS` parts: nobody reads further, and shared parts may be told endlessly."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self._kinds = kinds
        self._left = MOST_WORDS

    def tell(self, term: z3.ExprRef) -> str:
        """The term in words and operators."""
        self._left -= 1
        if self._left < 0:
            return "…"
        parts = children(term)
        match shape(term).operator:
            case z3.Z3_OP_AND | z3.Z3_OP_OR as operator:
                return "(" + (" and " if operator == z3.Z3_OP_AND else " or ").join(self._some(parts)) + ")"
            case z3.Z3_OP_NOT if shape(parts[0]).operator == z3.Z3_OP_EQ:
                return self._equation(parts[0], "is not")
            case z3.Z3_OP_NOT:
                return f"not {self.tell(parts[0])}"
            case z3.Z3_OP_EQ:
                return self._equation(term, "is")
            case z3.Z3_OP_ITE:
                return "(if {} then {} else {})".format(*map(self.tell, parts))
            case z3.Z3_OP_BNUM:
                return str(term.as_long())
            case _ if not parts:
                return str(term.decl().name())
            case _:
                return f"{term.decl().name()}({', '.join(self._some(parts))})"

    def _some(self, parts: Sequence[z3.ExprRef]) -> Iterator[str]:
        for part in parts:
            yield self.tell(part)
            if self._left < 0:
                return

    def _equation(self, term: z3.ExprRef, verb: str) -> str:
        left, right = children(term)
        if z3.is_bv_value(left):
            left, right = right, left
        kind = self._kinds.get(left.decl().name()) if z3.is_const(left) else None
        value = kind.show(right.as_long()) if isinstance(kind, Sort) and z3.is_bv_value(right) else self.tell(right)
        return f"{self.tell(left)} {verb} {value}"
