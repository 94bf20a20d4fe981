"""How our engines compare on the shipped scenarios, as ratios within one run: python bench/engines.py [SCENARIO ...].

For each scenario: complete exploration by plain evaluation against one BMC question to the same depth that exploration needed for its
goals, plus five. Absolute times say little on a shared machine; the ratio of neighbours in one run says more.
"""

from __future__ import annotations

import sys
import time

import z3

from tdpcheck.checker.bounded.bmc import bmc
from tdpcheck.checker.states.explore import survey
from tdpcheck.core.ground import ground
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import build, parse_source, shipped_source
from tdpcheck.properties import PROPERTIES

MARGIN = 5


def main(names: list[str]) -> None:
    """Print one row a scenario."""
    scenarios = {n: s for n, s in shipped_scenarios().items() if not s.needs_kernel and (not names or n in names)}
    print(f"{'scenario':<24}{'property':<24}{'states':>8}{'explore s':>11}{'depth':>7}{'bmc s':>9}{'bmc/explore':>13}")
    for name, scenario in scenarios.items():
        made = build(scenario, parse_source(shipped_source(scenario.design)))
        prop = next(p for p in scenario.expect if p in PROPERTIES)
        ends = {role: made.finished(role) for role in dict.fromkeys(made.roles)}
        started = time.perf_counter()
        seen = survey(made.system, made.geometry, {**ends, "bad": z3.Not(PROPERTIES[prop].holds)})
        explored = time.perf_counter() - started
        depth = MARGIN + max((t.depth for role, t in seen.traces.items() if t is not None and role in ends), default=0)
        started = time.perf_counter()
        bmc(ground(made.system, made.geometry), PROPERTIES[prop], depth)
        asked = time.perf_counter() - started
        print(f"{name:<24}{prop:<24}{seen.stats.states:>8}{explored:>11.2f}{depth:>7}{asked:>9.2f}{asked / explored:>13.1f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
