"""From a complete exploration to a proof: clauses that are true of every reachable state, and inductive.

That exploration visited everything is easily said. Here it becomes an invariant that somebody else can check. The reachable states
serve as an oracle: a state that the solver needs to break a clause is unreachable, so some few of its cells together never have
these values; the clause that says so is as general as the reachable states allow, and is then kept by every action or broken from
another unreachable state. Each clause is asked about until it holds and never again, since clauses are only ever added.

It differs from IC3 (Bradley: SAT-Based Model Checking without Unrolling, VMCAI 2011) in that generalising asks no solver.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import z3
from numpy.typing import NDArray
from pysat.solvers import Solver

from ...core.errors import EngineError
from ...core.evaluation.evaluate import Layout, State
from ...core.ground import GroundSystem, bad, conjunction, disjunction, negation
from ...core.sorts import Sort
from ...core.system import Lemma, Property
from ...core.verdict import INTERRUPTED, Reason
from ..bounded.unroller import Unroller
from ..clock import Clock, OutOfTime
from ..states.layers import Table


@dataclass(frozen=True)
class Invariant:
    """What was learned.

    Args:
        clauses: true of every reachable state; their conjunction is inductive and implies the properties, if `complete`.
        reason: why it is not complete, if it is not.
        queries: how often the solver was asked.
    """

    clauses: tuple[Lemma, ...]
    complete: bool
    reason: Reason | None = None
    queries: int = 0
    seconds: float = 0.0


def explored_invariant(
    grounded: GroundSystem, states: Collection[State], properties: Sequence[Property], *, timeout: float | None = None
) -> Invariant:
    """An inductive invariant that implies `properties`, from all reachable states of the system at this geometry.

    Args:
        states: every reachable state, in the layout of plain evaluation.
        timeout: seconds.

    Raises:
        EngineError: the solver breaks a clause from a reachable state, or a reachable state violates a property: `states` are not
            all states, or exploration and grounding disagree.
    """
    clock = Clock(timeout)
    learner = _Learner(grounded, states, properties, clock)
    reason: Reason | None = None
    try:
        learner.run()
    except OutOfTime as stop:
        reason = stop.why
    except KeyboardInterrupt:
        reason = INTERRUPTED
    return Invariant(learner.clauses(), reason is None, reason, learner.queries, clock.spent)


CONFLICTS = 20_000
"""After how many conflicts the SAT solver lets us look at the clock."""

Bits = NDArray[np.uint64]
_NONE, _ALL = 0, 1
"""The numbers of the sets of no states and of all."""

Cube = tuple[tuple[int, frozenset[int]], ...]
"""Cells (by number) with the values that they have: a set of states, none of them reachable. Its negation is a clause."""


class _Learner:
    """The reachable states as bit sets, the transition relation as clauses of a SAT solver, and what was learned."""

    def __init__(self, grounded: GroundSystem, states: Collection[State], properties: Sequence[Property], clock: Clock) -> None:
        position = Layout(grounded.system, grounded.geometry).position
        self._grounded = grounded
        self._cells = grounded.cells
        self._clock = clock
        self._states = _States(states, [position[cell.name] for cell in self._cells])
        self._variables = [grounded.variable(cell) for cell in self._cells]
        self._domains = [range(_patterns(variable)) for variable in self._variables]
        self._properties = tuple(properties)
        self._relation = _Relation(grounded, properties)
        self._terms: dict[tuple[int, frozenset[int]], z3.BoolRef] = {}
        self.queries = 0
        self.cubes: list[Cube] = []

    def run(self) -> None:
        """Learn until the clauses imply the properties and every action keeps every clause."""
        for number, met in enumerate(self._states.values):
            if len(met) < len(self._domains[number]):
                self._add(((number, frozenset(self._domains[number]).difference(met)),))
        for place, prop in enumerate(self._properties):
            self._exclude([self._relation.bad[place]], prop.name)
        done = 0
        while done < len(self.cubes):
            self._exclude([-literal for literal in self._others(self.cubes[done], 1)], "a clause")
            done += 1

    def _exclude(self, goal: list[int], what: str) -> None:
        """Learn until no state is left from which `goal` can come true."""
        while (state := self._ask(goal)) is not None:
            self._add(self._cube(state, what))

    def _others(self, cube: Cube, step: int) -> list[int]:
        """As literals of the SAT solver: the values that the cells of `cube` do not have in it."""
        literal = self._relation.literal
        return [literal[step][number][v] for number, values in cube for v in self._domains[number] if v not in values]

    def _add(self, cube: Cube) -> None:
        self.cubes.append(cube)
        self._relation.solver.add_clause(self._others(cube, 0))

    def _ask(self, goal: list[int]) -> list[int] | None:
        """A state before the step from which `goal` can come true; None if there is none."""
        solver = self._relation.solver
        self.queries += 1
        answer = None
        while answer is None:
            self._clock.check()
            solver.conf_budget(CONFLICTS)
            answer = solver.solve_limited(assumptions=goal)
        if not answer:
            return None
        model = solver.get_model()  # variable n is its n-th number, or minus that where it is false
        return [next(v for v, literal in enumerate(values) if model[abs(literal) - 1] == literal) for values in self._relation.literal[0]]

    def _cube(self, state: Sequence[int], what: str) -> Cube:
        """Few cells of `state` whose values never come together, each widened to all values that never come with the others."""
        states = self._states
        chosen = states.apart(state)
        if chosen is None:
            raise EngineError(f"exploration: {what} is broken in a reachable state, so not every state was visited or two semantics differ")
        kept = [states.having(number, [state[number]]) for number in chosen]
        for place in reversed(range(len(chosen))):
            if len(chosen) > 1 and not states.common(kept, place).any():
                del chosen[place], kept[place]
        cube = []
        for place, number in enumerate(chosen):
            values = frozenset(self._domains[number]) - states.values_in(number, states.common(kept, place))
            kept[place] = states.having(number, values)
            cube.append((number, values))
        return tuple(sorted(cube))

    def _term(self, cube: Cube) -> z3.BoolRef:
        return conjunction([self._literal(number, values) for number, values in cube])

    def _literal(self, number: int, values: frozenset[int]) -> z3.BoolRef:
        """That a cell has one of these values."""
        key = number, values
        if key not in self._terms:
            self._terms[key] = self._among(number, values)
        return self._terms[key]

    def _among(self, number: int, values: frozenset[int]) -> z3.BoolRef:
        variable, domain = self._variables[number], self._domains[number]
        if z3.is_bool(variable):
            return variable if 1 in values else negation(variable)
        if 2 * len(values) > len(domain):
            return negation(disjunction([variable == value for value in domain if value not in values]))
        return disjunction([variable == value for value in sorted(values)])

    def clauses(self) -> tuple[Lemma, ...]:
        """The clauses, each with a sentence in the model's own names."""
        return tuple(
            Lemma(f"clause_{number}", negation(self._term(cube)), self._sentence(cube)) for number, cube in enumerate(self.cubes, 1)
        )

    def _sentence(self, cube: Cube) -> str:
        *given, (number, excluded) = sorted(cube, key=lambda literal: len(self._domains[literal[0]]))
        then = self._says(number, frozenset(self._domains[number]) - excluded)
        if not given:
            return f"{then}."
        return f"If {' and '.join(self._says(n, values) for n, values in given)}, then {then}."

    def _says(self, number: int, values: frozenset[int]) -> str:
        cell = self._cells[number]
        if z3.is_bool(self._variables[number]):
            return f"{cell.name} holds" if values == {1} else f"{cell.name} does not hold"
        kind = cell.var.kind
        exists = {v for v in self._domains[number] if not isinstance(kind, Sort) or v < self._grounded.geometry.size(kind)}
        show = kind.show if isinstance(kind, Sort) else str
        named = sorted(values & exists)
        others = [show(v) for v in sorted(exists - values)]
        if 2 * len(named) > len(exists) and others:
            return f"{cell.name} is {'not' if len(others) == 1 else 'none of'} {', '.join(others)}"
        return f"{cell.name} is {' or '.join(show(v) for v in named) or 'nothing'}"


class _States:
    """The reachable states as bit sets, one for each value of each cell.

    Args:
        states: every reachable state.
        places: where in a state each cell stands.

    Attributes:
        values: for each cell, the values that it has in some state, each with the number of its set.
    """

    def __init__(self, states: Collection[State], places: Sequence[int]) -> None:
        rows = states.rows if isinstance(states, Table) else np.array(list(states)).reshape(len(states), -1)
        sets = [_packed(np.zeros(len(rows), np.bool_)), _packed(np.ones(len(rows), np.bool_))]
        self.values: list[dict[int, int]] = []
        for place in places:
            column = np.ascontiguousarray(rows[:, place])
            met = np.unique(column).tolist()
            self.values.append({value: number for number, value in enumerate(met, len(sets))})
            sets += [_packed(column == value) for value in met]
        self._sets = np.stack(sets)
        self._sizes = np.bitwise_count(self._sets).sum(axis=1)
        self._shared: dict[int, NDArray[np.intp]] = {}

    def having(self, number: int, values: Iterable[int]) -> Bits:
        """The states in which a cell has one of these values."""
        met = self.values[number]
        return reduce(operator.or_, (self._sets[met[value]] for value in values if value in met), self._sets[_NONE])

    def common(self, sets: Sequence[Bits], without: int) -> Bits:
        """The states in all of `sets` but one."""
        return reduce(operator.and_, (one for place, one in enumerate(sets) if place != without), self._sets[_ALL])

    def values_in(self, number: int, some: Bits) -> frozenset[int]:
        """The values that a cell has in some of these states."""
        met = self.values[number]
        here: list[bool] = np.any(self._sets[list(met.values())] & some, axis=1).tolist()
        return frozenset(value for value, is_met in zip(met, here, strict=True) if is_met)

    def apart(self, state: Sequence[int]) -> list[int] | None:
        """Cells of `state` whose values no reachable state has together, found greedily; None if one has them all."""
        numbers = np.array([met.get(value, _NONE) for met, value in zip(self.values, state, strict=True)], np.intp)
        chosen: list[int] = []
        words, left, size = np.arange(self._sets.shape[1]), self._sets[_ALL], self._sizes[_ALL]
        sizes = self._sizes[numbers]
        while size:
            best = int(sizes.argmin()) if len(sizes) else -1
            if best < 0 or sizes[best] == size:
                return None
            # After the first cell few states are left: only the words that have some of them are looked at.
            left, size = left & self._sets[numbers[best], words], sizes[best]
            some = np.flatnonzero(left)
            words, left = words[some], left[some]
            sizes = (
                np.bitwise_count(self._sets[np.ix_(numbers, words)] & left).sum(axis=1) if chosen else self._beside(numbers[best])[numbers]
            )
            chosen.append(best)
        return chosen

    def _beside(self, number: int) -> NDArray[np.intp]:
        """How many states of a set each set has; the same few sets are asked about again and again."""
        if number not in self._shared:
            self._shared[number] = np.bitwise_count(self._sets & self._sets[number]).sum(axis=1, dtype=np.intp)
        return self._shared[number]


class _Relation:
    """One step of a grounded system for a SAT solver.

    Args:
        literal: by step (before and after), cell and value, the literal that the cell has the value.
        bad: for each property, the literal that the state before the step violates it.
    """

    def __init__(self, grounded: GroundSystem, properties: Sequence[Property]) -> None:
        unroller = Unroller(grounded)
        goal = z3.Goal()
        goal.add(unroller.transition(0))
        names: list[str] = []
        for step in (0, 1):
            terms = []
            for number, cell in enumerate(grounded.cells):
                variable = grounded.variable(cell)
                for value in [1] if z3.is_bool(variable) else range(_patterns(variable)):
                    names.append(f"cell:{step}:{number}:{value}")
                    terms.append(z3.Bool(names[-1]) == (variable if z3.is_bool(variable) else variable == value))
            if step == 0:
                for number, prop in enumerate(properties):
                    names.append(f"bad:{number}")
                    terms.append(z3.Bool(names[-1]) == bad(grounded, prop))
            goal.add(unroller.at(z3.And(terms), step))
        # Z3 orders what it rewrites by when the terms were made, so what else lives in this process would decide what is learned.
        # In a context of its own the terms are made in the order in which they stand here.
        fresh = z3.Context()
        (clauses,) = z3.Then("simplify", "bit-blast", "tseitin-cnf", ctx=fresh)(goal.translate(fresh))
        variables, matrix = _dimacs(clauses.dimacs())
        free = max([*variables.values(), *(abs(literal) for clause in matrix for literal in clause), 0])
        for name in names:
            if name not in variables:  # the clauses say nothing of it: it may be either
                free += 1
                variables[name] = free
        self.literal: list[list[list[int]]] = [
            [
                [-variables[f"cell:{step}:{number}:1"], variables[f"cell:{step}:{number}:1"]]
                if z3.is_bool(grounded.variable(cell))
                else [variables[f"cell:{step}:{number}:{v}"] for v in range(_patterns(grounded.variable(cell)))]
                for number, cell in enumerate(grounded.cells)
            ]
            for step in (0, 1)
        ]
        self.bad = [variables[f"bad:{number}"] for number in range(len(properties))]
        self.solver: Any = Solver(name="glucose4", bootstrap_with=matrix)


def _dimacs(text: str) -> tuple[dict[str, int], list[list[int]]]:
    """The variables by name, and the clauses."""
    variables: dict[str, int] = {}
    clauses = []
    for line in text.splitlines():
        if line.startswith("c "):
            _, number, name = line.split(" ", 2)
            variables[name] = int(number)
        elif not line.startswith("p"):
            clauses.append([int(word) for word in line.split()[:-1]])
    return variables, clauses


def _patterns(variable: z3.ExprRef) -> int:
    return 2 if z3.is_bool(variable) else int(2 ** variable.size())


def _packed(states: NDArray[np.bool_]) -> Bits:
    """A set of states as bits, in whole words."""
    packed = np.packbits(states)
    return np.pad(packed, (0, -len(packed) % 8)).view(np.uint64)
