"""Lowering against plain C: a recursive evaluation of the syntax, which knows no graph, no terms and no types of the compiler.

It executes one thread on the toy kernel, any way that its choices allow, and logs the visible operations. What it finds, the graph
must find, and nothing else: for the programs in `programs.c`, and for random ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.examples.toy_kernel import Level, toy
from tdpcheck.kernelc.lowering.analyse import fold_constants
from tdpcheck.kernelc.lowering.cfg import Graph, Op
from tdpcheck.kernelc.lowering.lower import lower
from tdpcheck.kernelc.stepping.interpret import Config, Interpreter
from tdpcheck.kernelc.text import ast
from tdpcheck.kernelc.text.parse import parse
from tdpcheck.kernelc.text.show import show

MOST_OPERATIONS = 14

# Values: a number with its width (0: a literal, 1: a truth value) and sign; an element of an enumeration has no width to compute in.
ELEMENT = -1


@dataclass(frozen=True)
class Number:
    value: int
    width: int
    signed: bool = False

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
        return Number(self.choose(len(Level.elements) if width == ELEMENT else 2**width), width).to(width, signed)

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

    # Expressions

    def value(self, e: ast.Expr) -> Any:
        match e:
            case ast.IntLiteral(value=number):
                return Number(number, 0)
            case ast.Name(name=name) if self.find(name) is None:
                return CONSTANTS.get(name, name)  # a constant, or a function
            case ast.Name() | ast.Member() | ast.Index() | ast.Unary(op="*"):
                return copied(self.read(self.place(e)))
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
                return [self.value(part) for part in parts][-1]
            case ast.Step(op=op, operand=operand, prefix=prefix):
                place = self.place(operand)
                old = self.read(place)
                new = self.write(place, self.binary(op[0], old, Number(1, 0)))
                return new if prefix else old
            case ast.Assign(op=op, target=target, value=given):
                new = self.value(given)
                place = self.place(target)
                return self.write(place, new if op == "=" else self.binary(op[:-1], self.read(place), new))
            case ast.Call():
                return self.call(e)
            case _:
                raise AssertionError(e)

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
            equal = machine.mem[cell.value] == self.read(old).value
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
                self.value(expression)
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
                self.value(step)
        raise Over


def copied(value: Any) -> Any:
    """Structs and arrays are values."""
    if isinstance(value, dict):
        return {name: copied(inner) for name, inner in value.items()}
    return [copied(inner) for inner in value] if isinstance(value, list) else value


def walk(node: object) -> Iterator[object]:
    yield node
    for name in getattr(type(node), "__dataclass_fields__", {}):
        inner = getattr(node, name)
        for part in inner if isinstance(inner, tuple) else (inner,):
            if hasattr(part, "at"):
                yield from walk(part)


def labels(node: object) -> set[str]:
    return {part.name for part in walk(node) if isinstance(part, ast.Label)}


# The programs

TEXT = (Path(__file__).parent / "programs.c").read_text(encoding="utf-8")
UNIT = parse(TEXT, "toy.c")
PROGRAMS = re.findall(r"^(?!static)\w+ (\w+)\(", TEXT, re.MULTILINE)
Outcome = tuple[tuple[int, ...], frozenset[str], tuple[str, ...]]
"""Memory, locks and pages at the end; the assertions that failed; the operations, each with the memory that it found."""


def said_by_plain_c(name: str) -> set[Outcome]:
    function = UNIT.functions[name]
    found, choices = set(), Choices()
    for _ in choices.runs():
        machine = Machine([1, 2], 1)
        plain = Plain(UNIT, machine, choices.choose)
        try:
            arguments = [entry_argument(plain, p.type) for p in function.parameters]
            if any(argument != "kvm" for argument in arguments):
                machine.log("start 0")
            plain.inline(function, arguments)
        except Over:
            continue
        found.add(((*machine.mem, machine.writer, machine.reader, machine.dirty), frozenset(machine.failed), tuple(machine.trail)))
    return found


def entry_argument(plain: Plain, ref: ast.TypeRef) -> Any:
    match ref.base, ref.pointer:
        case "struct kvm", 1:
            return "kvm"
        case "struct sp", 1:
            return {"null": Number(plain.choose(2), 1), "cell": Number(plain.choose(2), ELEMENT)}
        case base, 1:
            return Pointer({"it": plain.fresh(ast.TypeRef(base))}, "it", base)
        case _:
            return plain.fresh(ref)


def said_by_the_graph(name: str) -> set[Outcome]:
    built = toy.build(TEXT, (name,), (name, name))
    graph, layout = built.graphs[name], built.evaluator.layout
    interpreter = Interpreter(graph, built.evaluator, 0)
    state = built.evaluator.start({"dirty[0]": 1, "mem[0]": 1, "mem[1]": 2})
    found: set[Outcome] = set()
    todo: list[tuple[Config, tuple[str, ...]]] = [(Config(state, graph.entry, {}), ())]
    while todo:
        config, trail = todo.pop()
        if config.node == graph.exit:
            values = [layout.value(config.state, "mem", i) for i in (0, 1)]
            values += [layout.value(config.state, var, 0) for var in ("writer", "reader", "dirty")]
            # What overflows an int of four bits is for the comparison with gcc.
            asserted = (label for label in config.failed if not label.startswith(("signed overflow", "shift by too much")))
            failed = {re.sub(r"(index out of bounds: .*) at .*", r"\1", label) for label in asserted}
            found.add((tuple(values), frozenset(failed), trail))
            continue
        for run in interpreter.successors(config, lambda run: True):
            node = graph.nodes[config.node]
            cells = [layout.value(config.state, "mem", i) for i in (0, 1)]
            longer = (
                (*trail, f"{node.name} {run.ops[0][1]} on {cells}")
                if isinstance(node, Op) and node.name not in ("index", "arithmetic")
                else trail
            )
            if len(longer) < MOST_OPERATIONS:
                todo.append((run.config, longer))
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_graph_does_what_plain_c_does(name: str) -> None:
    """Every construct of the subset, with its effects in their order: not a run more, not a run less."""
    expected = said_by_plain_c(name)

    assert expected
    assert expected == said_by_the_graph(name)


# Random programs on integers

AT = ast.Location("random.c", 1)
WIDTHS = {"a": "u4", "b": "s4", "c": "u2", "e": "u4", "d": "bool", "i": "u4"}
HELPERS = """
static u4 bump(u4 *p, u4 n) { *p = *p + n; return *p ^ n; }
static s4 both(u4 *p, u4 *q, s4 n) { *p = n; if (n < 0) return *q; n -= *q; return n; }
"""


def name_of(which: str) -> ast.Expr:
    return ast.Name(which, AT)


def binary(op: str, left: ast.Expr, right: ast.Expr) -> ast.Expr:
    return ast.Binary(op, left, right, AT)


names = st.sampled_from(("a", "b", "c", "e")).map(name_of)
pointers = st.sampled_from(("a", "e")).map(lambda which: ast.Unary("&", name_of(which), AT))
literals = st.sampled_from((0, 1)).map(lambda n: ast.IntLiteral(n, AT))
shifts = st.tuples(st.sampled_from(("<<", ">>")), names, literals).map(lambda x: binary(*x))
steps = st.tuples(st.sampled_from(("++", "--")), names, st.booleans()).map(lambda x: ast.Step(*x, AT))  # type: ignore[arg-type]
comparisons = ("==", "!=", "<", "<=", ">", ">=")
assignments = ("=", "+=", "-=", "*=", "&=", "|=", "^=")


def integers(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.Expr]:
    right = st.one_of(inner, literals, st.just(name_of("d")))
    return st.one_of(
        st.tuples(st.sampled_from(("+", "-", "*", "&", "|", "^")), inner, right).map(lambda x: binary(*x)),
        st.tuples(st.sampled_from(("-", "~")), inner).map(lambda x: ast.Unary(x[0], x[1], AT)),  # type: ignore[arg-type]
        st.tuples(truths(inner), alike(inner), alike(inner)).map(lambda x: ast.Conditional(*x, AT)),
        st.tuples(st.sampled_from(assignments), names, inner).map(lambda x: ast.Assign(*x, AT)),
        st.tuples(pointers, inner).map(lambda x: ast.Call("bump", x, AT)),
        st.tuples(pointers, pointers, inner).map(lambda x: ast.Call("both", x, AT)),
    )


def alike(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.Expr]:
    """Expressions of one type, u4: plain evaluation looks at one arm of a choice only."""
    plain = st.sampled_from(("a", "e")).map(name_of)
    return st.one_of(
        plain,
        st.tuples(st.sampled_from(("++", "--")), plain, st.booleans()).map(lambda x: ast.Step(*x, AT)),  # type: ignore[arg-type]
        st.tuples(st.sampled_from(assignments), plain, inner).map(lambda x: ast.Assign(*x, AT)),
        st.tuples(pointers, inner).map(lambda x: ast.Call("bump", x, AT)),
    )


def truths(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.Expr]:
    compared = st.tuples(st.sampled_from(comparisons), inner, st.one_of(inner, literals)).map(lambda x: binary(*x))
    plain = st.one_of(compared, inner, st.just(name_of("d")))
    return st.one_of(
        plain,
        st.tuples(st.sampled_from(("&&", "||")), plain, plain).map(lambda x: binary(*x)),
        plain.map(lambda x: ast.Unary("!", x, AT)),
    )


expressions = st.recursive(st.one_of(names, names, shifts, steps), integers, max_leaves=5)
conditions = truths(expressions)


def reads_like_a_declaration(expression: ast.Expr) -> bool:
    """`a * b;` declares a pointer, if `a` is a type; without a list of all types it is read so, and refused."""
    return isinstance(expression, ast.Binary) and expression.op == "*" and isinstance(expression.left, ast.Name)


statements = st.one_of(
    st.tuples(st.sampled_from(assignments), names, expressions).map(lambda x: ast.Evaluate(ast.Assign(*x, AT), AT)),
    conditions.map(lambda x: ast.Evaluate(ast.Assign("=", name_of("d"), x, AT), AT)),
    expressions.filter(lambda x: not reads_like_a_declaration(x)).map(lambda x: ast.Evaluate(x, AT)),
)


def block(of: list[ast.Stmt]) -> ast.Stmt:
    return ast.Block(tuple(of), AT)


def loop(body: list[ast.Stmt], leave: tuple[ast.Expr, str]) -> ast.Stmt:
    """Three rounds at most: the counter is used nowhere else."""
    out = ast.If(leave[0], ast.Return(None, AT) if leave[1] == "return" else ast.Jump(leave[1], None, AT), None, AT)  # type: ignore[arg-type]
    start = ast.Evaluate(ast.Assign("=", name_of("i"), ast.IntLiteral(0, AT), AT), AT)
    again = binary("<", name_of("i"), ast.IntLiteral(3, AT))
    return ast.For(start, again, ast.Step("++", name_of("i"), False, AT), block([*body, out, *body]), AT)


def nested(inner: st.SearchStrategy[ast.Stmt]) -> st.SearchStrategy[ast.Stmt]:
    bodies = st.lists(inner, min_size=1, max_size=3)
    arms = st.tuples(conditions, bodies, st.none() | bodies)
    return arms.map(lambda x: ast.If(x[0], block(x[1]), None if x[2] is None else block(x[2]), AT))


branches = st.recursive(statements, nested, max_leaves=4)
leaving = st.tuples(conditions, st.sampled_from(("break", "continue", "return")))
loops = st.tuples(st.lists(branches, min_size=1, max_size=2), leaving).map(lambda x: loop(*x))
programs = st.lists(st.one_of(branches, branches, loops), min_size=1, max_size=4).map(block)
starts = st.fixed_dictionaries(
    {"a": st.integers(0, 15), "b": st.integers(0, 15), "c": st.integers(0, 3), "e": st.integers(0, 15), "d": st.integers(0, 1)}
)
EVALUATOR: Evaluator = toy.build("void f(void) { }").evaluator


def executed(graph: Graph, start: Mapping[str, int]) -> dict[str, int]:
    interpreter = Interpreter(graph, EVALUATOR, 0)
    config: Config | None = Config(EVALUATOR.start({}), graph.entry, {})
    first = next(n.number for n in graph.nodes if isinstance(n, Op) and n.name == "start")
    choices = {f"{which}@{first}": value for which, value in start.items()}
    while config is not None and config.node != graph.exit:
        config = interpreter.execute(config, 0, choices)
    assert config is not None
    return {which: config.locals[f"f.{which}"] for which in start}


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(body=programs, start=starts)
def test_random_programs_compute_what_plain_c_computes(body: ast.Stmt, start: dict[str, int]) -> None:
    """Conversions, signs, order of effects, aliases and jumps: said once by the compiler, and once by plain evaluation."""
    text = HELPERS + "void f(u4 a, s4 b, u2 c, u4 e, bool d) { u4 i = 0; " + show(body) + " }"
    unit = parse(text, "random.c")
    assert {} == unit.broken
    plain = Plain(unit, Machine([0, 0], 0), lambda size: 0)
    held = {which: (WIDTHS[which], Number(value, 0).to(*TYPES[WIDTHS[which]])) for which, value in start.items()}
    plain.scopes, plain.functions = [{"": ("", None), "i": ("u4", Number(0, 4)), **held}], [unit.functions["f"]]
    try:
        plain.run(body)
    except Jump as jump:
        assert ("return", None) == jump.args  # noqa: PT017
    del plain.scopes[1:]
    expected = {which: plain.scopes[0][which][1].value % 2 ** TYPES[WIDTHS[which]][0] for which in start}
    graph = lower("f", "f", unit.functions, unit.structs, toy.library)

    assert expected == executed(graph, start)
    fold_constants(graph)
    assert expected == executed(graph, start)
