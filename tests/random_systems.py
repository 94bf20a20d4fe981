"""Small systems, terms and states drawn from a seed, for tests in which two independent ways must agree."""

from __future__ import annotations

import random
from collections.abc import Sequence

import z3

from tdpcheck.core.evaluation.evaluate import Evaluator, State
from tdpcheck.core.ground import value_term
from tdpcheck.core.sorts import BOOL, Geometry, Kind, Rigid, Sort, StateVar, Truth, Word
from tdpcheck.core.system import Action, Param, Property, TransitionSystem, Update, set_at, set_where

Page, Device, Colour, Byte = Sort("Page"), Sort("Device"), Sort("Colour", ("red", "green", "blue")), Word(4)
KINDS: tuple[Kind, ...] = (Page, Device, Colour, Byte, BOOL)
SORTS = (Page, Device, Colour)
PARAMS: tuple[Kind, ...] = (Page, Page, Device, Colour, BOOL)
GEOMETRY = Geometry({"Page": 3, "Device": 2})

NEAR = Rigid("near", (Page, Page), BOOL, lambda _, at: abs(at[0] - at[1]) <= 1)
HOME = Rigid("home", (Device,), Page, lambda geometry, at: at[0] % geometry.size(Page))
WEIGHT = Rigid("weight", (Colour, Truth()), Byte, lambda _, at: 3 * at[0] + at[1])
RIGIDS = (NEAR, HOME, WEIGHT)


class Terms:
    """Draws well-sorted terms over state variables, rigid functions and the constants in scope."""

    def __init__(self, rng: random.Random, state: Sequence[StateVar], constants: Sequence[z3.ExprRef] = (), *, alike: bool = False) -> None:
        self._rng = rng
        self._state = tuple(state)
        self._functions: tuple[StateVar | Rigid, ...] = self._state if alike else (*self._state, *RIGIDS)
        self._alike = alike
        self._scope = list(constants)
        self._fresh = 0

    def term(self, kind: Kind, depth: int) -> z3.ExprRef:
        """A term of `kind`, nested about `depth` deep."""
        match kind:
            case Truth():
                return self.truth(depth)
            case Word():
                return self._word(depth)
            case Sort():
                return self._element(kind, depth)

    def truth(self, depth: int) -> z3.BoolRef:
        """A formula."""
        rng = self._rng
        if depth <= 0:
            return rng.choice([self._leaf(BOOL), self._leaf(BOOL), z3.BoolVal(rng.random() < 0.5)])
        less = depth - 1

        def word() -> z3.ExprRef:
            return self._word(less)

        def some() -> z3.BoolRef:
            return self.truth(less)

        kind = rng.choice(KINDS)
        choices = [
            lambda: self._apply(BOOL, less),
            lambda: self._apply(BOOL, less),
            lambda: z3.And([some() for _ in range(rng.randrange(4))]),
            lambda: z3.Or([some() for _ in range(rng.randrange(4))]),
            lambda: z3.Not(some()),
            lambda: z3.Implies(some(), some()),
            lambda: z3.Xor(some(), some()),
            lambda: z3.If(some(), some(), some()),
            lambda: self.term(kind, less) == self.term(kind, less),
            lambda: self.term(kind, less) != self.term(kind, less),
            lambda: z3.Distinct(*(self.term(kind, less) for _ in range(rng.randrange(1, 4)))),
            lambda: rng.choice([z3.ULT, z3.ULE, z3.UGT, z3.UGE])(word(), word()),
            lambda: word() < word(),
            lambda: word() <= word(),
            lambda: word() > word(),
            lambda: word() >= word(),
            lambda: self._quantified(less),
            lambda: self._quantified(less),
        ]
        return rng.choice(choices)()

    def _quantified(self, depth: int) -> z3.BoolRef:
        rng = self._rng
        bound = []
        kinds: tuple[Kind, ...] = (*SORTS, BOOL)
        for _ in range(rng.choice([1, 1, 2])):
            self._fresh += 1
            bound.append(rng.choice(kinds).const(f"x{self._fresh}"))
        self._scope += bound
        body = self.truth(depth)
        del self._scope[-len(bound) :]
        return rng.choice([z3.ForAll, z3.Exists])(bound, body)

    def _word(self, depth: int) -> z3.ExprRef:
        rng = self._rng
        if depth <= 0:
            return rng.choice([self._leaf(Byte), z3.BitVecVal(rng.randrange(16), 4)])
        less = depth - 1

        def some() -> z3.ExprRef:
            return self._word(less)

        choices = [
            lambda: self._apply(Byte, less),
            lambda: some() + some(),
            lambda: some() - some(),
            lambda: some() * some(),
            lambda: z3.UDiv(some(), some()),
            lambda: z3.URem(some(), some()),
            lambda: -some(),
            lambda: ~some(),
            lambda: some() & some(),
            lambda: some() | some(),
            lambda: some() ^ some(),
            lambda: some() << some(),
            lambda: z3.LShR(some(), some()),
            lambda: some() >> some(),
            lambda: z3.If(self.truth(less), some(), some()),
            lambda: z3.Extract(5, 2, z3.Concat(some(), some())),
            lambda: z3.Extract(4, 1, z3.ZeroExt(2, some())),
            lambda: z3.Extract(6, 3, z3.SignExt(3, some())),
            lambda: z3.simplify(some() + some() + some()),
        ]
        return rng.choice(choices)()

    def _element(self, sort: Sort, depth: int) -> z3.ExprRef:
        rng = self._rng
        if depth <= 0:
            return self._leaf(sort)
        choices = [
            lambda: self._apply(sort, depth - 1),
            lambda: self._leaf(sort),
            lambda: z3.If(self.truth(depth - 1), self._element(sort, depth - 1), self._element(sort, depth - 1)),
        ]
        return rng.choice(choices)()

    def _leaf(self, kind: Kind) -> z3.ExprRef:
        known = [c for c in self._scope if c.sort() == kind.z3]
        known += [v() for v in self._state if v.kind == kind and not v.params]
        if isinstance(kind, Sort) and (kind.elements or not known or not self._alike):
            known.append(kind.element(self._rng.randrange(GEOMETRY.size(kind))))
        if not known:
            known.append(z3.BoolVal(True) if isinstance(kind, Truth) else z3.BitVecVal(5, 4))
        return self._rng.choice(known)

    def _apply(self, kind: Kind, depth: int) -> z3.ExprRef:
        functions = [f for f in self._functions if f.kind == kind]
        if not functions:
            return self._leaf(kind)
        chosen = self._rng.choice(functions)
        return chosen(*(self.term(k, depth) for k in chosen.params))


def random_system(seed: int, *, alike: bool = False) -> TransitionSystem:
    """A small system: a few state variables of every kind, some actions, some cells that start with any value.

    Args:
        alike: nothing tells pages from pages and devices from devices.
    """
    rng = random.Random(seed)
    state = (
        StateVar("flag", (), BOOL),
        StateVar("holds", (Page,), BOOL),
        rng.choice([StateVar("sees", (Device,), Page), StateVar("at", (), Page)]),
        StateVar("colour", (Device,), Colour) if rng.random() < 0.5 else StateVar("colour", (), Colour),
        *([StateVar("byte", (), Byte)] if rng.random() < 0.4 else []),
    )
    free = state[2] if alike else rng.choice([None, state[0], state[2]])
    init = tuple(Update(v, v.variables(), _constant(rng, v.kind)) for v in state if v != free)
    actions = tuple(_action(rng, f"step{number}", state, alike) for number in range(rng.randrange(3, 7)))
    constraint = z3.BoolVal(True)
    if free is not None and not alike:
        constraint = z3.Or(Terms(rng, [free]).truth(1), state[1](Page.element(0)) == state[1](Page.element(1)))
    return TransitionSystem(f"random{seed}", SORTS, state, init, actions, () if alike else RIGIDS, constraint)


def random_property(seed: int, system: TransitionSystem, *, alike: bool = False) -> Property:
    """Some cells never have the values at once that they have in some far state: false where it is reached, and mostly it is."""
    rng = random.Random(seed)
    evaluator = Evaluator(system, GEOMETRY)
    state = start = evaluator.random_initial(rng)
    moves = list(evaluator.moves())
    met, layer = {start}, [start]
    while layer and len(met) < 1_000:
        state = rng.choice(layer)
        layer = list(dict.fromkeys(m.apply(s) for s in layer for m in moves if m.guard(s) if m.apply(s) not in met))
        met |= set(layer)
    atoms = []
    new = [cell for cell, a, b in zip(evaluator.layout.cells, start, state, strict=True) if a != b]
    for cell in dict.fromkeys([*new[-2:], *rng.sample(evaluator.layout.cells, rng.randrange(3, 7))]):
        value = evaluator.layout.value(state, cell.var, *cell.index)
        if rng.random() < 0.1:
            value = (value + 1) % GEOMETRY.size(cell.var.kind)  # now and then a state that the run did not visit
        index = [sort.element(i) for sort, i in zip(cell.var.params, cell.index, strict=True)]
        atoms.append(cell.var(*index) == value_term(cell.var.kind, value))
    bad = z3.And(atoms)
    return Property(f"random{seed}", "Some values never meet.", z3.Not(_of_some(bad) if alike else bad))


def _of_some(term: z3.BoolRef) -> z3.BoolRef:
    """What `term` says of pages and devices by number, said of some pages and devices."""
    for sort in (Page, Device):
        numbers = range(GEOMETRY.size(sort))
        some = [sort.const(f"some_{sort.name}_{i}") for i in numbers]
        term = z3.substitute(term, *((sort.element(i), some[i]) for i in numbers))
        term = z3.Exists(some, z3.And(z3.Distinct(*some), term))
    return term


def random_state(rng: random.Random, evaluator: Evaluator) -> State:
    """Any state, reachable or not."""
    return tuple(rng.randrange(evaluator.geometry.size(cell.var.kind)) for cell in evaluator.layout.cells)


def _constant(rng: random.Random, kind: Kind) -> z3.ExprRef:
    match kind:
        case Sort():
            return kind.element(rng.randrange(GEOMETRY.size(kind)))
        case Word():
            return z3.BitVecVal(rng.randrange(2**kind.width), kind.width)
        case Truth():
            return z3.BoolVal(rng.random() < 0.3)


def _action(rng: random.Random, name: str, state: Sequence[StateVar], alike: bool) -> Action:
    params = tuple(Param(f"p{n}", kind) for n, kind in enumerate(rng.choices(PARAMS, k=rng.randrange(0, 3))))
    constants = [p.const for p in params]
    terms = Terms(rng, state, constants, alike=alike)
    guard = rng.choice([terms.truth(1), terms.truth(2), z3.And(terms.truth(1), terms.truth(1))])
    updates = tuple(_update(rng, var, state, constants, alike) for var in rng.sample(state, rng.randrange(1, 3)))
    return Action(name, "random", params, guard, updates)


def _update(rng: random.Random, var: StateVar, state: Sequence[StateVar], constants: Sequence[z3.ExprRef], alike: bool) -> Update:
    terms = Terms(rng, state, constants, alike=alike)
    if rng.random() < 0.5 or not var.params:
        return set_at(var, [terms.term(sort, 1) for sort in var.params], terms.term(var.kind, 1))
    everywhere = Terms(rng, state, [*constants, *var.variables()], alike=alike)
    return set_where(var, var.variables(), everywhere.truth(2), everywhere.term(var.kind, 1))
