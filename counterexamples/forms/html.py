"""The report as one HTML file: no network, readable without JavaScript, and with it a run that one can step through.

Everything is drawn here for the step that breaks the property; the script only changes what the parts say. A policy in the page itself
forbids every request and every script but ours, so that nothing in a document can make a browser fetch or run anything.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ...model.view.naming import number_of
from .. import facts
from ..command import command
from ..entries import Entry, entries
from ..facts import counted_in
from ..folding import TOGETHER
from ..picture import Picture, picture
from ..schema import Cex, Listing, Source, Step
from ..story import story
from .markdown import markdown
from .text import text

TEMPLATES = Path(__file__).parent / "templates"
WORDS = re.compile(
    r"(?P<comment>/\*.*?\*/|//.*|^\s*\*.*|/\*.*)|"
    r"\b(?P<word>static|struct|void|bool|int|unsigned|long|const|if|else|for|while|do|return|goto|break|continue|true|false|NULL)\b"
)

STEP = re.compile(r"\bstep (\d{1,4})\b", re.IGNORECASE)


def html(cex: Cex) -> str:
    """The whole page."""
    style, script = _asset("report.css"), _asset("report.js")
    drawing, found = picture(cex), entries(cex)
    panes = tuple(_panes(cex))
    return _environment().get_template("report.html.j2").render(
        cex=cex,
        title=f"{cex.prop.name} in {cex.scenario.name}: violated",
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'",
        facts=facts.facts(cex),
        story=story(cex),
        counted=counted_in(cex),
        lanes=_lanes(cex),
        marked=any(s.mark for s in cex.steps),
        rows=[_row(cex, s) for s in cex.steps],
        hidden=sum(facts.folded(cex, s) for s in cex.steps),
        picture=drawing,
        entries=[_changed(e, cex.depth) for e in found],
        panes=panes,
        assumptions=facts.assumptions(cex),
        actors=facts.actors(cex),
        manners=facts.MANNERS,
        causes=[facts.order(c) for c in cex.causes],
        confidence=facts.confidence(cex),
        command=command(cex),
        mail=text(cex),
        markdown=markdown(cex),
        data=Markup(_data(cex, drawing, found, panes)),
    )  # fmt: skip


@dataclass(frozen=True)
class Lane:
    """An actor's column."""

    number: int
    name: str
    kind: str


@dataclass(frozen=True)
class Row:
    """A step as the table shows it."""

    step: Step
    lane: int
    place: str
    folded: bool
    breaks: bool


@dataclass(frozen=True)
class Line:
    """A line of the source pane; `hits` are the steps that execute it, `kind` says whether the change added or removed it."""

    key: str
    number: int
    text: Markup
    hits: tuple[int, ...] = ()
    kind: str = ""


@dataclass(frozen=True)
class Function:
    """A function in the source pane, or the statements of one that was lifted from a kernel tree."""

    key: str
    file: str
    name: str
    lines: tuple[Line, ...]
    quoted: bool


@dataclass(frozen=True)
class Pane:
    """What a thread executes. By step: the key of the line at which it is, and those that it has just run."""

    lane: int
    name: str
    entry: str
    functions: tuple[Function, ...]
    at: tuple[str, ...]
    ran: tuple[tuple[str, ...], ...] = field(default=())


def _lanes(cex: Cex) -> tuple[Lane, ...]:
    kinds = {a.name: a.kind for a in cex.actors}
    return tuple(Lane(n, name, kinds.get(name, "")) for n, name in enumerate(facts.acting(cex)))


def _row(cex: Cex, step: Step) -> Row:
    lane = facts.acting(cex).index(step.actor)
    at = facts.place(step.sources[0]) if step.sources else ""
    return Row(step, lane, at, facts.folded(cex, step), step.number == cex.depth)


def _changed(entry: Entry, step: int) -> dict[str, object]:
    """An entry before and after a step, for the table."""
    before, after = entry.flags[max(0, step - 1)], entry.flags[step]
    return {
        "entry": entry,
        "before": [(f, "" if f in after else "cleared") for f in before],
        "after": [(f, "" if f in before else "set") for f in after],
        "changed": before != after,
        "note": "violates the property" if entry.violating else "stale" if entry.stale[step] else "",
    }


# The source pane


def _panes(cex: Cex) -> Iterator[Pane]:
    threads = {a.name: a for a in cex.actors if a.kind == "thread"}
    listed = {(listing.file, listing.function): listing for listing in cex.sources}
    for number, name in enumerate(facts.acting(cex)):
        steps = [s for s in cex.steps if s.actor == name and s.sources]
        if name in threads and steps:
            yield _pane(cex, number, threads[name].name, threads[name].entry, steps, listed)


def _pane(cex: Cex, lane: int, name: str, entry: str, steps: Sequence[Step], listed: dict[tuple[str, str], Listing]) -> Pane:
    hits: dict[tuple[str, str], dict[int, dict[int, str]]] = {}
    for step in steps:
        for source in step.sources:
            hits.setdefault((source.file, source.function), {}).setdefault(source.line, {}).setdefault(step.number, source.text)
    keys = {place: f"t{lane}f{n}" for n, place in enumerate(hits)}
    functions = tuple(_function(cex, keys[place], place, lines, listed.get(place)) for place, lines in hits.items())
    at, last = [""], ""
    ran: list[tuple[str, ...]] = [()]
    by_number = {s.number: s for s in steps}
    known = {line.key for f in functions for line in f.lines}
    for each in cex.steps:
        own = by_number.get(each.number)
        now: tuple[str, ...] = ()
        if own is not None:
            now = tuple(k for k in (_line_key(keys, s) for s in own.sources) if k in known)
            last = now[0] if now else last
        at.append(last)
        ran.append(now)
    return Pane(lane, name, entry, functions, tuple(at), tuple(ran))


def _line_key(keys: dict[tuple[str, str], str], source: Source) -> str:
    return f"{keys[source.file, source.function]}l{source.line}"


def _function(cex: Cex, key: str, place: tuple[str, str], hits: dict[int, dict[int, str]], listing: Listing | None) -> Function:
    file, name = place
    if listing is None:
        lines = tuple(Line(f"{key}l{n}", n, Markup.escape(next(iter(steps.values()))), tuple(steps)) for n, steps in sorted(hits.items()))
        return Function(key, file, name, lines, quoted=False)
    added = {e.line for e in cex.changed if e.kind == "added" and e.file == file}
    found: list[Line] = []
    for n, line in enumerate(listing.text.split("\n"), listing.line):
        found += [
            Line(f"{key}d{n}.{k}", 0, Markup.escape(e.text), kind="removed")
            for k, e in enumerate(cex.changed) if e.kind == "removed" and e.file == file and e.line == n
        ]  # fmt: skip
        found.append(Line(f"{key}l{n}", n, highlighted(line), tuple(hits.get(n, ())), "added" if n in added else ""))
    return Function(key, file, name, tuple(found), quoted=True)


def highlighted(line: str) -> Markup:
    """A line of C with its comments and keywords set off."""
    made, last = Markup(""), 0
    for match in WORDS.finditer(line):
        kind = "c" if match["comment"] else "k"
        made += Markup.escape(line[last : match.start()]) + Markup('<i class="{}">{}</i>').format(kind, match[0])
        last = match.end()
    return made + Markup.escape(line[last:])


# What the script needs


class _Strings:
    """Each string once."""

    def __init__(self) -> None:
        self.all: dict[str, int] = {"": 0}

    def __call__(self, word: str) -> int:
        return self.all.setdefault(word, len(self.all))


def _data(cex: Cex, drawing: Picture, found: Iterable[Entry], panes: Iterable[Pane]) -> str:
    """What each part says by step, as JSON that can stand inside of a page."""
    strings = _Strings()
    data = {
        "depth": cex.depth,
        "lanes": facts.acting(cex),
        "steps": [[row.lane, strings(arrows(row.step.label)), strings(row.place)] for row in (_row(cex, s) for s in cex.steps)],
        "parts": {p.key: [[strings(x.text), strings(x.state)] for x in p.looks] for p in drawing.parts},
        "arrows": {a.key: [strings(x) for x in a.looks] for a in drawing.arrows},
        "entries": [[[[strings(f) for f in flags] for flags in e.flags], [int(x) for x in e.stale], int(e.violating)] for e in found],
        "panes": [[p.lane, [strings(k) for k in p.at], [[strings(k) for k in keys] for keys in p.ran]] for p in panes],
        "strings": list(strings.all),
    }  # fmt: skip
    written = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    for odd in "<>&\u2028\u2029":
        written = written.replace(odd, f"\\u{ord(odd):04x}")
    return written


def linked(words: str, depth: int) -> Markup:
    """A sentence in which each step of the run that it names is a link to it."""
    made, last = Markup(""), 0
    sentence = arrows(words)
    for match in STEP.finditer(sentence):
        if 1 <= (number_of(match[1]) or 0) <= depth:
            made += Markup.escape(sentence[last : match.start()]) + Markup('<a href="#step={}">{}</a>').format(match[1], match[0])
            last = match.end()
    return made + Markup.escape(sentence[last:])


def arrows(words: str) -> str:
    """Words with arrows that stay beside what they point at."""
    return words.replace(" -> ", " \u2192\u00a0")


def label(words: str) -> Markup:
    """What stands in a narrow lane: 'gfn 0' stays on a line, and a long name breaks after an underscore."""
    held = TOGETHER.sub(lambda m: m[0].replace(" ", "\u00a0"), words).replace("\u00a0->\u00a0", " -> ")
    return Markup("_<wbr>").join(arrows(held).split("_"))


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    made.filters["arrows"] = arrows
    made.filters["label"] = label
    made.filters["linked"] = linked
    made.filters["g"] = lambda number: f"{number:g}"
    made.filters["sentence"] = lambda words: arrows(f"{words[:1].upper()}{words[1:].rstrip('.')}.")
    return made


@cache
def _asset(name: str) -> str:
    return (TEMPLATES / name).read_text()


def _hash(content: str) -> str:
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"
