"""The atomic steps against the interpreter: what the compiled system can do is what executing the graph node by node can do."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import z3

from tdpcheck.core.evaluation.evaluate import State
from tdpcheck.examples.toy_kernel import Built, toy
from tdpcheck.kernelc.lowering.analyse import live_locals
from tdpcheck.kernelc.lowering.cfg import Graph, Nop, Op
from tdpcheck.kernelc.stepping.interpret import Config, Interpreter, Run
from tdpcheck.kernelc.stepping.joined import JoinedPaths
from tdpcheck.tests.few import few

TEXT = (Path(__file__).parents[1] / "programs.c").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^(?!static)\w+ (\w+)\(", TEXT, re.MULTILINE)


@cache
def build(name: str, *, merge: bool = True, pokes: bool = False) -> Built:
    """Two threads that run the program of that name."""
    return toy.build(TEXT, (name,), (name, name), merge=merge, pokes=pokes)


# The quick tests try every other program in big steps, and some in the three other ways.
WAYS = [
    pytest.param(
        name,
        merge,
        pokes,
        id=f"{name}-{'merged' if merge else 'single'}{'-poked' if pokes else ''}",
        marks=[pytest.mark.slow] if (number % 12 != way - 1 if way else number % 2) else [],
    )
    for number, name in enumerate(PROGRAMS)
    for way, (merge, pokes) in enumerate(((True, False), (True, True), (False, False), (False, True)))
]


@dataclass
class Lockstep:
    """One run of the compiled system with an interpreter beside each thread, which keeps that thread's locals."""

    built: Built
    merge: bool
    pokes: bool

    def __post_init__(self) -> None:
        built = self.built
        self.layout = built.evaluator.layout
        self.interpreters = [Interpreter(built.software.graphs[r], built.evaluator, t) for t, r in enumerate(built.threads)]
        self.locals: list[dict[str, int]] = [{} for _ in built.threads]
        self.places = {x.index: x.node for x in built.software.locations}
        self.numbers = {(x.role, x.node): x.index for x in built.software.locations}
        self.live = {role: live_locals(graph) for role, graph in built.software.graphs.items()}
        self.moves = list(built.evaluator.moves())

    def config(self, thread: int, state: State) -> Config:
        return Config(state, self.places[self.layout.value(state, "pc", thread)], self.locals[thread])

    def whole(self, thread: int, config: Config) -> State:
        """The system's state that a configuration of one thread stands for; the locals that no longer matter are at their default."""
        software, role = self.built.software, self.built.threads[thread]
        after = list(config.state)
        after[self.layout.offset["pc"] + thread] = self.numbers[role, config.node]
        live = set() if config.node == software.graphs[role].exit else {x.path for x in self.live[role][config.node]}
        for (owner, path), var in software.local_vars.items():
            if owner == role:
                after[self.layout.offset[var.name] + thread] = config.locals[path] if path in live else 0
        for label in config.failed:
            after[self.layout.offset["assertion_failed"] + software.assertions.index(label)] = 1
        return tuple(after)

    def interpreted(self, thread: int, state: State) -> set[State]:
        config = self.config(thread, state)
        if config.node == self.built.software.graphs[self.built.threads[thread]].exit:
            return set()
        runs = self.interpreters[thread].successors(config, self.rests(thread, config.node))
        return {self.whole(thread, run.config) for run in runs}

    def rests(self, thread: int, start: int) -> Callable[[Run], bool]:
        """Where a step ends, said once more and of plain runs."""
        graph = self.built.software.graphs[self.built.threads[thread]]

        def mover(number: int, state: State) -> str:
            node = graph.nodes[number]
            assert isinstance(node, Op)
            locked = self.layout.value(state, "writer", thread) == 1
            guarded = node.reads == ("mem",) and not node.writes and not self.pokes and self.under_lock
            return "local" if node.mover == "none" and guarded and locked else node.mover

        def rests(run: Run) -> bool:
            node = graph.nodes[run.config.node]
            if run.config.node == graph.exit or run.nodes.count(run.config.node) > isinstance(node, Nop):
                return True
            if not isinstance(node, Op) or not run.ops:
                return False
            if not self.merge:
                return True
            kinds = [mover(number, run.config.state) for number, _ in run.ops]
            now = mover(run.config.node, run.config.state)
            blocks = node.mover in ("right", "wait") and not any(z3.is_true(e.guard) for e in node.effects)
            if blocks and any(e.checks for n, which in run.ops for e in [graph.nodes[n].effects[which]]):  # type: ignore[attr-defined]
                return True
            if now in ("local", "left"):
                return False
            return any(k != "local" for k in kinds) if now == "wait" else bool({"none", "left"} & set(kinds))

        return rests

    under_lock = False

    def step(self, state: State, rng: random.Random) -> State | None:
        """Compare all that can happen here, then let one thing happen."""
        for thread in range(len(self.built.threads)):
            moves = [m for m in self.moves if m.action.name in self.built.software.steps and m.arguments[0] == thread and m.guard(state)]
            assert self.interpreted(thread, state) == {m.apply(state) for m in moves}
        enabled = [m for m in self.moves if m.guard(state)]
        if not enabled:
            return None
        software = [m for m in enabled if m.action.name in self.built.software.steps]
        move = rng.choice(software if software and rng.random() < 0.9 else enabled)
        after = move.apply(state)
        path = self.built.software.steps.get(move.action.name)
        if path is not None:
            thread = move.arguments[0]
            choices = dict(zip((p.name for p in move.action.params), move.arguments, strict=True))
            config = self.interpreters[thread].run_path(self.config(thread, state), path.nodes, path.effects, choices)
            assert config is not None
            assert after == self.whole(thread, config)
            self.locals[thread] = dict(config.locals)
        return after


UNDER_LOCK = ("locks_in_a_loop", "locals_across_locked_regions")
"""Programs that write memory under the lock alone: with it, their reads are local."""


@pytest.mark.parametrize(("name", "merge", "pokes"), WAYS)
def test_every_step_is_what_the_interpreter_does(name: str, merge: bool, pokes: bool) -> None:
    """On random schedules of two threads, the steps that can be taken and what they do agree with plain execution."""
    built = build(name, merge=merge, pokes=pokes)
    rng = random.Random(name)
    steps = 0
    for _ in range(6):
        run = Lockstep(built, merge, pokes)
        run.under_lock = name in UNDER_LOCK
        state: State | None = built.evaluator.random_initial(rng)
        while state is not None and steps < 240:
            state = run.step(state, rng)
            steps += 1
            if steps % 40 == 0:
                break

    assert steps > 12


def _final(built: Built) -> set[tuple[tuple[int, ...], frozenset[str]]]:
    """Memory, locks and failed assertions in all reachable states in which both threads are done."""
    layout = built.evaluator.layout
    start = next(built.evaluator.initial())
    seen, todo, final = {start}, [start], set()
    moves = list(built.evaluator.moves())
    done = {x.index for x in built.software.locations if x.name.endswith(":done")}
    failed = {layout.offset["assertion_failed"] + i: label for i, label in enumerate(built.software.assertions)}
    while todo:
        state = todo.pop()
        if all(layout.value(state, "pc", t) in done for t in range(len(built.threads))):
            final.add((toy.shared(built, state), frozenset(label for i, label in failed.items() if state[i])))
        for move in moves:
            if move.guard(state):
                after = move.apply(state)
                if after not in seen:
                    seen.add(after)
                    todo.append(after)
    return final


OUTCOMES = {
    "goto_retry": 4,
    "reads_under_the_lock": 14,
    "waiting": 16,
    "locks_in_a_loop": 2,
    "assertions": 4,
    "aliases": 2,
    "compound_assignment": 4,
    "locals_across_locked_regions": 4,
}


@pytest.mark.parametrize(("name", "outcomes"), OUTCOMES.items())
def test_merging_steps_loses_no_outcome(name: str, outcomes: int) -> None:
    """Whatever two threads can leave behind in small steps they can leave behind in big ones, and nothing more."""
    merged, single = (build(name, merge=merge) for merge in (True, False))
    small, big = _final(single), _final(merged)

    assert len(merged.software.locations) <= len(single.software.locations)
    assert outcomes == len(small)
    assert small == big


@pytest.mark.parametrize("name", few(PROGRAMS, 4))
def test_joining_paths_loses_no_outcome(name: str) -> None:
    """A step that stands for several ways through local code leaves behind what one of them would, and nothing else."""
    single, joined = build(name), toy.build(TEXT, (name,), (name, name), paths=JoinedPaths)

    assert _final(single) == _final(joined)
    assert len(joined.software.actions) <= len(single.software.actions)


def _outcomes(built: Built, graph: Graph, state: State) -> set[tuple[State, frozenset[str], tuple[str, ...]]]:
    """How one thread alone can end, and which operations it executed on the way; long runs are left out."""
    interpreter = Interpreter(graph, built.evaluator, 0)
    found: set[tuple[State, frozenset[str], tuple[str, ...]]] = set()
    todo: list[tuple[Config, tuple[str, ...]]] = [(Config(state, graph.entry, {}), ())]
    while todo:
        config, trail = todo.pop()
        if config.node == graph.exit:
            found.add((config.state, config.failed, trail))
            continue
        for run in interpreter.successors(config, lambda run: True):
            node = graph.nodes[config.node]
            longer = (*trail, f"{node.name} {run.ops[0][1]}") if isinstance(node, Op) and node.name not in ("index", "unset") else trail
            if len(longer) < 16:
                todo.append((run.config, longer))
    return found


@pytest.mark.parametrize("name", few(PROGRAMS, 3))
def test_folding_constants_changes_nothing_that_a_thread_does(name: str) -> None:
    """A graph whose branches were decided, and whose edges were led past them, has the same runs as the graph as it was lowered."""
    built = build(name)
    start = built.evaluator.start({"dirty[0]": 1, "mem[0]": 1, "mem[1]": 2})
    folded = _outcomes(built, built.software.graphs[name], start)

    assert folded
    assert _outcomes(built, built.graphs[name], start) == folded
