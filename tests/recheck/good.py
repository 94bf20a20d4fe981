"""Good certificates of every kind, small enough to be checked in a moment."""

from __future__ import annotations

from functools import cache

import z3

from tdpcheck.checker.arguments.lemmas import check_lemmas
from tdpcheck.checker.certificates.certificate import grounded, parametric
from tdpcheck.checker.certificates.instantiated import InitialState, instantiated
from tdpcheck.checker.every_size.theory import Theory
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.ground import ground
from tdpcheck.core.sorts import Geometry, Sort, StateVar, Word
from tdpcheck.core.system import Action, Lemma, Param, Property, TransitionSystem, Update, bool_var, set_at, truth
from tdpcheck.examples import table_cache

THREAD, PLACE = Sort("Thread"), Sort("Place", ("out", "inside"))


def toy() -> tuple[TransitionSystem, Property, tuple[Lemma, ...]]:
    """Who holds the lock is inside, and nobody else is."""
    at, lock, holder = StateVar("at", (THREAD,), PLACE), bool_var("lock"), bool_var("holder", THREAD)
    t, u = THREAD.const("t"), THREAD.const("u")
    inside, out = PLACE.element("inside"), PLACE.element("out")
    free = z3.And(z3.Not(lock()), z3.Not(z3.Exists([u], holder(u))))
    enter = Action("enter", "thread", (Param("t", THREAD),), z3.And(at(t) == out, free),
                   (set_at(at, (t,), inside), Update(lock, (), truth(True)), set_at(holder, (t,), truth(True))))  # fmt: skip
    leave = Action("leave", "thread", (Param("t", THREAD),), z3.And(at(t) == inside, holder(t)),
                   (set_at(at, (t,), out), Update(lock, (), truth(False)), set_at(holder, (t,), truth(False))))  # fmt: skip
    start = (Update(at, (t,), out), Update(lock, (), truth(False)), Update(holder, (t,), truth(False)))
    system = TransitionSystem("toy", (THREAD, PLACE), (at, lock, holder), start, (enter, leave))
    alone = z3.ForAll([t, u], z3.Implies(z3.And(at(t) == inside, at(u) == inside), t == u))
    lemmas = (
        Lemma("inside_holds", z3.ForAll([t], z3.Implies(at(t) == inside, holder(t))), "Who is inside holds it."),
        Lemma("one_holds", z3.ForAll([t, u], z3.Implies(z3.And(holder(t), holder(u)), t == u)), "One holds it."),
    )
    return system, Property("one_inside", "One is inside.", alone, lemmas=lemmas), lemmas


def words() -> str:
    """A counter that stays small, with a second one that follows it: bit-vectors, and subterms that are shared."""
    a, b = StateVar("a", (), Word(4)), StateVar("b", (), Word(4))
    step = Action("step", "any", (), z3.ULT(a(), 7), (Update(a, (), a() + 1), Update(b, (), a() + 1)))
    back = Action("back", "any", (), z3.And(a() == b(), a() != 0), (Update(a, (), a() - 1), Update(b, (), a() - 1)))
    system = TransitionSystem("words", (), (a, b), (Update(a, (), z3.BitVecVal(0, 4)), Update(b, (), z3.BitVecVal(0, 4))), (step, back))
    small = ground(system, Geometry({}))
    holds = small.formula(z3.And(z3.ULE(a(), 7), a() == b()))
    return grounded(small, Property("small", "It is small.", z3.ULE(a(), 7)), [Lemma("both", holds, "Both are small and alike.")])


@cache
def bases() -> tuple[str, ...]:
    """Good certificates of every kind."""
    system, prop, lemmas = toy()
    checked = check_lemmas(system, [prop], lemmas, recording=True)
    size = Geometry({"Thread": 2})
    start = next(iter(Evaluator(system, size).initial()))
    small = ground(system, size)
    pages = ground(table_cache.system, Geometry({"Page": 1, "Device": 1, "Thread": 1}))
    return (
        parametric(system, prop, lemmas),
        instantiated(Theory(system, [prop], lemmas), checked.uses, InitialState(size, start)),
        grounded(small, prop, [Lemma(x.name, small.formula(x.holds), x.sentence) for x in (*lemmas, prop.as_lemma)]),
        words(),
        grounded(pages, table_cache.no_stale_cache, [Lemma(x.name, pages.formula(x.holds), x.sentence) for x in table_cache.lemmas]),
    )
