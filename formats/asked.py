"""The questions of this room by name, and what was found about them, as data and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Literal

import msgspec

from ..core.alike import alike, did_you_mean
from ..core.errors import InputError
from .agreement import MACHINES, Case, blamed, cases, generation_bits, generation_places, question
from .entries import entries
from .questions import SECONDS, Asking, Clause, Question
from .ranges import CONTRACTS
from .written import LAYOUTS

_BEGINS = ("spte_format_agrees/", "mmio_generation/", "split_children/", "flush_covers/")
SHOWN = (
    "entry",
    "child",
    "index",
    "gfn",
    "gen",
    "new",
    "pfn",
    "pages",
    "page",
    "level_shift",
    "qi_iotlb_psi.address",
    "qi_iotlb_psi.mask",
    "qi_dev_iotlb.word",
)


class Found(msgspec.Struct, frozen=True):
    """What was found about one clause of one question.

    Args:
        question: its name; `clause` and `sentence` say what was claimed.
        answer: `refuted` with `values`, which stood plain evaluation; `proved` by the `solvers`; or `unknown` for a `reason`.
        assumption: what bounds a proof.
        values: names to numbers in hexadecimal.
        vacuous: it is proved because no value is such that the clause speaks of it.
        because: who refuses the value by which bits, or which bit has a second meaning.
    """

    question: str
    clause: str
    sentence: str
    answer: Literal["proved", "refuted", "unknown"]
    assumption: str
    source: str
    seconds: float
    values: Mapping[str, str] = {}
    because: tuple[str, ...] = ()
    solvers: tuple[str, ...] = ()
    reason: str | None = None
    vacuous: bool = False


class Answers(msgspec.Struct, frozen=True):
    """What `tdpcheck bits --json` prints.

    Args:
        generation_bits: how much of the memslots' generation an MMIO entry holds, by where SPTE_MMU_PRESENT stands.
        generation_places: the bits of the entry that hold it.
    """

    found: tuple[Found, ...]
    generation_bits: Mapping[str, int] = {}
    generation_places: Mapping[str, tuple[int, ...]] = {}


def names(machine: str | None = None) -> tuple[str, ...]:
    """The names of all questions; of the formats those of one kind of hardware, if one is given."""
    return (*(case.name for case in cases() if machine in (None, case.machine)), *_entries(), *CONTRACTS)


def chosen(wanted: Sequence[str], machine: str = "usual") -> tuple[str, ...]:
    """The questions whose names begin as one that is wanted; with none, all of the contracts, and the formats on one kind of hardware.

    Raises:
        InputError: nothing begins so.
    """
    if machine not in MACHINES:
        raise InputError(f"there is no machine {machine!r}; there are {', '.join(MACHINES)}")
    if not wanted:
        return names(machine)
    found: dict[str, None] = {}
    for start in wanted:
        # A full name says its hardware itself.
        met = [name for name in names() if name == start] or [n for n in names(machine) if f"{n}/".startswith(f"{start.rstrip('/')}/")]
        if not met:
            near = did_you_mean(alike(start, names()))
            raise InputError(f"there is no question {start!r}; they begin with {', '.join(_BEGINS)}; {near}".rstrip("; "))
        found |= dict.fromkeys(met)
    return tuple(found)


@cache
def _entries() -> Mapping[str, Question]:
    return {each.name: each for each in entries()}


def named(name: str) -> tuple[Question, Case | None]:
    """The question of a name, and its case if it is about formats."""
    if name in CONTRACTS:
        return CONTRACTS[name].question(), None
    if name in _entries():
        return _entries()[name], None
    case = next(case for case in cases() if case.name == name)
    return question(case), case


def answers(name: str, clauses: Sequence[str] = (), seconds: float = SECONDS) -> Iterator[Found]:
    """What is found about a question, clause by clause.

    Args:
        clauses: those that are asked; without any, all.
        seconds: for each solver and clause.

    Raises:
        InputError: the question has no such clause.
    """
    asked, case = named(name)
    known = [clause.name for clause in asked.clauses]
    for wanted in clauses:
        if wanted not in known:
            raise InputError(f"{name} has no clause {wanted!r}; it has {', '.join(known)}")
    asking = Asking(asked, seconds)
    for clause in asked.clauses:
        if not clauses or clause.name in clauses:
            yield _found(asking, clause, case)


def _found(asking: Asking, clause: Clause, case: Case | None) -> Found:
    finding = asking.finding(clause)
    return Found(
        question=finding.question,
        clause=finding.clause,
        sentence=finding.sentence,
        answer=finding.answer,
        assumption=asking.question.assumption,
        source=asking.question.source,
        seconds=finding.seconds,
        values={name: hex(number) for name, number in finding.values.items()},
        because=tuple(blamed(case, finding)) if case is not None and finding.values else (),
        solvers=finding.solvers,
        reason=finding.reason or None,
        vacuous=finding.vacuous,
    )


def costs() -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
    """What the place of SPTE_MMU_PRESENT leaves to the generation of MMIO entries: how many bits, and which."""
    return {layout: generation_bits(layout) for layout in LAYOUTS}, {layout: generation_places(layout) for layout in LAYOUTS}


def text(found: Found) -> str:
    """One answer on a few lines."""
    said = f"{found.answer:8} {found.question} {found.clause}: {found.sentence}"
    match found.answer:
        case "refuted":
            shown = ", ".join(f"{name} {found.values[name]}" for name in SHOWN if name in found.values)
            return "\n".join((said, f"         {shown}", *(f"         {line}" for line in found.because)))
        case "unknown":
            return f"{said}\n         {found.reason}"
        case "proved":
            return f"{said} (there is none)" if found.vacuous else said
