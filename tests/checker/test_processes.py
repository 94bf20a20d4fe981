"""Processes that answer, fail, are killed, run out of memory or are interrupted: each is told as what it was, and none is left behind."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import z3

from tdpcheck.checker.processes import Answered, Child, Died, Failed, Failure, News, Said, Say, listen


def told(child: Child) -> list[News]:
    """Everything that a child says, to its end."""
    found = [child.news()]
    while isinstance(found[-1], Said):
        found.append(child.news())
    return found


def test_what_is_said_comes_before_the_answer() -> None:
    def function(say: Say) -> int:
        say("half")
        return 7

    assert [Said("half"), Answered(7)] == told(Child(function))


def test_an_error_is_told_by_its_name() -> None:
    def function(say: Say) -> int:
        raise ValueError("no such thing")

    assert [Failed(Failure.UNFORESEEN, "ValueError", "no such thing")] == told(Child(function))


def test_a_killed_process_says_nothing_and_is_told_as_killed() -> None:
    def function(say: Say) -> None:
        say(1)
        os.kill(os.getpid(), signal.SIGKILL)

    said, died = told(Child(function))

    assert Said(1) == said
    assert isinstance(died, Died)
    assert "SIGKILL" in died.reason


def test_a_process_that_dies_in_the_middle_of_a_message_is_dead() -> None:
    """Half of an answer is none."""

    def function(say: Say) -> bytes:
        if os.fork() == 0:
            time.sleep(0.2)
            os.kill(os.getppid(), signal.SIGKILL)
            os._exit(0)
        return b"x" * 50_000_000  # more than a pipe holds, so that it waits for its reader

    child = Child(function)
    time.sleep(0.6)

    assert isinstance(child.news(), Died)


def test_memory_is_limited() -> None:
    def function(say: Say) -> int:
        return len(bytearray(4_000_000_000))

    (failed,) = told(Child(function, memory=1_000))

    assert failed == Failed(Failure.MEMORY, "MemoryError", "out of memory (1000 MB were allowed)")


def test_what_the_parent_holds_is_no_part_of_the_limit() -> None:
    """A notebook may have gigabytes; a question that it asks has as much room as any other."""

    def takes(size: int) -> News:
        return told(Child(lambda _: len(bytearray(size)), memory=300))[-1]

    with mmap.mmap(-1, 2_000_000_000):
        fits, exceeds = takes(100_000_000), takes(400_000_000)

    assert fits == Answered(100_000_000)
    assert exceeds == Failed(Failure.MEMORY, "MemoryError", "out of memory (300 MB were allowed)")


def test_an_interpreter_without_room_for_a_frame_is_out_of_memory() -> None:
    """It says SystemError then; where there was room, that is a fault."""

    def full(say: Say) -> object:
        taken = []
        size = 2**28
        while size >= 2**12:
            try:
                taken.append(mmap.mmap(-1, size))
            except (OSError, MemoryError):
                size //= 2
        raise SystemError("error return without exception set")

    def roomy(say: Say) -> object:
        raise SystemError("error return without exception set")

    (none,) = told(Child(full, memory=300))
    (room,) = told(Child(roomy, memory=300))

    assert none == Failed(Failure.MEMORY, "MemoryError", "out of memory (300 MB were allowed)")
    assert room == Failed(Failure.UNFORESEEN, "SystemError", "error return without exception set")


@pytest.mark.slow
def test_a_solver_without_memory_says_so_or_dies_alone() -> None:
    def function(say: Say) -> str:
        x = [z3.BitVec(f"x{i}", 64) for i in range(60)]
        solver = z3.SolverFor("QF_BV")
        solver.add(z3.Product(*x) == 0x123456789ABCDEF1, *(v > 3 for v in x))
        return f"{solver.check()} {solver.reason_unknown()}"

    (news,) = told(Child(function, memory=400))

    assert not isinstance(news, Answered) or "mem" in news.value


def test_an_interrupt_can_be_answered() -> None:
    def function(say: Say) -> str:
        try:
            say("ready")
            time.sleep(30)
        except KeyboardInterrupt:
            return "as far as I came"
        return "late"

    child = Child(function)
    assert Said("ready") == child.news()
    child.interrupt()
    child.interrupt()

    assert Answered("as far as I came") == child.news()


def test_listening_hears_whoever_speaks_first() -> None:
    def slow(say: Say) -> str:
        time.sleep(30)
        return "slow"

    children = [Child(slow), Child(lambda say: "quick")]
    (heard,) = listen(children, 10)
    children[0].kill()

    assert (children[1], Answered("quick")) == heard
    assert [] == list(listen([]))


ORPHANS = """
import os, sys, time
from tdpcheck.checker.processes import Child

def inner(say):
    time.sleep(60)

def outer(say):
    child = Child(inner)
    say((os.getpid(), child.pid))
    time.sleep(60)

child = Child(outer)
print(*child.news().value, flush=True)
time.sleep(60)
"""


def test_no_process_outlives_its_parent() -> None:
    """The parent is killed in the rudest way; so is everybody below it, and below that."""
    root = Path(__file__).parents[2] / ".typing"
    with subprocess.Popen(
        [sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    ) as started:
        assert started.stdout is not None
        pids = [int(word) for word in started.stdout.readline().split()]
        started.kill()
    deadline = time.monotonic() + 5
    while any(map(_lives, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)

    assert 2 == len(pids)
    assert not any(map(_lives, pids))


def _lives(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
