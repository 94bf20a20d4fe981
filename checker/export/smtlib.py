"""SMT-LIB: the transition relation with the annotations of VMT-LIB, or one question about so many steps.

Both are plain SMT-LIB 2.6 over QF_BV. VMT-LIB is the format of nuXmv and IC3IA: `:next` ties a cell to its value after the step,
`:init`, `:trans` and `:invar-property` mark the three formulas; a solver that does not know the attributes ignores them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import z3

from ...core.errors import ModelError
from ...core.ground import GroundSystem, conjunction
from ...core.shape import identity, shape
from ...core.system import Property
from ..operators import smtlib
from .cells import Machine, in_order, uses

Namer = Callable[[str], str]
"""From the name of a cell, of the input or of a definition to its symbol."""

_DEEPEST = 60
_PRIME = "'"


def transition_system(grounded: GroundSystem, prop: Property) -> str:
    """The initial states, the transition relation and the property, as definitions; nothing is asked."""
    machine = Machine(grounded, prop)
    lines = [*_comment([*machine.title(), *machine.choices()]), "(set-logic QF_BV)"]
    for cell, value in machine.variables:
        lines.append(_declare(symbol(cell.name), value.sort()))
        lines.append(_declare(symbol(cell.name + _PRIME), value.sort()))
    lines.append(_declare(symbol(_input(machine)), machine.selector.sort()))
    for cell, value in machine.variables:
        lines.append(_define(f"state {cell.name}", value.sort(), f"(! {symbol(cell.name)} :next {symbol(cell.name + _PRIME)})"))
    writer = Writer(symbol)
    initial = _initial(machine)
    steps = writer.texts([initial, machine.bad, *machine.following])
    lines += writer.definitions
    trans = [f"(= {symbol(cell.name + _PRIME)} {step})" for (cell, _), step in zip(machine.variables, steps[2:], strict=True)]
    lines.append(_define("system init", z3.BoolSort(), f"(! {steps[0]} :init true)"))
    lines.append(_define("system trans", z3.BoolSort(), f"(! {_and(trans)} :trans true)"))
    lines.append(_define("system bad", z3.BoolSort(), steps[1]))
    lines.append(_define("system property", z3.BoolSort(), "(! (not |system bad|) :invar-property 0)"))
    return "\n".join(lines) + "\n"


def bounded(grounded: GroundSystem, prop: Property, depth: int) -> str:
    """One question: is a state bad that is at most `depth` steps from an initial one? `sat` means yes."""
    machine = Machine(grounded, prop)
    lines = [*_comment([*machine.title(), *machine.choices()]), *_comment([f"sat: violated within {depth} steps; unsat: not"])]
    lines.append("(set-logic QF_BV)")
    for step in range(depth + 1):
        lines += (_declare(_at(step)(cell.name), value.sort()) for cell, value in machine.variables)
        if step < depth:
            lines.append(_declare(_at(step)(_input(machine)), machine.selector.sort()))
    lines += _asserted(Writer(_at(0)), [_initial(machine)])
    for step in range(depth):
        writer = Writer(_at(step))
        values = writer.texts(machine.following)
        lines += writer.definitions
        after = _at(step + 1)
        lines += (f"(assert (= {after(cell.name)} {value}))" for (cell, _), value in zip(machine.variables, values, strict=True))
    # A step may be no action at all, so what is bad earlier is bad at the last step, too.
    lines += _asserted(Writer(_at(depth)), [machine.bad])
    return "\n".join([*lines, "(check-sat)"]) + "\n"


def _asserted(writer: Writer, terms: Sequence[z3.BoolRef]) -> Iterator[str]:
    texts = writer.texts(terms)
    yield from writer.definitions
    yield from (f"(assert {text})" for text in texts)


def _initial(machine: Machine) -> z3.BoolRef:
    known = [machine.grounded.variable(cell) == value for cell, value in machine.starts.items()]
    return conjunction([*known, machine.start_condition])


def _input(machine: Machine) -> str:
    return str(machine.selector.decl().name())


def _at(step: int) -> Namer:
    return lambda name: symbol(f"{name}@{step}")


def symbol(name: str) -> str:
    """A name as a quoted symbol, which may hold anything but a bar and a backslash."""
    return "|" + name.replace("|", "!").replace("\\", "!") + "|"


def _comment(lines: Iterable[str]) -> Iterator[str]:
    return (f"; {line}" for line in lines)


def _declare(name: str, sort: z3.SortRef) -> str:
    return f"(declare-fun {name} () {_sort(sort)})"


def _define(name: str, sort: z3.SortRef, body: str) -> str:
    return f"(define-fun {symbol(name)} () {_sort(sort)} {body})"


def _sort(sort: z3.SortRef) -> str:
    return f"(_ BitVec {sort.size()})" if isinstance(sort, z3.BitVecSortRef) else "Bool"


def _and(parts: Sequence[str]) -> str:
    return "true" if not parts else parts[0] if len(parts) == 1 else f"(and {' '.join(parts)})"


class Writer:
    """Writes grounded terms; what occurs more than once, or nests deeply, becomes a definition with a name."""

    def __init__(self, name: Namer) -> None:
        self._name = name
        self._texts: dict[int, tuple[z3.ExprRef, str, int]] = {}
        self.definitions: list[str] = []

    def texts(self, roots: Sequence[z3.ExprRef]) -> list[str]:
        """The text of each term; it may use `definitions`."""
        order = in_order(roots)
        counted = uses(order, roots)
        for term in order:
            if identity(term) not in self._texts:
                self._texts[identity(term)] = (term, *self._written(term, counted[identity(term)] > 1))
        return [self._texts[identity(root)][1] for root in roots]

    def _written(self, term: z3.ExprRef, shared: bool) -> tuple[str, int]:
        """The text of a term whose parts are written, and how deep it nests."""
        form = shape(term)
        if z3.is_bv_value(term):
            return f"#b{term.as_long():0{term.size()}b}", 0
        if form.operator == z3.Z3_OP_UNINTERPRETED and not form.children:
            return self._name(term.decl().name()), 0
        operator = _operator(term)
        if not form.children:
            return operator, 0
        parts = [self._texts[key] for key in form.keys]
        text = f"({operator} {' '.join(part[1] for part in parts)})"
        depth = 1 + max(part[2] for part in parts)
        if not shared and depth < _DEEPEST:
            return text, depth
        name = self._name(f"part {len(self.definitions)}")
        self.definitions.append(f"(define-fun {name} () {_sort(term.sort())} {text})")
        return name, 0


def _operator(term: z3.ExprRef) -> str:
    known = smtlib(term, shape(term).operator)
    if known is None:
        raise ModelError(f"the SMT-LIB export does not know the operator {term.decl().name()} in {term}")
    return known
