"""Instantiated certificates: the instances that prove each step, and no way to say more than they do."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
import z3

from tdpcheck.checker.arguments.lemmas import check_lemmas
from tdpcheck.checker.certificates.certificate import parametric
from tdpcheck.checker.certificates.instantiated import InitialState, fitting, instantiated, instantiated_statement, recorded
from tdpcheck.checker.every_size.ematching import Matcher
from tdpcheck.checker.every_size.induction import symbols
from tdpcheck.checker.every_size.theory import Theory
from tdpcheck.core.errors import InputError
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.sorts import Geometry, Sort, StateVar
from tdpcheck.core.system import Action, Lemma, Param, Property, TransitionSystem, Update, bool_var, set_at, truth
from tdpcheck.examples import table_cache
from tdpcheck.examples.leaf_thread import system as leaf
from tdpcheck.recheck.initial_state import no_start
from tdpcheck.recheck.instances import Instantiated, Uses
from tdpcheck.recheck.obligations import INITIALLY, Certificate, after_renaming
from tdpcheck.recheck.questions import check_certificate, open_steps
from tdpcheck.recheck.reader import parse
from tdpcheck.recheck.recheck import recheck
from tdpcheck.recheck.sexpr import Sexpr, name_of, rename, symbol, write
from tdpcheck.recheck.solvers import open_session
from tdpcheck.tests.few import few
from tdpcheck.tests.toys import TOYS

EXAMPLES = {
    "table_cache": (table_cache.system, table_cache.no_stale_cache, table_cache.lemmas),
    "leaf_thread": (leaf.system, leaf.no_stale_cache, leaf.no_stale_cache.lemmas),
}
SOLVERS = ("z3", "cvc5")


@cache
def certificate(name: str) -> str:
    system, prop, lemmas = EXAMPLES[name]
    checked = check_lemmas(system, [prop], lemmas, recording=True)
    assert checked.holds, checked.broken
    return instantiated(Theory(system, [prop], lemmas), checked.uses, start_of(system))


def start_of(system: TransitionSystem) -> InitialState:
    """An initial state with two of everything."""
    geometry = Geometry({sort.name: 2 for sort in system.sorts if not sort.elements})
    return InitialState(geometry, next(Evaluator(system, geometry).initial()))


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_recorded_proof_is_accepted_by_both_solvers(name: str) -> None:
    """In fresh processes, and it is about the system and property that it says."""
    system, prop, _ = EXAMPLES[name]
    answer = recheck(certificate(name), of=instantiated_statement(system, [prop]))

    assert answer.accepted, answer
    assert ["z3", "cvc5"] == [a.solver for a in answer.answers]


def without_one_instance(text: str) -> Iterator[tuple[str, str]]:
    """For each step, the certificate without any of its instances."""
    for line in text.splitlines():
        if line.startswith("(set-info :uses"):
            step = line.split()[2].lstrip("(").rstrip(")")
            if line.count("(") > 2:
                yield step.strip("|"), text.replace(line, f"(set-info :uses ({step} ))")


@pytest.mark.parametrize("name", few(EXAMPLES, 2))
def test_a_step_without_its_instances_is_not_accepted(name: str) -> None:
    """They are the proof."""
    steps = list(without_one_instance(certificate(name)))

    needed = []
    for step, text in steps:
        answers = [check_certificate(text, solver) for solver in SOLVERS]
        assert len({a.verdict for a in answers}) == 1
        if answers[0].accepted:  # each clause as it was before the step is supposed anyway
            continue
        needed.append(step)
        assert all("undecided" == a.verdict and {step} == {f"{f.step}" for f in a.failures} for a in answers)
        assert [step] == open_steps(text)
    assert len(needed) > 1
    assert [] == open_steps(certificate(name))


@pytest.mark.parametrize("jobs", few([3, 1, 2], 3))
def test_the_shares_of_several_processes_are_the_whole(jobs: int) -> None:
    """No question falls between two of them."""
    text = certificate("leaf_thread")
    answer = recheck(text, jobs=jobs)

    assert answer.accepted
    assert [check_certificate(text, solver).queries for solver in SOLVERS] == [a.queries for a in answer.answers]


@pytest.mark.slow
def test_a_step_without_its_instances_is_missed_in_each_share() -> None:
    """By both solvers, whoever else accepts his part."""
    steps = list(parse(certificate("leaf_thread")).steps)
    needed = {step: text for step, text in without_one_instance(certificate("leaf_thread")) if [step] == open_steps(text)}
    by_share = {steps.index(step) % 2: (step, text) for step, text in needed.items() if step in steps}

    assert {0, 1} == by_share.keys()
    for step, text in by_share.values():
        answer = recheck(text, jobs=2)
        assert not answer.accepted
        assert [{step}, {step}] == [{f.step for f in a.failures} for a in answer.answers]
        assert all(a.verdict == "undecided" and a.reason for a in answer.answers)


@pytest.mark.parametrize("name", few(EXAMPLES, 2))
def test_a_certificate_names_an_initial_state(name: str) -> None:
    """What is proved of every run says nothing if there is none: without one, or with another state, nobody accepts."""
    text = certificate(name)
    lines = [line for line in text.splitlines() if line.startswith("(set-info :start-")]
    system, _, _ = EXAMPLES[name]
    values = {v.name for v in system.state}

    assert "" == no_start(parse(text))
    for solver in SOLVERS:
        answer = check_certificate("".join(f"{line}\n" for line in text.splitlines() if line not in lines), solver)
        assert "undecided" == answer.verdict
        assert "undecided whether there is an initial state: the file names none" == answer.reason
    wrong = 0
    for line in lines:
        assert no_start(parse(text.replace(f"{line}\n", "")))
        head, said = line.removesuffix("))").rsplit(" ", 1)
        turned = {"true": "false", "false": "true", "0": "1", "1": "0"}.get(said)
        if turned and line.split("(")[2].split()[0] in values:
            reason = no_start(parse(text.replace(line, f"{head} {turned}))")))
            wrong += "is not true of the one that the file names" in reason
    assert wrong > 3
    assert not recheck(text.replace(lines[0], "")).accepted


def test_a_system_that_cannot_start_is_not_proved() -> None:
    """Whatever is claimed of it: no state satisfies what is supposed of the first one."""
    system, prop, lemmas = EXAMPLES["table_cache"]
    nowhere = replace(system, constraint=z3.And(system.constraint, z3.BoolVal(False)))
    checked = check_lemmas(nowhere, [prop], lemmas, recording=True)
    text = instantiated(Theory(nowhere, [prop], lemmas), checked.uses, start_of(system))

    assert checked.holds
    assert ["an initial state exists"] == [f.step for f in check_certificate(text, "z3").failures]
    assert "is not true of" in no_start(parse(text))


@pytest.mark.parametrize("said", ["99", "x", "true", "1000000", "bv1"])
def test_a_value_that_is_none_is_no_initial_state(said: str) -> None:
    """Nor is a number of things that nobody could go through."""
    text = certificate("table_cache")
    size = next(line for line in text.splitlines() if line.startswith("(set-info :start-size (Page"))
    value = next(line for line in text.splitlines() if line.startswith("(set-info :start-value (used"))

    assert no_start(parse(text.replace(size, f"(set-info :start-size (Page {said}))")))
    assert no_start(parse(text.replace(value, f"(set-info :start-value (used {said} {said}))")))


def lemma_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("(define-fun |lemma")]


@pytest.mark.parametrize("name", few(EXAMPLES, 2))
def test_a_clause_that_is_flipped_is_not_accepted(name: str) -> None:
    """Each clause of the invariant said the other way round."""
    text = certificate(name)
    for line in lemma_lines(text):
        parts = re.match(r"(\(define-fun \S+ \S+ \(\) Bool \(forall \(.*?\)\) )(.*)\)\)$", line)
        assert parts is not None
        head, body = parts.groups()
        for solver in SOLVERS:
            assert not check_certificate(text.replace(line, f"{head}(not {body})))"), solver).accepted, (solver, line)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_certificate_without_one_of_its_clauses_is_not_accepted(name: str) -> None:
    """Instances of a clause that is not there are instances of nothing."""
    text = certificate(name)
    for line in lemma_lines(text):
        rest = text.replace(line + "\n", "")
        for solver in SOLVERS:
            assert not accepted(rest, solver), (solver, line)


def accepted(text: str, solver: str) -> bool:
    """Whether a solver accepts a certificate; one that speaks of what it does not have is refused when it is read."""
    try:
        return check_certificate(text, solver).accepted
    except InputError:
        return False


def test_a_lemma_proves_nothing_of_the_initial_state() -> None:
    """Else every invariant would hold there."""
    text = certificate("table_cache")
    clause = lemma_lines(text)[0].split("|")[1]
    (line,) = [x for x in text.splitlines() if x.startswith(f"(set-info :uses ({INITIALLY}")]

    with pytest.raises(InputError, match="no clause that is known there"):
        check_certificate(text.replace(line, line.replace(INITIALLY, f"{INITIALLY} (|{clause}| Page?0)", 1)))


def test_what_holds_initially_proves_nothing_of_a_step() -> None:
    """The state before a step need not be an initial one."""
    text = certificate("table_cache")
    line = next(x for x in text.splitlines() if x.startswith("(set-info :uses") and INITIALLY not in x)
    name = re.search(r"\(define-fun (\|init [^|]*\|)", text)
    assert name is not None

    with pytest.raises(InputError, match="no clause that is known there"):
        check_certificate(text.replace(line, line.replace("(|lemma", f"({name.group(1)} Page?0) (|lemma", 1)))


def test_a_quantifier_without_a_name_is_refused() -> None:
    """What an instance says would then depend on how a solver treats it."""
    text = certificate("table_cache")
    line = lemma_lines(text)[0]
    body = line.split(" Bool ", 1)[1][:-1]

    with pytest.raises(InputError, match="has a quantifier inside"):
        check_certificate(text.replace(line, line.replace(body, f"(and true {body})")))


def test_a_subterm_with_a_name_is_refused() -> None:
    """It could hide what a step changes, so that the clause is never asked about."""
    system, _, _ = EXAMPLES["table_cache"]
    text = certificate("table_cache")
    line = lemma_lines(text)[0]
    hidden = "(define-fun $1 () Bool (forall ((x Page)) (used x)))"

    with pytest.raises(InputError, match="gives a subterm a name"):
        check_certificate(text.replace(line, f"{line}\n{hidden}\n(define-fun |lemma hidden/1| () Bool $1)"))
    assert "used" in system.by_name


def test_a_recorded_proof_serves_again_after_a_change() -> None:
    """Of another system, only what it has; and the steps that need a new search are found."""
    system, prop, lemmas = EXAMPLES["table_cache"]
    theory = Theory(system, [prop], lemmas[1:])
    text = instantiated(theory, fitting(theory, recorded(certificate("table_cache"), "it")))
    missing = {f"lemma {part.name}" for part in Theory(system, [prop], lemmas[:1]).parts if part.lemma == lemmas[0].name}

    assert missing
    assert not any(f"(|{name}|" in text for name in missing)
    assert set(open_steps(text)) <= {INITIALLY, *(a.name for a in system.actions)}


def test_an_instance_that_says_a_part_twice_serves_again() -> None:
    """Long parts are written once, by `let`: that is no name of another theory."""
    page, device = table_cache.system.sort_by_name["Page"].const("a_page_with_a_long_name"), "Device?0"
    system, prop, lemmas = EXAMPLES["table_cache"]
    theory = Theory(system, [prop], lemmas)
    shared = f"(let (($l1 {device})) $l1)"
    uses: Uses = {"flush": (("lemma no_stale_cache/1", (shared, "Page?0")), ("lemma no_stale_cache/1", (str(page), "Page?0")))}

    assert {"flush": (("lemma no_stale_cache/1", (shared, "Page?0")),)} == fitting(theory, uses)


def test_a_certificate_of_another_kind_names_no_instances() -> None:
    """And is said to be of another kind."""
    system, prop, lemmas = EXAMPLES["table_cache"]

    with pytest.raises(InputError, match="this is a parametric certificate"):
        recorded(parametric(system, prop, lemmas), "it")


def test_no_toy_that_is_broken_is_proved() -> None:
    """Whatever instances are tried: nothing false follows from clauses that are assumed."""
    seen = set()
    for toy in {t.system.name: t for t in TOYS if t.proof != "not parametric"}.values():
        lemmas = toy.prop.lemmas
        checked = check_lemmas(toy.system, [toy.prop], lemmas, recording=True, patience=2)
        text = instantiated(Theory(toy.system, [toy.prop], lemmas), checked.uses, start_of(toy.system))
        seen.add(checked.holds)

        assert (toy.proof == "proved") == checked.holds, (toy.name, checked.broken)
        assert checked.holds == check_certificate(text, "z3").accepted, toy.name
    assert {True, False} == seen


THREADS, PLACES = Sort("Thread"), Sort("Place", ("out", "waiting", "inside"))


def random_thread_system(seed: int) -> tuple[TransitionSystem, Property]:
    """Threads at places with a flag each and one that they share; and something that may or may not be kept."""
    rng = random.Random(seed)
    pc = StateVar("pc", (THREADS,), PLACES)
    flag, shared, pair = bool_var("flag", THREADS), bool_var("shared"), bool_var("pair", THREADS, THREADS)
    t, u = THREADS.const("t"), THREADS.const("u")
    x = THREADS.const("x")
    actions = []
    for number in range(rng.randint(2, 4)):
        here, there = (PLACES.element(rng.randrange(3)) for _ in range(2))
        guard = [pc(t) == here]
        if rng.random() < 0.4:
            guard.append(z3.Not(z3.Exists([u], z3.And(u != t, flag(u)))) if rng.random() < 0.5 else shared() == rng.choice((True, False)))
        updates = [set_at(pc, (t,), there)]
        if rng.random() < 0.6:
            updates.append(set_at(flag, (t,), truth(rng.random() < 0.5)))
        if rng.random() < 0.4:
            updates.append(Update(shared, (), truth(rng.random() < 0.5)))
        if rng.random() < 0.4:
            first, second = pair.variables()
            mine = z3.Or(first == t, second == t) if rng.random() < 0.5 else first == t
            updates.append(Update(pair, (first, second), z3.If(mine, flag(second), pair(first, second))))
        actions.append(Action(f"step{number}", "thread", (Param("t", THREADS),), z3.And(guard), tuple(updates)))
    atoms = [flag(x), shared(), pair(x, u), pair(u, x), z3.Exists([t], z3.And(flag(t), t != x)), pc(u) == PLACES.element("inside")]
    chosen = [z3.Not(a) if rng.random() < 0.5 else a for a in rng.sample(atoms, rng.randint(1, 2))]
    where = pc(x) == PLACES.element(rng.randrange(3))
    holds = z3.ForAll([x, u], z3.Implies(where, z3.Or(chosen)) if rng.random() < 0.7 else z3.Or(*chosen, x == u))
    start = [Update(pc, (x,), PLACES.element("out")), Update(flag, (x,), truth(False)), Update(shared, (), truth(False))]
    system = TransitionSystem(f"random{seed}", (THREADS, PLACES), (pc, flag, shared, pair), tuple(start), tuple(actions))
    return system, Property("kept", "It is kept.", holds)


def differently_asked(text: str) -> tuple[int, list[str]]:
    """How many clauses a checker asks about in other words than "right before, wrong after", and where that says something else."""
    found = parse(text)
    instances = Instantiated(found)
    different, wrong = 0, []
    for step in found.steps.values():
        _, _, goals = instances.step(step)
        touched = [named for named in instances.named.values() if instances._reach[named.name] & step.following.keys()]
        names: dict[str, Sexpr] = {**step.following, **{named.name: symbol(name_of(named.name) + "'") for named in touched}}
        lines = [*instances.base(), *(found.made[name].text for name in (step.guard, *step.following.values()))]
        lines += [line for named in touched for line in named.declarations("'").values()]
        session = open_session("z3", "instantiated", 20.0, None)
        session.send("\n".join(lines))
        for name, clause in instances.lemmas.items():
            before = f"({name} {' '.join(x for x, _ in clause.variables)})" if clause.variables else name
            plain = f"(and {before} (not {write(rename(clause.body, names))}))"
            asked = goals.get(name, "false")
            different += asked not in (plain, "false")
            if session.ask([f"(distinct {plain} {asked})"], about=step.name).word != "unsat":
                wrong.append(f"{step.name}: {asked}")
    return different, wrong


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_checker_asks_of_an_example_no_less_than_it_must(name: str) -> None:
    """What is folded away, or not asked at all, is so whatever the state is: a solver says so of each clause and step."""
    different, wrong = differently_asked(certificate(name))

    assert [] == wrong
    assert different


@pytest.mark.slow
def test_a_checker_asks_no_less_than_it_must() -> None:
    """Of many systems that somebody made up with dice."""
    seen = 0
    for seed in range(60):
        system, prop = random_thread_system(seed)
        different, wrong = differently_asked(instantiated(Theory(system, [prop], ()), {}))
        seen += different
        assert [] == wrong, seed
    assert seen > 60


@pytest.mark.parametrize("seed", range(30))
def test_what_a_checker_does_not_ask_is_true(seed: int) -> None:
    """A clause that a step is not asked about is kept by it: what is seen by reading is so for a solver that reads nothing into it."""
    system, prop = random_thread_system(seed)
    found = parse(instantiated(Theory(system, [prop], ()), {}))
    instances = Instantiated(found)
    quantified = parse(parametric(system, prop, [Lemma(prop.name, prop.holds, "")]))
    for step in found.steps.values():
        _, _, goals = instances.step(step)
        if not goals:
            solver = z3.Solver()
            solver.set("timeout", 5000)
            changed = "".join(f"{c}\n" for c in quantified.commands)
            after = after_step(quantified, step.name)
            solver.from_string(
                changed
                + "".join(f"(assert {a})\n" for a in (*quantified.axioms, "|lemma kept|", quantified.steps[step.name].guard))
                + f"(assert (not {after}))"
            )
            assert z3.unsat == solver.check(), (seed, step.name)


def test_elements_of_an_enumeration_are_different_to_a_solver() -> None:
    """Each pair of them; and no more is said of them than can be."""
    found = parse(certificate("leaf_thread"))
    session = open_session("cvc5", "instantiated", 20.0, None)
    session.send("\n".join(Instantiated(found).base()))
    places = [name for name in found.functions if name.startswith("Pc!")]

    assert len(places) > 3
    assert "sat" == session.ask([f"(distinct {' '.join(places)})"], about="").word
    assert {"unsat"} == {session.ask([f"(= {x} {y})"], about="").word for x, y in itertools.combinations(places, 2)}


def after_step(found: Certificate, step: str) -> str:
    return after_renaming(found, found.steps[step], found.lemmas["|lemma kept|"])


@pytest.mark.parametrize("seed", few(range(30), 3))
def test_a_random_proof_is_one_for_the_solver_with_quantifiers(seed: int) -> None:
    """What is accepted by instances is accepted by the other checker, which knows nothing of instances."""
    system, prop = random_thread_system(seed)
    checked = check_lemmas(system, [prop], (), recording=True, patience=2)
    by_instances = check_certificate(instantiated(Theory(system, [prop], ()), checked.uses, start_of(system)), "z3")
    by_quantifiers = check_certificate(parametric(system, prop, [Lemma(prop.name, prop.holds, "")]), "z3")

    assert checked.holds == by_instances.accepted, (checked.broken, by_instances.failures)
    assert by_instances.accepted == by_quantifiers.accepted, by_quantifiers.failures


@pytest.mark.slow
def test_what_a_text_says_of_a_state_is_what_the_model_says() -> None:
    """Two evaluations that share no code, of states that somebody made up with dice, and where each thing may be one of many."""
    seen = set()
    for seed in range(40):
        rng = random.Random(seed)
        system, prop = random_thread_system(seed)
        geometry = Geometry({"Thread": 1 + seed % 3})
        system = replace(system, constraint=rng.choice((prop.holds, z3.Not(prop.holds))))
        theory, evaluator = Theory(system, [prop], ()), Evaluator(system, geometry)
        for _ in range(5):
            first = evaluator.first({cell.name: rng.randrange(2) for cell in evaluator.layout.cells if cell.var.name == "pair"})
            wild = tuple(rng.randrange(geometry.size(cell.var.kind)) for cell in evaluator.layout.cells)
            for state in (first, wild):
                said = no_start(parse(instantiated(theory, {}, InitialState(geometry, state))))
                seen.add((bool(said), state == first))
                assert evaluator.is_initial(state) == (not said), (seed, said)
    assert {(False, True), (True, True), (True, False)} <= seen


def test_named_quantifiers_mean_what_they_stand_for() -> None:
    """Written out again, the parts of a lemma say what the lemma says."""
    system, prop = next(x for x in map(random_thread_system, range(60)) if Theory(x[0], [x[1]], ()).existentials)
    theory = Theory(system, [prop], ())
    solver = z3.Solver()
    for named in theory.existentials:
        atom = named.var(*named.variables)
        same = atom == z3.Exists(list(named.bound), named.body)
        solver.add(z3.ForAll(list(named.variables), same) if named.variables else same)
    parts = [z3.ForAll(list(p.variables), p.body) if p.variables else p.body for p in theory.parts]
    solver.add(prop.holds != z3.And(parts))

    assert theory.existentials
    assert z3.unsat == solver.check()
    assert not any(z3.is_quantifier(p.body) for p in theory.parts)
    assert symbols(theory.parts[0].body)


def test_what_a_model_alone_has_is_known_to_nobody_else() -> None:
    """Model-based instantiation may name an element of its model; such an instance cannot be written down."""
    system, prop, lemmas = EXAMPLES["table_cache"]
    theory = Theory(system, [prop], lemmas)
    matcher = Matcher(theory, theory.clauses)
    action = next(a for a in theory.actions.values() if a.params)
    step = matcher.step(action, theory.following(action).clauses)
    sort = action.params[0].const.sort()

    assert matcher._is_known(action.params[0].const, step)
    assert matcher._is_known(theory.parts[0].variables[0], step)
    assert not matcher._is_known(z3.Const("elem!33193", sort), step)


def test_a_matcher_that_records_nothing_still_proves() -> None:
    """Recording is for certificates alone."""
    system, prop, lemmas = EXAMPLES["table_cache"]
    theory = Theory(system, [prop], lemmas)
    matcher = Matcher(theory, theory.clauses)
    plain = check_lemmas(system, [prop], lemmas)

    assert plain.holds
    assert {} == plain.uses
    assert 0 == matcher.queries
