"""Vectors say what plain evaluation says, for every state and also where no branch leads."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pytest
import z3

from tdpcheck.core.errors import ModelError
from tdpcheck.core.evaluation.evaluate import Evaluator, State
from tdpcheck.core.evaluation.vectors import Batch, Unfit, Vector, Vectors
from tdpcheck.core.sorts import BOOL, Geometry, Rigid, StateVar, Word
from tdpcheck.core.system import Action, TransitionSystem, set_at, set_where, truth
from tdpcheck.tests.core.evaluation.test_evaluate import OPERATORS, B, C, X, Y, b, c
from tdpcheck.tests.few import few
from tdpcheck.tests.random_systems import GEOMETRY, Page, Terms, random_state, random_system

NOWHERE = Geometry({})
Term: TypeAlias = Any  # Z3's operators are overloaded on its subclasses


def by_vectors(evaluator: Evaluator, term: Term, states: Sequence[State]) -> list[int]:
    """What vectors say of a closed term."""
    vectors = Vectors(evaluator)
    value = vectors.term(term)
    if isinstance(value, int):
        return [value] * len(states)
    return list(map(int, Batch(np.array(states, vectors.dtype).T.copy()).at(value)))


def plainly(evaluator: Evaluator, term: Term, states: Sequence[State]) -> list[int]:
    """What plain evaluation says of it."""
    return list(map(int, map(evaluator.compile(term), states)))


BINARY: dict[str, Callable[[Term, Term], Term]] = {
    "add": lambda p, q: p + q,
    "sub": lambda p, q: p - q,
    "mul": lambda p, q: p * q,
    "udiv": z3.UDiv,
    "urem": z3.URem,
    "and": lambda p, q: p & q,
    "or": lambda p, q: p | q,
    "xor": lambda p, q: p ^ q,
    "neg": lambda p, q: -p + q,
    "complement": lambda p, q: ~p + q,
    "shl": lambda p, q: p << q,
    "lshr": z3.LShR,
    "ashr": lambda p, q: p >> q,
    "ult": z3.ULT,
    "ule": z3.ULE,
    "ugt": z3.UGT,
    "uge": z3.UGE,
    "slt": lambda p, q: p < q,
    "sle": lambda p, q: p <= q,
    "sgt": lambda p, q: p > q,
    "sge": lambda p, q: p >= q,
    "equal": lambda p, q: p == q,
    "distinct": lambda p, q: z3.Distinct(p, q, p + 1),
    "if": lambda p, q: z3.If(z3.ULT(p, q), p, q),
    "add many": lambda p, q: z3.simplify(p + q + p + p * q),
    "extract": lambda p, q: z3.Extract(p.size() - 1, p.size() // 2, p * q),
    "concat": lambda p, q: z3.Concat(z3.Extract(p.size() // 2, 0, p), z3.Extract(max(0, p.size() - 2 - p.size() // 2), 0, q)),
    "zero extend": lambda p, q: z3.ZeroExt(64 - p.size(), p) + z3.ZeroExt(64 - p.size(), q),
    "sign extend": lambda p, q: z3.SignExt(64 - p.size(), p) + z3.ZeroExt(64 - p.size(), q),
}


@pytest.mark.parametrize("width", [pytest.param(w, marks=[] if w in (1, 8, 64) else [pytest.mark.slow]) for w in (1, 3, 8, 32, 63, 64)])
@pytest.mark.parametrize("name", BINARY)
def test_each_operator_on_words_is_that_of_plain_evaluation(name: str, width: int) -> None:
    """Overflow, signs and shifts too far: machine words are not plain integers. A number in the term takes another way than a cell."""
    rng = random.Random(f"{name} {width}")
    u, v = StateVar("u", (), Word(width)), StateVar("v", (), Word(width))
    evaluator = Evaluator(TransitionSystem("words", (), (u, v), (), ()), NOWHERE)
    top = 2**width
    edges = sorted({value % top for value in (0, 1, 2, width - 1, width, width + 1, top // 2 - 1, top // 2, top - 2, top - 1)})
    values = edges + [rng.randrange(top) for _ in range(6)]
    states = [(p, q) for p in values for q in values]
    constants = [z3.BitVecVal(value, width) for value in values]
    terms = [BINARY[name](u(), v())]
    terms += [BINARY[name](u(), constant) for constant in constants[::2]] + [BINARY[name](constant, v()) for constant in constants[1::2]]
    terms += [BINARY[name](one, other) for one in constants[::5] for other in constants[::2]]

    for term in terms:
        assert plainly(evaluator, term, states) == by_vectors(evaluator, term, states), term


@pytest.mark.parametrize("name", OPERATORS)
def test_each_operator_of_plain_evaluation_is_known(name: str) -> None:
    """Truth values and words mixed, as plain evaluation is tested against Z3."""
    words = TransitionSystem("words", (), (StateVar("x", (), Word(8)), StateVar("y", (), Word(8)), b, c), (), ())
    evaluator = Evaluator(words, NOWHERE)
    states = [(p, q, flags & 1, flags >> 1) for p in (0, 1, 7, 8, 128, 255) for q in (0, 3, 8, 9, 255) for flags in range(4)]
    known = [
        OPERATORS[name],
        *(z3.substitute(OPERATORS[name], (B, truth(p)), (C, z3.And(B, truth(q)))) for p in (False, True) for q in (False, True)),
    ]
    known += [z3.substitute(OPERATORS[name], (X, z3.BitVecVal(p, 8))) for p in (0, 5, 255)]
    known += [z3.substitute(OPERATORS[name], (Y, z3.BitVecVal(p, 8))) for p in (0, 5, 255)]

    for term in known:
        assert plainly(evaluator, term, states) == by_vectors(evaluator, term, states), term


@pytest.mark.parametrize("seed", few(range(100), 3))
def test_random_terms_mean_the_same_in_columns(seed: int) -> None:
    """Quantifiers, nested look-ups and rigid functions."""
    rng = random.Random(seed)
    system = random_system(seed)
    evaluator = Evaluator(system, GEOMETRY)
    states = [random_state(rng, evaluator) for _ in range(40)]
    for _ in range(6):
        term = Terms(rng, system.state).truth(4)

        assert plainly(evaluator, term, states) == by_vectors(evaluator, term, states), term


at, held = StateVar("at", (), Page), StateVar("held", (Page,), BOOL)


def asked(*rigids: Rigid) -> Evaluator:
    return Evaluator(TransitionSystem("asked", (Page,), (held, at), (), (), rigids), GEOMETRY)


def test_a_branch_that_is_never_taken_may_look_anywhere() -> None:
    """Where the condition is known the other branch is not even folded."""
    beyond = held(Page.element(7))
    states = [(1, 0, 1, page) for page in range(3)]
    term = z3.If(z3.Or(held(at()), truth(True)), held(at()), beyond)

    assert [1, 0, 1] == by_vectors(asked(), term, states)


@pytest.mark.parametrize(
    ("term", "why"),
    [
        (z3.If(at() == Page.element(0), held(Page.element(7)), held(at())), "an index may be 7"),
        (held(z3.If(at() == Page.element(0), Page.element(7), at())), "is too large"),
    ],
)
def test_an_index_that_may_be_out_of_range_is_refused(term: z3.BoolRef, why: str) -> None:
    """Both branches are computed for every state. Plain evaluation looks where the state leads, and is not asked to guess."""
    with pytest.raises(Unfit, match=why):
        Vectors(asked()).term(term)


def test_a_rigid_function_without_a_value_somewhere_is_refused_where_that_could_matter() -> None:
    """A table has every value, and plain evaluation asks for those that it meets."""

    def meaning(_: Geometry, index: tuple[int, ...]) -> int:
        return (1, 0)[index[0]]

    next_ = Rigid("next", (Page,), Page, meaning)
    evaluator = asked(next_)

    assert isinstance(Vectors(evaluator).term(held(next_(Page.element(0)))), Vector)
    with pytest.raises(Unfit, match="next has no value at"):
        Vectors(evaluator).term(held(next_(at())))
    with pytest.raises(Unfit, match="far is 9"):
        Vectors(asked(far := Rigid("far", (Page,), Page, lambda *_: 9))).term(held(far(at())))


def test_an_update_that_leaves_its_sort_is_refused() -> None:
    """Every index is a cell that is in range, so that no cell may ever leave it."""
    away = Action("away", "any", (), truth(True), (set_at(at, (), Page.element(7)),))
    evaluator = Evaluator(TransitionSystem("away", (Page,), (held, at), (), (away,)), GEOMETRY)

    with pytest.raises(Unfit, match="at may become more than it can hold"):
        list(Vectors(evaluator).changes(away, ()))


def test_words_wider_than_a_machine_word_are_refused() -> None:
    """In a cell or only on the way."""
    x, wide = StateVar("x", (), Word(40)), StateVar("wide", (), Word(65))

    with pytest.raises(Unfit, match="65 bits"):
        Vectors(Evaluator(TransitionSystem("wide", (), (wide,), (), ()), NOWHERE))
    with pytest.raises(Unfit, match="80 bits"):
        Vectors(Evaluator(TransitionSystem("x", (), (x,), (), ()), NOWHERE)).term(z3.Concat(x(), x()) == 0)


def test_an_operator_without_columns_is_refused_and_an_unknown_name_is_an_error() -> None:
    """The one is left to plain evaluation, which refuses it by name; the other is nobody's to evaluate."""
    vectors = Vectors(Evaluator(TransitionSystem("words", (), (StateVar("x", (), Word(8)), StateVar("y", (), Word(8))), (), ()), NOWHERE))

    with pytest.raises(Unfit, match="bvsdiv"):
        vectors.term(X / Y)
    with pytest.raises(ModelError, match="stranger is neither a state variable"):
        vectors.term(z3.Bool("stranger"))


def test_what_terms_share_is_one_column() -> None:
    """Sharing is what makes them fast."""
    vectors = Vectors(asked())
    there = held(at())

    assert vectors.term(there) is vectors.term(z3.And(there, truth(True)))
    assert vectors.term(there) is vectors.term(z3.Not(z3.Not(there)))


def test_a_variable_of_an_update_may_be_called_like_a_state_variable() -> None:
    """Inside the update it is the variable; the guard beside it means the state."""
    page = at()
    step = Action("step", "any", (), held(page), (set_where(held, (page,), held(page), page == Page.element(2)),))
    evaluator = Evaluator(TransitionSystem("alike", (Page,), (held, at), (), (step,)), GEOMETRY)
    vectors = Vectors(evaluator)
    rng = random.Random(0)
    states = [random_state(rng, evaluator) for _ in range(20)]
    batch = Batch(np.array(states, vectors.dtype).T.copy())

    def after(number: int, state: State) -> State:
        changes = {place: int(batch.at(part)[number]) if isinstance(part, Vector) else part for place, part in vectors.changes(step, ())}
        return tuple(changes.get(place, value) for place, value in enumerate(state))

    assert [state[state[3]] for state in states] == plainly(evaluator, step.guard, states) == by_vectors(evaluator, step.guard, states)
    assert [(0, 0, state[2], state[3]) for state in states] == [evaluator.after(step, (), state) for state in states]
    assert [(0, 0, state[2], state[3]) for state in states] == [after(number, state) for number, state in enumerate(states)]
