"""From a verdict to its document, and from a stored document back to a run of today's model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from msgspec import structs

from ..core.errors import EngineError
from ..core.evaluation.evaluate import Evaluator, Layout, State
from ..core.sorts import Kind, Sort, Truth
from ..core.system import Action, Property, truth
from ..core.trace import Misfit, Step, Trace, misfit, replays, run
from ..core.verdict import Violated
from ..model.machine import parts
from ..model.machine.sorts import ROOT
from ..model.scene import Scene
from ..model.system import Model
from ..model.view.assertions import ASSERTIONS, FAILED
from ..model.view.naming import split_cell
from . import effects, schema
from .schema import SCHEMA, Cex, Value, file_name, load, write
from .why import causes, explanation, missing_flush
from .why.schedule import EXPANDED, Schedule, Scheduler
from .why.violations import Judged, false_instances


def from_verdict(
    model: Model,
    prop: Property,
    verdict: Violated,
    change: str | None = None,
    *,
    goals: Mapping[str, int | None] | None = None,
    repairs: Sequence[schema.Repair] = (),
    budget: int = EXPANDED,
) -> Cex:
    """The document of a violation, with its causes, its near miss and what it rests on.

    Args:
        change: names the patch or edit under which `model` was built.
        goals: the depth at which each goal of the scenario is reached.
        repairs: edits of the kernel C that were verified.
        budget: how many states each search for causes may look into; 0 for a document without causes.

    Raises:
        EngineError: the run does not replay, or does not violate `prop`. No report is made of such a run.
    """
    trace = verdict.trace
    if not replays(trace, prop):
        raise EngineError(
            f"{verdict.engine} gave a run of {model.scenario.name} that does not replay as a violation of {prop.name}; please report this"
        )
    evaluator = Evaluator(trace.system, trace.geometry)
    teller = Teller(model, evaluator)
    steps = teller.steps(trace)
    end = trace.states[-1]
    violation = false_instances(prop.name, prop.sentence, teller.scene(end), Judged(model, evaluator, end))
    cex = teller.told(prop, trace.initial, steps, violation, engine=verdict.engine, shortest=verdict.shortest, change=change)
    confidence = schema.Confidence(True, tuple(verdict.engine.split(", ")), {n: d for n, d in (goals or {}).items() if d is not None})
    cex = structs.replace(cex, repairs=tuple(repairs), confidence=confidence)
    if not budget:
        return cex
    scheduler = Scheduler(model, trace, prop, [step.actor for step in steps], evaluator)
    found = causes.find(scheduler, budget)
    gap = missing_flush.find(scheduler, violation, [teller.scene(state) for state in trace.states], evaluator)
    return explanation.explained(cex, scheduler, found, gap, lambda schedule: teller.turns(schedule, evaluator, trace.initial, cex))


def actor_of(model: Model, action: Action, arguments: Sequence[int]) -> tuple[str, bool]:
    """Who makes a move, by name, and whether that is a part of the machine."""
    if any(a is action or a.name == action.name for a in model.software.actions):
        return _threads(model)[arguments[0]], False
    for param, value in zip(action.params, arguments, strict=True):
        if isinstance(param.kind, Sort) and param.kind.name.lower() == action.actor:
            return f"{action.actor} {value}", True
    return action.actor, True


def to_trace(cex: Cex, model: Model, evaluator: Evaluator | None = None) -> Trace:
    """The stored run as a trace of `model`, which may be younger than the document; `core.trace.misfit` says whether it still fits.

    What the document says in words that `model` does not know (a cell that is gone, a place in code that moved) is what the model
    computes there; if the document claims to be of this very model, it must know every word.
    """
    evaluator = evaluator or Evaluator(model.system, model.geometry)
    layout, same = evaluator.layout, cex.model == model.digest
    actions = {a.name: a for a in model.system.actions}
    known = schema.states(cex)
    first = evaluator.first(_numbers(layout, known[0], same))
    state, steps, lost = first, [], False
    for step, values in zip(cex.steps, known[1:], strict=True):
        action = actions.get(step.action) or Action(step.action, step.actor, (), truth(False), ())
        arguments = _arguments(action, step.arguments)
        lost = lost or step.action not in actions or -1 in arguments
        computed = state if lost else evaluator.after(action, arguments, state)
        told = _numbers(layout, values, same)
        state = tuple(told.get(cell.name, value) for cell, value in zip(layout.cells, computed, strict=True))
        steps.append(Step(action, arguments, state))
    return Trace(model.system, model.geometry, first, tuple(steps))


def replay(cex: Cex, model: Model, prop: Property) -> Misfit | None:
    """Run the stored schedule on `model` without a solver: None if it is still a run that violates `prop`, else where it fails and why.

    Whether the property holds at its end is judged here: of a document in which nothing is violated it must, of any other it must not.
    """
    if dict(model.geometry.sizes) != cex.sizes:
        return Misfit(0, f"the run is of another size ({cex.sizes}); the scenario has {dict(model.geometry.sizes)}")
    evaluator = Evaluator(model.system, model.geometry)
    unknown = [c.name for c in evaluator.layout.cells if c.name not in cex.initial]
    if cex.model == model.digest and (unknown or len(cex.initial) != len(evaluator.layout.cells)):
        return Misfit(0, f"the document has other cells than the model of which it claims to be{': ' + unknown[0] if unknown else ''}")
    trace = to_trace(cex, model, evaluator)
    found = misfit(trace, evaluator)
    if found is not None:
        return found
    match bool(cex.violation), bool(evaluator.holds(prop.holds, trace.states[-1])):
        case True, True:
            return Misfit(trace.depth, f"the run still fits, but {prop.name} holds at its end")
        case False, False:
            return Misfit(
                trace.depth, f"the run fits and ends in a violation of {prop.name}, but the document says that nothing is violated"
            )
        case _:
            return None


def _threads(model: Model) -> tuple[str, ...]:
    """What each thread is called: its role, numbered where several share it."""
    roles = model.roles
    seen: dict[str, int] = {}
    result = []
    for role in roles:
        seen[role] = seen.get(role, -1) + 1
        result.append(role if roles.count(role) == 1 else f"{role} {seen[role]}")
    return tuple(result)


def _actors(model: Model, threads: tuple[str, ...], acting: tuple[str, ...]) -> tuple[schema.Actor, ...]:
    """The threads, whether they act or not, and the parts of the machine that do."""
    entries = [t.entry for t in model.scenario.thread for _ in range(t.count)]
    own = [schema.Actor(name, "thread", entry) for name, entry in zip(threads, entries, strict=True)]
    order = {actor.kind: number for number, actor in enumerate(parts.actors())}
    others = sorted((n for n in acting if n not in threads), key=lambda n: (order.get(n.partition(" ")[0], len(order)), n))
    return (*own, *(schema.Actor(name, name.partition(" ")[0]) for name in others))


def absent(model: Model) -> tuple[str, ...]:
    """What of a machine has no part in a model."""
    kinds = {a.actor for a in model.system.actions}
    gone = (actor.absent for actor in parts.actors() if actor.absent and actor.kind not in kinds)
    return (*gone, "weak memory ordering")


def _values(layout: Layout, state: State) -> dict[str, Value]:
    return {cell.name: _value(cell.var.kind, value) for cell, value in zip(layout.cells, state, strict=True)}


def _value(kind: Kind, value: int) -> Value:
    match kind:
        case Truth():
            return bool(value)
        case Sort(elements=(_, *_)):
            return kind.show(value)
        case _:
            return int(value)


def _number(kind: Kind, value: Value | None) -> int:
    """The plain value that a document's value stands for; -1 if today's kind has none such."""
    match kind, value:
        case Truth(), bool():
            return int(value)
        case Sort(elements=(_, *_)), str():
            return kind.elements.index(value) if value in kind.elements else -1
        case Sort(elements=()), int() if not isinstance(value, bool):
            return value
        case Truth() | Sort(), _:
            return -1
        case _, int():
            return value
        case _:
            return -1


def _numbers(layout: Layout, values: Mapping[str, Value], strict: bool) -> dict[str, int]:
    """Plain values by cell name; those that mean nothing today are left out, or, if `strict`, kept as -1 so that no replay accepts them."""
    found = {c.name: _number(c.var.kind, values[c.name]) for c in layout.cells if c.name in values}
    return {name: value for name, value in found.items() if strict or value >= 0}


def _arguments(action: Action, given: Mapping[str, Value]) -> tuple[int, ...]:
    return tuple(_number(p.kind, given.get(p.name)) for p in action.params)


class _Watched(tuple[int, ...]):
    """A state that remembers which of its cells were looked at."""

    seen: set[int]

    def __getitem__(self, place):  # type: ignore[no-untyped-def]
        self.seen.add(place)
        return tuple.__getitem__(self, place)


class Teller:
    """Tells the runs of one model in words, a step at a time."""

    def __init__(self, model: Model, evaluator: Evaluator) -> None:
        self.model = model
        self.threads = _threads(model)
        self.names = {
            s.name: s.elements for v in model.system.state for s in v.params if s.elements
        } | model.spaces.words(model.geometry.sizes[ROOT.name])  # fmt: skip
        self._layout = evaluator.layout
        # With the bookkeeping left out, what an action looks at is what it depends on; `_reads` compiles actions without it.
        self._evaluator = Evaluator(model.system, model.geometry)
        own = {v.name for v in model.software.state}
        self._machine = frozenset(v.name for v in model.system.state) - own - parts.ghost_names()

    def scene(self, state: State) -> Scene:
        """A state, to be asked by name."""
        return Scene(self.model.geometry.sizes, _values(self._layout, state), self.threads, self.names)

    def told(
        self,
        prop: Property,
        initial: State,
        steps: Sequence[schema.Step],
        violation: tuple[schema.Instance, ...],
        *,
        engine: str,
        shortest: bool | None = None,
        change: str | None = None,
    ) -> Cex:
        """The document of a run whose steps were told; nothing is checked here."""
        model, scenario = self.model, self.model.scenario
        return Cex(
            schema=SCHEMA,
            prop=schema.Promise(prop.name, prop.sentence),
            scenario=schema.Question(scenario.name, scenario.story),
            design=scenario.design,
            change=change,
            kernel=model.kernel,
            lifted=model.lifted,
            model=model.digest,
            engine=engine,
            shortest=shortest,
            depth=len(steps),
            sizes=dict(sorted(model.geometry.sizes.items())),
            names=dict(sorted(self.names.items())),
            actors=_actors(model, self.threads, tuple(dict.fromkeys(step.actor for step in steps))),
            absent=absent(model),
            initial=_values(self._layout, initial),
            steps=tuple(steps),
            violation=violation,
        )

    def steps(self, trace: Trace) -> tuple[schema.Step, ...]:
        """Every step of a run."""
        scenes, states = list(pairwise(self.scene(state) for state in trace.states)), list(pairwise(trace.states))
        return tuple(self.step(n, s.action, s.arguments, states[n - 1], scenes[n - 1]) for n, s in enumerate(trace.steps, 1))

    def turns(self, schedule: Schedule, evaluator: Evaluator, initial: State, cex: Cex) -> tuple[schema.Turn, ...]:
        """A schedule of the run that `cex` tells. It is executed again here: what is told is what was seen.

        Raises:
            EngineError: it cannot be executed so.
        """
        done = [d for d in schedule.steps if d.executed]
        again = run(evaluator, initial, [(d.action, d.arguments) for d in done])
        if again.states[1:] != tuple(d.state for d in done):
            raise EngineError("a schedule that satisfies the property does not replay; please report this")
        executed = iter(self.steps(again))
        turns = []
        for d in schedule.steps:
            number = d.event.number if d.event is not None else 0
            step = next(executed) if d.executed else cex.steps[number - 1]
            source = f"{step.sources[0].file}:{step.sources[0].line}" if step.sources else ""
            turns.append(schema.Turn(number, step.actor, step.label, source, d.manner, step.action, step.arguments))
        return tuple(turns)

    def step(
        self, number: int, action: Action, arguments: tuple[int, ...], states: tuple[State, State], scenes: tuple[Scene, Scene]
    ) -> schema.Step:
        """One action in words, from the states (and scenes) before and after it."""
        old, new = states
        before, after = scenes
        cells = self._layout.cells
        changed = [cell for cell, a, b in zip(cells, old, new, strict=True) if a != b]
        names = [cell.name for cell in changed]
        given = {p.name: _value(p.kind, a) for p, a in zip(action.params, arguments, strict=True)}
        reads = self._reads(action, arguments, old)
        doing = effects.effects(before, after, names)
        statement = action.source[0].text if action.source else ""
        seen = effects.seen(before, action.label or statement, reads)
        return schema.Step(
            number=number,
            action=action.name,
            arguments=given,
            actor=self._actor(action, arguments),
            label=effects.label(action.label, given, statement, doing, effects.lesser_effects(before, after, names), seen),
            effects=doing,
            sources=self._sources(action, after, names),
            reads=reads,
            changes=tuple(
                schema.Change(c.name, _value(c.var.kind, a), _value(c.var.kind, b))
                for c, a, b in zip(cells, old, new, strict=True)
                if a != b
            ),
        )

    def _sources(self, action: Action, after: Scene, changed: Sequence[str]) -> tuple[schema.Source, ...]:
        """The statements of an action with their callers; an assertion that turns out false is what a reader should look at."""
        step = self.model.software.steps.get(action.name)
        nodes = [] if step is None else [self.model.software.graphs[step.role].nodes[n] for n in step.nodes]
        callers = {node.at: node.stack[:-1] for node in reversed(nodes)}
        made = [schema.Source(s.file, s.line, s.function, s.text, callers.get(s, ())) for s in action.source]
        false = [after.named(ASSERTIONS, at[0]) for var, at in map(split_cell, changed) if var == FAILED.name]
        return tuple(sorted(made, key=lambda s: not any(name.endswith(f" at {s.file}:{s.line}") for name in false)))

    def _actor(self, action: Action, arguments: tuple[int, ...]) -> str:
        """A thread by its name; a part of the machine by its number, if its action says which one."""
        return actor_of(self.model, action, arguments)[0]

    def _reads(self, action: Action, arguments: tuple[int, ...], state: State) -> tuple[str, ...]:
        bare = replace(action, updates=tuple(u for u in action.updates if u.var.name in self._machine))
        watched = _Watched(state)
        watched.seen = set()
        self._evaluator.enabled(bare, arguments, watched)
        self._evaluator.after(bare, arguments, watched)
        cells = self._layout.cells
        return tuple(cells[i].name for i in sorted(watched.seen) if cells[i].var.name in self._machine)


__all__ = ["SCHEMA", "Cex", "Teller", "absent", "actor_of", "file_name", "from_verdict", "load", "replay", "to_trace", "write"]
