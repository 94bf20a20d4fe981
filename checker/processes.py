"""A function in a process of its own: what it says on the way, what it answers, and how it ended if it does not.

A process is forked, so that it begins with everything that was built already, and its answer is sent back through a pipe that
nobody else writes to: one that is killed takes nothing with it but its own answer. (A pool whose workers share a queue can be
stopped for good by one that dies while it holds the queue's lock.) A process lives in a group of its own, so that Control-C
reaches its parent alone, which passes it on once; and it dies with its parent, however that ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any, Generic, TypeVar, assert_never

import z3

from ..core.errors import EngineError, ModelError, TdpcheckError
from ..core.verdict import INTERRUPTED, TIME_IS_UP, Reason, ReasonKind

T = TypeVar("T")
Say = Callable[[object], None]
"""Tells the parent something on the way."""

_FORK = multiprocessing.get_context("fork")
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1
_AGAIN = 0.01
"""Seconds until an interrupt comes again that nobody could hear."""
_SOLVER_SHARE = 0.8
"""How much of a limit a solver may use: it says that it has no more while Python still can."""
MEGABYTE = 1024 * 1024
_SHARED, _LEAST = 0.8, 1000
"""How much of a machine's memory the processes that compute at once may take together; and megabytes that each of them may at least."""
_CONTROL_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_NEAR = 64 * MEGABYTE
"""A process that came so near to its limit may have found no room: about what the allocator asks for at once."""
_SILENT = "without exception set"


def fair_share(jobs: int) -> int:
    """Megabytes that each of so many processes may take, without more than the machine has for all of them.

    The machine is what its control group lets this process have of it, where there is one.
    """
    amounts = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _CONTROL_GROUPS:
        with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:  # "max" is no number, and no limit
            amounts.append(int(file.read()))
    return max(_LEAST, int(min(amounts) * _SHARED) // MEGABYTE // max(1, jobs))


@dataclass(frozen=True)
class Said:
    """Something on the way."""

    value: Any


@dataclass(frozen=True)
class Answered(Generic[T]):
    """What the function returned."""

    value: T


class Failure(StrEnum):
    """What a raised error means to whoever asked."""

    INTERRUPTED = "interrupted"
    """KeyboardInterrupt."""
    MEMORY = "memory"
    """There was not enough of it, for Python or for Z3."""
    MODEL = "model"
    """ModelError: what is to be checked contradicts itself."""
    INPUT = "input"
    """Any other error that a user can act on."""
    ENGINE = "engine"
    """EngineError: an engine contradicts plain evaluation."""
    UNFORESEEN = "unforeseen"
    """Anything else: a fault of tdpcheck."""


@dataclass(frozen=True)
class Failed:
    """The function raised this: what it means, the name of its type, and its message."""

    kind: Failure
    name: str
    message: str

    def __str__(self) -> str:
        return f"{self.name}: {self.message}" if self.message else self.name


@dataclass(frozen=True)
class Died:
    """The process ended without an answer: how; `late` if it was killed because its time was up."""

    reason: str
    late: bool = False


OUT_OF_MEMORY = "out of memory"
News = Said | Answered[Any] | Failed | Died


class Child:
    """A function that runs in a process of its own, which begins at once.

    Args:
        function: is handed a way to say something on the way. What it says and returns must be picklable.
        memory: megabytes of address space that it may take beyond what it begins with, which it has from its parent.
        limit: seconds after which it is killed by whoever listens; see `end_within`.
    """

    def __init__(self, function: Callable[[Say], object], *, memory: int | None = None, limit: float | None = None) -> None:
        self._receiver, sender = _FORK.Pipe(duplex=False)
        self._process = _FORK.Process(target=_live, args=(function, sender, memory, os.getpid()))
        self.started = time.monotonic()
        self.deadline: float | None = None
        self.end_within(limit)
        # A signal waits until the child can answer it: before that it would end in a traceback.
        with held():
            self._process.start()
        sender.close()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    @property
    def connection(self) -> Connection:
        """Readable when there is news."""
        return self._receiver

    def end_within(self, seconds: float | None) -> None:
        """From now on it has so many seconds: beyond them, whoever listens kills it and hears that the time is up."""
        self.deadline = None if seconds is None else time.monotonic() + seconds

    def news(self) -> News:
        """The next thing that it said; waits for it. After anything but `Said` there is no more."""
        try:
            news: News = self._receiver.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            self._process.join()
            news = Died(_ending(self._process.exitcode))
        if not isinstance(news, Said):
            self._end()
        return news

    def interrupt(self) -> None:
        """Pass Control-C on: it may still answer with what it knows."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End it, and whatever it started itself."""
        self._signal(signal.SIGKILL)
        self._end()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _end(self) -> None:
        self._receiver.close()
        self._process.join()


def reason_of(news: Failed | Died) -> Reason:
    """Why a process that ended like this has no answer."""
    if isinstance(news, Died):
        return TIME_IS_UP if news.late else Reason(ReasonKind.DIED, news.reason)
    match news.kind:
        case Failure.INTERRUPTED:
            return INTERRUPTED
        case Failure.MEMORY:
            return Reason(ReasonKind.MEMORY, news.message or OUT_OF_MEMORY)
        case Failure.MODEL | Failure.INPUT:
            return Reason(ReasonKind.REFUSED, news.message)
        case Failure.ENGINE:
            return fault(news.message)
        case Failure.UNFORESEEN:
            return fault(news)
    assert_never(news.kind)


def fault(what: object) -> Reason:
    """That an engine, or this program, is not what it should be."""
    return Reason(ReasonKind.FAULT, f"a fault of tdpcheck itself: {what}")


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Control-C and its like wait until this is over."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def listen(children: Collection[Child], timeout: float | None = None) -> Iterator[tuple[Child, News]]:
    """One piece of news of each child that has some; waits until there is any, or for so many seconds. Who is late is killed."""
    if not children:
        return  # nobody will ever speak
    by_connection = {child.connection: child for child in children}
    deadlines = [child.deadline for child in children if child.deadline is not None]
    until = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
    for ready in wait(list(by_connection), until if timeout is None else timeout if until is None else min(timeout, until)):
        assert isinstance(ready, Connection)
        child = by_connection.pop(ready)
        yield child, child.news()
    for child in by_connection.values():
        if child.deadline is not None and time.monotonic() >= child.deadline:
            child.kill()
            yield child, Died(TIME_IS_UP.text, late=True)


def _live(function: Callable[[Say], object], sender: Connection, memory: int | None, parent: int) -> None:
    """The whole life of a child; it ends without Python's farewell, which would flush what the parent wrote."""
    code = 1
    try:
        _settle(memory, parent)
        answer = _outcome(function, lambda value: _send(sender, Said(value)), memory)
        signal.pthread_sigmask(signal.SIG_BLOCK, (*_ENDINGS, signal.SIGALRM))
        sender.send(answer)
        code = 0
    except BaseException:  # nobody is there to hear of it
        code = 1
    finally:
        os._exit(code)


def _send(sender: Connection, news: News) -> None:
    """Send all of it: an interrupt waits, for half a message would spoil the ones after it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    try:
        sender.send(news)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDINGS)


def _outcome(function: Callable[[Say], object], say: Say, memory: int | None) -> Answered[Any] | Failed:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        return Answered(function(say))
    except KeyboardInterrupt:
        return Failed(Failure.INTERRUPTED, "KeyboardInterrupt", "")
    except MemoryError:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))  # room to say so
        return Failed(Failure.MEMORY, "MemoryError", _no_memory(memory, soft))
    except z3.Z3Exception as error:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        if _says_memory(error):
            return Failed(Failure.MEMORY, "MemoryError", f"the solver is {_no_memory(memory, soft)}")
        return _failed(error)
    except Exception as error:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        if isinstance(error, SystemError) and _is_memory(error, soft):
            return Failed(Failure.MEMORY, "MemoryError", _no_memory(memory, soft))
        if os.environ.get("TDPCHECK_DEBUG"):
            import traceback

            traceback.print_exc()
        return _failed(error)


def _failed(error: Exception) -> Failed:
    match error:
        case EngineError():
            kind = Failure.ENGINE
        case ModelError():
            kind = Failure.MODEL
        case TdpcheckError():
            kind = Failure.INPUT
        case _:
            kind = Failure.UNFORESEEN
    return Failed(kind, type(error).__name__, str(error))


def _says_memory(error: z3.Z3Exception) -> bool:
    """Whether Z3 ran out of memory: it raises the same exception for everything, so its words have to do."""
    return "memory" in str(error)


def _is_memory(error: SystemError, limit: int) -> bool:
    """Whether the interpreter itself found no memory: where it has no room for a frame it forgets to raise MemoryError, and says this.

    Args:
        limit: bytes of address space. If the process never came near it, the error means something else.
    """
    return _SILENT in str(error) and limit != resource.RLIM_INFINITY and address_space("VmPeak") > limit - _NEAR


def _no_memory(memory: int | None, limit: int) -> str:
    """What there is to say; the limit is one of whoever started us if we set none."""
    if limit == resource.RLIM_INFINITY:
        return OUT_OF_MEMORY
    return f"{OUT_OF_MEMORY} ({limit // MEGABYTE if memory is None else memory} MB were allowed)"


def address_space(field: str = "VmSize") -> int:
    """Bytes that this process has of it (`VmSize`), or had at most (`VmPeak`); Linux counts in kB."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return next((int(line.split()[1]) * 1024 for line in file if line.startswith(f"{field}:")), 0)


def _settle(memory: int | None, parent: int) -> None:
    """What a child does before anything else."""
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked to die with it
        os._exit(1)
    for number in _ENDINGS:
        signal.signal(number, _interrupted)
    signal.signal(signal.SIGALRM, _interrupted)
    sys.unraisablehook = _unheard
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDINGS)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")  # if the machine runs out of memory, a question is lost rather than the run
    if memory is not None:
        # What it begins with is its parent's, which may be a notebook of gigabytes: it is no part of what is computed here.
        limit = address_space("VmSize") + memory * MEGABYTE
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
        held_by_solver = z3.Z3_get_estimated_alloc_size() // MEGABYTE
        z3.set_param("memory_max_size", max(1, held_by_solver + int(memory * _SOLVER_SHARE)))


def _interrupted(number: int, frame: FrameType | None) -> None:
    for ending in _ENDINGS:
        signal.signal(ending, signal.SIG_IGN)  # once is enough, and a second one would break the answer
    raise KeyboardInterrupt


def _unheard(unraisable: Any) -> None:
    """An exception where nobody can hear it, as in a destructor of a solver's term: an interrupt comes again, anything else is dropped."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
    elif os.environ.get("TDPCHECK_DEBUG"):
        sys.__unraisablehook__(unraisable)


def _ending(code: int | None) -> str:
    """How a process ended that gave no answer."""
    if code is not None and code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = ", perhaps because the machine ran out of memory" if -code == signal.SIGKILL else ""
        return f"its process was killed ({name}{hint})"
    return f"its process ended without an answer (exit code {code})"
