"""From a type as written to what it means: the library's types first, then the structs that the C text defines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ...core.alike import alike, did_you_mean
from ..errors import Refusal, Unmodelled
from ..text import ast
from ..text.show import show_type
from .library import VOID, Array, CType, FunctionName, Library, Record, Ref, Void


class Types:
    """Resolves types; each struct once.

    Args:
        length: the value of a constant expression, as the length of an array.
        broken: what has no meaning: a type among it is refused.
    """

    def __init__(
        self, structs: Mapping[str, ast.Struct], library: Library, length: Callable[[ast.Expr], int], broken: Mapping[str, Exception]
    ) -> None:
        self._structs = structs
        self._library = library
        self._length = length
        self._broken = broken
        self._records: dict[str, Record] = {}
        self._open: list[str] = []

    def __call__(self, ref: ast.TypeRef, at: ast.Location) -> CType:
        """What a type means.

        Raises:
            Refusal: it means nothing here.
        """
        if ref.array is not None:
            return Array(self(replace(ref, array=None), at), self._length(ref.array))
        if isinstance(unmodelled := self._broken.get(ref.base), Unmodelled):
            raise unmodelled
        known = self._library.types.get((ref.base, ref.pointer))
        if known is not None:
            return known
        if ref.pointer > 0:
            return FunctionName() if ref.base == "function" else Ref(self._target(ref, at))
        if ref.base == "void":
            return VOID
        name = ref.base.removeprefix("struct ")
        if ref.base != name and name in self._structs:
            return self._record(self._structs[name])
        known_types = {base for base, _ in self._library.types} | {f"struct {name}" for name in self._structs}
        near = did_you_mean(alike(ref.base, sorted(known_types), 2, 0.6))
        what = "give the type a meaning in model/intrinsics/types.py, or use a known one"
        raise Refusal(at, "unknown type", show_type(ref), f"{near} If not, {what}" if near else what)

    def of_variable(self, ref: ast.TypeRef, name: str, at: ast.Location) -> CType:
        """What the type of a variable means.

        Raises:
            Refusal: it means nothing here, or the variable's name is a type's: `(u8) - 1` would not be a difference for the reader.
        """
        if any(base == name for base, _ in self._library.types):
            raise Refusal(at, "a variable has the name of a type", name, "name it otherwise")
        return self(ref, at)

    def _target(self, ref: ast.TypeRef, at: ast.Location) -> CType:
        if ref.pointer > 1:
            raise Refusal(at, "a pointer to a pointer", show_type(ref), "pass the value or one pointer")
        target = self(replace(ref, pointer=0), at)
        if isinstance(target, Void):
            raise Refusal(at, "a pointer to anything", show_type(ref), "name the type that it points to")
        return target

    def _record(self, struct: ast.Struct) -> Record:
        if struct.name in self._open:
            raise Refusal(
                struct.at, "a struct that points to its own kind", f"struct {struct.name}", "give the pointer a meaning in model/intrinsics"
            )
        if struct.name not in self._records:
            self._open.append(struct.name)
            fields = tuple((name, self._field(name, ref, struct)) for name, ref in struct.fields)
            self._open.pop()
            self._records[struct.name] = Record(f"struct {struct.name}", fields)
        return self._records[struct.name]

    def _field(self, name: str, ref: ast.TypeRef, struct: ast.Struct) -> CType:
        ctype = self(ref, struct.at)
        if isinstance(ctype, (Ref, FunctionName)):
            raise Refusal(
                struct.at,
                f"field {name} of struct {struct.name} points to a local or a function",
                show_type(ref),
                "hold the value, or a handle",
            )
        return ctype
