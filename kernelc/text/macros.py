"""Macros: what a `#define` says, and the text that stands for a use of it.

Only loop macros are expanded by themselves, after the algorithm of the C standard; see `preprocess.py` for why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import Refusal
from .ast import Location
from .conditional import Region
from .tokens import Directive, Token, closing, spell

_EXPANSION_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class Macro:
    """A `#define`: `parameters` is None for an object-like one; `doubt` says why it may not be the one that counts."""

    name: str
    parameters: tuple[str, ...] | None
    body: tuple[Token, ...]
    at: Location
    last_line: int
    doubt: Refusal | None = None
    variadic: bool = False


@dataclass(frozen=True, slots=True)
class Expansion:
    """A macro that was expanded, and where: what a report needs to say which code a changed `#define` touches."""

    macro: Macro
    at: Location


def define(directive: Directive, file: str, doubt: Refusal | None) -> Macro | None:
    """Read a `#define`; None if it is malformed."""
    if not directive.rest or directive.rest[0].kind != "name":
        return None
    name, rest = directive.rest[0], list(directive.rest[1:])
    at = Location(file, directive.line)
    adjacent = bool(rest) and rest[0].text == "(" and (rest[0].line, rest[0].column) == (name.line, name.column + len(name.text))
    if not adjacent:
        return Macro(name.text, None, tuple(rest), at, directive.last_line, doubt)
    end = closing(rest, 0)
    if end is None:
        return None
    parameters, variadic = _parameters(rest[1:end])
    return Macro(name.text, parameters, tuple(rest[end + 1 :]), at, directive.last_line, doubt, variadic)


def _parameters(tokens: list[Token]) -> tuple[tuple[str, ...], bool]:
    """Return the parameter names, and whether the last takes all remaining arguments (`...`, or GNU's `name...`)."""
    names = [token.text for token in tokens if token.kind == "name"]
    variadic = bool(tokens) and tokens[-1].text == "..."
    if variadic and (len(tokens) == 1 or tokens[-2].kind != "name"):
        names.append("__VA_ARGS__")
    return tuple(names), variadic


class Expander:
    """Replaces macro uses by their definitions, after the algorithm in the C standard (hide sets, arguments first)."""

    def __init__(self, file: str, definitions: Mapping[str, Macro], also: frozenset[str]) -> None:
        self._file = file
        self._definitions = definitions
        self._also = also
        self._made = 0
        self.regions: list[Region] = []
        self.expansions: list[Expansion] = []

    def run(self, tokens: Sequence[Token]) -> list[Token]:
        """Return the tokens with every wanted macro expanded."""
        done: list[Token] = []
        todo = list(reversed(tokens))
        while todo:
            token = todo.pop()
            macro = self._wanted(token)
            replacement = self._use(macro, token, todo) if macro is not None else None
            if replacement is None:
                done.append(token)
            else:
                todo.extend(reversed(replacement))
        return done

    def _wanted(self, token: Token) -> Macro | None:
        if token.kind != "name" or token.text in token.hidden:
            return None
        macro = self._definitions.get(token.text)
        if macro is None or (token.text not in self._also and "for_each" not in token.text):
            return None
        return macro

    def _use(self, macro: Macro, token: Token, todo: list[Token]) -> list[Token] | None:
        """Return what stands for this use, taking its arguments from `todo`; None if it is not a use after all."""
        at = Location(self._file, token.line, token.column)
        if macro.parameters is None:
            arguments: list[list[Token]] | None = []
        elif not todo or todo[-1].text != "(":
            return None
        else:
            arguments = self._arguments(macro, token, todo)
        if arguments is None:
            return None
        if macro.doubt is not None:
            self.regions.append(Region(token.line, token.line, macro.doubt))
        self.expansions.append(Expansion(macro, at))
        replacement = self._substitute(macro, arguments, token)
        self._made += len(replacement) + 1
        if self._made > _EXPANSION_LIMIT:
            raise Refusal(at, "expanding macros makes this file too long", token.text, "look for a macro that multiplies itself")
        return replacement

    def _arguments(self, macro: Macro, token: Token, todo: list[Token]) -> list[list[Token]] | None:
        taken: list[Token] = []
        groups: list[list[Token]] = [[]]
        depth = 0
        while todo:
            current = todo.pop()
            taken.append(current)
            opens, closes = current.text in ("(", "[", "{"), current.text in (")", "]", "}")
            depth += opens - closes
            if depth == 0 and closes:
                break
            if current.text == "," and depth == 1 and not (macro.variadic and len(groups) == len(macro.parameters or ())):
                groups.append([])
            elif depth > 1 or not opens:
                groups[-1].append(current)
        expected = len(macro.parameters or ())
        if depth == 0 and (len(groups) == expected or (expected == 0 and groups == [[]])):
            return groups if expected else []
        if depth == 0 and macro.variadic and len(groups) == expected - 1:
            return [*groups, []]
        todo.extend(reversed(taken))
        what = f"`{token.text}` takes {expected} arguments and is given {len(groups)}" if depth == 0 else "this call is never closed"
        self._refuse(token, what, f"write it as `{macro.name}({', '.join(macro.parameters or ())})`, see {macro.at}")
        return None

    def _refuse(self, token: Token, what: str, advice: str) -> None:
        at = Location(self._file, token.line, token.column)
        self.regions.append(Region(token.line, token.line, Refusal(at, what, token.text, advice)))

    def _substitute(self, macro: Macro, arguments: list[list[Token]], use: Token) -> list[Token]:
        given = dict(zip(macro.parameters or (), arguments, strict=True))
        hidden = use.hidden | {macro.name}
        made: list[Token] = []
        body = macro.body
        texts = ["", *(token.text for token in body), ""]
        for index, token in enumerate(body):
            before, after = texts[index], texts[index + 2]
            if token.text == "##" or (token.text == "#" and after in given):
                continue
            if token.kind != "name" or token.text not in given:
                parts = [token.moved(use.line, use.column, hidden)]
            elif before == "#":
                parts = [Token("string", _quote(given[token.text]), use.line, use.column, hidden, True)]
            else:
                argument = given[token.text] if "##" in (before, after) else self.run(given[token.text])
                parts = [part.moved(part.line, part.column, hidden) for part in argument]
            if before == "##" and made and made[-1].text == ",":
                # GNU: `, ## rest` vanishes with the comma if there is no rest, and is just itself otherwise.
                made = made if parts else made[:-1]
            elif before == "##" and made and parts:
                made[-1] = _paste(made[-1], parts[0])
                parts = parts[1:]
            made.extend(parts)
        return made


def _quote(tokens: list[Token]) -> str:
    return '"' + spell(tokens).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _paste(left: Token, right: Token) -> Token:
    return Token(left.kind, left.text + right.text, left.line, left.column, left.hidden, True)
