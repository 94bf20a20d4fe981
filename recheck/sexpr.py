"""Reading SMT-LIB text as nested lists, without a solver: what a certificate says is taken apart here and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TypeAlias

from ..core.errors import InputError

Sexpr: TypeAlias = "str | list[Sexpr]"
"""A token, or a list of expressions. Strings keep their quotes; a symbol that needs no bars has lost them."""

MOST_CHARACTERS = 16_000_000
_TOKEN = re.compile(r'[()]|[^\s()"|;]+|\|[^|\\]*\||"(?:[^"]|"")*"|;[^\n]*|[^ \t\r\n]')
_PLAIN = re.compile(r"[A-Za-z~!@$%^&*_+=<>.?/-][A-Za-z0-9~!@$%^&*_+=<>.?/-]*")
OPERATORS = frozenset(
    (
        "true false and or not xor ite distinct let forall exists => = _ Bool BitVec concat extract zero_extend sign_extend "
        "bvneg bvadd bvsub bvmul bvudiv bvurem bvand bvor bvxor bvnot bvshl bvlshr bvashr "
        "bvule bvult bvuge bvugt bvsle bvslt bvsge bvsgt"
    ).split()
)
"""The words of SMT-LIB that a certificate uses. Others (annotations, further binders) would need thought, and are refused."""
RESERVED = OPERATORS | frozenset("! as par match lambda choice assert check-sat push pop declare-fun declare-sort define-fun".split())
"""No name of a system may be one of these, however it is written."""
LITERAL = re.compile(r"[0-9]+|bv[0-9]+|#b[01]+|#x[0-9a-fA-F]+")


def read(text: str, what: str = "the text") -> list[Sexpr]:
    """The expressions of `text`, comments left out.

    Raises:
        InputError: it is no SMT-LIB text; the message has the line.
    """
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"{what}: {len(text):,} characters are too many; {MOST_CHARACTERS:,} are read at most")
    top: list[Sexpr] = []
    stack = [top]
    known: dict[str, str] = {}
    for number, token in enumerate(_TOKEN.findall(text)):
        if token == "(":
            inner: list[Sexpr] = []
            stack[-1].append(inner)
            stack.append(inner)
        elif token == ")":
            if len(stack) == 1:
                raise InputError(f"{what}: line {_line(text, _place(text, number))}: a parenthesis closes that was never opened")
            stack.pop()
        elif token[0] != ";":
            if token not in known:
                if token in ("|", '"') or token.isspace():
                    place = _place(text, number)
                    found = text[place : place + 20]
                    raise InputError(f"{what}: line {_line(text, place)}: cannot read {found!r}; it is no SMT-LIB, or was cut off")
                known[token] = _plain(token)
            stack[-1].append(known[token])
    if len(stack) > 1:
        raise InputError(f"{what}: it ends before {len(stack) - 1} open parentheses are closed; it was cut off")
    return top


def _place(text: str, number: int) -> int:
    """Where a token begins."""
    return next(match.start() for match in islice(_TOKEN.finditer(text), number, None))


def _plain(token: str) -> str:
    return token[1:-1] if token[0] == "|" and _PLAIN.fullmatch(token[1:-1]) else token


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def write(expression: Sexpr) -> str:
    """The text of an expression, on one line."""
    parts: list[str] = []
    todo: list[Sexpr | None] = [expression]
    while todo:
        node = todo.pop()
        if node is None:
            parts.append(")")
        elif isinstance(node, str):
            parts.append(node + " ")
        else:
            parts.append("(")
            todo.append(None)
            todo += reversed(node)
    return "".join(parts).replace(" )", ")").replace(")(", ") (").strip()


def symbol(name: str) -> str:
    """A name as a symbol: in bars if it needs them.

    Raises:
        InputError: it cannot be written as a symbol, or is a word of the language.
    """
    if (
        name in RESERVED
        or LITERAL.fullmatch(name)
        or "|" in name
        or "\\" in name
        or not name.isprintable()
        or not name.isascii()
        or not name
    ):
        raise InputError(f"{name!r} cannot be the name of anything in SMT-LIB; choose another")
    return name if _PLAIN.fullmatch(name) else f"|{name}|"


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
    return re.sub(r"\\u\{([0-9a-f]{1,5})\}", lambda m: chr(int(m.group(1), 16)), token[1:-1].replace('""', '"'))


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
