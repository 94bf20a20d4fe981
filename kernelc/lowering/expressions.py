"""Expressions: evaluated to typed values, with whatever they do emitted in order.

A value stays symbolic as long as nothing can change what it mentions; before something can, it is copied to a temporary.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress

import z3

from ...core.ground import conjunction, disjunction
from ...core.rewrite import Rewriter
from ...core.sorts import Word
from ..errors import Refusal
from ..text import ast
from ..text.show import show
from .access import Access
from .build import Abandoned, Ends, reads_state, spot_of
from .cfg import THREAD, Branch, Mark
from .convert import Spot, arithmetic, coerce, common, either, is_literal, literal, negated, truth
from .library import BOOLEAN, VOID, CType, FunctionName, Handle, Intrinsic, Ref, Scalar, Value, Void, leaves
from .places import DerefPlace, FieldPlace, FixedPlace, LocalPlace


class Expressions(Access):
    """Evaluates expressions."""

    @abstractmethod
    def call(self, expression: ast.Call) -> Value:
        """Evaluate a call."""

    def value(self, expression: ast.Expr, want: CType | None = None) -> Value:
        found = self._evaluate(expression, want)
        return found if want is None else coerce(found, want, spot_of(expression))

    def _evaluate(self, expression: ast.Expr, want: CType | None) -> Value:
        match expression:
            case ast.IntLiteral(value=number):
                return literal(number)
            case ast.Name() | ast.Member() | ast.Index() | ast.Unary(op="*"):
                return self.load(self.place(expression), spot_of(expression))
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
                return arithmetic(op, first, self.value(right), spot_of(expression))
            case ast.Conditional():
                return self._conditional(expression, want)
            case ast.Assign():
                return self._assign(expression)
            case ast.Call():
                return self.call(expression)
            case ast.Cast():
                return self._cast(expression)
            case ast.Comma(parts=parts):
                for part in parts[:-1]:
                    self.value(part)
                return self.value(parts[-1], want)
            case ast.Watched():
                return self._watched(expression, want)
            case ast.Initializer(at=at):
                raise Refusal(at, "an initializer outside a declaration", show(expression), "declare a local with it")

    def _unary(self, expression: ast.Unary) -> Value:
        op, operand = expression.op, expression.operand
        named = isinstance(operand, ast.Name) and operand.name not in self.frame.names and operand.name not in self.broken
        if op == "-" and isinstance(operand, ast.Name) and named and f"-{operand.name}" in self.library.constants:
            return self.library.constants[f"-{operand.name}"]
        if op == "&":
            return self._address(expression)
        return negated(op, self.value(operand), spot_of(expression))

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
        value = self.value(expression.operand, None if isinstance(wanted, Void) else wanted)
        return Value(VOID) if isinstance(wanted, Void) else coerce(value, wanted, spot)

    def _step(self, expression: ast.Step) -> Value:
        spot = spot_of(expression)
        place = self.place(expression.operand)
        old = self.saved(self.load(place, spot), spot)
        new = coerce(arithmetic("+" if expression.op == "++" else "-", old, literal(1), spot), old.type, spot)
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
            value = arithmetic(expression.op.removesuffix("="), self.load(place, spot), value, spot)
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

    def _watched(self, expression: ast.Watched, want: CType | None) -> Value:
        """The value, after a branch by which its outcome can be seen; both ways go on alike."""
        spot = spot_of(expression)
        value = self.value(expression.condition, want)
        holds = Rewriter()(truth(value, spot))
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
        folded = Rewriter()(truth(self.value(expression), spot_of(expression)))
        assert isinstance(folded, z3.BoolRef)
        return folded

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
                return self.value(arms[0] if z3.is_true(condition) else arms[1], want)
            return either(condition, *self._unified(self.value(arms[0], want), self.value(arms[1], want), spot), spot)
        ways: list[tuple[Ends, Value]] = []
        for ends, arm in zip(self.branch(expression.condition), arms, strict=True):
            self.here = ends
            if ends:
                with suppress(Abandoned):
                    value = self.value(arm, want)
                    ways.append((self.take(), value))
        if len(ways) == 2:
            values = self._unified(ways[0][1], ways[1][1], spot)
            ways = [(ends, value) for (ends, _), value in zip(ways, values, strict=True)]
        return self._chosen(ways, spot)

    def _unified(self, then: Value, otherwise: Value, spot: Spot) -> tuple[Value, Value]:
        """Both arms of a choice in one type; two literals are of type int, or truth values where int cannot count."""
        if not (is_literal(then) and is_literal(otherwise)):
            return common(then, otherwise, spot)
        plain = self.library.types.get(("int", 0))
        counts = isinstance(plain, Scalar) and isinstance(plain.kind, Word)
        ctype = BOOLEAN if not counts and {then.name, otherwise.name} <= {"0", "1"} else plain
        if not isinstance(ctype, Scalar):
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
            case ast.IntLiteral() | ast.Name():
                return False
            case ast.Assign() | ast.Step() | ast.Watched():
                return True  # what is watched is a way of its own
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
