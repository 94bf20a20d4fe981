"""What each lemma and each statement of the shipped kernel C protects, at small sizes.

`python -m tdpcheck.tests.properties.protection` makes the tables of docs/lemmas.md again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import z3
from msgspec.structs import replace as replace_fields

from tdpcheck.checker.arguments.sized import Missed, SizedArgument
from tdpcheck.checker.clock import Clock
from tdpcheck.core.system import Action, Property, TransitionSystem
from tdpcheck.kernelc.text import ast
from tdpcheck.kernelc.text.deletions import deletions
from tdpcheck.kernelc.text.show import show
from tdpcheck.model.parametric import parametric
from tdpcheck.model.scenario import Hardware, Scenario, Sizes, Start, Thread, shipped_scenarios
from tdpcheck.model.system import Code, own_size, parse_source, shipped_source
from tdpcheck.properties import PROPERTIES
from tdpcheck.properties.argument.book import argument
from tdpcheck.properties.kernel_assertions import kernel_assertions

PAGE = Path(__file__).parents[2] / "docs" / "lemmas.md"
LEMMAS, STATEMENTS, SILENT = (
    (f"<!-- the table of {name} begins -->\n", f"<!-- the table of {name} ends -->\n") for name in ("lemmas", "statements", "the rest")
)
SHIPPED = {name: scenario for name, scenario in shipped_scenarios().items() if scenario.design == "shared"}


@cache
def code() -> Code:
    return parse_source(shipped_source("shared"))


def _more() -> tuple[Scenario, ...]:
    """What no shipped scenario has: two regions and two roots at once, a fast zap of huge pages that are being split."""
    anywhere = Thread("notifier", "mmu_notifier_unmap_part")
    two = Sizes(regions=2, blocks=2, frames=5, pts=2)
    return (
        replace_fields(SHIPPED["partial-unmap"], name="partial-unmap-two-regions", thread=(anywhere,), geometry=two),
        replace_fields(SHIPPED["notifier-two-roots"], name="notifier-two-regions", geometry=two),
        replace_fields(SHIPPED["huge-over-table"], name="huge-over-table-two-blocks", geometry=Sizes(blocks=2, pts=1)),
        replace_fields(SHIPPED["huge-over-table"], name="huge-over-table-two-regions", geometry=two),
        replace_fields(SHIPPED["collapse-vs-fault"], name="collapse-vs-fault-two-blocks", geometry=Sizes(blocks=2)),
        Scenario(
            "fast-zap-vs-split",
            "NX huge pages are switched while the huge ones are split.",
            (
                Thread("fast_zap", "set_nx_huge_pages", {"start": "first", "last": "last"}),
                Thread("split", "kvm_mmu_slot_try_split_huge_pages"),
            ),
            {"atomic_hugepage_split": "holds"},
            geometry=Sizes(roots=2),
            hardware=Hardware(cpu=True),
            start=Start("huge", "huge"),
        ),
    )


SCENARIOS = SHIPPED | {scenario.name: scenario for scenario in _more()}


def asked_of(scenario: Scenario, system: TransitionSystem) -> tuple[Property, ...]:
    """The properties that a scenario expects to hold, and the kernel's own assertions."""
    expected = (PROPERTIES[name] for name, answer in scenario.expect.items() if answer == "holds" and name in PROPERTIES)
    return (*expected, kernel_assertions(system.by_name["assertion_failed"]))


def sized(scenario: Scenario, text: Code) -> SizedArgument:
    """The argument for what a scenario asks, at its own size."""
    model = parametric(scenario, text)
    properties = asked_of(model.scenario, model.system)
    size = own_size(model.scenario, len(model.scenario.thread))  # one thread of each role
    return SizedArgument(model.system, size, properties, argument(model, *properties), Clock())


def step(action: Action) -> str:
    """A step as the tables name it: as scenarios name theirs, or a step of the machine by its name."""
    if not action.source:
        return f"{action.actor}: {action.name}"
    return f"{action.actor}: {action.source[0].function}: {action.source[0].text}"


# Lemmas


@dataclass(frozen=True)
class Row:
    """A line of a table: without `what`, in a scenario, `breaks` fail, the first of them for example after a step."""

    what: str
    scenario: str
    breaks: tuple[str, ...]
    step: str

    def __str__(self) -> str:
        return f"| `{self.what}` | `{self.scenario}` | {', '.join(f'`{x}`' for x in self.breaks)} | `{self.step}` |\n"


ARGUED = (
    "noncoherent-attach", "share-vs-notifier", "notifier-two-roots", "notifier-two-regions", "partial-unmap-two-regions",
    "fast-zap-vs-split", "fast-zap-private", "fast-zap-huge-vs-fault", "recover-two-regions", "recover-small-pages",
    "recover-vs-notifier", "notifier-vs-iofault", "huge-over-table-two-regions",
)  # fmt: skip
"""In these, every lemma has something to say, and all but those that repeat a property are missed."""


def missing(argument_: SizedArgument) -> dict[str, list[Missed]]:
    """What breaks without each lemma, for those lemmas that lead to a property: what breaks is one, or leads there itself."""
    found = {name: list(argument_.without(name)) for name in argument_.lemmas}
    leading, before = set(argument_.properties), 0
    while len(leading) > before:
        before = len(leading)
        leading |= {name for name, each in found.items() if any(m.lemma in leading for m in each)}
    return {name: [m for m in each if m.lemma in leading] for name, each in found.items() if name in leading}


def follows(argument_: SizedArgument, lemma: str, prop: str, *given: str) -> bool:
    """Whether a lemma, which says something at this size, only says what a property says, too, where others are `given`."""
    solver = z3.Solver()
    for each in (prop, *given):
        solver.add(*argument_.parts[each])
    solver.add(z3.Not(z3.And(argument_.parts[lemma])))
    return bool(argument_.parts[lemma]) and bool(solver.check() == z3.unsat)


def lemma_rows() -> Iterator[Row]:
    """The first table: each lemma in the first scenario in which something misses it."""
    done: set[str] = set()
    for name in ARGUED:
        for lemma, each in missing(sized(SCENARIOS[name], code())).items():
            if lemma not in done:
                done.add(lemma)
                yield Row(lemma, name, tuple(m.lemma for m in each), step(each[0].action))


# Statements


def statements() -> Iterator[tuple[str, Code]]:
    """Each statement of the shipped kernel C that a scenario runs, with what is left without it, if Linux could be built of it."""
    run = {name for scenario in SHIPPED.values() for name in _runs(scenario)}
    for name, function in code().functions.items():
        if name not in run:
            continue
        seen: dict[str, int] = {}
        for leaf, left in deletions(function):
            text = f"{name}: {show(leaf)}"
            seen[text] = seen.get(text, 0) + 1
            number = f" #{seen[text]}" if seen[text] > 1 else ""
            if function.returns.base != "void" and not isinstance(left.body.statements[-1], ast.Return):
                continue  # refused: a way leads to its end without a value
            yield text + number, replace(code(), functions={**code().functions, name: left})


@cache
def _calls() -> dict[str, frozenset[str]]:
    """The functions that each function names."""
    names = {name: frozenset(re.findall(r"\w+", show(function.body))) for name, function in code().functions.items()}
    return {name: used & code().functions.keys() for name, used in names.items()}


def _runs(scenario: Scenario) -> set[str]:
    found: set[str] = set()
    todo = {thread.entry for thread in scenario.thread}
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo |= _calls()[name]
    return found


EXPLORED: dict[str, tuple[str, ...]] = {
    "memslot-delete": (
        "kvm_swap_active_memslots: memslot_set_invalid(kvm);",
        "kvm_set_memory_region: lock_slots_lock(&kvm->slots_lock);",
        "kvm_set_memory_region: kvm_swap_active_memslots(kvm);",
        "kvm_set_memory_region: kvm_mmu_zap_all_fast(kvm, start, last);",
        "kvm_faultin_pfn: return RET_PF_RETRY;",
        "kvm_set_memory_region: unlock_slots_lock(&kvm->slots_lock);",
        "kvm_tdp_mmu_zap_exported_roots: tdp_root_restart();",
        "kvm_tdp_mmu_zap_exported_roots: flush = tdp_mmu_zap_leafs(kvm, root, start, last, false, flush);",
        "kvm_mmu_zap_all_fast: kvm_tdp_mmu_zap_exported_roots(kvm, start, last);",
    ),
    "memslot-delete-vs-fault": (
        "kvm_swap_active_memslots: srcu_gp_start(&kvm->srcu);",
        "kvm_swap_active_memslots: srcu_gp_wait(&kvm->srcu);",
        "kvm_tdp_page_fault: vcpu_fault_begin(vcpu);",
    ),
    "fast-zap-vs-notifier": ("kvm_mmu_zap_all_fast: kvm_make_all_cpus_request(kvm, KVM_REQ_MMU_FREE_OBSOLETE_ROOTS);",),
    "memslot-delete-two-roots": (
        "kvm_tdp_mmu_invalidate_all_roots: root->role.invalid = true;",
        "kvm_tdp_mmu_zap_invalidated_roots: kvm_put_tdp_root(root);",
        "kvm_mmu_zap_all_fast: kvm_tdp_mmu_invalidate_all_roots(kvm);",
        "kvm_mmu_zap_all_fast: kvm_tdp_mmu_zap_invalidated_roots(kvm);",
    ),
}
"""Statements that no lemma misses, by the scenario that is violated without them.

Of the deletion of a memslot lemmas say nothing, nor of a vCPU that runs on an invalid root.
"""

UNARGUED = ("memslot-delete", "memslot-delete-vs-fault", "memslot-delete-two-roots")
"""Scenarios for which there is no argument."""

NOTHING_BREAKS: dict[str, tuple[str, ...]] = {
    **{f"no lemma misses it, and exploration does: without it, `{name}` is violated": texts for name, texts in EXPLORED.items()},
    "it lets go of something: others wait or retry for ever, or a page is lost, and nothing is promised of that": (
        "kvm_mmu_notifier_invalidate_range_start: write_unlock(&kvm->mmu_lock);",
        "kvm_mmu_notifier_invalidate_range_end: mmu_invalidate_in_progress_sub(kvm);",
        "mmu_notifier_unmap: kvm_mmu_notifier_invalidate_range_end(kvm);",
        "mmu_notifier_unmap_part: write_unlock(&kvm->mmu_lock);",
        "mmu_notifier_unmap_part: mmu_invalidate_nested_sub(kvm);",
        "mmu_notifier_unmap_part: write_unlock(&kvm->mmu_lock); #2",
        "mmu_notifier_unmap_part: kvm_mmu_notifier_invalidate_range_end(kvm);",
        "kvm_tdp_page_fault: vcpu_fault_end(vcpu);",
        "kvm_tdp_mmu_zap_invalidated_roots: tdp_root_restart();",
        "kvm_mmu_zap_all_fast: write_unlock(&kvm->mmu_lock);",
        "kvm_mmu_zap_all_fast: zap_end();",
        "tdp_mmu_iter_cond_resched: rcu_read_unlock();",
        "tdp_mmu_iter_cond_resched: read_unlock(&kvm->mmu_lock);",
        "tdp_mmu_iter_cond_resched: write_unlock(&kvm->mmu_lock);",
        "kvm_tdp_mmu_map: tdp_mmu_free_sp(sp);",
        "kvm_tdp_mmu_map: tdp_mmu_free_sp(sp); #2",
        "kvm_tdp_mmu_try_split_huge_pages: tdp_mmu_free_sp(sp);",
    ),
    "a sequence that was not read counts as read at the start: faults retry too often": ("kvm_faultin_pfn: mmu_invalidate_seq_read(kvm);",),
    "the caller does no harm with any other answer": (
        "kvm_tdp_mmu_map: return RET_PF_FIXED;",
        "tdp_mmu_map_handle_target_level: return false;",
    ),
    "a fault may as well be anywhere else": (
        "kvm_tdp_page_fault: fault.gfn = gfn;",
        "kvm_fault_exported_tdp: fault.gfn = gfn;",
    ),
    "it does the work: without it nothing is done, and nothing wrong": (
        "mmu_notifier_unmap: host_unmap_and_free(start, last);",
        "mmu_notifier_unmap_part: host_unmap_and_free(start, last);",
        "kvm_tdp_page_fault: ret = direct_page_fault(kvm, vcpu_mmu_root(vcpu), &fault);",
        "kvm_fault_exported_tdp: ret = direct_page_fault(kvm, kvm_exported_root(kvm), &fault);",
        "kvm_mmu_slot_try_split_huge_pages: kvm_tdp_mmu_try_split_huge_pages(kvm, start, last, true);",
        "kvm_mmu_try_split_huge_pages: kvm_tdp_mmu_try_split_huge_pages(kvm, start, last, false);",
        "kvm_mmu_recover_huge_pages: kvm_tdp_mmu_recover_huge_pages(kvm, start, last);",
        "kvm_set_memory_region: host_unmap_and_free(start, last);",
        "set_nx_huge_pages: kvm_mmu_zap_all_fast(kvm, start, last);",
        "kvm_mmu_zap_all: host_unmap_and_free(start, last);",
        "kvm_domain_attach_device: pasid_entry_set(dev);",
        "kvm_share_tdp: kvm_domain_attach_device(kvm, dev);",
        "tdp_mmu_split_huge_page: tdp_mmu_set_spte(kvm, iter, make_nonleaf_spte(sp));",
    ),
    "the range may as well be any other": (
        "mmu_notifier_unmap: assume(start <= last);",
        "mmu_notifier_unmap_part: assume(start <= last);",
        "kvm_mmu_slot_try_split_huge_pages: assume(start <= last);",
        "kvm_mmu_try_split_huge_pages: assume(start <= last);",
        "kvm_mmu_recover_huge_pages: assume(start <= last);",
    ),
    "it only looks whether a lock is held": (
        "kvm_tdp_mmu_invalidate_all_roots: lockdep_assert_held_write(&kvm->mmu_lock);",
        "kvm_mmu_zap_all_fast: lockdep_assert_held_slots_lock(&kvm->slots_lock);",
        "tdp_mmu_set_spte: lockdep_assert_held_write(&kvm->mmu_lock);",
        "tdp_mmu_set_spte_atomic: lockdep_assert_held_read(&kvm->mmu_lock);",
        "tdp_mmu_zap_leafs: lockdep_assert_held_write(&kvm->mmu_lock);",
        "kvm_tdp_mmu_map: lockdep_assert_held_read(&kvm->mmu_lock);",
    ),
    "it is the first walk over roots, which has visited none": ("kvm_tdp_mmu_invalidate_all_roots: tdp_root_restart();",),
    "it says what was found, for the goals of scenarios": (
        "kvm_mmu_zap_all_fast: note_fast_zap();",
        "kvm_domain_attach_device: note_refused();",
        "kvm_create_tdp_fd: note_refused();",
        "kvm_arch_register_noncoherent_dma: note_refused();",
    ),
    "the property reads this count itself: a device that is not counted is not known": (
        "kvm_arch_register_noncoherent_dma: noncoherent_dma_count_inc(kvm, dev);",
    ),
    "an old_spte of the level above never matches: nothing is exchanged": (
        "tdp_iter_read: iter->old_spte = kvm_tdp_mmu_read_spte(iter->sptep); #2",
    ),
    "a walk may leave something out or see it twice where nobody relies on it to have seen everything": (
        "tdp_iter_next: tdp_walk_visited(iter->gfn, iter->level);",
        "tdp_iter_next_leaf: tdp_walk_visited(iter->gfn, iter->level);",
        "kvm_tdp_mmu_try_split_huge_pages: tdp_root_restart();",
        "kvm_tdp_mmu_recover_huge_pages: tdp_root_restart();",
    ),
    "under the exclusive lock, only leaves are replaced: no table page is unlinked": (
        "tdp_mmu_set_spte: handle_changed_spte(kvm, iter->old_spte, new_spte, iter->level);",
    ),
    "its callers have asked whether the spte is frozen, or present, themselves": ("tdp_mmu_set_spte_atomic: return false;",),
    "one yield or one flush more does no harm": (
        "tdp_mmu_iter_cond_resched: return false;",
        "tdp_mmu_zap_leafs: flush = false;",
        "kvm_tdp_mmu_recover_huge_pages: flush = false;",
        "kvm_tdp_mmu_recover_huge_pages: flush = false; #2",
    ),
    "what is exchanged next fails or does no harm, and the fault comes again": (
        "kvm_tdp_mmu_map: goto retry; #3",
        "kvm_tdp_mmu_map: goto retry; #5",
        "kvm_tdp_mmu_map: goto retry; #7",
        "kvm_tdp_mmu_map: goto retry; #8",
    ),
    "the scenarios in which it runs have one root that counts, and any root is that one": (
        "kvm_tdp_mmu_recover_huge_pages: tdp_iter_start(&iter, root, PG_LEVEL_2M);",
    ),
}
"""Statements without which every lemma still holds, by the reason."""

TRIED = (
    "noncoherent-export", "noncoherent-attach", "mm-exit", "share-vs-fast-zap", "notifier-two-roots", "recover-two-regions",
    "eager-split-exclusive", "eager-split", "fast-zap-vs-fault", "huge-over-table", "recover-vs-notifier", "notifier-vs-iofault",
    "share-vs-notifier", "fault-split", "notifier-two-regions", "partial-unmap-two-regions", "huge-over-table-two-blocks",
    "fast-zap-vs-split", "collapse-vs-fault-two-blocks", "partial-unmap", "fast-zap-private",
)  # fmt: skip
"""Where the loss of a statement is looked for, in this order."""


def statement_rows() -> Iterator[Row]:
    """The second table: each statement in the first scenario in which something breaks without it."""
    declared = {text for texts in NOTHING_BREAKS.values() for text in texts}
    for text, left in statements():
        if text not in declared:
            row = next((row for name in tried(text) if (row := _statement_row(text, name, left)) is not None), None)
            if row is None:
                raise SystemExit(f"nothing breaks without {text}: say why in NOTHING_BREAKS, or add to TRIED where it matters")
            yield row


def tried(text: str) -> Iterator[str]:
    function = text.partition(":")[0]
    return (name for name in TRIED if function in _runs(SCENARIOS[name]))


def _statement_row(text: str, scenario: str, left: Code) -> Row | None:
    found = list(sized(SCENARIOS[scenario], left).without())
    first = next((m for m in found if m.action.source), None)
    return None if first is None else Row(text, scenario, tuple(m.lemma for m in found), step(first.action))


# The page


def rows(marks: tuple[str, str]) -> tuple[Row, ...]:
    """A table as it stands in the page."""
    lines = PAGE.read_text().partition(marks[0])[2].partition(marks[1])[0].splitlines()[2:]
    return tuple(_row(line) for line in lines)


def _row(line: str) -> Row:
    what, scenario, breaks, example = re.split(r" (?<!\\)\| ", line.removeprefix("| ").removesuffix(" |"))
    return Row(what.strip("`"), scenario.strip("`"), tuple(re.findall(r"`(\w+)`", breaks)), example.strip("`"))


def _written(page: str, marks: tuple[str, str], table: str) -> str:
    before, _, rest = page.partition(marks[0])
    return before + marks[0] + table + marks[1] + rest.partition(marks[1])[2]


def page(lemmas: Iterator[Row], statements_: Iterator[Row]) -> str:
    """The page with these tables in it."""
    text = PAGE.read_text()
    head = "| without the {} | in scenario | these fail | for example after |\n|---|---|---|---|\n"
    text = _written(text, LEMMAS, head.format("lemma") + "".join(map(str, lemmas)))
    text = _written(text, STATEMENTS, head.format("statement") + "".join(map(str, statements_)))
    return _written(text, SILENT, silent())


def silent() -> str:
    """The third table."""
    lines = (f"| `{text}` | {reason} |\n" for reason, texts in NOTHING_BREAKS.items() for text in texts)
    return "| statement | why nothing misses it |\n|---|---|\n" + "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(lemma_rows(), statement_rows()))
