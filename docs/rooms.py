"""Write the list of rooms in docs/architecture.md anew, from the docstrings: `python -m tdpcheck.docs.rooms`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path(__file__).with_name("architecture.md")
FLOORS = (
    "cli",
    "api",
    "reports",
    "runner",
    "checker",
    "counterexamples",
    "properties",
    "formats",
    "model",
    "traces",
    "kernelc",
    "recheck",
    "core",
)
"""From the roof to the ground; a test compares them with the contracts in pyproject.toml."""
BEGIN, END = "<!-- rooms -->\n", "<!-- end of rooms -->\n"


def rooms() -> str:
    """Every room with its files, each with the first sentence of its docstring."""
    return "\n".join(line for floor in FLOORS for line in _room(ROOT / floor)) + "\n"


def _room(folder: Path) -> Iterator[str]:
    yield f"### `{folder.relative_to(ROOT)}/`\n"
    yield f"{_sentence(folder / '__init__.py')}\n"
    files = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
    if files:
        yield "| file | what it holds |\n| --- | --- |"
        yield from (f"| `{path.name}` | {_sentence(path)} |" for path in files)
        yield ""
    for below in sorted(path.parent for path in folder.glob("*/__init__.py")):
        yield from _room(below)


def _sentence(path: Path) -> str:
    """The first paragraph of a module's docstring, on one line."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(doc.split("\n\n")[0].split()).replace("|", "\\|")


def page() -> str:
    """The page, with the list as it is to be."""
    text = PAGE.read_text(encoding="utf-8")
    return text[: text.index(BEGIN)] + BEGIN + "\n" + rooms() + "\n" + text[text.index(END) :]


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.name}: written")


if __name__ == "__main__":
    main()
