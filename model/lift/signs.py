"""What a kernel tree is known by: definitions that stand in its files, as they are written there, whatever its Makefile says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from ...core.errors import InputError
from ...kernelc.errors import Refusal
from ...kernelc.text.preprocess import lexed
from ...kernelc.text.tokens import Directive, Token, closing

Read = Callable[[str], str | None]
"""The text of a file of a tree, changed or not; None if there is none."""
_QUALIFIERS = frozenset({"const", "volatile", "__rcu", "__user"})


@dataclass(frozen=True)
class Sign:
    """A definition by which a tree is known.

    Args:
        file: where it stands; without a name, that there is such a file is enough.
        name: of a function, a macro (`#define NAME`), a struct (`struct NAME`), or a line of a Kconfig (`select NAME`).
        takes: the types of the parameters of a function, without qualifiers; None if any will do.
        calls: another function that it calls.
    """

    file: str
    name: str = ""
    takes: tuple[str, ...] | None = None
    calls: str = ""

    def __str__(self) -> str:
        if not self.name:
            return self.file
        takes = "" if self.takes is None else f"({', '.join(self.takes)})"
        calls = f" that calls {self.calls}()" if self.calls else ""
        return f"{self.name}{takes}{calls} in {self.file}"


class Signs:
    """Looks for signs in the files of one tree."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._files: dict[str, _File | None] = {}

    def shows(self, sign: Sign) -> bool:
        """Whether a tree has what a sign names. A file that cannot be cut into tokens shows nothing."""
        if sign.file not in self._files:
            text = self._read(sign.file)
            self._files[sign.file] = None if text is None else _File(text, sign.file)
        file = self._files[sign.file]
        return file is not None and (not sign.name or file.shows(sign))

    def missing(self, signs: Sequence[Sign]) -> Sign | None:
        """The first of these that the tree does not show."""
        return next((sign for sign in signs if not self.shows(sign)), None)


class _File:
    def __init__(self, text: str, name: str) -> None:
        self._text = text
        self._name = name

    def shows(self, sign: Sign) -> bool:
        word, _, rest = sign.name.partition(" ")
        if word == "select":
            return any(line.split() == [word, rest] for line in self._text.splitlines())
        if word == "#define":
            return any(item.word == "define" and item.rest[:1] and item.rest[0].text == rest for item in self._directives)
        if word == "struct":
            return any([t.text for t in self._tokens[n : n + 3]] == [word, rest, "{"] for n in self._places("struct"))
        return any(
            (sign.takes is None or sign.takes == takes) and (not sign.calls or sign.calls in called)
            for takes, called in self._functions(sign.name)
        )

    def _functions(self, name: str) -> Iterator[tuple[tuple[str, ...], set[str]]]:
        """The definitions of a function: the types of its parameters, and what it calls."""
        tokens = self._tokens
        for n in self._places(name):
            end = closing(tokens, n + 1) if n + 1 < len(tokens) and tokens[n + 1].text == "(" else None
            if end is None or end + 1 >= len(tokens) or tokens[end + 1].text != "{":
                continue
            last = closing(tokens, end + 1) or len(tokens)
            body = tokens[end + 1 : last]
            yield _types(tokens[n + 2 : end]), {a.text for a, b in pairwise(body) if b.text == "("}

    def _places(self, name: str) -> list[int]:
        return self._by_name.get(name, [])

    @cached_property
    def _items(self) -> tuple[Token | Directive, ...]:
        try:
            return lexed(self._text, self._name)
        except Refusal:
            return ()

    @cached_property
    def _tokens(self) -> list[Token]:
        return [item for item in self._items if isinstance(item, Token)]

    @cached_property
    def _directives(self) -> list[Directive]:
        return [item for item in self._items if isinstance(item, Directive)]

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for n, token in enumerate(self._tokens):
            if token.kind == "name":
                found.setdefault(token.text, []).append(n)
        return found


def _types(parameters: Sequence[Token]) -> tuple[str, ...]:
    """The types of parameters as they are written, each without its name and qualifiers."""
    found: list[str] = []
    words: list[str] = []
    for text in [*(token.text for token in parameters), ","]:
        if text != ",":
            words.append(text)
            continue
        plain = [word for word in words if word not in _QUALIFIERS]
        if plain and plain != ["void"]:
            found.append(" ".join(plain[:-1]))
        words = []
    return tuple(found)


def reader(read: Callable[[str], str]) -> Read:
    """A reader that answers None where `read` raises InputError."""

    def asked(path: str) -> str | None:
        try:
            return read(path)
        except InputError:
            return None

    return asked
