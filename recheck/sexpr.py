"""Reading SMT-LIB text as nested lists, without a solver: what a certificate says is taken apart here and nowhere else.

Here stands how large a certificate may be, and which operators its terms may have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TypeAlias

from ..core.errors import InputError

Sexpr: TypeAlias = "str | list[Sexpr]"
"""A token, or a list of expressions. Strings keep their quotes; a symbol that needs no bars has lost them."""

MOST_CHARACTERS = 16_000_000
MOST_NESTED = 100
"""How many parentheses may be open at once; what our writers write opens some twenty."""
_WORD = r"[A-Za-z0-9_.:#@()\[\],!?~$'+*<>=/-]+"
_ATOM = rf'[^\s()"|;]+|\|{_WORD}(?: {_WORD})*\||"(?:[^"\n]|"")*"'
_COMMENT = r"(?<![^ \n]);[^\n]*"
_TOKEN = re.compile(rf"[()]|(?>{_ATOM})(?=[ \n()]|\Z)|{_COMMENT}")
_WHOLE = re.compile(rf"(?>{_TOKEN.pattern}|[ \n]+)*+")
"""An atom ends where a blank or a parenthesis begins, a comment begins behind a blank: what two readers may cut in two ways is refused."""
_QUOTED = re.compile(rf"{_WORD}(?: {_WORD})*")
_STRANGE = re.compile(r"[^\n -~]")
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.!?~]*|\$l?[0-9]+")
"""A symbol without bars. Solvers have words of their own, so that none of these is ever shown to one as it is (`spelled`)."""
_CONNECTIVES = "true false and or not xor ite distinct let forall exists => = _ Bool"
_VECTORS = (
    "BitVec concat extract zero_extend sign_extend bvneg bvadd bvsub bvmul bvudiv bvurem bvand bvor bvxor bvnot bvshl bvlshr bvashr "
    "bvule bvult bvuge bvugt bvsle bvslt bvsge bvsgt"
)
OPERATORS = frozenset(f"{_CONNECTIVES} {_VECTORS}".split())
"""The words of SMT-LIB that a certificate uses. Others (annotations, further binders) would need thought, and are refused."""
COMMANDS = frozenset("set-info set-logic declare-sort declare-fun define-fun".split())
LOGICS = frozenset(("UF", "QF_BV"))
RESERVED = (
    OPERATORS
    | COMMANDS
    | LOGICS
    | frozenset("! as par match lambda choice assert check-sat push pop BINARY DECIMAL HEXADECIMAL NUMERAL STRING".split())
)
"""No name of a system may be one of these, however it is written."""
LITERAL = re.compile(r"[0-9]+|bv[0-9]+|#b[01]+|#x[0-9a-fA-F]+")
_ADMITTED = re.compile(r":[a-z-]+|0|[1-9][0-9]{0,8}|bv(?:0|[1-9][0-9]{0,30})")
"""Keywords, and numerals as they stand in certificates."""


def read(text: str, what: str = "the text") -> list[Sexpr]:
    """The expressions of `text`, comments left out.

    Raises:
        InputError: it is no text of the language of certificates (docs/certificates.md); the message has the line.
    """
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"{what}: {len(text):,} characters are too many; {MOST_CHARACTERS:,} are read at most")
    strange = _STRANGE.search(text)
    if strange is not None:
        found = ascii(strange.group())
        raise InputError(f"{what}: line {_line(text, strange.start())}: cannot read {found}; a certificate is ASCII, blanks and newlines")
    whole = _WHOLE.match(text)
    if whole is None or whole.end() < len(text):
        place = 0 if whole is None else whole.end()
        found = text[place : place + 20].partition("\n")[0]
        raise InputError(f"{what}: line {_line(text, place)}: cannot read {found!r}; it is no certificate, or was cut off")
    top: list[Sexpr] = []
    stack = [top]
    known: set[str] = set()
    for number, token in enumerate(_TOKEN.findall(text)):
        if token == "(":
            inner: list[Sexpr] = []
            stack[-1].append(inner)
            stack.append(inner)
            if len(stack) > MOST_NESTED:
                where = _line(text, _place(text, number))
                raise InputError(f"{what}: line {where}: more than {MOST_NESTED} parentheses are open, which no certificate needs")
        elif token == ")":
            if len(stack) == 1:
                raise InputError(f"{what}: line {_line(text, _place(text, number))}: a parenthesis closes that was never opened")
            stack.pop()
        elif token[0] != ";":
            if token not in known:
                if problem := _problem(token):
                    where = _line(text, _place(text, number))
                    raise InputError(f"{what}: line {where}: cannot read {token[:40]!r}; {problem}")
                known.add(token)
            stack[-1].append(token)
    if len(stack) > 1:
        raise InputError(f"{what}: it ends before {len(stack) - 1} open parentheses are closed; it was cut off")
    return top


def _problem(token: str) -> str:
    """Why a token stands in no certificate; empty if it may."""
    if token[0] == '"':
        return ""
    if token[0] == "|":
        name = token[1:-1]
        if PLAIN.fullmatch(name) or name in RESERVED or LITERAL.fullmatch(name):
            return "a symbol has bars only where it needs them"
        return ""
    if token in RESERVED or PLAIN.fullmatch(token) or _ADMITTED.fullmatch(token):
        return ""
    return "it is no word of a certificate"


def _place(text: str, number: int) -> int:
    """Where a token begins."""
    return next(match.start() for match in islice(_TOKEN.finditer(text), number, None))


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def write(expression: Sexpr) -> str:
    """The text of an expression, on one line."""
    parts: list[str] = []
    todo: list[Sexpr | None] = [expression]
    gap = ""  # what stands before the next token, if it does not close
    while todo:
        node = todo.pop()
        if node is None:
            parts.append(")")
            gap = " "
        elif isinstance(node, str):
            parts += (gap, node)
            gap = " "
        else:
            parts += (gap, "(")
            gap = ""
            todo.append(None)
            todo += reversed(node)
    return "".join(parts)


_SPELLED = re.compile(r'\|[^|]*\||[^\s()"|;]+')


def spelled(text: str) -> str:
    """A text as a solver is shown it: each symbol of the certificate gets a `%` at its end, so that it can be no word that a solver knows.

    No symbol of a certificate has a `%` itself.
    """
    return _SPELLED.sub(_spelling, text)


def _spelling(match: re.Match[str]) -> str:
    token = match.group()
    found = _spellings.get(token)
    if found is None:
        if token[0] == "|":
            found = f"{token[:-1]}%|"
        else:
            own = token not in _AS_THEY_ARE and PLAIN.fullmatch(token) and not LITERAL.fullmatch(token)
            found = f"{token}%" if own else token
        if len(_spellings) < MOST_SPELLINGS:
            _spellings[token] = found
    return found


_AS_THEY_ARE = RESERVED | {"QF_UF"}
_spellings: dict[str, str] = {}
MOST_SPELLINGS = 100_000


def symbol(name: str) -> str:
    """A name as a symbol: in bars if it needs them.

    Raises:
        InputError: it cannot be written as a symbol, or is a word of the language.
    """
    if PLAIN.fullmatch(name) and name not in RESERVED and not LITERAL.fullmatch(name):
        return name
    if name in RESERVED or LITERAL.fullmatch(name) or not _QUOTED.fullmatch(name):
        raise InputError(f"{name[:60]!r} cannot be the name of anything in a certificate; choose another")
    return f"|{name}|"


def name_of(token: Sexpr) -> str:
    """The name that a symbol stands for; empty if it is none."""
    if not isinstance(token, str) or token.startswith('"'):
        return ""
    return token[1:-1] if token.startswith("|") else token


def quoted(text: str) -> str:
    """A text as a string literal: printable ASCII, everything else escaped."""
    return '"' + "".join(_escaped(c) for c in text) + '"'


def _escaped(character: str) -> str:
    if character == '"':
        return '""'
    return character if " " <= character <= "~" and character != "\\" else f"\\u{{{ord(character):x}}}"


def unquoted(token: Sexpr) -> str:
    """What a string literal says.

    Raises:
        InputError: it is none.
    """
    if not isinstance(token, str) or len(token) < 2 or token[0] != '"':
        raise InputError(f"expected a string, found {write(token)[:40]}")
    found = re.sub(r"\\u\{([0-9a-f]{1,5})\}", lambda m: chr(int(m.group(1), 16)), token[1:-1].replace('""', '"'))
    if not found.isprintable():
        raise InputError(f"the text {token[:40]} holds characters that nobody can print")
    return found


def tokens(expression: Sexpr) -> Iterator[str]:
    """All tokens in an expression, in order."""
    todo = [expression]
    while todo:
        node = todo.pop()
        if isinstance(node, str):
            yield node
        else:
            todo += reversed(node)


def rename(expression: Sexpr, names: dict[str, Sexpr]) -> Sexpr:
    """`expression` with tokens replaced. It is for the caller to know that no bound variable bears such a name."""
    if isinstance(expression, str):
        return names.get(expression, expression)
    result: list[Sexpr] = []
    todo: list[tuple[Sequence[Sexpr], list[Sexpr]]] = [(expression, result)]
    while todo:
        source, target = todo.pop()
        for child in source:
            if isinstance(child, str):
                target.append(names.get(child, child))
            else:
                inner: list[Sexpr] = []
                target.append(inner)
                todo.append((child, inner))
    return result
