"""Calls: intrinsics become operations, kernel C functions are inlined, what has no meaning must not be reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import z3

from ...core.alike import alike, did_you_mean
from ...core.shape import identity, subterms
from ...core.system import Param, Source, Update
from ..errors import Refusal
from ..text import ast
from ..text.show import show_type
from .analyse import effect_terms
from .build import MOST_NODES, Abandoned, Frame, is_aggregate, reads_state, spot_of
from .cfg import THREAD, THREADS, Havoc, Local, Nop, Op
from .convert import NULL, Spot, coerce, join
from .expressions import Expressions, is_harmless, leaves_of
from .integers import is_literal
from .library import VOID, CType, Effect, FunctionName, Handle, Intrinsic, Library, Ref, Value, Void, leaves
from .lvalues import FixedPlace, LocalPlace

_FORMATTED = ("WARN", "KVM_BUG", "KVM_MMU_WARN", "pr_")
"""Calls that may have arguments for a message, which mean nothing here."""


class Calls(Expressions):
    """Lowers calls."""

    def call(self, expression: ast.Call) -> Value:
        name, arguments, spot = expression.function, expression.arguments, spot_of(expression)
        bound = self.frame.names.get(name)
        if isinstance(bound, FixedPlace) and isinstance(bound.value.type, FunctionName):
            name = bound.value.name
        library = self.library
        if arguments and library.methods:
            name = library.methods.get((name, self._handle(arguments[0])), name)
        self.modelled(name, spot)
        if name in library.identities and len(arguments) == 1:
            return self.value(arguments[0])
        if name == "WRITE_ONCE" and len(arguments) == 2:
            self.value(ast.Assign("=", arguments[0], arguments[1], expression.at))
            return Value(VOID)
        if name in library.erased:
            for argument in arguments:
                if self.has_effects(argument):
                    self.value(argument)
            self.erased.append((self.stamp(spot)[1], library.erased[name]))
            return Value(VOID)
        if name in library.intrinsics:
            intrinsic = library.intrinsics[name]
            return self.intrinsic(intrinsic, self._arguments(intrinsic, expression), spot)
        if name in self.functions or name in self.broken:
            return self._inline(name, expression)
        raise self.never(name, spot.refusal(f"unknown callee {name}", self._meant(expression)), spot)

    def _meant(self, call: ast.Call) -> str:
        """What to do about a call of something unknown: name what was meant, or where a meaning would be added."""
        intrinsics = self.library.intrinsics
        locks = [handle for argument in call.arguments if (handle := self._handle(argument))]
        # Of a lock every call has a name of its own: what is left of it without the lock's says what is done with it.
        named = {name.replace(handle, "").strip("_"): name for handle in locks for name in intrinsics if handle in name}
        said = [word for word in named if word in call.function.split("_")] or alike(call.function, named, 1)
        near = tuple(named[word] for word in said)
        known = (*intrinsics, *self.library.identities, *self.library.erased, *self.functions)
        near = near or alike(call.function, (name for name in known if name != call.function), 2, 0.6)
        home = next((intrinsics[name].home for name in near if name in intrinsics), "") or "model/intrinsics"
        what = f"define it in kernel C, or give it a meaning (or erase it) in {home}"
        return f"{did_you_mean(near)} If not, {what}" if near else what

    def _handle(self, argument: ast.Expr) -> str:
        """The name of the lock, or of whatever there is one alone of, that an argument points to; '' of anything else."""
        place = self.peek(argument.operand if isinstance(argument, ast.Unary) and argument.op == "&" else argument)
        named = isinstance(place, FixedPlace) and isinstance(place.value.type, Handle)
        return place.value.name if named and isinstance(place, FixedPlace) else ""

    # Intrinsics

    def _arguments(self, intrinsic: Intrinsic, expression: ast.Call) -> list[Value]:
        given, wanted = expression.arguments, intrinsic.params
        if len(given) < len(wanted) or (len(given) > len(wanted) and not intrinsic.name.startswith(_FORMATTED)):
            raise spot_of(expression).refusal(f"{intrinsic.name} takes {_counted(len(wanted))}, got {len(given)}", "mend the call")
        return self._evaluated(given[: len(wanted)], wanted)

    def _evaluated(self, arguments: Sequence[ast.Expr], wanted: Sequence[CType]) -> list[Value]:
        """Arguments from left to right; each stays what it was when it was evaluated."""
        values = []
        for number, (argument, ctype) in enumerate(zip(arguments, wanted, strict=True)):
            value = self.value(argument) if isinstance(ctype, Ref) else self.value(argument, ctype)
            if isinstance(ctype, Ref) and value.type != ctype:
                if not is_literal(value):
                    raise spot_of(argument).refusal(
                        f"a {value.type} where a {ctype} is expected", "pass the address of a local of that type"
                    )
                value = coerce(value, ctype, spot_of(argument))
            if any(map(self.has_effects, arguments[number + 1 :])):
                value = self.saved(value, spot_of(argument))
            values.append(value)
        return values

    def intrinsic(self, intrinsic: Intrinsic, arguments: Sequence[Value], spot: Spot) -> Value:
        places, values, given = [], [], []
        for argument in arguments:
            if isinstance(argument.type, Ref):
                if argument.name == NULL:
                    raise spot.refusal(f"NULL where {intrinsic.name} expects a {argument.type}", "pass the address of a local")
                places.append(LocalPlace(argument.type.to, argument.name))
                argument = self.load(places[-1], spot)
                given.append(argument)
            elif is_aggregate(argument.type):
                given.append(argument)
            values.append(argument)
        answer = intrinsic.meaning(THREAD, *values)
        when = None if intrinsic.when is None else intrinsic.when(THREAD, *values)
        if isinstance(answer, Value):
            _check_type(answer, intrinsic.result, intrinsic, spot)
            if is_harmless(intrinsic):
                self._note_used(given, answer.parts.values(), spot)
                return answer
            answer = Effect(value=answer)
        used = [term for e in ((answer,) if isinstance(answer, Effect) else answer) for term in effect_terms(e)]
        self._note_used(given, used, spot)
        effects = [_own_choices(e, len(self.nodes)) for e in ((answer,) if isinstance(answer, Effect) else answer)]
        target = self.temporary(intrinsic.result, intrinsic.name) if leaves_of(intrinsic.result) else None
        results = tuple(self._results(intrinsic, effect, target, places, spot) for effect in effects)
        shared = tuple(dict.fromkeys(u.var.name for e in effects for u in e.updates if not _is_own(u)))
        locks = intrinsic.acquires or intrinsic.releases
        self.emit(
            Op(
                *self.stamp(spot),
                name=intrinsic.name,
                mover=intrinsic.mover,
                effects=tuple(effects),
                results=results,
                acquires=intrinsic.acquires,
                releases=intrinsic.releases,
                reads=intrinsic.reads,
                writes=intrinsic.writes or (() if locks else shared),
                when=when,
                blocks=intrinsic.blocks,
            )
        )
        if not intrinsic.returns:
            self._leave(spot)
            raise Abandoned
        if target is not None:
            return self.load(target, spot)
        return effects[0].value if effects and effects[0].value is not None else Value(intrinsic.result)

    def _note_used(self, given: Sequence[Value], used: Iterable[z3.ExprRef], spot: Spot) -> None:
        """Note which parts of structs, and of the locals behind pointers, an intrinsic reads."""
        if not given:
            return
        mentioned = {identity(term) for whole in used for term in subterms(whole)}
        for value in given:
            for path, term in value.parts.items():
                if identity(term) in mentioned:
                    local = next(iter(self.locals_in(Value(value.type, {path: term}))), "").partition(".")[2]
                    self.note_read([term], local or spot.text, spot)

    def _results(
        self, intrinsic: Intrinsic, effect: Effect, target: LocalPlace | None, places: Sequence[LocalPlace], spot: Spot
    ) -> dict[Local, z3.ExprRef]:
        """Where the answers of one effect go: its value, and what it writes through pointers."""
        found: dict[Local, z3.ExprRef] = {}
        if target is not None:
            if effect.value is None:
                raise spot.refusal(f"{intrinsic.name} gives no value", f"mend the intrinsic: it is declared to give a {intrinsic.result}")
            found |= self._leaves(target, effect.value, intrinsic, spot)
        if len(effect.refs) > len(places):
            raise spot.refusal(f"{intrinsic.name} writes through {_counted(len(effect.refs))} and has {len(places)}", "mend the intrinsic")
        for place, new in zip(places, effect.refs, strict=False):
            if new is not None:
                found |= self._leaves(place, new, intrinsic, spot)
        return found

    def _leaves(self, place: LocalPlace, value: Value, intrinsic: Intrinsic, spot: Spot) -> dict[Local, z3.ExprRef]:
        _check_type(value, place.type, intrinsic, spot)
        return {self.local(join(place.path, leaf), kind): value.parts[leaf] for leaf, kind in leaves(place.type)}

    # Kernel C

    def function(self, name: str, at: ast.Location | None = None) -> ast.Function:
        """The function of that name.

        Raises:
            Refusal: there is none, or it could not be read.
        """
        if name in self.functions:
            self.inlined.setdefault(name)
            return self.functions[name]
        if name in self.broken:
            raise self.broken[name]
        known = ", ".join(sorted(self.functions)[:12])
        raise Refusal(at or ast.Location("<scenario>", 1), "unknown function", name, f"the kernel C here defines {known or 'none'}")

    def _inline(self, name: str, expression: ast.Call) -> Value:
        spot = spot_of(expression)
        function = self.function(name, expression.at)
        bound = self.library.recursion
        if sum(f.function.name == name for f in self.frames) > bound:
            what = f"{name} calls itself more than {bound} deep"
            raise self.never(
                f"recursion@{name}", spot.refusal(what, "raise the library's bound if the geometry has that many levels"), spot
            )
        if len(expression.arguments) != len(function.parameters):
            raise spot.refusal(f"{name} takes {_counted(len(function.parameters))}, got {len(expression.arguments)}", "mend the call")
        wanted = [self.parameter_type(p, function) for p in function.parameters]
        values = self._evaluated(expression.arguments, wanted)
        frame = self.open(function)
        aliased = [v.name for v in values if isinstance(v.type, Ref)]
        assigned = assigned_names(function.body)
        for parameter, value in zip(function.parameters, values, strict=True):
            fixed = parameter.name not in assigned and not self._may_change(value, aliased)
            self.bind(frame, parameter.name, value, spot, fixed=fixed)
        self.frames.append(frame)
        self.body(function)
        self.frames.pop()
        if not self.here:
            raise Abandoned
        if frame.result is not None:
            return self.load(frame.result, spot)
        return Value(frame.returns, name=frame.returns.name if isinstance(frame.returns, Handle) else "")

    def _may_change(self, value: Value, aliased: Sequence[str]) -> bool:
        """Whether a callee that has pointers to the `aliased` locals may change what `value` mentions."""
        mentioned = self.locals_in(value)
        return reads_state(value) or any(m == a or m.startswith((a + ".", a + "[")) for m in mentioned for a in aliased)

    def parameter_type(self, parameter: ast.Parameter, function: ast.Function) -> CType:
        if parameter.type.array is not None:
            what = f"parameter {parameter.name} of {function.name} is an array"
            raise Refusal(function.at, what, show_type(parameter.type, parameter.name), "pass a pointer to a struct that holds it")
        return self.types.of_variable(parameter.type, parameter.name, function.at)

    def open(self, function: ast.Function) -> Frame:
        """A frame for one more call of `function`."""
        self.check_size(function.at)
        returns = self.types(function.returns, function.at)
        if isinstance(returns, (Ref, FunctionName)):
            what = f"{function.name} returns a pointer to a local or a function"
            raise Refusal(function.at, what, show_type(function.returns, function.name), "return the value")
        stack = (*(f.function.name for f in self.frames), function.name)
        end = Nop(len(self.nodes), Source(function.at.file, function.last_line, function.name, ""), stack)
        self.nodes.append(end)
        frame = Frame(function, self.prefix(function.name), returns, end)
        frame.result = LocalPlace(returns, f"{frame.prefix}.return") if leaves_of(returns) else None
        return frame

    def bind(self, frame: Frame, name: str, value: Value, spot: Spot, *, fixed: bool) -> None:
        """Give a parameter its value: the value itself where nothing can change it (one state variable less), else a copy."""
        if fixed or not value.parts:
            frame.names[name] = FixedPlace(value)
            return
        place = LocalPlace(value.type, frame.path_for(name, value.type))
        frame.names[name] = place
        self.store(place, value, Spot(spot.at, f"{name} = {spot.text}"))

    def body(self, function: ast.Function) -> None:
        """Lower the body of the innermost call; the open end is that of the call."""
        frame = self.frame
        self.statement(function.body)
        if self.here and not isinstance(frame.returns, Void):
            raise Refusal(
                ast.Location(function.at.file, function.last_line),
                f"{function.name} has the type {frame.returns}, and a way leads to its end without a value",
                "}",
                "return a value there; Linux is built with -Werror=return-type, so that its compiler refuses this, too",
            )
        assert not frame.awaited, "every label of the function has been placed"
        self.join(frame.end)

    def _leave(self, spot: Spot) -> None:
        """The innermost call ends here, with any value: nobody runs on behind it."""
        frame = self.frame
        if frame.result is not None:
            held = tuple(self.local(join(frame.result.path, leaf), kind) for leaf, kind in leaves(frame.result.type))
            self.emit(Havoc(*self.stamp(spot), locals=held))
        self.jump(frame.end)


def _counted(number: int) -> str:
    return "one argument" if number == 1 else f"{number} arguments"


def _check_type(value: Value, want: CType, intrinsic: Intrinsic, spot: Spot) -> None:
    if value.type != want and not (isinstance(want, Void) and not value.parts):
        raise spot.refusal(f"{intrinsic.name} is declared to give a {want} and gives a {value.type}", "mend the intrinsic")


def _is_own(update: Update) -> bool:
    """Whether an update changes only what belongs to the thread: `var(t, ...)`."""
    if not update.var.params or update.var.params[0] != THREADS or not z3.is_app_of(update.value, z3.Z3_OP_ITE):
        return False
    condition, _, kept = update.value.children()
    first = update.variables[0]
    parts = condition.children() if z3.is_and(condition) else [condition]
    return kept.eq(update.var(*update.variables)) and any(p.eq(first == THREAD) or p.eq(THREAD == first) for p in parts)


def _own_choices(effect: Effect, number: int) -> Effect:
    """Make the choices of one operation unlike those of every other in the graph."""
    if not effect.choices:
        return effect
    renamed = tuple(Param(f"{c.name}@{number}", c.kind) for c in effect.choices)
    pairs = [(old.const, new.const) for old, new in zip(effect.choices, renamed, strict=True)]

    def put(term: z3.ExprRef) -> z3.ExprRef:
        return z3.substitute(term, *pairs)

    def put_value(value: Value | None) -> Value | None:
        return None if value is None else replace(value, parts={p: put(t) for p, t in value.parts.items()})

    label = effect.label
    for old, new in zip(effect.choices, renamed, strict=True):
        label = label.replace("{" + old.name + "}", "{" + new.name + "}")
    return replace(
        effect,
        choices=renamed,
        guard=put(effect.guard),
        value=put_value(effect.value),
        refs=tuple(put_value(v) for v in effect.refs),
        updates=tuple(replace(u, value=put(u.value)) for u in effect.updates),
        checks=tuple(replace(c, holds=put(c.holds)) for c in effect.checks),
        label=label,
        needs=tuple(replace(n, holds=put(n.holds)) for n in effect.needs),
    )


def assigned_names(statement: ast.Stmt) -> set[str]:
    """Names that some assignment, step or address-of in a function may change."""
    found: set[str] = set()

    def root(expression: ast.Expr) -> None:
        match expression:
            case ast.Name(name=name):
                found.add(name)
            case ast.Member(base=base, arrow=False) | ast.Index(base=base):
                root(base)
            case ast.Cast(operand=operand):
                root(operand)
            case ast.Call(arguments=(inner,)):
                root(inner)  # an identity such as READ_ONCE(x)
            case _:
                pass

    def visit(node: object) -> None:
        match node:
            case ast.Assign(target=target) | ast.Call(function="WRITE_ONCE", arguments=(target, _)):
                root(target)
            case ast.Step(operand=operand) | ast.Unary(op="&", operand=operand):
                root(operand)
            case _:
                pass
        for child in children(node):
            visit(child)

    visit(statement)
    return found


def too_long(entry: str, functions: Mapping[str, ast.Function], library: Library) -> ast.Function | None:
    """A function that, with all that it calls, has more calls than a thread may have statements: counted, so that nobody lowers them first.

    Recursion counts once here, and a call counts wherever it stands; the innermost such function is the answer.
    """
    amounts: dict[str, int] = {}
    meant = library.intrinsics.keys() | library.erased.keys() | library.identities
    todo = [entry]
    while todo:
        name = todo[-1]
        called = [c for c in _called(functions[name]) if c in functions and c not in meant]
        missing = [c for c in called if c not in amounts]
        if name not in amounts and missing:
            amounts[name] = 1  # while what it calls is counted; so a call of itself counts once
            todo += missing
            continue
        todo.pop()
        amounts[name] = 1 + sum(amounts[c] for c in called)
        if amounts[name] > MOST_NODES:
            return functions[name]
    return None


def _called(function: ast.Function) -> Iterator[str]:
    todo: list[object] = [function.body]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Call):
            yield node.function
        todo += children(node)


def children(node: object) -> list[object]:
    """The parts of a piece of syntax that are syntax themselves."""
    found: list[object] = []
    for name in getattr(type(node), "__dataclass_fields__", {}):
        value = getattr(node, name)
        for item in value if isinstance(value, tuple) else (value,):
            found += [part for part in item if hasattr(part, "at")] if isinstance(item, tuple) else [item] if hasattr(item, "at") else []
    return found
