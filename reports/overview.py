"""A run, arranged as every form of its report tells it: the matrix, what is violated, what is open, what is taken for granted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Literal

from ..checker.every_size.induction import EVERY_SIZE
from ..core.verdict import ReasonKind
from ..counterexamples.command import renamed
from ..counterexamples.forms.text import text
from ..counterexamples.story import story
from ..model.change.account import Fate
from ..properties import REGISTRY
from ..runner.asking.results import Change, Document, Result, RoleSteps
from ..runner.asking.traces import Circle, StuckStates
from ..runner.telling.answers import expectation_text, kind_text, verdict_text, waiver_lines, waivers_text
from ..runner.telling.causes import Cause, causes
from .stored import Key, Left, Stored, key_of

Tone = Literal["good", "known", "bad", "open"]
"""How an answer is taken: it holds; violated as its scenario expects; violated; nobody knows."""
FATES: tuple[Fate, ...] = ("reached", "unreachable", "erased", "outside", "undecided")


@dataclass(frozen=True)
class Cell:
    """One answer.

    Args:
        short: the verdict in two or three words, with its bound.
        full: the verdict as the command line tells it.
        note: what it has to do with what was expected, or with the change.
        anchor: where in a page its details stand.
        certificate: the file of its certificate, if it was left.
    """

    record: Result
    tone: Tone
    short: str
    full: str
    note: str
    anchor: str
    certificate: str = ""


@dataclass(frozen=True)
class Span:
    """Neighbouring patches of a series with the same answer, by their numbers (from 1)."""

    first: int
    last: int
    cells: tuple[Cell, ...]

    @property
    def cell(self) -> Cell:
        return self.cells[0]

    @property
    def seconds(self) -> float:
        return sum(c.record.seconds for c in self.cells)

    @property
    def numbers(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


@dataclass(frozen=True)
class Bugs:
    """Known bugs that break one property: how many are found again, of how many, and which items are not as they should be."""

    prop: str
    found: int
    known: int
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class Violation:
    """One way to break a property, with all the scenarios and patches in which it is the same run.

    Args:
        cell: the first answer that it stands for; `others` are the rest of them.
        sentences: what is false at its end.
        told: the whole counterexample as text, or its plain steps.
    """

    cell: Cell
    others: tuple[Cell, ...]
    story: str
    sentences: tuple[str, ...]
    told: str
    left: Left | None


@dataclass(frozen=True)
class Open:
    """Questions that have the same reason for being without an answer."""

    reason: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Patch:
    """A change of the run: what became of its lines, and what it does to the answers."""

    number: int
    change: Change
    introduced: tuple[Cell, ...]
    fixed: tuple[Cell, ...]
    preexisting: tuple[Cell, ...]

    @property
    def fates(self) -> dict[Fate, int]:
        counts = {fate: sum(line.fate == fate for line in self.change.lines) for fate in FATES}
        return {fate: number for fate, number in counts.items() if number}


@dataclass(frozen=True)
class Ground:
    """What stands under the answers of one scenario, after the last patch.

    Args:
        assumptions: those that not every scenario makes.
        never: the lines of each role that no run executed.
    """

    scenario: str
    anchor: str
    record: Result
    assumptions: tuple[str, ...]
    steps: Mapping[str, RoleSteps]

    @property
    def deadlock(self) -> str:
        """Whether threads can get stuck there, and where."""
        said = self.record.deadlock
        if said.free is None:
            return "not every state was visited, so nobody can say"
        if said.free:
            return "none: from every state some thread can go on, or all are at their end"
        return "; ".join(_rest(stuck) for stuck in said.stuck)

    @property
    def livelock(self) -> str:
        """Whether threads can go round for ever there, and where."""
        said = self.record.livelock
        if said.free is None:
            return "not every state was visited, so nobody can say" if self.record.deadlock.free is None else "nobody can say"
        if said.free:
            return "none: nobody goes round for ever while all who can go on do"
        return "; ".join(_round(circle) for circle in said.circles)

    @property
    def never(self) -> int:
        return sum(len(s.never) for s in self.steps.values())

    @property
    def lines(self) -> int:
        return self.never + sum(len(s.reached) for s in self.steps.values())


class Overview:
    """Everything that a report of one run says, and in which order."""

    def __init__(self, stored: Stored) -> None:
        self.document: Document = stored.document
        self._stored = stored
        records = stored.document.results
        anchors = _apart("a-" + _id(".".join(filter(None, key_of(r)))) for r in records)
        self.cells: dict[Key, Cell] = {
            key_of(r): _cell(r, anchor, stored.certificates.get(key_of(r), "")) for r, anchor in zip(records, anchors, strict=True)
        }

    # What was asked

    @cached_property
    def properties(self) -> tuple[str, ...]:
        """Those that were asked, in the order in which the tool lists them."""
        asked = dict.fromkeys(r.property for r in self.document.results)
        known = [name for name in REGISTRY if name in asked]
        return tuple(dict.fromkeys((*known, *asked)))

    @cached_property
    def scenarios(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(r.scenario for r in self.document.results))

    @cached_property
    def anchors(self) -> dict[str, str]:
        """Where in a page each scenario is told."""
        return dict(zip(self.scenarios, _apart("s-" + _id(s) for s in self.scenarios), strict=True))

    @cached_property
    def changes(self) -> tuple[str | None, ...]:
        """The patches in their order; None alone where the code was checked as it is."""
        named = dict.fromkeys([*(r.change for r in self.document.results), *(c.name for c in self.document.changes)])
        order = [c.name for c in self.document.changes]
        return tuple(sorted(named, key=lambda n: order.index(n) if n in order else len(order)))

    @cached_property
    def kernels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(r.kernel for r in self.document.results))

    @cached_property
    def subject(self) -> str:
        """What was checked, in a few words."""
        named = [c for c in self.changes if c is not None]
        if len(named) > 1:
            return f"{len(named)} patches"
        if named:
            return named[0]
        return "The shipped kernel C" if self.kernels == ("shipped",) else ", ".join(self.kernels) or "nothing"

    @staticmethod
    def sentence(prop: str) -> str:
        """What a property promises."""
        return REGISTRY[prop].prop.sentence if prop in REGISTRY else ""

    # The matrix

    def spans(self, scenario: str, prop: str) -> tuple[Span, ...]:
        """The answers to one question, patch by patch, equal neighbours together; empty where it was not asked."""
        asked = [(n, c) for n, change in enumerate(self.changes, 1) if (c := self.cells.get((scenario, prop, change))) is not None]
        result = []
        for _, group in groupby(asked, lambda x: (x[1].tone, x[1].short)):
            same = list(group)
            result.append(Span(same[0][0], same[-1][0], tuple(c for _, c in same)))
        return tuple(result)

    def last(self, scenario: str, prop: str) -> Cell | None:
        """The answer after the last patch."""
        return next((c for change in reversed(self.changes) if (c := self.cells.get((scenario, prop, change))) is not None), None)

    def calm(self, scenario: str) -> bool:
        """Whether every answer of a scenario is as good as can be."""
        return all(c.tone == "good" for (s, _, _), c in self.cells.items() if s == scenario)

    @cached_property
    def tones(self) -> dict[Tone, int]:
        order: tuple[Tone, ...] = ("bad", "open", "known", "good")
        counts = {tone: sum(c.tone == tone for c in self.cells.values()) for tone in order}
        return {tone: number for tone, number in counts.items() if number}

    @cached_property
    def headline(self) -> str:
        """The run in one sentence; what is worst comes first, and nothing is called good that is not."""
        words = {
            "bad": ("is an unexpected violation", "are unexpected violations"),
            "open": ("is unknown", "are unknown"),
            "known": ("is a violation that its scenario expects", "are violations that their scenarios expect"),
            "good": ("holds as far as asked", "hold as far as asked"),
        }
        parts = [f"{n} {words[tone][n != 1]}" for tone, n in self.tones.items()]
        if not parts:
            return "Nothing was asked."
        number, _, rest = parts[0].partition(" ")
        total = len(self.cells)
        return "; ".join([f"{number} of {total} answers {rest}" if total > 1 else f"The one answer {rest}", *parts[1:]]) + "."

    @cached_property
    def certified(self) -> bool:
        """Whether any answer has a certificate."""
        return any(c.record.certificate or c.certificate for c in self.cells.values())

    @cached_property
    def seconds(self) -> float:
        return sum(r.seconds for r in self.document.results)

    # What is wrong, what is open

    @cached_property
    def violations(self) -> tuple[Violation, ...]:
        """Each distinct run once: what is news first, then what was expected."""
        groups: dict[object, list[Cell]] = {}
        for change in self.changes:
            for (_, _, named), cell in self.cells.items():
                if named == change and cell.record.verdict == "violated":
                    groups.setdefault(_signature(cell.record), []).append(cell)
        found = [self._violation(cells) for cells in groups.values()]
        order = self.properties.index
        return tuple(sorted(found, key=lambda v: (v.cell.tone == "known", self._number(v.cell), order(v.cell.record.property))))

    @cached_property
    def causes(self) -> tuple[Cause, ...]:
        """The violations that no scenario expects, by cause."""
        return causes(self.document, {key: left.cex for key, left in self._stored.left.items() if left.cex is not None})

    def _number(self, cell: Cell) -> int:
        return self.changes.index(cell.record.change)

    def _violation(self, cells: Sequence[Cell]) -> Violation:
        cell = cells[0]
        left = self._stored.left.get(key_of(cell.record))
        others = tuple(cells[1:])
        if left is None or left.cex is None:
            return Violation(cell, others, "", (), _steps(cell.record), left)
        cex = left.cex
        told = renamed(text(cex), cex, left.links["json"])
        return Violation(cell, others, story(cex), tuple(i.sentence for i in cex.violation), told, left)

    @cached_property
    def bugs(self) -> tuple[Bugs, ...]:
        """Known bugs by the property that they break, if the museum was asked: what this checker finds again, and what it misses."""
        known = self._stored.bugs
        names = dict.fromkeys((*self.properties, *(item.property for item in known)))
        groups = {name: [item for item in known if item.property == name] for name in names}
        return tuple(
            Bugs(name, sum(i.got == "violated" for i in items), len(items), tuple(i.name for i in items if not i.ok))
            for name, items in groups.items()
            if items
        )

    @property
    def bugs_found(self) -> str:
        """All of them in one sentence."""
        found, known = sum(b.found for b in self.bugs), sum(b.known for b in self.bugs)
        wrong = [name for b in self.bugs for name in b.wrong]
        twins = f"; not as they should be: {', '.join(wrong)}" if wrong else ", and no good twin is flagged"
        return f"{found} of {known} known bugs of the museum are found again{twins}."

    @cached_property
    def suspended(self) -> tuple[Cell, ...]:
        """Questions that nobody asks for now; each has its reason."""
        return tuple(c for c in self.cells.values() if _is_suspended(c.record))

    @cached_property
    def unknown(self) -> tuple[Open, ...]:
        """What has no answer, by its reason."""
        groups: dict[str, list[Cell]] = {}
        for cell in self.cells.values():
            if cell.tone == "open" and not _is_suspended(cell.record):
                groups.setdefault(cell.record.reason or "; ".join(waiver_lines(cell.record)) or "no reason was left", []).append(cell)
        return tuple(Open(reason, tuple(cells)) for reason, cells in groups.items())

    @cached_property
    def proofs(self) -> dict[str, tuple[Cell, ...]]:
        """What is proved, by what is said of the proofs: for which sizes, and with which certificate."""
        found: dict[str, list[Cell]] = {}
        for cell in self.cells.values():
            if cell.record.verdict == "proved":
                record = cell.record
                said = [f"for {record.sizes}" if record.sizes else "", f"certificate {record.certificate}" if record.certificate else ""]
                found.setdefault(", ".join(s for s in said if s) or "without a certificate", []).append(cell)
        return {said: tuple(cells) for said, cells in found.items()}

    @cached_property
    def shallow(self) -> tuple[Cell, ...]:
        """What holds only to a depth at which not every goal is reached."""
        held = (c for c in self.cells.values() if c.record.verdict == "holds_up_to")
        return tuple(c for c in held if any(d is None or d > c.record.asked for d in c.record.goals.values()))

    # Changes

    @cached_property
    def patches(self) -> tuple[Patch, ...]:
        result = []
        for number, change in enumerate(self.document.changes, 1):
            own = [c for c in self.cells.values() if c.record.change == change.name]
            labelled = {w: tuple(c for c in own if c.record.label == w) for w in ("introduced", "fixed", "pre-existing")}
            result.append(Patch(number, change, labelled["introduced"], labelled["fixed"], labelled["pre-existing"]))
        return tuple(result)

    # What is taken for granted

    @cached_property
    def assumptions(self) -> tuple[str, ...]:
        """Those that every scenario makes."""
        made = [set(r.assumptions) for r in self.document.results if r.assumptions]  # one without has no model
        return tuple(a for a in dict.fromkeys(self._assumed()) if all(a in m for m in made))

    def _assumed(self) -> Iterator[str]:
        for record in self.document.results:
            yield from record.assumptions

    @cached_property
    def not_modelled(self) -> tuple[tuple[str, str], ...]:
        """What has no part in the model, and in which scenarios; '' for all of them."""
        absent: dict[str, list[str]] = {}
        for record in self.document.results:
            for what in record.absent:
                names = absent.setdefault(what, [])
                if record.scenario not in names:
                    names.append(record.scenario)
        everywhere = len(self.scenarios)
        return tuple((what, "" if len(names) == everywhere else ", ".join(names)) for what, names in absent.items())

    @cached_property
    def grounds(self) -> tuple[Ground, ...]:
        asked: dict[tuple[str, str | None], list[Cell]] = {}
        for (scenario, _, change), cell in self.cells.items():
            asked.setdefault((scenario, change), []).append(cell)
        result = []
        for scenario in self.scenarios:
            mine = [cell for change in self.changes for cell in asked.get((scenario, change), ())]
            told = next((c for c in reversed(mine) if c.record.assumptions), mine[-1])
            record = told.record
            own = tuple(a for a in record.assumptions if a not in self.assumptions)
            result.append(Ground(scenario, self.anchors[scenario], record, own, record.steps))
        return tuple(result)


def _rest(stuck: StuckStates) -> str:
    places = ", ".join(f"{name} at {place}" for name, place in stuck.threads.items())
    declared = ", as the scenario declares" if stuck.declared else ""
    return f"{stuck.states} state{'' if stuck.states == 1 else 's'}{declared}: {places}"


def _round(circle: Circle) -> str:
    declared = ", as the scenario declares" if circle.declared else ""
    return f"{circle.states} state{'' if circle.states == 1 else 's'}{declared}: {circle.words}"


def _cell(record: Result, anchor: str, certificate: str) -> Cell:
    return Cell(record, tone_of(record), short_text(record), verdict_text(record), _note(record), anchor, certificate)


def tone_of(record: Result) -> Tone:
    """How an answer is taken."""
    match record.verdict:
        case "proved" | "holds_up_to":
            return "good"
        case "waived":
            return "open"
        case "violated":
            return "known" if record.as_expected else "bad"
        case "unknown" | "vacuous":
            return "open"


def short_text(record: Result) -> str:
    """The verdict for a place where there is little room; a bound is never left out."""
    match record.verdict:
        case "proved":
            return "proved"
        case "holds_up_to":
            return f"holds to {record.depth}"
        case "violated":
            return f"violated in {record.depth}"
        case "waived":
            return f"leaning on {waivers_text(record)}"
        case "vacuous" | "unknown":
            return f"unknown: {kind_text(record)}"


def _note(record: Result) -> str:
    said = expectation_text(record)
    whole = f"all {record.states} states of this size" if record.states is not None and record.verdict == "holds_up_to" else ""
    sizes = f"for {record.sizes}" if record.sizes not in (None, EVERY_SIZE) else ""  # the verdict says `every size` itself
    return "; ".join(part for part in (said, whole, sizes, "from an earlier run" if record.cached else "") if part)


def _is_suspended(record: Result) -> bool:
    return record.kind is ReasonKind.SUSPENDED


def _signature(record: Result) -> object:
    """Violations with one signature are one run, whatever patch or scenario it happens in: the same actors do the same."""
    steps = tuple((s.actor, s.text) for s in record.trace or ())
    return record.property, record.as_expected, steps or key_of(record)


def _steps(record: Result) -> str:
    return "\n".join(f"{n:3} {s.actor:12} {s.text}" for n, s in enumerate(record.trace or (), 1)) + "\n"


def _id(words: str) -> str:
    """Words as the name of a place in a page."""
    return "".join(c if (c.isalnum() and c.isascii()) or c in "-_" else "-" for c in words)


def _apart(places: Iterable[str]) -> list[str]:
    """The same names, numbered from the second one on that is alike."""
    seen: dict[str, int] = {}
    result = []
    for place in places:
        seen[place] = seen.get(place, 0) + 1
        result.append(place if seen[place] == 1 else f"{place}~{seen[place]}")
    return result


def names(cells: Iterable[Cell]) -> str:
    """The questions of some answers, each property once."""
    where: dict[str, dict[str, None]] = {}
    for cell in cells:
        where.setdefault(cell.record.property, {})[cell.record.scenario] = None
    return "; ".join(f"{prop} in {', '.join(scenarios)}" for prop, scenarios in where.items())


def also(violation: Violation) -> str:
    """Where else the same run goes through; '' if nowhere."""
    first = violation.cell.record
    scenarios = dict.fromkeys(c.record.scenario for c in violation.others if c.record.scenario != first.scenario)
    changes = dict.fromkeys(c.record.change for c in violation.others if c.record.change not in (first.change, None))
    parts = [f"in {', '.join(scenarios)}"] if scenarios else []
    parts += [f"with {len(changes)} later patch{'es' if len(changes) > 1 else ''}"] if changes else []
    return f"The same run goes through {' and '.join(parts)}, too." if parts else ""
