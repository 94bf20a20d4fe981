"""Designs from outside of the package: folders of kernel C that override functions of the shipped one, and the scenarios beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from ...core.errors import InputError
from ...core.stored.files import MOST, read_given
from ...kernelc.errors import Refusal
from ...kernelc.text.parse import parse
from ...model.scenario import SHARED, Scenario, read_scenario
from ...model.system import designs as shipped_designs
from ...model.system import shipped_source
from ..names import unknown

_WANTED = "give a folder with kernel C (*.c), or one whose folders hold some"
_C = (".c", ".h")


@dataclass(frozen=True)
class Design:
    """What a folder holds that a user names.

    Args:
        path: of the folder, as it was given.
        names: of the designs in it: the folder's own name, or those of the folders in it.
        files: their kernel C, each as `design/file.c`; a function that it defines takes the place of the shipped one.
        scenarios: those in the folder, by name.
    """

    path: str
    names: tuple[str, ...]
    files: Mapping[str, str]
    scenarios: Mapping[str, Scenario]

    @property
    def only(self) -> str:
        """The name of the design where there is one alone: what runs if a scenario names none; else ''."""
        return self.names[0] if len(self.names) == 1 else ""

    def over(self, scenario: Scenario) -> Scenario:
        """A scenario of the shipped kernel C, with this design in its place; any other as it is.

        Raises:
            InputError: it runs another design, or several could be meant.
        """
        if scenario.design in self.names:
            return scenario
        if scenario.design == SHARED and self.only:
            return replace(scenario, design=self.only)
        have = ", ".join(self.names)
        if scenario.design == SHARED:
            why = f"{self.path} holds the designs {have}; name one in the scenario (`design = ...`), or give the folder of one"
            raise InputError(f"scenario {scenario.name} names no design, and {why}")
        raise InputError(f"scenario {scenario.name} runs the design {scenario.design!r}, which is not in {self.path} (there: {have})")

    def check(self, names: Iterable[str]) -> None:
        """Refuse kernel C of these designs that cannot be read, whether or not a scenario calls it.

        Raises:
            Refusal: with the place and the text.
        """
        for design in dict.fromkeys(names):
            own = {name: text for name, text in self.files.items() if name.partition("/")[0] == design}
            beside = {**shipped_source(SHARED).files, **own}
            homes: dict[str, str] = {}
            for name, text in own.items():
                unit = parse(text, name, macros={n: t for n, t in beside.items() if n != name})
                refusals = [*unit.strange, *(error for error in unit.broken.values() if isinstance(error, Refusal))]
                for refusal in refusals:
                    raise refusal
                for function in unit.functions:
                    if function in homes:
                        first, second = homes[function], str(unit.functions[function].at)
                        raise InputError(f"{second}: {function} is defined at {first}, too; one design defines a function once")
                    homes[function] = str(unit.functions[function].at)


def design_given(path: str | os.PathLike[str] | None) -> Design | None:
    """The design, or the designs, in a folder that a user names.

    A folder with C files is one design, called like the folder. One without any holds designs: each folder in it that has C files.
    Every `*.toml` in these folders is a scenario; one that names no design runs the one beside which it stands.

    Raises:
        InputError: there is no such folder, it holds no kernel C, or a file in it cannot be used.
    """
    if path is None:
        return None
    given = os.fspath(path)
    if not given:
        raise InputError(f"an empty name stands where a folder should; {_WANTED}")
    folder = Path(given)
    inside = _entries(folder, given)
    if any(_is_c(entry) for entry in inside):
        homes = [folder]
    else:
        homes = [entry for entry in inside if entry.is_dir() and not entry.name.startswith(".") and any(map(_is_c, _listed(entry)))]
    if not homes:
        raise InputError(f"{given}: there is no kernel C in this folder; {_WANTED}")
    names = tuple(_name(home, given) for home in homes)
    files: dict[str, str] = {}
    for name, home in zip(names, homes, strict=True):
        files |= {f"{name}/{entry.name}": _c(entry) for entry in _listed(home) if _is_c(entry)}
    scenarios: dict[str, Scenario] = {}
    places = [(folder, names[0] if len(names) == 1 and homes == [folder] else SHARED)]
    places += [(home, name) for name, home in zip(names, homes, strict=True) if home != folder]
    for place, default in places:
        for entry in _listed(place):
            if entry.suffix == ".toml" and not entry.name.startswith("."):
                scenario = scenario_in(str(entry), default)
                if scenario.name in scenarios:
                    raise InputError(f"{entry}: another scenario in {given} is called {scenario.name!r}, too; give each its own name")
                scenarios[scenario.name] = scenario
    return Design(given, names, files, scenarios)


def scenario_in(path: str, design: str = SHARED) -> Scenario:
    """The scenario in a file; `design` is the one that it runs if it names none.

    Raises:
        InputError: the file cannot be read, or is no scenario.
    """
    wanted = "a scenario in TOML, or the name of a shipped one"
    if not path:
        raise InputError(f"an empty name stands where a file should; give {wanted}")
    data = read_given(path, MOST["change"], f"give {wanted}")
    if b"\0" in data:
        raise InputError(f"{path}: this is a binary file; expected a scenario in TOML")
    try:
        return read_scenario(data.decode(), path, design)
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; expected a scenario in TOML") from None


def named(given: Sequence[str], known: Mapping[str, Scenario], design: Design | None, what: str = "scenario") -> tuple[Scenario, ...]:
    """The scenarios of these names, or in these files (`*.toml`), each once.

    Args:
        known: by name, those that come with the tool.
        design: the folder that the user gave: its scenarios come first, and those of the shipped kernel C run its design.

    Raises:
        InputError: an unknown name, a file that is no scenario, or a scenario of another design.
        Refusal: kernel C of the design that cannot be read.
    """
    here = known if design is None else {**known, **design.scenarios}
    own: Callable[[Scenario], Scenario] = (lambda scenario: scenario) if design is None else design.over
    found = [own(_named(name, here, design, what)) for name in given]
    if design is not None:
        design.check(scenario.design for scenario in found)
    return tuple({scenario.name: scenario for scenario in found}.values())


def _named(name: str, known: Mapping[str, Scenario], design: Design | None, what: str) -> Scenario:
    if name.endswith(".toml"):
        return scenario_in(name, SHARED if design is None or not design.only else design.only)
    if "/" in name:
        raise InputError(f"{name}: a scenario in a file ends in .toml; give such a file, or the name of a shipped scenario")
    if name not in known:
        raise InputError(unknown(name, tuple(known), what))
    return known[name]


def _entries(folder: Path, given: str) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        raise InputError(f"{given}: there is no such folder; {_WANTED}") from None
    except NotADirectoryError:
        raise InputError(f"{given}: this is a file; {_WANTED}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{given}: cannot be read ({getattr(error, 'strerror', None) or error}); {_WANTED}") from None


def _listed(folder: Path) -> list[Path]:
    return _entries(folder, str(folder))


def _is_c(entry: Path) -> bool:
    return entry.suffix in _C and not entry.name.startswith(".")


def _name(home: Path, given: str) -> str:
    """What a design is called: its folder."""
    name = home.resolve().name
    if name in shipped_designs() or name.endswith("-lift") or name.startswith("_") or not name:
        raise InputError(f"{given}: a design cannot be called {name!r}, a name of the tool's own; rename the folder")
    return name


def _c(entry: Path) -> str:
    data = read_given(str(entry), MOST["source"], "give a C file, or take it away", "C file")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        line = data.count(b"\n", 0, _bad(data)) + 1
        raise InputError(f"{entry}:{line}: this is not UTF-8; give a C source file") from None
    if "\0" in text or not text.strip():
        what = "a binary file (it has a NUL byte)" if "\0" in text else "empty"
        raise InputError(f"{entry}: this file is {what}; give a C source file, or take it away")
    return text


def _bad(data: bytes) -> int:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return 0
