"""The argument: its chapters, in the order in which they build on each other."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ...core.system import Lemma, Property
from ...model.parametric import Parametric
from .. import REGISTRY
from . import caches, faults, flushes, host, locks, pages, roots, tables, zaps
from .setting import Setting


def argument(model: Parametric, *properties: Property) -> tuple[Lemma, ...]:
    """Why properties hold of a scenario for any number of everything: the lemmas that say something of its kernel C.

    What is promised to a walker is the argument of the atomic split alone: elsewhere a part of a huge page may go missing. Lemmas that
    a property brings along come last.
    """
    names = {prop.name for prop in properties}
    others = {lemma for name, entry in REGISTRY.items() if name not in names for lemma in entry.lemmas}
    book = Book(model)
    chapters = [entry.chapter for name, entry in REGISTRY.items() if name in names and entry.chapter is not None]
    own = [lemma for chapter in chapters for lemma in chapter(book)]
    return tuple(x for x in (*book.all(), *own) if x.name not in others and not z3.is_true(x.holds))


class Book(Setting):
    """A setting, and what is told of it."""

    def all(self) -> tuple[Lemma, ...]:
        """The lemmas of all chapters, without those that say nothing here because the kernel C has no such places."""
        return tuple(x for x in self._chapters() if not z3.is_true(x.holds))

    def _chapters(self) -> Iterator[Lemma]:
        yield from locks.chapter(self)
        yield from host.windows(self)
        yield from host.mapping(self)
        yield from tables.chapter(self)
        yield from pages.chapter(self)
        yield from roots.exports(self)
        yield from roots.given_up(self)
        yield from roots.sharing(self)
        yield from roots.loaded(self)
        yield from faults.leaves(self)
        yield from faults.chapter(self)
        yield from zaps.chapter(self)
        yield from zaps.recovering(self)
        yield from flushes.debts(self)
        yield from flushes.invalidations(self)
        yield from caches.chapter(self)
        yield from caches.promises()
        yield from caches.marks(self)


__all__ = ["Book", "argument"]
