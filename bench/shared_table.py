"""The common benchmark: one region of a page table that an IOMMU walks, too, and threads that zap and write-protect it.

Every engine is measured on this one description. It is small enough to be written again in anybody's language (the numbers of
reachable states in `STATES` were found alike by five checkers on hand-written copies), and rich enough to be hard: a proof needs to
know which thread still owes which device an invalidation of which frame.

G pages of one region, as many host frames, D devices with a TLB each, T threads. The table holds nothing, one huge entry, a table
of small entries, or a frozen mark while the region is zapped. Devices are invalidated one after the other, in the order `before`.
The lemmas prove the three promises for every number of pages, frames, devices and threads, and for devices in any order.
"""

from __future__ import annotations

import z3

from tdpcheck.core.sorts import BOOL, Geometry, Rigid, Sort, StateVar
from tdpcheck.core.system import Action, Lemma, Param, Property, TransitionSystem, Update, bool_var, set_at, set_where, truth

Page, Frame, Device, Thread = Sort("Page"), Sort("Frame"), Sort("Device"), Sort("Thread")
Pmd = Sort("Pmd", ("none", "huge", "table", "frozen"))
Op = Sort("Op", ("idle", "zap_page", "zap_region", "protect"))

_i, _j = Page.const("i"), Page.const("j")
_identity = z3.Function("identity", Page.z3, Frame.z3)
identity = Rigid(
    "identity",
    (Page,),
    Frame,
    lambda _, at: at[0],
    axioms=(z3.ForAll([_i, _j], z3.Implies(_identity(_i) == _identity(_j), _i == _j)),),
    doc="the frame of a page of the huge mapping",
)
before = Rigid("before", (Device, Device), BOOL, lambda _, at: at[0] < at[1], doc="the first device is invalidated before the second")

pmd = StateVar("pmd", (), Pmd, doc="what the table holds for the region")
present = bool_var("present", Page, doc="the table has a small entry for the page; a record of what to free, once frozen")
frame = StateVar("frame", (Page,), Frame, doc="the frame that the small entry maps")
writable = bool_var("writable", Page, doc="the small entry allows writing")
cached = bool_var("cached", Device, Page, doc="the TLB of the device translates the page")
cached_frame = StateVar("cached_frame", (Device, Page), Frame, doc="the frame to which it translates")
cached_writable = bool_var("cached_writable", Device, Page, doc="it allows writing")
cached_huge = bool_var("cached_huge", Device, doc="the TLB of the device translates the whole region, writable, by the huge entry")
owned = bool_var("owned", Frame, doc="the frame belongs to the guest")
want = bool_var("want", Page, doc="ghost: the page was mapped, and nobody began to zap it")
op = StateVar("op", (Thread,), Op, doc="what the thread is doing")
on = bool_var("on", Thread, Page, doc="the page that it works on")
saved = bool_var("saved", Thread, Frame, doc="the frame that it will free")
owes = bool_var("owes", Thread, Device, doc="it has yet to invalidate the device")

NOTHING, HUGE, TABLE, FROZEN = (Pmd.element(name) for name in Pmd.elements)
IDLE, ZAP_PAGE, ZAP_REGION, PROTECT = (Op.element(name) for name in Op.elements)
NO_FRAME = Frame.element(0)  # what an absent entry holds: it keeps states that differ in nothing else apart from nothing else
YES, NO = truth(True), truth(False)

page, frame_, device, thread, writing = (
    Param("page", Page),
    Param("pfn", Frame),
    Param("device", Device),
    Param("thread", Thread),
    Param("w", BOOL),
)
i, f, d, t, w = page.const, frame_.const, device.const, thread.const, writing.const
j, g, e, u = Page.const("j"), Frame.const("g"), Device.const("e"), Thread.const("u")


def for_all(variables: list[z3.ExprRef], *premises: z3.BoolRef, then: z3.BoolRef) -> z3.BoolRef:
    """Where all premises hold, `then` does."""
    return z3.ForAll(variables, z3.Implies(z3.And(*premises), then) if premises else then)


def everywhere(var: StateVar, value: z3.ExprRef) -> Update:
    return Update(var, var.variables(), value)


map_page = Action(
    "map_page",
    "cpu",
    (page, frame_, writing),
    z3.And(z3.Or(pmd() == NOTHING, pmd() == TABLE), z3.Not(present(i)), z3.Not(owned(f)), z3.ForAll([u], z3.Not(on(u, i)))),
    (
        set_at(pmd, (), TABLE),
        set_at(present, (i,), YES),
        set_at(frame, (i,), f),
        set_at(writable, (i,), w),
        set_at(owned, (f,), YES),
        set_at(want, (i,), YES),
    ),
    "page {page} -> frame {pfn}, writable {w}",
)
map_huge = Action(
    "map_huge",
    "cpu",
    (),
    z3.And(pmd() == NOTHING, z3.ForAll([g], z3.Not(owned(g))), z3.ForAll([u], op(u) == IDLE)),
    (set_at(pmd, (), HUGE), everywhere(owned, YES), everywhere(want, YES)),
    "huge entry",
)
split = Action(
    "split",
    "cpu",
    (),
    pmd() == HUGE,
    (set_at(pmd, (), TABLE), everywhere(present, YES), Update(frame, (j,), identity(j)), everywhere(writable, YES)),
    "the huge entry becomes a table",
)
fill = Action(
    "fill",
    "device",
    (device, page),
    z3.And(pmd() == TABLE, present(i)),
    (set_at(cached, (d, i), YES), set_at(cached_frame, (d, i), frame(i)), set_at(cached_writable, (d, i), writable(i))),
    "TLB of device {device} <- page {page}",
)
fill_huge = Action(
    "fill_huge", "device", (device,), pmd() == HUGE, (set_at(cached_huge, (d,), YES),), "TLB of device {device} <- huge entry"
)


def begins(what: z3.ExprRef) -> tuple[Update, ...]:
    """The thread begins an operation, and owes every device an invalidation."""
    return (set_at(op, (t,), what), set_where(owes, (u, e), u == t, YES))


zap_page = Action(
    "zap_page",
    "thread",
    (thread, page),
    z3.And(op(t) == IDLE, pmd() == TABLE, present(i)),
    (
        *begins(ZAP_PAGE),
        set_at(on, (t, i), YES),
        set_at(saved, (t, frame(i)), YES),
        set_at(present, (i,), NO),
        set_at(frame, (i,), NO_FRAME),
        set_at(writable, (i,), NO),
        set_at(want, (i,), NO),
    ),
    "thread {thread} zaps page {page}",
)
zap_region = Action(
    "zap_region",
    "thread",
    (thread,),
    z3.And(op(t) == IDLE, pmd() == TABLE),
    (*begins(ZAP_REGION), set_at(pmd, (), FROZEN), everywhere(want, NO)),
    "thread {thread} freezes the region",
)
protect = Action(
    "protect",
    "thread",
    (thread, page),
    z3.And(op(t) == IDLE, pmd() == TABLE, present(i), writable(i)),
    (*begins(PROTECT), set_at(on, (t, i), YES), set_at(writable, (i,), NO)),
    "thread {thread} write-protects page {page}",
)

LAST = z3.ForAll([e], z3.Not(before(d, e)))


def invalidate(does: z3.BoolRef, reaches_huge: z3.BoolRef) -> Action:
    """A thread invalidates the next device.

    Args:
        does: whether the invalidation has an effect.
        reaches_huge: whether one of a single page drops the huge entry.
    """
    region = op(t) == ZAP_REGION
    gone = z3.And(does, z3.Or(region, on(t, j)))
    return Action(
        "invalidate",
        "thread",
        (thread, device),
        z3.And(owes(t, d), for_all([e], before(e, d), then=z3.Not(owes(t, e)))),
        (
            set_at(owes, (t, d), NO),
            set_where(cached, (e, j), z3.And(e == d, gone), NO),
            set_where(cached_frame, (e, j), z3.And(e == d, gone), NO_FRAME),
            set_where(cached_writable, (e, j), z3.And(e == d, gone), NO),
            set_where(cached_huge, (e,), z3.And(e == d, does, z3.Or(region, reaches_huge)), NO),
        ),
        "thread {thread} invalidates device {device}",
    )


FINISHED = z3.And(op(t) != IDLE, z3.ForAll([e], z3.Not(owes(t, e))))
RESTS = (set_at(op, (t,), IDLE), set_where(on, (u, j), u == t, NO), set_where(saved, (u, g), u == t, NO))

finish_page = Action(
    "finish_page",
    "thread",
    (thread,),
    z3.And(FINISHED, op(t) != ZAP_REGION),
    (*RESTS, set_where(owned, (g,), saved(t, g), NO)),
    "thread {thread} is done with its page",
)
finish_region = Action(
    "finish_region",
    "thread",
    (thread,),
    z3.And(FINISHED, op(t) == ZAP_REGION),
    (
        *RESTS,
        set_at(pmd, (), NOTHING),
        set_where(owned, (g,), z3.Exists([j], z3.And(present(j), frame(j) == g)), NO),
        everywhere(present, NO),
        everywhere(frame, NO_FRAME),
        everywhere(writable, NO),
    ),
    "thread {thread} frees what the region mapped",
)


def shared_table(name: str, invalidation: Action) -> TransitionSystem:
    empty = (present, writable, cached, cached_writable, cached_huge, owned, want, on, saved, owes)
    return TransitionSystem(
        name,
        (Page, Frame, Device, Thread, Pmd, Op),
        (pmd, present, frame, writable, cached, cached_frame, cached_writable, cached_huge, owned, want, op, on, saved, owes),
        (
            Update(pmd, (), NOTHING),
            everywhere(op, IDLE),
            *(everywhere(var, NO) for var in empty),
            *(everywhere(var, NO_FRAME) for var in (frame, cached_frame)),
        ),
        (
            *(map_page, map_huge, split, fill, fill_huge),
            *(zap_page, zap_region, protect, invalidation, finish_page, finish_region),
        ),
        (identity, before),
    )


system = shared_table("shared_table", invalidate(YES, YES))
skips_last = shared_table("shared_table_skips_the_last_device", invalidate(z3.Not(LAST), YES))
spares_huge = shared_table("shared_table_spares_the_last_huge_entry", invalidate(YES, z3.Not(LAST)))
SYSTEMS = {"good": system, "bug": skips_last, "bug2": spares_huge}
"""The system, and two with a seeded bug. The last device's invalidation has no effect: found at depth D + 4. One of a page spares the
last device's huge entry: depth D + 5, and rarer the larger the region."""


def geometry(pages: int, devices: int, threads: int) -> Geometry:
    """The size (G, D, T), with as many frames as pages."""
    return Geometry({"Page": pages, "Frame": pages, "Device": devices, "Thread": threads})


STATES = {
    (2, 1, 1): 326,
    (2, 2, 1): 1_949,
    (3, 2, 1): 55_565,
    (4, 2, 1): 2_395_513,
    (2, 1, 2): 2_122,
    (2, 2, 2): 16_694,
    (3, 2, 2): 687_958,
}
"""Reachable states by (G, D, T)."""

owing = z3.And(owes(u, d), on(u, i))
"""Thread u has yet to tell device d about page i."""
zapping, protecting = z3.And(owing, op(u) == ZAP_PAGE), z3.And(owing, op(u) == PROTECT)

s1 = z3.And(
    for_all([d, i], cached(d, i), then=owned(cached_frame(d, i))),
    for_all([d, i], cached_huge(d), then=owned(identity(i))),
)
s2 = for_all([i], want(i), then=z3.Or(pmd() == HUGE, z3.And(pmd() == TABLE, present(i))))
s3 = for_all(
    [d, i],
    pmd() == TABLE,
    present(i),
    z3.Not(writable(i)),
    z3.ForAll([u], z3.Not(on(u, i))),
    then=z3.Not(z3.Or(z3.And(cached(d, i), cached_writable(d, i)), cached_huge(d))),
)

lemmas = (
    # The table.
    Lemma(
        "small_entries_need_a_table",
        for_all([i], present(i), then=z3.Or(pmd() == TABLE, pmd() == FROZEN)),
        "A small entry stands in a table, or in the record of a frozen one.",
    ),
    Lemma("mapped_frames_are_owned", for_all([i], present(i), then=owned(frame(i))), "What the table maps belongs to the guest."),
    Lemma(
        "one_page_a_frame",
        for_all([i, j], present(i), present(j), frame(i) == frame(j), then=i == j),
        "Two pages never share a frame.",
    ),
    Lemma("huge_owns_all", for_all([g], pmd() == HUGE, then=owned(g)), "A huge entry owns every frame of the region."),
    Lemma(
        "huge_means_quiet",
        for_all([u], pmd() == HUGE, then=op(u) == IDLE),
        "A huge entry appears when no thread works, and none can begin.",
    ),
    Lemma(
        "wanted_pages_are_reachable",
        s2,
        "What is wanted is mapped: nobody unmaps a page without unwanting it.",
    ),
    # The threads.
    Lemma(
        "a_region_zap_freezes", for_all([u], op(u) == ZAP_REGION, then=pmd() == FROZEN), "While a region is zapped, its table is frozen."
    ),
    Lemma(
        "one_region_zap",
        for_all([t, u], op(t) == ZAP_REGION, op(u) == ZAP_REGION, then=t == u),
        "Only one thread at a time zaps the region.",
    ),
    Lemma("who_saves_a_frame", for_all([u, g], saved(u, g), then=op(u) == ZAP_PAGE), "Only a thread that zaps a page has a frame to free."),
    Lemma("saved_frames_are_owned", for_all([u, g], saved(u, g), then=owned(g)), "A frame is not free before its thread frees it."),
    Lemma("one_thread_frees_a_frame", for_all([t, u, g], saved(t, g), saved(u, g), then=t == u), "No frame is freed by two threads."),
    Lemma(
        "saved_frames_are_unmapped",
        for_all([u, g, i], saved(u, g), present(i), then=frame(i) != g),
        "A frame that will be freed is no longer mapped.",
    ),
    # The TLBs.
    Lemma(
        "cached_is_mapped_or_owed",
        for_all(
            [d, i],
            cached(d, i),
            then=z3.Or(
                z3.And(present(i), cached_frame(d, i) == frame(i)),
                z3.Exists([u], z3.And(zapping, saved(u, cached_frame(d, i)))),
            ),
        ),
        "A cached translation is the current one, or a thread still owes the device its invalidation and has not freed the frame.",
    ),
    Lemma(
        "cached_writable_is_writable_or_owed",
        for_all([d, i], cached(d, i), cached_writable(d, i), present(i), then=z3.Or(writable(i), z3.Exists([u], protecting))),
        "A translation is cached writable only while the page is, or while a thread still owes the device the news.",
    ),
    Lemma(
        "cached_huge_is_mapped_or_owed",
        for_all(
            [d, i],
            cached_huge(d),
            pmd() != HUGE,
            then=z3.Or(z3.And(present(i), frame(i) == identity(i)), z3.Exists([u], z3.And(zapping, saved(u, identity(i))))),
        ),
        "What a cached huge entry maps is still mapped so, page by page, or owed.",
    ),
    Lemma(
        "cached_huge_is_writable_or_owed",
        for_all([d, i], cached_huge(d), present(i), then=z3.Or(writable(i), z3.Exists([u], protecting))),
        "A huge entry is cached only while each page is writable, or while a thread still owes the device the news.",
    ),
    Lemma(
        "a_region_zap_empties_caches",
        for_all([u, d, i], op(u) == ZAP_REGION, then=z3.Or(owes(u, d), z3.Not(cached(d, i)))),
        "A device that heard of the region's end caches none of its pages.",
    ),
    Lemma(
        "a_region_zap_empties_huge",
        for_all([u, d], op(u) == ZAP_REGION, then=z3.Or(owes(u, d), z3.Not(cached_huge(d)))),
        "A device that heard of the region's end caches no huge entry.",
    ),
)

S1 = Property("no_tlb_entry_to_a_free_frame", "No TLB translates to a frame that was given back.", s1, lemmas=lemmas)
S2 = Property("wanted_pages_are_mapped", "What is mapped and not being zapped is reachable.", s2, lemmas=lemmas)
S3 = Property(
    "protected_pages_are_not_written",
    "Once nobody works on a write-protected page, no TLB lets a device write it.",
    s3,
    lemmas=lemmas,
)
SAFE = Property("safe", "All three promises at once.", z3.And(s1, s2, s3), lemmas=lemmas)
PROPERTIES = {prop.name: prop for prop in (S1, S2, S3, SAFE)}
