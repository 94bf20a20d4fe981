"""Re-checking a certificate: initiation, consecution and safety, by Z3 and by a second solver, each in a fresh process.

The questions are derived from the file (`obligations.py`). Only an explicit `unsat` counts; a solver that gives up, dies or takes too
long has not accepted. `python -m tdpcheck.checker.recheck FILE` is what the fresh process runs.
"""

from __future__ import annotations

import argparse
import json
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
                what = "there is no initial state"
            case "initially":
                what = f"{self.clause} does not hold in every initial state{said}"
            case "safety":
                what = f"the clauses do not imply {self.clause}{said}"
            case _:
                what = f"{self.step} does not keep {self.clause}{said}"
        return what if self.answer == "broken" else f"undecided: whether {what}: {self.reason or 'the solver gave up'}"


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
        other = difference(found, parse_statement(of))
        if other:
            raise InputError(f"the certificate is not about this system: {other}")
    session = open_session(solver, found.kind, per_query, None if timeout is None else started + timeout)
    check = _Check(found, session, most)
    failures = check.run()
    verdict: Literal["accepted", "refused", "undecided"] = "accepted"
    if failures:
        verdict = "refused" if any(f.answer == "broken" for f in failures) else "undecided"
    reason = "" if verdict != "undecided" else str(failures[0])
    return Checked(solver, session.version, verdict, failures, session.queries, time.monotonic() - started, reason)


def parse_statement(text: str) -> Certificate:
    """A statement of `statement_of`, taken apart: a certificate without an invariant."""
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
        if grounded:
            session.send("".join(f"{line}\n" for line in primed_definitions(found, changed)))
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
        self._all(INITIALLY, [*found.axioms, *found.init], {name: name for name in found.lemmas}, found.kind == "grounded")

    def _safety(self) -> None:
        with self._session.scope([*self._found.axioms, *self._found.lemmas]):
            for prop in self._found.properties.values():
                self._fail(SAFETY, prop, self._session.ask([f"(not {prop.name})"]))

    def _step(self, step: Step) -> None:
        found = self._found
        changed = step.following.keys()
        goals = {name: after_renaming(found, step, made) for name, made in found.lemmas.items() if found.mentions(made) & changed}
        self._all(step.name, [step.guard], goals, False)

    def _ground_step(self, step: Step) -> None:
        found = self._found
        changed = step.following.keys()
        goals = {name: primed(name) for name, made in found.lemmas.items() if found.mentions(made) & changed}
        if goals:
            read = frozenset().union(*(found.mentions(found.lemmas[name]) for name in goals)) & self._changing
            equations = [f"(= {after} {value})" for after, value in frame(found, step, sorted(read)).items()]
            self._all(step.name, [step.guard, *equations], goals, True)

    @property
    def _changing(self) -> frozenset[str]:
        return frozenset(cell for step in self._found.steps.values() for cell in step.following)

    def _all(self, step: str, known: Sequence[str], goals: dict[str, str], at_once: bool) -> None:
        """Whether `known` implies each of the goals: one question where that is likely to do, else one for each."""
        session, lemmas = self._session, self._found.lemmas
        with session.scope(known):
            if at_once and session.ask([f"(not (and true {' '.join(goals.values())}))"]).word == "unsat":
                return
            for name, goal in goals.items():
                self._fail(step, lemmas[name], session.ask([f"(not {goal})"]))
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
        timeout: seconds for everything. A process that is not done by then is killed, and has not accepted.
        per_query: seconds for one question.
        jobs: how many processes at once.
        memory: bytes that each process may use; None is no limit.
        of: what `statement_of` says of the system built today; the certificate must be about that.

    Raises:
        InputError: the text is no certificate, or is about another system.
    """
    started = time.monotonic()
    found = parse(text)
    if of is not None:
        other = difference(found, parse_statement(of))
        if other:
            raise InputError(f"the certificate is not about this system: {other}")
    chosen = tuple(solvers or ("z3", second_solver(found.kind)))
    with tempfile.TemporaryDirectory(prefix="tdpcheck-") as folder:
        path = Path(folder) / "certificate.smt2"
        path.write_text(text, encoding="utf-8")
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            asked = [pool.submit(_in_process, path, solver, started + timeout, per_query, memory) for solver in chosen]
            answers = tuple(future.result() for future in asked)
    return Rechecked(answers, time.monotonic() - started)


def _in_process(path: Path, solver: str, deadline: float, per_query: float, memory: int | None) -> Checked:
    started = time.monotonic()
    left = deadline - started
    if left <= 0:
        return Checked(solver, "", "undecided", reason="the time is up")
    command = [sys.executable, "-m", "tdpcheck.checker.recheck", str(path), "--solver", solver]
    command += ["--timeout", f"{left:.3f}", "--per-query", f"{per_query:.3f}", "--memory", str(memory or 0)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=left + 1.0, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return Checked(solver, "", "undecided", seconds=time.monotonic() - started, reason="the time is up; its process was ended")
    seconds = time.monotonic() - started
    try:
        told = json.loads(done.stdout)
        failures = tuple(Failure(**f) for f in told.pop("failures"))
        return Checked(**{**told, "failures": failures, "seconds": seconds})
    except (ValueError, TypeError, KeyError):
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        how = f"was killed by signal {-done.returncode}" if done.returncode < 0 else f"ended without an answer: {last[0][:200]}"
        return Checked(solver, "", "undecided", seconds=seconds, reason=f"its process {how}")


def _main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tdpcheck.checker.recheck", description="Check a certificate with one solver.")
    parser.add_argument("file")
    parser.add_argument("--solver", choices=SOLVERS, default="z3")
    parser.add_argument("--timeout", type=float)
    parser.add_argument("--per-query", type=float, default=20.0)
    parser.add_argument("--memory", type=int, default=0, help="bytes; 0 is no limit")
    given = parser.parse_args(arguments)
    if given.memory:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (given.memory, given.memory))
    try:
        text = Path(given.file).read_text(encoding="utf-8")
        answer = check_certificate(text, given.solver, timeout=given.timeout, per_query=given.per_query)
    except (TdpcheckError, OSError, UnicodeDecodeError) as error:
        print(f"tdpcheck: {error}", file=sys.stderr)
        return 2
    except MemoryError:
        print("there was not enough memory", file=sys.stderr)
        return 3
    print(json.dumps(asdict(answer)))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
