"""The report as Markdown, for an issue or a pull request: tables, a Mermaid sequence chart, and the near miss as an edit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ..command import command
from ..entries import entries
from ..facts import MANNERS, MARKS, acting, actors, assumptions, confidence, facts, folded, order, place
from ..schema import Cex
from ..story import story
from .mermaid import mermaid


def markdown(cex: Cex) -> str:
    """The whole report."""
    parts = (_head, _lanes, _chart, _entries, _causes, _near_miss, _repairs, _assumptions, _confidence, _reproduce)
    return "\n".join(line for part in parts for line in part(cex)).strip("\n") + "\n"


def _head(cex: Cex) -> Iterator[str]:
    yield f"## VIOLATED: {_text(cex.prop.name)}"
    yield ""
    yield from _table(("", ""), ((f"**{name}**", _code(value)) for name, value in facts(cex)))
    yield ""
    yield f"> {_text(cex.prop.sentence)}"
    yield ""
    yield _text(story(cex))
    yield ""


def _lanes(cex: Cex) -> Iterator[str]:
    lanes, marked = acting(cex), any(s.mark for s in cex.steps)
    shown = [s for s in cex.steps if not folded(cex, s)]
    yield "### Interleaving"
    yield ""
    heads = ("step", "source", *map(_text, lanes), *(("mark",) if marked else ()))
    rows: list[tuple[str, ...]] = []
    due = cex.missing
    for step in shown:
        if due is not None and step.number >= due.before:
            rows.append(("", "", f"**missing: {_text(due.what)}**", *[""] * (len(heads) - 3)))
            due = None
        cells = [_text(step.label) if name == step.actor else "" for name in lanes]
        at = _code(place(step.sources[0])) if step.sources else ""
        mark = {"cause": "**cause**"}.get(step.mark, MARKS[step.mark])
        rows.append((str(step.number), at, *cells, *((mark,) if marked else ())))
    yield from _table(heads, rows)
    yield ""
    yield from (f"=> **{_text(i.sentence)}**\n" for i in cex.violation)
    hidden = len(cex.steps) - len(shown)
    if hidden:
        yield f"{hidden} step{'s' if hidden != 1 else ''} folded.\n"


def _chart(cex: Cex) -> Iterator[str]:
    yield from ("<details><summary>As a sequence chart</summary>", "", "```mermaid", mermaid(cex).rstrip("\n"), "```", "", "</details>", "")


def _entries(cex: Cex) -> Iterator[str]:
    rows = []
    for entry in entries(cex):
        before, after = entry.flags[max(0, cex.depth - 1)], entry.flags[-1]
        note = "**violates**" if entry.violating else "stale" if entry.stale[-1] else "changed" if before != after else ""
        rows.append((_text(entry.group), "&nbsp;&nbsp;" * entry.indent + _text(entry.name), _flags(before), _flags(after, before), note))
    if rows:
        yield f"### Before and after step {cex.depth}"
        yield ""
        yield from _table(("", "entry", "before", "after", ""), rows)
        yield ""


def _flags(flags: Sequence[str], before: Sequence[str] | None = None) -> str:
    """What is set in an entry; what is new in bold."""
    new = set(flags) - set(before) if before is not None else set()
    return " ".join(f"**{_code(f)}**" if f in new else _code(f) for f in flags) or "0"


def _causes(cex: Cex) -> Iterator[str]:
    said = [*map(order, cex.causes), *([cex.missing.sentence] if cex.missing is not None else [])]
    if said:
        yield from ("### Causes", "")
        yield from (f"- {_text(sentence)}" for sentence in said)
        yield ""


def _near_miss(cex: Cex) -> Iterator[str]:
    near = cex.near_miss
    if near is not None:
        yield from ("### Near miss", "", _text(near.sentence), "")
        rows = ((str(s.number or "new"), _code(s.source), _text(s.actor), _text(s.label), MANNERS[s.manner]) for s in near.steps)
        yield from _table(("step of the run", "source", "who", "what", ""), rows)
        yield ""
    if cex.searched:
        yield from (_text(cex.searched), "")


def _repairs(cex: Cex) -> Iterator[str]:
    if not cex.repairs:
        return
    yield from ("### Repairs", "")
    for repair in cex.repairs:
        yield f"- {_text(repair.sentence)} ({_code(repair.where)}; {_text(repair.verified)})"
        if repair.diff:
            fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", repair.diff)), 3)
            yield from ("", *(f"  {line}".rstrip() for line in (f"{fence}diff", *repair.diff.rstrip("\n").split("\n"), fence)), "")
    yield ""


def _assumptions(cex: Cex) -> Iterator[str]:
    yield from ("### Assumptions", "")
    yield from (f"- {_text(a)}{' **(needed by this violation)**' if needed else ''}" for a, needed in assumptions(cex))
    yield from (f"- {name}: {_text(value)}" for name, value in actors(cex))
    yield ""


def _confidence(cex: Cex) -> Iterator[str]:
    yield from ("### Confidence", "")
    yield from (f"- {_text(line)}" for line in confidence(cex))
    yield ""


def _reproduce(cex: Cex) -> Iterator[str]:
    yield from ("### Reproduce", "", "```", command(cex), "```")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _text(words: str) -> str:
    """Words as words: nothing in them is markup, a link, a mention or a cell's end."""
    clean = "".join(c if c.isprintable() else " " for c in words)
    clean = re.sub(r"([\\`*{}\[\]<|#~])", r"\\\1", clean).replace("@", "&#64;")
    clean = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", clean)  # within a word it means itself
    return re.sub(r"^(\s*\d*)([-+=>.)])", r"\1\\\2", clean)


def _code(words: str) -> str:
    """A span of code, whatever stands in it."""
    clean = "".join(c if c.isprintable() else " " for c in words).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", clean)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if clean.startswith("`") or clean.endswith("`") else ""
    return f"{fence}{pad}{clean}{pad}{fence}" if clean else ""
