"""A system and its argument with every inner quantifier named, so that a proof is a list of instances of clauses without quantifiers.

`there is an x so that F(x, y)` becomes an atom `some 3(y)` with two clauses: it has a witness, and whatever satisfies F is one. What is
left is a set of universal clauses. If something follows from those, it follows from finitely many instances (Herbrand), and these any
solver can check without knowing how they were found.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import z3

from ...core.errors import ModelError
from ...core.rewrite import conjuncts
from ...core.shape import applied, identity, shape, subterms
from ...core.sorts import BOOL, Rigid, Sort, StateVar, element_index
from ...core.substitution import substituted
from ...core.system import Action, Lemma, Property, TransitionSystem, Update, substitute_updates
from .induction import axioms, initial_condition, symbols
from .proof_obligations import Part, part_of, parts_of

HAS, IS = "+", "-"
"""The two clauses of a named quantifier: it has a witness, and whatever satisfies its body is one."""

AFTER = "'"
"""What marks a named quantifier as it reads after an action."""


@dataclass(frozen=True)
class Clause:
    """What holds for all values of some variables, without a quantifier inside.

    Args:
        triggers: sets of terms of which E-matching must have met one, to make an instance; empty where it may choose.
    """

    name: str
    variables: tuple[z3.ExprRef, ...]
    body: z3.BoolRef
    triggers: tuple[tuple[z3.ExprRef, ...], ...] = ()

    def at(self, arguments: Sequence[z3.ExprRef]) -> z3.BoolRef:
        """The instance at `arguments`."""
        return substituted(self.body, self.variables, arguments)

    @cached_property
    def closed(self) -> z3.BoolRef:
        """The clause as a closed term that bears its name."""
        if not self.variables:
            return self.body
        patterns = [z3.MultiPattern(*terms) for terms in self.triggers]
        return z3.ForAll(list(self.variables), self.body, qid=self.name, patterns=patterns)


@dataclass(frozen=True)
class Resolved:
    """A clause without those variables that an equation in it determines: Z3 drops these, too, and then names no value for them.

    Args:
        clause: what is left, under the same name.
        whole: the clause itself.
        values: what each of its variables is, said of those that are left.
    """

    clause: Clause
    whole: Clause
    values: tuple[z3.ExprRef, ...]

    def arguments(self, given: Mapping[str, z3.ExprRef]) -> tuple[z3.ExprRef, ...]:
        """What stands for each variable of the whole clause, if `given` stands for those that are left.

        Raises:
            KeyError: one of these is missing.
        """
        chosen = [given[applied(x)] for x in self.clause.variables]
        return tuple(substituted(value, self.clause.variables, chosen) for value in self.values)


def resolve(clause: Clause) -> Resolved:
    """A clause, and what is left of it."""
    variables, body, values, triggers = list(clause.variables), clause.body, list(clause.variables), clause.triggers
    while (found := _determined(variables, body)) is not None:
        variable, value, rest = found
        variables = [x for x in variables if not x.eq(variable)]
        body = z3.substitute(z3.Or(rest), (variable, value))
        replaced = [tuple(z3.substitute(term, (variable, value)) for term in terms) for terms in triggers]
        triggers = tuple(terms for terms in replaced if all(map(_can_trigger, terms)))
        values = [z3.substitute(x, (variable, value)) for x in values]
    left = clause if len(variables) == len(clause.variables) else Clause(clause.name, tuple(variables), body, triggers)
    return Resolved(left, clause, tuple(values))


def _determined(variables: Sequence[z3.ExprRef], body: z3.BoolRef) -> tuple[z3.ExprRef, z3.ExprRef, list[z3.BoolRef]] | None:
    """A variable that is not free to choose where `body` says something, its value, and the rest of `body`."""
    disjuncts = _disjuncts(body)
    for number, disjunct in enumerate(disjuncts):
        if not z3.is_not(disjunct) or not z3.is_eq(disjunct.arg(0)):
            continue
        one, other = disjunct.arg(0).children()
        for x, value in ((one, other), (other, one)):
            if any(x.eq(v) for v in variables) and not any(node.eq(x) for node in subterms(value)):
                return x, value, [d for n, d in enumerate(disjuncts) if n != number]
    return None


def _disjuncts(term: z3.BoolRef) -> list[z3.BoolRef]:
    if z3.is_or(term):
        return [x for child in term.children() for x in _disjuncts(child)]
    if z3.is_implies(term):
        return [*_disjuncts(z3.Not(term.arg(0))), *_disjuncts(term.arg(1))]
    if z3.is_not(term):
        inner = term.arg(0)
        if z3.is_and(inner):
            return [x for child in inner.children() for x in _disjuncts(z3.Not(child))]
        if z3.is_not(inner):
            return _disjuncts(inner.arg(0))
    return [term]


@dataclass(frozen=True)
class Existential:
    """A quantified subterm with a name: for `variables` there are `bound` so that `body`, which may speak of earlier ones."""

    name: str
    variables: tuple[z3.ExprRef, ...]
    bound: tuple[z3.ExprRef, ...]
    body: z3.BoolRef

    @cached_property
    def var(self) -> StateVar:
        """The atom, as if it were state: it changes when what it speaks of does."""
        return StateVar(self.name, tuple(Sort(x.sort().name()) for x in self.variables), BOOL)

    def atom(self, mark: str = "") -> z3.BoolRef:
        """What stands for it, in the state before (no `mark`) or after an action."""
        return _applied(self.name + mark, self.variables, z3.BoolSort())

    def witnesses(self, mark: str = "") -> tuple[z3.ExprRef, ...]:
        """The functions that choose a witness, applied to the variables."""
        return tuple(_applied(f"{self.name}{mark}:{n}", self.variables, b.sort()) for n, b in enumerate(self.bound))

    def witnesses_at(self, arguments: Sequence[z3.ExprRef]) -> list[z3.ExprRef]:
        """The witnesses for `arguments`, in the state before an action."""
        return [substituted(w, self.variables, arguments) for w in self._before]

    @cached_property
    def _before(self) -> tuple[z3.ExprRef, ...]:
        return self.witnesses()

    @cached_property
    def symbols(self) -> frozenset[str]:
        """The names of its atom and witnesses, before and after an action."""
        return frozenset(x.decl().name() for mark in ("", AFTER) for x in (self.atom(mark), *self.witnesses(mark)))

    def clauses(self, body: z3.BoolRef, mark: str = "") -> tuple[Clause, Clause]:
        """Its two clauses for a `body` that reads like its own, in the state before (no `mark`) or after an action."""
        atom = self.atom(mark)
        chosen = zip(self.bound, self.witnesses(mark), strict=True)
        own = (atom,) if self.variables else ()
        has = Clause(f"{self.name}{mark} {HAS}", self.variables, z3.Or(z3.Not(atom), z3.substitute(body, *chosen)), own and (own,))
        # Nobody needs to know of a witness for what is not asked.
        triggers = tuple((*own, *terms) for terms in _covers(body, self.bound))
        is_one = Clause(f"{self.name}{mark} {IS}", (*self.variables, *self.bound), z3.Or(z3.Not(body), atom), triggers)
        return has, is_one


def _can_trigger(term: z3.ExprRef) -> bool:
    return all(shape(node).operator == z3.Z3_OP_UNINTERPRETED for node in subterms(term))


def _covers(body: z3.BoolRef, bound: Sequence[z3.ExprRef]) -> Iterator[tuple[z3.ExprRef, ...]]:
    """The sets of applications in `body` that together speak of all that is bound, none of them without need."""
    of: dict[int, list[z3.ExprRef]] = {identity(x): [] for x in bound}
    for node in subterms(body):
        if shape(node).children and _can_trigger(node):
            for child in shape(node).children:
                if identity(child) in of:
                    of[identity(child)].append(node)
    seen: set[frozenset[int]] = set()
    for terms in itertools.product(*of.values()):
        distinct = {identity(term): term for term in terms}
        if frozenset(distinct) not in seen:
            seen.add(frozenset(distinct))
            yield tuple(distinct.values())


def _applied(name: str, arguments: Sequence[z3.ExprRef], sort: z3.SortRef) -> z3.ExprRef:
    return z3.Function(name, *(x.sort() for x in arguments), sort)(*arguments) if arguments else z3.Const(name, sort)


class _Naming:
    """Replaces quantified subterms by atoms, equal ones by the same."""

    def __init__(self, functions: Iterable[str]) -> None:
        self._functions = frozenset(functions)
        self.found: list[Existential] = []
        self._known: dict[str, Existential] = {}
        self._seen: dict[int, tuple[z3.ExprRef, z3.ExprRef]] = {}

    def __call__(self, term: z3.ExprRef) -> z3.ExprRef:
        key = identity(term)
        if key not in self._seen:
            self._seen[key] = term, self._named(term)
        return self._seen[key][1]

    def _named(self, term: z3.ExprRef) -> z3.ExprRef:
        if z3.is_quantifier(term):
            return self._quantifier(term)
        seen = shape(term)
        if not seen.children:
            return term
        children = [self(child) for child in seen.children]
        if all(identity(child) == key for child, key in zip(children, seen.keys, strict=True)):
            return term
        if seen.operator == z3.Z3_OP_AND:
            return z3.And(children)
        return z3.Or(children) if seen.operator == z3.Z3_OP_OR else term.decl()(*children)

    def _quantifier(self, term: z3.QuantifierRef) -> z3.BoolRef:
        opened = [z3.FreshConst(term.var_sort(n), "bound") for n in range(term.num_vars())]
        body = self(z3.substitute_vars(term.body(), *reversed(opened)))
        free = self._free(body, opened)
        variables = [z3.Const(f"of.{n}", x.sort()) for n, x in enumerate(free)]
        bound = [z3.Const(f"it.{n}", x.sort()) for n, x in enumerate(opened)]
        body = z3.substitute(body, *zip([*free, *opened], [*variables, *bound], strict=True))
        if term.is_forall():
            body = body.arg(0) if z3.is_not(body) else z3.Not(body)
        # Named by what it says: a recorded proof is to find it again in a theory that has more or fewer of them.
        said = f"{[x.sort().name() for x in variables]} {[x.sort().name() for x in bound]} {body.sexpr()}"
        name = f"some {hashlib.sha256(said.encode()).hexdigest()[:8]}"
        if name not in self._known:
            self._known[name] = Existential(name, tuple(variables), tuple(bound), body)
            self.found.append(self._known[name])
        elif not self._known[name].body.eq(body):
            raise ModelError(f"two quantifiers have the name {name!r}")
        atom = _applied(name, free, z3.BoolSort())
        return z3.Not(atom) if term.is_forall() else atom

    def _free(self, body: z3.BoolRef, opened: Sequence[z3.ExprRef]) -> list[z3.ExprRef]:
        """The variables and parameters of which `body` speaks besides those that are bound here."""
        own = {identity(x) for x in opened}
        found = []  # in the order of the walk, which is the same for terms that differ in their variables alone
        for node in subterms(body):
            is_constant = shape(node).operator == z3.Z3_OP_UNINTERPRETED and not shape(node).children
            if is_constant and identity(node) not in own and element_index(node) is None and node.decl().name() not in self._functions:
                found.append(node)
        return found


@dataclass(frozen=True)
class Following:
    """An action, and what the named quantifiers say after it.

    Args:
        action: with the atoms that may change among its updates: after it, they bear a prime.
        clauses: what these atoms mean, said of the state before.
    """

    action: Action
    clauses: Mapping[str, Clause]


class Theory:
    """What is known (axioms, the parts of all lemmas, what named quantifiers mean), and the actions that have to keep it.

    Args:
        lemmas: the argument; the properties are part of what is kept.
        without: names of parts that are left out.
    """

    def __init__(
        self, system: TransitionSystem, properties: Sequence[Property], lemmas: Sequence[Lemma], without: Collection[str] = ()
    ) -> None:
        self.system = system
        self.properties = tuple(properties)
        said = {(lemma.name, identity(lemma.holds)) for lemma in lemmas}
        own = (p.as_lemma for p in properties if (p.name, identity(p.holds)) not in said)
        self.lemmas = (*lemmas, *own)
        functions: tuple[StateVar | Rigid, ...] = (*system.state, *system.rigids)
        naming = _Naming(f.name for f in functions)
        # What the system says comes first, so that the names in it are the same whatever the argument is.
        known = [*axioms(system), *(w for rigid in system.rigids for w in rigid.witnesses)]
        self.axioms = tuple(self._universal(f"axiom {n}", term, naming) for n, term in enumerate(known, 1))
        start = (part for term in initial_condition(system) for part in conjuncts(term))
        self.initial = tuple(self._universal(f"init {n}", term, naming) for n, term in enumerate(start, 1))
        self.actions = {a.name: _named(a, naming) for a in system.actions}
        self.existentials_of_system = len(naming.found)
        parts = [part for lemma in self.lemmas for part in self._parts(lemma, naming)]
        self.parts = tuple(part for part in parts if part.name not in without)
        self.existentials = tuple(naming.found)
        self._by_name = {s.name: s for s in self.existentials}
        self._reach: dict[str, frozenset[str]] = {}
        self.parts = tuple(replace(part, mentions=self.reached(part.mentions)) for part in self.parts)

    @staticmethod
    def _parts(lemma: Lemma, naming: _Naming) -> Iterator[Part]:
        for part in parts_of(lemma):
            yield part_of(lemma.name, part.variables, naming(part.body), part.name)

    @staticmethod
    def _universal(name: str, term: z3.BoolRef, naming: _Naming) -> Clause:
        variables: list[z3.ExprRef] = []
        while z3.is_quantifier(term) and term.is_forall():
            new = [z3.Const(f"x{len(variables) + n}", term.var_sort(n)) for n in range(term.num_vars())]
            term = z3.substitute_vars(term.body(), *reversed(new))
            variables += new
        return Clause(name, tuple(variables), naming(term))

    def reached(self, names: Iterable[str]) -> frozenset[str]:
        """The functions of which `names` speak, named quantifiers looked into."""
        found: set[str] = set()
        for name in names:
            found.add(name)
            if name in self._by_name:
                if name not in self._reach:
                    self._reach[name] = self.reached(symbols(self._by_name[name].body))
                found |= self._reach[name]
        return frozenset(found)

    @cached_property
    def lasting(self) -> tuple[Clause, ...]:
        """What is known of any state: the axioms, and what named quantifiers mean."""
        return (*self.axioms, *(clause for named in self.existentials for clause in named.clauses(named.body)))

    @cached_property
    def clauses(self) -> dict[str, Clause]:
        """Everything that is known of a state, by name."""
        lemmas = (Clause(f"lemma {part.name}", part.variables, part.body) for part in self.parts)
        return {clause.name: clause for clause in (*self.lasting, *lemmas)}

    @cached_property
    def initially(self) -> dict[str, Clause]:
        """What is known of an initial state, by name."""
        return {clause.name: clause for clause in (*self.lasting, *self.initial)}

    @cached_property
    def enumerations(self) -> dict[str, Clause]:
        """By the name of an enumeration, the axiom that it has no elements but its own."""
        found = {}
        for sort in self.system.sorts:
            for clause in self.axioms if sort.elements else ():
                x = clause.variables[0] if len(clause.variables) == 1 else None
                if x is not None and x.sort() == sort.z3 and clause.body.eq(z3.Or([x == sort.element(e) for e in sort.elements])):
                    found[sort.name] = clause
        return found

    def following(self, action: Action) -> Following:
        """`action`, one of `actions`, with what the named quantifiers say after it."""
        changed = {u.var.name for u in action.updates}
        touched = [named for named in self.existentials if self.reached([named.name]) & changed]
        updates = list(action.updates)
        for named in touched:
            updates.append(Update(named.var, named.variables, named.atom(AFTER)))
        extended = replace(action, updates=tuple(updates))
        clauses = [clause for named in touched for clause in named.clauses(substitute_updates(named.body, updates), AFTER)]
        return Following(extended, {clause.name: clause for clause in clauses})

    def existential_of(self, atom: z3.ExprRef) -> Existential | None:
        """The named quantifier of which `atom`, with or without a prime, is an application."""
        return self._by_name.get(applied(atom).rstrip(AFTER))


def _named(action: Action, naming: _Naming) -> Action:
    """An action without quantifiers inside, and without updates that change nothing, since each clause would be asked about them."""
    changing = (u for u in action.updates if not u.value.eq(u.var(*u.variables)))
    updates = tuple(Update(u.var, u.variables, naming(u.value)) for u in changing)
    return replace(action, guard=naming(action.guard), updates=updates)


__all__ = ["HAS", "IS", "Clause", "Existential", "Following", "Resolved", "Theory", "resolve"]
