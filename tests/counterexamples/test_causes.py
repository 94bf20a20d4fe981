"""Marks, causes and near misses mean what they say: each is borne out here by executing the model, without the code that found them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import pytest

from tdpcheck.checker.states.explore import explore
from tdpcheck.core.evaluation.evaluate import Evaluator, State
from tdpcheck.core.system import Property
from tdpcheck.core.trace import run
from tdpcheck.core.verdict import Violated
from tdpcheck.counterexamples.document import from_verdict, to_trace
from tdpcheck.counterexamples.scenes import scenes
from tdpcheck.counterexamples.schema import Cex, Instance, Turn, write
from tdpcheck.counterexamples.why.causes import find
from tdpcheck.counterexamples.why.schedule import Scheduler
from tdpcheck.kernelc.sources.patch import parse_change
from tdpcheck.model.machine import iommu, tables
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.scene import Scene
from tdpcheck.model.system import Model
from tdpcheck.properties import PROPERTIES
from tdpcheck.runner.inputs.changes import patched
from tdpcheck.runner.inputs.sources import built, files_of
from tdpcheck.runner.museum.items import shipped_items
from tdpcheck.tests.counterexamples.planted import FAULTS

QUICK = ("register-unchecked", "zap-under-read-lock")
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


@pytest.mark.slow
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


def test_no_fewer_steps_in_between_would_do(case: Case) -> None:
    """Where the order stays, every way of putting in fewer steps of the threads that act is tried here, one by one."""
    near = case.cex.near_miss
    if near is None or near.swaps or near.inserted > 4:
        return
    actors = [a.name for a in case.cex.actors if a.kind == "thread"]
    acting = {actors.index(s.actor) for s in case.cex.steps if s.actor in actors}
    software = case.model.software.actions
    sizes = {a.name: [range(case.evaluator.geometry.size(p.kind)) for p in a.params[1:]] for a in software}
    moves = [(a, (t, *rest)) for a in software for t in acting for rest in product(*sizes[a.name])]
    done = {x.index for x in case.model.software.locations if x.at.text == "done"}
    ends = [case.evaluator.layout.position[f"pc[{t}]"] for t in range(len(actors))]

    def saved(state: State, at: int, left: int) -> bool:
        """Whether the run can be gone on with so, with at most `left` more steps put in."""
        if not case.evaluator.holds(case.prop.holds, state):
            return False
        rest = case.cex.steps[at:]
        if all(s.actor in actors and state[ends[actors.index(s.actor)]] in done for s in rest):
            return True
        if rest and case.evaluator.enabled(*case.moves[at], state) and saved(case.evaluator.after(*case.moves[at], state), at + 1, left):
            return True
        later = {case.model.system.action(s.action).source[0] for s in rest if s.sources}
        more = (m for m in moves if left and m[0].source[0] not in later and case.evaluator.enabled(*m, state))
        return any(saved(case.evaluator.after(*m, state), at, left - 1) for m in more)

    assert not saved(case.trace.initial, 0, near.inserted - 1)


def flushed(case: Case, state: State) -> State:
    """The state without what the violation says is cached, or owed; done here cell by cell."""
    gone: set[str] = set()
    for found in case.cex.violation:
        at = found.at
        match case.prop.name:
            case "no_stale_io_mapping" if "gfn" in at:
                gone |= {f"iotlb_valid[{at['iommu']},{at['gfn']}]", f"psc_valid[{at['iommu']},0]"}
            case "no_stale_io_mapping":
                gone |= {f"psc_valid[{at['iommu']},{at['region']}]"}
            case "flush_before_release":
                gone |= {c.name for c in case.evaluator.layout.cells if c.var.name.startswith("owes_") and c.index[0] == at["thread"]}
            case _:
                pass
    return tuple(0 if c.name in gone else value for c, value in zip(case.evaluator.layout.cells, state, strict=True))


def kept_by_a_flush(case: Case, place: int) -> bool:
    """Whether the run's own steps keep the property if all is flushed after so many of them; the machine may find nothing to do."""
    state = case.trace.initial
    for number, (step, move) in enumerate(zip(case.cex.steps, case.moves, strict=True), 1):
        if case.evaluator.enabled(*move, state):
            state = case.evaluator.after(*move, state)
        elif step.sources:
            return False
        state = flushed(case, state) if number == place else state
        if not case.evaluator.holds(case.prop.holds, state):
            return False
    return True


def test_a_flush_where_one_is_missing_keeps_the_property(case: Case) -> None:
    """Anywhere within the window, and not after it; what is told as missing is what a maintainer would put in."""
    gap = case.cex.missing
    if gap is None:
        return
    window = range(gap.after, gap.before)

    assert [True] * len(window) == [kept_by_a_flush(case, n) for n in window]
    assert not any(kept_by_a_flush(case, n) for n in range(gap.before, case.cex.depth))
    # Earlier it would be none: what it drops could be cached again, or is not owed yet.
    due = [any(is_due(found, scene) for found in case.cex.violation) for scene in scenes(case.cex)]
    assert [False] * gap.after + [True] * (len(due) - gap.after) == due


def is_due(found: Instance, scene: Scene) -> bool:
    """Whether a flush of what the violation is about is due: the table leads there no more, or a thread owes it."""
    at = {name: int(value) for name, value in found.at.items() if not isinstance(value, str)}
    if "thread" in at:
        return bool(scene.owed(at["thread"]) or scene.owed_tables(at["thread"]))
    if "gfn" in at:
        return scene.walk(scene.number(iommu.domain_root, at["iommu"]), at["gfn"]) != at["frame"]
    return scene.word(tables.pt_state, at["table"]) != "linked"


def test_a_flush_is_missing_where_one_was_taken_out() -> None:
    """And nowhere else: a check that is gone, or an order, is not called a missing flush."""
    assert {"skip-iotlb-flush", "skip-table-flush", "yield-unflushed"} == {name for name, f in FAULTS.items() if f.kept.missing is not None}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fault-without-retry", "host-unmap-without-notifier"])
def test_where_the_table_still_leads_to_the_frame_no_flush_is_missing(name: str) -> None:
    """The next walk would cache it again: to flush would be no repair."""
    assert of_museum(name).cex.missing is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yield-without-flush", "invalidation-not-awaited", "flush-after-unlock"])
def test_known_bugs_that_lack_a_flush_are_told_so(name: str) -> None:
    """The order of two steps explains none of them by itself."""
    case = of_museum(name)

    assert case.cex.missing is not None
    test_a_flush_where_one_is_missing_keeps_the_property(case)


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
