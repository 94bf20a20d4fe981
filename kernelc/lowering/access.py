"""Places at work: what an expression names, how it is read and how it is written."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import z3

from ...core.alike import alike, did_you_mean
from ...core.rewrite import constant_index, folded
from ...core.sorts import Word
from ..errors import Unmodelled
from ..text import ast
from .build import Builder, spot_of
from .cfg import Local, Op
from .convert import NULL, Spot, arithmetic, coerce, element_at, join
from .integers import Integers, is_literal, literal
from .library import BOOLEAN, Array, Check, CType, Effect, FunctionName, Handle, Intrinsic, Library, Record, Ref, Scalar, Value, leaves
from .lvalues import DerefPlace, ElementPlace, FieldPlace, FixedPlace, LocalPlace, MissingPlace, Place
from .resolve import Types


class Access(Builder):
    """Finds, reads and writes places."""

    def __init__(
        self,
        role: str,
        functions: Mapping[str, ast.Function],
        structs: Mapping[str, ast.Struct],
        library: Library,
        broken: Mapping[str, Exception],
    ) -> None:
        super().__init__(role, functions, structs, library, broken)
        self.integers = Integers.of(library)
        self.types = Types(structs, library, self.constant, broken)

    @abstractmethod
    def value(self, expression: ast.Expr, want: CType | None = None) -> Value:
        """Evaluate an expression, converted to `want` if that is given."""

    @abstractmethod
    def intrinsic(self, intrinsic: Intrinsic, arguments: Sequence[Value], spot: Spot) -> Value:
        """Emit an operation and answer its result."""

    def constant(self, expression: ast.Expr) -> int:
        """The number that a constant expression stands for."""
        number = _number(self.value(expression))
        if number is None:
            raise spot_of(expression).refusal("not a constant number", "use a constant")
        return number

    def modelled(self, name: str, spot: Spot) -> None:
        """Refuse, where it can be reached, a name that the C text gives a meaning which the model has not."""
        refusal = self.broken.get(name)
        if isinstance(refusal, Unmodelled) and name not in self.functions:
            raise self.never(name, refusal, spot)

    def named(self, name: str) -> Value | None:
        """What a name that is no local stands for: a constant or a function."""
        if isinstance(self.broken.get(name), Unmodelled) and name not in self.functions:
            return None
        if name in self.library.constants:
            return self.library.constants[name]
        if name in ("true", "false"):
            return Value(BOOLEAN, {"": z3.BoolVal(name == "true")})
        if name == NULL:
            return literal(0)
        if name in self.functions or name in self.broken or name in self.library.intrinsics:
            return Value(FunctionName(), name=name)
        return None

    # Finding

    def place(self, expression: ast.Expr) -> Place:
        """What `expression` names."""
        match expression:
            case ast.Name(name=name):
                if self.frames and name in self.frame.names:
                    found = self.frame.names[name]
                    if isinstance(found, MissingPlace):
                        raise found.refusal
                    return found
                if name in self.library.variables:
                    variable = self.library.variables[name]
                    return FieldPlace(Value(variable, name=variable.name), "")
                self.modelled(name, spot_of(expression))
                known = self.named(name)
                if known is None:
                    constants = (constant.lstrip("-") for constant in self.library.constants)
                    near = did_you_mean(alike(name, (*self.frame.names, *constants, *self.functions), 2, 0.6))
                    what = "declare it as a local, or as a constant in model/intrinsics"
                    raise spot_of(expression).refusal("unknown name", f"{near} If not, {what}" if near else what)
                return FixedPlace(known)
            case ast.Unary(op="*", operand=operand):
                pointer = self.value(operand)
                return self._pointee(pointer, expression) if isinstance(pointer.type, Ref) else DerefPlace(pointer)
            case ast.Member(base=base):
                return self._member(self.place(base), expression)
            case ast.Index(base=base, index=index):
                return self._element(self.place(base), index, expression)
            case ast.Call(function=name, arguments=(inner,)) if name in self.library.identities:
                return self.place(inner)
            case _:
                return FixedPlace(self.value(expression))

    def _pointee(self, pointer: Value, expression: ast.Expr) -> LocalPlace:
        """The local that a pointer to a local points to, which is known while compiling."""
        assert isinstance(pointer.type, Ref)
        spot = spot_of(expression)
        if pointer.name == NULL:
            raise self.never("NULL dereference", spot.refusal("NULL is dereferenced", "test the pointer first"), spot)
        return LocalPlace(pointer.type.to, pointer.name)

    def _member(self, base: Place, expression: ast.Member) -> Place:
        name, spot = expression.field, spot_of(expression)
        if isinstance(base, FixedPlace) and isinstance(base.value.type, Ref):
            if not expression.arrow:
                raise spot.refusal(f"a field of a {base.value.type}", "write -> to follow the pointer")
            base = self._pointee(base.value, expression)
        inner = self._own_field(base, name)
        match base:
            case LocalPlace(path=path) if inner is not None:
                return LocalPlace(inner, join(path, name))
            case ElementPlace() if inner is not None:
                return ElementPlace(inner, base.array, base.length, base.index, join(base.rest, name))
            case FixedPlace(value=value) if inner is not None:
                return FixedPlace(part(value, name, inner))
            case FieldPlace(base=root, fields=fields) if self._begins(root, f"{fields}.{name}"):
                return self._shared_field(root, f"{fields}.{name}", spot)
            case _:
                at = spot_of(expression.base)
                return self._shared_field(self.read(self.load(base, at), at), name, spot)

    def _own_field(self, base: Place, name: str) -> CType | None:
        """The type of a field that is part of the value itself, unless the library says that it lies elsewhere."""
        ctype = base.value.type if isinstance(base, FixedPlace) else base.type if isinstance(base, (LocalPlace, ElementPlace)) else None
        if not isinstance(ctype, Record) or any((str(ctype), name) in known for known in self._shared_fields()):
            return None
        return ctype.field(name)

    def _shared_fields(self) -> tuple[Mapping[tuple[str, str], object], ...]:
        library = self.library
        return library.fields, library.stores, library.handles, library.embedded, library.erased_fields

    def _begins(self, base: Value, fields: str) -> bool:
        """Whether the library knows the field, or a field of it."""
        names = [field for known in self._shared_fields() for ctype, field in known if ctype == str(base.type)]
        return any(name == fields or name.startswith(fields + ".") for name in names)

    def _shared_field(self, base: Value, fields: str, spot: Spot) -> Place:
        handle = self.library.handles.get((str(base.type), fields))
        if handle is not None:
            return FixedPlace(Value(handle, name=handle.name))
        if not self._begins(base, fields):
            names = {field for known in self._shared_fields() for ctype, field in known if ctype == str(base.type)}
            near = did_you_mean(alike(fields, sorted(names), 2, 0.6))
            what = "declare the field in model/intrinsics, or leave it out if it does not matter"
            raise spot.refusal(f"{base.type} has no field {fields} in the model", f"{near} If not, {what}" if near else what)
        return FieldPlace(base, fields)

    def _element(self, base: Place, index: ast.Expr, expression: ast.Index) -> Place:
        spot = spot_of(expression)
        at = self.value(index)
        number = _number(at)
        if isinstance(base, FixedPlace) and isinstance(base.value.type, Ref) and number == 0:
            return self._pointee(base.value, expression)
        if isinstance(base, ElementPlace) and isinstance(base.type, Array) and number is None:
            base = FixedPlace(self.load(base, spot))
        array = base.value.type if isinstance(base, FixedPlace) else base.type if isinstance(base, (LocalPlace, ElementPlace)) else None
        if not isinstance(array, Array):
            pointer = self.read(self.load(base, spot_of(expression.base)), spot_of(expression.base))
            return DerefPlace(arithmetic("+", pointer, at, spot, self.integers, []))
        if number is not None and not 0 <= number < array.length:
            raise self.never("index", spot.refusal(f"index {number} of an array of {array.length}", "stay inside the array"), spot)
        if number is None:
            self._check_index(at, array, spot)
        match base:
            case LocalPlace(path=path):
                if number is not None:
                    return LocalPlace(array.element, f"{path}[{number}]")
                return ElementPlace(array.element, path, array.length, at.term)
            case ElementPlace():
                return ElementPlace(array.element, base.array, base.length, base.index, f"{base.rest}[{number}]")
            case FixedPlace(value=value):
                elements = [part(value, f"[{i}]", array.element) for i in range(array.length)]
                if number is not None:
                    return FixedPlace(elements[number])
                return FixedPlace(
                    Value(array.element, {p: element_at([e.parts[p] for e in elements], at.term) for p, _ in leaves(array.element)})
                )
            case _:
                raise AssertionError("only locals and values are arrays")

    def _check_index(self, index: Value, array: Array, spot: Spot) -> None:
        """Assert that an index which is not a constant stays inside its array."""
        if not isinstance(index.type, Scalar) or not isinstance(index.type.kind, Word):
            raise spot.refusal(f"a {index.type} as an index", "use an integer, or a constant")
        if 2**index.type.kind.width > array.length:
            inside = Check(f"index out of bounds: {spot.text}", z3.ULT(index.term, array.length))
            self.emit(Op(*self.stamp(spot), name="index", mover="local", effects=(Effect(checks=(inside,)),), results=({},)))

    def peek(self, expression: ast.Expr) -> Place | None:
        """The place if it is a local or a fixed value and can be found without emitting anything."""
        match expression:
            case ast.Name(name=name):
                known = self.named(name)
                return self.frame.names.get(name, FixedPlace(known) if known is not None else None)
            case ast.Unary(op="*", operand=operand):
                return _target(self.peek(operand))
            case ast.Index(base=base, index=ast.IntLiteral(value=number)):
                array = self.peek(base)
                if isinstance(array, LocalPlace) and isinstance(array.type, Array) and 0 <= number < array.type.length:
                    return LocalPlace(array.type.element, f"{array.path}[{number}]")
                return None
            case ast.Member(base=base, field=name, arrow=arrow):
                outer = self.peek(base)
                outer = (_target(outer) if arrow else None) or outer
                inner = self._own_field(outer, name) if outer is not None else None
                if isinstance(outer, LocalPlace) and inner is not None:
                    return LocalPlace(inner, join(outer.path, name))
                if isinstance(outer, FixedPlace) and inner is not None:
                    return FixedPlace(part(outer.value, name, inner))
                handle = self.library.handles.get((str(_type_of(outer)), name))
                return FixedPlace(Value(handle, name=handle.name)) if handle is not None else None
            case _:
                return None

    def shared_read(self, expression: ast.Expr) -> Intrinsic | None:
        """The intrinsic that reads a field of a local or fixed value, if `expression` is such a field."""
        names: list[str] = []
        while isinstance(expression, ast.Member):
            names.insert(0, expression.field)
            expression = expression.base
            found = self.library.fields.get((str(_type_of(self.peek(expression))), ".".join(names)))
            if found is not None:
                return found
        return None

    # Reading and writing

    def load(self, place: Place, spot: Spot) -> Value:
        """Read a place."""
        match place:
            case MissingPlace(refusal=refusal):
                raise refusal
            case FixedPlace(value=value):
                return value
            case LocalPlace(type=ctype, path=path):
                parts = {leaf: self.local(join(path, leaf), kind).const for leaf, kind in leaves(ctype)}
                return Value(ctype, parts, _identity(ctype))
            case ElementPlace(type=ctype, index=index):
                parts = {leaf: element_at([local.const for local in self._elements(place, leaf)], index) for leaf, _ in leaves(ctype)}
                return Value(ctype, parts, _identity(ctype))
            case DerefPlace(pointer=pointer):
                load = self.library.loads.get(str(pointer.type))
                if load is None:
                    raise spot.refusal(f"reading through a {pointer.type}", "use a pointer that the model knows")
                return self.intrinsic(load, [pointer], spot)
            case FieldPlace(base=base, fields=fields):
                read = self.library.fields.get((str(base.type), fields))
                if read is None:
                    raise spot.refusal(f"the model cannot read {fields} of a {base.type}", "declare the field in model/intrinsics")
                return self.intrinsic(read, [base], spot)

    def store(self, place: Place, value: Value, spot: Spot) -> Value:
        """Write a place, and answer what was written: `value` in the type of the place."""
        stored = value
        match place:
            case LocalPlace(type=ctype, path=path):
                stored = _storable(coerce(value, ctype, spot), spot)
                self.assign({self.local(join(path, leaf), kind): stored.parts[leaf] for leaf, kind in leaves(ctype)}, spot)
            case ElementPlace(type=ctype, index=index):
                stored = _storable(coerce(value, ctype, spot), spot)
                values = {}
                for leaf, _ in leaves(ctype):
                    for number, local in enumerate(self._elements(place, leaf)):
                        if number < 2 ** index.size():
                            values[local] = z3.If(index == z3.BitVecVal(number, index.size()), stored.parts[leaf], local.const)
                self.assign(values, spot)
            case DerefPlace(pointer=pointer):
                save = self.library.saves.get(str(pointer.type))
                if save is None:
                    raise spot.refusal(f"writing through a {pointer.type}", "use a pointer that the model knows")
                stored = coerce(value, save.params[1], spot)
                self.intrinsic(save, [pointer, stored], spot)
            case FieldPlace(base=base, fields=fields):
                key = (str(base.type), fields)
                if key in self.library.erased_fields:
                    self.erased.append((self.stamp(spot)[1], self.library.erased_fields[key]))
                    return value
                write = self.library.stores.get(key)
                if write is None:
                    raise spot.refusal(f"the model cannot write {fields} of a {base.type}", "declare the field in model/intrinsics")
                stored = coerce(value, write.params[1], spot)
                self.intrinsic(write, [base, stored], spot)
            case MissingPlace(refusal=refusal):
                raise refusal
            case FixedPlace():
                raise spot.refusal("this cannot be assigned", "assign to a local that holds a value, to a field, or through a pointer")
        return stored

    def _elements(self, place: ElementPlace, leaf: str) -> list[Local]:
        kind = dict(leaves(place.type))[leaf]
        return [self.local(join(join(f"{place.array}[{i}]", place.rest), leaf), kind) for i in range(place.length)]


def part(value: Value, name: str, ctype: CType) -> Value:
    """The field (or, as `[i]`, the element) of a value."""
    return Value(ctype, value.field(name, ctype).parts, _identity(ctype))


def _identity(ctype: CType) -> str:
    """The name of what has no content: a handle is the only one of its kind."""
    return ctype.name if isinstance(ctype, Handle) else ""


def _storable(value: Value, spot: Spot) -> Value:
    if isinstance(value.type, Handle) and value.name != value.type.name:
        raise spot.refusal(
            f"{NULL} stored in a {value.type}, of which there is always one",
            "leave the variable out, or make the pointer a type with values",
        )
    return value


def _target(place: Place | None) -> LocalPlace | None:
    """Where a fixed pointer to a local points."""
    if isinstance(place, FixedPlace) and isinstance(place.value.type, Ref) and place.value.name != NULL:
        return LocalPlace(place.value.type.to, place.value.name)
    return None


def _type_of(place: Place | None) -> CType | None:
    return place.value.type if isinstance(place, FixedPlace) else place.type if isinstance(place, LocalPlace) else None


def _number(value: Value) -> int | None:
    """The number of a value that is a constant."""
    if is_literal(value):
        return int(value.name)
    if isinstance(value.type, Scalar) and isinstance(value.type.kind, Word):
        number = constant_index(folded(value.term))
        if number is not None and value.type.signed and number >= 2 ** (value.type.kind.width - 1):
            number -= 2**value.type.kind.width
        return number
    return None
