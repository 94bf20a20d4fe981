"""`mutate`: small faults of kernel C, made one at a time, and whether the checker finds them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from os import PathLike, fspath
from pathlib import Path

from msgspec.structs import replace

from ..core.errors import InputError
from ..model.scenario import SHARED, Scenario, shipped_scenarios
from ..model.system import designs
from ..runner.documents import SCHEMA
from ..runner.inputs.designs import design_given
from ..runner.inputs.matrix import every_cell
from ..runner.inputs.sources import Files, files_of
from ..runner.mutants.asked import Asking, Judged, nearest
from ..runner.mutants.campaign import Mutants, Wanted, all_mutants, campaign, digest, drawn, stored, taken_up, unasked
from ..runner.mutants.declared import declared, reason_for
from ..runner.names import unknown

STATES, TIMEOUT = 500_000, 600.0
"""How many states may be visited in a scenario, and seconds of computing a mutant."""
Listener = Callable[[Mutants, Judged | None], None]


def mutate(
    functions: str | Sequence[str] = (),
    operators: str | Sequence[str] = (),
    *,
    design: str | PathLike[str] | None = None,
    sample: int | None = None,
    seed: int = 0,
    resume: str | PathLike[str] | None = None,
    ask_declared: bool = False,
    states: int = STATES,
    timeout: float = TIMEOUT,
    jobs: int | None = None,
    memory: int | None = None,
    listener: Listener = lambda so_far, latest: None,
) -> Mutants:
    """Make small faults of kernel C, one at a time, and see whether a scenario or cell of the matrix that runs them finds one wrong.

    Args:
        functions: of these alone; without any, of all.
        operators: by these alone, see `tdpcheck mutate --help`; without any, by all.
        design: whose kernel C: the name of a shipped design, or a folder; without it, the shipped one that is shared.
        sample: so many of them, drawn by `seed`: a larger sample begins with a smaller one. Without it, all.
        resume: a document of an earlier call, of which all is kept but what was open.
        ask_declared: ask those, too, that are declared to be no faults.
        states: so many may be visited in each scenario.
        timeout: seconds of computing a mutant.
        jobs: mutants that are asked at once; without it, one for each core.
        memory: megabytes that each of them may take beyond what it begins with.
        listener: is told what is known so far, and what is new in it.

    Returns:
        What became of each; `score` is the share of those found. An interrupt (KeyboardInterrupt) ends it early; what was found is in it.

    Raises:
        InputError: a name that is not known, or a document that is none, or is about something else.

    Example:
        >>> from tdpcheck import mutate
        >>> found = mutate("kvm_flush_remote_tlbs", "swap")
        >>> [each.fate for each in found.judged]
        ['equivalent']
    """
    folder, files, scenarios = _asked_of(design)
    wanted = Wanted(
        folder,
        (functions,) if isinstance(functions, str) else tuple(dict.fromkeys(functions)),
        (operators,) if isinstance(operators, str) else tuple(dict.fromkeys(operators)),
        sample,
        seed,
    )
    before = None if resume is None else stored(Path(resume))
    found = all_mutants(files, wanted.functions, wanted.operators, folder)
    chosen = drawn(found, sample, seed)
    code = digest(files)
    asking = Asking(files, nearest(scenarios), states, timeout)
    reasons = {mutation.name: why for mutation in chosen if (why := reason_for(mutation, declared())) is not None}
    known = {} if before is None else taken_up(before, fspath(resume or ""), code, wanted, chosen)
    if not ask_declared:
        known |= {m.name: unasked(asking, m, "equivalent", reasons[m.name]) for m in chosen if m.name in reasons}
    judged = dict(known)

    def so_far(interrupted: bool = False) -> Mutants:
        own = tuple(judged[mutation.name] for mutation in chosen if mutation.name in judged)
        return Mutants(SCHEMA, code, wanted, len(found), len(chosen), interrupted, own)

    def hear(latest: Judged) -> None:
        latest = _with_reason(latest, reasons.get(latest.name))
        judged[latest.name] = latest
        listener(so_far(), latest)

    listener(so_far(), None)
    _, interrupted = campaign(asking, chosen, jobs=jobs or len(os.sched_getaffinity(0)), memory=memory, known=known.values(), hear=hear)
    return so_far(interrupted)


def _with_reason(judged: Judged, declared_: str | None) -> Judged:
    """A mutant that is declared to be no fault, and was asked all the same."""
    if declared_ is None:
        return judged
    if judged.found:
        return replace(judged, reason=f"it is declared to be no fault, and is one: {declared_}")
    return replace(judged, fate="equivalent" if judged.fate == "survived" else judged.fate, reason=judged.reason or declared_)


def _asked_of(design: str | PathLike[str] | None) -> tuple[str, Files, list[Scenario]]:
    """The folder whose files get faults, all files, and where they are asked.

    Raises:
        InputError: there is no such design, or no one design, or it has no scenario.
    """
    shipped = list(shipped_scenarios().values())
    cells = list(every_cell().values())
    if design is None or fspath(design) == SHARED:
        return "", files_of(None), [*cells, *(s for s in shipped if s.design == SHARED and not s.needs_kernel)]
    name = fspath(design)
    if name in designs():
        own = [scenario for scenario in shipped if scenario.design == name]
        if any(scenario.needs_kernel for scenario in own):
            raise InputError(f"the design {name!r} runs functions of a kernel tree, of which no mutants are made; name another one")
        return name, files_of(None), own
    if "/" not in name and not Path(name).exists():
        raise InputError(f"{unknown(name, designs(), 'design')}; or give a folder of kernel C")
    given = design_given(design)
    if given is None or not given.only:
        raise InputError(f"{name}: this folder holds several designs; give the folder of one")
    given.check(given.names)
    over = [replace(cell, design=given.only) for cell in cells]
    return given.only, files_of(None, given), [*over, *(given.over(scenario) for scenario in given.scenarios.values())]
