"""What an operation reads and writes of the shared state: computed from its terms, never declared.

A cell that is indexed by the acting thread is the thread's own; it is told apart from what others may share. A variable that nothing ever
changes from its initial value is settled, and an action of the machine that a settled variable keeps from happening writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import z3

from ...core.rewrite import Rewriter, constant_index, folded, subterms
from ...core.shape import applied, identity, names, once_a_term, shape
from ...core.sorts import StateVar
from ...core.system import Action, Update
from ..lowering.cfg import THREAD, THREADS, Op


@dataclass(frozen=True)
class Machine:
    """What the threads run in.

    Args:
        state: the shared state variables, those that only an argument needs included.
        init: the initial values of those that start with known ones.
        actions: what hardware and host do at any time, under no lock of the threads.
    """

    state: tuple[StateVar, ...] = ()
    init: tuple[Update, ...] = ()
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True)
class Footprint:
    """The names of the state variables that something touches.

    Args:
        reads, writes: where another thread's or a shared cell may be meant.
        own_reads, own_writes: where only the acting thread's own cells are.
    """

    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    own_reads: frozenset[str] = frozenset()
    own_writes: frozenset[str] = frozenset()

    @property
    def seen(self) -> frozenset[str]:
        """All that it reads."""
        return self.reads | self.own_reads

    @property
    def changed(self) -> frozenset[str]:
        """All that it writes."""
        return self.writes | self.own_writes

    def disturbed_by(self, other: Footprint) -> frozenset[str]:
        """What `other`, another thread's, writes of what this one touches, or reads of what this one writes."""
        mine, theirs = self.reads | self.writes, other.reads | other.writes
        written = (other.writes & (mine | self.own_reads | self.own_writes)) | (other.own_writes & mine)
        return written | (self.writes & (theirs | other.own_reads)) | (self.own_writes & theirs)


def footprint(terms: Iterable[z3.ExprRef], updates: Iterable[Update], state: Mapping[str, StateVar]) -> Footprint:
    """What `terms` read, and what `updates` read and write.

    Args:
        state: the variables that count, by name.
    """
    reads: set[str] = set()
    own_reads: set[str] = set()
    writes: set[str] = set()
    own_writes: set[str] = set()

    def look(term: z3.ExprRef, but: z3.ExprRef | None = None) -> None:
        for part in subterms(term):
            stays = but is not None and part.eq(but)  # and so was not read
            if not stays and shape(part).operator == z3.Z3_OP_UNINTERPRETED and applied(part) in state:
                (own_reads if _at_own(part) else reads).add(applied(part))

    for term in terms:
        look(term)
    for update in updates:
        before = update.var(*update.variables)
        value = update.value
        if value.eq(before):
            continue
        look(value, before)
        if update.var.name in state:
            (own_writes if _changes_own(update, value) else writes).add(update.var.name)
    return Footprint(frozenset(reads), frozenset(writes), frozenset(own_reads - reads), frozenset(own_writes - writes))


def _at_own(part: z3.ExprRef) -> bool:
    return identity(THREAD) in shape(part).keys


def _changes_own(update: Update, value: z3.ExprRef) -> bool:
    """Whether every cell but the acting thread's own stays as it is."""
    before = update.var(*update.variables)
    for x, sort in zip(update.variables, update.var.params, strict=True):
        if sort == THREADS:
            elsewhere = Rewriter([(x == THREAD, z3.BoolVal(False)), (THREAD == x, z3.BoolVal(False))])(value)
            if z3.simplify(elsewhere).eq(before):
                return True
    return False


def of_operation(node: Op, state: Mapping[str, StateVar]) -> Footprint:
    """What an operation touches, whichever of its effects it has."""
    terms = [effect.guard for effect in node.effects]
    terms += [check.holds for effect in node.effects for check in effect.checks]
    terms += [value for answers in node.results for value in answers.values()]
    return footprint(terms, (update for effect in node.effects for update in effect.updates), state)


def of_action(action: Action, state: Mapping[str, StateVar]) -> Footprint:
    """What an action touches; it has no cells of its own."""
    return footprint((action.guard,), action.updates, state)


class Settled:
    """What nothing ever changes: variables that keep one known value in every cell, whoever does what.

    Args:
        machine: what the threads run in.
        operations: everything that the threads may do.
    """

    def __init__(self, machine: Machine, operations: Iterable[Op]) -> None:
        known = {u.var.name: u for u in machine.init if constant_index(u.value) is not None}
        self._values = {name: update.value for name, update in known.items()}
        self._vars = {name: update.var for name, update in known.items()}
        updates = [u for node in operations for effect in node.effects for u in effect.updates]
        changed = True
        while changed:
            self.actions = tuple(action for action in machine.actions if not z3.is_false(self(action.guard)))
            every = [*updates, *(u for action in self.actions for u in action.updates)]
            moved = {u.var.name for u in every if u.var.name in self._values and not self._keeps(u)}
            for name in moved:
                del self._values[name]
            changed = bool(moved)

    def __call__(self, term: z3.ExprRef) -> z3.ExprRef:
        """`term` with the values of settled variables put in."""
        if not self._values:
            return term
        mentioned = names(term)
        known = [(name, value) for name, value in self._values.items() if name in mentioned]
        return _put_in(term, tuple((self._vars[name].decl, value) for name, value in known))

    def _keeps(self, update: Update) -> bool:
        return identity(_simple(self(update.value))) == identity(self._values[update.var.name])

    @property
    def names(self) -> frozenset[str]:
        """The names of the settled variables."""
        return frozenset(self._values)


def _put_in(term: z3.ExprRef, pairs: tuple[tuple[z3.FuncDeclRef, z3.ExprRef], ...]) -> z3.ExprRef:
    """`term` with functions replaced by constants, folded; remembered by Z3's identities, since scenarios share most of their terms."""
    key = (identity(term), *(part for decl, value in pairs for part in (int(decl.ast.value), identity(value))))
    if key not in _known:
        if len(_known) > _MOST:
            _known.clear()
        _known[key] = folded(z3.substitute_funs(term, *pairs) if pairs else term), (term, pairs)  # kept, as `once_a_term` does
    return _known[key][0]


_known: dict[tuple[int, ...], tuple[z3.ExprRef, object]] = {}
_MOST = 100_000
_simple = once_a_term(z3.simplify, 100_000)
