"""The exercises of the lessons: for each a `<name>.toml` with its tasks, and a `<name>.patch` that is to be repaired."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from ...core.errors import InputError

FOLDER = Path(__file__).parent


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done, in words, and what may help."""

    task: str
    hints: tuple[str, ...] = ()


class Exercise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One exercise: a property of a scenario that holds is to be broken; then a change that broke it is to be repaired."""

    title: str
    lesson: str
    scenario: str
    property: str
    break_: Task = msgspec.field(name="break")
    repair: Task


def read_exercise(text: str, where: str) -> Exercise:
    """One exercise.

    Raises:
        InputError: it is none.
    """
    try:
        return msgspec.convert(tomllib.loads(text), Exercise)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InputError(f"{where}: {error}. An exercise has title, lesson, scenario, property, [break] and [repair]") from error


def shipped_exercises() -> dict[str, Exercise]:
    """All exercises by name, in the order of the lessons."""
    read = {path.stem: read_exercise(path.read_text(encoding="utf-8"), f"exercises/{path.name}") for path in FOLDER.glob("*.toml")}
    return dict(sorted(read.items(), key=lambda pair: pair[1].lesson))


def broken_change(name: str) -> bytes:
    """The change that is to be repaired."""
    return (FOLDER / f"{name}.patch").read_bytes()
