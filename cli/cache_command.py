"""`tdpcheck cache`: where answers are kept, how many, and away with them."""

from __future__ import annotations

import click
import msgspec

from ..runner import documents
from ..runner.runs.cache import VARIABLE, default_cache
from .echo import echo


class CacheRecord(msgspec.Struct, frozen=True):
    """What `cache --json` prints; `folder` is null if nothing is kept."""

    schema: int
    folder: str | None
    entries: int
    bytes: int
    cleared: int


@click.command("cache")
@click.option("--info", is_flag=True, help="Say where answers are kept and how many; this is what happens without an option.")
@click.option("--clear", is_flag=True, help="Delete all of them.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def cache(info: bool, clear: bool, as_json: bool) -> None:
    """Show or clear the answers that are kept from run to run."""
    if info and clear:
        raise click.UsageError("--info and --clear are two things; give one of them")
    kept = default_cache()
    if kept is None:
        record = CacheRecord(documents.SCHEMA, None, 0, 0, 0)
    else:
        cleared = kept.clear() if clear else 0
        record = CacheRecord(documents.SCHEMA, str(kept.folder), *kept.size(), cleared)
    echo(documents.to_json(record) if as_json else _said(record, cleared=clear), nl=not as_json)


def _said(record: CacheRecord, *, cleared: bool) -> str:
    if record.folder is None:
        return f"no answers are kept: {VARIABLE} says so"
    if cleared:
        return f"{record.folder}: {record.cleared} answers deleted"
    return f"{record.folder}: {record.entries} answers, {record.bytes / 1e6:.1f} MB"
