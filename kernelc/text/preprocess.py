"""From kernel C as written to C that a parser understands, without losing the user's line numbers.

What happens to the text, and why:

* comments, `#include` and other directives vanish; `#if` is decided as far as `config` says (see `conditional.py`);
* function-like macros with `for_each` in their name are replaced by their real `#define`, because without that a loop parses as a
  call followed by a block that runs once. Nothing else is expanded unless the caller asks: other macros stay calls and names;
* attribute words (`__must_check`, `noinline`, ...) go, since they are no C that tree-sitter knows and change nothing we model;
* `struct` goes from the type argument of `container_of` and its like; `module_param*` and `EXPORT_SYMBOL*` go from file level;
* `(u64)-x` becomes a cast: without a symbol table the grammar reads it as a subtraction.

Every line of the result is the line of the original. Columns agree as well, except to the right of an expansion; `origin` maps
each place exactly: text from a macro's body lies where the macro is used, an argument lies where the user wrote it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from ..errors import Refusal
from .ast import Location
from .conditional import CONDITIONALS, Branches, Region
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
    __maybe_unused __meminit __must_check __naked __noclone __no_kcsan __no_profile __no_sanitize_address __no_stack_protector __nocast
    __nonstring __noreturn __packed __percpu __private __pure __randomize_layout __rcu __read_mostly __ref __refdata __ro_after_init
    __sched __softirq_entry __used __user __visible __weak
    ____cacheline_aligned ____cacheline_aligned_in_smp __cacheline_aligned __cacheline_aligned_in_smp __cacheline_internodealigned_in_smp
    asmlinkage fastcall noinline noinline_for_stack noinstr notrace
    """
)
_ATTRIBUTES_WITH_ARGUMENTS = _words(
    """
    __attribute__ __attribute __acquires __aligned __alloc_size __assume_aligned __cond_acquires __counted_by __guarded_by __malloc
    __must_hold __no_sanitize __printf __releases __scanf __section
    """
)
_TYPE_ARGUMENT = _words(
    """
    container_of container_of_safe list_entry list_first_entry list_first_entry_or_null list_last_entry list_entry_rcu
    list_first_or_null_rcu list_next_or_null_rcu hlist_entry hlist_entry_safe rb_entry rb_entry_safe llist_entry
    """
)
_DROPPED_AT_FILE_LEVEL = ("module_param", "MODULE_PARM", "EXPORT_SYMBOL", "EXPORT_STATIC_CALL", "EXPORT_TRACEPOINT")
_KERNEL_TYPES = _words("u8 u16 u32 u64 s8 s16 s32 s64 __u8 __u16 __u32 __u64 __s8 __s16 __s32 __s64")

Item = Token | Directive


@dataclass(frozen=True, slots=True)
class Preprocessed:
    """The text for the parser, and the way back to what the user wrote.

    `tokens[i]` stands at `offsets[i]` of `text` (pure ASCII, so characters are bytes). `regions` are the places that cannot be
    trusted: a function that overlaps one is refused when needed. `constants` are the object-like `#define`s, unexpanded.
    """

    file: str
    text: str
    tokens: tuple[Token, ...]
    offsets: tuple[int, ...]
    regions: tuple[Region, ...]
    expansions: tuple[Expansion, ...]
    constants: Mapping[str, str]

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
) -> Preprocessed:
    """Make `text` ready for the parser.

    Args:
        text: the C source.
        file: its name, for places and refusals.
        macros: other files (name to text) whose `#define`s count as well, such as `tdp_iter.h`; a definition in `text` wins.
        config: which macro names outside these files are defined; a name that is missing is unknown, not undefined.
        expand: further macros to expand, object-like or function-like.

    Raises:
        Refusal: the text cannot be read as a whole: an open comment or conditional, or expansions without end.
    """
    definitions: dict[str, Macro] = {}
    for name, source in (macros or {}).items():
        definitions.update(_Reader(name, config, definitions).read(lex(_unix(source), name)).definitions)
    own = _Reader(file, config, definitions).read(lex(_unix(text), file))
    definitions.update(own.definitions)

    expander = Expander(file, definitions, frozenset(expand))
    tokens = expander.run(own.tokens)
    regions = own.regions + tuple(expander.regions) + tuple(_undefined_loops(tokens, file))
    placed, laid_out, offsets = _lay_out(_mark_casts(_strip(tokens), _typedefs(tokens)))
    constants = {m.name: spell(m.body) for m in definitions.values() if m.parameters is None and m.body}
    return Preprocessed(file, laid_out, placed, offsets, regions, tuple(expander.expansions), constants)


def _unix(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


# Directives


@dataclass(frozen=True, slots=True)
class _Read:
    tokens: list[Token]
    definitions: dict[str, Macro]
    regions: tuple[Region, ...]


class _Reader:
    """Takes the directives out of one file: what is left are the tokens that count, and the macros it defines."""

    def __init__(self, file: str, config: Mapping[str, bool], outer: Mapping[str, Macro]) -> None:
        self._file = file
        self._config = config
        self._outer = outer
        self._definitions: dict[str, Macro] = {}
        self._undefined: set[str] = set()

    def read(self, items: Sequence[Item]) -> _Read:
        branches = Branches(self._file, self._defined, self._value)
        tokens: list[Token] = []
        for index, item in enumerate(items):
            if isinstance(item, Token):
                if branches.active:
                    tokens.append(item)
            elif item.word in CONDITIONALS:
                branches.take(item, guard=_is_guard(item, items[index + 1 : index + 2]))
            elif branches.active and item.word == "define":
                self._define(item, branches.doubt)
            elif branches.active and item.word == "undef" and item.rest:
                self._definitions.pop(item.rest[0].text, None)
                self._undefined.add(item.rest[0].text)
        return _Read(tokens, self._definitions, branches.finish())

    def _define(self, directive: Directive, doubt: Refusal | None) -> None:
        macro = define(directive, self._file, doubt)
        if macro is None:
            return
        before = self._definitions.get(macro.name)
        if before is not None and spell(before.body) != spell(macro.body) and not doubt:
            # One table serves the whole file, so a name with two meanings must not be used at all.
            again = Refusal(macro.at, "this macro is defined twice in one file", macro.name, "give the two meanings two names")
            macro = replace(macro, doubt=again)
        self._definitions[macro.name] = macro

    def _defined(self, name: str) -> int | None:
        if name in self._definitions:
            return None if self._definitions[name].doubt else 1
        if name in self._undefined:
            return 0
        if name in self._config:
            return int(self._config[name])
        return 1 if name in self._outer else None

    def _value(self, name: str) -> int | None:
        macro = self._definitions.get(name)
        if macro is not None and macro.doubt is None and len(macro.body) == 1 and macro.body[0].text.isdigit():
            return int(macro.body[0].text)
        return int(self._config[name]) if macro is None and name in self._config else None


def _is_guard(directive: Directive, following: Sequence[Item]) -> bool:
    """Recognise `#ifndef X` right before `#define X`: a header guard or a default, taken in both cases."""
    if directive.word != "ifndef" or not directive.rest or not following:
        return False
    after = following[0]
    return isinstance(after, Directive) and after.word == "define" and bool(after.rest) and after.rest[0].text == directive.rest[0].text


_BEFORE_A_STATEMENT = frozenset({"{", "}", ";", ")", "else", "do", ":"})


def _undefined_loops(tokens: list[Token], file: str) -> Iterable[Region]:
    """Find uses of a loop macro that nobody defined: they would parse as a call, and their body would run once."""
    for index, token in enumerate(tokens):
        if "for_each" not in token.text or token.kind != "name" or index == 0 or tokens[index - 1].text not in _BEFORE_A_STATEMENT:
            continue
        if index + 1 == len(tokens) or tokens[index + 1].text != "(":
            continue
        end = closing(tokens, index + 1)
        if end is not None and end + 1 < len(tokens) and tokens[end + 1].text != ";":
            at = Location(file, token.line, token.column)
            advice = "pass the header that defines it as a macro source, or write the loop as `for`"
            yield Region(token.line, tokens[end].line, Refusal(at, "this loop macro has no definition", token.text, advice))


# What the grammar does not know


def _strip(tokens: list[Token]) -> list[Token]:
    """Leave out attributes, file-level registrations, and `struct` in type arguments."""
    kept: list[Token] = []
    index, depth = 0, 0
    while index < len(tokens):
        token = tokens[index]
        follows = tokens[index + 1].text if index + 1 < len(tokens) else ""
        if token.kind == "name":
            if token.text in _ATTRIBUTES:
                index += 1
                continue
            drop_call = token.text in _ATTRIBUTES_WITH_ARGUMENTS or (depth == 0 and token.text.startswith(_DROPPED_AT_FILE_LEVEL))
            end = closing(tokens, index + 1) if drop_call and follows == "(" else None
            if end is not None:
                index = end + 1
                if token.text not in _ATTRIBUTES_WITH_ARGUMENTS and index < len(tokens) and tokens[index].text == ";":
                    index += 1
                continue
            if token.text in _TYPE_ARGUMENT and follows == "(":
                end = closing(tokens, index + 1)
                if end is not None:
                    kept.append(token)
                    kept.extend(_strip(_without_struct(tokens[index + 1 : end + 1])))
                    index = end + 1
                    continue
        depth += (token.text == "{") - (token.text == "}")
        kept.append(token)
        index += 1
    return kept


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
_TYPE_WORDS = _words("void bool _Bool char short int long signed unsigned struct union enum const volatile")


def _mark_casts(tokens: list[Token], typedefs: frozenset[str]) -> list[Token]:
    """Rewrite `(type)` where the grammar would take what follows for an operator or a call."""
    types = typedefs | _KERNEL_TYPES
    marked: list[Token] = []
    for index, token in enumerate(tokens):
        if _is_cast(tokens, index, types):
            marked.append(Token("name", "struct", token.line, token.column, token.hidden, token.inserted))
            marked.append(Token("name", CAST_PREFIX + token.text, token.line, token.column, token.hidden, True))
        else:
            marked.append(token)
    return marked


def _is_cast(tokens: list[Token], index: int, types: frozenset[str]) -> bool:
    """Say whether `tokens[index]` is a type in parentheses that the grammar would not see as a cast."""
    token = tokens[index]
    if token.kind != "name" or not 0 < index < len(tokens) - 2 or tokens[index - 1].text != "(" or tokens[index + 1].text != ")":
        return False
    if not _is_type(token, types) or tokens[index + 2].text not in _AMBIGUOUS:
        return False
    if index == 1 or _closes_type(tokens, index - 2, types):
        return True
    before = tokens[index - 2]
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
    return tokens[start].text == "(" and (first.text in _TYPE_WORDS or _is_type(first, types))


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
        return token.text.replace("\\\n", "")
    return "".join(char if char.isascii() else "?" if token.kind in ("string", "char") else "@" for char in token.text)
