"""Why a step does not come: where its thread stands meanwhile, and what it waits for or finds otherwise there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ...checker.states.ordered import Flags, Graph, Stage
from ...core.evaluation.evaluate import Move
from ...core.evaluation.guards import CELLS, refusal
from ...kernelc.stepping.steps import PathStep
from ...model.system import Model

TOLD = 3
"""At most so many places are told."""


def obstacles(model: Model, graph: Graph, stage: Stage, wanted: Flags) -> tuple[str, ...]:
    """What stands in the way of all `wanted` steps, in the states of a stage from which none of them is possible.

    Args:
        wanted: steps of one thread, or of the machine.
    """
    steps = model.software.steps
    moves = [graph.ranked[number] for number in np.unique(graph.moves[wanted]).tolist()]
    names = {move.action.name for move in moves}
    threads = {move.arguments[0] for move in moves if move.action.name in steps}
    if len(threads) != 1:
        return tuple(_waiting(graph, stage, names, None))
    (thread,) = threads
    there = _places(model, graph, stage, thread)
    (role,) = {steps[name].role for name in names if name in steps}
    distance = _distances(model, role, names)
    possible = {graph.ranked[move].action.name for move in np.unique(graph.moves[stage.reached[graph.before]]).tolist()}
    at_start = {name for name, step in steps.items() if step.role == role and step.start in there and name in distance}
    blocked = sorted(at_start - possible, key=lambda name: (distance[name], name))
    going = [step for name, step in steps.items() if name in possible and step.role == role]
    if not at_start:
        return (f"{model.roles[thread]} is past it by then: it stands where no such step follows",)
    nearest = [name for name in blocked if distance[name] == distance[blocked[0]]]
    if not nearest:
        return (f"{model.roles[thread]} takes such a step then, but what that does is something else",)
    return tuple(_waiting(graph, stage, set(nearest), there, {name: steps[name].start for name in nearest}, thread, going))


def _places(model: Model, graph: Graph, stage: Stage, thread: int) -> Mapping[int, Flags]:
    """The nodes at which a thread rests in a stage, each with the states."""
    software = model.software
    layout = graph.evaluator.layout
    place = layout.offset[software.pc.name] + thread
    reached = np.flatnonzero(stage.reached)
    rows = graph.layers.states([graph.packed[number] for number in reached.tolist()])
    here = np.array([state[place] for state in rows])
    found = {}
    for index in np.unique(here).tolist():
        location = software.locations[index]
        if location.role == model.roles[thread]:
            found[location.node] = reached[here == index]
    return found


def _distances(model: Model, role: str, wanted: set[str]) -> dict[str, int]:
    """How many steps of the program lie between each of its steps and a wanted one, by the names of actions."""
    steps = {name: step for name, step in model.software.steps.items() if step.role == role}
    found = {name: 0 for name in wanted if name in steps}
    layer = set(found)
    while layer:
        starts = {steps[name].start for name in layer}
        near = max(found[name] for name in layer)
        layer = {name for name, step in steps.items() if step.end in starts and name not in found}
        found |= dict.fromkeys(layer, near + 1)
    return found


def _waiting(
    graph: Graph,
    stage: Stage,
    names: set[str],
    there: Mapping[int, Flags] | None,
    starts: Mapping[str, int] | None = None,
    thread: int | None = None,
    going: Sequence[PathStep] = (),
) -> Iterator[str]:
    """For each action the nearest state in which it does not fire, and why."""
    moves: dict[str, Move] = {}
    for move in graph.ranked:
        if move.action.name in names and (thread is None or move.arguments[0] == thread):
            moves.setdefault(move.action.name, move)
    reasons: dict[str, None] = {}
    for name in sorted(names & moves.keys()):
        states = np.flatnonzero(stage.reached) if there is None or starts is None else there[starts[name]]
        nearest = int(states[np.argmin(stage.distance[states])])
        why = refusal(graph.evaluator, moves[name].action, moves[name].arguments, graph.state(nearest))
        source = moves[name].action.source
        where = f"{source[-1]} `{source[-1].text}`" if source else moves[name].action.name
        other = starts is not None and any(starts[name] == step.start for step in going)
        actor = f"{moves[name].action.actor} {'goes another way' if other else 'cannot go on'} at {where}"
        count = f"in {'the one state' if len(states) == 1 else f'all {len(states)} states'} in which it gets there"
        found = "it comes out otherwise" if why is None else ", ".join(_shared(why.sees)) or why.needs
        reasons[f"{actor} {count}: {found}"] = None
    yield from list(reasons)[:TOLD]


def _shared(cells: Sequence[str]) -> Sequence[str]:
    """Without the thread's own cells, if others are named: a reader can look those up."""
    return [cell for cell in cells if "." not in cell.partition("[")[0]][:CELLS] or cells[:CELLS]


__all__ = ["obstacles"]
