"""State that kernel C declares itself: flags, locks and notifiers at file level, each a variable of the machine's under its own name.

Where a scenario says who walks which roots (`[[space]]`), it names the locks and notifiers that are declared so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import z3

from ..core.alike import alike, did_you_mean
from ..core.errors import InputError
from ..core.sorts import Sort, StateVar, Truth
from ..core.system import Update, set_at
from ..kernelc.errors import Unmodelled
from ..kernelc.lowering.cfg import THREADS
from ..kernelc.lowering.library import VOID, Check, Effect, Handle, Held, Intrinsic, Library, Scalar, Value, default
from ..kernelc.text import ast
from .intrinsics import host
from .machine import parts
from .machine.locks import LOCK, held
from .machine.sorts import u
from .machine.spaces import KVM, MMU_LOCK, SHARED, Guard, Notifier, Space, Spaces, own_notifier
from .scenario import Scenario

Known = TypeVar("Known")
NOTIFIER = "struct mmu_interval_notifier"
"""The type of a notifier."""
_MUTEXES = {name: Guard(name, ((held, (number,)),)) for number, name in enumerate(LOCK.elements)}
LOCKS: Mapping[str, tuple[str, str]] = {
    "struct mutex": ("mutex_lock", "mutex_unlock"),
    "spinlock_t": ("spin_lock", "spin_unlock"),
}
"""The types of locks that may be declared, and the calls that take and drop one."""
TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)


@dataclass(frozen=True)
class OwnState:
    """What the files of a design declare at file level, and mean by it.

    Args:
        state: a variable for each; that of a lock says which thread holds it.
        init: how they begin: as C says, all zero, or with the constant that stands there.
        library: the library that knows them.
        locks, notifiers: those of them that are such, by name.
    """

    library: Library
    state: tuple[StateVar, ...] = ()
    init: tuple[Update, ...] = ()
    names: frozenset[str] = field(default_factory=frozenset)
    locks: Mapping[str, Guard] = field(default_factory=dict)
    notifiers: Mapping[str, Notifier] = field(default_factory=dict)


def own_state(statics: Iterable[ast.Static], library: Library) -> OwnState:
    """The state that kernel C declares at file level. What is no flag and no lock is left to be refused where it is used.

    Raises:
        InputError: the machine has a variable of that name.
    """
    made = OwnState(library)
    for static in statics:
        if static.name in {var.name for var in (*parts.state(), *made.state)} | library.intrinsics.keys():
            raise InputError(f"{static.at}: {static.name} is a name of the model's own, or is declared twice; give it another one")
        if static.type.pointer == 0 and static.type.array is None and static.type.base in LOCKS:
            made = _with_lock(made, static)
            continue
        if static.type.pointer == 0 and static.type.array is None and static.type.base == NOTIFIER:
            made = _with_notifier(made, static)
            continue
        ctype = library.types.get((static.type.base, static.type.pointer))
        if static.type.array is None and isinstance(ctype, Scalar) and static.initial is not None and isinstance(ctype.kind, Truth | Sort):
            made = _with_flag(made, static, ctype)
    return made


def refusal_of(static: ast.Static) -> Unmodelled:
    """What to say where a variable at file level is used that has no meaning here."""
    what = (
        "a flag (`static bool`), a value of a type that `tdpcheck list intrinsics` has, a lock (`static DEFINE_MUTEX(x)`) "
        f"or a notifier (`static {NOTIFIER} x`) can be"
    )
    return Unmodelled(static.at, "a variable at file level is not modelled", static.name, f"{what}; a number that is counted cannot")


def _with_flag(made: OwnState, static: ast.Static, ctype: Scalar) -> OwnState:
    """A scalar: read and written in steps of their own, as C does."""
    name, base = static.name, Handle(f"static {static.name}")
    var = StateVar(name, (), ctype.kind, f"declared at {static.at.file}:{static.at.line}")
    first = ctype.literals.get(static.initial or 0)
    value = first if first is not None else default(ctype.kind)
    read = Intrinsic(name, (base,), ctype, lambda t, _: Effect(value=Value(ctype, {"": var()})), doc=var.doc)
    write = Intrinsic(f"{name}=", (base, ctype), VOID, lambda t, _, new: Effect(updates=(Update(var, (), new.term),)), doc=var.doc)
    library = replace(
        made.library,
        variables={**made.library.variables, name: base},
        fields={**made.library.fields, (str(base), ""): read},
        stores={**made.library.stores, (str(base), ""): write},
    )
    first_value = Update(var, (), value)
    return replace(made, library=library, state=(*made.state, var), init=(*made.init, first_value), names=made.names | {name})


def _with_lock(made: OwnState, static: ast.Static) -> OwnState:
    """A lock that one thread holds at most."""
    name, lock = static.name, Handle(static.name)
    var = StateVar(name, (THREADS,), Truth(), f"holds the lock that is declared at {static.at.file}:{static.at.line}")
    free = z3.ForAll([u], z3.Not(var(u)))
    take, drop = LOCKS[static.type.base]
    mine = Held(name, f"lock_{name}", var)
    calls = (
        Intrinsic(
            f"lock_{name}", (lock,), VOID, lambda t, _: Effect(guard=free, updates=(set_at(var, (t,), TRUE),)), "right",
            acquires=(f"{name}:write",), doc=f"takes {name}",
        ),
        Intrinsic(
            f"unlock_{name}", (lock,), VOID, lambda t, _: Effect(updates=(set_at(var, (t,), FALSE),), checks=(mine.balanced(t),)), "left",
            releases=(f"{name}:write",), doc=f"releases {name}",
        ),
        Intrinsic(
            f"lockdep_assert_held_{name}", (lock,), VOID, lambda t, _: Effect(checks=(Check("lockdep_assert_held", var(t)),)), "local",
            reads=("own",), doc=f"{name} is held",
        ),
    )  # fmt: skip
    methods = {(take, name): calls[0].name, (drop, name): calls[1].name, ("lockdep_assert_held", name): calls[2].name}
    library = replace(
        made.library,
        constants={**made.library.constants, name: Value(lock, name=name)},
        intrinsics={**made.library.intrinsics, **{call.name: call for call in calls}},
        methods={**made.library.methods, **methods},
        held=(*made.library.held, mine),
    )
    init = Update(var, var.variables(), FALSE)
    locks = {**made.locks, name: Guard(name, ((var, ()),))}
    return replace(
        made, library=library, state=(*made.state, var), init=(*made.init, init), names=made.names | {name}, locks=locks
    )  # fmt: skip


def _with_notifier(made: OwnState, static: ast.Static) -> OwnState:
    """A notifier with a sequence and windows of its own."""
    own = own_notifier(static.name)
    notifiers = {**made.notifiers, own.name: own}
    calls = host.of_notifier(own)
    known = {**{call.name: call for call in calls}, "hva_to_pfn": host.resolving((KVM, *notifiers.values()))}
    methods = {(call, own.name): f"{own.name}_{what}" for call, what in host.NOTIFIER_CALLS.items()}
    library = replace(
        made.library,
        constants={**made.library.constants, own.name: Value(Handle(own.name), name=own.name)},
        intrinsics={**made.library.intrinsics, **known},
        methods={**made.library.methods, **methods},
    )
    state = (*own.windows, own.seq_stale, own.pfn_stale)
    init = tuple(Update(var, var.variables(), FALSE) for var in state)
    return replace(
        made, library=library, state=(*made.state, *state), init=(*made.init, *init), names=made.names | {own.name}, notifiers=notifiers
    )  # fmt: skip


def spaces_of(scenario: Scenario, own: OwnState | None) -> Spaces:
    """Who walks which roots in a scenario, with the locks and notifiers that its design declares.

    Raises:
        InputError: a lock or a notifier that nobody declares.
    """
    if not scenario.space:
        return SHARED
    locks = {"mmu_lock": MMU_LOCK, **_MUTEXES, **(own.locks if own is not None else {})}
    notifiers = {KVM.name: KVM, **(own.notifiers if own is not None else {})}

    def known(kind: str, name: str, among: Mapping[str, Known], how: str) -> Known:
        if name in among:
            return among[name]
        near = did_you_mean(alike(name, sorted(among)))
        there = near or f"there are {', '.join(sorted(among))}"
        raise InputError(f"scenario {scenario.name}: no {kind} {name!r} is declared; {there}. Declare one in C: `{how}`")

    first = {each.name: min(each.roots or (parts.spaces_of(scenario).first_other(),)) for each in scenario.space}
    return Spaces(
        tuple(
            Space(
                each.name,
                each.roots,
                each.walked_by,
                known("lock", each.lock, locks, f"static DEFINE_MUTEX({each.lock});"),
                known("notifier", each.notifier, notifiers, f"static {NOTIFIER} {each.notifier};"),
                None if each.mirrors is None else first[each.mirrors],
            )
            for each in scenario.space
        )
    )
