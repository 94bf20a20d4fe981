"""A document tells of exactly one run, survives the disk, and is believed only as far as today's model bears it out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jsonschema
import msgspec
import pytest

from tdpcheck.core.errors import EngineError, InputError
from tdpcheck.core.system import Property
from tdpcheck.core.trace import replays
from tdpcheck.core.verdict import Violated
from tdpcheck.counterexamples.document import Cex, from_verdict, load, replay, to_trace, write
from tdpcheck.counterexamples.schema import json_schema, shipped_schema, states
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.model.system import Model, build, parse_source, shipped_source
from tdpcheck.properties import PROPERTIES
from tdpcheck.tests.counterexamples.planted import FAULTS, violation

Raw = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """A fault, found in today's model."""

    model: Model
    prop: Property
    verdict: Violated
    cex: Cex


@pytest.fixture(scope="module", params=[pytest.param("skip-iotlb-flush", marks=pytest.mark.slow), "register-unchecked"])
def found(request: pytest.FixtureRequest) -> Found:
    fault = FAULTS[request.param]
    model = fault.model()
    prop = fault.property_of(model)
    verdict = violation(model, prop, fault.depth)
    return Found(model, prop, verdict, from_verdict(model, prop, verdict, fault.change))


def test_the_same_run_is_always_the_same_document(found: Found) -> None:
    """Documents are compared, hashed and kept under version control: nothing of the day or the machine may stand in them."""
    again = from_verdict(found.model, found.prop, found.verdict, found.cex.change)

    assert write(found.cex) == write(again)


def test_a_document_survives_the_disk(found: Found) -> None:
    """The file is the truth from which every report is made."""
    data = write(found.cex)

    assert found.cex == load(data, "a.cex.json")
    assert data == write(load(data, "a.cex.json"))


def test_a_stored_run_is_the_run_that_was_found(found: Found) -> None:
    """Otherwise a replay would bear out another run than the one that is shown."""
    trace = to_trace(load(write(found.cex), "a.cex.json"), found.model)

    assert found.verdict.trace.states == trace.states
    assert found.verdict.trace.actions == trace.actions
    assert replays(trace, found.prop)
    assert replay(found.cex, found.model, found.prop) is None


def test_the_states_of_a_document_follow_from_its_changes(found: Found) -> None:
    """Reports draw from them without a model."""
    trace = found.verdict.trace
    last = states(found.cex)[-1]

    for cell, value in zip(trace.layout.cells, trace.states[-1], strict=True):
        show = getattr(cell.var.kind, "elements", ())
        assert (show[value] if show else value) == last[cell.name]


def test_a_run_without_its_last_step_no_longer_violates(found: Found) -> None:
    """What remains fits the model, so it is the property that must object."""
    shorter = msgspec.structs.replace(found.cex, steps=found.cex.steps[:-1], depth=found.cex.depth - 1)
    misfit = replay(shorter, found.model, found.prop)

    assert misfit is not None
    assert (found.cex.depth - 1, True) == (misfit.step, "holds at its end" in misfit.reason)


def test_an_altered_value_is_noticed_at_its_step(found: Found) -> None:
    """A document that was edited by hand must not pass for a run of the model."""
    *before, last = found.cex.steps
    altered = msgspec.structs.replace(last, changes=tuple(msgspec.structs.replace(c, new=c.old) for c in last.changes))
    misfit = replay(msgspec.structs.replace(found.cex, steps=(*before, altered)), found.model, found.prop)

    assert misfit is not None
    assert found.cex.depth == misfit.step
    assert "another value of" in misfit.reason


def test_a_step_taken_too_early_names_its_guard(found: Found) -> None:
    """The reader learns which step of which run does not fit, not merely that something does not."""
    early = next(s for s in found.cex.steps if s.sources and any(t.actor == s.actor for t in found.cex.steps[: s.number - 1]))
    steps = (early, *(s for s in found.cex.steps if s is not early))
    misfit = replay(msgspec.structs.replace(found.cex, steps=steps), found.model, found.prop)

    assert misfit is not None
    assert (1, f"the guard of {steps[0].action}") == (misfit.step, misfit.reason.partition("(")[0])
    assert re.search(r"\(\w+\.c:\d+\) does not hold: it needs pc\(\d\) == \w+:.*, but pc\[\d\] is \w+:", misfit.reason)


def test_an_action_that_is_gone_is_named(found: Found) -> None:
    """Kernel C changes: a kept run of last month may speak of a line that is no longer there."""
    first, *rest = found.cex.steps
    moved = msgspec.structs.replace(found.cex, model="older", steps=(msgspec.structs.replace(first, action="gone:1"), *rest))
    misfit = replay(moved, found.model, found.prop)

    assert misfit is not None
    assert (1, True) == (misfit.step, "no action gone:1" in misfit.reason)


def test_a_run_of_an_older_model_replays_where_only_places_in_code_are_called_differently(found: Found) -> None:
    """A blank line in a file of C renames places; it must not cost the kept runs below it. Of this very model, it is an error."""
    places = [name for name in found.cex.initial if name.startswith("pc[")]
    renamed = found.cex.initial | dict.fromkeys(places, "elsewhere")
    steps = tuple(
        msgspec.structs.replace(s, changes=tuple(c for c in s.changes if c.cell not in places)) for s in found.cex.steps
    )  # fmt: skip
    older = msgspec.structs.replace(found.cex, model="older", initial=renamed, steps=steps)

    assert replay(older, found.model, found.prop) is None
    assert replay(msgspec.structs.replace(older, model=found.cex.model), found.model, found.prop) is not None


def test_a_run_of_another_size_is_refused_at_once(found: Found) -> None:
    """Cells of another geometry cannot be told apart by their names alone."""
    misfit = replay(msgspec.structs.replace(found.cex, sizes=found.cex.sizes | {"Frame": 40}), found.model, found.prop)

    assert misfit is not None
    assert (0, True) == (misfit.step, "another size" in misfit.reason)


def test_no_document_is_made_of_a_run_that_does_not_replay(found: Found) -> None:
    """An engine's mistake must not become a report."""
    trace = found.verdict.trace
    wrong = replace(found.verdict, trace=replace(trace, steps=trace.steps[:-1]))

    with pytest.raises(EngineError, match="does not replay"):
        from_verdict(found.model, found.prop, wrong)


def test_steps_name_their_actors_and_their_lines_of_c(found: Found) -> None:
    """A maintainer goes from the report to the line; hardware has none."""
    kinds = {actor.name: actor.kind for actor in found.cex.actors}

    for step in found.cex.steps:
        assert bool(step.sources) == (kinds[step.actor] == "thread")
        assert all(source.line > 0 and source.file.endswith(".c") for source in step.sources)


def test_threads_of_one_role_are_told_apart() -> None:
    """Two vCPUs may run the same code, and the report must say which one did what."""
    fault = FAULTS["register-unchecked"]
    shipped = shipped_scenarios()[fault.scenario]
    twice = tuple(msgspec.structs.replace(t, count=2) if t.role == "register" else t for t in shipped.thread)
    source = shipped_source(shipped.design)
    files = {**source.files, fault.file: source.files[fault.file].replace(fault.old, fault.new)}
    model = build(msgspec.structs.replace(shipped, thread=twice), parse_source(replace(source, files=files)))
    prop = PROPERTIES[fault.prop]
    cex = from_verdict(model, prop, violation(model, prop, fault.depth))

    assert ("share", "register 0", "register 1") == tuple(a.name for a in cex.actors)
    assert {"register 0", "register 1"} & {step.actor for step in cex.steps}


def drop(*path: str) -> Callable[[Raw], None]:
    def edit(raw: Raw) -> None:
        inner = raw
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]

    return edit


def put(value: object, *path: str | int) -> Callable[[Raw], None]:
    def edit(raw: Raw) -> None:
        inner: Any = raw
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    return edit


unmarked = [{"before": 1, "after": 3, "sentence": ""}]
strange: Raw = {"steps": [{"number": 9, "actor": "a", "label": "b"}], "swaps": 0, "inserted": 0, "sentence": ""}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (put(3, "schema"), "a newer form of counterexample (schema 3)"),
        (put(1, "schema"), "another form of counterexample (schema 1)"),
        (put(True, "schema"), "not a counterexample"),
        (drop("violation"), "not a counterexample"),
        (drop("property"), "property"),
        (put("x", "depth"), "depth"),
        (put(1, "surprise"), "surprise"),
        (put(99, "depth"), "depth 99, but 7 steps"),
        (put([], "violation"), "nothing is violated"),
        (put(0, "sizes", "Frame"), "sizes"),
        (drop("sizes", "Slot"), "how many of Slot"),
        (put(5, "sizes", "Thread"), "2 threads are named, and there are 5"),
        (put(3, "steps", 0, "number"), "step 3 stands where step 1 should"),
        (put("nobody", "steps", 0, "actor"), "'nobody', who is not among the actors"),
        (put("nothing[0]", "steps", 0, "changes", 0, "cell"), "changes nothing[0], which the first state does not have"),
        (put(True, "steps", 0, "changes", 0, "old"), "but it was False"),
        (put(7, "steps", 0, "changes", 0, "new"), "changes the kind of"),
        (put("guilty", "steps", 0, "mark"), "mark"),
        (put([{"before": 4, "after": 2, "sentence": ""}], "causes"), "step 4 comes before step 2"),
        (put([{"before": 4, "after": 9, "sentence": ""}], "causes"), "step 4 comes before step 9"),
        (put([{"before": 1, "after": 3, "sentence": "", "schedule": strange["steps"]}], "causes"), "has other steps than the run"),
        (put(unmarked, "causes"), "steps 1 and 3 are a cause, and are not marked so"),
        (put(strange, "near_miss"), "the near miss has step 9, and the run has 7"),
        (put(["ATS"], "needs"), "'ATS', which is not among the assumptions"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_document_that_cannot_be_used_says_why(edit: Callable[[Raw], None], message: str) -> None:
    """The reader has one file and one sentence to go on."""
    raw = json.loads(write(FAULTS["skip-iotlb-flush"].kept))
    edit(raw)

    with pytest.raises(InputError) as caught:
        load(json.dumps(raw).encode(), "kept/a.cex.json")
    assert str(caught.value).startswith("kept/a.cex.json: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"3", b'{"schema": 1}', b"VIOLATED"])
def test_what_is_no_document_at_all_is_refused(data: bytes) -> None:
    """Anything may be given on a command line."""
    with pytest.raises(InputError, match=r"^a: .*; give a \*\.cex\.json that"):
        load(data, "a")


def test_the_published_schema_is_that_of_the_structs() -> None:
    """Other programs read our documents by it; `python -m tdpcheck.counterexamples.schema` makes it again."""
    assert json_schema() == shipped_schema().read_bytes()


@pytest.mark.parametrize("name", FAULTS)
def test_every_kept_document_is_what_the_published_schema_says(name: str) -> None:
    """Checked by a validator that is not ours; a document with another field is refused by it, too."""
    validator = jsonschema.Draft202012Validator(json.loads(shipped_schema().read_bytes()))
    raw = json.loads(write(FAULTS[name].kept))

    assert [] == [error.message for error in validator.iter_errors(raw)]
    assert not validator.is_valid(raw | {"surprise": 1})
    assert not validator.is_valid(raw | {"schema": 1})
