"""`claims`: the claims of the thread and the hazards of the series, each decided by the questions behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Literal

from ..checker.every_size.induction import EVERY_SIZE
from ..formats import asked as bits
from ..runner.asking.results import Result
from ..runner.claims import FOLDER, Asked, Claim, Counts, Decided, Evidence, Table, decide, table
from ..runner.museum.items import shipped_items
from ..runner.names import choose
from ..runner.telling.answers import verdict_text, waiver_lines
from .verify import TIMEOUT, verify

Outcome = Literal["holds", "fails", "unknown"]
Progress = Callable[[str], None]
_SHOWN = "runner/claims/"
"""How commands name the folder of the tables, as seen from the root of the repository."""


def claims(
    *only: str, name: str = "claims", timeout: float | None = TIMEOUT, cache: bool = True, progress: Progress | None = None
) -> tuple[Decided, ...]:
    """Decide claims by asking the questions behind them.

    Args:
        only: ids as `C12`, or `R3` of the hazards; all of the table without any.
        name: `claims` or `hazards`.
        timeout: seconds a question.
        cache: whether answers of earlier runs may serve, and are kept.
        progress: is told what is asked.

    Returns:
        Each claim with its answer, the evidence, the assumptions that decide, and what is missing.

    Raises:
        InputError: an id that is not in the table.

    Example:
        >>> from tdpcheck import claims
        >>> [(each.id, each.word) for each in claims("R12", name="hazards")]
        [('R12', 'shown')]
    """
    known = {claim.id: claim for claim in table(name)}
    chosen = choose(only, tuple(known), name.removesuffix("s")) or tuple(known)
    together = tuple(dict.fromkeys(asked.scenario for each in chosen for asked in known[each].asked if asked.scenario and not asked.change))
    asking = _Asking(timeout, cache, progress or (lambda _: None), together)
    return tuple(_decided(name, known[each], asking) for each in chosen)


def _decided(name: str, claim: Claim, asking: _Asking) -> Decided:
    evidence = []
    for asked in claim.asked:
        asking.progress(f"{claim.id}: {asked.means}")
        evidence.append(asking.evidence(asked))
    return decide(name, claim, evidence)


class _Asking:
    """The questions of a table; what several claims ask is asked once."""

    def __init__(self, timeout: float | None, cache: bool, progress: Progress, together: Sequence[str] = ()) -> None:
        self._timeout, self._cache, self.progress, self._together = timeout, cache, progress, together
        self._found: dict[tuple[str, str], bits.Found] = {}

    def evidence(self, asked: Asked) -> Evidence:
        """What comes of one question."""
        if asked.bits:
            return self._of_bits(asked)
        if asked.museum:
            return self._of_museum(asked)
        scenario, shown = (
            f"{base}{asked.scenario}" if asked.scenario.endswith(".toml") else asked.scenario for base in (f"{FOLDER}/", _SHOWN)
        )
        records = self._records(scenario, asked.properties, f"{FOLDER}/{asked.change}" if asked.change else None)
        outcome, bound = _outcome(records)
        command = f"tdpcheck verify --scenario {shown}" + "".join(f" --property {name}" for name in asked.properties)
        command += f" --change {_SHOWN}{asked.change}" if asked.change else ""
        said = "; ".join(f"{record.property}: {_said(record)}" for record in records)
        sized = any(record.verdict == "proved" and record.sizes != EVERY_SIZE for record in records)
        return _evidence(asked, command, outcome, said, bound, sized=sized)

    def _records(self, scenario: str, properties: Sequence[str], change: str | None = None) -> tuple[Result, ...]:
        if change is None and scenario in self._together:
            return tuple(self._of_scenarios[scenario, name] for name in properties)
        return self._verified(scenario, properties, change)

    @cached_property
    def _of_scenarios(self) -> dict[tuple[str, str], Result]:
        """What all scenarios of the table answer, asked in one run: each what `tdpcheck verify` asks of it."""
        self.progress(f"{len(self._together)} scenarios")
        return {(record.scenario, record.property): record for record in self._verified(self._together, (), None)}

    def _verified(self, scenario: str | Sequence[str], properties: Sequence[str], change: str | None) -> tuple[Result, ...]:
        run = verify(scenario, properties, change=change, timeout=self._timeout, cache=self._cache)
        if run.interrupted:
            raise KeyboardInterrupt
        return tuple(answer.record for answer in run)

    def _of_museum(self, asked: Asked) -> Evidence:
        item = shipped_items()[asked.museum]
        expect = item.expect
        records = self._records(expect.scenario, [expect.property], f"{item.folder}/change.patch")
        (record,) = (record for record in records if record.change is not None)
        outcome: Outcome = "unknown"
        if record.verdict == "violated":
            outcome = {"introduced": "holds", "pre-existing": "fails"}.get(record.label or "", "unknown")  # type: ignore[assignment]
        elif record.verdict not in ("unknown", "vacuous"):
            outcome = "fails"
        before = "" if record.before is None else f"; without it {_WORDS.get(record.before.verdict, record.before.verdict)}"
        said = f"{expect.property} in {expect.scenario}: with the change {_said(record)}{before}"
        return _evidence(asked, f"tdpcheck museum {asked.museum}", outcome, said, "")

    def _of_bits(self, asked: Asked) -> Evidence:
        question, _ = bits.named(asked.bits)
        names = asked.clauses or tuple(clause.name for clause in question.clauses)
        missing = [name for name in names if (asked.bits, name) not in self._found]
        if missing:
            for found in bits.answers(asked.bits, missing):
                self._found[asked.bits, found.clause] = found
        each = [self._found[asked.bits, name] for name in names]
        answers = {found.answer for found in each}
        outcome: Outcome = "fails" if "refuted" in answers else "unknown" if "unknown" in answers else "holds"
        return _evidence(asked, f"tdpcheck bits {asked.bits}", outcome, "; ".join(_bits_said(found) for found in each), "")


def _evidence(asked: Asked, command: str, outcome: Outcome, said: str, bound: str, *, sized: bool = False) -> Evidence:
    counts: Counts | Literal["open"] = "open" if outcome == "unknown" else asked.holds if outcome == "holds" else asked.fails
    condition = (
        " ".join(filter(None, (asked.condition, bound and f"({bound})"))) if asked.condition and (bound or counts == "condition") else bound
    )
    return Evidence(asked.means, command, outcome, said, counts, condition, sized)


def _outcome(records: Sequence[Result]) -> tuple[Outcome, str]:
    """Whether all hold, and what bounds that."""
    if any(record.verdict == "violated" for record in records):
        return "fails", ""
    if not records or any(record.verdict in ("unknown", "vacuous") for record in records):
        return "unknown", ""
    depths = [record.depth for record in records if record.verdict == "holds_up_to" and record.states is None]
    waivers = [line for record in records for line in waiver_lines(record)]
    bounds = [f"no run of more than {min(d for d in depths if d is not None)} steps was looked at"] if any(depths) else []
    return "holds", "; ".join(dict.fromkeys((*bounds, *waivers)))


def _said(record: Result) -> str:
    """The verdict without the hash of its certificate, which changes with the model."""
    text = verdict_text(record)
    return text.replace(f"; certificate {record.certificate}", "") if record.certificate else text


_WORDS = {"proved": "Proved (this size)", "holds_up_to": "no violation as deep", "violated": "Violated", "waived": "Waived"}


def _bits_said(found: bits.Found) -> str:
    match found.answer:
        case "proved":
            return f"{found.clause}: proved" + (" (of no value)" if found.vacuous else "")
        case "unknown":
            return f"{found.clause}: unknown ({found.reason})"
        case "refuted":
            shown = ", ".join(f"{name} {found.values[name]}" for name in bits.SHOWN if name in found.values)
            return f"{found.clause}: refuted by {shown}"


def claim_table(
    *only: str, name: str = "claims", timeout: float | None = TIMEOUT, cache: bool = True, progress: Progress | None = None
) -> Table:
    """The same as one document."""
    return Table(name, claims(*only, name=name, timeout=timeout, cache=cache, progress=progress))


def asked_of(name: str) -> Iterator[Asked]:
    """Every question of a table."""
    for claim in table(name):
        yield from claim.asked
