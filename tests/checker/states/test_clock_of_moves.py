"""A limit holds from the first move on: systems of very many moves are given up in time, with a reason of the usual kind."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import z3

from tdpcheck.checker.bounded.bmc import bmc, reach
from tdpcheck.checker.clock import Clock, OutOfTime
from tdpcheck.checker.states.explore import explore, survey
from tdpcheck.checker.states.layers import ByColumns, Layers, OneByOne
from tdpcheck.checker.states.moves import Moves
from tdpcheck.checker.states.refinement import refines
from tdpcheck.checker.states.walk import walk
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.evaluation.vectors import Unfit
from tdpcheck.core.sorts import Geometry, StateVar, Word
from tdpcheck.core.system import Action, Param, Property, TransitionSystem, Update
from tdpcheck.core.verdict import HoldsUpTo, ReasonKind, Unknown

N = StateVar("n", (), Word(4))
WIDE = [Param(name, Word(4)) for name in ("a", "b", "c")]
MOVES = 16**3
"""So many there are: each value of three words."""
ANY = Action("any", "any", tuple(WIDE), z3.And([N() != p.const for p in WIDE]), (Update(N, (), WIDE[0].const),))
MANY = TransitionSystem("many", (), (N,), (Update(N, (), z3.BitVecVal(0, 4)),), (ANY,))
HERE = Geometry({})
BELOW = Property("below", "It stays below 20.", z3.ULE(N(), 15))


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time passes when somebody looks at the clock, a second each time: the last one is there to be read."""
    now = [0.0]

    def look() -> float:
        now[0] += 1
        return now[0]

    monkeypatch.setattr("tdpcheck.checker.clock.time", SimpleNamespace(monotonic=look))
    return now


ASKED: dict[str, Callable[[float], ReasonKind | None]] = {
    "explore": lambda limit: kind_of(explore(MANY, HERE, BELOW, timeout=limit).verdict),
    "survey": lambda limit: getattr(survey(MANY, HERE, {}, timeout=limit).stopped, "kind", None),
    "walk": lambda limit: kind_of(walk(MANY, HERE, BELOW, timeout=limit).verdict),
    "refines": lambda limit: getattr(refines((MANY, HERE), (MANY, HERE), ("n",), timeout=limit).reason, "kind", None),
    "bmc": lambda limit: kind_of(bmc((MANY, HERE), BELOW, 3, timeout=limit)),
    "reach": lambda limit: getattr(reach((MANY, HERE), {"g": N() == 3}, 3, timeout=limit)["g"].reason, "kind", None),
}


def kind_of(verdict: object) -> ReasonKind | None:
    return verdict.kind if isinstance(verdict, Unknown) else None


@pytest.mark.parametrize("who", ASKED)
@pytest.mark.parametrize("limit", [150, MOVES - 200])
def test_what_is_not_built_in_time_is_given_up_in_time(seconds: list[float], who: str, limit: int) -> None:
    """Moves, and instances of actions, are made one by one: the clock is looked at for each."""
    kind = ASKED[who](limit)

    assert kind is ReasonKind.TIME_OUT
    assert limit < seconds[0] <= 1.1 * limit


@pytest.mark.parametrize("kind", [ByColumns, pytest.param(OneByOne, marks=pytest.mark.slow)])
def test_a_layer_that_is_not_expanded_in_time_is_given_up(seconds: list[float], kind: type[ByColumns] | type[OneByOne]) -> None:
    """A move is made ready when it is first tried: of one layer there are as many, of plain states each is looked at."""
    moves = Moves(Evaluator(MANY, HERE))
    made = [(n,) for n in range(16)] * 20
    begun = seconds[0]
    layers: Layers = kind(moves, Clock(300.0))

    with pytest.raises(OutOfTime):
        layers.steps(list(map(layers.pack, made)))
    assert 300 <= seconds[0] - begun <= 330


@pytest.mark.parametrize("vectors", [True, False])
def test_a_search_whose_layer_takes_too_long_says_what_it_has(seconds: list[float], monkeypatch: pytest.MonkeyPatch, vectors: bool) -> None:
    """The moves are there; then the time is up among the steps. Nothing is said of states that nobody saw."""
    if not vectors:
        monkeypatch.setattr(ByColumns, "__init__", _unfit)
    Moves(Evaluator(MANY, HERE), Clock(1e9))
    built, limit = seconds[0], seconds[0] + (600 if vectors else 12)
    seen = survey(MANY, HERE, {"three": N() == 3}, timeout=limit)

    assert (ReasonKind.TIME_OUT, False) == (getattr(seen.stopped, "kind", None), seen.stats.complete)
    assert 1 <= seen.stats.states <= 16
    assert built + limit < seconds[0] <= built + 1.1 * limit


def test_a_search_that_has_its_moves_holds_up_to_the_initial_states(seconds: list[float]) -> None:
    """They are looked at before the clock is."""
    Moves(Evaluator(MANY, HERE), Clock(1e9))
    verdict = explore(MANY, HERE, BELOW, timeout=seconds[0] + 3).verdict

    assert isinstance(verdict, HoldsUpTo)
    assert 0 == verdict.depth


def _unfit(*_: object) -> None:
    raise Unfit("not today")


def test_a_clock_goes_through_values_while_there_is_time(seconds: list[float]) -> None:
    there = Clock(5.0)

    assert [0, 1, 2] == list(itertools.islice(there.during(itertools.count()), 3))
    with pytest.raises(OutOfTime):
        list(there.during(itertools.count()))
    assert seconds[0] <= 9
