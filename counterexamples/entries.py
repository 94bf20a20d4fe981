"""Every touched entry, state by state, as the flags that are set in it: what changed is the difference of two such sets.

What there is to see is what the parts of the machine declare: things, the entries of tables, queues and caches. A key is the name of the
same thing in `state_graph`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..model.machine import parts
from ..model.scene import Scene
from ..model.view.naming import cell
from ..model.view.roles import Cache, Entries, Flags, Queue, Thing
from ..model.view.state_view import At, View, indices
from .scenes import scenes
from .schema import Cex

GROUPS = ("page tables", "IOMMU", "host memory", "vCPUs", "threads")
"""The order of those that readers know; others follow."""


@dataclass(frozen=True)
class Entry:
    """One thing of the machine in all states of a run.

    Args:
        indent: how deep it stands in the tree of its group.
        name: what it is called, with the last meaning that it had.
        flags: by state.
        stale: by state, whether it outlived what it stands for.
        violating: whether the property fails there, after the last step.
    """

    key: str
    group: str
    indent: int
    name: str
    flags: tuple[Flags, ...]
    stale: tuple[bool, ...]
    violating: bool


@dataclass(frozen=True)
class _Row:
    """What an entry is made of: `cells` say whether a run touches it."""

    key: str
    group: str
    indent: int
    name: Callable[[View], str]
    cells: frozenset[str]
    flags: Callable[[View], Flags]
    stale: Callable[[View], bool] = lambda view: False


def entries(cex: Cex) -> tuple[Entry, ...]:
    """What the run touches, or what its violation is about, in the order of a table tree."""
    views = scenes(cex)
    end = views[-1]
    touched = {c.cell for s in cex.steps for c in s.changes}
    wrong = {name for i in cex.violation for name in i.cells}
    found = []
    for row in _rows(end):
        if (touched | wrong) & row.cells:
            flags = tuple(row.flags(v) for v in views)
            named = next((v for v, set_ in zip(reversed(views), reversed(flags), strict=True) if set_), end)
            stale = tuple(row.stale(v) for v in views)
            found.append(Entry(row.key, row.group, row.indent, row.name(named), flags, stale, bool(wrong & row.cells)))
    return tuple(found)


def _rows(view: Scene) -> Iterator[_Row]:
    rows = [row for thing in parts.things(view) for at in indices(view, *thing.sorts) for row in _thing(view, thing, at)]
    order = {name: number for number, name in enumerate(GROUPS)}
    return iter(sorted(rows, key=lambda row: order.get(row.group, len(order))))


def _thing(view: View, thing: Thing, at: At) -> Iterator[_Row]:
    """A thing, and below it what stands in its queues, its tables and its caches."""
    cells = thing.cells(view, at, thing.touched)
    name, flags = (lambda v: thing.name_of(v, at)), (lambda v: thing.flags_of(v, at))
    yield _Row(thing.key_of(at), thing.group, thing.indent, name, cells, flags)
    for queue in parts.queues(view):
        if queue.owner == thing.kind:
            yield from (_queue(queue, (*more, *at)) for more in indices(view, *queue.sorts[:-1]))
    for entry in parts.entries(view):
        if entry.owner == thing.kind:
            yield from (_entry(entry, (*at, *more)) for more in indices(view, *entry.sorts[1:]))
    for cache, more in parts.caches_of(view, thing):
        yield _cache(cache, thing, (*at, more))


def _queue(queue: Queue, at: At) -> _Row:
    key = f"{queue.key} {'.'.join(map(str, at))}"
    return _Row(key, queue.group, 1, lambda v: queue.name(v, at), frozenset((cell(queue.submitted, *at),)), lambda v: queue.flags(v, at))


def _entry(entry: Entries, at: At) -> _Row:
    key, cells = entry.key_of(at), frozenset(cell(var, *at) for var in entry.variables)

    def stale(view: View) -> bool:
        return any(found.stale for found in entry.maps(view, at))

    return _Row(key, entry.group, entry.indent, lambda v: entry.name(v, at), cells, lambda v: entry.flags(v, at), stale)


def _cache(cache: Cache, thing: Thing, at: At) -> _Row:
    cells = frozenset(cell(var, *at) for var in cache.variables)
    name = f"{cache.title} {cache.tag(at[1])}"
    return _Row(
        cache.key(at), cache.group, thing.indent + 1, lambda v: name, cells, lambda v: cache.flags(v, at), lambda v: cache.stale(v, at)
    )
