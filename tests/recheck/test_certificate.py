"""Certificates: what is proved is accepted by two solvers, what is not is refused by both, and a file that is none is said to be none."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import cvc5
import pytest
import z3

from tdpcheck.checker.certificates.certificate import grounded, parametric, readable, statement_of
from tdpcheck.checker.every_size.induction import examine
from tdpcheck.core.errors import InputError, ModelError
from tdpcheck.core.ground import GroundSystem, ground
from tdpcheck.core.sorts import Geometry, Sort, StateVar, Word
from tdpcheck.core.system import Action, Lemma, Param, Property, TransitionSystem, Update, bool_var, set_at, truth
from tdpcheck.core.verdict import Proved
from tdpcheck.examples import counter, mutex, table_cache, traffic_light
from tdpcheck.examples.leaf_thread import system as leaf_thread
from tdpcheck.recheck.obligations import Certificate
from tdpcheck.recheck.questions import check_certificate
from tdpcheck.recheck.reader import parse
from tdpcheck.recheck.recheck import recheck, recheck_all
from tdpcheck.recheck.sexpr import Sexpr, read, write
from tdpcheck.tests.toys import TOYS

ARGUMENTS: dict[str, tuple[TransitionSystem, Property]] = {
    "table_cache": (table_cache.system, table_cache.no_stale_cache),
    "leaf_thread": (leaf_thread.system, leaf_thread.no_stale_cache),
    "peterson": (mutex.peterson, mutex.one_critical),
    "mutex": (mutex.system, mutex.one_inside),
    "traffic_light": (traffic_light.system, traffic_light.one_road_drives),
}
SIZE = Geometry({"Page": 2, "Device": 2, "Thread": 2})


def lemmas_of(prop: Property) -> tuple[Lemma, ...]:
    return prop.lemmas or (Lemma(prop.name, prop.holds, prop.sentence),)


@cache
def every_size(name: str) -> str:
    system, prop = ARGUMENTS[name]
    return parametric(system, prop, lemmas_of(prop), digest="abc", scenario="none")


@cache
def small_table() -> GroundSystem:
    return ground(table_cache.system, SIZE)


@cache
def of_one_size() -> str:
    grounder = small_table().formula
    return grounded(small_table(), table_cache.no_stale_cache, [Lemma(x.name, grounder(x.holds), x.sentence) for x in table_cache.lemmas])


CERTIFICATES = {name: ("cvc5", lambda name=name: every_size(name)) for name in ARGUMENTS} | {"ground": ("bitwuzla", of_one_size)}


def text_of(name: str) -> str:
    return CERTIFICATES[name][1]()


def lines_with(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_proof_is_accepted_by_both_solvers(name: str) -> None:
    """The questions are derived from the file, and both find that they have no counterexample."""
    for solver in ("z3", CERTIFICATES[name][0]):
        answer = check_certificate(text_of(name), solver)

        assert ("accepted", ()) == (answer.verdict, answer.failures)
        assert answer.queries > len(parse(text_of(name)).lemmas)


@pytest.mark.parametrize("name", CERTIFICATES)
def test_the_file_as_it_stands_is_read_by_other_programs(name: str) -> None:
    """It is plain SMT-LIB: definitions that somebody may take into questions of their own."""
    text = text_of(name)
    context = z3.Context()  # lives as long as it is used
    said = z3.z3core.Z3_eval_smtlib2_string(context.ref(), text + "(check-sat)")
    solver = cvc5.Solver()
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, name)
    answers = set()
    while not (command := parser.nextCommand()).isNull():
        answers.add(command.invoke(solver, parser.getSymbolManager()))

    assert "sat" == said.strip()
    assert {""} == answers


@pytest.mark.parametrize("solver", ["z3", "cvc5", "bitwuzla"])
def test_a_grounded_proof_is_read_by_three_solvers(solver: str) -> None:
    """Who lacks one of them takes another."""
    assert check_certificate(of_one_size(), solver).accepted


def dropped(name: str) -> Iterator[tuple[str, str]]:
    """Each clause, and the certificate without it."""
    text = text_of(name)
    for line in lines_with(text, "(define-fun |lemma"):
        said = re.compile(r"(\(set-info :(says|because) .*\n)*" + re.escape(line))
        yield line.split("|")[1], said.sub("", text)


@pytest.mark.parametrize("name", ["table_cache", "leaf_thread"])
def test_a_certificate_without_one_of_its_clauses_is_refused(name: str) -> None:
    """Each clause of these is needed: none of them may be missed without a counterexample to induction."""
    clauses = list(dropped(name))

    assert len(lemmas_of(ARGUMENTS[name][1])) == len(clauses) > 4
    for clause, text in clauses:
        for solver in ("z3", CERTIFICATES[name][0]):
            assert "refused" == check_certificate(text, solver, most=1).verdict, (solver, clause)


def test_a_grounded_certificate_without_one_of_its_clauses_is_refused() -> None:
    """The same for quantifier-free ones."""
    clauses = list(dropped("ground"))

    assert 5 == len(clauses)
    for clause, text in clauses:
        assert ["refused", "refused"] == [check_certificate(text, s, most=1).verdict for s in ("z3", "bitwuzla")], clause


def atoms(body: Sexpr) -> Iterator[list[int]]:
    """Where the atoms of a clause stand."""
    todo: list[tuple[Sexpr, list[int]]] = [(body, [])]
    while todo:
        node, path = todo.pop()
        if isinstance(node, list) and node[0] in ("forall", "exists", "=>", "and", "or", "not"):
            first = 2 if node[0] in ("forall", "exists") else 1
            todo += [(child, [*path, place]) for place, child in enumerate(node) if place >= first]
        else:
            yield path


def flipped(body: Sexpr, path: list[int]) -> Sexpr:
    if not path:
        return ["not", body]
    assert isinstance(body, list)
    return [flipped(child, path[1:]) if place == path[0] else child for place, child in enumerate(body)]


def literals(name: str) -> Iterator[tuple[str, str]]:
    """Each literal of each clause, and the certificate in which it is negated."""
    text = text_of(name)
    for line in lines_with(text, "(define-fun |lemma"):
        (definition,) = read(line)
        assert isinstance(definition, list)
        for path in atoms(definition[4]):
            changed = write([*definition[:4], flipped(definition[4], path)])
            yield f"{line.split('|')[1]} {path}", text.replace(line, changed)


@pytest.mark.parametrize("name", ["table_cache", *(pytest.param(name, marks=pytest.mark.slow) for name in ("leaf_thread", "ground"))])
def test_a_certificate_with_one_literal_flipped_is_refused(name: str) -> None:
    """A clause that says the opposite somewhere is another clause, and these leave no room for another."""
    accepted = [
        (solver, literal)
        for literal, text in literals(name)
        for solver in ("z3", CERTIFICATES[name][0])
        if check_certificate(text, solver, most=1).verdict != "refused"
    ]

    assert len(list(literals(name))) > 12
    assert [] == accepted


def test_what_fails_is_named_with_its_sentence() -> None:
    """The step, the clause, and what the clause says."""
    text = parametric(table_cache.broken, table_cache.no_stale_cache, table_cache.lemmas)
    pairs = set(examine(table_cache.broken, table_cache.no_stale_cache).obligations)
    broken = {(o.step, o.lemma) for o in pairs if o.answer == "broken"}

    for solver in ("z3", "cvc5"):
        answer = check_certificate(text, solver)
        assert "refused" == answer.verdict
        assert broken == {(f.step, f.clause) for f in answer.failures}
        assert "give_back does not keep cached_is_mapped_or_owed (What is cached is mapped or owed.)" == str(answer.failures[0])


def test_every_toy_that_is_proved_or_broken_is_so_for_the_checker() -> None:
    """The checker shares neither substitution nor encoding with the engine, and finds the same pairs."""
    for toy in {t.system.name: t for t in TOYS if t.proof != "not parametric"}.values():
        answer = check_certificate(parametric(toy.system, toy.prop, lemmas_of(toy.prop)), "z3")

        assert (toy.proof == "proved") == answer.accepted, toy.name
        assert toy.proof == "proved" or set(toy.proof) <= {(f.step, f.clause) for f in answer.failures}, toy.name


def test_a_system_without_an_initial_state_is_refused() -> None:
    """Everything holds of nothing."""
    page = Sort("Page")
    held, p = bool_var("held", page), page.const("p")
    nothing = Update(held, held.variables(), truth(False))
    taken = Param("page", page)
    still = Action("still", "any", (taken,), truth(True), (set_at(held, (taken.const,), truth(True)),))
    system = TransitionSystem("nowhere", (page,), (held,), (nothing,), (still,), constraint=z3.Exists([p], held(p)))
    prop = Property("fine", "", truth(True))
    small = ground(system, Geometry({"Page": 2}))

    for text, solver in (
        (parametric(system, prop, [Lemma("t", truth(True), "")]), "cvc5"),
        (grounded(small, prop, [truth(True)]), "bitwuzla"),
    ):
        for each in ("z3", solver):
            answer = check_certificate(text, each)
            assert ("refused", ["there is no initial state"]) == (answer.verdict, [str(f) for f in answer.failures])


def test_a_clause_must_hold_initially() -> None:
    """What is only kept need never have been true."""
    page = Sort("Page")
    held = bool_var("held", page)
    p = Param("page", page)
    take = Action("take", "any", (p,), truth(True), (set_at(held, (p.const,), truth(True)),))
    system = TransitionSystem("takers", (page,), (held,), (Update(held, held.variables(), truth(False)),), (take,))
    all_held = Lemma("all_held", z3.ForAll([p.const], held(p.const)), "All are held.")
    answer = check_certificate(parametric(system, Property("p", "", all_held.holds), [all_held]), "z3")

    assert ["all_held does not hold in every initial state (All are held.)"] == [str(f) for f in answer.failures]


def test_each_of_several_properties_must_follow() -> None:
    """One invariant serves all properties of a system; one that it does not imply is named."""
    nothing_cached = Property("nothing_cached", "No device remembers anything.", z3.ForAll(
        [table_cache.d, table_cache.p], z3.Not(table_cache.cached(table_cache.d, table_cache.p))
    ))  # fmt: skip
    used = Property("mapped_is_used", "Mapped pages are used.", table_cache.lemmas[0].holds)
    good = parametric(table_cache.system, [table_cache.no_stale_cache, used], table_cache.lemmas)
    wrong = parametric(table_cache.system, [table_cache.no_stale_cache, nothing_cached], table_cache.lemmas)

    assert check_certificate(good, "z3").accepted
    assert ["nothing_cached"] == [f.clause for f in check_certificate(wrong, "z3").failures]


def test_words_are_certified_grounded() -> None:
    """A counter of eight bits is no matter of every size."""
    small = ground(counter.system, Geometry({}))
    (cell,) = small.cells
    text = grounded(small, counter.stays_within_the_limit, [z3.ULE(small.variable(cell), counter.LIMIT)])

    assert recheck(text).accepted
    with pytest.raises(ModelError, match="not parametric"):
        parametric(counter.system, counter.stays_within_the_limit, [])
    grow = Action("grow", "any", (Param("by", Word(8)),), truth(True), ())
    with pytest.raises(ModelError, match=r"grow\(by\) are bit-vectors"):
        parametric(TransitionSystem("s", (), (), (), (grow,)), Property("p", "", truth(True)), [])


def test_both_solvers_are_asked_in_fresh_processes() -> None:
    """What an engine has loaded, patched or broken in its own process has no say."""
    for text, second in ((every_size("table_cache"), "cvc5"), (of_one_size(), "bitwuzla")):
        answer = recheck(text)
        assert answer.accepted
        assert ["z3", second] == [a.solver for a in answer.answers]
        assert all(a.version and a.queries for a in answer.answers)


def test_a_process_takes_nothing_from_the_folder_it_runs_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Somebody else's `json.py` must not answer for us."""
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join(str(Path(p).absolute()) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p)
    )
    (tmp_path / "json.py").write_text("raise SystemExit('taken from here')")
    monkeypatch.chdir(tmp_path)

    assert recheck(every_size("table_cache")).accepted


def test_many_certificates_share_their_processes() -> None:
    """Starting a process costs as much as a small check; a bad one among them spoils no other."""
    texts = [every_size("table_cache"), of_one_size(), dict(dropped("table_cache"))["lemma one_thread_a_page"]]

    assert [True, True, False] == [answer.accepted for answer in recheck_all(texts)]


def test_a_wrong_engine_is_caught() -> None:
    """The worst that can happen to a model checker is to say Proved of what is not so."""

    def liar(system: TransitionSystem, prop: Property) -> tuple[Proved, tuple[Lemma, ...]]:
        return Proved("every size", ("trust_me",), 1, "liar"), (Lemma("trust_me", prop.holds, "It is so."),)

    system, prop = table_cache.broken, table_cache.no_stale_cache
    verdict, invariant = liar(system, prop)
    small = ground(system, SIZE)

    assert isinstance(verdict, Proved)
    for text in (parametric(system, prop, invariant), grounded(small, prop, [small.formula(prop.holds)])):
        answer = recheck(text, of=statement_of(system if "parametric" in text else small, prop))
        assert not answer.accepted
        assert ["refused", "refused"] == [a.verdict for a in answer.answers]
        assert {"give_back", "give_back(0)", "give_back(1)"} & {f.step for a in answer.answers for f in a.failures}


def test_a_certificate_of_another_system_is_refused() -> None:
    """However good a proof it is, it proves something else."""
    mine, other = statement_of(*ARGUMENTS["table_cache"]), statement_of(table_cache.broken, table_cache.no_stale_cache)

    assert check_certificate(every_size("table_cache"), of=mine).accepted
    with pytest.raises(InputError, match="its system is 'table_cache', and today's is 'table_cache_without_the_last_flush'"):
        recheck(every_size("table_cache"), of=other)
    renamed = other.replace("table_cache_without_the_last_flush", "table_cache")
    with pytest.raises(InputError, match=r"about something else: it says .*guard give_back.* where today's system says"):
        check_certificate(every_size("table_cache"), of=renamed)
    with pytest.raises(InputError, match="its kind"):
        check_certificate(of_one_size(), of=mine)


@pytest.mark.parametrize("part", ["guard", "next", "init", "axiom", "property"])
def test_a_certificate_whose_system_was_altered_is_refused(part: str) -> None:
    """Each definition of the system counts: a guard made false proves anything."""
    line = lines_with(every_size("table_cache"), f"(define-fun |{part} ")[-1]
    (definition,) = read(line)
    assert isinstance(definition, list)
    altered = every_size("table_cache").replace(line, write([*definition[:4], "false" if "Pc" not in line or part != "next" else "Pc!0"]))

    with pytest.raises(InputError, match="about something else"):
        check_certificate(altered, of=statement_of(*ARGUMENTS["table_cache"]))
    with pytest.raises(InputError, match=r"about something else|before the guard|a sentence stands|says stands there twice"):
        check_certificate(every_size("table_cache").replace(line, ""), of=statement_of(*ARGUMENTS["table_cache"]))


@pytest.mark.parametrize("name", ["table_cache", "ground"])
def test_a_certificate_that_was_cut_off_is_never_accepted(name: str) -> None:
    """Wherever it ends: it is no certificate, or no proof."""
    text = text_of(name)
    said = set()
    line_ends = [n for n, c in enumerate(text.rstrip()) if c == "\n"]
    for end in [*range(0, len(text) - 2, len(text) // 40), *line_ends[:: len(line_ends) // 20], *line_ends[-6:]]:
        try:
            said.add(str(check_certificate(text[:end], most=1).verdict))
        except InputError as error:
            said.add(str(error).split(":")[0])

    assert {"the certificate", "refused"} == said


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda text: "", "it is empty"),
        (lambda text: "\n ; nothing\n", "no certificate of tdpcheck"),
        (lambda text: '{"schema": 1}', "cannot read|no certificate"),
        (lambda text: text.replace("certificate 1)", "certificate 2)"), "it has schema 2, and this tdpcheck reads schema 1"),
        (lambda text: text.replace('"parametric"', '"political"'), "its kind is 'political'"),
        (lambda text: text + "(assert false)\n", "it declares and defines, and asks nothing"),
        (lambda text: text + "(check-sat)\n", "asks nothing"),
        (lambda text: text + ")", "a parenthesis closes that was never opened"),
        (lambda text: text + '"', "cannot read"),
        (lambda text: text + "(declare-fun more (Page) Bool)\n", "more stands behind the lemma section"),
        (lambda text: text + "(define-fun |axiom 9| () Bool false)\n", "stands behind the lemma section"),
        (lambda text: text + "(define-fun |lemma one_thread_a_page| () Bool false)\n", "declared twice"),
        (lambda text: text + "(define-fun |lemma x| () Bool (used |parameter zap page|))\n", "must not speak of .parameter zap page"),
        (lambda text: text + "(define-fun |lemma x| () Bool |lemma one_thread_a_page|)\n", "must not speak of .lemma"),
        (lambda text: text + "(define-fun |lemma x| () Bool (forall ((used Page)) true))\n", "bound variable that hides used"),
        (lambda text: text + "(define-fun |lemma x| () Bool (let ((mapped true)) mapped))\n", "bound variable that hides mapped"),
        (lambda text: text + "(define-fun |lemma x| ((p Page)) Bool true)\n", "must be a truth value without parameters"),
        (lambda text: text + "(define-fun |lemma x| () Bool (used used))\n", "without its 1 arguments"),
        (lambda text: text + "(define-fun |lemma x| () Bool (unheard of))\n", "speaks of"),
        (lambda text: text + "(define-fun |lemma x| () Bool (! true :named used))\n", "speaks of|must not"),
        (lambda text: text + "(define-fun |lemma x| () Bool (forall ((p Page)) ((lambda ((used Page)) true) p)))\n", "applies"),
        (lambda text: text + "(define-fun |lemma x| () Bool |lemma x|)\n", "speaks of .lemma x"),
        (lambda text: text.replace("(define-fun |guard zap|", "(define-fun |gourd zap|"), "is no part of a certificate"),
        (lambda text: "\n".join(x for x in text.splitlines() if "|guard zap|" not in x), "next zap mapped. stands before the guard"),
        (lambda text: text.replace("(declare-fun used (Page)", "(declare-fun used (Device)"), "applies used to Page, expected Device"),
    ],
)  # fmt: skip
def test_what_is_no_certificate_is_said_to_be_none(change, complaint: str) -> None:  # type: ignore[no-untyped-def]
    """One clear message, whatever the file holds."""
    with pytest.raises(InputError, match=complaint):
        check_certificate(change(every_size("table_cache")))


def test_a_file_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a gigabyte."""
    monkeypatch.setattr("tdpcheck.recheck.sexpr.MOST_CHARACTERS", 1_000)
    with pytest.raises(InputError, match="characters are too many; 1,000 are read at most"):
        check_certificate(every_size("table_cache"))


def test_deep_nesting_is_refused() -> None:
    """Nothing that our writers write opens a hundred parentheses at once; what is written out of such a text might have no end."""
    for depth, complaint in ((200, "more than 100 parentheses are open"), (200_000, "more than 100 parentheses are open")):
        deep = "(not " * depth + "true" + ")" * depth
        with pytest.raises(InputError, match=complaint):
            parse(every_size("table_cache") + f"(define-fun |lemma x| () Bool {deep})")
    deep = "(not " * 90 + "true" + ")" * 90
    assert f"(define-fun |lemma x| () Bool {deep})" in parse(every_size("table_cache") + f"(define-fun |lemma x| () Bool {deep})").commands


def test_a_process_that_dies_has_not_accepted() -> None:
    """Out of memory is no proof."""
    answer = recheck(every_size("table_cache"), memory=60_000_000)

    assert not answer.accepted
    assert not answer.refused
    assert all("its process" in a.reason or "memory" in a.reason for a in answer.answers)
    assert {a.kind for a in answer.answers} <= {"memory", "engine-died"}


def impostor_for(path: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something else is started in the place of the fresh processes."""
    impostor = path / "python"
    impostor.write_text(f"#!/bin/sh\n{script}\n")
    impostor.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(impostor))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("kill -9 $$", "its process was killed by signal 9"),
        ("echo accepted", "its process ended without an answer: exit code 0"),
        ("echo oh dear >&2; exit 7", "its process ended without an answer: oh dear"),
        ('echo \'{"verdict": "accepted"}\'', "its process ended without an answer: exit code 0"),
    ],
)
def test_a_process_that_says_nothing_has_not_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, reason: str) -> None:
    """Whatever becomes of it, there is a reason and no acceptance."""
    impostor_for(tmp_path, script, monkeypatch)
    answer = recheck(every_size("table_cache"))

    assert not answer.accepted
    assert [(reason, "engine-died")] * 2 == [(a.reason, a.kind) for a in answer.answers]


def test_no_time_is_no_acceptance() -> None:
    """The clock is looked at before each question."""
    answer = recheck(every_size("leaf_thread"), timeout=0.0001)

    assert ["undecided", "undecided"] == [a.verdict for a in answer.answers]
    assert all("the time is up" in a.reason for a in answer.answers)
    assert ["time-out", "time-out"] == [a.kind for a in answer.answers]


def test_a_process_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver that ignores its limit is killed from outside, soon after its time."""
    impostor_for(tmp_path, "exec sleep 60", monkeypatch)
    begun = time.monotonic()
    answer = recheck(every_size("table_cache"), timeout=1.0)

    assert [("the time is up; its process was ended", "time-out")] * 2 == [(a.reason, a.kind) for a in answer.answers]
    assert 1.0 <= time.monotonic() - begun < 2.0


def test_all_solvers_together_have_a_limit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two solvers one after the other take no more than the whole."""
    impostor_for(tmp_path, "exec sleep 60", monkeypatch)
    begun = time.monotonic()
    answer = recheck(every_size("leaf_thread"), timeout=10.0, jobs=1, whole=1.0)

    assert {("undecided", "time-out")} == {(a.verdict, a.kind) for a in answer.answers}
    assert time.monotonic() - begun < 2.5


WAITING = """
import sys
from pathlib import Path

from tdpcheck.recheck import recheck as checking

limits = checking._Limits(60.0, 60.0, None, None)
checking._in_process([Path(sys.argv[1])], checking._Task((0,), ("z3",)), limits, checking._Running())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_solver_outlives_who_asked_it(number: signal.Signals, tmp_path: Path) -> None:
    """Whatever ends the process that waits for an answer, kill -9 too, ends the one that computes it: here it waits for a pipe."""
    pipe = tmp_path / "certificate.smt2"
    os.mkfifo(pipe)
    with subprocess.Popen([sys.executable, "-c", WAITING, str(pipe)], stdout=subprocess.PIPE) as asker:
        until, writer = time.monotonic() + 30, None
        while writer is None and time.monotonic() < until:
            with suppress(OSError):  # it is open once the process that computes reads it: by then it has asked to end with its parent
                writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            time.sleep(0.05)
        children = subprocess.run(["pgrep", "-P", str(asker.pid)], capture_output=True, text=True, check=False).stdout.split()
        asker.send_signal(number)
    until = time.monotonic() + 10
    while time.monotonic() < until and any(Path(f"/proc/{pid}").exists() for pid in children):
        time.sleep(0.05)

    assert writer is not None
    os.close(writer)
    assert len(children) == 1
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_an_interrupt_waits_for_no_solver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impostor_for(tmp_path, "exec sleep 60", monkeypatch)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        recheck(every_size("table_cache"), timeout=30.0)

    assert time.monotonic() - begun < 5


def test_an_answer_that_is_not_one_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only an explicit `unsat` counts: a solver that gives up on every question has accepted nothing."""
    from tdpcheck.recheck.solvers import Answer, Session

    monkeypatch.setattr(Session, "ask", lambda self, terms, about, sat=False: Answer("sat") if sat else Answer("unknown", "incomplete"))
    answer = check_certificate(every_size("table_cache"))

    assert "undecided" == answer.verdict
    assert answer.reason.startswith("undecided whether mapped_is_used holds in every initial state")
    assert {"unknown"} == {f.answer for f in answer.failures}


def test_cvc5_tries_another_way_before_it_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """With instantiation by patterns alone it cannot say that an initial state exists; with finite models it can."""
    from tdpcheck.recheck.solvers import _Cvc5

    monkeypatch.setattr(_Cvc5, "WAYS", {"parametric": ({}, {"finite-model-find": "true"})})
    assert check_certificate(every_size("table_cache"), "cvc5").accepted

    monkeypatch.setattr(_Cvc5, "WAYS", {"parametric": ({},)})
    assert "undecided" == check_certificate(every_size("table_cache"), "cvc5").verdict


def test_a_certificate_is_the_same_text_each_time() -> None:
    """It can be compared, cached and kept."""
    system, prop = ARGUMENTS["leaf_thread"]

    assert every_size("leaf_thread") == parametric(system, prop, prop.lemmas, digest="abc", scenario="none")
    assert every_size("leaf_thread").startswith("; A certificate of tdpcheck: no_stale_cache in every reachable state of")
    assert (
        statement_of(system, prop).splitlines()[12:]
        == every_size("leaf_thread").splitlines()[12 : len(statement_of(system, prop).splitlines())]
    )


def test_names_that_cannot_be_written_are_refused() -> None:
    """A variable called `and` would be another thing in the file than in the system."""
    prop = Property("p", "", truth(True))
    for name in ("and", "a|b", "é", "bvadd", "bv1", "12"):
        var = StateVar(name, (), Word(2))
        with pytest.raises((ModelError, InputError), match="cannot be the name"):
            grounded(ground(TransitionSystem("s", (), (var,), (), ()), Geometry({})), prop, [truth(True)])


def test_sentences_survive_with_their_quotes() -> None:
    """Comments are for people; the sentences are data."""
    lemma = Lemma("t", truth(True), 'It is "so" – or \\ not.', "Because\nof it.")
    found: Certificate = parse(parametric(table_cache.system, Property("p", "", truth(True)), [lemma]))
    (made,) = found.lemmas.values()

    assert ('It is "so" – or \\ not.', "Because of it.") == (made.says, made.because)


def test_a_grounded_clause_is_told_in_the_names_of_the_model() -> None:
    """`pc[0] is zapping`, not `pc[0] = 1`; and a term that is all sharing is not told for ever."""
    small = small_table()
    cells = {cell.name: small.variable(cell) for cell in small.cells}
    clause = z3.Or(z3.Not(cells["pc[0]"] == 1), z3.Not(cells["mapped[0]"]), cells["target[0]"] == 0)
    tower = cells["mapped[0]"]
    for _ in range(200):
        tower = z3.If(cells["mapped[1]"], z3.And(tower, cells["used[0]"]), z3.Or(tower, cells["used[1]"]))

    assert "(pc[0] is not zapping or not mapped[0] or target[0] is 0)" == readable(small, clause)
    assert len(readable(small, tower)) < 2_000
    assert check_certificate(grounded(small, Property("t", "", truth(True)), [z3.Or(tower, z3.Not(tower))]), "bitwuzla").accepted
