"""A grounded system in time: a term at a step, the transition relation between two steps, and a run read back from a model.

The relation is a next-state function of the state and of a *selector*, a bit-vector that names the action instance. Its
last value is the stutter, so that every state has a successor. No engine builds the name of a variable at a step itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import z3

from ...core.ground import Cell, GroundAction, GroundSystem, conjunction, disjunction, negation
from ...core.shape import identity

SELECTOR = "action?"


class Unroller:
    """Places the terms of one grounded system at steps."""

    def __init__(self, grounded: GroundSystem) -> None:
        self.grounded = grounded
        self.stutter = len(grounded.actions)
        self.selector: z3.BitVecRef = z3.BitVec(SELECTOR, max(1, self.stutter.bit_length()))
        self._cells = [(cell, grounded.variable(cell)) for cell in grounded.cells]
        self._places: dict[int, list[tuple[z3.ExprRef, z3.ExprRef]]] = {}

    def at(self, term: z3.ExprRef, step: int) -> z3.ExprRef:
        """`term`, said of the state before step `step` (counted from 0) and of the action chosen there."""
        return z3.substitute(term, *self._place(step))

    def initial(self) -> z3.BoolRef:
        """Step 0 is an initial state."""
        grounded = self.grounded
        known = [grounded.variable(cell) == value for cell, value in grounded.init.items()]
        return self.at(conjunction([*known, grounded.constraint, grounded.in_range]), 0)

    def transition(self, step: int) -> z3.BoolRef:
        """The action chosen at `step` leads from `step` to the step after."""
        after = [(self._next(value), at) for (_, value), (_, at) in zip(self._cells, self._place(step + 1), strict=False)]
        return z3.substitute(self._template, *self._place(step), *after)

    def rests(self, step: int) -> z3.BoolRef:
        """Nothing happens at `step`."""
        return self._place(step)[-1][1] == self.stutter

    @cached_property
    def choice(self) -> z3.BoolRef:
        """The selector names an action instance whose guard holds, or the stutter."""
        known = z3.ULE(self.selector, self.stutter) if self.stutter + 1 < 2 ** self.selector.size() else z3.BoolVal(True)
        guards: dict[int, tuple[z3.BoolRef, list[z3.BoolRef]]] = {}
        for number, action in enumerate(self.grounded.actions):
            guards.setdefault(identity(action.guard), (action.guard, []))[1].append(self._is(number))
        return conjunction([known, *(disjunction([negation(disjunction(chosen)), guard]) for guard, chosen in guards.values())])

    @cached_property
    def next_state(self) -> Mapping[Cell, z3.ExprRef]:
        """The value of each cell after the step, as a term over the cells before it and the selector."""
        cases: dict[Cell, dict[int, tuple[z3.ExprRef, list[z3.BoolRef]]]] = {cell: {} for cell in self.grounded.cells}
        for number, action in enumerate(self.grounded.actions):
            for cell, after in action.after.items():
                condition, value = _change(after, self.grounded.variable(cell))
                chosen = conjunction([self._is(number), condition])
                # Instances that give the same value to a cell share one branch: the chain is as long as there are values.
                cases[cell].setdefault(identity(value), (value, []))[1].append(chosen)
        return {cell: self._chain(cell, list(cases[cell].values())) for cell in self.grounded.cells}

    def _chain(self, cell: Cell, cases: Sequence[tuple[z3.ExprRef, list[z3.BoolRef]]]) -> z3.ExprRef:
        result = self.grounded.variable(cell)
        for value, chosen in reversed(cases):
            result = z3.If(disjunction(chosen), value, result)
        return result

    @cached_property
    def _template(self) -> z3.BoolRef:
        return conjunction([self.choice, *(self._next(self.grounded.variable(c)) == after for c, after in self.next_state.items())])

    def _is(self, number: int) -> z3.BoolRef:
        return self.selector == number

    def _next(self, variable: z3.ExprRef) -> z3.ExprRef:
        return z3.Const(f"{variable.decl().name()}'", variable.sort())

    def _place(self, step: int) -> list[tuple[z3.ExprRef, z3.ExprRef]]:
        """Every cell's constant, then the selector, each with its constant at `step`."""
        if step not in self._places:
            constants = [*(variable for _, variable in self._cells), self.selector]
            self._places[step] = [(c, z3.Const(f"{c.decl().name()}@{step}", c.sort())) for c in constants]
        return self._places[step]

    def first_values(self, model: z3.ModelRef) -> dict[str, int]:
        """The values of the cells in a model's initial state, by cell name."""
        terms = [at for _, at in self._place(0)[:-1]]
        return dict(zip((cell.name for cell, _ in self._cells), read(model, terms), strict=True))

    def schedule(self, model: z3.ModelRef, steps: int) -> list[GroundAction]:
        """The action instances that a model chooses at the first `steps` steps, without the stutters."""
        chosen = read(model, [self._place(step)[-1][1] for step in range(steps)])
        return [self.grounded.actions[number] for number in chosen if number != self.stutter]


def _change(after: z3.ExprRef, before: z3.ExprRef) -> tuple[z3.BoolRef, z3.ExprRef]:
    """When a cell changes, and to what: `If(c, x, before)` changes to `x` when `c`."""
    if z3.is_app_of(after, z3.Z3_OP_ITE):
        condition, one, other = after.children()
        if other.eq(before):
            return condition, one
        if one.eq(before):
            return negation(condition), other
    return z3.BoolVal(True), after


def read(model: z3.ModelRef, terms: Sequence[z3.ExprRef]) -> list[int]:
    """The values of Boolean and bit-vector terms in a model, asked for at once: one by one is ten times slower."""
    if not terms:
        return []
    words = [z3.If(t, z3.BitVecVal(1, 1), z3.BitVecVal(0, 1)) if z3.is_bool(t) else t for t in terms]
    whole = model.eval(z3.Concat(z3.BitVecVal(0, 1), *words), model_completion=True).as_long()
    values = []
    for word in reversed(words):
        values.append(whole & ((1 << word.size()) - 1))
        whole >>= word.size()
    return values[::-1]


def check_total(grounded: GroundSystem) -> tuple[str, ...]:
    """What is partial about `grounded`: states without a successor, and steps to values that do not exist. Empty is good.

    Asks a solver; the tests ask it of every toy. A partial relation makes a checker call states unreachable that are not.
    """
    return tuple(_partial(grounded))


def _partial(grounded: GroundSystem) -> Iterator[str]:
    unroller = Unroller(grounded)
    solver = z3.SolverFor("QF_BV")
    solver.add(grounded.in_range)
    choices = [z3.substitute(unroller.choice, (unroller.selector, number)) for number in _numbers(unroller)]
    if solver.check(negation(disjunction([z3.simplify(c) for c in choices]))) != z3.unsat:
        yield "some state has no successor, not even the stutter"
    pairs = [(grounded.variable(cell), after) for cell, after in unroller.next_state.items()]
    goal = negation(z3.substitute(grounded.in_range, *pairs)) if pairs else z3.BoolVal(False)
    for number, action in zip(_numbers(unroller), grounded.actions, strict=False):
        if solver.check(action.guard, unroller.selector == number, goal) != z3.unsat:
            yield f"{action.name} can give a cell a value outside the geometry ({grounded.geometry})"


def _numbers(unroller: Unroller) -> list[z3.BitVecNumRef]:
    return [z3.BitVecVal(number, unroller.selector.size()) for number in range(unroller.stutter + 1)]
