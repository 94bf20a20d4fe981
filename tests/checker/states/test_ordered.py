"""Runs that contain events in an order: as many are found as plain search finds, and no other."""

from __future__ import annotations

import random
from collections import deque

import numpy as np
import pytest

from tdpcheck.checker.clock import Clock
from tdpcheck.checker.states.ordered import PASSED, Graph, Ordered, graph_of, least_core
from tdpcheck.core.trace import misfit
from tdpcheck.core.verdict import Reason
from tdpcheck.tests.random_systems import GEOMETRY, random_system


def graph(seed: int) -> Graph:
    """A small random graph."""
    while True:
        found = graph_of(random_system(seed), GEOMETRY, max_states=400)
        if not isinstance(found, Reason) and len(found.before) >= 4:
            return found
        seed += 1000


def shortest(whole: Graph, events: list[set[int]], rows: list[list[int]], passing: set[int] | None) -> int | None:
    """The length of a shortest run, by a search of pairs of a state and the events that have happened, one at a time."""
    wanted = frozenset(event for row in rows for event in row) | ({PASSED} if passing is not None else set())
    leaving: dict[int, list[tuple[int, int]]] = {}
    for edge, (before, after) in enumerate(zip(whole.before.tolist(), whole.after.tolist(), strict=True)):
        leaving.setdefault(before, []).append((edge, after))

    def seen_with(state: int, done: frozenset[int]) -> list[frozenset[int]]:
        return [done, done | {PASSED}] if passing is not None and state in passing else [done]

    waiting = deque((state, done, 0) for state in range(whole.starts) for done in seen_with(state, frozenset()))
    known = {(state, done) for state, done, _ in waiting}
    while waiting:
        state, done, depth = waiting.popleft()
        if done == wanted:
            return depth
        row = next((row for row in rows if not done.issuperset(row)), [])
        for edge, after in leaving.get(state, []):
            for happened in (done, *(done | {event} for event in row if event not in done and edge in events[event])):
                for more in seen_with(after, happened):
                    if (after, more) not in known:
                        known.add((after, more))
                        waiting.append((after, more, depth + 1))
    return None


@pytest.mark.parametrize("seed", range(40))
def test_as_plain_search_finds_them(seed: int) -> None:
    rng = random.Random(seed)
    whole = graph(seed)
    edges = range(len(whole.before))
    events = [set(rng.sample(edges, min(len(edges), rng.choice([1, 2, 3, 8])))) for _ in range(4)]
    rows = rng.choice([[[0], [1], [2], [3]], [[0, 1], [2]], [[0], [1, 2, 3]], [[0, 1], [2, 3]]])
    passing = rng.choice([None, set(rng.sample(range(len(whole)), min(len(whole), 2)))])
    masks = [np.isin(np.arange(len(edges)), list(each)) for each in events]
    through = None if passing is None else np.isin(np.arange(len(whole)), list(passing))

    ordered = Ordered(whole, dict(enumerate(masks)), rows, Clock(), through)

    depth = shortest(whole, events, rows, passing)
    assert ordered.last.possible == (depth is not None)
    if depth is not None:
        trace, numbers = ordered.run_to(len(ordered.stages) - 1, int(ordered.last.distance.argmin()))
        assert depth == trace.depth
        assert misfit(trace) is None
        assert {event for row in rows for event in row} == {event for event in numbers if event != PASSED}
        ranks = [max(numbers[event] for event in row) for row in rows]
        assert ranks == sorted(ranks)


def test_some_seeds_have_such_runs_and_some_have_none() -> None:
    """Else the test above says nothing."""
    found = set()
    for seed in range(40):
        whole = graph(seed)
        masks = [np.arange(len(whole.before)) == edge for edge in (0, len(whole.before) - 1)]
        found.add(Ordered(whole, dict(enumerate(masks)), [[0], [1]], Clock()).last.possible)
    assert {True, False} == found


def test_a_core_is_impossible_and_without_any_of_it_all_else_is_possible() -> None:
    """Events 1 and 3 exclude each other, and so do 2 and 3 and 4: one of the two is told, and nothing of the other."""
    excluded = ({1, 3}, {2, 3, 4})

    def possible(rows: object) -> bool:
        there = {event for row in rows for event in row}  # type: ignore[attr-defined]
        return not any(each <= there for each in excluded)

    core = set(least_core(possible, [[0], [1, 2], [3], [4]]))

    assert core in excluded
