"""Typed values: literals, conversions between C types, and what the operators of C do with values.

Nothing here knows the graph: each function answers a value, or refuses with the place and text that it was given.

Arithmetic follows C, in the integer types of the model: see `integers`.
"""

from __future__ import annotations

from collections.abc import Sequence

import z3

from ...core.ground import choose, conjunction, disjunction, fold, negation
from ...core.sorts import Truth, Word
from .integers import INT, Integers, is_literal, literal, met, of_literals, overflow, resized, shift_checks
from .integers import of_literal as of_constant
from .library import BOOLEAN, Array, Check, Constant, CType, FunctionName, Handle, Record, Ref, Scalar, Value, leaves
from .spots import Spot as Spot

NULL = "NULL"


def join(base: str, path: str) -> str:
    """The path of a part: `iter` and `gfn` are `iter.gfn`, `path` and `[1]` are `path[1]`."""
    if not path or not base:
        return base or path
    return base + path if path.startswith("[") else f"{base}.{path}"


# Conversion


def coerce(value: Value, want: CType, spot: Spot) -> Value:
    """`value` as C converts it where a `want` is expected.

    Raises:
        Refusal: C would need a cast, or the model keeps the two apart.
    """
    if value.type == want:
        return value
    if isinstance(value.type, Constant):
        return of_literal(int(value.name), want, spot, value.type)
    if want == BOOLEAN:
        return Value(BOOLEAN, {"": truth(value, spot)})
    if isinstance(want, Record) and str(value.type) in want.casts:
        return want.casts[str(value.type)](value)
    if isinstance(value.type, Scalar) and isinstance(want, Scalar) and isinstance(want.kind, Word):
        if isinstance(value.type.kind, Word):
            return Value(want, {"": resized(value.term, want.kind.width, value.type.signed)})
        if isinstance(value.type.kind, Truth):
            return Value(want, {"": choose(value.term, z3.BitVecVal(1, want.kind.width), z3.BitVecVal(0, want.kind.width))})
    raise spot.refusal(f"a {value.type} where a {want} is expected", "convert it by an intrinsic that takes the one and gives the other")


def of_literal(number: int, want: CType, spot: Spot, ctype: Constant = INT) -> Value:
    """The value of type `want` that an integer constant stands for."""
    match want:
        case Scalar(kind=Truth()):
            return Value(want, {"": z3.BoolVal(number != 0)})
        case Scalar(kind=Word(width), signed=signed):
            high = 2 ** (width - 1 if signed else width)
            if not ctype.signed and number >= 2 ** (ctype.bits - 1) and number >= high and not signed:
                number -= 2**ctype.bits  # `~1ul` has all bits but one, in a narrower model of the type, too
            if not -(2 ** (width - 1)) <= number < high:
                raise spot.refusal(
                    f"{number} does not fit into a {want}, which has {width} bits here", "use a smaller number or a wider type"
                )
            return Value(want, {"": z3.BitVecVal(number, width)})
        case Scalar() if number in want.literals:
            return Value(want, {"": want.literals[number]})
        case Record() if number in want.literals:
            return Value(want, dict(want.literals[number]))
        case Record() if number == 0 and not want.literals:
            parts = {}
            for name, inner in want.fields:
                parts.update({join(name, path): term for path, term in of_literal(0, inner, spot).parts.items()})
            return Value(want, parts)
        case Array() if number == 0:
            element = of_literal(0, want.element, spot)
            return Value(want, {join(f"[{i}]", path): term for i in range(want.length) for path, term in element.parts.items()})
        case Handle() | FunctionName() | Ref() if number == 0:
            return Value(want, name=NULL)
        case _:
            pass
    raise spot.refusal(f"{number} is no value of type {want}", "use a named constant of that type")


def truth(value: Value, spot: Spot) -> z3.BoolRef:
    """What `if (value)` asks."""
    match value.type:
        case _ if is_literal(value):
            return z3.BoolVal(value.name != "0")
        case Scalar(kind=Truth()):
            return value.term
        case Scalar(kind=Word(width)):
            return negation(same(value.term, z3.BitVecVal(0, width)))
        case Scalar(literals=literals) if 0 in literals:
            return negation(same(value.term, literals[0]))
        case Record(truth=asks) if asks is not None:
            return asks(value)
        case Handle() | FunctionName() | Ref():
            return z3.BoolVal(value.name != NULL)
        case _:
            raise spot.refusal(f"a {value.type} as a condition", "compare it with something")


def common(left: Value, right: Value, spot: Spot, integers: Integers) -> tuple[Value, Value]:
    """Both values in the type in which C computes with them; two constants stay constants."""
    left, right = _meeting(left, right, integers)
    if left.type == right.type:
        return left, right
    if isinstance(left.type, Constant) and isinstance(right.type, Constant):
        kind = met(left.type, right.type)
        return literal(kind.cut(int(left.name)), kind), literal(kind.cut(int(right.name)), kind)
    if isinstance(left.type, Constant):
        target = _with_constant(left.type, right.type, integers)
        return coerce(left, target, spot), coerce(right, target, spot)
    if isinstance(right.type, Constant):
        target = _with_constant(right.type, left.type, integers)
        return coerce(left, target, spot), coerce(right, target, spot)
    wider = _wider(left.type, right.type)
    return (coerce(left, wider, spot), coerce(right, wider, spot)) if wider is not None else (left, coerce(right, left.type, spot))


def _meeting(left: Value, right: Value, integers: Integers) -> tuple[Value, Value]:
    """Both promoted, unless both are truth values, with which C's `int` would say the same."""
    if left.type == BOOLEAN and (right.type == BOOLEAN or (is_literal(right) and right.name in ("0", "1"))):
        return left, right
    if right.type == BOOLEAN and is_literal(left) and left.name in ("0", "1"):
        return left, right
    return integers.promoted(left), integers.promoted(right)


def _with_constant(constant: Constant, other: CType, integers: Integers) -> CType:
    return integers.meet(constant, other) if isinstance(other, Scalar) and isinstance(other.kind, Word) else other


def _wider(left: CType, right: CType) -> Scalar | None:
    """The type in which two unlike arithmetic types meet."""
    words = [t for t in (left, right) if isinstance(t, Scalar) and isinstance(t.kind, Word)]
    if len(words) == 1 and BOOLEAN in (left, right):
        return words[0]
    if len(words) < 2:
        return None
    return max(words, key=lambda t: (_width(t), not t.signed))


def _width(ctype: Scalar) -> int:
    assert isinstance(ctype.kind, Word)
    return ctype.kind.width


# Operators


_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})


def _alike(left: Value, right: Value) -> bool:
    """Whether two words compare as they stand as they do when they are converted: of one type, or with a constant of it."""
    if left.type == right.type:
        return isinstance(left.type, Scalar) and isinstance(left.type.kind, Word)
    constant, other = (left, right) if is_literal(left) else (right, left)
    if not isinstance(constant.type, Constant) or not isinstance(other.type, Scalar) or not isinstance(other.type.kind, Word):
        return False
    width, signed = other.type.kind.width, other.type.signed
    low, high = (-(2 ** (width - 1)), 2 ** (width - 1)) if signed else (0, 2**width)
    return low <= int(constant.name) < high and (constant.type.signed or not signed)


def arithmetic(op: str, left: Value, right: Value, spot: Spot, integers: Integers, checks: list[Check]) -> Value:
    """`left op right` for every binary operator but `&&` and `||`; `checks` gets what must hold for C to give it a value."""
    if is_literal(left) and is_literal(right):
        return of_literals(op, left, right, spot)
    if op == "+" and isinstance(left.type, Record):
        return pointer_plus(left, right, spot)
    if op in ("<<", ">>"):
        return _shift(op, left, right, spot, integers, checks)
    if op not in ("==", "!="):
        for side in (left, right):
            if not is_literal(side) and not isinstance(side.type, Scalar):
                raise spot.refusal(f"{op} on a {side.type}", "only == and != are known for it")
    given = left, right
    if op not in ("==", "!=", "&", "|", "^") and BOOLEAN in (left.type, right.type):
        left, right = integers.promoted(left), integers.promoted(right)
    if op not in _COMPARISONS or not _alike(left, right):
        left, right = common(left, right, spot, integers)
    elif left.type != right.type:
        left, right = (coerce(left, right.type, spot), right) if is_literal(left) else (left, coerce(right, left.type, spot))
    if op in ("==", "!="):
        equal = equality(left, right, spot)
        return Value(BOOLEAN, {"": equal if op == "==" else negation(equal)})
    assert isinstance(left.type, Scalar)
    if op in ("<", "<=", ">", ">="):
        return Value(BOOLEAN, {"": _ordered(op, left.type, left.term, right.term, spot)})
    if isinstance(left.type.kind, Truth) and op in ("&", "|", "^"):
        return Value(BOOLEAN, {"": _of_truths(op, left.term, right.term)})
    if isinstance(left.type.kind, Word):
        check = overflow(op, given, left.term, right.term, left.type, spot)
        checks += [check] if check is not None else []
        return Value(left.type, {"": _of_words(op, left.term, right.term, spot)})
    raise spot.refusal(f"{op} on a {left.type}", "this type has an order at most, and no arithmetic")


def equality(left: Value, right: Value, spot: Spot) -> z3.BoolRef:
    """Whether two values of one type are equal."""
    match left.type:
        case Record(equal=equal) if equal is not None:
            return equal(left, right)
        case Handle() | FunctionName() | Ref():
            return z3.BoolVal(left.name == right.name)
        case Scalar() | Record():
            return conjunction([same(left.parts[p], right.parts[p]) for p, _ in leaves(left.type)])
        case _:
            raise spot.refusal(f"comparing a {left.type}", "compare its parts")


def same(left: z3.ExprRef, right: z3.ExprRef) -> z3.BoolRef:
    """`left == right`, with the constants folded."""
    return fold(left == right, (left, right))


def _ordered(op: str, ctype: Scalar, left: z3.ExprRef, right: z3.ExprRef, spot: Spot) -> z3.BoolRef:
    if isinstance(ctype.kind, Word):
        if ctype.signed:
            return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[op]
        return {"<": z3.ULT, "<=": z3.ULE, ">": z3.UGT, ">=": z3.UGE}[op](left, right)
    if ctype.less_equal is None:
        raise spot.refusal(f"{op} on a {ctype}, which has no order", "compare with == or !=")
    match op:
        case "<=":
            return ctype.less_equal(left, right)
        case ">=":
            return ctype.less_equal(right, left)
        case "<":
            return negation(ctype.less_equal(right, left))
        case _:
            return negation(ctype.less_equal(left, right))


def _of_truths(op: str, left: z3.BoolRef, right: z3.BoolRef) -> z3.BoolRef:
    match op:
        case "&":
            return conjunction([left, right])
        case "|":
            return disjunction([left, right])
        case _:
            return negation(same(left, right))


def _of_words(op: str, left: z3.ExprRef, right: z3.ExprRef, spot: Spot) -> z3.ExprRef:
    match op:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "&":
            return left & right
        case "|":
            return left | right
        case "^":
            return left ^ right
        case _:
            raise spot.refusal(f"the operator {op}", "rewrite it with + - * & | ^ << >>")


def _shift(op: str, left: Value, right: Value, spot: Spot, integers: Integers, checks: list[Check]) -> Value:
    """A shift has the promoted type of its left operand, whatever the right one is; `>>` keeps the sign, as gcc does."""
    if isinstance(left.type, Constant):
        ctype = integers.model_type(left.type)
        if ctype is None:
            raise spot.refusal("a shift of a literal, whose width is not known", "give the literal a type by a cast, as in (u64)1 << n")
        left = coerce(left, ctype, spot)
    left, given, right = integers.promoted(left), right, integers.promoted(right)
    if not isinstance(left.type, Scalar) or not isinstance(left.type.kind, Word):
        raise spot.refusal(f"{op} on a {left.type}", "shift an integer")
    width = left.type.kind.width
    if is_literal(right):
        if not 0 <= int(right.name) < width:
            raise spot.refusal(f"a shift by {right.name} of a {left.type}, which has {width} bits here", "shift by less than the width")
        amount = by = z3.BitVecVal(int(right.name), width)
    elif isinstance(right.type, Scalar) and isinstance(right.type.kind, Word):
        amount, by = right.term, resized(right.term, width, right.type.signed)
        if right.type.kind.width > width:
            by = z3.If(z3.ULT(right.term, width), by, z3.BitVecVal(width, width))
    else:
        raise spot.refusal(f"a shift by a {right.type}", "shift by an integer")
    checks += shift_checks(op, left.term, by, given, amount, left.type, spot)
    if op == "<<":
        return Value(left.type, {"": left.term << by})
    return Value(left.type, {"": left.term >> by if left.type.signed else z3.LShR(left.term, by)})


def pointer_plus(pointer: Value, amount: Value, spot: Spot) -> Value:
    """`pointer + amount`, where the library knows what that is."""
    if not isinstance(pointer.type, Record) or pointer.type.add is None:
        raise spot.refusal(f"arithmetic on a {pointer.type}", "index what is known to be an array")
    if is_literal(amount):
        widths = [kind.width for _, kind in leaves(pointer.type) if isinstance(kind, Word)]
        return pointer.type.add(pointer, z3.BitVecVal(int(amount.name), widths[0] if widths else 8))
    if not isinstance(amount.type, Scalar):
        raise spot.refusal(f"a {amount.type} added to a pointer", "add an integer")
    return pointer.type.add(pointer, amount.term)


def negated(op: str, value: Value, spot: Spot, integers: Integers, checks: list[Check]) -> Value:
    """The unary operators `!`, `-`, `+` and `~`."""
    if is_literal(value):
        return of_constant(op, value, spot)
    if op == "!":
        return Value(BOOLEAN, {"": negation(truth(value, spot))})
    given, value = value, integers.promoted(value)
    if isinstance(value.type, Scalar) and isinstance(value.type.kind, Word):
        zero = z3.BitVecVal(0, value.type.kind.width)
        check = overflow("-", (literal(0), given), zero, value.term, value.type, spot) if op == "-" else None
        checks += [check] if check is not None else []
        return Value(value.type, {"": {"-": -value.term, "~": ~value.term, "+": value.term}[op]})
    raise spot.refusal(f"{op} on a {value.type}", "use it on an integer")


def either(condition: z3.BoolRef, then: Value, otherwise: Value, spot: Spot) -> Value:
    """`condition ? then : otherwise` of two values of one type."""
    if z3.is_true(condition) or z3.is_false(condition):
        return then if z3.is_true(condition) else otherwise
    if then.name != otherwise.name:
        raise spot.refusal(
            f"a choice between two values of type {then.type} while running", "write it as if/else, with each value used where it is chosen"
        )
    return Value(then.type, {p: choose(condition, then.parts[p], otherwise.parts[p]) for p in then.parts}, then.name)


def element_at(elements: Sequence[z3.ExprRef], index: z3.ExprRef) -> z3.ExprRef:
    """The element of an array at an index that is not a constant; beyond the end, the last one."""
    chosen = elements[-1]
    for number in reversed(range(min(len(elements) - 1, 2 ** index.size()))):
        chosen = z3.If(index == z3.BitVecVal(number, index.size()), elements[number], chosen)
    return chosen
