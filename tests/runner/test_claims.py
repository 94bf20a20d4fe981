"""Claims and hazards: how answers follow from outcomes, that every question can be asked, and that the pages are what runs say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from tdpcheck.api import claims as asking
from tdpcheck.api.claims import asked_of, claim_table, claims
from tdpcheck.core.errors import InputError
from tdpcheck.docs.claims import page
from tdpcheck.formats import asked as bits
from tdpcheck.model.scenario import read_scenario, shipped_scenarios
from tdpcheck.reports import claims as forms
from tdpcheck.runner import claims as tables
from tdpcheck.runner.claims import TABLES, Asked, Claim, Counts, Evidence, Table, decide, table
from tdpcheck.runner.documents import to_json
from tdpcheck.runner.museum.items import shipped_items
from tdpcheck.tests.calling import Call, diff

QUICK = {"claims": ("C5", "C8"), "hazards": ("R2", "R3", "R6", "R12", "R14")}
"""What needs no state to be visited."""
HAZARDS = "R1 R2 R3 R6 R7 R8 R10 R11 R12 R14 R15 R16".split()


def evidence(counts: Counts | str, condition: str = "") -> Evidence:
    outcome = "unknown" if counts == "open" else "holds"
    return Evidence("m", "c", outcome, "s", counts, condition)  # type: ignore[arg-type]


HARMLESS = diff("tdp_fd.c", "/* Every importer drops what", "/* Every one of the importers drops what")
ONE = Claim("X", "says", (Asked("m", scenario="s"),))


@pytest.mark.parametrize(
    ("counted", "claim", "answer"),
    [
        (["for"], ONE, "proved"),
        (["for", "aside"], ONE, "proved"),
        (["for", "against"], ONE, "refuted"),
        (["for", "open"], ONE, "not decided"),
        (["against", "open"], ONE, "refuted"),  # one outcome against it is enough
        (["for", "condition"], ONE, "bounded"),
        (["aside"], ONE, "not decided"),
        ([], ONE, "not decided"),
        (["for"], Claim("X", "says", ONE.asked, missing=("something",)), "not decided"),
        (["against"], Claim("X", "says", ONE.asked, missing=("something",)), "refuted"),
        (["for"], Claim("X", "says", ONE.asked, assumes=("something",)), "bounded"),
    ],
)
def test_an_answer_follows_from_outcomes(counted: list[str], claim: Claim, answer: str) -> None:
    found = decide("claims", claim, [evidence(each, "a condition" if each == "condition" else "") for each in counted])
    assert found.answer == answer
    assert bool(found.assumptions) == (answer == "bounded")


def test_what_bounds_a_run_bounds_the_claim() -> None:
    """An outcome up to some depth speaks for a claim, and does not prove it."""
    found = decide("claims", ONE, [evidence("for", "no run of more than 9 steps was looked at")])
    assert (found.answer, found.assumptions) == ("bounded", ("no run of more than 9 steps was looked at",))


def test_a_proof_of_a_size_says_so() -> None:
    sized = Evidence("m", "c", "holds", "s", "for", sized=True)
    assert decide("claims", ONE, [sized]).word == "proved at the sizes of its runs"
    assert decide("claims", ONE, [evidence("for")]).word == "proved"


def test_all_claims_and_all_hazards_are_there() -> None:
    assert [claim.id for claim in table("claims")] == [f"C{n}" for n in range(1, 21)]
    assert [claim.id for claim in table("hazards")] == HAZARDS


@pytest.mark.parametrize("name", TABLES)
def test_every_question_can_be_asked(name: str) -> None:
    scenarios, items, questions = shipped_scenarios(), shipped_items(), bits.names()
    for asked in asked_of(name):
        if asked.scenario:
            assert asked.properties
            own = asked.scenario.endswith(".toml")
            text = (tables.FOLDER / asked.scenario).read_text(encoding="utf-8") if own else ""
            scenario = read_scenario(text, asked.scenario) if own else scenarios[asked.scenario]
            assert set(asked.properties) <= set(scenario.expect), asked
            assert not asked.change or (tables.FOLDER / asked.change).is_file()
        elif asked.museum:
            assert asked.museum in items
        else:
            assert asked.bits in questions
            known = {clause.name for clause in bits.named(asked.bits)[0].clauses}
            assert set(asked.clauses) <= known, asked


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[[claim]]\nid = "X"\nsays = "s"\n', "nothing is asked"),
        ('[[claim]]\nid = "X"\nsays = "s"\n[[claim.asked]]\nmeans = "m"\n', "names one of"),
        ('[[claim]]\nid = "X"\nsays = "s"\n[[claim.asked]]\nmeans = "m"\nbits = "b"\nmuseum = "m"\n', "names one of"),
        ('[[claim]]\nid = "X"\nsays = "s"\n[[claim.asked]]\nmeans = "m"\nbits = "b"\nfails = "condition"\n', "names none"),
        ('[[claim]]\nid = "X"\nsays = "s"\n[[claim.asked]]\nmeans = "m"\nbits = "b"\nfails = "aside"\n', "never against it"),
        ('[[claim]]\nid = "X"\nsays = "s"\nanswer = "proved"\n', "answer"),
    ],
)
def test_what_is_no_table_is_refused(text: str, complaint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The last one: an answer cannot be written down, only be run."""
    (tmp_path / "claims.toml").write_text(text)
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    with pytest.raises(InputError, match=complaint):
        table("claims")


@pytest.mark.parametrize("name", TABLES)
def test_what_is_quick_is_as_its_page_says(name: str) -> None:
    found = claim_table(*QUICK[name], name=name)
    written = page(name).read_text(encoding="utf-8")
    for each in found.decided:
        alone = forms.markdown(Table(name, (each,)))
        section = alone[alone.index(f"## {each.id}\n") :]
        assert section in written, section
        (row,) = (line for line in alone.splitlines() if line.startswith(f"| [{each.id}]"))
        assert row in written


@pytest.mark.parametrize("name", TABLES)
def test_a_page_names_every_claim_and_counts_them(name: str) -> None:
    written = page(name).read_text(encoding="utf-8")
    ids = [claim.id for claim in table(name)]
    assert re.findall(r"^## (\w+)$", written, re.MULTILINE) == ids
    assert f"{len(ids)}: " in written


@pytest.mark.slow
def test_scenarios_and_museum_items_decide_too() -> None:
    """Runs in which little happens: both directions, with the change and without it."""
    (found,) = claims("C10", cache=False)
    written = page("claims").read_text(encoding="utf-8")
    alone = forms.markdown(Table("claims", (found,)))
    assert alone[alone.index("## C10\n") :] in written
    assert {each.outcome for each in found.evidence} == {"holds"}


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("name", TABLES)
def test_a_page_is_what_the_runs_say(name: str) -> None:
    assert forms.markdown(claim_table(name=name)) == page(name).read_text(encoding="utf-8")


def test_each_form_tells_the_same() -> None:
    found = claim_table("R12", "R14", name="hazards")
    assert json.loads(to_json(found))["decided"][0]["word"] == "shown"
    for form in (forms.markdown, forms.page, forms.text):
        said = form(found)
        assert "shown" in said
        assert "not decided yet" in said
        assert "flush_covers/rfc-everything" in said
    assert "<script" not in forms.page(found)


def test_text_is_escaped() -> None:
    bad = decide("claims", Claim("X", "a | b <script>", ONE.asked), [evidence("for")])
    assert "<script" not in forms.page(Table("claims", (bad,)))
    assert r"a \| b" in forms.markdown(Table("claims", (bad,)))


@pytest.mark.slow
def test_a_change_that_breaks_nothing_speaks_against(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An item decides by its run, not by its name: with a harmless patch in place of the bad one nothing is found."""
    item = shipped_items()["noncoherent-after-export"]
    asked = Asked("m", museum=item.name)
    assert asking._Asking(60, True, lambda _: None).evidence(asked).outcome == "holds"
    (tmp_path / "change.patch").write_text(HARMLESS)
    monkeypatch.setattr(asking, "shipped_items", lambda: {item.name: msgspec.structs.replace(item, folder=str(tmp_path))})
    assert asking._Asking(60, True, lambda _: None).evidence(asked).outcome == "fails"


def test_on_the_command_line(call: Call) -> None:
    done = call("hazards", "--only", "R12", "--as", "json")
    assert done.exit_code == 0
    (decided,) = json.loads(done.stdout)["decided"]
    assert (decided["id"], decided["answer"]) == ("R12", "proved")
    missing = call("claims", "--only", "C21")
    assert missing.exit_code == 2
    assert "C21" in missing.stderr
