"""Is a window of a trace a run of the model? What was seen has to come as it was seen; what was not seen may happen at any time."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from ...checker.clock import Clock
from ...core.evaluation.evaluate import State
from ...core.evaluation.guards import refusal
from ...traces.windows import FAULT, Label, Window
from .casting import Shown, Stage

Bound = tuple[int | None, ...]
"""Which frame of the kernel each frame of the model stands for."""
Place = tuple[int, ...]
"""How many labels of each thread have come."""
Point = tuple[State, Bound]
TOLD = 8
"""So many steps that the model allows instead are told."""


@dataclass(frozen=True)
class Refused:
    """Where no run of the model goes on as the trace does.

    Args:
        came: how many labels of each thread a run has, at most.
        wanted: the labels of which none can come next, each by its thread.
        instead: what the model allows there.
        guard: what stands in the way of the first of them.
    """

    came: Place
    wanted: tuple[tuple[int, Label], ...]
    instead: tuple[str, ...]
    guard: str


class Search:
    """Looks for one window in one model.

    Args:
        window: its threads are those of the model, in this order.
        clock: asked now and then.
    """

    def __init__(self, window: Window, stage: Stage, clock: Clock) -> None:
        self._window, self._stage, self._clock = window, stage, clock
        self._labels = [member.labels for member in window.members]
        self._found: dict[Place, set[Point]] = {}
        self._ready: dict[Place, tuple[int, ...]] = {}

    @property
    def states(self) -> int:
        """How many states were looked at."""
        return sum(map(len, self._found.values()))

    def run(self) -> Refused | None:
        """None if some run of the model is what was seen.

        Where much has come is looked at first, so that a run is found soon; that there is none is said after all was looked at.

        Raises:
            OutOfTime: it is not decided in time.
        """
        goal = tuple(map(len, self._labels))
        waiting: list[tuple[int, int, Place, Point]] = []

        def put(place: Place, point: Point) -> None:
            known = self._found.setdefault(place, set())
            if point not in known:
                known.add(point)
                heapq.heappush(waiting, (-sum(place), -len(waiting), place, point))

        for state in self._stage.starts:
            put((0,) * len(goal), (state, self._first(state)))
        while waiting:
            *_, place, (state, bound) = heapq.heappop(waiting)
            if place == goal:
                return None
            self._clock.check()
            for shown, after in self._stage.steps(state):
                if self._is_hidden(shown, place):
                    put(place, (after, self._unbound(after, bound)))
                if shown is not None and shown.thread in self._next(place):
                    thread = shown.thread
                    moved = self._seen(shown, after, bound, self._labels[thread][place[thread]])
                    if moved is not None:
                        put((*place[:thread], place[thread] + 1, *place[thread + 1 :]), moved)
        return self._refused(max(self._found, key=sum))

    def _first(self, state: State) -> Bound:
        bound: list[int | None] = [None] * self._stage.frames
        frame = self._stage.view(state)[2]
        if frame is not None:
            bound[frame] = self._window.start.pfn
        return tuple(bound)

    def _next(self, place: Place) -> tuple[int, ...]:
        """The threads whose next label may come now: none that is left over certainly came before it."""
        known = self._ready.get(place)
        if known is None:
            left = [(t, self._labels[t][at]) for t, at in enumerate(place) if at < len(self._labels[t])]
            known = self._ready[place] = tuple(
                thread
                for thread, label in left
                if not any(other != thread and before.when[1] < label.when[0] for other, before in left)
                and not any(late == (thread, place[thread]) and number >= place[t] for (t, number), late in self._window.order)
            )
        return known

    def _is_hidden(self, shown: Shown | None, place: Place) -> bool:
        """Whether a step may happen without being seen: a flush may while its thread owes the page none."""
        if shown is None:
            return True
        return shown.what == "flush" and not self._owes(shown.thread, place[shown.thread])

    def _owes(self, thread: int, came: int) -> bool:
        if self._window.members[thread].role == FAULT:
            return False  # what those flush is not read from a trace
        for label in reversed(self._labels[thread][:came]):
            if label.what == "flush":
                return False
            if label.what == "write" and label.before is not None and label.before.mapped:
                return True
        return False

    def _unbound(self, state: State, bound: Bound) -> Bound:
        """A frame that was freed may be any other afterwards."""
        if any(pfn is not None and self._stage.is_free(state, frame) for frame, pfn in enumerate(bound)):
            return tuple(None if self._stage.is_free(state, frame) else pfn for frame, pfn in enumerate(bound))
        return bound

    def _seen(self, shown: Shown, after: State, bound: Bound, label: Label) -> Point | None:
        """Where a step leads if it is what was seen."""
        if shown.what != label.what:
            return None
        if label.what != "write":
            return after, self._unbound(after, bound)
        assert label.before is not None
        assert label.after is not None
        if shown.before != (label.before.upper, label.before.lower) or shown.after != (label.after.upper, label.after.lower):
            return None
        named = _named(self._stage.view(after)[2], label.after.pfn, bound)
        return None if named is None else (after, self._unbound(after, named))

    def _refused(self, place: Place) -> Refused:
        threads = self._next(place)
        points = self._found[place]
        wanted = tuple((thread, self._labels[thread][place[thread]]) for thread in threads)
        allowed = {self._told(shown) for state, _ in points for shown, _ in self._stage.steps(state) if shown is not None}
        return Refused(place, wanted, tuple(sorted(allowed))[:TOLD], self._guard([state for state, _ in points], threads))

    def _told(self, shown: Shown) -> str:
        change = f": {_entry(shown.before)} -> {_entry(shown.after)}" if shown.what == "write" else ""
        return f"{self._window.members[shown.thread].role} {shown.thread}: {shown.what}{change}"

    def _guard(self, states: Sequence[State], threads: Sequence[int]) -> str:
        """What the nearest step of the first of these threads needs and does not find."""
        stage = self._stage
        for thread in threads:
            for state in sorted(states):
                for move in stage.moves.candidates(state):
                    if move.action.name in stage.model.software.steps and move.arguments[0] == thread:
                        why = refusal(stage.evaluator, move.action, move.arguments, state)
                        if why is not None:
                            (source, *_) = move.action.source or (None,)
                            where = move.action.name if source is None else f"{source.function}(): {source.text}"
                            return f"{where}: {why}"
        return ""


def _entry(view: tuple[str, str]) -> str:
    upper, lower = view
    return f"{lower} below a table" if upper == "table" else upper


def _named(frame: int | None, pfn: int | None, bound: Bound) -> Bound | None:
    """The frames with one more name; None if it has another one, or the name is another's."""
    if frame is None or pfn is None:
        return bound
    if bound[frame] is None:
        return None if pfn in bound else (*bound[:frame], pfn, *bound[frame + 1 :])
    return bound if bound[frame] == pfn else None


__all__ = ["Refused", "Search"]
