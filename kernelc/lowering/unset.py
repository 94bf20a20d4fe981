"""Locals that may be read before they are set: found, and checked where they are read.

In C that is undefined behaviour, so it is an assertion of the kernel C that such a read does not happen. Where no way leads to a
read that leaves the local unset, nothing is added. Where one may, a flag of the thread's own says whether the local was set, and an
operation before the read asks for it. A copy of a whole struct or array reads nothing: what it copies is as set as it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import z3

from ...core.ground import choose, conjunction, disjunction, negation, value_term
from ...core.rewrite import Rewriter, constant_index, subterms
from ...core.shape import identity, is_false, is_true
from ...core.sorts import BOOL, Kind, Sort, Truth, Word
from ...core.system import Source
from .analyse import Reads, defined, live_locals, step_facts
from .cfg import Branch, Graph, Havoc, Local, Node, Op, Set
from .library import Check, Effect

MOST_VALUES = 16
"""A local with no more values than this is told apart by each of them, where that decides whether another one was set."""
MOST_PLACES = 20_000
MOST_ROUNDS = 12
"""How much is tried before a read gets its check; a check that can never fail costs a flag, and no answer."""
_EFFORT = 200_000

TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)
Edge = tuple[int, str]
"""A node's number, and which of its edges: `next` or `other`."""


@dataclass(frozen=True, slots=True)
class Read:
    """C reads something between two nodes.

    Args:
        ends: the edges on which that happens; they lead to one node.
        terms: what is read.
        under: where C evaluates it at all.
        what: as a person reads it.
    """

    ends: tuple[tuple[Node, str], ...]
    terms: tuple[z3.ExprRef, ...]
    under: z3.BoolRef
    what: str
    at: Source
    stack: tuple[str, ...]

    @property
    def edges(self) -> tuple[Edge, ...]:
        return tuple((node.number, way) for node, way in self.ends)


def check_reads(graph: Graph, reads: Sequence[Read]) -> None:
    """Put a check before each read that may come before its local is set, in place; new nodes come last."""
    if not any(isinstance(node, Havoc) for node in graph.nodes):
        return
    seen = _Unset(graph, reads)
    numbers = seen.reads_of_what_is_unset()
    if numbers:
        _Checks(graph, [reads[number] for number in numbers], seen.ever).add()


class _Unset:
    """Which locals may be unset where.

    Args:
        ever: the locals that are unset somewhere.
    """

    def __init__(self, graph: Graph, reads: Sequence[Read]) -> None:
        self._graph = graph
        self._reads = reads
        self._mentions = Reads(graph)
        self._on: dict[Edge, list[int]] = {}
        self._suspects: dict[int, frozenset[Local]] = {}
        self.ever: frozenset[Local] = frozenset()
        for number, read in enumerate(reads):
            for edge in read.edges:
                self._on.setdefault(edge, []).append(number)
        self._spread()

    def _spread(self) -> None:
        """Lead what may be unset along the edges, until nothing is added."""
        graph = self._graph
        unset: dict[int, frozenset[Local]] = {graph.entry: frozenset()}
        todo = [graph.entry]
        while todo:
            number = todo.pop()
            node = graph.nodes[number]
            after = self._after(node, unset[number])
            self.ever |= after
            for way, target in _ways(node):
                there = self._past((number, way), after)
                known = unset.get(target)
                if known is None or not there <= known:
                    unset[target] = there if known is None else known | there
                    todo.append(target)

    def _after(self, node: Node, before: frozenset[Local]) -> frozenset[Local]:
        if isinstance(node, Havoc):
            return before | frozenset(node.locals)
        after = before - defined(node)
        for values in _assignments(node):
            after |= {local for local, value in values.items() if self._mentions(value) & before}
        return after

    def _past(self, edge: Edge, unset: frozenset[Local]) -> frozenset[Local]:
        for number in self._on.get(edge, ()):
            read = self._reads[number]
            found = self._mentions(*read.terms) & unset
            if found:
                self._suspects[number] = self._suspects.get(number, frozenset()) | found
                if is_true(read.under):
                    unset -= {local for term in read.terms if (local := self._mentions.local(term)) is not None}
        return unset

    def reads_of_what_is_unset(self) -> list[int]:
        """The numbers of the reads to which a way leads from where the local has no value, as far as the conditions on the way say.

        Ways are looked for that agree in the values of a few locals; one that the solver refutes names more locals to look at.
        """
        found: set[int] = set()
        told_apart: frozenset[Local] = frozenset()
        search = self._search(found, told_apart)
        for _ in range(MOST_ROUNDS):
            refuted = False
            for way, number in search.ways():
                reasons = self._refuted(way, number)
                if reasons is None or reasons <= told_apart:
                    found.add(number)
                else:
                    told_apart |= reasons
                    refuted = True
                    break
            if search.given_up:
                break
            if not refuted:
                return sorted(found)
            search = self._search(found, told_apart)
        return sorted(self._suspects)

    def _search(self, found: set[int], told_apart: frozenset[Local]) -> _Search:
        on = {edge: [n for n in numbers if n in self._suspects] for edge, numbers in self._on.items()}
        return _Search(self._graph, self._reads, {edge: n for edge, n in on.items() if n}, self._mentions, found, told_apart)

    def _refuted(self, way: _Way, number: int) -> frozenset[Local] | None:
        """The locals on whose account a way cannot be gone; None if it can be, for all that is known."""
        solver = z3.SimpleSolver()
        solver.set("rlimit", _EFFORT)
        held: dict[Local, z3.ExprRef] = {}
        because: dict[Local, frozenset[Local]] = {}
        asked: dict[str, frozenset[Local]] = {}
        state = _Fresh()

        def now(term: z3.ExprRef) -> z3.ExprRef:
            for local in self._mentions(term):
                held.setdefault(local, state.value(local.kind))
            return state.hidden(Rewriter((local.const, held[local]) for local in self._mentions(term))(term))

        def reasons(term: z3.ExprRef) -> frozenset[Local]:
            mentioned = self._mentions(term)
            return mentioned.union(*(because.get(local, frozenset()) for local in mentioned))

        def ask(condition: z3.ExprRef) -> None:
            name = z3.Bool(f"asked {len(asked)}")
            asked[name.decl().name()] = reasons(condition)
            solver.assert_and_track(now(condition), name)

        for node, follower, effect in way:
            if isinstance(node, Branch):
                if node.next != node.other:
                    ask(node.condition if follower == "next" else negation(node.condition))
            elif isinstance(node, Havoc):
                for local in node.locals:
                    held[local], because[local] = state.value(local.kind), frozenset()
            elif isinstance(node, Set):
                new = {local: (now(value), reasons(value)) for local, value in node.values.items()}
                for local, (value, why) in new.items():
                    held[local], because[local] = value, why
            elif isinstance(node, Op):
                # What is computed of locals alone is what it is; what comes from elsewhere may be anything of its kind.
                given = {local: (now(v), reasons(v)) for local, v in node.results[effect].items() if of_locals(v, self._mentions)}
                state.forget()
                for local in node.results[effect]:
                    held[local], because[local] = given.get(local) or (state.value(local.kind), frozenset())
            else:
                state.forget()
        ask(self._reads[number].under)
        solver.add(*state.known)
        if solver.check() != z3.unsat:
            return None
        core = [asked[c.decl().name()] for c in solver.unsat_core()]
        return frozenset().union(*core)


def of_locals(term: z3.ExprRef, mentions: Reads) -> bool:
    """Whether a term is made of locals and constants: it speaks neither of shared state nor of a choice."""
    known = {identity(local.const) for local in mentions(term)}
    return all(
        identity(part) in known or not z3.is_app_of(part, z3.Z3_OP_UNINTERPRETED) or constant_index(part) is not None
        for part in subterms(term)
        if not z3.is_quantifier(part)
    ) and not any(z3.is_quantifier(part) for part in subterms(term))


class _Fresh:
    """Values that nothing is known of, and the terms of shared state that stand for one until somebody else may step."""

    def __init__(self) -> None:
        self.known: list[z3.BoolRef] = []
        self._count = 0
        self._seen: dict[int, tuple[z3.ExprRef, z3.ExprRef]] = {}
        self._elements: set[str] = set()

    def value(self, kind: Kind) -> z3.ExprRef:
        """A new constant of a kind; of an enumeration, it is one of its elements."""
        self._count += 1
        made = kind.const(f"value {self._count}")
        if isinstance(kind, Sort) and kind.elements:
            elements = [kind.element(number) for number in range(len(kind.elements))]
            if kind.name not in self._elements:
                self._elements.add(kind.name)
                self.known.append(z3.Distinct(*elements) if len(elements) > 1 else TRUE)
            self.known.append(z3.Or(*(made == element for element in elements)))
        return made

    def forget(self) -> None:
        """From here, shared state may be another."""
        self._seen.clear()

    def hidden(self, term: z3.ExprRef) -> z3.ExprRef:
        """The term with a constant for each part of it that speaks of shared state."""
        found = [part for part in subterms(term) if z3.is_quantifier(part) or _is_applied(part)]
        if not found:
            return term
        for part in found:
            if identity(part) not in self._seen:
                self._count += 1
                self._seen[identity(part)] = (part, z3.Const(f"state {self._count}", part.sort()))
        return Rewriter(self._seen[identity(part)] for part in found)(term)


def _is_applied(term: z3.ExprRef) -> bool:
    return bool(z3.is_app(term) and term.decl().kind() == z3.Z3_OP_UNINTERPRETED and term.num_args() > 0)


_Step = tuple[Node, str, int]
"""A node with the edge by which it is left and, of an operation, the number of its effect."""
_Way = Sequence[_Step]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a search is: before a node, with the locals that are still unset, and the values of those told apart, in their order."""

    number: int
    unset: frozenset[Local]
    values: tuple[int | None, ...]


class _Search:
    """Looks for ways to reads on which a local that is read stays unset.

    Args:
        on: the reads on each edge that matter, by number.
        found: those that need not be looked for any more.
        told_apart: the locals whose values are kept on the way.
    """

    def __init__(
        self,
        graph: Graph,
        reads: Sequence[Read],
        on: Mapping[Edge, Sequence[int]],
        mentions: Reads,
        found: set[int],
        told_apart: frozenset[Local],
    ) -> None:
        self._graph = graph
        self._reads = reads
        self._on = on
        self._mentions = mentions
        self._found = found
        self._told_apart = sorted(told_apart, key=lambda local: local.path)
        self._wanted = self._sources(mentions(*(term for numbers in on.values() for n in numbers for term in reads[n].terms)))
        self._leading = self._before_all({number for number, _ in on})
        held = {n.number for n in graph.nodes if isinstance(n, Havoc) and frozenset(n.locals) & self._wanted}
        self._beginning = self._leading & self._before_all(held)
        self._before: dict[_Place, tuple[_Place, _Step] | None] = {}
        # A node looks at few of the locals that are told apart, and many places agree in those: each is asked about once.
        self._looked_at: dict[int, tuple[int, ...]] = {}
        self._past: dict[tuple[int, tuple[int | None, ...]], list[tuple[_Step, int, tuple[int | None, ...]]]] = {}
        self._unset_behind: dict[tuple[int, int, frozenset[Local]], frozenset[Local]] = {}
        self._impossible: dict[tuple[int, tuple[int | None, ...]], bool] = {}
        self.given_up = False

    def _sources(self, wanted: frozenset[Local]) -> frozenset[Local]:
        """The locals from which those that are read may have been copied."""
        copies = [pair for n in self._graph.reachable() for values in _assignments(self._graph.nodes[n]) for pair in values.items()]
        size = -1
        while size != len(wanted):
            size = len(wanted)
            for local, value in copies:
                if local in wanted:
                    wanted |= self._mentions(value)
        return wanted

    def _before_all(self, wanted: Iterable[int]) -> frozenset[int]:
        """The nodes from which a way leads to one of these."""
        before: dict[int, list[int]] = {}
        for number in self._graph.reachable():
            for _, target in _ways(self._graph.nodes[number]):
                before.setdefault(target, []).append(number)
        todo = list(wanted)
        found: set[int] = set()
        while todo:
            number = todo.pop()
            if number not in found:
                found.add(number)
                todo += before.get(number, ())
        return frozenset(found)

    def ways(self) -> Iterator[tuple[_Way, int]]:
        """Ways to reads of something unset, with the number of the read. Ends early, and says so, if there are too many places."""
        starts = product(*(_values(local.kind) or (None,) for local in self._told_apart))
        todo = deque(_Place(self._graph.entry, frozenset(), values) for values in starts)
        self._before = dict.fromkeys(todo)
        while todo:
            place = todo.popleft()
            for step, target, values in self._steps(place):
                node, way, effect = step
                unset = self._left(node, effect, place.unset)
                for number in self._on.get((node.number, way), ()):
                    read = self._reads[number]
                    if not self._mentions(*read.terms) & unset or self._cannot_be(number, values):
                        continue
                    if number not in self._found:
                        yield (*self._back(place), step), number
                    if is_true(read.under):
                        unset -= {local for term in read.terms if (local := self._mentions.local(term)) is not None}
                there = _Place(target, unset, values)
                if target in (self._leading if unset else self._beginning) and there not in self._before:
                    self._before[there] = place, step
                    todo.append(there)
            if len(self._before) > MOST_PLACES:
                self.given_up = True
                return

    def _back(self, place: _Place) -> _Way:
        way = []
        while (before := self._before[place]) is not None:
            place, step = before
            way.append(step)
        return way[::-1]

    def _left(self, node: Node, effect: int, unset: frozenset[Local]) -> frozenset[Local]:
        """What is unset behind a node."""
        key = node.number, effect, unset
        if key not in self._unset_behind:
            self._unset_behind[key] = self._unset_after(node, effect, unset)
        return self._unset_behind[key]

    def _unset_after(self, node: Node, effect: int, unset: frozenset[Local]) -> frozenset[Local]:
        if isinstance(node, Havoc):
            return unset | (frozenset(node.locals) & self._wanted)
        assigned = _assignments(node)
        if not assigned:
            return unset
        values = assigned[effect]
        copied = {local for local, value in values.items() if local in self._wanted and self._mentions(value) & unset}
        return unset.difference(values) | copied

    def _cannot_be(self, number: int, values: tuple[int | None, ...]) -> bool:
        """Whether a read is not evaluated where the locals have these values."""
        under = self._reads[number].under
        mentioned = self._mentions(under)
        key = number, tuple(value for local, value in zip(self._told_apart, values, strict=True) if local in mentioned)
        if key not in self._impossible:
            self._impossible[key] = is_false(self._mentions.fold(under, self._facts(values)))
        return self._impossible[key]

    def _facts(self, values: tuple[int | None, ...]) -> dict[Local, z3.ExprRef]:
        pairs = zip(self._told_apart, values, strict=True)
        return {local: value_term(local.kind, value) for local, value in pairs if value is not None}

    def _looks_at(self, node: Node) -> tuple[int, ...]:
        """Which of those that are told apart a node changes or asks for, by their places in the order; none if the others stay, too."""
        if node.number not in self._looked_at:
            changed = frozenset[Local]().union(*(_touched(node, effect) for effect in _effects(node)))
            asked = self._mentions(node.condition) if isinstance(node, Branch) else frozenset[Local]()
            if not (changed | asked).isdisjoint(self._told_apart):
                asked |= self._mentions(*(value for values in _assignments(node) for value in values.values()))
            self._looked_at[node.number] = tuple(i for i, local in enumerate(self._told_apart) if local in changed | asked)
        return self._looked_at[node.number]

    def _steps(self, place: _Place) -> Iterator[tuple[_Step, int, tuple[int | None, ...]]]:
        """The ways past the node at a place: how, where to, and with which values of what is told apart."""
        node = self._graph.nodes[place.number]
        seen = self._looks_at(node)
        if not seen:
            for way, target in _ways(node):
                yield from (((node, way, effect), target, place.values) for effect in _effects(node))
            return
        key = place.number, tuple(place.values[i] for i in seen)
        if key not in self._past:
            self._past[key] = list(self._past_node(node, seen, place.values))
        for step, target, values in self._past[key]:
            after = list(place.values)
            for i, value in zip(seen, values, strict=True):
                after[i] = value
            yield step, target, tuple(after)

    def _past_node(
        self, node: Node, seen: tuple[int, ...], values: tuple[int | None, ...]
    ) -> Iterator[tuple[_Step, int, tuple[int | None, ...]]]:
        """The ways past a node, with the values of what it looks at; what it does not look at makes no difference and stays."""
        for way, effect, target, after in step_facts(node, self._facts(values), self._mentions):
            touched = _touched(node, effect)
            ranges: list[tuple[int | None, ...]] = []
            for local in (self._told_apart[i] for i in seen):
                known = constant_index(after[local]) if local in after else None
                # What has few values has one of them, if nothing more is known.
                ranges.append((known,) if known is not None or local not in touched else _values(local.kind) or (None,))
            yield from (((node, way, effect), target, chosen) for chosen in product(*ranges))


def _effects(node: Node) -> range:
    return range(len(node.effects)) if isinstance(node, Op) else range(1)


def _touched(node: Node, effect: int) -> frozenset[Local]:
    if isinstance(node, Havoc):
        return frozenset(node.locals)
    assigned = _assignments(node)
    return frozenset(assigned[effect]) if assigned else frozenset()


def _values(kind: Kind) -> tuple[int, ...]:
    """All values of a kind, if they are few."""
    size = 2 if isinstance(kind, Truth) else 2**kind.width if isinstance(kind, Word) else len(kind.elements)
    return tuple(range(size)) if size <= MOST_VALUES else ()


def _ways(node: Node) -> Iterator[tuple[str, int]]:
    """The edges of a node and where they lead."""
    if node.next >= 0:
        yield "next", node.next
    if isinstance(node, Branch) and node.other >= 0:
        yield "other", node.other


def _assignments(node: Node) -> Sequence[Mapping[Local, z3.ExprRef]]:
    """What a node assigns: for each of an operation's effects, else at most once."""
    match node:
        case Set(values=values):
            return (values,)
        case Op(results=results):
            return results
        case _:
            return ()


class _Checks:
    """Adds the flags and the checks.

    Args:
        ever: the locals that are unset somewhere: no other one needs a flag.
    """

    def __init__(self, graph: Graph, reads: Sequence[Read], ever: frozenset[Local]) -> None:
        self._graph = graph
        self._reads = reads
        self._mentions = Reads(graph)
        wanted = self._mentions(*(term for read in reads for term in read.terms)) & ever
        self._flags = {local: self._flag(local) for local in self._with_sources(wanted, ever)}
        self._by_id = {identity(local.const): (local.const, flag) for local, flag in self._flags.items()}

    def _flag(self, local: Local) -> Local:
        flag = Local(f"{local.path}~set", BOOL)
        self._graph.locals[flag.path] = flag
        return flag

    def _with_sources(self, wanted: frozenset[Local], ever: frozenset[Local]) -> list[Local]:
        """The locals whose flags are needed: what is read, and what that may be a copy of."""
        found = set(wanted)
        todo = [node for node in self._graph.nodes if any(True for _ in _assignments(node))]
        size = -1
        while size != len(found):
            size = len(found)
            for node in todo:
                for values in _assignments(node):
                    for local, value in values.items():
                        if local in found:
                            found |= self._mentions(value) & ever
        return sorted(found, key=lambda local: local.path)

    def add(self) -> None:
        graph = self._graph
        tails: dict[Edge, tuple[Node, str]] = {}
        for node in list(graph.nodes):
            match node:
                case Set(values=values):
                    node.values = values | {self._flags[x]: self.is_set(v) for x, v in values.items() if x in self._flags}
                case Op(results=results):
                    node.results = tuple(
                        answers | {self._flags[x]: self._all_set(v) for x, v in answers.items() if x in self._flags} for answers in results
                    )
                case Havoc(locals=held):
                    flags = {self._flags[local]: FALSE for local in held if local in self._flags}
                    if flags:
                        unset = Set(len(graph.nodes), node.at, node.stack, values=dict(flags))
                        self._after(node, unset)
                        tails[node.number, "next"] = unset, "next"
                case _:
                    pass
        for read in self._reads:
            self._check(read, tails)
        self._at_entry()

    def _after(self, node: Node, made: Node) -> None:
        made.next, node.next = node.next, made.number
        self._graph.nodes.append(made)

    def _check(self, read: Read, tails: dict[Edge, tuple[Node, str]]) -> None:
        """One operation for all edges of a read, behind those of earlier reads."""
        holds = disjunction([negation(read.under), conjunction([self.is_set(term) for term in read.terms])])
        if is_true(holds):
            return
        check = Check(f"{read.what} is read before it is set", holds)
        told = {flag: disjunction([flag.const, read.under]) for term in read.terms if (flag := self._own_flag(term)) is not None}
        made = Op(
            len(self._graph.nodes), read.at, read.stack, name="unset", mover="local", effects=(Effect(checks=(check,)),), results=(told,)
        )
        self._graph.nodes.append(made)
        for edge in read.edges:
            node, way = tails.get(edge, (self._graph.nodes[edge[0]], edge[1]))
            target = getattr(node, way)
            if target == made.number:
                tails[edge] = (made, "next")
                continue  # an earlier read lies on the same edges: they have met behind its operation
            assert made.next in (-1, target), "the edges of a read lead to one node"
            made.next = target
            setattr(node, way, made.number)
            tails[edge] = (made, "next")

    def _own_flag(self, term: z3.ExprRef) -> Local | None:
        found = self._by_id.get(identity(term))
        return None if found is None else found[1]

    def _at_entry(self) -> None:
        """Nothing is set where the thread begins."""
        graph = self._graph
        flags = live_locals(graph)[graph.entry] & frozenset(self._flags.values())
        if flags:
            first = graph.nodes[graph.entry]
            self._after(first, Set(len(graph.nodes), first.at, first.stack, values=dict.fromkeys(flags, FALSE)))

    def is_set(self, term: z3.ExprRef) -> z3.BoolRef:
        """Whether all that the value of a term depends on was set."""
        own = self._own_flag(term)
        if own is not None:
            flag = own.const
            assert isinstance(flag, z3.BoolRef)
            return flag
        if not self._mentions(term) & self._flags.keys():
            return TRUE
        if z3.is_app_of(term, z3.Z3_OP_ITE):
            condition, then, otherwise = term.children()
            chosen = choose(condition, self.is_set(then), self.is_set(otherwise))
            assert isinstance(chosen, z3.BoolRef)
            return chosen
        parts = list(term.children())
        every = conjunction([self.is_set(part) for part in parts]) if parts else TRUE
        if z3.is_and(term) or z3.is_or(term):
            # One part that is known decides, whatever the others are.
            decided = [conjunction([self.is_set(p), negation(p) if z3.is_and(term) else p]) for p in parts]
            return disjunction([every, *decided])
        return every if z3.is_app(term) else self._all_set(term)

    def _all_set(self, term: z3.ExprRef) -> z3.BoolRef:
        """Whether every local that a term mentions was set: what a choice of an operation decides is not known here."""
        found = sorted(self._mentions(term) & self._flags.keys(), key=lambda local: local.path)
        flags = [self._flags[local].const for local in found]
        return conjunction([flag for flag in flags if isinstance(flag, z3.BoolRef)])
