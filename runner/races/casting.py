"""Who is who: which flow each column of a diagram is, by its heading and by what stands below it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from ...core.errors import InputError
from ...model.flows import APART, EVERY_START, FLOWS, Flow, cell
from ...model.scenario import Scenario
from ...model.system import Code
from ..inputs.matrix import asked_of_a_cell, reached
from .diagram import Diagram
from .reading import Meaning, Unread, flows_of_heading, parted, read_entry

MOST = 3
"""At most so many columns are of software: with more there are too many states."""
_PRIVATE = "private"
"""The start with two roots that nobody shares: it is tried where no other is, or where the text speaks of such."""
_SEVERAL = re.compile(
    r"\broots\b|\broot \d|\b(another|other|each|both|every|second) (\w+ )?root|\bprivate\b|\bnot (exported|shared)\b", re.I
)
_USUAL = ("fault", "notifier", "io_fault")
"""What a column is that says too little of itself."""
_MACHINE = re.compile(r"^\W*(iommu|device|dma|hardware|rcu|dev)\b", re.I)


@dataclass(frozen=True)
class Column:
    """A column, and who it is.

    Args:
        role: of its thread; empty where it is the machine's.
        entry: the function that its thread runs.
        thread: its number; None where it is the machine's.
    """

    heading: str
    role: str = ""
    entry: str = ""
    thread: int | None = None


@dataclass(frozen=True)
class Cast:
    """The scenarios in which a race is looked for, and who each column is there."""

    columns: tuple[Column, ...]
    scenarios: tuple[Scenario, ...]


def read_entries(diagram: Diagram, code: Code) -> tuple[Diagram, list[Meaning | Unread]]:
    """The diagram with each entry by itself that says several things, and what each of its entries means in some kernel C."""
    library = code.library
    operations = {*library.intrinsics, *(each.name for each in (*library.fields.values(), *library.stores.values()))}
    if diagram.scenario:
        # In our own form a step that was merged stands at its first line, whatever of it is told.
        read = [(entry, read_entry(entry, code.functions.keys(), operations)) for entry in diagram.entries]
        read = [(entry, replace(m, source="") if isinstance(m, Meaning) and m.says else m) for entry, m in read]
    else:
        read = [each for entry in diagram.entries for each in parted(entry, code.functions.keys(), operations)]
    return replace(diagram, entries=tuple(entry for entry, _ in read)), [meaning for _, meaning in read]


def cast(diagram: Diagram, meanings: Sequence[Meaning | Unread], code: Code, scenario: Scenario | None, said: Mapping[str, str]) -> Cast:
    """Give each column a flow, or a thread of the scenario that was named.

    Args:
        said: the flows (or roles) of columns, by their headings, where the user says so.

    Raises:
        InputError: there are too many columns, one that was named is none, or the flows cannot run side by side.
    """
    for name in said:
        if not any(_is_named(name, heading) for heading in diagram.headings):
            raise InputError(f"--column {name}={said[name]}: there is no such column; there are {', '.join(diagram.headings)}")
    if diagram.scenario and scenario is not None:  # our own form: what is no thread is a part of the machine
        names = {each.role for each in scenario.thread}
        software = [n for n, heading in enumerate(diagram.headings) if heading.rstrip("0123456789 ") in names]
    else:
        software = [n for n, heading in enumerate(diagram.headings) if not _is_machine(n, heading, diagram, meanings)]
    if not software:
        raise InputError("no column is of software; name the CPU, thread or flow above each")
    wishes = {n: next((flow for name, flow in said.items() if _is_named(name, diagram.headings[n])), "") for n in software}
    if scenario is not None:
        return _in_scenario(diagram, meanings, code, scenario, software, wishes)
    if len(software) > MOST:
        raise InputError(f"{len(software)} columns are of software; at most {MOST} can be run side by side")
    roles = {flow.role: flow for flow in FLOWS}
    for wish in wishes.values():
        if wish and wish not in roles:
            raise InputError(f"there is no flow {wish!r}; there are {', '.join(roles)}")
    scores = {n: {flow.role: _score(n, flow.role, flow.entry, diagram, meanings, code, wishes[n]) for flow in FLOWS} for n in software}
    usual = (*_USUAL, *(role for role in roles if role not in _USUAL))
    likely = {n: sorted(usual, key=lambda role: -own[role])[:6] for n, own in scores.items()}
    chosen = max(
        (each for each in product(*(likely[n] for n in software)) if all(each.count(role) <= 2 for role in each)),
        key=lambda each: sum(scores[n][role] for n, role in zip(software, each, strict=True)) - (len(each) - len(set(each))),
    )
    flows = tuple(sorted((roles[role] for role in chosen), key=FLOWS.index))
    for one in {frozenset((a.role, b.role)) for a in flows for b in flows} & APART.keys():
        raise InputError(f"{' and '.join(sorted(one))} cannot run side by side: {APART[one]}")
    several = any(_SEVERAL.search(entry.text) for entry in diagram.entries)
    shared = all(flow.shared for flow in flows)
    scenarios = tuple(
        cell(flows, start, asked_of_a_cell())
        for start in EVERY_START
        if all(flow.private if start == _PRIVATE else flow.shared for flow in flows) and (start != _PRIVATE or several or not shared)
    )
    if not scenarios:
        raise InputError(f"{', '.join(chosen)} have no start in common; see `tdpcheck list flows`")
    return Cast(_columns(diagram, dict(zip(software, chosen, strict=True)), scenarios[0], flows), scenarios)


def _columns(diagram: Diagram, roles: Mapping[int, str], scenario: Scenario, flows: Sequence[Flow]) -> tuple[Column, ...]:
    numbers = [(each.role, each.entry) for each in scenario.thread for _ in range(each.count)]
    entries = {flow.role: flow.entry for flow in flows}
    free = list(range(len(numbers)))
    found = []
    for n, heading in enumerate(diagram.headings):
        if n not in roles:
            found.append(Column(heading))
            continue
        entry = entries.get(roles[n], "")
        thread = next(t for t in free if (numbers[t][1] == entry if entry else numbers[t][0] == roles[n]))
        free.remove(thread)
        found.append(Column(heading, *numbers[thread], thread))
    return tuple(found)


def _in_scenario(
    diagram: Diagram,
    meanings: Sequence[Meaning | Unread],
    code: Code,
    scenario: Scenario,
    software: Sequence[int],
    wishes: Mapping[int, str],
) -> Cast:
    threads = [each for each in scenario.thread for _ in range(each.count)]
    if len(software) > len(threads):
        there = ", ".join(each.role for each in threads)
        raise InputError(f"{len(software)} columns are of software, and scenario {scenario.name} has {len(threads)} threads ({there})")
    for wish in wishes.values():
        if wish and wish not in {each.role for each in threads}:
            raise InputError(f"scenario {scenario.name} has no thread {wish!r}; there are {', '.join(each.role for each in threads)}")
    free = list(range(len(threads)))
    roles: dict[int, str] = {}
    for n in software:
        best = max(free, key=lambda t: _score(n, threads[t].role, threads[t].entry, diagram, meanings, code, wishes[n]))
        free.remove(best)
        roles[n] = threads[best].role
    return Cast(_columns(diagram, roles, scenario, ()), (scenario,))


def _is_named(name: str, heading: str) -> bool:
    return heading.lower().startswith(name.lower())


def _is_machine(number: int, heading: str, diagram: Diagram, meanings: Sequence[Meaning | Unread]) -> bool:
    own = [m for e, m in zip(diagram.entries, meanings, strict=True) if e.column == number and isinstance(m, Meaning)]
    return bool(_MACHINE.search(heading)) and not flows_of_heading(heading) and all(m.actions and not m.inside for m in own)


def _score(number: int, role: str, entry: str, diagram: Diagram, meanings: Sequence[Meaning | Unread], code: Code, wish: str) -> int:
    """How well a flow fits a column."""
    heading = diagram.headings[number]
    flows = flows_of_heading(heading)
    score = 1000 if wish == role else 0
    score += 20 if heading.lower() == role.lower() else 0
    score += 6 - 2 * flows.index(role) if role in flows else -500 if flows else 0  # who draws it knows
    known = frozenset(reached(entry, code.functions))
    for each, meaning in zip(diagram.entries, meanings, strict=True):
        if each.column == number and isinstance(meaning, Meaning):
            if entry in meaning.inside:
                score += 8
            elif meaning.names:
                score += 2 if not known.isdisjoint(meaning.names) else 0 if meaning.actions or "=" in meaning.names[0] else -6
    return score


__all__ = ["Cast", "Column", "cast", "read_entries"]
