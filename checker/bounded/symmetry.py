"""Elements that nothing tells apart: of all runs that differ only in which page is which, one is enough.

Where no term names an element of a sort and no rigid function orders it, renaming its elements turns runs into runs. So every
run has a twin that uses the elements in order: 0 before 1, 1 before 2. Ghost cells remember which were used, and guards
forbid the rest, which leaves one run of up to n! per sort to the solver.

Crawford, Ginsberg, Luks, Roy: Symmetry-Breaking Predicates for Search Problems, KR 1996.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import z3

from ...core.ground import Cell, GroundAction, GroundSystem, conjunction
from ...core.shape import subterms
from ...core.sorts import BOOL, Kind, Sort, StateVar, element_index
from ...core.system import TransitionSystem


def use_in_order(grounded: GroundSystem, terms: Sequence[z3.ExprRef]) -> GroundSystem:
    """`grounded`, reduced to runs whose actions use the elements of interchangeable sorts in order.

    Which depths reach a state in which one of `terms` holds stays as it is.

    Args:
        terms: what is asked, ungrounded: one that names an element keeps its sort from being interchangeable.
    """
    for sort in interchangeable(grounded, terms):
        grounded = _in_order(grounded, sort)
    return grounded


def interchangeable(grounded: GroundSystem, terms: Sequence[z3.ExprRef]) -> tuple[Sort, ...]:
    """The sorts whose elements nothing in the system or in `terms` tells apart."""
    marked: set[str] = set()
    for term in (*_terms(grounded.system), *terms):
        marked |= _told_apart(term, grounded.system)
    candidates = [s for s in grounded.system.sorts if not s.elements and s.name not in marked and grounded.geometry.size(s) > 1]
    return tuple(sort for sort in candidates if _is_closed(grounded, sort))


def _terms(system: TransitionSystem) -> Iterator[z3.ExprRef]:
    yield system.constraint
    yield from (update.value for update in system.init)
    for action in system.actions:
        yield action.guard
        yield from (update.value for update in action.updates)


def _told_apart(term: z3.ExprRef, system: TransitionSystem) -> set[str]:
    """The names of the sorts of which `term` names an element, or about which it asks a rigid function."""
    found: set[str] = set()
    for node in subterms(term):
        if z3.is_app(node):
            if element_index(node) is not None:
                found.add(node.sort().name())
            rigid = system.rigid_by_name.get(node.decl().name())
            if rigid is not None:
                found |= {kind.name for kind in (*rigid.params, rigid.kind) if isinstance(kind, Sort)}
    return found


def _is_closed(grounded: GroundSystem, sort: Sort) -> bool:
    """Whether swapping neighbours maps the cells and action instances that are left onto themselves."""
    cells = {(c.var.name, c.index) for c in grounded.cells}
    actions = {(a.action.name, a.arguments) for a in grounded.actions}
    for i in range(grounded.geometry.size(sort) - 1):
        if any((c.var.name, _swapped(c.index, c.var.params, sort, i)) not in cells for c in grounded.cells):
            return False
        if any((a.action.name, _swapped(a.arguments, [p.kind for p in a.action.params], sort, i)) not in actions for a in grounded.actions):
            return False
    return True


def _swapped(values: tuple[int, ...], kinds: Sequence[Kind], sort: Sort, i: int) -> tuple[int, ...]:
    swap = {i: i + 1, i + 1: i}
    return tuple(swap.get(v, v) if kind == sort else v for v, kind in zip(values, kinds, strict=True))


def _in_order(grounded: GroundSystem, sort: Sort) -> GroundSystem:
    used = [Cell(StateVar(f"used?{sort.name}", (sort,), BOOL), (i,)) for i in range(grounded.geometry.size(sort))]
    actions = []
    for action in grounded.actions:
        values = [v for v, p in zip(action.arguments, action.action.params, strict=True) if p.kind == sort]
        actions.append(_using(grounded, action, used, values) if values else action)
    return replace(
        grounded,
        cells=(*grounded.cells, *used),
        init={**grounded.init, **dict.fromkeys(used, z3.BoolVal(False))},
        actions=tuple(actions),
    )


def _using(grounded: GroundSystem, action: GroundAction, used: Sequence[Cell], values: Sequence[int]) -> GroundAction:
    """`action`, possible only when what it uses is next in order."""
    known = _needed(values)
    guard = conjunction([action.guard, grounded.variable(used[known - 1])]) if known else action.guard
    return replace(action, guard=guard, after={**action.after, **{used[v]: z3.BoolVal(True) for v in values}})


def _needed(values: Sequence[int]) -> int:
    """How many elements must have been used before, so that using `values` one after the other keeps the order."""
    for known in range(max(values) + 1):
        following = known
        for value in values:
            if value > following:
                break
            following = max(following, value + 1)
        else:
            return known
    return max(values)
