"""Certificates by the thousand that somebody might have meddled with: none that is accepted is refused by a slow and independent reading.

TDPCHECK_MUTANTS says how many are drawn (5,000; `make nightly` draws 200,000), TDPCHECK_SEED from where.
"""

from __future__ import annotations

import os
import random

import pytest
import z3

from tdpcheck.checker.certificates.certificate import grounded
from tdpcheck.checker.certificates.explored import explored_invariant
from tdpcheck.checker.states.explore import survey
from tdpcheck.core.errors import TdpcheckError
from tdpcheck.core.ground import GroundSystem, ground
from tdpcheck.core.shape import identity, subterms
from tdpcheck.core.system import Lemma, Property
from tdpcheck.recheck.questions import check_certificate
from tdpcheck.runner.inputs.changes import touched, versions
from tdpcheck.runner.inputs.sources import built, files_of
from tdpcheck.runner.inputs.terms import property_of
from tdpcheck.runner.museum.items import FOLDER, read_item
from tdpcheck.runner.runs.run import selected_scenarios
from tdpcheck.tests.few import SEED
from tdpcheck.tests.recheck.good import bases
from tdpcheck.tests.recheck.mutants import Mutator
from tdpcheck.tests.recheck.slow import refused

COUNT = int(os.environ.get("TDPCHECK_MUTANTS", "5000"))
SHARES = 4


def accepted(text: str) -> bool:
    """Whether Z3 accepts a mutant. Anything but an answer or one clear message is an error of ours."""
    complaint = ""
    try:
        return check_certificate(text, "z3", per_query=2.0, most=1).accepted
    except TdpcheckError as error:
        complaint = str(error)
    assert 1 == len(complaint.splitlines())
    return False


def said(text: str) -> str:
    """What a certificate says without its head and its sentences."""
    return "\n".join(line for line in text.splitlines() if not line.startswith(("(set-info :", ";")))


def test_what_mutants_are_made_of_is_accepted() -> None:
    """By the checker and by the slow reading."""
    for text in bases():
        assert accepted(text)
        assert "" == refused(text)


def test_the_slow_reading_refuses_what_is_wrong() -> None:
    """A clause less, and a guard that is always open: else it could not judge."""
    for text in bases():
        lines = text.splitlines()
        clauses = [line for line in lines if line.startswith("(define-fun |lemma")]
        guards = [line for line in lines if line.startswith("(define-fun |guard")]
        weaker = text.replace(clauses[0], clauses[0].split(" Bool ")[0] + " Bool true)")
        for guard in guards:
            weaker = weaker.replace(guard, guard.split(" Bool ")[0] + " Bool true)")
        assert refused(weaker)


@pytest.mark.slow
@pytest.mark.parametrize("share", range(SHARES))
def test_no_mutant_that_is_accepted_is_wrong(share: int) -> None:
    """Drawn from a seed, so that what is found can be found again."""
    seen: dict[str, str] = {}
    taken = 0
    for number in range(share, COUNT, SHARES):
        rng = random.Random(f"{SEED} {number}")
        text = Mutator(bases()[number // SHARES % len(bases())], rng).draw()
        if not accepted(text):
            continue
        taken += 1
        key = said(text)
        if key not in seen:
            seen[key] = refused(text)
        assert "" == seen[key], f"mutant {number} of seed {SEED}:\n{text}"
    assert taken >= COUNT // SHARES // 100


SMALL = "mm-exit-without-flush"
PAIRS = [
    pytest.param(name, marks=[] if name == SMALL else pytest.mark.nightly)
    for name in sorted(path.parent.name for path in FOLDER.glob("*/expect.toml"))
]
"""The museum's changes; by day, one that a small scenario shows."""


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_a_good_certificate_proves_nothing_of_a_bad_system(name: str) -> None:
    """The clauses that hold in the shipped kernel C, said of the museum's: no solver takes that for a proof.

    Of a system whose cells have other widths (a change that adds places widens the program counter) fewer of them can be said.
    """
    folder = FOLDER / name
    item = read_item(folder)
    (scenario,) = selected_scenarios([item.expect.scenario], ())
    known = versions(str(folder / "change.patch"), files_of(None))
    good = built(scenario, None, known[0].files).model
    bad = built(scenario, None, known[1].files, touched(known, 1)).model
    prop = property_of(good, item.expect.property)
    seen = survey(good.system, good.geometry, {}, max_states=100_000, keep=True)
    if not seen.stats.complete:
        pytest.skip(f"{item.expect.scenario} has too many states for a certificate of one size")
    small = ground(good.system, good.geometry)
    learned = explored_invariant(small, seen.states, [prop])
    worse = ground(bad.system, bad.geometry)
    known_cells = {identity(worse.variable(cell)) for cell in worse.cells}
    fitting = [c for c in learned.clauses if all(identity(x) in known_cells for x in subterms(c.holds) if is_uninterpreted_constant(x))]

    text = grounded(small, prop, learned.clauses)

    assert check_certificate(text, "z3").accepted
    for number in range(max(8, COUNT // 10_000)):
        mutant = Mutator(text, random.Random(f"{SEED} {name} {number}")).draw()
        assert not accepted(mutant) or "" == refused(mutant), mutant
    for clauses in (fitting, [*fitting, small_property(worse, prop)], [small_property(worse, prop)]):
        for solver in ("z3", "bitwuzla"):
            assert not check_certificate(grounded(worse, prop, clauses), solver, most=1).accepted


def is_uninterpreted_constant(term: z3.ExprRef) -> bool:
    return z3.is_const(term) and bool(term.decl().kind() == z3.Z3_OP_UNINTERPRETED)


def small_property(system: GroundSystem, prop: Property) -> Lemma:
    return Lemma(prop.name, system.formula(prop.holds), prop.sentence)
