"""What a patch, a mail or a document says never reaches a terminal as control characters."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tdpcheck.cli import echo as seam
from tdpcheck.cli.echo import echo
from tdpcheck.cli.explorer import terminal
from tdpcheck.cli.harmless import harmless, last_words
from tdpcheck.cli.main import tdpcheck
from tdpcheck.cli.printing import console
from tdpcheck.tests.calling import QUICK, Call, diff
from tdpcheck.tests.counterexamples.planted import GOLDEN, SHOWN

CLI = Path(seam.__file__).parent
SEAM = ("echo.py", "harmless.py")
EVIL = "\x00\x1b]0;pwn\x07\x1b[2J\u202e\x9b31m\u2066\u200f\x7f\r\ud800"
EXPORT = "\troot->exported = true;\n"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@given(st.text(st.characters()))
def test_no_text_is_printed_with_a_control_character_in_it(text: str) -> None:
    plain = harmless(text)

    assert not CONTROL.search(plain)
    assert plain == harmless(plain)
    assert [c for c in text if c in "\n\t" or c.isprintable()] == [c for c in text if c in "\n\t" or (c.isprintable() and c in plain)]


def test_what_is_written_out_is_what_json_would_write() -> None:
    assert "a\\u001b[2J\\u202eb\\udb40\\udc41\tc\n" == harmless("a\x1b[2J\u202eb\U000e0041\tc\n")


def test_a_console_writes_no_control_character_that_is_not_its_own() -> None:
    out = StringIO()
    made = console(out)

    made.print(f"a{EVIL}b")
    made.print(terminal.Text.assemble((EVIL, "bold"), EVIL))

    assert not CONTROL.search(out.getvalue())
    assert "\\u001b]0;pwn\\u0007" in out.getvalue()


def test_the_explorer_shows_none() -> None:
    text = terminal.Text(EVIL).append(EVIL)

    assert not CONTROL.search(text.plain + terminal.escape(EVIL))


def test_nothing_is_printed_but_through_the_seam() -> None:
    """A command that called click or print itself would be the hole, and so would one that wrote to a descriptor."""
    found = []
    for path in sorted(CLI.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or path.name in SEAM:
                continue
            name = ast.unparse(node.func)
            if name in ("print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write", "Console", "rich.print") or _is_raw(
                node
            ):
                found.append(f"{path.name}:{node.lineno}: {name}")

    assert [] == found


def _is_raw(call: ast.Call) -> bool:
    """Whether it writes to standard output or standard error by number; anything but a name might be one of them."""
    return ast.unparse(call.func) == "os.write" and not isinstance(call.args[0], ast.Name)


def test_last_words_are_harmless_and_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    last_words(f"reading a{EVIL}b takes too long")

    out, said = capfd.readouterr()
    assert not out
    assert not CONTROL.search(said)
    assert said.startswith("tdpcheck: reading a\\u0000\\u001b]0;pwn\\u0007")
    assert said.count("\n") == 1


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A mail whose title is hostile, what `verify --out` leaves of it, and a scenario that is hostile itself."""
    folder = tmp_path_factory.mktemp("evil")
    patch = diff("tdp_fd.c", EXPORT, "").replace("\n", "\n", 1)
    mail = folder / "m.patch"
    subject = "=?utf-8?q?=00=1b=5d0;pwn=07=1b=5b2J=e2=80=ae=c2=9b31m?="
    mail.write_text(f"From: a\nSubject: {subject}\n\nWhy.\n---\n{patch}")
    scenario = folder / "s.toml"
    threads = '[[thread]]\nrole = "share"\nentry = "\\u001b[31m"\n[expect]\nreject_noncoherent_dma = "holds"\n'
    scenario.write_text(f'name = "x\\u001b]0;pwn\\u0007\\u202e"\nstory = "\\u001b[2J"\n{threads}')
    out = folder / "out"
    CliRunner().invoke(tdpcheck, ["verify", "--scenario", QUICK, "--no-certify", "--change", str(mail), "--out", str(out)])
    return mail, out, scenario


def clean(text: str) -> bool:
    return not CONTROL.search(text)


Arguments = Callable[[Path, Path, Path], list[str]]


@pytest.mark.parametrize(
    "arguments",
    [
        lambda mail, out, scenario: ["verify", "--scenario", QUICK, "--no-certify", "--change", str(mail)],
        lambda mail, out, scenario: ["verify", "--scenario", QUICK, "--no-certify", "--json", "--change", str(mail)],
        lambda mail, out, scenario: ["verify", "--scenario", str(scenario)],
        lambda mail, out, scenario: ["verify", "--scenario", "\x1b[2J\u202e"],
        lambda mail, out, scenario: ["verify", "--scenario", QUICK, "--change", "\x1b[2J\udcff.patch"],
        *(lambda mail, out, scenario, form=form: ["report", str(out), "--as", form] for form in ("text", "md", "html")),
        lambda mail, out, scenario: ["export", "\x1b[2J", "--to", "smt2"],
        lambda mail, out, scenario: ["show", "\x1b[2J\u202e.cex.json"],
        lambda mail, out, scenario: ["replay", "\x1b[2J\u202e.cex.json"],
        lambda mail, out, scenario: ["explain", "\x1b[2J\u202e"],
        lambda mail, out, scenario: ["prove", "\x1b[2J\u202e"],
        lambda mail, out, scenario: ["museum", "\x1b[2J\u202e"],
        lambda mail, out, scenario: ["explore", "\x1b[2J\u202e"],
        lambda mail, out, scenario: ["check-certificate", "\x1b[2J\u202e"],
        lambda mail, out, scenario: ["check-exercise", "\x1b[2J\u202e"],
        lambda mail, out, scenario: ["list", "\x1b[2J\u202e"],
    ],
)
def test_no_command_prints_one(left: tuple[Path, Path, Path], call: Call, arguments: Arguments) -> None:
    result = call(*arguments(*left))

    assert clean(result.stdout + result.stderr)
    assert result.stdout + result.stderr


@pytest.mark.parametrize("form", ["text", "md", "mermaid", "svg", "html", "json", "dot"])
@pytest.mark.parametrize("command", ["show", "replay"])
def test_a_document_is_shown_and_replayed_without_them(call: Call, tmp_path: Path, command: str, form: str) -> None:
    text = (GOLDEN / f"{SHOWN}.cex.json").read_text()
    path = tmp_path / "x.cex.json"
    path.write_text(re.sub(r'("(?:sentence|label|story|title|text|change)": ")', r"\1\\u001b]0;pwn\\u0007\\u202e", text))

    result = call(command, str(path), *(["--as", form] if command == "show" else []))

    assert clean(result.stdout + result.stderr)


def test_bytes_are_no_way_around(capsys: pytest.CaptureFixture[str]) -> None:
    echo("\x1b[2J", err=True)
    echo("\u202e")

    assert ("\\u202e\n", "\\u001b[2J\n") == capsys.readouterr()
