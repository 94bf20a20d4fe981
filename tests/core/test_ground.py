"""Grounding is a rewrite: the finite system is the parametric one with its quantifiers expanded, and nothing else."""

from __future__ import annotations

import random

import pytest
import z3

from tdpcheck.checker.bounded.bmc import bmc
from tdpcheck.checker.states.explore import explore
from tdpcheck.core.errors import ModelError
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.ground import bad, cone, ground, value_term
from tdpcheck.core.sorts import BOOL, Geometry, Sort, StateVar, Word
from tdpcheck.core.system import Action, Param, Property, TransitionSystem, Update, set_at, truth
from tdpcheck.core.verdict import Violated
from tdpcheck.examples import counter, mutex, table_cache, traffic_light
from tdpcheck.tests.few import few
from tdpcheck.tests.finite_models import linked, parametric, same, world
from tdpcheck.tests.random_systems import GEOMETRY, random_state, random_system
from tdpcheck.tests.toys import TOYS, Toy

EVERYWHERE_TWO = Geometry(dict.fromkeys(("Page", "Device", "Thread", "Road"), 2))
SPARE_PATTERNS = Geometry(dict.fromkeys(("Page", "Device", "Thread", "Road"), 3))
SYSTEMS = (
    traffic_light.system,
    traffic_light.broken,
    counter.system,
    mutex.system,
    mutex.broken,
    mutex.peterson,
    table_cache.system,
    table_cache.broken,
)
OBLIGATIONS = [(system, action.name) for system in SYSTEMS for action in system.actions]
UPDATED = [(system, system.action(name)) for system, name in OBLIGATIONS]


@pytest.mark.parametrize("geometry", [EVERYWHERE_TWO, SPARE_PATTERNS], ids=["two", "three"])
@pytest.mark.parametrize(("system", "action"), UPDATED, ids=[f"{s.name}-{a.name}" for s, a in UPDATED])
def test_a_grounded_action_is_the_parametric_one_expanded(system: TransitionSystem, action: Action, geometry: Geometry) -> None:
    """For all states, decided by Z3 over sorts with exactly so many elements: what is proved and what is searched are one thing."""
    _same_as_parametric(system, action, geometry)


@pytest.mark.parametrize("seed", few(range(15), 3))
def test_grounded_random_actions_are_the_parametric_ones_expanded(seed: int) -> None:
    """As above, where nobody chose the terms to be easy."""
    system = random_system(seed)
    for action in system.actions:
        _same_as_parametric(system, action, GEOMETRY)


def _same_as_parametric(system: TransitionSystem, action: Action, geometry: Geometry) -> None:
    grounded = ground(system, geometry, fold=False)
    solver = z3.Solver()
    solver.add(*world(system, geometry), *linked(grounded))
    known = {a.arguments: a for a in grounded.actions if a.action is action}
    updates = {u.var.name: u for u in action.updates}
    differences = []
    for arguments in _arguments(action, geometry):
        chosen = [(p.const, value_term(p.kind, a)) for p, a in zip(action.params, arguments, strict=True)]
        guard = _put(action.guard, chosen)
        if arguments not in known:
            differences.append(guard)  # dropped as impossible
            continue
        differences.append(guard != known[arguments].guard)
        for cell in grounded.cells:
            update = updates.get(cell.var.name)
            after = parametric(cell)
            if update is not None:
                here = zip(update.variables, after.children(), strict=True)
                after = _put(update.value, [*chosen, *here])
            differences.append(z3.Not(same(grounded, cell, known[arguments].after.get(cell, grounded.variable(cell)), after)))

    assert z3.sat == solver.check()
    assert z3.unsat == solver.check(z3.Or(differences))


def _put(term: z3.ExprRef, pairs: list[tuple[z3.ExprRef, z3.ExprRef]]) -> z3.ExprRef:
    return z3.substitute(term, *pairs) if pairs else term


def _arguments(action: Action, geometry: Geometry) -> list[tuple[int, ...]]:
    result: list[tuple[int, ...]] = [()]
    for param in action.params:
        result = [(*known, i) for known in result for i in range(geometry.size(param.kind))]
    return result


@pytest.mark.parametrize("seed", range(20))
def test_plain_steps_and_grounded_steps_agree_on_random_states(seed: int) -> None:
    """The evaluator runs the ungrounded action; the solver sees the grounded one."""
    rng = random.Random(seed)
    system = random_system(seed)
    grounded = ground(system, GEOMETRY, fold=False)
    evaluator = Evaluator(system, GEOMETRY)
    for instance in grounded.actions:
        for _ in range(5):
            state = random_state(rng, evaluator)
            after = dict(zip((c.name for c in evaluator.layout.cells), state, strict=True))
            after |= {cell.name: int(evaluator.compile(value)(state)) for cell, value in instance.after.items()}

            assert evaluator.enabled(instance.action, instance.arguments, state) == evaluator.holds(instance.guard, state)
            assert evaluator.after(instance.action, instance.arguments, state) == tuple(after.values())


@pytest.mark.parametrize("toy", few(TOYS, 3), ids=lambda toy: toy.name)
def test_the_cone_of_a_property_keeps_its_verdict(toy: Toy) -> None:
    """What cannot influence the answer is left out of the question, and nothing else."""
    watch, page = StateVar("watch", (), Word(3)), StateVar("unseen", (), BOOL)
    ticks = Action("ticks", "clock", (), page(), (Update(watch, (), watch() + 1),))
    larger = TransitionSystem(
        toy.system.name,
        toy.system.sorts,
        (watch, *toy.system.state, page),
        toy.system.init,
        (ticks, *toy.system.actions),
        toy.system.rigids,
    )
    whole = ground(larger, toy.geometry)
    part = cone(whole, [bad(whole, toy.prop)])
    verdict = bmc((larger, toy.geometry), toy.prop, 12)

    assert {"watch", "unseen"}.isdisjoint(c.var.name for c in part.cells)
    assert "ticks" not in {a.action.name for a in part.actions}
    assert toy.violated == (verdict.depth if isinstance(verdict, Violated) else None)


def test_the_cone_keeps_what_a_guard_reads() -> None:
    """A cell that only decides *when* another may change influences it all the same."""
    a, b, c = (StateVar(name, (), BOOL) for name in "abc")
    steps = tuple(
        Action(f"set_{var.name}", "any", (), guard, (Update(var, (), truth(True)),))
        for var, guard in ((a, truth(True)), (b, a()), (c, b()))
    )
    system = TransitionSystem("chain", (), (a, b, c), tuple(Update(v, (), truth(False)) for v in (a, b, c)), steps)
    whole = ground(system, Geometry({}))

    assert ["a", "b"] == [cell.name for cell in cone(whole, [whole.formula(b())]).cells]


def test_a_cell_that_never_changes_is_folded_into_the_terms() -> None:
    """A role or a switch costs no bits, and what it forbids is gone."""
    role, done = StateVar("role", (Sort("Thread"),), BOOL), StateVar("done", (Sort("Thread"),), BOOL)
    thread = Param("t", Sort("Thread"))
    t = thread.const
    work = Action("work", "thread", (thread,), role(t), (set_at(done, (t,), truth(True)),))
    start = (Update(role, role.variables(), role.variables()[0] == Sort("Thread").element(1)), Update(done, done.variables(), truth(False)))
    grounded = ground(TransitionSystem("roles", (Sort("Thread"),), (role, done), start, (work,)), Geometry({"Thread": 3}))

    assert ["done[1]"] == [cell.name for cell in grounded.cells]
    assert ["work(1)"] == [action.name for action in grounded.actions]
    assert 1 == grounded.bits


@pytest.mark.slow
def test_folding_changes_no_verdict() -> None:
    """Property and premise are grounded with the same constants as the actions."""
    for toy in TOYS:
        for fold in (True, False):
            verdict = bmc(ground(toy.system, toy.geometry, fold=fold), toy.prop, 12)

            assert toy.violated == (verdict.depth if isinstance(verdict, Violated) else None)


def test_an_element_outside_the_geometry_is_refused() -> None:
    """Page 5 of 2 would otherwise be read as some other page."""
    page = Sort("Page")
    held = StateVar("held", (page,), BOOL)
    system = TransitionSystem("small", (page,), (held,), (), ())

    with pytest.raises(ModelError, match="Page!5 is outside the geometry"):
        ground(system, Geometry({"Page": 2})).formula(held(page.element(5)))


def test_a_name_that_the_system_does_not_declare_is_refused() -> None:
    """A misspelt variable would be free to have any value."""
    system = TransitionSystem("empty", (), (StateVar("here", (), BOOL),), (), ())

    with pytest.raises(ModelError, match="ghost is neither a state variable, a rigid function nor a parameter"):
        ground(system, Geometry({})).formula(z3.Bool("ghost"))


def test_a_sort_without_a_size_is_refused() -> None:
    """The message says which size is missing."""
    with pytest.raises(ModelError, match="no size of at least 1 for sort Road"):
        ground(traffic_light.system, Geometry({"Page": 2}))


def test_exploration_does_not_ground() -> None:
    """The two opinions must stay apart: breaking the grounder leaves exploration as it was."""
    toy = TOYS[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tdpcheck.core.ground.Grounder.__call__", lambda *_: pytest.fail("the grounder was asked"))

        assert toy.states == explore(toy.system, toy.geometry, Property("any", "", truth(True))).stats.states


def test_a_cell_that_no_term_mentions_lends_its_identity_to_nobody() -> None:
    """Z3 gives the identity of a term that died to the next one, which reads nothing because of that."""
    idle = StateVar("idle", (Sort("Page"),), BOOL)
    system = TransitionSystem("idle", (Sort("Page"),), (idle,), (), ())
    grounded = ground(system, Geometry({"Page": 200}))
    assert grounded.reads(truth(True)) == frozenset()
    fresh = [z3.Bool(f"fresh {n}") for n in range(1000)]

    assert all(grounded.reads(term) == frozenset() for term in fresh)
    assert {cell.index for cell in grounded.reads(grounded.variable(grounded.cells[7]))} == {(7,)}
