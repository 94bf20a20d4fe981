"""One state of the machine, asked by name: what the tables, caches and the host say, and what a reader calls each thing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..core.sorts import Geometry
from ..model.machine import sorts
from .schema import Cex, Value, states

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Scene:
    """The values of a state by the names of the state's variables; a variable that this model lacks reads as false, 0 or ''."""

    def __init__(
        self, sizes: Mapping[str, int], values: Mapping[str, Value], threads: Sequence[str], names: Mapping[str, Sequence[str]]
    ) -> None:
        self.values = values
        self.threads = tuple(threads)
        self._names = names
        self._geometry = Geometry(sizes)

    def count(self, sort: str) -> int:
        """How many elements an index sort has here."""
        return self._geometry.sizes.get(sort, len(self._names.get(sort, ())))

    def each(self, sort: str) -> range:
        return range(self.count(sort))

    def is_set(self, var: str, *index: int) -> bool:
        return bool(self.values.get(cell(var, *index), False))

    def number(self, var: str, *index: int) -> int:
        value = self.values.get(cell(var, *index), 0)
        return value if isinstance(value, int) else 0

    def word(self, var: str, *index: int) -> str:
        value = self.values.get(cell(var, *index), "")
        return value if isinstance(value, str) else ""

    # The shape of addresses: what never changes.

    def region_of(self, gfn: int) -> int:
        return int(sorts.region_of.meaning(self._geometry, (gfn,)))

    def slot_of(self, gfn: int) -> int:
        return int(sorts.slot_of.meaning(self._geometry, (gfn,)))

    def gfns_of(self, region: int) -> tuple[int, ...]:
        return tuple(g for g in self.each("Gfn") if self.region_of(g) == region)

    def gfn_at(self, table: int, slot: int) -> int:
        """The gfn that an entry of a table page translates, by the region that the page was made for."""
        return next((g for g in self.gfns_of(self.number("pt_region", table)) if self.slot_of(g) == slot), slot)

    def frames_of(self, block: int) -> tuple[int, ...]:
        return tuple(int(sorts.part.meaning(self._geometry, (block, s))) for s in self.each("Slot"))

    def devices_of(self, iommu: int) -> tuple[int, ...]:
        """The attached devices whose DMA this IOMMU translates."""
        here = (d for d in self.each("Device") if sorts.iommu_of.meaning(self._geometry, (d,)) == iommu)
        return tuple(d for d in here if self.is_set("attached", d))

    # The walks and caches.

    def walk(self, root: int, gfn: int) -> int | None:
        """The frame at which a walk from `root` ends, or None where it finds no leaf."""
        at = (root, self.region_of(gfn))
        match self.word("pmd_kind", *at):
            case "leaf":
                return self.frames_of(self.number("pmd_block", *at))[self.slot_of(gfn)]
            case "table":
                below = (self.number("pmd_pt", *at), self.slot_of(gfn))
                return self.number("pte_frame", *below) if self.word("pte_kind", *below) == "leaf" else None
            case _:
                return None

    def backed(self, gfn: int) -> int | None:
        """The frame that backs `gfn` now."""
        return self.number("host_frame", gfn) if self.is_set("host_mapped", gfn) else None

    def active(self, iommu: int) -> bool:
        return bool(self.devices_of(iommu))

    def translations(self, iommu: int) -> Iterator[tuple[int, int, bool]]:
        """What the IOTLB holds: (gfn, frame, whether by a huge page)."""
        for gfn in self.each("Gfn"):
            if self.is_set("iotlb_valid", iommu, gfn):
                yield gfn, self.number("iotlb_frame", iommu, gfn), False
            region = self.region_of(gfn)
            if self.is_set("iotlb_huge", iommu, region):
                yield gfn, self.frames_of(self.number("iotlb_block", iommu, region))[self.slot_of(gfn)], True

    def unmapped_by(self, gfn: int) -> tuple[int, ...]:
        """The threads that are unmapping `gfn` on purpose now."""
        windows = ("window", "inner_window", "zap_window")
        return tuple(t for t in self.each("Thread") if any(self.is_set(w, t, gfn) for w in windows))

    def owed(self, thread: int) -> dict[str, tuple[int, ...]]:
        """The gfns of which a thread owes a flush, by whose caches hold them."""

        def io(gfn: int) -> bool:
            return self.is_set("owes_io", thread, gfn) or self.is_set("owes_io_huge", thread, self.region_of(gfn))

        found = {
            "IOMMUs": tuple(g for g in self.each("Gfn") if io(g)),
            "vCPUs": tuple(g for g in self.each("Gfn") if self.is_set("owes_cpu", thread, g)),
        }
        return {whom: numbers for whom, numbers in found.items() if numbers}

    def owed_tables(self, thread: int) -> tuple[str, ...]:
        """Those to whom a thread owes a flush because it unlinked a table page."""
        pairs = (("IOMMUs", "owes_io_pt"), ("vCPUs", "owes_cpu_pt"))
        return tuple(whom for whom, var in pairs if self.is_set(var, thread))

    def alive(self, root: int) -> bool:
        """Whether somebody holds a reference to `root`."""
        loaded = any(self.number("vcpu_root", v) == root for v in self.each("Vcpu"))
        return loaded or self.is_set("root_ref_mmu", root) or self.is_set("root_ref_export", root)

    def holder(self, frame: int) -> str:
        """Who has a frame: a gfn, or nobody."""
        for gfn in self.each("Gfn"):
            if self.backed(gfn) == frame:
                return f"gfn {gfn}"
        return "free" if self.is_set("frame_free", frame) else "the host"

    # Names.

    def upper(self, root: int, region: int) -> str:
        """A level-2 entry by its name."""
        return f"{self.root(root)} pmd region {region}" if self.count("Root") > 1 else f"pmd region {region}"

    def upper_text(self, root: int, region: int) -> str:
        """What a level-2 entry says."""
        match self.word("pmd_kind", root, region):
            case "leaf":
                return f"huge {self.block(self.number('pmd_block', root, region))}"
            case "table":
                return f"table {self.number('pmd_pt', root, region)}"
            case other:
                return other

    def lower_text(self, table: int, slot: int) -> str:
        """What a level-1 entry says."""
        kind = self.word("pte_kind", table, slot)
        return frame_name(self.number("pte_frame", table, slot)) if kind == "leaf" else kind

    def named(self, sort: str, number: int) -> str:
        """An element of an enumeration by its name."""
        known = self._names.get(sort, ())
        return known[number] if number < len(known) else f"{sort} {number}"

    def block(self, block: int) -> str:
        return span([frame_name(f) for f in self.frames_of(block)])

    def root(self, root: int) -> str:
        return f"root {root}"

    def thread(self, thread: int) -> str:
        return self.threads[thread] if thread < len(self.threads) else f"thread {thread}"


def scenes(cex: Cex) -> tuple[Scene, ...]:
    """Every state of a run, the first one included."""
    threads = [actor.name for actor in cex.actors if actor.kind == "thread"]
    return tuple(Scene(cex.sizes, values, threads, cex.names) for values in states(cex))


def cell(var: str, *index: int) -> str:
    """The name of a cell, as a grounded system spells it."""
    return f"{var}[{','.join(map(str, index))}]" if index else var


def split_cell(name: str) -> tuple[str, tuple[int, ...]]:
    """A cell's variable and its indices.

    >>> split_cell("iotlb_frame[0,1]")
    ('iotlb_frame', (0, 1))
    """
    var, _, rest = name.partition("[")
    parts = rest.rstrip("]").split(",") if rest else []
    return var, tuple(int(x) for x in parts if x.isdigit())


def frame_name(frame: int) -> str:
    """Frames are A, B, C ... so that nobody takes them for gfns."""
    return LETTERS[frame] if frame < len(LETTERS) else f"F{frame}"


def span(names: Sequence[str]) -> str:
    """The first and last of neighbours in a row."""
    return names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}"


def gfns(numbers: Iterable[int]) -> str:
    """Guest frame numbers as people write them.

    >>> gfns([1]), gfns([3, 0, 1, 2]), gfns([0, 2])
    ('gfn 1', 'gfn 0-3', 'gfn 0,2')
    """
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and runs[-1][-1] == n - 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return "gfn " + ",".join(span([str(n) for n in run]) for run in runs)


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
