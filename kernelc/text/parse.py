"""C text to the abstract syntax: `parse` is the front door of this room's first half.

A file is cut into its top-level items before the grammar sees it, and each item is parsed on its own: so an error in one function
cannot change the reading of its neighbour, and each function that cannot be read is known by its name.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import tree_sitter_c
from tree_sitter import Language, Node, Parser

from ..errors import Refusal, Unmodelled
from .ast import Expr, Function, Location, Return, Static, Struct, TypeRef, Unit
from .conditional import Region
from .guards import written_out
from .preprocess import DEFAULT_CONFIG, Preprocessed, preprocess
from .syntax import ATTRIBUTES, DEPTH_LIMIT, Syntax, text_of
from .tokens import Token, closing, spell

_SIZE_LIMIT = 8_000_000


def parse(
    text: str | bytes,
    file: str,
    macros: Mapping[str, str] | None = None,
    config: Mapping[str, bool] = DEFAULT_CONFIG,
    expand: Collection[str] = (),
) -> Unit:
    """Parse one C file.

    Args:
        text: the file's content; bytes are read as UTF-8.
        file: its name as reports should show it.
        macros: other files (name to text) that define the loop macros used in `text`.
        config: what is known of the configuration, see `preprocess`.
        expand: further macros to expand.

    Returns:
        Its functions and structs. `broken` holds, under the same name (`struct x` for a struct), each that could not be read.
        What stands at file level and is not understood is in `strange`, for the caller to refuse where it must not be left out.

    Raises:
        Refusal: the file as a whole is no C that can be used: empty, binary, not UTF-8, or with garbage between its functions.
    """
    return parse_preprocessed(preprocess(_checked(text, file), file, macros, config, expand))


def parse_preprocessed(source: Preprocessed) -> Unit:
    """Parse a file that the caller has preprocessed (and whose macros and constants it wants to keep)."""
    unit = Unit(source.file, {}, {}, {})
    inside: set[int] = set()
    for item in _items(source):
        if item.function is not None:
            inside.update(range(item.tokens[0].line, item.tokens[-1].line + 1))
        if item.function is None:
            _declaration(item, unit)
            continue
        try:
            if item.function in unit.functions or item.function in unit.broken:
                raise Refusal(item.first, "this function is defined twice in one file", item.function, "remove or rename one")
            unit.functions[item.function] = _function(item)
        except Refusal as refusal:
            unit.functions.pop(item.function, None)
            unit.broken[item.function] = refusal
            unit.spans[item.function] = item.tokens[0].line, item.tokens[-1].line
    unit.strange.extend(region.refusal for region in source.strange if region.first not in inside)
    return unit


def parse_expression(text: str, file: str = "<expression>") -> Expr:
    """Parse a lone expression, such as the text of a constant.

    Raises:
        Refusal: it is not one expression of the subset.
    """
    source = preprocess(_checked(text, file), file)
    head = "int f(void) { return "
    tree = _parser().parse((head + source.text + ";}").encode("ascii"))
    syntax = Syntax(lambda offset: source.origin(offset - len(head)))
    wrong = Refusal(Location(file, 1), "this is not an expression", text, "write a single C expression")
    items = tree.root_node.named_children
    if _first_error(tree.root_node) is not None or len(items) != 1 or items[0].type != "function_definition":
        raise wrong
    _check_nodes(items[0], syntax)
    body = syntax.function(items[0], Location(file, 1)).body.statements
    if len(body) != 1 or not isinstance(body[0], Return) or body[0].value is None:
        raise wrong
    return body[0].value


def _checked(text: str | bytes, file: str) -> str:
    if isinstance(text, bytes):
        # A binary file is refused below for being one, not for the first byte of it that is not UTF-8.
        text = text.decode("latin-1") if b"\0" in text else _decoded(text, file)
    start = Location(file, 1)
    if not text.strip():
        raise Refusal(start, "this file is empty", "", "give a C file")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise Refusal(Location(file, line), "this is a binary file (it has a NUL byte)", "", "give a C source file")
    if len(text) > _SIZE_LIMIT:
        raise Refusal(start, f"this file has more than {_SIZE_LIMIT} characters", "", "give the source file that is meant")
    return text


def _decoded(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        shown = data[error.start : error.start + 1].hex()
        raise Refusal(Location(file, line, column), "this byte is not UTF-8", f"0x{shown}", "save the file as UTF-8") from None


# Top-level items


@dataclass(frozen=True, slots=True)
class _Item:
    """One definition or declaration at file level: tokens `start` to `end` (exclusive) of `source`."""

    source: Preprocessed
    start: int
    end: int
    function: str | None

    @property
    def tokens(self) -> tuple[Token, ...]:
        return self.source.tokens[self.start : self.end]

    @property
    def offset(self) -> int:
        return self.source.offsets[self.start]

    @property
    def text(self) -> str:
        end = self.source.offsets[self.end] if self.end < len(self.source.offsets) else len(self.source.text)
        return self.source.text[self.offset : end].rstrip()

    @property
    def first(self) -> Location:
        return self.source.origin(self.offset)

    @property
    def last(self) -> Location:
        return self.source.origin(self.source.offsets[self.end - 1])


def _items(source: Preprocessed) -> Iterator[_Item]:
    """Cut the tokens of a file at the semicolons and function bodies of its top level."""
    tokens = source.tokens
    start = 0
    while start < len(tokens):
        end, function = _item_end(source, start)
        if end > start + 1 or tokens[start].text != ";":
            yield _Item(source, start, end, function)
        start = end


def _item_end(source: Preprocessed, start: int) -> tuple[int, str | None]:
    """Return the index after the item that begins at `start`, and its name if it is a function."""
    tokens = source.tokens
    after = _after_macro_call(tokens, start)
    if after != start and (after == len(tokens) or _begins_line(tokens, after)):
        return after, None
    depth, opened, function = 0, start, None
    for index in range(after, len(tokens)):
        text = tokens[index].text
        if text == "{":
            if depth == 0:
                opened = index
                function = _function_name(tokens[start:index])
            depth += 1
        elif text == "}":
            depth -= 1
            if depth < 0:
                raise _stray(source, index, "this brace closes nothing", "remove it, or look for a missing `{` above")
        if depth == 0 and (text == ";" or (text == "}" and function is not None)):
            return index + 1, function
    if depth:
        raise _stray(source, opened, "this brace is never closed", "look for a missing `}` below")
    raise _stray(source, start, "this is not a C definition or declaration, or its end is missing", "remove it, or complete it")


def _after_macro_call(tokens: tuple[Token, ...], start: int) -> int:
    """Step over `MACRO(...)` at the start of an item, whatever is between the parentheses; `start` if there is none."""
    if tokens[start].kind != "name" or start + 1 >= len(tokens) or tokens[start + 1].text != "(":
        return start
    end = closing(tokens, start + 1)
    return start if end is None else end + 1


def _begins_line(tokens: tuple[Token, ...], index: int) -> bool:
    """Say whether a token that begins a line also begins an item, so that the macro call before it stood alone."""
    token = tokens[index]
    return token.line > tokens[index - 1].line and token.column == 1 and token.text not in ("{", ";")


def _stray(source: Preprocessed, index: int, what: str, advice: str) -> Refusal:
    return Refusal(source.origin(source.offsets[index]), what, _line(source, index), advice)


def _function_name(head: tuple[Token, ...]) -> str | None:
    """Return the name of the function whose head comes before a brace; None if the brace opens something else.

    The name stands before the last pair of parentheses at the outermost level, and there is no `=` outside them.
    """
    depth, opened = 0, 0
    for index, token in enumerate(head):
        if token.text == "(":
            opened = index if depth == 0 else opened
            depth += 1
        elif token.text == ")":
            depth -= 1
        elif depth == 0 and token.text in ("=", "typedef"):
            return None
    if not head or head[-1].text != ")" or opened == 0:
        return None
    if head[opened - 1].kind == "name":
        return head[opened - 1].text
    # A name made by a macro, `FNAME(walk)(...)`: no C yet, but it should be refused under the name that people look for.
    begin = next((i for i in range(opened - 1, 0, -1) if head[i].text == "("), 1) - 1
    return spell(head[begin:opened])


def _line(source: Preprocessed, index: int) -> str:
    """Return the text around a token: what stands on its line."""
    line = source.tokens[index].line
    start = source.text.rfind("\n", 0, source.offsets[index]) + 1
    end = source.text.find("\n", source.offsets[index])
    return source.text[start:end] if line else ""


# One item


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_c.language()))


def _read(item: _Item, text: str | None = None) -> tuple[Node, Syntax]:
    """Parse one item (or `text`, which has the same layout); the root node may contain errors."""
    tree = _parser().parse((item.text if text is None else text).encode("ascii"))
    return tree.root_node, Syntax(lambda offset: item.source.origin(item.offset + offset))


def _function(item: _Item) -> Function:
    region = _overlapping(item)
    if region is not None:
        raise region.refusal
    root, syntax = _read(item)
    error = _first_error(root)
    if error is not None:
        raise _syntax_error(error, item, syntax)
    nodes = root.named_children
    if len(nodes) != 1 or nodes[0].type != "function_definition":
        raise Refusal(item.first, "this is not a function definition of the C subset", item.text, "declare it as `type name(...) { ... }`")
    _check_nodes(nodes[0], syntax)
    return written_out(syntax.function(nodes[0], item.last))


def _overlapping(item: _Item) -> Region | None:
    first = min(token.line for token in item.tokens)
    last = max(token.line for token in item.tokens)
    return next((region for region in item.source.regions if region.first <= last and first <= region.last), None)


def _first_error(root: Node) -> Node | None:
    """Return the first error or missing node, or None; a loop rather than a recursion, since the tree may be deep."""
    if not root.has_error:
        return None
    node = root
    while True:
        inside = next((child for child in node.children if child.has_error or child.is_missing), None)
        if inside is None or node.is_error:
            return node
        node = inside


def _syntax_error(node: Node, item: _Item, syntax: Syntax) -> Refusal:
    for index, token in enumerate(item.tokens, item.start):
        # Their syntax has variants that tree-sitter does not know (`case 1 ... 3`), so the true reason would not be seen.
        if token.text in ("switch", "asm", "__asm__", "asm_volatile_goto"):
            return _stray(item.source, index, f"`{token.text}` is not in the subset", "write it with if, calls and assignments")
    index = max(bisect_right(item.source.offsets, item.offset + node.start_byte) - 1, item.start)
    if node.is_missing:
        what, advice = f"the parser expects `{node.type}` after this", "complete the statement, or define the macro it uses"
    else:
        what, advice = "this is not C that the parser understands", "write it in plain C, or define the macro it uses"
    return Refusal(syntax.at(node), what, _line(item.source, index), advice)


def _check_nodes(root: Node, syntax: Syntax) -> None:
    """Refuse what nests too deep, before anything recurses into it, and what must not be overlooked wherever it stands."""
    cursor = root.walk()
    depth = 0
    while True:
        if cursor.node is not None and cursor.node.type in ATTRIBUTES:
            raise syntax.outside(cursor.node)
        if cursor.goto_first_child():
            depth += 1
            if depth > DEPTH_LIMIT and cursor.node is not None:
                raise syntax.refuse(cursor.node, f"this is nested more than {DEPTH_LIMIT} levels deep", "split it with local variables")
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent() or depth == 0:
                return
            depth -= 1


_NO_WORDS = frozenset({"asm", "__asm", "__asm__", "_Pragma"})
_DECLARATIONS = frozenset({"declaration", "type_definition", "struct_specifier", "union_specifier", "enum_specifier"})
_USE = "hand it on as an argument, or give it a meaning in model/intrinsics"


def _declaration(item: _Item, unit: Unit) -> None:
    """Keep a struct definition, note what any other declaration declares, refuse what is neither."""
    words = item.tokens
    odd = next((n for n, word in enumerate(words, item.start) if word.text in _NO_WORDS), None)
    if odd is not None:
        unit.strange.append(_stray(item.source, odd, f"`{item.source.tokens[odd].text}` is not understood", "leave it out"))
    elif words[0].text in ("struct", "union") and len(words) > 2 and words[2].text == "{":
        try:
            struct = _struct(item)
            if struct is not None:
                unit.structs[struct.name] = struct
        except Refusal as refusal:
            unit.broken[f"{words[0].text} {words[1].text}"] = refusal
    elif (lock := _lock(item)) is not None:
        unit.statics[lock.name] = lock
        unit.unmodelled[lock.name] = Unmodelled(lock.at, "a lock at file level is not modelled", lock.name, _USE)
    elif _is_registration(words):
        unit.strange.append(_stray(item.source, item.start, "this macro at file level is not understood", "leave it out"))
    else:
        root, syntax = _read(item)
        error = _first_error(root)
        if error is not None:
            raise _syntax_error(error, item, syntax)
        for node in root.named_children:
            _check_nodes(node, syntax)
            if node.type not in _DECLARATIONS:
                unit.strange.append(syntax.refuse(node, "this is not understood at file level", "leave it out, or move it into a function"))
                continue
            unit.statics.update((static.name, static) for static in syntax.statics(node))
            for name, what in syntax.declared_names(node):
                unit.unmodelled[text_of(name)] = Unmodelled(syntax.at(name), f"{what} is not modelled", text_of(name), _USE)


_LOCKS = {"DEFINE_MUTEX": "struct mutex", "DEFINE_SPINLOCK": "spinlock_t"}


def _lock(item: _Item) -> Static | None:
    """The lock that `static DEFINE_MUTEX(name);` or `static DEFINE_SPINLOCK(name);` declares."""
    words = [token.text for token in item.tokens]
    if len(words) != 6 or words[0] != "static" or words[1] not in _LOCKS or (words[2], *words[4:]) != ("(", ")", ";"):
        return None
    return Static(words[3], TypeRef(_LOCKS[words[1]]), 0, item.first)


def _struct(item: _Item) -> Struct | None:
    """Read a struct; a union that can be read has nothing to keep."""
    region = _overlapping(item)
    if region is not None:
        raise region.refusal
    root, syntax = _read(item, _without_member_macros(item))
    error = _first_error(root)
    if error is not None:
        raise _syntax_error(error, item, syntax)
    node = root.named_children[0]
    while node.type == "declaration":
        node = node.named_children[0]
    _check_nodes(node, syntax)
    return syntax.struct(node) if node.type == "struct_specifier" else None


def _without_member_macros(item: _Item) -> str:
    """Blank members such as `DECLARE_BITMAP(name, 512);`: nobody can read such a field, and the others should be known."""
    tokens, text = item.tokens, item.text
    for index in range(3, len(tokens)):
        if tokens[index].kind == "name" and tokens[index - 1].text in ("{", "}", ";") and tokens[index + 1 : index + 2]:
            end = closing(tokens, index + 1) if tokens[index + 1].text == "(" else None
            if end is not None and end + 1 < len(tokens) and tokens[end + 1].text == ";":
                begin, semicolon = (item.source.offsets[item.start + i] - item.offset for i in (index, end + 1))
                stop = semicolon + 1
                text = text[:begin] + "".join(char if char == "\n" else " " for char in text[begin:stop]) + text[stop:]
    return text


def _is_registration(tokens: tuple[Token, ...]) -> bool:
    """Recognise `[static] MACRO(...);` at file level: it declares nothing that the model knows."""
    words = tuple(token for token in tokens if token.text not in ("static", "extern"))
    return bool(words) and _after_macro_call(words, 0) in (len(words), len(words) - 1)
