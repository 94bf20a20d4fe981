"""Asking many small questions under the same hypotheses, fast: by E-matching, with the terms that matter put before the solver.

An answer `unsat` is a proof whatever was instantiated. Everything else only means that this way found none. The instances that a proof
needs can be recorded; without quantifiers, they are a proof that any solver can check.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import z3

from ...core.shape import applied, identity, shape, sort_name, subterms
from ...core.sorts import Rigid, Sort, StateVar, element_index
from ...core.substitution import substituted
from ...core.system import Action
from .proof_obligations import Goal, Part
from .theory import HAS, IS, Clause, Existential, Resolved, Theory, resolve

EFFORT = 3_000_000
"""What Z3 may spend on one question, in its own units: about two seconds."""


_MOST_LIKELY = 600
_A_SECOND = EFFORT // 2
_AT_MOST = 5
"""How often longer than it should a question may take on a machine that does other things, too."""


@dataclass(frozen=True)
class Instance:
    """A clause, and what stands for its variables."""

    clause: Clause
    arguments: tuple[z3.ExprRef, ...]

    @cached_property
    def key(self) -> tuple[object, ...]:
        return (self.clause.name, *(identity(x) for x in self.arguments))

    @cached_property
    def term(self) -> z3.BoolRef:
        """What it says."""
        return self.clause.at(self.arguments)


@dataclass
class Step:
    """What is assumed of one step, and the terms that matter there.

    Args:
        known: what holds beside the clauses: the guard.
        clauses: what named quantifiers say after the step.
        acting: the parameters, and what the state holds for them.
    """

    known: tuple[z3.BoolRef, ...] = ()
    clauses: Mapping[str, Resolved] = field(default_factory=dict)
    acting: tuple[z3.ExprRef, ...] = ()


class Matcher:
    """The hypotheses: everything that a theory knows of a state.

    Args:
        clauses: the hypotheses, by name.
        recording: keep the instances that proofs need.
        seed: of Z3's choices. What it instantiates first depends on them, and on the numbers of terms that this process has made before.
    """

    def __init__(
        self, theory: Theory, clauses: Mapping[str, Clause], *, recording: bool = False, effort: int = EFFORT, seed: int = 0
    ) -> None:
        self._theory = theory
        self._given = clauses
        self.seed = seed
        self._valued = _valued(theory)
        self._clauses = {name: resolve(clause) for name, clause in clauses.items()}
        self._clauses |= {name: resolve(clause) for name, (clause, _) in self._valued.items()}
        self._recording = recording
        self._effort = effort
        self._solver = self._fresh()
        self._heard = _Heard(self._solver) if recording else None
        # With a literal before each, Z3 says which of them a proof has used.
        self._literals = {name: z3.Bool(f"use {name}") for name in self._clauses} if recording else {}
        for name, clause in self._clauses.items():
            closed = clause.clause.closed
            self._solver.add(z3.Implies(self._literals[name], closed) if recording else closed)
        functions: tuple[StateVar | Rigid, ...] = (*theory.system.state, *theory.system.rigids)
        self._seeded = [
            v
            for v in functions
            if 0 < len(v.params) <= 2 and all(isinstance(k, Sort) and not k.elements for k in v.params) and "." not in v.name
        ]
        self._constants = list({identity(x): x for part in theory.parts for x in part.variables}.values())
        self._siblings: dict[str, list[Part]] = {}
        for part in theory.parts:
            self._siblings.setdefault(part.lemma, []).append(part)
        self._met: dict[tuple[object, ...], z3.BoolRef] = {}
        self.reason = ""
        self.queries = 0

    def _fresh(self) -> z3.Solver:
        solver = z3.SimpleSolver()
        solver.set("mbqi", False)
        solver.set("auto_config", False)
        solver.set("rlimit", self._effort)
        solver.set("random_seed", self.seed)
        return solver

    @cached_property
    def otherwise(self) -> Matcher:
        """The same, making other choices: what one gives up, another may find."""
        return Matcher(self._theory, self._given, recording=self._recording, effort=self._effort, seed=self.seed + 1)

    def step(self, action: Action, clauses: Mapping[str, Clause]) -> Step:
        """That `action` may fire, with what named quantifiers say after it."""
        mine = [p.const for p in action.params]
        return Step((action.guard,), {name: resolve(clause) for name, clause in clauses.items()}, (*mine, *self._held(mine)))

    def _held(self, constants: Sequence[z3.ExprRef]) -> list[z3.ExprRef]:
        """What the state holds for each of some constants."""
        state = self._theory.system.state
        return [v(x) for v in state for x in constants if len(v.params) == 1 and v.params[0].z3 == x.sort() and _is_plain(v)]

    def proves(self, step: Step, goals: Sequence[Goal], *, closely: bool = False) -> list[Instance] | None:
        """The instances from which all of `goals` follow (none if nothing is recorded), or None if no proof was found.

        Args:
            closely: look at what the step and the goals speak of and hold, and at witnesses there, but at no other constants.
        """
        denied = [z3.And(*goal.assumed, z3.Not(goal.holds)) for goal in goals]
        own = list({identity(x): x for goal in goals for x in goal.constants}.values())
        near, further = self._constants, list[z3.ExprRef]()
        if closely:
            # What an existential says after the step may speak of locals that no trigger leads to: the range that a call is given.
            spoken = self._spoken([*step.known, *denied], step.clauses.values())
            near, further = [*own, *self._held(own), *spoken, *self._witnesses(denied)], self._chosen(spoken)
        seeds = self._seed([*step.acting, *near], further)
        likely = [*self._likely(step, denied, near if closely else self._constants), *self._themselves(goals)]
        said = [*step.known, *(c.clause.closed for c in step.clauses.values()), *seeds, *(i.term for i in likely), z3.Or(denied)]
        self.queries += 1
        self._solver.push()
        try:
            self._solver.add(*said)
            if self._heard is not None:
                self._heard.clear()
            answer = self._solver.check(*self._literals.values())
            self.reason = "" if answer == z3.unsat else self._solver.reason_unknown()
            if answer != z3.unsat:
                return None
            if self._heard is None:
                return []
            used = {str(literal.decl().name())[len("use ") :] for literal in self._solver.unsat_core()}
            instances = self._made(self._heard, {**{name: self._clauses[name] for name in used}, **step.clauses})
        finally:
            self._solver.pop()
        found = enough([*step.known, z3.Or(denied)], [*likely, *instances])
        if found is None:
            self.reason = "its instances could not be recorded"
            return None
        return [self._plain(i) for i in found]

    @staticmethod
    def _made(heard: _Heard, clauses: Mapping[str, Resolved]) -> list[Instance]:
        """The instances that Z3 made of `clauses`."""
        instances = [Instance(c.whole, c.values) for c in clauses.values() if not c.clause.variables]
        for name, values in heard.instances(clauses):
            if all(applied(x) in values for x in clauses[name].clause.variables):
                instances.append(Instance(clauses[name].whole, clauses[name].arguments(values)))
        return instances

    def _plain(self, instance: Instance) -> Instance:
        """The instance, of a clause that a theory has."""
        if instance.clause.name not in self._valued:
            return instance
        clause, axiom = self._valued[instance.clause.name]
        value = substituted(clause.body.arg(0).arg(0), clause.variables, instance.arguments)
        return Instance(axiom, (value,))

    def settles(self, step: Step, goal: Goal, seconds: float) -> tuple[z3.CheckSatResult, list[Instance] | None]:
        """Ask one goal by model-based instantiation, which also finds counterexamples, and is slower.

        Args:
            seconds: how long, on an idle machine of today: it is counted in Z3's own units, so that a busy one gives the same answers.

        Returns:
            The answer, and the instances that prove it if they are recorded and suffice.
        """
        denied = z3.And(*goal.assumed, z3.Not(goal.holds))
        likely = [*self._likely(step, [denied], self._constants), *self._themselves([goal])]
        clauses = {**self._clauses, **step.clauses}
        said = [*(c.clause.closed for c in clauses.values()), *step.known, denied, *(i.term for i in likely)]
        answer, heard = z3.unknown, None
        for n, part in enumerate(_parts(seconds)):
            solver = z3.SimpleSolver()
            solver.set("mbqi", True)
            solver.set("random_seed", self.seed + n)
            solver.set("rlimit", int(part * _A_SECOND))
            solver.set("timeout", int(part * _AT_MOST * 1000))
            heard = _Heard(solver) if self._recording else None
            solver.add(*said)
            self.queries += 1
            answer = solver.check()
            self.reason = "" if answer != z3.unknown else solver.reason_unknown()
            if answer != z3.unknown:
                break
        if heard is None or answer != z3.unsat:
            return answer, None
        # Elements of a candidate model have no name outside of it.
        made = [i for i in self._made(heard, clauses) if all(self._is_known(x, step) for x in i.arguments)]
        found = enough([*step.known, denied], [*likely, *made])
        return answer, None if found is None else [self._plain(i) for i in found]

    def _is_known(self, term: z3.ExprRef, step: Step) -> bool:
        """Whether a term speaks of nothing but the theory's constants and those of a step."""
        mine = {x.decl().name() for x in step.acting}
        constants = (n for n in subterms(term) if shape(n).operator == z3.Z3_OP_UNINTERPRETED and not shape(n).children)
        return all(element_index(n) is not None or (name := n.decl().name()) in self._names or name in mine for n in constants)

    @cached_property
    def _names(self) -> frozenset[str]:
        """What a theory has names for, besides the parameters of its actions and the elements of its sorts."""
        system = self._theory.system
        own = {x.decl().name() for x in self._constants} | {v.name for v in system.state} | {r.name for r in system.rigids}
        return frozenset(own).union(*(named.symbols for named in self._theory.existentials))

    def _themselves(self, goals: Sequence[Goal]) -> list[Instance]:
        """The parts of the same lemma as they read before the step; no trigger may lead there."""
        found: dict[tuple[object, ...], Instance] = {}
        for goal in goals:
            given = {applied(x): value for x, value in zip(goal.part.variables, goal.constants, strict=True)}
            for part in self._siblings[goal.part.lemma]:
                name = f"lemma {part.name}"
                if name in self._clauses and all(applied(x) in given for x in part.variables):
                    instance = Instance(self._clauses[name].whole, tuple(given[applied(x)] for x in part.variables))
                    found[instance.key] = instance
        return list(found.values())

    def _spoken(self, terms: Sequence[z3.BoolRef], clauses: Collection[Resolved]) -> list[z3.ExprRef]:
        """The elements of index sorts that some terms and clauses speak of."""
        index_sorts = {sort.name for sort in self._theory.system.sorts if not sort.elements}
        bound = {identity(x) for c in clauses for x in c.clause.variables}
        said = [*terms, *(c.clause.body for c in clauses)]
        found = {identity(node): node for term in said for node in subterms(term) if sort_name(node) in index_sorts}
        return [x for x in found.values() if all(_is_free(n, bound) for n in subterms(x))]

    def _witnesses(self, terms: Sequence[z3.BoolRef]) -> list[z3.ExprRef]:
        """What there is, if the named quantifiers in some terms hold of what they are applied to."""
        seen: set[int] = set()
        atoms = [found for term in terms for found in self._atoms(term, seen)]
        return [w for atom, named in atoms for w in named.witnesses_at(shape(atom).children)]

    def _likely(self, step: Step, denied: Sequence[z3.BoolRef], near: Sequence[z3.ExprRef]) -> list[Instance]:
        """For each named quantifier in what is to be refuted, and in what is said of it, what it says of the terms that matter."""
        by_sort = _by_sort([*step.acting, *near])
        found: dict[tuple[object, ...], Instance] = {}
        seen: set[int] = set()
        todo = list(denied)
        for axiom in self._theory.axioms:
            # That there is something for every element: no trigger leads there.
            if self._theory.existential_of(axiom.body) is not None:
                for values in itertools.product(*(by_sort.get(sort_name(x), ()) for x in axiom.variables)):
                    instance = Instance(axiom, values)
                    found[instance.key] = instance
                    todo.append(instance.term)
        while todo and len(found) < _MOST_LIKELY:
            for atom, named in self._atoms(todo.pop(), seen):
                arguments = shape(atom).children
                before = named.witnesses_at(arguments)
                choices = ([*by_sort.get(sort_name(w), ()), w] for w in before)
                made = [self._instance(step, f"{applied(atom)} {IS}", (*arguments, *v)) for v in itertools.product(*choices)]
                made += [self._instance(step, f"{name} {HAS}", arguments) for name in {named.name, applied(atom)}]
                for instance in made:
                    if instance.key not in found:
                        found[instance.key] = instance
                        todo.append(instance.term)
        return list(found.values())

    def _instance(self, step: Step, name: str, values: Sequence[z3.ExprRef]) -> Instance:
        return Instance((step.clauses.get(name) or self._clauses[name]).whole, tuple(values))

    def _atoms(self, term: z3.BoolRef, seen: set[int]) -> list[tuple[z3.ExprRef, Existential]]:
        """The applications of named quantifiers in a term that were not `seen` before."""
        found = []
        for node in subterms(term):
            if shape(node).operator == z3.Z3_OP_UNINTERPRETED and identity(node) not in seen:
                named = self._theory.existential_of(node)
                if named is not None:
                    seen.add(identity(node))
                    found.append((node, named))
        return found

    def _chosen(self, terms: Sequence[z3.ExprRef]) -> list[z3.ExprRef]:
        """The witnesses of all named quantifiers that speak of one thing, if that is one of some terms."""
        single = [named for named in self._theory.existentials if len(named.variables) == 1]
        return [w for x in terms for named in single if named.variables[0].sort() == x.sort() for w in named.witnesses_at([x])]

    def _seed(self, constants: Sequence[z3.ExprRef], further: Sequence[z3.ExprRef] = ()) -> list[z3.BoolRef]:
        """Terms that matter: each function of the constants, and those with one argument of further terms, too."""
        pairs, single = _by_sort(constants), _by_sort([*constants, *further])
        found: list[z3.BoolRef] = []
        for var in self._seeded:
            by_sort = single if len(var.params) == 1 else pairs
            for combination in itertools.product(*(by_sort.get(k.name, ()) for k in var.params if isinstance(k, Sort))):
                key = var.name, *map(identity, combination)
                if key not in self._met:  # and so what is kept there keeps the combination
                    term = var(*combination)
                    # Whatever it is: the solver has met the term.
                    self._met[key] = z3.Function(f"met {term.sort()}", term.sort(), z3.BoolSort())(term)
                found.append(self._met[key])
        return found


def _parts(seconds: float) -> Iterator[float]:
    """Model-based instantiation ends within a second or two or hardly ever, as its first choices are: other ones get their part."""
    left, parts = seconds, (2.0 ** (n // 2) for n in itertools.count())
    while left > 0:
        part = min(left, next(parts))
        yield part
        left -= part


def _is_free(node: z3.ExprRef, bound: Container[int]) -> bool:
    return shape(node).operator == z3.Z3_OP_UNINTERPRETED and identity(node) not in bound


def _is_plain(var: StateVar) -> bool:
    return isinstance(var.kind, Sort) and not var.kind.elements and "." not in var.name


def _by_sort(constants: Iterable[z3.ExprRef]) -> dict[str, list[z3.ExprRef]]:
    found: dict[str, list[z3.ExprRef]] = {}
    for x in constants:
        found.setdefault(sort_name(x), []).append(x)
    return found


def _valued(theory: Theory) -> dict[str, tuple[Clause, Clause]]:
    """That a function into an enumeration has one of its elements as value: the axiom of the enumeration as E-matching finds it."""
    found = {}
    functions: tuple[StateVar | Rigid, ...] = (*theory.system.state, *theory.system.rigids)
    for var in functions:
        if isinstance(var.kind, Sort) and len(var.kind.elements) > 1 and var.params:
            xs = tuple(k.const(f"x{n}") for n, k in enumerate(var.params))
            clause = Clause(f"values of {var.name}", xs, z3.Or([var(*xs) == var.kind.element(e) for e in var.kind.elements]))
            found[clause.name] = clause, theory.enumerations[var.kind.name]
    return found


class _Heard:
    """What a solver says of the instances that it makes.

    `z3.OnClause` tells the same, but makes an object of everything that it tells, which takes longer than solving.
    """

    def __init__(self, solver: z3.Solver) -> None:
        self._context = solver.ctx
        self._hints: set[int] = set()
        self._called: dict[int, str] = {}
        keep = z3.z3core.Z3_inc_ref
        hints, reference = self._hints, solver.ctx.ref()

        def hear(_user: object, hint: int | None, _number: int, _dependencies: object, _clause: object) -> None:
            if hint is not None and hint not in hints:
                keep(reference, z3.z3.to_Ast(hint))
                hints.add(hint)

        self._callback = z3.z3core.Z3_on_clause_eh(hear)  # must live as long as the solver
        z3.z3core.Z3_solver_register_on_clause(reference, solver.solver, None, self._callback)

    def clear(self) -> None:
        """Forget what was heard."""
        for hint in self._hints:
            z3.z3core.Z3_dec_ref(self._context.ref(), z3.z3.to_Ast(hint))
        self._hints.clear()
        self._called.clear()  # what the hints kept may be gone, and something else be where it was

    def instances(self, wanted: Container[str]) -> Iterator[tuple[str, dict[str, z3.ExprRef]]]:
        """For each instance of a clause that is `wanted`, its name and the values of its variables."""
        # Of thousands of hints, few are instances of what is wanted: no object is made of the others, nor twice of a quantifier.
        quantifiers: dict[int, tuple[str, list[str]]] = {}
        for hint in self._hints:
            inst = self._arguments(z3.z3.to_Ast(hint), "inst")
            if not inst:
                continue
            if inst[0].value not in quantifiers:
                of = z3.z3._to_expr_ref(inst[0], self._context)
                quantifiers[inst[0].value] = of.qid(), [of.var_name(n) for n in range(of.num_vars())]
            name, variables = quantifiers[inst[0].value]
            if name in wanted:
                values = next(found for part in inst[1:] if (found := self._arguments(part, "bind")) is not None)
                yield name, {x: z3.z3._to_expr_ref(value, self._context) for x, value in zip(variables, values, strict=False)}

    def _arguments(self, term: Any, name: str) -> list[Any] | None:
        """What a function of that name is applied to, as Z3 itself has it, if `term` is that."""
        core, reference = z3.z3core, self._context.ref()
        if core.Z3_get_ast_kind(reference, term) != z3.Z3_APP_AST:
            return None
        declared = core.Z3_get_app_decl(reference, term)
        if declared.value not in self._called:
            self._called[declared.value] = core.Z3_get_symbol_string(reference, core.Z3_get_decl_name(reference, declared))
        if self._called[declared.value] != name:
            return None
        return [core.Z3_get_app_arg(reference, term, n) for n in range(core.Z3_get_app_num_args(reference, term))]


def enough(known: Sequence[z3.BoolRef], instances: Sequence[Instance]) -> list[Instance] | None:
    """Instances that contradict `known` without any quantifier, none of them for nothing; None if all of them do not."""
    solver = z3.SimpleSolver()
    solver.set("core.minimize", True)
    solver.add(*known)
    by_key = {instance.key: instance for instance in instances}
    literals = {f"use {n}": instance for n, instance in enumerate(by_key.values())}
    solver.add(*(z3.Implies(z3.Bool(name), instance.term) for name, instance in literals.items()))
    if solver.check(*map(z3.Bool, literals)) != z3.unsat:
        return None
    return [literals[str(literal.decl().name())] for literal in solver.unsat_core()]
