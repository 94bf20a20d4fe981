"""What continuous integration is told of an answer that is none."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from tdpcheck.reports.logs import junit, sarif
from tdpcheck.runner.asking.results import document
from tdpcheck.tests.counterexamples.test_forms import valid
from tdpcheck.tests.reports.runs import answer

RUN = document(
    [
        answer("p", "s", "violated", expected="violated", as_expected=True),
        answer("q", "s", "unknown", as_expected=False, reason="depth: searched to 4 of 12; the time is up", kind="time-out"),
        answer("r", "s", "vacuous", as_expected=False, change="x.patch", reason="vacuous: no run reaches it", kind="vacuous"),
    ]
)


def test_an_error_of_junit_has_the_kind_as_its_type() -> None:
    """A build may go on after `time-out`, and not after `engine-died`."""
    errors = [e.attrib["type"] for e in ET.fromstring(junit(RUN, {})).iter("error")]

    assert errors == ["time-out", "vacuous"]


def test_sarif_says_what_has_no_answer() -> None:
    """A log without results must not be taken for approval."""
    (run,) = valid(sarif(RUN, {}))["runs"]
    (invocation,) = run["invocations"]
    told = [(n["descriptor"]["id"], n["message"]["text"]) for n in invocation["toolExecutionNotifications"]]

    assert run["results"] == []
    assert [kind for kind, _ in told] == ["time-out", "vacuous"]
    assert told[0][1] == "q in s: Unknown (time-out), depth: searched to 4 of 12; the time is up"
    assert told[1][1] == "r in s with x.patch: Unknown (vacuous), vacuous: no run reaches it"
    assert "invocations" not in valid(sarif(document([answer("p", "s")]), {}))["runs"][0]
