"""What `verify` tells beyond the first run: other violations that are no variants, and repairs that were asked about."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tdpcheck.checker.states.minimal import violations
from tdpcheck.cli.verify import tell
from tdpcheck.core.plain import plain_run
from tdpcheck.core.trace import Trace, replays
from tdpcheck.counterexamples.document import replay
from tdpcheck.kernelc.sources.patch import parse_change
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.runner.inputs.changes import Version, patched
from tdpcheck.runner.inputs.sources import files_of
from tdpcheck.runner.runs.run import Found, Outcome, Plan, each_violation, run
from tdpcheck.runner.telling.counterexamples import Telling, asked_again
from tdpcheck.runner.telling.rendering import LEFT

MUSEUM = Path(__file__).parents[2] / "museum"


def found_in(item: str, scenario: str, prop: str) -> tuple[Plan, Found]:
    change = MUSEUM / item / "change.patch"
    files = files_of(None)
    versions = (Version(files), *patched(parse_change(change.read_bytes(), change.name), files))
    plan = Plan((shipped_scenarios()[scenario],), (prop,), versions)
    [found] = each_violation(run(plan))
    return plan, found


@pytest.fixture(scope="module")
def refused_late() -> tuple[Plan, Found]:
    return found_in("noncoherent-after-export", "noncoherent-export", "reject_noncoherent_dma")


def test_the_run_that_is_told_is_the_plainest(refused_late: tuple[Plan, Found]) -> None:
    """The engine's run may change its actor more often than need be; told is one that does not, and it is replayed, too."""
    _, found = refused_late
    cex = Telling().document(found)
    actors = [step.actor for step in cex.steps]

    assert cex.depth == found.verdict.depth
    assert sum(a != b for a, b in pairwise(actors)) <= 1
    assert replays(found.verdict.trace, found.prop)
    assert replay(cex, found.model, found.prop) is None


def test_other_violations_have_signatures_of_their_own(refused_late: tuple[Plan, Found]) -> None:
    """Eight variants of one race would bury the second race."""
    _, found = refused_late
    telling = Telling()
    all_ = (telling.document(found), *telling.others(found))

    assert len(all_) == len({cex.signature for cex in all_})
    for cex in all_:
        assert replay(cex, found.model, found.prop) is None


def test_a_repair_is_told_with_its_verdict(refused_late: tuple[Plan, Found]) -> None:
    """Asked for by --repair; the same question with the edit, and everything else that the scenario expects."""
    plan, found = refused_late
    repairs = Telling(plan).document(found).repairs

    assert "refuse the registration" in [r.name for r in repairs]
    assert all("holds in all" in r.verified for r in repairs)
    assert () == Telling().document(found).repairs


def test_code_that_is_still_wrong_or_no_code_is_no_repair(refused_late: tuple[Plan, Found]) -> None:
    """The check that every repair must pass refuses the violating code itself, and what does not compile."""
    plan, found = refused_late
    files = dict(plan.versions[-1].files)
    broken = files | {"tdp_fd.c": files["tdp_fd.c"].replace("noncoherent_dma_count_inc(", "no_such_function(")}

    assert asked_again(found, plan, files) is None
    assert asked_again(found, plan, broken) is None
    assert asked_again(found, plan, plan.versions[0].files) is not None


@pytest.fixture(scope="module")
def two() -> tuple[Plan, Found]:
    """Registration is not refused while the table is shared, and sharing is not refused while it is registered: two faults, two runs."""
    shipped = files_of(None)
    text = shipped["tdp_fd.c"].replace("if (kvm_tdp_is_exported(kvm)) {", "if (false) {")
    text = text.replace("if (kvm_arch_has_noncoherent_dma(kvm)) {", "if (false) {")
    versions = (Version(shipped), Version({**shipped, "tdp_fd.c": text}, name="two.patch"))
    plan = Plan((shipped_scenarios()["noncoherent-export"],), ("reject_noncoherent_dma",), versions)
    [found] = each_violation(run(plan))
    return plan, found


def test_two_races_in_one_change_are_both_told(two: tuple[Plan, Found]) -> None:
    """The first one alone would leave the other to be found by the next run."""
    _, found = two
    telling = Telling()
    both = (telling.document(found), *telling.others(found))

    assert len(both) >= 2
    assert {"register", "share"} == {cex.steps[-1].actor for cex in both}


def test_every_violation_that_all_tells_is_left_in_the_same_forms(two: tuple[Plan, Found], tmp_path: Path) -> None:
    """Whoever opens the second race in a browser should not have to make its page first; each names its own file."""
    plan, found = two
    outcome = Outcome(plan)
    outcome.told[0, 1, found.prop.name] = found.record
    outcome.runs[0, 1, found.prop.name] = plain_run(found.verdict.trace)
    told = tell(outcome, tmp_path, all_=True)
    (record,) = told.document.results
    names = [name.removesuffix(".cex.json") for name in record.files if name.endswith(".cex.json")]

    assert len(names) >= 2
    assert [f"{name}.{end}" for name in names for _, end in LEFT] == list(record.files)
    assert sorted(record.files) == sorted(p.name for p in tmp_path.iterdir() if p.name != "run.json")
    for name in names:
        assert f"{name}.cex.json" in "".join((tmp_path / f"{name}.txt").read_text().replace("\\\n", "").split())


def test_one_search_serves_the_first_run_and_the_others(two: tuple[Plan, Found], monkeypatch: pytest.MonkeyPatch) -> None:
    """What leads to the first violation is not visited twice."""
    _, found = two
    begun: list[str] = []

    def counted(*arguments: Any, **more: Any) -> Iterator[Trace]:
        begun.append("search")
        return violations(*arguments, **more)

    monkeypatch.setattr("tdpcheck.runner.telling.counterexamples.violations", counted)
    telling = Telling()
    telling.document(found)
    telling.others(found)

    assert ["search"] == begun
