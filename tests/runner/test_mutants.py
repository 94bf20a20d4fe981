"""`tdpcheck mutate`: what becomes of a mutant, what is kept of a campaign, and what the page says of one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

import tdpcheck.api.mutate
from tdpcheck.api.mutate import mutate
from tdpcheck.core.errors import InputError
from tdpcheck.docs import mutation
from tdpcheck.kernelc.text.mutations import Mutation
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.runner.inputs.sources import files_of
from tdpcheck.runner.mutants import campaign
from tdpcheck.runner.mutants.asked import Asking, Judged
from tdpcheck.runner.mutants.campaign import Mutants, all_mutants, stored
from tdpcheck.runner.mutants.declared import Equivalent, declared
from tdpcheck.tests.calling import QUICK, Call

REGISTER = "kvm_arch_register_noncoherent_dma"


@pytest.fixture(autouse=True)
def _one_small_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registration of non-coherent DMA beside an export: 19 states."""
    monkeypatch.setattr(tdpcheck.api.mutate, "_asked_of", lambda design: ("", files_of(None), [shipped_scenarios()[QUICK]]))


@pytest.fixture(scope="module")
def asking() -> Asking:
    return Asking(files_of(None), [shipped_scenarios()[QUICK]], 1000, 60.0)


def mutant(old: str, new: str, function: str = REGISTER, file: str = "tdp_fd.c") -> Mutation:
    text = files_of(None)[file]
    at = text.index(old, text.index(f" {function}("))
    return Mutation("edit", file, function, text.count("\n", 0, at) + 1, f"{old} -> {new}", "", text[:at] + new + text[at + len(old) :])


@pytest.mark.parametrize(
    ("edit", "fate", "by"),
    [
        (mutant("kvm_tdp_is_exported(kvm)", "false"), "killed", "reject_noncoherent_dma"),
        (mutant("\twrite_unlock(&kvm->mmu_lock);\n\treturn 0;", "\treturn 0;"), "killed", "kernel_assertions"),
        (mutant("write_unlock(&kvm->mmu_lock);\n\treturn 0;", "write_lock(&kvm->mmu_lock);\n\treturn 0;"), "deadlock", "deadlock"),
        (mutant("kvm_tdp_is_exported(kvm)", "true"), "survived", ""),
        (replace(mutant("note_refused();", ";"), text=files_of(None)["tdp_fd.c"].replace("note_refused();", ";")), "goal", "refused"),
        (mutant("noncoherent_dma_count_inc(kvm, dev)", "no_such_call(kvm)"), "refused", ""),
        (mutant("qi_wait();", ";", "kvm_tdp_fd_flush_notify"), "not modelled", ""),
    ],
)
def test_what_becomes_of_a_mutant(asking: Asking, edit: Mutation, fate: str, by: str) -> None:
    found = asking.judged(edit)

    assert (found.fate, found.by, found.found) == (fate, by, fate in ("killed", "deadlock"))
    assert (found.depth is not None) == found.found
    assert ("+" in found.diff) == (not found.found)


def test_what_is_wrong_already_is_none_of_the_mutants_doing() -> None:
    broken = mutant("kvm_tdp_is_exported(kvm)", "false")
    other = replace(broken, text=broken.text.replace("\tnote_refused();", "\t;", 1))
    asking = Asking({**files_of(None), broken.file: broken.text}, [shipped_scenarios()[QUICK]], 1000, 60.0)

    assert asking.judged(other).fate == "survived"
    assert asking.known == {QUICK: frozenset({"reject_noncoherent_dma"})}


def test_nothing_is_said_of_what_is_too_large(asking: Asking) -> None:
    found = Asking(asking.files, asking.scenarios, 5, 60.0).judged(mutant("kvm_tdp_is_exported(kvm)", "true"))

    assert (found.fate, found.reason) == ("open", f"{QUICK}: not every state was visited: more than 5 states")


def test_a_campaign_is_told_kept_and_gone_on_with(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "mutants.json"
    first = call("mutate", "--function", REGISTER, "--sample", "3", "--seed", "2", "--jobs", "1", "--json", str(file))
    one = stored(file)
    again = call("mutate", "--json", str(file), "--resume", "--sample", "5", "--jobs", "2")
    other = stored(file)

    assert first.exit_code == (3 if one.survivors else 0)
    assert f"mutants: 3 of {one.of}, drawn with seed 2" in first.stdout
    assert (len(one.judged), len(other.judged), other.wanted.seed) == (3, 5, 2)
    assert other.judged[:3] == one.judged, "a larger sample begins with a smaller one, and nothing is asked twice"
    assert again.stderr.count("\n") == 2
    assert other.score == other.count("killed", "deadlock", "livelock") / other.counted
    assert all(each.diff.rstrip("\n") in again.stdout for each in other.survivors)
    assert "it is there already" in call("mutate", "--json", str(file)).stderr


def test_control_c_keeps_what_was_found(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mutants.json"

    def told(latest: Judged) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("tdpcheck.cli.mutate._told", told)
    found = call("mutate", "--function", REGISTER, "--operator", "negate", "--operator", "force", "--jobs", "1", "--json", str(file))
    document = stored(file)

    assert found.exit_code == 130
    assert document.interrupted
    assert 0 < len(document.judged) < document.chosen
    assert f"interrupted: {document.chosen - len(document.judged)} were not asked" in found.stdout


def test_a_declaration_is_believed_unless_it_is_asked(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the table is exported is looked at: who declares that to be no fault is contradicted."""
    own = all_mutants(files_of(None), [REGISTER], ["drop-recheck"])[0]
    wrong = Equivalent(own.operator, own.file, own.function, own.what, "nobody exports", own.near)
    monkeypatch.setattr(tdpcheck.api.mutate, "declared", lambda: (wrong,))
    given = ("mutate", "--function", REGISTER, "--operator", "drop-recheck", "--jobs", "1")

    believed, asked = call(*given), call(*given, "--declared")

    assert (believed.exit_code, "1 equivalent" in believed.stdout) == (0, True)
    assert (asked.exit_code, "it is declared to be no fault, and is one: nobody exports" in asked.stdout) == (1, True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--function", REGISTER[:-1]), f"there is no function with mutants '{REGISTER[:-1]}'; did you mean {REGISTER}"),
        (("--operator", "sawp"), "there is no operator 'sawp'; did you mean swap?"),
        (("--operator", "weaken-lock", "--function", "tdp_iter_start"), "there is no such mutant"),
        (("--resume",), "--resume goes on with a file"),
        (("--seed", "1"), "give --sample N with it"),
    ],
)
def test_what_cannot_be_asked_gets_one_error(call: Call, given: tuple[str, ...], said: str) -> None:
    found = call("mutate", *given)

    assert (found.exit_code, said in found.stderr, found.stdout) == (2, True, "")


def _documents() -> Iterator[tuple[str, str]]:
    good = Mutants(1, "0123", campaign.Wanted(), 1, 1, False, (Judged("swap", "a.c", "f", 1, "a <-> b", "", "survived"),))
    plain = json.loads(msgspec.json.encode(good))
    yield "", "this is no document of mutants"
    yield json.dumps({**plain, "more": 1}), "unknown field `more`"
    yield json.dumps({**plain, "schema": 7}), "its schema is 7"
    yield json.dumps({**plain, "judged": plain["judged"] * 2}), "stands there twice"
    yield json.dumps({**plain, "judged": [{**plain["judged"][0], "fate": "fine"}]}), "Invalid enum value 'fine'"
    yield json.dumps(plain), "it is about another kernel C or machine (0123, here it is "


@pytest.mark.parametrize(("text", "said"), list(_documents()))
def test_a_document_is_looked_at_before_it_is_gone_on_with(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "m.json"
    file.write_text(text)

    with pytest.raises(InputError, match=r"m\.json") as refused:
        mutate(resume=file)

    assert str(refused.value).startswith(str(file))
    assert said in str(refused.value)


def test_each_declaration_means_one_mutant_of_today() -> None:
    mutants = all_mutants(files_of(None))

    assert {each.what: sum(map(each.means, mutants)) for each in declared()} == {each.what: 1 for each in declared()}


def test_the_page_is_what_the_command_makes_of_the_kept_campaign() -> None:
    assert mutation.page() == mutation.PAGE.read_text(), "run `python -m tdpcheck.docs.mutation`"
    known = {(each.operator, each.function, each.what, each.near) for each in all_mutants(files_of(None))}
    assert {(each.operator, each.function, each.what, each.near) for each in mutation.kept().found.survivors} <= known
