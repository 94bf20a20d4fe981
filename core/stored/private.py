"""What a user keeps from run to run: in folders that nobody else can write to, and sealed with a key that nobody else can read.

A seal says that this user's tdpcheck wrote the content. It keeps out what was edited by hand, brought along from elsewhere, or put there by
somebody else. It does not keep out a program that runs as the same user and reads the key: that one could replace tdpcheck as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from pathlib import Path

_KEY = "key"
_BYTES = 32
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_READ = stat.S_IRWXG | stat.S_IRWXO


class Untrusted(Exception):
    """A folder or a key that somebody else can change, or that cannot be made: why, and what to do."""


def user_folder() -> Path:
    """The folder of this program in the user's cache directory; it need not exist yet.

    Raises:
        Untrusted: nobody knows where this user's home is.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG rules say that a relative path is to be ignored.
    if given and Path(given).is_absolute():
        return Path(given) / "tdpcheck"
    try:
        return Path.home() / ".cache" / "tdpcheck"
    except RuntimeError as error:
        raise Untrusted(f"there is no cache directory ({error})") from None


def private_folder(folder: Path) -> Path:
    """The folder, made if it is not there.

    Raises:
        Untrusted: it cannot be made or written, is another user's, or can be written by others.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status = folder.stat()
    except (OSError, ValueError) as error:
        raise Untrusted(f"{folder} cannot be made ({getattr(error, 'strerror', None) or error})") from None
    if not stat.S_ISDIR(status.st_mode):
        raise Untrusted(f"{folder} is no folder")
    if status.st_uid != os.geteuid():
        raise Untrusted(f"{folder} belongs to another user")
    if status.st_mode & _OTHERS_WRITE:
        raise Untrusted(f"others can write to {folder}; `chmod go-w` it, and delete what you did not put there")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Untrusted(f"{folder} cannot be written to")
    return folder


def user_key() -> bytes:
    """The key of this user, made if there is none.

    Raises:
        Untrusted: it cannot be made or read, or others can read it.
    """
    path = private_folder(user_folder()) / _KEY
    try:
        if not path.exists():
            _make(path)
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            found = file.read(_BYTES + 1)
    except OSError as error:
        raise Untrusted(f"{path} cannot be made or read ({error.strerror})") from None
    if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_READ or len(found) != _BYTES:
        raise Untrusted(f"{path} is no key that this user alone can read; delete it, and a new one is made")
    return found


def _make(path: Path) -> None:
    """Put a new key there, all of it or nothing; one that another run put there first is as good."""
    handle, name = tempfile.mkstemp(prefix=".key-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
            file.flush()
            os.fsync(handle)
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        os.unlink(name)


def sealed(content: bytes, key: bytes) -> bytes:
    """The content with its seal before it, on a line of its own."""
    return _seal(content, key) + b"\n" + content


def unsealed(data: bytes, key: bytes) -> bytes | None:
    """What was sealed; None if it was not, or not with this key."""
    seal, _, content = data.partition(b"\n")
    return content if hmac.compare_digest(seal, _seal(content, key)) else None


def _seal(content: bytes, key: bytes) -> bytes:
    return hmac.new(key, content, hashlib.sha256).hexdigest().encode()
