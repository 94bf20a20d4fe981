"""The control-flow graph of one thread: its entry function with every call inlined.

Terms in it speak of the thread's locals as free constants (`Local.const`), of the thread itself as `THREAD`, and of shared
state by application of state functions, just as actions do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import z3

from ...core.errors import ModelError
from ...core.sorts import BOOL, Kind, Sort, StateVar
from ...core.system import Source
from ..errors import Refusal
from .library import Effect, Mover

THREADS = Sort("Thread")
THREAD = THREADS.const("t")
ASSERTIONS = Sort("Assertion")
"""The assertions of all threads; in a system its elements are their places."""
FAILED = StateVar("assertion_failed", (ASSERTIONS,), BOOL, "an assertion of the kernel C that was found false; stays so")


@dataclass(frozen=True, slots=True)
class Local:
    """One scalar of the thread's own: `path` is unique in the graph, as in `zap_leafs.iter.gfn`."""

    path: str
    kind: Kind

    def __hash__(self) -> int:
        return hash(self.path)  # which Python remembers

    @property
    def const(self) -> z3.ExprRef:
        return self.kind.const("%" + self.path)


@dataclass(slots=True)
class Node:
    """A point of the graph. `next` is -1 at the end."""

    number: int
    at: Source
    stack: tuple[str, ...]
    next: int = -1

    def successors(self) -> tuple[int, ...]:
        return (self.next,) if self.next >= 0 else ()


@dataclass(slots=True)
class Nop(Node):
    """A join, or the end."""


@dataclass(slots=True)
class Mark(Nop):
    """It does nothing but to be passed.

    It stands before a statement (of one that is `told`, each step says whether it passes it), or behind a watched `condition` that
    turned out to be `holds`; or, where it is `decided`, for a branch past which a way is led, because it is known there that its
    condition `holds`, or does not.
    """

    condition: str = ""
    holds: bool = False
    decided: bool = False
    told: bool = False


@dataclass(slots=True)
class Set(Node):
    """Simultaneous assignment to locals."""

    values: dict[Local, z3.ExprRef] = field(default_factory=dict)


@dataclass(slots=True)
class Havoc(Node):
    """Locals that hold any value from here: declared and not initialised."""

    locals: tuple[Local, ...] = ()


@dataclass(slots=True)
class Branch(Node):
    """`next` when the condition holds, `other` when not."""

    condition: z3.BoolRef = field(default_factory=lambda: z3.BoolVal(True))
    other: int = -1

    def successors(self) -> tuple[int, ...]:
        return (self.next, self.other)


@dataclass(slots=True)
class Op(Node):
    """A visible operation: one of several effects, and where its answers go.

    `results` has, per effect, the locals that it sets. `name` is the intrinsic's. `when` says where it commutes; None says everywhere.
    """

    name: str = ""
    mover: Mover = "none"
    effects: tuple[Effect, ...] = ()
    results: tuple[dict[Local, z3.ExprRef], ...] = ()
    acquires: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    targets: tuple[int, ...] = ()
    when: z3.BoolRef | None = None
    blocks: bool = False

    def after(self, which: int) -> int:
        """The node that follows the effect of that number: `next`, unless the effect's answer decides the branches behind it."""
        return self.targets[which] if self.targets else self.next

    def successors(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(self.after(which) for which in range(len(self.effects))))


@dataclass(slots=True)
class Refuse(Node):
    """Something that must not be reached: an unknown callee, recursion beyond the bound. An error only if it can be."""

    refusal: Refusal | None = None
    what: str = ""


@dataclass
class Graph:
    """The graph of one role of thread. Node numbers are positions in `nodes`.

    Args:
        final: its constants are folded, and nobody changes it any more; `known` is what was found out about it then, by who asked what.
    """

    role: str
    nodes: list[Node]
    entry: int
    exit: int
    locals: dict[str, Local]
    inlined: tuple[str, ...] = ()
    erased: tuple[tuple[Source, str], ...] = ()
    final: bool = field(default=False, compare=False)
    known: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def reachable(self) -> Iterator[int]:
        """The numbers of nodes that some path of edges leads to."""
        seen, todo = {self.entry}, [self.entry]
        while todo:
            number = todo.pop()
            yield number
            for follower in self.nodes[number].successors():
                if follower >= 0 and follower not in seen:
                    seen.add(follower)
                    todo.append(follower)

    def check_closed(self) -> None:
        """Every reachable node but the end leads on, or refuses to be reached.

        Raises:
            ModelError: one does not, so that what follows it in the C text would be lost. A fault of the lowering, never of the text.
        """
        for number in self.reachable():
            node = self.nodes[number]
            if number != self.exit and not isinstance(node, Refuse) and _leads_nowhere(node):
                raise ModelError(f"{self.role}: what follows {node.at} is missing from the graph (node {number}); please report this")


def _leads_nowhere(node: Node) -> bool:
    if isinstance(node, Op):
        return any(node.after(which) < 0 for which in range(len(node.effects)))
    return node.next < 0 or (isinstance(node, Branch) and node.other < 0)
