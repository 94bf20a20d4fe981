"""What all tests share: the Linux source tree that some of them read, and how property-based tests behave."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling

from tdpcheck.cli.main import tdpcheck
from tdpcheck.kernelc.sources.tree import open_tree
from tdpcheck.model.lift.versions import version_of
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.runner.inputs.sources import built, files_of
from tdpcheck.tests.calling import QUICK, Call, diff

DEBIAN_KERNEL = Path("/usr/src/linux-source-6.1.tar.xz")
DEBIAN_KERNEL_6_12 = Path("/usr/src/linux-source-6.12.tar.xz")

ONE = "tests/lift/"
"""Tests of these files share models that take long to build, whatever file they stand in, but for those that have a tree of their own."""
OWN_TREE = ("tests/lift/test_linux_6_12.py",)
BY_PARAMETER = ("tests/counterexamples/test_causes.py", "tests/model/test_shipped_scenarios.py")
"""In these, each parameter stands for something that takes long to make, and several tests look at it."""
APART = (
    "tests/bench/test_peers.py",
    "tests/checker/arguments/test_lemmas.py",
    "tests/checker/test_portfolio.py",
    "tests/cli/test_ends.py",
    "tests/cli/test_exercise.py",
    "tests/model/test_merging.py",
    "tests/model/test_scenarios_by_vectors.py",
    "tests/museum/test_museum.py",
    "tests/properties/test_every_size.py",
    "tests/properties/test_missing_lemmas.py",
    "tests/properties/test_protection.py",
    "tests/runner/test_rewritings.py",
    "tests/test_how_to.py",
    "tests/test_lessons.py",
    "tests/test_notebooks.py",
)
"""Tests of these take long and share little: they fill the processes evenly."""

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
    """Mark the tests that read a kernel tree, and those that look with a browser, which takes seconds, so that nobody can forget to."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
        if {"kernel_tree", "kernel_6_12"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kernel)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """With several processes, what tests share is made in one of them."""
    return Together(config, log)


class Together(LoadScopeScheduling):  # type: ignore[misc] # it does not say that it is typed
    """Tests of one file go to one process, but for those that share nothing, or what one parameter stands for."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        if file.startswith(ONE) and file not in OWN_TREE:
            return ONE
        if file in BY_PARAMETER:
            return f"{file} {test.partition('[')[2]}"
        return nodeid if file in APART else file


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected lives to the end: nobody looks for garbage among its hundred thousands of objects, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(scope="session")
def kernel_tree() -> Path:
    """Return a tree like Linux 6.1: the directory or tarball in TDPCHECK_KERNEL if it is one, else Debian's linux-source-6.1."""
    return _kernel("6.1", DEBIAN_KERNEL)


@pytest.fixture(scope="session")
def kernel_6_12() -> Path:
    """Return a tree like Linux 6.12: the directory or tarball in TDPCHECK_KERNEL if it is one, else Debian's linux-source-6.12."""
    return _kernel("6.12", DEBIAN_KERNEL_6_12)


def _kernel(version: str, package: Path) -> Path:
    chosen = os.environ.get("TDPCHECK_KERNEL")
    if chosen and not Path(chosen).exists():
        pytest.fail(f"TDPCHECK_KERNEL names {chosen}, which does not exist: point it at a Linux source tree, or unset it")
    if chosen and version_of(open_tree(chosen)).name == version:
        return Path(chosen)
    if package.exists():
        return package
    reason = f"no tree of Linux {version}: {package} is not there; run `make tree` on Debian, or set TDPCHECK_KERNEL"
    if os.environ.get("TDPCHECK_REQUIRE_KERNEL") == "1":
        pytest.fail(f"{reason} (TDPCHECK_REQUIRE_KERNEL=1 makes this a failure)")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def parsed() -> None:
    """The shipped kernel C, parsed and compiled once: a process that is forked to answer begins with what is known of its terms."""
    built(shipped_scenarios()[QUICK], None, files_of(None))


@pytest.fixture
def call(parsed: None) -> Call:
    """Call the command line; no exception may come out of it."""

    def called(*arguments: str, given: str | None = None) -> Result:
        result = CliRunner().invoke(tdpcheck, list(arguments), input=given)
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
