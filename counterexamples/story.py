"""One or two sentences on a run: who did what between which two steps of whom, and what is reachable now.

Nothing is said that is not in the run: each clause is made from a step that was looked up in the states, and an event that did not happen
leaves its clause out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from ..core.sorts import StateVar
from ..model.assertions import ASSERTIONS, FAILED, broken
from ..model.machine.cpu import vcpu_root
from ..model.machine.devices import noncoherent_registered, tdp_exported
from ..model.machine.ghosts import refused, stale_install
from ..model.machine.host import frame_free, inner_window, window
from ..model.machine.iommu import (
    attached,
    domain_root,
    inv_gfn,
    inv_submitted,
    iotlb_huge_writable,
    iotlb_writable,
    psc_pt,
    psc_valid,
)  # fmt: skip
from ..model.machine.locks import mmu_reader, mmu_writer
from ..model.machine.sorts import GFN, IOMMU, ROOT, THREADS, VCPU
from ..model.machine.tables import pt_state, rcu_reader, root_exported, root_invalid, root_ref_export
from ..model.naming import frame_name, gfns, listed
from .scene import Scene, scenes
from .schema import Cex, Instance, Source

Test = Callable[[Scene], bool]
LOCK, UNLOCK, LEAVE = (re.compile(p) for p in (r"\b(write|read)_lock\b", r"\b(write|read)_unlock\b", r"\brcu_read_unlock\b"))


class Run:
    """A run, asked when something became so."""

    def __init__(self, cex: Cex) -> None:
        self.cex = cex
        self.scenes = scenes(cex)

    @property
    def end(self) -> Scene:
        return self.scenes[-1]

    def since(self, test: Test) -> int:
        """The step since which `test` holds until the end.

        0 if it has held from the start, and one more than there are steps if it does not hold at the end.
        """
        number = len(self.scenes)
        while number and test(self.scenes[number - 1]):
            number -= 1
        return number

    def happened(self, test: Callable[[Scene, Scene], bool], after: int = 0) -> int | None:
        """The last step later than `after` between whose states `test` holds."""
        for number in range(len(self.scenes) - 1, after, -1):
            if test(self.scenes[number - 1], self.scenes[number]):
                return number
        return None

    def who(self, number: int) -> str:
        return self.cex.steps[number - 1].actor

    def ended(self, test: Test) -> int | None:
        """The step since which `test` is false for good; None if it never held."""
        number = self.since(lambda s: not test(s))
        return number if 0 < number < len(self.scenes) else None


def story(cex: Cex) -> str:
    """What happened, for somebody who has not seen the run."""
    run, found = Run(cex), cex.violation[0]
    for names, teller in TELLERS.get(cex.prop.name, ()):
        values = [found.at[n] for n in names if n in found.at]
        if found.cells and len(values) == len(names) and not any(isinstance(v, str) for v in values):
            told = teller(run, found, *map(int, values)).strip()
            if told:
                return told
    return _plain(run)


def _plain(run: Run) -> str:
    """What can always be said."""
    what = run.cex.violation[0].sentence
    if not run.cex.steps:
        return f"It begins so: {what}."
    return f"{run.who(run.cex.depth)}: {run.cex.steps[-1].label} (step {run.cex.depth}). After that, {what}."


def _chain(run: Run, events: Sequence[tuple[int | None, str]]) -> str:
    """Events in the order of their steps as one sentence, each with its actor, who is named once where it goes on acting."""
    clauses: list[str] = []
    last = ""
    for number, what in sorted((n, w) for n, w in events if n is not None and 0 < n < len(run.scenes)):
        who = run.who(number)
        clauses.append(f"{'' if who == last else who + ' '}{what} (step {number})")
        last = who
    if not clauses:
        return ""
    return (", then ".join(clauses) if len(clauses) < 3 else f"{', '.join(clauses[:-1])}, then {clauses[-1]}") + "."


def _stale_translation(run: Run, found: Instance, i: int, g: int, f: int, big: int) -> str:
    huge, name = bool(big), frame_name(f)
    end, root = run.end, run.end.number(domain_root, i)
    cached = run.since(lambda s: (g, f, huge) in s.translations(i))
    released = run.since(lambda s: s.backed(g) != f)
    zapped = run.ended(lambda s: s.walk(root, g) == f)
    freed = released < len(run.scenes) and released > 0 and run.scenes[released].is_set(frame_free, f)
    mapped = run.since(lambda s: s.walk(root, g) == f) if zapped is None else 0
    again = mapped > 0
    events = [
        (cached, f"caches {gfns([g])} -> {name} in its IOTLB"),
        (_resolved(run, mapped, g, f) if again else None, f"resolves the pfn of {gfns([g])}: {name}"),
        (mapped if again else None, f"maps {gfns([g])} -> {name} in the table"),
        (zapped, f"takes {gfns([g])} -> {name} out of the table"),
        (released, f"{'gives frame ' + name + ' back' if freed else 'unmaps ' + gfns([g]) + ' from the host'}"),
    ]
    still = "" if again or zapped is not None or end.walk(root, g) != f else f" The table still maps {gfns([g])} to {name}, too."
    longer = "still " if cached < released else ""
    reach = f"so through {gfns([g])} {_devices(end, i)} can {longer}{_reaches(end, i, g, huge)} {name}{_now(end, f)}"
    return f"{_chain(run, events)}{still} {_no_flush(run, i, cached, [g])}, {reach}."


def _resolved(run: Run, mapped: int, gfn: int, frame: int) -> int | None:
    """Where the thread that maps a frame had learned of it."""
    said = f"resolves the pfn of {gfns([gfn])}: {frame_name(frame)}"
    own = (s for s in reversed(run.cex.steps[: mapped - 1]) if s.actor == run.who(mapped) and said in s.label)
    return next((s.number for s in own), None) if mapped < len(run.scenes) else None


def _now(end: Scene, frame: int) -> str:
    return ", which is free" if end.is_set(frame_free, frame) else f", which now belongs to {end.holder(frame)}"


def _devices(end: Scene, iommu: int) -> str:
    return listed([f"device {d}" for d in end.devices_of(iommu)])


def _reaches(end: Scene, iommu: int, gfn: int, huge: bool) -> str:
    writable = end.is_set(iotlb_huge_writable, iommu, end.region_of(gfn)) if huge else end.is_set(iotlb_writable, iommu, gfn)
    return "read and write frame" if writable else "read frame"


def _no_flush(run: Run, iommu: int, since: int, covered: Sequence[int]) -> str:
    """Which invalidation did not come: one that is queued, or none at all."""
    end = run.end
    queued = [t for t in end.each(THREADS) if end.is_set(inv_submitted, t, iommu) and any(end.is_set(inv_gfn, t, g) for g in covered)]
    if queued:
        return f"The invalidation that {listed([end.thread(t) for t in queued])} queued has not completed"

    def completes(before: Scene, after: Scene) -> bool:
        threads = [t for t in before.each(THREADS) if before.is_set(inv_submitted, t, iommu) and not after.is_set(inv_submitted, t, iommu)]
        return any(before.is_set(inv_gfn, t, g) for t in threads for g in covered)

    earlier = run.happened(completes)
    if earlier is None:
        return f"No IOTLB invalidation of {gfns(covered)} completes"
    if earlier > since:
        return f"The IOTLB invalidation of {gfns(covered)} in step {earlier} leaves it in place"
    return f"The IOTLB invalidation of {gfns(covered)} completed earlier, in step {earlier}"


def _stale_table(run: Run, found: Instance, i: int, r: int, p: int) -> str:
    cached = run.since(lambda s: s.is_set(psc_valid, i, r) and s.number(psc_pt, i, r) == p)
    unlinked = run.ended(lambda s: s.word(pt_state, p) == "linked")
    freed = run.ended(lambda s: s.word(pt_state, p) in ("linked", "unlinked", "rcu"))
    events = [
        (cached, f"caches the pointer to table {p}"),
        (unlinked, f"unlinks table {p}"),
        (freed if freed != unlinked else None, f"frees table {p}"),
    ]
    state = {"free": "a free page", "private": "a page that is allocated anew"}.get(run.end.word(pt_state, p), "a page that is no table")
    flush = _no_flush(run, i, cached, run.end.gfns_of(r))
    return f"{_chain(run, events)} {flush}, so a walk of iommu {i} for {_devices(run.end, i)} reads {state} as a page table."


def _hole(run: Run, found: Instance, root: int, g: int, f: int) -> str:
    number = run.since(lambda s: s.walk(root, g) != f)
    if not 0 < number < len(run.scenes):
        return ""
    end = run.end
    others = [x for x in end.each(GFN) if end.unmapped_by(x)]
    asked = f"The invalidation that is going on covers {gfns(others)} alone" if others else f"Nobody is unmapping {gfns([g])}"
    victims = [d for i in end.each(IOMMU) if end.number(domain_root, i) == root for d in end.devices_of(i)]
    gone = [x for x in end.gfns_of(end.region_of(g)) if x not in others and end.walk(root, x) is None]
    devices = listed([f"device {d}" for d in victims])
    outcome = f": DMA of {devices} to {gfns(gone)} faults unless the IOTLB still holds it" if victims and gone else ""
    chain = _chain(run, [(number, f"changes {_step_effect(run, number)}")])
    return f"{chain} {asked}{outcome}."


def _step_effect(run: Run, number: int) -> str:
    step = run.cex.steps[number - 1]
    entries = [e for e in step.effects if "->" in e]
    return entries[0] if entries else step.label


def _stale_spte(run: Run, found: Instance, root: int, g: int, f: int) -> str:
    mapped = run.since(lambda s: s.walk(root, g) == f)
    released = run.since(lambda s: s.backed(g) != f)
    invalid = run.since(lambda s: s.is_set(root_invalid, root))
    events = [
        (mapped, f"maps {gfns([g])} to {frame_name(f)} in root {root}"),
        (invalid, f"makes root {root} invalid"),
        (released, f"unmaps {gfns([g])} from the host"),
    ]
    holders = [f"vcpu {v}" for v in run.end.each(VCPU) if run.end.number(vcpu_root, v) == root]
    held = f", which {listed(holders)} {'has' if len(holders) == 1 else 'have'} loaded," if holders else ""
    return f"{_chain(run, events)} Root {root}{held} still maps {gfns([g])} to frame {frame_name(f)}{_now(run.end, f)}."


def _owed(run: Run, found: Instance, thread: int) -> str:
    end = run.end
    who = end.thread(thread)
    owed, pages = end.owed(thread), end.owed_tables(thread)
    whom = listed([f"the {name}" for name in ("IOMMUs", "vCPUs") if name in owed or name in pages])
    covered = sorted({g for numbers in owed.values() for g in numbers})
    zap = run.since(lambda s: bool(s.owed(thread) or s.owed_tables(thread)))
    lock = run.ended(lambda s: s.is_set(mmu_writer, thread) or s.is_set(mmu_reader, thread))
    section = run.ended(lambda s: s.is_set(rcu_reader, thread))
    left = listed([n for n, when in (("mmu_lock", lock), ("the RCU read side", section)) if when == run.cex.depth])
    changes = f"changes {_step_effect(run, zap)}" if 0 < zap < len(run.scenes) else ""
    at = _statement(run, run.cex.depth, UNLOCK if lock == run.cex.depth else LEAVE) if left else None
    events = [(zap, changes), (run.cex.depth if left else None, f"drops {left}{_place(at)}")]
    what = f"a flush of {gfns(covered)}" if covered else "a flush of the table page that it unlinked"
    return f"{_chain(run, events)} At that moment {who} still owes {whom} {what}."


def _notifier_exclusion(run: Run, found: Instance) -> str:
    number = run.since(lambda s: s.is_set(stale_install))
    if not 0 < number < len(run.scenes):
        return ""
    after = run.scenes[number]
    installed = [
        g for g in after.each(GFN) for r in after.each(ROOT) if after.walk(r, g) is not None and run.scenes[number - 1].walk(r, g) is None
    ]
    what = f"{run.who(number)} changes {_step_effect(run, number)} (step {number})"
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


def _noncoherent(run: Run, found: Instance, d: int) -> str:
    exported = run.since(lambda s: s.is_set(tdp_exported))
    registered = run.since(lambda s: s.is_set(noncoherent_registered, d))
    joined = run.since(lambda s: s.is_set(attached, d))
    events = [
        (exported, "exports the TDP"),
        (registered, f"registers non-coherent DMA of device {d}"),
        (joined, f"attaches device {d}"),
    ]
    nobody = "" if run.end.is_set(refused) else "Nobody is refused: "
    reach = f", so DMA of device {d} to guest memory may bypass the CPU caches" if run.end.is_set(attached, d) else ""
    return f"{_chain(run, events)} {nobody or 'Now '}{found.sentence}{reach}."


def _dead_root(run: Run, found: Instance, i: int, root: int) -> str:
    what = found.sentence.partition(", which is ")[2] or "dead"
    events = [
        (run.since(lambda s: s.is_set(root_invalid, root)), f"makes root {root} invalid"),
        (run.since(lambda s: not s.is_set(root_ref_export, root)), f"puts the export's reference to root {root}"),
        (run.since(lambda s: not s.is_set(root_exported, root)), f"takes the export of root {root} back"),
        (run.since(lambda s: s.active(i)), f"lets iommu {i} walk root {root}"),
    ]
    through = f"root {root}: its DMA goes through a root that is {what}"
    return f"{_chain(run, events)} The domain of {_devices(run.end, i)} still points to {through}."


def _assertion(run: Run, found: Instance) -> str:
    number = run.since(lambda s: any(s.is_set(FAILED, a) for a in s.each(ASSERTIONS)))
    if not 0 < number < len(run.scenes):
        return ""
    name = str(found.at.get("assertion", "an assertion"))
    at = next((s for s in run.cex.steps[number - 1].sources if name.endswith(f" at {s.file}:{s.line}")), None)
    what = f"{at.text}{_place(at)}" if at is not None else name
    return f"{run.who(number)} comes to {what}, and it {broken(name).rpartition(' ')[2]} (step {number}).{_lock(run, number)}"


def _lock(run: Run, number: int) -> str:
    """How the thread that takes a step holds mmu_lock after it, and where it took it."""
    if number != run.cex.depth:
        return ""
    for thread in (thread for thread, name in enumerate(run.end.threads) if name == run.who(number)):
        for var, how in ((mmu_writer, "for writing"), (mmu_reader, "for reading")):
            taken = run.since(_set(var, thread))
            if taken <= number:
                at = _statement(run, taken, LOCK) if taken else None
                return (
                    f" It holds mmu_lock {how}, taken{_place(at, called=False)} (step {taken})."
                    if at is not None
                    else f" It holds mmu_lock {how}."
                )
    return ""


def _set(var: StateVar, thread: int) -> Test:
    return lambda scene: scene.is_set(var, thread)


def _statement(run: Run, number: int, pattern: re.Pattern[str]) -> Source | None:
    """The statement of a step that matches."""
    return next((s for s in run.cex.steps[number - 1].sources if pattern.search(s.text)), None)


def _place(at: Source | None, *, called: bool = True) -> str:
    """' at FILE:LINE in f(), called by g()': where a statement stands, and through which functions its thread came there."""
    if at is None:
        return ""
    by = "".join(f", called by {caller}()" for caller in reversed(at.callers)) if called else ""
    return f" at {PurePosixPath(at.file).name}:{at.line} in {at.function}(){by}"


TELLERS: dict[str, tuple[tuple[tuple[str, ...], Callable[..., str]], ...]] = {
    "no_stale_io_mapping": ((("iommu", "gfn", "frame", "huge"), _stale_translation), (("iommu", "region", "table"), _stale_table)),
    "atomic_hugepage_split": ((("root", "gfn", "frame"), _hole),),
    "no_stale_spte": ((("root", "gfn", "frame"), _stale_spte),),
    "flush_before_release": ((("thread",), _owed),),
    "notifier_exclusion": (((), _notifier_exclusion),),
    "reject_noncoherent_dma": ((("device",), _noncoherent),),
    "root_liveness": ((("iommu", "root"), _dead_root),),
    "kernel_assertions": (((), _assertion),),
}
"""By the name of the property: of what an instance must speak, and who tells it."""
