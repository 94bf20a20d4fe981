"""Re-checking a certificate: initiation, consecution and safety, by Z3 and by a second solver, each in a fresh process.

The questions are derived from the file (`obligations.py`). Only an explicit `unsat` counts; a solver that gives up, dies or takes too
long has not accepted. `python -m tdpcheck.checker.recheck FILE` is what the fresh process runs.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from ..core.errors import InputError, TdpcheckError
from .obligations import Certificate, Definition, Step, after_renaming, difference, frame, parse, primed, primed_definitions
from .sexpr import name_of
from .solvers import SOLVERS, Answer, Session, open_session

INITIALLY, SAFETY, EXISTS = "initially", "safety", "an initial state exists"
GRACE = 5.0
"""Seconds that a process gets beyond its time, to start and to end by itself."""

TOGETHER = 8
"""How many quantified clauses are asked about at once: each question has its price, and a large one is hard to decide."""

Word = Literal["broken", "unknown"]


@dataclass(frozen=True, slots=True)
class Failure:
    """One question that was not answered as it must be.

    Args:
        step: an action, `initially`, `safety`, or `an initial state exists`.
        clause: the clause or property that does not hold after it.
        sentence: what that says.
        answer: `broken` if the solver has a counterexample to induction, `unknown` if it gave up.
    """

    step: str
    clause: str
    sentence: str
    answer: Word
    reason: str = ""

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
        reason: why there is no answer, if there is none.
    """

    solver: str
    version: str
    verdict: Literal["accepted", "refused", "undecided"]
    failures: tuple[Failure, ...] = ()
    queries: int = 0
    seconds: float = 0.0
    reason: str = ""

    @property
    def accepted(self) -> bool:
        return self.verdict == "accepted"


@dataclass(frozen=True)
class Rechecked:
    """What all solvers say. `accepted` only if each of them accepts."""

    answers: tuple[Checked, ...]
    seconds: float = 0.0
    reason: str = ""

    @property
    def accepted(self) -> bool:
        return bool(self.answers) and not self.reason and all(answer.accepted for answer in self.answers)

    @property
    def refused(self) -> bool:
        """Whether a solver has a counterexample to induction."""
        return any(answer.verdict == "refused" for answer in self.answers)


def second_solver(kind: str) -> str:
    """The solver beside Z3 for a kind of certificate: one that shares no code with it."""
    return "cvc5" if kind == "parametric" else "bitwuzla"


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
    started = time.monotonic()
    found = parse(text)
    if of is not None:
        require_same(found, of)
    session = open_session(solver, found.kind, per_query, None if timeout is None else started + timeout)
    check = _Check(found, session, most)
    failures = check.run()
    verdict: Literal["accepted", "refused", "undecided"] = "accepted"
    if failures:
        verdict = "refused" if any(f.answer == "broken" for f in failures) else "undecided"
    reason = "" if verdict != "undecided" else str(failures[0])
    return Checked(solver, session.version, verdict, failures, session.queries, time.monotonic() - started, reason)


def require_same(found: Certificate, of: str) -> None:
    """Make sure that a certificate is about the system and properties of `of`, as `statement_of` writes them.

    Raises:
        InputError: it is not.
    """
    other = difference(found, _statement(of))
    if other:
        raise InputError(f"the certificate is about something else: {other}")


def _statement(text: str) -> Certificate:
    """A statement without an invariant, taken apart."""
    return parse(text + "(define-fun |lemma none| () Bool true)\n", "today's system")


class _Check:
    """The questions about one certificate, put to one solver."""

    def __init__(self, found: Certificate, session: Session, most: int) -> None:
        self._found = found
        self._session = session
        self._most = most
        self._failures: list[Failure] = []

    def run(self) -> tuple[Failure, ...]:
        """Ask everything; stop when enough has failed."""
        found, session = self._found, self._session
        session.send("".join(f"{c}\n" for c in found.commands))
        grounded = found.kind == "grounded"
        changed = frozenset(cell for step in found.steps.values() for cell in step.following)
        primed_ones = list(primed_definitions(found, changed)) if grounded else []
        if primed_ones:
            session.send("".join(f"{line}\n" for line in primed_ones))
        for group in (self._exists, self._initiation, self._safety):
            group()
            if self._failures:
                return tuple(self._failures)
        session.send("".join(f"(assert {name})\n" for name in (*found.axioms, *found.lemmas)))
        for step in found.steps.values():
            if len(self._failures) >= self._most:
                break
            if grounded:
                self._ground_step(step)
            else:
                self._step(step)
        return tuple(self._failures)

    def _exists(self) -> None:
        answer = self._session.ask([*self._found.axioms, *self._found.init], sat=True)
        if answer.word != "sat":
            self._fail(EXISTS, None, Answer("sat") if answer.word == "unsat" else answer)

    def _initiation(self) -> None:
        found = self._found
        self._all(INITIALLY, [*found.axioms, *found.init], {name: name for name in found.lemmas})

    def _safety(self) -> None:
        with self._session.scope([*self._found.axioms, *self._found.lemmas]):
            for prop in self._found.properties.values():
                self._fail(SAFETY, prop, self._session.ask([f"(not {prop.name})"]))

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
                if len(some) > 1 and session.ask([f"(not (and {' '.join(goals[name] for name in some)}))"]).word == "unsat":
                    continue
                for name in some:
                    self._fail(step, lemmas[name], session.ask([f"(not {goals[name]})"]))
                    if len(self._failures) >= self._most:
                        return

    def _fail(self, step: str, clause: Definition | None, answer: Answer) -> None:
        if answer.word == "unsat":
            return
        word: Word = "broken" if answer.word == "sat" else "unknown"
        name, says = ("", "") if clause is None else (name_of(clause.name).partition(" ")[2], clause.says)
        self._failures.append(Failure(step, name, says, word, answer.reason))


def recheck(
    text: str,
    *,
    solvers: Sequence[str] | None = None,
    timeout: float = 60.0,
    per_query: float = 20.0,
    jobs: int = 2,
    memory: int | None = 4 << 30,
    of: str | None = None,
) -> Rechecked:
    """Check a certificate with Z3 and a second solver, each in a fresh process.

    Args:
        solvers: which; by default Z3, and cvc5 for quantified or bitwuzla for grounded certificates.
        timeout: seconds for each solver. A process that is not done by then is killed, and has not accepted.
        per_query: seconds for one question.
        jobs: how many processes at once.
        memory: bytes that each process may use; None is no limit.
        of: what `statement_of` says of the system built today; the certificate must be about that.

    Raises:
        InputError: the text is no certificate, or is about another system.
    """
    if of is not None:
        require_same(parse(text), of)
    (answer,) = recheck_all([text], solvers=solvers, timeout=timeout, per_query=per_query, jobs=jobs, memory=memory)
    return answer


def recheck_all(
    texts: Sequence[str],
    *,
    solvers: Sequence[str] | None = None,
    timeout: float = 60.0,
    per_query: float = 20.0,
    jobs: int = 2,
    memory: int | None = 4 << 30,
) -> list[Rechecked]:
    """Like `recheck`, for many certificates: one process a solver and a share of them, since starting one costs as much as a small check.

    Args:
        timeout: seconds for each certificate and solver.

    Raises:
        InputError: one of them is no certificate.
    """
    kinds = [parse(text).kind for text in texts]
    wanted: dict[str, list[int]] = {}
    for number, kind in enumerate(kinds):
        for solver in solvers or ("z3", second_solver(kind)):
            wanted.setdefault(solver, []).append(number)
    found: list[list[Checked]] = [[] for _ in texts]
    with tempfile.TemporaryDirectory(prefix="tdpcheck-") as folder, ThreadPoolExecutor(max(1, jobs)) as pool:
        paths = [Path(folder) / f"{number}.smt2" for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text, encoding="utf-8")
        shares = [(s, numbers[k::jobs]) for s, numbers in wanted.items() for k in range(jobs if len(wanted) == 1 else 1)]
        limits = _Limits(timeout, per_query, memory)
        asked = [(numbers, pool.submit(_in_processes, [paths[n] for n in numbers], s, limits)) for s, numbers in shares if numbers]
        for numbers, future in asked:
            for number, answer in zip(numbers, future.result(), strict=True):
                found[number].append(answer)
    return [Rechecked(tuple(answers), max((a.seconds for a in answers), default=0.0)) for answers in found]


@dataclass(frozen=True)
class _Limits:
    timeout: float
    per_query: float
    memory: int | None


def _in_processes(paths: Sequence[Path], solver: str, limits: _Limits) -> list[Checked]:
    """The answers of one solver, by a fresh process; by another one from where it died."""
    answers: list[Checked] = []
    while len(answers) < len(paths):
        answers += _in_process(paths[len(answers) :], solver, limits)
    return answers


def _in_process(paths: Sequence[Path], solver: str, limits: _Limits) -> list[Checked]:
    """At least one answer: where the process died or was ended, that is the last one."""
    started = time.monotonic()
    command = [sys.executable, "-P", "-m", "tdpcheck.checker.recheck", *map(str, paths), "--solver", solver]
    command += ["--timeout", f"{limits.timeout:.3f}", "--per-query", f"{limits.per_query:.3f}", "--memory", str(limits.memory or 0)]
    patience = limits.timeout * len(paths) + GRACE
    try:
        done = subprocess.run(command, capture_output=True, timeout=patience, check=False, stdin=subprocess.DEVNULL)
        said, complaint, code = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired as late:
        said, complaint, code = late.stdout or b"", b"", None
    answers = [answer for line in said.splitlines() if (answer := _told(line)) is not None]
    if len(answers) == len(paths):
        return answers
    if code is None:
        how = "the time is up; its process was ended"
    elif code < 0:
        how = f"its process was killed by signal {-code}"
    else:
        last = complaint.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit code {code}"]
        how = f"its process ended without an answer: {last[0][:200]}"
    return [*answers, Checked(solver, "", "undecided", seconds=time.monotonic() - started, reason=how)]


def _told(line: bytes) -> Checked | None:
    """An answer as a worker prints it; None if it is none.

    Raises:
        InputError: the solver does not accept the certificate.
    """
    try:
        told = json.loads(line)
        if "refuses" not in told:
            return Checked(**{**told, "failures": tuple(Failure(**f) for f in told["failures"])})
    except (ValueError, TypeError, KeyError):
        return None
    raise InputError(str(told["refuses"]))


def _main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tdpcheck.checker.recheck", description="Check certificates with one solver.")
    parser.add_argument("file", nargs="+")
    parser.add_argument("--solver", choices=SOLVERS, default="z3")
    parser.add_argument("--timeout", type=float, help="seconds for each file")
    parser.add_argument("--per-query", type=float, default=20.0)
    parser.add_argument("--memory", type=int, default=0, help="bytes; 0 is no limit")
    given = parser.parse_args(arguments)
    if given.memory:
        resource.setrlimit(resource.RLIMIT_AS, (given.memory, given.memory))
    for file in given.file:
        try:
            text = Path(file).read_text(encoding="utf-8")
            told = asdict(check_certificate(text, given.solver, timeout=given.timeout, per_query=given.per_query))
        except (TdpcheckError, OSError, UnicodeDecodeError) as error:
            told = {"refuses": str(error)}
        except MemoryError:
            print("there was not enough memory", file=sys.stderr)
            return 3
        print(json.dumps(told), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(_main())
