"""What exploration says of the shipped scenarios is proved to two solvers: one invariant a scenario, for every property that holds."""

from __future__ import annotations

import pytest

from tdpcheck.checker.certificates.certificate import grounded, statement_of
from tdpcheck.checker.certificates.explored import explored_invariant
from tdpcheck.checker.states.explore import reachable
from tdpcheck.core.errors import InputError
from tdpcheck.core.ground import ground
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import Model, build, parse_source, shipped_source
from tdpcheck.recheck.recheck import recheck
from tdpcheck.runner.inputs.terms import merging_of, property_of

SCENARIOS = {name: scenario for name, scenario in shipped_scenarios().items() if not scenario.needs_kernel}
QUICK = ("noncoherent-export", "share-vs-notifier")
LARGE = ("mm-exit", "notifier-iofault-split")
"""All others are asked by tests/cli/test_verify.py, as a user asks them."""


def certificate(made: Model) -> tuple[str, str]:
    """The certificate of a scenario's properties that hold, and what it must be about."""
    system = ground(made.system, made.geometry)
    properties = [property_of(made, name) for name, word in made.scenario.expect.items() if word == "holds"]
    properties += [] if (merging := merging_of(made)) is None else [merging]
    learned = explored_invariant(system, reachable(made.system, made.geometry)[0], properties)
    assert learned.complete
    return grounded(system, properties, learned.clauses, digest=made.digest, scenario=made.scenario.name), statement_of(system, properties)


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
def test_every_property_that_holds_is_certified(name: str) -> None:
    """Complete exploration was believed on its word; now its invariant is checked by solvers that know nothing of it."""
    made = build(SCENARIOS[name], parse_source(shipped_source(SCENARIOS[name].design)))
    text, statement = certificate(made)
    answer = recheck(text, of=statement, timeout=300, per_query=120)

    assert ["accepted", "accepted"] == [a.verdict for a in answer.answers]


def test_a_certificate_of_one_scenario_is_none_of_another() -> None:
    """They share most of their code."""
    made = [build(SCENARIOS[n], parse_source(shipped_source(SCENARIOS[n].design))) for n in ("noncoherent-export", "noncoherent-attach")]
    (text, _), (_, statement) = certificate(made[0]), certificate(made[1])

    with pytest.raises(InputError, match="the certificate is about something else"):
        recheck(text, of=statement)
