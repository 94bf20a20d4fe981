"""One state of a run, asked by the variables that the machine declares, and what a sentence about one often asks."""

from __future__ import annotations

from collections.abc import Iterator

from .machine import cpu, ghosts, host, iommu, sorts, tables
from .machine.spaces import MIRRORS, MMU_LOCK, Walker, lock_of
from .view.state_view import View


class Scene(View):
    """A state of a run. What it says beyond the values of variables stands in the parts of the machine."""

    def region_of(self, gfn: int) -> int:
        return sorts.region_at(self, gfn)

    def slot_of(self, gfn: int) -> int:
        return sorts.slot_at(self, gfn)

    def gfns_of(self, region: int) -> tuple[int, ...]:
        return sorts.gfns_in(self, region)

    def frames_of(self, block: int) -> tuple[int, ...]:
        return sorts.frames_of(self, block)

    def gfn_at(self, table: int, slot: int) -> int:
        """The gfn that an entry of a table page translates, by the region that the page was made for."""
        return tables.gfn_at(self, table, slot)

    def walk(self, root: int, gfn: int) -> int | None:
        """The frame at which a walk from `root` ends, or None where it finds no leaf."""
        return tables.walked(self, root, gfn)

    def backed(self, gfn: int) -> int | None:
        """The frame that backs `gfn` now."""
        return host.backing(self, gfn)

    def holder(self, frame: int) -> str:
        """Who has a frame: a gfn, or nobody."""
        return host.holder(self, frame)

    def unmapped_by(self, gfn: int) -> tuple[int, ...]:
        """The threads that are unmapping `gfn` on purpose now."""
        return host.unmapped_by(self, gfn)

    def devices_of(self, iommu_: int) -> tuple[int, ...]:
        """The attached devices whose DMA this IOMMU translates."""
        return iommu.devices_of(self, iommu_)

    def mirrored(self) -> tuple[tuple[int, int], ...]:
        """The roots that repeat others, each with that other one."""
        return tuple((int(a), int(b)) for a, _, b in (pair.partition(" repeats ") for pair in self.words(MIRRORS)))

    def active(self, iommu_: int) -> bool:
        return bool(self.devices_of(iommu_))

    def translations(self, iommu_: int) -> Iterator[tuple[int, int, bool]]:
        """What the IOTLB holds: (gfn, frame, whether by a huge page)."""
        return iommu.translations(self, iommu_)

    def guard(self, walker: Walker, thread: int) -> tuple[str, bool]:
        """The lock before whose release those who walk are to be flushed, and whether a thread holds it."""
        name, *held = self.words(lock_of(walker)) or MMU_LOCK.words()
        return name, any(self.values.get(each.format(thread)) is True for each in held)

    def owed(self, thread: int) -> dict[str, tuple[int, ...]]:
        """The gfns of which a thread owes a flush, by whose caches hold them."""
        return ghosts.owed(self, thread)

    def owed_tables(self, thread: int) -> tuple[str, ...]:
        """Those to whom a thread owes a flush because it unlinked a table page."""
        return ghosts.owed_tables(self, thread)

    def alive(self, root: int) -> bool:
        """Whether somebody holds a reference to `root`."""
        return cpu.is_alive(self, root)
