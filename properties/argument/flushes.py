"""Flushes that are owed, the ways on which they are done, and the invalidations by which IOMMUs are told."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ...core.system import Lemma
from ...model.machine import ghosts, iommu
from ...model.machine.sorts import between, gfn_le, region_of
from ...model.program_points import Edge, Location, Op, Outcome
from .setting import Setting
from .words import FALSE, Here, g, lemma, r, t

_RELEASES = ("write_unlock", "read_unlock")


def debts(here: Setting) -> Iterator[Lemma]:
    """Whoever takes a translation away flushes it before it lets go of what keeps others off."""
    held = {*here.write, *here.read}
    before_unlocking = {does: _sure(here, does, _unlocks, held) for does in (_kicks, _waits)}
    kick = "kvm_make_all_cpus_request(KVM_REQ_TLB_FLUSH)"
    for var, at, does, by in (
        (ghosts.owes_cpu, (g,), _kicks, kick),
        (ghosts.owes_io, (g,), _waits, "qi_wait()"),
        (ghosts.owes_io_huge, (r,), _waits, "qi_wait()"),
    ):
        yield lemma(
            f"{var.name}_on_the_way",
            [t, *at],
            z3.Implies(var(t, *at), before_unlocking[does]),
            f"Whoever owes a flush ({var.doc}) comes to {by} before it unlocks mmu_lock.",
            "tdp_mmu_zap_leafs() says so in `flush`, and whoever holds mmu_lock calls a kvm_flush_remote_tlbs() before it lets go of it.",
        )
    for var, does, by in ((ghosts.owes_cpu_pt, _kicks, kick), (ghosts.owes_io_pt, _waits, "qi_wait()")):
        yield lemma(
            f"{var.name}_on_the_way",
            [t],
            z3.Implies(var(t), _sure(here, does, _leaves, held & set(here.rcu))),
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
        [t, g],
        z3.Implies(ghosts.owes_io(t, g), here.at(t, here.write)),
        "Who owes the IOMMUs the flush of a 4 KiB translation holds mmu_lock for writing.",
        "Under mmu_lock for reading, leaves are only added, split and recovered, and each of these keeps the translations that there are.",
    )

    def within_range(x: Location) -> z3.BoolRef | None:
        return here.within(x, g)

    yield lemma(
        "owes_within_range",
        [t, g],
        z3.Implies(ghosts.owes_io(t, g), here.each(ranged, within_range)),
        "Where kvm_flush_remote_tlbs_range() is to come, each gfn whose flush is owed lies in the range.",
        "tdp_walk_next_leaf() picks only leaves of the range that is flushed afterwards.",
    )

    def touched(x: Location) -> z3.BoolRef | None:
        start, last = here.value(x, "start"), here.value(x, "last")
        if start is None:
            return None
        if x in here.inner:
            return r == region_of(start)
        if last is None:
            return None
        return z3.Or(r == region_of(start), r == region_of(last), z3.ForAll([g], z3.Implies(region_of(g) == r, between(g, start, last))))

    yield lemma(
        "owes_huge_within_range",
        [t, r],
        z3.Implies(ghosts.owes_io_huge(t, r), here.each(ranged, touched)),
        "Where kvm_flush_remote_tlbs_range() is to come, each region whose flush is owed has a gfn in the range.",
        "A huge leaf is zapped for a gfn of the range, and a region that meets a range holds an end of it or lies in it.",
    )

    def ordered(x: Location) -> z3.BoolRef | None:
        ends = here.range(x)
        return None if ends is None else gfn_le(*ends)

    yield lemma(
        "range_is_ordered",
        [t],
        here.each((*ranged, *(x for x in here.window if x not in ranged)), ordered),
        "The start of an invalidation's range is not above its last gfn.",
        "The entry functions are called so (`assume(start <= last)`), and neither is assigned to.",
    )


def invalidations(here: Setting) -> Iterator[Lemma]:
    """What the invalidations in the queue cover."""
    places = here.places
    one, whole, wait = Edge("qi_submit_iotlb"), Edge("qi_submit_iotlb_domain"), Edge("qi_wait")
    yield lemma(
        "submitted_where",
        [t, g],
        z3.Implies(iommu.inv_gfn(t, g), here.at(t, places.after(one, whole, until=(wait,)))),
        "A thread's invalidation covers something only between its submission and qi_wait().",
        "qi_submit_iotlb() and qi_submit_iotlb_domain() set what it covers, and qi_wait() clears it.",
    )
    yield lemma(
        "domain_flush",
        [t, g],
        z3.Implies(here.at(t, places.after(whole, until=(wait, one))), iommu.inv_gfn(t, g)),
        "Between qi_submit_iotlb_domain() and qi_wait(), the invalidation covers every gfn.",
        "That is what a domain-selective invalidation covers, and only its own thread changes it.",
    )

    def same(x: Location) -> z3.BoolRef | None:
        inside = here.within(x, g)
        return None if inside is None else iommu.inv_gfn(t, g) == inside

    yield lemma(
        "range_flush",
        [t, g],
        here.each(places.after(one, until=(wait, whole)), same),
        "Between qi_submit_iotlb() and qi_wait(), the invalidation covers exactly the range on which the thread works.",
        "kvm_mmu_notifier_invalidate_range_start() and mmu_notifier_unmap_part() flush the range that they zapped.",
    )
    yield lemma(
        "no_hint",
        [t],
        z3.Not(iommu.inv_leaf_only(t)),
        "No invalidation carries the hint that only leaves changed.",
        "kvm_tdp_fd_flush_notify_range() and qi_submit_iotlb_domain() never give it.",
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
