"""Where the argument plays: places of the kernel C under the names that lemmas use, and what threads know at each.

A set of places is found by what every way there has done (`Places.after`) and by the locks held there. Where a text does not have an
operation, the sets that are named after it are empty, and so lemmas about them say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import z3

from ...core.sorts import StateVar
from ...model.machine import cpu, ghosts, locks, tables
from ...model.machine.sorts import DEVICE, GFN, between, gfn_first, gfn_last, region_of, slot_of
from ...model.parametric import Parametric, vcpu_of
from ...model.program_points import Edge, Location, Places
from .words import EXPORTED, FREE, PRIVATE, RCU, Here, t

Says = Callable[[Location], z3.BoolRef | None]
"""What is said at a place; None says nothing."""


@dataclass(frozen=True)
class Setting:
    """A scenario for any number of everything, with the places that its lemmas speak of."""

    model: Parametric

    # Places
    @property
    def places(self) -> Places:
        return self.model.places

    @property
    def everywhere(self) -> Here:
        """All places of all roles."""
        return self.model.software.locations

    @cached_property
    def write(self) -> Here:
        """mmu_lock is held for writing."""
        return self.places.holding("mmu_lock:write")

    @cached_property
    def read(self) -> Here:
        """mmu_lock is held for reading."""
        return self.places.holding("mmu_lock:read")

    @cached_property
    def rcu(self) -> Here:
        """Inside rcu_read_lock()."""
        return self.places.after(Edge("rcu_read_lock"), until=(Edge("rcu_read_unlock"),))

    @cached_property
    def mutexes(self) -> tuple[tuple[Callable[[z3.ExprRef], z3.BoolRef], Here], ...]:
        """Of each mutex or spinlock that some thread takes, who holds it, and the places at which it is held."""
        own = {var.name: var for var in self.model.system.state}
        found: list[tuple[Callable[[z3.ExprRef], z3.BoolRef], Here]] = []
        for lock in self.places.locks:
            name = lock.partition(":")[0]
            if name in locks.LOCK.elements:
                found.append((partial(locks.held, locks.LOCK.element(name)), self.places.holding(lock)))
            elif name in own:  # declared by the design's C
                found.append((own[name], self.places.holding(lock)))
        return tuple(found)

    @cached_property
    def window(self) -> Here:
        """An invalidation window of this thread is open."""
        return self.places.after(Edge("mmu_invalidate_in_progress_add"), until=(Edge("mmu_invalidate_in_progress_sub"),))

    @cached_property
    def inner(self) -> Here:
        """A nested invalidation window of this thread is open."""
        return self.places.after(Edge("mmu_invalidate_nested_add"), until=(Edge("mmu_invalidate_nested_sub"),))

    @cached_property
    def unlinking(self) -> Here:
        """A table page is unlinked, and not yet handed to call_rcu()."""
        return self.places.after(Edge("tdp_mmu_unlink_sp"), until=(Edge("call_rcu_free_sp"),))

    @cached_property
    def frozen(self) -> Here:
        """The same, and its entries are frozen."""
        return self.places.after(Edge("tdp_mmu_freeze_children"), until=(Edge("call_rcu_free_sp"),))

    @cached_property
    def resolved(self) -> Here:
        """A fault has resolved its pfn."""
        return self.places.after(Edge("hva_to_pfn"))

    @cached_property
    def checked(self) -> Here:
        """A fault has asked mmu_invalidate_retry(), and holds mmu_lock since."""
        asked = self.places.after(Edge("mmu_invalidate_retry"), until=(Edge("read_unlock"), Edge("hva_to_pfn")))
        return tuple(x for x in asked if x in self.read)

    @cached_property
    def zapped(self) -> Here:
        """An invalidation has come to the end of its loop over roots, over the range of its innermost window."""
        done = self.places.after(
            Edge("tdp_mmu_next_root", 1),
            until=(Edge("mmu_invalidate_in_progress_add"), Edge("mmu_invalidate_nested_add"), Edge("tdp_root_restart")),
        )
        nested = self.places.after(Edge("mmu_invalidate_nested_add"))
        return tuple(x for x in done if x in self.window and (x in self.write or x in nested or not self.nests(x)))

    @cached_property
    def flushed(self) -> Here:
        """The same, and it has let go of mmu_lock."""
        return tuple(x for x in self.zapped if x not in self.write)

    @cached_property
    def finished(self) -> Here:
        """In a window, outside mmu_lock: a thread relies on what it has zapped."""
        return tuple(x for x in self.window if x not in self.write)

    @cached_property
    def unlinkers(self) -> tuple[tuple[StateVar, Here], ...]:
        """The local that names the page which a thread unlinks, with the places where it does."""
        found: dict[StateVar, list[Location]] = {}
        for x in self.unlinking:
            var = self.places.local(x, "sp.pt")
            if var is not None:
                found.setdefault(var, []).append(x)
        return tuple((var, tuple(here)) for var, here in found.items())

    def nests(self, x: Location) -> bool:
        """Whether that role's invalidation has another one nested in it."""
        return self.places.passes(x.role, "mmu_invalidate_nested_add")

    # Words
    def at(self, thread: z3.ExprRef, places: Sequence[Location]) -> z3.BoolRef:
        return self.places.at(thread, places)

    def each(self, places: Sequence[Location], says: Says, thread: z3.ExprRef = t) -> z3.BoolRef:
        """That, wherever `thread` is among `places`, what is said there holds."""
        return self.places.each(thread, places, says)

    @cached_property
    def _fixed(self) -> dict[tuple[str, str], z3.ExprRef]:
        """By role and name, the gfns that the scenario gives to its threads: the ends of their ranges, or where they fault."""
        ends = {"first": gfn_first(), "last": gfn_last()}
        return {
            (thread.role, name): ends[given] if isinstance(given, str) else GFN.element(given)
            for thread in self.model.scenario.thread
            for name, given in thread.args.items()
            if name in ("start", "last", "gfn") and not isinstance(given, bool)
        }

    def value(self, x: Location, ending: str, thread: z3.ExprRef = t) -> z3.ExprRef | None:
        """What a thread at `x` has in the local whose path ends so; None if it has none there."""
        var = self.places.local(x, ending)
        return self._fixed.get((x.role, ending)) if var is None else var(thread)

    def range(self, x: Location, thread: z3.ExprRef = t) -> tuple[z3.ExprRef, z3.ExprRef] | None:
        """The `start` and `last` of a thread at `x`."""
        start, last = self.value(x, "start", thread), self.value(x, "last", thread)
        return None if start is None or last is None else (start, last)

    def within(self, x: Location, gfn: z3.ExprRef, thread: z3.ExprRef = t) -> z3.BoolRef | None:
        """Whether `gfn` lies in the range on which a thread at `x` works: in a nested invalidation, the region of the outer one's start."""
        start, last = self.value(x, "start", thread), self.value(x, "last", thread)
        if x in self.inner:
            return None if start is None else region_of(gfn) == region_of(start)
        return None if start is None or last is None else between(gfn, start, last)

    def standing(self, x: Location, thread: z3.ExprRef = t) -> tuple[z3.ExprRef, z3.ExprRef] | None:
        """The region and the slot at which a thread's walk stands."""
        gfn = ghosts.resolved(thread) if x in self.resolved else self.value(x, "iter.gfn", thread)
        return None if gfn is None else (region_of(gfn), slot_of(gfn))

    def root_of(self, x: Location, thread: z3.ExprRef = t) -> z3.ExprRef | None:
        """The root in which a thread at `x` works."""
        for ending in ("sptep.root", "iter.root.root", "vcpu_mmu_root~1.root"):
            found = self.value(x, ending, thread)
            if found is not None and not (ending == "sptep.root" and self.value(x, "sptep.lower", thread) is not None):
                return found
        if x not in self.resolved:
            return None
        return cpu.vcpu_root(vcpu_of(thread)) if self.places.passes(x.role, "vcpu_fault_begin") else EXPORTED

    def device(self, x: Location) -> z3.ExprRef | None:
        """The device that a thread at `x` deals with."""
        found = self.places.locals_of(x, DEVICE)
        return found[0](t) if found else None

    def in_use(self, page: z3.ExprRef, thread: z3.ExprRef = t) -> z3.BoolRef:
        """That a table page is, or was, part of a table, and is not freed while `thread` is inside rcu_read_lock()."""
        state = tables.pt_state(page)
        return z3.And(state != FREE, state != PRIVATE, z3.Implies(state == RCU, tables.rcu_waits(page, thread)))
