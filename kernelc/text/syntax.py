"""From tree-sitter's concrete tree of one function or struct to the values of `ast.py`.

Nothing is guessed here: a node that has no case of its own is refused with its place and its text. A few readings that the types
alone do not show:

* a string literal among the arguments of a call is dropped, anywhere else it is refused (`WARN_ONCE(c, "text %d", x)` keeps `c`, `x`);
* `true`, `false` and `NULL` are names; a character constant is an integer literal; parentheses leave no trace;
* `(f)(x)` and `(*f)(x)` are calls of `f`; a call through a field is refused;
* `guard(rcu)(x)` is a call of `guard(rcu)`, which `guards.py` writes out;
* a parameter that is declared as a pointer to a function has the type `TypeRef("function", 1)`, as has a field; a local may not;
* a static local that is not const is refused, since it outlives the call; an empty statement is an empty block.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, cast

from tree_sitter import Node

from ..errors import Refusal
from . import ast
from .guards import GUARD
from .preprocess import CAST_PREFIX
from .tokens import character, integer

DEPTH_LIMIT = 200
"""How many levels of the tree may lie within each other: more would exhaust Python's stack here or in a later pass."""


_REFUSED: dict[str, tuple[str, str]] = {
    "switch_statement": ("`switch` is not in the subset", "write it as a chain of `if` and `else`"),
    "case_statement": ("`case` is not in the subset", "write it as a chain of `if` and `else`"),
    "gnu_asm_expression": ("inline assembly is not in the subset", "call a function that is an intrinsic of the model"),
    "sizeof_expression": ("`sizeof` is not in the subset", "name the size as a constant"),
    "alignof_expression": ("`_Alignof` is not in the subset", "name the alignment as a constant"),
    "offsetof_expression": ("`offsetof` is not in the subset", "name the offset as a constant"),
    "generic_expression": ("`_Generic` is not in the subset", "call the function that is meant"),
    "compound_literal_expression": ("a compound literal is not in the subset", "declare a local with an initialiser"),
    "string_literal": ("a string is only understood as an argument of a call", "remove it"),
    "concatenated_string": ("a string is only understood as an argument of a call", "remove it"),
    "initializer_list": ("a list in braces is only understood as the value of a declared variable", "assign the fields one by one"),
    "type_definition": ("a `typedef` inside a function is not in the subset", "move it to file level"),
    "function_definition": (
        "a function inside a function is not in the subset",
        "move it to file level; or, if it is a loop macro, hand its definition to `expand`",
    ),
    "struct_specifier": ("a struct declared inside a function is not in the subset", "move it to file level"),
    "enum_specifier": ("an enum declared inside a function is not in the subset", "move it to file level"),
}
_ATTRIBUTE = ("this attribute is not understood", "leave it out, or call what it would call")
ATTRIBUTES: dict[str, tuple[str, str]] = {
    "attribute_declaration": _ATTRIBUTE,
    "attribute_specifier": _ATTRIBUTE,
    "attributed_statement": _ATTRIBUTE,
    "attributed_declarator": _ATTRIBUTE,
    "ms_declspec_modifier": _ATTRIBUTE,
    "ms_based_modifier": _ATTRIBUTE,
    "ms_call_modifier": _ATTRIBUTE,
    "ms_pointer_modifier": _ATTRIBUTE,
    "gnu_asm_expression": _REFUSED["gnu_asm_expression"],
}
"""Nodes that are refused wherever they stand: the reading of what is around them does not meet them."""
_LOOPS = frozenset({"for_statement", "while_statement", "do_statement"})
_LEAVES_A_LOOP = frozenset({"break_statement", "continue_statement"})
_NOT_LOCAL = frozenset({"extern", "__thread", "_Thread_local", "thread_local", "_Atomic"})
_GUARD = re.compile(rf"{GUARD}\s*\(\s*(\w+)\s*\)")
_OUTSIDE = "this construct is not in the C subset"
_REWRITE = "write it with if, loops, calls and assignments"


class Syntax:
    """Reads nodes of one parsed piece of text.

    Args:
        locate: answers where in the user's text a byte of the parsed piece stands.
    """

    def __init__(self, locate: Callable[[int], ast.Location]) -> None:
        self._locate = locate

    # Places and refusals

    def at(self, node: Node) -> ast.Location:
        """Return the place of the node's first character in the user's text."""
        return self._locate(node.start_byte)

    def refuse(self, node: Node, what: str, advice: str) -> Refusal:
        """Build (not raise) the refusal of a node."""
        return Refusal(self.at(node), what, text_of(node).replace(f"struct {CAST_PREFIX}", ""), advice)

    def outside(self, node: Node) -> Refusal:
        """Build (not raise) the refusal of a node of a kind that has no reading."""
        what, advice = (_REFUSED | ATTRIBUTES).get(node.type, (_OUTSIDE, _REWRITE))
        return self.refuse(node, what, advice)

    def _field(self, node: Node, name: str) -> Node:
        """Return the child that the grammar promises to be there."""
        child = node.child_by_field_name(name)
        if child is None:
            raise self.outside(node)
        return child

    # Definitions

    def function(self, node: Node, last: ast.Location) -> ast.Function:
        """Read a function definition whose closing brace is at `last`.

        Raises:
            Refusal: something in it is outside the subset.
        """
        returns, declarator = self._returns(node)
        name = self._field(declarator, "declarator")
        if name.type != "identifier":
            raise self.refuse(name, "a function's name is expected here", "declare the function as `type name(type argument, ...)`")
        parameters = self._parameters(self._field(declarator, "parameters"))
        body = self._block(self._field(node, "body"))
        return ast.Function(text_of(name), returns, parameters, body, self.at(node), last.line)

    def _returns(self, node: Node) -> tuple[ast.TypeRef, Node]:
        base, pointer, declarator = self._base(node), 0, self._field(node, "declarator")
        while declarator.type == "pointer_declarator":
            pointer, declarator = pointer + 1, self._field(declarator, "declarator")
        if declarator.type != "function_declarator":
            raise self.refuse(declarator, "this is not the head of a function", "declare it as `type name(type argument, ...)`")
        return self._by_value(node, ast.TypeRef(base, pointer)), declarator

    def _parameters(self, node: Node) -> tuple[ast.Parameter, ...]:
        found: list[ast.Parameter] = []
        children = node.named_children
        for child in children:
            if child.type == "variadic_parameter":
                raise self.refuse(child, "a variable number of arguments is not in the subset", "name every parameter")
            if child.type != "parameter_declaration":
                raise self.outside(child)
            declarator = child.child_by_field_name("declarator")
            if declarator is None:
                if len(children) == 1 and text_of(child) == "void":
                    return ()
                raise self.refuse(child, "this parameter has no name", "give it one")
            type_, name = self._declared(self._base(child), declarator, function_allowed=True)
            found.append(ast.Parameter(self._by_value(child, type_), name))
        return tuple(found)

    def struct(self, node: Node) -> ast.Struct:
        """Read a named struct definition.

        Members of an anonymous struct count as its own; an anonymous union has no fields here (its members share their place).
        A bit-field has its width in its type (`u8:1`), a nested struct or union without a name is `struct {...}`.

        Raises:
            Refusal: a field has a declarator that is not understood.
        """
        fields: list[tuple[str, ast.TypeRef]] = []
        self._fields(self._field(node, "body"), fields)
        return ast.Struct(text_of(self._field(node, "name")), tuple(fields), self.at(node))

    def _fields(self, body: Node, fields: list[tuple[str, ast.TypeRef]]) -> None:
        for child in body.named_children:
            if child.type != "field_declaration":
                raise self.outside(child)
            type_ = self._field(child, "type")
            declarators = child.children_by_field_name("declarator")
            inner = type_.child_by_field_name("body")
            if not declarators and inner is not None and type_.type == "struct_specifier":
                self._fields(inner, fields)
            base = type_.type.removesuffix("_specifier") + " {...}" if inner is not None else self._base(child)
            widths = [text_of(part).replace(" ", "") for part in child.named_children if part.type == "bitfield_clause"]
            for declarator in declarators:
                declared, name = self._declared(base, declarator, function_allowed=True)
                if widths:
                    declared = ast.TypeRef(declared.base + widths[0], declared.pointer)
                fields.append((name, declared))

    def statics(self, node: Node) -> list[ast.Static]:
        """The variables that a declaration at file level declares `static`; nothing of one whose type or declarator is not understood."""
        words = {text_of(child) for child in node.children if child.type in ("storage_class_specifier", "type_qualifier")}
        if node.type != "declaration" or "static" not in words or "const" in words:
            return []
        found = []
        with suppress(Refusal):
            base = self._base(node)
            for declarator in node.children_by_field_name("declarator"):
                value = declarator.child_by_field_name("value") if declarator.type == "init_declarator" else None
                inner = self._field(declarator, "declarator") if declarator.type == "init_declarator" else declarator
                declared, name = self._declared(base, inner)
                found.append(ast.Static(name, declared, _plain(value), self.at(inner)))
        return found

    def declared_names(self, node: Node) -> list[tuple[Node, str]]:
        """What a declaration at file level declares: variables, types, enumerators, each with what it is; prototypes declare none.

        Raises:
            Refusal: a declarator that is not understood.
        """
        body = (node if node.type == "enum_specifier" else node.child_by_field_name("type") or node).child_by_field_name("body")
        listed = body.named_children if body is not None and body.type == "enumerator_list" else []
        found = [(self._field(x, "name"), "a constant of an enumeration at file level") for x in listed if x.type == "enumerator"]
        typedef = node.type == "type_definition"
        for declarator in node.children_by_field_name("declarator") if typedef or node.type == "declaration" else []:
            inner, function = declarator, False
            while inner.type not in ("identifier", "field_identifier", "type_identifier", "primitive_type"):
                function = (
                    not typedef
                    and inner.type == "function_declarator"
                    and self._field(inner, "declarator").type != "parenthesized_declarator"
                )
                named = inner.child_by_field_name("declarator") or next(iter(inner.named_children), None)
                if named is None:
                    raise self.outside(declarator)
                inner = named
                if function:
                    break
            if not function:
                found.append((inner, "a type that is defined here" if typedef else "a variable at file level"))
        return found

    # Types

    def _base(self, node: Node) -> str:
        """Return the normalised spelling of the type that a declaration begins with; `bool` is C's `_Bool`."""
        base = self._spelled_base(node)
        return "bool" if base == "_Bool" else base

    def _spelled_base(self, node: Node) -> str:
        node_type = node.child_by_field_name("type")
        if node_type is None:
            raise self.refuse(node, "a type is missing here", "write it out")
        match node_type.type:
            case "primitive_type" | "type_identifier":
                return text_of(node_type)
            case "sized_type_specifier":
                return _sized(text_of(node_type))
            case "struct_specifier" | "union_specifier" | "enum_specifier":
                name = node_type.child_by_field_name("name")
                if node_type.child_by_field_name("body") is not None or name is None:
                    raise self.outside(node_type)
                spelled = text_of(name)
                if spelled.startswith(CAST_PREFIX):
                    return spelled.removeprefix(CAST_PREFIX)
                return f"{node_type.type.removesuffix('_specifier')} {spelled}"
            case "macro_type_specifier":
                raise self.refuse(node_type, "a computed type is not in the subset", "write the type's name")
            case _:
                raise self.outside(node_type)

    def _declared(self, base: str, declarator: Node, function_allowed: bool = False) -> tuple[ast.TypeRef, str]:
        """Read one declarator: stars, an array length, and the name."""
        pointer, array, node = 0, None, declarator
        while True:
            match node.type:
                case "pointer_declarator":
                    if array is not None:
                        raise self.refuse(declarator, "a pointer to an array is not in the subset", "use a pointer to its elements")
                    pointer, node = pointer + 1, self._field(node, "declarator")
                case "parenthesized_declarator":
                    node = node.named_children[0]
                case "array_declarator":
                    size = node.child_by_field_name("size")
                    if array is not None:
                        raise self.refuse(declarator, "an array of arrays is not in the subset", "use one dimension")
                    array = ast.IntLiteral(0, self.at(node)) if size is None else self.expression(size)
                    node = self._field(node, "declarator")
                case "function_declarator":
                    if not function_allowed:
                        raise self.refuse(
                            declarator, "a function pointer cannot be stored", "call the function by its name, or hand it on as an argument"
                        )
                    return ast.TypeRef("function", 1), self._function_pointer(node)
                case "identifier" | "field_identifier":
                    return ast.TypeRef(base, pointer, array), text_of(node)
                case _:
                    raise self.outside(declarator)

    def _function_pointer(self, node: Node) -> str:
        inner = self._field(node, "declarator")
        while inner.type in ("parenthesized_declarator", "pointer_declarator"):
            inner = inner.named_children[-1]
        if inner.type not in ("identifier", "field_identifier"):
            raise self.outside(node)
        return text_of(inner)

    def _by_value(self, node: Node, type_: ast.TypeRef) -> ast.TypeRef:
        if type_.base.startswith("union ") and not type_.pointer:
            raise self.refuse(node, "a union by value is not in the subset", "use the field that is meant, or a pointer to the union")
        return type_

    def _cast_type(self, node: Node) -> ast.TypeRef:
        base, pointer = self._base(node), 0
        abstract = node.child_by_field_name("declarator")
        while abstract is not None:
            if abstract.type != "abstract_pointer_declarator":
                raise self.refuse(node, "a cast to an array or function is not in the subset", "cast to a plain type")
            pointer, abstract = pointer + 1, abstract.child_by_field_name("declarator")
        return self._by_value(node, ast.TypeRef(base, pointer))

    # Statements

    def _enclosed(self, node: Node) -> ast.Block:
        """The statements of `({ ... })`; a jump out of it, but for a `return`, and one into it are refused."""
        todo = [(child, False) for child in node.named_children]
        while todo:
            inner, in_loop = todo.pop()
            if inner.type in ("labeled_statement", "goto_statement") or (inner.type in _LEAVES_A_LOOP and not in_loop):
                raise self.refuse(inner, "a jump in a statement expression is not in the subset", "write the statements before this one")
            todo += [(child, in_loop or inner.type in _LOOPS) for child in inner.named_children]
        return self._block(node)

    def _block(self, node: Node) -> ast.Block:
        found: list[ast.Stmt] = []
        for child in node.named_children:
            found.extend(self._statements(child))
        return ast.Block(tuple(found), self.at(node))

    def _statements(self, node: Node) -> tuple[ast.Stmt, ...]:
        """Read one statement; a declaration of several variables is several."""
        if node.type == "declaration":
            return self._declarations(node)
        if node.type == "labeled_statement":
            inner = self._after_label(node)
            first = inner[0] if len(inner) == 1 and not isinstance(inner[0], ast.Declare) else ast.Block((), self.at(node))
            label = ast.Label(text_of(self._field(node, "label")), first, self.at(node))
            return (label,) if inner == (first,) else (label, *inner)
        return (self._statement(node),)

    def _after_label(self, node: Node) -> tuple[ast.Stmt, ...]:
        inner = [child for child in node.named_children if child.type != "statement_identifier"]
        return self._statements(inner[0]) if inner else (ast.Block((), self.at(node)),)

    def _one(self, node: Node) -> ast.Stmt:
        found = self._statements(node)
        return found[0] if len(found) == 1 else ast.Block(found, self.at(node))

    def _statement(self, node: Node) -> ast.Stmt:
        at = self.at(node)
        match node.type:
            case "compound_statement":
                return self._block(node)
            case "expression_statement":
                parts = node.named_children
                return ast.Evaluate(self.expression(parts[0]), at) if parts else ast.Block((), at)
            case "if_statement":
                alternative = node.child_by_field_name("alternative")
                otherwise = self._one(alternative.named_children[0]) if alternative is not None else None
                return ast.If(self._condition(node), self._one(self._field(node, "consequence")), otherwise, at)
            case "while_statement" | "do_statement":
                return ast.While(self._condition(node), self._one(self._field(node, "body")), node.type == "do_statement", at)
            case "for_statement":
                return self._for(node)
            case "break_statement":
                return ast.Jump("break", None, at)
            case "continue_statement":
                return ast.Jump("continue", None, at)
            case "goto_statement":
                return ast.Jump("goto", text_of(self._field(node, "label")), at)
            case "return_statement":
                parts = node.named_children
                return ast.Return(self.expression(parts[0]) if parts else None, at)
            case _:
                raise self.outside(node)

    def _condition(self, node: Node) -> ast.Expr:
        return self.expression(self._field(node, "condition"))

    def _for(self, node: Node) -> ast.For:
        start, condition, step = (node.child_by_field_name(name) for name in ("initializer", "condition", "update"))
        first: ast.Stmt | None = None
        if start is not None and start.type == "declaration":
            declared = self._declarations(start)
            if len(declared) != 1:
                raise self.refuse(start, "several variables declared in a `for`", "declare them before the loop")
            first = declared[0]
        elif start is not None:
            first = ast.Evaluate(self.expression(start), self.at(start))
        return ast.For(
            first,
            self.expression(condition) if condition is not None else None,
            self.expression(step) if step is not None else None,
            self._one(self._field(node, "body")),
            self.at(node),
        )

    def _declarations(self, node: Node) -> tuple[ast.Stmt, ...]:
        words = {text_of(child) for child in node.children if child.type in ("storage_class_specifier", "type_qualifier")}
        if words & _NOT_LOCAL or ("static" in words and "const" not in words):
            raise self.refuse(node, "this local is not an ordinary variable of its function", "make it a plain local, or a parameter")
        declarators = node.children_by_field_name("declarator")
        if not declarators:
            raise self.refuse(node, "this declares no variable", "remove it, or move it to file level")
        return tuple(self._declaration(node, declarator) for declarator in declarators)

    def _declaration(self, node: Node, declarator: Node) -> ast.Declare:
        base, value = self._base(node), None
        if base in ("__auto_type", "auto", "typeof"):
            raise self.refuse(node, "a computed type is not in the subset", "write the type's name")
        if declarator.type == "init_declarator":
            given = self._field(declarator, "value")
            value = self._initializer(given) if given.type == "initializer_list" else self.expression(given)
            declarator = self._field(declarator, "declarator")
        type_, name = self._declared(base, declarator)
        return ast.Declare(self._by_value(node, type_), name, value, self.at(declarator))

    def _initializer(self, node: Node) -> ast.Initializer:
        fields: list[tuple[str, ast.Expr]] = []
        parts = node.named_children
        if len(parts) == 1 and text_of(parts[0]) == "0":
            return ast.Initializer((), self.at(node))
        for part in parts:
            designators = part.children_by_field_name("designator")
            if part.type != "initializer_pair" or len(designators) != 1 or designators[0].type != "field_designator":
                raise self.refuse(part, "only `.field = value` is understood in braces", "name each field, or assign after the declaration")
            value = self._field(part, "value")
            read = self._initializer(value) if value.type == "initializer_list" else self.expression(value)
            fields.append((text_of(designators[0].named_children[0]), read))
        return ast.Initializer(tuple(fields), self.at(node))

    # Expressions

    def expression(self, node: Node) -> ast.Expr:
        """Read an expression.

        Raises:
            Refusal: something in it is outside the subset.
        """
        at = self.at(node)
        match node.type:
            case "identifier" | "true" | "false" | "null":
                return ast.Name(text_of(node), at)
            case "number_literal" | "char_literal":
                return self._constant(node)
            case "parenthesized_expression":
                return self.expression(node.named_children[0])
            case "compound_statement":
                return ast.Enclosed(self._enclosed(node), at)
            case "unary_expression" | "pointer_expression":
                operand = self.expression(self._field(node, "argument"))
                return ast.Unary(cast(Literal["!", "~", "-", "+", "*", "&"], self._operator(node)), operand, at)
            case "update_expression":
                return self._step(node)
            case "binary_expression":
                return ast.Binary(self._operator(node), *self._both(node), at)
            case "assignment_expression":
                return ast.Assign(self._operator(node), *self._both(node), at)
            case "comma_expression":
                return ast.Comma(tuple(self._comma(node)), at)
            case "conditional_expression":
                return self._conditional(node)
            case "call_expression":
                return self._call(node)
            case "field_expression":
                base = self.expression(self._field(node, "argument"))
                return ast.Member(base, text_of(self._field(node, "field")), self._operator(node) == "->", at)
            case "subscript_expression":
                return ast.Index(self.expression(self._field(node, "argument")), self.expression(self._field(node, "index")), at)
            case "cast_expression":
                return ast.Cast(self._cast_type(self._field(node, "type")), self.expression(self._field(node, "value")), at)
            case _:
                raise self.outside(node)

    def _operator(self, node: Node) -> str:
        return text_of(self._field(node, "operator"))

    def _both(self, node: Node) -> tuple[ast.Expr, ast.Expr]:
        return self.expression(self._field(node, "left")), self.expression(self._field(node, "right"))

    def _step(self, node: Node) -> ast.Expr:
        """Read `++x` or `x++`; the grammar takes `!x++` for `(!x)++`, in C the `++` comes first."""
        operator = cast(Literal["++", "--"], self._operator(node))
        target = self._field(node, "argument")
        if self._field(node, "operator").start_byte == node.start_byte:
            return ast.Step(operator, self.expression(target), True, self.at(node))
        signs: list[Node] = []
        while target.type == "unary_expression":
            signs.append(target)
            target = self._field(target, "argument")
        read: ast.Expr = ast.Step(operator, self.expression(target), False, self.at(target))
        for sign in reversed(signs):
            read = ast.Unary(cast(Literal["!", "~", "-", "+"], self._operator(sign)), read, self.at(sign))
        return read

    def _comma(self, node: Node) -> list[ast.Expr]:
        """Return the parts of `a, b, c`, which the grammar nests."""
        parts: list[ast.Expr] = []
        for side in (self._field(node, "left"), self._field(node, "right")):
            read = self.expression(side)
            parts.extend(read.parts if isinstance(read, ast.Comma) else (read,))
        return parts

    def _conditional(self, node: Node) -> ast.Conditional:
        then = node.child_by_field_name("consequence")
        if then is None:
            raise self.refuse(node, "GNU's `a ?: b` is not in the subset", "write `a ? a : b`")
        condition, otherwise = self._field(node, "condition"), self._field(node, "alternative")
        return ast.Conditional(self.expression(condition), self.expression(then), self.expression(otherwise), self.at(node))

    def _call(self, node: Node) -> ast.Expr:
        function = self._field(node, "function")
        guard = _GUARD.fullmatch(text_of(function)) if function.type == "call_expression" else None
        if guard is not None:
            return ast.Call(f"{GUARD}({guard.group(1)})", self._arguments(node), self.at(node))
        while function.type == "parenthesized_expression" or (function.type == "pointer_expression" and self._operator(function) == "*"):
            function = function.named_children[0]
        if function.type != "identifier":
            raise self.refuse(node, "a call through a stored pointer is not in the subset", "call the function by its name")
        return ast.Call(text_of(function), self._arguments(node), self.at(node))

    def _arguments(self, node: Node) -> tuple[ast.Expr, ...]:
        """The arguments of a call, without texts."""
        given = self._field(node, "arguments").named_children
        return tuple(self.expression(child) for child in given if child.type not in ("string_literal", "concatenated_string"))

    def _constant(self, node: Node) -> ast.Expr:
        """Read a constant; the grammar takes the sign of `-1` into the number, C does not."""
        text = text_of(node)
        if text[0] in "-+":
            inner = self._integer(node, text[1:].lstrip(), self._locate(node.start_byte + 1))
            return ast.Unary("-" if text[0] == "-" else "+", inner, self.at(node))
        return self._integer(node, text, self.at(node))

    def _integer(self, node: Node, text: str, at: ast.Location) -> ast.IntLiteral:
        if node.type == "char_literal":
            value = character(text)
            if value is not None:
                return ast.IntLiteral(value, at)
        elif (found := integer(text)) is not None:
            kind = _ladder(*found)
            if kind is None:
                raise self.refuse(node, "this constant is too large for its type", "give it the suffix that its value needs, as in 1ul")
            return ast.IntLiteral(found[0], at, *kind)
        raise self.refuse(node, "this is not an integer constant", "write a decimal, octal or hexadecimal integer")


def _ladder(number: int, decimal: bool, unsigned: bool, long: bool) -> tuple[int, bool] | None:
    """Bits and sign of the first type of C's list that holds a constant, by its base and suffix; None if none does."""
    for bits in (64,) if long else (32, 64):
        if not unsigned and number < 2 ** (bits - 1):
            return bits, True
        if (unsigned or not decimal) and number < 2**bits:
            return bits, False
    return None


def text_of(node: Node) -> str:
    """Return the node's text with single spaces."""
    return " ".join((node.text or b"").decode("ascii").split())


def _sized(text: str) -> str:
    """Give the many spellings of one integer type one name: `long unsigned int` is `unsigned long`."""
    words = text.split()
    sign = "unsigned " if "unsigned" in words else "signed " if "signed" in words and "char" in words else ""
    size = " ".join(["long"] * words.count("long")) or ("short" if "short" in words else "char" if "char" in words else "int")
    rest = [word for word in words if word not in ("unsigned", "signed", "long", "short", "int", "char")]
    return sign + " ".join(rest or [size])


def _plain(value: Node | None) -> int | None:
    """The number that a variable begins with: 0 if nothing is said, None if it is no plain constant."""
    if value is None:
        return 0
    word = text_of(value)
    return {"true": 1, "false": 0}.get(word, int(word) if word in ("0", "1") else None)
