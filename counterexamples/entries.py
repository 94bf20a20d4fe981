"""Every touched entry, state by state, as the flags that are set in it: what changed is the difference of two such sets.

An SPTE's flags bear the kernel's names for its bits, a request that of KVM. A key is the name of the same thing in `state_graph`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .scene import Scene, cell, frame_name, gfns, scenes, split_cell
from .schema import Cex

PRESENT, WRITABLE, HUGE, REMOVED = "SPTE_MMU_PRESENT_MASK", "PT_WRITABLE_MASK", "PT_PAGE_SIZE_MASK", "REMOVED_SPTE"
TABLES, CACHES, MEMORY, VCPUS, THREADS = "page tables", "IOMMU", "host memory", "vCPUs", "threads"
Flags = tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """One thing of the machine in all states of a run.

    Args:
        indent: how deep it stands in the tree of its group.
        name: what it is called, with the last meaning that it had.
        flags: by state.
        stale: by state, whether it outlived what it stands for.
        violating: whether the property fails there, after the last step.
    """

    key: str
    group: str
    indent: int
    name: str
    flags: tuple[Flags, ...]
    stale: tuple[bool, ...]
    violating: bool


Read = Callable[[Scene], Flags]
Test = Callable[[Scene], bool]
Words = Sequence[tuple[str, str]]
"""Variables, and what a reader calls it when they are set."""


def _never(scene: Scene) -> bool:
    return False


@dataclass(frozen=True)
class _Thing:
    """What an entry is made of: `name` may depend on the state, `cells` say whether a run touches it."""

    key: str
    group: str
    indent: int
    name: str | Callable[[Scene], str]
    cells: tuple[str, ...]
    read: Read
    stale: Test = _never

    def named(self, scene: Scene) -> str:
        return self.name if isinstance(self.name, str) else self.name(scene)


def entries(cex: Cex) -> tuple[Entry, ...]:
    """What the run touches, or what its violation is about, in the order of a table tree."""
    views = scenes(cex)
    end = views[-1]
    touched = {c.cell for s in cex.steps for c in s.changes}
    wrong = {name for i in cex.violation for name in i.cells}
    found = []
    for thing in (t for part in (_roots, _pages, _iommus, _memory, _vcpus, _threads) for t in part(end)):
        if (touched | wrong) & set(thing.cells):
            flags = tuple(thing.read(v) for v in views)
            named = next((v for v, set_ in zip(reversed(views), reversed(flags), strict=True) if set_), end)
            stale = tuple(thing.stale(v) for v in views)
            found.append(Entry(thing.key, thing.group, thing.indent, thing.named(named), flags, stale, bool(wrong & set(thing.cells))))
    return tuple(found)


def spte_flags(kind: str, value: str, writable: bool, *, huge: bool = False) -> Flags:
    """The bits of an SPTE that the model has, by their names in the kernel; nothing for an empty one."""
    match kind:
        case "leaf":
            return (PRESENT, *((WRITABLE,) if writable else ()), *((HUGE,) if huge else ()), f"pfn {value}")
        case "table":
            return (PRESENT, value)
        case "frozen":
            return (REMOVED,)
        case _:
            return ()


def upper_flags(scene: Scene, root: int, region: int) -> Flags:
    """A level-2 entry."""
    kind = scene.word("pmd_kind", root, region)
    value = scene.block(scene.number("pmd_block", root, region)) if kind == "leaf" else f"table {scene.number('pmd_pt', root, region)}"
    return spte_flags(kind, value, scene.is_set("pmd_writable", root, region), huge=True)


def lower_flags(scene: Scene, table: int, slot: int) -> Flags:
    """A level-1 entry."""
    value = frame_name(scene.number("pte_frame", table, slot))
    return spte_flags(scene.word("pte_kind", table, slot), value, scene.is_set("pte_writable", table, slot))


def table_state(scene: Scene, table: int) -> str:
    """What a table page is doing."""
    state = scene.word("pt_state", table)
    return {"rcu": "unlinked, waits for RCU"}.get(state, state)


def _cells(names: str, *at: int) -> tuple[str, ...]:
    return tuple(cell(name, *at) for name in names.split())


def _set(words: Words, *at: int) -> Read:
    """The words whose variables are set at an index."""
    return lambda s: tuple(word for var, word in words if s.is_set(var, *at))


def _roots(scene: Scene) -> Iterator[_Thing]:
    words = (
        ("root_invalid", "invalid"),
        ("root_exported", "exported"),
        ("root_ref_mmu", "reference of the MMU"),
        ("root_ref_export", "reference of the export"),
    )

    def read(root: int, region: int) -> Read:
        return lambda s: upper_flags(s, root, region)

    def off(root: int, region: int) -> Test:
        return lambda s: s.word("pmd_kind", root, region) == "leaf" and any(s.walk(root, g) != s.backed(g) for g in s.gfns_of(region))

    for r in scene.each("Root"):
        yield _Thing(f"root {r}", TABLES, 0, f"root {r}", _cells(" ".join(v for v, _ in words), r), _set(words, r))
        for g in scene.each("Region"):
            cells = _cells("pmd_kind pmd_block pmd_pt pmd_writable", r, g)
            name = f"root {r}, region {g}" if scene.count("Root") > 1 else f"region {g}"
            yield _Thing(f"pmd {r}.{g}", TABLES, 1, f"{name} (level 2)", cells, read(r, g), off(r, g))


def _pages(scene: Scene) -> Iterator[_Thing]:
    def state(table: int) -> Read:
        return lambda s: (table_state(s, table),)

    def name(table: int, slot: int) -> Callable[[Scene], str]:
        return lambda s: f"spte {gfns([s.gfn_at(table, slot)])}"

    def read(table: int, slot: int) -> Read:
        return lambda s: lower_flags(s, table, slot)

    def off(table: int, slot: int) -> Test:
        def test(s: Scene) -> bool:
            leaf = s.word("pte_kind", table, slot) == "leaf" and s.word("pt_state", table) == "linked"
            return leaf and s.backed(s.gfn_at(table, slot)) != s.number("pte_frame", table, slot)

        return test

    for p in scene.each("Pt"):
        yield _Thing(f"table {p}", TABLES, 1, f"table {p}", _cells("pt_state", p), state(p))
        for k in scene.each("Slot"):
            cells = _cells("pte_kind pte_frame pte_writable", p, k)
            yield _Thing(f"spte {p}.{k}", TABLES, 2, name(p, k), cells, read(p, k), off(p, k))


def _iommus(scene: Scene) -> Iterator[_Thing]:
    def device(d: int) -> Read:
        words = (("attached", "attached"), ("noncoherent_registered", "registered as non-coherent"))
        return lambda s: (*_set(words, d)(s), "snoops" if s.is_set("coherent", d) else "non-coherent DMA")

    def domain(i: int) -> Read:
        return lambda s: (f"walks root {s.number('domain_root', i)}",)

    def queued(t: int, i: int) -> Read:
        def read(s: Scene) -> Flags:
            covered = gfns(g for g in s.each("Gfn") if s.is_set("inv_gfn", t, g))
            return ("queued", covered) if s.is_set("inv_submitted", t, i) else ()

        return read

    def table(i: int, r: int) -> Read:
        return lambda s: ("valid", f"table {s.number('psc_pt', i, r)}") if s.is_set("psc_valid", i, r) else ()

    def dead(i: int, r: int) -> Test:
        return lambda s: s.is_set("psc_valid", i, r) and s.word("pt_state", s.number("psc_pt", i, r)) not in ("linked", "unlinked", "rcu")

    for d in scene.each("Device"):
        yield _Thing(f"device {d}", CACHES, 0, f"device {d}", _cells("attached noncoherent_registered", d), device(d))
    for i in scene.each("Iommu"):
        yield _Thing(f"iommu {i}", CACHES, 0, f"iommu {i}", _cells("domain_root", i), domain(i))
        for t in scene.each("Thread"):
            yield _Thing(f"queue {t}.{i}", CACHES, 1, f"invalidation of {scene.thread(t)}", _cells("inv_submitted", t, i), queued(t, i))
        for g in scene.each("Gfn"):
            cells = _cells("iotlb_valid iotlb_frame iotlb_writable", i, g)
            yield _Thing(f"iotlb {i}.{g}", CACHES, 1, f"IOTLB {gfns([g])}", cells, _cached("iotlb", i, g), _wrong("iotlb", i, g))
        for r in scene.each("Region"):
            cells = _cells("iotlb_huge iotlb_block iotlb_huge_writable", i, r)
            yield _Thing(f"iotlb {i}.huge{r}", CACHES, 1, f"IOTLB 2M region {r}", cells, _cached_huge(i, r), _wrong_huge(i, r))
            yield _Thing(f"psc {i}.{r}", CACHES, 1, f"PSC region {r}", _cells("psc_valid psc_pt", i, r), table(i, r), dead(i, r))


def _cached(cache: str, owner: int, gfn: int) -> Read:
    def read(s: Scene) -> Flags:
        writable = ("writable",) if s.is_set(f"{cache}_writable", owner, gfn) else ()
        frame = f"pfn {frame_name(s.number(f'{cache}_frame', owner, gfn))}"
        return ("valid", *writable, frame) if s.is_set(f"{cache}_valid", owner, gfn) else ()

    return read


def _wrong(cache: str, owner: int, gfn: int) -> Test:
    return lambda s: s.is_set(f"{cache}_valid", owner, gfn) and s.backed(gfn) != s.number(f"{cache}_frame", owner, gfn)


def _cached_huge(iommu: int, region: int) -> Read:
    def read(s: Scene) -> Flags:
        writable = ("writable",) if s.is_set("iotlb_huge_writable", iommu, region) else ()
        frames = f"pfn {s.block(s.number('iotlb_block', iommu, region))}"
        return ("valid", *writable, frames) if s.is_set("iotlb_huge", iommu, region) else ()

    return read


def _wrong_huge(iommu: int, region: int) -> Test:
    def test(s: Scene) -> bool:
        pairs = zip(s.gfns_of(region), s.frames_of(s.number("iotlb_block", iommu, region)), strict=True)
        return s.is_set("iotlb_huge", iommu, region) and any(s.backed(g) != f for g, f in pairs)

    return test


def _memory(scene: Scene) -> Iterator[_Thing]:
    def frame(f: int) -> Read:
        return lambda s: ("free",) if s.is_set("frame_free", f) else ("in use",)

    def mapping(g: int) -> Read:
        return lambda s: ("mapped", f"pfn {frame_name(s.number('host_frame', g))}") if s.is_set("host_mapped", g) else ()

    for f in scene.each("Frame"):
        yield _Thing(f"frame {frame_name(f)}", MEMORY, 0, f"frame {frame_name(f)}", _cells("frame_free", f), frame(f))
    for g in scene.each("Gfn"):
        name = gfns([g])
        yield _Thing(f"host {name}", MEMORY, 0, f"host mapping of {name}", _cells("host_mapped host_frame", g), mapping(g))


def _vcpus(scene: Scene) -> Iterator[_Thing]:
    words = (("in_guest", "in guest"), ("flush_pending", "KVM_REQ_TLB_FLUSH"), ("reload_pending", "KVM_REQ_MMU_FREE_OBSOLETE_ROOTS"))

    def read(v: int) -> Read:
        return lambda s: (*_set(words, v)(s), f"root {s.number('vcpu_root', v)}")

    for v in scene.each("Vcpu"):
        yield _Thing(f"vcpu {v}", VCPUS, 0, f"vcpu {v}", _cells("in_guest flush_pending reload_pending vcpu_root", v), read(v))
        for g in scene.each("Gfn"):
            cells = _cells("tlb_valid tlb_frame", v, g)
            yield _Thing(f"tlb {v}.{g}", VCPUS, 1, f"TLB {gfns([g])}", cells, _cached("tlb", v, g), _wrong("tlb", v, g))


_WINDOWS = ("window", "inner_window", "zap_window")
_OWN = frozenset(("mmu_writer", "mmu_reader", "rcu_reader", "owes_cpu", "owes_io", "owes_io_huge", "owes_cpu_pt", "owes_io_pt", *_WINDOWS))


def _threads(scene: Scene) -> Iterator[_Thing]:
    def read(t: int) -> Read:
        def flags(s: Scene) -> Flags:
            unmapped = [g for g in s.each("Gfn") if t in s.unmapped_by(g)]
            return (
                *(["mmu_lock for writing"] if s.is_set("mmu_writer", t) else []),
                *(["mmu_lock for reading"] if s.is_set("mmu_reader", t) else []),
                *(s.named("Lock", n) for n in s.each("Lock") if s.is_set("held", n, t)),
                *(["RCU read side"] if s.is_set("rcu_reader", t) else []),
                *([f"unmaps {gfns(unmapped)}"] if unmapped else []),
                *(f"owes {whom} a flush of {gfns(owed)}" for whom, owed in s.owed(t).items()),
                *(f"owes {whom} a flush of a table" for whom in s.owed_tables(t)),
            )

        return flags

    for t in scene.each("Thread"):
        own = tuple(n for n in scene.values if (at := split_cell(n))[0] in _OWN and at[1][:1] == (t,))
        held = tuple(cell("held", n, t) for n in scene.each("Lock"))
        yield _Thing(f"thread {t}", THREADS, 0, scene.thread(t), (*own, *held), read(t))
