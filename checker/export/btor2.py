"""BTOR2: the word-level format of hardware model checking, as btormc, Pono and AVR read it.

Truth values are words of one bit there. An initial value must be written before its state, and speaks of constants alone; what else
is known of the initial states holds wherever the state `initially` is 1, which is so at the start and never again.

Niemetz, Preiner, Wolf, Biere: BTOR2, BtorMC and Boolector 3.0, CAV 2018.
"""

from __future__ import annotations

import z3

from ...core.errors import ModelError
from ...core.ground import Cell, GroundSystem
from ...core.shape import identity, shape
from ...core.system import Property
from ..operators import OPERATORS
from .cells import Machine, in_order

_CHAINED = {operator: written.btor2 for operator, written in OPERATORS.items() if written.chained}
_PLAIN = {operator: written.btor2 for operator, written in OPERATORS.items() if written.btor2 and not written.chained}


def transition_system(grounded: GroundSystem, prop: Property) -> str:
    """States with their initial and next values, the input that chooses an action, and the bad states."""
    return "\n".join(_Writer(Machine(grounded, prop)).lines()) + "\n"


class _Writer:
    """Gives each line its number."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._lines: list[str] = []
        self._count = 0
        self._sorts: dict[int, int] = {}
        self._values: dict[tuple[int, int], int] = {}
        self._nodes: dict[int, tuple[z3.ExprRef, int]] = {}

    def lines(self) -> list[str]:
        machine = self._machine
        self._lines += [f"; {line}" for line in (*machine.title(), *machine.choices())]
        for value in machine.starts.values():
            self._node(value)
        states = {cell: self._state(cell, value) for cell, value in machine.variables}
        selector = machine.selector
        self._nodes[identity(selector)] = (selector, self._line(f"input {self._sort(selector.size())} {_name(selector.decl().name())}"))
        self._initially()
        terms = [*machine.following, machine.bad]
        for term in in_order(terms):
            self._node(term)
        for (cell, value), after in zip(machine.variables, machine.following, strict=True):
            self._line(f"next {self._sort(_width(value))} {states[cell]} {self._node(after)}")
        self._line(f"bad {self._node(machine.bad)} {_name(machine.prop.name)}")
        return self._lines

    def _state(self, cell: Cell, value: z3.ExprRef) -> int:
        sort = self._sort(_width(value))
        number = self._line(f"state {sort} {_name(cell.name)}")
        self._nodes[identity(value)] = (value, number)
        if cell in self._machine.starts:
            self._line(f"init {sort} {number} {self._node(self._machine.starts[cell])}")
        return number

    def _initially(self) -> None:
        condition = self._machine.start_condition
        if z3.is_true(condition):
            return
        bit = self._sort(1)
        one, zero = self._value(1, 1), self._value(0, 1)
        state = self._line(f"state {bit} initially")
        self._line(f"init {bit} {state} {one}")
        self._line(f"next {bit} {state} {zero}")
        for term in in_order([condition]):
            self._node(term)
        self._line(f"constraint {self._line(f'implies {bit} {state} {self._node(condition)}')}")

    def _line(self, text: str) -> int:
        self._count += 1
        self._lines.append(f"{self._count} {text}")
        return self._count

    def _sort(self, width: int) -> int:
        if width not in self._sorts:
            self._sorts[width] = self._line(f"sort bitvec {width}")
        return self._sorts[width]

    def _value(self, value: int, width: int) -> int:
        if (value, width) not in self._values:
            sort = self._sort(width)
            self._values[value, width] = self._line(f"constd {sort} {value}")
        return self._values[value, width]

    def _node(self, term: z3.ExprRef) -> int:
        """The number of a term whose parts have theirs."""
        key = identity(term)
        if key not in self._nodes:
            self._nodes[key] = (term, self._write(term))
        return self._nodes[key][1]

    def _write(self, term: z3.ExprRef) -> int:
        if z3.is_bv_value(term):
            return self._value(term.as_long(), term.size())
        if z3.is_true(term) or z3.is_false(term):
            return self._value(int(z3.is_true(term)), 1)
        form = shape(term)
        parts = [self._nodes[key][1] for key in form.keys]
        width = _width(term)
        match form.operator:
            case operator if operator in _CHAINED:
                return self._chain(_CHAINED[operator], term, parts)
            case operator if operator in _PLAIN:
                return self._line(f"{_PLAIN[operator]} {self._sort(width)} {' '.join(map(str, parts))}")
            case z3.Z3_OP_DISTINCT:
                pairs = [(a, b) for i, a in enumerate(parts) for b in parts[i + 1 :]]
                sort = self._sort(1)
                return self._joined("and", sort, [self._line(f"neq {sort} {a} {b}") for a, b in pairs])
            case z3.Z3_OP_EXTRACT:
                high, low = term.params()
                return self._line(f"slice {self._sort(width)} {parts[0]} {high} {low}")
            case z3.Z3_OP_ZERO_EXT:
                return self._line(f"uext {self._sort(width)} {parts[0]} {width - _width(form.children[0])}")
            case z3.Z3_OP_SIGN_EXT:
                return self._line(f"sext {self._sort(width)} {parts[0]} {width - _width(form.children[0])}")
            case _:
                raise ModelError(f"the BTOR2 export does not know the operator {term.decl().name()} in {term}")

    def _chain(self, operator: str, term: z3.ExprRef, parts: list[int]) -> int:
        if operator != "concat":
            return self._joined(operator, self._sort(_width(term)), parts)
        children = shape(term).children
        result, width = parts[0], _width(children[0])
        for part, child in zip(parts[1:], children[1:], strict=True):
            width += _width(child)
            result = self._line(f"concat {self._sort(width)} {result} {part}")
        return result

    def _joined(self, operator: str, sort: int, parts: list[int]) -> int:
        result = parts[0]
        for part in parts[1:]:
            result = self._line(f"{operator} {sort} {result} {part}")
        return result


def _width(term: z3.ExprRef) -> int:
    return int(term.size()) if z3.is_bv(term) else 1


def _name(name: str) -> str:
    """A name without blanks, which would end it, and without what begins a comment."""
    return "_".join(name.replace(";", "_").split())
