"""An answer in a few words, and the line that sums a run up: the same in tables, pages, mails and logs."""

from __future__ import annotations

from ...checker.every_size.induction import EVERY_SIZE
from ..asking.results import Document, Result


def verdict_text(record: Result) -> str:
    """The verdict with its bound; never a bare word."""
    match record.verdict:
        case "proved":
            sizes = "every size" if record.sizes == EVERY_SIZE else "this size"
            return f"Proved ({sizes}" + (f"; certificate {record.certificate})" if record.certificate else ")")
        case "violated":
            shortest = " (shortest)" if record.shortest else ""
            return f"Violated in {steps_text(record.depth)}{shortest}"
        case "holds_up_to":
            return f"HoldsUpTo {record.depth}"
        case "waived":
            certificate = f"; certificate {record.certificate}" if record.certificate else ""
            held = f"Proved{certificate}" if record.held == "proved" else f"HoldsUpTo {record.depth}"
            return f"Waived (leaning on {waivers_text(record)}; with them {held})"
        case "vacuous" | "unknown":
            return f"Unknown ({kind_text(record)})"


def waivers_text(record: Result) -> str:
    """On how many waivers an answer leans."""
    return "a waiver" if len(record.waivers) == 1 else f"{len(record.waivers)} waivers"


def waiver_lines(record: Result) -> tuple[str, ...]:
    """Each waiver on which an answer leans: where it stands, and what is its author's word."""
    return tuple(f"waiver {waiver.place}: {waiver.what}" for waiver in record.waivers)


def steps_text(number: int | None) -> str:
    return "1 step" if number == 1 else f"{number} steps"


def kind_text(record: Result) -> str:
    """Why there is no answer, in a few words; '' if there is one."""
    return "" if record.kind is None else record.kind.label


def expectation_text(record: Result) -> str:
    """What the verdict has to do with what was expected, or with the change."""
    if record.label is not None:
        return f"{record.label}, as expected" if record.label == "pre-existing" and record.as_expected else record.label
    if record.verdict in ("unknown", "vacuous"):
        return ""
    if record.as_expected:
        return "as expected"
    return f"expected: {record.expected}"


def summary(document: Document) -> str:
    """The last line: how many answers of each kind."""
    counts: dict[str, int] = {}
    for record in document.results:
        key = verdict_text(record).split(" ")[0]
        if record.verdict == "violated":
            key = f"Violated {record.label}" if record.label else "Violated as expected" if record.as_expected else "Violated"
        counts[key] = counts.get(key, 0) + 1
    parts = ", ".join(f"{number} {word}" for word, number in sorted(counts.items())) or "nothing asked"
    end = f"; interrupted, {document.not_asked} not asked" if document.interrupted else ""
    answers = "1 answer" if len(document.results) == 1 else f"{len(document.results)} answers"
    return f"{answers}: {parts}{end}. model {document.model}"
