"""Recipes that say nothing, or too much, are refused before any kernel tree is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.kernelc.sources.tree import open_tree
from tdpcheck.model.lift.recipe import cook, read_recipe
from tdpcheck.model.lift.versions import LINUX_6_1

HEAD = 'file = "a.c"\nscenario = "s"\nproperty = "p"\n[[edit]]\nfunction = "f"\ncall = "g"\n'


SOURCE = """int f(int n)
{
	int m = 0;

	for (m = 0; m < n; m++)
		n = g(m, h(n));
	if (g(n, 1))
		return 1;
	g(2, 2);
	return 0;
}
"""


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., str]:
    """What an edit makes of `SOURCE`, as it is found in a tree."""
    for name in (*LINUX_6_1.files, "Makefile"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\n" if name == "Makefile" else "")
    (tmp_path / LINUX_6_1.lifted[2]).write_text(SOURCE)
    head = HEAD.replace("a.c", LINUX_6_1.lifted[2])

    def made(edit: str, call: str = '"g"') -> str:
        return cook(read_recipe(head.replace('call = "g"', f"call = {call}") + edit, "recipe.toml"), open_tree(tmp_path))

    return made


@pytest.mark.parametrize(
    ("edit", "old", "new"),
    [
        ("argument = 2\nreplace = '0'\n", "g(m, h(n));", "g(m, 0);"),
        ('assign = "|="\n', "n = g(m", "n |= g(m"),
        ("delete = true\n", "n = g(m, h(n));", ";"),
        ('before = "n = 0;"\n', "for (m = 0", "n = 0; for (m = 0"),
        ('nth = 2\nbefore = "n = 0;"\n', "if (g(", "n = 0; if (g("),
        ("nth = 3\ndelete = true\n", "\tg(2, 2);", "\t;"),
    ],
)
def test_an_edit_changes_what_it_names_and_nothing_else(edited: Callable[..., str], edit: str, old: str, new: str) -> None:
    """Statements are found by reading C, not by looking for lines."""
    assert 1 == SOURCE.count(old)
    assert SOURCE.replace(old, new) == edited(edit)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ("nth = 2\ndelete = true\n", "call 2 of g in f is no statement, but a part of one that stays"),
        ('nth = 2\nassign = "|="\n', "call 2 of g in f is assigned to nothing"),
        ("nth = 4\ndelete = true\n", "calls g 3 times; the recipe wants call 4"),
        ("argument = 3\nreplace = '0'\n", "g in f has 2 arguments; the recipe wants number 3"),
    ],
)
def test_an_edit_that_does_not_fit_says_why(edited: Callable[..., str], edit: str, said: str) -> None:
    """The tree may be of another version than the recipe."""
    with pytest.raises(InputError, match=said):
        edited(edit)


@pytest.mark.parametrize("edit", ["", "argument = 1\n", 'assign = "|="\ndelete = true\n', 'replace = "0"\n'])
def test_an_edit_says_exactly_one_thing(edit: str) -> None:
    """Two meanings at once, or none, are no recipe."""
    with pytest.raises(InputError, match="one of them"):
        read_recipe(HEAD + edit, "recipe.toml")


def test_a_call_may_have_several_names(edited: Callable[..., str]) -> None:
    """Kernels rename helpers; the recipe stays one."""
    assert edited("nth = 3\ndelete = true\n") == edited("nth = 3\ndelete = true\n", call='["other", "g"]')
    with pytest.raises(InputError, match="calls other or more 0 times"):
        edited("delete = true\n", call='["other", "more"]')


def test_an_unknown_key_is_named() -> None:
    """A misspelt key must not be passed over."""
    with pytest.raises(InputError, match="unknown field `arguments`"):
        read_recipe(HEAD + "arguments = 1\n", "recipe.toml")
