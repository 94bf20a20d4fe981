"""Small faults of kernel C, made one at a time: what would be a bug if somebody wrote it, so that a checker can be measured.

A mutation is an edit of the text of a file, found on its syntax tree, so that it reads as a patch does. Most are bugs, some are equivalent
to what stands there, and some are no C of the subset: whoever asks tells them apart. Loop macros are calls here, and what stands below one
a block of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import unified_diff
from functools import cache
from itertools import pairwise

import tree_sitter_c
from tree_sitter import Language, Node, Parser

OPERATORS: Mapping[str, str] = {
    "delete": "a statement is left out",
    "swap": "two statements that follow each other change places",
    "negate": "a condition is turned round",
    "force": "a condition is taken to be true, or false",
    "weaken-lock": "a lock is taken for reading instead of for writing, or not taken at all",
    "weaken-call": "a call does less: another flag, one of the two that are to be flushed, a store without comparison",
    "move": "a flush, a wait or an unlock comes earlier or later",
    "drop-recheck": "nobody looks whether something has changed in between: a condition that leaves is left out with what it does",
    "off-by-one": "one end of a range stands for the other, or a comparison is strict",
    "drop-operand": "of two conditions joined by && or || one is left, or a negation is left out",
    "drop-wait": "a wait, a reference, a barrier or a grace period is left out",
}
"""What may go wrong, by the name under which it can be asked for."""


def name_of(operator: str, file: str, line: int, what: str) -> str:
    """What a mutation is called, also where nothing else is left of it."""
    return f"{operator}: {file}:{line}: {what}"


@dataclass(frozen=True)
class Mutation:
    """A file with one fault in it.

    Args:
        function: in which it is; `line`, where, in the file as it was.
        what: the fault in a line, as `before -> after`.
        near: the line above it, and more of them while another fault of this function is called the same.
        text: the whole file after it.
    """

    operator: str
    file: str
    function: str
    line: int
    what: str
    near: str
    text: str

    @property
    def name(self) -> str:
        """What it is called: the same from run to run, as long as the file is."""
        return name_of(self.operator, self.file, self.line, self.what)

    def diff(self, before: str) -> str:
        """The fault as a patch of the file, with a line above and below."""
        old, new = (text.splitlines(keepends=True) for text in (before, self.text))
        return "".join(unified_diff(old, new, f"a/{self.file}", f"b/{self.file}", n=1))


@dataclass(frozen=True)
class _Edit:
    """Bytes from `start` to `end` become `new`."""

    start: int
    end: int
    new: str


_LEAVES = ("return_statement", "goto_statement", "continue_statement", "break_statement")
_STATEMENTS = ("expression_statement", *_LEAVES)
_WAITS = re.compile(r"\w*(?:_wait|_put|_get|put_\w+|get_\w+|_begin|_end|_start|call_rcu_\w+|synchronize_\w+|smp_\w+|atomic_\w+)$")
_MOVED = re.compile(r"\w*(?:flush|unlock|qi_wait|_request)\w*$")
_OURS = re.compile(r"assume|note_\w+|zap_begin|zap_end|lockdep_assert_\w+")
"""Statements that the kernel has not, or that only look: nothing goes wrong without them."""
_LOCK = re.compile(r"((?:\w+_)?lock)(_\w+)?$")
_CALLS: Mapping[str, tuple[str, ...]] = {
    "kvm_flush_remote_tlbs": (
        "kvm_make_all_cpus_request({0}, KVM_REQ_TLB_FLUSH)",
        "kvm_tdp_fd_flush_notify({0})",
    ),
    "kvm_flush_remote_tlbs_range": ("kvm_make_all_cpus_request({0}, KVM_REQ_TLB_FLUSH)", "kvm_tdp_fd_flush_notify_range({all})"),
    "kvm_flush_remote_tlbs_gfn": ("kvm_flush_remote_tlbs_range({0}, {1}, {1})",),
    "tdp_mmu_next_exported_root": ("tdp_mmu_next_root({all}, true)",),
}
"""Calls in place of which a weaker one may stand; `{n}` is an argument of the call, `{all}` are all of them."""
_NAMES: Mapping[str, tuple[str, ...]] = {
    "true": ("false",),
    "false": ("true",),
    "KVM_REQ_TLB_FLUSH": ("KVM_REQ_MMU_FREE_OBSOLETE_ROOTS",),
    "KVM_REQ_MMU_FREE_OBSOLETE_ROOTS": ("KVM_REQ_TLB_FLUSH",),
    "PG_LEVEL_4K": ("PG_LEVEL_2M",),
    "PG_LEVEL_2M": ("PG_LEVEL_4K",),
}
_ENDS: Mapping[str, tuple[str, ...]] = {"start": ("last",), "last": ("start",), "first": ("end",), "end": ("first",)}
_STRICT = {"<=": "<", "<": "<=", ">=": ">", ">": ">="}


def mutations(text: str, file: str) -> Iterator[Mutation]:
    """Every fault of one file, in the order of its functions; two that give the same text are one.

    Args:
        text: kernel C; what is no function is left alone.
        file: its name.
    """
    source = text.encode()
    seen = {text}
    for node in _parser().parse(source).root_node.named_children:
        if node.type != "function_definition":
            continue
        function = _name_of(node)
        found = []
        for operator, edits, said in _in_function(node):
            after = _applied(source, edits)
            if after not in seen:
                seen.add(after)
                found.append(Mutation(operator, file, function, _line(source, edits), said or _shown(source, edits), "", after))
        above = _above(source, node)
        names = Counter((each.operator, each.what) for each in found)
        for each in found:
            alone = names[each.operator, each.what] == 1
            yield replace(each, near="" if alone else _near(each, [o for o in found if _named_alike(each, o)], above))


def _named_alike(one: Mutation, other: Mutation) -> bool:
    return (one.operator, one.what) == (other.operator, other.what) and one is not other


def _above(source: bytes, function: Node) -> dict[int, list[str]]:
    """By line, the lines of a function above it that are not empty, the nearest first."""
    first, last = function.start_point[0], function.end_point[0]
    lines = [_one_line(line) for line in source.decode().splitlines()]
    return {number + 1: [line for line in reversed(lines[first:number]) if line] for number in range(first, last + 1)}


def _near(one: Mutation, others: list[Mutation], above: dict[int, list[str]]) -> str:
    """So many lines above it that no other of its name has the same there."""
    own = above[one.line]
    count = next((n for n in range(1, len(own)) if all(above[other.line][:n] != own[:n] for other in others)), len(own))
    return " | ".join(reversed(own[:count]))


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_c.language()))


def _applied(source: bytes, edits: tuple[_Edit, ...]) -> str:
    out, at = [], 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        out += [source[at : edit.start], edit.new.encode()]
        at = edit.end
    return b"".join([*out, source[at:]]).decode()


def _line(source: bytes, edits: tuple[_Edit, ...]) -> int:
    return source.count(b"\n", 0, edits[0].start) + 1


def _shown(source: bytes, edits: tuple[_Edit, ...]) -> str:
    """The lines that are edited, before and after."""
    told = []
    for edit in edits:
        start = source.rfind(b"\n", 0, edit.start) + 1
        end = len(source) if (found := source.find(b"\n", edit.end)) < 0 else found
        after = source[start : edit.start] + edit.new.encode() + source[edit.end : end]
        told.append(f"{_one_line(source[start:end].decode())} -> {_one_line(after.decode())}")
    return "; ".join(told)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _name_of(function: Node) -> str:
    node: Node | None = function
    while node is not None and node.type != "identifier":
        node = node.child_by_field_name("declarator")
    return "" if node is None else _text(node)


def _text(node: Node) -> str:
    return (node.text or b"").decode()


def _each(node: Node) -> Iterator[Node]:
    """It and what it is made of, but for statements that the kernel has not."""
    if _OURS.fullmatch(_called(node)):
        return
    yield node
    for child in node.named_children:
        yield from _each(child)


Found = Iterator[tuple[str, tuple[_Edit, ...], str]]
"""An operator, what it edits, and the fault in words where the lines do not show it."""


def _in_function(function: Node) -> Found:
    body = function.child_by_field_name("body")
    if body is None:
        return
    nodes = [node for node in _each(body) if not node.has_error or node.type == "compound_statement" or node.type.endswith("_statement")]
    for make in _MAKERS:
        for node in nodes:
            yield from make(node)
    yield from _locks(nodes)


def _replace(node: Node, new: str) -> _Edit:
    return _Edit(node.start_byte, node.end_byte, new)


def _called(node: Node) -> str:
    """The function that a statement calls and does nothing with; empty if it is none."""
    inner = node.named_children[0] if node.type == "expression_statement" and node.named_children else None
    if inner is None or inner.type != "call_expression" or node.has_error or not _text(node).rstrip().endswith(";"):
        return ""
    function = inner.child_by_field_name("function")
    return "" if function is None else _text(function)


def _is_statement(node: Node) -> bool:
    """Whether it is a whole statement that does something, and no head of a loop macro."""
    whole = node.type in _STATEMENTS and not node.has_error and _text(node).rstrip().endswith(";") and _text(node) != ";"
    return whole and not _OURS.fullmatch(_called(node))


def _deleted(node: Node) -> Found:
    if _is_statement(node):
        yield ("drop-wait" if _WAITS.match(_called(node) or " ") else "delete"), (_replace(node, ";"),), ""


def _swapped(node: Node) -> Found:
    if node.type != "compound_statement":
        return
    children = [child for child in node.named_children if child.type != "comment"]
    for one, other in pairwise(children):
        if all(_is_statement(x) or (x.type in ("if_statement", "while_statement") and not x.has_error) for x in (one, other)):
            edits = (_replace(one, _text(other)), _replace(other, _text(one)))
            yield "swap", edits, f"{_one_line(_text(one))} <-> {_one_line(_text(other))}"


def _moved(node: Node) -> Found:
    """To each place of its block but those beside it, which a swap reaches."""
    if node.type != "compound_statement":
        return
    children = [c for c in node.named_children if c.type not in ("comment", "declaration") and not _OURS.fullmatch(_called(c))]
    texts = [_one_line(_text(child)) for child in children]
    for place, child in enumerate(children):
        if _is_statement(child) and _MOVED.match(_called(child) or " "):
            for there, other in enumerate(children):
                again = texts[:there].count(texts[there])
                what, beside = texts[place], texts[there] + (f" ({again + 1})" if again else "")
                if there < place - 1:
                    edits = (_replace(child, ";"), _Edit(other.start_byte, other.start_byte, f"{_text(child)}\n\t"))
                    yield "move", edits, f"{what} -> before {beside}"
                elif there > place + 1 and other.type not in _LEAVES:
                    edits = (_replace(child, ";"), _Edit(other.end_byte, other.end_byte, f"\n\t{_text(child)}"))
                    yield "move", edits, f"{what} -> after {beside}"


def _condition(node: Node) -> Node | None:
    """What is asked by an `if` or a loop, without its brackets."""
    if node.type not in ("if_statement", "while_statement", "do_statement"):
        return None
    condition = node.child_by_field_name("condition")
    return condition.named_children[0] if condition is not None and condition.named_children else None


def _negated(node: Node) -> Found:
    condition = _condition(node)
    if condition is not None:
        inner = _denied(condition)
        yield "negate", (_replace(condition, f"!({_text(condition)})" if inner is None else _text(inner)),), ""


def _denied(node: Node) -> Node | None:
    """What follows a `!`."""
    sign = node.child_by_field_name("operator") if node.type == "unary_expression" else None
    return node.child_by_field_name("argument") if sign is not None and _text(sign) == "!" else None


def _forced(node: Node) -> Found:
    condition = _condition(node)
    if condition is not None:
        for value in ("true",) if any(_unchecked(node)) else ("true", "false"):
            yield "force", (_replace(condition, value),), ""


def _unchecked(node: Node) -> Found:
    """An `if` that leaves, without another way."""
    if node.type != "if_statement" or node.child_by_field_name("alternative") is not None or node.has_error:
        return
    then = node.child_by_field_name("consequence")
    inner = [then] if then is not None and then.type != "compound_statement" else [] if then is None else then.named_children
    if inner and inner[-1].type in _LEAVES:
        yield "drop-recheck", (_replace(node, ";"),), ""


def _fewer(node: Node) -> Found:
    if node.type == "binary_expression":
        sign, left, right = (node.child_by_field_name(name) for name in ("operator", "left", "right"))
        if sign is not None and left is not None and right is not None and _text(sign) in ("&&", "||"):
            for side in (left, right):
                yield "drop-operand", (_replace(node, _text(side)),), ""
    operand = _denied(node)
    if operand is not None:
        yield "drop-operand", (_replace(node, _text(operand)),), ""


def _ends(node: Node) -> Found:
    if node.type == "binary_expression":
        sign = node.child_by_field_name("operator")
        if sign is not None and _text(sign) in _STRICT:
            yield "off-by-one", (_replace(sign, _STRICT[_text(sign)]),), ""
    if node.type == "identifier" and node.parent is not None and node.parent.type == "argument_list":
        for other in _ENDS.get(_text(node), ()):
            yield "off-by-one", (_replace(node, other),), ""


def _weaker(node: Node) -> Found:
    if (
        node.type in ("true", "false", "identifier")
        and node.parent is not None
        and node.parent.type in ("argument_list", "binary_expression")
    ):
        for other in _NAMES.get(_text(node), ()):
            yield "weaken-call", (_replace(node, other),), ""
    function = node.child_by_field_name("function") if node.type == "call_expression" else None
    arguments = node.child_by_field_name("arguments") if node.type == "call_expression" else None
    if function is None or arguments is None:
        return
    own = [_text(each) for each in arguments.named_children]
    for weaker in _CALLS.get(_text(function), ()):
        yield "weaken-call", (_replace(node, weaker.format(*own, all=", ".join(own))),), ""


_MAKERS: tuple[Callable[[Node], Found], ...] = (
    _deleted, _swapped, _negated, _forced, _moved, _unchecked, _ends, _fewer, _weaker,
)  # fmt: skip


def _locks(nodes: list[Node]) -> Found:
    """What the function locks, read instead of written, or not at all: each of its calls on that lock changes."""
    calls: dict[tuple[str, str], list[tuple[Node, Node]]] = {}
    for node in nodes:
        function = node.child_by_field_name("function") if node.type == "call_expression" else None
        if function is None or node.parent is None or not _is_statement(node.parent):
            continue
        kind = _text(function).replace("unlock", "lock")
        if _LOCK.match(kind):
            arguments = node.child_by_field_name("arguments")
            calls.setdefault((kind, "" if arguments is None else _text(arguments)), []).append((node.parent, function))
    for (kind, _), several in calls.items():
        if kind == "write_lock":
            edits = tuple(_replace(function, _text(function).replace("write_", "read_")) for _, function in several)
            yield "weaken-lock", edits, f"{_one_line(_text(several[0][0]))} -> for reading"
        if len(several) > 1:
            yield (
                "weaken-lock",
                tuple(_replace(statement, ";") for statement, _ in several),
                f"{_one_line(_text(several[0][0]))} -> not at all",
            )


__all__ = ["OPERATORS", "Mutation", "mutations"]
