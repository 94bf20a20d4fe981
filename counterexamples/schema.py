"""The counterexample as a document: one JSON object that holds all that any report shows.

Nothing in it depends on when or where it was made.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from ..core.errors import InputError
from ..core.stored.jsonfile import Kind

SCHEMA = 2
"""Raised whenever an older reader would misunderstand the document."""

SORTS = frozenset("Gfn Region Slot Frame Block Pt Root Vcpu Iommu Device Thread".split())
"""What has a size in every machine."""

Value = bool | int | str
"""What a cell or an argument holds: a truth value, the number of an element, or the name of an enumeration's element."""

MOST_STEPS, MOST_CELLS = 10_000, 100_000
MOST_VALUE = 1 << 64
LONGEST_PATCH = 1 << 18

Size = Annotated[int, msgspec.Meta(ge=1, le=4096)]

Mark = Literal["cause", "enabling", "noise", ""]
"""What a step is to the violation; '' where nobody has checked it."""

Manner = Literal["same", "branch", "idle", "inserted", "left out"]
"""How a step of another schedule went."""


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A statement of kernel C; `callers` are the functions through which its thread came to it, the entry function first."""

    file: str
    line: int
    function: str
    text: str
    callers: tuple[str, ...] = ()


class Actor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may act: a thread with its entry function, or a part of the machine."""

    name: str
    kind: str
    entry: str = ""


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One cell of the state before and after a step."""

    cell: str
    old: Value
    new: Value


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One action, as it is replayed and as it is read.

    Args:
        action: its name in the model.
        arguments: its parameters by name.
        label: what a reader should see.
        effects: what it does to the machine, in words; empty for a step that only moves its thread along.
        sources: the statements that it executes, the visible one first.
        reads: the cells of the machine on which it depends.
        mark: a step of a `Cause` is a cause; without an enabling step the rest of the run cannot be executed; without all noise the
            property is violated still.
    """

    number: int
    action: str
    arguments: dict[str, Value]
    actor: str
    label: str
    effects: tuple[str, ...]
    sources: tuple[Source, ...]
    reads: tuple[str, ...]
    changes: tuple[Change, ...]
    mark: Mark = ""


class Instance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way in which the property is false: of what it speaks (`at`), which cells show it, and a sentence."""

    sentence: str
    at: dict[str, Value] = {}
    cells: tuple[str, ...] = ()


class Turn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step of another schedule of the run, as it is replayed and as it is read.

    Args:
        number: as the violating run counts it; 0 if it is not in that run.
        manner: 'same'; 'branch' where the thread executes the same statement and then goes another way; 'idle' where the machine finds
            nothing to do; 'left out' where the thread no longer comes to it; 'inserted'.
        action, arguments: what is executed; of a step that is idle or left out, what the run has there.
    """

    number: int
    actor: str
    label: str
    source: str = ""
    manner: Manner = "same"
    action: str = ""
    arguments: dict[str, Value] = {}


class Cause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order that the violation needs: the same steps with `after` before `before` satisfy the property.

    Args:
        schedule: how they were executed so.
    """

    before: int
    after: int
    sentence: str
    schedule: tuple[Turn, ...] = ()


class Missing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A flush that nobody makes: executed with one anywhere after `after` and before `before`, the same steps satisfy the property."""

    after: int
    before: int
    what: str
    sentence: str


class NearMiss(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The run that differs least and satisfies the property in each of its states.

    Args:
        steps: in the order in which they were executed.
        swaps: how many pairs of neighbours change places.
        inserted: how many steps it has that the violating run has not.
        sentence: the difference as one would say it: 'had X happened before Y, ...'.
    """

    steps: tuple[Turn, ...]
    swaps: int
    inserted: int
    sentence: str


class Repair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An edit of the kernel C under which the same question was asked again.

    Args:
        name: of the recipe.
        sentence: what to do, for a maintainer.
        where: file:line of the statement that is edited, as the violating code counts.
        verified: the verdict with the edit, with its bound.
        diff: the edit itself.
    """

    name: str
    sentence: str
    where: str
    verified: str
    diff: str = ""


class Confidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why to believe it: executed without a solver, which engines found it, which goals of the scenario are reached (with depth)."""

    replayed: bool = False
    engines: tuple[str, ...] = ()
    goals: dict[str, int] = {}


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What tells counterexamples apart: two with the same one are variants of each other.

    Args:
        lines: the pair of places that race: 'file:line', or of hardware its action; one place where nobody races.
        assumptions: those of `Cex.needs`.
    """

    property: str
    lines: tuple[str, ...]
    assumptions: tuple[str, ...] = ()


class Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A function of our own kernel C as it ran, the change applied: `line` is that of the first line of `text`.

    Functions that were lifted from a kernel tree are never listed: of these a document holds the statements that a run executes.
    """

    file: str
    function: str
    line: int
    text: str


class Edit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line that the change adds or removes; `line` counts in the changed file, for a removed one it is that of the nearest line left."""

    file: str
    kind: Literal["added", "removed"]
    line: int
    text: str


class Promise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The property that does not hold."""

    name: str
    sentence: str


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The scenario in which it was asked."""

    name: str
    story: str


class Patch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change as it was given: what its file is called, and its text."""

    name: str
    text: str


class Cex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run that ends in a violation.

    Args:
        change: the patch or edit under which it happens; None for the design as it is shipped.
        kernel: where the kernel C comes from: 'shipped', or a release.
        lifted: the functions that were taken from that kernel's source.
        shortest: True when no shorter run violates the property, None when nobody established that.
        sizes: how many elements each sort has.
        names: the elements of those sorts that are enumerations and index a cell.
        absent: what of a machine has no part in this scenario.
        initial: every cell of the first state; the others follow from the changes of each step.
        violation: which instances of the property are false after the last step.
        causes: the orders of two steps that the violation needs: those of two threads first, and least change first.
        missing: the flush that the run lacks, if one would have kept the property.
        near_miss: the run that differs least and satisfies the property; None if none was found, and `searched` says how far was looked.
        searched: what the search for causes and for the near miss did not get to, in words; '' if nothing is left open.
        repairs: edits of the kernel C, each verified.
        assumptions: what is taken for granted of hardware and software here.
        needs: those of `assumptions` without which this violation would not be one.
        sources: our own functions that the run passes through.
        changed: the lines of the change, in the order of the patch.
        patch: the change itself, so that the document can be replayed where it is all that there is; missing where there is none, and
            where it is no text or is longer than `LONGEST_PATCH` bytes.
    """

    schema: int
    prop: Promise = msgspec.field(name="property")
    scenario: Question
    design: str
    change: str | None
    kernel: str
    lifted: tuple[str, ...]
    model: str
    engine: str
    shortest: bool | None
    depth: int
    sizes: dict[str, Size]
    names: dict[str, tuple[str, ...]]
    actors: tuple[Actor, ...]
    absent: tuple[str, ...]
    initial: dict[str, Value]
    steps: tuple[Step, ...]
    violation: tuple[Instance, ...]
    causes: tuple[Cause, ...] = ()
    missing: Missing | None = None
    near_miss: NearMiss | None = None
    searched: str = ""
    repairs: tuple[Repair, ...] = ()
    assumptions: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    confidence: Confidence = Confidence()
    signature: Signature | None = None
    sources: tuple[Listing, ...] = ()
    changed: tuple[Edit, ...] = ()
    patch: Patch | msgspec.UnsetType = msgspec.UNSET


def write(cex: Cex) -> bytes:
    """The document as JSON text, the same bytes for the same counterexample."""
    return msgspec.json.format(msgspec.json.encode(cex), indent=1) + b"\n"


COUNTEREXAMPLE = Kind(
    "counterexample",
    Cex,
    SCHEMA,
    "violation",
    give="give a *.cex.json that `tdpcheck verify --out DIR` left",
    again="write it again with `tdpcheck verify`",
)


def load(data: bytes, where: str, *, violated: bool = True) -> Cex:
    """Read a document back; with `violated` false also that of a run in which nothing is violated, as `explore` saves it.

    Raises:
        InputError: broken JSON, another kind of document, a newer schema, or a document that contradicts itself.
    """
    cex = COUNTEREXAMPLE.decoded(data, where)
    if violated and not cex.violation:
        raise InputError(f"{where}: a run in which nothing is violated. `tdpcheck replay` and `tdpcheck explore --from` take it")
    for problem in _contradictions(cex):
        raise InputError(f"{where}: the document contradicts itself: {problem}; {COUNTEREXAMPLE.again}")
    return cex


def read(path: str | PathLike[str], *, violated: bool = True) -> Cex:
    """The document in a file.

    Raises:
        InputError: there is no such file, or as of `load`.
    """
    return load(COUNTEREXAMPLE.content(path), fspath(path), violated=violated)


def _contradictions(cex: Cex) -> Iterator[str]:
    if len(cex.steps) > MOST_STEPS or len(cex.initial) > MOST_CELLS:
        yield f"{len(cex.steps)} steps over {len(cex.initial)} cells, which no run has"
    for where, value in _values(cex):
        if isinstance(value, int) and not 0 <= value < MOST_VALUE:
            yield f"{where} is {value}, and elements are counted from 0"
    if cex.depth != len(cex.steps):
        yield f"depth {cex.depth}, but {len(cex.steps)} steps"
    for sort in sorted(SORTS - cex.sizes.keys()):
        yield f"it does not say how many of {sort} there are"
    threads = [actor.name for actor in cex.actors if actor.kind == "thread"]
    if len(threads) != cex.sizes.get("Thread", len(threads)):
        yield f"{len(threads)} threads are named, and there are {cex.sizes['Thread']}"
    names = {actor.name for actor in cex.actors}
    state = dict(cex.initial)
    for number, step in enumerate(cex.steps, 1):
        if step.number != number:
            yield f"step {step.number} stands where step {number} should"
        if step.actor not in names:
            yield f"step {number} is made by {step.actor!r}, who is not among the actors"
        for cell in sorted({c.cell for c in step.changes} - state.keys()):
            yield f"step {number} changes {cell}, which the first state does not have"
        for change in step.changes:
            if state.get(change.cell, change.old) != change.old:
                yield f"step {number} changes {change.cell} from {change.old}, but it was {state[change.cell]}"
            if type(change.old) is not type(change.new):
                yield f"step {number} changes the kind of {change.cell}"
            state[change.cell] = change.new
    yield from _told_wrongly(cex)


def _values(cex: Cex) -> Iterator[tuple[str, Value]]:
    """Every value that a document names, and where."""
    yield from cex.initial.items()
    for step in cex.steps:
        yield from ((f"{name} of step {step.number}", value) for name, value in step.arguments.items())
        yield from ((change.cell, value) for change in step.changes for value in (change.old, change.new))
    for instance in cex.violation:
        yield from ((f"{name} of the violation", value) for name, value in instance.at.items())


def _told_wrongly(cex: Cex) -> Iterator[str]:
    """Causes that speak of steps that are not there, or that the marks of the steps do not bear out."""
    numbers = range(1, len(cex.steps) + 1)
    for cause in cex.causes:
        if not (cause.before in numbers and cause.after in numbers and cause.before < cause.after):
            yield f"a cause says that step {cause.before} comes before step {cause.after}"
        elif cause.schedule and sorted(t.number for t in cause.schedule if t.number) != list(numbers):
            yield f"the schedule beside the cause of steps {cause.before} and {cause.after} has other steps than the run"
        elif {cex.steps[n - 1].mark for n in (cause.before, cause.after)} != {"cause"}:
            yield f"steps {cause.before} and {cause.after} are a cause, and are not marked so"
    if cex.missing is not None and not 1 <= cex.missing.after < cex.missing.before <= len(cex.steps):
        yield f"something is missing after step {cex.missing.after} and before step {cex.missing.before}"
    for near in cex.near_miss.steps if cex.near_miss is not None else ():
        if near.number and near.number not in numbers:
            yield f"the near miss has step {near.number}, and the run has {len(cex.steps)}"
    for need in sorted(set(cex.needs) - set(cex.assumptions)):
        yield f"it needs {need!r}, which is not among the assumptions"


def json_schema() -> bytes:
    """The JSON Schema (draft 2020-12) of a document, as it is shipped beside this file."""
    made: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"tdpcheck counterexample, schema {SCHEMA}",
        **msgspec.json.schema(Cex),
    }
    made["$defs"]["Cex"]["properties"]["schema"]["const"] = SCHEMA
    for told in made["$defs"].values():
        told["description"] = cleandoc(told["description"])
    return msgspec.json.format(msgspec.json.encode(made, order="sorted"), indent=1) + b"\n"


def shipped_schema() -> Path:
    """Where the JSON Schema is kept."""
    return Path(__file__).with_name("cex.schema.json")


def states(cex: Cex) -> tuple[dict[str, Value], ...]:
    """Every state of the run, the first one included."""
    result = [dict(cex.initial)]
    for step in cex.steps:
        result.append(result[-1] | {change.cell: change.new for change in step.changes})
    return tuple(result)


def file_name(cex: Cex) -> str:
    """What the document is called where it is kept."""
    return f"{cex.prop.name}-{cex.scenario.name}.cex.json"


if __name__ == "__main__":
    shipped_schema().write_bytes(json_schema())
