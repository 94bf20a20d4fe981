"""Each how-to is followed to the letter, in a copy of the project: its files are written, its commands run, its output seen."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs" / "how-to").glob("*.md"))
FENCE = re.compile(r"^```(?P<kind>\w+)(?: (?P<words>[^\n]*))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LEFT_OUT = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "out", "bench", "notebooks")


@dataclass(frozen=True)
class Block:
    """A fenced block: `file=PATH` writes a file; with `after="a line"` (or `before`, `in-place-of`) it goes there."""

    kind: str
    words: dict[str, str]
    text: str


def blocks(page: Path) -> Iterator[Block]:
    for found in FENCE.finditer(page.read_text(encoding="utf-8")):
        words = dict(word.split("=", 1) for word in shlex.split(found["words"] or ""))
        yield Block(found["kind"], words, found["text"])


def written(block: Block, place: Path) -> None:
    path = place / block.words["file"]
    path.parent.mkdir(parents=True, exist_ok=True)
    where, line = next(((w, block.words[w]) for w in ("after", "before", "in-place-of") if w in block.words), ("", ""))
    if not where:
        assert not path.exists(), f"{path} is there already"
        path.write_text(block.text, encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    assert 1 == text.count(f"{line}\n"), f"{line!r} does not stand once in {path}"
    new = {"after": f"{line}\n{block.text}", "before": f"{block.text}\n\n{line}\n", "in-place-of": block.text}[where]
    path.write_text(text.replace(f"{line}\n", new), encoding="utf-8")


def run(block: Block, place: Path, project: Path) -> None:
    """Run each `$ command`; what the page shows of its output must come, in that order."""
    paths = {"PYTHONPATH": str(project / ".typing"), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, *shown = part.rstrip("\n").split("\n")
        done = subprocess.run(command, shell=True, cwd=place, env=os.environ | paths, capture_output=True, text=True, check=False)
        printed = " ".join((done.stdout + done.stderr).split())
        for line in (" ".join(s.split()) for s in shown if s.strip() != "..."):
            assert line in printed, f"`{command}` did not print {line!r}, but:\n{done.stdout}{done.stderr}"
            printed = printed[printed.index(line) + len(line) :]
        if not shown:
            assert 0 == done.returncode, f"`{command}`: {done.stdout}{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_how_to_leads_where_it_says(page: Path, tmp_path: Path) -> None:
    """Whoever follows it writes exactly this."""
    copy = tmp_path / "tdpcheck"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    (copy / ".typing").mkdir()
    (copy / ".typing" / "tdpcheck").symlink_to("..")
    place = copy
    if "Begin in an empty folder." in page.read_text(encoding="utf-8"):
        place = tmp_path / "empty"
        place.mkdir()
    done = 0
    for block in blocks(page):
        if "file" in block.words:
            written(block, place)
        elif block.kind == "console":
            run(block, place, copy)
            done += 1

    assert done > 0


def test_every_how_to_is_in_the_list() -> None:
    """Who looks for one begins in CONTRIBUTING.md."""
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

    assert [] == [page.name for page in PAGES if f"docs/how-to/{page.name}" not in contributing]
