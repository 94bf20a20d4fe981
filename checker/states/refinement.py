"""Refinement: does one system do only what another one may do, as far as both can be seen?

Both systems declare the observed variables alike. What is seen of a run is the sequence of their values, however long each lasts: a step
that changes none of them is a stutter. The concrete system refines the abstract one if what is seen of any run of it is seen of some run
of the abstract one, too. A safety property of the observed variables that the abstract system has, the concrete one has then; nothing is
said of liveness, nor of other sizes.

The abstract runs are followed all at once: beside each concrete state stands the set of abstract states at which a run that looks alike
may be. So no refinement mapping has to be found, nor prophecy variables where the two choose at different times (Abadi and Lamport: The
existence of refinement mappings, 1991); the price is that sets are visited, not states.

No command asks it: the tests do, of lifted code and our own (docs/decisions/0004).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from ...core.errors import ModelError
from ...core.evaluation.evaluate import Evaluator, Move, State
from ...core.sorts import Geometry
from ...core.system import TransitionSystem
from ...core.trace import Trace, run
from ...core.verdict import INTERRUPTED, TIME_IS_UP, Reason, ReasonKind
from ..clock import Clock, OutOfTime
from .moves import Moves

Subject = tuple[TransitionSystem, Geometry]
Abstract = frozenset[State]
Pair = tuple[State, Abstract]


@dataclass(frozen=True)
class Refinement:
    """The answer.

    Args:
        holds: whether it refines; None if that was not decided.
        trace: a shortest run of the concrete system whose last step shows what no abstract run shows; if it does not refine.
        pairs: how many concrete states were met, counted once for each set of abstract states beside them.
        concrete: how many concrete states these are; all reachable ones, if it refines.
        abstract: how many abstract states were needed.
        reason: why it was not decided.
    """

    holds: bool | None
    trace: Trace | None = None
    pairs: int = 0
    concrete: int = 0
    abstract: int = 0
    reason: Reason | None = None


def refines(
    concrete: Subject, abstract: Subject, observed: Sequence[str], *, max_pairs: int | None = None, timeout: float | None = None
) -> Refinement:
    """Whether whatever is seen of the variables `observed` in a run of `concrete` is seen in a run of `abstract`, stutters left out.

    Args:
        timeout: seconds.

    Raises:
        ModelError: the two do not declare an observed variable alike, or not at the same size.
    """
    clock = Clock(timeout)
    try:
        below, above = _Side(concrete, observed, clock), _Side(abstract, observed, clock)
    except OutOfTime as stop:
        return Refinement(None, reason=stop.why)
    if below.declared != above.declared:
        differ = sorted({name for name, *_ in set(below.declared) ^ set(above.declared)})
        raise ModelError(f"{concrete[0].name} and {abstract[0].name} do not declare {', '.join(differ[:4])} alike: observe what both have")
    return _Search(below, above, max_pairs, clock).answer()


class _Side:
    """A system, with what is seen of its states."""

    def __init__(self, subject: Subject, observed: Sequence[str], clock: Clock) -> None:
        self.evaluator = Evaluator(*subject)
        self._moves = Moves(self.evaluator, clock)
        self._after: dict[State, tuple[tuple[Move, State], ...]] = {}
        wanted, layout = frozenset(observed), self.evaluator.layout
        missing = wanted - {var.name for var in subject[0].state}
        if missing:
            raise ModelError(f"{subject[0].name} has no state variable {', '.join(sorted(missing))} to observe")
        places = [place for place, cell in enumerate(layout.cells) if cell.var.name in wanted]
        self.declared = sorted(
            (layout.cells[p].name, str(layout.cells[p].var.kind), subject[1].size(layout.cells[p].var.kind)) for p in places
        )
        places.sort(key=lambda place: layout.cells[place].name)
        self.seen: Any = itemgetter(*places) if places else lambda state: ()

    def after(self, state: State) -> tuple[tuple[Move, State], ...]:
        """The moves enabled in a state, and where they lead."""
        if state not in self._after:
            self._after[state] = tuple((move, move.apply(state)) for move in self._moves.enabled(state))
        return self._after[state]

    @property
    def visited(self) -> int:
        return len(self._after)

    def initially(self) -> dict[Any, set[State]]:
        """The initial states, by what is seen of them."""
        return _by_sight(self, self.evaluator.initial())


def _by_sight(side: _Side, states: Iterable[State]) -> dict[Any, set[State]]:
    found: dict[Any, set[State]] = {}
    for state in states:
        found.setdefault(side.seen(state), set()).add(state)
    return found


class _Search:
    """Breadth first through pairs of a concrete state and the abstract states beside it."""

    def __init__(self, below: _Side, above: _Side, max_pairs: int | None, clock: Clock) -> None:
        self._below, self._above = below, above
        self._max_pairs, self._clock = max_pairs, clock
        self._nexts: dict[Abstract, dict[Any, Abstract]] = {}
        self._parents: dict[Pair, tuple[Pair, Move] | None] = {}

    def answer(self) -> Refinement:
        try:
            return self._search()
        except KeyboardInterrupt:
            return self._undecided(INTERRUPTED)

    def _search(self) -> Refinement:
        below, parents = self._below, self._parents
        beside = {sight: self._closed(states) for sight, states in self._above.initially().items()}
        todo: deque[Pair] = deque()
        for sight, starts in below.initially().items():
            if sight not in beside:
                return self._refuted(next(iter(starts)), None, None)
            todo.extend((state, beside[sight]) for state in starts)
        parents.update(dict.fromkeys(todo))
        while todo:
            if self._max_pairs is not None and len(parents) > self._max_pairs:
                return self._undecided(Reason(ReasonKind.STATES, f"more than {self._max_pairs} pairs"))
            if self._clock.is_up:
                return self._undecided(TIME_IS_UP)
            here = todo.popleft()
            state, states = here
            sight = below.seen(state)
            for move, after in below.after(state):
                then = below.seen(after)
                following = states if then == sight else self._next(states).get(then)
                if following is None:
                    return self._refuted(state, here, move)
                if (after, following) not in parents:
                    parents[after, following] = (here, move)
                    todo.append((after, following))
        return Refinement(True, None, len(parents), below.visited, self._above.visited)

    def _next(self, states: Abstract) -> dict[Any, Abstract]:
        """Where the abstract runs at `states` may be after one step that is seen, by what is seen then."""
        if states not in self._nexts:
            steps = (after for state in states for _, after in self._above.after(state))
            sight = self._above.seen(next(iter(states)))
            found = _by_sight(self._above, (after for after in steps if self._above.seen(after) != sight))
            self._nexts[states] = {then: self._closed(reached) for then, reached in found.items()}
        return self._nexts[states]

    def _closed(self, states: set[State]) -> Abstract:
        """The states, all of which look alike, and those that stutters lead to."""
        found = set(states)
        todo = list(states)
        while todo:
            state = todo.pop()
            sight = self._above.seen(state)
            for _, after in self._above.after(state):
                if after not in found and self._above.seen(after) == sight:
                    found.add(after)
                    todo.append(after)
        return frozenset(found)

    def _refuted(self, state: State, pair: Pair | None, last: Move | None) -> Refinement:
        moves = [] if last is None else [last]
        step = None if pair is None else self._parents[pair]
        while step is not None:
            (state, _), move = step
            moves.append(move)
            step = self._parents[step[0]]
        schedule = [(move.action, move.arguments) for move in reversed(moves)]
        trace = run(self._below.evaluator, state, schedule)
        return Refinement(False, trace, len(self._parents), self._below.visited, self._above.visited)

    def _undecided(self, reason: Reason) -> Refinement:
        return Refinement(None, None, len(self._parents), self._below.visited, self._above.visited, reason)
