"""How intrinsics commute is proved here of their terms, for every size: each claim against every other intrinsic and the whole machine.

A right mover R of one thread and anything X of another one: what R and then X do, X and then R do, too. A left mover L: what X and then L
do, L and then X do. A local operation is both. Where a claim has a condition, the condition is supposed, and X must keep it. The needs of
both are supposed: every run is asked whether they hold (`kernelc.stepping`). And a right mover breaks no property, a left mover mends none:
so a state within a merged step violates nothing that the states around it do not violate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial

import pytest
import z3

from tdpcheck.core.shape import identity
from tdpcheck.core.system import Update, substitute_updates
from tdpcheck.kernelc.lowering.cfg import THREAD, THREADS
from tdpcheck.kernelc.lowering.library import Effect, Handle, Intrinsic, Ref, Value, leaves
from tdpcheck.kernelc.stepping.footprint import Footprint, footprint, of_action
from tdpcheck.model.intrinsics import LIBRARY
from tdpcheck.model.machine import cpu, cursors, device_tlb, devices, ghosts, host, iommu, locks, rcu, sorts, tables
from tdpcheck.properties import PROPERTIES as ALONE
from tdpcheck.properties import REGISTRY
from tdpcheck.tests.few import few

STATE = {v.name: v for part in (tables, host, cpu, iommu, locks, devices, cursors, ghosts, device_tlb) for v in part.STATE}
MACHINE = (*rcu.actions(), *iommu.actions(part_drops_huge=False), *cpu.actions(), *device_tlb.actions())
PROPERTIES = {name: REGISTRY[name].among(STATE) for name in ALONE}
"""With what they ask of the parts that only some scenarios have."""
ALL: Mapping[str, Intrinsic] = {
    **LIBRARY.intrinsics,
    **{f"read {i.name}": i for i in LIBRARY.fields.values()},
    **{f"write {i.name}": i for i in LIBRARY.stores.values()},
}
CACHES = ("iotlb", "psc", "dtlb")
PRIVATE = tables.PT_PRIVATE
TRUE = z3.BoolVal(True)
OTHER = THREADS.const("other_one")

GROUPS: Mapping[str, tuple[object, ...]] = {
    "spte": (
        tables.pmd_kind, tables.pmd_writable, tables.pmd_block, tables.pmd_pt, tables.pte_kind, tables.pte_writable, tables.pte_frame,
    ),
    "pool": (tables.pt_state, tables.pt_root, tables.pt_region),
    "host": (host.host_mapped, host.host_frame, host.host_huge, host.host_block, host.frame_free),
    "window": (host.window, host.inner_window, host.invalidating),
    "seq": (host.seq_stale,),
    "memslots": (host.memslot_invalid,),
    "roots": (tables.root_invalid, tables.root_exported, tables.root_ref_mmu, tables.root_ref_export),
    "noncoherent": (devices.noncoherent_registered,),
    "exported": (devices.tdp_exported,),
    "importers": (devices.importer,),
    "attached": (iommu.attached,),
}  # fmt: skip
"""The variables behind the groups that intrinsics declare; what is in none is only ever touched by what commutes, or stands alone."""

_BEHIND = {var.name: group for group, variables in GROUPS.items() for var in variables}  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Doing:
    """One thing that a thread or the machine may do, as terms over the state before it."""

    name: str
    guard: z3.BoolRef
    updates: tuple[Update, ...]
    answers: tuple[z3.ExprRef, ...] = ()
    needs: z3.BoolRef = TRUE
    when: z3.BoolRef = TRUE
    touches: Footprint = field(default_factory=Footprint)

    def after(self, other: Doing) -> Doing:
        """The same, done after `other`, in terms of the state before both."""

        def put(term: z3.ExprRef) -> z3.ExprRef:
            return substitute_updates(term, other.updates)

        return Doing(
            self.name,
            put(self.guard),
            tuple(Update(u.var, u.variables, put(u.value)) for u in self.updates),
            tuple(map(put, self.answers)),
            put(self.needs),
            put(self.when),
        )


def called(intrinsic: Intrinsic, thread: z3.ExprRef, mark: str) -> tuple[Value, ...]:
    """Arguments of which nothing is known; `mark` tells two calls apart."""

    def stand_in(ctype: object) -> Value:
        inner = ctype.to if isinstance(ctype, Ref) else ctype
        name = inner.name if isinstance(inner, Handle) else ""
        return Value(inner, {path: kind.const(f"{mark}:{path}") for path, kind in leaves(inner)}, name)  # type: ignore[arg-type]

    return tuple(Value(v.type, {p: z3.Const(f"{mark}{n}:{p}", t.sort()) for p, t in v.parts.items()}, v.name)
                 for n, v in enumerate(map(stand_in, intrinsic.params)))  # fmt: skip


def effects(intrinsic: Intrinsic, thread: z3.ExprRef, mark: str) -> tuple[Effect, ...]:
    answer = intrinsic.meaning(thread, *called(intrinsic, thread, mark))
    if isinstance(answer, Value):
        return (Effect(value=answer),)
    return (answer,) if isinstance(answer, Effect) else tuple(answer)


@cache
def doings(name: str, mark: str) -> tuple[Doing, ...]:
    """What an intrinsic may do when the thread `THREAD` (mark "a") or another one (mark "b") calls it."""
    thread = THREAD if mark == "a" else OTHER
    intrinsic = ALL[name]
    when = z3.BoolVal(True) if intrinsic.when is None else intrinsic.when(thread, *called(intrinsic, thread, mark))
    found = []
    for number, effect in enumerate(effects(intrinsic, thread, mark)):
        pairs = [(c.const, z3.Const(f"{mark}:{c.name}", c.const.sort())) for c in effect.choices]

        def put(term: z3.ExprRef, pairs: list[tuple[z3.ExprRef, z3.ExprRef]] = pairs) -> z3.ExprRef:
            return z3.substitute(term, *pairs) if pairs else term

        values = [t for v in (effect.value, *effect.refs) if v is not None for t in v.parts.values()]
        answers = tuple(map(put, (*values, *(c.holds for c in effect.checks))))
        needs = [put(need.holds) for need in effect.needs]
        updates = tuple(Update(u.var, u.variables, put(u.value)) for u in effect.updates)
        found.append(Doing(f"{name}/{number}", put(effect.guard), updates, answers, z3.And(*needs), when, touched(name)))
    return tuple(found)


@cache
def touched(name: str) -> Footprint:
    """What an intrinsic touches, computed from its terms."""
    every = effects(ALL[name], THREAD, "a")
    terms = [t for e in every for v in (e.value, *e.refs) if v is not None for t in v.parts.values()]
    terms += [e.guard for e in every] + [c.holds for e in every for c in e.checks]
    return footprint(terms, [u for e in every for u in e.updates], STATE)


@cache
def machine() -> tuple[Doing, ...]:
    return tuple(Doing(a.name, a.guard, a.updates, touches=of_action(a, STATE)) for a in MACHINE)


def arguable(name: str) -> str:
    """The class that an intrinsic claims, where the claim is not computed from what it touches; empty otherwise."""
    mover = ALL[name].mover
    if mover == "none":
        return "local" if ALL[name].when is not None else ""
    return mover


BETTER = {  # of these, what runs in the other order may have less or more: it can do all that the first order can
    "rcu_waits": "less",
    "srcu_waits": "less",
    "promised": "more",
}
ARGUED = tuple(name for name in ALL if arguable(name))


def differ(first: tuple[Update, ...], second: tuple[Update, ...], later: tuple[Update, ...], earlier: tuple[Update, ...]) -> z3.BoolRef:
    """That `first` then `second` and `earlier` then `later` end in different states, and the latter is not one that can do more."""
    one = {u.var.name: u for u in first} | {u.var.name: u for u in second}
    two = {u.var.name: u for u in earlier} | {u.var.name: u for u in later}
    parts: list[z3.BoolRef] = []
    for name in one.keys() | two.keys():
        var = STATE[name]
        at = tuple(s.const(f"cell{n}") for n, s in enumerate(var.params))
        values = [var(*at) if name not in each else _value(each[name], at) for each in (one, two)]
        match BETTER.get(name):
            case "less":
                parts.append(z3.And(values[1], z3.Not(values[0])))
            case "more":
                parts.append(z3.And(values[0], z3.Not(values[1])))
            case _:
                parts.append(values[0] != values[1])
    return z3.Or(parts)


def _value(update: Update, at: tuple[z3.ExprRef, ...]) -> z3.ExprRef:
    return z3.substitute(update.value, *zip(update.variables, at, strict=True)) if at else update.value


def supposed() -> z3.BoolRef:
    """The machine's axioms, and what the discipline of table pages (the needs) has as its consequence in every state."""
    axioms = [a for rigid in sorts.RIGIDS for a in rigid.axioms]
    elements = [tables.ENTRY.element(n) for n in range(4)]
    states = [tables.PT_STATE.element(n) for n in range(5)]
    lock = [locks.LOCK.element(n) for n in range(len(locks.LOCK.elements))]
    return z3.And(*axioms, z3.Distinct(*elements), z3.Distinct(*states), z3.Distinct(*lock), THREAD != OTHER)


def refuted(*claim: z3.BoolRef) -> bool:
    """Whether the terms contradict each other."""
    solver = z3.Solver()
    solver.set("timeout", 20_000)
    solver.add(supposed(), *claim)
    return bool(solver.check() == z3.unsat)


def kept_out(name: str, other: str) -> bool:
    """Whether locks keep the other one away: of a read that stands alone without them, its condition speaks of the machine only."""
    return ALL[name].mover == "none" and other in ALL and bool(set(ALL[name].reads) & set(ALL[other].writes))


def apart(mine: Doing, theirs: Doing) -> Iterator[z3.BoolRef]:
    """What one thread has no other one has: a page that is private, and a vCPU whose fault it handles.

    A page becomes private by its allocation and stops being so when it is linked or freed, and a vCPU's fault begins once: whoever does any
    of these to what is not its own breaks a need (`docs/merging.md`).
    """
    for one in _constants(mine, "a"):
        for other in _constants(theirs, "b"):
            if one.sort() == sorts.PT.z3 == other.sort():
                yield z3.Implies(one == other, z3.Not(tables.pt_state(one) == tables.PT_PRIVATE))
            if one.sort() == sorts.VCPU.z3 == other.sort() and not mine.name.startswith("vcpu_fault_begin"):
                yield one != other
    if theirs.name.startswith("vcpu_fault_end"):
        yield from (cpu.handles_fault(v) for v in _constants(theirs, "b") if v.sort() == sorts.VCPU.z3)


def _constants(doing: Doing, mark: str) -> list[z3.ExprRef]:
    found: dict[str, z3.ExprRef] = {}
    todo = [doing.guard, doing.needs, doing.when, *doing.answers, *(u.value for u in doing.updates)]
    seen: set[int] = set()
    while todo:
        term = todo.pop()
        if identity(term) in seen:
            continue
        seen.add(identity(term))
        if z3.is_const(term) and term.decl().name().startswith(mark) and ":" in term.decl().name():
            found[term.decl().name()] = term
        todo += term.children()
    return list(found.values())


def does_not_commute(name: str, side: str, *, locked: bool = True, met: str = "") -> list[str]:
    """What the intrinsic does not commute with, as a right or as a left mover: of everything, or of that alone whose name begins so."""
    missed = []
    others = [d for d in (*(d for other in ALL for d in doings(other, "b")), *machine()) if d.name.startswith(met)]
    for mine in doings(name, "a"):
        for theirs in others:
            if not mine.touches.disturbed_by(theirs.touches) or (locked and kept_out(name, theirs.name.split("/")[0])):
                continue
            here = (mine, theirs.after(mine)) if side == "right" else (theirs, mine.after(theirs))
            there = (theirs, mine.after(theirs)) if side == "right" else (mine, theirs.after(mine))
            happens = [*(d.guard for d in here), *(d.needs for d in here), mine.when, mine.needs, *discipline()]
            happens += [put(x) for x in apart(mine, theirs) for put in (_same, partial(substitute_updates, updates=here[0].updates))]
            wrong = [
                z3.Not(there[0].guard),
                z3.Not(there[1].guard),
                differ(here[0].updates, here[1].updates, there[1].updates, there[0].updates),
            ]
            wrong.append(z3.Not(mine.after(theirs).when))
            for one, other in ((here[0], there[1]), (here[1], there[0])):
                wrong += [x != y for x, y in zip(one.answers, other.answers, strict=True)]
            if not refuted(*happens, z3.Or(wrong)):
                missed.append(f"{mine.name} and {theirs.name}")
    return missed


def _same(term: z3.BoolRef) -> z3.BoolRef:
    return term


def discipline() -> tuple[z3.BoolRef, ...]:
    """What follows from the needs: nothing leads to a page that is private.

    Of IOMMUs that is a part of no_stale_io_mapping, without which it is violated, and nothing else reads what they fill from there.
    """
    r, root, i = sorts.r, sorts.root, sorts.i
    linked = z3.ForAll([root, r], z3.Implies(tables.pmd_kind(root, r) == tables.TABLE, tables.pt_state(tables.pmd_pt(root, r)) != PRIVATE))
    cached = z3.And(iommu.active(i), iommu.psc_valid(i, r))
    return linked, z3.ForAll([i, r], z3.Implies(cached, tables.pt_state(iommu.psc_pt(i, r)) != PRIVATE))


SIDES = {"right": ("right",), "wait": ("right",), "left": ("left",), "local": ("right", "left")}


@pytest.mark.parametrize(("name", "side"), [(n, s) for n in ARGUED for s in SIDES[arguable(n)]])
def test_a_mover_commutes_with_everything_that_others_do(name: str, side: str) -> None:
    """Each claim of `Intrinsic.mover`, with its condition, against every intrinsic and the whole machine, at every size."""
    assert does_not_commute(name, side) == []


@pytest.mark.parametrize(("wrong", "side", "meets"), [
    ("kvm_tdp_mmu_read_spte", "right", "kvm_tdp_mmu_write_spte/0"),
    ("mmu_invalidate_retry", "left", "mmu_invalidate_in_progress_add/0"),
    ("hva_to_pfn", "right", "host_unmap_and_free/0"),
    ("kvm_make_all_cpus_request", "left", "vcpu_enter"),
    ("host_unmap_and_free", "right", "hva_to_pfn/1"),
    ("kvm_tdp_fd_has_importer", "right", "importer_list_add/0"),
])  # fmt: skip
@pytest.mark.slow
def test_what_does_not_commute_is_found_out(wrong: str, side: str, meets: str) -> None:
    """The proof of the claims can fail: of what stands alone it says why."""
    assert any(meets in pair for pair in does_not_commute(wrong, side, locked=False, met=meets))


@pytest.mark.parametrize("name", few(["tdp_mmu_init_split_sp", "tdp_mmu_free_sp", "vcpu_mmu_root", "host_maps_whole"], 4))
def test_a_condition_is_needed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its condition, the claim is false."""
    bare = replace(ALL[name], when=None)
    monkeypatch.setitem(ALL, name, bare)
    doings.cache_clear()
    try:
        assert any(does_not_commute(name, side) for side in SIDES[bare.mover])
    finally:
        doings.cache_clear()


@pytest.mark.parametrize("name", ALL)
def test_a_private_page_is_led_to_by_nobody(name: str) -> None:
    """What `discipline` supposes is kept by every intrinsic that does what it needs."""
    for mine in doings(name, "a"):
        if mine.touches.changed & {"pmd_kind", "pmd_pt", "pt_state"}:
            before = discipline()[0]
            assert refuted(mine.guard, mine.needs, before, z3.Not(substitute_updates(before, mine.updates))), mine.name


@pytest.mark.parametrize("prop", PROPERTIES)
@pytest.mark.parametrize("name", [n for n in ARGUED if touched(n).changed])
def test_a_state_within_a_step_violates_nothing_of_its_own(name: str, prop: str) -> None:
    """A right mover keeps a property that holds, and a left mover one that does not: states between merged operations need no asking."""
    holds = PROPERTIES[prop].holds
    for mine in doings(name, "a"):
        after = substitute_updates(holds, mine.updates)
        for side in SIDES[arguable(name)]:
            before, then = (holds, z3.Not(after)) if side == "right" else (z3.Not(holds), after)
            if _names(holds) & mine.touches.changed:
                assert refuted(mine.guard, mine.needs, mine.when, *discipline(), before, then), (mine.name, side)


def _names(term: z3.ExprRef) -> frozenset[str]:
    touched_by = footprint((term,), (), STATE)
    return touched_by.seen


def test_only_one_property_looks_into_iotlbs() -> None:
    """That a stale paging-structure cache leads to a private page is asked of that property, and of no other.

    A 2 MiB translation comes from an entry of the root, past those caches: who zaps may ask whether an IOMMU holds one (owes_io_huge).
    """
    assert [n for n, p in PROPERTIES.items() if any(x.startswith(CACHES) for x in _names(p.holds))] == ["no_stale_io_mapping"]
    through = {n: [x for x in touched(n).seen if x.startswith(CACHES) and x != iommu.iotlb_huge.name] for n in ALL}
    assert {} == {n: seen for n, seen in through.items() if seen}


@pytest.mark.parametrize("name", [n for n, i in ALL.items() if i.mover != "none" and not i.blocks])
def test_what_has_several_ways_to_go_on_always_has_one(name: str) -> None:
    """Steps are merged past such an operation as past one that cannot block."""
    found = list(doings(name, "a"))
    if len(found) == 1 and not effects(ALL[name], THREAD, "a")[0].choices:
        return
    ways = []
    for doing, effect in zip(found, effects(ALL[name], THREAD, "a"), strict=True):
        chosen = [z3.Const(f"a:{c.name}", c.const.sort()) for c in effect.choices]
        ways.append(z3.Exists(chosen, doing.guard) if chosen else doing.guard)
    if name == "gfn_region_bounds":
        assert len(ways) == 1  # every region is an interval of a finite order, which is no statement of first order
        return
    assert refuted(z3.Not(z3.Or(ways)))


def test_declared_groups_are_those_that_the_terms_touch() -> None:
    """Reads and writes of an intrinsic are declared by groups of variables, and computed here from its meaning.

    What an allocation clears is declared by nobody: the page is free, and who uses an entry needs that its page is not.
    """
    differing = {}
    for name, intrinsic in ALL.items():
        found = touched(name)
        writes = {_BEHIND[v] for v in found.writes if v in _BEHIND} - ({"spte"} if "alloc" in name else set())
        reads = {_BEHIND[v] for v in found.seen | found.own_writes if v in _BEHIND}
        declared = set(intrinsic.reads) - {"own", "const"}
        same = declared == reads or intrinsic.mover != "none" or not declared or (writes and declared <= reads)
        if not same or writes != set(intrinsic.writes) - {"own"}:
            differing[name] = declared, set(intrinsic.writes), reads, writes

    assert differing == {}
