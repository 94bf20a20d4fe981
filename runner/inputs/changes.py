"""Changes: a diff applied in memory, patch by patch, or an overlay of scenarios; and which lines each touches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from ...core.errors import InputError
from ...core.stored.files import MOST, read_given
from ...core.stored.tomlfile import toml_of
from ...kernelc.errors import Refusal
from ...kernelc.sources.apply import Applied, ChangedLine, Outside, apply
from ...kernelc.sources.lines import alignments
from ...kernelc.sources.patch import Patch, Posted, Unread, parse_series, unified
from ...kernelc.text.parse import parse
from ...kernelc.text.spans import functions_at, says_something
from ...model.lift.versions import config_of, is_lifted, macros_beside
from ...model.scenario import Scenario, convert_scenario
from .sources import Files, Layer, from_outside

_DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)


@dataclass(frozen=True)
class Version:
    """The code, or the scenarios, after so many patches.

    Args:
        name: of the change that led here from the version before; '' for what is there without one.
        subject: its title; of an overlay the path.
        overlay: fields that take the place of the scenarios' own.
        outside: what the change does to files that are not modelled.
        posted: the mail that its patch came in, if it came in one.
        diff: its patch, as a unified diff.
        given: the name and the content of the file that this is read from, whole: the patches before and after it are in it, too.
    """

    files: Files
    name: str = ""
    subject: str = ""
    changed: tuple[ChangedLine, ...] = ()
    notes: tuple[str, ...] = ()
    overlay: Mapping[str, object] | None = None
    outside: tuple[Outside, ...] = ()
    posted: Posted | None = None
    diff: str = ""
    given: tuple[str, bytes] | None = None

    def scenario(self, scenario: Scenario) -> Scenario:
        """A scenario as it reads in this version."""
        return scenario if self.overlay is None else overlaid(scenario, self.overlay, self.subject)

    def touched(self, kind: str) -> dict[str, list[int]]:
        """The lines that were added, or removed, by file."""
        found: dict[str, list[int]] = {}
        for line in self.changed:
            if line.kind == kind:
                found.setdefault(line.file, []).append(line.line)
        return found


@dataclass(frozen=True)
class NotUnderstood:
    """A patch of a series that cannot be answered: `place` is the number of versions before it."""

    name: str
    subject: str
    why: str
    place: int


@dataclass(frozen=True)
class Series:
    """A change read patch by patch: the code as it is and after each patch that is understood, and those that are not."""

    versions: tuple[Version, ...]
    refused: tuple[NotUnderstood, ...] = ()

    def whole(self) -> tuple[Version, ...]:
        """The versions, where every patch is needed.

        Raises:
            InputError: one is not understood.
        """
        if self.refused:
            raise InputError(self.refused[0].why)
        return self.versions


def touched(known: Sequence[Version], number: int) -> dict[str, list[float]]:
    """The lines of a version that its own patch added or that the next one removes, and the places where one took or puts lines.

    Such a place is between two lines, half a line before the second: what stands before a function touches it on neither side of a change.
    """
    found: dict[str, set[float]] = {}
    for line in known[number].changed:
        found.setdefault(line.file, set()).add(line.line if line.kind == "added" else line.near - 0.5)
    if number + 1 < len(known):
        following = known[number + 1].changed
        sides = alignments(following)
        for line in following:
            place = line.line if line.kind == "removed" else sides[line.file].place_before(line.line) - 0.5
            found.setdefault(line.file, set()).add(place)
    names = {name for after in (number, number + 1) if 0 < after < len(known) for name in macros(known[after - 1], known[after])}
    for file, numbers in uses(known[number].files, names).items():
        found.setdefault(file, set()).update(numbers)
    return {file: sorted(lines) for file, lines in found.items()}


def macros(before: Version, after: Version) -> frozenset[str]:
    """The names of macros that a change alters: what changes there changes wherever they are used."""
    found: set[str] = set()
    for version, lines in ((before, after.touched("removed")), (after, after.touched("added"))):
        for file, numbers in lines.items():
            text = version.files.get(file, "")
            for match in _DEFINE.finditer(text):
                first = text.count("\n", 0, match.start()) + 1
                if any(first <= n <= first + match.group().count("\n") for n in numbers):
                    found.add(match.group(1))
    return frozenset(found)


def uses(files: Files, names: Iterable[str]) -> dict[str, set[int]]:
    """The lines on which one of these names stands."""
    wanted = "|".join(map(re.escape, sorted(names)))
    if not wanted:
        return {}
    used = re.compile(rf"\b(?:{wanted})\b")
    return {file: {n for n, line in enumerate(files[file].split("\n"), 1) if used.search(line)} for file in files}


def read_change(path: str, wanted: str = "a patch, an mbox, a TOML overlay or a name of the museum") -> bytes:
    """The content of a file that a user names.

    Raises:
        InputError: it cannot be read.
    """
    if not path:
        raise InputError(f"an empty name stands where a file should; give {wanted}")
    return read_given(path, MOST["change"], f"give {wanted}")


def versions(path: str | None, files: Files) -> tuple[Version, ...]:
    """The code as it is, and after each patch of the change.

    Raises:
        InputError: a file that is no change, or one that does not apply, or leads to a file that is no C.
    """
    return (Version(files),) if path is None else series_of(read_change(path), path, files).whole()


def series_of(data: bytes, name: str, files: Files) -> Series:
    """The code as it is, and after each patch that is understood of a change that was read already.

    Raises:
        InputError: it is no change, or one of which nothing is understood.
    """
    start = Version(files)
    if name.endswith(".toml"):
        return Series((start, replace(_overlay(data, name, files), given=(name, data))))
    after = read_patches(parse_series(data, name), files)
    if after.refused and not after.versions:
        raise InputError(after.refused[0].why)
    return Series((start, *(replace(version, given=(name, data)) for version in after.versions)), after.refused)


def patched(patches: Iterable[Patch], files: Files) -> Sequence[Version]:
    """The code after each of the patches in turn.

    Raises:
        InputError: one that does not apply, or leads to a file that is no C.
    """
    return read_patches(patches, files).whole()


def read_patches(patches: Iterable[Patch | Unread], files: Files) -> Series:
    """The code after each of the patches that is understood; one that is not is left out, and those after it say so."""
    found: list[Version] = []
    refused: list[NotUnderstood] = []
    homes = from_outside(files)
    for number, patch in enumerate(patches, 1):
        name = _named(patch, number, {v.name for v in found} | {r.name for r in refused})
        without = ", ".join(_short(r) for r in refused)
        try:
            if isinstance(patch, Unread):
                raise InputError(patch.why)
            applied = apply(patch, files, homes)
            after = Layer(files, applied.files, applied.deleted, applied.elsewhere)
            _check_c(files, after, applied)
            outside = tuple(_placed(found, files, after) for found in applied.outside)
        except (InputError, Refusal) as error:
            left = f" (without {without}, which is not understood)" if without else ""
            refused.append(NotUnderstood(name, patch.subject, f"{error}{left}", len(found)))
            continue
        notes: tuple[str, ...] = (f"checked on code without {without}, which is not understood",) if without else ()
        named = f"{name} (without {without})" if without else name
        notes += applied.notes
        found.append(
            Version(after, named, patch.subject, applied.changed, notes, outside=outside, posted=patch.posted, diff=unified(patch))
        )
        files = after
    return Series(tuple(found), tuple(refused))


def _short(refused: NotUnderstood) -> str:
    """A patch by its number in the series, or else by its title."""
    number, inside, _ = refused.subject.partition("]")
    return f"{number}]" if inside and number.startswith("[") else refused.subject or refused.name


def _named(patch: Patch | Unread, number: int, taken: set[str]) -> str:
    """What a patch is called: its file, its subject if it has one, its number where that is not enough."""
    file = Path(patch.name).name
    name = f"{file}: {patch.subject}" if patch.subject else file
    return name if name not in taken else f"{name} ({number})"


def _placed(outside: Outside, before: Files, after: Files) -> Outside:
    """What is outside, with the function of each line where that can be told, and without lines that say nothing."""
    sides = {kind: files for kind, files in (("removed", before), ("added", after)) if outside.path in files}
    spans = {kind: functions_at(files[outside.path], outside.path) for kind, files in sides.items()}
    saying = {kind: says_something(files[outside.path], outside.path) for kind, files in sides.items()}
    said = [line for line in outside.lines if line.line in saying.get(line.kind, (line.line,))]
    each = []
    for line in said:
        name = next((n for n, first, last in spans.get(line.kind, ()) if first <= line.line <= last), "")
        each.append(f"it is in {name}(), and {outside.why}" if name else outside.why)
    return replace(outside, lines=tuple(said), each=tuple(each))


def _check_c(before: Files, after: Files, applied: Applied) -> None:
    """Refuse C that cannot be read, whether or not a scenario calls it: nothing could be said of it.

    Of a kernel tree, a function that cannot be read is not modelled, and the rest is: so is most of the tree itself.

    Raises:
        Refusal: with the place and the text.
    """
    for name in applied.files:
        if not name.endswith((".c", ".h")):
            continue
        if not after[name].strip():
            raise InputError(f"{name}: the change leaves this file empty; delete the file in the patch, or leave a function in it")
        known = _broken(before, name) if name in before else {}
        if known is None:
            continue  # we could not read the file as it was, so no line of it is in any model
        for function, refusal in (_broken(after, name, strict=True) or {}).items():
            if function not in known:
                raise refusal


def _broken(files: Files, name: str, *, strict: bool = False) -> Mapping[str, Exception] | None:
    """What of a file cannot be read (the loop macros of the files beside it are known): functions by name; None if nothing of it can be."""
    lifted = is_lifted(files)
    try:
        unit = parse(files[name], name, macros=macros_beside(files, name), config=config_of(files))
        strange = {f"{refusal.what}: {refusal.offending}": refusal for refusal in unit.strange}
        return strange if lifted else unit.broken | strange
    except Refusal:
        if strict:
            raise
        return None


def _overlay(data: bytes, path: str, files: Files) -> Version:
    if not data.strip():
        raise InputError(f"{path}: the file is empty; an overlay has fields of a scenario, as `[geometry]` and `iommus = 2`")
    try:
        values = toml_of(data.decode(), path)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a TOML file: {error}") from error
    for name in ("name", "expect"):
        if name in values:
            raise InputError(f"{path}: an overlay cannot change `{name}` of a scenario; leave it out, or write a scenario")
    return Version(files, Path(path).name, path, overlay=values)


def overlaid(scenario: Scenario, overlay: Mapping[str, object], where: str) -> Scenario:
    """A scenario with the fields of an overlay in place of its own; tables are merged, all else is replaced.

    Raises:
        InputError: the result is no scenario.
    """
    values = msgspec.to_builtins(scenario)
    for name, value in overlay.items():
        old = values.get(name)
        values[name] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return convert_scenario(values, f"{where} over {scenario.name}")
