"""`verify`: ask properties in scenarios, with and without a change; a `Run` is what came out."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike, fspath
from typing import cast

from ..checker.clock import Clock
from ..core.errors import EngineError, InputError
from ..core.verdict import HoldsUpTo, Proved, Reason, ReasonKind, Unknown, Verdict
from ..counterexamples.schema import Cex
from ..kernelc.sources.tree import KernelTree
from ..model.scenario import Scenario
from ..runner.asking.limits import Limits
from ..runner.asking.results import Document, Result
from ..runner.inputs.changes import Series, Version
from ..runner.inputs.designs import Design, design_given
from ..runner.inputs.matrix import chosen_cells
from ..runner.inputs.sources import files_of, kernel_given
from ..runner.runs.cache import default_cache
from ..runner.runs.plan import Place, Plan
from ..runner.runs.run import Found, Listener, Nobody, Outcome, each_violation, run, selected_scenarios
from ..runner.telling.answers import verdict_text
from ..runner.telling.counterexamples import Telling
from .change import Change, given, start_of_range

STATES, TIMEOUT = 250_000, 300.0
"""How many states are visited before Z3 is asked, and seconds a question."""


@dataclass(frozen=True)
class Cells:
    """Cells of the matrix of flows: each flow alone, each with each, from several starts; see `tdpcheck list flows`.

    With a change, those of which the change is part.

    Args:
        flows: the roles of flows, one of which must run; without any, all.
        starts: names of starts; without any, all.
    """

    flows: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()


def verify(
    scenarios: str | Scenario | Sequence[str | Scenario] | Cells = (),
    properties: str | Sequence[str] = (),
    *,
    change: Change | str | PathLike[str] | None = None,
    kernel: str | PathLike[str] | None = None,
    rev: str | None = None,
    design: str | PathLike[str] | None = None,
    depth: int | None = None,
    states: int = STATES,
    timeout: float | None = TIMEOUT,
    certify: bool = True,
    jobs: int | None = None,
    memory: int | None = None,
    cache: bool = True,
    listener: Listener | None = None,
    total: float | None = None,
    spent: float = 0.0,
) -> Run:
    """Check properties in scenarios, with a change and without it.

    Args:
        scenarios: names of shipped ones, paths of TOML files, or `Scenario`s; or `Cells`; without any, all shipped ones that fit the code.
        properties: names; without any, those that each scenario asks, and the assertions of the kernel.
        change: a `Change`, or the path of a patch, an mbox or an overlay; or `A..B`, commits of the kernel's repository, which is then
            read at A if `rev` says nothing else.
        kernel: a Linux source tree (a folder, a git repository or a tarball) from which functions are lifted.
        rev: the git revision of it that is read.
        design: a folder of kernel C that overrides functions of the shipped one, or of such folders; its TOML files are scenarios.
        depth: steps to search; without it, to where every goal is reached, plus five.
        states: so many states are visited before bounded model checking is asked.
        timeout: seconds a question; None for no limit.
        certify: make a certificate of each complete exploration, and have two solvers check it.
        jobs: processes that compute at once; without it, one for each core.
        memory: megabytes that each of them may take beyond what it begins with.
        cache: whether answers of earlier runs may serve, and are kept.
        listener: is told of progress.
        total: seconds for the whole run; what is not answered by then is Unknown (time-out). None for no such limit.
        spent: seconds of these limits that are gone already.

    Returns:
        The run. An interrupt (KeyboardInterrupt) ends it early; what was found by then is in it.

    Raises:
        InputError: a name that is not known, a change that does not apply, code that a scenario cannot run; or cells, of which the
            shipped kernel C alone has any, of another.

    Example:
        >>> from tdpcheck import verify
        >>> run = verify("noncoherent-export", "reject_noncoherent_dma", certify=False, cache=False)
        >>> [answer.text for answer in run.answers]
        ['HoldsUpTo 7']
        >>> run.exit_code
        0
    """
    reading = Clock(start=time.monotonic() - spent)
    start = start_of_range(change)
    if start is not None:
        if kernel is None:
            raise InputError(f"{change}: a range of commits is of a kernel's git repository; give that with --kernel, or name a file")
        change, rev = Change.of_range(kernel, fspath(cast(str, change))), rev or start
    tree = (
        None
        if kernel is None and rev is None
        else kernel_given(None if kernel is None else fspath(kernel), rev, (listener or Nobody()).said)
    )
    asked = (properties,) if isinstance(properties, str) else tuple(dict.fromkeys(properties))
    own = design_given(design)
    files, patch = files_of(tree, own), given(change)
    read = Series((Version(files),)) if patch is None else patch.series(files)
    until = None if total is None else reading.start + total
    plan = Plan(
        scenarios=_cells(scenarios, read, tree, own) if isinstance(scenarios, Cells) else _scenarios(scenarios, asked, tree, own),
        properties=asked,
        versions=read.versions,
        refused=read.refused,
        kernel=tree,
        limits=Limits(depth=depth, timeout=timeout, states=states, memory=memory, certify=certify, until=until),
        jobs=jobs or cores(),
        cache=default_cache((listener or Nobody()).said) if cache else None,
        spent=reading.spent,
    )
    return Run(run(plan, listener))


def _scenarios(
    given: str | Scenario | Sequence[str | Scenario], properties: Sequence[str], kernel: KernelTree | None, design: Design | None
) -> tuple[Scenario, ...]:
    several = (given,) if isinstance(given, str | Scenario) else tuple(given)
    if not several:
        return selected_scenarios((), properties, kernel, design)
    chosen = (s if isinstance(s, Scenario) else selected_scenarios((s,), properties, kernel, design)[0] for s in several)
    return tuple({s.name: s for s in chosen}.values())


def _cells(wanted: Cells, read: Series, kernel: object, design: Design | None) -> tuple[Scenario, ...]:
    if kernel is not None or design is not None:
        raise InputError("the matrix of flows is of the shipped kernel C; leave out --kernel and --design, or name a scenario")
    return chosen_cells(wanted.flows, wanted.starts, read.versions)


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Answer:
    """The answer to one question: this property, in this scenario, with this change.

    Args:
        record: everything that is known of it, as `tdpcheck verify --json` prints it.
    """

    record: Result
    _run: Run
    _place: Place

    @property
    def scenario(self) -> str:
        return self.record.scenario

    @property
    def prop(self) -> str:
        return self.record.property

    @property
    def change(self) -> str | None:
        return self.record.change

    @property
    def text(self) -> str:
        """The verdict in words, with its bound."""
        return verdict_text(self.record)

    @property
    def as_expected(self) -> bool:
        """Whether it is what the scenario expects."""
        return self.record.as_expected

    @cached_property
    def verdict(self) -> Verdict:
        """The verdict. A violation is replayed, by plain evaluation, on a model that is built for it here.

        Raises:
            EngineError: a run does not replay.
        """
        record = self.record
        match record.verdict:
            case "violated":
                return self.found.verdict
            case "proved":
                return Proved(record.sizes or "", record.lemmas, 0, record.engine, record.seconds)
            case "waived" if record.held == "proved":
                return Proved(record.sizes or "", record.lemmas, 0, record.engine, record.seconds)
            case "holds_up_to" | "waived":
                return HoldsUpTo(
                    record.depth if record.depth is not None else 0, record.engine, states=record.states, seconds=record.seconds
                )
            case "unknown" | "vacuous":
                depth = -1 if record.depth is None else record.depth
                why = Reason(record.kind or ReasonKind.FAULT, record.reason or "")
                return Unknown(why, record.engine, depth, record.seconds)

    @cached_property
    def found(self) -> Found:
        """Of a violation the model, the property and the replayed run.

        Raises:
            EngineError: nothing is violated, or the run does not replay.
        """
        for found in each_violation(self._run.outcome, lambda record: record is self.record):
            return found
        raise EngineError(f"{self.prop} of {self.scenario} is not violated: there is no run to show")

    @cached_property
    def counterexample(self) -> Cex:
        """Of a violation the document: its steps in words, its causes, its near misses; every form is made of it.

        Raises:
            EngineError: nothing is violated, or the run does not replay.
        """
        return Telling().document(self.found)

    @property
    def certificate(self) -> str:
        """Of a proof the certificate that two solvers accepted; '' of anything else."""
        return self._run.outcome.certificates.get(self._place, "")

    def _repr_html_(self) -> str:
        return self.verdict._repr_html_()


@dataclass(frozen=True)
class Run:
    """What came out of `verify`.

    Args:
        outcome: the run as the command line has it.
    """

    outcome: Outcome

    @cached_property
    def answers(self) -> tuple[Answer, ...]:
        """Every answer, in the order in which it was asked for."""
        return tuple(Answer(self.outcome.told[place], self, place) for place in self.outcome.places)

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.answers)

    @property
    def violations(self) -> tuple[Answer, ...]:
        """Those that are violated, whether their scenario expects it or not."""
        return tuple(answer for answer in self.answers if answer.record.verdict == "violated")

    @property
    def exit_code(self) -> int:
        """What the command line would say: 0 all holds, 1 something unexpected is violated, 3 something is unknown, 130 interrupted."""
        return self.document.exit_code

    @property
    def interrupted(self) -> bool:
        return self.outcome.interrupted

    @property
    def document(self) -> Document:
        """The whole run as data: `tdpcheck verify --json` prints it."""
        return self.outcome.document
