"""Faults and invalidations exclude each other: a pfn resolved too early is not installed."""

from __future__ import annotations

from collections.abc import Iterator

import z3

from ..core.system import Property
from ..model.machine.ghosts import stale_install
from ..model.machine.host import inner_window, window
from ..model.machine.sorts import GFN, ROOT, THREADS
from ..model.machine.spaces import SHARED, Spaces
from ..model.scene import Scene
from ..model.view.naming import cell, gfns
from .registered import Registered
from .repairs import STALE
from .telling import Run, Teller, Test, Wrong, step_effect


def notifier_exclusion(spaces: Spaces) -> Property:
    """The property where tables are kept right by these spaces' notifiers: the invalidation is one of which the table's own was told."""
    begun = [notifier.ever_opened() for notifier in spaces.notifiers()]
    return Property(
        name="notifier_exclusion",
        sentence="No mapping is installed from a pfn that was resolved before an overlapping invalidation ended.",
        holds=z3.Not(stale_install()),
        premise=begun[0] if len(begun) == 1 else z3.Or(begun),
        source="mmu_invalidate_retry_hva(), include/linux/kvm_host.h, Linux 6.1; commit 58cd407ca4c6, Linux 5.19",
    )


PROPERTY = notifier_exclusion(SHARED)


def _found(scene: Scene) -> Iterator[Wrong]:
    if scene.is_set(stale_install):
        yield Wrong("an SPTE was installed from a pfn that an invalidation has overtaken", {}, (cell(stale_install),))


def _installed(run: Run, found: Wrong) -> str:
    number = run.since(lambda s: s.is_set(stale_install))
    if not 0 < number < len(run.scenes):
        return ""
    after = run.scenes[number]
    installed = [
        g for g in after.each(GFN) for r in after.each(ROOT) if after.walk(r, g) is not None and run.scenes[number - 1].walk(r, g) is None
    ]
    what = f"{run.who(number)} changes {step_effect(run, number)} (step {number})"
    pairs = [(t, g) for g in installed for t in after.each(THREADS)]
    for t, g in pairs:
        if _in_window(t, g)(after):
            begun = run.since(_in_window(t, g))
            ongoing = f"while {after.thread(t)}'s invalidation of {gfns([g])}, begun in step {begun}, has not ended"
            return f"{what} {ongoing}: the host may give the frame away under the new mapping."
    late = max((n for n in (run.ended(_in_window(t, g)) for t, g in pairs) if n is not None and n < number), default=None)
    over = f" The pfn was resolved before the invalidation that ended in step {late}." if late is not None else ""
    return f"{what} from a pfn that is out of date.{over}"


def _in_window(thread: int, gfn: int) -> Test:
    """The thread's invalidation of the gfn is going on."""
    return lambda scene: scene.is_set(window, thread, gfn) or scene.is_set(inner_window, thread, gfn)


REGISTERED = Registered(PROPERTY, _found, (Teller((), _installed),), STALE, of_model=lambda model: notifier_exclusion(model.spaces))
