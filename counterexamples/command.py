"""How to see a counterexample again: the command that a reader types."""

from __future__ import annotations

import shlex

from markupsafe import escape
from msgspec import UnsetType

from ..model.system import designs
from .folding import WIDTH
from .schema import Cex, file_name


def command(cex: Cex, name: str | None = None) -> str:
    """What to type to see it again, the document being kept under that name."""
    change = f" --change {shlex.quote(cex.change.partition(':')[0])}" if cex.change and isinstance(cex.patch, UnsetType) else ""
    kernel = "" if cex.kernel == "shipped" else " --kernel DIR"
    design = " --design DIR" if not kernel and cex.design not in designs() else ""
    return f"tdpcheck replay {shlex.quote(file_name(cex) if name is None else name)}{change}{kernel}{design}"


def replay_lines(cex: Cex, name: str) -> str:
    """How to see it again, in lines that are not too long."""
    typed = command(cex, name)
    one = f"Replay: {typed}"
    apart = "\n".join(map(_broken, f"  {typed}".replace(" --", " \\\n    --").split("\n")))
    return one if len(one) <= WIDTH else f"Replay:\n{apart}"


def _broken(line: str) -> str:
    """A command in the lines that a shell reads as one; a name in quotes cannot be broken."""
    lead, _, rest = line.partition("replay ")
    if len(line) <= WIDTH or lead != "  tdpcheck " or "'" in rest:
        return line
    lines = [f"{lead}replay \\", "    "]
    for letter in rest:
        if len(lines[-1]) == WIDTH - 1:
            lines[-1] += "\\"
            lines.append("")
        lines[-1] += letter
    return "\n".join(lines)


def renamed(report: str, cex: Cex, name: str) -> str:
    """A text, or a page with that text in it, which calls the document by the name under which it is kept."""
    own = file_name(cex)
    for written in (str, escape):
        report = report.replace(str(written(replay_lines(cex, own))), str(written(replay_lines(cex, name))))
    return report.replace(own, shlex.quote(name))
