"""TOML of any shape is read in no time, or refused in one sentence that says where it nests."""

from __future__ import annotations

import time

import pytest

from tdpcheck.core.errors import InputError
from tdpcheck.core.stored.tomlfile import MOST, MOST_NESTED, toml_of
from tdpcheck.model.scenario import read_scenario
from tdpcheck.runner.inputs.changes import series_of
from tdpcheck.runner.inputs.sources import files_of

N = 50_000
DEEP = {
    "a key": f"geometry.{'.'.join('x' * N)} = 1\n",
    "a key with blanks": " . ".join("x" * N) + " = 1\n",
    "a quoted key": ".".join(['"a b"'] * N) + " = 1\n",
    "a key in single quotes": ".".join(["'a.b'"] * N) + " = 1\n",
    "quotes of both kinds": ".".join(["'a'", '"b\\""', "c"] * N) + " = 1\n",
    "a table": f"[{'.'.join('x' * N)}]\n",
    "an array of tables": f"name = 'a'\n[[{'.'.join('x' * N)}]]\n",
    "tables that grow": "".join(f"[{'.'.join('a' * n)}]\n" for n in range(1, 1000)),
    "a key of an inline table": f"a = {{ {'.'.join('x' * N)} = 1 }}\n",
    "arrays": f"goals = {'[' * N}{']' * N}\n",
    "arrays that are not closed": f"goals = {'[' * N}",
    "inline tables": f"x = {'{a = ' * N}1{'}' * N}\n",
    "more than anybody writes": f"# {'x' * MOST}\n",
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_what_nests_too_deep_is_refused_in_no_time(text: str) -> None:
    """As a scenario and as an overlay."""
    begun = time.process_time()
    for read in (lambda: read_scenario(text, "a.toml"), lambda: series_of(text.encode(), "a.toml", files_of(None))):
        with pytest.raises(InputError, match=r"^a\.toml: (line \d+ nests keys|arrays or tables nest too deep|it has more than 1 MB)"):
            read()

    assert time.process_time() - begun < 2


def test_the_line_is_named() -> None:
    with pytest.raises(InputError, match=r"line 3 nests keys more than 50 deep"):
        toml_of(f"# one\nname = 'a'\n{'.'.join('x' * (MOST_NESTED + 1))} = 1\n", "a.toml")


@pytest.mark.parametrize(
    "text",
    [
        f"{'.'.join('x' * MOST_NESTED)} = 1",
        'story = "Wait ... e.g. a.b.c, or 1.2.3.4; and so on ......................................................................."',
        f"x = [{', '.join(['1.5'] * 1000)}]",
        f"x = '{'a' * 100_000}'",
        f'x = "{"a " * 100_000}"',
        '"a.b.c" = 1',
    ],
)
def test_what_does_not_nest_is_read(text: str) -> None:
    begun = time.process_time()

    assert toml_of(text, "a.toml")
    assert time.process_time() - begun < 1


def test_what_is_no_toml_is_said_to_be_none() -> None:
    for text in ("x = ", f"x = {'9' * 5000}", "[a]\n[a]"):
        with pytest.raises(InputError, match=r"^a\.toml: not a TOML file: "):
            toml_of(text, "a.toml")
