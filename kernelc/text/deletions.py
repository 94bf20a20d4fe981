"""A function without one of its statements, for each of them: what does the statement protect? The tests ask it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from . import ast

Leaf = ast.Evaluate | ast.Return | ast.Jump


def deletions(function: ast.Function) -> Iterator[tuple[Leaf, ast.Function]]:
    """Each statement that holds no other one, with what is left of the function: calls, assignments, jumps, in order.

    What only declares stays, and so do conditions: without what stands below it, a condition decides nothing.
    """
    for leaf, body in _without(function.body):
        yield leaf, replace(function, body=body if isinstance(body, ast.Block) else ast.Block((body,), body.at))


def _without(statement: ast.Stmt) -> Iterator[tuple[Leaf, ast.Stmt]]:
    match statement:
        case ast.Evaluate() | ast.Return() | ast.Jump():
            yield statement, ast.Block((), statement.at)
        case ast.Block():
            for n, inner in enumerate(statement.statements):
                for leaf, left in _without(inner):
                    yield leaf, replace(statement, statements=(*statement.statements[:n], left, *statement.statements[n + 1 :]))
        case ast.Mark():
            return
        case ast.If():
            yield from ((leaf, replace(statement, then=left)) for leaf, left in _without(statement.then))
            if statement.otherwise is not None:
                yield from ((leaf, replace(statement, otherwise=left)) for leaf, left in _without(statement.otherwise))
        case ast.While():
            yield from ((leaf, replace(statement, body=left)) for leaf, left in _without(statement.body))
        case ast.For():
            if statement.start is not None:
                yield from ((leaf, replace(statement, start=left)) for leaf, left in _without(statement.start))
            yield from ((leaf, replace(statement, body=left)) for leaf, left in _without(statement.body))
        case ast.Label():
            yield from ((leaf, replace(statement, statement=left)) for leaf, left in _without(statement.statement))
        case ast.Declare():
            pass
