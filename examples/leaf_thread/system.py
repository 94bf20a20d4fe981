"""The C compiled into a transition system, the property, and the argument why it holds, whatever the size.

The lemmas speak of places in the C by what is known there (the lock is held), so that they can be asked of a changed text, too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import z3

from tdpcheck import Lemma, Property, TransitionSystem
from tdpcheck.kernelc import THREADS, Machine, Software, compile_threads, locks_held, lower, parse

from . import machine
from .library import LIBRARY
from .machine import Device, Page, cached, gathered, locked, mapped, owed, used

TEXT = (Path(__file__).parent / "unmap.c").read_text(encoding="utf-8")
ROLE = "unmap"

t, u, p, d = THREADS.const("t"), THREADS.const("u"), Page.const("p"), Device.const("d")


def build(text: str = TEXT, *, merge: bool = True) -> tuple[TransitionSystem, Software]:
    """The system of any number of threads that run `text`, and what is known of the compilation."""
    unit = parse(text, "unmap.c")
    graph = lower(ROLE, ROLE, unit.functions, unit.structs, LIBRARY, broken=unit.unmodelled | unit.broken)
    software = compile_threads([graph], (ROLE, ROLE), machine=Machine(machine.state, machine.init, machine.actions), merge=merge)
    system = TransitionSystem(
        "leaf_thread",
        (*software.sorts, Page, Device),
        (*software.state, *machine.state),
        (*software.init, *machine.init),
        (*software.actions, *machine.actions),
        software.rigids,
    )
    return system, software


def argument(software: Software) -> tuple[Lemma, ...]:
    """Why no device remembers a page that was given back."""
    holds_lock = _places(software, lambda node: "mmu_lock:write" in locks_held(software.graphs[ROLE])[node])
    flag = software.local_vars.get((ROLE, "zap_leafs.flush"))  # none, if the text never sets it
    flush = z3.BoolVal(False) if flag is None else flag(t)
    return (
        Lemma("mapped_is_used", _all(z3.Implies(mapped(p), used(p))), "A mapped page belongs to the guest.", "Only a free page is mapped."),
        Lemma(
            "cached_is_mapped_or_owed",
            _all(z3.Implies(cached(d, p), z3.Or(mapped(p), owed(p)))),
            "What a device remembers is still mapped, or its flush is still owed.",
            "A device learns of mapped pages alone; who unmaps one owes the flush.",
        ),
        Lemma("owed_is_used", _all(z3.Implies(owed(p), used(p))), "A page whose flush is owed was not given back yet.", "The next lemma."),
        Lemma(
            "owed_by_who_holds_the_lock",
            _all(z3.Implies(z3.And(owed(p), gathered(t, p)), holds_lock(t))),
            "Who unmapped a page whose flush is owed still holds the lock.",
            "Leaves are cleared under the lock, and every way to an unlock that cleared one flushes first.",
        ),
        Lemma("holder_locks", _all(z3.Implies(holds_lock(t), locked())), "Between lock and unlock the lock is held.", "As the text says."),
        Lemma(
            "one_holder",
            _all(z3.Implies(z3.And(holds_lock(t), holds_lock(u)), t == u)),
            "One thread at a time is between lock and unlock.",
            "The lock is taken only when it is free.",
        ),
        Lemma(
            "gathered_is_unmapped",
            _all(z3.Implies(gathered(t, p), z3.And(used(p), z3.Not(mapped(p))))),
            "A page that a thread will give back is not mapped, and not free yet.",
            "It was unmapped when it was gathered, and only free pages are mapped.",
        ),
        Lemma(
            "one_gatherer",
            _all(z3.Implies(z3.And(gathered(t, p), gathered(u, p)), t == u)),
            "No page is given back by two threads.",
            "Who gathers it found it mapped.",
        ),
        Lemma(
            "owed_is_remembered",
            _all(z3.Implies(z3.And(holds_lock(t), z3.Not(flush)), z3.Not(owed(p)))),
            "Within the lock, a flush is owed only if the thread's flag says so.",
            "The flag is set after each leaf that is cleared, and taken back only after a flush.",
        ),
    )


def _all(body: z3.BoolRef) -> z3.BoolRef:
    return z3.ForAll([t, u, p, d], body)


def _places(software: Software, wanted: Callable[[int], bool]) -> Callable[[z3.ExprRef], z3.BoolRef]:
    """Whether a thread rests at one of the nodes that are `wanted`."""
    names = [x.name for x in software.locations if wanted(x.node)]
    return lambda thread: z3.Or([software.pc(thread) == software.at(name) for name in names])


system, software = build()

no_stale_cache = Property(
    "no_stale_cache",
    "No device remembers a translation to a page that was given back.",
    _all(z3.Implies(cached(d, p), used(p))),
    premise=z3.Exists([d, p], z3.And(cached(d, p), z3.Not(mapped(p)))),
    lemmas=argument(software),
)
