"""A counterexample becomes an item of the museum: its change, what must be found, and a story, in a folder of a checkout."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import UnsetType

from ...core.errors import InputError
from ...core.stored.tomlfile import quoted
from ...counterexamples.schema import Cex
from ...counterexamples.story import story
from ...kernelc.sources.patch import parse_change
from ...model.scenario import shipped_scenarios
from .items import Expect, Item

CHECKOUT = Path(__file__).parents[2]
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)+")
NOBODY = "no commit: found by tdpcheck"


def item_of(cex: Cex, name: str, title: str = "", known_by: str = NOBODY, ids: tuple[str, ...] = ("P",)) -> Item:
    """The item that a counterexample makes; its good twin is the kernel C as it is.

    Args:
        name: of the item: small letters, digits and dashes.
        title: what goes wrong; without one the subject of the patch.
        known_by: the commit or thread that the bug is known by.
        ids: as in `Expect`.

    Raises:
        InputError: the counterexample carries no patch, or one of several parts; it is not of the shipped kernel C, or not of a shipped
            scenario that says that the property holds; nobody knows whether it is a shortest run; or the name is none.
    """
    if _NAME.fullmatch(name) is None:
        raise InputError(f"--name {name}: an item is called by small letters, digits and dashes, as in flush-without-iommu")
    if isinstance(cex.patch, UnsetType):
        raise InputError("this counterexample carries no patch, so there is nothing to keep; make it again with `tdpcheck verify --change`")
    if cex.patch.name.endswith(".toml"):
        raise InputError(f"its change, {cex.patch.name}, is an overlay of scenarios; the museum keeps patches of kernel C")
    if cex.kernel != "shipped":
        raise InputError(f"it is of kernel {cex.kernel}; the museum keeps patches of the shipped kernel C, model/kernel/")
    scenario = shipped_scenarios().get(cex.scenario.name)
    if scenario is None or scenario.expect.get(cex.prop.name) != "holds":
        raise InputError(
            f"no shipped scenario {cex.scenario.name} says that {cex.prop.name} holds; find it again in one with `tdpcheck verify`"
        )
    if not cex.shortest:
        raise InputError("nobody knows whether a shorter run does the same; find it again with more --states, so that all are visited")
    parts = parse_change(cex.patch.text, cex.patch.name)
    if len(parts) != 1:
        raise InputError(f"its change is a series of {len(parts)} patches; ask `tdpcheck verify --change` about the one that breaks it")
    said = title or parts[0].subject or f"{cex.prop.name} is broken in {cex.scenario.name}"
    text = cex.patch.text if parts[0].subject else f"From: {NOBODY}\nSubject: [PATCH] {said}\n\n---\n{cex.patch.text}"
    expect = Expect(cex.prop.name, cex.scenario.name, kernel=known_by, ids=ids, depth=cex.depth)
    return Item(name, name, expect, text.encode(), None, _story(cex, name, said), recipe=False)


def add(item: Item, root: Path = CHECKOUT) -> Path:
    """Write an item into the museum of a checkout, where `tests/museum` asks it from now on; answer with its folder.

    Raises:
        InputError: this is an installed package and no checkout, or there is such an item.
    """
    if not (root / "pyproject.toml").is_file() or not (root / "tests" / "museum").is_dir():
        raise InputError(
            f"{root} is an installed package; an item is added to a checkout of the repository: clone it, and run its tdpcheck"
        )
    folder = root / "museum" / item.name
    if folder.exists():
        raise InputError(f"{folder}: the museum has an item of this name; give another one with --name")
    folder.mkdir()
    expect = item.expect
    ids = ", ".join(map(_quoted, expect.ids))
    lines = [
        f"property = {_quoted(expect.property)}",
        f"scenario = {_quoted(expect.scenario)}",
        f"verdict = {_quoted(expect.verdict)}",
        f"kernel = {_quoted(str(expect.kernel))}",
        f"ids = [{ids}]",
        f"depth = {expect.depth}",
    ]
    (folder / "change.patch").write_bytes(item.patch)
    (folder / "expect.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "story.md").write_text(item.story, encoding="utf-8")
    return folder


def _story(cex: Cex, name: str, title: str) -> str:
    scenario, prop = cex.scenario.name, cex.prop.name
    asked = f"tdpcheck verify --scenario {scenario} --property {prop} --change museum/{name}/change.patch"
    why = cex.missing.sentence if cex.missing is not None else cex.causes[0].sentence if cex.causes else "Nobody has said yet."
    return (
        f"# {title}\n\n{story(cex)}\n\n**What protects against it.** {why}\n\n"
        f"**Find it again**, in the scenario `{scenario}`, where it breaks `{prop}`:\n\n```\ntdpcheck museum {name}\n{asked}\n```\n"
    )


def _quoted(words: str) -> str:
    """A string of TOML, on one line."""
    return quoted("".join(c if c.isprintable() else " " for c in words))
