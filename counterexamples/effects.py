"""What a step does, in the words of the kernel, told from how the state changes and never from the name of the action."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from .scene import Scene, frame_name, gfns, listed, span, split_cell
from .schema import Value

PLACEHOLDER = re.compile(r"\{(\w+)\}")
Show = Callable[[int], str]
Indices = Mapping[str, Sequence[tuple[int, ...]]]
"""For each variable that changed, where it did."""

LOCKING = (
    ("mmu_writer", "write-locks mmu_lock", "write-unlocks mmu_lock"),
    ("mmu_reader", "read-locks mmu_lock", "read-unlocks mmu_lock"),
    ("rcu_reader", "enters the RCU read side", "leaves the RCU read side"),
)
"""A variable, and what it is called when it becomes true and when it becomes false."""
LOCKS, UNLOCKS, LEAVES = ("write-locks", "read-locks"), ("write-unlocks", "read-unlocks"), "leaves"


def effects(before: Scene, after: Scene, changed: Sequence[str]) -> tuple[str, ...]:
    """What a step does to tables, caches, host memory and devices; a step of locks and locals alone has none."""
    where = _by_variable(changed)
    parts = (_tables, _pages, _host, _windows, _iommu, _cpu, _roots, _devices)
    return tuple(text for part in parts for text in part(before, after, where))


def lesser_effects(before: Scene, after: Scene, changed: Sequence[str]) -> tuple[str, ...]:
    """Locks and read sides: worth a word where a step does nothing else."""
    where = _by_variable(changed)
    got: list[str] = []
    dropped: list[str] = []
    for var, taken, left in LOCKING:
        for at in where.get(var, ()):
            if after.is_set(var, *at):
                got.append(taken)
            else:
                dropped.append(left)
    return tuple(listed(said) for said in (got, dropped) if said)


def broken(assertion: str) -> str:
    """That an assertion does not hold: a WARN_ON or BUG_ON states what must not be."""
    return f"{assertion} {'fires' if re.search('WARN|BUG', assertion) else 'fails'}"


def label(template: str, arguments: Mapping[str, Value], statement: str, doing: Sequence[str], lesser: Sequence[str], seen: str) -> str:
    """What a reader should see of a step.

    Args:
        template: the action's own label.
        arguments: its parameters; one that was renamed for uniqueness (`gfn@3`) still answers to its first name.
        statement: the visible statement of C, or ''.
        doing: its effects.
        lesser: what it does to locks.
        seen: what it reads.
    """
    if doing:
        # Which lock was taken is told where an assertion asked for another.
        taken = [said for said in lesser if said.startswith(LOCKS)] if any(said.startswith("lockdep") for said in doing) else []
        return "; ".join([*taken, *doing, *(said for said in lesser if said.startswith(UNLOCKS))])
    known = {name.partition("@")[0].rpartition(".")[2]: value for name, value in arguments.items()}
    text = PLACEHOLDER.sub(lambda m: str(known.get(m[1], m[0])), template) or statement
    if "cmpxchg" in text:
        return "try_cmpxchg64() changes nothing" + (f", {seen}" if seen else "")
    if lesser and lesser[-1].startswith((*UNLOCKS, LEAVES)):
        return "; ".join([*([seen] if seen else []), *lesser])
    return seen or listed(lesser) or text


def seen(scene: Scene, template: str, reads: Sequence[str]) -> str:
    """What a step that only reads finds: the host's mapping where its label speaks of a pfn, else the first entry that it looks at."""
    where = _by_variable(reads)
    if "pfn" in template:
        found = [(g, scene.backed(g)) for (g,) in where.get("host_mapped", ())]
        return ", ".join(f"resolves the pfn of {gfns([g])}: {frame_name(f)}" for g, f in found if f is not None)
    lower = [f"reads spte {gfns([scene.gfn_at(*at)])}: {scene.lower_text(*at)}" for at in where.get("pte_kind", ())]
    upper = [f"reads {scene.upper(*at)}: {scene.upper_text(*at)}" for at in where.get("pmd_kind", ())]
    return (lower or upper or [""])[0] if len(lower) < 2 else (upper or [""])[0]


def _by_variable(cells: Sequence[str]) -> Indices:
    result: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for name in cells:
        var, index = split_cell(name)
        result[var].append(index)
    return result


def _places(where: Indices, *names: str) -> list[tuple[int, ...]]:
    """Where any of these variables changed, in order."""
    return sorted({at for name in names for at in where.get(name, ())})


def _tables(before: Scene, after: Scene, where: Indices) -> Iterator[str]:
    for at in _places(where, "pmd_kind", "pmd_block", "pmd_pt", "pmd_writable"):
        old, new = before.upper_text(*at), after.upper_text(*at)
        if old != new:
            yield f"{after.upper(*at)}: {old} -> {new}"
        elif after.word("pmd_kind", *at) == "leaf" and before.is_set("pmd_writable", *at) != after.is_set("pmd_writable", *at):
            yield f"{after.upper(*at)}: {'writable' if after.is_set('pmd_writable', *at) else 'read-only'}"
    by_table: dict[int, list[int]] = defaultdict(list)
    for table, slot in _places(where, "pte_kind", "pte_frame", "pte_writable"):
        by_table[table].append(slot)
    for table, slots in sorted(by_table.items()):
        yield from _entries(before, after, table, slots)


def _entries(before: Scene, after: Scene, table: int, slots: Sequence[int]) -> Iterator[str]:
    states = before.word("pt_state", table), after.word("pt_state", table)
    if states[1] in ("free", "private") or states == ("free", "linked"):
        leaves = [frame_name(after.number("pte_frame", table, s)) for s in after.each("Slot") if after.word("pte_kind", table, s) == "leaf"]
        if leaves:
            yield f"fills table {table}: {span(leaves)}"
        return
    if len(slots) > 1 and all(after.word("pte_kind", table, s) == "frozen" for s in slots):
        yield f"freezes the entries of table {table}"
        return
    for slot in slots:
        name = f"spte {gfns([after.gfn_at(table, slot)])}"
        if after.count("Root") > 1:
            name = f"{after.root(after.number('pt_root', table))} {name}"
        old, new = before.lower_text(table, slot), after.lower_text(table, slot)
        if old != new:
            yield f"{name}: {old} -> {new}"
        elif after.word("pte_kind", table, slot) == "leaf" and before.is_set("pte_writable", table, slot) != after.is_set(
            "pte_writable", table, slot
        ):
            yield f"{name}: {'writable' if after.is_set('pte_writable', table, slot) else 'read-only'}"


def _pages(before: Scene, after: Scene, where: Indices) -> Iterator[str]:
    entry_written = bool(where.get("pmd_kind") or where.get("pmd_pt"))
    for (table,) in where.get("pt_state", ()):
        match before.word("pt_state", table), after.word("pt_state", table):
            case _, "private":
                yield f"allocates table {table}"
            case "private", "free":
                yield f"gives the unused table {table} back"
            case "linked", "unlinked" if not entry_written:
                yield f"unlinks table {table}"
            case "linked" | "unlinked", "rcu":
                yield f"call_rcu(table {table})"
            case _, "free":
                yield f"table {table} is freed"
            case _:
                pass


def _host(before: Scene, after: Scene, where: Indices) -> Iterator[str]:
    taken = [g for (g,) in where.get("host_mapped", ()) if not after.is_set("host_mapped", g)]
    freed = [frame_name(f) for (f,) in where.get("frame_free", ()) if after.is_set("frame_free", f)]
    if taken:
        yield f"host unmaps {gfns(taken)}" + (f", frees {', '.join(freed)}" if freed else "")
    for g in sorted({g for name in ("host_mapped", "host_frame") for (g,) in where.get(name, ()) if after.is_set("host_mapped", g)}):
        yield f"host maps {gfns([g])} to {frame_name(after.number('host_frame', g))}"
    for (region,) in where.get("host_huge", ()):
        if after.is_set("host_huge", region):
            yield f"host maps region {region} huge"
        elif not taken:
            yield f"host splits its huge page of region {region}"


def _windows(before: Scene, after: Scene, where: Indices) -> Iterator[str]:
    for var, name in (("window", "invalidation of"), ("inner_window", "nested invalidation of"), ("zap_window", "zap of")):
        for begins in (True, False):
            covered = [at[-1] for at in where.get(var, ()) if after.is_set(var, *at) == begins]
            if covered:
                yield f"{name} {gfns(covered)} {'begins' if begins else 'ends'}"


def _iommu(before: Scene, after: Scene, where: Indices) -> Iterator[str]:
    several = after.count("Iommu") > 1
    done = [at for at in where.get("inv_submitted", ()) if not after.is_set("inv_submitted", *at)]
    for thread, _ in done:
        covered = [g for g in before.each("Gfn") if before.is_set("inv_gfn", thread, g)]
        whose = (
            f"{after.thread(thread)}'s " if sum(before.is_set("inv_submitted", t, done[0][1]) for t in before.each("Thread")) > 1 else ""
        )
        yield f"completes {whose}invalidation of {gfns(covered)}"
    submitted = sorted({t for t, i in where.get("inv_submitted", ()) if after.is_set("inv_submitted", t, i)})
    for thread in submitted:
        covered = [g for g in after.each("Gfn") if after.is_set("inv_gfn", thread, g)]
        yield f"queues IOTLB invalidation of {gfns(covered)}" + (" (IH: leaves only)" if after.is_set("inv_leaf_only", thread) else "")
    waited = sorted({t for t, g in where.get("inv_gfn", ()) if not after.is_set("inv_gfn", t, g) and t not in submitted})
    if waited:
        yield "its IOTLB invalidation is complete"
    for iommu, g in _places(where, "iotlb_valid", "iotlb_frame"):
        who = f"iommu {iommu} " if several and done else ""
        yield _cached(before, after, ("iotlb_valid", "iotlb_frame"), (iommu, g), f"{who}IOTLB", gfns([g]), frame_name)
    for iommu, r in _places(where, "iotlb_huge", "iotlb_block"):
        yield _cached(before, after, ("iotlb_huge", "iotlb_block"), (iommu, r), "IOTLB", f"region {r}", lambda b: f"huge {after.block(b)}")
    for iommu, r in _places(where, "psc_valid", "psc_pt"):
        yield _cached(before, after, ("psc_valid", "psc_pt"), (iommu, r), "PSC", f"region {r}", lambda p: f"table {p}")


def _cached(before: Scene, after: Scene, names: tuple[str, str], at: tuple[int, int], cache: str, tag: str, show: Show) -> str:
    valid, value = names
    if after.is_set(valid, *at):
        return f"{cache}: {tag} -> {show(after.number(value, *at))}"
    return f"{cache} drops {tag} -> {show(before.number(value, *at))}"


def _cpu(before: Scene, after: Scene, where: Indices) -> Iterator[str]:
    if any(after.is_set("flush_pending", v) for (v,) in where.get("flush_pending", ())):
        yield "KVM_REQ_TLB_FLUSH to all vCPUs"
    if any(after.is_set("reload_pending", v) for (v,) in where.get("reload_pending", ())):
        yield "KVM_REQ_MMU_FREE_OBSOLETE_ROOTS"
    for (v,) in where.get("vcpu_root", ()):
        yield f"loads root {after.number('vcpu_root', v)}"
    for (v,) in where.get("in_guest", ()):
        if after.is_set("in_guest", v):
            yield "VM entry" + (" (flushes its TLB first)" if before.is_set("flush_pending", v) else "")
        elif not where.get("flush_pending") and not where.get("reload_pending"):
            yield "VM exit"
    for v, g in _places(where, "tlb_valid", "tlb_frame"):
        if after.is_set("tlb_valid", v, g):
            yield f"TLB: {gfns([g])} -> {frame_name(after.number('tlb_frame', v, g))}"


def _roots(before: Scene, after: Scene, where: Indices) -> Iterator[str]:
    for (root,) in where.get("root_invalid", ()):
        yield f"{after.root(root)} becomes {'invalid' if after.is_set('root_invalid', root) else 'valid'}"
    for (root,) in where.get("root_exported", ()):
        yield f"{'exports' if after.is_set('root_exported', root) else 'takes back the export of'} {after.root(root)}"
    for (root,) in where.get("root_ref_mmu", ()):
        yield f"{'takes' if after.is_set('root_ref_mmu', root) else 'puts'} the MMU's reference to {after.root(root)}"
    for (root,) in where.get("root_ref_export", ()):
        if not after.is_set("root_ref_export", root):
            yield f"puts the export's reference to {after.root(root)}"


def _devices(before: Scene, after: Scene, where: Indices) -> Iterator[str]:
    for (d,) in where.get("attached", ()):
        snoops = "" if after.is_set("coherent", d) else " (non-coherent DMA)"
        yield f"{'attaches' if after.is_set('attached', d) else 'detaches'} device {d}{snoops}"
    for (d,) in where.get("noncoherent_registered", ()):
        verb = "registers" if after.is_set("noncoherent_registered", d) else "unregisters"
        yield f"{verb} non-coherent DMA of device {d}"
    if where.get("tdp_exported"):
        yield "the TDP counts as exported" if after.is_set("tdp_exported") else "the TDP is exported no more"
    if where.get("importer"):
        yield "puts the importer on the list" if after.is_set("importer") else "takes the importer off the list"
    for (number,) in where.get("assertion_failed", ()):
        yield broken(after.named("Assertion", number))
