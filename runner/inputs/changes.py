"""Changes: a diff applied in memory, patch by patch, or an overlay of scenarios; and which lines each touches."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ...core.errors import InputError
from ...kernelc.errors import Refusal
from ...kernelc.sources.patch import Applied, ChangedLine, Patch, apply, parse_change
from ...kernelc.text.parse import parse
from ...model.scenario import Scenario, convert_scenario
from .sources import Files, Layer


@dataclass(frozen=True)
class Version:
    """The code, or the scenarios, after so many patches.

    Args:
        name: of the change that led here from the version before; '' for what is there without one.
        subject: its title; of an overlay the path.
        overlay: fields that take the place of the scenarios' own.
    """

    files: Files
    name: str = ""
    subject: str = ""
    changed: tuple[ChangedLine, ...] = ()
    notes: tuple[str, ...] = ()
    overlay: Mapping[str, object] | None = None

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


def touched(known: Sequence[Version], number: int) -> dict[str, list[int]]:
    """The lines of a version that its own patch added or that the next one removes."""
    found = known[number].touched("added")
    if number + 1 < len(known):
        for file, lines in known[number + 1].touched("removed").items():
            found.setdefault(file, []).extend(lines)
    return found


def read_change(path: str, wanted: str = "a patch, an mbox or a TOML overlay") -> bytes:
    """The content of a file that a user names.

    Raises:
        InputError: it cannot be read.
    """
    if not path:
        raise InputError(f"an empty name stands where a file should; give {wanted}")
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; give {wanted}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give {wanted}") from None


def versions(path: str | None, files: Files) -> tuple[Version, ...]:
    """The code as it is, and after each patch of the change.

    Raises:
        InputError: a file that is no change, or one that does not apply.
        Refusal: a patch leads to a file that is no C, or to a function that cannot be read.
    """
    return (Version(files),) if path is None else versions_of(read_change(path), path, files)


def versions_of(data: bytes, name: str, files: Files) -> tuple[Version, ...]:
    """The code as it is, and after each patch of a change that was read already.

    Raises:
        InputError: it is no change, or does not apply.
        Refusal: a patch leads to a file that is no C, or to a function that cannot be read.
    """
    start = Version(files)
    if name.endswith(".toml"):
        return start, _overlay(data, name, files)
    return (start, *patched(parse_change(data, name), files))


def patched(patches: Iterable[Patch], files: Files) -> Sequence[Version]:
    """The code after each of the patches in turn."""
    result: list[Version] = []
    for number, patch in enumerate(patches, 1):
        applied = apply(patch, files)
        after = Layer(files, applied.files, applied.deleted)
        _check_c(files, after, applied)
        name = _named(patch, number, {v.name for v in result})
        result.append(Version(after, name, patch.subject, applied.changed, applied.notes))
        files = after
    return result


def _named(patch: Patch, number: int, taken: set[str]) -> str:
    """What a patch is called: its file, its subject if it has one, its number where that is not enough."""
    file = Path(patch.name).name
    name = f"{file}: {patch.subject}" if patch.subject else file
    return name if name not in taken else f"{name} ({number})"


def _check_c(before: Files, after: Files, applied: Applied) -> None:
    """Refuse C that cannot be read, whether or not a scenario calls it: nothing could be said of it.

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
    design, inside, _ = name.partition("/")
    beside = {n: files[n] for n in files if n != name and ("/" not in n or (inside and n.startswith(f"{design}/")))}
    try:
        unit = parse(files[name], name, macros=beside)
        return unit.broken | {f"{refusal.what}: {refusal.offending}": refusal for refusal in unit.strange}
    except Refusal:
        if strict:
            raise
        return None


def _overlay(data: bytes, path: str, files: Files) -> Version:
    if not data.strip():
        raise InputError(f"{path}: the file is empty; an overlay has fields of a scenario, as `[geometry]` and `iommus = 2`")
    try:
        values = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
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
