"""A Linux source tree to read from: a directory, a git repository at some revision, or Debian's source tarball.

Nothing here writes to the source. Of a tarball, the few files that matter are unpacked once into the user's cache; a second run
reads them from there in no time.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ...core.errors import InputError

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
"""What is unpacked from a tarball at once: files, and directories with a slash at the end. Any other file costs another pass."""

Progress = Callable[[str], None]
_VERSION_LINE = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL)[ \t]*=[ \t]*(\d+)[ \t]*$", re.MULTILINE)
_DEBIAN = re.compile(r"linux-source-(\d+(?:\.\d+)*)\.tar\.\w+")
_INDEX = "members.txt"
_FILES = "files"


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
    path = Path(source).expanduser()
    if not path.exists():
        raise InputError(f"{source}: there is no such file or directory; give a kernel source tree, a git repository or a tarball")
    if path.is_file():
        if rev is not None:
            raise InputError(f"{source}: a tarball has no revision {rev!r}; leave the revision out, or give a git repository")
        return _tarball(path, progress or _quiet)
    if rev is not None or _is_bare(path):
        return _repository(path, rev or "HEAD")
    return _checked(str(path), lambda name: _read_file(path / name, name, str(path)))


def find_debian_source(folder: Path = Path("/usr/src")) -> Path | None:
    """Return the newest `linux-source-*.tar.*` that a Debian package put into `folder`, None if there is none."""
    found = [(match.group(1), entry) for entry in _entries(folder) if (match := _DEBIAN.fullmatch(entry.name))]
    versions = [(tuple(int(part) for part in version.split(".")), entry) for version, entry in found]
    return max(versions)[1] if versions else None


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


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
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{origin} has no file {name}; check the path and the kernel's version") from None
    except OSError as error:
        raise InputError(f"{name} in {origin} cannot be read ({error.strerror}); check its permissions") from None


# Git


def _is_bare(path: Path) -> bool:
    return not (path / ".git").exists() and (path / "HEAD").is_file() and (path / "objects").is_dir()


def _repository(path: Path, rev: str) -> KernelTree:
    if rev.startswith("-"):
        raise InputError(f"{rev!r} is not a git revision; give a branch, a tag or a commit")
    prefix = _git(path, "rev-parse", "--show-prefix", wrong=f"{path} is not a git repository").decode().strip()
    commit = _git(path, "rev-parse", "--verify", f"{rev}^{{commit}}", wrong=f"{path} has no revision {rev!r}").decode().strip()
    origin = f"{path} at {rev}" + ("" if commit.startswith(rev) else f" ({commit[:12]})")

    def read(name: str) -> bytes:
        return _git(path, "cat-file", "blob", f"{commit}:{prefix}{name}", wrong=f"{origin} has no file {name}")

    return _checked(origin, read)


def _git(path: Path, *arguments: str, wrong: str) -> bytes:
    # The environment of a git hook names another repository; the user's question is about this one.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")} | {"LC_ALL": "C"}
    try:
        done = subprocess.run(["git", "-C", str(path), *arguments], capture_output=True, check=False, env=environment)
    except OSError as error:
        raise InputError(f"{wrong}: git cannot be run ({error.strerror}); install git, or give a directory or tarball") from None
    if done.returncode != 0:
        said = " ".join(done.stderr.decode("utf-8", "replace").split()) or "no reason given"
        raise InputError(f"{wrong}; git says: {said}")
    return done.stdout


# Tarballs


def cache_directory() -> Path:
    """Return the user's cache directory for this program (it need not exist yet)."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG rules say that a relative path is to be ignored.
    base = Path(given) if given and Path(given).is_absolute() else Path.home() / ".cache"
    return base / "tdpcheck"


def _tarball(path: Path, progress: Progress) -> KernelTree:
    try:
        status = path.stat()
        cache = cache_directory() / f"{path.name}-{status.st_size}-{status.st_mtime_ns}"
        if not (cache / _INDEX).is_file():
            progress(f"unpacking {path} into {cache} (once, about 15 seconds)")
            _fill(path, cache)
    except OSError as error:
        advice = "check space and permissions, or set XDG_CACHE_HOME"
        raise InputError(f"{path}: cannot be unpacked into the cache ({error}); {advice}") from None
    return _checked(str(path), lambda name: _read_member(path, cache, name, progress))


def _read_member(path: Path, cache: Path, name: str, progress: Progress) -> bytes:
    target = cache / _FILES / name
    if not target.is_file():
        if name not in _read_file(cache / _INDEX, _INDEX, str(cache)).decode("utf-8").split("\n"):
            raise InputError(f"{path} has no file {name}; check the path and the kernel's version")
        progress(f"unpacking {name} from {path}")
        _add(path, cache, name)
    return _read_file(target, name, str(path))


def _fill(path: Path, cache: Path) -> None:
    """Unpack `MEMBERS` and the list of all files into `cache`, so that it is there either complete or not at all."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="unpack-", dir=cache.parent) as scratch:
        staged = Path(scratch) / "tree"
        names = _unpack(path, staged / _FILES, MEMBERS)
        (staged / _INDEX).write_text("\n".join(names), encoding="utf-8")
        try:
            staged.rename(cache)
        except OSError:
            # Another run was faster. What it put there is as good as ours.
            if not (cache / _INDEX).is_file():
                shutil.rmtree(cache, ignore_errors=True)
                staged.rename(cache)


def _add(path: Path, cache: Path, name: str) -> None:
    """Unpack one more file into a cache that exists."""
    with tempfile.TemporaryDirectory(prefix="unpack-", dir=cache.parent) as scratch:
        _unpack(path, Path(scratch), (name,))
        target = cache / _FILES / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (Path(scratch) / name).is_file():
            (Path(scratch) / name).replace(target)


def _unpack(path: Path, target: Path, wanted: Iterable[str]) -> list[str]:
    """Copy the wanted regular files to `target`, and return the paths of all regular files, without their top directory."""
    exact = frozenset(wanted)
    folders = tuple(name for name in exact if name.endswith("/"))
    names: list[str] = []
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                name = member.name.removeprefix("./").partition("/")[2]
                if not member.isreg() or not name or ".." in name.split("/"):
                    continue
                names.append(name)
                if name in exact or name.startswith(folders or ("//",)):
                    _copy(archive, member, target / name)
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError) as error:
        raise InputError(f"{path} cannot be unpacked ({error}); give a tarball of kernel sources, this file may be damaged") from None
    return names


def _copy(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    content = archive.extractfile(member)
    if content is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.read())
