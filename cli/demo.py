"""`python -m tdpcheck.cli.demo [DIR]`: two scenarios hold, one bad change is caught; the counterexample is left in DIR (./out)."""

from __future__ import annotations

import difflib
import sys
import time

from ..core.errors import TdpcheckError
from ..kernelc.patch import parse_change
from ..kernelc.tree import find_debian_source
from ..model.scenario import shipped_scenarios
from . import output, printing
from .changes import Version, patched
from .question import Limits
from .run import Plan, run
from .sources import Files, files_of
from .verify import tell

QUICK = ("share-vs-notifier", "eager-split-exclusive")
RACE = "notifier-vs-fault"
PROPERTY = "no_stale_io_mapping"
FILE = "kvm_main.c"
PATCH = "no-iotlb-flush.patch"
DELETED = "\tkvm_tdp_fd_flush_notify_range(kvm, start, last);\n"
BUDGET = 60.0
"""Seconds that all checking here may take."""


def main() -> int:
    """Run the demonstration; 0 if it went as it should."""
    folder = sys.argv[1] if len(sys.argv) > 1 else "out"
    try:
        return demonstrate(folder)
    except TdpcheckError as error:
        print(f"tdpcheck demo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("tdpcheck demo: interrupted", file=sys.stderr)
        return 130


def demonstrate(folder: str) -> int:
    """Check, print and leave files in `folder`."""
    out, started = printing.console(sys.stdout), time.monotonic()
    place, files = output.prepared(folder), files_of(None)
    known = shipped_scenarios()

    out.print("1. The shared page table as it is designed\n")
    good = Plan(tuple(known[n] for n in QUICK if n in known), (PROPERTY,), (Version(files),), limits=_limits(started))
    with printing.Progress() as progress:
        held = run(good, progress)
    printing.print_document(out, held.document, {})

    out.print("\n2. A change that forgets to flush the IOTLB\n")
    patch = bad_patch(files)
    print(patch)
    output.write(place / PATCH, patch.encode())
    versions = (Version(files), *patched(parse_change(patch, PATCH), files))
    with printing.Progress() as progress:
        found = run(Plan((known[RACE],), (PROPERTY,), versions, limits=_limits(started)), progress)
    told = tell(found, place)
    printing.print_document(out, told.document, told.texts)
    left = [str(place / name) for record in told.document.results for name in record.files]
    out.print("left: " + ", ".join([str(place / PATCH), *left]))

    out.print("\n3. Functions of a real kernel\n")
    source = find_debian_source()
    if source is None:
        out.print("NOT RUN: no kernel tree is here; install linux-source-6.1, or see --kernel in docs/commands.md")
    else:
        out.print(f"NOT RUN: {source} is here; functions lifted from it are checked by `tdpcheck verify --kernel {source}`")
    out.print(f"\n{time.monotonic() - started:.0f} s in all")
    caught = [r.label for r in told.document.results] == ["introduced"]
    return 0 if held.document.exit_code == 0 and caught else 1


def bad_patch(files: Files) -> str:
    """A diff that deletes the flush which every zap relies on."""
    old = files[FILE].splitlines(keepends=True)
    at = old.index(DELETED)
    return "".join(difflib.unified_diff(old, [*old[:at], *old[at + 1 :]], f"a/{FILE}", f"b/{FILE}"))


def _limits(started: float) -> Limits:
    return Limits(timeout=max(1.0, BUDGET - (time.monotonic() - started)), walks=100)


if __name__ == "__main__":
    sys.exit(main())
