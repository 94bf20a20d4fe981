"""Every shipped scenario answers as it says it does, in two engines that share no encoding."""

from __future__ import annotations

from functools import cache

import pytest
import z3

from tdpcheck.checker.bounded.bmc import bmc
from tdpcheck.checker.states.explore import Surveyed, survey
from tdpcheck.core.ground import ground
from tdpcheck.core.system import Property
from tdpcheck.core.trace import replays
from tdpcheck.core.verdict import HoldsUpTo, Violated
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import Model, build, parse_source, shipped_source
from tdpcheck.properties.goals import GOALS
from tdpcheck.runner.inputs.terms import ends_of, property_of
from tdpcheck.tests.few import drawn

SCENARIOS = {name: scenario for name, scenario in shipped_scenarios().items() if not scenario.needs_kernel}
SIZES = {
    # reachable states, and the distance of the farthest from the start: a changed number is news
    "collapse-vs-fault": (8157, 20),
    "eager-split": (1514, 13),
    "eager-split-exclusive": (684, 12),
    "fast-zap-exported": (346, 17),
    "fast-zap-private": (316, 12),
    "fast-zap-vs-notifier": (767, 16),
    "fault-split": (6594, 17),
    "memslot-delete": (112, 17),
    "memslot-delete-two-roots": (84, 18),
    "memslot-delete-vs-fault": (166, 19),
    "mm-exit": (46, 10),
    "mm-exit-vs-iofault": (176, 12),
    "mm-exit-vs-notifier": (833, 22),
    "noncoherent-attach": (178, 7),
    "noncoherent-export": (19, 5),
    "notifier-iofault-split": (19890, 25),
    "notifier-two-roots": (824, 18),
    "notifier-vs-fault": (2072, 19),
    "notifier-vs-fault-ats": (5684, 24),
    "notifier-vs-iofault": (1140, 15),
    "recover-vs-fault": (904, 20),
    "recover-vs-notifier": (1365, 27),
    "recover-vs-walk": (779, 23),
    "share-vs-notifier": (269, 13),
    "two-fast-zaps": (163, 21),
}
BMC_DEPTH = 8
QUICK = ("noncoherent-export", "noncoherent-attach", "mm-exit")
EACH = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SCENARIOS]
COUNTED = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SIZES]


@cache
def model(name: str, merge: bool = True) -> Model:
    scenario = SCENARIOS[name]
    return build(scenario, parse_source(shipped_source(scenario.design)), merge=merge)


def properties(made: Model) -> dict[str, Property]:
    return {name: property_of(made, name) for name in made.scenario.expect}


@cache
def surveyed(name: str, merge: bool = True) -> Surveyed:
    """Every state of a scenario, visited once for all questions."""
    made = model(name, merge)
    terms = {f"bad {n}": z3.Not(p.holds) for n, p in properties(made).items()}
    terms |= {f"premise {n}": p.premise for n, p in properties(made).items()}
    terms |= {f"goal {n}": GOALS[n] for n in made.scenario.goals}
    terms |= {f"goal {r} ends": made.finished(r) for r in dict.fromkeys(made.roles) if r not in made.scenario.stuck}
    return survey(made.system, made.geometry, terms, ends=ends_of(made))


@pytest.mark.parametrize("name", EACH)
def test_exploration_gives_the_expected_verdicts(name: str) -> None:
    """A scenario is a litmus test: its verdicts stand in the file, and visiting every state must find them."""
    seen = surveyed(name)
    found = {prop: "violated" if seen.traces[f"bad {prop}"] else "holds" for prop in SCENARIOS[name].expect}

    assert seen.stats.complete
    assert dict(SCENARIOS[name].expect) == found
    for prop, holds in properties(model(name)).items():
        trace = seen.traces[f"bad {prop}"]
        assert trace is None or replays(trace, holds)


@pytest.mark.parametrize("name", EACH)
def test_every_premise_goal_and_end_is_reached(name: str) -> None:
    """A scenario in which nothing happens proves nothing."""
    missed = [term for term, trace in surveyed(name).traces.items() if trace is None and not term.startswith("bad ")]

    assert [] == missed


@pytest.mark.parametrize("name", EACH)
def test_every_run_comes_to_its_end(name: str) -> None:
    """Nobody waits for ever, and nobody goes round for ever."""
    seen = surveyed(name)

    assert ((), ()) == (seen.stuck, seen.livelocks)


@pytest.mark.parametrize("name", COUNTED)
def test_the_number_of_reachable_states_is_known(name: str) -> None:
    """A change of the model that nobody meant shows in the count of its states."""
    stats = surveyed(name).stats

    assert SIZES[name] == (stats.states, stats.depth)


@pytest.mark.parametrize("name", drawn(SCENARIOS, 8, kind=lambda name: SCENARIOS[name].design))
def test_bmc_agrees_with_exploration(name: str) -> None:
    """The symbolic encoding and plain evaluation share no code: the same verdicts, and the same shortest depths."""
    made = model(name)
    grounded = ground(made.system, made.geometry)
    for prop, holds in properties(made).items():
        wanted = surveyed(name).traces[f"bad {prop}"]
        verdict = bmc(grounded, holds, BMC_DEPTH)

        if wanted is None:
            assert isinstance(verdict, HoldsUpTo), prop
            assert verdict.depth >= BMC_DEPTH
        else:
            assert isinstance(verdict, Violated), prop
            assert verdict.shortest is True
            assert wanted.depth == verdict.depth


@pytest.mark.parametrize("name", drawn([n for n in SIZES if SIZES[n][0] < 3000], 6))
def test_merging_movers_changes_no_verdict(name: str) -> None:
    """Lipton's reduction is argued in the code and checked here: without it, every verdict is the same."""
    seen = surveyed(name, merge=False)

    assert seen.stats.complete
    assert dict(SCENARIOS[name].expect) == {p: "violated" if seen.traces[f"bad {p}"] else "holds" for p in SCENARIOS[name].expect}
