"""`tdpcheck museum`: each known bug found again, and its good twin shown to be without it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import click

from ..core.trace import replays
from ..core.verdict import HoldsUpTo, Unknown, Violated
from ..kernelc.sources.patch import parse_change
from ..model.scenario import shipped_scenarios
from ..museum.loader import Item, shipped_items
from ..runner import documents, output
from ..runner.asking import results
from ..runner.asking.question import MARGIN, Answer, Engines, Limits, Subject
from ..runner.asking.results import MuseumDocument, MuseumItem
from ..runner.inputs.changes import patched
from ..runner.inputs.sources import Files, built, files_of
from ..runner.names import choose
from . import printing

BUDGET = 10.0
"""Seconds of computing within which a bug must be found for the first time."""


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=300.0, show_default=True, help="Seconds a question.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--out", metavar="DIR", help=f"Leave {results.MUSEUM} there: a report of a run in that folder tells what was found again.")
@click.pass_context
def museum(context: click.Context, names: tuple[str, ...], timeout: float, as_json: bool, out: str | None) -> None:
    r"""Find each known bug again, and check its good twin.

    \b
    Exit code: 0 all found and all twins hold; 1 a twin is Violated;
    2 bad input; 3 something was not found or is Unknown; 130 interrupted.
    """
    folder = output.prepared(out) if out is not None else None
    items = shipped_items()
    chosen = choose(names, tuple(items), "item in the museum") or tuple(items)
    seen: list[MuseumItem] = []
    interrupted = False
    with printing.Progress() as progress:
        try:
            for name in chosen:
                progress.working(f"{name}: looking for the bug")
                seen.append(visit(items[name], Limits(timeout=timeout)))
                progress.said(f"{name}: {'ok' if seen[-1].ok else 'not ok'}")
        except KeyboardInterrupt:
            interrupted = True
    document = MuseumDocument(documents.SCHEMA, tuple(seen), interrupted)
    if as_json:
        click.echo(documents.to_json(document), nl=False)
    else:
        printing.print_museum(printing.console(sys.stdout), seen)
    if folder is not None:
        output.write(folder / results.MUSEUM, documents.to_json(document).encode())
    context.exit(documents.INTERRUPTED_CODE if interrupted else exit_code(seen))


def exit_code(items: list[MuseumItem]) -> int:
    """1 if a twin is violated, 3 if anything else is not as it should be."""
    if any(item.good_twin.startswith("Violated") for item in items):
        return 1
    return 0 if all(item.ok for item in items) else 3


def visit(item: Item, limits: Limits, files: Files | None = None, engines: Engines | None = None) -> MuseumItem:
    """Look for one bug, and check its good twin to at least `MARGIN` steps beyond it.

    Raises:
        InputError, Refusal: the item cannot be used.
    """
    files = files if files is not None else files_of(None)
    engines = engines or Engines()
    expect, started, computing = item.expect, time.monotonic(), time.process_time()
    choose([expect.scenario], tuple(shipped_scenarios()), "scenario", f"museum/{item.name}/expect.toml")
    subject = _subject(item, _with(item.patch, item.change, files), limits, engines)
    computing = time.process_time() - computing
    answer = _asked(subject, expect.property)
    problems = list(_problems(item, answer, computing + (answer.first_found or 0.0)))
    depth = answer.verdict.depth if isinstance(answer.verdict, Violated) else None
    good_files = files if item.good_patch is None else _with(item.good_patch, f"{item.name}/{expect.good}", files)
    twin, said = _twin(item, good_files, limits, engines, depth)
    problems += said
    return MuseumItem(
        name=item.name,
        property=expect.property,
        scenario=expect.scenario,
        expected=expect.verdict,
        got=results.word_of(answer.verdict),
        depth=depth,
        good_twin=twin,
        seconds=round(time.monotonic() - started, 3),
        ok=not problems,
        reason="; ".join(problems) or None,
    )


def _problems(item: Item, answer: Answer, seconds: float) -> Iterator[str]:
    """What is not as the item promises."""
    if not isinstance(answer.verdict, Violated):
        yield f"the bug was not found: {_said(answer)}"
        return
    if not replays(answer.verdict.trace, answer.prop):
        yield "the run does not replay"
    if seconds > BUDGET:
        yield f"it was first found after {seconds:.1f} s of computing, not within {BUDGET:.0f} s"
    if item.expect.depth is not None and answer.verdict.depth != item.expect.depth:
        yield f"found in {answer.verdict.depth} steps; expect.toml says {item.expect.depth}"


def _asked(subject: Subject, name: str) -> Answer:
    answer = subject.ask(name)
    if answer.interrupted:
        raise KeyboardInterrupt
    return answer


def _twin(item: Item, files: Files, limits: Limits, engines: Engines, depth: int | None) -> tuple[str, list[str]]:
    subject = _subject(item, files, limits, engines)
    if depth is not None:
        subject.at_least = depth + MARGIN
    answer = _asked(subject, item.expect.property)
    problems = []
    match answer.verdict:
        case HoldsUpTo(depth=reached):
            word = f"HoldsUpTo {reached}"
            if depth is not None and reached < depth + MARGIN:
                problems.append(f"the good twin is only checked to depth {reached}")
        case Violated(trace=trace):
            word = f"Violated in {trace.depth} steps"
            problems.append("the good twin has the bug, too")
        case Unknown(reason=reason):
            word = "Unknown"
            problems.append(f"the good twin: {reason}")
        case _:
            word = "Proved"
    if subject.survey.missing:
        problems.append(f"the good twin never reached {', '.join(subject.survey.missing)}")
    return word, problems


def _said(answer: Answer) -> str:
    verdict = answer.verdict
    return f"HoldsUpTo {verdict.depth}" if isinstance(verdict, HoldsUpTo) else getattr(verdict, "reason", "")


def _subject(item: Item, files: Files, limits: Limits, engines: Engines) -> Subject:
    scenario = shipped_scenarios()[item.expect.scenario]
    return Subject(built(scenario, None, files).model, [item.expect.property], limits, engines)


def _with(patch: bytes, name: str, files: Files) -> Files:
    return patched(parse_change(patch, name), files)[-1].files
