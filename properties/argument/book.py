"""The argument, chapter by chapter: every lemma, with its sentence and its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import z3

from ...core.sorts import StateVar
from ...core.system import Lemma
from ...model.machine import cpu, devices, ghosts, host, iommu, locks, tables
from ...model.machine.sorts import BLOCK, DEVICE, GFN, ROOT, between, d, gfn_first, gfn_last, part, region_of, slot_of
from ...model.parametric import Parametric
from ...model.places import Edge, Location
from .words import FALSE, TRUE, b, f, g, h, i, k, p, q, r, root, s, t, u

LEAF, TABLE, FROZEN, NONE = tables.LEAF, tables.TABLE, tables.FROZEN, tables.NONE
FREE, PRIVATE, LINKED, UNLINKED, RCU = tables.PT_FREE, tables.PT_PRIVATE, tables.PT_LINKED, tables.PT_UNLINKED, tables.PT_RCU
EXPORTED = ROOT.element(0)
Places = tuple[Location, ...]


class Book:
    def __init__(self, model: Parametric) -> None:
        self.model = model
        self.places = P = model.places
        self.write, self.read = P.holding("mmu_lock:write"), P.holding("mmu_lock:read")
        self.rcu = P.after(Edge("rcu_read_lock"), until=(Edge("rcu_read_unlock"),))
        self.window = P.after(Edge("mmu_invalidate_in_progress_add"), until=(Edge("mmu_invalidate_in_progress_sub"),))
        self.inner = P.after(Edge("mmu_invalidate_nested_add"), until=(Edge("mmu_invalidate_nested_sub"),))
        self.unlinking = P.after(Edge("tdp_mmu_unlink_sp"), until=(Edge("call_rcu_free_sp"),))
        self.frozen = P.after(Edge("tdp_mmu_freeze_children"), until=(Edge("call_rcu_free_sp"),))
        self.checked = tuple(
            x for x in P.after(Edge("mmu_invalidate_retry"), until=(Edge("read_unlock"), Edge("hva_to_pfn"))) if x in self.read
        )
        self.resolved = P.after(Edge("hva_to_pfn"))
        ends = {"first": gfn_first(), "last": gfn_last()}
        self.fixed = {
            (thread.role, name): ends[given] if isinstance(given, str) else GFN.element(given)
            for thread in model.scenario.thread
            for name, given in thread.args.items()
            if name in ("start", "last") and not isinstance(given, bool)
        }
        self.zapped = self._zapped()
        self.flushed = tuple(x for x in self.zapped if x not in self.write)

    def _zapped(self) -> Places:
        P = self.places
        done = P.after(
            Edge("tdp_mmu_next_root", 1),
            until=(Edge("mmu_invalidate_in_progress_add"), Edge("mmu_invalidate_nested_add"), Edge("tdp_root_restart")),
        )
        nested = P.after(Edge("mmu_invalidate_nested_add"))
        return tuple(
            x for x in done if x in self.window and (x in self.write or x in nested or not P.passes(x.role, "mmu_invalidate_nested_add"))
        )

    # words
    def at(self, thread: z3.ExprRef, places: Sequence[Location]) -> z3.BoolRef:
        return self.places.at(thread, places)

    def value(self, place: Location, ending: str, thread: z3.ExprRef = t) -> z3.ExprRef | None:
        var = self.places.local(place, ending)
        return self.fixed.get((place.role, ending)) if var is None else var(thread)

    def within(self, x: Location, gfn: z3.ExprRef, thread: z3.ExprRef = t) -> z3.BoolRef | None:
        """Whether `gfn` lies in the range on which a thread at `x` works: in a nested invalidation, the region of the outer one's start."""
        start, last = self.value(x, "start", thread), self.value(x, "last", thread)
        if x in self.inner:
            return None if start is None else region_of(gfn) == region_of(start)
        return None if start is None or last is None else between(gfn, start, last)

    def each(self, places: Sequence[Location], says: Callable[[Location], z3.BoolRef | None], thread: z3.ExprRef = t) -> z3.BoolRef:
        return self.places.each(thread, places, says)

    def lemma(self, name: str, holds: z3.BoolRef, sentence: str, because: str = "") -> Lemma:
        return Lemma(name, holds, sentence, because)

    def over(self, variables: Sequence[z3.ExprRef], body: z3.BoolRef) -> z3.BoolRef:
        if z3.is_true(z3.simplify(body)):
            return TRUE
        return z3.ForAll(list(variables), body)

    def all(self) -> tuple[Lemma, ...]:
        found = [
            x
            for chapter in (
                self.locks,
                self.windows,
                self.host,
                self.tables,
                self.pages,
                self.roots,
                self.mapped,
                self.faults,
                self.zaps,
                self.recovering,
                self.debts,
                self.invalidations,
                self.caches,
                self.promises,
                self.ghosts,
            )
            for x in chapter()
        ]
        return tuple(x for x in found if not z3.is_true(x.holds))

    # chapters
    def locks(self) -> Iterator[Lemma]:
        yield self.lemma(
            "writer_where",
            self.over([t], locks.mmu_writer(t) == self.at(t, self.write)),
            "A thread holds mmu_lock for writing exactly between write_lock() and write_unlock().",
        )
        yield self.lemma("reader_where", self.over([t], locks.mmu_reader(t) == self.at(t, self.read)), "The same for reading.")
        yield self.lemma("rcu_where", self.over([t], tables.rcu_reader(t) == self.at(t, self.rcu)), "The same for rcu_read_lock().")
        yield self.lemma(
            "one_writer",
            self.over([t, u], z3.Implies(z3.And(locks.mmu_writer(t), locks.mmu_writer(u)), t == u)),
            "mmu_lock has one writer.",
        )
        yield self.lemma(
            "writer_alone",
            self.over([t, u], z3.Not(z3.And(locks.mmu_writer(t), locks.mmu_reader(u)))),
            "Where there is a writer there is no reader.",
        )

    def windows(self) -> Iterator[Lemma]:
        def outer(x: Location) -> z3.BoolRef | None:
            start, last = self.value(x, "start"), self.value(x, "last")
            return None if start is None or last is None else host.window(t, g) == between(g, start, last)

        def nested(x: Location) -> z3.BoolRef | None:
            start = self.value(x, "start")
            return None if start is None else host.inner_window(t, g) == (region_of(g) == region_of(start))

        yield self.lemma(
            "window_where",
            self.over([t, g], z3.And(z3.Implies(host.window(t, g), self.at(t, self.window)), self.each(self.window, outer))),
            "",
        )
        yield self.lemma(
            "inner_where",
            self.over([t, g], z3.And(z3.Implies(host.inner_window(t, g), self.at(t, self.inner)), self.each(self.inner, nested))),
            "",
        )
        zapping = self.places.after(Edge("zap_begin"), until=(Edge("zap_end"),))

        def zapped(x: Location) -> z3.BoolRef | None:
            start, last = self.value(x, "start"), self.value(x, "last")
            return None if start is None or last is None else z3.Implies(between(g, start, last), host.zap_window(t, g))

        yield self.lemma("zap_where", self.over([t, g], self.each(zapping, zapped)), "")
        yield self.lemma(
            "window_is_seen", self.over([t, g], z3.Implies(z3.Or(host.window(t, g), host.inner_window(t, g)), host.invalidating(g))), ""
        )

        def bounds(x: Location) -> z3.BoolRef | None:
            start, first, end = (self.value(x, name) for name in ("start", "first", "end"))
            return None if start is None or first is None or end is None else (region_of(g) == region_of(start)) == between(g, first, end)

        yield self.lemma("region_bounds", self.over([t, g], self.each(self.window, bounds)), "")

    def host(self) -> Iterator[Lemma]:
        yield self.lemma(
            "host_huge",
            self.over(
                [g],
                z3.Implies(
                    host.host_huge(region_of(g)),
                    z3.And(host.host_mapped(g), host.host_frame(g) == part(host.host_block(region_of(g)), slot_of(g))),
                ),
            ),
            "",
        )
        P = self.places

        def whole(x: Location) -> z3.BoolRef | None:
            start, last = self.value(x, "start"), self.value(x, "last")
            if start is None or last is None or P.passes(x.role, "mmu_invalidate_nested_add"):
                return None
            return z3.Implies(
                z3.And(between(g, start, last), region_of(h) == region_of(g), host.host_huge(region_of(g))), between(h, start, last)
            )

        yield self.lemma("whole_mappings", self.over([t, g, h], self.each(self.window, whole)), "")

        def one_region(x: Location) -> z3.BoolRef | None:
            start, last = self.value(x, "start"), self.value(x, "last")
            if start is None or last is None or not P.passes(x.role, "mmu_invalidate_nested_add"):
                return None
            return z3.Implies(between(g, start, last), region_of(g) == region_of(start))

        yield self.lemma("part_of_one_region", self.over([t, g], self.each(self.window, one_region)), "")

        def split(x: Location) -> z3.BoolRef | None:
            start = self.value(x, "start")
            return None if start is None else z3.Not(host.host_huge(region_of(start)))

        yield self.lemma("host_is_split", self.over([t], self.each(P.after(Edge("host_split_huge_page")), split)), "")

    def tables(self) -> Iterator[Lemma]:
        at = (root, r)
        points = z3.And(tables.pmd_kind(*at) == TABLE, tables.pmd_pt(*at) == p)
        yield self.lemma(
            "table_is_linked",
            self.over(
                [root, r, p], z3.Implies(points, z3.And(tables.pt_state(p) == LINKED, tables.pt_root(p) == root, tables.pt_region(p) == r))
            ),
            "",
        )
        yield self.lemma(
            "linked_is_table",
            self.over(
                [root, r, p], z3.Implies(z3.And(tables.pt_state(p) == LINKED, tables.pt_root(p) == root, tables.pt_region(p) == r), points)
            ),
            "",
        )
        yield self.lemma("leaf_level", self.over([p, s], tables.pte_kind(p, s) != TABLE), "")
        yield self.lemma("rcu_is_frozen", self.over([p, s], z3.Implies(tables.pt_state(p) == RCU, tables.pte_kind(p, s) == FROZEN)), "")

        def sp(x: Location, thread: z3.ExprRef) -> z3.ExprRef | None:
            return self.value(x, "sp.pt", thread)

        by = [z3.Exists([u], z3.And(self.at(u, here), var(u) == p)) for var, here in self.unlinkers]
        yield self.lemma("unlinked_by_somebody", self.over([p], z3.Implies(tables.pt_state(p) == UNLINKED, z3.Or(by) if by else FALSE)), "")
        yield self.lemma(
            "unlinking",
            self.over([t], self.each(self.unlinking, lambda x: None if sp(x, t) is None else tables.pt_state(sp(x, t)) == UNLINKED)),
            "",
        )
        pairs = [
            z3.Implies(z3.And(self.at(t, here), self.at(u, there), one(t) == other(u)), t == u)
            for n, (one, here) in enumerate(self.unlinkers)
            for other, there in self.unlinkers[n:]
        ]
        yield self.lemma("one_unlinker", self.over([t, u], z3.And(pairs)), "")
        yield self.lemma(
            "freezing",
            self.over([t, s], self.each(self.frozen, lambda x: None if sp(x, t) is None else tables.pte_kind(sp(x, t), s) == FROZEN)),
            "",
        )

    @cached_property
    def unlinkers(self) -> tuple[tuple[StateVar, Places], ...]:
        """The local that names the page which a thread unlinks, with the places where it does."""
        found: dict[StateVar, list[Location]] = {}
        for x in self.unlinking:
            var = self.places.local(x, "sp.pt")
            if var is not None:
                found.setdefault(var, []).append(x)
        return tuple((var, tuple(here)) for var, here in found.items())

    def pages(self) -> Iterator[Lemma]:
        P = self.places
        copies = []
        for x in self.model.software.locations:
            same = [a(t) == c(t) for a, c in P.copies[x.name]] + [a(t) == value for a, value in P.constants[x.name]]
            if same:
                copies.append(z3.Implies(self.at(t, (x,)), z3.And(same)))
        yield self.lemma("copies", self.over([t], z3.And(copies)), "")
        said = self.each(self.model.software.locations, lambda x: z3.And(P.branches[x.name]) if P.branches[x.name] else None)
        yield self.lemma("branches", self.over([t], said), "")

        def levels(x: Location) -> z3.BoolRef | None:
            lower, level = self.value(x, "sptep.lower"), self.value(x, "iter.level")
            if lower is None or level is None:
                return None
            from ...model.intrinsics.types import LEVELS

            return lower == (level == LEVELS.element("PG_LEVEL_4K"))

        yield self.lemma("level_is_lower", self.over([t], self.each(self.rcu, levels)), "")

        def touchable(x: Location) -> z3.BoolRef | None:
            parts = []
            lower, below = self.value(x, "sptep.lower"), self.value(x, "sptep.pt")
            kind, old = self.value(x, "old_spte.kind"), self.value(x, "old_spte.pt")
            region, table = self.value(x, "sptep.region"), self.root_at(x)
            where = self.where_at(x)
            if below is not None and lower is not None:
                fits = [tables.pt_region(below) == where[0]] if where is not None else []
                fits += [tables.pt_root(below) == table] if table is not None else []
                parts.append(z3.Implies(lower, z3.And(self.in_use(below), *fits)))
            if kind is not None and old is not None:
                fits = [tables.pt_region(old) == region] if region is not None else []
                fits += [tables.pt_root(old) == table] if table is not None else []
                upper = TRUE if lower is None else z3.Not(lower)
                parts.append(z3.Implies(z3.And(kind == TABLE, upper), z3.And(self.in_use(old), *fits)))
            return z3.And(parts) if parts else None

        yield self.lemma("pages_in_use", self.over([t], self.each(self.rcu, touchable)), "")

        def coherent(x: Location) -> z3.BoolRef | None:
            parts = []
            where = self.where_at(x)
            if where is None:
                return None
            lower = self.value(x, "sptep.lower")
            region, slot = self.value(x, "sptep.region"), self.value(x, "sptep.slot")
            if region is not None:
                parts.append(z3.Implies(TRUE if lower is None else z3.Not(lower), region == where[0]))
            if slot is not None and lower is not None:
                parts.append(z3.Implies(lower, slot == where[1]))
            gfn = self.value(x, "gfn")
            if gfn is not None and x in self.resolved:
                parts.append(gfn == ghosts.resolved(t))
            return z3.And(parts) if parts else None

        yield self.lemma("position", self.over([t], self.each(self.model.software.locations, coherent)), "")

        def no_table_below(x: Location) -> z3.BoolRef | None:
            lower, kind = self.value(x, "sptep.lower"), self.value(x, "old_spte.kind")
            return None if lower is None or kind is None else z3.Implies(lower, kind != TABLE)

        yield self.lemma("no_table_below", self.over([t], self.each(self.rcu, no_table_below)), "")

    def in_use(self, page: z3.ExprRef, thread: z3.ExprRef = t) -> z3.BoolRef:
        state = tables.pt_state(page)
        return z3.And(state != FREE, state != PRIVATE, z3.Implies(state == RCU, tables.rcu_waits(page, thread)))

    def where_at(self, x: Location, thread: z3.ExprRef = t) -> tuple[z3.ExprRef, z3.ExprRef] | None:
        """The region and slot at which a thread's walk stands."""
        if x in self.resolved:
            at = ghosts.resolved(thread)
        else:
            gfn = self.value(x, "iter.gfn", thread)
            if gfn is None:
                return None
            at = gfn
        return region_of(at), slot_of(at)

    def root_at(self, x: Location, thread: z3.ExprRef = t) -> z3.ExprRef | None:
        for ending in ("sptep.root", "iter.root.root", "vcpu_mmu_root~1.root"):
            found = self.value(x, ending, thread)
            if found is not None and not (ending == "sptep.root" and self.value(x, "sptep.lower", thread) is not None):
                return found
        if self.places.passes(x.role, "vcpu_fault_begin") and x in self.resolved:
            return cpu.vcpu_root(self.vcpu(thread))
        if x in self.resolved:
            return EXPORTED
        return None

    def vcpu(self, thread: z3.ExprRef) -> z3.ExprRef:
        from ...model.parametric import vcpu_of

        return vcpu_of(thread)

    def device(self, x: Location) -> z3.ExprRef | None:
        found = self.places.locals_of(x, DEVICE)
        return found[0](t) if found else None

    def roots(self) -> Iterator[Lemma]:
        yield self.lemma("valid_is_held", self.over([root], z3.Implies(z3.Not(tables.root_invalid(root)), tables.root_ref_mmu(root))), "")
        yield self.lemma(
            "exported_is_valid",
            self.over(
                [root], z3.Implies(tables.root_exported(root), z3.And(z3.Not(tables.root_invalid(root)), tables.root_ref_export(root)))
            ),
            "",
        )
        yield self.lemma("domain_is_exported", self.over([i], iommu.domain_root(i) == EXPORTED), "")
        yield self.lemma("attached_is_exported", self.over([d], z3.Implies(iommu.attached(d), tables.root_exported(EXPORTED))), "")
        yield self.lemma("importer_is_exported", z3.Implies(devices.importer(), tables.root_exported(EXPORTED)), "")
        shared = self.places.after(Edge("kvm_tdp_set_exported"))
        yield self.lemma("shared_is_exported", self.over([t], z3.Implies(self.at(t, shared), tables.root_exported(EXPORTED))), "")
        joining = self.places.where(lambda x: self.places.next_operation(x) == "pasid_entry_set")
        yield self.lemma("importer_first", self.over([t], z3.Implies(self.at(t, joining), devices.importer())), "")
        begun = self.places.where(lambda x: self.places.next_operation(x) == "kvm_tdp_set_exported")
        yield self.lemma(
            "exporting",
            self.over(
                [t, d], z3.Implies(self.at(t, begun), z3.And(tables.root_exported(EXPORTED), z3.Not(devices.noncoherent_registered(d))))
            ),
            "",
        )
        checked = [z3.Implies(self.at(t, (x,)), devices.coherent(dev)) for x in joining if (dev := self.device(x)) is not None]
        yield self.lemma("joining_is_coherent", self.over([t], z3.And(checked)), "")
        yield self.lemma(
            "no_sharing_with_noncoherent", self.over([d], z3.Not(z3.And(devices.tdp_exported(), devices.noncoherent_registered(d)))), ""
        )
        yield self.lemma("attached_is_coherent", self.over([d], z3.Implies(iommu.attached(d), devices.coherent(d))), "")
        yield self.lemma("attached_is_imported", self.over([d], z3.Implies(iommu.attached(d), devices.importer())), "")

        def loaded(x: Location) -> z3.BoolRef | None:
            if not self.places.passes(x.role, "vcpu_fault_begin"):
                return None
            v = self.vcpu(t)
            names = [n for n in ("iter.root.root", "vcpu_mmu_root~1.root") if self.value(x, n) is not None]
            lower = self.value(x, "sptep.lower")
            parts = [cpu.handles_fault(v), *(self.value(x, n) == cpu.vcpu_root(v) for n in names)]
            if self.value(x, "sptep.root") is not None:
                parts.append(z3.Implies(TRUE if lower is None else z3.Not(lower), self.value(x, "sptep.root") == cpu.vcpu_root(v)))
            return z3.And(parts)

        handling = self.places.after(Edge("vcpu_fault_begin"), until=(Edge("vcpu_fault_end"),))
        yield self.lemma("fault_keeps_root", self.over([t], self.each(handling, loaded)), "")
        pairs = z3.Implies(z3.And(self.at(t, handling), self.at(u, handling), self.vcpu(t) == self.vcpu(u)), t == u)
        yield self.lemma("one_fault_a_vcpu", self.over([t, u], pairs) if handling else TRUE, "")

        def valid(x: Location) -> z3.BoolRef | None:
            table = self.root_at(x)
            return None if table is None else z3.Not(tables.root_invalid(table))

        yield self.lemma("fault_in_valid_root", self.over([t], self.each(self.checked, valid)), "")

    def mapped(self) -> Iterator[Lemma]:
        at = (root, r)
        yield self.lemma(
            "huge_leaf",
            self.over(
                [root, r],
                z3.Implies(
                    z3.And(cpu.alive(root), tables.pmd_kind(*at) == LEAF),
                    z3.And(host.host_huge(r), host.host_block(r) == tables.pmd_block(*at)),
                ),
            ),
            "",
        )
        upper, below = (root, region_of(g)), (p, slot_of(g))
        small = z3.And(tables.pmd_kind(*upper) == TABLE, tables.pmd_pt(*upper) == p, tables.pte_kind(*below) == LEAF)
        yield self.lemma(
            "small_leaf", self.over([root, g, p], z3.Implies(z3.And(cpu.alive(root), small), host.maps(g, tables.pte_frame(*below)))), ""
        )
        gone = z3.And(tables.pt_state(p) == UNLINKED, tables.pt_root(p) == root, tables.pt_region(p) == region_of(g), cpu.alive(root))
        yield self.lemma("unlinked_was_replaced", self.over([root, g, p], z3.Implies(gone, tables.walks(root, g))), "")
        yield self.lemma(
            "unlinked_leaf",
            self.over([root, g, p], z3.Implies(z3.And(gone, tables.pte_kind(*below) == LEAF), host.maps(g, tables.pte_frame(*below)))),
            "",
        )

    def faults(self) -> Iterator[Lemma]:
        gfn = ghosts.resolved(t)
        between_ = tuple(x for x in self.resolved if x not in self.checked and self.value(x, "fault.pfn") is not None)

        def fresh(x: Location) -> z3.BoolRef | None:
            pfn = self.value(x, "fault.pfn")
            return (
                None if pfn is None else z3.Implies(z3.And(z3.Not(host.seq_stale(t)), z3.Not(host.invalidating(gfn))), host.maps(gfn, pfn))
            )

        yield self.lemma("fresh_or_overtaken", self.over([t], self.each(between_, fresh)), "")
        yield self.lemma(
            "stale_is_counted", self.over([t], z3.Implies(z3.And(self.at(t, between_), ghosts.pfn_stale(t, gfn)), host.seq_stale(t))), ""
        )
        yield self.lemma(
            "no_window_here",
            self.over(
                [t, u], z3.Implies(self.at(t, self.checked), z3.And(z3.Not(host.invalidating(gfn)), z3.Not(ghosts.pfn_stale(t, gfn))))
            ),
            "",
        )

        def current(x: Location) -> z3.BoolRef | None:
            parts = []
            pfn, new, lower = self.value(x, "fault.pfn"), self.value(x, "new_spte.frame"), self.value(x, "sptep.lower")
            if pfn is not None:
                parts.append(host.maps(gfn, pfn))
            if new is not None:
                parts.append(z3.Implies(TRUE if lower is None else lower, host.maps(gfn, new)))
            return z3.And(parts) if parts else None

        yield self.lemma("pfn_is_current", self.over([t], self.each(self.checked, current)), "")

        def huge(x: Location) -> z3.BoolRef | None:
            from ...model.intrinsics.types import LEVELS

            parts = []
            goal, folio = self.value(x, "fault.goal_level"), self.value(x, "fault.folio")
            new, lower = self.value(x, "new_spte.block"), self.value(x, "sptep.lower")
            backs = host.host_huge(region_of(gfn))
            if goal is not None:
                wants = goal == LEVELS.element("PG_LEVEL_2M")
                parts.append(z3.Implies(wants, backs))
                if folio is not None:
                    parts.append(z3.Implies(wants, host.host_block(region_of(gfn)) == folio))
            if new is not None and lower is not None:
                parts.append(z3.Implies(z3.Not(lower), z3.And(backs, host.host_block(region_of(gfn)) == new)))
            return z3.And(parts) if parts else None

        yield self.lemma("folio_is_current", self.over([t], self.each(self.checked, huge)), "")

    def zaps(self) -> Iterator[Lemma]:
        P = self.places
        # A leaf counts as visited from when it is picked; between that and its zap nothing is claimed.
        walking = P.after(Edge("tdp_walk_restart"), Edge("kvm_tdp_mmu_write_spte"), until=(Edge("tdp_walk_next_leaf"),))
        walking = tuple(x for x in walking if x in self.write and P.passes(x.role, "tdp_walk_next_leaf"))

        def here(x: Location) -> z3.BoolRef | None:
            table = self.value(x, "iter.root.root")
            return None if table is None else z3.Implies(ghosts_visited(t, g), z3.Not(tables.walks(table, g)))

        from ...model.machine.cursors import visited as ghosts_visited
        from ...model.machine.cursors import visited_root

        yield self.lemma("visited_is_zapped", self.over([t, g], self.each(walking, here)), "")
        roots = tuple(x for x in P.after(Edge("tdp_root_restart"), until=(Edge("tdp_mmu_next_root", 1),)) if x in self.window)

        def others(x: Location) -> z3.BoolRef | None:
            inside = self.within(x, g)
            table = self.value(x, "iter.root.root")
            table = self.value(x, "root.root") if table is None else table
            if inside is None:
                return None
            elsewhere = TRUE if table is None else root != table
            return z3.Implies(z3.And(visited_root(t, root), elsewhere, inside, cpu.alive(root)), z3.Not(tables.walks(root, g)))

        yield self.lemma("other_roots_are_zapped", self.over([t, root, g], self.each(roots, others)), "")

        def done(x: Location) -> z3.BoolRef | None:
            covered = self.within(x, g)
            return None if covered is None else z3.Implies(z3.And(covered, cpu.alive(root)), z3.Not(tables.walks(root, g)))

        yield self.lemma("zapped_is_gone", self.over([t, root, g], self.each(self.zapped, done)), "")

    def recovering(self) -> Iterator[Lemma]:
        """What recovery knows between reading a child and exchanging the table for a huge leaf."""
        P = self.places
        reading = P.after(Edge("kvm_mmu_max_mapping_level"), until=(Edge("tdp_walk_next"), Edge("read_unlock"), Edge("try_cmpxchg64")))
        reading = tuple(x for x in reading if P.passes(x.role, "make_huge_spte") and x in self.read)
        made = P.after(Edge("make_huge_spte"), until=(Edge("try_cmpxchg64"),))

        def still(x: Location) -> z3.BoolRef | None:
            table, region, old = self.value(x, "sptep.root"), self.value(x, "sptep.region"), self.value(x, "old_spte.pt")
            return (
                None
                if table is None or region is None or old is None
                else z3.And(tables.pmd_kind(table, region) == TABLE, tables.pmd_pt(table, region) == old, cpu.alive(table))
            )

        def level(x: Location) -> z3.BoolRef | None:
            region, same = self.value(x, "sptep.region"), still(x)
            if region is None or same is None:
                return None
            blocks = self.places.locals_of(x, BLOCK)
            made_here = [v(t) for v in blocks if "make_huge_spte" in v.name]
            if x in made and made_here:
                return z3.Implies(same, z3.And(host.host_huge(region), host.host_block(region) == made_here[0]))
            # Or the host has split it since: then nothing of the region is mapped, and the child will be found gone.
            gone = z3.ForAll(
                [g], z3.Implies(region_of(g) == region, z3.And(host.invalidating(g), z3.Not(tables.walks(self.value(x, "sptep.root"), g))))
            )
            return z3.Implies(same, z3.Or(host.host_huge(region), gone))

        yield self.lemma("recovered_block", self.over([t], self.each(reading, level)), "")

        # nobody has zapped what is recovered
        parts = []
        for x in made:
            same, region, table = still(x), self.value(x, "sptep.region"), self.value(x, "sptep.root")
            if same is None or region is None:
                continue
            for y in self.finished:
                theirs = self.done_by(y, table, region)
                if theirs is not None:
                    parts.append(z3.Implies(z3.And(self.at(t, (x,)), same, self.at(u, (y,))), theirs))
        yield self.lemma("recovered_is_not_zapped", self.over([t, u, g], z3.And(parts)), "")

    @cached_property
    def finished(self) -> Places:
        """The places outside mmu_lock at which a thread relies on what it has zapped."""
        return tuple(x for x in self.window if x not in self.write)

    def done_by(self, y: Location, table: z3.ExprRef, region: z3.ExprRef) -> z3.BoolRef | None:
        from ...model.machine.cursors import visited_root

        if y in self.zapped:
            covered = self.within(y, g, u)
            if covered is None:
                return None
            return z3.Implies(region_of(g) == region, z3.Or(z3.Not(covered), z3.Not(host.host_huge(region))))
        inside = self.within(y, g, u)
        current = self.value(y, "iter.root.root", u)
        if inside is None or current is None:
            return None
        return z3.Implies(
            z3.And(region_of(g) == region, inside, visited_root(u, table)), z3.Or(table == current, z3.Not(host.host_huge(region)))
        )

    def debts(self) -> Iterator[Lemma]:
        P = self.places
        releases = ("write_unlock", "read_unlock")
        waits = lambda op, which: op.name == "qi_wait"  # noqa: E731
        kicks = lambda op, which: self._clears(op, which, ghosts.owes_cpu)  # noqa: E731
        unlock = lambda op, which: op.name in releases  # noqa: E731
        leave = lambda op, which: op.name in (*releases, "rcu_read_unlock")  # noqa: E731
        held = {*self.write, *self.read}
        for var, does, undoes in (
            (ghosts.owes_cpu, kicks, unlock),
            (ghosts.owes_io, waits, unlock),
            (ghosts.owes_io_huge, waits, unlock),
            (ghosts.owes_cpu_pt, kicks, leave),
            (ghosts.owes_io_pt, waits, leave),
        ):
            within = held & set(self.rcu) if undoes is leave else held
            sure = {role: P.sure(role, does, undoes) for role in self.model.software.graphs}
            xs = {0: (), 1: (g,)}[len(var.params) - 1] if var is not ghosts.owes_io_huge else (r,)
            says = self.each(self.model.software.locations, lambda x: sure[x.role].get(x.node, FALSE) if x in within else FALSE)
            yield self.lemma(
                f"{var.name}_on_the_way",
                self.over([t, *xs], z3.Implies(var(t, *xs), says)),
                f"Whoever owes a flush ({var.doc}) is sure to do it before it lets go.",
            )
        lost = (ghosts.owes_io(t, g), self.at(t, self.write))
        yield self.lemma("only_writers_lose", self.over([t, g], z3.Implies(*lost)), "")
        ranged = tuple(x for x in self.model.software.locations if self.places.passes(x.role, "qi_submit_iotlb") and x in held)

        def within_range(x: Location) -> z3.BoolRef | None:
            return self.within(x, g)

        def region_touched(x: Location) -> z3.BoolRef | None:
            start, last = self.value(x, "start"), self.value(x, "last")
            if start is None:
                return None
            if x in self.inner:
                return r == region_of(start)
            if last is None:
                return None
            return z3.Or(
                r == region_of(start), r == region_of(last), z3.ForAll([g], z3.Implies(region_of(g) == r, between(g, start, last)))
            )

        yield self.lemma("owes_within_range", self.over([t, g], z3.Implies(ghosts.owes_io(t, g), self.each(ranged, within_range))), "")
        yield self.lemma(
            "owes_huge_within_range", self.over([t, r], z3.Implies(ghosts.owes_io_huge(t, r), self.each(ranged, region_touched))), ""
        )

        def ordered(x: Location) -> z3.BoolRef | None:
            start, last = self.value(x, "start"), self.value(x, "last")
            from ...model.machine.sorts import gfn_le

            return None if start is None or last is None else gfn_le(start, last)

        yield self.lemma(
            "range_is_ordered", self.over([t], self.each((*ranged, *(x for x in self.window if x not in ranged)), ordered)), ""
        )
        ranged_only = tuple(x for x in ranged if not self._unlinks(x.role))
        yield self.lemma("no_pt_debt", self.over([t], z3.Implies(ghosts.owes_io_pt(t), z3.Not(self.at(t, ranged_only)))), "")

    def _unlinks(self, role: str) -> bool:
        return self.places.passes(role, "make_huge_spte") or self.places.passes(role, "make_large_spte")

    def _clears(self, op: object, which: int, var: StateVar) -> bool:
        effect = op.effects[which]  # type: ignore[attr-defined]
        for update in effect.updates:
            if update.var == var:
                value = z3.simplify(z3.substitute(update.value, (update.variables[0], z3.Const("t", update.variables[0].sort()))))
                return z3.is_false(value)
        return False

    def invalidations(self) -> Iterator[Lemma]:
        P = self.places
        submitted = P.after(Edge("qi_submit_iotlb"), Edge("qi_submit_iotlb_domain"), until=(Edge("qi_wait"),))
        domain = P.after(Edge("qi_submit_iotlb_domain"), until=(Edge("qi_wait"), Edge("qi_submit_iotlb")))
        ranged = P.after(Edge("qi_submit_iotlb"), until=(Edge("qi_wait"), Edge("qi_submit_iotlb_domain")))
        yield self.lemma("submitted_where", self.over([t, g], z3.Implies(iommu.inv_gfn(t, g), self.at(t, submitted))), "")
        yield self.lemma("domain_flush", self.over([t, g], z3.Implies(self.at(t, domain), iommu.inv_gfn(t, g))), "")

        def same(x: Location) -> z3.BoolRef | None:
            inside = self.within(x, g)
            return None if inside is None else iommu.inv_gfn(t, g) == inside

        yield self.lemma("range_flush", self.over([t, g], self.each(ranged, same)), "")
        yield self.lemma("no_hint", self.over([t], z3.Not(iommu.inv_leaf_only(t))), "")

    def pending(self, what: z3.BoolRef) -> z3.BoolRef:
        return z3.Implies(what, iommu.inv_submitted(u, i))

    def caches(self) -> Iterator[Lemma]:
        for var, x in ((iommu.psc_valid, r), (iommu.iotlb_huge, r), (iommu.iotlb_valid, g)):
            yield self.lemma(f"{var.name}_is_active", self.over([i, x], z3.Implies(var(i, x), iommu.active(i))), "")
        table = iommu.domain_root(i)
        at = (i, g)
        owed = z3.Exists([u], z3.And(ghosts.owes_io(u, g), self.pending(iommu.inv_gfn(u, g))))
        yield self.lemma(
            "iotlb_agrees_or_owed",
            self.over([i, g], z3.Implies(iommu.iotlb_valid(*at), z3.Or(tables.same_walk(table, g, iommu.iotlb_frame(*at)), owed))),
            "",
        )
        region = region_of(g)
        inside = z3.ForAll([h], z3.Implies(z3.And(region_of(h) == region, iommu.inv_gfn(u, h)), iommu.inv_submitted(u, i)))
        owed_huge = z3.Exists([u], z3.And(ghosts.owes_io_huge(u, region), inside))
        block = part(iommu.iotlb_block(i, region), slot_of(g))
        yield self.lemma(
            "huge_iotlb_agrees_or_owed",
            self.over([i, g], z3.Implies(iommu.iotlb_huge(i, region), z3.Or(tables.same_walk(table, g, block), owed, owed_huge))),
            "",
        )
        submitted = self.places.after(Edge("qi_submit_iotlb"), Edge("qi_submit_iotlb_domain"), until=(Edge("qi_wait"),))
        all_pending = self.pending(self.at(u, submitted))

        witness = z3.Exists([u], z3.And(ghosts.owes_io_pt(u), all_pending, tables.rcu_waits(p, u)))
        points = z3.And(iommu.psc_valid(i, r), iommu.psc_pt(i, r) == p)
        state = tables.pt_state(p)
        yield self.lemma(
            "psc_agrees_or_owed",
            self.over(
                [i, r, p],
                z3.Implies(points, z3.And(tables.pt_root(p) == EXPORTED, tables.pt_region(p) == r, state != FREE, state != PRIVATE)),
            ),
            "",
        )
        unlinked = [
            z3.Implies(z3.And(self.at(u, here), iommu.psc_valid(i, r), iommu.psc_pt(i, r) == var(u)), ghosts.owes_io_pt(u))
            for var, here in self.unlinkers
        ]
        yield self.lemma("psc_unlinking_is_owed", self.over([i, r, u], z3.And(unlinked)), "")
        yield self.lemma("psc_unlinked_is_owed", self.over([i, r, p], z3.Implies(z3.And(points, state == RCU), witness)), "")
        pt_owed = z3.Exists([u], z3.And(ghosts.owes_io_pt(u), self.pending(iommu.inv_gfn(u, g))))
        yield self.lemma(
            "no_small_below_huge",
            self.over([i, g], z3.Implies(z3.And(iommu.iotlb_valid(i, g), tables.pmd_kind(table, region) == LEAF), pt_owed)),
            "",
        )
        yield self.lemma(
            "pt_debt_is_domain",
            self.over([t, g, h], z3.Implies(z3.And(ghosts.owes_io_pt(t), iommu.inv_gfn(t, g)), iommu.inv_gfn(t, h))),
            "",
        )

        def clean(x: Location) -> z3.BoolRef | None:
            covered = self.within(x, g)
            return (
                None
                if covered is None
                else z3.Implies(covered, z3.And(z3.Not(iommu.iotlb_valid(i, g)), z3.Not(iommu.iotlb_huge(i, region_of(g)))))
            )

        yield self.lemma("zapped_is_uncached", self.over([t, i, g], self.each(self.flushed, clean)), "")

    def promises(self) -> Iterator[Lemma]:
        yield self.lemma(
            "promise_kept",
            self.over(
                [root, g],
                z3.Implies(
                    z3.And(ghosts.promised(root, g), z3.Not(tables.root_invalid(root))), tables.same_walk(root, g, host.host_frame(g))
                ),
            ),
            "",
        )
        for var in (host.window, host.inner_window, host.zap_window):
            yield self.lemma(
                f"promise_ends_with_{var.name}", self.over([root, g, t], z3.Not(z3.And(ghosts.promised(root, g), var(t, g)))), ""
            )

    def ghosts(self) -> Iterator[Lemma]:
        yield self.lemma("no_stale_install", z3.Not(ghosts.stale_install()), "")
        yield self.lemma("no_dead_install", z3.Not(ghosts.dead_install()), "")
        (a,) = self.model.system.by_name["assertion_failed"].variables()
        yield self.lemma("assertions_hold", z3.ForAll([a], z3.Not(self.model.system.by_name["assertion_failed"](a))), "")


def argument(model: Parametric, prop: object) -> tuple[Lemma, ...]:
    return Book(model).all()
