"""A run as one mail: the answer to a patch or a series on a list. Plain ASCII, 72 columns, the changed lines quoted above what they do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..counterexamples.folding import WIDTH, fold
from ..counterexamples.forms.text import text
from ..runner.asking.results import ChangedLine
from .compare import TITLES, WORSE, Comparison, News
from .overview import Cell, Overview, Patch, Violation, also, names

QUOTED = 10
"""So many changed lines of a patch are quoted."""
TOLD = 3
"""So many counterexamples are told whole: who wants more has the page."""
ROWS = 24
COLUMN, LEAST_NAME = 5, 16
LISTED = 8


def mail(view: Overview, compared: Comparison | None = None) -> str:
    """The body of the mail."""
    told = _Told(view)
    parts = [_opening(view)]
    if compared is not None:
        parts.append(_compared(compared))
    parts += [part for patch in view.patches for part in told.patch(patch)]
    parts += told.rest()
    parts += [_matrix(view), _open(view), _granted(view)]
    return _ascii("\n\n".join(part for part in parts if part)) + "\n"


def _opening(view: Overview) -> str:
    document = view.document
    subject = view.subject[0].lower() + view.subject[1:] if view.subject.startswith("The ") else view.subject
    what = f"{subject}, {_count(len(document.results), 'question')}"
    begin = f"tdpcheck on {what} (kernel C {', '.join(view.kernels) or 'none'}, model {document.model}):"
    cut = f"The run was interrupted; {document.not_asked} questions were not asked." if document.interrupted else ""
    return _lines(begin, view.headline, cut)


def _compared(compared: Comparison) -> str:
    lines = [_filled(compared.headline)]
    for turn, items in compared.news.items():
        if turn in WORSE or turn == "fixed":
            lines.append(f"{_count(len(items), 'cell')} {TITLES[turn]}:")
            lines += _listed([_news(n) for n in items])
        else:
            lines.append(f"{_count(len(items), 'cell')} {TITLES[turn]}.")
    if compared.slower:
        lines.append(f"{_count(len(compared.slower), 'cell')} slower:")
        lines += _listed([f"{s.prop} in {s.scenario}: {s.before:.1f} s -> {s.after:.1f} s" for s in compared.slower])
    return "\n".join(lines)


def _news(news: News) -> str:
    return news.sentence


class _Told:
    """Tells each violation once, below the first patch that has it; after `TOLD` of them in one line each."""

    def __init__(self, view: Overview) -> None:
        self._view = view
        self._left = [v for v in view.violations if v.cell.tone == "bad"]
        self._room = TOLD

    def patch(self, patch: Patch) -> Iterator[str]:
        """What is quoted of a patch, and what is said below it."""
        mine = [v for v in self._left if v.cell.record.change == patch.change.name]
        yield _quoted(patch)
        yield self._said(patch)
        for violation in mine:
            self._left.remove(violation)
            yield self._one(violation)

    def _said(self, patch: Patch) -> str:
        said = []
        if patch.introduced:
            said.append(f"This introduces {_count(len(patch.introduced), 'violation')}: {names(patch.introduced)}.")
        if patch.preexisting:
            said.append(f"Violated before this patch already, and still: {names(patch.preexisting)}.")
        if patch.fixed:
            said.append(f"This fixes: {names(patch.fixed)}.")
        if not patch.change.modelled:
            said.append(_unmodelled(patch))
        said += [f"{u.file}:{u.line}: {u.text}: {u.why}." for u in patch.change.unjudged]
        if not said:
            said.append("Nothing that was asked is violated because of this.")
        said += [f"Note: {note}" for note in patch.change.notes]
        return _lines(*said)

    def rest(self) -> Iterator[str]:
        """Violations that no patch of the run brought in, then the expected ones."""
        for violation in list(self._left):
            yield self._one(violation)
        known = [v.cell for v in self._view.violations if v.cell.tone == "known"]
        if known:
            yield "\n".join(["Violated as its scenario expects:", *_listed([f"{names([c])}: {c.full}" for c in known])])

    def _one(self, violation: Violation) -> str:
        cell, left = violation.cell, violation.left
        again = also(violation)
        if left is not None and left.cex is not None and self._room > 0:
            self._room -= 1
            return "\n\n".join([text(left.cex).rstrip("\n"), *([_filled(again)] if again else [])])
        what = f"VIOLATED {cell.record.property} in {cell.record.scenario}: {cell.full}."
        return _lines(what, violation.story or violation.told.strip() if left else "", again)


def _quoted(patch: Patch) -> str:
    title = patch.change.subject or patch.change.name
    lines = [f"> {title}"]
    place = ""
    for line in patch.change.lines[:QUOTED]:
        if line.file != place:
            place = line.file
            lines += [">", f"> {place}:{line.line}"]
        lines.append(_diff_line(line))
    if len(patch.change.lines) > QUOTED:
        lines.append(f"> [... {len(patch.change.lines) - QUOTED} more changed lines]")
    return "\n".join(clipped(line) for line in lines)


def _diff_line(line: ChangedLine) -> str:
    return f"> {'+' if line.kind == 'added' else '-'}{line.text.expandtabs(8).rstrip()}"


def _unmodelled(patch: Patch) -> str:
    if patch.change.refused:
        return f"Not understood, so nothing was asked of it: {patch.change.refused}"
    bad = [line for line in patch.change.lines if line.fate not in ("reached", "unreachable")]
    why = "; ".join(f"{line.file}:{line.line} is {line.fate} ({line.why})" for line in bad[:3])
    more = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
    return f"The model does not contain all of this patch, so nothing that holds is approved: {why}{more}."


# The matrix


def _matrix(view: Overview) -> str:
    """Scenarios that have something to say, one a row, and one letter a property."""
    loud = [s for s in view.scenarios if not view.calm(s)]
    shown = (loud or list(view.scenarios))[:ROWS]
    if not shown:
        return ""
    after = " after the last patch" if len(view.patches) > 1 else ""
    blocks = [f"The answers{after}:"]
    room = max(1, (WIDTH - LEAST_NAME) // COLUMN)
    properties = view.properties
    letters = {p: _letter(n) for n, p in enumerate(properties)}
    for start in range(0, len(properties), room):
        some = properties[start : start + room]
        wide = WIDTH - COLUMN * len(some)
        name = min(wide, max([LEAST_NAME, *(len(s) + 1 for s in shown)]))
        rows = ["".join([" " * name, *(letters[p].rjust(COLUMN) for p in some)])]
        rows += ["".join([clipped(s, name).ljust(name), *(_code(view.last(s, p)).rjust(COLUMN) for p in some)]) for s in shown]
        blocks.append("\n".join(rows))
    blocks.append("\n".join(f"{letter} {p}" for p, letter in letters.items()))
    used = {_code(view.last(s, p)) for s in shown for p in properties}
    blocks.append(_filled("; ".join(_legend(used)) + "."))
    rest = [s for s in view.scenarios if s not in shown]
    if rest:
        blocks.append(_filled(_calm(view, rest)))
    return "\n\n".join(blocks)


def _letter(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else f"{chr(ord('a') + number // 26 - 1)}{chr(ord('a') + number % 26)}"


def _code(cell: Cell | None) -> str:
    if cell is None:
        return "."
    record = cell.record
    match record.verdict:
        case "proved":
            return "P"
        case "holds_up_to":
            return f"h{record.depth}" + ("*" if record.states is not None else "")
        case "violated":
            return f"V{record.depth}" + ("!" if cell.tone == "bad" else "")
        case "waived":
            return "w"
        case "unknown" | "vacuous":
            return "?"


def _legend(used: Iterable[str]) -> Iterator[str]:
    codes = set(used)
    if any(c.endswith("!") for c in codes):
        yield "Vn! violated in n steps"
    if any(c.startswith("V") and not c.endswith("!") for c in codes):
        yield "Vn violated in n steps, as its scenario expects"
    if "P" in codes:
        yield "P proved at every depth"
    if any(c.startswith("h") for c in codes):
        yield "hn holds up to n steps"
    if any(c.endswith("*") for c in codes):
        yield "* every state of this size was visited"
    if "w" in codes:
        yield "w holds if a waiver is right, see below"
    if "?" in codes:
        yield "? unknown, see below"
    if "." in codes:
        yield ". not asked"


def _calm(view: Overview, scenarios: Sequence[str]) -> str:
    cells = [c for s in scenarios for p in view.properties if (c := view.last(s, p)) is not None]
    proved = sum(c.record.verdict == "proved" for c in cells)
    depths = sorted(c.record.depth or 0 for c in cells if c.record.verdict == "holds_up_to")
    parts = [f"{proved} Proved"] if proved else []
    if depths:
        deep = str(depths[0]) if depths[0] == depths[-1] else f"{depths[0]} to {depths[-1]}"
        parts.append(f"{len(depths)} HoldsUpTo {deep}")
    others = len(cells) - proved - len(depths)
    parts += [f"{others} other"] if others else []
    return f"{_count(len(scenarios), 'more scenario')}: {', '.join(parts)}."


# What is open, and what is taken for granted


def _open(view: Overview) -> str:
    lines = []
    for group in view.unknown:
        lines += _bullet(f"{group.reason} [{_count(len(group.cells), 'answer')}: {_few(group.cells)}]")
    blocks = ["\n".join(["Unknown:", *lines])] if lines else []
    if view.proofs:
        blocks.insert(0, "\n".join(["Proved:", *_listed([f"{said}: {_few(cells)}" for said, cells in view.proofs.items()])]))
    if view.suspended:
        blocks.append("\n".join(["Suspended:", *_listed([f"{names([c])}: {c.record.reason}" for c in view.suspended])]))
    if view.shallow:
        said = f"Not every goal is reached within the depth asked for: {_few(view.shallow)}."
        blocks.append(_filled(said))
    unreached = [g for g in view.grounds if g.never]
    if unreached:
        total, never = sum(g.lines for g in view.grounds), sum(g.never for g in unreached)
        blocks.append(_filled(f"{never} of {total} lines of kernel C in these scenarios are executed by no run."))
    return "\n\n".join(blocks)


def _few(cells: Sequence[Cell]) -> str:
    return names(cells[:3]) + (f" and {len(cells) - 3} more" if len(cells) > 3 else "")


def _granted(view: Overview) -> str:
    lines: list[str] = []
    for what in view.assumptions:
        lines += _bullet(what)
    own = [g for g in view.grounds if g.assumptions]
    if len(own) == 1:
        lines += [line for what in own[0].assumptions for line in _bullet(what)]
    elif own:
        lines += _bullet(f"{len(own)} scenarios with threads, sizes and a start of their own: see the page")
    blocks = ["\n".join(["Assumed:", *lines])] if lines else []
    if view.not_modelled:
        said = ", ".join(what + (f" (in {where})" if where and where.count(",") < 2 else " (in some scenarios)" if where else "")
                         for what, where in view.not_modelled)  # fmt: skip
        blocks.append(_filled(f"Not modelled: {said}."))
    if view.bugs:
        each = ", ".join(f"{b.prop} {b.found} of {b.known}" for b in view.bugs)
        blocks.append(_filled(f"{view.bugs_found} By property: {each}."))
    return "\n\n".join(blocks)


# Lines


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _filled(words: str) -> str:
    return "\n".join(fold(words, WIDTH))


def _lines(*paragraphs: str) -> str:
    return "\n".join(_filled(p) for p in paragraphs if p)


def _bullet(words: str) -> list[str]:
    return fold(words, WIDTH, "- ", "  ")


def _listed(items: Sequence[str]) -> list[str]:
    lines = [line for item in items[:LISTED] for line in _bullet(item)]
    return lines + ([f"- and {len(items) - LISTED} more"] if len(items) > LISTED else [])


def clipped(words: str, width: int = WIDTH) -> str:
    """A line of a mail: two dots stand for what does not fit."""
    return words if len(words) <= width else words[: width - 2] + ".."


def _ascii(words: str) -> str:
    plain = words.replace("–", "-").replace("×", "x")
    clean = "".join(c if c == "\n" or 32 <= ord(c) < 127 else "?" for c in plain)
    return "\n".join(line.rstrip() for line in clean.split("\n"))
