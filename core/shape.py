"""What kind of term a term is, and its children: asked of Z3 once per term, remembered after.

Z3's Python wrappers check every call for errors and make a new object for every child; walking the same large terms again and again,
as grounding and path composition do, spends most of its time there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import z3
from z3 import z3core
from z3.z3 import _to_expr_ref
from z3.z3types import Ast

from . import quick_checks as quick_checks

T = TypeVar("T", covariant=True)


def identity(term: z3.ExprRef) -> int:
    """What tells a term from all others that are alive: Z3 keeps equal terms of a context once, so that is where it keeps this one.

    Z3 gives the place of a term that died to the next one: who remembers an identity keeps the term. It says nothing of an order.
    """
    # Z3's own number of a term says the same, and takes fifty times as long to ask for.
    return int(term.ast.value)


class OfTerm(Protocol[T]):
    """What a term says; who knows the term's identity already may hand it on."""

    def __call__(self, term: z3.ExprRef, key: int | None = None, /) -> T: ...


def once_a_term(look: Callable[[z3.ExprRef], T], most: int) -> OfTerm[T]:
    """`look`, asked once for each term and remembered by Z3's identity of it, for so many terms at most.

    The term is kept with the answer, so that Z3 does not give its identity to another.
    """
    known: dict[int, tuple[z3.ExprRef, T]] = {}

    def remembered(term: z3.ExprRef, key: int | None = None, /) -> T:
        if key is None:
            key = identity(term)
        found = known.get(key)
        if found is None:
            if len(known) > most:
                known.clear()
            found = known[key] = (term, look(term))
        return found[1]

    return remembered


@dataclass(frozen=True, slots=True)
class Shape:
    """The outside of a term.

    Args:
        term: the term itself.
        operator: the kind of its declaration, -1 for a quantifier and -2 for a bound variable.
        children: its arguments, or the body of a quantifier.
        keys: their identities.
    """

    term: z3.ExprRef
    operator: int
    children: tuple[z3.ExprRef, ...]
    keys: tuple[int, ...]


_QUANTIFIER, _VARIABLE = -1, -2
_TRUE, _FALSE = z3.BoolVal(True), z3.BoolVal(False)
_TRUE_KEY, _FALSE_KEY, _MAIN = identity(_TRUE), identity(_FALSE), _TRUE.ctx


def children(term: z3.ExprRef) -> tuple[z3.ExprRef, ...]:
    """The arguments of an application, or the body of a quantifier."""
    return shape(term).children


def is_true(term: z3.ExprRef) -> bool:
    """Whether `term` is the constant true. Z3 keeps one term of it, so that its identity tells."""
    return bool(identity(term) == _TRUE_KEY if term.ctx is _MAIN else z3.is_true(term))


def is_false(term: z3.ExprRef) -> bool:
    """Whether `term` is the constant false."""
    return bool(identity(term) == _FALSE_KEY if term.ctx is _MAIN else z3.is_false(term))


def with_children(term: z3.ExprRef, parts: Sequence[z3.ExprRef]) -> z3.ExprRef:
    """The same application over other arguments of the same sorts; Z3 refuses others.

    Raises:
        z3.Z3Exception: their number or a sort is wrong.
    """
    context = term.ctx
    array = (Ast * len(parts))(*(part.as_ast() for part in parts))
    return wrapped(z3core.Z3_update_term(context.ref(), term.as_ast(), len(parts), array), context)


def applied_to(function: z3.FuncDeclRef, arguments: Sequence[z3.ExprRef]) -> z3.ExprRef:
    """`function(*arguments)` of terms that are there already: Z3 itself looks at their number and sorts, and nothing is converted first.

    Raises:
        z3.Z3Exception: their number or a sort is wrong.
    """
    context = function.ctx
    array = (Ast * len(arguments))(*(argument.ast for argument in arguments))
    return wrapped(z3core.Z3_mk_app(context.ref(), function.ast, len(arguments), array), context)


def all_of(parts: Sequence[z3.BoolRef]) -> z3.BoolRef:
    """`z3.And` of terms that are there already, some at least: Z3 itself looks at their sorts, and nothing is converted first."""
    context, array = _one_context(parts)
    return z3.BoolRef(z3core.Z3_mk_and(context.ref(), len(array), array), context)


def any_of(parts: Sequence[z3.BoolRef]) -> z3.BoolRef:
    """`z3.Or`, as `all_of`."""
    context, array = _one_context(parts)
    return z3.BoolRef(z3core.Z3_mk_or(context.ref(), len(array), array), context)


def opposite(part: z3.BoolRef) -> z3.BoolRef:
    """`z3.Not`, as `all_of`."""
    return z3.BoolRef(z3core.Z3_mk_not(part.ctx.ref(), part.ast), part.ctx)


def same(left: z3.ExprRef, right: z3.ExprRef) -> z3.BoolRef:
    """`left == right`, as `all_of`."""
    if type(left) is not type(right) and isinstance(right, type(left)):
        left, right = right, left  # Python asks the subclass first: a number stands on the left
    context, (one, other) = _one_context((left, right))
    return z3.BoolRef(z3core.Z3_mk_eq(context.ref(), one, other), context)


def either(condition: z3.BoolRef, then: z3.ExprRef, otherwise: z3.ExprRef) -> z3.ExprRef:
    """`z3.If`, as `all_of`."""
    context, array = _one_context((condition, then, otherwise))
    return wrapped(z3core.Z3_mk_ite(context.ref(), *array), context)


def _one_context(parts: Sequence[z3.ExprRef]) -> tuple[z3.Context, Sequence[Ast]]:
    context = parts[0].ctx
    if any(part.ctx is not context for part in parts):
        raise z3.Z3Exception("terms of two contexts in one")
    return context, (Ast * len(parts))(*(part.ast for part in parts))


def subterms(term: z3.ExprRef) -> list[z3.ExprRef]:
    """All distinct subterms, bodies of quantifiers included."""
    found: dict[int, z3.ExprRef] = {}
    todo = [(term, identity(term))]
    while todo:
        node, key = todo.pop()
        if key not in found:
            found[key] = node
            seen = shape(node, key)
            todo += [pair for pair in zip(seen.children, seen.keys, strict=True) if pair[1] not in found]
    return list(found.values())


_shapes: dict[int, Shape] = {}
_MOST_SHAPES = 400_000


def shape(term: z3.ExprRef, key: int | None = None, /) -> Shape:
    """The shape of a term; who knows the term's identity already may hand it on. Remembered as by `once_a_term`."""
    if key is None:
        key = identity(term)
    found = _shapes.get(key)
    if found is None:
        if len(_shapes) > _MOST_SHAPES:
            _shapes.clear()
        found = _shapes[key] = _look(term)
    return found


def _look(term: z3.ExprRef) -> Shape:
    if isinstance(term, z3.QuantifierRef):
        body = term.body()
        return Shape(term, _QUANTIFIER, (body,), (identity(body),))
    context, reference, app = term.ctx, term.ctx.ref(), term.ast
    if z3core.Z3_get_ast_kind(reference, app) not in _APPLICATIONS:
        return Shape(term, _VARIABLE, (), ())
    raw = [z3core.Z3_get_app_arg(reference, app, i) for i in range(z3core.Z3_get_app_num_args(reference, app))]
    keys = tuple(int(child.value) for child in raw)
    # Most children have been looked at before: there is an object of Z3's for each of them.
    arguments = tuple(_shapes[k].term if k in _shapes else wrapped(child, context) for child, k in zip(raw, keys, strict=True))
    return Shape(term, z3core.Z3_get_decl_kind(reference, z3core.Z3_get_app_decl(reference, app)), arguments, keys)


def wrapped(raw: Ast, context: z3.Context) -> z3.ExprRef:
    """Z3's object for a term of its library: what nearly all of ours are is told by three questions, where Z3 itself asks more."""
    reference = context.ref()
    if z3core.Z3_get_ast_kind(reference, raw) == z3.Z3_APP_AST:
        plain = _PLAIN.get(z3core.Z3_get_sort_kind(reference, z3core.Z3_get_sort(reference, raw)))
        if plain is not None:
            return plain(raw, context)
    return _to_expr_ref(raw, context)


_APPLICATIONS = frozenset({z3.Z3_APP_AST, z3.Z3_NUMERAL_AST})
_PLAIN = {z3.Z3_BOOL_SORT: z3.BoolRef, z3.Z3_UNINTERPRETED_SORT: z3.ExprRef, z3.Z3_BV_SORT: z3.BitVecRef}

applied = once_a_term(lambda term: str(term.decl().name()), 400_000)
"""The name of the function that an application applies."""


def _look_for_names(term: z3.ExprRef) -> frozenset[str]:
    return frozenset(applied(part) for part in subterms(term) if shape(part).operator == z3.Z3_OP_UNINTERPRETED)


names = once_a_term(_look_for_names, 400_000)
"""The names of all functions and constants in a term that Z3 does not know by itself."""

sort_name = once_a_term(lambda term: str(term.sort().name()), 400_000)
"""The name of a term's sort."""

sort_identity = once_a_term(lambda term: int(z3core.Z3_get_sort(term.ctx.ref(), term.ast).value), 400_000)
"""What tells the sort of a term from all others, as `identity` does of terms."""
