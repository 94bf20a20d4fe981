"""`tdpcheck mcp`: a server of the Model Context Protocol, so that programs which claim races and bugs can have them decided."""

from __future__ import annotations

import click

from ..core.errors import InputError
from . import guard


@click.command()
def mcp() -> None:
    """Serve the Model Context Protocol on standard input and output.

    A program that reviews patches, or claims races, asks here: verify a change, decide a race, explain a property, read a counterexample.
    Put `tdpcheck mcp` where its configuration names servers. Needs the package of the protocol: pip install 'tdpcheck[mcp]'.
    """
    guard.unlimited()  # each tool has its own limit
    try:
        from .tools import server
    except ModuleNotFoundError as missing:
        raise InputError(f"{missing.name} is not installed, by which programs are served; say: pip install 'tdpcheck[mcp]'") from None
    server().run("stdio")
