"""Property-directed reachability (IC3): a proof by clauses, each inductive relative to those found before, or a run to a bad state.

Frame i is a set of clauses that over-approximates the states reachable in at most i steps. A state of the last frame that is bad is
a *cube* to be blocked; what leads to it within the frame before is to be blocked first. A blocked cube is made as general as
possible, and clauses are pushed forwards; the proof is done when two frames are equal.

One SAT solver holds the next-state functions and all frames, each behind a literal of its own. A predecessor is lifted to a cube by a
walk from the functions that matter to the latches that determine them. Blocking counterexamples to generalisation was tried and did
not pay. Where the state has threads, a cube that mentions the
locals of one thread at most is tried first: such clauses make thread-modular proofs, and there are far fewer of them.

Bradley: SAT-Based Model Checking without Unrolling, VMCAI 2011. Een, Mishchenko, Brayton: Efficient Implementation of Property
Directed Reachability, FMCAD 2011. Hassan, Bradley, Somenzi: Better Generalization in IC3, FMCAD 2013 (which did not pay here).
Owicki, Gries: An Axiomatic Proof Technique for Parallel Programs, 1976; Hoenicke, Majumdar, Podelski: Thread Modularity at Many
Levels, POPL 2017.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...core.errors import EngineError
from ...core.system import Lemma, Property
from ...core.trace import Trace
from ...core.verdict import Verdict
from ..attempt import Attempt, Progress, Subject
from ..clock import Clock
from .circuit import Circuit, Latch, replayed
from .frame import OnCircuit
from .sat import Clauses, Sat

ENGINE = "pdr"
SOLVER = "cadical153"
"""A tenth to a fifth faster here than minisat22 and glucose4."""
STALE = 1_000
"""After so many questions the solver is made anew: each leaves a variable and a clause behind."""
THREAD = "Thread"
"""What is a function of an element of this sort is local to it."""

_Justification = tuple[bool, tuple[int, ...], tuple[int, ...]]
"""Whether a gate chooses, its operands as literals, and their variables."""
Cube = frozenset[int]
"""Values of latches: a literal is the number of a latch, counted from 1, negative where the latch is 0."""


def pdr(
    subject: Subject,
    prop: Property,
    depth: int | None = None,
    *,
    seeds: Sequence[Lemma] | None = None,
    timeout: float | None = None,
    progress: Progress | None = None,
    solver: str = SOLVER,
) -> Verdict:
    """Prove `prop` at the size of `subject` by clauses that the search finds, or find a run that violates it.

    Args:
        depth: give up with HoldsUpTo when nothing bad is within so many steps; None searches on until it knows.
        seeds: lemmas that the search may build on, those of the property if None is given; what is not inductive of them is not used.
        timeout: seconds for everything.

    Returns:
        Proved with an inductive invariant, checked once more on the system as it was given; Violated with a replayed trace;
        HoldsUpTo `depth`; or Unknown with the depth up to which nothing bad was found.

    Raises:
        EngineError: a run does not replay, or an invariant is none.
    """

    def answer(attempt: Attempt) -> Verdict | None:
        question = OnCircuit(attempt, seeds)
        search = _Search(question.circuit, attempt.clock, solver, attempt.nothing_within)
        cubes, failed = search.up_to(depth)
        if cubes is not None:
            return question.proved([search.latches(cube) for cube in cubes], search.asked)
        return None if failed is None else question.violated(*search.run(failed))

    return Attempt(ENGINE, subject, prop, Clock(timeout), progress).answer(answer)


def blocked(made: Circuit, prop: Property, clock: Clock, solver: str = SOLVER) -> list[list[tuple[Latch, bool]]] | Trace:
    """Cubes that no run from an initial state enters, so many that with `also` their complement is inductive; or a run to a bad state.

    Args:
        made: a circuit whose formulas `also` are inductive.

    Raises:
        OutOfTime: the time of `clock` is up.
        EngineError: a run does not replay.
    """
    search = _Search(made, clock, solver)
    cubes, failed = search.up_to(None)
    if failed is not None:
        return replayed(made, prop, *search.run(failed), ENGINE)
    return [search.latches(cube) for cube in cubes or ()]


def backwards(made: Circuit, clock: Clock, solver: str = SOLVER) -> list[list[tuple[Latch, bool]]]:
    """Cubes that hold every state from which a bad one can be reached, and no reachable state: the complement is inductive.

    Args:
        made: a circuit of which it is known that nothing bad is reachable.

    Raises:
        EngineError: something bad is reachable after all.
    """
    search = _Search(made, clock, solver)
    return [search.latches(cube) for cube in search.closed()]


@dataclass(frozen=True)
class _Obligation:
    """A cube that must be blocked, the inputs that lead from it to the cube that it is blocked for, and that obligation."""

    cube: Cube
    inputs: tuple[int, ...]
    then: _Obligation | None


class _Search:
    """Frames over one circuit."""

    def __init__(self, made: Circuit, clock: Clock, solver: str, nothing_within: Progress = lambda _: None) -> None:
        self.made = made
        self._clock = clock
        self._solver_name = solver
        self._nothing_within = nothing_within
        self._owners = [None, *(_owner(latch) for latch in made.latches)]
        leaves = [*(latch.node for latch in made.latches), *made.inputs]
        self._size, self._leaves = len(made.latches), len(leaves)
        self._clauses = Clauses(made.aig, leaves, [*(latch.after for latch in made.latches), made.bad, *made.also])
        number = self._clauses.literal
        self._next = [0] * (2 * self._size + 1)
        for i, latch in enumerate(made.latches, 1):
            self._next[i], self._next[-i] = number(latch.after), -number(latch.after)
        self._bad = number(made.bad)
        self._also = [[number(x)] for x in made.also]
        self._not_first = frozenset(-x for x in made.resets)
        self._gates = self._justifications()
        self._frames: list[list[Cube]] = [[], []]
        self._activity = [0.0] * (self._size + 1)
        self._serial = itertools.count()
        self._asked = 0
        self._sat: Sat | None = None
        self._renew()

    @property
    def asked(self) -> int:
        """How many questions the solvers answered."""
        return self._asked + (self._sat.asked if self._sat else 0)

    @property
    def level(self) -> int:
        """The number of the last frame."""
        return len(self._frames) - 1

    def up_to(self, depth: int | None) -> tuple[list[Cube] | None, _Obligation | None]:
        """The clauses of a proof, or a obligation that no frame can fulfil; neither if nothing bad is within `depth` steps."""
        if self._ask([self._acts[0], self._bad]):
            return None, self._obligation(self._sat_model(), [self._bad], None)
        self._nothing_within(-self.made.starts_late)
        while True:
            failed = self._clear_last()
            if failed is not None:
                return None, failed
            refuted = self.level - self.made.starts_late
            self._nothing_within(refuted)
            if depth is not None and refuted >= depth:
                return None, None
            self._frames.append([])
            self._acts.append(self._fresh())
            fixed = self._push()
            if fixed is not None:
                return [cube for frame in self._frames[fixed + 1 :] for cube in frame], None

    def closed(self) -> list[Cube]:
        """Clauses that every reachable state satisfies and no bad one, made inductive by excluding what leads out of them."""
        done = False
        while not done:
            done = True
            while self._ask([self._acts[1], self._bad]):
                self._exclude(self._lifted(self._sat_model(), [self._bad]))
            for cube in list(self._frames[1]):
                while cube in self._frames[1] and self._reaches(cube, 1) is None:
                    self._exclude(self._lifted(self._sat_model(), [self._next[x] for x in cube]))
                    done = False
        return self._frames[1]

    def _exclude(self, cube: Cube) -> None:
        if self._initial(cube):
            raise EngineError("a bad state can be reached, although it was proved that none can")
        part = self._reaches(cube, 1)
        self._add(cube if part is None else self._general(part, 2), 1)
        if self._top > self._limit:
            self._renew()

    def latches(self, cube: Cube) -> list[tuple[Latch, bool]]:
        """A cube in words of the circuit."""
        return [(self.made.latches[abs(x) - 1], x > 0) for x in sorted(cube, key=abs)]

    def run(self, obligation: _Obligation) -> tuple[dict[int, int], list[dict[int, int]]]:
        """An initial state in the cube of a obligation, and the inputs that lead from there to a bad state."""
        wanted = {abs(x): int(x > 0) for x in obligation.cube}
        first = {x.node: wanted.get(i, 0) if x.reset is None else x.reset for i, x in enumerate(self.made.latches, 1)}
        steps = []
        at: _Obligation | None = obligation
        while at is not None and at.then is not None:
            steps.append({node: int(x > 0) for node, x in zip(self.made.inputs, at.inputs, strict=True)})
            at = at.then
        return first, steps

    # Solving

    def _renew(self) -> None:
        if self._sat is not None:
            self._asked += self._sat.asked
            self._sat.close()
        self._sat = Sat(self._solver_name, [*self._clauses.clauses, *self.made.waiting, *self._also], self._clock)
        self._top = self._clauses.most
        self._acts = [self._fresh() for _ in self._frames]
        self._limit = self._top + STALE
        for literal in self.made.resets:
            self._sat.add([-self._acts[0], literal])
        for level, frame in enumerate(self._frames):
            for cube in frame:
                self._sat.add([-self._acts[level], *(-x for x in cube)])

    def _fresh(self) -> int:
        self._top += 1
        return self._top

    def _ask(self, assumptions: Sequence[int]) -> bool:
        assert self._sat is not None
        return self._sat.ask(assumptions)

    def _sat_model(self) -> list[int]:
        assert self._sat is not None
        return self._sat.model()

    def _reaches(self, cube: Cube, level: int) -> Cube | None:
        """The part of `cube` that no step from frame `level` outside of `cube` can lead into; None if some step leads into all of it.

        The part has no initial state if `cube` has none.
        """
        sat = self._sat
        assert sat is not None
        aside = self._fresh()
        sat.add([-aside, *(-x for x in cube)])
        after = self._next
        answer = sat.ask([*self._acts[level:], aside, *(after[x] for x in cube)])
        part = None
        if not answer:
            core = set(sat.core())
            part = self._outside(frozenset(x for x in cube if after[x] in core), cube)
        sat.add([-aside])
        return part

    def _outside(self, part: Cube, cube: Cube) -> Cube:
        """`part` with a literal of `cube`, if that is needed to keep the initial states out."""
        if not self._initial(part):
            return part
        return part | {min(self._not_first & cube)}

    def _initial(self, cube: Cube) -> bool:
        """Whether some initial state lies in `cube`."""
        return self._not_first.isdisjoint(cube)

    # Lifting

    def _justifications(self) -> list[_Justification | None]:
        """For each variable its gate, cheapest operands first."""
        known: list[_Justification | None] = [None] * (self._clauses.most + 1)
        support: list[frozenset[int]] = [frozenset()] * (self._clauses.most + 1)
        for latch in range(1, self._size + 1):
            support[latch] = frozenset({latch})
        for gate in self._clauses.gates:
            out = self._clauses.variable[gate.node]
            operands = [self._clauses.literal(x) for x in gate.operands]
            support[out] = frozenset().union(*(support[abs(x)] for x in operands))
            if gate.kind == "and":
                operands.sort(key=lambda x: len(support[abs(x)]))
            known[out] = gate.kind == "choose", tuple(operands), tuple(abs(x) for x in operands)
        return known

    def _lifted(self, model: Sequence[int], goals: Iterable[int]) -> Cube:
        """Values of latches that, with the inputs of the model, give all the goals the values that they have there."""
        todo, seen, cube = [abs(x) for x in goals], set[int](), []
        size, gates = self._size, self._gates
        while todo:
            variable = todo.pop()
            if variable in seen:
                continue
            seen.add(variable)
            if variable <= size:
                cube.append(model[variable - 1])
                continue
            gate = gates[variable]
            if gate is None:
                continue
            choice, literals, variables = gate
            if choice:
                condition, then, otherwise = variables
                todo.append(condition)
                todo.append(then if model[condition - 1] == literals[0] else otherwise)
            elif model[variable - 1] > 0:
                todo += variables
            else:
                # One false operand is enough: one that is needed anyway, or else the cheapest.
                false = 0
                for literal, other in zip(literals, variables, strict=True):
                    if model[other - 1] != literal:
                        if other in seen:
                            false = 0
                            break
                        false = false or other
                if false:
                    todo.append(false)
        return frozenset(cube)

    def _obligation(self, model: Sequence[int], goals: Sequence[int], then: _Obligation | None) -> _Obligation:
        cube = self._lifted(model, goals)
        return _Obligation(cube, tuple(model[self._size : self._leaves]), then)

    # Blocking

    def _clear_last(self) -> _Obligation | None:
        """Block every bad state of the last frame; what cannot be blocked is a run."""
        while self._ask([*self._acts[self.level :], self._bad]):
            obligation = self._obligation(self._sat_model(), [self._bad], None)
            failed = self._block(obligation)
            if failed is not None:
                return failed
        return None

    def _block(self, obligation: _Obligation) -> _Obligation | None:
        todo = [(self.level, next(self._serial), obligation)]
        while todo:
            level, _, obligation = heapq.heappop(todo)
            if self._initial(obligation.cube):
                return obligation
            if self._is_blocked(obligation.cube, level):
                continue
            part = self._reaches(obligation.cube, level - 1)
            if part is None:
                before = self._obligation(self._sat_model(), [self._next[x] for x in obligation.cube], obligation)
                heapq.heappush(todo, (level - 1, next(self._serial), before))
                heapq.heappush(todo, (level, next(self._serial), obligation))
            else:
                level = self._add_general(part, level)
                if level < self.level:
                    heapq.heappush(todo, (level + 1, next(self._serial), obligation))
            if self._top > self._limit:
                self._renew()
        return None

    def _is_blocked(self, cube: Cube, level: int) -> bool:
        return any(known <= cube for frame in self._frames[level:] for known in frame)

    def _add_general(self, cube: Cube, level: int) -> int:
        """Block a generalisation of `cube`, as far ahead as it is inductive; how far that is."""
        cube = self._general(cube, level)
        while level < self.level:
            further = self._reaches(cube, level)
            if further is None:
                break
            cube, level = further, level + 1
        self._add(cube, level)
        return level

    def _add(self, cube: Cube, level: int) -> None:
        for frame in self._frames[1 : level + 1]:
            frame[:] = [known for known in frame if not cube <= known]
        self._frames[level].append(cube)
        assert self._sat is not None
        self._sat.add([-self._acts[level], *(-x for x in cube)])
        for x in cube:
            self._activity[abs(x)] += 1

    # Generalising

    def _general(self, cube: Cube, level: int) -> Cube:
        """A part of `cube` that is still unreachable from the frame before `level`: each literal was tried and is needed, for now."""
        cube = self._of_one_thread(cube, level)
        for literal in sorted(cube, key=lambda x: self._activity[abs(x)]):
            if literal in cube and len(cube) > 1:
                cube = self._still_unreachable(cube - {literal}, level) or cube
        return cube

    def _still_unreachable(self, cube: Cube, level: int) -> Cube | None:
        return None if self._initial(cube) else self._reaches(cube, level - 1)

    def _of_one_thread(self, cube: Cube, level: int) -> Cube:
        owners = {self._owners[abs(x)] for x in cube} - {None}
        if len(owners) < 2:
            return cube
        for owner in owners:
            part = self._still_unreachable(frozenset(x for x in cube if self._owners[abs(x)] in (None, owner)), level)
            if part is not None:
                return part
        return cube

    # Pushing

    def _push(self) -> int | None:
        """Move clauses forwards as far as they hold; the number of a frame that equals the next one, if there is one."""
        for level in range(1, self.level):
            for cube in list(self._frames[level]):
                if cube in self._frames[level]:
                    part = self._reaches(cube, level)
                    if part is not None:
                        self._add(part, level + 1)
            if self._top > self._limit:
                self._renew()
            if not self._frames[level]:
                return level
        return None


def _owner(latch: Latch) -> int | None:
    """The thread to which a latch is local, None if it is shared."""
    if latch.cell is not None:
        for sort, index in zip(latch.cell.var.params, latch.cell.index, strict=True):
            if sort.name == THREAD:
                return index
    return None
