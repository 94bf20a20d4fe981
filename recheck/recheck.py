"""Re-checking a certificate: initiation, consecution and safety, by Z3 and by a second solver, in fresh processes.

The questions are derived from the file (`questions.py`). Only an explicit `unsat` counts; a solver that gives up, dies or takes too
long has not accepted. `python -m tdpcheck.recheck.recheck FILE` is what a fresh process runs.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ..core.errors import TIME_IS_UP, InputError, TdpcheckError
from .questions import WHOLE, Checked, Failure, Share, Verdict, check_with, require_same
from .reader import kind_of, parse
from .solvers import SOLVERS, Kind

GRACE, LEAST_GRACE = 0.02, 0.2
"""A process may go on for that part of its time, or so many seconds, to end by itself; then it is killed. To start is part of its time."""
NO_MEMORY = 3
"""With this a fresh process ends that has not enough of it."""
_PR_SET_PDEATHSIG = 1
_LOOK = 0.1
"""Seconds between two looks whether there was an interrupt, or whether the parent lives, where nobody says so at once."""


@dataclass(frozen=True)
class Rechecked:
    """What all solvers say. `accepted` only if each of them accepts."""

    answers: tuple[Checked, ...]
    seconds: float = 0.0

    @property
    def accepted(self) -> bool:
        return bool(self.answers) and all(answer.accepted for answer in self.answers)

    @property
    def refused(self) -> bool:
        """Whether a solver has a counterexample to induction."""
        return any(answer.verdict == "refused" for answer in self.answers)


def second_solver(kind: str) -> str:
    """The solver beside Z3 for a kind of certificate: one that shares no code with it."""
    return "bitwuzla" if kind == "grounded" else "cvc5"


def recheck(
    text: str,
    *,
    solvers: Sequence[str] | None = None,
    timeout: float = 60.0,
    per_query: float = 20.0,
    jobs: int = 2,
    memory: int | None = 4 << 30,
    of: str | None = None,
    whole: float | None = None,
) -> Rechecked:
    """Check a certificate with Z3 and a second solver, in fresh processes, which end when this one does, however it ends.

    Args:
        solvers: which; by default Z3, and cvc5 for quantified or bitwuzla for grounded certificates.
        timeout: seconds for each solver. A process that is not done by then is killed, and has not accepted.
        per_query: seconds for one question.
        jobs: how many processes at once.
        memory: bytes that each process may use; None is no limit.
        of: what `statement_of` says of the system built today; the certificate must be about that.
        whole: seconds for everything, however many solvers there are.

    Raises:
        InputError: the text is no certificate, or is about another system.
    """
    until = None if whole is None else time.monotonic() + whole
    if of is not None:
        require_same(parse(text), of)
    (answer,) = recheck_all([text], solvers=solvers, timeout=timeout, per_query=per_query, jobs=jobs, memory=memory, until=until)
    return answer


def recheck_all(
    texts: Sequence[str],
    *,
    solvers: Sequence[str] | None = None,
    timeout: float = 60.0,
    per_query: float = 20.0,
    jobs: int = 2,
    memory: int | None = 4 << 30,
    until: float | None = None,
) -> list[Rechecked]:
    """Like `recheck`, for many certificates: one process a solver and a share of them, since starting one costs as much as a small check.

    An instantiated certificate is large itself: its steps are shared out, and who has derived the questions of a share puts them to one
    solver after the other.

    Args:
        timeout: seconds for each certificate and solver.
        until: when, by `time.monotonic`, everything is to be done.

    Raises:
        InputError: one of them is no certificate.
    """
    wanted: dict[str, list[int]] = {}
    tasks: list[_Task] = []
    for number, kind in enumerate(map(kind_of, texts)):
        asked = solvers or ("z3", second_solver(kind))
        if kind == "instantiated":
            tasks += [_Task((number,), tuple(asked), Share(k, jobs)) for k in range(jobs)]
        else:
            for solver in asked:
                wanted.setdefault(solver, []).append(number)
    parts = jobs if len(wanted) == 1 else 1
    tasks += [_Task(tuple(numbers[k::parts]), (s,)) for s, numbers in wanted.items() for k in range(parts) if numbers[k::parts]]
    found: list[dict[str, list[Checked]]] = [{} for _ in texts]
    with tempfile.TemporaryDirectory(prefix="tdpcheck-") as folder, ThreadPoolExecutor(max(1, jobs)) as pool:
        paths = [Path(folder) / f"{number}.smt2" for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text, encoding="utf-8")
        limits = _Limits(timeout, per_query, memory, until)
        running = _Running()
        try:
            for task, future in [(task, pool.submit(_in_processes, paths, task, limits, running)) for task in tasks]:
                while not future.done():  # a solver that was asked in this process leaves signals so that they end no wait
                    wait([future], _LOOK)
                for (number, solver), answer in zip(task.items, future.result(), strict=True):
                    found[number].setdefault(solver, []).append(answer)
        except BaseException:
            running.end()  # else leaving the pool would wait for every one of them
            raise
    answers = [tuple(_together(parts) for parts in by_solver.values()) for by_solver in found]
    return [Rechecked(each, max((a.seconds for a in each), default=0.0)) for each in answers]


def _together(parts: Sequence[Checked]) -> Checked:
    """What a solver says of a certificate, if it says `parts` of its shares."""
    first = parts[0]
    verdicts = {p.verdict for p in parts}
    worst: Verdict = "refused" if "refused" in verdicts else "undecided" if "undecided" in verdicts else "accepted"
    return replace(
        first,
        version=next((p.version for p in parts if p.version), ""),
        verdict=worst,
        failures=tuple(failure for p in parts for failure in p.failures),
        queries=sum(p.queries for p in parts),
        seconds=max(p.seconds for p in parts),
        reason="" if worst != "undecided" else next(p.reason for p in parts if p.verdict == worst),
        kind="" if worst != "undecided" else next(p.kind for p in parts if p.verdict == worst),
    )


@dataclass(frozen=True)
class _Limits:
    timeout: float
    per_query: float
    memory: int | None
    until: float | None

    @property
    def seconds(self) -> float:
        """What the next answer may take."""
        return self.timeout if self.until is None else max(0.0, min(self.timeout, self.until - time.monotonic()))

    def patience(self, answers: int) -> float:
        """Seconds until a process that owes so many answers is killed."""
        time_ = self.timeout * answers
        if self.until is not None:
            time_ = max(0.0, min(time_, self.until - time.monotonic()))
        return time_ + max(LEAST_GRACE, GRACE * time_)


@dataclass
class _Running:
    """The processes that were started and are not waited for yet."""

    processes: set[subprocess.Popen[bytes]] = field(default_factory=set)
    ended: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, command: Sequence[str]) -> subprocess.Popen[bytes] | None:
        """A process; None if none are to be started any more."""
        with self._lock:
            if self.ended:
                return None
            pipe = subprocess.PIPE
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
            self.processes.add(process)
            return process

    def done(self, process: subprocess.Popen[bytes]) -> None:
        """It ended and was waited for."""
        with self._lock:
            self.processes.discard(process)

    def end(self) -> None:
        """Kill those that run; no other one begins."""
        with self._lock:
            self.ended = True
            for process in self.processes:
                process.kill()


@dataclass(frozen=True)
class _Task:
    """What one process is to do: several certificates with one solver, or a share of one with several."""

    numbers: tuple[int, ...]
    solvers: tuple[str, ...]
    share: Share = WHOLE

    @property
    def items(self) -> list[tuple[int, str]]:
        """What there is to be an answer for, in order."""
        return [(number, solver) for number in self.numbers for solver in self.solvers]

    def after(self, done: int) -> _Task:
        """What is left when so many answers are there."""
        return replace(self, numbers=self.numbers[done:]) if len(self.solvers) == 1 else replace(self, solvers=self.solvers[done:])


def _in_processes(paths: Sequence[Path], task: _Task, limits: _Limits, running: _Running) -> list[Checked]:
    """The answers for a task, by a fresh process; by another one from where it died."""
    answers: list[Checked] = []
    while len(answers) < len(task.items):
        answers += _in_process(paths, task.after(len(answers)), limits, running)
    return answers


def _in_process(paths: Sequence[Path], task: _Task, limits: _Limits, running: _Running) -> list[Checked]:
    """At least one answer: where the process died or was ended, that is the last one."""
    started, patience = time.monotonic(), limits.patience(len(task.items))
    command = [sys.executable, "-P", "-m", "tdpcheck.recheck.recheck", *(str(paths[n]) for n in task.numbers)]
    command += [word for solver in task.solvers for word in ("--solver", solver)]
    command += ["--share", str(task.share.number), str(task.share.of), "--parent", str(os.getpid())]
    command += ["--timeout", f"{limits.seconds:.3f}", "--per-query", f"{limits.per_query:.3f}", "--memory", str(limits.memory or 0)]
    process = running.start(command)
    if process is None:
        return [Checked(task.items[0][1], "", "undecided", reason="it was not asked: interrupted", kind="engine-died")]
    code: int | None
    try:
        said, complaint = process.communicate(timeout=patience)
        code = process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        said, complaint = process.communicate()
        code = None
    finally:
        running.done(process)
    answers = [answer for line in said.splitlines() if (answer := _told(line)) is not None]
    if len(answers) == len(task.items):
        return answers
    kind: Kind = "engine-died"
    if code is None:
        kind = "time-out"
        how = f"{TIME_IS_UP}; its process was ended"
    elif code < 0:
        how = f"its process was killed by signal {-code}"
    else:
        kind = "memory" if code == NO_MEMORY else kind
        last = complaint.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit code {code}"]
        how = f"its process ended without an answer: {last[0][:200]}"
    _, solver = task.items[len(answers)]
    return [*answers, Checked(solver, "", "undecided", seconds=time.monotonic() - started, reason=how, kind=kind)]


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


def _end_with(parent: int) -> None:
    """End this process when its parent ends, even if that is killed: nobody would hear its answer."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked to die with it
            os._exit(1)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)


def _main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tdpcheck.recheck.recheck", description="Check certificates, with one solver after the other."
    )
    parser.add_argument("file", nargs="+")
    parser.add_argument("--solver", choices=SOLVERS, action="append", required=True)
    parser.add_argument("--share", type=int, nargs=2, default=(0, 1), metavar=("K", "N"), help="every Nth step, from K on")
    parser.add_argument("--timeout", type=float, help="seconds for each file")
    parser.add_argument("--per-query", type=float, default=20.0)
    parser.add_argument("--memory", type=int, default=0, help="bytes; 0 is no limit")
    parser.add_argument("--parent", type=int, help="end when this process does")
    given = parser.parse_args(arguments)
    if given.parent is not None:
        _end_with(given.parent)
    gc.disable()  # nothing here refers to itself; looking for such things among the tokens of a large file is a quarter of reading it
    if given.memory:
        resource.setrlimit(resource.RLIMIT_AS, (given.memory, given.memory))
    for file in given.file:
        try:
            text = Path(file).read_text(encoding="utf-8")
            for answer in check_with(text, given.solver, share=Share(*given.share), timeout=given.timeout, per_query=given.per_query):
                print(json.dumps(asdict(answer)), flush=True)
        except (TdpcheckError, OSError, UnicodeDecodeError) as error:
            print(json.dumps({"refuses": str(error)}), flush=True)
        except MemoryError:
            print("there was not enough memory", file=sys.stderr)
            return NO_MEMORY
    return 0


if __name__ == "__main__":
    sys.exit(_main())
