"""A counterexample that travelled becomes an item of the museum, and is found again there."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tdpcheck import verify
from tdpcheck.api.change import Change
from tdpcheck.core.errors import InputError
from tdpcheck.counterexamples.schema import Cex, write
from tdpcheck.kernelc.sources.patch import parse_change
from tdpcheck.runner.asking.limits import Limits
from tdpcheck.runner.museum import adding
from tdpcheck.runner.museum.adding import add, item_of
from tdpcheck.runner.museum.items import read_item
from tdpcheck.runner.museum.visits import visit
from tdpcheck.tests.calling import QUICK, Call, diff

PLAIN = diff("tdp_fd.c", "\t\tnote_refused();\n\t\twrite_unlock(&kvm->mmu_lock);\n\t\treturn -EBUSY;\n", "\t\tnote_refused();\n")


@pytest.fixture(scope="module")
def found() -> Cex:
    """A bug that the museum does not have, of a plain diff: a refusal that goes on."""
    change = Change("mine.patch", PLAIN.encode())
    run = verify(QUICK, "reject_noncoherent_dma", change=change, certify=False, cache=False)
    return run.violations[0].counterexample


def test_from_a_counterexample_to_an_item_that_is_found_again(
    found: Cex, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a copy of a checkout, by the command."""
    root, file = tmp_path / "clone", tmp_path / "x.cex.json"
    for folder in (root / "museum", root / "tests" / "museum"):
        folder.mkdir(parents=True)
    (root / "pyproject.toml").touch()
    file.write_bytes(write(found))
    monkeypatch.setattr(adding.add, "__defaults__", (root,))
    done = call("museum", "add", str(file), "--name", "refused-and-counted", "--title", 'A "refusal" that counts')
    item = read_item(root / "museum" / "refused-and-counted")

    assert 0 == done.exit_code, done.output
    assert visit(item, Limits(timeout=60)).ok
    assert found.depth == item.expect.depth
    assert ['A "refusal" that counts'] == [part.subject for part in parse_change(item.patch, "x")]
    assert "\ntdpcheck museum refused-and-counted\n" in item.story
    again = call("museum", "add", str(file), "--name", "refused-and-counted")
    assert 2 == again.exit_code
    assert "the museum has an item of this name" in again.stderr


@pytest.mark.parametrize(
    ("change", "name", "said"),
    [
        ({"patch": msgspec.UNSET}, "a-b", "carries no patch"),
        ({"kernel": "6.1"}, "a-b", "it is of kernel 6.1"),
        ({"shortest": None}, "a-b", "whether a shorter run"),
        ({}, "../a-b", "small letters, digits and dashes"),
    ],
)
def test_what_makes_no_item(found: Cex, change: dict[str, object], name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        item_of(msgspec.structs.replace(found, **change), name)


def test_an_installed_package_is_no_checkout(found: Cex, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is an installed package"):
        add(item_of(found, "a-b"), tmp_path)
