"""Files that a user names: only regular ones are read, and none beyond a size that something of its kind can have."""

from __future__ import annotations

import errno
import os
import stat
import sys

from ..errors import InputError

MEGABYTE = 1024 * 1024
MOST = {
    "change": 16 * MEGABYTE,
    "source": 8 * MEGABYTE,
}
"""Bytes of a file, by what it is: some twenty times those of the largest that was ever seen."""

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def read_regular(path: str | os.PathLike[str], most: int, kind: str = "such file") -> bytes:
    """The content of a regular file, or of what a link leads to.

    Args:
        most: bytes.
        kind: what has never so many, as "certificate".

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read, is a directory, or is no regular file: nothing is ever waited for.
        InputError: it is larger than `most`.
    """
    # Without O_NONBLOCK, opening a pipe waits for whoever writes to it.
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, which cannot be opened at all
            raise OSError(22, f"it is {_kind(os.stat(path).st_mode)}, no regular file") from None
        raise
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(21, "Is a directory")
            raise OSError(22, f"it is {_kind(status.st_mode)}, no regular file")
        content = file.read(most + 1)
    if len(content) > most:
        raise InputError(f"{path}: it has more than {amount(most)}, which no {kind} has; give another one")
    return content


def read_given(path: str, most: int, advice: str, kind: str = "such file") -> bytes:
    """The content of a file that a user names.

    Args:
        most: bytes.
        advice: what to give instead, as "give a patch".
        kind: what has never so many bytes, as "certificate".

    Raises:
        InputError: it cannot be read, is no regular file, or is larger than `most`.
    """
    try:
        return read_regular(path, most, kind)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; {advice}") from None
    except (OSError, ValueError) as error:  # a name with a zero byte in it is a ValueError
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); {advice}") from None


def read_standard_input(most: int, advice: str) -> bytes:
    """What a user pipes in.

    Args:
        most: bytes.
        advice: what to give instead.

    Raises:
        InputError: it is larger than `most`, or cannot be read.
    """
    try:
        content = sys.stdin.buffer.read(most + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"standard input: cannot be read ({getattr(error, 'strerror', None) or error}); {advice}") from None
    if len(content) > most:
        raise InputError(f"standard input: it has more than {amount(most)}; {advice}")
    return content


def amount(size: int) -> str:
    """A number of bytes as it is said.

    >>> amount(8 * MEGABYTE)
    '8 MB'
    """
    return f"{size // MEGABYTE} MB" if size >= MEGABYTE else f"{size:,} bytes"


def _kind(mode: int) -> str:
    return next((name for test, name in _KINDS if test(mode)), "something else")
