"""Terms on plain values, without a solver: what replay, exploration and certificate checks stand on.

A term is translated once into Python source over a flat tuple of plain values and compiled, when it is first wanted. The translation
speaks of *ungrounded* terms (a quantifier is a loop, an application is a look-up), so it does not share the grounder's mistakes;
grounded terms work, too, because a cell's name is known.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import z3

from ..errors import ModelError
from ..ground import Cell
from ..shape import children, identity
from ..sorts import Geometry, Rigid, Sort, Truth, Word
from ..system import Action, Param, TransitionSystem, Update
from .layout import Layout, State
from .reading import Bound, Constant, Fixed, Look, Name, Node, Operation, Place, Quantified, Reader, is_unchanged


@dataclass(frozen=True, slots=True)
class Move:
    """An action at plain argument values, compiled: try it on a state."""

    action: Action
    arguments: tuple[int, ...]
    guard: Callable[[State], bool]
    apply: Callable[[State], State]


class Evaluator:
    """Evaluates the terms and actions of one system at one geometry on flat states."""

    def __init__(self, system: TransitionSystem, geometry: Geometry) -> None:
        self.system = system
        self.geometry = geometry
        self.layout = Layout(system, geometry)
        self.reader = Reader(self.layout)
        self._guards: dict[str, Callable[..., bool]] = {}
        self._steps: dict[str, Callable[..., State]] = {}

    def compile(self, term: z3.ExprRef, params: Sequence[Param] = ()) -> Callable[..., Any]:
        """A function from a state, and one plain value per parameter, to the value of `term`."""
        writer = _Writer(self, params)
        result = writer.expression(term)
        return writer.function([f"return {result}"])

    def holds(self, term: z3.BoolRef, state: State) -> bool:
        """Whether a closed term is true in `state`."""
        return bool(self._closed(term)(state))

    def _closed(self, term: z3.ExprRef) -> Callable[[State], int]:
        key = identity(term)
        if key not in self._compiled:
            self._compiled[key] = (term, self.compile(term))
        return self._compiled[key][1]

    @cached_property
    def _compiled(self) -> dict[int, tuple[z3.ExprRef, Callable[[State], int]]]:
        return {}

    def enabled(self, action: Action, arguments: Sequence[int], state: State) -> bool:
        """Whether the guard of `action` holds at these argument values."""
        return bool(self._guard(action)(state, *arguments))

    def after(self, action: Action, arguments: Sequence[int], state: State) -> State:
        """The state after `action`; says nothing about whether it may fire."""
        return self._step(action)(state, *arguments)

    def _guard(self, action: Action) -> Callable[..., bool]:
        if action.name not in self._guards:
            self._guards[action.name] = self.compile(action.guard, action.params)
        return self._guards[action.name]

    def _step(self, action: Action) -> Callable[..., State]:
        if action.name not in self._steps:
            self._steps[action.name] = self._updating(action.updates, action.params)
        return self._steps[action.name]

    def _updating(self, updates: Sequence[Update], params: Sequence[Param]) -> Callable[..., State]:
        writer = _Writer(self, params)
        body = [line for update in updates for line in writer.update(update)]
        return writer.function(["n = list(s)", *body, "return tuple(n)"])

    def moves(self) -> Iterator[Move]:
        """Every action at every tuple of argument values; an action is compiled when one of its moves is first tried."""
        for action in self.system.actions:
            for arguments in itertools.product(*(range(self.geometry.size(p.kind)) for p in action.params)):
                yield Move(action, arguments, _bind(self._guard, action, arguments), _bind(self._step, action, arguments))

    def initial(self, limit: int = 100_000) -> Iterator[State]:
        """The initial states; cells without an initial value take every value.

        Raises:
            ModelError: there are more than `limit` combinations to try.
        """
        choices = [range(self.geometry.size(cell.var.kind)) for cell in self._free]
        if math.prod(len(c) for c in choices) > limit:
            raise ModelError(f"{len(self._free)} cells of {self.system.name} start with any value: more than {limit} initial states")
        for values in itertools.product(*choices):
            state = self.first(dict(zip((c.name for c in self._free), values, strict=True)))
            if self.is_initial(state):
                yield state

    def random_initial(self, rng: random.Random, attempts: int = 1_000) -> State:
        """An initial state drawn at random: each cell without an initial value gets any value.

        Raises:
            ModelError: no draw satisfied the system's constraint.
        """
        for _ in range(attempts):
            state = self.first({cell.name: rng.randrange(self.geometry.size(cell.var.kind)) for cell in self._free})
            if self.is_initial(state):
                return state
        raise ModelError(f"none of {attempts} random states of {self.system.name} is an initial state; its constraint may be unsatisfiable")

    def start(self, values: Mapping[str, int]) -> State:
        """A flat state from values by cell name; what is not named is 0."""
        return tuple(int(values.get(cell.name, 0)) for cell in self.layout.cells)

    def first(self, values: Mapping[str, int]) -> State:
        """The state in which the named cells have these values, and the rest its initial value, or 0 where any will do."""
        state = self.start(values)
        for _ in range(len(self.system.init) + 1):  # an initial value may speak of another variable's initial value
            settled = self._after_init(state)
            if settled == state:
                break
            state = settled
        return tuple(values.get(cell.name, value) for cell, value in zip(self.layout.cells, state, strict=True))

    def fits(self, state: State) -> bool:
        """Whether `state` has one value for each cell, and each value exists at this geometry."""
        sizes = self._sizes
        return len(state) == len(sizes) and all(0 <= value < size for value, size in zip(state, sizes, strict=True))

    @cached_property
    def _sizes(self) -> tuple[int, ...]:
        return tuple(self.geometry.size(cell.var.kind) for cell in self.layout.cells)

    def is_initial(self, state: State) -> bool:
        """Whether `state` satisfies the initial condition, and names only elements that exist."""
        return self.fits(state) and self._after_init(state) == state and bool(self._closed(self.system.constraint)(state))

    @cached_property
    def _after_init(self) -> Callable[[State], State]:
        return self._updating(self.system.init, ())

    @cached_property
    def _free(self) -> list[Cell]:
        """The cells that may start with any value."""
        fixed = {u.var.name for u in self.system.init}
        return [c for c in self.layout.cells if c.var.name not in fixed]


def _bind(compiled: Callable[[Action], Callable[..., Any]], action: Action, arguments: tuple[int, ...]) -> Callable[[State], Any]:
    function: Callable[..., Any] | None = None

    def bound(state: State) -> Any:
        nonlocal function
        if function is None:
            function = compiled(action)
        return function(state, *arguments)

    return bound


class _Writer:
    """Writes the Python source of one function: a term becomes an expression, shared closed subterms become assignments."""

    def __init__(self, evaluator: Evaluator, params: Sequence[Param]) -> None:
        self._reader = evaluator.reader
        self._layout = evaluator.layout
        self._geometry = evaluator.geometry
        self._system = evaluator.system
        self._params = [p.const for p in params]
        self._names = {identity(const): f"p{i}" for i, const in enumerate(self._params)}
        self._lines: list[str] = []
        self._shared: dict[Node, str] = {}
        self._scope: dict[str, Any] = {}
        self._fresh = itertools.count()

    def function(self, body: Sequence[str]) -> Callable[..., Any]:
        """The compiled function whose lines were written so far, followed by `body`."""
        head = ", ".join(["s", *(f"p{i}" for i in range(len(self._params)))])
        text = "\n    ".join([f"def f({head}):", *self._lines, *body])
        exec(compile(text, f"<term of {self._system.name}>", "exec"), self._scope)
        return self._scope["f"]  # type: ignore[no-any-return]

    def update(self, update: Update) -> list[str]:
        """Lines that write `n`, the list of values after, from `s`."""
        loops, depth = [], 1
        strides = self._layout.strides(update.var)
        place = [str(self._layout.offset[update.var.name])]
        bound = {}
        for const, sort, stride in zip(update.variables, update.var.params, strides, strict=True):
            name = f"i{next(self._fresh)}"
            bound[identity(const)] = name
            loops.append("    " * (depth - 1) + f"for {name} in range({self._geometry.size(sort)}):")
            place.append(f"{name}*{stride}")
            depth += 1
        value = self._reader.read(update.value, [*self._params, *update.variables])
        where = "+".join(place)
        # Unchanged elsewhere is the common case: test the condition first, and leave `n` alone where it fails.
        if isinstance(value, Operation) and value.operator == z3.Z3_OP_ITE and is_unchanged(value.parts[2], update):
            condition = self._expression(value.parts[0], (), bound)
            loops.append("    " * (depth - 1) + f"if {condition}:")
            depth += 1
            value = value.parts[1]
        text = self._expression(value, (), bound)
        if isinstance(update.var.kind, Truth) and text not in ("0", "1"):
            text = f"(1 if {text} else 0)"
        loops.append("    " * (depth - 1) + f"n[{where}] = {text}")
        return loops

    def expression(self, term: z3.ExprRef) -> str:
        """`term` as a Python expression."""
        return self._expression(self._reader.read(term, self._params), (), {})

    def _expression(self, node: Node, scope: tuple[str, ...], bound: Mapping[int, str]) -> str:
        """`scope` are the variables of the quantifiers around it, `bound` those of the loops around them."""
        if node in self._shared:
            return self._shared[node]
        text = self._write(node, scope, bound)
        if len(text) > 40 and not node.depth and not any(name in bound for name in node.names):
            name = f"v{next(self._fresh)}"
            self._lines.append(f"{name} = {text}")
            self._shared[node] = name
            return name
        return text

    def _write(self, node: Node, scope: tuple[str, ...], bound: Mapping[int, str]) -> str:
        def parts(of: Sequence[Node]) -> list[str]:
            return [self._expression(part, scope, bound) for part in of]

        match node:
            case Constant(value):
                return str(value)
            case Place(place):
                return f"s[{place}]"
            case Bound(depth):
                if depth > len(scope):
                    raise ModelError(f"cannot evaluate {node.term}: a bound variable outside its quantifier")
                return scope[-depth]
            case Name():
                text = bound.get(node.key) or self._names.get(node.key)
                return text or self._expression(node.declared(), scope, bound)
            case Look(var):
                places = [str(self._layout.offset[var.name])]
                at = zip(parts(node.parts), self._layout.strides(var), strict=True)
                places += [f"({p})*{stride}" if stride != 1 else f"({p})" for p, stride in at]
                return f"s[{'+'.join(places)}]"
            case Fixed(rigid):
                self._scope[f"R_{rigid.name}"] = remembered(rigid, self._geometry)
                return f"R_{rigid.name}({', '.join(parts(node.parts))})"
            case Operation(term, operator):
                return _operator(term, operator, parts(node.parts))
            case Quantified(universal, sizes):
                fresh = tuple(f"q{next(self._fresh)}" for _ in sizes)
                body = self._expression(node.body, scope + fresh, bound)
                loops = " ".join(f"for {name} in range({size})" for name, size in zip(fresh, sizes, strict=True))
                return f"{'all' if universal else 'any'}({body} {loops})"


def remembered(rigid: Rigid, geometry: Geometry) -> Callable[..., int | bool]:
    """What `rigid` means at plain arguments; asked once for each."""

    @cache
    def look_up(*arguments: int) -> int | bool:
        return rigid.meaning(geometry, arguments)

    return look_up


def _operator(term: z3.ExprRef, operator: int, parts: list[str]) -> str:
    """An interpreted operator of Z3 on plain integers, unsigned unless it says otherwise."""
    width = term.size() if z3.is_bv(term) else 0
    mask = (1 << width) - 1
    first = children(term)[0] if parts else None
    operand = first.size() if first is not None and z3.is_bv(first) else 0

    def signed(text: str) -> str:
        return f"(({text}) - ((({text}) >> {operand - 1}) << {operand}))"

    match operator:
        case z3.Z3_OP_AND:
            return "(" + " and ".join(parts or ["True"]) + ")"
        case z3.Z3_OP_OR:
            return "(" + " or ".join(parts or ["False"]) + ")"
        case z3.Z3_OP_NOT:
            return f"(not {parts[0]})"
        case z3.Z3_OP_IMPLIES:
            return f"((not {parts[0]}) or {parts[1]})"
        case z3.Z3_OP_ITE:
            return f"({parts[1]} if {parts[0]} else {parts[2]})"
        case z3.Z3_OP_EQ:
            # Truth values may come as 0/1 from a state and as False/True from an operator: these compare equal in Python.
            return f"({parts[0]} == {parts[1]})"
        case z3.Z3_OP_DISTINCT:
            return "(" + " and ".join([f"{a} != {b}" for a, b in itertools.combinations(parts, 2)] or ["True"]) + ")"
        case z3.Z3_OP_XOR:
            return f"(({' + '.join(f'bool({p})' for p in parts)}) % 2 == 1)"
        case z3.Z3_OP_BADD:
            return f"(({' + '.join(parts)}) & {mask})"
        case z3.Z3_OP_BSUB:
            return f"(({' - '.join(parts)}) & {mask})"
        case z3.Z3_OP_BMUL:
            return f"(({' * '.join(parts)}) & {mask})"
        case z3.Z3_OP_BUDIV | z3.Z3_OP_BUDIV_I:
            return f"(({parts[0]}) // ({parts[1]}) if {parts[1]} else {mask})"
        case z3.Z3_OP_BUREM | z3.Z3_OP_BUREM_I:
            return f"(({parts[0]}) % ({parts[1]}) if {parts[1]} else {parts[0]})"
        case z3.Z3_OP_BNEG:
            return f"((-{parts[0]}) & {mask})"
        case z3.Z3_OP_BNOT:
            return f"((~{parts[0]}) & {mask})"
        case z3.Z3_OP_BAND:
            return "(" + " & ".join(parts) + ")"
        case z3.Z3_OP_BOR:
            return "(" + " | ".join(parts) + ")"
        case z3.Z3_OP_BXOR:
            return "(" + " ^ ".join(parts) + ")"
        case z3.Z3_OP_BSHL:
            return f"((({parts[0]}) << min({parts[1]}, {width})) & {mask})"
        case z3.Z3_OP_BLSHR:
            return f"(({parts[0]}) >> ({parts[1]}))"
        case z3.Z3_OP_BASHR:
            return f"(({signed(parts[0])} >> ({parts[1]})) & {mask})"
        case z3.Z3_OP_ULT:
            return f"({parts[0]} < {parts[1]})"
        case z3.Z3_OP_ULEQ:
            return f"({parts[0]} <= {parts[1]})"
        case z3.Z3_OP_UGT:
            return f"({parts[0]} > {parts[1]})"
        case z3.Z3_OP_UGEQ:
            return f"({parts[0]} >= {parts[1]})"
        case z3.Z3_OP_SLT:
            return f"({signed(parts[0])} < {signed(parts[1])})"
        case z3.Z3_OP_SLEQ:
            return f"({signed(parts[0])} <= {signed(parts[1])})"
        case z3.Z3_OP_SGT:
            return f"({signed(parts[0])} > {signed(parts[1])})"
        case z3.Z3_OP_SGEQ:
            return f"({signed(parts[0])} >= {signed(parts[1])})"
        case z3.Z3_OP_EXTRACT:
            high, low = term.params()
            return f"((({parts[0]}) >> {low}) & {(1 << (high - low + 1)) - 1})"
        case z3.Z3_OP_ZERO_EXT:
            return parts[0]
        case z3.Z3_OP_SIGN_EXT:
            return f"({signed(parts[0])} & {mask})"
        case z3.Z3_OP_CONCAT:
            text, total = parts[0], 0
            for part, child in zip(parts[1:], term.children()[1:], strict=True):
                total = child.size()
                text = f"((({text}) << {total}) | {part})"
            return text
        case _:
            raise ModelError(f"the evaluator does not know the operator {term.decl().name()} in {term}")


__all__ = ["Evaluator", "Layout", "Move", "Sort", "State", "Word"]
