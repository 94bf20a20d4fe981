"""A smaller circuit for the same question: latches that never change, or always equal another one, are not needed.

Simulation from the initial state proposes classes of latches that look alike; induction keeps those of which no step can tell
the members apart. What is left out is not lost: `facts` says it as terms, for the invariant of a proof.

van Eijk: Sequential Equivalence Checking Based on Structural Similarities, TCAD 2000.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import z3

from ...core.ground import GroundSystem, bad, cone
from ...core.system import Lemma, Property
from ..clock import Clock
from .aig import FALSE, TRUE, Aig, copy
from .circuit import Circuit, Latch, bit_term, circuit
from .inductive import existing, grounded_lemmas, keep_inductive
from .sat import Clauses, Sat

SOLVER = "minisat22"
RUNS, STEPS = 256, 24
"""So many random runs at once, of so many steps, propose what may be equal."""


@dataclass(frozen=True)
class Reduced:
    """A circuit whose formulas `also` hold in every reachable state.

    Args:
        facts: what is known of the latches that were left out, and the lemmas that were kept: inductive together.
        seeds: how many of the lemmas that were offered are inductive.
    """

    circuit: Circuit
    facts: tuple[z3.BoolRef, ...]
    seeds: int = 0


def prepare(grounded: GroundSystem, prop: Property, lemmas: Sequence[Lemma], clock: Clock) -> Reduced:
    """The circuit of `prop`, reduced, with those conjuncts of `lemmas` that are inductive together; the others are not used.

    Raises:
        OutOfTime: the time of `clock` is up.
    """
    offered = grounded_lemmas(grounded, lemmas)
    known = [*offered, *existing(cone(grounded, [bad(grounded, prop), *offered]))]
    made, same = merged(circuit(grounded, prop, known), clock)
    kept = keep_inductive(made, clock)
    made = relevant(replace(made, also=tuple(made.also[i] for i in kept)))
    return Reduced(made, (*same, *(known[i] for i in kept)), sum(i < len(offered) for i in kept))


def merged(made: Circuit, clock: Clock) -> tuple[Circuit, tuple[z3.BoolRef, ...]]:
    """The circuit without the latches that are constant or equal to another one up to negation; and what was found out."""
    by_node = {latch.node: latch for latch in made.latches}
    same = _Alike(made, clock).proved()
    facts = []
    for node, representative in same.items():
        bit = bit_term(made.grounded, by_node[node])
        if representative in (FALSE, TRUE):
            facts.append(bit if representative == TRUE else z3.Not(bit))
        else:
            other = bit_term(made.grounded, by_node[representative >> 1])
            facts.append(bit == (z3.Not(other) if representative & 1 else other))
    return _rebuilt(made, [latch for latch in made.latches if latch.node not in same], same), tuple(facts)


def relevant(made: Circuit) -> Circuit:
    """The circuit without the latches on which neither what is bad nor what is known depends."""
    after = made.after
    wanted: set[int] = set()
    todo = [made.bad, *made.also]
    while todo:
        new = {node for node in made.aig.cone(todo) if node in after} - wanted
        wanted |= new
        todo = [after[node] for node in new]
    return _rebuilt(made, [latch for latch in made.latches if latch.node in wanted], {})


def _rebuilt(made: Circuit, kept: Sequence[Latch], same: Mapping[int, int]) -> Circuit:
    """The circuit over the latches `kept` in a graph of its own; `same` says what stands for the others."""
    aig = Aig()
    leaves = {latch.node: aig.leaf() for latch in kept} | {node: aig.leaf() for node in made.inputs}
    for node, literal in same.items():
        leaves[node] = (FALSE if literal < 2 else leaves[literal >> 1]) ^ literal & 1
    after = copy(made.aig, aig, leaves, [latch.after for latch in kept])
    wrong, *also = copy(made.aig, aig, leaves, [made.bad, *made.also])
    latches = tuple(replace(latch, node=leaves[latch.node] >> 1, after=new) for latch, new in zip(kept, after, strict=True))
    return replace(made, aig=aig, latches=latches, inputs=tuple(leaves[node] >> 1 for node in made.inputs), bad=wrong, also=tuple(also))


class _Alike:
    """Latches in classes: the members of one are equal, up to negation, as far as anybody knows."""

    def __init__(self, made: Circuit, clock: Clock) -> None:
        self._made = made
        self._clock = clock
        # A latch that may start with either value is equal to no other one at the start.
        self._candidates = [latch for latch in made.latches if latch.reset is not None and latch.cell is not None]
        self._first = {latch.node: latch.reset or 0 for latch in self._candidates}

    def proved(self) -> dict[int, int]:
        """For each latch that is not needed, by node, the literal that it equals in every reachable state."""
        classes = self._proposed()
        while True:
            self._clock.check()
            same = self._representatives(classes)
            if not same:
                return {}
            split = self._split(classes, same)
            if split is None:
                return same
            classes = split

    def _proposed(self) -> list[list[int]]:
        rng, mask = random.Random(1), (1 << RUNS) - 1
        made = self._made
        state = {x.node: rng.getrandbits(RUNS) if x.reset is None else mask * x.reset for x in made.latches}
        signature = {latch.node: 0 for latch in self._candidates}
        roots = [latch.after for latch in made.latches]
        for _ in range(STEPS):
            for node in signature:
                signature[node] = signature[node] << RUNS | state[node]
            inputs = {node: rng.getrandbits(RUNS) for node in made.inputs}
            values = made.aig.simulate(state | inputs, roots, mask)
            state = {latch.node: value for latch, value in zip(made.latches, values, strict=True)}
        whole = (1 << RUNS * STEPS) - 1
        classes: dict[int, list[int]] = {0: [0]}
        for node, seen in signature.items():
            classes.setdefault(seen ^ whole if self._first[node] else seen, []).append(node)
        return [members for members in classes.values() if len(members) > 1]

    def _representatives(self, classes: Sequence[Sequence[int]]) -> dict[int, int]:
        """Each member of a class but the first, as a literal of the first: equal if they start alike, else negated."""
        first = {0: 0, **self._first}
        return {node: 2 * members[0] + (first[node] ^ first[members[0]]) for members in classes for node in members[1:]}

    def _split(self, classes: Sequence[Sequence[int]], same: Mapping[int, int]) -> list[list[int]] | None:
        """The classes, where a step leads from a state in which all their members are equal to one in which they are not."""
        made, aig = self._made, Aig()
        leaves = {latch.node: aig.leaf() for latch in made.latches if latch.node not in same} | {node: aig.leaf() for node in made.inputs}
        for node, literal in same.items():
            leaves[node] = (FALSE if literal < 2 else leaves[literal >> 1]) ^ literal & 1
        members = [node for group in classes for node in group if node]
        after = dict(zip(members, copy(made.aig, aig, leaves, [made.after[node] for node in members]), strict=True)) | {0: FALSE}
        pairs = [(node, aig.differ(after[node], after[literal >> 1] ^ literal & 1)) for node, literal in same.items()]
        cnf = Clauses(aig, [], [*(differs for _, differs in pairs), *after.values()])
        sat = Sat(SOLVER, cnf.clauses, self._clock)
        first = {0: 0, **self._first}
        parts: list[dict[int, list[int]]] | None = None
        current = [list(group) for group in classes]
        apart: set[int] = set()
        for node, differs in pairs:
            if differs == FALSE or node in apart or not sat.ask([cnf.literal(differs)]):
                continue
            model = sat.model()
            parts = []
            for group in current:
                halves: dict[int, list[int]] = {}
                for member in group:
                    number = cnf.literal(after[member])
                    halves.setdefault(int((model[abs(number) - 1] > 0) == (number > 0)) ^ first[member], []).append(member)
                parts.append(halves)
                if len(halves) > 1:
                    apart |= {m for half in halves.values() if group[0] not in half for m in half}
            current = [half for halves in parts for half in halves.values()]
        sat.close()
        return None if parts is None else [group for group in current if len(group) > 1]
