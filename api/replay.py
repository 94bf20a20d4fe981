"""`replay`: run a stored counterexample again, without a solver."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike, fspath

from ..core.errors import InputError
from ..core.trace import Misfit
from ..counterexamples.compared import differences
from ..counterexamples.document import replay as replayed
from ..counterexamples.schema import Cex, read
from ..model.scenario import Scenario
from ..runner.inputs.changes import Version, touched
from ..runner.inputs.designs import design_given
from ..runner.inputs.sources import built, files_of, kernel_given
from ..runner.inputs.terms import property_of
from ..runner.runs.plan import Plan
from ..runner.runs.run import Listener, Nobody, selected_scenarios
from ..runner.telling.counterexamples import made_again
from .change import Change, carried, given


@dataclass(frozen=True)
class Replay:
    """What became of a stored run.

    Args:
        cex: the document.
        scenario: the name of the scenario in which it was executed.
        misfit: the first step that today's model does not take, or why the property holds at its end; None if it replays.
        differs: what the document says of its run that is not found again.
        model: a hash of today's model; `cex.model` is that of the model on which the run was found.
    """

    cex: Cex
    scenario: str
    misfit: Misfit | None
    differs: tuple[str, ...]
    model: str

    @property
    def holds_up(self) -> bool:
        """Whether it is still a run, still ends as the document says, and all that is said of it is found again."""
        return self.misfit is None and not self.differs


def replay(
    trace: Cex | str | PathLike[str],
    *,
    change: Change | str | PathLike[str] | None = None,
    scenario: Scenario | str | PathLike[str] | None = None,
    kernel: str | PathLike[str] | None = None,
    rev: str | None = None,
    design: str | PathLike[str] | None = None,
    listener: Listener | None = None,
) -> Replay:
    """Run a stored counterexample again by plain evaluation, on today's model.

    Args:
        trace: a document, or the path of its `*.cex.json`.
        change: the one under which it was found; needed where it was found with one that the document does not carry.
        scenario: the one in which it was found, if that is not a shipped one.
        kernel, rev: the tree from which its functions were lifted.
        design: the folder of the design in which it was found, if that is not a shipped one.
        listener: is told of progress.

    Raises:
        InputError: a file that is no document, or the change under which it was found is missing.

    Example:
        >>> from tdpcheck import Change, replay, verify
        >>> bad = Change.of_museum("export-check-outside-lock")
        >>> run = verify("noncoherent-export", "reject_noncoherent_dma", change=bad, certify=False, cache=False)
        >>> replay(run.violations[0].counterexample).holds_up
        True
    """
    cex = trace if isinstance(trace, Cex) else read(trace, violated=False)
    patch = given(change) or carried(cex)
    if cex.change is not None and patch is None:
        where = "" if isinstance(trace, Cex) else f"{fspath(trace)}: "
        raise InputError(f"{where}it was found with the change {cex.change!r}; give that change with --change FILE")
    own = design_given(design)
    chosen = scenario if isinstance(scenario, Scenario) else selected_scenarios((fspath(scenario or cex.scenario.name),), (), design=own)[0]
    tree = kernel_given(None if kernel is None else fspath(kernel), rev, (listener or Nobody()).said)
    files = files_of(tree, own)
    try:
        known = (Version(files),) if patch is None else patch.versions(files)
    except InputError as error:
        raise error if given(change) is not None else InputError(f"the change that the document carries: {error}") from None
    number = next((n for n, v in enumerate(known) if cex.change is not None and v.name == cex.change), len(known) - 1)
    made = built(known[number].scenario(chosen), tree, known[number].files, touched(known, number))
    prop = property_of(made.model, cex.prop.name)
    found = replayed(cex, made.model, prop)
    plan = Plan((chosen,), (prop.name,), known, kernel=tree)
    differs = differences(cex, made_again(cex, made, prop, plan, number)) if found is None and cex.violation else []
    return Replay(cex, chosen.name, found, tuple(differs), made.model.digest)
