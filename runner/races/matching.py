"""Which steps of a model are what a column says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ...checker.states.ordered import Flags, Graph
from ...core.evaluation.evaluate import Move, State
from ...core.system import Source
from ...counterexamples.document import Teller
from ...counterexamples.schema import Step
from ...model.machine import parts
from ...model.machine.sorts import PT, REGION, ROOT
from ...model.system import Model
from .reading import Meaning, squeezed

_GFNS = re.compile(r"\bgfn (\d+)(?:-(\d+))?")
_PLACES = (ROOT, REGION, PT)
"""What cells hold that say where tables hang: the words for an entry depend on them."""


@dataclass(frozen=True)
class _Passed:
    """A node of kernel C that a step passes: what was called to get there, and what it is."""

    stack: tuple[str, ...]
    at: Source
    operation: str


@dataclass(frozen=True)
class Things:
    """What the words of a diagram stand for in a model.

    Args:
        gfns: each of its names for gfns.
        one: where it speaks of one root, or one table, which one that is; missing where it speaks of several, or there is only one.
    """

    gfns: Mapping[str, int]
    one: Mapping[str, int]


class Matcher:
    """Finds steps of one explored model.

    Args:
        model: of which no steps were merged, so that each operation is a step.
    """

    def __init__(self, model: Model, graph: Graph) -> None:
        self._model, self.graph = model, graph
        self.teller = Teller(model, graph.evaluator)
        self._passed = {name: tuple(self._nodes(name)) for name in model.software.steps}
        self._told: dict[object, Step] = {}
        layout = graph.evaluator.layout
        self._shape = [place for place, cell in enumerate(layout.cells) if cell.var.kind in _PLACES]
        own = {var.name for var in model.software.state}
        self._own = {place: None for place, cell in enumerate(layout.cells) if cell.var.name in own}
        entries = {each.kind.name for each in parts.entries()}
        self._writes = {a.name for a in model.system.actions if any(u.var.name in entries for u in a.updates)}

    def _nodes(self, action: str) -> Iterator[_Passed]:
        software = self._model.software
        step = software.steps[action]
        nodes = software.graphs[step.role].nodes
        for number in (*step.nodes, step.end):
            node = nodes[number]
            yield _Passed(node.stack if number != software.graphs[step.role].exit else (), node.at, getattr(node, "name", ""))

    def thread_of(self, move: Move) -> int | None:
        """Whose step a move is, by the number of the thread; None if it is the machine's."""
        return move.arguments[0] if move.action.name in self._passed else None

    def steps(self, meaning: Meaning, thread: int | None, begins: bool, things: Things) -> Flags:
        """The steps that are meant.

        Args:
            thread: whose column it is; None if it is the machine's.
            begins: a function is meant when it is entered, since what it does stands below it; else when it has come to its end.
            things: what the text speaks of.
        """
        graph = self.graph
        fits = np.array([self._fits(move, meaning, thread, begins) for move in graph.ranked], np.bool_)
        found: Flags = fits[graph.moves]
        if not meaning.inside and (meaning.effect or meaning.gfns or things.one):
            pattern = re.compile(meaning.effect)
            gfns = {things.gfns[name] for name in meaning.gfns}
            for edge in np.flatnonzero(found).tolist():
                found[edge] = _does(self.told(edge), pattern, gfns, things.one)
        return found

    def starts_inside(self, meaning: Meaning, thread: int | None) -> bool:
        """Whether a column says no more than what its thread is there for: it begins inside of that function."""
        if thread is None or not meaning.inside:
            return False
        entries = [each.entry for each in self._model.scenario.thread for _ in range(each.count)]
        return entries[thread] in meaning.inside

    def _fits(self, move: Move, meaning: Meaning, thread: int | None, begins: bool) -> bool:
        name = move.action.name
        if name not in self._passed:
            return name in meaning.actions
        if move.arguments[0] != thread:
            return False
        passed = self._passed[name]
        done = passed[:-1]
        if meaning.source and not any(str(each.at) == meaning.source for each in done):
            return False
        if meaning.calls:
            return any(each.operation in meaning.calls for each in done)
        if meaning.inside:
            return any(_crosses(passed, name, begins) for name in meaning.inside)
        if meaning.statement:
            return any(meaning.statement in squeezed(each.at.text) for each in done)
        if meaning.effect:
            return name in self._writes
        return bool(meaning.source)

    def told(self, edge: int) -> Step:
        """A step in words. Steps of one move that change the same cells, where tables hang alike, are told alike, and told once.

        What a step reads it knows from its thread's own cells, which count where it changes nothing else.
        """
        graph = self.graph
        number = int(graph.moves[edge])
        states = graph.state(int(graph.before[edge])), graph.state(int(graph.after[edge]))
        changed = tuple((place, a, b) for place, (a, b) in enumerate(zip(*states, strict=True)) if a != b)
        own = () if any(place not in self._own for place, _, _ in changed) else tuple(states[0][place] for place in self._own)
        key = number, changed, tuple(states[0][place] for place in self._shape), own
        if key not in self._told:
            self._told[key] = self.tell(graph.ranked[number], states)
        return self._told[key]

    def tell(self, move: Move, states: tuple[State, State]) -> Step:
        """A step in words."""
        scenes = self.teller.scene(states[0]), self.teller.scene(states[1])
        return self.teller.step(0, move.action, move.arguments, states, scenes)


def _does(step: Step, pattern: re.Pattern[str], gfns: set[int], one: Mapping[str, int]) -> bool:
    """Whether a step has an effect, on these gfns, and on the one root and table of which the text speaks."""
    if pattern.pattern and not any(pattern.search(effect) for effect in step.effects):
        return False
    said = " ".join((step.label, *step.effects))
    named = {n for first, last in _GFNS.findall(said) for n in range(int(first), int(last or first) + 1)}
    if gfns and named and not gfns <= named:
        return False
    others = {thing: {int(n) for n in re.findall(rf"\b{thing} (\d+)", said)} for thing in one}
    return all(not numbers or one[thing] in numbers for thing, numbers in others.items())


def _crosses(passed: Sequence[_Passed], function: str, begins: bool) -> bool:
    """Whether a step enters a function, or comes to its end."""
    inside = [function in each.stack for each in passed]
    return any(now != after and after == begins for now, after in pairwise(inside))


__all__ = ["Matcher"]
