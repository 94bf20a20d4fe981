"""K-induction: no bad state within k steps, and none that follows k good states of which no two are the same.

The paths of the step case are simple: without that nothing would ever be k-inductive that is not 1-inductive, since a path may
rest. It makes the method complete, too. That two states differ is asserted only for states that a solver made equal.

A k-inductive property need not be inductive. Where it is proved, every state that can reach a bad one can do so in fewer than k
steps; the invariant excludes those states. It is found backwards from the bad ones, cube by cube, each made as general as
induction allows.

Sheeran, Singh, Stålmarck: Checking Safety Properties Using Induction and a SAT-Solver, FMCAD 2000. Een, Sörensson: Temporal
Induction by Incremental SAT Solving, BMC 2003.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...core.system import Lemma, Property
from ...core.verdict import Verdict
from ..attempt import Attempt, Progress, Subject
from ..clock import Clock
from .circuit import Circuit
from .frame import OnCircuit
from .pdr import backwards
from .sat import Clauses, Sat

ENGINE = "k-induction"
SOLVER = "glucose4"


def k_induction(
    subject: Subject,
    prop: Property,
    depth: int,
    *,
    seeds: Sequence[Lemma] | None = None,
    timeout: float | None = None,
    progress: Progress | None = None,
    solver: str = SOLVER,
) -> Verdict:
    """Prove `prop` at the size of `subject` by k-induction with a k of at most `depth` + 1, or find a shortest run that violates it.

    Args:
        seeds: lemmas that may be used, those of the property if None is given; what is not inductive of them is not used.
        timeout: seconds for everything.

    Returns:
        Proved with an inductive invariant, checked once more on the system as it was given; Violated with a replayed trace;
        HoldsUpTo `depth`; or Unknown with the depth up to which nothing bad was found.

    Raises:
        EngineError: a run does not replay, or an invariant is none.
    """

    def answer(attempt: Attempt) -> Verdict | None:
        question = OnCircuit(attempt, seeds)
        made, clock = question.circuit, attempt.clock
        base, step = _Base(made, clock, solver), _Step(made, clock, solver)
        while attempt.refuted < depth:
            k = attempt.refuted + 1
            if base.violated(k + made.starts_late):
                return question.violated(*base.run())
            attempt.nothing_within(k)
            if step.holds(k + 1):
                return question.proved(backwards(made, clock), base.asked + step.asked)
        return None

    return Attempt(ENGINE, subject, prop, Clock(timeout), progress).answer(answer)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one step of an unrolled circuit stands among the variables: a variable of the circuit's clauses is so much greater."""

    offset: int

    def at(self, literal: int) -> int:
        return literal + self.offset if literal > 0 else literal - self.offset


class _Unrolled:
    """Copies of a circuit's clauses, one a step; the next state of each is the state of the one after."""

    def __init__(self, made: Circuit, clock: Clock, solver: str) -> None:
        self._made = made
        leaves = [*(latch.node for latch in made.latches), *made.inputs]
        self._cnf = Clauses(made.aig, leaves, [*(latch.after for latch in made.latches), made.bad, *made.also])
        self._after = [self._cnf.literal(latch.after) for latch in made.latches]
        self._bad = self._cnf.literal(made.bad)
        self._sat = Sat(solver, [], clock)
        self._places: list[_Place] = []
        self._good = 0
        self._top = 0

    @property
    def asked(self) -> int:
        return self._sat.asked

    def _fresh(self) -> int:
        self._top += 1
        return self._top

    def _extend(self) -> _Place:
        """One more state, linked to the one before."""
        place = _Place(self._top)
        self._top += self._cnf.most
        for clause in (*self._cnf.clauses, *self._made.waiting, *([self._cnf.literal(x)] for x in self._made.also)):
            self._sat.add([place.at(x) for x in clause])
        if self._places:
            for latch, after in enumerate(self._after, 1):
                before = self._places[-1].at(after)
                self._sat.add([-before, place.at(latch)])
                self._sat.add([before, -place.at(latch)])
        self._places.append(place)
        return place

    def _reach(self, steps: int) -> _Place:
        while len(self._places) <= steps:
            self._extend()
        return self._places[steps]

    def _all_good(self, steps: int) -> None:
        """The first states, so many of them, are not bad."""
        for place in self._places[self._good : steps]:
            self._sat.add([-place.at(self._bad)])
        self._good = max(self._good, steps)


class _Base(_Unrolled):
    """Runs from the initial states."""

    def violated(self, steps: int) -> bool:
        """Whether a bad state is so many steps away; to be asked for one number after the other."""
        place = self._reach(steps)
        self._all_good(steps)
        first = [self._places[0].at(x) for x in self._made.resets]
        return self._sat.ask([*first, place.at(self._bad)])

    def run(self) -> tuple[dict[int, int], list[dict[int, int]]]:
        """The run that was found: the first state, and the inputs at each step."""
        model = self._sat.model()
        size = len(self._made.latches)

        def values(nodes: Sequence[int], place: _Place, skipped: int) -> dict[int, int]:
            return {node: int(model[place.offset + skipped + i] > 0) for i, node in enumerate(nodes)}

        first = values([latch.node for latch in self._made.latches], self._places[0], 0)
        return first, [values(self._made.inputs, place, size) for place in self._places[:-1]]


class _Step(_Unrolled):
    """Paths of different good states that end in a bad one."""

    def holds(self, k: int) -> bool:
        """Whether no bad state follows k good ones, all different; to be asked for one k after the other."""
        last = self._reach(k)
        self._all_good(k)
        while self._sat.ask([last.at(self._bad)]):
            if not self._tell_apart(k):
                return False
        return True

    def _tell_apart(self, k: int) -> bool:
        """Forbid that states of the path just found are the same; whether any were."""
        model = self._sat.model()
        size = len(self._made.latches)
        seen: dict[tuple[bool, ...], _Place] = {}
        found = False
        for place in self._places[: k + 1]:
            state = tuple(x > 0 for x in model[place.offset : place.offset + size])
            if state in seen:
                self._differ(seen[state], place)
                found = True
            seen[state] = place
        return found

    def _differ(self, one: _Place, other: _Place) -> None:
        some = []
        for latch in range(1, len(self._made.latches) + 1):
            a, b, differs = one.at(latch), other.at(latch), self._fresh()
            self._sat.add([-differs, a, b])
            self._sat.add([-differs, -a, -b])
            some.append(differs)
        self._sat.add(some)
