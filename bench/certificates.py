"""What a certificate of a complete exploration costs: python bench/certificates.py [SCENARIO ...].

For each shipped scenario one certificate for all properties that hold: seconds of computing (not of waiting, since machines are shared) to
visit every state, to learn the invariant, and for each solver to check it.
"""

from __future__ import annotations

import sys
import time

from tdpcheck.checker.certificates.certificate import grounded
from tdpcheck.checker.certificates.explored import explored_invariant
from tdpcheck.checker.states.explore import reachable
from tdpcheck.core.ground import ground
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import build, parse_source, shipped_source
from tdpcheck.recheck.questions import check_certificate
from tdpcheck.runner.inputs.terms import property_of

SOLVERS = ("z3", "bitwuzla")


def main(names: list[str]) -> None:
    """Print one row a scenario."""
    scenarios = {n: s for n, s in shipped_scenarios().items() if not s.needs_kernel and (not names or n in names)}
    print(f"{'scenario':<26}{'states':>7}{'cells':>7}{'asked':>6}{'explore s':>11}{'clauses':>9}{'learn s':>9}{'kB':>6}", end="")
    print("".join(f"{solver + ' s':>12}" for solver in SOLVERS), " verdicts")
    for name, scenario in scenarios.items():
        made = build(scenario, parse_source(shipped_source(scenario.design)))
        system = ground(made.system, made.geometry)
        properties = [property_of(made, prop) for prop, word in scenario.expect.items() if word == "holds"]
        started = time.process_time()
        states, _ = reachable(made.system, made.geometry)
        explored = time.process_time() - started
        started = time.process_time()
        learned = explored_invariant(system, states, properties)
        learning = time.process_time() - started
        text = grounded(system, properties, learned.clauses, digest=made.digest, scenario=name)
        print(f"{name:<26}{len(states):>7}{len(system.cells):>7}{len(properties):>6}{explored:>11.2f}", end="")
        print(f"{len(learned.clauses):>9}{learning:>9.2f}{len(text) // 1000:>6}", end="")
        verdicts = []
        for solver in SOLVERS:
            started = time.process_time()
            verdicts.append(check_certificate(text, solver, per_query=120).verdict)
            print(f"{time.process_time() - started:>12.2f}", end="")
        print("  " + ", ".join(dict.fromkeys(verdicts)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
