"""Is a question in EPR, where satisfiability is decidable? Only if no chain of functions leads from a sort back to itself.

A function is an arrow from the sorts of its arguments to the sort of its result, and so is "for all x there is a y".
Enumerations are finite and closed by an axiom, so arrows through them are harmless.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import z3

from ...core.errors import ModelError
from ...core.shape import identity, shape

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
    arrows = {a for term in terms for a in _arrows(term) if not {a[0], a[1]} & set(enumerations)}
    chain = _cycle(arrows)
    if chain:
        raise ModelError(
            f"{what}: the question leaves the decidable fragment, since {' -> '.join(chain)} is a chain of functions or of "
            "'for all … there is'. Turn one of the functions into a relation, or name the witness by a ghost relation"
        )


_MOST = 20_000
_known: dict[int, tuple[z3.BoolRef, frozenset[Arrow]]] = {}
"""The arrows of terms seen before, each beside its term: a proof asks hundreds of questions about the same hypotheses."""


def _arrows(term: z3.BoolRef) -> frozenset[Arrow]:
    key = identity(term)
    found = _known.get(key)
    if found is None:
        if len(_known) > _MOST:
            _known.clear()
        found = _known[key] = (term, frozenset((*function_arrows(term), *alternations(term))))
    return found[1]


def function_arrows(term: z3.ExprRef) -> frozenset[Arrow]:
    """From the sort of each argument to that of the result, for every uninterpreted function that `term` applies."""
    return _look(term).arrows


@dataclass(frozen=True, slots=True)
class _Look:
    """What is known of a term and all that is in it.

    Args:
        term: the term itself; kept, so that Z3 does not give its identity to another.
        free: the de Bruijn indices of the variables that are free in it, counted from outside it.
        quantified: whether a quantifier is in it.
        arrows: those of the functions that it applies.
    """

    term: z3.ExprRef
    free: frozenset[int]
    quantified: bool
    arrows: frozenset[Arrow]


_MOST_LOOKS = 200_000
_looks: dict[int, _Look] = {}
_NO_ARROWS: frozenset[Arrow] = frozenset()


def _look(term: z3.ExprRef) -> _Look:
    found = _looks.get(identity(term))
    if found is not None:
        return found
    if len(_looks) > _MOST_LOOKS:
        _looks.clear()
    todo = [term]
    while todo:
        node = todo[-1]
        form = shape(node)
        waiting = [child for child, key in zip(form.children, form.keys, strict=True) if key not in _looks]
        if waiting:
            todo += waiting
        else:
            todo.pop()
            _looks[identity(node)] = _look_at(form.term, [_looks[key] for key in form.keys])
    return _looks[identity(term)]


def _look_at(term: z3.ExprRef, parts: Sequence[_Look]) -> _Look:
    if z3.is_quantifier(term):
        inside = term.num_vars()
        return _Look(term, frozenset(index - inside for index in parts[0].free if index >= inside), True, parts[0].arrows)
    if z3.is_var(term):
        return _Look(term, frozenset((z3.get_var_index(term),)), False, _NO_ARROWS)
    arrows = _NO_ARROWS.union(*(part.arrows for part in parts))
    if shape(term).operator == z3.Z3_OP_UNINTERPRETED and parts and _is_index(term.sort()):
        arrows |= {(part.term.sort().name(), term.sort().name()) for part in parts if _is_index(part.term.sort())}
    return _Look(term, frozenset[int]().union(*(part.free for part in parts)), any(part.quantified for part in parts), arrows)


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
            sources = frozenset().union(*(scope[i].sources for i in _look(term).free))
            for number in range(term.num_vars()):
                if _is_index(term.var_sort(number)):
                    yield from ((source, term.var_sort(number).name()) for source in sources)
        # Variables of a sort without elements of its own (a truth value) carry no dependence but their own.
        bound = [_Bound(term.var_sort(n).name(), universal and _is_index(term.var_sort(n)), sources) for n in range(term.num_vars())]
        yield from _alternations(term.body(), true, false, (*reversed(bound), *scope))
    elif z3.is_app(term) and _look(term).quantified:
        yield from _of_application(term, true, false, scope)


def _of_application(term: z3.ExprRef, true: bool, false: bool, scope: tuple[_Bound, ...]) -> Iterator[Arrow]:
    children = shape(term).children
    match shape(term).operator:
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
