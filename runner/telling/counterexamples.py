"""From the violations of a run to their documents, each made once; repairs are verified here, where models are built and asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from ...checker.states.minimal import violations
from ...core.errors import TdpcheckError
from ...core.evaluation.evaluate import Move
from ...core.system import Property
from ...core.trace import Trace
from ...core.verdict import HoldsUpTo, Proved, Reason, ReasonKind, Verdict, Violated
from ...counterexamples.document import actor_of, to_trace
from ...counterexamples.schema import LONGEST_PATCH, Cex, Patch, Repair
from ...counterexamples.why import repairs
from ..asking import results
from ..asking.limits import MARGIN, Limits
from ..asking.question import Subject
from ..inputs.changes import Version
from ..inputs.sources import Built, Files, Layer, built
from ..inputs.terms import ASSERTIONS
from ..runs.plan import Plan
from ..runs.run import Found
from .quoting import quoted
from .rendering import document_of

Key = tuple[str, str, str | None]
"""Scenario, property and change of an answer."""

LOOKED_AT, TOLD_OF, ALL = 4_000, 40, 8
"""Of so many further runs, so many kinds are looked into, and so many are told."""


@dataclass
class Telling:
    """Makes the document of each violation.

    Args:
        plan: of the run; None where nobody looks for repairs.
        working: told what is going on.
    """

    plan: Plan | None = None
    working: Callable[[str], None] | None = None
    _made: dict[Key, Cex] = field(default_factory=dict)
    _searches: dict[Key, Iterator[Trace]] = field(default_factory=dict)

    def document(self, found: Found) -> Cex:
        """The document of a violation."""
        record = found.record
        key = record.scenario, record.property, record.change
        if key not in self._made:
            cex = document_of(found.model, found.prop, self._plain(found), record.change, record.goals)
            if self.plan is not None and not record.as_expected:
                cex = msgspec.structs.replace(cex, repairs=self._repairs(found, cex, self.plan))
            self._made[key] = _with_quotes(found, cex)
        return self._made[key]

    def others(self, found: Found) -> tuple[Cex, ...]:
        """Violations of the same property that are no variants of the first: each has a signature of its own, shortest first."""
        first = self.document(found)
        seen = {first.signature}
        kinds: set[tuple[tuple[str, ...], frozenset[str]]] = set()
        made: list[Cex] = []
        for tried, trace in enumerate(self._begun(found)):
            if tried >= LOOKED_AT or len(kinds) >= TOLD_OF or len(made) >= ALL:
                break
            # Runs of the same actions that end alike have the same places.
            kind = trace.actions[-1:], frozenset(trace.actions)
            if kind in kinds:
                continue
            kinds.add(kind)
            verdict = Violated(trace, "explore", trace.depth == first.depth or None)
            cex = document_of(found.model, found.prop, verdict, found.record.change, found.record.goals)
            if cex.signature not in seen:
                seen.add(cex.signature)
                made.append(_with_quotes(found, cex))
        return tuple(made)

    def _begun(self, found: Found) -> Iterator[Trace]:
        """The violating runs, plainest first, of one search: who asks for the first alone has not paid for the others."""
        record = found.record
        key = record.scenario, record.property, record.change
        if key not in self._searches:
            self._searches[key] = self._runs(found)
        return self._searches[key]

    def _runs(self, found: Found) -> Iterator[Trace]:
        model = found.model
        states = Limits().states if self.plan is None else self.plan.limits.states
        names: dict[tuple[str, tuple[int, ...]], tuple[str, bool]] = {}

        def actor(move: Move) -> tuple[str, bool]:
            key = move.action.name, move.arguments
            if key not in names:
                names[key] = actor_of(model, move.action, move.arguments)
            return names[key]

        return violations(model.system, model.geometry, found.prop, actor, max_states=states)

    def _plain(self, found: Found) -> Violated:
        """The violation with the plainest of its shortest runs, where its states can be visited; else the run that was found."""
        verdict = found.verdict
        if verdict.shortest is not True:
            return verdict
        trace = next(self._begun(found), None)
        return verdict if trace is None or trace.depth != verdict.depth else replace(verdict, trace=trace)

    def _repairs(self, found: Found, cex: Cex, plan: Plan) -> tuple[Repair, ...]:
        number = next((n for n, v in enumerate(plan.versions) if v.name == (found.record.change or "")), len(plan.versions) - 1)
        now: Version = plan.versions[number]
        before = plan.versions[number - 1].files if number else None
        working = self.working or (lambda said: None)

        def check(files: Files) -> str | None:
            working(f"{cex.scenario.name}: trying a repair of {cex.prop.name}")
            changed = {name: text for name, text in files.items() if now.files.get(name) != text}
            return asked_again(found, plan, Layer(now.files, changed, ()))

        return repairs.verified(cex, dict(now.files), check, None if before is None else dict(before))


def made_again(cex: Cex, built: Built, prop: Property, plan: Plan, number: int) -> Cex:
    """The document that is made of a stored run on today's model, of which it is a run; of what it says, only the schedule is believed.

    Args:
        number: of the version in the plan of which `built` is the code.
    """
    version = plan.versions[number]
    record = results.unanswered(built.model.scenario, prop.name, cex.change, Reason(ReasonKind.WALKS, ""), built.model.kernel)
    record = msgspec.structs.replace(record, label="introduced" if cex.changed else None, as_expected=False)
    verdict = Violated(to_trace(cex, built.model), cex.engine, None)
    found = Found(record, built.model, prop, verdict, built.code, version, (0, number, prop.name))
    return Telling(plan if cex.repairs else None).document(found)


def _with_quotes(found: Found, cex: Cex) -> Cex:
    """The document with the functions and the changed lines that a report quotes."""
    # Lines of a change that did not bring the violation about would mislead whoever is sent to them.
    changed = found.version.changed if found.record.label == "introduced" else ()
    return msgspec.structs.replace(quoted(cex, found.code.functions, found.version.files, changed), patch=carried(found.version))


def carried(version: Version) -> Patch | msgspec.UnsetType:
    """The change that a document carries, if it is a text that is not too long."""
    if version.given is None or len(version.given[1]) > LONGEST_PATCH:
        return msgspec.UNSET
    name, content = version.given
    try:
        return Patch(Path(name).name, content.decode())  # where its finder keeps it is nobody's business
    except UnicodeDecodeError:
        return msgspec.UNSET


def asked_again(found: Found, plan: Plan, files: Files) -> str | None:
    """The verdict in words if with these files the violated property holds, and so does all else that the scenario expects to hold."""
    scenario, name = found.model.scenario, found.prop.name
    names = dict.fromkeys((name, *(n for n, expected in scenario.expect.items() if expected == "holds"), ASSERTIONS))
    limits = replace(plan.limits, depth=None, certify=False)
    try:
        subject = Subject(built(scenario, plan.kernel, files).model, names, limits, plan.engines)
        subject.at_least = found.verdict.depth + MARGIN
        verdicts: dict[str, Verdict] = {}
        for asked in names:
            verdicts[asked] = subject.ask(asked).verdict
            if asked == name and not isinstance(verdicts[asked], HoldsUpTo | Proved):
                return None
    except TdpcheckError:  # the edit is no C that can be checked, or the model has become too large: no repair
        return None
    if subject.survey.missing or any(isinstance(v, Violated) for v in verdicts.values()):
        return None
    match verdicts[name]:
        case HoldsUpTo(states=int() as states):
            return f"{name} holds in all {states} states"
        case HoldsUpTo(depth=depth):
            return f"{name} holds up to depth {depth}"
        case _:
            return f"{name} is proved"
