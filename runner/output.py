"""Files that a run leaves: each is written beside its place and moved there, so that two runs at once never mix."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.errors import InputError


def prepared(folder: str) -> Path:
    """The folder, made if it was not there.

    Raises:
        InputError: it cannot be made or written to.
    """
    path = Path(folder)
    with _plainly(path):
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    return path


def checked(file: str | None) -> Path | None:
    """The path of a file that is to be written at the end of a long run.

    Raises:
        InputError: nothing can be written there. Told before the run begins, not after it.
    """
    if file is None:
        return None
    path = Path(file)
    with _plainly(path):
        if path.is_dir():
            raise IsADirectoryError(21, "Is a directory")
        if not _is_device(path):
            with tempfile.TemporaryFile(dir=path.parent):
                pass
    return path


def write(path: Path, content: bytes) -> None:
    """Put `content` at `path`, all of it or nothing; a device or a pipe is written to, not replaced.

    Raises:
        InputError: it cannot be written.
    """
    with _plainly(path):
        if _is_device(path):
            path.write_bytes(content)
            return
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def slug(*parts: str | None) -> str:
    """A file's name made of names.

    >>> slug("mm-exit", "no_stale_io_mapping", "0001-x.patch: KVM: Don't flush")
    'mm-exit.no_stale_io_mapping.0001-x-KVM-Don-t-flush'
    """
    return ".".join(word for word in (_tame(part) for part in parts if part) if word)


def _is_device(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()


def _tame(text: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", re.sub(r"\.(patch|diff|mbox|toml)\b", "", text))
    return re.sub(r"[-.]{2,}", "-", plain).strip("-.")[:60]


@contextmanager
def _plainly(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); name another place") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
