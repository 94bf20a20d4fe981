"""Debian's source tarball, of which the few files that matter are unpacked once into the user's cache, and sealed there.

A file of the cache that was edited is no file of the cache. Where the cache cannot be had (a full disk, a folder that others can write
to), the files are unpacked into memory, for this run alone.
"""

from __future__ import annotations

import contextlib
import lzma
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ...core.errors import InputError
from ...core.stored.files import MEGABYTE, MOST, amount
from ...core.stored.private import Untrusted, private_folder, sealed, unsealed, user_folder, user_key

MEMBERS = (
    "Makefile",
    "arch/x86/include/asm/kvm_host.h",
    "arch/x86/include/asm/kvm_page_track.h",
    "arch/x86/kvm/",
    "drivers/iommu/",
    "include/linux/bitops.h",
    "include/linux/hashtable.h",
    "include/linux/intel-iommu.h",
    "include/linux/iommu.h",
    "include/linux/kvm_host.h",
    "include/linux/kvm_types.h",
    "include/linux/list.h",
    "include/linux/mmu_notifier.h",
    "include/linux/rculist.h",
    "include/linux/xarray.h",
    "virt/kvm/",
)
"""What is unpacked at once: files, and directories with a slash at the end. Any other file costs another pass."""

MOST_MEMBERS = 200_000
MOST_UNPACKED = 3_000 * MEGABYTE
"""A kernel has some 90,000 files in 1,500 MB."""
MOST_MEMBER = 128 * MEGABYTE
MOST_KEPT = 256 * MEGABYTE
_MOST_HEADER = MEGABYTE
_HEADERS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_INDEX = "members.txt"
_FILES = "files"


class Tarball:
    """A tarball with one directory at its top.

    Args:
        progress: is told when something takes long.

    Raises:
        InputError: it cannot be unpacked, or is larger than any kernel.
    """

    def __init__(self, path: Path, progress: Callable[[str], None]) -> None:
        self._path = path
        self._progress = progress
        self._known: dict[str, bytes] = {}
        self._names: frozenset[str] = frozenset()
        status = path.stat()
        self._name = f"{path.name}-{status.st_size}-{status.st_mtime_ns}"
        self._folder: Path | None = None
        self._key = b""
        try:
            self._key = user_key()
            self._folder = private_folder(private_folder(user_folder()) / "trees") / self._name
        except Untrusted as why:
            progress(f"{why}; so {path} is unpacked for this run alone")
        index = self._kept(_INDEX)
        if index is None:
            where = "memory" if self._folder is None else str(self._folder)
            progress(f"unpacking {path} into {where} (once, about 15 seconds)")
            index = self._fill()
        self._names = frozenset(index.decode("utf-8", "surrogateescape").split("\n"))

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            InputError: there is none.
        """
        known = self._known.get(name)
        if known is None:
            known = self._kept(f"{_FILES}/{name}")
        if known is None:
            if name not in self._names:
                raise InputError(f"{self._path} has no file {name}; check the path and the kernel's version")
            self._progress(f"unpacking {name} from {self._path}")
            known = _unpacked(self._path, (name,))[1].get(name)
            if known is None:
                raise InputError(f"{self._path} has no file {name} any more; it was changed while it was read")
            self._keep(f"{_FILES}/{name}", known)
        self._known[name] = known
        return known

    def _fill(self) -> bytes:
        names, contents = _unpacked(self._path, MEMBERS)
        self._known.update(contents)
        index = "\n".join(names).encode("utf-8", "surrogateescape")
        # The index comes last: what counts is there as a whole, or is unpacked again.
        for name, content in contents.items():
            self._keep(f"{_FILES}/{name}", content)
        self._keep(_INDEX, index)
        return index

    # The cache

    def _kept(self, name: str) -> bytes | None:
        """A file of the cache; None if it is not there, or is not what was put there."""
        if self._folder is None:
            return None
        try:
            content = unsealed((self._folder / name).read_bytes(), self._key)
        except OSError:
            return None
        about = self._about(name)
        return content.removeprefix(about) if content is not None and content.startswith(about) else None

    def _keep(self, name: str, content: bytes) -> bool:
        if self._folder is None:
            return False
        target = self._folder / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, scratch = tempfile.mkstemp(prefix=".new-", dir=target.parent)
            try:
                with open(handle, "wb") as file:
                    file.write(sealed(self._about(name) + content, self._key))
                Path(scratch).replace(target)
            except BaseException:
                Path(scratch).unlink(missing_ok=True)
                raise
        except OSError as error:
            self._progress(f"{self._folder} cannot be written ({error.strerror}); so {self._path} is unpacked for this run alone")
            self._folder = None
            return False
        return True

    def _about(self, name: str) -> bytes:
        """Of which file of which tarball a seal speaks."""
        return f"{self._name}\0{name}\0".encode("utf-8", "surrogateescape")


class _Member(tarfile.TarInfo):
    """A member whose size is looked at before anything is read of it."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str | None, errors: str) -> _Member:
        member = super().frombuf(buf, encoding or "utf-8", errors)
        _check_size(member.name, member.size, _MOST_HEADER if member.type in _HEADERS else MOST_MEMBER)
        return member


def _check_size(name: str, size: int, most: int) -> None:
    if not 0 <= size <= most:
        raise InputError(f"{name[:80]!r} in it has {size:,} bytes; a kernel has no file of more than {amount(most)}")


def _unpacked(path: Path, wanted: Iterable[str]) -> tuple[list[str], dict[str, bytes]]:
    """The paths of all regular files without their top directory, and the content of those that are wanted."""
    exact = frozenset(wanted)
    folders = tuple(name for name in exact if name.endswith("/")) or ("//",)
    names: list[str] = []
    contents: dict[str, bytes] = {}
    kept = 0
    with _told(path), tarfile.open(path, "r|*", tarinfo=_Member) as archive:
        for member in _members(archive):
            name = member.name.removeprefix("./").partition("/")[2]
            if not member.isreg() or not name or "\n" in name or ".." in name.split("/"):
                continue
            names.append(name)
            if name in exact or name.startswith(folders):
                _check_size(name, member.size, MOST["source"])
                kept += member.size
                if kept > MOST_KEPT:
                    raise InputError(f"the files that matter have more than {amount(MOST_KEPT)}")
                contents[name] = _content(archive, member)
    return names, contents


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    size = 0
    for number, member in enumerate(archive):
        _check_size(member.name, member.size, MOST_MEMBER)
        size += member.size
        if size > MOST_UNPACKED or number > MOST_MEMBERS:
            raise InputError(f"it unpacks to more than {amount(MOST_UNPACKED)}, or {MOST_MEMBERS:,} files")
        yield member


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{path} is no tarball of a kernel: {error}; give another one") from None
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, ValueError, OverflowError) as error:
        raise InputError(f"{path} cannot be unpacked ({error}); give a tarball of kernel sources, this file may be damaged") from None
    except OSError as error:
        raise InputError(f"{path} cannot be unpacked ({error.strerror or error}); give a tarball that can be read") from None


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return b"" if file is None else file.read()
