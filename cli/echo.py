r"""The one way to the terminal: what a patch, a mail or a document says never reaches it as control characters.

An escape sequence in a mail's subject could rename the window, move the cursor over a verdict, or hide text; a bidirectional
control shows code in another order than it has. They are written as `\u001b`, which is what they are in JSON, too.
"""

from __future__ import annotations

import re
import sys

import click

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


def echo(text: str | bytes = "", *, nl: bool = True, err: bool = False) -> None:
    """Print text; bytes (a picture) only where no terminal reads them."""
    if isinstance(text, bytes) and sys.stdout.isatty():
        text = text.decode("utf-8", "replace")
    click.echo(harmless(text) if isinstance(text, str) else text, nl=nl, err=err)
