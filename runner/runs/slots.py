"""What processes share: how many may compute at once, and whose turn it is. Both are kept in files that have no name, under locks.

The kernel takes a lock back when its holder ends, however it ends: no killed process can leave the others waiting.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator

_PAUSE = 0.01
"""Seconds between two looks for a free slot: little beside what a question takes."""


class Slots:
    """So many slots; made before the processes that share them are forked."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._file = os.memfd_create("slots")

    def close(self) -> None:
        """No more slots are wanted."""
        os.close(self._file)

    @contextlib.contextmanager
    def one(self) -> Iterator[float]:
        """Hold one, after waiting until it is free: for so many seconds. A process holds one at a time."""
        begun = time.monotonic()
        place = self._taken()
        while place is None:
            time.sleep(_PAUSE)
            place = self._taken()
        try:
            yield time.monotonic() - begun
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)

    def _taken(self) -> int | None:
        for place in range(self.number):
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise
            else:
                return place
        return None


class Turns:
    """The numbers from 0 on, each given to one process alone, the lowest first; made before the processes that share them are forked."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._file = os.memfd_create("turns")

    def close(self) -> None:
        """No more are wanted."""
        os.close(self._file)

    @property
    def given(self) -> int:
        """How many were given: all below that."""
        return int.from_bytes(os.pread(self._file, 8, 0), "little")

    def take(self) -> int | None:
        """The next one; None if there is none left."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            number = self.given
            if number >= self.number:
                return None
            os.pwrite(self._file, (number + 1).to_bytes(8, "little"), 0)
            return number
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def end(self) -> None:
        """Give none any more."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        os.pwrite(self._file, self.number.to_bytes(8, "little"), 0)
        fcntl.lockf(self._file, fcntl.LOCK_UN)
