"""`#if` and its kin: which lines of a file count, and which cannot be decided from what is known.

A condition has three answers: yes, no, and unknown (a configuration option nobody gave a value for, an expression that is not
understood). Text under an unknown condition is kept, but marked: a function that it touches is refused when somebody needs it.
"""

from __future__ import annotations

import operator as operators
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import Refusal
from .ast import Location
from .tokens import Directive, Token, spell

CONDITIONALS = frozenset({"if", "ifdef", "ifndef", "elif", "elifdef", "elifndef", "else", "endif"})

_OPENING = frozenset({"if", "ifdef", "ifndef"})
_NEGATED = frozenset({"ifndef", "elifndef"})
_NAMED = frozenset({"ifdef", "ifndef", "elifdef", "elifndef"})

Lookup = Callable[[str], int | None]
"""Answers what a name is worth in a condition, None if that is not known."""


@dataclass(frozen=True, slots=True)
class Region:
    """Lines `first` to `last` stand under a condition that could not be decided."""

    first: int
    last: int
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class _Frame:
    """One `#if` that is still open: whether its current branch is kept, whether any was, and the doubt about it."""

    line: int
    outer: bool
    kept: bool
    decided: bool
    doubt: Refusal | None
    closing: bool = False


class Branches:
    """Follows the conditional directives of one file from top to bottom.

    Args:
        file: the name used in refusals.
        defined: says 1 or 0 for a macro name that is known to be defined or not, None if that is not known.
        value: says what a name stands for in an `#if` expression, None if that is not known.
    """

    def __init__(self, file: str, defined: Lookup, value: Lookup) -> None:
        self._file = file
        self._defined = defined
        self._value = value
        self._frames: list[_Frame] = []
        self._regions: list[Region] = []

    @property
    def active(self) -> bool:
        """Say whether the current line counts."""
        return all(frame.kept for frame in self._frames)

    @property
    def doubt(self) -> Refusal | None:
        """Return why it is not certain that the current line counts, None if it is."""
        return next((frame.doubt for frame in reversed(self._frames) if frame.doubt), None)

    def take(self, directive: Directive, guard: bool = False) -> None:
        """Account for one conditional directive; `guard` says that it is the head of a `#ifndef X`, `#define X` pair.

        Raises:
            Refusal: an `#else`, `#elif` or `#endif` without its `#if`, or after the `#else`.
        """
        if directive.word in _OPENING:
            outer = self.active
            answer = 1 if guard else self._decide(directive) if outer else 0
            self._frames.append(self._frame(directive, outer, answer))
        elif not self._frames:
            raise self._refusal(directive, f"`#{directive.word}` has no `#if` before it", "remove it, or add the `#if`")
        elif directive.word == "endif":
            frame = self._frames.pop()
            if frame.doubt is not None and frame.outer:
                self._regions.append(Region(frame.line, directive.last_line, frame.doubt))
        else:
            self._frames[-1] = self._next_branch(self._frames[-1], directive)

    def finish(self) -> tuple[Region, ...]:
        """Return the undecided regions of the whole file.

        Raises:
            Refusal: an `#if` has no `#endif`.
        """
        if self._frames:
            at = Location(self._file, self._frames[-1].line)
            raise Refusal(at, "this conditional has no `#endif`", "#if", "add the `#endif`")
        return tuple(self._regions)

    def _next_branch(self, frame: _Frame, directive: Directive) -> _Frame:
        if frame.closing:
            raise self._refusal(directive, f"`#{directive.word}` after `#else`", "an `#else` must be the last branch")
        last = directive.word == "else"
        if frame.decided or not frame.outer:
            return _Frame(frame.line, frame.outer, False, True, frame.doubt, last)
        answer = 1 if last else self._decide(directive)
        following = self._frame(directive, frame.outer, answer)
        return _Frame(frame.line, frame.outer, following.kept, following.decided, frame.doubt or following.doubt, last)

    def _frame(self, directive: Directive, outer: bool, answer: int | None) -> _Frame:
        doubt = None
        if answer is None:
            doubt = self._refusal(
                directive,
                "it is not known which branch of this conditional counts",
                "give the option a value (name=True or name=False in `config`), or change the text so that it does not depend on it",
            )
        kept = answer != 0
        return _Frame(directive.line, outer, kept, kept, doubt)

    def _refusal(self, directive: Directive, what: str, advice: str) -> Refusal:
        return Refusal(Location(self._file, directive.line), what, f"#{directive.word} {spell(directive.rest)}".strip(), advice)

    def _decide(self, directive: Directive) -> int | None:
        if directive.word in _NAMED:
            if len(directive.rest) != 1 or directive.rest[0].kind != "name":
                return None
            answer = self._defined(directive.rest[0].text)
            return _not(answer) if directive.word in _NEGATED else answer
        return evaluate(directive.rest, self._defined, self._value)


def lookup_in(config: Mapping[str, bool]) -> Lookup:
    """Turn a mapping of option values into a lookup."""
    return lambda name: None if name not in config else int(config[name])


def evaluate(tokens: Sequence[Token], defined: Lookup, value: Lookup) -> int | None:
    """Work out an `#if` expression; None means that it is not known, or not understood."""
    reader = _Expression(tokens, defined, value)
    try:
        answer = reader.binary(0)
    except (_NotUnderstood, RecursionError):
        return None
    return answer if reader.at_end() else None


class _NotUnderstood(Exception):
    """An `#if` expression uses more of C than is read here."""


_LEVELS: tuple[tuple[str, ...], ...] = (("||",), ("&&",), ("==", "!="), ("<", ">", "<=", ">="), ("+", "-"))
_COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    "==": operators.eq,
    "!=": operators.ne,
    "<": operators.lt,
    ">": operators.gt,
    "<=": operators.le,
    ">=": operators.ge,
}
_CONFIG_TESTS = frozenset({"IS_ENABLED", "IS_BUILTIN", "IS_REACHABLE", "IS_MODULE"})


class _Expression:
    """Recursive descent over the few operators that kernel conditionals use, in three-valued logic."""

    def __init__(self, tokens: Sequence[Token], defined: Lookup, value: Lookup) -> None:
        self._tokens = tokens
        self._next = 0
        self._defined = defined
        self._value = value

    def at_end(self) -> bool:
        return self._next == len(self._tokens)

    def binary(self, level: int) -> int | None:
        if level == len(_LEVELS):
            return self._unary()
        left = self.binary(level + 1)
        while not self.at_end() and self._tokens[self._next].text in _LEVELS[level]:
            operator = self._take().text
            left = _combine(operator, left, self.binary(level + 1))
        return left

    def _unary(self) -> int | None:
        token = self._take()
        if token.text == "!":
            return _not(self._unary())
        if token.text == "(":
            inner = self.binary(0)
            self._expect(")")
            return inner
        if token.kind == "number":
            return _number(token.text)
        if token.kind == "name":
            return self._name(token.text)
        raise _NotUnderstood

    def _name(self, name: str) -> int | None:
        if name == "defined":
            return self._defined(self._argument(bare=True))
        if name in _CONFIG_TESTS:
            option = self._argument(bare=False)
            return None if name == "IS_MODULE" else self._defined(option)
        if not self.at_end() and self._tokens[self._next].text == "(":
            raise _NotUnderstood
        return self._value(name)

    def _argument(self, bare: bool) -> str:
        token = self._take()
        if token.kind == "name" and bare:
            return token.text
        if token.text != "(":
            raise _NotUnderstood
        name = self._take()
        self._expect(")")
        if name.kind != "name":
            raise _NotUnderstood
        return name.text

    def _take(self) -> Token:
        if self.at_end():
            raise _NotUnderstood
        self._next += 1
        return self._tokens[self._next - 1]

    def _expect(self, text: str) -> None:
        if self._take().text != text:
            raise _NotUnderstood


def _number(text: str) -> int:
    digits = text.rstrip("uUlL")
    try:
        return int(digits, 8) if len(digits) > 1 and digits.isdigit() and digits[0] == "0" else int(digits, 0)
    except ValueError:
        raise _NotUnderstood from None


def _not(value: int | None) -> int | None:
    return None if value is None else int(not value)


def _combine(operator: str, left: int | None, right: int | None) -> int | None:
    if operator == "&&":
        return 0 if left == 0 or right == 0 else None if left is None or right is None else 1
    if operator == "||":
        return 1 if left or right else None if left is None or right is None else 0
    if left is None or right is None:
        return None
    if operator in ("+", "-"):
        return left + right if operator == "+" else left - right
    return int(_COMPARE[operator](left, right))
