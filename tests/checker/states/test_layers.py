"""All states at once or one after the other: the same steps in the same order, and so the same answers."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import z3

from tdpcheck.checker.clock import Clock
from tdpcheck.checker.states import layers
from tdpcheck.checker.states.explore import explore, reachable, survey
from tdpcheck.checker.states.layers import ByColumns, Layers, OneByOne
from tdpcheck.checker.states.moves import Moves
from tdpcheck.checker.states.stuck import Ends
from tdpcheck.core.errors import EngineError, ModelError
from tdpcheck.core.evaluation.evaluate import Evaluator, State
from tdpcheck.core.evaluation.vectors import Unfit
from tdpcheck.core.sorts import BOOL, Geometry, StateVar, Word
from tdpcheck.core.system import Action, Property, TransitionSystem, Update, truth
from tdpcheck.core.trace import replays
from tdpcheck.core.verdict import Proved, Violated
from tdpcheck.examples import table_cache
from tdpcheck.tests.checker.states.test_stuck import asked, two_locks
from tdpcheck.tests.few import few
from tdpcheck.tests.random_systems import GEOMETRY, Terms, random_state, random_system
from tdpcheck.tests.toys import TOYS, Toy

TABLE = Geometry({"Page": 2, "Device": 2, "Thread": 2})
NOWHERE = Geometry({})


def steps_of(kind: Layers, states: Sequence[State]) -> list[tuple[int, int, State]]:
    steps = kind.steps([kind.pack(state) for state in states])
    return list(zip(steps.before.tolist(), steps.moves.tolist(), kind.states(steps.after), strict=True))


@pytest.mark.parametrize("seed", few(range(100), 3))
def test_random_systems_step_alike(seed: int) -> None:
    """State by state and move by move, in order, from states reachable or not."""
    moves = Moves(Evaluator(random_system(seed), GEOMETRY))
    rng = random.Random(seed)
    states = list(dict.fromkeys(random_state(rng, moves.evaluator) for _ in range(60)))

    assert steps_of(OneByOne(moves), states) == steps_of(ByColumns(moves), states)
    assert steps_of(OneByOne(moves), states) == [
        (number, moves.ranked.index(move), move.apply(state)) for number, state in enumerate(states) for move in moves.enabled(state)
    ]


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_toys_step_alike(toy: Toy) -> None:
    moves = Moves(Evaluator(toy.system, toy.geometry))
    states = list(reachable(toy.system, toy.geometry)[0])

    assert steps_of(OneByOne(moves), states) == steps_of(ByColumns(moves), states)


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on vectors do not fit anything."""

    def refused(*_: object) -> None:
        raise Unfit("not today")

    monkeypatch.setattr(ByColumns, "__init__", refused)


@pytest.mark.parametrize("seed", range(30))
def test_a_survey_says_the_same_either_way(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Numbers, runs, stuck states, livelocks, and the order of the states, on which certificates stand."""
    system, rng = random_system(seed), random.Random(seed)
    terms = {str(number): Terms(rng, system.state).truth(3) for number in range(5)}
    half = {action.name for action in system.actions[::2]}
    ends = Ends(terms["0"], lambda action: action.name in half, system.state[0])
    fast = survey(system, GEOMETRY, terms, ends=ends, keep=True)
    one_by_one(monkeypatch)
    slow = survey(system, GEOMETRY, terms, ends=ends, keep=True)

    assert (slow.stats, slow.traces, slow.stuck, slow.livelocks) == (fast.stats, fast.traces, fast.stuck, fast.livelocks)
    assert list(slow.states) == list(fast.states)


@pytest.mark.parametrize("parts", [1, 3, 64])
def test_how_much_is_asked_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    """A layer is expanded in parts; where one ends must not show."""
    terms = {"stale": z3.Not(table_cache.no_stale_cache.holds), "any": truth(True)}
    whole = survey(table_cache.system, TABLE, terms, keep=True)
    monkeypatch.setattr(ByColumns, "at_once", parts)
    pieces = survey(table_cache.system, TABLE, terms, keep=True)

    assert (whole.stats, whole.traces, list(whole.states)) == (pieces.stats, pieces.traces, list(pieces.states))


def test_a_deadlock_is_told_the_same_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    system = two_locks()
    fast = survey(system, Geometry({"Thread": 3}), {}, ends=asked(system)).stuck
    one_by_one(monkeypatch)

    assert fast is not None
    assert fast == survey(system, Geometry({"Thread": 3}), {}, ends=asked(system)).stuck


n = StateVar("n", (), Word(70))


def counter(top: int) -> tuple[TransitionSystem, Property]:
    """It counts from near the end of 70 bits."""
    count = Action("count", "any", (), n() != top, (Update(n, (), n() + 1),))
    system = TransitionSystem("wide", (), (n,), (Update(n, (), z3.BitVecVal(2**70 - 3, 70)),), (count,))
    return system, Property("below", "It stays below 9.", z3.Or(z3.ULT(n(), 9), z3.UGT(n(), 100)))


def test_a_system_wider_than_a_machine_word_is_explored_by_plain_evaluation() -> None:
    """Slower, and not refused."""
    (fine, prop), (broken, _) = counter(7), counter(9)

    verdict = explore(broken, NOWHERE, prop).verdict

    assert isinstance(explore(fine, NOWHERE, prop).verdict, Proved)
    assert isinstance(verdict, Violated)
    assert (12, True) == (verdict.trace.depth, replays(verdict.trace, prop))
    assert [2**70 - 3, 2**70 - 2, 2**70 - 1, *range(8)] == [state[0] for state in reachable(fine, NOWHERE)[0]]
    assert 11 == len(survey(fine, NOWHERE, {}, keep=True).states)


def test_a_term_that_columns_cannot_hold_is_evaluated_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a guard that is met late, in an update, or in what is asked: the answer does not depend on it."""
    flag, byte = StateVar("flag", (), BOOL), StateVar("byte", (), Word(8))
    wide = z3.Concat(*[byte()] * 9)
    late = Action("late", "any", (), z3.And(flag(), z3.Extract(71, 64, wide) == 3), (Update(byte, (), z3.Extract(71, 64, wide) + 1),))
    first = Action("first", "any", (), z3.Not(flag()), (Update(flag, (), truth(True)), Update(byte, (), z3.BitVecVal(3, 8))))
    init = (Update(flag, (), truth(False)), Update(byte, (), z3.BitVecVal(0, 8)))
    system = TransitionSystem("late", (), (flag, byte), init, (first, late))
    plain: list[Moves] = []

    class Counted(OneByOne):
        def __init__(self, moves: Moves, clock: Clock | None = None) -> None:
            super().__init__(moves, clock)
            plain.append(moves)

    monkeypatch.setattr(layers, "OneByOne", Counted)

    assert [(0, 0), (1, 3), (1, 4)] == list(reachable(system, NOWHERE)[0])
    assert 1 == len(plain)
    found = survey(TransitionSystem("early", (), (flag, byte), init, (first,)), NOWHERE, {"wide": z3.Extract(71, 64, wide) == 3})
    assert found.traces["wide"] is not None
    assert 2 == len(plain)


def test_an_operator_that_nobody_knows_is_an_error_as_before() -> None:
    """It is left to plain evaluation, which refuses it by name."""
    byte = StateVar("byte", (), Word(8))
    system = TransitionSystem("signed", (), (byte,), (), (Action("divide", "any", (), byte() / 3 == 1, ()),))

    with pytest.raises(ModelError, match="the evaluator does not know the operator bvsdiv"):
        reachable(system, NOWHERE)


@pytest.mark.parametrize(("width", "bytes_"), [(1, 1), (8, 1), (9, 2), (17, 4), (33, 8), (64, 8)])
def test_states_are_stored_in_as_few_bytes_as_fit(width: int, bytes_: int) -> None:
    """A hundred thousand states of some hundred cells are met in one search."""
    word, top = StateVar("word", (), Word(width)), 2**width - 1
    system = TransitionSystem("words", (), (word,), (Update(word, (), z3.BitVecVal(top, width)),), ())
    words = ByColumns(Moves(Evaluator(system, NOWHERE)))

    assert bytes_ == len(words.pack((top,)))
    assert [(top,)] == list(words.states([words.pack((top,))]))


def test_what_is_read_from_a_table_is_plain() -> None:
    """Numbers of numpy would be printed as such."""
    states = survey(table_cache.system, TABLE, {}, keep=True).states

    assert {int} == {type(value) for value in (*states[0], *next(iter(states)))}
    assert list(states)[1:3] == list(states[1:3])


def test_a_system_without_cells_has_one_state() -> None:
    nothing = TransitionSystem("nothing", (), (), (), (Action("stay", "any", (), truth(True), ()),))

    assert ({(): 0}, 1) == (reachable(nothing, NOWHERE)[0], reachable(nothing, NOWHERE)[1].transitions)


def test_a_run_that_plain_evaluation_does_not_repeat_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors are fast; what they say of a state that somebody is told of is checked."""
    x, y = StateVar("x", (), Word(8)), StateVar("y", (), Word(8))
    both = Action("both", "any", (), z3.ULT(x(), 9), (Update(x, (), x() + 1), Update(y, (), y() + 1)))
    init = tuple(Update(v, (), z3.BitVecVal(0, 8)) for v in (x, y))
    system = TransitionSystem("both", (), (x, y), init, (both,))
    changed = ByColumns._changed
    monkeypatch.setattr(ByColumns, "_changed", lambda self, number: changed(self, number)[:1])

    with pytest.raises(EngineError, match="vectors and plain evaluation disagree on where a run ends"):
        survey(system, NOWHERE, {"three": x() == 3})
    with pytest.raises(EngineError, match="vectors and plain evaluation disagree on where a run ends"):
        explore(system, NOWHERE, Property("below", "It stays below 3.", z3.ULT(x(), 3)))


def test_a_step_that_plain_evaluation_does_not_take_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    x = StateVar("x", (), Word(8))
    step = Action("step", "any", (), z3.ULT(x(), 2), (Update(x, (), x() + 1),))
    system = TransitionSystem("step", (), (x,), (Update(x, (), z3.BitVecVal(0, 8)),), (step,))
    monkeypatch.setattr(ByColumns, "_guards", lambda *_: [(0, 1)])

    with pytest.raises(EngineError, match="disagree: step 3, step"):
        survey(system, NOWHERE, {"three": x() == 3})
