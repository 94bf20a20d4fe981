"""Which pieces of syntax are the same, wherever they stand."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from . import ast


def is_same(old: ast.Function | None, new: ast.Function | None) -> bool:
    """Whether a function is the same in two versions, wherever it stands; None where one lacks it."""
    if old is None or new is None:
        return old is new
    return [(p.name, p.type) for p in old.parameters] == [(p.name, p.type) for p in new.parameters] and bare(old.body) == bare(new.body)


def is_renamed(old: ast.Function, new: ast.Function) -> bool:
    """Whether two functions are the same but for their names."""
    return len(old.parameters) == len(new.parameters) and bare(old.body) == bare(new.body)


def bare(node: object) -> object:
    """A piece of syntax without its places and marks."""
    if isinstance(node, ast.Watched):
        return bare(node.condition)
    if isinstance(node, tuple):
        return tuple(bare(part) for part in node if not isinstance(part, ast.Mark))
    if is_dataclass(node):
        return (type(node).__name__, *(bare(getattr(node, f.name)) for f in fields(node) if f.name != "at"))
    return node
