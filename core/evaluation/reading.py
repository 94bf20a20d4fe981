"""Terms as they are read from Z3, once: what plain evaluation writes down as Python (`evaluate.py`) and folds into vectors (`vectors.py`).

A term that is shared is read once, and what is read knows which parameters and how many bound variables it speaks of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import z3

from ..errors import ModelError
from ..shape import applied, identity, shape
from ..sorts import Rigid, StateVar, Truth, element_index
from ..system import Update
from .layout import Layout


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A number, an element or a truth value, as a plain value."""

    value: int
    names: tuple[int, ...] = ()
    depth: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A variable of an enclosing quantifier; the innermost one is at depth 1."""

    depth: int
    term: z3.ExprRef
    names: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Name:
    """A constant that may be a parameter of an action or a variable of an update; `otherwise` is what it means where it is neither."""

    term: z3.ExprRef
    otherwise: Node | None
    names: tuple[int, ...]
    depth: int = 0

    @property
    def key(self) -> int:
        return self.names[0]

    def declared(self) -> Node:
        """What it means where it is no parameter.

        Raises:
            ModelError: it means nothing then.
        """
        if self.otherwise is None:
            raise ModelError(f"{self.term} is neither a state variable, a rigid function nor a parameter here")
        return self.otherwise


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A state variable at an index."""

    var: StateVar
    parts: tuple[Node, ...]
    names: tuple[int, ...]
    depth: int


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A cell of a grounded term, by its place in the state."""

    place: int
    names: tuple[int, ...] = ()
    depth: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """A rigid function at arguments."""

    rigid: Rigid
    parts: tuple[Node, ...]
    names: tuple[int, ...]
    depth: int


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """An interpreted operator of Z3; `term` says which, and at which widths."""

    term: z3.ExprRef
    operator: int
    parts: tuple[Node, ...]
    names: tuple[int, ...]
    depth: int


@dataclass(frozen=True, slots=True, eq=False)
class Quantified:
    """A body for all, or for some, values of its variables: as many as `sizes` says, the last one innermost."""

    universal: bool
    sizes: tuple[int, ...]
    body: Node
    names: tuple[int, ...]
    depth: int


Node = Constant | Bound | Name | Look | Place | Fixed | Operation | Quantified


@dataclass
class Reader:
    """Reads terms over the state of one system at one geometry."""

    layout: Layout
    _known: dict[int, tuple[z3.ExprRef, Node]] = field(default_factory=dict)
    _names: set[int] = field(default_factory=set)

    def read(self, term: z3.ExprRef, names: Iterable[z3.ExprRef] = ()) -> Node:
        """What `term` says; the constants `names` stand for values that come later, even where a cell is called so.

        Raises:
            ModelError: an application of what the system does not declare.
        """
        keys = {identity(name): name for name in names}
        new = keys.keys() - self._names
        if new:
            # What was read with one of them in it says something else now; but only if it has a meaning of its own.
            if any(self._declared(keys[key], ()) is not None for key in new):
                self._known.clear()
            self._names |= new
        return self._read(term)

    def _read(self, term: z3.ExprRef) -> Node:
        key = identity(term)
        found = self._known.get(key)
        if found is None:
            # The term is kept, so that Z3 does not give its identity to another.
            found = self._known[key] = (term, self._look(term))
        return found[1]

    def _look(self, term: z3.ExprRef) -> Node:
        seen = shape(term)
        if seen.operator < 0:  # no application
            return self._quantified(term) if z3.is_quantifier(term) else Bound(z3.get_var_index(term) + 1, term)
        if seen.operator == z3.Z3_OP_UNINTERPRETED:
            return self._applied(term, seen.children)
        if seen.operator == z3.Z3_OP_BNUM:
            return Constant(term.as_long())
        if seen.operator in (z3.Z3_OP_TRUE, z3.Z3_OP_FALSE):
            return Constant(int(seen.operator == z3.Z3_OP_TRUE))
        parts = tuple(map(self._read, seen.children))
        return Operation(term, seen.operator, parts, *_free(parts))

    def _quantified(self, term: z3.QuantifierRef) -> Node:
        sizes = []
        for number in range(term.num_vars()):
            sort = term.var_sort(number)
            kind = Truth() if isinstance(sort, z3.BoolSortRef) else self.layout.system.sort_by_name[sort.name()]
            sizes.append(self.layout.geometry.size(kind))
        body = self._read(term.body())
        return Quantified(term.is_forall(), tuple(sizes), body, body.names, max(0, body.depth - len(sizes)))

    def _applied(self, term: z3.ExprRef, arguments: Sequence[z3.ExprRef]) -> Node:
        if not arguments and identity(term) in self._names:
            return Name(term, self._declared(term, arguments), (identity(term),))
        found = self._declared(term, arguments)
        if found is None and not arguments:
            return Name(term, None, (identity(term),))
        if found is None:
            raise ModelError(f"{term.decl().name()} is neither a state variable, a rigid function nor a parameter here")
        return found

    def _declared(self, term: z3.ExprRef, arguments: Sequence[z3.ExprRef]) -> Node | None:
        """A term that means something by itself, whatever is bound."""
        system, name = self.layout.system, applied(term)
        index = None if arguments else element_index(term)
        if index is not None:
            return Constant(index)
        parts = tuple(map(self._read, arguments))
        if name in system.by_name:
            var = system.by_name[name]
            if len(parts) != len(var.params):
                raise ModelError(f"{name} takes {len(var.params)} arguments, got {len(parts)}")
            return Look(var, parts, *_free(parts))
        if name in system.rigid_by_name:
            return Fixed(system.rigid_by_name[name], parts, *_free(parts))
        if not parts and name in self.layout.position:
            return Place(self.layout.position[name])
        return None


def _free(parts: Sequence[Node]) -> tuple[tuple[int, ...], int]:
    """Which names, and how deep bound variables, are spoken of."""
    if len(parts) == 1:
        return parts[0].names, parts[0].depth
    return tuple(sorted({name for part in parts for name in part.names})), max((part.depth for part in parts), default=0)


def is_unchanged(node: Node, update: Update) -> bool:
    """Whether an update writes back what stood there, if its value is `node`."""
    if not isinstance(node, Look) or node.var.name != update.var.name:
        return False
    return all(isinstance(p, Name) and p.key == identity(v) for p, v in zip(node.parts, update.variables, strict=True))
