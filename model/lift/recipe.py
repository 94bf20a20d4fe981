"""Recipes: an edit of real kernel source in our words, so that none of its lines is kept here.

A recipe names a function, the n-th call of another function in it, and what happens to that call. The edited text, and the diff for
those who want to see it, are made at run time from the user's tree.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec

from ...core.errors import InputError
from ...kernelc.sources.tree import KernelTree
from ...kernelc.text import ast
from ...kernelc.text.parse import parse
from .versions import VERSIONS, has

Place = tuple[int, int]
"""A line and a column, from 1."""


class Edit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens to the `nth` call of `call` in `function`; exactly one of these is given.

    Args:
        call: the name of what is called; several, where kernels have several names for it.
        argument: the number of the argument, from 1, that `replace` takes the place of.
        assign: the operator that takes the place of the `=` before the call.
        before: statements of our own that come before the one that the call stands in.
        delete: the statement that calls, or assigns what the call answers, goes.
    """

    function: str
    call: str | tuple[str, ...]
    nth: Annotated[int, msgspec.Meta(ge=1)] = 1
    argument: Annotated[int, msgspec.Meta(ge=1)] | None = None
    replace: str | None = None
    assign: str | None = None
    before: str | None = None
    delete: bool = False


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A known bug, made anew in real source: the file, the edits, and what must then be found where."""

    file: str
    scenario: str
    property: str
    edit: tuple[Edit, ...]


def read_recipe(text: str, where: str) -> Recipe:
    """A recipe from TOML.

    Raises:
        InputError: not TOML, an unknown key, or an edit that says nothing or two things.
    """
    try:
        recipe = msgspec.convert(tomllib.loads(text), Recipe)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InputError(f"{where}: {error}. A recipe has {', '.join(Recipe.__struct_fields__)}") from error
    for edit in recipe.edit:
        said = [edit.argument is not None, edit.assign is not None, edit.before is not None, edit.delete]
        if sum(said) != 1 or (edit.argument is None) != (edit.replace is None):
            choice = "`argument` with `replace`, or `assign`, or `before`, or `delete`"
            raise InputError(f"{where}: an edit of {_named(edit)} says {choice}: one of them")
    return recipe


def cook(recipe: Recipe, tree: KernelTree) -> str:
    """The text of the recipe's file with its edits.

    Raises:
        InputError: the tree's source has not got what the recipe names.
    """
    text = tree.read(recipe.file)
    version = VERSIONS[-1]
    macros = {path: tree.read(path) for path in (version.iterator, *version.macros) if path != recipe.file and has(tree, path)}
    for edit in recipe.edit:
        text = _edited(text, recipe.file, edit, macros)
    return text


def difference(recipe: Recipe, tree: KernelTree) -> str:
    """The recipe as a unified diff against the tree."""
    old, new = tree.read(recipe.file), cook(recipe, tree)
    lines = difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"a/{recipe.file}", f"b/{recipe.file}")
    return "".join(lines)


def _edited(text: str, file: str, edit: Edit, macros: dict[str, str]) -> str:
    function = parse(text, file, macros=macros).functions.get(edit.function)
    if function is None:
        raise InputError(f"{file} defines no function {edit.function} that can be read; the recipe is for another version of it")
    names = (edit.call,) if isinstance(edit.call, str) else edit.call
    places = {(c.at.line, c.at.column): c.function for c in _calls(function.body) if c.function in names}
    if len(places) < edit.nth:
        raise InputError(f"{edit.function} in {file} calls {_named(edit)} {len(places)} times; the recipe wants call {edit.nth}")
    place = sorted(places)[edit.nth - 1]
    call = places[place]
    if edit.before is not None:
        blocks = (node for node in _nodes(function.body) if isinstance(node, ast.Block))
        statement = _innermost(place, (s for block in blocks for s in block.statements))
        assert statement is not None  # a call stands in a statement of the function's body
        start = _offset(text, statement)
        return f"{text[:start]}{edit.before} {text[start:]}"
    start = text.index(call, _offset(text, place))
    opening = text.index("(", start)
    commas, closing = _span(text, opening)
    if edit.argument is not None:
        ends = [opening, *commas, closing]
        if edit.argument >= len(ends):
            raise InputError(f"{call} in {edit.function} has {len(ends) - 1} arguments; the recipe wants number {edit.argument}")
        return f"{text[: ends[edit.argument - 1] + 1]} {edit.replace}{text[ends[edit.argument] :]}"
    if edit.assign is not None:
        before = text[:start].rstrip()
        if not before.endswith("="):
            raise InputError(f"call {edit.nth} of {call} in {edit.function} is assigned to nothing")
        return f"{before[:-1].rstrip()} {edit.assign} {text[start:]}"
    statement = _innermost(place, (node for node in _nodes(function.body) if isinstance(node, ast.Evaluate)))
    if statement is None:
        raise InputError(f"call {edit.nth} of {call} in {edit.function} is no statement, but a part of one that stays")
    return f"{text[: _offset(text, statement)]}{text[text.index(';', closing) :]}"


def _named(edit: Edit) -> str:
    return edit.call if isinstance(edit.call, str) else " or ".join(edit.call)


def _offset(text: str, place: Place) -> int:
    line, column = place
    return sum(len(x) for x in text.splitlines(True)[: line - 1]) + column - 1


def _innermost(place: Place, statements: Iterable[ast.Stmt]) -> Place | None:
    """Where the innermost of `statements` begins that has the call at `place` in it."""
    found = [s.at for s in statements if any((c.at.line, c.at.column) == place for c in _calls(s))]
    return (found[-1].line, found[-1].column) if found else None


def _span(text: str, opening: int) -> tuple[list[int], int]:
    """Where the commas between the arguments and the closing parenthesis of a call stand."""
    commas: list[int] = []
    depth = 0
    for place in range(opening, len(text)):
        match text[place]:
            case "(" | "[" | "{":
                depth += 1
            case ")" | "]" | "}":
                depth -= 1
                if depth == 0:
                    return commas, place
            case "," if depth == 1:
                commas.append(place)
    raise InputError("the call does not end")


def _calls(node: object) -> Iterator[ast.Call]:
    return (found for found in _nodes(node) if isinstance(found, ast.Call))


def _nodes(node: object) -> Iterator[object]:
    """A node and all below it, outer ones first."""
    yield node
    for name in getattr(type(node), "__dataclass_fields__", {}):
        value = getattr(node, name)
        for child in value if isinstance(value, tuple) else (value,):
            if hasattr(child, "at"):
                yield from _nodes(child)
