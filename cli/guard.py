"""Every command runs in a process of its own, and this one watches it: it passes signals on, and ends what does not end.

The watcher computes nothing and imports nothing that takes long, so it always answers: to Control-C, to SIGTERM and SIGHUP, to a time
limit, and to a process that was killed or crashed in a library. What it has to say then is one line. The process that works hears a signal
once, as KeyboardInterrupt, and a limit as `TimeUp`; if it does not end of itself within a while, it is killed, with all that it started.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from ..core.errors import TIME_IS_UP, TdpcheckError
from .harmless import last_words

STARTED = time.monotonic()
ALONE = ("explore",)
DEFAULT = 300.0
"""Seconds for a command that has no limit of its own."""
GRACE = 0.05
"""A process that was told that its time is up may go on for so large a part of it before it is killed."""
LEAST_GRACE = 0.25
PATIENCE = 20.0
"""Seconds for telling what is known after a signal."""
INTERRUPTED, UNKNOWN, BAD_INPUT, BROKEN_PIPE = 130, 3, 2, 141
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TIME_UP = signal.SIGUSR1
_AGAIN = 0.01
"""Seconds until an interrupt comes again that nobody could hear."""
_PR_SET_PDEATHSIG = 1

_said_by: list[int] = []
"""The pipe to the watcher, if there is one."""
_deadline: list[float] = []
_seconds: list[float] = []
_doing: list[str] = ["this command"]


class TimeUp(KeyboardInterrupt):
    """The time that a command may take is up."""


class OutputLost(TdpcheckError):
    """Standard output cannot be written."""


class ReaderGone(Exception):
    """Nobody reads standard output any more. No `BrokenPipeError`, from which libraries draw conclusions of their own."""


# What a command says of its limit


def limit(seconds: float, what: str) -> None:
    """From its start, this process may take so many seconds; beyond that it hears `TimeUp`, and is killed if it does not listen.

    Args:
        what: is said if it is killed, as "reading my.patch".
    """
    _deadline[:] = [(STARTED if _said_by else time.monotonic()) + seconds]
    _seconds[:] = [seconds]
    _doing[:] = [what]
    _say(f"{seconds!r} {what}")


def unlimited() -> None:
    """From here on this process minds its limits itself."""
    _deadline.clear()
    _doing[:] = ["this command"]
    _say("inf -")


def time_is_up() -> str:
    """What there is to say when the time is up."""
    seconds = f"{_seconds[0]:g} s" if _deadline else "its time"
    return f"{TIME_IS_UP}: {_doing[0]} takes more than {seconds}; {_MORE_TIME}"


def deaf() -> None:
    """From here on signals wait: what is left is to print what was found."""
    if _said_by:
        signal.pthread_sigmask(signal.SIG_BLOCK, (*SIGNALS, _TIME_UP, signal.SIGALRM))


def left() -> float:
    """Seconds of the limit that are left: at least a moment, so that a solver that is given them answers."""
    return max(0.05, _deadline[0] - time.monotonic()) if _deadline else float("inf")


def spent() -> float:
    """Seconds since this command began; none where nobody watches, and something else began this process."""
    return time.monotonic() - STARTED if _said_by else 0.0


def _say(line: str) -> None:
    for pipe in _said_by:
        with contextlib.suppress(OSError):
            os.write(pipe, line.replace("\n", " ").encode("utf-8", "replace")[:400] + b"\n")


# The watcher


def guarded(work: Callable[[], int]) -> NoReturn:
    """Do the work and end this process with its exit code; a command of `ALONE` has the terminal to itself, without a watcher."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    _fill_descriptors()
    if sys.argv[1:2] and sys.argv[1] in ALONE:
        _live(work)
    pipe, sender = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(pipe)
        _said_by.append(sender)
        os.setpgid(0, 0)  # Control-C reaches the watcher, which passes it on once
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # ... and the terminal may be written to all the same
        _die_with_parent()
        if os.getppid() != parent:
            os._exit(INTERRUPTED)
        _live(work)
    os.close(sender)
    code = INTERRUPTED
    with contextlib.suppress(BaseException):
        code = _Watch(child, pipe).ended()
    os._exit(code)


def _heeded() -> list[signal.Signals]:
    """The signals that whoever started this process did not want it to ignore, as `nohup` does."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def _die_with_parent() -> None:
    import ctypes  # the watcher has no use for it

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class _Watch:
    """Hears a process and the signals that are meant for it, until it has ended."""

    def __init__(self, child: int, pipe: int) -> None:
        self._child = child
        self._pipe = pipe
        self._text = b""
        self._what = "this command"
        self._limit = DEFAULT
        self._kill_at = float("inf")
        self._told = False
        self._wake, wake = os.pipe()
        for end in (self._wake, wake, pipe):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (*_heeded(), signal.SIGCHLD):
            signal.signal(number, _nothing)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def ended(self) -> int:
        """The exit code of the process, after its end; of this one, if it had to be killed."""
        reading = [self._wake, self._pipe]
        while True:
            status = self._status()
            if status is not None:
                return self._code(status)
            ready, _, _ = select.select(reading, [], [], self._pause())
            if self._pipe in ready and not self._heard():
                reading.remove(self._pipe)
            signals = os.read(self._wake, 4096) if self._wake in ready else b""
            for number in signals:
                if number in SIGNALS and not self._signalled(number):
                    return INTERRUPTED
            now = time.monotonic()
            if now >= self._kill_at:
                self._kill()
                if self._told:
                    return self._complain("interrupted; what was found could not be told in time", INTERRUPTED)
                return self._complain(f"{TIME_IS_UP}: {self._what} takes more than {self._limit:g} s; {_MORE_TIME}", UNKNOWN)
            if now >= STARTED + self._limit and self._kill_at == float("inf"):
                self._kill_at = now + max(LEAST_GRACE, GRACE * self._limit)
                self._send(_TIME_UP)

    def _pause(self) -> float | None:
        until = min(self._kill_at, STARTED + self._limit if self._kill_at == float("inf") else float("inf"))
        return None if until == float("inf") else max(0.0, until - time.monotonic())

    def _heard(self) -> bool:
        """Take what the process says of its limit; whether it may say more."""
        said = os.read(self._pipe, 65536)
        *lines, self._text = (self._text + said).split(b"\n")
        for line in lines:
            seconds, _, what = line.decode("utf-8", "replace").partition(" ")
            self._limit, self._what = float(seconds), what
            if not self._told:
                self._kill_at = float("inf")
        return bool(said)

    def _signalled(self, number: int) -> bool:
        """Pass a signal on; whether to go on waiting: a second one ends everything."""
        if self._told:
            self._kill()
            self._complain("interrupted", INTERRUPTED)
            return False
        self._told = True
        self._kill_at = time.monotonic() + PATIENCE
        self._send(signal.Signals(number))
        return True

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, number)

    def _kill(self) -> None:
        self._send(signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._child, 0)

    def _status(self) -> int | None:
        try:
            found, status = os.waitpid(self._child, os.WNOHANG)
        except ChildProcessError:
            return 0
        return status if found else None

    def _code(self, status: int) -> int:
        code = os.waitstatus_to_exitcode(status)
        if code >= 0:
            return code
        name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
        if -code == signal.SIGKILL:
            hint = "perhaps because the machine ran out of memory; ask a smaller scenario or depth"
        else:
            hint = "which a library may do that was given too little memory; please report it if it happens again"
        return self._complain(f"the process that computed was ended by {name}, {hint}", UNKNOWN)

    def _complain(self, message: str, code: int) -> int:
        last_words(message)
        return code


_MORE_TIME = "give more with --timeout where the command has it, or give less to read"


def _nothing(number: int, frame: FrameType | None) -> None:
    return None


# The process that works


def _live(work: Callable[[], int]) -> NoReturn:
    code = INTERRUPTED
    try:
        _settle()
        code = work()
        signal.pthread_sigmask(signal.SIG_BLOCK, (*SIGNALS, _TIME_UP, signal.SIGALRM))
        sys.stdout.flush()
    except TimeUp:
        code = complain(time_is_up(), UNKNOWN)
    except KeyboardInterrupt:
        code = complain("interrupted", INTERRUPTED)
    except ReaderGone:
        code = BROKEN_PIPE
    except OutputLost as lost:
        code = complain(str(lost), BAD_INPUT)
    except MemoryError:
        code = complain("there is not enough memory for this question; ask a smaller scenario or depth", UNKNOWN)
    except BaseException as error:
        code = complain(f"a fault of tdpcheck itself: {type(error).__name__}: {error}; please report it", UNKNOWN)
    finally:
        # Without Python's farewell: it would run destructors of solvers in any order, and flush what could not be written.
        os._exit(code)


def complain(message: str, code: int) -> int:
    """Say one line on standard error; the code again."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (*SIGNALS, _TIME_UP, signal.SIGALRM))
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    last_words(message)
    return code


def _settle() -> None:
    sys.unraisablehook = _unheard
    sys.excepthook = _silent
    sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Quiet(2, "w", closefd=False), sys.stderr, always=True)
    for number in _heeded():
        signal.signal(number, _interrupt)
    signal.signal(_TIME_UP, _time_up)
    signal.signal(signal.SIGALRM, _once_more)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


_raised: list[type[KeyboardInterrupt]] = []


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _raised:  # the first is heard, the watcher minds the second
        _raised.append(KeyboardInterrupt)
        raise KeyboardInterrupt


def _time_up(number: int, frame: FrameType | None) -> None:
    if not _raised:
        _raised.append(TimeUp)
        raise TimeUp


def _once_more(number: int, frame: FrameType | None) -> None:
    raise _raised[-1] if _raised else KeyboardInterrupt


def _unheard(unraisable: Any) -> None:
    """An exception where nobody can hear it, as in a destructor of a solver's term: an interrupt comes again, anything else is dropped."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
    elif os.environ.get("TDPCHECK_DEBUG"):
        sys.__unraisablehook__(unraisable)


def _silent(kind: object, error: object, trace: object) -> None:
    return None


# Standard output and standard error


def _fill_descriptors() -> None:
    """What was closed is opened on nothing: the next file that is opened must not become standard output."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # Standard output is opened for reading: that it cannot be written is to be noticed.
            os.dup2(os.open(os.devnull, os.O_WRONLY if descriptor == 2 else os.O_RDONLY), descriptor)


class _Output(io.FileIO):
    """Standard output, of which it is known that it could not be written: a full disk under any other file is another matter."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            raise ReaderGone from None
        except OSError as error:
            raise OutputLost(f"standard output cannot be written ({error.strerror}); write to a file with room for it") from None


class _Quiet(io.FileIO):
    """Standard error: whoever does not want to hear of progress is no reason to stop."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError:
            return len(content)


def _text(raw: io.FileIO, before: Any, *, always: bool = False) -> io.TextIOWrapper:
    """A stream of text like the one before it."""
    encoding = getattr(before, "encoding", None) or "utf-8"
    errors = getattr(before, "errors", None) or "backslashreplace"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=always or raw.isatty())
