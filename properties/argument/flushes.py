"""Flushes that are owed, the ways on which they are done, and the invalidations by which IOMMUs are told."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ...core.sorts import StateVar
from ...core.system import Lemma
from ...model.intrinsics.types import LEVELS
from ...model.machine import ghosts, iommu
from ...model.machine.sorts import between, region_of
from ...model.program_points import Edge, Location, Op, Outcome
from .setting import Setting
from .words import FALSE, Here, g, h, i, lemma, n, r, t

_RELEASES = ("write_unlock", "read_unlock")


def debts(here: Setting) -> Iterator[Lemma]:
    """Whoever takes a translation away flushes it before it lets go of what keeps others off."""
    held = {*here.write, *here.read}
    before_unlocking = {does: _sure(here, does, _unlocks, held) for does in (_kicks, _waits)}
    kick = "kvm_make_all_cpus_request(KVM_REQ_TLB_FLUSH)"
    for var, at, does, by in (
        (ghosts.owes_cpu, (g,), _kicks, kick),
        (ghosts.owes_io, (i, g), _waits, "qi_wait()"),
        (ghosts.owes_io_huge, (i, r), _waits, "qi_wait()"),
    ):
        yield lemma(
            f"{var.name}_on_the_way",
            [t, *at],
            z3.Implies(var(t, *at), before_unlocking[does]),
            f"Whoever owes a flush ({var.doc}) comes to {by} before it unlocks mmu_lock.",
            "tdp_mmu_zap_leafs() says so in `flush`, and whoever holds mmu_lock calls a kvm_flush_remote_tlbs() before it lets go of it.",
        )
    tables: tuple[tuple[StateVar, tuple[z3.ExprRef, ...], Outcome, str], ...] = (
        (ghosts.owes_cpu_pt, (), _kicks, kick),
        (ghosts.owes_io_pt, (i, r), _waits, "qi_wait()"),
    )
    for var, at, settles, by in tables:
        yield lemma(
            f"{var.name}_on_the_way",
            [t, *at],
            z3.Implies(var(t, *at), _sure(here, settles, _leaves, held & set(here.rcu))),
            f"Whoever owes a flush ({var.doc}) comes to {by} before rcu_read_unlock() and before it unlocks mmu_lock.",
            "Recovery sets `flush` and flushes before it leaves the RCU read side; tdp_mmu_map_handle_target_level() flushes at once.",
        )
    yield from _ranges(here, tuple(x for x in here.everywhere if here.places.passes(x.role, "qi_submit_iotlb") and x in held))


def _sure(here: Setting, does: Outcome, undoes: Outcome, within: set[Location]) -> z3.BoolRef:
    """That thread `t` is at one of the places `within`, and every way on from there does the one before the other."""
    sure = {role: here.places.sure(role, does, undoes) for role in here.model.software.graphs}

    def says(x: Location) -> z3.BoolRef:
        return sure[x.role].get(x.node, FALSE) if x in within else FALSE

    return here.each(here.everywhere, says)


def _ranges(here: Setting, ranged: Here) -> Iterator[Lemma]:
    yield lemma(
        "only_writers_lose",
        [t, i, g, r],
        z3.Implies(z3.Or(ghosts.owes_io(t, i, g), ghosts.owes_io_huge(t, i, r)), here.at(t, here.write)),
        "Who owes the IOMMUs the flush of a translation holds mmu_lock for writing.",
        "Under mmu_lock for reading, leaves are only added, split and recovered, and each of these keeps the translations that there are.",
    )

    def upper(x: Location) -> z3.BoolRef | None:
        level = here.value(x, "iter.level")
        return None if level is None else level == LEVELS.element("PG_LEVEL_2M")

    yield lemma(
        "unlinked_at_2m",
        [t],
        here.each(tuple(x for x in here.unlinking if x in ranged), upper),
        "A fault that unlinks a table page stands at level 2M.",
        "tdp_iter_read() sets the level (level_is_lower), and no spte in a table page points to another one (leaf_level).",
    )

    def bounds(x: Location) -> z3.BoolRef | None:
        first, last = here.value(x, "first"), here.value(x, "last")
        return None if first is None or last is None else (region_of(g) == region_of(first)) == between(g, first, last)

    yield lemma(
        "flushed_region",
        [t, g],
        here.each(ranged, bounds),
        "kvm_flush_remote_tlbs_gfn() flushes exactly the region of a huge leaf.",
        "gfn_region_bounds() gives the first and the last gfn of that region, and nobody assigns to them afterwards.",
    )

    def table(x: Location) -> z3.BoolRef | None:
        first = here.value(x, "first")
        if first is not None:
            return r == region_of(first)
        return r == region_of(ghosts.resolved(t)) if x in here.resolved and here.value(x, "iter.gfn") is not None else None

    yield lemma(
        "owes_table_within_range",
        [t, i, r],
        z3.Implies(ghosts.owes_io_pt(t, i, r), here.each(ranged, table)),
        "Where kvm_flush_remote_tlbs_gfn() is to come, the flush that is owed for a table page is that of its region.",
        "A fault unlinks the table that stands for its own gfn, and flushes for that gfn.",
    )


def invalidations(here: Setting) -> Iterator[Lemma]:
    """What the invalidations in the queue cover."""
    places = here.places
    one, whole, wait = Edge("qi_submit_iotlb"), Edge("qi_submit_iotlb_domain"), Edge("qi_wait")
    submitted = places.after(one, whole, until=(wait,))
    yield lemma(
        "covers_while_submitted",
        [t, n, i, g],
        z3.And(
            z3.Implies(iommu.inv_gfn(t, n, i, g), iommu.inv_submitted(t, n, i)),
            iommu.inv_table(t, n, i, g) == iommu.inv_gfn(t, n, i, g),
        ),
        "A descriptor covers something only while it stands in the queue, and none has the hint that only leaves changed.",
        "inv_complete forgets what it covered; kvm_tdp_fd_flush_notify_range() and qi_submit_iotlb_domain() never give the hint.",
    )
    yield lemma(
        "covers_regions",
        [t, n, i, g, h],
        z3.Implies(z3.And(iommu.inv_gfn(t, n, i, g), region_of(h) == region_of(g)), iommu.inv_gfn(t, n, i, h)),
        "What stands in the queue covers each region whole or not at all, so that no part of a 2 MiB translation is left.",
        "Either everything is flushed, or the region of one gfn (kvm_flush_remote_tlbs_gfn()).",
    )
    here_covered = z3.And(iommu.inv_gfn(t, n, i, g), region_of(g) == r)
    for var, at, among, covered in (
        (ghosts.owes_io, (i, g), [n], iommu.inv_gfn(t, n, i, g)),
        (ghosts.owes_io_huge, (i, r), [n, g], here_covered),
        (ghosts.owes_io_pt, (i, r), [n, g], here_covered),
    ):
        yield lemma(
            f"{var.name}_to_the_active",
            [t, *at],
            z3.Implies(var(t, *at), iommu.active(i)),
            f"A flush is owed to an IOMMU ({var.doc}) only if some device behind it is attached.",
            "Who takes a translation away owes those that walk the domain then, and no device is detached.",
        )
        yield lemma(
            f"{var.name}_is_asked",
            [t, *at],
            z3.Implies(z3.And(var(t, *at), here.at(t, submitted)), z3.Exists(among, covered)),
            f"Between a submission and qi_wait(), what is still owed ({var.doc}) is covered by a descriptor in the queue.",
            "What is zapped lies in the range that is flushed, and nothing is zapped in between; inv_complete settles what it drops.",
        )


def _waits(op: Op, which: int) -> bool:
    return op.name == "qi_wait"


def _kicks(op: Op, which: int) -> bool:
    """Whether that outcome leaves the acting thread without a flush of the CPUs that it owes."""
    for update in op.effects[which].updates:
        if update.var == ghosts.owes_cpu:
            thread = update.variables[0]
            return bool(z3.is_false(z3.simplify(z3.substitute(update.value, (thread, z3.Const("t", thread.sort()))))))
    return False


def _unlocks(op: Op, which: int) -> bool:
    return op.name in _RELEASES


def _leaves(op: Op, which: int) -> bool:
    return op.name in (*_RELEASES, "rcu_read_unlock")
