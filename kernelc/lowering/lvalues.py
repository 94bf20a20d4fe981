"""Places: what can stand on the left of an assignment, or have its address taken."""

from __future__ import annotations

from dataclasses import dataclass

import z3

from ..errors import Refusal
from .library import CType, Value


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """A local, or a part of one."""

    type: CType
    path: str


@dataclass(frozen=True, slots=True)
class ElementPlace:
    """An element of a local array at an index that is not a constant; `rest` leads from the element to the part meant."""

    type: CType
    array: str
    length: int
    index: z3.ExprRef
    rest: str = ""


@dataclass(frozen=True, slots=True)
class DerefPlace:
    """What a pointer into shared state points to."""

    pointer: Value


@dataclass(frozen=True, slots=True)
class FieldPlace:
    """A field of something that is not a local: shared state, read and written through intrinsics."""

    base: Value
    fields: str


@dataclass(frozen=True, slots=True)
class FixedPlace:
    """A name bound to a value: a constant, a pointer to a local, or a parameter that its function never assigns."""

    value: Value


@dataclass(frozen=True, slots=True)
class MissingPlace:
    """A name that is declared where nothing can run: whoever jumps past that and uses it is refused."""

    refusal: Refusal


Place = LocalPlace | ElementPlace | DerefPlace | FieldPlace | FixedPlace | MissingPlace
