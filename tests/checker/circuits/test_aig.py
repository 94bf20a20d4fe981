"""The and-inverter graph says what the evaluator says: of terms, of every step, and of what is bad."""

from __future__ import annotations

import itertools
import random

import pytest
import z3

from tdpcheck.checker.circuits.aig import FALSE, TRUE, Aig, copy
from tdpcheck.checker.circuits.blast import Blaster
from tdpcheck.checker.circuits.circuit import Circuit, circuit
from tdpcheck.checker.circuits.sat import Clauses, Sat, gates
from tdpcheck.checker.clock import Clock
from tdpcheck.core.errors import ModelError
from tdpcheck.core.evaluation.evaluate import Evaluator, State
from tdpcheck.core.ground import GroundSystem, ground
from tdpcheck.core.sorts import Geometry
from tdpcheck.core.system import Property, TransitionSystem
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import build, parse_source, shipped_source
from tdpcheck.properties import PROPERTIES
from tdpcheck.tests.random_systems import GEOMETRY, random_property, random_state, random_system
from tdpcheck.tests.toys import TOYS, Toy

A, B = z3.BitVecs("a b", 5)
P = z3.Bool("p")
OPERATORS = {
    "add": A + B + A,
    "subtract": A - B,
    "multiply": A * B,
    "divide": z3.UDiv(A, B),
    "remainder": z3.URem(A, B),
    "negative": -A,
    "not": ~A,
    "and": A & B,
    "or": A | B,
    "xor": A ^ B,
    "left": A << B,
    "right": z3.LShR(A, B),
    "arithmetic": A >> B,
    "extract": z3.Extract(3, 1, A),
    "zero": z3.ZeroExt(2, A),
    "sign": z3.SignExt(2, A),
    "concat": z3.Concat(A, B),
    "if": z3.If(P, A, B),
    "ult": z3.ULT(A, B),
    "ule": z3.ULE(A, B),
    "ugt": z3.UGT(A, B),
    "uge": z3.UGE(A, B),
    "slt": A < B,
    "sle": A <= B,
    "sgt": A > B,
    "sge": A >= B,
    "equal": A == B,
    "distinct": z3.Distinct(A, B, z3.BitVecVal(3, 5)),
    "implies": z3.Implies(P, A == B),
    "xor of truths": z3.Xor(P, A == B),
    "if of truths": z3.If(P, A == 3, B == 4),
}


@pytest.mark.parametrize("term", OPERATORS.values(), ids=OPERATORS.keys())
def test_an_operator_means_what_z3_means(term: z3.ExprRef) -> None:
    """All 2048 arguments at once: each is one bit of the simulated numbers."""
    aig = Aig()
    a, b = (tuple(aig.leaf() for _ in range(5)) for _ in range(2))
    p = aig.leaf()
    result = Blaster(aig, {A: a, B: b, P: (p,)}).bits(term)
    cases = list(itertools.product(range(32), range(32), (0, 1)))

    columns = {leaf >> 1: sum((x >> place & 1) << i for i, (x, _, _) in enumerate(cases)) for place, leaf in enumerate(a)}
    columns |= {leaf >> 1: sum((y >> place & 1) << i for i, (_, y, _) in enumerate(cases)) for place, leaf in enumerate(b)}
    columns[p >> 1] = sum(z << i for i, (_, _, z) in enumerate(cases))
    simulated = aig.simulate(columns, result, (1 << len(cases)) - 1)

    for i in range(0, len(cases), 37):
        x, y, z = cases[i]
        value = z3.simplify(z3.substitute(term, (A, z3.BitVecVal(x, 5)), (B, z3.BitVecVal(y, 5)), (P, z3.BoolVal(z))))
        expected = int(z3.is_true(value)) if z3.is_bool(value) else value.as_long()
        assert expected == sum((column >> i & 1) << place for place, column in enumerate(simulated)), (x, y, z)


def test_an_operator_that_is_not_known_is_refused_by_name() -> None:
    """A wrong translation would be a wrong proof."""
    with pytest.raises(ModelError, match="rotate_left"):
        Blaster(Aig(), {A: tuple(range(2, 12, 2))}).bits(z3.RotateLeft(A, 2))


def test_a_constant_that_nobody_declared_is_refused() -> None:
    """It would become a free variable."""
    with pytest.raises(ModelError, match="does not know b"):
        Blaster(Aig(), {A: tuple(range(2, 12, 2))}).bits(A + B)


@pytest.mark.parametrize("seed", range(15))
def test_simplification_and_clauses_keep_the_meaning(seed: int) -> None:
    """Random formulas over four variables: the graph, its copy and its clauses agree with plain evaluation on all sixteen cases."""
    rng = random.Random(seed)
    aig, mask = Aig(), 0xFFFF
    leaves = [aig.leaf() for _ in range(4)]
    table = {FALSE: 0, **{leaf: sum((i >> n & 1) << i for i in range(16)) for n, leaf in enumerate(leaves)}}
    table |= {literal ^ 1: value ^ mask for literal, value in table.items()}
    for _ in range(60):
        x, y, z = (rng.choice(list(table)) for _ in range(3))
        made, value = rng.choice(
            [
                (aig.both(x, y), table[x] & table[y]),
                (aig.either(x, y), table[x] | table[y]),
                (aig.differ(x, y), table[x] ^ table[y]),
                (aig.choose(x, y, z), table[x] & table[y] | ~table[x] & mask & table[z]),
            ]
        )
        assert table.setdefault(made, value) == value
        table[made ^ 1] = value ^ mask
    roots = rng.sample(list(table), 5)

    assert [table[root] for root in roots] == aig.simulate({leaf >> 1: table[leaf] for leaf in leaves}, roots, mask)
    other = Aig()
    moved = copy(aig, other, {leaf >> 1: other.leaf() for leaf in leaves}, roots)
    assert [table[root] for root in roots] == other.simulate({n: table[leaf] for n, leaf in enumerate(leaves, 1)}, moved, mask)
    cnf = Clauses(aig, [leaf >> 1 for leaf in leaves], roots)
    sat = Sat("minisat22", cnf.clauses, Clock())
    for case in range(16):
        inputs = [n if case >> n - 1 & 1 else -n for n in range(1, 5)]
        for root in roots:
            literal = cnf.literal(root)
            assert sat.ask([*inputs, literal if table[root] >> case & 1 else -literal])
            assert not sat.ask([*inputs, -literal if table[root] >> case & 1 else literal])


def test_a_choice_and_a_long_conjunction_are_one_gate_each() -> None:
    """The solver has less to do for each of very many small questions."""
    aig = Aig()
    a, b, c, d, e = (aig.leaf() for _ in range(5))
    long = aig.both(aig.both(aig.both(a, b), c), d)
    choice = aig.choose(a, b ^ 1, e)

    assert ["and"] == [gate.kind for gate in gates(aig, [long])]
    assert ["choose"] == [gate.kind for gate in gates(aig, [choice])]


def follows(system: TransitionSystem, geometry: Geometry, prop: Property, rng: random.Random, states: int) -> Circuit:
    """Whether the circuit does from random states, reachable or not, what plain evaluation does, whatever its inputs say."""
    grounded = ground(system, geometry)
    made = circuit(grounded, prop)
    evaluator = Evaluator(system, geometry)
    for _ in range(states):
        state = settled(grounded, evaluator, random_state(rng, evaluator) if rng.random() < 0.7 else evaluator.random_initial(rng))
        values = {x.node: 1 if x.cell is None else state[evaluator.layout.position[x.cell.name]] >> x.bit & 1 for x in made.latches}
        assert evaluator.holds(prop.holds, state) != made.aig.simulate(values, [made.bad])[0]
        fired = 0
        for code in range(2 ** len(made.inputs)):
            group = made.codes[code] if code < len(made.codes) else ()
            enabled = [a for a in group if evaluator.enabled(a.action, a.arguments, state)]
            assert len(enabled) <= 1, "actions that share a code exclude each other in every state"
            fired += len(enabled)
            after = evaluator.after(enabled[0].action, enabled[0].arguments, state) if enabled else state
            inputs = {node: code >> place & 1 for place, node in enumerate(made.inputs)}
            for latch, value in zip(made.latches, made.aig.simulate(values | inputs, [x.after for x in made.latches]), strict=True):
                assert value == (1 if latch.cell is None else after[evaluator.layout.position[latch.cell.name]] >> latch.bit & 1)
        assert fired == sum(evaluator.enabled(a.action, a.arguments, state) for a in made.grounded.actions)
    return made


def settled(grounded: GroundSystem, evaluator: Evaluator, state: State) -> State:
    """A state in which the cells that never change have the values that were folded into the terms."""
    fixed = {c.name: v.as_long() if z3.is_bv_value(v) else int(z3.is_true(v)) for c, v in grounded.constants.items()}
    return tuple(fixed.get(cell.name, value) for cell, value in zip(evaluator.layout.cells, state, strict=True))


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_the_circuit_of_a_toy_steps_as_the_toy_does(toy: Toy) -> None:
    """Each enabled action is one choice of the inputs; every other choice rests."""
    follows(toy.system, toy.geometry, toy.prop, random.Random(1), 8)


@pytest.mark.parametrize("seed", range(10))
def test_the_circuit_of_a_random_system_steps_as_it_does(seed: int) -> None:
    """Every operator, words, free initial values and constraints occur there."""
    system = random_system(seed)
    follows(system, GEOMETRY, random_property(seed, system), random.Random(seed), 6)


def of_scenario(name: str, prop: str) -> Circuit:
    scenario = shipped_scenarios()[name]
    made = build(scenario, parse_source(shipped_source(scenario.design)))
    return follows(made.system, made.geometry, PROPERTIES[prop], random.Random(2), 6)


def test_the_circuit_of_a_small_scenario_steps_as_it_does() -> None:
    """Here two cells start with any value."""
    of_scenario("noncoherent-attach", "reject_noncoherent_dma")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "prop"), [("notifier-vs-fault", "no_stale_io_mapping"), ("eager-split", "atomic_hugepage_split")])
def test_the_circuit_of_a_scenario_steps_as_it_does(name: str, prop: str) -> None:
    """Kernel C is where it counts; threads share codes, so that there are far fewer codes than actions."""
    made = of_scenario(name, prop)

    assert 3 * len(made.codes) < len(made.grounded.actions)


@pytest.mark.parametrize("seed", range(20))
def test_the_initial_states_of_a_circuit_are_those_of_the_system(seed: int) -> None:
    """A latch's reset, or a first step that is taken from initial states alone: nothing may be lost or added."""
    system, rng = random_system(seed), random.Random(seed)
    made = circuit(ground(system, GEOMETRY), random_property(seed, system))
    evaluator = Evaluator(system, GEOMETRY)
    for state in [*(evaluator.random_initial(rng) for _ in range(5)), *(random_state(rng, evaluator) for _ in range(20))]:
        values = {x.node: 0 if x.cell is None else state[evaluator.layout.position[x.cell.name]] >> x.bit & 1 for x in made.latches}
        begins = all(x.reset in (None, values[x.node]) for x in made.latches)
        if made.starts_late and begins:
            begins = bool(made.aig.simulate(values | dict.fromkeys(made.inputs, 0), [made.latches[-1].after])[0])
        if evaluator.is_initial(state):
            assert begins
        elif begins:
            read = {cell.name for cell in made.grounded.cells}
            whole = evaluator.first({c.name: v for c, v in zip(evaluator.layout.cells, state, strict=True) if c.name in read})
            assert evaluator.is_initial(whole), "what the circuit leaves out is what keeps the state from being initial"


def test_a_constant_circuit_has_no_latches() -> None:
    """A property that grounding decides needs no state."""
    toy = TOYS[0]
    made = circuit(ground(toy.system, toy.geometry), toy.prop)

    assert ((), FALSE) == (made.latches, made.bad)
    assert TRUE == FALSE ^ 1
