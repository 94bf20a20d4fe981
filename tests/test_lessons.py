"""The lessons: every command that they show is run, what it prints is compared, and its picture is made again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tdpcheck.cli.main import tdpcheck
from tdpcheck.runner.exercises import shipped_exercises

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "lessons"
LESSONS = sorted(FOLDER.glob("[1-9]-*.md"))
(FIRST,) = FOLDER.glob("0-*.md")
"""For those who know neither KVM nor an IOMMU: it has no exercise."""
LONG = "tdpcheck explain root_liveness --scenario share-vs-fast-zap "
"""What takes minutes is asked by night alone."""


def shown(page: str) -> Iterator[tuple[str, str]]:
    """Each command of a page, and what stands below it."""
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def agrees(expected: str, printed: str) -> bool:
    """Whether it was printed so: a line `...` stands for any lines, `...` inside a line for any part of it."""
    pattern = ""
    for line in expected.rstrip("\n").split("\n") if expected.strip() else []:
        if line == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(map(re.escape, line.split("..."))) + r"\n"
    return re.fullmatch(pattern, printed if printed.endswith("\n") or not printed else printed + "\n") is not None


def words(command: str) -> list[str]:
    """The arguments, with `*` as a shell takes it."""
    found: list[str] = []
    for word in shlex.split(command):
        found += sorted(map(str, Path().glob(word))) if "*" in word else [word]
    return found


def run(command: str) -> str:
    """What a command prints; no lesson shows one that is refused."""
    name, *arguments = words(command)
    assert "tdpcheck" == name
    result = CliRunner().invoke(tdpcheck, arguments)
    assert 2 != result.exit_code, result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result.stdout


def test_the_comparison_can_fail() -> None:
    """Dots skip, and nothing else does."""
    assert agrees("a\n...\nd ...\n", "a\nb\nc\nd 7.3 s\n")
    assert agrees("", "")
    assert not agrees("a\n...\nd\n", "a\nb\nc\n")
    assert not agrees("a\n", "a\nb\n")
    assert not agrees("", "a\n")


def test_there_are_six_lessons_and_each_has_its_picture_its_exercise_and_its_line_in_the_list() -> None:
    """From one table with two walkers to the exported root."""
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")

    assert 6 == len(LESSONS)
    assert f"]({FIRST.name})" in listed
    for page in LESSONS:
        text = page.read_text(encoding="utf-8")
        (name,) = [n for n, e in shipped_exercises().items() if e.lesson == f"docs/lessons/{page.name}"]
        assert f"]({page.name})" in listed
        assert f"({page.stem}.svg)" in text
        assert f"tdpcheck check-exercise {name}" in text
        assert text.startswith(f"# {page.name[0]}. {shipped_exercises()[name].title}\n")


def pages() -> Iterator[object]:
    """Each page without what takes long; and, by night, those that have such a command with it."""
    for page in (FIRST, *LESSONS):
        yield pytest.param(page, False, id=page.stem)
        if LONG in page.read_text(encoding="utf-8"):
            yield pytest.param(page, True, id=f"{page.stem}, all of it", marks=pytest.mark.nightly)


@pytest.mark.slow
@pytest.mark.parametrize(("page", "whole"), list(pages()))
def test_a_lesson_shows_what_the_tool_prints_and_draws(page: Path, whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of its own, beside the museum, as in a clone."""
    (tmp_path / "museum").symlink_to(ROOT / "museum")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TDPCHECK_CACHE", "off")
    commands = list(shown(page.read_text(encoding="utf-8")))

    assert 3 <= len(commands)
    for command, expected in commands:
        if command.startswith(LONG) and not whole:
            continue
        printed = run(command)
        assert agrees(expected, printed), f"$ {command}\n{printed}"
    assert (FOLDER / f"{page.stem}.svg").read_bytes() == (tmp_path / f"{page.stem}.svg").read_bytes()
