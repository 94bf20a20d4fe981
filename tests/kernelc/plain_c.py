"""Plain C on the toy kernel: a recursive evaluation of the syntax, which knows no graph, no terms and no types of the compiler.

It executes one thread, any way that its choices allow, and logs the visible operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tdpcheck.examples.toy_kernel import Level
from tdpcheck.kernelc.text import ast
from tdpcheck.kernelc.text.show import show

MOST_OPERATIONS = 14

# Values: a number with its width (0: a literal, 1: a truth value) and sign; an element of an enumeration has no width to compute in.
ELEMENT = -1


@dataclass(frozen=True)
class Number:
    value: int
    width: int
    signed: bool = False
    unset: bool = False

    def to(self, width: int, signed: bool) -> Number:
        if width == ELEMENT:
            return Number(self.value, ELEMENT)
        if width == 1:
            return Number(int(self.value != 0), 1)
        kept = self.value % 2**width
        return Number(kept - 2**width if signed and kept >= 2 ** (width - 1) else kept, width, signed)


TYPES = {
    "u2": (2, False),
    "u4": (4, False),
    "s4": (4, True),
    "int": (4, True),
    "bool": (1, False),
    "level_t": (ELEMENT, False),
    "cell_t": (ELEMENT, False),
}
CONSTANTS = {
    "cell0": Number(0, ELEMENT),
    "cell1": Number(1, ELEMENT),
    "page0": Number(0, ELEMENT),
    "true": Number(1, 1),
    "false": Number(0, 1),
    "NULL": Number(0, 0),
    **{name: Number(Level.elements.index(name), ELEMENT) for name in Level.elements},
}


def meet(left: Number, right: Number) -> tuple[Number, Number]:
    """Both in the type in which C computes."""
    if ELEMENT in (left.width, right.width):
        return left, right
    left, right = promoted(left), promoted(right)
    target = max((left, right), key=lambda n: (n.width, not n.signed))
    return left.to(target.width, target.signed), right.to(target.width, target.signed)


def promoted(number: Number) -> Number:
    """What is narrower than int, as an int; a constant meets whatever it meets."""
    return number.to(*TYPES["int"]) if 0 < number.width < TYPES["int"][0] else number


@dataclass
class Pointer:
    """Where something lies: a place in a scope, a struct or an array."""

    holder: Any
    key: Any
    type: str


class Jump(Exception):
    """A jump on its way: `break`, `continue`, `return` with a value, or `goto` with a label."""


class Over(Exception):
    """This run blocks, or is longer than we care to compare."""


class Choices:
    """Answers every choice from a script, and finds the next script: every sequence of answers is given once."""

    def __init__(self) -> None:
        self.script: list[int] = []
        self._sizes: list[int] = []

    def runs(self) -> Iterator[None]:
        while True:
            self._sizes = []
            yield
            while self.script and self.script[-1] + 1 >= self._sizes[len(self.script) - 1]:
                self.script.pop()
            if not self.script:
                return
            self.script[-1] += 1

    def choose(self, size: int) -> int:
        if len(self._sizes) == len(self.script):
            self.script.append(0)
        self._sizes.append(size)
        return self.script[len(self._sizes) - 1]


@dataclass
class Machine:
    """The toy kernel's shared state as one thread sees it, and what was done to it."""

    mem: list[int]
    dirty: int
    writer: int = 0
    reader: int = 0
    failed: set[str] = field(default_factory=set)
    trail: list[str] = field(default_factory=list)

    def log(self, operation: str) -> None:
        self.trail.append(f"{operation} on {self.mem}")
        if len(self.trail) >= MOST_OPERATIONS:
            raise Over

    def load(self, cell: int, name: str = "load 0") -> Number:
        self.log(name)
        return Number(self.mem[cell], 2)

    def save(self, cell: int, value: Number, name: str = "save 0") -> None:
        self.log(name)
        self.mem[cell] = value.to(2, False).value


class Plain:
    """Evaluates syntax."""

    def __init__(self, unit: ast.Unit, machine: Machine, choose: Callable[[int], int]) -> None:
        self.unit = unit
        self.machine = machine
        self.choose = choose
        self.scopes: list[dict[str, tuple[str, Any]]] = []
        self.functions: list[ast.Function] = []

    # Types and places

    def shape(self, ref: ast.TypeRef) -> str:
        return ref.base + (" *" if ref.pointer else "")

    def fresh(self, ref: ast.TypeRef, zero: bool = False) -> Any:
        """An uninitialised value, or zero."""
        if ref.array is not None:
            assert isinstance(ref.array, ast.IntLiteral)
            return [self.fresh(ast.TypeRef(ref.base), zero) for _ in range(ref.array.value)]
        if ref.base.startswith("struct ") and ref.base.removeprefix("struct ") in self.unit.structs:
            return {name: self.fresh(inner, zero) for name, inner in self.unit.structs[ref.base.removeprefix("struct ")].fields}
        width, signed = TYPES[ref.base]
        if zero:
            return Number(0, width).to(width, signed)
        held = Number(self.choose(len(Level.elements) if width == ELEMENT else 2**width), width).to(width, signed)
        return replace(held, unset=True)

    def converted(self, value: Any, ctype: str) -> Any:
        return value.to(*TYPES[ctype]) if isinstance(value, Number) and ctype in TYPES else value

    def find(self, name: str) -> Pointer | None:
        for scope in reversed(self.scopes):
            if name in scope:
                return Pointer(scope, name, scope[name][0])
            if "" in scope:
                break  # the function's outermost scope
        declared = next((d for d in walk(self.functions[-1].body) if isinstance(d, ast.Declare) and d.name == name), None)
        if declared is None:
            return None
        # A jump led around the declaration: any value.
        self.scopes[-1][name] = (self.shape(declared.type), self.fresh(declared.type))
        return self.find(name)

    def place(self, e: ast.Expr) -> Pointer | tuple[str, Number | dict[str, Number]]:
        """Where an expression lies; shared state is named by its kind and address."""
        match e:
            case ast.Name(name=name):
                found = self.find(name)
                assert found is not None, name
                return found
            case ast.Unary(op="*", operand=operand):
                pointer = self.value(operand)
                return pointer if isinstance(pointer, Pointer) else ("cell", pointer)
            case ast.Member(base=base, field=name, arrow=True):
                pointer = self.value(base)
                return (
                    Pointer(self.read(pointer), name, self.member(pointer.type, name)) if isinstance(pointer, Pointer) else (name, pointer)
                )
            case ast.Member(base=base, field=name):
                outer = self.place(base)
                return (
                    Pointer(self.read(outer), name, self.member(outer.type, name))
                    if isinstance(outer, Pointer)
                    else (f"{outer[0]}.{name}", outer[1])
                )
            case ast.Index(base=base, index=index):
                outer = self.place(base)
                assert isinstance(outer, Pointer)
                array, number = self.read(outer), self.value(index)
                if isinstance(array, Pointer):
                    return array
                if number.value >= len(array):
                    self.machine.failed.add(f"index out of bounds: {show(e)}")
                return Pointer(array, number.value, outer.type)
            case ast.Call(function="READ_ONCE", arguments=(inner,)):
                return self.place(inner)
            case _:
                raise AssertionError(e)

    def member(self, ctype: str, name: str) -> str:
        fields = self.unit.structs[ctype.removeprefix("struct ").removesuffix(" *")].fields
        return self.shape(dict(fields)[name])

    def read(self, place: Pointer | tuple[str, Any]) -> Any:
        if isinstance(place, Pointer):
            if isinstance(place.holder, list):
                return place.holder[min(place.key, len(place.holder) - 1)]
            held = place.holder[place.key]
            return held[1] if isinstance(held, tuple) else held
        kind, at = place
        if kind == "count":
            return self.machine.load(at["cell"].value, "sp->count 0")
        return at["cell"] if kind == "role.cell" else self.machine.load(at.value)

    def write(self, place: Pointer | tuple[str, Any], value: Any) -> Any:
        if isinstance(place, Pointer):
            new = copied(self.converted(value, place.type))
            if isinstance(place.holder, list):
                if place.key < len(place.holder):
                    place.holder[place.key] = new
            else:
                place.holder[place.key] = (place.type, new) if isinstance(place.holder[place.key], tuple) else new
            return new
        kind, at = place
        if kind == "count":
            self.machine.save(at["cell"].value, value, "sp->count =  0")
        elif kind == "cell":
            self.machine.save(at.value, value)
        return value.to(2, False)

    def used(self, place: Pointer | tuple[str, Any], what: str) -> Any:
        """Read a place; if it is a local that was not set, that is said, once."""
        held = self.read(place)
        if isinstance(held, Number) and held.unset:
            self.machine.failed.add(f"{what} is read before it is set")
            held = replace(held, unset=False)
            if not isinstance(place, tuple):
                self.write(place, held)
        return held

    def discard(self, e: ast.Expr) -> None:
        """Evaluate an expression of which nobody reads the value."""
        match e:
            case ast.Call():
                self.call(e)
            case ast.Comma(parts=parts):
                for part in parts:
                    self.discard(part)
            case _:
                self.value(e)

    # Expressions

    def value(self, e: ast.Expr) -> Any:
        match e:
            case ast.IntLiteral(value=number):
                return Number(number, 0)
            case ast.Name(name=name) if self.find(name) is None:
                return CONSTANTS.get(name, name)  # a constant, or a function
            case ast.Name() | ast.Member() | ast.Index() | ast.Unary(op="*"):
                return copied(self.used(self.place(e), show(e)))
            case ast.Unary(op="&", operand=operand):
                place = self.place(operand)
                return place if isinstance(place, Pointer) else "lock"
            case ast.Unary(op="!", operand=operand):
                return Number(int(not self.truth(self.value(operand))), 1)
            case ast.Unary(op=op, operand=operand):
                n = promoted(self.value(operand))
                plain = {"-": -n.value, "~": ~n.value, "+": n.value}[op]
                return Number(plain, n.width, n.signed).to(n.width, n.signed) if n.width else Number(plain, 0)
            case ast.Binary(op="&&" | "||" as op, left=left, right=right):
                first = self.truth(self.value(left))
                return Number(int(self.truth(self.value(right)) if first == (op == "&&") else first), 1)
            case ast.Binary(op=op, left=left, right=right):
                first_value = self.value(left)
                return self.binary(op, first_value, self.value(right))
            case ast.Conditional(condition=condition, then=then, otherwise=otherwise):
                chosen = self.value(then if self.truth(self.value(condition)) else otherwise)
                return chosen.to(4, True) if isinstance(chosen, Number) and not chosen.width else chosen
            case ast.Comma(parts=parts):
                for part in parts[:-1]:
                    self.discard(part)
                return self.value(parts[-1])
            case ast.Enclosed(body=body):
                return self.enclosed(body)
            case ast.Step(op=op, operand=operand, prefix=prefix):
                place = self.place(operand)
                old = self.used(place, show(operand))
                new = self.write(place, self.binary(op[0], old, Number(1, 0)))
                return new if prefix else old
            case ast.Assign(op=op, target=target, value=given):
                new = self.value(given)
                place = self.place(target)
                return self.write(place, new if op == "=" else self.binary(op[:-1], self.used(place, show(target)), new))
            case ast.Call(function=name):
                result = self.call(e)
                if isinstance(result, Number) and result.unset:
                    self.machine.failed.add(f"the value of {name}() is read before it is set")
                return settled(result)
            case _:
                raise AssertionError(e)

    def enclosed(self, body: ast.Block) -> Any:
        """`({ ... })`"""
        *before, last = body.statements
        self.scopes.append({})
        depth = len(self.scopes)
        self.sequence(tuple(before), None)
        found = None
        if isinstance(last, ast.Evaluate):
            found = self.value(last.expression)
        else:
            self.run(last)
        del self.scopes[depth - 1 :]
        return found

    def truth(self, value: Any) -> bool:
        if isinstance(value, Number):
            return value.value != 0
        return not value["null"].value if isinstance(value, dict) else True

    def binary(self, op: str, left: Number, right: Number) -> Number:
        if op in ("<<", ">>"):
            left = promoted(left)
            shifted = left.value << right.value if op == "<<" else left.value >> right.value
            return Number(shifted, left.width, left.signed).to(left.width, left.signed)
        left, right = meet(left, right)
        x, y = left.value, right.value
        truths = {"==": x == y, "!=": x != y, "<": x < y, "<=": x <= y, ">": x > y, ">=": x >= y}
        if op in truths:
            return Number(int(truths[op]), 1)
        numbers = {"+": x + y, "-": x - y, "*": x * y, "&": x & y, "|": x | y, "^": x ^ y}
        return Number(numbers[op], left.width, left.signed).to(left.width, left.signed)

    def call(self, e: ast.Call) -> Any:
        name, machine = e.function, self.machine
        if self.find(name) is not None:
            name = self.value(ast.Name(name, e.at))
        if name in self.unit.functions:
            return self.inline(self.unit.functions[name], [self.value(a) for a in e.arguments])
        if name == "READ_ONCE":
            return self.value(e.arguments[0])
        if name == "WRITE_ONCE":
            return self.value(ast.Assign("=", e.arguments[0], e.arguments[1], e.at))
        if name == "trace_event":
            return None
        arguments = [self.value(a) for a in e.arguments]
        if name == "twice":
            return self.binary("+", arguments[0].to(2, False), arguments[0].to(2, False))
        if name == "save":
            return machine.save(arguments[0].value, arguments[1])
        if name == "cmpxchg":
            cell, old, new = arguments
            equal = machine.mem[cell.value] == self.used(old, old.key).value
            machine.log(f"cmpxchg {0 if equal else 1}")
            if equal:
                machine.mem[cell.value] = new.to(2, False).value
            else:
                self.write(old, Number(machine.mem[cell.value], 2))
            return Number(int(equal), 1)
        return self.plain_call(name, arguments, f"at toy.c:{e.at.line}")

    def plain_call(self, name: str, arguments: list[Any], at: str) -> Any:
        machine = self.machine
        blocked = {
            "write_lock": machine.writer or machine.reader,
            "read_lock": machine.writer,
            "wait_marked": not machine.dirty,
        }
        if blocked.get(name):
            raise Over
        machine.log(f"{name} 0")
        match name:
            case "any_u2":
                return Number(self.choose(4), 2)
            case "any_bool":
                return Number(self.choose(2), 1)
            case "write_lock" | "write_unlock":
                machine.writer = int(name == "write_lock")
            case "read_lock" | "read_unlock":
                machine.reader = int(name == "read_lock")
            case "mark":
                machine.dirty = 1
            case "is_marked":
                return Number(machine.dirty, 1)
            case "WARN_ON":
                if arguments[0].value:
                    machine.failed.add(f"WARN_ON {at}")
                return arguments[0].to(1, False)
            case "lockdep_assert_held_write":
                if not machine.writer:
                    machine.failed.add(f"lockdep_assert_held_write {at}")
            case _:
                assert name == "wait_marked"
        return None

    def inline(self, function: ast.Function, arguments: list[Any]) -> Any:
        scope: dict[str, tuple[str, Any]] = {"": ("", None)}
        for parameter, value in zip(function.parameters, arguments, strict=True):
            ctype = self.shape(parameter.type)
            scope[parameter.name] = (ctype, self.converted(value, ctype))
        self.functions.append(function)
        self.scopes.append(scope)
        depth = len(self.scopes)
        result = None
        try:
            self.run(function.body)
            if function.returns.base != "void":
                result = self.fresh(function.returns)
        except Jump as jump:
            result = self.converted(jump.args[1], self.shape(function.returns))
        del self.scopes[depth - 1 :]
        self.functions.pop()
        return result

    # Statements; with `seek`, from the label of that name on

    def run(self, s: ast.Stmt, seek: str | None = None) -> None:
        match s:
            case ast.Mark():
                raise AssertionError("no parser makes a mark")
            case ast.Block(statements=statements):
                self.scopes.append({})
                depth = len(self.scopes)
                self.sequence(statements, seek)
                del self.scopes[depth - 1 :]
            case ast.Declare(type=ref, name=name, value=value):
                self.declare(ref, name, value)
            case ast.Evaluate(expression=expression):
                self.discard(expression)
            case ast.If(condition=condition, then=then, otherwise=otherwise):
                self.branch(condition, then, otherwise, seek)
            case ast.While(condition=condition, body=body, test_last=test_last):
                self.loop(None if test_last and seek is None else condition, condition, None, body, seek)
            case ast.For(start=start, condition=for_condition, step=step, body=body):
                if start is not None and seek is None:
                    self.run(start)
                always = ast.IntLiteral(1, s.at)
                self.loop(for_condition or always, for_condition or always, step, body, seek)
            case ast.Label(statement=inner):
                self.run(inner, seek if seek in labels(inner) else None)
            case ast.Jump(kind=kind, label=label):
                raise Jump(kind, label)
            case ast.Return(value=returned):
                raise Jump("return", None if returned is None else self.value(returned))

    def sequence(self, statements: tuple[ast.Stmt, ...], seek: str | None) -> None:
        depth = len(self.scopes)
        while True:
            start = 0 if seek is None else next(i for i, inner in enumerate(statements) if seek in labels(inner))
            try:
                for inner in statements[start:]:
                    self.run(inner, seek)
                    seek = None
            except Jump as jump:
                if jump.args[0] != "goto" or not any(jump.args[1] in labels(inner) for inner in statements):
                    raise
                seek = jump.args[1]
                del self.scopes[depth:]
                continue
            return

    def declare(self, ref: ast.TypeRef, name: str, value: ast.Expr | None) -> None:
        ctype = self.shape(ref)
        if isinstance(value, ast.Initializer):
            held = self.fresh(ref, zero=True)
            for inner, given in value.fields:
                held[inner] = self.converted(self.value(given), self.member(ctype, inner))
        else:
            held = self.fresh(ref) if value is None else self.converted(self.value(value), ctype)
        self.scopes[-1][name] = (ctype, held)

    def branch(self, condition: ast.Expr, then: ast.Stmt, otherwise: ast.Stmt | None, seek: str | None) -> None:
        if seek is not None:
            self.run(then if seek in labels(then) or otherwise is None else otherwise, seek)
        elif self.truth(self.value(condition)):
            self.run(then)
        elif otherwise is not None:
            self.run(otherwise)

    def loop(self, first: ast.Expr | None, condition: ast.Expr, step: ast.Expr | None, body: ast.Stmt, seek: str | None) -> None:
        """Rounds of a loop, at most as many as anybody needs here; `first` is asked before the first round."""
        depth = len(self.scopes)
        for number in range(40):
            asked = first if number == 0 else condition
            if seek is None and asked is not None and not self.truth(self.value(asked)):
                return
            try:
                self.run(body, seek)
            except Jump as jump:
                del self.scopes[depth:]
                if jump.args[0] == "break":
                    return
                if jump.args[0] != "continue":
                    raise
            seek = None
            if step is not None:
                self.discard(step)
        raise Over


def copied(value: Any) -> Any:
    """Structs and arrays are values."""
    if isinstance(value, dict):
        return {name: copied(inner) for name, inner in value.items()}
    return [copied(inner) for inner in value] if isinstance(value, list) else value


def settled(value: Any) -> Any:
    """A value that somebody has set."""
    if isinstance(value, dict):
        return {name: settled(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [settled(inner) for inner in value]
    return replace(value, unset=False) if isinstance(value, Number) else value


def walk(node: object) -> Iterator[object]:
    yield node
    for name in getattr(type(node), "__dataclass_fields__", {}):
        inner = getattr(node, name)
        for part in inner if isinstance(inner, tuple) else (inner,):
            if hasattr(part, "at"):
                yield from walk(part)


def labels(node: object) -> set[str]:
    return {part.name for part in walk(node) if isinstance(part, ast.Label)}
