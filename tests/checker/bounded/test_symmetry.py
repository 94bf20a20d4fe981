"""Interchangeable elements: found where nothing tells them apart, and only there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import z3

from tdpcheck.checker.bounded.symmetry import interchangeable, use_in_order
from tdpcheck.checker.bounded.unroller import Unroller, read
from tdpcheck.checker.states.explore import reachable
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.ground import ground
from tdpcheck.core.sorts import BOOL, Geometry, Rigid, Sort, StateVar
from tdpcheck.core.system import Action, Param, TransitionSystem, Update, set_at, truth
from tdpcheck.examples import table_cache

Page = Sort("Page")
FOUR = Geometry({"Page": 4})
seen, last = StateVar("seen", (Page,), BOOL), StateVar("last", (), Page)
p, q = Param("p", Page), Param("q", Page)
see = Action("see", "any", (p, q), truth(True), (set_at(seen, (p.const,), truth(True)), Update(last, (), q.const)))
forgotten = Update(seen, seen.variables(), truth(False))
alike = TransitionSystem("alike", (Page,), (seen, last), (forgotten,), (see,))
before = Rigid("before", (Page, Page), BOOL, lambda _, at: at[0] < at[1])


def names(system: TransitionSystem, *terms: z3.ExprRef, geometry: Geometry = FOUR) -> list[str]:
    return [sort.name for sort in interchangeable(ground(system, geometry), terms)]


def test_elements_that_nothing_names_are_interchangeable() -> None:
    """Pages, devices and threads of the table are; program counters are an enumeration."""
    assert ["Page"] == names(alike)
    assert ["Page", "Device", "Thread"] == names(table_cache.system, geometry=Geometry({"Page": 2, "Device": 3, "Thread": 2}))
    assert [] == names(alike, geometry=Geometry({"Page": 1}))


@pytest.mark.parametrize(
    ("what", "system"),
    [
        ("guard", replace(alike, actions=(replace(see, guard=p.const != Page.element(0)),))),
        ("update", replace(alike, actions=(replace(see, updates=(Update(last, (), Page.element(1)),)),))),
        ("initial value", replace(alike, init=(forgotten, Update(last, (), Page.element(0))))),
        ("constraint", replace(alike, constraint=last() == Page.element(2))),
        ("rigid function", replace(alike, rigids=(before,), actions=(replace(see, guard=before(p.const, q.const)),))),
    ],
)
def test_an_element_that_is_named_anywhere_is_like_no_other(what: str, system: TransitionSystem) -> None:
    """Renaming it would change the system."""
    assert [] == names(system), what


def test_a_question_about_one_element_tells_it_apart() -> None:
    """Renaming it would change the question."""
    assert [] == names(alike, seen(Page.element(3)))
    assert ["Page"] == names(alike, z3.Exists([p.const], seen(p.const)))


def test_what_is_left_of_a_system_must_be_symmetric_itself() -> None:
    """Leaving out the steps of one page makes that page special."""
    grounded = ground(alike, FOUR)
    part = replace(grounded, actions=tuple(a for a in grounded.actions if 2 not in a.arguments))

    assert ["Page"] == [sort.name for sort in interchangeable(grounded, [])]
    assert [] == [sort.name for sort in interchangeable(part, [])]
    assert [] == [sort.name for sort in interchangeable(replace(grounded, cells=grounded.cells[1:]), [])]


def test_elements_are_used_in_order() -> None:
    """The pairs that one step may name first, and those that the next may name after (0, 0)."""
    grounded = ground(alike, FOUR)
    unroller = Unroller(use_in_order(grounded, []))
    chosen = [unroller.at(unroller.selector, step) for step in range(2)]
    solver = z3.Solver()
    solver.add(unroller.initial(), unroller.transition(0), unroller.transition(1), *(z3.ULT(c, unroller.stutter) for c in chosen))
    found = set()
    while solver.check() == z3.sat:
        first, second = read(solver.model(), chosen)
        found.add((grounded.actions[first].arguments, grounded.actions[second].arguments))
        solver.add(z3.Or(chosen[0] != first, chosen[1] != second))

    assert {(0, 0), (0, 1)} == {first for first, _ in found}
    assert {(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)} == {second for first, second in found if first == (0, 0)}


def test_every_reachable_state_has_a_renamed_twin_among_runs_in_order() -> None:
    """Depth by depth, what is dropped differs from what stays by names alone."""
    states, _ = reachable(alike, FOUR)
    evaluator = Evaluator(alike, FOUR)
    whole = {(sum(s[:4]), bool(s[s[4]]), depth) for s, depth in states.items()}
    grounded = use_in_order(ground(alike, FOUR), [])
    unroller = Unroller(grounded)
    found = set()
    for depth in range(max(states.values()) + 1):
        solver = z3.Solver()
        solver.add(unroller.initial(), *(unroller.transition(k) for k in range(depth)))
        solver.add(*(z3.Not(unroller.rests(k)) for k in range(depth)))
        cells = [unroller.at(grounded.variable(c), depth) for c in grounded.cells[:5]]
        while solver.check() == z3.sat:
            values = read(solver.model(), cells)
            found.add((sum(values[:4]), bool(values[values[4]]), depth))
            solver.add(z3.Or([t != (bool(v) if z3.is_bool(t) else v) for t, v in zip(cells, values, strict=True)]))

    assert [c.name for c in evaluator.layout.cells] == [c.name for c in grounded.cells[:5]]
    assert whole <= found
