"""Asking many small questions under the same hypotheses, fast: by E-matching, with the terms that matter put before the solver.

An answer `unsat` is a proof whatever was instantiated. Everything else only means that this way found none.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import z3

from ..core.sorts import Rigid, Sort, StateVar
from ..core.system import Action, TransitionSystem
from .goals import Goal, Part


class Matcher:
    """The hypotheses: axioms and the parts of all lemmas."""

    def __init__(self, system: TransitionSystem, axioms: Sequence[z3.BoolRef], parts: Sequence[Part], effort: int = 3_000_000) -> None:
        self._system = system
        self._hypotheses = (*axioms, *(part.closed for part in parts))
        self._solver = z3.SimpleSolver()
        self._solver.set("mbqi", False)
        self._solver.set("auto_config", False)
        self._solver.set("rlimit", effort)
        self._solver.add(*axioms, *_closed(system), *(part.closed for part in parts))
        functions: tuple[StateVar | Rigid, ...] = (*system.state, *system.rigids)
        self._seeded = [
            v
            for v in functions
            if 0 < len(v.params) <= 2 and all(isinstance(k, Sort) and not k.elements for k in v.params) and "." not in v.name
        ]
        self.reason = ""
        self.queries = 0

    def assume(self, action: Action, constants: Sequence[z3.ExprRef]) -> None:
        """Suppose that `action` may fire; to be taken back by `forget`."""
        self._solver.push()
        self._solver.add(action.guard)
        mine = [p.const for p in action.params]
        held = [v(x) for v in self._system.state for x in mine if len(v.params) == 1 and v.params[0].z3 == x.sort() and _is_plain(v)]
        self._solver.add(*self._seed([*mine, *held, *constants]))

    def seed(self, constants: Sequence[z3.ExprRef]) -> None:
        """Put the terms that matter of these constants before the solver, for good."""
        self._solver.add(*self._seed(constants))

    def forget(self) -> None:
        self._solver.pop()

    def possible(self) -> z3.CheckSatResult:
        self.queries += 1
        return self._solver.check()

    def proves(self, goals: Sequence[Goal], constants: Sequence[z3.ExprRef]) -> bool:
        """Whether all of `goals` follow."""
        self._solver.push()
        try:
            wrong = []
            for goal in goals:
                denied = z3.Not(goal.holds)
                if goal.part.has_quantifier:
                    denied = with_instances(denied, True, [*goal.constants, *constants])
                wrong.append(z3.And(*goal.assumed, denied))
            self._solver.add(z3.Or(wrong) if len(wrong) > 1 else wrong[0])
            self.queries += 1
            answer = self._solver.check()
            self.reason = "" if answer == z3.unsat else self._solver.reason_unknown()
            return bool(answer == z3.unsat)
        finally:
            self._solver.pop()

    def settles(self, action: Action | None, goal: Goal, seconds: float) -> z3.CheckSatResult:
        """Ask one goal by model-based instantiation, which also finds counterexamples, and is slower."""
        solver = z3.SimpleSolver()
        solver.set("mbqi", True)
        solver.set("timeout", int(seconds * 1000))
        solver.add(*self._hypotheses, *(() if action is None else (action.guard,)), *goal.assumed, z3.Not(goal.holds))
        self.queries += 1
        answer = solver.check()
        self.reason = "" if answer != z3.unknown else solver.reason_unknown()
        return answer

    def _seed(self, constants: Sequence[z3.ExprRef]) -> list[z3.BoolRef]:
        by_sort: dict[str, list[z3.ExprRef]] = {}
        for c in constants:
            by_sort.setdefault(c.sort().name(), []).append(c)
        found: list[z3.BoolRef] = []
        for var in self._seeded:
            for combination in itertools.product(*(by_sort.get(k.z3.name(), ()) for k in var.params)):
                term = var(*combination)
                # Whatever it is: the solver has met the term.
                found.append(z3.Const(f"met {len(found)} {term.sort()}", term.sort()) == term)
        return found


def _is_plain(var: StateVar) -> bool:
    return isinstance(var.kind, Sort) and not var.kind.elements and "." not in var.name


def _closed(system: TransitionSystem) -> list[z3.BoolRef]:
    """That a function into an enumeration has one of its elements as value: said of applications, which E-matching finds."""
    result = []
    functions: tuple[StateVar | Rigid, ...] = (*system.state, *system.rigids)
    for var in functions:
        if isinstance(var.kind, Sort) and var.kind.elements and var.params:
            xs = [k.const(f"x{n}") for n, k in enumerate(var.params)]
            result.append(z3.ForAll(xs, z3.Or([var(*xs) == var.kind.element(e) for e in var.kind.elements])))
    return result


def with_instances(term: z3.BoolRef, positive: bool, constants: Sequence[z3.ExprRef]) -> z3.BoolRef:
    """`term` with its universal parts instantiated at `constants`, besides being kept."""
    if z3.is_quantifier(term):
        if term.is_forall() == positive and term.num_vars() == 1:
            sort = term.var_sort(0)
            found = [with_instances(z3.substitute_vars(term.body(), c), positive, constants) for c in constants if c.sort() == sort]
            if found:
                return z3.And(term, *found) if positive else z3.Or(term, *found)
        return term
    if z3.is_and(term) or z3.is_or(term):
        parts = [with_instances(x, positive, constants) for x in term.children()]
        return z3.And(parts) if z3.is_and(term) else z3.Or(parts)
    if z3.is_not(term):
        return z3.Not(with_instances(term.arg(0), not positive, constants))
    if z3.is_implies(term):
        return z3.Implies(with_instances(term.arg(0), not positive, constants), with_instances(term.arg(1), positive, constants))
    return term
