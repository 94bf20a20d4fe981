"""Promela: one process that does one action instance after the other, for SPIN.

Each instance is one indivisible step, the loop is the only place to stand, and a violation is a failed assertion: so SPIN stores the
states that exploration visits, one more where a cell may start with several values (the moment before they are chosen), and another
where some choices of these are no initial state.

(-o2: without it SPIN forgets what it thinks will not be read again, and stores fewer.)

    spin -o2 -a FILE && cc -O2 -DSAFETY -DNOREDUCE -o pan pan.c && ./pan -m1000000

Holzmann: The Model Checker SPIN, IEEE TSE 23(5), 1997.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import z3

from ...core.errors import InputError, ModelError
from ...core.ground import Cell, GroundAction, GroundSystem
from ...core.shape import identity, shape
from ...core.sorts import Sort
from ...core.system import Property
from .cells import Machine, in_order, one_line, told

WIDEST = 29
"""SPIN computes with the signed 32-bit integers of C; sums and shifts by one must fit."""
LONGEST = 200_000
"""How many operators one expression may have once nothing is shared any more; SPIN reads no longer ones in reasonable time."""

_TAKEN = frozenset(
    (
        "active assert atomic bit bool break byte c_code c_decl c_expr c_state c_track chan d_proctype d_step D_proctype do "
        "else empty enabled end eval false fi for full get_priority goto hidden if in init inline int len local ltl mtype "
        "nempty never nfull notrace np_ od of pc_value pid printf printm priority proctype provided return run select "
        "set_priority short show skip STDIN timeout trace true typedef unless unsigned xr xs _ _last _nr_pr _pid _priority "
        "auto case char const continue default double enum extern float long register signed sizeof static struct switch "
        "union void volatile while now main"
    ).split()
)


def model(grounded: GroundSystem, prop: Property) -> str:
    """The whole model.

    Raises:
        InputError: a word is too wide for Promela, or an expression shares so much that it would be too long written out.
    """
    machine = Machine(grounded, prop)
    names = Names()
    cells = {cell: names.new(cell.name) for cell, _ in machine.variables}
    writer = Writer({identity(value): cells[cell] for cell, value in machine.variables})
    lines = [f"// {line}" for line in machine.title()]
    for cell, value in machine.variables:
        first = machine.starts.get(cell)
        lines.append(f"{_declared(cells[cell], value)}{'' if first is None else f' = {writer.text(first)}'}; // {one_line(cell.name)}")
    used = _Buffers(names)
    steps = [step for action in grounded.actions for step in _option(action, grounded, cells, writer, used)]
    lines += used.declarations()
    lines += ["", "active proctype system()", "{"]
    lines += _start(machine, cells, writer)
    ending = list(_ending(machine))
    lines += [
        "end:",
        "  do",
        f"  :: {writer.text(machine.bad)} -> assert(false); break // {one_line(prop.name)}",
        *steps,
        "  od;" if ending else "  od",
        *ending,
        "}",
    ]
    return "\n".join(lines) + "\n"


class Names:
    """Identifiers for names of any kind, none of them twice."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def new(self, name: str) -> str:
        """The name with an underscore for what an identifier must not hold."""
        plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "x"
        if plain[0].isdigit() or plain in _TAKEN:
            plain = f"x_{plain}"
        chosen, number = plain, 2
        while chosen in self._given:
            chosen, number = f"{plain}__{number}", number + 1
        self._given.add(chosen)
        return chosen


def _declared(name: str, value: z3.ExprRef) -> str:
    if not z3.is_bv(value):
        return f"bit {name}"
    if value.size() > WIDEST:
        raise InputError(
            f"{value.decl().name()} is a word of {value.size()} bits, and Promela has none wider than {WIDEST}; "
            "export to smt2, btor2 or aiger"
        )
    return f"unsigned {name} : {value.size()}"


class _Buffers:
    """Variables that hold a new value until the old one is read no more; hidden, since no state depends on them."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._made: dict[int, list[str]] = {}
        self._order: list[str] = []

    def taken(self, widths: Sequence[int]) -> list[str]:
        """One buffer for each width."""
        free = {width: iter(list(self._made.get(width, ()))) for width in widths}
        return [next(free[width], None) or self._new(width) for width in widths]

    def _new(self, width: int) -> str:
        name = self._names.new(f"new {width} {len(self._made.setdefault(width, []))}")
        self._made[width].append(name)
        self._order.append(f"hidden {'bit ' + name if width == 0 else f'unsigned {name} : {width}'};")
        return name

    def declarations(self) -> list[str]:
        return self._order


def _option(action: GroundAction, grounded: GroundSystem, cells: Mapping[Cell, str], writer: Writer, buffers: _Buffers) -> Iterator[str]:
    """One branch of the loop; none for an instance that changes nothing, which SPIN would refuse as a loop without end."""
    if not action.after:
        return
    known = {identity(grounded.variable(cell)): cell for cell in grounded.cells}
    read = {cell: {known[identity(t)] for t in in_order([value]) if identity(t) in known} for cell, value in action.after.items()}
    placed: list[str] = []
    waiting = dict(action.after)
    while waiting:
        # What nobody reads any more can be written at once; only a ring of readers needs buffers.
        free = [cell for cell in waiting if not any(cell in read[other] for other in waiting if other != cell)]
        if free:
            placed += (f"{cells[cell]} = {writer.text(waiting.pop(cell))}" for cell in free)
            continue
        held = buffers.taken([value.size() if z3.is_bv(value) else 0 for value in waiting.values()])
        placed += (f"{name} = {writer.text(value)}" for name, value in zip(held, waiting.values(), strict=True))
        placed += (f"{cells[cell]} = {name}" for name, cell in zip(held, waiting, strict=True))
        break
    yield f"  :: d_step {{ {writer.text(action.guard)} -> {'; '.join(placed) or 'skip'} }} // {told(action)}"


def _start(machine: Machine, cells: Mapping[Cell, str], writer: Writer) -> Iterator[str]:
    """Choose the initial values that are not known."""
    free = [(cell, value) for cell, value in machine.variables if cell not in machine.starts]
    if not free:
        return
    yield "  atomic {"
    for cell, value in free:
        size = (
            machine.grounded.geometry.size(cell.var.kind)
            if isinstance(cell.var.kind, Sort)
            else 2 ** (value.size() if z3.is_bv(value) else 1)
        )
        if size > 256:
            raise InputError(f"{cell.name} starts with any of {size} values, and Promela must name each; export to smt2, btor2 or aiger")
        yield f"    if {' '.join(f':: {cells[cell]} = {number}' for number in range(size))} fi;"
    if not z3.is_true(machine.start_condition):
        forget = "; ".join(f"{cells[cell]} = 0" for cell, _ in free)
        yield f"    if :: {writer.text(machine.start_condition)} -> skip :: else -> {forget}; goto impossible fi"
    yield "  };"


def _ending(machine: Machine) -> Iterator[str]:
    """Where runs go that begin with values no initial state has."""
    if not z3.is_true(machine.start_condition):
        yield "  goto over; impossible: end_impossible: false; over: skip"


class Writer:
    """Writes grounded terms as Promela expressions; nothing is shared there."""

    def __init__(self, cells: Mapping[int, str]) -> None:
        self._cells = dict(cells)
        self._texts: dict[int, tuple[z3.ExprRef, str, int]] = {}

    def text(self, term: z3.ExprRef) -> str:
        """The expression.

        Raises:
            InputError: it would be longer than SPIN reads.
        """
        for node in in_order([term]):
            if identity(node) not in self._texts:
                self._texts[identity(node)] = self._written(node)
        return self._texts[identity(term)][1]

    def _written(self, term: z3.ExprRef) -> tuple[z3.ExprRef, str, int]:
        form = shape(term)
        if identity(term) in self._cells:
            return term, self._cells[identity(term)], 1
        parts = [self._texts[key] for key in form.keys]
        size = 1 + sum(part[2] for part in parts)
        if size > LONGEST:
            raise InputError(f"an expression of more than {LONGEST} operators is too long for SPIN; export to smt2, btor2 or aiger")
        return term, _expression(term, [part[1] for part in parts]), size


def _joined(operator: str) -> Callable[[z3.ExprRef, Sequence[str]], str]:
    return lambda _, parts: f"({f' {operator} '.join(parts)})"


def _masked(operator: str) -> Callable[[z3.ExprRef, Sequence[str]], str]:
    return lambda term, parts: f"((({f' {operator} '.join(parts)}) & {(1 << term.size()) - 1}))"


def _signed(operator: str) -> Callable[[z3.ExprRef, Sequence[str]], str]:
    def written(term: z3.ExprRef, parts: Sequence[str]) -> str:
        flip = 1 << (term.arg(0).size() - 1)  # turning the sign bit over turns the signed order into the unsigned one
        return f"(({parts[0]} ^ {flip}) {operator} ({parts[1]} ^ {flip}))"

    return written


def _divided(operator: str) -> Callable[[z3.ExprRef, Sequence[str]], str]:
    def written(term: z3.ExprRef, parts: Sequence[str]) -> str:
        without = parts[0] if operator == "%" else str((1 << term.size()) - 1)  # what SMT-LIB says of division by zero
        return f"(({parts[1]} == 0) -> {without} : ({parts[0]} {operator} {parts[1]}))"

    return written


def _shifted(operator: str) -> Callable[[z3.ExprRef, Sequence[str]], str]:
    return lambda term, parts: f"(({parts[1]} >= {term.size()}) -> 0 : (({parts[0]} {operator} {parts[1]}) & {(1 << term.size()) - 1}))"


def _arithmetic(width: int, parts: Sequence[str]) -> str:
    """A shift that keeps the sign: ones shift in where the sign bit is set."""
    sign, ones, most = 1 << (width - 1), (1 << width) - 1, f"(({parts[1]} >= {width}) -> {width} : {parts[1]})"
    return f"(({parts[0]} >> {most}) | (({parts[0]} & {sign}) -> ({ones} & ~({ones} >> {most})) : 0))"


def _extended(term: z3.ExprRef, part: str) -> str:
    flip = 1 << (term.arg(0).size() - 1)
    return f"((({part} ^ {flip}) - {flip}) & {(1 << term.size()) - 1})"


_OPERATORS: dict[int, Callable[[z3.ExprRef, Sequence[str]], str]] = {
    z3.Z3_OP_TRUE: lambda _, __: "1",
    z3.Z3_OP_FALSE: lambda _, __: "0",
    z3.Z3_OP_AND: _joined("&&"),
    z3.Z3_OP_OR: _joined("||"),
    z3.Z3_OP_NOT: lambda _, parts: f"(!{parts[0]})",
    z3.Z3_OP_IMPLIES: lambda _, parts: f"(!{parts[0]} || {parts[1]})",
    z3.Z3_OP_XOR: _joined("^"),
    z3.Z3_OP_EQ: _joined("=="),
    z3.Z3_OP_ITE: lambda _, parts: f"({parts[0]} -> {parts[1]} : {parts[2]})",
    z3.Z3_OP_DISTINCT: lambda _, parts: f"({' && '.join(f'{a} != {b}' for i, a in enumerate(parts) for b in parts[i + 1 :])})",
    z3.Z3_OP_BADD: _masked("+"),
    z3.Z3_OP_BSUB: _masked("-"),
    z3.Z3_OP_BMUL: _masked("*"),
    z3.Z3_OP_BUDIV: _divided("/"),
    z3.Z3_OP_BUDIV_I: _divided("/"),
    z3.Z3_OP_BUREM: _divided("%"),
    z3.Z3_OP_BUREM_I: _divided("%"),
    z3.Z3_OP_BSHL: _shifted("<<"),
    z3.Z3_OP_BLSHR: _shifted(">>"),
    z3.Z3_OP_BASHR: lambda term, parts: _arithmetic(term.size(), parts),
    z3.Z3_OP_SIGN_EXT: lambda term, parts: _extended(term, parts[0]),
    z3.Z3_OP_BAND: _joined("&"),
    z3.Z3_OP_BOR: _joined("|"),
    z3.Z3_OP_BXOR: _joined("^"),
    z3.Z3_OP_BNOT: lambda term, parts: f"({parts[0]} ^ {(1 << term.size()) - 1})",
    z3.Z3_OP_BNEG: lambda term, parts: f"((-{parts[0]}) & {(1 << term.size()) - 1})",
    z3.Z3_OP_ULT: _joined("<"),
    z3.Z3_OP_ULEQ: _joined("<="),
    z3.Z3_OP_UGT: _joined(">"),
    z3.Z3_OP_UGEQ: _joined(">="),
    z3.Z3_OP_SLT: _signed("<"),
    z3.Z3_OP_SLEQ: _signed("<="),
    z3.Z3_OP_SGT: _signed(">"),
    z3.Z3_OP_SGEQ: _signed(">="),
    z3.Z3_OP_ZERO_EXT: lambda _, parts: parts[0],
}


def _expression(term: z3.ExprRef, parts: Sequence[str]) -> str:
    if z3.is_bv(term) and term.size() > WIDEST:
        raise InputError(f"{term} has {term.size()} bits, and Promela has no words wider than {WIDEST}; export to smt2, btor2 or aiger")
    if z3.is_bv_value(term):
        return str(term.as_long())
    if shape(term).operator == z3.Z3_OP_BMUL and term.size() > WIDEST // 2:
        raise InputError(f"a product of {term.size()} bits is too wide for Promela; export to smt2, btor2 or aiger")
    operator = shape(term).operator
    if operator in _OPERATORS:
        return _OPERATORS[operator](term, parts)
    match operator:
        case z3.Z3_OP_EXTRACT:
            high, low = term.params()
            return f"(({parts[0]} >> {low}) & {(1 << (high - low + 1)) - 1})"
        case z3.Z3_OP_CONCAT:
            return _concatenated(term, parts)
        case _:
            raise ModelError(
                f"the Promela export does not know the operator {term.decl().name()} in {term}; export to smt2, btor2 or aiger"
            )


def _concatenated(term: z3.ExprRef, parts: Iterable[str]) -> str:
    text, rest = [], term.size()
    for part, child in zip(parts, shape(term).children, strict=True):
        rest -= child.size()
        text.append(f"({part} << {rest})" if rest else part)
    return f"({' | '.join(text)})"
