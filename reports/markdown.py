"""A run as Markdown for a pull request: the matrix first, everything else folded below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .compare import TITLES, Comparison
from .overview import Cell, Overview, Patch, Tone, Violation, also, names

MARKS: dict[Tone, str] = {"good": "✓", "known": "◇", "bad": "✗", "open": "?"}
"""Beside each verdict, so that it is read without its colour or place."""
TOLD = 6
"""So many counterexamples are told whole: a comment has a greatest length."""
ROWS, LINES = 60, 40


def markdown(view: Overview, compared: Comparison | None = None) -> str:
    """The whole report."""
    parts = [
        f"## tdpcheck: {_plain(view.subject)}",
        f"**{_plain(view.headline)}**" + (f" Interrupted, {view.document.not_asked} not asked." if view.document.interrupted else ""),
        *(_compared(compared) if compared is not None else ()),
        _matrix(view),
        *_patches(view),
        *_violations(view),
        *_open(view),
        *_granted(view),
        f"<sub>{len(view.cells)} answers in {view.seconds:.1f} s of computing; kernel C {_plain(', '.join(view.kernels))}; "
        f"model {_code(view.document.model)}</sub>",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _compared(compared: Comparison) -> Iterator[str]:
    yield f"### Against the earlier run\n\n**{_plain(compared.headline)}** {compared.unchanged} unchanged."
    if compared.news:
        rows = [["", "property", "scenario", "before", "now"]]
        for turn, items in compared.news.items():
            rows += [[TITLES[turn], _code(n.prop), _code(n.scenario), _verdict(n.before), _verdict(n.after)] for n in items]
        yield _table(rows)
    if compared.slower:
        rows = [["slower", "scenario", "before", "now"]]
        rows += [[_code(s.prop), _code(s.scenario), f"{s.before:.1f} s", f"{s.after:.1f} s"] for s in compared.slower]
        yield _table(rows)


def _matrix(view: Overview) -> str:
    series = len(view.changes) > 1
    rows = [["scenario", *(_code(p) for p in view.properties)]]
    shown = sorted(view.scenarios, key=view.calm)[:ROWS]
    for scenario in shown:
        rows.append([_code(scenario), *(_cell(view, scenario, p, series) for p in view.properties)])
    said = ["✓ holds", "◇ violated as expected", "✗ violated", "? unknown", "· not asked"]
    after = " Small numbers are patches." if series else ""
    hidden = len(view.scenarios) - len(shown)
    return _table(rows) + f"\n\n<sub>{', '.join(said)}.{after}{f' {hidden} more scenarios are not shown.' if hidden else ''}</sub>"


def _cell(view: Overview, scenario: str, prop: str, series: bool) -> str:
    spans = view.spans(scenario, prop)
    numbered = series and len(spans) > 1
    return "<br>".join(_verdict(s.cell, short=True) + (f" <sub>{s.numbers}</sub>" if numbered else "") for s in spans) or "·"


def _verdict(cell: Cell | None, *, short: bool = False) -> str:
    if cell is None:
        return "not asked"
    words = _plain(cell.short if short else cell.full)
    return f"{MARKS[cell.tone]} **{words}**" if cell.tone == "bad" else f"{MARKS[cell.tone]} {words}"


def _patches(view: Overview) -> Iterator[str]:
    for patch in view.patches:
        number = f"{patch.number}. " if len(view.patches) > 1 else ""
        title = _plain(patch.change.subject or patch.change.name)
        yield f"### {number}{title}\n\n" + "\n".join(_patch(patch))


def _patch(patch: Patch) -> Iterator[str]:
    for words, cells in (("introduces", patch.introduced), ("fixes", patch.fixed), ("violated before it, too", patch.preexisting)):
        if cells:
            yield f"- {words}: {_plain(names(cells))}"
    fates = ", ".join(f"{number} {fate}" for fate, number in patch.fates.items()) or "none that says anything"
    whole = "" if patch.change.modelled else "; **the change is not modelled as a whole**, so nothing that holds is approved"
    yield f"- changed lines: {fates}{whole}"
    if patch.change.refused:
        yield f"- **not understood**, so nothing was asked of it: {_plain(patch.change.refused)}"
    bad = [line for line in patch.change.lines if line.fate not in ("reached", "unreachable")]
    for line in bad[:LINES]:
        sign = "+" if line.kind == "added" else "-"
        yield f"  - {_code(f'{line.file}:{line.line}')} {_code(sign + line.text.strip())} {line.fate}: {_plain(line.why)}"
    if len(bad) > LINES:
        yield f"  - and {len(bad) - LINES} more lines"
    yield from (f"- {_code(f'{u.file}:{u.line}')} {_code(u.text)} {_plain(u.why)}" for u in patch.change.unjudged)
    yield from (f"- note: {_plain(note)}" for note in patch.change.notes)


def _violations(view: Overview) -> Iterator[str]:
    for number, violation in enumerate(view.violations):
        record = violation.cell.record
        title = f"{MARKS[violation.cell.tone]} {record.property} in {record.scenario}: {violation.cell.full}"
        note = f" ({violation.cell.note})" if violation.cell.note else ""
        lines = [_plain(violation.story)] if violation.story else []
        lines += [_plain(also(violation))] if also(violation) else []
        if number < TOLD:
            lines.append(_fenced(violation.told))
        lines += _files(violation)
        yield _folded(title + note, "\n\n".join(lines), is_open=violation.cell.tone == "bad" and number == 0)


def _files(violation: Violation) -> list[str]:
    left = violation.left
    if left is None:
        return []
    return [_plain(left.fault)] if left.fault else ["Files: " + ", ".join(_code(name) for name in left.links.values())]


def _open(view: Overview) -> Iterator[str]:
    if view.proofs:
        yield _folded("Proofs", "\n".join(f"- {_plain(said)}: {_plain(names(cells))}" for said, cells in view.proofs.items()))
    if view.unknown:
        lines = [f"- {_plain(o.reason)}: {_plain(names(o.cells))}" for o in view.unknown]
        yield "### Unknown\n\n" + "\n".join(lines)
    if view.suspended:
        yield "### Suspended\n\n" + "\n".join(f"- {_plain(names([c]))}: {_plain(c.record.reason or '')}" for c in view.suspended)
    never = [
        f"**{_plain(g.scenario)}, {_plain(role)}**: " + ", ".join(_code(line) for line in s.never)
        for g in view.grounds
        for role, s in g.steps.items()
        if s.never
    ]
    if never:
        total = sum(g.lines for g in view.grounds)
        yield _folded(f"{sum(g.never for g in view.grounds)} of {total} lines are executed by no run", "\n\n".join(never[:ROWS]))


def _granted(view: Overview) -> Iterator[str]:
    lines = [f"- {_plain(a)}" for a in view.assumptions]
    lines += [f"- {_code(g.scenario)}: {_plain('; '.join(g.assumptions))}" for g in view.grounds if g.assumptions]
    lines += [f"- not modelled{f' in {_plain(where)}' if where else ''}: {_plain(what)}" for what, where in view.not_modelled]
    if lines:
        yield _folded("Assumptions, and what is not modelled", "\n".join(lines))
    if view.bugs:
        yield _folded(_plain(view.bugs_found), "\n".join(f"- {_code(b.prop)}: {b.found} of {b.known}" for b in view.bugs))


# Markdown


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *body])


def _folded(title: str, body: str, *, is_open: bool = False) -> str:
    return f"<details{' open' if is_open else ''}><summary>{_html(title)}</summary>\n\n{body}\n\n</details>"


def _fenced(words: str) -> str:
    fence = "```"
    while fence in words:
        fence += "`"
    return f"{fence}text\n{words.rstrip()}\n{fence}"


def _code(words: str) -> str:
    clean = " ".join(words.split()).replace("|", "\\|")
    fence = "`" if "`" not in clean else "``"
    return f"{fence}{clean}{fence}" if fence == "`" else f"{fence} {clean} {fence}"


def _plain(words: str) -> str:
    """Words that mean nothing to Markdown."""
    return "".join(f"\\{c}" if c in "\\`*[]|#~" else _html(c) for c in " ".join(words.split()))


def _html(words: str) -> str:
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
