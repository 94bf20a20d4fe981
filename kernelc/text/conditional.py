"""`#if` and its kin: which lines of a file count, and which cannot be decided from what is known.

A condition has three answers: yes, no, and unknown (a configuration option nobody gave a value for, an expression that is not
understood). Text under an unknown condition is kept, but marked: a function that it touches is refused when somebody needs it.
Arithmetic is C's: 64 bits, signed or unsigned, and what is not evaluated may divide by zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import Refusal
from .ast import Location
from .tokens import Directive, Token, character, integer, spell

CONDITIONALS = frozenset({"if", "ifdef", "ifndef", "elif", "elifdef", "elifndef", "else", "endif"})

_OPENING = frozenset({"if", "ifdef", "ifndef"})
_NEGATED = frozenset({"ifndef", "elifndef"})
_NAMED = frozenset({"ifdef", "ifndef", "elifdef", "elifndef"})

Lookup = Callable[[str], int | None]
"""Answers what a name is worth in a condition, None if that is not known."""
Prepare = Callable[[Sequence[Token]], Sequence[Token]]
"""Expands the macros in a condition, but for what `defined` asks about."""


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
        value: says what a name that is no macro stands for in an `#if` expression, None if that is not known.
        prepare: expands the macros in an `#if` expression.
    """

    def __init__(self, file: str, defined: Lookup, value: Lookup, prepare: Prepare = lambda tokens: tokens) -> None:
        self._file = file
        self._defined = defined
        self._value = value
        self._prepare = prepare
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
        """Account for one conditional directive; `guard` says that it is an `#ifndef` around the whole file, so the first time it counts.

        Raises:
            Refusal: an `#else`, `#elif` or `#endif` without its `#if`, or after the `#else`.
        """
        if directive.word in _OPENING:
            outer = self.active
            answer = self._decide(directive) if outer else 0
            answer = 1 if guard and answer is None else answer
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
            if not directive.rest or directive.rest[0].kind != "name":
                return None
            answer = self._defined(directive.rest[0].text)
            return _not(answer) if directive.word in _NEGATED else answer
        return evaluate(self._prepare(directive.rest), self._defined, self._value)


def evaluate(tokens: Sequence[Token], defined: Lookup, value: Lookup) -> int | None:
    """Work out an `#if` expression; None means that it is not known, or not understood."""
    reader = _Expression(tokens, defined, value)
    try:
        answer = reader.conditional()
    except (_NotUnderstood, RecursionError):
        return None
    return answer.value if reader.at_end() else None


class _NotUnderstood(Exception):
    """An `#if` expression says what is not C, or not defined by it."""


@dataclass(frozen=True, slots=True)
class _Number:
    """A value of `intmax_t` or `uintmax_t`; None if it is not known."""

    value: int | None
    unsigned: bool = False

    def cast(self, unsigned: bool) -> _Number:
        """The value in the signed or unsigned type."""
        if self.value is None or unsigned == self.unsigned:
            return _Number(self.value, unsigned)
        return _Number(self.value % 2**64 if unsigned else (self.value + 2**63) % 2**64 - 2**63, unsigned)


_LEVELS: tuple[tuple[str, ...], ...] = (
    ("||",), ("&&",), ("|",), ("^",), ("&",), ("==", "!="), ("<", ">", "<=", ">="), ("<<", ">>"), ("+", "-"), ("*", "/", "%"),
)  # fmt: skip
_CONFIG_TESTS = frozenset({"IS_ENABLED", "IS_BUILTIN", "IS_REACHABLE", "IS_MODULE"})


class _Expression:
    """Recursive descent over an `#if` expression, in three-valued logic."""

    def __init__(self, tokens: Sequence[Token], defined: Lookup, value: Lookup) -> None:
        self._tokens = tokens
        self._next = 0
        self._defined = defined
        self._value = value
        self._skipped = 0  # how many operators around say that this part is not evaluated

    def at_end(self) -> bool:
        return self._next == len(self._tokens)

    def conditional(self) -> _Number:
        """`a ? b : c`, or what binds tighter."""
        asked = self._binary(0)
        if self._sees("?"):
            self._take()
            then = self._part(self.conditional, asked.value == 0)
            self._expect(":")
            otherwise = self._part(self.conditional, bool(asked.value))
            unsigned = then.unsigned or otherwise.unsigned
            if asked.value is None:
                return _Number(then.value if then.value == otherwise.value else None, unsigned)
            return (then if asked.value else otherwise).cast(unsigned)
        return asked

    def _part(self, read: Callable[[], _Number], skipped: bool) -> _Number:
        """An operand; `skipped` says that C does not evaluate it."""
        self._skipped += skipped
        found = read()
        self._skipped -= skipped
        return found

    def _binary(self, level: int) -> _Number:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while not self.at_end() and self._tokens[self._next].kind == "punct" and self._tokens[self._next].text in _LEVELS[level]:
            operator = self._take().text
            decided = (operator == "&&" and left.value == 0) or (operator == "||" and bool(left.value))
            right = self._part(lambda: self._binary(level + 1), decided)
            left = self._combined(operator, left, right)
        return left

    def _combined(self, operator: str, left: _Number, right: _Number) -> _Number:
        if operator == "&&":
            return _Number(0 if 0 in (left.value, right.value) else None if None in (left.value, right.value) else 1)
        if operator == "||":
            return _Number(1 if left.value or right.value else None if None in (left.value, right.value) else 0)
        if operator in ("<<", ">>"):
            unsigned = left.unsigned
        else:
            unsigned = left.unsigned or right.unsigned
            left, right = left.cast(unsigned), right.cast(unsigned)
        truth = operator in ("==", "!=", "<", ">", "<=", ">=")
        if left.value is None or right.value is None:
            return _Number(None, unsigned and not truth)
        if self._skipped and (operator in ("<<", ">>", "/", "%")):
            return _Number(0, unsigned)
        found = _operate(operator, left.value, right.value)
        return _Number(found) if truth else self._fitting(found, unsigned)

    def _fitting(self, value: int, unsigned: bool) -> _Number:
        if unsigned:
            return _Number(value % 2**64, True)
        if not -(2**63) <= value < 2**63 and not self._skipped:
            raise _NotUnderstood
        return _Number(value)

    def _unary(self) -> _Number:
        token = self._take()
        if token.kind == "punct" and token.text in ("!", "-", "+", "~"):
            operand = self._unary()
            if token.text == "!":
                return _Number(None if operand.value is None else int(not operand.value))
            if operand.value is None or token.text == "+":
                return operand
            return self._fitting(-operand.value if token.text == "-" else ~operand.value, operand.unsigned)
        if token.text == "(":
            inner = self.conditional()
            self._expect(")")
            return inner
        if token.kind == "number":
            return _number(token.text)
        if token.kind == "char":
            value = character(token.text)
            if value is None:
                raise _NotUnderstood
            return _Number(value)
        if token.kind == "name":
            return _Number(self._name(token.text))
        raise _NotUnderstood

    def _name(self, name: str) -> int | None:
        if name == "defined":
            return self._defined(self._argument(bare=True))
        if name in _CONFIG_TESTS:
            option = self._argument(bare=False)
            return None if name == "IS_MODULE" else self._defined(option)
        if self._sees("("):
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

    def _sees(self, text: str) -> bool:
        return not self.at_end() and self._tokens[self._next].text == text

    def _take(self) -> Token:
        if self.at_end():
            raise _NotUnderstood
        self._next += 1
        return self._tokens[self._next - 1]

    def _expect(self, text: str) -> None:
        if self._take().text != text:
            raise _NotUnderstood


def _number(text: str) -> _Number:
    found = integer(text)
    if found is None or found[0] >= 2**64:
        raise _NotUnderstood
    value, decimal, unsigned, _ = found
    if decimal and value >= 2**63 and not unsigned:
        raise _NotUnderstood  # too large for its type
    return _Number(value, unsigned or value >= 2**63)


def _operate(operator: str, left: int, right: int) -> int:
    """What an operator makes of two numbers of one type; `>>` keeps the sign, as gcc does."""
    match operator:
        case "<<" | ">>":
            if not 0 <= right < 64:
                raise _NotUnderstood
            return left << right if operator == "<<" else left >> right
        case "/" | "%":
            if right == 0:
                raise _NotUnderstood
            quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
            return quotient if operator == "/" else left - right * quotient
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "&":
            return left & right
        case "|":
            return left | right
        case "^":
            return left ^ right
        case _:
            order = {"==": left == right, "!=": left != right, "<": left < right, "<=": left <= right, ">": left > right}
            return int(order.get(operator, left >= right))


def _not(value: int | None) -> int | None:
    return None if value is None else int(not value)
