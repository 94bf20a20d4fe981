"""The explorer in a terminal, driven by Textual's pilot: keys, what is on the screen, and files that are saved and loaded."""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, OptionList, Static

from tdpcheck.cli.explorer.session import Cancelled, Session
from tdpcheck.cli.explorer.terminal import Explorer, Looking
from tdpcheck.counterexamples.schema import load
from tdpcheck.tests.calling import QUICK

from . import exploring
from .exploring import AIM

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return exploring.opened(tmp_path_factory.mktemp("opened"))


@pytest.fixture
def session(broken: Session) -> Session:
    broken.begin(0)
    return broken


def driven(session: Session, folder: Path, play: Callable[[Explorer, Pilot[None]], Awaitable[None]]) -> None:
    """Run the application without a terminal, and `play` on it."""

    async def run() -> None:
        app = Explorer(session, folder)
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause()
            await play(app, pilot)

    asyncio.run(run())


def screen(app: Explorer) -> str:
    """What is on the screen, as plain lines."""
    rows = app.screen._compositor.render_strips()
    lines = ["".join(part.text for part in row).rstrip() for row in rows]
    # Where a line of kernel C stands is no matter of the screen.
    return re.sub(r"(\.c:)(\d+)", lambda m: m[1] + "#" * len(m[2]), "\n".join(lines)) + "\n"


async def settled(app: Explorer, pilot: Pilot[None]) -> str:
    """The screen, once it has been the same for a while: a busy machine draws late."""
    seen, same = "", 0
    for _ in range(200):
        await pilot.pause(0.05)
        before, seen = seen, screen(app)
        same = same + 1 if seen == before and "Quit" in seen else 0
        if same == 5:
            break
    return seen


def said(app: Explorer) -> str:
    return str(app.query_one("#said", Static).content)


async def jump(app: Explorer, pilot: Pilot[None], aim: str) -> None:
    await pilot.press("j")
    await pilot.pause()
    await pilot.press(*["down"] * app.session.aims.index(aim), "enter")
    for _ in range(50):
        await pilot.pause(0.02)
        if said(app).startswith(aim):
            return


@pytest.mark.parametrize("name", ["start", "violated"])
def test_the_screen_is_as_it_was_read_in_review(session: Session, tmp_path: Path, name: str) -> None:
    """Re-made by TDPCHECK_GOLDEN=1."""
    path = GOLDEN / f"explore-{name}.screen"

    async def play(app: Explorer, pilot: Pilot[None]) -> None:
        if name == "violated":
            await jump(app, pilot, AIM)
        seen = await settled(app, pilot)
        if os.environ.get("TDPCHECK_GOLDEN"):
            path.write_text(seen, encoding="utf-8")
        assert seen == path.read_text(encoding="utf-8")

    driven(session, tmp_path, play)


def test_keys_take_undo_and_walk(session: Session, tmp_path: Path) -> None:
    async def play(app: Explorer, pilot: Pilot[None]) -> None:
        await pilot.press("1")
        assert session.depth == 1
        await pilot.press("down", "enter")
        assert session.depth == 2
        await pilot.press("u", "u")
        assert session.depth == 0
        await pilot.press("u")
        assert said(app) == "There is nothing to undo."
        await pilot.press("r")
        assert session.depth == 1
        await pilot.press("9")
        assert session.depth == 1
        await pilot.press("w")
        assert said(app).endswith("at random.")
        assert app.query_one("#steps", DataTable).row_count == session.depth
        await pilot.press("b")
        await pilot.pause()
        assert (session.depth, said(app)) == (0, "A new run begins.")

    driven(session, tmp_path, play)


@pytest.mark.slow
def test_a_row_of_the_table_leads_back_to_its_step(session: Session, tmp_path: Path) -> None:
    async def play(app: Explorer, pilot: Pilot[None]) -> None:
        await pilot.press("1", "1", "1")
        app.query_one("#steps").focus()
        await pilot.press("up", "up", "enter")
        assert session.depth == 1

    driven(session, tmp_path, play)


@pytest.mark.slow
def test_a_run_to_its_end_says_that_nothing_can_happen(session: Session, tmp_path: Path) -> None:
    async def play(app: Explorer, pilot: Pilot[None]) -> None:
        session.walk(500, 1)
        await pilot.press("w")
        while session.choices:
            await pilot.press("w")
        assert "Nothing can happen any more" in screen(app)
        await pilot.press("enter", "1")
        assert app.query_one("#choices", OptionList).option_count == 1

    driven(session, tmp_path, play)


@pytest.mark.slow
def test_a_violation_is_saved_and_loaded_and_nothing_is_overwritten(session: Session, tmp_path: Path) -> None:
    name = f"{QUICK}.reject_noncoherent_dma"

    async def play(app: Explorer, pilot: Pilot[None]) -> None:
        await jump(app, pilot, AIM)
        for file in (f"{name}.cex.json", f"{name}-2.cex.json"):
            await pilot.press("s")
            await pilot.pause()
            await pilot.press("enter")
            await pilot.pause()
            assert said(app) == f"Saved as {tmp_path / file}."
        await pilot.press("b")
        await pilot.pause()
        await pilot.press("l")
        await answer(app, pilot, str(tmp_path / f"{name}.cex.json"))
        assert said(app) == "A stored run of 3 steps."
        assert session.broken == ("reject_noncoherent_dma",)

    driven(session, tmp_path, play)
    assert load((tmp_path / f"{name}.cex.json").read_bytes(), "x").depth == 3
    assert len(list(tmp_path.iterdir())) == 2


def test_a_search_can_be_given_up_and_the_screen_goes_on_meanwhile(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A jump may take twenty seconds. Here it never ends by itself: it looks at one state again and again until it is told to stop."""
    stopped = threading.Event()

    def endless(aim: str, *, cancelled: Callable[[], bool], **_: object) -> None:
        while not cancelled():
            time.sleep(0.005)
        stopped.set()
        raise Cancelled(aim)

    monkeypatch.setattr(session, "look", endless)

    async def play(app: Explorer, pilot: Pilot[None]) -> None:
        await pilot.press("j")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause(0.05)
        assert isinstance(app.screen, Looking)
        assert not stopped.is_set()
        await pilot.press("escape")
        await pilot.pause(0.1)
        assert stopped.is_set()
        assert said(app) == f"{session.aims[0]}: no longer looked for."
        await pilot.press("1")
        assert session.depth == 1

    driven(session, tmp_path, play)


async def answer(app: Explorer, pilot: Pilot[None], text: str) -> None:
    """Give the name of a file that was asked for."""
    await pilot.pause()
    app.screen.query_one(Input).value = text
    await pilot.press("enter")
    await pilot.pause()


@pytest.mark.slow
@pytest.mark.parametrize(("given", "message"), [("/nowhere/x.json", "there is no such file"), ("/dev/null", "no regular file"), ("", "")])
def test_a_file_that_is_no_run_is_said_to_be_so(session: Session, tmp_path: Path, given: str, message: str) -> None:
    async def play(app: Explorer, pilot: Pilot[None]) -> None:
        await pilot.press("l")
        await answer(app, pilot, given)
        assert message in said(app)
        assert session.depth == 0

    driven(session, tmp_path, play)


@pytest.mark.slow
def test_a_place_that_cannot_be_written_is_said_to_be_so(session: Session, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def play(app: Explorer, pilot: Pilot[None]) -> None:
        await pilot.press("s")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert "cannot be written" in said(app)

    driven(session, tmp_path / "file" / "x", play)


@pytest.mark.slow
def test_escape_closes_a_question_and_q_ends_all(session: Session, tmp_path: Path) -> None:
    async def play(app: Explorer, pilot: Pilot[None]) -> None:
        for key in ("j", "s", "l"):
            await pilot.press(key)
            await pilot.pause()
            assert len(app.screen_stack) == 2
            await pilot.press("escape")
            await pilot.pause()
            assert len(app.screen_stack) == 1
        await pilot.press("q")
        await pilot.pause()
        assert not app.is_running

    driven(session, tmp_path, play)
