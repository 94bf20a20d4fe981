"""Macros: what a `#define` says, and the text that stands for a use of it.

The algorithm is that of the C standard (hide sets, arguments first, placemarkers), with GNU's `, ## rest`. Which macros are expanded
at all is for `preprocess.py` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import Location, Refusal
from .conditional import Region
from .tokens import Directive, Token, single, spell

_EXPANSION_LIMIT = 100_000
_PLACEMARKER = "placemarker"


@dataclass(frozen=True, slots=True)
class Macro:
    """A `#define`: `parameters` is None for an object-like one; `doubt` says why it may not be the one that counts."""

    name: str
    parameters: tuple[str, ...] | None
    body: tuple[Token, ...]
    at: Location
    last_line: int
    doubt: Refusal | None = None
    variadic: bool = False


@dataclass(frozen=True, slots=True)
class Expansion:
    """A macro that was expanded, and where: what a report needs to say which code a changed `#define` touches."""

    macro: Macro
    at: Location


def define(directive: Directive, file: str, doubt: Refusal | None) -> Macro:
    """Read a `#define`.

    Raises:
        Refusal: it is malformed.
    """
    at = Location(file, directive.line)
    wrong = Refusal(at, "this is not a macro definition", f"#define {spell(directive.rest)}", "write `#define NAME text`")
    if not directive.rest or directive.rest[0].kind != "name" or directive.rest[0].text in ("defined", "__VA_ARGS__", "__VA_OPT__"):
        raise wrong
    name, rest = directive.rest[0], list(directive.rest[1:])
    if not rest or rest[0].text != "(" or rest[0].spaced:
        macro = Macro(name.text, None, tuple(rest), at, directive.last_line, doubt)
    else:
        end = next((n for n, token in enumerate(rest) if token.text == ")"), None)
        if end is None:
            raise wrong
        found = _parameters(rest[1:end])
        if found is None:
            raise wrong
        macro = Macro(name.text, found[0], tuple(rest[end + 1 :]), at, directive.last_line, doubt, found[1])
    what = _unusable(macro)
    if what and macro.doubt is None:
        return replace(macro, doubt=Refusal(at, what, f"#define {spell(directive.rest)}", "write the macro without it"))
    return macro


def _parameters(tokens: list[Token]) -> tuple[tuple[str, ...], bool] | None:
    """Return the parameter names, and whether the last takes all remaining arguments (`...`, or GNU's `name...`); None if malformed."""
    names: list[str] = []
    variadic = False
    todo = list(tokens)
    while todo:
        token = todo.pop(0)
        if token.kind == "name" and token.text != "__VA_ARGS__":
            names.append(token.text)
            if todo and todo[0].text == "...":
                todo.pop(0)
                variadic = True
        elif token.text == "...":
            names.append("__VA_ARGS__")
            variadic = True
        else:
            return None
        if not todo:
            break
        if todo.pop(0).text != "," or variadic or not todo:
            return None
    return (tuple(names), variadic) if len(set(names)) == len(names) else None


def _unusable(macro: Macro) -> str:
    """Why a macro that is well-formed so far cannot be expanded; empty if it can."""
    body, given = macro.body, macro.parameters or ()
    if body and "##" in (body[0].text, body[-1].text):
        return "`##` at an end of a macro's text"
    if any(token.text == "__VA_OPT__" for token in body):
        return "`__VA_OPT__` is not understood"
    if macro.parameters is not None:
        for n, token in enumerate(body):
            if token.text == "#" and token.kind == "punct" and (n + 1 == len(body) or body[n + 1].text not in given):
                return "`#` before something that is no parameter"
    return ""


class Expander:
    """Replaces macro uses by their definitions.

    Args:
        definitions: the macros by name, as they stand where the reader is: `pull` may change them.
        wanted: says which macros are expanded.
        pull: gives the next token of the file, None at its end.
    """

    def __init__(
        self,
        file: str,
        definitions: Mapping[str, Macro],
        wanted: Callable[[Macro], bool],
        pull: Callable[[], Token | None] = lambda: None,
    ) -> None:
        self._file = file
        self._definitions = definitions
        self._wanted = wanted
        self._pull = pull
        self._made = 0
        self.regions: list[Region] = []
        self.expansions: list[Expansion] = []

    def file(self) -> list[Token]:
        """Return the tokens of the file with every wanted macro expanded."""
        return self._run([], self._pull)

    def run(self, tokens: Sequence[Token]) -> list[Token]:
        """Return these tokens, and no others, with every wanted macro expanded."""
        return self._run(list(reversed(tokens)), lambda: None)

    def _run(self, todo: list[Token], pull: Callable[[], Token | None]) -> list[Token]:
        done: list[Token] = []
        while (token := todo.pop() if todo else pull()) is not None:
            macro = self._definitions.get(token.text) if token.kind == "name" and token.text not in token.hidden else None
            if macro is None or not self._wanted(macro):
                done.append(token)
                continue
            replacement = self._use(macro, token, todo, pull)
            if replacement is None:
                done.append(token)
            else:
                todo.extend(reversed(replacement))
        return done

    def _use(self, macro: Macro, token: Token, todo: list[Token], pull: Callable[[], Token | None]) -> list[Token] | None:
        """Return what stands for this use, taking its arguments from what follows; None if it is not a use after all."""
        at = Location(self._file, token.line, token.column)
        hidden = token.hidden
        arguments: list[list[Token]] | None = []
        if macro.parameters is not None:
            if not todo and (following := pull()) is not None:
                todo.append(following)
            if not todo or todo[-1].text != "(":
                return None
            arguments, closed = self._arguments(macro, token, todo, pull)
            hidden &= closed
        if arguments is None:
            return None
        if macro.doubt is not None:
            self.regions.append(Region(token.line, token.line, macro.doubt))
        self.expansions.append(Expansion(macro, at))
        replacement = self._substitute(macro, arguments, token, hidden | {macro.name})
        self._made += len(replacement) + 1
        if self._made > _EXPANSION_LIMIT:
            raise Refusal(at, "expanding macros makes this file too long", token.text, "look for a macro that multiplies itself")
        return replacement

    def _arguments(
        self, macro: Macro, token: Token, todo: list[Token], pull: Callable[[], Token | None]
    ) -> tuple[list[list[Token]] | None, frozenset[str]]:
        """The arguments of a use, and the macros that are hidden in its closing parenthesis."""
        taken: list[Token] = []
        groups: list[list[Token]] = [[]]
        depth, expected = 0, len(macro.parameters or ())
        while (current := todo.pop() if todo else pull()) is not None:
            taken.append(current)
            depth += (current.text == "(") - (current.text == ")")
            if depth == 0:
                break
            if current.text == "," and depth == 1 and not (macro.variadic and len(groups) == expected):
                groups.append([])
            elif len(taken) > 1:
                groups[-1].append(current)
        if depth == 0:
            if expected == 0 and groups == [[]]:
                return [], taken[-1].hidden
            if len(groups) == expected or (macro.variadic and len(groups) == expected - 1):
                return groups, taken[-1].hidden
        todo.extend(reversed(taken))
        what = f"`{token.text}` takes {expected} arguments and is given {len(groups)}" if depth == 0 else "this call is never closed"
        self._refuse(token, what, f"write it as `{macro.name}({', '.join(macro.parameters or ())})`, see {macro.at}")
        return None, frozenset()

    def _refuse(self, token: Token, what: str, advice: str) -> None:
        at = Location(self._file, token.line, token.column)
        self.regions.append(Region(token.line, token.line, Refusal(at, what, token.text, advice)))

    def _substitute(self, macro: Macro, arguments: list[list[Token]], use: Token, hidden: frozenset[str]) -> list[Token]:
        parameters = macro.parameters or ()
        omitted = macro.variadic and (len(arguments) < len(parameters) or (len(parameters) == 1 and not arguments[0]))
        given = dict(zip(parameters, [*arguments, *([[]] if len(arguments) < len(parameters) else [])], strict=True))
        rest = parameters[-1] if macro.variadic else None
        body, made = macro.body, list[Token]()
        paste = False
        texts = ["", *(token.text for token in body), ""]
        number = 0
        while number < len(body):
            token = body[number]
            before, after = texts[number], texts[number + 2]
            number += 1
            if token.text == "##":
                paste = True
                continue
            if token.text == "#" and macro.parameters is not None and after in given:
                following = body[number]
                number += 1
                parts = [replace(_stringified(given[following.text], use, hidden), spaced=token.spaced)]
            elif token.kind != "name" or token.text not in given:
                parts = [token.moved(use.line, use.column, hidden)]
            elif paste and token.text == rest and made and made[-1].text == ",":
                # GNU: `, ## rest` vanishes with the comma where there is no argument for it, and is just itself otherwise.
                made, paste = made[:-1] if omitted else made, False
                parts = self._placed(given[token.text], token, hidden)
            else:
                # What stands beside `##` is not expanded first. `before` is the token before this one, after a `#parameter` its name.
                beside = before == "##" or (number < len(body) and body[number].text == "##")
                parts = self._placed(given[token.text] if beside else self.run(given[token.text]), token, hidden)
                if beside and not parts:
                    parts = [Token(_PLACEMARKER, "", use.line, use.column, hidden, True)]
            if paste and made:
                made[-1:] = [self._pasted(made[-1], parts[0], use)]
                parts = parts[1:]
            paste = False
            made.extend(parts)
        made = [token for token in made if token.kind != _PLACEMARKER]
        return [replace(made[0], spaced=use.spaced), *made[1:]] if made else []

    def _placed(self, argument: Sequence[Token], parameter: Token, hidden: frozenset[str]) -> list[Token]:
        """An argument where its parameter stands."""
        parts = [part.moved(part.line, part.column, hidden) for part in argument]
        return [replace(parts[0], spaced=parameter.spaced), *parts[1:]] if parts else []

    def _pasted(self, left: Token, right: Token, use: Token) -> Token:
        if _PLACEMARKER in (left.kind, right.kind):
            return replace(right, spaced=left.spaced) if left.kind == _PLACEMARKER else left
        text = left.text + right.text
        kind = single(text)
        if kind is None:
            self._refuse(use, f"`##` makes `{text}` here, which is not one token", "paste what makes one name, number or operator")
        return Token(kind or "other", text, left.line, left.column, left.hidden & right.hidden, True, left.spaced)


def _stringified(tokens: list[Token], use: Token, hidden: frozenset[str]) -> Token:
    quoted = (replace(t, text=t.text.replace("\\", "\\\\").replace('"', '\\"') if t.kind in ("string", "char") else t.text) for t in tokens)
    return Token("string", f'"{spell(list(quoted))}"', use.line, use.column, hidden, True)
