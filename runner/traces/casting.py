"""The scenarios in which a window of a trace is looked for, and what each step of their models would show of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ...checker.states.moves import Moves
from ...core.evaluation.evaluate import Evaluator, Move, State
from ...model.machine import host, tables
from ...model.machine.sorts import FRAME
from ...model.scenario import Hardware, Scenario, Sizes, Start, Thread
from ...model.system import Code, Model, build
from ...traces.windows import FAULT, FROZEN, LEAF, NONE, NOTIFIER, PART, SPLIT, TABLE, Window

ENTRIES = {
    NOTIFIER: "mmu_notifier_unmap",
    PART: "mmu_notifier_unmap_part",
    FAULT: "kvm_tdp_page_fault",
    SPLIT: "kvm_mmu_slot_try_split_huge_pages",
}
"""The function at which each role of a window enters."""
CALLS = {
    "mmu_invalidate_seq_read": "seq",
    "hva_to_pfn": "pfn",
    "mmu_invalidate_in_progress_add": "begin",
    "mmu_invalidate_in_progress_sub": "sub",
    "mmu_invalidate_nested_add": "nested begin",
    "mmu_invalidate_nested_sub": "nested sub",
    "kvm_make_all_cpus_request": "flush",
    "write_lock": "lock",
    "write_unlock": "unlock",
}
"""Operations of the model that a trace shows, and the word for each."""
WRITES = frozenset(("try_cmpxchg64", "kvm_tdp_mmu_write_spte", "kvm_tdp_mmu_write_spte_atomic", "xchg"))
YIELD = "tdp_mmu_iter_cond_resched"
"""Where a walk lets others in, which it may do at other pages, too: nobody sees at which."""
PAGE = 0
"""The gfn of the model that stands for the page of a window; the other one stands for all others of its region."""
_KINDS = (NONE, FROZEN, LEAF, TABLE)
_Host = Literal["pages", "huge"]
_HELD: dict[tuple[str, str], Literal["nothing", "huge", "some", "tables"]] = {
    (NONE, NONE): "nothing",
    (LEAF, NONE): "huge",
    (TABLE, LEAF): "some",
    (TABLE, NONE): "tables",
}
"""What the tables of a scenario hold at its start, by what a walk to the page finds."""


@dataclass(frozen=True)
class Cast:
    """What must be the same for two windows to be looked for in one model."""

    start: tuple[str, str]
    threads: tuple[tuple[str, bool, bool], ...]
    hosts: tuple[_Host, ...]


def cast_of(window: Window) -> Cast:
    """The cast of a window. What the host maps nobody sees: a huge page of it matters only where a 2 MiB leaf is seen."""
    if window.start.upper == LEAF:
        hosts: tuple[_Host, ...] = ("huge",)
    elif window.huge or any(m.role == PART for m in window.members):
        hosts = ("huge", "pages")
    else:
        hosts = ("pages",)
    return Cast((window.start.upper, window.start.lower), tuple((m.role, m.own, m.rest) for m in window.members), hosts)


def scenarios_of(cast: Cast, design: str) -> Iterator[Scenario]:
    """The scenarios, one for each state of the host."""
    held = _HELD.get(cast.start)
    if held is None:
        return
    vcpus = sum(role == FAULT for role, _, _ in cast.threads)
    for mapped in cast.hosts:
        threads = []
        vcpu = 0
        for number, (role, own, rest) in enumerate(cast.threads):
            args: dict[str, int | bool | str] = {"start": 0 if own else 1, "last": 1 if rest else 0}
            if role == FAULT:
                args = {"gfn": 0 if own else 1, "vcpu": vcpu}
                vcpu += 1
            threads.append(Thread(f"{role}{number}", ENTRIES[role], args))
        sizes = Sizes(frames=4, pts=1 if held in ("some", "tables") else 2, vcpus=max(1, vcpus))
        yield Scenario(
            f"trace-{held}-{mapped}",
            "What a running kernel did.",
            tuple(threads),
            {"kernel_assertions": "holds"},
            design=design,
            geometry=sizes,
            hardware=Hardware(cpu=False, iommu=False),
            start=Start(tables=held, host=mapped, exported=(), attached=False),
            matrix=True,
        )


@dataclass(frozen=True)
class Shown:
    """What a step shows: whose it is, the word, and of a write what a walk finds before and after it."""

    thread: int
    what: str
    before: tuple[str, str] = ("", "")
    after: tuple[str, str] = ("", "")


class Stage:
    """One model, with what its steps show.

    Args:
        model: in which no steps are merged.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.evaluator = Evaluator(model.system, model.geometry)
        self.moves = Moves(self.evaluator)
        layout = self.evaluator.layout
        self._upper = layout.offset[tables.pmd_kind.name]
        self._block = layout.offset[tables.pmd_block.name]
        self._pt = layout.offset[tables.pmd_pt.name]
        self._lower = layout.offset[tables.pte_kind.name]
        self._frame = layout.offset[tables.pte_frame.name]
        self._free = layout.offset[host.frame_free.name]
        self.frames = model.geometry.sizes[FRAME.name]
        self._slots = model.geometry.sizes["Slot"]
        self._calls = {name: self._call(name) for name in model.software.steps}
        self._known: dict[State, tuple[tuple[Shown | None, State], ...]] = {}
        self._writers: dict[str, frozenset[int]] = {}
        self._gives_up = {name: self._up(name) for name in model.software.steps}

    @cached_property
    def starts(self) -> tuple[State, ...]:
        return tuple(self.evaluator.initial())

    def steps(self, state: State) -> tuple[tuple[Shown | None, State], ...]:
        """What each step shows that is possible in a state, and where it leads; remembered, for windows are alike."""
        known = self._known.get(state)
        if known is None:
            made = []
            for move in self.moves.enabled(state):
                after = move.apply(state)
                made.append((self.shown(move, state, after), after))
            known = self._known[state] = tuple(made)
        return known

    def view(self, state: State) -> tuple[str, str, int | None]:
        """What a walk to the page finds: the two entries, and the frame."""
        upper = _KINDS[state[self._upper]]
        if upper == LEAF:
            return LEAF, NONE, state[self._block] * self._slots
        if upper != TABLE:
            return upper, NONE, None
        at = state[self._pt] * self._slots
        lower = _KINDS[state[self._lower + at]]
        return TABLE, lower, state[self._frame + at] if lower == LEAF else None

    def is_free(self, state: State, frame: int) -> bool:
        return bool(state[self._free + frame])

    def shown(self, move: Move, before: State, after: State) -> Shown | None:
        """What a step shows; None if a trace would not have it."""
        name = move.action.name
        if name not in self._calls:
            return None
        thread = move.arguments[0]
        old, new = self.view(before), self.view(after)
        if old != new:
            return Shown(thread, "write", old[:2], new[:2])
        call = self._calls[name]
        if call:
            return Shown(thread, call)
        return Shown(thread, "stale") if self._gives_up[name] else None

    def _call(self, name: str) -> str:
        step = self.model.software.steps[name]
        nodes = self.model.software.graphs[step.role].nodes
        for number in step.nodes:
            word = CALLS.get(getattr(nodes[number], "name", ""))
            if word and not (word in ("lock", "unlock") and YIELD in (nodes[number].stack or ())):
                return word
        return ""

    def _up(self, name: str) -> bool:
        """Whether a fault can write before this step, and not after it, though it does not write in it."""
        step = self.model.software.steps[name]
        if not step.role.startswith(FAULT):
            return False
        nodes = self.model.software.graphs[step.role].nodes
        if any(getattr(nodes[number], "name", "") in WRITES for number in step.nodes):
            return False
        inside = any("is_page_fault_stale" in (nodes[number].stack or ()) for number in step.nodes)
        return inside and step.end not in self._writing(step.role)

    def _writing(self, role: str) -> frozenset[int]:
        """The nodes from which a step that writes can still come."""
        known = self._writers.get(role)
        if known is None:
            nodes = self.model.software.graphs[role].nodes
            steps = [each for each in self.model.software.steps.values() if each.role == role]
            found = {s.start for s in steps if any(getattr(nodes[n], "name", "") in WRITES for n in s.nodes)}
            while True:
                more = {s.start for s in steps if s.end in found} - found
                if not more:
                    break
                found |= more
            known = self._writers[role] = frozenset(found)
        return known


def stages_of(cast: Cast, design: str, code: Callable[[Scenario], Code]) -> tuple[Stage, ...]:
    """The models in which a window of that cast is looked for."""
    return tuple(Stage(build(scenario, code(scenario), merge=False)) for scenario in scenarios_of(cast, design))


__all__ = ["Cast", "Shown", "Stage", "cast_of", "stages_of"]
