"""What all tests share: the Linux source tree that some of them read, and how property-based tests behave."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import settings

from tdpcheck.cli.main import tdpcheck
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.runner.inputs.sources import code_for, files_of
from tdpcheck.tests.calling import QUICK, Call, diff

DEBIAN_KERNEL = Path("/usr/src/linux-source-6.1.tar.xz")

# A slow machine is no fault of the code, and a check must say the same twice.
settings.register_profile("tdpcheck", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("tdpcheck")


# An answer that a test got by planting a fault must not be kept for anybody, nor one that was kept be believed by a test.
os.environ["TDPCHECK_CACHE"] = "off"

# Tests start hundreds of processes: compiling the modules and rewriting the assertions anew in each would take longer than many a test.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Who is started in the background of a script is deaf to Control-C, and so is whom it starts: tests of interrupts would wait in vain.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that read a kernel tree, so that nobody can forget to."""
    for item in items:
        if "kernel_tree" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kernel)


def pytest_collection_finish() -> None:
    """What was collected lives to the end: nobody looks through its hundred thousands of objects for garbage again."""
    gc.freeze()


@pytest.fixture(scope="session")
def kernel_tree() -> Path:
    """Return the Linux source to read: the directory or tarball in TDPCHECK_KERNEL, else Debian's linux-source-6.1."""
    chosen = os.environ.get("TDPCHECK_KERNEL")
    tree = Path(chosen) if chosen else DEBIAN_KERNEL
    if tree.exists():
        return tree
    if chosen:
        pytest.fail(f"TDPCHECK_KERNEL names {chosen}, which does not exist: point it at a Linux source tree, or unset it")
    reason = f"no Linux source tree: {DEBIAN_KERNEL} is not there; run `make tree` on Debian 12, or set TDPCHECK_KERNEL"
    if os.environ.get("TDPCHECK_REQUIRE_KERNEL") == "1":
        pytest.fail(f"{reason} (TDPCHECK_REQUIRE_KERNEL=1 makes this a failure)")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def parsed() -> None:
    """The shipped kernel C, parsed: a process that is forked to answer begins with it."""
    code_for(shipped_scenarios()[QUICK], None, files_of(None))


@pytest.fixture
def call(parsed: None) -> Call:
    """Call the command line; no exception may come out of it."""

    def called(*arguments: str) -> Result:
        result = CliRunner().invoke(tdpcheck, list(arguments))
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        assert "Traceback" not in result.output
        return result

    return called


@pytest.fixture
def patch(tmp_path: Path) -> Callable[..., str]:
    """Write a patch and answer with its path."""

    def written(file: str, old: str, new: str, name: str = "change.patch") -> str:
        path = tmp_path / name
        path.write_text(diff(file, old, new))
        return str(path)

    return written
