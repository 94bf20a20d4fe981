"""The museum visited: each known bug found again, and its good twin shown to be without it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import assert_never

from ...core.trace import replays
from ...core.verdict import HoldsUpTo, Proved, Unknown, Verdict, Violated
from ...kernelc.sources.patch import parse_change
from ...model.scenario import shipped_scenarios
from ..asking import results
from ..asking.question import MARGIN, Answer, Engines, Limits, Subject
from ..asking.results import MuseumItem
from ..inputs.changes import patched
from ..inputs.sources import Files, built, files_of
from ..names import choose
from .items import Item, shipped_items

BUDGET = 10.0
"""Seconds of computing within which a bug must be found for the first time."""


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """The items of those names; all of them without any.

    Raises:
        InputError: one is not in the museum.
    """
    items = tuple(shipped_items())
    return choose(names, items, "item in the museum") or items


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
    twin, sentence, said = _twin(item, good_files, limits, engines, depth)
    problems += said
    return MuseumItem(
        name=item.name,
        property=expect.property,
        scenario=expect.scenario,
        expected=expect.verdict,
        got=results.word_of(answer.verdict),
        depth=depth,
        good_twin=sentence,
        twin=results.word_of(twin),
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


def _twin(item: Item, files: Files, limits: Limits, engines: Engines, depth: int | None) -> tuple[Verdict, str, list[str]]:
    """The verdict on the good twin, the same in words, and what is wrong with it."""
    subject = _subject(item, files, limits, engines)
    if depth is not None:
        subject.at_least = depth + MARGIN
    answer = _asked(subject, item.expect.property)
    verdict = answer.verdict
    problems: list[str] = []
    match verdict:
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
        case Proved():
            word = "Proved"
        case other:
            assert_never(other)
    if subject.survey.missing:
        problems.append(f"the good twin never reached {', '.join(subject.survey.missing)}")
    return verdict, word, problems


def _said(answer: Answer) -> str:
    match answer.verdict:
        case HoldsUpTo(depth=depth):
            return f"HoldsUpTo {depth}"
        case Unknown(reason=reason):
            return reason
        case Proved() | Violated():
            return ""


def _subject(item: Item, files: Files, limits: Limits, engines: Engines) -> Subject:
    scenario = shipped_scenarios()[item.expect.scenario]
    return Subject(built(scenario, None, files).model, [item.expect.property], limits, engines)


def _with(patch: bytes, name: str, files: Files) -> Files:
    return patched(parse_change(patch, name), files)[-1].files
