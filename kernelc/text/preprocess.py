"""From kernel C as written to C that a parser understands, without losing the user's line numbers.

What happens to the text, and why:

* lines are spliced, comments, `#include` and other directives vanish (see `tokens.py`); `#if` is decided as far as `config` says
  (see `conditional.py`);
* macros that the file itself defines are expanded from where they are defined to where they are not any more, as C does. Of the
  macros of other files, function-like ones with `for_each` in their name are: without that a loop parses as a call followed by a
  block that runs once. The others stay calls and names, unless the caller asks;
* attributes that change nothing we model (`__must_check`, `noinline`, ...) go, since they are no C that tree-sitter knows; any other
  attribute marks its line, and so do directives that are not understood;
* `struct` goes from the type argument of `container_of` and its like; `module_param*` and `EXPORT_SYMBOL*` go from file level;
* `(u64)-x` becomes a cast: without a symbol table the grammar reads it as a subtraction; `(a * (b)) & c` becomes `(((a)) * (b)) & c`:
  the grammar may take it for a cast, to pointers to functions that return an `a`.

Every line of the result is the line of the original. Columns agree as well, except to the right of an expansion; `origin` maps
each place exactly: text from a macro's body lies where the macro is used, an argument lies where the user wrote it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

from ...core.alike import alike, did_you_mean
from ..errors import Refusal
from .ast import Location
from .conditional import CONDITIONALS, Branches, Region
from .guards import SCOPED
from .macros import Expander, Expansion, Macro, define
from .tokens import Directive, Token, closing, lex, spell

DEFAULT_CONFIG: Mapping[str, bool] = MappingProxyType(
    {
        "CONFIG_64BIT": True,
        "CONFIG_HAVE_KVM": True,
        "CONFIG_KVM": True,
        "CONFIG_MMU": True,
        "CONFIG_MMU_NOTIFIER": True,
        "CONFIG_SMP": True,
        "CONFIG_X86": True,
        "CONFIG_X86_32": False,
        "CONFIG_X86_64": True,
        "KVM_ARCH_WANT_MMU_NOTIFIER": True,
        "MMU_DEBUG": False,
        "MODULE": False,
        "__ASSEMBLY__": False,
        "__KERNEL__": True,
    }
)
"""What is known of the configuration if the caller says nothing: a 64-bit x86 kernel with KVM. All else is unknown, not off."""

CAST_PREFIX = "tdpcheck_type_"
"""`(u64)` before a sign or a bracket is written `(struct tdpcheck_type_u64)` for the parser; the syntax reader undoes it."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ATTRIBUTES = _words(
    """
    __always_inline __always_unused __attribute_const__ __bitwise __bpf_kfunc __cold __cpuidle __deprecated __exit __exitdata
    __flatten __force __hot __inline __inline__ __init __initconst __initdata __iomem __kernel __kprobes __latent_entropy __lockfunc
    __maybe_unused __meminit __must_check __noclone __no_kcsan __no_profile __no_sanitize_address __no_stack_protector __nocast
    __nonstring __noreturn __packed __percpu __private __pure __randomize_layout __rcu __read_mostly __ref __refdata __ro_after_init
    __sched __softirq_entry __used __user __visible
    ____cacheline_aligned ____cacheline_aligned_in_smp __cacheline_aligned __cacheline_aligned_in_smp __cacheline_internodealigned_in_smp
    asmlinkage fastcall noinline noinline_for_stack noinstr notrace
    """
)
_ATTRIBUTES_WITH_ARGUMENTS = _words(
    """
    __acquires __aligned __alloc_size __assume_aligned __cond_acquires __counted_by __guarded_by __malloc
    __must_hold __no_sanitize __printf __releases __scanf __section
    """
)
_HARMLESS = _words(
    """
    aligned alloc_align alloc_size always_inline artificial assume_aligned btf_decl_tag btf_type_tag cold context deprecated
    designated_init error externally_visible flatten format format_arg gnu_inline hot leaf malloc maybe_unused may_alias
    no_caller_saved_registers no_instrument_function no_profile_instrument_function no_sanitize no_sanitize_address no_sanitize_thread
    no_sanitize_undefined no_stack_protector noclone noderef noinline nonnull nonstring noreturn nothrow packed pure const
    randomize_layout no_randomize_layout returns_nonnull section sentinel unused used visibility warn_unused_result warning fallthrough
    """
)
"""What `__attribute__((...))` may say without a word of ours: it changes neither what runs nor what a value is here."""
_REFUSED_ATTRIBUTES = _words("__naked __weak __cleanup __free __alias __vector_size __mode __private_cleanup")
_ATTRIBUTE = _words("__attribute__ __attribute")
_TYPE_ARGUMENT = _words(
    """
    container_of container_of_safe list_entry list_first_entry list_first_entry_or_null list_last_entry list_entry_rcu
    list_first_or_null_rcu list_next_or_null_rcu hlist_entry hlist_entry_safe rb_entry rb_entry_safe llist_entry
    """
)
_DROPPED_AT_FILE_LEVEL = ("module_param", "MODULE_PARM", "EXPORT_SYMBOL", "EXPORT_STATIC_CALL", "EXPORT_TRACEPOINT")
_KERNEL_TYPES = _words("u8 u16 u32 u64 s8 s16 s32 s64 __u8 __u16 __u32 __u64 __s8 __s16 __s32 __s64 _Bool")

Item = Token | Directive


@dataclass(frozen=True, slots=True)
class Preprocessed:
    """The text for the parser, and the way back to what the user wrote.

    `tokens[i]` stands at `offsets[i]` of `text` (pure ASCII, so characters are bytes). `regions` are the places that cannot be
    trusted: a function that overlaps one is refused when needed. `strange` are places that are not understood, at whatever level
    they stand. `constants` are the object-like `#define`s that count at the end, unexpanded.
    """

    file: str
    text: str
    tokens: tuple[Token, ...]
    offsets: tuple[int, ...]
    regions: tuple[Region, ...]
    expansions: tuple[Expansion, ...]
    constants: Mapping[str, str]
    strange: tuple[Region, ...] = ()

    def origin(self, offset: int) -> Location:
        """Return the place in the user's text of the token at `offset` of `text` (or of the one before it)."""
        index = bisect_right(self.offsets, offset) - 1
        if index < 0:
            return Location(self.file, 1)
        token = self.tokens[index]
        return Location(self.file, token.line, token.column)


def preprocess(
    text: str,
    file: str,
    macros: Mapping[str, str] | None = None,
    config: Mapping[str, bool] = DEFAULT_CONFIG,
    expand: Collection[str] = (),
    *,
    closed: bool = False,
) -> Preprocessed:
    """Make `text` ready for the parser.

    Args:
        text: the C source.
        file: its name, for places and refusals.
        macros: other files (name to text) whose `#define`s count as well, such as `tdp_iter.h`; a definition in `text` wins.
        config: which macro names outside these files are defined; a name that is missing is unknown, not undefined.
        expand: further macros to expand, object-like or function-like.
        closed: there are no other files: a name that is missing in `config` is undefined.

    Raises:
        Refusal: the text cannot be read as a whole: an open comment or conditional, or expansions without end.
    """
    tokens, reader, expander = _expanded(text, file, macros or {}, config, frozenset(expand), closed)
    kept, attributes = _strip(tokens, file)
    strange = (*reader.strange, *attributes)
    regions = (*reader.regions, *expander.regions, *_undefined_loops(tokens, file, reader.table), *strange)
    placed, laid_out, offsets = _lay_out(_mark_casts(_scoped(kept), _typedefs(tokens)))
    constants = {m.name: spell(m.body) for m in reader.table.values() if m.parameters is None and m.body}
    return Preprocessed(file, laid_out, placed, offsets, tuple(regions), tuple(expander.expansions), constants, strange)


def expanded(text: str, file: str, config: Mapping[str, bool] = DEFAULT_CONFIG) -> tuple[tuple[Token, ...], tuple[Region, ...]]:
    """The tokens of `text`, with no other file around it, as the phases of translation leave them; and the places that are refused.

    Raises:
        Refusal: the text cannot be read as a whole.
    """
    tokens, reader, expander = _expanded(text, file, {}, config, frozenset(), closed=True)
    return tuple(tokens), (*reader.regions, *expander.regions, *reader.strange)


def _expanded(
    text: str, file: str, macros: Mapping[str, str], config: Mapping[str, bool], also: frozenset[str], closed: bool
) -> tuple[list[Token], _Reader, Expander]:
    outer: dict[str, Macro] = {}
    for name, source in macros.items():
        reader = _Reader(lexed(source, name), name, config, outer, closed)
        while reader.pull() is not None:
            pass
        outer = reader.table
    reader = _Reader(lexed(text, file), file, config, outer, closed)
    expander = Expander(file, reader.table, lambda m: m.at.file == file or "for_each" in m.name or m.name in also, reader.pull)
    return expander.file(), reader, expander


@lru_cache(maxsize=32)  # each file of a design is read once for itself, and once for every other one that may use its macros
def lexed(text: str, file: str) -> tuple[Item, ...]:
    return tuple(lex(_unix(text), file))


def _unix(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


# Directives


class _Reader:
    """Takes the directives out of one file, each when its line is reached: what is left are the tokens that count.

    `table` are the macros as they stand there; `regions` are complete, and `strange`, when the last token has been pulled.
    """

    def __init__(
        self, items: Sequence[Item], file: str, config: Mapping[str, bool], outer: Mapping[str, Macro], closed: bool = False
    ) -> None:
        self._file = file
        self._config = config
        self._closed = closed
        self._items = items
        self._next = 0
        self._undefined: set[str] = set()
        self._branches = Branches(file, self._defined, self._value, self._prepared)
        self._guard = _guard(items)
        self.table: dict[str, Macro] = dict(outer)
        self.strange: list[Region] = []
        self.regions: tuple[Region, ...] = ()

    def pull(self) -> Token | None:
        """The next token that counts, None at the end.

        Raises:
            Refusal: a malformed definition, or conditionals that do not match.
        """
        while self._next < len(self._items):
            item = self._items[self._next]
            self._next += 1
            if isinstance(item, Directive):
                self._directive(item)
            elif self._branches.active:
                return item
        self.regions = self._branches.finish()
        return None

    def _directive(self, item: Directive) -> None:
        branches = self._branches
        if item.word in CONDITIONALS:
            branches.take(item, guard=item is self._guard)
        elif not branches.active or item.word == "include" or not (item.word or item.rest):
            return
        elif item.word == "define":
            macro = define(item, self._file, branches.doubt)
            self.table[macro.name] = macro
        elif item.word == "undef" and len(item.rest) == 1 and item.rest[0].kind == "name":
            self._undefine(item.rest[0].text)
        else:
            at = Location(self._file, item.line)
            what = f"#{item.word} {spell(item.rest)}".strip()
            self.strange.append(
                Region(item.line, item.last_line, Refusal(at, "this line for the preprocessor is not understood", what, "leave it out"))
            )

    def _undefine(self, name: str) -> None:
        doubt = self._branches.doubt
        if doubt is None:
            self.table.pop(name, None)
            self._undefined.add(name)
        elif name in self.table:
            self.table[name] = replace(self.table[name], doubt=doubt)

    def _defined(self, name: str) -> int | None:
        if name in self.table:
            return None if self.table[name].doubt else 1
        return self._missing(name)

    def _value(self, name: str) -> int | None:
        return None if name in self.table and self.table[name].parameters is None else self._missing(name)

    def _missing(self, name: str) -> int | None:
        """What a name that is no macro is in a condition."""
        if name in self._undefined:
            return 0
        if name in self._config:
            return int(self._config[name])
        return 0 if self._closed else None

    def _prepared(self, condition: Sequence[Token]) -> Sequence[Token]:
        """The tokens of an `#if` with every macro expanded, but for the names that `defined` and its like ask about."""
        marked: list[Token] = []
        asking = False
        for token in condition:
            asks = token.text in _ASKING and (token.text not in self.table or token.text == "defined")
            asked = token.kind == "name" and (asks or asking)
            marked.append(replace(token, hidden=token.hidden | {token.text}) if asked else token)
            asking = asks or (asking and token.text == "(")
        # A macro that may not be the one that counts leaves its name, which then is not known.
        return Expander(self._file, self.table, lambda macro: macro.doubt is None).run(marked)


_ASKING = frozenset({"defined", "IS_ENABLED", "IS_BUILTIN", "IS_REACHABLE", "IS_MODULE"})


def _guard(items: Sequence[Item]) -> Directive | None:
    """The `#ifndef` that keeps a header from counting twice: `#define` of its name follows, `#endif` ends the file, no `#else` between."""
    if len(items) < 3 or not isinstance(items[-1], Directive) or items[-1].word != "endif":
        return None
    first, second = items[0], items[1]
    if not isinstance(first, Directive) or not isinstance(second, Directive) or (first.word, second.word) != ("ifndef", "define"):
        return None
    if not first.rest or not second.rest or first.rest[0].text != second.rest[0].text:
        return None
    depth = 0
    for item in items[:-1]:
        if isinstance(item, Directive) and item.word in CONDITIONALS:
            depth += item.word.startswith("if")
            if depth == 1 and item is not first and not item.word.startswith("if"):
                return None
            depth -= item.word == "endif"
    return first


_BEFORE_A_STATEMENT = frozenset({"{", "}", ";", ")", "else", "do", ":"})


def _undefined_loops(tokens: list[Token], file: str, known: Iterable[str]) -> Iterable[Region]:
    """Find uses of a loop macro that nobody defined: they would parse as a call, and their body would run once."""
    for index, token in enumerate(tokens):
        if "for_each" not in token.text or token.kind != "name" or index == 0 or tokens[index - 1].text not in _BEFORE_A_STATEMENT:
            continue
        if index + 1 == len(tokens) or tokens[index + 1].text != "(":
            continue
        end = closing(tokens, index + 1)
        if end is not None and end + 1 < len(tokens) and tokens[end + 1].text != ";":
            at = Location(file, token.line, token.column)
            near = did_you_mean(alike(token.text, sorted(name for name in known if "for_each" in name), 1, 0.8))
            advice = "pass the header that defines it as a macro source, or write the loop as `for`"
            advice = f"{near} If not, {advice}" if near else advice
            yield Region(token.line, tokens[end].line, Refusal(at, "this loop macro has no definition", token.text, advice))


# What the grammar does not know


def _strip(tokens: list[Token], file: str) -> tuple[list[Token], list[Region]]:
    """Leave out harmless attributes, file-level registrations, and `struct` in type arguments; mark the attributes that are not."""
    kept: list[Token] = []
    strange: list[Region] = []
    index, depth = 0, 0
    while index < len(tokens):
        token = tokens[index]
        follows = tokens[index + 1].text if index + 1 < len(tokens) else ""
        end = closing(tokens, index + 1) if token.kind == "name" and follows == "(" else None
        if token.kind == "name" and token.text in _ATTRIBUTES:
            index += 1
            continue
        if token.kind == "name" and (token.text in _ATTRIBUTE or token.text in _REFUSED_ATTRIBUTES):
            whole = tokens[index : index + 1 if end is None else end + 1]
            if token.text not in _ATTRIBUTE or not _is_harmless(whole):
                at = Location(file, token.line, token.column)
                refusal = Refusal(at, "this attribute is not understood", spell(whole), "leave it out, or call what it would call")
                strange.append(Region(token.line, max(token.line, whole[-1].line), refusal))
            index += len(whole)
            continue
        if end is not None:
            if token.text in _ATTRIBUTES_WITH_ARGUMENTS:
                index = end + 1
                continue
            if depth == 0 and token.text.startswith(_DROPPED_AT_FILE_LEVEL):
                index = end + 1
                if index < len(tokens) and tokens[index].text == ";":
                    index += 1
                continue
            if token.text in _TYPE_ARGUMENT:
                inner, more = _strip(_without_struct(tokens[index + 1 : end + 1]), file)
                kept += [token, *inner]
                strange += more
                index = end + 1
                continue
        depth += (token.text == "{") - (token.text == "}")
        kept.append(token)
        index += 1
    return kept, strange


def _scoped(tokens: list[Token]) -> list[Token]:
    """`scoped_guard(...) statement` as the loop that it is, which the grammar can read; `guards.py` writes it out."""
    ends: set[int] = set()
    found: list[Token] = []
    for index, token in enumerate(tokens):
        end = closing(tokens, index + 1) if token.text == SCOPED and index and tokens[index + 1 : index + 2] else None
        if end is not None and tokens[index - 1].text in _BEFORE_A_STATEMENT:
            found += [replace(token, text="while"), replace(token, kind="punct", text="(", inserted=True), replace(token, inserted=True)]
            ends.add(end)
        else:
            found.append(token)
        if index in ends:
            found.append(replace(token, inserted=True))
    return found


def _is_harmless(attribute: Sequence[Token]) -> bool:
    """Say whether each name in `__attribute__((...))` is one that changes nothing here."""
    if [token.text for token in attribute[1:3]] != ["(", "("] or [token.text for token in attribute[-2:]] != [")", ")"]:
        return False
    depth = 0
    for n, token in enumerate(attribute[3:-2], 3):
        depth += (token.text == "(") - (token.text == ")")
        begins = depth == 0 and attribute[n - 1].text in ("(", ",")
        if begins and token.text != "," and token.text.removeprefix("__").removesuffix("__") not in _HARMLESS:
            return False
    return True


def _without_struct(arguments: list[Token]) -> list[Token]:
    """Return a bracketed argument list without `struct` where an argument is just a type."""
    kept: list[Token] = []
    for index, token in enumerate(arguments):
        named_type = token.text in ("struct", "union") and arguments[index - 1].text == ","
        if not (named_type and index + 2 < len(arguments) and arguments[index + 2].text in (",", ")")):
            kept.append(token)
    return kept


def _typedefs(tokens: list[Token]) -> frozenset[str]:
    """Return the names that `typedef` gives in these tokens."""
    names: set[str] = set()
    start: int | None = None
    depth = 0
    for index, token in enumerate(tokens):
        if token.text == "typedef":
            start, depth = index, 0
        elif start is not None:
            depth += (token.text == "{") - (token.text == "}")
            if token.text == ";" and depth == 0:
                if tokens[index - 1].kind == "name":
                    names.add(tokens[index - 1].text)
                start = None
    return frozenset(names)


_ENDS_A_VALUE = frozenset({")", "]"})
_WORDS_BEFORE_A_VALUE = _words("return else do case")
_AMBIGUOUS = frozenset({"-", "+", "*", "&", "(", "++", "--"})
_AFTER_A_NAME = frozenset({")", "*", "(", "["})
_AFTER_A_TYPE = _words("* const volatile restrict")
_TYPE_WORDS = _words("void bool _Bool char short int long signed unsigned struct union enum const volatile")
_NO_VALUES = _TYPE_WORDS | _words("sizeof _Alignof alignof __alignof__ typeof __typeof__ __typeof typeof_unqual offsetof _Generic")


def _mark_casts(tokens: list[Token], typedefs: frozenset[str]) -> list[Token]:
    """Rewrite `(type)` where the grammar would take what follows for an operator or a call, and a value that it would take for a type."""
    types = typedefs | _KERNEL_TYPES
    marked: list[Token] = []
    for index, token in enumerate(tokens):
        if _is_cast(tokens, index, types):
            marked.append(Token("name", "struct", token.line, token.column, token.hidden, token.inserted))
            marked.append(Token("name", CAST_PREFIX + token.text, token.line, token.column, token.hidden, True))
        elif _is_mistaken(tokens, index, types):
            lone = tokens[index + 1].text == ")"
            # Two brackets around a name are a value, one may be a type.
            opened, closed = ([replace(token, kind="punct", text=bracket, inserted=True)] * (1 if lone else 2) for bracket in "()")
            marked += (*opened, replace(token, inserted=True), *closed)
        else:
            marked.append(token)
    return marked


def _is_mistaken(tokens: list[Token], index: int, types: frozenset[str]) -> bool:
    """Say whether `tokens[index]` is the `a` of a value `(a * (b))`, `(a)` or `(a[b])` that the grammar may take for a type to cast to."""
    token = tokens[index]
    if token.kind != "name" or not 0 < index < len(tokens) - 2 or tokens[index - 1].text != "(":
        return False
    # A name in `_t` may well be a function's.
    after = tokens[index + 1].text
    type_ = token.text in types if after == "(" else _is_type(token, types)
    if after not in _AFTER_A_NAME or type_ or token.text in _NO_VALUES or not _begins_a_value(tokens, index - 1, types):
        return False
    end = closing(tokens, index - 1)
    if end is None or end + 1 == len(tokens) or tokens[end + 1].text not in _AMBIGUOUS | {"&&"}:
        return False
    return end == index + 1 or any(inner.text not in _AFTER_A_TYPE for inner in tokens[index + 1 : end])


def _is_cast(tokens: list[Token], index: int, types: frozenset[str]) -> bool:
    """Say whether `tokens[index]` is a type in parentheses that the grammar would not see as a cast."""
    token = tokens[index]
    if token.kind != "name" or not 0 < index < len(tokens) - 2 or tokens[index - 1].text != "(" or tokens[index + 1].text != ")":
        return False
    if not _is_type(token, types) or tokens[index + 2].text not in _AMBIGUOUS:
        return False
    return _begins_a_value(tokens, index - 1, types)


def _begins_a_value(tokens: list[Token], opening: int, types: frozenset[str]) -> bool:
    """Say whether what stands before `tokens[opening]`, a bracket, is no value: then it holds no arguments."""
    if opening == 0 or _closes_type(tokens, opening - 1, types):
        return True
    before = tokens[opening - 1]
    is_value = before.text in _ENDS_A_VALUE or (before.kind == "name" and before.text not in _WORDS_BEFORE_A_VALUE)
    return not is_value and before.kind not in ("number", "string", "char")


def _is_type(token: Token, types: frozenset[str]) -> bool:
    return token.kind == "name" and (token.text in types or token.text.endswith("_t"))


def _closes_type(tokens: list[Token], end: int, types: frozenset[str]) -> bool:
    """Say whether a type in parentheses ends at `end`: then a second cast may follow the first."""
    if tokens[end].text != ")":
        return False
    start = end - 1
    while start > 0 and (tokens[start].kind == "name" or tokens[start].text == "*"):
        start -= 1
    first = tokens[start + 1]
    return tokens[start].text == "(" and (
        first.text in _TYPE_WORDS or _is_type(first, types) or (first.kind == "name" and tokens[end - 1].text == "*")
    )


# Layout


def _lay_out(tokens: list[Token]) -> tuple[tuple[Token, ...], str, tuple[int, ...]]:
    """Write tokens out, each on its own line and, where nothing was inserted before it, in its own column."""
    parts: list[str] = []
    offsets: list[int] = []
    offset, line, column = 0, 1, 1
    previous: Token | None = None
    for token in tokens:
        gap = ""
        if token.line > line:
            gap = "\n" * (token.line - line)
            line, column = token.line, 1
        if not token.inserted and token.column > column:
            gap += " " * (token.column - column)
            column = token.column
        elif not gap and previous is not None and not _adjacent(previous, token):
            gap = " "
            column += 1
        text = _ascii(token)
        parts += (gap, text)
        offsets.append(offset + len(gap))
        offset += len(gap) + len(text)
        column += len(text)
        previous = token
    return tuple(tokens), "".join(parts) + "\n", tuple(offsets)


def _adjacent(left: Token, right: Token) -> bool:
    together = left.line == right.line and left.column + len(left.text) == right.column
    return together and not left.inserted and not right.inserted


def _ascii(token: Token) -> str:
    """Return the token's text in ASCII: strings mean nothing to the model, and `@` outside one is an error as it should be."""
    if token.text.isascii():
        return token.text
    return "".join(char if char.isascii() else "?" if token.kind in ("string", "char") else "@" for char in token.text)
