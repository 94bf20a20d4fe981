"""Repairs: small edits of the kernel C, in words, that a violation may call for. None is told before its verdict is in.

A recipe names a statement and what to put before it, after it or in its place. It is tried only in functions that the run executes. Who
tries it builds the edited code and asks the same question again (see `verified`): this room has no solver and no compiler of C.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from ..schema import Cex, Repair

Files = Mapping[str, str]
Check = Callable[[Files], str | None]
"""From edited files to the verdict in words if all that was asked holds with them, else None."""

TRIED, WANTED = 16, 2
"""At most so many edits are tried, and so many are told."""
FLUSH = "kvm_flush_remote_tlbs(kvm);"
UNLOCK = r"(write|read)_unlock\(&kvm->mmu_lock\);"
NOTIFY = r"kvm_flush_remote_tlbs\w*\("
IO = frozenset({"no_stale_io_mapping"})
FLUSHES = frozenset({"no_stale_io_mapping", "flush_before_release"})
DMA = frozenset({"reject_noncoherent_dma"})
ROOTS = frozenset({"root_liveness"})
STALE = frozenset({"no_stale_spte", "no_stale_io_mapping", "notifier_exclusion"})
ANY: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Recipe:
    """One repair.

    Args:
        properties: what it can repair; empty for anything.
        anchor: a statement by a regular expression that its line must match.
        code: lines of C, without indentation.
        place: where they go: 'before' or 'after' the anchor, or 'instead' of what `anchor` matches.
        needless: what stands in the function where the repair has been made already.
    """

    name: str
    sentence: str
    properties: frozenset[str]
    anchor: str
    code: tuple[str, ...]
    place: Literal["before", "after", "instead"] = "before"
    needless: str = ""


@dataclass(frozen=True)
class Edit:
    """A repair at one place: the files with it."""

    name: str
    sentence: str
    file: str
    line: int
    text: str


RECIPES = (
    Recipe(
        "wait for completion",
        "Wait until the queued invalidation is complete",
        IO,
        r"qi_submit_iotlb\w*\(",
        ("qi_wait();",),
        "after",
        r"qi_wait\(",
    ),
    Recipe("flush before unlock", "Flush before mmu_lock is dropped", FLUSHES, UNLOCK, (FLUSH,)),
    Recipe("flush before rcu_read_unlock", "Flush before the RCU read side is left", FLUSHES, r"rcu_read_unlock\(\);", (FLUSH,)),
    Recipe("flush before free", "Flush before the host frees the pages", FLUSHES, r"host_unmap_and_free\(", (FLUSH,)),
    Recipe(
        "flush the IOMMUs",
        "Flush the IOMMUs where the CPUs are flushed",
        FLUSHES,
        r"kvm_make_all_cpus_request\(kvm, KVM_REQ_TLB_FLUSH\);",
        ("kvm_tdp_fd_flush_notify(kvm);",),
        "after",
        r"kvm_tdp_fd_flush_notify",
    ),
    Recipe(
        "flush the CPUs",
        "Flush the CPUs where the IOMMUs are flushed",
        FLUSHES,
        r"kvm_tdp_fd_flush_notify(_range)?\(kvm",
        ("kvm_make_all_cpus_request(kvm, KVM_REQ_TLB_FLUSH);",),
        "before",
        r"kvm_make_all_cpus_request",
    ),
    Recipe(
        "notify before the host unmaps",
        "Begin an invalidation before the host unmaps",
        STALE,
        r"host_unmap_and_free\(start, last\);",
        ("kvm_mmu_notifier_invalidate_range_start(kvm, start, last, false);",),
        "before",
        r"kvm_mmu_notifier_invalidate_range_start",
    ),
    Recipe(
        "recheck the sequence under the lock",
        "Look again under mmu_lock whether an invalidation has overtaken the pfn, and retry",
        STALE,
        r"^\tread_lock\(&kvm->mmu_lock\);",
        ("if (mmu_invalidate_retry(kvm, fault->gfn)) {", "\tread_unlock(&kvm->mmu_lock);", "\treturn RET_PF_RETRY;", "}"),
        "after",
        r"mmu_invalidate_retry",
    ),
    Recipe(
        "read the sequence before the pfn",
        "Read the invalidation sequence before the pfn is resolved",
        STALE,
        r"hva_to_pfn\(",
        ("mmu_invalidate_seq_read(kvm);",),
        "before",
    ),
    Recipe(
        "visit invalid roots",
        "Visit invalid roots, too: somebody may still hold them",
        STALE,
        r"tdp_mmu_next_root\(kvm, &root, true\)",
        ("tdp_mmu_next_root(kvm, &root, false)",),
        "instead",
    ),
    Recipe(
        "keep the exported root",
        "Leave an exported root valid: an IOMMU points to it",
        ROOTS,
        r"root->role\.invalid = true;",
        ("if (root->exported)", "\tcontinue;"),
        "before",
        r"if \(root->exported\)",
    ),
    Recipe(
        "refuse an invalid root",
        "Refuse to export a root that is invalid",
        ROOTS,
        r"root->exported = true;",
        ("if (root->role.invalid) {", "\twrite_unlock(&kvm->mmu_lock);", "\treturn -EAGAIN;", "}"),
        "before",
        r"role\.invalid",
    ),
    Recipe(
        "do not map in an invalid root",
        "Treat a fault in an invalid root as stale, under mmu_lock",
        ROOTS,
        r"^\tread_lock\(&kvm->mmu_lock\);",
        ("if (root->role.invalid) {", "\tread_unlock(&kvm->mmu_lock);", "\treturn RET_PF_RETRY;", "}"),
        "after",
    ),
    Recipe(
        "refuse the attach",
        "Refuse to attach a device whose DMA is non-coherent",
        DMA,
        r"pasid_entry_set\(dev\);",
        ("if (!iommu_is_coherent(dev)) {", "\tnote_refused();", "\treturn -EINVAL;", "}"),
        "before",
        r"iommu_is_coherent",
    ),
    Recipe(
        "refuse the registration",
        "Refuse to register non-coherent DMA while the table is shared",
        DMA,
        r"noncoherent_dma_count_inc\(",
        ("if (kvm_tdp_is_exported(kvm)) {", "\tnote_refused();", "\twrite_unlock(&kvm->mmu_lock);", "\treturn -EBUSY;", "}"),
        "before",
        r"kvm_tdp_is_exported",
    ),
    Recipe(
        "refuse the export",
        "Refuse to share the table while non-coherent DMA is registered, under mmu_lock",
        DMA,
        r"root->exported = true;",
        ("if (kvm_arch_has_noncoherent_dma(kvm)) {", "\tnote_refused();", "\twrite_unlock(&kvm->mmu_lock);", "\treturn -EINVAL;", "}"),
    ),
    Recipe(
        "fill before linking",
        "Fill the new table before it is linked",
        frozenset({"atomic_hugepage_split"}),
        r"tdp_mmu_link_sp\(kvm, iter, sp\)",
        ("tdp_mmu_init_split_sp(sp, iter->old_spte);",),
        "before",
        r"tdp_mmu_init_split_sp",
    ),
    Recipe(
        "exchange instead of writing",
        "Exchange the entry atomically: another thread may have changed it",
        ANY,
        r"tdp_mmu_set_spte\(kvm, iter, make_nonleaf_spte\(sp\)\);",
        ("if (!tdp_mmu_set_spte_atomic(kvm, iter, make_nonleaf_spte(sp)))", "\treturn false;"),
        "instead",
        r"if \(!shared\)",
    ),
)  # fmt: skip
MOVES = (
    (
        "end the invalidation after unmapping",
        "End the invalidation only when the host has unmapped",
        r"kvm_mmu_notifier_invalidate_range_end\(kvm\);",
        r"host_unmap_and_free\(",
    ),
    (
        "attach after import",
        "Let the device walk only when the importer is on the list",
        r"kvm_domain_attach_device\(kvm, dev\);",
        r"unlock_exported_tdplist_lock\(",
    ),
    ("leave the RCU side after the flush", "Leave the RCU read side only after the flush", r"rcu_read_unlock\(\);", NOTIFY),
    ("drop the lock after the flush", "Drop mmu_lock only after the flush", UNLOCK, NOTIFY),
    (
        "open the window before the zap",
        "Begin the invalidation before the zap",
        r"kvm_tdp_mmu_unmap_gfn_range\(",
        r"mmu_invalidate_in_progress_add\(",
    ),
)
"""A statement, and the later one after which it is moved: name, sentence, which, where to."""


def verified(cex: Cex, files: Files, check: Check, before: Files | None = None) -> tuple[Repair, ...]:
    """The repairs under which everything that `check` asks holds.

    Args:
        files: the kernel C of the violation, by name.
        before: the same without the change that is being judged: taking a part of it back is a repair, too, but is tried last.
    """
    found: list[Repair] = []
    seen = {_content(files)}
    tried = 0
    for edit in (*_edits(cex, files), *_reverted(files, before or {})):
        changed = {**files, edit.file: edit.text}
        if _content(changed) in seen:
            continue
        if tried == TRIED or len(found) == WANTED or (edit.name == REVERT and found):
            break
        seen.add(_content(changed))
        tried += 1
        verdict = check(changed)
        if verdict is not None:
            diff = "".join(
                difflib.unified_diff(files[edit.file].splitlines(True), edit.text.splitlines(True), f"a/{edit.file}", f"b/{edit.file}")
            )
            found.append(Repair(edit.name, edit.sentence, f"{PurePosixPath(edit.file).name}:{edit.line}", verdict, diff))
    return tuple(found)


def _difference(edit: Edit, old: str) -> str:
    return "".join(difflib.unified_diff(old.splitlines(True), edit.text.splitlines(True), f"a/{edit.file}", f"b/{edit.file}"))


def _content(files: Files) -> tuple[str, ...]:
    return tuple(files.values())


def _executed(cex: Cex) -> tuple[tuple[str, str], ...]:
    """The functions that the run executes, with their files: those of causes first, then the latest."""
    ordered = sorted(cex.steps, key=lambda s: (s.mark != "cause", -s.number))
    return tuple(dict.fromkeys((source.file, source.function) for step in ordered for source in step.sources))


def _edits(cex: Cex, files: Files) -> Iterator[Edit]:
    places = [(file, function) for file, function in _executed(cex) if file in files]
    fitting = [r for r in RECIPES if not r.properties or cex.prop.name in r.properties]
    for name, sentence, which, after in MOVES:
        for file, function in places:
            yield from _moved(name, sentence, which, after, file, function, files[file])
    for recipe in fitting:
        for file, function in places:
            yield from applied(recipe, file, function, files[file])
    if cex.prop.name == "kernel_assertions":
        for file, function in places:
            yield from _exclusive(file, function, files[file])


def _body(text: str, function: str) -> range:
    """The lines of a function between its braces, counted from 0; an empty range if it is not there."""
    lines = text.splitlines()
    for start, line in enumerate(lines):
        if re.match(rf"^\w.*\b{function}\(", line) and not line.rstrip().endswith(";"):
            opening = next((n for n in range(start, len(lines)) if lines[n].startswith("{")), None)
            end = next((n for n in range(start, len(lines)) if lines[n].startswith("}")), None)
            if opening is not None and end is not None:
                return range(opening + 1, end)
    return range(0)


def _bare(lines: Sequence[str], place: int) -> bool:
    """Whether the statement is the whole body of an `if`, `else` or loop without braces."""
    before = lines[place - 1].strip()
    return not before.endswith((";", "{", "}", ":", "*/")) and before != ""


def applied(recipe: Recipe, file: str, function: str, text: str) -> Iterator[Edit]:
    """A recipe at each place in a function where it fits."""
    lines = text.splitlines()
    body = _body(text, function)
    if recipe.needless and any(re.search(recipe.needless, lines[n]) for n in body):
        return
    for n in body:
        line = lines[n]
        if not re.search(recipe.anchor, line):
            continue
        if recipe.place == "instead" and len(recipe.code) == 1:
            made = [*lines[:n], re.sub(recipe.anchor, recipe.code[0], line), *lines[n + 1 :]]
        elif _bare(lines, n):
            continue
        else:
            indent = line[: len(line) - len(line.lstrip())]
            code = [indent + c for c in recipe.code]
            middle = {"before": [*code, line], "after": [line, *code], "instead": code}[recipe.place]
            made = [*lines[:n], *middle, *lines[n + 1 :]]
        yield Edit(recipe.name, recipe.sentence, file, n + 1, "\n".join(made) + "\n")


def _moved(name: str, sentence: str, which: str, after: str, file: str, function: str, text: str) -> Iterator[Edit]:
    """One statement moved to after a later one; a condition that stands over that one goes before it, too."""
    lines = text.splitlines()
    body = _body(text, function)
    for n in (n for n in body if re.search(which, lines[n]) and not _bare(lines, n)):
        target = next((m for m in body if m > n and re.search(after, lines[m])), None)
        if target is not None:
            made = [*lines[:n], *lines[n + 1 : target + 1], lines[n], *lines[target + 1 :]]
            yield Edit(name, sentence, file, n + 1, "\n".join(made) + "\n")


def _exclusive(file: str, function: str, text: str) -> Iterator[Edit]:
    """mmu_lock taken for writing instead of reading in one function."""
    lines = text.splitlines()
    body = _body(text, function)
    first = next((n for n in body if "read_lock(&kvm->mmu_lock)" in lines[n]), None)
    if first is not None:
        made = [
            re.sub(r"\bread_(un)?lock\(&kvm->mmu_lock\)", r"write_\1lock(&kvm->mmu_lock)", line) if n in body else line
            for n, line in enumerate(lines)
        ]
        yield Edit(
            "take the lock exclusively",
            "Take mmu_lock for writing",
            file,
            first + 1,
            "\n".join(made) + "\n",
        )


REVERT = "take the change back"


def _reverted(files: Files, before: Files) -> Iterator[Edit]:
    """Each hunk of the change taken back by itself, then each file's whole change."""
    for name in sorted(set(files) & set(before)):
        now, then = files[name].splitlines(True), before[name].splitlines(True)
        changes = [c for c in difflib.SequenceMatcher(None, now, then, autojunk=False).get_opcodes() if c[0] != "equal"]
        for _, a, b, c, d in changes:
            text = "".join([*now[:a], *then[c:d], *now[b:]])
            yield Edit(REVERT, "Take this part of the change back", name, a + 1, text)
        if len(changes) > 1:
            yield Edit(REVERT, "Take the change of this file back", name, changes[0][1] + 1, before[name])
