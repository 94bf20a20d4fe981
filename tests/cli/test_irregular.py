"""Where a file is expected, nothing else is read: no pipe is waited for, no device read to its end. One sentence, exit code 2, at once."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tdpcheck.tests.calling import QUICK, Call

GIVEN = {
    "a change": ("verify", "--scenario", QUICK, "--change", "{}"),
    "an overlay": ("verify", "--scenario", QUICK, "--change", "{}.toml"),
    "a scenario": ("verify", "--scenario", "{}.toml"),
    "a kernel tree": ("verify", "--kernel", "{}"),
    "a counterexample": ("show", "{}"),
    "a run to replay": ("replay", "{}"),
    "a certificate": ("check-certificate", "{}"),
    "a run": ("report", "{}"),
    "a solution": ("check-exercise", "two-walkers", "--change", "{}"),
    "a change to export": ("export", QUICK, "--property", "root_liveness", "--to", "smt2", "--change", "{}"),
    "a change to prove": ("prove", "reject_noncoherent_dma", "--scenario", QUICK, "--change", "{}"),
    "a change to explain": ("explain", "reject_noncoherent_dma", "--scenario", QUICK, "--change", "{}"),
}
"""Each way in which a file gets in; `{}` is what is given in its place."""


@pytest.fixture(autouse=True)
def _patience() -> Iterator[None]:
    """Whoever waits for a pipe waits for ever: here half a minute."""

    def late(*_: object) -> NoReturn:
        raise AssertionError("it is still reading")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 30)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def terminal(path: Path) -> None:
    path.symlink_to("/dev/null")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize("make", [pipe, zeros, terminal, listening])
@pytest.mark.parametrize("arguments", GIVEN.values(), ids=GIVEN)
def test_what_is_no_regular_file_is_not_read(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], make: object
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    (named,) = [a for a in arguments if "{}" in a]
    assert callable(make)
    make(Path(named.format("given")))
    done = call(*(a.format("given") for a in arguments))

    assert done.exit_code == 2, done.output
    assert done.stderr.splitlines()[-1].startswith("tdpcheck: given"), done.stderr
    assert "Traceback" not in done.output


@pytest.mark.parametrize("make", [pipe, zeros, listening])
def test_a_run_whose_document_is_none(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object) -> None:
    """A folder with something else in the place of run.json, and as the earlier run."""
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    assert callable(make)
    make(Path("out/run.json"))
    done = call("report", "out")

    assert done.exit_code == 2, done.output
    assert "out/run.json: cannot be read (it is a " in done.stderr
