"""How many processes may compute at once: each takes a slot first. A slot is a lock on a byte of a file that has no name.

The kernel takes the lock back when its holder ends, however it ends: no killed process can leave the others waiting.
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
