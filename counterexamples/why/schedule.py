"""Other orders of a run's own steps, found by plain evaluation.

A run is taken apart into its steps, each with its actor. A *schedule* is a run of the same model from the same first state in which
every actor takes its steps in its own order again, as its code and the machine then have it:

* a thread executes the same statements; where another order makes its code branch, the other branch is taken: steps come in between
  (*inserted*), and steps that it no longer comes to are *left out*;
* a part of the machine takes the same step, or, where there is nothing to do for it (a walk that finds no leaf), none (*idle*).

Schedules are searched nearest first: fewest swaps of neighbours, then fewest inserted steps, then fewest that are idle, left out or
branch off. The search is bounded by a count, never by a clock: the same run has the same answer.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ...core.evaluation.evaluate import Evaluator, State
from ...core.system import Action, Property
from ...core.trace import Trace
from ...model.system import Model
from ..schema import Manner

Cost = tuple[int, int, int]
"""Swaps of neighbours, inserted steps, steps that are not the same."""

INSERTED = 12
"""At most so many steps are inserted."""
EXPANDED = 1500
"""A search gives up after so many states."""


@dataclass(frozen=True)
class Event:
    """A step of the run: its number, who makes it (`thread` is the number of a thread, None for a part of the machine), and what it is."""

    number: int
    actor: str
    thread: int | None
    action: Action
    arguments: tuple[int, ...]


@dataclass(frozen=True)
class Done:
    """A step of a schedule: which event of the run it is (None: inserted), and how it went. An idle one or one left out changes nothing."""

    event: Event | None
    manner: Manner
    actor: str
    action: Action
    arguments: tuple[int, ...]
    state: State

    @property
    def executed(self) -> bool:
        return self.manner not in ("idle", "left out")


@dataclass(frozen=True)
class Schedule:
    """A run in another order, every state of which satisfies the property."""

    steps: tuple[Done, ...]
    swaps: int
    inserted: int
    changed: int

    @property
    def order(self) -> tuple[int, ...]:
        """The numbers of the run's steps as they come here; one that is left out stands where its thread passes it by."""
        return tuple(d.event.number for d in self.steps if d.event is not None)


@dataclass(frozen=True)
class Search:
    """What a search found; `complete` says that nothing nearer was left out because the count was up."""

    schedule: Schedule | None
    complete: bool
    expanded: int


Node = tuple[State, tuple[int, ...], bool]
"""A state, how many of its events each actor is past, and whether any two have changed places."""


class Scheduler:
    """Searches schedules of one run. Actions are compiled as the search comes to them."""

    def __init__(self, model: Model, trace: Trace, prop: Property, actors: Sequence[str], evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._initial = trace.initial
        self._holds: Callable[[State], bool] = evaluator.compile(prop.holds)
        software = {a.name for a in model.software.actions}
        self.events = tuple(
            Event(n, who, s.arguments[0] if s.action.name in software else None, s.action, s.arguments)
            for n, (s, who) in enumerate(zip(trace.steps, actors, strict=True), 1)
        )
        self.lanes: tuple[tuple[Event, ...], ...] = tuple(
            tuple(e for e in self.events if e.actor == actor) for actor in dict.fromkeys(actors)
        )
        self._moves = _Moves(model, evaluator)
        self._safe: dict[State, bool] = {}

    @property
    def machine(self) -> tuple[Action, ...]:
        """What the machine can do here."""
        return self._moves.machine

    def satisfies(self, state: State) -> bool:
        """Whether the property holds in a state."""
        if state not in self._safe:
            self._safe[state] = bool(self._holds(state))
        return self._safe[state]

    def violates(self, numbers: Iterable[int], otherwise: Iterable[Action] = ()) -> bool:
        """Whether these steps of the run alone, in their order, can be executed and end in a violation.

        Args:
            otherwise: what is done in place of actions of the same name.
        """
        instead = {action.name: replace(action, name=f"{action.name}, otherwise") for action in otherwise}
        state = self._initial
        for event in (self.events[n - 1] for n in numbers):
            action = instead.get(event.action.name, event.action)
            if not self._evaluator.enabled(action, event.arguments, state):
                return False
            state = self._evaluator.after(action, event.arguments, state)
        return not self.satisfies(state)

    def passes(self, steps: Sequence[Done]) -> bool:
        """Whether these steps can be executed, the idle ones where there is something to do, and satisfy the property all along."""
        state = self._initial
        for step in (s for s in steps if s.manner != "left out"):
            if self._evaluator.enabled(step.action, step.arguments, state):
                state = self._evaluator.after(step.action, step.arguments, state)
            elif step.manner != "idle":
                return False
            if not self.satisfies(state):
                return False
        return True

    def passes_with(self, place: int, more: Callable[[State], State]) -> bool:
        """Whether the run satisfies the property to its end if `more` happens after so many of its steps.

        What the machine then can no longer do, it leaves out.
        """
        state = self._initial
        for number, event in enumerate(self.events, 1):
            if self._evaluator.enabled(event.action, event.arguments, state):
                state = self._evaluator.after(event.action, event.arguments, state)
            elif event.thread is not None:
                return False
            if number == place:
                state = more(state)
            if not self.satisfies(state):
                return False
        return True

    def nearest(
        self,
        *,
        kept: Iterable[tuple[int, int]] = (),
        reordered: bool = False,
        inserted: int = INSERTED,
        budget: int = EXPANDED,
    ) -> Search:
        """The nearest schedule that satisfies the property in each of its states.

        Args:
            kept: pairs of steps of which the first must come before the second, where both are taken.
            reordered: at least two steps must have changed places.
            inserted: at most so many steps come in between.
            budget: at most so many states are looked into.
        """
        before: dict[int, set[int]] = {}
        for first, second in kept:
            before.setdefault(second, set()).add(first)
        rules = _Rules(before, inserted)
        start: Node = (self._initial, (0,) * len(self.lanes), False)
        if not self.satisfies(self._initial):
            return Search(None, True, 0)
        known: dict[Node, tuple[Cost, Node | None, tuple[Done, ...]]] = {start: ((0, 0, 0), None, ())}
        ticket = itertools.count()
        queue: list[tuple[Cost, int, Node]] = [((0, 0, 0), next(ticket), start)]
        finished, expanded = set(), 0
        while queue:
            cost, _, node = heapq.heappop(queue)
            if node in finished:
                continue
            finished.add(node)
            if all(past == len(lane) for past, lane in zip(node[1], self.lanes, strict=True)) and (node[2] or not reordered):
                return Search(_told(known, node), True, expanded)
            if expanded >= budget:
                return Search(None, False, expanded)
            expanded += 1
            for done, after, more in self._next(node, rules, cost[1]):
                total = (cost[0] + more[0], cost[1] + more[1], cost[2] + more[2])
                if after not in finished and (after not in known or total < known[after][0]):
                    known[after] = (total, node, done)
                    heapq.heappush(queue, (total, next(ticket), after))
        return Search(None, True, expanded)

    def _next(self, node: Node, rules: _Rules, inserted: int) -> Iterator[tuple[tuple[Done, ...], Node, Cost]]:
        state, past, moved = node
        waiting = False
        for place, (count, lane) in enumerate(zip(past, self.lanes, strict=True)):
            if count == len(lane):
                continue
            event = lane[count]
            went, blocked = False, True
            for done in self._taken(event, lane[count + 1 :], state):
                blocked = False
                taken = [event.number for event in lane[count : count + len(done)]]
                if any(self._is_ahead(past, first, place) for number in taken for first in rules.before.get(number, ())):
                    continue
                went = True
                swaps = sum(self._overtaken(past, place, number) for number in taken)
                after = (done[-1].state, (*past[:place], count + len(done), *past[place + 1 :]), moved or swaps > 0)
                yield done, after, (swaps, 0, sum(d.manner != "same" for d in done))
            if event.thread is None:
                continue
            for move in self._moves.of_thread(event.thread, state) if inserted < rules.inserted else ():
                blocked = False
                # What the run has as a step is taken as that step, or else the swaps would not be counted.
                if not any(_same_statement(move[0], e.action) for e in lane[count:]):
                    yield from self._inserted(move, event.actor, node)
            waiting = waiting or (blocked and not went)
        if not waiting or inserted >= rules.inserted:
            return
        # Somebody waits: the machine moves on, and threads that are past their last step do.
        for move in self._moves.of_machine(state):
            yield from self._inserted(move, "", node)
        for place, lane in enumerate(self.lanes):
            if past[place] == len(lane) and lane[0].thread is not None:
                for move in self._moves.of_thread(lane[0].thread, state):
                    yield from self._inserted(move, lane[0].actor, node)

    def _taken(self, event: Event, rest: Sequence[Event], state: State) -> Iterator[tuple[Done, ...]]:
        """How an actor may take its next step, `rest` being those after it. None where it has to wait."""
        evaluator = self._evaluator
        if evaluator.enabled(event.action, event.arguments, state):
            after = evaluator.after(event.action, event.arguments, state)
            if self.satisfies(after):
                yield (Done(event, "same", event.actor, event.action, event.arguments, after),)
        elif event.thread is None:
            yield (Done(event, "idle", event.actor, event.action, event.arguments, state),)
        if event.thread is None:
            return
        if self._moves.finished(event.thread, state):
            yield (_left_out(event, state),)
        lane = (event, *rest)
        for action, arguments in self._moves.of_thread(event.thread, state):
            ahead = next((n for n, later in enumerate(lane) if _executes(action, arguments, later)), None)
            if ahead is None or (action.name, arguments) == (event.action.name, event.arguments):
                continue
            after = evaluator.after(action, arguments, state)
            if self.satisfies(after):
                later = lane[ahead]
                manner: Manner = "same" if (action.name, arguments) == (later.action.name, later.arguments) else "branch"
                skipped = (_left_out(e, state) for e in lane[:ahead])
                yield (*skipped, Done(later, manner, event.actor, action, arguments, after))

    def _inserted(self, move: tuple[Action, tuple[int, ...]], actor: str, node: Node) -> Iterator[tuple[tuple[Done, ...], Node, Cost]]:
        state, past, moved = node
        after = self._evaluator.after(*move, state)
        if self.satisfies(after):
            yield (Done(None, "inserted", actor, *move, after),), (after, past, moved), (0, 1, 0)

    def _overtaken(self, past: tuple[int, ...], place: int, number: int) -> int:
        """How many steps of others, earlier in the run, come later if this one is taken now."""
        return sum(
            1
            for other, lane in enumerate(self.lanes)
            if other != place
            for event in lane[past[other] :]
            if event.number < number
        )  # fmt: skip

    def _is_ahead(self, past: tuple[int, ...], number: int, place: int) -> bool:
        """Whether another actor still has that step before it."""
        return any(e.number == number for other, lane in enumerate(self.lanes) if other != place for e in lane[past[other] :])


@dataclass(frozen=True)
class _Rules:
    before: Mapping[int, set[int]]
    inserted: int


def _told(known: Mapping[Node, tuple[Cost, Node | None, tuple[Done, ...]]], node: Node) -> Schedule:
    swaps, inserted, changed = known[node][0]
    steps: tuple[Done, ...] = ()
    at: Node | None = node
    while at is not None:
        _, at, done = known[at]
        steps = (*done, *steps)
    return Schedule(steps, swaps, inserted, changed)


def _left_out(event: Event, state: State) -> Done:
    return Done(event, "left out", event.actor, event.action, event.arguments, state)


def _same_statement(one: Action, other: Action) -> bool:
    return bool(one.source) and bool(other.source) and one.actor == other.actor and one.source[0] == other.source[0]


def _executes(action: Action, arguments: tuple[int, ...], event: Event) -> bool:
    """Whether a move executes the statement of an event, and chooses as it does."""
    return _same_statement(action, event.action) and _agree(action, arguments, event)


def _agree(action: Action, arguments: tuple[int, ...], event: Event) -> bool:
    """Whether choices that both make are made alike: those of the same name."""
    made = {p.name.partition("@")[0]: a for p, a in zip(event.action.params, event.arguments, strict=True)}
    return all(made.get(p.name.partition("@")[0], a) == a for p, a in zip(action.params, arguments, strict=True))


class _Moves:
    """The enabled moves of a thread or of the machine; each action is compiled when a thread first stands where it begins."""

    def __init__(self, model: Model, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._sizes = {a.name: [range(evaluator.geometry.size(p.kind)) for p in a.params] for a in model.system.actions}
        software = {a.name for a in model.software.actions}
        self.machine = tuple(a for a in model.system.actions if a.name not in software)
        places = {(x.role, x.node): x.index for x in model.software.locations}
        self._by_place: dict[int, list[Action]] = {}
        for action in model.software.actions:
            step = model.software.steps[action.name]
            self._by_place.setdefault(places[step.role, step.start], []).append(action)
        self._pc = evaluator.layout.offset["pc"]
        self._ends = {x.index for x in model.software.locations if x.at.text == "done"}
        self._known: dict[tuple[int | None, State], tuple[tuple[Action, tuple[int, ...]], ...]] = {}

    def finished(self, thread: int, state: State) -> bool:
        """Whether a thread has come to the end of its entry function."""
        return state[self._pc + thread] in self._ends

    def of_thread(self, thread: int, state: State) -> tuple[tuple[Action, tuple[int, ...]], ...]:
        return self._enabled(thread, state)

    def of_machine(self, state: State) -> tuple[tuple[Action, tuple[int, ...]], ...]:
        return self._enabled(None, state)

    def _enabled(self, thread: int | None, state: State) -> tuple[tuple[Action, tuple[int, ...]], ...]:
        key = thread, state
        if key not in self._known:
            actions = self.machine if thread is None else self._by_place.get(state[self._pc + thread], ())
            self._known[key] = tuple(
                (action, arguments)
                for action in actions
                for arguments in itertools.product(
                    *(self._sizes[action.name] if thread is None else [(thread,), *self._sizes[action.name][1:]])
                )
                if self._evaluator.enabled(action, arguments, state)
            )
        return self._known[key]
