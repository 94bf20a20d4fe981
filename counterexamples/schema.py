"""The counterexample as a document: one JSON object that holds all that any report shows.

Nothing in it depends on when or where it was made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec

from ..core.errors import InputError

SCHEMA = 1
"""Raised whenever an older reader would misunderstand the document."""

SORTS = frozenset("Gfn Region Slot Frame Block Pt Root Vcpu Iommu Device Thread".split())
"""What has a size in every machine."""

Value = bool | int | str
"""What a cell or an argument holds: a truth value, the number of an element, or the name of an enumeration's element."""

Size = Annotated[int, msgspec.Meta(ge=1, le=4096)]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A statement of kernel C."""

    file: str
    line: int
    function: str
    text: str


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


class Instance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way in which the property is false: of what it speaks (`at`), which cells show it, and a sentence."""

    sentence: str
    at: dict[str, Value] = {}
    cells: tuple[str, ...] = ()


class Promise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The property that does not hold."""

    name: str
    sentence: str


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The scenario in which it was asked."""

    name: str
    story: str


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


def write(cex: Cex) -> bytes:
    """The document as JSON text, the same bytes for the same counterexample."""
    return msgspec.json.format(msgspec.json.encode(cex), indent=1) + b"\n"


def load(data: bytes, where: str, *, violated: bool = True) -> Cex:
    """Read a document back; with `violated` false also that of a run in which nothing is violated, as `explore` saves it.

    Raises:
        InputError: broken JSON, another kind of document, a newer schema, or a document that contradicts itself.
    """
    try:
        raw = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{where}: not a JSON document: {error}. Give a file that `tdpcheck verify` wrote (*.cex.json)") from error
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool) or "violation" not in raw:
        raise InputError(f"{where}: JSON, but not a counterexample. Give a file that `tdpcheck verify` wrote (*.cex.json)")
    if schema != SCHEMA:
        what = "a newer" if schema > SCHEMA else "another"
        raise InputError(
            f"{where}: {what} form of counterexample (schema {schema}); this tdpcheck reads schema {SCHEMA}. Use the version that wrote it"
        )
    try:
        cex = msgspec.convert(raw, Cex, strict=True)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: not a complete counterexample: {error}. Write it again with `tdpcheck verify`") from error
    if violated and not cex.violation:
        raise InputError(f"{where}: a run in which nothing is violated. `tdpcheck replay` and `tdpcheck explore --from` take it")
    for problem in _contradictions(cex):
        raise InputError(f"{where}: the document contradicts itself: {problem}. Write it again with `tdpcheck verify`")
    return cex


def _contradictions(cex: Cex) -> Iterator[str]:
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


def states(cex: Cex) -> tuple[dict[str, Value], ...]:
    """Every state of the run, the first one included."""
    result = [dict(cex.initial)]
    for step in cex.steps:
        result.append(result[-1] | {change.cell: change.new for change in step.changes})
    return tuple(result)


def file_name(cex: Cex) -> str:
    """What the document is called where it is kept."""
    return f"{cex.prop.name}-{cex.scenario.name}.cex.json"
