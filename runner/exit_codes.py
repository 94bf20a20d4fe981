"""The exit codes of every command, what each of them means, and which one counts where several apply."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ends; `meaning` is what `--help` and the manual say of it."""

    HOLDS = (
        0,
        "everything holds as far as asked (also where it leans on a waiver), or is violated as its scenario expects; "
        "or what was to be done is done",
    )
    VIOLATED = 1, "something is violated that its scenario does not expect, or that the change introduced; or what was given is no proof"
    BAD_INPUT = 2, "bad input or wrong usage; one message says what and what to do"
    UNKNOWN = (
        3,
        "something is unknown or not proved, or the change is not modelled, judged or understood as a whole; "
        "or a fault of the program itself",
    )
    INTERRUPTED = 130, "interrupted (Ctrl-C, SIGTERM, SIGHUP): what was found by then is printed and kept, no process is left"
    BROKEN_PIPE = 141, "whoever read standard output went away"

    meaning: str

    def __new__(cls, number: int, meaning: str) -> ExitCode:
        made = int.__new__(cls, number)
        made._value_ = number
        made.meaning = meaning
        return made


PRECEDENCE = (ExitCode.BAD_INPUT, ExitCode.VIOLATED, ExitCode.INTERRUPTED, ExitCode.UNKNOWN, ExitCode.HOLDS)
"""Which of several codes a command ends with: the first of these. Who reads no more (141) learns of none."""


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """The code that counts; `HOLDS` if there is none."""
    return min(codes, key=PRECEDENCE.index, default=ExitCode.HOLDS)
