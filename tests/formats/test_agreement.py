"""`spte_format_agrees`: the expected disagreements, and no other; each value against a clause is one that the C makes."""

from __future__ import annotations

import pytest
import z3

from tdpcheck.core.errors import EngineError
from tdpcheck.core.sorts import Word
from tdpcheck.formats import asked
from tdpcheck.formats.agreement import Case, blamed, cases, generation_bits, generation_places, question
from tdpcheck.formats.questions import Asking, Clause, Question, ask, plain
from tdpcheck.formats.written import CLASSES

SNOOPS = {"no-second-meaning"}
REFUTED = {
    ("leaf", "bit-11", "usual"): SNOOPS,
    ("huge", "bit-11", "usual"): SNOOPS,
    ("write-protected", "bit-11", "usual"): SNOOPS,
    ("table", "bit-11", "usual"): {"same-kind"},
    ("mmio", "bit-11", "usual"): {"vtd-implies-kvm", "same-kind", "not-at-gpa"},
    ("mmio", "bit-59", "usual"): {"vtd-implies-kvm", "same-kind", "no-second-meaning", "not-at-gpa"},
    ("leaf", "bit-11", "no-snoop-control"): {"same-kind"},
    ("table", "bit-59", "usual"): set(),
    ("leaf", "bit-59", "usual"): set(),
    ("leaf", "bit-59", "no-snoop-control"): set(),
    ("mmio", "bit-59", "refuses-write-only"): set(),
    ("mmio", "bit-59", "no-snoop-control"): {"vtd-implies-kvm", "same-kind", "not-at-gpa"},
    ("leaf", "bit-59", "narrow-haw"): {"same-kind"},
    ("dirty-cleared", "bit-59", "usual"): {"nobody-writes"},
    ("access-tracked", "bit-59", "usual"): set(),
    ("frozen", "bit-11", "usual"): set(),
    ("empty", "bit-59", "usual"): set(),
}
"""By class, place of SPTE_MMU_PRESENT and hardware: the clauses that some value refutes."""


def refuted(case: Case) -> set[str]:
    found = ask(question(case))
    assert all(each.answer != "unknown" for each in found), found
    for each in found:
        assert each.answer == "proved" or each.values["entry"] >= 0
        if each.answer == "proved":
            assert each.solvers == ("z3", "bitwuzla")
    return {each.clause for each in found if each.answer == "refuted"}


@pytest.mark.parametrize(("written", "layout", "machine"), [key for key in REFUTED if key[2] == "usual" and key[0] in ("mmio", "frozen")])
def test_what_is_refuted(written: str, layout: str, machine: str) -> None:
    assert refuted(Case(written, CLASSES[written].levels[0], layout, machine)) == REFUTED[written, layout, machine]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "layout", "machine", "level"),
    [
        # By day, what has the most to say.
        pytest.param(*key, level, marks=() if not n and (key[2] != "usual" or key[0] in ("leaf", "table")) else pytest.mark.nightly)
        for key in REFUTED
        for n, level in enumerate(CLASSES[key[0]].levels)
    ],
)
def test_what_is_refuted_at_each_level(written: str, layout: str, machine: str, level: int) -> None:
    assert refuted(Case(written, level, layout, machine)) == REFUTED[written, layout, machine]


@pytest.mark.slow
@pytest.mark.nightly
def test_at_bit_59_nothing_but_mmio_is_in_dispute_on_the_usual_hardware() -> None:
    for case in cases():
        if (case.layout, case.machine) == ("bit-59", "usual"):
            assert bool(refuted(case) - {"nobody-writes"}) == (case.written == "mmio"), case


def test_the_bit_is_named() -> None:
    case = Case("table", 2, "bit-11", "usual")
    (found,) = (each for each in ask(question(case)) if each.answer == "refuted")
    assert found.values["entry"] == 0x807  # the least: R, W, X and bit 11
    assert "VT-d refuses it by bit 11: bit 11 is reserved in an entry that points to a table" in list(blamed(case, found))


@pytest.mark.slow
def test_the_move_leaves_the_generation_as_wide_as_it_was() -> None:
    """Bit 59 is given up and bit 11 is won: 19 bits before and after, and an MMIO entry may have bit 11."""
    assert generation_bits("bit-11") == generation_bits("bit-59") == 19
    before, after = generation_places("bit-11"), generation_places("bit-59")
    assert len(before) == len(after) == 19
    assert set(before) - set(after) == {59}
    assert set(after) - set(before) == {11}


def of_word(claim: z3.BoolRef, assumed: z3.BoolRef, premise: z3.BoolRef | None = None) -> Question:
    clause = Clause("c", "", claim) if premise is None else Clause("c", "", claim, premise)
    return Question("q", "", "", {"x": Word(8)}, (), assumed, (clause,), least=("x",))


X = z3.BitVec("x", 8)


def test_the_value_against_a_claim_is_the_least() -> None:
    (found,) = ask(of_word(z3.ULT(X, 37), z3.BoolVal(True)))
    assert (found.answer, found.values) == ("refuted", {"x": 37})


def test_nothing_is_proved_of_no_value() -> None:
    (found,) = ask(of_word(X == 1, z3.And(z3.UGT(X, 5), z3.ULT(X, 3))))
    assert found.answer == "unknown"
    assert "no value is as assumed" in found.reason


def test_a_clause_about_no_value_says_so() -> None:
    (found,) = ask(of_word(X == 1, z3.BoolVal(True), z3.ULT(X, 0)))
    assert (found.answer, found.vacuous) == ("proved", True)
    (found,) = ask(of_word(z3.ULT(X, 4), z3.BoolVal(True), z3.ULT(X, 3)))
    assert (found.answer, found.vacuous) == ("proved", False)


def test_a_value_that_does_not_stand_plain_evaluation_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Asking(of_word(z3.ULT(X, 37), z3.BoolVal(True)))
    monkeypatch.setattr(Asking, "evaluated", lambda self, given: {"x": 3})
    with pytest.raises(EngineError, match="plain evaluation"):
        asking.findings()


def test_plain_evaluation_needs_no_solver() -> None:
    assert plain(z3.LShR(X, 2) + 1, {"x": 0xFF}) == 0x40


def test_names_find_questions() -> None:
    assert asked.chosen(["spte_format_agrees/mmio"]) == (
        "spte_format_agrees/mmio/level-1/bit-11/usual",
        "spte_format_agrees/mmio/level-1/bit-59/usual",
    )
    assert asked.chosen(["spte_format_agrees/mmio/level-1/bit-59/no-snoop-control"]) == (
        "spte_format_agrees/mmio/level-1/bit-59/no-snoop-control",
    )
