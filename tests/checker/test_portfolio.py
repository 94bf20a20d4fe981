"""Engines side by side: the first conclusive answer counts, whatever the others are up to; and no wrong one does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tdpcheck.checker.bounded.bmc import bmc
from tdpcheck.checker.certificates.certificate import grounded as certificate
from tdpcheck.checker.circuits.inductive import proved
from tdpcheck.checker.circuits.pdr import pdr
from tdpcheck.checker.portfolio import portfolio
from tdpcheck.core.ground import ground
from tdpcheck.core.trace import Trace
from tdpcheck.core.verdict import HoldsUpTo, Proved, Reason, ReasonKind, Unknown, Verdict, Violated
from tdpcheck.examples import mutex, table_cache
from tdpcheck.recheck.recheck import recheck
from tdpcheck.tests.toys import TOYS, Toy

TOY = next(t for t in TOYS if t.system is mutex.broken and t.sizes == {"Thread": 2})
SAFE = next(t for t in TOYS if t.system is table_cache.system and t.sizes == {"Page": 1, "Device": 1, "Thread": 1})
PROOF = Proved("some size", (), 0, "oracle")


def ask(toy: Toy, depth: int = 20, **more: Any) -> Verdict:
    return portfolio((toy.system, toy.geometry), toy.prop, depth, **more)


def says(verdict: Verdict, after: float = 0.0) -> Callable[..., Verdict]:
    def engine(*_: Any, **__: Any) -> Verdict:
        time.sleep(after)
        return verdict

    return engine


def never(*_: Any, **__: Any) -> Verdict:
    time.sleep(600)
    raise AssertionError


def dies(*_: Any, **__: Any) -> Verdict:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def lies(subject: Any, *_: Any, **__: Any) -> Verdict:
    """A trace that ends where nothing is violated."""
    system, geometry = subject
    found = bmc((system, geometry), TOY.prop, 20)
    assert isinstance(found, Violated)
    short = Trace(system, geometry, found.trace.initial, found.trace.steps[:-1])
    return Violated(short, "liar", True)


def reports(*depths: int) -> Callable[..., Verdict]:
    def engine(*_: Any, progress: Callable[[int], None], **__: Any) -> Verdict:
        for depth in depths:
            progress(depth)
        return never()

    return engine


def test_the_first_conclusive_answer_counts_and_the_others_are_stopped() -> None:
    started = time.monotonic()

    verdict = ask(TOY, engines={"never": never, "bmc": bmc})

    assert isinstance(verdict, Violated)
    assert (4, "bmc") == (verdict.depth, verdict.engine)
    assert time.monotonic() - started < 60


def test_an_engine_that_dies_costs_its_own_answer() -> None:
    verdict = ask(TOY, engines={"dies": dies, "bmc": bmc})

    assert isinstance(verdict, Violated)


def test_a_run_that_does_not_replay_is_no_answer() -> None:
    """A deliberately wrong engine, and a slower one that is right."""
    wrong = ask(TOY, engines={"liar": lies})
    right = ask(TOY, engines={"liar": lies, "bmc": bmc})

    assert isinstance(wrong, Unknown)
    assert "liar: a fault of tdpcheck itself: the run that violates" in wrong.reason
    assert isinstance(right, Violated)
    assert "bmc" == right.engine


def _accept(toy: Toy) -> Callable[[Proved], str]:
    system = ground(toy.system, toy.geometry)

    def refused(proof: Proved) -> str:
        answer = recheck(certificate(system, toy.prop, proof.invariant))
        return "" if answer.accepted else "second solver"

    return refused


@pytest.mark.slow
def test_a_wrong_proof_is_refused_by_the_certificate_check_and_another_engine_is_heard() -> None:
    """That something is Proved and is not would be the worst that can happen."""
    alone = ask(TOY, engines={"oracle": says(PROOF)}, accept=_accept(TOY))
    beside = ask(TOY, engines={"oracle": says(PROOF), "bmc": bmc}, accept=_accept(TOY))

    assert isinstance(alone, Unknown)
    assert "oracle: its proof is not accepted: second solver" == alone.reason
    assert isinstance(beside, Violated)


def test_a_proof_comes_with_its_invariant_through_the_pipe() -> None:
    system = ground(SAFE.system, SAFE.geometry)

    verdict = portfolio(system, SAFE.prop, 20, engines={"pdr": pdr}, accept=_accept(SAFE))

    assert isinstance(verdict, Proved)
    assert "pdr" == verdict.engine
    assert verdict.invariant
    assert isinstance(proved(system, SAFE.prop, verdict.invariant, "again", 0, _clock()), Proved)


def _clock() -> Any:
    from tdpcheck.checker.clock import Clock

    return Clock(None)


def test_a_bound_is_an_answer_that_a_proof_beats() -> None:
    bounded = HoldsUpTo(20, "bounded")

    waited = ask(SAFE, engines={"bounded": says(bounded), "oracle": says(PROOF, 0.3)})
    hopeless = ask(SAFE, engines={"bounded": says(bounded), "never": never})

    assert isinstance(waited, Proved)
    assert bounded == replace(hopeless, seconds=0.0)


@pytest.mark.parametrize(("depths", "best"), [((2, 5), 5), ((), -1)])
def test_a_time_out_keeps_the_greatest_bound(depths: tuple[int, ...], best: int) -> None:
    heard: list[int] = []

    verdict = ask(SAFE, engines={"a": reports(*depths), "b": reports(*depths[:1])}, timeout=0.2, progress=heard.append)

    assert isinstance(verdict, Unknown)
    assert (best, "the time is up") == (verdict.depth, verdict.reason)
    assert sorted(set(depths)) == heard


@pytest.mark.parametrize("where", ["here", "in the engine"])
def test_an_interrupt_keeps_the_greatest_bound(where: str) -> None:
    def interrupted(*_: Any, progress: Callable[[int], None], **__: Any) -> Verdict:
        progress(7)
        if where == "in the engine":
            raise KeyboardInterrupt
        return never()

    def control_c(_: int) -> None:
        if where == "here":
            raise KeyboardInterrupt

    verdict = ask(SAFE, engines={"a": interrupted, "b": reports(3)}, progress=control_c)

    assert isinstance(verdict, Unknown)
    assert ("interrupted", 7) == (verdict.reason, verdict.depth)


def test_nobody_with_an_answer_is_told_one_by_one() -> None:
    verdict = ask(SAFE, engines={"dies": dies, "gives up": says(Unknown(Reason(ReasonKind.SOLVER_GAVE_UP, "no idea"), "x", 3))})

    assert isinstance(verdict, Unknown)
    assert 3 == verdict.depth
    assert "dies: its process was killed (SIGKILL" in verdict.reason
    assert "gives up: no idea" in verdict.reason


@pytest.mark.slow
@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_the_engines_that_there_are_agree_with_what_is_known_of_the_toys(toy: Toy) -> None:
    verdict = ask(toy, 20, timeout=60, patience=60.0)

    if toy.violated is None:
        assert isinstance(verdict, Proved)
    else:
        assert isinstance(verdict, Violated)
        assert toy.violated <= verdict.depth
