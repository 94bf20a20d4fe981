"""Systems: updates compose by substitution, and a description that contradicts itself is refused with a reason."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import z3

from tdpcheck.core.errors import ModelError
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.sorts import BOOL, Geometry, Rigid, Sort, StateVar, Word
from tdpcheck.core.system import (
    Action,
    Param,
    TransitionSystem,
    Update,
    bool_var,
    set_at,
    set_where,
    substitute_updates,
    then,
    truth,
)
from tdpcheck.examples import counter, mutex
from tdpcheck.tests.random_systems import GEOMETRY, RIGIDS, SORTS, Terms, random_state, random_system

Page = Sort("Page")
a, b = StateVar("a", (), Word(8)), StateVar("b", (), Word(8))
held = bool_var("held", Page)
page = Param("page", Page)


@pytest.mark.parametrize("seed", range(30))
def test_a_term_after_updates_is_what_the_term_says_of_the_state_after(seed: int) -> None:
    """Proofs ask about the state after an action in terms of the state before it."""
    rng = random.Random(seed)
    system = random_system(seed)
    evaluator = Evaluator(system, GEOMETRY)
    for action in system.actions:
        term = Terms(rng, system.state).truth(3)
        before = evaluator.compile(substitute_updates(term, action.updates), action.params)
        for _ in range(10):
            state = random_state(rng, evaluator)
            arguments = tuple(rng.randrange(GEOMETRY.size(p.kind)) for p in action.params)

            assert evaluator.holds(term, evaluator.after(action, arguments, state)) == bool(before(state, *arguments))


@pytest.mark.parametrize("seed", range(30))
def test_two_steps_done_as_one_lead_where_the_two_lead(seed: int) -> None:
    """Merging steps must not change what they do."""
    rng = random.Random(seed)
    system = random_system(seed)
    first, second = rng.choice(system.actions), _renamed(rng.choice(system.actions))
    both = Action("both", "any", (*first.params, *second.params), truth(True), then(first.updates, second.updates))
    evaluator = Evaluator(TransitionSystem("merged", SORTS, system.state, (), (both,), RIGIDS), GEOMETRY)
    apart = Evaluator(TransitionSystem("apart", SORTS, system.state, (), (first, second), RIGIDS), GEOMETRY)
    for _ in range(20):
        state = random_state(rng, evaluator)
        one, two = (tuple(rng.randrange(GEOMETRY.size(p.kind)) for p in action.params) for action in (first, second))

        assert apart.after(second, two, apart.after(first, one, state)) == evaluator.after(both, (*one, *two), state)


def _renamed(action: Action) -> Action:
    """The same action with names of its own, so that it can stand beside another."""
    params = tuple(Param(f"second_{p.name}", p.kind) for p in action.params)
    pairs = [(old.const, new.const) for old, new in zip(action.params, params, strict=True)]
    if not pairs:
        return Action("second", action.actor, (), action.guard, action.updates)
    updates = tuple(Update(u.var, u.variables, z3.substitute(u.value, *pairs)) for u in action.updates)
    return Action("second", action.actor, params, z3.substitute(action.guard, *pairs), updates)


def test_updates_read_the_state_before_all_of_them() -> None:
    """A swap swaps."""
    swap = Action("swap", "any", (), truth(True), (Update(a, (), b()), Update(b, (), a())))
    evaluator = Evaluator(TransitionSystem("swap", (), (a, b), (), (swap,)), Geometry({}))

    assert (2, 1) == evaluator.after(swap, (), (1, 2))
    assert z3.eq(b() - a(), substitute_updates(a() - b(), swap.updates))


def test_a_point_update_leaves_the_rest_alone() -> None:
    """Only the named page changes, or those where the condition holds."""
    at = Action("at", "any", (page,), truth(True), (set_at(held, (page.const,), truth(True)),))
    (x,) = held.variables()
    other = Action("others", "any", (page,), truth(True), (set_where(held, (x,), x != page.const, truth(True)),))
    evaluator = Evaluator(TransitionSystem("pages", (Page,), (held,), (), (at, other)), Geometry({"Page": 3}))

    assert (0, 1, 0) == evaluator.after(at, (1,), (0, 0, 0))
    assert (1, 0, 1) == evaluator.after(other, (1,), (0, 0, 0))


def test_words_keep_a_system_out_of_proofs_of_every_size() -> None:
    """The names tell a user what to abstract."""
    assert ("count",) == counter.system.words
    assert () == mutex.system.words
    weight = Rigid("weight", (Page,), Word(8), lambda _, at: at[0])
    assert ("weight",) == TransitionSystem("heavy", (Page,), (), (), (), (weight,)).words


step = Action("step", "any", (page,), truth(True), ())
MISTAKES: dict[str, Callable[[], object]] = {
    "a is declared twice": lambda: TransitionSystem("s", (), (a, a), (), ()),
    "held uses sort Page, which the system does not declare": lambda: TransitionSystem("s", (), (held,), (), ()),
    "action step is declared twice": lambda: TransitionSystem("s", (Page,), (held,), (), (step, step)),
    "init updates a twice": lambda: TransitionSystem("s", (), (a,), (Update(a, (), b()), Update(a, (), b())), ()),
    "action x updates b, which the system does not declare so": lambda: TransitionSystem(
        "s", (), (a,), (), (Action("x", "any", (), truth(True), (Update(b, (), a()),)),)
    ),
    r"init sets a of sort BitVec\(8\) to a value of sort Bool": lambda: TransitionSystem("s", (), (a,), (Update(a, (), truth(True)),), ()),
    "has a parameter held, which is the name of a state variable": lambda: TransitionSystem(
        "s", (Page,), (held,), (), (Action("x", "any", (Param("held", Page),), truth(True), ()),)
    ),
    "updates held at a variable page, which is also its parameter": lambda: TransitionSystem(
        "s", (Page,), (held,), (), (Action("x", "any", (page,), truth(True), (set_where(held, (page.const,), truth(True), truth(True)),)),)
    ),
    "system lock has no action 'fly'": lambda: mutex.system.action("fly"),
    "Pc has no element 'nowhere'; it has outside, entering, inside": lambda: mutex.Pc.element("nowhere"),
    r"held takes 1 arguments \(Page\), got 2": lambda: held(page.const, page.const),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_in_a_description_is_refused_with_its_place_and_reason(message: str) -> None:
    """A contradiction that slips through makes every verdict about the system worthless."""
    with pytest.raises(ModelError, match=message):
        MISTAKES[message]()


def test_a_plain_variable_is_set_everywhere() -> None:
    """`set_at` without indices is an assignment."""
    assert z3.eq(b(), set_at(a, (), b()).value)
    assert BOOL.z3 == held(page.const).sort()
