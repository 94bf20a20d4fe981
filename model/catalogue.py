"""What kernel C may name without defining it, each with its types, what it means and what it touches: computed from the library."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from ..core.sorts import Kind, Sort, Truth, Word
from ..kernelc.lowering.cfg import THREAD
from ..kernelc.lowering.library import CType, Effect, Handle, Intrinsic, Library, Ref, Value, leaves
from ..kernelc.stepping.footprint import Footprint, footprint
from .machine import parts

_LOOP = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w*for_each\w*)\(([^)]*)\)", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """One name.

    Args:
        kind: call, identity, erased, field, store, lock, loop, type or constant.
        arguments: the C types of what is given; of a loop the names of its parameters.
        result: the C type of what comes out; '' where there is none.
        meaning: what it stands for, with its source.
        mover: how it commutes with what others do: local, right, left, wait, or visible.
        reads, writes: the state variables that it touches.
        waives: of a ghost, what it takes out of the question.
        home: the file in which its meaning is written, below the project; '' of what has none of its own.
    """

    name: str
    kind: str
    arguments: tuple[str, ...] = ()
    result: str = ""
    meaning: str = ""
    mover: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    waives: str = ""
    home: str = ""

    @property
    def text(self) -> str:
        """All of it in one line."""
        given = f"({', '.join(self.arguments)})"
        head = {"call": f"{self.result} {given}", "loop": given}.get(self.kind, self.result)
        touched = [f"{what} {', '.join(names)}" for what, names in (("reads", self.reads), ("writes", self.writes)) if names]
        waives = f"waives: {self.waives}" if self.waives else ""
        shown = (self.kind if self.kind != "call" else "", head, self.mover, self.meaning, *touched, waives)
        return "; ".join(part for part in (*shown, self.home) if part)


def catalogue(library: Library, files: Mapping[str, str]) -> tuple[Entry, ...]:
    """Every name that the library knows, and the loop macros of these files."""
    found = [_call(name, intrinsic, "call") for name, intrinsic in library.intrinsics.items()]
    found += [Entry(name, "identity", meaning="gives back its argument") for name in library.identities]
    found += [Entry(name, "erased", meaning=why) for name, why in library.erased.items()]
    found += [_call(f"{_pointee(base)}->{field}", i, "field") for (base, field), i in library.fields.items()]
    found += [_call(f"{_pointee(base)}->{field} =", i, "store") for (base, field), i in library.stores.items()]
    found += [Entry(f"&{_pointee(base)}->{field}", "lock", result=str(handle)) for (base, field), handle in library.handles.items()]
    found += [Entry(name, "constant", result=str(value.type)) for name, value in library.constants.items()]
    found += [Entry(f"{base}{' *' if stars else ''}", "type", result=_made_of(ctype)) for (base, stars), ctype in library.types.items()]
    found += [Entry(name, "loop", names, meaning=f"in {file}") for name, names, file in _loops(files)]
    return tuple(sorted(found, key=lambda entry: (entry.kind, entry.name)))


def _pointee(base: str) -> str:
    return base.removesuffix(" *")


def _call(name: str, intrinsic: Intrinsic, kind: str) -> Entry:
    touched = _touched(intrinsic)
    return Entry(
        name,
        kind,
        tuple(map(str, intrinsic.params)),
        str(intrinsic.result),
        intrinsic.doc,
        "visible" if intrinsic.mover == "none" else "wait" if intrinsic.mover == "wait" else f"{intrinsic.mover} mover",
        tuple(sorted(touched.seen)),
        tuple(sorted(touched.changed)),
        "" if intrinsic.waives is None else intrinsic.waives.what,
        intrinsic.home,
    )


def effects_of(intrinsic: Intrinsic) -> tuple[Effect, ...]:
    """What an intrinsic can do, asked with stand-ins for its arguments; nothing of one that insists on constants."""
    with suppress(Exception):
        made = intrinsic.meaning(THREAD, *map(_some, intrinsic.params))
        return (Effect(value=made),) if isinstance(made, Value) else (made,) if isinstance(made, Effect) else tuple(made)
    return ()


def _touched(intrinsic: Intrinsic) -> Footprint:
    effects = effects_of(intrinsic)
    terms = [effect.guard for effect in effects] + [check.holds for effect in effects for check in effect.checks]
    values = [v for effect in effects for v in (effect.value, *effect.refs) if v is not None]
    terms += [term for value in values for term in value.parts.values()]
    state = {var.name: var for var in parts.state()}
    return footprint(terms, (update for effect in effects for update in effect.updates), state)


def _some(ctype: CType) -> Value:
    target = ctype.to if isinstance(ctype, Ref) else ctype
    name = target.name if isinstance(target, Handle) else ""
    return Value(target, {path: kind.const(f"any:{path}") for path, kind in leaves(target)}, name)


def _made_of(ctype: CType) -> str:
    """What a type is here: the sorts of its parts."""
    found = [f"{path}: {_shown(kind)}" if path else _shown(kind) for path, kind in leaves(ctype)]
    return ", ".join(found) or "there is one alone"


def _shown(kind: Kind) -> str:
    match kind:
        case Sort(name=name, elements=elements):
            return f"one of {', '.join(elements)}" if elements else name
        case Word(width=width):
            return f"{width} bits"
        case Truth():
            return "true or false"


def _loops(files: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...], str]]:
    for file, text in files.items():
        for match in _LOOP.finditer(text):
            yield match.group(1), tuple(_names(match.group(2).split(","))), file


def _names(words: Iterable[str]) -> Iterator[str]:
    return (word.strip() for word in words if word.strip())
