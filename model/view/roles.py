"""How a part of the machine is told: the roles that its variables play for a reader.

A part says beside its declarations which of its variables are an entry of a table, a cache, a mark on a thing, a lock; reports iterate
over that and know roles alone. Where words cannot be made from a role, the part has a function of the state. Nothing here draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ...core.sorts import Sort, StateVar
from ...core.system import Action
from .naming import cell
from .state_view import At, Changed, View

Flags: TypeAlias = tuple[str, ...]
"""What is set in something, each in a word or two."""


@dataclass(frozen=True)
class Box:
    """Where things stand together in a picture and in an outline.

    Args:
        heading: of the box in a picture; `outline`, of the part of an outline.
    """

    name: str
    heading: str
    outline: str
    colour: str


TABLE_BOX = Box("tables", "shared page table (KVM)", "shared page table", "#f5faff")
CACHE_BOX = Box("caches", "what the IOMMU and the vCPUs hold", "what the IOMMU and the vCPUs hold", "#fffaf2")
HOST_BOX = Box("host", "host memory", "host memory", "#f6fbf6")
THREAD_BOX = Box("threads", "threads", "threads and locks", "#fafafa")
OTHER_BOX = Box("others", "other parts of the machine", "other parts of the machine", "#fafafa")


@dataclass(frozen=True)
class Mark:
    """A truth value of a thing.

    Args:
        table: what the table of entries says while it is set; `table_unset`, while it is not.
        note: what stands beside the thing in pictures while it is set; `note_unset`, while it is not.
        attribute: what a graph calls it.
        on, off: what a step does that sets it, or clears it; `{0}` is the thing's number.
    """

    var: StateVar
    table: str = ""
    note: str = ""
    table_unset: str = ""
    note_unset: str = ""
    attribute: str = ""
    on: str = ""
    off: str = ""

    def in_table(self, view: View, at: At) -> str:
        return self.table if view.is_set(self.var, *at) else self.table_unset

    def noted(self, view: View, at: At) -> str:
        return self.note if view.is_set(self.var, *at) else self.note_unset

    def words(self, after: View, changed: Changed) -> Iterable[str]:
        for at in changed.at(self.var):
            template = self.on if after.is_set(self.var, *at) else self.off
            if template:
                yield template.format(*at)


@dataclass(frozen=True)
class Number:
    """A value of a thing that is no truth value.

    Args:
        show: what a reader calls a value.
        label: stands before it.
        step: what a step does that changes it; `{value}` is the new value.
    """

    var: StateVar
    show: Callable[[View, int], str]
    label: str = ""
    step: str = ""

    def said(self, view: View, at: At) -> str:
        value = view.word(self.var, *at) if isinstance(self.var.kind, Sort) and self.var.kind.elements else None
        return f"{self.label}{self.show(view, view.number(self.var, *at)) if value is None else value}"

    def words(self, after: View, changed: Changed) -> Iterable[str]:
        for at in changed.at(self.var):
            if self.step:
                yield self.step.format(*at, value=self.said(after, at).removeprefix(self.label))


Cells: TypeAlias = Callable[[View, At], Iterable[str]]
"""Names of the cells that belong to a thing of that number."""


def cells_of(*variables: StateVar) -> Cells:
    """The cells of these variables at a thing's own number."""
    return lambda view, at: (cell(var, *at) for var in variables)


@dataclass(frozen=True)
class Link:
    """An edge of the graph of a state, between things by their keys.

    Args:
        lock: the edge leads to a lock that is no thing of its own: its node is made.
    """

    start: str
    end: str
    kind: str
    label: str = ""
    cells: tuple[str, ...] = ()
    stale: bool = False
    lock: bool = False


@dataclass(frozen=True)
class Thing:
    """Something with a node of its own in graphs, a line in the table of entries, and a box in the picture.

    Args:
        kind: what it is called, without its number; also the kind of its node.
        sorts: what it is one of; none for a thing of which there is one.
        box: where it stands in pictures; `group`, in the table of entries.
        marks, numbers: what it bears. The functions below are made from these where they are not given.
        key: its name in graphs (by default its kind and number); `name`, in the table of entries; `label`, in pictures.
        indent: how deep it stands in its group of the table of entries.
        touched: its cells in the table of entries; `noted`, in graphs; `arising`, those of which a change in the run makes it part of
            every graph (by default all that it bears).
        flags: what the table of entries says of it; `notes`, what stands below its label; `headline`, what the picture says of it.
        present: whether a graph has it where no step touches it (by default always).
        attributes: what its node bears in graphs besides.
        links: its edges.
        plain: whether the picture may leave it out; `row`: where the picture has it, those with lower numbers above.
        state: the variable that says what it is doing; where that is in `gone`, it is drawn as freed.
    """

    kind: str
    sorts: tuple[Sort, ...]
    box: Box
    group: str
    colour: str = "#ffffff"
    marks: tuple[Mark, ...] = ()
    numbers: tuple[Number, ...] = ()
    key: Callable[[At], str] | None = None
    name: Callable[[View, At], str] | None = None
    label: Callable[[View, At], str] | None = None
    indent: int = 0
    touched: Cells | None = None
    noted: Cells | None = None
    arising: Cells | None = None
    flags: Callable[[View, At], Flags] | None = None
    notes: Callable[[View, At], Flags] | None = None
    headline: Callable[[View, At], str] | None = None
    present: Callable[[View, At], bool] | None = None
    attributes: Callable[[View, At], Mapping[str, object]] | None = None
    links: Callable[[View, At], Iterable[Link]] | None = None
    plain: Callable[[View, At], bool] | None = None
    row: int = 9
    state: StateVar | None = None
    gone: frozenset[str] = frozenset()

    def key_of(self, at: At) -> str:
        return self.key(at) if self.key is not None else " ".join([self.kind, *(".".join(map(str, at)),) * bool(at)])

    def cells(self, view: View, at: At, which: Cells | None) -> frozenset[str]:
        """Some of its cells: `touched`, `noted` or `arising`."""
        of = cells_of(*(m.var for m in self.marks), *(n.var for n in self.numbers)) if which is None else which
        return frozenset(of(view, at))

    def name_of(self, view: View, at: At) -> str:
        return self.key_of(at) if self.name is None else self.name(view, at)

    def label_of(self, view: View, at: At) -> str:
        return self.key_of(at) if self.label is None else self.label(view, at)

    def flags_of(self, view: View, at: At) -> Flags:
        if self.flags is not None:
            return self.flags(view, at)
        return (*(w for m in self.marks if (w := m.in_table(view, at))), *(n.said(view, at) for n in self.numbers))

    def notes_of(self, view: View, at: At) -> Flags:
        return tuple(w for m in self.marks if (w := m.noted(view, at))) if self.notes is None else self.notes(view, at)

    def headline_of(self, view: View, at: At) -> str:
        if self.headline is not None:
            return self.headline(view, at)
        return ", ".join((*self.notes_of(view, at), *(n.said(view, at) for n in self.numbers)))

    def attributes_of(self, view: View, at: At) -> Mapping[str, object]:
        if self.attributes is not None:
            return self.attributes(view, at)
        return {m.attribute: view.is_set(m.var, *at) for m in self.marks if m.attribute}


@dataclass(frozen=True)
class Translation:
    """That a gfn leads to a frame; `stale`: the host no longer backs the one by the other."""

    gfn: int
    frame: int
    stale: bool


@dataclass(frozen=True)
class Entries:
    """The entries of a table, one an owner and slot: they are empty, frozen, map something or point to a table below.

    Args:
        level: 1 for those that map single pages.
        owner: the kind of the thing that they stand in.
        kind: the variable that says what an entry is (none, frozen, leaf or table); `variables`, all of which an entry is made.
        below: the key of the table to which an entry points, if it does.
        maps: where a leaf leads.
        live: whether a walk may come by.
        root: under which root an entry stands.
        called: an entry's name in a step; `name`, in the table of entries; `place`, what it stands for, in graphs; `row`, in the picture.
        said: what it holds, in a step and in graphs; `flags`, in the table of entries; `short`, in the picture.
    """

    level: int
    sorts: tuple[Sort, Sort]
    key: str
    group: str
    indent: int
    owner: str
    kind: StateVar
    variables: tuple[StateVar, ...]
    below: Callable[[View, At], str | None]
    maps: Callable[[View, At], tuple[Translation, ...]]
    live: Callable[[View, At], bool]
    root: Callable[[View, At], int]
    gfns: Callable[[View, At], tuple[int, ...]]
    called: Callable[[View, At], str]
    name: Callable[[View, At], str]
    place: Callable[[View, At], str]
    row: Callable[[View, At], str]
    said: Callable[[View, At], str]
    flags: Callable[[View, At], Flags]
    short: Callable[[View, At], str]

    def key_of(self, at: At) -> str:
        """The name of an entry in graphs."""
        return f"{self.key} {'.'.join(map(str, at))}"

    def words(self, before: View, after: View, changed: Changed) -> Iterable[str]:
        """What a step does to them."""
        for at in changed.places(*self.variables):
            old, new = self.said(before, at), self.said(after, at)
            if old != new:
                yield f"{self.called(after, at)}: {old} -> {new}"


@dataclass(frozen=True)
class Cache:
    """A cache of translations or of pointers to tables, one an owner and tag.

    Args:
        name: what it is called; `size`, of what size its translations are, if there are several sizes.
        owner: the kind of the thing that has it.
        maps: what a valid entry translates; of a pointer to a table, `points` gives the table's key and whether it is none any more.
        show: what a value is called in a picture; `step_show`, in a step.
        writable: its write permission.
        drops: whether a step that makes an entry invalid says so.
        footnote: what a report explains where a step speaks of it.
    """

    name: str
    sorts: tuple[Sort, Sort]
    key: Callable[[At], str]
    group: str
    owner: str
    valid: StateVar
    value: StateVar
    tag: Callable[[int], str]
    show: Callable[[View, int], str]
    size: str = ""
    step_show: Callable[[View, int], str] | None = None
    writable: StateVar | None = None
    maps: Callable[[View, At], tuple[Translation, ...]] | None = None
    points: Callable[[View, At], tuple[str, bool]] | None = None
    drops: bool = True
    footnote: str = ""

    @property
    def title(self) -> str:
        return f"{self.name} {self.size}".rstrip()

    @property
    def variables(self) -> tuple[StateVar, ...]:
        return (self.valid, self.value, *((self.writable,) if self.writable is not None else ()))

    def stale(self, view: View, at: At) -> bool:
        if not view.is_set(self.valid, *at):
            return False
        if self.points is not None:
            return self.points(view, at)[1]
        return self.maps is not None and any(t.stale for t in self.maps(view, at))

    def flags(self, view: View, at: At) -> Flags:
        if not view.is_set(self.valid, *at):
            return ()
        held = self.show(view, view.number(self.value, *at))
        writable = ("writable",) if self.writable is not None and view.is_set(self.writable, *at) else ()
        return ("valid", *writable, held if self.points is not None else f"pfn {held}")

    def words(self, before: View, after: View, changed: Changed, who: str = "") -> Iterable[str]:
        """What a step does to it; `who` is named where several have such a cache."""
        show = self.step_show or self.show
        for at in changed.places(self.valid, self.value):
            if after.is_set(self.valid, *at):
                yield f"{who.format(*at)}{self.name}: {self.tag(at[1])} -> {show(after, after.number(self.value, *at))}"
            elif self.drops:
                yield f"{who.format(*at)}{self.name} drops {self.tag(at[1])} -> {show(before, before.number(self.value, *at))}"


@dataclass(frozen=True)
class Queue:
    """Requests of threads that stand in a queue of a thing until it completes them: by thread, by more, and last by the thing.

    Args:
        owner: the kind of the thing that has it.
        submitted: that a thread's request stands there.
    """

    sorts: tuple[Sort, ...]
    group: str
    owner: str
    key: str
    submitted: StateVar
    name: Callable[[View, At], str]
    flags: Callable[[View, At], Flags]

    def words(self, after: View, changed: Changed) -> Iterable[str]:
        """What a step does to it."""
        for at in changed.at(self.submitted):
            yield f"{'queues' if after.is_set(self.submitted, *at) else 'completes'} the {self.name(after, at)}"


@dataclass(frozen=True)
class Lock:
    """What a thread holds, or is inside of: a step that does nothing else is told by it.

    Args:
        taken, left: what a step does; '' where it is not worth a word.
        excludes: others may have to wait for it.
    """

    var: StateVar
    taken: str = ""
    left: str = ""
    excludes: bool = True


@dataclass(frozen=True)
class Assumption:
    """What the machine is assumed to do, and by which of its actions.

    Args:
        otherwise: what it may do as well in place of those, by their names, on other hardware. Where there is something, the assumption is
            told of a run alone that is no violation on that.
    """

    sentence: str
    actions: tuple[str, ...]
    otherwise: tuple[Action, ...] = ()


@dataclass(frozen=True)
class Actor:
    """Whoever acts besides the threads.

    Args:
        kind: as its actions name it.
        colour: of its steps in a picture.
        absent: what a report says is not modelled where no action is its.
        does: what it does, by its number, where the actors are listed.
    """

    kind: str
    colour: str = "#eceff1"
    absent: str = ""
    does: Callable[[View, int], str] | None = None


Words: TypeAlias = Callable[[View, View, Changed], Iterable[str]]


@dataclass(frozen=True)
class Telling:
    """How a part of the machine is told.

    Args:
        things, entries, caches, queues, locks: the roles of its variables, in the order in which a reader meets them.
        effects: what a step does to it, from the states before and after and what changed; by default in the words of its roles.
        resolves: what a step finds out that asks for a pfn, from the state and what it looks at.
        start: what a run begins with.
        assumed: what it is assumed to do.
        actors: who acts.
        looked_at: variables that a step is never noise for which it reads them.
        never_folded: what marks a step, in its label, as one that is never noise.
        acted_on: variables that are shown as one party of a chart, by the party's id and name.
        order: where a reader meets it among the parts; `rank`, where its words stand among those of a step. Lower first.
    """

    things: tuple[Thing, ...] = ()
    entries: tuple[Entries, ...] = ()
    caches: tuple[Cache, ...] = ()
    queues: tuple[Queue, ...] = ()
    locks: tuple[Lock, ...] = ()
    effects: Words | None = None
    resolves: Callable[[View, Changed], str] | None = None
    start: Callable[[View], Iterable[str]] | None = None
    assumed: tuple[Assumption, ...] = ()
    actors: tuple[Actor, ...] = ()
    looked_at: tuple[StateVar, ...] = ()
    never_folded: tuple[str, ...] = ()
    acted_on: Mapping[tuple[str, str], tuple[StateVar, ...]] = field(default_factory=dict)
    order: int = 9
    rank: int = 9

    def words(self, before: View, after: View, changed: Changed) -> Iterable[str]:
        """What a step does to this part."""
        if self.effects is not None:
            yield from self.effects(before, after, changed)
            return
        for entry in self.entries:
            yield from entry.words(before, after, changed)
        for queue in self.queues:
            yield from queue.words(after, changed)
        for cache in self.caches:
            yield from cache.words(before, after, changed)
        for thing in self.things:
            for mark in thing.marks:
                yield from mark.words(after, changed)
            for number in thing.numbers:
                yield from number.words(after, changed)
