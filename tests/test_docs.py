"""What the documentation says is what the tool does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import tdpcheck as public
from tdpcheck.cli.main import COMMANDS, tdpcheck
from tdpcheck.core.verdict import ReasonKind
from tdpcheck.docs import api, rooms
from tdpcheck.kernelc.errors import Refusal
from tdpcheck.model.scenario import read_scenario
from tdpcheck.properties import PROPERTIES
from tdpcheck.runner.exit_codes import PRECEDENCE, ExitCode
from tdpcheck.tests.counterexamples.planted import GOLDEN, SHOWN
from tdpcheck.tests.kernelc.alone import explored

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_in_the_manual(name: str) -> None:
    """An option that only --help knows is not found by those who read."""
    manual = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    command = tdpcheck.get_command(click.Context(tdpcheck), name)
    assert command is not None
    options = [o for p in command.params if isinstance(p, click.Option) for o in p.opts]
    missing = [o for o in options if o.startswith("--") and o not in manual]

    assert f"tdpcheck {name}" in manual
    assert [] == missing
    assert COMMANDS[name].sentence == " ".join((command.help or "").split("\n\n")[0].split()), "the list of commands says something else"


def test_the_page_of_the_python_interface_is_made_from_the_docstrings() -> None:
    """Every name of the public face is in it once, as its docstring has it: `python -m tdpcheck.docs.api` writes it."""
    told = [name for names in api.SECTIONS.values() for name in names]

    assert sorted(told) == sorted(dir(public))
    assert api.page() == api.PAGE.read_text(encoding="utf-8")


def test_every_file_of_every_room_is_in_the_architecture() -> None:
    """`python -m tdpcheck.docs.rooms` writes the list; the floors are those of the contracts."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (floors,) = (c["layers"] for c in contracts if c["id"] == "floors")

    assert list(rooms.FLOORS) == [room for floor in floors for room in floor.split(" | ")]
    assert rooms.page() == rooms.PAGE.read_text(encoding="utf-8")


def test_the_scenario_in_the_manual_is_one() -> None:
    """Somebody will begin by copying it."""
    page = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)

    assert read_scenario(text, "docs/scenarios.md").name == "notifier-vs-fault"


def test_the_readme_names_every_property() -> None:
    """A promise that is checked and not told is half a promise."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert [] == [name for name in (*PROPERTIES, "kernel_assertions") if f"`{name}`" not in readme]


def test_the_readme_shows_what_the_tool_prints() -> None:
    """The first thing that anybody sees of it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```\n\$ tdpcheck verify .*\n\.\.\.\n(.*?)```", readme, re.DOTALL)

    assert shown in (GOLDEN / f"{SHOWN}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Files move, and links stay."""
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))

    assert [] == [t for t in targets if not (page.parent / t).exists()]


def test_the_exit_codes_of_the_manual_are_those_of_the_program() -> None:
    """Scripts are written by this table."""
    manual = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    table = manual.partition("### Exit codes\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", table, re.MULTILINE)
    shown = " ".join(CliRunner().invoke(tdpcheck, ["--help"]).stdout.split())

    assert [(str(code.value), code.meaning) for code in ExitCode] == rows
    assert f"the first of {', '.join(str(code.value) for code in PRECEDENCE)} counts" in table
    assert [] == [code for code in ExitCode if f"{code.value} {code.meaning}" not in shown]


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_has_an_exit_code_of_its_own(name: str) -> None:
    """What `--help` of a command says of a code is a finer word for the same."""
    command = tdpcheck.get_command(click.Context(tdpcheck), name)
    assert command is not None
    told = re.findall(r"(?:Exit code: |; |, |^)(\d+) [a-z]", (command.help or "").partition("Exit code:")[2], re.MULTILINE)

    assert set(map(int, told)) <= set(ExitCode)


def test_the_manual_has_every_kind_of_reason() -> None:
    """Who reads a run by a program reads them there."""
    manual = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    table = manual.partition("| Unknown (…) | `kind` | meaning |\n| --- | --- | --- |\n")[2].partition("\n\n")[0]

    assert [(kind.label, kind.value) for kind in ReasonKind] == re.findall(r"^\| (.+?) \| `([a-z-]+)` \| .+ \|$", table, re.MULTILINE)


def rows_of_c() -> list[tuple[str, str, str]]:
    """The rows of the tables on the page about C: the head of the second column, the text, and what the row says of it."""
    found, head, whole = [], "", False
    for line in (ROOT / "docs" / "kernel-c.md").read_text(encoding="utf-8").split("\n"):
        if match := re.fullmatch(r"\| the (whole text|body of a function) \| (.*) \|", line):
            whole, head = match.group(1) == "whole text", match.group(2)
        elif match := re.fullmatch(r"\| `(.*?)` \| (.*) \|", line):
            text = match.group(1).replace("⏎", "\n")
            found.append((head, text if whole else f"void f(void) {{ {text} }}", match.group(2)))
    return found


@pytest.mark.parametrize(("head", "text", "said"), rows_of_c())
def test_every_row_about_c_is_what_happens(head: str, text: str, said: str) -> None:
    """The page cannot promise more of C, or less, than the compiler keeps."""
    if head == "the error":
        with pytest.raises(Refusal, match=re.escape(said[1:-1])):
            explored(text)
        return
    final, failed = explored(text)
    if head == "what fails":
        assert (set() if said == "nothing" else {f"{said[1:-1]} at toy.c:1"}) == failed
    else:
        assert ({int(said)}, set()) == (final, failed)
