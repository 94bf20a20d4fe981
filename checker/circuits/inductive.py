"""Inductive or not: clauses that somebody proposes for a grounded system, asked of a SAT solver one by one.

Nothing is taken on trust: initiation, consecution relative to the clauses alone, and that they exclude what the property forbids.

Flanagan, Leino: Houdini, an Annotation Assistant for ESC/Java, FME 2001.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import z3

from ...core.errors import EngineError
from ...core.evaluation.evaluate import Evaluator
from ...core.ground import GroundSystem, bad, cone, conjuncts
from ...core.shape import identity
from ...core.system import Lemma, Property
from ...core.verdict import Proved
from ..clock import Clock
from .circuit import Circuit, circuit
from .sat import Clauses, Sat

SOLVER = "minisat22"
Kind = Literal["initiation", "consecution", "safety"]


@dataclass(frozen=True)
class Failure:
    """What is wrong with proposed clauses.

    Args:
        kind: `initiation`: the clause fails in an initial state; `consecution`: a step from a state in which all clauses hold breaks
            it; `safety`: all clauses hold in a bad state.
        clause: which clause; None for safety.
        step: the action instance that breaks it.
        state: the values of the cells in the state before, by name.
    """

    kind: Kind
    clause: z3.BoolRef | None
    step: str = ""
    state: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        match self.kind:
            case "initiation":
                return f"an initial state does not satisfy {self.clause}"
            case "consecution":
                return f"{self.step} can break {self.clause}"
            case "safety":
                return "the clauses allow a state in which the property does not hold"


def check_inductive(
    grounded: GroundSystem, prop: Property, clauses: Sequence[z3.BoolRef], *, timeout: float | None = None
) -> tuple[Failure, ...]:
    """What keeps `clauses` (over the cells of `grounded`) from being an inductive invariant that proves `prop`; empty is a proof.

    That each cell has a value that exists is checked with them, as clauses of their own: sizes that are no power of two leave
    spare bit patterns, and no clause need speak of those.

    Raises:
        OutOfTime: the `timeout`, in seconds, is up.
    """
    proposed = [*clauses, *existing(cone(grounded, [bad(grounded, prop), *clauses]))]
    check = _Check(circuit(grounded, prop, [*proposed, *promised(grounded, prop)]), len(proposed), Clock(timeout))
    found = [Failure(kind, proposed[i], step, state) for i in range(len(proposed)) for kind, step, state in check.failures(i)]
    state = check.bad_state()
    return tuple(found) if state is None else (*found, Failure("safety", None, state=state))


def proved(grounded: GroundSystem, prop: Property, invariant: Sequence[z3.BoolRef], engine: str, queries: int, clock: Clock) -> Proved:
    """The verdict of an engine that found `invariant`, with what is needed of it, checked on the system as it was given.

    Raises:
        EngineError: it is not an inductive invariant, or does not exclude what the property forbids.
        OutOfTime: the time of `clock` is up.
    """
    clauses = essential(grounded, prop, [part for part in dict.fromkeys(invariant) if not z3.is_true(part)], clock)
    failures = check_inductive(grounded, prop, clauses, timeout=clock.left)
    if failures:
        raise EngineError(f"{engine}: what it found for {prop.name} is no inductive invariant: {failures[0]}")
    return Proved(str(grounded.geometry) or "its only size", (), queries, engine, clock.spent, clauses)


def essential(
    grounded: GroundSystem, prop: Property, clauses: Sequence[z3.BoolRef], clock: Clock, preferred: int = 0
) -> tuple[z3.BoolRef, ...]:
    """Those of inductive `clauses` that exclude the bad states, those that keep these, and so on; all of them if they are not inductive.

    That each cell has a value that exists is among them where it is needed, said or not.

    Args:
        preferred: others than the first so many clauses are taken where these do not suffice.
    """
    offered = [*clauses, *existing(cone(grounded, [bad(grounded, prop), *clauses]))]
    made = circuit(grounded, prop, [*offered, *promised(grounded, prop)])
    known, wanted = made.also[: len(offered)], made.also[len(offered) :]
    later = made.aig.replace(made.after, known)
    cnf = Clauses(made.aig, [*(latch.node for latch in made.latches), *made.inputs], [*made.also, *later])
    now = {cnf.literal(x): i for i, x in reversed(list(enumerate(known)))}
    sat = Sat(SOLVER, [*cnf.clauses, *made.waiting], clock)
    chosen: dict[int, None] = {}
    todo = [-cnf.literal(x) for x in wanted]
    while todo:
        goal = todo.pop()
        likely = [x for x, i in now.items() if i in chosen]
        others = [x for x, i in now.items() if i not in chosen]
        first = [x for x in others if now[x] < preferred]
        if (not first or sat.ask([goal, *likely, *first])) and sat.ask([goal, *likely, *others]):
            return tuple(clauses)
        new = [now[x] for x in sat.core() if x in now and now[x] not in chosen]
        chosen |= dict.fromkeys(new)
        todo += [-cnf.literal(later[i]) for i in new]
    return tuple(offered[i] for i in sorted(chosen))


def existing(grounded: GroundSystem) -> list[z3.BoolRef]:
    """That each cell has a value that exists, one formula a cell."""
    return [part for part in conjuncts(grounded.in_range) if not z3.is_true(part)]


def promised(grounded: GroundSystem, prop: Property) -> list[z3.BoolRef]:
    """What `prop` says, conjunct by conjunct: whether one of hundreds is broken is hard to say, of each it is easy."""
    return grounded_parts(grounded, prop.holds)


def grounded_lemmas(grounded: GroundSystem, lemmas: Iterable[Lemma]) -> list[z3.BoolRef]:
    """Lemmas at the size of `grounded`, conjunction by conjunction: small formulas are small questions."""
    parts = {identity(part): part for lemma in lemmas for part in grounded_parts(grounded, lemma.holds)}
    return list(parts.values())


def grounded_parts(grounded: GroundSystem, term: z3.BoolRef) -> list[z3.BoolRef]:
    """A closed term at the size of `grounded`, conjunct by conjunct, without those that say nothing."""
    return [part for part in conjuncts(grounded.formula(term)) if not z3.is_true(part)]


class _Check:
    """The formulas `also` of a circuit before and after a step: so many of them proposed, the others promised."""

    def __init__(self, made: Circuit, proposed: int, clock: Clock) -> None:
        self._made = made
        self._clock = clock
        self._later = made.aig.replace(made.after, made.also[:proposed])
        leaves = [*(latch.node for latch in made.latches), *made.inputs]
        self._cnf = Clauses(made.aig, leaves, [*made.also, *self._later])
        self._now = [self._cnf.literal(x) for x in made.also[:proposed]]
        self._promised = [self._cnf.literal(x) for x in made.also[proposed:]]
        self._then = [self._cnf.literal(x) for x in self._later]
        self._first = Sat(SOLVER, [*self._cnf.clauses, *([x] for x in made.resets)], clock)
        self._step = Sat(SOLVER, [*self._cnf.clauses, *made.waiting, *([x] for x in self._now)], clock)

    def failures(self, number: int) -> Iterable[tuple[Kind, str, tuple[tuple[str, int], ...]]]:
        """What is wrong with one formula."""
        if self._first.ask([-self._now[number]]):
            yield "initiation", "", self._state(self._first.model())
        if self._later[number] != self._made.also[number] and self._step.ask([-self._then[number]]):
            model = self._step.model()
            if self._made.starts_late and model[len(self._made.latches) - 1] < 0:
                yield "initiation", "", self._state(model)
            else:
                yield "consecution", self._action(model), self._state(model)

    def bad_state(self) -> tuple[tuple[str, int], ...] | None:
        """A bad state in which all the formulas hold."""
        return next((self._state(self._step.model()) for part in self._promised if self._step.ask([-part])), None)

    def _state(self, model: Sequence[int]) -> tuple[tuple[str, int], ...]:
        return tuple(self._made.cells(model).items())

    def _action(self, model: Sequence[int]) -> str:
        """The action that fires in a model."""
        state = self._evaluator.first(self._made.cells(model))
        action = self._made.fires(self._made.chosen(model), state, self._evaluator)
        return "resting" if action is None else action.name

    @cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(self._made.grounded.system, self._made.grounded.geometry)


def keep_inductive(made: Circuit, clock: Clock) -> list[int]:
    """The greatest set of the formulas `also` that hold initially and are kept by every step that starts where all of them hold."""
    return _Houdini(made, clock).run()


class _Houdini:
    def __init__(self, made: Circuit, clock: Clock) -> None:
        later = made.aig.replace(made.after, made.also)
        cnf = Clauses(made.aig, [*(latch.node for latch in made.latches), *made.inputs], [*made.also, *later])
        self._now = [cnf.literal(x) for x in made.also]
        self._then = [cnf.literal(x) for x in later]
        self._resets = made.resets
        self._sat = Sat(SOLVER, [*cnf.clauses, *made.waiting], clock)
        self._top = cnf.most

    def run(self) -> list[int]:
        first = self._supposed(self._resets)
        kept = [i for i, now in enumerate(self._now) if not self._sat.ask([first, -now])]
        done = False
        while not done:
            done = True
            now = self._supposed(self._now[j] for j in kept)
            for i in list(kept):
                if i in kept and self._then[i] != self._now[i] and self._sat.ask([now, -self._then[i]]):
                    model = self._sat.model()
                    kept = [j for j in kept if (model[abs(self._then[j]) - 1] > 0) == (self._then[j] > 0)]
                    now = self._supposed(self._now[j] for j in kept)
                    done = False
        return kept

    def _supposed(self, literals: Iterable[int]) -> int:
        """A literal that stands for all of these: thousands of assumptions in each of thousands of questions take their time."""
        self._top += 1
        for literal in literals:
            self._sat.add([-self._top, literal])
        return self._top
