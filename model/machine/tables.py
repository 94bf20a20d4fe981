"""The shared page table: entries, level-1 table pages, roots, and how both walkers read them.

Two levels: a root's entry per region is empty, frozen (REMOVED_SPTE), a huge leaf, or points to a level-1 table page; that
page's entry per slot is empty, frozen or a leaf. Source: arch/x86/kvm/mmu/spte.h and tdp_mmu.c, Linux 6.1 to 6.7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum

import z3

from ...core.sorts import Sort, StateVar
from ...core.system import Update, bool_var
from ...kernelc.lowering.cfg import THREADS
from ..view.naming import frame_name, gfns, pairs, span
from ..view.roles import TABLE_BOX, Entries, Flags, Mark, Telling, Thing, Translation, cells_of
from ..view.state_view import At, Changed, View
from .host import backing, translated
from .sorts import (
    BLOCK,
    FRAME,
    GFN,
    PT,
    REGION,
    ROOT,
    SLOT,
    block_name,
    frames_of,
    gfns_in,
    p,
    part,
    region_at,
    region_name,
    region_of,
    root,
    root_name,
    slot_at,
    slot_of,
    table_name,
)

ENTRY = Sort("EntryKind", ("none", "frozen", "leaf", "table"))
NONE, FROZEN, LEAF, TABLE = (ENTRY.element(x) for x in ENTRY.elements)
PT_STATE = Sort("PtState", ("free", "private", "linked", "unlinked", "rcu"))
PT_FREE, PT_PRIVATE, PT_LINKED, PT_UNLINKED, PT_RCU = (PT_STATE.element(x) for x in PT_STATE.elements)

pmd_kind = StateVar("pmd_kind", (ROOT, REGION), ENTRY, "what the level-2 entry is")
pmd_writable = bool_var("pmd_writable", ROOT, REGION, doc="bit 1 of a huge leaf")
pmd_block = StateVar("pmd_block", (ROOT, REGION), BLOCK, "the huge page that a huge leaf maps")
pmd_pt = StateVar("pmd_pt", (ROOT, REGION), PT, "the level-1 table that a non-leaf entry points to")
pte_kind = StateVar("pte_kind", (PT, SLOT), ENTRY, "what the level-1 entry is: never table")
pte_writable = bool_var("pte_writable", PT, SLOT, doc="bit 1 of a leaf")
pte_frame = StateVar("pte_frame", (PT, SLOT), FRAME, "the frame that a leaf maps")
pt_state = StateVar(
    "pt_state", (PT,), PT_STATE, "free, private to its allocator, linked, unlinked and awaiting call_rcu(), or awaiting a grace period"
)
pt_root = StateVar("pt_root", (PT,), ROOT, "the root that the page was linked under last")
pt_region = StateVar("pt_region", (PT,), REGION, "sp->gfn: the region that the page was made for")
rcu_reader = bool_var("rcu_reader", THREADS, doc="the thread is inside rcu_read_lock()")
rcu_waits = bool_var("rcu_waits", PT, THREADS, doc="call_rcu(): the grace period of this page still waits for that reader")
root_invalid = bool_var("root_invalid", ROOT, doc="role.invalid")
root_exported = bool_var("root_exported", ROOT, doc="exported to an IOMMU through a KVM TDP fd")
root_ref_mmu = bool_var("root_ref_mmu", ROOT, doc="the reference that the TDP MMU itself holds until the root is invalidated")
root_ref_export = bool_var("root_ref_export", ROOT, doc="the reference that an exported TDP fd holds")

STATE = (
    pmd_kind, pmd_writable, pmd_block, pmd_pt, pte_kind, pte_writable, pte_frame, pt_state, pt_root, pt_region,
    rcu_reader, rcu_waits, root_invalid, root_exported, root_ref_mmu, root_ref_export,
)  # fmt: skip
SORTS = (ENTRY, PT_STATE)


def walks(table: z3.ExprRef, gfn: z3.ExprRef) -> z3.BoolRef:
    """Whether a walk from root `table` ends in a leaf for `gfn`: EPT's and VT-d's second-stage walk agree on these entries."""
    at = (table, region_of(gfn))
    return z3.Or(pmd_kind(*at) == LEAF, z3.And(pmd_kind(*at) == TABLE, pte_kind(pmd_pt(*at), slot_of(gfn)) == LEAF))


def walk_frame(table: z3.ExprRef, gfn: z3.ExprRef) -> z3.ExprRef:
    """The frame at which that walk ends; meaningless where `walks` does not hold."""
    at = (table, region_of(gfn))
    return z3.If(pmd_kind(*at) == LEAF, part(pmd_block(*at), slot_of(gfn)), pte_frame(pmd_pt(*at), slot_of(gfn)))


def same_walk(table: z3.ExprRef, gfn: z3.ExprRef, frame: z3.ExprRef) -> z3.BoolRef:
    """Whether the walk succeeds and ends at `frame`."""
    return z3.And(walks(table, gfn), walk_frame(table, gfn) == frame)


class Mapped(StrEnum):
    """What the tables hold at the start of a scenario."""

    NOTHING = "nothing"
    HUGE = "huge"
    PAGES = "pages"
    SOME = "some"
    TABLES = "tables"


def holds(table: z3.ExprRef, roots: int) -> z3.BoolRef:
    """Whether `table` is one of the first `roots` roots."""
    return z3.Or([table == ROOT.element(n) for n in range(roots)])


def initial(mapped: Mapped, exported: frozenset[int], roots: int, regions: int, slots: int) -> list[Update]:
    """Initial values: `huge` maps every region by a huge leaf, `pages` by a table of leaves, `some` by one
    whose last entry is empty, `tables` links empty tables.

    Host frames are handed out as `host.initial` does: region n's gfns map to block n, so both forms translate alike. Roots beyond
    the first get tables of their own: page `root * regions + region`. `roots` counts those that hold it; others are empty.
    """
    xs = pmd_kind.variables()
    table_here = [
        (z3.And(xs[0] == ROOT.element(a), xs[1] == REGION.element(b)), a * regions + b) for a in range(roots) for b in range(regions)
    ]
    held = holds(xs[0], roots)
    tables = mapped in (Mapped.PAGES, Mapped.SOME, Mapped.TABLES)
    kind = {Mapped.NOTHING: NONE, Mapped.HUGE: LEAF}.get(mapped, TABLE)
    pt_of: z3.ExprRef = PT.element(0)
    if tables:
        for condition, number in table_here:
            pt_of = z3.If(condition, PT.element(number), pt_of)
    block_of: z3.ExprRef = BLOCK.element(0)
    if mapped is Mapped.HUGE:
        for n in range(regions):
            block_of = z3.If(xs[1] == REGION.element(n), BLOCK.element(n), block_of)
    linked = z3.Or([p == PT.element(n) for _, n in table_here]) if tables else z3.BoolVal(False)
    return [
        Update(pmd_kind, xs, z3.If(held, kind, NONE)),
        Update(pmd_writable, xs, z3.And(held, z3.BoolVal(mapped is Mapped.HUGE))),
        Update(pmd_block, xs, block_of),
        Update(pmd_pt, xs, pt_of),
        *_initial_leaves(mapped, tables, roots, regions, slots),
        Update(pt_state, (p,), z3.If(linked, PT_LINKED, PT_FREE)),
        *(
            Update(
                var,
                (p,),
                _choose(
                    [(p == PT.element(a * regions + b), sort.element((a, b)[which])) for a in range(roots) for b in range(regions)], sort
                ),
            )
            if tables
            else Update(var, (p,), sort.element(0))
            for which, (var, sort) in enumerate(((pt_root, ROOT), (pt_region, REGION)))
        ),
        *(Update(var, var.variables(), z3.BoolVal(False)) for var in (rcu_reader, rcu_waits, root_invalid)),
        *(
            Update(var, (root,), z3.Or([root == ROOT.element(n) for n in sorted(exported)]) if exported else z3.BoolVal(False))
            for var in (root_exported, root_ref_export)
        ),
        Update(root_ref_mmu, (root,), z3.BoolVal(True)),
    ]


def _choose(cases: list[tuple[z3.BoolRef, z3.ExprRef]], sort: Sort) -> z3.ExprRef:
    result: z3.ExprRef = sort.element(0)
    for condition, value in cases:
        result = z3.If(condition, value, result)
    return result


def _initial_leaves(mapped: Mapped, tables: bool, roots: int, regions: int, slots: int) -> list[Update]:
    xs = pte_kind.variables()
    cases = []
    if mapped in (Mapped.PAGES, Mapped.SOME):
        for a in range(roots):
            for b in range(regions):
                for c in range(slots - (mapped is Mapped.SOME)):
                    cases.append((z3.And(xs[0] == PT.element(a * regions + b), xs[1] == SLOT.element(c)), FRAME.element(b * slots + c)))
    present = z3.Or([condition for condition, _ in cases]) if cases else z3.BoolVal(False)
    return [
        Update(pte_kind, xs, z3.If(present, LEAF, NONE)),
        Update(pte_writable, xs, present),
        Update(pte_frame, xs, _choose(cases, FRAME)),
    ]


# How they are told

PRESENT, WRITABLE, HUGE, REMOVED = "SPTE_MMU_PRESENT_MASK", "PT_WRITABLE_MASK", "PT_PAGE_SIZE_MASK", "REMOVED_SPTE"
"""The kernel's names for what an SPTE has set."""
PAGE_TABLES = "page tables"
FREED = frozenset(("free", "unlinked", "rcu"))
"""States of a table page in which no walk that begins now comes by."""
READABLE = frozenset(("linked", "unlinked", "rcu"))
"""States of a table page in which it still is one."""


def gfn_at(view: View, table: int, slot: int) -> int:
    """The gfn that an entry of a table page translates, by the region that the page was made for."""
    return next((n for n in gfns_in(view, view.number(pt_region, table)) if slot_at(view, n) == slot), slot)


def walked(view: View, table: int, gfn: int) -> int | None:
    """The frame at which a walk from root `table` ends in a state, or None where it finds no leaf."""
    at = (table, region_at(view, gfn))
    match view.word(pmd_kind, *at):
        case "leaf":
            return frames_of(view, view.number(pmd_block, *at))[slot_at(view, gfn)]
        case "table":
            below = (view.number(pmd_pt, *at), slot_at(view, gfn))
            return view.number(pte_frame, *below) if view.word(pte_kind, *below) == "leaf" else None
        case _:
            return None


def _flags(kind: str, value: str, writable: bool, *, huge: bool = False) -> Flags:
    """The bits of an SPTE that the model has; nothing for an empty one."""
    match kind:
        case "leaf":
            return (PRESENT, *((WRITABLE,) if writable else ()), *((HUGE,) if huge else ()), f"pfn {value}")
        case "table":
            return (PRESENT, value)
        case "frozen":
            return (REMOVED,)
        case _:
            return ()


def _short(flags: Flags) -> str:
    """An SPTE in the width of a row."""
    value = " ".join(x.removeprefix("pfn ") for x in flags if x not in (PRESENT, WRITABLE, HUGE))
    return f"{value}{' W' if WRITABLE in flags else ''}{' PS' if HUGE in flags else ''}" or "0"


def _upper_value(view: View, at: At) -> str:
    leaf = view.word(pmd_kind, *at) == "leaf"
    return block_name(view, view.number(pmd_block, *at)) if leaf else table_name(view, view.number(pmd_pt, *at))


def _upper_said(view: View, at: At) -> str:
    match view.word(pmd_kind, *at):
        case "leaf":
            return f"huge {_upper_value(view, at)}"
        case "table":
            return _upper_value(view, at)
        case other:
            return other


def _upper_flags(view: View, at: At) -> Flags:
    return _flags(view.word(pmd_kind, *at), _upper_value(view, at), view.is_set(pmd_writable, *at), huge=True)


def _upper_maps(view: View, at: At) -> tuple[Translation, ...]:
    if view.word(pmd_kind, *at) != "leaf":
        return ()
    found = zip(gfns_in(view, at[1]), frames_of(view, view.number(pmd_block, *at)), strict=True)
    return tuple(translated(view, gfn, frame) for gfn, frame in found)


def _of_root(view: View, number: int) -> str:
    """Which root it is, where there are several."""
    return root_name(view, number) if view.count(ROOT) > 1 else ""


def upper_name(view: View, at: At) -> str:
    """A level-2 entry by its name."""
    return f"{_of_root(view, at[0])} pmd {region_name(at[1])}".lstrip()


def _lower_said(view: View, at: At) -> str:
    kind = view.word(pte_kind, *at)
    return frame_name(view.number(pte_frame, *at)) if kind == "leaf" else kind


def _lower_flags(view: View, at: At) -> Flags:
    return _flags(view.word(pte_kind, *at), frame_name(view.number(pte_frame, *at)), view.is_set(pte_writable, *at))


def _lower_maps(view: View, at: At) -> tuple[Translation, ...]:
    if view.word(pte_kind, *at) != "leaf":
        return ()
    found = translated(view, gfn_at(view, *at), view.number(pte_frame, *at))
    # What a page that no walk comes by maps is not stale: nobody reads it.
    return (found if view.word(pt_state, at[0]) == "linked" else Translation(found.gfn, found.frame, False),)


def _spte(view: View, at: At) -> str:
    return f"spte {gfns([gfn_at(view, *at)])}"


UPPER = Entries(
    level=2,
    sorts=(ROOT, REGION),
    key="pmd",
    group=PAGE_TABLES,
    indent=1,
    owner="root",
    kind=pmd_kind,
    variables=(pmd_kind, pmd_block, pmd_pt, pmd_writable),
    below=lambda view, at: table_name(view, view.number(pmd_pt, *at)) if view.word(pmd_kind, *at) == "table" else None,
    maps=_upper_maps,
    live=lambda view, at: True,
    root=lambda view, at: at[0],
    gfns=lambda view, at: gfns_in(view, at[1]),
    called=upper_name,
    name=lambda view, at: f"{', '.join(x for x in (_of_root(view, at[0]), region_name(at[1])) if x)} (level 2)",
    place=lambda view, at: region_name(at[1]),
    row=lambda view, at: region_name(at[1]),
    said=_upper_said,
    flags=_upper_flags,
    short=lambda view, at: _short(_upper_flags(view, at)),
)
LOWER = Entries(
    level=1,
    sorts=(PT, SLOT),
    key="spte",
    group=PAGE_TABLES,
    indent=2,
    owner="table",
    kind=pte_kind,
    variables=(pte_kind, pte_frame, pte_writable),
    below=lambda view, at: None,
    maps=_lower_maps,
    live=lambda view, at: view.word(pt_state, at[0]) == "linked",
    root=lambda view, at: view.number(pt_root, at[0]),
    gfns=lambda view, at: (gfn_at(view, *at),),
    called=_spte,
    name=_spte,
    place=lambda view, at: gfns([gfn_at(view, *at)]),
    row=lambda view, at: f"spte gfn {gfn_at(view, *at)}",
    said=_lower_said,
    flags=_lower_flags,
    short=lambda view, at: _short(_lower_flags(view, at)),
)


def _words(before: View, after: View, changed: Changed) -> Iterator[str]:
    for at in changed.places(*UPPER.variables):
        yield from _rewritten(UPPER, upper_name(after, at), before, after, at, pmd_writable)
    by_table: dict[int, list[int]] = {}
    for table, slot in changed.places(*LOWER.variables):
        by_table.setdefault(table, []).append(slot)
    for table, slots in sorted(by_table.items()):
        yield from _page_words(before, after, table, slots)
    yield from _state_words(before, after, changed)


def _rewritten(entries: Entries, name: str, before: View, after: View, at: At, writable: StateVar) -> Iterator[str]:
    old, new = entries.said(before, at), entries.said(after, at)
    if old != new:
        yield f"{name}: {old} -> {new}"
    elif after.word(entries.kind, *at) == "leaf" and before.is_set(writable, *at) != after.is_set(writable, *at):
        yield f"{name}: {'writable' if after.is_set(writable, *at) else 'read-only'}"


def _page_words(before: View, after: View, table: int, slots: Sequence[int]) -> Iterator[str]:
    states = before.word(pt_state, table), after.word(pt_state, table)
    if states[1] in ("free", "private") or states == ("free", "linked"):
        leaves = [frame_name(after.number(pte_frame, table, n)) for n in after.each(SLOT) if after.word(pte_kind, table, n) == "leaf"]
        if leaves:
            yield f"fills {table_name(after, table)}: {span(leaves)}"
        return
    if len(slots) > 1 and all(after.word(pte_kind, table, n) == "frozen" for n in slots):
        yield f"freezes the entries of {table_name(after, table)}"
        return
    for slot in slots:
        name = f"{_of_root(after, after.number(pt_root, table))} {_spte(after, (table, slot))}".lstrip()
        yield from _rewritten(LOWER, name, before, after, (table, slot), pte_writable)


def _state_words(before: View, after: View, changed: Changed) -> Iterator[str]:
    entry_written = bool(changed.at(pmd_kind) or changed.at(pmd_pt))
    for (table,) in changed.at(pt_state):
        name = table_name(after, table)
        match before.word(pt_state, table), after.word(pt_state, table):
            case _, "private":
                yield f"allocates {name}"
            case "private", "free":
                yield f"gives the unused {name} back"
            case "linked", "unlinked" if not entry_written:
                yield f"unlinks {name}"
            case "linked" | "unlinked", "rcu":
                yield f"call_rcu({name})"
            case _, "free":
                yield f"{name} is freed"
            case _:
                pass


def _start(view: View) -> Iterator[str]:
    for number in view.each(ROOT):
        exported = ", exported," if view.is_set(root_exported, number) else ""
        invalid = " (invalid)" if view.is_set(root_invalid, number) else ""
        found = [(n, frame) for n in view.each(GFN) if (frame := walked(view, number, n)) is not None]
        yield f"{root_name(view, number)}{exported}{invalid} maps {pairs(found)}"
    backed = [(n, frame) for n in view.each(GFN) if (frame := backing(view, n)) is not None]
    unmapped = [(n, frame) for n, frame in backed if frame not in [walked(view, number, n) for number in view.each(ROOT)]]
    if unmapped:
        yield f"the host backs {pairs(unmapped)}"


def _doing(words: Mapping[str, str]) -> Callable[[View, At], str]:
    """What a table page is doing, in these words where they differ from the state's own."""
    return lambda view, at: words.get(state := view.word(pt_state, *at), state)


_at_length, _in_short = _doing({"rcu": "unlinked, waits for RCU"}), _doing({"rcu": "waits for RCU"})
BLUE = "#e3f2fd"
_MARKS = (
    Mark(
        root_invalid,
        table="invalid",
        note="invalid",
        attribute="invalid",
        on="root {0} becomes invalid",
        off="root {0} becomes valid",
    ),
    Mark(
        root_exported,
        table="exported",
        note="exported",
        attribute="exported",
        on="exports root {0}",
        off="takes back the export of root {0}",
    ),
    Mark(
        root_ref_mmu,
        table="reference of the MMU",
        on="takes the MMU's reference to root {0}",
        off="puts the MMU's reference to root {0}",
    ),
    Mark(root_ref_export, table="reference of the export", off="puts the export's reference to root {0}"),
)
ROOTS = Thing(
    "root",
    (ROOT,),
    TABLE_BOX,
    PAGE_TABLES,
    BLUE,
    marks=_MARKS,
    label=lambda view, at: root_name(view, *at),
    noted=cells_of(root_invalid, root_exported),
    notes=lambda view, at: (),  # a picture puts them into the heading of the root's entries
    headline=lambda view, at: ", ".join(x for mark in _MARKS if (x := mark.noted(view, at))),
)
TABLES = Thing(
    "table",
    (PT,),
    TABLE_BOX,
    PAGE_TABLES,
    BLUE,
    indent=1,
    touched=cells_of(pt_state),
    noted=cells_of(pt_state),
    arising=cells_of(pt_state),
    notes=lambda view, at: (),
    label=lambda view, at: f"{table_name(view, *at)} ({_in_short(view, at)})",
    flags=lambda view, at: (_at_length(view, at),),
    headline=_at_length,
    present=lambda view, at: view.word(pt_state, *at) != "free",
    attributes=lambda view, at: {"state": view.word(pt_state, *at)},
    state=pt_state,
    gone=FREED,
)
ROOTS_TOLD = Telling(
    things=(ROOTS,),
    entries=(UPPER,),
    effects=lambda before, after, changed: (w for mark in _MARKS for w in mark.words(after, changed)),
    start=_start,
    order=0,
    rank=4,
)
TOLD = Telling(
    things=(TABLES,),
    entries=(LOWER,),
    effects=_words,
    acted_on={
        ("tables", "page table"): (
            *UPPER.variables, *LOWER.variables, pt_state, pt_root, pt_region, root_invalid, root_exported, root_ref_mmu, root_ref_export,
        )
    },
    order=1,
    rank=0,
)  # fmt: skip
