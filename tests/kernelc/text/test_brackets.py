"""Brackets: arguments, casts, or nothing but order. Random expressions are written down, and what is read has to be what was written."""

from __future__ import annotations

import random

import pytest

from tdpcheck.kernelc.errors import Refusal
from tdpcheck.kernelc.text.ast import Binary, Call, Cast, Conditional, Expr, Index, IntLiteral, Location, Member, Name, Step, TypeRef, Unary
from tdpcheck.kernelc.text.parse import parse
from tdpcheck.kernelc.text.show import show

from .test_parse import bare, body

AT = Location("", 0, 0)
TYPES = [
    *(
        (text, TypeRef(text))
        for text in ("u8", "s64", "gfn_t", "int", "long", "bool", "mode", "unsigned long", "struct page", "enum level")
    ),
    ("_Bool", TypeRef("bool")),
    ("long unsigned", TypeRef("unsigned long")),
    ("const u8", TypeRef("u8")),
    ("u8 const", TypeRef("u8")),
    ("u64 *", TypeRef("u64", 1)),
    ("mode*", TypeRef("mode", 1)),
    ("struct page *", TypeRef("struct page", 1)),
    ("struct page **", TypeRef("struct page", 2)),
    ("odd *", TypeRef("odd", 1)),
]
"""As written, and as read; `mode` is a type of the file, `odd` one of another file."""
LEVELS = ("||", "&&", "|", "^", "&", "== !=", "< <= > >=", "<< >>", "+ -", "* / %")
PREFIX, POSTFIX = 10, 11
"""How tightly something binds, behind the operators of `LEVELS`, loosest first; a choice binds least of all."""


class Expression:
    """A random expression and its text: where C needs no brackets there are some by chance."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.read, self.text = self.any(0)

    def any(self, depth: int) -> tuple[Expr, str]:
        read, text, _ = self.bound(depth)
        return read, text

    def within(self, depth: int, least: int) -> tuple[Expr, str]:
        """An expression that binds at least this tightly, in brackets if it does not; sometimes if it does."""
        read, text, tightness = self.bound(depth + 1)
        return read, f"({text})" if tightness < least or self.random.random() < 0.35 else text

    def bound(self, depth: int) -> tuple[Expr, str, int]:
        pick = self.random.random()
        if depth > 3 or pick < 0.15:
            return self.leaf()
        if pick < 0.5:
            level = self.random.choice((*range(len(LEVELS)), len(LEVELS) - 1, 4))
            op = self.random.choice(LEVELS[level].split())
            left, before = self.within(depth, level)
            right, after = self.within(depth, level + 1)
            return Binary(op, left, right, AT), f"{before} {op} {after}", level
        if pick < 0.75:
            text, type_ = self.random.choice(TYPES)
            value, inner = self.within(depth, PREFIX)
            return Cast(type_, value, AT), f"({text}){self.random.choice(('', ' '))}{inner}", PREFIX
        if pick < 0.85:
            sign = self.random.choice(("!", "~", "-", "*", "&"))
            value, inner = self.within(depth, PREFIX)
            return Unary(sign, value, AT), f"{sign} {inner}", PREFIX  # type: ignore[arg-type]  # chosen from its literals
        if pick < 0.9:
            arguments = [self.any(depth + 1) for _ in range(self.random.randrange(3))]
            name = self.random.choice(("f", "(f)", "g_t"))
            call = Call(name.strip("()"), tuple(read for read, _ in arguments), AT)
            return call, f"{name}({', '.join(text for _, text in arguments)})", POSTFIX
        if pick < 0.93:
            return self.chosen(depth)
        value, inner = self.within(depth, POSTFIX)
        step, (index, within) = self.random.random(), self.any(depth + 1)
        if isinstance(value, Step):
            inner = f"({inner})"
        if step < 0.3:
            return Index(value, index, AT), f"{inner}[{within}]", POSTFIX
        if step < 0.6:
            return Member(value, "x", True, AT), f"{inner}->x", POSTFIX
        return Step("++", value, False, AT), f"{inner}++", POSTFIX

    def chosen(self, depth: int) -> tuple[Expr, str, int]:
        (condition, first), (then, second), (otherwise, third) = self.within(depth, 0), self.any(depth + 1), self.within(depth, -1)
        return Conditional(condition, then, otherwise, AT), f"{first} ? {second} : {third}", -1

    def leaf(self) -> tuple[Expr, str, int]:
        if self.random.random() < 0.2:
            number = self.random.randrange(9)
            return IntLiteral(number, AT), str(number), POSTFIX
        name = self.random.choice("abc")
        return Name(name, AT), name, POSTFIX


def read(text: str) -> Expr:
    """What a file that defines `mode` and a macro that is its argument has in this expression."""
    unit = parse(f"typedef unsigned int mode;\n#define SAME(x) (x)\nvoid h(void)\n{{\n\ty = {text};\n}}\n", "f.c")
    if unit.broken:
        raise AssertionError(text) from unit.broken["h"]
    (statement,) = unit.functions["h"].body.statements
    found: Expr = bare(statement).expression.value
    return found


@pytest.mark.parametrize("first", range(0, 800, 400))
def test_random_expressions_are_read_as_they_were_written(first: int) -> None:
    """Casts to all kinds of types beside and within products, differences, masks, calls and choices; in a macro's argument, too."""
    for seed in range(first, first + 400):
        expression = Expression(seed)

        assert expression.read == read(expression.text), expression.text
        assert expression.read == read(f"SAME({expression.text})"), expression.text


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("(a * (u8)(c)) & 7", "a * (u8)c & 7"),
        ("(a * (struct page *)(b)) - 1", "a * (struct page *)b - 1"),
        ("(a * (b)) * (c)", "a * b * c"),
        ("(a ** (b)) & 7", "a * *b & 7"),
        ("(f(a * (b))) + c", "f(a * b) + c"),
        ("(a * (u8)(b)) && c", "a * (u8)b && c"),
        ("(u64)(a * (u8)(c)) & 7", "(u64)(a * (u8)c) & 7"),
        ("(_Bool)(a) & 1", "(bool)a & 1"),
    ],
)
def test_a_product_in_brackets_is_no_cast(text: str, meaning: str) -> None:
    """The grammar knows no names: it takes `(a * (b))` for pointers to functions, and what follows for what is cast."""
    assert f"y = {meaning};" == show(body(f"y = {text};")[0])


def test_a_refusal_shows_the_text_as_it_was_written() -> None:
    """What is put in for the grammar is nobody's text."""
    with pytest.raises(Refusal, match=r"`sizeof\(\(u8 ?\)\(c\)\)`"):
        body("y = sizeof((u8)(c));")
