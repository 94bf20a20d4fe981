"""Recipes that say nothing, or too much, are refused before any kernel tree is read."""

from __future__ import annotations

import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.model.lift.recipe import read_recipe

HEAD = 'file = "a.c"\nscenario = "s"\nproperty = "p"\n[[edit]]\nfunction = "f"\ncall = "g"\n'


@pytest.mark.parametrize("edit", ["", "argument = 1\n", 'assign = "|="\ndelete = true\n', 'replace = "0"\n'])
def test_an_edit_says_exactly_one_thing(edit: str) -> None:
    """Two meanings at once, or none, are no recipe."""
    with pytest.raises(InputError, match="one of them"):
        read_recipe(HEAD + edit, "recipe.toml")


def test_an_unknown_key_is_named() -> None:
    """A misspelt key must not be passed over."""
    with pytest.raises(InputError, match="unknown field `arguments`"):
        read_recipe(HEAD + "arguments = 1\n", "recipe.toml")
