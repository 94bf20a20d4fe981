"""Grounding: a transition system at a geometry, as quantifier-free terms over Booleans and bit-vectors.

This is a rewrite of the one description. Index sorts become bit-vectors, a function over them becomes one *cell* per
tuple of indices, quantifiers become conjunctions, and each action becomes one instance per tuple of argument values.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import z3

from .errors import ModelError
from .shape import all_of, any_of, children, either, identity, is_false, is_true, opposite, same, shape, with_children
from .sorts import Geometry, Kind, Rigid, Sort, StateVar, Truth, Word, element_index
from .substitution import Substitution, constants_in
from .system import Action, Property, TransitionSystem, Update


@dataclass(frozen=True)
class Cell:
    """One grounded state variable: a state function at one tuple of indices."""

    var: StateVar
    index: tuple[int, ...]

    @cached_property
    def name(self) -> str:
        return f"{self.var.name}[{','.join(map(str, self.index))}]" if self.index else self.var.name


@dataclass(frozen=True)
class GroundAction:
    """An action at plain argument values; `after` gives the cells that it may change."""

    action: Action
    arguments: tuple[int, ...]
    guard: z3.BoolRef
    after: Mapping[Cell, z3.ExprRef]

    @property
    def name(self) -> str:
        return f"{self.action.name}({','.join(map(str, self.arguments))})"


@dataclass(frozen=True)
class GroundSystem:
    """A system at a geometry. `constants` are cells that no action can change; they were folded into the terms."""

    system: TransitionSystem
    geometry: Geometry
    cells: tuple[Cell, ...]
    init: Mapping[Cell, z3.ExprRef]
    constraint: z3.BoolRef
    actions: tuple[GroundAction, ...]
    constants: Mapping[Cell, z3.ExprRef]

    def variable(self, cell: Cell) -> z3.ExprRef:
        """The Z3 constant that stands for `cell` in the terms of this system."""
        return _cell_constant(cell, self.geometry)

    @cached_property
    def bits(self) -> int:
        """How many bits one state takes."""
        return sum(_bits(c.var.kind, self.geometry) for c in self.cells)

    def formula(self, term: z3.ExprRef) -> z3.ExprRef:
        """A closed term over the system's state, grounded."""
        return self._grounder(term)

    @cached_property
    def _grounder(self) -> Grounder:
        return Grounder(self.system, self.geometry, self.constants)

    @cached_property
    def reads(self) -> _Reads:
        """Which cells a grounded term reads, with a memory of the terms seen."""
        return _Reads({c: self.variable(c) for c in self.cells})

    @cached_property
    def in_range(self) -> z3.BoolRef:
        """Every cell names an element that exists (sizes that are no power of two leave spare bit patterns)."""
        limits = []
        for cell in self.cells:
            if isinstance(cell.var.kind, Sort):
                size = self.geometry.size(cell.var.kind)
                if size != 2 ** self.geometry.width(cell.var.kind):
                    limits.append(z3.ULT(self.variable(cell), size))
        return z3.And(limits)


def _bits(kind: Kind, geometry: Geometry) -> int:
    match kind:
        case Sort():
            return geometry.width(kind)
        case Word():
            return kind.width
        case Truth():
            return 1


def _cell_constant(cell: Cell, geometry: Geometry) -> z3.ExprRef:
    match cell.var.kind:
        case Sort():
            return z3.BitVec(cell.name, geometry.width(cell.var.kind))
        case Word():
            return z3.BitVec(cell.name, cell.var.kind.width)
        case Truth():
            return z3.Bool(cell.name)


def cells_of(var: StateVar, geometry: Geometry) -> Iterator[Cell]:
    """The cells of one state variable, in index order."""
    for index in itertools.product(*(range(geometry.size(s)) for s in var.params)):
        yield Cell(var, index)


def ground(system: TransitionSystem, geometry: Geometry, *, fold: bool = True, check: Callable[[], None] = lambda: None) -> GroundSystem:
    """Ground `system` at `geometry`.

    Args:
        fold: replace cells that no action changes by their initial value. Without it every cell stays a variable.
        check: called before each instance of an action, of which there may be many; what it raises ends it.

    Raises:
        ModelError: the geometry lacks a sort, or a term uses what the system does not declare.
    """
    cells = [c for v in system.state for c in cells_of(v, geometry)]
    constants: dict[Cell, z3.ExprRef] = {}
    if fold:
        # What no action mentions is known beforehand; the loop below finds cells that only foreign roles would change.
        never = {v.name for v in system.state} - {u.var.name for a in system.actions for u in a.updates}
        plain = Grounder(system, geometry, {})
        for u in system.init:
            if u.var.name in never:
                constants |= {cell: value for cell, value in _instances(u, plain, geometry, {}) if is_value(value)}
    while True:
        grounder = Grounder(system, geometry, constants)
        init = {cell: value for u in system.init for cell, value in _instances(u, grounder, geometry, {})}
        actions = tuple(_ground_actions(system, geometry, grounder, check))
        changed = {cell for a in actions for cell in a.after}
        fixed = {c: v for c, v in init.items() if c not in changed and is_value(v)} if fold else {}
        if fixed.keys() <= constants.keys():
            break
        constants = {**constants, **fixed}
    return GroundSystem(
        system,
        geometry,
        tuple(c for c in cells if c not in constants),
        {c: v for c, v in init.items() if c not in constants},
        grounder(system.constraint),
        actions,
        constants,
    )


def _ground_actions(system: TransitionSystem, geometry: Geometry, grounder: Grounder, check: Callable[[], None]) -> Iterator[GroundAction]:
    for action in system.actions:
        for arguments, guard in _feasible(action, geometry, grounder, check):
            pairs = {p.const: value_term(p.kind, a) for p, a in zip(action.params, arguments, strict=True)}
            after = {}
            for update in action.updates:
                for cell, value in _instances(update, grounder, geometry, pairs):
                    if not value.eq(grounder.cell(cell)):
                        after[cell] = value
            yield GroundAction(action, arguments, guard, after)


def _feasible(
    action: Action, geometry: Geometry, grounder: Grounder, check: Callable[[], None]
) -> Iterator[tuple[tuple[int, ...], z3.BoolRef]]:
    """The tuples of argument values at which the guard does not fold to false, with the grounded guard.

    Each conjunct is grounded as soon as its parameters have values, so that a thread of another role is dropped at once and
    not once per value of every other parameter.
    """
    ids = [identity(p.const) for p in action.params]
    stages: list[list[z3.BoolRef]] = [[] for _ in range(len(ids) + 1)]
    for part in conjuncts(action.guard):
        mentioned = constants_in(part)
        stages[max((i + 1 for i, key in enumerate(ids) if key in mentioned), default=0)].append(part)
    todo: list[tuple[tuple[int, ...], tuple[z3.BoolRef, ...]]] = [((), ())]
    while todo:
        check()
        arguments, known = todo.pop()
        put = Substitution({p.const: value_term(p.kind, a) for p, a in zip(action.params, arguments, strict=False)})
        parts = [*known, *(grounder(put(part)) for part in stages[len(arguments)])]
        guard = conjunction(parts)
        if is_false(guard):
            continue
        if len(arguments) == len(ids):
            yield arguments, guard
        else:
            todo += [((*arguments, a), tuple(parts)) for a in reversed(range(geometry.size(action.params[len(arguments)].kind)))]


def conjuncts(term: z3.BoolRef) -> list[z3.BoolRef]:
    """The parts of a (nested) conjunction."""
    return [inner for part in term.children() for inner in conjuncts(part)] if z3.is_and(term) else [term]


def _instances(
    update: Update, grounder: Grounder, geometry: Geometry, pairs: Mapping[z3.ExprRef, z3.ExprRef]
) -> Iterator[tuple[Cell, z3.ExprRef]]:
    value = Substitution(pairs)(update.value)
    for cell in cells_of(update.var, geometry):
        at = {x: s.element(i) for x, s, i in zip(update.variables, update.var.params, cell.index, strict=True)}
        yield cell, grounder(Substitution(at)(value))


def value_term(kind: Kind, value: int | bool) -> z3.ExprRef:
    """A plain value as an ungrounded term of `kind`."""
    match kind:
        case Sort():
            return kind.element(int(value))
        case Word():
            return z3.BitVecVal(value, kind.width)
        case Truth():
            return z3.BoolVal(bool(value))


def is_value(term: z3.ExprRef) -> bool:
    """Whether a grounded term is a number or a truth value."""
    return is_true(term) or is_false(term) or _is_number(term)


def _is_number(term: z3.ExprRef) -> bool:
    return isinstance(term, z3.BitVecRef) and shape(term).operator == z3.Z3_OP_BNUM


class Grounder:
    """The rewrite itself, with a memory of the terms seen: equal subterms are grounded once."""

    def __init__(self, system: TransitionSystem, geometry: Geometry, constants: Mapping[Cell, z3.ExprRef]) -> None:
        self._vars = system.by_name
        self._rigids = system.rigid_by_name
        self._sorts = system.sort_by_name
        self._geometry = geometry
        self._constants = {(c.var.name, c.index): v for c, v in constants.items()}
        # The key is Z3's identity of a term, which is reused after a term dies: so the term is kept beside its image.
        self._seen: dict[int, tuple[z3.ExprRef, z3.ExprRef]] = {}
        self._cells: dict[tuple[str, tuple[int, ...]], z3.ExprRef] = {}

    def __call__(self, term: z3.ExprRef) -> z3.ExprRef:
        key = identity(term)
        if key not in self._seen:
            self._seen[key] = (term, self._rewrite(term))
        return self._seen[key][1]

    def cell(self, cell: Cell) -> z3.ExprRef:
        """The grounded term of a cell: a variable, or its value where it is known to stay."""
        key = (cell.var.name, cell.index)
        if key not in self._cells:
            kind = cell.var.kind
            if key in self._constants:
                self._cells[key] = self._constants[key]
            elif isinstance(kind, Sort) and self._geometry.size(kind) == 1:
                self._cells[key] = z3.BitVecVal(0, 1)
            else:
                self._cells[key] = _cell_constant(cell, self._geometry)
        return self._cells[key]

    def _rewrite(self, term: z3.ExprRef) -> z3.ExprRef:
        if z3.is_quantifier(term):
            return self._expand(term)
        if not z3.is_app(term):
            raise ModelError(f"cannot ground {term}: a bound variable outside its quantifier")
        decl = term.decl()
        if decl.kind() == z3.Z3_OP_UNINTERPRETED:
            return self._apply(term, decl.name())
        return fold(term, [self(child) for child in children(term)])

    def _expand(self, term: z3.QuantifierRef) -> z3.ExprRef:
        if term.is_lambda():
            raise ModelError(f"cannot ground the lambda {term}")
        sorts = [self._sort(term.var_sort(i)) for i in range(term.num_vars())]
        parts = []
        for values in itertools.product(*(range(self._geometry.size(s)) for s in sorts)):
            elements = [value_term(s, v) for s, v in zip(sorts, values, strict=True)]
            part = self(z3.substitute_vars(term.body(), *reversed(elements)))
            if is_false(part) if term.is_forall() else is_true(part):
                return part
            parts.append(part)
        return conjunction(parts) if term.is_forall() else disjunction(parts)

    def _sort(self, sort: z3.SortRef) -> Kind:
        if isinstance(sort, z3.BoolSortRef):
            return Truth()
        if sort.name() not in self._sorts:
            raise ModelError(f"a quantifier ranges over {sort}, which the system does not declare")
        return self._sorts[sort.name()]

    def _apply(self, term: z3.ExprRef, name: str) -> z3.ExprRef:
        index = element_index(term)
        if index is not None:
            sort = self._sorts.get(term.sort().name())
            if sort is None or index >= self._geometry.size(sort):
                raise ModelError(f"{name} is outside the geometry ({self._geometry})")
            return z3.BitVecVal(index, self._geometry.width(sort))
        arguments = [self(child) for child in children(term)]
        if name in self._vars:
            var = self._vars[name]
            return self._select(arguments, var.params, lambda at: self.cell(Cell(var, at)))
        if name in self._rigids:
            return self._rigid(self._rigids[name], arguments)
        raise ModelError(f"{name} is neither a state variable, a rigid function nor a parameter here")

    def _rigid(self, rigid: Rigid, arguments: Sequence[z3.ExprRef]) -> z3.ExprRef:
        if rigid.term is not None:
            return z3.simplify(rigid.term(self._geometry, *arguments))
        return self._select(arguments, rigid.params, lambda at: self._value(rigid.kind, rigid.meaning(self._geometry, at)))

    def _value(self, kind: Kind, value: int | bool) -> z3.ExprRef:
        return z3.BitVecVal(value, self._geometry.width(kind)) if isinstance(kind, Sort) else value_term(kind, value)

    def _select(
        self,
        arguments: Sequence[z3.ExprRef],
        kinds: Sequence[Kind],
        at: Callable[[tuple[int, ...]], z3.ExprRef],
        done: tuple[int, ...] = (),
    ) -> z3.ExprRef:
        """A function applied to grounded arguments: the cell itself, or a choice over the values of an unknown index."""
        if not arguments:
            return at(done)
        first, rest, size = arguments[0], arguments[1:], self._geometry.size(kinds[0])
        if isinstance(kinds[0], Truth):
            if is_value(first):
                return self._select(rest, kinds[1:], at, (*done, int(is_true(first))))
            return choose(first, self._select(rest, kinds[1:], at, (*done, 1)), self._select(rest, kinds[1:], at, (*done, 0)))
        if z3.is_bv_value(first):
            return self._select(rest, kinds[1:], at, (*done, min(first.as_long(), size - 1)))
        result = self._select(rest, kinds[1:], at, (*done, size - 1))
        for i in reversed(range(size - 1)):
            result = choose(same(first, z3.BitVecVal(i, first.size())), self._select(rest, kinds[1:], at, (*done, i)), result)
        return result


def conjunction(parts: Sequence[z3.BoolRef]) -> z3.BoolRef:
    """`And`, with the constants folded."""
    kept: dict[int, z3.BoolRef] = {}
    for part in parts:
        if is_false(part):
            return part
        if not is_true(part):
            kept[identity(part)] = part
    values = list(kept.values())
    return z3.BoolVal(True) if not values else values[0] if len(values) == 1 else all_of(values)


def disjunction(parts: Sequence[z3.BoolRef]) -> z3.BoolRef:
    """`Or`, with the constants folded."""
    kept: dict[int, z3.BoolRef] = {}
    for part in parts:
        if is_true(part):
            return part
        if not is_false(part):
            kept[identity(part)] = part
    values = list(kept.values())
    return z3.BoolVal(False) if not values else values[0] if len(values) == 1 else any_of(values)


def negation(part: z3.BoolRef) -> z3.BoolRef:
    """`Not`, with the constants folded."""
    if is_true(part) or is_false(part):
        return z3.BoolVal(is_false(part))
    seen = shape(part)
    return seen.children[0] if seen.operator == z3.Z3_OP_NOT else opposite(part)


def choose(condition: z3.BoolRef, then: z3.ExprRef, otherwise: z3.ExprRef) -> z3.ExprRef:
    """`If`, with the constants folded."""
    if is_true(condition) or identity(then) == identity(otherwise):
        return then
    if is_false(condition):
        return otherwise
    if is_true(then) and is_false(otherwise):
        return condition
    if is_false(then) and is_true(otherwise):
        return negation(condition)
    return either(condition, then, otherwise)


def fold(term: z3.ExprRef, parts: Sequence[z3.ExprRef]) -> z3.ExprRef:
    """Rebuild an interpreted application over new parts, folding constants on the way."""
    match shape(term).operator:
        case z3.Z3_OP_AND:
            return conjunction(parts)
        case z3.Z3_OP_OR:
            return disjunction(parts)
        case z3.Z3_OP_NOT:
            return negation(parts[0])
        case z3.Z3_OP_IMPLIES:
            return disjunction([negation(parts[0]), parts[1]])
        case z3.Z3_OP_ITE:
            return choose(*parts)
        case z3.Z3_OP_EQ:
            return _equal(*parts)
        case z3.Z3_OP_DISTINCT:
            return conjunction([negation(_equal(a, b)) for a, b in itertools.combinations(parts, 2)])
        case _:
            if not parts:
                return term
            rebuilt = with_children(term, parts)
            return z3.simplify(rebuilt) if all(map(is_value, parts)) else rebuilt


def _equal(left: z3.ExprRef, right: z3.ExprRef) -> z3.BoolRef:
    if identity(left) == identity(right):
        return z3.BoolVal(True)
    if (is_value(left) and is_value(right)) or (element_index(left) is not None and element_index(right) is not None):
        return z3.BoolVal(False)  # hash-consed: equal values of one sort are one term
    for one, other in ((left, right), (right, left)):
        if is_true(one):
            return other
        if is_false(one):
            return negation(other)
    if _is_number(left):
        left, right = right, left
    if _is_number(right) and shape(left).operator == z3.Z3_OP_ITE:
        condition, then, otherwise = shape(left).children
        if is_value(then) or is_value(otherwise):
            # A choice among values compared with a value: decide it branch by branch, so that infeasible steps fold to false.
            return choose(condition, _equal(then, right), _equal(otherwise, right))
    return same(left, right)


def cone(grounded: GroundSystem, terms: Sequence[z3.ExprRef]) -> GroundSystem:
    """The part of the system that can influence `terms`: other cells, and the actions that change only them, are dropped.

    Dropping is exact for the terms: a dropped action changes nothing that a kept guard, a kept update or a term reads.
    """
    reads = grounded.reads
    wanted: set[Cell] = set().union(*(reads(t) for t in (*terms, grounded.constraint)))
    for cell, value in grounded.init.items():
        if reads(value):
            wanted |= {cell} | reads(value)
    kept: set[int] = set()
    while True:
        before = len(wanted), len(kept)
        for number, action in enumerate(grounded.actions):
            touched = wanted & action.after.keys()
            if touched:
                kept.add(number)
                wanted |= reads(action.guard)
                for cell in touched:
                    wanted |= reads(action.after[cell])
        if before == (len(wanted), len(kept)):
            break
    return GroundSystem(
        grounded.system,
        grounded.geometry,
        tuple(c for c in grounded.cells if c in wanted),
        {c: v for c, v in grounded.init.items() if c in wanted},
        grounded.constraint,
        tuple(
            GroundAction(a.action, a.arguments, a.guard, {c: v for c, v in a.after.items() if c in wanted})
            for i, a in enumerate(grounded.actions)
            if i in kept
        ),
        grounded.constants,
    )


class _Reads:
    """Which cells a grounded term reads."""

    def __init__(self, variables: Mapping[Cell, z3.ExprRef]) -> None:
        # Z3 gives the identity of a term that died to the next one: the variables are kept, whether a term mentions them or not.
        self._kept = variables
        self._cells = {identity(term): cell for cell, term in variables.items()}
        self._seen: dict[int, tuple[z3.ExprRef, frozenset[Cell]]] = {}

    def __call__(self, term: z3.ExprRef) -> frozenset[Cell]:
        key = identity(term)
        if key not in self._seen:
            own = frozenset({self._cells[key]}) if key in self._cells else frozenset[Cell]()
            found = own.union(*(self(child) for child in children(term)))
            self._seen[key] = (term, found)
        return self._seen[key][1]


def bad(grounded: GroundSystem, prop: Property) -> z3.BoolRef:
    """The grounded states in which `prop` does not hold."""
    return negation(grounded.formula(prop.holds))
