"""A reader's patch judged: is it the bug, or the repair, that a lesson asks for? The model checker is asked."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from ...core.verdict import HoldsUpTo, Proved, Unknown, Violated
from ...counterexamples.story import story
from ...kernelc.lowering.cfg import Op
from ...kernelc.sources.patch import parse_change
from ...model.scenario import Scenario, shipped_scenarios
from ..asking.asked import joins
from ..asking.coverage import Coverage, covered
from ..asking.question import Answer, Limits, Subject
from ..asking.traces import deadlock, livelock
from ..inputs.changes import patched
from ..inputs.sources import Files, built, code_for, files_of
from ..inputs.terms import ASSERTIONS, property_of
from ..inputs.waivers import before_change, leaned_on, waivers_in
from ..telling.rendering import document_of
from . import Exercise, broken_change, shipped_exercises


@dataclass(frozen=True)
class Graded:
    """What the model checker says of a reader's patch, in sentences."""

    solved: bool
    said: tuple[str, ...]


def grade(name: str, part: str, patch: bytes, where: str, limits: Limits) -> Graded:
    """Judge a patch, in memory.

    Args:
        name: of the exercise.
        part: "break", against the shipped code; or "repair", on top of the exercise's broken change.
        patch: what the reader wrote, and `where` it was read from.
        limits: of each question.

    Raises:
        InputError, Refusal: the patch is none, does not apply, or leads to C that cannot be read.
    """
    exercise = shipped_exercises()[name]
    shipped = files_of(None)
    before = shipped if part == "break" else patched(parse_change(broken_change(name), f"{name}.patch"), shipped)[-1].files
    after = patched(parse_change(patch, where), before)[-1].files
    if all(after.get(n) == before[n] for n in before) and len(after) == len(before):
        return Graded(False, (f"{where} leaves the code as it is.",))
    if part == "break":
        return _break(exercise, after, where, limits)
    return _repair(exercise, shipped, after, where, limits)


def _break(exercise: Exercise, after: Files, where: str, limits: Limits) -> Graded:
    subject = _subject(exercise, after, (exercise.property,), limits)
    answer = _asked(subject, exercise.property)
    said = _found(subject, answer, where)
    match answer.verdict:
        case Violated():
            return Graded(True, said)
        case Unknown():
            return Graded(False, (*said, "Unknown is not broken: let the threads run to their ends, and the race happen on the way."))
        case HoldsUpTo() | Proved():
            return Graded(False, (*said, f"With your patch nothing goes wrong in {exercise.scenario}. What else protects it?"))


def _repair(exercise: Exercise, shipped: Files, after: Files, where: str, limits: Limits) -> Graded:
    scenario = _scenario(exercise)
    names = tuple(dict.fromkeys((exercise.property, *(n for n, wanted in scenario.expect.items() if wanted == "holds"), ASSERTIONS)))
    subject = _subject(exercise, after, names, limits)
    first = _asked(subject, exercise.property)
    said = list(_found(subject, first, where))
    if isinstance(first.verdict, Violated):
        return Graded(False, (*said, "The bug is still there, or another of its kind."))
    if isinstance(first.verdict, Unknown):
        return Graded(False, (*said, "A property that holds because nothing happens is not repaired."))
    bad = False
    for name in names[1:]:
        answer = _asked(subject, name)
        if isinstance(answer.verdict, Violated | Unknown):
            bad = True
            said += [f"But {line}" if not number else line for number, line in enumerate(_found(subject, answer, where))]
    stuck = [s for s in deadlock(subject).stuck if not s.declared]
    if stuck:
        places = ", ".join(f"{thread} at {place}" for thread, place in stuck[0].threads.items())
        said.append(f"But threads get stuck: {places}.")
    circles = [c for c in livelock(subject).circles if not c.declared]
    said += [f"But threads go round for ever: {circle.words}." for circle in circles[:1]]
    base = _subject(exercise, shipped, names, limits)
    forgotten = sorted(_does(base) - _does(subject))
    if forgotten:
        deeds = "; ".join(f"{role} never does {deed}" for role, deed in forgotten[:3])
        said.append(f"But {deeds} any more. A bug that is gone because the work is not done is not repaired.")
    asleep = _asleep(shipped, after, base, subject)
    if asleep:
        said.append(
            f"But code that ran before never runs now: {'; '.join(asleep[:3])}. A property that holds because its code is switched off "
            "is not repaired."
        )
    leaning = waivers_in(subject.model, code_for(scenario, None, after), after, before_change(base.model))
    leaning = leaned_on(leaning, subject.model, [property_of(subject.model, name) for name in names])
    said += [f"But nobody checks what your patch says of itself: {w.file}:{w.line}: {w.text}: {w.what}." for w in leaning]
    if bad or stuck or circles or forgotten or asleep or leaning:
        return Graded(False, tuple(said))
    others = f"So does all else that {scenario.name} expects" if len(names) > 1 else "It holds"
    return Graded(True, (*said, f"{others}, every goal is reached, and all work is done as before."))


def _does(subject: Subject) -> set[tuple[str, str]]:
    """What each role does to the world in some run, by the names of intrinsics: a patch may say it otherwise, and has to do it."""
    software, fired = subject.model.software, subject.survey.fired
    nodes = ((s.role, software.graphs[s.role].nodes[n]) for s in software.steps.values() if s.action in fired for n in s.nodes)
    return {(role, node.name) for role, node in nodes if isinstance(node, Op)}


def _asleep(shipped: Files, after: Files, base: Subject, subject: Subject) -> tuple[str, ...]:
    """Statements that some run executes in the shipped code, that the patches left standing, and that no run executes any more."""
    removed, added = _difference(shipped, after)
    known = covered(base.model, base.survey.fired, exact=False).before(added, removed)
    exact = subject.survey.states is not None and not joins(subject.model)
    cover: Coverage = covered(subject.model, subject.survey.fired, exact=exact, before=known)
    return tuple(map(str, cover.undeclared))


def _difference(before: Files, after: Files) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """The lines that are only in the one, and only in the other."""
    removed: dict[str, list[int]] = {}
    added: dict[str, list[int]] = {}
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name, "").splitlines(), after.get(name, "").splitlines()
        if old == new:
            continue
        for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            if tag != "equal":
                removed.setdefault(name, []).extend(range(i1 + 1, i2 + 1))
                added.setdefault(name, []).extend(range(j1 + 1, j2 + 1))
    return removed, added


def _scenario(exercise: Exercise) -> Scenario:
    return shipped_scenarios()[exercise.scenario]


def _subject(exercise: Exercise, files: Files, names: tuple[str, ...], limits: Limits) -> Subject:
    return Subject(built(_scenario(exercise), None, files).model, names, limits)


def _asked(subject: Subject, name: str) -> Answer:
    answer = subject.ask(name)
    if answer.interrupted:
        raise KeyboardInterrupt
    return answer


def _found(subject: Subject, answer: Answer, where: str) -> tuple[str, ...]:
    """What the model checker found, in one or two sentences."""
    name, verdict = answer.prop.name, answer.verdict
    match verdict:
        case Violated(depth=depth):
            cex = document_of(subject.model, answer.prop, verdict, where, subject.survey.goals)
            shortest = ", and no run is shorter" if verdict.shortest else ""
            return f"{name} is violated in {depth} step{'s' * (depth != 1)}{shortest}:", story(cex)
        case HoldsUpTo(depth=depth, states=states):
            return (f"{name} holds in all {states} states of this size." if states else f"{name} holds up to {depth} steps.",)
        case Proved(sizes=sizes):
            return (f"{name} holds, for {sizes}.",)
        case Unknown(reason=reason):
            return (f"{name} is not settled: {reason}.",)
