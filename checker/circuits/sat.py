"""What the engines over circuits ask a SAT solver, and how a graph becomes clauses.

A conjunction of conjunctions that nothing else uses becomes one gate, and so does a choice between two: half the variables of the
graph are left, and a solver has less to do for each of very many small questions.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pysat.solvers import Solver

from ..clock import Clock
from .aig import Aig

WIDEST = 30
"""No gate has more operands than this."""
SLICE = 20_000
"""After so many conflicts a long question looks at the clock."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A node in terms of others: a conjunction of literals, or a choice `if operands[0] then operands[1] else operands[2]`."""

    node: int
    kind: Literal["and", "choose"]
    operands: tuple[int, ...]


def gates(aig: Aig, roots: Iterable[int]) -> list[Gate]:
    """The gates that compute the roots, older ones first. Nodes inside a gate have none of their own."""
    wanted = {root >> 1 for root in roots}
    users: dict[int, int] = dict.fromkeys(wanted, 2)
    nodes = aig.cone(2 * node for node in wanted)
    for node in nodes:
        for fanin in aig.fanins[node] or ():
            users[fanin >> 1] = users.get(fanin >> 1, 0) + 1
    found: list[Gate] = []
    needed = set(wanted)
    for node in reversed(nodes):
        if node in needed and aig.fanins[node] is not None:
            gate = _choice(aig, node) or Gate(node, "and", tuple(_operands(aig, node, users)))
            needed |= {operand >> 1 for operand in gate.operands}
            found.append(gate)
    return found[::-1]


def _choice(aig: Aig, node: int) -> Gate | None:
    """`not (c and x) and not (not c and y)` is the choice between `not x` and `not y`."""
    inside = aig.fanins[node]
    if inside is None or not inside[0] & inside[1] & 1:
        return None
    left, right = aig.fanins[inside[0] >> 1], aig.fanins[inside[1] >> 1]
    if left is None or right is None:
        return None
    for c, x in (left, left[::-1]):
        for d, y in (right, right[::-1]):
            if c == d ^ 1:
                return Gate(node, "choose", (c, x ^ 1, y ^ 1))
    return None


def _operands(aig: Aig, node: int, users: dict[int, int]) -> list[int]:
    inside = aig.fanins[node]
    assert inside is not None
    todo, found = list(inside), list[int]()
    while todo:
        literal = todo.pop()
        deeper = aig.fanins[literal >> 1]
        if literal & 1 or deeper is None or users[literal >> 1] > 1 or len(todo) + len(found) > WIDEST or _choice(aig, literal >> 1):
            found.append(literal)
        else:
            todo += deeper
    return found


class Clauses:
    """A graph's cone as clauses: the variables of the given leaves come first, in their order, then the other leaves."""

    def __init__(self, aig: Aig, leaves: Sequence[int], roots: Sequence[int]) -> None:
        self.gates = gates(aig, roots)
        self.variable = {node: number for number, node in enumerate([*leaves, 0], 1)}
        for node in (*(operand >> 1 for gate in self.gates for operand in gate.operands), *(root >> 1 for root in roots)):
            if aig.fanins[node] is None:
                self.variable.setdefault(node, len(self.variable) + 1)
        for gate in self.gates:
            self.variable[gate.node] = len(self.variable) + 1
        self.clauses: list[list[int]] = [[-self.variable[0]]]
        for gate in self.gates:
            self.clauses += _encoded(self.variable[gate.node], gate.kind, [self.literal(x) for x in gate.operands])

    def literal(self, literal: int) -> int:
        """A literal of the graph as a literal of the clauses."""
        number = self.variable[literal >> 1]
        return -number if literal & 1 else number

    @property
    def most(self) -> int:
        """The greatest variable used."""
        return len(self.variable)


def _encoded(out: int, kind: str, operands: Sequence[int]) -> list[list[int]]:
    if kind == "and":
        return [[out, *(-x for x in operands)], *([-out, x] for x in operands)]
    condition, then, otherwise = operands
    result = [[-condition, -then, out], [-condition, then, -out], [condition, -otherwise, out], [condition, otherwise, -out]]
    if then != -otherwise:
        result += [[-then, -otherwise, out], [then, otherwise, -out]]
    return result


class Sat:
    """An incremental solver that can be stopped between slices of its work.

    Args:
        name: a solver of python-sat; those of MiniSat's kin can be stopped, CaDiCaL runs to the end of a question.
    """

    def __init__(self, name: str, clauses: Iterable[Sequence[int]], clock: Clock) -> None:
        self._solver: Any = Solver(name=name, bootstrap_with=clauses)
        self._sliced = not name.startswith("cadical")
        self._clock = clock
        self._waiting: list[Sequence[int]] = []
        self.asked = 0

    def add(self, clause: Sequence[int]) -> None:
        """Add a clause from the next question on; the answer to the last one can be read until then."""
        self._waiting.append(clause)

    def ask(self, assumptions: Sequence[int]) -> bool:
        """Whether the clauses can be satisfied under the assumptions.

        Raises:
            OutOfTime: there was no answer in time.
        """
        self.asked += 1
        self._clock.check()
        for clause in self._waiting:
            self._solver.add_clause(clause)
        self._waiting.clear()
        # CaDiCaL is run under a handler of python-sat's, which stays behind: an interrupt waits until the solver is out of the way.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            while True:
                answer = self._solve(assumptions)
                if answer is not None:
                    return answer
                signal.pthread_sigmask(signal.SIG_SETMASK, before)  # an interrupt that waited arrives here
                self._clock.check()
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _solve(self, assumptions: Sequence[int]) -> bool | None:
        if not self._sliced:
            return bool(self._solver.solve(assumptions=assumptions))
        self._solver.conf_budget(SLICE)
        # Told to expect interrupts, it has no handler of its own, which would jump back from whichever thread the signal meets.
        answer = self._solver.solve_limited(assumptions=assumptions, expect_interrupt=True)
        return None if answer is None else bool(answer)

    def model(self) -> list[int]:
        """The literals that are true in the model found last, by variable."""
        return self._solver.get_model()  # type: ignore[no-any-return]

    def core(self) -> list[int]:
        """Assumptions that cannot all hold; none if the clauses alone cannot."""
        return self._solver.get_core() or []

    def close(self) -> None:
        """Give the solver's memory back."""
        self._solver.delete()
