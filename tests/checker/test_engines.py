"""The registry of engines: one entry and an engine runs beside the others; what it says is checked, whatever it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import z3

from tdpcheck.checker.attempt import Progress, Subject, as_grounded, at_size
from tdpcheck.checker.certificates.certificate import grounded as certificate
from tdpcheck.checker.engines import ENGINES, Registered, racing
from tdpcheck.checker.portfolio import portfolio
from tdpcheck.checker.states.explore import explore
from tdpcheck.cli.listing import KINDS
from tdpcheck.core.evaluation.evaluate import Evaluator
from tdpcheck.core.system import Property
from tdpcheck.core.trace import replays
from tdpcheck.core.verdict import HoldsUpTo, Proved, Unknown, Verdict, Violated
from tdpcheck.examples import mutex, table_cache
from tdpcheck.recheck.recheck import recheck
from tdpcheck.runner.asking.limits import Engines
from tdpcheck.tests.toys import TOYS, Toy

BROKEN = next(t for t in TOYS if t.system is mutex.broken and t.sizes == {"Thread": 2})
SAFE = next(t for t in TOYS if t.system is table_cache.system and t.sizes == {"Page": 1, "Device": 1, "Thread": 1})
FAR = 1234


def guess(subject: Subject, prop: Property, depth: int, *, timeout: float | None = None, progress: Progress | None = None) -> Verdict:
    """An engine of this file: it explores, and of what it did not find anything against it says so."""
    system, geometry = at_size(subject)
    verdict = explore(system, geometry, prop, timeout=timeout).verdict
    return verdict if isinstance(verdict, Violated) else HoldsUpTo(FAR, "guess")


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    return lambda engine: monkeypatch.setitem(ENGINES, "guess", Registered(engine, "Guesses."))


def asked(toy: Toy, **more: Any) -> Verdict:
    return portfolio((toy.system, toy.geometry), toy.prop, 20, **more)


def by_two_solvers(toy: Toy) -> Callable[[Proved], str]:
    def refused(proof: Proved) -> str:
        return "" if recheck(certificate(as_grounded((toy.system, toy.geometry)), toy.prop, proof.invariant)).accepted else "two solvers"

    return refused


def test_an_engine_that_is_registered_runs_beside_the_others(registered: Callable[[Any], None]) -> None:
    """Nobody else looks so far."""
    heard: list[int] = []
    registered(guess)

    verdict = asked(SAFE, progress=heard.append, accept=lambda _: "nothing is believed here", patience=600)

    assert isinstance(verdict, HoldsUpTo)
    assert FAR == heard[-1]


def test_everybody_takes_what_there_is_from_the_registry(registered: Callable[[Any], None]) -> None:
    registered(guess)

    assert ["bmc", "pdr", "k-induction", "guess"] == list(racing())
    assert guess is Engines().beside["guess"]
    assert ("guess", "Guesses.") in KINDS["engines"]()


def falsely(verdict: Verdict) -> Callable[..., Verdict]:
    return lambda *_, **__: verdict


@pytest.mark.parametrize(
    "invariant",
    [(), (z3.BoolVal(False),), (z3.BoolVal(True),)],
    ids=["no clause", "a clause that is false at the start", "a clause that says nothing"],
)
def test_a_proof_of_what_is_false_is_not_believed(invariant: tuple[z3.BoolRef, ...]) -> None:
    """Two solvers read the certificate, whoever wrote it."""
    wrong = Proved("every size", (), 0, "guess", invariant=invariant)

    verdict = asked(BROKEN, engines={"guess": falsely(wrong)}, accept=by_two_solvers(BROKEN))

    assert isinstance(verdict, Unknown)
    assert "guess: its proof is not accepted: two solvers" == verdict.reason


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_a_run_that_violates_nothing_is_not_believed(keep: int) -> None:
    found = explore(BROKEN.system, BROKEN.geometry, BROKEN.prop).verdict
    assert isinstance(found, Violated)
    trace = found.trace
    wrong = Violated(type(trace)(trace.system, trace.geometry, trace.initial, trace.steps[:keep]), "guess", True)

    verdict = asked(BROKEN, engines={"guess": falsely(wrong)})

    assert isinstance(verdict, Unknown)
    assert "guess: a fault of tdpcheck itself: the run that violates" in verdict.reason


def test_a_proof_is_for_this_size_whatever_is_claimed() -> None:
    """A certificate that stands for one size proves no other."""
    right = ENGINES["pdr"].ask((SAFE.system, SAFE.geometry), SAFE.prop, 20)
    assert isinstance(right, Proved)
    boast = Proved("every size", ("everything",), 0, "guess", invariant=right.invariant)

    verdict = asked(SAFE, engines={"guess": falsely(boast)}, accept=by_two_solvers(SAFE))

    assert isinstance(verdict, Proved)
    assert (str(SAFE.geometry), ()) == (verdict.sizes, verdict.lemmas)


def test_a_bound_is_a_bound_whatever_is_claimed() -> None:
    """That all states were visited is for the survey to say, which can show them."""
    verdict = asked(SAFE, engines={"guess": falsely(HoldsUpTo(20, "guess", states=3))})

    assert isinstance(verdict, HoldsUpTo)
    assert (20, None) == (verdict.depth, verdict.states)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("toy", [BROKEN, SAFE], ids=["broken", "safe"])
def test_every_engine_of_the_registry_follows_the_protocol(name: str, toy: Toy) -> None:
    """Grounded or not, it is right, or says that it does not know."""
    for subject in ((toy.system, toy.geometry), as_grounded((toy.system, toy.geometry))):
        verdict = ENGINES[name].ask(subject, toy.prop, 20, timeout=120, progress=lambda depth: None)

        match verdict:
            case Violated():
                assert toy.violated is not None
                assert replays(verdict.trace, toy.prop, Evaluator(toy.system, toy.geometry))
            case Proved():
                assert toy.violated is None
                assert verdict.sizes == (str(toy.geometry) or "its only size")
            case HoldsUpTo():
                assert toy.violated is None
                assert 20 <= verdict.depth
            case Unknown():
                assert "walk" == name
