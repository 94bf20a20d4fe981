"""Terms on many states at once: one numpy array per value, one entry per state.

What `reading.py` reads is folded at plain arguments: a quantifier becomes its instances, and what no state decides is decided here.
What is left is a graph of vectors, each shared by all that mention it and computed when somebody first asks for it.

Every branch is computed for every state, also where plain evaluation would not look. Nothing can go wrong there: a division by zero has
a value, and an index is one of its sort or the term is refused (`Unfit`), so that plain evaluation judges it.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import z3
from numpy.typing import NDArray

from ..errors import ModelError
from ..shape import children, identity
from ..sorts import Kind, Rigid, Truth
from ..system import Action, Param, Update
from .evaluate import Evaluator, remembered
from .layout import strides
from .reading import Bound, Constant, Fixed, Look, Name, Node, Operation, Place, Quantified

Array: TypeAlias = NDArray[Any]
Words: TypeAlias = NDArray[np.uint64]
Part: TypeAlias = "Vector | int"
"""A vector, or a value that all states share; a truth value is 0 or 1."""

WIDEST = 64
LARGEST_TABLE = 1 << 16


class Unfit(ModelError):
    """Vectors cannot hold this term; plain evaluation can."""


class Vector:
    """A function of the state.

    Args:
        function: makes the array from those of its parts.
        parts: vectors, and numbers that `function` takes as they are.
        bound: no value is as large.
    """

    __slots__ = ("bound", "function", "parts")

    def __init__(self, function: Callable[..., Array], parts: tuple[Part, ...], bound: int) -> None:
        self.function = function
        self.parts = parts
        self.bound = bound

    def on(self, batch: Batch) -> Array:
        """Its values on the states of `batch`."""
        return self.function(*[part if isinstance(part, int) else batch.at(part) for part in self.parts])


class _Cell(Vector):
    """The cell at a place, which is its only part."""

    __slots__ = ()

    def on(self, batch: Batch) -> Array:
        (place,) = self.parts
        assert isinstance(place, int)
        return self.function(batch.cell(place))


class _Picked(Vector):
    """A cell at a place that differs from state to state."""

    __slots__ = ()

    def on(self, batch: Batch) -> Array:
        (place,) = self.parts
        assert isinstance(place, Vector)
        return self.function(batch.pick(batch.at(place)))


class _Every(Vector):
    """Whether all parts are true; what comes after a part that is true nowhere is not asked."""

    __slots__ = ()

    def on(self, batch: Batch) -> Array:
        first, *rest = (part for part in self.parts if isinstance(part, Vector))  # numbers were folded away
        found = batch.at(first)
        for part in rest:
            if not found.any():
                break
            found = found & batch.at(part)
        return found


class Batch:
    """States as vectors, and what is already known of them.

    Args:
        cells: one row per cell, one entry per state.
        chosen: the numbers of the states that are asked about; all of them, if none are given.
    """

    def __init__(self, cells: Array, chosen: NDArray[np.intp] | None = None) -> None:
        self.cells = cells
        self.chosen = np.arange(cells.shape[1]) if chosen is None else chosen
        self._all = chosen is None
        self._known: dict[Vector, Array] = {}

    def at(self, vector: Vector) -> Array:
        """The values of a vector."""
        found = self._known.get(vector)
        if found is None:
            found = self._known[vector] = vector.on(self)
        return found

    def cell(self, place: int) -> Array:
        """The values of one cell."""
        values: Array = self.cells[place]
        return values if self._all else values.take(self.chosen)

    def pick(self, places: Array) -> Array:
        """The values of one cell of each state."""
        return self.cells[places, self.chosen]


class Vectors:
    """The terms and actions of one system at one geometry, as vectors.

    Raises:
        Unfit: a state does not fit into numbers of 64 bits; so do all methods that meet a term that does not.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self._reader = evaluator.reader
        self._layout = evaluator.layout
        self._geometry = evaluator.geometry
        self._made: dict[tuple[object, ...], Vector] = {}
        self._folded: dict[tuple[object, ...], Part] = {}
        self._tables: dict[str, Callable[..., Array]] = {}
        self._meanings: dict[str, Callable[..., int | bool]] = {}
        largest = max((self._geometry.size(cell.var.kind) for cell in self._layout.cells), default=1) - 1
        if largest.bit_length() > WIDEST:
            raise Unfit(f"a cell of {largest.bit_length()} bits")
        self.dtype: np.dtype[Any] = np.min_scalar_type(largest)

    def term(self, term: z3.ExprRef, params: Sequence[Param] = (), arguments: Sequence[int] = ()) -> Part:
        """The value of a term."""
        consts = [p.const for p in params]
        return self._fold(self._reader.read(term, consts), _named(consts, arguments), ())

    def changes(self, action: Action, arguments: Sequence[int]) -> Iterator[tuple[int, Part]]:
        """The places that `action` may change, with what stands there afterwards."""
        consts = [p.const for p in action.params]
        for update in action.updates:
            yield from self._update(update, consts, arguments)

    def _update(self, update: Update, params: Sequence[z3.ExprRef], arguments: Sequence[int]) -> Iterator[tuple[int, Part]]:
        var = update.var
        value = self._reader.read(update.value, [*params, *update.variables])
        names, size = _named(params, arguments), self._geometry.size(var.kind)
        variables = [identity(v) for v in update.variables]
        indices = itertools.product(*(range(self._geometry.size(s)) for s in var.params))
        for place, index in enumerate(indices, self._layout.offset[var.name]):
            after = self._fold(value, names | dict(zip(variables, index, strict=True)), ())
            if (after if isinstance(after, int) else after.bound - 1) >= size:
                raise Unfit(f"{var.name} may become more than it can hold")
            if after != self._cell(place, var.kind):
                yield place, after

    def _fold(self, node: Node, names: Mapping[int, int], scope: tuple[int, ...]) -> Part:
        if isinstance(node, Constant):
            return node.value
        key = (node, *[names.get(name) for name in node.names], scope[-node.depth :] if node.depth else ())
        found = self._folded.get(key)
        if found is None:
            found = self._folded[key] = self._look(node, names, scope)
        return found

    def _look(self, node: Node, names: Mapping[int, int], scope: tuple[int, ...]) -> Part:
        match node:
            case Constant(value):
                return value
            case Place(place):
                return self._cell(place, self._layout.cells[place].var.kind)
            case Bound(depth):
                if depth > len(scope):
                    raise ModelError(f"cannot evaluate {node.term}: a bound variable outside its quantifier")
                return scope[-depth]
            case Name():
                return names[node.key] if node.key in names else self._fold(node.declared(), names, scope)
            case Look(var, parts):
                sizes = [self._geometry.size(s) for s in var.params]
                at = self._index([self._fold(part, names, scope) for part in parts], sizes, self._layout.offset[var.name])
                return self._cell(at, var.kind)
            case Fixed(rigid, parts):
                return self._rigid(rigid, [self._fold(part, names, scope) for part in parts])
            case Quantified(universal, sizes, body):
                instances = (self._fold(body, names, scope + values) for values in itertools.product(*map(range, sizes)))
                return self._every(instances) if universal else self._some(instances)
            case Operation():
                return self._operation(node, lambda part: self._fold(part, names, scope))

    def _make(self, function: Callable[..., Array], parts: tuple[Part, ...], bound: int, of: type[Vector] = Vector) -> Part:
        """The vector of that kind; one for all that ask for it. Where there is only one value, it is that."""
        if bound == 1:
            return 0
        key = (of, function, parts)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = of(function, parts, bound)
        return found

    def _cell(self, place: Part, kind: Kind) -> Part:
        function = _truth if isinstance(kind, Truth) else _plain
        return self._make(function, (place,), self._geometry.size(kind), _Cell if isinstance(place, int) else _Picked)

    def _index(self, parts: Sequence[Part], sizes: Sequence[int], start: int = 0) -> Part:
        """Where something with these indices stands in what has these sizes and starts there."""
        varying: list[Part] = []
        for part, size, stride in zip(parts, sizes, strides(sizes), strict=True):
            if (part if isinstance(part, int) else part.bound - 1) >= size:
                raise Unfit(f"an index may be {part}, and {size} is too large already")
            if isinstance(part, int):
                start += part * stride
            else:
                varying += (part, stride)
        return self._make(_placed, (start, *varying), 0) if varying else start

    def _rigid(self, rigid: Rigid, arguments: Sequence[Part]) -> Part:
        sizes = [self._geometry.size(kind) for kind in rigid.params]
        if all(isinstance(argument, int) for argument in arguments):
            return self._meaning(rigid, arguments)
        if math.prod(sizes) > LARGEST_TABLE:
            raise Unfit(f"{rigid.name} takes too many different arguments")
        if rigid.name not in self._tables:
            values = [self._meaning(rigid, at) for at in itertools.product(*map(range, sizes))]
            dtype = np.bool_ if isinstance(rigid.kind, Truth) else np.min_scalar_type(max(values))
            self._tables[rigid.name] = np.array(values, dtype).take
        return self._make(self._tables[rigid.name], (self._index(arguments, sizes),), self._geometry.size(rigid.kind))

    def _meaning(self, rigid: Rigid, arguments: Sequence[Part]) -> int:
        if rigid.name not in self._meanings:
            self._meanings[rigid.name] = remembered(rigid, self._geometry)
        try:
            value = int(self._meanings[rigid.name](*arguments))
        except Exception as error:  # plain evaluation may never ask that
            raise Unfit(f"{rigid.name} has no value at {arguments}") from error
        if not 0 <= value < self._geometry.size(rigid.kind):
            raise Unfit(f"{rigid.name} is {value} at {arguments}")
        return value

    def _every(self, parts: Iterable[Part]) -> Part:
        found: dict[Vector, None] = {}
        for part in parts:
            if isinstance(part, Vector):
                found[part] = None
            elif not part:
                return 0
        if len(found) < 2:
            return next(iter(found), 1)
        return self._make(_truth, tuple(found), 2, _Every)

    def _some(self, parts: Iterable[Part]) -> Part:
        found: dict[Vector, None] = {}
        for part in parts:
            if isinstance(part, Vector):
                found[part] = None
            elif part:
                return 1
        if len(found) < 2:
            return next(iter(found), 0)
        return self._make(_either, tuple(found), 2)

    def _not(self, part: Part) -> Part:
        if isinstance(part, int):
            return 1 - part
        return part.parts[0] if part.function is _denied else self._make(_denied, (part,), 2)

    def _equal(self, one: Part, other: Part, truth: bool) -> Part:
        if one is other:
            return 1
        if isinstance(one, int):
            one, other = other, one
        if isinstance(one, int):
            return int(one == other)
        if isinstance(other, int):
            if other >= one.bound:
                return 0
            if truth:
                return one if other else self._not(one)
        return self._make(operator.eq, (one, other), 2)

    def _if(self, condition: Part, then: Callable[[], Part], otherwise: Callable[[], Part], truth: bool) -> Part:
        if isinstance(condition, int):
            return then() if condition else otherwise()
        one, other = then(), otherwise()
        if one is other or (isinstance(one, int) and one == other):
            return one
        if not truth:
            bound = max(part + 1 if isinstance(part, int) else part.bound for part in (one, other))
            return self._make(_chosen, (condition, one, other), bound)
        if isinstance(one, int):
            return self._some([condition, other]) if one else self._every([self._not(condition), other])
        if isinstance(other, int):
            return self._some([self._not(condition), one]) if other else self._every([condition, one])
        return self._make(_chosen, (condition, one, other), 2)

    def _operation(self, node: Operation, fold: Callable[[Node], Part]) -> Part:
        parts = node.parts
        match node.operator:
            case z3.Z3_OP_AND:
                return self._every(map(fold, parts))
            case z3.Z3_OP_OR:
                return self._some(map(fold, parts))
            case z3.Z3_OP_NOT:
                return self._not(fold(parts[0]))
            case z3.Z3_OP_IMPLIES:
                return self._some(fold(part) if number else self._not(fold(part)) for number, part in enumerate(parts))
            case z3.Z3_OP_ITE:
                return self._if(fold(parts[0]), lambda: fold(parts[1]), lambda: fold(parts[2]), z3.is_bool(node.term))
            case z3.Z3_OP_EQ:
                return self._equal(fold(parts[0]), fold(parts[1]), z3.is_bool(children(node.term)[0]))
            case z3.Z3_OP_DISTINCT:
                truth = z3.is_bool(children(node.term)[0])
                return self._every(self._not(self._equal(fold(a), fold(b), truth)) for a, b in itertools.combinations(parts, 2))
            case z3.Z3_OP_XOR:
                return functools.reduce(lambda a, b: self._not(self._equal(a, b, True)), map(fold, parts))
            case z3.Z3_OP_ZERO_EXT:
                return fold(parts[0])
            case _:
                return self._word(node.term, node.operator, [fold(part) for part in parts])

    def _word(self, term: z3.ExprRef, of: int, parts: Sequence[Part]) -> Part:
        """An operator on words: from its first two parts on to the others, where it has more."""
        widths = [child.size() for child in children(term) if z3.is_bv(child)]
        if of not in _WORDS or len(widths) != len(parts):
            raise Unfit(f"no vectors for the operator {term.decl().name()}")
        width = term.size() if z3.is_bv(term) else widths[0]
        if max(width, *widths) > WIDEST:
            raise Unfit(f"words of {max(width, *widths)} bits")
        function, bound = _WORDS[of], 1 << term.size() if z3.is_bv(term) else 2
        if of == z3.Z3_OP_EXTRACT:
            return self._computed(function, (parts[0], term.params()[1], width), bound)
        if of == z3.Z3_OP_CONCAT:
            return functools.reduce(
                lambda a, b: self._computed(function, (a, *b), bound), zip(parts[1:], widths[1:], strict=True), parts[0]
            )
        if len(parts) == 1:
            return self._computed(function, (parts[0], widths[0], width), bound)
        return functools.reduce(lambda a, b: self._computed(function, (a, b, width), bound), parts)

    def _computed(self, function: Callable[..., Array], parts: tuple[Part, ...], bound: int) -> Part:
        if any(isinstance(part, Vector) for part in parts):
            return self._make(function, parts, bound)
        return int(function(*parts)[0])


def _named(params: Sequence[z3.ExprRef], arguments: Sequence[int]) -> dict[int, int]:
    return {identity(param): value for param, value in zip(params, arguments, strict=True)}


def _plain(values: Array) -> Array:
    return values


def _truth(values: Array) -> Array:
    return values.astype(np.bool_)


def _placed(start: int, *varying: Any) -> Array:
    """`start`, and each index times its stride."""
    found: Array = np.array(start)
    for index, stride in zip(varying[::2], varying[1::2], strict=True):
        found = found + index.astype(np.intp) * stride
    return found


def _either(first: Array, *others: Array) -> Array:
    return functools.reduce(operator.or_, others, first)


def _denied(values: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.logical_not(values)


def _chosen(condition: Array, one: Array | int, other: Array | int) -> Array:
    found: Array = np.where(condition, _sized(one), _sized(other))
    return found


def _sized(value: Array | int) -> Any:
    """A number that all states share in as few bits as it takes."""
    return np.min_scalar_type(value).type(value) if isinstance(value, int) else value


def _wide(value: Array | int) -> Words:
    """Words as Z3's arithmetic needs them: numbers modulo 2**64, to be masked."""
    return np.array([value], np.uint64) if isinstance(value, int) else value.astype(np.uint64)


def _on_words(function: Callable[..., Array]) -> Callable[..., Array]:
    """An operator of two words and their width."""
    return lambda a, b, width: function(_wide(a), _wide(b), (1 << width) - 1)


def _divided(a: Words, b: Words, mask: int) -> Words:
    return np.where(b == 0, np.uint64(mask), a // np.where(b == 0, np.uint64(1), b))


def _rest(a: Words, b: Words, _: int) -> Words:
    return np.where(b == 0, a, a % np.where(b == 0, np.uint64(1), b))


def _shifted_left(a: Words, b: Words, mask: int) -> Words:
    return np.where(b < mask.bit_length(), (a << np.minimum(b, mask.bit_length() - 1)) & mask, np.uint64(0))


def _shifted_right(a: Words, b: Words, mask: int) -> Words:
    return np.where(b < mask.bit_length(), a >> np.minimum(b, mask.bit_length() - 1), np.uint64(0))


def _shifted_signed(a: Words, b: Words, mask: int) -> Words:
    by = np.minimum(b, mask.bit_length() - 1)
    return (a >> by) | np.where(a >> (mask.bit_length() - 1) == 1, mask ^ (np.uint64(mask) >> by), np.uint64(0))


def _signed(compare: Callable[..., Array]) -> Callable[..., Array]:
    """Signed order is unsigned order with the sign flipped."""
    return lambda a, b, width: compare(_wide(a) ^ (1 << (width - 1)), _wide(b) ^ (1 << (width - 1)))


def _extended(a: Array, width: int, wider: int) -> Array:
    sign = 1 << (width - 1)
    return ((_wide(a) ^ sign) - sign) & ((1 << wider) - 1)


def _extracted(a: Array, low: int, width: int) -> Array:
    return (_wide(a) >> low) & ((1 << width) - 1)


def _joined(a: Array, b: Array, width: int) -> Array:
    return (_wide(a) << width) | _wide(b)


_WORDS: dict[int, Callable[..., Array]] = {
    z3.Z3_OP_BADD: _on_words(lambda a, b, mask: (a + b) & mask),
    z3.Z3_OP_BSUB: _on_words(lambda a, b, mask: (a - b) & mask),
    z3.Z3_OP_BMUL: _on_words(lambda a, b, mask: (a * b) & mask),
    z3.Z3_OP_BUDIV: _on_words(_divided),
    z3.Z3_OP_BUDIV_I: _on_words(_divided),
    z3.Z3_OP_BUREM: _on_words(_rest),
    z3.Z3_OP_BUREM_I: _on_words(_rest),
    z3.Z3_OP_BAND: _on_words(lambda a, b, _: a & b),
    z3.Z3_OP_BOR: _on_words(lambda a, b, _: a | b),
    z3.Z3_OP_BXOR: _on_words(lambda a, b, _: a ^ b),
    z3.Z3_OP_BNEG: lambda a, _, width: (~_wide(a) + np.uint64(1)) & ((1 << width) - 1),
    z3.Z3_OP_BNOT: lambda a, _, width: ~_wide(a) & ((1 << width) - 1),
    z3.Z3_OP_BSHL: _on_words(_shifted_left),
    z3.Z3_OP_BLSHR: _on_words(_shifted_right),
    z3.Z3_OP_BASHR: _on_words(_shifted_signed),
    z3.Z3_OP_ULT: _on_words(lambda a, b, _: a < b),
    z3.Z3_OP_ULEQ: _on_words(lambda a, b, _: a <= b),
    z3.Z3_OP_UGT: _on_words(lambda a, b, _: a > b),
    z3.Z3_OP_UGEQ: _on_words(lambda a, b, _: a >= b),
    z3.Z3_OP_SLT: _signed(operator.lt),
    z3.Z3_OP_SLEQ: _signed(operator.le),
    z3.Z3_OP_SGT: _signed(operator.gt),
    z3.Z3_OP_SGEQ: _signed(operator.ge),
    z3.Z3_OP_SIGN_EXT: _extended,
    z3.Z3_OP_EXTRACT: _extracted,
    z3.Z3_OP_CONCAT: _joined,
}
