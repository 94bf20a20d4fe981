"""Where the functions of a file stand: found by their brackets, so that a line can be placed in a file that nobody parses."""

from __future__ import annotations

from functools import lru_cache

from ..errors import Refusal
from .preprocess import lexed
from .tokens import Directive, Token, closing


@lru_cache(maxsize=32)
def functions_at(text: str, file: str) -> tuple[tuple[str, int, int], ...]:
    """The functions of a file: name, first and last line. Of a file that is no C, none."""
    return _read(text, file)[0]


@lru_cache(maxsize=32)
def says_something(text: str, file: str) -> frozenset[int]:
    """The lines of a file on which more stands than brackets, comments and prototypes. Of a file that is no C, all."""
    try:
        items = lexed(text, file)
    except Refusal:
        return frozenset(range(1, text.count("\n") + 2))
    prototypes = _read(text, file)[1]
    tokens = {item.line for item in items if isinstance(item, Token) and item.text not in ("{", "}", ";")}
    directives = (range(d.line, d.last_line + 1) for d in items if isinstance(d, Directive) and d.word != "include")
    return frozenset((tokens - prototypes).union(*directives))


def _read(text: str, file: str) -> tuple[tuple[tuple[str, int, int], ...], frozenset[int]]:
    """The functions, and the lines of prototypes."""
    try:
        tokens = [item for item in lexed(text, file) if isinstance(item, Token)]
    except Refusal:
        return (), frozenset()
    found: list[tuple[str, int, int]] = []
    prototypes: set[int] = set()
    n = start = 0
    while n < len(tokens):
        word = tokens[n].text
        if word in ("{", "(", "["):
            end = closing(tokens, n)
            name = _name(tokens[start:n]) if word == "{" else ""
            if end is None:
                break
            if name:
                found.append((name, tokens[start].line, tokens[end].line))
                start = end + 1
            n = end + 1
            continue
        n += 1
        if word == ";":
            if _name(tokens[start : n - 1]):
                prototypes.update(t.line for t in tokens[start:n])
            start = n
    return tuple(found), frozenset(prototypes)


def _name(head: list[Token]) -> str:
    """The name of the function whose head this is; '' if it is that of something else, or a macro's use."""
    if not head or head[-1].text != ")" or any(t.text in ("=", "typedef", "{") for t in head):
        return ""
    opened = next((n for n, token in enumerate(head) if token.text == "("), 0)
    return head[opened - 1].text if opened > 1 and head[opened - 1].kind == "name" else ""
