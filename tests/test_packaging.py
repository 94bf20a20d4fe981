"""An editable install sees the whole tree; a wheel holds only what pyproject.toml lists. These tests keep the two alike."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tdpcheck

ROOT = Path(__file__).resolve().parent.parent
DATA = {"museum"}
"""Rooms without Python: `import tdpcheck; tdpcheck.museum()` is a call."""
NOT_ROOMS = {"LICENSES", "bench", "build", "changelog.d", "dist", "docs", "examples", "out", "tests"}


@pytest.fixture(scope="module")
def setuptools_table() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)["tool"]["setuptools"]
    return table


def rooms() -> Iterator[Path]:
    """Each top-level folder whose files belong into the wheel, relative to the root."""
    for folder in sorted(ROOT.iterdir()):
        if folder.is_dir() and not folder.name.startswith((".", "__")) and folder.name not in NOT_ROOMS and folder.suffix != ".egg-info":
            yield folder.relative_to(ROOT)


def files_in(room: Path) -> Iterator[Path]:
    """Each file below a room, relative to the root, without what Python and editors leave behind."""
    for path in sorted((ROOT / room).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".") and not path.name.endswith(("~", ".pyc")):
            yield path.relative_to(ROOT)


def parsed(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def package_of(folder: Path) -> str:
    return ".".join(("tdpcheck", *folder.parts))


def shipped(pyproject: dict[str, Any]) -> set[Path]:
    """Each file that the wheel will hold, by the lists in pyproject.toml, relative to the root."""
    folders = {package: Path(*package.split(".")[1:]) for package in pyproject["packages"]}
    patterns = [(folder, "*.py") for folder in folders.values()]
    patterns += [(folders[package], glob) for package, globs in pyproject["package-data"].items() for glob in globs]
    return {path.relative_to(ROOT) for folder, glob in patterns for path in (ROOT / folder).glob(glob)}


def test_every_folder_with_an_init_is_a_listed_package(setuptools_table: dict[str, Any]) -> None:
    """A package that is not listed works here and is missing for the user."""
    on_disk = {package_of(path.parent) for room in rooms() for path in files_in(room) if path.name == "__init__.py"} | {"tdpcheck"}

    assert sorted(on_disk) == sorted(setuptools_table["packages"])


def test_every_folder_with_python_is_a_package(setuptools_table: dict[str, Any]) -> None:
    """A module in a folder without `__init__.py` imports here by accident."""
    with_python = {package_of(path.parent) for room in rooms() for path in files_in(room) if path.suffix == ".py"}

    assert with_python <= set(setuptools_table["packages"])


def test_every_file_of_a_room_is_shipped(setuptools_table: dict[str, Any]) -> None:
    """Kernel C, scenarios and museum pieces are the product, too; a new kind of file needs a line in `package-data`."""
    expected = {path for room in rooms() for path in files_in(room)}

    assert set() == expected - shipped(setuptools_table)


def test_importing_the_public_face_imports_no_room() -> None:
    """`import tdpcheck` does no work: a name is imported when it is first used."""
    look = "import sys, tdpcheck; print(sorted(name for name in sys.modules if name.startswith('tdpcheck.')))"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()


def test_the_public_face_holds_what_it_promises() -> None:
    """Each name is there, a type checker sees the same ones, and an unknown one is refused with those that there are."""
    assert {"verify", "replay", "museum", "explain", "Scenario", "Change", "Run", "Verdict", "Trace", "Property"} <= set(dir(tdpcheck))
    assert all(getattr(tdpcheck, name) is not None for name in dir(tdpcheck))
    with pytest.raises(AttributeError, match="No tdpcheck attribute verifi"):
        getattr(tdpcheck, "verifi")  # noqa: B009  # as a user would, without a type checker


def test_no_python_lies_about_at_the_root() -> None:
    """Each *.py beside the outermost `__init__.py` would be shipped as a module of `tdpcheck`."""
    assert ["__init__.py"] == [path.name for path in ROOT.glob("*.py")]


@pytest.mark.parametrize("room", [path.name for path in rooms() if path.name not in DATA])
def test_every_room_says_what_it_is(room: str) -> None:
    """The docstring of a room is the first thing that a newcomer reads."""
    assert ast.get_docstring(parsed(Path(room, "__init__.py")))


def absolute_imports(path: Path) -> Iterator[str]:
    """Each import of `tdpcheck...` by its full name, as `file:line`."""
    for node in ast.walk(parsed(path)):
        match node:
            case ast.Import(names=aliases):
                names = [alias.name for alias in aliases]
            case ast.ImportFrom(module=str(module), level=0):
                names = [module]
            case _:
                continue
        if any(name.split(".")[0] == "tdpcheck" for name in names):
            yield f"{path}:{node.lineno}"


def test_rooms_name_each_other_relatively() -> None:
    """Inside the package, `from ..core` shows how far an arrow reaches; `from tdpcheck.core` hides it."""
    found = [where for room in rooms() for path in files_in(room) if path.suffix == ".py" for where in absolute_imports(path)]

    assert [] == found


@pytest.mark.slow
def test_the_wheel_holds_every_file_and_imports_elsewhere(tmp_path: Path, setuptools_table: dict[str, Any]) -> None:
    """The lists above are our reading of setuptools; this asks setuptools itself, without the network."""
    source = tmp_path / "source"
    junk = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info", "tests", "bench")
    shutil.copytree(ROOT, source, ignore=junk)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr

    (wheel,) = (tmp_path / "dist").glob("tdpcheck-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    held = {path.relative_to(tmp_path / "site/tdpcheck") for path in (tmp_path / "site/tdpcheck").rglob("*") if path.is_file()}
    assert shipped(setuptools_table) == held

    say_where = "import tdpcheck.core.errors as it; print(it.__file__)"
    elsewhere = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run([sys.executable, "-c", say_where], capture_output=True, text=True, check=True, cwd=tmp_path, env=elsewhere)
    assert done.stdout.startswith(str(tmp_path / "site"))
