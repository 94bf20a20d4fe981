"""Flushes that are owed, the ways on which they are done, and the invalidations by which IOMMUs are told."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ...core.sorts import StateVar
from ...core.system import Lemma
from ...model.machine import ghosts, iommu
from ...model.machine.sorts import between, gfn_le, region_of
from ...model.program_points import Edge, Location, Op, Outcome
from .setting import Setting
from .words import FALSE, Here, g, i, lemma, n, r, t

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
        [t, i, g],
        z3.Implies(ghosts.owes_io(t, i, g), here.at(t, here.write)),
        "Who owes the IOMMUs the flush of a 4 KiB translation holds mmu_lock for writing.",
        "Under mmu_lock for reading, leaves are only added, split and recovered, and each of these keeps the translations that there are.",
    )

    def within_range(x: Location) -> z3.BoolRef | None:
        return here.within(x, g)

    yield lemma(
        "owes_within_range",
        [t, i, g],
        z3.Implies(ghosts.owes_io(t, i, g), here.each(ranged, within_range)),
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
        [t, i, r],
        z3.Implies(ghosts.owes_io_huge(t, i, r), here.each(ranged, touched)),
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
    submitted = places.after(one, whole, until=(wait,))
    yield lemma(
        "submitted_where",
        [t, n, i],
        z3.Implies(iommu.inv_submitted(t, n, i), here.at(t, submitted)),
        "A thread has a descriptor in a queue only between its submission and qi_wait().",
        "qi_submit_iotlb() and qi_submit_iotlb_domain() submit, and qi_wait() is not over before all of them are complete.",
    )
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
        "domain_flush",
        [t, n, i, g],
        z3.Implies(z3.And(here.at(t, places.after(whole, until=(wait, one))), iommu.inv_submitted(t, n, i)), iommu.inv_gfn(t, n, i, g)),
        "Between qi_submit_iotlb_domain() and qi_wait(), what stands in the queue covers every gfn.",
        "That is what a domain-selective invalidation covers, and only its own thread changes it.",
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
