"""The abstract syntax of the C subset, as plain frozen values.

The parser makes these, the lowering consumes them; nobody else needs to know tree-sitter.
What the subset refuses has no class here: a `switch` cannot be represented, so it cannot be skipped by accident.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..errors import Location as Location
from ..errors import Refusal, Unmodelled


@dataclass(frozen=True, slots=True)
class TypeRef:
    """A type as written: its base spelling without qualifiers, and how many stars follow.

    `struct kvm_mmu_page *` is `TypeRef("struct kvm_mmu_page", 1)`; `const`, `volatile`, `static`, `inline`, `__rcu` are dropped.
    `array` is the declared length of an array declarator (as an expression), or None.
    """

    base: str
    pointer: int = 0
    array: Expr | None = None

    def __str__(self) -> str:
        return self.base + (" " + "*" * self.pointer if self.pointer else "")


# Expressions


@dataclass(frozen=True, slots=True)
class IntLiteral:
    """An integer constant; `bits` and `signed` are those of the type that C gives it (LP64): 32 for `int`, 64 for `long`."""

    value: int
    at: Location
    bits: int = 32
    signed: bool = True


@dataclass(frozen=True, slots=True)
class Name:
    """An identifier: a local, a parameter, a constant, or a function handed on as a value."""

    name: str
    at: Location


@dataclass(frozen=True, slots=True)
class Unary:
    """`!x`, `~x`, `-x`, `+x`, `*x` (dereference) and `&x` (address of)."""

    op: Literal["!", "~", "-", "+", "*", "&"]
    operand: Expr
    at: Location


@dataclass(frozen=True, slots=True)
class Step:
    """`++x`, `x++`, `--x`, `x--`."""

    op: Literal["++", "--"]
    operand: Expr
    prefix: bool
    at: Location


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic, bit, comparison and the short-circuit operators `&&` and `||`."""

    op: str
    left: Expr
    right: Expr
    at: Location


@dataclass(frozen=True, slots=True)
class Conditional:
    """`condition ? then : otherwise`; GNU's `a ?: b` is refused."""

    condition: Expr
    then: Expr
    otherwise: Expr
    at: Location


@dataclass(frozen=True, slots=True)
class Assign:
    """`target op value` with op one of `=`, `|=`, `+=` and so on."""

    op: str
    target: Expr
    value: Expr
    at: Location


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a named function, or of a function-valued parameter, by its identifier."""

    function: str
    arguments: tuple[Expr, ...]
    at: Location


@dataclass(frozen=True, slots=True)
class Member:
    """`base.field`, or `base->field` when `arrow`."""

    base: Expr
    field: str
    arrow: bool
    at: Location


@dataclass(frozen=True, slots=True)
class Index:
    """`base[index]`."""

    base: Expr
    index: Expr
    at: Location


@dataclass(frozen=True, slots=True)
class Cast:
    type: TypeRef
    operand: Expr
    at: Location


@dataclass(frozen=True, slots=True)
class Comma:
    """`a, b` as in the header of a for loop; its value is the last one's."""

    parts: tuple[Expr, ...]
    at: Location


@dataclass(frozen=True, slots=True)
class Initializer:
    """`{ .field = value, ... }`; positional lists are refused, `{ 0 }` and `{}` have no fields and mean all zero."""

    fields: tuple[tuple[str, Expr], ...]
    at: Location


@dataclass(frozen=True, slots=True)
class Enclosed:
    """GNU's `({ ... })`: statements in a scope of their own; its value is that of the last one, if that is an expression."""

    body: Block
    at: Location


@dataclass(frozen=True, slots=True)
class Watched:
    """A condition of which one wants to see how it turns out. Its value is that of the expression inside; no parser makes this."""

    condition: Expr
    at: Location


Expr = (
    IntLiteral
    | Name
    | Unary
    | Step
    | Binary
    | Conditional
    | Assign
    | Call
    | Member
    | Index
    | Cast
    | Comma
    | Initializer
    | Enclosed
    | Watched
)


# Statements


@dataclass(frozen=True, slots=True)
class Declare:
    """One declared local (a declaration of several is split into several)."""

    type: TypeRef
    name: str
    value: Expr | None
    at: Location


@dataclass(frozen=True, slots=True)
class Evaluate:
    """An expression statement."""

    expression: Expr
    at: Location


@dataclass(frozen=True, slots=True)
class If:
    condition: Expr
    then: Stmt
    otherwise: Stmt | None
    at: Location


@dataclass(frozen=True, slots=True)
class While:
    """`while (c) body`, or `do body while (c)` when `test_last`."""

    condition: Expr
    body: Stmt
    test_last: bool
    at: Location


@dataclass(frozen=True, slots=True)
class For:
    """A for loop; every part of the header may be missing."""

    start: Stmt | None
    condition: Expr | None
    step: Expr | None
    body: Stmt
    at: Location


@dataclass(frozen=True, slots=True)
class Jump:
    """`break`, `continue`, or `goto label`."""

    kind: Literal["break", "continue", "goto"]
    label: str | None
    at: Location


@dataclass(frozen=True, slots=True)
class Label:
    """`name: statement` (the statement may be an empty Block)."""

    name: str
    statement: Stmt
    at: Location


@dataclass(frozen=True, slots=True)
class Return:
    value: Expr | None
    at: Location


@dataclass(frozen=True, slots=True)
class Block:
    statements: tuple[Stmt, ...]
    at: Location


@dataclass(frozen=True, slots=True)
class Mark:
    """It does nothing, and whether it is passed can be seen; no parser makes this.

    Args:
        told: a step that passes it is told apart from one that does not.
    """

    at: Location
    told: bool = False


Stmt = Mark | Declare | Evaluate | If | While | For | Jump | Label | Return | Block


# Top level


@dataclass(frozen=True, slots=True)
class Parameter:
    type: TypeRef
    name: str


@dataclass(frozen=True, slots=True)
class Function:
    """A function definition; `last_line` is the line of its closing brace."""

    name: str
    returns: TypeRef
    parameters: tuple[Parameter, ...]
    body: Block
    at: Location
    last_line: int


@dataclass(frozen=True, slots=True)
class Struct:
    """A struct definition: field names and types in order."""

    name: str
    fields: tuple[tuple[str, TypeRef], ...]
    at: Location


@dataclass(frozen=True, slots=True)
class Static:
    """A variable that stands at file level and is declared `static`.

    Args:
        initial: the number that it begins with; None of one that begins with something else than a plain constant.
    """

    name: str
    type: TypeRef
    initial: int | None
    at: Location


@dataclass(frozen=True, slots=True)
class Unit:
    """One parsed file: what it defines.

    `broken` names functions that could not be parsed, with the refusal: it is raised only when somebody needs that function,
    so that one exotic function does not keep the rest of a kernel file from being lifted. `unmodelled` names what stands at file
    level and has no meaning here (variables, enumerators), with the refusal for who uses it; of these `statics` can be given one. `strange`
    is what is not understood there. `spans` are the first and last lines of functions that could not be parsed.
    """

    file: str
    functions: dict[str, Function]
    structs: dict[str, Struct]
    broken: dict[str, Exception]
    unmodelled: dict[str, Unmodelled] = field(default_factory=dict)
    strange: list[Refusal] = field(default_factory=list)
    statics: dict[str, Static] = field(default_factory=dict)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
