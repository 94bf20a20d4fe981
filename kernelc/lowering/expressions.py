"""Expressions: evaluated to typed values, with whatever they do emitted in order.

A value stays symbolic as long as nothing can change what it mentions; before something can, it is copied to a temporary.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

import z3

from ...core.ground import conjunction, disjunction, negation
from ...core.rewrite import folded
from ...core.sorts import Truth, Word
from ..errors import Refusal
from ..text import ast
from ..text.show import show
from .access import Access
from .build import Abandoned, Ends, reads_state, spot_of
from .cfg import THREAD, Branch, Mark, Op
from .convert import Spot, arithmetic, coerce, common, either, negated, of_literal, truth
from .integers import is_literal, literal, met
from .library import (
    BOOLEAN,
    VOID,
    Check,
    Constant,
    CType,
    Effect,
    FunctionName,
    Handle,
    Intrinsic,
    Library,
    Record,
    Ref,
    Scalar,
    Value,
    Void,
    leaves,
)
from .lvalues import DerefPlace, FieldPlace, FixedPlace, LocalPlace


class Expressions(Access):
    """Evaluates expressions."""

    def __init__(
        self,
        role: str,
        functions: Mapping[str, ast.Function],
        structs: Mapping[str, ast.Struct],
        library: Library,
        broken: Mapping[str, Exception],
    ) -> None:
        super().__init__(role, functions, structs, library, broken)

    @abstractmethod
    def call(self, expression: ast.Call) -> Value:
        """Evaluate a call."""

    @abstractmethod
    def statement(self, statement: ast.Stmt) -> None:
        """Lower a statement."""

    def value(self, expression: ast.Expr, want: CType | None = None) -> Value:
        found = self._evaluate(expression, want)
        return found if want is None else coerce(found, want, spot_of(expression))

    def _evaluate(self, expression: ast.Expr, want: CType | None) -> Value:
        match expression:
            case ast.IntLiteral(value=number, bits=bits, signed=signed):
                return literal(number, Constant(bits, signed))
            case ast.Name() | ast.Member() | ast.Index() | ast.Unary(op="*"):
                return self.read(self.load(self.place(expression), spot_of(expression)), spot_of(expression))
            case ast.Unary():
                return self._unary(expression)
            case ast.Step():
                return self._step(expression)
            case ast.Binary(op="&&" | "||"):
                return self._short_circuit(expression)
            case ast.Binary(op=op, left=left, right=right):
                first = self.value(left)
                if self.has_effects(right):
                    first = self.saved(first, spot_of(left))
                return self.computed(op, first, self.value(right), spot_of(expression))
            case ast.Conditional():
                return self._conditional(expression, want)
            case ast.Assign():
                return self._assign(expression)
            case ast.Call():
                return self.read(self.call(expression), spot_of(expression), f"the value of {expression.function}()")
            case ast.Cast():
                return self._cast(expression)
            case ast.Comma(parts=parts):
                for part in parts[:-1]:
                    self.discard(part)
                return self.value(parts[-1], want)
            case ast.Watched():
                return self._watched(expression, want)
            case ast.Enclosed():
                return self._enclosed(expression)
            case ast.Initializer(at=at):
                raise Refusal(at, "an initializer outside a declaration", show(expression), "declare a local with it")

    def discard(self, expression: ast.Expr) -> None:
        """Evaluate an expression of which nobody reads the value."""
        match expression:
            case ast.Call():
                self.call(expression)
            case ast.Comma(parts=parts):
                for part in parts:
                    self.discard(part)
            case ast.Name():
                self.place(expression)
            case _:
                self.value(expression)

    def _unary(self, expression: ast.Unary) -> Value:
        op, operand = expression.op, expression.operand
        named = isinstance(operand, ast.Name) and operand.name not in self.frame.names and operand.name not in self.broken
        if op == "-" and isinstance(operand, ast.Name) and named and f"-{operand.name}" in self.library.constants:
            return self.library.constants[f"-{operand.name}"]
        if op == "&":
            return self._address(expression)
        checks: list[Check] = []
        return self._checked(negated(op, self.value(operand), spot_of(expression), self.integers, checks), checks, spot_of(expression))

    def computed(self, op: str, left: Value, right: Value, spot: Spot) -> Value:
        """`left op right`, and the assertion that C gives it a value."""
        checks: list[Check] = []
        return self._checked(arithmetic(op, left, right, spot, self.integers, checks), checks, spot)

    def _checked(self, value: Value, checks: Sequence[Check], spot: Spot) -> Value:
        """Assert what must hold, wherever C evaluates what is evaluated here."""
        if checks and self.here:
            asked = tuple(replace(c, holds=disjunction([*map(negation, self.under), c.holds])) for c in checks)
            self.emit(Op(*self.stamp(spot), name="arithmetic", mover="local", effects=(Effect(checks=asked),), results=({},)))
        return value

    @contextmanager
    def _where(self, condition: z3.BoolRef) -> Iterator[None]:
        """What is evaluated inside, C evaluates only where `condition` holds; it has no effects."""
        self.under.append(condition)
        yield
        self.under.pop()

    def _address(self, expression: ast.Unary) -> Value:
        match self.place(expression.operand):
            case LocalPlace(type=ctype, path=path):
                return Value(Ref(ctype), name=path)
            case FixedPlace(value=Value(type=Handle() | FunctionName()) as value) if not is_literal(value):
                return value  # `&kvm->mmu_lock`: a handle is its own address
            case DerefPlace(pointer=pointer):
                return pointer
            case FieldPlace(base=base, fields=fields) if (str(base.type), fields) in self.library.embedded:
                return self.intrinsic(self.library.embedded[str(base.type), fields], [base], spot_of(expression))
            case _:
                raise spot_of(expression).refusal(
                    "the address of this is not known while compiling", "take the address of a local or of a part of one"
                )

    def _cast(self, expression: ast.Cast) -> Value:
        spot = spot_of(expression)
        wanted = self.types(expression.type, expression.at)
        arithmetic_type = isinstance(wanted, Scalar) and isinstance(wanted.kind, (Word, Truth))
        if isinstance(wanted, Void):
            self.discard(expression.operand)
            return Value(VOID)
        value = self.value(expression.operand, None if arithmetic_type else wanted)
        if is_literal(value) and isinstance(wanted, Scalar) and isinstance(wanted.kind, Word) and self.integers.exact:
            return of_literal(Constant(wanted.kind.width, wanted.signed).cut(int(value.name)), wanted, spot)
        return coerce(value, wanted, spot)

    def _step(self, expression: ast.Step) -> Value:
        spot = spot_of(expression)
        place = self.place(expression.operand)
        old = self.saved(self.read(self.load(place, spot), spot_of(expression.operand)), spot)
        new = coerce(self.computed("+" if expression.op == "++" else "-", old, literal(1), spot), old.type, spot)
        new = self.saved(new, spot) if not isinstance(place, LocalPlace) else new
        self.store(place, new, spot)
        if not expression.prefix:
            return old
        return self.load(place, spot) if isinstance(place, LocalPlace) else new

    def _assign(self, expression: ast.Assign) -> Value:
        """The value first, then what its target is, then for `op=` the old value: C leaves the order open."""
        spot = spot_of(expression)
        simple = expression.op == "="
        target = self.peek(expression.target) if simple else None
        value = self.value(expression.value, target.type if isinstance(target, LocalPlace) else None)
        if self.has_effects(expression.target):
            value = self.saved(value, spot)
        place = self.place(expression.target)
        if not simple:
            old = self.read(self.load(place, spot), spot_of(expression.target))
            value = self.computed(expression.op.removesuffix("="), old, value, spot)
        if isinstance(place, LocalPlace):
            self.store(place, value, spot)
            return self.load(place, spot)
        return self.store(place, self.saved(value, spot), spot)

    def saved(self, value: Value, spot: Spot) -> Value:
        """Copy a value to temporaries, so that later effects do not change it."""
        if not value.parts or not (self.locals_in(value) or reads_state(value)):
            return value
        place = self.temporary(value.type, "saved")
        self.store(place, value, spot)
        return self.load(place, spot)

    def _enclosed(self, expression: ast.Enclosed) -> Value:
        """The value of the last statement; none if that is no expression."""
        *before, last = expression.body.statements or (ast.Block((), expression.at),)
        found: Value | None = None
        with self.frame.scope():
            for inner in before:
                self.statement(inner)
            if not isinstance(last, ast.Evaluate):
                self.statement(last)
                found = Value(VOID)
            elif self.here:
                with suppress(Abandoned):
                    # The locals of the block end with it, and may begin again before the value is used.
                    found = self.saved(self._given(last.expression), spot_of(last.expression))
        if found is None or not self.here:
            raise Abandoned
        return found

    def _given(self, expression: ast.Expr) -> Value:
        """The value of an expression that need not have one."""
        if isinstance(expression, ast.Call):
            return self.call(expression)
        return self.value(expression)

    def _watched(self, expression: ast.Watched, want: CType | None) -> Value:
        """The value, after a branch by which its outcome can be seen; both ways go on alike."""
        spot = spot_of(expression)
        value = self.value(expression.condition, want)
        holds = folded(truth(value, spot))
        if z3.is_true(holds) or z3.is_false(holds):
            self._mark(expression, z3.is_true(holds))
            return value
        assert isinstance(holds, z3.BoolRef)
        node = Branch(*self.stamp(spot), condition=holds)
        self.emit(node)
        self.here = self._marked([(node, "next")], expression, True) + self._marked([(node, "other")], expression, False)
        return value

    def _marked(self, ends: Ends, expression: ast.Watched, holds: bool) -> Ends:
        """Open ends behind which one can see that a condition turned out so."""
        self.here = ends
        if ends:
            self._mark(expression, holds)
        return self.take()

    def _mark(self, expression: ast.Watched, holds: bool) -> None:
        self.emit(Mark(*self.stamp(Spot(expression.at, "")), condition=show(expression), holds=holds))

    # Conditions and choices

    def condition(self, expression: ast.Expr) -> z3.BoolRef:
        """Whether an expression is true, as a folded term."""
        decided = folded(truth(self.value(expression), spot_of(expression)))
        assert isinstance(decided, z3.BoolRef)
        return decided

    def branch(self, expression: ast.Expr) -> tuple[Ends, Ends]:
        """Evaluate a condition; the open ends where it holds, and those where it does not."""
        match expression:
            case ast.Unary(op="!", operand=operand):
                yes, no = self.branch(operand)
                return no, yes
            case ast.Binary(op="&&", left=left, right=right) if self.has_effects(right):
                yes, no = self.branch(left)
                both, second = self._branch_from(yes, right)
                return both, no + second
            case ast.Binary(op="||", left=left, right=right) if self.has_effects(right):
                yes, no = self.branch(left)
                second, neither = self._branch_from(no, right)
                return yes + second, neither
            case ast.Call(function=name, arguments=(inner,)) if name in self.library.identities:
                return self.branch(inner)
            case ast.Watched(condition=inner):
                yes, no = self.branch(inner)
                return self._marked(yes, expression, True), self._marked(no, expression, False)
            case _:
                pass
        condition = self.condition(expression)
        if z3.is_true(condition):
            return self.take(), []
        if z3.is_false(condition):
            return [], self.take()
        node = Branch(*self.stamp(spot_of(expression)), condition=condition)
        self.emit(node)
        self.take()
        return [(node, "next")], [(node, "other")]

    def _branch_from(self, ends: Ends, expression: ast.Expr) -> tuple[Ends, Ends]:
        """`branch` from other open ends; if there are none, or none leads on, neither outcome is possible."""
        self.here = ends
        if ends:
            with suppress(Abandoned):
                return self.branch(expression)
        return [], []

    def _short_circuit(self, expression: ast.Binary) -> Value:
        if not self.has_effects(expression.right):
            left = self.condition(expression.left)
            decided = z3.is_false(left) if expression.op == "&&" else z3.is_true(left)
            if decided:
                return Value(BOOLEAN, {"": left})
            combine = conjunction if expression.op == "&&" else disjunction
            with self._where(left if expression.op == "&&" else negation(left)):
                return Value(BOOLEAN, {"": combine([left, self.condition(expression.right)])})
        yes, no = self.branch(expression)
        return self._chosen(
            [(yes, Value(BOOLEAN, {"": z3.BoolVal(True)})), (no, Value(BOOLEAN, {"": z3.BoolVal(False)}))], spot_of(expression)
        )

    def _conditional(self, expression: ast.Conditional, want: CType | None) -> Value:
        spot, arms = spot_of(expression), (expression.then, expression.otherwise)
        if not any(map(self.has_effects, arms)):
            condition = self.condition(expression.condition)
            if z3.is_true(condition) or z3.is_false(condition):
                return self._converted(self.value(arms[0] if z3.is_true(condition) else arms[1]), arms, want, spot)
            with self._where(condition):
                then = self.value(arms[0])
            with self._where(negation(condition)):
                otherwise = self.value(arms[1])
            return either(condition, *self._unified(then, otherwise, want, spot), spot)
        ways: list[tuple[Ends, Value]] = []
        for ends, arm in zip(self.branch(expression.condition), arms, strict=True):
            self.here = ends
            if ends:
                with suppress(Abandoned):
                    value = self.value(arm)
                    ways.append((self.take(), value))
        if len(ways) == 2:
            values = self._unified(ways[0][1], ways[1][1], want, spot)
            ways = [(ends, value) for (ends, _), value in zip(ways, values, strict=True)]
        elif ways:
            ways = [(ways[0][0], self._converted(ways[0][1], arms, want, spot))]
        return self._chosen(ways, spot)

    def _converted(self, value: Value, arms: Sequence[ast.Expr], want: CType | None, spot: Spot) -> Value:
        """The value of the only arm that can run, converted as if the other one were evaluated, too, as far as its type is plain."""
        for arm in arms:
            beside = self._stand_in(arm)
            if beside is not None and _is_number(value) and _is_number(beside):
                value = common(value, beside, spot, self.integers)[0]
        return value if want is None or is_literal(value) else coerce(value, want, spot)

    def _stand_in(self, expression: ast.Expr) -> Value | None:
        """Some value of the type that an expression has, None where that is not plain to see."""
        match expression:
            case ast.IntLiteral(bits=bits, signed=signed):
                return literal(0, Constant(bits, signed))
            case ast.Cast(type=ref, at=at):
                return _some(self.types(ref, at))
            case ast.Call(function=name) if name in self.functions:
                return _some(self.types(self.functions[name].returns, expression.at))
            case ast.Call(function=name) if name in self.library.intrinsics:
                return _some(self.library.intrinsics[name].result)
            case ast.Unary(op="-" | "+" | "~", operand=operand):
                found = self._stand_in(operand)
                return None if found is None or not _is_number(found) else self.integers.promoted(found)
            case ast.Comma(parts=parts):
                return self._stand_in(parts[-1])
            case ast.Assign(target=operand) | ast.Step(operand=operand):
                return self._stand_in(operand)
            case ast.Name() | ast.Member() | ast.Unary(op="*") | ast.Index():
                place = self.peek(expression)
                if isinstance(place, FixedPlace):
                    return place.value if is_literal(place.value) else _some(place.value.type)
                return _some(place.type) if isinstance(place, LocalPlace) else None
            case ast.Binary(op=op, left=left, right=right) if op in ("+", "-", "*", "&", "|", "^", "<<", ">>"):
                one, two = self._stand_in(left), self._stand_in(right)
                if one is None or two is None or not (_is_number(one) and _is_number(two)):
                    return None
                if op in ("<<", ">>"):
                    return self.integers.promoted(one)
                return common(one, two, spot_of(expression), self.integers)[0]
            case _:
                return None

    def _unified(self, then: Value, otherwise: Value, want: CType | None, spot: Spot) -> tuple[Value, Value]:
        """Both arms of a choice in their common type; two constants of the model's `int`, or truth values where there is none."""
        if not (isinstance(then.type, Constant) and isinstance(otherwise.type, Constant)):
            if want is not None and not (_is_number(then) and _is_number(otherwise)):
                return coerce(then, want, spot), coerce(otherwise, want, spot)
            return common(then, otherwise, spot, self.integers)
        plain = self.integers.model_type(met(then.type, otherwise.type))
        then, otherwise = common(then, otherwise, spot, self.integers)
        if plain is None and want is not None:
            return coerce(then, want, spot), coerce(otherwise, want, spot)
        ctype: CType | None = plain or self.library.types.get(("int", 0))
        if plain is None and {then.name, otherwise.name} <= {"0", "1"}:
            ctype = BOOLEAN
        if want is not None and isinstance(want, Record):
            ctype = want
        if not isinstance(ctype, (Scalar, Record)):
            raise spot.refusal("a choice between two literals, whose type is not known", "write it as if/else")
        return coerce(then, ctype, spot), coerce(otherwise, ctype, spot)

    def _chosen(self, ways: list[tuple[Ends, Value]], spot: Spot) -> Value:
        """Join several ways that each brought a value of one type."""
        ways = [(ends, value) for ends, value in ways if ends]
        if not ways:
            raise Abandoned
        if len(ways) == 1:
            self.here, value = ways[0]
            return value
        first = ways[0][1]
        if len({value.name for _, value in ways}) > 1:
            raise spot.refusal(
                f"a choice between two values of type {first.type} while running",
                "write it as if/else, with each value used where it is chosen",
            )
        place = self.temporary(first.type, "cond")
        joined: Ends = []
        for ends, value in ways:
            self.here = ends
            if leaves_of(first.type):
                self.store(place, value, spot)
            joined += self.take()
        self.here = joined
        return self.load(place, spot) if leaves_of(first.type) else first

    # Effects

    def has_effects(self, expression: ast.Expr) -> bool:
        """Whether evaluating it may do more than compute. What is not known to be harmless has effects."""
        match expression:
            case ast.Name(name=name):
                return name in self.library.variables and name not in self.frame.names  # reading it is a step
            case ast.IntLiteral():
                return False
            case ast.Assign() | ast.Step() | ast.Watched() | ast.Enclosed():
                return True  # what is watched is a way of its own; statements are not looked into
            case ast.Unary(op="*"):
                return self.peek(expression) is None
            case ast.Unary(operand=operand) | ast.Cast(operand=operand):
                return self.has_effects(operand)
            case ast.Binary(left=left, right=right):
                return self.has_effects(left) or self.has_effects(right)
            case ast.Conditional(condition=c, then=t, otherwise=o):
                return any(map(self.has_effects, (c, t, o)))
            case ast.Comma(parts=parts):
                return any(map(self.has_effects, parts))
            case ast.Initializer(fields=fields):
                return any(self.has_effects(value) for _, value in fields)
            case ast.Member():
                if self.peek(expression) is not None:
                    return False
                read = self.shared_read(expression)
                return read is None or not is_pure(read)
            case ast.Index():
                return self.peek(expression) is None
            case ast.Call(function=name, arguments=arguments):
                if any(map(self.has_effects, arguments)):
                    return True
                if name in self.library.identities and len(arguments) == 1:
                    return False
                intrinsic = self.library.intrinsics.get(name)
                return intrinsic is None or name in self.frame.names or not is_pure(intrinsic)


def _is_number(value: Value) -> bool:
    """Whether C computes with it: a constant, a word or a truth value."""
    return is_literal(value) or (isinstance(value.type, Scalar) and isinstance(value.type.kind, (Word, Truth)))


def _some(ctype: CType) -> Value | None:
    """Some value of a type that C computes with."""
    if not isinstance(ctype, Scalar) or not isinstance(ctype.kind, (Word, Truth)):
        return None
    return Value(ctype, {"": ctype.kind.const("any")})


def leaves_of(ctype: CType) -> bool:
    """Whether a value of this type has content: void, handles and functions have none."""
    return any(True for _ in leaves(ctype))


def is_harmless(intrinsic: Intrinsic) -> bool:
    """Whether it is declared to touch no shared state, to hold no lock and to write no local."""
    touches = (intrinsic.reads, intrinsic.writes, intrinsic.acquires, intrinsic.releases)
    return intrinsic.mover == "local" and not any(touches) and not any(isinstance(p, Ref) for p in intrinsic.params)


def is_pure(intrinsic: Intrinsic) -> bool:
    """Whether it only computes: harmless, and it answers a plain value, with no choice, check or update.

    Its meaning is asked with stand-ins. One that insists on more than that (a constant, a function) is not known to be pure.
    """
    if not is_harmless(intrinsic):
        return False
    with suppress(Exception):
        return isinstance(intrinsic.meaning(THREAD, *map(_stand_in, intrinsic.params)), Value)
    return False


def _stand_in(ctype: CType) -> Value:
    name = ctype.name if isinstance(ctype, Handle) else ""
    return Value(ctype, {path: kind.const(f"any:{path}") for path, kind in leaves(ctype)}, name)
