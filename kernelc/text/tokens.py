"""C text as a flat list of tokens and preprocessor directives; comments and white space end here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import Refusal
from .ast import Location

_TOKEN = re.compile(
    r"""
      (?P<space>    [ \t\f\v\r]+ | \\\n )
    | (?P<newline>  \n )
    | (?P<comment>  //(?:[^\\\n]|\\.)* | /\*.*?\*/ )
    | (?P<unclosed> /\* )
    | (?P<string>   (?:L|u8|u|U)?"(?:[^"\\\n]|\\.)*" )
    | (?P<char>     (?:L|u|U)?'(?:[^'\\\n]|\\.)+' )
    | (?P<number>   \.?[0-9](?:[eEpP][+-]|[0-9A-Za-z_.])* )
    | (?P<name>     [A-Za-z_$][A-Za-z_0-9$]* )
    | (?P<punct>    \.\.\.|<<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|\#\#|[-+*/%&|^~!<>=?:;,.(){}\[\]\#] )
    | (?P<other>    . )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token and the place where the user wrote it.

    `hidden` names the macros that must not be expanded in it again (C's rule against recursion).
    `inserted` marks a token that an expansion put where it stands: its place is where its text was written (an argument)
    or where the macro was used (the macro's own text).
    """

    kind: str
    text: str
    line: int
    column: int
    hidden: frozenset[str] = frozenset()
    inserted: bool = False

    def moved(self, line: int, column: int, hidden: frozenset[str]) -> Token:
        """Return this token as part of an expansion."""
        return replace(self, line=line, column=column, hidden=self.hidden | hidden, inserted=True)


@dataclass(frozen=True, slots=True)
class Directive:
    """A preprocessor line: its word (`define`, `ifdef`, ...; empty for a lone `#`) and the tokens after it."""

    word: str
    rest: tuple[Token, ...]
    line: int
    last_line: int


def lex(text: str, file: str) -> list[Token | Directive]:
    """Cut `text` into tokens and directives.

    Args:
        text: C source; its lines end in a newline alone.
        file: the name used in a refusal.

    Raises:
        Refusal: a comment is never closed.
    """
    found: list[Token | Directive] = []
    pending: list[Token] | None = None
    line, line_start, fresh, hash_line = 1, 0, True, 0
    for match in _TOKEN.finditer(text):
        kind, start = match.lastgroup or "other", match.start()
        body = match.group()
        if kind == "unclosed":
            at = Location(file, line, start - line_start + 1)
            raise Refusal(at, "this comment is never closed", body, "close it with `*/`")
        if kind == "newline":
            if pending is not None:
                found.append(_directive(pending, hash_line, line))
                pending = None
            fresh = True
        elif kind not in ("space", "comment"):
            token = Token(kind, body, line, start - line_start + 1)
            if fresh and body == "#":
                pending, hash_line = [], line
            elif pending is not None:
                pending.append(token)
            else:
                found.append(token)
            fresh = False
        breaks = body.count("\n")
        if breaks:
            line += breaks
            line_start = start + body.rindex("\n") + 1
    if pending is not None:
        found.append(_directive(pending, hash_line, line))
    return found


def _directive(tokens: list[Token], line: int, last_line: int) -> Directive:
    if tokens and tokens[0].kind == "name":
        return Directive(tokens[0].text, tuple(tokens[1:]), line, last_line)
    return Directive("", tuple(tokens), line, last_line)


def spell(tokens: Sequence[Token]) -> str:
    """Write tokens back with the spaces that stood between them, on one line."""
    parts: list[str] = []
    previous: Token | None = None
    for token in tokens:
        if previous is not None and not _touch(previous, token):
            parts.append(" ")
        parts.append(token.text)
        previous = token
    return "".join(parts)


def _touch(left: Token, right: Token) -> bool:
    return left.line == right.line and left.column + len(left.text) == right.column and not (left.inserted or right.inserted)


def closing(tokens: Sequence[Token], opening: int) -> int | None:
    """Return the index of the bracket that closes `tokens[opening]`, or None if there is none."""
    depth = 0
    for index in range(opening, len(tokens)):
        if tokens[index].kind != "punct":
            continue
        text = tokens[index].text
        if text in "([{":
            depth += 1
        elif text in ")]}":
            depth -= 1
            if depth == 0:
                return index
            if depth < 0:
                return None
    return None
