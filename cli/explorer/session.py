"""Exploring by hand, without a face: where a run stands, what may happen next, what has become false.

Everything here is plain evaluation; the only searching is for a way to a state that somebody asks for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

from msgspec import UNSET, UnsetType, structs

from ...checker.states.explore import Surveyed, way
from ...checker.states.moves import Moves
from ...core.errors import InputError
from ...core.evaluation.evaluate import Evaluator, Move, State
from ...core.system import Property
from ...core.trace import misfit
from ...counterexamples import schema
from ...counterexamples.document import Teller, to_trace
from ...counterexamples.facts import where
from ...counterexamples.schema import Cex, Instance
from ...counterexamples.why.violations import Judged, false_instances
from ...model.scene import Scene
from ...model.system import Model
from ...runner import output
from ...runner.inputs.terms import goals_of, property_of

ENGINE = "explored by hand"
STARTS = 64
"""So many initial states are offered."""
WALK = 20
REACH, PATIENCE = 60_000, 20.0
"""How many states, and seconds, a search for a way may take."""
LONGEST = 2_000
"""No run here gets longer."""


@dataclass(frozen=True)
class Choice:
    """A step that is enabled.

    Args:
        label: what it does, and its arguments where another choice would read the same.
        breaks: the properties that hold now and would not after it.
    """

    step: schema.Step
    label: str
    breaks: tuple[str, ...]
    move: Move
    state: State


@dataclass(frozen=True)
class Standing:
    """A property in the present state: why it is false, if it is."""

    prop: Property
    holds: bool
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Past:
    """One state of the run, and the step that led there."""

    state: State
    scene: Scene
    step: schema.Step | None = None
    move: Move | None = None
    breaks: tuple[str, ...] = ()


class Cancelled(Exception):
    """A search that nobody waits for any more."""


class Session:
    """One run, made step by step.

    Args:
        properties: those to watch.
        change: the patch under which the model was built, for the documents that are saved, which carry it.
    """

    def __init__(self, model: Model, properties: Sequence[str], change: str | None = None, patch: schema.Patch | UnsetType = UNSET) -> None:
        if not properties:
            raise InputError(f"scenario {model.scenario.name} asks no property; name one with --property")
        self.model = model
        self.change, self._patch = change, patch
        self.properties = tuple(property_of(model, name) for name in dict.fromkeys(properties))
        self._evaluator = Evaluator(model.system, model.geometry)
        self._teller = Teller(model, self._evaluator)
        self._tests: dict[str, Callable[[State], bool]] = {p.name: self._evaluator.compile(p.holds) for p in self.properties}
        self._past = [_Past(self.starts[0], self._teller.scene(self.starts[0]))]
        self._undone: list[Move] = []
        self._choices: tuple[State, tuple[Choice, ...]] | None = None

    # Where it stands

    @cached_property
    def starts(self) -> tuple[State, ...]:
        """The states in which a run may begin."""
        return tuple(islice(self._evaluator.initial(), STARTS))

    @cached_property
    def _moves(self) -> Moves:
        return Moves(self._evaluator)

    @cached_property
    def _order(self) -> Mapping[int, int]:
        return {id(move): number for number, move in enumerate(self._moves.all)}

    @property
    def depth(self) -> int:
        return len(self._past) - 1

    @property
    def state(self) -> State:
        return self._past[-1].state

    @property
    def steps(self) -> tuple[schema.Step, ...]:
        """What happened, told."""
        return tuple(p.step for p in self._past if p.step is not None)

    @property
    def broke(self) -> tuple[tuple[str, ...], ...]:
        """For each step that was taken, the properties that became false by it."""
        return tuple(p.breaks for p in self._past[1:])

    @property
    def threads(self) -> tuple[str, ...]:
        return self._teller.threads

    @property
    def lanes(self) -> tuple[str, ...]:
        """Who acts here: the threads, and the parts of the machine that have acted or may act now."""
        others = [s.actor for s in self.steps] + [c.step.actor for c in self.choices]
        return (*self.threads, *sorted({name for name in others if name not in self.threads}))

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What may happen next; steps that would change nothing are left out."""
        if self._choices is None or self._choices[0] is not self.state:
            moves = sorted(self._moves.enabled(self.state), key=lambda m: self._order[id(m)])
            made = (self._choice(move) for move in moves)
            self._choices = self.state, _told_apart([c for c in made if c is not None], self.threads)
        return self._choices[1]

    def _choice(self, move: Move) -> Choice | None:
        now, after = self._past[-1], move.apply(self.state)
        if after == now.state:
            return None
        step = self._teller.step(self.depth + 1, move.action, move.arguments, (now.state, after), (now.scene, self._teller.scene(after)))
        return Choice(step, step.label, self._breaks(now.state, after), move, after)

    def _breaks(self, before: State, after: State) -> tuple[str, ...]:
        return tuple(name for name, test in self._tests.items() if test(before) and not test(after))

    @property
    def standings(self) -> tuple[Standing, ...]:
        """Each property, with what makes it false now."""
        return tuple(self._standing(p) for p in self.properties)

    def _standing(self, prop: Property) -> Standing:
        if self._tests[prop.name](self.state):
            return Standing(prop, True)
        return Standing(prop, False, tuple(i.sentence for i in self._false_instances(prop)))

    def _false_instances(self, prop: Property) -> tuple[Instance, ...]:
        judged = Judged(self.model, self._evaluator, self.state)
        return false_instances(prop.name, prop.sentence, self._past[-1].scene, judged)

    @property
    def broken(self) -> tuple[str, ...]:
        return tuple(s.prop.name for s in self.standings if not s.holds)

    @cached_property
    def _goals(self) -> dict[str, Callable[[State], bool]]:
        return {name: self._evaluator.compile(term) for name, term in goals_of(self.model).items()}

    @property
    def goals(self) -> dict[str, bool]:
        """Each goal of the scenario, and whether it is reached now."""
        return {name: bool(test(self.state)) for name, test in self._goals.items()}

    def place(self, thread: str) -> str:
        """Where a thread stands: at which lines it may go on, that it waits, or that it is done."""
        number = self.threads.index(thread)
        role = self.model.roles[number]
        if self._done(role)(self.state, number):
            return "done"
        own = dict.fromkeys(where(c.step) for c in self.choices if c.step.actor == thread)
        return ", ".join(place for place in own if place) or ("may go on" if own else "waits")

    def _done(self, role: str) -> Callable[[State, int], bool]:
        if role not in self._ends:
            software, layout = self.model.software, self._evaluator.layout
            end = self._evaluator.compile(software.at(f"{role}:done"))(self.state)
            self._ends[role] = lambda state, number: bool(layout.value(state, software.pc, number) == end)
        return self._ends[role]

    @cached_property
    def _ends(self) -> dict[str, Callable[[State, int], bool]]:
        return {}

    # What a reader does

    def begin(self, number: int) -> None:
        """Begin again, in one of the `starts`.

        Raises:
            InputError: there is no such start.
        """
        if not 0 <= number < len(self.starts):
            raise InputError(f"there is no start {number}; there are {len(self.starts)}, counted from 0")
        self._past = [_Past(self.starts[number], self._teller.scene(self.starts[number]))]
        self._undone = []

    def take(self, number: int) -> None:
        """Take the choice of that number.

        Raises:
            InputError: there is none, or the run is too long.
        """
        if not 0 <= number < len(self.choices):
            raise InputError(f"there is no choice {number}; there are {len(self.choices)}, counted from 0")
        self._take(self.choices[number])
        self._undone = []

    def _take(self, choice: Choice) -> None:
        if self.depth >= LONGEST:
            raise InputError(f"the run has {LONGEST} steps, and gets no longer; undo some, or begin again")
        self._past.append(_Past(choice.state, self._teller.scene(choice.state), choice.step, choice.move, choice.breaks))

    def _follow(self, move: Move) -> None:
        made = self._choice(move)
        if made is not None:
            self._take(made)

    def undo(self) -> bool:
        """Take the last step back; False if there is none."""
        if self.depth == 0:
            return False
        move = self._past.pop().move
        assert move is not None
        self._undone.append(move)
        return True

    def redo(self) -> bool:
        """Take a step again that was taken back; False if there is none."""
        if not self._undone:
            return False
        self._follow(self._undone.pop())
        return True

    @property
    def can_redo(self) -> bool:
        return bool(self._undone)

    def back_to(self, depth: int) -> None:
        """Take back all steps after the first `depth`.

        Raises:
            InputError: the run is not that long.
        """
        if not 0 <= depth <= self.depth:
            raise InputError(f"there is no step {depth}; the run has {self.depth}")
        while self.depth > depth:
            self.undo()

    def walk(self, steps: int = WALK, seed: int | None = None) -> int:
        """Take steps at random until one breaks a property, nothing can happen, or `steps` were taken; how many that were."""
        rng = random.Random(seed)
        self._undone = []
        taken = 0
        while taken < steps and self.choices and self.depth < LONGEST:
            choice = rng.choice(self.choices)
            self._take(choice)
            taken += 1
            if choice.breaks:
                break
        return taken

    @property
    def aims(self) -> tuple[str, ...]:
        """What `seek` can look for: a violation of each property, and each goal."""
        return (*(f"violate {p.name}" for p in self.properties), *(f"reach {name}" for name in self._goals))

    def seek(self, aim: str, *, max_states: int = REACH, timeout: float | None = PATIENCE) -> str:
        """Go the shortest way from here to a state that somebody asks for; the answer says what became of it.

        Raises:
            InputError: there is no such aim.
        """
        return self.reach(aim, self.look(aim, max_states=max_states, timeout=timeout))

    def look(
        self, aim: str, *, max_states: int = REACH, timeout: float | None = PATIENCE, cancelled: Callable[[], bool] = lambda: False
    ) -> Surveyed:
        """Search for that way, and change nothing: another thread may do it while this one shows how far it is.

        Raises:
            InputError: there is no such aim.
            Cancelled: somebody wants no answer any more.
        """
        if aim not in self.aims:
            raise InputError(f"there is no aim {aim!r}; there are {', '.join(self.aims)}")
        kind, _, name = aim.partition(" ")
        wanted = self._goals[name] if kind == "reach" else _fails(self._tests[name])

        def watched(state: State) -> bool:
            if cancelled():
                raise Cancelled(aim)
            return wanted(state)

        return way(self._moves, self.state, watched, max_states=max_states, timeout=timeout)

    def reach(self, aim: str, found: Surveyed) -> str:
        """Go the way that `look` found from here; the answer says what became of the search."""
        trace = found.traces["wanted"]
        if trace is None and found.stopped:
            return f"{aim}: not found within {found.stats.depth} steps from here ({found.stopped}); that proves nothing"
        if trace is None:
            return f"{aim}: impossible from here: all {found.stats.states} states that can follow were visited"
        if trace.depth == 0:
            return f"{aim}: it is so already"
        known = {(m.action.name, m.arguments): m for m in self._moves.all}
        self._undone = []
        for step in trace.steps:
            self._follow(known[step.action.name, step.arguments])
        return f"{aim}: {trace.depth} {'step' if trace.depth == 1 else 'steps'} from here, and no way is shorter"

    # Documents

    @property
    def document(self) -> Cex:
        """The run so far: a counterexample if a watched property is false at its end, else a run in which nothing is violated.

        Of several that are false it is about the one that became so last.
        """
        wrong = [s.prop for s in self.standings if not s.holds]
        news = {name: number for number, names in enumerate(self.broke) for name in names}
        broken = max(wrong, key=lambda p: news.get(p.name, -1), default=None)
        prop = broken or self.properties[0]
        violation = self._false_instances(prop) if broken else ()
        told = self._teller.told(prop, self._past[0].state, self.steps, violation, engine=ENGINE, change=self.change)
        return structs.replace(told, patch=self._patch)

    def saved(self) -> tuple[str, bytes]:
        """What the run so far is called as a file, and its content."""
        document = self.document
        kind = (document.prop.name, "cex.json") if document.violation else ("run", "trace.json")
        return f"{output.slug(self.model.scenario.name, kind[0])}.{kind[1]}", schema.write(document)

    def load(self, data: bytes, where: str) -> None:
        """Go on from a stored run.

        Raises:
            InputError: it is none, is about something else, or is no run of today's model (the message says at which step).
        """
        cex = schema.load(data, where, violated=False)
        if cex.scenario.name != self.model.scenario.name:
            raise InputError(f"{where}: a run of {cex.scenario.name}; this is {self.model.scenario.name}")
        if dict(self.model.geometry.sizes) != cex.sizes:
            raise InputError(f"{where}: a run of another size ({cex.sizes}); here it is {dict(self.model.geometry.sizes)}")
        trace = to_trace(cex, self.model, self._evaluator)
        fault = misfit(trace, self._evaluator)
        if fault is not None:
            raise InputError(f"{where}: no run of today's model: step {fault.step}: {fault.reason}; give the change that it was found with")
        past = [_Past(trace.initial, self._teller.scene(trace.initial))]
        known = {(m.action.name, m.arguments): m for m in self._moves.all}
        for number, step in enumerate(trace.steps, 1):
            before, scene = past[-1], self._teller.scene(step.state)
            told = self._teller.step(number, step.action, step.arguments, (before.state, step.state), (before.scene, scene))
            breaks = self._breaks(before.state, step.state)
            past.append(_Past(step.state, scene, told, known[step.action.name, step.arguments], breaks))
        self._past, self._undone = past, []


def _fails(holds: Callable[[State], bool]) -> Callable[[State], bool]:
    return lambda state: not holds(state)


def _told_apart(choices: Sequence[Choice], threads: Sequence[str]) -> tuple[Choice, ...]:
    """Threads first; choices that read alike get their arguments."""
    seen: dict[tuple[str, str, str], int] = {}
    for c in choices:
        key = (c.step.actor, where(c.step), c.step.label)
        seen[key] = seen.get(key, 0) + 1
    result = []
    for c in choices:
        if seen[c.step.actor, where(c.step), c.step.label] > 1:
            given = ", ".join(f"{n.partition('@')[0].rpartition('.')[2]} {v}" for n, v in c.step.arguments.items() if n != "t")
            c = replace(c, label=f"{c.label} ({given})")
        result.append(c)
    order = {name: n for n, name in enumerate(threads)}
    return tuple(sorted(result, key=lambda c: (order.get(c.step.actor, len(order)), c.step.actor if c.step.actor not in order else "")))
