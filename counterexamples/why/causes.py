"""What a violation comes from, each answer checked by execution before it is given.

A *cause* is an order of two steps of different actors: in the run `before` comes before `after`; there is a schedule of the same steps
(see `schedule`) with the two the other way round that satisfies the property in each of its states; and with nothing but that order
turned back, no schedule does. A step is *enabling* if without it the rest can no longer be executed, or no longer ends in a violation.
All else is *noise*: without any of it the violation remains.

The *near miss* is the schedule that satisfies the property and differs least: fewest swaps of neighbours, then fewest inserted steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations, pairwise

from ..schema import Mark
from .schedule import EXPANDED, Schedule, Scheduler

AT_MOST = 4
"""So many causes are enough for a reader."""
TRIED = 12
"""So many orders are turned round."""


@dataclass(frozen=True)
class Flip:
    """A cause, and the schedule that satisfies the property with its two steps the other way round."""

    before: int
    after: int
    schedule: Schedule


@dataclass(frozen=True)
class Found:
    """What there is to say of a run.

    Args:
        causes: least change first.
        near: the near miss.
        marks: of each step.
        actors: how many act in the run.
        reordered: whether every order of the steps was tried (else the search gave up).
        complete: whether the near miss was looked for to the end.
    """

    causes: tuple[Flip, ...]
    near: Schedule | None
    marks: tuple[Mark, ...] = field(default=())
    actors: int = 1
    reordered: bool = True
    complete: bool = True


def find(scheduler: Scheduler, budget: int = EXPANDED) -> Found:
    """Causes, near miss and marks of the run that `scheduler` was made of."""
    nearest = scheduler.nearest(budget=budget)
    causes, whole = _causes(scheduler, budget) if len(scheduler.lanes) > 1 else ((), True)
    return Found(causes, nearest.schedule, _marks(scheduler, causes), len(scheduler.lanes), whole, nearest.complete)


def _causes(scheduler: Scheduler, budget: int) -> tuple[tuple[Flip, ...], bool]:
    """Orders that decide, and whether the search for the first ones was complete."""
    causes: list[Flip] = []
    tried: list[tuple[int, int]] = []
    while len(causes) < AT_MOST and len(tried) < TRIED:
        found = scheduler.nearest(kept=tried, reordered=True, budget=budget)
        schedule = found.schedule
        if schedule is None:
            return tuple(causes), found.complete or bool(causes)
        turned = [(b, a) for a, b in pairwise(schedule.order) if a > b]
        causes += [Flip(*pair, schedule) for pair in turned if _honest(schedule) and decides(scheduler, schedule, pair, budget)]
        tried += turned
    return tuple(causes), True


def _honest(schedule: Schedule) -> bool:
    """Whether no step that is idle at its place is merely taken later."""
    idle = {(d.action.name, d.arguments) for d in schedule.steps if d.manner == "idle"}
    return not any((d.action.name, d.arguments) in idle for d in schedule.steps if d.manner == "inserted")


def decides(scheduler: Scheduler, schedule: Schedule, pair: tuple[int, int], budget: int = EXPANDED) -> bool:
    """Whether `schedule`, with nothing but this pair turned back into the order of the run, satisfies the property no longer."""
    first, second = pair
    order = list(schedule.order)
    place = order.index(second)
    order[place : place + 2] = [first, second]
    late, early = (next(d for d in schedule.steps if d.event is not None and d.event.number == n) for n in (first, second))
    steps = [d for d in schedule.steps if d is not early]
    steps.insert(steps.index(late) + 1, early)
    if scheduler.passes(steps):
        return False
    back = scheduler.nearest(kept=combinations(order, 2), inserted=schedule.inserted, budget=budget)
    return back.schedule is None and back.complete


def _marks(scheduler: Scheduler, causes: tuple[Flip, ...]) -> tuple[Mark, ...]:
    numbers = [e.number for e in scheduler.events]
    guilty = {n for flip in causes for n in (flip.before, flip.after)}
    kept = list(numbers)
    shrinking = True
    while shrinking:
        shrinking = False
        for number in reversed([n for n in kept if n not in guilty]):
            rest = [n for n in kept if n != number]
            if scheduler.violates(rest):
                kept, shrinking = rest, True
    return tuple("cause" if n in guilty else "enabling" if n in kept else "noise" for n in numbers)
