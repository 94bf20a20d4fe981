"""`guard(rcu)();` and `scoped_guard(...)`: a lock that is taken here, and given back wherever its scope is left.

Source: include/linux/cleanup.h and the DEFINE_GUARD() and DEFINE_LOCK_GUARD_*() beside each lock, since Linux 6.5. What the compiler does
there is written out: the call that releases stands at the end of the scope and before each jump out of it, the last lock first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import Refusal
from . import ast
from .show import show

GUARD, SCOPED = "guard", "scoped_guard"
CLASSES: Mapping[str, tuple[str, str]] = {
    "rcu": ("rcu_read_lock", "rcu_read_unlock"),
    "mutex": ("mutex_lock", "mutex_unlock"),
    "spinlock": ("spin_lock", "spin_unlock"),
    "read_lock": ("read_lock", "read_unlock"),
    "write_lock": ("write_lock", "write_unlock"),
    "rwsem_read": ("down_read", "up_read"),
    "rwsem_write": ("down_write", "up_write"),
    "preempt": ("preempt_disable", "preempt_enable"),
}
"""What a guard of each class calls at its beginning and at its end."""
_PLAINLY = "call the lock's functions by their names"
_VALUE = "__guarded"
"""No name of the kernel's: the value that a `return` has computed before the locks are given back."""


@dataclass(frozen=True, eq=False)
class _Held:
    """A guard whose scope one is in: what releases it, and the labels of its scope."""

    release: ast.Evaluate
    labels: frozenset[str]


def is_guard(call: object) -> bool:
    """Whether this is what the parser makes of `guard(class)(lock)`: a call whose name has the class in it."""
    return isinstance(call, ast.Call) and call.function.startswith(f"{GUARD}(")


def written_out(function: ast.Function) -> ast.Function:
    """A function with its guards as calls.

    Raises:
        Refusal: a guard of another class, of a lock that may be another one when it is released, or at a place without a scope.
    """
    if not any(_opens(node) is not None for node in nodes(function.body)):
        return function
    writer = _Writer(function)
    body = writer.block(function.body, (), 0)
    writer.check_jumps_in()
    left = next((node for node in nodes(body) if _opens(node) is not None), None)
    if left is not None:
        raise _refused(left, "this guard is no statement of a block")
    return replace(function, body=body)


class _Writer:
    def __init__(self, function: ast.Function) -> None:
        self._function = function
        self._held: list[_Held] = []
        self._gotos: list[tuple[ast.Jump, tuple[_Held, ...]]] = []
        self._changing = {name for node in nodes(function.body) for name in _changed(node)}

    def check_jumps_in(self) -> None:
        """Refuse a jump past a guard into its scope, as compilers do."""
        for jump, held in self._gotos:
            for entered in self._held:
                if jump.label in entered.labels and entered not in held:
                    raise Refusal(jump.at, "a jump into the scope of a guard", f"goto {jump.label}", "jump to a label before the guard")

    def block(self, block: ast.Block, held: tuple[_Held, ...], loop: int) -> ast.Block:
        """The statements of one scope.

        Args:
            held: the guards around it, the outermost first.
            loop: how many of them stand around the loop that a `break` leaves.
        """
        mine, found = held, list[ast.Stmt]()
        for place, statement in enumerate(block.statements):
            call = statement.expression if isinstance(statement, ast.Evaluate) else None
            if isinstance(call, ast.Call) and is_guard(call):
                name = call.function.removeprefix(f"{GUARD}(").removesuffix(")")
                acquire, one = self._guard(call, name, call.arguments, block.statements[place + 1 :])
                found.append(acquire)
                mine = (*mine, one)
            else:
                found.append(self._statement(statement, mine, loop))
        return replace(block, statements=(*found, *_released(mine[len(held) :])))

    def _guard(self, call: ast.Call, name: str, locks: tuple[ast.Expr, ...], scope: Sequence[ast.Stmt]) -> tuple[ast.Stmt, _Held]:
        if name not in CLASSES:
            raise _refused(call, f"a guard of class {name} is not in the subset")
        for lock in locks:
            root = _root(lock)
            if root is None or root in self._changing:
                raise _refused(call, f"whether {show(lock)} is the same lock when this guard releases it is not known")
        for node in nodes(tuple(scope)):
            if isinstance(node, ast.Enclosed) and any(isinstance(inner, ast.Return) for inner in nodes(node.body)):
                raise Refusal(
                    node.at, "a return from a statement expression in the scope of a guard", show(node), "write it as a statement"
                )
        labels = frozenset(node.name for node in nodes(tuple(scope)) if isinstance(node, ast.Label))
        first, last = (ast.Evaluate(ast.Call(called, locks, call.at), call.at) for called in CLASSES[name])
        one = _Held(last, labels)
        self._held.append(one)
        return first, one

    def _statement(self, statement: ast.Stmt, held: tuple[_Held, ...], loop: int) -> ast.Stmt:
        match statement:
            case ast.Block():
                return self.block(statement, held, loop)
            case ast.If(then=then, otherwise=otherwise):
                other = None if otherwise is None else self._statement(otherwise, held, loop)
                return replace(statement, then=self._statement(then, held, loop), otherwise=other)
            case ast.While(condition=ast.Call() as call) if _opens(call) == SCOPED:
                return self._scoped(call, statement.body, held, loop)
            case ast.While() | ast.For():
                return replace(statement, body=self._statement(statement.body, held, len(held)))
            case ast.Label():
                return replace(statement, statement=self._statement(statement.statement, held, loop))
            case ast.Jump(kind="goto", label=label):
                self._gotos.append((statement, held))
                return _left([one for one in held if label not in one.labels], statement)
            case ast.Jump():
                return _left(held[loop:], statement)
            case ast.Return():
                return self._return(statement, held)
            case _:
                return statement

    def _scoped(self, call: ast.Call, body: ast.Stmt, held: tuple[_Held, ...], loop: int) -> ast.Stmt:
        """The loop of one turn that `scoped_guard` is; who would leave that loop would leave the scope."""
        if not call.arguments or not isinstance(call.arguments[0], ast.Name):
            raise _refused(call, "a scoped_guard() without a class")
        out = next(_breaks(body), None)
        if out is not None:
            raise Refusal(out.at, f"a {out.kind} out of a scoped_guard() is not in the subset", out.kind, "use guard(), or goto")
        acquire, one = self._guard(call, call.arguments[0].name, call.arguments[1:], (body,))
        inner = self._statement(body, (*held, one), loop)
        return ast.Block((acquire, inner, one.release), call.at)

    def _return(self, statement: ast.Return, held: tuple[_Held, ...]) -> ast.Stmt:
        """C computes the value first, then gives the locks back."""
        value = statement.value
        if not held or value is None or isinstance(value, (ast.Name, ast.IntLiteral)):
            return _left(held, statement)
        keep = ast.Declare(self._function.returns, _VALUE, value, statement.at)
        back = replace(statement, value=ast.Name(_VALUE, value.at))
        return ast.Block((keep, *_released(held), back), statement.at)


def nodes(node: Any) -> Iterator[Any]:
    """A piece of syntax and all below it."""
    todo = [node]
    while todo:
        one = todo.pop()
        if isinstance(one, tuple):
            todo += one
        elif hasattr(one, "__dataclass_fields__") and not isinstance(one, (ast.Location, ast.TypeRef)):
            yield one
            todo += [getattr(one, name) for name in one.__dataclass_fields__]


def _opens(node: object) -> str | None:
    """Which kind of guard a call is, if it is one."""
    if not isinstance(node, ast.Call):
        return None
    return GUARD if is_guard(node) else SCOPED if node.function == SCOPED else None


def _left(held: Sequence[_Held], jump: ast.Stmt) -> ast.Stmt:
    return ast.Block((*_released(held), jump), jump.at) if held else jump


def _released(held: Sequence[_Held]) -> tuple[ast.Stmt, ...]:
    return tuple(one.release for one in reversed(held))


def _changed(node: object) -> tuple[str, ...]:
    """The variables that a node may change."""
    match node:
        case ast.Assign(target=target):
            return (target.name,) if isinstance(target, ast.Name) else ()
        case ast.Step(operand=ast.Name(name=name)) | ast.Unary(op="&", operand=ast.Name(name=name)):
            return (name,)
        case _:
            return ()


def _root(lock: ast.Expr) -> str | None:
    """The variable from which one comes to a lock, if by names of fields alone."""
    while isinstance(lock, ast.Member) or (isinstance(lock, ast.Unary) and lock.op == "&"):
        lock = lock.base if isinstance(lock, ast.Member) else lock.operand
    return lock.name if isinstance(lock, ast.Name) else None


def _breaks(body: object) -> Iterator[ast.Jump]:
    """The `break`s and `continue`s that leave what this is the body of."""
    match body:
        case ast.Jump(kind="break" | "continue"):
            yield body
        case ast.Block(statements=statements):
            for inner in statements:
                yield from _breaks(inner)
        case ast.If(then=then, otherwise=otherwise):
            yield from _breaks(then)
            yield from _breaks(otherwise)
        case ast.Label(statement=inner):
            yield from _breaks(inner)
        case ast.While(condition=condition, body=inner) if _opens(condition) == SCOPED:
            yield from _breaks(inner)
        case _:
            return


def _refused(call: ast.Call, what: str) -> Refusal:
    return Refusal(call.at, what, show(call), _PLAINLY)
