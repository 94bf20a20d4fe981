"""Syntax back to C text on one line, for messages, step labels and tests.

What `show` prints of an expression parses to the same expression again; parentheses stand only where they are needed.
"""

from __future__ import annotations

from typing import assert_never

from . import ast

_COMMA, _ASSIGN, _CONDITIONAL = 0, 1, 2
_UNARY, _POSTFIX, _PRIMARY = 13, 14, 15
_LEVEL = {
    op: level
    for level, ops in enumerate(("||", "&&", "|", "^", "&", "== !=", "< > <= >=", "<< >>", "+ -", "* / %"), start=3)
    for op in ops.split()
}


def show(node: ast.Expr | ast.Stmt) -> str:
    """Print an expression or a whole statement as C text on one line."""
    if isinstance(node, ast.Expr):
        return _expression(node, _COMMA)
    return _statement(node)


def headline(node: ast.Expr | ast.Stmt) -> str:
    """Print a statement without the statements inside it: `if (x)`, `while (x)`; everything else as `show` does."""
    match node:
        case ast.If():
            return f"if ({show(node.condition)})"
        case ast.While():
            return f"while ({show(node.condition)})"
        case ast.For():
            return _for_head(node)
        case ast.Label():
            return f"{node.name}:"
        case ast.Block():
            return "{ ... }" if node.statements else "{ }"
        case _:
            return show(node)


def show_type(type_: ast.TypeRef, name: str = "") -> str:
    """Print a type, with the name it declares if there is one: `struct page *x`, `u64 path[5]`."""
    stars = "*" * type_.pointer
    length = "" if type_.array is None else f"[{show(type_.array)}]"
    return f"{type_.base} {stars}{name}".rstrip() + length


def _expression(node: ast.Expr, wanted: int) -> str:
    """Print `node` so that it can stand where level `wanted` is needed."""
    text, level = _bare(node)
    return text if level >= wanted else f"({text})"


def _bare(node: ast.Expr) -> tuple[str, int]:
    """Return the text of an expression without outer parentheses, and how tightly it binds."""
    match node:
        case ast.IntLiteral():
            # `0.field` would be read as a number.
            return _constant(node), _UNARY
        case ast.Name():
            return node.name, _PRIMARY
        case ast.Unary():
            return _prefixed(node.op, node.operand), _UNARY
        case ast.Step():
            if node.prefix:
                return _prefixed(node.op, node.operand), _UNARY
            return _expression(node.operand, _POSTFIX) + node.op, _POSTFIX
        case ast.Binary():
            level = _LEVEL[node.op]
            return f"{_expression(node.left, level)} {node.op} {_expression(node.right, level + 1)}", level
        case ast.Conditional():
            condition = _expression(node.condition, _CONDITIONAL + 1)
            return f"{condition} ? {_expression(node.then, _ASSIGN)} : {_expression(node.otherwise, _CONDITIONAL)}", _CONDITIONAL
        case ast.Assign():
            dereference = isinstance(node.target, ast.Unary) and node.target.op == "*"
            target = _expression(node.target, _UNARY if dereference else _POSTFIX)
            return f"{target} {node.op} {_expression(node.value, _ASSIGN)}", _ASSIGN
        case ast.Call():
            return f"{node.function}({', '.join(_expression(a, _ASSIGN) for a in node.arguments)})", _POSTFIX
        case ast.Member():
            return _expression(node.base, _POSTFIX) + ("->" if node.arrow else ".") + node.field, _POSTFIX
        case ast.Index():
            return f"{_expression(node.base, _POSTFIX)}[{_expression(node.index, _ASSIGN)}]", _POSTFIX
        case ast.Cast():
            return f"({show_type(node.type)}){_expression(node.operand, _UNARY)}", _UNARY
        case ast.Comma():
            return ", ".join(_expression(part, _ASSIGN) for part in node.parts), _COMMA
        case ast.Initializer():
            return _initializer(node), _PRIMARY
        case ast.Enclosed():
            return f"({_statement(node.body)})", _PRIMARY
        case ast.Watched():
            return _bare(node.condition)
    assert_never(node)


def _constant(node: ast.IntLiteral) -> str:
    """A constant with the suffix that gives it its type again."""
    long = node.bits == 64 and (not node.signed or node.value < 2**31)
    return f"{node.value}{'' if node.signed else 'u'}{'l' if long else ''}"


def _prefixed(op: str, operand: ast.Expr) -> str:
    text = _expression(operand, _UNARY)
    # `- -x` and `--x` differ, and so do `& &x` and `&&x`.
    return f"{op}({text})" if text[0] == op[0] and text[0] in "+-&" else op + text


def _initializer(node: ast.Initializer) -> str:
    fields = ", ".join(f".{name} = {_expression(value, _ASSIGN)}" for name, value in node.fields)
    return f"{{ {fields} }}" if fields else "{ }"


def _statement(node: ast.Stmt) -> str:
    match node:
        case ast.Mark():
            return ""
        case ast.Declare():
            value = "" if node.value is None else f" = {_expression(node.value, _ASSIGN)}"
            return f"{show_type(node.type, node.name)}{value};"
        case ast.Evaluate():
            return f"{show(node.expression)};"
        case ast.If():
            # Braces keep an `else` with its own `if`.
            then = _statement(node.then) if node.otherwise is None else _braced(node.then)
            otherwise = "" if node.otherwise is None else f" else {_statement(node.otherwise)}"
            return f"{headline(node)} {then}{otherwise}"
        case ast.While():
            if node.test_last:
                return f"do {_statement(node.body)} while ({show(node.condition)});"
            return f"{headline(node)} {_statement(node.body)}"
        case ast.For():
            return f"{headline(node)} {_statement(node.body)}"
        case ast.Jump():
            return f"{node.kind} {node.label};" if node.label else f"{node.kind};"
        case ast.Label():
            return f"{node.name}: {_statement(node.statement)}"
        case ast.Return():
            return "return;" if node.value is None else f"return {show(node.value)};"
        case ast.Block():
            return "{ " + "".join(_statement(inner) + " " for inner in node.statements) + "}"
    assert_never(node)


def _for_head(node: ast.For) -> str:
    start = ";" if node.start is None else _statement(node.start)
    condition = "" if node.condition is None else " " + show(node.condition)
    step = "" if node.step is None else " " + show(node.step)
    return f"for ({start}{condition};{step})"


def _braced(node: ast.Stmt) -> str:
    text = _statement(node)
    return text if isinstance(node, ast.Block) or not isinstance(node, ast.If | ast.For | ast.While | ast.Label) else f"{{ {text} }}"
