"""The evaluator says what Z3 says: replay stands on it, so it must not have opinions of its own."""

from __future__ import annotations

import random

import pytest
import z3

from tdpcheck.core.errors import ModelError
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.ground import ground
from tdpcheck.core.sorts import BOOL, Geometry, StateVar, Word
from tdpcheck.core.system import Action, TransitionSystem, Update, truth
from tdpcheck.examples import table_cache
from tdpcheck.tests.few import few
from tdpcheck.tests.finite_models import is_state, world
from tdpcheck.tests.random_systems import GEOMETRY, Byte, Colour, Device, Page, Terms, random_state, random_system

x, y = StateVar("x", (), Word(8)), StateVar("y", (), Word(8))
b, c = StateVar("b", (), BOOL), StateVar("c", (), BOOL)
words = TransitionSystem("words", (), (x, y, b, c), (), ())
X, Y, B, C = x(), y(), b(), c()

OPERATORS = {
    "empty and": z3.And([]),
    "empty or": z3.Or([]),
    "and": z3.And(B, C),
    "or": z3.Or(B, C),
    "not": z3.Not(B),
    "xor": z3.Xor(B, C),
    "implies": z3.Implies(B, C),
    "iff": B == C,
    "if": z3.If(B, X, Y),
    "equal": X == Y,
    "distinct from nothing": z3.Distinct(X),
    "distinct": z3.Distinct(X, Y, X + 1),
    "add": X + Y,
    "add many": z3.simplify(X + Y + X + Y),
    "sub": X - Y,
    "mul": X * Y,
    "udiv": z3.UDiv(X, Y),
    "urem": z3.URem(X, Y),
    "neg": -X,
    "complement": ~X,
    "bitwise and": X & Y,
    "bitwise or": X | Y,
    "bitwise xor": X ^ Y,
    "shl": X << Y,
    "lshr": z3.LShR(X, Y),
    "ashr": X >> Y,
    "ult": z3.ULT(X, Y),
    "ule": z3.ULE(X, Y),
    "ugt": z3.UGT(X, Y),
    "uge": z3.UGE(X, Y),
    "slt": X < Y,
    "sle": X <= Y,
    "sgt": X > Y,
    "sge": X >= Y,
    "extract": z3.Extract(5, 2, X),
    "zero extend": z3.ZeroExt(4, X),
    "sign extend": z3.SignExt(4, X),
    "concat": z3.Concat(X, Y, X),
}
EDGES = (0, 1, 2, 7, 8, 9, 127, 128, 254, 255)


def _by_z3(term: z3.ExprRef, values: tuple[int, ...]) -> int:
    known = [(X, z3.BitVecVal(values[0], 8)), (Y, z3.BitVecVal(values[1], 8)), (B, truth(bool(values[2]))), (C, truth(bool(values[3])))]
    value = z3.simplify(z3.substitute(term, *known))
    return int(z3.is_true(value)) if z3.is_bool(value) else int(value.as_long())


@pytest.mark.parametrize("name", OPERATORS)
def test_each_operator_means_what_z3_means_by_it(name: str) -> None:
    """Signs, widths and shifts too far are where plain integers differ from words."""
    term = OPERATORS[name]
    value = Evaluator(words, Geometry({})).compile(term)
    states = [(p, q, flags & 1, flags >> 1) for p in EDGES for q in EDGES for flags in range(4)]

    assert [_by_z3(term, s) for s in states] == [int(value(s)) for s in states]


def test_an_unknown_operator_is_refused_by_name() -> None:
    """Guessing a meaning would make replay worthless."""
    with pytest.raises(ModelError, match="does not know the operator bvsdiv"):
        Evaluator(words, Geometry({})).compile(X / Y)


@pytest.mark.parametrize("seed", few(range(40), 3))
def test_closed_terms_mean_what_z3_says_of_a_finite_world(seed: int) -> None:
    """Quantifiers, nested applications and rigid functions: Z3 decides them with its own quantifiers, without our grounder."""
    rng = random.Random(seed)
    system = random_system(seed)
    evaluator = Evaluator(system, GEOMETRY)
    solver = z3.Solver()
    solver.add(world(system, GEOMETRY))
    for _ in range(4):
        term, state = Terms(rng, system.state).truth(3), random_state(rng, evaluator)
        here = is_state(evaluator, state)
        possible = solver.check(*here, term), solver.check(*here, z3.Not(term))

        assert ((z3.sat, z3.unsat) if evaluator.holds(term, state) else (z3.unsat, z3.sat)) == possible, term


@pytest.mark.parametrize("seed", few(range(40), 3))
def test_a_grounded_term_means_what_the_term_means(seed: int) -> None:
    """Grounder and evaluator were written apart: they may only agree by both being right."""
    rng = random.Random(seed)
    system = random_system(seed)
    grounded = ground(system, GEOMETRY, fold=False)
    evaluator = Evaluator(system, GEOMETRY)
    for _ in range(5):
        term = Terms(rng, system.state).truth(4)
        image = grounded.formula(term)
        for _ in range(10):
            state = random_state(rng, evaluator)

            assert evaluator.holds(term, state) == evaluator.holds(image, state), term


def test_an_initial_value_may_speak_of_another_variable() -> None:
    """The first value of one variable is often "as that other one", which itself may be any."""
    system = TransitionSystem("copy", (), (x, y, b), (Update(x, (), Y + 1), Update(b, (), X == 3)), ())
    evaluator = Evaluator(system, Geometry({}))

    states = set(evaluator.initial())

    assert {((v + 1) % 256, v, int(v == 2)) for v in range(256)} == states


def test_initial_states_meet_the_constraint() -> None:
    """What else is known of the start cuts free cells down."""
    system = TransitionSystem("odd", (), (x,), (), (), constraint=z3.Extract(0, 0, X) == 1)

    assert 128 == len(list(Evaluator(system, Geometry({})).initial()))


def test_too_many_initial_states_to_list_are_refused() -> None:
    """Silence and an endless loop would look the same."""
    with pytest.raises(ModelError, match="more than 100 initial states"):
        list(Evaluator(words, Geometry({})).initial(limit=100))


def test_a_random_initial_state_is_initial() -> None:
    """Walks start from it."""
    evaluator = Evaluator(table_cache.system, Geometry({"Page": 3, "Device": 2, "Thread": 2}))
    states = {evaluator.random_initial(random.Random(seed)) for seed in range(50)}

    assert all(evaluator.is_initial(state) for state in states)
    assert 9 == len(states), "what a thread aims at is open"


def test_no_random_initial_state_is_an_error_that_says_so() -> None:
    """An unsatisfiable constraint would make everything true."""
    system = TransitionSystem("never", (), (b,), (), (), constraint=z3.And(B, z3.Not(B)))

    with pytest.raises(ModelError, match="may be unsatisfiable"):
        Evaluator(system, Geometry({})).random_initial(random.Random(0))


def test_truth_values_of_a_state_are_plain_zero_and_one() -> None:
    """States are stored as numbers; `True` would be printed as such."""
    invert = Action("invert", "any", (), truth(True), (Update(b, (), z3.Not(C)), Update(c, (), z3.And(B, X == Y))))
    system = TransitionSystem("flags", (), (x, y, b, c), (), (invert,))
    after = Evaluator(system, Geometry({})).after(invert, (), (7, 7, 1, 0))

    assert (7, 7, 1, 1) == after
    assert [int] * 4 == [type(value) for value in after]


def test_a_state_with_a_value_that_does_not_exist_is_not_initial() -> None:
    """A forged trace may name page 7 of 2."""
    evaluator = Evaluator(TransitionSystem("one", (Page,), (StateVar("p", (), Page),), (), ()), Geometry({"Page": 2}))

    assert [True, True, False] == [evaluator.is_initial((page,)) for page in (0, 1, 7)]
    assert not evaluator.is_initial((0, 0))


def test_the_layout_finds_a_cell_by_its_index() -> None:
    """Renderers read states by name."""
    grid = StateVar("grid", (Page, Device), Colour)
    system = TransitionSystem("grid", (Page, Device, Colour), (StateVar("before", (), Byte), grid), (), ())
    layout = Evaluator(system, GEOMETRY).layout
    state = (9, 0, 1, 2, 0, 1, 2)

    assert [[0, 1], [2, 0], [1, 2]] == [[layout.value(state, "grid", p, d) for d in range(2)] for p in range(3)]
    assert 9 == layout.value(state, "before")
