"""`python -m tdpcheck.cli.demo [DIR]`: the design is checked, a bad change is caught, a real kernel is asked. Files go to DIR (./out)."""

from __future__ import annotations

import difflib
import sys
import time

from rich.console import Console

from ..core.errors import TIME_IS_UP, InputError, TdpcheckError
from ..kernelc.sources.patch import parse_change
from ..kernelc.sources.tree import debian_sources
from ..model.scenario import shipped_scenarios
from ..runner import output
from ..runner.asking.question import Limits
from ..runner.exit_codes import ExitCode
from ..runner.inputs.changes import Version, patched
from ..runner.inputs.sources import Files, files_of, kernel_given
from ..runner.runs.run import Plan, run, selected_scenarios
from . import printing
from .echo import echo
from .verify import tell

DESIGN = (
    "notifier-vs-fault", "fault-split", "eager-split", "collapse-vs-fault", "partial-unmap", "fast-zap-exported",
    "noncoherent-attach", "noncoherent-export",
)  # fmt: skip
LIFTED = ("linux-6.1-lift-eager-split", "linux-6.1-lift-fault-split")
"""Of a tree of another version, its own scenarios of these."""
RACE = "notifier-vs-fault"
PROPERTY = "no_stale_io_mapping"
SPLIT = "atomic_hugepage_split"
FILE = "kvm_main.c"
PATCH = "no-iotlb-flush.patch"
DELETED = "\tkvm_tdp_fd_flush_notify_range(kvm, start, last);\n"
BUDGET = 180.0
"""Seconds that all checking here may take: three times what it needs on an idle machine, building included."""


def main() -> int:
    """Run the demonstration; 0 if it went as it should."""
    folder = sys.argv[1] if len(sys.argv) > 1 else "out"
    try:
        return demonstrate(folder)
    except TdpcheckError as error:
        echo(f"tdpcheck demo: {error}", err=True)
        return ExitCode.BAD_INPUT
    except KeyboardInterrupt:
        echo("tdpcheck demo: interrupted", err=True)
        return ExitCode.INTERRUPTED


def demonstrate(folder: str) -> int:
    """Check, print and leave files in `folder`."""
    out, started = printing.console(sys.stdout), time.monotonic()
    place, files = output.prepared(folder), files_of(None)
    known = shipped_scenarios()

    out.print("1. The shared page table as it is designed\n")
    good = Plan(tuple(known[n] for n in DESIGN), (), (Version(files),), limits=_limits(started))
    with printing.Progress() as progress:
        held = run(good, progress)
    printing.print_document(out, held.document, {})

    out.print("\n2. A change that forgets to flush the IOTLB\n")
    patch = bad_patch(files)
    echo(patch)
    output.write(place / PATCH, patch.encode())
    versions = (Version(files), *patched(parse_change(patch, PATCH), files))
    with printing.Progress() as progress:
        found = run(Plan((known[RACE],), (PROPERTY,), versions, limits=_limits(started)), progress)
    told = tell(found, place)
    printing.print_document(out, told.document, told.texts)
    left = [str(place / name) for record in told.document.results for name in record.files]
    out.print("left: " + ", ".join([str(place / PATCH), *left]))

    out.print("\n3. Functions of a real kernel\n")
    lifted = _lifted(out, started)
    out.print(f"\n{time.monotonic() - started:.0f} s in all")
    caught = [r.label for r in told.document.results] == ["introduced"]
    passed = held.document.exit_code == ExitCode.HOLDS and caught and lifted in (None, ExitCode.HOLDS)
    return ExitCode.HOLDS if passed else ExitCode.VIOLATED


def _lifted(out: Console, started: float) -> int | None:
    """Check functions taken from the newest Debian source package that functions can be lifted from; the exit code, or None without one."""
    sources = debian_sources()
    if not sources:
        out.print("NOT RUN: no kernel tree is here; install linux-source-6.1 or linux-source-6.12, or see --kernel in docs/commands.md")
        return None
    if time.monotonic() - started > BUDGET:
        out.print(f"NOT RUN: {TIME_IS_UP}; say tdpcheck verify --kernel {sources[0]}")
        return None
    with printing.Progress() as progress:
        for source in sources:
            try:
                tree = kernel_given(str(source), None, progress.said)
                scenarios = selected_scenarios(LIFTED, (SPLIT,), tree)
            except InputError as error:
                progress.said(str(error))
                continue
            plan = Plan(scenarios, (SPLIT,), (Version(files_of(tree)),), kernel=tree, limits=_limits(started))
            found = run(plan, progress)
            break
        else:
            out.print("NOT RUN: functions cannot be lifted from what is here; install linux-source-6.1 or linux-source-6.12")
            return None
    out.print(f"from {source}\n")
    printing.print_document(out, found.document, {})
    return found.document.exit_code


def bad_patch(files: Files) -> str:
    """A diff that deletes the flush which every zap relies on."""
    old = files[FILE].splitlines(keepends=True)
    at = old.index(DELETED)
    return "".join(difflib.unified_diff(old, [*old[:at], *old[at + 1 :]], f"a/{FILE}", f"b/{FILE}"))


def _limits(started: float) -> Limits:
    return Limits(timeout=max(1.0, BUDGET - (time.monotonic() - started)), walks=100)


if __name__ == "__main__":
    sys.exit(main())
