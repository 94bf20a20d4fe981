"""`show`: each form by its name, and pixels never on a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tdpcheck.runner.telling.rendering import formats, render
from tdpcheck.tests.calling import Call
from tdpcheck.tests.counterexamples.planted import FAULTS, GOLDEN, SHOWN

KEPT = str(GOLDEN / f"{SHOWN}.cex.json")


@pytest.mark.parametrize("form", [f for f in formats() if not f.startswith(("png", "svg"))])
def test_each_form_is_shown(form: str, call: Call) -> None:
    """What is printed is what the renderer gives."""
    assert render(FAULTS[SHOWN].kept, form) == call("show", KEPT, "--as", form).stdout_bytes


def test_a_picture_goes_into_a_file(call: Call, tmp_path: Path) -> None:
    """Where `--out` says."""
    target = tmp_path / "run.png"

    assert 0 == call("show", KEPT, "--as", "png", "--out", str(target)).exit_code
    assert target.read_bytes().startswith(b"\x89PNG")


def test_an_unknown_form_names_those_that_there_are(call: Call) -> None:
    """And the nearest one."""
    result = call("show", KEPT, "--as", "htm")

    assert 2 == result.exit_code
    assert "html" in result.stderr


@pytest.mark.slow
def test_pixels_are_not_written_to_a_terminal() -> None:
    """They would only upset it; the message says what to do."""
    ours, theirs = os.openpty()
    code = "from tdpcheck.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "show", KEPT, "--as", "png"], stdout=theirs, stderr=subprocess.PIPE, check=False)
    os.close(theirs)
    os.close(ours)

    assert 2 == done.returncode
    assert b"--out FILE" in done.stderr
