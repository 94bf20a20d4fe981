"""`replay` believes nothing of a document but schedule and model: each word, cause and repair that it does not find is said."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tdpcheck.api.verify import verify
from tdpcheck.counterexamples.compared import UNCHECKED, differences
from tdpcheck.counterexamples.schema import Cex, load
from tdpcheck.runner.museum.items import shipped_items
from tdpcheck.tests.calling import QUICK, Call

Forgery = Callable[[dict[str, Any]], None]
SCHEDULE = {"action", "arguments", "number"}
"""What of a step says which run is meant: another one does not fit, or violates nothing, or is another run."""


@dataclass(frozen=True)
class Kept:
    """A document, and the change under which it was found."""

    trace: Path
    change: Path

    @property
    def document(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.trace.read_text())
        return read


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder = tmp_path_factory.mktemp("replay")
    change = folder / "bad.patch"
    change.write_bytes(shipped_items()["noncoherent-after-export"].patch)
    (found,) = verify(QUICK, "reject_noncoherent_dma", change=change, certify=False, cache=False).violations
    trace = folder / "bad.cex.json"
    trace.write_bytes(msgspec.json.encode(found.counterexample))
    return Kept(trace, change)


def put(*where: str | int, value: object) -> Forgery:
    """Something else at a place of the document."""

    def forge(document: dict[str, Any]) -> None:
        at: Any = document
        for step in where[:-1]:
            at = at[step]
        at[where[-1]] = value

    return forge


def without_a_cause(document: dict[str, Any]) -> None:
    document["causes"].append(copy.deepcopy(document["causes"][0]))


def by_another_one(document: dict[str, Any]) -> None:
    step = document["steps"][1]
    step["actor"] = next(a["name"] for a in document["actors"] if a["name"] != step["actor"])


FORGED: dict[str, tuple[Forgery, str]] = {
    "what a step does": (put("steps", 0, "label", value="nothing happens"), "steps 1.label: it says 'nothing happens'"),
    "who takes a step": (by_another_one, "steps 2.actor: it says '"),
    "what a step changes": (put("steps", 0, "effects", value=["all is well"]), "steps 1.effects"),
    "where a step stands": (put("steps", 0, "sources", 0, "line", value=1), "steps 1.sources 1.line: it says 1"),
    "what is violated": (put("violation", 0, "sentence", value="a cosmetic flaw"), "violation 1.sentence: it says 'a cosmetic flaw'"),
    "what the property promises": (put("property", "sentence", value="Nothing."), "sentence: it says 'Nothing.'"),
    "why it happens": (put("causes", 0, "sentence", value="The moon was full."), "causes 1.sentence: it says 'The moon was full.'"),
    "the other order": (
        put("causes", 0, "schedule", 0, "label", value="does nothing"),
        "causes 1.schedule 1.label: it says 'does nothing'",
    ),
    "a cause too many": (without_a_cause, "causes: it says"),
    "what is missing": (put("missing", value=None), ""),
    "what is assumed": (put("assumptions", 0, value="all hardware is perfect"), "assumptions 1: it says 'all hardware is perfect'"),
    "the quoted code": (put("sources", 0, "text", value="void f(void) {}"), "sources 1.text: it says 'void f(void) {}'"),
    "the changed lines": (put("changed", 0, "text", value="\treturn 0;"), "changed 1.text: it says"),
    "an escape": (put("steps", 0, "label", value="\x1b[2J\x07ok"), "steps 1.label: it says '\\x1b[2J\\x07ok'"),
}


@pytest.mark.parametrize(("forge", "said"), FORGED.values(), ids=FORGED)
def test_what_is_not_found_is_said(call: Call, kept: Kept, tmp_path: Path, forge: Forgery, said: str) -> None:
    document = kept.document
    forge(document)
    (tmp_path / "forged.cex.json").write_text(json.dumps(document))
    done = call("replay", str(tmp_path / "forged.cex.json"), "--change", str(kept.change))

    assert said in done.stdout, done.output
    assert (3 if said else 0) == done.exit_code, done.output
    assert "\x1b" not in done.output
    assert ("not what is found; believe the steps alone" in done.stdout) == bool(said)


def test_a_repair_that_nobody_verified_is_said(call: Call, kept: Kept, tmp_path: Path) -> None:
    """One is made up."""
    document = kept.document
    repair = {"name": "flush", "sentence": "Take the lock.", "where": "tdp_fd.c:74", "verified": "Proved, every size", "diff": ""}
    document["repairs"] = [repair]
    (tmp_path / "forged.cex.json").write_text(json.dumps(document))
    done = call("replay", str(tmp_path / "forged.cex.json"), "--change", str(kept.change), "--json")

    assert done.exit_code == 3, done.output
    assert {"repairs"} == {line.split()[0] for line in json.loads(done.stdout)["differs"]}


def test_another_schedule_is_no_such_run(call: Call, kept: Kept, tmp_path: Path) -> None:
    """Its last step is left out, its steps change places, an action is made up: nothing violated, or no run."""
    forgeries: list[Forgery] = [
        lambda d: d["steps"].pop(),
        lambda d: d["steps"].reverse(),
        put("steps", 0, "action", value="share.no_such_function:1"),
        put("steps", 0, "arguments", value={}),
    ]
    for number, forge in enumerate(forgeries):
        document = kept.document
        forge(document)
        (tmp_path / f"{number}.cex.json").write_text(json.dumps(document))
        done = call("replay", str(tmp_path / f"{number}.cex.json"), "--change", str(kept.change))

        assert done.exit_code in (2, 3), done.output
        assert "no solver was asked" not in done.stdout


def test_each_word_of_a_document_is_compared(kept: Kept) -> None:
    """Whatever is changed of it, the comparison with the true one names the place; but for what no replay can find, and says so."""
    true = load(kept.trace.read_bytes(), kept.trace.name)
    compared = 0
    for where, forged in _forged_everywhere(kept.document):
        if where[0] in UNCHECKED:
            continue
        try:
            read = msgspec.convert(forged, Cex)
        except msgspec.ValidationError:
            continue  # refused when it is read
        assert differences(read, true), where
        compared += 1

    assert compared > 100


def _forged_everywhere(document: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    for where, value in _leaves(document):
        forged = copy.deepcopy(document)
        put(*where, value=f"{value}, forged" if isinstance(value, str) else value + 1 if type(value) is int else not value)(forged)
        yield where, forged


def _leaves(value: Any, *where: str | int) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _leaves(part, *where, name)
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _leaves(part, *where, number)
    elif value is not None:
        yield where, value
