"""Atomic steps: paths through the graphs of all roles, cut where other threads may come in between.

A step is right movers and local code, at most one visible operation, then left movers and local code (Lipton): a lock is
taken together with what follows, and released together with what went before. A read is local where locks keep every other
thread from writing the same group of state; that is computed here from all roles, not assumed.
One action per path, so that a broken lemma names a source line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import z3

from ...core.ground import negation
from ...core.rewrite import subterms
from ...core.shape import identity
from ...core.sorts import Rigid, Sort, StateVar
from ...core.system import Action, Param, Source, Update, set_at, set_where
from ..lowering.analyse import fold_constants
from ..lowering.cfg import ASSERTIONS, FAILED, THREAD, THREADS, Graph, Refuse
from ..lowering.library import default
from .footprint import Machine
from .paths import Known, Others, Path, Paths, paths_of


@dataclass(frozen=True)
class Location:
    """A place where a thread rests between steps: the value of its program counter."""

    role: str
    node: int
    at: Source
    index: int

    @property
    def name(self) -> str:
        if self.at.text == "done":
            return f"{self.role}:done"
        return f"{self.role}:{self.at.function}:{self.at.line}.{self.node}"


@dataclass(frozen=True)
class PathStep:
    """How one action came about: where it starts and ends, which operations it executed, with which effect each."""

    action: str
    role: str
    start: int
    end: int
    nodes: tuple[int, ...]
    effects: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Condition:
    """Something that must be so whenever a step is taken, as a closed term; what is wrong where it is false, and at which line.

    Args:
        holds: asked wherever the step waits, too, whatever it waits for; `taken`, only where it can be taken.
        topic: what it is about; the merging of steps takes some topics for granted.
    """

    holds: z3.BoolRef
    taken: z3.BoolRef
    topic: str
    what: str
    role: str
    at: Source


@dataclass(frozen=True)
class Refused:
    """A call that would be an error if it could be reached: it cannot, in this scenario."""

    role: str
    what: str
    at: Source


@dataclass(frozen=True)
class Software:
    """All roles, compiled: state, initial values, actions, and what a report needs to know about them."""

    sorts: tuple[Sort, ...]
    state: tuple[StateVar, ...]
    init: tuple[Update, ...]
    rigids: tuple[Rigid, ...]
    actions: tuple[Action, ...]
    needs: tuple[Condition, ...]
    relied: frozenset[str]
    steps: Mapping[str, PathStep]
    locations: tuple[Location, ...]
    graphs: Mapping[str, Graph]
    local_vars: Mapping[tuple[str, str], StateVar]
    assertions: tuple[str, ...]
    unreachable: tuple[Refused, ...]
    lines: Mapping[tuple[str, int], str]
    shared: tuple[StateVar, ...] = ()
    shared_init: tuple[Update, ...] = ()

    @property
    def merging(self) -> tuple[Condition, ...]:
        """What the merging of steps takes for granted."""
        return tuple(need for need in self.needs if need.topic in self.relied)

    @property
    def pc(self) -> StateVar:
        return next(v for v in self.state if v.name == "pc")

    def at(self, name: str) -> z3.ExprRef:
        """The program counter's value at the location of that name."""
        return self.pc.kind.element(name)  # type: ignore[union-attr]


def compile_threads(
    graphs: Sequence[Graph],
    threads: Sequence[str],
    *,
    machine: Machine,
    merge: bool = True,
    paths: type[Paths] = Paths,
) -> Software:
    """Make the atomic steps of all roles.

    Args:
        graphs: one per role.
        threads: the role of each thread, by thread number.
        machine: what the threads run in: its state, how that starts, and what it does at any time.
        merge: merge movers; without it every operation is a step of its own.
        paths: how steps are made: one action per path, or `JoinedPaths`.

    Raises:
        Refusal: a call without a meaning can be reached.
        ModelError: a role has too many paths.
    """
    by_role = {g.role: g for g in graphs}
    for graph in graphs:
        if not graph.final:
            fold_constants(graph)
    known = Known(graphs, threads, machine)
    found = {name: paths_of(graph, Others(name, known), merge, paths) for name, graph in by_role.items()}
    locations = _locations(found)
    makers = _Makers(found, locations, tuple(threads))
    actions, steps = [], {}
    for name, its in found.items():
        for path in its.paths:
            action, step = makers.action(name, its, path)
            actions.append(action)
            steps[action.name] = step
    relied = frozenset().union(*(its.relied for its in found.values()))
    needs = [c for name, its in found.items() for path in its.paths for c in makers.conditions(name, its, path)]
    refused = [Refused(name, n.what, n.at) for name, its in found.items() for n in its.graph.nodes if isinstance(n, Refuse)]
    init = [Update(makers.pc, makers.pc.variables(), makers.started(*makers.pc.variables()))]
    init += [Update(makers.failed, makers.failed.variables(), z3.BoolVal(False))]
    init += [Update(v, v.variables(), default(v.kind)) for v in makers.local_vars.values()]
    return Software(
        sorts=(THREADS, makers.roles, makers.places, makers.assertions),
        state=(makers.pc, makers.failed, *makers.local_vars.values()),
        init=tuple(init),
        rigids=(makers.role, makers.started),
        actions=tuple(actions),
        needs=tuple(needs),
        relied=relied,
        steps=steps,
        locations=locations,
        graphs=by_role,
        local_vars=makers.local_vars,
        assertions=makers.assertions.elements,
        unreachable=tuple(dict.fromkeys(refused)),
        lines={(n.at.file, n.at.line): n.at.text for g in graphs for n in g.nodes if n.at.text},
    )


def _locations(found: Mapping[str, Paths]) -> tuple[Location, ...]:
    locations: list[Location] = []
    for role, paths in found.items():
        for node in paths.cuts:
            at = paths.graph.nodes[node].at
            if node == paths.graph.exit:
                at = Source(at.file, at.line, at.function, "done")
            locations.append(Location(role, node, at, len(locations)))
    return tuple(locations)


@dataclass(frozen=True, slots=True)
class _Terms:
    """What an action is made of, but for its name."""

    guard: z3.BoolRef
    updates: tuple[Update, ...]
    choices: tuple[Param, ...]
    label: str
    visible: Source
    sources: tuple[Source, ...]


class _Makers:
    """What the actions of all roles share: program counters, roles, locals, assertions."""

    def __init__(self, found: Mapping[str, Paths], locations: Sequence[Location], threads: tuple[str, ...]) -> None:
        self._numbers = {(x.role, x.node): x.index for x in locations}
        self._names: dict[str, int] = {}
        self.roles = roles = Sort("Role", tuple(found))
        self.places = Sort("Pc", tuple(x.name for x in locations))
        self.pc = StateVar("pc", (THREADS,), self.places, "where each thread is")
        entries = {role: self._numbers[role, paths.graph.entry] for role, paths in found.items()}
        self.role = Rigid(
            "role",
            (THREADS,),
            roles,
            lambda _, at: roles.elements.index(threads[at[0]]),
            # What only one thread does is merged further, so a proof must not speak of two.
            axioms=tuple(_at_most(threads.count(name), roles, name) for name in found if threads.count(name) < 2),
            doc="which entry function a thread runs",
        )
        self.started = Rigid(
            "started_at",
            (THREADS,),
            self.places,
            lambda _, at: entries[threads[at[0]]],
            axioms=tuple(
                z3.ForAll([THREAD], z3.Implies(self.role(THREAD) == roles.element(r), _started(self.places) == self.places.element(entry)))
                for r, entry in entries.items()
            ),
            doc="the entry of each thread's role",
        )
        labels = sorted({label for paths in found.values() for path in paths.paths for label, _ in path.checks})
        self.assertions = replace(ASSERTIONS, elements=tuple(labels) or ("none",))
        self.failed = replace(FAILED, params=(self.assertions,))
        self.local_vars = {
            (r, local.path): StateVar(f"{r}.{local.path}", (THREADS,), local.kind, f"a local of {r}")
            for r, paths in found.items()
            for local in sorted(paths.stored, key=lambda x: x.path)
        }

    def action(self, role: str, paths: Paths, path: Path) -> tuple[Action, PathStep]:
        """The action that takes `path`."""
        # Between scenarios only the numbers of roles, places and assertions differ: with the same ones the terms are the same.
        key = "action", *(self._place(role, path)), self._numbers[role, path.node], tuple(map(self._label, path.checks))
        if key not in path.known:
            path.known[key] = self._terms(role, paths, path)
        terms: _Terms = path.known[key]
        own = {self.pc.name: self.pc, self.failed.name: self.failed}  # of which only the elements have other names
        updates = tuple(Update(own.get(u.var.name, u.var), u.variables, u.value) for u in terms.updates)
        name = self._name(f"{role}.{terms.visible.function}:{terms.visible.line}")
        action = Action(name, role, (Param("t", THREADS), *terms.choices), terms.guard, updates, terms.label, terms.sources)
        return action, PathStep(name, role, path.start, path.node, path.nodes, path.ops)

    def _place(self, role: str, path: Path) -> tuple[int, int]:
        return self.roles.elements.index(role), self._numbers[role, path.start]

    def _label(self, check: tuple[str, z3.BoolRef]) -> int:
        return self.assertions.elements.index(check[0])

    def _terms(self, role: str, paths: Paths, path: Path) -> _Terms:
        here, there = (self.places.element(self._numbers[role, node]) for node in (path.start, path.node))
        guard = z3.And(self.role(THREAD) == self.roles.element(role), self.pc(THREAD) == here, *path.conditions)
        if "locals" not in path.known:
            path.known["locals"] = self._locals_after(role, paths, path)
        updates = (set_at(self.pc, (THREAD,), there), *path.updates, *path.known["locals"], *self._failures(path))
        number, label = _visible(paths, path)
        visible = paths.graph.nodes[number].at
        mentioned = {identity(term) for whole in (guard, *(u.value for u in updates)) for term in subterms(whole)} if path.choices else ()
        choices = tuple(c for c in path.choices if identity(c.const) in mentioned)
        sources = dict.fromkeys((visible, *(paths.graph.nodes[n].at for n, _ in path.ops)))
        return _Terms(guard, updates, choices, label, visible, tuple(sources))

    def conditions(self, role: str, paths: Paths, path: Path) -> tuple[Condition, ...]:
        """What `path` needs, said of every state in which it can be taken.

        Where it is said of more states, what the guard says of all threads or all pages is left out: that asks for no less.
        """
        if not path.needs:
            return ()
        key = "conditions", *self._place(role, path)
        if key not in path.known:
            path.known[key] = tuple(self._conditions(role, paths, path))
        found: tuple[Condition, ...] = path.known[key]
        return found

    def _conditions(self, role: str, paths: Paths, path: Path) -> Iterator[Condition]:
        place = self.places.element(self._numbers[role, path.start])
        here = (self.role(THREAD) == self.roles.element(role), self.pc(THREAD) == place)
        plain = [c for c in path.conditions if not any(z3.is_quantifier(part) for part in subterms(c))]

        def where(conditions: Sequence[z3.BoolRef], holds: z3.BoolRef) -> z3.BoolRef:
            said = z3.Implies(z3.And(*here, *conditions), holds)
            mentioned = {identity(part) for part in subterms(said)}
            return z3.ForAll([THREAD, *(c.const for c in path.choices if identity(c.const) in mentioned)], said)

        for number, need in path.needs:
            holds = where(plain, need.holds)
            taken = holds if len(plain) == len(path.conditions) else where(path.conditions, need.holds)
            yield Condition(holds, taken, need.topic, need.what, role, paths.graph.nodes[number].at)

    def _name(self, base: str) -> str:
        self._names[base] = self._names.get(base, 0) + 1
        return base if self._names[base] == 1 else f"{base}#{self._names[base]}"

    def _locals_after(self, role: str, paths: Paths, path: Path) -> list[Update]:
        """New values of locals; one that no longer matters goes back to its default, so that equal states are the same state."""
        result: list[Update] = []
        after = paths.live(path.node)
        for local in sorted(paths.live(path.start) | after, key=lambda x: x.path):
            value = path.env[local] if local in after else default(local.kind)
            if not value.eq(paths.stored_term(local)):
                result.append(set_at(self.local_vars[role, local.path], (THREAD,), value))
        return result

    def _failures(self, path: Path) -> list[Update]:
        if not path.checks:
            return []
        a = self.assertions.const("assertion")
        wrong = z3.Or([z3.And(a == self.assertions.element(label), negation(holds)) for label, holds in path.checks])
        return [set_where(self.failed, (a,), wrong, z3.BoolVal(True))]


def _at_most(number: int, roles: Sort, name: str) -> z3.BoolRef:
    """No thread of that role, or no two."""
    role = z3.Function("role", THREADS.z3, roles.z3)
    other = THREADS.const("other")
    theirs = role(THREAD) == roles.element(name)
    if number == 0:
        return z3.ForAll([THREAD], z3.Not(theirs))
    return z3.ForAll([THREAD, other], z3.Implies(z3.And(theirs, role(other) == roles.element(name)), THREAD == other))


def _started(places: Sort) -> z3.ExprRef:
    return z3.Function("started_at", THREADS.z3, places.z3)(THREAD)


def _visible(paths: Paths, path: Path) -> tuple[int, str]:
    """The node and label that a reader should see: the visible operation's, else the first one's, else where the path starts."""
    if path.ops:
        order = ("none", "wait", "right", "left", "local")
        rank = min(range(len(path.ops)), key=lambda i: (order.index(path.movers[i]), i))
        return path.ops[rank][0], path.labels[rank]
    nodes = paths.graph.nodes
    number = next((n for n in path.nodes if nodes[n].at.text), path.nodes[0])
    return number, nodes[number].at.text
