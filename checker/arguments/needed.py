"""Which lemmas of an argument are needed: each of them left out, with what then no longer goes through."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from ...core.system import Lemma, Property, TransitionSystem
from ...recheck.instances import Uses
from ..certificates.instantiated import fitting, left_open
from ..every_size.theory import Theory
from .houdini import Weakened
from .lemmas import Broken, Found, Search


@dataclass(frozen=True)
class Needed:
    """An argument of which nothing can be left out.

    Args:
        lemmas: what is left.
        missed: for each of them, a pair of step and lemma that does not go through without it.
        uses: the instances that prove each step.
    """

    lemmas: tuple[Lemma, ...]
    missed: dict[str, Broken]
    uses: Uses


def needed(
    system: TransitionSystem,
    properties: Sequence[Property],
    lemmas: Sequence[Lemma],
    uses: Uses,
    *,
    without: Collection[str] = (),
    among: Collection[str] | None = None,
    patience: float = 2.0,
    progress: Callable[[str], None] | None = None,
) -> Needed:
    """Minimise the argument greedily: try to leave out each lemma, the last ones first, until each that is left is missed by something.

    Args:
        uses: the instances that prove the whole argument.
        without: names of parts that are left out of it.
        among: the names of the lemmas that may be left out, all if None.
        patience: seconds for a question that E-matching leaves open. Time that is up counts as missing, so nothing is left out by chance.
    """
    kept, missed, uses = list(lemmas), dict[str, Broken](), dict(uses)
    smaller = True
    while smaller:  # what a lemma was missed by may have gone since
        smaller = False
        for lemma in reversed([x for x in kept if among is None or x.name in among]):
            if progress is not None:
                progress(f"without {lemma.name}")
            rest = [x for x in kept if x is not lemma]
            found = _without(Theory(system, properties, rest, without), uses, patience)
            if isinstance(found, Broken):
                missed[lemma.name] = found
            else:
                kept, uses, smaller = rest, found, True
    left = fitting(Theory(system, properties, kept, without), uses)
    return Needed(tuple(kept), {x.name: missed[x.name] for x in kept if x.name in missed}, left)


def smallest(
    system: TransitionSystem,
    properties: Sequence[Property],
    found: Weakened,
    *,
    among: Collection[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[Weakened, dict[str, Broken]]:
    """An argument that holds without the lemmas that nothing needs, and what misses each that might have been left out."""
    own = {prop.name for prop in properties}
    lemmas = [lemma for lemma in found.theory.lemmas if lemma.name not in own]
    left = needed(system, properties, lemmas, found.checked.uses, without=found.dropped, among=among, progress=progress)
    theory = Theory(system, properties, left.lemmas, found.dropped)
    return replace(found, theory=theory, checked=replace(found.checked, uses=left.uses)), left.missed


def _without(theory: Theory, uses: Uses, patience: float) -> Uses | Broken:
    """The instances that prove a smaller theory, or the first pair of step and lemma that does not go through."""
    more = dict(uses)
    search: Search | None = None
    for step in left_open(theory, uses):
        search = search or Search(theory, patience, True)
        found = Found()
        search.step(step, found)
        if found.broken:
            return found.broken[0]
        more |= found.uses
    return more


__all__ = ["Needed", "needed", "smallest"]
