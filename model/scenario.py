"""Scenarios: like litmus tests, each has a name, a sentence of story, threads, a size, and the expected verdict of each property."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ..core.errors import InputError
from ..core.stored.tomlfile import toml_of

Expected = Literal["holds", "violated"]
SHARED = "shared"
"""The design that runs where a scenario names none: the shipped kernel C as it is."""
Size = Annotated[int, msgspec.Meta(ge=1, le=64)]


class Sizes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The geometry: how many of each. `frames` counts those of the blocks, too; 0 means one more than they have."""

    regions: Size = 1
    slots: Annotated[int, msgspec.Meta(ge=2, le=64)] = 2
    blocks: Size = 1
    frames: Annotated[int, msgspec.Meta(ge=0, le=256)] = 0
    pts: Size = 2
    roots: Size = 1
    vcpus: Size = 1
    iommus: Size = 1
    devices: Size = 1


class Hardware(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the machine does and in what state it begins.

    `cpu` says whether vCPUs run guest code and fill TLBs. `coherent` is whether the IOMMU enforces snooping for the devices; "any"
    leaves it open for each. `ats` gives every device a TLB of its own, which its IOMMU fills. `part_drops_huge` is whether an IOMMU drops
    a 2 MiB translation when a part of it is invalidated: it need not.
    """

    cpu: bool = False
    iommu: bool = True
    coherent: bool | Literal["any"] = True
    ats: bool = False
    part_drops_huge: bool = False


class Space(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Roots that the same hardware walks, and what keeps them right.

    `roots` are numbers; one space may leave them out and has all others. `walked_by` says who walks them: nobody walks a mirror. `lock` is
    the one before whose release those who walk are flushed, `notifier` the one by whose windows and sequence faults and the host exclude
    each other: "kvm", or a `struct mmu_interval_notifier` that the design declares. `mirrors` names the space whose first root
    these roots repeat, whenever nobody is changing either.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]*$")]
    roots: tuple[int, ...] | None = None
    walked_by: tuple[Literal["cpu", "iommu"], ...] = ("cpu", "iommu")
    lock: str = "mmu_lock"
    notifier: str = "kvm"
    mirrors: str | None = None


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state in which a scenario begins: the tables, the host's mapping, and whether the table is shared already.

    `mapped_roots` says how many of the roots, the first ones, hold what `tables` says; the others are empty. `vcpu_root` and
    `domain_root` are the roots that vCPUs have loaded and that IOMMUs walk; without them, the first that they may.
    """

    tables: Literal["nothing", "huge", "pages", "some", "tables"] = "nothing"
    host: Literal["unmapped", "pages", "huge"] = "pages"
    mapped_roots: Size | None = None
    exported: tuple[int, ...] = (0,)
    attached: bool = True
    vcpu_root: int | None = None
    domain_root: int | None = None


class Thread(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A thread: its role's name, the function at which it enters, the arguments that are not left open, and how many of it.

    A gfn is a number, or "first" or "last".
    """

    role: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]*$")]
    entry: str
    args: dict[str, int | bool | str] = {}
    count: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1


class Unreachable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Steps that no run of a scenario executes, and why that is right.

    Each of `steps` is `role: function: statement`, or `role: function` for all of its statements; `*` stands for anything.
    """

    because: str
    steps: tuple[str, ...]


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question.

    `goals` names what must be reachable for the answers to mean anything, besides the end of every thread; `expect` has the verdict
    of each property that is asked here; `stuck` names roles that need not reach their end; `unreachable` has the steps that
    no run executes. Any other step that no run executes makes the answers Unknown. Where `matrix` is true this is a cell of the matrix
    of flows (`model.flows`): statements that it does not execute, and properties of which it reaches no premise, say nothing.
    """

    name: str
    story: str
    thread: tuple[Thread, ...]
    expect: dict[str, Expected]
    space: tuple[Space, ...] = ()
    design: str = SHARED
    geometry: Sizes = Sizes()
    hardware: Hardware = Hardware()
    start: Start = Start()
    goals: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    unreachable: tuple[Unreachable, ...] = ()
    depth: Annotated[int, msgspec.Meta(ge=1, le=200)] | None = None
    matrix: bool = False
    why: dict[str, str] = {}

    def __post_init__(self) -> None:
        sizes, start = self.geometry, self.start
        if not self.thread:
            raise ValueError("no [[thread]]: name at least one")
        if not self.expect:
            raise ValueError("[expect] is empty: say what each property should answer")
        if self.hardware.ats and not self.hardware.iommu:
            raise ValueError("hardware.ats = true needs hardware.iommu = true: it is an IOMMU that fills a device's TLB")
        roles = [t.role for t in self.thread]
        if len(set(roles)) != len(roles):
            raise ValueError(f"role {next(r for r in roles if roles.count(r) > 1)!r} stands twice; use `count` or another role name")
        need_blocks = sizes.regions if "huge" in (start.tables, start.host) else 1
        if sizes.blocks < need_blocks:
            raise ValueError(
                f"impossible geometry: {sizes.regions} regions mapped huge need {need_blocks} blocks, geometry.blocks is {sizes.blocks}"
            )
        if start.host != "unmapped" and self.frames < sizes.regions * sizes.slots:
            raise ValueError(f"impossible geometry: {sizes.regions * sizes.slots} mapped gfns need as many frames, there are {self.frames}")
        if self.frames < sizes.blocks * sizes.slots:
            raise ValueError(
                f"impossible geometry: {sizes.blocks} blocks have {sizes.blocks * sizes.slots} frames, geometry.frames is {self.frames}"
            )
        if start.tables in ("pages", "some", "tables") and sizes.pts < (start.mapped_roots or sizes.roots) * sizes.regions:
            raise ValueError(
                f"impossible geometry: start.tables = {start.tables!r} needs {sizes.roots * sizes.regions} table pages, "
                f"geometry.pts is {sizes.pts}"
            )
        if start.tables in ("huge", "pages", "some") and start.host == "unmapped":
            raise ValueError(f"start.tables = {start.tables!r} maps what start.host = 'unmapped' does not back")
        if start.tables == "huge" and start.host != "huge":
            raise ValueError("start.tables = 'huge' needs start.host = 'huge': KVM maps no larger than the host")
        for number in start.exported:
            if not 0 <= number < sizes.roots:
                raise ValueError(f"start.exported names root {number}; geometry.roots is {sizes.roots}")
        self._check_spaces()

    def _check_spaces(self) -> None:
        """Each root lies in one space; who walks several has one lock for them.

        Raises:
            ValueError: it is not so.
        """
        names, roots = [space.name for space in self.space], self.geometry.roots
        given = [number for space in self.space for number in space.roots or ()]
        rest = [space.name for space in self.space if space.roots is None]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"[[space]] {name!r} stands twice")
        if len(rest) > 1:
            raise ValueError(f"[[space]] {rest[0]!r} and {rest[1]!r} name no roots; one space alone may have all the others")
        for number in given:
            if not 0 <= number < roots:
                raise ValueError(f"a [[space]] has root {number}; geometry.roots is {roots}")
            if given.count(number) > 1:
                raise ValueError(f"root {number} lies in two [[space]]s")
        missing = sorted(set(range(roots)) - set(given))
        if self.space and missing and not rest:
            raise ValueError(
                f"root {missing[0]} lies in no [[space]]; list it, or leave `roots` out of one space, which has all others then"
            )
        if rest and not missing:
            raise ValueError(f"[[space]] {rest[0]!r} has no root: the others have all {roots} of geometry.roots")
        for walker in ("cpu", "iommu"):
            walked = [space for space in self.space if walker in space.walked_by]
            locks = list(dict.fromkeys(space.lock for space in walked))
            if len(locks) > 1:
                raise ValueError(f"spaces that the {walker} walks have two locks, {locks[0]} and {locks[1]}: that is not modelled")
            if self.space and not walked and getattr(self.hardware, walker):
                raise ValueError(f"no [[space]] is walked by {walker!r}; say hardware.{walker} = false if nothing there walks a table")
        for space in self.space:
            if space.mirrors is not None and (space.mirrors not in names or space.mirrors == space.name):
                raise ValueError(
                    f"[[space]] {space.name!r} mirrors {space.mirrors!r}, which is no other space; there are {', '.join(names)}"
                )
            if space.roots == ():
                raise ValueError(f"[[space]] {space.name!r} has no root; leave `roots` out for all others")
        for key, walker in (("vcpu_root", "cpu"), ("domain_root", "iommu")):
            number = getattr(self.start, key)
            if number is not None and not 0 <= number < roots:
                raise ValueError(f"start.{key} names root {number}; geometry.roots is {roots}")
            home = next((x for x in self.space if number in (x.roots or ())), next((x for x in self.space if x.roots is None), None))
            if number is not None and home is not None and walker not in home.walked_by:
                raise ValueError(f"start.{key} names root {number}, which lies in [[space]] {home.name!r}, and {walker} does not walk that")

    @property
    def needs_kernel(self) -> bool:
        """Whether its threads enter functions of a real kernel tree, so that it runs only where one is given."""
        return self.design.endswith("-lift")

    @property
    def frames(self) -> int:
        """How many host frames there are."""
        return self.geometry.frames or max(self.geometry.blocks, self.geometry.regions) * self.geometry.slots + 1


def read_scenario(text: str, where: str, design: str = SHARED) -> Scenario:
    """A scenario from TOML; `design` is the one that it runs if it names none.

    Raises:
        InputError: not TOML, an unknown or missing key, a value outside its range, a geometry that cannot be.
    """
    raw = toml_of(text, where)
    if not raw:
        raise InputError(f"{where}: the scenario is empty; it needs name, story, [[thread]] and [expect]")
    return convert_scenario({"design": design, **raw}, where)


def convert_scenario(raw: Mapping[str, object], where: str) -> Scenario:
    """A scenario from the values of a TOML document; same errors as `read_scenario`."""
    try:
        return msgspec.convert(raw, Scenario)
    except (msgspec.ValidationError, ValueError, OverflowError, RecursionError) as error:
        known = ", ".join(Scenario.__struct_fields__)
        raise InputError(f"{where}: {error}. A scenario has: {known}; see docs/scenarios.md") from error


def shipped_scenarios() -> dict[str, Scenario]:
    """All scenarios that come with the tool, by name, in the order of their names."""
    return dict(_shipped())


@cache
def _shipped() -> Mapping[str, Scenario]:
    folder = Path(__file__).parent / "scenarios"
    found = {}
    for path in sorted(folder.glob("*.toml")):
        scenario = read_scenario(path.read_text(), path.name)
        if scenario.name != path.stem:
            raise InputError(f"{path.name}: its name is {scenario.name!r}; file and name must agree")
        found[scenario.name] = scenario
    return found
