"""A patch applied to files in memory: where its hunks belong, and what became of every line.

A hunk applies only where its old lines stand exactly as given. It may have moved; that is reported, never guessed at silently.
A file is found by its path, never by its base name; one that is not among the files given is *outside*, and the rest is applied.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ...core.errors import InputError
from ..errors import shorten
from .patch import PREFIX, FileChange, Hunk, Patch, split_lines

HOME = "model/kernel"
"""Where the files of our kernel C stand in this project: a path that ends with this folder and a file's name means that file."""
_LINUX = ("arch/", "drivers/", "include/", "mm/", "virt/")
_SEARCH_LIMIT = 2_000_000


@dataclass(frozen=True, slots=True)
class ChangedLine:
    """A line that a patch adds or removes.

    `line` counts in the new file for an added line, in the old file for a removed one. `near` is a line of the new file: the
    same for an added line; for a removed one the first line after the place where it stood, else the last; 0 if there is none.
    """

    file: str
    kind: Literal["added", "removed"]
    line: int
    text: str
    near: int


@dataclass(frozen=True, slots=True)
class Outside:
    """What a patch does to a file that is not among those given: why it is not, and its lines, by the patch's own numbers.

    Args:
        each: the reason of each line, where more is known of it.
    """

    path: str
    why: str
    lines: tuple[ChangedLine, ...]
    each: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of a patch: new texts of the touched files, names of deleted ones, each changed line, remarks, what is outside.

    Args:
        elsewhere: new texts of files that are outside, of those that could be looked up.
    """

    files: Mapping[str, str]
    deleted: tuple[str, ...]
    changed: tuple[ChangedLine, ...]
    notes: tuple[str, ...]
    outside: tuple[Outside, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)


def apply(patch: Patch, files: Mapping[str, str], homes: Collection[str] = ()) -> Applied:
    """Apply a patch to files in memory.

    Args:
        patch: the change.
        files: path to content. A path in the patch means the file of that very path, with or without the `a/` and `b/` of git (or
            two other names of the two sides, as `diff -r old new` writes them), or below `model/kernel/` wherever that stands. A file
            that is not listed and can be looked up (one of a kernel tree) is outside, but the patch has to fit it.
        homes: folders of these files that may stand anywhere: a path means `home/file` if it ends so.

    Returns:
        What is new; `files` itself is left as it is.

    Raises:
        InputError: the patch does not fit: a hunk does not apply, one change names two files, or it is none that can be applied.
    """
    touched: dict[str, str] = {}
    deleted: list[str] = []
    changed: list[ChangedLine] = []
    notes: list[str] = []
    outside: list[Outside] = []
    elsewhere: dict[str, str] = {}
    names = frozenset(files)
    for change in patch.files:
        now = (names | touched.keys()) - frozenset(deleted)
        key = _target(patch, change, now, homes)
        if key is None:
            outside.append(_elsewhere(patch, change, files, elsewhere) or _outside(change, now))
            continue
        if change.odd:
            raise InputError(change.odd)
        before = touched[key] if key in touched else files[key] if key in now else ""
        if change.old is None and before:
            where = f"{patch.name}:{change.at}: the patch creates {key}"
            raise InputError(f"{where}, but this file exists; make the patch against the present files")
        after, lines, remarks = _applied(patch, change, key, before)
        # A patch may speak of a file again, as two diffs that somebody joined do: then it goes on from what it made of it.
        earlier = [line for line in changed if line.file == key]
        changed = [line for line in changed if line.file != key] + _composed(earlier, lines, before, after)
        notes.extend(remarks)
        if change.new is None:
            if after:
                where = f"{patch.name}:{change.at}: deleting {key}"
                raise InputError(f"{where} leaves text in it; make the patch against this version of the file")
            touched.pop(key, None)
            deleted.append(key)
        else:
            touched[key] = after
            deleted = [name for name in deleted if name != key]
    return Applied(touched, tuple(deleted), tuple(changed), tuple(notes), tuple(outside), elsewhere)


def _elsewhere(patch: Patch, change: FileChange, files: Mapping[str, str], texts: dict[str, str]) -> Outside | None:
    """What a change does to a file that is not listed but can be looked up; its new text goes into `texts`. None if there is no such file.

    Raises:
        InputError: it does not fit that file.
    """
    if change.old is None or change.new is None or change.odd:
        return None
    key = next((path for path in _stripped(change.new, change.old) if path in texts or path in files), None)
    if key is None:
        return None
    texts[key], lines, _ = _applied(patch, change, key, texts[key] if key in texts else files[key])
    return Outside(key, f"no function of {key} is lifted", tuple(line for line in lines if line.text.strip()))


def _target(patch: Patch, change: FileChange, names: frozenset[str], homes: Collection[str]) -> str | None:
    """The name of the file that a change speaks of; None if it is none of these, and would be none of them."""
    where = f"{patch.name}:{change.at}"
    new, old = (_meant(path, other, names, homes) for path, other in ((change.new, change.old), (change.old, change.new)))
    if change.old is None:
        return new or _beside(change, names, homes)
    if new is not None and old is not None and new != old:
        raise InputError(f"{where}: this change names two files, {old} and {new}; give each its own change")
    if old is not None and new is None and change.new is not None and not _scratch(change.new, change.old):
        raise InputError(f"{where}: this change names two files, {old} and {change.path}; give each its own change")
    return new or old


def _meant(path: str | None, other: str | None, names: frozenset[str], homes: Collection[str]) -> str | None:
    """The file among these that a path means; `other` is that of the other side."""
    if path is None:
        return None
    for written in _stripped(path, other):
        if written in names:
            return written
        home, inside, name = written.rpartition(f"{HOME}/")
        if inside and name in names and (not home or home.endswith("/")):
            return name
        own = _at_home(written, homes)
        if own in names:
            return own
    return None


def _stripped(path: str, other: str | None) -> Iterator[str]:
    """A path as written and, where its first part tells the two sides of a diff apart, without that."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        return
    yield "/".join(parts)
    theirs = [part for part in (other or "").split("/") if part not in ("", ".")]
    if len(parts) > 1 and (PREFIX.match(path) or (parts[1:] == theirs[1:] and parts[0] != theirs[0])):
        yield "/".join(parts[1:])


def _beside(change: FileChange, names: frozenset[str], homes: Collection[str]) -> str | None:
    """The name of a file that a change creates, if it is C and stands beside one of these."""
    folders = {name.rpartition("/")[0] for name in names}
    for written in _stripped(change.new or "", None):
        for name in (written.rpartition(f"{HOME}/")[2], written, _at_home(written, homes)):
            if name.endswith((".c", ".h")) and name.rpartition("/")[0] in folders:
                return name
    return None


def _at_home(written: str, homes: Collection[str]) -> str:
    """The end of a path that names a file of one of these folders; '' if there is none."""
    end = "/".join(written.split("/")[-2:])
    return end if end.partition("/")[0] in homes and "/" in end else ""


def _scratch(new: str, old: str) -> bool:
    """Whether the new path is that of a working copy: `f.c.new` beside the old file, or in no repository at all."""
    return new.startswith("/") or PREFIX.sub("", new).startswith(PREFIX.sub("", old))


def _outside(change: FileChange, names: frozenset[str]) -> Outside:
    lines: list[ChangedLine] = []
    for hunk in change.hunks:
        lines += _changes(change.path, hunk, hunk.old_start - 1, hunk.new_start - 1)
    why = f"no file {change.path} is modelled"
    if change.path.startswith(_LINUX) and not any(name.startswith(_LINUX) for name in names):
        why += "; if it is a file of Linux, give the tree with --kernel DIR: then functions of the tree itself are checked"
    elif change.odd:
        why += f" ({change.odd.partition(change.path)[2].partition(';')[0].strip()})"
    said = [line for line in lines if line.text.strip()]
    return Outside(change.path, why, tuple(said) or (ChangedLine(change.path, "added", 0, "", 0),))


def _applied(patch: Patch, change: FileChange, key: str, text: str) -> tuple[str, list[ChangedLine], list[str]]:
    old = split_lines(text)
    new: list[str] = []
    changed: list[ChangedLine] = []
    notes: list[str] = []
    used, offset = 0, 0
    for number, hunk in enumerate(change.hunks, 1):
        place = _place(patch, key, hunk, old, used, offset)
        shift = place - _stated(hunk)
        if shift != 0:
            moved = f"{abs(shift)} line{'s' * (abs(shift) > 1)} {'below' if shift > 0 else 'above'} its place, at line {place + 1}"
            notes.append(f"{patch.name}:{hunk.at}: hunk {number} of {key} applies {moved}")
        offset = shift
        new.extend(old[used:place])
        changed.extend(_changes(key, hunk, place, len(new)))
        new.extend(hunk.new)
        used = place + len(hunk.old)
    new.extend(old[used:])
    return "".join(new), [_within(line, len(new)) for line in changed], notes


def _stated(hunk: Hunk) -> int:
    """Return the index (from 0) of the old line at which the hunk says it begins; without old lines it names the one before."""
    return hunk.old_start - 1 if hunk.old else hunk.old_start


def _place(patch: Patch, key: str, hunk: Hunk, old: Sequence[str], used: int, offset: int) -> int:
    """Find the index in `old` where the hunk applies, at or after `used`; the nearest to where it should be."""
    wanted, needle = _stated(hunk) + offset, list(hunk.old)
    where = f"{patch.name}:{hunk.at}: hunk for {key}"
    if not needle:
        if old:
            raise InputError(f"{where} has no context, so its place cannot be checked; make the diff with context (`diff -u`, `git diff`)")
        return 0
    starts = range(used, len(old) - len(needle) + 1)
    found = [start for start in starts if old[start] == needle[0] and old[start : start + len(needle)] == needle]
    if not found:
        raise InputError(f"{where} does not apply: {_mismatch(hunk, old, used, max(wanted, used))}")
    found.sort(key=lambda start: (abs(start - wanted), start))
    if len(found) > 1 and abs(found[0] - wanted) == abs(found[1] - wanted):
        both = f"line {found[0] + 1} as at line {found[1] + 1}"
        raise InputError(f"{where} fits as well at {both}; give it more context, or the right line number")
    return found[0]


def _mismatch(hunk: Hunk, old: Sequence[str], used: int, wanted: int) -> str:
    """Say what the hunk expects and what the file has, at the place where most of the hunk fits."""
    needle = [line for line in hunk.lines if line.kind != "+"]
    if _contains(old, hunk.new) and hunk.new != hunk.old:
        return "the file already has the lines that it makes; the change seems to be applied already"

    def fits(start: int) -> int:
        return sum(1 for line, have in zip(needle, old[start : start + len(needle)], strict=False) if line.text == have)

    stated = max(0, min(wanted, len(old)))
    nearby = range(used, max(len(old), used + 1)) if len(old) * len(needle) < _SEARCH_LIMIT else range(stated, stated + 1)
    start = max(nearby, key=lambda at: (fits(at), -abs(at - wanted)))
    if not fits(start):
        start = stated
    for index, line in enumerate(needle):
        have = old[start + index] if start + index < len(old) else None
        if have == line.text:
            continue
        found = "the file ends there" if have is None else f"the file has `{_visible(have, line.text)}`"
        expects = f"line {line.at} of the patch expects `{_visible(line.text, have or '')}` at line {start + index + 1}"
        return f"{expects}, but {found}; {_hint(line.text, have)}"
    return "its lines are there, but before an earlier hunk of the same file; put the hunks in the order of the file"


def _contains(lines: Sequence[str], part: Sequence[str]) -> bool:
    return bool(part) and any(list(lines[start : start + len(part)]) == list(part) for start in range(len(lines) - len(part) + 1))


def _visible(text: str, other: str) -> str:
    """Show a line; if it differs from the other only in white space, show the white space."""
    if text.split() == other.split():
        return text.replace("\t", "\\t").replace("\r", "\\r").replace("\n", "") + ("" if text.endswith("\n") else "\\ no newline")
    return shorten(text)


def _hint(expected: str, have: str | None) -> str:
    if have is not None and expected.rstrip("\r\n") == have.rstrip("\r\n"):
        return "only the line end differs: convert the line ends of the patch or the file, or mend the end of the file"
    if have is not None and expected.split() == have.split():
        return "only white space differs: get the patch unchanged by mail programs and editors"
    return "make the patch against this version of the file"


def _changes(key: str, hunk: Hunk, old_index: int, new_index: int) -> Iterator[ChangedLine]:
    for line in hunk.lines:
        text = line.text.rstrip("\r\n")
        if line.kind == "+":
            yield ChangedLine(key, "added", new_index + 1, text, new_index + 1)
        elif line.kind == "-":
            yield ChangedLine(key, "removed", old_index + 1, text, new_index + 1)
        old_index += line.kind != "+"
        new_index += line.kind != "-"


def _composed(first: Sequence[ChangedLine], second: Sequence[ChangedLine], between: str, after: str) -> list[ChangedLine]:
    """The lines of two changes of a file, one upon the other, as those of one change; what the second takes back is in neither."""
    if not first:
        return list(second)
    added, removed = (sorted(line.line for line in first if line.kind == kind) for kind in ("added", "removed"))
    inserted, gone = (sorted(line.line for line in second if line.kind == kind) for kind in ("added", "removed"))
    length, last = len(split_lines(between)), len(split_lines(after))
    found: list[ChangedLine] = []
    for line in first:
        if line.kind == "added" and line.line in gone:
            continue
        near = next((n for n in range(max(line.near, 1), length + 1) if n not in gone), 0)
        near = _moved(near, gone, inserted) if near else last
        found.append(replace(line, line=near, near=near) if line.kind == "added" else replace(line, near=near))
    for line in second:
        if line.kind == "added":
            found.append(line)
        elif line.line not in added:
            found.append(replace(line, line=_moved(line.line, added, removed)))
    return found


def _moved(line: int, left_out: Sequence[int], put_in: Sequence[int]) -> int:
    """Where a line that stays stands, in a file without some lines and with others; both are sorted, and count each in its own file."""
    number = line - bisect_left(left_out, line)
    for other in put_in:
        number += other <= number
    return number


def _within(line: ChangedLine, length: int) -> ChangedLine:
    """Move `near` of a line removed at the end of the file to the last line that is left."""
    return line if line.near <= length else ChangedLine(line.file, line.kind, line.line, line.text, length)
