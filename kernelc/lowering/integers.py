"""The integer types in which C computes: constants with the types that their text gives them, promotion, the usual conversions.

A constant has C's own widths (LP64: 32 bits for `int`, 64 for `long`), and constants among themselves are computed as C does. The
model's types have widths of their own (a `gfn_t` may have four bits): what is narrower than the model's `int` is promoted to it, what is
wider stands for a `long`. A model without an `int` of its own has no promotion, and its other types do not meet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import z3

from ...core.ground import choose
from ...core.rewrite import constant_index
from ...core.sorts import Truth, Word
from .library import BOOLEAN, Check, Constant, CType, Library, Scalar, Value
from .spots import Spot

INT = Constant(32, True)


def literal(number: int, ctype: Constant = INT) -> Value:
    """An integer constant."""
    return Value(ctype, name=str(number))


def is_literal(value: Value) -> bool:
    return isinstance(value.type, Constant)


@dataclass(frozen=True)
class Integers:
    """The model's types for C's: `plain` is its `int` if it has one; and how wide a `long` is."""

    plain: Scalar | None
    long_bits: int

    @classmethod
    def of(cls, library: Library) -> Integers:
        """Those of a library."""
        plain = library.types.get(("int", 0))
        known = (library.types.get((name, 0)) for name in ("long", "unsigned long", "u64", "s64"))
        widths = [t.kind.width for t in known if isinstance(t, Scalar) and isinstance(t.kind, Word)]
        return cls(plain if isinstance(plain, Scalar) and isinstance(plain.kind, Word) else None, widths[0] if widths else 64)

    @property
    def exact(self) -> bool:
        """Whether the model's widths are C's own."""
        return self.plain is not None and self.plain.kind == Word(32)

    @property
    def _int_bits(self) -> int:
        assert self.plain is not None
        assert isinstance(self.plain.kind, Word)
        return self.plain.kind.width

    def model_type(self, constant: Constant) -> Scalar | None:
        """The type in which a constant of that type is computed with while running; None without an `int`."""
        if self.plain is None:
            return None
        if constant.bits == 32:
            return self.plain if constant.signed else Scalar("unsigned int", Word(self._int_bits))
        return Scalar("long" if constant.signed else "unsigned long", Word(max(self.long_bits, self._int_bits)), signed=constant.signed)

    def promoted(self, value: Value) -> Value:
        """A truth value or a narrow integer as an `int`."""
        if self.plain is None or not isinstance(value.type, Scalar):
            return value
        kind = value.type.kind
        if isinstance(kind, Truth):
            one, zero = (z3.BitVecVal(n, self._int_bits) for n in (1, 0))
            return Value(self.plain, {"": choose(value.term, one, zero)})
        if isinstance(kind, Word) and kind.width < self._int_bits:
            return Value(self.plain, {"": resized(value.term, self._int_bits, value.type.signed)})
        return value

    def meet(self, constant: Constant, ctype: Scalar) -> Scalar:
        """The type in which a constant and a promoted integer meet."""
        assert isinstance(ctype.kind, Word)
        if self.plain is None:
            return ctype
        bits = 32 if ctype.kind.width <= self._int_bits else 64
        if constant.bits > bits:
            met = self.model_type(constant)
            assert met is not None
            return met
        if constant.bits == bits and ctype.signed and not constant.signed:
            return Scalar(f"unsigned {ctype}", ctype.kind)
        return ctype


def met(left: Constant, right: Constant) -> Constant:
    """The type in which two constants meet."""
    if left.bits == right.bits:
        return Constant(left.bits, left.signed and right.signed)
    return max(left, right, key=lambda c: c.bits)


def resized(term: z3.ExprRef, width: int, signed: bool) -> z3.ExprRef:
    """A word cut or extended to `width` bits."""
    old = term.size()
    if old == width:
        return term
    if width < old:
        return z3.simplify(z3.Extract(width - 1, 0, term))
    return z3.simplify(z3.SignExt(width - old, term) if signed else z3.ZeroExt(width - old, term))


# Constants


def of_literals(op: str, left: Value, right: Value, spot: Spot) -> Value:
    """`left op right` of two constants.

    Raises:
        Refusal: C gives it no value.
    """
    assert isinstance(left.type, Constant)
    assert isinstance(right.type, Constant)
    kinds = left.type, right.type
    a, b = int(left.name), int(right.name)
    if op in ("<<", ">>"):
        if not 0 <= b < kinds[0].bits:
            raise spot.refusal(f"a shift by {b} of a constant of {kinds[0].bits} bits", "shift by less than the width")
        return _fitting(a << b if op == "<<" else a >> b, kinds[0], spot)
    kind = met(*kinds)
    a, b = kind.cut(a), kind.cut(b)
    comparisons: dict[str, Callable[[int, int], bool]] = {
        "==": int.__eq__, "!=": int.__ne__, "<": int.__lt__, "<=": int.__le__, ">": int.__gt__, ">=": int.__ge__,
    }  # fmt: skip
    if op in comparisons:
        return literal(int(comparisons[op](a, b)))
    if op in ("/", "%") and b == 0:
        raise spot.refusal("a division by zero", "mend the expression")
    operators: dict[str, Callable[[int, int], int]] = {
        "+": int.__add__, "-": int.__sub__, "*": int.__mul__, "&": int.__and__, "|": int.__or__, "^": int.__xor__,
        "/": _quotient, "%": lambda a, b: a - b * _quotient(a, b),
    }  # fmt: skip
    return _fitting(operators[op](a, b), kind, spot)


def of_literal(op: str, value: Value, spot: Spot) -> Value:
    """A unary operator on a constant.

    Raises:
        Refusal: C gives it no value.
    """
    assert isinstance(value.type, Constant)
    kind, number = value.type, int(value.name)
    if op == "!":
        return literal(int(not number))
    return _fitting({"-": -number, "+": number, "~": ~number}[op], kind, spot)


def _fitting(number: int, kind: Constant, spot: Spot) -> Value:
    if kind.signed and not kind.holds(number):
        raise spot.refusal(f"a signed overflow: {number} is no {kind}", "give a constant the suffix that its value needs, as in 1ul")
    return literal(kind.cut(number), kind)


def _quotient(left: int, right: int) -> int:
    """C rounds towards zero."""
    magnitude = abs(left) // abs(right)
    return magnitude if (left < 0) == (right < 0) else -magnitude


# What C gives no value while running


def bounds(value: Value) -> tuple[int, int] | None:
    """The least and the greatest number that a value can be, as far as its type or its term says; None for what is no number."""
    if is_literal(value):
        return int(value.name), int(value.name)
    if value.type == BOOLEAN:
        return 0, 1
    if not isinstance(value.type, Scalar) or not isinstance(value.type.kind, Word):
        return None
    width = value.type.kind.width
    number = constant_index(value.term)
    if number is not None:
        number -= 2**width if value.type.signed and number >= 2 ** (width - 1) else 0
        return number, number
    return (-(2 ** (width - 1)), 2 ** (width - 1) - 1) if value.type.signed else (0, 2**width - 1)


def overflow(op: str, given: tuple[Value, Value], left: z3.ExprRef, right: z3.ExprRef, ctype: CType, spot: Spot) -> Check | None:
    """The check that `left op right`, computed in a signed type, has a value there; None where `given`, unconverted, says that it has."""
    if not isinstance(ctype, Scalar) or not isinstance(ctype.kind, Word) or not ctype.signed or op not in ("+", "-", "*"):
        return None
    width = ctype.kind.width
    first, second = (bounds(value) for value in given)
    if first is not None and second is not None:
        ends = [{"+": a + b, "-": a - b, "*": a * b}[op] for a in first for b in second]
        if -(2 ** (width - 1)) <= min(ends) and max(ends) < 2 ** (width - 1):
            return None
    more = width if op == "*" else 1
    a, b = z3.SignExt(more, left), z3.SignExt(more, right)
    wide, narrow = {"+": (a + b, left + right), "-": (a - b, left - right), "*": (a * b, left * right)}[op]
    return _check("signed overflow", wide == z3.SignExt(more, narrow), spot)


def shift_checks(op: str, left: z3.ExprRef, by: z3.ExprRef, given: Value, amount: z3.ExprRef, ctype: Scalar, spot: Spot) -> list[Check]:
    """The checks that a shift has a value: `amount` is what the width is compared with, `by` the same in the type of `left`."""
    assert isinstance(ctype.kind, Word)
    width, found = ctype.kind.width, list[Check | None]()
    ends = bounds(given)
    if ends is None or ends[0] < 0 or ends[1] >= width:
        enough = 2 ** amount.size() > width
        found.append(_check("shift by too much", z3.ULT(amount, z3.BitVecVal(width, amount.size())), spot) if enough else None)
    if op == "<<" and ctype.signed:
        found.append(_check("signed overflow", ((left << by) >> by) == left, spot))
    return [check for check in found if check is not None]


def _check(what: str, holds: z3.BoolRef, spot: Spot) -> Check | None:
    return None if z3.is_true(z3.simplify(holds)) else Check(f"{what}: {spot.text}", holds)
