"""SARIF 2.1.0, for code review: one result a counterexample, at the line of the change that brings it about, or where the race is.

The run is a code flow: a thread flow for each actor, each step with its place in the order of all (`executionOrder`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..command import command
from ..facts import MARKS, facts, folded, path_of
from ..schema import Cex, Edit, Source, Step
from ..story import story

SCHEMA_URI = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "SRCROOT"
Object = dict[str, object]


def sarif(cex: Cex) -> bytes:
    """The log of one counterexample."""
    return sarif_log([cex])


@dataclass(frozen=True)
class Notice:
    """A question without an answer: which kind of reason there is, and the sentence for people."""

    kind: str
    sentence: str


def sarif_log(found: Sequence[Cex], notices: Sequence[Notice] = (), also: Sequence[str] = ()) -> bytes:
    """The log of a run: every counterexample, each property described once; with none, a log that says that there is none.

    Args:
        notices: what has no answer, so that nobody takes a log without results for approval.
        also: for each counterexample what else has the same cause, as sentences; '' where nothing has.
    """
    rules = {cex.prop.name: cex.prop.sentence for cex in found}
    numbers = {name: n for n, name in enumerate(rules)}
    driver: Object = {
        "name": "tdpcheck",
        "fullName": "tdpcheck, a model checker for page tables that KVM and an IOMMU share",
        "rules": [
            {
                "id": name,
                "name": "".join(w.capitalize() for w in name.split("_")),
                "shortDescription": {"text": sentence},
                "defaultConfiguration": {"level": "error"},
            }
            for name, sentence in rules.items()
        ],
    }
    run: Object = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the source tree that the change is against."}}},
        "results": [_result(cex, numbers[cex.prop.name], more) for cex, more in zip(found, also or [""] * len(found), strict=True)],
    }
    if notices:
        told = [{"descriptor": {"id": n.kind}, "level": "warning", "message": {"text": n.sentence}} for n in notices]
        driver["notifications"] = [{"id": kind} for kind in dict.fromkeys(n.kind for n in notices)]
        run["invocations"] = [{"executionSuccessful": True, "toolExecutionNotifications": told}]
    document = {"$schema": SCHEMA_URI, "version": "2.1.0", "runs": [run]}
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def where(cex: Cex) -> Edit | Source | None:
    """The line at which a reviewer should look.

    With a change: its line that the run executes (of a cause before others, a later step before earlier ones), else of the lines that it
    deletes the nearest to what the run executes, else its first line. Without: the statement of the last step with one, of a cause before
    others.
    """
    steps = sorted((s for s in cex.steps if s.sources), key=lambda s: (s.mark != "cause", -s.number))
    executed = [(source.file, source.line) for step in steps for source in step.sources]
    added = [e for e in cex.changed if e.kind == "added" and (e.file, e.line) in executed]
    if added:
        return min(added, key=lambda e: executed.index((e.file, e.line)))
    removed = [e for e in cex.changed if e.kind == "removed"]
    if cex.changed:
        return min(removed, key=lambda e: _distance(e, executed), default=cex.changed[0])
    wanted = [s for s in steps if s.mark == "cause"] or [s for s in steps if not folded(cex, s)] or steps
    return wanted[0].sources[0] if wanted else None


def _distance(edit: Edit, executed: Iterable[tuple[str, int]]) -> int:
    """How many lines there are between an edit and the nearest that a run executes; many where it executes none of the file."""
    return min((abs(edit.line - line) for file, line in executed if file == edit.file), default=1 << 30)


def fingerprint(cex: Cex) -> str:
    """The same for two counterexamples that are variants of each other."""
    at = where(cex)
    if cex.signature is not None:
        parts: Iterable[str] = (cex.signature.property, *cex.signature.lines, "", *cex.signature.assumptions)
    else:
        parts = (cex.prop.name, cex.scenario.name, cex.change or "", f"{at.file}:{at.text}" if at is not None else "")
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _result(cex: Cex, rule: int, also: str) -> Object:
    at = where(cex)
    told = [story(cex), *(f"{i.sentence[:1].upper()}{i.sentence[1:]}." for i in cex.violation)]
    if cex.missing is not None:
        told.append(_sentence(cex.missing.sentence))
    if cex.near_miss is not None:
        told.append(_sentence(cex.near_miss.sentence))
    told += [f"{_sentence(r.sentence)} ({r.where}; {r.verified})" for r in cex.repairs]
    told += [also] if also else []
    found: Object = {
        "ruleId": cex.prop.name,
        "ruleIndex": rule,
        "kind": "fail",
        "level": "error",
        "message": {"text": " ".join(dict.fromkeys(told))},
        "locations": [_location(cex, at)] if at is not None else [],
        "relatedLocations": [
            _location(cex, s, identity=n, message=f"step {n}: {cex.steps[n - 1].actor}: {cex.steps[n - 1].label}")
            for n, s in _places(cex)
        ],
        "partialFingerprints": {"tdpcheckSignature/v1": fingerprint(cex)},
        "codeFlows": [_flow(cex)] if cex.steps else [],
        "properties": {**dict(facts(cex)), "reproduce": command(cex)},
    }  # fmt: skip
    return {name: value for name, value in found.items() if value != []}


def _sentence(words: str) -> str:
    words = words.rstrip(".")
    return f"{words[:1].upper()}{words[1:]}."


def _places(cex: Cex) -> list[tuple[int, Source]]:
    """Where the steps of a cause stand in the code; without causes, those that do something."""
    wanted = [s for s in cex.steps if s.mark == "cause"] or [s for s in cex.steps if not folded(cex, s)]
    return [(s.number, s.sources[0]) for s in wanted if s.sources]


def _location(cex: Cex, at: Edit | Source, *, identity: int | None = None, message: str = "") -> Object:
    region: Object = {"startLine": max(1, at.line)}
    removed = isinstance(at, Edit) and at.kind == "removed"
    if not removed and at.text and not cex.lifted:
        region["snippet"] = {"text": at.text.strip()}
    words = f"next to the deleted line: {at.text.strip()}" if removed and not message else message
    found: Object = {} if identity is None else {"id": identity}
    found["physicalLocation"] = {"artifactLocation": {"uri": path_of(cex, at.file), "uriBaseId": ROOT}, "region": region}
    if isinstance(at, Source):
        found["logicalLocations"] = [{"name": at.function, "kind": "function"}]
    return found | ({"message": {"text": words}} if words else {})


def _flow(cex: Cex) -> Object:
    flows = []
    for name in dict.fromkeys(s.actor for s in cex.steps):
        steps = [s for s in cex.steps if s.actor == name]
        flows.append({"id": name, "message": {"text": name}, "locations": [_step(cex, s) for s in steps]})
    return {"message": {"text": f"{cex.depth} steps of {len(flows)} actors"}, "threadFlows": flows}


def _step(cex: Cex, step: Step) -> Object:
    mark = f" ({MARKS[step.mark]})" if step.mark else ""
    if step.sources:
        location = _location(cex, step.sources[0], message=step.label + mark)
    else:
        location = {"logicalLocations": [{"name": step.actor, "kind": "resource"}], "message": {"text": step.label + mark}}
    importance = "unimportant" if folded(cex, step) else "essential" if step.mark == "cause" or step.number == cex.depth else "important"
    return {"location": location, "executionOrder": step.number, "importance": importance}
