"""A counterexample as graphs: one of the machine in one state, and one of the steps and what they have to do with each other.

Every node and edge has `kind` and `label`; `stale` says that it outlived what it stands for, `violating` that the property fails there.
Nodes of the machine: root, entry, table, frame, gfn (what the host maps), iommu, cache, device, vcpu, thread, lock. Its edges: owns,
points-to, maps-to, caches, backs, attached, holds, waits-for, and lost (a promised translation that is gone).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import networkx as nx

from .facts import LOCKS, is_noise, where
from .scene import Scene, cell, frame_name, gfns, scenes, split_cell
from .schema import Cex, Step

Graph: TypeAlias = "nx.MultiDiGraph[str]"


def state_graph(cex: Cex, step: int | None = None) -> Graph:
    """The machine after a step: the last one unless said otherwise; 0 is the first state. Only the last one has `violating` parts."""
    number = cex.depth if step is None else step
    return _Drawing(cex, number, scenes(cex)).graph


def state_graphs(cex: Cex) -> tuple[Graph, ...]:
    """The machine in every state, the first one included."""
    views = scenes(cex)
    return tuple(_Drawing(cex, number, views).graph for number in range(cex.depth + 1))


def story_graph(cex: Cex) -> Graph:
    """The steps: each actor's in program order, and an edge wherever a step uses or overwrites what another actor has written or read."""
    graph: Graph = nx.MultiDiGraph(property=cex.prop.name, scenario=cex.scenario.name)
    last: dict[str, str] = {}
    writer: dict[str, Step] = {}
    readers: dict[str, list[Step]] = {}
    machine = {name for step in cex.steps for name in step.reads}
    for step in cex.steps:
        node = _step_node(step)
        graph.add_node(
            node, kind="step", label=step.label, actor=step.actor, number=step.number, where=where(step), noise=is_noise(cex, step),
            stale=False, violating=step.number == cex.depth,
        )  # fmt: skip
        if step.actor in last:
            _edge(graph, last[step.actor], node, "program-order", "")
        last[step.actor] = node
        written = [c.cell for c in step.changes if c.cell in machine]
        for kind, source, names in _conflicts(step, written, writer, readers):
            locks = all(split_cell(n)[0] in LOCKS for n in names)
            _edge(graph, _step_node(source), node, kind, ", ".join(names[:3]) + (" ..." if len(names) > 3 else ""), lock=locks)
        for name in step.reads:
            readers.setdefault(name, []).append(step)
        for name in written:
            writer[name] = step
            readers[name] = []
    return graph


def _conflicts(
    step: Step, written: Iterable[str], writer: Mapping[str, Step], readers: Mapping[str, list[Step]]
) -> list[tuple[str, Step, list[str]]]:
    found: dict[tuple[str, int], tuple[Step, list[str]]] = {}

    def note(kind: str, other: Step, name: str) -> None:
        if other.actor != step.actor:
            found.setdefault((kind, other.number), (other, []))[1].append(name)

    for name in step.reads:
        if name in writer:
            note("reads-from", writer[name], name)
    for name in written:
        if name in writer and name not in step.reads:
            note("overwrites", writer[name], name)
        for other in readers.get(name, ()):
            note("after-read", other, name)
    return [(kind, other, names) for (kind, _), (other, names) in sorted(found.items(), key=lambda x: (x[0][1], x[0][0]))]


def _step_node(step: Step) -> str:
    return f"step {step.number}"


def _edge(graph: Graph, a: str, b: str, kind: str, label: str, *, stale: bool = False, violating: bool = False, **more: object) -> None:
    graph.add_edge(a, b, key=kind, kind=kind, label=label, stale=stale, violating=violating, **more)


def _was(old: str, new: str) -> str:
    return new if old == new else f"{new} (was {old})"


class _Drawing:
    """The graph of one state."""

    def __init__(self, cex: Cex, number: int, views: Sequence[Scene]) -> None:
        self.scene, self._before = views[number], views[max(0, number - 1)]
        self._touched = frozenset(c.cell for step in cex.steps for c in step.changes)
        self._changed = frozenset(c.cell for c in cex.steps[number - 1].changes) if number else frozenset()
        self._wrong = frozenset(name for i in cex.violation for name in i.cells) if number == cex.depth else frozenset()
        self._lost = [i.at for i in cex.violation if number == cex.depth and cex.prop.name == "atomic_hugepage_split"]
        self.graph: Graph = nx.MultiDiGraph(property=cex.prop.name, scenario=cex.scenario.name, step=number)
        self._frames()
        self._tables()
        self._iommus()
        self._vcpus()
        self._threads()

    def _node(self, name: str, kind: str, label: str, cells: Iterable[str] = (), *, stale: bool = False, **more: object) -> str:
        names = frozenset(cells)
        self.graph.add_node(
            name, kind=kind, label=label, stale=stale, violating=bool(names & self._wrong), changed=bool(names & self._changed), **more
        )
        return name

    def _link(self, a: str, b: str, kind: str, label: str = "", cells: Iterable[str] = (), *, stale: bool = False) -> None:
        wrong = bool(frozenset(cells) & self._wrong)
        _edge(self.graph, a, b, kind, label, stale=stale, violating=wrong)

    def _frames(self) -> None:
        scene = self.scene
        for f in scene.each("Frame"):
            holder = scene.holder(f)
            used = holder != "free" or cell("frame_free", f) in self._touched
            if used:
                self._frame(f)
        for g in scene.each("Gfn"):
            backed = scene.backed(g)
            if backed is not None or cell("host_mapped", g) in self._touched:
                cells = (cell("host_mapped", g), cell("host_frame", g))
                self._node(
                    f"host {gfns([g])}",
                    "gfn",
                    gfns([g]),
                    cells,
                    mapped=backed is not None,
                    last=f"frame {frame_name(scene.number('host_frame', g))}",
                )
            if backed is not None:
                self._link(f"host {gfns([g])}", self._frame(backed), "backs")

    def _frame(self, f: int) -> str:
        name = f"frame {frame_name(f)}"
        if name not in self.graph:
            free = self.scene.is_set("frame_free", f)
            self._node(name, "frame", name, (cell("frame_free", f),), stale=False, free=free, owner=self.scene.holder(f))
        return name

    def _tables(self) -> None:
        scene = self.scene
        for root in scene.each("Root"):
            self._node(f"root {root}", "root", f"root {root}", (cell("root_invalid", root), cell("root_exported", root)),
                       invalid=scene.is_set("root_invalid", root), exported=scene.is_set("root_exported", root))  # fmt: skip
            for region in scene.each("Region"):
                self._upper(root, region)
        for table in scene.each("Pt"):
            if f"table {table}" in self.graph or scene.word("pt_state", table) != "free" or cell("pt_state", table) in self._touched:
                self._page(table)

    def _upper(self, root: int, region: int) -> None:
        scene, kind = self.scene, self.scene.word("pmd_kind", root, region)
        cells = tuple(cell(v, root, region) for v in ("pmd_kind", "pmd_block", "pmd_pt", "pmd_writable"))
        if kind == "none" and not self._touched & set(cells):
            return
        label = f"region {region}: {_was(self._before.upper_text(root, region), scene.upper_text(root, region))}"
        name = self._node(f"pmd {root}.{region}", "entry", label, cells, level=2, entry=kind)
        self._link(f"root {root}", name, "owns")
        if kind == "table":
            self._link(name, self._table_node(scene.number("pmd_pt", root, region)), "points-to")
        if kind == "leaf":
            for g, f in zip(scene.gfns_of(region), scene.frames_of(scene.number("pmd_block", root, region)), strict=True):
                self._link(name, self._frame(f), "maps-to", gfns([g]), cells, stale=scene.backed(g) != f)
        for at in self._lost:
            if at.get("root") == root and scene.region_of(int(at["gfn"])) == region and kind != "table":
                self._link(name, self._frame(int(at["frame"])), "lost", gfns([int(at["gfn"])]), cells)

    def _table_node(self, table: int) -> str:
        name = f"table {table}"
        if name not in self.graph:
            state = self.scene.word("pt_state", table)
            shown = {"rcu": "waits for RCU"}.get(state, state)
            self._node(name, "table", f"{name} ({shown})", (cell("pt_state", table),), state=state)
        return name

    def _page(self, table: int) -> None:
        scene, page = self.scene, self._table_node(table)
        live = scene.word("pt_state", table) == "linked"
        for slot in scene.each("Slot"):
            kind = scene.word("pte_kind", table, slot)
            cells = tuple(cell(v, table, slot) for v in ("pte_kind", "pte_frame", "pte_writable"))
            if kind == "none" and not self._touched & set(cells):
                continue
            g = scene.gfn_at(table, slot)
            label = f"{gfns([g])}: {_was(self._before.lower_text(table, slot), scene.lower_text(table, slot))}"
            name = self._node(f"spte {table}.{slot}", "entry", label, cells, level=1, entry=kind)
            self._link(page, name, "owns")
            if kind == "leaf":
                f = scene.number("pte_frame", table, slot)
                self._link(name, self._frame(f), "maps-to", "", cells, stale=live and scene.backed(g) != f)
            for at in self._lost:
                if live and at.get("gfn") == g and at.get("root") == scene.number("pt_root", table):
                    self._link(name, self._frame(int(at["frame"])), "lost", gfns([g]), cells)

    def _iommus(self) -> None:
        scene = self.scene
        for d in scene.each("Device"):
            registered = scene.is_set("noncoherent_registered", d)
            if scene.is_set("attached", d) or registered or cell("attached", d) in self._touched:
                snoops = scene.is_set("coherent", d)
                notes = [*([] if snoops else ["non-coherent DMA"]), *(["registered as non-coherent"] if registered else [])]
                cells = (cell("attached", d), cell("noncoherent_registered", d))
                self._node(f"device {d}", "device", "\n".join([f"device {d}", *notes]), cells, coherent=snoops, registered=registered)
        for i in scene.each("Iommu"):
            if not scene.active(i):
                continue
            iommu = self._node(f"iommu {i}", "iommu", f"iommu {i}")
            for d in scene.devices_of(i):
                self._link(f"device {d}", iommu, "attached", "", (cell("attached", d),))
            root = scene.number("domain_root", i)
            self._link(iommu, f"root {root}", "points-to", "", (cell("domain_root", i),), stale=scene.is_set("root_invalid", root))
            self._caches(i, iommu)

    def _caches(self, i: int, iommu: str) -> None:
        scene = self.scene
        for g in scene.each("Gfn"):
            if scene.is_set("iotlb_valid", i, g):
                self._cache(
                    f"iotlb {i}.{g}", "IOTLB", iommu, ("iotlb_valid", "iotlb_frame"), (i, g), [(g, scene.number("iotlb_frame", i, g))]
                )
        for r in scene.each("Region"):
            if scene.is_set("iotlb_huge", i, r):
                pairs = list(zip(scene.gfns_of(r), scene.frames_of(scene.number("iotlb_block", i, r)), strict=True))
                self._cache(f"iotlb {i}.huge{r}", "IOTLB 2M", iommu, ("iotlb_huge", "iotlb_block"), (i, r), pairs)
            if scene.is_set("psc_valid", i, r):
                p = scene.number("psc_pt", i, r)
                dead = scene.word("pt_state", p) not in ("linked", "unlinked", "rcu")
                cells = (cell("psc_valid", i, r), cell("psc_pt", i, r))
                name = self._node(f"psc {i}.{r}", "cache", f"PSC region {r}: table {p}", cells, stale=dead, cache="PSC")
                self._link(iommu, name, "owns")
                self._link(name, self._table_node(p), "caches", "", cells, stale=dead)

    def _cache(self, name: str, cache: str, owner: str, names: tuple[str, str], at: tuple[int, int], pairs: list[tuple[int, int]]) -> None:
        scene, cells = self.scene, tuple(cell(v, *at) for v in names)
        wrong = [scene.backed(g) != f for g, f in pairs]
        frames = frame_name(pairs[0][1]) + (f"-{frame_name(pairs[-1][1])}" if len(pairs) > 1 else "")
        self._node(name, "cache", f"{cache} {gfns(g for g, _ in pairs)}: {frames}", cells, stale=any(wrong), cache=cache)
        self._link(owner, name, "owns")
        for (g, f), stale in zip(pairs, wrong, strict=True):
            label = gfns([g]) if len(pairs) > 1 else ""
            _edge(self.graph, name, self._frame(f), "caches", label, stale=stale, violating=stale and bool(set(cells) & self._wrong))

    def _vcpus(self) -> None:
        scene = self.scene
        for v in scene.each("Vcpu"):
            cells = tuple(cell(x, v) for x in ("in_guest", "flush_pending", "reload_pending", "vcpu_root"))
            held = [g for g in scene.each("Gfn") if scene.is_set("tlb_valid", v, g)]
            if not held and not self._touched & set(cells):
                continue
            notes = [
                n
                for x, n in (("in_guest", "in guest"), ("flush_pending", "flush pending"), ("reload_pending", "reload pending"))
                if scene.is_set(x, v)
            ]
            vcpu = self._node(f"vcpu {v}", "vcpu", "\n".join([f"vcpu {v}", *notes]), cells)
            self._link(vcpu, f"root {scene.number('vcpu_root', v)}", "points-to")
            for g in held:
                f = scene.number("tlb_frame", v, g)
                stale = scene.backed(g) != f
                name = self._node(
                    f"tlb {v}.{g}", "cache", f"TLB {gfns([g])}: {frame_name(f)}", (cell("tlb_valid", v, g),), stale=stale, cache="TLB"
                )
                self._link(vcpu, name, "owns")
                self._link(name, self._frame(f), "caches", stale=stale)

    def _threads(self) -> None:
        scene = self.scene
        for t in scene.each("Thread"):
            owed = sorted({g for numbers in scene.owed(t).values() for g in numbers})
            page = scene.owed_tables(t)
            open_ = [g for g in scene.each("Gfn") if scene.is_set("window", t, g) or scene.is_set("inner_window", t, g)]
            notes = [
                *([f"invalidates {gfns(open_)}"] if open_ else []),
                *([f"owes a flush of {gfns(owed)}"] if owed else []),
                *(["owes a flush of a table"] if page else []),
                *(["in its RCU read side"] if scene.is_set("rcu_reader", t) else []),
            ]
            cells = [name for name in scene.values if split_cell(name)[0].startswith("owes_") and split_cell(name)[1][:1] == (t,)]
            thread = self._node(f"thread {t}", "thread", "\n".join([scene.thread(t), *notes]), cells)
            for var, how in (("mmu_writer", "writes"), ("mmu_reader", "reads")):
                if scene.is_set(var, t):
                    self._link(thread, self._lock("mmu_lock"), "holds", how)
            for number in scene.each("Lock"):
                if scene.is_set("held", number, t):
                    self._link(thread, self._lock(scene.named("Lock", number)), "holds")
            for i in scene.each("Iommu"):
                if scene.is_set("inv_submitted", t, i) and f"iommu {i}" in self.graph:
                    self._link(thread, f"iommu {i}", "waits-for", "invalidation")
            for p in scene.each("Pt"):
                if scene.word("pt_state", p) == "rcu" and scene.is_set("rcu_waits", p, t):
                    self._link(self._table_node(p), thread, "waits-for", "RCU")

    def _lock(self, name: str) -> str:
        return name if name in self.graph else self._node(name, "lock", name)
