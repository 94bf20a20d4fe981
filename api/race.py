"""`race`: can a claimed race happen?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike, fspath

from ..core.errors import InputError
from ..model.scenario import Scenario
from ..runner.inputs.designs import design_given
from ..runner.inputs.matrix import every_cell
from ..runner.inputs.sources import code_for, files_of, kernel_given
from ..runner.races.answers import Answer, Line, Race
from ..runner.races.deciding import decide
from ..runner.races.diagram import read_diagram
from ..runner.runs.run import selected_scenarios
from .change import Change, given


def race(
    text: str,
    *,
    columns: Mapping[str, str] | None = None,
    scenario: Scenario | str | PathLike[str] | None = None,
    change: Change | str | PathLike[str] | None = None,
    kernel: str | PathLike[str] | None = None,
    rev: str | None = None,
    design: str | PathLike[str] | None = None,
    states: int = 400_000,
    timeout: float | None = 120.0,
    name: str = "the text",
    looking: Callable[[str], None] | None = None,
) -> Race:
    """Decide a race as people draw it in mails: two columns or more of what each CPU does, time downwards.

    No steps are merged, so that every operation of the kernel C can come between every two others. What the diagram does not name
    may happen at any time.

    Args:
        text: the diagram, or a mail that contains it.
        columns: which flow (`tdpcheck list flows`), or thread of the scenario, a column is, by the beginning of its heading.
        scenario: where to look; without it, in the flows that the columns are, side by side, from every start of the matrix.
        change: look in the kernel C with it.
        kernel, rev: a Linux source tree from which functions are lifted; the scenario must be one that runs them.
        design: a folder of kernel C that overrides functions of the shipped one; the scenario must be one of it.
        states: a scenario with more than so many is not searched.
        timeout: seconds in all; None for no limit.
        name: what the text is called in errors.
        looking: is told what is read or searched next.

    Raises:
        InputError: there is no diagram in the text, its columns cannot be run, or a name is not known.

    Example:
        >>> from tdpcheck import race
        >>> answer = race('''
        ... VFIO                                   userspace
        ...
        ... noncoherent_dma_count_inc(kvm, dev)
        ...                                        kvm_tdp_set_exported(kvm)
        ... ''')
        >>> answer.answer.value
        'impossible'
        >>> [answer.lines[number].entry.line for number in answer.core]
        [4, 5]
    """
    diagram = read_diagram(text, name)
    if diagram.change and change is None:
        raise InputError(f"{name}: it was found with the change {diagram.change!r}; give that change with --change FILE")
    own = design_given(design)
    tree = kernel_given(None if kernel is None else fspath(kernel), rev, looking)
    wanted = fspath(scenario) if scenario is not None and not isinstance(scenario, Scenario) else scenario or diagram.scenario or None
    if wanted is None and (tree is not None or own is not None):
        raise InputError("the flows of the matrix are of the shipped kernel C; say with --scenario where to look")
    where = selected_scenarios([wanted], (), tree, own)[0] if isinstance(wanted, str) else wanted
    files = files_of(tree, own)
    patch = given(change)
    if patch is not None:
        version = patch.versions(files)[-1]
        if version.overlay is not None and where is None:
            raise InputError(f"{patch.name} changes scenarios; say with --scenario where to look")
        files, where = version.files, where if where is None else version.scenario(where)
    code = code_for(where or next(iter(every_cell().values())), tree, files)
    return decide(diagram, code, where, columns, max_states=states, timeout=timeout, looking=looking)


__all__ = ["Answer", "Line", "Race", "race"]
