"""Is a question in EPR, where satisfiability is decidable? Only if no chain of functions leads from a sort back to itself.

A function is an arrow from the sorts of its arguments to the sort of its result, and so is "for all x there is a y".
Enumerations are finite and closed by an axiom, so arrows through them are harmless.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import z3

from ..core.errors import ModelError
from ..core.shape import shape, subterms

Arrow = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Bound:
    """A quantified variable in scope: what its Skolem term would depend on, and whether it is (also) universal."""

    sort: str
    universal: bool
    rests_on: frozenset[str]

    @property
    def sources(self) -> frozenset[str]:
        return self.rests_on | {self.sort} if self.universal else self.rests_on


def refuse_outside_epr(terms: Sequence[z3.BoolRef], enumerations: Collection[str], what: str) -> None:
    """Make sure that the conjunction of `terms` is in EPR.

    Raises:
        ModelError: a chain of functions and of "for all … there is" leads from a sort back to itself.
    """
    arrows = {a for term in terms for a in (*function_arrows(term), *alternations(term)) if not {a[0], a[1]} & set(enumerations)}
    chain = _cycle(arrows)
    if chain:
        raise ModelError(
            f"{what}: the question leaves the decidable fragment, since {' -> '.join(chain)} is a chain of functions or of "
            "'for all … there is'. Turn one of the functions into a relation, or name the witness by a ghost relation"
        )


def function_arrows(term: z3.ExprRef) -> Iterator[Arrow]:
    """From the sort of each argument to that of the result, for every uninterpreted function that `term` applies."""
    for node in subterms(term):
        if shape(node).operator == z3.Z3_OP_UNINTERPRETED and _is_index(node.sort()):
            yield from ((child.sort().name(), node.sort().name()) for child in shape(node).children if _is_index(child.sort()))


def alternations(term: z3.BoolRef) -> Iterator[Arrow]:
    """From each universal variable to each existential one that may depend on it, when `term` is asserted."""
    yield from _alternations(term, True, False, ())


def _alternations(term: z3.ExprRef, true: bool, false: bool, scope: tuple[_Bound, ...]) -> Iterator[Arrow]:
    """Arrows in `term`, which counts when it is `true`, when it is `false`, or both; `scope` is innermost first."""
    if z3.is_quantifier(term):
        universal = (true and term.is_forall()) or (false and term.is_exists())
        existential = (true and term.is_exists()) or (false and term.is_forall())
        sources: frozenset[str] = frozenset()
        if existential:
            sources = frozenset().union(*(scope[i].sources for i in _free(term)))
            for number in range(term.num_vars()):
                if _is_index(term.var_sort(number)):
                    yield from ((source, term.var_sort(number).name()) for source in sources)
        # Variables of a sort without elements of its own (a truth value) carry no dependence but their own.
        bound = [_Bound(term.var_sort(n).name(), universal and _is_index(term.var_sort(n)), sources) for n in range(term.num_vars())]
        yield from _alternations(term.body(), true, false, (*reversed(bound), *scope))
    elif z3.is_app(term) and _has_quantifier(term):
        yield from _of_application(term, true, false, scope)


def _of_application(term: z3.ExprRef, true: bool, false: bool, scope: tuple[_Bound, ...]) -> Iterator[Arrow]:
    children = term.children()
    match term.decl().kind():
        case z3.Z3_OP_AND | z3.Z3_OP_OR:
            for child in children:
                yield from _alternations(child, true, false, scope)
        case z3.Z3_OP_NOT:
            yield from _alternations(children[0], false, true, scope)
        case z3.Z3_OP_IMPLIES:
            yield from _alternations(children[0], false, true, scope)
            yield from _alternations(children[1], true, false, scope)
        case z3.Z3_OP_ITE if z3.is_bool(term):
            yield from _alternations(children[0], True, True, scope)
            for child in children[1:]:
                yield from _alternations(child, true, false, scope)
        case _:
            for child in children:
                yield from _alternations(child, True, True, scope)


def _is_index(sort: z3.SortRef) -> bool:
    return bool(sort.kind() == z3.Z3_UNINTERPRETED_SORT)


def _has_quantifier(term: z3.ExprRef) -> bool:
    return any(z3.is_quantifier(node) for node in subterms(term))


def _free(term: z3.ExprRef) -> set[int]:
    """The de Bruijn indices of the variables that are free in `term`, counted from outside it."""
    found: set[int] = set()
    todo, seen = [(term, 0)], set()
    while todo:
        node, inside = todo.pop()
        if (node.get_id(), inside) in seen:
            continue
        seen.add((node.get_id(), inside))
        if z3.is_var(node):
            index = z3.get_var_index(node) - inside
            if index >= 0:
                found.add(index)
        elif z3.is_quantifier(node):
            todo.append((node.body(), inside + node.num_vars()))
        else:
            todo += [(child, inside) for child in node.children()]
    return found


def _cycle(arrows: Iterable[Arrow]) -> list[str]:
    """A chain of sorts that ends where it begins, or nothing."""
    following: dict[str, set[str]] = {}
    for source, target in arrows:
        following.setdefault(source, set()).add(target)
    done: set[str] = set()

    def visit(sort: str, path: list[str]) -> list[str]:
        if sort in path:
            return [*path[path.index(sort) :], sort]
        if sort in done:
            return []
        for other in sorted(following.get(sort, ())):
            chain = visit(other, [*path, sort])
            if chain:
                return chain
        done.add(sort)
        return []

    for sort in sorted(following):
        chain = visit(sort, [])
        if chain:
            return chain
    return []
