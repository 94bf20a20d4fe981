"""One value in the words of each reader: what it takes it for, by which bits, and by which rule it refuses it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec
import z3

from ..core.errors import InputError
from . import fields
from .agreement import MACHINES
from .fields import Field, Where
from .questions import plain
from .readers import LEVELS, Reading, Rule, ept, npt, page_shift, vtd
from .written import ENTRY, LAYOUTS, kernel

READERS = ("ept", "vtd", "kvm", "npt")
WALKERS = {"ept": ("EPT", ept, fields.EPT), "vtd": ("VT-d, second stage", vtd, fields.VTD), "npt": ("NPT", npt, fields.NPT)}
_MASK = (1 << 52) - (1 << 12)


class Bits(msgspec.Struct, frozen=True):
    """A field of an entry: `bits` as `high:low` or one number."""

    bits: str
    name: str
    value: str
    source: str


class Refusal(msgspec.Struct, frozen=True):
    """A rule by which a walker refuses an entry that it finds present."""

    bits: str
    sentence: str
    source: str


class Told(msgspec.Struct, frozen=True):
    """What one reader says of an entry at one level.

    Args:
        takes: `absent`, `refused`, `table` or `leaf`; of KVM also `frozen`, `mmio`, `tracked`.
    """

    reader: str
    level: int
    takes: str
    sentence: str
    fields: tuple[Bits, ...]
    refused_by: tuple[Refusal, ...] = ()


class Entry(msgspec.Struct, frozen=True):
    """An entry as every reader that was asked has it."""

    value: str
    readings: tuple[Told, ...]


def told(value: int, readers: Sequence[str] = (), level: int | None = None, layout: str = "bit-11", machine: str = "usual", *,
         suppress_ve: bool = False) -> Entry:  # fmt: skip
    """A value in the words of its readers.

    Args:
        value: 64 bits.
        readers: of `READERS`; without any, EPT, VT-d and KVM.
        level: 1 (4K) to 5; without it at 1 and at 2, between which bit 7 makes the difference.
        layout: where KVM has SPTE_MMU_PRESENT, of `LAYOUTS`.
        machine: what the hardware is, of `MACHINES`.
        suppress_ve: KVM is one that suppresses #VE, as since 6.10.

    Raises:
        InputError: a number of more than 64 bits, or a name or level that is not known.
    """
    if not 0 <= value < 1 << 64:
        raise InputError(f"{value:#x} is no entry of 64 bits; give a number from 0 to 2^64-1")
    if level is not None and level not in LEVELS:
        raise InputError(f"there is no level {level}; levels are 1 (4K) to 5")
    named: list[tuple[str, Collection[str], str]] = [(layout, LAYOUTS, "layout"), (machine, MACHINES, "machine")]
    for given, known, what in (*named, *((reader, READERS, "reader") for reader in readers)):
        if given not in known:
            raise InputError(f"there is no {what} {given!r}; there are {', '.join(known)}")
    levels = (1, 2) if level is None else (level,)
    said = []
    for reader in readers or READERS[:3]:
        for each in levels:
            said.append(_by_kvm(value, each, layout, suppress_ve) if reader == "kvm" else _by_walker(reader, value, each, machine))
    return Entry(f"{value:#018x}", tuple(said))


def _by_walker(reader: str, value: int, level: int, machine: str) -> Told:
    name, read, known = WALKERS[reader]
    reading = read(ENTRY, level, MACHINES[machine])

    def holds(term: z3.ExprRef) -> int:
        return plain(term, {"entry": value})

    if not holds(reading.present):
        absent = {"ept": "a violation", "vtd": "a fault (a page request, if the device can)", "npt": "a nested page fault"}
        return Told(name, level, "absent", f"not present: {absent[reader]}", _fields(known, value, ("any",)))
    broken = tuple(rule for rule in reading.rules if holds(rule.broken))
    last = bool(holds(reading.last))
    shown = _fields(known, value, ("any", "leaf" if last else "table"))
    if broken:
        refusal = "a misconfiguration" if reader == "ept" else "a fault that nobody resolves"
        sentence = f"refused, {refusal}: " + "; ".join(rule.sentence for rule in broken)
        return Told(name, level, "refused", sentence, shown, tuple(_refusal(rule) for rule in broken))
    return Told(name, level, "leaf" if last else "table", _taken(reading, value, level, last=last), shown)


def _taken(reading: Reading, value: int, level: int, *, last: bool) -> str:
    def holds(term: z3.ExprRef) -> int:
        return plain(term, {"entry": value})

    allowed = "".join(letter for letter, term in (("R", reading.read), ("W", reading.write)) if holds(term)) or "nothing"
    snoops = ", snooping forced by the entry" if holds(reading.snoops) else ""
    if not last:
        return f"a table at {holds(reading.address):#x}, {allowed} below it"
    return f"a page of {_size(level)} at {holds(reading.address):#x}, {allowed} for data{snoops}"


def _by_kvm(value: int, level: int, layout: str, suppress_ve: bool) -> Told:
    known = fields.KVM[layout]

    def says(name: str) -> int:
        asked = kernel(name, layout)
        given = {"spte": value, "level": level, "ept.suppress_ve": int(suppress_ve)}
        return asked.run({path: given.get(path, 0) for path in asked.parameters}).result or 0

    def answer(takes: str, sentence: str, *where: Where) -> Told:
        return Told("KVM", level, takes, sentence, _fields(known, value, where) if where else ())

    place = layout.replace("-", " ")
    if says("is_shadow_present_pte"):
        last = says("is_last_spte")
        if last and says("is_access_track_spte"):
            saved = f"saved R {value >> 54 & 1}, X {value >> 56 & 1}"
            return answer("tracked", f"MMU-present ({place}) and made absent to see an access: {saved}", "any", "leaf", "tracked")
        address = says("spte_to_address")
        if not last:
            return answer("table", f"MMU-present ({place}): a table at {address:#x}", "any", "table")
        return answer("leaf", f"MMU-present ({place}): a page of {_size(level)} at {address:#x}, {_writable(value)}", "any", "leaf")
    if says("is_frozen_spte"):
        return answer("frozen", "frozen: its thread has taken it out, and will write it again")
    if says("is_mmio_spte"):
        generation = says("get_mmio_spte_generation")
        return answer("mmio", f"emulated MMIO at gpa {value & _MASK:#x} (without the mask against L1TF), generation {generation}", "mmio")
    empty = value == says("nonpresent_value")
    return answer("absent", "empty" if empty else f"not MMU-present ({place} is 0), not frozen, no MMIO: no value of KVM's")


def _writable(value: int) -> str:
    match value >> 57 & 3, value >> 1 & 1:
        case (3, 1):
            return "writable"
        case (3, 0):
            return "write-protected, to be made writable again without a lock"
        case (1, 0):
            return "write-protected for a shadowed guest table"
        case (0, 0):
            return "read-only in the host"
        case _:
            return "with W, MMU-writable and host-writable as KVM never has them"


def _size(level: int) -> str:
    return {1: "4K", 2: "2M", 3: "1G"}.get(level, f"2^{page_shift(level)} bytes")


def _refusal(rule: Rule) -> Refusal:
    return Refusal(_bits(max(rule.bits), min(rule.bits)), rule.sentence, rule.source)


def _fields(known: Sequence[Field], value: int, where: Sequence[Where]) -> tuple[Bits, ...]:
    shown = sorted((field for field in known if field.where in where), key=lambda field: field.low)
    return tuple(Bits(_bits(f.high, f.low), f.name, f.said(value), f.source) for f in shown)


def _bits(high: int, low: int) -> str:
    return str(low) if high == low else f"{high}:{low}"


def lines(entry: Entry) -> Iterator[str]:
    """An entry as text."""
    yield entry.value
    for each in entry.readings:
        yield f"  {each.reader}, at level {each.level}: {each.sentence}"
        if each.fields:
            yield "    " + ", ".join(f"{f.name} [{f.bits}] {f.value}" for f in each.fields)
        for rule in each.refused_by:
            yield f"    refused by bits {rule.bits}: {rule.sentence} ({rule.source})"
