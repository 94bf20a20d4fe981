"""`tdpcheck check-exercise`: is the patch of a reader the bug, or the repair, that a lesson asks for? The model checker is asked."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import fill

import click

from ..core.errors import InputError
from ..runner.asking.limits import Limits
from ..runner.exercises import Exercise, Task, broken_change, shipped_exercises
from ..runner.exercises.grading import grade
from ..runner.exit_codes import ExitCode
from ..runner.inputs.changes import read_change
from ..runner.names import choose
from . import guard, printing
from .echo import echo
from .seconds import Seconds

_WIDTH = 78


@click.command("check-exercise")
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--part", type=click.Choice(["break", "repair"]), default="break", show_default=True, help="Which task of the exercise.")
@click.option("--change", metavar="FILE", help="Your patch. Without it, the task is told.")
@click.option("--broken", is_flag=True, help="Print the change that is to be repaired.")
@click.option("--hints", is_flag=True, help="Tell the hints, too.")
@click.option("--timeout", type=Seconds(), default=300.0, show_default=True, help="Seconds a question.")
@click.pass_context
def check_exercise(
    context: click.Context, name: str | None, part: str, change: str | None, broken: bool, hints: bool, timeout: float
) -> None:
    """Tell the task of a lesson's exercise, or judge your patch.

    Exit code: 0 solved (or only told); 1 not yet; 2 bad input.
    """
    known = shipped_exercises()
    if name is None:
        if change is not None or broken or hints:
            raise InputError(f"say which exercise is meant: {', '.join(known)}")
        echo("".join(f"{n:24}{e.title}\n" for n, e in known.items()), nl=False)
        return
    (chosen,) = choose([name], tuple(known), "exercise")
    exercise = known[chosen]
    if broken:
        if change is not None:
            raise InputError("give either --broken, to see the change that is to be repaired, or --change FILE, to have yours judged")
        echo(broken_change(chosen), nl=False)
        return
    if change is None:
        echo(_told(chosen, exercise, part, hints=hints), nl=False)
        return
    if change.endswith(".toml"):
        raise InputError(f"{change}: an overlay of scenarios changes the question, not the kernel; give a diff against model/kernel")
    guard.limit(timeout, f"judging {change}")
    with printing.Progress() as progress:
        progress.working(f"{chosen}: asking {exercise.scenario}")
        graded = grade(chosen, part, read_change(change), change, Limits(timeout=timeout, certify=False))
    echo(f"{chosen}, {part} it: {'solved' if graded.solved else 'not yet'}\n")
    echo("\n".join(fill(line, _WIDTH, break_on_hyphens=False, break_long_words=False) for line in graded.said))
    if graded.solved and part == "break":
        echo(f"\nFind it: tdpcheck verify --scenario {exercise.scenario} --property {exercise.property} --change {change}")
    context.exit(ExitCode.HOLDS if graded.solved else ExitCode.VIOLATED)


def _told(name: str, exercise: Exercise, part: str, *, hints: bool) -> str:
    task = exercise.break_ if part == "break" else exercise.repair
    lines = [
        f"{exercise.title}: {part} it",
        "",
        fill(task.task, _WIDTH),
        "",
        f"scenario  {exercise.scenario}",
        f"property  {exercise.property}",
    ]
    if part == "repair":
        lines += ["", f"The change:  tdpcheck check-exercise {name} --broken > broken.patch", "Yours comes on top of it."]
    lines += ["", *_hints(task, hints=hints), f"To be judged: tdpcheck check-exercise {name} --part {part} --change FILE"]
    return "\n".join(lines) + "\n"


def _hints(task: Task, *, hints: bool) -> Iterator[str]:
    if hints:
        yield from (fill(f"Hint: {hint}", _WIDTH) for hint in task.hints)
        yield ""
    elif task.hints:
        yield f"There are hints ({len(task.hints)}): --hints"
