"""A concrete interpreter of the control-flow graph: one thread, plain values, node by node.

It shares nothing with the making of atomic steps but the graph and the evaluation of terms, and so says whether those are right.
The tests compare the steps with it; nothing else runs it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import z3

from ...core.errors import ModelError
from ...core.evaluation.evaluate import Evaluator, State
from ...core.shape import identity, shape, subterms
from ...core.sorts import Kind
from ...core.system import Action, Param, truth
from ..lowering.cfg import THREADS, Branch, Graph, Havoc, Nop, Op, Refuse, Set

_numbers = itertools.count()
"""An evaluator remembers actions by their names, so no two interpreters may share any."""

Choices = Mapping[str, int]
"""Values of choices, by the choice's name; `Havoc` chooses for `path@node`."""


@dataclass(frozen=True, slots=True)
class Config:
    """Where a thread is: shared state, node, the locals that have a value, and the assertions found false so far."""

    state: State
    node: int
    locals: Mapping[str, int]
    failed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Run:
    """Some nodes executed one after the other: `config` is where that led, `ops` the operations with their effects' numbers."""

    config: Config
    nodes: tuple[int, ...] = ()
    ops: tuple[tuple[int, int], ...] = ()


class Interpreter:
    """Executes one thread of `graph`.

    Args:
        evaluator: evaluates terms over the shared state; its system declares all that the graph speaks of.
        thread: the thread's number.
    """

    def __init__(self, graph: Graph, evaluator: Evaluator, thread: int) -> None:
        self.graph = graph
        self._number = next(_numbers)
        self._evaluator = evaluator
        self._thread = thread
        self._params = {"t": Param("t", THREADS)} | {f"%{path}": Param(f"%{path}", x.kind) for path, x in graph.locals.items()}
        self._compiled: dict[int, tuple[z3.ExprRef, tuple[str, ...], Callable[..., int]]] = {}
        self._actions: dict[tuple[int, int], tuple[Action, tuple[str, ...]]] = {}

    def successors(self, config: Config, rests: Callable[[Run], bool]) -> Iterator[Run]:
        """Every run from `config` to the first place where the thread `rests`, at least one node away.

        Raises:
            Refusal: a call without a meaning is reached.
        """
        todo = [Run(config)]
        while todo:
            run = todo.pop()
            for way in self._steps(run):
                if way.config.node < 0 or rests(way):
                    yield way
                else:
                    todo.append(way)

    def run_path(self, config: Config, nodes: Sequence[int], effects: Sequence[tuple[int, int]], choices: Choices) -> Config | None:
        """Execute exactly `nodes`, with these effects of the operations among them; None if that is not possible from here.

        A choice without a value may be any, so it is the first.
        """
        which = dict(effects)
        for node in nodes:
            if config.node != node:
                return None
            found = self.execute(config, which.get(node, 0), choices)
            if found is None:
                return None
            config = found
        return config

    def execute(self, config: Config, which: int, choices: Choices) -> Config | None:
        """Execute the node where `config` is; None if the effect number `which` of an operation may not happen."""
        node = self.graph.nodes[config.node]
        match node:
            case Nop():
                return Config(config.state, node.next, config.locals, config.failed)
            case Set(values=values):
                new = {local.path: self._value(value, config, {}) for local, value in values.items()}
                return Config(config.state, node.next, {**config.locals, **new}, config.failed)
            case Havoc(locals=held):
                new = {local.path: choices.get(f"{local.path}@{config.node}", 0) for local in held}
                return Config(config.state, node.next, {**config.locals, **new}, config.failed)
            case Branch(condition=condition):
                way = node.next if self._value(condition, config, {}) else node.other
                return Config(config.state, way, config.locals, config.failed)
            case Op():
                return self._operate(node, which, config, choices)
            case Refuse(refusal=refusal):
                raise refusal if refusal is not None else ModelError(f"{node.what} is reached at {node.at}")
            case _:
                raise AssertionError(f"unknown kind of node {node}")

    def _operate(self, node: Op, which: int, config: Config, choices: Choices) -> Config | None:
        effect, answers = node.effects[which], node.results[which]
        chosen = {choice.name: choices.get(choice.name, 0) for choice in effect.choices}
        if not self._value(effect.guard, config, chosen):
            return None
        failed = {f"{check.label} at {node.at}" for check in effect.checks if not self._value(check.holds, config, chosen)}
        new = {local.path: self._value(value, config, chosen) for local, value in answers.items()}
        state = self._update(node, which, config, chosen)
        return Config(state, node.after(which), {**config.locals, **new}, config.failed | failed)

    def _steps(self, run: Run) -> Iterator[Run]:
        """Every way of executing the next node."""
        config = run.config
        node = self.graph.nodes[config.node]
        kinds: dict[str, Kind] = {}
        ways = [(0, kinds)]
        if isinstance(node, Havoc):
            kinds.update({f"{local.path}@{config.node}": local.kind for local in node.locals})
        elif isinstance(node, Op):
            ways = [(which, {c.name: c.kind for c in effect.choices}) for which, effect in enumerate(node.effects)]
        for which, wanted in ways:
            ranges = [range(self._evaluator.geometry.size(kind)) for kind in wanted.values()]
            for values in itertools.product(*ranges):
                after = self.execute(config, which, dict(zip(wanted, values, strict=True)))
                if after is not None:
                    ops = (*run.ops, (config.node, which)) if isinstance(node, Op) else run.ops
                    yield Run(after, (*run.nodes, config.node), ops)

    # Terms

    def _value(self, term: z3.ExprRef, config: Config, chosen: Choices) -> int:
        key = identity(term)
        if key not in self._compiled:
            names = tuple(self._names(term, chosen))
            params = [self._param(name) for name in names]
            self._compiled[key] = (term, names, self._evaluator.compile(term, params))
        _, names, function = self._compiled[key]
        return int(function(config.state, *(self._plain(name, config, chosen) for name in names)))

    def _update(self, node: Op, which: int, config: Config, chosen: Choices) -> State:
        key = (node.number, which)
        if key not in self._actions:
            updates = node.effects[which].updates
            names = tuple(dict.fromkeys(name for u in updates for name in self._names(u.value, chosen)))
            kinds = {c.name: c for c in node.effects[which].choices}
            params = tuple(kinds.get(name) or self._params[name] for name in names)
            self._actions[key] = (Action(f"{self._number}:{node.number}:{which}", "", params, truth(True), updates), names)
        action, names = self._actions[key]
        return self._evaluator.after(action, [self._plain(name, config, chosen) for name in names], config.state)

    def _names(self, term: z3.ExprRef, chosen: Choices) -> Iterator[str]:
        """The thread, locals and choices that a term mentions."""
        for part in subterms(term):
            seen = shape(part)
            if seen.operator == z3.Z3_OP_UNINTERPRETED and not seen.children:
                name = part.decl().name()
                if name in self._params or name in chosen:
                    yield name

    def _param(self, name: str) -> Param:
        if name in self._params:
            return self._params[name]
        kinds = {c.name: c for n in self.graph.nodes if isinstance(n, Op) for e in n.effects for c in e.choices}
        return kinds[name]

    def _plain(self, name: str, config: Config, chosen: Choices) -> int:
        if name == "t":
            return self._thread
        if name in chosen:
            return chosen[name]
        path = name.removeprefix("%")
        if path not in config.locals:
            raise ModelError(f"{self.graph.role} reads its local {path} at {self.graph.nodes[config.node].at} before it has a value")
        return config.locals[path]
