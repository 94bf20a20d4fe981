"""A grounded system as a circuit: latches, a few inputs that choose what happens, a next-state function for each latch, and what is bad.

The inputs hold a *code*. Actions whose guards exclude each other in every state, as those of one thread at different program
counters do, share a code; where no action of the code can fire, and at code 0, the circuit rests. So every state has a successor
for every input, and nothing needs to be assumed of inputs.

Where the initial condition is more than values of single bits, one more latch, `started?`, is false until a state is found that
satisfies it; nothing happens and nothing is bad before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import z3

from ...core.errors import EngineError
from ...core.evaluation.evaluate import Evaluator, State
from ...core.ground import Cell, GroundAction, GroundSystem, bad, cone, disjunction
from ...core.sorts import Truth
from ...core.system import Property
from ...core.trace import Trace, replays, run
from ..states.walk import shorten
from .aig import FALSE, TRUE, Aig, Bits
from .blast import Blaster, constant

STARTED = "started?"


@dataclass(frozen=True)
class Latch:
    """One bit of state.

    Args:
        node: its leaf in the graph.
        reset: its first value, None where it may be either.
        after: the literal of its next value.
        cell: what it is a bit of; None for the latch `started?`.
        bit: which bit of the cell, 0 is the lowest.
    """

    node: int
    reset: int | None
    after: int
    cell: Cell | None = None
    bit: int = 0

    @property
    def literal(self) -> int:
        return 2 * self.node

    @property
    def name(self) -> str:
        """The name of its cell, with the number of the bit where there can be several."""
        if self.cell is None:
            return STARTED
        return self.cell.name if isinstance(self.cell.var.kind, Truth) else f"{self.cell.name}.{self.bit}"


@dataclass(frozen=True)
class Circuit:
    """Latches, inputs and a bad literal over one graph.

    Args:
        grounded: the part of the system that was translated.
        inputs: the nodes of the bits of the code, the lowest first.
        codes: the actions that each code chooses among; code 0 rests.
        also: further formulas over the state, such as lemmas, in the order in which they were asked for.
    """

    grounded: GroundSystem
    aig: Aig
    latches: tuple[Latch, ...]
    inputs: tuple[int, ...]
    bad: int
    codes: tuple[tuple[GroundAction, ...], ...]
    also: tuple[int, ...] = ()

    @property
    def starts_late(self) -> bool:
        """Whether a first step looks for the initial state; `started?` is the last latch then."""
        return bool(self.latches) and self.latches[-1].cell is None

    @cached_property
    def after(self) -> Mapping[int, int]:
        """The literal of each latch's next value, by its node."""
        return {latch.node: latch.after for latch in self.latches}

    @cached_property
    def resets(self) -> tuple[int, ...]:
        """The first values that are known, as the numbers of latches counted from 1, negative where a latch starts at 0."""
        return tuple(i if latch.reset else -i for i, latch in enumerate(self.latches, 1) if latch.reset is not None)

    @property
    def waiting(self) -> list[list[int]]:
        """Clauses, numbered alike: until the circuit has started, its latches have their first values."""
        last = len(self.latches)
        return [[last, x] for x in self.resets if abs(x) != last] if self.starts_late else []

    def code(self, values: Mapping[int, int]) -> int:
        """The code that these values of the inputs say."""
        return sum(values[node] << place for place, node in enumerate(self.inputs))

    def cells(self, model: Sequence[int]) -> dict[str, int]:
        """The values of cells, by name, in a model whose first variables are the latches."""
        values: dict[str, int] = {}
        for latch, literal in zip(self.latches, model, strict=False):
            if latch.cell is not None:
                values[latch.cell.name] = values.get(latch.cell.name, 0) | (literal > 0) << latch.bit
        return values

    def chosen(self, model: Sequence[int]) -> dict[int, int]:
        """The values of the inputs, by node, in a model in which they come behind the latches."""
        return {node: int(literal > 0) for node, literal in zip(self.inputs, model[len(self.latches) :], strict=False)}

    def fires(self, inputs: Mapping[int, int], state: State, evaluator: Evaluator) -> GroundAction | None:
        """The action that these inputs take in a state, by plain evaluation; None if the circuit rests."""
        code = self.code(inputs)
        actions = self.codes[code] if code < len(self.codes) else ()
        # No two actions of a code are enabled in one state.
        return next((a for a in actions if evaluator.enabled(a.action, a.arguments, state)), None)


def circuit(grounded: GroundSystem, prop: Property, also: Sequence[z3.BoolRef] = ()) -> Circuit:
    """The circuit of `prop`: what can influence it, or the grounded formulas `also`, and nothing else."""
    wrong = bad(grounded, prop)
    return _Builder(cone(grounded, [wrong, *also])).build(wrong, also)


class _Builder:
    def __init__(self, grounded: GroundSystem) -> None:
        self._grounded = grounded
        self._aig = Aig()
        self._bits: dict[Cell, Bits] = {}
        for cell in grounded.cells:
            variable = grounded.variable(cell)
            width = 1 if z3.is_bool(variable) else variable.size()
            self._bits[cell] = tuple(self._aig.leaf() for _ in range(width))
        self._blast = Blaster(self._aig, {grounded.variable(cell): bits for cell, bits in self._bits.items()})

    def build(self, wrong: z3.BoolRef, also: Sequence[z3.BoolRef]) -> Circuit:
        resets, condition = self._initial()
        guards = [(action, self._blast.truth(action.guard)) for action in self._grounded.actions]
        codes = ((), *_exclusive(self._aig, [pair for pair in guards if pair[1] != FALSE]))
        inputs = tuple(self._aig.leaf() >> 1 for _ in range((len(codes) - 1).bit_length()))
        after = self._next_state(codes, [2 * node for node in inputs])
        latches = []
        started = TRUE if condition == TRUE else self._aig.leaf()
        for cell, bits in self._bits.items():
            for place, bit in enumerate(bits):
                later = self._aig.choose(started, after[cell][place], bit)
                latches.append(Latch(bit >> 1, resets[bit], later, cell, place))
        if condition != TRUE:
            latches.append(Latch(started >> 1, 0, self._aig.either(started, condition)))
        wrong_bit = self._aig.both(started, self._blast.truth(wrong))
        more = tuple(self._aig.either(started ^ 1, self._blast.truth(term)) for term in also)
        actions = tuple(tuple(action for action, _ in group) for group in codes)
        return Circuit(self._grounded, self._aig, tuple(latches), inputs, wrong_bit, actions, more)

    def _initial(self) -> tuple[dict[int, int | None], int]:
        """The first value of each bit where it is known, and what else is known."""
        resets: dict[int, int | None] = {bit: None for bits in self._bits.values() for bit in bits}
        more = [self._blast.truth(self._grounded.constraint)]
        for cell, value in self._grounded.init.items():
            for bit, first in zip(self._bits[cell], self._blast.bits(value), strict=True):
                if first in (FALSE, TRUE):
                    resets[bit] = first
                else:
                    more.append(self._aig.differ(bit, first) ^ 1)
        more.append(self._blast.truth(self._grounded.in_range))
        known = {bit >> 1: first for bit, first in resets.items() if first is not None}
        return resets, self._aig.replace(known, [self._aig.all(more)])[0]

    def _next_state(self, codes: Sequence[Sequence[tuple[GroundAction, int]]], inputs: Sequence[int]) -> dict[Cell, Bits]:
        changes: dict[Cell, dict[Bits, list[int]]] = {cell: {} for cell in self._bits}
        for number, group in enumerate(codes):
            chosen = self._aig.equal(inputs, constant(number, len(inputs)))
            for action, guard in group:
                fires = self._aig.both(chosen, guard)
                for cell, after in action.after.items():
                    condition, value = self._change(after, self._grounded.variable(cell))
                    changes[cell].setdefault(value, []).append(self._aig.both(fires, condition))
        return {cell: self._merged(self._bits[cell], cases) for cell, cases in changes.items()}

    def _change(self, after: z3.ExprRef, before: z3.ExprRef) -> tuple[int, Bits]:
        """When a cell changes, and to what: `If(c, x, before)` changes to `x` when `c`."""
        if z3.is_app_of(after, z3.Z3_OP_ITE):
            condition, one, other = after.children()
            if other.eq(before):
                return self._blast.truth(condition), self._blast.bits(one)
            if one.eq(before):
                return self._blast.truth(condition) ^ 1, self._blast.bits(other)
        return TRUE, self._blast.bits(after)

    def _merged(self, before: Bits, cases: Mapping[Bits, Sequence[int]]) -> Bits:
        """The bits after the step: no two cases happen at once, since one action fires at a time."""
        aig = self._aig
        result = []
        when = {value: aig.any(conditions) for value, conditions in cases.items()}
        for place, bit in enumerate(before):
            # Cases that leave this bit as it is need no mention.
            to_one = aig.any(c for value, c in when.items() if value[place] == TRUE)
            moved = [(value[place], c) for value, c in when.items() if value[place] not in (FALSE, TRUE, bit)]
            leaves = aig.any([*(c for value, c in when.items() if value[place] == FALSE), *(c for _, c in moved)])
            kept = aig.both(bit, leaves ^ 1)
            result.append(aig.any([to_one, kept, *(aig.both(c, value) for value, c in moved)]))
        return tuple(result)


def _exclusive(aig: Aig, guards: Iterable[tuple[GroundAction, int]]) -> list[tuple[tuple[GroundAction, int], ...]]:
    """The actions in groups of which at most one can fire in any state, reachable or not."""
    groups: list[tuple[list[tuple[GroundAction, int]], list[tuple[frozenset[int], frozenset[int]]]]] = []
    for action, guard in guards:
        parts = aig.conjuncts(guard)
        against = frozenset(part ^ 1 for part in parts)
        for members, known in groups:
            if all(not parts.isdisjoint(theirs) for _, theirs in known):
                members.append((action, guard))
                known.append((parts, against))
                break
        else:
            groups.append(([(action, guard)], [(parts, against)]))
    return [tuple(members) for members, _ in groups]


def replayed(made: Circuit, prop: Property, first: Mapping[int, int], inputs: Sequence[Mapping[int, int]], engine: str) -> Trace:
    """The run of the system that a run of the circuit stands for, by plain evaluation, shortened where that is easy.

    Args:
        first: the first value of each latch, by node.
        inputs: the values of the inputs at each step, by node.

    Raises:
        EngineError: there is no such run, or it does not end in a violation.
    """
    evaluator = Evaluator(made.grounded.system, made.grounded.geometry)
    start, places = evaluator.first({}), evaluator.layout.position
    values: dict[str, int] = {}
    for latch in made.latches:
        if latch.cell is not None and latch.reset is None:
            name = latch.cell.name
            values[name] = values.get(name, start[places[name]]) & ~(1 << latch.bit) | first[latch.node] << latch.bit
    initial = state = evaluator.first(values)
    schedule = []
    for step in inputs[1:] if made.starts_late else inputs:
        action = made.fires(step, state, evaluator)
        if action is not None:
            state = evaluator.after(action.action, action.arguments, state)
            schedule.append((action.action, action.arguments))
    trace = run(evaluator, initial, schedule)
    if not replays(trace, prop, evaluator):
        raise EngineError(f"{engine}: the run that was found for {prop.name} does not end in a violation when replayed")
    return shorten(trace, prop, evaluator)


def bit_term(grounded: GroundSystem, latch: Latch) -> z3.BoolRef:
    """A latch as a formula over its cell."""
    assert latch.cell is not None
    variable = grounded.variable(latch.cell)
    return variable if z3.is_bool(variable) else z3.Extract(latch.bit, latch.bit, variable) == 1


def clause_term(grounded: GroundSystem, cube: Iterable[tuple[Latch, bool]]) -> z3.BoolRef:
    """The states in which not all the latches have these values, as a term over the cells, said once the circuit has started."""
    known: dict[Cell, dict[int, bool]] = {}
    for latch, value in cube:
        if latch.cell is not None:
            known.setdefault(latch.cell, {})[latch.bit] = value
        elif not value:
            return z3.BoolVal(True)
    parts: list[z3.BoolRef] = []
    for cell, bits in known.items():
        variable = grounded.variable(cell)
        if z3.is_bool(variable):
            parts.append(z3.Not(variable) if bits[0] else variable)
        elif len(bits) == variable.size():
            parts.append(variable != sum(int(value) << place for place, value in bits.items()))
        else:
            parts += [z3.Extract(place, place, variable) != int(value) for place, value in bits.items()]
    return disjunction(parts)
