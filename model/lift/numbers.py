"""Which `u64` is a number: C has one type for an SPTE and for a count of pages, and here they are two.

What a `u64` is shows in its use. Variables, parameters and answers of functions that are assigned to each other, compared or passed on
are of one kind. A kind is an SPTE's if one of them meets one: an entry, a call that takes or gives one. It is a number's if one is
computed with or compared in order, or meets a number, and none meets an SPTE. Where nothing shows it, it is an SPTE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal

from ...core.sorts import Word
from ...kernelc.lowering.library import Library, Ref, Scalar
from ...kernelc.text import ast
from ..intrinsics import types

NUMBER = "unsigned long"
_COMPUTES = frozenset({"+", "-", "*", "/", "%", "<<", ">>"})
_ORDERS = frozenset({"<", ">", "<=", ">="})
_NUMBERS = frozenset(
    {"int", "gfn_t", "gpa_t", "hva_t", "unsigned long", "long", "u8", "u16", "u32", "kvm_pfn_t", "unsigned int", "bool", "size_t"}
)
_SPTES = frozenset({"REMOVED_SPTE", "FROZEN_SPTE", "SHADOW_NONPRESENT_VALUE"})

Key = tuple[str, str]
"""A variable of a function, or its answer (with no name)."""
Kind = Key | Literal["spte", "number"] | None


def numbers_told(functions: Mapping[str, ast.Function], structs: Mapping[str, ast.Struct], library: Library) -> dict[str, ast.Function]:
    """The functions, with another type for each `u64` that is a number."""
    found = _Kinds(functions, structs, library)
    return {name: found.told(function) for name, function in functions.items()}


class _Kinds:
    def __init__(self, functions: Mapping[str, ast.Function], structs: Mapping[str, ast.Struct], library: Library) -> None:
        self._functions = functions
        self._library = library
        self._sptes = {name for struct in structs.values() for name, ref in struct.fields if _is_u64(ref)}
        self._leader: dict[Key, Key] = {}
        self._shown: dict[Key, set[str]] = {}
        self._names: dict[str, dict[str, ast.TypeRef]] = {}
        for name, function in functions.items():
            declared = [(p.name, p.type) for p in function.parameters]
            declared += [(node.name, node.type) for node in _nodes(function.body) if isinstance(node, ast.Declare)]
            self._names[name] = dict(declared)
        for function in functions.values():
            self._function = function.name
            for node in _nodes(function.body):
                self._look(node)

    def told(self, function: ast.Function) -> ast.Function:
        """One function with what was found in it."""
        names = {name for name, ref in self._names[function.name].items() if _is_u64(ref) and self._is_number((function.name, name))}
        returns = _is_u64(function.returns) and self._is_number((function.name, ""))
        if not names and not returns:
            return function
        return replace(
            function,
            returns=_retyped(function.returns) if returns else function.returns,
            parameters=tuple(replace(p, type=_retyped(p.type)) if p.name in names else p for p in function.parameters),
            body=_declared(function.body, names),
        )

    def _is_number(self, key: Key) -> bool:
        return self._shown.get(self._first(key), set()) == {"number"}

    def _first(self, key: Key) -> Key:
        while key in self._leader:
            key = self._leader[key]
        return key

    def _meet(self, one: Kind, other: Kind) -> None:
        if one is None or other is None:
            return
        if isinstance(one, str):
            one, other = other, one
        if isinstance(one, str):
            return
        one = self._first(one)
        if isinstance(other, str):
            self._shown.setdefault(one, set()).add(other)
            return
        other = self._first(other)
        if one != other:
            self._leader[other] = one
            self._shown[one] = self._shown.get(one, set()) | self._shown.pop(other, set())

    # What a node shows

    def _look(self, node: object) -> None:
        match node:
            case ast.Declare(name=name, value=value) if value is not None and not isinstance(value, ast.Initializer):
                self._meet(self._named(name), self.kind(value))
            case ast.Assign(op=op, target=target, value=value):
                self._meet(self.kind(target), self.kind(value))
                if op.removesuffix("=") in _COMPUTES:
                    self._meet(self.kind(target), "number")
            case ast.Step(operand=operand):
                self._meet(self.kind(operand), "number")
            case ast.Binary(op=op, left=left, right=right) if op in _COMPUTES or op in _ORDERS:
                self._meet(self._plain(left), "number")
                self._meet(self._plain(right), "number")
            case ast.Binary(op="==" | "!=", left=left, right=right):
                self._meet(self.kind(left), self.kind(right))
            case ast.Conditional(then=then, otherwise=otherwise):
                self._meet(self.kind(then), self.kind(otherwise))
            case ast.Index(index=index):
                self._meet(self.kind(index), "number")
            case ast.Return(value=value) if value is not None:
                self._meet(self._answer(self._function), self.kind(value))
            case ast.Call():
                self._call(node)
            case _:
                pass

    def _plain(self, expression: ast.Expr) -> Kind:
        """The kind of a variable or a call that is computed with as it stands; masked bits of an SPTE may be shifted."""
        return self.kind(expression) if isinstance(expression, (ast.Name, ast.Call)) else None

    def _call(self, call: ast.Call) -> None:
        intrinsic = self._library.intrinsics.get(call.function)
        if intrinsic is not None:
            for argument, wanted in zip(call.arguments, intrinsic.params, strict=False):
                if isinstance(wanted, Ref) and isinstance(argument, ast.Unary):
                    self._meet(self.kind(argument.operand), _kind_of(wanted.to))
                self._meet(self.kind(argument), _kind_of(wanted))
            return
        function = self._functions.get(call.function)
        for argument, parameter in zip(call.arguments, function.parameters if function is not None else (), strict=False):
            if function is not None and _is_u64(parameter.type):
                self._meet(self.kind(argument), (function.name, parameter.name))
            elif parameter.type.base == "u64" and isinstance(argument, ast.Unary) and argument.op == "&":
                self._meet(self.kind(argument.operand), "spte")
            else:
                self._meet(self.kind(argument), _by_type(parameter.type))

    def _named(self, name: str) -> Kind:
        ref = self._names[self._function].get(name)
        if ref is None:
            return "spte" if name in _SPTES else None
        return (self._function, name) if _is_u64(ref) else _by_type(ref)

    def _answer(self, name: str) -> Kind:
        returns = self._functions[name].returns
        return (name, "") if _is_u64(returns) else _by_type(returns)

    def kind(self, expression: ast.Expr) -> Kind:
        """What an expression is, as far as it shows by itself."""
        match expression:
            case ast.Name(name=name):
                return self._named(name)
            case ast.IntLiteral(value=value):
                return "number" if value else None
            case ast.Member(field=field):
                return "spte" if field in self._sptes else None
            case ast.Unary(op="*"):
                return "spte"
            case ast.Call(function=name):
                if name in self._library.intrinsics:
                    return _kind_of(self._library.intrinsics[name].result)
                if name in self._library.identities and len(expression.arguments) == 1:
                    return self.kind(expression.arguments[0])
                return self._answer(name) if name in self._functions else None
            case ast.Binary(op=op, left=left, right=right) if op in ("&", "|", "^"):
                kinds = (self.kind(left), self.kind(right))
                return "spte" if "spte" in kinds else next((k for k in kinds if isinstance(k, tuple)), None)
            case ast.Binary(op=op) if op in _COMPUTES:
                return "number"
            case ast.Unary(op="~" | "+" | "-", operand=operand) | ast.Cast(operand=operand):
                return self.kind(operand)
            case ast.Assign(target=target):
                return self.kind(target)
            case ast.Conditional(then=then, otherwise=otherwise):
                return self.kind(then) or self.kind(otherwise)
            case _:
                return None


def _is_u64(ref: ast.TypeRef) -> bool:
    return ref.base == "u64" and ref.pointer == 0 and ref.array is None


def _by_type(ref: ast.TypeRef) -> Kind:
    return "number" if ref.base in _NUMBERS and ref.pointer == 0 else None


def _kind_of(ctype: object) -> Kind:
    if ctype == types.SPTE:
        return "spte"
    return "number" if isinstance(ctype, Scalar) and isinstance(ctype.kind, Word) else None


def _retyped(ref: ast.TypeRef) -> ast.TypeRef:
    return replace(ref, base=NUMBER)


def _nodes(node: object) -> list[Any]:
    found: list[Any] = []
    todo = [node]
    while todo:
        one = todo.pop()
        if isinstance(one, tuple):
            todo += one
        elif is_dataclass(one) and not isinstance(one, (ast.TypeRef, ast.Location)):
            found.append(one)
            todo += [getattr(one, f.name) for f in fields(one)]
    return found


def _declared(node: Any, names: set[str]) -> Any:
    """A piece of syntax with the declarations of these names retyped."""
    if isinstance(node, tuple):
        return tuple(_declared(part, names) for part in node)
    if not is_dataclass(node) or isinstance(node, (ast.TypeRef, ast.Location, type)):
        return node
    changed = {f.name: _declared(getattr(node, f.name), names) for f in fields(node)}
    if isinstance(node, ast.Declare) and node.name in names and _is_u64(node.type):
        changed["type"] = _retyped(node.type)
    return replace(node, **changed)
