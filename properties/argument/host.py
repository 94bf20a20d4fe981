"""The host's mapping, and the invalidation windows of its MMU notifiers."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ...core.system import Lemma
from ...model.machine import host
from ...model.machine.sorts import between, part, region_of, slot_of
from ...model.program_points import Edge, Location
from .setting import Setting
from .words import g, h, lemma, t


def windows(here: Setting) -> Iterator[Lemma]:
    """Where windows are open, and over which gfns."""

    def outer(x: Location) -> z3.BoolRef | None:
        ends = here.range(x)
        return None if ends is None else host.window(t, g) == between(g, *ends)

    yield lemma(
        "window_where",
        [t, g],
        z3.And(z3.Implies(host.window(t, g), here.at(t, here.window)), here.each(here.window, outer)),
        "An invalidation window is open from mmu_invalidate_in_progress_add() to mmu_invalidate_in_progress_sub(), over exactly its range.",
        "Only these two open and close it, for the thread that does them, and nobody assigns to start and last in between.",
    )

    def nested(x: Location) -> z3.BoolRef | None:
        start = here.value(x, "start")
        return None if start is None else host.inner_window(t, g) == (region_of(g) == region_of(start))

    yield lemma(
        "inner_where",
        [t, g],
        z3.And(z3.Implies(host.inner_window(t, g), here.at(t, here.inner)), here.each(here.inner, nested)),
        "A nested window is open from mmu_invalidate_nested_add() to mmu_invalidate_nested_sub(), over exactly the region of start.",
        "mmu_notifier_unmap_part() opens it over the bounds that gfn_region_bounds(start) gave, and only these two change it.",
    )

    def unmapped(x: Location) -> z3.BoolRef | None:
        ends = here.range(x)
        return None if ends is None else z3.Implies(between(g, *ends), host.zap_window(t, g))

    yield lemma(
        "zap_where",
        [t, g],
        here.each(here.places.after(Edge("zap_begin"), until=(Edge("zap_end"),)), unmapped),
        "Between zap_begin() and zap_end(), every gfn of the range counts as being unmapped on purpose.",
        "zap_begin() marks the range for its own thread, and only that thread's zap_end() takes the mark back.",
    )
    yield lemma(
        "window_is_seen",
        [t, g],
        z3.Implies(z3.Or(host.window(t, g), host.inner_window(t, g)), host.invalidating(g)),
        "Where any thread's window, outer or nested, is open over a gfn, mmu_invalidate_retry() sees the gfn as being invalidated.",
        "Opening a window marks its gfns, and closing one leaves every gfn marked over which another one is open.",
    )

    def bounds(x: Location) -> z3.BoolRef | None:
        start, first, end = (here.value(x, name) for name in ("start", "first", "end"))
        return None if start is None or first is None or end is None else (region_of(g) == region_of(start)) == between(g, first, end)

    yield lemma(
        "region_bounds",
        [t, g],
        here.each(here.window, bounds),
        "first and end of mmu_notifier_unmap_part() enclose exactly the region of start.",
        "gfn_region_bounds() gives the first and the last gfn of that region, and nobody assigns to them afterwards.",
    )


def mapping(here: Setting) -> Iterator[Lemma]:
    """What the host maps, and how it meets the ranges of invalidations."""
    backed = host.host_frame(g) == part(host.host_block(region_of(g)), slot_of(g))
    yield lemma(
        "host_huge",
        [g],
        z3.Implies(host.host_huge(region_of(g)), z3.And(host.host_mapped(g), backed)),
        "Where the host maps a region by a huge page, each gfn of it is mapped, to its own part of that page.",
        "Huge mappings exist from the start alone; host_unmap_and_free() of any part ends one, and hva_to_pfn() backs only unmapped gfns.",
    )

    def whole(x: Location) -> z3.BoolRef | None:
        ends = here.range(x)
        if ends is None or here.nests(x):
            return None
        reaches_in = z3.And(between(g, *ends), region_of(h) == region_of(g), host.host_huge(region_of(g)))
        return z3.Implies(reaches_in, between(h, *ends))

    yield lemma(
        "whole_mappings",
        [t, g, h],
        here.each(here.window, whole),
        "An invalidation without another one nested in it covers each of the host's huge pages whole or not at all.",
        "mmu_notifier_unmap() is called so (host_maps_whole()), kvm_mmu_zap_all() covers all gfns, and no huge mapping comes later.",
    )

    def one_region(x: Location) -> z3.BoolRef | None:
        ends = here.range(x)
        if ends is None or not here.nests(x):
            return None
        return z3.Implies(between(g, *ends), region_of(g) == region_of(ends[0]))

    yield lemma(
        "part_of_one_region",
        [t, g],
        here.each(here.window, one_region),
        "The range of mmu_notifier_unmap_part() lies in one region.",
        "It is called so (gfn_same_region()), and the gfns of a region stand side by side.",
    )

    def split(x: Location) -> z3.BoolRef | None:
        start = here.value(x, "start")
        return None if start is None else z3.Not(host.host_huge(region_of(start)))

    yield lemma(
        "host_is_split",
        [t],
        here.each(here.places.after(Edge("host_split_huge_page")), split),
        "After host_split_huge_page(), the region of start is no longer mapped by a huge page of the host.",
        "The host splits its huge mappings and never makes one again.",
    )
