"""What was zapped is flushed before the lock is dropped, and before the RCU read side is left where tables were unlinked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import z3

from ..core.sorts import StateVar
from ..core.system import Property
from ..model.machine.ghosts import DEBTS, TABLE_DEBTS, owes_cpu, owes_cpu_pt, owes_dev, owes_io, owes_io_huge, owes_io_pt
from ..model.machine.sorts import THREADS, d, g, i, r, t
from ..model.machine.spaces import SHARED, Spaces
from ..model.machine.tables import rcu_reader
from ..model.scene import Scene
from ..model.view.naming import cell, gfns, listed
from ..model.view.state_view import indices
from .registered import More, Registered
from .repairs import FLUSHES
from .telling import Run, Teller, Wrong, chain, place, statement, step_effect


def flush_before_release(spaces: Spaces) -> Property:
    """The property where tables lie in these spaces: it is the lock of those that a walker walks that must not be let go."""
    cpu, io = spaces.guard("cpu"), spaces.guard("iommu")
    if cpu == io:
        small = z3.ForAll([t, i, g], z3.Implies(z3.Or(owes_cpu(t, g), owes_io(t, i, g)), cpu.holds(t)))
        owes = z3.Or(z3.Exists([t, g], owes_cpu(t, g)), z3.Exists([t], owes_cpu_pt(t)))
    else:
        small = z3.And(
            z3.ForAll([t, g], z3.Implies(owes_cpu(t, g), cpu.holds(t))), z3.ForAll([t, i, g], z3.Implies(owes_io(t, i, g), io.holds(t)))
        )
        owes = z3.Or(z3.Exists([t, g], owes_cpu(t, g)), z3.Exists([t], owes_cpu_pt(t)), z3.Exists([t, i, g], owes_io(t, i, g)))
    held = cpu.name if cpu == io else f"{cpu.name} (for vCPUs) or {io.name} (for IOMMUs)"
    return Property(
        name="flush_before_release",
        sentence=f"A thread that owes a flush holds {held}, and is in its RCU read side if it unlinked a table page.",
        holds=z3.And(
            small,
            z3.ForAll([t, i, r], z3.Implies(owes_io_huge(t, i, r), io.holds(t))),
            z3.ForAll([t, i, r], z3.Implies(z3.Or(owes_cpu_pt(t), owes_io_pt(t, i, r)), rcu_reader(t))),
        ),
        premise=owes,
        source="tdp_mmu_iter_cond_resched() and commits a835429cda91 (Linux 5.12) and bd29677952fa (Linux 5.18)",
    )


PROPERTY = flush_before_release(SHARED)

DEVICE_TLBS = More(owes_dev, lambda spaces: z3.ForAll([t, d, g], z3.Implies(owes_dev(t, d, g), spaces.guard("iommu").holds(t))))
"""A device's own TLB is forgotten only by an invalidation that completes when the IOTLB can fill it no more."""

UNLOCK, LEAVE = re.compile(r"\b(write_|read_|mutex_|spin_|)unlock(_\w+)?\b"), re.compile(r"\brcu_read_unlock\b")


def _found(scene: Scene) -> Iterator[Wrong]:
    for t in scene.each(THREADS):
        for whom, owed in scene.owed(t).items():
            lock, locked = _guarded(scene, whom, t)
            if locked:
                continue
            debts = [var for var, owner in DEBTS.items() if owner == whom]
            yield Wrong(
                f"{scene.thread(t)} owes the {whom} a flush of {gfns(owed)} and does not hold {lock}",
                {"thread": t, "gfn": owed[0]},
                _set(scene, debts, t),
            )
        for whom in scene.owed_tables(t) if not scene.is_set(rcu_reader, t) else ():
            yield Wrong(
                f"{scene.thread(t)} owes the {whom} a flush of a table page that it unlinked and has left its RCU read side",
                {"thread": t},
                _set(scene, [var for var, owner in TABLE_DEBTS.items() if owner == whom], t),
            )


def _guarded(scene: Scene, whom: str, thread: int) -> tuple[str, bool]:
    """The lock that must be held by who owes those a flush, and whether a thread holds it."""
    return scene.guard("cpu" if whom == "vCPUs" else "iommu", thread)


def _set(scene: Scene, debts: Sequence[StateVar], thread: int) -> tuple[str, ...]:
    """The cells of what a thread owes."""
    return tuple(cell(v, thread, *at) for v in debts for at in indices(scene, *v.params[1:]) if scene.is_set(v, thread, *at))


def _owed(run: Run, found: Wrong, thread: int) -> str:
    end = run.end
    who = end.thread(thread)
    owed, pages = end.owed(thread), end.owed_tables(thread)
    whom = listed([f"the {name}" for name in ("IOMMUs", "devices", "vCPUs") if name in owed or name in pages])
    covered = sorted({g for numbers in owed.values() for g in numbers})
    zap = run.since(lambda s: bool(s.owed(thread) or s.owed_tables(thread)))
    whose = next((name for name in ("IOMMUs", "devices") if name in owed), "vCPUs")
    lock = run.ended(lambda s: _guarded(s, whose, thread)[1])
    section = run.ended(lambda s: s.is_set(rcu_reader, thread))
    left = listed([n for n, when in ((_guarded(end, whose, thread)[0], lock), ("the RCU read side", section)) if when == run.depth])
    changes = f"changes {step_effect(run, zap)}" if 0 < zap < len(run.scenes) else ""
    at = statement(run, run.depth, UNLOCK if lock == run.depth else LEAVE) if left else None
    events = [(zap, changes), (run.depth if left else None, f"drops {left}{place(at)}")]
    what = f"a flush of {gfns(covered)}" if covered else "a flush of the table page that it unlinked"
    return f"{chain(run, events)} At that moment {who} still owes {whom} {what}."


REGISTERED = Registered(
    PROPERTY,
    _found,
    (Teller(("thread",), _owed),),
    FLUSHES,
    more=(DEVICE_TLBS,),
    of_model=lambda model: flush_before_release(model.spaces),
)
