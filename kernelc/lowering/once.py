"""Each entry function is lowered once: what asks for it again, in another scenario or another version of the code, is given the same graph.

Two calls mean the same graph if everything is the same that a graph is made from: the text of the functions that can be reached, with
its places, the structs, the meaning of names, the arguments. Text is compared by content, so that a change lowers anew what it touches;
libraries by identity, since meanings are functions.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from ...core.shape import identity
from ..text import ast
from .analyse import fold_constants
from .cfg import Graph
from .library import Library, Value
from .lower import lower

MOST_GRAPHS = 400
"""So many graphs are kept; then all are forgotten, and made again where they are wanted."""

_WORD = re.compile(r"'(\w+)'")


def lowered(
    role: str,
    entry: str,
    functions: Mapping[str, ast.Function],
    structs: Mapping[str, ast.Struct],
    library: Library,
    arguments: Mapping[str, Value] | None = None,
    broken: Mapping[str, Exception] | None = None,
    variants: Callable[[Graph], None] | None = None,
) -> Graph:
    """`lower`, then `variants`, then `fold_constants`; nobody may change the graph, since others are given it, too.

    Args:
        variants: changes a new graph in place, always in the same way.

    Raises:
        Refusal: as `lower`; that is not remembered.
    """
    given, refused = arguments or {}, broken or {}
    key = (
        role,
        entry,
        _reached(entry, functions, refused),
        _digest(structs),
        id(library),
        id(variants),
        tuple((name, value.type, value.name, _terms(value)) for name, value in sorted(given.items())),
    )
    if key not in _graphs:
        graph = lower(role, entry, functions, structs, library, given, refused)
        if variants is not None:
            variants(graph)
        fold_constants(graph)
        graph.final = True
        if len(_graphs) >= MOST_GRAPHS:
            _graphs.clear()
        _graphs[key] = graph, (library, variants, given)  # kept, since they are known by their identity
    return _graphs[key][0]


_graphs: dict[tuple[object, ...], tuple[Graph, object]] = {}


@contextmanager
def nothing_known() -> Iterator[None]:
    """What was lowered before is not given again inside, and what is lowered inside not after it: everything is made anew."""
    kept = dict(_graphs)
    _graphs.clear()
    try:
        yield
    finally:
        _graphs.clear()
        _graphs.update(kept)


def _terms(value: Value) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((path, identity(term)) for path, term in value.parts.items()))


def _reached(entry: str, functions: Mapping[str, ast.Function], broken: Mapping[str, Exception]) -> str:
    """A digest of all functions whose names can be come to from `entry`, and of what is wrong with those that could not be read."""
    found: dict[str, str] = {}
    todo = [entry]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        if name in functions:
            found[name], mentioned = _known(functions[name])
            todo += [other for other in mentioned if other in functions or other in broken]
        if name in broken:
            found[name] = found.get(name, "") + repr(broken[name]) + str(broken[name])
    return _sum(f"{name}\0{what}" for name, what in sorted(found.items()))


def _known(function: ast.Function) -> tuple[str, tuple[str, ...]]:
    """The digest of one function, and every word in it that may be a name."""
    kept = _functions.get(id(function))
    if kept is None or kept[0] is not function:
        text = repr(function)
        if len(_functions) > _MOST_FUNCTIONS:
            _functions.clear()
        kept = _functions[id(function)] = function, _sum([text]), tuple(dict.fromkeys(_WORD.findall(text)))
    return kept[1], kept[2]


_functions: dict[int, tuple[ast.Function, str, tuple[str, ...]]] = {}
_MOST_FUNCTIONS = 20_000


def _digest(structs: Mapping[str, ast.Struct]) -> str:
    return _sum(f"{name}\0{struct!r}" for name, struct in sorted(structs.items()))


def _sum(texts: Iterable[str]) -> str:
    whole = hashlib.sha256()
    for text in texts:
        whole.update(text.encode() + b"\0\0")
    return whole.hexdigest()
