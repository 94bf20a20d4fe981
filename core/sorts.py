"""What a state is made of: sorts, state variables that are functions over them, and rigid functions that never change.

Terms are Z3 terms over *uninterpreted* sorts. The same term is grounded at a geometry for bug finding, evaluated on plain
values for replay, and left as it is for proofs of every size; nothing here decides which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TypeAlias

import z3

from .errors import ModelError
from .shape import applied_to, once_a_term

Term: TypeAlias = z3.ExprRef  # in the classes below `z3` is a kind's sort


@dataclass(frozen=True, slots=True)
class Sort:
    """An index sort (pages, threads, devices: any number of them), or an enumeration when `elements` are named.

    An enumeration has the same elements at every geometry; the size of any other sort is chosen by the geometry.
    """

    name: str
    elements: tuple[str, ...] = ()

    @property
    def z3(self) -> z3.SortRef:
        return _declare_sort(self.name)

    def element(self, which: int | str) -> Term:
        """The constant that names one element, by number or, in an enumeration, by name.

        Raises:
            ModelError: the enumeration has no such element.
        """
        if isinstance(which, str):
            if which not in self.elements:
                raise ModelError(f"{self.name} has no element {which!r}; it has {', '.join(self.elements) or 'no named ones'}")
            which = self.elements.index(which)
        return _element(self.name, which)

    def const(self, name: str) -> Term:
        """A free constant of this sort: a parameter of an action or a bound variable to be."""
        return _const(name, self.name)

    def show(self, index: int) -> str:
        """An element as a person reads it."""
        return self.elements[index] if index < len(self.elements) else str(index)


@cache
def _declare_sort(name: str) -> z3.SortRef:
    return z3.DeclareSort(name)


# Constants are made once: they are asked for again and again, and what is remembered of one may be by its identity.
@cache
def _const(name: str, sort: str) -> z3.ExprRef:
    return z3.Const(name, _declare_sort(sort))


@cache
def _element(sort: str, index: int) -> z3.ExprRef:
    return z3.Const(f"{sort}!{index}", _declare_sort(sort))


def _element_index(term: z3.ExprRef) -> int | None:
    if not z3.is_const(term):
        return None
    sort, mark, number = term.decl().name().rpartition("!")
    return int(number) if mark and number.isdigit() and sort == term.sort().name() else None


element_index = once_a_term(_element_index, 100_000)
"""The number of an element constant made by `Sort.element`, or None for any other term."""


@dataclass(frozen=True, slots=True)
class Word:
    """A bit-vector of `width` bits; a system with words is grounded only, never proved for every size."""

    width: int

    @property
    def z3(self) -> z3.SortRef:
        return z3.BitVecSort(self.width)

    def const(self, name: str) -> Term:
        return _word(name, self.width)


@dataclass(frozen=True, slots=True)
class Truth:
    """The two truth values."""

    @property
    def z3(self) -> z3.SortRef:
        return z3.BoolSort()

    def const(self, name: str) -> Term:
        return _truth(name)


@cache
def _word(name: str, width: int) -> z3.ExprRef:
    return z3.BitVec(name, width)


@cache
def _truth(name: str) -> z3.ExprRef:
    return z3.Bool(name)


BOOL = Truth()
Kind = Sort | Word | Truth


@dataclass(frozen=True)
class StateVar:
    """A state variable: a function from index sorts to a kind; a plain variable has no parameters.

    `doc` says what it stands for and where the fact comes from.
    """

    name: str
    params: tuple[Sort, ...]
    kind: Kind
    doc: str = field(default="", compare=False)

    @cached_property
    def decl(self) -> z3.FuncDeclRef:
        return z3.Function(self.name, *(s.z3 for s in self.params), self.kind.z3)

    def __call__(self, *arguments: z3.ExprRef) -> z3.ExprRef:
        if len(arguments) != len(self.params):
            wanted = ", ".join(s.name for s in self.params)
            raise ModelError(f"{self.name} takes {len(self.params)} arguments ({wanted}), got {len(arguments)}")
        return applied_to(self.decl, arguments)

    def variables(self) -> tuple[z3.ExprRef, ...]:
        """Fresh-looking constants for its parameters, for use as the bound variables of an update."""
        return tuple(s.const(f"{s.name.lower()}_{i}") for i, s in enumerate(self.params))


@dataclass(frozen=True)
class Rigid:
    """A function that never changes: an order, "is in the region of", a role.

    Args:
        meaning: its value at a geometry for plain argument values; what replay and exploration use.
        axioms: closed terms that proofs of every size may assume about it; `check_axioms` tests them against `meaning`.
        witnesses: as `axioms`, of the form "for all x there is a y": true, too, but outside the decidable fragment.
        term: for arguments or results that are words: builds the grounded term directly instead of a table of `meaning`.
    """

    name: str
    params: tuple[Kind, ...]
    kind: Kind
    meaning: Callable[[Geometry, tuple[int, ...]], int | bool] = field(compare=False)
    axioms: tuple[z3.BoolRef, ...] = field(default=(), compare=False)
    witnesses: tuple[z3.BoolRef, ...] = field(default=(), compare=False)
    term: Callable[..., z3.ExprRef] | None = field(default=None, compare=False)
    doc: str = field(default="", compare=False)

    @cached_property
    def decl(self) -> z3.FuncDeclRef:
        return z3.Function(self.name, *(k.z3 for k in self.params), self.kind.z3)

    def __call__(self, *arguments: z3.ExprRef) -> z3.ExprRef:
        return applied_to(self.decl, arguments)


@dataclass(frozen=True)
class Geometry:
    """How many elements each index sort has: the size at which a system is grounded."""

    sizes: Mapping[str, int]

    def size(self, kind: Kind) -> int:
        """How many values `kind` has here.

        Raises:
            ModelError: the geometry says nothing about this sort.
        """
        match kind:
            case Sort(elements=(_, *_)):
                return len(kind.elements)
            case Sort():
                if self.sizes.get(kind.name, 0) < 1:
                    raise ModelError(f"the geometry gives no size of at least 1 for sort {kind.name}; it has {dict(self.sizes)}")
                return self.sizes[kind.name]
            case Word():
                return int(2**kind.width)
            case Truth():
                return 2

    def width(self, kind: Sort) -> int:
        """How many bits an element takes when grounded: at least one."""
        return max(1, (self.size(kind) - 1).bit_length())

    def __str__(self) -> str:
        return ", ".join(f"{name}={size}" for name, size in sorted(self.sizes.items()))
