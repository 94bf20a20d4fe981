"""Reads what the recorded machine sends: the text of its trace buffer, and its console."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..core.errors import InputError
from .entries import LARGEST, frames, is_leaf, is_table, pfn_of
from .format import BEFORE, KINDS, Event, Header, Slot, Trace

_LINE = re.compile(r"^\s*\S.*?-(\d+)\s+\[(\d+)\]\s+\S{5}\s+(\d+): (\w+): ?(.*)$")
_VALUE = re.compile(r"(\w+)=(?:0x([0-9a-f]+)|(-?\d+))(?!\w)")
_SPTE = re.compile(r"as id (\d+) gfn ([0-9a-f]+) level (\d+) old_spte ([0-9a-f]+) new_spte ([0-9a-f]+)")
_FAST = re.compile(r"vcpu (\d+) .*?(?:gva|cr2_or_gpa|gpa) (?:0x)?([0-9a-f]+) .*old (?:0x)?([0-9a-f]+) new (?:0x)?([0-9a-f]+) .*fixed 1")
_FAULT = re.compile(r"vcpu (\d+) .*address 0x([0-9a-f]+)")
_SLOT = re.compile(r"VMM slot gfn (\S+) pages (\d+) hva (\S+) vcpus (\d+)")
_LOCKS = frozenset("rlock runlock wlock wunlock".split())
_GOT = {"rlocked": "rlock", "wlocked": "wlock"}
PHYSICAL = 0xFFFF888000000000
"""Where the kernel maps all memory; the machine is started with nokaslr."""


def recorded(text: str, console: str, *, seed: int, rounds: int) -> Trace:
    """The trace of a run.

    Args:
        text: the trace buffer, with the clock `counter`.
        console: what the machine printed.

    Raises:
        InputError: they do not say what is needed.
    """
    slot, release = _SLOT.search(console), re.search(r"RECORD release (\S+)", console)
    if slot is None or release is None:
        raise InputError("the machine did not say which kernel and memslot it has")
    lost = sum(map(int, re.findall(r"(?:overrun|dropped events): (\d+)", console)))
    raw = list(_raw(text))
    lock = _mmu_lock(raw)
    kept = [each for each in raw if each[4].pop("lock", lock) == lock]
    events = tuple(_timed(list(_useful(_paired(kept, {(e[0], e[2]) for e in raw} - {(e[0], e[2]) for e in kept})))))
    there = re.search(r"RECORD probes (.*)", console)
    absent = sorted(set(re.findall(r"RECORD (?:unknown|refused) (?:[rp]:)?(\w+)", console)) - set(there[1].split() if there else ()))
    version = ".".join(release[1].split(".")[:2])
    where = Slot(int(slot[1], 0), int(slot[2]), int(slot[3], 0))
    return Trace(Header(1, release[1], version, seed, rounds, int(slot[4]), where, lost, tuple(absent)), events)


Raw = tuple[int, int, int, str, dict[str, int]]
"""Time, CPU, task, kind, values."""


def _raw(text: str) -> Iterator[Raw]:
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        task, cpu, time, kind, rest = int(found[1]), int(found[2]), int(found[3]), found[4], found[5]
        for name, values in _meant(kind, rest):
            yield time, cpu, task, name, values


def _meant(kind: str, rest: str) -> Iterator[tuple[str, dict[str, int]]]:
    values = {name: int(plain) if plain else int(high, 16) for name, high, plain in _VALUE.findall(rest)}
    match kind:
        case "kvm_tdp_mmu_spte_changed":
            found = _SPTE.search(rest)
            if found:
                as_id, gfn, level, old, new = (int(x, 16) for x in found.groups())
                yield "spte", {"as_id": as_id, "gfn": gfn, "level": level, "old": old, "new": new}
        case "fast_page_fault":
            found = _FAST.search(rest)
            if found:
                yield "fast", {"vcpu": int(found[1]), "gfn": int(found[2], 16) >> 12, "old": int(found[3], 16), "new": int(found[4], 16)}
        case "kvm_page_fault":
            found = _FAULT.search(rest)
            if found:
                yield "page_fault", {"vcpu": int(found[1]), "gfn": int(found[2], 16) >> 12}
        case "kvm_entry" | "kvm_exit":
            found = re.search(r"vcpu (\d+)", rest)
            if found:
                yield ("enter" if kind == "kvm_entry" else "exit"), {"vcpu": int(found[1])}
        case "mm_page_free" | "mm_page_free_batched":
            if "pfn" in values:
                yield "freed", {"pfn": values["pfn"], "order": values.get("order", 0)}
        case "table_freed":
            yield kind, {"pfn": (values["spt"] - PHYSICAL) >> 12}
        case _ if kind in _LOCKS:
            yield kind, {"lock": values["lock"]}
        case _ if kind in _GOT:
            yield kind, {}
        case _ if kind in KINDS:
            yield kind, {name: values[name] for name in KINDS[kind]}
        case _:
            pass


def _mmu_lock(raw: list[Raw]) -> int:
    """The lock under which KVM unmaps: kvm->mmu_lock."""
    held: dict[int, int] = {}
    found: set[int] = set()
    for _, _, task, kind, values in raw:
        if kind == "wlock":
            held[task] = values["lock"]
        elif kind == "unmap" and task in held:
            found.add(held[task])
    if len(found) != 1:
        raise InputError(f"{len(found)} locks are held where KVM unmaps, not one: there was no invalidation, or more than one VM")
    return found.pop()


def _paired(kept: list[Raw], dropped: set[tuple[int, int]]) -> Iterator[Raw]:
    """Without what belongs to another lock: a lock that was got is the one that the task asked for last."""
    asked: dict[int, tuple[int, str]] = {}
    others = sorted(dropped)
    last_other: dict[int, int] = {}
    at = 0
    for time, cpu, task, kind, values in kept:
        while at < len(others) and others[at][0] < time:
            last_other[others[at][1]] = others[at][0]
            at += 1
        if kind in _LOCKS:
            asked[task] = time, kind
        if kind in _GOT and (task not in asked or asked[task][1] != _GOT[kind] or last_other.get(task, -1) > asked[task][0]):
            continue
        yield time, cpu, task, kind, values


def _useful(events: Iterator[Raw]) -> Iterator[Raw]:
    """Without frees of frames that no entry ever held."""
    known = list(events)
    held: set[int] = set()
    for *_, kind, values in known:
        for entry in (values["old"], values["new"]) if kind == "spte" else ():
            if is_leaf(entry, values["level"]) and values["level"] <= LARGEST:
                held.update(frames(entry, values["level"]))
            elif is_table(entry, values["level"]):
                held.add(pfn_of(entry))
    for event in known:
        values = event[4]
        if event[3] == "freed" and not any(pfn in held for pfn in range(values["pfn"], values["pfn"] + (1 << values["order"]))):
            continue
        yield event


def _timed(raw: list[Raw]) -> Iterator[Event]:
    """Each with the interval in which what it tells happened.

    What RCU calls runs between two events of its CPU, whichever task that is in.
    """
    after: dict[tuple[str, int], int] = {}
    ends = [0] * len(raw)
    last = raw[-1][0] + 1 if raw else 0
    for number in range(len(raw) - 1, -1, -1):
        time, cpu, task, kind, _ = raw[number]
        ends[number] = time
        if kind in BEFORE:
            ends[number] = after.get(("cpu", cpu) if kind == "table_freed" else ("task", task), last)
        after["task", task] = after["cpu", cpu] = time
    begun: dict[int, int] = {}
    for number, (time, cpu, task, kind, values) in enumerate(raw):
        begin = time if kind in BEFORE else begun.get(task, 0)
        begun[task] = time
        yield Event(begin, ends[number], cpu, task, kind, values)
