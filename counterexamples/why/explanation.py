"""What was found about a run, in words: causes, near miss, what it takes for granted, and what tells it from other runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import PurePosixPath

import msgspec

from ...model.machine import parts
from ...model.view.naming import listed
from ...model.view.roles import Assumption
from ..schema import Cause, Cex, Missing, NearMiss, Signature, Step, Turn
from .causes import Found
from .missing_flush import Gap
from .schedule import INSERTED, Schedule, Scheduler

Tell = Callable[[Schedule], tuple[Turn, ...]]

ALWAYS = ("memory is sequentially consistent", "any thread that may take a lock may be the next")
"""What is assumed of the machine besides what its parts say. More is in docs/machine.md."""


def explained(cex: Cex, scheduler: Scheduler, found: Found, gap: Gap | None, tell: Tell) -> Cex:
    """The document with what was found of its run."""
    steps = tuple(msgspec.structs.replace(s, mark=mark) for s, mark in zip(cex.steps, found.marks, strict=True))
    causes = []
    for flip in found.causes:
        turns = tell(flip.schedule)
        causes.append(Cause(flip.before, flip.after, _cause(cex, flip.before, flip.after, turns), turns))
    # A race of two threads is what a maintainer can mend: it is told first.
    threads = {a.name for a in cex.actors if a.kind == "thread"}
    causes.sort(key=lambda c: not {cex.steps[n - 1].actor for n in (c.before, c.after)} <= threads)
    near = None
    if found.near is not None:
        turns = tell(found.near)
        near = NearMiss(turns, found.near.swaps, found.near.inserted, _near(cex, turns))
    actions = {a.name for a in scheduler.machine}
    assumed = [assumption for telling in parts.tellings() for assumption in telling.assumed]
    there = [a for a in assumed if actions & set(a.actions)]
    needs = tuple(a.sentence for a in there if _needed(cex.steps, a, scheduler))
    whole = msgspec.structs.replace(
        cex,
        steps=steps,
        causes=tuple(causes),
        missing=None if gap is None else Missing(gap.after, gap.before, gap.what, _missing(cex, gap)),
        near_miss=near,
        searched=_searched(found, gap),
        assumptions=(*(a.sentence for a in there if not a.otherwise or a.sentence in needs), *ALWAYS),
        needs=needs,
    )
    return msgspec.structs.replace(whole, signature=signature(whole))


def signature(cex: Cex) -> Signature:
    """What tells this run from others: its property, the places that race, what it rests on."""
    return Signature(cex.prop.name, _racing(cex), cex.needs)


def _racing(cex: Cex) -> tuple[str, ...]:
    """The places of the first cause; where there is none, of the step that breaks the property."""
    for cause in cex.causes[:1]:
        return tuple(place(cex.steps[n - 1]) for n in (cause.before, cause.after))
    return (place(cex.steps[-1]),) if cex.steps else ()


def place(step: Step) -> str:
    """'file:line' of a step; of hardware who and what."""
    return f"{PurePosixPath(step.sources[0].file).name}:{step.sources[0].line}" if step.sources else f"{step.actor}: {step.action}"


def _needed(steps: Sequence[Step], assumed: Assumption, scheduler: Scheduler) -> bool:
    """Whether without what the machine does by these actions, or with what it does otherwise, the run is no violation any more."""
    taken = {s.number for s in steps if s.action in assumed.actions}
    every = range(1, len(steps) + 1)
    if assumed.otherwise:
        return bool(taken) and not scheduler.violates(every, assumed.otherwise)
    return bool(taken) and not scheduler.violates(n for n in every if n not in taken)


def _searched(found: Found, gap: Gap | None) -> str:
    if not found.reordered or not found.complete:
        return "The search for an order that satisfies the property gave up at its limit: there may be one."
    if found.actors > 1 and not found.causes:
        return f"No order of two steps is to blame{'; the missing flush is' if gap is not None else ' by itself'}."
    if found.actors == 1 and found.near is None:
        tried = f"ways of up to {INSERTED} more steps were tried"
        return f"This is no race: one actor does it alone, whichever way it takes through its code ({tried})."
    return ""


def name_of(step: Step | Turn) -> str:
    """A step in a sentence: the first two of what it does."""
    return "; ".join(step.label.split("; ")[:2])


def _step(cex: Cex, number: int) -> str:
    step = cex.steps[number - 1]
    return f"step {number} ({step.actor}: {name_of(step)})"


def _cause(cex: Cex, before: int, after: int, turns: Sequence[Turn]) -> str:
    first, second = _step(cex, before), _step(cex, after)
    order = f"{_upper(first)} comes before {second}."
    if _idle(turns, after):
        return f"{order} Before step {before} {cex.steps[after - 1].actor} would find nothing to do, and {cex.prop.name} would hold."
    return f"{order} The other way round {_outcome(cex, turns)}"


def _missing(cex: Cex, gap: Gap) -> str:
    first, second = _step(cex, gap.after), _step(cex, gap.before)
    return f"{_upper(gap.what)} is missing between {first} and {second}. With one there {cex.prop.name} would hold."


def _near(cex: Cex, turns: Sequence[Turn]) -> str:
    numbers = [t.number for t in turns if t.number]
    turned = [(b, a) for a, b in pairwise(numbers) if a > b]
    if len(turned) == 1 and _idle(turns, early := turned[0][1]):
        what = f"it would have found nothing to do, and {cex.prop.name} would hold"
        return f"Had {_step(cex, early)} come before {_step(cex, turned[0][0])}, {what}."
    if turned:
        had = listed([f"{_step(cex, b)} happened before {_step(cex, a)}" for a, b in turned[:2]])
        return f"Had {had}, {_outcome(cex, turns)}"
    first = next((t for t in turns if t.manner in ("inserted", "branch")), None)
    if first is None:
        left = [t for t in turns if t.manner == "left out"]
        who = listed(list(dict.fromkeys(t.actor for t in left)))
        return f"Had {who} not come to {_numbers([t.number for t in left])}, {cex.prop.name} would hold."
    if first.manner == "branch":
        return f"Had {first.actor} gone another way in step {first.number}, {_outcome(cex, turns)}"
    where = f" at {PurePosixPath(first.source).name}" if first.source else ""
    passed = [t.number for t in turns if t.actor == first.actor and t.manner == "left out"]
    instead = f"instead of {_numbers(passed)}" if passed else "first"
    return f"Had {first.actor} gone on{where} with '{name_of(first)}' {instead}, {_outcome(cex, turns, told=first.actor)}"


def _outcome(cex: Cex, turns: Sequence[Turn], *, told: str = "") -> str:
    """What would be otherwise then, and that the property would hold; of the actor `told` it is said already, and steps added by others
    follow from that.
    """
    said = []
    for actor in dict.fromkeys(t.actor for t in turns if t.actor != told):
        own = [t for t in turns if t.actor == actor]
        idle = [t.number for t in own if t.manner == "idle"]
        left = [t.number for t in own if t.manner == "left out"]
        more = [t for t in own if t.manner == "inserted"]
        if idle:
            said.append(f"{actor} would find nothing to do in {_numbers(idle)}")
        if left:
            said.append(f"{actor} would {f'go on with {_new(more)} instead of' if more else 'not come to'} {_numbers(left)}")
        elif more and not told:
            said.append(f"{actor} would go on with {_new(more)}")
    return (f"{listed(said)}, and " if said else "") + f"{cex.prop.name} would hold."


def _idle(turns: Sequence[Turn], number: int) -> bool:
    """Whether that is all that a schedule changes but the order: this step finds nothing to do."""
    return [(t.number, t.manner) for t in turns if t.manner != "same"] == [(number, "idle")]


def _new(more: Sequence[Turn]) -> str:
    """Steps that are not in the run: the first by what it does."""
    rest = f" and {len(more) - 1} more step{'s' if len(more) > 2 else ''}" if len(more) > 1 else ""
    return f"'{name_of(more[0])}'{rest}"


def _numbers(numbers: Sequence[int]) -> str:
    return f"step{'s' if len(numbers) > 1 else ''} {listed([str(n) for n in numbers])}"


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:]
