"""Exploration: exact when it finishes, modest when it does not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tdpcheck.checker.states.explore import explore, reachable
from tdpcheck.checker.states.layers import ByColumns, Packed
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.sorts import Geometry
from tdpcheck.core.verdict import HoldsUpTo, Proved, ReasonKind, Unknown
from tdpcheck.examples import counter, mutex, table_cache
from tdpcheck.tests.random_systems import GEOMETRY, random_system

TABLE = Geometry({"Page": 2, "Device": 2, "Thread": 2})


def test_a_limit_on_states_holds_up_to_the_last_full_layer() -> None:
    """Some states of the next layer were met, but not all: they do not count."""
    explored = explore(table_cache.system, TABLE, table_cache.no_stale_cache, max_states=100)
    states, _ = reachable(table_cache.system, TABLE)

    assert isinstance(explored.verdict, HoldsUpTo)
    assert not explored.stats.complete
    assert explored.stats.states == sum(depth <= explored.verdict.depth for depth in states.values())


def test_no_time_at_all_says_nothing() -> None:
    """What steps there are takes time to find out, too: there may be hundreds of thousands."""
    verdict = explore(table_cache.system, TABLE, table_cache.no_stale_cache, timeout=0).verdict

    assert isinstance(verdict, Unknown)
    assert (ReasonKind.TIME_OUT, -1) == (verdict.kind, verdict.depth)


@pytest.mark.parametrize(("looks", "expected"), [(3, HoldsUpTo), (0, Unknown)])
def test_an_interrupt_keeps_the_bound(monkeypatch: pytest.MonkeyPatch, looks: int, expected: type) -> None:
    """Control-C is an answer, too; before the first layer was looked at it is no answer at all."""
    looked = iter(range(looks))

    def interrupted(states: Sequence[Packed]) -> NDArray[np.bool_]:
        if next(looked, None) is None:
            raise KeyboardInterrupt
        return np.ones(len(states), np.bool_)

    monkeypatch.setattr(ByColumns, "test", lambda *_: interrupted)

    assert isinstance(explore(table_cache.system, TABLE, table_cache.no_stale_cache).verdict, expected)


def test_dead_ends_and_firings_are_counted() -> None:
    """A counter past its limit can do nothing any more."""
    _, fine = reachable(counter.system, Geometry({}))
    _, stuck = reachable(counter.broken, Geometry({}))

    assert (0, 11, {"tick": 10, "reset": 1}) == (fine.dead_ends, fine.transitions, dict(fine.fired))
    assert (1, 12, {"tick": 11, "reset": 1}) == (stuck.dead_ends, stuck.transitions, dict(stuck.fired))


def test_peterson_is_proved_for_its_only_size() -> None:
    """Two sides are all there are: the sizes are those of an enumeration."""
    verdict = explore(mutex.peterson, Geometry({}), mutex.one_critical).verdict

    assert isinstance(verdict, Proved)
    assert ("its only size", 0, ()) == (verdict.sizes, verdict.queries, verdict.lemmas)


@pytest.mark.parametrize("seed", range(8))
def test_the_reachable_states_are_those_of_the_obvious_search(seed: int) -> None:
    """Trying every move in every state, without the filing, meets the same states at the same depths."""
    system = random_system(seed)
    evaluator = Evaluator(system, GEOMETRY)
    moves = list(evaluator.moves())
    layer, depth = set(evaluator.initial()), 0
    depths = dict.fromkeys(layer, depth)
    while layer:
        depth += 1
        layer = {m.apply(s) for s in layer for m in moves if m.guard(s)} - depths.keys()
        depths |= dict.fromkeys(layer, depth)

    assert depths == reachable(system, GEOMETRY)[0]
