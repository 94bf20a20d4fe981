"""What a column says, and what that is in the kernel C: a call, a statement, an operation, or what a step does."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from ...core.alike import alike, did_you_mean
from .diagram import Entry

PHRASES = Path(__file__).parent / "phrases.toml"
_IDENTIFIER = re.compile(r"\b[A-Za-z_]\w*\b")
_CALL = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
_LOCK = re.compile(r"\b(mutex|spin|raw_spin|read|write)_(un)?lock\w*\s*\(\s*&?(?:\w+(?:->|\.))*(\w+)\s*\)")
_ELSEWHERE = re.compile(r"\b(dirty|accessed|a/d|write.?protect\w*|protection|swap\w*|ksm|errors?|page lock|lock_page)\b", re.I)
_STATE = re.compile(r"\b(still|already|remains?|stays?|is stale)\b", re.I)
_APART = re.compile(r",\s+(?:and\s+|then\s+)?|\s+and\s+(?:then\s+)?|\s+then\s+|\s+(?:->|→)\s+")
_STATEMENT = re.compile(r"->|[^=!<>]=[^=>]|\+\+|--|&\w")
_NEGATED = re.compile(r"\b(not|never|no|without|skip\w*|do(es|n)?n'?t|did ?n'?t|isn'?t|won'?t|can'?t|cannot|miss\w*|forget\w*)\b", re.I)
_OUTCOME = re.compile(r"\b(returns?|fails?|failed|succeeds?|succeeded|true|false)\b.*|[=!]=.*|(->|=>|→)\s*(true|false|0|1|-E\w+)\b.*", re.I)
_ARGUMENTS = re.compile(r"\([^()]*\)")
_GFN = re.compile(r"\bgfns?\s*[=:]?\s*(0x[0-9a-fA-F]+|\d+|[A-Z]\b|[a-z]\b)(?:\s*(?:-|\.\.)\s*(0x[0-9a-fA-F]+|\d+))?", re.I)


@dataclass(frozen=True)
class Meaning:
    """What steps are meant: those that fit one of the names, and the effect.

    Args:
        calls: operations; `inside`, functions that are called; `actions`, steps of the machine.
        statement: a statement, without blanks.
        effect: a pattern for what the step does, in words.
        gfns: what the text calls the gfns of which it speaks.
        means: the effect, for people.
        likely: functions and operations that tell whose column it is.
        unread: words of the text that nothing was made of.
        source: `file.c:line`, where the text says so.
    """

    calls: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    statement: str = ""
    effect: str = ""
    gfns: tuple[str, ...] = ()
    unread: str = ""
    source: str = ""
    means: str = ""
    likely: tuple[str, ...] = ()

    @property
    def says(self) -> bool:
        """Whether more is known than a line of the source."""
        return bool(self.calls or self.inside or self.actions or self.statement or self.effect)

    @property
    def names(self) -> tuple[str, ...]:
        """The operations and functions of kernel C that it speaks of."""
        return (*self.calls, *self.inside, *self.likely)


@dataclass(frozen=True)
class Unread:
    """That a text was not understood, and what its author may do."""

    why: str


def read_entry(entry: Entry, functions: Collection[str], operations: Collection[str]) -> Meaning | Unread:
    """What an entry means, in kernel C that has these functions and operations."""
    text = entry.text.rstrip(";{").strip()
    if _NEGATED.search(text):
        return Unread("what does not happen is no step; leave the line out")
    gfns = tuple(dict.fromkeys(part.lower() for found in _GFN.finditer(text) for part in found.groups() if part))
    outcome = _OUTCOME.search(_ARGUMENTS.sub("()", text))
    unread = outcome[0].strip() if outcome and not _STATEMENT.search(text) else ""
    lock = _LOCK.search(text)
    if lock:
        way, un, what = lock[1], lock[2] or "", lock[3]
        name = f"{'read' if way == 'read' else 'write'}_{un}lock" if what == "mmu_lock" else f"{un}lock_{what}"
        if name in operations:
            return Meaning(calls=(name,), source=entry.source)
        return Unread(f"{what} is no lock of the kernel C here")
    names = _phrases().names
    for word in (*_CALL.findall(text), *(w for w in _IDENTIFIER.findall(text) if "_" in w)):
        name = word if word in functions or word in operations else names.get(word, "")
        if name in operations and name not in functions:
            return Meaning(calls=(name,), gfns=gfns, unread=unread, source=entry.source)
        if name in functions:
            return Meaning(inside=(name,), gfns=gfns, unread=unread, source=entry.source)
    if _ELSEWHERE.search(text):
        return Unread("dirty and accessed bits, write protection, swap and the like are not modelled")
    if _STATE.search(text):
        return Unread("that something is so is no step; name the step by which it becomes so")
    for phrase in _phrases().phrases:
        if phrase.says.search(text):
            does = (phrase.calls, phrase.inside, phrase.actions, "", phrase.effect)
            return Meaning(*does, gfns, unread, entry.source, phrase.means, phrase.likely)
    if _STATEMENT.search(text):
        return Meaning(statement=squeezed(text), gfns=gfns, source=entry.source)
    if entry.source:
        return Meaning(source=entry.source, gfns=gfns, unread=text)
    called = _CALL.findall(text)
    if called:
        near = did_you_mean(alike(called[0], sorted({*functions, *operations, *names}), 2, 0.6))
        return Unread(f"{called[0]}() is not in the kernel C here{f'; {near}' if near else ', or is not modelled'}")
    return Unread("no phrase fits; say it by a function, a statement or an operation of the kernel C (`tdpcheck list intrinsics`)")


def parted(entry: Entry, functions: Collection[str], operations: Collection[str]) -> list[tuple[Entry, Meaning | Unread]]:
    """What an entry means, or each of the several things that it says; what is left of it is said to be unread."""
    whole = read_entry(entry, functions, operations)
    pieces = [piece for piece in _APART.split(_ARGUMENTS.sub(lambda found: found[0].replace(" ", "\0"), entry.text)) if piece]
    if isinstance(whole, Unread) or len(pieces) < 2 or whole.statement or any(piece.isalpha() for piece in pieces):
        return [(entry, whole)]
    parts = [replace(entry, text=piece.replace("\0", " ")) for piece in pieces]
    read = [(part, read_entry(part, functions, operations)) for part in parts]
    known = [(part, meaning) for part, meaning in read if isinstance(meaning, Meaning) and meaning.says and not meaning.statement]
    left = [part.text for part, meaning in read if not (isinstance(meaning, Meaning) and meaning.says and not meaning.statement)]
    if len(known) < 2:
        return [(entry, whole)]
    return [(part, replace(meaning, unread="; ".join(filter(None, (meaning.unread, *left))))) for part, meaning in known]


def squeezed(text: str) -> str:
    """A statement without blanks, to compare it; of a condition what it asks."""
    return re.sub(r"\s+|;$", "", re.sub(r"^\s*(?:else\s+)?(?:if|while)\s*\((.*)\)\s*$", r"\1", text))


@dataclass(frozen=True)
class _Phrase:
    says: re.Pattern[str]
    calls: tuple[str, ...]
    inside: tuple[str, ...]
    actions: tuple[str, ...]
    effect: str
    means: str
    likely: tuple[str, ...]


@dataclass(frozen=True)
class Phrases:
    """What `phrases.toml` says."""

    names: dict[str, str]
    phrases: tuple[_Phrase, ...]
    headings: tuple[tuple[re.Pattern[str], str], ...]


@cache
def _phrases() -> Phrases:
    data = tomllib.loads(PHRASES.read_text())
    return Phrases(
        data["names"],
        tuple(
            _Phrase(
                re.compile(p["says"], re.I),
                tuple(p.get("calls", ())), tuple(p.get("inside", ())), tuple(p.get("actions", ())), p.get("effect", ""),
                p.get("means", ""), tuple(p.get("likely", ())),
            )
            for p in data["phrase"]
        ),
        tuple((re.compile(h["says"], re.I), h["flow"]) for h in data["heading"]),
    )  # fmt: skip


def all_names() -> Iterator[tuple[str, str]]:
    """Each name of kernel C that the phrases speak of: what kind it is, and the name."""
    known = _phrases()
    yield from (("name", name) for name in known.names.values())
    for phrase in known.phrases:
        for kind in ("calls", "inside", "actions", "likely"):
            yield from ((kind, name) for name in getattr(phrase, kind))
    yield from (("flow", flow) for _, flow in known.headings)


def flows_of_heading(heading: str) -> tuple[str, ...]:
    """The flows of which a heading speaks, the likeliest first."""
    return tuple(dict.fromkeys(flow for says, flow in _phrases().headings if says.search(heading)))


__all__ = ["Meaning", "Unread", "all_names", "flows_of_heading", "read_entry", "squeezed"]
