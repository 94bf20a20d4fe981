"""A toy kernel to try kernel C on: two cells of memory, a lock, pages, small integers; nothing of KVM.

`toy.build("void f(void) { *cell0 += 1; }")` compiles C to a transition system of two threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import z3

from tdpcheck import (
    BOOL,
    Action,
    Evaluator,
    Geometry,
    Param,
    Rigid,
    Sort,
    State,
    StateVar,
    TransitionSystem,
    Update,
    Word,
    bool_var,
    set_at,
    truth,
)
from tdpcheck.kernelc import (
    BOOLEAN,
    THREADS,
    VOID,
    Check,
    CType,
    Effect,
    Graph,
    Handle,
    Intrinsic,
    Library,
    Machine,
    Paths,
    Record,
    Ref,
    Scalar,
    Software,
    Value,
    boolean,
    compile_threads,
    lower,
    parse,
    scalar,
)

Cell, Page, Gfn = Sort("Cell"), Sort("Page"), Sort("Gfn")
Level = Sort("Level", ("PG_LEVEL_4K", "PG_LEVEL_2M", "PG_LEVEL_1G"))

mem = StateVar("mem", (Cell,), Word(2), "two cells of memory")
writer = bool_var("writer", THREADS, doc="the thread holds the lock for writing")
reader = bool_var("reader", THREADS, doc="the thread holds the lock for reading")
dirty = bool_var("dirty", Page, doc="somebody marked the page")
level_below = Rigid("level_below", (Level, Level), BOOL, lambda _, at: at[0] <= at[1])

U2, U4, S4 = Scalar("u2", Word(2)), Scalar("u4", Word(4)), Scalar("s4", Word(4), signed=True)
PAGE = Scalar("page_t", Page)
GFN = Scalar("gfn_t", Gfn)
LEVEL = Scalar("level_t", Level, {0: Level.element(0)}, less_equal=lambda a, b: level_below(a, b))
CELL = Scalar("cell_t", Cell)
LOCK = Handle("rwlock_t *")
KVM = Handle("struct kvm *")
SP = Record(
    "struct sp *", (("null", BOOLEAN), ("cell", CELL)), {0: {"null": truth(True), "cell": Cell.element(0)}}, lambda v: z3.Not(v["null"])
)

x = THREADS.const("x")
_free = z3.ForAll([x], z3.Not(writer(x)))
_no_reader = z3.ForAll([x], z3.Not(reader(x)))


def _compare_and_swap(t: z3.ExprRef, cell: Value, old: Value, new: Value) -> tuple[Effect, ...]:
    now = mem(cell.term)
    return (
        Effect(value=boolean(truth(True)), guard=now == old.term, updates=(set_at(mem, (cell.term,), new.term),), refs=(None,)),
        Effect(value=boolean(truth(False)), guard=now != old.term, refs=(scalar(U2, now),)),
    )


def _chosen(name: str, ctype: Scalar) -> Effect:
    choice = Param(name, ctype.kind)
    return Effect(value=scalar(ctype, choice.const), choices=(choice,), label=f"{name} is {{{name}}}")


_load = Intrinsic("load", (CELL,), U2, lambda t, c: scalar(U2, mem(c.term)), reads=("mem",))
_save = Intrinsic("save", (CELL, U2), VOID, lambda t, c, v: Effect(updates=(set_at(mem, (c.term,), v.term),)), writes=("mem",))

INTRINSICS = (
    Intrinsic("load", (CELL,), U2, _load.meaning, reads=("mem",)),
    Intrinsic("save", (CELL, U2), VOID, _save.meaning, writes=("mem",)),
    Intrinsic("cmpxchg", (CELL, Ref(U2), U2), BOOLEAN, _compare_and_swap, reads=("mem",), writes=("mem",)),
    Intrinsic("any_u2", (), U2, lambda t: _chosen("n", U2), "local"),
    Intrinsic("any_bool", (), BOOLEAN, lambda t: _chosen("b", BOOLEAN), "local"),
    Intrinsic("twice", (U2,), U2, lambda t, v: scalar(U2, v.term + v.term), "local"),
    Intrinsic("mark", (PAGE,), VOID, lambda t, p: Effect(updates=(set_at(dirty, (p.term,), truth(True)),)), writes=("dirty",)),
    Intrinsic("is_marked", (PAGE,), BOOLEAN, lambda t, p: boolean(dirty(p.term)), reads=("dirty",)),
    Intrinsic("page_of", (GFN,), PAGE, lambda t, g: scalar(PAGE, Page.element(0)), "local"),
    Intrinsic("wait_marked", (PAGE,), VOID, lambda t, p: Effect(guard=dirty(p.term)), "wait", reads=("dirty",)),
    Intrinsic("WARN_ON", (BOOLEAN,), BOOLEAN, lambda t, c: Effect(value=c, checks=(Check("WARN_ON", z3.Not(c.term)),)), "local"),
    Intrinsic(
        "lockdep_assert_held_write", (LOCK,), VOID, lambda t, _: Effect(checks=(Check("lockdep_assert_held_write", writer(t)),)), "local"
    ),
    Intrinsic(
        "write_lock",
        (LOCK,),
        VOID,
        lambda t, _: Effect(guard=z3.And(_free, _no_reader), updates=(set_at(writer, (t,), truth(True)),)),
        "right",
        acquires=("lock:write",),
    ),
    Intrinsic(
        "write_unlock",
        (LOCK,),
        VOID,
        lambda t, _: Effect(updates=(set_at(writer, (t,), truth(False)),)),
        "left",
        releases=("lock:write",),
    ),
    Intrinsic(
        "read_lock",
        (LOCK,),
        VOID,
        lambda t, _: Effect(guard=_free, updates=(set_at(reader, (t,), truth(True)),)),
        "right",
        acquires=("lock:read",),
    ),
    Intrinsic(
        "read_unlock", (LOCK,), VOID, lambda t, _: Effect(updates=(set_at(reader, (t,), truth(False)),)), "left", releases=("lock:read",)
    ),
)

TYPES: dict[tuple[str, int], CType] = {
    ("bool", 0): BOOLEAN,
    ("int", 0): S4,
    ("u2", 0): U2,
    ("u4", 0): U4,
    ("s4", 0): S4,
    ("page_t", 0): PAGE,
    ("gfn_t", 0): GFN,
    ("level_t", 0): LEVEL,
    ("cell_t", 0): CELL,
    ("struct kvm", 1): KVM,
    ("struct sp", 1): SP,
}

LIBRARY = Library(
    types=TYPES,
    constants={
        "cell0": scalar(CELL, Cell.element(0)),
        "cell1": scalar(CELL, Cell.element(1)),
        "page0": scalar(PAGE, Page.element(0)),
        "gfn0": scalar(GFN, Gfn.element(0)),
        **{name: scalar(LEVEL, Level.element(name)) for name in Level.elements},
    },
    intrinsics={i.name: i for i in INTRINSICS},
    fields={
        ("struct sp *", "count"): Intrinsic("sp->count", (SP,), U2, lambda t, sp: scalar(U2, mem(sp["cell"])), reads=("mem",)),
        ("struct sp *", "role.cell"): Intrinsic("sp->role.cell", (SP,), CELL, lambda t, sp: scalar(CELL, sp["cell"]), "local"),
    },
    stores={
        ("struct sp *", "count"): Intrinsic(
            "sp->count = ", (SP, U2), VOID, lambda t, sp, v: Effect(updates=(set_at(mem, (sp["cell"],), v.term),)), writes=("mem",)
        )
    },
    handles={("struct kvm *", "mmu_lock"): LOCK},
    loads={"cell_t": _load},
    saves={"cell_t": _save},
    identities=frozenset({"READ_ONCE", "likely"}),
    erased={"trace_event": "says nothing to the model"},
    erased_fields={("struct sp *", "stat"): "statistics"},
)

poke = Action(
    "poke",
    "machine",
    (Param("c", Cell), Param("v", Word(2))),
    truth(True),
    (set_at(mem, (Param("c", Cell).const,), Param("v", Word(2)).const),),
    "the machine writes {v} to cell {c}",
)
soil = Action("soil", "machine", (Param("p", Page),), truth(True), (set_at(dirty, (Param("p", Page).const,), truth(True)),), "page {p}")


@dataclass(frozen=True)
class Built:
    """Threads compiled into a system, and the graphs as they were before anything was folded."""

    software: Software
    system: TransitionSystem
    evaluator: Evaluator
    graphs: Mapping[str, Graph]
    threads: Sequence[str]


_parsed = cache(parse)
"""A file is parsed once, however many of its functions are compiled."""


@dataclass(frozen=True, eq=False)
class Toy:
    """Compiles C against the toy library."""

    library: Library = field(default=LIBRARY, repr=False)
    geometry: Geometry = field(default_factory=lambda: Geometry({"Thread": 2, "Cell": 2, "Page": 1, "Gfn": 1}))

    def graph(self, text: str, entry: str = "f", role: str = "f", arguments: Mapping[str, Value] | None = None) -> Graph:
        unit = _parsed(text, "toy.c")
        return lower(role, entry, unit.functions, unit.structs, self.library, arguments, unit.unmodelled | unit.broken)

    def build(
        self,
        text: str,
        entries: Sequence[str] = ("f",),
        threads: Sequence[str] = ("f", "f"),
        *,
        merge: bool = True,
        pokes: bool = False,
        paths: type[Paths] = Paths,
    ) -> Built:
        """The system of `threads`; with `pokes` the machine writes memory, and not just pages."""
        folded = [self.graph(text, entry, entry) for entry in entries]
        shared = (mem, writer, reader, dirty)
        machine = Machine(shared, actions=(soil, *((poke,) if pokes else ())))
        software = compile_threads(folded, threads, machine=machine, merge=merge, paths=paths)
        system = TransitionSystem(
            "toy",
            (*software.sorts, Cell, Page, Gfn, Level),
            (*software.state, *shared),
            (*software.init, *(Update(v, v.variables(), z3.BitVecVal(0, 2) if v is mem else truth(False)) for v in shared)),
            (*software.actions, soil, *((poke,) if pokes else ())),
            (*software.rigids, level_below),
        )
        raw = {entry: self.graph(text, entry, entry) for entry in entries}
        return Built(software, system, Evaluator(system, self.geometry), raw, threads)

    def shared(self, built: Built, state: State) -> tuple[int, ...]:
        """The part of a state that is not the software's own."""
        cells = built.evaluator.layout.cells
        return tuple(value for cell, value in zip(cells, state, strict=True) if cell.var in (mem, writer, reader, dirty))


toy = Toy()
