"""Stuck states: found where nothing will ever move a thread again, and not where the machine only takes its time."""

from __future__ import annotations

import z3

from tdpcheck.checker.states.explore import survey
from tdpcheck.checker.states.stuck import Ends, stuck_states
from tdpcheck.core.evaluation.evaluate import State
from tdpcheck.core.sorts import BOOL, Geometry, Sort, StateVar
from tdpcheck.core.system import Action, Param, TransitionSystem, Update, set_at

THREAD = Sort("Thread")
PC = Sort("Pc", ("start", "has_one", "done"))
t, u = THREAD.const("t"), THREAD.const("u")
pc = StateVar("pc", (THREAD,), PC)
lock = StateVar("lock", (THREAD,), BOOL, "the lock that is this thread's first; it is another's second")
at = {name: PC.element(name) for name in PC.elements}
ALL_DONE = z3.ForAll([t], pc(t) == at["done"])


def two_locks(*machine: Action, flag: StateVar | None = None) -> TransitionSystem:
    """Two threads that take each other's first lock as their second: the oldest deadlock there is."""
    me, yes, no = Param("t", THREAD), z3.BoolVal(True), z3.BoolVal(False)
    free = z3.ForAll([u], z3.Implies(u != t, z3.Not(lock(u))))
    taken = (set_at(pc, (t,), at["has_one"]), set_at(lock, (t,), yes))
    given = (set_at(pc, (t,), at["done"]), set_at(lock, (t,), no))
    take = Action("take", "thread", (me,), z3.And(pc(t) == at["start"], z3.Not(lock(t))), taken)
    finish = Action("finish", "thread", (me,), z3.And(pc(t) == at["has_one"], free), given)
    extra = () if flag is None else (flag,)
    init = (Update(pc, pc.variables(), at["start"]), Update(lock, lock.variables(), no), *(Update(v, (), no) for v in extra))
    return TransitionSystem("two locks", (THREAD, PC), (pc, lock, *extra), init, (take, finish, *machine))


def asked(system: TransitionSystem) -> Ends:
    return Ends(ALL_DONE, lambda action: action.actor == "thread", pc)


def test_a_deadlock_is_found_with_a_shortest_run() -> None:
    system = two_locks()

    seen = survey(system, Geometry({"Thread": 2}), {}, ends=asked(system))

    assert seen.stuck is not None
    assert [("take", "take")] == [s.trace.actions for s in seen.stuck]
    assert [1] == [s.states for s in seen.stuck]


def test_one_thread_alone_is_never_stuck() -> None:
    """The end itself is no stuck state, though nothing is enabled there."""
    system = two_locks()

    assert () == survey(system, Geometry({"Thread": 1}), {}, ends=asked(system)).stuck


def test_what_the_machine_resolves_is_not_stuck() -> None:
    """A watchdog takes a lock away: it may be late, but a state from which it can come is none to be stuck in."""
    breaks = Action("break_lock", "machine", (), z3.ForAll([u], lock(u)), (Update(lock, lock.variables(), z3.BoolVal(False)),))
    system = two_locks(breaks)

    assert () == survey(system, Geometry({"Thread": 2}), {}, ends=asked(system)).stuck


def test_a_machine_that_turns_in_circles_resolves_nothing() -> None:
    """Caches fill and empty for ever; the threads do not come on by that."""
    flag = StateVar("flag", (), BOOL)
    turn = Action("turn", "machine", (), z3.BoolVal(True), (Update(flag, (), z3.Not(flag())),))
    system = two_locks(turn, flag=flag)

    seen = survey(system, Geometry({"Thread": 2}), {}, ends=asked(system))

    assert seen.stuck is not None
    assert [2] == [s.states for s in seen.stuck]


def test_nothing_is_said_of_a_system_that_was_not_explored_to_its_end() -> None:
    system = two_locks()

    assert survey(system, Geometry({"Thread": 2}), {}, ends=asked(system), max_states=1).stuck is None


def test_only_a_way_out_of_the_waiting_states_frees() -> None:
    """1 leads to 2 leads out; 3 and 4 lead to each other; 5 leads nowhere."""
    one, two, three, four, five, out = ((n,) for n in range(1, 7))
    edges: dict[State, tuple[State, ...]] = {one: (two,), two: (two, out), three: (four,), four: (three,), five: ()}

    assert [three, four, five] == stuck_states(edges)
