"""The waivers of code that did not come with the tool, and which of them an answer leans on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

from ...core.errors import InputError
from ...core.system import Property
from ...kernelc.errors import Refusal
from ...kernelc.lowering.cfg import Graph
from ...model.change.waivers import Waiver, leaning, waivers
from ...model.parametric import Parametric, parametric
from ...model.system import Code, Model
from ...properties.goals import GOALS
from .sources import Files, code_for, from_outside


def waivers_in(made: Model | Parametric, code: Code, files: Files, before: Mapping[str, Graph] | None = None) -> tuple[Waiver, ...]:
    """The waivers in a model's threads: those of a design from outside, and those that a change brings.

    Args:
        before: the threads without the change, if there is one.
    """
    designs = from_outside(files) if code.kernel == "shipped" else ()
    places = {name: function.at.file for name, function in code.functions.items()}

    def outside(file: str) -> bool:
        return file.partition("/")[0] in designs and "/" in file

    return waivers(made.software, code.library.intrinsics, places, outside, before)


def before_change(made: Model | Parametric | None) -> Mapping[str, Graph]:
    """The threads without a change, if the scenario has any there."""
    return {} if made is None else made.software.graphs


def in_a_proof(
    made: Parametric, code: Code, properties: Iterable[Property], files: Files, shipped: Files | None = None
) -> tuple[Waiver, ...]:
    """The waivers on which an argument for every size leans; `shipped` are the files without the change, if there is one."""
    before = None
    if shipped is not None:
        with suppress(InputError, Refusal):  # where the change brings the flow itself there is nothing to compare with
            before = before_change(parametric(made.scenario, code_for(made.scenario, None, shipped)))
        before = before or before_change(None)
    return leaned_on(waivers_in(made, code, files, before), made, properties)


def leaned_on(found: Iterable[Waiver], made: Model | Parametric, properties: Iterable[Property]) -> tuple[Waiver, ...]:
    """Those on which an answer to these properties leans."""
    several = tuple(found)
    if not several:
        return ()
    goals = [GOALS[name] for name in made.scenario.goals if name in GOALS]
    asked = [term for prop in properties for term in (prop.holds, prop.premise)]
    return leaning(several, made.system, [*asked, *goals])
