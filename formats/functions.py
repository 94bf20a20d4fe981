"""Pure functions of kernel C, as terms over bit-vectors and as plain values: two ways that share the graph alone.

The terms are made here, by one pass over the graph of a function in the order of its edges. Plain values come from the interpreter
that the atomic steps are compared with, node by node. A question is asked of the terms, and a witness has to survive the interpreter.
"""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import z3

from ..core.errors import ModelError
from ..core.evaluation.evaluate import Evaluator
from ..core.sorts import Geometry, Kind, StateVar, Truth, Word
from ..core.system import TransitionSystem, Update
from ..kernelc.lowering.cfg import THREADS, Branch, Graph, Havoc, Nop, Op, Refuse, Set
from ..kernelc.lowering.library import BOOLEAN, VOID, Check, CType, Effect, Intrinsic, Library, Scalar, Value, default
from ..kernelc.lowering.lower import lower
from ..kernelc.stepping.interpret import Config, Interpreter
from ..kernelc.text.parse import parse
from ..kernelc.text.preprocess import DEFAULT_CONFIG

FOLDER = Path(__file__).parent / "kernel"
_WIDTHS = {
    "u8": (8, False), "u16": (16, False), "u32": (32, False), "unsigned int": (32, False), "int": (32, True), "u64": (64, False),
    "long": (64, True), "unsigned long": (64, False), "gfn_t": (64, False), "gpa_t": (64, False), "hpa_t": (64, False),
}  # fmt: skip
SCALARS = {name: Scalar(name, Word(width), signed=signed) for name, (width, signed) in _WIDTHS.items()}
_RESULT = "result"


def _bits_set_from_the_top(word: z3.BitVecRef) -> z3.BitVecRef:
    """`fls()`: the place of the highest bit that is set, counted from 1; 0 of 0."""
    found: z3.BitVecRef = z3.BitVecVal(0, word.size())
    for n in range(word.size()):
        found = z3.If(z3.Extract(n, n, word) == 1, z3.BitVecVal(n + 1, word.size()), found)
    return found


def _lowest_bit_set(word: z3.BitVecRef) -> z3.BitVecRef:
    """`__ffs()`: the place of the lowest bit that is set, counted from 0; of 0 it has no value, and here the width."""
    found: z3.BitVecRef = z3.BitVecVal(word.size(), word.size())
    for n in reversed(range(word.size())):
        found = z3.If(z3.Extract(n, n, word) == 1, z3.BitVecVal(n, word.size()), found)
    return found


def _pure(name: str, result: str, meaning: Callable[[z3.BitVecRef], z3.BitVecRef], argument: str, doc: str) -> Intrinsic:
    return Intrinsic(
        name, (SCALARS[argument],), SCALARS[result], lambda t, v: Value(SCALARS[result], {"": meaning(v.term)}), "local", doc=doc
    )


PURE = (
    _pure("fls_long", "unsigned long", _bits_set_from_the_top, "unsigned long", "include/linux/bitops.h"),
    _pure("fls", "unsigned int", _bits_set_from_the_top, "unsigned int", "include/asm-generic/bitops/fls.h"),
    _pure("__ffs", "unsigned long", _lowest_bit_set, "unsigned long", "include/asm-generic/bitops/__ffs.h"),
)


@dataclass(frozen=True)
class Record:
    """What C hands out by calling `name(...)`: one set of words, and whether it was called at all. A later call replaces an earlier one.

    Args:
        fields: the parameters, each with its C type.
    """

    name: str
    fields: tuple[tuple[str, str], ...] = ()

    @cached_property
    def called(self) -> StateVar:
        return StateVar(f"{self.name}_called", (), Truth(), f"whether {self.name}() was called")

    @cached_property
    def words(self) -> tuple[StateVar, ...]:
        return tuple(
            StateVar(f"{self.name}.{name}", (), SCALARS[ctype].kind, f"the {name} of {self.name}()") for name, ctype in self.fields
        )

    @cached_property
    def intrinsic(self) -> Intrinsic:
        def meaning(_: z3.ExprRef, *values: Value) -> Effect:
            stored = (Update(var, (), value.term) for var, value in zip(self.words, values, strict=True))
            return Effect(updates=(Update(self.called, (), z3.BoolVal(True)), *stored))

        return Intrinsic(self.name, tuple(SCALARS[ctype] for _, ctype in self.fields), VOID, meaning, writes=(self.name,))


@dataclass(frozen=True)
class Applied:
    """What a function did with symbolic arguments.

    Args:
        result: what it returns; None of a void one.
        records: by name of a state variable of a `Record`, what it holds in the end.
        fails: with its sentence, when an assertion of C itself fails: a signed overflow, a shift by too much, a BUG_ON.
    """

    result: z3.ExprRef | None
    records: Mapping[str, z3.ExprRef]
    fails: tuple[tuple[str, z3.BoolRef], ...]


@dataclass(frozen=True)
class Ran:
    """The same of plain arguments: numbers, and truth values as 0 and 1."""

    result: int | None
    records: Mapping[str, int]
    failed: frozenset[str]


@dataclass(frozen=True, eq=False)
class Function:
    """One function of kernel C.

    Raises:
        ModelError: it loops, or reads shared state; such a function is not for this room.
    """

    name: str
    graph: Graph = field(repr=False)
    records: tuple[Record, ...] = ()

    @cached_property
    def parameters(self) -> Mapping[str, Kind]:
        """The scalars that it takes, by path as in `leaf.pfn`, with their kinds."""
        return {path: kind for path, kind, _ in self._parameters}

    @cached_property
    def _parameters(self) -> tuple[tuple[str, Kind, str], ...]:
        """Path, kind and the name of the choice at the start of the graph."""
        starts = [node for node in self.graph.nodes if isinstance(node, Op) and node.name == "start"]
        return tuple((c.name.partition("@")[0], c.kind, c.name) for node in starts for c in node.effects[0].choices)

    def apply(self, arguments: Mapping[str, z3.ExprRef]) -> Applied:
        """The function of symbolic arguments, one for each of `parameters`."""
        return _Pass(self, arguments).run()

    def run(self, arguments: Mapping[str, int]) -> Ran:
        """The function of plain arguments, executed node by node."""
        choices = {choice: arguments[path] for path, _, choice in self._parameters}
        config: Config | None = Config(self._evaluator.start({}), self.graph.entry, {})
        interpreter = self._interpreter
        while config is not None and config.node != self.graph.exit:
            config = interpreter.execute(config, 0, choices)
        if config is None:
            raise ModelError(f"{self.name} waits for something")
        held = {var.name: int(self._evaluator.layout.value(config.state, var.name)) for var in self._state}
        returned = held.get(_RESULT) if self._returns else None
        return Ran(returned, {name: value for name, value in held.items() if name != _RESULT}, config.failed)

    @cached_property
    def _returns(self) -> bool:
        return any(isinstance(node, Op) and node.name == "__answer" for node in self.graph.nodes)

    @cached_property
    def _state(self) -> tuple[StateVar, ...]:
        return (RESULT, *(var for record in self.records for var in (record.called, *record.words)))

    @cached_property
    def _evaluator(self) -> Evaluator:
        init = tuple(Update(var, (), default(var.kind)) for var in self._state)
        return Evaluator(TransitionSystem(self.name, (THREADS,), self._state, init, (), ()), Geometry({"Thread": 1}))

    @cached_property
    def _interpreter(self) -> Interpreter:
        return Interpreter(self.graph, self._evaluator, 0)


RESULT = StateVar(_RESULT, (), Word(64), "what the function returns")
_ANSWER = Intrinsic("__answer", (SCALARS["u64"],), VOID, lambda t, v: Effect(updates=(Update(RESULT, (), v.term),)), writes=(_RESULT,))
_BUG_ON = Intrinsic("BUG_ON", (BOOLEAN,), VOID, lambda t, c: Effect(checks=(Check("BUG_ON", z3.Not(c.term)),)), "local")


def function(file: str, name: str, config: Mapping[str, bool] | None = None, records: Sequence[Record] = ()) -> Function:
    """A function of `kernel/FILE`, compiled.

    Args:
        config: configuration options that are set or not, beyond the usual ones.
        records: the calls by which it hands something out.

    Raises:
        Refusal: the C is outside of the subset.
    """
    options = {**DEFAULT_CONFIG, **(config or {})}
    text = (FOLDER / file).read_text()
    unit = parse(text, file, config=options)
    found = unit.functions.get(name)
    if found is None:
        raise ModelError(f"formats/kernel/{file} has no function {name}: {unit.broken.get(name, '')}")
    taken = ", ".join(f"{p.type} {p.name}" for p in found.parameters)
    handed = ", ".join(p.name for p in found.parameters)
    call = f"{name}({handed})"
    body = f"{call};" if found.returns.base == "void" else f"__answer({call});"
    asked = parse(f"{text}\nvoid __ask({taken}) {{ {body} }}\n", file, config=options)
    types: dict[tuple[str, int], CType] = {("bool", 0): BOOLEAN, **{(key, 0): scalar for key, scalar in SCALARS.items()}}
    calls = (*PURE, _ANSWER, _BUG_ON, *(record.intrinsic for record in records))
    library = Library(types=types, intrinsics={i.name: i for i in calls}, identities=frozenset({"likely", "unlikely"}))
    graph = lower(name, "__ask", asked.functions, asked.structs, library, None, asked.unmodelled | asked.broken)
    return Function(name, graph, tuple(records))


@dataclass(frozen=True)
class _Here:
    """What is known where the pass stands: on which condition a run comes here, the locals, and what was handed out."""

    when: z3.BoolRef
    held: Mapping[str, z3.ExprRef]

    def joined(self, other: _Here) -> _Here:
        held = dict(self.held)
        for name, value in other.held.items():
            mine = held.get(name)
            held[name] = value if mine is None or mine.eq(value) else z3.If(other.when, value, mine)
        return _Here(z3.simplify(z3.Or(self.when, other.when)), held)


class _Pass:
    """One pass over the nodes of a graph without circles, each after all that lead to it."""

    def __init__(self, given: Function, arguments: Mapping[str, z3.ExprRef]) -> None:
        self.function, self.graph = given, given.graph
        self._given = {choice: arguments[path] for path, _, choice in given._parameters}
        start: dict[str, z3.ExprRef] = {var.name: default(var.kind) for var in given._state}
        self._at: dict[int, _Here] = {self.graph.entry: _Here(z3.BoolVal(True), start)}
        self._fails: list[tuple[str, z3.BoolRef]] = []
        self._kinds = {path: local.kind for path, local in self.graph.locals.items()}

    def run(self) -> Applied:
        for number in self._order():
            if number in self._at:
                self._node(number, self._at[number])
        end = self._at[self.graph.exit]
        names = [var.name for var in self.function._state]
        records = {name: end.held[name] for name in names if name != _RESULT}
        return Applied(end.held[_RESULT] if self.function._returns else None, records, tuple(self._fails))

    def _order(self) -> tuple[int, ...]:
        before: dict[int, set[int]] = {number: set() for number in self.graph.reachable()}
        for number in before:
            for follower in self.graph.nodes[number].successors():
                if follower >= 0:
                    before[follower].add(number)
        try:
            return tuple(graphlib.TopologicalSorter(before).static_order())
        except graphlib.CycleError:
            raise ModelError(f"{self.function.name} has a loop: write it without one") from None

    def _node(self, number: int, here: _Here) -> None:
        node = self.graph.nodes[number]
        match node:
            case Nop():
                self._lead(node.next, here)
            case Set(values=values):
                new = {local.path: self._value(term, here) for local, term in values.items()}
                self._lead(node.next, _Here(here.when, {**here.held, **new}))
            case Havoc(locals=held):
                new = {local.path: local.kind.const(f"any.{local.path}@{number}") for local in held}
                self._lead(node.next, _Here(here.when, {**here.held, **new}))
            case Branch(condition=condition):
                holds = self._value(condition, here)
                for target, way in ((node.next, holds), (node.other, z3.Not(holds))):
                    when = z3.simplify(z3.And(here.when, way))
                    if not z3.is_false(when):
                        self._lead(target, _Here(when, here.held))
            case Op():
                self._operate(node, here)
            case Refuse(refusal=refusal):
                raise refusal if refusal is not None else ModelError(f"{node.what} is reached at {node.at}")
            case _:
                raise AssertionError(f"unknown kind of node {node}")

    def _operate(self, node: Op, here: _Here) -> None:
        if len(node.effects) != 1 or not z3.is_true(z3.simplify(node.effects[0].guard)):
            raise ModelError(f"{node.name}() at {node.at} chooses or waits: {self.function.name} is not pure")
        effect = node.effects[0]
        for check in effect.checks:
            failed = z3.simplify(z3.And(here.when, z3.Not(self._value(check.holds, here))))
            if not z3.is_false(failed):
                self._fails.append((f"{check.label} at {node.at}", failed))
        new = {local.path: self._value(value, here) for local, value in node.results[0].items()}
        new |= {update.var.name: self._value(update.value, here) for update in effect.updates}
        self._lead(node.after(0), _Here(here.when, {**here.held, **new}))

    def _lead(self, target: int, here: _Here) -> None:
        known = self._at.get(target)
        self._at[target] = here if known is None else known.joined(here)

    def _value(self, term: z3.ExprRef, here: _Here) -> z3.ExprRef:
        """A term of the graph where the pass stands: each local and each argument by what it holds."""
        pairs = [(kind.const("%" + path), here.held[path]) for path, kind in self._kinds.items() if path in here.held]
        pairs += [(kind.const(choice), self._given[choice]) for _, kind, choice in self.function._parameters]
        return z3.simplify(z3.substitute(term, *pairs))
