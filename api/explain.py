"""`explain`: why a property holds for every size, lemma by lemma, each checked while it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike

import msgspec

from ..checker.arguments.lemmas import Checked, check_lemmas
from ..core.errors import InputError
from ..core.system import Lemma, Property
from ..core.verdict import ReasonKind
from ..model.parametric import Parametric, parametric
from ..model.scenario import Scenario
from ..properties.argument.book import argument
from ..runner.asking.results import Waived, waived
from ..runner.every_size import files_of_versions, properties_named, scenario_for
from ..runner.inputs.designs import design_given
from ..runner.inputs.sources import code_for, files_of
from ..runner.inputs.terms import ASSERTIONS, merging_of
from ..runner.inputs.waivers import in_a_proof
from ..runner.names import unknown
from ..runner.runs.run import Listener, Nobody
from ..runner.telling.races import Race, races_of, shown
from .change import Change, given

SCHEMA = 2
"""The form of the document. 2: `kind`."""


class Step(msgspec.Struct, frozen=True):
    """One lemma, as `--json` tells it: `broken_by` are the steps after which it is not known to hold."""

    name: str
    sentence: str
    because: str
    holds: bool
    broken_by: tuple[str, ...]


class Explained(msgspec.Struct, frozen=True):
    """What `explain --json` prints; `stopped` is why it is not finished, for people, and `kind` the same for code.

    Args:
        waivers: the ghost statements of a change or of a design from outside on which the argument leans.
    """

    schema: int
    property: str
    scenario: str
    change: str | None
    sizes: str
    holds: bool
    lemmas: tuple[Step, ...]
    goals: int
    queries: int
    seconds: float
    stopped: str
    kind: ReasonKind | None
    races: tuple[Race, ...] = ()
    waivers: tuple[Waived, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """An argument with what became of each of its steps.

    Args:
        told: as data: `tdpcheck explain --json` prints it.
        model: the system of any size that it speaks of.
        checked: what was asked, and which steps did not go through.
    """

    told: Explained
    model: Parametric
    checked: Checked

    @property
    def holds(self) -> bool:
        """Whether every lemma holds initially and is kept by every step, at every size."""
        return self.checked.holds


def explain(
    name: str,
    *,
    scenario: str | None = None,
    change: Change | str | PathLike[str] | None = None,
    design: str | PathLike[str] | None = None,
    drop: Sequence[str] = (),
    race: bool = False,
    jobs: int = 2,
    timeout: float = 900.0,
    listener: Listener | None = None,
) -> Explanation:
    """Tell why a property holds for every size, and check each step of the argument.

    Args:
        name: of the property.
        scenario: for any number of this one's threads; without it a small one that asks the property.
        change: with this change applied to the kernel C.
        design: a folder of kernel C that overrides functions of the shipped one, or of such folders; its TOML files are scenarios.
        drop: lemmas to leave out, to see what misses them.
        race: look for the known race that each lemma's protection prevents (of those left out, if any are).
        jobs: processes that ask.
        timeout: seconds for everything.
        listener: is told of progress.

    Raises:
        InputError: an unknown name, or a change that is no diff against the kernel C.

    Example:
        >>> from tdpcheck import explain
        >>> explanation = explain("reject_noncoherent_dma", scenario="noncoherent-export")
        >>> explanation.holds
        True
    """
    listener = listener or Nobody()
    if name == ASSERTIONS:
        raise InputError(f"{name} has no argument of its own for every size: it is the lemma assertions_hold in that of any other property")
    (prop,) = properties_named([name])
    own = design_given(design)
    asked = scenario_for(scenario, prop, own)
    patch = given(change)
    shipped = files = files_of(None, own)
    if patch is not None:
        files = files_of_versions(patch.versions(files), patch.name)
    listener.working(f"compiling {asked.name} for every size")
    code = code_for(asked, None, files)
    model = parametric(asked, code)
    known_lemmas = argument(model, prop)
    lemmas = _without(known_lemmas, drop)
    merging = merging_of(model)
    stated = [prop] if merging is None else [prop, merging]
    checked = check_lemmas(model.system, stated, lemmas, timeout=timeout, jobs=jobs, progress=listener.working)
    races = []
    for each in races_of(tuple(drop) or tuple(lemma.name for lemma in known_lemmas)) if race else ():
        listener.working(f"{each.lemma}: looking for the race that it prevents")
        races.append(shown(each))
    told = _told(prop, asked, None if patch is None else patch.name, lemmas, checked, tuple(races))
    leaning = waived(in_a_proof(model, code, stated, files, None if patch is None else shipped))
    return Explanation(msgspec.structs.replace(told, waivers=leaning), model, checked)


def _without(lemmas: Sequence[Lemma], drop: Sequence[str]) -> tuple[Lemma, ...]:
    names = tuple(lemma.name for lemma in lemmas)
    for name in drop:
        if name not in names:
            raise InputError(unknown(name, names, "lemma of this argument"))
    return tuple(lemma for lemma in lemmas if lemma.name not in drop)


def _told(
    prop: Property, scenario: Scenario, change: str | None, lemmas: Sequence[Lemma], checked: Checked, races: tuple[Race, ...]
) -> Explained:
    by: dict[str, list[str]] = {}
    for broken in checked.broken:
        by.setdefault(broken.lemma, []).append(broken.step)
    book = (*lemmas, replace(prop.as_lemma, because="It is one of the steps: what the others prepare."))
    steps = tuple(Step(x.name, x.sentence, x.because, x.name not in by and not checked.stopped, tuple(by.get(x.name, ()))) for x in book)
    return Explained(
        SCHEMA, prop.name, scenario.name, change, "every size", checked.holds, steps, checked.asked, checked.queries,
        round(checked.seconds, 3), str(checked.stopped or ""),
        None if checked.stopped is None else checked.stopped.kind, races,
    )  # fmt: skip
