"""A proof is told only after two solvers accepted its certificate, each in a process of its own."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ...checker.certificates.certificate import grounded, statement_of
from ...checker.certificates.explored import explored_invariant
from ...core.errors import TdpcheckError
from ...core.evaluation.evaluate import State
from ...core.ground import GroundSystem
from ...core.system import Property
from ...core.verdict import Proved, ReasonKind
from ...model.system import Model
from ...recheck.recheck import Rechecked, recheck

_SOLVER, _QUERY = 60.0, 20.0
"""Seconds that a solver has for a certificate, and for one question of it."""


@dataclass(frozen=True)
class Certified:
    """A certificate, and why it is refused; empty if it is not."""

    text: str
    refused: str = ""


@dataclass(frozen=True)
class PlainProof:
    """What became of a complete exploration that was to be a proof: of which properties, by which clauses, and its certificate.

    `refused` says why a solver does not accept it, and `given_up` why there is none; both are empty if two solvers do.
    """

    properties: tuple[str, ...]
    clauses: tuple[str, ...] = ()
    queries: int = 0
    certificate: str = ""
    refused: str = ""
    given_up: str = ""
    kind: ReasonKind | None = None
    """Of `given_up`, for code."""


def certified(model: Model, system: GroundSystem, prop: Property, proof: Proved, *, timeout: float | None = None) -> Certified:
    """The certificate of a proof about a model, checked by two solvers against today's system and property.

    Args:
        timeout: seconds for everything; without it, what a certificate gets.
    """
    try:
        started = time.monotonic()
        text = grounded(system, prop, proof.invariant, digest=model.digest, scenario=model.scenario.name)
        left = float("inf") if timeout is None else max(0.0, timeout - (time.monotonic() - started))
        checked = recheck(text, of=statement_of(system, prop), timeout=min(_SOLVER, left), per_query=min(_QUERY, left))
    except TdpcheckError as error:
        return Certified("", f"no certificate: {error}")
    return Certified(text, "" if checked.accepted else f"second solver: {why(checked)}")


def certified_states(
    model: Model, system: GroundSystem, properties: Sequence[Property], states: Sequence[State], *, timeout: float | None = None
) -> PlainProof:
    """A complete exploration as a proof of the properties that hold: clauses that are inductive, checked by two solvers.

    Raises:
        EngineError: exploration and grounding disagree.
    """
    names, started = tuple(prop.name for prop in properties), time.monotonic()
    learned = explored_invariant(system, states, properties, timeout=timeout)
    if not learned.complete or not properties:
        return PlainProof(
            names, given_up=str(learned.reason or "nothing holds"), kind=None if learned.reason is None else learned.reason.kind
        )
    text = grounded(system, properties, learned.clauses, digest=model.digest, scenario=model.scenario.name)
    left = float("inf") if timeout is None else max(0.0, timeout - (time.monotonic() - started))
    checked = recheck(text, of=statement_of(system, properties), timeout=min(_SOLVER, left), per_query=min(_QUERY, left))
    clauses = tuple(clause.name for clause in learned.clauses)
    if checked.accepted:
        return PlainProof(names, clauses, learned.queries, text)
    reason = f"second solver: {why(checked)}"
    return PlainProof(names, refused=reason) if checked.refused else PlainProof(names, given_up=reason, kind=_kind(checked))


def _kind(checked: Rechecked) -> ReasonKind:
    """Whether more time could have helped a certificate that is not accepted."""
    return ReasonKind.TIME_OUT if any(a.kind == "time-out" for a in checked.answers) else ReasonKind.SECOND_SOLVER


def why(checked: Rechecked) -> str:
    """Why a certificate was not accepted."""
    parts = [f"{a.solver} says {a.verdict}" + (f" ({a.reason})" if a.reason else "") for a in checked.answers if not a.accepted]
    return ", ".join(parts) or "nobody was asked"


def short_hash(certificate: str) -> str:
    """The name of a certificate in a verdict's line."""
    return hashlib.sha256(certificate.encode()).hexdigest()[:12]
