"""The preprocessor: what it expands, what it leaves, and that every place stays the user's."""

from __future__ import annotations

import pytest

from tdpcheck.kernelc.errors import Refusal
from tdpcheck.kernelc.text.ast import Location
from tdpcheck.kernelc.text.preprocess import preprocess

LOOP_HEADER = (
    "#define for_each_slot(it, table, first, last) \\\n"
    "\tfor (slot_start(&it, table, first);\t\\\n"
    "\t     it.valid && it.index < last;\t\\\n"
    "\t     slot_next(&it))\n"
    "\n"
    "#define table_for_each_leaf(_it, _table, _first, _last)\t\\\n"
    "\tfor_each_slot(_it, _table, _first, _last)\t\\\n"
    "\t\tif (!slot_is_leaf(_it.entry))\t\t\\\n"
    "\t\t\tcontinue;\t\t\t\\\n"
    "\t\telse\n"
)

LOOP_USE = (
    "void clear(struct table *t)\n"
    "{\n"
    "\tstruct slot it;\n"
    "\n"
    "\ttable_for_each_leaf(it, t, lowest(t),\n"
    "\t\t\t    highest(t))\n"
    "\t\tclear_slot(&it);\n"
    "}\n"
)


def squeeze(text: str) -> str:
    return " ".join(text.split())


def test_comments_vanish_and_every_line_keeps_its_number() -> None:
    """Reports name lines of the user's file, so nothing may move."""
    text = "/* one\n two */ int a; // tail \\\n still tail\nint b;\n"
    done = preprocess(text, "f.c").text.split("\n")

    assert "int a;" in done[1]
    assert done[3] == "int b;"


def test_columns_are_exact_where_nothing_was_expanded() -> None:
    """A caret under the wrong word is worse than none."""
    done = preprocess("int f(void)\n{\n\treturn  one(2);\n}\n", "f.c")

    assert Location("f.c", 3, 10) == done.origin(done.text.index("one"))
    assert done.text.split("\n")[2].index("one") == 9


def test_nested_loop_macros_of_another_file_become_plain_loops() -> None:
    """Without expansion the loop would parse as a call and a body that runs once."""
    done = preprocess(LOOP_USE, "f.c", {"slots.h": LOOP_HEADER})
    text = squeeze(done.text)

    assert "for ( slot_start ( & it , t , lowest ( t ) ) ; it . valid && it . index < highest ( t ) ; slot_next ( & it ) )" in text
    assert "if ( ! slot_is_leaf ( it . entry ) ) continue ; else" in text
    assert ["table_for_each_leaf", "for_each_slot"] == [expansion.macro.name for expansion in done.expansions]


def test_text_from_a_macro_lies_at_its_use_and_an_argument_where_it_was_written() -> None:
    """A changed argument on the second line of a use must be found on that line."""
    done = preprocess(LOOP_USE, "f.c", {"slots.h": LOOP_HEADER})

    assert Location("f.c", 5, 2) == done.origin(done.text.index("slot_start"))
    assert Location("f.c", 6, 8) == done.origin(done.text.index("highest"))
    assert Location("f.c", 7, 3) == done.origin(done.text.index("clear_slot"))
    assert done.text.split("\n")[6].strip() == "clear_slot(&it);"


def test_a_definition_in_the_file_itself_wins() -> None:
    """A file may define its own loop under the name that a header uses."""
    own = "#define for_each_slot(it) while (more(it))\nvoid f(void) { for_each_slot(x) g(x); }\n"

    assert "while ( more ( x ) )" in squeeze(preprocess(own, "f.c", {"slots.h": LOOP_HEADER}).text)


def test_macros_of_the_file_itself_are_expanded_and_others_only_on_demand() -> None:
    """What a file defines it means; of a header, a name that the reader knows stays that name."""
    text = "#define LIMIT 3\n#define twice(x) ((x) + (x))\n"
    use = "int f(void) { return twice(LIMIT); }\n"
    own, other = preprocess(text + use, "f.c"), preprocess(use, "f.c", {"f.h": text})

    assert "return ( ( 3 ) + ( 3 ) )" in squeeze(own.text)
    assert own.constants == {"LIMIT": "3"}
    assert "return twice(LIMIT);" in other.text
    assert "return ( ( 3 ) + ( 3 ) )" in squeeze(preprocess(use, "f.c", {"f.h": text}, expand=("LIMIT", "twice")).text)


def test_a_macro_that_names_itself_is_expanded_once() -> None:
    """C forbids the recursion, and so the preprocessor must end."""
    text = "#define for_each_x(a) for_each_x(a)\nvoid f(void) { for_each_x(1); }\n"

    assert "for_each_x ( 1 )" in squeeze(preprocess(text, "f.c").text)


def test_an_expansion_that_multiplies_itself_is_refused() -> None:
    """Forty lines must not become a million tokens."""
    lines = ["#define for_each_0(x) x x"] + [f"#define for_each_{n}(x) for_each_{n - 1}(x) for_each_{n - 1}(x)" for n in range(1, 40)]

    with pytest.raises(Refusal, match=r"f\.c:41:16: expanding macros"):
        preprocess("\n".join(lines) + "\nvoid f(void) { for_each_39(1); }\n", "f.c")


def test_stringify_paste_and_variadic_macros_follow_c() -> None:
    """Kernel list macros use all three, also GNU's comma that vanishes."""
    text = (
        "#define for_each_q(name, cond...) for (check(0, ## cond); var_##name; note(#name, ## cond))\n"
        "void f(void) { for_each_q(a) g(); for_each_q(b, one, two) g(); }\n"
    )
    done = squeeze(preprocess(text, "f.c").text)

    assert 'for ( check ( 0 ) ; var_a ; note ( "a" ) )' in done
    assert 'for ( check ( 0 , one , two ) ; var_b ; note ( "b" , one , two ) )' in done


def test_attributes_registrations_and_the_struct_in_container_of_go() -> None:
    """They are no C that the parser knows, and they change nothing that is modelled."""
    text = (
        "module_param_named(quick, quick, bool, 0644);\n"
        "static __must_check __always_inline int f(struct q __rcu *p) __attribute__((pure, aligned(8)))\n"
        "{\n\treturn g(container_of(p, struct outer, inner));\n}\n"
        "EXPORT_SYMBOL_GPL(f);\n"
    )
    done = preprocess(text, "f.c").text

    assert "static int f(struct q *p) { return g(container_of(p, outer, inner)); }" == squeeze(done).replace("( p , outer", "(p, outer")


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("#ifdef CONFIG_ON", True),
        ("#ifdef CONFIG_OFF", False),
        ("#ifndef CONFIG_OFF", True),
        ("#if 0", False),
        ("#if 1 || defined(CONFIG_NEW)", True),
        ("#if defined(CONFIG_ON) && !defined CONFIG_OFF", True),
        ("#if IS_ENABLED(CONFIG_ON)", True),
        ("#if LEVELS > 4", True),
        ("#if LEVELS - 1 == 4 && LEVELS != 4", True),
        ("#if defined(CONFIG_OFF) && UNHEARD_OF", False),
    ],
)
def test_conditionals_follow_the_configuration(condition: str, kept: bool) -> None:
    """Code for another configuration is not the code that runs."""
    text = f"#define LEVELS 5\n{condition}\nint yes;\n#else\nint no;\n#endif\n"
    done = preprocess(text, "f.c", config={"CONFIG_ON": True, "CONFIG_OFF": False})

    assert ("int yes;" if kept else "int no;") == done.text.strip()
    assert done.regions == ()


def test_the_second_branch_is_taken_when_the_first_is_not() -> None:
    """An `#elif` chain has one winner."""
    text = "#if 0\nint a;\n#elif 1\nint b;\n#elif 1\nint c;\n#else\nint d;\n#endif\n"

    assert preprocess(text, "f.c").text.strip() == "int b;"


def test_an_option_nobody_gave_a_value_marks_its_lines() -> None:
    """Unknown is not off: a silent guess would check code that does not run."""
    done = preprocess("int a;\n#ifdef CONFIG_NEW\nint b;\n#endif\n", "f.c")

    assert [(2, 4)] == [(region.first, region.last) for region in done.regions]
    assert "CONFIG_NEW" in str(done.regions[0].refusal)


def test_a_header_guard_is_no_question() -> None:
    """Every header begins with one."""
    done = preprocess("#ifndef SLOTS_H\n#define SLOTS_H\nint a;\n#endif\n", "slots.h")

    assert done.text.strip() == "int a;"
    assert done.regions == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int a;\n/* open", r"f\.c:2:1: this comment is never closed"),
        ("#if 1\nint a;\n", r"f\.c:1:1: this conditional has no `#endif`"),
        ("#endif\n", r"f\.c:1:1: `#endif` has no `#if`"),
        ("#if 1\n#else\n#else\n#endif\n", r"f\.c:3:1: `#else` after `#else`"),
    ],
)
def test_a_file_that_cannot_be_read_as_a_whole_is_refused(text: str, message: str) -> None:
    """There is no function to blame, so the file is."""
    with pytest.raises(Refusal, match=message):
        preprocess(text, "f.c")


def test_a_loop_macro_without_definition_marks_its_lines() -> None:
    """It would parse as a call, and its body would run once."""
    done = preprocess("void f(void)\n{\n\tlist_for_each_entry(a, b, c) {\n\t\tg(a);\n\t}\n}\n", "f.c")

    assert [(3, 3)] == [(region.first, region.last) for region in done.regions]
    assert "list_for_each_entry" in str(done.regions[0].refusal)


def test_a_function_whose_name_looks_like_a_loop_stays_a_function() -> None:
    """Only a use in front of a statement is a loop."""
    text = "int for_each_of(int a)\n{\n\treturn a;\n}\nvoid f(void) { for_each_of(1); if (for_each_of(2)) g(); }\n"

    assert preprocess(text, "f.c").regions == ()


def test_a_loop_macro_with_the_wrong_number_of_arguments_marks_its_line() -> None:
    """The message says how many it takes."""
    done = preprocess("void f(void) { for_each_slot(a, b) g(); }\n", "f.c", {"slots.h": LOOP_HEADER})

    assert "takes 4 arguments and is given 2" in str(done.regions[0].refusal)


def test_windows_line_ends_and_a_byte_order_mark_are_no_difference() -> None:
    """An editor may have put them there."""
    unix = preprocess(LOOP_USE, "f.c", {"slots.h": LOOP_HEADER})
    other = preprocess("\ufeff" + LOOP_USE.replace("\n", "\r\n"), "f.c", {"slots.h": LOOP_HEADER.replace("\n", "\r\n")})

    assert unix.text == other.text
    assert unix.offsets == other.offsets


@pytest.mark.parametrize(
    "text",
    [
        "// tail \\ \nint b;\nint c;\n",
        "// tail \\\nint b;\nint c;\n",
        "in\\\nt c;\n",
        "in\\ \t\nt c; /\\\n/ int b;\n",
        "%:define b c\nint b;\n",
    ],
)
def test_lines_are_spliced_before_anything_else_is_read(text: str) -> None:
    """Also inside a word, and when blanks stand behind the backslash, which nobody sees."""
    assert "int c ;" in squeeze(" ".join(token.text for token in preprocess(text, "f.c").tokens))
    assert "b" not in {token.text for token in preprocess(text, "f.c").tokens}


def test_a_word_that_is_spliced_lies_where_it_begins() -> None:
    """What follows it lies on its own line."""
    done = preprocess("void f(void)\n{\n\tre\\\nturn  one(2);\n}\n", "f.c")

    assert Location("f.c", 3, 2) == done.origin(done.text.index("return"))
    assert Location("f.c", 4, 7) == done.origin(done.text.index("one"))


def test_a_macro_means_what_it_means_where_it_is_used() -> None:
    """Not before its definition, not after `#undef`, and what it was defined to last."""
    text = "int a = N;\n#define N 1\nint b = N;\n#undef N\nint c = N;\n#define N 2\nint d = N;\n#define N 3\nint e = N;\n"

    assert "int a = N; int b = 1 ; int c = N; int d = 2 ; int e = 3 ;" == squeeze(preprocess(text, "f.c").text)


def test_a_macro_of_the_file_takes_the_place_of_a_known_name() -> None:
    """A call that is defined away is not made, and an attribute's name can hide anything."""
    text = "#define flush(x) do { } while (0)\nvoid f(void) { flush(1); }\n"
    text += "#define __init __attribute__((cleanup(g)))\n__init void h(void) { }\n"
    done = preprocess(text, "f.c")

    assert "flush" not in done.text
    assert ["__attribute__((cleanup(g)))"] == [region.refusal.offending for region in done.strange]


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("#if 010 == 8", True),
        ("#if -1 > 0u", True),
        ("#if (0 ? 0u : -1) > 0", True),
        ("#if 0 && 1 / 0", False),
        ("#if 'A' == 65 && '\\377' < 0", True),
        ("#if 1 ? 2 : 3 / 0", True),
        ("#if -7 / 2 == -3 && -7 % 2 == -1 && -7 >> 1 == -4", True),
        ("#if LEVELS == 4", True),
    ],
)
def test_conditions_have_the_arithmetic_of_c(condition: str, kept: bool) -> None:
    """Octal, unsigned, rounded towards zero; what is not evaluated may be anything."""
    text = f"#define LEVELS (2 * 2)\n{condition}\nint yes;\n#else\nint no;\n#endif\n"
    done = preprocess(text, "f.c")

    assert ("int yes;" if kept else "int no;") == done.text.strip()
    assert done.regions == ()


@pytest.mark.parametrize("condition", ["1 / 0", "9223372036854775807 + 1", "1 << 64", "0x", "UNHEARD_OF", "1 ? 2", "'ab'", "09"])
def test_a_condition_without_a_value_marks_its_lines(condition: str) -> None:
    """A guess would be somebody's wrong verdict."""
    assert preprocess(f"#if {condition}\nint a;\n#endif\n", "f.c").regions


def test_only_a_guard_around_the_whole_file_is_one() -> None:
    """`#ifndef X`, `#define X` in the middle asks whether X is defined elsewhere, and nobody knows."""
    assert preprocess("int a;\n#ifndef X\n#define X 1\n#endif\n", "f.c").regions
    assert preprocess("#ifndef X\n#define X 1\n#else\nint a;\n#endif\n", "f.c").regions
    defined = preprocess("#define X 2\n#ifndef X\n#define X 1\n#endif\nint a = X;\n", "f.c")
    assert (defined.regions, squeeze(defined.text)) == ((), "int a = 2 ;")


def test_empty_arguments_are_something_beside_a_paste() -> None:
    """Placemarkers; and GNU's comma goes only where the argument was left out."""
    text = (
        "#define for_each_(a, b) [a##b] [a##b##a]\nfor_each_(,x) for_each_(,)\n#define m(a, ...) (a, ## __VA_ARGS__)\nm(1) m(1,) m(1,2)\n"
    )

    assert "[ x ] [ x ] [ ] [ ] ( 1 ) ( 1 , ) ( 1 , 2 )" == squeeze(preprocess(text, "f.c").text)


@pytest.mark.parametrize(
    "line", ["#pragma pack(1)", "#error no", "#line 3", "# 3", "#ident x", "#include_next <a.h>", "#undef", "#undef 3"]
)
def test_a_directive_that_is_not_understood_is_strange(line: str) -> None:
    """What it does to the text is not known, and a lone `#` does nothing."""
    assert [2] == [region.first for region in preprocess(f"int a;\n{line}\n#\n#include <b.h>\n", "f.c").strange]


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("int a __attribute__((unused, aligned(8)));", True),
        ("int a __attribute__((__unused__));", True),
        ("int a __attribute__((cleanup(f)));", False),
        ("int a __attribute__((unused, cleanup(f)));", False),
        ("void f(void) __attribute__((alias(\"g\")));", False),
        ("void f(void) __attribute__((weak));", False),
        ("__naked void f(void);", False),
        ("int a __attribute__(unused);", False),
        ("typedef int q __attribute__((mode(QI)));", False),
    ],
)  # fmt: skip
def test_attributes_that_change_nothing_are_a_closed_list(text: str, harmless: bool) -> None:
    """An attribute may call a function, or say that another function is meant."""
    assert harmless == (not preprocess(text + "\n", "f.c").strange)


@pytest.mark.parametrize(
    "text",
    ["#define a(b c) d", "#define a(b, b) d", "#define 3 d", "#define", "#define a(b d", "#define defined 1"],
)
def test_a_malformed_definition_is_refused(text: str) -> None:
    """Left out, it would be as if its author had not written it."""
    with pytest.raises(Refusal, match=r"f\.c:1:1: this is not a macro definition"):
        preprocess(text + "\n", "f.c")


def test_a_macro_whose_text_is_no_c_is_refused_where_it_is_used() -> None:
    """A paste at an end, `#` before no parameter, two tokens made one that is none."""
    for text in ("#define m(a) a ##", "#define m(a) #b", "#define m(a) a ## -"):
        assert not preprocess(text + "\nint a;\n", "f.c").regions
        assert preprocess(text + "\nint a = m(x);\n", "f.c").regions
