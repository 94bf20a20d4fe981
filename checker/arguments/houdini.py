"""Leave out what some step does not keep, until the rest is kept: a change may break a lemma that nothing needs any more.

Flanagan, Leino: Houdini, an Annotation Assistant for ESC/Java, FME 2001. What is tried are the parts of all lemmas; the greatest set of
them that is inductive is found, if time suffices, and only if the properties are in it is anything proved.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ...core.system import Lemma, Property, TransitionSystem
from ...recheck.instances import Uses
from ..certificates.instantiated import fitting, left_open
from ..clock import Clock
from ..every_size.theory import Theory
from .lemmas import Broken, Checked, check_theory


@dataclass(frozen=True)
class Weakened:
    """What is left of an argument.

    Args:
        theory: what is inductive if `checked` holds.
        checked: what came of it, with the instances that prove each step.
        broken: the pairs of step and lemma that did not go through while everything was supposed.
        dropped: the names of the parts that were left out.
        searched: how many steps were asked by a search, the first time.
    """

    theory: Theory
    checked: Checked
    broken: tuple[Broken, ...]
    dropped: tuple[str, ...]
    searched: int


def houdini(
    system: TransitionSystem,
    properties: Sequence[Property],
    lemmas: Sequence[Lemma],
    *,
    known: Uses | None = None,
    without: Collection[str] = (),
    rounds: int | None = None,
    timeout: float | None = None,
    patience: float = 10.0,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> Weakened:
    """Check an argument, and leave out what is not kept, until the rest is or a property is lost.

    Args:
        known: instances that may prove steps, from another run; only what they leave open is searched.
        without: names of parts that are left out from the start.
        rounds: after so many questions of everything, what is broken is told and nothing more left out; None for as many as it takes.
        timeout: seconds for everything; `patience`, seconds for a question that E-matching leaves open.
        jobs: how many processes ask.
    """
    clock = Clock(timeout)
    names = {prop.name for prop in properties}
    theory = Theory(system, properties, lemmas, without)
    uses: Uses = dict(known or {})
    todo = left_open(theory, uses) if uses else None
    searched = len(theory.actions) + 1 if todo is None else len(todo)
    first: tuple[Broken, ...] | None = None
    dropped = list(without)
    seconds, asked, queries = 0.0, 0, 0
    while True:
        checked = check_theory(theory, timeout=clock.left, patience=patience, jobs=jobs, steps=todo, recording=True, progress=progress)
        uses |= checked.uses
        seconds, asked, queries = seconds + checked.seconds, asked + checked.asked, queries + checked.queries
        first = tuple(checked.broken) if first is None else first
        lost = list(dict.fromkeys(part for broken in checked.broken for part in broken.parts))
        rounds = None if rounds is None else rounds - 1
        if checked.stopped or not lost or rounds == 0 or any(broken.lemma in names for broken in checked.broken):
            checked.uses = fitting(theory, uses)
            checked.seconds, checked.asked, checked.queries = seconds, asked, queries
            return Weakened(theory, checked, first, tuple(dropped), searched)
        dropped += lost
        theory = Theory(system, properties, lemmas, dropped)
        todo = left_open(theory, uses)


__all__ = ["Weakened", "houdini"]
