"""Every shipped scenario fits into vectors, and there a step is what plain evaluation says it is."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tdpcheck.checker.states.explore import reachable
from tdpcheck.checker.states.layers import ByColumns, OneByOne
from tdpcheck.checker.states.moves import Moves
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import build, parse_source, shipped_source

SCENARIOS = {name: scenario for name, scenario in shipped_scenarios().items() if not scenario.needs_kernel}
QUICK = ("noncoherent-attach", "partial-unmap")
MOST = 1_500


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in SCENARIOS])
def test_a_step_is_that_of_plain_evaluation(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """State by state and move by move; of a large scenario some states, from all depths, and one for each step that ever fires."""
    made = build(SCENARIOS[name], parse_source(shipped_source(SCENARIOS[name].design)))
    moves = Moves(Evaluator(made.system, made.geometry))
    fast, slow = ByColumns(moves), OneByOne(moves)
    # Plain evaluation would hide that vectors do not fit.
    monkeypatch.setattr(OneByOne, "__init__", lambda *_: pytest.fail("this scenario does not fit into vectors"))
    reached, stats = reachable(made.system, made.geometry)
    states = list(reached)
    packed = [fast.pack(state) for state in states]
    steps = fast.steps(packed)
    first = {move: number for number, move in zip(steps.before.tolist()[::-1], steps.moves.tolist()[::-1], strict=True)}
    chosen = (
        states if len(states) <= MOST else [states[n] for n in {*random.Random(name).sample(range(len(states)), MOST), *first.values()}]
    )
    plain, by_vectors = slow.steps(chosen), fast.steps([fast.pack(state) for state in chosen])

    assert plain.before.tolist() == by_vectors.before.tolist()
    assert plain.moves.tolist() == by_vectors.moves.tolist()
    assert list(plain.after) == list(fast.states(by_vectors.after))
    assert {*steps.after} <= {*packed}
    fired = Counter(moves.ranked[move].action.name for move in steps.moves.tolist())
    assert (+stats.fired, stats.transitions) == (fired, len(steps.after))
