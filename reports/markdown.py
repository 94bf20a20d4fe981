"""A run as Markdown for a pull request: what is wrong first, then the matrix, everything else folded below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..runner.asking.results import ChangedLine
from ..runner.telling.answers import verdict_text
from .compare import TITLES, Comparison
from .overview import Cell, Overview, Patch, Tone, Violation, names
from .stored import key_of

MARKS: dict[Tone, str] = {"good": "✓", "known": "◇", "bad": "✗", "open": "?"}
"""Beside each verdict, so that it is read without its colour or place."""
TOLD = 3
"""So many counterexamples are told whole, each the nearest of its cause."""
ROOM = 60_000
"""Bytes: a pull request's comment holds 64 KB."""
LISTED = 40
ROWS, LINES = 60, 40


def markdown(view: Overview, compared: Comparison | None = None) -> str:
    """The whole report, in as many bytes as a comment holds: what does not fit is left to the page, the least urgent first."""
    head = [
        f"## tdpcheck: {_plain(view.subject)}",
        f"**{_plain(view.headline)}**" + (f" Interrupted, {view.document.not_asked} not asked." if view.document.interrupted else ""),
        *(_compared(compared) if compared is not None else ()),
    ]
    urgent = [*_patches(view), *_violations(view), _matrix(view), *_open(view), *_granted(view)]
    last = (
        f"<sub>{len(view.cells)} answers in {view.seconds:.1f} s of computing; kernel C {_plain(', '.join(view.kernels))}; "
        f"model {_code(view.document.model)}</sub>"
    )
    room = ROOM - sum(len(part.encode()) + 2 for part in (*head, last))
    kept, left_out = [], 0
    for part in urgent:
        size = len(part.encode()) + 2
        if size > room:
            left_out += 1
            continue
        room -= size
        kept.append(part)
    note = f"{left_out} more part{'s' * (left_out > 1)} of this report did not fit; the page, `index.html`, has all." if left_out else ""
    return "\n\n".join(part for part in (*head, *kept, note, last) if part) + "\n"


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
    loud = [s for s in view.scenarios if not view.calm(s)]
    shown = (loud or list(view.scenarios))[:ROWS]
    for scenario in shown:
        rows.append([_code(scenario), *(_cell(view, scenario, p, series) for p in view.properties)])
    said = ["✓ holds", "◇ violated as expected", "✗ violated", "? unknown", "· not asked"]
    after = " Small numbers are patches." if series else ""
    hidden = len(view.scenarios) - len(shown)
    return _table(rows) + f"\n\n<sub>{', '.join(said)}.{after}{_hidden(hidden, len(shown) == len(loud))}</sub>"


def _hidden(number: int, calm: bool) -> str:
    if not number:
        return ""
    return f" In {number} more scenarios all holds." if calm else f" {number} more scenarios are not shown."


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
        yield f"  - {_code(f'{line.file}:{line.line}')} {_code(_sign(line))} {line.fate}: {_plain(line.why)}"
    if len(bad) > LINES:
        yield f"  - and {len(bad) - LINES} more lines"
    yield from (f"- {_code(f'{u.file}:{u.line}')} {_code(u.text)} {_plain(u.why)}" for u in patch.change.unjudged)
    yield from (f"- note: {_plain(note)}" for note in patch.change.notes)


def _violations(view: Overview) -> Iterator[str]:
    """Each cause once: its nearest violation whole, the others a line each; then what scenarios expect."""
    by_run = {key_of(cell.record): v for v in view.violations for cell in (v.cell, *v.others)}
    for number, cause in enumerate(view.causes):
        violation = by_run[key_of(cause.first)]
        cell = view.cells[key_of(cause.first)]
        title = f"{MARKS['bad']} {cell.record.property} in {cell.record.scenario}: {cell.full}" + (f" ({cell.note})" if cell.note else "")
        lines = [f"{_code(f'{cause.at.file}:{cause.at.near or cause.at.line}')} {_code(_sign(cause.at))}"] if cause.at is not None else []
        lines += [_plain(violation.story)] if violation.story else []
        if number < TOLD:
            lines.append(_fenced(violation.told))
        lines += _files(violation)
        rest = [r for r in cause.records if (r.property, r.scenario) != (cell.record.property, cell.record.scenario)]
        each = list(dict.fromkeys(f"- {_code(r.property)} in {_code(r.scenario)}: {_plain(verdict_text(r))}" for r in rest))
        if each:
            more = [f"- and {len(each) - LISTED} more"] if len(each) > LISTED else []
            lines.append("The same cause:\n\n" + "\n".join([*each[:LISTED], *more]))
        yield _folded(title, "\n\n".join(lines), is_open=number == 0)
    known = [v for v in view.violations if v.cell.tone == "known"]
    if known:
        each = [f"- {_plain(names([v.cell, *v.others]))}: {_plain(v.cell.full)}{_noted(v)}" for v in known]
        yield _folded(f"{MARKS['known']} {len(known)} violated as expected", "\n".join(each))


def _noted(violation: Violation) -> str:
    return f" ({_plain(violation.cell.note)})" if violation.cell.note else ""


def _sign(line: ChangedLine) -> str:
    return f"{'+' if line.kind == 'added' else '-'}{line.text.strip()}"


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
