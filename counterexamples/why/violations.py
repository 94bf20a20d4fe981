"""Which instances of a property are false in a state: what a reader asks first, and what the pictures mark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ...core.evaluation.evaluate import Evaluator, State
from ...core.sorts import StateVar
from ...model.scene import Scene
from ...model.system import Model
from ...model.view.naming import cell
from ...properties import REGISTRY
from ...properties.registered import Statement
from ..schema import Instance, Value


@dataclass(frozen=True)
class Judged:
    """A state of a model, in which terms can be evaluated."""

    model: Model
    evaluator: Evaluator
    state: State


def false_instances(prop: str, sentence: str, scene: Scene, judged: Judged | None = None) -> tuple[Instance, ...]:
    """The false instances of the property called `prop`; one that nobody finds an instance of is said to be false as a whole.

    Args:
        judged: the state of which `scene` is the telling; without it no term can be evaluated.
    """
    known = REGISTRY.get(prop)
    found = known.find(scene) if known is not None and known.find is not None else ()
    instances = tuple(Instance(wrong.sentence, dict(wrong.at), wrong.cells) for wrong in found)
    if not instances and known is not None and known.statements is not None and judged is not None:
        instances = tuple(_false_ones(known.statements(judged.model), judged))
    return instances or (Instance(f"here it is false that: {sentence}"),)


def _false_ones(statements: Iterable[Statement], judged: Judged) -> Iterator[Instance]:
    """The statements that are false, each with the cells of which another value would make it true."""
    told = set()
    for statement in statements:
        test = judged.evaluator.compile(statement.holds)
        if test(judged.state) or statement.sentence in told:
            continue
        told.add(statement.sentence)
        var, called = statement.shown_by
        at_fault = [at for at, others in _otherwise(var, judged) if any(test(other) for other in others)]
        named: dict[str, Value] = {called: at_fault[0][0]} if at_fault and at_fault[0] else {}
        yield Instance(statement.sentence, named, tuple(cell(var, *at) for at in at_fault))


def _otherwise(var: StateVar, judged: Judged) -> Iterator[tuple[tuple[int, ...], list[State]]]:
    """Each place of a variable, with the states that differ from this one there alone."""
    state, geometry = judged.state, judged.model.geometry
    for number, own in enumerate(judged.evaluator.layout.cells):
        if own.var.name == var.name:
            values = (value for value in range(geometry.size(var.kind)) if value != state[number])
            yield own.index, [(*state[:number], value, *state[number + 1 :]) for value in values]
