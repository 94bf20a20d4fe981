"""The answer to a patch on its list: one screen, the patch quoted where it hurts, the run below it, and the lines for whoever mends it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from email.header import Header
from email.utils import formataddr, parseaddr

from unidiff.patch import PatchSet

from ..core.errors import InputError
from ..counterexamples.command import replay_lines
from ..counterexamples.facts import how_deep
from ..counterexamples.folding import WIDTH, fold
from ..counterexamples.forms.text import table
from ..counterexamples.schema import Cex
from ..counterexamples.story import story
from ..runner.asking.results import Change, Posted
from ..runner.telling.answers import verdict_text
from ..runner.telling.causes import Cause, causes
from .mail import clipped
from .overview import Overview
from .stored import Stored, key_of

LINES = 60
"""So many lines the body of the mail has at most."""
QUOTED, AROUND = 14, 3
"""So many lines of a hunk are quoted, and so many around the changed line."""
LISTED = 3


def reply(stored: Stored, patch: int | None = None) -> str:
    """The mail with its headers.

    Args:
        patch: the number of the patch in its series (from 1); without it the first that brings a violation about, else the last one.

    Raises:
        InputError: the run is of no change, or the series has no such patch.
    """
    changes = stored.document.changes
    if not changes:
        raise InputError(
            f"{stored.where}: this run is of no change, so there is no mail to answer; run `tdpcheck verify --change FILE --out DIR`"
        )
    if patch is not None and not 1 <= patch <= len(changes):
        raise InputError(f"--patch {patch}: the series of this run has {len(changes)}; give a number from 1 on")
    found = causes(stored.document, {key: left.cex for key, left in stored.left.items() if left.cex is not None})
    brought = [c for c in found if c.lines]
    named = {c.name: c for c in changes}
    change = changes[patch - 1] if patch is not None else named[brought[0].first.change or ""] if brought else changes[-1]
    mine = [c for c in found if c.first.change == change.name]
    body = _body(stored, change, mine)
    return "\n".join([*_headers(change), "", *body]) + "\n"


def _headers(change: Change) -> Iterator[str]:
    """Where the mail goes; what the patch's own mail does not say is left for its sender to write."""
    posted = change.posted
    subject = (posted.subject if posted is not None else "") or change.subject or change.name
    if posted is not None and posted.sender:
        yield f"To: {formataddr(parseaddr(posted.sender))}"
    yield f"Subject: {Header(subject if subject.lower().startswith('re:') else f'Re: {subject}', maxlinelen=998).encode()}"
    if posted is not None and posted.message_id:
        yield f"In-Reply-To: {posted.message_id}"
        yield f"References: {posted.message_id}"


def _body(stored: Stored, change: Change, found: Sequence[Cause]) -> list[str]:
    told = [c for c in found if c.lines] or list(found)
    nearest = min(told, key=lambda c: c.first.depth or 0) if told else None
    parts = [_quoted(change, nearest)]
    tail = _tail(stored, change, nearest)
    if nearest is None:
        parts.append(_verdict(stored, change))
        return _joined([*parts, *tail])
    left = stored.left.get(key_of(nearest.first))
    cex = left.cex if left is not None else None
    parts += _told(nearest, cex)
    also = [_same(nearest), *(_other(c) for c in told if c is not nearest)]
    parts.append([line for words in also[: LISTED + 1] if words for line in fold(words, WIDTH)])
    if len(also) > LISTED + 1:
        parts[-1].append(f"{len(also) - LISTED - 1} more causes are told in the report.")
    return _joined([*parts, *tail])


def _joined(parts: Sequence[Sequence[str]]) -> list[str]:
    """The parts, with an empty line between them; those in the middle that do not fit are cut, which is said."""
    kept = [list(part) for part in parts if part]
    over = sum(len(part) + 1 for part in kept) - 1 - LINES
    for part in sorted(kept[1:-1], key=len, reverse=True):
        if over <= 0:
            break
        cut = min(over + 1, len(part) - 2)
        if cut > 0:
            part[len(part) - cut :] = ["[...]"]
            over -= cut - 1
    lines = [line for part in kept for line in ("", *part)][1:]
    return ["".join(c if 32 <= ord(c) < 127 else "?" for c in line.replace("–", "-").replace("×", "x")).rstrip() for line in lines]


def _quoted(change: Change, cause: Cause | None) -> list[str]:
    """Who wrote, and the part of the patch that matters."""
    posted = change.posted or Posted("", "", "", "", "")
    lines = []
    if posted.sender:
        when = f"On {posted.date}, " if posted.date else ""
        who = posted.sender.partition("<")[0].strip(' "') or posted.sender
        lines.append(f"{when}{who} wrote:")
    elif not change.diff:
        lines.append(f"> {change.subject or change.name}")
    return [clipped(line) for line in (*lines, *_hunk(change, cause))]


def _hunk(change: Change, cause: Cause | None) -> Iterator[str]:
    """The hunk that the cause stands in, and of a long one what is around the changed line; without a cause the first one."""
    at = cause.at if cause is not None else None
    for file in PatchSet(change.diff):
        for hunk in file:
            lines = list(hunk)
            marked = [
                n
                for n, line in enumerate(lines)
                if at is None
                or (
                    file.path.endswith(at.file)
                    and line.value.rstrip("\n") == at.text.rstrip("\n")
                    and at.line == (line.target_line_no if at.kind == "added" else line.source_line_no)
                    and (line.is_added if at.kind == "added" else line.is_removed)
                )
            ]
            if not marked:
                continue
            middle = next((n for n in marked if lines[n].line_type in "+-"), marked[0])
            first, last = (0, len(lines)) if len(lines) <= QUOTED else (max(0, middle - AROUND), middle + 1 + AROUND)
            yield f"> --- {file.source_file}"
            yield f"> +++ {file.target_file}"
            yield f"> @@ -{hunk.source_start},{hunk.source_length} +{hunk.target_start},{hunk.target_length} @@"
            yield from ["> [...]"] * (first > 0)
            for line in lines[first:last]:
                yield f"> {line.line_type}{line.value.rstrip().expandtabs(8)}"
            yield from ["> [...]"] * (last < len(lines))
            return
    if at is not None:
        yield f"> {at.file}:{at.near or at.line}"
        yield f"> {'+' if at.kind == 'added' else '-'}{at.text.rstrip().expandtabs(8)}"


def _told(cause: Cause, cex: Cex | None) -> list[list[str]]:
    record = cause.first
    if cex is None:
        steps = [f"{n:3} {s.actor:12} {s.text}" for n, s in enumerate(record.trace or (), 1)]
        return [fold(f"This breaks {record.property}, in scenario {record.scenario}: {verdict_text(record)}.", WIDTH), steps]
    what = "This breaks" if cause.lines else "Violated, and not by this patch alone:"
    said = [
        fold(f"{what} {cex.prop.name}: {cex.prop.sentence}", WIDTH),
        fold(f"{story(cex)} ({cex.scenario.name}, {how_deep(cex)})", WIDTH),
    ]
    why = cex.missing.sentence if cex.missing is not None else cex.causes[0].sentence if cex.causes else ""
    return [*said, table(cex).split("\n"), fold(why, WIDTH) if why else []]


def _same(cause: Cause) -> str:
    answers = {(r.scenario, r.property) for r in cause.records}
    if len(answers) == 1:
        return ""
    return f"The same cause shows in {len(answers)} answers of {len(cause.scenarios)} scenarios, and breaks {', '.join(cause.properties)}."


def _other(cause: Cause) -> str:
    at = f" at {cause.at.file}:{cause.at.near or cause.at.line}" if cause.at is not None else ""
    return f"Another one{at}: {cause.first.property} in {cause.first.scenario}, {verdict_text(cause.first)}."


def _verdict(stored: Stored, change: Change) -> list[str]:
    """What is said of a patch that breaks nothing."""
    if change.refused:
        return fold(f"This was not understood, so nothing was asked of it: {change.refused}", WIDTH)
    own = [r for r in stored.document.results if r.change == change.name]
    held = sum(r.verdict in ("proved", "holds_up_to") for r in own)
    open_ = [r for r in own if r.verdict in ("unknown", "vacuous", "waived")]
    lines = fold(f"Nothing that was asked breaks: {held} of {len(own)} answers hold as far as asked.", WIDTH)
    if open_:
        lines += fold(f"{len(open_)} have no answer, the first because of this: {open_[0].reason or verdict_text(open_[0])}", WIDTH)
    return lines


def _tail(stored: Stored, change: Change, cause: Cause | None) -> list[list[str]]:
    """What a maintainer pastes, and how the answer came about."""
    document = stored.document
    tags = []
    posted = change.posted
    if cause is not None and cause.lines:
        if posted is not None and posted.commit:
            tags.append(f'Fixes: {posted.commit[:12]} ("{_untagged(change.subject)}")')
        if posted is not None and posted.message_id:
            tags.append(f"Link: https://lore.kernel.org/r/{posted.message_id.strip('<>')}")
    parts = [["For the changelog of a fix:", *(f"  {tag}" for tag in tags)]] if tags else []
    kernels = ", ".join(dict.fromkeys(r.kernel for r in document.results))
    how = f"tdpcheck, kernel C {kernels}, model {document.model}: {Overview(stored).headline}"
    lines = fold(how, WIDTH)
    left = stored.left.get(key_of(cause.first)) if cause is not None else None
    if left is not None and left.cex is not None:
        lines += replay_lines(left.cex, left.links["json"]).split("\n")
    return [*parts, lines]


def _untagged(subject: str) -> str:
    """A title without its number in the series."""
    return subject.partition("] ")[2] if subject.startswith("[") else subject


__all__ = ["reply"]
