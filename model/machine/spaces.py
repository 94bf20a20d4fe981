"""Address spaces: who walks which roots, which lock their flushes come before, and which notifier keeps them in step with the host.

The shipped design has one: every root is walked by vCPUs and IOMMUs alike, under mmu_lock, in step by KVM's own notifier. A scenario of a
design may name others: a table that IOMMUs walk alone, or a mirror that nobody walks. A root lies in one space and stays there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import z3

from ...core.sorts import StateVar
from ...kernelc.lowering.cfg import THREADS
from ..view.naming import cell
from . import ghosts, host
from .locks import mmu_reader, mmu_writer
from .sorts import ROOT, g, t, u

Walker = Literal["cpu", "iommu"]
WALKERS: tuple[Walker, ...] = ("cpu", "iommu")
MIRRORS = "roots that repeat others"
TRUE = z3.BoolVal(True)


def lock_of(walker: Walker) -> str:
    """Under which name a state's reader finds a walker's lock."""
    return f"lock for what is walked by {walker}"


@dataclass(frozen=True)
class Notifier:
    """A notifier: the windows of its invalidations, and the sequence by which a fault learns that one came between.

    Args:
        windows: per thread and gfn, whether an invalidation of its kind has begun and not ended.
        seq_stale: per thread, whether the sequence has moved on since the thread read it.
        pfn_stale: ghost, per thread and gfn: an invalidation of the gfn has ended since the thread resolved its pfn.
    """

    name: str
    windows: tuple[StateVar, ...]
    seq_stale: StateVar
    pfn_stale: StateVar

    def open_over(self, gfn: z3.ExprRef) -> z3.BoolRef:
        """Whether some thread's window is open over `gfn`."""
        if self is KVM:
            return host.in_window(gfn)
        return z3.Exists([u], z3.Or([window(u, gfn) for window in self.windows]))

    def ever_opened(self) -> z3.BoolRef:
        """Whether some invalidation is going on."""
        return z3.Exists([t, g], self.windows[0](t, g))


KVM = Notifier("kvm", (host.window, host.inner_window), host.seq_stale, ghosts.pfn_stale)
"""KVM's own: kvm->mmu_invalidate_seq, mmu_invalidate_in_progress."""


@dataclass(frozen=True)
class Guard:
    """The lock under which a space's tables change.

    Args:
        held: what says that a thread holds it: variables with what stands before the thread in their arguments.
    """

    name: str
    held: tuple[tuple[StateVar, tuple[int, ...]], ...]

    def holds(self, thread: z3.ExprRef) -> z3.BoolRef:
        """Whether a thread holds it, in any way."""
        parts = [var(*(sort.element(n) for sort, n in zip(var.params, at, strict=False)), thread) for var, at in self.held]
        return parts[0] if len(parts) == 1 else z3.Or(parts)

    def words(self) -> tuple[str, ...]:
        """Its name and the cells that say so, with {} for the thread."""
        return self.name, *(f"{cell(var, *at, 0)[:-2]}{{}}]" for var, at in self.held)


MMU_LOCK = Guard("mmu_lock", ((mmu_writer, ()), (mmu_reader, ())))


@dataclass(frozen=True)
class Space:
    """Roots that the same hardware walks, and what keeps them right.

    Args:
        roots: their numbers; None for all that lie in no other space.
        walkers: who walks them.
        mirrors: the root whose translations these have, too, whenever nobody is changing either.
    """

    name: str
    roots: tuple[int, ...] | None
    walkers: tuple[Walker, ...]
    guard: Guard = MMU_LOCK
    notifier: Notifier = KVM
    mirrors: int | None = None


@dataclass(frozen=True)
class Spaces:
    """All spaces of a design."""

    each: tuple[Space, ...]

    def has(self, space: Space, root: z3.ExprRef) -> z3.BoolRef:
        """Whether a root lies in a space."""
        if space.roots is not None:
            return _one_of(root, space.roots)
        others = [n for other in self.each if other is not space for n in other.roots or ()]
        return z3.Not(_one_of(root, others)) if others else TRUE

    def walked(self, by: Sequence[Walker], root: z3.ExprRef) -> z3.BoolRef:
        """Whether one of `by` walks a root."""
        found = [space for space in self.each if set(by) & set(space.walkers)]
        return TRUE if len(found) == len(self.each) else z3.Or([self.has(space, root) for space in found])

    def first_root(self, by: Walker) -> int:
        """The lowest root that one who walks may walk."""
        named = [space for space in self.each if by in space.walkers]
        return min((n for space in named for n in space.roots or (self.first_other(),)), default=0)

    def first_other(self) -> int:
        """The lowest root that no space names."""
        taken = {n for space in self.each for n in space.roots or ()}
        return next(n for n in range(len(taken) + 1) if n not in taken)

    def guard(self, by: Walker) -> Guard:
        """The lock before whose release those who walk are to be flushed. All spaces that they walk have the same (`scenario.Scenario`)."""
        return next((space.guard for space in self.each if by in space.walkers), MMU_LOCK)

    def late(self, thread: z3.ExprRef, root: z3.ExprRef, gfn: z3.ExprRef) -> z3.BoolRef:
        """Whether the pfn that `thread` resolved for `gfn` must not be installed in `root`: its notifier says that the host may take it."""

        def said(notifier: Notifier) -> z3.BoolRef:
            return z3.Or(notifier.pfn_stale(thread, gfn), notifier.open_over(gfn))

        if len(self.each) == 1:
            return said(self.each[0].notifier)
        return z3.Or([z3.And(self.has(space, root), said(space.notifier)) for space in self.each])

    def mirrored(self, roots: int) -> Iterator[tuple[int, int]]:
        """The roots, of so many, that repeat another one, each with that one."""
        named = {n for space in self.each for n in space.roots or ()}
        for space in self.each:
            others = tuple(n for n in range(roots) if n not in named)
            for number in (space.roots or others) if space.mirrors is not None else ():
                yield number, space.mirrors or 0

    def words(self, roots: int) -> dict[str, tuple[str, ...]]:
        """What a reader of states has to know of these spaces, if they are not the one for all."""
        if self is SHARED:
            return {}
        locks = {lock_of(walker): self.guard(walker).words() for walker in WALKERS}
        return locks | {MIRRORS: tuple(f"{a} repeats {b}" for a, b in self.mirrored(roots))}

    def notifiers(self) -> Iterator[Notifier]:
        """Every notifier of which a space knows, once."""
        yield from dict.fromkeys(space.notifier for space in self.each)


def _one_of(root: z3.ExprRef, numbers: Sequence[int]) -> z3.BoolRef:
    return z3.Or([root == ROOT.element(n) for n in numbers])


def both(holds: z3.BoolRef, walked: z3.BoolRef) -> z3.BoolRef:
    """`holds`, where `walked` is so: left as it is where that says nothing."""
    return holds if z3.is_true(walked) else z3.And(walked, holds)


SHARED = Spaces((Space("shared", None, ("cpu", "iommu")),))
"""One table for all: what the RFC shares."""


def own_notifier(name: str) -> Notifier:
    """A notifier that a design declares: struct mmu_interval_notifier, include/linux/mmu_notifier.h. Its variables bear its name."""

    def var(what: str, doc: str, *more: StateVar) -> StateVar:
        return StateVar(f"{name}_{what}", (THREADS, *(s for v in more for s in v.params[1:])), host.window.kind, doc)

    return Notifier(
        name,
        (var("window", f"an invalidation by this thread that {name} was told of, and that covers the gfn, has not ended", host.window),),
        var("seq_stale", f"{name}'s invalidate_seq has moved on since this thread read it"),
        var("pfn_stale", f"an invalidation of the gfn that {name} was told of has ended since this thread resolved its pfn", host.window),
    )
