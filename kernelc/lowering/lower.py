"""From the syntax tree of an entry function to its control-flow graph: calls inlined, types checked, order of evaluation explicit.

`lower` is the only way in. The work is done floor by floor, each file a class on top of the one before: `build` (nodes and
locals), `access` (places), `expressions`, `calls`, `statements`; `convert` and `resolve` know types and values alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import z3

from ...core.system import Param, Source
from ..text import ast
from ..text.show import show_type
from .analyse import live_locals
from .build import Frame, too_many
from .calls import assigned_names, too_long
from .cfg import THREAD, Graph, Havoc, Local, Nop, Op
from .convert import Spot, coerce, join
from .library import Effect, FunctionName, Handle, Library, Ref, Value, leaves
from .lvalues import FixedPlace, LocalPlace
from .statements import Statements
from .unset import check_reads


def lower(
    role: str,
    entry: str,
    functions: Mapping[str, ast.Function],
    structs: Mapping[str, ast.Struct],
    library: Library,
    arguments: Mapping[str, Value] | None = None,
    broken: Mapping[str, Exception] | None = None,
) -> Graph:
    """Compile `entry` and everything that it calls into one graph.

    Args:
        arguments: values of the entry function's parameters; a parameter without one takes any value.
        broken: functions that could not be parsed: raised when one of them is called.

    Raises:
        Refusal: something outside the subset, with its place, text and what to do.
    """
    return _Lowering(role, functions, structs, library, broken or {}).run(entry, arguments or {})


class _Lowering(Statements):
    def run(self, entry: str, arguments: Mapping[str, Value]) -> Graph:
        function = self.function(entry)
        if (multiplies := too_long(entry, self.functions, self.library)) is not None:
            raise too_many(multiplies.at, multiplies.name)
        spot = Spot(function.at, f"{entry}()")
        first = Nop(len(self.nodes), Source(spot.at.file, spot.at.line, entry, spot.text), (entry,))
        self.nodes.append(first)
        self.here = [(first, "next")]
        frame = self.open(function)
        self.frames.append(frame)
        self._bind_entry(function, frame, arguments, spot)
        self.body(function)
        end = self._give_back(function)
        graph = Graph(self.role, self.nodes, first.number, end.number, self.locals, tuple(self.inlined), tuple(self.erased))
        _release(graph, first)
        check_reads(graph, self.reads)
        graph.check_closed()
        return graph

    def _give_back(self, function: ast.Function) -> Nop:
        """Ask at the end for what the thread may have taken on its way, and answer where it ends."""
        end = self.frame.end
        called = {node.name for node in self.nodes if isinstance(node, Op)}
        checks = tuple(held.given_back(THREAD, function.name) for held in self.library.held if held.by in called)
        if not (checks and self.here):
            return end
        at = ast.Location(function.at.file, function.last_line)
        effects = (Effect(checks=checks),)
        self.emit(Op(*self.stamp(Spot(at, "return")), name="return", mover="local", effects=effects, results=({},), reads=("own",)))
        self.join(last := self.nop(at))
        return last

    def _bind_entry(self, function: ast.Function, frame: Frame, arguments: Mapping[str, Value], spot: Spot) -> None:
        known = [p.name for p in function.parameters]
        for name in arguments:
            if name not in known:
                raise spot.refusal(f"{function.name} has no parameter {name}", "name one of " + ", ".join(known))
        number, assigned = len(self.nodes), assigned_names(function.body)
        choices: list[Param] = []
        results: dict[Local, z3.ExprRef] = {}
        for parameter in function.parameters:
            ctype = self.parameter_type(parameter, function)
            name = parameter.name
            if name in arguments:
                value = coerce(arguments[name], ctype, Spot(function.at, show_type(parameter.type, name)))
                self.bind(frame, name, value, spot, fixed=name not in assigned)
                continue
            if isinstance(ctype, FunctionName):
                raise spot.refusal(f"parameter {name} of {function.name} is a function", "give it as an argument")
            if isinstance(ctype, Handle):
                frame.names[name] = FixedPlace(Value(ctype, name=ctype.name))
                continue
            target = ctype.to if isinstance(ctype, Ref) else ctype
            place = LocalPlace(target, frame.path_for(name, target))
            frame.names[name] = FixedPlace(Value(ctype, name=place.path)) if isinstance(ctype, Ref) else place
            for path, kind in leaves(target):
                choices.append(Param(f"{join(name, path)}@{number}", kind))
                results[self.local(join(place.path, path), kind)] = choices[-1].const
        if choices:
            shown = ", ".join(f"{c.name.partition('@')[0]}={{{c.name}}}" for c in choices)
            effect = Effect(choices=tuple(choices), label=f"{function.name}({shown})")
            self.emit(Op(*self.stamp(spot), name="start", mover="local", effects=(effect,), results=(results,)))


def _release(graph: Graph, first: Nop) -> None:
    """Give any value to what may be read before it is set: a path by `goto` around its declaration."""
    held = sorted(live_locals(graph)[graph.entry], key=lambda local: local.path)
    if held:
        node = Havoc(len(graph.nodes), first.at, first.stack, first.next, tuple(held))
        graph.nodes.append(node)
        first.next = node.number
