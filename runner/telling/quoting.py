"""What a report quotes: the lines of the change, and the functions of our own kernel C. Text of a kernel tree is never stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from ...counterexamples.schema import Cex, Edit, Listing
from ...kernelc.sources.apply import ChangedLine
from ...kernelc.text.ast import Function
from ...model.system import KERNEL

SAYS_NOTHING = frozenset(("", "{", "}", "};"))


def edits(changed: Iterable[ChangedLine]) -> tuple[Edit, ...]:
    """The lines of a change as the document counts them."""
    return tuple(Edit(c.file, c.kind, c.near, c.text.rstrip()) for c in changed if c.text.strip() not in SAYS_NOTHING)


def listings(cex: Cex, functions: Mapping[str, Function], files: Mapping[str, str]) -> tuple[Listing, ...]:
    """The text of each function of ours that the run passes through, in the order in which it comes to them.

    Args:
        functions: what ran, by name.
        files: the text that it was parsed from; files of a kernel tree are passed over.
    """
    lifted = {entry.partition(" ")[0] for entry in cex.lifted}
    entries = [a.entry for a in cex.actors if a.entry]
    passed = dict.fromkeys([*entries, *(s.function for step in cex.steps for s in step.sources)])
    found = []
    for name in passed:
        function = functions.get(name)
        text = None if function is None or name in lifted else _own_text(function.at.file, files, cex.kernel == "shipped")
        if function is not None and text is not None:
            first, last = function.at.line, function.last_line
            found.append(Listing(function.at.file, name, first, "\n".join(text.split("\n")[first - 1 : last])))
    return tuple(found)


def _own_text(file: str, files: Mapping[str, str], shipped: bool) -> str | None:
    """The text of a file of ours; beside a kernel tree ours are those that we ship, and the tree's paths are none of them."""
    if shipped:
        return files.get(file)
    path = KERNEL / file
    return path.read_text() if path.is_file() and path.resolve().is_relative_to(KERNEL.resolve()) else None


def quoted(cex: Cex, functions: Mapping[str, Function], files: Mapping[str, str], changed: Iterable[ChangedLine] = ()) -> Cex:
    """The document with what it quotes."""
    return msgspec.structs.replace(cex, sources=listings(cex, functions, files), changed=edits(changed))
