"""The form of a commit message: plain ASCII, 72 columns, one lane an actor, time downwards."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from markupsafe import escape

from .scene import frame_name, gfns, listed, scenes, span, split_cell
from .schema import Cex, Edit, Step, Turn, file_name
from .story import story

WIDTH = 72
ROWS = 20
"""At most so many lines of table; a mail with more is not read."""
TOGETHER = re.compile(r"\b(?:gfn|frame|table|device|iommu|vcpu|root|region|step) (?:[A-Z]\b|\d)[\d,-]*(?: -> \w+)?")
"""What no line ends within."""
LANES = 4
CAUSES, EDITS = 3, 6
"""At most so many causes and lines of the change are told; the others are in the document."""
SEQUENCE = "mmu_invalidate_seq"
"""Where it is read decides which invalidations a fault can miss: such a step is never folded."""
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

MMU_LOCK = frozenset(("mmu_writer", "mmu_reader"))
LOCKS = MMU_LOCK | {"held"}
LEAST = 16
"""The narrowest cell that is still read as a phrase."""


def text(cex: Cex) -> str:
    """The whole report."""
    parts = [
        _head(cex),
        _fill(cex.prop.sentence, "Property: ", "  "),
        _changed(cex),
        _fill(story(cex)),
        _fill(f"{start(cex)}.", "At the start: ", "  "),
        _table(cex),
        _because(cex),
        _tail(cex),
    ]
    return _ascii("\n\n".join(part for part in parts if part)) + "\n"


def shortly(cex: Cex) -> str:
    """What happens, and who does what when: the heart of the report."""
    return _ascii("\n\n".join([_fill(f"{verdict_line(cex)}."), _fill(story(cex)), _table(cex)])) + "\n"


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
    if step.effects or step.mark == "cause" or step.number == cex.depth or SEQUENCE in step.label or _hands_over(cex, step):
        return False
    theirs = {c.cell for other in cex.steps if other.actor != step.actor for c in other.changes if split_cell(c.cell)[0] not in LOCKS}
    return not theirs & set(step.reads) and not any(split_cell(cell)[0] in ("host_mapped", "host_frame") for cell in step.reads)


def _hands_over(cex: Cex, step: Step) -> bool:
    """Whether a step drops mmu_lock and another thread takes it later: that is where the one lets the other in."""
    drops = any(split_cell(c.cell)[0] in MMU_LOCK and c.old for c in step.changes)
    later = (s for s in cex.steps[step.number :] if s.actor != step.actor)
    return drops and any(split_cell(c.cell)[0] in MMU_LOCK and c.new for s in later for c in s.changes)


def where(step: Step) -> str:
    """The file and line of the statement that a reader should look at."""
    return f"{PurePosixPath(step.sources[0].file).name}:{step.sources[0].line}" if step.sources else ""


def _changed(cex: Cex) -> str:
    """The lines of the change, as the report counts them."""
    if not cex.changed:
        return ""
    lines = [line for e in cex.changed[:EDITS] for line in _edit(e)]
    more = [f"  and {len(cex.changed) - EDITS} more lines"] if len(cex.changed) > EDITS else []
    return "\n".join(["The change:", *lines, *more])


def _edit(edit: Edit) -> list[str]:
    at = f"  {PurePosixPath(edit.file).name}:{edit.line}".ljust(18)
    sign = "+" if edit.kind == "added" else "-"
    lines = textwrap.wrap(" ".join(edit.text.split()), WIDTH - len(at) - 2, break_on_hyphens=False) or [""]
    return [f"{at}{sign} {lines[0]}", *(f"{' ' * len(at)}  {line}" for line in lines[1:])]


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
    lines = _headings(lanes) if shown and not lanes.stacked else []
    due = cex.missing
    for step in shown:
        if due is not None and step.number >= due.before:
            lines += fold(due.what, WIDTH, "    (+) missing: ", "        ")
            due = None
        lines += _row(step, lanes)
    return lines


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
    runs = {a.name: f"{a.name} runs {a.entry}()" for a in cex.actors if a.entry}
    walks = {f"iommu {i}": f"iommu {i} translates for {devices}" for i, devices in behind(cex).items()}
    said = [runs.get(name) or walks.get(name) or name for name in acting]
    lines = [f"Actors: {'; '.join(said) or 'none'}" + (f"; idle: {listed(idle)}" if idle else "") + "."]
    if cex.needs:
        lines.append(f"Needs: {'; '.join(cex.needs)}.")
    if cex.assumptions:
        lines.append(f"Assumed{', too' if cex.needs else ''}: {'; '.join(a for a in cex.assumptions if a not in cex.needs)}.")
    lines.append(f"Not modelled here: {', '.join(cex.absent)}.")
    sizes = ", ".join(f"{cex.sizes[sort]} {name}{'s' if cex.sizes[sort] > 1 else ''}" for sort, name in SIZES.items() if sort in cex.sizes)
    lines.append(f"Size: {sizes}. Frames are named A, B, C ...")
    if any(s.sources for s in cex.steps):
        lines.append(f"Lines: {counted_in(cex)}.")
    if any("PSC" in s.label for s in cex.steps):
        lines.append("PSC: the IOMMU's cache of non-leaf entries (paging-structure cache).")
    return "\n".join([*map(_fill, lines), _replay(cex, file_name(cex))])


def counted_in(cex: Cex) -> str:
    """Of which text a report's line numbers are."""
    whose = "our kernel C, model/kernel/*.c" if cex.kernel == "shipped" else f"kernel {cex.kernel}, or for functions of ours model/kernel/"
    return whose + (", with the change applied; a removed line has the number of the nearest one left" if cex.change else "")


def start(cex: Cex) -> str:
    """What a run begins with: who maps what, and which devices there are."""
    first = scenes(cex)[0]
    said = []
    for root in first.each("Root"):
        kind = "".join(
            [", exported," if first.is_set("root_exported", root) else "", " (invalid)" if first.is_set("root_invalid", root) else ""]
        )
        found = [(g, f) for g in first.each("Gfn") if (f := first.walk(root, g)) is not None]
        said.append(f"{first.root(root)}{kind} maps {pairs(found)}")
    unmapped = [
        (g, f) for g in first.each("Gfn") if (f := first.backed(g)) is not None and f not in [first.walk(r, g) for r in first.each("Root")]
    ]
    if unmapped:
        said.append(f"the host backs {pairs(unmapped)}")
    for d in first.each("Device"):
        kind = "" if first.is_set("coherent", d) else ", and its DMA is non-coherent"
        said.append(f"device {d} is {'' if first.is_set('attached', d) else 'not '}attached{kind}")
    return "; ".join(said)


def pairs(found: Sequence[tuple[int, int]]) -> str:
    """What maps to what, neighbours together.

    >>> pairs([(0, 0), (1, 1), (3, 0)])
    'gfn 0-1 -> A-B and gfn 3 -> A'
    """
    runs: list[list[tuple[int, int]]] = []
    for gfn, frame in found:
        if runs and runs[-1][-1] == (gfn - 1, frame - 1):
            runs[-1].append((gfn, frame))
        else:
            runs.append([(gfn, frame)])
    return listed([f"{gfns(g for g, _ in run)} -> {span([frame_name(f) for _, f in run])}" for run in runs]) or "nothing"


def behind(cex: Cex) -> dict[int, str]:
    """The devices for which each IOMMU translates at the end."""
    end = scenes(cex)[-1]
    found = {i: end.devices_of(i) for i in end.each("Iommu")}
    return {i: listed([f"device {d}" for d in devices]) for i, devices in found.items() if devices}


def renamed(report: str, cex: Cex, name: str) -> str:
    """A text, or a page with that text in it, which calls the document by the name under which it is kept."""
    own = file_name(cex)
    for written in (str, escape):
        report = report.replace(str(written(_replay(cex, own))), str(written(_replay(cex, name))))
    return report.replace(own, shlex.quote(name))


def _replay(cex: Cex, name: str) -> str:
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


def command(cex: Cex, name: str | None = None) -> str:
    """What to type to see it again, the document being kept under that name."""
    change = f" --change {shlex.quote(cex.change.partition(':')[0])}" if cex.change else ""
    kernel = "" if cex.kernel == "shipped" else " --kernel DIR"
    return f"tdpcheck replay {shlex.quote(file_name(cex) if name is None else name)}{change}{kernel}"


def _because(cex: Cex) -> str:
    """Causes, near miss and repairs; what nobody looked for is not mentioned."""
    shown = cex.causes[:CAUSES]
    lines = [_fill(_one(cause.sentence), "(*) cause: ", "    ") for cause in shown]
    if len(cex.causes) > CAUSES:
        lines.append(f"    and {len(cex.causes) - CAUSES} more")
    if cex.missing is not None:
        lines.append(_fill(_one(cex.missing.sentence), "(+) cause: ", "    "))
    if cex.near_miss is not None and _turned(cex.near_miss.steps) not in [(c.before, c.after) for c in shown]:
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
