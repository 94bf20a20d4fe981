r"""The one way to the terminal: what a patch, a mail or a document says never reaches it as control characters.

An escape sequence in a mail's subject could rename the window, move the cursor over a verdict, or hide text; a bidirectional
control shows code in another order than it has. They are written as `\u001b`, which is what they are in JSON, too.
"""

from __future__ import annotations

import sys

import click

from .harmless import harmless


def echo(text: str | bytes = "", *, nl: bool = True, err: bool = False) -> None:
    """Print text; bytes (a picture) only where no terminal reads them."""
    if isinstance(text, bytes) and sys.stdout.isatty():
        text = text.decode("utf-8", "replace")
    click.echo(harmless(text) if isinstance(text, str) else text, nl=nl, err=err)
