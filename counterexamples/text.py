"""The form of a commit message: plain ASCII, 72 columns, one lane an actor, time downwards."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from .scene import listed, split_cell
from .schema import Cex, Step, Turn, file_name
from .story import story

WIDTH = 72
ROWS = 20
"""At most so many lines of table; a mail with more is not read."""
TOGETHER = re.compile(r"\b(?:gfn|frame|table|device|iommu|vcpu|root|region|step) (?:[A-Z]\b|\d)[\d,-]*(?: -> \w+)?")
"""What no line ends within."""
LANES = 4
CAUSES = 2
"""At most so many causes are told; the others are in the document."""
NAME, HEADING = 12, 20
SIZES = {
    "Gfn": "gfn",
    "Frame": "frame",
    "Pt": "table page",
    "Root": "root",
    "Iommu": "IOMMU",
    "Device": "device",
    "Vcpu": "vCPU",
    "Thread": "thread",
}

LOCKS = frozenset(("mmu_writer", "mmu_reader", "held"))
LEAST = 16
"""The narrowest cell that is still read as a phrase."""


def text(cex: Cex) -> str:
    """The whole report."""
    parts = [_head(cex), _fill(cex.prop.sentence, "Property: ", "  "), _fill(story(cex)), _table(cex), _because(cex), _tail(cex)]
    return _ascii("\n\n".join(part for part in parts if part)) + "\n"


def verdict_line(cex: Cex) -> str:
    """What is violated, where, and how soon."""
    return f"VIOLATED {cex.prop.name} in scenario {cex.scenario.name}, {_depth(cex)}"


def _depth(cex: Cex) -> str:
    return f"depth {cex.depth}" + (" (shortest)" if cex.shortest else "")


def is_noise(cex: Cex, step: Step) -> bool:
    """Whether a step can be left out of the telling: it changes nothing but its thread's own place, locals and locks, and looks at nothing
    that another actor changes or that the host maps. The step that breaks the property never is, nor one that is marked as a cause.
    """
    if step.mark == "noise":
        return True
    if step.effects or step.mark == "cause" or step.number == cex.depth:
        return False
    theirs = {c.cell for other in cex.steps if other.actor != step.actor for c in other.changes if split_cell(c.cell)[0] not in LOCKS}
    return not theirs & set(step.reads) and not any(split_cell(cell)[0] in ("host_mapped", "host_frame") for cell in step.reads)


def where(step: Step) -> str:
    """The file and line of the statement that a reader should look at."""
    return f"{PurePosixPath(step.sources[0].file).name}:{step.sources[0].line}" if step.sources else ""


def _head(cex: Cex) -> str:
    design = "" if cex.design == "shared" else f"design {cex.design}"
    facts = [f"VIOLATED {cex.prop.name}", f"scenario {cex.scenario.name}", _depth(cex)]
    more = [
        f"change {cex.change or 'none'}",
        design,
        f"kernel C {cex.kernel}",
        f"model {cex.model}",
        f"engine {cex.engine}",
        "replayed: yes",
    ]
    return _packed(facts) + "\n" + _packed([m for m in more if m])


def _packed(facts: list[str]) -> str:
    """Facts side by side, as many a line as fit."""
    lines = [""]
    for fact in facts:
        if lines[-1] and len(lines[-1]) + 3 + len(fact) > WIDTH:
            lines.append("")
        lines[-1] += ("   " if lines[-1] else "") + _shorten(fact, WIDTH)
    return "\n".join(lines)


def _fill(words: str, first: str = "", indent: str = "") -> str:
    return "\n".join(fold(words, WIDTH, first, indent))


def fold(words: str, width: int, first: str = "", indent: str = "") -> list[str]:
    """Lines of at most `width` characters; 'gfn 1 -> A' and its like stay on one."""
    held = TOGETHER.sub(lambda m: m[0].replace(" ", "\0"), words)
    lines = textwrap.wrap(held, width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False)
    return [line.replace("\0", " ") for line in lines]


@dataclass(frozen=True)
class _Lanes:
    """Where each actor's column begins and what stands above it; a column without heading is a list of who did what."""

    starts: dict[str, int]
    heads: dict[str, str]
    stacked: bool = False


def _table(cex: Cex) -> str:
    """The lanes, what is violated, and how much is not shown."""
    shown = [s for s in cex.steps if not is_noise(cex, s)]
    # What is left may still be too much: the earliest steps without effect go first, those that the story names last.
    told = {int(n) for n in re.findall(r"step (\d+)", story(cex))} | {cex.depth}
    droppable = sorted(shown, key=lambda s: (s.number in told or s.mark == "cause", bool(s.effects), s.number))
    lines = _lanes(cex, shown)
    while len(lines) > ROWS and len(shown) > 1:
        shown.remove(droppable.pop(0))
        lines = _lanes(cex, shown)
    lines += ["", *(_fill(f"{i.sentence}.", "=> ", "   ") for i in cex.violation[:3])]
    if len(cex.violation) > 3:
        lines.append(f"   and {len(cex.violation) - 3} more")
    folded = len(cex.steps) - len(shown)
    if folded:
        lines.append(f"({folded} step{'s' if folded != 1 else ''} folded: {_why(cex, folded)})")
    return "\n".join(lines).strip("\n")


def _why(cex: Cex, folded: int) -> str:
    noise = sum(is_noise(cex, s) for s in cex.steps)
    return "locks, loops and local values" if folded <= noise else "the table has no room for all"


def _lanes(cex: Cex, shown: Sequence[Step]) -> list[str]:
    lanes = _lay_out(cex, shown)
    return [*(_headings(lanes) if shown and not lanes.stacked else []), *(line for step in shown for line in _row(step, lanes))]


def _lay_out(cex: Cex, shown: Sequence[Step]) -> _Lanes:
    """Each column begins as far to the left as its cells need, but after the heading of the one before: there is one event a line, so a
    cell may run on below the headings to its right. Too many actors for that stand in one column by name.
    """
    left = 4 + max((len(where(s)) + 2 for s in shown if s.sources), default=0)
    names = [a.name for a in cex.actors if any(s.actor == a.name for s in shown)]
    if len(names) > LANES:
        wide = min(max(map(len, names)), NAME)
        return _Lanes(dict.fromkeys(names, left), {n: _shorten(n, wide).ljust(wide) + "  " for n in names}, stacked=True)
    starts: dict[str, int] = {}
    heads: dict[str, str] = {}
    free = left
    for lane, name in enumerate(names):
        rest = len(names) - lane - 1
        need = max(len(s.label) + 4 * (s.mark == "cause") for s in shown if s.actor == name)
        starts[name] = max(free, min(left + lane * (WIDTH - left) // len(names), WIDTH - need))
        room = (WIDTH - LEAST - free) // rest - 2 if rest else WIDTH - starts[name]
        heads[name] = _shorten(name, min(HEADING, max(4, room)))
        free = starts[name] + len(heads[name]) + 2
    return _Lanes(starts, heads)


def _headings(lanes: _Lanes) -> list[str]:
    names = _placed([(lanes.starts[n], head) for n, head in lanes.heads.items()])
    return [names, _placed([(lanes.starts[n], "-" * len(head)) for n, head in lanes.heads.items()])]


def _row(step: Step, lanes: _Lanes) -> list[str]:
    start = lanes.starts[step.actor]
    who = lanes.heads[step.actor] if lanes.stacked else ""
    mark = " (*)" if step.mark == "cause" else ""
    lines = textwrap.wrap(who + step.label + mark, WIDTH - start, subsequent_indent=" " * len(who) + "  ", break_on_hyphens=False) or [who]
    if len(lines) > 2:
        rest = " ".join([lines[1], *(x.strip() for x in lines[2:])]).removesuffix(mark)
        lines = [lines[0], _shorten(rest, WIDTH - start - len(mark)) + mark]
    first = _placed([(0, f"{step.number:>2}"), (4, where(step)), (start, lines[0])])
    return [first, *(_placed([(start, more)]) for more in lines[1:])]


def _placed(pieces: Sequence[tuple[int, str]]) -> str:
    line = ""
    for start, piece in pieces:
        line = line.ljust(start) + piece
    return line


def _tail(cex: Cex) -> str:
    acting = [a.name for a in cex.actors if any(s.actor == a.name for s in cex.steps)]
    idle = [a.name for a in cex.actors if a.name not in acting]
    lines = [f"Actors: {listed(acting) or 'none'}" + (f"; idle: {listed(idle)}" if idle else "") + "."]
    if cex.needs:
        lines.append(f"Needs: {'; '.join(cex.needs)}.")
    if cex.assumptions:
        lines.append(f"Assumed, too: {'; '.join(a for a in cex.assumptions if a not in cex.needs)}.")
    lines.append(f"Not modelled here: {', '.join(cex.absent)}.")
    sizes = ", ".join(f"{cex.sizes[sort]} {name}{'s' if cex.sizes[sort] > 1 else ''}" for sort, name in SIZES.items() if sort in cex.sizes)
    lines.append(f"Size: {sizes}. Frames are named A, B, C ...")
    if any("PSC" in s.label for s in cex.steps):
        lines.append("PSC: the IOMMU's cache of non-leaf entries (paging-structure cache).")
    typed = command(cex)
    one = f"Replay: {typed}"
    lines.append(one if len(one) <= WIDTH else "Replay:\n  " + typed.replace(" --", " \\\n    --"))
    return "\n".join(line if line.startswith("Replay") else _fill(line) for line in lines)


def command(cex: Cex) -> str:
    """What to type to see it again."""
    change = f" --change {shlex.quote(cex.change.partition(':')[0])}" if cex.change else ""
    kernel = "" if cex.kernel == "shipped" else " --kernel DIR"
    return f"tdpcheck replay {shlex.quote(file_name(cex))}{change}{kernel}"


def _because(cex: Cex) -> str:
    """Causes, near miss and repairs; what nobody looked for is not mentioned."""
    lines = [_fill(_one(cause.sentence), "(*) cause: ", "    ") for cause in cex.causes[:CAUSES]]
    if len(cex.causes) > CAUSES:
        lines.append(f"    and {len(cex.causes) - CAUSES} more")
    if cex.near_miss is not None and not (cex.causes and _turned(cex.near_miss.steps) == (cex.causes[0].before, cex.causes[0].after)):
        lines.append(_fill(cex.near_miss.sentence, "Near miss: ", "    "))
    if cex.searched:
        lines.append(_fill(cex.searched))
    for repair in cex.repairs:
        lines.append(_fill(f"{repair.sentence} ({repair.where}); then {repair.verified}.", "Repair: ", "    "))
    return "\n".join(lines)


def _one(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _turned(steps: Sequence[Turn]) -> tuple[int, int] | None:
    """The first two steps that have changed places."""
    numbers = [t.number for t in steps if t.number]
    return next(((b, a) for a, b in pairwise(numbers) if a > b), None)


def _shorten(words: str, width: int) -> str:
    return words if len(words) <= width else words[: max(1, width - 2)] + ".."


def _ascii(words: str) -> str:
    clean = "".join(c if c == "\n" or 32 <= ord(c) < 127 else "?" for c in words)
    return "\n".join(line.rstrip() for line in clean.split("\n"))
