"""Statements: conditions, jumps, loops, declarations."""

from __future__ import annotations

from contextlib import suppress

from ..errors import Refusal
from ..text import ast
from ..text.show import show, show_type
from .build import Abandoned, Declared, Ends, spot_of
from .calls import Calls, children
from .cfg import Havoc, Mark, Nop
from .convert import Spot, coerce, join, of_literal
from .library import Array, CType, FunctionName, Handle, Record, Ref, Value, leaves
from .lvalues import FixedPlace, LocalPlace, MissingPlace


class Statements(Calls):
    """Lowers statements."""

    def statement(self, statement: ast.Stmt) -> None:
        """Lower a statement; nothing, if it cannot run (after a jump, or where a condition is known to be false)."""
        if not self.here and not isinstance(statement, ast.Declare) and not labels(statement):
            return
        try:
            self._lower(statement)
        except Abandoned:
            self.here = []

    def _lower(self, statement: ast.Stmt) -> None:
        frame = self.frame
        match statement:
            case ast.Block(statements=statements):
                with frame.scope():
                    for inner in statements:
                        self.statement(inner)
            case ast.Declare():
                self._declare(statement)
            case ast.Mark(at=at, told=told):
                self.emit(Mark(*self.stamp(Spot(at, "")), told=told))
            case ast.Evaluate(expression=expression):
                self.discard(expression)
            case ast.If():
                self._if(statement)
            case ast.While(condition=condition, body=body, test_last=test_last, at=at):
                self._loop(at, condition, None, body, test_last)
            case ast.For(start=start, condition=condition_or_none, step=step, body=body, at=at):
                with frame.scope():
                    if start is not None:
                        self.statement(start)
                    self._loop(at, condition_or_none, step, body, test_last=False)
            case ast.Jump(kind="break", at=at):
                self.jump(_innermost(frame.breaks, "break", at))
            case ast.Jump(kind="continue", at=at):
                self.jump(_innermost(frame.continues, "continue", at))
            case ast.Jump(label=label, at=at):
                assert label is not None
                self._goto(self._label(label, at))
            case ast.Label(name=name, statement=inner, at=at):
                self._place_label(self._label(name, at), name, at)
                self.statement(inner)
            case ast.Return():
                self._return(statement)

    def _return(self, statement: ast.Return) -> None:
        frame, value = self.frame, statement.value
        if value is None and frame.result is not None:
            raise Refusal(statement.at, f"{frame.function.name} returns a {frame.returns}", "return", "return a value")
        if value is not None:
            spot = Spot(value.at, f"return {show(value)}")
            given = self.value(value, frame.returns if isinstance(frame.returns, Handle) or frame.result is not None else None)
            if frame.result is not None:
                self.store(frame.result, given, spot)
            elif isinstance(frame.returns, Handle) and given.name != frame.returns.name:
                raise spot.refusal(
                    f"NULL returned as a {frame.returns}, of which there is always one", "make the pointer a type with values"
                )
        self.jump(frame.end)

    def _label(self, name: str, at: ast.Location) -> Nop:
        frame = self.frame
        if name not in frame.labels:
            if name not in labels(frame.function.body):
                raise Refusal(at, "goto to a label that does not exist", name, "define the label in this function")
            frame.labels[name] = self.nop(at)
        return frame.labels[name]

    def _goto(self, label: Nop) -> None:
        """Jump; what the label sees declared and the jump did not holds any value there, whatever was in its place before."""
        frame = self.frame
        seen = frozenset(frame.declared)
        if label.number in frame.placed:
            self._forget(label, seen)
            self.jump(label)
        else:
            frame.awaited.setdefault(label.number, []).append((self.take(), seen))

    def _place_label(self, label: Nop, name: str, at: ast.Location) -> None:
        frame = self.frame
        if label.number in frame.placed:
            raise Refusal(at, "this label is defined twice in one function", name, "give the two places two names")
        frame.placed[label.number] = tuple(frame.declared)
        falls = self.take()
        for ends, seen in frame.awaited.pop(label.number, []):
            self.here = ends
            self._forget(label, seen)
            self.jump(label)
        self.here = falls
        self.join(label, more=True)

    def _forget(self, label: Nop, seen: frozenset[Declared]) -> None:
        """Nothing that is declared between a jump and its label has a value behind it."""
        passed = [declared for declared in self.frame.placed[label.number] if declared not in seen]
        held = tuple(self.local(join(d.path, leaf), kind) for d in passed for leaf, kind in leaves(d.type))
        if held and self.here:
            self.emit(Havoc(*self.stamp(Spot(ast.Location(label.at.file, label.at.line), "")), locals=held))

    # Declarations

    def _declare(self, statement: ast.Declare) -> None:
        """A declared local. Where the declaration cannot run, its name still means something behind a label further down."""
        ctype = self.types.of_variable(statement.type, statement.name, statement.at)
        value = statement.value
        text = f"{show_type(statement.type, statement.name)}" + ("" if value is None else f" = {show(value)}")
        spot = Spot(statement.at, text)
        if isinstance(ctype, (Ref, FunctionName)):
            self._declare_fixed(statement, ctype, spot)
            return
        initial: Value | None = None
        try:
            if self.here and isinstance(value, ast.Initializer):
                initial = self._initialized(ctype, value)
            elif self.here and value is not None:
                initial = self.value(value, ctype)
        finally:
            place = LocalPlace(ctype, self.frame.path_for(statement.name, ctype))
            self.frame.names[statement.name] = place
            self.frame.declared.append(Declared(place.path, ctype, len(self.nodes)))
        if initial is not None:
            self.store(place, initial, spot)
        elif self.here:
            held = tuple(self.local(join(place.path, leaf), kind) for leaf, kind in leaves(ctype))
            if held:
                self.emit(Havoc(*self.stamp(spot), locals=held))

    def _declare_fixed(self, statement: ast.Declare, ctype: CType, spot: Spot) -> None:
        """A pointer to a local, or a function: known while compiling, so it has a value from the start and keeps it."""
        if statement.value is None:
            raise spot.refusal(f"a {ctype} without a value", "initialize it, and use another variable for another target")
        if not self.here:
            what = f"a {ctype} that is used behind a jump past its declaration"
            self.frame.names[statement.name] = MissingPlace(spot.refusal(what, "declare it before the jump"))
        else:
            given = coerce(self.value(statement.value), ctype, spot_of(statement.value))
            self.frame.names[statement.name] = FixedPlace(given)

    def _initialized(self, ctype: CType, initializer: ast.Initializer) -> Value:
        """The value of `{ .field = value, ... }`: what is not named is zero."""
        spot = spot_of(initializer)
        if not isinstance(ctype, (Record, Array)):
            raise spot.refusal(f"an initializer list for a {ctype}", "assign a value")
        named = dict(initializer.fields)
        for name, inner in ctype.fields if isinstance(ctype, Record) else ():
            if isinstance(inner, Handle) and name not in named:
                raise spot.refusal(f"field {name} would be NULL, and of a {inner} there is always one", "initialize the field")
        parts = dict(of_literal(0, ctype, spot).parts)
        for number, (name, expression) in enumerate(initializer.fields):
            field = ctype.field(name) if isinstance(ctype, Record) else None
            if field is None:
                raise spot.refusal(f"{ctype} has no field {name} in the model", "leave it out, or declare it")
            value = self._initialized(field, expression) if isinstance(expression, ast.Initializer) else self.value(expression, field)
            if any(self.has_effects(later) for _, later in initializer.fields[number + 1 :]):
                value = self.saved(value, spot)
            parts.update({join(name, path): term for path, term in value.parts.items()})
        return Value(ctype, parts)

    # Branches and loops

    def _ways(self, condition: ast.Expr) -> tuple[Ends, Ends]:
        """The two outcomes of a condition; none, if it cannot be evaluated or does not end."""
        if self.here:
            with suppress(Abandoned):
                return self.branch(condition)
        self.here = []
        return [], []

    def _if(self, statement: ast.If) -> None:
        yes, no = self._ways(statement.condition)
        self.here = yes
        self.statement(statement.then)
        after_yes = self.take()
        self.here = no
        if statement.otherwise is not None:
            self.statement(statement.otherwise)
        self.here = after_yes + self.here

    def _loop(self, at: ast.Location, condition: ast.Expr | None, step: ast.Expr | None, body: ast.Stmt, test_last: bool) -> None:
        frame = self.frame
        head, again, out = self.nop(at), self.nop(at), self.nop(at)
        # A jump to a label in the body comes to the head by the body alone.
        self.join(head, more=bool(labels(body)))
        leave: Ends = []
        if not test_last and condition is not None:
            self.here, leave = self._ways(condition)
        frame.breaks.append(out)
        frame.continues.append(again)
        self.statement(body)
        frame.breaks.pop()
        frame.continues.pop()
        self.join(again)
        if self.here and step is not None:
            with suppress(Abandoned):
                self.discard(step)
        if test_last and condition is not None:
            self.here, leave = self._ways(condition)
        self.jump(head)
        self.here = leave
        self.join(out)


def labels(node: object) -> set[str]:
    """The labels that a piece of syntax defines."""
    found = {node.name} if isinstance(node, ast.Label) else set()
    return found.union(*(labels(child) for child in children(node)))


def _innermost(targets: list[Nop], what: str, at: ast.Location) -> Nop:
    if not targets:
        raise Refusal(at, f"{what} outside a loop", what, "mend the statement")
    return targets[-1]
