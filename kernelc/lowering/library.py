"""What C names mean: types, constants, intrinsics. Kernel C is given its meaning by a `Library` that the model supplies.

Every intrinsic has typed parameters and a typed result, and the lowering checks them: an untyped identity between a page
and an address is the likeliest silent modelling error there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import z3

from ...core.sorts import BOOL, Kind, Sort, Truth, Word
from ...core.system import Param, Update


@dataclass(frozen=True)
class Scalar:
    """A C type that is one value of a kind.

    Args:
        literals: what an integer literal of this type stands for; an enumeration also takes its elements by name.
        less_equal: the order behind `<`, `<=`, `>`, `>=`; without it the comparison is refused.
    """

    name: str
    kind: Kind
    literals: Mapping[int, z3.ExprRef] = field(default_factory=dict, compare=False)
    less_equal: Callable[[z3.ExprRef, z3.ExprRef], z3.BoolRef] | None = field(default=None, compare=False)
    signed: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Record:
    """A C type of several fields, flattened: a struct by value, a table pointer, an SPTE.

    Args:
        literals: what an integer literal (0, NULL) of this type stands for, field by field.
        truth: what `if (x)` asks; without it the test is refused.
        equal: what `==` asks; without it all fields are compared.
        add: pointer plus integer, where that is allowed.
        casts: by name, the other types whose values convert to this one (a table's memory is also a pointer to its first entry).
    """

    name: str
    fields: tuple[tuple[str, CType], ...]
    literals: Mapping[int, Mapping[str, z3.ExprRef]] = field(default_factory=dict, compare=False)
    truth: Callable[[Value], z3.BoolRef] | None = field(default=None, compare=False)
    equal: Callable[[Value, Value], z3.BoolRef] | None = field(default=None, compare=False)
    add: Callable[[Value, z3.ExprRef], Value] | None = field(default=None, compare=False)
    casts: Mapping[str, Callable[[Value], Value]] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return self.name

    def field(self, name: str) -> CType | None:
        return dict(self.fields).get(name)


@dataclass(frozen=True)
class Array:
    """A small array inside a struct or a local."""

    element: CType
    length: int

    def __str__(self) -> str:
        return f"{self.element}[{self.length}]"


@dataclass(frozen=True)
class Handle:
    """A pointer to the only thing of its kind here (`struct kvm *`), or a lock: it has a name and no content."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Void:
    """No value."""

    def __str__(self) -> str:
        return "void"


@dataclass(frozen=True)
class FunctionName:
    """A function handed on as a constant argument; bound when inlined."""

    def __str__(self) -> str:
        return "function"


@dataclass(frozen=True)
class Ref:
    """A pointer to a local: as a parameter of an intrinsic, the intrinsic reads the local and may write it."""

    to: CType

    def __str__(self) -> str:
        return f"{self.to} *"


@dataclass(frozen=True)
class Constant:
    """The type of an integer constant, by C's own widths, before it is known with what of the model it meets."""

    bits: int = 32
    signed: bool = True

    def __str__(self) -> str:
        return ("" if self.signed else "unsigned ") + ("int" if self.bits == 32 else "long") + " constant"

    def holds(self, number: int) -> bool:
        """Whether a number is a value of the type."""
        half = 1 << (self.bits - 1)
        return -half <= number < half if self.signed else 0 <= number < 2 * half

    def cut(self, number: int) -> int:
        """The number as it is converted to the type."""
        half = 1 << (self.bits - 1)
        low = number % (2 * half)
        return low - 2 * half if self.signed and low >= half else low


CType = Scalar | Record | Array | Handle | Void | FunctionName | Ref | Constant
VOID = Void()
BOOLEAN = Scalar("bool", BOOL, {0: z3.BoolVal(False), 1: z3.BoolVal(True)})


def leaves(ctype: CType, prefix: str = "") -> Iterator[tuple[str, Kind]]:
    """The scalars that a value of `ctype` consists of, as dotted paths and kinds."""
    match ctype:
        case Scalar():
            yield prefix, ctype.kind
        case Record():
            for name, inner in ctype.fields:
                yield from leaves(inner, f"{prefix}.{name}" if prefix else name)
        case Array():
            for i in range(ctype.length):
                yield from leaves(ctype.element, f"{prefix}[{i}]")
        case Handle() | Void() | FunctionName() | Ref() | Constant():
            return


@dataclass(frozen=True)
class Value:
    """A typed value: one term per leaf. A scalar's only path is the empty one.

    `name` says which handle or function it is, or to which local a pointer points; it is known while compiling.
    """

    type: CType
    parts: Mapping[str, z3.ExprRef] = field(default_factory=dict)
    name: str = ""

    @property
    def term(self) -> z3.ExprRef:
        """The term of a scalar."""
        return self.parts[""]

    def __getitem__(self, path: str) -> z3.ExprRef:
        return self.parts[path]

    def field(self, name: str, ctype: CType) -> Value:
        """The part of a record (or, with `[i]`, of an array) below one field."""
        picked = {}
        for path, term in self.parts.items():
            if path == name:
                picked[""] = term
            elif path.startswith(name) and path[len(name)] in ".[":
                picked[path[len(name) :].removeprefix(".")] = term
        return Value(ctype, picked)


def scalar(ctype: Scalar, term: z3.ExprRef) -> Value:
    return Value(ctype, {"": term})


def record(ctype: Record, **parts: z3.ExprRef) -> Value:
    """A record from its leaves; nested paths are written with `__` for the dot."""
    return Value(ctype, {name.replace("__", "."): term for name, term in parts.items()})


def boolean(term: z3.BoolRef) -> Value:
    return Value(BOOLEAN, {"": term})


@dataclass(frozen=True)
class Check:
    """Something that must be true when an intrinsic runs: `WARN_ON`, `lockdep_assert_held`."""

    label: str
    holds: z3.BoolRef


@dataclass(frozen=True)
class Need:
    """What steps that were merged take for granted where an intrinsic runs: that a page which it fills is reached by nobody, say.

    Args:
        topic: what it is about. The needs of a topic are asked for where some operation that relies on it was merged.
        what: what went wrong if it does not hold, as a reader is told.
        relies: whether it is the reason why the intrinsic itself merges with others.
    """

    topic: str
    what: str
    holds: z3.BoolRef
    relies: bool = False


@dataclass(frozen=True)
class Effect:
    """One thing that an intrinsic can do: when it may, what it changes, what it answers.

    Args:
        guard: blocks (or, among several effects, chooses); speaks of the state before, of the arguments and of `choices`.
        choices: nondeterministic values used in the rest.
        refs: new values of the `Ref` parameters, in order; None leaves one as it is.
        needs: what the merging of steps takes for granted of this one: asked together with every property.
        label: what a reader sees instead of the C text; may name choices as `{name}`. `without`, where the machine lacks something of
            which the effect speaks; '' if nothing else is seen then.
    """

    value: Value | None = None
    guard: z3.BoolRef = field(default_factory=lambda: z3.BoolVal(True))
    updates: tuple[Update, ...] = ()
    choices: tuple[Param, ...] = ()
    refs: tuple[Value | None, ...] = ()
    checks: tuple[Check, ...] = ()
    label: str = ""
    needs: tuple[Need, ...] = ()
    without: str = ""


Mover = Literal["local", "right", "left", "wait", "none"]
"""How a step commutes with other threads' steps (Lipton): local ones merge with either neighbour, right movers (acquire)
with the next visible step, left movers (release) with the previous one, the rest stand alone. A `wait` blocks on a condition
that stays true once it is; it begins a step and merges with what follows."""

Meaning = Callable[..., "Effect | Sequence[Effect] | Value"]


@dataclass(frozen=True)
class Waives:
    """What a statement says of itself that nobody checks.

    Args:
        what: what it says, and so is not asked, in words.
        over: the state variables in which it says so; empty where runs are left out.
        ends: what it says the end of; it waives nothing where it stands, but something where it is taken away.
        real: Linux has the statement, too, so that it is somebody's word only where a flow has it that had none.
    """

    what: str
    over: tuple[str, ...] = ()
    ends: str = ""
    real: bool = False


@dataclass(frozen=True)
class Intrinsic:
    """A call that kernel C does not define.

    Args:
        meaning: called with the thread's term and one `Value` per parameter; answers a Value (a pure function), one Effect,
            or several (the run takes any whose guard holds).
        mover: how it commutes, as `tests/model/test_movers.py` proves it of its terms; a read of `reads` under a write-held lock that
            every writer of what it reads holds becomes local, too.
        when: called as `meaning`; the state condition under which it commutes so, or under which nothing that the machine writes of
            what it reads can change. Nobody else may make it false. Where it does not hold, the step stands alone.
        blocks: it may have to wait although it has several effects.
        acquires, releases: locks, as `name:read` or `name:write`.
        reads, writes: which groups of shared state it touches, for that computation.
        doc: what it stands for, with its source.
        waives: of a ghost, which the model alone knows, what it takes out of the question.
        returns: whether it ever comes back, as BUG() does not.
    """

    name: str
    params: tuple[CType, ...]
    result: CType
    meaning: Meaning
    mover: Mover = "none"
    acquires: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    doc: str = ""
    when: Callable[..., z3.BoolRef] | None = None
    blocks: bool = False
    waives: Waives | None = None
    returns: bool = True

    @property
    def home(self) -> str:
        """The file in which its meaning is written, as a path below the project; '' if nobody knows."""
        module: str = getattr(self.meaning, "__module__", "")
        return "/".join(module.split(".")[1:]) + ".py" if "." in module else ""


@dataclass(frozen=True)
class Held:
    """What a thread may hold, and has given back when its entry function returns.

    Args:
        what: the kernel's name for it.
        by: the intrinsic that takes it.
        holds: whether a thread holds it.
    """

    what: str
    by: str
    holds: Callable[[z3.ExprRef], z3.BoolRef]

    def given_back(self, thread: z3.ExprRef, entry: str) -> Check:
        """That a thread holds it no longer."""
        return Check(f"{self.what} is still held when {entry}() returns", z3.Not(self.holds(thread)))

    def balanced(self, thread: z3.ExprRef) -> Check:
        """That a thread which gives it back holds it (lockdep: bad unlock balance)."""
        return Check(f"{self.what} is given back by a thread that does not hold it", self.holds(thread))


@dataclass(frozen=True)
class Library:
    """The meaning of all names that kernel C may use without defining them.

    Args:
        types: by base spelling and number of stars.
        constants: named values (`RET_PF_RETRY`, `NULL` per type comes from literals).
        intrinsics: by name of the function.
        fields: `(type or handle name, dotted path)` to an intrinsic of one parameter, the base: a read of shared state.
        stores: the same with a second parameter, the value: a write of shared state.
        handles: `(handle name, field)` to the handle that stands there: `kvm->mmu_lock`.
        embedded: `(type name, field)` to what `&base->field` is: a thing that is known by what it lies in (`&sp->rcu_head`).
        loads, saves: by type name of a pointer: what `*p` and `*p = x` mean.
        variables: variables at file level, each to the handle under which `fields` and `stores` (with the path '') have it.
        methods: `(function, handle name)` to the intrinsic that a call of it with that handle means: `mutex_lock(&a)`.
        identities: calls that give back their only argument (`likely`, `READ_ONCE`).
        erased: calls without effect here, each with the reason: a report lists them as erased by abstraction.
        erased_fields: stores to fields that the model does not have, likewise.
        held: what must have been given back when an entry function returns.
    """

    types: Mapping[tuple[str, int], CType]
    constants: Mapping[str, Value] = field(default_factory=dict)
    intrinsics: Mapping[str, Intrinsic] = field(default_factory=dict)
    fields: Mapping[tuple[str, str], Intrinsic] = field(default_factory=dict)
    stores: Mapping[tuple[str, str], Intrinsic] = field(default_factory=dict)
    handles: Mapping[tuple[str, str], Handle] = field(default_factory=dict)
    embedded: Mapping[tuple[str, str], Intrinsic] = field(default_factory=dict)
    loads: Mapping[str, Intrinsic] = field(default_factory=dict)
    saves: Mapping[str, Intrinsic] = field(default_factory=dict)
    variables: Mapping[str, Handle] = field(default_factory=dict)
    methods: Mapping[tuple[str, str], str] = field(default_factory=dict)
    identities: frozenset[str] = frozenset()
    erased: Mapping[str, str] = field(default_factory=dict)
    erased_fields: Mapping[tuple[str, str], str] = field(default_factory=dict)
    held: tuple[Held, ...] = ()
    recursion: int = 1


def default(kind: Kind) -> z3.ExprRef:
    """What a dead local holds: the first element, zero, or false."""
    match kind:
        case Sort():
            return kind.element(0)
        case Word():
            return z3.BitVecVal(0, kind.width)
        case Truth():
            return z3.BoolVal(False)
