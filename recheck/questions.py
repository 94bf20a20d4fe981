"""The questions that a certificate has to stand, put to one solver, in this process.

They are derived from its text (`obligations.py`, `instances.py`). Only an explicit `unsat` counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from ..core.errors import InputError
from .initial_state import no_start
from .instances import Instantiated, either
from .obligations import (
    INITIALLY,
    SAFETY,
    Certificate,
    Definition,
    Step,
    after_renaming,
    difference,
    frame,
    primed,
    primed_definitions,
)
from .reader import parse
from .sexpr import name_of, write
from .solvers import Answer, Kind, Session, open_session

EXISTS = "an initial state exists"
TOGETHER = 8
"""How many quantified clauses are asked about at once: each question has its price, and a large one is hard to decide."""

Word = Literal["broken", "unknown"]
Verdict = Literal["accepted", "refused", "undecided"]


@dataclass(frozen=True, slots=True)
class Failure:
    """One question that was not answered as it must be.

    Args:
        step: an action, `initially`, `safety`, or `an initial state exists`.
        clause: the clause or property that does not hold after it.
        sentence: what that says.
        answer: `broken` if the solver has a counterexample to induction, `unknown` if it gave up: why, `kind` says.
    """

    step: str
    clause: str
    sentence: str
    answer: Word
    reason: str = ""
    kind: Kind = ""

    def __str__(self) -> str:
        said = f" ({self.sentence})" if self.sentence else ""
        match self.step:
            case "an initial state exists":
                broken, wanted = "there is no initial state", "there is an initial state"
            case "initially":
                broken, wanted = (f"{self.clause} {verb} in every initial state{said}" for verb in ("does not hold", "holds"))
            case "safety":
                broken, wanted = (f"the clauses {verb} {self.clause}{said}" for verb in ("do not imply", "imply"))
            case _:
                broken, wanted = (f"{self.step} {verb} {self.clause}{said}" for verb in ("does not keep", "keeps"))
        return broken if self.answer == "broken" else f"undecided whether {wanted}: {self.reason or 'the solver gave up'}"


@dataclass(frozen=True)
class Checked:
    """What one solver says of a certificate.

    Args:
        verdict: `accepted`, `refused` (a counterexample to induction was found), or `undecided`.
        reason: why there is no answer, if there is none, for people; `kind`, the same for code.
    """

    solver: str
    version: str
    verdict: Verdict
    failures: tuple[Failure, ...] = ()
    queries: int = 0
    seconds: float = 0.0
    reason: str = ""
    kind: Kind = ""

    @property
    def accepted(self) -> bool:
        return self.verdict == "accepted"


@dataclass(frozen=True, slots=True)
class Share:
    """One of several parts into which the steps of a certificate are dealt out like cards: the large ones stand side by side."""

    number: int
    of: int

    @property
    def is_last(self) -> bool:
        return self.number == self.of - 1


WHOLE = Share(0, 1)


def check_certificate(
    text: str, solver: str = "z3", *, of: str | None = None, timeout: float | None = None, per_query: float = 20.0, most: int = 20
) -> Checked:
    """Check a certificate with one solver, in this process.

    Args:
        of: what `statement_of` says of the system built today; the certificate must be about that system and property.
        timeout: seconds for everything.
        per_query: seconds for one question.
        most: how many failures to name.

    Raises:
        InputError: the text is no certificate, or is about another system.
    """
    (answer,) = check_with(text, (solver,), of=of, timeout=timeout, per_query=per_query, most=most)
    return answer


def check_with(
    text: str,
    solvers: Sequence[str],
    *,
    of: str | None = None,
    share: Share = WHOLE,
    timeout: float | None = None,
    per_query: float = 20.0,
    most: int = 20,
) -> Iterator[Checked]:
    """Check a certificate with one solver after the other, in this process; the questions are derived once.

    Args:
        share: which part of the questions of an instantiated certificate; every other one is asked as a whole.
        timeout: seconds for each solver.

    Raises:
        InputError: the text is no certificate, or is about another system.
    """
    started = time.monotonic()
    found = parse(text)
    if of is not None:
        require_same(found, of)
    questions = _Questions(found, share) if found.kind == "instantiated" else None
    for solver in solvers:
        deadline = None if timeout is None else started + timeout

        def opened(kind: str, solver: str = solver, deadline: float | None = deadline) -> Session:
            return open_session(solver, kind, per_query, deadline)

        session = opened(found.kind)
        failures = _asked(found, session, opened, most, questions, share)
        verdict: Verdict = "accepted"
        if failures:
            verdict = "refused" if any(f.answer == "broken" for f in failures) else "undecided"
        reason = "" if verdict != "undecided" else str(failures[0])
        kind: Kind = "" if verdict != "undecided" else failures[0].kind
        yield Checked(solver, session.version, verdict, failures, session.queries, time.monotonic() - started, reason, kind)
        started = time.monotonic()


def _asked(
    found: Certificate,
    session: Session,
    opened: Callable[[str], Session],
    most: int,
    questions: _Questions | None,
    share: Share,
) -> tuple[Failure, ...]:
    """Put all questions to a session, and those with quantifiers to another one that `opened` opens."""
    if questions is None:
        return _Check(found, session, most).run()
    check = _InstancesCheck(found, session, most, questions)
    if share.is_last:
        check.safety(opened("parametric"))
    return check.run()


def ask_everything(text: str, opened: Callable[[str], Session]) -> tuple[Certificate, tuple[Failure, ...]]:
    """Put the questions about a certificate to sessions of the caller's own, by the kind of certificate that they can read.

    Raises:
        InputError: the text is no certificate, or a session does not accept it.
    """
    found = parse(text)
    questions = _Questions(found, WHOLE) if found.kind == "instantiated" else None
    return found, _asked(found, opened(found.kind), opened, 20, questions, WHOLE)


def require_same(found: Certificate, of: str) -> None:
    """Make sure that a certificate is about the system and properties of `of`, as `statement_of` writes them.

    Raises:
        InputError: it is not.
    """
    other = difference_from(found, of)
    if other:
        raise InputError(f"the certificate is about something else: {other}")


def difference_from(found: Certificate, of: str) -> str:
    """How the system and properties of a certificate differ from those of `of`, as `statement_of` writes them; empty if they do not."""
    return difference(found, _statement(of))


def _statement(text: str) -> Certificate:
    """A statement without an invariant, taken apart."""
    return parse(text + "(define-fun |lemma none| () Bool true)\n", "today's system")


def open_steps(text: str) -> list[str]:
    """The steps that the instances of an instantiated certificate do not prove, by Z3, in the order of the file.

    Raises:
        InputError: the text is no certificate.
    """
    found = parse(text)
    questions = _Questions(found, WHOLE, patient=True)
    unproved = questions.open | _InstancesCheck(found, open_session("z3", found.kind, 20.0, None), 0, questions).open_steps()
    return [name for name in (INITIALLY, *found.steps) if name in unproved]


class _Check:
    """The questions about one certificate, put to one solver."""

    def __init__(self, found: Certificate, session: Session, most: int) -> None:
        self._found = found
        self._session = session
        self._most = most
        self._failures: list[Failure] = []

    def run(self) -> tuple[Failure, ...]:
        """Ask everything; stop when enough has failed."""
        found = self._found
        self._tell(found.commands)
        grounded = found.kind == "grounded"
        changed = frozenset(cell for step in found.steps.values() for cell in step.following)
        primed_ones = list(primed_definitions(found, changed)) if grounded else []
        if primed_ones:
            self._tell(primed_ones)
        for group in (self._exists, self._initiation, self._safety):
            group()
            if self._failures:
                return tuple(self._failures)
        self._tell(f"(assert {name})" for name in (*found.axioms, *found.lemmas))
        for step in found.steps.values():
            if len(self._failures) >= self._most:
                break
            if grounded:
                self._ground_step(step)
            else:
                self._step(step)
        return tuple(self._failures)

    def _tell(self, lines: Iterable[str]) -> None:
        self._session.send("".join(f"{line}\n" for line in lines))

    def _exists(self) -> None:
        answer = self._session.ask([*self._found.axioms, *self._found.init], about=EXISTS, sat=True)
        if answer.word != "sat":
            self._fail(EXISTS, None, Answer("sat") if answer.word == "unsat" else answer)

    def _initiation(self) -> None:
        found = self._found
        self._all(INITIALLY, [*found.axioms, *found.init], {name: name for name in found.lemmas})

    def _safety(self) -> None:
        with self._session.scope([*self._found.axioms, *self._found.lemmas]):
            for prop in self._found.properties.values():
                self._fail(SAFETY, prop, self._session.ask([f"(not {prop.name})"], about=SAFETY))

    def _step(self, step: Step) -> None:
        found = self._found
        changed = step.following.keys()
        goals = {name: after_renaming(found, step, made) for name, made in found.lemmas.items() if found.mentions(made) & changed}
        self._all(step.name, [step.guard], goals)

    def _ground_step(self, step: Step) -> None:
        found = self._found
        changed = step.following.keys()
        goals = {name: primed(name) for name, made in found.lemmas.items() if found.mentions(made) & changed}
        if goals:
            read = frozenset().union(*(found.mentions(found.lemmas[name]) for name in goals)) & self._changing
            equations = [f"(= {after} {value})" for after, value in frame(found, step, sorted(read)).items()]
            self._all(step.name, [step.guard, *equations], goals)

    @property
    def _changing(self) -> frozenset[str]:
        return frozenset(cell for step in self._found.steps.values() for cell in step.following)

    def _all(self, step: str, known: Sequence[str], goals: dict[str, str]) -> None:
        """Whether `known` implies each of the goals: some are asked together, and one by one where that is not `unsat`."""
        session, lemmas = self._session, self._found.lemmas
        names = list(goals)
        size = len(names) if self._found.kind == "grounded" else TOGETHER
        with session.scope(known):
            for start in range(0, len(names), max(1, size)):
                some = names[start : start + size]
                if len(some) > 1 and session.ask([f"(not (and {' '.join(goals[name] for name in some)}))"], about=step).word == "unsat":
                    continue
                for name in some:
                    self._fail(step, lemmas[name], session.ask([f"(not {goals[name]})"], about=step))
                    if len(self._failures) >= self._most:
                        return

    def _fail(self, step: str, clause: Definition | None, answer: Answer) -> None:
        if answer.word == "unsat":
            return
        word: Word = "broken" if answer.word == "sat" else "unknown"
        name, says = ("", "") if clause is None else (name_of(clause.name).partition(" ")[2], clause.says)
        kind: Kind = "" if word == "broken" else answer.kind or "solver-gave-up"
        self._failures.append(Failure(step, name, says, word, answer.reason, kind))


@dataclass(frozen=True)
class _Question:
    """Whether what is known of a step contradicts that one of the clauses is wrong after it.

    Args:
        goals: by clause, that it is wrong.
    """

    step: str
    declarations: Sequence[str]
    known: Sequence[str]
    goals: dict[str, str]


class _Questions:
    """The questions about a share of an instantiated certificate, for every solver the same.

    Args:
        patient: a step with an instance that is none here is left open, and is no error: it may come from another certificate.

    Raises:
        InputError: an instance is of no clause, or its terms are none.
    """

    def __init__(self, found: Certificate, share: Share, *, patient: bool = False) -> None:
        self.instances = Instantiated(found)
        self.open: set[str] = set()
        self.asked: list[_Question] = []
        if share.number == 0:
            self._add(INITIALLY, self.instances.initially, patient)
        for step in list(found.steps.values())[share.number :: share.of]:
            self._add(step.name, partial(self.instances.step, step), patient)
        self.no_start = no_start(found) if share.number == 0 else ""

    def _add(self, name: str, derived: Callable[[], tuple[list[str], list[str], dict[str, str]]], patient: bool) -> None:
        try:
            question = _Question(name, *derived())
        except InputError:
            if not patient:
                raise
            self.open.add(name)
            return
        if question.goals:
            self.asked.append(question)


class _InstancesCheck(_Check):
    """The questions about an instantiated certificate: all but the last are without quantifiers.

    Where the instances do not suffice, that is no counterexample: others might.
    """

    def __init__(self, found: Certificate, session: Session, most: int, questions: _Questions) -> None:
        super().__init__(found, session, most)
        self._questions = questions

    def run(self) -> tuple[Failure, ...]:
        """Ask everything but `safety`; stop when enough has failed."""
        if self._questions.no_start:
            self._fail(EXISTS, None, Answer("unknown", self._questions.no_start, "argument"))
        self._tell(self._questions.instances.base())
        for question in self._questions.asked:
            if len(self._failures) >= self._most:
                break
            self._asked(question)
        return tuple(self._failures)

    def open_steps(self) -> set[str]:
        """The steps of which the instances leave something open."""
        self._tell(self._questions.instances.base())
        return {question.step for question in self._questions.asked if not self._holds(question)}

    def _holds(self, question: _Question) -> bool:
        with self._session.scope([]):
            self._suppose(question)
            return self._none_is_wrong(question)

    def _suppose(self, question: _Question) -> None:
        self._tell((*question.declarations, *(f"(assert {term})" for term in question.known)))

    def _none_is_wrong(self, question: _Question) -> bool:
        """Whether what is supposed contradicts that any of the clauses is wrong."""
        return self._session.ask([either(list(question.goals.values()))], about=question.step).word == "unsat"

    def safety(self, session: Session) -> None:
        """Whether the clauses imply the properties, asked of a solver that knows quantifiers."""
        instances = self._questions.instances
        session.send("".join(f"{line}\n" for line in instances.declarations()))
        for prop in self._found.properties.values():
            with session.scope(instances.safety(prop)):
                self._fail(SAFETY, prop, session.ask([f"(not {write(prop.body)})"], about=SAFETY))

    def _asked(self, question: _Question) -> None:
        """Of all clauses at once, and one by one where the answer is not `unsat`."""
        session, lemmas = self._session, self._found.lemmas
        with session.scope([]):
            self._suppose(question)
            if self._none_is_wrong(question):
                return
            for name, goal in question.goals.items():
                answer = session.ask([goal], about=question.step)
                if answer.word == "sat":
                    answer = Answer("unknown", "the instances that are named do not prove it", "argument")
                self._fail(question.step, lemmas[name], answer)
                if len(self._failures) >= self._most:
                    return
