"""How our engines compare on the shipped scenarios, as ratios within one run: python bench/engines.py [SCENARIO ...].

For each scenario, complete exploration by plain evaluation, and then every engine of the registry that races, asked to the depth that
exploration needed for its goals, plus five. Absolute times say little on a shared machine; the ratio of neighbours in one run says more.
"""

from __future__ import annotations

import sys
import time

import z3

from tdpcheck.checker.engines import racing
from tdpcheck.checker.states.explore import survey
from tdpcheck.core.ground import ground
from tdpcheck.core.verdict import Unknown
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import build, parse_source, shipped_source
from tdpcheck.properties import PROPERTIES
from tdpcheck.runner.inputs.terms import property_of

MARGIN = 5
LIMIT = 300.0
"""Seconds for each question."""


def main(names: list[str]) -> None:
    """Print one row a scenario and engine."""
    scenarios = {n: s for n, s in shipped_scenarios().items() if not s.needs_kernel and (not names or n in names)}
    print(f"{'scenario':<24}{'property':<24}{'states':>8}{'explore s':>11}{'depth':>7}  {'engine':<12}{'s':>9}{'/explore':>10}")
    for name, scenario in scenarios.items():
        made = build(scenario, parse_source(shipped_source(scenario.design)))
        prop = property_of(made, next(p for p in scenario.expect if p in PROPERTIES))
        ends = {role: made.finished(role) for role in dict.fromkeys(made.roles)}
        started = time.perf_counter()
        seen = survey(made.system, made.geometry, {**ends, "bad": z3.Not(prop.holds)})
        explored = time.perf_counter() - started
        depth = MARGIN + max((t.depth for role, t in seen.traces.items() if t is not None and role in ends), default=0)
        head = f"{name:<24}{prop.name:<24}{seen.stats.states:>8}{explored:>11.2f}{depth:>7}"
        for engine, ask in racing().items():
            started = time.perf_counter()
            verdict = ask(ground(made.system, made.geometry), prop, depth, timeout=LIMIT)
            asked = time.perf_counter() - started
            end = "  no answer" if isinstance(verdict, Unknown) else ""
            print(f"{head}  {engine:<12}{asked:>9.2f}{asked / explored:>10.1f}{end}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
