"""Two ways to keep threads out of each other's way: a lock for any number of threads, and Peterson's algorithm for two.

`broken` looks at the lock and takes it in two steps, so that two threads can see it free. `impolite` is Peterson's algorithm
without the courtesy of letting the other go first.
"""

from __future__ import annotations

import z3

from tdpcheck import Action, Lemma, Param, Property, Rigid, Sort, StateVar, TransitionSystem, Update, bool_var, set_at, truth

Thread = Sort("Thread")
Pc = Sort("Pc", ("outside", "entering", "inside"))
outside, entering, inside = (Pc.element(name) for name in Pc.elements)

pc = StateVar("pc", (Thread,), Pc, "where the thread stands")
locked = bool_var("locked", doc="the lock is taken")
thread = Param("thread", Thread)
t, u = thread.const, Thread.const("u")


def goes(name: str, guard: z3.BoolRef, to: z3.ExprRef, *more: Update) -> Action:
    """A step of one thread."""
    return Action(name, "thread", (thread,), guard, (set_at(pc, (t,), to), *more), f"thread {{thread}}: {name}")


def lock(name: str, *entry: Action) -> TransitionSystem:
    """Threads that enter by the steps of `entry`, and leave."""
    leave = goes("leave", pc(t) == inside, outside, Update(locked, (), truth(False)))
    start = (Update(pc, pc.variables(), outside), Update(locked, (), truth(False)))
    return TransitionSystem(name, (Thread, Pc), (pc, locked), start, (*entry, leave))


take = Update(locked, (), truth(True))
system = lock("lock", goes("enter", z3.And(pc(t) == outside, z3.Not(locked())), inside, take))
broken = lock(
    "lock_in_two_steps",
    goes("look", z3.And(pc(t) == outside, z3.Not(locked())), entering),
    goes("enter", pc(t) == entering, inside, take),
)

one_inside = Property(
    "one_inside",
    "No two threads are inside at once.",
    z3.ForAll([t, u], z3.Implies(z3.And(pc(t) == inside, pc(u) == inside), t == u)),
    premise=z3.Exists([t], pc(t) == inside),
    lemmas=(
        Lemma("one_inside", z3.ForAll([t, u], z3.Implies(z3.And(pc(t) == inside, pc(u) == inside), t == u)), "One thread is inside."),
        Lemma("inside_holds_the_lock", z3.ForAll([t], z3.Implies(pc(t) == inside, locked())), "Who is inside took the lock."),
    ),
)

# Peterson's algorithm: raise your flag, let the other go first, wait until its flag is down or it let you go first.
Side = Sort("Side", ("left", "right"))
Step = Sort("Step", ("away", "flagged", "waiting", "critical"))
away, flagged, waiting, critical = (Step.element(name) for name in Step.elements)
_x = Side.const("x")

left, right = Side.element("left"), Side.element("right")
other = Rigid("other", (Side,), Side, lambda _, at: 1 - at[0], axioms=(z3.ForAll([_x], z3.Function("other", Side.z3, Side.z3)(_x) != _x),))
step = StateVar("step", (Side,), Step, "where the side stands")
flag = bool_var("flag", Side, doc="the side wants to enter")
first = StateVar("first", (), Side, "who goes first if both want to enter")
side = Param("side", Side)
s = side.const


def moves(name: str, at: z3.BoolRef, to: z3.ExprRef, *more: Update) -> Action:
    """A step of one side."""
    return Action(name, "side", (side,), at, (set_at(step, (s,), to), *more), f"{{side}}: {name}")


def two_sides(name: str, *courtesy: Update) -> TransitionSystem:
    """Peterson's algorithm, with what a side does before it waits."""
    return TransitionSystem(
        name,
        (Side, Step),
        (step, flag, first),
        (Update(step, step.variables(), away), Update(flag, flag.variables(), truth(False))),
        (
            moves("raise_flag", step(s) == away, flagged, set_at(flag, (s,), truth(True))),
            moves("give_way", step(s) == flagged, waiting, *courtesy),
            moves("enter", z3.And(step(s) == waiting, z3.Or(z3.Not(flag(other(s))), first() == s)), critical),
            moves("leave", step(s) == critical, away, set_at(flag, (s,), truth(False))),
        ),
        (other,),
    )


peterson = two_sides("peterson", Update(first, (), other(s)))
impolite = two_sides("peterson_without_courtesy", Update(first, (), s))

_both = z3.ForAll([s], z3.Implies(step(s) == critical, step(other(s)) != critical))
one_critical = Property(
    "one_critical",
    "The two sides are never critical at once.",
    _both,
    premise=z3.Exists([s], z3.And(step(s) == critical, step(other(s)) == waiting)),
    lemmas=(
        Lemma("one_critical", _both, "One side is critical."),
        Lemma("flag_tells", z3.ForAll([s], flag(s) == (step(s) != away)), "A flag is up from the first step to the last."),
        Lemma(
            "the_one_who_waits_gave_way",
            z3.ForAll([s], z3.Implies(z3.And(step(s) == critical, step(other(s)) == waiting), first() == s)),
            "Who waits for a critical side let it go first.",
        ),
    ),
)
