"""Proved is said only of what two solvers accepted, whoever claims it; and its certificate is left where one can check it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tdpcheck.core.verdict import HoldsUpTo, Proved, Reason, ReasonKind, Unknown, Verdict
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import Model
from tdpcheck.runner.asking.limits import Engines, Limits
from tdpcheck.runner.asking.proofs import PlainProof
from tdpcheck.runner.asking.question import Subject
from tdpcheck.runner.inputs.sources import built, files_of
from tdpcheck.tests.calling import QUICK, Call

PROPERTY = "reject_noncoherent_dma"


@pytest.fixture(scope="module")
def model() -> Model:
    return built(shipped_scenarios()[QUICK], None, files_of(None)).model


def claims(*_: Any, **__: Any) -> Verdict:
    """A deliberately wrong engine."""
    return Proved("some size", (), 0, "oracle")


def holds(_: object, __: object, depth: int, **___: Any) -> Verdict:
    return HoldsUpTo(depth, "bmc")


def visits(_: object, __: object, depth: int, **___: Any) -> Verdict:
    """So it says."""
    return HoldsUpTo(depth, "bmc", states=7)


def gives_up(*_: Any, **__: Any) -> Verdict:
    return Unknown(Reason(ReasonKind.SOLVER_GAVE_UP, "no idea"), "bmc", 3)


@pytest.mark.parametrize(("bmc", "expected"), [(holds, "HoldsUpTo"), (gives_up, "Unknown")])
def test_an_engine_that_says_proved_and_has_no_proof_is_not_believed(model: Model, bmc: Any, expected: str) -> None:
    asked = Subject(model, [PROPERTY], Limits(walks=20), Engines(survey=None, bmc=bmc, beside={"oracle": claims}))

    answer = asked.ask(PROPERTY)

    assert expected == type(answer.verdict).__name__
    assert "" == answer.certificate
    if isinstance(answer.verdict, Unknown):
        assert "oracle: its proof is not accepted: second solver: z3 says refused, bitwuzla says refused" in answer.verdict.reason


def test_an_engine_that_is_asked_alone_is_not_believed_either(model: Model) -> None:
    """A proof wants its certificate, and that all states were visited is not for an engine to say."""
    alone = Subject(model, [PROPERTY], Limits(walks=20), Engines(survey=None, bmc=claims, beside={}))
    boast = Subject(model, [PROPERTY], Limits(walks=20), Engines(survey=None, bmc=visits, beside={}))

    refused, bounded = alone.ask(PROPERTY).verdict, boast.ask(PROPERTY).verdict

    assert isinstance(refused, Unknown)
    assert "its proof is not accepted: second solver" in refused.reason
    assert isinstance(bounded, HoldsUpTo)
    assert bounded.states is None


def test_a_proof_beside_the_bounded_search_comes_with_its_certificate(model: Model) -> None:
    asked = Subject(model, [PROPERTY], Limits(walks=20), Engines(survey=None))

    answer = asked.ask(PROPERTY)

    assert isinstance(answer.verdict, Proved)
    assert answer.certificate.startswith(f"; A certificate of tdpcheck: {PROPERTY} in every reachable state of {QUICK}")


@pytest.mark.slow
def test_a_complete_exploration_becomes_a_proof_that_anybody_can_check(call: Call, tmp_path: Path) -> None:
    result = call("verify", "--scenario", QUICK, "--certify", "--out", str(tmp_path))
    file = tmp_path / f"{QUICK}.{PROPERTY}.smt2"
    checked = call("check-certificate", str(file))

    assert 0 == result.exit_code
    assert f"{PROPERTY}  Proved (this size; certificate " in result.stdout
    assert 0 == checked.exit_code, checked.output


@pytest.mark.parametrize(
    ("proof", "expected"),
    [
        (PlainProof((PROPERTY,), refused="second solver: z3 says refused"), Unknown),
        (PlainProof((PROPERTY,), given_up="the time is up"), HoldsUpTo),
        (PlainProof(("another",)), HoldsUpTo),
    ],
)
def test_an_exploration_without_an_accepted_certificate_is_no_proof(model: Model, proof: PlainProof, expected: type) -> None:
    """What is refused means that exploration or grounding is wrong: then nothing is said."""
    asked = Subject(model, [PROPERTY], Limits(certify=True), Engines(certify_states=lambda *_, **__: proof))

    verdict = asked.ask(PROPERTY).verdict

    assert isinstance(verdict, expected)
