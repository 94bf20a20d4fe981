"""Marks, causes and near misses mean what they say: each is borne out here by executing the model, without the code that found them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from tdpcheck.checker.explore import explore
from tdpcheck.cli.changes import patched
from tdpcheck.cli.sources import built, files_of
from tdpcheck.core.evaluate import Evaluator, State
from tdpcheck.core.system import Property
from tdpcheck.core.trace import run
from tdpcheck.core.verdict import Violated
from tdpcheck.counterexamples.causes import find
from tdpcheck.counterexamples.document import from_verdict, to_trace
from tdpcheck.counterexamples.schedule import Scheduler
from tdpcheck.counterexamples.schema import Cex, Turn, write
from tdpcheck.kernelc.patch import parse_change
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import Model
from tdpcheck.museum.loader import shipped_items
from tdpcheck.properties import PROPERTIES
from tdpcheck.tests.counterexamples.planted import FAULTS

QUICK = ("register-unchecked", "invalidate-exported", "zap-under-read-lock", "split-of-6.1")
MUSEUM = ("export-check-outside-lock", "noncoherent-after-export", "attach-before-import", "huge-level-read-too-early")


@dataclass
class Case:
    """A counterexample with its model, and a plain way to execute moves of it."""

    model: Model
    prop: Property
    cex: Cex

    def __post_init__(self) -> None:
        self.evaluator = Evaluator(self.model.system, self.model.geometry)
        self.trace = to_trace(self.cex, self.model, self.evaluator)
        self.moves = [(s.action, s.arguments) for s in self.trace.steps]

    def execute(self, numbers: Sequence[int]) -> list[State] | None:
        """The states of these steps of the run, in this order; None if one is not enabled."""
        states = [self.trace.initial]
        for n in numbers:
            if not self.evaluator.enabled(*self.moves[n - 1], states[-1]):
                return None
            states.append(self.evaluator.after(*self.moves[n - 1], states[-1]))
        return states

    def play(self, turns: Sequence[Turn], *, retry: bool = False) -> list[State] | None:
        """The states of a stored schedule; None if it cannot be executed. With `retry` an idle step is taken where there is one to take."""
        states = [self.trace.initial]
        for turn in turns:
            action = self.model.system.action(turn.action)
            arguments = tuple(_plain(p.kind, turn.arguments[p.name]) for p in action.params)
            if turn.manner == "left out":
                continue
            if turn.manner == "idle" and (not retry or not self.evaluator.enabled(action, arguments, states[-1])):
                if self.evaluator.enabled(action, arguments, states[-1]):
                    return None
                continue
            if not self.evaluator.enabled(action, arguments, states[-1]):
                return None
            states.append(self.evaluator.after(action, arguments, states[-1]))
        return states

    def good(self, states: Sequence[State] | None) -> bool:
        return states is not None and all(self.evaluator.holds(self.prop.holds, s) for s in states)

    def bad_at_end(self, states: Sequence[State] | None) -> bool:
        return states is not None and not self.evaluator.holds(self.prop.holds, states[-1])

    def orders(self) -> Iterator[tuple[tuple[int, ...], bool]]:
        """Every order of the run's own moves that can be executed, each actor keeping its own; and whether the property holds all along."""
        lanes: dict[str, list[int]] = {}
        for step in self.cex.steps:
            lanes.setdefault(step.actor, []).append(step.number)

        def merged(rest: tuple[tuple[int, ...], ...], state: State, good: bool) -> Iterator[tuple[tuple[int, ...], bool]]:
            if not any(rest):
                yield (), good
            for k, lane in enumerate(rest):
                if lane and self.evaluator.enabled(*self.moves[lane[0] - 1], state):
                    after = self.evaluator.after(*self.moves[lane[0] - 1], state)
                    still = good and self.evaluator.holds(self.prop.holds, after)
                    for more, fine in merged((*rest[:k], lane[1:], *rest[k + 1 :]), after, still):
                        yield (lane[0], *more), fine

        return merged(tuple(map(tuple, lanes.values())), self.trace.initial, True)


def _plain(kind: object, value: object) -> int:
    elements = getattr(kind, "elements", ())
    return elements.index(value) if isinstance(value, str) else int(value)  # type: ignore[call-overload]


def inversions(order: Sequence[int]) -> int:
    return sum(a > b for n, a in enumerate(order) for b in order[n + 1 :])


def planted(name: str) -> Case:
    fault = FAULTS[name]
    model = fault.model()
    return Case(model, fault.property_of(model), fault.kept)


def of_museum(name: str) -> Case:
    item = shipped_items()[name]
    files = patched(parse_change(item.patch, item.change), files_of(None))[-1].files
    model = built(shipped_scenarios()[item.expect.scenario], None, files).model
    prop = PROPERTIES[item.expect.property]
    verdict = explore(model.system, model.geometry, prop).verdict
    assert isinstance(verdict, Violated)
    return Case(model, prop, from_verdict(model, prop, verdict, item.change))


@pytest.fixture(
    scope="module",
    params=[n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in (*FAULTS, *(f"museum {n}" for n in MUSEUM))],
)
def case(request: pytest.FixtureRequest) -> Case:
    kind, _, name = request.param.partition(" ")
    return of_museum(name) if kind == "museum" else planted(kind)


def numbered(turns: Sequence[Turn]) -> list[int]:
    return [t.number for t in turns if t.number]


def borne_out(case: Case, turns: Sequence[Turn]) -> None:
    """What any schedule of the run must be: the same steps, each actor's in order, executed, and the property holds all along."""
    order = numbered(turns)
    assert sorted(order) == list(range(1, case.cex.depth + 1))
    for actor in {s.actor for s in case.cex.steps}:
        own = [n for n in order if case.cex.steps[n - 1].actor == actor]
        assert own == sorted(own)
    for turn in turns:
        if turn.number and turn.manner in ("same", "idle", "left out"):
            step = case.cex.steps[turn.number - 1]
            assert (step.action, step.arguments) == (turn.action, turn.arguments)
        if turn.manner == "branch":
            run = case.model.system.action(case.cex.steps[turn.number - 1].action).source[0]
            assert run == case.model.system.action(turn.action).source[0]
        assert (turn.manner == "inserted") == (turn.number == 0)
        assert turn.manner != "idle" or not case.cex.steps[turn.number - 1].sources
    assert case.good(case.play(turns))


def test_the_run_itself_violates_the_property(case: Case) -> None:
    """What follows is about this run."""
    states = case.execute(range(1, case.cex.depth + 1))

    assert case.bad_at_end(states)
    assert states is not None
    assert not case.good(states)


def test_with_a_causes_steps_the_other_way_round_the_property_holds(case: Case) -> None:
    """That is what a cause is: an order of two actors' steps that the violation needs."""
    for cause in case.cex.causes:
        order = numbered(cause.schedule)

        assert cause.before < cause.after
        assert case.cex.steps[cause.before - 1].actor != case.cex.steps[cause.after - 1].actor
        assert order.index(cause.after) < order.index(cause.before)
        borne_out(case, cause.schedule)


def test_with_nothing_but_that_order_turned_back_it_does_not(case: Case) -> None:
    """Else something else in that schedule would be what saves it."""
    for cause in case.cex.causes:
        turns = list(cause.schedule)
        at = {t.number: n for n, t in enumerate(turns) if t.number}
        first, second = turns[at[cause.before]], turns.pop(at[cause.after])
        turns.insert(turns.index(first) + 1, second)

        assert not case.good(case.play(turns, retry=True))


def test_without_an_enabling_step_there_is_no_violation(case: Case) -> None:
    """It is needed, though nobody raced for it."""
    noise = {s.number for s in case.cex.steps if s.mark == "noise"}
    for step in case.cex.steps:
        if step.mark == "enabling":
            rest = [n for n in range(1, case.cex.depth + 1) if n not in noise and n != step.number]

            assert not case.bad_at_end(case.execute(rest))


def test_without_all_noise_the_violation_remains(case: Case) -> None:
    """A reader may forget these steps altogether."""
    rest = [s.number for s in case.cex.steps if s.mark != "noise"]

    assert case.bad_at_end(case.execute(rest))
    assert {"cause", "enabling", "noise"} >= {s.mark for s in case.cex.steps}


def test_exactly_the_steps_of_causes_are_marked_as_causes(case: Case) -> None:
    """The mark in the table and the sentence below it speak of the same steps."""
    named = {n for cause in case.cex.causes for n in (cause.before, cause.after)}

    assert named == {s.number for s in case.cex.steps if s.mark == "cause"}


def test_the_near_miss_is_a_run_that_satisfies_the_property(case: Case) -> None:
    """And it differs by exactly as much as it says."""
    near = case.cex.near_miss
    if near is None:
        assert not any(good for _, good in case.orders())
        return
    borne_out(case, near.steps)

    assert inversions(numbered(near.steps)) == near.swaps
    assert sum(t.manner == "inserted" for t in near.steps) == near.inserted


def test_no_nearer_order_of_the_same_steps_satisfies_the_property(case: Case) -> None:
    """Every order of the run's own actions is tried here, one by one."""
    near = case.cex.near_miss
    for order, good in case.orders():
        if good:
            assert near is not None
            assert (near.swaps, near.inserted) <= (inversions(order), 0)


def test_what_it_needs_is_among_what_is_assumed(case: Case) -> None:
    """And whatever it needs, some step of the run rests on."""
    assert set(case.cex.needs) <= set(case.cex.assumptions)
    assert case.cex.signature is not None
    assert case.cex.needs == case.cex.signature.assumptions
    assert all(any(not s.sources for s in case.cex.steps) for _ in case.cex.needs)


def test_ten_counterexamples_have_been_looked_at_and_most_of_them_race() -> None:
    """A test of causes that never meets one would prove nothing."""
    kept = [fault.kept for fault in FAULTS.values()]

    assert len(kept) >= 10
    assert sum(bool(c.causes) for c in kept) >= 5
    assert sum(c.near_miss is not None for c in kept) >= 7


@pytest.mark.slow
def test_a_step_that_nobody_needs_is_noise() -> None:
    """Planted: the IOMMU also caches another page before anything happens; the shortest run has no such step, so one is put in."""
    case = planted("skip-iotlb-flush")
    fill = case.model.system.action("iotlb_fill")
    [first, *_] = case.moves
    schedule = [first, (fill, (0, 1)), *case.moves[1:]]
    trace = run(case.evaluator, case.trace.initial, schedule)
    found = find(Scheduler(case.model, trace, case.prop, ["iommu 0"] * 3 + ["notifier"] * 5, case.evaluator))

    assert ["noise"] == [mark for n, mark in enumerate(found.marks, 1) if n == 2]
    assert "noise" not in (*found.marks[:1], *found.marks[2:])


@pytest.mark.slow
def test_the_same_run_always_has_the_same_causes() -> None:
    """The search counts states, not seconds."""
    case = planted("skip-invalid-roots")
    verdict = Violated(case.trace, "bmc", True)

    assert write(from_verdict(case.model, case.prop, verdict)) == write(from_verdict(case.model, case.prop, verdict))


@pytest.mark.slow
def test_eighteen_steps_are_marked_within_two_seconds_of_computing() -> None:
    """A report must not be what one waits for."""
    case = of_museum("huge-level-read-too-early")
    started = time.process_time()
    found = find(
        Scheduler(case.model, case.trace, case.prop, [s.actor for s in case.cex.steps], Evaluator(case.model.system, case.model.geometry))
    )

    assert time.process_time() - started < 2.0
    assert found.causes
    assert case.cex.depth == 18
