"""The cache: the same question is not asked twice, another one is, and nothing in it is believed blindly."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.core.system import Lemma, truth
from tdpcheck.core.verdict import TIME_IS_UP, HoldsUpTo, Unknown
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.properties import PROPERTIES
from tdpcheck.runner.asking.limits import Engines, Limits
from tdpcheck.runner.documents import to_json
from tdpcheck.runner.inputs.changes import Version
from tdpcheck.runner.inputs.sources import files_of
from tdpcheck.runner.runs.cache import Cache, Known, default_cache, question, sources_digest
from tdpcheck.runner.runs.keys import lookups, to_the_letter
from tdpcheck.runner.runs.plan import Plan
from tdpcheck.runner.runs.run import Outcome, run
from tdpcheck.tests.calling import QUICK, Call, diff

SCENARIO = shipped_scenarios()[QUICK]


def plan(folder: Path, **more: Any) -> Plan:
    usual = {"properties": (), "versions": (Version(files_of(None)),), "cache": Cache(folder)}
    return Plan((SCENARIO,), **{**usual, **more})


def told(outcome: Outcome) -> list[dict[str, Any]]:
    """The results without what says that they were kept."""
    document = json.loads(_json(outcome))
    for record in document["results"]:
        del record["seconds"], record["cached"]
    found: list[dict[str, Any]] = document["results"]
    return found


def _json(outcome: Outcome) -> str:
    return to_json(outcome.document)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A cache after one run."""
    folder = tmp_path_factory.mktemp("cache")
    return folder, run(plan(folder))


def entries(folder: Path) -> list[Path]:
    return list(Cache(folder).entries())


def test_a_second_run_is_told_the_same_and_says_that_it_was_kept(filled: tuple[Path, Outcome]) -> None:
    folder, first = filled
    second = run(plan(folder))

    assert json.dumps(told(first)) == json.dumps(told(second))  # in the same order, too
    assert [False] * 3 == [r.cached for r in first.records]
    assert [True] * 3 == [r.cached for r in second.records]


def test_no_engine_is_asked_for_what_is_kept(filled: tuple[Path, Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise AssertionError("nobody is to be asked")

    monkeypatch.setattr("tdpcheck.runner.runs.run.Worker", broken)

    assert 3 == len(run(plan(filled[0])).records)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-100],
        lambda text: text.replace(b'"holds_up_to"', b'"proved"'),
        lambda text: b"",
        lambda text: b"0" * 64 + text[64:],
        lambda text: b"\xff\xfe" + text,
        None,
    ],
)
def test_a_damaged_or_foreign_entry_is_none_and_is_replaced(
    filled: tuple[Path, Outcome], damage: Callable[[bytes], bytes] | None, tmp_path: Path
) -> None:
    """The last case is a whole and valid entry, in the place of another question's."""
    for path in entries(filled[0]):
        copy = tmp_path / path.parent.name / path.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    places = entries(tmp_path)
    other = places[1].read_bytes()
    places[0].write_bytes(other if damage is None else damage(places[0].read_bytes()))

    outcome, again = run(plan(tmp_path)), run(plan(tmp_path))

    assert told(filled[1]) == told(outcome) == told(again)
    assert 1 == sum(not r.cached for r in outcome.records)
    assert all(r.cached for r in again.records)


def edited(data: bytes) -> bytes:
    """An entry that says something else, written by somebody who knows the format, but no key."""
    content = data.partition(b"\n")[2]
    other = content.replace(b'"holds_up_to"', b'"proved"').replace(b'"HoldsUpTo"', b'"Proved"')
    return hmac.new(b"", other, hashlib.sha256).hexdigest().encode() + b"\n" + other


def test_an_edited_answer_is_not_told_as_computed(filled: tuple[Path, Outcome], tmp_path: Path) -> None:
    """Each entry is edited with care: a plain checksum would be right again."""
    for path in entries(filled[0]):
        copy = tmp_path / path.parent.name / path.name
        copy.parent.mkdir(exist_ok=True)
        plain = path.read_bytes().partition(b"\n")[2].replace(b'"holds_up_to"', b'"proved"')
        copy.write_bytes(hashlib.sha256(plain).hexdigest().encode() + b"\n" + plain)
    first = run(plan(tmp_path))
    for path in entries(tmp_path):
        path.write_bytes(edited(path.read_bytes()))
    second = run(plan(tmp_path))

    assert told(filled[1]) == told(first) == told(second)
    assert not any(r.cached for r in (*first.records, *second.records))


def test_answers_that_another_user_sealed_are_none_of_ours(
    filled: tuple[Path, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of answers that was brought along may say anything."""
    (_, _, asked), *_ = lookups(plan(filled[0]), 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert Cache(filled[0]).look_up(asked) is None
    assert 0o600 == (tmp_path / "tdpcheck" / "key").stat().st_mode & 0o777


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o702])
def test_a_folder_that_others_can_write_to_is_not_used(filled: tuple[Path, Outcome], tmp_path: Path, mode: int) -> None:
    """The run goes on without it, and one line says so; nor is anything there deleted, which need not be ours."""
    tmp_path.chmod(mode)
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "other.json").write_text("{}")
    said: list[str] = []
    kept = Cache(tmp_path, said.append)
    outcome = run(plan(tmp_path, cache=kept))

    assert told(filled[1]) == told(outcome)
    assert 1 == len(said)
    assert "others can write to" in said[0]
    with pytest.raises(InputError, match="nothing was deleted"):
        kept.clear()
    assert ["other.json"] == [path.name for path in entries(tmp_path)]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    said: list[str] = []
    Cache(tmp_path, said.append)

    assert "belongs to another user" in said[0]


@pytest.mark.parametrize("key", [b"", b"short", bytes(40)])
def test_a_key_that_is_none_or_that_others_can_read_is_not_used(key: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    Cache(tmp_path / "answers")
    file = tmp_path / "tdpcheck" / "key"
    good = file.read_bytes()
    for content, mode in ((key, 0o600), (good, 0o640)):
        file.write_bytes(content)
        file.chmod(mode)

        assert "delete it" in Cache(tmp_path / "answers").refused


def test_a_full_disk_is_told_once_and_the_run_goes_on(
    filled: tuple[Path, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (_, _, asked), *_ = lookups(plan(filled[0]), 0)
    known = Cache(filled[0]).look_up(asked)
    assert known is not None
    said: list[str] = []
    full = Cache(tmp_path, said.append)

    def no_space(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tdpcheck.runner.runs.cache.os.replace", no_space)
    full.keep(asked, known)
    full.keep(asked, known)

    assert 1 == len(said)
    assert "No space left on device" in said[0]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_entry_with_a_wrong_proof_is_not_reached_by_luck(filled: tuple[Path, Outcome]) -> None:
    """Whoever can write there can lie; but an entry counts only under the hash of its own question."""
    (_, _, asked), *_ = lookups(plan(filled[0]), 0)

    assert Cache(filled[0]).look_up(asked) is not None
    assert Cache(filled[0]).look_up(asked + " ") is None


LIMITS, ENGINES = Limits(), Engines()
BASE = question("model", "property", LIMITS, ENGINES)


@pytest.mark.parametrize(
    "other",
    [
        question("another model", "property", LIMITS, ENGINES),
        question("model", "another property", LIMITS, ENGINES),
        question("model", "property", Limits(depth=7), ENGINES),
        question("model", "property", LIMITS, Engines(survey=None)),
        question("model", "property", LIMITS, Engines(beside={})),
        question("model", "property", LIMITS, ENGINES, "more"),
    ],
)
def test_whatever_an_answer_rests_on_makes_it_another_question(other: str) -> None:
    assert BASE != other
    assert question("model", "property", LIMITS, ENGINES) == BASE


def test_a_property_is_asked_to_the_letter() -> None:
    prop = PROPERTIES["no_stale_io_mapping"]
    with_lemma = replace(prop, lemmas=(Lemma("trivial", truth(True), "True is true."),))

    assert len({to_the_letter(prop), to_the_letter(replace(prop, holds=truth(True))), to_the_letter(with_lemma)}) == 3


def test_every_room_that_has_to_do_with_an_answer_counts() -> None:
    """A room that the worker imports can change what it answers."""
    code = (
        "import sys, tdpcheck.runner.runs.worker; from tdpcheck.runner.runs.cache import ROOMS;"
        "print(sorted({m.split('.')[1] for m in sys.modules if m.startswith('tdpcheck.')} - {*ROOMS}))"
    )

    assert "[]" == subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_a_changed_line_of_python_is_another_program(tmp_path: Path) -> None:
    """A stale answer must never speak for changed code."""
    (tmp_path / "checker").mkdir()
    (tmp_path / "checker" / "engine.py").write_text("right = True\n")
    before = sources_digest(tmp_path)
    (tmp_path / "checker" / "engine.py").write_text("right = False\n")

    assert sources_digest(tmp_path) not in (before, sources_digest())


def test_the_kernel_c_and_the_scenario_are_part_of_the_question(tmp_path: Path) -> None:
    changed = dict(files_of(None))
    changed["tdp_fd.c"] = changed["tdp_fd.c"].replace("if (kvm_arch_has_noncoherent_dma(kvm))", "if (false)")
    plans = [plan(tmp_path), plan(tmp_path, versions=(Version(changed),))]
    keys = [{q for _, _, q in lookups(p, 0)} for p in plans]

    assert not keys[0] & keys[1]


def test_what_the_clock_or_the_machine_decided_is_not_kept(tmp_path: Path) -> None:
    def late(*_: Any, **__: Any) -> Any:
        return Unknown(TIME_IS_UP, "bmc", 3)

    outcome = run(plan(tmp_path, engines=Engines(survey=None, bmc=late, beside={}), limits=Limits(walks=3)))

    assert {"unknown"} == {r.verdict for r in outcome.records}
    assert [] == entries(tmp_path)


def test_many_writers_at_once_leave_whole_entries(filled: tuple[Path, Outcome], tmp_path: Path) -> None:
    (_, _, asked), *_ = lookups(plan(filled[0]), 0)
    known = Cache(filled[0]).look_up(asked)
    assert isinstance(known, Known)
    assert isinstance(known.verdict, HoldsUpTo)
    cache = Cache(tmp_path)

    def write_and_read(number: int) -> bool:
        cache.keep(asked, known)
        return cache.look_up(asked) == known

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write_and_read, range(200)))
    assert 1 == len(list(tmp_path.rglob("*.*")))


@pytest.mark.parametrize("forged", [False, True])
@pytest.mark.slow
def test_a_violation_is_replayed_before_it_is_told_again(tmp_path: Path, forged: bool) -> None:
    """A forged run is found out, and the question is asked anew."""
    changed = dict(files_of(None))
    changed["tdp_fd.c"] = changed["tdp_fd.c"].replace("if (kvm_arch_has_noncoherent_dma(kvm))", "if (false)")
    asked = plan(tmp_path, versions=(Version(changed),), properties=("reject_noncoherent_dma",))
    first = run(asked)
    if forged:
        (_, _, key), *_ = lookups(asked, 0)
        known = Cache(tmp_path).look_up(key)
        assert known is not None
        verdict: Any = known.verdict
        shorter = replace(verdict, run=replace(verdict.run, steps=verdict.run.steps[:-1]))
        Cache(tmp_path).keep(key, replace(known, verdict=shorter))

    second = run(asked)

    assert ["violated"] == [r.verdict for r in first.records]
    assert told(first) == told(second)
    assert [not forged] == [r.cached for r in second.records]


def test_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TDPCHECK_CACHE", str(tmp_path))
    there = default_cache()
    monkeypatch.setenv("TDPCHECK_CACHE", "off")
    nowhere = default_cache()
    monkeypatch.delenv("TDPCHECK_CACHE")
    usual = default_cache()

    assert there is not None
    assert usual is not None
    assert (tmp_path, None) == (there.folder, nowhere)
    assert "tdpcheck" in str(usual.folder)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TDPCHECK_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.slow
def test_the_command_line_uses_shows_and_clears_it(call: Call, kept: Path) -> None:
    arguments = ["verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma", "--no-certify"]
    call(*arguments, "--no-cache")
    nothing = entries(kept)
    call(*arguments)
    (kept / "not-ours.txt").write_text("stays")
    cached = call(*arguments)
    info = call("cache", "--json")
    cleared = call("cache", "--clear")

    assert [] == nothing
    assert " cached" in cached.stdout
    assert 1 == json.loads(info.stdout)["entries"]
    assert "1 answers deleted" in cleared.stdout
    assert ([], "stays") == (entries(kept), (kept / "not-ours.txt").read_text())


def test_a_cache_that_cannot_be_written_is_no_error(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TDPCHECK_CACHE", str(tmp_path / "file"))

    result = call("verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma")

    assert 0 == result.exit_code


@pytest.mark.slow
def test_a_change_is_judged_from_kept_answers_as_from_new_ones(call: Call, kept: Path, tmp_path: Path) -> None:
    patch = tmp_path / "change.patch"
    patch.write_text(diff("tdp_fd.c", "\troot->exported = true;\n", "\troot->exported = true;\n\troot->exported = true;\n"))
    arguments = ["verify", "--scenario", QUICK, "--change", str(patch), "--json"]
    documents = [json.loads(call(*arguments).stdout) for _ in range(2)]
    for document in documents:
        for record in document["results"]:
            del record["seconds"], record["cached"]

    assert documents[0] == documents[1]
