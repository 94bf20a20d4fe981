"""What macros of the tree say that C's types alone cannot: walks of the list of roots, and what the configuration has.

`list_for_each_entry()` is expanded as include/linux/list.h has it. What it is made of takes types and names of fields; of the list of
roots these mean a first entry, a next one, and an end, for which the model has calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from ...kernelc.text import ast
from ...kernelc.text.guards import nodes

FIRST_ROOT, ROOT_AFTER, NO_ROOT = "tdp_mmu_first_root", "tdp_mmu_root_after", "tdp_mmu_is_no_root"
ROOTS = "tdp_mmu_roots"
_PAGE = ast.TypeRef("struct kvm_mmu_page", 1)
_DEBUGGING: Mapping[str, bool] = {"CONFIG_PROVE_LOCKING": True, "CONFIG_KVM_PROVE_MMU": False}
"""Options for debugging: lockdep's assertions are checked here, and the MMU's own are whatever this says (`KVM_MMU_WARN_ON`)."""


def told_plainly(function: ast.Function, config: Mapping[str, bool]) -> ast.Function:
    """A function with walks of the list of roots, and questions for the configuration, as the model has them.

    What is another list, or not known of the configuration, stays as it is, and is refused where it is needed.
    """
    declared = {node.name: node.type for node in nodes(function.body) if isinstance(node, ast.Declare)}
    declared |= {p.name: p.type for p in function.parameters}
    known = {**config, **_DEBUGGING}
    starts: dict[str, list[bool]] = {}
    for node in nodes(function.body):
        if isinstance(node, ast.Assign) and isinstance(node.target, ast.Name) and _call(node.value, "list_first_entry") is not None:
            starts.setdefault(node.target.name, []).append(_first(node.value) is not None)
    # What goes round over another list, too, cannot be told from the field by which it is linked.
    walked = {name for name, roots in starts.items() if all(roots) and declared.get(name) == _PAGE}
    return replace(function, body=_told(function.body, walked, known))


def reached(functions: Mapping[str, ast.Function], entries: Iterable[str]) -> frozenset[str]:
    """The functions that these call, by name, and they themselves."""
    found: set[str] = set()
    todo = [name for name in entries if name in functions]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [n.function for n in nodes(functions[name].body) if isinstance(n, ast.Call) and n.function in functions]
    return frozenset(found)


def uses_field(function: ast.Function, field: str) -> bool:
    """Whether a function names a field."""
    return any(isinstance(node, ast.Member) and node.field == field for node in nodes(function.body))


def _told(node: Any, walked: set[str], config: Mapping[str, bool]) -> Any:
    if isinstance(node, tuple):
        return tuple(_told(part, walked, config) for part in node)
    if not is_dataclass(node) or isinstance(node, (ast.TypeRef, ast.Location, type)):
        return node
    if isinstance(node, ast.Call):
        match node.function, node.arguments:
            case "list_first_entry", _ if (kvm := _first(node)) is not None:
                return ast.Call(FIRST_ROOT, (kvm,), node.at)
            case "list_entry_is_head", (ast.Name(name=name) as entry, head, _) if name in walked and _kvm_of(head) is not None:
                return ast.Call(NO_ROOT, (entry,), node.at)
            case "list_next_entry", (ast.Name(name=name) as entry, ast.Name(name="link")) if name in walked:
                return ast.Call(ROOT_AFTER, (entry,), node.at)
            case "IS_ENABLED", (ast.Name(name=option),) if option in config:
                return ast.IntLiteral(int(config[option]), node.at)
            case _:
                pass
    return replace(node, **{f.name: _told(getattr(node, f.name), walked, config) for f in fields(node)})


def _call(node: object, name: str) -> ast.Call | None:
    return node if isinstance(node, ast.Call) and node.function == name else None


def _first(node: object) -> ast.Expr | None:
    """The VM whose first root this asks for."""
    call = _call(node, "list_first_entry")
    linked = call is not None and len(call.arguments) == 3 and isinstance(call.arguments[2], ast.Name) and call.arguments[2].name == "link"
    return _kvm_of(call.arguments[0]) if call is not None and linked else None


def _kvm_of(head: ast.Expr) -> ast.Expr | None:
    """`kvm` of `&kvm->arch.tdp_mmu_roots`."""
    match head:
        case ast.Unary(op="&", operand=ast.Member(base=ast.Member(base=kvm, field="arch"), field=field)) if field == ROOTS:
            return kvm
        case _:
            return None
