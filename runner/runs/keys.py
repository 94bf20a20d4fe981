"""The cache's questions of a plan: everything that each answer rests on, known before a model is built."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ...core.system import Property
from ...model.system import digest_of
from ..inputs.changes import touched
from ..inputs.sources import code_for
from ..inputs.terms import property_in, property_names
from ..names import choose
from .cache import question
from .plan import Plan


def lookups(plan: Plan, place: int) -> Iterator[tuple[int, str, str]]:
    """The questions of one scenario: the number of the version, the property, and what its answer rests on as text.

    Raises:
        InputError: the scenario cannot be run on this code, or there is no such property.
        Refusal: a file that is no C.
    """
    scenario = plan.scenarios[place]
    choose(plan.asked_in(scenario), property_names(), "property", f"scenario {scenario.name}")
    for number, version in enumerate(plan.versions):
        own = version.scenario(scenario)
        code = code_for(own, plan.kernel, version.files).at(own)
        model = digest_of(own, code)
        # A version is seen beside the one before it: what it need not answer for depends on that.
        marks = {file: sorted(lines) for file, lines in touched(plan.versions, number).items()}
        more = {"marks": marks, "after a change": number > 0, "unreachable": msgspec.to_builtins(own.unreachable)}
        for name in plan.asked_in(scenario):
            prop = property_in(own, name)
            asked = name if prop is None else to_the_letter(prop)
            yield number, name, question(model, asked, plan.limits, plan.engines, more)


def to_the_letter(prop: Property) -> str:
    """A property with its premise and its argument, as text."""
    lemmas = [(lemma.name, lemma.holds.sexpr()) for lemma in prop.lemmas]
    return repr((prop.name, prop.sentence, prop.holds.sexpr(), prop.premise.sexpr(), lemmas))
