"""The diagram of a race as people draw it in mails: columns of what each CPU does, time downwards.

Read are columns under a line of headings (`CPU0    CPU1`), columns that bars part, lines that begin with `CPU0:` and this tool's own
form of a counterexample. Quotation marks of mails, rules and brackets mean nothing here; a comment in a line does not either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ...core.errors import InputError

LONGEST, WIDEST = 400, 300
"""At most so many lines are read, and so many letters of a phrase."""
_QUOTED = re.compile(r"^(?:\s*>)+ ?")
_GAP = re.compile(r"\s{2,}")
_RULE = re.compile(r"^[\s\-=~_+|.:*#]*$")
_HEADING = re.compile(
    r"^(?:\[?(?:v?cpu|cpu|thread|task|core|process)\b\s*[\w#-]*\]?|v?cpu\d+|t\d|iommu ?\d*|device ?\d*|hardware|rcu|dma|guest|host|kvm|vmm"
    r"|userspace|notifier|fault\w*|io[_ ]?fault\w*|mmu[_ ]notifier|kswapd\d*|khugepaged|ksmd?|\w+ thread)(?:\s*[(:\[].*)?$",
    re.I,
)
_PREFIXED = re.compile(r"^\s*\[?((?:v?cpu|thread|task)[ -]?\w{1,3}|t\d|iommu ?\d?|device ?\d?)\]?\s*(?::|\||->|=>)\s*(\S.*)$", re.I)
_NUMBERED = re.compile(r"^\s{0,3}\d{1,3}[.):]?\s+(?=\S)")
_SOURCE = re.compile(r"\b([\w-]+\.[ch]):(\d+)\s*")
_COMMENT = re.compile(r"/\*.*?\*/|//.*$|/\*.*$|^\s*\*/")
_DECORATION = re.compile(r"^[\s{}()\[\];,.|<>=^v*~-]*$|^(?:\.\.\.|…)$")
_OWN = re.compile(r"^(?:VIOLATED|POSSIBLE)\b.*\bscenario (\S+)")
_OWN_CHANGE = re.compile(r"^change (\S+)\s{2,}")
_TAB, _SET_IN, _GUESSED = 8, 12, 4
_ENDS = ("=> ", "(*)", "(+)")
_MARK = re.compile(r"\s*\(\*\)\s*$")


@dataclass(frozen=True)
class Entry:
    """Something that a column says.

    Args:
        line: of the text, counted from 1; those of one line happen in any order.
        column: by its number, from the left.
        indent: by how much it stands further right than the column begins: what is called stands further right than who calls it.
        source: `file.c:line`, where that stands before it.
        opens: it ends in a brace, so that what follows in its column happens inside.
    """

    line: int
    column: int
    text: str
    indent: int = 0
    source: str = ""
    opens: bool = False


@dataclass(frozen=True)
class Diagram:
    """Columns by their headings, and what they say, downwards.

    Args:
        scenario: the one that the text itself names, as this tool's own reports do; empty if none. `change`, likewise.
    """

    headings: tuple[str, ...]
    entries: tuple[Entry, ...]
    scenario: str = ""
    change: str = ""

    def rows(self) -> Iterator[list[int]]:
        """The numbers of the entries, those of a line together; what one column says is in order."""
        row: list[int] = []
        for number, entry in enumerate(self.entries):
            if row and (entry.line != self.entries[row[-1]].line or entry.column in {self.entries[n].column for n in row}):
                yield row
                row = []
            row.append(number)
        if row:
            yield row


def read_diagram(text: str, where: str) -> Diagram:
    """The diagram in a text; what stands before its headings is not read.

    Raises:
        InputError: there are no columns, or nothing stands in them.
    """
    lines = [_QUOTED.sub("", line).expandtabs(8).rstrip() for line in text.splitlines()]
    scenario = next((own[1] for line in lines if (own := _OWN.match(line))), "")
    found = _prefixed(lines) or _columns(lines, where, 1 if scenario else 2)
    if not found.entries:
        names = ", ".join(found.headings)
        raise InputError(f"{where}: its columns ({names}) are empty; write below them what each one does, a step a line")
    if len(found.entries) > LONGEST:
        raise InputError(f"{where}: {len(found.entries)} steps; at most {LONGEST} are read: leave out what does not matter to the race")
    longest = max(found.entries, key=lambda entry: len(entry.text))
    if len(longest.text) > WIDEST:
        raise InputError(f"{where}: line {longest.line} has a phrase of {len(longest.text)} letters; say it in at most {WIDEST}")
    change = next((own[1] for line in lines if (own := _OWN_CHANGE.match(line))), "") if scenario else ""
    return replace(found, scenario=scenario, change="" if change == "none" else change)


def _prefixed(lines: Sequence[str]) -> Diagram | None:
    """Lines that begin with who does it."""
    found = [(number, match) for number, line in enumerate(lines, 1) if (match := _PREFIXED.match(line))]
    names = tuple(dict.fromkeys(_squeezed(match[1]) for _, match in found))
    if len(names) < 2 or len(found) < 2:
        return None
    entries = [entry for number, match in found for entry in _entries(number, names.index(_squeezed(match[1])), match[2], match.start(2))]
    return Diagram(names, tuple(entries))


def _columns(lines: Sequence[str], where: str, least: int) -> Diagram:
    """So many columns or more under a line of headings."""
    known = (_headings(line, lines[number + 1] if number + 1 < len(lines) else "", least) for number, line in enumerate(lines))
    for sure, found in ((True, known), (False, map(_words, lines))):
        for number, heads in enumerate(found):
            if heads:
                starts = [start for start, _ in heads]
                more = _more(lines[number + 1] if number + 1 < len(lines) else "", starts)
                heads = [(start, f"{name} {more.get(n, '')}".strip()) for n, (start, name) in enumerate(heads)]
                below = _below(lines, number + 2 if more else number + 1, starts)
                if sure or len({entry.column for entry in below}) > 1:
                    return Diagram(tuple(name for _, name in heads), tuple(below))
    raise InputError(
        f"{where}: no line of headings was found; begin the diagram with one like `CPU0          CPU1`, two blanks or more apart, "
        "and write below each what it does, time downwards"
    )


def _headings(line: str, next_line: str, least: int) -> list[tuple[int, str]]:
    """Where columns begin, and what stands above them: names that are known for that, or whatever has a rule under it."""
    bare = line.replace("|", " ")
    cells = _cells(bare)
    if len(cells) < least:
        return []
    rules = next_line.replace("|", " ").split()
    ruled = len(rules) >= len(cells) and bool(_RULE.match(next_line)) and bool(re.search(r"[-=]{2,}", next_line))
    named = sum(bool(_HEADING.match(name)) for _, name in cells)
    return cells if ruled or named == len(cells) or (named >= 2 and "cpu" in line.lower()) else []


def _more(line: str, starts: Sequence[int]) -> dict[int, str]:
    """What a second line of headings says, in brackets, by column; nothing, if it is none."""
    cells = _cells(line.replace("|", " "))
    if not cells or not all(name.startswith("(") and name.endswith(")") for _, name in cells):
        return {}
    return {_column(at, starts, {}): name for at, name in cells}


def _words(line: str) -> list[tuple[int, str]]:
    """The cells of a line that may be one of headings, since they are words alone."""
    cells = _cells(line.replace("|", " "))
    return cells if 1 < len(cells) <= _GUESSED and not any(re.search(r"[;={]|\(\)|\w\(", name) for _, name in cells) else []


def _cells(line: str) -> list[tuple[int, str]]:
    """The phrases of a line, two blanks or more apart, each with the place at which it begins."""
    found, at = [], 0
    for phrase in re.split(r"(\s{2,})", line):
        if phrase.strip():
            found.append((at + len(phrase) - len(phrase.lstrip()), phrase.strip()))
        at += len(phrase)
    return found


def _below(lines: Sequence[str], first: int, starts: Sequence[int]) -> list[Entry]:
    """What stands below the headings. Where steps have numbers, a line without one goes on with what its column said last."""
    found: list[Entry] = []
    gap, waiting, counted = False, "", False
    last: dict[int, int] = {}
    for number, line in enumerate(lines[first:], first + 1):
        gap = gap or not line.strip()
        if line.startswith(_ENDS):
            break
        numbered = _NUMBERED.match(line)
        counted = counted or (numbered is not None and not found)
        plain = " " * numbered.end() + line[numbered.end() :] if numbered else line
        plain = _COMMENT.sub(lambda comment: " " * len(comment[0]), plain).replace("|", " ")
        if _RULE.match(plain) or plain.strip().startswith("(+)"):
            continue
        cells = _cells(plain)
        if found and gap and _is_prose(cells[0], starts):
            break
        gap = False
        for at, phrase in cells:
            source = _SOURCE.match(phrase)
            if source and not phrase[source.end() :].strip():
                waiting = f"{source[1]}:{source[2]}"
                continue
            column = _column(at, starts, last)
            last[column] = at
            before = next((n for n in range(len(found) - 1, -1, -1) if found[n].column == column), None)
            if counted and not numbered and before is not None:
                first_part, *others = [entry.text for entry in _entries(number, column, phrase, 0)] or [""]
                found[before] = replace(found[before], text=f"{found[before].text} {first_part}".strip())
                found += [replace(found[before], text=other) for other in others]
                continue
            found += _entries(number, column, phrase, at - starts[column], waiting)
            waiting = ""
    return found


def _column(at: int, starts: Sequence[int], last: Mapping[int, int]) -> int:
    """The column of a phrase: that under whose heading it begins, or the next one, if it begins left of that heading, which is often set
    in the middle; but what is called by the last phrase of a column stands no more than a tab further right than that.
    """
    column = max((n for n, start in enumerate(starts) if start <= at + 1), default=0)
    if column + 1 < len(starts) and at > starts[column]:
        near = starts[column + 1] - at <= min(_SET_IN, (starts[column + 1] - starts[column]) // 2)
        if near and not 0 <= at - last.get(column, starts[column]) <= _TAB:
            return column + 1
    return column


def _is_prose(cell: tuple[int, str], starts: Sequence[int]) -> bool:
    """Whether a line behind an empty one is no part of the diagram: it begins left of it, or goes on under the next heading."""
    at, phrase = cell
    return at < starts[0] - 1 or (len(starts) > 1 and at < starts[1] - 1 and at + len(phrase) > starts[1])


def _entries(number: int, column: int, phrase: str, indent: int, source: str = "") -> Iterator[Entry]:
    """What one cell says: several things in a row where semicolons part them."""
    found = _SOURCE.match(phrase)
    if found:
        source, phrase = f"{found[1]}:{found[2]}", phrase[found.end() :]
    for part in _MARK.sub("", phrase).split(";"):
        if not _DECORATION.match(part):
            yield Entry(number, column, " ".join(part.split()), indent, source, part.rstrip().endswith("{"))
            source = ""  # the first of several stands there


def _squeezed(name: str) -> str:
    return " ".join(name.split())


__all__ = ["Diagram", "Entry", "read_diagram"]
