"""What is exported means what the plain evaluator means: each format is read again by somebody who did not write it."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cvc5
import pytest
import z3

from tdpcheck.checker.bounded.bmc import bmc
from tdpcheck.checker.export import btor2, promela, smtlib
from tdpcheck.checker.states.explore import reachable
from tdpcheck.core.errors import InputError
from tdpcheck.core.evaluation.evaluate import Evaluator, State
from tdpcheck.core.ground import GroundSystem, ground
from tdpcheck.core.sorts import Geometry, Sort, StateVar, Word
from tdpcheck.core.system import Action, Param, Property, TransitionSystem, Update, set_at, truth
from tdpcheck.core.verdict import HoldsUpTo, Violated
from tdpcheck.tests.checker.export.btor2 import read
from tdpcheck.tests.few import few
from tdpcheck.tests.random_systems import GEOMETRY, random_property, random_system
from tdpcheck.tests.toys import TOYS, Toy

Question = tuple[GroundSystem, Property]
every_toy = pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
some_toys = pytest.mark.parametrize("toy", few([toy for toy in TOYS if toy.states < 150], 3), ids=lambda toy: toy.name)
TOO_FEW = 3
DEPTH = 6


def of_toy(toy: Toy) -> Question:
    return ground(toy.system, toy.geometry), toy.prop


def drawn(seed: int) -> Question:
    system = random_system(seed)
    return ground(system, GEOMETRY), random_property(seed, system)


def seeds(count: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("seed", few(range(count), 3))


def runs(grounded: GroundSystem, rng: random.Random, steps: int = 12) -> Iterator[tuple[State, int, State]]:
    """Steps of a random run: a state, the number of an action instance, possible or not, and the state after it."""
    evaluator = Evaluator(grounded.system, grounded.geometry)
    state = evaluator.random_initial(rng)
    for _ in range(steps):
        number = rng.randrange(len(grounded.actions) + TOO_FEW)
        action = grounded.actions[number] if number < len(grounded.actions) else None
        possible = action is not None and evaluator.enabled(action.action, action.arguments, state)
        after = evaluator.after(action.action, action.arguments, state) if action is not None and possible else state
        yield state, number, after
        if rng.random() < 0.9:
            moves = [a for a in grounded.actions if evaluator.enabled(a.action, a.arguments, state)]
            chosen = rng.choice(moves) if moves else None
            state = evaluator.after(chosen.action, chosen.arguments, state) if chosen is not None else state


def named(grounded: GroundSystem, state: State) -> dict[str, int]:
    position = Evaluator(grounded.system, grounded.geometry).layout.position
    return {cell.name: state[position[cell.name]] for cell in grounded.cells}


# BTOR2, by an interpreter of the tests


def check_btor2(question: Question, rng: random.Random) -> None:
    grounded, prop = question
    made = read(btor2.transition_system(grounded, prop))
    evaluator = Evaluator(grounded.system, grounded.geometry)
    assert {cell.name for cell in grounded.cells} == made.states.keys() - {"initially"}
    initial = named(grounded, evaluator.random_initial(rng))
    width = made.widths[made.inputs["action?"]]
    first = made.first(initial)
    assert initial == {name: value for name, value in first.items() if name != "initially"}
    for state, number, after in runs(grounded, rng):
        values = {"initially": 0} | named(grounded, state)
        action = {"action?": number % 2**width if number >= len(grounded.actions) else number}
        if number >= len(grounded.actions) and action["action?"] < len(grounded.actions):
            continue
        known = {name: values[name] for name in made.states}
        assert {"initially": 0} | named(grounded, after) == {"initially": 0} | made.after(known, action)
        assert (not evaluator.holds(prop.holds, state)) == bool(made.values(known, action)[made.bad[prop.name]])


@every_toy
def test_btor2_steps_as_the_evaluator_does(toy: Toy) -> None:
    """Random steps of every toy, impossible ones included."""
    check_btor2(of_toy(toy), random.Random(7))


@seeds(40)
def test_btor2_of_a_drawn_system(seed: int) -> None:
    """Every operator occurs in some of them."""
    check_btor2(drawn(seed), random.Random(seed))


def test_btor2_holds_back_initial_values_that_speak_of_others() -> None:
    """Such a condition holds where `initially` is 1, and says nothing later."""
    grounded, prop = relative()
    made = read(btor2.transition_system(grounded, prop))
    held = [
        (values := made.values({"initially": first, "left": left, "right": right}, {"action?": 0}))
        and all(values[number] for number in made.constraints)
        for first in (0, 1)
        for left in range(3)
        for right in range(3)
    ]

    assert [True] * 9 + [left == right for left in range(3) for right in range(3)] == held


def relative() -> Question:
    """Two places that start alike, anywhere, and swap; the first is never at 2 unless it starts so."""
    place = Sort("Place")
    left, right = StateVar("left", (), place), StateVar("right", (), place)
    param = Param("p", place)
    swap = Action("swap", "any", (), truth(True), (set_at(left, (), right()), set_at(right, (), left())))
    move = Action("move", "any", (param,), param.const != place.element(2), (set_at(right, (), param.const),))
    system = TransitionSystem("places", (place,), (left, right), (Update(right, (), left()),), (swap, move))
    prop = Property("never_two", "Neither stands at place 2.", z3.And(left() != place.element(2), right() != place.element(2)))
    return ground(system, Geometry({"Place": 3})), prop


# SMT-LIB, by Z3 and cvc5


def ask_z3(text: str) -> str:
    solver = z3.Solver()
    solver.from_string(text.replace("(check-sat)", ""))
    return str(solver.check())


def ask_cvc5(text: str) -> str:
    terms = cvc5.TermManager()
    solver, symbols = cvc5.Solver(terms), cvc5.SymbolManager(terms)
    solver.setOption("bitblast", "eager")
    solver.setOption("tlimit", "60000")
    parser = cvc5.InputParser(solver, symbols)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "exported")
    said = ""
    while not (command := parser.nextCommand()).isNull():
        said += command.invoke(solver, symbols)
    return said.strip()


def expected(question: Question, depth: int) -> str:
    match bmc(question[0], question[1], depth):
        case Violated():
            return "sat"
        case HoldsUpTo():
            return "unsat"
        case other:
            pytest.fail(f"bmc says {other}")


@every_toy
def test_the_bounded_question_has_the_answer_of_bmc(toy: Toy) -> None:
    """Below the depth of a violation it is unsat, from there on sat."""
    question = of_toy(toy)
    depths = {0, 3} if toy.violated is None else {toy.violated - 1, toy.violated, toy.violated + 1}
    for depth in depths:
        text = smtlib.bounded(*question, depth)

        assert expected(question, depth) == ask_z3(text)
        if toy.states < 50:
            assert ask_z3(text) == ask_cvc5(text)


@seeds(12)
def test_the_bounded_question_of_a_drawn_system(seed: int) -> None:
    """Three solvers' readings of one text."""
    question = drawn(seed)
    text = smtlib.bounded(*question, 3)

    assert expected(question, 3) == ask_z3(text) == ask_cvc5(text)


def check_smtlib(question: Question, rng: random.Random, capfd: pytest.CaptureFixture[str]) -> None:
    grounded, prop = question
    text = smtlib.transition_system(grounded, prop)
    init, trans, bad = (z3.And(list(z3.parse_smt2_string(text + f"(assert |system {part}|)"))) for part in ("init", "trans", "bad"))
    capfd.readouterr()  # Z3 says of each attribute of VMT-LIB that it does not know it
    evaluator = Evaluator(grounded.system, grounded.geometry)
    selector = next((t for t in constants(trans) if t.decl().name() == "action?"), None)
    for state, number, after in runs(grounded, rng):
        here = placed(grounded, named(grounded, state), "")
        if selector is not None:
            if number >= 2 ** selector.size():
                continue
            here.append((selector, z3.BitVecVal(number, selector.size())))
        wrong = other_than(grounded, after, rng)
        for there, right in ((after, True), *([(wrong, False)] if wrong else [])):
            holds = z3.simplify(z3.substitute(trans, *here, *placed(grounded, named(grounded, there), "'")))
            assert z3.is_true(holds) if right else z3.is_false(holds)
        assert evaluator.is_initial(state) == z3.is_true(z3.simplify(z3.substitute(init, *here)))
        assert evaluator.holds(prop.holds, state) == z3.is_false(z3.simplify(z3.substitute(bad, *here)))


def other_than(grounded: GroundSystem, state: State, rng: random.Random) -> State | None:
    """Another state, in one of the cells that are exported, if there are any."""
    layout = Evaluator(grounded.system, grounded.geometry).layout
    candidates = [c for c in grounded.cells if grounded.geometry.size(c.var.kind) > 1]
    if not candidates:
        return None
    cell = rng.choice(candidates)
    at, size = layout.position[cell.name], grounded.geometry.size(cell.var.kind)
    return (*state[:at], (state[at] + 1 + rng.randrange(size - 1)) % size, *state[at + 1 :])


def placed(grounded: GroundSystem, values: dict[str, int], mark: str) -> list[tuple[z3.ExprRef, z3.ExprRef]]:
    pairs = []
    for cell in grounded.cells:
        variable, value = grounded.variable(cell), values[cell.name]
        term = z3.BitVecVal(value, variable.size()) if z3.is_bv(variable) else z3.BoolVal(bool(value))
        pairs.append((z3.Const(cell.name + mark, variable.sort()), term))
    return pairs


def constants(term: z3.ExprRef) -> list[z3.ExprRef]:
    return [] if term is None else list(z3.z3util.get_vars(term))


@some_toys
def test_smtlib_relates_a_state_to_its_successor_alone(toy: Toy, capfd: pytest.CaptureFixture[str]) -> None:
    """The relation, read again by Z3, is true of the step that the evaluator does and of no other."""
    check_smtlib(of_toy(toy), random.Random(3), capfd)


@seeds(10)
def test_smtlib_of_a_drawn_system(seed: int, capfd: pytest.CaptureFixture[str]) -> None:
    """Every operator occurs in some of them."""
    check_smtlib(drawn(seed), random.Random(seed), capfd)


def test_smtlib_of_the_transition_system_is_read_by_cvc5(capfd: pytest.CaptureFixture[str]) -> None:
    """Attributes that it does not know are no error."""
    question = of_toy(TOYS[3])
    text = smtlib.transition_system(*question) + "(assert |system init|)(assert |system trans|)(assert |system bad|)(check-sat)"
    capfd.readouterr()

    assert "unsat" == ask_cvc5(text)


# Promela, by SPIN

needs_spin = pytest.mark.skipif(not (shutil.which("spin") and shutil.which("gcc")), reason="spin or gcc is not installed")


def spin(text: str, folder: Path) -> tuple[bool, int]:
    """Whether SPIN found a violation, and how many states it stored."""
    (folder / "m.pml").write_text(text)

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stdout

    said = run("spin", "-o2", "-a", "m.pml")
    assert "rror" not in said
    run("gcc", "-O0", "-w", "-DSAFETY", "-DNOREDUCE", "-o", "pan", "pan.c")
    said = run("./pan", "-m100000")
    errors, states = re.search(r"errors: (\d+)", said), re.search(r"(\d+) states, stored", said)
    assert errors
    assert states
    assert "max search depth too small" not in said
    assert ("assertion violated" in said) == (errors[1] != "0"), said
    return errors[1] != "0", int(states[1])


def check_spin(question: Question, folder: Path) -> None:
    grounded, prop = question
    states, stats = reachable(grounded.system, grounded.geometry)
    evaluator = Evaluator(grounded.system, grounded.geometry)
    holds = evaluator.compile(prop.holds)
    violated, stored = spin(promela.model(grounded, prop), folder)

    assert violated == (not all(holds(state) for state in states))
    if not violated:
        starts = sum(1 for depth in states.values() if depth == 0)
        assert stats.states <= stored <= stats.states + (2 if starts > 1 else 0)


@needs_spin
@pytest.mark.parametrize("name", ["traffic_light-3", "counter", "a_broken_one"])
def test_spin_stores_as_many_states_as_exploration_visits(name: str, tmp_path: Path) -> None:
    """And says the same of the property."""
    broken = next(toy for toy in TOYS if toy.violated is not None)
    check_spin(of_toy(next((toy for toy in TOYS if toy.name == name), broken)), tmp_path)


@needs_spin
@pytest.mark.slow
@every_toy
def test_spin_agrees_on_every_toy(toy: Toy, tmp_path: Path) -> None:
    """A checker that is nobody's relative of ours."""
    check_spin(of_toy(toy), tmp_path)


@needs_spin
@pytest.mark.slow
@seeds(12)
def test_spin_agrees_on_drawn_systems(seed: int, tmp_path: Path) -> None:
    """Every operator occurs in some of them."""
    check_spin(drawn(seed), tmp_path)


@needs_spin
def test_spin_chooses_initial_values_and_swaps_at_once(tmp_path: Path) -> None:
    """Values that start alike, anywhere; two cells that read each other."""
    check_spin(relative(), tmp_path)


def test_promela_refuses_a_word_that_it_has_not() -> None:
    """A clear word beats a wrong model."""
    wide = StateVar("wide", (), Word(40))
    system = TransitionSystem("wide", (), (wide,), (), (Action("up", "any", (), truth(True), (set_at(wide, (), wide() + 1),)),))
    with pytest.raises(InputError, match=r"wide is a word of 40 bits.*export to smt2"):
        promela.model(ground(system, Geometry({})), Property("p", "P.", wide() != 7))


def test_identifiers_stay_apart() -> None:
    """`a.b` and `a_b` are two things, and so is what C or Promela keeps for itself."""
    names = promela.Names()

    assert ["a_b", "a_b__2", "x_bit", "x_register", "x_0", "a_b__3"] == [
        names.new(n) for n in ("a.b", "a_b", "bit", "register", "[0]", "a#b")
    ]


# All of them

EXPORTS = {
    "btor2": btor2.transition_system,
    "smt2": smtlib.transition_system,
    "smt2 bounded": lambda g, p: smtlib.bounded(g, p, 2),
    "promela": promela.model,
}

AGAIN = """
import sys, z3
noise = [z3.And(z3.Bool(f"n{i}"), z3.BitVec(f"m{i}", 3) == i % 8) for i in range(int(sys.argv[1]))]
from tdpcheck.tests.checker.export.test_exports import EXPORTS, TOYS, drawn, of_toy
for export in EXPORTS.values():
    for question in (of_toy(TOYS[3]), of_toy(TOYS[14]), drawn(3), drawn(4)):
        sys.stdout.write(export(*question))
"""


@pytest.mark.slow
def test_the_text_depends_on_the_question_alone() -> None:
    """Not on hash seeds, nor on what else the process did before."""
    texts = [
        subprocess.run(
            [sys.executable, "-c", AGAIN, noise],
            capture_output=True, text=True, check=True, timeout=120, env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
        ).stdout
        for noise, seed in (("0", "1"), ("5000", "2"))
    ]  # fmt: skip

    assert texts[0]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("export", EXPORTS.values(), ids=EXPORTS)
def test_names_are_the_models_own(export: object) -> None:
    """Cells, the values of enumerations and the actions can be read in every export."""
    text = export(*of_toy(next(t for t in TOYS if t.name.startswith("table_cache-2"))))  # type: ignore[operator]

    assert "Pc: 0 idle, 1 zapping" in text
    assert "cached[0,1]" in text
    assert "map_page(1): map page 1" in text
    assert "No device remembers a translation to a page that was given back." in text
