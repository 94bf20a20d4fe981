"""`prove_scenario`: properties of a scenario for every size, by lemmas, with a certificate that two solvers check."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from os import PathLike
from typing import Literal

import msgspec

from ..checker.arguments.houdini import Weakened, houdini
from ..checker.arguments.lemmas import Broken
from ..checker.arguments.missing import FOUND, Missing, Race, mended, missing
from ..checker.arguments.needed import smallest
from ..checker.certificates.instantiated import InitialState, instantiated, instantiated_statement, recorded
from ..checker.clock import OutOfTime
from ..core.evaluation.evaluate import Evaluator
from ..core.system import Lemma, Property
from ..core.verdict import Reason, ReasonKind
from ..model.parametric import Parametric, parametric, sizes, starts
from ..properties.argument.book import argument
from ..recheck.recheck import Rechecked, recheck
from ..runner.asking.proofs import short_hash, why
from ..runner.asking.results import Waived, waived
from ..runner.asking.traces import TraceStep, trace_steps
from ..runner.every_size import EVERY_ROLE, files_of_versions, properties_named, scenario_for
from ..runner.inputs.designs import design_given
from ..runner.inputs.sources import code_for, files_of
from ..runner.inputs.terms import MERGING, merging_of, unmet
from ..runner.inputs.waivers import in_a_proof
from ..runner.runs.run import Listener, Nobody
from .change import Change, given

Verdict = Literal["Proved", "Violated", "Unknown", "Waived"]
SEARCH = 300.0
"""So many seconds may be spent at small sizes."""
SCHEMA = 2
"""The form of the document. 2: `kind`."""
CARD = ("no_stale_io_mapping", "atomic_hugepage_split", "reject_noncoherent_dma")


class Solver(msgspec.Struct, frozen=True):
    """What a solver says of the certificate."""

    name: str
    version: str
    verdict: str
    seconds: float


class RaceTold(msgspec.Struct, frozen=True):
    """A run that violates a property, at a small size."""

    property: str
    size: str
    steps: tuple[TraceStep, ...]


class ProofTold(msgspec.Struct, frozen=True):
    """What `prove --json` prints.

    Args:
        reason: why it is not proved, for people; `kind`, the same for code, if it is Unknown.
        start: the size of the initial state that the certificate names: that of the scenario.
        searched: how many steps needed a search for instances; the others had recorded ones that suffice.
        broken: the pairs of step and lemma that did not go through while every lemma was supposed.
        dropped: the parts of lemmas that were left out therefore; proved is what the rest proves.
        found: with the name of each lemma that a search found and the proof needs, what it says.
        refuted: the lemmas that a run at a small size shows to be false.
        race: a run that violates a property.
        missed: with `--minimal`, by lemma, a pair of step and lemma that does not go through without it.
        waivers: the ghost statements of a change or of a design from outside on which the proof leans; it is `Waived` then.
    """

    schema: int
    properties: tuple[str, ...]
    scenario: str
    change: str | None
    sizes: str
    verdict: Verdict
    reason: str
    kind: ReasonKind | None
    certificate: str
    lemmas: int
    steps: int
    searched: int
    instances: int
    seconds: float
    start: str = ""
    solvers: tuple[Solver, ...] = ()
    broken: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    found: dict[str, str] = {}
    refuted: tuple[str, ...] = ()
    race: RaceTold | None = None
    missed: dict[str, str] = {}
    waivers: tuple[Waived, ...] = ()


@dataclass(frozen=True)
class Proof:
    """An attempt to prove properties for every size, and what came of it.

    Args:
        told: as data: `tdpcheck prove --json` prints it.
        certificate: its text; of an attempt that did not go through one that proves nothing, and serves as `known` for the next one.
        model: the system of any size that it speaks of.
        found: the argument as far as it goes.
        missed: with `minimal`, by lemma, a pair of step and lemma that does not go through without it.
    """

    told: ProofTold
    certificate: str
    model: Parametric
    found: Weakened
    missed: Mapping[str, Broken]

    @property
    def verdict(self) -> Verdict:
        """Proved if both solvers accept the certificate (Waived if it leans on a waiver); Violated if a race was found; else Unknown."""
        return self.told.verdict


def prove_scenario(
    properties: str | Sequence[str] = CARD,
    *,
    scenario: str = EVERY_ROLE,
    change: Change | str | PathLike[str] | None = None,
    design: str | PathLike[str] | None = None,
    known: str = "",
    known_from: str = "the known certificate",
    minimal: bool = False,
    repair: bool = True,
    jobs: int = 2,
    timeout: float = 1800.0,
    listener: Listener | None = None,
) -> Proof:
    """Prove properties for any number of pages, tables, roots, devices and threads of a scenario.

    Args:
        properties: their names.
        scenario: for any number of this one's threads; `every-role`: all roles that there are.
        change: with this change applied to the kernel C.
        design: a folder of kernel C that overrides functions of the shipped one, or of such folders; its TOML files are scenarios.
        known: a certificate whose instances are used as far as they suffice; `known_from`, what errors call it.
        minimal: leave out what nothing needs.
        repair: if a property is lost, search small sizes for a race or for lemmas that are missing.
        jobs: processes that search.
        timeout: seconds for everything.
        listener: is told of progress.

    Raises:
        InputError: an unknown name, or a change that is no diff against the kernel C.

    Example:
        >>> from tdpcheck import prove_scenario
        >>> prove_scenario("reject_noncoherent_dma", scenario="noncoherent-export").verdict
        'Proved'
    """
    working, started = (listener or Nobody()).working, time.monotonic()
    names = (properties,) if isinstance(properties, str) else tuple(properties)
    asked_of = list(properties_named(names or CARD))
    own = design_given(design)
    asked = scenario_for(scenario, asked_of[0], own)
    patch = given(change)
    shipped = files = files_of(None, own)
    if patch is not None:
        files = files_of_versions(patch.versions(files), patch.name)
    before = recorded(known, known_from) if known else {}
    working(f"compiling {asked.name} for every size")
    code = code_for(asked, None, files)
    model = parametric(asked, code)
    lemmas = argument(model, *asked_of)
    merging = merging_of(model)
    stated = asked_of if merging is None else [*asked_of, merging]
    rounds = 1 if repair else None
    found = houdini(model.system, stated, lemmas, known=before, rounds=rounds, timeout=timeout, jobs=jobs, progress=working)
    search, late = None, ""
    if repair and found.checked.broken and not found.checked.stopped:
        search, found = _repaired(model, stated, lemmas, found, timeout, jobs, working)
        if search is None:
            late = f"; {min(timeout, SEARCH):.0f} s at small sizes found neither a race nor all lemmas that are missing"
    missed: Mapping[str, Broken] = {}
    if minimal and found.checked.holds:
        found, missed = smallest(model.system, stated, found, progress=working)
    start = next((InitialState(*first) for first in starts(model)), None)
    text, answer = instantiated(found.theory, found.checked.uses, start, scenario=asked.name), None
    if found.checked.holds and start is not None:
        working("checking the certificate")
        left = max(1.0, timeout - (time.monotonic() - started))
        answer = recheck(text, timeout=min(600.0, left), of=instantiated_statement(model.system, stated), whole=left)
    told = _told(model, asked_of, asked.name, None if patch is None else patch.name, found, search, answer, text, start, late)
    told = msgspec.structs.replace(told, missed={name: f"{b.step}: {b.lemma}" for name, b in missed.items()})
    if told.verdict == "Proved":
        leaning = waived(in_a_proof(model, code, stated, files, None if patch is None else shipped))
        told = msgspec.structs.replace(told, verdict="Waived", waivers=leaning) if leaning else told
    return Proof(told, text, model, found, missed)


def _repaired(
    model: Parametric,
    properties: Sequence[Property],
    lemmas: Sequence[Lemma],
    broken: Weakened,
    timeout: float,
    jobs: int,
    progress: Callable[[str], None],
) -> tuple[Missing | Race | None, Weakened]:
    """What a search at small sizes found, None if its time was up; and, unless that is a race, the argument with it."""
    small, tried = sizes(model.scenario)
    search: Missing | Race | None = None
    with suppress(OutOfTime):
        search = missing(model.system, properties, lemmas, small, tried, timeout=min(timeout, SEARCH), progress=progress)
    if isinstance(search, Race):
        return search, broken
    lacking, uses = search or Missing((), (), ()), broken.checked.uses
    found = mended(model.system, properties, lemmas, lacking, uses, timeout=timeout, jobs=jobs, progress=progress)
    return search, replace(found, broken=broken.broken, searched=max(broken.searched, found.searched))


def _told(
    model: Parametric,
    properties: Iterable[Property],
    scenario: str,
    change: str | None,
    found: Weakened,
    search: Missing | Race | None,
    answer: Rechecked | None,
    text: str,
    start: InitialState | None,
    late: str,
) -> ProofTold:
    checked = found.checked
    proved = checked.holds and answer is not None and answer.accepted
    reason = None if proved else _reason(scenario, found, answer, start, late)
    solvers = () if answer is None else tuple(Solver(a.solver, a.version, a.verdict, round(a.seconds, 2)) for a in answer.answers)
    race = RaceTold(search.prop.name, str(search.geometry), trace_steps(search.trace)) if isinstance(search, Race) else None
    if isinstance(search, Race) and search.prop.name == MERGING:
        evaluator, last = Evaluator(model.system, search.geometry), search.trace.states[-1]
        reason, race = Reason(ReasonKind.MERGING, unmet(model, lambda term: evaluator.compile(term)(last))), None
    return ProofTold(
        schema=SCHEMA,
        properties=tuple(p.name for p in properties),
        scenario=scenario,
        change=change,
        sizes="every size",
        verdict="Violated" if race is not None else "Proved" if proved else "Unknown",
        reason=str(reason or "") if race is None else f"a run of {len(race.steps)} steps violates {race.property}",
        kind=reason.kind if race is None and reason is not None else None,
        certificate=short_hash(text) if proved else "",
        start="" if start is None else str(start.geometry),
        lemmas=len(found.theory.lemmas),
        steps=len(found.theory.actions) + 1,
        searched=found.searched,
        instances=sum(map(len, checked.uses.values())),
        seconds=round(checked.seconds, 1),
        solvers=solvers,
        broken=tuple(f"{b.step}: {b.lemma}" for b in found.broken),
        dropped=tuple(name for name in found.dropped if not name.startswith(FOUND)),
        found={x.name: x.sentence for x in found.theory.lemmas if proved and x.name.startswith(FOUND)},
        refuted=search.refuted if isinstance(search, Missing) else (),
        race=race,
    )


def _reason(scenario: str, found: Weakened, answer: Rechecked | None, start: InitialState | None, late: str) -> Reason | None:
    """Why there is no proof."""
    if found.checked.stopped is not None:
        return found.checked.stopped
    if found.checked.broken:
        return Reason(ReasonKind.ARGUMENT, f"{len(found.broken)} pairs of step and lemma did not go through{late}")
    if start is None:
        nothing = f"no initial state of {scenario} at its own size is one of every size, so that nothing may be said of any run"
        return Reason(ReasonKind.VACUOUS, nothing)
    return None if answer is None else Reason(ReasonKind.SECOND_SOLVER, f"second solver: {why(answer)}")
