"""A Linux source tree to read from: a directory, a git repository at some revision, or Debian's source tarball.

Nothing here writes to the source, and nothing of the source runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ...core.errors import InputError
from ...core.stored.files import MOST, read_regular
from .tarball import Tarball

Progress = Callable[[str], None]
_VERSION_LINE = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL)[ \t]*=[ \t]*(\d+)[ \t]*$", re.MULTILINE)
_DEBIAN = re.compile(r"linux-source-(\d+(?:\.\d+)*)\.tar\.\w+")


@dataclass(frozen=True, slots=True)
class KernelTree:
    """A read-only view of one kernel source tree; make it with `open_tree`."""

    origin: str
    version: str
    _read: Callable[[str], bytes] = field(repr=False)

    def read(self, path: str) -> str:
        """Return the content of a file.

        Args:
            path: relative to the top of the tree, with slashes: `arch/x86/kvm/mmu/tdp_mmu.c`.

        Raises:
            InputError: there is no such file, it cannot be read, or it is not UTF-8.
        """
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or not parts.parts:
            raise InputError(f"{path!r} is not a path inside {self.origin}; give it relative to the top of the kernel tree")
        data = self._read(str(parts))
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise InputError(f"{path} in {self.origin}: line {line} is not UTF-8; give a text file") from None


def open_tree(source: str | os.PathLike[str], rev: str | None = None, progress: Progress | None = None) -> KernelTree:
    """Open a kernel source tree.

    Args:
        source: a directory, a git repository (bare ones, too), or a tarball with one directory at its top.
        rev: the git revision to read; without it the files of the work tree count (`HEAD` for a bare repository).
        progress: is told when something takes long.

    Raises:
        InputError: `source` is none of these, is no kernel tree, or has no such revision.
    """
    path = _path(source)
    if not path.exists():
        raise InputError(f"{source}: there is no such file or directory; give a kernel source tree, a git repository or a tarball")
    if path.is_file():
        if rev is not None:
            raise InputError(f"{source}: a tarball has no revision {rev!r}; leave the revision out, or give a git repository")
        return _checked(str(path), Tarball(path, progress or _quiet).read)
    if not path.is_dir():
        raise InputError(
            f"{source}: this is neither a directory nor a regular file; give a kernel source tree, a git repository or a tarball"
        )
    if rev is not None or _is_bare(path):
        from .repository import Repository  # its library takes a tenth of a second to load

        repository = Repository(path, rev or "HEAD")
        return _checked(repository.origin, repository.read)
    return _checked(str(path), lambda name: _read_file(path / name, name, str(path)))


def debian_sources(folder: Path = Path("/usr/src")) -> tuple[Path, ...]:
    """Every `linux-source-*.tar.*` that a Debian package put into `folder`, the newest first."""
    found = [(match.group(1), entry) for entry in _entries(folder) if (match := _DEBIAN.fullmatch(entry.name))]
    versions = [(tuple(int(part) for part in version.split(".")), entry) for version, entry in found]
    return tuple(entry for _, entry in sorted(versions, reverse=True))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _path(source: str | os.PathLike[str]) -> Path:
    try:
        path = Path(source).expanduser()
        path.exists()
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{str(source)[:200]!r} is no path ({error}); give a kernel source tree, a git repository or a tarball") from None
    return path


def _is_bare(path: Path) -> bool:
    return not (path / ".git").exists() and (path / "HEAD").is_file() and (path / "objects").is_dir()


def _quiet(_: str) -> None:
    return None


def _checked(origin: str, read: Callable[[str], bytes]) -> KernelTree:
    """Make the tree after reading its version from the Makefile, which every kernel tree has."""
    try:
        makefile = read("Makefile").decode("utf-8", "replace")
    except InputError as error:
        raise InputError(f"{origin} is not a kernel source tree: it has no Makefile that can be read ({error})") from None
    numbers = dict(_VERSION_LINE.findall(makefile))
    if "VERSION" not in numbers or "PATCHLEVEL" not in numbers:
        raise InputError(f"{origin} is not a kernel source tree: its Makefile names no VERSION and PATCHLEVEL; give the top of the tree")
    version = ".".join(numbers[part] for part in ("VERSION", "PATCHLEVEL", "SUBLEVEL") if part in numbers)
    return KernelTree(origin, version, read)


def _read_file(path: Path, name: str, origin: str) -> bytes:
    try:
        return read_regular(path, MOST["source"])
    except FileNotFoundError:
        raise InputError(f"{origin} has no file {name}; check the path and the kernel's version") from None
    except OSError as error:
        raise InputError(f"{name} in {origin} cannot be read ({error.strerror}); check its permissions") from None
