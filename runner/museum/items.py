"""The museum's items, read from their folders: a change that breaks a property, what must be found, and its good twin."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ...core.errors import InputError

FOLDER = Path(__file__).parents[2] / "museum"


class Expect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `expect.toml` says.

    Args:
        property: what the change breaks.
        scenario: where that is seen.
        kernel: the commit or thread that the bug was known by.
        ids: what docs/museum.md calls the bug: K for KVM, N for MMU notifiers, I for IOMMUs, R for the RFC, P for a principle.
        depth: how many steps the shortest violation has, if that is to be checked.
        good: the patch that is right instead; without it, the unpatched code.
    """

    property: str
    scenario: str
    verdict: Literal["violated"] = "violated"
    kernel: str | tuple[str, ...] = ""
    ids: tuple[str, ...] = ()
    depth: Annotated[int, msgspec.Meta(ge=0)] | None = None
    good: str | None = None


class Item(msgspec.Struct, frozen=True):
    """One item; `recipe` says whether it can also be made from a real kernel tree."""

    name: str
    folder: str
    expect: Expect
    patch: bytes
    good_patch: bytes | None
    story: str
    recipe: bool

    @property
    def change(self) -> str:
        """What the change is called in reports."""
        return f"{self.name}/change.patch"


def read_item(folder: Path) -> Item:
    """One item.

    Raises:
        InputError: a file is missing, or `expect.toml` is not what it should be.
    """
    where = f"museum/{folder.name}"
    raw = _read(folder, "expect.toml", where).decode("utf-8", "replace")
    try:
        expect = msgspec.convert(tomllib.loads(raw), Expect)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        known = ", ".join(Expect.__struct_fields__)
        raise InputError(f"{where}/expect.toml: {error}. It has: {known}") from error
    good = None if expect.good is None else _read(folder, expect.good, where)
    story = _read(folder, "story.md", where).decode("utf-8", "replace")
    recipe = (folder / "recipe.toml").is_file()
    return Item(folder.name, str(folder), expect, _read(folder, "change.patch", where), good, story, recipe)


def _read(folder: Path, name: str, where: str) -> bytes:
    path = folder / name
    if path.parent != folder:
        raise InputError(f"{where}: {name!r} is not a file of this folder")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{where}/{name}: {error.strerror}; an item has change.patch, expect.toml and story.md") from None


def shipped_items(folder: Path = FOLDER) -> dict[str, Item]:
    """All items by name, in the order of their names."""
    found = sorted(p.parent for p in folder.glob("*/expect.toml"))
    return {path.name: read_item(path) for path in found}
