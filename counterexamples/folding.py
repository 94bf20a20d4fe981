"""Lines of a readable width: 'gfn 1 -> A' and its like stay on one."""

from __future__ import annotations

import re
import textwrap

WIDTH = 72
TOGETHER = re.compile(r"\b(?:gfn|frame|table|device|iommu|vcpu|root|region|step) (?:[A-Z]\b|\d)[\d,-]*(?: -> \w+)?")
"""What no line ends within."""


def fold(words: str, width: int, first: str = "", indent: str = "") -> list[str]:
    """Lines of at most `width` characters; 'gfn 1 -> A' and its like stay on one."""
    held = TOGETHER.sub(lambda m: m[0].replace(" ", "\0"), words)
    lines = textwrap.wrap(held, width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False)
    return [line.replace("\0", " ") for line in lines]
