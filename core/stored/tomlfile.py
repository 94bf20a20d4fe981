"""TOML that a user gives, and the one way in which it is read: how large and how deep it may be is looked at before a parser sees it.

A parser that follows keys of thousands of parts, or headers that grow by a part each, takes minutes for what means nothing here.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

from ..errors import InputError
from .files import MEGABYTE, amount

MOST_NESTED = 50
"""Parts of a key. Nothing that is read here nests more than four deep."""
MOST = MEGABYTE
"""Bytes of a document."""

_EXPECTED = "expected four levels at most, as `[geometry]` and `iommus = 2`"
_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
_DEEP = re.compile(rf"""(?<![\w."'-])(?:{_PART}[ \t]*+\.[ \t]*+){{{MOST_NESTED}}}""")


def quoted(text: str) -> str:
    """A string as TOML has it; without control characters, which it must not hold."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def toml_of(text: str, where: str) -> dict[str, Any]:
    """The values of a TOML document.

    Args:
        where: what an error names.

    Raises:
        InputError: it is none, is larger than `MOST`, or nests deeper than `MOST_NESTED`.
    """
    if len(text) > MOST:
        raise InputError(f"{where}: it has more than {amount(MOST)}, which no such TOML file has; give another one")
    deep = _DEEP.search(text)
    if deep is not None:
        line = text.count("\n", 0, deep.start()) + 1
        raise InputError(
            f"{where}: line {line} nests keys more than {MOST_NESTED} deep; expected four at most, as `[geometry]` and `iommus = 2`"
        )
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise InputError(f"{where}: arrays or tables nest too deep; {_EXPECTED}") from None
    except ValueError as error:  # a literal of thousands of digits is no TOMLDecodeError
        raise InputError(f"{where}: not a TOML file: {error}") from error
