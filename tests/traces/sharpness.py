"""How much a recorded trace can tell apart: `python -m tdpcheck.tests.traces.sharpness` asks it of models that are wrong.

Each change of the museum that touches what the flows of a trace run is applied to the model, and the traces that are kept are asked of it.
The table goes into docs/running-kernel.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tdpcheck.api.change import given
from tdpcheck.kernelc.text.same import is_same
from tdpcheck.runner.inputs.matrix import every_cell, reached
from tdpcheck.runner.inputs.sources import code_for, files_of
from tdpcheck.runner.museum.items import shipped_items
from tdpcheck.runner.traces.casting import ENTRIES
from tdpcheck.runner.traces.checking import Checked, check
from tdpcheck.traces.format import Trace, read

ROOT = Path(__file__).parents[2]
TRACES = Path(__file__).parent / "recorded"


def concerned() -> Iterator[str]:
    """The items of the museum that change a function which a flow of a trace may come to."""
    files = files_of(None)
    cell = next(iter(every_cell().values()))
    plain = code_for(cell, None, files).functions
    run = {name for entry in ENTRIES.values() for name in reached(entry, plain)}
    for name in shipped_items():
        patch = given(ROOT / "museum" / name / "change.patch")
        assert patch is not None
        other = code_for(cell, None, patch.versions(files)[-1].files).functions
        changed = {each for each in {*plain, *other} if not is_same(plain.get(each), other.get(each))}
        if changed & run:
            yield name


EVENTS, THREADS = 5000, 3
"""So many events of the trace are asked, and windows of at most so many threads."""


def asked(trace: Trace, name: str, timeout: float = 120.0) -> Checked:
    """A trace, asked of the model with a change of the museum."""
    patch = given(ROOT / "museum" / name / "change.patch")
    assert patch is not None
    files = patch.versions(files_of(None))[-1].files
    return check(
        trace, "shared", lambda scenario: code_for(scenario, None, files), change=name, timeout=timeout, until_refused=True, threads=THREADS
    )


def main(paths: list[str]) -> None:
    """Print the table; each path is a trace."""
    given_ = [read(path) for path in (paths or [str(TRACES / "linux-6.1.trace.gz")])]
    traces = [Trace(trace.header, trace.events[:EVENTS]) for trace in given_]
    print("| change of the museum | refused | the first event that cannot be explained |\n| --- | --- | --- |")
    for name in concerned():
        words = []
        for trace in traces:
            answer = asked(trace, name)
            told = [each.cannot[0].partition(" (")[0] if each.cannot else "the end" for each in answer.refused]
            words = [f"{answer.kernel.partition('-')[0]}: {each}" for each in told]
            if words:
                break
        print(f"| `{name}` | {'yes' if words else 'no'} | {words[0] if words else ''} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
