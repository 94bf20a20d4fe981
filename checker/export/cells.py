"""What every export writes: cells, one input, a next value for each cell, and the bad states, in the model's own names.

The input names the action instance. Where it names none, or one whose guard does not hold, nothing changes: so the exported
system is total whatever a reader makes of the input, and a state that is bad within so many steps is bad after exactly so many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import z3

from ...core.ground import Cell, GroundAction, GroundSystem, bad, choose, conjunction, is_value
from ...core.shape import identity, shape
from ...core.sorts import Sort
from ...core.system import Property
from ..bounded.unroller import Unroller


@dataclass(frozen=True)
class Machine:
    """A grounded system and a property, as next-state functions."""

    grounded: GroundSystem
    prop: Property

    @cached_property
    def _unroller(self) -> Unroller:
        return Unroller(self.grounded)

    @property
    def selector(self) -> z3.BitVecRef:
        """The input: which action instance fires."""
        return self._unroller.selector

    @cached_property
    def variables(self) -> tuple[tuple[Cell, z3.ExprRef], ...]:
        """Each cell with the constant that stands for it in the terms."""
        return tuple((cell, self.grounded.variable(cell)) for cell in self.grounded.cells)

    @cached_property
    def following(self) -> tuple[z3.ExprRef, ...]:
        """The next value of each cell, in the order of `variables`."""
        fires, changed = self._unroller.choice, self._unroller.next_state
        return tuple(value if value.eq(changed[cell]) else choose(fires, changed[cell], value) for cell, value in self.variables)

    @cached_property
    def starts(self) -> dict[Cell, z3.ExprRef]:
        """The cells that start with one known value."""
        only = {cell: _zero(value) for cell, value in self.variables if self.grounded.geometry.size(cell.var.kind) == 1}
        return only | {cell: value for cell, value in self.grounded.init.items() if is_value(value)}

    @cached_property
    def start_condition(self) -> z3.BoolRef:
        """What else is known of the initial states."""
        grounded = self.grounded
        relative = [grounded.variable(cell) == value for cell, value in grounded.init.items() if cell not in self.starts]
        return z3.simplify(conjunction([*relative, grounded.constraint, self._free_in_range]))

    @property
    def _free_in_range(self) -> z3.BoolRef:
        sizes = [
            (v, self.grounded.geometry.size(c.var.kind)) for c, v in self.variables if isinstance(c.var.kind, Sort) and c not in self.starts
        ]
        return conjunction([z3.ULT(v, size) for v, size in sizes if size < 2 ** v.size()])

    @cached_property
    def bad(self) -> z3.BoolRef:
        """The states in which the property does not hold."""
        return bad(self.grounded, self.prop)

    def title(self) -> Iterator[str]:
        """What a reader should know first, as lines of a comment."""
        grounded = self.grounded
        yield one_line(f"system {grounded.system.name} at {str(grounded.geometry) or 'its only size'}")
        yield one_line(f"property {self.prop.name}: {self.prop.sentence}")
        yield f"{len(grounded.cells)} cells ({grounded.bits} bits), {len(grounded.actions)} action instances"
        for cell, value in grounded.constants.items():
            yield one_line(f"always {cell.name} = {_shown(cell, value)}")
        for sort in grounded.system.sorts:
            if sort.elements:
                yield one_line(f"{sort.name}: {', '.join(f'{number} {name}' for number, name in enumerate(sort.elements))}")

    def choices(self) -> Iterator[str]:
        """What each value of the input means, as lines of a comment."""
        for number, action in enumerate(self.grounded.actions):
            yield f"{self.selector.decl().name()} {number}: {told(action)}"


def told(action: GroundAction) -> str:
    """An action instance as a reader may know it: its name, what it does, and where that stands."""
    label = action.action.label
    for param, value in zip(action.action.params, action.arguments, strict=True):
        shown = param.kind.show(value) if isinstance(param.kind, Sort) else str(value)
        label = label.replace(f"{{{param.name}}}", shown)
    where = f" ({action.action.source[0]})" if action.action.source else ""
    return one_line(f"{action.name}{': ' + label if label else ''}{where}")


def one_line(text: str) -> str:
    """`text` fit for the rest of a line."""
    return " ".join(text.split())


def _shown(cell: Cell, value: z3.ExprRef) -> str:
    if z3.is_bv_value(value) and isinstance(cell.var.kind, Sort):
        return cell.var.kind.show(value.as_long())
    return str(value)


def _zero(variable: z3.ExprRef) -> z3.ExprRef:
    return z3.BitVecVal(0, variable.size())


def in_order(roots: Iterable[z3.ExprRef]) -> list[z3.ExprRef]:
    """All distinct subterms, each after its children, in an order that depends on the terms alone."""
    found: dict[int, z3.ExprRef] = {}
    for root in roots:
        todo = [root]
        while todo:
            node = todo[-1]
            form = shape(node)
            waiting = [child for child, key in zip(form.children, form.keys, strict=True) if key not in found]
            if identity(node) in found or not waiting:
                todo.pop()
                found.setdefault(identity(node), node)
            else:
                todo += reversed(waiting)
    return list(found.values())


def uses(order: Sequence[z3.ExprRef], roots: Iterable[z3.ExprRef]) -> Counter[int]:
    """How often each term is an argument, or a root, by its identity."""
    counted: Counter[int] = Counter(identity(root) for root in roots)
    for term in order:
        counted.update(shape(term).keys)
    return counted
