"""What `verify --out` left in a folder, read back: the run, and its counterexamples."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import InputError
from ..core.stored.jsonfile import Kind
from ..counterexamples.schema import Cex, load
from ..runner.asking.results import MUSEUM, SCHEMA, Document, MuseumDocument, MuseumItem, Result

RUN = "run.json"
TRACE = ".cex.json"
CERTIFICATE = ".smt2"
FORMS = ("html", "txt", "svg", "png", "md")
"""In which form a reader wants to see a counterexample, the best one first."""
AGAIN = "run `tdpcheck verify --out DIR` again"
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
"""File names that lead nowhere but into the folder, and mean the same in a URL."""

RUN_DOCUMENT = Kind(
    "run of tdpcheck", Document, SCHEMA, "results", give="give the folder that `tdpcheck verify --out DIR` wrote to", again=AGAIN
)
BUGS = Kind(
    "report of the museum",
    MuseumDocument,
    SCHEMA,
    "items",
    give="delete it",
    again="run `tdpcheck museum --out DIR` again",
)

Key = tuple[str, str, str | None]
"""Scenario, property and change of an answer."""


@dataclass(frozen=True)
class Left:
    """A counterexample of a run: its files, and its content if that can be read.

    Args:
        links: file names by form, in the order of `FORMS`, and last the document itself.
        fault: why it cannot be read.
    """

    name: str
    links: Mapping[str, str]
    cex: Cex | None = None
    fault: str = ""


@dataclass(frozen=True)
class Stored:
    """A run as it was left.

    Args:
        left: the counterexamples that are there, by their question.
        certificates: the files of the certificates that are there, by their question.
        bugs: the known bugs that `museum --out` looked for, if it left its answers there, too.
    """

    where: str
    document: Document
    left: Mapping[Key, Left]
    certificates: Mapping[Key, str]
    bugs: tuple[MuseumItem, ...] = ()


def key_of(record: Result) -> Key:
    """The question that a record answers."""
    return record.scenario, record.property, record.change


def read_run(folder: str) -> Stored:
    """The run in a folder.

    Raises:
        InputError: there is no such folder, or its run.json is missing, empty, broken, of another kind or of a newer version.
    """
    path = Path(folder)
    if not path.is_dir():
        what = "is a file" if path.exists() else "there is no such folder"
        raise InputError(f"{folder}: {what}; {RUN_DOCUMENT.give}")
    document = _document(path / RUN)
    left = {key_of(r): found for r in document.results if (found := _left(r, path)) is not None}
    certificates = {key_of(r): name for r in document.results if (name := _certificate(r, path))}
    return Stored(folder, document, left, certificates, _bugs(path / MUSEUM))


def _document(path: Path) -> Document:
    if not path.exists():
        raise InputError(f"{path.parent}: there is no {RUN} in it; {RUN_DOCUMENT.give}")
    document = RUN_DOCUMENT.read(path)
    keys = [key_of(r) for r in document.results]
    twice = next((k for k in keys if keys.count(k) > 1), None)
    if twice is not None:
        raise InputError(f"{path}: two answers to one question ({', '.join(filter(None, twice))}); {AGAIN}")
    return document


def _bugs(path: Path) -> tuple[MuseumItem, ...]:
    """What the museum says, if somebody asked it: no file, no claim."""
    return BUGS.read(path).items if path.is_file() else ()


def _certificate(record: Result, folder: Path) -> str:
    """The file of a record's certificate, if the folder has it; else ''."""
    return next((n for n in record.files if n.endswith(CERTIFICATE) and PLAIN.fullmatch(n) and (folder / n).is_file()), "")


def _left(record: Result, folder: Path) -> Left | None:
    """The counterexample that a record names, if the folder has it."""
    named = next((n for n in record.files if n.endswith(TRACE) and PLAIN.fullmatch(n)), None)
    if named is None:
        return None
    name = named.removesuffix(TRACE)
    links = {form: f"{name}.{form}" for form in FORMS if (folder / f"{name}.{form}").is_file()}
    try:
        data = (folder / named).read_bytes()
    except OSError as error:
        why = "it is not there any more" if isinstance(error, FileNotFoundError) else f"it cannot be read ({error.strerror})"
        return Left(name, links, fault=f"{named}: {why}")
    links["json"] = named
    try:
        cex = load(data, named)
    except InputError as error:
        return Left(name, links, fault=str(error))
    if (cex.scenario.name, cex.prop.name) != (record.scenario, record.property):
        return Left(name, links, fault=f"{named}: it is about {cex.prop.name} in {cex.scenario.name}, not about this question")
    return Left(name, links, cex)
