"""What a program computes against gcc: random programs of the subset, with integers as wide as C's own.

Each is compiled and run; then it is read, lowered and executed node by node, and as the atomic steps that are made of it. Where gcc's
undefined-behaviour sanitizer speaks up, an assertion has to fail here.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import z3

from tdpcheck import Evaluator, Geometry, StateVar, TransitionSystem, Update, Word
from tdpcheck.examples.toy_kernel import Toy
from tdpcheck.kernelc import BOOLEAN, THREADS, VOID, Effect, Graph, Intrinsic, Library, Machine, Scalar, Value, compile_threads
from tdpcheck.kernelc.errors import Refusal
from tdpcheck.kernelc.stepping.interpret import Config, Interpreter

from .gcc import PROGRAMS, SEED, needs_gcc, run

WIDTHS = {
    "s8": (8, True),
    "u8": (8, False),
    "s16": (16, True),
    "u16": (16, False),
    "int": (32, True),
    "u32": (32, False),
    "long": (64, True),
    "u64": (64, False),
}
C_NAMES = {"s8": "signed char", "u8": "unsigned char", "s16": "short", "u16": "unsigned short", "u32": "unsigned", "u64": "unsigned long"}
SCALARS = {name: Scalar(name, Word(width), signed=signed) for name, (width, signed) in WIDTHS.items()}
NAMES = "abcdefg"
OUT = {name: StateVar(f"out_{name}", (), Word(64), f"what {name} held in the end") for name in NAMES}


def _put(t: z3.ExprRef, *values: Value) -> Effect:
    """`put(a, ...)`: write the locals down, as gcc's program prints them."""
    return Effect(updates=tuple(Update(var, (), value.term) for var, value in zip(OUT.values(), values, strict=True)))


LIBRARY = Library(
    types={("bool", 0): BOOLEAN, **{(name, 0): scalar for name, scalar in SCALARS.items()}},
    intrinsics={"put": Intrinsic("put", (SCALARS["u64"],) * len(NAMES), VOID, _put, "local", writes=("out",))},
)
TOY = Toy(LIBRARY)
BATCH = 150
CONSTANTS = (
    "0 1 2 3 7 010 0x7f 127 128 255 256 65535 2147483647 2147483648 0x7fffffff 0x80000000 0xffffffff 1u 3u 0xffffffffu 1l 5ul -1 -1l 'a' "
    "'\\377' 4294967296 0xffffffffffffffff 9223372036854775807 0x8000000000000000 -2147483648"
).split()


class Program:
    """A random function of a few locals that returns nothing; what its locals hold in the end is what it computes."""

    def __init__(self, number: int, seed: int) -> None:
        self.random = random.Random(f"{seed}:{number}")
        self.number = number
        types = [*WIDTHS, "bool"]
        self.locals = {name: self.random.choice(types) for name in NAMES}
        starts = (0, 1, 2, 3, 5, 127, 128, 255, 2**15, 2**31 - 1, 2**31, 2**63 - 1, -1, -2)
        self.values = [self.random.choice(starts) for _ in self.locals]
        self.loops = 0
        self.labels = 0

    def name(self) -> str:
        return self.random.choice(list(self.locals))

    def expression(self, depth: int = 0) -> str:
        pick, inner = self.random.random(), depth + 1
        if depth > 2 or pick < 0.15:
            return self.random.choice((self.name(), self.name(), self.random.choice(CONSTANTS)))
        if pick < 0.3:
            return f"({self.expression(inner)} {self.random.choice('+-*')} {self.expression(inner)})"
        if pick < 0.42:
            return f"({self.expression(inner)} {self.random.choice('&|^')} {self.expression(inner)})"
        if pick < 0.52:
            by = self.random.choice(("1", "3", "7", f"({self.expression(inner)} & 7)", self.name()))
            return f"({self.expression(inner)} {self.random.choice(('<<', '>>'))} {by})"
        if pick < 0.64:
            return f"({self.expression(inner)} {self.random.choice(('<', '<=', '>', '>=', '==', '!='))} {self.expression(inner)})"
        if pick < 0.72:
            return f"({self.expression(inner)} {self.random.choice(('&&', '||'))} {self.expression(inner)})"
        if pick < 0.8:
            return f"({self.expression(inner)} ? {self.expression(inner)} : {self.expression(inner)})"
        if pick < 0.87:
            return f"{self.random.choice('-~!+')}({self.expression(inner)})"
        if pick < 0.93:
            return f"({self.random.choice([*WIDTHS, 'bool'])})({self.expression(inner)})"
        if pick < 0.97:
            return f"{self.random.choice(('pick', 'narrow', 'LEAST', 'MOST'))}({self.expression(inner)}, {self.expression(inner)})"
        return f"WIDE({self.expression(inner)})"

    def statement(self, depth: int = 0) -> list[str]:
        pick = self.random.random()
        target = self.name()
        if depth > 1 or pick < 0.5:
            return [f"{target} {self.random.choice(('=', '=', '=', '+=', '-=', '*=', '&=', '|=', '^='))} {self.expression()};"]
        if pick < 0.56:
            return [self.random.choice((f"{target}++;", f"--{target};", f"++{target};"))]
        if pick < 0.6:
            return [f"{target} {self.random.choice(('<<=', '>>='))} {self.random.choice(('1', '3', f'({self.name()} & 7)'))};"]
        if pick < 0.75:
            other = ["} else {", *self.statements(depth + 1)] if self.random.random() < 0.5 else []
            return [f"if ({self.expression()}) {{", *self.statements(depth + 1), *other, "}"]
        if pick < 0.9:
            self.loops += 1
            count = f"i{self.loops}"
            leave = [f"if ({self.expression()})", self.random.choice(("break;", "continue;")), *self.statements(depth + 1)]
            head = self.random.choice((f"for ({count} = 0; {count} < 3; {count}++) {{", f"while ({count}++ < 2) {{", "do {"))
            tail = f"}} while ({count}++ < 2);" if head == "do {" else "}"
            return [f"{count} = 0;", head, *self.statements(depth + 1), *leave, tail]
        self.labels += 1
        label = f"l{self.labels}"
        return [f"if ({self.expression()}) goto {label};", *self.statements(depth + 1), f"{label}:", f"{target} = {self.expression()};"]

    def statements(self, depth: int) -> list[str]:
        return [line for _ in range(self.random.randrange(1, 3)) for line in self.statement(depth)]

    def text(self) -> str:
        """The function with its macros, lines spliced, comments put in."""
        body = self.statements(0)
        body += self.statements(0) if self.random.random() < 0.5 else []
        value = self.random.choice(CONSTANTS)
        pairs = zip(self.locals.items(), self.values, strict=True)
        declared = [f"{ctype} {name} = ({ctype}){value}l;" for (name, ctype), value in pairs]
        declared += [f"int i{n} = 0;" for n in range(1, self.loops + 1)]
        middle = self.random.randrange(len(body))
        while middle and not (body[middle - 1].endswith(";") and not body[middle - 1].startswith("if")):
            middle -= 1
        body[middle:middle] = ["#undef WIDE", "#define WIDE(x) ((long)(x))"]
        lines = [
            f"#define LEAST(x, y) ((x) < (y) ? (x) : (y)) // {value} \\ ",
            "  and this is a comment, too",
            "#define MOST(x, y) ({ long one = (x); int two = (y); if (two > one) one = two; one; })",
            f"#define WIDE(x) ((x) + {value})",
            f"void f{self.number}(void)",
            "{",
            *declared,
            *(self.noise(line) for line in body),
            "STORE",
            "}",
            "#undef WIDE",
            "#undef LEAST",
            "#undef MOST",
        ]
        return "\n".join(lines) + "\n"

    def noise(self, line: str) -> str:
        pick = self.random.random()
        if line[0] == "#" or pick > 0.2:
            return line
        if pick < 0.1:
            place = self.random.randrange(len(line))
            return f"{line[:place]}\\{self.random.choice(('', ' '))}\n{line[place:]}"
        return line.replace(" ", " /* + 1 */ ", 1) + " // tail"


STORE = f"put({', '.join(NAMES)});"
HELPERS = """
static u32 pick(u8 x, int y) { if (x) return y; return x; }
static s8 narrow(long x, u16 y) { return x + y; }
"""


def said_by_gcc(programs: Sequence[Program], folder: Path) -> list[tuple[bool, list[int]]]:
    """For each program, whether all that it did is defined, and what its locals hold in the end."""
    types = "\n".join(f"typedef {C_NAMES[name]} {name};" for name in C_NAMES)
    text = f"#include <stdio.h>\n#include <stdbool.h>\n{types}\n{HELPERS}"
    casts = ", ".join(f"(unsigned long long){name}" for name in NAMES)
    text += f'#define put({", ".join(NAMES)}) printf("{"%llu " * len(NAMES)}\\n", {casts})\n'
    for program in programs:
        text += f'#line 1 "p{program.number}"\n' + program.text().replace("STORE", STORE)
    text += "int main(void) { setvbuf(stdout, 0, _IONBF, 0); setvbuf(stderr, 0, _IONBF, 0);\n"
    text += "".join(f'fprintf(stderr, "begin {p.number}\\n"); f{p.number}();\n' for p in programs) + "return 0; }\n"
    (folder / "p.c").write_text(text)
    # gcc folds `n + 1 > n` before its sanitizer sees it; with -fwrapv it has no reason to, and an overflow wraps as it does here.
    asked, done = (ran(option, folder) for option in ("-fsanitize=signed-integer-overflow,shift", "-fwrapv"))
    complaints = re.split(r"begin \d+\n", asked.stderr)[1:]
    results = [[int(number) for number in line.split()] for line in done.stdout.splitlines()]
    assert len(complaints) == len(results) == len(programs)
    # gcc gives the shift of a negative number its value, and so do we.
    bad = [[x for x in text.splitlines() if "runtime error" in x and "left shift of negative" not in x] for text in complaints]
    return [(not lines, result) for lines, result in zip(bad, results, strict=True)]


def ran(option: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What `p.c` prints, compiled with this option."""
    built = run([option, *"-std=gnu11 -O0 -w p.c -o p".split()], folder)
    assert built.returncode == 0, built.stderr
    return subprocess.run([folder / "p"], capture_output=True, text=True, check=True, timeout=300)


Computed = tuple[list[int], frozenset[str]]
"""What the locals hold in the end, and the assertions that failed."""


def executed(graph: Graph) -> Computed:
    """One run of a thread that has no choices, node by node."""
    interpreter = Interpreter(graph, EVALUATOR, 0)
    config: Config | None = Config(EVALUATOR.start({}), graph.entry, {})
    while config is not None and config.node != graph.exit:
        config = interpreter.execute(config, 0, {})
    assert config is not None
    return [EVALUATOR.layout.value(config.state, var.name) for var in OUT.values()], config.failed


def stepped(graph: Graph) -> Computed:
    """The same run, in the atomic steps that are made of the graph: of those that can be taken there is one at each time."""
    software = compile_threads([graph], ("f",), machine=Machine(tuple(OUT.values())))
    init = (*software.init, *ZERO)
    system = TransitionSystem("c", software.sorts, (*software.state, *OUT.values()), init, software.actions, software.rigids)
    evaluator = Evaluator(system, ONE)
    moves = [
        (move, {x.index for x in software.locations if x.node == software.steps[move.action.name].start}) for move in evaluator.moves()
    ]
    state, layout = evaluator.start({}), evaluator.layout
    done = next(x.index for x in software.locations if x.node == graph.exit)
    while layout.value(state, "pc", 0) != done:
        (move,) = (move for move, starts in moves if layout.value(state, "pc", 0) in starts and move.guard(state))
        state = move.apply(state)
    failed = (label for n, label in enumerate(software.assertions) if layout.value(state, "assertion_failed", n))
    return [layout.value(state, var.name) for var in OUT.values()], frozenset(failed)


ONE = Geometry({"Thread": 1})
ZERO = tuple(Update(var, (), z3.BitVecVal(0, 64)) for var in OUT.values())
EVALUATOR = Evaluator(TransitionSystem("c", (THREADS,), tuple(OUT.values()), ZERO, (), ()), ONE)


@needs_gcc
@pytest.mark.slow
def test_random_programs_compute_what_gcc_computes(tmp_path: Path) -> None:
    """Types of constants, promotion, conversions, shifts, jumps, macros: said by gcc, and by the graph of the same text."""
    compared = refused = undefined = strict = 0
    for first in range(0, PROGRAMS, BATCH):
        programs = [Program(number, SEED) for number in range(first, min(first + BATCH, PROGRAMS))]
        for program, said in zip(programs, said_by_gcc([Program(p.number, SEED) for p in programs], tmp_path), strict=True):
            text = HELPERS + program.text().replace("STORE", STORE)
            try:
                graph = TOY.graph(text, f"f{program.number}")
            except Refusal as refusal:
                if not _is_wanted(refusal):
                    raise AssertionError(text) from refusal
                refused += 1
                continue
            found, failed = executed(graph)
            assert stepped(graph) == (found, failed), text
            defined, wanted = said
            if not defined:
                undefined += 1
                assert failed, text
                continue
            assert wanted == found, text
            strict += bool(failed)
            compared += 1

    assert compared > PROGRAMS / 10
    assert strict < compared / 4  # gcc folds and narrows some arithmetic before its sanitizer sees it
    assert compared + refused + undefined == PROGRAMS


def _is_wanted(refusal: Refusal) -> bool:
    """Whether a refusal is of what C leaves undefined, or of a constant that does not fit."""
    return any(what in refusal.what for what in ("signed overflow", "a shift by", "does not fit", "too large for its type"))
