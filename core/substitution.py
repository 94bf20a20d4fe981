"""Substitution of constants without the checks that make up most of `z3.substitute`: it is called a hundred thousand times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import z3
from z3 import z3core
from z3.z3types import Ast

from .shape import identity, shape, wrapped


class Substitution:
    """Replaces constants by terms of the same sort; the caller vouches for the sorts."""

    def __init__(self, pairs: Mapping[z3.ExprRef, z3.ExprRef]) -> None:
        self._kept = list(pairs.items())  # the arrays below hold no references of their own
        self._size = len(self._kept)
        self._from = (Ast * self._size)(*(a.as_ast() for a, _ in self._kept))
        self._to = (Ast * self._size)(*(b.as_ast() for _, b in self._kept))

    def __call__(self, term: z3.ExprRef) -> z3.ExprRef:
        if not self._size:
            return term
        context = term.ctx
        return wrapped(z3core.Z3_substitute(context.ref(), term.as_ast(), self._size, self._from, self._to), context)


def substituted(term: z3.ExprRef, old: Sequence[z3.ExprRef], new: Sequence[z3.ExprRef]) -> z3.ExprRef:
    """`term` with each of `old` replaced by what stands at its place in `new`, at once.

    Raises:
        z3.Z3Exception: two of them are of different sorts.
        ValueError: there are more of one than of the other.
    """
    if len(old) != len(new):
        raise ValueError(f"{len(old)} terms are replaced by {len(new)}")
    if not old:
        return term
    context, size = term.ctx, len(old)
    arrays = ((Ast * size)(*(x.as_ast() for x in terms)) for terms in (old, new))
    return wrapped(z3core.Z3_substitute(context.ref(), term.as_ast(), size, *arrays), context)


def constants_in(term: z3.ExprRef) -> frozenset[int]:
    """The identities of the uninterpreted constants that occur in `term`."""
    found, seen, todo = set(), set(), [term]
    while todo:
        node = todo.pop()
        key = identity(node)
        if key in seen:
            continue
        seen.add(key)
        form = shape(node)
        if not form.children and form.operator == z3.Z3_OP_UNINTERPRETED:
            found.add(key)
        todo += [child for child, child_key in zip(form.children, form.keys, strict=True) if child_key not in seen]
    return frozenset(found)
