"""C text to syntax: what is read, what is refused, and where."""

from __future__ import annotations

import dataclasses
import pickle
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdpcheck.kernelc.errors import Refusal
from tdpcheck.kernelc.sources.tree import open_tree
from tdpcheck.kernelc.text import ast
from tdpcheck.kernelc.text.ast import Binary, Call, Cast, Declare, Evaluate, If, Index, IntLiteral, Location, Member, Name, TypeRef, Unary
from tdpcheck.kernelc.text.parse import parse, parse_expression, parse_preprocessed
from tdpcheck.kernelc.text.preprocess import CAST_PREFIX, preprocess
from tdpcheck.kernelc.text.show import headline, show
from tdpcheck.kernelc.text.tokens import Token, lex

TOO_DEEP = re.compile(r"levels deep|nest more than \d+ deep here")
"""What nests, in brackets, is refused before it is parsed; what nests otherwise, before anything recurses into it."""
HERE = Location("", 0, 0)


def bare(value: Any) -> Any:
    """Return syntax with every place replaced by the same one."""
    if isinstance(value, Location):
        return HERE
    if isinstance(value, tuple):
        return tuple(bare(part) for part in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{field.name: bare(getattr(value, field.name)) for field in dataclasses.fields(value)})
    return value


def body(statements: str) -> tuple[ast.Stmt, ...]:
    """Parse statements as the body of a function."""
    unit = parse(f"void f(void)\n{{\n{statements}\n}}\n", "f.c")
    if unit.broken:
        raise unit.broken["f"]
    return unit.functions["f"].body.statements


def refusal(text: str, name: str = "f") -> str:
    """Return the message with which `name` in `text` is refused."""
    return str(parse(text, "f.c").broken[name])


# What is read


def test_a_function_keeps_its_types_names_and_lines() -> None:
    """Reports and patches speak of its first and last line."""
    text = "int before;\n\nstatic inline struct page *find(const u64 *base, unsigned long int n,\n\t\tbool b)\n{\n\treturn NULL;\n}\n"
    function = parse(text, "f.c").functions["find"]

    assert TypeRef("struct page", 1) == function.returns
    assert [("base", TypeRef("u64", 1)), ("n", TypeRef("unsigned long")), ("b", TypeRef("bool"))] == [
        (parameter.name, parameter.type) for parameter in function.parameters
    ]
    assert (3, 7) == (function.at.line, function.last_line)


def test_void_and_a_function_pointer_are_parameters() -> None:
    """`(void)` means none; a callback may be handed on, under its typedef or written out."""
    unit = parse("int f(void) { return 0; }\nint g(int (*visit)(int), visit_t other) { return visit(1); }\n", "f.c")

    assert unit.functions["f"].parameters == ()
    assert [TypeRef("function", 1), TypeRef("visit_t")] == [parameter.type for parameter in unit.functions["g"].parameters]


def test_a_declaration_of_several_is_several() -> None:
    """Each variable has its own type and its own value."""
    first, second, third = body("unsigned int i, *p = NULL, path[LEVELS + 1];")

    assert Declare(TypeRef("unsigned int"), "i", None, HERE) == bare(first)
    assert Declare(TypeRef("unsigned int", 1), "p", Name("NULL", HERE), HERE) == bare(second)
    assert isinstance(third, Declare)
    assert third.type.array is not None
    assert show(third.type.array) == "LEVELS + 1"


def test_designated_initialisers_are_fields_and_zero_is_none() -> None:
    """`{ 0 }` and `{}` set everything to zero, which needs no field."""
    named, zero, empty = body("struct q a = { .x = 1, .in = { .y = b }, };\nstruct q b = { 0 };\nstruct q c = {};")

    assert show(named) == "struct q a = { .x = 1, .in = { .y = b } };"
    assert show(zero) == "struct q b = { };"
    assert show(empty) == "struct q c = { };"


def test_control_flow_is_read_as_written() -> None:
    """Every statement of the subset, once."""
    text = (
        "retry: for (i = 0, j = 1; i < 3; i++) { if (a) break; else if (b) continue; else goto retry; } "
        "for (;;) { } do { x |= 1; } while (c); while (d) ; for (int k = 0; ; ) { return; } out: ;"
    )

    assert (
        "retry: for (i = 0, j = 1; i < 3; i++) { if (a) break; else if (b) continue; else goto retry; } "
        "for (;;) { } do { x |= 1; } while (c); while (d) { } for (int k = 0;;) { return; } out: { }"
    ) == " ".join(show(statement) for statement in body(text))


def test_a_label_before_a_declaration_labels_nothing_but_the_place() -> None:
    """The declaration belongs to the block around it."""
    label, declared = body("again: int x = 1;")

    assert isinstance(label, ast.Label)
    assert isinstance(declared, Declare)


@pytest.mark.parametrize(
    ("text", "value", "bits", "signed"),
    [
        ("10", 10, 32, True),
        ("0x1FULL", 31, 64, False),
        ("017", 15, 32, True),
        ("0b11u", 3, 32, False),
        ("0", 0, 32, True),
        ("'a'", 97, 32, True),
        (r"'\n'", 10, 32, True),
        (r"'\377'", -1, 32, True),
        ("1ul", 1, 64, False),
        ("1Lu", 1, 64, False),
        ("2147483647", 2**31 - 1, 32, True),
        ("2147483648", 2**31, 64, True),
        ("0x80000000", 2**31, 32, False),
        ("0xffffffff1", 2**36 - 15, 64, True),
        ("0x8000000000000000", 2**63, 64, False),
        ("4294967296u", 2**32, 64, False),
    ],
)
def test_integer_constants_have_a_value_and_a_type(text: str, value: int, bits: int, signed: bool) -> None:
    """The first type of C's list that holds it: decimal ones are signed unless they say `u`."""
    assert IntLiteral(value, HERE, bits, signed) == bare(parse_expression(text))


@pytest.mark.parametrize("text", ["09", "0x", "1ulu", "9223372036854775808", "18446744073709551616u", "'ab'", "1" * 5000])
def test_what_is_no_constant_of_any_type_is_refused(text: str) -> None:
    """No type holds it, or it is no number."""
    with pytest.raises(Refusal):
        parse_expression(text)


def test_the_sign_is_an_operator() -> None:
    """The grammar takes `-1` for a number, C does not."""
    assert Unary("-", IntLiteral(1, HERE), HERE) == bare(parse_expression("-1"))
    assert Binary("-", Name("a", HERE), IntLiteral(1, HERE), HERE) == bare(parse_expression("a -1"))


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("(u64)-x * 2", "(u64)-x * 2"),
        ("(gfn_t)*p + 1", "(gfn_t)*p + 1"),
        ("(u64)(int)-x", "(u64)(int)-x"),
        ("~(u64)(SIZE - 1)", "~(u64)(SIZE - 1)"),
        ("(struct page *)&x", "(struct page *)&x"),
        ("sum(u64) - x", "sum(u64) - x"),
        ("(x) - y", "x - y"),
        ("(unsigned long)(u64)(a | b)", "(unsigned long)(u64)(a | b)"),
        ("(u64)++x", "(u64)++x"),
        ("(x)(y)", "x(y)"),
        ("(*visit)(y)", "visit(y)"),
    ],
)
def test_a_cast_is_told_from_a_subtraction_and_a_call(text: str, meaning: str) -> None:
    """Without a symbol table the grammar reads `(u64)-x` as a difference."""
    assert meaning == show(parse_expression(text))


def test_a_cast_binds_tighter_than_the_operators_after_it() -> None:
    """`(u64)-x * 2` is the product of a cast."""
    read = parse_expression("(u64)-x * 2")

    assert Binary("*", Cast(TypeRef("u64"), Unary("-", Name("x", HERE), HERE), HERE), IntLiteral(2, HERE), HERE) == bare(read)


def test_a_postfix_step_comes_before_the_sign_in_front() -> None:
    """The grammar reads `!tries--` as `(!tries)--`, which is no C at all."""
    step = ast.Step("--", Name("tries", HERE), False, HERE)

    assert Unary("!", step, HERE) == bare(parse_expression("!tries--"))
    assert Unary("-", Unary("!", step, HERE), HERE) == bare(parse_expression("-!tries--"))
    assert Unary("*", step, HERE) == bare(parse_expression("*tries--"))
    assert "(!tries)--" == show(ast.Step("--", Unary("!", Name("tries", HERE), HERE), False, HERE))


def test_a_typedef_of_the_file_makes_a_cast() -> None:
    """The names of types are those of the kernel, those in `_t`, and those the file itself gives."""
    unit = parse("typedef unsigned int mode;\nint f(int x)\n{\n\treturn (mode)-x;\n}\n", "f.c")

    assert show(unit.functions["f"].body) == "{ return (mode)-x; }"


def test_strings_among_arguments_are_dropped() -> None:
    """A message means nothing to the model; the other arguments may."""
    (statement,) = body('WARN_ONCE(x > 1, "x is %d" SUFFIX "\\n", x);')

    assert show(statement) == "WARN_ONCE(x > 1, x);"


def test_structs_are_read_with_what_can_be_known_of_them() -> None:
    """A member that cannot be represented must not be mistaken for one that can."""
    text = (
        "struct walk {\n\tgfn_t gfn;\n\tstruct page *path[5];\n\tu8 level:4, flags:4;\n\tstruct { bool valid; };\n"
        "\tunion { int a; int b; };\n\tvoid (*done)(int);\n\tDECLARE_BITMAP(bits, 512);\n\tunion role role;\n};\n"
    )
    fields = [(name, str(type_)) for name, type_ in parse(text, "f.c").structs["walk"].fields]

    assert [
        ("gfn", "gfn_t"),
        ("path", "struct page *"),
        ("level", "u8:4"),
        ("flags", "u8:4"),
        ("valid", "bool"),
        ("done", "function *"),
        ("role", "union role"),
    ] == fields


def test_other_things_at_file_level_are_passed_over() -> None:
    """Prototypes, globals, enumerations and registrations declare nothing that is executed."""
    text = (
        "#include <x.h>\ntypedef u64 gfn_t;\nenum state { A, B = 3 };\nstatic DEFINE_SPINLOCK(lock);\nu64 mask = 3;\n"
        'int g(struct q *p, ...);\nMODULE_LICENSE("GPL");\nstatic const struct ops o = { .f = g, };\n'
        'TRACE_EVENT(x, TP_fast_assign(a; b;), TP_printk("%d", 1));\nBUILD_READER(x, y)\nint f(void)\n{\n\treturn 1;\n}\nmodule_init(f)\n'
    )
    unit = parse(text, "f.c")

    assert list(unit.functions) == ["f"]
    assert unit.broken == {}


def test_a_loop_macro_is_read_as_the_loop_it_is() -> None:
    """The body must belong to the `else` at the end of the macro."""
    header = "#define for_each_leaf(i, n) for (i = 0; i < n; i++) if (!is_leaf(i)) continue; else\n"
    unit = parse("void f(int n)\n{\n\tint i;\n\tfor_each_leaf(i, n)\n\t\tzap(i);\n\tdone();\n}\n", "f.c", {"leaf.h": header})
    _, loop, after = unit.functions["f"].body.statements

    assert isinstance(loop, ast.For)
    assert show(loop.body) == "if (!is_leaf(i)) continue; else zap(i);"
    assert show(after) == "done();"
    assert isinstance(loop.body, If)
    assert loop.body.otherwise is not None
    assert (4, 5) == (loop.body.at.line, loop.body.otherwise.at.line)


# What is refused


@pytest.mark.parametrize(
    ("statement", "what", "column"),
    [
        ("switch (x) { case 1: break; }", "`switch` is not in the subset", 1),
        ("switch (x) { case 1 ... 3: break; }", "`switch` is not in the subset", 1),
        ("while (x) y = ({ if (z) break; 1; });", "a jump in a statement expression", 25),
        ("y = ({ l: z = 1; z; }); goto l;", "a jump in a statement expression", 8),
        ("y = a ?: b;", "GNU's `a ?: b`", 5),
        ('asm volatile("nop");', "inline assembly", 1),
        ("y = sizeof(int);", "`sizeof`", 5),
        ("y = s->ops->f(1);", "a call through a stored pointer", 5),
        ("int (*g)(int) = h;", "a function pointer cannot be stored", 5),
        ("int a[2] = { 1, 2 };", "only `.field = value` is understood", 14),
        ("struct q a = { [1] = 2 };", "only `.field = value` is understood", 16),
        ("y = (struct q){ .a = 1 };", "a compound literal", 5),
        ("union u v;", "a union by value", 1),
        ("static int once;", "not an ordinary variable", 1),
        ("extern int e;", "not an ordinary variable", 1),
        ("typeof(x) z = x;", "a computed type", 1),
        ("__auto_type z = x;", "a computed type", 1),
        ("struct q { int a; } z;", "a struct declared inside a function", 1),
        ("int g(int);", "a function pointer cannot be stored", 5),
        ("int inner(void) { return 1; }", "a function inside a function", 1),
        ("for (int i = 0, j = 1; ; ) { }", "several variables declared in a `for`", 6),
        ('p = "text";', "a string is only understood", 5),
        ("y = 1.5;", "this is not an integer constant", 5),
        ("y = 089;", "this is not an integer constant", 5),
        ("y = L'ab';", "this is not an integer constant", 5),
        ("int m[2][3];", "an array of arrays", 5),
        ("goto *p;", "this is not C that the parser understands", 6),
        ("g(1)\nh(2);", "", 0),
        ("while_each(x) { g(); }", "a function inside a function", 1),
    ],
)
def test_a_construct_outside_the_subset_breaks_its_function_alone(statement: str, what: str, column: int) -> None:
    """The refusal names the place and the text; the neighbours stay usable."""
    unit = parse(f"int a(void) {{ return 1; }}\nvoid f(void)\n{{\n{statement}\n}}\nint b(void) {{ return 2; }}\n", "dir/f.c")
    broken = unit.broken["f"]

    assert ["a", "b"] == list(unit.functions)
    assert isinstance(broken, Refusal)
    assert what in broken.what
    assert broken.at.file == "dir/f.c"
    assert broken.suggestion
    if column:
        assert (4, column) == (broken.at.line, broken.at.column)


def test_heads_outside_the_subset_break_their_function_alone() -> None:
    """Varargs, nameless parameters, unions by value, names made by macros, heads that are no heads."""
    assert "a variable number of arguments" in refusal("int f(int a, ...) { return a; }\n")
    assert "this parameter has no name" in refusal("int f(int) { return 1; }\n")
    assert "a union by value" in refusal("union u f(void) { return g(); }\n")
    assert "a union by value" in refusal("int f(union u v) { return 1; }\n")
    assert parse("int f(union u *v) { return 1; }\n", "f.c").broken == {}
    assert "a function's name is expected here: `FNAME(walk)`" in refusal("int FNAME(walk)(int a) { return a; }\n", "FNAME(walk)")
    assert refusal("f(void) { return 1; }\n")


def test_a_refusal_says_where_what_and_what_to_do() -> None:
    """One line that can be acted on."""
    message = refusal("int f(int x)\n{\n\tint y = 1;\n\n\treturn y + sizeof(x /* why */);\n}\n")

    assert message == "f.c:5:13: `sizeof` is not in the subset: `sizeof(x )`; name the size as a constant"


def test_a_refusal_survives_pickling() -> None:
    """A check may run in another process."""
    broken = parse("void f(void) { switch (x) { } }\n", "f.c").broken["f"]

    assert str(broken) == str(pickle.loads(pickle.dumps(broken)))


def test_a_function_under_an_unknown_option_is_refused_when_needed() -> None:
    """The code that is checked must be the code that runs; the message tells how to decide."""
    text = "int a(void) { return 1; }\nint f(void)\n{\n#ifdef CONFIG_NEW\n\treturn 2;\n#endif\n\treturn 3;\n}\n"

    assert "f.c:4:1: it is not known which branch" in refusal(text)
    assert "a" in parse(text, "f.c").functions
    assert "return 2;" not in show(parse(text, "f.c", config={"CONFIG_NEW": False}).functions["f"].body)
    assert "return 2;" in show(parse(text, "f.c", config={"CONFIG_NEW": True}).functions["f"].body)


def test_a_loop_macro_without_definition_is_refused() -> None:
    """Its body would run once, and nobody would notice."""
    text = "void f(void)\n{\n\tlist_for_each(a, b)\n\t\tg(a);\n}\n"

    assert "f.c:3:2: this loop macro has no definition: `list_for_each`" in refusal(text)


def test_a_function_defined_twice_is_refused() -> None:
    """Which of the two would be checked?"""
    assert "defined twice" in refusal("int f(void) { return 1; }\nint f(void) { return 2; }\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"f\.c:1:1: this file is empty"),
        (" \n\t\n", r"f\.c:1:1: this file is empty"),
        (b"", r"f\.c:1:1: this file is empty"),
        ("int a;\n\0\n", r"f\.c:2:1: this is a binary file"),
        (b"\x7fELF\x02\x01\x01\x00\xff", r"f\.c:1:1: this is a binary file"),
        (b"int a;\nint \xff;\n", r"f\.c:2:5: this byte is not UTF-8: `0xff`"),
        ("hello world\n", r"f\.c:1:1: this is not a C definition"),
        ("hello, world;\n", r"f\.c:1:\d+: this is not C"),
        ("int f(void) { return 1; }\nwhat is this; \n", r"f\.c:2:\d+: this is not C"),
        ("int f(void) { return 1; }\n}\n", r"f\.c:2:1: this brace closes nothing"),
        ("int f(void)\n{\n\tif (x) {\n\treturn 1;\n}\n", r"f\.c:2:1: this brace is never closed"),
        ("int f(void)\n{\n", r"f\.c:2:1: this brace is never closed"),
        ("int größe;\n", r"f\.c:1:\d+: this is not C"),
        ("x" * 8_000_001, r"more than 8000000 characters"),
    ],
)
def test_a_file_that_is_no_c_is_refused_as_a_whole(text: str | bytes, message: str) -> None:
    """Garbage between functions means that something is wrong with the file, not with one function."""
    with pytest.raises(Refusal, match=message):
        parse(text, "f.c")


def test_a_file_of_comments_and_constants_has_no_functions() -> None:
    """A header may hold nothing else."""
    assert parse("/* nothing */\n#define A 1\n", "f.h").functions == {}


def refused(text: str) -> str:
    """Why a function of a text, or the whole text, is refused."""
    try:
        return refusal(text)
    except Refusal as error:
        return str(error)


@pytest.mark.parametrize(
    "expression",
    ["(" * 5000 + "x" + ")" * 5000, "!" * 5000 + "x", "+".join(["x"] * 5000), "a[" * 5000 + "0" + "]" * 5000, "f(" * 5000 + ")" * 5000],
)
def test_deep_nesting_is_refused_rather_than_a_stack_overflow(expression: str) -> None:
    """A file can break a function, but never the program."""
    assert TOO_DEEP.search(refused(f"int f(void) {{ return {expression}; }}\n"))
    with pytest.raises(Refusal, match=TOO_DEEP.pattern):
        parse_expression(expression)


def test_deeply_nested_blocks_are_refused_and_long_functions_are_not() -> None:
    """Depth is limited, length is not."""
    assert TOO_DEEP.search(refused("void f(void) { " + "{" * 5000 + "}" * 5000 + " }\n"))
    assert 20_000 == len(parse("void f(void)\n{\n" + "\tg(1);\n" * 20_000 + "}\n", "f.c").functions["f"].body.statements)


def test_what_is_just_within_the_limit_is_read_and_printed() -> None:
    """The limit must be safe for every pass that recurses, this one first."""
    expression = "!" * 150 + "x"

    assert expression == show(parse_expression(expression))


def test_windows_line_ends_and_a_missing_last_newline_change_nothing() -> None:
    """Both are common, and neither is a reason to refuse."""
    text = 'int f(int x)\n{\n\t/* é */ WARN(x, "é");\n\treturn x;\n}'

    assert parse(text, "f.c") == parse(text.replace("\n", "\r\n"), "f.c") == parse(text.encode(), "f.c") == parse(text + "\n", "f.c")


@pytest.mark.parametrize("text", ["", "1;2", "1; } int g(void) { return 2", "return 1", "{ .a = 1 }", "x +", "if (x) y"])
def test_an_expression_is_one_expression(text: str) -> None:
    """The text of a constant could be anything."""
    with pytest.raises(Refusal):
        parse_expression(text, "limits.h")


# There and back


NAMES = st.sampled_from(["a", "b", "iter"]).map(lambda name: Name(name, HERE))
CONSTANTS = st.sampled_from(["NULL", "true", "false", "LIMIT"]).map(lambda name: Name(name, HERE))
TYPES = st.sampled_from([TypeRef("u64"), TypeRef("gfn_t"), TypeRef("unsigned long"), TypeRef("struct page", 1), TypeRef("bool")])
LITERALS = st.one_of(
    st.integers(0, 2**31 - 1).map(lambda value: IntLiteral(value, HERE)),
    st.integers(0, 2**32 - 1).map(lambda value: IntLiteral(value, HERE, 32, False)),
    st.integers(0, 2**63 - 1).map(lambda value: IntLiteral(value, HERE, 64, True)),
    st.integers(0, 2**64 - 1).map(lambda value: IntLiteral(value, HERE, 64, False)),
)
LEAVES = NAMES | CONSTANTS | LITERALS
OPERATORS = st.sampled_from("|| && | ^ & == != < > <= >= << >> + - * / %".split())
ASSIGNMENTS = st.sampled_from("= += -= |= &= ^= <<= >>= *= /= %=".split())


def compound(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Build expressions around expressions."""
    members = st.builds(Member, inner, st.just("field"), st.booleans(), st.just(HERE))
    places = NAMES | members | st.builds(Index, NAMES, inner, st.just(HERE))
    parts = st.lists(inner.map(lambda part: part.parts[0] if isinstance(part, ast.Comma) else part), min_size=2, max_size=3).map(tuple)
    return (
        st.builds(Binary, OPERATORS, inner, inner, st.just(HERE))
        | st.builds(Unary, st.sampled_from("!~-+*&"), inner, st.just(HERE))
        | st.builds(ast.Step, st.sampled_from(["++", "--"]), places, st.booleans(), st.just(HERE))
        | st.builds(ast.Conditional, inner, inner, inner, st.just(HERE))
        | st.builds(ast.Assign, ASSIGNMENTS, places, inner, st.just(HERE))
        | st.builds(Call, st.just("f"), st.lists(inner, max_size=3).map(tuple), st.just(HERE))
        | st.builds(Cast, TYPES, inner, st.just(HERE))
        | st.builds(ast.Comma, parts, st.just(HERE))
        | st.lists(inner.map(lambda part: ast.Evaluate(part, HERE)), min_size=1, max_size=2).map(
            lambda found: ast.Enclosed(ast.Block(tuple(found), HERE), HERE)
        )
        | places
    )


@given(st.recursive(LEAVES, compound, max_leaves=12))
def test_what_show_prints_parses_to_the_same(expression: ast.Expr) -> None:
    """A message must not say another thing than the code does."""
    assert expression == bare(parse_expression(show(expression)))


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("if (a && b) { g(); } else h();", "if (a && b)"),
        ("while (i--) g();", "while (i--)"),
        ("for (;;) g();", "for (;;)"),
        ("out: g();", "out:"),
        ("{ g(); }", "{ ... }"),
        ("x = 1;", "x = 1;"),
    ],
)
def test_a_headline_leaves_out_the_statements_inside(statement: str, expected: str) -> None:
    """A step label has one line."""
    assert expected == headline(body(statement)[0])


def test_show_keeps_an_else_with_its_if() -> None:
    """Printed on one line the braces matter."""
    (statement,) = body("if (a) { if (b) g(); } else h();")

    assert bare(statement) == bare(body(show(statement))[0])


# The kernel itself


LOOPS = ("include/linux/list.h", "include/linux/rculist.h", "arch/x86/kvm/mmu/tdp_iter.h")
MMU = "arch/x86/kvm/mmu/"


def test_the_kernels_tdp_mmu_is_read_but_for_unions_by_value(kernel_tree: Path) -> None:
    """These are the functions that a change to KVM's page tables touches."""
    tree = open_tree(kernel_tree)
    macros = {path: tree.read(path) for path in LOOPS}
    unit = parse(tree.read(MMU + "tdp_mmu.c"), "tdp_mmu.c", macros)
    wanted = """
        kvm_tdp_mmu_unmap_gfn_range kvm_tdp_mmu_zap_leafs tdp_mmu_zap_leafs kvm_tdp_mmu_map tdp_mmu_map_handle_target_level
        tdp_mmu_link_sp tdp_mmu_split_huge_page tdp_mmu_split_huge_pages_root handle_removed_pt __handle_changed_spte
        tdp_mmu_set_spte_atomic tdp_mmu_zap_spte_atomic tdp_mmu_iter_cond_resched
    """.split()

    assert set(wanted) <= set(unit.functions)
    assert all("a union by value" in str(broken) for broken in unit.broken.values())
    if tree.version.startswith("6.1."):
        assert (61, 3) == (len(unit.functions), len(unit.broken))
        assert "zap_collapsible_spte_range" in unit.functions


def test_the_kernels_iterator_is_read_whole(kernel_tree: Path) -> None:
    """The walk is lifted, not modelled."""
    tree = open_tree(kernel_tree)
    source, header = (parse(tree.read(MMU + name), name) for name in ("tdp_iter.c", "tdp_iter.h"))

    assert source.broken == header.broken == {}
    assert "tdp_iter_next" in source.functions
    assert "sptep" in dict(header.structs["tdp_iter"].fields)
    if tree.version.startswith("6.1."):
        assert (9, 4) == (len(source.functions), len(header.functions))


def test_places_in_the_kernel_are_those_of_the_file(kernel_tree: Path) -> None:
    """Every call stands on the line that its place names, in loops made by macros, too."""
    tree = open_tree(kernel_tree)
    text = tree.read(MMU + "tdp_mmu.c")
    lines = text.split("\n")
    unit = parse(text, "tdp_mmu.c", {path: tree.read(path) for path in LOOPS})
    used = [value for function in unit.functions.values() for value in within(function) if isinstance(value, Call)]
    plain = [call for call in used if call.function + "(" in text.replace(" (", "(") and "for_each" not in lines[call.at.line - 1]]

    assert len(plain) > 300
    assert all(lines[call.at.line - 1][call.at.column - 1 :].startswith((call.function, "(")) for call in plain)


@pytest.mark.parametrize("name", ["tdp_mmu.c", "tdp_iter.c", "tdp_iter.h", "spte.c", "spte.h"])
def test_no_word_of_a_kernel_function_is_lost(kernel_tree: Path, name: str) -> None:
    """What is printed of a function has every name and operator of its text; only types repeat, for `int a, b`."""
    tree = open_tree(kernel_tree)
    source = preprocess(tree.read(MMU + name), name, {path: tree.read(path) for path in LOOPS})
    for function in parse_preprocessed(source).functions.values():
        ends = [index for index, token in enumerate(source.tokens) if token.line <= function.last_line]
        begin = next(index for index in ends if (source.tokens[index].line, source.tokens[index].text) >= (function.body.at.line, "{"))
        printed = [token for token in lex(show(function.body), name) if isinstance(token, Token)]

        assert words(list(source.tokens[begin : ends[-1] + 1])) - words(printed) == Counter()


def words(tokens: list[Token]) -> Counter[str]:
    """Count the names and operators that a reading must keep."""
    kept = [token.text.replace(CAST_PREFIX, "") for token in tokens if token.kind in ("name", "punct") and token.text not in "(){};,"]
    return Counter(text for text in kept if text not in ("const", "static", "volatile", "struct"))


def within(value: Any) -> list[Any]:
    """Return every value inside a piece of syntax."""
    if isinstance(value, tuple):
        return [inner for part in value for inner in within(part)]
    if dataclasses.is_dataclass(value):
        return [value, *(inner for field in dataclasses.fields(value) for inner in within(getattr(value, field.name)))]
    return []


def test_evaluate_is_what_a_call_statement_is() -> None:
    """The lowering tells statements apart by their class."""
    assert Evaluate(Call("g", (), HERE), HERE) == bare(body("g();")[0])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('asm(".set f, g");', "`asm` is not understood"),
        ('__asm__(".set f, g");', "`__asm__` is not understood"),
        ('void f(void) asm("g");', "`asm` is not understood"),
        ('_Pragma("weak f")\n', "`_Pragma` is not understood"),
        ('_Static_assert(1, "x");', "this macro at file level is not understood"),
        ("DEFINE_HOOK(f, g);", "this macro at file level is not understood"),
        ("static DEFINE_HOOK(f, g);", "this macro at file level is not understood"),
        ("if (x) y();", "this is not understood at file level"),
        ("#pragma redefine_extname f g", "this line for the preprocessor is not understood"),
        ('void f(void) __attribute__((alias("g")));', "this attribute is not understood"),
    ],
)
def test_what_stands_at_file_level_is_understood_or_strange(text: str, what: str) -> None:
    """It can say that another function is meant; nothing is harmless for not being understood."""
    unit = parse(f"int a(void) {{ return 0; }}\n{text}\nint b(void) {{ return 0; }}\n", "f.c")

    assert [(what, 2)] == [(refusal.what, refusal.at.line) for refusal in unit.strange]
    assert {"a", "b"} == unit.functions.keys()


@pytest.mark.parametrize(
    "statement",
    [
        "int x __attribute__((cleanup(g))) = 0;",
        "[[gnu::cleanup(g)]] int x = 0;",
        "int x [[gnu::cleanup(g)]] = 0;",
        '__attribute__((musttail)) return 0;',
        'asm("nop");',
        'register int x asm("rax");',
    ],
)  # fmt: skip
def test_a_function_with_an_attribute_that_is_not_understood_is_broken(statement: str) -> None:
    """It may call what nobody sees; the function's neighbours are read as ever."""
    unit = parse(f"int a(void)\n{{\n\t{statement}\n\treturn 0;\n}}\nint b(void) {{ return 0; }}\n", "f.c")

    assert (["a"], ["b"]) == (list(unit.broken), list(unit.functions))
    assert ":3:" in str(unit.broken["a"])
    assert unit.strange == []


def test_names_at_file_level_are_known_to_have_no_meaning() -> None:
    """A variable, an enumerator or a type of the file hides what the library means by the same name."""
    text = "static bool x = true, *y;\nenum { A = 1, B };\nenum e { C } v;\ntypedef int t;\nextern int (*h)(int);\n"
    text += "int f(int a), g(void);\nstruct s;\n"

    assert {"x", "y", "A", "B", "C", "v", "t", "h"} == parse(text, "f.c").unmodelled.keys()
