"""gcc as the one who knows what C means: where it is, and how many random programs to compare with it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

GCC = shutil.which("gcc")
needs_gcc = pytest.mark.skipif(GCC is None, reason="NOT RUN: gcc is not installed")
PROGRAMS = int(os.environ.get("TDPCHECK_C_PROGRAMS", "300"))
SEED = int(os.environ.get("TDPCHECK_SEED", "0"))


def run(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Gcc with these arguments, in English."""
    assert GCC is not None
    return subprocess.run(
        [GCC, *arguments], capture_output=True, text=True, check=False, cwd=folder, env={**os.environ, "LC_ALL": "C"}, timeout=600
    )
