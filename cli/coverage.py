"""`tdpcheck coverage`: how much of a kernel tree is in the model, and why the rest is not."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click
from rich.table import Table

from ..core.errors import InputError
from ..model.lift.coverage import FATES, File, coverage
from ..runner.documents import to_json
from ..runner.inputs.sources import kernel_given
from . import printing
from .echo import echo


@click.command("coverage")
@click.option("--kernel", metavar="DIR", required=True, help="The kernel tree: a directory, a git repository, a tarball.")
@click.option("--rev", metavar="REF", help="Read it at this git revision.")
@click.option("--all", "everything", is_flag=True, help="Name every function, also where a whole file is not lifted.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def coverage_command(kernel: str, rev: str | None, everything: bool, as_json: bool) -> None:
    """Tell which functions of a kernel tree are in the model, file by file, and why the others are not.

    lifted: it runs as it stands in some scenario. ours: one of our own runs in its place. intrinsic: it has a meaning without its body.
    not modelled: none of these; a patch of it is answered with Unknown.

    Exit code: 0 told; 2 bad input.
    """
    with printing.Progress() as progress:
        tree = kernel_given(kernel, rev, progress.said)
        if tree is None:
            raise InputError("coverage is of a kernel tree; give one with --kernel DIR")
        files = coverage(tree, progress.working)
    if as_json:
        echo(to_json({"kernel": tree.version, "files": [asdict(file) for file in files]}), nl=False)
        return
    out = printing.console(sys.stdout)
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(("file", "functions", *FATES)):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for file in files:
        table.add_row(file.path, str(len(file.functions)), *(str(file.count(fate)) for fate in FATES))
    table.add_row("all", str(sum(len(f.functions) for f in files)), *(str(sum(f.count(fate) for f in files)) for fate in FATES))
    out.print(f"Linux {tree.version} ({tree.origin})\n")
    out.print(table)
    for file in files:
        echo("".join(f"{line}\n" for line in _reasons(file, everything=everything)), nl=False)


def _reasons(file: File, *, everything: bool) -> list[str]:
    """The functions of a file, those of one fate and reason together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for function in sorted(file.functions, key=lambda f: FATES.index(f.fate)):
        groups.setdefault((function.fate, function.why), []).append(function.name)
    lines = ["", file.path]
    for (fate, why), names in groups.items():
        whole = len(names) > _MANY and not everything
        lines.append(f"  {fate}: {f'{len(names)} functions' if whole else ', '.join(names)}")
        lines.append(f"    {why}")
    return lines


_MANY = 40
"""So many functions with one reason are counted, and named with --all."""
