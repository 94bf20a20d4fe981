"""Answers that are kept from run to run, each under a hash of everything that it rests on.

That is the question (the digest of the model, the property to the letter, engines and limits), the versions of everything that
computed it, and the Python of this package: an answer is found again only by the code that gave it. Entries are written beside
their place and moved there, so that two runs at once never mix. Each is sealed with a key that this user alone can read
(`core/stored/private.py`): one that is damaged, edited, brought along from elsewhere, or another question's is no entry at all, and a
folder that others can write to is not used. A violation is replayed before it is told again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from ...core.errors import InputError
from ...core.plain import PlainVerdict, PlainViolated
from ...core.stored.files import MEGABYTE, read_regular
from ...core.stored.jsonfile import Kind
from ...core.stored.private import Untrusted, private_folder, sealed, unsealed, user_folder, user_key
from ...core.verdict import HoldsUpTo, Proved, Unknown
from ..asking.limits import Engines, Limits
from ..asking.results import Result
from ..asking.survey import Survey

SCHEMA = 3
VARIABLE = "TDPCHECK_CACHE"
_OFF = ("", "0", "off", "no")
_MOST = 64 * MEGABYTE
"""Bytes of an entry."""
ROOMS = ("core", "checker", "counterexamples", "kernelc", "model", "properties", "recheck", "runner")
_PACKAGES = ("z3-solver", "python-sat", "cvc5", "bitwuzla", "msgspec", "tree-sitter", "tree-sitter-c", "tdpcheck")
_KINDS: Mapping[str, type[Any]] = {"Proved": Proved, "HoldsUpTo": HoldsUpTo, "Unknown": Unknown, "PlainViolated": PlainViolated}


@dataclass(frozen=True)
class Known:
    """An answer, before anybody judged what its scenario covers.

    Args:
        record: as it was told of the scenario without a change.
    """

    record: Result
    verdict: PlainVerdict
    asked: int
    premise: int | None
    fired: frozenset[str]
    survey: Survey
    certificate: str = ""


class _Entry(msgspec.Struct, frozen=True):
    """A file of the cache; `question` is what its name is a hash of."""

    schema: int
    question: str
    record: Result
    kind: str
    verdict: Any
    asked: int
    premise: int | None
    fired: tuple[str, ...]
    survey: Any
    certificate: str


ENTRY = Kind("cached answer", _Entry, SCHEMA, "question", give="ask again", again="ask again")


class Cache:
    """A folder of answers.

    Args:
        complain: is told in a line why nothing is kept, if nothing can be.
    """

    def __init__(self, folder: Path, complain: Callable[[str], None] | None = None) -> None:
        self.folder = folder
        self._complain = complain or (lambda said: None)
        self._key: bytes | None = None
        self.refused = ""
        try:
            self._key = user_key()
            private_folder(folder)
        except Untrusted as why:
            self._refuse(str(why))

    def look_up(self, question: str) -> Known | None:
        """The answer to a question; None if there is none that can be believed."""
        if self._key is None:
            return None
        try:
            content = unsealed(read_regular(self._path(question), _MOST), self._key)
            if content is None:
                return None
            entry = ENTRY.decoded(content, "an answer")
            if entry.question != question:
                return None
            verdict = msgspec.convert(entry.verdict, _KINDS[entry.kind])
            survey = msgspec.convert(entry.survey, Survey)
        except (OSError, InputError, msgspec.MsgspecError, KeyError, ValueError):
            return None
        return Known(entry.record, verdict, entry.asked, entry.premise, frozenset(entry.fired), survey, entry.certificate)

    def keep(self, question: str, known: Known) -> None:
        """Keep an answer; one that cannot be written is not kept, and nothing else happens."""
        if self._key is None:
            return
        entry = _Entry(
            SCHEMA, question, known.record, type(known.verdict).__name__, msgspec.to_builtins(known.verdict), known.asked,
            known.premise, tuple(sorted(known.fired)), msgspec.to_builtins(known.survey),
            known.certificate,
        )  # fmt: skip
        content = msgspec.json.encode(entry)  # in the order that it has, in which it is told again
        path = self._path(question)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(sealed(content, self._key))
                os.replace(name, path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            self._refuse(f"{self.folder} cannot be written ({error.strerror})")

    def _refuse(self, why: str) -> None:
        self._key = None
        self.refused = why
        self._complain(f"answers are not kept from run to run: {why}")

    def _path(self, question: str) -> Path:
        name = hashlib.sha256(question.encode()).hexdigest()
        return self.folder / name[:2] / f"{name[2:]}.json"

    def entries(self) -> Iterator[Path]:
        """The files of the cache."""
        yield from sorted(self.folder.glob("??/*.json"))

    def size(self) -> tuple[int, int]:
        """How many entries there are, and how many bytes they take."""
        sizes = []
        for path in self.entries():
            with contextlib.suppress(OSError):  # another run may just have deleted it
                sizes.append(path.stat().st_size)
        return len(sizes), sum(sizes)

    def clear(self) -> int:
        """Delete all entries, and nothing that is not one; how many there were.

        Raises:
            InputError: one of them cannot be deleted, or others can put there what is none of ours.
        """
        if self.refused:
            raise InputError(f"nothing was deleted: {self.refused}")
        gone = 0
        for path in (*self.entries(), *self.folder.glob("??/.new-*")):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise InputError(f"{path}: cannot be deleted ({error.strerror}); check its permissions") from None
            gone += not path.name.startswith(".")
        return gone


def default_cache(complain: Callable[[str], None] | None = None) -> Cache | None:
    """The cache of this user: where TDPCHECK_CACHE says, else where such things live; None if it says `off`, or there is no such place."""
    given = os.environ.get(VARIABLE)
    if given is not None and given.lower() in _OFF:
        return None
    try:
        folder = user_folder() / "answers" if given is None else Path(given).expanduser()
    except (Untrusted, RuntimeError) as why:
        (complain or (lambda said: None))(f"answers are not kept from run to run: {why}")
        return None
    return Cache(folder, complain)


def question(model: str, asked: str, limits: Limits, engines: Engines, more: object = None) -> str:
    """Everything that an answer rests on, as text.

    Args:
        model: the digest of the model.
        asked: the property, to the letter.
        more: what else the caller's answer depends on.
    """
    named = {name: _name(engine) for name, engine in vars(engines).items()}
    kept = {name: value for name, value in vars(limits).items() if name != "until"}  # an answer that is kept was there before that
    parts = {"model": model, "property": asked, "limits": kept, "engines": named, "more": more, "by": computed_by()}
    return msgspec.json.encode(parts, order="deterministic").decode()


def _name(engine: object) -> object:
    if isinstance(engine, Mapping):
        return {name: _name(one) for name, one in engine.items()}
    return f"{getattr(engine, '__module__', '')}.{getattr(engine, '__qualname__', repr(engine))}"


@cache
def computed_by() -> dict[str, str]:
    """What computes here: this package's Python, and the versions of everything else."""
    return {"python": platform.python_version(), "sources": sources_digest(), **{name: _version(name) for name in _PACKAGES}}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def sources_digest(root: Path | None = None) -> str:
    """A hash of every Python file in the rooms that have to do with answers."""
    root = root or Path(__file__).parents[2]
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            digest.update(f"{path.relative_to(root)}\0".encode())
            digest.update(path.read_bytes())
            digest.update(b"\0")
    return digest.hexdigest()
