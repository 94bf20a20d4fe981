"""What no run executes must be declared, and where threads get stuck must be told: no approval rests on code that never ran."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tdpcheck.core.verdict import HoldsUpTo, Unknown
from tdpcheck.examples.toy_kernel import dirty, mem, reader, toy, writer
from tdpcheck.kernelc import Machine, compile_threads, lower, parse
from tdpcheck.model.change.marks import mark
from tdpcheck.model.scenario import shipped_scenarios
from tdpcheck.runner.asking.coverage import Before, Coverage, RoleCover, Statement, _of_role, declaration, declares, with_coverage
from tdpcheck.tests.calling import QUICK, Call

Patch = Callable[..., str]
SHIPPED = Path(__file__).parents[2] / "model" / "scenarios" / f"{QUICK}.toml"
FIRST = Statement("fault", "map", "a.c", 7, "return false")
SECOND = Statement("fault", "map", "a.c", 9, "return false", 2)


@pytest.mark.parametrize(
    ("declared", "first", "second"),
    [
        ("fault: map: return false", True, False),
        ("fault: map: return false #2", False, True),
        ("fault: map: return*", True, True),
        ("fault: map", True, True),
        ("*: map", True, True),
        ("io_fault: map", False, False),
        ("fault: ma", False, False),
        ("fault: map: return .alse", False, False),
    ],
)
def test_a_declaration_names_a_statement_or_a_function_and_nothing_else(declared: str, first: bool, second: bool) -> None:
    assert (first, second) == (declares(declared, FIRST), declares(declared, SECOND))


def test_the_name_of_a_statement_survives_when_lines_move() -> None:
    assert "fault: map: return false #2" == SECOND.key
    assert "a.c:9: return false" == str(SECOND)


def test_a_good_verdict_is_none_while_something_is_undeclared() -> None:
    holds = HoldsUpTo(9, "explore")
    coverage = Coverage({"fault": RoleCover((FIRST,), (SECOND,))}, True, (SECOND,))

    verdict = with_coverage(holds, coverage)

    assert isinstance(verdict, Unknown)
    assert verdict.reason.startswith("coverage: no run executes fault: map: return false #2;")
    assert holds == with_coverage(holds, Coverage({}, True))


def test_a_function_of_which_nothing_runs_is_named_as_a_whole() -> None:
    coverage = Coverage({"fault": RoleCover((), (FIRST, SECOND))}, True, (FIRST, SECOND))

    assert ("fault: map",) == coverage.names


def test_a_change_answers_for_what_it_takes_away_and_not_for_what_it_adds() -> None:
    install = Statement("fault", "map", "a.c", 11, "install(spte)")
    gone = Statement("fault", "unlink", "a.c", 30, "unlink(sp)")
    before = Before((install, gone), (FIRST,), {"a.c": [9]}, {})
    now = {"fault": RoleCover((FIRST,), ())}

    assert (True, True, False) == (before.excuses(FIRST), before.excuses(SECOND), before.excuses(replace(install, line=12)))
    assert [install] == before.lost(now)
    assert [] == replace(before, removed={"a.c": [11]}).lost(now)


@pytest.mark.parametrize(
    ("after", "lost"),
    [
        # The caller asks `check() < 1`, and each way through check() knows the answer: both come up, or one of them alone.
        ("static u2 check(void) { return any_bool() ? any_u2() : 0; }", []),
        ("static u2 check(void) { if (any_bool()) return 0; return 1; }", []),
        ("static u2 check(void) { if (any_bool() && any_bool()) return 0; else return 3; }", []),
        ("static u2 check(void) { if (any_bool()) return 2; return 1; }", ["check() < 1"]),
        ("static u2 check(void) { if (any_bool()) return 0; return any_bool() - any_bool() < 2 ? 0 : 0; }", ["check() < 1"]),
    ],
)
def test_a_branch_that_every_way_decides_is_lost_only_if_one_outcome_is(after: str, lost: list[str]) -> None:
    """Two returns made one must not cost an answer; a function that always answers the same must."""
    text = "static u2 check(void)\n{\n\treturn any_u2();\n}\nvoid f(void)\n{\n\tif (check() < 1)\n\t\t*cell0 = 1;\n\t*cell1 = 1;\n}\n"
    changed = text.replace("static u2 check(void)\n{\n\treturn any_u2();\n}", f"{after}\n\n\n")
    asked = {}
    for version, source in enumerate((text, changed)):
        unit = parse(source, "toy.c")
        marked = mark(unit.functions, {"toy.c": [3 if version == 0 else 1]})
        graph = lower("f", "f", marked, unit.structs, toy.library)
        software = compile_threads([graph], ("f",), machine=Machine((mem, writer, reader, dirty)))
        asked[version] = _of_role(SimpleNamespace(software=software), "f", software.steps)  # type: ignore[arg-type]
    before = Before(asked[0].reached, asked[0].never, {"toy.c": [1, 2, 3, 4]}, {"toy.c": [1, 2, 3, 4]})

    assert lost == [s.text for s in before.lost({"f": asked[1]}) if s.function == "f" and s.text != "*cell0 = 1"]


def scenario_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


def without_declarations() -> str:
    return SHIPPED.read_text().split("\n[[unreachable]]")[0] + "\n"


@pytest.mark.slow
def test_what_the_tool_prints_is_what_the_scenario_lacks(call: Call, tmp_path: Path) -> None:
    """Put into the file as it stands there, it makes the run pass."""
    bare = without_declarations()
    failed = call("verify", "--scenario", scenario_file(tmp_path, bare))
    printed = re.search(r"    \[\[unreachable\]\]\n(?:    .*\n)+?    \]\n", failed.stdout)
    assert printed is not None
    passed = call("verify", "--scenario", scenario_file(tmp_path, f"{bare}\n{printed.group()}"))

    assert 3 == failed.exit_code
    assert "Unknown (coverage)" in failed.stdout
    assert 0 == passed.exit_code, passed.output
    assert "the others are declared unreachable" in passed.stdout


@pytest.mark.slow
def test_a_declaration_of_what_does_run_is_told(call: Call, tmp_path: Path) -> None:
    text = SHIPPED.read_text() + '\n[[unreachable]]\nbecause = "it moved"\nsteps = ["share: kvm_share_tdp", "nobody: nothing"]\n'

    result = call("verify", "--scenario", scenario_file(tmp_path, text))

    assert 0 == result.exit_code
    assert "names what some run executes, or no thread has: share: kvm_share_tdp; nobody: nothing" in result.stdout


def only(text: str) -> dict[str, Any]:
    (found,) = json.loads(text)["results"]
    assert isinstance(found, dict)
    return found


ASK = ("verify", "--scenario", QUICK, "--property", "reject_noncoherent_dma", "--json")
LAST_UNLOCK = "\tkvm_tdp_set_exported(kvm);\n\twrite_unlock(&kvm->mmu_lock);\n\treturn 0;\n"


@pytest.mark.slow
def test_a_change_after_which_code_never_runs_is_not_approved(call: Call, patch: Patch) -> None:
    """It holds, and why it holds is that nothing is exported any more."""
    path = patch("tdp_fd.c", "\tif (root->role.invalid) {\n", "\tif (true) {\n")

    result = call(*ASK, "--change", path)

    found = only(result.stdout)
    assert ("unknown", 3) == (found["verdict"], result.exit_code)
    assert found["reason"].startswith("coverage: no run executes ")
    assert any("root->exported = true" in name for name in found["undeclared"])


def test_a_line_that_a_change_adds_and_no_run_reaches_is_accounted_for_and_what_guards_it_is_named(call: Call, patch: Patch) -> None:
    path = patch("tdp_fd.c", "\troot->exported = true;\n", "\tif (root->role.invalid)\n\t\treturn -EBUSY;\n\troot->exported = true;\n")

    result = call(*ASK, "--change", path)

    found = only(result.stdout)
    assert ("unknown", 3) == (found["verdict"], result.exit_code), result.output
    assert found["reason"].startswith("coverage: change not judged: tdp_fd.c:")
    assert "`root->role.invalid`: never true in any run" in found["reason"]
    assert () == tuple(found["undeclared"])


@pytest.mark.slow
def test_a_lock_that_is_never_given_back_is_told_with_the_shortest_run(call: Call, patch: Patch) -> None:
    path = patch("tdp_fd.c", LAST_UNLOCK, LAST_UNLOCK.replace("\twrite_unlock(&kvm->mmu_lock);\n", ""))

    result = call(*ASK, "--change", path)

    found = only(result.stdout)
    stuck = found["deadlock"]["stuck"]
    assert ("unknown", 3) == (found["verdict"], result.exit_code)
    assert found["reason"].startswith("deadlock: in ")
    assert found["deadlock"]["free"] is False
    assert any("write_lock(&kvm->mmu_lock)" in s["threads"]["register"] for s in stuck)
    assert all(step["actor"] for step in stuck[0]["trace"])
    assert "tdp_fd.c:" in str([step["source"] for step in stuck[0]["trace"]])


@pytest.mark.slow
def test_a_scenario_may_say_that_a_thread_gets_stuck(call: Call, patch: Patch, tmp_path: Path) -> None:
    path = patch("tdp_fd.c", LAST_UNLOCK, LAST_UNLOCK.replace("\twrite_unlock(&kvm->mmu_lock);\n", ""))
    lines = SHIPPED.read_text().splitlines(keepends=True)
    declared = "".join([*lines[:2], 'stuck = ["share", "register"]\n', *lines[2:]])

    result = call("verify", "--scenario", scenario_file(tmp_path, declared), *ASK[3:], "--change", path)

    found = only(result.stdout)
    assert found["deadlock"]["free"] is False
    assert all(s["declared"] for s in found["deadlock"]["stuck"])
    assert not (found["reason"] or "").startswith("deadlock")


def test_a_declaration_is_toml() -> None:
    names = ('share: f: printf("\\n")', "fault: map")

    assert list(names) == tomllib.loads(declaration(names))["unreachable"][0]["steps"]


@pytest.mark.parametrize("name", sorted(n for n, s in shipped_scenarios().items() if s.unreachable))
def test_every_declaration_of_a_shipped_scenario_has_a_reason(name: str) -> None:
    assert all(len(group.because) > 10 and group.steps for group in shipped_scenarios()[name].unreachable)


@pytest.mark.parametrize("name", sorted(n for n, s in shipped_scenarios().items() if s.unreachable))
def test_no_shipped_declaration_counts_statements(name: str) -> None:
    """A number changes with every statement of the same text that a change puts in before it."""
    assert [] == [step for group in shipped_scenarios()[name].unreachable for step in group.steps if re.search(r"#\d+$", step)]
