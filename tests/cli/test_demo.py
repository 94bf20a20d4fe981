"""The demonstration asks functions of the newest Debian source from which they can be lifted."""

from __future__ import annotations

import io
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from tdpcheck.cli import demo
from tdpcheck.model.lift.versions import TDP_MMU
from tdpcheck.runner.runs.plan import Plan
from tdpcheck.tests.lift.test_changed_trees import FILES


def tree(folder: Path, **changed: str) -> Path:
    for name, text in {**FILES, **changed}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans that would have been run."""
    plans: list[Plan] = []

    def run(plan: Plan, listener: object) -> Any:
        plans.append(plan)
        return SimpleNamespace(document=SimpleNamespace(exit_code=0))

    monkeypatch.setattr(demo, "run", run)
    monkeypatch.setattr("tdpcheck.cli.printing.print_document", lambda *given: None)
    return plans


def shown(monkeypatch: pytest.MonkeyPatch, *sources: Path) -> tuple[int | None, str]:
    monkeypatch.setattr(demo, "debian_sources", lambda: sources)
    out = io.StringIO()
    return demo._lifted(Console(file=out), time.monotonic()), out.getvalue()


def test_a_tree_that_cannot_be_used_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: list[Plan]) -> None:
    """A newer kernel that recovers pages otherwise, a package that is damaged: the next one is asked, in its own scenarios."""
    newer = tree(tmp_path / "newer", **{TDP_MMU: FILES[TDP_MMU].replace("zap_collapsible_sptes", "recover_huge_pages")})
    damaged = tmp_path / "linux-source-6.13.tar.xz"
    damaged.write_text("no tarball")
    good = tree(tmp_path / "good")

    assert shown(monkeypatch, newer, damaged, good)[0] == 0
    (plan,) = asked
    assert plan.kernel is not None
    assert plan.kernel.origin == str(good)
    assert [s.name for s in plan.scenarios] == ["linux-6.1-lift-eager-split", "linux-6.1-lift-fault-split"]


def test_without_a_tree_that_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: list[Plan]) -> None:
    """Nothing is asked then, and the demonstration goes on."""
    newer = tree(tmp_path / "newer", **{TDP_MMU: "int other(void) { return 1; }\n"})

    code, text = shown(monkeypatch)
    assert code is None
    assert "NOT RUN: no kernel tree is here" in text
    code, text = shown(monkeypatch, newer)
    assert code is None
    assert "NOT RUN: functions cannot be lifted from what is here" in text
    assert asked == []
