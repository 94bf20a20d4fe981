"""The form of a trace: lines of JSON, a header and then an event a line, read strictly.

An event is an interval of the recording's clock, in which what it tells happened at some time. What a probe at the beginning of a function
tells comes after it, and before the next event of the task; what a probe behind something tells came before it, and after the task's event
before. So the order of events is not the order of what they tell.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from os import PathLike, fspath
from typing import Annotated

import msgspec

from ..core.errors import InputError
from ..core.stored.files import MEGABYTE, read_given

SCHEMA = 1
MOST = 64 * MEGABYTE
"""Bytes of a trace, as it lies there and unpacked."""
Natural = Annotated[int, msgspec.Meta(ge=0)]

KINDS: dict[str, tuple[str, ...]] = {
    "page_fault": ("vcpu", "gfn"),
    "faultin": ("gfn", "seq", "open"),
    "faultin_done": ("ret",),
    "stale": ("gfn", "seq", "now", "open"),
    "stale_done": ("ret",),
    "map": ("gfn", "pfn", "goal"),
    "map_done": ("ret",),
    "spte": ("as_id", "gfn", "level", "old", "new"),
    "fast": ("vcpu", "gfn", "old", "new"),
    "invalidate": ("start", "end"),
    "invalidated": (),
    "validate": (),
    "validated": (),
    "unmap": ("start", "end"),
    "unmap_done": ("flush",),
    "flush": (),
    "flush_done": (),
    "flush_range": ("gfn", "pages"),
    "flush_range_done": (),
    "rlock": (),
    "rlocked": (),
    "runlock": (),
    "wlock": (),
    "wlocked": (),
    "wunlock": (),
    "split": ("start", "end"),
    "split_done": (),
    "collapse": (),
    "collapse_done": (),
    "memslot": ("change",),
    "memslot_done": (),
    "roots_invalid": (),
    "zap_invalid": (),
    "zap_fast": (),
    "zap_all": (),
    "host_split": ("address",),
    "host_collapse": ("address",),
    "enter": ("vcpu",),
    "exit": ("vcpu",),
    "vcpu_flush": (),
    "table_freed": ("pfn",),
    "freed": ("pfn", "order"),
    "set_pte": (),
}
"""What an event may be, each with the values that it carries: numbers, addresses and entries as they are, a gfn or pfn in pages."""
BEFORE = frozenset(
    "faultin stale map invalidate validate unmap flush flush_range rlock runlock wlock wunlock split collapse memslot roots_invalid "
    "zap_invalid zap_fast zap_all host_split host_collapse enter vcpu_flush table_freed freed set_pte".split()
)
"""Events that stand before what they tell; the others stand behind it."""


class Slot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The memslot: where it begins in the guest (a gfn) and in the host (an address), and its size in pages."""

    gfn: Natural
    pages: Natural
    hva: Natural


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line.

    `kernel` is the release, as 6.1.0-57-amd64, and `version` what of it counts here. `seed` and `rounds` are the workload's. `lost` counts
    events that the machine had no room for. `absent` names probes that this kernel does not have.
    """

    trace: int
    kernel: str
    version: str
    seed: int
    rounds: int
    vcpus: Natural
    slot: Slot
    lost: Natural = 0
    absent: tuple[str, ...] = ()


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that happened between `begin` and `end`, on a CPU, by a task."""

    begin: Natural
    end: Natural
    cpu: Natural
    task: Natural
    kind: str
    values: dict[str, int] = {}

    def __getitem__(self, name: str) -> int:
        return self.values[name]


class Trace(msgspec.Struct, frozen=True):
    """A header, and the events in the order in which they were recorded."""

    header: Header
    events: tuple[Event, ...]


_HEADER, _EVENT = msgspec.json.Decoder(Header, strict=True), msgspec.json.Decoder(Event, strict=True)
_ADVICE = "give what `tdpcheck trace record` wrote"


def written(trace: Trace) -> bytes:
    """A trace as a compressed file."""
    lines = [msgspec.json.encode(each) for each in (trace.header, *trace.events)]
    return gzip.compress(b"\n".join(lines) + b"\n", 9, mtime=0)


def read(path: str | PathLike[str]) -> Trace:
    """The trace in a file, compressed or not.

    Raises:
        InputError: there is no such file, or it is no trace: the first line that is wrong is named.
    """
    name = fspath(path)
    return decoded(read_given(name, MOST, _ADVICE, "trace"), name)


def decoded(data: bytes, where: str) -> Trace:
    """The trace that these bytes are.

    Args:
        where: what an error names.

    Raises:
        InputError: they are none.
    """
    if data[:2] == b"\x1f\x8b":
        unpacker = zlib.decompressobj(31)
        try:
            data = unpacker.decompress(data, MOST)
        except zlib.error as error:
            raise InputError(f"{where}: damaged gzip data ({error}); {_ADVICE}") from None
        if unpacker.unconsumed_tail:
            raise InputError(f"{where}: more than {MOST // MEGABYTE} MB unpacked, which no trace has; {_ADVICE}")
        if not unpacker.eof:
            raise InputError(f"{where}: the gzip data ends in the middle; {_ADVICE}")
    lines = data.splitlines()
    if not lines:
        raise InputError(f"{where}: the file is empty; {_ADVICE}")
    header = _header(lines[0], where)
    return Trace(header, tuple(_events(lines[1:], where)))


def _header(line: bytes, where: str) -> Header:
    try:
        raw = msgspec.json.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raw = None
    number = raw.get("trace") if isinstance(raw, dict) else None
    if not isinstance(number, int) or isinstance(number, bool):
        raise InputError(f'{where}: line 1 is no header of a trace ({{"trace": {SCHEMA}, "kernel": ...}}); {_ADVICE}')
    if number != SCHEMA:
        raise InputError(f"{where}: a trace of form {number}; this tdpcheck reads form {SCHEMA}. Record it again")
    try:
        return _HEADER.decode(line)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InputError(f"{where}: line 1: {error}; {_ADVICE}") from None


def _events(lines: Iterable[bytes], where: str) -> Iterator[Event]:
    last: dict[int, Event] = {}
    for number, line in enumerate(lines, 2):
        try:
            event = _EVENT.decode(line)
        except (msgspec.ValidationError, msgspec.DecodeError, ValueError, RecursionError) as error:
            raise InputError(f"{where}: line {number}: {error}; {_ADVICE}") from None
        wrong = _wrong(event, last.get(event.task))
        if wrong:
            raise InputError(f"{where}: line {number}: {wrong}; {_ADVICE}")
        last[event.task] = event
        yield event


def _wrong(event: Event, before: Event | None) -> str:
    """What is wrong with an event, if anything."""
    wanted = KINDS.get(event.kind)
    if wanted is None:
        return f"there is no event {event.kind!r}; there are {', '.join(KINDS)}"
    if set(event.values) != set(wanted):
        return f"{event.kind} has the values {', '.join(wanted) or 'none'}, not {', '.join(event.values) or 'none'}"
    if event.begin > event.end:
        return f"it ends at {event.end}, before it begins at {event.begin}"
    if before is not None and (event.begin < before.begin or event.end < before.end):
        return f"events of task {event.task} are not in order: {before.kind} in {before.begin}-{before.end} comes before"
    return ""
