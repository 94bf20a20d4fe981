"""A change, wherever it comes from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

from msgspec import UnsetType

from ..core.errors import InputError
from ..core.stored.files import MOST, read_standard_input
from ..counterexamples.schema import Cex
from ..runner.inputs.changes import Series, Version, read_change, series_of
from ..runner.inputs.sources import Files
from ..runner.museum.items import shipped_items
from ..runner.names import unknown


@dataclass(frozen=True)
class Change:
    """A patch, an mbox of patches, or a TOML overlay of scenarios (its name ends in `.toml`).

    Args:
        name: what the change is called in answers; of a file its path.
        content: the file, as it is.

    Example:
        >>> from tdpcheck import Change
        >>> change = Change.of_museum("flush-without-iommu")
        >>> change.name
        'flush-without-iommu/change.patch'
    """

    name: str
    content: bytes

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Change:
        """The change in a file; `-` is standard input, and a name of the museum where no file has it is that item's.

        Raises:
            InputError: it cannot be read.
        """
        name = fspath(path)
        if name == "-":
            return cls("stdin", read_standard_input(MOST["change"], "give a patch or an mbox"))
        if _NAME.fullmatch(name) and not Path(name).exists() and name in shipped_items():
            return cls.of_museum(name)
        return cls(name, read_change(name))

    @classmethod
    def of_range(cls, kernel: str | PathLike[str], commits: str) -> Change:
        """The commits of a range of a kernel's git repository, each as a patch; merges as one.

        Args:
            commits: as `OLDER..NEWER`; without NEWER, `HEAD` is meant.

        Raises:
            InputError: this is no git repository, or has no such commits.
        """
        from ..kernelc.sources.repository import Repository  # its library takes a tenth of a second to load

        start, _, end = commits.partition("..")
        return cls(commits, Repository(Path(fspath(kernel)).expanduser(), end or "HEAD").since(start))

    @classmethod
    def of_museum(cls, name: str, *, good: bool = False) -> Change:
        """The change of a known bug; with `good` its twin that is right.

        Raises:
            InputError: there is no such item, or it has no good patch of its own.
        """
        items = shipped_items()
        if name not in items:
            raise InputError(unknown(name, tuple(items), "item in the museum"))
        item = items[name]
        if not good:
            return cls(item.change, item.patch)
        if item.good_patch is None:
            raise InputError(f"museum/{name}: its good twin is the kernel C as it is; leave the change out")
        return cls(f"{name}/{item.expect.good}", item.good_patch)

    def series(self, files: Files) -> Series:
        """The code as it is, and after each patch that is understood; and the patches that are not.

        Raises:
            InputError: it is no change, or nothing of it is understood.
        """
        return series_of(self.content, self.name, files)

    def versions(self, files: Files) -> tuple[Version, ...]:
        """The code as it is, and after each patch.

        Raises:
            InputError: it is no change, or does not apply, or leads to text that is no C.
        """
        return self.series(files).whole()


_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)+")
"""What an item of the museum may be called."""


def carried(cex: Cex) -> Change | None:
    """The change that a document carries; None if it carries none."""
    return None if isinstance(cex.patch, UnsetType) else Change(cex.patch.name, cex.patch.text.encode())


def given(change: Change | str | PathLike[str] | None) -> Change | None:
    """A change as callers may give it: itself, or the path of its file."""
    return change if change is None or isinstance(change, Change) else Change.read(change)


_RANGE = re.compile(r"(?P<start>[^\s.-](?:[^\s.]|\.(?!\.))*)\.\.(?!\.)(?:[^\s.-](?:[^\s.]|\.(?!\.))*)?")


def start_of_range(change: object) -> str | None:
    """The revision that a range of commits (`A..B`) begins at; None of what is no range, or names a file that is there."""
    match = _RANGE.fullmatch(change) if isinstance(change, str) else None
    return None if match is None or "/../" in match.string or Path(match.string).exists() else match["start"]
