r"""Text without control characters, and a line of it on standard error for whoever cannot wait for a library to be imported.

They are written as `\u001b`, which is what they are in JSON, too.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys

# Everything of C0 and C1 but newline and tab; line and paragraph separators; what changes directions or takes no place; surrogates; tags.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


def harmless(text: str) -> str:
    r"""The text with each control character written out.

    >>> harmless("a\x1b[2Jb\tc")
    'a\\u001b[2Jb\tc'
    """
    return _CONTROLS.sub(_written, text)


def _written(match: re.Match[str]) -> str:
    units = match.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))


def last_words(message: str) -> None:
    """Say one line on standard error, past every buffer: of a process that ends now, or that watches one."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    with contextlib.suppress(OSError):
        os.write(2, f"tdpcheck: {harmless(message)}\n".encode(encoding, "backslashreplace"))
