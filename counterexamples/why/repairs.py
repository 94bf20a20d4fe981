"""Repairs: small edits of the kernel C, in words, that a violation may call for. None is told before its verdict is in.

What each property proposes stands with it (`properties/`); moves of a statement are the same for all of them and stand here.

A recipe names a statement and what to put before it, after it or in its place. It is tried only in functions that the run executes. Who
tries it builds the edited code and asks the same question again (see `verified`): this room has no solver and no compiler of C.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ...properties import REGISTRY
from ...properties.repairs import ANYTHING, UNLOCK, Recipe
from ..schema import Cex, Repair

Files = Mapping[str, str]
Check = Callable[[Files], str | None]
"""From edited files to the verdict in words if all that was asked holds with them, else None."""

TRIED, WANTED = 16, 2
"""At most so many edits are tried, and so many are told."""
NOTIFY = r"kvm_flush_remote_tlbs\w*\("


@dataclass(frozen=True)
class Edit:
    """A repair at one place: the files with it."""

    name: str
    sentence: str
    file: str
    line: int
    text: str


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
    known = REGISTRY.get(cex.prop.name)
    fitting = (*(known.repairs if known is not None else ()), *ANYTHING)
    for name, sentence, which, after in MOVES:
        for file, function in places:
            yield from _moved(name, sentence, which, after, file, function, files[file])
    for recipe in fitting:
        for file, function in places:
            yield from applied(recipe, file, function, files[file])
    if known is not None and known.wants_lock:
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
