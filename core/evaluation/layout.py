"""Flat states: one plain value per cell, and where each cell stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

from ..ground import Cell, cells_of
from ..sorts import Geometry, StateVar
from ..system import TransitionSystem

State = tuple[int, ...]
"""One value per cell, in the order of `Layout.cells`; truth values are 0 and 1."""


class Layout:
    """Where each cell of a system stands in a flat state."""

    def __init__(self, system: TransitionSystem, geometry: Geometry) -> None:
        self.system = system
        self.geometry = geometry
        self.cells: tuple[Cell, ...] = tuple(c for v in system.state for c in cells_of(v, geometry))
        self.offset: dict[str, int] = {}
        for i, cell in enumerate(self.cells):
            self.offset.setdefault(cell.var.name, i)

    @cached_property
    def position(self) -> dict[str, int]:
        """The place of each cell, by its name."""
        return {cell.name: i for i, cell in enumerate(self.cells)}

    def strides(self, var: StateVar) -> tuple[int, ...]:
        """How far apart neighbouring indices of `var` stand, per parameter."""
        return strides([self.geometry.size(s) for s in var.params])

    def value(self, state: State, var: StateVar | str, *index: int) -> int:
        """The value of one cell of a state."""
        found = self.system.by_name[var] if isinstance(var, str) else var
        return state[self.offset[found.name] + sum(i * s for i, s in zip(index, self.strides(found), strict=True))]


def strides(sizes: Sequence[int]) -> tuple[int, ...]:
    """How far apart neighbours stand, per index, where the last index runs fastest."""
    return tuple(math.prod(sizes[i + 1 :]) for i in range(len(sizes)))
