"""A page table, the caches of the devices that walk it, and threads that take pages away: our subject in seventy lines.

A page may be given back only after every device forgot it. `system` waits for that; `broken` beside it gives the page back
when one device at most still has to answer. One description serves both the proof for every number of pages, devices and
threads (by the lemmas of the property) and the search for faults at a given size.
"""

from __future__ import annotations

import z3

from tdpcheck import Action, Lemma, Param, Property, Sort, StateVar, TransitionSystem, Update, bool_var, set_at, set_where, truth

Page, Device, Thread = Sort("Page"), Sort("Device"), Sort("Thread")
Pc = Sort("Pc", ("idle", "zapping"))

used = bool_var("used", Page, doc="the page belongs to the guest")
mapped = bool_var("mapped", Page, doc="the table maps the page")
cached = bool_var("cached", Device, Page, doc="the device remembers a translation to the page")
owes = bool_var("owes", Page, Device, doc="the device has yet to forget the page")
pc = StateVar("pc", (Thread,), Pc, doc="where the thread stands")
target = StateVar("target", (Thread,), Page, doc="the page that the thread takes away")

idle, zapping = Pc.element("idle"), Pc.element("zapping")
thread, page, device = Param("thread", Thread), Param("page", Page), Param("device", Device)
t, p, d = thread.const, page.const, device.const
u, q, e = Thread.const("u"), Page.const("q"), Device.const("e")

map_page = Action(
    "map_page", "cpu", (page,), z3.Not(used(p)), (set_at(used, (p,), truth(True)), set_at(mapped, (p,), truth(True))), "map page {page}"
)
fill = Action("fill", "device", (device, page), mapped(p), (set_at(cached, (d, p), truth(True)),), "device {device} walks to page {page}")
zap = Action(
    "zap",
    "thread",
    (thread, page),
    z3.And(pc(t) == idle, mapped(p)),
    (
        set_at(mapped, (p,), truth(False)),
        set_at(pc, (t,), zapping),
        set_at(target, (t,), p),
        set_where(owes, (q, e), q == p, truth(True)),
    ),
    "thread {thread} unmaps page {page}",
)
flush = Action(
    "flush",
    "thread",
    (thread, device),
    z3.And(pc(t) == zapping, owes(target(t), d)),
    (set_at(cached, (d, target(t)), truth(False)), set_at(owes, (target(t), d), truth(False))),
    "thread {thread} makes device {device} forget its page",
)


def give_back(answered: z3.BoolRef) -> Action:
    """The page of a thread becomes free once the devices have `answered`."""
    return Action(
        "give_back",
        "thread",
        (thread,),
        z3.And(pc(t) == zapping, answered),
        (set_at(used, (target(t),), truth(False)), set_at(pc, (t,), idle), set_where(owes, (q, e), q == target(t), truth(False))),
        "thread {thread} gives its page back",
    )


every_device = z3.ForAll([e], z3.Not(owes(target(t), e)))
all_but_one = z3.Exists([d], z3.ForAll([e], z3.Or(e == d, z3.Not(owes(target(t), e)))))


def table(name: str, last: Action) -> TransitionSystem:
    """A table whose threads end their work by `last`."""
    return TransitionSystem(
        name,
        (Page, Device, Thread, Pc),
        (used, mapped, cached, owes, pc, target),
        (*(Update(v, v.variables(), truth(False)) for v in (used, mapped, cached, owes)), Update(pc, pc.variables(), idle)),
        (map_page, fill, zap, flush, last),
    )


system = table("table_cache", give_back(every_device))
broken = table("table_cache_without_the_last_flush", give_back(all_but_one))

lemmas = (
    Lemma("mapped_is_used", z3.ForAll([p], z3.Implies(mapped(p), used(p))), "A mapped page belongs to the guest."),
    Lemma(
        "cached_is_mapped_or_owed",
        z3.ForAll([d, p], z3.Implies(cached(d, p), z3.Or(mapped(p), owes(p, d)))),
        "What is cached is mapped or owed.",
    ),
    Lemma(
        "owed_is_unmapped",
        z3.ForAll([d, p], z3.Implies(owes(p, d), z3.And(used(p), z3.Not(mapped(p))))),
        "Only a page that is unmapped and not yet given back is owed.",
    ),
    Lemma(
        "target_is_unmapped",
        z3.ForAll([t], z3.Implies(pc(t) == zapping, z3.And(used(target(t)), z3.Not(mapped(target(t)))))),
        "A page that is being taken away is no longer mapped, and not yet given back.",
    ),
    Lemma(
        "one_thread_a_page",
        z3.ForAll([t, u], z3.Implies(z3.And(pc(t) == zapping, pc(u) == zapping, target(t) == target(u)), t == u)),
        "No page is taken away by two threads.",
    ),
)

no_stale_cache = Property(
    "no_stale_cache",
    "No device remembers a translation to a page that was given back.",
    z3.ForAll([d, p], z3.Implies(cached(d, p), used(p))),
    premise=z3.Exists([d, p], z3.And(cached(d, p), z3.Not(mapped(p)))),
    lemmas=lemmas,
)
