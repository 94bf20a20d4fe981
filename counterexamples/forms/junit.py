"""JUnit XML, for continuous integration: a test suite a scenario, a test case a property, by the library that its readers use, too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from ..facts import verdict_line
from ..schema import Cex
from .text import text

Kind = Literal["passed", "failed", "error", "skipped"]


@dataclass(frozen=True)
class Case:
    """One property in one scenario, asked.

    Args:
        change: the change under which it was asked, '' for none.
        message: one line; `details` is the whole report.
        why: of an error, which kind of reason there is for having no answer: its `type`.
    """

    prop: str
    scenario: str
    kind: Kind
    message: str = ""
    details: str = ""
    seconds: float = 0.0
    change: str = ""
    why: str = ""


def junit(cex: Cex) -> bytes:
    """A run of one test case that fails."""
    return junit_run([Case(cex.prop.name, cex.scenario.name, "failed", verdict_line(cex), text(cex), change=cex.change or "")])


def junit_run(cases: Iterable[Case]) -> bytes:
    """A whole run; scenarios in the order in which they were asked."""
    by_scenario: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        by_scenario.setdefault((case.scenario, case.change), []).append(case)
    whole = JUnitXml("tdpcheck")
    for (scenario, change), found in by_scenario.items():
        suite = TestSuite(_clean(f"{scenario} with {change}" if change else scenario))
        for case in found:
            suite.add_testcase(_case(case))
        suite.update_statistics()  # type: ignore[no-untyped-call]
        whole.add_testsuite(suite)
    whole.update_statistics()  # type: ignore[no-untyped-call]
    made: bytes = whole.tostring()  # type: ignore[no-untyped-call]
    return made if made.endswith(b"\n") else made + b"\n"


def _case(case: Case) -> TestCase:
    made = TestCase(_clean(case.prop), classname=_clean(f"tdpcheck.{case.scenario}"), time=round(case.seconds, 3))
    kinds = {"failed": Failure, "error": Error, "skipped": Skipped}
    if case.kind in kinds:
        outcome = kinds[case.kind](_clean(case.message), case.why or None)
        outcome.text = _clean(case.details or case.message)
        made.result = [outcome]
    elif case.message:
        made.system_out = _clean(case.message)
    return made


def _clean(words: str) -> str:
    """Without what XML forbids."""
    return "".join(c if c in "\n\t" or c.isprintable() else "?" for c in words)
