"""Livelocks: threads that go round for ever are found, and a loop that somebody, or chance, will end is none."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable

import networkx as nx
import numpy as np
import pytest
import z3

from tdpcheck.checker.clock import Clock, OutOfTime
from tdpcheck.checker.states.explore import Surveyed, survey
from tdpcheck.checker.states.livelock import MACHINE, Edges, components, livelocks
from tdpcheck.checker.states.stuck import Ends
from tdpcheck.core.sorts import BOOL, Geometry, Sort, StateVar
from tdpcheck.core.system import Action, Param, TransitionSystem, Update, set_at
from tdpcheck.core.trace import misfit
from tdpcheck.tests.checker.states.test_stuck import asked as asked_of_locks
from tdpcheck.tests.checker.states.test_stuck import two_locks

THREAD = Sort("Thread")
PC = Sort("Pc", ("start", "holds", "leads", "done"))
t, u = THREAD.const("t"), THREAD.const("u")
pc = StateVar("pc", (THREAD,), PC)
lock = StateVar("lock", (THREAD,), BOOL, "held by this thread")
flag = StateVar("flag", (), BOOL)
noise = StateVar("noise", (), BOOL)
ME = (Param("t", THREAD),)
at = {name: PC.element(name) for name in PC.elements}
ALL_DONE = z3.ForAll([t], pc(t) == at["done"])
OTHERS_DONE = z3.ForAll([u], z3.Implies(u != t, pc(u) == at["done"]))
FREE = z3.ForAll([u], z3.Not(lock(u)))
YES, NO = z3.BoolVal(True), z3.BoolVal(False)


def go(name: str, start: str, end: str, *when: z3.BoolRef, updates: Iterable[Update] = ()) -> Action:
    return Action(name, "thread", ME, z3.And(pc(t) == at[start], *when), (set_at(pc, (t,), at[end]), *updates))


def machine(name: str, when: z3.BoolRef, *updates: Update) -> Action:
    return Action(name, "machine", (), when, updates)


def surveyed(*actions: Action, threads: int = 1, excused: z3.BoolRef = NO, timeout: float | None = None) -> Surveyed:
    init = (Update(pc, pc.variables(), at["start"]), Update(lock, lock.variables(), NO), Update(flag, (), NO), Update(noise, (), NO))
    system = TransitionSystem("rounds", (THREAD, PC), (pc, lock, flag, noise), init, actions)
    ends = Ends(z3.Or(ALL_DONE, excused), lambda action: action.actor == "thread", pc, excused)
    return survey(system, Geometry({"Thread": threads}), {}, ends=ends, timeout=timeout)


def told(seen: Surveyed) -> list[tuple[tuple[str, ...], tuple[str, ...], int, tuple[int, ...]]]:
    """Of each livelock the way there, the circle, the states, and who goes round; it is a lasso that plain evaluation repeats."""
    assert seen.livelocks is not None
    for found in seen.livelocks:
        assert misfit(found.trace) is None
        assert found.trace.states[found.loop] == found.trace.states[-1]
        stepping = {step.arguments[0] for step in found.trace.steps[found.loop :] if step.action.actor == "thread"}
        assert set(found.going) == stepping
    return [(f.trace.actions[: f.loop], f.trace.actions[f.loop :], f.states, f.going) for f in seen.livelocks]


AGAIN = go("again", "start", "start", z3.Not(flag()))
LEAVE = go("leave", "start", "done", flag())


def test_a_loop_that_waits_for_what_nobody_does_is_told_as_a_lasso() -> None:
    seen = surveyed(AGAIN, LEAVE)

    assert [((), ("again",), 1, (0,))] == told(seen)
    assert () == seen.stuck


def test_a_loop_that_ends_when_the_hardware_is_done_is_none() -> None:
    assert [] == told(surveyed(AGAIN, LEAVE, machine("completes", YES, Update(flag, (), YES))))


def test_a_machine_that_only_makes_noise_ends_no_loop() -> None:
    turn = machine("turn", YES, Update(noise, (), z3.Not(noise())))

    assert [((), ("again",), 2, (0,))] == told(surveyed(AGAIN, LEAVE, turn))


def test_a_loop_that_needs_the_machine_to_go_round_is_a_livelock() -> None:
    """The thread waits for a completion, finds that it was not its own, and asks again."""
    asks = go("asks", "start", "holds", updates=(Update(noise, (), NO),))
    retries = go("retries", "holds", "start", noise())
    seen = surveyed(asks, retries, machine("completes", z3.Not(noise()), Update(noise, (), YES)))

    (found,) = told(seen)
    assert {"asks", "completes", "retries"} == set(found[1])
    assert () == seen.stuck


def test_a_thread_that_may_choose_to_leave_will() -> None:
    """Whether to reschedule once more is chance, and chance leaves nothing out for ever."""
    assert [] == told(surveyed(AGAIN, go("gives_up", "start", "done")))


def test_a_choice_that_only_leads_back_helps_nobody() -> None:
    other = go("other_way", "start", "holds")

    assert [((), ("again",), 2, (0,))] == told(surveyed(AGAIN, LEAVE, other, go("back", "holds", "start")))


LEAD = go("lead", "start", "leads", z3.Not(flag()), updates=(Update(flag, (), YES),))


def test_who_waits_for_a_thread_that_goes_on_is_in_no_livelock() -> None:
    spins = go("spins", "start", "start", flag(), z3.Not(OTHERS_DONE))
    seen = surveyed(LEAD, go("ends", "leads", "done"), spins, go("sees", "start", "done", flag(), OTHERS_DONE), threads=2)

    assert [] == told(seen)


def test_who_waits_for_a_thread_that_waits_goes_round() -> None:
    """The leader needs what the spinning thread never does: it stands, the other one goes round."""
    never = go("ends", "leads", "done", OTHERS_DONE)
    spins = go("spins", "start", "start", flag(), z3.Not(OTHERS_DONE))
    seen = surveyed(LEAD, never, spins, go("sees", "start", "done", flag(), OTHERS_DONE), threads=2)

    assert [(("lead",), ("spins",), 1, (1,)), (("lead",), ("spins",), 1, (0,))] == told(seen)
    assert () == seen.stuck


def test_threads_that_undo_each_others_work_are_found() -> None:
    """Each holds a lock of its own, fails to take the other one, and drops its own: one alone would come through, if it were let."""
    takes = go("takes", "start", "holds", updates=(set_at(lock, (t,), YES),))
    alone = z3.ForAll([u], z3.Implies(u != t, z3.Not(lock(u))))
    fails = go("fails", "holds", "start", z3.Not(alone), updates=(set_at(lock, (t,), NO),))
    ends = go("ends", "holds", "done", alone, updates=(set_at(lock, (t,), NO),))
    seen = surveyed(takes, fails, ends, threads=2)

    (found,) = told(seen)
    assert (0, 1) == found[3]
    assert {"takes", "fails"} == set(found[1])


def test_a_lock_that_is_free_again_and_again_is_got() -> None:
    """Only an unfair scheduler keeps it from who waits for it."""
    mine, no_longer = (set_at(lock, (t,), YES),), (set_at(lock, (t,), NO),)
    busy = go("takes", "leads", "holds", FREE, z3.Not(OTHERS_DONE), updates=mine)
    drops = go("drops", "holds", "leads", updates=no_longer)
    waits = go("gets", "start", "done", flag(), FREE)
    seen = surveyed(LEAD, busy, drops, waits, go("ends", "leads", "done", OTHERS_DONE), threads=2)

    assert [] == told(seen)


def test_a_deadlock_stays_one() -> None:
    system = two_locks()
    seen = survey(system, Geometry({"Thread": 2}), {}, ends=asked_of_locks(system))

    assert (1, ()) == (len(seen.stuck or ()), seen.livelocks)


EXCUSED = z3.Exists([t], pc(t) == at["leads"])


def test_a_run_that_nobody_looks_at_is_no_way_out() -> None:
    """An `assume()` that could be false leaves a run out; those that stay go round all the same."""
    seen = surveyed(AGAIN, LEAVE, go("not_looked_at", "start", "leads"), excused=EXCUSED)

    assert [((), ("again",), 1, (0,))] == told(seen)


def test_who_waits_for_a_run_that_nobody_looks_at_is_in_no_livelock() -> None:
    """What the other one does next ends the run, and it will do it."""
    first = go("first", "start", "holds", z3.Not(flag()), updates=(Update(flag, (), YES),))
    spins = go("spins", "start", "start", flag())
    seen = surveyed(first, spins, go("not_looked_at", "holds", "leads"), excused=EXCUSED, threads=2)

    assert [] == told(seen)


def test_nothing_is_said_when_the_time_is_up() -> None:
    edges = Edges(*(np.array(each, np.int32) for each in ([0, 1], [1, 0], [0, 0], [0, 0])))

    assert [[0, 1]] == [c.states.tolist() for c in livelocks(2, edges, np.zeros(2, np.bool_), Clock())]
    with pytest.raises(OutOfTime):
        livelocks(2, edges, np.zeros(2, np.bool_), Clock(-1.0))


def test_nothing_is_said_of_a_system_that_was_not_explored_to_its_end() -> None:
    system = two_locks()

    assert survey(system, Geometry({"Thread": 2}), {}, ends=asked_of_locks(system), max_states=1).livelocks is None


@pytest.mark.parametrize("backwards", [False, True])
def test_components_are_those_of_another_library(backwards: bool) -> None:
    """Sparse graphs have many, and chains of them; numbers may grow along the edges or not."""
    for seed in range(150):
        rng = random.Random(seed)
        number = rng.randint(1, 30)
        edges = [(rng.randrange(number), rng.randrange(number)) for _ in range(rng.randint(0, 2 * number))]
        edges += [(each, each + 1) for each in range(number - 1) if rng.random() < 0.5]
        if backwards:
            edges = [(after, before) for before, after in edges]
        before, after = (np.array([edge[end] for edge in edges], np.int32) for end in (0, 1))
        graph = nx.DiGraph(edges)
        graph.add_nodes_from(range(number))

        label = components(number, before, after, Clock()).tolist()

        assert len(set(label)) == nx.number_strongly_connected_components(graph), seed
        assert all(len({label[node] for node in one}) == 1 for one in nx.strongly_connected_components(graph)), seed


Graph = list[tuple[int, int, int]]
"""Edges: from, to, whose."""


def by_definition(number: int, graph: Graph, excused: set[int]) -> list[list[int]]:
    """Every set of states is tried: can a fair scheduler stay in it, and do threads step there? The largest ones are the answer."""
    found: list[set[int]] = []
    for size in range(number, 0, -1):
        for states in map(set, itertools.combinations(set(range(number)) - excused, size)):
            if not any(states <= other for other in found) and _stays(states, graph, excused):
                found.append(states)
    return sorted(map(sorted, found))


def _stays(states: set[int], graph: Graph, excused: set[int]) -> bool:
    leading: dict[tuple[int, int], set[int]] = {}
    for before, after, whose in graph:
        if before in states:
            leading.setdefault((before, whose), set()).add(after)
    if any(not after <= states for (_, whose), after in leading.items() if whose == MACHINE):
        return False
    outcomes = {pair: after - excused for pair, after in leading.items()}
    chosen = {pair: after for pair, after in outcomes.items() if after and after <= states}
    stepping = {whose for _, whose in chosen} - {MACHINE}
    if not stepping or any(whose not in stepping for _, whose in leading if whose != MACHINE):
        return False
    inside = nx.DiGraph([(before, after) for (before, _), all_ in chosen.items() for after in all_])
    inside.add_nodes_from(states)
    return bool(nx.is_strongly_connected(inside))


@pytest.mark.parametrize("block", range(4))
def test_what_is_found_is_what_the_definition_says(block: int) -> None:
    kinds = set()
    for seed in range(100 * block, 100 * block + 100):
        rng = random.Random(seed)
        number, threads = rng.randint(1, 6), rng.randint(1, 3)
        states = range(number)
        graph = [(rng.choice(states), rng.choice(states), rng.randrange(-1, threads)) for _ in range(rng.randint(1, 3 * number))]
        if rng.random() < 0.5:  # a ring, so that there is something to find
            graph = [(each, (each + 1) % number, rng.randrange(-1, threads)) for each in states] + graph[: rng.randrange(4)]
        excused = {state for state in states if rng.random() < 0.05}
        for _ in states:  # excused for good, whoever steps
            excused |= {after for before, after, _ in graph if before in excused}
        rows = sorted(set(graph))
        before, after, whose = (np.array(column, np.int32) for column in zip(*rows, strict=True))
        edges = Edges(before, after, np.arange(len(rows)), whose)

        found = livelocks(number, edges, np.isin(np.arange(number), list(excused)), Clock())

        assert by_definition(number, graph, excused) == sorted(c.states.tolist() for c in found), seed
        kinds |= {(len(c.states), len(c.going)) for c in found}
    assert {(1, 1), (2, 1), (3, 1), (2, 2), (3, 2)} <= kinds
