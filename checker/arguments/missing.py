"""Lemmas that an argument lacks: PDR finds them at a small size, they are said of all elements, and proposed for every size.

A change to kernel C may break a lemma that is true: nothing says the one that it now rests on. At a small size PDR finds clauses that make
it inductive again, or a run that shows it to be false. The clauses are generalised (`generalise.py`), and those are left that are inductive
together at a larger size. What is then proved is proved by the usual questions for every size; nothing here is believed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import z3

from ...core.evaluation.evaluate import Evaluator
from ...core.ground import GroundSystem, cone, ground
from ...core.shape import identity
from ...core.sorts import Geometry
from ...core.system import Lemma, Property, TransitionSystem
from ...core.trace import Trace
from ...recheck.instances import Uses
from ..circuits.circuit import circuit
from ..circuits.inductive import essential, existing, grounded_lemmas, keep_inductive
from ..circuits.pdr import blocked
from ..circuits.reduce import relevant
from ..clock import Clock
from ..every_size.proof_obligations import Part, parts_of
from .generalise import Generaliser, Saying, patterns
from .houdini import Weakened, houdini
from .needed import smallest

FOUND = "found"
PATIENCE = 2.0
"""Seconds for a question that E-matching leaves open: a candidate may well be wrong."""
_NOTHING = Property("nothing", "", z3.BoolVal(True))
"""What a circuit promises of which only the formulas are of interest that it knows."""


@dataclass(frozen=True)
class Missing:
    """What may be missing.

    Args:
        likely: candidates that the argument needs at a larger size, where all is inductive together.
        lemmas: these and the others that are inductive there.
        refuted: the names of parts of lemmas that a run at a small size shows to be false.
    """

    likely: tuple[Lemma, ...]
    lemmas: tuple[Lemma, ...]
    refuted: tuple[str, ...]


@dataclass(frozen=True)
class Race:
    """A run, at a small size, that violates one of the properties."""

    prop: Property
    trace: Trace
    geometry: Geometry


def missing(
    system: TransitionSystem,
    properties: Sequence[Property],
    lemmas: Sequence[Lemma],
    small: Sequence[Geometry],
    tried: Sequence[Geometry],
    *,
    timeout: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> Missing | Race:
    """Look for what an argument lacks.

    Args:
        small: the sizes at which PDR searches.
        tried: the sizes at which candidates have to be inductive, one after the other.
        timeout: seconds for everything.

    Raises:
        OutOfTime: they are over.
    """
    clock = Clock(timeout)
    true = [Lemma(part.name, _closed(part), lemma.sentence) for lemma in lemmas for part in parts_of(lemma)]
    refuted = list[str]()
    proposed: dict[str, tuple[Saying, ...]] = {}
    for geometry in small:
        if progress is not None:
            progress(f"searching lemmas at {geometry}")
        grounded = ground(system, geometry, fold=False)
        while True:
            found = _at(grounded, properties, true, clock)
            if isinstance(found, Race):
                return found
            if not isinstance(found, Trace):
                break
            false = set(_false(true, found, grounded))
            refuted += sorted(false)
            true = [lemma for lemma in true if lemma.name not in false]
        for sayings in found:
            proposed.setdefault(sayings[0].words, sayings)
    own = [prop.as_lemma for prop in properties]
    every = [
        [Lemma(f"{FOUND}_{n}{'_' * m}", saying.term, saying.words) for m, saying in enumerate(sayings)]
        for n, sayings in enumerate(proposed.values(), 1)
    ]
    left = [*own, *true, *itertools.chain(*every)]
    kept, likely = list[Lemma](), set[str]()
    for geometry in tried:
        if progress is not None:
            progress(f"trying {len(proposed)} candidates at {geometry}")
        grounded = ground(system, geometry, fold=False)
        left = _inductive(grounded, left, clock)
        names = {lemma.name for lemma in left}
        # Of a clause with less premise and one with more, the first says it all.
        kept = [x for lemmas in every for x in [y for y in lemmas if y.name in names][:1]]
        book = [lemma for lemma in (*own, *true) if lemma.name in names]
        needs = _wanted(grounded, book, kept, clock)
        wanted = {identity(part) for part in needs}
        likely |= {x.name for x in kept if any(identity(part) in wanted for part in grounded_lemmas(grounded, [x]))}
    return Missing(tuple(x for x in kept if x.name in likely), tuple(kept), tuple(refuted))


def _closed(part: Part) -> z3.BoolRef:
    return z3.ForAll(list(part.variables), part.body) if part.variables else part.body


def mended(
    system: TransitionSystem,
    properties: Sequence[Property],
    lemmas: Sequence[Lemma],
    lacking: Missing,
    known: Uses,
    *,
    timeout: float | None = None,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> Weakened:
    """The argument with what it lacked, for every size; of that, only what something needs is left in a proof.

    Args:
        known: instances that prove steps of the argument as it was.
        timeout: seconds for everything.
    """
    clock = Clock(timeout)
    offered = lacking.likely

    def asked(known: Uses) -> Weakened:
        return houdini(
            system,
            properties,
            [*lemmas, *offered],
            known=known,
            without=lacking.refuted,
            timeout=clock.left,
            patience=PATIENCE,
            jobs=jobs,
            progress=progress,
        )

    made = asked(known)
    if not made.checked.holds and not made.checked.stopped and len(lacking.lemmas) > len(offered):
        offered = lacking.lemmas
        made = asked(made.checked.uses)
    if not made.checked.holds:
        return made
    left, _ = smallest(system, properties, made, among={x.name for x in offered}, progress=progress)
    return left


def _wanted(grounded: GroundSystem, book: Sequence[Lemma], found: Sequence[Lemma], clock: Clock) -> Sequence[z3.BoolRef]:
    """The parts that the book's lemmas need to be inductive, their own and others'."""
    promise = Property("book", "", z3.And([lemma.holds for lemma in book]))
    return essential(grounded, promise, grounded_lemmas(grounded, [*book, *found]), clock, len(grounded_lemmas(grounded, book)))


def _at(
    grounded: GroundSystem, properties: Sequence[Property], lemmas: Sequence[Lemma], clock: Clock
) -> list[tuple[Saying, ...]] | Trace | Race:
    """Candidates that make all of it inductive at one size; or a run to a state in which a lemma or a property is false."""
    every = [*(prop.as_lemma for prop in properties), *lemmas]
    of = {lemma.name: [identity(part) for part in grounded_lemmas(grounded, [lemma])] for lemma in every}
    parts = grounded_lemmas(grounded, every)
    known = [*parts, *existing(cone(grounded, parts))]
    kept = [known[i] for i in keep_inductive(circuit(grounded, _NOTHING, known), clock)]
    left = {identity(part) for part in kept}
    # Whether one of hundreds of formulas fails is a hard question: only those are asked about that are not known to be kept.
    open_ = [lemma.holds for lemma in every if not left.issuperset(of[lemma.name])]
    asked = Property("argument", "What is not inductive by itself holds.", z3.And(open_))
    made = relevant(circuit(grounded, asked, kept))
    result = blocked(made, asked, clock)
    if isinstance(result, Trace):
        last = Evaluator(grounded.system, grounded.geometry)
        for prop in properties:
            if not last.holds(prop.holds, result.states[-1]):
                return Race(prop, result, grounded.geometry)
        return result
    seen = [pattern for cube in result for pattern in patterns(cube, grounded.geometry)]
    return list(Generaliser(made, result, clock).candidates(seen))


def _false(lemmas: Iterable[Lemma], run: Trace, grounded: GroundSystem) -> Iterator[str]:
    evaluator = Evaluator(grounded.system, grounded.geometry)
    return (lemma.name for lemma in lemmas if not evaluator.holds(lemma.holds, run.states[-1]))


def _inductive(grounded: GroundSystem, lemmas: Sequence[Lemma], clock: Clock) -> list[Lemma]:
    """The most lemmas of which all parts are inductive together."""
    left = list(lemmas)
    while True:
        parts = [(n, part) for n, lemma in enumerate(left) for part in grounded_lemmas(grounded, [lemma])]
        limits = existing(grounded)
        kept = set(keep_inductive(circuit(grounded, _NOTHING, [*(part for _, part in parts), *limits]), clock))
        broken = {n for place, (n, _) in enumerate(parts) if place not in kept}
        if not broken:
            return left
        left = [lemma for n, lemma in enumerate(left) if n not in broken]


__all__ = ["FOUND", "Missing", "Race", "mended", "missing"]
