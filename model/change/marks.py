"""Marks in the code that a change touches: what they make visible is which statements are passed, and how conditions turn out.

A line without an operation of its own (a jump, a call that is inlined) leaves nothing in a graph, and neither does the outcome of
a condition. So the functions that a change touches are compiled with marks before their statements, and with the conditions that it
touches *watched*: each operand of `&&`, `||` and `!` has an outcome of its own there, and each outcome a node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ...kernelc.lowering.calls import children
from ...kernelc.lowering.cfg import Graph, Mark
from ...kernelc.text import ast
from ...kernelc.text.show import show

_COMPARES = frozenset({"==", "!=", "<", ">", "<=", ">="})
_LIKELY = frozenset({"likely", "unlikely"})


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that is watched, by its place and text."""

    file: str
    line: int
    function: str
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A condition that turned out to be `holds`."""

    condition: Condition
    holds: bool


def outcomes_of(graph: Graph, nodes: Iterable[int]) -> frozenset[Outcome]:
    """How watched conditions turn out on a way through these nodes."""
    marks = (node for n in nodes if isinstance(node := graph.nodes[n], Mark) and node.condition)
    return frozenset(Outcome(Condition(m.at.file, m.at.line, m.at.function, m.condition), m.holds) for m in marks)


@dataclass(frozen=True, slots=True)
class Watch:
    """A watched condition: its text as syntax, the lines that it stands on, and those of the whole expression that it is a part of."""

    condition: Condition
    expression: ast.Expr
    lines: tuple[int, int]
    whole: tuple[int, int]


def watched(function: ast.Function) -> Iterator[Watch]:
    """The conditions of a function that are watched."""

    def visit(node: object, whole: tuple[int, int] | None) -> Iterator[Watch]:
        if whole is None and isinstance(node, EXPRESSIONS):
            whole = span(node)
        if isinstance(node, ast.Watched):
            condition = Condition(node.at.file, node.at.line, function.name, show(node))
            yield Watch(condition, node.condition, span(node), whole or span(node))
        for child in children(node):
            yield from visit(child, whole)

    yield from visit(function.body, None)


def mark(functions: Mapping[str, ast.Function], touched: Mapping[str, Iterable[float]]) -> dict[str, ast.Function]:
    """The functions, with marks in those that have touched lines (by file); conditions on these lines are watched.

    A half is the place between two lines: 59.5, before line 60, is in no function that begins there.
    """
    lines = {file: frozenset(numbers) for file, numbers in touched.items()}
    found = {}
    for name, function in functions.items():
        own = frozenset(n for n in lines.get(function.at.file, ()) if function.at.line <= n <= function.last_line)
        found[name] = replace(function, body=_Marker(own, frozenset(functions)).block(function.body)) if own else function
    return found


def span(node: object) -> tuple[int, int]:
    """The first and last line on which some part of a piece of syntax begins."""
    lines = [node.at.line] if hasattr(node, "at") else []
    for child in children(node):
        lines += span(child)
    return min(lines), max(lines)


class _Marker:
    """Marks one function.

    Args:
        lines: its touched lines, and places between lines.
        functions: the names of all functions: arguments of other calls (an assertion's, say) are no conditions of the code.
    """

    def __init__(self, lines: frozenset[float], functions: frozenset[str]) -> None:
        self._lines = lines
        self._functions = functions

    def block(self, block: ast.Block) -> ast.Block:
        return ast.Block(tuple(s for inner in block.statements for s in self._with_mark(inner)), block.at)

    def _with_mark(self, statement: ast.Stmt) -> Iterator[ast.Stmt]:
        if not isinstance(statement, ast.Label):
            yield ast.Mark(statement.at, told=self._touched(statement))
        yield self._statement(statement)

    def _body(self, statement: ast.Stmt) -> ast.Block:
        return self.block(statement if isinstance(statement, ast.Block) else ast.Block((statement,), statement.at))

    def _statement(self, statement: ast.Stmt) -> ast.Stmt:
        match statement:
            case ast.Block():
                return self.block(statement)
            case ast.If(condition=condition, then=then, otherwise=otherwise):
                rest = None if otherwise is None else self._body(otherwise)
                return replace(statement, condition=self._condition(condition), then=self._body(then), otherwise=rest)
            case ast.While(condition=condition, body=body):
                return replace(statement, condition=self._loops(condition), body=self._body(body))
            case ast.For(start=start, condition=condition_or_none, step=step, body=body):
                return replace(
                    statement,
                    start=None if start is None else self._statement(start),
                    condition=None if condition_or_none is None else self._loops(condition_or_none),
                    step=None if step is None else self._value(step),
                    body=self._body(body),
                )
            case ast.Label(statement=inner):
                body = self._body(inner)  # a jump leads behind the label: what it passes is marked there
                return replace(statement, statement=replace(body, statements=(ast.Mark(statement.at), *body.statements)))
            case ast.Evaluate(expression=expression):
                return replace(statement, expression=self._value(expression))
            case ast.Declare(value=value) | ast.Return(value=value) if value is not None:
                return replace(statement, value=self._value(value))
            case _:
                return statement

    def _touched(self, statement: ast.Stmt) -> bool:
        """Whether some line of a statement is touched; of one with others inside, the line on which it begins."""
        if isinstance(statement, ast.If | ast.While | ast.For | ast.Block):
            return statement.at.line in self._lines
        return self._touches(statement)

    def _touches(self, node: object) -> bool:
        first, last = span(node)
        return any(first <= line <= last for line in self._lines)

    def _loops(self, expression: ast.Expr) -> ast.Expr:
        """The condition of a loop; one without end, or that is none (`do ... while (0)`), says so by a constant."""
        endless = isinstance(expression, ast.IntLiteral) or (isinstance(expression, ast.Name) and expression.name in ("true", "false"))
        return expression if endless else self._condition(expression)

    def _condition(self, expression: ast.Expr, *, inner: bool = False) -> ast.Expr:
        """An expression of which the truth decides, watched with its parts."""
        if not self._touches(expression):
            return expression
        match expression:
            case ast.Binary(op="&&" | "||", left=left, right=right):
                parts = replace(expression, left=self._condition(left, inner=True), right=self._condition(right, inner=True))
                return parts if inner else ast.Watched(parts, expression.at)
            case ast.Unary(op="!", operand=operand):
                return replace(expression, operand=self._condition(operand, inner=inner))
            case ast.Call(function=name, arguments=(given,)) if name in _LIKELY:
                return replace(expression, arguments=(self._condition(given, inner=inner),))
            case _:
                return ast.Watched(self._value(expression), expression.at)

    def _value(self, expression: Any) -> Any:
        """An expression with the conditions inside it watched."""
        match expression:
            case ast.Binary(op="&&" | "||") | ast.Unary(op="!"):
                return self._condition(expression)
            case ast.Binary(op=op, left=left, right=right) if op in _COMPARES and self._touches(expression):
                return ast.Watched(replace(expression, left=self._value(left), right=self._value(right)), expression.at)
            case ast.Conditional(condition=condition, then=then, otherwise=otherwise):
                arms = {"then": self._value(then), "otherwise": self._value(otherwise)}
                return replace(expression, condition=self._condition(condition), **arms)
            case ast.Call(function=name) if name not in self._functions:
                return expression
            case ast.Enclosed(body=body):
                return replace(expression, body=self.block(body))
            case ast.Unary(op="&" | "*") | ast.Member() | ast.Index() | ast.Step() | ast.Watched():
                return expression
            case ast.Assign(value=value):
                return replace(expression, value=self._value(value))
            case _:
                return self._inside(expression)

    def _inside(self, expression: Any) -> Any:
        """The same of all parts of an expression."""
        changed: dict[str, object] = {}
        for part in fields(expression):
            value = getattr(expression, part.name)
            if isinstance(value, tuple):
                changed[part.name] = tuple(self._value(v) if isinstance(v, EXPRESSIONS) else self._pair(v) for v in value)
            elif isinstance(value, EXPRESSIONS):
                changed[part.name] = self._value(value)
        return replace(expression, **changed)

    def _pair(self, value: object) -> object:
        """A field of an initializer: its name and its value."""
        if isinstance(value, tuple):
            return tuple(self._value(v) if isinstance(v, EXPRESSIONS) else v for v in value)
        return value


EXPRESSIONS = (
    ast.IntLiteral, ast.Name, ast.Unary, ast.Step, ast.Binary, ast.Conditional, ast.Assign, ast.Call, ast.Member, ast.Index, ast.Cast,
    ast.Comma, ast.Initializer, ast.Enclosed, ast.Watched,
)  # fmt: skip
