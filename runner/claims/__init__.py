"""The claims of the thread and the hazards of the series: what is asked to decide each, and how answers decide it.

`claims.toml` and `hazards.toml` name questions, and what it means for a claim if what a question says holds, or does not. No answer
stands there: the runs decide. What no question covers is listed as missing, and a claim of which something is missing is not decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from ...core.errors import InputError
from ...core.stored.tomlfile import toml_of

FOLDER = Path(__file__).parent
TABLES = ("claims", "hazards")

Counts = Literal["for", "against", "condition", "aside"]
"""What an outcome says of a claim: it speaks for it or against it; the claim holds on the condition named there; or it decides nothing."""
Decision = Literal["proved", "refuted", "bounded", "not decided"]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question.

    Args:
        means: what it says if it holds.
        scenario, properties: these properties in this scenario hold; a shipped one, or a file beside the tables.
        change: with this change, a file beside the tables.
        museum: the change of this item breaks its property, and without it the property holds.
        bits, clauses: these clauses of this question about values of 64 bits are proved.
        holds, fails: what it counts as.
        condition: where that is a condition, which one; or what a waiver on which the answer leans stands for.
    """

    means: str
    scenario: str = ""
    properties: tuple[str, ...] = ()
    change: str = ""
    museum: str = ""
    bits: str = ""
    clauses: tuple[str, ...] = ()
    holds: Counts = "for"
    fails: Counts = "against"
    condition: str = ""


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A claim, or a hazard: then what speaks for it shows it.

    Args:
        says: it, in our words.
        asked: what is asked to decide it.
        missing: what would have to be asked, too, and cannot be today.
        assumes: what every answer about it leans on beyond what its runs assume.
        note: what a reader should know beside the answer.
    """

    id: str
    says: str
    asked: tuple[Asked, ...] = ()
    missing: tuple[str, ...] = ()
    assumes: tuple[str, ...] = ()
    note: str = ""


class Evidence(msgspec.Struct, frozen=True):
    """What came of one question.

    Args:
        command: asks it again.
        outcome: whether what it means holds; unknown where nothing was established.
        said: the verdicts, in words.
        counts: what that says of the claim.
        condition: on which it holds, or which bounds the answer.
        sized: it is a proof for the size of its scenario alone.
    """

    means: str
    command: str
    outcome: Literal["holds", "fails", "unknown"]
    said: str
    counts: Counts | Literal["open"]
    condition: str = ""
    sized: bool = False


class Decided(msgspec.Struct, frozen=True):
    """A claim with its answer.

    Args:
        word: the answer as its table has it.
        assumptions: the conditions under which it is the answer.
    """

    id: str
    says: str
    answer: Decision
    word: str
    because: str
    assumptions: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    missing: tuple[str, ...]
    note: str


class Table(msgspec.Struct, frozen=True):
    """A whole table, as `tdpcheck claims --as json` prints it."""

    table: str
    decided: tuple[Decided, ...]


WORDS: dict[str, dict[Decision, str]] = {
    "claims": {"proved": "proved", "refuted": "refuted", "bounded": "bounded", "not decided": "not decided yet"},
    "hazards": {"proved": "shown", "refuted": "not there", "bounded": "shown, on a condition", "not decided": "not decided yet"},
}
"""How a decision is called: a hazard for which its runs speak is shown."""


def table(name: str) -> tuple[Claim, ...]:
    """The claims of a table: `claims`, or `hazards`.

    Raises:
        InputError: its file is not what it should be.
    """
    where = f"runner/claims/{name}.toml"
    try:
        read = msgspec.convert(toml_of((FOLDER / f"{name}.toml").read_text(encoding="utf-8"), where), dict[str, tuple[Claim, ...]])
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {error}; a claim has {', '.join(Claim.__struct_fields__)}") from error
    found = read.get("claim", ())
    for claim in found:
        for asked in claim.asked:
            if sum(map(bool, (asked.scenario, asked.museum, asked.bits))) != 1:
                raise InputError(f"{where}: {claim.id}: a question names one of scenario, museum and bits: {asked.means!r}")
            if {asked.holds, asked.fails} == {"for", "aside"}:
                raise InputError(f"{where}: {claim.id}: {asked.means!r} could speak for it and never against it; let both be aside")
            if "condition" in (asked.holds, asked.fails) and not asked.condition:
                raise InputError(f"{where}: {claim.id}: {asked.means!r} counts as a condition and names none")
        if not claim.asked and not claim.missing:
            raise InputError(f"{where}: {claim.id}: nothing is asked and nothing is missing")
    return found


def decide(name: str, claim: Claim, evidence: Sequence[Evidence]) -> Decided:
    """What the evidence makes of a claim of a table.

    Against it one outcome is enough. For it all must speak, nothing may be unknown, and nothing may be missing.
    """
    counts = {word: [each for each in evidence if each.counts == word] for word in ("for", "against", "condition", "aside", "open")}
    conditions = tuple(dict.fromkeys((*(each.condition for each in evidence if each.condition and each.counts != "aside"), *claim.assumes)))
    answer: Decision
    if counts["against"]:
        answer, because = "refuted", counts["against"][0].means
        conditions = tuple(dict.fromkeys(each.condition for each in counts["against"] if each.condition))
        because = f"it is not so that {because}"
    elif counts["open"]:
        answer, because = "not decided", f"nothing was established of this: {counts['open'][0].means}"
    elif claim.missing or (not counts["for"] and not counts["condition"]):
        answer, because = "not decided", "not everything that it takes can be asked"
    elif conditions:
        answer, because = "bounded", "it holds on a condition"
    else:
        answer, because = "proved", "everything that was asked speaks for it"
    missing = claim.missing if answer == "not decided" else ()
    sized = answer == "proved" and any(each.sized for each in counts["for"])
    word = WORDS[name][answer] + (" at the sizes of its runs" if sized else "")
    return Decided(claim.id, claim.says, answer, word, because, conditions, tuple(evidence), missing, claim.note)
