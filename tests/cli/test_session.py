"""Exploring by hand, without a face: what may be chosen, what it says, what is saved and loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tdpcheck.checker.states.explore import reachable
from tdpcheck.cli.explore import begun
from tdpcheck.cli.explorer.session import Session
from tdpcheck.cli.explorer.view import picture, view
from tdpcheck.core.errors import InputError
from tdpcheck.core.system import Action, Property, truth
from tdpcheck.core.trace import replays
from tdpcheck.counterexamples.document import replay, to_trace
from tdpcheck.counterexamples.schema import load
from tdpcheck.tests.calling import QUICK, Call

from . import exploring
from .exploring import AIM


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return exploring.opened(tmp_path_factory.mktemp("opened"))


@pytest.fixture
def opened(broken: Session) -> Session:
    """A design that exports its table although non-coherent DMA is registered, from its start."""
    broken.begin(0)
    return broken


@pytest.fixture(scope="module")
def shipped() -> Session:
    return begun(QUICK, (), None, None, None)


@pytest.fixture
def good(shipped: Session) -> Session:
    """The shipped design, from its start; the model is built once."""
    shipped.begin(0)
    return shipped


def labels(session: Session) -> list[str]:
    return [f"{c.step.actor}: {c.label}" for c in session.choices]


def test_the_choices_lead_to_every_reachable_state_and_to_no_other(good: Session) -> None:
    """What may be chosen is what the model can do, no more and no less."""
    expected, _ = reachable(good.model.system, good.model.geometry)
    todo: list[tuple[int, ...]] = []
    seen = set()
    for start in range(len(good.starts)):
        good.begin(start)
        seen.add(good.state)
        todo += [(start,)]
    while todo:
        start, *path = todo.pop()
        good.begin(start)
        for number in path:
            good.take(number)
        for number, choice in enumerate(good.choices):
            if choice.state not in seen:
                seen.add(choice.state)
                todo.append((start, *path, number))

    assert seen == set(expected)


def test_threads_come_first_and_no_two_choices_read_alike(good: Session) -> None:
    words = labels(good)

    assert len(words) == len(set(words))
    assert good.choices[0].step.actor == "share"
    assert good.lanes[:2] == good.threads == ("share", "register")
    assert all(good.place(t).startswith("tdp_fd.c:") for t in good.threads)


def test_a_step_is_taken_undone_and_taken_again(good: Session) -> None:
    start, first = good.state, good.choices[0]
    good.take(0)
    after = good.state

    assert (after, good.depth, good.steps[0].label) == (first.state, 1, first.step.label)
    assert (good.undo(), good.state, good.can_redo) == (True, start, True)
    assert (good.redo(), good.state, good.can_redo) == (True, after, False)
    assert not good.redo()
    good.undo()
    good.take(1)
    assert not good.can_redo, "another step was taken: there is nothing to go back to"
    good.back_to(0)
    assert (good.depth, good.state, good.undo()) == (0, start, False)


@pytest.mark.parametrize("number", [-1, 99])
def test_a_choice_that_is_not_there_is_refused(good: Session, number: int) -> None:
    with pytest.raises(InputError, match=f"there is no choice {number}"):
        good.take(number)
    with pytest.raises(InputError, match="there is no step"):
        good.back_to(number)
    with pytest.raises(InputError, match="there is no start"):
        good.begin(number)
    assert good.depth == 0


def test_every_start_of_the_model_is_offered() -> None:
    session = begun("noncoherent-attach", (), None, None, None)

    assert len(session.starts) == 4
    session.begin(3)
    assert session.state == session.starts[3] != session.starts[0]


def test_a_walk_ends_at_the_violation_and_the_same_seed_walks_alike(opened: Session) -> None:
    runs = []
    for _ in range(2):
        opened.begin(0)
        for seed in range(200):
            opened.begin(0)
            opened.walk(20, seed)
            if opened.broken:
                break
        runs.append([s.label for s in opened.steps])

    assert runs[0] == runs[1]
    assert opened.broken == ("reject_noncoherent_dma",)
    assert opened.broke[-1] == ("reject_noncoherent_dma",)
    assert not any(opened.broke[:-1])
    (standing,) = [s for s in opened.standings if not s.holds]
    assert standing.why[0].startswith("the TDP is exported while non-coherent DMA of device ")


def test_a_walk_ends_where_nothing_can_happen(good: Session) -> None:
    taken = good.walk(500, 1)

    assert taken == good.depth < 500
    assert good.choices == ()
    assert {good.place(t) for t in good.threads} == {"done"}
    assert good.walk(5) == 0


def test_a_choice_says_what_it_would_break(opened: Session) -> None:
    opened.seek(AIM)
    broke = opened.steps[-1]
    opened.undo()

    assert not opened.broken
    assert [c.step.label for c in opened.choices if c.breaks] == [broke.label]


def test_what_is_broken_already_is_not_broken_again(opened: Session) -> None:
    opened.seek(AIM)
    assert opened.choices
    opened.take(0)

    assert opened.broken == ("reject_noncoherent_dma",)
    assert opened.broke[-1] == ()


def test_a_step_that_changes_nothing_is_not_offered(good: Session) -> None:
    idle = Action("idle", "iommu", (), truth(True), ())
    model = replace(good.model, system=replace(good.model.system, actions=(*good.model.system.actions, idle)))
    session = Session(model, ["root_liveness"])

    assert labels(session) == labels(good)


def test_the_way_to_a_violation_is_a_shortest_one(opened: Session) -> None:
    said = opened.seek(AIM)

    assert said == f"{AIM}: 3 steps from here, and no way is shorter"
    assert opened.depth == 3
    assert opened.seek(AIM) == f"{AIM}: it is so already"


def test_what_cannot_be_reached_is_said_to_be_so_and_a_search_cut_short_is_not(good: Session) -> None:
    assert good.seek(AIM).startswith(f"{AIM}: impossible from here: all ")
    assert good.seek(AIM, max_states=1).endswith("that proves nothing")
    assert good.seek("reach refused").startswith("reach refused: ")
    assert good.goals["refused"]
    with pytest.raises(InputError, match="there is no aim 'fly'"):
        good.seek("fly")


def test_a_run_that_ends_in_a_violation_is_saved_as_a_counterexample(opened: Session) -> None:
    opened.seek(AIM)
    name, data = opened.saved()
    cex = load(data, name)

    assert name == f"{QUICK}.reject_noncoherent_dma.cex.json"
    assert cex.change == "opened.patch"
    assert replay(cex, opened.model, _prop(opened)) is None
    assert replays(to_trace(cex, opened.model), _prop(opened))
    assert opened.saved() == (name, data)


def _prop(session: Session) -> Property:
    return next(p for p in session.properties if p.name == "reject_noncoherent_dma")


def test_a_run_without_a_violation_is_saved_as_a_run_and_is_no_counterexample(good: Session) -> None:
    good.walk(4, 7)
    name, data = good.saved()

    assert name == f"{QUICK}.run.trace.json"
    with pytest.raises(InputError, match="a run in which nothing is violated"):
        load(data, name)
    assert load(data, name, violated=False).depth == good.depth


@pytest.mark.parametrize("aim", [AIM, None])
def test_what_was_saved_is_loaded(opened: Session, aim: str | None) -> None:
    opened.seek(aim) if aim else opened.walk(3, 2)
    _, data = opened.saved()
    before = (opened.state, opened.steps, opened.broke)
    opened.begin(0)

    opened.load(data, "x")

    assert (opened.state, opened.steps, opened.broke) == before
    assert opened.undo()


def edited(data: bytes, edit: Callable[[Any], None]) -> bytes:
    raw = json.loads(data)
    edit(raw)
    return json.dumps(raw).encode()


def test_a_run_that_is_none_today_is_refused_and_nothing_is_lost(opened: Session, good: Session) -> None:
    opened.seek(AIM)
    _, data = opened.saved()
    good.take(0)
    before = good.state
    refused = {
        b"": "the file is empty",
        data: "no run of today's model: step ",
        edited(data, lambda raw: raw.update(scenario={"name": "mm-exit", "story": ""})): "a run of mm-exit; this is noncoherent-export",
        edited(data, lambda raw: raw["sizes"].update(Gfn=3)): "a run of another size",
        edited(good.saved()[1], lambda raw: raw["initial"].update({"coherent[0]": 7})): "no run of today's model: step 0",
    }

    for content, message in refused.items():
        with pytest.raises(InputError, match=message):
            good.load(content, "x")
        assert (good.state, good.depth) == (before, 1)


@pytest.mark.slow
def test_a_view_is_plain_data_and_a_picture_can_be_drawn_of_any_state(opened: Session) -> None:
    for aim in (None, AIM):
        if aim is not None:
            opened.seek(aim)
        seen = view(opened, "so")
        assert (seen.depth, seen.said, len(seen.steps), len(seen.choices)) == (opened.depth, "so", opened.depth, len(opened.choices))
        assert b"<svg" in picture(opened)
        assert any(line.violating for line in seen.machine) == (aim is not None)


def test_a_session_needs_a_property_and_a_scenario_that_exist() -> None:
    with pytest.raises(InputError, match="there is no scenario 'noncoherent-exprt'; did you mean"):
        begun("noncoherent-exprt", (), None, None, None)
    with pytest.raises(InputError, match="there is no property"):
        begun(QUICK, ("no_such",), None, None, None)


def test_a_saved_run_replays_at_the_command_line(call: Call, good: Session, tmp_path: Path) -> None:
    good.walk(3, 5)
    name, data = good.saved()
    path = tmp_path / name
    path.write_bytes(data)

    result, shown = call("replay", str(path)), call("show", str(path))
    altered = tmp_path / "altered.trace.json"
    altered.write_bytes(edited(data, lambda raw: raw["steps"][0].update(action="share.nowhere:1")))
    other = call("replay", str(altered))

    assert result.exit_code == 0
    assert "fit today's model; nothing is violated at their end" in result.stdout
    assert (shown.exit_code, "a run in which nothing is violated" in shown.stderr) == (2, True)
    assert (other.exit_code, other.stdout.startswith("does not replay: step 1: ")) == (3, True)


def test_explore_without_a_terminal_says_what_to_do(call: Call) -> None:
    result = call("explore", QUICK)

    assert result.exit_code == 2
    assert "explore needs a terminal for its input and output; with --web it serves a page instead" in result.stderr


@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_a_stored_run_that_is_none_ends_the_command(call: Call, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.trace.json"
    if content is not None:
        path.write_bytes(content)

    result = call("explore", QUICK, "--web", "--from", str(path))

    assert result.exit_code == 2
    assert result.stderr.startswith(f"tdpcheck: {path}: ")
