"""How a command ends: by a signal at any moment, on a full disk, with nobody to read. Never by a traceback, and with what it found."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tdpcheck.tests.few import SEED, few

COMMAND = str(Path(sys.executable).with_name("tdpcheck"))
QUICK = "noncoherent-export"
MOMENTS = int(os.environ.get("TDPCHECK_SIGNALS", "10"))
"""How many random moments the slow tests try; a night has more."""
WORDS = (("--help",), ("list", "intrinsics"), ("list", "goals", "--json"), ("show", "--schema"))
NOISE = ("Traceback", "Exception ignored", "fault of tdpcheck", "KeyboardInterrupt")


def started(*arguments: str, **more: object) -> subprocess.Popen[str]:
    # A shell that puts the tests into the background has Control-C ignored; here it shall be heard all the same.
    def heard() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    usual = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "preexec_fn": heard}
    return subprocess.Popen([COMMAND, *arguments], **{**usual, **more})  # type: ignore[call-overload,no-any-return]


def ended(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    process = started(*arguments, **more)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def duration(*arguments: str) -> float:
    begun = time.monotonic()
    assert ended(*arguments).returncode == 0
    return time.monotonic() - begun


@pytest.mark.slow
def test_at_any_moment_a_signal_ends_a_run_without_noise() -> None:
    """From the first instruction of the shell to the last line, solvers and workers included."""
    rng = random.Random(SEED)
    asked = ("verify", "--scenario", QUICK, "--no-cache", "--jobs", "2")
    whole = duration(*asked)
    for _ in range(MOMENTS):
        number, moment = rng.choice([signal.SIGINT, signal.SIGTERM]), rng.uniform(0, whole if rng.random() < 0.7 else 0.3)
        process = started(*asked)
        time.sleep(moment)
        process.send_signal(number)
        sent = time.monotonic()
        out, err = process.communicate(timeout=120)

        where = f"{number.name} after {moment:.3f} s: exit code {process.returncode}\n{out}\n{err}"
        assert not [word for word in NOISE if word in out + err], where
        # Before there is anybody to hear it, the signal ends the process itself.
        assert process.returncode in (0, 130, -number), where
        assert time.monotonic() - sent < 30, where
        if process.returncode == 130 and "answer" in err:
            assert "interrupted" in out, where


@pytest.mark.parametrize("number", few([signal.SIGINT, signal.SIGTERM, signal.SIGHUP], 3))
def test_what_was_found_before_a_signal_is_printed_and_kept(number: signal.Signals, tmp_path: Path) -> None:
    """The answers that are there are on the terminal, and in the folder; the others are said not to have been asked."""
    out = tmp_path / "out"
    # What comes second is asked of solvers, to a depth that takes them minutes: on a busy machine, too, the signal is there first.
    asked = ("--scenario", QUICK, "--scenario", "notifier-fault-split", "--states", "5000", "--depth", "60")
    process = started("verify", *asked, "--no-cache", "--no-certify", "--jobs", "1", "--out", str(out))
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith(QUICK), line
    process.send_signal(number)
    said, err = process.communicate(timeout=120)

    assert process.returncode == 130, err
    assert "interrupted" in said
    assert line.split(":")[1].strip() in said
    document = json.loads((out / "run.json").read_text())
    assert document["interrupted"]
    assert document["results"]
    assert not [word for word in NOISE if word in said + err]


@pytest.mark.slow
def test_nobody_is_left_when_the_command_is_killed(tmp_path: Path) -> None:
    """Not even the watcher can say anything then; and the cache is whole."""
    env = {**os.environ, "TDPCHECK_CACHE": str(tmp_path / "cache")}
    process = started("verify", "--scenario", "huge-over-table", "--scenario", QUICK, env=env)
    time.sleep(3)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False).stdout.split()
    process.kill()
    process.communicate(timeout=60)
    until = time.monotonic() + 10
    while time.monotonic() < until and any(Path(f"/proc/{pid}").exists() for pid in children):
        time.sleep(0.05)

    assert children
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    again = ended("verify", "--scenario", QUICK, "--json", env=env)
    assert again.returncode == 0, again.stderr
    assert [True] * 3 == [r["cached"] for r in json.loads(ended("verify", "--scenario", QUICK, "--json", env=env).stdout)["results"]]


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["--timeout", "--total"])
def test_what_takes_for_ever_ends_with_its_time(limit: str, tmp_path: Path) -> None:
    """A scenario with so many threads that looking at it has no end. To start, on a busy machine, may take some seconds, too."""
    shipped = Path(__file__).parents[2] / "model" / "scenarios" / "notifier-vs-fault.toml"
    (tmp_path / "crowd.toml").write_text(shipped.read_text().replace('role = "', 'count = 7\nrole = "'))
    begun = time.monotonic()
    done = ended("verify", "--scenario", str(tmp_path / "crowd.toml"), "--no-cache", limit, "6")
    took = time.monotonic() - begun

    assert done.returncode == 3, done.stdout + done.stderr
    assert "time is up" in done.stdout + done.stderr
    assert took < 6 * 1.1 + 8


@pytest.mark.slow
def test_two_runs_on_one_cache_give_the_same_answers(tmp_path: Path) -> None:
    env = {**os.environ, "TDPCHECK_CACHE": str(tmp_path / "cache")}
    runs = [started("verify", "--scenario", QUICK, "--json", env=env) for _ in range(2)]
    told = []
    for run in runs:
        out, err = run.communicate(timeout=120)
        assert run.returncode == 0, err
        told.append([(r["property"], r["verdict"], r["depth"]) for r in json.loads(out)["results"]])

    assert told[0] == told[1]


@pytest.mark.parametrize("arguments", few([(a,) for a in WORDS], 3))
def test_standard_output_that_cannot_be_written_is_said_in_a_line(arguments: tuple[str, ...]) -> None:
    """A full disk, and a descriptor that is closed: exit code 2, which is no verdict."""
    with Path("/dev/full").open("w") as full:
        done = ended(*arguments, stdout=full)
    process = subprocess.run(["/bin/sh", "-c", '"$@" >&-', "sh", COMMAND, *arguments], stderr=subprocess.PIPE, text=True, check=False)

    for code, said in ((done.returncode, done.stderr), (process.returncode, process.stderr)):
        assert code == 2
        assert said.startswith("tdpcheck: standard output cannot be written (")
        assert said.count("\n") == 1


def test_answers_on_a_full_disk_leave_their_files(tmp_path: Path) -> None:
    """The table cannot be printed; what `--out` leaves is whole."""
    with Path("/dev/full").open("w") as full:
        done = ended("verify", "--scenario", QUICK, "--no-certify", "--out", str(tmp_path), stdout=full)

    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert json.loads((tmp_path / "run.json").read_text())["exit_code"] == 0


@pytest.mark.slow
def test_a_reader_who_goes_away_and_standard_error_that_is_full_are_no_noise() -> None:
    line = subprocess.run(
        ["/bin/bash", "-c", '"$@" | head -c 1 >/dev/null; echo ${PIPESTATUS[0]}', "bash", COMMAND, "show", "--schema"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    with Path("/dev/full").open("w") as full:
        deaf = ended("verify", "--scenario", QUICK, "--no-certify", stderr=full)
    closed = subprocess.run(["/bin/sh", "-c", '"$@" 2>&-', "sh", COMMAND, "list", "nothing"], capture_output=True, text=True, check=False)

    assert (line.stdout.strip(), line.stderr) in (("141", ""), ("0", ""))
    assert deaf.returncode == 0
    assert "3 HoldsUpTo" in (deaf.stdout or "")
    assert (closed.returncode, closed.stdout) == (2, "")


def test_a_process_that_is_killed_from_outside_is_told_in_a_line() -> None:
    """As the kernel does when memory runs out."""
    process = started("verify", "--scenario", "huge-over-table", "--no-cache")
    worker = ""
    until = time.monotonic() + 20
    while not worker and time.monotonic() < until:
        worker = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False).stdout.strip()
    time.sleep(0.5)
    os.kill(int(worker.split()[0]), signal.SIGKILL)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 3
    assert err.splitlines()[-1].startswith("tdpcheck: the process that computed was ended by SIGKILL")
    assert not [word for word in NOISE if word in out + err]
