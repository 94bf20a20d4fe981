"""A whole run for other tools: every answer as a test case of JUnit, every cause of violations as a result of SARIF."""

from __future__ import annotations

from collections.abc import Mapping

from ..counterexamples.forms.junit import Case, Kind, junit_run
from ..counterexamples.forms.sarif import Notice, sarif_log
from ..counterexamples.schema import Cex
from ..runner.asking.results import Document, Result
from ..runner.telling.answers import expectation_text, verdict_text, waiver_lines
from ..runner.telling.causes import also_text, causes

Key = tuple[str, str, str | None]
"""Scenario, property and change of an answer."""


def junit(document: Document, texts: Mapping[Key, str]) -> bytes:
    """One test case a question: passed if the answer is the one that the scenario expects, an error if there is no answer."""
    return junit_run(_case(record, texts.get(_key(record), "")) for record in document.results)


def sarif(document: Document, made: Mapping[Key, Cex]) -> bytes:
    """A result for each cause of violations that no scenario expects, and what has no answer as notifications; a log without either if
    there are none.
    """
    told = [(next((made[_key(r)] for r in cause.records if _key(r) in made), None), also_text(cause)) for cause in causes(document, made)]
    found = [(cex, also) for cex, also in told if cex is not None]
    return sarif_log([cex for cex, _ in found], _notices(document), [also for _, also in found])


def _notices(document: Document) -> list[Notice]:
    """What has no answer, and each waiver on which one leans."""
    unanswered = [Notice(r.kind, _sentence(r)) for r in document.results if r.kind is not None]
    return unanswered + [Notice("waiver", f"{_sentence(r)}; {line}") for r in document.results for line in waiver_lines(r)]


def _sentence(record: Result) -> str:
    where = f"{record.property} in {record.scenario}" + (f" with {record.change}" if record.change else "")
    return f"{where}: {verdict_text(record)}" + (f", {record.reason}" if record.reason else "")


def _key(record: Result) -> Key:
    return record.scenario, record.property, record.change


def _case(record: Result, text: str) -> Case:
    said = (verdict_text(record), expectation_text(record), record.reason or "", *waiver_lines(record))
    message = ", ".join(word for word in said if word)
    return Case(record.property, record.scenario, _kind(record), message, text, record.seconds, record.change or "", record.kind or "")


def _kind(record: Result) -> Kind:
    """How continuous integration takes an answer: one that leans on a waiver neither passed nor failed."""
    if record.verdict in ("unknown", "vacuous"):
        return "error"
    if not record.as_expected:
        return "failed"
    return "skipped" if record.verdict == "waived" else "passed"
