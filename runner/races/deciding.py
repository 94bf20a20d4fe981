"""Whether a claimed race can happen: a run that contains it and what it breaks, or what stands in its way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import permutations, product

from ...checker.clock import Clock, OutOfTime
from ...checker.states.ordered import Flags, Graph, Ordered, Rows, graph_of, least_core, only
from ...core.errors import InputError
from ...core.ground import negation
from ...core.system import Property
from ...core.trace import Trace
from ...core.verdict import Reason
from ...counterexamples.facts import start as at_start
from ...counterexamples.why.violations import Judged, false_instances
from ...model.machine.sorts import GFN, PT, ROOT
from ...model.scenario import Scenario
from ...model.system import Code, Model, build
from ..inputs.terms import property_names, property_of
from .answers import Answer, Line, Race
from .casting import Cast, cast, read_entries
from .diagram import Diagram, Entry
from .matching import Matcher, Things
from .obstacles import obstacles
from .reading import Meaning, Unread

_NAMED = re.compile(r"\b(roots?|tables?)\b", re.I)
_SEVERAL = r"\b{0}s\b|\b{0} \d|\b(another|other|each|both|every|second) (\w+ )?{0}"


@dataclass(frozen=True)
class _Searched:
    """One scenario, explored, with what each entry is there."""

    model: Model
    matcher: Matcher
    rows: Rows
    events: Mapping[int, Flags]
    begun: frozenset[int]
    next_one: Sequence[tuple[int, int]]

    def without(self, events: Set[int]) -> _Searched:
        """The same, not asked for these."""
        return replace(self, rows=only(self.rows, self.events.keys() - events))

    @property
    def graph(self) -> Graph:
        return self.matcher.graph

    def ordered(self, rows: Rows, clock: Clock, passing: Flags | None = None) -> Ordered:
        return Ordered(self.graph, self.events, rows, clock, passing, self.next_one)


def decide(
    diagram: Diagram,
    code: Code,
    scenario: Scenario | None = None,
    said: Mapping[str, str] | None = None,
    *,
    max_states: int = 400_000,
    timeout: float | None = None,
    looking: Callable[[str], None] | None = None,
) -> Race:
    """Look for a run that contains what a diagram says, in its order.

    Args:
        code: the kernel C that runs.
        scenario: where to look; without it, in the flows that the columns are, side by side, from every start.
        said: which flow (or thread) a column is, by its heading, where the user says so.
        timeout: seconds in all.
        looking: is told of each scenario before it is searched.

    Raises:
        InputError: the diagram cannot be given to threads.
    """
    clock = Clock(timeout)
    diagram, meanings = read_entries(diagram, code)
    who = cast(diagram, meanings, code, scenario, said or {})
    found: list[_Found] = []
    for each in who.scenarios:
        if looking is not None:
            looking(each.name)
        found.append(_in_one(diagram, meanings, who, each, code, max_states, clock))
        if found[-1].race.breaks:
            break
    best = min(found, key=_rank)
    if best.race.answer is Answer.IMPOSSIBLE:
        try:
            best = _impossible(found, best, clock)
        except OutOfTime as stop:
            best = _Found(replace(best.race, answer=Answer.UNKNOWN, reason=f"{stop.why}; it was not found by then"))
    counted = {name: number for each in found for name, number in each.race.scenarios.items()}
    return replace(best.race, scenarios=counted, seconds=clock.spent)


def _impossible(found: Sequence[_Found], best: _Found, clock: Clock) -> _Found:
    """What is said where no scenario has such a run: of lines that no step is, nothing; of the others, which exclude each other."""
    everywhere = [each for one in found for each in one.searched]
    nowhere = {number for number in everywhere[0].events if not any(each.events[number].any() for each in everywhere)}
    lines = tuple(
        replace(line, meant="", why="no step does this in the scenarios that were searched") if number in nowhere else line
        for number, line in enumerate(best.race.lines)
    )
    if nowhere:
        everywhere = [each.without(nowhere) for each in everywhere]
        if not everywhere[0].rows:
            return _Found(replace(best.race, answer=Answer.UNKNOWN, lines=lines, reason="of all its lines none is a step here"))
        again = min((_answer(each, _there(best.race, each, lines), clock) for each in everywhere), key=_rank)
        if again.race.answer is not Answer.IMPOSSIBLE:
            return again
        best = again
    core = least_core(lambda rows: any(each.ordered(rows, clock).last.possible for each in everywhere), everywhere[0].rows)
    nearest = max(everywhere, key=lambda each: _came(each, core, clock))
    race = replace(_there(best.race, nearest, lines), core=tuple(core), obstacle=_obstacle(nearest, core, clock))
    return replace(best, race=race)


def _there(race: Race, searched: _Searched, lines: tuple[Line, ...]) -> Race:
    return replace(race, lines=lines, scenario=searched.model.scenario.name)


def _came(searched: _Searched, core: Sequence[int], clock: Clock) -> int:
    """How many of some events come, in order."""
    return max(len(stage.done) for stage in searched.ordered(only(searched.rows, core), clock).stages if stage.possible)


@dataclass(frozen=True)
class _Found:
    """What came out in one scenario, which was searched with each meaning of the text's names.

    Args:
        came: how many events came, in order.
    """

    race: Race
    searched: tuple[_Searched, ...] = ()
    came: int = 0


def _rank(found: _Found) -> tuple[int, bool, int, int]:
    """The best first: a race that breaks something, a race, what is unknown, and of impossible ones that which came furthest."""
    answers = (Answer.POSSIBLE, Answer.UNKNOWN, Answer.IMPOSSIBLE)
    return answers.index(found.race.answer), not found.race.breaks, len(found.race.steps), -found.came


def _in_one(
    diagram: Diagram, meanings: Sequence[Meaning | Unread], who: Cast, scenario: Scenario, code: Code, max_states: int, clock: Clock
) -> _Found:
    lines = tuple(_line(entry, meaning) for entry, meaning in zip(diagram.entries, meanings, strict=True))
    model = build(scenario, code.at(scenario), merge=False)
    graph = graph_of(model.system, model.geometry, max_states=max_states, timeout=clock.left)
    if isinstance(graph, Reason):
        why = f"{scenario.name} could not be explored whole: {graph}"
        return _Found(Race(Answer.UNKNOWN, who.columns, scenario.name, {}, lines, reason=why))
    matcher = Matcher(model, graph)
    blank = Race(Answer.UNKNOWN, who.columns, scenario.name, {scenario.name: len(graph)}, lines)
    found: list[_Found] = []
    tried: list[_Searched] = []
    try:
        for things in _bindings(diagram, meanings, model):
            searched = _searched(diagram, meanings, who, model, matcher, things)
            if not searched.events:
                return _Found(replace(blank, reason="nothing in the diagram was understood"))
            tried.append(searched)
            found.append(_answer(searched, blank, clock))
            if found[-1].race.answer is Answer.POSSIBLE:
                break
    except OutOfTime as stop:
        return _Found(replace(blank, reason=f"{scenario.name}: {stop.why}"))
    return replace(min(found, key=_rank), searched=tuple(tried))


def _bindings(diagram: Diagram, meanings: Sequence[Meaning | Unread], model: Model) -> Iterator[Things]:
    """Which gfns of the model those of the text are: different ones differ. It means one root and one table, if it says no more."""
    names = tuple(dict.fromkeys(name for m in meanings if isinstance(m, Meaning) and not m.inside for name in m.gfns))
    number = model.geometry.sizes[GFN.name]
    if len(names) > number:
        raise InputError(f"the text speaks of {len(names)} gfns ({', '.join(names)}); {model.scenario.name} has {number}: say it of fewer")
    orders = sorted(permutations(range(number), len(names)), key=lambda each: sum(n != str(k) for n, k in zip(names, each, strict=True)))
    said = " ".join(entry.text for entry in diagram.entries)
    single = [(thing, model.geometry.sizes[sort.name]) for thing, sort in (("root", ROOT), ("table", PT))]
    single = [(thing, size) for thing, size in single if size > 1 and not re.search(_SEVERAL.format(thing), said, re.I)]
    for chosen in orders:
        for which in product(*(range(size) for _, size in single)):
            yield Things(dict(zip(names, chosen, strict=True)), dict(zip((thing for thing, _ in single), which, strict=True)))


def _searched(
    diagram: Diagram, meanings: Sequence[Meaning | Unread], who: Cast, model: Model, matcher: Matcher, things: Things
) -> _Searched:
    """The events of the diagram in one model."""
    events: dict[int, Flags] = {}
    begun = set()
    for number, (entry, meaning) in enumerate(zip(diagram.entries, meanings, strict=True)):
        if isinstance(meaning, Unread):
            continue
        thread = who.columns[entry.column].thread
        later = next((e for e in diagram.entries[number + 1 :] if e.column == entry.column), None)
        if later is not None and matcher.starts_inside(meaning, thread):
            begun.add(number)
            continue
        begins = entry.opens or (later is not None and later.indent > entry.indent)  # what it does stands below it
        own = things if _NAMED.search(entry.text) else replace(things, one={})
        events[number] = matcher.steps(meaning, thread, begins, own)
    return _Searched(model, matcher, only(list(diagram.rows()), events), events, frozenset(begun), list(_locks(diagram, meanings)))


def _locks(diagram: Diagram, meanings: Sequence[Meaning | Unread]) -> Iterator[tuple[int, int]]:
    """Entries that take a lock, each with the one below it in its column that lets it go."""
    taken: dict[tuple[int, str], int] = {}
    for number, (entry, meaning) in enumerate(zip(diagram.entries, meanings, strict=True)):
        for name in meaning.calls if isinstance(meaning, Meaning) else ():
            lock = name.replace("unlock", "lock")
            if "unlock" not in name and "lock" in name:
                taken[entry.column, lock] = number
            elif "unlock" in name and (entry.column, lock) in taken:
                yield taken.pop((entry.column, lock)), number


def _answer(searched: _Searched, blank: Race, clock: Clock) -> _Found:
    graph, model = searched.graph, searched.model
    ordered = searched.ordered(searched.rows, clock)
    if not ordered.last.possible:
        came = max(len(stage.done) for stage in ordered.stages if stage.possible)
        return _Found(replace(blank, answer=Answer.IMPOSSIBLE), (searched,), came)
    props = [property_of(model, name) for name in property_names() if name in model.scenario.expect]
    runs: list[tuple[Trace, dict[int, int], Property | None]] = []
    for prop in props:
        bad = graph.where(negation(prop.holds))
        if bad.any():
            through = searched.ordered(searched.rows, clock, passing=bad)
            if through.last.possible:
                runs.append((*_shortest(through), prop))
    if not runs:
        runs.append((*_shortest(ordered), None))
    trace, events, broken = runs[0]
    race = _told(searched, blank, trace, events, broken, tuple(p.name for p in props))
    return _Found(replace(race, also=tuple(prop.name for _, _, prop in runs[1:] if prop is not None)), (searched,))


def _shortest(ordered: Ordered) -> tuple[Trace, dict[int, int]]:
    return ordered.run_to(len(ordered.stages) - 1, int(ordered.last.distance.argmin()))


def _told(
    searched: _Searched, blank: Race, trace: Trace, events: Mapping[int, int], broken: Property | None, asked: tuple[str, ...]
) -> Race:
    teller, evaluator = searched.matcher.teller, searched.graph.evaluator
    lines = tuple(replace(line, step=0 if number in searched.begun else events.get(number)) for number, line in enumerate(blank.lines))
    breaks = {}
    if broken is not None:
        state = next(state for state in trace.states if not evaluator.holds(broken.holds, state))
        judged = Judged(searched.model, evaluator, state)
        wrong = false_instances(broken.name, broken.sentence, teller.scene(state), judged)
        breaks[broken.name] = tuple(each.sentence for each in wrong)
    start = teller.told(property_of(searched.model, asked[0]), trace.initial, (), (), engine="race")
    return replace(
        blank, answer=Answer.POSSIBLE, lines=lines, steps=teller.steps(trace), threads=teller.threads, breaks=breaks, asked=asked,
        start=at_start(start), expected=broken is not None and searched.model.scenario.expect.get(broken.name) == "violated",
    )  # fmt: skip


def _line(entry: Entry, meaning: Meaning | Unread) -> Line:
    if isinstance(meaning, Unread):
        return Line(entry, "", meaning.why)
    parts = [
        *(f"{name}()" if name.isidentifier() else f"sets {name.rstrip('=')}" for name in meaning.calls),
        *(f"{name}()" for name in meaning.inside),
        *meaning.actions,
        *([f"`{entry.text}`"] if meaning.statement else []),
        *([meaning.means] if meaning.effect else []),
    ]
    if meaning.source and not parts:
        parts = [f"what stands at {meaning.source}"]
    return Line(entry, " or ".join(parts), unread=meaning.unread)


def _obstacle(searched: _Searched, core: Sequence[int], clock: Clock) -> tuple[str, ...]:
    """Why the last of some events does not come after the others."""
    rows = only(searched.rows, core)
    ordered = searched.ordered(rows, clock)
    stage = max((stage for stage in ordered.stages if stage.possible), key=lambda stage: len(stage.done))
    (event, *_) = (n for row in rows for n in row if n not in stage.done)
    return obstacles(searched.model, searched.graph, stage, searched.events[event])


__all__ = ["decide"]
