"""A flush that a run lacks, found by executing the run with one put in.

Where a stale translation is left, the flush is what the model itself does when an invalidation completes (`inv_complete`); where a thread
owes one, it is that the thread owes nothing any more. It is tried after each step from the one that takes the entry out of the table to
the one that breaks the property; the other steps stay what and where they are, and the machine rests where nothing is left to do for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...core.evaluation.evaluate import Evaluator, State
from ...model.machine.device_tlb import DINV_COMPLETE, dinv_gfn, dinv_submitted, iommu_number
from ...model.machine.ghosts import DEBTS, TABLE_DEBTS
from ...model.machine.iommu import INV_COMPLETE, domain_root, inv_gfn, inv_submitted, inv_table
from ...model.machine.tables import pt_state
from ...model.scene import Scene
from ...model.view.naming import cell, gfns, listed
from ...model.view.state_view import indices
from ..schema import Instance
from .schedule import Scheduler

OWES = frozenset(var.name for var in (*DEBTS, *TABLE_DEBTS))


_CACHED = ({"iommu", "gfn", "frame"}, {"iommu", "region", "table"}, {"device", "gfn", "frame"})
"""Of what a violation speaks that is cached: by an IOTLB, a paging-structure cache, or a device itself."""


@dataclass(frozen=True)
class Gap:
    """What would have to happen after one step and before another, both of the run, so that the property holds."""

    after: int
    before: int
    what: str


@dataclass(frozen=True)
class _Flush:
    """A flush as it is told and as it is done, and the step since which it is due."""

    what: str
    since: int
    done: Callable[[State], State]


def find(scheduler: Scheduler, violation: Sequence[Instance], scenes: Sequence[Scene], evaluator: Evaluator) -> Gap | None:
    """Where a flush would have kept the property, if it would."""
    flush = _translations(violation, scenes, evaluator) or _debts(violation, scenes, evaluator)
    depth = len(scenes) - 1
    if flush is None:
        return None
    places = [n for n in range(max(1, flush.since), depth) if scheduler.passes_with(n, flush.done)]
    # From the last such place back as far as they follow upon each other: of two windows the later one is the last chance.
    after = next((n for n in reversed(places) if n - 1 not in places), None)
    return None if after is None else Gap(after, places[-1] + 1, flush.what)


def _translations(violation: Sequence[Instance], scenes: Sequence[Scene], evaluator: Evaluator) -> _Flush | None:
    """An invalidation of all that the violation says is cached and stale; None where the table itself still leads there."""
    end = scenes[-1]
    covered: dict[int, set[int]] = {}
    forgotten: dict[int, set[int]] = {}
    since, upper = 0, False
    for found in violation:
        at = {name: int(value) for name, value in found.at.items() if not isinstance(value, str)}
        if not any(keys <= at.keys() for keys in _CACHED):
            return None
        root = end.number(domain_root, at["iommu"] if "iommu" in at else iommu_number(end, at["device"]))
        if "gfn" in at:
            led = [s.walk(root, at["gfn"]) == at["frame"] for s in scenes]
            whose, number = (covered, at["iommu"]) if "iommu" in at else (forgotten, at["device"])
            whose.setdefault(number, set()).add(at["gfn"])
        else:
            led = [s.word(pt_state, at["table"]) == "linked" for s in scenes]
            covered.setdefault(at["iommu"], set()).update(end.gfns_of(at["region"]))
            upper = True
        if led[-1]:
            return None
        since = max(since, 1 + max((n for n, holds in enumerate(led) if holds), default=-1))
    if not covered and not forgotten:
        return None
    flushes = [
        (INV_COMPLETE, covered, inv_submitted, (inv_gfn, inv_table), "IOTLB", " with non-leaf entries" if upper else ""),
        (DINV_COMPLETE, forgotten, dinv_submitted, (dinv_gfn,), "device-TLB", ""),
    ]

    def done(state: State) -> State:
        for action, whose, submitted, covers, _, _ in flushes:
            for number, numbers in whose.items():
                complete = next(a for a in evaluator.system.actions if a.name == action)
                queue = {cell(var, 0, 0, *at): False for var in (submitted, *covers) for at in indices(end, *var.params[2:])}
                asked = {cell(submitted, 0, 0, number): True, **{cell(var, 0, 0, number, g): True for var in covers for g in numbers}}
                after = evaluator.after(complete, (number, 0, 0), _with(state, evaluator, {**queue, **asked}))
                # What stands in the queue stays as it was: this flush is one more.
                state = _kept(after, state, evaluator, queue)
        return state

    named = [
        f"{'a complete ' if number == 0 else ''}{what} invalidation of {gfns(sorted(set().union(*whose.values())))}{more}"
        for number, (_, whose, _, _, what, more) in enumerate(each for each in flushes if each[1])
    ]
    return _Flush(listed(named), since, done)


def _debts(violation: Sequence[Instance], scenes: Sequence[Scene], evaluator: Evaluator) -> _Flush | None:
    """What each thread that owes a flush would have to have done."""
    end = scenes[-1]
    threads = sorted({int(i.at["thread"]) for i in violation if not isinstance(i.at.get("thread", ""), str)})
    if not threads or len(threads) != len({i.at.get("thread") for i in violation}):
        return None
    owing = [any(s.owed(t) or s.owed_tables(t) for t in threads) for s in scenes]
    since = 1 + max((n for n, owes in enumerate(owing) if not owes), default=-1)
    whom = listed([w for w in ("IOMMUs", "devices", "vCPUs") if any(w in end.owed(t) or w in end.owed_tables(t) for t in threads)])
    numbers = sorted({g for t in threads for owed in end.owed(t).values() for g in owed})
    none = {c.name: False for c in evaluator.layout.cells if c.var.name in OWES and c.index[0] in threads}
    what = f"a flush of {gfns(numbers)}" if numbers else "a flush of the table page that was unlinked"
    return _Flush(f"{what} on the {whom}", since, lambda state: _with(state, evaluator, none))


def _with(state: State, evaluator: Evaluator, values: Mapping[str, bool]) -> State:
    return tuple(int(values.get(c.name, value)) for c, value in zip(evaluator.layout.cells, state, strict=True))


def _kept(after: State, before: State, evaluator: Evaluator, names: Mapping[str, bool]) -> State:
    cells = zip(evaluator.layout.cells, after, before, strict=True)
    return tuple(old if c.name in names else new for c, new, old in cells)
