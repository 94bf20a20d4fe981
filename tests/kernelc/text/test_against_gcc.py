"""The phases of translation against `gcc -E -P`: random texts, token by token; what gcc calls an error is refused here."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tdpcheck.kernelc.errors import Refusal
from tdpcheck.kernelc.text.preprocess import expanded
from tdpcheck.kernelc.text.tokens import Token, lex

from ..gcc import PROGRAMS, SEED, needs_gcc, run

BATCH = 250
NAMES = tuple("abcdefg")
FUNCTIONS = tuple("pqrst")
PUNCTUATION = ("+", "-", "(x)", "[0]", ";", "&&", ",", "<<", "->", "==", "...", ".", "{", "}", "<:", ":>", "%")
NUMBERS = ("0", "1", "2", "07", "017", "0x1f", "3u", "1L", "0xffffffffffffffffu", "'a'", "'\\n'", "'\\377'", "1e+3")
STRINGS = ('"s"', '"a\\"b"', '"//"', '"/*"')
CONDITIONS = ("==", "!=", "<", ">", "<=", ">=", "+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "&&", "||")


class Text:
    """A random text of a few lines; names begin with a prefix of its own, so that no two mean the same."""

    def __init__(self, number: int, seed: int) -> None:
        self.random = random.Random(f"{seed}:{number}")
        self.prefix = f"m{number}_"
        self.arity: dict[str, tuple[int, bool]] = {}

    def name(self) -> str:
        return self.prefix + self.random.choice(NAMES)

    def word(self, depth: int = 0) -> str:
        pick = self.random.random()
        if pick < 0.35:
            return self.name()
        if pick < 0.6 and depth < 3:
            return self.call(depth)
        return self.random.choice((*NUMBERS, *PUNCTUATION, *STRINGS, "word", "define", "defined"))

    def call(self, depth: int) -> str:
        name = self.prefix + self.random.choice(FUNCTIONS)
        count, variadic = self.arity.get(name, (1, False))
        count += self.random.choice((0, 0, 1, 2)) if variadic else 0
        count += self.random.random() < 0.02
        arguments = [self.words(depth + 1, 3).replace(",", "(,)") for _ in range(count)]
        return name + self.random.choice(("", " ", "\n" if depth < 2 else " ")) + "(" + ", ".join(arguments) + ")"

    def words(self, depth: int = 0, most: int = 6) -> str:
        return self.random.choice((" ", " ", "", "/**/", " /* a\n b */ " if depth == 0 else " ")).join(
            f" {self.word(depth)}" for _ in range(self.random.randrange(most))
        )

    def body(self, parameters: Sequence[str], rest: str | None) -> str:
        parts: list[str] = []
        for _ in range(self.random.randrange(1, 7)):
            pick = self.random.random()
            own = self.random.choice(parameters) if parameters else self.name()
            if pick < 0.3:
                parts.append(own)
            elif pick < 0.4 and parameters:
                parts.append(f"#{own}")
            elif pick < 0.6:
                parts.append(self.random.choice((own, "x", "1")) + self.random.choice(("##", " ## ")) + self.random.choice((own, "y", "2")))
            elif pick < 0.7 and rest:
                parts.append(f"word, ## {rest}")
            else:
                parts.append(self.word(2).replace("\n", " "))
        return " ".join(parts)

    def definition(self) -> str:
        if self.random.random() < 0.5:
            name = self.name()
            return f"#define {name} {self.body((), None)}" if self.random.random() < 0.85 else f"#define {name}"
        name = self.prefix + self.random.choice(FUNCTIONS)
        parameters = ["u", "v", "w"][: self.random.randrange(4)]
        variadic = self.random.random() < 0.3
        self.arity[name] = (len(parameters), variadic)
        rest = "__VA_ARGS__" if variadic else None
        shown = [*parameters, "..."] if variadic else parameters
        if variadic and parameters and self.random.random() < 0.3:
            rest = parameters[-1]
            shown = [*parameters[:-1], f"{rest}..."]
            self.arity[name] = (len(parameters) - 1, True)
        return f"#define {name}({', '.join(shown)}) {self.body([*parameters, *([rest] if rest and rest not in parameters else [])], rest)}"

    def condition(self, depth: int = 0) -> str:
        pick = self.random.random()
        if depth > 3 or pick < 0.3:
            return self.random.choice(
                (*NUMBERS[:-1], "1", "2", "-1", "0u", "unheard_of", self.name(), f"defined {self.name()}", f"defined({self.name()})")
            )
        if pick < 0.4:
            return self.random.choice("!-~+") + f"({self.condition(depth + 1)})"
        if pick < 0.5:
            return f"({self.condition(depth + 1)} ? {self.condition(depth + 1)} : {self.condition(depth + 1)})"
        if pick < 0.8:
            return f"({self.condition(depth + 1)}) {self.random.choice(CONDITIONS)} ({self.condition(depth + 1)})"
        return (
            f"{self.condition(3)} {self.random.choice(CONDITIONS)} {self.condition(3)} {self.random.choice(CONDITIONS)} {self.condition(3)}"
        )

    def lines(self, depth: int = 0) -> list[str]:
        found: list[str] = []
        for _ in range(self.random.randrange(2, 7)):
            pick = self.random.random()
            if pick < 0.35:
                found.append(self.definition())
            elif pick < 0.42:
                found.append(f"#undef {self.prefix}{self.random.choice(NAMES + FUNCTIONS)}")
            elif pick < 0.6 and depth < 2:
                opening = (
                    f"#if {self.condition()}" if self.random.random() < 0.7 else f"#{self.random.choice(('ifdef', 'ifndef'))} {self.name()}"
                )
                found += [opening, *self.lines(depth + 1)]
                if self.random.random() < 0.4:
                    found += [f"#elif {self.condition()}", *self.lines(depth + 1)]
                if self.random.random() < 0.5:
                    found += ["#else", *self.lines(depth + 1)]
                found.append("#endif // end" if self.random.random() < 0.5 else "#endif")
            else:
                found.append(self.words() + self.random.choice(("", " // tail", " /* tail */", " // it's \\")))
        return found

    def text(self) -> str:
        """The text, with lines spliced anywhere, inside words, too."""
        whole = "\n".join([*self.lines(), "end"]) + "\n"
        for _ in range(self.random.choice((0, 0, 1, 3))):
            place = self.random.randrange(len(whole))
            whole = whole[:place] + "\\" + self.random.choice(("", " ", "\t ")) + "\n" + whole[place:]
        return whole


def said_by_gcc(texts: Sequence[str], folder: Path) -> list[tuple[bool, list[str]]]:
    """For each text, whether gcc has no complaint, and its tokens."""
    files = [f"t{number}.c" for number in range(len(texts))]
    for number, text in enumerate(texts):
        (folder / files[number]).write_text(f"begin_of_text\n{text}")
    done = run(["-E", "-P", "-std=gnu11", *files], folder)
    wrong = set(re.findall(r"^(t\d+\.c):\d+:.*(?:error|overflow|so large|out of range)", done.stderr, re.MULTILINE))
    parts = re.split(r"\bbegin_of_text\b", done.stdout)[1:]
    assert len(parts) == len(texts)
    return [(file not in wrong, spelled(lex(part, "gcc"))) for file, part in zip(files, parts, strict=True)]


def spelled(tokens: Sequence[object]) -> list[str]:
    """The tokens as text; a bracket that is written `<:` is spelled so in a string alone, where it means nothing."""
    texts = [token.text for token in tokens if isinstance(token, Token)]
    return [text.replace("<:", "[").replace(":>", "]") if text[0] == '"' else text for text in texts]


@needs_gcc
@pytest.mark.slow
def test_random_texts_have_the_tokens_that_gcc_gives_them(tmp_path: Path) -> None:
    """Where a macro is defined counts, `#if` computes as C does, an empty argument is something beside `##`, lines are spliced anywhere."""
    kinds: Counter[str] = Counter()
    for first in range(0, PROGRAMS, BATCH):
        texts = [Text(number, SEED).text() for number in range(first, min(first + BATCH, PROGRAMS))]
        for text, (fine, wanted) in zip(texts, said_by_gcc(texts, tmp_path), strict=True):
            try:
                tokens, refused = expanded(text, "t.c", config={})
            except Refusal as refusal:
                tokens, refused = (), (refusal,)  # type: ignore[assignment]
            kinds["refused" if refused else "compared"] += 1
            kinds["wrong"] += not fine
            if not refused:
                assert fine, text
                assert wanted == spelled(tokens), text

    assert kinds["compared"] > 0.5 * PROGRAMS
    assert kinds["refused"] <= kinds["wrong"] + 0.05 * PROGRAMS
