"""Runs that nobody looks at: a thread stands before an `assume()` whose condition is false, and stays there."""

from __future__ import annotations

from collections.abc import Mapping

import z3

from ..kernelc.lowering.cfg import THREAD, Branch, Graph, Local, Nop, Op, Set
from ..kernelc.stepping.steps import Software
from .intrinsics.sync import ASSUME
from .machine.sorts import t

_FAR = 40
"""So many nodes on, nothing is known any more: the thread may pass."""

Values = Mapping[Local, z3.ExprRef]


def ruled_out(software: Software) -> z3.BoolRef:
    """A closed term: some thread rests where it passes no `assume()` that stands before its next operation. Such a run ends there, and is
    no deadlock, whoever waits for that thread.
    """
    own: dict[str, dict[Local, z3.ExprRef]] = {
        role: {} for role, graph in software.graphs.items() if any(isinstance(node, Op) and node.name == ASSUME for node in graph.nodes)
    }
    for (role, path), var in software.local_vars.items():
        if role in own:
            own[role][Local(path, var.kind)] = var(t)
    found = []
    for place in software.locations:
        if place.role not in own or place.node < 0:
            continue
        passes = z3.simplify(_passes(software.graphs[place.role], place.node, own[place.role], _FAR))
        if not z3.is_true(passes):
            found.append(z3.And(software.pc(t) == software.at(place.name), z3.Not(passes)))
    return z3.Exists([t], z3.Or(found)) if found else z3.BoolVal(False)


def _passes(graph: Graph, number: int, values: Values, steps: int) -> z3.BoolRef:
    """Whether a thread of these values at a node may come past the `assume()`s from there to the next other operation."""
    if steps == 0 or number < 0:
        return z3.BoolVal(True)
    node = graph.nodes[number]

    def said(term: z3.ExprRef) -> z3.ExprRef:
        return z3.substitute(term, (THREAD, t), *((local.const, value) for local, value in values.items()))

    match node:
        case Op(name=name) if name == ASSUME:
            return z3.And(said(node.effects[0].guard), _passes(graph, node.after(0), values, steps - 1))
        case Set():
            new = {**values, **{local: said(value) for local, value in node.values.items()}}
            return _passes(graph, node.next, new, steps - 1)
        case Branch():
            yes, no = (_passes(graph, each, values, steps - 1) for each in (node.next, node.other))
            return z3.If(said(node.condition), yes, no)
        case Nop():
            return _passes(graph, node.next, values, steps - 1)
        case _:
            return z3.BoolVal(True)
