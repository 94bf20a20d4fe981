"""C text as a flat list of tokens and preprocessor directives; comments, spliced lines and white space end here.

The phases of translation are gcc's: a backslash, blanks and a newline are nothing, wherever they stand (in a word, in a `//` comment);
then a comment is one space; then a line that begins with `#` is a directive.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..errors import Location, Refusal

_SPLICE = re.compile(r"\\[ \t\f\v\r]*\n")
_BLANKS = " \t\f\v\r"
_BLANK_LINE = re.compile(r"[ \t\f\v\r]*(?:\n|\Z)")
_DIGRAPHS = {"<:": "[", ":>": "]", "<%": "{", "%>": "}", "%:": "#", "%:%:": "##"}
_TOKEN = re.compile(
    r"""
      (?P<space>    [ \t\f\v\r]+ )
    | (?P<newline>  \n )
    | (?P<comment>  //[^\n]* | /\*.*?\*/ )
    | (?P<unclosed> /\* )
    | (?P<string>   (?:L|u8|u|U)?"(?:[^"\\\n]|\\[^\n])*" )
    | (?P<char>     (?:L|u|U)?'(?:[^'\\\n]|\\[^\n])+' )
    | (?P<number>   \.?[0-9](?:[eEpP][+-]|[0-9A-Za-z_.])* )
    | (?P<name>     [A-Za-z_$][A-Za-z_0-9$]* )
    | (?P<punct>    \.\.\.|<<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|\#\#|%:%:|<:|:>|<%|%>|%:
                  | [-+*/%&|^~!<>=?:;,.(){}\[\]\#] )
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
    `spaced` says that white space or a comment stands before it.
    """

    kind: str
    text: str
    line: int
    column: int
    hidden: frozenset[str] = frozenset()
    inserted: bool = False
    spaced: bool = False

    def moved(self, line: int, column: int, hidden: frozenset[str]) -> Token:
        """Return this token as part of an expansion."""
        return replace(self, line=line, column=column, hidden=self.hidden | hidden, inserted=True)


@dataclass(frozen=True, slots=True)
class Directive:
    """A preprocessor line: its word (`define`, `ifdef`, ...; empty if there is none) and the tokens after it."""

    word: str
    rest: tuple[Token, ...]
    line: int
    last_line: int


MOST_DIGITS, MOST_NESTED = 100, 200
"""Characters of a number or a name, and how deep brackets and conditionals may nest: C asks a compiler for 63."""
_CONDITIONALS = {"if": 1, "ifdef": 1, "ifndef": 1, "endif": -1}


def lex(text: str, file: str) -> list[Token | Directive]:
    """Cut `text` into tokens and directives.

    Args:
        text: C source; its lines end in a newline alone.
        file: the name used in a refusal.

    Raises:
        Refusal: a comment is never closed, a number is longer than any, or something nests deeper than anybody can read.
    """
    nesting = _Nesting(file)
    found: list[Token | Directive] = []
    pending: list[Token] | None = None
    fresh, spaced, hash_line, line = True, False, 0, 1
    spliced, original = _spliced(text, file)
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    for match in _TOKEN.finditer(spliced):
        kind, body = match.lastgroup or "other", match.group()
        place = original(match.start())
        line = bisect_right(starts, place)
        column = place - starts[line - 1] + 1
        if kind == "unclosed":
            raise Refusal(Location(file, line, column), "this comment is never closed", body, "close it with `*/`")
        if kind == "newline":
            if pending is not None:
                found.append(_directive(pending, hash_line, line))
                pending = None
            fresh, spaced = True, True
        elif kind in ("space", "comment"):
            spaced = True
        else:
            token = Token(kind, _DIGRAPHS.get(body, body), line, column, spaced=spaced)
            nesting.see(token, within=pending)
            if fresh and token.text == "#" and kind == "punct":
                pending, hash_line = [], line
            elif pending is not None:
                pending.append(token)
            else:
                found.append(token)
            fresh, spaced = False, False
    if pending is not None:
        found.append(_directive(pending, hash_line, line))
    return found


def _spliced(text: str, file: str) -> tuple[str, Callable[[int], int]]:
    """The text with its lines spliced, and the way back to the offsets of the original."""
    splices = list(_SPLICE.finditer(text))
    if not splices:
        return text, lambda offset: offset
    parts, begins, gone = [], [0], [0]
    last = lost = 0
    for splice in splices:
        before = text[last : splice.start()]
        if before.rstrip(_BLANKS).endswith("\\") and _BLANK_LINE.match(text, splice.end()):
            line = text.count("\n", 0, splice.start()) + 1
            what = "compilers do not agree on whether a backslash that comes before a spliced line splices another one"
            raise Refusal(Location(file, line), what, text[splice.start() - 1 : splice.end()], "leave one backslash out")
        parts.append(before)
        lost += splice.end() - splice.start()
        begins.append(splice.end() - lost)
        gone.append(lost)
        last = splice.end()
    parts.append(text[last:])
    return "".join(parts), lambda offset: offset + gone[bisect_right(begins, offset) - 1]


def single(text: str) -> str | None:
    """The kind of the one token that `text` is, None if it is none or several."""
    match = _TOKEN.fullmatch(text)
    kind = match.lastgroup if match is not None else None
    return kind if kind in ("string", "char", "number", "name", "punct") else None


class _Nesting:
    """How deep a file nests so far."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._brackets = 0
        self._conditionals = 0

    def see(self, token: Token, within: list[Token] | None) -> None:
        """Look at the next token; `within` are those before it on the line of a directive.

        Raises:
            Refusal: it is too long, or too deep.
        """
        if token.kind in ("number", "name") and len(token.text) > MOST_DIGITS:
            self._refuse(token, f"this has {len(token.text):,} characters", f"write numbers and names of at most {MOST_DIGITS}")
        if within == []:
            self._conditionals += _CONDITIONALS.get(token.text, 0)
        elif token.text in ("(", "[", "{"):
            self._brackets += 1
        elif token.text in (")", "]", "}"):
            # At the margin a function ends, however many brackets stood in the branches of conditionals before.
            self._brackets = max(0, self._brackets - 1) if token.column > 1 else 0
        if max(self._brackets, self._conditionals) > MOST_NESTED:
            what = "brackets" if self._brackets > MOST_NESTED else "conditionals"
            self._refuse(token, f"{what} nest more than {MOST_NESTED} deep here", "split it")

    def _refuse(self, token: Token, what: str, advice: str) -> None:
        text = token.text if len(token.text) <= MOST_DIGITS else f"{token.text[:40]}..."
        raise Refusal(Location(self._file, token.line, token.column), what, text, advice)


def _directive(tokens: list[Token], line: int, last_line: int) -> Directive:
    if tokens and tokens[0].kind == "name":
        return Directive(tokens[0].text, tuple(tokens[1:]), line, last_line)
    return Directive("", tuple(tokens), line, last_line)


def spell(tokens: Sequence[Token]) -> str:
    """Write tokens back with single spaces where white space stood between them, on one line."""
    return "".join((" " if token.spaced and n else "") + token.text for n, token in enumerate(tokens))


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


# Constants

_INTEGER = re.compile(r"(0[xX][0-9a-fA-F]+|0[bB][01]+|[0-9]+)((?:[uU](?:ll|LL|l|L)?|(?:ll|LL|l|L)[uU]?)?)")
_CHARACTER = re.compile(r"'(?:([^'\\])|\\(?:([0-7]{1,3})|x([0-9a-fA-F]+)|(.)))'")
_ESCAPES = {"n": 10, "t": 9, "r": 13, "a": 7, "b": 8, "f": 12, "v": 11, "e": 27, "\\": 92, "'": 39, '"': 34, "?": 63}
LONGEST_INTEGER = 100
"""Digits of an integer constant that are read at all; no type holds one of half that length."""


def integer(text: str) -> tuple[int, bool, bool, bool] | None:
    """What an integer constant says: its value, whether it is decimal, and whether its suffix has a `u` and an `l`; None if it is none."""
    match = _INTEGER.fullmatch(text)
    if match is None or len(text) > LONGEST_INTEGER:
        return None
    digits, suffix = match.group(1), match.group(2).lower()
    octal = digits[0] == "0" and digits.isdigit()
    if octal and set(digits) & {"8", "9"}:
        return None
    return int(digits, 8 if octal else 0), digits[0] != "0", "u" in suffix, "l" in suffix


def character(text: str) -> int | None:
    """The value of a character constant, which is an int and of which plain `char` is signed; None if it is not one plain character."""
    match = _CHARACTER.fullmatch(text)
    if match is None:
        return None
    plain, octal, hexadecimal, escape = match.groups()
    value = ord(plain) if plain else int(octal, 8) if octal else int(hexadecimal, 16) if hexadecimal else _ESCAPES.get(escape)
    if value is None or value > 255 or (plain and value > 127):
        return None
    return value - 256 if value > 127 else value
